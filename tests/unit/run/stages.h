/* A job of two stages on the memory log, step by step: what its tests share. Windows of 10 s, grace
 * 3 s, retained for 20 s, idle after 5 s; event times and the clock count seconds. One worker for
 * each partition of the input, so that one may be stopped alone. */
#ifndef TESTS_UNIT_RUN_STAGES_H
#define TESTS_UNIT_RUN_STAGES_H

#include "engine/log/memory.h"
#include "engine/run/stage.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

#define PARTITIONS 2

struct fixture {
    struct mr_clock clock;
    struct mr_log *log;
    struct mr_plan *plan;
    const struct mr_plan *stages[2];
    struct mr_session *producer;
    struct mr_worker *up[PARTITIONS], *down;
    struct mr_error err;
};

/* ---- The fixture ---------------------------------------------------------------------------- */

#define JOB                                                                                        \
    "job: j\nfrom: {topic: in, format: json, timestamp: {field: t, unit: s}}\n"                    \
    "lateness: {grace: 3s, idle: 5s}\nretain: 20s\nwindow: {every: 10s}\nto: [{topic: out}]\n"
#define COUNT JOB "group_by: []\nstats: {n: count, sum: sum(v)}\n"

static inline void stop_all(struct fixture *f) {
    for (int i = 0; i < PARTITIONS; i++) {
        mr_worker_destroy(f->up[i]);
        f->up[i] = NULL;
    }
    mr_worker_destroy(f->down);
    f->down = NULL;
}

static inline void load(struct fixture *f, const char *text) {
    struct mr_faults faults = {0};
    stop_all(f);
    mr_plan_destroy(f->plan);
    assert_int_equal(mr_job_load_text("j.yaml", mr_slice_of(text), &f->plan, &faults), MR_OK);
    mr_faults_finish(&faults);
    assert_int_equal(mr_plan_stages(f->plan, PARTITIONS, f->stages), 2);
    assert_int_equal(mr_run_prepare(f->plan, f->log, &f->err), MR_OK);
}

static inline int set_up(void **state) {
    struct fixture *f = mr_allocate(sizeof *f);
    struct mr_topic input = {
        .name = "in", .partitions = PARTITIONS, .retention_ns = -1, .retention_bytes = -1};
    struct mr_session_options producer = {0};
    f->clock = mr_virtual_clock(0);
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &f->clock, &f->log, &f->err),
        MR_OK);
    assert_int_equal(mr_log_create(f->log, &input, &f->err), MR_OK);
    assert_int_equal(mr_session_open(f->log, &producer, &f->producer, &f->err), MR_OK);
    load(f, COUNT);
    *state = f;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *f = *state;
    stop_all(f);
    mr_session_close(f->producer);
    mr_log_close(f->log);
    mr_plan_destroy(f->plan);
    free(f);
    return 0;
}

static inline void send(struct fixture *f, uint32_t partition, const char *value) {
    struct mr_append append = {
        .topic = "in", .partition = partition, .timestamp_ns = -1, .value = mr_slice_of(value)};
    assert_int_equal(mr_session_append(f->producer, &append, &f->err), MR_OK);
    assert_int_equal(mr_session_commit(f->producer, NULL, 0, &f->err), MR_COMMITTED);
}

static inline void at(struct fixture *f, int second) {
    f->clock.virtual_ns = second * MR_SECOND;
}

static inline void start_up(struct fixture *f, uint32_t partition) {
    struct mr_worker_options options = {.worker = partition, .workers = PARTITIONS};
    assert_int_equal(
        mr_worker_create(f->stages[0], f->log, &f->clock, &options, &f->up[partition], &f->err),
        MR_OK);
}

static inline void start_down(struct fixture *f) {
    struct mr_worker_options options = {.workers = 1};
    assert_int_equal(mr_worker_create(f->stages[1], f->log, &f->clock, &options, &f->down, &f->err),
                     MR_OK);
}

static inline void stop_up(struct fixture *f, uint32_t partition) {
    mr_worker_destroy(f->up[partition]);
    f->up[partition] = NULL;
}

/* All that is there is read; then it is committed. The first status but MR_OK. */
static inline enum mr_status work(struct fixture *f, struct mr_worker *worker) {
    enum mr_status status = MR_OK;
    for (int i = 0; i < 4 * PARTITIONS && status == MR_OK; i++) {
        status = mr_worker_step(worker, 0, &f->err);
    }
    return status == MR_OK ? mr_worker_commit(worker, &f->err) : status;
}

static inline void run_up(struct fixture *f, uint32_t partition) {
    if (!f->up[partition]) {
        start_up(f, partition);
    }
    assert_int_equal(work(f, f->up[partition]), MR_OK);
}

static inline void run_down(struct fixture *f) {
    if (!f->down) {
        start_down(f);
    }
    assert_int_equal(work(f, f->down), MR_OK);
}

/* The first stage and then the second one, second by second. */
static inline void run_until(struct fixture *f, int second) {
    while (f->clock.virtual_ns < second * MR_SECOND) {
        f->clock.virtual_ns += MR_SECOND;
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            run_up(f, p);
        }
        run_down(f);
    }
}

/* ---- What came of it ------------------------------------------------------------------------ */

static inline void add(void *arg, const struct mr_partition *source,
                       const struct mr_counters *counters) {
    struct mr_counters *sum = arg;
    sum->records.read += counters->records.read;
    sum->records.dead += counters->records.dead;
    sum->samples.read += counters->samples.read;
    sum->samples.used += counters->samples.used;
    sum->samples.late += counters->samples.late;
    sum->revisions += counters->revisions;
}

static inline struct mr_counters counts(const struct mr_worker *worker) {
    struct mr_counters sum = {0};
    mr_worker_visit(worker, add, &sum);
    return sum;
}

/* All rows, a line each; the caller frees. */
static inline char *rows(struct fixture *f) {
    struct mr_buffer text = {0};
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        struct mr_partition source = {"out", p};
        struct mr_reader *reader;
        struct mr_batch batch;
        assert_int_equal(mr_reader_open(f->log, &source, -1, &reader, &f->err), MR_OK);
        while (mr_reader_read(reader, 0, &batch, &f->err) == MR_OK && batch.count > 0) {
            for (size_t i = 0; i < batch.count; i++) {
                struct mr_slice row = batch.messages[i].value;
                mr_buffer_format(&text, "%.*s\n", (int)row.length, row.data);
            }
        }
        mr_reader_close(reader);
    }
    mr_buffer_add(&text, "", 1);
    return text.data;
}

static inline void expect_rows(struct fixture *f, size_t wanted, const char *last) {
    char *text = rows(f);
    size_t count = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        count++;
    }
    if (count != wanted || (last && !strstr(text, last))) {
        print_error("%zu rows, wanted %zu and in them %s:\n%s", count, wanted, last ? last : "-",
                    text);
    }
    assert_int_equal(count, wanted);
    assert_true(!last || strstr(text, last));
    free(text);
}

/* Records that ever lay between the stages, in one partition. */
static inline int64_t sent(struct fixture *f) {
    struct mr_partition source = {"j-regroup-repartition", 0};
    int64_t first, end;
    assert_int_equal(mr_log_bounds(f->log, &source, &first, &end, &f->err), MR_OK);
    return end;
}

#define ON_A_LOG(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
