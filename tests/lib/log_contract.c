/* What every log must do: topics and records. Values are short texts, so that what a topic holds
 * reads as one line: "a b c". */
#include "tests/lib/log_contract.h"

#include <stdlib.h>

static struct mr_world *const w = &mr_world;

static struct mr_topic topic_named(const char *name, uint32_t partitions) {
    struct mr_topic topic = {.partitions = partitions, .retention_ns = -1, .retention_bytes = -1};
    snprintf(topic.name, sizeof topic.name, "%s", name);
    return topic;
}

/* ---- Topics --------------------------------------------------------------------------------- */

static void a_topic_is_described_as_it_was_created(void **state) {
    struct mr_topic wanted = topic_named(mr_name("readings"), 3), found;
    wanted.retention_ns = 5 * MR_SECOND;
    wanted.retention_bytes = 1 << 20;
    assert_int_equal(mr_log_create(w->log, &wanted, NULL), MR_OK);
    assert_int_equal(mr_log_describe(w->log, wanted.name, &found, NULL), MR_OK);
    assert_string_equal(found.name, wanted.name);
    assert_string_equal(found.job, "");
    assert_int_equal(found.partitions, 3);
    assert_int_equal(found.kind, MR_KEEP_RECORDS);
    assert_int_equal(found.retention_ns, 5 * MR_SECOND);
    assert_int_equal(found.retention_bytes, 1 << 20);
}

static void a_changelog_is_described_as_one(void **state) {
    struct mr_topic found;
    const char *changes = mr_name("changes");
    mr_make_job_topic(w->log, changes, mr_name("j"), MR_KEEP_LAST_OF_KEY);
    assert_int_equal(mr_log_describe(w->log, changes, &found, NULL), MR_OK);
    assert_int_equal(found.kind, MR_KEEP_LAST_OF_KEY);
    assert_int_equal(found.retention_ns, -1);
}

static void a_topic_that_is_not_there_is_named_with_the_log(void **state) {
    struct mr_topic found;
    struct mr_error err;
    const char *name = mr_name("nowhere");
    assert_int_equal(mr_log_describe(w->log, name, &found, &err), MR_REJECT);
    mr_assert_says(&err, name);
    mr_assert_says(&err, w->fixture->url);
}

static void creating_a_topic_again_is_no_change(void **state) {
    const char *t = mr_name("t");
    mr_make_topic(w->log, t, 2);
    mr_produce(w->log, t, 1, "a");
    mr_make_topic(w->log, t, 2);
    mr_assert_values(w->log, t, 1, "a");
}

static void a_topic_that_differs_says_in_what(void **state) {
    struct mr_topic topic = topic_named(mr_name("t"), 3);
    struct mr_error err;
    mr_make_topic(w->log, topic.name, 2);
    assert_int_equal(mr_log_create(w->log, &topic, &err), MR_REJECT);
    mr_assert_says(&err, "2 partitions, not 3");
    topic.partitions = 2;
    topic.kind = MR_KEEP_LAST_OF_KEY;
    snprintf(topic.job, sizeof topic.job, "j");
    assert_int_equal(mr_log_create(w->log, &topic, &err), MR_REJECT);
    mr_assert_says(&err, "keeps records");
}

static void names_that_are_no_names_are_refused(void **state) {
    const char *bad[] = {"", ".", "..", "a/b", "a b", "\xc3\xa9", NULL};
    for (const char **name = bad; *name; name++) {
        struct mr_topic topic = topic_named(*name, 1);
        assert_int_equal(mr_log_create(w->log, &topic, NULL), MR_REJECT);
    }
    struct mr_topic topic = topic_named(mr_name("long-"), 1);
    memset(topic.name + strlen(topic.name), 'x', MR_TOPIC_NAME_MAX - strlen(topic.name));
    assert_int_equal(mr_log_create(w->log, &topic, NULL), MR_OK);
}

static void partitions_are_between_1_and_1024(void **state) {
    struct mr_topic topic = topic_named(mr_name("t"), 0);
    assert_int_equal(mr_log_create(w->log, &topic, NULL), MR_REJECT);
    topic.partitions = MR_PARTITIONS_MAX + 1;
    assert_int_equal(mr_log_create(w->log, &topic, NULL), MR_REJECT);
}

static void a_changelog_without_a_job_is_refused(void **state) {
    struct mr_topic topic = topic_named(mr_name("c"), 1);
    topic.kind = MR_KEEP_LAST_OF_KEY;
    assert_int_equal(mr_log_create(w->log, &topic, NULL), MR_REJECT);
}

static void topics_are_listed_by_name(void **state) {
    struct mr_topic *topics;
    size_t count, found = 0;
    const char *names[] = {mr_name("a"), mr_name("b"), mr_name("c")};
    mr_make_topic(w->log, names[1], 1);
    mr_make_topic(w->log, names[0], 2);
    mr_make_job_topic(w->log, names[2], mr_name("j"), MR_KEEP_LAST_OF_KEY);
    assert_int_equal(mr_log_list(w->log, &topics, &count, NULL), MR_OK);
    for (size_t i = 0; i < count && found < 3; i++) { /* others may be between */
        found += strcmp(topics[i].name, names[found]) == 0;
        assert_true(i == 0 || strcmp(topics[i - 1].name, topics[i].name) < 0);
    }
    assert_int_equal(found, 3);
    free(topics);
}

/* ---- Records -------------------------------------------------------------------------------- */

/* What has been seen of a partition. */
struct seen {
    size_t count;
    int64_t offsets[16];
};

static void note_offset(void *arg, const struct mr_message *m) {
    struct seen *seen = arg;
    assert_true(seen->count < 16);
    assert_true(seen->count == 0 || m->offset > seen->offsets[seen->count - 1]);
    seen->offsets[seen->count++] = m->offset;
}

static void records_keep_their_order_and_offsets_ascend(void **state) {
    const char *t = mr_name("t");
    struct mr_partition source = mr_partition_at(t, 0);
    struct seen seen = {0};
    mr_make_topic(w->log, t, 2);
    mr_produce(w->log, t, 0, "a");
    mr_produce(w->log, t, 1, "x");
    mr_produce(w->log, t, 0, "b");
    mr_assert_values(w->log, t, 0, "a b");
    mr_assert_values(w->log, t, 1, "x");
    mr_read_each(w->log, &source, -1, note_offset, &seen);
    assert_int_equal(seen.count, 2);
}

/* The one record of a partition. */
static struct mr_reader *read_one(const char *topic, uint32_t partition, struct mr_batch *batch) {
    struct mr_partition source = mr_partition_at(topic, partition);
    int64_t deadline = mr_deadline();
    struct mr_reader *reader;
    assert_int_equal(mr_reader_open(w->log, &source, -1, &reader, NULL), MR_OK);
    do {
        assert_int_equal(mr_reader_read(reader, MR_TURN, batch, NULL), MR_OK);
        mr_wait_until(deadline, "a record");
    } while (batch->count == 0);
    assert_int_equal(batch->count, 1);
    return reader;
}

static void everything_of_a_record_comes_back(void **state) {
    const char *t = mr_name("t");
    struct mr_header headers[] = {{mr_slice_of("why"), mr_slice_of("because")},
                                  {mr_slice_of("why"), {NULL, 0}},
                                  {mr_slice_of(""), {"", 0}}};
    struct mr_append record = {.topic = t,
                               .timestamp_ns = -1,
                               .key = {"k\0y", 3},
                               .value = {"v\0\xff", 3},
                               .headers = headers,
                               .header_count = 3};
    struct mr_session *producer;
    struct mr_batch batch;
    mr_make_topic(w->log, t, 1);
    producer = mr_open_producer(w->log);
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);

    struct mr_reader *reader = read_one(t, 0, &batch);
    const struct mr_message *m = batch.messages;
    assert_string_equal(batch.source.topic, t);
    assert_int_equal(batch.source.partition, 0);
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

/* In whole milliseconds, which is what every log keeps. */
static int64_t whole(int64_t ns) {
    return ns - ns % (MR_SECOND / 1000);
}

static void a_record_of_a_plain_topic_has_the_time_of_its_appending(void **state) {
    const int64_t given_ns[] = {1234567890 * MR_SECOND, -1};
    const char *t = mr_name("t");
    struct mr_append record = {.topic = t, .value = mr_slice_of("x")};
    struct mr_batch batch;
    mr_make_topic(w->log, t, 2);
    struct mr_session *producer = mr_open_producer(w->log);
    for (record.partition = 0; record.partition < 2; record.partition++) {
        record.timestamp_ns = given_ns[record.partition];
        assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    }
    int64_t before_ns = whole(mr_fixture_pass(w->fixture));
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    int64_t after_ns = w->fixture->clock.wall_ns(&w->fixture->clock);
    mr_fixture_pass(w->fixture);
    mr_session_close(producer);
    for (uint32_t p = 0; p < 2; p++) {
        struct mr_reader *reader = read_one(t, p, &batch);
        const struct mr_message *m = batch.messages;
        assert_true(batch.append_stamped);
        assert_true(m->append_ns >= before_ns && m->append_ns <= after_ns);
        /* A log may stamp it with the time of appending in the place of the producer's. */
        assert_true(m->timestamp_ns == given_ns[p] || m->timestamp_ns == m->append_ns);
        mr_reader_close(reader);
    }
}

static void nothing_and_empty_are_not_the_same(void **state) {
    const char *t = mr_name("t");
    struct mr_append record = {.topic = t, .timestamp_ns = -1};
    struct mr_batch batch;
    mr_make_topic(w->log, t, 2);
    struct mr_session *producer = mr_open_producer(w->log);
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    record.partition = 1;
    record.key = record.value = mr_slice_of("");
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    for (uint32_t p = 0; p < 2; p++) {
        struct mr_reader *reader = read_one(t, p, &batch);
        assert_int_equal(batch.messages->key.data != NULL, p);
        assert_int_equal(batch.messages->value.data != NULL, p);
        assert_int_equal(batch.messages->key.length + batch.messages->value.length, 0);
        mr_reader_close(reader);
    }
}

static void compare_value(void *expected, const struct mr_message *m) {
    assert_true(mr_slice_equal(m->value, *(struct mr_slice *)expected));
}

static void large_values_come_back_whole(void **state) {
    const char *t = mr_name("t");
    struct mr_slice value = {.length = (size_t)4 << 20};
    char *bytes = mr_allocate(value.length);
    for (size_t i = 0; i < value.length; i++) {
        bytes[i] = (char)(i * 2654435761u >> 13);
    }
    value.data = bytes;
    mr_make_topic(w->log, t, 1);
    struct mr_session *producer = mr_open_producer(w->log);
    struct mr_append record = {
        .topic = t, .timestamp_ns = -1, .key = mr_slice_of("k"), .value = value};
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    assert_true(mr_session_pending(producer) >= 2 * value.length);
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    assert_int_equal(mr_session_pending(producer), 0);
    mr_session_close(producer);
    struct mr_partition source = mr_partition_at(t, 0);
    assert_int_equal(mr_read_each(w->log, &source, -1, compare_value, &value), 2);
    free(bytes);
}

#define SIZES 9000
static char text[SIZES];

static void compare_size(void *next, const struct mr_message *m) {
    size_t size = (*(size_t *)next)++;
    assert_true(mr_slice_equal(m->value, (struct mr_slice){text, size}));
}

static void many_records_of_all_sizes_come_back(void **state) {
    const char *t = mr_name("t");
    size_t next = 0;
    for (size_t i = 0; i < SIZES; i++) {
        text[i] = (char)('a' + i % 26);
    }
    mr_make_topic(w->log, t, 1);
    struct mr_session *producer = mr_open_producer(w->log);
    for (size_t i = 0; i < SIZES; i++) {
        struct mr_append record = {.topic = t, .timestamp_ns = -1, .value = {text, i}};
        assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
        if (i % 1000 == 0) {
            assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
        }
    }
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    struct mr_partition source = mr_partition_at(t, 0);
    mr_read_each(w->log, &source, -1, compare_size, &next);
    assert_int_equal(next, SIZES);
}

static void what_is_not_committed_is_not_there(void **state) {
    const char *t = mr_name("t");
    mr_make_topic(w->log, t, 1);
    struct mr_session *producer = mr_open_producer(w->log);
    mr_append_text(producer, t, NULL, "lost");
    mr_assert_values(w->log, t, 0, "");
    mr_session_abort(producer);
    mr_append_text(producer, t, NULL, "kept");
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_append_text(producer, t, NULL, "lost");
    mr_session_close(producer);
    mr_produce(w->log, t, 0, "kept-too");
    mr_assert_values(w->log, t, 0, "kept kept-too");
}

static void bounds_enclose_what_is_there(void **state) {
    const char *t = mr_name("t");
    struct mr_partition source = mr_partition_at(t, 0);
    struct seen seen = {0};
    int64_t first, end;
    mr_make_topic(w->log, t, 1);
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, 0);
    assert_int_equal(end, 0);
    mr_produce(w->log, t, 0, "a");
    mr_produce(w->log, t, 0, "b");
    mr_read_each(w->log, &source, -1, note_offset, &seen);
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, seen.offsets[0]);
    assert_true(end > seen.offsets[1]);
    source.partition = 1;
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_REJECT);
}

static void refuse_append(struct mr_session *session, const struct mr_append *record,
                          const char *part) {
    struct mr_error err;
    assert_int_equal(mr_session_append(session, record, &err), MR_REJECT);
    mr_assert_says(&err, part);
    assert_int_equal(mr_session_pending(session), 0);
}

static void writing_is_refused_where_it_cannot_be(void **state) {
    static char long_key[70000];
    const char *t = mr_name("t");
    mr_make_topic(w->log, t, 1);
    struct mr_session *producer = mr_open_producer(w->log);
    struct mr_append record = {
        .topic = mr_name("nowhere"), .timestamp_ns = -1, .value = mr_slice_of("x")};
    refuse_append(producer, &record, "no topic");
    record.topic = t;
    record.partition = 1;
    refuse_append(producer, &record, "no partition 1");
    record.partition = 0;
    record.key = (struct mr_slice){long_key, sizeof long_key};
    refuse_append(producer, &record, "key of 65535 bytes");
    mr_session_close(producer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_fixture_set_up, mr_fixture_tear_down)
static const struct CMUnitTest tests[] = {
    TEST(a_topic_is_described_as_it_was_created),
    TEST(a_changelog_is_described_as_one),
    TEST(a_topic_that_is_not_there_is_named_with_the_log),
    TEST(creating_a_topic_again_is_no_change),
    TEST(a_topic_that_differs_says_in_what),
    TEST(names_that_are_no_names_are_refused),
    TEST(partitions_are_between_1_and_1024),
    TEST(a_changelog_without_a_job_is_refused),
    TEST(topics_are_listed_by_name),
    TEST(records_keep_their_order_and_offsets_ascend),
    TEST(everything_of_a_record_comes_back),
    TEST(a_record_of_a_plain_topic_has_the_time_of_its_appending),
    TEST(nothing_and_empty_are_not_the_same),
    TEST(large_values_come_back_whole),
    TEST(many_records_of_all_sizes_come_back),
    TEST(what_is_not_committed_is_not_there),
    TEST(bounds_enclose_what_is_there),
    TEST(writing_is_refused_where_it_cannot_be),
};
const struct mr_suite mr_topic_contract = {"topics and records", tests,
                                           sizeof tests / sizeof *tests};
