"""A `millrace run` that goes on beside the test, and what it says."""
import re
import signal
import subprocess
import threading
import time

from harness import wait_for


class Run:
    def __init__(self, case, *words):
        self.case, self.lines = case, []
        self.process = case.start('run', *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        case.addCleanup(self.close)

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.decode('utf-8', 'replace').rstrip('\n'))

    def text(self):
        return '\n'.join(self.lines)

    def said(self, pattern):
        return [line for line in list(self.lines) if re.search(pattern, line)]

    def wait_until_said(self, pattern, seconds=30):
        """Also fails when the program ends before it says so."""
        def over():
            return self.said(pattern) or self.process.poll() is not None
        wait_for(over, f'"{pattern}" in:\n{self.text()}', seconds)
        self.reader.join(1 if self.process.poll() is None else 10)
        self.case.assertTrue(self.said(pattern), f'"{pattern}" is not in:\n{self.text()}')

    def end(self, seconds=30):
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(seconds)
        self.reader.join(10)
        return code

    def stop(self, *codes, within=5):
        """SIGTERM: it ends in time with one of these exit codes, else 0; returns the seconds."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        ended = self.end(15)
        took = time.monotonic() - began
        self.case.assertIn(ended, codes or (0,), self.text()[-4000:])
        self.case.assertLess(took, within, self.text()[-4000:])
        return took

    def stop_after_fault(self):
        """The same; a worker that has not yet made good for a commit that failed says so, by 1."""
        self.stop(0, 1)
        if self.process.returncode == 1:
            self.case.assertIn('read again at the next start', self.text())

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(10)
        self.process.stdout.close()
