#!/usr/bin/env python3
"""Kafka's own Java programs and Millrace understand each other: keys and rows."""
import json
import random
import unittest

import cluster

PARTITIONS = 7

JOB = '''
job: java{tag}
from: {{topic: readings{tag}, format: json, key: {{record: key}},
       timestamp: {{field: time, unit: s}}, fields: {{value: number}}}}
group_by: [key]
window: {{every: 10s}}
stats:
  n: count
  total: sum(value)
to: [{{topic: rows{tag}}}]
'''


def keys():
    """Keys of every length up to 40, in several alphabets."""
    generator = random.Random(1)
    alphabets = 'abcdefghijklmnopqrstuvwxyz0123456789', 'äöüßéλж漢', 'Az-_.,:;!? '
    return [''.join(generator.choices(alphabets[n % 3], k=n % 40 + 1)).strip() or 'x'
            for n in range(300)]


class Java(cluster.Case):
    def create(self, topic):
        cluster.tool('kafka-topics', '--bootstrap-server', self.broker.address, '--create',
                     '--topic', topic, '--partitions', str(PARTITIONS))

    def console_producer(self, topic, lines):
        """Lines of key, a tab, value."""
        cluster.tool('kafka-console-producer', '--bootstrap-server', self.broker.address,
                     '--topic', topic, '--reader-property', 'parse.key=true',
                     input='\n'.join(lines))

    def console_consumer(self, topic, count):
        out, _ = cluster.tool('kafka-console-consumer', '--bootstrap-server', self.broker.address,
                              '--topic', topic, '--from-beginning', '--isolation-level',
                              'read_committed', '--max-messages', str(count), '--timeout-ms',
                              '30000', '--formatter-property', 'print.key=true')
        return [line.split('\t', 1) for line in out.splitlines()]

    def test_a_key_goes_where_the_console_producer_puts_it(self):
        ours, theirs = f'ours{self.tag}', f'theirs{self.tag}'
        events = [{'key': key, 'value': 1} for key in keys()]
        self.create(theirs)
        self.console_producer(theirs, [f'{event["key"]}\t{json.dumps(event)}' for event in events])
        self.produce(ours, events, key='key', partitions=PARTITIONS)
        places = [{record.key.decode(): record.partition for record in self.dump(topic)}
                  for topic in (ours, theirs)]
        self.assertEqual(len(places[0]), len(set(keys())))
        self.assertEqual(set(places[0].values()), set(range(PARTITIONS)))
        self.assertEqual(places[0], places[1])

    def test_the_console_consumer_reads_the_rows(self):
        topic = f'readings{self.tag}'
        self.create(topic)
        lines = [f'{key}\t{json.dumps({"time": 1_790_000_000 + i, "value": i})}'
                 for i in range(100) for key in ('one', 'two', 'three')]
        self.console_producer(topic, lines)
        job = self.job(JOB.format(tag=self.tag))
        account = self.run_job(job)
        self.assertEqual(account.total('used'), len(lines))
        rows = self.console_consumer(f'rows{self.tag}', 30)
        self.assertEqual(sorted({key for key, _ in rows}), ['one', 'three', 'two'])
        for key, value in rows:
            row = json.loads(value)
            self.assertEqual((row['key'], row['n'], row['closed']), (key, 10, True))
        self.assertEqual(sum(json.loads(value)['total'] for _, value in rows), 3 * 4950)


if __name__ == '__main__':
    unittest.main()
