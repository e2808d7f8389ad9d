#!/usr/bin/env python3
"""The recorded traces again, as frames; what a sample belongs to is said by a second topic.

Whole traces: frames know nothing of the published windows. A topic of phases tells from when on
which window ran; the job joins the two and groups by the phase. So every published border lies
inside a frame, which the join has to cut at the sample.

Two algorithms: two of the traces are of the same task. Published window by window, a minute each,
the job algorithm-compare says which one used less.

The samples are microjoules at 1 kHz, which is power in mW; its integral is in mJ.
"""
import csv
import unittest

import energies_test
import frames
import harness
from energies_test import EDGES, START_NS, TOLERANCE_UJ
from harness import MINUTE, SECOND

DEVICE = 'pynq-z2'
RATE_HZ = 1000
FRAME = 997         # samples
APART = 5 * MINUTE  # from the start of a trace to that of the next

JOB = '''
job: phases
from: {topic: waveforms, format: waveform}
join: {run: {topic: phases, key: device, as_of: valid_from}}
group_by: [{phase: run.phase}]
window: {every: 1d}
stats:
  samples: count
  covered_s: covered
  energy_mj: integral(power)
to: [{topic: energies}]
'''


def published():
    """(file, window) -> (first sample, end sample, energy in uJ)"""
    folder = harness.data('joulescope')
    with open(folder / 'published_windows.csv', encoding='utf-8') as lines:
        energies = {(row['file'], row['window']): float(row['energy_uJ'])
                    for row in csv.DictReader(lines)}
    with open(EDGES, encoding='utf-8') as lines:
        return {(row['file'], row['window']): (
            int(row['first_sample']), int(row['end_sample']), energies[row['file'], row['window']])
                for row in csv.DictReader(lines)}


def trace(file):
    return energies_test.trace(harness.data('joulescope') / file)


def cut(samples, start_ns, sequence, names=('power',)):
    """Samples as the records of a topic, one frame each; all channels but the first hold ones."""
    for number, at in enumerate(range(0, len(samples), FRAME), sequence):
        part = samples[at:at + FRAME]
        channels = {name: part if name == names[0] else [1.0] * len(part) for name in names}
        frame = frames.Frame(DEVICE, start_ns + at * SECOND // RATE_HZ, float(RATE_HZ), 1, number,
                             channels)
        yield 0, DEVICE.encode(), frame.encode()


class Phases(harness.Case):
    def produce_entries(self, topic, name, entries):
        """entries: (from when on, what), as a topic by device."""
        self.produce(topic, [{'device': DEVICE, 'valid_from': harness.iso(time_ns), name: what}
                             for time_ns, what in entries], key='device')

    def test_every_published_energy_comes_out_of_whole_traces(self):
        windows = published()
        self.assertEqual(len(windows), 20)
        entries, records, rest = [], [], 0
        for i, file in enumerate(dict.fromkeys(file for file, _ in windows)):
            samples, start_ns = trace(file), START_NS + i * APART
            records += cut(samples, start_ns, len(records))
            rest += len(samples)
            for (_, window), (first, end, _) in (
                    item for item in windows.items() if item[0][0] == file):
                self.assertNotIn(0, (first % FRAME, end % FRAME), 'a border between two frames')
                entries += [(start_ns + first * SECOND // RATE_HZ, f'{file}/{window}'),
                            (start_ns + end * SECOND // RATE_HZ, 'between')]
                rest -= end - first

        self.produce_entries('phases', 'phase', entries)
        self.append('waveforms', records, partitions=2)
        account = self.run_job(self.job(JOB))
        self.assertEqual(account.total('used'), len(records))
        rows = {group[0]: row for (group, _), row in self.last_rows('energies', ['phase']).items()}
        # Before a trace's first window, "between" holds from the trace before; the first has none.
        other = [rows.pop('between'), rows.pop('')]
        self.assertEqual(sum(row['samples'] for row in other), rest)
        self.assertEqual(set(rows), {f'{file}/{window}' for file, window in windows})
        for (file, window), (first, end, energy_uj) in windows.items():
            row = rows[f'{file}/{window}']
            self.assertEqual(row['samples'], end - first)
            self.assertAlmostEqual(row['covered_s'], (end - first) / RATE_HZ, places=9)
            self.assertLessEqual(abs(row['energy_mj'] * 1000 - energy_uj), TOLERANCE_UJ, row)


    def test_two_algorithms_on_one_board_are_compared_as_published(self):
        files = {'CNV-W1A1': 'pynq-z2_ic_CNV-W1A1.bin', 'RN07': 'pynq-z2_ic_RN07.bin'}
        windows, entries, records, want = published(), [], [], {}
        for minute, window in enumerate(('2', '4', '6', '8', '10')):
            minute_ns = START_NS + minute * MINUTE
            for algorithm, offset_ns in (('CNV-W1A1', 0), ('RN07', 30 * SECOND)):
                first, end, energy_uj = windows[files[algorithm], window]
                samples = trace(files[algorithm])[first:end]
                entries.append((minute_ns + offset_ns, algorithm))
                records += cut(samples, minute_ns + offset_ns + 7 * SECOND, len(records),
                               ('current', 'voltage'))
                want[(algorithm,), minute_ns] = (end - first, energy_uj)

        self.produce_entries('algorithm-metadata', 'algorithm', entries)
        self.append('waveforms', records, partitions=2)  # so the job regroups
        account = self.run_job(harness.ROOT / 'jobs/algorithm-compare.yaml')
        self.assertEqual(account.total('used'), len(records))
        rows = self.last_rows('algorithm-compare', ['algorithm'])
        self.assertEqual(set(rows), set(want))
        for cell, (samples, energy_uj) in want.items():
            row = rows[cell]
            self.assertEqual((row['devices'], row['samples']), (1, samples))
            self.assertLessEqual(abs(row['energy_j'] * 1000 - energy_uj), TOLERANCE_UJ, row)
        for minute_ns in {minute_ns for _, minute_ns in want}:
            cnv, rn07 = (rows[(algorithm,), minute_ns]['energy_j'] for algorithm in files)
            self.assertLess(cnv, rn07)


if __name__ == '__main__':
    unittest.main()
