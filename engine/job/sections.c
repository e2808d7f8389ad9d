/* Sections: the words of a job file, and what each one means.
 *
 * Every key of the file is one row here, in the table of an operator or of a window kind, or a
 * statistic of an aggregate. Validation, the reference and the JSON Schema all read these rows, so
 * a key cannot exist in one of them only. The order of the forms is the order of loading: fields
 * must be known before what uses them. */
#include "engine/job/load.h"

/* Fallback of an optional text: there is none. */
#define NONE ""

#define DAY (86400.0 * 1e9)

/* ---- lateness, emit, errors: options only -----------------------------------------------------
 */

static const struct mr_option lateness_options[] = {
    {"grace", MR_OPTION_DURATION, NULL, "5s",
     "How long past its end a window waits for records that come late",
     offsetof(struct mr_lateness, grace_ns), 0, 366 * DAY},
    {"idle", MR_OPTION_DURATION, NULL, "30s",
     "Silence of a partition after which its windows close by the clock",
     offsetof(struct mr_lateness, idle_ns), 1e6, 366 * DAY},
    {"max_ahead", MR_OPTION_DURATION, NULL, "10m",
     "A record further ahead of the time the log took it goes to the dead letters",
     offsetof(struct mr_lateness, max_ahead_ns), 0, 366 * DAY},
    {"late", MR_OPTION_CHOICE, "revise|drop|dead_letter", "revise",
     "What becomes of a record whose window has closed: its row is emitted again, it is dropped "
     "and "
     "counted, or it is counted and copied to the dead letters",
     offsetof(struct mr_lateness, late), 0, 0},
    {0},
};
static const struct mr_section lateness_section = {
    .summary = "When a window closes, and what happens to what comes later",
    .options = lateness_options,
};

static void load_lateness(struct mr_loader *loader, const struct mr_node *node) {
    mr_section_load(loader, &lateness_section, node, &loader->plan->lateness);
}

static const struct mr_option emit_options[] = {
    {"preview", MR_OPTION_DURATION, NULL, NULL,
     "How often, by the clock, a row with `closed: false` comes while its window is open",
     offsetof(struct mr_plan, preview_ns), 1e8, DAY},
    {0},
};
static const struct mr_section emit_section = {
    .summary = "Rows before a window closes",
    .options = emit_options,
};

static void load_emit(struct mr_loader *loader, const struct mr_node *node) {
    mr_section_load(loader, &emit_section, node, loader->plan);
}

static const struct mr_option stop_options[] = {
    {"share", MR_OPTION_SHARE, NULL, NULL, "The share of dead letters among the records read",
     offsetof(struct mr_plan, stop_share), 0, 0},
    {"within", MR_OPTION_DURATION, NULL, NULL, "The time, by the clock, over which it is taken",
     offsetof(struct mr_plan, stop_within_ns), 1e9, DAY},
    {0},
};
static const struct mr_section stop_section = {
    .summary = "Stops the job when too much of its input is bad; nothing is lost",
    .options = stop_options,
};

static void load_stop(struct mr_loader *loader, const struct mr_node *node) {
    mr_section_load(loader, &stop_section, node, loader->plan);
}

struct errors {
    int to;
};
static const struct mr_option errors_options[] = {
    {"to", MR_OPTION_CHOICE, "dead_letter", "dead_letter",
     "Where bad records go, with the reason: the topic `<job>-dead-letters`",
     offsetof(struct errors, to), 0, 0},
    {0},
};
static const struct mr_form errors_forms[] = {
    {.name = "stop_if",
     .help = "When to stop: {share: 5%, within: 1m}",
     .load = load_stop,
     .section = &stop_section},
    {0},
};
static const struct mr_section errors_section = {
    .summary = "What happens to records that cannot be read",
    .options = errors_options,
    .forms = errors_forms,
};

static void load_errors(struct mr_loader *loader, const struct mr_node *node) {
    struct errors errors;
    mr_section_load(loader, &errors_section, node, &errors);
}

/* ---- group_by ---------------------------------------------------------------------------------
 */

static void add_group(struct mr_loader *loader, const char *name, const struct mr_node *field) {
    struct mr_plan *plan = loader->plan;
    uint16_t slot;
    if (!mr_expect(loader, field, MR_NODE_SCALAR, "the name of a field") ||
        !mr_field_use(loader, field, &slot)) {
        return;
    }
    if (mr_kind_is_array(loader->fields[slot].kind)) {
        mr_node_fault(loader, field, NULL,
                      "`%s` has a value per sample; a group needs one value per record",
                      field->text);
        return;
    }
    plan->groups[plan->group_count++] =
        (struct mr_group_column){mr_source_copy(&loader->source, mr_slice_of(name)), slot};
}

static void add_plain_group(struct mr_loader *loader, const struct mr_node *item) {
    uint16_t slot = 0;
    size_t before = loader->plan->group_count;
    add_group(loader, item->text, item);
    if (loader->plan->group_count > before) {
        slot = loader->plan->groups[before].slot;
        if (mr_is_joined(loader, slot)) {
            mr_node_fault(loader, item,
                          mr_source_format(&loader->source, "`{%s: %s}`",
                                           strchr(item->text, '.') + 1, item->text),
                          "a joined field needs a name for its column");
        }
    }
}

static size_t count_groups(const struct mr_node *list) {
    size_t count = 0;
    for (const struct mr_node *item = list->first; item; item = item->next) {
        count += item->kind == MR_NODE_MAP ? item->count : 1;
    }
    return count;
}

static void load_group_by(struct mr_loader *loader, const struct mr_node *node) {
    static const char shape[] = "a list of fields: [device], [device, {column: field}], or [] for "
                                "one row per window";
    if (!mr_expect(loader, node, MR_NODE_LIST, shape)) {
        return;
    }
    if (count_groups(node) > MR_LIST_MAX) {
        mr_node_fault(loader, node, NULL, "a job groups by at most %d fields", MR_LIST_MAX);
        return;
    }
    loader->plan->groups = mr_arena_take(loader->source.memory,
                                         (count_groups(node) + 1) * sizeof *loader->plan->groups);
    for (const struct mr_node *item = node->first; item; item = item->next) {
        if (item->kind == MR_NODE_MAP) {
            for (const struct mr_node *pair = item->first; pair; pair = pair->next) {
                add_group(loader, pair->key->text, pair);
            }
        } else {
            add_plain_group(loader, item);
        }
    }
}

/* ---- window -----------------------------------------------------------------------------------
 */

static const char *const *window_names(struct mr_loader *loader) {
    const char *names[64];
    size_t count = 0;
    for (const struct mr_window_type *const *type = mr_window_types; *type; type++) {
        for (const struct mr_option *option = (*type)->options; option->name; option++) {
            if (count < 63) {
                names[count++] = option->name;
            }
        }
    }
    names[count++] = NULL;
    const char **copy = mr_arena_take(loader->source.memory, sizeof names);
    memcpy(copy, names, count * sizeof *names);
    return copy;
}

/* By the key that only this kind has, or by a slip of it. */
static bool names_kind(const struct mr_node *node, const struct mr_window_type *type) {
    const char *const names[] = {type->key, NULL};
    for (const struct mr_node *child = node->first; child; child = child->next) {
        if (strcmp(child->key->text, type->key) == 0 || mr_nearest(child->key->text, names)) {
            return true;
        }
    }
    return false;
}

static void load_window(struct mr_loader *loader, const struct mr_node *node) {
    if (!mr_expect(loader, node, MR_NODE_MAP, "a kind of window, such as {every: 1m}")) {
        return;
    }
    const struct mr_window_type *found = NULL;
    for (const struct mr_window_type *const *type = mr_window_types; *type; type++) {
        found = !found && names_kind(node, *type) ? *type : found;
    }
    if (!found) {
        mr_keys_check(loader, node, window_names(loader));
        mr_node_fault(loader, node, NULL, "no kind of window is given: write {every: 1m}");
        return;
    }
    void *options = mr_arena_take(loader->source.memory, found->options_size);
    memset(options, 0, found->options_size);
    bool bad = loader->source.bad;
    loader->source.bad = false;
    mr_section_load(loader, &(struct mr_section){.options = found->options}, node, options);
    if (!loader->source.bad) {
        struct mr_error err;
        if (found->check && found->check(options, &err) != MR_OK) {
            mr_node_fault(loader, mr_node_find(node, found->key), NULL, "%s", err.text);
        }
        loader->plan->window = (struct mr_window){found, options};
        loader->plan->panes = found->panes(options);
    }
    loader->source.bad = loader->source.bad || bad;
}

/* ---- to, tests --------------------------------------------------------------------------------
 */

struct output {
    const char *topic, *retention;
};
static const struct mr_option output_options[] = {
    {"topic", MR_OPTION_TEXT, NULL, NULL, "The topic of the rows; made when it is not there",
     offsetof(struct output, topic), 0, 0},
    {"retention", MR_OPTION_TEXT, NULL, "forever",
     "How long the topic keeps its rows: a duration such as 30d, or forever",
     offsetof(struct output, retention), 0, 0},
    {0},
};
const struct mr_section mr_output_section = {
    .summary = "Where the rows go",
    .options = output_options,
};

static void add_output(struct mr_loader *loader, const struct mr_node *item) {
    struct output output = {0};
    struct mr_output *out = &loader->plan->outputs[loader->plan->output_count];
    if (!mr_expect(loader, item, MR_NODE_MAP, "where the rows go, such as `topic: power-minute`")) {
        return;
    }
    mr_section_load(loader, &mr_output_section, item, &output);
    const struct mr_node *retention = mr_node_find(item, "retention");
    out->retention_ns = -1;
    if (retention && retention->kind == MR_NODE_SCALAR &&
        strcmp(output.retention, "forever") != 0 &&
        (!mr_parse_duration(mr_slice_of(output.retention), &out->retention_ns) ||
         out->retention_ns < MR_SECOND)) {
        mr_node_fault(loader, retention, NULL,
                      "`retention` is a duration of 1s or more, such as 30d, or forever");
    }
    if (output.topic) {
        out->topic = output.topic;
        loader->plan->output_count++;
    }
}

static void load_to(struct mr_loader *loader, const struct mr_node *node) {
    if (!mr_expect(loader, node, MR_NODE_LIST, "a list, such as `- topic: power-minute`")) {
        return;
    }
    if (node->count == 0 || node->count > MR_LIST_MAX) {
        mr_node_fault(loader, node, NULL, "`to` names 1 to %d topics", MR_LIST_MAX);
        return;
    }
    loader->plan->outputs =
        mr_arena_take(loader->source.memory, (node->count + 1) * sizeof *loader->plan->outputs);
    for (const struct mr_node *item = node->first; item; item = item->next) {
        add_output(loader, item);
    }
}

static void load_tests(struct mr_loader *loader, const struct mr_node *node) {
    if (!mr_expect(loader, node, MR_NODE_LIST, "a list of case files")) {
        return;
    }
    const char **tests = mr_arena_take(loader->source.memory, (node->count + 1) * sizeof *tests);
    size_t count = 0;
    for (const struct mr_node *item = node->first; item; item = item->next) {
        if (mr_expect(loader, item, MR_NODE_SCALAR, "the name of a case file")) {
            tests[count++] = item->text;
        }
    }
    tests[count] = NULL;
    loader->plan->tests = tests;
}

/* ---- JSON Schema of what is not a plain section -----------------------------------------------
 */

static void schema_group_by(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"string\"},"
                        "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}]}}");
}

static void schema_texts(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}");
}

static void schema_to(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"type\":\"array\",\"minItems\":1,\"items\":");
    mr_schema_section(out, &mr_output_section);
    mr_buffer_text(out, "}");
}

/* ---- The root ---------------------------------------------------------------------------------
 */

const struct mr_option mr_job_options[] = {
    {"job", MR_OPTION_TEXT, NULL, NULL, "The name of the job; its own topics begin with it",
     offsetof(struct mr_plan, job), 0, 0},
    {"description", MR_OPTION_TEXT, NULL, NONE, "One line for people",
     offsetof(struct mr_plan, description), 0, 0},
    {"log", MR_OPTION_TEXT, NULL, "local:./data",
     "Where the topics are: a directory (local:./data), a Kafka cluster (kafka://HOST:PORT,...) or "
     "memory (memory:); --log says otherwise",
     offsetof(struct mr_plan, log_url), 0, 0},
    {"retain", MR_OPTION_DURATION, NULL, "1h",
     "How long a closed window can still be revised by late records",
     offsetof(struct mr_plan, retain_ns), 0, 3660 * DAY},
    {"commit", MR_OPTION_DURATION, NULL, "1s",
     "How often rows, state and positions are made durable, together",
     offsetof(struct mr_plan, commit_ns), 1e7, 3600e9},
    {"memory", MR_OPTION_SIZE, NULL, "1GiB", "State beyond this stops the job; nothing is lost",
     offsetof(struct mr_plan, memory_bytes), 1 << 20, 0x1p50},
    {0},
};

void mr_sections_defaults(struct mr_loader *loader) {
    struct mr_plan *plan = loader->plan;
    static const char *const no_tests[] = {NULL};
    mr_option_defaults(lateness_options, &plan->lateness, loader->source.memory);
    plan->stop_share = 1;
    plan->tests = no_tests;
}

const struct mr_form mr_input_forms[] = {
    {.name = "kafka",
     .help = "How to connect where the log is Kafka",
     .load = mr_kafka_load,
     .section = &mr_kafka_section,
     .schema = mr_kafka_schema},
    {.name = "from",
     .help = "What is read",
     .required = true,
     .missing = "`from: {topic: ..., format: ...}` says what is read",
     .load = mr_from_load,
     .section = &mr_from_section},
    {.name = "lateness",
     .help = "When a window closes, and what happens to what comes later",
     .load = load_lateness,
     .section = &lateness_section},
    {0},
};

const struct mr_form mr_result_forms[] = {
    {.name = "group_by",
     .help = "One row per window and value of these fields; [] is one group",
     .required = true,
     .of_windows = true,
     .missing = "`group_by: []` makes one row per window",
     .load = load_group_by,
     .schema = schema_group_by,
     .shape = "a list of fields, or of {column: field}"},
    {.name = "window",
     .help = "The time that one row covers; without it every record is a row",
     .load = load_window,
     .schema = mr_schema_window,
     .shape = "a kind of window, below"},
    {.name = "stats",
     .help = "The columns of a row: name: statistic",
     .required = true,
     .of_windows = true,
     .missing = "such as `power_mean: mean(power)`",
     .load = mr_stats_load,
     .schema = mr_schema_stats,
     .shape = "a map of column: statistic, below"},
    {.name = "emit",
     .help = "Rows before a window closes",
     .of_windows = true,
     .load = load_emit,
     .section = &emit_section},
    {.name = "errors",
     .help = "What happens to records that cannot be read",
     .load = load_errors,
     .section = &errors_section},
    {.name = "to",
     .help = "Where the rows go",
     .required = true,
     .missing = "`to: [{topic: ...}]` says where the rows go",
     .load = load_to,
     .section = &mr_output_section,
     .schema = schema_to,
     .shape = "a list of"},
    {.name = "tests",
     .help = "Case files of this job, relative to it",
     .load = load_tests,
     .schema = schema_texts,
     .shape = "a list of files"},
    {0},
};
