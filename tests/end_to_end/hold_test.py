#!/usr/bin/env python3
"""Statistics of events over time: against an oracle, whatever the order, the commits and the
partitions; the parts of an hour are the hour; one day of meters."""
import random
import unittest
from fractions import Fraction

import harness
import tracebase_test
from determinism_test import START_NS, shuffled
from harness import MINUTE, SECOND
from intervals import Held
from oracle import same

SEED = 20261121
GAP_NS = 2 * MINUTE  # of jobs/meter-energy.yaml
NOON_NS = tracebase_test.MIDNIGHT_NS + 12 * 60 * MINUTE
LENGTH_S = 240
GRACE_S = 5

JOB = '''
job: meters
from: {{topic: meters, format: json, key: device, timestamp: {{field: time, unit: ns}},
       fields: {{device: text, mode: text, power: number, total: number}}}}
lateness: {{grace: {grace}s}}
hold: {{max_gap: 8s}}
commit: {commit}
retain: 1h
group_by: [device, mode]
window: {{every: {every}}}
stats:
  power_integral: integral(power)
  power_time_mean: time_mean(power)
  power_covered: covered(power)
  power_coverage: coverage(power)
  total_increase: increase(total)
  total_integral: integral(total)
to: [{{topic: rows}}]
'''
COLUMNS = ['power_integral', 'power_time_mean', 'power_covered', 'power_coverage',
           'total_increase', 'total_integral']


def meters(generator, devices=12, count=9000):
    """Events in time order: ties, pauses longer than max_gap, counters that are reset, wrap, repeat
    and jump back, values that make sums hard. Each device has one in the last second."""
    totals, pauses = [0.0] * devices, [0] * devices
    for i in range(count):
        ns = START_NS + i // 3 * (LENGTH_S - 1) * SECOND // (count // 3)
        device = generator.randrange(devices)
        if ns < pauses[device]:
            continue
        if generator.random() < 0.005:
            pauses[device] = ns + generator.randrange(20 * SECOND)
        yield event(generator, totals, device, ns)
    for device in range(devices):
        yield event(generator, totals, device, START_NS + (LENGTH_S - 1) * SECOND + device)


def event(generator, totals, device, ns):
    step = generator.choice([0.0, 1.0, 0.1, generator.expovariate(1), generator.expovariate(1e-9),
                             -generator.expovariate(1), None])
    totals[device] = 0.3 if step is None else totals[device] + step
    power = generator.choice([generator.gauss(0, 1), generator.gauss(1e9, 1e-3), -0.0, None,
                              generator.lognormvariate(0, 8), 0.3])
    return {'device': f'd{device}', 'mode': f'm{generator.randrange(3) // 2}', 'time': ns,
            'power': power, 'total': totals[device]}


class Hold(harness.Case):
    def setUp(self):
        super().setUp()
        self.generator = random.Random(SEED)

    def outcome(self, events, partitions=1, words=(), **settings):
        """The last closed rows, by group and window."""
        settings = {'grace': GRACE_S, 'commit': '1s', 'every': '10s', **settings}
        log = f'local:{self.folder}/{len(list(self.folder.iterdir()))}'
        self.produce('meters', events, key='device', partitions=partitions, log=log)
        account = self.run_job(self.job(JOB.format(**settings), 'meters.yaml'), *words, log=log)
        self.assertEqual(account.total('used'), len(events))
        return {cell: {name: row[name] for name in COLUMNS}
                for cell, row in self.last_rows('rows', ['device', 'mode'], log).items()}

    def expected(self, events, every_ns):
        last_ns = max(event['time'] for event in events)
        fields = {}
        for field in ('power', 'total'):
            held = Held(every_ns, 8 * SECOND)
            for item in events:
                if item[field] is not None:
                    held.add(item['device'], (item['device'], item['mode']), item['time'],
                             float(item[field]))
            fields[field] = held.cells(last_ns - GRACE_S * SECOND)
        return fields

    def check(self, rows, events, every_ns):
        faults, fields = [], self.expected(events, every_ns)
        wanted = set().union(*(cells.keys() for cells in fields.values()))
        self.assertLessEqual(wanted, set(rows))
        for cell, row in rows.items():
            for column in COLUMNS:
                field, name = column.split('_', 1)
                want = fields[field][cell].result(name, every_ns)
                if not same(row[column], want):
                    faults.append(f'{cell} {column}: {row[column]!r}, expected {want!r}')
        self.assertEqual(faults[:5], [], f'{len(faults)} differences')

    def test_any_order_within_grace_any_commits_and_partitions_give_what_the_oracle_says(self):
        events = list(meters(self.generator))
        mixed = shuffled(self.generator, events, lambda event: event['time'])
        base = self.outcome(events)
        self.assertGreater(len(base), 300)
        self.check(base, events, 10 * SECOND)
        with self.subTest('shuffled'):
            self.assertEqual(self.outcome(mixed), base)
        with self.subTest('small commits'):
            self.assertEqual(self.outcome(events, commit='100ms'), base)
        with self.subTest('everything'):
            self.assertEqual(self.outcome(mixed, 4, ('--workers', '2'), commit='100ms'), base)

    def test_the_parts_of_a_window_are_the_window(self):
        events = list(meters(self.generator))
        for every in (1, 60, 240):
            with self.subTest(every):
                self.check(self.outcome(events, every=f'{every}s'), events, every * SECOND)

    def test_more_than_can_wait_is_refused_and_nothing_else_is_lost(self):
        """A device whose clock stands still sends what no grace ever passes."""
        flood = [{'device': 'd0', 'mode': 'm', 'time': START_NS + i, 'power': 1, 'total': i}
                 for i in range(60000)]
        other = [{'device': 'd1', 'mode': 'm', 'time': START_NS + i * 10**6, 'power': 1, 'total': i}
                 for i in range(1000)]
        self.produce('meters', [event for pair in zip(flood, other) for event in pair]
                     + flood[len(other):], key='device')
        account = self.run_job(self.job(JOB.format(grace=GRACE_S, commit='1s', every='10s')))
        refused = account.total('dead-lettered')
        self.assertEqual(account.total('used') + refused, len(flood) + len(other))
        self.assertTrue(10000 < refused < 20000, refused)
        letters = self.dump('meters-dead-letters')
        self.assertEqual(len(letters), refused)
        self.assertIn(b'within lateness.grace', letters[0].headers['__streams.errors.message'])
        rows = self.last_rows('rows', ['device', 'mode'])
        self.assertEqual(rows[('d1', 'm'), START_NS]['total_increase'], 999.0)
        self.assertEqual(rows[('d0', 'm'), START_NS]['total_increase'],
                         float(len(flood) - refused - 1))


class Meters(harness.Case):
    """jobs/meter-energy.yaml over one day of three appliances. Their meters are made of their
    powers: exact sums of what each held, put to 0 at noon. So there are two ways to each minute's
    energy."""

    def readings(self, path):
        meter, total, last = path.name.split('.')[0], Fraction(0), None
        for ns, power in sorted(reading[1:] for reading in tracebase_test.readings(path)):
            if last:
                total += Fraction(last[1]) * min(ns - last[0], GAP_NS)
            if last and last[0] < NOON_NS <= ns:
                total = Fraction(0)
            last = (ns, power)
            yield {'ts': ns // 10**6, 'meter': meter, 'power_w': power,
                   'energy_kwh': float(total / (SECOND * 3600000))}

    def test_a_day_of_meters_is_as_recomputed(self):
        files = sorted(harness.data('tracebase').glob('*.csv.gz'))[:3]
        power, energy = Held(MINUTE, GAP_NS), Held(MINUTE, GAP_NS)
        events = [event for path in files for event in self.readings(path)]
        for event in events:
            key, ns = event['meter'], event['ts'] * 10**6
            power.add(key, (key,), ns, event['power_w'])
            energy.add(key, (key,), ns, event['energy_kwh'])
        events.sort(key=lambda event: event['ts'])
        self.produce('meter-readings', events, key='meter', partitions=1)
        account = self.run_job(harness.ROOT / 'jobs/meter-energy.yaml')
        self.assertEqual(account.total('used'), len(events))
        rows = self.last_rows('meter-energy', ['meter'])
        settled_ns = events[-1]['ts'] * 10**6 - 30 * SECOND
        self.compare(rows, power.cells(settled_ns), energy.cells(settled_ns))

    def compare(self, rows, power, energy):
        self.assertGreater(len(rows), 3000)
        for cell, row in rows.items():
            for cells, name, column in ((power, 'integral', 'energy_j'),
                                        (power, 'time_mean', 'power_mean_w'),
                                        (power, 'covered', 'covered_s'),
                                        (power, 'coverage', 'coverage'),
                                        (energy, 'increase', 'energy_kwh')):
                want = cells[cell].result(name, MINUTE)
                self.assertTrue(same(row[column], want), f'{cell} {column}: {row[column]} {want}')
            after = rows.get((cell[0], cell[1] + MINUTE), {'readings': 0})
            if (row['coverage'] == 1.0 and after['readings'] > 0
                    and cell[1] not in (NOON_NS, NOON_NS - MINUTE)):
                # No gap begins here. A counter of some kWh has steps of 1e-15 kWh.
                self.assertAlmostEqual(row['energy_kwh'] * 3.6e6, row['energy_j'], delta=1e-5)


if __name__ == '__main__':
    unittest.main()
