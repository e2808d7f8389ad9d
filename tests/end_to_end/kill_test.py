#!/usr/bin/env python3
"""kill -9 at random moments, under load: nothing is lost, nothing is doubled.

One process runs two jobs (events, frames) on two workers while two producers feed it. It is
killed KILLS times, the producers now and then too. Then it runs to the end, and the oracle
recomputes every window from what lies in the input topics. MILLRACE_SEED=N repeats a run's
choices; the moments at which the system schedules the processes remain its own.
"""
import os
import random
import subprocess
import time
import unittest

import changelog
import harness
import load

KILLS = int(os.environ.get('MILLRACE_KILLS', '300'))
SEED = int(os.environ.get('MILLRACE_SEED', time.time_ns() % 10**9))


def setUpModule():
    print(f'MILLRACE_SEED={SEED} MILLRACE_KILLS={KILLS}', flush=True)


class Kill(harness.Case):
    def setUp(self):
        super().setUp()
        self.generator = random.Random(SEED)
        names = {'tag': '', 'more': ''}
        self.jobs = [self.job(load.EVENTS.substitute(names), 'events.yaml'),
                     self.job(load.FRAMES.substitute(names), 'frames.yaml')]

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

    def test_nothing_is_lost_or_doubled_by_kill_9(self):
        feeder = load.Feeder(self, 'events', random.Random(SEED + 1))
        feeder.start()
        simulator = load.Simulator(self, 'frames')
        harness.wait_for(self.has_topics, 'the producers to make their topics')
        for kill in range(KILLS):
            self.kill_once()
            if kill % 10 == 4:
                feeder.kill()
            if kill % 10 == 9:
                simulator.kill()
                simulator.start()
        feeder.stop()
        simulator.kill()

        early = len(self.dump('event-rows')), len(self.dump('frame-rows'))
        self.assertGreater(min(early), KILLS // 2, 'too few rows came out between the kills')
        _, err = self.millrace('run', *self.jobs, '--log', self.log, '--workers', 2,
                               '--until-end', '--close')
        account = harness.Account(err)
        events, waves = self.dump('events'), self.dump('frames')
        self.assertEqual(account.total('read'), len(events) + len(waves))
        self.assertEqual(account.total('used'), len(events) + len(waves))
        self.assertEqual(list(feeder.faults(events)), [])
        for name, group, windows in (('event', 'sensor', load.event_windows(events)),
                                     ('frame', 'device', load.frame_windows(waves))):
            rows = load.Rows(self.records(f'{name}-rows'), group)
            cells = changelog.cells(self.records(f'{name}s-windows-changelog'))
            self.assertEqual(rows.faults(windows)[:10], [])
            self.assertEqual(list(changelog.faults(cells, rows, load.RETAIN_NS))[:10], [])


if __name__ == '__main__':
    unittest.main()
