/* Times in JSON. A producer writes decimal digits, so decimal digits are what is converted:
 *
 *   1468244384.123 (s)  ->  1468244384123 * 10^-3 * 10^9 ns, in integers
 *
 * A number that has become a double is printed in its shortest form first, which gives back
 * the digits that were written when there were at most 15 of them; through the double itself the
 * result above would be 94 ns early. What lies below a nanosecond is rounded half up. Units are
 * never guessed from the size of a number. */
#include "operators/codecs/codecs.h"

#include <millrace/text.h>

#define DIGITS_MAX 19 /* kept of the mantissa, which then fits 64 bits */

static const char *const out_of_range = "is negative or beyond the year 2262";

static const struct unit {
    int64_t per_second;
    int64_t ns;
    int power; /* ns is ten to this */
} units[] = {
    [MR_UNIT_S] = {1, 1000000000, 9},  [MR_UNIT_MS] = {1000, 1000000, 6},
    [MR_UNIT_US] = {1000000, 1000, 3}, [MR_UNIT_NS] = {1000000000, 1, 0},
    [MR_UNIT_ISO8601] = {0, 0, 0},
};

int64_t mr_units_per_second(enum mr_time_unit unit) {
    return units[unit].per_second;
}

/* The digits of a number as mantissa * 10^exponent. */
struct decimal {
    uint64_t mantissa;
    int exponent, kept;
    bool any;
};

static const char *take_digits(const char *at, const char *end, bool fraction,
                               struct decimal *number) {
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        number->any = true;
        if (number->kept < DIGITS_MAX) {
            number->mantissa = number->mantissa * 10 + (uint64_t)(*at - '0');
            number->kept += number->mantissa > 0;
            number->exponent -= fraction;
        } else {
            number->exponent += !fraction;
        }
    }
    return at;
}

static const char *take_exponent(const char *at, const char *end, struct decimal *number) {
    bool minus = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    int exponent = 0;
    number->any = false;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        number->any = true;
        exponent = exponent < 10000 ? exponent * 10 + (*at - '0') : exponent;
    }
    number->exponent += minus ? -exponent : exponent;
    return at;
}

static bool scale(const struct decimal *number, int power, int64_t *ns) {
    uint64_t x = number->mantissa;
    int shift = number->exponent + power;
    for (; shift > 0 && x > 0; shift--) {
        if (__builtin_mul_overflow(x, (uint64_t)10, &x)) {
            return false;
        }
    }
    for (; shift < -1 && x > 0; shift++) {
        x /= 10;
    }
    if (shift < 0) {
        x = (x + 5) / 10;
    }
    *ns = (int64_t)x;
    return x <= INT64_MAX;
}

static const char *read_decimal(struct mr_slice text, enum mr_time_unit unit, int64_t *ns) {
    const char *at = text.data, *end = text.data + text.length;
    struct decimal number = {0};
    bool minus = at < end && *at == '-';
    at = take_digits(at + minus, end, false, &number);
    if (number.any && at < end && *at == '.') {
        number.any = false;
        at = take_digits(at + 1, end, true, &number);
    }
    if (number.any && at < end && (*at == 'e' || *at == 'E')) {
        at = take_exponent(at + 1, end, &number);
    }
    if (!number.any || at != end) {
        return "is not a number";
    }
    if (!scale(&number, units[unit].power, ns) || (minus && *ns > 0)) {
        return out_of_range;
    }
    return NULL;
}

static const char *read_text(struct mr_slice text, enum mr_time_unit unit, int64_t *ns) {
    if (unit != MR_UNIT_ISO8601) {
        return read_decimal(text, unit, ns);
    }
    if (!mr_parse_time(text, ns)) {
        return "is not an ISO 8601 time with a zone, such as 2026-11-21T03:10:00Z";
    }
    return *ns < 0 ? out_of_range : NULL;
}

static const char *read_integer(int64_t x, enum mr_time_unit unit, int64_t *ns) {
    return x < 0 || __builtin_mul_overflow(x, units[unit].ns, ns) ? out_of_range : NULL;
}

const char *mr_read_time(const struct mr_found *found, enum mr_time_unit unit, int64_t *ns) {
    if (found->kind == MR_JSON_STRING) {
        return read_text(found->text, unit, ns);
    }
    if (unit == MR_UNIT_ISO8601) {
        return "is not text, as an ISO 8601 time is";
    }
    if (found->kind == MR_JSON_INTEGER) {
        return read_integer(found->integer, unit, ns);
    }
    if (found->kind == MR_JSON_NUMBER) {
        char digits[MR_JSON_NUMBER_MAX];
        size_t length = mr_json_write_number(digits, found->number);
        return read_decimal((struct mr_slice){digits, length}, unit, ns);
    }
    return "is neither a number nor text";
}
