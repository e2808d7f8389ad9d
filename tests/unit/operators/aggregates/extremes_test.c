/* Min, max, range. */
#include "tests/unit/operators/aggregates/feed.h"

static void the_extremes_are_found_in_any_block(void **state) {
    static float x[3000];
    for (size_t i = 0; i < 3000; i++) {
        x[i] = (float)sin((double)i);
    }
    x[1700] = -7;
    x[2999] = 9;
    x[5] = (float)INFINITY;
    x[6] = (float)NAN;
    struct gauge gauge = gauge_of(&mr_extremes_aggregate, 0);
    feed_f32(&gauge, x, 3000);
    assert_true(number_of(&gauge, "min") == -7);
    assert_true(number_of(&gauge, "max") == 9);
    assert_true(number_of(&gauge, "range") == 16);
    gauge_finish(&gauge);
}

/* A maximum that starts from the smallest positive float would be wrong here. */
static void all_negative_values_have_a_negative_maximum(void **state) {
    const double x[] = {-3, -2, -5};
    struct gauge gauge = gauge_of(&mr_extremes_aggregate, 0);
    feed_events(&gauge, x, 3);
    assert_true(number_of(&gauge, "max") == -2);
    gauge_finish(&gauge);
}

static void minus_zero_is_below_plus_zero_in_any_order(void **state) {
    const double x[] = {0.0, -0.0, 0.0}, y[] = {-0.0, 0.0, -0.0};
    struct gauge a = gauge_of(&mr_extremes_aggregate, 0), b = gauge_of(&mr_extremes_aggregate, 0);
    feed_events(&a, x, 3);
    feed_f64(&b, y, 3);
    assert_same(&a, &b);
    assert_true(signbit(number_of(&a, "min")) && !signbit(number_of(&a, "max")));
    gauge_finish(&a);
    gauge_finish(&b);
}

static void a_range_beyond_float64_is_null(void **state) {
    const double x[] = {-1.7e308, 1.7e308};
    struct gauge gauge = gauge_of(&mr_extremes_aggregate, 0);
    assert_int_equal(value_of(&gauge, "min").kind, MR_ABSENT);
    feed_f64(&gauge, x, 2);
    assert_int_equal(value_of(&gauge, "range").kind, MR_ABSENT);
    assert_true(number_of(&gauge, "max") == 1.7e308);
    gauge_finish(&gauge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_extremes_are_found_in_any_block),
        cmocka_unit_test(all_negative_values_have_a_negative_maximum),
        cmocka_unit_test(minus_zero_is_below_plus_zero_in_any_order),
        cmocka_unit_test(a_range_beyond_float64_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
