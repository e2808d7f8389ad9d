/* held and rises: exact sums of pieces, whatever cuts them. */
#include "tests/unit/operators/aggregates/feed.h"

static void give(struct gauge *gauge, double x, double from, int64_t ns, bool back) {
    struct mr_held held = {.n = 1, .x = &x, .from = &from, .ns = &ns, .taken_back = back};
    struct mr_part part = {.held = &held, .n = 1};
    gauge->type->add(&gauge->accumulator, gauge->settings, &part);
}

static void the_pieces_of_an_interval_are_the_interval(void **state) {
    struct gauge whole = gauge_of(&mr_held_aggregate, 0), cut = gauge_of(&mr_held_aggregate, 0);
    give(&whole, 0.3, 0, 7000000000, false);
    give(&cut, 0.3, 0, 1, false);
    give(&cut, 0.3, 0, 6999999999, false);
    assert_same(&whole, &cut);
    assert_true(number_of(&whole, "integral") == 2.1);
    assert_true(number_of(&whole, "time_mean") == 0.3);
    assert_true(number_of(&whole, "covered") == 7.0);
    gauge_finish(&whole);
    gauge_finish(&cut);
}

static void nothing_held_is_no_mean_and_no_integral(void **state) {
    struct gauge gauge = gauge_of(&mr_held_aggregate, 0);
    assert_int_equal(value_of(&gauge, "integral").kind, MR_ABSENT);
    assert_int_equal(value_of(&gauge, "time_mean").kind, MR_ABSENT);
    assert_true(number_of(&gauge, "covered") == 0);
    gauge_finish(&gauge);
}

static void a_value_beyond_the_range_makes_null_and_leaves_the_time(void **state) {
    struct gauge gauge = gauge_of(&mr_held_aggregate, 0);
    give(&gauge, 1e300, 0, 1000000000, false);
    assert_int_equal(value_of(&gauge, "integral").kind, MR_ABSENT);
    assert_int_equal(value_of(&gauge, "time_mean").kind, MR_ABSENT);
    assert_true(number_of(&gauge, "covered") == 1);
    gauge_finish(&gauge);
}

static void durations_of_many_keys_pass_two_to_the_64(void **state) {
    struct gauge gauge = gauge_of(&mr_held_aggregate, 0);
    for (int i = 0; i < 5000; i++) {
        give(&gauge, 1, 0, INT64_C(9000000000000000), false);
    }
    assert_true(number_of(&gauge, "covered") == 45e9);
    assert_survives_packing(&gauge);
    gauge_finish(&gauge);
}

static void rises_that_touch_telescope(void **state) {
    struct gauge whole = gauge_of(&mr_rises_aggregate, 0), cut = gauge_of(&mr_rises_aggregate, 0);
    give(&whole, 0.7, 1e17, 0, false);
    give(&cut, 0.1, 1e17, 0, false);
    give(&cut, 0.7, 0.1, 0, false);
    assert_true(number_of(&whole, "increase") == number_of(&cut, "increase"));
    gauge_finish(&whole);
    gauge_finish(&cut);
}

static void what_is_taken_back_leaves_nothing(void **state) {
    struct gauge empty = gauge_of(&mr_rises_aggregate, 0), gauge = gauge_of(&mr_rises_aggregate, 0);
    give(&gauge, 0.7, 0.1, 0, false);
    give(&gauge, NAN, 0.1, 0, false);
    assert_int_equal(value_of(&gauge, "increase").kind, MR_ABSENT);
    give(&gauge, NAN, 0.1, 0, true);
    assert_true(number_of(&gauge, "increase") == 0.6);
    give(&gauge, 0.7, 0.1, 0, true);
    assert_same(&gauge, &empty);
    assert_int_equal(value_of(&gauge, "increase").kind, MR_ABSENT);
    gauge_finish(&empty);
    gauge_finish(&gauge);
}

/* A part of the whole may have taken back what another part was given. */
static void what_is_taken_back_elsewhere_is_merged(void **state) {
    struct gauge given = gauge_of(&mr_rises_aggregate, 0), back = gauge_of(&mr_rises_aggregate, 0);
    give(&given, 5, 1, 0, false);
    give(&given, 9, 5, 0, false);
    give(&back, 5, 1, 0, true);
    assert_survives_packing(&back);
    given.type->merge(&given.accumulator, &back.accumulator, given.settings);
    assert_true(number_of(&given, "increase") == 4);
    gauge_finish(&given);
    gauge_finish(&back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pieces_of_an_interval_are_the_interval),
        cmocka_unit_test(nothing_held_is_no_mean_and_no_integral),
        cmocka_unit_test(a_value_beyond_the_range_makes_null_and_leaves_the_time),
        cmocka_unit_test(durations_of_many_keys_pass_two_to_the_64),
        cmocka_unit_test(rises_that_touch_telescope),
        cmocka_unit_test(what_is_taken_back_leaves_nothing),
        cmocka_unit_test(what_is_taken_back_elsewhere_is_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
