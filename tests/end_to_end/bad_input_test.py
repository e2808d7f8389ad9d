#!/usr/bin/env python3
"""What must not happen to a stream, done to it: each bad record becomes a dead letter with a
reason that names the field, the good ones beside it count, and every record is accounted for."""
import unittest

import frames
import harness


START_NS = harness.nanoseconds('2026-11-21T03:00:00Z')
FUTURE_NS = harness.nanoseconds('2200-01-01T00:00:00Z')

EVENTS = '''
job: events
from: {topic: events, format: json, timestamp: {field: time, unit: ns},
       fields: {value: number, name: text}}
group_by: []
window: {every: 1h}
stats: {n: count, values: count(value)}
to: [{topic: event-rows}]
'''

GOOD = b'{"time": %d, "value": 1.5, "name": "a", "other": [1, {"deep": null}]}' % START_NS


def event(value=b'1', time=b'%d' % START_NS, rest=b''):
    return b'{"time": ' + time + b', "value": ' + value + rest + b'}'


# what -> (bytes, a word that the reason must hold)
BAD_EVENTS = {
    'empty': (b'', ''),
    'not JSON': (b'hello', ''),
    'truncated': (GOOD[:-10], ''),
    'trailing bytes': (GOOD + b'{}', ''),
    'a byte-order mark': (b'\xef\xbb\xbf' + GOOD, ''),
    'an array': (b'[1, 2]', 'object'),
    'a bare number': (b'17', 'object'),
    'NaN': (event(b'NaN'), ''),
    'Infinity': (event(b'Infinity'), ''),
    'a number beyond doubles': (event(b'1e999'), ''),
    'text for a number': (event(b'"1.5"'), 'value'),
    'an object for a number': (event(b'{}'), 'value'),
    'an array for a number': (event(b'[1]'), 'value'),
    'a number for text': (event(rest=b', "name": 5'), 'name'),
    'a duplicate named field': (event(rest=b', "value": 2'), 'value'),
    'a duplicate time': (event(rest=b', "time": 2'), 'time'),
    'no time': (b'{"value": 1}', 'time'),
    'null time': (event(time=b'null'), 'time'),
    'text time without a number': (event(time=b'"soon"'), 'time'),
    'a negative time': (event(time=b'-1'), 'time'),
    'a time beyond int64': (event(time=b'9223372036854775808'), 'time'),
    'a time far ahead': (event(time=b'%d' % FUTURE_NS), 'ahead'),
    'invalid UTF-8': (event(rest=b', "name": "\xff\xfe"'), ''),
    'an overlong UTF-8 form': (event(rest=b', "name": "\xc0\xaf"'), ''),
    'a lone surrogate': (event(rest=b', "name": "\\ud800"'), ''),
    'deep nesting': (event(rest=b', "x": ' + b'[' * 40 + b']' * 40), 'deep'),
    'very deep nesting': (b'[' * 500000, ''),
    'larger than 1 MiB': (event(rest=b', "x": "' + b'y' * (1 << 20) + b'"'), '1 MiB'),
}

FRAMES = '''
job: frames
from: {topic: frames, format: waveform}
let: {power: current * voltage}
group_by: [device]
window: {every: 1h}
stats: {n: count, currents: count(current), powers: count(power), covered_s: covered}
to: [{topic: frame-rows}]
'''


def frame(sequence=0, **changes):
    channels = {'current': [1.0, 2.0, 3.0, 4.0], 'voltage': [1.0, float('nan'), 1.0, 1.0]}
    return frames.Frame('d', START_NS, 1000.0, 7, sequence, channels).but(**changes)


def channel(name, packed):
    return frames.chunk(6, frames.chunk(1, name) + frames.chunk(4, packed))


def bad_frames():
    """what -> (bytes, a word that the reason must hold)"""
    good = frame(1000).encode()
    body = frame(1001).body()
    flipped = bytearray(good)
    flipped[40] ^= 1
    uneven = channel(b'power', b'\0\0\0')
    huge = frames.tag(6, 2) + frames.varint(1 << 40)
    return {
        'empty': (b'', 'crc32c'),
        'truncated': (good[:-20], 'crc32c'),
        'only a checksum': (frames.seal(b''), 'crc32c'),
        'a wrong checksum': (frame(1002, crc=12345).encode(), 'crc32c'),
        'a flipped bit': (bytes(flipped), 'crc32c'),
        'no checksum': (body, 'crc32c'),
        'bytes after the checksum': (good + b'\x78\x01', 'crc32c'),
        'rate 0': (frame(1003, rate_hz=0.0).encode(), 'rate'),
        'a negative rate': (frame(1004, rate_hz=-5.0).encode(), 'rate'),
        'rate NaN': (frame(1005, rate_hz=float('nan')).encode(), 'rate'),
        'an infinite rate': (frame(1006, rate_hz=float('inf')).encode(), 'rate'),
        'a rate beyond 1 GHz': (frame(1007, rate_hz=2e9).encode(), 'rate'),
        'a rate near 0': (frame(1008, rate_hz=1e-300).encode(), 'rate'),
        'a time beyond 2^63': (frame(1009, start_ns=1 << 63).encode(), 'start'),
        'a time far ahead': (frame(1010, start_ns=FUTURE_NS).encode(), 'ahead'),
        'channels of two lengths': (frame(1011, channels={
            'current': [1.0], 'voltage': [1.0, 2.0]}).encode(), 'voltage'),
        'one channel twice': (frames.seal(body + channel(b'current', b'\0' * 16)), 'current'),
        'no samples': (frame(1012, channels={'current': [], 'voltage': []}).encode(), 'current'),
        'no device': (frame(1013, device='').encode(), 'device'),
        'another device than its key': (frame(1014, device='e').encode(), 'device'),
        'three bytes as a float': (frames.seal(body + uneven), 'power'),
        'a length beyond the end': (frames.seal(body + huge), 'channels'),
        'a device that is not UTF-8': (frames.seal(
            frames.chunk(1, b'\xff\xfe') + body[3:]), 'device'),
        'fields in another order': (frames.seal(
            frames.tag(5, 0) + b'\1' + frames.chunk(1, b'd') + body[3:]), ''),
        'a text': (b'{"current": 1}', 'crc32c'),
        'larger than 4 MiB': (b'\x0a\x01d' + b'\0' * (5 << 20), '4 MiB'),
    }


# Grouped by a declared text and a field that may be any scalar.
GROUPS = '''
job: groups
from: {topic: events, format: json, timestamp: {field: time, unit: ns}, fields: {name: text}}
group_by: [name, kind]
window: {every: 1h}
stats: {n: count}
to: [{topic: group-rows}]
'''


def member(name=b'"a"', kind=b'"k"'):
    return b'{"time": %d, "name": %s, "kind": %s}' % (START_NS, name, kind)


BAD_GROUPS = {
    'a group of 10 KB': (member(b'"%s"' % (b'x' * 10240)), 'with `name` the group is longer'),
    'a second column of 10 KB': (member(kind=b'"%s"' % (b'x' * 10240)), 'with `kind` the group'),
    'two columns, too long together': (member(b'"%s"' % (b'x' * 600), b'"%s"' % (b'y' * 600)),
                                       'longer than 1024 bytes'),
    'a number for the declared text': (member(b'7'), 'field `name`: expected text'),
    'a list as a group': (member(kind=b'["k"]'), 'field `kind`: expected'),
    'an object as a group': (member(kind=b'{"k": 1}'), 'field `kind`: expected'),
}
# The group as the row has it -> records of it.
GOOD_GROUPS = {
    ('a', 'k'): [member()],
    ('\x00\x01\t\n\x1b[31m\x7f', 'k'): [member(b'"\\u0000\\u0001\\t\\n\\u001b[31m\x7f"')],
    ('x' * 1000, ''): [member(b'"%s"' % (b'x' * 1000), b'null')],
    ('\u00e9\U0001f600"\\', 'k'): [member('"\u00e9\U0001f600\\"\\\\"'.encode())],
    ('a', '7'): [member(kind=b'7'), member(kind=b'7.0'), member(kind=b'"7"')],
    ('a', 'true'): [member(kind=b'true')],
    ('', ''): [b'{"time": %d}' % START_NS],
}

KEYED = '''
job: keyed
from: {topic: keyed, format: json, key: device, timestamp: {field: time, unit: ns}}
group_by: [device]
window: {every: 1h}
stats: {n: count}
to: [{topic: keyed-rows}]
'''


def of_device(device):
    return b'{"time": %d, "device": %s}' % (START_NS, device)


# what -> (the record's key, its value, a word that the reason must hold)
BAD_KEYS = {
    'another key': (b'b', of_device(b'"a"'), '`a` differs from the record\'s key'),
    'no key': (None, of_device(b'"a0"'), '`a0` differs from the record\'s key'),
    'an empty key': (b'', of_device(b'"a1"'), '`a1` differs from the record\'s key'),
    'a key that is the beginning': (b'a', of_device(b'"a2"'), 'differs from the record\'s key'),
    'a key in other letters': (b'A3', of_device(b'"a3"'), 'differs from the record\'s key'),
    'a key with a space behind': (b'a4 ', of_device(b'"a4"'), 'differs from the record\'s key'),
    'no field': (b'a', b'{"time": %d}' % START_NS, 'is missing, and it is the key'),
    'a null': (b'null', of_device(b'null'), 'is missing, and it is the key'),
    'a list': (b'a', of_device(b'["a"]'), 'field `device`: expected'),
    'a control character': (b'a\x01', of_device(b'"a\\u0001"'), 'holds a control character'),
    'a key of 10 KB': (b'y' * 10240, of_device(b'"%s"' % (b'y' * 10240)), '1024 bytes'),
}


class BadInput(harness.Case):
    def check_dead_letters(self, topic, bad, records):
        """records: as they lie in the input topic, good ones included."""
        letters = {letter.headers['__streams.errors.offset'].decode(): letter
                   for letter in self.dump(topic)}
        by_value = {record.value: record for record in records}
        for what, (value, word) in bad.items():
            with self.subTest(what):
                record = by_value[value]
                letter = letters.pop(str(record.offset), None)
                self.assertIsNotNone(letter, 'no dead letter')
                self.assertEqual((letter.key, letter.value), (record.key, record.value))
                reason = letter.headers['__streams.errors.message'].decode()
                self.assertTrue(reason)
                self.assertIn(word, reason)
        self.assertEqual([letter.headers for letter in letters.values()], [], 'more than was bad')

    def test_hostile_events_become_dead_letters_and_the_rest_counts(self):
        values = [GOOD]
        for value, _ in BAD_EVENTS.values():
            values += [value, GOOD]
        self.append('events', [(0, None, value) for value in values])
        account = self.run_job(self.job(EVENTS))
        self.assertEqual(account.total('read'), len(values))
        self.assertEqual(account.total('dead-lettered'), len(BAD_EVENTS))
        self.assertEqual(account.total('used'), len(BAD_EVENTS) + 1)
        self.check_dead_letters('events-dead-letters', BAD_EVENTS, self.dump('events'))
        row, = self.last_rows('event-rows', []).values()
        self.assertEqual((row['n'], row['values']), (len(BAD_EVENTS) + 1,) * 2)

    def test_groups_that_are_too_long_or_no_text_become_dead_letters_and_the_rest_counts(self):
        good = [value for values in GOOD_GROUPS.values() for value in values]
        mixed = good + [value for value, _ in BAD_GROUPS.values()]
        self.append('events', [(0, None, value) for value in mixed[::2] + mixed[1::2]])
        account = self.run_job(self.job(GROUPS))
        self.assertEqual(account.total('used'), len(good))
        self.assertEqual(account.total('dead-lettered'), len(BAD_GROUPS))
        self.check_dead_letters('groups-dead-letters', BAD_GROUPS, self.dump('events'))
        rows = self.last_rows('group-rows', ['name', 'kind'])
        self.assertEqual({group: row['n'] for (group, _), row in rows.items()},
                         {group: len(values) for group, values in GOOD_GROUPS.items()})

    def test_a_key_that_is_not_the_field_makes_a_dead_letter_and_the_rest_counts(self):
        records = [(0, b'a', of_device(b'"a"')), (1, b'7', of_device(b'7')),
                   (1, b'7', of_device(b'"7"'))]
        records += [(0, key, value) for key, value, _ in BAD_KEYS.values()] + [records[0]]
        self.append('keyed', records, partitions=2)
        account = self.run_job(self.job(KEYED))
        self.assertEqual(account.total('used'), 4)
        self.assertEqual(account.total('dead-lettered'), len(BAD_KEYS))
        bad = {what: (value, word) for what, (_, value, word) in BAD_KEYS.items()}
        self.check_dead_letters('keyed-dead-letters', bad, (
            record for record in self.dump('keyed')
            if (record.key, record.value) not in [row[1:] for row in records[:3]]))
        rows = self.last_rows('keyed-rows', ['device'])
        self.assertEqual({group: row['n'] for (group, _), row in rows.items()},
                         {('a',): 2, ('7',): 2})

    def test_far_more_groups_than_expected_stop_the_job_and_nothing_is_lost(self):
        names = 50_000
        self.append('events', [(0, None, member(b'"name %d"' % i)) for i in range(names)])
        _, err = self.millrace('run', self.job(GROUPS + 'memory: 4MiB\n'), '--log', self.log,
                               '--until-end', '--close', code=1)
        self.assertIn('the limit (memory) is 4 MiB', err)
        self.assertIn('group by fewer values', err)
        account = self.run_job(self.job(GROUPS))
        self.assertEqual((account.total('read'), account.total('used')), (names, names))
        rows = self.last_rows('group-rows', ['name'])
        self.assertEqual(len(rows), names)
        self.assertEqual({row['n'] for row in rows.values()}, {1})

    def test_hostile_frames_become_dead_letters_and_the_rest_counts(self):
        bad = bad_frames()
        values = [frame(0).encode()]
        for number, (value, _) in enumerate(bad.values(), 1):
            values += [value, frame(number).encode()]
        # Two partitions, because a topic of one may carry any key.
        self.append('frames', [(0, b'd', value) for value in values], partitions=2)
        account = self.run_job(self.job(FRAMES))
        good = len(bad) + 1
        self.assertEqual(account.total('dead-lettered'), len(bad))
        self.assertEqual(account.total('used'), good)
        self.assertEqual(account.total('used', samples=True), 4 * good)
        self.check_dead_letters('frames-dead-letters', bad, self.dump('frames'))
        row, = self.last_rows('frame-rows', ['device']).values()
        self.assertEqual((row['n'], row['currents'], row['powers']), (4 * good, 4 * good, 3 * good))

    def test_a_frame_that_was_sent_twice_counts_once(self):
        self.append('frames', [(0, b'd', frame(i % 5).encode()) for i in range(15)])
        account = self.run_job(self.job(FRAMES))
        self.assertEqual((account.total('used'), account.total('duplicate')), (5, 10))

    def test_a_record_of_100_MB_is_refused_or_dead_lettered_and_the_rest_counts(self):
        lines = [GOOD, event(rest=b', "x": "' + b'y' * 100_000_000 + b'"'), GOOD]
        done = self.start('produce', 'events', '--log', self.log, stdin=-1, stderr=-1)
        done.communicate(b'\n'.join(lines) + b'\n')
        self.assertIn(done.returncode, (0, 1))
        if done.returncode == 1:  # refused as a whole or up to it: then it is not in the log
            self.produce('events', [GOOD, GOOD])
        account = self.run_job(self.job(EVENTS))
        self.assertGreaterEqual(account.total('used'), 2)
        self.assertLessEqual(account.total('dead-lettered'), 1)

    def test_null_keys_and_null_values_are_accounted_for(self):
        self.append('events', [(0, None, None), (0, b'k', None), (0, b'', GOOD), (0, None, GOOD)])
        account = self.run_job(self.job(EVENTS))
        self.assertEqual(account.total('read'), 4)
        self.assertEqual(account.total('used'), 2)


if __name__ == '__main__':
    unittest.main()
