#!/usr/bin/env python3
"""What a cluster and those who keep it can do to a job: each time a sentence that says what, where
and what to do; waiting where waiting can help, an exit code where it cannot; nothing lost.

What the broker itself goes through is in away_test.py.
"""
import json
import shutil
import subprocess
import unittest

import cluster
import harness
from background import Run
from harness import SECOND

START_NS = harness.nanoseconds('2026-11-21T03:00:00Z')

JOB = '''
job: %(job)s
from: {topic: %(topic)s, format: json, key: sensor, timestamp: {field: time, unit: ns},
       fields: {sensor: text, value: number}}
commit: 100ms
group_by: [sensor]
window: {every: 10s}
stats: {n: count, total: sum(value)}
to: [{topic: %(job)s-rows}]
%(more)s
'''


def events(count=100, start=0):
    return [{'sensor': f's{i % 4}', 'value': i, 'time': START_NS + i * SECOND}
            for i in range(start, start + count)]


class Case(cluster.Case):
    def setUp(self):
        super().setUp()
        self.name, self.topic = 'job' + self.tag, 'in' + self.tag

    def make(self, more='', job=None, topic=None, name='job.yaml'):
        return self.job(JOB % {'job': job or self.name, 'topic': topic or self.topic,
                               'more': more}, name)

    def admin(self, tool, *words):
        return cluster.tool(tool, '--bootstrap-server', self.broker.address, *words)

    def fails(self, *words, code=1, says=(), given=b''):
        """It ends with that code and one sentence, which has each of `says`."""
        _, err = self.millrace(*words, code=code, given=given)
        sentence = [line for line in err.splitlines() if line.startswith('millrace: ')][-1]
        for text in says:
            self.assertIn(text, sentence)
        print(f'\n    {self.id().rsplit(".", 1)[1]}:\n    {sentence}', flush=True)
        return sentence

    def rows(self):
        """How much is committed in the topic of rows; 0 while it is not there."""
        return sum(int(line.split()[2].replace(',', ''))
                   for line in self.millrace('topics', '--log', self.log)[0].splitlines()
                   if line.split()[0] == self.name + '-rows')

    def total(self, job=None):
        """What the last rows of each cell count together."""
        rows = self.last_rows((job or self.name) + '-rows', ['sensor'])
        return sum(row['n'] for row in rows.values())


class Topics(Case):
    def test_a_topic_that_is_not_there(self):
        self.fails('run', self.make(), '--log', self.log, says=[self.topic, self.broker.address])
        self.fails('tail', self.topic, '--log', self.log, says=[self.topic])

    def test_an_output_with_other_partitions(self):
        self.produce(self.topic, events(), 'sensor', 4)
        self.admin('kafka-topics', '--create', '--topic', self.name + '-rows', '--partitions', '2')
        self.fails('run', self.make(), '--log', self.log,
                   says=[self.name + '-rows', '2 partitions', '4'])

    def test_a_changelog_that_would_forget(self):
        self.produce(self.topic, events(), 'sensor', 2)
        changelog = self.name + '-windows-changelog'
        self.admin('kafka-topics', '--create', '--topic', changelog, '--partitions', '2',
                   '--config', 'cleanup.policy=delete')
        self.fails('run', self.make(), '--log', self.log, says=[changelog, 'compact'])

    def test_partitions_that_were_added_between_two_runs(self):
        self.produce(self.topic, events(), 'sensor', 2)
        self.run_job(self.make())
        self.admin('kafka-topics', '--alter', '--topic', self.topic, '--partitions', '4')
        self.fails('run', self.make(), '--log', self.log, says=[self.topic, '2', '4'])

    def test_partitions_that_are_added_while_it_runs(self):
        self.produce(self.topic, events(), 'sensor', 2)
        path = self.make('kafka: {librdkafka: {topic.metadata.refresh.interval.ms: 500}}')
        run = Run(self, path, '--log', self.log)
        harness.wait_for(self.rows, 'rows')
        self.admin('kafka-topics', '--alter', '--topic', self.topic, '--partitions', '4')
        self.assertEqual(run.end(), 1)
        for text in (self.topic, '2', '4'):
            self.assertIn(text, run.lines[-1])

    def test_records_gone_below_the_committed_offset(self):
        self.produce(self.topic, events(), 'sensor')
        self.run_job(self.make())
        self.produce(self.topic, events(100, 100), 'sensor')
        gone = self.folder / 'gone.json'
        gone.write_text(json.dumps({'version': 1, 'partitions': [
            {'topic': self.topic, 'partition': 0, 'offset': 150}]}))
        self.admin('kafka-delete-records', '--offset-json-file', gone)
        self.fails('run', self.make(), '--log', self.log, '--until-end',
                   says=[self.topic, '100', '150', '--reset'])

    def test_committed_offsets_that_somebody_deleted(self):
        self.produce(self.topic, events(), 'sensor')
        self.run_job(self.make())
        self.admin('kafka-consumer-groups', '--delete-offsets', '--group', self.name, '--topic',
                   self.topic)
        self.fails('run', self.make(), '--log', self.log, '--until-end',
                   says=[self.topic, 'no committed offset', '--reset'])
        self.run_job(self.make(), '--reset')
        self.assertEqual(self.total(), 100)

    def test_a_committed_offset_that_somebody_moved(self):
        self.produce(self.topic, events(), 'sensor')
        self.run_job(self.make())
        self.admin('kafka-consumer-groups', '--reset-offsets', '--group', self.name, '--topic',
                   self.topic, '--to-offset', '90', '--execute')
        self.fails('run', self.make(), '--log', self.log, '--until-end',
                   says=[self.name, self.topic, '--reset'])

    def test_a_topic_made_anew(self):
        self.produce(self.topic, events(), 'sensor')
        self.run_job(self.make())
        self.admin('kafka-topics', '--delete', '--topic', self.topic)
        self.produce(self.topic, events(10), 'sensor')
        self.fails('run', self.make(), '--log', self.log, '--until-end',
                   says=[self.topic, 'no committed offset', '--reset'])


class Sizes(Case):
    def test_a_record_that_the_input_does_not_take(self):
        self.produce(self.topic, events(10), 'sensor')
        self.admin('kafka-configs', '--alter', '--topic', self.topic, '--add-config',
                   'max.message.bytes=1000')
        line = json.dumps({'sensor': 'x', 'value': 1, 'time': START_NS, 'more': 'y' * 5000})
        self.fails('produce', self.topic, '--log', self.log, '--key', 'sensor',
                   given=line.encode() + b'\n', says=[self.topic, 'max.message.bytes'])

    def test_rows_that_the_output_does_not_take(self):
        self.produce(self.topic, events(), 'sensor')
        self.admin('kafka-topics', '--create', '--topic', self.name + '-rows', '--partitions', '1',
                   '--config', 'max.message.bytes=100')
        self.fails('run', self.make(), '--log', self.log, '--until-end', '--close',
                   says=[self.name + '-rows', 'max.message.bytes'])
        self.admin('kafka-configs', '--alter', '--topic', self.name + '-rows', '--add-config',
                   'max.message.bytes=1000000')
        self.run_job(self.make())
        self.assertEqual(self.total(), 100)


class Groups(Case):
    def consumer(self, strategy):
        """Kafka's own consumer of the input in the group of the job, once it has joined."""
        process = subprocess.Popen(
            [cluster.SCRIPT, 'tool', 'kafka-console-consumer', '--bootstrap-server',
             self.broker.address, '--group', self.name, '--topic', self.topic, '--from-beginning',
             '--consumer-property', 'partition.assignment.strategy=' + strategy],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertTrue(any(line.startswith('{') for line in process.stdout))

    def test_a_group_that_another_program_shares_out_in_its_way(self):
        self.produce(self.topic, events(), 'sensor')
        self.consumer('org.apache.kafka.clients.consumer.RangeAssignor')
        self.fails('run', self.make(), '--log', self.log, '--until-end',
                   says=[self.name, 'another name'])

    def test_a_job_of_the_same_name_with_another_input(self):
        other = 'other' + self.tag
        self.produce(self.topic, events(), 'sensor')
        self.produce(other, events(), 'sensor')
        run = Run(self, self.make(), '--log', self.log)
        harness.wait_for(self.rows, 'rows')
        self.fails('run', self.make(topic=other, name='other.yaml'), '--log', self.log, '--dir',
                   self.folder / 'elsewhere', '--until-end', says=[self.name])
        run.stop()

    def test_a_copied_directory_ends_the_older_run_with_a_sentence(self):
        # in every partition: two that never commit at the same time do not meet
        everywhere = [dict(event, sensor=f's{i}') for i, event in enumerate(events())]
        self.produce(self.topic, everywhere, 'sensor', 4)
        older = Run(self, self.make(), '--log', self.log)
        harness.wait_for(self.rows, 'rows')
        shutil.copytree(self.folder / '.millrace' / self.name, self.folder / 'copy')
        newer = Run(self, self.make(), '--log', self.log, '--dir', self.folder / 'copy')

        def one_ended():
            self.produce(self.topic, everywhere, 'sensor', 4)
            return older.process.poll() is not None or newer.process.poll() is not None
        harness.wait_for(one_ended, 'one of two with the same identity to end', 60)
        ended, other = (older, newer) if older.process.poll() is not None else (newer, older)
        self.assertEqual(ended.end(), 1)
        self.assertRegex(ended.text(), '--dir')
        before = self.rows()

        def works():
            self.produce(self.topic, everywhere, 'sensor', 4)
            return self.rows() > before
        harness.wait_for(works, 'rows of the other')
        other.stop()


if __name__ == '__main__':
    unittest.main()
