#!/usr/bin/env python3
"""Writes the seeds of json_fuzz and frame_fuzz into tests/fuzz/corpus. Those of changelog_fuzz and
delta_fuzz are records that the engine has written (a few small frames, committed); job_fuzz and
case_fuzz begin with the job and case files of the repository."""
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / 'end_to_end'))
from frames import Frame  # noqa: E402

JSON = {
    'plain': (0, '{"ts":"2026-01-01T00:00:00.5+01:00","sensor":"a","v":-3.5e0,"on":true,"i":7,'
                 '"s":"12.5"}'),
    'absent': (0, '{"ts":"2026-01-01T00:00:00Z","sensor":"a","v":null,"x":{"y":[1,"z"]}}'),
    'repeated': (0, '{"ts":"2026-01-01T00:00:00Z","ts":1,"sensor":"a"}'),
    'escaped': (0, '{"t\\u0073":"2026-01-01T00:00:00Z","sensor":"\\u0061","v":1}'),
    'each': (1, '{"readings":[{"ts":1767225600000,"v":1},{"ts":"1767225600001","v":2},{"v":3}]}'),
    'arrays': (2, '{"ts":1767225600000000,"dt":500,"a":[1,2.5,null],"b":[-0.0,1e300,3]}'),
    'deep': (1, '{"readings":' + '[' * 31 + ']' * 31 + '}'),
}
WHOLE = Frame('m1', 1767225600 * 10**9, 10.0, 1, 0,
              {'current': [0.5, float('nan'), 1.5], 'voltage': [5.0, 5.0, float('inf')]})
FRAMES = {
    'whole': WHOLE.encode(),
    'one_sample': WHOLE.but(channels={'current': [1.0]}).encode(),
    'rate_zero': WHOLE.but(rate_hz=0.0).encode(),
    'other_lengths': WHOLE.but(channels={'current': [1.0], 'voltage': [1.0, 2.0]}).encode(),
    'cut': WHOLE.encode()[:40],
}


def write(target, name, data):
    folder = HERE / 'corpus' / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


for seed, (job, text) in JSON.items():
    write('json', seed, bytes([job]) + text.encode())
for seed, data in FRAMES.items():
    write('frame', seed, b'\x01' + data)
