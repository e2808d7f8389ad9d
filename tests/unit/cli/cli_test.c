/* The command line's own rules, with a made-up command that tells what it was given. */
#include "tests/unit/cli/line.h"

struct flags {
    const char *log, *key;
    double partitions;
    bool until_end;
    int64_t span_ns;
};

static const struct mr_option flag_rows[] = {
    {"log", MR_OPTION_TEXT, NULL, NULL, "the log", offsetof(struct flags, log), 0, 0},
    {"key", MR_OPTION_TEXT, NULL, "", "the key", offsetof(struct flags, key), 0, 0},
    {"partitions", MR_OPTION_NUMBER, NULL, "1", "how many", offsetof(struct flags, partitions), 1,
     1024},
    {"until-end", MR_OPTION_BOOL, NULL, "false", "stop", offsetof(struct flags, until_end), 0, 0},
    {"for", MR_OPTION_DURATION, NULL, "60s", "how long", offsetof(struct flags, span_ns), 0, 0},
    {0},
};

static struct {
    int runs, argc;
    char log[64], key[64], arguments[256];
    double partitions;
    bool until_end;
    int64_t span_ns;
} seen;

static int run(const void *flags_, int argc, char **argv) {
    const struct flags *flags = flags_;
    seen.runs++;
    seen.argc = argc;
    snprintf(seen.log, sizeof seen.log, "%s", flags->log);
    snprintf(seen.key, sizeof seen.key, "%s", flags->key);
    size_t used = 0;
    for (int i = 0; i < argc; i++) {
        used +=
            (size_t)snprintf(seen.arguments + used, sizeof seen.arguments - used, "%s ", argv[i]);
    }
    assert_null(argv[argc]);
    seen.partitions = flags->partitions;
    seen.until_end = flags->until_end;
    seen.span_ns = flags->span_ns;
    return 41;
}

static const struct mr_command pour = {.name = "pour",
                                       .arguments = "TOPIC [FILE...]",
                                       .summary = "Pour records into a topic",
                                       .flags = flag_rows,
                                       .flags_size = sizeof(struct flags),
                                       .run = run,
                                       .details = "It pours."};
static const struct mr_command bare = {
    .name = "bare", .arguments = "", .summary = "Do without flags", .run = run};
static const struct mr_command *const commands[] = {&pour, &bare, NULL};

static int line(const char *text) {
    memset(&seen, 0, sizeof seen);
    return run_line(commands, text);
}

static void flags_and_arguments_may_stand_in_any_order(void **state) {
    assert_int_equal(line("pour a --log local:x b --until-end --key=id c --for 90s"), 41);
    assert_string_equal(seen.arguments, "a b c ");
    assert_string_equal(seen.log, "local:x");
    assert_string_equal(seen.key, "id");
    assert_true(seen.until_end);
    assert_int_equal(seen.span_ns, INT64_C(90000000000));
}

static void a_flag_that_is_not_given_has_its_default(void **state) {
    assert_int_equal(line("pour --log x"), 41);
    assert_string_equal(seen.key, "");
    assert_true(seen.partitions == 1);
    assert_false(seen.until_end);
    assert_int_equal(seen.span_ns, INT64_C(60000000000));
}

static void a_flag_without_a_default_must_be_given(void **state) {
    assert_int_equal(line("pour a"), MR_EXIT_USAGE);
    assert_int_equal(seen.runs, 0);
    assert_non_null(strstr(err, "--log must be given"));
}

static void an_unknown_flag_is_refused_with_the_nearest_one(void **state) {
    assert_int_equal(line("pour --log x --partition 3"), MR_EXIT_USAGE);
    assert_int_equal(seen.runs, 0);
    assert_non_null(strstr(err, "did you mean --partitions?"));
    assert_int_equal(line("bare --log x"), MR_EXIT_USAGE);
    assert_non_null(strstr(err, "unknown flag --log"));
    assert_int_equal(line("pour -x"), MR_EXIT_USAGE);
}

static void a_flag_needs_its_value_and_a_switch_takes_none(void **state) {
    assert_int_equal(line("pour --log"), MR_EXIT_USAGE);
    assert_non_null(strstr(err, "--log needs a value"));
    assert_int_equal(line("pour --key --log x"), MR_EXIT_USAGE);
    assert_non_null(strstr(err, "--key needs a value"));
    assert_int_equal(line("pour --log x --until-end=yes"), MR_EXIT_USAGE);
    assert_non_null(strstr(err, "--until-end takes no value"));
}

static void a_value_of_the_wrong_type_or_out_of_bounds_is_refused(void **state) {
    assert_int_equal(line("pour --log x --for 60"), MR_EXIT_USAGE);
    assert_non_null(strstr(err, "--for 60: "));
    assert_int_equal(line("pour --log x --partitions 0"), MR_EXIT_USAGE);
    assert_int_equal(line("pour --log x --partitions many"), MR_EXIT_USAGE);
    assert_int_equal(seen.runs, 0);
}

static void a_flag_given_twice_is_refused(void **state) {
    assert_int_equal(line("pour --log x --log y"), MR_EXIT_USAGE);
    assert_non_null(strstr(err, "--log is given twice"));
}

static void after_two_dashes_everything_is_an_argument(void **state) {
    assert_int_equal(line("pour --log x - -- --key -y"), 41);
    assert_string_equal(seen.arguments, "- --key -y ");
}

static void help_comes_from_the_table(void **state) {
    assert_int_equal(line("help pour"), MR_EXIT_OK);
    assert_non_null(strstr(out, "Usage: millrace pour TOPIC [FILE...]"));
    assert_non_null(strstr(out, "--log VALUE"));
    assert_non_null(strstr(out, "(must be given)"));
    assert_non_null(strstr(out, "(default 60s)"));
    assert_non_null(strstr(out, "It pours."));
    char first[PRINTED];
    snprintf(first, sizeof first, "%s", out);
    assert_int_equal(line("pour x --help"), MR_EXIT_OK);
    assert_string_equal(out, first);
    assert_int_equal(seen.runs, 0);
    assert_int_equal(line("--help"), MR_EXIT_OK);
    assert_non_null(strstr(out, "Pour records into a topic"));
    assert_int_equal(line("help"), MR_EXIT_OK);
}

static void no_command_is_a_usage_error_and_shows_the_commands(void **state) {
    assert_int_equal(line(""), MR_EXIT_USAGE);
    assert_string_equal(out, "");
    assert_non_null(strstr(err, "bare"));
}

static void an_unknown_command_is_refused_with_the_nearest_one(void **state) {
    assert_int_equal(line("puor"), MR_EXIT_USAGE);
    assert_non_null(strstr(err, "did you mean pour?"));
    assert_int_equal(line("help nonsense-of-all-kinds"), MR_EXIT_USAGE);
}

static void the_version_is_told(void **state) {
    assert_int_equal(line("--version"), MR_EXIT_OK);
    assert_memory_equal(out, "millrace ", 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_and_arguments_may_stand_in_any_order),
        cmocka_unit_test(a_flag_that_is_not_given_has_its_default),
        cmocka_unit_test(a_flag_without_a_default_must_be_given),
        cmocka_unit_test(an_unknown_flag_is_refused_with_the_nearest_one),
        cmocka_unit_test(a_flag_needs_its_value_and_a_switch_takes_none),
        cmocka_unit_test(a_value_of_the_wrong_type_or_out_of_bounds_is_refused),
        cmocka_unit_test(a_flag_given_twice_is_refused),
        cmocka_unit_test(after_two_dashes_everything_is_an_argument),
        cmocka_unit_test(help_comes_from_the_table),
        cmocka_unit_test(no_command_is_a_usage_error_and_shows_the_commands),
        cmocka_unit_test(an_unknown_command_is_refused_with_the_nearest_one),
        cmocka_unit_test(the_version_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
