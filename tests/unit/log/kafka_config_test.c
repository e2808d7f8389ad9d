/* Properties of a Kafka client: defaults, the user's, the engine's own, and no secret in a
 * sentence. */
#include "engine/log/kafka.h"
#include "tests/lib/log_contract.h"

static rd_kafka_conf_t *make(enum mr_kafka_role role, const struct mr_property *properties,
                             size_t count, struct mr_error *err) {
    char brokers[] = "127.0.0.1:1";
    struct mr_property copy[4];
    assert_true(count <= 4);
    for (size_t i = 0; i < count; i++) {
        copy[i] = properties[i];
    }
    struct mr_kafka_log log = {.brokers = brokers, .properties = copy, .property_count = count};
    rd_kafka_conf_t *conf;
    enum mr_status status = mr_kafka_conf(&log, role, &conf, err);
    assert_true((status == MR_OK) == (conf != NULL));
    assert_true(status == MR_OK || status == MR_REJECT);
    return conf;
}

static void assert_value(const rd_kafka_conf_t *conf, const char *name, const char *expected) {
    char value[256];
    size_t size = sizeof value;
    assert_int_equal(rd_kafka_conf_get(conf, name, value, &size), RD_KAFKA_CONF_OK);
    assert_string_equal(value, expected);
}

static void refuse(const char *name, const char *value, const char *part) {
    struct mr_error err = {0};
    assert_null(make(MR_KAFKA_MEMBER, &(struct mr_property){name, value}, 1, &err));
    mr_assert_says(&err, part);
}

static void each_role_gets_what_the_engine_needs(void **state) {
    const struct {
        enum mr_kafka_role role;
        const char *name, *value;
    } cases[] = {
        {MR_KAFKA_ADMIN, "isolation.level", "read_uncommitted"},
        {MR_KAFKA_READER, "isolation.level", "read_committed"},
        {MR_KAFKA_MEMBER, "isolation.level", "read_committed"},
        {MR_KAFKA_MEMBER, "partition.assignment.strategy", "cooperative-sticky"},
        {MR_KAFKA_MEMBER, "enable.auto.commit", "false"},
        {MR_KAFKA_MEMBER, "enable.auto.offset.store", "false"},
        {MR_KAFKA_MEMBER, "auto.offset.reset", "error"},
        {MR_KAFKA_READER, "auto.offset.reset", "error"},
        {MR_KAFKA_READER, "enable.partition.eof", "true"},
        {MR_KAFKA_READER, "check.crcs", "true"},
        {MR_KAFKA_MEMBER, "session.timeout.ms", "6000"},
        {MR_KAFKA_MEMBER, "heartbeat.interval.ms", "1000"},
        {MR_KAFKA_TRANSACTION, "enable.idempotence", "true"},
        {MR_KAFKA_TRANSACTION, "transaction.timeout.ms", "30000"},
        {MR_KAFKA_TRANSACTION, "socket.timeout.ms", "10000"},
        {MR_KAFKA_TRANSACTION, "retry.backoff.ms", "10"},
        {MR_KAFKA_PRODUCER, "partitioner", "murmur2_random"},
        {MR_KAFKA_PRODUCER, "allow.auto.create.topics", "false"},
        {MR_KAFKA_PRODUCER, "queue.buffering.max.kbytes", "2097151"},
        {MR_KAFKA_PRODUCER, "metadata.broker.list", "127.0.0.1:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rd_kafka_conf_t *conf = make(cases[i].role, NULL, 0, NULL);
        assert_value(conf, cases[i].name, cases[i].value);
        rd_kafka_conf_destroy(conf);
    }
}

static void a_property_of_the_user_wins_over_a_default(void **state) {
    rd_kafka_conf_t *conf =
        make(MR_KAFKA_MEMBER,
             (struct mr_property[]){{"session.timeout.ms", "45000"}, {"sasl.mechanism", "PLAIN"}},
             2, NULL);
    assert_value(conf, "session.timeout.ms", "45000");
    assert_value(conf, "sasl.mechanisms", "PLAIN");
    rd_kafka_conf_destroy(conf);
}

static void the_engines_own_properties_are_refused_with_the_reason(void **state) {
    refuse("isolation.level", "read_uncommitted",
           "isolation.level cannot be set: the engine "
           "needs read_committed");
    refuse("enable.auto.commit", "true", "committed together with the output");
    refuse("Transactional.Id", "x", "job, instance and worker");
    refuse("group.id", "x", "the name of the job");
    refuse("bootstrap.servers", "x:1", "the URL of the log");
    refuse("partitioner", "random", "Java clients");
    refuse("debug", "all", "secrets");
}

static void an_unknown_property_is_refused_with_the_nearest_name(void **state) {
    refuse("sesion.timeout.ms", "1", "did you mean \"session.timeout.ms\"?");
    refuse("sasl.user", "1", "No such configuration property: \"sasl.user\"");
    refuse("ssl.ca.locatoin", "x", "did you mean \"ssl.ca.location\"?");
    refuse("max.poll.records", "500", "No such configuration property");
}

static void a_bad_value_is_shown_with_its_property(void **state) {
    refuse("session.timeout.ms", "soon", "session.timeout.ms: \"soon\": Invalid value");
    refuse("session.timeout.ms", "-5", "session.timeout.ms: \"-5\"");
    refuse("security.protocol", "sasl", "security.protocol: \"sasl\"");
}

static void the_value_of_a_secret_is_never_shown(void **state) {
    static const char *const names[] = {"sasl.pasword",
                                        "ssl.key.pasword.password",
                                        "sasl.jaas.config",
                                        "ssl.truststore.password",
                                        "my.secret",
                                        "ssl.key.pemm",
                                        "access.token",
                                        "ssl.key.pem.x",
                                        "ssl_key",
                                        "ssl.keystore.key",
                                        NULL};
    for (const char *const *name = names; *name; name++) {
        struct mr_error err = {0};
        rd_kafka_conf_t *conf =
            make(MR_KAFKA_MEMBER, &(struct mr_property){*name, "hunter2!"}, 1, &err);
        assert_null(conf);
        assert_null(strstr(err.text, "hunter2!"));
        assert_non_null(strstr(err.text, *name));
    }
}

static void a_secret_within_a_sentence_of_librdkafka_is_starred(void **state) {
    struct mr_property properties[] = {{"sasl.password", "hunter2"},
                                       {"sasl.username", "ann"},
                                       {"ssl.key.password", ""},
                                       {"ssl.key.location", "/keys/a"}};
    struct mr_kafka_log log = {.properties = properties, .property_count = 4};
    char text[] = "ann: hunter2 and hunter2 in /keys/a";
    mr_kafka_clean(&log, text);
    assert_string_equal(text, "ann: ******* and ******* in /keys/a");
    char parts[] = "not understood from: unter2, nter2; cut: hunter";
    mr_kafka_clean(&log, parts);
    assert_string_equal(parts, "not understood from: ******, nter2; cut: ******");
}

static void a_client_that_cannot_be_made_says_why(void **state) {
    char brokers[] = "127.0.0.1:1";
    struct mr_property properties[] = {{"security.protocol", "ssl"},
                                       {"ssl.ca.location", "/nowhere/ca.pem"},
                                       {"ssl.key.password", "nowhere"}};
    struct mr_kafka_log log = {.brokers = brokers, .properties = properties, .property_count = 3};
    rd_kafka_conf_t *conf;
    rd_kafka_t *client;
    struct mr_error err = {0};
    assert_int_equal(mr_kafka_conf(&log, MR_KAFKA_READER, &conf, &err), MR_OK);
    assert_int_equal(mr_kafka_client(&log, MR_KAFKA_READER, conf, &client, &err), MR_REJECT);
    assert_null(client);
    mr_assert_says(&err, "ssl.ca.location");
    assert_null(strstr(err.text, "nowhere"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_role_gets_what_the_engine_needs),
        cmocka_unit_test(a_property_of_the_user_wins_over_a_default),
        cmocka_unit_test(the_engines_own_properties_are_refused_with_the_reason),
        cmocka_unit_test(an_unknown_property_is_refused_with_the_nearest_name),
        cmocka_unit_test(a_bad_value_is_shown_with_its_property),
        cmocka_unit_test(the_value_of_a_secret_is_never_shown),
        cmocka_unit_test(a_secret_within_a_sentence_of_librdkafka_is_starred),
        cmocka_unit_test(a_client_that_cannot_be_made_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
