"""A real broker under the tests of tests/kafka: one for each test program, started when it is first
asked for and gone when the program ends; each test has names of its own.

MILLRACE_TEST_BROKERS=host:port names a broker that is there already; then none is started, and what
must stop its broker is skipped (under CI=true it fails).
"""
import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests/end_to_end'))

import harness  # noqa: E402, the path above leads there

# So that a test program that is stopped takes its broker with it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

SCRIPT = str(ROOT / 'scripts/broker')


class Broker:
    """A broker in a folder of its own; words: more of scripts/broker's."""

    def __init__(self, *words):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='millrace-broker-'))
        self.words = words
        atexit.register(self.close)
        self.address = self.start()

    def tell(self, verb, *words):
        return subprocess.run([SCRIPT, verb, '--dir', str(self.folder), *words], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def start(self):
        return self.tell('start', *self.words)

    def stop(self):
        self.tell('stop')

    def kill(self):
        self.tell('kill')

    def listeners(self):
        """name -> address: plain, and with --secure sasl and tls."""
        return dict(line.split() for line in self.tell('status').splitlines())

    def close(self):
        if self.folder.exists():
            self.kill()
            shutil.rmtree(self.folder)


class Given:
    """The broker of MILLRACE_TEST_BROKERS, which is not ours to stop."""

    def __init__(self, address):
        self.address = address


def tool(*words, **options):
    """A command of Kafka's own: (standard output, standard error)."""
    done = subprocess.run([SCRIPT, 'tool', *words], capture_output=True, encoding='utf-8',
                          check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f'{words}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}')
    return done.stdout, done.stderr


_shared = []


def shared():
    """The broker of this program."""
    if not _shared:
        given = os.environ.get('MILLRACE_TEST_BROKERS')
        _shared.append(Given(given) if given else Broker())
    return _shared[0]


def own(*words):
    """A broker that a test may stop, or whose settings are its own."""
    if os.environ.get('MILLRACE_TEST_BROKERS'):
        if os.environ.get('CI') == 'true':
            raise AssertionError('needs a broker that it may stop')
        raise unittest.SkipTest('needs a broker that it may stop')
    return Broker(*words)


class Case(harness.Case):
    """A test on the shared broker. `tag` makes names its own: f'events{self.tag}'."""

    def setUp(self):
        super().setUp()
        self.tag = '-' + uuid.uuid4().hex[:8]
        self.use(self.a_broker())

    def a_broker(self):
        """The one to test on; a test with a broker of its own says so here."""
        return shared()

    def use(self, broker):
        self.broker = broker
        self.log = f'kafka://{broker.address}'
