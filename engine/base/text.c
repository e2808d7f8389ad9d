/* Text that people write and read: durations, sizes, rates, times, counts, names.
 *
 * Nothing is guessed: a quantity needs its unit, a time its zone, and a value that the stored unit
 * cannot hold exactly (1.5ns) is refused rather than rounded. So quantities are read as decimal
 * integers, mantissa / 10^decimals, never through a double. */
#include "engine/base/base.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 wide;

struct unit {
    const char *name;
    uint64_t size;
};

static const struct unit durations[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", UINT64_C(1000000000)},
    {"m", 60 * UINT64_C(1000000000)},
    {"h", 3600 * UINT64_C(1000000000)},
    {"d", 86400 * UINT64_C(1000000000)},
    {NULL, 0},
};

static const struct unit sizes[] = {
    {"B", 1},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {NULL, 0},
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t count_digits(struct mr_slice text, size_t from) {
    size_t at = from;
    while (at < text.length && is_digit(text.data[at])) {
        at++;
    }
    return at - from;
}

/* ---- Numbers ------------------------------------------------------------------------------- */

/* The length of the number that `text` begins with: -12, 0.5, 1e-3; 0: there is none. */
static size_t number_length(struct mr_slice text) {
    size_t at = text.length > 0 && text.data[0] == '-' ? 1 : 0;
    size_t digits = count_digits(text, at);
    if (digits == 0) {
        return 0;
    }
    at += digits;
    if (at < text.length && text.data[at] == '.') {
        digits = count_digits(text, at + 1);
        if (digits == 0) {
            return 0;
        }
        at += 1 + digits;
    }
    if (at < text.length && (text.data[at] == 'e' || text.data[at] == 'E')) {
        size_t sign =
            at + 1 < text.length && (text.data[at + 1] == '-' || text.data[at + 1] == '+');
        digits = count_digits(text, at + 1 + sign);
        at += digits > 0 ? 1 + sign + digits : 0;
    }
    return at;
}

/* Reads text * 10^tens, rounded once. */
static bool parse_scaled(struct mr_slice text, int tens, double *x) {
    char copy[512]; /* ends with a 0, which a slice does not */
    if (text.length == 0 || text.length > sizeof copy - 8 || number_length(text) != text.length) {
        return false;
    }
    bool has_exponent = memchr(text.data, 'e', text.length) || memchr(text.data, 'E', text.length);
    if (tens != 0 && has_exponent) {
        return false;
    }
    memcpy(copy, text.data, text.length);
    copy[text.length] = 0;
    if (tens != 0) {
        snprintf(copy + text.length, 8, "e%d", tens);
    }
    *x = strtod(copy, NULL);
    return isfinite(*x);
}

bool mr_parse_number(struct mr_slice text, double *x) {
    return parse_scaled(text, 0, x);
}

bool mr_parse_integer(struct mr_slice text, int64_t *x) {
    bool negative = text.length > 0 && text.data[0] == '-';
    size_t at = negative ? 1 : 0;
    if (at == text.length || at + count_digits(text, at) != text.length) {
        return false;
    }
    int64_t value = 0;
    for (; at < text.length; at++) {
        int digit = text.data[at] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value)) {
            return false;
        }
    }
    *x = value;
    return true;
}

/* ---- Quantities ---------------------------------------------------------------------------- */

#define MANTISSA_DIGITS 18 /* times the largest unit it stays far below 128 bits */

static const struct unit *find_unit(struct mr_slice name, const struct unit *units) {
    for (; units->name; units++) {
        if (mr_slice_equal(name, mr_slice_of(units->name))) {
            return units;
        }
    }
    return NULL;
}

static bool parse_quantity(struct mr_slice text, const struct unit *units, int64_t *out) {
    uint64_t mantissa = 0, divisor = 1;
    size_t at = 0, digits = 0;
    bool point = false;
    for (; at < text.length; at++) {
        char c = text.data[at];
        if (c == '.' && !point && at > 0) {
            point = true;
            continue;
        }
        if (!is_digit(c)) {
            break;
        }
        if (++digits > MANTISSA_DIGITS) {
            return false;
        }
        mantissa = mantissa * 10 + (uint64_t)(c - '0');
        divisor *= point ? 10 : 1;
    }
    const struct unit *unit = find_unit((struct mr_slice){text.data + at, text.length - at}, units);
    if (digits == 0 || (point && divisor == 1) || !unit) {
        return false;
    }
    wide product = (wide)mantissa * unit->size;
    if (product % divisor != 0 || product / divisor > INT64_MAX) {
        return false;
    }
    *out = (int64_t)(product / divisor);
    return true;
}

bool mr_parse_duration(struct mr_slice text, int64_t *ns) {
    return parse_quantity(text, durations, ns);
}

bool mr_parse_size(struct mr_slice text, int64_t *bytes) {
    return parse_quantity(text, sizes, bytes);
}

bool mr_parse_rate(struct mr_slice text, double *hz) {
    static const char *const names[] = {"Hz", "kHz", "MHz"};
    size_t number = number_length(text);
    if (number == 0) {
        return false;
    }
    struct mr_slice name = {text.data + number, text.length - number};
    for (int i = 0; i < 3; i++) {
        if (mr_slice_equal(name, mr_slice_of(names[i]))) {
            return parse_scaled((struct mr_slice){text.data, number}, 3 * i, hz) && *hz > 0;
        }
    }
    return false;
}

const char *mr_format_duration(int64_t ns, char out[MR_TEXT_MAX]) {
    uint64_t rest = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    int at = snprintf(out, MR_TEXT_MAX, "%s", ns < 0 ? "-" : "");
    for (int i = 6; i >= 4; i--) { /* d h m */
        uint64_t whole = rest / durations[i].size;
        rest %= durations[i].size;
        if (whole > 0) {
            at += snprintf(out + at, (size_t)(MR_TEXT_MAX - at), "%llu%s",
                           (unsigned long long)whole, durations[i].name);
        }
    }
    if (rest == 0 && ns != 0) {
        return out;
    }
    int unit = 3; /* seconds, or the largest smaller unit that has a whole part */
    while (unit > 0 && rest < durations[unit].size && rest > 0) {
        unit--;
    }
    at += snprintf(out + at, (size_t)(MR_TEXT_MAX - at), "%llu",
                   (unsigned long long)(rest / durations[unit].size));
    uint64_t part = rest % durations[unit].size;
    if (part > 0) {
        int length = snprintf(out + at, (size_t)(MR_TEXT_MAX - at), ".%0*llu", 3 * unit,
                              (unsigned long long)part);
        at += length;
        while (out[at - 1] == '0') {
            at--;
        }
    }
    snprintf(out + at, (size_t)(MR_TEXT_MAX - at), "%s", durations[unit].name);
    return out;
}

const char *mr_format_size(int64_t bytes, char out[MR_TEXT_MAX]) {
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double amount = (double)bytes;
    int unit = 0;
    while (fabs(amount) >= 1024 && unit < 6) {
        amount /= 1024;
        unit++;
    }
    snprintf(out, MR_TEXT_MAX, "%.4g %s", amount, names[unit]);
    return out;
}

const char *mr_format_count(uint64_t n, char out[MR_TEXT_MAX]) {
    char digits[MR_TEXT_MAX];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

/* ---- Bytes and names ----------------------------------------------------------------------- */

/* The length of the valid sequence that begins at `at`, not ASCII; 0: it is not valid. */
static size_t utf8_sequence(const uint8_t *at, size_t left) {
    size_t length = *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    if (*at < 0xc2 || *at > 0xf4 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xf0 && at[1] < 0x90);
    bool surrogate = *at == 0xed && at[1] > 0x9f;
    bool beyond = *at == 0xf4 && at[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : length;
}

bool mr_valid_utf8(struct mr_slice text) {
    const uint8_t *at = (const uint8_t *)text.data;
    size_t left = text.length;
    while (left > 0) {
        uint64_t eight;
        if (left >= 8 && (memcpy(&eight, at, 8), (eight & UINT64_C(0x8080808080808080)) == 0)) {
            at += 8;
            left -= 8;
            continue;
        }
        size_t length = *at < 0x80 ? 1 : utf8_sequence(at, left);
        if (length == 0) {
            return false;
        }
        at += length;
        left -= length;
    }
    return true;
}

#define WORD_MAX 64

static bool same_letter(char a, char b) {
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b. */
static int count_edits(const char *a, const char *b) {
    int rows[3][WORD_MAX + 1];
    int width = (int)strlen(b);
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= width; j++) {
        above[j] = before[j] = j;
    }
    for (int i = 1; a[i - 1]; i++) {
        row[0] = i;
        for (int j = 1; j <= width; j++) {
            row[j] = above[j - 1] + (same_letter(a[i - 1], b[j - 1]) ? 0 : 1);
            row[j] = least(row[j], 1 + least(above[j], row[j - 1]));
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                same_letter(a[i - 2], b[j - 1])) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
        int *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[width];
}

const char *mr_nearest(const char *word, const char *const *names) {
    size_t length = strlen(word);
    if (length == 0 || length > WORD_MAX) {
        return NULL;
    }
    int fewest = least((int)length / 3, 3) + 1;
    const char *nearest = NULL;
    for (; *names; names++) {
        int edits = strlen(*names) <= WORD_MAX ? count_edits(word, *names) : fewest;
        if (edits < fewest) {
            fewest = edits;
            nearest = *names;
        }
    }
    return nearest;
}
