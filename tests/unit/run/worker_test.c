/* A worker on a log that behaves as a broker does: partitions come and go, restoring takes its
 * time, ends lie behind markers, commits are refused. */
#include "engine/run/run.h"
#include "tests/lib/script_log.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

static const char job[] = "job: j\n"
                          "from: {topic: in, format: json, key: k, partitioned: true,\n"
                          "       timestamp: {field: t, unit: s}}\n"
                          "lateness: {grace: 0s, idle: 30s}\n"
                          "group_by: [k]\n"
                          "window: {every: 10s}\n"
                          "stats: {n: count}\n"
                          "to: [{topic: out}]\n";

#define WORKERS 2

struct fixture {
    struct mr_clock clock;
    struct mr_log *log;
    struct mr_plan *plan;
    struct mr_session *producer;
    struct mr_worker *workers[WORKERS];
    struct mr_crew crew;
    struct mr_error err;
};

/* ---- The fixture ---------------------------------------------------------------------------- */

static void set_up_partitions(struct fixture *f, uint32_t partitions) {
    struct mr_topic input = {
        .name = "in", .partitions = partitions, .retention_ns = -1, .retention_bytes = -1};
    struct mr_session_options producer = {0};
    struct mr_faults faults = {0};
    f->clock = mr_virtual_clock(1000 * MR_SECOND);
    assert_int_equal(mr_job_load_text("j.yaml", mr_slice_of(job), &f->plan, &faults), MR_OK);
    mr_faults_finish(&faults);
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &f->clock, &f->log, &f->err),
        MR_OK);
    mr_script_log(f->log);
    assert_int_equal(mr_log_create(f->log, &input, &f->err), MR_OK);
    assert_int_equal(mr_session_open(f->log, &producer, &f->producer, &f->err), MR_OK);
    assert_int_equal(mr_run_prepare(f->plan, f->log, &f->err), MR_OK);
}

static int one_partition(void **state) {
    struct fixture *f = *state = mr_allocate(sizeof *f);
    set_up_partitions(f, 1);
    return 0;
}

static int two_partitions(void **state) {
    struct fixture *f = *state = mr_allocate(sizeof *f);
    set_up_partitions(f, 2);
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < WORKERS; i++) {
        mr_worker_destroy(f->workers[i]);
    }
    mr_session_close(f->producer);
    mr_log_close(f->log);
    mr_plan_destroy(f->plan);
    free(f);
    return 0;
}

static struct mr_worker *start(struct fixture *f, struct mr_worker_options options) {
    struct mr_worker **worker = &f->workers[options.worker];
    options.workers = options.workers ? options.workers : 1;
    mr_worker_destroy(*worker);
    *worker = NULL;
    assert_int_equal(mr_worker_create(f->plan, f->log, &f->clock, &options, worker, &f->err),
                     MR_OK);
    return *worker;
}

static struct mr_worker *start_one(struct fixture *f) {
    return start(f, (struct mr_worker_options){0});
}

static void send(struct fixture *f, uint32_t partition, int second) {
    char value[64];
    snprintf(value, sizeof value, "{\"t\":%d,\"k\":\"%u\"}", second, partition);
    struct mr_append append = {
        .topic = "in", .partition = partition, .timestamp_ns = -1, .value = mr_slice_of(value)};
    assert_int_equal(mr_session_append(f->producer, &append, &f->err), MR_OK);
    assert_int_equal(mr_session_commit(f->producer, NULL, 0, &f->err), MR_COMMITTED);
}

static void step(struct fixture *f, struct mr_worker *worker, int times) {
    for (int i = 0; i < times; i++) {
        assert_int_equal(mr_worker_step(worker, 0, &f->err), MR_OK);
    }
}

static void commit(struct fixture *f, struct mr_worker *worker) {
    assert_int_equal(mr_worker_commit(worker, &f->err), MR_OK);
}

static void tell(struct fixture *f, struct mr_worker *worker, enum mr_event_kind kind,
                 uint32_t partition) {
    mr_script.event = (struct mr_event){.kind = kind, .source = {"in", partition}};
    step(f, worker, 1);
}

static uint64_t rows(struct fixture *f) {
    uint64_t count = 0;
    struct mr_topic topic;
    assert_int_equal(mr_log_describe(f->log, "out", &topic, &f->err), MR_OK);
    for (uint32_t p = 0; p < topic.partitions; p++) {
        struct mr_partition source = {"out", p};
        struct mr_reader *reader;
        struct mr_batch batch;
        assert_int_equal(mr_reader_open(f->log, &source, -1, &reader, &f->err), MR_OK);
        while (mr_reader_read(reader, 0, &batch, &f->err) == MR_OK && batch.count > 0) {
            count += batch.count;
        }
        mr_reader_close(reader);
    }
    return count;
}

static void add_read(void *arg, const struct mr_partition *source,
                     const struct mr_counters *counters) {
    ((uint64_t *)arg)[source->partition] = counters->records.read;
}

static uint64_t has_read(const struct mr_worker *worker, uint32_t partition) {
    uint64_t read[MR_SCRIPT_PARTITIONS] = {0};
    mr_worker_visit(worker, add_read, read);
    return read[partition];
}

static void count_task(void *arg, const struct mr_partition *source,
                       const struct mr_counters *counters) {
    ++*(int *)arg;
}

static int running(const struct mr_worker *worker) {
    int count = 0;
    mr_worker_visit(worker, count_task, &count);
    return count;
}

/* ---- Restoring beside running tasks --------------------------------------------------------- */

static void a_partition_that_is_restored_does_not_stop_the_others(void **state) {
    struct fixture *f = *state;
    mr_script.slow[1] = true;
    send(f, 0, 5);
    send(f, 1, 5);
    struct mr_worker *worker = start_one(f);
    step(f, worker, 6);
    assert_int_equal(running(worker), 1);
    assert_int_equal(has_read(worker, 0), 1);
    send(f, 0, 15);
    step(f, worker, 3);
    assert_int_equal(has_read(worker, 0), 2);
    commit(f, worker);
    assert_int_equal(mr_script.positions, 1);
    assert_int_equal(rows(f), 1);
    mr_script.slow[1] = false;
    step(f, worker, 6);
    assert_int_equal(has_read(worker, 1), 1);
}

static void while_a_partition_is_restored_the_log_is_not_waited_for(void **state) {
    struct fixture *f = *state;
    mr_script.slow[1] = true;
    struct mr_worker *worker = start_one(f);
    step(f, worker, 4);
    assert_int_equal(mr_worker_step(worker, MR_SECOND, &f->err), MR_OK);
    assert_int_equal(mr_script.timeout_ns, 0);
    mr_script.slow[1] = false;
    step(f, worker, 3);
    assert_int_equal(mr_worker_step(worker, MR_SECOND, &f->err), MR_OK);
    assert_int_equal(mr_script.timeout_ns, MR_SECOND);
}

/* ---- The end -------------------------------------------------------------------------------- */

static void a_partition_ends_behind_the_markers_after_its_last_record(void **state) {
    struct fixture *f = *state;
    mr_script.markers = 2;
    send(f, 0, 5);
    struct mr_worker *worker = start(f, (struct mr_worker_options){.until_end = true});
    while (has_read(worker, 0) == 0) {
        step(f, worker, 1);
        assert_false(mr_worker_done(worker));
    }
    step(f, worker, 1); /* END: its offset is behind the markers */
    assert_true(mr_worker_done(worker));
}

static void an_empty_partition_is_at_its_end(void **state) {
    struct fixture *f = *state;
    mr_script.markers = 2;
    struct mr_worker *worker = start(f, (struct mr_worker_options){.until_end = true});
    step(f, worker, 4);
    assert_true(mr_worker_done(worker));
}

static void a_worker_that_was_told_of_no_partition_yet_is_not_done(void **state) {
    struct fixture *f = *state;
    mr_script.silent = true;
    struct mr_worker *worker = start(f, (struct mr_worker_options){.until_end = true});
    step(f, worker, 3);
    assert_false(mr_worker_done(worker));
}

static void a_worker_that_restores_is_not_done(void **state) {
    struct fixture *f = *state;
    mr_script.slow[0] = true;
    struct mr_worker *worker = start(f, (struct mr_worker_options){.until_end = true});
    step(f, worker, 3);
    assert_false(mr_worker_done(worker));
}

static void a_crew_is_done_when_all_partitions_are_at_their_ends(void **state) {
    struct fixture *f = *state;
    struct mr_worker_options options = {.workers = 2, .until_end = true, .crew = &f->crew};
    send(f, 1, 5);
    struct mr_worker *first = start(f, options);
    options.worker = 1;
    struct mr_worker *second = start(f, options);
    step(f, first, 4);
    assert_false(mr_worker_done(first)); /* its own is at the end, the other one is not */
    step(f, second, 4);
    assert_true(mr_worker_done(first));
    assert_true(mr_worker_done(second));
    tell(f, second, MR_EVENT_REVOKED, 1);
    assert_false(mr_worker_done(first));
}

static void a_silence_begins_anew_when_the_broker_is_back(void **state) {
    struct fixture *f = *state;
    send(f, 0, 5);
    struct mr_worker *worker = start_one(f);
    step(f, worker, 5);
    f->clock.virtual_ns += 60 * MR_SECOND;
    mr_script.anew = true;
    step(f, worker, 1);
    mr_script.anew = false;
    f->clock.virtual_ns += 29 * MR_SECOND;
    step(f, worker, 1);
    commit(f, worker);
    assert_int_equal(rows(f), 0);
    f->clock.virtual_ns += MR_SECOND;
    step(f, worker, 1);
    commit(f, worker);
    assert_int_equal(rows(f), 1);
}

/* ---- Partitions that go --------------------------------------------------------------------- */

static void what_was_done_is_committed_when_a_partition_is_revoked(void **state) {
    struct fixture *f = *state;
    send(f, 0, 5);
    send(f, 0, 15);
    struct mr_worker *worker = start_one(f);
    step(f, worker, 6);
    tell(f, worker, MR_EVENT_REVOKED, 0);
    assert_int_equal(running(worker), 1);
    assert_int_equal(rows(f), 1);
    tell(f, worker, MR_EVENT_REVOKED, 1);
    assert_int_equal(mr_script.commits, 1); /* of the other one, nothing was left to commit */
}

static void a_partition_that_is_revoked_while_it_is_restored_is_forgotten(void **state) {
    struct fixture *f = *state;
    mr_script.slow[0] = true;
    struct mr_worker *worker = start_one(f);
    step(f, worker, 2);
    mr_script.gone[0] = true;
    tell(f, worker, MR_EVENT_REVOKED, 0);
    mr_script.slow[0] = false;
    step(f, worker, 3);
    assert_int_equal(running(worker), 0);
    assert_int_equal(mr_script.commits, 0);
    assert_int_equal(mr_worker_step(worker, MR_SECOND, &f->err), MR_OK);
    assert_int_equal(mr_script.timeout_ns, MR_SECOND); /* nothing is restored any more */
}

static void nothing_of_a_lost_partition_is_committed(void **state) {
    struct fixture *f = *state;
    for (uint32_t p = 0; p < 2; p++) {
        send(f, p, 5);
        send(f, p, 15);
    }
    struct mr_worker *worker = start_one(f);
    step(f, worker, 6);
    assert_int_equal(has_read(worker, 0) + has_read(worker, 1), 4);
    mr_script.gone[1] = true;
    tell(f, worker, MR_EVENT_LOST, 1);
    commit(f, worker);
    assert_int_equal(mr_script.commits, 0); /* its neighbour's rows lay beside its own */
    step(f, worker, 6);
    assert_int_equal(has_read(worker, 0), 2);
    commit(f, worker);
    assert_int_equal(mr_script.positions, 1);
    assert_int_equal(rows(f), 1);
}

static void a_lost_partition_that_did_nothing_leaves_the_others_alone(void **state) {
    struct fixture *f = *state;
    send(f, 0, 5);
    struct mr_worker *worker = start_one(f);
    step(f, worker, 6);
    mr_script.gone[1] = true;
    tell(f, worker, MR_EVENT_LOST, 1);
    assert_int_equal(has_read(worker, 0), 1);
    commit(f, worker);
    assert_int_equal(mr_script.positions, 1);
}

static void a_partition_that_the_input_did_not_have_is_refused_with_the_remedy(void **state) {
    struct fixture *f = *state;
    struct mr_worker *worker = start_one(f);
    mr_script.event =
        (struct mr_event){.kind = MR_EVENT_ASSIGNED, .source = {"in", 1}, .offset = -1};
    assert_int_equal(mr_worker_step(worker, 0, &f->err), MR_REJECT);
    assert_non_null(strstr(f->err.text, "had 1 partition"));
    assert_non_null(strstr(f->err.text, "another job"));
}

/* ---- Commits that fail ---------------------------------------------------------------------- */

static void fenced_commits_do_not_end_a_worker(void **state) {
    struct fixture *f = *state;
    send(f, 0, 5);
    send(f, 0, 15);
    struct mr_worker *worker = start_one(f);
    mr_script.outcome = MR_FENCED;
    for (int i = 0; i < 20; i++) {
        step(f, worker, 4);
        assert_int_equal(has_read(worker, 0), 2);
        commit(f, worker);
        assert_int_equal(running(worker), 0);
    }
    assert_int_equal(mr_script.commits, 20);
    mr_script.outcome = MR_COMMITTED;
    step(f, worker, 4);
    commit(f, worker);
    assert_int_equal(rows(f), 1);
}

static void commits_that_fail_are_tried_again_with_growing_pauses_and_end_the_worker(void **state) {
    static const int64_t pause_ms[] = {0, 100, 200, 400};
    struct fixture *f = *state;
    send(f, 0, 5);
    struct mr_worker *worker = start_one(f);
    mr_script.outcome = MR_ABORTED;
    for (int i = 0; i < 4; i++) {
        step(f, worker, 4);
        assert_int_equal(has_read(worker, 0), 1);
        commit(f, worker);
        if (pause_ms[i]) {
            f->clock.virtual_ns += pause_ms[i] * MR_SECOND / 1000 - 1;
            step(f, worker, 4);
            assert_int_equal(running(worker), 0);
            assert_int_equal(mr_worker_step(worker, MR_SECOND, &f->err), MR_OK);
            assert_int_equal(mr_script.timeout_ns, 1);
            f->clock.virtual_ns++;
        }
    }
    step(f, worker, 4);
    assert_int_equal(mr_worker_commit(worker, &f->err), MR_FAIL);
    assert_non_null(strstr(f->err.text, "the broker says no"));
}

static void one_commit_that_went_through_forgets_the_failures_before(void **state) {
    struct fixture *f = *state;
    struct mr_worker *worker = start_one(f);
    for (int i = 0; i < 8; i++) {
        send(f, 0, 5);
        mr_script.outcome = MR_ABORTED;
        step(f, worker, 4);
        commit(f, worker);
        mr_script.outcome = MR_COMMITTED;
        step(f, worker, 4);
        commit(f, worker);
    }
    assert_int_equal(has_read(worker, 0), 8);
}

static void a_run_to_the_end_goes_on_after_a_last_commit_that_failed(void **state) {
    static const enum mr_commit outcomes[] = {MR_FENCED, MR_ABORTED};
    struct fixture *f = *state;
    send(f, 0, 5);
    struct mr_worker *worker =
        start(f, (struct mr_worker_options){.until_end = true, .close = true});
    for (int i = 0; i < 2; i++) {
        step(f, worker, 4);
        assert_true(mr_worker_done(worker));
        mr_script.outcome = outcomes[i];
        assert_int_equal(mr_worker_finish(worker, &f->err), MR_OK);
        assert_false(mr_worker_done(worker));
    }
    assert_int_equal(rows(f), 0);
    mr_script.outcome = MR_COMMITTED;
    step(f, worker, 4);
    assert_true(mr_worker_done(worker));
    assert_int_equal(mr_worker_finish(worker, &f->err), MR_OK);
    assert_true(mr_worker_done(worker));
    assert_int_equal(rows(f), 1);
}

static void a_worker_that_is_stopped_says_that_its_last_commit_failed(void **state) {
    struct fixture *f = *state;
    send(f, 0, 5);
    struct mr_worker *worker = start_one(f);
    step(f, worker, 4);
    mr_script.outcome = MR_FENCED; /* others read it */
    assert_int_equal(mr_worker_finish(worker, &f->err), MR_OK);
    step(f, worker, 4);
    mr_script.outcome = MR_UNKNOWN;
    assert_int_equal(mr_worker_finish(worker, &f->err), MR_FAIL);
    assert_non_null(strstr(f->err.text, "read again at the next start: the broker says no"));
}

static void a_worker_that_is_stopped_after_a_commit_failed_says_so_too(void **state) {
    struct fixture *f = *state;
    send(f, 0, 5);
    struct mr_worker *worker = start_one(f);
    step(f, worker, 4);
    mr_script.outcome = MR_UNKNOWN;
    commit(f, worker); /* its tasks are gone: nothing is left to commit */
    mr_script.outcome = MR_COMMITTED;
    assert_int_equal(mr_worker_finish(worker, &f->err), MR_FAIL);
    assert_non_null(strstr(f->err.text, "read again at the next start"));
}

static void the_log_is_told_which_instance_it_is(void **state) {
    struct fixture *f = *state;
    start(f, (struct mr_worker_options){.instance = "north"});
    assert_string_equal(mr_script.instance, "north");
}

#define TEST(name, partitions) cmocka_unit_test_setup_teardown(name, partitions, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_partition_that_is_restored_does_not_stop_the_others, two_partitions),
        TEST(while_a_partition_is_restored_the_log_is_not_waited_for, two_partitions),
        TEST(a_partition_ends_behind_the_markers_after_its_last_record, one_partition),
        TEST(an_empty_partition_is_at_its_end, one_partition),
        TEST(a_worker_that_was_told_of_no_partition_yet_is_not_done, one_partition),
        TEST(a_worker_that_restores_is_not_done, one_partition),
        TEST(a_crew_is_done_when_all_partitions_are_at_their_ends, two_partitions),
        TEST(a_silence_begins_anew_when_the_broker_is_back, one_partition),
        TEST(what_was_done_is_committed_when_a_partition_is_revoked, two_partitions),
        TEST(a_partition_that_is_revoked_while_it_is_restored_is_forgotten, one_partition),
        TEST(nothing_of_a_lost_partition_is_committed, two_partitions),
        TEST(a_lost_partition_that_did_nothing_leaves_the_others_alone, two_partitions),
        TEST(a_partition_that_the_input_did_not_have_is_refused_with_the_remedy, one_partition),
        TEST(fenced_commits_do_not_end_a_worker, one_partition),
        TEST(commits_that_fail_are_tried_again_with_growing_pauses_and_end_the_worker,
             one_partition),
        TEST(one_commit_that_went_through_forgets_the_failures_before, one_partition),
        TEST(a_run_to_the_end_goes_on_after_a_last_commit_that_failed, one_partition),
        TEST(a_worker_that_is_stopped_says_that_its_last_commit_failed, one_partition),
        TEST(a_worker_that_is_stopped_after_a_commit_failed_says_so_too, one_partition),
        TEST(the_log_is_told_which_instance_it_is, one_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
