/* The rules of time, one by one, in units of 1 s: window 10, grace 3, retain 20, idle 5. */
#include "engine/run/task.h"
#include "tests/lib/measures.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

#define S MR_SECOND

static struct mr_plan plan_of(enum mr_late_policy late) {
    return (struct mr_plan){.lateness = {.grace_ns = 3 * S, .idle_ns = 5 * S, .late = late},
                            .retain_ns = 20 * S};
}

static enum mr_verdict judge(enum mr_late_policy late, int64_t r, int64_t t, int64_t h,
                             int64_t end) {
    struct mr_plan plan = plan_of(late);
    struct mr_times times = {r * S, t * S, h * S, MR_NEVER};
    return mr_times_judge(&times, &plan, end * S);
}

static void everything_is_open_before_the_first_record(void **state) {
    struct mr_plan plan = plan_of(MR_LATE_DROP);
    struct mr_times times = {MR_NEVER, MR_NEVER, MR_NEVER, MR_NEVER};
    assert_int_equal(mr_times_judge(&times, &plan, 10), MR_VERDICT_OPEN);
    assert_int_equal(mr_times_judge(&times, &plan, INT64_MAX), MR_VERDICT_OPEN);
    assert_false(mr_times_drops(&times, &plan, 10));
}

static void a_part_is_open_until_the_watermark_has_passed_its_end_by_grace(void **state) {
    assert_int_equal(judge(MR_LATE_DROP, 12, 12, -11, 10), MR_VERDICT_OPEN);
    assert_int_equal(judge(MR_LATE_DROP, 13, 13, -10, 10), MR_VERDICT_LATE);
    assert_int_equal(judge(MR_LATE_DEAD_LETTER, 13, 13, -10, 10), MR_VERDICT_LATE);
    assert_int_equal(judge(MR_LATE_REVISE, 13, 13, -10, 10), MR_VERDICT_REVISABLE);
}

static void only_stream_time_ends_the_time_for_revisions(void **state) {
    assert_int_equal(judge(MR_LATE_REVISE, 12, 1000, -11, 10), MR_VERDICT_REVISABLE);
    assert_int_equal(judge(MR_LATE_REVISE, 32, 32, 9, 10), MR_VERDICT_REVISABLE);
    assert_int_equal(judge(MR_LATE_REVISE, 33, 33, 9, 10), MR_VERDICT_LATE);
}

static void what_lies_before_the_horizon_is_late_whatever_else_says(void **state) {
    assert_int_equal(judge(MR_LATE_REVISE, 12, 12, 10, 10), MR_VERDICT_LATE);
    assert_int_equal(judge(MR_LATE_REVISE, 12, 12, 9, 10), MR_VERDICT_OPEN);
}

static void a_window_is_dropped_where_it_stops_being_revisable(void **state) {
    struct mr_plan plan = plan_of(MR_LATE_REVISE);
    for (int64_t r = 0; r < 60; r++) {
        struct mr_times times = {r * S, 1000 * S, MR_NEVER, MR_NEVER};
        assert_int_equal(mr_times_drops(&times, &plan, 10 * S),
                         mr_times_judge(&times, &plan, 10 * S) == MR_VERDICT_LATE);
    }
}

static void times_at_the_end_of_int64_do_not_wrap(void **state) {
    struct mr_plan plan = plan_of(MR_LATE_REVISE);
    struct mr_times times = {INT64_MAX - 1, INT64_MAX - 1, 0, MR_NEVER};
    assert_int_equal(mr_times_judge(&times, &plan, INT64_MAX), MR_VERDICT_OPEN);
    assert_false(mr_times_drops(&times, &plan, INT64_MAX));
}

/* ---- Records and silences move the times ----------------------------------------------------- */

struct fixture {
    struct mr_plan plan;
    struct mr_clock clock;
    struct mr_task task;
};

static int set_up(void **state) {
    struct fixture *f = mr_allocate(sizeof *f);
    f->plan = plan_of(MR_LATE_REVISE);
    f->clock = mr_virtual_clock(1000 * S);
    f->task.plan = &f->plan;
    f->task.clock = &f->clock;
    f->task.times = (struct mr_times){MR_NEVER, MR_NEVER, MR_NEVER, MR_NEVER};
    f->task.store = mr_store_create(&mr_test_measures, MR_TEST_LAYOUT);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    mr_store_destroy(f->task.store);
    free(f);
    return 0;
}

static void record_at(struct fixture *f, int64_t seconds) {
    struct mr_error err;
    f->task.silence.begun = false; /* as the task does for every batch */
    assert_int_equal(mr_times_record(&f->task, seconds * S, &err), MR_OK);
}

/* A quiet poll, `seconds` after the last step. */
static void quiet_after(struct fixture *f, int64_t seconds) {
    struct mr_error err;
    f->clock.virtual_ns += seconds * S;
    assert_int_equal(mr_times_quiet(&f->task, &err), MR_OK);
}

static void assert_times(const struct fixture *f, int64_t r, int64_t t, int64_t h) {
    assert_int_equal(f->task.times.stream_ns, r * S);
    assert_int_equal(f->task.times.watermark_ns, t * S);
    assert_int_equal(f->task.times.horizon_ns, h * S);
}

static void a_record_moves_R_and_T_and_H_up_and_never_back(void **state) {
    record_at(*state, 50);
    assert_times(*state, 50, 50, 27);
    record_at(*state, 40);
    assert_times(*state, 50, 50, 27);
    record_at(*state, 60);
    assert_times(*state, 60, 60, 37);
}

static void a_longer_retention_does_not_move_H_back(void **state) {
    struct fixture *f = *state;
    record_at(f, 50);
    f->plan.retain_ns = 1000 * S;
    record_at(f, 60);
    assert_times(f, 60, 60, 27);
}

static void T_stands_until_the_silence_has_lasted_idle_and_then_moves_by_all_of_it(void **state) {
    struct fixture *f = *state;
    record_at(f, 50);
    quiet_after(f, 100); /* the silence begins only here */
    quiet_after(f, 4);
    assert_times(f, 50, 50, 27);
    quiet_after(f, 1);
    assert_times(f, 50, 55, 27);
    quiet_after(f, 7);
    assert_times(f, 50, 62, 27);
}

static void a_record_ends_the_silence(void **state) {
    struct fixture *f = *state;
    record_at(f, 50);
    quiet_after(f, 1);
    quiet_after(f, 9);
    assert_times(f, 50, 59, 27);
    record_at(f, 51);
    assert_times(f, 51, 59, 28); /* T does not go back */
    quiet_after(f, 1);
    quiet_after(f, 4);
    assert_times(f, 51, 59, 28);
    quiet_after(f, 3);
    assert_times(f, 51, 66, 28);
}

static void silence_without_a_first_record_sets_no_time(void **state) {
    struct fixture *f = *state;
    quiet_after(f, 1);
    quiet_after(f, 1000);
    assert_true(f->task.times.watermark_ns == MR_NEVER);
    assert_true(f->task.times.stream_ns == MR_NEVER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_open_before_the_first_record),
        cmocka_unit_test(a_part_is_open_until_the_watermark_has_passed_its_end_by_grace),
        cmocka_unit_test(only_stream_time_ends_the_time_for_revisions),
        cmocka_unit_test(what_lies_before_the_horizon_is_late_whatever_else_says),
        cmocka_unit_test(a_window_is_dropped_where_it_stops_being_revisable),
        cmocka_unit_test(times_at_the_end_of_int64_do_not_wrap),
        cmocka_unit_test_setup_teardown(a_record_moves_R_and_T_and_H_up_and_never_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_longer_retention_does_not_move_H_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            T_stands_until_the_silence_has_lasted_idle_and_then_moves_by_all_of_it, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(a_record_ends_the_silence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_without_a_first_record_sets_no_time, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
