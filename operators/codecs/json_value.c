/* One field of a JSON record, as the job declared it.
 *
 *   declared         accepted                              becomes
 *   number           a number                              MR_NUMBER
 *   integer          a number without a fraction           MR_INTEGER, exact
 *   text, boolean    the same                              MR_TEXT, MR_BOOLEAN
 *   "number[]"       an array of numbers; null is a gap    MR_F64, NaN in the gap
 *   nothing          any scalar                            what it is
 *   {from: text}     a number, or text that is one         as the first two
 *
 * Anything else rejects the record: a job that reads 21.5 must not quietly skip "21.5". A text is
 * borrowed from the parser and lives until its next parse. */
#include "operators/codecs/codecs.h"

#include <math.h>
#include <millrace/text.h>
#include <stdio.h>

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

const char *mr_describe_json(const struct mr_json_value *json, char out[MR_FOUND_MAX]) {
    char number[MR_JSON_NUMBER_MAX];
    struct mr_slice text;
    switch (mr_json_kind(json)) {
    case MR_JSON_NULL:
        return "null";
    case MR_JSON_BOOLEAN:
        return mr_json_boolean(json) ? "true" : "false";
    case MR_JSON_INTEGER:
    case MR_JSON_NUMBER:
        snprintf(out, MR_FOUND_MAX, "the number %.*s",
                 (int)mr_json_write_number(number, mr_json_number(json)), number);
        return out;
    case MR_JSON_STRING:
        text = mr_json_string(json);
        if (mr_has_control(text)) {
            return "text with control characters";
        }
        snprintf(out, MR_FOUND_MAX, "text `%.*s`%s", mr_shown(text), text.data,
                 text.length > 64 ? "..." : "");
        return out;
    case MR_JSON_ARRAY:
        snprintf(out, MR_FOUND_MAX, "an array of %zu", mr_json_count(json));
        return out;
    default:
        return "an object";
    }
}

static bool wrong_type(const struct mr_field *field, const char *expected,
                       const struct mr_json_value *json, struct mr_error *why) {
    char found[MR_FOUND_MAX];
    mr_error_set(why, MR_REJECT, "field `%s`: expected %s, found %s", field->name, expected,
                 mr_describe_json(json, found));
    return false;
}

static void set_integer(struct mr_value *out, int64_t x) {
    *out = (struct mr_value){.kind = MR_INTEGER, .number = (double)x, .integer = x};
}

static bool read_number(const struct mr_field *field, const struct mr_json_value *json,
                        struct mr_value *out, struct mr_error *why) {
    enum mr_json_kind kind = mr_json_kind(json);
    out->kind = MR_NUMBER;
    if (kind == MR_JSON_INTEGER || kind == MR_JSON_NUMBER) {
        out->number = mr_json_number(json);
        return true;
    }
    if (kind == MR_JSON_STRING && field->from_text &&
        mr_parse_number(mr_json_string(json), &out->number)) {
        return true;
    }
    return wrong_type(field, field->from_text ? "a number, as such or in text" : "a number", json,
                      why);
}

static bool read_integer(const struct mr_field *field, const struct mr_json_value *json,
                         struct mr_value *out, struct mr_error *why) {
    enum mr_json_kind kind = mr_json_kind(json);
    int64_t x;
    if (kind == MR_JSON_INTEGER) {
        set_integer(out, mr_json_integer(json));
        return true;
    }
    if (kind == MR_JSON_NUMBER) {
        double number = mr_json_number(json);
        if (fabs(number) <= EXACT_MAX && number == (double)(int64_t)number) {
            set_integer(out, (int64_t)number);
            return true;
        }
    }
    if (kind == MR_JSON_STRING && field->from_text && mr_parse_integer(mr_json_string(json), &x)) {
        set_integer(out, x);
        return true;
    }
    return wrong_type(field, "an integer", json, why);
}

static bool read_text(const struct mr_field *field, const struct mr_json_value *json,
                      struct mr_value *out, struct mr_error *why) {
    if (mr_json_kind(json) != MR_JSON_STRING) {
        return wrong_type(field, "text", json, why);
    }
    out->kind = MR_TEXT;
    out->text = mr_json_string(json);
    return true;
}

static bool read_boolean(const struct mr_field *field, const struct mr_json_value *json,
                         struct mr_value *out, struct mr_error *why) {
    if (mr_json_kind(json) != MR_JSON_BOOLEAN) {
        return wrong_type(field, "true or false", json, why);
    }
    out->kind = MR_BOOLEAN;
    out->number = mr_json_boolean(json);
    return true;
}

static bool read_scalar(const struct mr_field *field, const struct mr_json_value *json,
                        struct mr_value *out, struct mr_error *why) {
    switch (mr_json_kind(json)) {
    case MR_JSON_INTEGER:
        set_integer(out, mr_json_integer(json));
        return true;
    case MR_JSON_NUMBER:
        return read_number(field, json, out, why);
    case MR_JSON_STRING:
        return read_text(field, json, out, why);
    case MR_JSON_BOOLEAN:
        return read_boolean(field, json, out, why);
    default:
        return wrong_type(field, "a number, text, true or false", json, why);
    }
}

static bool read_samples(const struct mr_field *field, const struct mr_json_value *json,
                         double *samples, struct mr_error *why) {
    size_t n = mr_json_count(json);
    const struct mr_json_value *element = mr_json_first(json);
    for (size_t i = 0; i < n; i++) {
        enum mr_json_kind kind = mr_json_kind(element);
        if (kind == MR_JSON_INTEGER || kind == MR_JSON_NUMBER) {
            samples[i] = mr_json_number(element);
        } else if (kind == MR_JSON_NULL) {
            samples[i] = NAN;
        } else {
            char found[MR_FOUND_MAX];
            mr_error_set(why, MR_REJECT, "field `%s`: expected numbers, found %s at index %zu",
                         field->name, mr_describe_json(element, found), i);
            return false;
        }
        element = i + 1 < n ? mr_json_next(element) : NULL;
    }
    return true;
}

static bool read_array(const struct mr_field *field, const struct mr_json_value *json,
                       struct mr_arena *arena, size_t *samples, struct mr_value *out,
                       struct mr_error *why) {
    if (mr_json_kind(json) != MR_JSON_ARRAY) {
        return wrong_type(field, "an array of numbers", json, why);
    }
    size_t n = mr_json_count(json);
    if (n == 0 || (*samples != 0 && n != *samples)) {
        mr_error_set(why, MR_REJECT, "field `%s`: has %zu samples, %s %zu", field->name, n,
                     n == 0 ? "must have at least" : "the array before it", n == 0 ? 1 : *samples);
        return false;
    }
    double *array = mr_arena_take(arena, n * sizeof *array);
    *samples = n;
    out->kind = MR_F64;
    out->f64 = array;
    return read_samples(field, json, array, why);
}

bool mr_read_value(const struct mr_field *field, const struct mr_json_value *json,
                   struct mr_arena *arena, size_t *samples, struct mr_value *out,
                   struct mr_error *why) {
    if (!json || mr_json_kind(json) == MR_JSON_NULL) {
        out->kind = MR_ABSENT;
        return true;
    }
    switch (field->kind) {
    case MR_NUMBER:
        return read_number(field, json, out, why);
    case MR_INTEGER:
        return read_integer(field, json, out, why);
    case MR_TEXT:
        return read_text(field, json, out, why);
    case MR_BOOLEAN:
        return read_boolean(field, json, out, why);
    case MR_F32:
    case MR_F64:
        return read_array(field, json, arena, samples, out, why);
    default:
        return read_scalar(field, json, out, why);
    }
}
