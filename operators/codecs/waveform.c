/* The waveform codec: a protobuf message, read where it lies.
 *
 *   +--------+----------+---------+--------+----------+-----------+-----+--------+
 *   | device | start_ns | rate_hz | stream | sequence | channel 0 | ... | crc32c |
 *   +--------+----------+---------+--------+----------+-----------+-----+--------+
 *   |<---------------------- the checksum covers ---------------------->|
 *
 * The order of the fields is fixed, so the message is read once from front to back and there is
 * no second way to say the same: an unknown field, a field out of its order, one that is there
 * twice or has another wire type is refused. A field whose value is zero may be left out, as
 * proto3 does; that goes for a checksum of zero too.
 *
 * Invariants
 * - The checksum is compared first: whatever is read after it is what the producer wrote.
 * - Every length is compared with what is left before anything is read.
 * - What comes out is sound: 0 <= start <= last, start + n / rate fits int64, equal lengths.
 * - Samples are not looked at: a NaN or an infinity is a gap, and whoever adds them up skips it.
 *
 * A channel's floats are used in place when they lie at a multiple of 4 (the padding field is
 * there for that), else copied into the batch's arena.
 *
 * Not a protobuf library: nine fields, and none of them lets the floats be borrowed. */
#include "operators/codecs/codecs.h"
#include "operators/operators.h"
#include <math.h>

#include <millrace/hash.h>
#include <millrace/text.h>
#include <millrace/waveform.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little endian");

#define RATE_MAX    1e9
#define CRC_BYTES   5 /* tag and value */
#define PADDING_MAX 3

struct channel {
    struct mr_slice name, unit;
    const uint8_t *samples; /* at any alignment */
};

/* A frame as it was read; everything points into the message. */
struct frame {
    struct mr_slice device;
    uint64_t start_ns;
    double rate_hz;
    uint64_t stream, sequence;
    size_t samples, channel_count;
    struct channel channels[MR_FRAME_CHANNELS];
};

/* ---- Bytes: each takes one field if its tag is next; a field that is not there stays zero ---- */
struct reader {
    const uint8_t *at, *end;
    struct mr_error *why; /* set when a function returns false */
};

static bool refuse(const struct reader *reader, const char *field, const char *what) {
    mr_error_set(reader->why, MR_REJECT, "%s: %s", field, what);
    return false;
}

static bool next_is(struct reader *reader, uint8_t tag) {
    if (reader->at == reader->end || *reader->at != tag) {
        return false;
    }
    reader->at++;
    return true;
}

static bool take_varint(struct reader *reader, const char *field, uint64_t *out) {
    uint64_t x = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint64_t byte = *reader->at++;
        if (shift == 63 && byte > 1) {
            break;
        }
        x |= (byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = x;
            return true;
        }
    }
    return refuse(reader, field, "its number is cut off or longer than 64 bits");
}

static bool take_fixed64(struct reader *reader, uint8_t tag, const char *field, void *out) {
    if (!next_is(reader, tag)) {
        return true;
    }
    if (reader->end - reader->at < 8) {
        return refuse(reader, field, "cut off");
    }
    memcpy(out, reader->at, 8);
    reader->at += 8;
    return true;
}

static bool take_bytes(struct reader *reader, uint8_t tag, const char *field,
                       struct mr_slice *out) {
    uint64_t length;
    if (!next_is(reader, tag)) {
        *out = mr_slice_of("");
        return true;
    }
    if (!take_varint(reader, field, &length)) {
        return false;
    }
    if (length > (uint64_t)(reader->end - reader->at)) {
        return refuse(reader, field, "its length passes the end");
    }
    *out = (struct mr_slice){(const char *)reader->at, (size_t)length};
    reader->at += length;
    return true;
}

static bool take_text(struct reader *reader, uint8_t tag, const char *field, struct mr_slice *out) {
    if (!take_bytes(reader, tag, field, out)) {
        return false;
    }
    if (out->length > MR_KEY_MAX) {
        return refuse(reader, field, "longer than 1024 bytes");
    }
    if (!mr_valid_utf8(*out)) {
        return refuse(reader, field, "not valid UTF-8");
    }
    return !mr_has_control(*out) || refuse(reader, field, "holds a control character");
}

static bool at_end(const struct reader *reader, const char *field) {
    if (reader->at == reader->end) {
        return true;
    }
    mr_error_set(reader->why, MR_REJECT,
                 "%s: field %u (wire type %u) is unknown, out of order, there twice or of the "
                 "wrong type",
                 field, *reader->at >> 3, *reader->at & 7U);
    return false;
}

/* ---- The message --------------------------------------------------------------------------- */
static bool check_sum(struct reader *reader, struct mr_slice value) {
    size_t length = value.length - CRC_BYTES;
    if (value.length > CRC_BYTES && (uint8_t)value.data[length] == 0x7D) {
        uint32_t told, crc = mr_crc32c(0, value.data, length);
        memcpy(&told, value.data + length + 1, 4);
        reader->end = reader->at + length;
        if (told != crc) {
            mr_error_set(reader->why, MR_REJECT, "crc32c: is %08x, the bytes give %08x", told, crc);
        }
        return told == crc;
    }
    return (value.length > 0 && mr_crc32c(0, value.data, value.length) == 0) ||
           refuse(reader, "crc32c", "missing, or not the last field");
}

static bool check_head(const struct reader *reader, const struct frame *frame) {
    if (frame->device.length == 0) {
        return refuse(reader, "device", "missing or empty");
    }
    if (frame->start_ns > INT64_MAX) {
        return refuse(reader, "start_ns", "negative, or beyond the year 2262");
    }
    if (!(frame->rate_hz > 0 && frame->rate_hz <= RATE_MAX)) {
        mr_error_set(reader->why, MR_REJECT,
                     "rate_hz: is %g; must be above 0 and at most 1e9 samples per second",
                     frame->rate_hz);
        return false;
    }
    return frame->sequence <= INT64_MAX || refuse(reader, "sequence", "2^63 or more");
}

static bool take_channel(struct reader *outer, struct frame *frame) {
    struct mr_slice inside, padding, samples;
    if (!take_bytes(outer, 0x32, "channels", &inside)) {
        return false;
    }
    struct channel *channel = &frame->channels[frame->channel_count];
    const uint8_t *start = (const uint8_t *)inside.data;
    struct reader reader = {start, start + inside.length, outer->why};
    if (!take_text(&reader, 0x0A, "channel name", &channel->name) ||
        !take_text(&reader, 0x12, "channel unit", &channel->unit) ||
        !take_bytes(&reader, 0x1A, "channel padding", &padding) ||
        !take_bytes(&reader, 0x22, "channel samples", &samples) || !at_end(&reader, "channels")) {
        return false;
    }
    char field[80];
    snprintf(field, sizeof field, "channel %.*s", mr_shown(channel->name), channel->name.data);
    if (channel->name.length == 0) {
        return refuse(&reader, "channel name", "missing or empty");
    }
    if (padding.length > PADDING_MAX) {
        return refuse(&reader, field, "more than 3 bytes of padding");
    }
    if (samples.length == 0 || samples.length % sizeof(float) != 0) {
        return refuse(&reader, field, "its samples are none, or not of 4 bytes each");
    }
    for (size_t i = 0; i < frame->channel_count; i++) {
        if (mr_slice_equal(frame->channels[i].name, channel->name)) {
            return refuse(&reader, field, "there twice");
        }
    }
    size_t n = samples.length / sizeof(float);
    if (frame->channel_count > 0 && n != frame->samples) {
        return refuse(&reader, field, "not as many samples as the channel before");
    }
    channel->samples = (const uint8_t *)samples.data;
    frame->samples = n;
    frame->channel_count++;
    return true;
}

static bool read_frame(struct mr_slice value, struct frame *frame, struct mr_error *why) {
    const uint8_t *start = (const uint8_t *)value.data;
    struct reader reader = {start, start + value.length, why};
    if (value.length > MR_FRAME_MAX) {
        return refuse(&reader, "frame", "longer than 4 MiB");
    }
    frame->start_ns = frame->stream = frame->sequence = 0;
    frame->samples = frame->channel_count = 0;
    frame->rate_hz = 0;
    if (!check_sum(&reader, value) || !take_text(&reader, 0x0A, "device", &frame->device) ||
        !take_fixed64(&reader, 0x11, "start_ns", &frame->start_ns) ||
        !take_fixed64(&reader, 0x19, "rate_hz", &frame->rate_hz) ||
        !take_fixed64(&reader, 0x21, "stream", &frame->stream) ||
        (next_is(&reader, 0x28) && !take_varint(&reader, "sequence", &frame->sequence))) {
        return false;
    }
    while (reader.at < reader.end && *reader.at == 0x32) {
        if (frame->channel_count == MR_FRAME_CHANNELS) {
            return refuse(&reader, "channels", "more than 64");
        }
        if (!take_channel(&reader, frame)) {
            return false;
        }
    }
    if (!at_end(&reader, "frame") || !check_head(&reader, frame)) {
        return false;
    }
    if (frame->channel_count == 0) {
        return refuse(&reader, "channels", "none");
    }
    double span_ns = (double)frame->samples * 1e9 / frame->rate_hz;
    return span_ns < (double)(INT64_MAX - (int64_t)frame->start_ns) ||
           refuse(&reader, "rate_hz", "with it the frame ends beyond the year 2262");
}

/* ---- The codec ----------------------------------------------------------------------------- */
struct codec {
    const struct mr_input *input;
    bool check_key;
};

static enum mr_status waveform_open(const struct mr_input *input, bool check_key, void **codec,
                                    struct mr_error *err) {
    struct codec *it = malloc(sizeof *it);
    if (!it) {
        return mr_error_set(err, MR_FAIL, "out of memory");
    }
    *it = (struct codec){input, check_key};
    *codec = it;
    return MR_OK;
}

static bool check_key(const struct mr_message *message, struct mr_slice device, bool compare,
                      struct mr_error *why) {
    if (message->key.data && message->key.length > MR_KEY_MAX) {
        mr_error_set(why, MR_REJECT, "key: longer than 1024 bytes");
        return false;
    }
    if (!compare || (message->key.data && mr_slice_equal(message->key, device))) {
        return true;
    }
    mr_error_set(why, MR_REJECT, "device: `%.*s` differs from the record's key", mr_shown(device),
                 device.data);
    return false;
}

/* The floats of a channel, aligned. */
static const float *floats_of(const struct channel *channel, size_t n, struct mr_arena *arena) {
    const void *samples = channel->samples;
    if ((uintptr_t)samples % _Alignof(float) == 0) {
        return samples;
    }
    float *copy = mr_arena_take(arena, n * sizeof(float));
    memcpy(copy, samples, n * sizeof(float));
    return copy;
}

static void set_integer(struct mr_value *value, uint64_t x) {
    int64_t integer;
    memcpy(&integer, &x, sizeof integer); /* a stream is any 64 bits */
    *value = (struct mr_value){.kind = MR_INTEGER, .number = (double)integer, .integer = integer};
}

static void fill_value(struct mr_value *value, const char *name, const struct frame *frame,
                       struct mr_arena *arena) {
    value->kind = MR_ABSENT;
    if (strcmp(name, "device") == 0) {
        value->kind = MR_TEXT;
        value->text = frame->device;
    } else if (strcmp(name, "stream") == 0) {
        set_integer(value, frame->stream);
    } else if (strcmp(name, "sequence") == 0) {
        set_integer(value, frame->sequence);
    } else {
        struct mr_slice wanted = mr_slice_of(name);
        for (size_t i = 0; i < frame->channel_count; i++) {
            if (mr_slice_equal(frame->channels[i].name, wanted)) {
                value->kind = MR_F32;
                value->f32 = floats_of(&frame->channels[i], frame->samples, arena);
            }
        }
    }
}

static struct mr_record *make_record(const struct mr_input *input, const struct frame *frame,
                                     const struct mr_message *message, struct mr_arena *arena) {
    struct mr_record *record =
        mr_arena_take(arena, sizeof *record + input->field_count * sizeof(struct mr_value));
    *record = (struct mr_record){
        .values = (struct mr_value *)(record + 1),
        .samples = frame->samples,
        .rate_hz = frame->rate_hz,
        .start_ns = (int64_t)frame->start_ns,
        .message = message,
    };
    record->last_ns = mr_sample_ns(record, frame->samples - 1);
    for (size_t i = 0; i < input->field_count; i++) {
        record->values[i] = (struct mr_value){.kind = MR_ABSENT};
        if (!input->fields[i].derived) {
            fill_value(&record->values[i], input->fields[i].name, frame, arena);
        }
    }
    return record;
}

static void waveform_decode(void *codec, const struct mr_message *message, struct mr_arena *arena,
                            struct mr_decoded *out) {
    const struct codec *it = codec;
    struct frame frame;
    out->records = NULL;
    out->count = 0;
    out->bad = 1;
    if (!message->value.data) {
        mr_error_set(&out->reason, MR_REJECT, "frame: the record has no value (a tombstone)");
    } else if (read_frame(message->value, &frame, &out->reason) &&
               check_key(message, frame.device, it->check_key, &out->reason)) {
        out->records = make_record(it->input, &frame, message, arena);
        out->count = 1;
        out->bad = 0;
        out->reason.text[0] = 0;
    }
}

/* ---- For people ---------------------------------------------------------------------------- */
static const char *rate_text(double hz, char out[MR_TEXT_MAX]) {
    const char *unit = hz >= 1e6 ? "MHz" : hz >= 1e3 ? "kHz" : "Hz";
    snprintf(out, MR_TEXT_MAX, "%.6g %s", hz >= 1e6 ? hz / 1e6 : hz >= 1e3 ? hz / 1e3 : hz, unit);
    return out;
}

/* "current [A] 0.01..0.35"; gaps are left out. */
static size_t describe_channel(const struct channel *channel, size_t n, char *text, size_t size) {
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, channel->samples + i * sizeof x, sizeof x);
        if (isfinite(x)) {
            low = x < low ? x : low;
            high = x > high ? x : high;
        }
    }
    char range[64] = "only gaps";
    if (low <= high) {
        snprintf(range, sizeof range, "%.6g..%.6g", (double)low, (double)high);
    }
    bool unit = channel->unit.length > 0;
    int length = snprintf(text, size, "%.*s%s%.*s%s %s", (int)channel->name.length,
                          channel->name.data, unit ? " [" : "", (int)channel->unit.length,
                          channel->unit.data, unit ? "]" : "", range);
    return (size_t)length < size ? (size_t)length : size - 1;
}

static void waveform_describe(struct mr_slice value, char *text, size_t size) {
    struct frame frame;
    struct mr_error why;
    if (size == 0) {
        return;
    }
    if (!read_frame(value, &frame, &why)) {
        snprintf(text, size, "bad frame (%s)", why.text);
        return;
    }
    char start[MR_TEXT_MAX], rate[MR_TEXT_MAX];
    int length = snprintf(text, size, "frame %.*s %s %zu samples at %s, stream %llu sequence %llu",
                          (int)frame.device.length, frame.device.data,
                          mr_format_time((int64_t)frame.start_ns, start), frame.samples,
                          rate_text(frame.rate_hz, rate), (unsigned long long)frame.stream,
                          (unsigned long long)frame.sequence);
    size_t used = (size_t)length < size ? (size_t)length : size - 1;
    for (size_t i = 0; i < frame.channel_count && size - used > 2; i++) {
        memcpy(text + used, i == 0 ? ": " : ", ", 2);
        used += 2;
        used += describe_channel(&frame.channels[i], frame.samples, text + used, size - used);
    }
    text[used] = 0;
}

/* A text for the device, then a fixed64 or the rate; no text begins so. */
static bool waveform_recognises(struct mr_slice value) {
    const uint8_t *bytes = (const uint8_t *)value.data;
    if (value.length < 12 || bytes[0] != 0x0A) {
        return false;
    }
    size_t length = bytes[1] & 0x7F, at = 2;
    if (bytes[1] & 0x80) {
        length |= (size_t)(bytes[2] & 0x7F) << 7;
        at = 3;
    }
    return length > 0 && at + length < value.length &&
           (bytes[at + length] == 0x11 || bytes[at + length] == 0x19);
}

const struct mr_codec_type mr_waveform_codec = {
    .name = "waveform",
    .summary = "Waveform frames: fixed-rate samples of one device, as waveform.proto has them",
    .frames = true,
    .open = waveform_open,
    .decode = waveform_decode,
    .close = free,
    .describe = waveform_describe,
    .recognises = waveform_recognises,
};
