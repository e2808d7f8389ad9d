#!/usr/bin/env python3
"""The sets that `distinct_sketch` gives, in PostgreSQL's extension hll: the same bytes as it makes
of the same values, counted and united there.

Each test runs in a cluster of its own, which pg_virtualenv makes and removes."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'end_to_end'))
import harness  # noqa: E402
from harness import MINUTE, SECOND  # noqa: E402

JOB = '''
job: sets-{bits}
from: {{topic: frames, format: json, timestamp: {{field: ts, unit: s}}, fields: {{uid: {kind}}}}}
lateness: {{grace: 1h}}
retain: 2h
group_by: []
window: {{every: 1m}}
stats: {{users: 'distinct(uid, error={error})', users_set: 'distinct_sketch(uid, error={error})'}}
to: [{{topic: rows-{bits}}}]
'''

# Users in a minute: around the ends of the list and of the sparse form for several errors.
SIZES = [1, 2, 10, 11, 40, 41, 100, 320, 321, 1280, 1281, 3000, 5000, 5500, 12000]
ERRORS = [(17, '0.3%'), (14, '1%'), (12, '2%'), (9, '5%'), (7, '10%')]
BOUND = 4  # times the standard error, as the unit tests hold it


def standard_error(bits):
    return 1.04 / 2 ** (bits / 2)


def server_with_hll():
    """The version of an installed server that has the extension, or the test is skipped."""
    controls = sorted(pathlib.Path('/usr/share/postgresql').glob('*/extension/hll.control'))
    if shutil.which('pg_virtualenv') and controls:
        return controls[-1].parts[4]
    missing = 'pg_virtualenv and the extension hll are not installed (scripts/setup does)'
    if os.environ.get('CI') == 'true':
        raise AssertionError(missing)
    raise unittest.SkipTest(missing)


class Hll(harness.Case):
    def setUp(self):
        self.server = server_with_hll()
        super().setUp()

    def query(self, script):
        """Runs SQL in a new cluster; returns the rows of its selects, as lists of texts."""
        done = subprocess.run(
            ['pg_virtualenv', '-v', self.server, 'psql', '-X', '-q', '-A', '-t', '-F', ' ',
             '-v', 'ON_ERROR_STOP=1'],
            input=('create extension hll;\n' + script).encode(), capture_output=True,
            cwd='/tmp', timeout=300, check=False)
        err = done.stderr.decode()
        self.assertEqual(done.returncode, 0, err[-3000:])
        lines = done.stdout.decode().splitlines()
        return [line.split(' ') for line in lines if not line.endswith('...')]

    def sets(self, bits, error, kind='text'):
        """Minute -> (our estimate, our set as PostgreSQL prints a bytea)."""
        self.run_job(self.job(JOB.format(bits=bits, error=error, kind=kind)))
        rows = self.last_rows(f'rows-{bits}', [])
        return {start // MINUTE:
                (row['users'], '\\x' + base64.b64decode(row['users_set']).hex())
                for (_, start), row in rows.items()}

    @staticmethod
    def table(name, columns, rows):
        lines = [f'create table {name} ({columns});', f'copy {name} from stdin;']
        lines += ['\t'.join(str(cell).replace('\\', '\\\\') for cell in row) for row in rows]
        return '\n'.join([*lines, '\\.', ''])

    def events(self):
        """Users 1 to n of every size's minute, each twice, and a minute of frames without one."""
        for minute, size in enumerate(SIZES):
            for user in range(1, size + 1):
                event = {'ts': 60 * minute + user % 60, 'uid': f'user-{minute % 3}-{user}'}
                yield event
                yield event
        yield {'ts': 60 * len(SIZES)}

    def test_a_set_has_the_bytes_that_postgresql_makes_of_the_same_values(self):
        events = list(self.events())
        self.produce('frames', events)
        values = self.table('seen', 'minute int, uid text',
                            [(event['ts'] // 60, event['uid']) for event in events
                             if 'uid' in event])
        ours = [(bits, minute, *row) for bits, error in ERRORS
                for minute, row in self.sets(bits, error).items()]
        script = values + self.table(
            'ours', 'bits int, minute int, users bigint, users_set bytea', ours) + '''
            select bits, minute, (#users_set::hll)::float8, users, users_set::hll::text =
                coalesce((select hll_add_agg(hll_hash_text(uid), bits) from seen
                          where seen.minute = ours.minute), hll_empty(bits))::text
            from ours;'''
        rows = self.query(script)
        self.assertEqual(len(rows), len(ERRORS) * (len(SIZES) + 1))
        for bits, minute, counted, users, equal in rows:
            size, bits = [*SIZES, 0][int(minute)], int(bits)
            where = f'{size} users, {bits} bits'
            self.assertEqual(equal, 't', where)
            explicit = size <= 5 * 2 ** bits // 64
            bound = 0 if explicit else BOUND * standard_error(bits) * size
            self.assertLessEqual(abs(int(users) - size), bound, where)
            # Its own estimator is biased by up to 2 % more where it changes formulas.
            self.assertLessEqual(abs(float(counted) - size), bound and bound + 0.02 * size, where)

    def test_sets_unite_with_sets_that_were_hashed_in_postgresql(self):
        events = list(self.events())
        self.produce('frames', events)
        ours = self.sets(14, '1%')
        uids = {event['uid'] for event in events if 'uid' in event}
        script = self.table('ours', 'users_set bytea', [(row[1],) for row in ours.values()]) + (
            self.table('uids', 'uid text', [(uid,) for uid in sorted(uids)])) + '''
            insert into uids select 'other-' || i from generate_series(1, 7000) i;
            select hll_union(united, others) = everybody, #hll_union(united, others)
            from (select hll_union_agg(users_set::hll) united from ours) a,
                 (select hll_add_agg(hll_hash_text(uid), 14) others from uids
                  where uid like 'other-%') b,
                 (select hll_add_agg(hll_hash_text(uid), 14) everybody from uids) c;'''
        (equal, counted), = self.query(script)
        self.assertEqual(equal, 't')
        everybody = len(uids) + 7000
        self.assertLessEqual(abs(float(counted) - everybody),
                             BOUND * standard_error(14) * everybody)

    def test_numbers_are_hashed_as_postgresql_writes_them(self):
        numbers = [*range(-50, 50), 2**53 + 1, 2**62, -2**62 - 1]
        self.produce('frames', [{'ts': 1, 'uid': number} for number in numbers])
        ours = self.sets(14, '1%', kind='integer')
        script = self.table('seen', 'n bigint', [(number,) for number in numbers]) + f'''
            select '{ours[0][1]}'::bytea::hll = hll_add_agg(hll_hash_text(n::text), 14)
            from seen;'''
        self.assertEqual(self.query(script), [['t']])
        self.assertEqual(ours[0][0], len(numbers))


if __name__ == '__main__':
    unittest.main()
