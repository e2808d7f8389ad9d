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

/* ---- As a broker behaves -------------------------------------------------------------------- */

static void a_commit_leaves_a_gap_when_asked(void **state) {
    struct mr_partition source = mr_partition_at("out", 0);
    struct mr_event event;
    int64_t first, end;
    mr_memory_log_gaps(log_of(state));
    struct mr_session *worker = open_job(state);
    mr_append_text(worker, "out", NULL, "a");
    mr_append_text(worker, "out", NULL, "b");
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED); /* 0, 1, a marker */
    mr_append_text(worker, "out", NULL, "lost");
    mr_memory_log_fail_commit(log_of(state), MR_MEMORY_ABORTED);
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_ABORTED); /* 3, a marker */
    mr_append_text(worker, "out", NULL, "c");
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED); /* 5, a marker */
    mr_session_close(worker);
    assert_int_equal(mr_log_bounds(log_of(state), &source, &first, &end, NULL), MR_OK);
    assert_int_equal(end, 7);
    assert_string_equal(mr_values(log_of(state), "out", 0), "a b c");

    struct mr_session *next = mr_open_worker(log_of(state), "k", "out", 0, 1);
    mr_poll_for(next, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.count, 3);
    assert_int_equal(event.batch.messages[2].offset, 5);
    mr_poll_for(next, MR_EVENT_END, &event);
    assert_int_equal(event.offset, 7);
    mr_session_close(next);
    next = mr_open_worker(log_of(state), "l", "out", 0, 1);
    mr_poll_for(next, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_session_start(next, &event.source, 3, NULL), MR_OK);
    mr_poll_for(next, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.messages[0].offset, 5);
    mr_session_close(next);
}

static void a_changelog_gives_older_versions_when_asked(void **state) {
    struct mr_partition source = mr_partition_at("changes", 0);
    mr_make_job_topic(log_of(state), "changes", "j", MR_KEEP_LAST_OF_KEY);
    mr_memory_log_versions(log_of(state));
    struct mr_session *worker = open_job(state);
    mr_append_text(worker, "changes", "a", "1");
    mr_append_text(worker, "changes", "b", "1");
    mr_append_text(worker, "changes", "a", "2");
    mr_append_text(worker, "changes", "b", NULL);
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED);
    mr_session_close(worker);
    assert_int_equal(mr_read_each(log_of(state), &source, -1, NULL, NULL), 4);
    assert_string_equal(mr_kept(log_of(state), "changes"), "a=2");
    assert_int_equal(mr_log_reset(log_of(state), "j", "changes", NULL), MR_OK);
    assert_int_equal(mr_read_each(log_of(state), &source, -1, NULL, NULL), 0);
}

/* Two workers; partition 0 is the first one's, and started. */
static void open_two(void **state, struct mr_session *workers[2]) {
    struct mr_event event;
    for (uint32_t i = 0; i < 2; i++) {
        workers[i] = mr_open_worker(log_of(state), "j", "in", i, 2);
        mr_poll_for(workers[i], MR_EVENT_END, &event);
    }
}

static void close_two(struct mr_session *workers[2]) {
    mr_session_close(workers[0]);
    mr_session_close(workers[1]);
}

static void a_partition_is_handed_over_after_its_commit(void **state) {
    struct mr_session *workers[2];
    struct mr_event event;
    open_two(state, workers);
    mr_memory_log_move(log_of(state), "j", 0, 1, -1);
    mr_poll_for(workers[1], MR_EVENT_END, &event); /* not its yet */
    mr_poll_for(workers[0], MR_EVENT_REVOKED, &event);
    assert_int_equal(event.source.partition, 0);
    mr_append_text(workers[0], "out", NULL, "kept");
    assert_int_equal(mr_commit_at(workers[0], "in", 0, "n"), MR_COMMITTED);
    mr_poll_for(workers[0], MR_EVENT_END, &event);
    assert_int_equal(event.source.partition, 2);
    mr_poll_for(workers[1], MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.source.partition, 0);
    assert_int_equal(event.offset, 0);
    assert_int_equal(mr_commit_at(workers[0], "in", 0, "too late"), MR_FENCED);
    assert_int_equal(mr_commit_at(workers[1], "in", 0, "m"), MR_COMMITTED);
    mr_poll_for(workers[0], MR_EVENT_ASSIGNED, &event); /* what it still has, after a failure */
    assert_int_equal(event.source.partition, 2);
    close_two(workers);
}

static void a_zombie_delivers_on_and_cannot_commit(void **state) {
    struct mr_session *workers[2];
    struct mr_event event;
    open_two(state, workers);
    mr_memory_log_move(log_of(state), "j", 0, 1, 2);
    mr_produce(log_of(state), "in", 0, "a");
    mr_poll_for(workers[1], MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_session_start(workers[1], &event.source, -1, NULL), MR_OK);
    mr_memory_log_next(log_of(state), 0);
    mr_poll_for(workers[0], MR_EVENT_BATCH, &event);
    assert_int_equal(event.source.partition, 0);
    mr_append_text(workers[0], "out", NULL, "lost");
    assert_int_equal(mr_commit_at(workers[0], "in", 1, "zombie"), MR_FENCED);
    mr_poll_for(workers[1], MR_EVENT_BATCH, &event);
    mr_append_text(workers[1], "out", NULL, "kept");
    assert_int_equal(mr_commit_at(workers[1], "in", 1, ""), MR_COMMITTED);
    close_two(workers);
    assert_string_equal(mr_values(log_of(state), "out", 0), "kept");
}

static void a_zombie_hears_of_it_after_so_many_polls(void **state) {
    struct mr_session *workers[2];
    struct mr_event event;
    open_two(state, workers);
    mr_memory_log_move(log_of(state), "j", 0, 1, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mr_session_poll(workers[0], 0, &event, NULL), MR_OK);
        assert_int_equal(event.kind, i < 2 ? MR_EVENT_END : MR_EVENT_LOST);
    }
    assert_int_equal(event.source.partition, 0);
    close_two(workers);
}

static void what_was_lost_and_came_back_has_been_lost(void **state) {
    struct mr_session *workers[2];
    struct mr_event event;
    open_two(state, workers);
    mr_memory_log_move(log_of(state), "j", 0, 1, 5);
    mr_memory_log_move(log_of(state), "j", 0, 0, 0);
    assert_int_equal(mr_commit_at(workers[0], "in", 0, "zombie"), MR_FENCED);
    mr_poll_for(workers[0], MR_EVENT_ASSIGNED, &event);
    mr_memory_log_move(log_of(state), "j", 0, 1, 5);
    mr_memory_log_move(log_of(state), "j", 0, 0, 0);
    mr_poll_for(workers[0], MR_EVENT_LOST, &event);
    mr_poll_for(workers[0], MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.source.partition, 0);
    assert_int_equal(mr_commit_at(workers[0], "in", 0, ""), MR_COMMITTED);
    close_two(workers);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, mr_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_aborted_commit_applies_nothing),
        TEST(an_unknown_commit_may_be_lost),
        TEST(an_unknown_commit_may_have_happened),
        TEST(a_crash_loses_what_was_not_committed),
        TEST(batches_are_as_small_as_asked),
        TEST(the_next_partition_can_be_chosen),
        TEST(a_commit_leaves_a_gap_when_asked),
        TEST(a_changelog_gives_older_versions_when_asked),
        TEST(a_partition_is_handed_over_after_its_commit),
        TEST(a_zombie_delivers_on_and_cannot_commit),
        TEST(a_zombie_hears_of_it_after_so_many_polls),
        TEST(what_was_lost_and_came_back_has_been_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
