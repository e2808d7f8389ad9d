#!/usr/bin/env python3
"""kill -9 at random moments, under load: nothing is lost, nothing is doubled.

One process runs three jobs (events, frames, and frames that are joined with a table and regrouped)
on two workers while two producers feed it. It is killed KILLS times, the producers now and then
too. Then it runs to the end, and the oracle recomputes every window from what lies in the input
topics. MILLRACE_SEED=N repeats a run's choices; the moments at which the system schedules the
processes remain its own.
"""
import os
import random
import subprocess
import time
import unittest

import harness
import load
import verdict
import versions

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
                     self.job(load.FRAMES.substitute(names), 'frames.yaml'),
                     self.job(load.COMPARE.substitute(names), 'compare.yaml')]

    def has_topics(self):
        done = subprocess.run([harness.PROGRAM, 'topics', '--log', self.log],
                              capture_output=True, check=False)
        return b'events' in done.stdout and b'frames' in done.stdout

    def kill_once(self, seconds):
        """One life of `run`, ended at a moment that it does not choose."""
        runner = self.start('run', *self.jobs, '--log', self.log, '--workers', 2,
                            stderr=subprocess.PIPE)
        try:
            runner.wait(seconds)
        except subprocess.TimeoutExpired:
            runner.kill()
            runner.communicate()
            return
        self.fail('run ended by itself: ' + runner.stderr.read().decode())

    def test_nothing_is_lost_or_doubled_by_kill_9(self):
        feeder = load.Feeder(self, 'events', random.Random(SEED + 1))
        feeder.start()
        announcer = versions.Announcer(self, 'versions', load.DEVICES, random.Random(SEED + 2))
        announcer.start()
        simulator = load.Simulator(self, 'frames')
        harness.wait_for(self.has_topics, 'the producers to make their topics')
        for kill in range(KILLS):
            # two stages hand over at most once in most lives, so some are longer
            self.kill_once(self.generator.uniform(*((0.5, 1.2) if kill % 8 == 7 else (0.02, 0.3))))
            if kill % 10 == 4:
                feeder.kill()
            if kill % 10 == 9:
                simulator.kill()
                simulator.start()
        feeder.stop()
        simulator.kill()
        announcer.stop()
        announcer.check()

        *early, of_two_stages = (len(self.dump(topic)) for topic in (
            'event-rows', 'frame-rows', 'compare-rows'))
        self.assertGreater(min(early), KILLS // 4, 'too few rows came out between the kills')
        self.assertGreater(of_two_stages, 0, 'two stages need longer lives')
        _, err = self.millrace('run', *self.jobs, '--log', self.log, '--workers', 2,
                               '--until-end', '--close')
        found = verdict.Verdict(self, err, harness.Account(err))
        found.one_stage('event-rows')
        found.one_stage('frame-rows')
        found.two_stages()
        found.faults += feeder.faults(self.records('events'))
        self.assertEqual(found.faults[:20], [], f'{len(found.faults)} faults')


if __name__ == '__main__':
    unittest.main()
