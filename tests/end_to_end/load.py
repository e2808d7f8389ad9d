"""Two jobs under load, and what must come of it: what the tests that kill have in common.

A feeder sends numbered events with disorder, a simulator frames in real time, until they are
stopped or killed. The oracle then reads the input topics and recomputes every window.
"""
import contextlib
import json
import string
import subprocess
import threading
import time
from collections import defaultdict

import frames
import harness
from harness import SECOND
from oracle import Windows

SENSORS = [f's{i}' for i in range(50)]
DEVICES = [f'js220-{i:02}' for i in range(1, 9)]
RETAIN_NS = 3600 * SECOND  # the default
CHUNK = 1000               # lines written at once, at most
DISORDER_MS = 2000         # how far back an event may lie; below the grace of 5 s

# $tag makes the names of one run; $more is for one kind of log.
EVENTS = string.Template('''
job: events$tag
from: {topic: events$tag, format: json, key: sensor, timestamp: {field: time, unit: ms},
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
to: [{topic: event-rows$tag}]
$more''')
EVENT_STATS = {
    'n': ('count', None), 'total': ('sum', 'value'), 'mean': ('mean', 'value'),
    'std': ('std_samp', 'value'), 'low': ('min', 'value'), 'high': ('max', 'value'),
    'first': ('first', 'value'), 'last': ('last', 'value'),
    'p50': ('quantile', 'value', 0.5, 0.01),
}

FRAMES = string.Template('''
job: frames$tag
from: {topic: frames$tag, format: waveform}
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
to: [{topic: frame-rows$tag}]
$more''')
FRAME_STATS = {
    'n': ('count', None), 'values': ('count', 'current'), 'mean': ('mean', 'current'),
    'std': ('std_pop', 'current'), 'charge': ('integral', 'current'), 'low': ('min', 'current'),
    'high': ('max', 'current'), 'first': ('first', 'current'), 'last': ('last', 'current'),
    'p99': ('quantile', 'current', 0.99, 0.01),
}


# In two stages: by what a table says of the device.
COMPARE = string.Template('''
job: compare$tag
from: {topic: frames$tag, format: waveform}
lateness: {grace: 1s}
join:
  algo: {topic: versions$tag, key: device, as_of: valid_from}
commit: 100ms
group_by: [{algorithm: algo.algorithm}]
window: {every: 1s}
stats:
  n: count
  devices: distinct(device)
  mean: mean(current)
  std: std_pop(current)
  charge: integral(current)
  low: min(current)
  high: max(current)
  first: first(current)
  last: last(current)
  p99: quantile(current, 0.99)
to: [{topic: compare-rows$tag}]
$more''')
COMPARE_STATS = {**{name: stat for name, stat in FRAME_STATS.items() if name != 'values'},
                 'devices': ('keys', None)}


class Feeder(threading.Thread):
    """Feeds lines to one `millrace produce` after another; each start is a run of its own.

    It writes `rate` lines a second, `step_ms` of event time apart."""

    def __init__(self, case, topic, generator, rate=2000, step_ms=20):
        super().__init__(daemon=True)
        self.case, self.topic, self.generator = case, topic, generator
        self.rate, self.step_ms = rate, step_ms
        self.run_number, self.now_ms = 0, harness.nanoseconds('2026-11-01T00:00:00Z') // 10**6
        self.stopping, self.pause = False, threading.Event()
        self.process = None
        self.sent = defaultdict(list)  # run -> sensors, line by line
        case.addCleanup(self.close)

    def line(self, number):
        self.now_ms += self.step_ms
        sensor = self.generator.choice(SENSORS)
        self.sent[self.run_number].append(sensor)
        event = {'sensor': sensor, 'run': self.run_number, 'line': number,
                 'time': self.now_ms - self.generator.randrange(DISORDER_MS),
                 'value': self.generator.gauss(20, 5)}
        return json.dumps(event).encode() + b'\n'

    def feed(self):
        self.run_number += 1
        self.process = self.case.start('produce', self.topic, '--log', self.case.log, '--key',
                                       'sensor', '--partitions', 4, stdin=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)
        number, began = 0, time.monotonic()
        with contextlib.suppress(BrokenPipeError), self.process.stdin:
            while not self.stopping:
                due = min(int((time.monotonic() - began) * self.rate), number + CHUNK)
                self.process.stdin.write(b''.join(self.line(i) for i in range(number, due)))
                self.process.stdin.flush()
                number = due
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

    def close(self):
        """At once, whatever has not been written yet."""
        self.stopping = True
        while self.is_alive():
            self.kill()
            self.join(0.1)

    def faults(self, records):
        """Each run's lines are in their partition in order, without a gap before the last."""
        place, found = {}, defaultdict(list)
        for record in records:
            event = json.loads(record.value)
            place[event['sensor']] = record.partition
            found[event['run'], record.partition].append(event['line'])
        for (run, partition), lines in found.items():
            due = [i for i, sensor in enumerate(self.sent[run]) if place.get(sensor) == partition]
            if lines != due[:len(lines)]:
                yield f'producer run {run}, partition {partition}: lines lost or doubled'


class Simulator:
    """Devices that send in real time, from now on."""

    def __init__(self, case, topic):
        self.case, self.topic = case, topic
        self.start()
        case.addCleanup(self.kill)

    def start(self):
        self.process = self.case.start(
            'produce', self.topic, '--log', self.case.log, '--partitions', 2,
            '--simulate', 'joulescope', '--devices', len(DEVICES), '--rate', '1kHz',
            '--for', '4h', '--speed', '1x', stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()


def event_windows(records):
    windows = Windows(10 * SECOND, EVENT_STATS)
    for record in records:
        event = json.loads(record.value)
        windows.add((event['sensor'],), event['time'] * 10**6, event)
    return windows


def frame_windows(records):
    windows = Windows(SECOND, FRAME_STATS)
    for record in records:
        frame = frames.decode(record.value)
        windows.add_frame((frame.device,), frame)
    return windows


def compare_windows(records, versions):
    windows = Windows(SECOND, COMPARE_STATS)
    for record in records:
        frame = frames.decode(record.value)
        times = frame.times()
        first, changes = versions.of(frame.device, times[0], times[-1])
        windows.add_frame((first,), frame, [(at, (name,)) for at, name in changes])
    return windows


class Rows:
    """The rows of a topic with one group: what was said of each cell, and what holds at last."""

    def __init__(self, records, group):
        self.revisions, self.last = defaultdict(list), {}
        for record in records:
            row = json.loads(record.value)
            cell = (row[group],), harness.nanoseconds(row['window_start'])
            if row['closed']:
                self.revisions[cell].append(row['rev'])
                self.last[cell] = row

    def count(self):
        return sum(map(len, self.revisions.values()))

    def faults(self, windows):
        """Every difference to the oracle, and revisions that are not in order, as text."""
        return [f'revisions of {cell}: {revisions}'
                for cell, revisions in self.revisions.items()
                if revisions != list(range(len(revisions)))] + windows.faults(self.last)
