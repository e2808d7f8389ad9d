/* Clocks and adding times. */
#include "engine/base/base.h"

#include <setjmp.h>

#include <cmocka.h>

static void a_virtual_clock_shows_what_it_was_set_to(void **state) {
    struct mr_clock clock = mr_virtual_clock(5);
    assert_int_equal(clock.wall_ns(&clock), 5);
    clock.virtual_ns += 10 * MR_SECOND;
    assert_int_equal(clock.steady_ns(&clock), 10 * MR_SECOND + 5);
}

static void the_real_clock_is_past_2020_and_steady(void **state) {
    assert_true(mr_real_clock.wall_ns(&mr_real_clock) > 1577836800 * MR_SECOND);
    int64_t first = mr_real_clock.steady_ns(&mr_real_clock);
    assert_true(mr_real_clock.steady_ns(&mr_real_clock) >= first);
}

static void adding_times_stops_at_the_ends(void **state) {
    assert_int_equal(mr_time_add(2, -5), -3);
    assert_int_equal(mr_time_add(INT64_MAX, 1), INT64_MAX);
    assert_int_equal(mr_time_add(INT64_MIN + 5, -100), INT64_MIN + 1);
    assert_int_equal(mr_time_add(INT64_MIN + 5, -5), INT64_MIN + 1);
}

static void never_stays_never(void **state) {
    assert_int_equal(mr_time_add(MR_NEVER, 100), MR_NEVER);
    assert_int_equal(mr_time_add(100, MR_NEVER), MR_NEVER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_virtual_clock_shows_what_it_was_set_to),
        cmocka_unit_test(the_real_clock_is_past_2020_and_steady),
        cmocka_unit_test(adding_times_stops_at_the_ends),
        cmocka_unit_test(never_stays_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
