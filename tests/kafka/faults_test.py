#!/usr/bin/env python3
"""A job under load whose way to the broker is delayed, thin, cut or a black hole. Whatever came
between, the rows are the oracle's afterwards, and none came twice."""
import json
import random
import threading
import time
import unittest

import cluster
import harness
import load
from background import Run
from faults import END_TXN, INIT_PRODUCER_ID, PRODUCE, broker_behind_proxy
from harness import wait_for

SEED = 20261121
SPOILED = 'none'
RECOVERY = 30  # seconds from the end of a fault to the next row, at most
INVALID_PRODUCER_EPOCH = 47
QUICK = ('kafka: {librdkafka: {session.timeout.ms: 2000, heartbeat.interval.ms: 300, '
         'socket.timeout.ms: 1000}}\n')


class Spoiling(load.Feeder):
    """One event in a hundred has a word where its number should be."""

    def line(self, number):
        line = super().line(number)
        if number % 100 != 99:
            return line
        return json.dumps(dict(json.loads(line), value=SPOILED)).encode() + b'\n'


class Faults(cluster.Case):
    @classmethod
    def setUpClass(cls):
        cls.behind, cls.proxy = broker_behind_proxy()
        cls.addClassCleanup(cls.proxy.close)

    def setUp(self):
        super().setUp()
        self.use(self.behind)
        self.addCleanup(self.proxy.tell, 'heal')
        self.proxied = 'kafka://' + self.proxy.address
        names = {'tag': self.tag, 'more': QUICK}
        self.path = self.job(load.EVENTS.substitute(names))
        self.events, self.rows = 'events' + self.tag, 'event-rows' + self.tag
        self.feeder = Spoiling(self, self.events, random.Random(SEED), rate=500, step_ms=80)
        self.feeder.start()
        wait_for(lambda: self.size(self.events) > 0, 'the first events')
        self.runner = None

    def begin(self, workers=2):
        self.runner = Run(self, self.path, '--log', self.proxied, '--workers', workers)
        self.wait_for_rows()

    def size(self, topic):
        """How much is committed in the topic, markers included; 0 while it is not there."""
        out, _ = self.millrace('topics', '--log', self.log)
        sizes = [line.split()[2] for line in out.splitlines() if line.split()[0] == topic]
        return int(sizes[0].replace(',', '')) if sizes else 0

    def wait_for_rows(self, seconds=RECOVERY):
        """New rows come; returns the seconds until then."""
        began, before = time.monotonic(), self.size(self.rows)
        wait_for(lambda: self.size(self.rows) > before, 'rows', seconds)
        return time.monotonic() - began

    def check(self):
        """Ends the load, reads the rest without the proxy, and asks the oracle."""
        self.feeder.stop()
        _, err = self.millrace('run', self.path, '--log', self.log, '--until-end', '--close')
        account = harness.Account(err)
        events = self.dump(self.events)
        bad = [event for event in events if json.loads(event.value)['value'] == SPOILED]
        good = [event for event in events if json.loads(event.value)['value'] != SPOILED]
        self.assertEqual(account.total('used'), len(good))
        self.assertEqual(list(self.feeder.faults(events)), [])
        rows = load.Rows(self.dump(self.rows), 'sensor')
        self.assertEqual(rows.faults(load.event_windows(good))[:10], [])
        dead = self.dump(self.events + '-dead-letters')
        self.assertEqual(sorted(letter.value for letter in dead),
                         sorted(event.value for event in bad))

    def last(self, seconds):
        """How long a fault lasts is what the test is about."""
        threading.Event().wait(seconds)

    def through(self, fault, seconds):
        """The fault for so long, then all is well again."""
        self.proxy.tell(*fault)
        self.last(seconds)
        self.proxy.tell('heal')
        took = self.wait_for_rows()
        self.assertIsNone(self.runner.process.poll(), self.runner.text())
        return took

    def test_delays_of_10_to_2000_ms_change_no_row(self):
        self.begin()
        for delay in (10, 200, 2000):
            self.through(('delay', delay), 4)
        self.runner.stop_after_fault()
        self.check()

    def test_a_trickle_changes_no_row(self):
        self.begin()
        self.through(('trickle', 4000), 6)
        self.runner.stop_after_fault()
        self.check()

    def test_reset_connections_change_no_row(self):
        self.begin()
        for _ in range(10):
            self.proxy.tell('reset')
            self.wait_for_rows()
        self.through(('refuse',), 3)
        self.runner.stop_after_fault()
        self.check()

    def test_a_hole_longer_than_the_session_changes_no_row_and_another_takes_over(self):
        self.begin()
        other = Run(self, self.path, '--log', self.log, '--dir', self.folder / 'other')
        self.wait_for_rows()
        self.proxy.tell('hole')
        self.wait_for_rows()  # of the other: every partition is its own by and by
        self.last(5)
        self.proxy.tell('heal')
        self.wait_for_rows()
        self.assertIsNone(self.runner.process.poll(), self.runner.text())
        other.stop_after_fault()
        self.wait_for_rows()
        self.runner.stop_after_fault()
        self.check()

    def test_a_lost_answer_to_a_commit_doubles_no_row(self):
        self.begin()
        for _ in range(3):
            before = self.proxy.status()
            self.proxy.tell('lose', END_TXN, 1)
            wait_for(lambda: self.proxy.status()['lost'] > before['lost'], 'an answer to lose')
            self.wait_for_rows()
        self.runner.stop_after_fault()
        self.check()

    def delayed_end(self):
        """An EndTxn is held until librdkafka has given it up, and arrives while the next
        transaction holds offsets but no rows. Returns what the broker answers."""
        self.proxy.tell('hold', END_TXN, 1)
        wait_for(lambda: self.proxy.held(), 'an EndTxn')
        ends = self.proxy.status()['key26']
        wait_for(lambda: self.proxy.status()['key26'] > ends, 'the EndTxn that is sent again')
        self.proxy.tell('hold', PRODUCE, 1)
        wait_for(lambda: PRODUCE in dict(self.proxy.held()), 'rows of the next transaction')
        self.proxy.tell('release', END_TXN, 'old')
        wait_for(self.proxy.released, 'the answer to the delayed EndTxn')
        answer = int.from_bytes(self.proxy.released()[12:14], 'big')
        self.proxy.tell('release', PRODUCE, 'old')
        return answer

    def test_a_delayed_end_of_a_transaction_cannot_end_the_next_one(self):
        self.begin(workers=1)
        for _ in range(5):
            made = self.proxy.status().get(f'key{INIT_PRODUCER_ID}', 0)
            self.assertEqual(self.delayed_end(), INVALID_PRODUCER_EPOCH)
            self.assertGreater(self.proxy.status()[f'key{INIT_PRODUCER_ID}'], made)
            self.wait_for_rows()
        self.runner.stop_after_fault()
        self.check()


if __name__ == '__main__':
    unittest.main()
