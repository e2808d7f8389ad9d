#!/usr/bin/env python3
"""The job device-transitions against an oracle that remembers a state per device: under kill -9,
in several partitions, and with more devices than its memory holds.

MILLRACE_SEED=N repeats a run's choices; when the system schedules the processes remains its own.
"""
import json
import os
import random
import subprocess
import time
import unittest
from collections import defaultdict

import harness

KILLS = int(os.environ.get('MILLRACE_KILLS', '300')) // 10
SEED = int(os.environ.get('MILLRACE_SEED', time.time_ns() % 10**9))
PARTITIONS = 3
JOB = harness.ROOT / 'jobs/device-transitions.yaml'
TURNS = {('device_enter', 'device_exit'), ('device_exit', 'device_enter')}
START_MS = harness.nanoseconds('2025-07-08T00:00:00Z') // 10**6
# The shares of the published example: 24, 16, 6 and 5 of 51 events, of ten cameras.
KINDS = ['device_enter'] * 24 + ['device_exit'] * 16 + ['status_update'] * 6 + ['heartbeat'] * 5
DEVICES = [f'cam-{i:03}' for i in range(1, 11)]


def setUpModule():
    print(f'MILLRACE_SEED={SEED} kills: {KILLS}', flush=True)


def row_of(job, event):
    return {'job': job, 'time': harness.iso(event['timestamp'] * 10**6),
            'device_id': event['device_id'], 'event_type': event['event_type']}


class Oracle:
    """What must come of the records of the input, in their order in each partition."""

    def __init__(self, job, records):
        self.rows = defaultdict(list)  # partition -> (key, row)
        self.refused, self.read, last = [], 0, {}
        for record in records:
            event = json.loads(record.value)
            device, kind = event['device_id'], event.get('event_type')
            self.read += 1
            if kind not in ('device_enter', 'device_exit'):
                continue
            if device in last and (last[device], kind) not in TURNS:
                self.refused.append((record.partition, record.offset))
                continue
            last[device] = kind
            self.rows[record.partition].append((record.key, row_of(job, event)))

    def kept(self):
        return sum(map(len, self.rows.values()))


class Stream:
    """What a case needs to feed the job, and to compare; `tag` is behind every name."""
    tag = ''
    now_ms = START_MS

    def events(self, generator, count):
        for _ in range(count):
            self.now_ms += generator.randrange(1000)
            event = {'device_id': generator.choice(DEVICES), 'timestamp': self.now_ms,
                     'event_type': generator.choice(KINDS)}
            if generator.random() < 0.02:
                del event['event_type']
            yield event

    def feed(self, events):
        self.produce('device-events' + self.tag, events, key='device_id', partitions=PARTITIONS)

    def jobs(self):
        """The job as it ships, and one that keeps what it refuses; both commit often."""
        text = JOB.read_text(encoding='utf-8') + 'commit: 20ms\n'
        for name in ('job: device-transitions', 'topic: device-events',
                     '- topic: device-transitions'):
            text = text.replace(name + '\n', name + self.tag + '\n')
        letters = text.replace('job: device-transitions', 'job: letters')
        letters = letters.replace('- topic: device-transitions', '- topic: letters-rows')
        letters = letters.replace('  by: device_id', '  by: device_id\n  refused: dead_letter')
        return [self.job(text), self.job(letters, 'letters.yaml')]

    def rows(self, topic):
        rows = defaultdict(list)
        for record in self.records(topic + self.tag):
            rows[record.partition].append((record.key, json.loads(record.value)))
        return rows

    def letters(self, topic):
        return sorted((letter.partition, int(letter.headers['__streams.errors.offset']))
                      for letter in self.records(topic))

    def check(self):
        """Every row and dead letter of both jobs; returns the oracle."""
        records = self.dump('device-events' + self.tag)
        for job, topic in (('device-transitions', 'device-transitions'),
                           ('letters', 'letters-rows')):
            oracle = Oracle(job + self.tag, records)
            self.assertEqual(dict(self.rows(topic)), dict(oracle.rows))
            self.assertGreater(len(oracle.refused), oracle.read // 10)
        self.assertEqual(self.letters(f'device-transitions{self.tag}-dead-letters'), [])
        self.assertEqual(self.letters(f'letters{self.tag}-dead-letters'), sorted(oracle.refused))
        return oracle


class Transitions(Stream, harness.Case):
    def test_no_change_is_lost_or_doubled_by_kill_9(self):
        jobs, generator = self.jobs(), random.Random(SEED)
        self.feed(self.events(generator, 1000))
        for _ in range(KILLS):
            runner = self.start('run', *jobs, '--log', self.log, '--workers', 2,
                                stderr=subprocess.PIPE)
            self.feed(self.events(generator, generator.randrange(500)))
            with self.assertRaises(subprocess.TimeoutExpired):
                runner.wait(generator.uniform(0.02, 0.3))
            runner.kill()
            runner.communicate()
        self.assertTrue(self.dump('device-transitions'), 'no row came out between the kills')
        _, err = self.millrace('run', *jobs, '--log', self.log, '--workers', 2, '--until-end')
        account, oracle = harness.Account(err), self.check()
        counts = [account.total(outcome)
                  for outcome in ('read', 'used', 'filtered', 'dead-lettered')]
        self.assertEqual(counts, [2 * count for count in (
            oracle.read, oracle.kept(), oracle.read - oracle.kept(), 0)])  # of two jobs

    def test_states_beyond_the_memory_limit_stop_the_job_and_nothing_is_lost(self):
        devices = 20000
        text = JOB.read_text(encoding='utf-8')
        small, large = (self.job(text + f'memory: {size}\n', name) for size, name in
                        (('2MiB', 'small.yaml'), ('64MiB', 'large.yaml')))
        self.feed({'device_id': f'camera-{i}', 'timestamp': START_MS + turn, 'event_type': kind}
                  for turn, kind in enumerate(('device_enter', 'device_enter', 'device_exit'))
                  for i in range(devices))
        _, err = self.millrace('run', small, '--log', self.log, '--until-end', code=1)
        self.assertIn('the limit (memory) is 2 MiB', err)
        self.millrace('run', large, '--log', self.log, '--until-end')
        oracle = Oracle('device-transitions', self.dump('device-events'))
        self.assertEqual(oracle.kept(), 2 * devices)
        self.assertEqual(dict(self.rows('device-transitions')), dict(oracle.rows))


if __name__ == '__main__':
    unittest.main()
