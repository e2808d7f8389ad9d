/* What every log must do: a session alone, its polls and its transactions. */
#include "tests/lib/log_contract.h"

#include <pthread.h>
#include <stdlib.h>

static struct mr_world *const w = &mr_world;

static struct mr_session *open_job(void) {
    return mr_open_worker(w->log, w->job, w->in, 0, 1);
}

/* The job with its partition, started at its committed offset. */
static struct mr_session *start_job(void) {
    struct mr_session *worker = open_job();
    struct mr_event event;
    mr_poll_for(worker, MR_EVENT_END, &event);
    return worker;
}

/* Assigned anew, where it was committed; not started. */
static struct mr_session *assign_job(struct mr_event *event) {
    struct mr_session *worker = open_job();
    mr_poll_for(worker, MR_EVENT_ASSIGNED, event);
    return worker;
}

/* ---- Assignment and polling ----------------------------------------------------------------- */

static void a_new_job_is_assigned_without_an_offset(void **state) {
    struct mr_event event;
    struct mr_session *worker = assign_job(&event);
    assert_string_equal(event.source.topic, w->in);
    assert_int_equal(event.source.partition, 0);
    assert_int_equal(event.offset, -1);
    assert_int_equal(event.note.length, 0);
    mr_session_close(worker);
}

static void refuse_session(const char *job, const char *input, const char *part) {
    struct mr_session *session;
    struct mr_session_options options = {job, input, NULL, 0, 1};
    struct mr_error err;
    assert_int_equal(mr_session_open(w->log, &options, &session, &err), MR_REJECT);
    mr_assert_says(&err, part);
    assert_null(session);
}

static void an_input_that_is_not_there_is_refused(void **state) {
    refuse_session(w->job, "nowhere", "nowhere");
    refuse_session("../j", w->in, "no name");
    refuse_session(w->job, w->changes, "changelog");
}

static void nothing_is_delivered_before_the_start(void **state) {
    struct mr_event event;
    mr_produce(w->log, w->in, 0, "a");
    struct mr_session *worker = assign_job(&event);
    for (int i = 0; i < 10; i++) {
        mr_poll_once(worker, &event);
        assert_int_equal(event.kind, MR_EVENT_NONE);
    }
    struct mr_partition source = mr_partition_at(w->in, 0);
    assert_int_equal(mr_session_start(worker, &source, -1, NULL), MR_OK);
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.count, 1);
    mr_session_close(worker);
}

static void the_end_is_told_again_and_again(void **state) {
    const char *wide = mr_name("wide");
    struct mr_partition source = mr_partition_at(wide, 2);
    int64_t deadline = mr_deadline(), first, end;
    int told[4] = {0};
    mr_make_topic(w->log, wide, 4);
    mr_produce(w->log, wide, 2, "a");
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    struct mr_session *worker = mr_open_worker(w->log, w->job, wide, 0, 1);
    struct mr_event event;
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.source.partition, 2);
    while (told[0] < 3 || told[1] < 3 || told[2] < 3 || told[3] < 3) {
        mr_poll_for(worker, MR_EVENT_END, &event);
        assert_string_equal(event.source.topic, wide);
        assert_int_equal(event.offset, event.source.partition == 2 ? end : 0);
        told[event.source.partition]++;
        mr_wait_until(deadline, "the end of every partition");
    }
    mr_session_close(worker);
}

static void fill(const char *topic, size_t size, int count) {
    char *bytes = mr_allocate(size);
    struct mr_session *producer = mr_open_producer(w->log);
    struct mr_append record = {.topic = topic, .timestamp_ns = -1, .value = {bytes, size}};
    for (int i = 0; i < count; i++) {
        assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    }
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    free(bytes);
}

/* Started before the busy one, the other's record is there when the busy one's are. */
static void a_busy_partition_does_not_starve_the_others(void **state) {
    const char *wide = mr_name("wide");
    struct mr_partition busy = mr_partition_at(wide, 0), other = mr_partition_at(wide, 1);
    struct mr_event event;
    size_t before = 0;
    mr_make_topic(w->log, wide, 2);
    mr_produce(w->log, wide, 1, "x");
    fill(wide, 1 << 20, 16);
    struct mr_session *worker = mr_open_worker(w->log, w->job, wide, 0, 1);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_session_start(worker, &other, -1, NULL), MR_OK);
    assert_int_equal(mr_session_start(worker, &busy, -1, NULL), MR_OK);
    do {
        mr_poll_for(worker, MR_EVENT_BATCH, &event);
        before += event.source.partition == 0 ? event.batch.count : 0;
    } while (event.source.partition == 0);
    assert_true(before < 16);
    mr_session_close(worker);
}

static void a_batch_holds_a_few_mebibytes_at_most(void **state) {
    struct mr_event event;
    size_t count = 0;
    fill(w->in, 1 << 19, 16);
    struct mr_session *worker = open_job();
    while (count < 16) {
        mr_poll_for(worker, MR_EVENT_BATCH, &event);
        assert_in_range(event.batch.count, 1, 8);
        count += event.batch.count;
    }
    mr_session_close(worker);
}

static void *append_from_a_thread(void *arg) {
    mr_produce(w->log, w->in, 0, "late");
    return NULL;
}

static void a_wait_ends_with_the_first_new_record(void **state) {
    struct mr_session *worker = start_job();
    struct mr_event event;
    pthread_t thread;
    int64_t deadline = mr_deadline();
    pthread_create(&thread, NULL, append_from_a_thread, NULL);
    do {
        assert_int_equal(mr_session_poll(worker, 60 * MR_SECOND, &event, NULL), MR_OK);
        mr_wait_until(deadline, "the end of the wait");
    } while (event.kind != MR_EVENT_BATCH);
    assert_true(mr_slice_equal(event.batch.messages[0].value, mr_slice_of("late")));
    pthread_join(thread, NULL);
    mr_session_close(worker);
}

static void a_start_outside_the_log_is_refused_with_both_offsets(void **state) {
    struct mr_partition source = mr_partition_at(w->in, 0);
    struct mr_event event;
    struct mr_error err;
    int64_t first, end;
    char both[64];
    mr_produce(w->log, w->in, 0, "a");
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    struct mr_session *worker = assign_job(&event);
    snprintf(both, sizeof both, "offset %d is beyond the end, %d", (int)end + 6, (int)end);
    assert_int_equal(mr_session_start(worker, &source, end + 6, &err), MR_REJECT);
    mr_assert_says(&err, both);
    mr_assert_says(&err, "replaced or truncated");
    assert_int_equal(mr_session_start(worker, &source, end, &err), MR_OK);
    mr_session_close(worker);
}

/* ---- Transactions --------------------------------------------------------------------------- */

static void a_commit_holds_outputs_and_position_together(void **state) {
    struct mr_event event;
    mr_produce(w->log, w->in, 0, "a");
    struct mr_session *worker = open_job();
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    int64_t next = event.batch.messages[0].offset + 1;
    mr_append_text(worker, w->out, NULL, "A");
    mr_append_text(worker, w->changes, "k", "1");
    assert_true(mr_session_pending(worker) > 0);
    mr_assert_values(w->log, w->out, 0, "");
    assert_int_equal(mr_commit_at(worker, w->in, next, "T=5"), MR_COMMITTED);
    assert_int_equal(mr_session_pending(worker), 0);
    mr_session_close(worker);
    mr_assert_values(w->log, w->out, 0, "A");
    assert_string_equal(mr_kept(w->log, w->changes), "k=1");
    worker = assign_job(&event);
    assert_int_equal(event.offset, next);
    assert_true(mr_slice_equal(event.note, mr_slice_of("T=5")));
    mr_session_close(worker);
}

static void what_comes_after_the_committed_offset_is_delivered_again(void **state) {
    struct mr_event event;
    mr_produce(w->log, w->in, 0, "a");
    struct mr_session *worker = open_job();
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    int64_t next = event.batch.messages[0].offset + 1;
    assert_int_equal(mr_commit_at(worker, w->in, next, ""), MR_COMMITTED);
    mr_produce(w->log, w->in, 0, "b");
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    mr_session_close(worker);
    worker = open_job();
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.count, 1);
    assert_true(event.batch.messages[0].offset >= next);
    assert_true(mr_slice_equal(event.batch.messages[0].value, mr_slice_of("b")));
    mr_session_close(worker);
}

static void an_abort_drops_everything_and_assigns_anew(void **state) {
    struct mr_event event;
    mr_produce(w->log, w->in, 0, "a");
    struct mr_session *worker = open_job();
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    int64_t at = event.batch.messages[0].offset;
    assert_int_equal(mr_commit_at(worker, w->in, at, "n"), MR_COMMITTED);
    mr_append_text(worker, w->out, NULL, "lost");
    mr_append_text(worker, w->changes, "k", "lost");
    mr_session_abort(worker);
    assert_int_equal(mr_session_pending(worker), 0);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, at);
    assert_true(mr_slice_equal(event.note, mr_slice_of("n")));
    assert_int_equal(mr_session_start(worker, &event.source, event.offset, NULL), MR_OK);
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_true(mr_slice_equal(event.batch.messages[0].value, mr_slice_of("a")));
    mr_append_text(worker, w->out, NULL, "kept");
    assert_int_equal(mr_commit_at(worker, w->in, at + 1, ""), MR_COMMITTED);
    mr_session_close(worker);
    mr_assert_values(w->log, w->out, 0, "kept");
    assert_string_equal(mr_kept(w->log, w->changes), "");
}

static void a_session_that_closes_without_commit_leaves_nothing(void **state) {
    struct mr_event event;
    struct mr_session *worker = start_job();
    mr_append_text(worker, w->out, NULL, "lost");
    mr_append_text(worker, w->changes, "k", "lost");
    mr_session_close(worker);
    worker = assign_job(&event);
    assert_int_equal(event.offset, -1);
    mr_append_text(worker, w->out, NULL, "kept");
    assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    mr_session_close(worker);
    mr_assert_values(w->log, w->out, 0, "kept");
    assert_string_equal(mr_kept(w->log, w->changes), "");
}

static void a_note_of_almost_4_kib_comes_back(void **state) {
    char note[MR_NOTE_MAX];
    struct mr_event event;
    memset(note, 'n', sizeof note);
    note[MR_NOTE_MAX - 1] = '\0';
    struct mr_session *worker = assign_job(&event);
    assert_int_equal(mr_commit_at(worker, w->in, 0, note), MR_COMMITTED);
    mr_session_close(worker);
    worker = assign_job(&event);
    assert_int_equal(event.offset, 0);
    assert_true(mr_slice_equal(event.note, mr_slice_of(note)));
    mr_session_close(worker);
}

static void a_batch_outlives_appends_of_its_own_session(void **state) {
    struct mr_event event;
    mr_produce(w->log, w->in, 0, "a");
    struct mr_session *worker = open_job();
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    for (int i = 0; i < 1000; i++) {
        struct mr_append record = {
            .topic = w->out, .timestamp_ns = -1, .value = event.batch.messages[0].value};
        assert_int_equal(mr_session_append(worker, &record, NULL), MR_OK);
    }
    assert_int_equal(mr_commit_at(worker, w->in, 1, ""), MR_COMMITTED);
    mr_session_close(worker);
    mr_assert_count(w->log, w->out, 0, 1000);
}

static void check_timestamp(void *given_ns, const struct mr_message *m) {
    assert_int_equal(m->timestamp_ns, *(int64_t *)given_ns);
    assert_true(m->append_ns >= 0);
}

static void what_a_job_writes_keeps_its_timestamps(void **state) {
    int64_t given_ns = 1234567890123 * (MR_SECOND / 1000);
    struct mr_partition source = mr_partition_at(w->out, 0);
    struct mr_session *worker = start_job();
    struct mr_append record = {
        .topic = w->out, .timestamp_ns = given_ns, .value = mr_slice_of("a")};
    assert_int_equal(mr_session_append(worker, &record, NULL), MR_OK);
    assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    mr_session_close(worker);
    mr_assert_count(w->log, w->out, 0, 1);
    mr_read_each(w->log, &source, -1, check_timestamp, &given_ns);
}

static void the_output_of_a_job_is_the_input_of_another(void **state) {
    struct mr_event event;
    struct mr_session *worker = start_job();
    struct mr_session *next = mr_open_worker(w->log, mr_name("k"), w->out, 0, 1);
    mr_poll_for(next, MR_EVENT_END, &event);
    mr_append_text(worker, w->out, NULL, "A");
    assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    mr_poll_for(next, MR_EVENT_BATCH, &event);
    assert_true(mr_slice_equal(event.batch.messages[0].value, mr_slice_of("A")));
    mr_session_close(next);
    mr_session_close(worker);
}

static int64_t end_told(struct mr_session *worker) {
    struct mr_event event;
    mr_poll_for(worker, MR_EVENT_END, &event);
    return event.offset;
}

/* Also where a transaction's end takes an offset of its own. */
static void the_end_that_is_told_reaches_the_bounds(void **state) {
    struct mr_partition source = mr_partition_at(w->out, 0);
    int64_t deadline = mr_deadline(), first, end;
    struct mr_session *worker = start_job();
    struct mr_session *next = mr_open_worker(w->log, mr_name("k"), w->out, 0, 1);
    for (int i = 0; i < 3; i++) {
        mr_append_text(worker, w->out, NULL, "A");
        assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    }
    mr_session_close(worker);
    mr_assert_count(w->log, w->out, 0, 3);
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_true(end >= 3);
    while (end_told(next) < end) {
        mr_wait_until(deadline, "the end of the log");
    }
    mr_session_close(next);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_world_set_up, mr_fixture_tear_down)
static const struct CMUnitTest tests[] = {
    TEST(a_new_job_is_assigned_without_an_offset),
    TEST(an_input_that_is_not_there_is_refused),
    TEST(nothing_is_delivered_before_the_start),
    TEST(the_end_is_told_again_and_again),
    TEST(a_busy_partition_does_not_starve_the_others),
    TEST(a_batch_holds_a_few_mebibytes_at_most),
    TEST(a_wait_ends_with_the_first_new_record),
    TEST(a_start_outside_the_log_is_refused_with_both_offsets),
    TEST(a_commit_holds_outputs_and_position_together),
    TEST(what_comes_after_the_committed_offset_is_delivered_again),
    TEST(an_abort_drops_everything_and_assigns_anew),
    TEST(a_session_that_closes_without_commit_leaves_nothing),
    TEST(a_note_of_almost_4_kib_comes_back),
    TEST(a_batch_outlives_appends_of_its_own_session),
    TEST(what_a_job_writes_keeps_its_timestamps),
    TEST(the_output_of_a_job_is_the_input_of_another),
    TEST(the_end_that_is_told_reaches_the_bounds),
};
const struct mr_suite mr_session_contract = {"a session", tests, sizeof tests / sizeof *tests};
