#!/usr/bin/env python3
"""A broker that is away, hangs, or is somewhere else: the job waits where that can help and says so
once, it ends in time when it is told to, and nothing is lost."""
import os
import random
import signal
import threading
import unittest

import cluster
import harness
import load
from background import Run
from faults import free_port
from harness import wait_for

SEED = 20261121
WAITING = 'waiting for'


class Away(cluster.Case):
    def setUp(self):
        super().setUp()
        self.use(cluster.own())
        self.addCleanup(self.broker.close)
        self.path = self.job(load.EVENTS.substitute({'tag': self.tag, 'more': ''}))
        self.events, self.rows = 'events' + self.tag, 'event-rows' + self.tag

    def size(self, topic):
        out, _ = self.millrace('topics', '--log', self.log)
        sizes = [line.split()[2] for line in out.splitlines() if line.split()[0] == topic]
        return int(sizes[0].replace(',', '')) if sizes else 0

    def fed(self):
        """A feeder, and a run that has begun to give rows."""
        feeder = load.Feeder(self, self.events, random.Random(SEED), rate=500, step_ms=80)
        feeder.start()
        wait_for(lambda: self.size(self.events) > 0, 'the first events')
        run = Run(self, self.path, '--log', self.log, '--workers', 2)
        wait_for(lambda: self.size(self.rows) > 0, 'the first rows')
        return feeder, run

    def check(self, feeder):
        feeder.stop()
        _, err = self.millrace('run', self.path, '--log', self.log, '--until-end', '--close')
        events = self.dump(self.events)
        self.assertEqual(harness.Account(err).total('used'), len(events))
        self.assertEqual(list(feeder.faults(events)), [])
        rows = load.Rows(self.dump(self.rows), 'sensor')
        self.assertEqual(rows.faults(load.event_windows(events))[:10], [])

    def signal(self, what):
        os.kill(int((self.broker.folder / 'pid').read_text()), what)

    def last(self, seconds):
        """How long the trouble lasts is what the test is about."""
        threading.Event().wait(seconds)

    def test_at_the_start_it_waits_says_so_once_and_goes_on(self):
        self.produce(self.events, [{'sensor': 'a', 'value': 1, 'time': i, 'run': 1, 'line': i}
                                   for i in range(1000)], 'sensor', 4)
        self.broker.stop()
        run = Run(self, self.path, '--log', self.log, '--until-end', '--close')
        run.wait_until_said(WAITING)
        self.last(5)
        self.assertEqual(len(run.said(WAITING)), 1, run.text())
        self.assertIn(self.broker.address, run.said(WAITING)[0])
        self.broker.start()
        self.assertEqual(run.end(), 0, run.text())
        self.assertEqual(harness.Account(run.text()).total('used'), 1000)

    def test_a_wrong_address_is_named_and_the_wait_can_be_ended(self):
        address = f'127.0.0.1:{free_port()}'
        run = Run(self, self.path, '--log', 'kafka://' + address)
        run.wait_until_said(WAITING)
        self.assertIn(address, run.said(WAITING)[0])
        self.assertIn('refused', run.said(WAITING)[0])
        run.stop(1)

    def test_a_host_that_has_no_address_is_named(self):
        run = Run(self, self.path, '--log', 'kafka://no-such-host.invalid:9092')
        run.wait_until_said(r'no-such-host\.invalid')
        self.assertRegex(run.text(), 'resolve|not known')
        run.stop(1)

    def test_no_address_is_a_bad_configuration(self):
        for url in ('kafka://', 'kafka:', 'kafka://:9092', 'kafka://host:port'):
            with self.subTest(url):
                _, err = self.millrace('run', self.path, '--log', url, code=78)
                self.assertIn('kafka://', err)

    def test_away_under_load_and_back(self):
        feeder, run = self.fed()
        self.broker.stop()
        self.last(10)
        run.wait_until_said(WAITING)
        self.assertLess(len(run.lines), 10, run.text())
        self.broker.start()
        run.wait_until_said('goes on', 60)
        before = self.size(self.rows)
        wait_for(lambda: self.size(self.rows) > before, 'rows after it came back')
        self.assertLess(len(run.lines), 20, run.text())
        run.stop_after_fault()
        self.check(feeder)

    def test_sigterm_under_load_ends_in_time_with_everything_committed(self):
        feeder, run = self.fed()
        for _ in range(3):
            run.stop()
            read = harness.Account(run.text()).total('read')
            self.assertGreater(read, 0)
            run = Run(self, self.path, '--log', self.log, '--workers', 2)
            before = self.size(self.rows)
            wait_for(lambda before=before: self.size(self.rows) > before, 'more rows')
        run.stop()
        self.check(feeder)

    def test_sigterm_ends_in_time_while_the_broker_hangs(self):
        feeder, run = self.fed()
        self.signal(signal.SIGSTOP)
        self.last(1)
        run.stop(1)
        self.assertRegex(run.lines[-1], 'read again')
        self.signal(signal.SIGCONT)
        self.check(feeder)

    def test_sigterm_ends_in_time_while_the_broker_is_gone(self):
        feeder, run = self.fed()
        self.broker.kill()
        self.last(1)
        run.stop_after_fault()
        self.assertRegex(run.text(), 'again')
        self.broker.start()
        self.check(feeder)

    def test_a_broker_that_hangs_for_a_while_costs_nothing(self):
        feeder, run = self.fed()
        self.signal(signal.SIGSTOP)
        self.last(8)
        self.signal(signal.SIGCONT)
        before = self.size(self.rows)
        wait_for(lambda: self.size(self.rows) > before, 'rows')
        run.stop_after_fault()
        self.check(feeder)


if __name__ == '__main__':
    unittest.main()
