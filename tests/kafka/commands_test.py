"""The commands on a real broker, as a person uses them; and on brokers that are not there, are
silent or refuse."""
import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

import cluster
import harness

JOB = '''
job: minutes{tag}
log: {log}
{kafka}
from: {{topic: events{tag}, format: json, key: d, timestamp: {{field: t, unit: s}}}}
group_by: [d]
window: {{every: 1m}}
commit: 100ms
stats: {{n: count}}
to: [{{topic: rows{tag}}}]
'''


def texts(out):
    return [json.loads(line) for line in out.splitlines()]


class Silent:
    """A broker that takes connections and says nothing."""

    def __init__(self, case):
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.address = '127.0.0.1:%d' % self.socket.getsockname()[1]
        self.kept = []
        self.greeted = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()
        case.addCleanup(self.close)

    def accept(self):
        try:
            while True:
                self.kept.append(self.socket.accept()[0])
                self.greeted.set()
        except OSError:
            pass

    def close(self):
        for each in [self.socket, *self.kept]:
            each.close()


class WithoutBroker(harness.Case):
    tag = ''

    def write(self, log, kafka=''):
        return self.job(JOB.format(log=log, tag=self.tag, kafka=kafka))

    def stop_in_time(self, *words):
        """Told to stop while its broker is silent, it ends within 5 s and says why."""
        silent = Silent(self)
        words = [silent.address.join(('kafka://', '')) if word == 'LOG' else word
                 for word in words]
        process = self.start(*words, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b'{}\n' * 10)
        process.stdin.flush()
        self.assertTrue(silent.greeted.wait(30))
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        _, err = process.communicate(timeout=30)
        self.assertLess(time.monotonic() - begun, 5)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn(silent.address, err.decode())
        self.assertRegex(err.decode(), 'stopped while waiting|did not answer in time')

    def test_a_silent_broker_does_not_hold_a_job(self):
        self.stop_in_time('run', self.write('kafka://127.0.0.1:1'), '--log', 'LOG')

    def test_a_silent_broker_does_not_hold_produce(self):
        self.stop_in_time('produce', 'events', '--log', 'LOG')

    def test_a_silent_broker_does_not_hold_tail(self):
        self.stop_in_time('tail', 'events', '--log', 'LOG')

    def test_a_silent_broker_does_not_hold_topics(self):
        self.stop_in_time('topics', '--log', 'LOG')

    def test_a_job_is_explained_although_no_broker_answers(self):
        out, _ = self.millrace('explain', self.write('kafka://127.0.0.1:1'))
        self.assertIn('topics of kafka://127.0.0.1:1', out)

    def test_validate_connect_gives_up(self):
        out, _ = self.millrace('validate', self.write('kafka://127.0.0.1:1'), '--connect', code=1)
        self.assertRegex(out, 'fault .*127.0.0.1:1')

    def test_a_property_that_the_client_refuses_is_a_bad_configuration(self):
        for kafka, said in (('kafka: {sasl.mechanisn: PLAIN}', 'did you mean "sasl.mechanism"'),
                            ('kafka: {security.protocol: hunter2}', 'security.protocol'),
                            ('kafka: {librdkafka: {linger.ms: soon}}', 'linger.ms')):
            job = self.write('kafka://127.0.0.1:1', kafka)
            _, err = self.millrace('run', job, code=78)
            self.assertIn(said, err)
            out, _ = self.millrace('validate', job, '--connect', code=78)
            self.assertIn(said, out)

    def test_a_secret_is_not_shown(self):
        secret = self.folder / 'client'
        for line in ('sasl.password=hunter2\nisolation.level=x',
                     'ssl.key.pem=hunter2\nsecurity.protocol=x',
                     'sasl.pasword=hunter2'):
            secret.write_text(f'security.protocol=ssl\n{line}\n')
            secret.chmod(0o600)
            out, err = self.millrace('topics', '--log', 'kafka://127.0.0.1:1', '--kafka', secret,
                                     code=78)
            self.assertNotIn('hunter2', out + err)

    def test_a_secret_that_everyone_may_read_is_told(self):
        secret = self.folder / 'client'
        secret.write_text('sasl.password=hunter2\nisolation.level=x\n')
        secret.chmod(0o644)
        _, err = self.millrace('topics', '--log', 'kafka://127.0.0.1:1', '--kafka', secret,
                               code=78)
        self.assertIn('holds sasl.password and everyone on this machine may read it', err)


class JobCase(cluster.Case):
    def write(self, kafka=''):
        return self.job(JOB.format(log=self.log, tag=self.tag, kafka=kafka))

    def topic(self, name, *words):
        cluster.tool('kafka-topics', '--bootstrap-server', self.broker.address, '--create',
                     '--topic', name + self.tag, *words)

    def events(self, n, partitions=2, first=0):
        events = [{'d': f'd{i % 5}', 't': 60 * i} for i in range(first, first + n)]
        self.produce('events' + self.tag, events, key='d', partitions=partitions)

    def tailed(self, name):
        done = subprocess.run([harness.PROGRAM, 'tail', name + self.tag, '--log', self.log,
                               '--until-end'], capture_output=True, check=False)
        return done.stdout


class OnABroker(JobCase):
    def test_what_was_produced_is_what_tail_prints(self):
        self.events(100)
        out, _ = self.millrace('tail', 'events' + self.tag, '--log', self.log, '--until-end')
        self.assertEqual(sorted(texts(out), key=lambda row: row['t']),
                         [{'d': f'd{i % 5}', 't': 60 * i} for i in range(100)])
        out, _ = self.millrace('tail', 'events' + self.tag, '--log', self.log, '--until-end',
                               '--from', 'end')
        self.assertEqual(out, '')

    def test_tail_waits_for_more(self):
        self.events(10)
        process = self.start('tail', 'events' + self.tag, '--log', self.log, '--count', 15,
                             stdout=subprocess.PIPE)
        self.events(5)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(out.splitlines()), 15)

    def test_tail_ends_behind_the_markers_of_transactions(self):
        self.events(100)
        self.run_job(self.write(), '--dir', self.folder / 'me')
        out, _ = self.millrace('tail', 'rows' + self.tag, '--log', self.log, '--until-end')
        self.assertEqual(sum(row['n'] for row in texts(out) if row['closed']), 100)
        self.millrace('tail', f'minutes{self.tag}-windows-changelog', '--log', self.log,
                      '--until-end')

    def test_topics_lists_what_is_there(self):
        self.events(100)
        out, _ = self.millrace('topics', '--log', self.log)
        line = next(line for line in out.splitlines() if line.startswith('events' + self.tag))
        self.assertRegex(line, r'events\S+ +2 +100 .* records')
        out, _ = self.millrace('topics', '--log', self.log, '--check')
        self.assertIn(f'events{self.tag}: 100 records are good', out)

    def test_validate_connect_tells_what_a_job_will_find(self):
        job = self.write()
        out, _ = self.millrace('validate', job, '--connect', code=1)
        self.assertRegex(out, f'fault +input: .*events{self.tag}')
        self.events(100)
        out, _ = self.millrace('validate', job, '--connect')
        self.assertIn(f'log: {self.log} answers', out)
        self.assertIn('has 2 partitions, at most 100 records', out)
        self.assertIn(f'output: "rows{self.tag}" is not there; the first run makes it', out)
        self.assertNotIn('warning', out)
        self.run_job(job, '--dir', self.folder / 'me')
        out, _ = self.millrace('validate', job, '--connect')
        self.assertIn(f'output: "rows{self.tag}" is there, 2 partitions', out)
        self.assertNotIn('warning', out)

    def test_validate_connect_warns_of_topics_that_forget(self):
        self.topic('events', '--partitions', '2')
        self.topic('rows', '--partitions', '2', '--config', 'retention.ms=86400000')
        out, _ = self.millrace('validate', self.write(), '--connect')
        self.assertRegex(out, r'warning +output: .* keeps its records for 1d only')

    def test_validate_connect_tells_whose_clock_stamps_the_input(self):
        self.topic('events', '--partitions', '1')
        self.events(5, partitions=0)
        out, _ = self.millrace('validate', self.write(), '--connect')
        self.assertRegex(out, r"warning +time: .* with the producers' clocks")

    def test_validate_connect_finds_what_keeps_a_job_from_running(self):
        self.topic('events', '--partitions', '2', '--config', 'cleanup.policy=compact')
        self.topic('rows', '--partitions', '3')
        out, _ = self.millrace('validate', self.write(), '--connect', code=1)
        self.assertRegex(out, 'fault +input: .* is compacted')
        self.assertRegex(out, 'fault +output: .* has 3 partitions, but the input has 2')

    def run_beside(self, job, folder):
        process = self.start('run', job, '--dir', folder, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        harness.wait_for((self.folder / folder / 'instance').exists, 'the identity')
        return process

    def test_a_second_process_needs_another_directory(self):
        self.events(10)
        job = self.write()
        first = self.run_beside(job, 'me')
        _, err = self.millrace('run', job, '--dir', 'me', code=1)
        self.assertIn(f'me is in use by process {first.pid}', err)
        second = self.run_beside(job, 'other')
        self.assertIsNone(first.poll())
        self.assertIsNone(second.poll())

    def test_without_dir_the_identity_lies_beside(self):
        self.events(10)
        self.run_job(self.write())
        kept = self.folder / f'.millrace/minutes{self.tag}/instance'
        self.assertRegex(kept.read_text(), '^[0-9a-f]{16}$')
        self.assertEqual(kept.stat().st_mode & 0o777, 0o600)

    def test_sigterm_commits_and_ends(self):
        self.events(1000)
        process = self.start('run', self.write(), '--dir', 'me', stderr=subprocess.PIPE)
        harness.wait_for(lambda: self.tailed('rows'), 'rows')
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        _, err = process.communicate(timeout=30)
        self.assertLess(time.monotonic() - begun, 5)
        self.assertEqual(process.returncode, 0, err)


class Hung(JobCase):
    def setUp(self):
        super().setUp()
        self.use(cluster.own())

    def test_a_broker_that_falls_silent_does_not_hold_a_job_and_nothing_is_lost(self):
        self.events(1000)
        job = self.write()
        process = self.start('run', job, '--dir', 'me', stderr=subprocess.PIPE)
        harness.wait_for(lambda: self.tailed('rows'), 'rows')
        self.events(100, first=1000)
        broker = int((self.broker.folder / 'pid').read_text())
        os.kill(broker, signal.SIGSTOP)
        self.addCleanup(self.broker.close)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        _, err = process.communicate(timeout=30)
        self.assertLess(time.monotonic() - begun, 5)
        if process.returncode != 0:
            self.assertEqual(process.returncode, 1, err)
            self.assertIn(b'the broker did not answer in time; what was not committed', err)
        os.kill(broker, signal.SIGCONT)
        self.run_job(job, '--dir', 'me')
        counts = [row['n'] for row in self.last_rows('rows' + self.tag, ['d']).values()]
        self.assertEqual(sum(counts), 1100)


class Secure(cluster.Case):
    @classmethod
    def setUpClass(cls):
        cls.secure = cluster.own('--secure')

    def setUp(self):
        super().setUp()
        self.use(self.secure)
        self.sasl = 'kafka://' + self.secure.listeners()['sasl']
        self.tls = 'kafka://' + self.secure.listeners()['tls']

    def client(self, user, password, protocol='sasl_plaintext', more=''):
        path = self.folder / f'{user}.client'
        path.write_text(f'security.protocol={protocol}\nsasl.mechanism=PLAIN\n'
                        f'sasl.username={user}\nsasl.password={password}\n{more}')
        path.chmod(0o600)
        return path

    def test_a_user_with_rights_runs_a_job_over_tls(self):
        job = self.job(JOB.format(log=self.tls, tag=self.tag, kafka=f'''kafka:
  security.protocol: sasl_ssl
  sasl.mechanism: PLAIN
  sasl.username: worker
  sasl.password: "${{file:{self.folder}/password}}"
  ssl.ca.location: {self.secure.folder}/ca.pem'''))
        (self.folder / 'password').write_text('worker-secret\n')
        client = self.client('worker', 'worker-secret', 'sasl_ssl',
                             f'ssl.ca.location={self.secure.folder}/ca.pem\n')
        self.millrace('produce', 'events' + self.tag, '--key', 'd', '--log', self.tls, '--kafka',
                      client, given=b'{"d":"a","t":1}\n')
        out, _ = self.millrace('validate', job, '--connect')
        self.assertIn('rights: ', out)
        self.millrace('run', job, '--until-end', '--close')
        out, _ = self.millrace('tail', 'rows' + self.tag, '--log', self.tls, '--kafka', client,
                               '--until-end')
        self.assertEqual(texts(out)[-1]['n'], 1)

    def test_a_wrong_password_is_told_without_it(self):
        client = self.client('worker', 'hunter2')
        for words in (['topics'], ['tail', 'events'], ['produce', 'events']):
            out, err = self.millrace(*words, '--log', self.sasl, '--kafka', client, code=1)
            self.assertIn('check sasl.username, sasl.password', err)
            self.assertNotIn('hunter2', out + err)

    def test_missing_rights_are_told(self):
        self.produce('events' + self.tag, [{'d': 'a', 't': 1}], key='d')
        client = self.client('guest', 'guest-secret')
        job = self.job(JOB.format(log=self.sasl, tag=self.tag, kafka=''))
        out, _ = self.millrace('validate', job, '--connect', '--kafka', client, code=1)
        self.assertRegex(out, 'fault .*guest')
        _, err = self.millrace('run', job, '--kafka', client, code=1)
        self.assertIn('ACL', err)


if __name__ == '__main__':
    unittest.main()
