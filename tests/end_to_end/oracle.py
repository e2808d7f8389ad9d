"""What the closed rows must be, recomputed from the records by other means than the engine's.

The documented rules in plain Python: exact sums as integers (resolution 2^-128, of squares
2^-192, each term cut toward zero), one rounding at the end, sorted values for quantiles. Samples
come in blocks of 1,024 whose deviations from their first finite sample are added in 32 lanes.
Doubles are compared for equality; quantiles with the true element, to within the stated error.
"""
import bisect
import math
import struct
from collections import defaultdict

SUM_BITS, SQUARES_BITS = 128, 192
BLOCK, LANES = 1024, 32


def fixed(mantissa, exponent, bits):
    """mantissa * 2^exponent as an integer multiple of 2^-bits, cut toward zero."""
    shift = exponent + bits
    if shift >= 0:
        return mantissa << shift
    return mantissa >> -shift if mantissa >= 0 else -(-mantissa >> -shift)


def parts(x):
    """x as an integer and a power of two."""
    mantissa, exponent = math.frexp(x)
    return int(mantissa * 2**53), exponent - 53


def exact(x, bits):
    return fixed(*parts(x), bits)


def exact_product(x, y, bits):
    (a, i), (b, j) = parts(x), parts(y)
    return fixed(a * b, i + j, bits)


def order(x):
    """Sorts doubles with -0 below +0."""
    return (x, math.copysign(1, x))


def quantile_fault(got, values, q, error):
    """How `got` misses the q-quantile of sorted values; None when it does not."""
    if not values:
        return None if got is None else f'{got!r}, expected null'
    true = values[math.floor(q * (len(values) - 1))]
    if isinstance(got, float) and abs(got - true) <= error * abs(true):
        return None
    return f'{got!r} is not within {error} of {true!r}'


def same(got, want):
    """Equal doubles, and integers only where integers are due."""
    return type(got) is type(want) and got == want and (
        got != 0 or math.copysign(1, got) == math.copysign(1, want))


def pairwise(lanes):
    half = LANES // 2
    while half:
        for i in range(half):
            lanes[i] += lanes[i + half]
        half //= 2
    return lanes[0]


def in_lanes(xs, shift):
    """The sums of x - shift and of its square, in doubles, in the documented order."""
    deviations, squares = [0.0] * LANES, [0.0] * LANES
    for i, x in enumerate(xs):
        d = x - shift if math.isfinite(x) else 0.0
        deviations[i % LANES] += d
        squares[i % LANES] += d * d
    return pairwise(deviations), pairwise(squares)


def halves(x):
    """x as a sum of two doubles that a block's count multiplies exactly."""
    high = struct.unpack('<d', struct.pack('<Q', struct.unpack('<Q', struct.pack('<d', x))[0]
                                           & ~0x7FFFFFF))[0]
    return high, x - high


class Measure:
    """All statistics of one field in one (group, window)."""

    def __init__(self):
        self.values = []
        self.total = self.squares = 0  # in units of 2^-128 and 2^-192
        self.area = 0                  # the integral, in units of 2^-128
        self.first = self.last = None  # (time, value, its sign)

    def add(self, time_ns, x):
        """The value of an event, which stands for no duration."""
        if x is None or not math.isfinite(x):
            return
        mantissa, exponent = parts(x)
        self.values.append(x)
        self.total += fixed(mantissa, exponent, SUM_BITS)
        self.squares += fixed(mantissa * mantissa, 2 * exponent, SQUARES_BITS)
        self.mark(time_ns, x)

    def add_block(self, times, xs, seconds):
        """Samples that stand for so many seconds each; NaN is a gap."""
        finite = [i for i, x in enumerate(xs) if math.isfinite(x)]
        if not finite:
            return
        n, shift = len(finite), xs[finite[0]]
        self.values += [xs[i] for i in finite]
        self.mark(times[finite[0]], shift)
        self.mark(times[finite[-1]], xs[finite[-1]])
        deviations = 0.0
        if n == 1:
            self.total += exact(shift, SUM_BITS)
            self.squares += exact_product(shift, shift, SQUARES_BITS)
        else:
            deviations, squares = in_lanes(xs, shift)
            self.total += exact_product(float(n), shift, SUM_BITS) + exact(deviations, SUM_BITS)
            self.squares += exact(squares, SQUARES_BITS)
            self.squares += exact_product(2 * shift, deviations, SQUARES_BITS)
            self.squares += sum(exact_product(n * x, shift, SQUARES_BITS) for x in halves(shift))
        self.area += exact_product(n * shift, seconds, SUM_BITS)
        self.area += exact_product(deviations, seconds, SUM_BITS)

    def mark(self, time_ns, x):
        """Equal times: first takes the lower value, last the higher."""
        here = (time_ns, *order(x))
        self.first = min(self.first or here, here)
        self.last = max(self.last or here, here)

    def spread(self):
        """n * (sum of squares) - sum^2, exact, then rounded once."""
        scale = 2 * SUM_BITS - SQUARES_BITS
        top = (len(self.values) * self.squares << scale) - self.total**2
        return max(top, 0) / 2**(2 * SUM_BITS)

    def result(self, name):
        n = len(self.values)
        if name == 'count':
            return n
        if n == 0 or name == 'std_samp' and n == 1:
            return None
        return getattr(self, 'of_' + name)(n)

    def of_sum(self, _):
        return self.total / 2**SUM_BITS

    def of_mean(self, n):
        return self.of_sum(n) / n

    def of_min(self, _):
        return min(self.values, key=order)

    def of_max(self, _):
        return max(self.values, key=order)

    def of_range(self, n):
        return self.of_max(n) - self.of_min(n)

    def of_first(self, _):
        return self.first[1]

    def of_last(self, _):
        return self.last[1]

    def of_rms(self, n):
        return math.sqrt(self.squares / 2**SQUARES_BITS / n)

    def of_integral(self, _):
        return self.area / 2**SUM_BITS

    def of_std_pop(self, n):
        return math.sqrt(self.spread() / n / n)

    def of_std_samp(self, n):
        return math.sqrt(self.spread() / n / (n - 1))


class Cell:
    """One (group, window)."""

    def __init__(self):
        self.count, self.measures, self.keys = 0, defaultdict(Measure), set()

    def result(self, stat):
        if stat == ('count', None):
            return self.count
        return len(self.keys) if stat == ('keys', None) else self.measures[stat[1]].result(stat[0])


class Windows:
    """Tumbling windows: (group, start) -> what fell into them.

    stats: row name -> (statistic, field); field None for a bare count and for 'keys', how many
    different keys came; a quantile is ('quantile', field, q, error)."""

    def __init__(self, every_ns, stats):
        self.every_ns = every_ns
        self.stats = stats
        self.fields = {stat[1] for stat in stats.values() if stat[1]}
        self.cells = defaultdict(Cell)

    def add(self, group, time_ns, values):
        """One event; values: field -> number or None."""
        cell = self.cells[group, time_ns - time_ns % self.every_ns]
        cell.count += 1
        for name in self.fields:
            cell.measures[name].add(time_ns, values.get(name))

    def add_frame(self, group, frame, changes=()):
        """A frame, cut at window borders and where another group begins: (time, group), ascending.
        Blocks begin at a part's first sample."""
        times = frame.times()
        at, changes = 0, list(changes)
        while at < len(times):
            while changes and changes[0][0] <= times[at]:
                group = changes.pop(0)[1]
            start = times[at] - times[at] % self.every_ns
            border = min([start + self.every_ns, *(change[0] for change in changes[:1])])
            end = bisect.bisect_left(times, border, at)
            self.add_part(self.cells[group, start], frame, times, slice(at, end))
            at = end

    def add_part(self, cell, frame, times, part):
        cell.count += part.stop - part.start
        cell.keys.add(frame.device)
        for i in range(part.start, part.stop, BLOCK):
            block = slice(i, min(i + BLOCK, part.stop))
            for name in self.fields:
                cell.measures[name].add_block(times[block], frame.channels[name][block],
                                              1 / frame.rate_hz)

    def faults_of(self, cell, row):
        for name, stat in self.stats.items():
            got = row.get(name, 'nothing')
            if stat[0] == 'quantile':
                values = sorted(self.cells[cell].measures[stat[1]].values)
                fault = quantile_fault(got, values, *stat[2:])
            else:
                want = self.cells[cell].result(stat)
                fault = None if same(got, want) else f'{got!r}, expected {want!r}'
            if fault:
                yield f'{cell}: {name}: {fault}'

    def faults(self, rows):
        """rows: (group, start) -> the last closed row. Every difference, as text."""
        found = [f'{cell}: no row' for cell in self.cells if cell not in rows]
        found += [f'{cell}: a row of nothing' for cell in rows if cell not in self.cells]
        for cell in self.cells:
            if cell in rows:
                found += self.faults_of(cell, rows[cell])
        return found
