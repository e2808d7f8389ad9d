#!/usr/bin/env python3
"""The last closed rows are a function of the records: byte for byte, whatever the run was like."""
import array
import json
import math
import random
import re
import unittest

import frames
import harness
from harness import SECOND

SEED = 20261121
START_NS = harness.nanoseconds('2026-11-21T03:00:00Z')
GRACE_S = 5

EVENTS = '''
job: events
from: {{topic: events, format: json, key: sensor, timestamp: {{field: time, unit: ns}},
       fields: {{sensor: text, value: number}}}}
lateness: {{grace: {grace}s}}
commit: {commit}
group_by: [sensor]
window: {{every: 10s}}
stats:
  n: count
  values: count(value)
  total: sum(value)
  mean: mean(value)
  low: min(value)
  high: max(value)
  span: range(value)
  first: first(value)
  last: last(value)
  std: std_pop(value)
  std_samp: std_samp(value)
  rms: rms(value)
  p50: median(value)
  p99: quantile(value, 0.99)
  digest: digest(value, error=0.5%)
  different: distinct(value, error=10%)
  different_set: distinct_sketch(value, error=10%)
to: [{{topic: rows}}]
'''

FRAMES = '''
job: frames
from: {{topic: frames, format: waveform}}
lateness: {{grace: {grace}s}}
commit: {commit}
let: {{power: current * voltage}}
where: power > -3 and power < 4
group_by: [device]
window: {{every: 10s}}
stats:
  samples: count
  covered_s: covered
  mean: mean(power)
  std: std_samp(power)
  first: first(current)
  last: last(current)
  energy: integral(power)
  digest: digest(power)
  devices: distinct_sketch(device)
  levels: distinct_sketch(current, error=10%)
to: [{{topic: rows}}]
'''

# By no partition key: one stage where the topic has one partition, else two.
ROOMS = EVENTS.replace('sensor: text,', 'sensor: text, room: text,').replace(
    'group_by: [sensor]', 'group_by: [room]').replace('every: 10s', 'every: 4s').replace(
    '  first: first(value)', '  sensors: distinct(sensor)\n  first: first(value)')
STREAMS = FRAMES.replace('group_by: [device]', 'group_by: [stream]').replace(
    'every: 10s', 'every: 3s')

CUTS = '''
job: cuts
from: {topic: frames, format: waveform}
group_by: [device]
window: {every: 10s}
stats:
  samples: count
  total: sum(current)
  low: min(current)
  high: max(current)
  first: first(current)
  last: last(current)
  digest: digest(current)
to: [{topic: rows}]
'''

# A block's sum of deviations d has one rounding in each d, 31 additions in a lane, 5 of lanes.
ROUNDINGS = 37
EPSILON = 2.0**-53


def events(generator, count=20000, sensors=40):
    """Events in time order, with ties in time and values that make sums hard."""
    shapes = [lambda: generator.gauss(0, 1), lambda: generator.gauss(1e9, 1e-3),
              lambda: generator.lognormvariate(0, 8), lambda: float(generator.randrange(-3, 4)),
              lambda: -0.0, lambda: None]
    for i in range(count):
        sensor = generator.randrange(sensors)
        yield {'sensor': f's{sensor}', 'room': f'r{sensor % 3}',
               'time': START_NS + i // 4 * 10 * SECOND // 1000,
               'value': shapes[generator.randrange(len(shapes))]()}


def waveforms(generator, devices=6, count=120, streams=6):
    """Frames of all devices, in time order; none begins or ends at a window's border."""
    for sequence in range(count):
        for device in range(devices):
            channels = {name: [generator.gauss(0, 1) for _ in range(500)]
                        for name in ('current', 'voltage')}
            channels['voltage'][generator.randrange(500)] = float('nan')
            yield frames.Frame(f'd{device}', START_NS + 123 + sequence * SECOND // 2, 1000.0,
                               device % streams, sequence, channels)


def shuffled(generator, items, time_of):
    """Another order in which nothing comes later than grace allows."""
    reach = (GRACE_S - 1) * SECOND
    return sorted(items, key=lambda item: time_of(item) + generator.randrange(reach))


class Determinism(harness.Case):
    def setUp(self):
        super().setUp()
        self.generator = random.Random(SEED)

    def rows(self, log):
        """The last closed row of every (group, window) as text, rev taken out."""
        last = {}
        for record in self.dump('rows', log):
            row = json.loads(record.value)
            if row['closed']:
                last[record.key, row['window_start']] = re.sub(rb'"rev":\d+,', b'', record.value)
        return sorted(last.values())

    def outcome(self, name, job, fill, partitions, commit, words=()):
        log = f'local:{self.folder}/{name}'
        fill(log, partitions)
        path = self.job(job.format(grace=GRACE_S, commit=commit), f'{name}.yaml')
        account = self.run_job(path, *words, log=log)
        self.assertEqual(account.total('late') + account.total('dead-lettered'), 0)
        return self.rows(log)

    def compare(self, job, records, fill, time_of):
        def put(items):
            return lambda log, partitions: fill(items, log, partitions)
        base = self.outcome('base', job, put(records), 1, '1s')
        self.assertGreater(len(base), 30)
        mixed = shuffled(self.generator, records, time_of)
        variants = {
            'shuffled': (put(mixed), 1, '1s'),
            'small-commits': (put(records), 1, '100ms'),
            'four-partitions': (put(records), 4, '1s'),
            'two-workers': (put(records), 4, '1s', ('--workers', '2')),
            'everything': (put(mixed), 4, '100ms', ('--workers', '4')),
        }
        for name, variant in variants.items():
            with self.subTest(name):
                self.assertEqual(self.outcome(name, job, *variant), base)

    def fill_events(self, items, log, partitions):
        self.produce('events', items, key='sensor', partitions=partitions, log=log)

    def test_events_give_the_same_bytes_in_any_order_and_any_number_of_partitions(self):
        self.compare(EVENTS, list(events(self.generator)), self.fill_events,
                     lambda event: event['time'])

    def test_events_that_are_regrouped_give_the_bytes_of_one_partition(self):
        self.compare(ROOMS, list(events(self.generator)), self.fill_events,
                     lambda event: event['time'])

    def compare_frames(self, job, **shape):
        def fill(items, log, partitions):
            self.append('frames', [(int(item.device[1:]) % partitions, item.device.encode(),
                                    encoded[id(item)]) for item in items], partitions, log)
        items = list(waveforms(self.generator, **shape))
        encoded = {id(item): item.encode() for item in items}
        self.compare(job, items, fill, lambda frame: frame.start_ns)

    def test_frames_give_the_same_bytes_in_any_order_and_any_number_of_partitions(self):
        self.compare_frames(FRAMES)

    def test_frames_that_are_regrouped_give_the_bytes_of_one_partition(self):
        self.compare_frames(STREAMS, streams=2, devices=8)

    def cut(self, samples, length):
        """The last closed rows when one device's samples come in frames of such a length."""
        log = f'local:{self.folder}/cut-{length}'
        pieces = [frames.Frame('d', START_NS + 123 + at * SECOND // 1000, 1000.0, 1, at,
                               {'current': samples[at:at + length]})
                  for at in range(0, len(samples), length)]
        self.append('frames', [(0, b'd', piece.encode()) for piece in pieces], 1, log)
        self.run_job(self.job(CUTS, f'cut-{length}.yaml'), log=log)
        return self.last_rows('rows', ['device'], log)

    def test_frames_cut_elsewhere_change_sums_only_and_by_less_than_the_bound(self):
        samples = array.array('f', (self.generator.gauss(1000, 1) for _ in range(60000)))
        some, others = self.cut(samples, 500), self.cut(samples, 733)
        self.assertEqual(set(some), set(others))
        reach = max(samples) - min(samples)  # no deviation is larger
        for cell, row in some.items():
            other = others[cell]
            bound = 2 * ROUNDINGS * EPSILON * row['samples'] * reach
            total, another = row.pop('total'), other.pop('total')
            self.assertLessEqual(abs(total - another), bound + math.ulp(total))
            self.assertEqual(row, other)


if __name__ == '__main__':
    unittest.main()
