"""A topic of metadata for a join, written ahead of the records it concerns, and what it says.

Each device runs one algorithm after another. An entry {"algorithm": ..., "valid_from": ...} holds
from then on; entries are written long before, so none is late. Some repeat what held already, some
make no sense, and a tombstone takes back whatever holds at the moment of its appending.
"""
import bisect
import json
import threading
import time
from collections import defaultdict

import harness
from harness import SECOND

ALGORITHMS = 'A', 'B', 'C'
AHEAD_NS = 120 * SECOND  # how far; a broker may be away for the most of it
LEAST_NS = 10 * SECOND
EVERY_NS = 3 * SECOND // 2  # of one device, on average
MALFORMED = (b'{"algorithm":"A","valid_from":"yesterday"}', b'{"algorithm":"A"', b'[]',
             b'{"algorithm":"B"}', b'\xff')


def murmur2(key):
    """As Kafka's clients hash a key, without its sign."""
    m, mask = 0x5bd1e995, 0xffffffff
    value, at = (0x9747b28c ^ len(key)) & mask, 0
    for at in range(0, len(key) - 3, 4):
        k = int.from_bytes(key[at:at + 4], 'little') * m & mask
        value = (value * m ^ (k ^ k >> 24) * m) & mask
    rest = key[len(key) // 4 * 4:]
    if rest:
        value = (value ^ int.from_bytes(rest, 'little')) * m & mask
    value = (value ^ value >> 13) * m & mask
    return (value ^ value >> 15) & 0x7fffffff


class Announcer(threading.Thread):
    """Writes the entries of all devices, always AHEAD_NS before they hold."""

    def __init__(self, case, topic, devices, generator, partitions=2):
        super().__init__(daemon=True)
        self.case, self.topic, self.devices = case, topic, devices
        self.generator, self.partitions = generator, partitions
        self.told_ns, self.fault = time.time_ns() - SECOND, None
        self.stopping = threading.Event()
        self.announce()  # before any record
        case.addCleanup(self.stop)

    def entry(self, device, value):
        key = device.encode()
        return murmur2(key) % self.partitions, key, value

    def versions(self, until_ns):
        """What begins to hold from told_ns on."""
        count = len(self.devices) * (until_ns - self.told_ns) // EVERY_NS
        for _ in range(count):
            at_ns = self.generator.randrange(self.told_ns, until_ns) // 10**6 * 10**6
            value = {'algorithm': self.generator.choice(ALGORITHMS), 'note': None,
                     'valid_from': harness.iso(at_ns + 10**6)}
            yield self.entry(self.generator.choice(self.devices), json.dumps(value).encode())

    def announce(self):
        until_ns = time.time_ns() + AHEAD_NS
        entries = list(self.versions(until_ns))
        wrong = self.entry(self.generator.choice(self.devices),
                           self.generator.choice(MALFORMED))
        entries.insert(self.generator.randrange(len(entries) + 1), wrong)
        self.case.append(self.topic, entries, self.partitions)
        self.told_ns = until_ns
        if self.generator.random() < 0.5:
            taken_back = self.generator.choice(self.devices)
            self.case.append(self.topic, [self.entry(taken_back, None)], self.partitions)

    def run(self):
        while not self.stopping.wait(2):
            try:
                self.announce()
            except Exception as error:  # pylint: disable=broad-except; told by check()
                self.fault = error
                return
            if self.told_ns < time.time_ns() + LEAST_NS:
                self.fault = 'the entries came too late'

    def check(self):
        if self.fault:
            raise AssertionError(f'versions: {self.fault}')

    def stop(self):
        self.stopping.set()
        if self.is_alive():
            self.join()


class Versions:
    """What a table says: of the entries that make sense, the newest that holds, and of equal ones
    the later in the log."""

    def __init__(self, records):
        self.entries, self.letters, self.tombstones = defaultdict(list), [], 0
        for record in records:
            device = record.key.decode()
            if record.value is None:
                self.tombstones += 1
                self.entries[device].append((record.append_ns, record.offset, ''))
            elif record.value in MALFORMED:
                self.letters.append(record.value)
            else:
                entry = json.loads(record.value)
                self.entries[device].append((harness.nanoseconds(entry['valid_from']),
                                             record.offset, entry['algorithm']))
        for entries in self.entries.values():
            entries.sort()

    def count(self):
        return sum(map(len, self.entries.values())) + len(self.letters)

    def of(self, device, from_ns, to_ns):
        """The algorithm at from_ns ('': none), and (time, algorithm) of each change to to_ns."""
        entries = self.entries[device]
        at = bisect.bisect_right(entries, (from_ns, float('inf')))
        first = now = entries[at - 1][2] if at else ''
        changes = []
        while at < len(entries) and entries[at][0] <= to_ns:
            if at + 1 == len(entries) or entries[at + 1][0] != entries[at][0]:
                if entries[at][2] != now:
                    now = entries[at][2]
                    changes.append((entries[at][0], now))
            at += 1
        return first, changes
