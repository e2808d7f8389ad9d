#!/usr/bin/env python3
"""The delayed EndTxn on a real broker, with librdkafka alone (client.c); README.md tells the story.

A transaction's EndTxn is held on its way. librdkafka sends another one, so the commit succeeds. The
next transaction has begun when the first EndTxn reaches the broker after all: it ends that one.
"""
import subprocess
import unittest

from faults import END_TXN, TOOLS, broker_behind_proxy
from harness import wait_for

INVALID_PRODUCER_EPOCH = 47


class Client:
    """client.c; each command is a call, which returns what follows "ok"."""

    def __init__(self, address, *properties):
        self.process = subprocess.Popen(
            [str(TOOLS / 'client'), address, 'log_level=0', *properties],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def __call__(self, *words):
        answer = self.ask(*words)
        if not answer.startswith('ok'):
            raise AssertionError(f'{words}: {answer}')
        return answer[3:]

    def ask(self, *words):
        self.process.stdin.write(' '.join(map(str, words)) + '\n')
        return self.process.stdout.readline().rstrip('\n')

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


class Hazard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker, cls.proxy = broker_behind_proxy()
        cls.addClassCleanup(cls.proxy.close)

    def setUp(self):
        self.topic = self.id().rsplit('.', 1)[1][:60]
        self.group, self.input = 'group-' + self.topic, 'input-' + self.topic
        self.look = Client(self.broker.address)
        self.addCleanup(self.look.close)
        self.client = Client(self.proxy.address, 'socket.timeout.ms=1000')
        self.addCleanup(self.client.close)
        self.look('create', self.topic)
        self.look('create', self.input)
        self.assertEqual(self.offset(), '-1001')

    def offset(self):
        return self.look('committed', self.group, self.input)

    def rows(self, isolation='committed'):
        return self.look('read', self.topic, isolation).split()

    def new_producer(self):
        self.client('new', 'id-' + self.topic)
        self.client('warm', self.topic)

    def first_transaction(self, end='commit'):
        """Row a1; its EndTxn is held, and the client hears nothing of that."""
        self.new_producer()
        self.client('begin')
        self.client('send', self.topic, 'a1')
        self.client('flush')
        self.proxy.tell('hold', END_TXN, 1, 'id-' + self.topic)
        self.client(end)
        self.assertEqual([key for key, _ in self.proxy.held()], [END_TXN])

    def second_transaction(self):
        """Offset 7, then the first of its rows; more are to come."""
        self.client('begin')
        self.client('offset', self.group, self.input, 7)
        self.client('send', self.topic, 'b1')
        self.client('flush')

    def write_from_elsewhere(self, value):
        """Seen by readers of committed records once no transaction before it is open."""
        self.look('new', 'elsewhere-' + self.topic)
        self.look('begin')
        self.look('send', self.topic, value)
        self.look('commit')

    def release(self, way='old'):
        """The held EndTxn reaches the broker; what that answers, as Kafka's error number."""
        self.proxy.tell('release', END_TXN, way)
        wait_for(self.proxy.released, 'the answer to the held request')
        return int.from_bytes(self.proxy.released()[12:14], 'big')

    def test_without_recycling_half_a_transaction_and_its_offset_are_committed(self):
        self.first_transaction()
        self.second_transaction()
        self.assertEqual(self.rows(), ['a1'])
        self.assertEqual(self.release(), 0)
        wait_for(lambda: self.rows() == ['a1', 'b1'], 'the half that nobody committed')
        wait_for(lambda: self.offset() == '7', 'the offset')
        self.client('send', self.topic, 'b2')
        self.assertTrue(self.client.ask('flush').startswith('error'))
        self.assertRegex(self.client.ask('commit'), 'INVALID_TXN_STATE ABORTABLE')
        self.assertRegex(self.client.ask('abort'), 'INVALID_TXN_STATE FATAL')
        # Who goes on from the committed offset never writes b2.
        self.assertEqual((self.rows(), self.offset()), (['a1', 'b1'], '7'))

    def test_without_recycling_an_aborted_transaction_is_committed(self):
        self.first_transaction()
        self.second_transaction()
        self.assertEqual(self.release('new'), 0)
        self.assertRegex(self.client.ask('abort'), 'INVALID_TXN_STATE FATAL')
        wait_for(lambda: self.rows() == ['a1', 'b1'], 'what the client aborted')
        wait_for(lambda: self.offset() == '7', 'the offset')

    def test_without_recycling_offset_and_rows_part_and_nobody_hears_of_it(self):
        self.first_transaction()
        self.client('begin')
        self.client('offset', self.group, self.input, 7)
        self.assertEqual(self.release(), 0)
        wait_for(lambda: self.offset() == '7', 'the offset that nobody committed')
        self.assertEqual(self.rows(), ['a1'])
        self.client('send', self.topic, 'b1')
        self.client('flush')
        self.client('commit')

    def test_without_recycling_a_delayed_abort_ends_the_next_transaction_loudly(self):
        self.first_transaction('abort')
        self.second_transaction()
        self.assertEqual(self.release(), 0)
        self.write_from_elsewhere('c1')
        wait_for(lambda: self.rows() == ['c1'], 'the marker, which no open transaction is before')
        self.client('send', self.topic, 'b2')
        self.assertTrue(self.client.ask('flush').startswith('error'))
        self.assertRegex(self.client.ask('commit'), 'INVALID_TXN_STATE ABORTABLE')
        self.assertEqual((self.rows(), self.offset()), (['c1'], '-1001'))

    def test_the_client_can_know(self):
        self.new_producer()
        self.client('begin')
        self.client('send', self.topic, 'a0')
        self.client('commit')
        self.assertEqual(self.client('troubled'), '0')
        self.client('close')
        self.first_transaction()
        self.assertEqual(self.client('troubled'), '1')
        self.release()

    def test_with_recycling_the_delayed_request_is_refused(self):
        for end, way in (('commit', 'old'), ('commit', 'new'), ('abort', 'old')):
            with self.subTest(f'{end}, {way}'):
                before = self.rows()
                self.first_transaction(end)
                self.new_producer()
                self.second_transaction()
                self.assertEqual(self.release(way), INVALID_PRODUCER_EPOCH)
                first = ['a1'] if end == 'commit' else []
                self.assertEqual(self.rows(), before + first)
                self.client('send', self.topic, 'b2')
                self.client('commit')
                self.assertEqual(self.rows(), before + first + ['b1', 'b2'])
                self.assertEqual(self.offset(), '7')


if __name__ == '__main__':
    unittest.main()
