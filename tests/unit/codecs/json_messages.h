/* Fixture of the JSON tests: an input with a field of each kind, and decode in one call. */
#ifndef TESTS_JSON_MESSAGES_H
#define TESTS_JSON_MESSAGES_H

#include "engine/base/base.h"
#include "operators/operators.h"

#include <math.h>
#include <millrace/codec.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TEMP, ID, WHO, ON, ANY, LOOSE, LOOSE_ID, FIELDS };

static const struct mr_field plain_fields[FIELDS] = {
    {"temp", MR_NUMBER, false, false},    {"id", MR_INTEGER, false, false},
    {"who", MR_TEXT, false, false},       {"on", MR_BOOLEAN, false, false},
    {"any", MR_ABSENT, false, false},     {"loose", MR_NUMBER, true, false},
    {"loose_id", MR_INTEGER, true, false}};

static const struct mr_input plain = {.fields = plain_fields,
                                      .field_count = FIELDS,
                                      .time_field = "ts",
                                      .time_unit = MR_UNIT_MS,
                                      .key_slot = -1};

static struct mr_arena *arena;
static struct mr_decoded decoded;
static struct mr_message last_message;
static void *last_codec; /* open until the next decode: texts live in it */

static inline void decode_message(const struct mr_input *input, bool check_key,
                                  const struct mr_message *message) {
    mr_json_codec.close(last_codec);
    mr_arena_reset(arena);
    assert_int_equal(mr_json_codec.open(input, check_key, &last_codec, NULL), MR_OK);
    mr_json_codec.decode(last_codec, message, arena, &decoded);
    assert_true(decoded.bad == 0 || decoded.reason.text[0]);
}

/* The record of a good message. */
static inline const struct mr_record *decode(const struct mr_input *input, const char *text) {
    last_message = (struct mr_message){.timestamp_ns = 1, .value = mr_slice_of(text)};
    decode_message(input, false, &last_message);
    if (decoded.bad > 0) {
        fail_msg("%s: %s", text, decoded.reason.text);
    }
    return decoded.records;
}

/* The message is rejected; the reason begins with the field and says what. */
static inline void rejected(const struct mr_input *input, const char *text, const char *field,
                            const char *what) {
    last_message = (struct mr_message){.timestamp_ns = 1, .value = mr_slice_of(text)};
    decode_message(input, false, &last_message);
    if (decoded.bad != 1 || decoded.count != 0 ||
        strncmp(decoded.reason.text, field, strlen(field)) != 0 ||
        !strstr(decoded.reason.text, what)) {
        fail_msg("%s: expected `%s ... %s`, got %zu bad: `%s`", text, field, what, decoded.bad,
                 decoded.reason.text);
    }
}

static inline int make_arena(void **state) {
    arena = mr_arena_create();
    return 0;
}

static inline int drop_arena(void **state) {
    mr_json_codec.close(last_codec);
    mr_arena_destroy(arena);
    return 0;
}

#endif
