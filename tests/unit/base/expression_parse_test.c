/* What expressions are, what they are not, and how that is said. */
#include "tests/unit/base/expression_fields.h"

#include <setjmp.h>

#include <cmocka.h>

static enum mr_kind kind_of(const char *text) {
    struct mr_expression *expression;
    enum mr_kind kind;
    size_t at;
    struct mr_error err = {""};
    enum mr_status status =
        mr_expression_parse(mr_slice_of(text), &scope, arena, &expression, &kind, &at, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, MR_OK);
    return kind;
}

static void an_expression_has_a_kind(void **state) {
    assert_int_equal(kind_of("current * voltage"), MR_F32);
    assert_int_equal(kind_of("wide + 1"), MR_F32);
    assert_int_equal(kind_of("-current"), MR_F32);
    assert_int_equal(kind_of("x"), MR_NUMBER);
    assert_int_equal(kind_of("count"), MR_NUMBER);
    assert_int_equal(kind_of("2 * (x + 1) / any"), MR_NUMBER);
    assert_int_equal(kind_of("device"), MR_TEXT);
    assert_int_equal(kind_of("'a'"), MR_TEXT);
    assert_int_equal(kind_of("any"), MR_ABSENT);
    assert_int_equal(kind_of("ok"), MR_BOOLEAN);
    assert_int_equal(kind_of("current > -1000 and current < 1000"), MR_BOOLEAN);
    assert_int_equal(kind_of("not ok or device = \"it's\" and any != 'b'"), MR_BOOLEAN);
    assert_int_equal(kind_of("algo.name = 'A'"), MR_BOOLEAN);
    assert_int_equal(kind_of("any = 1 or any = 'one' or any = any or any"), MR_BOOLEAN);
}

static void assert_fault_of(struct mr_slice text, size_t where, const char *sentence) {
    struct mr_expression *expression;
    enum mr_kind kind;
    size_t at = SIZE_MAX;
    struct mr_error err = {""};
    enum mr_status status = mr_expression_parse(text, &scope, arena, &expression, &kind, &at, &err);
    assert_int_equal(status, MR_REJECT);
    assert_string_equal(err.text, sentence);
    assert_int_equal(at, where);
}

static void assert_fault(const char *text, size_t where, const char *sentence) {
    assert_fault_of(mr_slice_of(text), where, sentence);
}

static void a_fault_is_named_where_it_is(void **state) {
    static const char operand[] = "expected a number, a field or `(`";
    assert_fault("", 0, operand);
    assert_fault("x + ", 4, operand);
    assert_fault("x + * y", 4, operand);
    assert_fault("ok and", 6, operand);
    assert_fault("x and ok", 0, "expected a condition, such as x > 0, but this is a number");
    assert_fault("(x", 0, "this `(` is not closed");
    assert_fault("x)", 1, "this `)` closes nothing");
    assert_fault("x y", 2, "expected an operator or the end");
    assert_fault("(x y)", 3, "expected an operator or `)`");
    assert_fault("x + powr", 4, "unknown field `powr`");
    assert_fault("1 < x < 3", 6, "comparisons cannot be chained: write a < b and b < c");
    assert_fault("x > 'a", 4, "this text has no closing quote");
    assert_fault("x > 5s", 4, "`5s` is not a number");
    assert_fault("x > 1.", 4, "`1.` is not a number");
    assert_fault("x > 1e999", 4, "`1e999` is not a number");
    assert_fault("x > .5", 4, "`.` has no meaning here");
    assert_fault("x # y", 2, "`#` has no meaning here");
    assert_fault("x > not ok", 4, "`not` stands before a whole condition: write not (...)");
}

static void spellings_of_other_languages_are_answered(void **state) {
    assert_fault("x == 1", 2, "write `=` instead of `==`");
    assert_fault("ok && ok", 3, "write `and` instead of `&&`");
    assert_fault("ok || ok", 3, "write `or` instead of `||`");
    assert_fault("!ok", 0, "write `not` instead of `!`");
    assert_fault("x <> 1", 2, "write `!=` instead of `<>`");
}

static void kinds_that_do_not_go_together_are_refused(void **state) {
    assert_fault("x + device", 4, "expected a number, but this is a text");
    assert_fault("-ok", 1, "expected a number, but this is a condition");
    assert_fault("current * (x > 1)", 11, "expected a number, but this is a condition");
    assert_fault("not x", 4, "expected a condition, such as x > 0, but this is a number");
    assert_fault("ok and device", 7, "expected a condition, such as x > 0, but this is a text");
    assert_fault("device = 5", 9,
                 "a text is compared with a text only: this compares a text with a number");
    assert_fault("x = 'a'", 4,
                 "a text is compared with a text only: this compares a number with a text");
    assert_fault("device < 'b'", 0, "texts are compared with = and != only");
    assert_fault("ok = ok", 0, "a condition is not compared: write `x` or `not x`");
}

static void assert_repeated_fault(const char *part, int times, const char *sentence) {
    struct mr_buffer text = {0};
    for (int i = 0; i < times; i++) {
        mr_buffer_text(&text, part);
    }
    mr_buffer_text(&text, "x");
    struct mr_expression *expression;
    enum mr_kind kind;
    size_t at;
    struct mr_error err;
    assert_int_equal(
        mr_expression_parse(mr_buffer_slice(&text), &scope, arena, &expression, &kind, &at, &err),
        MR_REJECT);
    assert_non_null(strstr(err.text, sentence));
    mr_buffer_finish(&text);
}

static void deep_and_long_expressions_are_refused_not_run_into(void **state) {
    assert_repeated_fault("(", 3000, "nested more than 64 deep");
    assert_repeated_fault("-", 3000, "nested more than 64 deep");
    assert_repeated_fault("not ", 1000, "nested more than 64 deep");
    assert_repeated_fault("x+", 2000, "too large");
    assert_repeated_fault("x=1 or ", 500, "too large");
    assert_repeated_fault("                ", 1000, "at most 4096 bytes");
}

static void bytes_that_are_not_text_are_refused(void **state) {
    assert_fault_of((struct mr_slice){"x\xff", 2}, 0, "this is not valid UTF-8");
    assert_fault_of((struct mr_slice){"x \0", 3}, 2, "byte 0 has no meaning here");
    assert_fault_of((struct mr_slice){NULL, 0}, 0, "expected a number, a field or `(`");
}

static void nobody_has_to_take_the_sentence(void **state) {
    struct mr_expression *expression;
    enum mr_kind kind;
    size_t at;
    assert_int_equal(
        mr_expression_parse(mr_slice_of("("), &scope, arena, &expression, &kind, &at, NULL),
        MR_REJECT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_expression_has_a_kind),
        TEST(a_fault_is_named_where_it_is),
        TEST(spellings_of_other_languages_are_answered),
        TEST(kinds_that_do_not_go_together_are_refused),
        TEST(deep_and_long_expressions_are_refused_not_run_into),
        TEST(bytes_that_are_not_text_are_refused),
        TEST(nobody_has_to_take_the_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
