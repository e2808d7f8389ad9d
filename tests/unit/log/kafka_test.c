/* The URL of a Kafka log, and opening one. No broker is asked. */
#include "engine/log/kafka.h"
#include "tests/lib/log_contract.h"

static void assert_brokers(const char *url, const char *expected) {
    struct mr_log *log;
    assert_int_equal(mr_log_open(url, NULL, &mr_real_clock, &log, NULL), MR_OK);
    assert_string_equal(((struct mr_kafka_log *)log)->brokers, expected);
    assert_string_equal(log->url, url);
    mr_log_close(log);
}

static void refuse(const char *url, const struct mr_log_options *options, const char *part) {
    struct mr_log *log;
    struct mr_error err;
    assert_int_equal(mr_log_open(url, options, &mr_real_clock, &log, &err), MR_REJECT);
    assert_null(log);
    mr_assert_says(&err, part);
    assert_null(strstr(err.text, "hunter2"));
}

static void a_url_names_brokers_and_their_ports(void **state) {
    assert_brokers("kafka://127.0.0.1:1", "127.0.0.1:1");
    assert_brokers("kafka://localhost", "localhost:9092");
    assert_brokers("kafka://a-1.b_c:1,localhost,[::1],[::1]:65535",
                   "a-1.b_c:1,localhost:9092,[::1]:9092,[::1]:65535");
}

static void a_bad_url_is_refused_with_an_example(void **state) {
    static const char *const urls[] = {
        "kafka:",        "kafka:/a",        "kafka:a:9092",  "kafka://",     "kafka://a,",
        "kafka://,a",    "kafka://a:",      "kafka://a:b",   "kafka://a:0",  "kafka://a:65536",
        "kafka://a:1:2", "kafka://a/topic", "kafka://a b",   "kafka://[::1", "kafka://[::1]x",
        "kafka://a:-1",  "kafka://a?x=y",   "kafka://[a b]", "kafka://[]",   NULL};
    for (const char *const *url = urls; *url; url++) {
        refuse(*url, NULL, "such as kafka://broker-1:9092,broker-2:9092");
    }
}

static void a_password_in_the_url_is_refused_and_not_shown(void **state) {
    refuse("kafka://ann:hunter2@a:1", NULL, "sasl.username");
}

static void a_property_that_cannot_work_is_refused_at_open(void **state) {
    const struct mr_property unknown = {"nonsense", "1"};
    const struct mr_property nowhere[] = {{"security.protocol", "ssl"},
                                          {"ssl.ca.location", "/nowhere/ca"},
                                          {"sasl.password", "hunter2"}};
    refuse("kafka://a", &(struct mr_log_options){.properties = &unknown, .property_count = 1},
           "nonsense");
    refuse("kafka://a", &(struct mr_log_options){.properties = nowhere, .property_count = 3},
           "ssl.ca.location");
}

/* Also while a client is looking for the broker. */
static void a_wait_for_a_broker_ends_when_the_log_is_stopped(void **state) {
    struct mr_log *log;
    struct mr_topic topic;
    struct mr_error err;
    atomic_bool stop = true;
    const struct mr_log_options options = {.stop = &stop};
    assert_int_equal(mr_log_open("kafka://127.0.0.1:1", &options, &mr_real_clock, &log, NULL),
                     MR_OK);
    assert_int_equal(mr_log_describe(log, "in", &topic, &err), MR_FAIL);
    mr_assert_says(&err, "looking for topic \"in\" at 127.0.0.1:1: stopped while waiting");
    mr_log_close(log);
}

static void a_name_that_no_topic_can_have_is_missing(void **state) {
    struct mr_log *log;
    struct mr_topic topic;
    struct mr_error err;
    assert_int_equal(mr_log_open("kafka://127.0.0.1:1", NULL, &mr_real_clock, &log, NULL), MR_OK);
    assert_int_equal(mr_log_describe(log, "no such/name", &topic, &err), MR_REJECT);
    mr_assert_says(&err, "there is no topic \"no such/name\" in kafka://127.0.0.1:1");
    mr_log_close(log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_names_brokers_and_their_ports),
        cmocka_unit_test(a_bad_url_is_refused_with_an_example),
        cmocka_unit_test(a_password_in_the_url_is_refused_and_not_shown),
        cmocka_unit_test(a_property_that_cannot_work_is_refused_at_open),
        cmocka_unit_test(a_wait_for_a_broker_ends_when_the_log_is_stopped),
        cmocka_unit_test(a_name_that_no_topic_can_have_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
