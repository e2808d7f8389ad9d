/* Quantities, numbers, UTF-8 and names. */
#include "engine/base/base.h"

#include <setjmp.h>

#include <cmocka.h>

static int64_t duration(const char *text) {
    int64_t ns;
    return mr_parse_duration(mr_slice_of(text), &ns) ? ns : -1;
}

static int64_t size(const char *text) {
    int64_t bytes;
    return mr_parse_size(mr_slice_of(text), &bytes) ? bytes : -1;
}

static double rate(const char *text) {
    double hz;
    return mr_parse_rate(mr_slice_of(text), &hz) ? hz : -1;
}

static void a_duration_is_read_exactly(void **state) {
    assert_int_equal(duration("250ms"), 250000000);
    assert_int_equal(duration("5s"), 5 * MR_SECOND);
    assert_int_equal(duration("1.5h"), 5400 * MR_SECOND);
    assert_int_equal(duration("7d"), 7 * 86400 * MR_SECOND);
    assert_int_equal(duration("0.1s"), 100000000);
    assert_int_equal(duration("0s"), 0);
    assert_int_equal(duration("17us"), 17000);
    assert_int_equal(duration("3m"), 180 * MR_SECOND);
    assert_int_equal(duration("106751d"), 106751 * (86400 * MR_SECOND));
}

static void a_duration_without_a_unit_is_refused(void **state) {
    assert_int_equal(duration("5"), -1);
    assert_int_equal(duration("0"), -1);
    assert_int_equal(duration(""), -1);
    assert_int_equal(duration("s"), -1);
}

static void a_duration_that_is_malformed_is_refused(void **state) {
    static const char *const bad[] = {"-5s", "+5s",   "5 s", "5sec", "1e3s", ".5s",
                                      "5.s", "1..5s", "5S",  " 5s",  "5s ",  "1,5s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(duration(bad[i]), -1);
    }
}

static void a_duration_that_int64_cannot_hold_is_refused(void **state) {
    assert_int_equal(duration("106752d"), -1);
    assert_int_equal(duration("999999999999999999d"), -1);
    assert_int_equal(duration("99999999999999999999999999s"), -1);
    assert_int_equal(duration("1.5ns"), -1);
}

static void a_size_is_read_in_both_families_of_units(void **state) {
    assert_int_equal(size("64KiB"), 65536);
    assert_int_equal(size("1.5GiB"), INT64_C(3) << 29);
    assert_int_equal(size("500MB"), 500000000);
    assert_int_equal(size("2KB"), 2000);
    assert_int_equal(size("1TiB"), INT64_C(1) << 40);
    assert_int_equal(size("7B"), 7);
    assert_int_equal(size("7"), -1);
    assert_int_equal(size("0.5B"), -1);
    assert_int_equal(size("9000000TiB"), -1);
}

static void a_rate_is_read_to_the_nearest_double(void **state) {
    assert_true(rate("1kHz") == 1000);
    assert_true(rate("2MHz") == 2e6);
    assert_true(rate("0.5Hz") == 0.5);
    assert_true(rate("4.35kHz") == 4350);
    assert_true(rate("0Hz") == -1);
    assert_true(rate("-1Hz") == -1);
    assert_true(rate("1") == -1);
    assert_true(rate("1khz") == -1);
    assert_true(rate("Hz") == -1);
}

static void a_number_is_read_whole_or_not_at_all(void **state) {
    double x;
    assert_true(mr_parse_number(mr_slice_of("-1.5e3"), &x) && x == -1500);
    assert_true(mr_parse_number(mr_slice_of("0.1"), &x) && x == 0.1);
    assert_true(mr_parse_number(mr_slice_of("1E+2"), &x) && x == 100);
    static const char *const bad[] = {"",     "1.5x",  " 1",  "1 ", "inf", "nan",
                                      "0x10", "1e",    "1e+", ".5", "5.",  "+5",
                                      "--5",  "1e999", "1_0", "-",  "e5",  "1.e5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(mr_parse_number(mr_slice_of(bad[i]), &x));
    }
    assert_false(mr_parse_number((struct mr_slice){NULL, 0}, &x));
}

static void an_integer_is_read_to_the_ends_of_int64(void **state) {
    int64_t x;
    assert_true(mr_parse_integer(mr_slice_of("9223372036854775807"), &x) && x == INT64_MAX);
    assert_true(mr_parse_integer(mr_slice_of("-9223372036854775808"), &x) && x == INT64_MIN);
    assert_false(mr_parse_integer(mr_slice_of("9223372036854775808"), &x));
    assert_false(mr_parse_integer(mr_slice_of("-9223372036854775809"), &x));
    assert_false(mr_parse_integer(mr_slice_of("1.0"), &x));
    assert_false(mr_parse_integer(mr_slice_of("-"), &x));
    assert_false(mr_parse_integer(mr_slice_of(""), &x));
}

static void a_duration_is_printed_for_people(void **state) {
    char out[MR_TEXT_MAX];
    assert_string_equal(mr_format_duration(0, out), "0s");
    assert_string_equal(mr_format_duration(60 * MR_SECOND, out), "1m");
    assert_string_equal(mr_format_duration(90 * MR_SECOND, out), "1m30s");
    assert_string_equal(mr_format_duration(250000000, out), "250ms");
    assert_string_equal(mr_format_duration(1500000000, out), "1.5s");
    assert_string_equal(mr_format_duration(1050000, out), "1.05ms");
    assert_string_equal(mr_format_duration(7 * 86400 * MR_SECOND, out), "7d");
    assert_string_equal(mr_format_duration(1, out), "1ns");
    assert_string_equal(mr_format_duration(-5 * MR_SECOND, out), "-5s");
    assert_string_equal(mr_format_duration(INT64_MAX, out), "106751d23h47m16.854775807s");
    assert_string_equal(mr_format_duration(INT64_MIN, out), "-106751d23h47m16.854775808s");
}

static void sizes_and_counts_are_printed_for_people(void **state) {
    char out[MR_TEXT_MAX];
    assert_string_equal(mr_format_size(65536, out), "64 KiB");
    assert_string_equal(mr_format_size(INT64_C(3) << 29, out), "1.5 GiB");
    assert_string_equal(mr_format_size(1023, out), "1023 B");
    assert_string_equal(mr_format_size(0, out), "0 B");
    assert_string_equal(mr_format_size(INT64_MAX, out), "8 EiB");
    assert_string_equal(mr_format_count(0, out), "0");
    assert_string_equal(mr_format_count(999, out), "999");
    assert_string_equal(mr_format_count(12345678, out), "12,345,678");
    assert_string_equal(mr_format_count(UINT64_MAX, out), "18,446,744,073,709,551,615");
}

static bool utf8(const char *text) {
    return mr_valid_utf8(mr_slice_of(text));
}

static void valid_utf8_is_told_from_invalid(void **state) {
    assert_true(utf8(""));
    assert_true(utf8("plain text, longer than eight bytes"));
    assert_true(utf8("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
    assert_true(utf8("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80",
                                      "\xff",
                                      "\xc2",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "1234567\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(utf8(bad[i]));
    }
}

static void a_slip_finds_the_word_that_was_meant(void **state) {
    static const char *const names[] = {"where", "window", "group_by", "late", "power", "s", NULL};
    assert_string_equal(mr_nearest("wheer", names), "where");
    assert_string_equal(mr_nearest("powr", names), "power");
    assert_string_equal(mr_nearest("Window", names), "window");
    assert_string_equal(mr_nearest("group-by", names), "group_by");
    assert_string_equal(mr_nearest("groupby", names), "group_by");
}

static void a_different_word_finds_nothing(void **state) {
    static const char *const names[] = {"where", "window", "s", NULL};
    assert_null(mr_nearest("latency", names));
    assert_null(mr_nearest("x", names));
    assert_null(mr_nearest("", names));
    char word[200];
    memset(word, 'a', sizeof word);
    word[199] = 0;
    assert_null(mr_nearest(word, names));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_is_read_exactly),
        cmocka_unit_test(a_duration_without_a_unit_is_refused),
        cmocka_unit_test(a_duration_that_is_malformed_is_refused),
        cmocka_unit_test(a_duration_that_int64_cannot_hold_is_refused),
        cmocka_unit_test(a_size_is_read_in_both_families_of_units),
        cmocka_unit_test(a_rate_is_read_to_the_nearest_double),
        cmocka_unit_test(a_number_is_read_whole_or_not_at_all),
        cmocka_unit_test(an_integer_is_read_to_the_ends_of_int64),
        cmocka_unit_test(a_duration_is_printed_for_people),
        cmocka_unit_test(sizes_and_counts_are_printed_for_people),
        cmocka_unit_test(valid_utf8_is_told_from_invalid),
        cmocka_unit_test(a_slip_finds_the_word_that_was_meant),
        cmocka_unit_test(a_different_word_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
