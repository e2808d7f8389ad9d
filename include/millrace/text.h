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
const char *mr_format_time(int64_t ns, char out[MR_TEXT_MAX]);  /* shortest exact, with Z */
const char *mr_format_count(uint64_t n, char out[MR_TEXT_MAX]); /* "12,345,678"           */

bool mr_valid_utf8(struct mr_slice text);

#endif
