#!/usr/bin/env python3
"""Plants bugs in a copy of the tree, one at a time, and runs the simulation, which must notice.

    python3 tests/sim/sabotage.py [--seeds N] [NAME...]    all of them without a name; --list

First the simulation runs on the copy as it is and must pass. Then, for each bug of
sim_sabotages.py: planted, built, the seeds run until one fails, taken out again. It prints the
README's table; the exit code is 1 when a bug was missed. Not part of scripts/test: it takes a
while. The copy stays in build/sabotage-sim.
"""
import argparse
import pathlib
import re
import subprocess
import sys

from sim_sabotages import SABOTAGES

ROOT = pathlib.Path(__file__).resolve().parents[2]
TREE = ROOT / 'build/sabotage-sim/tree'
BUILD = ROOT / 'build/sabotage-sim/build'
LIMIT = 300  # seconds of one bug


def copy_tree():
    names = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split('\n')
    for name in filter(None, names):
        source, target = ROOT / name, TREE / name
        if source.is_file() and (not target.is_file()
                                 or source.read_bytes() != target.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def build():
    if not (BUILD / 'build.ninja').is_file():
        subprocess.run(['cmake', '-S', TREE, '-B', BUILD, '-G', 'Ninja',
                        '-DCMAKE_BUILD_TYPE=Debug', '-DCMAKE_C_FLAGS_DEBUG=-O1 -g'],
                       check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(['cmake', '--build', BUILD, '--target', 'test_sim', 'millrace'],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-3000:])


def cases():
    """The cases that do not hold."""
    names = sorted(str(path) for folder in ('jobs', 'tests/cases')
                   for path in (TREE / folder).glob('*.case'))
    done = subprocess.run([str(BUILD / 'millrace'), 'test', *names], cwd=TREE, check=False,
                          capture_output=True, text=True)
    return set(re.findall(r'([^/\s]+\.case):\d+: ', done.stdout + done.stderr))


def notices(seeds, first):
    """Who notices first, and what it says, or None."""
    command = [str(BUILD / 'tests/test_sim'), '--seeds', str(seeds), '--from', str(first)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False,
                              errors='replace')
    except subprocess.TimeoutExpired:
        return 'a run that does not end', ''
    if done.returncode == 0:
        return None
    failed = re.search(r'^seed (\d+): (.*)', done.stdout, re.M)
    if failed:
        return failed.group(1), failed.group(2)[:160]
    return 'an assertion', done.stderr.strip()[:160]


def try_one(sabotage, options, broken):
    path = TREE / sabotage.file
    text = path.read_text()
    if text.count(sabotage.before) != 1:
        print(f'STALE  {sabotage.name}: its place in {sabotage.file} is not there', flush=True)
        return False
    path.write_text(text.replace(sabotage.before, sabotage.after))
    try:
        build()
        found = notices(options.seeds, options.first)
        if not found:
            named = sorted(cases() - broken)
            found = (f'`{named[0]}`', '') if named else None
    except RuntimeError as error:
        print(f'STALE  {sabotage.name}: does not build: {error}', flush=True)
        return False
    finally:
        path.write_text(text)
    if found:
        print(f'| {sabotage.what} | {found[0]} |  <!-- {sabotage.name}: {found[1]} -->',
              flush=True)
        return True
    print(f'MISSED {sabotage.name}: {sabotage.what}', flush=True)
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seeds', type=int, default=3000)
    parser.add_argument('--from', dest='first', type=int, default=1)
    parser.add_argument('--list', action='store_true')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    chosen = [one for one in SABOTAGES if not options.names or one.name in options.names]
    if options.list:
        for sabotage in chosen:
            print(f'{sabotage.name:28} {sabotage.what}')
        return 0
    copy_tree()
    build()
    found = notices(200, options.first)
    if found:
        raise SystemExit(f'without a bug the simulation fails: seed {found[0]}: {found[1]}')
    broken = cases()
    caught = sum(try_one(one, options, broken) for one in chosen)
    print(f'{caught} of {len(chosen)} caught')
    return 0 if caught == len(chosen) else 1


if __name__ == '__main__':
    sys.exit(main())
