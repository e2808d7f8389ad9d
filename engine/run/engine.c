/* A whole job: its workers as threads, until it is done or told to stop. Partition p belongs to
 * worker p modulo workers on one machine; on a cluster the log shares them out, with other
 * processes too. A run to the end is over when this one has all of them at their ends.
 *
 * Each stage of a job of two has so many workers. They run side by side; in a run to the end one
 * stage after the other, so that the second one finds all that the first one has sent. */
#include "engine/run/stage.h"

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
        count[thread->crew->partitions[thread->plan->role == MR_DOWNSTREAM][p]]++;
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
    const struct thread *thread = arg;
    mr_counters_print(thread->plan, source, counters);
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
static enum mr_status outcome(struct thread *threads, uint32_t count, struct mr_error *err) {
    for (uint32_t i = 0; i < count; i++) {
        if (threads[i].status != MR_OK) {
            return mr_error_set(err, threads[i].status, "%s", threads[i].err.text);
        }
        mr_worker_visit(threads[i].worker, print, &threads[i]);
    }
    return MR_OK;
}

/* The workers of one stage. */
static enum mr_status open_stage(struct thread *threads, const struct mr_plan *stage,
                                 struct mr_log *log, const struct mr_run_options *options,
                                 struct mr_crew *crew, atomic_bool *failed, struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (uint32_t i = 0; i < options->workers && status == MR_OK; i++) {
        struct mr_worker_options worker = {
            i, options->workers, options->until_end, options->close, options->instance, crew};
        threads[i].plan = stage;
        threads[i].crew = options->until_end ? crew : NULL;
        threads[i].tells = options->until_end && i == 0;
        threads[i].stop = options->stop;
        threads[i].failed = failed;
        status = mr_worker_create(stage, log, &mr_real_clock, &worker, &threads[i].worker, err);
    }
    return status;
}

/* Stages that run side by side. */
static enum mr_status run_stages(const struct mr_plan *const *stages, size_t count,
                                 struct mr_log *log, const struct mr_run_options *options,
                                 struct mr_error *err) {
    uint32_t all = (uint32_t)count * options->workers;
    struct thread *threads = mr_allocate_array(all, struct thread);
    struct mr_crew *crew = mr_allocate(sizeof(*crew));
    atomic_bool failed = false;
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < count && status == MR_OK; i++) {
        status =
            open_stage(threads + i * options->workers, stages[i], log, options, crew, &failed, err);
    }
    if (status == MR_OK) {
        status = start(threads, all, err);
    }
    if (status == MR_OK) {
        status = outcome(threads, all, err);
    }
    for (uint32_t i = 0; i < all; i++) {
        mr_worker_destroy(threads[i].worker);
    }
    free(threads);
    free(crew);
    return status;
}

/* The first stage goes first, for it says no while it runs. A fault between the two would leave a
 * second stage that counts what comes anew beside what it has: then it is to be done again. */
enum mr_status mr_run_reset(const struct mr_plan *plan, struct mr_log *log, struct mr_error *err) {
    struct mr_topic input;
    const struct mr_plan *stages[2];
    struct mr_error why = {""};
    enum mr_status status = mr_log_describe(log, plan->topic, &input, err);
    if (status != MR_OK) {
        return status;
    }
    size_t count = mr_plan_stages(plan, input.partitions, stages);
    status = mr_log_reset(log, stages[0]->member, stages[0]->changelog_topic, err);
    if (status != MR_OK || count == 1) {
        return status;
    }
    status = mr_log_reset(log, stages[1]->member, stages[1]->changelog_topic, &why);
    if (status == MR_OK) {
        status = mr_trim_topic(log, plan->repartition_topic, &why);
    }
    return status == MR_OK
               ? MR_OK
               : mr_error_set(err, status,
                              "job %s: only its first stage was reset, so it must not run "
                              "before it is reset as a whole (--reset): %s",
                              plan->job, why.text);
}

enum mr_status mr_run(const struct mr_plan *plan, struct mr_log *log,
                      const struct mr_run_options *options, struct mr_error *err) {
    struct mr_topic input;
    const struct mr_plan *stages[2];
    enum mr_status status = mr_log_describe(log, plan->topic, &input, err);
    if (status != MR_OK) {
        return status;
    }
    size_t count = mr_plan_stages(plan, input.partitions, stages);
    if (options->reset) {
        status = mr_run_reset(plan, log, err);
    }
    if (status == MR_OK) {
        status = mr_run_prepare(plan, log, err);
    }
    if (status != MR_OK || !options->until_end) {
        return status == MR_OK ? run_stages(stages, count, log, options, err) : status;
    }
    for (size_t i = 0; i < count && status == MR_OK && !*options->stop; i++) {
        status = run_stages(&stages[i], 1, log, options, err);
    }
    return status;
}
