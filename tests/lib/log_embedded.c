/* What the logs of one machine promise beyond the contract: owners of topics, one run of a job,
 * partitions by worker number, dense offsets, the exact order of turns. */
#include "tests/lib/log_contract.h"

#include <stdlib.h>

static struct mr_world *const w = &mr_world;

static struct mr_session *open_job(void) {
    return mr_open_worker(w->log, w->job, w->in, 0, 1);
}

static const char *make_wide(void) {
    const char *wide = mr_name("wide");
    mr_make_topic(w->log, wide, 4);
    return wide;
}

/* ---- Owners --------------------------------------------------------------------------------- */

static void a_topic_knows_its_owner(void **state) {
    struct mr_topic topic = {.partitions = 1, .retention_ns = -1, .retention_bytes = -1};
    struct mr_error err;
    struct mr_topic *topics;
    size_t count;
    snprintf(topic.name, sizeof topic.name, "%s", w->in);
    snprintf(topic.job, sizeof topic.job, "%s", w->job);
    assert_int_equal(mr_log_create(w->log, &topic, &err), MR_REJECT);
    mr_assert_says(&err, "owner is nobody");
    assert_int_equal(mr_log_describe(w->log, w->out, &topic, NULL), MR_OK);
    assert_string_equal(topic.job, w->job);
    assert_int_equal(mr_log_list(w->log, &topics, &count, NULL), MR_OK);
    assert_int_equal(count, 3);
    assert_string_equal(topics[0].name, w->changes);
    assert_string_equal(topics[0].job, w->job);
    assert_string_equal(topics[1].job, "");
    free(topics);
}

static void refuse_append(struct mr_session *session, const char *topic, const char *part) {
    struct mr_append record = {.topic = topic, .timestamp_ns = -1, .value = mr_slice_of("x")};
    struct mr_error err;
    assert_int_equal(mr_session_append(session, &record, &err), MR_REJECT);
    mr_assert_says(&err, part);
    assert_int_equal(mr_session_pending(session), 0);
}

static void only_its_owner_writes_to_a_topic(void **state) {
    const char *others = mr_name("others");
    char belongs[MR_TOPIC_NAME_MAX + 64];
    mr_make_job_topic(w->log, others, "k", MR_KEEP_RECORDS);
    struct mr_session *producer = mr_open_producer(w->log);
    struct mr_session *worker = open_job();
    refuse_append(worker, w->in, "producers write to it");
    refuse_append(worker, others, "belongs to job \"k\"");
    snprintf(belongs, sizeof belongs, "belongs to job \"%s\"", w->job);
    refuse_append(producer, w->out, belongs);
    mr_session_close(worker);
    mr_session_close(producer);
}

static void a_reset_takes_the_changelog_of_its_job_only(void **state) {
    struct mr_session *worker = open_job();
    mr_append_text(worker, w->changes, "k", "1");
    assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    mr_session_close(worker);
    assert_int_equal(mr_log_reset(w->log, "k", w->changes, NULL), MR_REJECT);
    assert_string_equal(mr_kept(w->log, w->changes), "k=1");
}

/* ---- Sessions ------------------------------------------------------------------------------- */

static void a_second_run_of_a_job_is_refused(void **state) {
    struct mr_session *worker = open_job(), *second;
    struct mr_session_options options = {w->job, w->in, NULL, 0, 1};
    struct mr_error err;
    assert_int_equal(mr_session_open(w->log, &options, &second, &err), MR_REJECT);
    mr_assert_says(&err, "already runs");
    mr_session_close(worker);
    mr_session_close(open_job());
}

static void partitions_belong_to_workers_by_number(void **state) {
    const char *wide = make_wide();
    struct mr_session *workers[2];
    struct mr_event event;
    for (uint32_t i = 0; i < 2; i++) {
        workers[i] = mr_open_worker(w->log, w->job, wide, i, 2);
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(mr_session_poll(workers[i], 0, &event, NULL), MR_OK);
        assert_int_equal(event.source.partition, i);
        assert_int_equal(mr_session_poll(workers[i], 0, &event, NULL), MR_OK);
        assert_int_equal(event.source.partition, i + 2);
        assert_int_equal(mr_session_poll(workers[i], 0, &event, NULL), MR_OK);
        assert_int_equal(event.kind, MR_EVENT_NONE);
    }
    mr_session_close(workers[0]);
    mr_session_close(workers[1]);
}

static void a_start_of_what_was_not_assigned_fails(void **state) {
    struct mr_partition source = mr_partition_at(w->in, 1);
    struct mr_session *worker = open_job();
    assert_int_equal(mr_session_start(worker, &source, -1, NULL), MR_FAIL);
    mr_session_close(worker);
}

static void the_end_is_told_once_per_round(void **state) {
    const char *wide = make_wide();
    struct mr_session *worker = mr_open_worker(w->log, w->job, wide, 0, 1);
    struct mr_event event;
    mr_produce(w->log, wide, 2, "a");
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

static void append_bytes(const char *topic, uint32_t partition, size_t size, int count) {
    char *bytes = mr_allocate(size);
    struct mr_session *producer = mr_open_producer(w->log);
    struct mr_append record = {
        .topic = topic, .partition = partition, .timestamp_ns = -1, .value = {bytes, size}};
    for (int i = 0; i < count; i++) {
        assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    }
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    free(bytes);
}

static void the_others_wait_for_one_batch_of_a_busy_partition(void **state) {
    const char *wide = make_wide();
    mr_produce(w->log, wide, 3, "x");
    append_bytes(wide, 0, 1 << 20, 8);
    struct mr_session *worker = mr_open_worker(w->log, w->job, wide, 0, 1);
    struct mr_event event = {0};
    size_t busy = 0;
    do {
        mr_poll_for(worker, MR_EVENT_BATCH, &event);
        busy += event.source.partition == 0;
    } while (event.source.partition != 3);
    assert_true(busy <= 1);
    mr_session_close(worker);
}

static void a_batch_ends_with_the_record_that_makes_a_mebibyte(void **state) {
    append_bytes(w->in, 0, 1 << 19, 5);
    struct mr_session *worker = open_job();
    struct mr_event event;
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.count, 2);
    mr_session_close(worker);
}

/* ---- Records -------------------------------------------------------------------------------- */

static void read_all(const char *topic, struct mr_reader **reader, struct mr_batch *batch) {
    struct mr_partition source = mr_partition_at(topic, 0);
    assert_int_equal(mr_reader_open(w->log, &source, -1, reader, NULL), MR_OK);
    assert_int_equal(mr_reader_read(*reader, 0, batch, NULL), MR_OK);
}

static void offsets_are_dense(void **state) {
    struct mr_partition source = mr_partition_at(w->out, 0);
    struct mr_session *worker = open_job();
    struct mr_reader *reader;
    struct mr_batch batch;
    int64_t first, end;
    for (int i = 0; i < 3; i++) {
        mr_append_text(worker, w->out, NULL, "x");
        assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    }
    mr_session_close(worker);
    read_all(w->out, &reader, &batch);
    assert_int_equal(batch.count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(batch.messages[i].offset, i);
    }
    mr_reader_close(reader);
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, 0);
    assert_int_equal(end, 3);
}

static void times_are_kept_to_the_nanosecond(void **state) {
    const int64_t given_ns = 1234567890123456789;
    struct mr_append record = {.topic = w->in, .timestamp_ns = given_ns, .value = mr_slice_of("x")};
    struct mr_session *producer = mr_open_producer(w->log);
    struct mr_reader *reader;
    struct mr_batch batch;
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    record.timestamp_ns = -1;
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    int64_t now_ns = mr_fixture_pass(w->fixture);
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    mr_fixture_pass(w->fixture);
    read_all(w->in, &reader, &batch);
    assert_int_equal(batch.messages[0].timestamp_ns, given_ns);
    assert_int_equal(batch.messages[0].append_ns, now_ns);
    assert_int_equal(batch.messages[1].timestamp_ns, -1);
    mr_reader_close(reader);
}

/* So that a codec reads floats in place. */
static void large_values_are_aligned(void **state) {
    struct mr_reader *reader;
    struct mr_batch batch;
    append_bytes(w->in, 0, 100003, 2);
    read_all(w->in, &reader, &batch);
    for (size_t i = 0; i < batch.count; i++) {
        assert_int_equal((uintptr_t)batch.messages[i].value.data % 8, 0);
    }
    mr_reader_close(reader);
}

static void the_bounds_of_a_changelog_are_its_keys(void **state) {
    struct mr_partition source = mr_partition_at(w->changes, 0);
    struct mr_session *worker = open_job();
    int64_t first, end;
    mr_append_text(worker, w->changes, "a", "1");
    mr_append_text(worker, w->changes, "a", "2");
    mr_append_text(worker, w->changes, "b", "1");
    mr_append_text(worker, w->changes, "c", "1");
    mr_append_text(worker, w->changes, "c", NULL);
    assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    mr_session_close(worker);
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, 0);
    assert_int_equal(end, 2);
    assert_int_equal(mr_read_each(w->log, &source, -1, NULL, NULL), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_world_set_up, mr_fixture_tear_down)
static const struct CMUnitTest tests[] = {
    TEST(a_topic_knows_its_owner),
    TEST(only_its_owner_writes_to_a_topic),
    TEST(a_reset_takes_the_changelog_of_its_job_only),
    TEST(a_second_run_of_a_job_is_refused),
    TEST(partitions_belong_to_workers_by_number),
    TEST(a_start_of_what_was_not_assigned_fails),
    TEST(the_end_is_told_once_per_round),
    TEST(the_others_wait_for_one_batch_of_a_busy_partition),
    TEST(a_batch_ends_with_the_record_that_makes_a_mebibyte),
    TEST(offsets_are_dense),
    TEST(times_are_kept_to_the_nanosecond),
    TEST(large_values_are_aligned),
    TEST(the_bounds_of_a_changelog_are_its_keys),
};

int mr_log_embedded_run(const char *scheme) {
    mr_fixture_scheme = scheme;
    return _cmocka_run_group_tests("a log of one machine", tests, sizeof tests / sizeof *tests,
                                   NULL, NULL);
}
