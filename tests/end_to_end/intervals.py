"""What the statistics over time must be, recomputed from the events by other means: integers.

Per key and field the events stand by (time, value); each holds until the next one, at most for
max_gap, and is cut at window borders. A counter rises in a straight line between two readings;
where these are further apart than max_gap, or not apart at all, it is booked at the later one.
"""
from collections import defaultdict

from harness import SECOND
from oracle import SUM_BITS, exact, exact_product, order


def windows_of(start, end, every):
    """(window start, piece start, piece end) of [start, end)."""
    while start < end:
        window = start - start % every
        stop = min(end, window + every)
        yield window, start, stop
        start = stop


def counter_at(left, right, ns):
    """The line between two (ns, counter): the weighed sum is rounded once, then divided."""
    if ns in (left[0], right[0]):
        return right[1] if ns == right[0] else left[1]
    area = exact_product(left[1], float(right[0] - ns), SUM_BITS)
    area += exact_product(right[1], float(ns - left[0]), SUM_BITS)
    x = area / 2**SUM_BITS / float(right[0] - left[0])
    return min(max(x, min(left[1], right[1])), max(left[1], right[1]))


class Cell:
    """One (group, window) and field."""

    def __init__(self):
        self.area = self.ns = 0    # of x times ns in units of 2^-128; of ns
        self.rise, self.pieces = 0, 0

    def result(self, name, every_ns):
        if name == 'covered':
            return self.ns / SECOND
        if name == 'coverage':
            return self.ns / every_ns
        if name == 'increase':
            return self.rise / 2**SUM_BITS if self.pieces else None
        if not self.ns:
            return None
        area = self.area / 2**SUM_BITS
        return area / 1e9 if name == 'integral' else area / float(self.ns)


class Held:
    """Events of one field, all of them in time. group_of gives the group of an event's values."""

    def __init__(self, every_ns, max_gap_ns):
        self.every_ns, self.max_gap_ns = every_ns, max_gap_ns
        self.events = defaultdict(list)  # by key: (ns, the value's order, group)

    def add(self, key, group, ns, x):
        self.events[key].append((ns, order(x), group))

    def cells(self, settled_ns):
        """(group, window start) -> Cell, when T - grace is settled_ns and the job has closed."""
        cells = defaultdict(Cell)
        for events in self.events.values():
            events = sorted(set(events))
            for i, (ns, (x, _), group) in enumerate(events):
                limit = ns + self.max_gap_ns
                last = i + 1 == len(events)
                if not last or settled_ns >= limit:
                    end = limit if last else min(limit, events[i + 1][0])
                    self.hold(cells, group, (ns, end), x)
                if not last:
                    self.rise(cells, group, (ns, x), (events[i + 1][0], events[i + 1][1][0]))
        return cells

    def hold(self, cells, group, interval, x):
        for window, start, stop in windows_of(*interval, self.every_ns):
            cell = cells[group, window]
            cell.ns += stop - start
            cell.area += exact_product(x, float(stop - start), SUM_BITS)

    def rise(self, cells, group, left, right):
        if right[1] < left[1]:
            left = (left[0], 0.0)  # it began anew
        if 0 < right[0] - left[0] <= self.max_gap_ns:
            pieces = [(window, counter_at(left, right, start), counter_at(left, right, stop))
                      for window, start, stop in windows_of(left[0], right[0], self.every_ns)]
        else:
            pieces = [(right[0] - right[0] % self.every_ns, left[1], right[1])]
        for window, begin, end in pieces:
            cells[group, window].rise += exact(end, SUM_BITS) - exact(begin, SUM_BITS)
            cells[group, window].pieces += 1
