/* Whether a job could run: what `validate --connect` finds on a log. */
#include "engine/run/run.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

struct fixture {
    struct mr_clock clock;
    struct mr_log *log;
    struct mr_plan *plan;
    struct mr_error err;
    struct mr_buffer told; /* "ok: sentence" a line */
};

static int set_up(void **state) {
    struct fixture *f = mr_allocate(sizeof *f);
    struct mr_faults faults = {0};
    f->clock = mr_virtual_clock(1000 * MR_SECOND);
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &f->clock, &f->log, &f->err),
        MR_OK);
    assert_int_equal(mr_job_load_text("j.yaml",
                                      mr_slice_of("job: j\n"
                                                  "from: {topic: in, format: json, key: d, "
                                                  "timestamp: {field: t, unit: s}}\n"
                                                  "group_by: [d]\nwindow: {every: 10s}\n"
                                                  "to: [{topic: out}]\nstats: {n: count}\n"),
                                      &f->plan, &faults),
                     MR_OK);
    mr_faults_finish(&faults);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    mr_log_close(f->log);
    mr_plan_destroy(f->plan);
    mr_buffer_finish(&f->told);
    free(f);
    return 0;
}

static void make(struct fixture *f, const char *name, struct mr_topic topic) {
    snprintf(topic.name, sizeof topic.name, "%s", name);
    topic.retention_bytes = -1;
    assert_int_equal(mr_log_create(f->log, &topic, &f->err), MR_OK);
}

static void keep(void *arg, enum mr_finding finding, const char *sentence) {
    static const char *const words[] = {"ok", "warning", "fault"};
    mr_buffer_format(arg, "%s: %s\n", words[finding], sentence);
}

static enum mr_status inspect(struct fixture *f) {
    f->told.length = 0;
    enum mr_status status = mr_run_inspect(f->plan, f->log, keep, &f->told);
    mr_buffer_add(&f->told, "", 1);
    return status;
}

static void expect(const struct fixture *f, const char *text) {
    if (!strstr(f->told.data, text)) {
        print_error("expected: %s\nfound:\n%s", text, f->told.data);
        fail();
    }
}

static void append(struct fixture *f) {
    struct mr_session *producer;
    struct mr_session_options options = {0};
    struct mr_append record = {
        .topic = "in", .timestamp_ns = -1, .key = mr_slice_of("d"), .value = mr_slice_of("{}")};
    assert_int_equal(mr_session_open(f->log, &options, &producer, &f->err), MR_OK);
    assert_int_equal(mr_session_append(producer, &record, &f->err), MR_OK);
    assert_int_equal(mr_session_commit(producer, NULL, 0, &f->err), MR_COMMITTED);
    mr_session_close(producer);
}

static void without_its_input_a_job_cannot_run(void **state) {
    struct fixture *f = *state;
    assert_int_equal(inspect(f), MR_REJECT);
    expect(f, "fault: input: ");
    expect(f, "\"in\"");
}

static void topics_that_are_not_there_yet_are_made_by_the_first_run(void **state) {
    struct fixture *f = *state;
    struct mr_topic topic;
    make(f, "in", (struct mr_topic){.partitions = 3, .retention_ns = -1});
    append(f);
    assert_int_equal(inspect(f), MR_OK);
    expect(f, "ok: log: memory: answers");
    expect(f, "ok: input: \"in\" has 3 partitions, at most 1 record, kept for good");
    expect(f, "ok: output: \"out\" is not there; the first run makes it, 3 partitions");
    expect(f, "ok: dead letters: \"j-dead-letters\" is not there");
    expect(f, "ok: changelog: \"j-windows-changelog\" is not there");
    expect(f, "ok: rights: job j may run here");
    assert_int_equal(mr_log_describe(f->log, "out", &topic, &f->err), MR_REJECT);
}

static void a_job_that_has_run_may_run_again(void **state) {
    struct fixture *f = *state;
    make(f, "in", (struct mr_topic){.partitions = 2, .retention_ns = -1});
    assert_int_equal(mr_run_prepare(f->plan, f->log, &f->err), MR_OK);
    assert_int_equal(inspect(f), MR_OK);
    expect(f, "ok: output: \"out\" is there, 2 partitions");
    expect(f, "ok: changelog: \"j-windows-changelog\" is there, 2 partitions");
    assert_null(strstr(f->told.data, "warning"));
}

static void topics_with_other_partitions_are_faults(void **state) {
    struct fixture *f = *state;
    make(f, "in", (struct mr_topic){.partitions = 2, .retention_ns = -1});
    make(f, "out", (struct mr_topic){.partitions = 3, .retention_ns = -1, .job = "j"});
    assert_int_equal(inspect(f), MR_REJECT);
    expect(f, "fault: output: \"out\" has 3 partitions, but the input has 2");
}

static void a_topic_of_the_wrong_kind_is_a_fault(void **state) {
    struct fixture *f = *state;
    struct mr_topic compacted = {
        .partitions = 1, .retention_ns = -1, .kind = MR_KEEP_LAST_OF_KEY, .job = "j"};
    make(f, "in", compacted);
    make(f, "out", compacted);
    make(f, "j-windows-changelog",
         (struct mr_topic){.partitions = 1, .retention_ns = -1, .job = "j"});
    assert_int_equal(inspect(f), MR_REJECT);
    expect(f, "fault: input: \"in\" keeps the last record of each key only");
    expect(f, "fault: output: \"out\" is compacted");
    expect(f, "fault: changelog: \"j-windows-changelog\" is not compacted");
}

static void a_topic_of_another_job_is_a_fault(void **state) {
    struct fixture *f = *state;
    make(f, "in", (struct mr_topic){.partitions = 1, .retention_ns = -1});
    make(f, "out", (struct mr_topic){.partitions = 1, .retention_ns = -1, .job = "other"});
    assert_int_equal(inspect(f), MR_REJECT);
    expect(f, "fault: output: \"out\" belongs to job other");
}

static void an_output_that_forgets_is_a_warning(void **state) {
    struct fixture *f = *state;
    make(f, "in", (struct mr_topic){.partitions = 1, .retention_ns = -1});
    make(f, "out",
         (struct mr_topic){.partitions = 1, .retention_ns = 7 * 86400 * MR_SECOND, .job = "j"});
    assert_int_equal(inspect(f), MR_OK);
    expect(f, "warning: output: \"out\" keeps its records for 7d only");
}

static void a_clock_that_is_behind_the_log_is_a_warning(void **state) {
    struct fixture *f = *state;
    make(f, "in", (struct mr_topic){.partitions = 1, .retention_ns = -1});
    append(f);
    assert_int_equal(inspect(f), MR_OK);
    expect(f, "ok: time: this machine's clock agrees");
    f->clock.virtual_ns -= 90 * MR_SECOND;
    assert_int_equal(inspect(f), MR_OK);
    expect(f, "warning: time: the log stamped its newest record 1m30s ahead of this machine's");
}

static void a_group_that_spans_partitions_takes_two_stages(void **state) {
    struct fixture *f = *state;
    struct mr_faults faults = {0};
    mr_plan_destroy(f->plan);
    assert_int_equal(mr_job_load_text("j.yaml",
                                      mr_slice_of("job: j\nfrom: {topic: in, format: json, key: d, "
                                                  "timestamp: log}\ngroup_by: [e]\n"
                                                  "window: {every: 10s}\nto: [{topic: out}]\n"
                                                  "stats: {n: count}\n"),
                                      &f->plan, &faults),
                     MR_OK);
    mr_faults_finish(&faults);
    make(f, "in", (struct mr_topic){.partitions = 2, .retention_ns = -1});
    assert_int_equal(inspect(f), MR_OK);
    expect(f, "ok: stages: two, as `group_by` does not have the partition key of \"in\"");
    expect(f,
           "ok: between the stages: \"j-regroup-repartition\" is not there; the first run makes");
    expect(f, "ok: changelog of the first stage: \"j-regroup-changelog\" is not there");
    expect(f, "ok: rights: job j-regroup may run here");
    expect(f, "ok: rights: job j may run here");
}

#define ON_A_LOG(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_A_LOG(without_its_input_a_job_cannot_run),
        ON_A_LOG(topics_that_are_not_there_yet_are_made_by_the_first_run),
        ON_A_LOG(a_job_that_has_run_may_run_again),
        ON_A_LOG(topics_with_other_partitions_are_faults),
        ON_A_LOG(a_topic_of_the_wrong_kind_is_a_fault),
        ON_A_LOG(a_topic_of_another_job_is_a_fault),
        ON_A_LOG(an_output_that_forgets_is_a_warning),
        ON_A_LOG(a_clock_that_is_behind_the_log_is_a_warning),
        ON_A_LOG(a_group_that_spans_partitions_takes_two_stages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
