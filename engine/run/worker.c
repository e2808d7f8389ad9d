/* THE LOOP. A worker is one thread with one session; the tasks of the partitions that the log
 * assigns to it are touched by nobody else.
 *
 *   poll the log      assigned | revoked | lost | batch | end
 *   batch:            step its task        decode, process; spans that are due close
 *   end (quiet):      tick its task
 *   restoring tasks:  one batch of one     they take turns, beside the tasks that run
 *   if due:           commit               changelog, outputs, offsets: one transaction
 *
 * After anything but a committed commit, all tasks are thrown away and the log assigns anew what is
 * still ours: restoring is the one recovery path. A rebalance may abort or fence a commit now and
 * then, so that alone is no failure. Commits that fail one after the other, with growing pauses,
 * end the worker with the last one's sentence: waiting does not help, or the log would have waited.
 *
 * The rows of a task lie in the same transaction as those of its neighbours. So a partition that is
 * lost takes all of it along when it had a part in it: nothing is committed for a partition that is
 * not ours. */
#include "engine/run/stage.h"
#include "engine/run/table.h"

#include <assert.h>
#include <stdlib.h>

#define PENDING_MAX     (64 << 20)               /* bytes appended: then commit, due or not */
#define FAILURES_MAX    5                        /* commits in a row that failed            */
#define PAUSE_NS        (100 * INT64_C(1000000)) /* after the second of them; then doubled  */
#define RESTORING_MAX   16                       /* changelogs that are read at a time      */
#define RESTORE_WAIT_NS (5 * INT64_C(1000000))   /* for a changelog's next records          */
#define TELL_NS         (3 * MR_SECOND)          /* between two lines about restoring       */

struct mr_worker {
    const struct mr_plan *plan;
    struct mr_log *log;
    const struct mr_clock *clock;
    struct mr_worker_options options;
    const struct mr_worker_watch *watch;
    struct mr_session *session;
    uint32_t partitions;        /* of the input                                        */
    struct mr_task **tasks;     /* by partition; NULL: not ours                        */
    struct mr_task **restoring; /* those of them that are restored, in order of arrival  */
    uint32_t restoring_count, turn;
    int64_t told_ns;      /* of restoring, steady clock                          */
    int64_t committed_ns; /* when we last tried to, steady clock                 */
    int64_t state_bytes;  /* of all tasks                                        */
    int64_t memory;       /* bytes that we have added to the crew's              */
    int64_t kept_bytes;   /* of state_bytes, after the last commit               */
    int failures;         /* commits that failed, since the last one that did not */
    int64_t retry_ns;     /* steady clock: nothing is restored before            */
    struct mr_breaker breaker;
    struct mr_trimmer trimmer;
    struct mr_crew *crew, alone; /* `alone` when it has none                            */
};

enum mr_status mr_worker_create(const struct mr_plan *plan, struct mr_log *log,
                                const struct mr_clock *clock,
                                const struct mr_worker_options *options, struct mr_worker **out,
                                struct mr_error *err) {
    struct mr_topic input;
    enum mr_status status = mr_log_describe(log, plan->topic, &input, err);
    if (status != MR_OK) {
        return status;
    }
    struct mr_worker *worker = mr_allocate(sizeof(*worker));
    worker->plan = plan;
    worker->log = log;
    worker->clock = clock;
    worker->options = *options;
    worker->crew = options->crew ? options->crew : &worker->alone;
    worker->partitions = input.partitions;
    worker->tasks = mr_allocate_array(input.partitions, struct mr_task *);
    worker->restoring = mr_allocate_array(input.partitions, struct mr_task *);
    worker->committed_ns = clock->steady_ns(clock);
    struct mr_session_options session = {plan->member, plan->topic, options->instance,
                                         options->worker, options->workers};
    status = mr_session_open(log, &session, &worker->session, err);
    if (status != MR_OK) {
        mr_worker_destroy(worker);
        return status;
    }
    *out = worker;
    return MR_OK;
}

void mr_worker_watch(struct mr_worker *worker, const struct mr_worker_watch *watch) {
    worker->watch = watch;
}

/* ---- Tasks come and go ---------------------------------------------------------------------- */

/* Its state counts for as much as it takes now. */
static void charge(struct mr_worker *worker, struct mr_task *task) {
    int64_t bytes = (int64_t)(mr_store_bytes(task->store) + mr_tables_bytes(task));
    worker->state_bytes += bytes - task->charged;
    task->charged = bytes;
}

/* Where the partitions of the worker's stage are, as its crew knows. */
static atomic_uchar *places(const struct mr_worker *worker) {
    return worker->crew->partitions[worker->plan->role == MR_DOWNSTREAM];
}

static void place(struct mr_worker *worker, uint32_t partition, enum mr_whereabouts where) {
    places(worker)[partition] = (unsigned char)where;
}

static void leave_restoring(struct mr_worker *worker, const struct mr_task *task) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < worker->restoring_count; i++) {
        if (worker->restoring[i] != task) {
            worker->restoring[kept++] = worker->restoring[i];
        }
    }
    worker->restoring_count = kept;
}

static void forget(struct mr_worker *worker, uint32_t partition) {
    struct mr_task *task = worker->tasks[partition];
    if (task) {
        leave_restoring(worker, task);
        worker->state_bytes -= task->charged;
        worker->tasks[partition] = NULL;
        place(worker, partition, MR_AWAY);
        mr_task_destroy(task);
    }
}

static void forget_tasks(struct mr_worker *worker) {
    worker->restoring_count = 0;
    for (uint32_t p = 0; p < worker->partitions; p++) {
        forget(worker, p);
    }
}

void mr_worker_destroy(struct mr_worker *worker) {
    if (!worker) {
        return;
    }
    forget_tasks(worker);
    mr_session_close(worker->session);
    free(worker->tasks);
    free(worker->restoring);
    free(worker);
}

void mr_worker_visit(const struct mr_worker *worker,
                     void (*visit)(void *arg, const struct mr_partition *source,
                                   const struct mr_counters *counters),
                     void *arg) {
    for (uint32_t p = 0; p < worker->partitions; p++) {
        const struct mr_task *task = worker->tasks[p];
        if (task && !task->restore) {
            visit(arg, &task->source, &task->counters);
        }
    }
}

static enum mr_status assigned(struct mr_worker *worker, const struct mr_event *event,
                               struct mr_error *err) {
    uint32_t partition = event->source.partition;
    if (partition >= worker->partitions) {
        return mr_error_set(
            err, MR_REJECT,
            "job %s: its input \"%s\" had %u partitions and has more now, so its "
            "records go to other partitions than their groups' state and rows. Name "
            "another job with other output topics",
            worker->plan->job, worker->plan->topic, worker->partitions);
    }
    assert(!worker->tasks[partition]);
    struct mr_task *task = mr_task_create(worker->plan, &event->source, worker->partitions, err);
    if (!task) {
        return MR_FAIL;
    }
    task->session = worker->session;
    task->log = worker->log;
    task->clock = worker->clock;
    worker->tasks[partition] = task;
    worker->told_ns =
        worker->restoring_count ? worker->told_ns : task->clock->steady_ns(task->clock);
    worker->restoring[worker->restoring_count++] = task;
    place(worker, partition, MR_HERE);
    enum mr_status status = mr_tables_open(task, err);
    return status == MR_OK ? mr_restore_begin(task, event, err) : status;
}

/* ---- Restoring ------------------------------------------------------------------------------ */

static enum mr_status set_until(struct mr_worker *worker, struct mr_task *task,
                                struct mr_error *err) {
    int64_t first;
    return worker->options.until_end
               ? mr_log_bounds(worker->log, &task->source, &first, &task->until, err)
               : MR_OK;
}

static bool at_end(const struct mr_task *task) {
    return !task->restore && (task->offset >= task->until || task->reached >= task->until);
}

/* The place where a task of the second stage goes on may have been trimmed since we were told of
 * it, by a worker that had the partition in between. Asked again, the log knows how far that one
 * came. */
static bool asks_again(struct mr_worker *worker) {
    if (worker->plan->role != MR_DOWNSTREAM || ++worker->failures >= FAILURES_MAX) {
        return false;
    }
    forget_tasks(worker);
    mr_session_abort(worker->session);
    return true;
}

static enum mr_status restored(struct mr_worker *worker, struct mr_task *task,
                               struct mr_error *err) {
    leave_restoring(worker, task);
    enum mr_status status = set_until(worker, task, err);
    if (status == MR_OK && at_end(task)) {
        place(worker, task->source.partition, MR_AT_END);
    }
    status = status == MR_OK ? mr_restore_start(task, err) : status;
    return status == MR_REJECT && asks_again(worker) ? MR_OK : status;
}

static void tell_restoring(struct mr_worker *worker, const struct mr_task *task) {
    int64_t now_ns = worker->clock->steady_ns(worker->clock);
    if (now_ns - worker->told_ns >= TELL_NS) {
        worker->told_ns = now_ns;
        mr_restore_tell(task, worker->log);
    }
}

/* One batch of the first changelog in turn that has one; waits for it at most so long. */
static enum mr_status restore_some(struct mr_worker *worker, int64_t timeout_ns,
                                   struct mr_error *err) {
    uint32_t open = worker->restoring_count;
    bool came = false;
    open = open < RESTORING_MAX ? open : RESTORING_MAX;
    for (uint32_t i = 0; i < open && !came; i++) {
        worker->turn = (worker->turn + 1) % open;
        struct mr_task *task = worker->restoring[worker->turn];
        int64_t wait_ns = i + 1 < open ? 0 : timeout_ns;
        enum mr_status status = mr_restore_step(task, wait_ns, &came, err);
        if (status != MR_OK) {
            return status;
        }
        charge(worker, task);
        if (!task->restore) {
            return restored(worker, task, err);
        }
        tell_restoring(worker, task);
    }
    return MR_OK;
}

/* ---- Commit --------------------------------------------------------------------------------- */

static bool anything_moved(const struct mr_worker *worker) {
    for (uint32_t p = 0; p < worker->partitions; p++) {
        if (worker->tasks[p] && worker->tasks[p]->moved) {
            return true;
        }
    }
    return false;
}

/* Commits what moved; all tasks are gone after anything but MR_COMMITTED. */
static enum mr_commit commit(struct mr_worker *worker, struct mr_error *err) {
    worker->committed_ns = worker->clock->steady_ns(worker->clock);
    if (!anything_moved(worker)) {
        return MR_COMMITTED; /* which says nothing about commits that failed before */
    }
    enum mr_commit outcome =
        mr_commit_tasks(worker->session, worker->tasks, worker->partitions, worker->watch, err);
    if (outcome != MR_COMMITTED) {
        forget_tasks(worker);
        return outcome;
    }
    worker->failures = 0;
    for (uint32_t p = 0; p < worker->partitions; p++) {
        if (worker->tasks[p]) {
            charge(worker, worker->tasks[p]); /* what has closed is packed now */
        }
    }
    worker->kept_bytes = worker->state_bytes;
    mr_trim_some(&worker->trimmer, worker->log, worker->tasks, worker->partitions);
    return outcome;
}

/* MR_OK: go on, from the last commit. */
static enum mr_status survive(struct mr_worker *worker, enum mr_commit outcome,
                              const struct mr_error *reason, struct mr_error *err) {
    if (outcome == MR_FENCED) {
        mr_warn("job %s: a commit came too late, its partitions are with another worker: %s",
                worker->plan->job, reason->text);
        return MR_OK;
    }
    if (++worker->failures >= FAILURES_MAX || (worker->watch && worker->watch->reach)) {
        return mr_error_set(err, MR_FAIL, "%s", reason->text);
    }
    if (worker->failures > 1) {
        worker->retry_ns = worker->committed_ns + (PAUSE_NS << (worker->failures - 2));
    }
    mr_warn("job %s: a commit failed and is done again from the last one: %s", worker->plan->job,
            reason->text);
    return MR_OK;
}

enum mr_status mr_worker_commit(struct mr_worker *worker, struct mr_error *err) {
    struct mr_error reason = {""};
    enum mr_commit outcome = commit(worker, &reason);
    return outcome == MR_COMMITTED ? MR_OK : survive(worker, outcome, &reason, err);
}

static enum mr_status commit_if_due(struct mr_worker *worker, struct mr_error *err) {
    int64_t now_ns = worker->clock->steady_ns(worker->clock);
    if (now_ns - worker->committed_ns < worker->plan->commit_ns &&
        mr_session_pending(worker->session) < PENDING_MAX) {
        return MR_OK;
    }
    return mr_worker_commit(worker, err);
}

/* ---- The memory limit ----------------------------------------------------------------------- */

static enum mr_status check_memory(struct mr_worker *worker, struct mr_error *err) {
    int64_t bytes = worker->state_bytes + (int64_t)mr_session_pending(worker->session);
    int64_t change = bytes - worker->memory;
    int64_t total = change + atomic_fetch_add(&worker->crew->memory, change);
    worker->memory = bytes;
    int64_t room = worker->plan->memory_bytes - (total - bytes); /* that the others leave */
    int64_t kept = worker->kept_bytes;
    if (worker->plan->role == MR_UPSTREAM && bytes - kept > (room - kept) / 2 && bytes > kept) {
        return mr_worker_commit(worker, err); /* what is sent takes no memory */
    }
    if (total <= worker->plan->memory_bytes) {
        return MR_OK;
    }
    return mr_memory_fail(worker->plan, total, err);
}

/* ---- The loop's body ------------------------------------------------------------------------ */

/* The log's end was told, and nothing came. While a broker was away its silence was nobody's. */
static enum mr_status quiet(struct mr_worker *worker, struct mr_task *task,
                            const struct mr_event *event, struct mr_error *err) {
    task->reached = event->offset;
    task->silence.begun = task->silence.begun && !event->anew;
    if (at_end(task)) {
        place(worker, task->source.partition, MR_AT_END);
    }
    enum mr_status status = mr_tables_read(task, true, err);
    status = status == MR_OK ? mr_times_quiet(task, err) : status;
    charge(worker, task);
    return status == MR_OK ? mr_preview_due(task, err) : status;
}

static enum mr_status batch(struct mr_worker *worker, struct mr_task *task,
                            const struct mr_batch *messages, struct mr_error *err) {
    struct mr_tally before = task->counters.records;
    enum mr_status status = mr_tables_read(task, false, err);
    if (status != MR_OK || mr_task_step(task, messages, err) != MR_OK) {
        return MR_FAIL;
    }
    charge(worker, task);
    if (at_end(task)) {
        place(worker, task->source.partition, MR_AT_END);
    }
    int64_t now_ns = worker->clock->steady_ns(worker->clock);
    if (mr_breaker_trips(&worker->breaker, worker->plan, now_ns, &before,
                         &task->counters.records)) {
        struct mr_error reason = {""};
        enum mr_commit outcome = commit(worker, &reason);
        return outcome == MR_COMMITTED ? mr_breaker_fail(&worker->breaker, worker->plan, err)
                                       : survive(worker, outcome, &reason, err);
    }
    return mr_preview_due(task, err);
}

/* What the task did is in the transaction that its neighbours share, so it goes as a whole. */
static void lose(struct mr_worker *worker, uint32_t partition) {
    const struct mr_task *task = worker->tasks[partition];
    if (task && task->moved) {
        forget_tasks(worker);
        mr_session_abort(worker->session);
    }
    forget(worker, partition);
}

static enum mr_status take_event(struct mr_worker *worker, const struct mr_event *event,
                                 struct mr_error *err) {
    uint32_t partition = event->source.partition;
    enum mr_status status = MR_OK;
    switch (event->kind) {
    case MR_EVENT_NONE:
        break;
    case MR_EVENT_ASSIGNED:
        return assigned(worker, event, err);
    case MR_EVENT_REVOKED:
        status = mr_worker_commit(worker, err);
        forget(worker, partition);
        break;
    case MR_EVENT_LOST:
        lose(worker, partition);
        break;
    case MR_EVENT_BATCH:
        return batch(worker, worker->tasks[partition], &event->batch, err);
    case MR_EVENT_END:
        return quiet(worker, worker->tasks[partition], event, err);
    }
    return status;
}

/* How long the log may wait for news, and then a changelog for its records. */
static int64_t patience(const struct mr_worker *worker, int64_t timeout_ns, bool *held) {
    int64_t pause_ns = worker->retry_ns - worker->clock->steady_ns(worker->clock);
    *held = pause_ns > 0;
    if (worker->restoring_count == 0) {
        return timeout_ns;
    }
    return pause_ns <= 0 ? 0 : pause_ns < timeout_ns ? pause_ns : timeout_ns;
}

enum mr_status mr_worker_step(struct mr_worker *worker, int64_t timeout_ns, struct mr_error *err) {
    struct mr_event event;
    bool held;
    int64_t patience_ns = patience(worker, timeout_ns, &held);
    enum mr_status status = mr_session_poll(worker->session, patience_ns, &event, err);
    if (status == MR_OK) {
        status = take_event(worker, &event, err);
    }
    if (status == MR_OK && !held) {
        int64_t wait_ns = timeout_ns < RESTORE_WAIT_NS ? timeout_ns : RESTORE_WAIT_NS;
        status = restore_some(worker, event.kind == MR_EVENT_BATCH ? 0 : wait_ns, err);
    }
    if (status == MR_OK) {
        status = check_memory(worker, err);
    }
    if (status == MR_OK) {
        status = commit_if_due(worker, err);
    }
    return status;
}

/* ---- The end -------------------------------------------------------------------------------- */

bool mr_worker_done(const struct mr_worker *worker) {
    const struct mr_worker_options *options = &worker->options;
    if (!options->until_end) {
        return false;
    }
    uint32_t first = options->crew ? 0 : options->worker,
             stride = options->crew ? 1 : options->workers;
    for (uint32_t p = first; p < worker->partitions; p += stride) {
        if (places(worker)[p] != MR_AT_END) {
            return false;
        }
    }
    return true;
}

static enum mr_status finish_tasks(struct mr_worker *worker, struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (uint32_t p = 0; p < worker->partitions && status == MR_OK; p++) {
        struct mr_task *task = worker->tasks[p];
        if (task && at_end(task)) {
            status = worker->options.close ? mr_close_all(task, err) : mr_preview_all(task, err);
        }
    }
    return status;
}

enum mr_status mr_worker_finish(struct mr_worker *worker, struct mr_error *err) {
    struct mr_error reason = {""};
    bool done = mr_worker_done(worker);
    enum mr_status status = done ? finish_tasks(worker, err) : MR_OK;
    if (status != MR_OK) {
        return status;
    }
    enum mr_commit outcome = commit(worker, &reason);
    if (outcome == MR_COMMITTED && (done || worker->failures == 0)) {
        if (done) {
            bool alone = worker->options.workers == 1 && !worker->options.instance;
            mr_trim_last(&worker->trimmer, worker->log, worker->tasks, worker->partitions, alone);
        }
        return MR_OK;
    }
    if (outcome != MR_COMMITTED && (done || outcome == MR_FENCED)) {
        return survive(worker, outcome, &reason, err);
    }
    return mr_error_set(err, MR_FAIL,
                        "job %s: the last commit failed; what it held is read again at the next "
                        "start%s%s",
                        worker->plan->job, reason.text[0] ? ": " : "", reason.text);
}
