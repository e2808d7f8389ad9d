/* Explain: what the job will do, before it runs, for the person who will run it.
 *
 * Sizes of accumulators are not guessed: each aggregate is given values and packed, as the engine
 * does at a commit. Twice: a minute of alike values, one a second, and many values of both signs
 * over twelve decades, which fills a digest as no instrument does. What a job needs lies between.
 *
 *   changelog    every group that had records writes its open window, whole, once a commit
 *   memory       open windows as accumulators, closed ones packed, until they are dropped */
#include "engine/job/load.h"
#include <math.h>
#include <stdlib.h>

/* What a cell costs beside its accumulators: its key, its place in the tables. */
#define CELL_OVERHEAD 128

#define ALIKE_VALUES 60
#define WIDE_BLOCKS  64

struct size {
    int64_t memory, packed; /* bytes */
};
struct sizes {
    struct size alike, wide;
};

/* ---- Sizes ------------------------------------------------------------------------------------
 */

static struct mr_summary summarise(const double *values, uint32_t count) {
    struct mr_summary summary = {
        .finite = count, .shift = values[0], .min = values[0], .max = values[0]};
    for (uint32_t i = 0; i < count; i++) {
        double deviation = values[i] - summary.shift;
        summary.deviations += deviation;
        summary.squares += deviation * deviation;
        summary.min = fmin(summary.min, values[i]);
        summary.max = fmax(summary.max, values[i]);
    }
    return summary;
}

static void add(const struct mr_measure *measure, struct mr_accumulator *accumulator,
                const double *values, uint32_t count) {
    struct mr_summary summary = summarise(values, count);
    struct mr_record record = {.samples = count, .rate_hz = 1, .last_ns = (count - 1) * MR_SECOND};
    struct mr_part part = {.n = count, .seconds = 1, .record = &record};
    int64_t ns[MR_BLOCK];
    struct mr_held held = {.n = count, .x = values, .from = values, .ns = ns};
    for (uint32_t i = 0; i < count; i++) {
        ns[i] = MR_SECOND;
    }
    if (measure->slot >= 0) {
        part.f64 = values;
        part.summary = &summary;
    }
    part.held = measure->aggregate->feed != MR_FEED_SAMPLES ? &held : NULL;
    measure->aggregate->add(accumulator, measure->settings, &part);
}

static void add_alike(const struct mr_measure *measure, struct mr_accumulator *accumulator) {
    double values[ALIKE_VALUES];
    for (int i = 0; i < ALIKE_VALUES; i++) {
        values[i] = 1 + 0.1 * sin(i);
    }
    add(measure, accumulator, values, ALIKE_VALUES);
}

static void add_wide(const struct mr_measure *measure, struct mr_accumulator *accumulator) {
    double values[MR_BLOCK];
    for (int i = 0; i < WIDE_BLOCKS * MR_BLOCK; i++) {
        double share = fmod(i * 0.6180339887498949, 1); /* evenly spread, without chance */
        values[i % MR_BLOCK] = (i % 2 ? -1 : 1) * pow(10, 12 * share - 6);
        if (i % MR_BLOCK == MR_BLOCK - 1) {
            add(measure, accumulator, values, MR_BLOCK);
        }
    }
}

static struct size size_after(const struct mr_measure *measure,
                              void (*fill)(const struct mr_measure *, struct mr_accumulator *)) {
    const struct mr_aggregate_type *type = measure->aggregate;
    struct mr_accumulator accumulator = {.head = mr_allocate(type->head_size)};
    struct mr_accumulator packed = {0};
    fill(measure, &accumulator);
    type->pack(&accumulator, measure->settings, &packed);
    struct size size = {type->head_size + accumulator.capacity, packed.length};
    free(accumulator.head);
    free(accumulator.body);
    free(packed.body);
    return size;
}

static struct sizes sizes_of(const struct mr_measure *measure) {
    return (struct sizes){size_after(measure, add_alike), size_after(measure, add_wide)};
}

static struct sizes sizes_of_cell(const struct mr_plan *plan) {
    struct size start = {CELL_OVERHEAD, CELL_OVERHEAD};
    struct sizes sum = {start, start};
    for (size_t i = 0; i < plan->measures.count; i++) {
        struct sizes sizes = sizes_of(&plan->measures.items[i]);
        sum.alike.memory += sizes.alike.memory;
        sum.alike.packed += sizes.alike.packed;
        sum.wide.memory += sizes.wide.memory;
        sum.wide.packed += sizes.wide.packed;
    }
    return sum;
}

/* ---- Text helpers -----------------------------------------------------------------------------
 */

static void print_duration(int64_t ns, FILE *out) {
    char text[MR_TEXT_MAX];
    fputs(mr_format_duration(ns, text), out);
}

static void print_bytes(double bytes, FILE *out) {
    char text[MR_TEXT_MAX];
    fputs(mr_format_size(bytes < 0x1p62 ? (int64_t)bytes : INT64_MAX, text), out);
}

static const char *plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

static const char *field_name(const struct mr_plan *plan, int slot) {
    return slot >= 0 ? plan->input.fields[slot].name : "";
}

/* ---- Topics -----------------------------------------------------------------------------------
 */

static bool is_regrouped(const struct mr_plan *plan, uint32_t partitions) {
    const struct mr_plan *stages[2];
    struct mr_error err;
    return mr_plan_admits(plan, partitions, &err) == MR_OK &&
           mr_plan_stages(plan, partitions, stages) == 2;
}

/* Names only: a value may be a secret. */
static void print_properties(const struct mr_plan *plan, FILE *out) {
    for (size_t i = 0; i < plan->property_count; i++) {
        fprintf(out, "%s%s", i ? ", " : "  connected with ", plan->properties[i].name);
    }
    fputs(plan->property_count ? "\n" : "", out);
}

static void print_tables_read(const struct mr_plan *plan, FILE *out) {
    for (size_t i = 0; i < plan->table_count; i++) {
        const struct mr_table *table = &plan->tables[i];
        fprintf(out, "  %-36s read: table %s, as of its %s%s\n", table->join.topic,
                table->join.name, table->input.time_field,
                (int)table->join.key_slot == plan->input.key_slot
                    ? "; as many partitions as the input, or one"
                    : "; one partition");
    }
}

static void print_topics(const struct mr_plan *plan, uint32_t partitions, FILE *out) {
    char count[MR_TEXT_MAX] = "";
    if (partitions > 0) {
        snprintf(count, sizeof count, ", %u partition%s", partitions, plural(partitions));
    }
    fprintf(out, "\ntopics of %s\n", plan->log_url);
    print_properties(plan, out);
    fprintf(out, "  %-36s read: %s%s\n", plan->topic, plan->codec->name, count);
    print_tables_read(plan, out);
    for (size_t i = 0; i < plan->output_count; i++) {
        const struct mr_output *output = &plan->outputs[i];
        fprintf(out, "  %-36s written: rows, ", output->topic);
        if (output->retention_ns < 0) {
            fprintf(out, "kept for good\n");
        } else {
            fprintf(out, "kept ");
            print_duration(output->retention_ns, out);
            fprintf(out, strncmp(plan->log_url, "kafka:", 6) == 0
                             ? ", from the start of their windows\n"
                             : "\n");
        }
    }
    fprintf(out, "  %-36s written: bad records, with the reason\n", plan->dead_letter_topic);
    fprintf(out, "  %-36s the engine's own: %s\n", plan->changelog_topic,
            plan->window.type ? "open and retained windows" : "what steps remember of each key");
    for (size_t i = 0; i < plan->table_count; i++) {
        fprintf(out, "  %-36s the engine's own: what table %s has said; --reset keeps it\n",
                plan->tables[i].changelog_topic, plan->tables[i].join.name);
    }
    if (is_regrouped(plan, partitions)) {
        fprintf(out, "  %-36s the engine's own: from the first stage to the second\n",
                plan->repartition_topic);
        fprintf(out, "  %-36s the engine's own: what the first stage remembers\n",
                plan->upstream->changelog_topic);
    }
}

static void print_key(const struct mr_plan *plan, uint32_t partitions, FILE *out) {
    const struct mr_input *input = &plan->input;
    struct mr_error err = {0};
    if (mr_plan_checks_key(plan, partitions)) {
        fprintf(out, "  key: %s `%s` of each record must equal its key, or it is a dead letter\n",
                input->key_source == MR_KEY_HEADER ? "header" : "field", input->key_name);
    }
    if (mr_plan_admits(plan, partitions, &err) != MR_OK) {
        fprintf(out, "  %s: %s\n", partitions ? "this will not run" : "needs one partition",
                err.text);
    }
}

static void print_stages(const struct mr_plan *plan, uint32_t partitions, FILE *out) {
    if (!is_regrouped(plan, partitions)) {
        return;
    }
    const struct mr_input *input = &plan->input;
    fprintf(out, "\nstages: two%s\n", partitions ? "" : ", where the topic has several partitions");
    if (input->key_source == MR_KEY_NONE) {
        fprintf(out, "  The job does not say by what `%s` is partitioned.\n", plan->topic);
    } else {
        fprintf(out, "  `group_by` does not have `%s`, by which `%s` is partitioned.\n",
                input->key_source == MR_KEY_FIELD ? input->key_name : "key", plan->topic);
    }
    fprintf(out,
            "  1 %-20s reads records, does the steps below, and at each commit sends what it has\n"
            "    %-20s added to every window\n"
            "  2 %-20s merges that, closes windows, makes the rows\n"
            "  A window closes when all partitions that are not silent have passed its end and "
            "grace.\n",
            plan->upstream->member, "", plan->downstream->member);
}

/* ---- Steps ------------------------------------------------------------------------------------
 */

static void print_fields(const struct mr_plan *plan, const struct mr_slots *slots, FILE *out) {
    for (size_t i = 0; i < slots->count; i++) {
        fprintf(out, "%s%s", i ? ", " : "", field_name(plan, slots->slots[i]));
    }
}

static void print_made(const struct mr_plan *plan, const struct mr_assignments *made, FILE *out) {
    for (size_t i = 0; i < made->count; i++) {
        fprintf(out, "%s%s", i ? ", " : "", field_name(plan, made->items[i].slot));
    }
}

static void print_pairs(const struct mr_pairs *pairs, FILE *out) {
    for (size_t i = 0; i < pairs->count; i++) {
        const struct mr_pair *pair = &pairs->items[i];
        fprintf(out, "%s%.*s -> %.*s", i ? ", " : "", (int)pair->first.length, pair->first.data,
                (int)pair->second.length, pair->second.data);
    }
}

static void print_step_option(const struct mr_plan *plan, const struct mr_option *option,
                              const void *options, FILE *out) {
    const void *member = (const char *)options + option->offset;
    if (option->type == MR_OPTION_FIELDS) {
        fprintf(out, "; %s: ", option->name);
        print_fields(plan, member, out);
    } else if (option->type == MR_OPTION_ASSIGNMENTS) {
        fprintf(out, ": ");
        print_made(plan, member, out);
    } else if (option->type == MR_OPTION_DURATION) {
        int64_t ns;
        memcpy(&ns, member, sizeof ns);
        fprintf(out, "; %s: ", option->name);
        print_duration(ns, out);
    } else if (option->type == MR_OPTION_FIELD || option->type == MR_OPTION_KEY) {
        const struct mr_field_name *field = member;
        fprintf(out, "; %s: %s", option->name, field->name);
    } else if (option->type == MR_OPTION_PAIRS) {
        fprintf(out, "; %s: ", option->name);
        print_pairs(member, out);
    }
}

static void print_steps(const struct mr_plan *plan, FILE *out) {
    fprintf(out, "\nsteps of a record\n");
    fprintf(out, "  %-12s %s\n", "decode", plan->codec->summary);
    fprintf(out, "  %-12s more than ", "ahead");
    print_duration(plan->lateness.max_ahead_ns, out);
    fprintf(out, " beyond the time the log took it: to the dead letters\n");
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct mr_step *step = &plan->steps[i];
        fprintf(out, "  %-12s %s", step->type->name, step->type->summary);
        if (step->type->place == MR_PLACE_JOIN) {
            mr_join_explain(plan, step->options, out);
            fprintf(out, "\n");
            continue;
        }
        for (const struct mr_option *o = step->type->options; o && o->name; o++) {
            print_step_option(plan, o, step->options, out);
        }
        fprintf(out, "\n");
    }
}

/* ---- Rows -------------------------------------------------------------------------------------
 */

/* What overlapping windows cost. */
static void print_panes(const struct mr_plan *plan, FILE *out) {
    const struct mr_panes *panes = &plan->panes;
    if (panes->count > 1) {
        fprintf(out, "; windows of ");
        print_duration(panes->reach_ns + panes->length_ns, out);
        fprintf(out, ", one every ");
        print_duration(panes->length_ns, out);
        fprintf(out, "\n  A record goes into one pane of ");
        print_duration(panes->length_ns, out);
        fprintf(out, ", a row is made of %u panes.", panes->count);
    }
}

static void print_rows(const struct mr_plan *plan, FILE *out) {
    fprintf(out, "\nrows: one per window");
    for (size_t i = 0; i < plan->group_count; i++) {
        fprintf(out, "%s%s", i ? ", " : " and ", plan->groups[i].name);
    }
    print_panes(plan, out);
    fprintf(out, "\n  job");
    for (size_t i = 0; i < plan->group_count; i++) {
        fprintf(out, ", %s", plan->groups[i].name);
    }
    fprintf(out, ", window_start, window_end, closed, rev\n");
    for (size_t i = 0; i < plan->stat_count; i++) {
        fprintf(out, "  %-20s %s\n", plan->stats[i].name, plan->stats[i].text);
    }
}

/* ---- Time -------------------------------------------------------------------------------------
 */

static void print_late_rule(const struct mr_plan *plan, FILE *out) {
    static const char *const rules[] = {
        [MR_LATE_REVISE] = "A record for a closed window still counts: the row comes again, with "
                           "rev\n  one higher, until the window is ",
        [MR_LATE_DROP] = "A record for a closed window is dropped and counted as late",
        [MR_LATE_DEAD_LETTER] = "A record for a closed window is counted as late and copied to "
                                "the dead letters",
    };
    fprintf(out, "  %s", rules[plan->lateness.late]);
    if (plan->lateness.late == MR_LATE_REVISE) {
        print_duration(plan->retain_ns, out);
        fprintf(out, " past its grace");
    }
    fprintf(out, ".\n");
}

static void print_time(const struct mr_plan *plan, FILE *out) {
    const struct mr_lateness *lateness = &plan->lateness;
    fprintf(out, "\ntime\n  A row closes when a record shows that the stream is ");
    print_duration(lateness->grace_ns, out);
    fprintf(out, " past the end of its window,\n  or, after ");
    print_duration(lateness->idle_ns, out);
    fprintf(out, " of silence in its partition, when the clock does.\n");
    print_late_rule(plan, out);
    if (plan->preview_ns > 0) {
        fprintf(out, "  While a window is open a row with closed: false comes every ");
        print_duration(plan->preview_ns, out);
        fprintf(out, ".\n");
    }
    fprintf(out, "  A closed row is there ");
    print_duration(lateness->grace_ns, out);
    fprintf(out, " to ");
    print_duration(mr_time_add(lateness->grace_ns, plan->commit_ns), out);
    fprintf(out, " after the end of its window (grace, then the next commit).\n");
}

/* ---- State ------------------------------------------------------------------------------------
 */

static void print_sizes(const char *name, const struct sizes *sizes, FILE *out) {
    fprintf(out, "  %-36s %8lld %8lld %12lld %8lld\n", name, (long long)sizes->alike.memory,
            (long long)sizes->alike.packed, (long long)sizes->wide.memory,
            (long long)sizes->wide.packed);
}

static void print_measure(const struct mr_plan *plan, const struct mr_measure *measure, FILE *out) {
    char name[96], settings[64] = "";
    struct sizes sizes = sizes_of(measure);
    if (measure->aggregate->describe) {
        measure->aggregate->describe(measure->settings, settings, sizeof settings);
    }
    snprintf(name, sizeof name, "%s%s%s%s%s", measure->aggregate->name,
             measure->slot >= 0 ? " of " : "", field_name(plan, measure->slot),
             *settings ? ", " : "", settings);
    print_sizes(name, &sizes, out);
}

/* Windows (or panes) of a group that begin within such a time. */
static double count_windows(const struct mr_plan *plan, int64_t kept_ns) {
    return ceil((double)kept_ns / (double)plan->panes.length_ns);
}

struct load {
    double groups, open, closed; /* windows of each group, or panes */
    double covers;               /* closed windows over panes       */
};

static double memory_of(const struct load *load, const struct size *cell) {
    return load->groups * (load->open * (double)cell->memory + load->closed * (double)cell->packed +
                           load->covers * CELL_OVERHEAD);
}

static void print_load(const struct mr_plan *plan, uint32_t partitions, const struct load *load,
                       const struct sizes *cell, FILE *out) {
    double per_second = load->groups / ((double)plan->commit_ns / 1e9);
    fprintf(out, "  memory     ");
    print_bytes(memory_of(load, &cell->alike), out);
    fprintf(out, " to ");
    print_bytes(memory_of(load, &cell->wide), out);
    fprintf(out, ", for %.0f open and %.0f closed %s of each; the limit is ", load->open,
            load->closed, plan->panes.count > 1 ? "panes" : "windows");
    print_bytes((double)plan->memory_bytes, out);
    fprintf(out, "\n  changelog  %.2f to %.2f MB/s, when each has records in every commit (",
            per_second * (double)cell->alike.packed / 1e6,
            per_second * (double)cell->wide.packed / 1e6);
    print_duration(plan->commit_ns, out);
    fprintf(out, ")\n");
    if (is_regrouped(plan, partitions)) {
        double sent = per_second * (partitions ? partitions : 1) / 1e6; /* overhead of a cell and
                                                                           of a delta are alike */
        fprintf(out,
                "  stages     %.2f to %.2f MB/s between them, when %s has records of each group "
                "in\n             every commit\n",
                sent * (double)cell->alike.packed, sent * (double)cell->wide.packed,
                partitions ? "every partition" : "one partition");
    }
    if (memory_of(load, &cell->alike) > (double)plan->memory_bytes) {
        fprintf(out, "  The limit will stop the job: raise `memory`, or lower `retain`.\n");
    }
}

static void print_held(const struct mr_plan *plan, FILE *out) {
    for (size_t i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].type->place == MR_PLACE_HOLD) {
            fprintf(out, "  and for each key and field that is held: its values of the last ");
            print_duration(plan->lateness.grace_ns, out);
            fprintf(out, " and some 64 more, 24 bytes each\n");
        }
    }
}

static void print_state(const struct mr_plan *plan, uint64_t groups, uint32_t partitions,
                        FILE *out) {
    struct sizes cell = sizes_of_cell(plan);
    struct load load = {
        .groups = (double)groups,
        .open = plan->panes.count + count_windows(plan, plan->lateness.grace_ns),
        .closed = count_windows(plan, plan->retain_ns),
        .covers = plan->panes.count > 1 ? count_windows(plan, plan->retain_ns) : 0,
    };
    fprintf(out, "\nstate in bytes%24s %17s %21s\n", "", "60 alike values", "values of 12 decades");
    fprintf(out, "  %-36s %8s %8s %12s %8s\n", "", "memory", "packed", "memory", "packed");
    for (size_t i = 0; i < plan->measures.count; i++) {
        print_measure(plan, &plan->measures.items[i], out);
    }
    print_sizes(plan->panes.count > 1 ? "one group and pane, in all"
                                      : "one group and window, in all",
                &cell, out);
    print_held(plan, out);
    fprintf(out, "\nat %llu group%s (--groups N)\n", (unsigned long long)groups, plural(groups));
    print_load(plan, partitions, &load, &cell, out);
}

void mr_plan_explain(const struct mr_plan *plan, uint64_t groups, uint32_t partitions, FILE *out) {
    fprintf(out, "job %s%s%s\n", plan->job, *plan->description ? ": " : "", plan->description);
    print_topics(plan, partitions, out);
    print_key(plan, partitions, out);
    print_stages(plan, partitions, out);
    print_steps(plan, out);
    if (!plan->window.type) {
        mr_rows_explain(plan, groups, out);
        return;
    }
    print_rows(plan, out);
    print_time(plan, out);
    print_state(plan, groups, partitions, out);
}
