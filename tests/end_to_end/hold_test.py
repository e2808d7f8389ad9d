#!/usr/bin/env python3
"""Statistics of events over time: against an oracle, whatever the order, the commits and the
partitions; the parts of an hour are the hour; one day of meters."""
import random
import unittest

import harness
from determinism_test import START_NS, shuffled
from harness import SECOND
from intervals import Held
from oracle import same

SEED = 20261121
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


if __name__ == '__main__':
    unittest.main()
