#!/usr/bin/env python3
"""What the place where the log lives can do to it: no room, no right, damage, a second hand.

A clear sentence and exit code 1; nothing that was acknowledged is lost; nothing damaged is served.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import unittest

import harness
from harness import SECOND

START_NS = harness.nanoseconds('2026-11-21T03:00:00Z')
SEED = 20261121

JOB = '''
job: sums
from: {topic: events, format: json, key: sensor, timestamp: {field: time, unit: ns},
       fields: {sensor: text, value: number}}
commit: 100ms
group_by: [sensor]
window: {every: 10s}
stats: {n: count, total: sum(value)}
to: [{topic: rows}]
'''


def events(count, padding=0):
    return [{'sensor': f's{i % 7}', 'time': START_NS + i * SECOND // 10, 'value': i,
             'padding': 'x' * padding} for i in range(count)]


class Trouble(harness.Case):
    def failing(self, *words, given=b''):
        """Runs it; it must end with exit code 1 and a sentence, which is returned."""
        _, err = self.millrace(*words, given=given, code=1)
        self.assertIn('millrace: ', err)
        return err

    def totals(self):
        rows = self.last_rows('rows', ['sensor'])
        return sum(row['n'] for row in rows.values()), sum(row['total'] for row in rows.values())

    def data_files(self):
        return [path for path in pathlib.Path(self.log[6:]).rglob('*')
                if path.is_file() and path.stat().st_size > 20000]

    # ---- A second hand ----

    def test_a_second_run_of_a_job_on_a_log_is_refused_and_the_first_goes_on(self):
        self.produce('events', events(1000), key='sensor')
        path = self.job(JOB)
        first = self.start('run', path, '--log', self.log, stderr=subprocess.PIPE)
        self.addCleanup(first.kill)
        harness.wait_for(self.has_rows, 'the first run to write rows')
        self.assertIn('sums', self.failing('run', path, '--log', self.log))
        first.terminate()
        _, err = first.communicate(timeout=60)
        self.assertEqual(first.returncode, 0, err)
        self.assertEqual(harness.Account(err.decode()).total('used'), 1000)

    def test_rows_for_a_closed_standard_output_go_nowhere(self):
        self.produce('events', events(1000), key='sensor')
        path = self.job(JOB)
        closed = subprocess.run(
            ['sh', '-c', '"$@" >&-', 'sh', harness.PROGRAM, 'run', path, '--log', self.log,
             '--show', '--until-end', '--close'],
            cwd=self.folder, capture_output=True, check=False, timeout=60)
        self.assertEqual(closed.returncode, 1, closed.stderr)
        self.assertIn(b'standard output', closed.stderr)
        self.millrace('topics', '--check', '--log', self.log)
        _, err = self.millrace('run', path, '--log', self.log, '--until-end')
        self.assertEqual(harness.Account(err).total('used'), 1000)

    def test_a_job_that_makes_dead_letters_of_everything_stops(self):
        self.produce('events', [{'sensor': 1}] * 1000)
        path = self.job(JOB + 'errors: {stop_if: {share: 5%, within: 1m}}\n')
        self.assertIn('errors.stop_if allows 5%', self.failing(
            'run', path, '--log', self.log, '--until-end'))
        _, err = self.millrace('run', path, '--log', self.log, '--until-end')  # it was committed
        self.assertEqual(harness.Account(err).total('dead-lettered'), 1000)

    def has_rows(self):
        return 'rows' in self.topics() and bool(self.dump('rows'))

    def topics(self):
        return subprocess.run([harness.PROGRAM, 'topics', '--log', self.log], text=True,
                              capture_output=True, check=False).stdout

    def test_another_job_on_the_same_log_runs_beside(self):
        self.produce('events', events(1000), key='sensor')
        other = self.job(JOB.replace('sums', 'others').replace('rows', 'other-rows'), 'other.yaml')
        first = self.start('run', self.job(JOB), '--log', self.log, stderr=subprocess.DEVNULL)
        self.addCleanup(first.wait)
        self.addCleanup(first.kill)
        harness.wait_for(self.has_rows, 'the first run to write rows')
        self.run_job(other)
        self.assertEqual(sum(row['n'] for row in self.last_rows('other-rows', ['sensor']).values()),
                         1000)

    # ---- No right, no room ----

    def test_a_log_that_cannot_be_made_is_a_clear_error(self):
        (self.folder / 'file').write_text('in the way')
        err = self.failing('produce', 'events', '--log', f'local:{self.folder}/file/log',
                           given=b'{}\n')
        self.assertIn('file', err)

    def test_a_folder_without_the_right_to_write_is_a_clear_error(self):
        (self.folder / 'closed').mkdir(mode=0o555)
        # Root may write everywhere, unless its capabilities are taken away.
        plain = ['setpriv', '--inh-caps=-all', '--bounding-set=-all'] if os.geteuid() == 0 else []
        done = subprocess.run([*plain, harness.PROGRAM, 'produce', 'events', '--log',
                               f'local:{self.folder}/closed/log'], input=b'{}\n',
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn('closed', done.stderr.decode())

    def test_a_log_that_is_not_there_is_a_clear_error(self):
        err = self.failing('run', self.job(JOB), '--log', f'local:{self.folder}/nothing')
        self.assertIn('nothing', err)
        self.assertFalse((self.folder / 'nothing').exists())

    def small_disk(self, megabytes):
        """A file system of its own, small; the log moves there."""
        folder = self.folder / 'disk'
        folder.mkdir()
        command = ['mount', '-t', 'tmpfs', '-o', f'size={megabytes}m', 'tmpfs', str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            self.skipTest('a small file system cannot be mounted here (needs root)')
        self.addCleanup(subprocess.run, ['umount', '-l', str(folder)], check=False)
        self.log = f'local:{folder}/log'
        return folder

    def test_a_full_disk_stops_produce_and_keeps_what_was_acknowledged(self):
        folder = self.small_disk(8)
        sent = events(20000, padding=1000)
        lines = b''.join(json.dumps(event).encode() + b'\n' for event in sent)
        err = self.failing('produce', 'events', '--log', self.log, '--key', 'sensor', given=lines)
        self.assertRegex(err, '(?i)space|full')
        subprocess.run(['mount', '-o', 'remount,size=64m', str(folder)], check=True)
        kept = [json.loads(record.value) for record in self.dump('events')]
        self.assertGreater(len(kept), 0)
        self.assertEqual(kept, sent[:len(kept)])
        acknowledged = re.search(r'([\d,]+) records', err)
        if acknowledged:
            self.assertGreaterEqual(len(kept), int(acknowledged.group(1).replace(',', '')))

    def test_a_full_disk_stops_run_and_it_goes_on_when_there_is_room(self):
        folder = self.small_disk(16)
        sent = events(5000)
        self.produce('events', sent, key='sensor')
        filler = folder / 'filler'
        subprocess.run(['dd', 'if=/dev/zero', f'of={filler}', 'bs=4096'], check=False,
                       capture_output=True)
        path = self.job(JOB)
        self.assertRegex(self.failing('run', path, '--log', self.log, '--until-end', '--close'),
                         '(?i)space|full')
        filler.unlink()
        account = self.run_job(path)
        self.assertEqual(account.total('used'), len(sent))
        self.assertEqual(self.totals(), (len(sent), sum(range(len(sent)))))

    # ---- Damage ----

    def test_a_log_of_a_newer_version_is_refused(self):
        self.produce('events', events(10), key='sensor')
        version, = [path for path in pathlib.Path(self.log[6:]).iterdir() if path.is_file()
                    and 'version' in path.name.lower()]
        version.write_text(re.sub(r'\d+', '99', version.read_text(), count=1))
        for words in (['run', self.job(JOB)], ['tail', 'events', '--until-end'], ['topics']):
            self.assertIn('99', self.failing(*words, '--log', self.log))

    def test_a_flipped_byte_is_noticed_and_never_served(self):
        self.produce('events', events(2000), key='sensor')
        self.millrace('topics', '--check', '--log', self.log)
        clean = [record.value for record in self.dump('events')]
        target = json.dumps(events(2000)[1234]).encode()
        path, = [path for path in self.data_files() if target in path.read_bytes()]
        content = bytearray(path.read_bytes())
        content[content.index(target) + 20] ^= 4
        path.write_bytes(content)

        out, err = self.millrace('topics', '--check', '--log', self.log, code=1)
        self.assertIn('events', out + err)
        out, _ = self.millrace('tail', 'events', '--until-end', '--log', self.log, code=1)
        served = out.encode().splitlines()
        self.assertEqual(served, clean[:len(served)])
        err = self.failing('run', self.job(JOB), '--log', self.log, '--until-end', '--close')
        self.assertRegex(err, 'events.*partition 0')
        self.assertIn('1234', err)

    def test_flipped_page_heads_never_end_the_check_itself(self):
        generator = random.Random(SEED)
        self.produce('events', events(2000), key='sensor')
        path = max(self.data_files(), key=lambda path: path.stat().st_size)
        whole = path.read_bytes()
        noticed = 0
        for _ in range(30):
            content = bytearray(whole)
            page = generator.randrange(2, len(whole) // 4096) * 4096
            for _ in range(4):
                content[page + generator.randrange(24)] ^= 1 << generator.randrange(8)
            path.write_bytes(content)
            done = subprocess.run([harness.PROGRAM, 'topics', '--check', '--log', self.log],
                                  capture_output=True, check=False, timeout=60)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            noticed += done.returncode
        self.assertGreater(noticed, 0)


if __name__ == '__main__':
    unittest.main()
