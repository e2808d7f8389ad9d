/* The commands `validate` and `explain`: what they answer to scripts. */
#include "engine/cli/cli.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int run(const struct mr_command *command, int argc, char **argv) {
    void *flags = mr_allocate(command->flags_size);
    struct mr_arena *memory = mr_arena_create();
    mr_option_defaults(command->flags, flags, memory);
    int code = command->run(flags, argc, argv);
    mr_arena_destroy(memory);
    free(flags);
    return code;
}

static char good[] = "jobs/power-minute.yaml", bad[] = "tests/explain/unknown_keys.yaml";

static void a_good_job_is_valid(void **state) {
    assert_int_equal(run(&mr_validate_command, 1, (char *[]){good, NULL}), MR_EXIT_OK);
}

static void one_bad_job_among_good_ones_is_a_bad_configuration(void **state) {
    char *files[] = {good, bad, good, NULL};
    assert_int_equal(run(&mr_validate_command, 3, files), MR_EXIT_CONFIGURATION);
    assert_int_equal(run(&mr_explain_command, 1, files + 1), MR_EXIT_CONFIGURATION);
}

static void no_job_at_all_is_a_wrong_command_line(void **state) {
    char *none[] = {NULL};
    assert_int_equal(run(&mr_validate_command, 0, none), MR_EXIT_USAGE);
    assert_int_equal(run(&mr_explain_command, 0, none), MR_EXIT_USAGE);
}

static void a_job_is_explained_without_its_log(void **state) {
    assert_int_equal(run(&mr_explain_command, 1, (char *[]){good, NULL}), MR_EXIT_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_job_is_valid),
        cmocka_unit_test(one_bad_job_among_good_ones_is_a_bad_configuration),
        cmocka_unit_test(no_job_at_all_is_a_wrong_command_line),
        cmocka_unit_test(a_job_is_explained_without_its_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
