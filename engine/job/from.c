/* from: what is read, and what the job may take for granted of it.
 *
 * A frame says itself what it carries: its time, its key (always `device`), its rate. A JSON
 * message says nothing of that kind, so the job does: `timestamp` is required, nothing about a
 * time, a unit or a key is inferred. */
#include "engine/job/load.h"

#define UNITS "s|ms|us|ns|iso8601" /* in the order of enum mr_time_unit */

/* ---- timestamp --------------------------------------------------------------------------------
 */

static const struct mr_option time_options[] = {
    {"field", MR_OPTION_TEXT, NULL, NULL, "The field that holds the event time",
     offsetof(struct mr_input, time_field), 0, 0},
    {"unit", MR_OPTION_CHOICE, UNITS, NULL,
     "What it counts since 1970, or iso8601: a text with a zone, such as 2026-11-21T03:10:00Z",
     offsetof(struct mr_input, time_unit), 0, 0},
    {0},
};
static const struct mr_section time_section = {
    .summary =
        "When a record happened: {field: ts, unit: ms}, or the word `log`: the log's own time",
    .options = time_options,
};

static void load_timestamp(struct mr_loader *loader, const struct mr_node *node) {
    struct mr_input *input = &loader->plan->input;
    if (node->kind == MR_NODE_MAP) {
        input->time_source = MR_TIME_FIELD;
        mr_section_load(loader, &time_section, node, input);
    } else if (node->kind == MR_NODE_SCALAR && strcmp(node->text, "log") == 0) {
        input->time_source = MR_TIME_LOG;
    } else {
        mr_node_fault(loader, node, NULL, "expected {field: ..., unit: ...} or log");
    }
}

static void schema_timestamp(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"anyOf\":[{\"const\":\"log\"},");
    mr_schema_section(out, &time_section);
    mr_buffer_text(out, "]}");
}

/* ---- samples ----------------------------------------------------------------------------------
 */

static const struct mr_option step_options[] = {
    {"field", MR_OPTION_TEXT, NULL, NULL, "The field that holds the time between two samples",
     offsetof(struct mr_input, step_field), 0, 0},
    {"unit", MR_OPTION_CHOICE, "s|ms|us|ns", NULL, "What it counts",
     offsetof(struct mr_input, step_unit), 0, 0},
    {0},
};
static const struct mr_section step_section = {
    .summary = "The time between two samples, as each record says it",
    .options = step_options,
};

static void load_step(struct mr_loader *loader, const struct mr_node *node) {
    mr_section_load(loader, &step_section, node, &loader->plan->input);
}

struct samples {
    const char *rate;
};
static const struct mr_option samples_options[] = {
    {"rate", MR_OPTION_TEXT, NULL, "", "Samples per second, the same in every record: 1kHz",
     offsetof(struct samples, rate), 0, 0},
    {0},
};
static const struct mr_form samples_forms[] = {
    {.name = "step",
     .help = "Or the time between two samples: {field: dt, unit: us}",
     .load = load_step,
     .section = &step_section},
    {0},
};
static const struct mr_section samples_section = {
    .summary = "The times of the samples when fields are arrays: one of rate and step",
    .options = samples_options,
    .forms = samples_forms,
};

static void load_samples(struct mr_loader *loader, const struct mr_node *node) {
    struct samples samples = {0};
    loader->arrays = true;
    mr_section_load(loader, &samples_section, node, &samples);
    if (node->kind != MR_NODE_MAP) {
        return;
    }
    const struct mr_node *rate = mr_node_find(node, "rate");
    const struct mr_node *step = mr_node_find(node, "step");
    if (!rate == !step) {
        mr_node_fault(loader, node, NULL,
                      "`samples` needs either {rate: 1kHz} or {step: {field: dt, unit: us}}");
    } else if (rate && rate->kind == MR_NODE_SCALAR &&
               (!mr_parse_rate(mr_slice_of(rate->text), &loader->plan->input.rate_hz) ||
                !(loader->plan->input.rate_hz > 0) || loader->plan->input.rate_hz > 1e9)) {
        mr_node_fault(loader, rate, NULL,
                      "expected a rate above 0 and at most 1GHz with its "
                      "unit, such as 1kHz or 50Hz");
    }
}

/* ---- key --------------------------------------------------------------------------------------
 */

static void take_key_map(struct mr_loader *loader, const struct mr_node *node) {
    static const char *const names[] = {"record", "header", NULL};
    struct mr_input *input = &loader->plan->input;
    const struct mr_node *record = mr_node_find(node, "record");
    const struct mr_node *header = mr_node_find(node, "header");
    const struct mr_node *chosen = record ? record : header;
    mr_keys_check(loader, node, names);
    if (!record == !header || chosen->kind != MR_NODE_SCALAR || !*chosen->text ||
        (record && strcmp(record->text, "key") != 0)) {
        mr_node_fault(loader, node, NULL, "`key` is a field, or {record: key}, or {header: NAME}");
        return;
    }
    input->key_source = record ? MR_KEY_RECORD : MR_KEY_HEADER;
    input->key_name = chosen->text;
    mr_field_declare(loader, node, (struct mr_field){.name = "key", .kind = MR_TEXT});
}

static void load_key(struct mr_loader *loader, const struct mr_node *node) {
    struct mr_input *input = &loader->plan->input;
    bool frames = loader->plan->codec && loader->plan->codec->frames;
    if (frames) {
        if (node->kind != MR_NODE_SCALAR || strcmp(node->text, "device") != 0) {
            mr_node_fault(loader, node, NULL, "the key of a waveform frame is always `device`");
        }
    } else if (node->kind == MR_NODE_MAP) {
        take_key_map(loader, node);
    } else if (node->kind == MR_NODE_SCALAR && *node->text) {
        input->key_source = MR_KEY_FIELD;
        input->key_name = node->text;
    } else {
        mr_node_fault(loader, node, NULL, "`key` is a field, or {record: key}, or {header: NAME}");
    }
}

static void schema_key(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"properties\":"
                        "{\"record\":{\"const\":\"key\"}},\"additionalProperties\":false},"
                        "{\"type\":\"object\",\"properties\":{\"header\":{\"type\":\"string\"}},"
                        "\"additionalProperties\":false}]}");
}

/* ---- format -----------------------------------------------------------------------------------
 */

static void declare_frame_fields(struct mr_loader *loader, const struct mr_node *node) {
    static const struct mr_field carried[] = {
        {.name = "device", .kind = MR_TEXT},
        {.name = "stream", .kind = MR_INTEGER},
        {.name = "sequence", .kind = MR_INTEGER},
    };
    for (size_t i = 0; i < sizeof carried / sizeof carried[0]; i++) {
        mr_field_declare(loader, node, carried[i]);
    }
    loader->arrays = true;
    loader->plan->input.key_source = MR_KEY_FIELD;
    loader->plan->input.key_name = "device";
}

static void load_format(struct mr_loader *loader, const struct mr_node *node) {
    const char *names[32];
    size_t count = 0;
    if (!mr_expect(loader, node, MR_NODE_SCALAR, "the name of a format")) {
        return;
    }
    for (const struct mr_codec_type *const *type = mr_codec_types; *type; type++) {
        if (strcmp((*type)->name, node->text) == 0) {
            loader->plan->codec = *type;
        }
        if (count < 31) {
            names[count++] = (*type)->name;
        }
    }
    names[count] = NULL;
    if (!loader->plan->codec) {
        mr_node_fault(loader, node, mr_did_you_mean(loader, node->text, names),
                      "there is no format `%s`", node->text);
    } else if (loader->plan->codec->frames) {
        declare_frame_fields(loader, node);
    }
}

static void schema_format(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{\"},{\"enum\":[");
    for (const struct mr_codec_type *const *type = mr_codec_types; *type; type++) {
        mr_buffer_format(out, "%s\"%s\"", type == mr_codec_types ? "" : ",", (*type)->name);
    }
    mr_buffer_text(out, "]}]}");
}

/* ---- fields -----------------------------------------------------------------------------------
 */

struct field_type {
    const char *name;
    enum mr_kind kind;
};
static const struct field_type field_types[] = {
    {"number", MR_NUMBER},   {"integer", MR_INTEGER}, {"text", MR_TEXT},
    {"boolean", MR_BOOLEAN}, {"number[]", MR_F64},    {NULL, MR_ABSENT},
};

static bool read_type(struct mr_loader *loader, const struct mr_node *node, enum mr_kind *kind) {
    const char *names[8];
    size_t count = 0;
    for (const struct field_type *type = field_types; type->name; type++) {
        names[count++] = type->name;
        if (strcmp(type->name, node->text) == 0) {
            *kind = type->kind;
            return true;
        }
    }
    names[count] = NULL;
    mr_node_fault(loader, node, mr_did_you_mean(loader, node->text, names),
                  "a field is a number, integer, text, boolean or \"number[]\", not `%s`",
                  node->text);
    return false;
}

/* {type: number, from: text}: written as text, taken as a number. */
static bool read_typed_map(struct mr_loader *loader, const struct mr_node *node,
                           struct mr_field *field) {
    static const char *const names[] = {"type", "from", NULL};
    const struct mr_node *type = mr_node_find(node, "type");
    const struct mr_node *from = mr_node_find(node, "from");
    mr_keys_check(loader, node, names);
    if (!type || type->kind != MR_NODE_SCALAR) {
        mr_node_fault(loader, node, NULL, "expected a type, or {type: number, from: text}");
        return false;
    }
    if (!read_type(loader, type, &field->kind)) {
        return false;
    }
    if (from) {
        bool fits = field->kind == MR_NUMBER || field->kind == MR_INTEGER;
        field->from_text = true;
        if (from->kind != MR_NODE_SCALAR || strcmp(from->text, "text") != 0 || !fits) {
            mr_node_fault(loader, from, NULL,
                          "only `text` can be given here, for a number or an integer");
        }
    }
    return true;
}

bool mr_field_type(struct mr_loader *loader, const struct mr_node *node, struct mr_field *field) {
    if (node->kind == MR_NODE_MAP) {
        return read_typed_map(loader, node, field);
    }
    if (node->kind == MR_NODE_SCALAR) {
        return read_type(loader, node, &field->kind);
    }
    return mr_expect(loader, node, MR_NODE_SCALAR, "a type, such as number");
}

static void load_field(struct mr_loader *loader, const struct mr_node *node) {
    struct mr_field field = {.name = node->key->text};
    bool good = mr_field_type(loader, node, &field);
    if (!*field.name) {
        mr_node_fault(loader, node->key, NULL, "a field needs a name");
    } else if (good) {
        mr_field_declare(loader, node->key, field);
    }
}

static void load_fields(struct mr_loader *loader, const struct mr_node *node) {
    if (!mr_expect(loader, node, MR_NODE_MAP, "`name: type` pairs")) {
        return;
    }
    for (const struct mr_node *field = node->first; field; field = field->next) {
        load_field(loader, field);
    }
}

void mr_fields_schema(struct mr_buffer *out) {
    struct mr_buffer types = {0};
    mr_buffer_text(&types, "{\"enum\":[");
    for (const struct field_type *type = field_types; type->name; type++) {
        mr_buffer_format(&types, "%s\"%s\"", type == field_types ? "" : ",", type->name);
    }
    mr_buffer_text(&types, "]}");
    mr_buffer_format(out,
                     "{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[%.*s,"
                     "{\"type\":\"object\",\"properties\":{\"type\":%.*s,\"from\":{\"const\":"
                     "\"text\"}},\"required\":[\"type\"],\"additionalProperties\":false}]}}",
                     (int)types.length, types.data, (int)types.length, types.data);
    mr_buffer_finish(&types);
}

/* ---- The section ------------------------------------------------------------------------------
 */

static const struct mr_option from_options[] = {
    {"topic", MR_OPTION_TEXT, NULL, NULL, "The topic that is read", offsetof(struct mr_plan, topic),
     0, 0},
    {"partitioned", MR_OPTION_BOOL, NULL, "false",
     "The topic is partitioned by the key although its records do not carry it",
     offsetof(struct mr_plan, partitioned), 0, 0},
    {"each", MR_OPTION_TEXT, NULL, "",
     "An array of objects in one JSON message: every element is a record",
     offsetof(struct mr_plan, input.each), 0, 0},
    {0},
};

static const struct mr_form from_forms[] = {
    {.name = "format",
     .help = "How the bytes are read",
     .required = true,
     .missing = "`format: json` or `format: waveform`",
     .load = load_format,
     .schema = schema_format,
     .shape = "a format, below"},
    {.name = "key",
     .help = "The partition key: a field, {record: key} or {header: NAME}; it must "
             "equal the record's key. Frames: always device",
     .load = load_key,
     .schema = schema_key,
     .shape = "a field, or a map"},
    {.name = "fields",
     .help = "Types of JSON fields: number, integer, text, boolean, "
             "\"number[]\", or {type: number, from: text}",
     .load = load_fields,
     .schema = mr_fields_schema,
     .shape = "a map of field: type"},
    {.name = "timestamp",
     .help = "When a record happened: {field: ts, unit: ms}, or log. Frames "
             "carry their time",
     .load = load_timestamp,
     .section = &time_section,
     .schema = schema_timestamp,
     .shape = "the word log, or"},
    {.name = "samples",
     .help = "The times of the samples when fields are arrays",
     .load = load_samples,
     .section = &samples_section},
    {0},
};

const struct mr_section mr_from_section = {
    .summary = "What is read",
    .options = from_options,
    .forms = from_forms,
};

/* ---- What must fit together -------------------------------------------------------------------
 */

static void refuse_for_frames(struct mr_loader *loader, const struct mr_node *from) {
    static const char *const own[] = {"timestamp", "fields", "samples", "each", NULL};
    for (const char *const *name = own; *name; name++) {
        const struct mr_node *node = mr_node_find(from, *name);
        if (node) {
            mr_node_fault(loader, node->key, "take it out",
                          "waveform frames say themselves what they carry: `%s` is for JSON",
                          *name);
        }
    }
}

/* The key and the times of a record are one value each. */
static void refuse_arrays(struct mr_loader *loader, const struct mr_node *from) {
    const struct mr_input *input = &loader->plan->input;
    const char *const names[] = {input->key_source == MR_KEY_FIELD ? input->key_name : NULL,
                                 input->time_field, input->step_field};
    static const char *const keys[] = {"key", "timestamp", "samples"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int slot = names[i] ? mr_field_find(loader, names[i]) : -1;
        if (slot >= 0 && mr_kind_is_array(loader->fields[slot].kind)) {
            mr_node_fault(loader, mr_node_find(from, keys[i]), NULL,
                          "`%s` has a value per sample; one value per record is needed here",
                          names[i]);
        }
    }
}

static void check_events(struct mr_loader *loader, const struct mr_node *from) {
    const struct mr_node *samples = mr_node_find(from, "samples");
    bool has_array = false;
    for (size_t slot = 0; slot < loader->field_count; slot++) {
        has_array = has_array || mr_kind_is_array(loader->fields[slot].kind);
    }
    if (!mr_node_find(from, "timestamp")) {
        mr_node_fault(loader, from->key, "`timestamp: {field: ts, unit: ms}`, or `timestamp: log`",
                      "`timestamp` is missing: where is the time of a record?");
    }
    if (has_array && !samples) {
        mr_node_fault(loader, mr_node_find(from, "fields"), "`samples: {rate: 1kHz}`",
                      "arrays need `samples`: at which times were they taken?");
    } else if (samples && !has_array) {
        mr_node_fault(loader, samples->key, "`fields: {current: \"number[]\"}`",
                      "`samples` is for arrays, and no field is one");
    }
}

void mr_from_load(struct mr_loader *loader, const struct mr_node *node) {
    struct mr_plan *plan = loader->plan;
    mr_section_load(loader, &mr_from_section, node, plan);
    if (plan->input.each && !*plan->input.each) {
        plan->input.each = NULL;
    }
    if (node->kind != MR_NODE_MAP || !plan->codec) {
        return;
    }
    if (plan->codec->frames) {
        refuse_for_frames(loader, node);
    } else {
        check_events(loader, node);
        refuse_arrays(loader, node);
    }
}
