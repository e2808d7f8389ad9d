/* Restoring, and what is refused; commits that fail. A small job on the memory log. */
#include "engine/log/memory.h"
#include "engine/run/run.h"
#include "engine/run/task.h"
#include "tests/lib/script_log.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

struct fixture {
    struct mr_clock clock;
    struct mr_log *log;
    struct mr_plan *plan;
    struct mr_session *producer;
    struct mr_worker *worker;
    struct mr_error err;
    struct mr_buffer steps; /* of commits, as they were reached */
};

/* Stops the job; its file has `settings` now, beside what every job here has. */
static void load(struct fixture *f, const char *settings) {
    struct mr_buffer text = {0};
    struct mr_faults faults = {0};
    mr_worker_destroy(f->worker);
    mr_plan_destroy(f->plan);
    f->worker = NULL;
    mr_buffer_format(&text,
                     "job: j\nfrom: {topic: in, format: json, timestamp: {field: t, unit: s}}\n"
                     "group_by: []\nwindow: {every: 10s}\nto: [{topic: out}]\n%s",
                     settings);
    assert_int_equal(mr_job_load_text("j.yaml", mr_buffer_slice(&text), &f->plan, &faults), MR_OK);
    mr_faults_finish(&faults);
    mr_buffer_finish(&text);
}

#define COUNT "stats: {n: count}\n"

static int set_up(void **state) {
    struct fixture *f = mr_allocate(sizeof *f);
    struct mr_topic input = {
        .name = "in", .partitions = 1, .retention_ns = -1, .retention_bytes = -1};
    struct mr_session_options producer = {0};
    f->clock = mr_virtual_clock(1000 * MR_SECOND);
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &f->clock, &f->log, &f->err),
        MR_OK);
    assert_int_equal(mr_log_create(f->log, &input, &f->err), MR_OK);
    assert_int_equal(mr_session_open(f->log, &producer, &f->producer, &f->err), MR_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    mr_worker_destroy(f->worker);
    mr_session_close(f->producer);
    mr_log_close(f->log);
    mr_plan_destroy(f->plan);
    mr_buffer_finish(&f->steps);
    free(f);
    return 0;
}

static void send(struct fixture *f, const char *value) {
    struct mr_append append = {.topic = "in", .timestamp_ns = -1, .value = mr_slice_of(value)};
    assert_int_equal(mr_session_append(f->producer, &append, &f->err), MR_OK);
    assert_int_equal(mr_session_commit(f->producer, NULL, 0, &f->err), MR_COMMITTED);
}

static enum mr_status start(struct fixture *f) {
    struct mr_worker_options options = {.workers = 1};
    mr_worker_destroy(f->worker);
    f->worker = NULL;
    enum mr_status status = mr_run_prepare(f->plan, f->log, &f->err);
    return status == MR_OK
               ? mr_worker_create(f->plan, f->log, &f->clock, &options, &f->worker, &f->err)
               : status;
}

/* Steps until all is read; the first status but MR_OK. */
static enum mr_status read_all(struct fixture *f) {
    enum mr_status status = MR_OK;
    for (int i = 0; i < 5 && status == MR_OK; i++) {
        status = mr_worker_step(f->worker, 0, &f->err);
    }
    return status;
}

static void run(struct fixture *f) {
    assert_int_equal(start(f), MR_OK);
    assert_int_equal(read_all(f), MR_OK);
    assert_int_equal(mr_worker_commit(f->worker, &f->err), MR_OK);
}

/* How many rows there are, and the last of them. */
static size_t rows(struct fixture *f, char last[512]) {
    struct mr_partition source = {"out", 0};
    struct mr_reader *reader;
    struct mr_batch batch;
    size_t count = 0;
    assert_int_equal(mr_reader_open(f->log, &source, -1, &reader, &f->err), MR_OK);
    while (mr_reader_read(reader, 0, &batch, &f->err) == MR_OK && batch.count > 0) {
        const struct mr_message *message = &batch.messages[batch.count - 1];
        snprintf(last, 512, "%.*s", (int)message->value.length, message->value.data);
        count += batch.count;
    }
    mr_reader_close(reader);
    return count;
}

/* ---- What is refused ------------------------------------------------------------------------ */

static void other_statistics_are_refused_and_the_message_says_which(void **state) {
    struct fixture *f = *state;
    load(f, COUNT);
    send(f, "{\"t\":5,\"v\":1}");
    run(f);
    load(f, "stats: {n: count, m: max(v)}\n");
    assert_int_equal(start(f), MR_OK);
    assert_int_not_equal(read_all(f), MR_OK);
    assert_non_null(strstr(f->err.text, "extremes"));
    assert_non_null(strstr(f->err.text, "--reset"));
}

static void cells_beside_no_committed_offset_are_refused(void **state) {
    struct fixture *f = *state;
    load(f, COUNT);
    assert_int_equal(mr_run_prepare(f->plan, f->log, &f->err), MR_OK);
    struct mr_session_options options = {.job = "j", .input = "in", .workers = 1};
    struct mr_session *session;
    assert_int_equal(mr_session_open(f->log, &options, &session, &f->err), MR_OK);
    char value[8];
    memcpy(value, &f->plan->layout_hash, sizeof value);
    struct mr_append append = {.topic = f->plan->changelog_topic,
                               .timestamp_ns = -1,
                               .key = mr_slice_of("kx"),
                               .value = {value, sizeof value}};
    assert_int_equal(mr_session_append(session, &append, &f->err), MR_OK);
    assert_int_equal(mr_session_commit(session, NULL, 0, &f->err), MR_COMMITTED);
    mr_session_close(session);
    assert_int_equal(start(f), MR_OK);
    assert_int_not_equal(read_all(f), MR_OK);
    assert_non_null(strstr(f->err.text, "no committed offset"));
}

static void a_job_that_had_windows_before_is_refused_without_them(void **state) {
    struct fixture *f = *state;
    struct mr_faults faults = {0};
    static const char text[] =
        "job: j\nfrom: {topic: in, format: json, timestamp: {field: t, unit: "
        "s}, fields: {t: number}}\nto: [{topic: out}]\n";
    load(f, COUNT);
    send(f, "{\"t\":5}");
    run(f);
    mr_worker_destroy(f->worker);
    mr_plan_destroy(f->plan);
    f->worker = NULL;
    assert_int_equal(mr_job_load_text("j.yaml", mr_slice_of(text), &f->plan, &faults), MR_OK);
    assert_int_equal(start(f), MR_OK);
    assert_int_equal(read_all(f), MR_REJECT);
    assert_non_null(strstr(f->err.text, "or the job had a window before"));
}

static void an_offset_beyond_the_end_is_refused_with_the_remedy(void **state) {
    struct fixture *f = *state;
    load(f, COUNT);
    assert_int_equal(mr_run_prepare(f->plan, f->log, &f->err), MR_OK);
    struct mr_session_options options = {.job = "j", .input = "in", .workers = 1};
    struct mr_session *session;
    struct mr_position position = {{"in", 0}, 7, mr_slice_of("1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0")};
    struct mr_append layout = {.topic = f->plan->changelog_topic,
                               .timestamp_ns = -1,
                               .key = mr_slice_of(MR_LAYOUT_KEY),
                               .value = mr_slice_of(f->plan->layout)};
    assert_int_equal(mr_session_open(f->log, &options, &session, &f->err), MR_OK);
    assert_int_equal(mr_session_append(session, &layout, &f->err), MR_OK);
    assert_int_equal(mr_session_commit(session, &position, 1, &f->err), MR_COMMITTED);
    mr_session_close(session);
    assert_int_equal(start(f), MR_OK);
    assert_int_equal(read_all(f), MR_REJECT);
    assert_non_null(strstr(f->err.text, "beyond the end"));
    assert_non_null(strstr(f->err.text, "--reset"));
}

static void another_number_of_partitions_than_before_is_refused_with_the_remedy(void **state) {
    struct fixture *f = *state;
    load(f, COUNT);
    struct mr_topic before = {.name = "j-windows-changelog",
                              .partitions = 2,
                              .kind = MR_KEEP_LAST_OF_KEY,
                              .retention_ns = -1,
                              .retention_bytes = -1,
                              .job = "j"};
    assert_int_equal(mr_log_create(f->log, &before, &f->err), MR_OK);
    assert_int_equal(start(f), MR_REJECT);
    assert_non_null(strstr(f->err.text, "has 2 partitions, but its input \"in\" has 1"));
    assert_non_null(strstr(f->err.text, "name another job"));
}

/* ---- A changelog that has not forgotten older records ---------------------------------------- */

struct keyed { /* a keyed cell: "kx" and what is behind its layout hash */
    uint64_t layout;
    char body[8];
};

static struct mr_message record(const char *key, const struct keyed *value) {
    return (struct mr_message){.key = mr_slice_of(key),
                               .value = {(const char *)value, value ? sizeof *value : 0}};
}

/* Restores what a changelog of these records says. */
static enum mr_status restore(struct fixture *f, const struct mr_message *records, size_t count) {
    mr_script_log(f->log);
    mr_script.changelog = records;
    mr_script.changelog_count = count;
    assert_int_equal(start(f), MR_OK);
    return read_all(f);
}

static void cells_of_another_layout_that_are_gone_do_not_count(void **state) {
    struct fixture *f = *state;
    load(f, COUNT);
    struct keyed other = {f->plan->layout_hash + 1, "old"}, own = {f->plan->layout_hash, "own"};
    struct mr_message records[] = {record("kx", &other), record("ky", &own), record("kx", NULL),
                                   record("ky", NULL)};
    assert_int_equal(restore(f, records, 4), MR_OK); /* nor as cells beside no committed offset */
    assert_int_equal(restore(f, records, 3), MR_REJECT);
    assert_non_null(strstr(f->err.text, "no committed offset"));
    assert_int_equal(restore(f, records, 2), MR_REJECT);
    assert_non_null(strstr(f->err.text, "are not those that its stored state was made with"));
}

static void a_key_is_of_the_layout_of_its_last_record(void **state) {
    struct fixture *f = *state;
    load(f, COUNT);
    send(f, "{\"t\":5}");
    run(f); /* now there is a committed offset */
    struct keyed other = {f->plan->layout_hash + 1, "old"}, own = {f->plan->layout_hash, "own"};
    struct mr_message records[] = {
        {.key = mr_slice_of(MR_LAYOUT_KEY), .value = mr_slice_of(f->plan->layout)},
        record("kx", &other),
        record("kx", &own),
        record("kx", &other)};
    assert_int_equal(restore(f, records, 3), MR_OK);
    assert_int_equal(restore(f, records, 4), MR_REJECT);
}

static void an_offset_without_its_changelog_is_refused_with_the_remedy(void **state) {
    struct fixture *f = *state;
    load(f, COUNT);
    send(f, "{\"t\":5}");
    run(f);
    assert_int_equal(restore(f, NULL, 0), MR_OK); /* it is there */
    struct mr_message nothing = {0};
    assert_int_equal(restore(f, &nothing, 0), MR_REJECT);
    assert_non_null(strstr(f->err.text, "its state is not in \"j-windows-changelog\""));
    assert_non_null(strstr(f->err.text, "--reset"));
}

static void a_layout_that_is_not_the_plans_is_written_anew(void **state) {
    struct fixture *f = *state;
    load(f, COUNT);
    struct mr_message records[] = {
        {.key = mr_slice_of(MR_LAYOUT_KEY), .value = mr_slice_of(f->plan->layout)},
        {.key = mr_slice_of(MR_LAYOUT_KEY), .value = mr_slice_of("another")}};
    send(f, "{\"t\":5}");
    assert_int_equal(restore(f, records, 2), MR_OK);
    assert_int_equal(mr_worker_commit(f->worker, &f->err), MR_OK);
    struct mr_partition source = {.partition = 0};
    struct mr_reader *reader;
    struct mr_batch batch;
    snprintf(source.topic, sizeof source.topic, "%s", f->plan->changelog_topic);
    mr_script.changelog = NULL;
    assert_int_equal(mr_reader_open(f->log, &source, -1, &reader, &f->err), MR_OK);
    assert_int_equal(mr_reader_read(reader, 0, &batch, &f->err), MR_OK);
    bool written = false;
    for (size_t i = 0; i < batch.count; i++) {
        written = written || mr_slice_equal(batch.messages[i].key, mr_slice_of(MR_LAYOUT_KEY));
    }
    assert_true(written);
    mr_reader_close(reader);
}

/* ---- Settings that change between two runs --------------------------------------------------- */

static void an_open_window_has_its_row_although_grace_became_shorter(void **state) {
    struct fixture *f = *state;
    char row[512];
    load(f, COUNT "lateness: {grace: 30s}\nretain: 0s\n");
    send(f, "{\"t\":5}");
    send(f, "{\"t\":25}");
    run(f);
    assert_int_equal(rows(f, row), 0);
    load(f, COUNT "lateness: {grace: 1s}\nretain: 0s\n");
    run(f);
    send(f, "{\"t\":26}");
    run(f);
    assert_int_equal(rows(f, row), 1);
    assert_non_null(strstr(row, "\"rev\":0,\"n\":1"));
}

static void a_window_comes_back_as_it_was_when_retain_was_shorter_for_a_while(void **state) {
    struct fixture *f = *state;
    char row[512];
    load(f, COUNT "lateness: {grace: 0s}\nretain: 1m\n");
    send(f, "{\"t\":5}");
    send(f, "{\"t\":25}");
    run(f);
    load(f, COUNT "lateness: {grace: 0s}\nretain: 0s\n");
    run(f); /* no record came, so nothing has been forgotten */
    load(f, COUNT "lateness: {grace: 0s}\nretain: 1m\n");
    send(f, "{\"t\":6}");
    run(f);
    rows(f, row);
    assert_non_null(strstr(row, "\"rev\":1,\"n\":2"));
}

/* ---- Commits -------------------------------------------------------------------------------- */

static bool note_step(void *arg, const char *step) {
    struct fixture *f = arg;
    mr_buffer_format(&f->steps, "%s ", step);
    return true;
}

static void a_commit_takes_its_steps_in_order_and_none_when_nothing_happened(void **state) {
    struct fixture *f = *state;
    struct mr_worker_watch watch = {f, note_step};
    load(f, COUNT);
    send(f, "{\"t\":5}");
    assert_int_equal(start(f), MR_OK);
    assert_int_equal(read_all(f), MR_OK);
    mr_worker_watch(f->worker, &watch);
    assert_int_equal(mr_worker_commit(f->worker, &f->err), MR_OK);
    assert_int_equal(mr_worker_commit(f->worker, &f->err), MR_OK);
    mr_buffer_add(&f->steps, "", 1);
    assert_string_equal(f->steps.data, "revisions changelog commit committed ");
}

static void a_failed_commit_is_done_again_from_the_last_one(void **state) {
    struct fixture *f = *state;
    char row[512];
    load(f, COUNT "lateness: {grace: 0s}\n");
    send(f, "{\"t\":5}");
    send(f, "{\"t\":15}");
    assert_int_equal(start(f), MR_OK);
    assert_int_equal(read_all(f), MR_OK);
    mr_memory_log_fail_commit(f->log, MR_MEMORY_ABORTED);
    assert_int_equal(mr_worker_commit(f->worker, &f->err), MR_OK);
    assert_int_equal(rows(f, row), 0);
    assert_int_equal(read_all(f), MR_OK);
    assert_int_equal(mr_worker_commit(f->worker, &f->err), MR_OK);
    assert_int_equal(rows(f, row), 1);
    assert_non_null(strstr(row, "\"rev\":0,\"n\":1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_statistics_are_refused_and_the_message_says_which,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_offset_beyond_the_end_is_refused_with_the_remedy, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            another_number_of_partitions_than_before_is_refused_with_the_remedy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_offset_without_its_changelog_is_refused_with_the_remedy,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_job_that_had_windows_before_is_refused_without_them,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(cells_beside_no_committed_offset_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_open_window_has_its_row_although_grace_became_shorter,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_window_comes_back_as_it_was_when_retain_was_shorter_for_a_while, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_commit_takes_its_steps_in_order_and_none_when_nothing_happened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_commit_is_done_again_from_the_last_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(cells_of_another_layout_that_are_gone_do_not_count, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_key_is_of_the_layout_of_its_last_record, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_layout_that_is_not_the_plans_is_written_anew, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
