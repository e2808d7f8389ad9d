/* distinct: which values are one, what the error asks for, and its results. */
#include "operators/aggregates/registers.h"
#include "tests/unit/operators/aggregates/feed.h"

static const struct mr_aggregate_type *const type = &mr_distinct_aggregate;

static void feed_value(struct gauge *gauge, struct mr_value value) {
    struct mr_record record = {.samples = 1};
    struct mr_summary summary = {.finite = isfinite(value.number)};
    struct mr_part part = {.value = &value, .n = 1, .record = &record};
    if (value.kind != MR_TEXT) {
        part.f64 = &value.number;
        part.summary = &summary;
    }
    type->add(&gauge->accumulator, gauge->settings, &part);
}

static struct mr_value text(const char *text) {
    return (struct mr_value){.kind = MR_TEXT, .text = mr_slice_of(text)};
}

static struct mr_value number(double x) {
    return (struct mr_value){.kind = MR_NUMBER, .number = x};
}

static struct mr_value integer(int64_t x) {
    return (struct mr_value){.kind = MR_INTEGER, .number = (double)x, .integer = x};
}

static int64_t count_of(const struct gauge *gauge) {
    struct mr_value value = value_of(gauge, "distinct");
    assert_int_equal(value.kind, MR_INTEGER);
    assert_true(value.number == (double)value.integer);
    return value.integer;
}

static void values_are_one_when_their_texts_are(void **state) {
    struct gauge gauge = gauge_of(type, 14);
    feed_value(&gauge, text("7"));
    feed_value(&gauge, number(7));
    feed_value(&gauge, integer(7));
    assert_int_equal(count_of(&gauge), 1);
    feed_value(&gauge, number(-0.0));
    feed_value(&gauge, number(0.0));
    assert_int_equal(count_of(&gauge), 2);
    feed_value(&gauge, text("7.0"));
    feed_value(&gauge, text("true"));
    feed_value(&gauge, (struct mr_value){.kind = MR_BOOLEAN, .number = 1});
    assert_int_equal(count_of(&gauge), 4);
    gauge_finish(&gauge);
}

static void the_empty_text_is_a_value(void **state) {
    struct gauge gauge = gauge_of(type, 14);
    feed_value(&gauge, text(""));
    feed_value(&gauge, text(""));
    assert_int_equal(count_of(&gauge), 1);
    gauge_finish(&gauge);
}

static void integers_beyond_a_double_differ(void **state) {
    struct gauge gauge = gauge_of(type, 14);
    feed_value(&gauge, integer(INT64_MAX));
    feed_value(&gauge, integer(INT64_MAX - 1));
    feed_value(&gauge, integer(INT64_MIN));
    assert_int_equal(count_of(&gauge), 3);
    gauge_finish(&gauge);
}

static void a_gap_is_no_value(void **state) {
    const double x[] = {1, NAN, 2, INFINITY, 1};
    struct gauge gauge = gauge_of(type, 14);
    feed_f64(&gauge, x, 5);
    feed_value(&gauge, number(NAN));
    assert_int_equal(count_of(&gauge), 2);
    gauge_finish(&gauge);
}

static void nothing_counts_as_none(void **state) {
    struct gauge gauge = gauge_of(type, 14);
    assert_int_equal(count_of(&gauge), 0);
    gauge_finish(&gauge);
}

static void assert_settled(double error, uint32_t bits) {
    uint32_t settings = 0;
    type->settle(&settings, result_of(type, "distinct"), &error);
    assert_int_equal(settings, bits);
    assert_true(1.04 / sqrt((double)(1u << bits)) <= error);
    assert_true(1.04 / sqrt((double)(1u << (bits - 1))) > error);
}

static void the_fewest_registers_that_keep_the_error_are_taken(void **state) {
    assert_settled(0.01, 14);
    assert_settled(0.003, 17);
    assert_settled(0.02, 12);
    assert_settled(0.05, 9);
    assert_settled(0.1, 7);
}

static void a_field_takes_its_smallest_error(void **state) {
    uint32_t settings = 0;
    double wide = 0.05, narrow = 0.01;
    char layout[32];
    type->settle(&settings, result_of(type, "distinct"), &wide);
    type->settle(&settings, result_of(type, "distinct_sketch"), &narrow);
    type->settle(&settings, result_of(type, "distinct"), &wide);
    type->describe(&settings, layout, sizeof layout);
    assert_string_equal(layout, "bits=14");
}

static void the_sketch_is_the_packed_form(void **state) {
    struct gauge gauge = gauge_of(type, 7);
    struct mr_accumulator room = {0};
    for (int i = 0; i < 100; i++) {
        feed_value(&gauge, integer(i));
        struct mr_accumulator bytes = packed(&gauge);
        struct mr_value value;
        const struct mr_question question = {.settings = gauge.settings, .bytes = &room};
        result_of(type, "distinct_sketch")->compute(&gauge.accumulator, &question, &value);
        assert_int_equal(value.kind, MR_BYTES);
        assert_true(mr_slice_equal(value.text, slice_of(&bytes)));
        free(bytes.body);
    }
    free(room.body);
    gauge_finish(&gauge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_one_when_their_texts_are),
        cmocka_unit_test(the_empty_text_is_a_value),
        cmocka_unit_test(integers_beyond_a_double_differ),
        cmocka_unit_test(a_gap_is_no_value),
        cmocka_unit_test(nothing_counts_as_none),
        cmocka_unit_test(the_fewest_registers_that_keep_the_error_are_taken),
        cmocka_unit_test(a_field_takes_its_smallest_error),
        cmocka_unit_test(the_sketch_is_the_packed_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
