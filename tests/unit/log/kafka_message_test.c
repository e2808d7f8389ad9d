/* Messages of librdkafka -> ours, with its mock cluster for a broker. */
#include "engine/log/kafka.h"
#include "tests/lib/log_contract.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

struct world {
    rd_kafka_t *producer, *consumer;
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    struct mr_kafka_batch batch;
    struct mr_batch out;
    int64_t next, end;
};

static void stop_reading(struct world *w) {
    rd_kafka_consume_stop(w->topic, 0);
    mr_kafka_batch_finish(&w->batch);
    rd_kafka_topic_destroy(w->topic);
    rd_kafka_queue_destroy(w->queue);
    rd_kafka_destroy(w->consumer);
}

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof *w);
    rd_kafka_conf_t *conf;
    char nobody[] = "127.0.0.1:1", brokers[256];
    struct mr_kafka_log log = {.brokers = nobody};
    assert_int_equal(mr_kafka_conf(&log, MR_KAFKA_PRODUCER, &conf, NULL), MR_OK);
    assert_int_equal(mr_kafka_client(&log, MR_KAFKA_PRODUCER, conf, &w->producer, NULL), MR_OK);
    w->cluster = rd_kafka_mock_cluster_new(w->producer, 1);
    assert_int_equal(rd_kafka_mock_topic_create(w->cluster, "t", 1, 1), 0);
    snprintf(brokers, sizeof brokers, "%s", rd_kafka_mock_cluster_bootstraps(w->cluster));
    assert_true(rd_kafka_brokers_add(w->producer, brokers) > 0);
    log.brokers = brokers;
    assert_int_equal(mr_kafka_conf(&log, MR_KAFKA_READER, &conf, NULL), MR_OK);
    assert_int_equal(mr_kafka_client(&log, MR_KAFKA_READER, conf, &w->consumer, NULL), MR_OK);
    w->topic = rd_kafka_topic_new(w->consumer, "t", NULL);
    w->queue = rd_kafka_queue_new(w->consumer);
    assert_int_equal(rd_kafka_consume_start_queue(w->topic, 0, 0, w->queue), 0);
    mr_kafka_batch_init(&w->batch);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    stop_reading(w);
    rd_kafka_mock_cluster_destroy(w->cluster);
    rd_kafka_destroy(w->producer);
    free(w);
    return 0;
}

/* Waits until the queue holds so many: messages, and ends between and behind them. */
static void await(struct world *w, size_t count) {
    int64_t until_ns = mr_real_clock.steady_ns(&mr_real_clock) + 20 * MR_SECOND;
    while (rd_kafka_queue_length(w->queue) < count) {
        assert_true(mr_real_clock.steady_ns(&mr_real_clock) < until_ns);
        rd_kafka_poll(w->producer, 10);
    }
}

static void produce(struct world *w, size_t count, size_t bytes) {
    char *value = calloc(1, bytes + 1);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rd_kafka_producev(w->producer, RD_KAFKA_V_TOPIC("t"),
                                           RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(value, bytes),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(w->producer, 20000), 0);
    free(value);
}

static enum mr_kafka_fill fill(struct world *w, int64_t timeout_ns) {
    rd_kafka_resp_err_t code;
    enum mr_kafka_fill filled = mr_kafka_batch_fill(&w->batch, w->queue, timeout_ns, &w->next,
                                                    &w->out, &w->end, &code, NULL);
    assert_int_equal(code, 0);
    return filled;
}

/* Fills until the end at `end`; the most messages that came at once. */
static size_t fill_until(struct world *w, int64_t end) {
    size_t most = 0;
    for (;;) {
        enum mr_kafka_fill filled = fill(w, 20 * MR_SECOND);
        assert_int_not_equal(filled, MR_KAFKA_NOTHING);
        if (filled == MR_KAFKA_END && w->end == end) {
            assert_int_equal(w->next, end);
            return most;
        }
        most = w->out.count > most ? w->out.count : most;
    }
}

static void fill_with_messages(struct world *w) {
    int tries = 10; /* ends, and messages that are dropped, come before */
    while (fill(w, 20 * MR_SECOND) != MR_KAFKA_MESSAGES) {
        assert_true(--tries > 0);
    }
}

static void an_end_that_messages_follow_is_left_out(void **state) {
    struct world *w = *state;
    await(w, 1); /* the end of nothing */
    produce(w, 3, 1);
    await(w, 4);
    assert_int_equal(fill(w, 0), MR_KAFKA_MESSAGES);
    assert_int_equal(w->out.messages[0].offset, 0);
    fill_until(w, 3);
    assert_int_equal(fill(w, 0), MR_KAFKA_NOTHING);
}

static void what_is_below_the_next_offset_is_dropped(void **state) {
    struct world *w = *state;
    w->next = 3;
    produce(w, 5, 1);
    fill_with_messages(w);
    assert_int_equal(w->out.messages[0].offset, 3);
    assert_int_equal(w->next, 3 + w->out.count);
}

static void a_batch_has_about_a_mebibyte(void **state) {
    struct world *w = *state;
    size_t fit = MR_BATCH_BYTES / (100000 + sizeof(struct mr_message));
    produce(w, 10, 100000);
    fill_until(w, 10);
    assert_int_equal(w->batch.want, fit);
    produce(w, 30, 100000);
    await(w, 25);
    size_t most = fill_until(w, 40);
    assert_in_range(most, fit / 2, fit);
    produce(w, 1, 1); /* of smaller ones there are more */
    fill_until(w, 41);
    assert_int_equal(w->batch.want, MR_BATCH_RECORDS);
}

static void a_message_is_what_was_produced(void **state) {
    struct world *w = *state;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(headers, "empty", -1, "", 0);
    rd_kafka_header_add(headers, "none", -1, NULL, 0);
    assert_int_equal(rd_kafka_producev(w->producer, RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_PARTITION(0),
                                       RD_KAFKA_V_KEY("k", 1), RD_KAFKA_V_TIMESTAMP(1234),
                                       RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END),
                     0);
    assert_int_equal(rd_kafka_flush(w->producer, 20000), 0);
    fill_with_messages(w);
    const struct mr_message *first = &w->out.messages[0];
    assert_int_equal(first->offset, 0);
    assert_memory_equal(first->key.data, "k", 1);
    assert_null(first->value.data);
    assert_int_equal(first->timestamp_ns, INT64_C(1234000000));
    assert_int_equal(first->append_ns, INT64_C(1234000000));
    assert_false(w->out.append_stamped);
    assert_int_equal(first->header_count, 2);
    assert_memory_equal(first->headers[0].name.data, "empty", 5);
    assert_non_null(first->headers[0].value.data);
    assert_null(first->headers[1].value.data);
}

static void an_empty_value_is_no_tombstone(void **state) {
    struct world *w = *state;
    produce(w, 1, 0);
    fill_with_messages(w);
    assert_null(w->out.messages[0].key.data);
    assert_non_null(w->out.messages[0].value.data);
    assert_int_equal(w->out.messages[0].value.length, 0);
    assert_int_equal(w->out.messages[0].header_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_end_that_messages_follow_is_left_out),
        TEST(what_is_below_the_next_offset_is_dropped),
        TEST(a_batch_has_about_a_mebibyte),
        TEST(a_message_is_what_was_produced),
        TEST(an_empty_value_is_no_tombstone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
