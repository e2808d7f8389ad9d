/* The waveform frame, written: one pass, front to back.
 *
 *   0A device  11 start_ns  19 rate_hz  21 stream  28 sequence
 *   32 length { 0A name  12 unit  1A padding  22 length samples }   channel by channel
 *   7D crc32c of all bytes before
 *
 * Readers use the floats where they lie if that is a multiple of 4, so each channel carries a
 * padding field that moves them there. It is 2 bytes and its content long, or left out:
 *
 *   to be moved by   0      1                    2          3
 *   padding field    none   1A 03 00 00 00 (5)   1A 00 (2)  1A 01 00 (3)
 *
 * A longer padding can lengthen the channel's own length by a byte, which moves the floats once
 * more; so the four are tried. Should none fit, the frame is right all the same, only copied. */
#include <millrace/hash.h>
#include <millrace/waveform.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little endian");

#define NO_PADDING SIZE_MAX

static size_t varint_size(uint64_t x) {
    size_t n = 1;
    while (x >>= 7) {
        n++;
    }
    return n;
}

static uint8_t *put_varint(uint8_t *at, uint64_t x) {
    for (; x >= 0x80; x >>= 7) {
        *at++ = (uint8_t)(x | 0x80);
    }
    *at++ = (uint8_t)x;
    return at;
}

static uint8_t *put_fixed64(uint8_t *at, uint8_t tag, const void *value) {
    *at++ = tag;
    memcpy(at, value, 8);
    return at + 8;
}

static uint8_t *put_bytes(uint8_t *at, uint8_t tag, const void *data, size_t length) {
    *at++ = tag;
    at = put_varint(at, length);
    if (length > 0) {
        memcpy(at, data, length);
    }
    return at + length;
}

static size_t bytes_size(size_t length) {
    return 1 + varint_size(length) + length;
}

static size_t padding_size(size_t padding) {
    return padding == NO_PADDING ? 0 : bytes_size(padding);
}

size_t mr_waveform_bound(const struct mr_waveform *frame) {
    size_t bytes = bytes_size(frame->device.length) + 3 * 9 + 11 + 5;
    for (size_t i = 0; i < frame->channel_count; i++) {
        const struct mr_waveform_channel *channel = &frame->channels[i];
        size_t inside = bytes_size(strlen(channel->name)) + bytes_size(strlen(channel->unit)) +
                        padding_size(3) + bytes_size(frame->samples * sizeof(float));
        bytes += bytes_size(inside);
    }
    return bytes;
}

/* The length of a channel, and in *lead how far from its tag its floats begin. */
static size_t channel_size(const struct mr_waveform_channel *channel, size_t floats, size_t padding,
                           size_t *lead) {
    size_t before = bytes_size(strlen(channel->name)) + bytes_size(strlen(channel->unit)) +
                    padding_size(padding) + 1 + varint_size(floats);
    *lead = 1 + varint_size(before + floats) + before;
    return before + floats;
}

static uint8_t *put_channel(uint8_t *at, size_t offset, const struct mr_waveform_channel *channel,
                            size_t samples) {
    static const size_t paddings[] = {NO_PADDING, 0, 1, 3};
    size_t floats = samples * sizeof(float), lead, chosen = 0;
    for (size_t i = 0; i < 4; i++) {
        channel_size(channel, floats, paddings[i], &lead);
        if ((offset + lead) % sizeof(float) == 0) {
            chosen = i;
            break;
        }
    }
    *at++ = 0x32;
    at = put_varint(at, channel_size(channel, floats, paddings[chosen], &lead));
    at = put_bytes(at, 0x0A, channel->name, strlen(channel->name));
    at = put_bytes(at, 0x12, channel->unit, strlen(channel->unit));
    if (paddings[chosen] != NO_PADDING) {
        at = put_bytes(at, 0x1A, "\0\0\0", paddings[chosen]);
    }
    return put_bytes(at, 0x22, channel->samples, floats);
}

size_t mr_waveform_encode(const struct mr_waveform *frame, void *out) {
    uint8_t *start = out, *at = start;
    at = put_bytes(at, 0x0A, frame->device.data, frame->device.length);
    at = put_fixed64(at, 0x11, &frame->start_ns);
    at = put_fixed64(at, 0x19, &frame->rate_hz);
    at = put_fixed64(at, 0x21, &frame->stream);
    *at++ = 0x28;
    at = put_varint(at, frame->sequence);
    for (size_t i = 0; i < frame->channel_count; i++) {
        at = put_channel(at, (size_t)(at - start), &frame->channels[i], frame->samples);
    }
    uint32_t crc = mr_crc32c(0, start, (size_t)(at - start));
    *at++ = 0x7D;
    memcpy(at, &crc, 4);
    return (size_t)(at + 4 - start);
}
