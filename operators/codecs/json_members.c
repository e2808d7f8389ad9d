/* The named members of a JSON object, found in one of two ways:
 *
 *   scan   the text itself, in one pass, while it is plain: one object of scalars, texts in
 *          ASCII without escapes, numbers of at most 18 digits without exponent
 *   find   the tree that <millrace/json.h> makes of any text
 *
 * Nearly all events are plain, and for them building a tree and walking it costs three times as
 * much as what is taken from it. The scan accepts a part of JSON and never more: at the first byte
 * that it does not expect it gives up, whether that byte is wrong or only unusual, and the parser
 * judges the text. So there is one place that says what is wrong with a text.
 *
 * Both give the same value for the same text. A decimal of at most 15 digits is a whole number
 * divided by a power of ten, both exact as doubles, so the quotient is the nearest double, as the
 * parser has it; more digits are left to the parser.
 *
 * A name is found by its length: names hang in 64 chains by length, and most names of a text meet
 * an empty chain. Of a name its first and last 8 bytes (of a shorter one its first and last 4) are
 * kept as numbers, which is all of it up to 16 bytes. */
#include "operators/codecs/codecs.h"

#define DIGITS_MAX  18 /* of an integer                         */
#define DECIMAL_MAX 15 /* of a number with a fraction, all told */

static const double powers_of_ten[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* ---- Names --------------------------------------------------------------------------------- */
static struct mr_ends ends_of(struct mr_slice name) {
    size_t n = name.length;
    const char *at = name.data;
    if (n >= 8) {
        return (struct mr_ends){mr_eight_bytes(at), mr_eight_bytes(at + n - 8)};
    }
    if (n >= 4) {
        return (struct mr_ends){mr_four_bytes(at), mr_four_bytes(at + n - 4)};
    }
    if (n == 0) {
        return (struct mr_ends){0, 0};
    }
    return (struct mr_ends){(uint8_t)at[0], (uint64_t)(uint8_t)at[n / 2] << 8 | (uint8_t)at[n - 1]};
}

static inline int16_t find_name(const struct mr_names *names, struct mr_slice name) {
    int16_t i = names->chains[name.length % MR_NAME_CHAINS];
    if (i == MR_NO_NAME) {
        return i;
    }
    struct mr_ends ends = ends_of(name);
    for (; i != MR_NO_NAME; i = names->items[i].next) {
        const struct mr_name *item = &names->items[i];
        if (item->ends.first == ends.first && item->ends.last == ends.last &&
            item->name.length == name.length &&
            (name.length <= 16 || memcmp(item->name.data, name.data, name.length) == 0)) {
            return i;
        }
    }
    return MR_NO_NAME;
}

int16_t mr_names_add(struct mr_names *names, const char *text) {
    struct mr_slice name = mr_slice_of(text);
    int16_t i = find_name(names, name);
    if (i == MR_NO_NAME) {
        int16_t *chain = &names->chains[name.length % MR_NAME_CHAINS];
        i = names->count++;
        names->items[i] = (struct mr_name){ends_of(name), name, *chain};
        *chain = i;
    }
    return i;
}

static void forget(const struct mr_names *names, struct mr_found *found) {
    for (int16_t i = 0; i < names->count; i++) {
        found[i].there = false;
        found[i].kind = MR_JSON_NULL;
    }
}

/* ---- The tree ------------------------------------------------------------------------------ */
void mr_found_set(struct mr_found *found, const struct mr_json_value *value) {
    found->there = true;
    found->kind = mr_json_kind(value);
    switch (found->kind) {
    case MR_JSON_INTEGER:
        found->integer = mr_json_integer(value);
        found->number = (double)found->integer;
        break;
    case MR_JSON_NUMBER:
        found->number = mr_json_number(value);
        break;
    case MR_JSON_BOOLEAN:
        found->number = mr_json_boolean(value);
        break;
    case MR_JSON_STRING:
        found->text = mr_json_string(value);
        break;
    default:
        found->json = value;
    }
}

bool mr_find_members(const struct mr_names *names, const struct mr_json_value *object,
                     struct mr_found *found, struct mr_error *why) {
    forget(names, found);
    const struct mr_json_value *name = mr_json_first(object);
    for (size_t left = mr_json_count(object); left > 0; left--) {
        const struct mr_json_value *value = mr_json_member(name);
        int16_t i = find_name(names, mr_json_string(name));
        if (i != MR_NO_NAME) {
            if (found[i].there) {
                mr_error_set(why, MR_REJECT, "field `%s`: is there twice",
                             names->items[i].name.data);
                return false;
            }
            mr_found_set(&found[i], value);
        }
        name = left > 1 ? mr_json_next(value) : NULL;
    }
    return true;
}

/* ---- The scan: every function returns NULL to give up -------------------------------------- */
static inline const char *skip_space(const char *at, const char *end) {
    if (at < end && (unsigned char)*at > ' ') {
        return at; /* as nearly always */
    }
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* Bytes that a plain text does not hold: the top bit of each such byte is set, and perhaps of
 * bytes above the lowest one. */
static uint64_t odd_bytes(uint64_t x) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t quote = x ^ (ones * '"'), slash = x ^ (ones * '\\');
    return ((x - ones * 0x20) | (quote - ones) | (slash - ones) | x) & (ones << 7);
}

/* A text: `at` is behind the opening quote; what comes back is behind the closing one. */
static inline const char *scan_text(const char *at, const char *end, struct mr_slice *text) {
    const char *start = at;
    uint64_t odd = 0;
    while (end - at >= 8 && (odd = odd_bytes(mr_eight_bytes(at))) == 0) {
        at += 8;
    }
    if (odd != 0) {
        at += __builtin_ctzll(odd) / 8;
    } else {
        while (at < end && (unsigned char)(*at - 0x20) < 0x60 && *at != '"' && *at != '\\') {
            at++;
        }
    }
    if (at == end || *at != '"') {
        return NULL;
    }
    *text = (struct mr_slice){start, (size_t)(at - start)};
    return at + 1;
}

/* The value of 8 digits, the first in the lowest byte: neighbours are joined to pairs, pairs to
 * fours, fours to eight. */
static uint64_t eight_digits(uint64_t x) {
    x = (x & UINT64_C(0x0F0F0F0F0F0F0F0F)) * 2561 >> 8;
    x = (x & UINT64_C(0x00FF00FF00FF00FF)) * 6553601 >> 16;
    return (x & UINT64_C(0x0000FFFF0000FFFF)) * UINT64_C(42949672960001) >> 32;
}

static bool are_digits(uint64_t x) {
    const uint64_t high = UINT64_C(0xF0F0F0F0F0F0F0F0), zeros = UINT64_C(0x3030303030303030);
    return (x & high) == zeros && ((x + UINT64_C(0x0606060606060606)) & high) == zeros;
}

static inline const char *scan_digits(const char *at, const char *end, uint64_t *number) {
    while (end - at >= 8 && are_digits(mr_eight_bytes(at))) {
        *number = *number * 100000000 + eight_digits(mr_eight_bytes(at));
        at += 8;
    }
    while (at < end && (unsigned char)(*at - '0') <= 9) {
        *number = *number * 10 + (uint64_t)(*at++ - '0');
    }
    return at;
}

static const char *scan_number(const char *at, const char *end, struct mr_found *found) {
    bool minus = *at == '-';
    const char *first = at + minus, *point = NULL;
    const char *limit = end - first > DIGITS_MAX + 2 ? first + DIGITS_MAX + 2 : end;
    uint64_t digits = 0;
    at = scan_digits(first, limit, &digits);
    size_t whole = (size_t)(at - first), fraction = 0;
    if (at < limit && *at == '.') {
        point = at + 1;
        at = scan_digits(point, limit, &digits);
        fraction = (size_t)(at - point);
    }
    bool exact = whole > 0 && (*first != '0' || whole == 1) &&
                 whole + fraction <= (point ? DECIMAL_MAX : DIGITS_MAX) && !(point && !fraction);
    if (!exact || at == end || *at == 'e' || *at == 'E' || at == limit) {
        return NULL;
    }
    found->kind = point ? MR_JSON_NUMBER : MR_JSON_INTEGER;
    found->number = (double)digits / powers_of_ten[fraction];
    if (minus) {
        found->number = -found->number;
    }
    if (!point) {
        found->integer = minus ? -(int64_t)digits : (int64_t)digits;
        found->number = (double)found->integer;
    }
    return at;
}

static const char *scan_word(const char *at, const char *end, struct mr_found *found) {
    static const struct {
        const char *text;
        size_t length;
        enum mr_json_kind kind;
        double number;
    } words[] = {{"null", 4, MR_JSON_NULL, 0},
                 {"true", 4, MR_JSON_BOOLEAN, 1},
                 {"false", 5, MR_JSON_BOOLEAN, 0}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if ((size_t)(end - at) > words[i].length &&
            memcmp(at, words[i].text, words[i].length) == 0) {
            found->kind = words[i].kind;
            found->number = words[i].number;
            return at + words[i].length;
        }
    }
    return NULL;
}

static const char *scan_value(const char *at, const char *end, struct mr_found *found) {
    if (at == end) {
        return NULL;
    }
    if (*at == '"') {
        found->kind = MR_JSON_STRING;
        return scan_text(at + 1, end, &found->text);
    }
    if (*at == '-' || (unsigned char)(*at - '0') <= 9) {
        return scan_number(at, end, found);
    }
    return scan_word(at, end, found);
}

/* A name, its value, and what stands after it. */
static const char *scan_member(const struct mr_names *names, const char *at, const char *end,
                               struct mr_found *found) {
    struct mr_slice name;
    struct mr_found unnamed = {.there = false};
    at = at < end && *at == '"' ? scan_text(at + 1, end, &name) : NULL;
    if (!at) {
        return NULL;
    }
    at = skip_space(at, end);
    if (at == end || *at != ':') {
        return NULL;
    }
    int16_t i = find_name(names, name);
    struct mr_found *value = i == MR_NO_NAME ? &unnamed : &found[i];
    if (value->there) {
        return NULL;
    }
    value->there = true;
    at = scan_value(skip_space(at + 1, end), end, value);
    return at ? skip_space(at, end) : NULL;
}

bool mr_scan_members(const struct mr_names *names, struct mr_slice text, struct mr_found *found) {
    const char *at = text.data, *end = text.data + text.length;
    forget(names, found);
    at = skip_space(at, end);
    if (at == end || *at != '{') {
        return false;
    }
    do {
        at = scan_member(names, skip_space(at + 1, end), end, found);
    } while (at && at < end && *at == ',');
    return at && at < end && *at == '}' && skip_space(at + 1, end) == end;
}
