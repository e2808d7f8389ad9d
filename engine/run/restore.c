/* Restoring: the one way back, after a start, a crash, an abort and a move to another worker alike,
 * so it is exercised all the time. R, T, H and the counters come from the committed note, the cells
 * from the changelog of the task's partition. It drops and emits nothing: what a job file with a
 * shorter grace or retain has put out of reach closes and drops with the next record, when H
 * follows. Dropped here, an open window would never have its row, and a later job file that retains
 * longer would make the cell anew and begin again at rev 0.
 *
 *   assigned --> begin: the note --> step: a batch of the changelog --> ... its end: check --> runs
 *
 * A job that joins tables restores their versions in the same way, one changelog after the other,
 * and then reads the tables themselves to their ends; from then on its positions may be committed.
 *
 * A step is one batch, so that a worker's other tasks run on meanwhile. A log that compacts late
 * gives older records of a key and tombstones, too: in order, and the last one counts, which also
 * holds for records of another layout (all of them may have been dropped since).
 *
 * Refused, with the remedy: cells of another layout (which would be read as nonsense), cells beside
 * no committed offset (which would be counted twice), and an offset beside a changelog without a
 * layout (every first commit writes it, so what the offset counts is lost, or elsewhere). Versions
 * of another layout, after a reset, are forgotten: the table is read again from its start. */
#include "engine/run/table.h"
#include "engine/run/versions.h"

#include <inttypes.h>
#include <stdlib.h>

struct mr_restore {
    size_t number;              /* of what is read, see mr_kept_of; behind the last: tables  */
    bool begun;                 /* of the tables' own entries                                */
    struct mr_partition source; /* of the changelog                                          */
    struct mr_reader *reader;   /* NULL: not yet                                             */
    int64_t began_ns;           /* steady clock                                              */
    int64_t position;           /* behind the last record read                               */
    struct mr_store *foreign;   /* keys whose last record has another layout; NULL: none yet */
    struct mr_buffer layout;    /* as the changelog has it                                   */
};

static const struct mr_measures no_measures;

enum mr_status mr_restore_begin(struct mr_task *task, const struct mr_event *assigned,
                                struct mr_error *err) {
    struct mr_restore *restore = mr_allocate(sizeof(*restore));
    restore->source.partition = task->source.partition;
    restore->began_ns = task->clock->steady_ns(task->clock);
    task->restore = restore;
    task->offset = assigned->offset;
    return assigned->offset >= 0 ? mr_note_read(task, assigned->note, err) : MR_OK;
}

void mr_restore_destroy(struct mr_restore *restore) {
    if (restore) {
        mr_reader_close(restore->reader);
        mr_store_destroy(restore->foreign);
        mr_buffer_finish(&restore->layout);
        free(restore);
    }
}

/* ---- One record ----------------------------------------------------------------------------- */

static void take_layout(struct mr_task *task, const struct mr_kept *kept, struct mr_slice layout) {
    struct mr_buffer *known = &task->restore->layout;
    known->length = 0;
    mr_buffer_add(known, layout.data, layout.length);
    *kept->layout_logged = mr_slice_equal(layout, mr_slice_of(kept->layout));
}

static void note_foreign(struct mr_restore *restore, struct mr_slice key, bool foreign) {
    if (!restore->foreign && foreign) {
        restore->foreign = mr_store_create(&no_measures, 0);
    }
    struct mr_cell *cell = restore->foreign ? mr_store_keyed(restore->foreign, key, foreign) : NULL;
    if (cell && !foreign) {
        mr_store_drop(restore->foreign, cell);
    }
}

static enum mr_status take(struct mr_task *task, const struct mr_kept *kept,
                           const struct mr_message *message, struct mr_error *err) {
    if (mr_slice_equal(message->key, mr_slice_of(MR_LAYOUT_KEY))) {
        take_layout(task, kept, message->value);
        return MR_OK;
    }
    struct mr_cell *cell;
    enum mr_status status = mr_store_restore(kept->store, message->key, message->value, &cell, err);
    if (status == MR_OK && cell && task->restore->number > 0 &&
        !mr_versions_check(cell->accumulators)) {
        return mr_error_set(err, MR_FAIL, "the stored versions of a table are damaged");
    }
    if (status != MR_FAIL) {
        note_foreign(task->restore, message->key, status == MR_REJECT);
        return MR_OK; /* read on: the record that says which layout it was may come last */
    }
    return status;
}

/* ---- What is refused ------------------------------------------------------------------------ */

/* Whether `text` has the line as a whole. */
static bool has_line(const char *text, const char *line) {
    size_t length = strlen(line);
    const char *at = strstr(text, line);
    while (at && ((at > text && at[-1] != '\n') || (at[length] && at[length] != '\n'))) {
        at = strstr(at + 1, line);
    }
    return at;
}

/* The lines of `text` that `other` has not, each after `sign`. */
static void add_difference(struct mr_buffer *out, struct mr_slice text, const char *other,
                           const char *sign) {
    const char *at = text.data, *end = text.data + text.length;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        char line[256];
        snprintf(line, sizeof(line), "%.*s", (int)(stop - at), at);
        if (*line && !has_line(other, line)) {
            mr_buffer_format(out, "%s%s", sign, line);
        }
        at = stop + 1;
    }
}

static enum mr_status refuse_layout(const struct mr_task *task, const struct mr_kept *kept,
                                    struct mr_error *err) {
    struct mr_buffer difference = {0}, *layout = &task->restore->layout;
    struct mr_slice old = mr_buffer_slice(layout);
    mr_buffer_add(layout, "", 1);
    add_difference(&difference, old, kept->layout, "; it had: ");
    add_difference(&difference, mr_slice_of(kept->layout), layout->data, "; now: ");
    mr_buffer_add(&difference, "", 1);
    mr_error_set(err, MR_REJECT,
                 "job %s: its %s are not those that its stored state "
                 "was made with%s. Run it under another job name, or with --reset to forget its "
                 "state and read the input from the start (its output topics stay)",
                 task->plan->job,
                 task->restore->number == 0 ? "windows, groups or statistics" : "joined fields",
                 difference.data);
    mr_buffer_finish(&difference);
    return MR_REJECT;
}

/* Whether the committed note counts what should be there. */
static bool read_before(const struct mr_task *task) {
    size_t number = task->restore->number;
    return number == 0 ? task->offset >= 0 : task->tables[number - 1].position >= 0;
}

static enum mr_status refuse_lost(const struct mr_task *task, const struct mr_kept *kept,
                                  struct mr_error *err) {
    bool windows = task->restore->number == 0;
    const char *read =
        windows ? task->source.topic : task->plan->tables[task->restore->number - 1].join.topic;
    char other[64] = "";
    if (windows) {
        snprintf(other, sizeof other, ", or the job had %s window before",
                 task->plan->window.type ? "no" : "a");
    }
    return mr_error_set(err, MR_REJECT,
                        "job %s has committed what it read of %s/%u, but its state is not in "
                        "\"%s\", where every commit would have put something. That topic was "
                        "deleted%s. Run it under another job name, or with --reset to read the "
                        "input from the start (its output topics stay)",
                        task->plan->job, read, task->source.partition, kept->topic, other);
}

static bool forget(void *arg, struct mr_cell *cell) {
    const struct mr_kept *kept = arg;
    struct mr_slice key = mr_cell_group(cell); /* of the changelog's record: 'k', then the cell's */
    struct mr_cell *found =
        mr_store_keyed(kept->store, (struct mr_slice){key.data + 1, key.length - 1}, true);
    found->logged = true; /* so that a tombstone says that it is gone */
    mr_store_drop(kept->store, found);
    return true;
}

/* What the changelog holds must be this plan's, and have an offset that says what it counts. */
static enum mr_status check(struct mr_task *task, struct mr_kept *kept, struct mr_error *err) {
    struct mr_store *foreign = task->restore->foreign;
    bool versions = task->restore->number > 0;
    if (foreign && mr_store_cells(foreign) > 0) {
        if (!versions || task->offset >= 0) {
            return refuse_layout(task, kept, err);
        }
        mr_warn("job %s: the stored versions of table `%s` have other fields: they are forgotten, "
                "and the table is read from its start",
                task->plan->job, task->plan->tables[task->restore->number - 1].join.name);
        mr_store_sweep(foreign, forget, kept);
    }
    if (read_before(task) && task->restore->layout.length == 0) {
        return refuse_lost(task, kept, err);
    }
    if (!versions && task->offset < 0 && mr_store_cells(task->store) > 0) {
        return mr_error_set(err, MR_REJECT,
                            "job %s has stored state for %s/%u but no committed offset, so it "
                            "cannot know what that state has counted. Run it with --reset to "
                            "start again from the input",
                            task->plan->job, task->source.topic, task->source.partition);
    }
    return MR_OK;
}

/* ---- Step by step --------------------------------------------------------------------------- */

static size_t cells_of(const struct mr_task *task) {
    return mr_store_cells(task->store) + mr_tables_cells(task);
}

static void report(const struct mr_task *task) {
    char cells[MR_TEXT_MAX], took[MR_TEXT_MAX];
    int64_t took_ns = task->clock->steady_ns(task->clock) - task->restore->began_ns;
    if (took_ns > MR_SECOND) {
        mr_note("job %s: %s/%u: restored %s cells in %s", task->plan->job, task->source.topic,
                task->source.partition, mr_format_count(cells_of(task), cells),
                mr_format_duration(took_ns / 1000000 * 1000000, took));
    }
}

void mr_restore_tell(const struct mr_task *task, struct mr_log *log) {
    const struct mr_restore *restore = task->restore;
    char cells[MR_TEXT_MAX], share[MR_TEXT_MAX] = "";
    int64_t first, end;
    if (mr_log_bounds(log, &restore->source, &first, &end, NULL) == MR_OK && end > first &&
        restore->position > first) {
        int64_t done = restore->position < end ? restore->position - first : end - first;
        snprintf(share, sizeof(share), " (%.0f %%)", 100.0 * (double)done / (double)(end - first));
    }
    mr_note("job %s: %s/%u: restoring, %s cells so far%s", task->plan->job, task->source.topic,
            task->source.partition, mr_format_count(cells_of(task), cells), share);
}

/* Keys come in any order and a million cells fit no cache: ask for them some records ahead. */
static void prefetch(struct mr_task *task, const struct mr_batch *batch, size_t i) {
    static const size_t distance[4] = {12, 9, 6, 3};
    if (i + distance[0] < batch->count) {
        task->ahead[(i + distance[0]) % MR_AHEAD] =
            mr_store_record_hash(batch->messages[i + distance[0]].key);
    }
    for (int stage = 0; stage < 4; stage++) {
        if (i + distance[stage] < batch->count) {
            mr_store_prefetch(task->store, task->ahead[(i + distance[stage]) % MR_AHEAD], stage);
        }
    }
}

/* The next changelog, or after the last one the tables themselves. */
static void go_on(struct mr_restore *restore) {
    mr_reader_close(restore->reader);
    mr_store_destroy(restore->foreign);
    mr_buffer_finish(&restore->layout);
    restore->reader = NULL;
    restore->foreign = NULL;
    restore->position = 0;
    restore->number++;
}

static enum mr_status read_changelog(struct mr_task *task, int64_t timeout_ns, bool *came,
                                     struct mr_error *err) {
    struct mr_restore *restore = task->restore;
    struct mr_kept kept = mr_kept_of(task, restore->number);
    struct mr_batch batch = {0};
    enum mr_status status = MR_OK;
    if (!restore->reader) {
        snprintf(restore->source.topic, sizeof(restore->source.topic), "%s", kept.topic);
        status = mr_reader_open(task->log, &restore->source, -1, &restore->reader, err);
    }
    if (status == MR_OK) {
        status = mr_reader_read(restore->reader, timeout_ns, &batch, err);
    }
    for (size_t i = 0; i < batch.count && status == MR_OK; i++) {
        if (restore->number == 0) {
            prefetch(task, &batch, i);
        }
        status = take(task, &kept, &batch.messages[i], err);
        restore->position = batch.messages[i].offset + 1;
    }
    *came = batch.count > 0;
    if (status == MR_OK && batch.end) {
        status = check(task, &kept, err);
        go_on(restore);
    }
    return status;
}

/* What is read of a table may be committed at once, so the task needs an offset. */
static enum mr_status begin_tables(struct mr_task *task, struct mr_error *err) {
    int64_t end;
    enum mr_status status = MR_OK;
    task->restore->begun = true;
    if (task->offset < 0 && task->plan->table_count > 0) {
        status = mr_log_bounds(task->log, &task->source, &task->offset, &end, err);
    }
    return status == MR_OK ? mr_tables_begin(task, err) : status;
}

static enum mr_status read_tables(struct mr_task *task, int64_t timeout_ns, bool *came,
                                  struct mr_error *err) {
    bool done = false;
    enum mr_status status = task->restore->begun ? MR_OK : begin_tables(task, err);
    if (status == MR_OK) {
        status = mr_tables_step(task, timeout_ns, came, &done, err);
    }
    if (status == MR_OK && done) {
        report(task);
        mr_restore_destroy(task->restore);
        task->restore = NULL;
    }
    return status;
}

enum mr_status mr_restore_step(struct mr_task *task, int64_t timeout_ns, bool *came,
                               struct mr_error *err) {
    enum mr_status status = MR_OK;
    *came = false;
    if (task->restore->number <= task->plan->table_count) {
        status = read_changelog(task, timeout_ns, came, err);
    }
    if (status == MR_OK && task->restore->number > task->plan->table_count) {
        status = read_tables(task, *came ? 0 : timeout_ns, came, err);
    }
    return status;
}

/* An offset that the topic does not have (any more) is the job's to forget, and nobody else's. */
enum mr_status mr_restore_start(struct mr_task *task, struct mr_error *err) {
    struct mr_error reason = {""};
    enum mr_status status = mr_session_start(task->session, &task->source, task->offset, &reason);
    if (status == MR_REJECT) {
        return mr_error_set(err, status,
                            "job %s cannot go on where it was: %s. Run it with --reset to forget "
                            "its state and read the input from the start (its output topics stay)",
                            task->plan->job, reason.text);
    }
    task->trimmed = task->offset < 0 ? 0 : task->offset;
    task->trimmed_ns = task->clock->steady_ns(task->clock);
    return status == MR_OK ? MR_OK : mr_error_set(err, status, "%s", reason.text);
}
