/* What librdkafka says -> what to do, and a sentence. No broker is asked. */
#include "engine/log/kafka.h"
#include "tests/lib/log_contract.h"

static char brokers[] = "broker-1:9092";
static struct mr_property properties[] = {{"sasl.username", "ann"}, {"sasl.password", "hunter2"}};
static struct mr_kafka_log kafka = {
    .brokers = brokers, .properties = properties, .property_count = 2};

static void assert_fails(rd_kafka_resp_err_t code, const char *reason, enum mr_status expected,
                         const char *part) {
    struct mr_error err;
    assert_int_equal(mr_kafka_fail(&kafka, "reading topic \"in\"", code, reason, &err), expected);
    mr_assert_says(&err, "reading topic \"in\" at broker-1:9092");
    mr_assert_says(&err, part);
    assert_null(strstr(err.text, "hunter2"));
}

static void a_broker_that_is_away_is_waited_for(void **state) {
    static const rd_kafka_resp_err_t codes[] = {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
                                                RD_KAFKA_RESP_ERR__TRANSPORT,
                                                RD_KAFKA_RESP_ERR__RESOLVE,
                                                RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
                                                RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
                                                RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
                                                RD_KAFKA_RESP_ERR__TIMED_OUT};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_int_equal(mr_kafka_judge(codes[i]), MR_KAFKA_WAIT);
        assert_fails(codes[i], NULL, MR_FAIL, rd_kafka_err2str(codes[i]));
    }
    assert_fails(RD_KAFKA_RESP_ERR__RESOLVE, NULL, MR_FAIL, "the name of the host is not known");
}

static void what_waiting_cannot_help_says_what_to_do(void **state) {
    assert_int_equal(mr_kafka_judge(RD_KAFKA_RESP_ERR__AUTHENTICATION), MR_KAFKA_REFUSE);
    assert_fails(RD_KAFKA_RESP_ERR__AUTHENTICATION, "SASL failed", MR_REJECT,
                 "(SASL failed), user \"ann\": check sasl.username, sasl.password");
    assert_fails(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, NULL, MR_REJECT, "the ACLs");
    assert_fails(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, NULL, MR_REJECT, "max.message.bytes");
    assert_fails(RD_KAFKA_RESP_ERR__SSL, "handshake", MR_REJECT, "security.protocol");
}

static void a_scram_login_that_kafka_4_refuses_is_explained(void **state) {
    struct mr_property scram = {"sasl.mechanisms", "SCRAM-SHA-256"};
    struct mr_kafka_log by_scram = {.brokers = brokers, .properties = &scram, .property_count = 1};
    struct mr_error err;
    bool old = rd_kafka_version() < 0x020601ff;
    mr_kafka_fail(&by_scram, "x", RD_KAFKA_RESP_ERR__AUTHENTICATION, NULL, &err);
    assert_int_equal(strstr(err.text, "use PLAIN over TLS") != NULL, old);
    mr_kafka_fail(&kafka, "x", RD_KAFKA_RESP_ERR__AUTHENTICATION, NULL, &err);
    assert_null(strstr(err.text, "SCRAM"));
}

static void anything_else_is_broken(void **state) {
    assert_int_equal(mr_kafka_judge(RD_KAFKA_RESP_ERR__BAD_MSG), MR_KAFKA_BROKEN);
    assert_fails(RD_KAFKA_RESP_ERR__BAD_MSG, "it is", MR_FAIL, "(it is)");
}

static void a_password_in_a_reason_is_not_shown(void **state) {
    assert_fails(RD_KAFKA_RESP_ERR__AUTHENTICATION, "bad password hunter2", MR_REJECT, "*******");
}

static void a_wait_ends_when_the_log_is_stopped(void **state) {
    atomic_bool stop = true;
    struct mr_kafka_log stopped = {.brokers = brokers, .stop = &stop};
    struct mr_kafka_wait wait = {0};
    struct mr_error err;
    assert_false(mr_kafka_wait(&stopped, &wait, "opening job \"j\"", "refused", &err));
    mr_assert_says(&err, "stopped while waiting for the broker");
    atomic_store(&stop, false);
    assert_true(mr_kafka_wait(&stopped, &wait, "opening job \"j\"", "refused", &err));
}

/* The pause doubles, and half of it may be taken off. */
static void pauses_grow(void **state) {
    struct mr_kafka_wait wait = {0};
    int64_t began_ns = mr_real_clock.steady_ns(&mr_real_clock);
    assert_true(mr_kafka_wait(&kafka, &wait, "x", "y", NULL));
    assert_true(mr_kafka_wait(&kafka, &wait, "x", "y", NULL));
    int64_t took_ns = mr_real_clock.steady_ns(&mr_real_clock) - began_ns;
    assert_true(took_ns >= MR_SECOND * 3 / 20);
    assert_int_equal(wait.attempts, 2);
    mr_kafka_wait_over(&kafka, &wait);
    assert_int_equal(wait.attempts, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broker_that_is_away_is_waited_for),
        cmocka_unit_test(what_waiting_cannot_help_says_what_to_do),
        cmocka_unit_test(a_scram_login_that_kafka_4_refuses_is_explained),
        cmocka_unit_test(anything_else_is_broken),
        cmocka_unit_test(a_password_in_a_reason_is_not_shown),
        cmocka_unit_test(a_wait_ends_when_the_log_is_stopped),
        cmocka_unit_test(pauses_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
