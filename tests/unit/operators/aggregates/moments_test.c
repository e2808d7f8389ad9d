/* Moments: NIST's StRD sets NumAcc1 to 4, agreement with plain sums, limits, nothing. The expected
 * values are those of the doubles given, in exact rational arithmetic, rounded once. */
#include "tests/unit/operators/aggregates/feed.h"

static void assert_digits(double got, double want) {
    if (!(fabs(got - want) <= 1e-14 * fabs(want))) {
        fail_msg("%.17g is not %.17g to 14 digits", got, want);
    }
}

/* NumAcc2 to 4: `middle`, then `low` and `high` in turn, 500 times. */
static void assert_numacc(const double *x, size_t n, double mean, double std_samp) {
    struct gauge events = gauge_of(&mr_moments_aggregate, 0);
    struct gauge blocks = gauge_of(&mr_moments_aggregate, 0);
    feed_events(&events, x, n);
    feed_f64(&blocks, x, n);
    assert_digits(number_of(&events, "mean"), mean);
    assert_digits(number_of(&blocks, "mean"), mean);
    assert_digits(number_of(&events, "std_samp"), std_samp);
    assert_digits(number_of(&blocks, "std_samp"), std_samp);
    gauge_finish(&events);
    gauge_finish(&blocks);
}

static void assert_alternating(double middle, double low, double high, double mean,
                               double std_samp) {
    double x[1001] = {middle};
    for (size_t i = 1; i < 1001; i++) {
        x[i] = i % 2 ? low : high;
    }
    assert_numacc(x, 1001, mean, std_samp);
}

static void the_nist_sets_come_out_to_fourteen_digits(void **state) {
    assert_numacc((const double[]){10000001, 10000003, 10000002}, 3, 10000002, 1);
    assert_alternating(1.2, 1.1, 1.3, 1.2, 0.099999999999999978);
    assert_alternating(1000000.2, 1000000.1, 1000000.3, 1000000.2, 0.1000000000349246);
    assert_alternating(10000000.2, 10000000.1, 10000000.3, 10000000.199999999, 0.10000000055879354);
}

static void every_result_is_what_its_name_says(void **state) {
    const double x[] = {2, NAN, -1, 4, 3};
    struct gauge gauge = gauge_of(&mr_moments_aggregate, 0);
    feed_f64(&gauge, x, 5);
    assert_true(number_of(&gauge, "sum") == 8);
    assert_true(number_of(&gauge, "mean") == 2);
    assert_digits(number_of(&gauge, "std_pop"), sqrt(14.0 / 4));
    assert_digits(number_of(&gauge, "std_samp"), sqrt(14.0 / 3));
    assert_digits(number_of(&gauge, "rms"), sqrt(30.0 / 4));
    gauge_finish(&gauge);
}

/* Frames of float32 against long doubles; a self-check: rms^2 = mean^2 + std_pop^2. */
static void blocks_of_float32_keep_full_precision(void **state) {
    enum { n = 10 * MR_BLOCK + 17 };
    static float x[n];
    uint64_t seed = 1;
    long double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(3.7 + 0.001 * random_unit(&seed));
        sum += x[i];
        squares += (long double)x[i] * x[i];
    }
    struct gauge gauge = gauge_of(&mr_moments_aggregate, 0);
    feed_f32(&gauge, x, n);
    double mean = number_of(&gauge, "mean"), std = number_of(&gauge, "std_pop");
    assert_digits(number_of(&gauge, "sum"), (double)sum);
    assert_digits(number_of(&gauge, "rms"), (double)sqrtl(squares / n));
    assert_digits(sqrt(mean * mean + std * std), number_of(&gauge, "rms"));
    gauge_finish(&gauge);
}

static void the_mean_of_nothing_is_null(void **state) {
    struct gauge gauge = gauge_of(&mr_moments_aggregate, 0);
    const double gap = NAN, one = 5;
    feed_f64(&gauge, &gap, 1);
    for (const struct mr_result *result = gauge.type->results; result->name; result++) {
        assert_int_equal(value_of(&gauge, result->name).kind, MR_ABSENT);
    }
    feed_f64(&gauge, &one, 1);
    assert_true(number_of(&gauge, "std_pop") == 0);
    assert_int_equal(value_of(&gauge, "std_samp").kind, MR_ABSENT);
    gauge_finish(&gauge);
}

/* Squares have less range than sums; both are judged for the whole window, in any order. */
static void a_value_beyond_the_range_makes_its_results_null(void **state) {
    const double x[] = {1, 1e30, -1e30, 2}, y[] = {1, 1e300, -1e300};
    struct gauge gauge = gauge_of(&mr_moments_aggregate, 0);
    feed_events(&gauge, x, 4);
    assert_true(number_of(&gauge, "sum") == 3);
    assert_int_equal(value_of(&gauge, "rms").kind, MR_ABSENT);
    assert_int_equal(value_of(&gauge, "std_pop").kind, MR_ABSENT);
    feed_f64(&gauge, y, 3);
    assert_int_equal(value_of(&gauge, "sum").kind, MR_ABSENT);
    assert_int_equal(value_of(&gauge, "mean").kind, MR_ABSENT);
    assert_survives_packing(&gauge);
    gauge_finish(&gauge);
}

static void a_constant_has_no_deviation_at_all(void **state) {
    double x[600];
    for (size_t i = 0; i < 600; i++) {
        x[i] = 0.1;
    }
    struct gauge gauge = gauge_of(&mr_moments_aggregate, 0);
    feed_events(&gauge, x, 600);
    feed_f64(&gauge, x, 600);
    assert_true(number_of(&gauge, "std_pop") == 0);
    assert_true(number_of(&gauge, "mean") == 0.1);
    assert_true(number_of(&gauge, "rms") == 0.1);
    gauge_finish(&gauge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nist_sets_come_out_to_fourteen_digits),
        cmocka_unit_test(every_result_is_what_its_name_says),
        cmocka_unit_test(blocks_of_float32_keep_full_precision),
        cmocka_unit_test(the_mean_of_nothing_is_null),
        cmocka_unit_test(a_value_beyond_the_range_makes_its_results_null),
        cmocka_unit_test(a_constant_has_no_deviation_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
