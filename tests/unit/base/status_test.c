/* The sentence of an error. */
#include <millrace/status.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_status_is_returned_with_its_sentence(void **state) {
    struct mr_error err;
    assert_int_equal(mr_error_set(&err, MR_FAIL, "partition %d is lost", 3), MR_FAIL);
    assert_string_equal(err.text, "partition 3 is lost");
}

static void a_sentence_may_be_put_around_itself(void **state) {
    struct mr_error err;
    mr_error_set(&err, MR_REJECT, "no number");
    mr_error_set(&err, MR_REJECT, "field `x`: %s", err.text);
    assert_string_equal(err.text, "field `x`: no number");
}

static void a_long_sentence_is_cut_and_nobody_has_to_listen(void **state) {
    struct mr_error err;
    assert_int_equal(mr_error_set(&err, MR_REJECT, "%5000d", 1), MR_REJECT);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(mr_error_set(NULL, MR_REJECT, "unheard"), MR_REJECT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_is_returned_with_its_sentence),
        cmocka_unit_test(a_sentence_may_be_put_around_itself),
        cmocka_unit_test(a_long_sentence_is_cut_and_nobody_has_to_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
