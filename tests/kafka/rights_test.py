#!/usr/bin/env python3
"""Passwords and rights: what is wrong is said with the user and what is missing, at once and not
after a wait; what is secret is never printed."""
import subprocess
import unittest

import cluster
import harness
from background import Run
from harness import SECOND

START_NS = harness.nanoseconds('2026-11-21T03:00:00Z')
PLANTED = 'canary-7f3a9c'

JOB = '''
job: %(job)s
log: %(log)s
from: {topic: %(topic)s, format: json, key: sensor, timestamp: {field: time, unit: ns},
       fields: {sensor: text, value: number}}
commit: 100ms
group_by: [sensor]
window: {every: 10s}
stats: {n: count}
to: [{topic: %(job)s-rows}]
kafka:
  security.protocol: %(protocol)s
  sasl.mechanism: PLAIN
  sasl.username: %(user)s
  sasl.password: %(password)s
%(more)s
'''


class Rights(cluster.Case):
    @classmethod
    def setUpClass(cls):
        cls.secure = cluster.own('--secure')

    def setUp(self):
        super().setUp()
        self.use(self.secure)
        self.listeners = self.secure.listeners()
        self.name, self.topic = 'job' + self.tag, 'in' + self.tag
        self.produce(self.topic, [{'sensor': 'a', 'value': i, 'time': START_NS + i * SECOND}
                                  for i in range(100)], 'sensor', 2)

    def make(self, user='guest', password='guest-secret', listener='sasl', more=''):
        protocol = {'sasl': 'sasl_plaintext', 'tls': 'sasl_ssl'}[listener]
        return self.job(JOB % {'job': self.name, 'topic': self.topic, 'user': user,
                               'log': 'kafka://' + self.listeners[listener], 'more': more,
                               'protocol': protocol, 'password': password})

    def allow(self, *words, user='guest'):
        cluster.tool('kafka-acls', '--bootstrap-server', self.broker.address, '--add',
                     '--allow-principal', 'User:' + user, *words)

    def fails(self, path, *says, words=('--until-end',)):
        out, err = self.millrace('run', path, *words, code=1)
        sentence = [line for line in err.splitlines() if line.startswith('millrace: ')][-1]
        for text in says:
            self.assertIn(text, sentence)
        self.assertNotIn('-secret', out + err)
        print(f'\n    {self.id().rsplit(".", 1)[1]}:\n    {sentence}', flush=True)
        return sentence

    def test_a_right_password_works_on_both_listeners(self):
        _, err = self.millrace('run', self.make('worker', 'worker-secret'), '--until-end')
        self.assertEqual(harness.Account(err).total('used'), 100)
        tls = f'  ssl.ca.location: {self.secure.folder}/ca.pem'
        path = self.make('worker', 'worker-secret', 'tls', tls)
        _, err = self.millrace('run', path, '--until-end', '--close')
        self.assertEqual(self.last_rows(self.name + '-rows', ['sensor']).__len__(), 10)

    def test_a_wrong_password_is_refused_with_the_user(self):
        self.fails(self.make(password=PLANTED), 'guest', 'password', self.listeners['sasl'])

    def test_an_unknown_authority_is_refused(self):
        self.fails(self.make('worker', 'worker-secret', 'tls'), 'certificate', 'ssl.ca.location')

    def test_a_client_without_a_password_is_told(self):
        path = self.job(self.make().read_text().split('kafka:\n')[0], 'bare.yaml')
        run = Run(self, path)
        run.wait_until_said(r'security\.protocol')
        print('\n    ' + run.said('security')[0], flush=True)
        run.stop(1)

    def test_each_missing_right_is_named(self):
        name = ['--resource-pattern-type', 'prefixed']
        path = self.make()
        self.fails(path, self.topic, 'guest', 'Read')
        self.allow('--topic', self.topic, '--operation', 'Read', '--operation', 'DescribeConfigs')
        self.fails(path, self.name, 'guest', 'Create')
        self.allow('--topic', self.name, '--operation', 'Create', '--operation', 'Describe',
                   '--operation', 'DescribeConfigs', *name)
        self.fails(path, 'guest', 'transactional ids')
        self.allow('--transactional-id', self.name, '--operation', 'Write', '--operation',
                   'Describe', *name)
        self.fails(path, 'guest', 'group of the job')
        self.allow('--group', self.name, '--operation', 'Read')
        self.fails(path, self.name, 'guest', 'Write')
        self.allow('--topic', self.name, '--operation', 'Write', '--operation', 'Read', *name)
        _, err = self.millrace('run', path, '--until-end')
        self.assertEqual(harness.Account(err).total('used'), 100)

    def test_what_a_job_in_two_stages_may_not_trim_is_told_and_stays(self):
        path = self.job(self.make().read_text().replace('[sensor]', '[]'))
        between, name = self.name + '-regroup-repartition', ['--resource-pattern-type', 'prefixed']
        self.allow('--topic', self.topic, '--operation', 'Read', '--operation', 'DescribeConfigs')
        self.allow('--topic', self.name, '--operation', 'Create', '--operation', 'DescribeConfigs',
                   '--operation', 'Read', '--operation', 'Write', *name)
        self.allow('--transactional-id', self.name, '--operation', 'Write', *name)
        self.allow('--group', self.name, '--operation', 'Read', *name)
        _, err = self.millrace('run', path, '--until-end', '--close')
        self.assertEqual(harness.Account(err).total('used'), 100)
        self.assertEqual(len(self.last_rows(self.name + '-rows', [])), 10)
        self.more()
        _, err = self.millrace('run', path, '--until-end')
        self.says_what_grows(err, between)
        before = len(self.dump(between))
        out, _ = self.millrace('validate', '--connect', path)
        self.says_what_grows(out, between)
        self.allow('--topic', between, '--operation', 'Delete')
        out, _ = self.millrace('validate', '--connect', path)
        self.assertNotIn('grow', out)
        self.more()
        _, err = self.millrace('run', path, '--until-end')
        self.assertNotIn('grow', err)
        self.assertLess(len(self.dump(between)), before)

    def more(self):
        self.produce(self.topic, [{'sensor': 'a', 'value': 1, 'time': START_NS + 200 * SECOND}],
                     'sensor', 2)

    def says_what_grows(self, text, topic):
        """Once."""
        told = [line for line in text.splitlines() if 'grow' in line]
        self.assertEqual(len(told), 1, text)
        for word in (topic, 'guest', 'Delete'):
            self.assertIn(word, told[0])
        print('\n    ' + told[0].strip(), flush=True)

    def test_what_is_secret_is_never_printed(self):
        path = self.make('guest', PLANTED)
        bare = path.read_text().replace(f'sasl.password: {PLANTED}', f'sasl.passwort: {PLANTED}')
        twice = path.read_text().replace(
            'sasl.mechanism', f'librdkafka: {{sasl.password: {PLANTED}}}\n  sasl.mechanism')
        debug = path.read_text() + '  librdkafka: {debug: "security,broker,protocol,conf"}\n'
        paths = [path, self.job(bare, 'bare.yaml'), self.job(twice, 'twice.yaml'),
                 self.job(debug, 'debug.yaml')]
        words = [['run'], ['run', '--until-end'], ['explain'], ['validate'],
                 ['validate', '--connect']]
        for each in paths:
            for command, *more in words:
                with self.subTest(f'{command} {more} {each.name}'):
                    self.assertNotIn(PLANTED, self.anything(command, each, *more))
        properties = self.folder / 'client.properties'
        for text in (f'sasl.password={PLANTED}', f'sasl.passwort={PLANTED}', PLANTED):
            properties.write_text(text + '\n')
            with self.subTest(text):
                self.assertNotIn(PLANTED, self.anything(
                    'topics', '--log', 'kafka://' + self.listeners['sasl'], '--kafka', properties))

    def anything(self, *words):
        """What it prints, whatever its exit code; one that waits for the broker is told to stop."""
        with self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                out, _ = process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                process.terminate()
                out, _ = process.communicate(timeout=30)
        self.assertTrue(out)
        return out.decode()


if __name__ == '__main__':
    unittest.main()
