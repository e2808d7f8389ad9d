/* A small face over the house's text: what a codec reads and prints besides its own format. */
#ifndef MILLRACE_TEXT_H
#define MILLRACE_TEXT_H

#include <millrace/record.h>

/* ISO 8601 with a zone: 2026-11-21T03:10:00Z, ...:00.123456789+01:00; a space for T will do. */
bool mr_parse_time(struct mr_slice text, int64_t *ns);
/* A whole finite number, nothing after it. */
bool mr_parse_number(struct mr_slice text, double *x);
bool mr_parse_integer(struct mr_slice text, int64_t *x);

#define MR_TEXT_MAX 48
const char *mr_format_time(int64_t ns, char out[MR_TEXT_MAX]);     /* shortest exact, with Z */
const char *mr_format_duration(int64_t ns, char out[MR_TEXT_MAX]); /* "1m", "1m30s", "250ms" */
const char *mr_format_count(uint64_t n, char out[MR_TEXT_MAX]);    /* "12,345,678"           */

bool mr_valid_utf8(struct mr_slice text);

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

#endif
