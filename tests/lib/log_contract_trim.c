/* What every log must do: a job's topic is trimmed, also while its owner writes to it and another
 * job of the same process reads it, as the two stages of a regrouped job do. */
#include "tests/lib/log_contract.h"

#include <pthread.h>

static struct mr_world *const w = &mr_world;

static struct mr_partition out_of(void) {
    return mr_partition_at(w->out, 0);
}

static void trim(int64_t before) {
    struct mr_partition source = out_of();
    struct mr_error err;
    if (mr_log_trim(w->log, &source, before, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
}

static void append_letters(struct mr_session *worker, const char *letters) {
    char value[2] = "";
    for (; *letters; letters++) {
        value[0] = *letters;
        mr_append_text(worker, w->out, NULL, value);
    }
    assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
}

/* A worker of the job that owns the topic, with records in it. */
static struct mr_session *open_owner(const char *letters) {
    struct mr_event event;
    struct mr_session *worker = mr_open_worker(w->log, w->job, w->in, 0, 1);
    mr_poll_for(worker, MR_EVENT_END, &event);
    append_letters(worker, letters);
    return worker;
}

struct find {
    struct mr_slice value;
    int64_t offset;
};

static void find_value(void *arg, const struct mr_message *m) {
    struct find *find = arg;
    if (mr_slice_equal(m->value, find->value)) {
        find->offset = m->offset;
    }
}

static int64_t offset_of(const char *letter) {
    struct mr_partition source = out_of();
    struct find find = {mr_slice_of(letter), -1};
    mr_read_each(w->log, &source, -1, find_value, &find);
    assert_true(find.offset >= 0);
    return find.offset;
}

static void assert_bounds(int64_t first, int64_t end) {
    struct mr_partition source = out_of();
    int64_t found_first, found_end;
    assert_int_equal(mr_log_bounds(w->log, &source, &found_first, &found_end, NULL), MR_OK);
    assert_int_equal(found_first, first);
    assert_int_equal(found_end, end);
}

static int64_t end_of(void) {
    struct mr_partition source = out_of();
    int64_t first, end;
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    return end;
}

static void what_is_before_the_offset_is_gone_and_the_rest_stays(void **state) {
    struct mr_session *worker = open_owner("abcd");
    mr_assert_values(w->log, w->out, 0, "a b c d");
    int64_t third = offset_of("c"), end = end_of();
    trim(third);
    mr_assert_values(w->log, w->out, 0, "c d");
    assert_bounds(third, end);
    trim(0);
    trim(third - 1);
    assert_bounds(third, end);
    append_letters(worker, "e");
    mr_assert_values(w->log, w->out, 0, "c d e");
    mr_session_close(worker);
}

static void a_topic_trimmed_to_its_end_is_empty_and_its_offsets_go_on(void **state) {
    struct mr_check_report report;
    struct mr_session *worker = open_owner("ab");
    mr_assert_values(w->log, w->out, 0, "a b");
    int64_t end = end_of();
    for (int again = 0; again < 2; again++) {
        trim(again ? end : -1);
        assert_bounds(end, end);
        mr_assert_values(w->log, w->out, 0, "");
    }
    assert_int_equal(mr_log_check(w->log, w->out, &report, NULL), MR_OK);
    assert_int_equal(report.records + report.bad_records, 0);
    append_letters(worker, "cd");
    mr_assert_values(w->log, w->out, 0, "c d");
    assert_true(offset_of("c") >= end);
    trim(offset_of("d"));
    mr_assert_values(w->log, w->out, 0, "d");
    assert_int_equal(mr_log_check(w->log, w->out, &report, NULL), MR_OK);
    assert_int_equal(report.records, 1);
    assert_int_equal(report.bad_records, 0);
    mr_session_close(worker);
}

static void an_empty_topic_is_trimmed_to_nothing(void **state) {
    trim(-1);
    trim(0);
    assert_bounds(0, 0);
}

static void whoever_starts_below_what_was_trimmed_is_refused(void **state) {
    struct mr_partition source = out_of();
    struct mr_event event;
    struct mr_reader *reader;
    struct mr_error err;
    struct mr_session *worker = open_owner("abc");
    mr_assert_values(w->log, w->out, 0, "a b c");
    int64_t first = offset_of("a"), last = offset_of("c");
    trim(last);
    assert_int_equal(mr_reader_open(w->log, &source, first, &reader, &err), MR_REJECT);
    mr_assert_says(&err, "is gone");
    struct mr_session *next = mr_open_worker(w->log, mr_name("k"), w->out, 0, 1);
    mr_poll_for(next, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_session_start(next, &source, first, &err), MR_REJECT);
    mr_assert_says(&err, "is gone");
    assert_int_equal(mr_session_start(next, &source, -1, &err), MR_OK);
    mr_poll_for(next, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.messages[0].offset, last);
    mr_session_close(next);
    mr_session_close(worker);
}

static void what_cannot_be_trimmed_is_refused(void **state) {
    struct mr_partition changes = mr_partition_at(w->changes, 0), out = out_of();
    struct mr_partition nowhere = mr_partition_at(mr_name("nowhere"), 0);
    struct mr_error err;
    struct mr_session *worker = open_owner("a");
    mr_append_text(worker, w->changes, "k", "1");
    assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    mr_assert_values(w->log, w->out, 0, "a");
    assert_int_equal(mr_log_trim(w->log, &changes, -1, &err), MR_REJECT);
    mr_assert_says(&err, "only a job's topic that keeps records is trimmed");
    assert_string_equal(mr_kept(w->log, w->changes), "k=1");
    assert_int_equal(mr_log_trim(w->log, &out, end_of() + 1, &err), MR_REJECT);
    mr_assert_says(&err, "beyond the end");
    mr_assert_values(w->log, w->out, 0, "a");
    assert_int_equal(mr_log_trim(w->log, &nowhere, -1, &err), MR_REJECT);
    mr_assert_says(&err, nowhere.topic);
    mr_session_close(worker);
}

/* ---- Two stages ----------------------------------------------------------------------------- */

#define ROUNDS 60

static atomic_int rounds_written;

/* The first stage: commits one number after another. */
static void *write_numbers(void *arg) {
    struct mr_session *worker = arg;
    char number[16];
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(number, sizeof number, "%d", i);
        mr_append_text(worker, w->out, NULL, number);
        mr_append_text(worker, w->changes, "k", number);
        assert_int_equal(mr_commit_at(worker, w->in, i, "n"), MR_COMMITTED);
        atomic_fetch_add(&rounds_written, 1);
    }
    return NULL;
}

/* The second stage: takes them in order, commits, trims. */
static void read_numbers(struct mr_session *next, int *expected, bool *ended) {
    struct mr_event event;
    char number[16];
    mr_poll_for(next, MR_EVENT_BATCH, &event);
    for (size_t i = 0; i < event.batch.count; i++) {
        snprintf(number, sizeof number, "%d", (*expected)++);
        assert_true(mr_slice_equal(event.batch.messages[i].value, mr_slice_of(number)));
    }
    int64_t done = event.batch.messages[event.batch.count - 1].offset + 1;
    assert_int_equal(mr_commit_at(next, w->out, done, "n"), MR_COMMITTED);
    trim(done);
    mr_poll_once(next, &event);
    *ended = *ended || event.kind == MR_EVENT_END;
    assert_int_not_equal(event.kind, MR_EVENT_LOST);
    if (event.kind == MR_EVENT_BATCH) { /* to be read again, from the committed position */
        mr_session_abort(next);
    }
}

static void a_second_stage_reads_and_trims_what_the_first_one_writes(void **state) {
    struct mr_check_report report;
    pthread_t thread;
    int expected = 0;
    bool ended = false;
    struct mr_session *worker = open_owner("");
    struct mr_session *next = mr_open_worker(w->log, mr_name("k"), w->out, 0, 1);
    atomic_store(&rounds_written, 0);
    pthread_create(&thread, NULL, write_numbers, worker);
    while (expected < ROUNDS) {
        read_numbers(next, &expected, &ended);
    }
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&rounds_written), ROUNDS);
    if (!ended) {
        struct mr_event event;
        mr_poll_for(next, MR_EVENT_END, &event);
    }
    mr_assert_values(w->log, w->out, 0, "");
    assert_int_equal(mr_log_check(w->log, w->out, &report, NULL), MR_OK);
    assert_int_equal(report.bad_records, 0);
    mr_session_close(next);
    mr_session_close(worker);
    assert_string_equal(mr_kept(w->log, w->changes), "k=59");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_world_set_up, mr_fixture_tear_down)
static const struct CMUnitTest tests[] = {
    TEST(what_is_before_the_offset_is_gone_and_the_rest_stays),
    TEST(a_topic_trimmed_to_its_end_is_empty_and_its_offsets_go_on),
    TEST(an_empty_topic_is_trimmed_to_nothing),
    TEST(whoever_starts_below_what_was_trimmed_is_refused),
    TEST(what_cannot_be_trimmed_is_refused),
    TEST(a_second_stage_reads_and_trims_what_the_first_one_writes),
};
const struct mr_suite mr_trim_contract = {"trimming", tests, sizeof tests / sizeof *tests};
