/* A row, and the members that are wanted of it. The row may have more members; inside a member
 * everything counts. Whole numbers are compared as such, others by the bits of their doubles, so
 * -0.0 is not 0.0: the engine's results are the same on every machine, and nothing is tolerated. */
#include "engine/cli/case.h"

#define SHOWN 60 /* bytes of a value in a sentence */

static const struct mr_json_value *member(const struct mr_json_value *object,
                                          struct mr_slice name) {
    const struct mr_json_value *at = mr_json_first(object);
    for (size_t left = mr_json_count(object); left > 0; left--) {
        const struct mr_json_value *value = mr_json_member(at);
        if (mr_slice_equal(mr_json_string(at), name)) {
            return value;
        }
        at = left > 1 ? mr_json_next(value) : NULL;
    }
    return NULL;
}

static bool is_number(enum mr_json_kind kind) {
    return kind == MR_JSON_INTEGER || kind == MR_JSON_NUMBER;
}

static bool equal(const struct mr_json_value *a, const struct mr_json_value *b);

static bool equal_lists(const struct mr_json_value *a, const struct mr_json_value *b) {
    size_t left = mr_json_count(a);
    if (mr_json_count(b) != left) {
        return false;
    }
    for (a = mr_json_first(a), b = mr_json_first(b); left > 0; left--) {
        if (!equal(a, b)) {
            return false;
        }
        if (left > 1) {
            a = mr_json_next(a);
            b = mr_json_next(b);
        }
    }
    return true;
}

static bool equal_objects(const struct mr_json_value *a, const struct mr_json_value *b) {
    size_t left = mr_json_count(a);
    if (mr_json_count(b) != left) {
        return false;
    }
    for (const struct mr_json_value *name = mr_json_first(a); left > 0; left--) {
        const struct mr_json_value *value = mr_json_member(name);
        const struct mr_json_value *other = member(b, mr_json_string(name));
        if (!other || !equal(value, other)) {
            return false;
        }
        name = left > 1 ? mr_json_next(value) : NULL;
    }
    return true;
}

/* At most 32 levels deep: the JSON parser refuses more. */
static bool equal(const struct mr_json_value *a, const struct mr_json_value *b) {
    enum mr_json_kind kind = mr_json_kind(a), other = mr_json_kind(b);
    if (kind == MR_JSON_INTEGER && other == MR_JSON_INTEGER) {
        return mr_json_integer(a) == mr_json_integer(b);
    }
    if (kind == MR_JSON_NUMBER && other == MR_JSON_NUMBER) {
        double x = mr_json_number(a), y = mr_json_number(b);
        return memcmp(&x, &y, sizeof(x)) == 0;
    }
    if (is_number(kind) && is_number(other)) {
        return mr_json_number(a) == mr_json_number(b);
    }
    if (kind != other) {
        return false;
    }
    switch (kind) {
    case MR_JSON_BOOLEAN:
        return mr_json_boolean(a) == mr_json_boolean(b);
    case MR_JSON_STRING:
        return mr_slice_equal(mr_json_string(a), mr_json_string(b));
    case MR_JSON_ARRAY:
        return equal_lists(a, b);
    case MR_JSON_OBJECT:
        return equal_objects(a, b);
    default:
        return true;
    }
}

static void put_value(struct mr_buffer *out, const struct mr_json_value *value) {
    char number[MR_JSON_NUMBER_MAX];
    struct mr_slice text;
    if (!value) {
        mr_buffer_text(out, "nothing");
        return;
    }
    switch (mr_json_kind(value)) {
    case MR_JSON_NULL:
        mr_buffer_text(out, "null");
        break;
    case MR_JSON_BOOLEAN:
        mr_buffer_text(out, mr_json_boolean(value) ? "true" : "false");
        break;
    case MR_JSON_INTEGER:
        mr_buffer_add(out, number, mr_json_write_integer(number, mr_json_integer(value)));
        break;
    case MR_JSON_NUMBER:
        mr_buffer_add(out, number, mr_json_write_number(number, mr_json_number(value)));
        break;
    case MR_JSON_STRING:
        text = mr_json_string(value);
        mr_buffer_format(out, "\"%.*s%s\"", (int)(text.length < SHOWN ? text.length : SHOWN),
                         text.data, text.length > SHOWN ? "..." : "");
        break;
    case MR_JSON_ARRAY:
        mr_buffer_format(out, "a list of %zu", mr_json_count(value));
        break;
    case MR_JSON_OBJECT:
        mr_buffer_format(out, "an object of %zu", mr_json_count(value));
        break;
    }
}

static bool diff_objects(const struct mr_json_value *wanted, const struct mr_json_value *got,
                         struct mr_buffer *out) {
    const struct mr_json_value *name = mr_json_first(wanted);
    bool same = true;
    for (size_t left = mr_json_count(wanted); left > 0; left--) {
        const struct mr_json_value *value = mr_json_member(name);
        struct mr_slice text = mr_json_string(name);
        const struct mr_json_value *other = member(got, text);
        if (!other || !equal(value, other)) {
            mr_buffer_format(out, "    %-16.*s wanted ", (int)text.length, text.data);
            put_value(out, value);
            mr_buffer_text(out, ", got ");
            put_value(out, other);
            mr_buffer_text(out, "\n");
            same = false;
        }
        name = left > 1 ? mr_json_next(value) : NULL;
    }
    return same;
}

bool mr_case_diff(struct mr_slice wanted, struct mr_slice got, struct mr_buffer *out) {
    struct mr_json *left = mr_json_create(), *right = mr_json_create();
    const struct mr_json_value *a = mr_json_parse(left, wanted, NULL);
    const struct mr_json_value *b = mr_json_parse(right, got, NULL);
    bool same = false;
    if (!a || !b || mr_json_kind(a) != MR_JSON_OBJECT || mr_json_kind(b) != MR_JSON_OBJECT) {
        mr_buffer_text(out, "    it is no JSON object\n");
    } else {
        same = diff_objects(a, b, out);
    }
    mr_json_destroy(left);
    mr_json_destroy(right);
    return same;
}
