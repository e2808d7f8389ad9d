/* THE LOOP. A worker is one thread with one session; the tasks of the partitions that the log
 * assigns to it are touched by nobody else.
 *
 *   poll the log      assigned | revoked | lost | batch | end
 *   batch:            step its task        decode, process; spans that are due close
 *   end (quiet):      tick its task
 *   if due:           commit               changelog, outputs, offsets: one transaction
 *
 * After anything but a committed commit, all tasks are thrown away and the partitions are assigned
 * anew: restoring is the one recovery path. A commit that fails again and again without a record
 * between (a full disk) ends the worker. */
#include "engine/run/task.h"

#include <assert.h>
#include <stdlib.h>

#define PENDING_MAX  (64 << 20) /* bytes appended, not committed: then commit, due or not        */
#define FAILURES_MAX 3          /* commits in a row that failed                                  */

struct mr_worker {
    const struct mr_plan *plan;
    struct mr_log *log;
    const struct mr_clock *clock;
    struct mr_worker_options options;
    const struct mr_worker_watch *watch;
    struct mr_session *session;
    uint32_t partitions; /* of the input                                        */
    struct mr_task *tasks;
    int64_t committed_ns; /* when we last committed, steady clock                */
    int64_t memory;       /* bytes of state that we have added to options.memory */
    int failures;         /* commits that failed, since the last one that did not        */
    struct mr_breaker breaker;
    bool settled; /* the log has told us our partitions                  */
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
    *worker = (struct mr_worker){.plan = plan,
                                 .log = log,
                                 .clock = clock,
                                 .options = *options,
                                 .partitions = input.partitions,
                                 .committed_ns = clock->steady_ns(clock)};
    struct mr_session_options session = {plan->job, plan->topic, NULL, options->worker,
                                         options->workers};
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

static void forget_tasks(struct mr_worker *worker) {
    while (worker->tasks) {
        struct mr_task *next = worker->tasks->next;
        mr_task_destroy(worker->tasks);
        worker->tasks = next;
    }
}

void mr_worker_destroy(struct mr_worker *worker) {
    if (!worker) {
        return;
    }
    forget_tasks(worker);
    mr_session_close(worker->session);
    free(worker);
}

void mr_worker_visit(const struct mr_worker *worker,
                     void (*visit)(void *arg, const struct mr_partition *source,
                                   const struct mr_counters *counters),
                     void *arg) {
    for (const struct mr_task *task = worker->tasks; task; task = task->next) {
        visit(arg, &task->source, &task->counters);
    }
}

/* ---- Tasks come and go ---------------------------------------------------------------------- */

static struct mr_task **find_task(struct mr_worker *worker, const struct mr_partition *source) {
    struct mr_task **at = &worker->tasks;
    while (*at && ((*at)->source.partition != source->partition ||
                   strcmp((*at)->source.topic, source->topic) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

static enum mr_status set_until(struct mr_worker *worker, struct mr_task *task,
                                struct mr_error *err) {
    int64_t first;
    task->until = INT64_MAX;
    if (!worker->options.until_end) {
        return MR_OK;
    }
    enum mr_status status = mr_log_bounds(worker->log, &task->source, &first, &task->until, err);
    if (status == MR_OK && task->until == first && task->offset < 0) {
        task->until = task->offset; /* nothing to read, so no record will move the offset */
    }
    return status;
}

static void forget(struct mr_worker *worker, const struct mr_partition *source) {
    struct mr_task **at = find_task(worker, source);
    struct mr_task *task = *at;
    if (task) {
        *at = task->next;
        mr_task_destroy(task);
    }
}

/* An offset that the topic does not have (any more) is the job's to forget, and nobody else's. */
static enum mr_status start_reading(struct mr_worker *worker, struct mr_task *task,
                                    struct mr_error *err) {
    struct mr_error reason = {""};
    enum mr_status status = mr_session_start(worker->session, &task->source, task->offset, &reason);
    if (status == MR_REJECT) {
        return mr_error_set(err, status,
                            "job %s cannot go on where it was: %s. Run it with --reset to forget "
                            "its state and read the input from the start (its output topics stay)",
                            worker->plan->job, reason.text);
    }
    return status == MR_OK ? MR_OK : mr_error_set(err, status, "%s", reason.text);
}

static enum mr_status assigned(struct mr_worker *worker, const struct mr_event *event,
                               struct mr_error *err) {
    struct mr_task *task = mr_task_create(worker->plan, &event->source, worker->partitions, err);
    if (!task) {
        return MR_FAIL;
    }
    task->session = worker->session;
    task->clock = worker->clock;
    *find_task(worker, &event->source) = task;
    enum mr_status status = mr_task_restore(task, worker->log, event, worker->options.stop, err);
    if (status == MR_OK && worker->options.stop && *worker->options.stop) {
        forget(worker, &event->source);
        return MR_OK;
    }
    if (status == MR_OK) {
        status = set_until(worker, task, err);
    }
    if (status == MR_OK) {
        status = start_reading(worker, task, err);
    }
    return status;
}

/* ---- Commit --------------------------------------------------------------------------------- */

static void start_again(struct mr_worker *worker) {
    forget_tasks(worker);
    mr_session_abort(worker->session);
    worker->settled = false;
}

static bool anything_moved(const struct mr_worker *worker) {
    const struct mr_task *task = worker->tasks;
    while (task && !task->moved) {
        task = task->next;
    }
    return task;
}

enum mr_status mr_worker_commit(struct mr_worker *worker, struct mr_error *err) {
    struct mr_error reason = {""};
    worker->committed_ns = worker->clock->steady_ns(worker->clock);
    if (!anything_moved(worker)) {
        return MR_OK; /* which says nothing about commits that failed before */
    }
    if (mr_commit_tasks(worker->session, worker->tasks, worker->watch, &reason) == MR_COMMITTED) {
        worker->failures = 0;
        return MR_OK;
    }
    start_again(worker);
    if (++worker->failures >= FAILURES_MAX || (worker->watch && worker->watch->reach)) {
        return mr_error_set(err, MR_FAIL, "%s", reason.text);
    }
    mr_warn("job %s: a commit failed and is done again from the last one: %s", worker->plan->job,
            reason.text);
    return MR_OK;
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

enum mr_status mr_memory_fail(const struct mr_plan *plan, int64_t bytes, struct mr_error *err) {
    char used[MR_TEXT_MAX], limit[MR_TEXT_MAX];
    return mr_error_set(err, MR_FAIL,
                        "job %s: its state and uncommitted rows take %s, the limit (memory) is %s. "
                        "Nothing committed is lost. Raise memory, shorten retain, make windows "
                        "longer, or group by fewer values",
                        plan->job, mr_format_size(bytes, used),
                        mr_format_size(plan->memory_bytes, limit));
}

static enum mr_status check_memory(struct mr_worker *worker, struct mr_error *err) {
    int64_t bytes = (int64_t)mr_session_pending(worker->session);
    for (const struct mr_task *task = worker->tasks; task; task = task->next) {
        bytes += (int64_t)mr_store_bytes(task->store);
    }
    int64_t total = bytes;
    if (worker->options.memory) {
        total = bytes - worker->memory +
                atomic_fetch_add(worker->options.memory, bytes - worker->memory);
        worker->memory = bytes;
    }
    if (total <= worker->plan->memory_bytes) {
        return MR_OK;
    }
    return mr_memory_fail(worker->plan, total, err);
}

/* ---- The loop's body ------------------------------------------------------------------------ */

static enum mr_status quiet(struct mr_task *task, struct mr_error *err) {
    enum mr_status status = mr_times_quiet(task, err);
    return status == MR_OK ? mr_preview_due(task, err) : status;
}

static enum mr_status batch(struct mr_worker *worker, struct mr_task *task,
                            const struct mr_batch *messages, struct mr_error *err) {
    struct mr_tally before = task->counters.records;
    if (mr_task_step(task, messages, err) != MR_OK) {
        return MR_FAIL;
    }
    int64_t now_ns = worker->clock->steady_ns(worker->clock);
    if (mr_breaker_trips(&worker->breaker, worker->plan, now_ns, &before,
                         &task->counters.records)) {
        enum mr_status status = mr_worker_commit(worker, err);
        return status == MR_OK && worker->failures == 0
                   ? mr_breaker_fail(&worker->breaker, worker->plan, err)
                   : status;
    }
    return mr_preview_due(task, err);
}

static enum mr_status take_event(struct mr_worker *worker, const struct mr_event *event,
                                 struct mr_error *err) {
    struct mr_task *task;
    switch (event->kind) {
    case MR_EVENT_ASSIGNED:
        return assigned(worker, event, err);
    case MR_EVENT_REVOKED:
        if (mr_worker_commit(worker, err) != MR_OK) {
            return MR_FAIL;
        }
        forget(worker, &event->source);
        return MR_OK;
    case MR_EVENT_LOST:
        forget(worker, &event->source);
        return MR_OK;
    case MR_EVENT_BATCH:
        worker->settled = true;
        task = *find_task(worker, &event->source);
        assert(task);
        return batch(worker, task, &event->batch, err);
    case MR_EVENT_END:
        worker->settled = true;
        task = *find_task(worker, &event->source);
        assert(task);
        return quiet(task, err);
    case MR_EVENT_NONE:
        worker->settled = true;
        return MR_OK;
    }
    return MR_OK;
}

enum mr_status mr_worker_step(struct mr_worker *worker, int64_t timeout_ns, struct mr_error *err) {
    struct mr_event event;
    enum mr_status status = mr_session_poll(worker->session, timeout_ns, &event, err);
    if (status == MR_OK) {
        status = take_event(worker, &event, err);
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
    if (!worker->options.until_end || !worker->settled) {
        return false;
    }
    for (const struct mr_task *task = worker->tasks; task; task = task->next) {
        if (task->offset < task->until) {
            return false;
        }
    }
    return true;
}

enum mr_status mr_worker_finish(struct mr_worker *worker, struct mr_error *err) {
    enum mr_status status = MR_OK;
    int failures = worker->failures;
    if (mr_worker_done(worker)) {
        for (struct mr_task *task = worker->tasks; task && status == MR_OK; task = task->next) {
            status = worker->options.close ? mr_close_all(task, err) : mr_preview_all(task, err);
        }
    }
    if (status == MR_OK) {
        status = mr_worker_commit(worker, err);
    }
    if (status == MR_OK && worker->failures > failures) {
        return mr_error_set(err, MR_FAIL,
                            "job %s: the last commit failed; what it held is read "
                            "again at the next start",
                            worker->plan->job);
    }
    return status;
}
