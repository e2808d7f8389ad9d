/* Times as text. */
#include "engine/base/base.h"

#include <setjmp.h>

#include <cmocka.h>

static int64_t when(const char *text) {
    int64_t ns;
    return mr_parse_time(mr_slice_of(text), &ns) ? ns : MR_NEVER;
}

static void a_time_with_a_zone_is_read(void **state) {
    assert_int_equal(when("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(when("2026-11-21T03:10:00Z"), 1795230600 * MR_SECOND);
    assert_int_equal(when("2026-11-21 03:10:00z"), 1795230600 * MR_SECOND);
    assert_int_equal(when("2026-11-21T04:10:00+01:00"), 1795230600 * MR_SECOND);
    assert_int_equal(when("2026-11-20T21:40:00-0530"), 1795230600 * MR_SECOND);
    assert_int_equal(when("2024-02-29T00:00:00.5Z"), 1709164800 * MR_SECOND + 500000000);
    assert_int_equal(when("1969-12-31T23:59:59.999999999Z"), -1);
    assert_int_equal(when("2262-04-11T23:47:16.854775807Z"), INT64_MAX);
}

static void a_time_without_a_zone_is_refused(void **state) {
    assert_int_equal(when("2026-11-21T03:10:00"), MR_NEVER);
    assert_int_equal(when("2026-11-21"), MR_NEVER);
}

static void a_time_that_cannot_be_is_refused(void **state) {
    static const char *const bad[] = {
        "",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-04-00T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T03:60:00Z",
        "2016-12-31T23:59:60Z",
        "2026-11-21T03:10:00.Z",
        "2026-11-21T03:10:00.1234567890Z",
        "2026-11-21T03:10:00+24:00",
        "2026-11-21T03:10:00+01:60",
        "2026-11-21T03:10:00+1",
        "2026-11-21T03:10:00ZZ",
        "2026-11-21T03:10:00Z ",
        " 2026-11-21T03:10:00Z",
        "2026-11-21X03:10:00Z",
        "+026-11-21T03:10:00Z",
        "2262-04-11T23:47:16.854775808Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(when(bad[i]), MR_NEVER);
    }
    int64_t ns;
    assert_false(mr_parse_time((struct mr_slice){"2026-11-21\0"
                                                 "03:10:00Z",
                                                 20},
                               &ns));
}

static void a_time_is_printed_as_short_as_it_is_exact(void **state) {
    char out[MR_TEXT_MAX];
    assert_string_equal(mr_format_time(0, out), "1970-01-01T00:00:00Z");
    assert_string_equal(mr_format_time(1500000000, out), "1970-01-01T00:00:01.5Z");
    assert_string_equal(mr_format_time(-1, out), "1969-12-31T23:59:59.999999999Z");
    assert_string_equal(mr_format_time(1795230600 * MR_SECOND, out), "2026-11-21T03:10:00Z");
    assert_string_equal(mr_format_time(INT64_MAX, out), "2262-04-11T23:47:16.854775807Z");
    assert_string_equal(mr_format_time(MR_NEVER, out), "never");
}

static void every_day_of_four_centuries_comes_back(void **state) {
    char out[MR_TEXT_MAX];
    for (int64_t day = -106000; day < 106000; day += 13) {
        int64_t ns = day * 86400 * MR_SECOND + 123000000;
        assert_int_equal(when(mr_format_time(ns, out)), ns);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_with_a_zone_is_read),
        cmocka_unit_test(a_time_without_a_zone_is_refused),
        cmocka_unit_test(a_time_that_cannot_be_is_refused),
        cmocka_unit_test(a_time_is_printed_as_short_as_it_is_exact),
        cmocka_unit_test(every_day_of_four_centuries_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
