/* A small face over yyjson: parse once, walk. Strict RFC 8259 (no NaN, no comments, no trailing
 * commas, valid UTF-8); at most 32 levels deep. */
#ifndef MILLRACE_JSON_H
#define MILLRACE_JSON_H

#include <millrace/record.h>
#include <millrace/status.h>

struct mr_json;       /* a parser and its memory, reused from text to text; one thread */
struct mr_json_value; /* valid until the next parse                                    */

enum mr_json_kind {
    MR_JSON_NULL,
    MR_JSON_BOOLEAN,
    MR_JSON_INTEGER,
    MR_JSON_NUMBER,
    MR_JSON_STRING,
    MR_JSON_ARRAY,
    MR_JSON_OBJECT,
};

struct mr_json *mr_json_create(void);
void mr_json_destroy(struct mr_json *json);

/* NULL and a reason with the byte's position on bad text. */
const struct mr_json_value *mr_json_parse(struct mr_json *json, struct mr_slice text,
                                          struct mr_error *err);

enum mr_json_kind mr_json_kind(const struct mr_json_value *value);
/* INTEGER: fits int64. NUMBER: any other finite number. */
int64_t mr_json_integer(const struct mr_json_value *value);
double mr_json_number(const struct mr_json_value *value); /* of INTEGER too */
bool mr_json_boolean(const struct mr_json_value *value);
struct mr_slice mr_json_string(const struct mr_json_value *value);

/* Walks an array or object: count, then first child, then next count - 1 times. In an object the
 * children are the names, each followed by its value: mr_json_member gives the value of a name. */
size_t mr_json_count(const struct mr_json_value *value);
const struct mr_json_value *mr_json_first(const struct mr_json_value *value);
const struct mr_json_value *mr_json_member(const struct mr_json_value *name);
const struct mr_json_value *mr_json_next(const struct mr_json_value *child); /* after a value */

/* Writing. Each returns the number of bytes written (no terminating 0). */
#define MR_JSON_NUMBER_MAX 32
size_t mr_json_write_number(char *out, double x); /* shortest round trip, with '.' or exponent;
                                                     NaN and infinities: null                    */
size_t mr_json_write_integer(char *out, int64_t x);
/* A scalar as text, as group_by writes it: a whole number reads like one (7, not 7.0); "" when
 * there is none. In scratch, or where the value's own text lies. */
struct mr_slice mr_value_text(const struct mr_value *value, char scratch[MR_JSON_NUMBER_MAX]);
/* Quoted and escaped; out has room for 6 * length + 2. */
size_t mr_json_write_string(char *out, struct mr_slice text);
/* Quoted; out has room for 4 * (length + 2) / 3 + 2. */
size_t mr_json_write_base64(char *out, struct mr_slice bytes);

#endif
