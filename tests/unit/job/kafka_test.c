/* The section `kafka`: what reaches the client, and that no fault shows a secret. */
#include "tests/unit/job/loading.h"

#define STATS "stats: {n: count}\n"
#define JOB   JSON_HEAD TAIL STATS "log: kafka://broker:9092\n"

static const char *property(const struct mr_plan *plan, const char *name) {
    for (size_t i = 0; i < plan->property_count; i++) {
        if (strcmp(plan->properties[i].name, name) == 0) {
            return plan->properties[i].value;
        }
    }
    return "not given";
}

static void properties_reach_the_plan_as_texts(void **state) {
    setenv("MILLRACE_TEST_SECRET", "swordfish", 1);
    struct mr_plan *plan = good_plan(JOB "kafka:\n"
                                         "  security.protocol: sasl_ssl\n"
                                         "  sasl.password: ${MILLRACE_TEST_SECRET}\n"
                                         "  enable.ssl.certificate.verification: false\n"
                                         "  librdkafka: {fetch.wait.max.ms: 50, 'linger.ms': 5}\n");
    assert_int_equal(plan->property_count, 5);
    assert_string_equal(property(plan, "security.protocol"), "sasl_ssl");
    assert_string_equal(property(plan, "sasl.password"), "swordfish");
    assert_string_equal(property(plan, "enable.ssl.certificate.verification"), "false");
    assert_string_equal(property(plan, "fetch.wait.max.ms"), "50");
    assert_string_equal(property(plan, "linger.ms"), "5");
    mr_plan_destroy(plan);
}

static void a_job_without_the_section_has_no_properties(void **state) {
    struct mr_plan *plan = good_plan(JOB);
    assert_int_equal(plan->property_count, 0);
    mr_plan_destroy(plan);
}

static void a_local_log_ignores_the_section(void **state) {
    mr_plan_destroy(good_plan(JSON_HEAD TAIL STATS "kafka: {security.protocol: ssl}\n"));
}

static void brokers_are_a_list_of_hosts_with_ports(void **state) {
    static const char *const bad[] = {
        "kafka:",        "kafka:a:1",       "kafka://",      "kafka://a:",   "kafka://:1",
        "kafka://a:0",   "kafka://a:65536", "kafka://a:1,",  "kafka://,a:1", "kafka://a:1;b:2",
        "kafka://a:1/x", "kafka://::1:1",   "kafka://[]:1",  "kafka://[::1", "kafka://a,,b",
        "kafka://a:1 ",  "kafka://[::1]9",  "kafka://a:1:2", "kafka://a:+1"};
    static const char *const good[] = {"kafka://a", "kafka://a:1",
                                       "kafka://a.b-c_d:65535,10.0.0.1:9092,c",
                                       "kafka://[fe80::1]:9092,b:1,[::1]"};
    char text[512];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, JSON_HEAD TAIL STATS "log: \"%s\"\n", bad[i]);
        assert_fault(text, "a Kafka log is kafka://HOST:PORT");
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, JSON_HEAD TAIL STATS "log: \"%s\"\n", good[i]);
        mr_plan_destroy(good_plan(text));
    }
}

static void what_the_engine_sets_is_refused_with_the_reason(void **state) {
    assert_fault(JOB "kafka: {librdkafka: {isolation.level: read_uncommitted}}\n",
                 "`isolation.level` cannot be set: only committed records are read");
    assert_fault(JOB "kafka: {group.id: other}\n", "it is the name of the job");
    assert_fault(JOB "kafka: {bootstrap.servers: other}\n", "the brokers stand in `log`");
    assert_fault(JOB "kafka: {librdkafka: {plugin.library.paths: x}}\n", "loads no code");
}

/* Wherever in the section, and however the file is written. */
static void no_fault_shows_a_line_of_the_section(void **state) {
    static const char *const texts[] = {
        JOB "kafka:\n  sasl.pasword: hunter2\n  sasl.password: ''\n",
        JOB "kafka:\n  librdkafka:\n    group.id: hunter2\n",
        JOB "kafka: {sasl.password: '', ssl.key.password: hunter2}\n",
        JOB "\"kafka\" : {\"sasl.password\": \"\", \"ssl.key.password\": \"hunter2\"}\n",
        JOB "kafka:\n  sasl.password: \"hunter2\n",
        JOB "kafka:\n  ssl.key.pem: |\n    hunter2\n  sasl.password: [hunter2\n",
        JOB "kafka:\n  sasl.password: !hunter2\n",
        JOB "kafka:\n\n  # hunter2\n  sasl.password: &hunter2 x\n",
        "{\"job\": \"j\",\n \"kafka\": {\n  \"group.id\": \"hunter2\"\n }\n}\n",
        "{job: j, kafka: {group.id: hunter2}}\n",
        JSON_HEAD TAIL STATS "log: kafka://me:hunter2@broker:9092\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *printed = faults_of(mr_slice_of(texts[i]));
        if (strstr(printed, "hunter2")) {
            print_error("%zu: %s", i, printed);
            fail();
        }
        free(printed);
    }
}

static void lines_outside_of_the_section_are_shown(void **state) {
    assert_fault(JOB "kafka: {security.protocol: ssl}\nretain: soon\n", "| retain: soon");
    assert_fault(JSON_HEAD TAIL STATS "log: kafka://broker:x\n", "| log: kafka://broker:x");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(properties_reach_the_plan_as_texts),
        cmocka_unit_test(a_job_without_the_section_has_no_properties),
        cmocka_unit_test(a_local_log_ignores_the_section),
        cmocka_unit_test(brokers_are_a_list_of_hosts_with_ports),
        cmocka_unit_test(what_the_engine_sets_is_refused_with_the_reason),
        cmocka_unit_test(no_fault_shows_a_line_of_the_section),
        cmocka_unit_test(lines_outside_of_the_section_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
