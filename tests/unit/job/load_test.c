/* Loading: what a job file may say, and how each fault of it is told. */
#include "loading.h"

#include <fcntl.h>
#include <unistd.h>

#define STATS "stats: {n: count}\n"

static void an_unknown_key_is_told_with_place_caret_and_suggestion(void **state) {
    char *printed = faults_of(mr_slice_of(JSON_HEAD TAIL STATS "retian: 1h\n"));
    assert_string_equal(printed, "job.yaml:7:1: error: unknown key `retian`\n"
                                 "    7 | retian: 1h\n"
                                 "      | ^~~~~~\n"
                                 "      = did you mean `retain`?\n");
    free(printed);
}

static void a_caret_counts_characters_and_keeps_tabs(void **state) {
    char *printed = faults_of(mr_slice_of(JSON_HEAD TAIL "stats: {\"gr\xc3\xb6\xc3\x9f"
                                                         "e\":\t'meen(x)'}\n"));
    assert_non_null(strstr(printed, "job.yaml:6:19: error"));
    assert_non_null(strstr(printed, "|                 \t ^~~~\n"));
    free(printed);
}

static void all_faults_of_a_file_are_found_in_one_pass_in_its_order(void **state) {
    char *printed = faults_of(mr_slice_of("job: 'a b'\n"
                                          "from: {topic: in, format: jsn}\n"
                                          "group_by: device\n"
                                          "window: {every: 1}\n"
                                          "stats: {a: mean}\n"
                                          "to: []\n"));
    int last = 0, count = 0;
    for (const char *at = printed; (at = strstr(at, "job.yaml:")) != NULL; at++, count++) {
        int line = (int)strtol(at + strlen("job.yaml:"), NULL, 10);
        assert_true(line > last);
        last = line;
    }
    assert_int_equal(count, 6);
    free(printed);
}

static void a_hostile_file_has_a_bounded_number_of_faults(void **state) {
    struct mr_buffer text = {0};
    for (int i = 0; i < 20000; i++) {
        mr_buffer_format(&text, "k%d: 1\n", i);
    }
    struct mr_plan *plan;
    struct mr_faults faults = {0};
    assert_int_equal(mr_job_load_text("job.yaml", mr_buffer_slice(&text), &plan, &faults),
                     MR_REJECT);
    assert_true(faults.count <= 100);
    mr_faults_finish(&faults);
    mr_buffer_finish(&text);
}

static void a_file_that_is_too_long_is_refused(void **state) {
    struct mr_buffer text = {0};
    mr_buffer_text(&text, JSON_HEAD TAIL STATS);
    while (text.length <= 256 * 1024) {
        mr_buffer_text(&text, "# and more, and more, and more\n");
    }
    char *printed = faults_of(mr_buffer_slice(&text));
    assert_non_null(strstr(printed, "256 KiB"));
    free(printed);
    mr_buffer_finish(&text);
}

static void a_file_that_is_not_text_is_refused(void **state) {
    static const char nul[] = "job: a\0b\n";
    char *printed = faults_of((struct mr_slice){nul, sizeof nul - 1});
    assert_non_null(strstr(printed, "NUL"));
    free(printed);
    assert_fault("job: \xff\xfe\n", "UTF-8");
}

static void a_file_that_is_not_there_is_a_fault_of_the_file(void **state) {
    struct mr_plan *plan;
    struct mr_faults faults = {0};
    assert_int_equal(mr_job_load("tests/no/such/job.yaml", &plan, &faults), MR_REJECT);
    assert_int_equal(faults.count, 1);
    assert_int_equal(faults.items[0].line, 0);
    mr_faults_finish(&faults);
    assert_int_equal(mr_job_load("tests", &plan, &faults), MR_REJECT);
    mr_faults_finish(&faults);
}

static void every_beginning_of_a_job_file_is_loaded_or_refused(void **state) {
    char text[4096];
    FILE *file = fopen("jobs/power-minute.yaml", "rb");
    size_t length = fread(text, 1, sizeof text, file);
    fclose(file);
    for (size_t i = 0; i <= length; i += 3) {
        struct mr_plan *plan = NULL;
        struct mr_faults faults = {0};
        enum mr_status status =
            mr_job_load_text("job.yaml", (struct mr_slice){text, i}, &plan, &faults);
        assert_true((status == MR_OK) == (plan != NULL));
        assert_true(status == MR_OK || faults.count > 0);
        mr_faults_finish(&faults);
        mr_plan_destroy(plan);
    }
}

static void what_later_versions_have_is_told(void **state) {
    assert_fault(JSON_HEAD TAIL STATS "log: kafka://broker:0\n",
                 "a Kafka log is kafka://HOST:PORT");
}

static void what_is_of_windows_is_refused_without_one(void **state) {
    static const char *const keys[] = {"group_by: [device]\n", STATS, "emit: {preview: 5s}\n",
                                       "retain: 1h\n"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char text[512];
        snprintf(text, sizeof text, "%slet: {kilos: g / 1000}\nto: [{topic: out}]\n%s", JSON_HEAD,
                 keys[i]);
        assert_fault(text, "is of windows, and this job has none");
    }
}

static void columns_must_differ_from_each_other_and_from_those_of_every_row(void **state) {
    assert_fault(JSON_HEAD TAIL "stats: {rev: count}\n", "`rev` is a column that every row has");
    assert_fault(JSON_HEAD TAIL "stats: {device: count}\n", "a column of group_by already");
    assert_fault(JSON_HEAD "group_by: [a, {a: b}]\nwindow: {every: 1m}\nto: [{topic: out}]\n" STATS,
                 "there are two columns `a`");
    assert_fault(JSON_HEAD "group_by: [job]\nwindow: {every: 1m}\nto: [{topic: out}]\n" STATS,
                 "`job` is a column that every row has");
}

static void a_job_does_not_read_its_own_rows(void **state) {
    assert_fault(JSON_HEAD "group_by: []\nwindow: {every: 1m}\nto: [{topic: in}]\n" STATS,
                 "would read its own rows for ever");
    assert_fault(JSON_HEAD
                 "group_by: []\nwindow: {every: 1m}\nto: [{topic: test-windows-changelog}]\n" STATS,
                 "a topic that the engine keeps");
}

static void a_key_given_twice_is_refused(void **state) {
    assert_fault(JSON_HEAD TAIL STATS "retain: 1h\nretain: 2h\n",
                 "job.yaml:8:1: error: `retain` is given twice");
}

static void what_job_files_do_not_need_of_yaml_is_refused(void **state) {
    assert_fault("job: &a x\n", "anchors");
    assert_fault("job: *a\n", "anchors");
    assert_fault("job: !!str x\n", "tags");
    assert_fault("job: x\nfrom: {<<: {topic: in}}\n", "merge keys");
    assert_fault("job: x\n---\njob: y\n", "second document");
    assert_fault("? [a]\n: b\n", "a key must be a word");
    assert_fault("job: \"a\\x01b\"\n", "control characters");
    assert_fault("job: [[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]\n", "nested too deeply");
}

static void texts_are_read_as_yaml_writes_them(void **state) {
    static const struct {
        const char *written, *read;
    } cases[] = {
        {"plain text", "plain text"},
        {"'it''s'", "it's"},
        {"'a '''' b '''''' c'", "a '' b ''' c"},
        {"''''''''''''''''''''''''''''''''''''''''''", "''''''''''''''''''''"},
        {"''", ""},
        {"\"a \\\"\\\" b \\\\\\\\ c\"", "a \"\" b \\\\ c"},
        {"\"gr\\u00fc\\u00fc\\u00dfe\"", "gr\xc3\xbc\xc3\xbc\xc3\x9f"
                                         "e"},
        {"|\n  two\n  lines", "two\nlines"},
        {">\n  one\n  line", "one line"},
        {"'one\n  line'", "one line"},
        {"one\n  line", "one line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, JSON_HEAD TAIL STATS "description: %s\n", cases[i].written);
        struct mr_plan *plan = good_plan(text);
        size_t length = strlen(plan->description);
        length -= length > 0 && plan->description[length - 1] == '\n'; /* of a block */
        assert_int_equal(length, strlen(cases[i].read));
        assert_memory_equal(plan->description, cases[i].read, length);
        mr_plan_destroy(plan);
    }
    assert_fault("job: 'it''s\n  long'\n", "stands on one line");
}

static void variables_are_put_into_values_and_never_shown(void **state) {
    setenv("MR_TEST_TOPIC", "in-7", 1);
    setenv("MR_TEST_EMPTY", "", 1);
    struct mr_plan *plan =
        good_plan("job: test\n"
                  "description: \"$$ ${MR_TEST_EMPTY:-none} ${MR_TEST_EMPTY}\"\n"
                  "from: {topic: \"${MR_TEST_TOPIC}\", format: json, "
                  "timestamp: log}\n"
                  "group_by: []\nwindow: {every: 1m}\nto: [{topic: out}]\n" STATS);
    assert_string_equal(plan->topic, "in-7");
    assert_string_equal(plan->description, "$ none ");
    mr_plan_destroy(plan);
    setenv("MR_TEST_SECRET", "swordfish: {a: b}", 1);
    char *printed = faults_of(mr_slice_of(
        "job: \"${MR_TEST_SECRET}\"\nlog: \"${MR_TEST_SECRET}\"\ncommit: \"${MR_TEST_SECRET}\"\n"
        "from: {topic: \"${MR_TEST_SECRET}\", format: \"${MR_TEST_SECRET}\"}\n"
        "where: \"${MR_TEST_SECRET}\"\ngroup_by: [\"${MR_TEST_SECRET}\"]\n"
        "window: {every: \"${MR_TEST_SECRET}\"}\nstats: {a: \"${MR_TEST_SECRET}\"}\n"
        "to: [{topic: \"${MR_TEST_SECRET}\"}]\n"));
    assert_null(strstr(printed, "swordfish"));
    assert_non_null(strstr(printed, "MR_TEST_SECRET"));
    free(printed);
}

static void a_variable_that_is_not_set_is_a_fault_unless_it_has_a_default(void **state) {
    unsetenv("MR_TEST_UNSET");
    assert_fault("job: \"${MR_TEST_UNSET}\"\n", "`MR_TEST_UNSET` is not set");
    assert_fault("job: \"${MR_TEST_UNSET:?the name of the site}\"\n", "the name of the site");
    assert_fault("job: \"${MR_TEST_UNSET\"\n", "without its `}`");
    assert_fault("job: \"a$b\"\n", "write `$$`");
}

static void a_value_can_come_from_a_file(void **state) {
    char path[] = "/tmp/millrace-test-XXXXXX";
    char text[512];
    int file = mkstemp(path);
    assert_int_equal(write(file, "in-8\n", 5), 5);
    close(file);
    snprintf(text, sizeof text,
             "job: test\nfrom: {topic: \"${file:%s}\", format: json, timestamp: log}\n"
             "group_by: []\nwindow: {every: 1m}\nto: [{topic: out}]\n" STATS,
             path);
    struct mr_plan *plan = good_plan(text);
    assert_string_equal(plan->topic, "in-8");
    mr_plan_destroy(plan);
    unlink(path);
    assert_fault("job: \"${file:/dev/zero}\"\n", "cannot be read as a file");
    assert_fault("job: \"${file:/nowhere}\"\n", "cannot be read as a file");
}

static void a_name_made_by_let_is_not_a_field_of_the_record_before_that(void **state) {
    assert_fault(JSON_HEAD TAIL "stats: {a: mean(b)}\nlet: {a1: b * 2, b: c}\n",
                 "`b` is made by a line that comes after this one");
    assert_fault(JSON_HEAD TAIL "stats: {a: mean(b)}\nlet: {b: b * 2}\n",
                 "`b` is made here: give it a name of its own");
    assert_fault(JSON_HEAD TAIL "stats: {a: mean(b)}\nlet: {b: c * 2}\n"
                                "duplicates: {by: [b]}\n",
                 "`b` is made by a line that comes after this one");
}

static void a_misspelt_field_is_worth_a_warning(void **state) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    static const char text[] = FRAMES_HEAD TAIL "let: {power: current * voltage}\n"
                                                "stats: {a: mean(powre)}\n";
    assert_int_equal(mr_job_load_text("job.yaml", mr_slice_of(text), &plan, &faults), MR_OK);
    assert_int_equal(faults.count, 1);
    assert_memory_equal(faults.items[0].text, "warning: ", 9);
    assert_string_equal(faults.items[0].suggestion, "did you mean `power`?");
    mr_faults_finish(&faults);
    mr_plan_destroy(plan);
}

static void too_many_fields_are_refused(void **state) {
    struct mr_buffer text = {0};
    mr_buffer_text(&text, JSON_HEAD TAIL "stats:\n");
    for (int i = 0; i < 300; i++) {
        mr_buffer_format(&text, "  s%d: mean(f%d)\n", i, i);
    }
    char *printed = faults_of(mr_buffer_slice(&text));
    assert_non_null(strstr(printed, "at most 256 fields"));
    free(printed);
    mr_buffer_finish(&text);
}

static void a_line_of_the_file_does_not_steer_the_terminal(void **state) {
    char *printed = faults_of(mr_slice_of("job: a\x1b[31mb\n"));
    assert_null(strchr(printed, '\x1b'));
    free(printed);
}

static void lists_are_bounded(void **state) {
    struct mr_buffer text = {0};
    mr_buffer_text(&text, JSON_HEAD STATS "window: {every: 1m}\nto: [{topic: out}]\ngroup_by: [a");
    for (int i = 0; i < 30000; i++) {
        mr_buffer_text(&text, ", a");
    }
    mr_buffer_text(&text, "]\n");
    char *printed = faults_of(mr_buffer_slice(&text));
    assert_non_null(strstr(printed, "at most 32 fields"));
    free(printed);
    mr_buffer_finish(&text);
}

static void what_variables_give_is_bounded(void **state) {
    struct mr_buffer text = {0};
    char *value = mr_allocate(60001);
    memset(value, 'x', 60000);
    setenv("MR_TEST_LONG", value, 1);
    mr_buffer_text(&text, JSON_HEAD TAIL STATS "tests:\n");
    for (int i = 0; i < 100; i++) {
        mr_buffer_text(&text, "  - \"${MR_TEST_LONG}\"\n");
    }
    char *printed = faults_of(mr_buffer_slice(&text));
    assert_non_null(strstr(printed, "at most 1 MiB"));
    unsetenv("MR_TEST_LONG");
    free(value);
    free(printed);
    mr_buffer_finish(&text);
}

static void one_place_has_one_fault(void **state) {
    char *printed = faults_of(
        mr_slice_of("job: ''\nfrom: {topic: '', format: json, timestamp: log}\n" TAIL STATS));
    assert_non_null(strstr(printed, "job.yaml:1:"));
    assert_non_null(strstr(printed, "`job` is empty"));
    assert_null(strstr(printed, "letters, digits"));
    free(printed);
}

static void a_key_or_a_time_is_one_value(void **state) {
    assert_fault("job: test\nfrom: {topic: in, format: json, key: x, timestamp: log,\n"
                 "  fields: {x: 'number[]'}, samples: {rate: 1kHz}}\n" TAIL STATS,
                 "`x` has a value per sample; one value per record is needed here");
}

static void values_are_bounded_with_a_sentence(void **state) {
    assert_fault(JSON_HEAD TAIL STATS "commit: 1ms\n", "`commit`: expected at least 10ms");
    assert_fault(JSON_HEAD TAIL STATS "lateness: {grace: 400d}\n", "expected at most 366d");
    assert_fault(JSON_HEAD "group_by: []\nwindow: {every: 0s}\nto: [{topic: out}]\n" STATS,
                 "`every`: expected at least");
    assert_fault(JSON_HEAD TAIL STATS "emit: {preview: 1ms}\n", "`preview`: expected at least");
    assert_fault(JSON_HEAD TAIL STATS "errors: {stop_if: {share: 5%}}\n", "`within` is missing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_key_is_told_with_place_caret_and_suggestion),
        cmocka_unit_test(a_caret_counts_characters_and_keeps_tabs),
        cmocka_unit_test(all_faults_of_a_file_are_found_in_one_pass_in_its_order),
        cmocka_unit_test(a_hostile_file_has_a_bounded_number_of_faults),
        cmocka_unit_test(a_file_that_is_too_long_is_refused),
        cmocka_unit_test(a_file_that_is_not_text_is_refused),
        cmocka_unit_test(a_file_that_is_not_there_is_a_fault_of_the_file),
        cmocka_unit_test(every_beginning_of_a_job_file_is_loaded_or_refused),
        cmocka_unit_test(what_later_versions_have_is_told),
        cmocka_unit_test(what_is_of_windows_is_refused_without_one),
        cmocka_unit_test(columns_must_differ_from_each_other_and_from_those_of_every_row),
        cmocka_unit_test(a_job_does_not_read_its_own_rows),
        cmocka_unit_test(a_key_given_twice_is_refused),
        cmocka_unit_test(what_job_files_do_not_need_of_yaml_is_refused),
        cmocka_unit_test(texts_are_read_as_yaml_writes_them),
        cmocka_unit_test(variables_are_put_into_values_and_never_shown),
        cmocka_unit_test(a_variable_that_is_not_set_is_a_fault_unless_it_has_a_default),
        cmocka_unit_test(a_value_can_come_from_a_file),
        cmocka_unit_test(a_name_made_by_let_is_not_a_field_of_the_record_before_that),
        cmocka_unit_test(a_misspelt_field_is_worth_a_warning),
        cmocka_unit_test(too_many_fields_are_refused),
        cmocka_unit_test(a_line_of_the_file_does_not_steer_the_terminal),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(what_variables_give_is_bounded),
        cmocka_unit_test(one_place_has_one_fault),
        cmocka_unit_test(a_key_or_a_time_is_one_value),
        cmocka_unit_test(values_are_bounded_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
