#!/usr/bin/env python3
"""unique-users-minute, the job that ships, over frames as they come from a web service, against
exact counts."""
import collections
import json
import math
import pathlib
import random
import subprocess
import unittest

import harness
from harness import MINUTE

JOB = harness.ROOT / 'jobs/unique-users-minute.yaml'
PROGRAM = str(pathlib.Path(harness.PROGRAM).parent / 'tests/user_frames')
FRAMES, USERS, RATE = 40000, 100000, 80  # more than eight minutes, 4,800 frames in each
LATE, LATE_S = 50, 400                   # one in fifty, mostly within the grace
BOUND = 4 * 1.04 / math.sqrt(2**14)      # four standard errors


def frames(seed):
    given = map(str, (seed, FRAMES, USERS, RATE, LATE, LATE_S))
    return subprocess.run([PROGRAM, *given], stdout=subprocess.PIPE, check=True).stdout.splitlines()


def root_of(frame):
    """ts and uid of the root, which names each once."""
    names = collections.Counter()

    def pairs(members):
        names.clear()  # the last object to end is the root
        names.update(name for name, _ in members)
        return dict(members)

    root = json.loads(frame, object_pairs_hook=pairs)
    assert names['ts'] == names['uid'] == 1
    return int(root['ts']), root['uid']


def exact(all_frames):
    """Minute -> (frames, users)."""
    seen, count = collections.defaultdict(set), collections.Counter()
    for ts, uid in map(root_of, all_frames):
        seen[ts // 60].add(uid)
        count[ts // 60] += 1
    return {minute: (count[minute], len(users)) for minute, users in seen.items()}


class Users(harness.Case):
    def run_over(self, name, lines, partitions=1):
        """Minute -> the last row, of a log of its own."""
        log = f'local:{self.folder}/{name}'
        self.produce('frames', lines, partitions=partitions, log=log)
        account = self.run_job(JOB, log=log)
        self.assertEqual(account.total('dead-lettered'), 0)
        rows = self.last_rows('unique-users-minute', [], log=log)
        return {start // MINUTE: row for (_, start), row in rows.items()}

    def assert_counts(self, rows, counts):
        self.assertEqual(set(rows), set(counts))
        for minute, (frames_in, users) in counts.items():
            row = rows[minute]
            self.assertEqual(row['frames'], frames_in)
            bound = BOUND * users if users > 1280 else 0
            self.assertLessEqual(abs(row['users'] - users), bound, row)

    def test_every_minute_is_within_the_bound_of_the_exact_count(self):
        lines = frames(1)
        counts = exact(lines)
        self.assertGreater(len(counts), 8)
        self.assertGreater(max(users for _, users in counts.values()), 4000)
        rows = self.run_over('log', lines)
        self.assert_counts(rows, counts)
        revised = [row for row in rows.values() if row['rev'] > 0]
        self.assertGreater(len(revised), 0)

    def test_neither_order_nor_partitions_show(self):
        lines = frames(2)
        rows = self.run_over('log', lines)
        self.assert_counts(rows, exact(lines))
        parted = self.run_over('parted', lines, partitions=5)
        random.Random(3).shuffle(lines)
        shuffled = self.run_over('shuffled', lines, partitions=3)
        for row in [*rows.values(), *parted.values(), *shuffled.values()]:
            del row['rev']
        self.assertEqual(rows, parted)
        self.assertEqual(rows, shuffled)


if __name__ == '__main__':
    unittest.main()
