/* Plan: what was loaded becomes what tasks run: fields slot by slot, accumulators in a fixed
 * order, the names of the job's own topics, and the layout.
 *
 * The layout is the text of everything that gives the bytes of a cell their meaning:
 *
 *   window tumbling every=1m                 (or: no window)
 *   group device=device
 *   duplicates by=device,stream,sequence
 *   hold by=device
 *   measure count v1
 *   measure moments v1 power
 *   measure digest v1 power m=6
 *
 * Its hash goes with every changelog record; when it differs, the bytes are not read. So it has
 * what the bytes depend on and nothing else: accumulators are ordered by field and kind, not by
 * their place in the file, and a job may reorder, rename or add columns of the same accumulators
 * and keep its state. */
#include "engine/job/load.h"
#include <millrace/hash.h>
#include <stdlib.h>

/* ---- Measures ---------------------------------------------------------------------------------
 */

static size_t rank(const struct mr_aggregate_type *type) {
    size_t index = 0;
    while (mr_aggregate_types[index] != type) {
        index++;
    }
    return index;
}

/* Without a field first, then by the field's name, then in the order of the aggregates' table. */
static bool stands_before(const struct mr_loader *loader, const struct mr_measure *a,
                          const struct mr_measure *b) {
    if (a->slot == b->slot) {
        return rank(a->aggregate) < rank(b->aggregate);
    }
    if (a->slot < 0 || b->slot < 0) {
        return a->slot < 0;
    }
    return strcmp(loader->fields[a->slot].name, loader->fields[b->slot].name) < 0;
}

/* Sorts by insertion; `order[i]` is where measure i of the loader went. */
static void sort_measures(struct mr_loader *loader) {
    struct mr_plan *plan = loader->plan;
    struct mr_measure *sorted =
        mr_arena_take(plan->memory, (loader->measure_count + 1) * sizeof *sorted);
    size_t from[MR_STATS_MAX], to[MR_STATS_MAX];
    for (size_t i = 0; i < loader->measure_count; i++) {
        size_t at = i;
        for (; at > 0 && stands_before(loader, &loader->measures[i], &sorted[at - 1]); at--) {
            sorted[at] = sorted[at - 1];
            from[at] = from[at - 1];
        }
        sorted[at] = loader->measures[i];
        from[at] = i;
    }
    for (size_t i = 0; i < loader->measure_count; i++) {
        to[from[i]] = i;
    }
    for (size_t i = 0; i < plan->stat_count; i++) {
        plan->stats[i].measure = to[plan->stats[i].measure];
    }
    plan->measures = (struct mr_measures){sorted, loader->measure_count};
}

/* ---- Layout -----------------------------------------------------------------------------------
 */

static void add_option(struct mr_buffer *out, const struct mr_option *option, const void *options) {
    const void *member = (const char *)options + option->offset;
    char text[MR_TEXT_MAX];
    if (option->type == MR_OPTION_DURATION) {
        int64_t ns;
        memcpy(&ns, member, sizeof ns);
        mr_buffer_format(out, " %s=%s", option->name, mr_format_duration(ns, text));
    } else if (option->type == MR_OPTION_TEXT) {
        const char *value;
        memcpy(&value, member, sizeof value);
        mr_buffer_format(out, " %s=%s", option->name, value ? value : "");
    } else if (option->type == MR_OPTION_CHOICE) {
        int value;
        memcpy(&value, member, sizeof value);
        mr_buffer_format(out, " %s=%d", option->name, value);
    }
}

static void add_window(struct mr_buffer *out, const struct mr_plan *plan) {
    if (!plan->window.type) {
        mr_buffer_text(out, "no window\n");
        return;
    }
    mr_buffer_format(out, "window %s", plan->window.type->name);
    for (const struct mr_option *o = plan->window.type->options; o->name; o++) {
        add_option(out, o, plan->window.options);
    }
    mr_buffer_text(out, "\n");
}

/* What keyed cells are keyed by, and the field that they hold a value of. How long they are kept
 * does not change their meaning. */
static void add_identity(struct mr_buffer *out, const struct mr_loader *loader,
                         const struct mr_step *step) {
    const struct mr_option *options = step->type->options;
    if (step->type->place == MR_PLACE_HOLD) {
        const char *name = loader->plan->input.key_name;
        mr_buffer_format(out, "%s by=%s\n", step->type->name, name ? name : "key");
    }
    for (const struct mr_option *o = options; o && o->name; o++) {
        const void *member = (const char *)step->options + o->offset;
        const struct mr_slots *slots = member;
        const struct mr_field_name *field = member;
        if (o->type == MR_OPTION_FIELD || o->type == MR_OPTION_KEY) {
            mr_buffer_format(out, "%s %s=%s\n", step->type->name, o->name, field->name);
        }
        if (o->type != MR_OPTION_FIELDS) {
            continue;
        }
        mr_buffer_format(out, "%s %s=", step->type->name, o->name);
        for (size_t i = 0; i < slots->count; i++) {
            mr_buffer_format(out, "%s%s", i ? "," : "", loader->fields[slots->slots[i]].name);
        }
        mr_buffer_text(out, "\n");
    }
}

static void add_measure(struct mr_buffer *out, const struct mr_loader *loader,
                        const struct mr_measure *measure) {
    char settings[256] = "";
    mr_buffer_format(out, "measure %s v%u", measure->aggregate->name, measure->aggregate->version);
    if (measure->slot >= 0) {
        mr_buffer_format(out, " %s", loader->fields[measure->slot].name);
    }
    if (measure->aggregate->describe) {
        measure->aggregate->describe(measure->settings, settings, sizeof settings);
        mr_buffer_format(out, " %s", settings);
    }
    mr_buffer_text(out, "\n");
}

void mr_layout_make(struct mr_loader *loader, struct mr_plan *plan, unsigned parts) {
    bool windows = parts & MR_LAYOUT_WINDOWS;
    struct mr_buffer out = {0};
    if (windows) {
        add_window(&out, plan);
    } else {
        mr_buffer_text(&out, "regroup\n");
    }
    for (size_t i = 0; windows && i < plan->group_count; i++) {
        mr_buffer_format(&out, "group %s=%s\n", plan->groups[i].name,
                         loader->fields[plan->groups[i].slot].name);
    }
    for (size_t i = 0; (parts & MR_LAYOUT_KEYED) && i < plan->step_count; i++) {
        add_identity(&out, loader, &plan->steps[i]);
    }
    for (size_t i = 0; windows && i < plan->measures.count; i++) {
        add_measure(&out, loader, &plan->measures.items[i]);
    }
    plan->layout = mr_source_copy(&loader->source, mr_buffer_slice(&out));
    plan->layout_hash = mr_hash64(out.data, out.length);
    mr_buffer_finish(&out);
}

/* ---- The rest ---------------------------------------------------------------------------------
 */

static void set_fields(struct mr_loader *loader) {
    struct mr_input *input = &loader->plan->input;
    struct mr_field *fields =
        mr_arena_take(loader->plan->memory, (loader->field_count + 1) * sizeof *fields);
    memcpy(fields, loader->fields, loader->field_count * sizeof *fields);
    input->fields = fields;
    input->field_count = loader->field_count;
    input->key_slot = -1;
    if (input->key_source != MR_KEY_NONE) {
        bool by_name = input->key_source == MR_KEY_FIELD;
        input->key_slot = mr_field_find(loader, by_name ? input->key_name : "key");
    }
}

void mr_plan_finish(struct mr_loader *loader) {
    struct mr_plan *plan = loader->plan;
    sort_measures(loader);
    set_fields(loader);
    mr_join_finish(loader);
    mr_layout_make(loader, plan, MR_LAYOUT_KEYED | MR_LAYOUT_WINDOWS);
    plan->member = plan->job;
    plan->changelog_topic = mr_source_format(&loader->source, "%s-%s-changelog", plan->job,
                                             plan->window.type ? "windows" : "state");
    plan->dead_letter_topic = mr_source_format(&loader->source, "%s-dead-letters", plan->job);
    mr_regroup_plan(loader);
}

/* ---- Questions to a plan ----------------------------------------------------------------------
 */

/* A field that a step keeps state by and that is not the partition key. */
static const struct mr_field_name *find_other_key(const struct mr_plan *plan,
                                                  const struct mr_step **step) {
    for (size_t i = 0; i < plan->step_count; i++) {
        *step = &plan->steps[i];
        for (const struct mr_option *o = (*step)->type->options; o && o->name; o++) {
            const void *member = (const char *)(*step)->options + o->offset;
            const struct mr_field_name *field = member;
            if (o->type == MR_OPTION_KEY && field->slot != plan->input.key_slot) {
                return field;
            }
        }
    }
    return NULL;
}

static enum mr_status admit_steps(const struct mr_plan *plan, struct mr_error *err) {
    const struct mr_input *input = &plan->input;
    const char *key = input->key_source == MR_KEY_FIELD ? input->key_name : "key";
    const struct mr_step *step;
    const struct mr_field_name *by = find_other_key(plan, &step);
    if (!by) {
        return MR_OK;
    }
    if (input->key_source == MR_KEY_NONE) {
        return mr_error_set(err, MR_REJECT,
                            "`%s` has several partitions and the job does not say what its key is, "
                            "so the records of one `%s`, by which `%s` goes, may be in any of "
                            "them: say `from: {key: %s}` if that is the key, or give the topic one "
                            "partition",
                            plan->topic, by->name, step->type->name, by->name);
    }
    return mr_error_set(err, MR_REJECT,
                        "`%s` goes by `%s`, but `%s` is partitioned by `%s`, so the records of one "
                        "`%s` may be in several partitions: go by `%s`, or give the topic one "
                        "partition",
                        step->type->name, by->name, plan->topic, key, by->name, key);
}

static enum mr_status admit_duplicates(const struct mr_plan *plan, struct mr_error *err) {
    bool keyed = plan->input.key_source != MR_KEY_NONE;
    if (keyed || plan->steps[0].type->place != MR_PLACE_DUPLICATES) {
        return MR_OK;
    }
    return mr_error_set(err, MR_REJECT,
                        "`%s` has several partitions and the job does not say what its key is, so "
                        "`duplicates` would miss the one that is in another partition: name the "
                        "key in `from: {key: ...}`, or give the topic one partition",
                        plan->topic);
}

enum mr_status mr_plan_admits(const struct mr_plan *plan, uint32_t partitions,
                              struct mr_error *err) {
    if (partitions == 1) {
        return MR_OK;
    }
    enum mr_status status = admit_steps(plan, err);
    return status == MR_OK ? admit_duplicates(plan, err) : status;
}

bool mr_plan_checks_key(const struct mr_plan *plan, uint32_t partitions) {
    enum mr_key_source source = plan->input.key_source;
    return partitions != 1 && !plan->partitioned &&
           (source == MR_KEY_FIELD || source == MR_KEY_HEADER);
}
