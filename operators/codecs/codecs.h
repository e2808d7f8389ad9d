/* What the codecs share, and the private faces of the JSON codec's parts. */
#ifndef OPERATORS_CODECS_H
#define OPERATORS_CODECS_H

#include <millrace/codec.h>
#include <millrace/json.h>
#include <millrace/text.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "eight bytes at a time");

static inline uint64_t mr_eight_bytes(const char *at) {
    uint64_t x;
    memcpy(&x, at, sizeof x);
    return x;
}

static inline uint32_t mr_four_bytes(const char *at) {
    uint32_t x;
    memcpy(&x, at, sizeof x);
    return x;
}

/* Whether 8 bytes hold one below 0x20, one that is 0x7F, or one from 0x80 on. */
static inline bool mr_any_odd(uint64_t x) {
    const uint64_t ones = UINT64_C(0x0101010101010101), top = ones << 7;
    uint64_t y = x ^ (ones * 0x7F);
    return (((x - ones * 0x20) | (y - ones) | x) & top) != 0;
}

/* Printable ASCII through and through, as most keys are. May say no to other good text. */
static inline bool mr_is_plain(struct mr_slice text) {
    size_t i = 0;
    if (text.length < 8) {
        while (i < text.length && text.data[i] >= 0x20 && text.data[i] < 0x7F) {
            i++;
        }
        return i == text.length;
    }
    for (; i + 8 < text.length; i += 8) {
        if (mr_any_odd(mr_eight_bytes(text.data + i))) {
            return false;
        }
    }
    return !mr_any_odd(mr_eight_bytes(text.data + text.length - 8));
}

/* ---- json_members.c: the named members of an object ----------------------------------------- */

/* The value of a member. Texts and trees live as long as what they were read from. */
struct mr_found {
    enum mr_json_kind kind; /* MR_JSON_NULL when it is not there                   */
    bool there;
    double number; /* of numbers; of a boolean 1 or 0                     */
    union {
        int64_t integer;
        struct mr_slice text;
        const struct mr_json_value *json; /* an array or an object */
    };
};

void mr_found_set(struct mr_found *found, const struct mr_json_value *value);

#define MR_NAME_CHAINS 64
#define MR_NO_NAME     (-1)

/* The names that are looked for. */
struct mr_names {
    struct mr_name {
        struct mr_ends {
            uint64_t first, last;
        } ends;
        struct mr_slice name;
        int16_t next; /* in its chain */
    } * items;
    int16_t count;
    int16_t chains[MR_NAME_CHAINS]; /* by length; MR_NO_NAME: empty, so before the first add */
};

/* Returns the name's index; `items` has room. The text is borrowed. */
int16_t mr_names_add(struct mr_names *names, const char *text);
/* Both fill found[0 .. count - 1]. A name that is there twice is a fault. */
bool mr_find_members(const struct mr_names *names, const struct mr_json_value *object,
                     struct mr_found *found, struct mr_error *why);
/* False: the text is not plain; parse it and find. */
bool mr_scan_members(const struct mr_names *names, struct mr_slice text, struct mr_found *found);

/* ---- json_time.c ---------------------------------------------------------------------------- */

/* A time since 1970 as the job declares it: a number, or a number in text (the decimal digits are
 * converted, so 1468244384.123 s is exactly ...123000000 ns), or ISO 8601 in text. Returns NULL, or
 * what is wrong with it. */
const char *mr_read_time(const struct mr_found *found, enum mr_time_unit unit, int64_t *ns);

/* Units of a time per second; 0 for ISO 8601. */
int64_t mr_units_per_second(enum mr_time_unit unit);

/* ---- json_value.c --------------------------------------------------------------------------- */

/* A field's value as the job declared it; null and missing are MR_ABSENT. *samples is 0 or the
 * length that an array must have, and is set by the first one. Arrays come from `arena`. False, and
 * a reason, for another type. */
bool mr_read_value(const struct mr_field *field, const struct mr_found *found,
                   struct mr_arena *arena, size_t *samples, struct mr_value *out,
                   struct mr_error *why);

/* "text `abc`", "an array of 3": what was found instead. */
#define MR_FOUND_MAX 128
const char *mr_describe_found(const struct mr_found *found, char out[MR_FOUND_MAX]);

#endif
