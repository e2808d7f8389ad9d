/* Statistics: `name: function` or `name: function(field, arguments)` -> one accumulator per
 * aggregate and field.
 *
 *   power_mean: mean(power)               moments over power  --+-- one measure, two columns
 *   power_std:  std_pop(power)            moments over power  --+
 *   power_p99:  quantile(power, 0.99)     digest over power   --+-- one measure: settled once by
 *   power_d:    digest(power, error=1%)   digest over power   --+   each, so both get their error
 *
 * A statistic's arguments are an option table: by position after the field, or by name. */
#include "engine/job/load.h"

#define NAME_MAX_BYTES 64
#define ARGUMENTS_MAX  8

struct piece { /* of the text of a statistic */
    size_t at, length;
};

struct call {
    const struct mr_node *node;
    struct piece function, field;
    bool has_field;
    struct piece arguments[ARGUMENTS_MAX];
    size_t argument_count;
};

/* ---- Reading the text -------------------------------------------------------------------------
 */

static struct piece trimmed(const char *text, size_t at, size_t end) {
    while (at < end && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n')) {
        at++;
    }
    while (end > at && (text[end - 1] == ' ' || text[end - 1] == '\t' || text[end - 1] == '\n')) {
        end--;
    }
    return (struct piece){at, end - at};
}

static const char *text_of(struct mr_loader *loader, const struct call *call, struct piece piece) {
    return mr_source_copy(&loader->source,
                          (struct mr_slice){call->node->text + piece.at, piece.length});
}

static bool add_piece(struct call *call, struct piece piece) {
    if (!call->has_field) {
        call->field = piece;
        call->has_field = true;
    } else if (call->argument_count < ARGUMENTS_MAX) {
        call->arguments[call->argument_count++] = piece;
    } else {
        return false;
    }
    return piece.length > 0;
}

/* function, or function(piece, piece, ...). */
static bool read_call(struct call *call) {
    const char *text = call->node->text;
    size_t end = strlen(text);
    size_t open = strcspn(text, "(");
    call->function = trimmed(text, 0, open);
    if (open == end) {
        return call->function.length > 0;
    }
    struct piece inside = trimmed(text, open + 1, end);
    if (inside.length == 0 || text[inside.at + inside.length - 1] != ')') {
        return false;
    }
    size_t stop = inside.at + inside.length - 1;
    for (size_t at = open + 1; at <= stop;) {
        size_t comma = at + strcspn(text + at, ",");
        comma = comma < stop ? comma : stop;
        if (!add_piece(call, trimmed(text, at, comma))) {
            return false;
        }
        at = comma + 1;
    }
    return call->function.length > 0;
}

/* ---- The function -----------------------------------------------------------------------------
 */

const struct mr_result *mr_result_find(const char *name, bool events,
                                       const struct mr_aggregate_type **type) {
    for (const struct mr_aggregate_type *const *a = mr_aggregate_types; *a; a++) {
        for (const struct mr_result *result = (*a)->results; result->name; result++) {
            bool fits = !result->timed || events == ((*a)->feed != MR_FEED_SAMPLES);
            if (fits && strcmp(result->name, name) == 0) {
                *type = *a;
                return result;
            }
        }
    }
    return NULL;
}

bool mr_result_is_listed(const struct mr_aggregate_type *type, const struct mr_result *result) {
    return !result->timed || type->feed != MR_FEED_SAMPLES;
}

static void refuse_function(struct mr_loader *loader, const struct mr_node *part,
                            const char *name) {
    const char *names[128];
    size_t count = 0;
    for (const struct mr_aggregate_type *const *a = mr_aggregate_types; *a; a++) {
        for (const struct mr_result *result = (*a)->results; result->name && count < 127;
             result++) {
            if (mr_result_is_listed(*a, result)) {
                names[count++] = result->name;
            }
        }
    }
    names[count] = NULL;
    const struct mr_aggregate_type *type;
    if (mr_is_for_later(name)) {
        mr_node_fault(loader, part, NULL, "this version does not have `%s` yet", name);
    } else if (mr_result_find(name, loader->arrays, &type)) {
        mr_node_fault(loader, part, NULL,
                      "`%s` is of counters, one reading an event; this job has samples at a fixed "
                      "rate",
                      name);
    } else {
        mr_node_fault(loader, part, mr_did_you_mean(loader, name, names),
                      "there is no statistic `%s`", name);
    }
}

static bool check_shape(struct mr_loader *loader, const struct call *call,
                        const struct mr_result *result) {
    const struct mr_node *node = call->node;
    if (result->field_required && !call->has_field) {
        mr_node_fault(loader, node, NULL, "`%s` needs a field: %s(power)", result->name,
                      result->name);
        return false;
    }
    if (call->has_field && !result->field_allowed && !result->field_required) {
        mr_node_fault(loader, node, NULL, "`%s` takes no field", result->name);
        return false;
    }
    return true;
}

/* ---- The field --------------------------------------------------------------------------------
 */

static bool has_value_per_sample(struct mr_loader *loader, const struct mr_node *part,
                                 uint16_t slot) {
    struct mr_field *field = &loader->fields[slot];
    if (field->kind == MR_ABSENT) {
        field->kind = MR_NUMBER;
    }
    if (field->kind == MR_TEXT) {
        mr_node_fault(loader, part, NULL, "`%s` is a text; this statistic is of numbers",
                      field->name);
        return false;
    }
    if (loader->arrays && !mr_kind_is_array(field->kind)) {
        mr_node_fault(loader, part, NULL,
                      "`%s` has one value per record, but this job's statistics are over samples",
                      field->name);
        return false;
    }
    return true;
}

/* An aggregate of any value leaves the field's kind to others: undeclared, it is any scalar. */
static bool find_field(struct mr_loader *loader, const struct call *call,
                       const struct mr_aggregate_type *type, int *slot) {
    *slot = -1;
    if (!call->has_field) {
        return true;
    }
    struct mr_node part = mr_node_part(loader, call->node, call->field.at, call->field.length);
    uint16_t found;
    part.text = text_of(loader, call, call->field);
    if (!mr_field_use(loader, &part, &found) ||
        (!type->any_value && !has_value_per_sample(loader, &part, found))) {
        return false;
    }
    *slot = found;
    return true;
}

/* ---- The arguments ----------------------------------------------------------------------------
 */

/* "error=1%" by name, else the row at this position. `value` becomes the text of the value. */
static const struct mr_option *find_row(const struct mr_result *result, size_t position,
                                        const char **value) {
    const char *equals = strchr(*value, '=');
    size_t index = 0;
    for (const struct mr_option *row = result->arguments; row && row->name; row++, index++) {
        size_t length = strlen(row->name);
        if (!equals && index == position) {
            return row;
        }
        if (equals && strncmp(*value, row->name, length) == 0 &&
            strspn(*value + length, " ") == (size_t)(equals - *value) - length) {
            *value = equals + 1 + strspn(equals + 1, " ");
            return row;
        }
    }
    return NULL;
}

static bool load_argument(struct mr_loader *loader, const struct call *call, size_t position,
                          const struct mr_result *result, void *arguments,
                          const struct mr_option **row) {
    struct piece piece = call->arguments[position];
    struct mr_node part = mr_node_part(loader, call->node, piece.at, piece.length);
    const char *text = text_of(loader, call, piece);
    *row = find_row(result, position, &text);
    if (!*row) {
        mr_node_fault(loader, &part, NULL, "`%s` has no such argument", result->name);
        return false;
    }
    part.text = text;
    return mr_option_load(loader, *row, &part, arguments);
}

static bool load_arguments(struct mr_loader *loader, const struct call *call,
                           const struct mr_result *result, void *arguments) {
    const struct mr_option *given[ARGUMENTS_MAX] = {0};
    if (result->arguments) {
        mr_option_defaults(result->arguments, arguments, loader->source.memory);
    }
    for (size_t i = 0; i < call->argument_count; i++) {
        if (!load_argument(loader, call, i, result, arguments, &given[i])) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (given[j] == given[i]) {
                mr_node_fault(loader, call->node, NULL, "`%s` is given twice", given[i]->name);
                return false;
            }
        }
    }
    for (const struct mr_option *row = result->arguments; row && row->name; row++) {
        bool found = row->fallback != NULL;
        for (size_t i = 0; i < call->argument_count; i++) {
            found = found || given[i] == row;
        }
        if (!found) {
            mr_node_fault(loader, call->node, row->help, "`%s` needs `%s` after the field",
                          result->name, row->name);
            return false;
        }
    }
    return true;
}

/* ---- One column -------------------------------------------------------------------------------
 */

static size_t find_measure(struct mr_loader *loader, const struct mr_aggregate_type *type,
                           int slot) {
    for (size_t i = 0; i < loader->measure_count; i++) {
        if (loader->measures[i].aggregate == type && loader->measures[i].slot == slot) {
            return i;
        }
    }
    void *settings = NULL;
    if (type->settings_size > 0) {
        settings = mr_arena_take(loader->source.memory, type->settings_size);
        memset(settings, 0, type->settings_size);
    }
    loader->measures[loader->measure_count] = (struct mr_measure){type, slot, settings};
    loader->settings[loader->measure_count] = settings;
    return loader->measure_count++;
}

static void add_stat(struct mr_loader *loader, const struct mr_node *node) {
    struct call call = {.node = node};
    const struct mr_aggregate_type *type = NULL;
    int slot;
    if (!mr_expect(loader, node, MR_NODE_SCALAR, "a statistic, such as mean(power)")) {
        return;
    }
    if (!read_call(&call)) {
        mr_node_fault(loader, node, "such as mean(power) or quantile(power, 0.99)",
                      "`%s` is not a statistic", node->text);
        return;
    }
    const char *name = text_of(loader, &call, call.function);
    const struct mr_result *result = mr_result_find(name, !loader->arrays, &type);
    if (!result) {
        struct mr_node part = mr_node_part(loader, node, call.function.at, call.function.length);
        refuse_function(loader, &part, name);
        return;
    }
    void *arguments = mr_arena_take(loader->source.memory, result->arguments_size + 1);
    memset(arguments, 0, result->arguments_size);
    if (!check_shape(loader, &call, result) || !find_field(loader, &call, type, &slot) ||
        !load_arguments(loader, &call, result, arguments)) {
        return;
    }
    size_t measure = find_measure(loader, type, slot);
    if (type->settle) {
        type->settle(loader->settings[measure], result, arguments);
    }
    loader->plan->stats[loader->plan->stat_count++] = (struct mr_stat){.name = node->key->text,
                                                                       .text = node->text,
                                                                       .measure = measure,
                                                                       .result = result,
                                                                       .arguments = arguments};
}

void mr_stats_load(struct mr_loader *loader, const struct mr_node *node) {
    if (!mr_expect(loader, node, MR_NODE_MAP, "`name: statistic` pairs")) {
        return;
    }
    if (node->count == 0 || node->count > MR_STATS_MAX) {
        mr_node_fault(loader, node, NULL, "a job has 1 to %d statistics", MR_STATS_MAX);
        return;
    }
    struct mr_arena *memory = loader->source.memory;
    loader->plan->stats = mr_arena_take(memory, node->count * sizeof *loader->plan->stats);
    loader->measures = mr_arena_take(memory, node->count * sizeof *loader->measures);
    loader->settings = mr_arena_take(memory, node->count * sizeof *loader->settings);
    for (const struct mr_node *stat = node->first; stat; stat = stat->next) {
        add_stat(loader, stat);
    }
}
