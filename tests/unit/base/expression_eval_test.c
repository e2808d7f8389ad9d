/* What expressions yield: on events, on arrays, on what is absent. */
#include "tests/unit/base/expression_fields.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static struct mr_expression *parse(const char *text) {
    struct mr_expression *expression = NULL;
    enum mr_kind kind;
    size_t at;
    struct mr_error err = {""};
    mr_expression_parse(mr_slice_of(text), &scope, arena, &expression, &kind, &at, &err);
    assert_string_equal(err.text, "");
    return expression;
}

static struct mr_value number(double x) {
    return (struct mr_value){.kind = MR_NUMBER, .number = x};
}

static struct mr_value text(const char *x) {
    return (struct mr_value){.kind = MR_TEXT, .text = mr_slice_of(x)};
}

/* ---- Events -------------------------------------------------------------------------------- */

static struct mr_value event_values[FIELDS];
static struct mr_record event = {.values = event_values, .samples = 1};

static void set_event(void) {
    memset(event_values, 0, sizeof event_values);
    event_values[X] = number(3);
    event_values[DEVICE] = text("pump");
    event_values[OK] = (struct mr_value){.kind = MR_BOOLEAN, .number = 1};
    event_values[COUNT] = (struct mr_value){.kind = MR_INTEGER, .number = 7, .integer = 7};
}

static double value(const char *expression) {
    struct mr_value out;
    mr_expression_value(parse(expression), &event, arena, &out);
    assert_int_equal(out.kind, MR_NUMBER);
    return out.number;
}

static enum mr_kind kind(const char *expression) {
    struct mr_value out;
    mr_expression_value(parse(expression), &event, arena, &out);
    return out.kind;
}

static bool keeps(const char *expression) {
    static const uint8_t stale = 1;
    const uint8_t *mask = &stale;
    bool kept = mr_expression_keeps(parse(expression), &event, arena, &mask);
    assert_null(mask);
    return kept;
}

static void arithmetic_binds_as_at_school(void **state) {
    set_event();
    assert_true(value("1 + 2 * 3") == 7);
    assert_true(value("(1 + 2) * 3") == 9);
    assert_true(value("10 - 4 - 3") == 3);
    assert_true(value("24 / 4 / 2") == 3);
    assert_true(value("-x * 2") == -6);
    assert_true(value("2 - -x") == 5);
    assert_true(value("x * 1.5e1 / (count - 2)") == 9);
    assert_true(value("- - -2") == -2);
    assert_true(value("1 / 0 * x") == (double)INFINITY);
}

static void conditions_bind_as_in_python(void **state) {
    set_event();
    assert_true(keeps("x = 3"));
    assert_true(keeps("not x = 4"));
    assert_true(keeps("x = 3 or x = 4 and x = 5"));
    assert_false(keeps("(x = 3 or x = 4) and x = 5"));
    assert_false(keeps("not x = 3 or x = 4"));
    assert_true(keeps("not (x = 4 or x = 5)"));
    assert_true(keeps("not not ok"));
    assert_true(keeps("ok and count = 7"));
    assert_true(keeps("x + 1 <= 4 and x >= 3 and x < 3.5 and x > 2.5 and x != 4"));
    assert_false(keeps("x < 3 or x > 3 or x != 3"));
}

static void texts_are_equal_or_not(void **state) {
    set_event();
    assert_true(keeps("device = 'pump'"));
    assert_true(keeps("device != \"pum\""));
    assert_false(keeps("device = ''"));
    assert_true(keeps("'a' = 'a'"));
}

static void an_absent_field_makes_arithmetic_absent_and_comparisons_false(void **state) {
    set_event();
    assert_int_equal(kind("y"), MR_ABSENT);
    assert_int_equal(kind("x + y"), MR_ABSENT);
    assert_int_equal(kind("-(1 + y)"), MR_ABSENT);
    assert_false(keeps("y = y"));
    assert_false(keeps("y != 1"));
    assert_false(keeps("algo.name != 'A'"));
    assert_false(keeps("any"));
    assert_true(keeps("not y > 0"));
    assert_true(keeps("y > 0 or x > 0"));
    assert_false(keeps("current > 0"));
}

static void a_field_of_any_kind_is_what_it_is_in_this_record(void **state) {
    set_event();
    event_values[ANY] = text("on");
    assert_true(keeps("any = 'on'"));
    assert_false(keeps("any = 1"));
    assert_false(keeps("any != 1"));
    assert_int_equal(kind("any + 1"), MR_ABSENT);
    assert_int_equal(kind("any"), MR_TEXT);
    event_values[ANY] = number(4);
    assert_true(keeps("any = 4 and any < 5"));
    assert_false(keeps("any = 'on'"));
    assert_true(value("any + 1") == 5);
    event_values[ANY] = (struct mr_value){.kind = MR_BOOLEAN, .number = 1};
    assert_true(keeps("any"));
    assert_int_equal(kind("any * 2"), MR_ABSENT);
}

static void no_number_compares_with_nothing(void **state) {
    set_event();
    event_values[Y] = number((double)NAN);
    assert_false(keeps("y = y"));
    assert_false(keeps("y != y"));
    assert_false(keeps("y < 1 or y >= 1"));
}

static void a_value_keeps_its_kind(void **state) {
    set_event();
    struct mr_value out;
    mr_expression_value(parse("count"), &event, arena, &out);
    assert_int_equal(out.kind, MR_INTEGER);
    assert_int_equal(out.integer, 7);
    mr_expression_value(parse("device"), &event, arena, &out);
    assert_true(mr_slice_equal(out.text, mr_slice_of("pump")));
    mr_expression_value(parse("x > 1"), &event, arena, &out);
    assert_int_equal(out.kind, MR_BOOLEAN);
    assert_true(out.number == 1);
}

/* ---- Arrays -------------------------------------------------------------------------------- */

enum { N = 2500 }; /* two blocks and a rest */

static float current[N], voltage[N];
static double wide[N];
static struct mr_value frame_values[FIELDS];
static struct mr_record frame = {.values = frame_values, .samples = N, .rate_hz = 1000};

static void set_frame(void) {
    uint64_t seed = 11;
    for (int i = 0; i < N; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        current[i] = (float)((double)(int64_t)seed * 0x1p-60);
        voltage[i] = (float)((double)(seed >> 11) * 0x1p-50 + 1);
        wide[i] = (double)(int64_t)(seed * 3) * 0x1p-61;
    }
    memset(frame_values, 0, sizeof frame_values);
    frame_values[CURRENT] = (struct mr_value){.kind = MR_F32, .f32 = current};
    frame_values[VOLTAGE] = (struct mr_value){.kind = MR_F32, .f32 = voltage};
    frame_values[WIDE] = (struct mr_value){.kind = MR_F64, .f64 = wide};
    frame_values[X] = number(0.1);
    frame_values[DEVICE] = text("pump");
    frame.mask = NULL;
}

static const float *f32(const char *expression) {
    struct mr_value out;
    mr_expression_value(parse(expression), &frame, arena, &out);
    assert_int_equal(out.kind, MR_F32);
    return out.f32;
}

static void a_product_of_two_float_arrays_is_the_float_product(void **state) {
    set_frame();
    const float *power = f32("current * voltage");
    for (int i = 0; i < N; i++) {
        float expected = current[i] * voltage[i];
        assert_memory_equal(&power[i], &expected, sizeof expected);
    }
}

static void array_arithmetic_is_done_in_double_and_rounded_once(void **state) {
    set_frame();
    const float *out = f32("(current + voltage) * x - current / (voltage + 2) - -1");
    for (int i = 0; i < N; i++) {
        double c = (double)current[i], v = (double)voltage[i];
        float expected = (float)((c + v) * 0.1 - c / (v + 2) + 1);
        assert_memory_equal(&out[i], &expected, sizeof expected);
    }
}

static void with_a_double_array_the_result_is_a_double_array(void **state) {
    set_frame();
    struct mr_value out;
    mr_expression_value(parse("-wide * current"), &frame, arena, &out);
    assert_int_equal(out.kind, MR_F64);
    for (int i = 0; i < N; i++) {
        assert_true(out.f64[i] == -wide[i] * (double)current[i]);
    }
}

static void an_array_field_by_itself_is_not_copied(void **state) {
    set_frame();
    assert_ptr_equal(f32("current"), current);
}

static void an_absent_operand_makes_the_whole_array_absent(void **state) {
    set_frame();
    struct mr_value out;
    mr_expression_value(parse("current * y"), &frame, arena, &out);
    assert_int_equal(out.kind, MR_ABSENT);
}

/* Checks the mask against `expected`, computed sample by sample. */
static void assert_mask(const char *expression, const uint8_t expected[N]) {
    const uint8_t *mask;
    bool kept = mr_expression_keeps(parse(expression), &frame, arena, &mask);
    assert_int_equal(kept, memchr(expected, 1, N) != NULL);
    if (!memchr(expected, 0, N)) {
        assert_null(mask);
    } else {
        assert_non_null(mask);
        assert_memory_equal(mask, expected, N);
    }
}

static void a_condition_on_arrays_is_a_mask(void **state) {
    set_frame();
    current[17] = NAN;
    current[1030] = INFINITY;
    uint8_t range[N], either[N], wide_more[N], unequal[N], mixed[N];
    for (int i = 0; i < N; i++) {
        range[i] = (double)current[i] > -4.1 && current[i] < 4;
        either[i] = current[i] >= 2 || !(voltage[i] <= 4);
        wide_more[i] = wide[i] > (double)current[i];
        unequal[i] = !isnan(current[i]) && current[i] != current[3];
        mixed[i] = !(current[i] < 1);
    }
    assert_mask("current > -4.1 and current < 4", range);
    assert_mask("current >= 2 or not voltage <= 4", either);
    assert_mask("wide > current", wide_more);
    frame_values[X] = number((double)current[3]);
    assert_mask("current != x", unequal);
    assert_mask("device = 'pump' and not current < 1 or y > 3", mixed);
}

static void a_mask_that_keeps_all_is_none(void **state) {
    set_frame();
    uint8_t all[N];
    memset(all, 1, N);
    assert_mask("current > -1000 and current < 1000", all);
    assert_mask("device = 'pump'", all);
    memset(all, 0, N);
    assert_mask("current > 1000", all);
    assert_mask("current > y", all);
    const uint8_t *mask;
    assert_false(mr_expression_keeps(parse("device = 'fan'"), &frame, arena, &mask));
}

static void what_was_refused_before_stays_refused(void **state) {
    set_frame();
    uint8_t before[N], expected[N];
    for (int i = 0; i < N; i++) {
        before[i] = i % 3 != 0;
        expected[i] = before[i] && current[i] > 0;
    }
    frame.mask = before;
    assert_mask("current > 0", expected);
    const uint8_t *mask;
    assert_true(mr_expression_keeps(parse("device = 'pump'"), &frame, arena, &mask));
    assert_ptr_equal(mask, before);
}

/* The limit is rounded to float; no float may change sides. */
static void a_float_array_meets_a_limit_as_in_double(void **state) {
    static const char *const limits[] = {"0.1",   "-0.1",   "16777217",
                                         "1e300", "-1e300", "1e-60",
                                         "0",     "1e-45",  "3.4028235677973366e38"};
    static const char *const ops[] = {"<", "<=", ">", ">=", "=", "!="};
    set_frame();
    size_t used = 0;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        float near = (float)strtod(limits[i], NULL);
        current[used++] = near;
        current[used++] = nextafterf(near, INFINITY);
        current[used++] = nextafterf(near, -INFINITY);
    }
    current[used++] = NAN;
    current[used++] = -0.0f;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        double limit = strtod(limits[i], NULL);
        for (int op = 0; op < 6; op++) {
            uint8_t expected[N];
            for (int k = 0; k < N; k++) {
                double c = (double)current[k];
                bool answers[] = {c<limit, c <= limit, c> limit, c >= limit, c == limit,
                                  c < limit || c > limit};
                expected[k] = answers[op];
            }
            char expression[64];
            snprintf(expression, sizeof expression, "current %s %s", ops[op], limits[i]);
            assert_mask(expression, expected);
        }
    }
}

static void a_condition_may_become_an_array_and_a_condition_again(void **state) {
    set_frame();
    current[5] = NAN;
    struct mr_value high;
    mr_expression_value(parse("current > 1"), &frame, arena, &high);
    assert_int_equal(high.kind, MR_F32);
    frame_values[OK] = high;
    uint8_t expected[N];
    for (int i = 0; i < N; i++) {
        expected[i] = current[i] > 1;
        assert_true(high.f32[i] == (float)expected[i]);
    }
    assert_mask("ok", expected);
    assert_mask("ok and ok", expected);
}

static void short_arrays_work_as_long_ones(void **state) {
    set_frame();
    for (size_t n = 1; n < 40; n++) {
        frame.samples = n;
        const float *out = f32("current + voltage * 2");
        assert_true(out[n - 1] == (float)((double)current[n - 1] + (double)voltage[n - 1] * 2));
    }
    frame.samples = N;
}

static void a_right_leaning_tree_has_rows_enough(void **state) {
    set_frame();
    struct mr_buffer text_of = {0};
    for (int i = 0; i < 60; i++) {
        mr_buffer_text(&text_of, "current - (");
    }
    mr_buffer_text(&text_of, "voltage");
    for (int i = 0; i < 60; i++) {
        mr_buffer_text(&text_of, ")");
    }
    mr_buffer_add(&text_of, "", 1);
    const float *out = f32(text_of.data);
    double expected = (double)voltage[N - 1];
    for (int i = 0; i < 60; i++) {
        expected = (double)current[N - 1] - expected;
    }
    assert_true(out[N - 1] == (float)expected);
    mr_buffer_finish(&text_of);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(arithmetic_binds_as_at_school),
        TEST(conditions_bind_as_in_python),
        TEST(texts_are_equal_or_not),
        TEST(an_absent_field_makes_arithmetic_absent_and_comparisons_false),
        TEST(a_field_of_any_kind_is_what_it_is_in_this_record),
        TEST(no_number_compares_with_nothing),
        TEST(a_value_keeps_its_kind),
        TEST(a_product_of_two_float_arrays_is_the_float_product),
        TEST(array_arithmetic_is_done_in_double_and_rounded_once),
        TEST(with_a_double_array_the_result_is_a_double_array),
        TEST(an_array_field_by_itself_is_not_copied),
        TEST(an_absent_operand_makes_the_whole_array_absent),
        TEST(a_condition_on_arrays_is_a_mask),
        TEST(a_mask_that_keeps_all_is_none),
        TEST(what_was_refused_before_stays_refused),
        TEST(a_float_array_meets_a_limit_as_in_double),
        TEST(a_condition_may_become_an_array_and_a_condition_again),
        TEST(short_arrays_work_as_long_ones),
        TEST(a_right_leaning_tree_has_rows_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
