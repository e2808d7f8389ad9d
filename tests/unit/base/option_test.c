/* Scalars of option tables. */
#include <millrace/option.h>

#include "engine/base/base.h"

#include <setjmp.h>

#include <cmocka.h>

struct settings {
    const char *topic;
    double factor, share;
    int64_t grace, memory;
    bool closed;
    int late;
};

#define AT(member) .offset = offsetof(struct settings, member)

enum { TOPIC, FACTOR, SHARE, GRACE, MEMORY, CLOSED, LATE };

static const struct mr_option table[] = {
    {.name = "topic", .type = MR_OPTION_TEXT, AT(topic), .fallback = "waves"},
    {.name = "factor", .type = MR_OPTION_NUMBER, AT(factor), .fallback = "2.5"},
    {.name = "share", .type = MR_OPTION_SHARE, AT(share), .fallback = "5%"},
    {.name = "grace",
     .type = MR_OPTION_DURATION,
     AT(grace),
     .fallback = "5s",
     .minimum = 1e6,
     .maximum = 3600e9},
    {.name = "memory", .type = MR_OPTION_SIZE, AT(memory), .fallback = "1GiB", .minimum = 1 << 20},
    {.name = "closed", .type = MR_OPTION_BOOL, AT(closed), .fallback = "true"},
    {.name = "late",
     .type = MR_OPTION_CHOICE,
     AT(late),
     .choices = "revise|drop|dead_letter",
     .fallback = "drop"},
    {0},
};

static struct mr_arena *arena;
static struct settings settings;
static struct mr_error err;

static int setup(void **state) {
    arena = mr_arena_create();
    settings = (struct settings){0};
    err.text[0] = 0;
    return 0;
}

static int teardown(void **state) {
    mr_arena_destroy(arena);
    return 0;
}

static enum mr_status parse(int row, const char *text) {
    return mr_option_parse(&table[row], mr_slice_of(text), &settings, arena, &err);
}

static void fallbacks_fill_a_whole_struct(void **state) {
    mr_option_defaults(table, &settings, arena);
    assert_string_equal(settings.topic, "waves");
    assert_true(settings.factor == 2.5);
    assert_true(settings.share == 0.05);
    assert_int_equal(settings.grace, 5 * MR_SECOND);
    assert_int_equal(settings.memory, 1 << 30);
    assert_true(settings.closed);
    assert_int_equal(settings.late, 1);
}

static void a_text_is_copied(void **state) {
    char text[] = "abc";
    assert_int_equal(parse(TOPIC, text), MR_OK);
    text[0] = 'x';
    assert_string_equal(settings.topic, "abc");
    assert_int_equal(parse(TOPIC, ""), MR_OK);
    assert_string_equal(settings.topic, "");
    struct mr_slice zero = {"a\0b", 3};
    assert_int_equal(mr_option_parse(&table[TOPIC], zero, &settings, arena, &err), MR_REJECT);
}

static void a_wrong_value_is_answered_with_what_was_expected(void **state) {
    assert_int_equal(parse(GRACE, "5"), MR_REJECT);
    assert_non_null(strstr(err.text, "expected a duration with a unit, such as 5s or 10m"));
    assert_int_equal(parse(MEMORY, "lots"), MR_REJECT);
    assert_non_null(strstr(err.text, "expected a size with a unit, such as 64KiB"));
    assert_int_equal(parse(SHARE, "0.05"), MR_REJECT);
    assert_non_null(strstr(err.text, "such as 5%"));
    assert_int_equal(parse(SHARE, "101%"), MR_REJECT);
    assert_int_equal(parse(SHARE, "%"), MR_REJECT);
    assert_int_equal(parse(FACTOR, "many"), MR_REJECT);
    assert_non_null(strstr(err.text, "expected a number"));
    assert_int_equal(parse(CLOSED, "yes"), MR_REJECT);
    assert_string_equal(err.text, "expected true or false");
}

static void a_wrong_choice_lists_the_choices_and_suggests_one(void **state) {
    assert_int_equal(parse(LATE, "dead_leter"), MR_REJECT);
    assert_string_equal(err.text, "expected one of revise, drop, dead_letter; "
                                  "did you mean `dead_letter`?");
    assert_int_equal(parse(LATE, ""), MR_REJECT);
    assert_string_equal(err.text, "expected one of revise, drop, dead_letter");
    assert_int_equal(parse(LATE, "revise|drop"), MR_REJECT);
}

static void a_value_beyond_its_bounds_is_refused_in_its_own_unit(void **state) {
    assert_int_equal(parse(GRACE, "1us"), MR_REJECT);
    assert_string_equal(err.text, "expected at least 1ms");
    assert_int_equal(parse(GRACE, "2h"), MR_REJECT);
    assert_string_equal(err.text, "expected at most 1h");
    assert_int_equal(parse(MEMORY, "1KiB"), MR_REJECT);
    assert_string_equal(err.text, "expected at least 1 MiB");
    assert_int_equal(parse(MEMORY, "1TiB"), MR_OK);
}

static void a_refused_value_changes_nothing(void **state) {
    mr_option_defaults(table, &settings, arena);
    assert_int_equal(parse(GRACE, "1us"), MR_REJECT);
    assert_int_equal(parse(LATE, "never"), MR_REJECT);
    assert_int_equal(settings.grace, 5 * MR_SECOND);
    assert_int_equal(settings.late, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fallbacks_fill_a_whole_struct, setup, teardown),
        cmocka_unit_test_setup_teardown(a_text_is_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_value_is_answered_with_what_was_expected, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_wrong_choice_lists_the_choices_and_suggests_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_value_beyond_its_bounds_is_refused_in_its_own_unit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_refused_value_changes_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
