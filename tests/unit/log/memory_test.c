/* What a simulator may ask of the memory log. The job is "j", its input "in" (3 partitions). */
#include "engine/log/memory.h"

#include "tests/lib/log_contract.h"

static int set_up(void **state) {
    mr_fixture_scheme = "memory";
    mr_fixture_set_up(state);
    struct mr_log *log = ((struct mr_log_fixture *)*state)->log;
    mr_make_topic(log, "in", 3);
    mr_make_job_topic(log, "out", "j", MR_KEEP_RECORDS);
    return 0;
}

static struct mr_log *log_of(void **state) {
    return ((struct mr_log_fixture *)*state)->log;
}

static struct mr_session *open_job(void **state) {
    return mr_open_worker(log_of(state), "j", "in", 0, 1);
}

static void fail_a_commit(void **state, enum mr_memory_fault fault, enum mr_commit expected,
                          const char *output) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    mr_append_text(worker, "out", NULL, "A");
    mr_memory_log_fail_commit(log_of(state), fault);
    mr_produce(log_of(state), "in", 0, "a producer is not meant");
    assert_int_equal(mr_commit_at(worker, "in", 1, ""), expected);
    assert_string_equal(mr_values(log_of(state), "out", 0), output);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, *output ? 1 : -1);
    mr_append_text(worker, "out", NULL, "B");
    assert_int_equal(mr_commit_at(worker, "in", 1, ""), MR_COMMITTED);
    mr_session_close(worker);
}

static void an_aborted_commit_applies_nothing(void **state) {
    fail_a_commit(state, MR_MEMORY_ABORTED, MR_ABORTED, "");
    assert_string_equal(mr_values(log_of(state), "out", 0), "B");
}

static void an_unknown_commit_may_be_lost(void **state) {
    fail_a_commit(state, MR_MEMORY_UNKNOWN_LOST, MR_UNKNOWN, "");
}

static void an_unknown_commit_may_have_happened(void **state) {
    fail_a_commit(state, MR_MEMORY_UNKNOWN_KEPT, MR_UNKNOWN, "A");
    assert_string_equal(mr_values(log_of(state), "out", 0), "A B");
}

static void a_crash_loses_what_was_not_committed(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_session *producer = mr_open_producer(log_of(state));
    struct mr_event event;
    mr_append_text(worker, "out", NULL, "lost");
    mr_append_text(producer, "in", NULL, "lost");
    mr_memory_log_crash(log_of(state));
    struct mr_session *again = open_job(state);
    assert_int_equal(mr_commit_at(worker, "in", 1, ""), MR_FENCED);
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_FENCED);
    assert_int_equal(mr_session_poll(worker, 0, &event, NULL), MR_FAIL);
    mr_session_close(worker);
    mr_session_close(producer);
    assert_string_equal(mr_values(log_of(state), "in", 0), "");
    assert_string_equal(mr_values(log_of(state), "out", 0), "");
    mr_append_text(again, "out", NULL, "kept");
    assert_int_equal(mr_commit_at(again, "in", 0, ""), MR_COMMITTED);
    assert_string_equal(mr_values(log_of(state), "out", 0), "kept");
    mr_session_close(again);
}

static void batches_are_as_small_as_asked(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    mr_memory_log_limit(log_of(state), 2);
    for (int i = 0; i < 3; i++) {
        mr_produce(log_of(state), "in", 0, "x");
    }
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.count, 2);
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.count, 1);
    mr_session_close(worker);
}

static void the_next_partition_can_be_chosen(void **state) {
    struct mr_session *worker = open_job(state);
    struct mr_event event;
    mr_poll_for(worker, MR_EVENT_END, &event);
    const uint32_t order[] = {2, 2, 0, 1, 0};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        mr_memory_log_next(log_of(state), order[i]);
        assert_int_equal(mr_session_poll(worker, 0, &event, NULL), MR_OK);
        assert_int_equal(event.source.partition, order[i]);
    }
    mr_session_close(worker);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, mr_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_aborted_commit_applies_nothing),   TEST(an_unknown_commit_may_be_lost),
        TEST(an_unknown_commit_may_have_happened), TEST(a_crash_loses_what_was_not_committed),
        TEST(batches_are_as_small_as_asked),       TEST(the_next_partition_can_be_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
