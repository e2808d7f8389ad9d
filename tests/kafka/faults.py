"""The fault proxy (proxy.c) from Python."""
import pathlib
import random
import socket
import subprocess

import cluster
from harness import PROGRAM

TOOLS = pathlib.Path(PROGRAM).parent / 'tests'

# What Kafka calls the requests that the tests speak of.
PRODUCE, FETCH, METADATA, INIT_PRODUCER_ID, END_TXN = 0, 1, 3, 22, 26
ADD_PARTITIONS, ADD_OFFSETS, TXN_OFFSET_COMMIT = 24, 25, 28


def free_port():
    """A port that nobody has, below those that the system gives to outgoing connections: a client
    that knocks in vain could otherwise meet itself."""
    while True:
        port = random.randrange(10240, 32768)
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
                return port
            except OSError:
                pass


def broker_behind_proxy():
    """A broker, and the proxy that its listener "proxied" sends its clients to."""
    port = free_port()
    broker = cluster.own('--advertise', str(port))
    return broker, Proxy(int(broker.listeners()['behind'].rsplit(':', 1)[1]), port)


class Proxy:
    """A running proxy: clients connect to `port`, the broker is at `broker_port`."""

    def __init__(self, broker_port, port=None):
        self.port = port or free_port()
        self.address = f'127.0.0.1:{self.port}'
        self.process = subprocess.Popen(
            [str(TOOLS / 'proxy'), str(self.port), '127.0.0.1', str(broker_port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline().rstrip('\n')
        if not line.startswith('ok'):
            raise AssertionError('proxy: ' + (line or 'it is gone'))
        return line[3:]

    def tell(self, *words):
        self.process.stdin.write(' '.join(map(str, words)) + '\n')
        return self.answer()

    def status(self):
        """What it counts, by name; of requests by 'key26' and the like."""
        words = (word.split('=') for word in self.tell('status').split())
        return {name: int(count) for name, count in words}

    def held(self):
        """The heads of the held requests: (ApiKey, bytes)."""
        words = self.tell('held').split()[1:]
        return [(int(key), bytes.fromhex(head)) for key, head in zip(words[::2], words[1::2])]

    def released(self):
        """The head of the answer to what was released last; b'' while there is none."""
        return bytes.fromhex(self.tell('answer').strip('-'))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)
