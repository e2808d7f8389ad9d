/* JSON: a thin face over yyjson, which is included here and nowhere else.
 *
 * A text is copied into the parser's own memory, because yyjson then may unescape strings in place
 * and the values point into the copy. Beside the copy there is one block, the array of values:
 *
 *      text    {"dev":"a","x":[1,2]}....         copy and 4 zero bytes
 *      values  [obj 2]["dev"]["a"]["x"][arr 2][1][2]      16 bytes each, in the order of the text
 *
 * yyjson's allocator hooks hand out that block and let it grow, so a parser that has seen its
 * largest record allocates no more. A block that a giant made is given back before the next parse.
 *
 * yyjson does not recurse, but what walks its values may, so depth is bounded first: the opening
 * brackets are counted by a loop that vectorises, and only where there are more of them than levels
 * allowed does a second scan look which are inside strings. Positions in messages count bytes from
 * 0. */
#include <millrace/json.h>

#include "engine/base/base.h"

#include <assert.h>
#include <stdlib.h>
#include <yyjson.h>

#define DEPTH_MAX 32
#define PADDING   4 /* zero bytes that yyjson wants after a text it may change */
#define KEEP_MAX  ((size_t)16 << 20)

struct block {
    char *memory;
    size_t capacity;
};

struct mr_json {
    struct block text, values;
};

static void *block_need(struct block *block, size_t size) {
    if (size > block->capacity) {
        block->memory = mr_reallocate(block->memory, size);
        block->capacity = size;
    }
    return block->memory;
}

static void block_trim(struct block *block) {
    if (block->capacity > KEEP_MAX) {
        free(block->memory);
        *block = (struct block){0};
    }
}

/* yyjson asks for one block while it reads in place, and makes it longer or shorter. */
static void *values_allocate(void *block, size_t size) {
    return block_need(block, size);
}

static void *values_reallocate(void *block, void *memory, size_t old_size, size_t size) {
    assert(memory == ((struct block *)block)->memory);
    return block_need(block, size);
}

static void values_free(void *block, void *memory) {
}

struct mr_json *mr_json_create(void) {
    return mr_allocate(sizeof(struct mr_json));
}

void mr_json_destroy(struct mr_json *json) {
    if (json) {
        free(json->text.memory);
        free(json->values.memory);
        free(json);
    }
}

/* ---- Parsing ------------------------------------------------------------------------------- */

static size_t count_openings(const char *text, size_t length) {
    size_t count = 0;
    while (length > 0) {
        size_t some = length < 240 ? length : 240;
        uint8_t in_some = 0;
        for (size_t i = 0; i < some; i++) {
            in_some += (uint8_t)((text[i] | 0x20) == '{'); /* '[' | 0x20 is '{' */
        }
        count += in_some;
        text += some;
        length -= some;
    }
    return count;
}

/* The position of the bracket that opens a level too many, or `length`. */
static size_t find_too_deep(const char *text, size_t length) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '\\' && quoted) {
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '[' || c == '{')) {
            if (++depth > DEPTH_MAX) {
                return i;
            }
        } else if (!quoted && (c == ']' || c == '}')) {
            depth--;
        }
    }
    return length;
}

const struct mr_json_value *mr_json_parse(struct mr_json *json, struct mr_slice text,
                                          struct mr_error *err) {
    if (count_openings(text.data, text.length) > DEPTH_MAX) {
        size_t at = find_too_deep(text.data, text.length);
        if (at < text.length) {
            mr_error_set(err, MR_REJECT, "JSON nested more than %d deep at byte %zu", DEPTH_MAX,
                         at);
            return NULL;
        }
    }
    block_trim(&json->text);
    block_trim(&json->values);
    char *copy = block_need(&json->text, text.length + PADDING);
    if (text.length > 0) {
        memcpy(copy, text.data, text.length);
    }
    memset(copy + text.length, 0, PADDING);
    yyjson_alc memory = {values_allocate, values_reallocate, values_free, &json->values};
    yyjson_read_err fault;
    yyjson_doc *doc = yyjson_read_opts(copy, text.length, YYJSON_READ_INSITU, &memory, &fault);
    if (!doc) {
        mr_error_set(err, MR_REJECT, "not valid JSON at byte %zu: %s", fault.pos, fault.msg);
        return NULL;
    }
    return (const struct mr_json_value *)yyjson_doc_get_root(doc);
}

/* ---- Walking ------------------------------------------------------------------------------- */

/* yyjson's readers take pointers to values that they do not change. */
static yyjson_val *inner(const struct mr_json_value *value) {
    return (yyjson_val *)(uintptr_t)value;
}

static const struct mr_json_value *outer(const yyjson_val *value) {
    return (const struct mr_json_value *)value;
}

static enum mr_json_kind number_kind(const struct mr_json_value *value) {
    yyjson_subtype subtype = unsafe_yyjson_get_subtype(inner(value));
    bool whole = subtype == YYJSON_SUBTYPE_SINT ||
                 (subtype == YYJSON_SUBTYPE_UINT &&
                  unsafe_yyjson_get_uint(inner(value)) <= (uint64_t)INT64_MAX);
    return whole ? MR_JSON_INTEGER : MR_JSON_NUMBER;
}

enum mr_json_kind mr_json_kind(const struct mr_json_value *value) {
    switch (unsafe_yyjson_get_type(inner(value))) {
    case YYJSON_TYPE_BOOL:
        return MR_JSON_BOOLEAN;
    case YYJSON_TYPE_NUM:
        return number_kind(value);
    case YYJSON_TYPE_STR:
        return MR_JSON_STRING;
    case YYJSON_TYPE_ARR:
        return MR_JSON_ARRAY;
    case YYJSON_TYPE_OBJ:
        return MR_JSON_OBJECT;
    default:
        return MR_JSON_NULL;
    }
}

int64_t mr_json_integer(const struct mr_json_value *value) {
    return unsafe_yyjson_get_sint(inner(value));
}

double mr_json_number(const struct mr_json_value *value) {
    return unsafe_yyjson_get_num(inner(value));
}

bool mr_json_boolean(const struct mr_json_value *value) {
    return unsafe_yyjson_get_bool(inner(value));
}

struct mr_slice mr_json_string(const struct mr_json_value *value) {
    return (struct mr_slice){unsafe_yyjson_get_str(inner(value)),
                             unsafe_yyjson_get_len(inner(value))};
}

size_t mr_json_count(const struct mr_json_value *value) {
    return unsafe_yyjson_get_len(inner(value));
}

const struct mr_json_value *mr_json_first(const struct mr_json_value *value) {
    return outer(unsafe_yyjson_get_first(inner(value)));
}

const struct mr_json_value *mr_json_member(const struct mr_json_value *name) {
    return outer(inner(name) + 1);
}

const struct mr_json_value *mr_json_next(const struct mr_json_value *child) {
    return outer(unsafe_yyjson_get_next(inner(child)));
}

/* ---- Writing ------------------------------------------------------------------------------- */

size_t mr_json_write_number(char *out, double x) {
    char scratch[512];
    yyjson_alc memory;
    yyjson_val value = {.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, .uni.f64 = x};
    size_t length = 0;
    yyjson_alc_pool_init(&memory, scratch, sizeof scratch);
    const char *text =
        yyjson_val_write_opts(&value, YYJSON_WRITE_INF_AND_NAN_AS_NULL, &memory, &length, NULL);
    assert(text && length <= MR_JSON_NUMBER_MAX);
    memcpy(out, text, length);
    return length;
}

size_t mr_json_write_integer(char *out, int64_t x) {
    char digits[MR_JSON_NUMBER_MAX];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)x);
    memcpy(out, digits, (size_t)length);
    return (size_t)length;
}

static size_t write_escaped(char *out, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    static const char short_codes[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: byte, letter */
    for (const char *pair = short_codes; *pair; pair += 2) {
        if (c == (unsigned char)*pair) {
            out[0] = '\\';
            out[1] = pair[1];
            return 2;
        }
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

struct mr_slice mr_value_text(const struct mr_value *value, char scratch[MR_JSON_NUMBER_MAX]) {
    switch (value->kind) {
    case MR_TEXT:
        return value->text;
    case MR_INTEGER:
        return (struct mr_slice){scratch, mr_json_write_integer(scratch, value->integer)};
    case MR_NUMBER:
        if (value->number > -1e15 && value->number < 1e15 &&
            value->number == (double)(int64_t)value->number) {
            return (struct mr_slice){scratch,
                                     mr_json_write_integer(scratch, (int64_t)value->number)};
        }
        return (struct mr_slice){scratch, mr_json_write_number(scratch, value->number)};
    case MR_BOOLEAN:
        return mr_slice_of(value->number != 0 ? "true" : "false");
    default:
        return mr_slice_of("");
    }
}

/* Bytes that are not UTF-8 (a record key may be anything) become U+FFFD, so that what is written
 * is JSON always. */
size_t mr_json_write_string(char *out, struct mr_slice text) {
    bool valid = mr_valid_utf8(text);
    char *at = out;
    *at++ = '"';
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            at += write_escaped(at, c);
        } else if (c >= 0x80 && !valid) {
            memcpy(at, "\xef\xbf\xbd", 3);
            at += 3;
        } else {
            *at++ = (char)c;
        }
    }
    *at++ = '"';
    return (size_t)(at - out);
}

size_t mr_json_write_base64(char *out, struct mr_slice bytes) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = (const uint8_t *)bytes.data;
    char *at = out;
    *at++ = '"';
    for (size_t i = 0; i < bytes.length; i += 3) {
        size_t left = bytes.length - i;
        uint32_t three = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? in[i + 2] : 0);
        *at++ = letters[three >> 18];
        *at++ = letters[three >> 12 & 63];
        *at++ = left > 1 ? letters[three >> 6 & 63] : '=';
        *at++ = left > 2 ? letters[three & 63] : '=';
    }
    *at++ = '"';
    return (size_t)(at - out);
}
