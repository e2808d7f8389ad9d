/* Count and covered. */
#include "tests/unit/operators/aggregates/feed.h"

static void a_field_counts_its_finite_values(void **state) {
    const double x[] = {1, NAN, 3, INFINITY, 5};
    struct gauge gauge = gauge_of(&mr_count_aggregate, 0);
    feed_f64(&gauge, x, 5);
    struct mr_value count = value_of(&gauge, "count");
    assert_int_equal(count.kind, MR_INTEGER);
    assert_int_equal(count.integer, 3);
    assert_true(count.number == 3);
    assert_true(number_of(&gauge, "covered") == 0.003);
    gauge_finish(&gauge);
}

static void without_a_field_kept_samples_count(void **state) {
    struct gauge gauge = gauge_of(&mr_count_aggregate, 0);
    const struct mr_record record = {.samples = 700, .rate_hz = 2000000};
    const struct mr_part part = {.n = 700, .seconds = 1 / 2e6, .record = &record};
    gauge.type->add(&gauge.accumulator, gauge.settings, &part);
    assert_int_equal(value_of(&gauge, "count").integer, 700);
    gauge_finish(&gauge);
}

static void a_minute_of_samples_covers_a_minute(void **state) {
    static const double rates[] = {1, 50, 1000, 250e3, 1e6, 2e6};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct gauge gauge = gauge_of(&mr_count_aggregate, 0);
        struct mr_record record = {.rate_hz = rates[i]};
        struct mr_part part = {.seconds = 1 / rates[i], .record = &record};
        for (size_t left = (size_t)(60 * rates[i]); left > 0; left -= part.n) {
            part.n = left < 1000 ? left : 1000;
            gauge.type->add(&gauge.accumulator, gauge.settings, &part);
        }
        assert_true(fabs(number_of(&gauge, "covered") - 60) < 1e-14 * 60);
        gauge_finish(&gauge);
    }
}

static void nothing_counts_as_none(void **state) {
    struct gauge gauge = gauge_of(&mr_count_aggregate, 0);
    assert_int_equal(value_of(&gauge, "count").kind, MR_INTEGER);
    assert_int_equal(value_of(&gauge, "count").integer, 0);
    assert_true(number_of(&gauge, "covered") == 0);
    gauge_finish(&gauge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_counts_its_finite_values),
        cmocka_unit_test(without_a_field_kept_samples_count),
        cmocka_unit_test(a_minute_of_samples_covers_a_minute),
        cmocka_unit_test(nothing_counts_as_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
