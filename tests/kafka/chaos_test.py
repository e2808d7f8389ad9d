#!/usr/bin/env python3
"""Exactly once under fire, on a real broker: engines are killed, stopped and multiplied and the
broker is restarted and killed while events and frames keep coming. One job groups events by their
key; another joins frames with a table and groups them by what it says, in two stages. Then the
oracle recomputes every window from the input topics and compares with the output, bit by bit, and
with the changelog.

    tests/kafka/chaos_test.py                           the portion that scripts/test runs
    MILLRACE_CHAOS=whole tests/kafka/chaos_test.py      the whole; its figures: results.md

MILLRACE_KILLS, MILLRACE_STOPS, MILLRACE_RESTARTS, MILLRACE_BROKER_KILLS, MILLRACE_CYCLES and
MILLRACE_RECORDS change single amounts; MILLRACE_SEED=N repeats a run's choices.
"""
import collections
import os
import random
import statistics
import subprocess
import sys
import threading
import time
import unittest

import cluster
import fleet

import harness
import load
import verdict
import versions

WHOLE = os.environ.get('MILLRACE_CHAOS') == 'whole'
SEED = int(os.environ.get('MILLRACE_SEED', time.time_ns() % 10**9))
SLOTS = 3

# Sessions and transactions that are over soon, so that a dead process costs seconds.
MORE = '''kafka:
  librdkafka:
    session.timeout.ms: 1500
    heartbeat.interval.ms: 300
    transaction.timeout.ms: 3000
    socket.timeout.ms: 2500
'''
# The broker looks each second for transactions whose time is over.
PAUSE_SECONDS = 5
# Small segments, so that the changelogs are compacted under the engine's feet.
BROKER = ['--set', 'log.segment.bytes=4194304', '--set', 'log.cleaner.min.cleanable.ratio=0.1']


def amount(name, part, whole):
    return int(os.environ.get('MILLRACE_' + name, whole if WHOLE else part))


AMOUNTS = {
    'kill': amount('KILLS', 44, 210),
    'stop': amount('STOPS', 3, 12),
    'restart_broker': amount('RESTARTS', 2, 8),
    'kill_broker': amount('BROKER_KILLS', 1, 6),
    'rescale': 2 * amount('CYCLES', 1, 12),  # once up, once down
    'kill_producers': amount('PRODUCER_KILLS', 3, 15),
}
RECORDS = amount('RECORDS', 50_000, 4_000_000)
RATE, STEP_MS = (8000, 2) if WHOLE else (2000, 10)  # 16 and 20 s of event time a second


def setUpModule():
    print(f'MILLRACE_SEED={SEED}', *(f'{name}={n}' for name, n in AMOUNTS.items()), flush=True)


class Chaos(cluster.Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.broker.close)
        self.generator = random.Random(SEED)
        self.done, self.served_after = collections.Counter(), collections.defaultdict(list)
        self.turn = threading.Event()
        names = {'tag': '', 'more': MORE}
        self.jobs = [self.job(load.EVENTS.substitute(names), 'events.yaml'),
                     self.job(load.COMPARE.substitute(names), 'compare.yaml')]
        self.fleet = fleet.Fleet(self, self.jobs, SLOTS)
        self.feeder = load.Feeder(self, 'events', random.Random(SEED + 1), RATE, STEP_MS)
        self.watches = [fleet.Watch(self, 'event-rows', 'sensor', load.SENSORS),
                        fleet.Watch(self, 'compare-rows', 'algorithm', versions.ALGORITHMS)]

    def a_broker(self):
        return cluster.own(*BROKER)

    def pause(self, low, high):
        self.turn.wait(self.generator.uniform(low, high))

    def served(self, what, seconds=90):
        """Until every group has new rows."""
        began, marks = time.monotonic(), [watch.mark() for watch in self.watches]
        lacking = lambda: [group for watch, mark in zip(self.watches, marks)
                           for group in watch.lacking(mark)]

        def all_have_rows():
            self.fleet.check()
            self.announcer.check()
            return not lacking()

        try:
            harness.wait_for(all_have_rows, 'new rows', seconds)
        except AssertionError as error:
            said = [f'-- slot {slot}\n{self.fleet.said(slot)}' for slot in range(SLOTS)]
            raise AssertionError('\n'.join([f'{error} of {lacking()[:8]} after {what}', *said,
                                            self.state()])) from None
        self.served_after[what].append(time.monotonic() - began)

    def state(self):
        """What the broker knows, for whoever must find out what went wrong."""
        groups = [cluster.tool('kafka-consumer-groups', '--bootstrap-server', self.broker.address,
                               '--describe', '--group', name)[0]
                  for name in ('events', 'compare-regroup', 'compare')]
        return '\n'.join([self.millrace('topics', '--log', self.log)[0], *groups])

    # What happens; which one comes next is drawn.

    def kill(self):
        slot = self.generator.choice(list(self.fleet.running))
        self.fleet.kill(slot)
        if self.fleet.running and self.generator.random() < 0.4:
            self.pause(0, 3)  # the others take over, wholly or in part
        self.fleet.start(slot)
        if self.generator.random() < 0.5:
            self.served('kill')
        else:
            self.pause(0.02, 1.5)

    def stop(self):
        slot = self.generator.choice(list(self.fleet.running))
        self.fleet.pause(slot)
        self.pause(PAUSE_SECONDS, PAUSE_SECONDS + 1)
        if len(self.fleet.running) > 1:
            self.served('stop, by the others')
        self.fleet.resume(slot)
        self.served('stop')

    def restart_broker(self):
        self.broker.stop()
        self.pause(0, 3)
        self.broker.start()
        self.served('restart_broker')

    def kill_broker(self):
        self.broker.kill()
        self.pause(0, 3)
        self.broker.start()
        self.served('kill_broker')

    def rescale(self):
        if len(self.fleet.running) == 1:
            for slot in set(range(SLOTS)) - set(self.fleet.running):
                self.fleet.start(slot)
            self.served('rescale up')
        else:
            self.fleet.end(self.generator.sample(list(self.fleet.running), SLOTS - 1))
            self.served('rescale down')

    def kill_producers(self):
        self.feeder.kill()
        self.simulator.kill()
        self.pause(0, 0.5)
        self.simulator.start()

    def begin(self):
        self.feeder.start()
        self.announcer = versions.Announcer(self, 'versions', load.DEVICES,
                                            random.Random(SEED + 2))
        self.announcer.start()
        self.simulator = load.Simulator(self, 'frames')
        harness.wait_for(self.has_topics, 'the producers to make their topics')
        for watch in self.watches:
            watch.start()
        self.fleet.start(0)
        self.served('start')

    def has_topics(self):
        words = [harness.PROGRAM, 'topics', '--log', self.log]
        out = subprocess.run(words, capture_output=True, check=False).stdout.split()
        return b'events' in out and b'frames' in out

    def trouble(self):
        plan = [name for name, n in AMOUNTS.items() for _ in range(n)]
        self.generator.shuffle(plan)
        for number, name in enumerate(plan):
            print(f'{time.monotonic() - self.began:7.1f} s  {number:3}/{len(plan)}  {name}'
                  f'  ({len(self.fleet.running)} running)', file=sys.stderr, flush=True)
            getattr(self, name)()
            self.fleet.check()
            self.done[name] += 1
        harness.wait_for(lambda: sum(map(len, self.feeder.sent.values())) >= RECORDS,
                         f'{RECORDS} records', 3600)

    def check(self, said):
        """Every record was used once, every row is what the oracle says, the changelog agrees."""
        found = verdict.Verdict(self, said, harness.Account(said))
        found.faults += self.feeder.faults(self.records('events'))
        found.one_stage('event-rows')
        found.two_stages()
        found.judge_trim()
        self.done['records'], self.done['rows'] = found.records, found.rows
        self.assertEqual(found.faults[:20], [], f'{len(found.faults)} faults')

    def report(self):
        print(', '.join(f'{name}: {n:,}' for name, n in self.done.items()))
        for what, n in self.fleet.told().items():
            print(f'{what}: {n:,}')
        print(f'SIGTERM to exit: at most {self.fleet.longest_end:.2f} s; without its last commit:'
              f' {self.fleet.gave_up}')
        for what, seconds in sorted(self.served_after.items()):
            print(f'every group had new rows after {what}: median {statistics.median(seconds):.1f}'
                  f' s, at most {max(seconds):.1f} s of {len(seconds)}')
        print(f'took {time.monotonic() - self.began:.0f} s', flush=True)

    def test_exactly_once_under_fire(self):
        self.began = time.monotonic()
        self.begin()
        self.trouble()
        self.served('everything')
        self.feeder.stop()
        self.simulator.kill()
        self.announcer.stop()
        self.announcer.check()
        self.fleet.end(list(self.fleet.running))
        _, err = self.millrace('run', *self.jobs, '--log', self.log, '--workers', 2,
                               '--until-end', '--close')
        try:
            self.check(err)
        finally:
            self.report()


if __name__ == '__main__':
    unittest.main()
