/* A commit: what a worker has done since the last one becomes true, all of it or nothing.
 *
 *   1 revisions      rows of closed windows that changed             appended
 *   2 changelog      every dirty cell, packed; tombstones            appended
 *   3 positions      of every task that did anything: next offset, and the note with R, T, H
 *                    and the counters
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
#include "engine/run/task.h"

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

static enum mr_status write_changelog(struct mr_task *task, struct mr_error *err) {
    struct changelog changelog = {task,
                                  {.topic = task->plan->changelog_topic,
                                   .partition = task->source.partition,
                                   .timestamp_ns = -1}};
    enum mr_status status = MR_OK;
    if (!task->layout_logged) {
        status = take(&changelog, mr_slice_of(MR_LAYOUT_KEY), mr_slice_of(task->plan->layout), err);
        task->layout_logged = true;
    }
    return status == MR_OK ? mr_store_take_dirty(task->store, take, &changelog, err) : status;
}

static bool reach(const struct mr_worker_watch *watch, const char *step) {
    return !watch || !watch->reach || watch->reach(watch->arg, step);
}

static enum mr_commit stopped(struct mr_error *err) {
    mr_error_set(err, MR_FAIL, "stopped by a test");
    return MR_UNKNOWN;
}

enum mr_commit mr_commit_tasks(struct mr_session *session, struct mr_task *tasks,
                               const struct mr_worker_watch *watch, struct mr_error *err) {
    size_t count = 0;
    for (struct mr_task *task = tasks; task; task = task->next) {
        count += task->moved;
    }
    struct mr_position *positions = mr_allocate_array(count, struct mr_position);
    enum mr_commit result = MR_COMMITTED;
    size_t n = 0;
    for (struct mr_task *task = tasks; task && result == MR_COMMITTED; task = task->next) {
        if (!task->moved) {
            continue;
        }
        if (!reach(watch, "revisions")) {
            result = stopped(err);
        } else if (mr_revisions_emit(task, err) != MR_OK) {
            result = MR_ABORTED;
        } else if (!reach(watch, "changelog")) {
            result = stopped(err);
        } else if (write_changelog(task, err) != MR_OK) {
            result = MR_ABORTED;
        } else {
            assert(mr_counters_balance(&task->counters));
            positions[n++] = (struct mr_position){task->source, task->offset, mr_note_write(task)};
        }
    }
    if (result == MR_COMMITTED) {
        result =
            reach(watch, "commit") ? mr_session_commit(session, positions, n, err) : stopped(err);
    }
    if (result == MR_COMMITTED && !reach(watch, "committed")) {
        result = stopped(err);
    }
    for (struct mr_task *task = tasks; task && result == MR_COMMITTED; task = task->next) {
        task->moved = false;
    }
    free(positions);
    return result;
}
