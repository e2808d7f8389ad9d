#!/usr/bin/env python3
"""Four recorded traces give the 20 energies that were published for them, to 0.02 uJ.

joulescope_edges.csv holds, for each published window, the samples that it is made of: the
published edges are rounded to 1 ms, and each lies at most one sample beside them.
"""
import array
import csv
import pathlib
import struct
import unittest

import harness
from harness import SECOND

EDGES = pathlib.Path(__file__).parent / 'joulescope_edges.csv'
START_NS = harness.nanoseconds('2026-11-21T03:00:00Z')
RECORD = 1000  # samples in one JSON record
TOLERANCE_UJ = 0.02

JOB = '''
job: energies
from: {topic: traces, format: json, key: cut, timestamp: {field: time, unit: ns},
       fields: {cut: text, power_uw: "number[]"}, samples: {rate: 1kHz}}
group_by: [cut]
window: {every: 1h}
stats:
  samples: count
  covered_s: covered
  energy_uj: integral(power_uw)
to: [{topic: energies}]
'''


def trace(path):
    """The energies in uJ of a trace's samples."""
    data = path.read_bytes()
    kind, rate = struct.unpack_from('<Bf', data)
    assert (kind, rate) == (0xF1, 1000.0)
    return array.array('f', data[5:])


def records(cut, samples, first, end):
    """A cut as JSON records. A sample of x uJ in 1 ms is x * 1000 uW, exactly so in double."""
    for at in range(first, end, RECORD):
        part = samples[at:min(at + RECORD, end)]
        yield {'cut': cut, 'time': START_NS + at * SECOND // 1000,
               'power_uw': [x * 1000 for x in part]}


class Energies(harness.Case):
    def test_every_published_energy_comes_out(self):
        folder = harness.data('joulescope')
        with open(folder / 'published_windows.csv', encoding='utf-8') as lines:
            published = {(row['file'], row['window']): row for row in csv.DictReader(lines)}
        with open(EDGES, encoding='utf-8') as lines:
            edges = list(csv.DictReader(lines))
        self.assertEqual({(row['file'], row['window']) for row in edges}, set(published))
        self.assertEqual(len(edges), 20)

        events, want = [], {}
        for row in edges:
            official = published[row['file'], row['window']]
            first, end = int(row['first_sample']), int(row['end_sample'])
            self.assertLessEqual(abs(first - float(official['start_s']) * 1000), 1.5)
            self.assertLessEqual(abs(end - float(official['end_s']) * 1000), 1.5)
            cut = f'{row["file"]}/{row["window"]}'
            want[cut] = (end - first, float(official['energy_uJ']))
            events += records(cut, trace(folder / row['file']), first, end)

        self.produce('traces', events, key='cut', partitions=2)
        account = self.run_job(self.job(JOB))
        self.assertEqual(account.total('used'), len(events))
        rows = self.last_rows('energies', ['cut'])
        self.assertEqual({group[0] for group, _ in rows}, set(want))
        for (group, _), row in rows.items():
            samples, energy = want[group[0]]
            self.assertEqual(row['samples'], samples)
            self.assertAlmostEqual(row['covered_s'], samples / 1000, places=9)
            self.assertLessEqual(abs(row['energy_uj'] - energy), TOLERANCE_UJ, group)


if __name__ == '__main__':
    unittest.main()
