/* What every log must do, as sentences. Each test has a log of its own, with a virtual clock.
 * Values are short texts, so that what a topic holds reads as one line: "a b c". */
#include "tests/lib/log_contract.h"

#include <stdlib.h>

static struct mr_log *log_of(void **state) {
    return ((struct mr_log_fixture *)*state)->log;
}

/* ---- Topics --------------------------------------------------------------------------------- */

static void a_topic_is_described_as_it_was_created(void **state) {
    struct mr_topic wanted = {"readings", 3, MR_KEEP_RECORDS, 5 * MR_SECOND, 1 << 20, ""};
    struct mr_topic found;
    assert_int_equal(mr_log_create(log_of(state), &wanted, NULL), MR_OK);
    assert_int_equal(mr_log_describe(log_of(state), "readings", &found, NULL), MR_OK);
    assert_string_equal(found.name, "readings");
    assert_string_equal(found.job, "");
    assert_int_equal(found.partitions, 3);
    assert_int_equal(found.retention_ns, 5 * MR_SECOND);
    assert_int_equal(found.retention_bytes, 1 << 20);
}

static void a_topic_that_is_not_there_is_named_with_the_log(void **state) {
    struct mr_topic found;
    struct mr_error err;
    assert_int_equal(mr_log_describe(log_of(state), "nowhere", &found, &err), MR_REJECT);
    mr_assert_says(&err, "\"nowhere\"");
    mr_assert_says(&err, ((struct mr_log_fixture *)*state)->url);
}

static void creating_a_topic_again_is_no_change(void **state) {
    mr_make_topic(log_of(state), "t", 2);
    mr_produce(log_of(state), "t", 1, "a");
    mr_make_topic(log_of(state), "t", 2);
    assert_string_equal(mr_values(log_of(state), "t", 1), "a");
}

static void a_topic_that_differs_says_in_what(void **state) {
    struct mr_topic topic = {"t", 3, MR_KEEP_RECORDS, -1, -1, ""};
    struct mr_error err;
    mr_make_topic(log_of(state), "t", 2);
    assert_int_equal(mr_log_create(log_of(state), &topic, &err), MR_REJECT);
    mr_assert_says(&err, "2 partitions, not 3");
    topic = (struct mr_topic){"t", 2, MR_KEEP_RECORDS, -1, -1, "j"};
    assert_int_equal(mr_log_create(log_of(state), &topic, &err), MR_REJECT);
    mr_assert_says(&err, "owner is nobody");
    topic.kind = MR_KEEP_LAST_OF_KEY;
    assert_int_equal(mr_log_create(log_of(state), &topic, &err), MR_REJECT);
    mr_assert_says(&err, "keeps records");
}

static void names_that_are_no_names_are_refused(void **state) {
    const char *bad[] = {"", ".", "..", "a/b", "a b", "\xc3\xa9", NULL};
    for (const char **name = bad; *name; name++) {
        struct mr_topic topic = {.partitions = 1};
        snprintf(topic.name, sizeof topic.name, "%s", *name);
        assert_int_equal(mr_log_create(log_of(state), &topic, NULL), MR_REJECT);
    }
    struct mr_topic topic = {.partitions = 1};
    memset(topic.name, 'x', MR_TOPIC_NAME_MAX);
    assert_int_equal(mr_log_create(log_of(state), &topic, NULL), MR_OK);
}

static void partitions_are_between_1_and_1024(void **state) {
    struct mr_topic topic = {.name = "t"};
    assert_int_equal(mr_log_create(log_of(state), &topic, NULL), MR_REJECT);
    topic.partitions = MR_PARTITIONS_MAX + 1;
    assert_int_equal(mr_log_create(log_of(state), &topic, NULL), MR_REJECT);
}

static void a_changelog_without_a_job_is_refused(void **state) {
    struct mr_topic topic = {"c", 1, MR_KEEP_LAST_OF_KEY, -1, -1, ""};
    assert_int_equal(mr_log_create(log_of(state), &topic, NULL), MR_REJECT);
}

static void topics_are_listed_by_name(void **state) {
    struct mr_topic *topics;
    size_t count;
    mr_make_topic(log_of(state), "b", 1);
    mr_make_topic(log_of(state), "a", 2);
    mr_make_job_topic(log_of(state), "c", "j", MR_KEEP_LAST_OF_KEY);
    assert_int_equal(mr_log_list(log_of(state), &topics, &count, NULL), MR_OK);
    assert_int_equal(count, 3);
    assert_string_equal(topics[0].name, "a");
    assert_string_equal(topics[1].name, "b");
    assert_string_equal(topics[2].job, "j");
    free(topics);
}

/* ---- Records -------------------------------------------------------------------------------- */

static void records_keep_their_order_and_offsets_are_dense(void **state) {
    mr_make_topic(log_of(state), "t", 2);
    mr_produce(log_of(state), "t", 0, "a");
    mr_produce(log_of(state), "t", 1, "x");
    mr_produce(log_of(state), "t", 0, "b");
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_partition source = mr_partition_at("t", 0);
    assert_int_equal(mr_reader_open(log_of(state), &source, -1, &reader, NULL), MR_OK);
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_int_equal(batch.count, 2);
    assert_int_equal(batch.messages[0].offset, 0);
    assert_int_equal(batch.messages[1].offset, 1);
    assert_true(batch.append_stamped);
    mr_reader_close(reader);
    assert_string_equal(mr_values(log_of(state), "t", 0), "a b");
    assert_string_equal(mr_values(log_of(state), "t", 1), "x");
}

static void everything_of_a_record_comes_back(void **state) {
    struct mr_log_fixture *fixture = *state;
    mr_make_topic(fixture->log, "t", 1);
    struct mr_header headers[] = {{mr_slice_of("why"), mr_slice_of("because")},
                                  {mr_slice_of("why"), {NULL, 0}},
                                  {mr_slice_of(""), {"", 0}}};
    struct mr_append record = {.topic = "t",
                               .timestamp_ns = 1234567890123456789,
                               .key = {"k\0y", 3},
                               .value = {"v\0\xff", 3},
                               .headers = headers,
                               .header_count = 3};
    struct mr_session *producer = mr_open_producer(fixture->log);
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    fixture->clock.virtual_ns += MR_SECOND;
    int64_t now = fixture->clock.virtual_ns;
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    fixture->clock.virtual_ns += MR_SECOND;

    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_partition source = mr_partition_at("t", 0);
    assert_int_equal(mr_reader_open(fixture->log, &source, 0, &reader, NULL), MR_OK);
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    const struct mr_message *m = batch.messages;
    assert_int_equal(m->append_ns, now);
    assert_int_equal(m->timestamp_ns, 1234567890123456789);
    assert_true(mr_slice_equal(m->key, record.key));
    assert_true(mr_slice_equal(m->value, record.value));
    assert_int_equal(m->header_count, 3);
    assert_true(mr_slice_equal(m->headers[0].name, headers[0].name));
    assert_true(mr_slice_equal(m->headers[0].value, headers[0].value));
    assert_null(m->headers[1].value.data);
    assert_non_null(m->headers[2].value.data);
    assert_int_equal(m->headers[2].name.length, 0);
    mr_reader_close(reader);
}

static void nothing_and_empty_are_not_the_same(void **state) {
    mr_make_topic(log_of(state), "t", 1);
    struct mr_session *producer = mr_open_producer(log_of(state));
    mr_append_text(producer, "t", NULL, NULL);
    mr_append_text(producer, "t", "", "");
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_partition source = mr_partition_at("t", 0);
    assert_int_equal(mr_reader_open(log_of(state), &source, 0, &reader, NULL), MR_OK);
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_null(batch.messages[0].key.data);
    assert_null(batch.messages[0].value.data);
    assert_int_equal(batch.messages[0].timestamp_ns, -1);
    assert_non_null(batch.messages[1].key.data);
    assert_non_null(batch.messages[1].value.data);
    assert_int_equal(batch.messages[1].value.length, 0);
    mr_reader_close(reader);
}

static void large_values_come_back_whole_and_aligned(void **state) {
    size_t size = (size_t)4 << 20;
    char *value = mr_allocate(size);
    for (size_t i = 0; i < size; i++) {
        value[i] = (char)(i * 2654435761u >> 13);
    }
    mr_make_topic(log_of(state), "t", 1);
    struct mr_session *producer = mr_open_producer(log_of(state));
    struct mr_append record = {
        .topic = "t", .timestamp_ns = -1, .key = mr_slice_of("k"), .value = {value, size}};
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    assert_true(mr_session_pending(producer) >= 2 * size);
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    assert_int_equal(mr_session_pending(producer), 0);
    mr_session_close(producer);
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_partition source = mr_partition_at("t", 0);
    assert_int_equal(mr_reader_open(log_of(state), &source, 1, &reader, NULL), MR_OK);
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_int_equal(batch.count, 1);
    assert_true(mr_slice_equal(batch.messages[0].value, record.value));
    assert_int_equal((uintptr_t)batch.messages[0].value.data % 8, 0);
    mr_reader_close(reader);
    free(value);
}

static void many_records_of_all_sizes_come_back(void **state) {
    static char text[9000];
    memset(text, 'x', sizeof text);
    mr_make_topic(log_of(state), "t", 1);
    struct mr_session *producer = mr_open_producer(log_of(state));
    for (size_t i = 0; i < sizeof text; i++) {
        struct mr_append record = {.topic = "t", .timestamp_ns = (int64_t)i, .value = {text, i}};
        assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
        if (i % 1000 == 0) {
            assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
        }
    }
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    struct mr_reader *reader;
    struct mr_batch batch = {.count = 1};
    struct mr_partition source = mr_partition_at("t", 0);
    size_t next = 0;
    assert_int_equal(mr_reader_open(log_of(state), &source, -1, &reader, NULL), MR_OK);
    while (batch.count > 0) {
        assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
        for (size_t i = 0; i < batch.count; i++, next++) {
            assert_int_equal(batch.messages[i].offset, next);
            assert_int_equal(batch.messages[i].timestamp_ns, next);
            assert_true(mr_slice_equal(batch.messages[i].value, (struct mr_slice){text, next}));
        }
    }
    assert_int_equal(next, sizeof text);
    mr_reader_close(reader);
}

static void what_is_not_committed_is_not_there(void **state) {
    mr_make_topic(log_of(state), "t", 1);
    struct mr_session *producer = mr_open_producer(log_of(state));
    mr_append_text(producer, "t", NULL, "lost");
    assert_string_equal(mr_values(log_of(state), "t", 0), "");
    mr_session_abort(producer);
    mr_append_text(producer, "t", NULL, "kept");
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_append_text(producer, "t", NULL, "lost");
    mr_session_close(producer);
    assert_string_equal(mr_values(log_of(state), "t", 0), "kept");
}

static void bounds_are_the_first_offset_and_the_next(void **state) {
    int64_t first, end;
    mr_make_topic(log_of(state), "t", 1);
    struct mr_partition source = mr_partition_at("t", 0);
    assert_int_equal(mr_log_bounds(log_of(state), &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, 0);
    assert_int_equal(end, 0);
    mr_produce(log_of(state), "t", 0, "a");
    mr_produce(log_of(state), "t", 0, "b");
    assert_int_equal(mr_log_bounds(log_of(state), &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, 0);
    assert_int_equal(end, 2);
    source.partition = 1;
    assert_int_equal(mr_log_bounds(log_of(state), &source, &first, &end, NULL), MR_REJECT);
}

static void writing_is_refused_where_it_does_not_belong(void **state) {
    struct mr_error err;
    mr_make_topic(log_of(state), "in", 1);
    mr_make_job_topic(log_of(state), "out", "j", MR_KEEP_RECORDS);
    mr_make_job_topic(log_of(state), "changes", "j", MR_KEEP_LAST_OF_KEY);
    mr_make_job_topic(log_of(state), "others", "k", MR_KEEP_RECORDS);
    struct mr_append record = {.topic = "in", .timestamp_ns = -1, .value = mr_slice_of("x")};
    struct mr_session *producer = mr_open_producer(log_of(state));
    struct mr_session *worker = mr_open_worker(log_of(state), "j", "in", 0, 1);
    assert_int_equal(mr_session_append(worker, &record, &err), MR_REJECT);
    mr_assert_says(&err, "producers write to it");
    record.topic = "others";
    assert_int_equal(mr_session_append(worker, &record, &err), MR_REJECT);
    mr_assert_says(&err, "belongs to job \"k\"");
    record.topic = "out";
    assert_int_equal(mr_session_append(producer, &record, &err), MR_REJECT);
    mr_assert_says(&err, "belongs to job \"j\"");
    record.topic = "changes";
    assert_int_equal(mr_session_append(worker, &record, &err), MR_REJECT);
    mr_assert_says(&err, "needs a key");
    record.topic = "nowhere";
    assert_int_equal(mr_session_append(producer, &record, &err), MR_REJECT);
    mr_assert_says(&err, "no topic \"nowhere\"");
    record.topic = "in";
    record.partition = 1;
    assert_int_equal(mr_session_append(producer, &record, &err), MR_REJECT);
    mr_assert_says(&err, "no partition 1");
    static char long_key[70000];
    record.partition = 0;
    record.key = (struct mr_slice){long_key, sizeof long_key};
    assert_int_equal(mr_session_append(producer, &record, &err), MR_REJECT);
    mr_assert_says(&err, "key of 65535 bytes");
    assert_int_equal(mr_session_pending(producer), 0);
    mr_session_close(worker);
    mr_session_close(producer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_fixture_set_up, mr_fixture_tear_down)
const struct CMUnitTest mr_topic_contract[] = {
    TEST(a_topic_is_described_as_it_was_created),
    cmocka_unit_test_setup_teardown(a_topic_that_is_not_there_is_named_with_the_log,
                                    mr_fixture_set_up, mr_fixture_tear_down),
    TEST(creating_a_topic_again_is_no_change),
    TEST(a_topic_that_differs_says_in_what),
    TEST(names_that_are_no_names_are_refused),
    TEST(partitions_are_between_1_and_1024),
    TEST(a_changelog_without_a_job_is_refused),
    TEST(topics_are_listed_by_name),
    cmocka_unit_test_setup_teardown(records_keep_their_order_and_offsets_are_dense,
                                    mr_fixture_set_up, mr_fixture_tear_down),
    TEST(everything_of_a_record_comes_back),
    TEST(nothing_and_empty_are_not_the_same),
    TEST(large_values_come_back_whole_and_aligned),
    TEST(many_records_of_all_sizes_come_back),
    TEST(what_is_not_committed_is_not_there),
    TEST(bounds_are_the_first_offset_and_the_next),
    TEST(writing_is_refused_where_it_does_not_belong),
};
const size_t mr_topic_contract_count = sizeof mr_topic_contract / sizeof *mr_topic_contract;
