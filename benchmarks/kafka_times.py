#!/usr/bin/env python3
"""How long people wait, on a real broker: the first row after a start, a partition of a process
that was killed, a closed row. Prints seconds, least / median / most.

    benchmarks/kafka_times.py HOST:PORT [ROUNDS]
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = str(ROOT / 'build/release/millrace')
PARTITIONS = 4
SESSION_S = 6
JOB = '''
job: {name}
from: {{topic: {name}-in, format: json, key: sensor, timestamp: {{field: time, unit: ms}},
       fields: {{sensor: text, value: number}}}}
lateness: {{grace: 0s}}
commit: {commit}
group_by: [sensor]
window: {{every: {every}}}
stats: {{n: count}}
to: [{{topic: {name}-out}}]
'''


def log():
    return f'kafka://{sys.argv[1]}'


class Processes:
    """Everything that was started, ended at the end."""

    def __init__(self, folder):
        self.folder, self.all = folder, []

    def start(self, *words, **options):
        options.setdefault('stdin', subprocess.DEVNULL)
        options.setdefault('stderr', subprocess.DEVNULL)
        process = subprocess.Popen([PROGRAM, *map(str, words)], cwd=self.folder, **options)
        self.all.append(process)
        return process

    def end(self):
        for process in self.all:
            process.kill()
            process.wait()


class Rows(threading.Thread):
    """Follows the job's rows: (when it was seen, row)."""

    def __init__(self, processes, topic):
        super().__init__(daemon=True)
        self.tail = processes.start('tail', topic, '--log', log(), stdout=subprocess.PIPE)
        self.seen, self.grew = [], threading.Condition()
        self.start()

    def run(self):
        for line in self.tail.stdout:
            with self.grew:
                self.seen.append((time.monotonic(), json.loads(line)))
                self.grew.notify_all()

    def wait(self, count, seconds=60):
        with self.grew:
            if not self.grew.wait_for(lambda: len(self.seen) >= count, seconds):
                raise SystemExit(f'waited {seconds} s for {count} rows, saw {len(self.seen)}')
            return list(self.seen)


class Feeder:
    """Events of 40 sensors, stamped with now, every 20 ms; each line is one write."""

    def __init__(self, processes, topic):
        self.process = processes.start('produce', topic, '--log', log(), '--key', 'sensor',
                                       '--partitions', PARTITIONS, stdin=subprocess.PIPE)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping.wait(0.02):
            now_ms = time.time_ns() // 10**6
            lines = [json.dumps({'sensor': f's{i}', 'time': now_ms, 'value': i}) for i in range(40)]
            self.process.stdin.write(('\n'.join(lines) + '\n').encode())
            self.process.stdin.flush()

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.process.stdin.close()
        self.process.wait()


def figures(name, values):
    values = sorted(values)
    print(f'{name:58} {values[0]:6.2f} / {values[len(values) // 2]:6.2f} / {values[-1]:6.2f} s',
          flush=True)


def prepare(processes, folder, name, commit='100ms', every='1s'):
    """A job file; its topics are made by a run over an empty input."""
    path = folder / f'{name}.yaml'
    path.write_text(JOB.format(name=name, commit=commit, every=every))
    subprocess.run([PROGRAM, 'produce', f'{name}-in', '--log', log(), '--partitions',
                    str(PARTITIONS)], input=b'', check=True, cwd=folder)
    first = processes.start('run', path, '--log', log(), '--dir', folder / 'first', '--for', '1s')
    first.wait()
    return path


def start_alone(processes, folder, name):
    """From `run` to the first row, of input that is there; the commit interval is 100 ms."""
    path = prepare(processes, folder, name)
    now_ms = time.time_ns() // 10**6
    lines = [json.dumps({'sensor': f's{i % 40}', 'time': now_ms - 60000 + i, 'value': 1})
             for i in range(40000)]
    subprocess.run([PROGRAM, 'produce', f'{name}-in', '--log', log(), '--key', 'sensor'],
                   input='\n'.join(lines).encode(), check=True, cwd=folder, capture_output=True)
    rows = Rows(processes, f'{name}-out')
    time.sleep(1)  # the follower is there before the clock starts
    began = time.monotonic()
    run = processes.start('run', path, '--log', log(), '--dir', folder / 'alone')
    first = rows.wait(1)[0][0] - began
    run.terminate()
    run.wait()
    return first


def start_beside(processes, folder, name, after):
    """Whether a second process that is stopped so many seconds after its start has read records."""
    path = prepare(processes, folder, name)
    feeder = Feeder(processes, f'{name}-in')
    one = processes.start('run', path, '--log', log(), '--dir', folder / 'one')
    Rows(processes, f'{name}-out').wait(40)
    two = processes.start('run', path, '--log', log(), '--dir', folder / 'two',
                          stderr=subprocess.PIPE)
    time.sleep(after)
    two.terminate()
    _, err = two.communicate()
    feeder.stop()
    one.terminate()
    one.wait()
    return any(': read ' in line and not line.split(': read ')[1].startswith('0 ')
               for line in err.decode().splitlines())


def take_over(processes, folder, name):
    """From kill -9 of one of two processes to a row of each sensor again."""
    path = prepare(processes, folder, name)
    feeder = Feeder(processes, f'{name}-in')
    runs = [processes.start('run', path, '--log', log(), '--dir', folder / f'run{i}')
            for i in range(2)]
    rows = Rows(processes, f'{name}-out')
    rows.wait(40 * 8)
    runs[1].kill()
    killed = time.monotonic()
    time.sleep(2 * SESSION_S)
    feeder.stop()
    times = {}
    for seen, row in rows.wait(1):
        times.setdefault(row['sensor'], []).append(seen)
    gap = 0
    for seen in times.values():
        after = [at for at in seen if at > killed]
        pairs = zip([killed] + after, after + [time.monotonic()])
        gap = max(gap, *(late - early for early, late in pairs))
    runs[0].terminate()
    runs[0].wait()
    return gap


def row_delay(processes, folder, name, commit):
    """From the append of the record that closes a window to its row in a reader."""
    path = prepare(processes, folder, name, commit)
    run = processes.start('run', path, '--log', log(), '--dir', folder / 'run')
    rows = Rows(processes, f'{name}-out')
    producer = processes.start('produce', f'{name}-in', '--log', log(), '--key', 'sensor',
                               stdin=subprocess.PIPE)
    delays = []
    for i in range(12):
        at_ms = time.time_ns() // 10**6 // 1000 * 1000 + 1000 * i - 60000
        event = {'sensor': 's1', 'time': at_ms, 'value': 1}
        began = time.monotonic()
        producer.stdin.write(json.dumps(event).encode() + b'\n')
        producer.stdin.flush()
        if i > 1:
            delays.append(rows.wait(i)[i - 1][0] - began)
        else:
            time.sleep(3)
    producer.stdin.close()
    run.terminate()
    run.wait()
    return delays


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory(prefix='millrace-times-') as text:
        folder, alone, gaps = pathlib.Path(text), [], []
        processes, tag = Processes(folder), f'times{time.time_ns() % 10**9}'
        try:
            for i in range(rounds):
                alone.append(start_alone(processes, folder, f'{tag}-alone{i}'))
            figures('run to the first row, the only process, commit 100ms', alone)
            for after in (1.0, 1.5, 2.0, 2.5, 3.0):
                served = [start_beside(processes, folder, f'{tag}-beside{after}-{i}', after)
                          for i in range(rounds)]
                print(f'a second process has read records {after} s after its start: '
                      f'{sum(served)} of {rounds}', flush=True)
            for i in range(rounds):
                gaps.append(take_over(processes, folder, f'{tag}-kill{i}'))
            figures(f'no rows of a sensor after kill -9 (session {SESSION_S} s, a row each second)',
                    gaps)
            for commit in ('100ms', '1s'):
                figures(f'append to row seen, commit {commit} (produce gathers 200 ms)',
                        row_delay(processes, folder, f'{tag}-row-{commit}', commit))
        finally:
            processes.end()


if __name__ == '__main__':
    main()
