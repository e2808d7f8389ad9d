#!/usr/bin/env python3
"""A job in two stages on a real broker: its rows are the oracle's although its connections are cut
and answers to its commits are lost, what its first stage handed over is trimmed, and a reset begins
anew."""
import json
import random
import subprocess
import unittest

import cluster
import harness
import load
import oracle
import verdict
from background import Run
from faults import END_TXN, broker_behind_proxy
from harness import SECOND, wait_for

SEED = 20261121
ROOMS = 'kitchen', 'cellar', 'attic', ''
JOB = load.string.Template('''
job: rooms$tag
from: {topic: events$tag, format: json, key: sensor, timestamp: {field: time, unit: ms},
       fields: {sensor: text, room: text, value: number}}
commit: 100ms
group_by: [room]
window: {every: 10s}
stats: {n: count, total: sum(value), std: std_samp(value), first: first(value), last: last(value)}
to: [{topic: room-rows$tag}]
kafka: {librdkafka: {session.timeout.ms: 2000, heartbeat.interval.ms: 300,
                     socket.timeout.ms: 1000}}
''')
STATS = {'n': ('count', None), 'total': ('sum', 'value'), 'std': ('std_samp', 'value'),
         'first': ('first', 'value'), 'last': ('last', 'value')}


class Rooms(load.Feeder):
    """Sensors move from room to room."""

    def line(self, number):
        event = json.loads(super().line(number))
        return json.dumps(dict(event, room=self.generator.choice(ROOMS))).encode() + b'\n'


class Stages(cluster.Case):
    @classmethod
    def setUpClass(cls):
        cls.behind, cls.proxy = broker_behind_proxy()
        cls.addClassCleanup(cls.proxy.close)

    def setUp(self):
        super().setUp()
        self.use(self.behind)
        self.addCleanup(self.proxy.tell, 'heal')
        self.proxied = 'kafka://' + self.proxy.address
        self.path = self.job(JOB.substitute(tag=self.tag))
        self.name, self.rows = 'rooms' + self.tag, 'room-rows' + self.tag
        self.between = self.name + '-regroup-repartition'
        self.feeder = Rooms(self, 'events' + self.tag, random.Random(SEED), rate=500, step_ms=80)
        self.feeder.start()
        wait_for(lambda: self.size('events' + self.tag) > 0, 'the first events')

    def topic(self, name):
        """Its line of `topics`, in words; none while it is not there."""
        out, _ = self.millrace('topics', '--log', self.log)
        return next((line.split() for line in out.splitlines() if line.split()[0] == name), [])

    def size(self, name):
        line = self.topic(name)
        return int(line[2].replace(',', '')) if line else 0

    def wait_for_rows(self):
        before = self.size(self.rows)
        wait_for(lambda: self.size(self.rows) > before, 'rows', 30)

    def begin(self):
        self.runner = Run(self, self.path, '--log', self.proxied, '--workers', 2)
        self.wait_for_rows()

    def end(self):
        """Ends the load and runs to the end, without the proxy."""
        self.feeder.stop()
        _, err = self.millrace('run', self.path, '--log', self.log, '--until-end', '--close')
        return harness.Account(err)

    def check(self, account, revisions=True):
        events = self.dump('events' + self.tag)
        for outcome in ('read', 'used'):
            self.assertEqual(account.total(outcome), len(events))
            self.assertEqual(account.total(outcome, samples=True, topic=self.between),
                             len(events))
        windows = oracle.Windows(10 * SECOND, STATS)
        for record in events:
            event = json.loads(record.value)
            windows.add((event['room'],), event['time'] * 10**6, event)
        self.wait_until_right(windows, revisions)
        if revisions:
            self.assertIsNone(verdict.untrimmed(self.records(self.between)))

    def wait_until_right(self, windows, revisions):
        """The last rows that were committed are there to be read a moment later."""
        def right():
            rows = load.Rows(self.records(self.rows), 'room')
            self.faults = rows.faults(windows) if revisions else windows.faults(rows.last)
            return not self.faults

        try:
            wait_for(right, 'the last rows', 10)
        except AssertionError:
            self.assertEqual(self.faults[:10], [])

    def test_reset_connections_change_no_row(self):
        self.begin()
        for _ in range(8):
            self.proxy.tell('reset')
            self.wait_for_rows()
        self.runner.stop_after_fault()
        self.check(self.end())

    def test_a_lost_answer_to_a_commit_doubles_no_delta(self):
        self.begin()
        for _ in range(6):
            before = self.proxy.status()
            self.proxy.tell('lose', END_TXN, 1)
            wait_for(lambda: self.proxy.status()['lost'] > before['lost'], 'an answer to lose')
            self.wait_for_rows()
        self.runner.stop_after_fault()
        self.check(self.end())

    def test_a_reset_begins_anew_whatever_lies_between_the_stages(self):
        self.begin()
        self.runner.process.kill()
        self.runner.end()
        self.feeder.stop()
        self.assertGreater(len(self.dump(self.between)), 0)
        words = 'run', self.path, '--log', self.log, '--until-end', '--close', '--reset'

        def runs():
            done = self.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.said = done.communicate()[1].decode()
            if done.returncode:
                self.assertRegex(self.said, 'is running on')  # until its sessions are over
            return done.returncode == 0

        wait_for(runs, 'the killed process to count no more', 30)
        self.check(harness.Account(self.said), revisions=False)

    def test_a_second_process_takes_over_a_topic_that_is_trimmed(self):
        self.begin()
        wait_for(self.is_trimmed, 'the second stage to trim', 40)
        other = Run(self, self.path, '--log', self.log, '--dir', self.folder / 'other')
        self.wait_for_rows()
        self.runner.stop()
        self.wait_for_rows()
        self.runner = Run(self, self.path, '--log', self.log)
        self.wait_for_rows()
        other.stop()
        self.wait_for_rows()
        self.runner.stop()
        self.check(self.end())

    def is_trimmed(self):
        firsts = {}
        for record in self.records(self.between):
            firsts.setdefault(record.partition, record.offset)
        return any(first > 0 for first in firsts.values())


if __name__ == '__main__':
    unittest.main()
