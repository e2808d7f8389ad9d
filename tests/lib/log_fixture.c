/* A log for one test, and what the tests of the suite share. */
#include "tests/lib/broker.h"
#include "tests/lib/log_contract.h"
#include "tests/lib/temp.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define START_NS INT64_C(1763694600000000000)

const char *mr_fixture_scheme;
struct mr_world mr_world;

/* Of Kafka's clients; the other logs ignore them. A member hears of another one by a heartbeat. */
static const struct mr_property properties[] = {{"heartbeat.interval.ms", "100"}};

static void open_log(struct mr_log_fixture *fixture) {
    const struct mr_log_options options = {.make = true,
                                           .properties = properties,
                                           .property_count =
                                               sizeof properties / sizeof *properties};
    struct mr_error err;
    if (mr_log_open(fixture->url, &options, &fixture->clock, &fixture->log, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
}

struct mr_log_fixture *mr_fixture_create(const char *scheme) {
    struct mr_log_fixture *fixture = mr_allocate(sizeof *fixture);
    fixture->directory = mr_temp_create();
    if (strcmp(scheme, "kafka") == 0) {
        fixture->clock = mr_real_clock;
        assert_true(asprintf(&fixture->url, "kafka://%s", mr_test_brokers()) >= 0);
    } else {
        fixture->clock = mr_virtual_clock(START_NS);
        assert_true(asprintf(&fixture->url, "%s:%s/log", scheme, fixture->directory) >= 0);
    }
    open_log(fixture);
    return fixture;
}

void mr_fixture_reopen(struct mr_log_fixture *fixture) {
    mr_log_close(fixture->log);
    open_log(fixture);
}

void mr_fixture_destroy(struct mr_log_fixture *fixture) {
    mr_log_close(fixture->log);
    mr_temp_remove(fixture->directory);
    free(fixture->url);
    free(fixture);
}

int64_t mr_fixture_pass(struct mr_log_fixture *fixture) {
    const struct mr_clock *clock = &fixture->clock;
    int64_t began_ns = clock->wall_ns(clock);
    fixture->clock.virtual_ns += MR_SECOND;
    while (clock->wall_ns(clock) < began_ns + MR_SECOND / 500) { /* the real one moves by itself */
    }
    return clock->wall_ns(clock);
}

int mr_fixture_set_up(void **state) {
    struct mr_log_fixture *fixture = mr_fixture_create(mr_fixture_scheme);
    mr_world = (struct mr_world){.fixture = fixture, .log = fixture->log};
    *state = fixture;
    return 0;
}

int mr_fixture_tear_down(void **state) {
    mr_fixture_destroy(*state);
    return 0;
}

/* On a broker all tests of all programs share one namespace. */
const char *mr_name(const char *plain) {
    static char prefix[48];
    static unsigned tests;
    struct mr_log_fixture *fixture = mr_world.fixture;
    if (!prefix[0]) {
        snprintf(prefix, sizeof prefix, "%llx-%d", (unsigned long long)time(NULL), (int)getpid());
    }
    tests += fixture->name_count == 0;
    assert_true(fixture->name_count < sizeof fixture->names / sizeof *fixture->names);
    char *name = fixture->names[fixture->name_count++];
    snprintf(name, sizeof fixture->names[0], "%s-%u-%s", prefix, tests, plain);
    return name;
}

int mr_world_set_up(void **state) {
    mr_fixture_set_up(state);
    mr_world.job = mr_name("j");
    mr_world.in = mr_name("in");
    mr_world.out = mr_name("out");
    mr_world.changes = mr_name("changes");
    mr_make_topic(mr_world.log, mr_world.in, 1);
    mr_make_job_topic(mr_world.log, mr_world.out, mr_world.job, MR_KEEP_RECORDS);
    mr_make_job_topic(mr_world.log, mr_world.changes, mr_world.job, MR_KEEP_LAST_OF_KEY);
    return 0;
}

int mr_log_contract_run(const char *scheme) {
    const struct mr_suite *suites[] = {&mr_topic_contract, &mr_session_contract, &mr_group_contract,
                                       &mr_changelog_contract, &mr_trim_contract};
    int failures = 0;
    mr_fixture_scheme = scheme;
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        failures += _cmocka_run_group_tests(suites[i]->name, suites[i]->tests, suites[i]->count,
                                            NULL, NULL);
    }
    return failures;
}
