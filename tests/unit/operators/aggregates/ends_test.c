/* First and last. */
#include "tests/unit/operators/aggregates/feed.h"

static void event(struct gauge *gauge, int64_t ns, double x) {
    feed(gauge, &(struct series){.f64 = &x, .n = 1, .start_ns = ns});
}

static void event_time_decides_not_arrival(void **state) {
    struct gauge gauge = gauge_of(&mr_ends_aggregate, 0);
    event(&gauge, 20, 2);
    event(&gauge, 30, 3);
    event(&gauge, 10, 1);
    event(&gauge, 25, 9);
    assert_true(number_of(&gauge, "first") == 1);
    assert_true(number_of(&gauge, "last") == 3);
    gauge_finish(&gauge);
}

static void at_equal_times_first_is_the_lower_and_last_the_higher(void **state) {
    static const double values[] = {5, -0.0, 7, 0.0};
    for (size_t shift = 0; shift < 4; shift++) {
        struct gauge gauge = gauge_of(&mr_ends_aggregate, 0);
        for (size_t i = 0; i < 4; i++) {
            event(&gauge, 10, values[(i + shift) % 4]);
        }
        assert_true(number_of(&gauge, "first") == 0 && signbit(number_of(&gauge, "first")));
        assert_true(number_of(&gauge, "last") == 7);
        gauge_finish(&gauge);
    }
}

static void gaps_at_the_ends_of_a_block_are_passed_over(void **state) {
    const float x[] = {NAN, INFINITY, 4, NAN, 6, -INFINITY};
    struct gauge gauge = gauge_of(&mr_ends_aggregate, 0);
    feed_f32(&gauge, x, 2);
    assert_int_equal(value_of(&gauge, "first").kind, MR_ABSENT);
    feed_f32(&gauge, x, 6);
    assert_true(number_of(&gauge, "first") == 4);
    assert_true(number_of(&gauge, "last") == 6);
    gauge_finish(&gauge);
}

/* Above 1 GHz samples share a nanosecond: the same rule holds inside a block. */
static void samples_of_one_nanosecond_are_equal_in_time(void **state) {
    const float x[] = {3, 1, 2, 8, 9, 7};
    struct gauge gauge = gauge_of(&mr_ends_aggregate, 0);
    feed(&gauge, &(struct series){.f32 = x, .n = 6, .rate = 1e12, .start_ns = 5});
    assert_true(number_of(&gauge, "first") == 1);
    assert_true(number_of(&gauge, "last") == 9);
    gauge_finish(&gauge);
}

/* After `where`, sample i of a block is sample index[i] of the record. */
static void times_follow_the_kept_samples(void **state) {
    const double x[] = {1, 2};
    const uint32_t index[] = {100, 900};
    struct gauge gauge = gauge_of(&mr_ends_aggregate, 0);
    const struct mr_record record = {.samples = 1000, .rate_hz = 1000};
    const struct mr_part part = {
        .f64 = x, .n = 2, .seconds = 0.001, .record = &record, .index = index};
    gauge.type->add(&gauge.accumulator, gauge.settings, &part);
    event(&gauge, INT64_C(99999999), 3);
    event(&gauge, INT64_C(900000001), 4);
    assert_true(number_of(&gauge, "first") == 3);
    assert_true(number_of(&gauge, "last") == 4);
    event(&gauge, INT64_C(900000001), 5);
    assert_true(number_of(&gauge, "last") == 5);
    gauge_finish(&gauge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_time_decides_not_arrival),
        cmocka_unit_test(at_equal_times_first_is_the_lower_and_last_the_higher),
        cmocka_unit_test(gaps_at_the_ends_of_a_block_are_passed_over),
        cmocka_unit_test(samples_of_one_nanosecond_are_equal_in_time),
        cmocka_unit_test(times_follow_the_kept_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
