/* What every log must do: changelogs, readers, reset, check. */
#include "tests/lib/log_contract.h"

#include <stdlib.h>

static struct mr_world *const w = &mr_world;

static struct mr_session *open_job(struct mr_event *event) {
    struct mr_session *worker = mr_open_worker(w->log, w->job, w->in, 0, 1);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, event);
    return worker;
}

static void commit(struct mr_session *worker) {
    assert_int_equal(mr_commit_at(worker, w->in, 0, "n"), MR_COMMITTED);
}

static void a_changelog_keeps_the_last_value_of_every_key(void **state) {
    struct mr_event event;
    struct mr_session *worker = open_job(&event);
    int64_t first, end;
    mr_append_text(worker, w->changes, "a", "1");
    mr_append_text(worker, w->changes, "b", "1");
    mr_append_text(worker, w->changes, "a", "2");
    commit(worker);
    mr_append_text(worker, w->changes, "b", NULL);
    mr_append_text(worker, w->changes, "never", NULL);
    mr_append_text(worker, w->changes, "c", "");
    mr_append_text(worker, w->changes, "d", "gone");
    mr_append_text(worker, w->changes, "d", NULL);
    commit(worker);
    mr_session_close(worker);
    assert_string_equal(mr_kept(w->log, w->changes), "a=2 c=");
    struct mr_partition source = mr_partition_at(w->changes, 0);
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_true(end - first >= 2);
}

static void a_changelog_is_complete_as_soon_as_it_is_committed(void **state) {
    struct mr_event event;
    struct mr_session *worker = open_job(&event);
    char number[16], expected[32];
    for (int i = 0; i < 50; i++) {
        snprintf(number, sizeof number, "%d", i);
        snprintf(expected, sizeof expected, "k=%d", i);
        mr_append_text(worker, w->changes, "k", number);
        commit(worker);
        assert_string_equal(mr_kept(w->log, w->changes), expected);
    }
    mr_session_close(worker);
}

#define KEYS 10000
struct last {
    bool right[KEYS]; /* the last value of key i is its own name */
};

static void note_last(void *arg, const struct mr_message *m) {
    struct last *last = arg;
    char key[16];
    assert_true(m->key.length < sizeof key);
    memcpy(key, m->key.data, m->key.length);
    key[m->key.length] = '\0';
    last->right[strtol(key + 1, NULL, 10)] = mr_slice_equal(m->key, m->value);
}

static void a_changelog_of_many_keys_comes_back_whole(void **state) {
    static struct last last;
    struct mr_partition source = mr_partition_at(w->changes, 0);
    struct mr_event event;
    struct mr_session *worker = open_job(&event);
    char key[16];
    for (int i = 0; i < 3 * KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i % KEYS);
        mr_append_text(worker, w->changes, key, i < 2 * KEYS ? "old" : key);
    }
    commit(worker);
    mr_session_close(worker);
    last = (struct last){0};
    mr_read_each(w->log, &source, -1, note_last, &last);
    for (int i = 0; i < KEYS; i++) {
        assert_true(last.right[i]);
    }
}

static void a_record_of_a_changelog_needs_a_key(void **state) {
    struct mr_append record = {.topic = w->changes, .timestamp_ns = -1, .value = mr_slice_of("x")};
    struct mr_error err;
    struct mr_event event;
    struct mr_session *worker = open_job(&event);
    assert_int_equal(mr_session_append(worker, &record, &err), MR_REJECT);
    mr_assert_says(&err, "needs a key");
    mr_session_close(worker);
}

/* ---- Readers -------------------------------------------------------------------------------- */

static void read_until(struct mr_reader *reader, bool end, struct mr_batch *batch) {
    int64_t deadline = mr_deadline();
    do {
        assert_int_equal(mr_reader_read(reader, MR_TURN, batch, NULL), MR_OK);
        mr_wait_until(deadline, end ? "the end" : "a record");
    } while (end ? !batch->end : batch->count == 0);
}

static void a_reader_at_the_end_goes_on_when_there_is_more(void **state) {
    struct mr_partition source = mr_partition_at(w->in, 0);
    struct mr_reader *reader;
    struct mr_batch batch;
    assert_int_equal(mr_reader_open(w->log, &source, -1, &reader, NULL), MR_OK);
    read_until(reader, true, &batch);
    assert_int_equal(batch.count, 0);
    const char *values[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        mr_produce(w->log, w->in, 0, values[i]);
        read_until(reader, false, &batch);
        assert_int_equal(batch.count, 1);
        assert_true(mr_slice_equal(batch.messages[0].value, mr_slice_of(values[i])));
        if (!batch.end) {
            read_until(reader, true, &batch);
            assert_int_equal(batch.count, 0);
        }
    }
    mr_reader_close(reader);
}

struct third {
    int count;
    int64_t offset;
};

static void note_third(void *arg, const struct mr_message *m) {
    struct third *third = arg;
    if (++third->count == 3) {
        third->offset = m->offset;
    }
}

static void is_last(void *offset, const struct mr_message *m) {
    assert_int_equal(m->offset, *(int64_t *)offset);
    assert_true(mr_slice_equal(m->value, mr_slice_of("last")));
}

static void a_reader_begins_where_it_is_told(void **state) {
    struct mr_partition source = mr_partition_at(w->in, 0);
    struct mr_reader *reader;
    struct mr_error err;
    struct third third = {0};
    int64_t first, end;
    char text[64];
    for (int i = 0; i < 3; i++) {
        mr_produce(w->log, w->in, 0, i == 2 ? "last" : "x");
    }
    mr_read_each(w->log, &source, -1, note_third, &third);
    assert_int_equal(mr_read_each(w->log, &source, third.offset, is_last, &third.offset), 1);
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_int_equal(mr_read_each(w->log, &source, end, NULL, NULL), 0);
    assert_int_equal(mr_reader_open(w->log, &source, end + 1, &reader, &err), MR_REJECT);
    snprintf(text, sizeof text, "beyond the end, %d", (int)end);
    mr_assert_says(&err, text);
    assert_null(reader);
}

static void a_reader_of_what_is_not_there_is_refused(void **state) {
    struct mr_partition source = mr_partition_at(w->in, 1);
    struct mr_reader *reader;
    struct mr_error err;
    assert_int_equal(mr_reader_open(w->log, &source, -1, &reader, &err), MR_REJECT);
    mr_assert_says(&err, "no partition 1");
    source = mr_partition_at(mr_name("nowhere"), 0);
    assert_int_equal(mr_reader_open(w->log, &source, -1, &reader, &err), MR_REJECT);
    mr_assert_says(&err, "no topic");
}

/* ---- Reset, check --------------------------------------------------------------------------- */

static void a_reset_forgets_positions_and_changelog_but_not_output(void **state) {
    struct mr_event event;
    struct mr_error err;
    struct mr_session *worker = open_job(&event);
    mr_append_text(worker, w->out, NULL, "A");
    mr_append_text(worker, w->changes, "k", "1");
    commit(worker);
    assert_int_equal(mr_log_reset(w->log, w->job, w->changes, &err), MR_REJECT);
    mr_assert_says(&err, "running");
    mr_session_close(worker);
    assert_string_equal(mr_kept(w->log, w->changes), "k=1");
    if (mr_log_reset(w->log, w->job, w->changes, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(mr_kept(w->log, w->changes), "");
    worker = open_job(&event);
    assert_int_equal(event.offset, -1);
    mr_append_text(worker, w->changes, "k", "2");
    mr_append_text(worker, w->out, NULL, "B");
    commit(worker);
    mr_session_close(worker);
    assert_string_equal(mr_kept(w->log, w->changes), "k=2");
    mr_assert_values(w->log, w->out, 0, "A B");
}

static void a_reset_without_a_changelog_forgets_the_positions(void **state) {
    struct mr_event event;
    struct mr_session *worker = open_job(&event);
    commit(worker);
    mr_session_close(worker);
    assert_int_equal(mr_log_reset(w->log, w->job, mr_name("nowhere"), NULL), MR_OK);
    worker = open_job(&event);
    assert_int_equal(event.offset, -1);
    mr_session_close(worker);
}

static void a_check_of_a_sound_log_counts_its_records(void **state) {
    struct mr_check_report report;
    struct mr_event event;
    const char *wide = mr_name("wide");
    mr_make_topic(w->log, wide, 4);
    mr_produce(w->log, wide, 1, "a");
    mr_produce(w->log, wide, 3, "b");
    struct mr_session *worker = open_job(&event);
    mr_append_text(worker, w->changes, "k", "1");
    mr_append_text(worker, w->out, NULL, "A");
    commit(worker);
    mr_session_close(worker);
    mr_assert_values(w->log, w->out, 0, "A");
    assert_string_equal(mr_kept(w->log, w->changes), "k=1");
    const char *topics[] = {wide, w->changes, w->out, w->in};
    const uint64_t records[] = {2, 1, 1, 0};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(mr_log_check(w->log, topics[i], &report, NULL), MR_OK);
        assert_int_equal(report.records, records[i]);
        assert_int_equal(report.bad_records, 0);
        assert_string_equal(report.first.text, "");
    }
    assert_int_equal(mr_log_check(w->log, mr_name("nowhere"), &report, NULL), MR_REJECT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_world_set_up, mr_fixture_tear_down)
static const struct CMUnitTest tests[] = {
    TEST(a_changelog_keeps_the_last_value_of_every_key),
    TEST(a_changelog_is_complete_as_soon_as_it_is_committed),
    TEST(a_changelog_of_many_keys_comes_back_whole),
    TEST(a_record_of_a_changelog_needs_a_key),
    TEST(a_reader_at_the_end_goes_on_when_there_is_more),
    TEST(a_reader_begins_where_it_is_told),
    TEST(a_reader_of_what_is_not_there_is_refused),
    TEST(a_reset_forgets_positions_and_changelog_but_not_output),
    TEST(a_reset_without_a_changelog_forgets_the_positions),
    TEST(a_check_of_a_sound_log_counts_its_records),
};
const struct mr_suite mr_changelog_contract = {"changelogs, readers, reset", tests,
                                               sizeof tests / sizeof *tests};
