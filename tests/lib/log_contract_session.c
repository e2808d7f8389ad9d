/* What every log must do: sessions, transactions, changelogs. The job is always "j" and reads
 * "in"; it writes "out" and "changes". */
#include "tests/lib/log_contract.h"

#include <pthread.h>
#include <stdlib.h>

static struct mr_log *log_of(void **state) {
    return ((struct mr_log_fixture *)*state)->log;
}

static int set_up(void **state) {
    mr_fixture_set_up(state);
    mr_make_topic(log_of(state), "in", 1);
    mr_make_topic(log_of(state), "wide", 4);
    mr_make_job_topic(log_of(state), "out", "j", MR_KEEP_RECORDS);
    mr_make_job_topic(log_of(state), "changes", "j", MR_KEEP_LAST_OF_KEY);
    return 0;
}

static struct mr_session *open_job(void **state) {
    return mr_open_worker(log_of(state), "j", "in", 0, 1);
}

/* ---- Assignment and polling ----------------------------------------------------------------- */

static void a_new_job_is_assigned_without_an_offset(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    assert_int_equal(mr_session_poll(worker, 0, &event, NULL), MR_OK);
    assert_int_equal(event.kind, MR_EVENT_ASSIGNED);
    assert_string_equal(event.source.topic, "in");
    assert_int_equal(event.source.partition, 0);
    assert_int_equal(event.offset, -1);
    assert_int_equal(event.note.length, 0);
    mr_session_close(worker);
}

static void an_input_that_is_not_there_is_refused(void **state) {
    struct mr_session *session;
    struct mr_session_options options = {"j", "nowhere", NULL, 0, 1};
    struct mr_error err;
    assert_int_equal(mr_session_open(log_of(state), &options, &session, &err), MR_REJECT);
    mr_assert_says(&err, "nowhere");
    options.job = "../j";
    assert_int_equal(mr_session_open(log_of(state), &options, &session, &err), MR_REJECT);
    mr_assert_says(&err, "no name");
    options = (struct mr_session_options){"j", "changes", NULL, 0, 1};
    assert_int_equal(mr_session_open(log_of(state), &options, &session, &err), MR_REJECT);
    mr_assert_says(&err, "changelog");
}

static void a_second_run_of_a_job_is_refused(void **state) {
    struct mr_session *worker = open_job(state), *second;
    struct mr_session_options options = {"j", "in", NULL, 0, 1};
    struct mr_error err;
    assert_int_equal(mr_session_open(log_of(state), &options, &second, &err), MR_REJECT);
    mr_assert_says(&err, "\"j\" already runs");
    mr_session_close(worker);
    mr_session_close(open_job(state));
}

static void partitions_belong_to_workers_by_number(void **state) {
    struct mr_session *workers[2];
    struct mr_event event;
    for (uint32_t w = 0; w < 2; w++) {
        workers[w] = mr_open_worker(log_of(state), "j", "wide", w, 2);
    }
    for (uint32_t w = 0; w < 2; w++) {
        assert_int_equal(mr_session_poll(workers[w], 0, &event, NULL), MR_OK);
        assert_int_equal(event.source.partition, w);
        assert_int_equal(mr_session_poll(workers[w], 0, &event, NULL), MR_OK);
        assert_int_equal(event.source.partition, w + 2);
        assert_int_equal(mr_session_poll(workers[w], 0, &event, NULL), MR_OK);
        assert_int_equal(event.kind, MR_EVENT_NONE);
    }
    mr_session_close(workers[0]);
    mr_session_close(workers[1]);
}

static void a_worker_without_partitions_has_nothing_to_do(void **state) {
    struct mr_session *worker = mr_open_worker(log_of(state), "j", "in", 1, 2);
    struct mr_event event;
    assert_int_equal(mr_session_poll(worker, MR_SECOND / 1000, &event, NULL), MR_OK);
    assert_int_equal(event.kind, MR_EVENT_NONE);
    mr_session_close(worker);
}

static void nothing_is_delivered_before_the_start(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    mr_produce(log_of(state), "in", 0, "a");
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_session_poll(worker, 0, &event, NULL), MR_OK);
    assert_int_equal(event.kind, MR_EVENT_NONE);
    struct mr_partition source = mr_partition_at("wide", 0);
    assert_int_equal(mr_session_start(worker, &source, -1, NULL), MR_FAIL);
    source = mr_partition_at("in", 0);
    assert_int_equal(mr_session_start(worker, &source, -1, NULL), MR_OK);
    assert_int_equal(mr_session_poll(worker, 0, &event, NULL), MR_OK);
    assert_int_equal(event.kind, MR_EVENT_BATCH);
    mr_session_close(worker);
}

static void the_end_is_told_once_per_round(void **state) {
    struct mr_session *worker = mr_open_worker(log_of(state), "j", "wide", 0, 1);
    struct mr_event event;
    mr_produce(log_of(state), "wide", 2, "a");
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.source.partition, 2);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(mr_session_poll(worker, 0, &event, NULL), MR_OK);
        assert_int_equal(event.kind, MR_EVENT_END);
        assert_int_equal(event.source.partition, (i + 3) % 4);
        assert_int_equal(event.offset, (i + 3) % 4 == 2);
    }
    mr_session_close(worker);
}

static void a_busy_partition_does_not_starve_the_others(void **state) {
    mr_produce(log_of(state), "wide", 3, "x");
    static char big[1 << 20];
    struct mr_session *producer = mr_open_producer(log_of(state));
    struct mr_append record = {.topic = "wide", .timestamp_ns = -1, .value = {big, sizeof big}};
    for (int i = 0; i < 8; i++) {
        assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    }
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    struct mr_session *worker = mr_open_worker(log_of(state), "j", "wide", 0, 1);
    struct mr_event event = {0};
    size_t busy = 0;
    do {
        mr_poll_for(worker, MR_EVENT_BATCH, &event);
        busy += event.source.partition == 0;
    } while (event.source.partition != 3);
    assert_true(busy <= 1);
    mr_session_close(worker);
}

static void a_batch_holds_about_a_mebibyte(void **state) {
    static char half[1 << 19];
    mr_make_topic(log_of(state), "big", 1);
    struct mr_session *producer = mr_open_producer(log_of(state));
    struct mr_append record = {.topic = "big", .timestamp_ns = -1, .value = {half, sizeof half}};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    }
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    struct mr_session *worker = mr_open_worker(log_of(state), "j", "big", 0, 1);
    struct mr_event event;
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.count, 2);
    mr_session_close(worker);
}

static void *append_from_a_thread(void *arg) {
    mr_produce(arg, "in", 0, "late");
    return NULL;
}

static void a_wait_ends_with_the_first_new_record(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    pthread_t thread;
    mr_poll_for(worker, MR_EVENT_END, &event);
    pthread_create(&thread, NULL, append_from_a_thread, log_of(state));
    assert_int_equal(mr_session_poll(worker, 60 * MR_SECOND, &event, NULL), MR_OK);
    assert_int_equal(event.kind, MR_EVENT_BATCH);
    assert_true(mr_slice_equal(event.batch.messages[0].value, mr_slice_of("late")));
    pthread_join(thread, NULL);
    mr_session_close(worker);
}

static void a_start_outside_the_log_is_refused_with_both_offsets(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    struct mr_error err;
    mr_produce(log_of(state), "in", 0, "a");
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_session_start(worker, &event.source, 7, &err), MR_REJECT);
    mr_assert_says(&err, "offset 7 is beyond the end, 1");
    mr_assert_says(&err, "replaced or truncated");
    assert_int_equal(mr_session_start(worker, &event.source, 1, &err), MR_OK);
    mr_session_close(worker);
}

/* ---- Transactions --------------------------------------------------------------------------- */

static void a_commit_holds_outputs_and_position_together(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    mr_produce(log_of(state), "in", 0, "a");
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    mr_append_text(worker, "out", NULL, "A");
    mr_append_text(worker, "changes", "k", "1");
    assert_true(mr_session_pending(worker) > 0);
    assert_string_equal(mr_values(log_of(state), "out", 0), "");
    assert_int_equal(mr_commit_at(worker, "in", 1, "T=5"), MR_COMMITTED);
    mr_session_close(worker);
    assert_string_equal(mr_values(log_of(state), "out", 0), "A");
    assert_string_equal(mr_kept(log_of(state), "changes"), "k=1");
    worker = open_job(state);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, 1);
    assert_true(mr_slice_equal(event.note, mr_slice_of("T=5")));
    mr_session_close(worker);
}

static void an_abort_drops_everything_and_assigns_anew(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    mr_produce(log_of(state), "in", 0, "a");
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(mr_commit_at(worker, "in", 0, "n"), MR_COMMITTED);
    mr_append_text(worker, "out", NULL, "lost");
    mr_append_text(worker, "changes", "k", "lost");
    mr_session_abort(worker);
    assert_int_equal(mr_session_pending(worker), 0);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, 0);
    assert_int_equal(mr_session_start(worker, &event.source, event.offset, NULL), MR_OK);
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_true(mr_slice_equal(event.batch.messages[0].value, mr_slice_of("a")));
    mr_append_text(worker, "out", NULL, "kept");
    assert_int_equal(mr_commit_at(worker, "in", 1, ""), MR_COMMITTED);
    mr_session_close(worker);
    assert_string_equal(mr_values(log_of(state), "out", 0), "kept");
    assert_string_equal(mr_kept(log_of(state), "changes"), "");
}

static void a_session_that_closes_without_commit_leaves_nothing(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    mr_append_text(worker, "out", NULL, "lost");
    mr_session_close(worker);
    assert_string_equal(mr_values(log_of(state), "out", 0), "");
    worker = open_job(state);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, -1);
    mr_session_close(worker);
}

static void a_note_of_almost_4_kib_comes_back(void **state) {
    char note[MR_NOTE_MAX];
    struct mr_event event;
    memset(note, 'n', sizeof note);
    note[MR_NOTE_MAX - 1] = '\0';
    struct mr_session *worker = open_job(state);
    assert_int_equal(mr_commit_at(worker, "in", 0, note), MR_COMMITTED);
    mr_session_close(worker);
    worker = open_job(state);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_true(mr_slice_equal(event.note, mr_slice_of(note)));
    mr_session_close(worker);
}

static void a_batch_outlives_appends_of_its_own_session(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    mr_produce(log_of(state), "in", 0, "a");
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    for (int i = 0; i < 1000; i++) {
        struct mr_append record = {
            .topic = "out", .timestamp_ns = -1, .value = event.batch.messages[0].value};
        assert_int_equal(mr_session_append(worker, &record, NULL), MR_OK);
    }
    assert_int_equal(mr_commit_at(worker, "in", 1, ""), MR_COMMITTED);
    mr_session_close(worker);
    int64_t first, end;
    struct mr_partition source = mr_partition_at("out", 0);
    assert_int_equal(mr_log_bounds(log_of(state), &source, &first, &end, NULL), MR_OK);
    assert_int_equal(end, 1000);
}

static void workers_commit_side_by_side(void **state) {
    struct mr_session *workers[2];
    for (uint32_t w = 0; w < 2; w++) {
        workers[w] = mr_open_worker(log_of(state), "j", "wide", w, 2);
        mr_append_text(workers[w], "out", NULL, w ? "b" : "a");
    }
    for (uint32_t w = 0; w < 2; w++) {
        struct mr_position position = {mr_partition_at("wide", w), 0, mr_slice_of("note")};
        assert_int_equal(mr_session_commit(workers[w], &position, 1, NULL), MR_COMMITTED);
        mr_session_close(workers[w]);
    }
    assert_string_equal(mr_values(log_of(state), "out", 0), "a b");
}

static void *commit_often(void *session) {
    for (int i = 0; i < 50; i++) {
        mr_append_text(session, "out", NULL, "x");
        mr_append_text(session, "changes", "k", "x");
        if (mr_session_commit(session, NULL, 0, NULL) != MR_COMMITTED) {
            return session;
        }
    }
    return NULL;
}

static void workers_on_threads_lose_nothing(void **state) {
    struct mr_session *workers[2];
    pthread_t threads[2];
    int64_t first, end;
    void *failed;
    for (uint32_t w = 0; w < 2; w++) {
        workers[w] = mr_open_worker(log_of(state), "j", "wide", w, 2);
        pthread_create(&threads[w], NULL, commit_often, workers[w]);
    }
    for (uint32_t w = 0; w < 2; w++) {
        pthread_join(threads[w], &failed);
        assert_null(failed);
        mr_session_close(workers[w]);
    }
    struct mr_partition source = mr_partition_at("out", 0);
    assert_int_equal(mr_log_bounds(log_of(state), &source, &first, &end, NULL), MR_OK);
    assert_int_equal(end, 100);
}

static void the_output_of_a_job_is_the_input_of_another(void **state) {
    struct mr_session *worker = open_job(state), *next;
    struct mr_event event;
    next = mr_open_worker(log_of(state), "k", "out", 0, 1);
    mr_poll_for(next, MR_EVENT_END, &event);
    mr_append_text(worker, "out", NULL, "A");
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED);
    mr_poll_for(next, MR_EVENT_BATCH, &event);
    assert_true(mr_slice_equal(event.batch.messages[0].value, mr_slice_of("A")));
    mr_session_close(next);
    mr_session_close(worker);
}

/* ---- Changelogs, readers, reset ------------------------------------------------------------- */

static void a_changelog_keeps_the_last_value_of_every_key(void **state) {
    struct mr_session *worker = open_job(state);
    int64_t first, end;
    mr_append_text(worker, "changes", "a", "1");
    mr_append_text(worker, "changes", "b", "1");
    mr_append_text(worker, "changes", "a", "2");
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED);
    mr_append_text(worker, "changes", "b", NULL);
    mr_append_text(worker, "changes", "never", NULL);
    mr_append_text(worker, "changes", "c", "");
    mr_append_text(worker, "changes", "d", "gone");
    mr_append_text(worker, "changes", "d", NULL);
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED);
    mr_session_close(worker);
    assert_string_equal(mr_kept(log_of(state), "changes"), "a=2 c=");
    struct mr_partition source = mr_partition_at("changes", 0);
    assert_int_equal(mr_log_bounds(log_of(state), &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, 0);
    assert_int_equal(end, 2);
}

static void a_changelog_of_many_keys_comes_back_whole(void **state) {
    struct mr_session *worker = open_job(state);
    char key[32];
    for (int i = 0; i < 30000; i++) {
        snprintf(key, sizeof key, "key-%d", i % 10000);
        mr_append_text(worker, "changes", key, i < 20000 ? "old" : key);
    }
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED);
    mr_session_close(worker);
    struct mr_partition source = mr_partition_at("changes", 0);
    struct mr_reader *reader;
    struct mr_batch batch = {.count = 1};
    size_t count = 0;
    assert_int_equal(mr_reader_open(log_of(state), &source, -1, &reader, NULL), MR_OK);
    while (batch.count > 0) {
        assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
        for (size_t i = 0; i < batch.count; i++, count++) {
            assert_true(mr_slice_equal(batch.messages[i].key, batch.messages[i].value));
        }
    }
    assert_int_equal(count, 10000);
    mr_reader_close(reader);
}

static void a_reader_at_the_end_goes_on_when_there_is_more(void **state) {
    struct mr_partition source = mr_partition_at("in", 0);
    struct mr_reader *reader;
    struct mr_batch batch;
    assert_int_equal(mr_reader_open(log_of(state), &source, -1, &reader, NULL), MR_OK);
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_int_equal(batch.count, 0);
    mr_produce(log_of(state), "in", 0, "a");
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_int_equal(batch.count, 1);
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_int_equal(batch.count, 0);
    mr_produce(log_of(state), "in", 0, "b");
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_int_equal(batch.messages[0].offset, 1);
    mr_reader_close(reader);
}

static void a_reader_begins_where_it_is_told(void **state) {
    struct mr_partition source = mr_partition_at("in", 0);
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_error err;
    for (int i = 0; i < 3; i++) {
        mr_produce(log_of(state), "in", 0, i == 2 ? "last" : "x");
    }
    assert_int_equal(mr_reader_open(log_of(state), &source, 2, &reader, NULL), MR_OK);
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_int_equal(batch.count, 1);
    assert_true(mr_slice_equal(batch.messages[0].value, mr_slice_of("last")));
    mr_reader_close(reader);
    assert_int_equal(mr_reader_open(log_of(state), &source, 4, &reader, &err), MR_REJECT);
    mr_assert_says(&err, "beyond the end, 3");
    assert_null(reader);
}

static void a_reset_forgets_positions_and_changelog_but_not_output(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    struct mr_error err;
    mr_append_text(worker, "out", NULL, "A");
    mr_append_text(worker, "changes", "k", "1");
    assert_int_equal(mr_commit_at(worker, "in", 0, "n"), MR_COMMITTED);
    assert_int_equal(mr_log_reset(log_of(state), "j", "changes", &err), MR_REJECT);
    mr_assert_says(&err, "running");
    mr_session_close(worker);
    assert_int_equal(mr_log_reset(log_of(state), "j", "out-of-nowhere", &err), MR_OK);
    assert_int_equal(mr_log_reset(log_of(state), "k", "changes", &err), MR_REJECT);
    assert_string_equal(mr_kept(log_of(state), "changes"), "k=1");
    assert_int_equal(mr_log_reset(log_of(state), "j", "changes", &err), MR_OK);
    assert_string_equal(mr_kept(log_of(state), "changes"), "");
    assert_string_equal(mr_values(log_of(state), "out", 0), "A");
    worker = open_job(state);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, -1);
    mr_append_text(worker, "changes", "k", "2");
    assert_int_equal(mr_commit_at(worker, "in", 0, "n"), MR_COMMITTED);
    mr_session_close(worker);
    assert_string_equal(mr_kept(log_of(state), "changes"), "k=2");
}

static void a_check_of_a_sound_log_counts_its_records(void **state) {
    struct mr_check_report report;
    mr_produce(log_of(state), "wide", 1, "a");
    mr_produce(log_of(state), "wide", 3, "b");
    struct mr_session *worker = open_job(state);
    mr_append_text(worker, "changes", "k", "1");
    mr_append_text(worker, "out", NULL, "A");
    assert_int_equal(mr_commit_at(worker, "in", 0, "n"), MR_COMMITTED);
    mr_session_close(worker);
    const char *topics[] = {"wide", "changes", "out", "in"};
    const uint64_t records[] = {2, 1, 1, 0};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(mr_log_check(log_of(state), topics[i], &report, NULL), MR_OK);
        assert_int_equal(report.records, records[i]);
        assert_int_equal(report.bad_records, 0);
        assert_string_equal(report.first.text, "");
    }
    assert_int_equal(mr_log_check(log_of(state), "nowhere", &report, NULL), MR_REJECT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, mr_fixture_tear_down)
const struct CMUnitTest mr_session_contract[] = {
    TEST(a_new_job_is_assigned_without_an_offset),
    TEST(an_input_that_is_not_there_is_refused),
    TEST(a_second_run_of_a_job_is_refused),
    TEST(partitions_belong_to_workers_by_number),
    TEST(a_worker_without_partitions_has_nothing_to_do),
    TEST(nothing_is_delivered_before_the_start),
    TEST(the_end_is_told_once_per_round),
    TEST(a_busy_partition_does_not_starve_the_others),
    TEST(a_batch_holds_about_a_mebibyte),
    TEST(a_wait_ends_with_the_first_new_record),
    TEST(a_start_outside_the_log_is_refused_with_both_offsets),
    TEST(a_commit_holds_outputs_and_position_together),
    TEST(an_abort_drops_everything_and_assigns_anew),
    TEST(a_session_that_closes_without_commit_leaves_nothing),
    TEST(a_note_of_almost_4_kib_comes_back),
    TEST(a_batch_outlives_appends_of_its_own_session),
    TEST(workers_commit_side_by_side),
    TEST(workers_on_threads_lose_nothing),
    TEST(the_output_of_a_job_is_the_input_of_another),
    TEST(a_changelog_keeps_the_last_value_of_every_key),
    TEST(a_changelog_of_many_keys_comes_back_whole),
    TEST(a_reader_at_the_end_goes_on_when_there_is_more),
    TEST(a_reader_begins_where_it_is_told),
    TEST(a_reset_forgets_positions_and_changelog_but_not_output),
    TEST(a_check_of_a_sound_log_counts_its_records),
};
const size_t mr_session_contract_count = sizeof mr_session_contract / sizeof *mr_session_contract;
