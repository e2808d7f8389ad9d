"""Engine processes that share jobs, and what is seen of them from outside."""
import contextlib
import json
import signal
import subprocess
import threading
import time
from collections import Counter

import cluster  # noqa: F401, leads to the modules of tests/end_to_end
import harness

TERM_SECONDS = 5  # SIGTERM must be done by then
GAVE_UP = 'the broker did not answer in time'


class Fleet:
    """Processes in slots: each slot is a folder, and so an identity that outlives its process."""

    def __init__(self, case, jobs, slots):
        self.case, self.jobs = case, jobs
        self.running, self.paused = {}, set()
        self.longest_end, self.gave_up = 0.0, 0
        self.folders = [case.folder / f'slot{n}' for n in range(slots)]
        for folder in self.folders:
            folder.mkdir()
        case.addCleanup(self.close)

    def start(self, slot):
        with open(self.folders[slot] / 'stderr', 'ab') as err:
            self.running[slot] = subprocess.Popen(
                [harness.PROGRAM, 'run', *map(str, self.jobs), '--log', self.case.log,
                 '--workers', '2'],
                cwd=self.folders[slot], stdin=subprocess.DEVNULL, stdout=err, stderr=err)

    def kill(self, slot):
        process = self.running.pop(slot)
        process.kill()
        process.wait()

    def pause(self, slot):
        self.running[slot].send_signal(signal.SIGSTOP)
        self.paused.add(slot)

    def resume(self, slot):
        self.paused.remove(slot)
        self.running[slot].send_signal(signal.SIGCONT)

    def end(self, slots):
        """SIGTERM to all of them at once: each commits, leaves, and exits 0.

        On a machine so busy that the broker does not answer in time, it exits 1 and says so."""
        began = time.monotonic()
        for slot in slots:
            self.running[slot].terminate()
        for slot in slots:
            try:
                code = self.running.pop(slot).wait(2 * TERM_SECONDS)
            except subprocess.TimeoutExpired:
                raise AssertionError(f'SIGTERM did not end it:\n{self.said(slot)}') from None
            if code == 1 and GAVE_UP in self.said(slot, 300):
                self.gave_up += 1
            elif code != 0:
                raise AssertionError(f'exit code {code} after SIGTERM:\n{self.said(slot)}')
            self.longest_end = max(self.longest_end, time.monotonic() - began)

    def check(self):
        """None of them has ended by itself."""
        for slot, process in self.running.items():
            if process.poll() is not None:
                raise AssertionError(f'slot {slot} ended by itself, exit code '
                                     f'{process.returncode}:\n{self.said(slot)}')

    def told(self):
        """How often the processes said what a chaos should make them say."""
        text = ''.join((folder / 'stderr').read_text() for folder in self.folders)
        return {what: text.count(words) for what, words in {
            'commits that failed and were done again': 'a commit failed and is done again',
            'commits refused, as another had the partitions': 'a commit came too late',
            'open transactions of others ended': 'left a transaction open',
        }.items()}

    def said(self, slot, bytes_=4000):
        return (self.folders[slot] / 'stderr').read_bytes()[-bytes_:].decode('utf-8', 'replace')

    def close(self):
        for process in self.running.values():
            process.kill()
            process.wait()


class Watch(threading.Thread):
    """Follows a topic of rows with `millrace tail`, and counts the closed ones of each group."""

    def __init__(self, case, topic, group, groups):
        super().__init__(daemon=True)
        self.case, self.topic, self.group, self.groups = case, topic, group, groups
        self.count, self.stopping, self.process = Counter(), False, None
        self.turn = threading.Event()
        case.addCleanup(self.stop)

    def run(self):
        while not self.stopping:
            self.process = self.case.start('tail', self.topic, '--log', self.case.log, '--from',
                                           'end', stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL)
            with contextlib.suppress(ValueError), self.process.stdout as lines:
                for line in lines:
                    row = json.loads(line)
                    self.count[row[self.group]] += row['closed']
            self.process.wait()
            self.turn.wait(0.1)  # it had no topic yet

    def stop(self):
        self.stopping = True
        while self.is_alive():
            if self.process:
                self.process.kill()
            self.join(0.1)  # a new one may have been on its way

    def mark(self):
        return Counter(self.count)

    def lacking(self, mark, rows=2):
        """Groups without so many rows more; of one, the first may have been on its way."""
        return [group for group in self.groups if self.count[group] < mark[group] + rows]
