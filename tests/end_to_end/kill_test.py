#!/usr/bin/env python3
"""kill -9 at random moments, under load: nothing is lost, nothing is doubled.

One process runs two jobs (events, frames) on two workers while two producers feed it. It is
killed KILLS times, the producers now and then too. Then it runs to the end, and the oracle
recomputes every window from what lies in the input topics. MILLRACE_SEED=N repeats a run's
choices; the moments at which the system schedules the processes remain its own.
"""
import contextlib
import json
import os
import random
import subprocess
import threading
import time
import unittest
from collections import defaultdict

import frames
import harness
from harness import SECOND
from oracle import Windows

KILLS = int(os.environ.get('MILLRACE_KILLS', '300'))
SEED = int(os.environ.get('MILLRACE_SEED', time.time_ns() % 10**9))
SENSORS = 50
EVENT_MS = 20       # event time between two events
DISORDER_MS = 2000  # how far back an event may lie; below the grace of 5 s

EVENTS = '''
job: events
from: {topic: events, format: json, key: sensor, timestamp: {field: time, unit: ms},
       fields: {sensor: text, value: number, run: number, line: number}}
commit: 100ms
group_by: [sensor]
window: {every: 10s}
stats:
  n: count
  total: sum(value)
  mean: mean(value)
  std: std_samp(value)
  low: min(value)
  high: max(value)
  first: first(value)
  last: last(value)
  p50: median(value)
to: [{topic: event-rows}]
'''
EVENT_STATS = {
    'n': ('count', None), 'total': ('sum', 'value'), 'mean': ('mean', 'value'),
    'std': ('std_samp', 'value'), 'low': ('min', 'value'), 'high': ('max', 'value'),
    'first': ('first', 'value'), 'last': ('last', 'value'),
    'p50': ('quantile', 'value', 0.5, 0.01),
}

FRAMES = '''
job: frames
from: {topic: frames, format: waveform}
lateness: {grace: 1s}
commit: 100ms
group_by: [device]
window: {every: 1s}
stats:
  n: count
  values: count(current)
  mean: mean(current)
  std: std_pop(current)
  charge: integral(current)
  low: min(current)
  high: max(current)
  first: first(current)
  last: last(current)
  p99: quantile(current, 0.99)
to: [{topic: frame-rows}]
'''
FRAME_STATS = {
    'n': ('count', None), 'values': ('count', 'current'), 'mean': ('mean', 'current'),
    'std': ('std_pop', 'current'), 'charge': ('integral', 'current'), 'low': ('min', 'current'),
    'high': ('max', 'current'), 'first': ('first', 'current'), 'last': ('last', 'current'),
    'p99': ('quantile', 'current', 0.99, 0.01),
}


class Feeder(threading.Thread):
    """Feeds lines to one `millrace produce` after another; each start is a run of its own."""

    def __init__(self, case, generator):
        super().__init__(daemon=True)
        self.case, self.generator = case, generator
        self.run_number, self.now_ms = 0, harness.nanoseconds('2026-11-01T00:00:00Z') // 10**6
        self.stopping, self.pause = False, threading.Event()
        self.process = None
        self.sent = defaultdict(list)  # run -> sensors, line by line

    def line(self, number):
        self.now_ms += EVENT_MS
        sensor = f's{self.generator.randrange(SENSORS)}'
        self.sent[self.run_number].append(sensor)
        event = {'sensor': sensor, 'run': self.run_number, 'line': number,
                 'time': self.now_ms - self.generator.randrange(DISORDER_MS),
                 'value': self.generator.gauss(20, 5)}
        return json.dumps(event).encode() + b'\n'

    def feed(self):
        self.run_number += 1
        self.process = self.case.start('produce', 'events', '--log', self.case.log, '--key',
                                       'sensor', '--partitions', 4, stdin=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)
        number = 0
        with contextlib.suppress(BrokenPipeError), self.process.stdin:
            while not self.stopping:
                chunk = b''.join(self.line(number + i) for i in range(20))
                number += 20
                self.process.stdin.write(chunk)
                self.process.stdin.flush()
                self.pause.wait(0.01)
        self.process.wait()

    def run(self):
        while not self.stopping:
            self.feed()

    def kill(self):
        if self.process:
            self.process.kill()

    def stop(self):
        self.stopping = True
        self.join()


def setUpModule():
    print(f'MILLRACE_SEED={SEED} MILLRACE_KILLS={KILLS}', flush=True)


class Kill(harness.Case):
    def setUp(self):
        super().setUp()
        self.generator = random.Random(SEED)
        self.simulator = None
        self.jobs = [self.job(EVENTS, 'events.yaml'), self.job(FRAMES, 'frames.yaml')]

    def simulate(self):
        """Devices that send in real time, from now on."""
        self.simulator = self.start(
            'produce', 'frames', '--log', self.log, '--partitions', 2, '--simulate', 'joulescope',
            '--devices', 8, '--rate', '1kHz', '--for', '1h', '--speed', '1x',
            stderr=subprocess.DEVNULL)

    def kill_simulator(self):
        self.simulator.kill()
        self.simulator.wait()

    def has_topics(self):
        done = subprocess.run([harness.PROGRAM, 'topics', '--log', self.log],
                              capture_output=True, check=False)
        return b'events' in done.stdout and b'frames' in done.stdout

    def kill_once(self):
        """One life of `run`, ended at a moment that it does not choose."""
        runner = self.start('run', *self.jobs, '--log', self.log, '--workers', 2,
                            stderr=subprocess.PIPE)
        try:
            runner.wait(self.generator.uniform(0.02, 0.3))
        except subprocess.TimeoutExpired:
            runner.kill()
            runner.communicate()
            return
        self.fail('run ended by itself: ' + runner.stderr.read().decode())

    def check_producer(self, records, feeder):
        """Each producer's lines are in their partition in order, without a gap before the last."""
        place, found = {}, defaultdict(list)
        for record in records:
            event = json.loads(record.value)
            place[event['sensor']] = record.partition
            found[event['run'], record.partition].append(event['line'])
        for (run, partition), lines in found.items():
            due = [i for i, sensor in enumerate(feeder.sent[run]) if place.get(sensor) == partition]
            self.assertEqual(lines, due[:len(lines)], f'producer run {run}')

    def check_rows(self, topic, group, windows, last_start_ns):
        seen, early = defaultdict(list), 0
        for record in self.dump(topic):
            row = json.loads(record.value)
            seen[row[group], row['window_start']].append(row['rev'])
            early += record.append_ns < last_start_ns
        for cell, revisions in seen.items():
            self.assertEqual(revisions, list(range(len(revisions))), f'revisions of {cell}')
        self.assertGreater(early, KILLS // 2, 'too few rows came out between the kills')
        self.assertEqual(windows.faults(self.last_rows(topic, [group]))[:10], [])

    def event_windows(self, records):
        windows = Windows(10 * SECOND, EVENT_STATS)
        for record in records:
            event = json.loads(record.value)
            windows.add((event['sensor'],), event['time'] * 10**6, event)
        return windows

    def frame_windows(self, records):
        windows = Windows(SECOND, FRAME_STATS)
        for record in records:
            frame = frames.decode(record.value)
            windows.add_frame((frame.device,), frame)
        return windows

    def test_nothing_is_lost_or_doubled_by_kill_9(self):
        feeder = Feeder(self, random.Random(SEED + 1))
        feeder.start()
        self.simulate()
        self.addCleanup(self.kill_simulator)
        harness.wait_for(self.has_topics, 'the producers to make their topics')
        for kill in range(KILLS):
            self.kill_once()
            if kill % 10 == 4:
                feeder.kill()
            if kill % 10 == 9:
                self.kill_simulator()
                self.simulate()
        feeder.stop()
        self.kill_simulator()

        last_start_ns = time.time_ns()
        _, err = self.millrace('run', *self.jobs, '--log', self.log, '--workers', 2,
                               '--until-end', '--close')
        account = harness.Account(err)
        events, waves = self.dump('events'), self.dump('frames')
        self.assertEqual(account.total('read'), len(events) + len(waves))
        self.assertEqual(account.total('used'), len(events) + len(waves))
        self.check_producer(events, feeder)
        self.check_rows('event-rows', 'sensor', self.event_windows(events), last_start_ns)
        self.check_rows('frame-rows', 'device', self.frame_windows(waves), last_start_ns)


if __name__ == '__main__':
    unittest.main()
