/* join: tables, and the fields that they add to a record.
 *
 *   join:
 *     algo: {topic: algorithm-metadata, key: device, as_of: valid_from}
 *   group_by: [device, {algorithm: algo.algorithm}]
 *
 * A field TABLE.FIELD becomes a slot of the record when it is used for the first time; what nothing
 * uses is not read from the entries and not kept. Tables are known from here on, but `duplicates`
 * comes before them, and a table can take its key from the tables above it only.
 *
 * The versions of a table are kept under a layout of their own, because --reset keeps them:
 *
 *   table algo v1 algorithm-metadata
 *   key device
 *   as_of valid_from unit=4
 *   field algorithm kind=0 */
#include "engine/job/load.h"
#include <assert.h>
#include <millrace/hash.h>

#define TABLE_NAME_MAX 32 /* room for "<job>-<table>-changelog" within a topic's 249 */
#define LAYOUT_VERSION 1

static struct mr_table *reading(struct mr_loader *loader) {
    return &loader->tables[loader->table_count];
}

/* ---- as_of ------------------------------------------------------------------------------------
 */

static const struct mr_option time_options[] = {
    {"field", MR_OPTION_TEXT, NULL, NULL, "The field that says from when on an entry holds",
     offsetof(struct mr_input, time_field), 0, 0},
    {"unit", MR_OPTION_CHOICE, "s|ms|us|ns|iso8601", NULL,
     "What it counts since 1970, or iso8601: a text with a zone, such as 2026-11-21T03:10:00Z",
     offsetof(struct mr_input, time_unit), 0, 0},
    {0},
};
static const struct mr_section time_section = {
    .summary = "From when on an entry holds: a field with an ISO 8601 text, or {field, unit}",
    .options = time_options,
};

static void load_as_of(struct mr_loader *loader, const struct mr_node *node) {
    struct mr_input *input = &reading(loader)->input;
    input->time_source = MR_TIME_FIELD;
    if (node->kind == MR_NODE_MAP) {
        mr_section_load(loader, &time_section, node, input);
    } else if (node->kind == MR_NODE_SCALAR && *node->text) {
        input->time_field = node->text;
        input->time_unit = MR_UNIT_ISO8601;
    } else {
        mr_node_fault(loader, node, NULL,
                      "expected the field that says from when on an entry holds, or {field: ..., "
                      "unit: ...}");
    }
}

static void schema_as_of(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"anyOf\":[{\"type\":\"string\"},");
    mr_schema_section(out, &time_section);
    mr_buffer_text(out, "]}");
}

/* ---- key, fields ------------------------------------------------------------------------------
 */

static void load_key(struct mr_loader *loader, const struct mr_node *node) {
    uint16_t slot;
    if (!mr_expect(loader, node, MR_NODE_SCALAR, "the name of a field of the record") ||
        !mr_field_use(loader, node, &slot)) {
        return;
    }
    if (mr_kind_is_array(loader->fields[slot].kind)) {
        mr_node_fault(loader, node, NULL,
                      "`%s` has a value per sample; a key is one value per record", node->text);
    }
    reading(loader)->join.key_slot = slot;
}

static void schema_key(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"type\":\"string\"}");
}

/* Types wait until a field is used. */
static void load_fields(struct mr_loader *loader, const struct mr_node *node) {
    if (!mr_expect(loader, node, MR_NODE_MAP, "`name: type` pairs")) {
        return;
    }
    size_t count = 0;
    struct mr_field *types =
        mr_arena_take(loader->source.memory, (node->count + 1) * sizeof *types);
    for (const struct mr_node *field = node->first; field; field = field->next) {
        types[count] = (struct mr_field){.name = field->key->text};
        if (!mr_field_type(loader, field, &types[count])) {
            continue;
        }
        if (mr_kind_is_array(types[count].kind)) {
            mr_node_fault(loader, field, NULL, "a table has one value a field, not an array");
            continue;
        }
        count++;
    }
    types[count] = (struct mr_field){0};
    loader->table_types[loader->table_count] = types;
}

const struct mr_form mr_table_forms[] = {
    {.name = "key",
     .help = "The field of the record whose text is the key of its entries",
     .required = true,
     .missing = "such as `key: device`: the field of the record that the entries are keyed by",
     .load = load_key,
     .schema = schema_key,
     .shape = "a field"},
    {.name = "as_of",
     .help = "The field of an entry that says from when on it holds: ISO 8601, or {field, unit}",
     .required = true,
     .missing =
         "such as `as_of: valid_from`: the field of an entry that says from when on it holds",
     .load = load_as_of,
     .section = &time_section,
     .schema = schema_as_of,
     .shape = "a field, or"},
    {.name = "fields",
     .help = "Types of its fields, as in from.fields; a field that is not named has any one value",
     .load = load_fields,
     .schema = mr_fields_schema,
     .shape = "a map of field: type"},
    {0},
};

/* ---- The section ------------------------------------------------------------------------------
 */

static bool begins_with_table(const char *name, const char *table) {
    size_t length = strlen(table);
    return strncmp(name, table, length) == 0 && name[length] == '.';
}

static bool check_name(struct mr_loader *loader, const struct mr_node *key) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    const char *name = key->text;
    size_t length = strlen(name);
    if (length == 0 || length > TABLE_NAME_MAX || strspn(name, allowed) != length ||
        strchr("0123456789", *name)) {
        mr_node_fault(loader, key, NULL,
                      "a table is named by letters, digits and _, not by a digit first, at most %d "
                      "of them",
                      TABLE_NAME_MAX);
        return false;
    }
    if (strcmp(name, "windows") == 0 || strcmp(name, "regroup") == 0) {
        mr_node_fault(loader, key, NULL,
                      "a table cannot be named `%s`: its changelog would be another one's", name);
        return false;
    }
    for (size_t slot = 0; slot < loader->field_count; slot++) {
        if (begins_with_table(loader->fields[slot].name, name)) {
            mr_node_fault(loader, key, "give the table another name",
                          "the record has a field `%s`, which would be one of table `%s`",
                          loader->fields[slot].name, name);
            return false;
        }
    }
    return true;
}

/* A record that revises an old window would find no entry. */
static void check_history(struct mr_loader *loader, const struct mr_node *node) {
    const struct mr_plan *plan = loader->plan;
    char kept[MR_TEXT_MAX], needed[MR_TEXT_MAX];
    int64_t least_ns = mr_time_add(plan->lateness.grace_ns, plan->retain_ns);
    int64_t history_ns = reading(loader)->join.history_ns;
    if (history_ns < least_ns) {
        mr_node_warning(loader, node->key, "raise `history`, or lower `retain`",
                        "its entries are kept for %s (history), but windows take records for %s "
                        "(grace and retain)",
                        mr_format_duration(history_ns, kept), mr_format_duration(least_ns, needed));
    }
}

static void check_topic(struct mr_loader *loader, const struct mr_node *table) {
    const struct mr_node *topic = table->kind == MR_NODE_MAP ? mr_node_find(table, "topic") : NULL;
    if (topic && topic->kind == MR_NODE_SCALAR) {
        mr_job_name_check(loader, topic, topic->text, "a topic", MR_TOPIC_MAX);
    }
}

static void load_table(struct mr_loader *loader, const struct mr_operator_type *type,
                       const struct mr_node *node) {
    const struct mr_section section = {.options = type->options, .forms = mr_table_forms};
    struct mr_table *table = reading(loader);
    if (!check_name(loader, node->key)) {
        return;
    }
    table->join.name = node->key->text;
    table->join.table = loader->table_count;
    table->input.key_slot = -1;
    mr_section_load(loader, &section, node, &table->join);
    check_topic(loader, node);
    check_history(loader, node);
    loader->plan->steps[loader->plan->step_count++] = (struct mr_step){type, &table->join};
    loader->table_count++;
}

void mr_join_load(struct mr_loader *loader, const struct mr_operator_type *type,
                  const struct mr_node *node) {
    assert(type->options_size == sizeof(struct mr_join));
    if (!mr_expect(loader, node, MR_NODE_MAP,
                   "a map of tables, such as `algo: {topic: ..., key: ..., as_of: ...}`")) {
        return;
    }
    if (node->count == 0 || node->count > MR_TABLES_MAX) {
        mr_node_fault(loader, node, NULL, "a job joins 1 to %d tables", MR_TABLES_MAX);
        return;
    }
    for (const struct mr_node *table = node->first; table; table = table->next) {
        load_table(loader, type, table);
    }
}

/* ---- Fields of tables -------------------------------------------------------------------------
 */

/* The field of the entries that the name means; NULL: it is not one of this table. */
static const char *field_of(const char *name, const char *table) {
    return begins_with_table(name, table) ? name + strlen(table) + 1 : NULL;
}

static void note_unknown_table(struct mr_loader *loader, const char *name) {
    const char *names[MR_TABLES_MAX + 1] = {0};
    char table[TABLE_NAME_MAX + 1];
    size_t length = strcspn(name, "."), count = 0;
    if (name[length] != '.' || length > TABLE_NAME_MAX) {
        return;
    }
    snprintf(table, sizeof table, "%.*s", (int)length, name);
    for (; count < loader->table_count; count++) {
        names[count] = loader->tables[count].join.name;
    }
    const char *near = mr_nearest(table, names);
    if (near) {
        snprintf(loader->note, sizeof loader->note,
                 "there is no table `%s` in `join`; did you mean `%s`?", table, near);
    }
}

static void take_type(const struct mr_field *types, const char *name, struct mr_field *field) {
    for (; types && types->name; types++) {
        if (strcmp(types->name, name) == 0) {
            field->kind = types->kind;
            field->from_text = types->from_text;
        }
    }
}

bool mr_join_field(struct mr_loader *loader, const char *name, struct mr_field *field) {
    const struct mr_node *join = mr_node_find(loader->root, "join");
    bool any = join && join->kind == MR_NODE_MAP;
    for (size_t i = 0; i < loader->table_count; i++) {
        const char *own = field_of(name, loader->tables[i].join.name);
        if (own && *own) {
            field->kind = MR_ABSENT;
            field->derived = true;
            take_type(loader->table_types[i], own, field);
            return true;
        }
    }
    for (const struct mr_node *table = any ? join->first : NULL; table; table = table->next) {
        if (field_of(name, table->key->text)) {
            snprintf(loader->note, sizeof loader->note,
                     "`%.100s` is joined by a step that comes after this one", name);
            return false;
        }
    }
    note_unknown_table(loader, name);
    return !loader->note[0];
}

bool mr_is_joined(const struct mr_loader *loader, uint16_t slot) {
    for (size_t i = 0; i < loader->table_count; i++) {
        if (field_of(loader->fields[slot].name, loader->tables[i].join.name)) {
            return true;
        }
    }
    return false;
}

/* ---- The plan ---------------------------------------------------------------------------------
 */

/* The table's slots in the order of their names, so that the order in the file is nobody's. */
static size_t find_slots(const struct mr_loader *loader, const char *table, uint16_t *slots) {
    size_t count = 0;
    for (size_t slot = 0; slot < loader->field_count; slot++) {
        const char *name = loader->fields[slot].name;
        if (!field_of(name, table)) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && strcmp(loader->fields[slots[at - 1]].name, name) > 0; at--) {
            slots[at] = slots[at - 1];
        }
        slots[at] = (uint16_t)slot;
    }
    return count;
}

static void make_layout(struct mr_loader *loader, struct mr_table *table) {
    struct mr_buffer out = {0};
    mr_buffer_format(&out, "table %s v%d %s\nkey %s\nas_of %s unit=%d\n", table->join.name,
                     LAYOUT_VERSION, table->join.topic, loader->fields[table->join.key_slot].name,
                     table->input.time_field, (int)table->input.time_unit);
    for (size_t i = 0; i < table->input.field_count; i++) {
        mr_buffer_format(&out, "field %s kind=%d\n", table->input.fields[i].name,
                         (int)table->input.fields[i].kind);
    }
    table->layout = mr_source_copy(&loader->source, mr_buffer_slice(&out));
    table->layout_hash = mr_hash64(out.data, out.length);
    mr_buffer_finish(&out);
}

/* Entries are JSON objects. */
static const struct mr_codec_type *entry_codec(void) {
    const struct mr_codec_type *const *type = mr_codec_types;
    while (strcmp((*type)->name, "json") != 0) {
        type++;
    }
    return *type;
}

static void finish_table(struct mr_loader *loader, struct mr_table *table) {
    uint16_t *slots = mr_arena_take(loader->source.memory, MR_FIELDS_MAX * sizeof *slots);
    size_t count = find_slots(loader, table->join.name, slots);
    struct mr_field *fields = mr_arena_take(loader->source.memory, (count + 1) * sizeof *fields);
    for (size_t i = 0; i < count; i++) {
        fields[i] = loader->fields[slots[i]];
        fields[i].name = field_of(fields[i].name, table->join.name);
        fields[i].derived = false;
    }
    table->codec = entry_codec();
    table->join.slots = slots;
    table->join.slot_count = count;
    table->input.fields = fields;
    table->input.field_count = count;
    table->changelog_topic =
        mr_source_format(&loader->source, "%s-%s-changelog", loader->plan->job, table->join.name);
    make_layout(loader, table);
}

void mr_join_finish(struct mr_loader *loader) {
    struct mr_plan *plan = loader->plan;
    for (size_t i = 0; i < loader->table_count; i++) {
        finish_table(loader, &loader->tables[i]);
    }
    plan->tables = loader->tables;
    plan->table_count = loader->table_count;
}

/* ---- Questions to a plan ----------------------------------------------------------------------
 */

enum mr_status mr_table_admits(const struct mr_plan *plan, const struct mr_table *table,
                               uint32_t inputs, uint32_t partitions, struct mr_error *err) {
    const struct mr_join *join = &table->join;
    if (partitions == 1) {
        return MR_OK;
    }
    if (partitions != inputs) {
        return mr_error_set(err, MR_REJECT,
                            "table `%s`: its topic \"%s\" has %u partitions and the input \"%s\" "
                            "%u: an entry would not come to the task that needs it. Give the topic "
                            "%u partitions and the input's keys, or one partition, which every "
                            "task reads",
                            join->name, join->topic, partitions, plan->topic, inputs, inputs);
    }
    if ((int)join->key_slot != plan->input.key_slot) {
        return mr_error_set(err, MR_REJECT,
                            "table `%s`: its key `%s` is not the key by which \"%s\" is "
                            "partitioned, so an entry may lie in a partition of \"%s\" that the "
                            "task does not read. Give \"%s\" one partition, which every task reads",
                            join->name, plan->input.fields[join->key_slot].name, plan->topic,
                            join->topic, join->topic);
    }
    return MR_OK;
}

/* ---- JSON Schema, and words for people --------------------------------------------------------
 */

void mr_join_schema(struct mr_buffer *out, const struct mr_operator_type *type) {
    const struct mr_section section = {.summary = "A table; its fields are named TABLE.FIELD",
                                       .options = type->options,
                                       .forms = mr_table_forms};
    mr_buffer_format(out,
                     "{\"description\":\"%s\",\"type\":\"object\",\"minProperties\":1,"
                     "\"maxProperties\":%d,\"additionalProperties\":",
                     type->summary, MR_TABLES_MAX);
    mr_schema_section(out, &section);
    mr_buffer_text(out, "}");
}

void mr_join_explain(const struct mr_plan *plan, const struct mr_join *join, FILE *out) {
    static const char *const missing[] = {
        [MR_MISSING_PASS] = "goes on without them",
        [MR_MISSING_DROP] = "is filtered",
        [MR_MISSING_DEAD_LETTER] = "goes to the dead letters",
    };
    char text[MR_TEXT_MAX];
    fprintf(out, "; %s: ", join->name);
    for (size_t i = 0; i < join->slot_count; i++) {
        fprintf(out, "%s%s", i ? ", " : "", plan->input.fields[join->slots[i]].name);
    }
    fprintf(out, "%sby %s; what has no entry %s; kept %s", join->slot_count ? " " : "nothing, ",
            plan->input.fields[join->key_slot].name, missing[join->missing],
            mr_format_duration(join->history_ns, text));
}
