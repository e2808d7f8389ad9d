/* A whole job: its workers as threads, until it is done or told to stop. Partition p belongs to
 * worker p modulo workers on one machine; on a cluster the log shares them out. */
#include "engine/run/task.h"

#include <pthread.h>
#include <stdlib.h>

#define POLL_NS (100 * INT64_C(1000000))

struct thread {
    pthread_t id;
    struct mr_worker *worker;
    const atomic_bool *stop; /* the caller's                  */
    atomic_bool *failed;     /* set when a worker has failed  */
    enum mr_status status;
    struct mr_error err;
};

static void *work(void *arg) {
    struct thread *thread = arg;
    while (thread->status == MR_OK && !*thread->stop && !*thread->failed &&
           !mr_worker_done(thread->worker)) {
        thread->status = mr_worker_step(thread->worker, POLL_NS, &thread->err);
    }
    if (thread->status == MR_OK) {
        thread->status = mr_worker_finish(thread->worker, &thread->err);
    }
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
