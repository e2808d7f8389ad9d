"""What the oracle says of the jobs of load.py once they have ended: every difference, as text.

Every record of an input topic was used once by each job that reads it, and of the job in two
stages every sample by each stage; every row is what the oracle recomputes; the changelogs agree
with the rows; no entry of the table came late, and each that makes no sense is a dead letter. Where
that is asked for, too: what the first stage handed over was trimmed.
"""
import re
from collections import Counter

import changelog
import frames
import load
from versions import Versions

REPARTITION = 'compare-regroup-repartition'
# topic of rows -> (job, its input, its group, what must come of it)
ONE_STAGE = {'event-rows': ('events', 'events', 'sensor', load.event_windows),
             'frame-rows': ('frames', 'frames', 'device', load.frame_windows)}
TABLE = re.compile(r'job compare: frames/\d+ table algo: ([\d,]+) entries read, ([\d,]+) of them '
                   r'tombstones, ([\d,]+) dead-lettered, ([\d,]+) late')


class Verdict:
    def __init__(self, case, said, account):
        self.case, self.said, self.account = case, said, account
        self.faults, self.rows, self.records = [], 0, 0

    def expect(self, what, got, want):
        if got != want:
            self.faults.append(f'{what}: {got}, expected {want}')

    def judge_rows(self, job, topic, group, windows):
        found = load.Rows(self.case.records(topic), group)
        cells = changelog.cells(self.case.records(f'{job}-windows-changelog'))
        self.faults += found.faults(windows)
        self.faults += changelog.faults(cells, found, load.RETAIN_NS)
        self.rows += found.count()

    def one_stage(self, topic):
        job, source, group, recompute = ONE_STAGE[topic]
        records = self.case.dump(source)
        self.records += len(records)
        for outcome in ('read', 'used'):
            self.expect(f'job {job}, {outcome}', self.account.total(outcome, job=job),
                        len(records))
        self.judge_rows(job, topic, group, recompute(records))

    def two_stages(self):
        records, versions = self.case.dump('frames'), Versions(self.case.records('versions'))
        self.records += len(records)
        samples = sum(len(frames.decode(record.value).times()) for record in records)
        for outcome in ('read', 'used'):
            self.expect(f'first stage, {outcome}', self.account.total(outcome, job='compare'),
                        len(records))
            for topic in ('frames', REPARTITION):
                self.expect(f'samples of {topic}, {outcome}', self.account.total(
                    outcome, samples=True, job='compare', topic=topic), samples)
        self.judge_rows('compare', 'compare-rows', 'algorithm',
                        load.compare_windows(records, versions))
        self.judge_table(versions)

    def judge_table(self, versions):
        lines = TABLE.findall(self.said)
        read, tombstones, bad, late = (sum(int(line[i].replace(',', '')) for line in lines)
                                       for i in range(4))
        self.expect('entries read', read, versions.count())
        self.expect('tombstones', tombstones, versions.tombstones)
        self.expect('entries without sense', bad, len(versions.letters))
        self.expect('late entries', late, 0)
        letters = [letter.value for letter in self.case.records('compare-dead-letters')]
        self.expect('dead letters', sorted(letters), sorted(versions.letters))

    def judge_trim(self):
        faults = untrimmed(self.case.records(REPARTITION))
        self.faults += [faults] if faults else []


def untrimmed(records):
    """Of what lay between the stages only the end is left: what a worker found when it began goes
    when it ends."""
    left, end = Counter(), {}
    for record in records:
        left[record.partition] += 1
        end[record.partition] = record.offset + 1
    if left.total() > sum(end.values()) / 2:
        return f'{left.total()} of {sum(end.values())} records lie between the stages'
    return None
