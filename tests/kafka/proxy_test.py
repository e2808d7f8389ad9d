#!/usr/bin/env python3
"""The fault proxy does what it is told, byte by byte, before an echo server that speaks frames."""
import socket
import struct
import threading
import time
import unittest

from faults import END_TXN, PRODUCE, Proxy, free_port
from harness import wait_for


def request(key, number, client=b'test', body=b''):
    """A Kafka request with a head as the protocol has it."""
    head = struct.pack('>hhih', key, 1, number, len(client)) + client
    return struct.pack('>i', len(head) + len(body)) + head + body


def read_frame(connection):
    """A whole frame without its length, or None at the end of the stream."""
    length = read_exactly(connection, 4)
    return length and read_exactly(connection, struct.unpack('>i', length)[0])


def read_exactly(connection, length):
    data = b''
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            return None
        data += more
    return data


class Echo:
    """Answers each request by its correlation id and the whole request; keeps what it got."""

    def __init__(self):
        self.server = socket.create_server(('127.0.0.1', 0))
        self.port = self.server.getsockname()[1]
        self.got, self.changed, self.resets = [], threading.Condition(), 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                threading.Thread(target=self.answer, args=[self.server.accept()[0]],
                                 daemon=True).start()
        except OSError:
            pass  # closed: the test is over

    def answer(self, connection):
        with connection:
            try:
                while (frame := read_frame(connection)):
                    with self.changed:
                        self.got.append(struct.unpack('>i', frame[4:8])[0])
                        self.changed.notify_all()
                    connection.sendall(struct.pack('>i', 4 + len(frame)) + frame[4:8] + frame)
            except ConnectionError:
                with self.changed:
                    self.resets += 1
                    self.changed.notify_all()

    def wait(self, condition, seconds=10):
        with self.changed:
            return self.changed.wait_for(condition, seconds)


class ProxyTest(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.addCleanup(self.echo.server.close)
        self.proxy = Proxy(self.echo.port)
        self.addCleanup(self.proxy.close)

    def connect(self):
        connection = socket.create_connection(('127.0.0.1', self.proxy.port), timeout=10)
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection, key, number, **more):
        """One request and its answer; the seconds it took."""
        frame = request(key, number, **more)
        began = time.monotonic()
        connection.sendall(frame)
        self.assertEqual(read_frame(connection), struct.pack('>i', number) + frame[4:])
        return time.monotonic() - began

    def silent(self, connection, seconds=0.2):
        """Nothing comes within that time."""
        connection.settimeout(seconds)
        self.assertRaises(TimeoutError, connection.recv, 1)
        connection.settimeout(10)

    def test_bytes_pass_unchanged_both_ways(self):
        connection = self.connect()
        for number, size in enumerate((0, 1, 63, 64, 65, 1000, 300_000, 3_000_000)):
            threading.Thread(target=connection.sendall,
                             args=[request(PRODUCE, number, body=b'x' * size)]).start()
            answer = read_frame(connection)
            self.assertEqual(answer[4:], request(PRODUCE, number, body=b'x' * size)[4:])
        self.assertEqual(self.proxy.status()['key0'], 8)

    def test_a_request_in_single_bytes_is_recognised(self):
        connection = self.connect()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        frame = request(END_TXN, 7, body=b'y' * 100)
        for at in range(len(frame)):
            connection.sendall(frame[at:at + 1])
        self.assertEqual(read_frame(connection)[4:], frame[4:])
        self.assertEqual(self.proxy.status()['key26'], 1)

    def test_a_delay_is_that_long_each_way_and_ends_with_heal(self):
        connection = self.connect()
        self.proxy.tell('delay', 150)
        self.assertGreaterEqual(self.ask(connection, PRODUCE, 1), 0.3)
        self.proxy.tell('heal')
        self.assertLess(self.ask(connection, PRODUCE, 2), 0.3)

    def test_a_trickle_lets_so_many_bytes_a_second_through(self):
        connection = self.connect()
        self.proxy.tell('trickle', 2000)
        took = self.ask(connection, PRODUCE, 1, body=b'x' * 1000)
        self.assertGreater(took, 0.9)  # 1,018 bytes there and 1,022 back
        self.proxy.tell('heal')
        self.ask(connection, PRODUCE, 2, body=b'x' * 1000)

    def test_a_hole_stops_everything_and_heal_lets_it_arrive(self):
        connection = self.connect()
        self.ask(connection, PRODUCE, 1)
        self.proxy.tell('hole')
        connection.sendall(request(PRODUCE, 2))
        self.silent(connection)
        self.assertEqual(self.echo.got, [1])
        late = self.connect()
        late.sendall(request(PRODUCE, 3))
        self.silent(late)
        self.proxy.tell('heal')
        self.assertIsNotNone(read_frame(connection))
        self.assertIsNotNone(read_frame(late))

    def test_what_was_sent_before_a_close_arrives_after_a_hole(self):
        connection = self.connect()
        self.ask(connection, PRODUCE, 1)
        self.proxy.tell('hole')
        connection.sendall(request(END_TXN, 2))
        connection.close()
        self.proxy.tell('heal')
        self.assertTrue(self.echo.wait(lambda: self.echo.got == [1, 2]))

    def test_reset_ends_both_sides_with_an_error(self):
        connection = self.connect()
        self.ask(connection, PRODUCE, 1)
        self.proxy.tell('reset')
        self.assertRaises(ConnectionResetError, connection.recv, 1)
        self.assertTrue(self.echo.wait(lambda: self.echo.resets == 1))
        self.ask(self.connect(), PRODUCE, 2)

    def test_refuse_refuses_new_connections_and_keeps_the_old(self):
        connection = self.connect()
        self.ask(connection, PRODUCE, 1)
        self.proxy.tell('refuse')
        self.assertRaises(ConnectionRefusedError, self.connect)
        self.ask(connection, PRODUCE, 2)
        self.proxy.tell('heal')
        self.ask(self.connect(), PRODUCE, 3)

    def test_the_nth_request_of_a_kind_and_client_is_held_with_all_behind_it(self):
        one, other = self.connect(), self.connect()
        self.proxy.tell('hold', END_TXN, 2, 'mine')
        self.ask(one, END_TXN, 1, client=b'mine-1')
        self.ask(other, END_TXN, 2, client=b'yours')
        self.ask(one, PRODUCE, 3, client=b'mine-1')
        one.sendall(request(END_TXN, 4, client=b'mine-1') + request(PRODUCE, 5))
        self.silent(one)
        self.ask(other, END_TXN, 6, client=b'mine-2')
        ((key, head),) = self.proxy.held()
        self.assertEqual((key, head), (END_TXN, request(END_TXN, 4, client=b'mine-1')))
        self.assertEqual(self.echo.got, [1, 2, 3, 6])
        self.proxy.tell('release', END_TXN, 'old')
        self.assertIsNotNone(read_frame(one))
        self.assertIsNotNone(read_frame(one))
        self.assertEqual(self.echo.got, [1, 2, 3, 6, 4, 5])

    def held_from_a_client_that_is_gone(self):
        connection = self.connect()
        self.ask(connection, PRODUCE, 1)
        self.proxy.tell('hold', END_TXN, 1)
        connection.sendall(request(END_TXN, 2) + request(PRODUCE, 3))
        self.silent(connection)
        connection.close()
        self.ask(self.connect(), END_TXN, 4)

    def test_a_held_request_reaches_the_broker_though_its_client_is_gone(self):
        for way in ('old', 'new'):
            with self.subTest(way):
                self.echo.got.clear()
                self.held_from_a_client_that_is_gone()
                self.assertEqual(self.echo.got, [1, 4])
                self.proxy.tell('release', END_TXN, way)
                self.assertTrue(self.echo.wait(lambda: self.echo.got == [1, 4, 2, 3]))
                wait_for(self.proxy.released, 'the answer')
                self.assertEqual(self.proxy.released()[4:8], struct.pack('>i', 2))
                self.assertEqual(self.proxy.held(), [])

    def test_a_lost_answer_never_comes_though_the_request_arrived(self):
        connection = self.connect()
        self.proxy.tell('lose', END_TXN, 1)
        connection.sendall(request(PRODUCE, 1) + request(END_TXN, 2) + request(PRODUCE, 3))
        self.assertEqual(read_frame(connection)[:4], struct.pack('>i', 1))
        self.silent(connection)
        self.assertTrue(self.echo.wait(lambda: self.echo.got == [1, 2, 3]))
        self.assertEqual(self.proxy.status()['lost'], 1)
        self.ask(self.connect(), END_TXN, 4)

    def test_a_broker_that_is_not_there_closes_the_client(self):
        proxy = Proxy(free_port())
        self.addCleanup(proxy.close)
        with socket.create_connection(('127.0.0.1', proxy.port), timeout=10) as connection:
            try:
                self.assertEqual(connection.recv(1), b'')
            except ConnectionResetError:
                pass
        self.assertEqual(proxy.status()['accepted'], 1)

    def test_an_unknown_command_is_refused(self):
        self.assertRaisesRegex(AssertionError, 'no such command', self.proxy.tell, 'sing')
        self.assertRaisesRegex(AssertionError, 'no such request', self.proxy.tell, 'release', 26)
        self.assertEqual(self.proxy.status()['connections'], 0)


if __name__ == '__main__':
    unittest.main()
