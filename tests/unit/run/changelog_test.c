/* Rule 8 of time: a changelog is kept by key and never deleted by time; the engine's tombstones do
 * the deleting. (A worker that was away for longer than a retention would find its open windows
 * gone, and nothing would notice.) */
#include "engine/run/run.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char job[] = "job: readings\n"
                          "from: {topic: in, format: json, timestamp: {field: t, unit: s}}\n"
                          "lateness: {grace: 3s}\n"
                          "retain: 20s\n"
                          "group_by: []\n"
                          "window: {every: 10s}\n"
                          "stats: {n: count}\n"
                          "to: [{topic: out, retention: 1h}]\n";

struct fixture {
    struct mr_clock clock;
    struct mr_log *log;
    struct mr_plan *plan;
    struct mr_session *producer;
    struct mr_worker *worker;
};

static int set_up(void **state) {
    struct fixture *f = mr_allocate(sizeof(*f));
    struct mr_topic input = {
        .name = "in", .partitions = 1, .retention_ns = -1, .retention_bytes = -1};
    struct mr_session_options producer = {0};
    struct mr_faults faults = {0};
    struct mr_error err = {""};
    f->clock = mr_virtual_clock(0);
    assert_int_equal(mr_job_load_text("job.yaml", mr_slice_of(job), &f->plan, &faults), MR_OK);
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &f->clock, &f->log, &err),
        MR_OK);
    assert_int_equal(mr_log_create(f->log, &input, &err), MR_OK);
    assert_int_equal(mr_run_prepare(f->plan, f->log, &err), MR_OK);
    assert_int_equal(mr_session_open(f->log, &producer, &f->producer, &err), MR_OK);
    struct mr_worker_options options = {.workers = 1};
    assert_int_equal(mr_worker_create(f->plan, f->log, &f->clock, &options, &f->worker, &err),
                     MR_OK);
    mr_faults_finish(&faults);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    mr_worker_destroy(f->worker);
    mr_session_close(f->producer);
    mr_log_close(f->log);
    mr_plan_destroy(f->plan);
    free(f);
    return 0;
}

static void send(struct fixture *f, const char *value) {
    struct mr_error err = {""};
    struct mr_append append = {.topic = "in", .timestamp_ns = -1, .value = mr_slice_of(value)};
    assert_int_equal(mr_session_append(f->producer, &append, &err), MR_OK);
    assert_int_equal(mr_session_commit(f->producer, NULL, 0, &err), MR_COMMITTED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mr_worker_step(f->worker, 0, &err), MR_OK);
    }
    assert_int_equal(mr_worker_commit(f->worker, &err), MR_OK);
}

/* How many cells the changelog has, beside the record that names the layout. */
static int64_t cells(struct fixture *f) {
    struct mr_partition source = {.partition = 0};
    struct mr_error err = {""};
    int64_t first, end;
    snprintf(source.topic, sizeof(source.topic), "%s", f->plan->changelog_topic);
    assert_int_equal(mr_log_bounds(f->log, &source, &first, &end, &err), MR_OK);
    return end - first - 1;
}

static void a_changelog_is_kept_by_key_and_never_deleted_by_time(void **state) {
    struct fixture *f = *state;
    struct mr_topic topic;
    assert_int_equal(mr_log_describe(f->log, f->plan->changelog_topic, &topic, NULL), MR_OK);
    assert_int_equal(topic.kind, MR_KEEP_LAST_OF_KEY);
    assert_int_equal(topic.retention_ns, -1);
    assert_int_equal(topic.retention_bytes, -1);
}

static void a_cell_that_is_dropped_leaves_the_changelog(void **state) {
    struct fixture *f = *state;
    send(f, "{\"t\":1}");
    assert_int_equal(cells(f), 1);
    send(f, "{\"t\":32}");
    assert_int_equal(cells(f), 2);
    send(f, "{\"t\":33}"); /* [0,10) ends its retention: 10 + 3 + 20 */
    assert_int_equal(cells(f), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_changelog_is_kept_by_key_and_never_deleted_by_time,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cell_that_is_dropped_leaves_the_changelog, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
