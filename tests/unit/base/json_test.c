/* The face over the JSON library: what it takes, what it refuses, what it writes. */
#include <millrace/json.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct mr_json *json;
static struct mr_error err;

static int setup(void **state) {
    json = mr_json_create();
    err.text[0] = 0;
    return 0;
}

static int teardown(void **state) {
    mr_json_destroy(json);
    return 0;
}

static const struct mr_json_value *parse(const char *text) {
    return mr_json_parse(json, mr_slice_of(text), &err);
}

static void assert_text(struct mr_slice slice, const char *text) {
    assert_int_equal(slice.length, strlen(text));
    assert_memory_equal(slice.data, text, slice.length);
}

static void an_object_is_walked_name_by_name(void **state) {
    const struct mr_json_value *object =
        parse(" {\"dev\":\"a\\u00e9\\n\",\"list\":[1,[2.5,{}],null],\"ok\":true} ");
    assert_non_null(object);
    assert_int_equal(mr_json_kind(object), MR_JSON_OBJECT);
    assert_int_equal(mr_json_count(object), 3);

    const struct mr_json_value *name = mr_json_first(object);
    assert_text(mr_json_string(name), "dev");
    assert_int_equal(mr_json_kind(mr_json_member(name)), MR_JSON_STRING);
    assert_text(mr_json_string(mr_json_member(name)), "a\xc3\xa9\n");

    name = mr_json_next(mr_json_member(name));
    assert_text(mr_json_string(name), "list");
    const struct mr_json_value *list = mr_json_member(name);
    assert_int_equal(mr_json_kind(list), MR_JSON_ARRAY);
    assert_int_equal(mr_json_count(list), 3);
    const struct mr_json_value *item = mr_json_first(list);
    assert_int_equal(mr_json_integer(item), 1);
    assert_true(mr_json_number(item) == 1.0);
    item = mr_json_next(item);
    assert_true(mr_json_number(mr_json_first(item)) == 2.5);
    item = mr_json_next(item);
    assert_int_equal(mr_json_kind(item), MR_JSON_NULL);

    name = mr_json_next(list);
    assert_text(mr_json_string(name), "ok");
    assert_int_equal(mr_json_kind(mr_json_member(name)), MR_JSON_BOOLEAN);
    assert_true(mr_json_boolean(mr_json_member(name)));
}

static enum mr_json_kind kind_of(const char *text) {
    const struct mr_json_value *value = parse(text);
    assert_non_null(value);
    return mr_json_kind(value);
}

static void an_integer_is_what_int64_holds(void **state) {
    assert_int_equal(kind_of("9223372036854775807"), MR_JSON_INTEGER);
    assert_int_equal(mr_json_integer(parse("9223372036854775807")), INT64_MAX);
    assert_int_equal(kind_of("-9223372036854775808"), MR_JSON_INTEGER);
    assert_int_equal(mr_json_integer(parse("-9223372036854775808")), INT64_MIN);
    assert_int_equal(kind_of("9223372036854775808"), MR_JSON_NUMBER);
    assert_true(mr_json_number(parse("9223372036854775808")) == 0x1p63);
    assert_int_equal(kind_of("-9223372036854775809"), MR_JSON_NUMBER);
    assert_int_equal(kind_of("123456789012345678901234567890"), MR_JSON_NUMBER);
    assert_int_equal(kind_of("1.0"), MR_JSON_NUMBER);
    assert_true(mr_json_number(parse("0.1")) == 0.1);
    assert_true(mr_json_number(parse("2.2250738585072011e-308")) == 2.2250738585072011e-308);
    assert_true(signbit(mr_json_number(parse("-0.0"))));
}

static void what_the_standard_does_not_have_is_refused(void **state) {
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,}",
                                      "[1] x",
                                      "// c\n1",
                                      "NaN",
                                      "[Infinity]",
                                      "-Infinity",
                                      "1e999",
                                      "-1e999",
                                      "01",
                                      "+1",
                                      ".5",
                                      "5.",
                                      "1e",
                                      "'a'",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\xff\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xc0\x80\"",
                                      "\"a\nb\"",
                                      "\"\\x41\"",
                                      "{\"a\" 1}",
                                      "{1:2}",
                                      "[1 2]",
                                      "\xef\xbb\xbf[1]",
                                      "tru",
                                      "\"open",
                                      "[1]\f",
                                      "0x10",
                                      "[\"a\\\"]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(parse(bad[i]));
        assert_non_null(strstr(err.text, "at byte "));
    }
    assert_null(mr_json_parse(json, (struct mr_slice){NULL, 0}, &err));
    assert_null(mr_json_parse(json, (struct mr_slice){"[1]\0", 4}, &err));
    assert_null(mr_json_parse(json, (struct mr_slice){"[\0]", 3}, NULL));
}

static void the_position_of_a_fault_is_named(void **state) {
    assert_null(parse("{\"a\": 1, \"b\": x}"));
    assert_non_null(strstr(err.text, "at byte 14:"));
}

static const struct mr_json_value *parse_nested(int depth, const char *before, const char *after) {
    char text[1000];
    int at = snprintf(text, sizeof text, "%s", before);
    for (int i = 0; i < depth; i++) {
        text[at++] = '[';
    }
    for (int i = 0; i < depth; i++) {
        text[at++] = ']';
    }
    snprintf(text + at, sizeof text - (size_t)at, "%s", after);
    return parse(text);
}

static void thirty_two_levels_are_the_limit(void **state) {
    assert_non_null(parse_nested(32, "", ""));
    assert_null(parse_nested(33, "", ""));
    assert_string_equal(err.text, "JSON nested more than 32 deep at byte 32");
    assert_non_null(parse_nested(31, "[", "]"));
    assert_null(parse_nested(32, "{\"a\":", "}"));
}

static void brackets_beside_each_other_and_in_strings_are_no_depth(void **state) {
    assert_non_null(parse_nested(31, "[[],[],{},[],[],[],[],[],\"[[[[\\\"[[[[\\\\\",", "]"));
    assert_null(parse_nested(32, "[[],[],{},[],[],[],[],[],\"[[[[\\\"[[[[\\\\\",", "]"));
    assert_non_null(parse_nested(1, "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\",", "]"));
}

static void a_million_brackets_are_refused(void **state) {
    static char text[1000000];
    memset(text, '[', sizeof text);
    assert_null(mr_json_parse(json, (struct mr_slice){text, sizeof text}, &err));
    memset(text, '{', sizeof text);
    assert_null(mr_json_parse(json, (struct mr_slice){text, sizeof text}, &err));
}

static void a_parser_is_reused_from_small_to_giant_and_back(void **state) {
    const size_t length = (20 << 20) + 1;
    char *text = malloc(length);
    memset(text, '1', length);
    for (size_t i = 2; i < length; i += 2) {
        text[i] = ',';
    }
    text[0] = '[';
    text[length - 1] = ']';
    assert_int_equal(kind_of("17"), MR_JSON_INTEGER);
    const struct mr_json_value *array = mr_json_parse(json, (struct mr_slice){text, length}, &err);
    assert_non_null(array);
    assert_int_equal(mr_json_count(array), (length - 1) / 2);
    assert_int_equal(mr_json_integer(parse("17")), 17);
    free(text);
}

static void assert_number(double x, const char *expected) {
    char out[MR_JSON_NUMBER_MAX];
    assert_text((struct mr_slice){out, mr_json_write_number(out, x)}, expected);
}

static void numbers_are_written_short_and_as_numbers_with_a_fraction(void **state) {
    assert_number(0.1, "0.1");
    assert_number(1, "1.0");
    assert_number(-0.0, "-0.0");
    assert_number(60, "60.0");
    assert_number(5e-324, "5e-324");
    assert_number(1.7976931348623157e308, "1.7976931348623157e308");
    assert_number(0.30000000000000004, "0.30000000000000004");
    assert_number(NAN, "null");
    assert_number(INFINITY, "null");
    assert_number(-INFINITY, "null");
}

static void every_written_number_comes_back(void **state) {
    uint64_t seed = 3;
    for (int i = 0; i < 20000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        double x;
        memcpy(&x, &seed, sizeof x);
        char out[MR_JSON_NUMBER_MAX + 1];
        size_t length = mr_json_write_number(out, x);
        assert_true(length <= MR_JSON_NUMBER_MAX);
        out[length] = 0;
        if (!isfinite(x)) {
            assert_string_equal(out, "null");
            continue;
        }
        assert_non_null(strpbrk(out, ".e"));
        double back = strtod(out, NULL);
        assert_memory_equal(&back, &x, sizeof x);
    }
}

static void integers_are_written_to_the_ends(void **state) {
    char out[MR_JSON_NUMBER_MAX];
    assert_text((struct mr_slice){out, mr_json_write_integer(out, INT64_MIN)},
                "-9223372036854775808");
    assert_text((struct mr_slice){out, mr_json_write_integer(out, 0)}, "0");
}

static void assert_string(const char *text, size_t length, const char *expected) {
    char *out = malloc(6 * length + 2); /* as much as the header says */
    size_t written = mr_json_write_string(out, (struct mr_slice){text, length});
    assert_text((struct mr_slice){out, written}, expected);
    free(out);
}

static void strings_are_quoted_and_escaped(void **state) {
    assert_string("", 0, "\"\"");
    assert_string("pump 7", 6, "\"pump 7\"");
    assert_string("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
    assert_string("\b\f\n\r\t\0\x1f", 7, "\"\\b\\f\\n\\r\\t\\u0000\\u001f\"");
    assert_string("\x7f\xc3\xa9\xf0\x9f\x98\x80", 7, "\"\x7f\xc3\xa9\xf0\x9f\x98\x80\"");
}

static void bytes_that_are_not_utf8_are_replaced(void **state) {
    assert_string("a\xff"
                  "b\n",
                  4,
                  "\"a\xef\xbf\xbd"
                  "b\\n\"");
    assert_string("\xff\xfe\xfd", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void base64_is_that_of_rfc_4648(void **state) {
    static const char *const vectors[][2] = {{"", "\"\""},
                                             {"f", "\"Zg==\""},
                                             {"fo", "\"Zm8=\""},
                                             {"foo", "\"Zm9v\""},
                                             {"foob", "\"Zm9vYg==\""},
                                             {"fooba", "\"Zm9vYmE=\""},
                                             {"foobar", "\"Zm9vYmFy\""},
                                             {"\xfb\xff\xbf", "\"+/+/\""}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        size_t length = strlen(vectors[i][0]);
        char *out = malloc(4 * ((length + 2) / 3) + 2);
        size_t written = mr_json_write_base64(out, mr_slice_of(vectors[i][0]));
        assert_text((struct mr_slice){out, written}, vectors[i][1]);
        free(out);
    }
}

static void destroying_no_parser_does_nothing(void **state) {
    mr_json_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void assert_value_text(struct mr_value value, const char *expected) {
    char room[MR_JSON_NUMBER_MAX];
    assert_text(mr_value_text(&value, room), expected);
}

static void a_whole_number_reads_like_one_however_it_was_written(void **state) {
    assert_value_text((struct mr_value){.kind = MR_NUMBER, .number = 7.0}, "7");
    assert_value_text((struct mr_value){.kind = MR_NUMBER, .number = -0.0}, "0");
    assert_value_text((struct mr_value){.kind = MR_INTEGER, .integer = 7}, "7");
    assert_value_text((struct mr_value){.kind = MR_INTEGER, .integer = INT64_MIN},
                      "-9223372036854775808");
}

static void other_numbers_are_written_shortest(void **state) {
    assert_value_text((struct mr_value){.kind = MR_NUMBER, .number = 0.1}, "0.1");
    assert_value_text((struct mr_value){.kind = MR_NUMBER, .number = 1e300}, "1e300");
    assert_value_text((struct mr_value){.kind = MR_NUMBER, .number = 1e15}, "1000000000000000.0");
    assert_value_text((struct mr_value){.kind = MR_NUMBER, .number = NAN}, "null");
    assert_value_text((struct mr_value){.kind = MR_NUMBER, .number = INFINITY}, "null");
}

static void texts_and_booleans_are_what_they_are_and_nothing_is_empty(void **state) {
    assert_value_text((struct mr_value){.kind = MR_TEXT, .text = mr_slice_of("7.0")}, "7.0");
    assert_value_text((struct mr_value){.kind = MR_BOOLEAN, .number = 1}, "true");
    assert_value_text((struct mr_value){.kind = MR_BOOLEAN, .number = 0}, "false");
    assert_value_text((struct mr_value){.kind = MR_ABSENT}, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_walked_name_by_name),
        TEST(an_integer_is_what_int64_holds),
        TEST(what_the_standard_does_not_have_is_refused),
        TEST(the_position_of_a_fault_is_named),
        TEST(thirty_two_levels_are_the_limit),
        TEST(brackets_beside_each_other_and_in_strings_are_no_depth),
        TEST(a_million_brackets_are_refused),
        TEST(a_parser_is_reused_from_small_to_giant_and_back),
        TEST(numbers_are_written_short_and_as_numbers_with_a_fraction),
        TEST(every_written_number_comes_back),
        TEST(integers_are_written_to_the_ends),
        TEST(strings_are_quoted_and_escaped),
        TEST(bytes_that_are_not_utf8_are_replaced),
        TEST(base64_is_that_of_rfc_4648),
        TEST(destroying_no_parser_does_nothing),
        cmocka_unit_test(a_whole_number_reads_like_one_however_it_was_written),
        cmocka_unit_test(other_numbers_are_written_shortest),
        cmocka_unit_test(texts_and_booleans_are_what_they_are_and_nothing_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
