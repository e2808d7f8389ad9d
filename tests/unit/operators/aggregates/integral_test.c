/* The integral over time. */
#include "tests/unit/operators/aggregates/feed.h"

static void a_constant_power_gives_power_times_time(void **state) {
    static float x[60000];
    for (size_t i = 0; i < 60000; i++) {
        x[i] = 0.5f;
    }
    struct gauge gauge = gauge_of(&mr_integral_aggregate, 0);
    feed_f32(&gauge, x, 60000);
    assert_true(number_of(&gauge, "integral") == 30);
    gauge_finish(&gauge);
}

/* The rectangle rule on every sample, against long doubles. */
static void every_sample_weighs_one_period(void **state) {
    static double x[5000];
    long double sum = 0;
    for (size_t i = 0; i < 5000; i++) {
        x[i] = 325 * sin((double)i * 0.0157) + 1e-3;
        sum += x[i];
    }
    struct gauge gauge = gauge_of(&mr_integral_aggregate, 0);
    feed_f64(&gauge, x, 5000);
    assert_true(fabs(number_of(&gauge, "integral") - (double)(sum / 1000)) < 1e-11);
    gauge_finish(&gauge);
}

static void gaps_are_not_zero_power(void **state) {
    const double x[] = {2, NAN, 4};
    struct gauge gauge = gauge_of(&mr_integral_aggregate, 0);
    feed_f64(&gauge, x + 1, 1);
    assert_int_equal(value_of(&gauge, "integral").kind, MR_ABSENT);
    feed_f64(&gauge, x, 3);
    assert_true(number_of(&gauge, "integral") == 0.006);
    gauge_finish(&gauge);
}

static void a_block_beyond_the_range_makes_it_null(void **state) {
    const double x[] = {1e300, 1};
    struct gauge gauge = gauge_of(&mr_integral_aggregate, 0);
    feed_f64(&gauge, x + 1, 1);
    feed_f64(&gauge, x, 1);
    assert_int_equal(value_of(&gauge, "integral").kind, MR_ABSENT);
    assert_survives_packing(&gauge);
    gauge_finish(&gauge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_power_gives_power_times_time),
        cmocka_unit_test(every_sample_weighs_one_period),
        cmocka_unit_test(gaps_are_not_zero_power),
        cmocka_unit_test(a_block_beyond_the_range_makes_it_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
