/* A whole job: its workers as threads, until it is done or told to stop. Partition p belongs to
 * worker p modulo workers on one machine; on a cluster the log shares them out, with other
 * processes too. A run to the end is over when this one has all of them at their ends. */
#include "engine/run/task.h"

#include <pthread.h>
#include <stdlib.h>

#define POLL_NS     (100 * INT64_C(1000000))
#define END_POLL_NS (10 * INT64_C(1000000)) /* in a run to the end: another worker may be last */
#define TELL_NS     (10 * MR_SECOND)

struct thread {
    pthread_t id;
    struct mr_worker *worker;
    const struct mr_plan *plan;
    const struct mr_crew *crew; /* of the workers of a run to the end; NULL: of another run */
    const atomic_bool *stop;    /* the caller's                                             */
    atomic_bool *failed;        /* set when a worker has failed                             */
    bool tells;                 /* one of them does                                         */
    enum mr_status status;
    struct mr_error err;
};

/* For the person who waits for a run to the end while other processes have a share of the job. */
static void tell_waiting(const struct thread *thread, int64_t *told_ns) {
    int64_t now_ns = mr_real_clock.steady_ns(&mr_real_clock);
    if (!thread->tells || now_ns - *told_ns < TELL_NS) {
        return;
    }
    uint32_t count[3] = {0};
    for (uint32_t p = 0; p < MR_PARTITIONS_MAX; p++) {
        count[thread->crew->partitions[p]]++;
    }
    if (count[MR_HERE] == 0) {
        mr_note("job %s: at the end of %s in %u of its partitions; waiting for the others, which "
                "other processes of the job have, or dead ones have left",
                thread->plan->job, thread->plan->topic, count[MR_AT_END]);
    }
    *told_ns = now_ns;
}

static bool goes_on(const struct thread *thread) {
    return thread->status == MR_OK && !*thread->stop && !*thread->failed &&
           !mr_worker_done(thread->worker);
}

static void *work(void *arg) {
    struct thread *thread = arg;
    int64_t poll_ns = thread->crew ? END_POLL_NS : POLL_NS;
    int64_t told_ns = mr_real_clock.steady_ns(&mr_real_clock);
    do { /* again when the last commit failed */
        while (goes_on(thread)) {
            thread->status = mr_worker_step(thread->worker, poll_ns, &thread->err);
            tell_waiting(thread, &told_ns);
        }
        if (thread->status == MR_OK) {
            thread->status = mr_worker_finish(thread->worker, &thread->err);
        }
    } while (goes_on(thread));
    if (thread->status != MR_OK) {
        *thread->failed = true;
    }
    return NULL;
}

static void print(void *arg, const struct mr_partition *source,
                  const struct mr_counters *counters) {
    const struct mr_plan *const *plan = arg;
    mr_counters_print(*plan, source, counters);
}

static enum mr_status start(struct thread *threads, uint32_t count, struct mr_error *err) {
    for (uint32_t i = 0; i < count; i++) {
        if (pthread_create(&threads[i].id, NULL, work, &threads[i]) != 0) {
            *threads[i].failed = true;
            for (uint32_t j = 0; j < i; j++) {
                pthread_join(threads[j].id, NULL);
            }
            return mr_error_set(err, MR_FAIL, "no thread for worker %u could be made", i);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i].id, NULL);
    }
    return MR_OK;
}

/* The first failure is the one to tell. */
static enum mr_status outcome(const struct mr_plan *plan, const struct thread *threads,
                              uint32_t count, struct mr_error *err) {
    for (uint32_t i = 0; i < count; i++) {
        if (threads[i].status != MR_OK) {
            return mr_error_set(err, threads[i].status, "%s", threads[i].err.text);
        }
        mr_worker_visit(threads[i].worker, print, &plan);
    }
    return MR_OK;
}

static enum mr_status run_workers(const struct mr_plan *plan, struct mr_log *log,
                                  const struct mr_run_options *options, struct mr_error *err) {
    struct thread *threads = mr_allocate_array(options->workers, struct thread);
    struct mr_crew *crew = mr_allocate(sizeof(*crew));
    atomic_bool failed = false;
    enum mr_status status = MR_OK;
    for (uint32_t i = 0; i < options->workers && status == MR_OK; i++) {
        struct mr_worker_options worker = {
            i, options->workers, options->until_end, options->close, options->instance, crew};
        threads[i].plan = plan;
        threads[i].crew = options->until_end ? crew : NULL;
        threads[i].tells = options->until_end && i == 0;
        threads[i].stop = options->stop;
        threads[i].failed = &failed;
        status = mr_worker_create(plan, log, &mr_real_clock, &worker, &threads[i].worker, err);
    }
    if (status == MR_OK) {
        status = start(threads, options->workers, err);
    }
    if (status == MR_OK) {
        status = outcome(plan, threads, options->workers, err);
    }
    for (uint32_t i = 0; i < options->workers; i++) {
        mr_worker_destroy(threads[i].worker);
    }
    free(threads);
    free(crew);
    return status;
}

enum mr_status mr_run(const struct mr_plan *plan, struct mr_log *log,
                      const struct mr_run_options *options, struct mr_error *err) {
    enum mr_status status = MR_OK;
    if (options->reset) {
        status = mr_log_reset(log, plan->job, plan->changelog_topic, err);
    }
    if (status == MR_OK) {
        status = mr_run_prepare(plan, log, err);
    }
    return status == MR_OK ? run_workers(plan, log, options, err) : status;
}
