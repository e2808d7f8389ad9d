/* Rows: a job without `window`, where every record that comes to the end of the chain is a row.
 *
 *   {"job":..., "time":..., <fields of `from`>, <fields of `let`>, <joined fields>}
 *
 * What `from` names is a column; a field that only a condition or a step goes by is not, so a job
 * chooses its columns by naming them. What is of windows is refused, because it would do nothing.
 * So are samples: a row of a frame would be the frame again, as text. */
#include "engine/job/load.h"

#define KEY_MEMORY 160 /* bytes of a key with its state, both short: measured with a million */

static const char remedy[] =
    "`window: {every: 1m}` makes a row a minute; without a window every record is a row";

bool mr_has_window(const struct mr_loader *loader) {
    return mr_node_find(loader->root, "window") != NULL;
}

static const struct mr_node *child_of(const struct mr_node *map, const char *key) {
    return map && map->kind == MR_NODE_MAP ? mr_node_find(map, key) : NULL;
}

/* ---- What is of windows -----------------------------------------------------------------------
 */

static bool is_of_windows(const char *key) {
    for (const struct mr_form *form = mr_result_forms; form->name; form++) {
        if (form->of_windows && strcmp(form->name, key) == 0) {
            return true;
        }
    }
    return strcmp(key, "retain") == 0;
}

/* One fault, for the first of them: there is one cause. */
static bool refuse_windows(struct mr_loader *loader) {
    for (const struct mr_node *child = loader->root->first; child; child = child->next) {
        if (is_of_windows(child->key->text)) {
            mr_node_fault(loader, child->key, remedy, "`%s` is of windows, and this job has none",
                          child->key->text);
            return true;
        }
    }
    return false;
}

static void refuse_lateness(struct mr_loader *loader) {
    static const char *const names[] = {"grace", "idle", "late", NULL};
    const struct mr_node *lateness = mr_node_find(loader->root, "lateness");
    for (const char *const *name = names; *name; name++) {
        const struct mr_node *node = child_of(lateness, *name);
        if (node) {
            mr_node_fault(loader, node->key, "only `max_ahead` has a meaning here",
                          "`%s` is of windows, and this job has none", *name);
        }
    }
}

static void refuse_samples(struct mr_loader *loader) {
    bool frames = loader->plan->codec && loader->plan->codec->frames;
    const struct mr_node *node =
        child_of(mr_node_find(loader->root, "from"), frames ? "format" : "samples");
    if (loader->arrays && node) {
        mr_node_fault(loader, node->key, remedy,
                      "records with samples need a window: only single values can be a row");
    }
}

/* ---- Columns ----------------------------------------------------------------------------------
 */

/* 0: of `from`, 1: of `let`, 2: joined; -1: no column. */
static int rank(const struct mr_loader *loader, size_t slot) {
    const struct mr_field *field = &loader->fields[slot];
    if (!field->derived) {
        return loader->declared[slot] ? 0 : -1;
    }
    return strchr(field->name, '.') ? 2 : 1;
}

/* Where the file makes a field; NULL: nowhere. */
static const struct mr_node *find_maker(const struct mr_loader *loader, const char *name) {
    const struct mr_node *from = mr_node_find(loader->root, "from");
    const struct mr_node *found = child_of(child_of(from, "fields"), name);
    for (const struct mr_node *section = loader->root->first; section && !found;
         section = section->next) {
        found = child_of(section, name);
    }
    return found;
}

static void check_column(struct mr_loader *loader, const char *name) {
    bool time = strcmp(name, "time") == 0;
    const struct mr_node *node = time || strcmp(name, "job") == 0 ? find_maker(loader, name) : NULL;
    if (node) {
        mr_node_fault(loader, node->key,
                      time ? "`timestamp` reads the field `time` without it being named here"
                           : NULL,
                      "`%s` is a column that every row has", name);
    }
}

static void load_columns(struct mr_loader *loader) {
    struct mr_plan *plan = loader->plan;
    plan->columns =
        mr_arena_take(loader->source.memory, (loader->field_count + 1) * sizeof *plan->columns);
    for (int wanted = 0; wanted <= 2; wanted++) {
        for (size_t slot = 0; slot < loader->field_count; slot++) {
            const char *name = loader->fields[slot].name;
            if (rank(loader, slot) == wanted) {
                check_column(loader, name);
                plan->columns[plan->column_count++] =
                    (struct mr_group_column){name, (uint16_t)slot};
            }
        }
    }
    const struct mr_node *from = mr_node_find(loader->root, "from");
    if (plan->column_count == 0 && from && !loader->source.bad) {
        mr_node_fault(loader, from->key, "`fields: {device: text, status: text}`",
                      "`fields` is missing: which fields of a record go into its row?");
    }
}

static bool is_slip(const struct mr_loader *loader) {
    static const char *const names[] = {"window", NULL};
    for (const struct mr_node *child = loader->root->first; child; child = child->next) {
        if (mr_nearest(child->key->text, names)) {
            return true;
        }
    }
    return false;
}

void mr_rows_load(struct mr_loader *loader) {
    if (is_slip(loader) || refuse_windows(loader)) {
        return;
    }
    refuse_lateness(loader);
    refuse_samples(loader);
    load_columns(loader);
}

/* ---- Explain ----------------------------------------------------------------------------------
 */

/* The field that a step keeps state by; NULL: none does. */
static const char *find_key(const struct mr_plan *plan) {
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct mr_step *step = &plan->steps[i];
        for (const struct mr_option *o = step->type->options; o && o->name; o++) {
            const void *member = (const char *)step->options + o->offset;
            const struct mr_field_name *field = member;
            if (o->type == MR_OPTION_KEY) {
                return field->name;
            }
        }
    }
    return NULL;
}

static void explain_state(const struct mr_plan *plan, const char *key, uint64_t keys, FILE *out) {
    char count[MR_TEXT_MAX], bytes[MR_TEXT_MAX], limit[MR_TEXT_MAX];
    double all = (double)keys * KEY_MEMORY;
    fprintf(out,
            "\nstate\n  for each %s, for good. With %s of them (--groups N) about %s of memory;\n"
            "  the limit is %s.\n",
            key, mr_format_count(keys, count),
            mr_format_size(all < 0x1p62 ? (int64_t)all : INT64_MAX, bytes),
            mr_format_size(plan->memory_bytes, limit));
}

void mr_rows_explain(const struct mr_plan *plan, uint64_t keys, FILE *out) {
    char commit[MR_TEXT_MAX];
    const char *key = find_key(plan);
    fprintf(out, "\nrows: one per record that comes through\n  job, time");
    for (size_t i = 0; i < plan->column_count; i++) {
        fprintf(out, ", %s", plan->columns[i].name);
    }
    fprintf(out, "\n  with the key, the partition and the event time of the record\n");
    fprintf(out, "\ntime\n  A row is there with the next commit, at most %s after its record.\n",
            mr_format_duration(plan->commit_ns, commit));
    if (key) {
        explain_state(plan, key, keys, out);
    }
}
