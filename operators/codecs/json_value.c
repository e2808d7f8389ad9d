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
 * borrowed from the parser or the message. */
#include "operators/codecs/codecs.h"

#include <math.h>
#include <millrace/text.h>
#include <stdio.h>

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

const char *mr_describe_found(const struct mr_found *found, char out[MR_FOUND_MAX]) {
    char number[MR_JSON_NUMBER_MAX];
    struct mr_slice text;
    switch (found->kind) {
    case MR_JSON_NULL:
        return "null";
    case MR_JSON_BOOLEAN:
        return found->number != 0 ? "true" : "false";
    case MR_JSON_INTEGER:
    case MR_JSON_NUMBER:
        snprintf(out, MR_FOUND_MAX, "the number %.*s",
                 (int)mr_json_write_number(number, found->number), number);
        return out;
    case MR_JSON_STRING:
        text = found->text;
        if (mr_has_control(text)) {
            return "text with control characters";
        }
        snprintf(out, MR_FOUND_MAX, "text `%.*s`%s", mr_shown(text), text.data,
                 text.length > 64 ? "..." : "");
        return out;
    case MR_JSON_ARRAY:
        snprintf(out, MR_FOUND_MAX, "an array of %zu", mr_json_count(found->json));
        return out;
    default:
        return "an object";
    }
}

static bool wrong_type(const struct mr_field *field, const char *expected,
                       const struct mr_found *found, struct mr_error *why) {
    char text[MR_FOUND_MAX];
    mr_error_set(why, MR_REJECT, "field `%s`: expected %s, found %s", field->name, expected,
                 mr_describe_found(found, text));
    return false;
}

static void set_integer(struct mr_value *out, int64_t x) {
    *out = (struct mr_value){.kind = MR_INTEGER, .number = (double)x, .integer = x};
}

static bool read_number(const struct mr_field *field, const struct mr_found *found,
                        struct mr_value *out, struct mr_error *why) {
    out->kind = MR_NUMBER;
    if (found->kind == MR_JSON_INTEGER || found->kind == MR_JSON_NUMBER) {
        out->number = found->number;
        return true;
    }
    if (found->kind == MR_JSON_STRING && field->from_text &&
        mr_parse_number(found->text, &out->number)) {
        return true;
    }
    return wrong_type(field, field->from_text ? "a number, as such or in text" : "a number", found,
                      why);
}

static bool read_integer(const struct mr_field *field, const struct mr_found *found,
                         struct mr_value *out, struct mr_error *why) {
    int64_t x;
    if (found->kind == MR_JSON_INTEGER) {
        set_integer(out, found->integer);
        return true;
    }
    if (found->kind == MR_JSON_NUMBER) {
        double number = found->number;
        if (fabs(number) <= EXACT_MAX && number == (double)(int64_t)number) {
            set_integer(out, (int64_t)number);
            return true;
        }
    }
    if (found->kind == MR_JSON_STRING && field->from_text && mr_parse_integer(found->text, &x)) {
        set_integer(out, x);
        return true;
    }
    return wrong_type(field, "an integer", found, why);
}

static bool read_text(const struct mr_field *field, const struct mr_found *found,
                      struct mr_value *out, struct mr_error *why) {
    if (found->kind != MR_JSON_STRING) {
        return wrong_type(field, "text", found, why);
    }
    out->kind = MR_TEXT;
    out->text = found->text;
    return true;
}

static bool read_boolean(const struct mr_field *field, const struct mr_found *found,
                         struct mr_value *out, struct mr_error *why) {
    if (found->kind != MR_JSON_BOOLEAN) {
        return wrong_type(field, "true or false", found, why);
    }
    out->kind = MR_BOOLEAN;
    out->number = found->number;
    return true;
}

static bool read_scalar(const struct mr_field *field, const struct mr_found *found,
                        struct mr_value *out, struct mr_error *why) {
    switch (found->kind) {
    case MR_JSON_INTEGER:
        set_integer(out, found->integer);
        return true;
    case MR_JSON_NUMBER:
        return read_number(field, found, out, why);
    case MR_JSON_STRING:
        return read_text(field, found, out, why);
    case MR_JSON_BOOLEAN:
        return read_boolean(field, found, out, why);
    default:
        return wrong_type(field, "a number, text, true or false", found, why);
    }
}

static bool read_samples(const struct mr_field *field, const struct mr_json_value *array,
                         double *samples, struct mr_error *why) {
    size_t n = mr_json_count(array);
    const struct mr_json_value *element = mr_json_first(array);
    for (size_t i = 0; i < n; i++) {
        struct mr_found one;
        mr_found_set(&one, element);
        if (one.kind == MR_JSON_INTEGER || one.kind == MR_JSON_NUMBER) {
            samples[i] = one.number;
        } else if (one.kind == MR_JSON_NULL) {
            samples[i] = NAN;
        } else {
            char text[MR_FOUND_MAX];
            mr_error_set(why, MR_REJECT, "field `%s`: expected numbers, found %s at index %zu",
                         field->name, mr_describe_found(&one, text), i);
            return false;
        }
        element = i + 1 < n ? mr_json_next(element) : NULL;
    }
    return true;
}

static bool read_array(const struct mr_field *field, const struct mr_found *found,
                       struct mr_arena *arena, size_t *samples, struct mr_value *out,
                       struct mr_error *why) {
    if (found->kind != MR_JSON_ARRAY) {
        return wrong_type(field, "an array of numbers", found, why);
    }
    size_t n = mr_json_count(found->json);
    if (n == 0 || (*samples != 0 && n != *samples)) {
        mr_error_set(why, MR_REJECT, "field `%s`: has %zu samples, %s %zu", field->name, n,
                     n == 0 ? "must have at least" : "the array before it", n == 0 ? 1 : *samples);
        return false;
    }
    double *array = mr_arena_take(arena, n * sizeof *array);
    *samples = n;
    out->kind = MR_F64;
    out->f64 = array;
    return read_samples(field, found->json, array, why);
}

bool mr_read_value(const struct mr_field *field, const struct mr_found *found,
                   struct mr_arena *arena, size_t *samples, struct mr_value *out,
                   struct mr_error *why) {
    if (found->kind == MR_JSON_NULL) {
        out->kind = MR_ABSENT;
        return true;
    }
    switch (field->kind) {
    case MR_NUMBER:
        return read_number(field, found, out, why);
    case MR_INTEGER:
        return read_integer(field, found, out, why);
    case MR_TEXT:
        return read_text(field, found, out, why);
    case MR_BOOLEAN:
        return read_boolean(field, found, out, why);
    case MR_F32:
    case MR_F64:
        return read_array(field, found, arena, samples, out, why);
    default:
        return read_scalar(field, found, out, why);
    }
}
