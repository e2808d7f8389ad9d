/* Fixture of the frame tests: a frame of two channels, ways to spoil it, and decode in one call. */
#ifndef TESTS_FRAME_MESSAGES_H
#define TESTS_FRAME_MESSAGES_H

#include "engine/base/base.h"
#include "operators/operators.h"

#include <math.h>
#include <millrace/codec.h>
#include <millrace/hash.h>
#include <millrace/waveform.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct bytes {
    uint8_t *data; /* malloc'd: the address sanitizer sees a read past its end */
    size_t length;
};

static inline struct bytes copy_bytes(const void *data, size_t length) {
    struct bytes bytes = {malloc(length ? length : 1), length};
    memcpy(bytes.data, data, length);
    return bytes;
}

static inline struct bytes encode(const struct mr_waveform *frame) {
    uint8_t *room = malloc(mr_waveform_bound(frame));
    struct bytes exact = copy_bytes(room, mr_waveform_encode(frame, room));
    free(room);
    return exact;
}

/* Appends the checksum that the bytes need. */
static inline struct bytes seal(const void *body, size_t length) {
    struct bytes bytes = {malloc(length + 5), length + 5};
    uint32_t crc = mr_crc32c(0, body, length);
    memcpy(bytes.data, body, length);
    bytes.data[length] = 0x7D;
    memcpy(bytes.data + length + 1, &crc, 4);
    return bytes;
}

#define START INT64_C(1795230600123000000) /* 2026-11-21T03:10:00.123Z */

static const float current[] = {0.01f, 0.35f, NAN, 0.02f}, voltage[] = {3.3f, 3.2f, 3.3f, 3.25f};
static const struct mr_waveform_channel channels[] = {{"current", "A", current},
                                                      {"voltage", "V", voltage}};

static inline struct mr_waveform good_frame(void) {
    return (struct mr_waveform){.device = mr_slice_of("js220-01"),
                                .start_ns = START,
                                .rate_hz = 2e6,
                                .stream = 7,
                                .sequence = 42,
                                .samples = 4,
                                .channels = channels,
                                .channel_count = 2};
}

enum { CURRENT, DEVICE, STREAM, SEQUENCE, VOLTAGE, POWER, TEMPERATURE, FIELDS };
static const struct mr_field fields[FIELDS] = {
    {"current", MR_F32, false, false},    {"device", MR_TEXT, false, false},
    {"stream", MR_INTEGER, false, false}, {"sequence", MR_INTEGER, false, false},
    {"voltage", MR_F32, false, false},    {"power", MR_F32, false, true},
    {"temperature", MR_F32, false, false}};
static const struct mr_input input = {
    .fields = fields, .field_count = FIELDS, .key_source = MR_KEY_FIELD, .key_name = "device"};

static struct mr_arena *arena;
static struct mr_decoded decoded;

static inline struct mr_message message_of(struct bytes bytes) {
    return (struct mr_message){.key = mr_slice_of("js220-01"),
                               .value = {(const char *)bytes.data, bytes.length}};
}

static inline void decode_message(const struct mr_message *message, bool check_key) {
    void *codec;
    mr_arena_reset(arena);
    assert_int_equal(mr_waveform_codec.open(&input, check_key, &codec, NULL), MR_OK);
    mr_waveform_codec.decode(codec, message, arena, &decoded);
    mr_waveform_codec.close(codec);
    assert_int_equal(decoded.count + decoded.bad, 1);
    assert_true(decoded.bad == 0 || decoded.reason.text[0]);
}

static inline void decode(struct bytes bytes) {
    struct mr_message message = message_of(bytes);
    decode_message(&message, true);
}

/* The bytes are refused, and the reason begins with the field and says what. Frees them. */
static inline void refused(struct bytes bytes, const char *field, const char *what) {
    decode(bytes);
    free(bytes.data);
    assert_int_equal(decoded.bad, 1);
    if (strncmp(decoded.reason.text, field, strlen(field)) != 0 ||
        !strstr(decoded.reason.text, what)) {
        fail_msg("expected `%s ... %s`, got `%s`", field, what, decoded.reason.text);
    }
}

static inline void refused_frame(const struct mr_waveform *frame, const char *field,
                                 const char *what) {
    refused(encode(frame), field, what);
}

static inline int set_up(void **state) {
    arena = mr_arena_create();
    return 0;
}
static inline int tear_down(void **state) {
    mr_arena_destroy(arena);
    return 0;
}

#endif
