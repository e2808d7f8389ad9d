"""Waveform frames (include/millrace/waveform.proto), written and read without the engine's code."""
import struct
from array import array
from dataclasses import dataclass, field, replace

CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(number, wire):
    return varint(number << 3 | wire)


def chunk(number, data):
    return tag(number, 2) + varint(len(data)) + data


@dataclass
class Frame:
    device: str
    start_ns: int
    rate_hz: float
    stream: int
    sequence: int
    channels: dict = field(default_factory=dict)  # name -> list of floats
    crc: int = None

    def but(self, **changes):
        return replace(self, **changes)

    def body(self):
        out = chunk(1, self.device.encode()) + tag(2, 1) + struct.pack('<Q', self.start_ns)
        out += tag(3, 1) + struct.pack('<d', self.rate_hz)
        out += tag(4, 1) + struct.pack('<Q', self.stream) + tag(5, 0) + varint(self.sequence)
        for name, samples in self.channels.items():
            packed = array('f', samples).tobytes()
            out += chunk(6, chunk(1, name.encode()) + chunk(2, b'V') + chunk(4, packed))
        return out

    def encode(self):
        return seal(self.body()) if self.crc is None else (
            self.body() + tag(15, 5) + struct.pack('<I', self.crc))

    def time_ns(self, i):
        """As the engine counts: start + i / rate, rounded to a nanosecond."""
        return self.start_ns + (int(i * 1e9 / self.rate_hz + 0.5) if i else 0)

    def times(self):
        return [self.time_ns(i) for i in range(len(next(iter(self.channels.values()))))]


def seal(body):
    """A body with the checksum that belongs to it."""
    return body + tag(15, 5) + struct.pack('<I', crc32c(body))


def read_varint(data, at):
    """The number that begins at `at`, and where the next one begins."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def parse(data):
    """(number, value) of each field of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(data, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if not size:
            size, at = read_varint(data, at)
        yield key >> 3, data[at:at + size]
        at += size


def decode(data):
    frame = Frame('', 0, 0.0, 0, 0)
    for number, value in parse(data):
        if number == 1:
            frame.device = value.decode()
        elif number in (2, 4):
            setattr(frame, 'start_ns' if number == 2 else 'stream', struct.unpack('<Q', value)[0])
        elif number == 3:
            frame.rate_hz = struct.unpack('<d', value)[0]
        elif number == 5:
            frame.sequence = value
        elif number == 6:
            channel = dict(parse(value))
            frame.channels[channel[1].decode()] = array('f', channel.get(4, b''))
    return frame
