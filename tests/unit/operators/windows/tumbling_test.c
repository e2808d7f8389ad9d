/* Tumbling windows. */
#include "operators/operators.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct mr_span span_of(int64_t every_ns, int64_t event_ns) {
    return mr_tumbling_window.span(&every_ns, event_ns);
}

static void a_span_holds_its_time_and_is_aligned_to_the_epoch(void **state) {
    const int64_t minute = INT64_C(60000000000);
    static const int64_t times[] = {0, 1, 59999999999, 60000000000, 1468244384000000000};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct mr_span span = span_of(minute, times[i]);
        assert_true(span.start_ns <= times[i] && times[i] < span.end_ns);
        assert_int_equal(span.start_ns % minute, 0);
        assert_int_equal(span.end_ns - span.start_ns, minute);
    }
    assert_int_equal(span_of(minute, 59999999999).end_ns, 60000000000);
    assert_int_equal(span_of(minute, 60000000000).start_ns, 60000000000);
}

static void the_last_span_ends_with_time(void **state) {
    struct mr_span span = span_of(INT64_C(3600000000000), INT64_MAX);
    assert_true(span.end_ns == INT64_MAX && span.start_ns < INT64_MAX);
    span = span_of(INT64_MAX, INT64_MAX - 1);
    assert_true(span.start_ns == 0 && span.end_ns == INT64_MAX);
}

static void lengths_below_a_millisecond_are_out_of_bounds(void **state) {
    assert_string_equal(mr_tumbling_window.options[0].name, mr_tumbling_window.key);
    assert_true(mr_tumbling_window.options[0].minimum == 1e6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_holds_its_time_and_is_aligned_to_the_epoch),
        cmocka_unit_test(the_last_span_ends_with_time),
        cmocka_unit_test(lengths_below_a_millisecond_are_out_of_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
