/* The JSON codec: one object a message, or with `each` an array of them in a field of it.
 *
 *   {"ts": 1468244384, "uid": "9ce8", "x": {"uid": [1]}, "v": 21.5}
 *     |                  |             |                   |
 *     declared time      slot 0        not named: skipped  slot 1
 *
 * Only members of the root that the job names are looked at; a member of the same name deeper down
 * is another thing. One that is named and there twice makes the record ambiguous and rejects it;
 * other duplicates are nobody's business.
 *
 * The members are walked once, in the order of the text. A name is found by its length: the job's
 * names hang in 64 chains by length, most names of the text meet an empty chain.
 *
 * Invariants
 * - A text value points into the parser's document: it lives until the next decode of this codec.
 *   With `each` all records of the message share the document.
 * - Time is declared and its unit never guessed; a record without it is rejected, not stamped.
 * - All arrays of a record are equally long, and 0 <= start <= last fits int64.
 * - Without `each` a bad message is one bad record. With it each element stands for itself; only
 *   when there is no array to walk is the message one bad record.
 *
 * A record whose declared arrays are all absent is rejected: nothing says how long it is. */
#include "operators/codecs/codecs.h"
#include "operators/operators.h"

#include <math.h>
#include <millrace/text.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORD_MAX  ((size_t)1 << 20)
#define ELEMENT_MAX 65536
#define CHAINS      64
#define RATE_MAX    1e9
#define NONE        (-1)

struct wanted { /* a name that is looked for */
    struct mr_slice name;
    int16_t next; /* in its chain */
};

struct codec {
    const struct mr_input *input;
    struct mr_json *json;
    bool check_key, has_arrays;

    struct wanted *wanted;
    const struct mr_json_value **found; /* of the current object, by wanted          */
    int16_t wanted_count;
    int16_t chains[CHAINS];           /* by the name's length: the first wanted    */
    int16_t *of_slot;                 /* wanted, by slot; NONE: not from the value */
    int16_t of_time, of_step, of_key; /* wanted, or NONE                           */
};

static bool refuse(struct mr_error *why, const char *what) {
    mr_error_set(why, MR_REJECT, "%s", what);
    return false;
}

/* ---- Names --------------------------------------------------------------------------------- */
static int16_t find_wanted(const struct codec *it, struct mr_slice name) {
    int16_t i = it->chains[name.length % CHAINS];
    while (i != NONE && !mr_same(it->wanted[i].name, name)) {
        i = it->wanted[i].next;
    }
    return i;
}

static int16_t want(struct codec *it, const char *text) {
    struct mr_slice name = mr_slice_of(text);
    int16_t i = find_wanted(it, name);
    if (i == NONE) {
        i = it->wanted_count++;
        it->wanted[i] = (struct wanted){name, it->chains[name.length % CHAINS]};
        it->chains[name.length % CHAINS] = i;
    }
    return i;
}

static void want_all(struct codec *it) {
    const struct mr_input *input = it->input;
    bool key_outside = input->key_source == MR_KEY_RECORD || input->key_source == MR_KEY_HEADER;
    for (size_t slot = 0; slot < input->field_count; slot++) {
        const struct mr_field *field = &input->fields[slot];
        bool inside = !field->derived && !(key_outside && (int)slot == input->key_slot);
        it->of_slot[slot] = inside ? want(it, field->name) : NONE;
        it->has_arrays |= inside && (field->kind == MR_F32 || field->kind == MR_F64);
    }
    it->of_time = input->time_source == MR_TIME_FIELD ? want(it, input->time_field) : NONE;
    it->of_step = input->step_field ? want(it, input->step_field) : NONE;
    it->of_key = input->key_source == MR_KEY_FIELD ? want(it, input->key_name) : NONE;
}

/* Finds the named members of an object. */
static bool find_members(struct codec *it, const struct mr_json_value *object,
                         struct mr_error *why) {
    for (int16_t i = 0; i < it->wanted_count; i++) {
        it->found[i] = NULL;
    }
    const struct mr_json_value *name = mr_json_first(object);
    for (size_t left = mr_json_count(object); left > 0; left--) {
        const struct mr_json_value *value = mr_json_member(name);
        int16_t i = find_wanted(it, mr_json_string(name));
        if (i != NONE) {
            if (it->found[i]) {
                mr_error_set(why, MR_REJECT, "field `%s`: is there twice", it->wanted[i].name.data);
                return false;
            }
            it->found[i] = value;
        }
        name = left > 1 ? mr_json_next(value) : NULL;
    }
    return true;
}

/* ---- Keys ---------------------------------------------------------------------------------- */
static const char *fault_of_key(struct mr_slice key) {
    if (key.length > MR_KEY_MAX) {
        return "is longer than 1024 bytes";
    }
    if (mr_is_plain(key)) {
        return NULL;
    }
    if (mr_has_control(key)) {
        return "holds a control character";
    }
    return mr_valid_utf8(key) ? NULL : "is not valid UTF-8";
}

static bool check_equal(struct mr_slice text, const struct mr_message *message, const char *what,
                        const char *name, struct mr_error *why) {
    if (message->key.data && mr_same(text, message->key)) {
        return true;
    }
    mr_error_set(why, MR_REJECT, "%s `%s`: `%.*s` differs from the record's key", what, name,
                 mr_shown(text), text.data);
    return false;
}

/* A scalar as text, as the producer's --key writes it. data == NULL: it is none. */
static struct mr_slice scalar_text(const struct mr_json_value *json,
                                   char room[MR_JSON_NUMBER_MAX]) {
    switch (json ? mr_json_kind(json) : MR_JSON_NULL) {
    case MR_JSON_STRING:
        return mr_json_string(json);
    case MR_JSON_BOOLEAN:
        return mr_slice_of(mr_json_boolean(json) ? "true" : "false");
    case MR_JSON_INTEGER:
        return (struct mr_slice){room, mr_json_write_integer(room, mr_json_integer(json))};
    case MR_JSON_NUMBER:
        return (struct mr_slice){room, mr_json_write_number(room, mr_json_number(json))};
    default:
        return (struct mr_slice){NULL, 0};
    }
}

static bool check_key_field(const struct codec *it, const struct mr_message *message,
                            struct mr_error *why) {
    const struct mr_json_value *json = it->found[it->of_key];
    if (it->check_key && json && mr_json_kind(json) == MR_JSON_STRING &&
        message->key.data && mr_same(mr_json_string(json), message->key) &&
        mr_is_plain(message->key)) {
        return true; /* as nearly always; the message's parse has looked at the key's length */
    }
    const char *name = it->input->key_name;
    char room[MR_JSON_NUMBER_MAX];
    struct mr_slice text = scalar_text(json, room);
    const char *fault = text.data ? fault_of_key(text) : NULL;
    if (!text.data && it->check_key) {
        fault = "is missing, and it is the key";
    }
    if (fault) {
        mr_error_set(why, MR_REJECT, "field `%s`: %s", name, fault);
        return false;
    }
    return !it->check_key || check_equal(text, message, "field", name, why);
}

static const struct mr_slice *find_header(const struct mr_message *message, const char *name) {
    const struct mr_slice *found = NULL;
    for (size_t i = 0; i < message->header_count; i++) {
        if (mr_slice_equal(message->headers[i].name, mr_slice_of(name))) {
            found = &message->headers[i].value; /* the last of several, as Kafka's clients do */
        }
    }
    return found;
}

/* A key that is not part of the value: found, checked and put into its slot. */
static bool take_outer_key(const struct codec *it, const struct mr_message *message,
                           struct mr_value *values, struct mr_error *why) {
    const struct mr_input *input = it->input;
    bool header = input->key_source == MR_KEY_HEADER;
    const struct mr_slice *key = header ? find_header(message, input->key_name) : &message->key;
    const char *fault = key && key->data ? fault_of_key(*key) : "is missing";
    if (!fault && key->length == 0) {
        fault = "is empty";
    }
    if (fault) {
        mr_error_set(why, MR_REJECT, "%s%s%s %s", header ? "header `" : "the record's key",
                     header ? input->key_name : "", header ? "`" : "", fault);
        return false;
    }
    if (input->key_slot >= 0) {
        values[input->key_slot].kind = MR_TEXT;
        values[input->key_slot].text = *key;
    }
    return !header || !it->check_key || check_equal(*key, message, "header", input->key_name, why);
}

static bool take_key(const struct codec *it, const struct mr_message *message,
                     struct mr_value *values, struct mr_error *why) {
    switch (it->input->key_source) {
    case MR_KEY_FIELD:
        return check_key_field(it, message, why);
    case MR_KEY_RECORD:
    case MR_KEY_HEADER:
        return take_outer_key(it, message, values, why);
    default:
        return true;
    }
}

/* ---- Time and rate ------------------------------------------------------------------------- */
static bool take_time(const struct codec *it, const struct mr_message *message, int64_t *ns,
                      struct mr_error *why) {
    if (it->of_time == NONE) {
        *ns = message->timestamp_ns;
        return *ns >= 0 || refuse(why, "timestamp: the record has none");
    }
    const struct mr_json_value *json = it->found[it->of_time];
    if (!json || mr_json_kind(json) == MR_JSON_NULL) {
        mr_error_set(why, MR_REJECT, "timestamp `%s`: is missing", it->input->time_field);
        return false;
    }
    const char *fault = mr_read_time(json, it->input->time_unit, ns);
    if (fault) {
        char found[MR_FOUND_MAX];
        mr_error_set(why, MR_REJECT, "timestamp `%s`: %s %s", it->input->time_field,
                     mr_describe_json(json, found), fault);
    }
    return !fault;
}

static bool take_rate(const struct codec *it, double *rate_hz, struct mr_error *why) {
    if (it->of_step == NONE) {
        *rate_hz = it->input->rate_hz;
        return true;
    }
    const struct mr_json_value *json = it->found[it->of_step];
    enum mr_json_kind kind = json ? mr_json_kind(json) : MR_JSON_NULL;
    bool number = kind == MR_JSON_INTEGER || kind == MR_JSON_NUMBER;
    double step = number ? mr_json_number(json) : 0;
    *rate_hz = (double)mr_units_per_second(it->input->step_unit) / step;
    if (step > 0 && *rate_hz > 0 && *rate_hz <= RATE_MAX) {
        return true;
    }
    char found[MR_FOUND_MAX];
    mr_error_set(why, MR_REJECT, "step `%s`: expected a time above 0 and at least 1 ns, found %s",
                 it->input->step_field, json ? mr_describe_json(json, found) : "nothing");
    return false;
}

/* Gives a record with arrays its length and duration. */
static bool take_duration(const struct codec *it, size_t samples, struct mr_record *record,
                          struct mr_error *why) {
    if (samples == 0) {
        return refuse(why, "samples: none of the declared arrays is there");
    }
    record->samples = samples;
    if (!take_rate(it, &record->rate_hz, why)) {
        return false;
    }
    double span_ns = (double)samples * 1e9 / record->rate_hz;
    if (!(span_ns < (double)(INT64_MAX - record->start_ns))) {
        return refuse(why, "samples: they end beyond the year 2262");
    }
    record->last_ns = mr_sample_ns(record, samples - 1);
    return true;
}

/* ---- Records ------------------------------------------------------------------------------- */
static bool read_record(struct codec *it, const struct mr_json_value *object,
                        const struct mr_message *message, struct mr_arena *arena,
                        struct mr_record *record, struct mr_error *why) {
    const struct mr_input *input = it->input;
    if (mr_json_kind(object) != MR_JSON_OBJECT) {
        char found[MR_FOUND_MAX];
        mr_error_set(why, MR_REJECT, "record: expected an object, found %s",
                     mr_describe_json(object, found));
        return false;
    }
    record->samples = 1;
    record->rate_hz = 0;
    record->mask = NULL;
    record->message = message;
    if (!find_members(it, object, why) || !take_time(it, message, &record->start_ns, why)) {
        return false;
    }
    record->last_ns = record->start_ns;
    size_t samples = 0;
    for (size_t slot = 0; slot < input->field_count; slot++) {
        int16_t i = it->of_slot[slot];
        record->values[slot].kind = MR_ABSENT;
        if (i != NONE && !mr_read_value(&input->fields[slot], it->found[i], arena, &samples,
                                        &record->values[slot], why)) {
            return false;
        }
    }
    if (it->has_arrays && !take_duration(it, samples, record, why)) {
        return false;
    }
    return take_key(it, message, record->values, why);
}

/* Reads `count` elements, the first of which is `element`; good ones stand together. */
static void read_elements(struct codec *it, const struct mr_json_value *element, size_t count,
                          const struct mr_message *message, struct mr_arena *arena,
                          struct mr_decoded *out) {
    size_t fields = it->input->field_count;
    out->records =
        mr_arena_take(arena, count * (sizeof *out->records + fields * sizeof(struct mr_value)));
    struct mr_value *values = (struct mr_value *)(out->records + count);
    for (size_t i = 0; i < count; i++) {
        struct mr_record *record = &out->records[out->count];
        struct mr_error spare;
        record->values = values + out->count * fields;
        if (read_record(it, element, message, arena, record, out->bad ? &spare : &out->reason)) {
            out->count++;
        } else {
            out->bad++;
        }
        element = i + 1 < count ? mr_json_next(element) : NULL;
    }
}

/* The array of `each`; NULL and a reason when there is none. */
static const struct mr_json_value *find_elements(const struct mr_json_value *root, const char *each,
                                                 struct mr_error *why) {
    const struct mr_json_value *found = NULL, *name = NULL;
    size_t left = mr_json_kind(root) == MR_JSON_OBJECT ? mr_json_count(root) : 0;
    for (name = left ? mr_json_first(root) : NULL; left > 0; left--) {
        const struct mr_json_value *value = mr_json_member(name);
        if (mr_slice_equal(mr_json_string(name), mr_slice_of(each))) {
            if (found) {
                mr_error_set(why, MR_REJECT, "field `%s`: is there twice", each);
                return NULL;
            }
            found = value;
        }
        name = left > 1 ? mr_json_next(value) : NULL;
    }
    if (!found || mr_json_kind(found) != MR_JSON_ARRAY) {
        char text[MR_FOUND_MAX];
        mr_error_set(why, MR_REJECT, "field `%s`: expected an array of objects, found %s", each,
                     found ? mr_describe_json(found, text) : "nothing");
        return NULL;
    }
    if (mr_json_count(found) > ELEMENT_MAX) {
        mr_error_set(why, MR_REJECT, "field `%s`: more than %d elements", each, ELEMENT_MAX);
        return NULL;
    }
    return found;
}

static const struct mr_json_value *parse(struct codec *it, const struct mr_message *message,
                                         struct mr_error *why) {
    if (!message->value.data) {
        refuse(why, "record: has no value (a tombstone)");
        return NULL;
    }
    if (message->value.length > RECORD_MAX) {
        refuse(why, "record: longer than 1 MiB");
        return NULL;
    }
    if (message->key.data && message->key.length > MR_KEY_MAX) {
        refuse(why, "the record's key is longer than 1024 bytes");
        return NULL;
    }
    return mr_json_parse(it->json, message->value, why);
}

static void json_decode(void *codec, const struct mr_message *message, struct mr_arena *arena,
                        struct mr_decoded *out) {
    struct codec *it = codec;
    out->records = NULL;
    out->count = out->bad = 0;
    out->reason.text[0] = 0;
    const struct mr_json_value *root = parse(it, message, &out->reason);
    size_t count = 1;
    if (root && it->input->each) {
        root = find_elements(root, it->input->each, &out->reason);
        count = root ? mr_json_count(root) : 0;
        root = count > 0 ? mr_json_first(root) : root;
    }
    if (!root) {
        out->bad = 1;
    } else if (count > 0) {
        read_elements(it, root, count, message, arena, out);
    }
}

/* ---- Opening ------------------------------------------------------------------------------- */
static void json_close(void *codec) {
    struct codec *it = codec;
    if (it) {
        mr_json_destroy(it->json);
        free(it->wanted);
        free(it->found);
        free(it->of_slot);
        free(it);
    }
}

static enum mr_status json_open(const struct mr_input *input, bool check_key, void **codec,
                                struct mr_error *err) {
    size_t names = input->field_count + 3; /* and time, step, key */
    if (names > INT16_MAX) {
        return mr_error_set(err, MR_REJECT, "more than 32,000 fields");
    }
    struct codec *it = calloc(1, sizeof *it);
    if (!it) {
        return mr_error_set(err, MR_FAIL, "out of memory");
    }
    it->input = input;
    it->check_key = check_key;
    it->json = mr_json_create();
    it->wanted = calloc(names, sizeof *it->wanted);
    it->found = calloc(names, sizeof *it->found);
    it->of_slot = calloc(names, sizeof *it->of_slot);
    if (!it->wanted || !it->found || !it->of_slot) {
        json_close(it);
        return mr_error_set(err, MR_FAIL, "out of memory");
    }
    memset(it->chains, 0xFF, sizeof it->chains); /* NONE */
    want_all(it);
    if (it->has_arrays && input->rate_hz <= 0 && !input->step_field) {
        json_close(it);
        return mr_error_set(err, MR_REJECT, "fields are arrays: say their rate in `samples`");
    }
    *codec = it;
    return MR_OK;
}

const struct mr_codec_type mr_json_codec = {
    .name = "json",
    .summary = "JSON objects: one record each, or with `each` one for every element of an array",
    .open = json_open,
    .decode = json_decode,
    .close = json_close,
};
