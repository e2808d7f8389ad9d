/* What the codecs share, and the private faces of the JSON codec's parts. */
#ifndef OPERATORS_CODECS_H
#define OPERATORS_CODECS_H

#include <millrace/codec.h>
#include <millrace/json.h>

static inline bool mr_has_control(struct mr_slice text) {
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte < 0x20 || byte == 0x7F) {
            return true;
        }
    }
    return false;
}

/* How many bytes of a text are shown in a reason: at most 64, no character cut in two. */
static inline int mr_shown(struct mr_slice text) {
    size_t n = text.length < 64 ? text.length : 64;
    while (n < text.length && n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) {
        n--;
    }
    return (int)n;
}

/* json_time.c: a time since 1970 as the job declares it: a number, or a number in text (the decimal
 * digits are converted, so 1468244384.123 s is exactly ...123000000 ns), or ISO 8601 in text.
 * Returns NULL, or what is wrong with it. */
const char *mr_read_time(const struct mr_json_value *value, enum mr_time_unit unit, int64_t *ns);

/* Units of a time per second; 0 for ISO 8601. */
int64_t mr_units_per_second(enum mr_time_unit unit);

/* json_value.c: a field's value as the job declared it; null and missing are MR_ABSENT. *samples is
 * 0 or the length that an array must have, and is set by the first one. Arrays come from `arena`.
 * False, and a reason, for another type. */
bool mr_read_value(const struct mr_field *field, const struct mr_json_value *json,
                   struct mr_arena *arena, size_t *samples, struct mr_value *out,
                   struct mr_error *why);

/* "text `abc`", "an array of 3": what was found instead. */
#define MR_FOUND_MAX 128
const char *mr_describe_json(const struct mr_json_value *json, char out[MR_FOUND_MAX]);

#endif
