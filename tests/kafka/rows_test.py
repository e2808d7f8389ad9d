#!/usr/bin/env python3
"""The job device-transitions on a real broker: rows in the order of their records, each once, and
states that outlive kill -9 and go with their partitions from process to process."""
import random
import signal
import subprocess
import unittest

import cluster
import harness

import transitions_test

KILLS = 6


class Rows(transitions_test.Stream, cluster.Case):
    def run_some(self, name, jobs):
        """A process of each job; what names them is in folders of their own."""
        runners = []
        for job in jobs:
            runner = self.start('run', job, '--log', self.log, '--dir',
                                self.folder / name / job.stem, stderr=subprocess.DEVNULL)
            self.addCleanup(runner.wait)
            self.addCleanup(runner.kill)
            runners.append(runner)
        return runners

    def end(self, runners, code, stop):
        for runner in runners:
            self.assertIsNone(runner.poll(), 'it has ended by itself')
            stop(runner)
        for runner in runners:
            self.assertEqual(runner.wait(60), code)

    def count(self):
        topic = 'device-transitions' + self.tag
        out, _ = self.millrace('topics', '--log', self.log)
        return len(self.dump(topic)) if f'{topic} ' in out else 0

    def test_no_change_is_lost_or_doubled_by_kill_9(self):
        jobs, generator = self.jobs(), random.Random(transitions_test.SEED)
        names = ['one', 'two']
        self.feed(self.events(generator, 1000))
        runners = {name: self.run_some(name, jobs) for name in names}
        for kill in range(KILLS):
            rows = self.count()
            self.feed(self.events(generator, 500))
            harness.wait_for(lambda known=rows: self.count() > known, 'more rows')
            name = names[kill % 2]
            self.end(runners[name], -signal.SIGKILL, subprocess.Popen.kill)
            runners[name] = self.run_some(name, jobs)
        for each in runners.values():
            self.end(each, 0, subprocess.Popen.terminate)
        for job in jobs:
            self.millrace('run', job, '--log', self.log, '--dir', self.folder / 'one' / job.stem,
                          '--until-end')
        self.check()


if __name__ == '__main__':
    unittest.main()
