/* The commands `validate` and `explain`: what they answer to scripts. */
#include "tests/unit/cli/line.h"

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

static void with_connect_a_job_without_its_log_cannot_run(void **state) {
    static const struct mr_command *const commands[] = {&mr_validate_command, NULL};
    assert_int_equal(run_line(commands, "validate jobs/power-minute.yaml --connect --log "
                                        "local:/nowhere/at/all"),
                     MR_EXIT_FAILED);
    assert_non_null(strstr(out, "jobs/power-minute.yaml on local:/nowhere/at/all\n  fault"));
    assert_null(strstr(out, ": ok"));
    assert_int_equal(run_line(commands, "validate jobs/power-minute.yaml --connect --log memory:"),
                     MR_EXIT_FAILED);
    assert_non_null(strstr(out, "fault    input: "));
}

static void a_log_is_given_to_be_connected_with(void **state) {
    static const struct mr_command *const commands[] = {&mr_validate_command, NULL};
    assert_int_equal(run_line(commands, "validate jobs/power-minute.yaml --log memory:"),
                     MR_EXIT_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_job_is_valid),
        cmocka_unit_test(one_bad_job_among_good_ones_is_a_bad_configuration),
        cmocka_unit_test(no_job_at_all_is_a_wrong_command_line),
        cmocka_unit_test(a_job_is_explained_without_its_log),
        cmocka_unit_test(with_connect_a_job_without_its_log_cannot_run),
        cmocka_unit_test(a_log_is_given_to_be_connected_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
