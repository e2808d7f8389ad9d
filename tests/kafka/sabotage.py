#!/usr/bin/env python3
"""Plants bugs in a copy of the tree, one at a time, and runs the tests that must notice.

    python3 tests/kafka/sabotage.py [NAME...]     all of them without a name; --list lists them

First the tests run on the copy as it is and must pass. Then, for each bug of sabotages.py: planted,
built, its tests run until one fails, taken out again. The last line counts; the exit code is 1 when
a bug was missed. Not part of scripts/test: it takes a while. The copy stays in build/sabotage.
"""
import os
import pathlib
import subprocess
import sys
import time

from sabotages import SABOTAGES

ROOT = pathlib.Path(__file__).resolve().parents[2]
TREE = ROOT / 'build/sabotage/tree'
BUILD = ROOT / 'build/sabotage/build'
LIMIT = 400  # seconds of one test program


def copy_tree():
    names = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split('\n')
    TREE.mkdir(parents=True, exist_ok=True)
    for name in filter(None, names):
        source, target = ROOT / name, TREE / name
        if source.is_file() and (not target.is_file()
                                 or source.read_bytes() != target.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)


def build():
    targets = {test[0] for sabotage in SABOTAGES for test in sabotage.tests
               if test[0].startswith('test_')}
    if not (BUILD / 'build.ninja').is_file():
        subprocess.run(['cmake', '-S', TREE, '-B', BUILD, '-G', 'Ninja',
                        '-DCMAKE_BUILD_TYPE=Debug', '-DCMAKE_C_FLAGS_DEBUG=-O1 -g'],
                       check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(['cmake', '--build', BUILD, '--target', 'millrace', 'raw', 'proxy',
                           'client', *sorted(targets)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-4000:])


def passes(test):
    """Whether the test program holds, and the last line of what it says against it."""
    program, *words = test
    command = ([str(BUILD / 'tests' / program)] if program.startswith('test_')
               else [sys.executable, str(TREE / 'tests/kafka' / program), '-f'])
    environment = dict(os.environ, MILLRACE_PROGRAM=str(BUILD / 'millrace'))
    with subprocess.Popen(command + words, cwd=TREE, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors='replace', start_new_session=True) as process:
        try:
            out, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 15)
            return False, f'it did not end within {LIMIT} s'
    said = [line for line in out.splitlines() if 'FAILED  ]' in line or 'Error: ' in line]
    return process.returncode == 0, (said or out.splitlines() or [''])[0 if said else -1][:200]


def try_one(sabotage):
    """True when a test notices."""
    path, began = TREE / sabotage.file, time.monotonic()
    text = path.read_text()
    if text.count(sabotage.before) != 1:
        print(f'STALE   {sabotage.name}: its place in {sabotage.file} is not there', flush=True)
        return False
    path.write_text(text.replace(sabotage.before, sabotage.after))
    try:
        build()
        for test in sabotage.tests:
            good, said = passes(test)
            if not good:
                print(f'caught  {sabotage.name} by {" ".join(test)} '
                      f'({time.monotonic() - began:.0f} s): {said}', flush=True)
                return True
    except RuntimeError as error:
        print(f'STALE   {sabotage.name}: does not build: {error}', flush=True)
        return False
    finally:
        path.write_text(text)
    print(f'MISSED  {sabotage.name}: {sabotage.what}', flush=True)
    return False


def main(names):
    chosen = [sabotage for sabotage in SABOTAGES if not names or sabotage.name in names]
    if names == ['--list']:
        for sabotage in SABOTAGES:
            print(f'{sabotage.name:24} {sabotage.what}')
        return 0
    copy_tree()
    build()
    for test in sorted({test for sabotage in chosen for test in sabotage.tests}):
        good, said = passes(test)
        if not good:
            raise SystemExit(f'without a bug, {" ".join(test)} fails: {said}')
    caught = sum(map(try_one, chosen))
    print(f'{caught} of {len(chosen)} caught')
    return 0 if caught == len(chosen) else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
