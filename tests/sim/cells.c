/* State after a crash equals state without one: after a commit, the cells in memory are those in
 * the changelog, no more and no less; and a worker that starts in the place of this one has the
 * same cells, counters, R, H and offset. Its T may lie behind: a tick that closed nothing is not
 * worth a transaction; but not so far that a span that has closed were open again. */
#include "tests/sim/sim.h"

#include "engine/run/table.h"
#include <stdlib.h>

struct lines { /* one piece of text a cell */
    struct mr_buffer *items;
    size_t count;
};

struct snapshot {
    const struct sim *sim;
    const struct sim_fleet *fleet;
    struct mr_buffer text[SIM_PARTITIONS]; /* empty: not a partition of this worker  */
    int64_t t_ns[SIM_PARTITIONS];
    int64_t closed_ns[SIM_PARTITIONS]; /* the largest end + grace of a closed cell       */
    bool compare_log;
};

static struct mr_buffer *add_line(struct lines *lines) {
    if ((lines->count & (lines->count - 1)) == 0) {
        size_t capacity = lines->count ? 2 * lines->count : 1;
        lines->items = mr_reallocate(lines->items, capacity * sizeof *lines->items);
    }
    lines->items[lines->count] = (struct mr_buffer){0};
    return &lines->items[lines->count++];
}

static void put_bytes(struct mr_buffer *out, const void *bytes, size_t length) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = bytes;
    mr_buffer_reserve(out, 3 * length);
    for (size_t i = 0; i < length; i++) {
        char escaped[3] = {'\\', digits[at[i] >> 4], digits[at[i] & 15]};
        bool plain = at[i] > ' ' && at[i] < 127;
        memcpy(out->data + out->length, plain ? (const char *)&at[i] : escaped, plain ? 1 : 3);
        out->length += plain ? 1 : 3;
    }
}

static void describe_window(const struct mr_plan *plan, const struct mr_cell *cell,
                            struct mr_buffer *out) {
    struct mr_slice group = mr_cell_group(cell);
    struct mr_accumulator packed = {0};
    mr_buffer_format(out, "window %.2f to %.2f ", (double)cell->span.start_ns / 1e9,
                     (double)cell->span.end_ns / 1e9);
    put_bytes(out, group.data, group.length);
    mr_buffer_format(out, " closed %d rev %u pending %d: ", cell->closed, cell->rev, cell->pending);
    if (!cell->accumulators) {
        put_bytes(out, cell->packed.data, cell->packed.length);
        return;
    }
    for (size_t i = 0; i < plan->measures.count; i++) {
        const struct mr_measure *measure = &plan->measures.items[i];
        struct mr_buffer prefix = {0};
        packed.length = 0;
        measure->aggregate->pack(&cell->accumulators[i], measure->settings, &packed);
        mr_put_varint(&prefix, packed.length);
        put_bytes(out, prefix.data, prefix.length);
        put_bytes(out, packed.body, packed.length);
        mr_buffer_finish(&prefix);
    }
    free(packed.body);
}

struct lines_of_plan {
    const struct mr_plan *plan;
    struct lines lines;
};

static bool describe_cell(void *arg, struct mr_cell *cell) {
    struct lines_of_plan *all = arg;
    struct mr_buffer *out = add_line(&all->lines);
    if (cell->kind != MR_CELL_KEYED) {
        describe_window(all->plan, cell, out);
        return true;
    }
    struct mr_slice key = mr_cell_group(cell);
    mr_buffer_text(out, "keyed ");
    put_bytes(out, key.data, key.length);
    mr_buffer_text(out, ": ");
    put_bytes(out, cell->accumulators[0].body, cell->accumulators[0].length);
    return true;
}

static int compare(const void *left, const void *right) {
    return strcmp(((const struct mr_buffer *)left)->data, ((const struct mr_buffer *)right)->data);
}

/* Every cell of a store, sorted. */
static void describe_store(const struct mr_plan *plan, struct mr_store *store,
                           struct mr_buffer *out) {
    struct lines_of_plan all = {plan, {0}};
    mr_store_sweep(store, describe_cell, &all);
    struct lines lines = all.lines;
    for (size_t i = 0; i < lines.count; i++) {
        mr_buffer_add(&lines.items[i], "", 1);
    }
    if (lines.count > 0) {
        qsort(lines.items, lines.count, sizeof *lines.items, compare);
    }
    for (size_t i = 0; i < lines.count; i++) {
        mr_buffer_format(out, "%s\n", lines.items[i].data);
        mr_buffer_finish(&lines.items[i]);
    }
    mr_buffer_add(out, "", 1);
    out->length--;
    free(lines.items);
}

/* ---- The changelog -------------------------------------------------------------------------- */

/* Number 0 is the windows', then come the versions of each table. */
static struct mr_store *store_of_changelog(const struct sim *sim, const struct mr_plan *plan,
                                           size_t number, uint32_t partition) {
    static const struct mr_measures none;
    const struct mr_table *table = number > 0 ? &plan->tables[number - 1] : NULL;
    struct mr_store *store = table ? mr_store_create(&none, table->layout_hash)
                                   : mr_store_create(&plan->measures, plan->layout_hash);
    struct mr_partition source = {.partition = partition};
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_error err;
    snprintf(source.topic, sizeof source.topic, "%s",
             table ? table->changelog_topic : plan->changelog_topic);
    if (mr_reader_open(sim->log, &source, -1, &reader, &err) != MR_OK) {
        sim_fail(sim, "%s", err.text);
    }
    while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
        for (size_t i = 0; i < batch.count; i++) {
            const struct mr_message *message = &batch.messages[i];
            if (!mr_slice_equal(message->key, mr_slice_of(MR_LAYOUT_KEY)) &&
                mr_store_restore(store, message->key, message->value, NULL, &err) != MR_OK) {
                sim_fail(sim, "partition %u: the changelog: %s", partition, err.text);
            }
        }
    }
    mr_reader_close(reader);
    return store;
}

/* Fails with the first line that differs. */
static void compare_texts(const struct sim *sim, uint32_t partition, const char *what,
                          const struct mr_buffer *is, const struct mr_buffer *should) {
    size_t line = 0, at = 0;
    while (at < is->length && at < should->length && is->data[at] == should->data[at]) {
        line = is->data[at++] == '\n' ? at : line;
    }
    if (at < is->length || at < should->length) {
        const char *a = line < is->length ? is->data + line : "nothing";
        const char *b = line < should->length ? should->data + line : "nothing";
        sim_fail(sim, "partition %u: %s:\n  %.*s\n  in memory before:\n  %.*s", partition, what,
                 (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
    }
}

static void compare_log(const struct sim *sim, struct mr_task *task) {
    uint32_t partition = task->source.partition;
    for (size_t i = 0; i <= task->plan->table_count; i++) {
        struct mr_buffer logged = {0}, live = {0};
        struct mr_store *store = store_of_changelog(sim, task->plan, i, partition);
        describe_store(task->plan, store, &logged);
        describe_store(task->plan, mr_kept_of(task, i).store, &live);
        compare_texts(sim, partition, "the changelog has other cells", &logged, &live);
        mr_store_destroy(store);
        mr_buffer_finish(&logged);
        mr_buffer_finish(&live);
    }
}

/* ---- A worker ------------------------------------------------------------------------------- */

static void describe_tally(struct mr_buffer *out, const struct mr_tally *tally) {
    mr_buffer_format(out, "%zu %zu %zu %zu %zu %zu\n", tally->read, tally->used, tally->filtered,
                     tally->late, tally->duplicate, tally->dead);
}

/* What a new task reads of its tables, to their ends, does not count. */
static void describe_tables(struct mr_task *task, struct mr_buffer *out) {
    for (size_t i = 0; i < task->plan->table_count; i++) {
        const struct mr_table_tally *tally = &task->counters.tables[i];
        mr_buffer_format(out, "table %zu at %lld: %zu %zu %zu %zu\n", i,
                         (long long)task->tables[i].position, tally->read, tally->bad,
                         tally->tombstones, tally->late);
        describe_store(task->plan, task->tables[i].store, out);
    }
}

struct visited {
    const struct sim *sim;
    const struct mr_task *task;
    int64_t closed_ns; /* T, at least, by the last closed window */
};

/* A pane closes with the last window that has it. */
static int64_t end_of(const struct mr_plan *plan, const struct mr_cell *cell) {
    return cell->span.end_ns + (cell->kind == MR_CELL_WINDOW ? plan->panes.reach_ns : 0);
}

/* What is due has closed, and what is out of reach is gone; after a restart with other settings
 * not before the next record. */
static void check_due(const struct visited *visited, const struct mr_cell *cell) {
    const struct mr_task *task = visited->task;
    int64_t graced_ns = end_of(task->plan, cell) + task->plan->lateness.grace_ns;
    if (!cell->closed && graced_ns <= task->times.watermark_ns) {
        sim_fail(visited->sim,
                 "partition %u: a window should have closed: it ends at %lld, T is %lld",
                 task->source.partition, (long long)cell->span.end_ns,
                 (long long)task->times.watermark_ns);
    }
    if (graced_ns + task->plan->retain_ns <= task->times.stream_ns) {
        sim_fail(visited->sim, "partition %u: a window should be gone: it ends at %lld, R is %lld",
                 task->source.partition, (long long)cell->span.end_ns,
                 (long long)task->times.stream_ns);
    }
}

static bool visit_window(void *arg, struct mr_cell *cell) {
    struct visited *visited = arg;
    const struct mr_plan *plan = visited->task->plan;
    int64_t graced_ns = end_of(plan, cell) + plan->lateness.grace_ns;
    if (cell->kind != MR_CELL_KEYED && cell->closed && graced_ns > visited->closed_ns) {
        visited->closed_ns = graced_ns;
    }
    if (cell->kind != MR_CELL_KEYED && visited->sim->epoch == 0) {
        check_due(visited, cell);
    }
    return true;
}

static void note_times(struct snapshot *snapshot, const struct mr_task *task) {
    if (snapshot->fleet->stage == 1 &&
        sim_shadow_watermark(snapshot->sim, task->source.partition, task->offset) !=
            task->times.watermark_ns) {
        sim_fail(
            snapshot->sim,
            "partition %u of the second stage, at %lld: T is %lld, by the markers it is %lld",
            task->source.partition, (long long)task->offset, (long long)task->times.watermark_ns,
            (long long)sim_shadow_watermark(snapshot->sim, task->source.partition, task->offset));
    }
    struct visited visited = {snapshot->sim, task, INT64_MIN};
    mr_store_sweep(task->store, visit_window, &visited);
    snapshot->t_ns[task->source.partition] = task->times.watermark_ns;
    snapshot->closed_ns[task->source.partition] = visited.closed_ns;
}

static void describe_task(void *arg, const struct mr_partition *source,
                          const struct mr_counters *counters) {
    struct snapshot *snapshot = arg;
    struct mr_task *task = sim_task(counters);
    struct mr_buffer *out = &snapshot->text[source->partition];
    if (snapshot->compare_log) {
        compare_log(snapshot->sim, task);
    }
    note_times(snapshot, task);
    mr_buffer_format(out, "offset %lld R %lld H %lld\n",
                     (long long)(task->offset < 0 ? 0 : task->offset),
                     (long long)task->times.stream_ns, (long long)task->times.horizon_ns);
    describe_tally(out, &counters->records);
    describe_tally(out, &counters->samples);
    mr_buffer_format(out, "revisions %zu gaps", counters->revisions);
    for (size_t i = 0; i < MR_GAP_FIELDS; i++) {
        mr_buffer_format(out, " %zu", counters->gaps[i]);
    }
    mr_buffer_text(out, "\n");
    describe_tables(task, out);
    describe_store(task->plan, task->store, out);
}

/* What is new of the worker's tasks: each as it is when it begins to run. */
static void describe_new(void *arg, const struct mr_partition *source,
                         const struct mr_counters *counters) {
    struct snapshot *snapshot = arg;
    if (snapshot->text[source->partition].length == 0) {
        describe_task(arg, source, counters);
    }
}

static bool has_all(const struct snapshot *is, const struct snapshot *wanted) {
    for (uint32_t p = 0; p < SIM_PARTITIONS; p++) {
        if (wanted->text[p].length > 0 && is->text[p].length == 0) {
            return false;
        }
    }
    return true;
}

/* Another worker in the place of this one, until the tasks that `before` has run again. */
static void replace(struct sim_fleet *fleet, uint32_t number, const struct snapshot *before,
                    struct snapshot *after) {
    struct mr_error err;
    sim_worker_replace(fleet, number);
    struct mr_worker *worker = fleet->workers[number];
    while (!has_all(after, before)) {
        if (mr_worker_step(worker, 0, &err) != MR_OK) {
            sim_fail(fleet->sim, "worker %u does not restore: %s", number, err.text);
        }
        sim_shadow_read(fleet->sim);
        mr_worker_visit(worker, describe_new, after);
    }
}

static void compare_times(const struct snapshot *before, const struct snapshot *after) {
    const struct sim *sim = before->sim;
    bool by_time = sim->epoch == 0 && !before->fleet->until_end; /* no --close, one grace */
    for (uint32_t p = 0; p < SIM_PARTITIONS; p++) {
        if (before->text[p].length > 0 && (after->t_ns[p] > before->t_ns[p] ||
                                           (by_time && after->t_ns[p] < before->closed_ns[p]))) {
            sim_fail(sim, "partition %u: T was %lld, of another worker it is %lld", p,
                     (long long)before->t_ns[p], (long long)after->t_ns[p]);
        }
    }
}

void sim_cells_check(struct sim_fleet *fleet, uint32_t number) {
    const struct sim *sim = fleet->sim;
    struct snapshot before = {.sim = sim, .fleet = fleet, .compare_log = true};
    struct snapshot after = {.sim = sim, .fleet = fleet};
    struct mr_error err;
    struct mr_worker *worker = fleet->workers[number];
    sim_tell(sim, "worker %u is compared with its changelog", number);
    fleet->sim->acting = fleet;
    if (mr_worker_commit(worker, &err) != MR_OK) {
        sim_fail(sim, "a commit failed: %s", err.text);
    }
    sim_shadow_read(fleet->sim);
    mr_worker_visit(worker, describe_task, &before);
    replace(fleet, number, &before, &after);
    compare_times(&before, &after);
    for (uint32_t p = 0; p < SIM_PARTITIONS; p++) {
        if (before.text[p].length > 0) {
            compare_texts(sim, p, "another worker has another state", &after.text[p],
                          &before.text[p]);
        }
        mr_buffer_finish(&before.text[p]);
        mr_buffer_finish(&after.text[p]);
    }
}
