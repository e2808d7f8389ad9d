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
 * How members are found is told in json_members.c, what a value may be in json_value.c.
 *
 * Invariants
 * - A text value points into the message or into the parser's document: it lives as long as the
 *   message, but not beyond the next decode of this codec. With `each` all records of the message
 *   share the document.
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
#define RATE_MAX    1e9
#define NONE        MR_NO_NAME

struct codec {
    const struct mr_input *input;
    struct mr_json *json;
    bool check_key, has_arrays;

    struct mr_names names;            /* that the job reads                       */
    struct mr_names each;             /* the one of `each`                        */
    struct mr_found *found;           /* of the current object, by name           */
    int16_t *of_slot;                 /* name, by slot; NONE: not from the value  */
    int16_t of_time, of_step, of_key; /* name, or NONE                            */
};

static bool refuse(struct mr_error *why, const char *what) {
    mr_error_set(why, MR_REJECT, "%s", what);
    return false;
}

/* ---- Names --------------------------------------------------------------------------------- */
static void want_all(struct codec *it) {
    const struct mr_input *input = it->input;
    bool key_outside = input->key_source == MR_KEY_RECORD || input->key_source == MR_KEY_HEADER;
    for (size_t slot = 0; slot < input->field_count; slot++) {
        const struct mr_field *field = &input->fields[slot];
        bool inside = !field->derived && !(key_outside && (int)slot == input->key_slot);
        it->of_slot[slot] = inside ? mr_names_add(&it->names, field->name) : NONE;
        it->has_arrays |= inside && (field->kind == MR_F32 || field->kind == MR_F64);
    }
    it->of_time =
        input->time_source == MR_TIME_FIELD ? mr_names_add(&it->names, input->time_field) : NONE;
    it->of_step = input->step_field ? mr_names_add(&it->names, input->step_field) : NONE;
    it->of_key =
        input->key_source == MR_KEY_FIELD ? mr_names_add(&it->names, input->key_name) : NONE;
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
    if (message->key.data && mr_slice_equal(text, message->key)) {
        return true;
    }
    mr_error_set(why, MR_REJECT, "%s `%s`: `%.*s` differs from the record's key", what, name,
                 mr_shown(text), text.data);
    return false;
}

/* A scalar as text, as the producer's --key writes it. data == NULL: it is none. */
static struct mr_slice scalar_text(const struct mr_found *found, char room[MR_JSON_NUMBER_MAX]) {
    switch (found->kind) {
    case MR_JSON_STRING:
        return found->text;
    case MR_JSON_BOOLEAN:
        return mr_slice_of(found->number != 0 ? "true" : "false");
    case MR_JSON_INTEGER:
        return (struct mr_slice){room, mr_json_write_integer(room, found->integer)};
    case MR_JSON_NUMBER:
        return (struct mr_slice){room, mr_json_write_number(room, found->number)};
    default:
        return (struct mr_slice){NULL, 0};
    }
}

static bool check_key_field(const struct codec *it, const struct mr_message *message,
                            struct mr_error *why) {
    const struct mr_found *found = &it->found[it->of_key];
    if (it->check_key && found->kind == MR_JSON_STRING && message->key.data &&
        mr_slice_equal(found->text, message->key) && mr_is_plain(found->text)) {
        return true; /* as nearly always; how long the record's key is, parse has looked */
    }
    const char *name = it->input->key_name;
    char room[MR_JSON_NUMBER_MAX];
    struct mr_slice text = scalar_text(found, room);
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
    const struct mr_found *found = &it->found[it->of_time];
    if (found->kind == MR_JSON_NULL) {
        mr_error_set(why, MR_REJECT, "timestamp `%s`: is missing", it->input->time_field);
        return false;
    }
    const char *fault = mr_read_time(found, it->input->time_unit, ns);
    if (fault) {
        char text[MR_FOUND_MAX];
        mr_error_set(why, MR_REJECT, "timestamp `%s`: %s %s", it->input->time_field,
                     mr_describe_found(found, text), fault);
    }
    return !fault;
}

static bool take_rate(const struct codec *it, double *rate_hz, struct mr_error *why) {
    if (it->of_step == NONE) {
        *rate_hz = it->input->rate_hz;
        return true;
    }
    const struct mr_found *found = &it->found[it->of_step];
    bool number = found->kind == MR_JSON_INTEGER || found->kind == MR_JSON_NUMBER;
    double step = number ? found->number : 0;
    *rate_hz = (double)mr_units_per_second(it->input->step_unit) / step;
    if (step > 0 && *rate_hz > 0 && *rate_hz <= RATE_MAX) {
        return true;
    }
    char text[MR_FOUND_MAX];
    mr_error_set(why, MR_REJECT, "step `%s`: expected a time above 0 and at least 1 ns, found %s",
                 it->input->step_field, found->there ? mr_describe_found(found, text) : "nothing");
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
/* Makes a record of the members in it->found. */
static bool read_record(struct codec *it, const struct mr_message *message, struct mr_arena *arena,
                        struct mr_record *record, struct mr_error *why) {
    const struct mr_input *input = it->input;
    record->samples = 1;
    record->rate_hz = 0;
    record->mask = NULL;
    record->first = 0;
    record->taken = false;
    record->held = NULL;
    record->message = message;
    if (!take_time(it, message, &record->start_ns, why)) {
        return false;
    }
    record->last_ns = record->start_ns;
    size_t samples = 0;
    for (size_t slot = 0; slot < input->field_count; slot++) {
        int16_t i = it->of_slot[slot];
        if (i == NONE) {
            record->values[slot].kind = MR_ABSENT;
        } else if (!mr_read_value(&input->fields[slot], &it->found[i], arena, &samples,
                                  &record->values[slot], why)) {
            return false;
        }
    }
    if (it->has_arrays && !take_duration(it, samples, record, why)) {
        return false;
    }
    return take_key(it, message, record->values, why);
}

static bool find_in_object(struct codec *it, const struct mr_json_value *object,
                           struct mr_error *why) {
    if (mr_json_kind(object) == MR_JSON_OBJECT) {
        return mr_find_members(&it->names, object, it->found, why);
    }
    char text[MR_FOUND_MAX];
    struct mr_found found;
    mr_found_set(&found, object);
    mr_error_set(why, MR_REJECT, "record: expected an object, found %s",
                 mr_describe_found(&found, text));
    return false;
}

static void read_one(struct codec *it, const struct mr_message *message, struct mr_arena *arena,
                     struct mr_decoded *out) {
    struct mr_record *record =
        mr_arena_take(arena, sizeof *record + it->input->field_count * sizeof(struct mr_value));
    record->values = (struct mr_value *)(record + 1);
    bool good = read_record(it, message, arena, record, &out->reason);
    out->records = record;
    out->count = good;
    out->bad = !good;
}

/* Reads the elements of an array; good ones stand together. */
static void read_elements(struct codec *it, const struct mr_json_value *array,
                          const struct mr_message *message, struct mr_arena *arena,
                          struct mr_decoded *out) {
    size_t fields = it->input->field_count, count = mr_json_count(array);
    const struct mr_json_value *element = count > 0 ? mr_json_first(array) : NULL;
    out->records =
        mr_arena_take(arena, count * (sizeof *out->records + fields * sizeof(struct mr_value)));
    out->bad = 0;
    struct mr_value *values = (struct mr_value *)(out->records + count);
    for (size_t i = 0; i < count; i++) {
        struct mr_record *record = &out->records[out->count];
        struct mr_error spare;
        record->values = values + out->count * fields;
        struct mr_error *why = out->bad ? &spare : &out->reason;
        if (find_in_object(it, element, why) && read_record(it, message, arena, record, why)) {
            out->count++;
        } else {
            out->bad++;
        }
        element = i + 1 < count ? mr_json_next(element) : NULL;
    }
}

/* The array of `each`; NULL and a reason when there is none. */
static const struct mr_json_value *
find_elements(const struct codec *it, const struct mr_json_value *root, struct mr_error *why) {
    const char *each = it->input->each;
    struct mr_found found = {.kind = MR_JSON_NULL};
    if (mr_json_kind(root) == MR_JSON_OBJECT && !mr_find_members(&it->each, root, &found, why)) {
        return NULL;
    }
    if (found.kind != MR_JSON_ARRAY) {
        char text[MR_FOUND_MAX];
        mr_error_set(why, MR_REJECT, "field `%s`: expected an array of objects, found %s", each,
                     found.there ? mr_describe_found(&found, text) : "nothing");
        return NULL;
    }
    if (mr_json_count(found.json) > ELEMENT_MAX) {
        mr_error_set(why, MR_REJECT, "field `%s`: more than %d elements", each, ELEMENT_MAX);
        return NULL;
    }
    return found.json;
}

/* What can be said before the value is read. */
static bool check_message(const struct mr_message *message, struct mr_error *why) {
    if (!message->value.data) {
        return refuse(why, "record: has no value (a tombstone)");
    }
    if (message->value.length > RECORD_MAX) {
        return refuse(why, "record: longer than 1 MiB");
    }
    return !message->key.data || message->key.length <= MR_KEY_MAX ||
           refuse(why, "the record's key is longer than 1024 bytes");
}

/* By the parser: any text. */
static void decode_tree(struct codec *it, const struct mr_message *message, struct mr_arena *arena,
                        struct mr_decoded *out) {
    const struct mr_json_value *root = mr_json_parse(it->json, message->value, &out->reason);
    if (root && it->input->each) {
        const struct mr_json_value *array = find_elements(it, root, &out->reason);
        if (array) {
            read_elements(it, array, message, arena, out);
        }
    } else if (root && find_in_object(it, root, &out->reason)) {
        read_one(it, message, arena, out);
    }
}

static void json_decode(void *codec, const struct mr_message *message, struct mr_arena *arena,
                        struct mr_decoded *out) {
    struct codec *it = codec;
    out->records = NULL;
    out->count = 0;
    out->bad = 1; /* until it is found to be good */
    out->reason.text[0] = 0;
    if (!check_message(message, &out->reason)) {
        return;
    }
    if (!it->input->each && mr_scan_members(&it->names, message->value, it->found)) {
        read_one(it, message, arena, out);
    } else {
        decode_tree(it, message, arena, out);
    }
}

/* ---- Opening ------------------------------------------------------------------------------- */
static void json_close(void *codec) {
    struct codec *it = codec;
    if (it) {
        mr_json_destroy(it->json);
        free(it->names.items);
        free(it->each.items);
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
    it->names.items = calloc(names, sizeof *it->names.items);
    it->each.items = calloc(1, sizeof *it->each.items);
    it->found = calloc(names, sizeof *it->found);
    it->of_slot = calloc(names, sizeof *it->of_slot);
    if (!it->names.items || !it->each.items || !it->found || !it->of_slot) {
        json_close(it);
        return mr_error_set(err, MR_FAIL, "out of memory");
    }
    memset(it->names.chains, 0xFF, sizeof it->names.chains); /* NONE */
    memset(it->each.chains, 0xFF, sizeof it->each.chains);
    want_all(it);
    if (input->each) {
        mr_names_add(&it->each, input->each);
    }
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
