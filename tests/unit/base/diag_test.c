/* Lines on standard error. */
#include "engine/base/base.h"

#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char written[4096];

/* Calls `say` with standard error going into `written`. */
static void listen(void (*say)(void)) {
    int ends[2], kept = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    say();
    dup2(kept, STDERR_FILENO);
    close(ends[1]);
    close(kept);
    ssize_t length = read(ends[0], written, sizeof written - 1);
    written[length < 0 ? 0 : length] = 0;
    close(ends[0]);
}

static void say_both(void) {
    mr_note("%d tasks", 3);
    mr_warn("topic `%s` is empty", "a\x1b[31m\x7f");
}

static void say_much(void) {
    mr_note("%5000d", 1);
}

static void each_line_names_the_program_and_drives_no_terminal(void **state) {
    listen(say_both);
    assert_string_equal(written, "millrace: 3 tasks\n"
                                 "millrace: warning: topic `a?[31m?` is empty\n");
}

static void a_long_line_is_cut_and_still_ends(void **state) {
    listen(say_much);
    assert_int_equal(strlen(written), 2047);
    assert_int_equal(written[2046], '\n');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_names_the_program_and_drives_no_terminal),
        cmocka_unit_test(a_long_line_is_cut_and_still_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
