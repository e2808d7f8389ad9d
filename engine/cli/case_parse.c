/* A case file: the story of a job, line by line, in the order in which it happens.
 *
 *   # A minute closes 5 s after its end.
 *   job power-minute.yaml
 *   at 00:00:01 in s1 {"ts":"2026-01-01T00:00:01Z","value":3.5}
 *   at 00:01:06
 *   expect power-minute {"samples":1,"closed":true}
 *
 *   file    = { [ line ] newline }
 *   line    = "#" text
 *           | "start" ISO-time           first lines only; default 2026-01-01T00:00:00Z
 *           | "partitions" N             first lines only; of the input topic; default 1
 *           | "tables" N                 first lines only; partitions of the topics of tables;
 *                                        default as the input
 *           | "at" time [ action ] | action
 *   action  = "job" FILE                 the first action of a case; later: another version of it
 *           | "in" where KEY VALUE       the value is the rest of the line
 *           | "bytes" where KEY { HH }   bytes in hexadecimal
 *           | "table" NAME where KEY VALUE    an entry of a table of `join`; "tombstone": none
 *           | "frame" where DEVICE {...} a waveform frame, see case_frame.c
 *           | "crash" | "close" | "reset"
 *           | "expect" TOPIC {...} | "expect" TOPIC "nothing"
 *           | "expect" "dead-letters" "text" | "expect" "dead-letters" "nothing"
 *           | "expect" "counts" {...} | "expect" "stopped" "text"
 *   where   = [ "partition" N ]          default: by the key
 *   KEY     = a word; "-": no key
 *   time    = HH:MM:SS[.fraction]        since the start; never back
 *
 * A line without `at` happens at the time of the line before. Behind anything but the value of
 * `in`, a comment may follow. Everything is bounded, because the text may be anyone's. */
#include "engine/cli/case.h"

#include <stdarg.h>
#include <stdlib.h>

#define DEFAULT_START "2026-01-01T00:00:00Z"
#define DEAD_LETTERS  "dead-letters"

struct parse {
    const char *name;
    int line;
    struct mr_slice rest; /* of the line */
    struct mr_case *c;
    struct mr_json *json;
    int64_t now_ns; /* since the start */
    size_t capacity, frame_bytes;
    uint64_t frames;
    struct mr_error *err;
};

static enum mr_status refuse(const struct parse *parse, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum mr_status refuse(const struct parse *parse, const char *format, ...) {
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return mr_error_set(parse->err, MR_REJECT, "%s:%d: %s", parse->name, parse->line, text);
}

/* ---- Words ---------------------------------------------------------------------------------- */

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t';
}

static void skip_blanks(struct parse *parse) {
    while (parse->rest.length > 0 && is_blank(*parse->rest.data)) {
        parse->rest.data++;
        parse->rest.length--;
    }
}

static struct mr_slice take(struct parse *parse, size_t length) {
    struct mr_slice taken = {parse->rest.data, length};
    parse->rest.data += length;
    parse->rest.length -= length;
    return taken;
}

/* Empty at the end of the line, and where a comment begins. */
static struct mr_slice take_word(struct parse *parse) {
    skip_blanks(parse);
    size_t length = 0;
    while (length < parse->rest.length && !is_blank(parse->rest.data[length])) {
        length++;
    }
    if (length > 0 && *parse->rest.data == '#') {
        length = 0;
    }
    return take(parse, length);
}

static bool is_word(struct mr_slice word, const char *text) {
    return mr_slice_equal(word, mr_slice_of(text));
}

/* For a sentence: at most 40 bytes of it. */
static int shown(struct mr_slice word) {
    return word.length < 40 ? (int)word.length : 40;
}

static enum mr_status take_end(struct parse *parse) {
    skip_blanks(parse);
    if (parse->rest.length == 0 || *parse->rest.data == '#') {
        return MR_OK;
    }
    return refuse(parse, "`%.*s` is too much here", shown(parse->rest), parse->rest.data);
}

static enum mr_status take_json(struct parse *parse, enum mr_json_kind kind, struct mr_slice *text,
                                const struct mr_json_value **value) {
    const char *what = kind == MR_JSON_OBJECT ? "an object {...}" : "a text in double quotes";
    skip_blanks(parse);
    *text = take(parse, mr_case_json_length(parse->rest));
    struct mr_error why = {""};
    *value = text->length > 0 ? mr_json_parse(parse->json, *text, &why) : NULL;
    if (!*value && text->length > 0) {
        return refuse(parse, "expected %s: %.300s", what, why.text);
    }
    if (!*value || mr_json_kind(*value) != kind) {
        return refuse(parse, "expected %s, not `%.*s`", what, shown(*text), text->data);
    }
    return take_end(parse);
}

static struct mr_slice keep(struct parse *parse, struct mr_slice text) {
    char *copy = mr_arena_take(parse->c->memory, text.length + 1);
    if (text.length > 0) {
        memcpy(copy, text.data, text.length);
    }
    return (struct mr_slice){copy, text.length};
}

/* ---- Times ---------------------------------------------------------------------------------- */

static enum mr_status take_at(struct parse *parse) {
    struct mr_slice word = take_word(parse);
    int64_t at_ns;
    if (!mr_case_parse_time(word, &at_ns)) {
        return refuse(parse,
                      "expected a time since the start, HH:MM:SS or HH:MM:SS.fraction, "
                      "not `%.*s`",
                      shown(word), word.data);
    }
    if (at_ns < parse->now_ns) {
        return refuse(parse, "%.*s is before the line above: time does not go back", shown(word),
                      word.data);
    }
    parse->now_ns = at_ns;
    return MR_OK;
}

/* ---- Actions -------------------------------------------------------------------------------- */

static enum mr_status add(struct parse *parse, struct mr_case_step step) {
    struct mr_case *c = parse->c;
    if (c->count == 0 && step.kind != MR_CASE_JOB) {
        return refuse(parse, "a case begins with its job: `job FILE`");
    }
    if (c->count == MR_CASE_STEPS_MAX) {
        return refuse(parse, "a case has at most %d lines that do something", MR_CASE_STEPS_MAX);
    }
    if (c->count == parse->capacity) {
        parse->capacity = parse->capacity ? 2 * parse->capacity : 64;
        c->steps = mr_reallocate(c->steps, parse->capacity * sizeof(*c->steps));
    }
    step.line = parse->line;
    step.at_ns = mr_time_add(c->start_ns, parse->now_ns);
    c->steps[c->count++] = step;
    return MR_OK;
}

static enum mr_status take_start(struct parse *parse) {
    struct mr_slice word = take_word(parse);
    if (parse->c->count > 1 || parse->now_ns > 0) {
        return refuse(parse, "`start` stands before everything that happens");
    }
    if (!mr_parse_time(word, &parse->c->start_ns) || parse->c->start_ns < 0) {
        return refuse(parse, "expected a time such as " DEFAULT_START ", not `%.*s`", shown(word),
                      word.data);
    }
    for (size_t i = 0; i < parse->c->count; i++) {
        parse->c->steps[i].at_ns = parse->c->start_ns;
    }
    return take_end(parse);
}

static enum mr_status take_number(struct parse *parse, int64_t least, int64_t most, int64_t *x) {
    struct mr_slice word = take_word(parse);
    if (!mr_parse_integer(word, x) || *x < least || *x > most) {
        return refuse(parse, "expected a number from %d to %d, not `%.*s`", (int)least, (int)most,
                      shown(word), word.data);
    }
    return MR_OK;
}

static enum mr_status take_count(struct parse *parse, const char *word, uint32_t *partitions) {
    int64_t count;
    if (parse->c->count > 1) {
        return refuse(parse, "`%s` stands before everything that happens", word);
    }
    enum mr_status status = take_number(parse, 1, MR_PARTITIONS_MAX, &count);
    if (status == MR_OK) {
        *partitions = (uint32_t)count;
        status = take_end(parse);
    }
    return status;
}

static enum mr_status take_partitions(struct parse *parse) {
    return take_count(parse, "partitions", &parse->c->partitions);
}

static enum mr_status take_tables(struct parse *parse) {
    return take_count(parse, "tables", &parse->c->table_partitions);
}

static enum mr_status take_job(struct parse *parse) {
    struct mr_slice word = take_word(parse);
    if (word.length == 0 || memchr(word.data, 0, word.length)) {
        return refuse(parse, "expected the name of a job file");
    }
    enum mr_status status = take_end(parse);
    return status == MR_OK
               ? add(parse, (struct mr_case_step){.kind = MR_CASE_JOB, .name = keep(parse, word)})
               : status;
}

/* [partition N] KEY */
static enum mr_status take_where(struct parse *parse, struct mr_case_step *step) {
    struct mr_slice word = take_word(parse);
    uint32_t tables =
        parse->c->table_partitions ? parse->c->table_partitions : parse->c->partitions;
    uint32_t count = step->kind == MR_CASE_TABLE ? tables : parse->c->partitions;
    step->partition = -1;
    if (is_word(word, "partition")) {
        enum mr_status status = take_number(parse, 0, (int64_t)count - 1, &step->partition);
        if (status != MR_OK) {
            return status;
        }
        word = take_word(parse);
    }
    if (word.length == 0) {
        return refuse(parse, "expected a key; `-` is no key");
    }
    step->name = is_word(word, "-") ? (struct mr_slice){0} : keep(parse, word);
    return MR_OK;
}

static enum mr_status take_in(struct parse *parse) {
    struct mr_case_step step = {.kind = MR_CASE_IN};
    enum mr_status status = take_where(parse, &step);
    if (status != MR_OK) {
        return status;
    }
    skip_blanks(parse);
    if (parse->rest.length == 0) {
        return refuse(parse, "expected a value after the key; `bytes KEY` is an empty one");
    }
    step.text = keep(parse, parse->rest);
    return add(parse, step);
}

static enum mr_status take_table(struct parse *parse) {
    struct mr_case_step step = {.kind = MR_CASE_TABLE};
    struct mr_slice table = take_word(parse);
    if (table.length == 0) {
        return refuse(parse, "expected the name of a table of `join`");
    }
    step.table = keep(parse, table);
    enum mr_status status = take_where(parse, &step);
    if (status != MR_OK) {
        return status;
    }
    skip_blanks(parse);
    if (parse->rest.length == 0) {
        return refuse(parse, "expected an entry after the key, or the word tombstone");
    }
    if (!is_word(parse->rest, "tombstone")) {
        step.text = keep(parse, parse->rest);
    }
    return add(parse, step);
}

static int hex_digit(char byte) {
    static const char digits[] = "0123456789abcdef";
    const char *at = byte ? strchr(digits, byte >= 'A' && byte <= 'F' ? byte + 32 : byte) : NULL;
    return at ? (int)(at - digits) : -1;
}

static enum mr_status take_bytes(struct parse *parse) {
    struct mr_case_step step = {.kind = MR_CASE_IN};
    enum mr_status status = take_where(parse, &step);
    if (status != MR_OK) {
        return status;
    }
    char *bytes = mr_arena_take(parse->c->memory, parse->rest.length + 1);
    size_t length = 0;
    for (;;) {
        struct mr_slice word = take_word(parse);
        if (word.length == 0) {
            break;
        }
        int high = hex_digit(word.data[0]), low = word.length == 2 ? hex_digit(word.data[1]) : -1;
        if (high < 0 || low < 0) {
            return refuse(parse, "expected a byte as two hexadecimal digits, not `%.*s`",
                          shown(word), word.data);
        }
        bytes[length++] = (char)(high << 4 | low);
    }
    step.text = (struct mr_slice){bytes, length};
    return add(parse, step);
}

static enum mr_status take_frame(struct parse *parse) {
    struct mr_case_step step = {.kind = MR_CASE_IN};
    const struct mr_json_value *object;
    struct mr_slice text;
    struct mr_error why = {""};
    enum mr_status status = take_where(parse, &step);
    if (status == MR_OK) {
        status = take_json(parse, MR_JSON_OBJECT, &text, &object);
    }
    if (status != MR_OK) {
        return status;
    }
    status =
        mr_case_frame(step.name, object, parse->c->start_ns, parse->frames,
                      MR_CASE_FRAMES_MAX - parse->frame_bytes, parse->c->memory, &step.text, &why);
    if (status != MR_OK) {
        return refuse(parse, "%.500s", why.text);
    }
    parse->frames++;
    parse->frame_bytes += step.text.length;
    return add(parse, step);
}

static enum mr_status take_reason(struct parse *parse, enum mr_case_kind kind) {
    struct mr_case_step step = {.kind = kind, .name = mr_slice_of(DEAD_LETTERS)};
    const struct mr_json_value *value;
    struct mr_slice text;
    enum mr_status status = take_json(parse, MR_JSON_STRING, &text, &value);
    if (status != MR_OK) {
        return status;
    }
    step.text = keep(parse, mr_json_string(value));
    return add(parse, step);
}

static enum mr_status take_expect(struct parse *parse) {
    struct mr_slice topic = take_word(parse), before = parse->rest;
    const struct mr_json_value *value;
    if (topic.length == 0 || topic.length > MR_TOPIC_NAME_MAX) {
        return refuse(parse, "expected a topic, or one of dead-letters, counts, stopped");
    }
    if (is_word(topic, "stopped")) {
        return take_reason(parse, MR_CASE_STOPPED);
    }
    struct mr_case_step step = {.kind = is_word(topic, "counts") ? MR_CASE_COUNTS : MR_CASE_ROW};
    step.name = keep(parse, topic);
    if (step.kind == MR_CASE_ROW && is_word(take_word(parse), "nothing")) {
        step.kind = MR_CASE_NOTHING;
        enum mr_status status = take_end(parse);
        return status == MR_OK ? add(parse, step) : status;
    }
    parse->rest = before;
    if (is_word(topic, DEAD_LETTERS)) {
        return take_reason(parse, MR_CASE_LETTER);
    }
    enum mr_status status = take_json(parse, MR_JSON_OBJECT, &step.text, &value);
    step.text = keep(parse, step.text);
    return status == MR_OK ? add(parse, step) : status;
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static const struct verb {
    const char *name;
    enum mr_status (*take)(struct parse *parse); /* NULL: a step of this kind, without more */
    enum mr_case_kind kind;
} verbs[] = {
    {"start", take_start, 0},
    {"partitions", take_partitions, 0},
    {"tables", take_tables, 0},
    {"job", take_job, 0},
    {"in", take_in, 0},
    {"bytes", take_bytes, 0},
    {"frame", take_frame, 0},
    {"table", take_table, 0},
    {"expect", take_expect, 0},
    {"crash", NULL, MR_CASE_CRASH},
    {"close", NULL, MR_CASE_CLOSE},
    {"reset", NULL, MR_CASE_RESET},
};
#define VERBS (sizeof(verbs) / sizeof(*verbs))

static enum mr_status refuse_verb(const struct parse *parse, struct mr_slice word) {
    const char *names[VERBS + 2] = {"at"};
    char text[41];
    for (size_t i = 0; i < VERBS; i++) {
        names[i + 1] = verbs[i].name;
    }
    snprintf(text, sizeof(text), "%.*s", shown(word), word.data);
    const char *nearest = mr_nearest(text, names);
    return nearest ? refuse(parse, "unknown word `%s`; did you mean `%s`?", text, nearest)
                   : refuse(parse, "unknown word `%s`; a line begins with at, in, frame, expect...",
                            text);
}

static enum mr_status take_plain(struct parse *parse, enum mr_case_kind kind) {
    enum mr_status status = take_end(parse);
    return status == MR_OK ? add(parse, (struct mr_case_step){.kind = kind}) : status;
}

static enum mr_status take_line(struct parse *parse) {
    struct mr_slice word = take_word(parse);
    if (is_word(word, "at")) {
        enum mr_status status = take_at(parse);
        if (status != MR_OK) {
            return status;
        }
        word = take_word(parse);
        if (word.length == 0) {
            return take_plain(parse, MR_CASE_PASS);
        }
    }
    if (word.length == 0) {
        return MR_OK;
    }
    for (size_t i = 0; i < VERBS; i++) {
        if (is_word(word, verbs[i].name)) {
            return verbs[i].take ? verbs[i].take(parse) : take_plain(parse, verbs[i].kind);
        }
    }
    return refuse_verb(parse, word);
}

static enum mr_status take_lines(struct parse *parse, struct mr_slice text) {
    enum mr_status status = MR_OK;
    const char *at = text.data, *end = text.data + text.length;
    while (at < end && status == MR_OK) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        parse->line++;
        parse->rest = (struct mr_slice){at, (size_t)(stop - at)};
        if (parse->rest.length > 0 && stop[-1] == '\r') {
            parse->rest.length--;
        }
        status = take_line(parse);
        at = stop + 1;
    }
    if (status == MR_OK && parse->c->count == 0) {
        parse->line = 1;
        status = refuse(parse, "a case begins with its job: `job FILE`");
    }
    return status;
}

enum mr_status mr_case_parse(const char *name, struct mr_slice text, struct mr_case **out,
                             struct mr_error *err) {
    if (text.length > MR_CASE_MAX) {
        return mr_error_set(err, MR_REJECT, "%s:1: a case file has at most 1 MiB", name);
    }
    struct mr_case *c = mr_allocate(sizeof(*c));
    c->partitions = 1;
    c->memory = mr_arena_create();
    mr_parse_time(mr_slice_of(DEFAULT_START), &c->start_ns);
    struct parse parse = {.name = name, .c = c, .json = mr_json_create(), .err = err};
    enum mr_status status = take_lines(&parse, text);
    mr_json_destroy(parse.json);
    if (status != MR_OK) {
        mr_case_destroy(c);
        return status;
    }
    *out = c;
    return MR_OK;
}

void mr_case_destroy(struct mr_case *c) {
    if (c) {
        mr_arena_destroy(c->memory);
        free(c->steps);
        free(c);
    }
}
