/* What Kafka's topics do to a session: records that they do not take, records that are gone,
 * partitions that come. */
#include "engine/log/kafka.h"
#include "tests/lib/log_contract.h"

static struct mr_world *const w = &mr_world;

static struct mr_session *open_worker(struct mr_log *log) {
    return mr_open_worker(log, w->job, w->in, 0, 1);
}

/* One request of librdkafka's own, which the engine never makes. */
static rd_kafka_event_t *ask_broker(void (*request)(rd_kafka_t *, rd_kafka_queue_t *)) {
    rd_kafka_t *admin;
    assert_int_equal(mr_kafka_admin_client((struct mr_kafka_log *)w->log, &admin, NULL), MR_OK);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    request(admin, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_queue_destroy(queue);
    return event;
}

static void delete_two(rd_kafka_t *admin, rd_kafka_queue_t *queue) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, w->in, 0)->offset = 2;
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(admin, &request, 1, NULL, queue);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
}

static void lower_limit(rd_kafka_t *admin, rd_kafka_queue_t *queue) {
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, w->out);
    rd_kafka_ConfigResource_set_config(resource, "max.message.bytes", "1000000");
    rd_kafka_AlterConfigs(admin, &resource, 1, NULL, queue);
    rd_kafka_ConfigResource_destroy(resource);
}

static void add_partition(rd_kafka_t *admin, rd_kafka_queue_t *queue) {
    char text[256];
    rd_kafka_NewPartitions_t *request = rd_kafka_NewPartitions_new(w->in, 2, text, sizeof text);
    rd_kafka_CreatePartitions(admin, &request, 1, NULL, queue);
    rd_kafka_NewPartitions_destroy(request);
}

static void a_record_that_no_request_can_hold_is_refused_at_once(void **state) {
    static char value[9 << 20];
    struct mr_session *producer = mr_open_producer(w->log);
    struct mr_append record = {.topic = w->out, .timestamp_ns = -1, .value = {value, sizeof value}};
    struct mr_error err;
    assert_int_equal(mr_session_append(producer, &record, &err), MR_REJECT);
    mr_assert_says(&err, "a record of 9437184 bytes is too large");
    record.value.length = (8 << 20) - 256;
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    mr_assert_count(w->log, w->out, 0, 1);
}

/* The broker has a limit lower than the client's. */
static void after_a_refused_record_the_next_transaction_is_sound(void **state) {
    static char value[2 << 20];
    struct mr_session *worker = open_worker(w->log), *producer = mr_open_producer(w->log);
    struct mr_append record = {.topic = w->out, .timestamp_ns = -1, .value = {value, sizeof value}};
    struct mr_error err;
    rd_kafka_event_destroy(ask_broker(lower_limit));
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    assert_int_equal(mr_session_commit(producer, NULL, 0, &err), MR_ABORTED);
    mr_assert_says(&err, "writing 2097152 bytes to topic");
    mr_session_close(producer);
    assert_int_equal(mr_session_append(worker, &record, NULL), MR_OK);
    assert_int_equal(mr_session_commit(worker, NULL, 0, &err), MR_ABORTED);
    mr_assert_says(&err, "max.message.bytes");
    mr_append_text(worker, w->out, NULL, "after");
    assert_int_equal(mr_session_commit(worker, NULL, 0, &err), MR_COMMITTED);
    mr_session_close(worker);
    mr_assert_values(w->log, w->out, 0, "after");
}

static void records_that_are_gone_are_refused_with_both_offsets(void **state) {
    struct mr_session *worker = open_worker(w->log);
    struct mr_event event;
    struct mr_error err;
    for (int i = 0; i < 3; i++) {
        mr_produce(w->log, w->in, 0, "x");
    }
    rd_kafka_event_destroy(ask_broker(delete_two));
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_session_start(worker, &event.source, 1, &err), MR_REJECT);
    mr_assert_says(&err, "offset 1 is gone, the first one still there is 2");
    assert_int_equal(mr_session_start(worker, &event.source, -1, &err), MR_OK);
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.messages[0].offset, 2);
    mr_session_close(worker);
}

static void a_partition_more_than_the_changelog_has_is_an_error(void **state) {
    static const struct mr_property often[] = {{"topic.metadata.refresh.interval.ms", "200"}};
    struct mr_log_options options = {.properties = often, .property_count = 1};
    struct mr_error err = {""};
    struct mr_event event;
    struct mr_log *log;
    assert_int_equal(mr_log_open(w->fixture->url, &options, &mr_real_clock, &log, NULL), MR_OK);
    struct mr_session *worker = open_worker(log);
    int64_t deadline = mr_deadline();
    mr_poll_for(worker, MR_EVENT_END, &event);
    rd_kafka_event_destroy(ask_broker(add_partition));
    while (mr_session_poll(worker, MR_TURN, &event, &err) == MR_OK) {
        mr_wait_until(deadline, "the new partition");
    }
    mr_assert_says(&err, "now has 2 partitions");
    mr_session_close(worker);
    mr_log_close(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_world_set_up, mr_fixture_tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        TEST(a_record_that_no_request_can_hold_is_refused_at_once),
        TEST(after_a_refused_record_the_next_transaction_is_sound),
        TEST(records_that_are_gone_are_refused_with_both_offsets),
        TEST(a_partition_more_than_the_changelog_has_is_an_error),
    };
    mr_fixture_scheme = "kafka";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
