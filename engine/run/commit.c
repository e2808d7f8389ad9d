/* A commit: what a worker has done since the last one becomes true, all of it or nothing.
 *
 *   1 revisions      rows of closed windows that changed             appended
 *     deltas         of the first of two stages: its cells, then
 *     markers        how far it is                                   appended
 *   2 changelog      every dirty cell, packed; tombstones            appended
 *                    of the windows, and of each table that is joined
 *   3 positions      of every task that did anything: next offset, and the note with R, T, H,
 *                    the counters and the positions in the tables
 *   4 commit         one transaction of the log holds 1 to 3, and the rows and dead letters that
 *                    were appended since the last commit
 *
 * A crash
 *   before 4, at any step      nothing of it is in the log: the restored task has the cells, the
 *                              times and the counters of the last commit, and reads the same
 *                              records again
 *   inside 4                   the log's transaction decides, whole or not at all; we do not know
 *                              which, and need not: restoring reads whatever is true
 *   after 4                    all of it is there; memory had nothing that is not
 * So a record counts once, and a row that was emitted between two commits is either in the log
 * with the offset behind it, or is made again from the same cells and records.
 *
 * A task that only ticked (closed spans in a silence) commits its position too, although it
 * consumed nothing: otherwise a worker that lost the partition could still emit rows. */
#include "engine/run/stage.h"
#include "engine/run/table.h"

#include <assert.h>
#include <stdlib.h>

struct changelog {
    struct mr_task *task;
    struct mr_append append;
};

static enum mr_status take(void *arg, struct mr_slice key, struct mr_slice value,
                           struct mr_error *err) {
    struct changelog *changelog = arg;
    changelog->append.key = key;
    changelog->append.value = value;
    return mr_session_append(changelog->task->session, &changelog->append, err);
}

static enum mr_status write_store(struct mr_task *task, const struct mr_kept *kept,
                                  struct mr_error *err) {
    struct changelog changelog = {
        task, {.topic = kept->topic, .partition = task->source.partition, .timestamp_ns = -1}};
    enum mr_status status = MR_OK;
    if (!*kept->layout_logged) {
        status = take(&changelog, mr_slice_of(MR_LAYOUT_KEY), mr_slice_of(kept->layout), err);
        *kept->layout_logged = true;
    }
    return status == MR_OK ? mr_store_take_dirty(kept->store, take, &changelog, err) : status;
}

static enum mr_status write_changelogs(struct mr_task *task, struct mr_error *err) {
    enum mr_status status = MR_OK;
    mr_tables_prune(task);
    for (size_t i = 0; i <= task->plan->table_count && status == MR_OK; i++) {
        struct mr_kept kept = mr_kept_of(task, i);
        status = write_store(task, &kept, err);
    }
    return status;
}

static bool reach(const struct mr_worker_watch *watch, const char *step) {
    return !watch || !watch->reach || watch->reach(watch->arg, step);
}

static enum mr_commit stopped(struct mr_error *err) {
    mr_error_set(err, MR_FAIL, "stopped by a test");
    return MR_UNKNOWN;
}

static enum mr_commit ship(struct mr_task *task, const struct mr_worker_watch *watch,
                           struct mr_error *err) {
    if (!reach(watch, "deltas")) {
        return stopped(err);
    }
    if (mr_ship_deltas(task, err) != MR_OK) {
        return MR_ABORTED;
    }
    if (!reach(watch, "markers")) {
        return stopped(err);
    }
    return mr_ship_markers(task, err) == MR_OK ? MR_COMMITTED : MR_ABORTED;
}

/* Everything of a task is appended, and where it stands is the next position. */
static enum mr_commit prepare(struct mr_task *task, const struct mr_worker_watch *watch,
                              struct mr_position *position, struct mr_error *err) {
    if (!reach(watch, "revisions")) {
        return stopped(err);
    }
    if (mr_revisions_emit(task, err) != MR_OK) {
        return MR_ABORTED;
    }
    if (task->ship) {
        enum mr_commit shipped = ship(task, watch, err);
        if (shipped != MR_COMMITTED) {
            return shipped;
        }
    }
    if (!reach(watch, "changelog")) {
        return stopped(err);
    }
    if (write_changelogs(task, err) != MR_OK) {
        return MR_ABORTED;
    }
    assert(mr_counters_balance(&task->counters));
    /* A partition that has never had a record may have a marker to send. */
    int64_t offset = task->offset >= 0 ? task->offset : task->reached;
    *position = (struct mr_position){task->source, offset, mr_note_write(task)};
    return MR_COMMITTED;
}

enum mr_commit mr_commit_tasks(struct mr_session *session, struct mr_task *const *tasks,
                               uint32_t partitions, const struct mr_worker_watch *watch,
                               struct mr_error *err) {
    struct mr_position *positions = mr_allocate_array(partitions, struct mr_position);
    enum mr_commit result = MR_COMMITTED;
    size_t count = 0;
    for (uint32_t p = 0; p < partitions && result == MR_COMMITTED; p++) {
        if (tasks[p] && tasks[p]->moved) {
            result = prepare(tasks[p], watch, &positions[count++], err);
        }
    }
    if (result == MR_COMMITTED && !reach(watch, "commit")) {
        result = stopped(err);
    }
    if (result == MR_COMMITTED) {
        result = mr_session_commit(session, positions, count, err);
    } else {
        mr_session_abort(session);
    }
    if (result == MR_COMMITTED && !reach(watch, "committed")) {
        result = stopped(err);
    }
    for (uint32_t p = 0; p < partitions && result == MR_COMMITTED; p++) {
        if (tasks[p]) {
            tasks[p]->moved = false;
        }
    }
    free(positions);
    return result;
}
