#!/usr/bin/env python3
"""The job sensor-stats in several partitions, in pieces, by several workers: each row is what the
oracle makes of the readings, and what one partition gives.

Sensors move between gateways, whose name is the record's key, so every minute of a sensor is put
together from several partitions.
"""
import json
import random
import unittest

import harness
from harness import MINUTE
from oracle import Windows

SEED = 20261121
JOB = harness.ROOT / 'jobs/sensor-stats.yaml'
START_MS = harness.nanoseconds('2026-11-21T03:00:00Z') // 10**6
GATEWAYS = [f'gw-{i}' for i in range(12)]
SENSORS = [f'boiler-{i}' for i in range(30)]
STATS = {'readings': ('count', 'value'), 'min': ('min', 'value'), 'max': ('max', 'value'),
         'mean': ('mean', 'value'), 'median': ('quantile', 'value', 0.5, 0.01),
         'std': ('std_samp', 'value')}


def messages(generator, count=4000):
    """In time order; the readings of one lie up to 3 s back."""
    for i in range(count):
        now_ms = START_MS + i * 150
        readings = [{'ts': now_ms - generator.randrange(3000), 'sensor': generator.choice(SENSORS),
                     'value': generator.gauss(20, 5)} for _ in range(generator.randrange(6))]
        for reading in readings[4:]:
            reading['value'] = None
        yield {'gateway': generator.choice(GATEWAYS), 'readings': readings}


class SensorStats(harness.Case):
    def setUp(self):
        super().setUp()
        self.messages = list(messages(random.Random(SEED)))
        self.readings = [reading for message in self.messages for reading in message['readings']]

    def feed(self, messages, partitions, log=None):
        self.produce('sensor-readings', messages, key='gateway', partitions=partitions, log=log)

    def rows(self, log=None):
        return self.last_rows('sensor-stats', ['sensor'], log)

    def test_every_row_is_what_the_oracle_says_and_what_one_partition_gives(self):
        piece = len(self.messages) // 4
        for at in range(0, len(self.messages), piece):
            self.feed(self.messages[at:at + piece], 4)
            self.millrace('run', JOB, '--log', self.log, '--until-end', '--workers', 3)
        account, rows = self.run_job(JOB), self.rows()
        self.assertEqual(account.total('read'), len(self.readings))
        self.assertEqual(account.total('used'), len(self.readings))

        windows = Windows(MINUTE, STATS)
        for reading in self.readings:
            windows.add((reading['sensor'],), reading['ts'] * 10**6, reading)
        self.assertEqual(windows.faults(rows)[:10], [])

        alone = f'local:{self.folder}/alone'
        self.feed(self.messages, 1, alone)
        self.run_job(JOB, log=alone)
        for cell, row in self.rows(alone).items():
            self.assertEqual({**rows[cell], 'rev': 0}, {**row, 'rev': 0})

    def test_a_sensor_that_nobody_knew_has_its_rows(self):
        self.feed(self.messages[:1000], 4)
        self.run_job(JOB)
        new = {'ts': START_MS + 100000, 'sensor': 'boiler-new', 'value': 1.5}
        self.feed([{'gateway': 'gw-new', 'readings': [new]}], 4)
        self.run_job(JOB)
        found = [row for (group, _), row in self.rows().items() if group == ('boiler-new',)]
        self.assertEqual([(row['readings'], row['mean']) for row in found], [(1, 1.5)])


if __name__ == '__main__':
    unittest.main()
