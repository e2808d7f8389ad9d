#!/usr/bin/env python3
"""One day of eight appliances: every statistic of every minute, recomputed independently."""
import gzip
import unittest

import harness
from harness import MINUTE, SECOND
from oracle import Windows

ERROR = 0.01  # what the job leaves as the default

JOB = '''
job: appliances
from: {topic: readings, format: json, key: device, timestamp: {field: time, unit: iso8601},
       fields: {power: number, device: text}}
lateness: {grace: 1h}
retain: 2h
group_by: [device]
window: {every: 1m}
stats:
  readings: count(power)
  power_sum: sum(power)
  power_min: min(power)
  power_max: max(power)
  power_range: range(power)
  power_first: first(power)
  power_last: last(power)
  power_mean: mean(power)
  power_rms: rms(power)
  power_std: std_pop(power)
  power_std_samp: std_samp(power)
  power_p50: quantile(power, 0.5)
  power_p99: quantile(power, 0.99)
to: [{topic: minutes}]
'''

STATS = {
    'readings': ('count', 'power'), 'power_sum': ('sum', 'power'),
    'power_min': ('min', 'power'), 'power_max': ('max', 'power'),
    'power_range': ('range', 'power'), 'power_first': ('first', 'power'),
    'power_last': ('last', 'power'), 'power_mean': ('mean', 'power'),
    'power_rms': ('rms', 'power'), 'power_std': ('std_pop', 'power'),
    'power_std_samp': ('std_samp', 'power'),
    'power_p50': ('quantile', 'power', 0.5, ERROR),
    'power_p99': ('quantile', 'power', 0.99, ERROR),
}

MIDNIGHT_NS = harness.nanoseconds('2012-01-20T23:00:00Z')  # 2012-01-21 00:00 CET, UTC+01:00


def readings(path):
    """(local time with its offset, ns, watts) of each line of one file."""
    with gzip.open(path, 'rt') as lines:
        for line in lines:
            stamp, power, _ = line.split(';')
            day, clock = stamp.split(' ')
            assert day == '21/01/2012'
            hours, minutes, seconds = map(int, clock.split(':'))
            time_ns = MIDNIGHT_NS + (hours * 3600 + minutes * 60 + seconds) * SECOND
            yield f'2012-01-21T{clock}+01:00', time_ns, float(power)


class Tracebase(harness.Case):
    def test_every_minute_of_every_appliance_is_as_recomputed(self):
        files = sorted(harness.data('tracebase').glob('*.csv.gz'))
        self.assertEqual(len(files), 8)
        windows = Windows(MINUTE, STATS)
        events = []
        for path in files:
            device = path.name.split('.')[0]
            for stamp, time_ns, power in readings(path):
                windows.add((device,), time_ns, {'power': power})
                events.append((time_ns, {'device': device, 'time': stamp, 'power': power}))
        # A fleet sends side by side, so the files are merged by time.
        events.sort(key=lambda event: event[0])
        self.produce('readings', (event for _, event in events), key='device', partitions=2)
        account = self.run_job(self.job(JOB))
        self.assertEqual(account.total('used'), len(events))
        rows = self.last_rows('minutes', ['device'])
        self.assertEqual(windows.faults(rows)[:10], [])
        first = min(start for _, start in rows)
        self.assertEqual(harness.iso(first), '2012-01-20T23:00:00Z')


if __name__ == '__main__':
    unittest.main()
