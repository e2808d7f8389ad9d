"""Drives the built program from outside: a log in a fresh directory, jobs as text, rows as dicts.

MILLRACE_PROGRAM names another program than build/release/millrace; MILLRACE_DATA another place for
the recorded data than ../shared/data.
"""
import datetime
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get('MILLRACE_PROGRAM', str(ROOT / 'build/release/millrace'))
RAW = str(pathlib.Path(PROGRAM).parent / 'tests/raw')
SECOND = 10**9
MINUTE = 60 * SECOND

OUTCOMES = ('used', 'filtered', 'late', 'duplicate', 'dead-lettered')
ACCOUNT = re.compile(r'job (\S+): (\S+)/(\d+)( samples)?: read ([\d,]+) = ' + ' \\+ '.join(
    rf'{outcome} ([\d,]+)' for outcome in OUTCOMES) + '$')


def iso(ns):
    """ns since 1970 as the job files and rows write it."""
    when = datetime.datetime.fromtimestamp(ns // SECOND, datetime.timezone.utc)
    fraction = f'.{ns % SECOND:09d}'.rstrip('0') if ns % SECOND else ''
    return when.strftime('%Y-%m-%dT%H:%M:%S') + fraction + 'Z'


def nanoseconds(text):
    """The other way."""
    whole, _, fraction = text.rstrip('Z').partition('.')
    when = datetime.datetime.strptime(whole + '+0000', '%Y-%m-%dT%H:%M:%S%z')
    return int(when.timestamp()) * SECOND + int((fraction or '0').ljust(9, '0'))


def data(name):
    """The folder of recorded data, or the test is skipped (under CI it fails)."""
    folder = pathlib.Path(os.environ.get('MILLRACE_DATA', ROOT.parent / 'shared/data')) / name
    if folder.is_dir():
        return folder
    if os.environ.get('CI') == 'true':
        raise AssertionError(f'{folder} is not there')
    raise unittest.SkipTest(f'{folder} is not there')


def wait_for(condition, what, seconds=60):
    """Until condition() holds."""
    pause, end = threading.Event(), time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f'waited {seconds} s for {what}')
        pause.wait(0.01)


def hexadecimal(value):
    return '-' if value is None else '=' + value.hex()


def plain(word):
    return None if word == '-' else bytes.fromhex(word[1:])


class Record:
    """One record as it lies in the log."""

    def __init__(self, line):
        self.partition, self.offset, self.append_ns = map(int, line.split(' ', 3)[:3])
        key, value, *headers = line.split(' ')[3:]
        self.key, self.value = plain(key), plain(value)
        self.headers = {name: plain(word) for name, word in
                        (re.match(r'([^=]+?)(=.*|-)$', header).groups() for header in headers)}


class Account:
    """The two lines that a run prints for each partition when it ends, and what they must say."""

    def __init__(self, text):
        self.lines = {}
        for line in text.splitlines():
            match = ACCOUNT.search(line)
            if match:
                job, topic, partition, samples, *counts = match.groups()
                counts = [int(count.replace(',', '')) for count in counts]
                if counts[0] != sum(counts[1:]):
                    raise AssertionError('the identity does not hold: ' + line)
                self.lines[job, topic, int(partition), bool(samples)] = counts

    def total(self, outcome, samples=False, job=None, topic=None):
        """Of records, or of samples; of one job or all, of one topic or all."""
        at = 0 if outcome == 'read' else 1 + OUTCOMES.index(outcome)
        return sum(counts[at] for key, counts in self.lines.items() if key[3] == samples
                   and job in (None, key[0]) and topic in (None, key[1]))


class Case(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='millrace-'))
        self.addCleanup(subprocess.run, ['rm', '-rf', str(self.folder)], check=False)
        self.log = f'local:{self.folder}/log'

    def start(self, *words, **options):
        options.setdefault('stdin', subprocess.DEVNULL)
        return subprocess.Popen([PROGRAM, *map(str, words)], cwd=self.folder, **options)

    def millrace(self, *words, given=b'', code=0):
        """Runs it to its end; returns (standard output, standard error) as text."""
        done = subprocess.run([PROGRAM, *map(str, words)], input=given, capture_output=True,
                              cwd=self.folder, timeout=300, check=False)
        out, err = (stream.decode('utf-8', 'replace') for stream in (done.stdout, done.stderr))
        self.assertEqual(done.returncode, code, f'{words}:\n{out[-2000:]}\n{err[-4000:]}')
        return out, err

    def produce(self, topic, events, key=None, partitions=1, log=None):
        """events: dicts, or lines as bytes."""
        lines = [event if isinstance(event, bytes) else json.dumps(event).encode()
                 for event in events]
        words = ['--key', key] if key else []
        self.millrace('produce', topic, '--log', log or self.log, '--partitions', partitions,
                      *words, given=b'\n'.join(lines) + b'\n' if lines else b'')

    def append(self, topic, records, partitions=1, log=None):
        """records: (partition, key, value), bytes or None, past every codec."""
        lines = [f'{partition} {hexadecimal(key)} {hexadecimal(value)}'
                 for partition, key, value in records]
        subprocess.run([RAW, 'append', log or self.log, topic, str(partitions)], check=True,
                       input='\n'.join(lines).encode() + b'\n', cwd=self.folder)

    def records(self, topic, log=None):
        """The records of a topic, partition by partition, one after another."""
        words = [RAW, 'dump', log or self.log, topic]
        with subprocess.Popen(words, stdout=subprocess.PIPE, encoding='utf-8',
                              cwd=self.folder) as raw:
            for line in raw.stdout:
                yield Record(line.rstrip('\n'))
        if raw.returncode != 0:
            raise AssertionError(f'raw dump {topic} failed')

    def dump(self, topic, log=None):
        return list(self.records(topic, log))

    def job(self, text, name='job.yaml'):
        path = self.folder / name
        path.write_text(text)
        return path

    def run_job(self, path, *words, log=None):
        """Runs a job over everything that is there and closes its windows."""
        _, err = self.millrace('run', path, '--log', log or self.log, '--until-end', '--close',
                               *words)
        account = Account(err)
        self.assertTrue(account.lines, 'no account of records was printed:\n' + err)
        return account

    def last_rows(self, topic, groups, log=None):
        """(group, window start in ns) -> the last closed row."""
        rows = {}
        for record in self.dump(topic, log):
            row = json.loads(record.value)
            if row['closed']:
                group = tuple(row[name] for name in groups)
                rows[group, nanoseconds(row['window_start'])] = row
        return rows
