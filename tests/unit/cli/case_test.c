/* Case files: what the parser refuses and where, what a difference looks like, and that a story
 * that does not hold fails. That stories which do hold pass is tests/cases/ itself. */
#include "engine/cli/case.h"
#include "engine/cli/cli.h"
#include <millrace/waveform.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define JOB_LINE "job a.yaml\n"

static struct mr_case *good_case(const char *text) {
    struct mr_case *c = NULL;
    struct mr_error err = {""};
    if (mr_case_parse("x.case", mr_slice_of(text), &c, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
    return c;
}

static void assert_refused(const char *text, const char *sentence) {
    struct mr_case *c = NULL;
    struct mr_error err = {""};
    assert_int_equal(mr_case_parse("x.case", mr_slice_of(text), &c, &err), MR_REJECT);
    assert_null(c);
    if (!strstr(err.text, sentence)) {
        fail_msg("`%s` does not say `%s`", err.text, sentence);
    }
}

/* ---- Parsing -------------------------------------------------------------------------------- */

static void a_case_is_a_list_of_steps_in_time(void **state) {
    struct mr_case *c = good_case("# story\n\njob a.yaml # mine\r\nstart 1970-01-01T00:00:10Z\n"
                                  "partitions 4\nat 00:00:01.5 in partition 3 k {\"a\": 1} # b\n"
                                  "  in - x\nat 00:01:00 # later\nexpect t {\"a\":[1]} # c\n");
    assert_int_equal(c->partitions, 4);
    assert_int_equal(c->count, 5);
    assert_int_equal(c->steps[0].kind, MR_CASE_JOB);
    assert_int_equal(c->steps[0].at_ns, 10 * MR_SECOND);
    assert_true(mr_slice_equal(c->steps[0].name, mr_slice_of("a.yaml")));
    assert_int_equal(c->steps[1].kind, MR_CASE_IN);
    assert_int_equal(c->steps[1].line, 6);
    assert_int_equal(c->steps[1].at_ns, 11 * MR_SECOND + MR_SECOND / 2);
    assert_int_equal(c->steps[1].partition, 3);
    assert_true(mr_slice_equal(c->steps[1].text, mr_slice_of("{\"a\": 1} # b")));
    assert_null(c->steps[2].name.data);
    assert_int_equal(c->steps[2].at_ns, c->steps[1].at_ns);
    assert_int_equal(c->steps[2].partition, -1);
    assert_int_equal(c->steps[3].kind, MR_CASE_PASS);
    assert_int_equal(c->steps[4].at_ns, 70 * MR_SECOND);
    assert_true(mr_slice_equal(c->steps[4].text, mr_slice_of("{\"a\":[1]}")));
    mr_case_destroy(c);
}

static void what_is_no_case_is_refused_with_its_place(void **state) {
    assert_refused("", "x.case:1: a case begins with its job");
    assert_refused("in k v\n", "x.case:1: a case begins with its job");
    assert_refused(JOB_LINE "\nfraem m {}",
                   "x.case:3: unknown word `fraem`; did you mean `frame`?");
    assert_refused(JOB_LINE "at 1:00 crash", "x.case:2: expected a time since the start");
    assert_refused(JOB_LINE "at 00:60:00", "expected a time since the start");
    assert_refused(JOB_LINE "at 00:00:02\nat 00:00:01.9", "x.case:3: 00:00:01.9 is before");
    assert_refused(JOB_LINE "crash now", "`now` is too much here");
    assert_refused(JOB_LINE "at 00:00:01\npartitions 2", "stands before everything");
    assert_refused(JOB_LINE "at 00:00:01\nstart 2026-01-01T00:00:00Z", "stands before everything");
    assert_refused("start yesterday\n" JOB_LINE, "expected a time such as");
    assert_refused("partitions 0\n" JOB_LINE, "expected a number from 1");
    assert_refused(JOB_LINE "in partition 1 k v", "expected a number from 0 to 0");
    assert_refused(JOB_LINE "in", "expected a key");
    assert_refused(JOB_LINE "in k", "expected a value");
    assert_refused(JOB_LINE "bytes k 0a 1", "two hexadecimal digits, not `1`");
}

static void what_is_no_expectation_is_refused(void **state) {
    assert_refused(JOB_LINE "expect", "expected a topic");
    assert_refused(JOB_LINE "expect t", "expected an object");
    assert_refused(JOB_LINE "expect t [1]", "expected an object {...}, not `[1]`");
    assert_refused(JOB_LINE "expect t {\"a\":1,}", "expected an object {...}: ");
    assert_refused(JOB_LINE "expect t {\"a\":1} {\"a\":2}", "is too much here");
    assert_refused(JOB_LINE "expect t {\"a\":1", "expected an object {...}: ");
    assert_refused(JOB_LINE "expect dead-letters {\"a\":1}", "expected a text in double quotes");
    assert_refused(JOB_LINE "expect t nothing left", "`left` is too much here");
}

static void a_frame_says_start_rate_and_samples(void **state) {
    assert_refused(JOB_LINE "frame m {\"rate\":\"1Hz\",\"a\":[1]}", "has a start and a rate");
    assert_refused(JOB_LINE "frame m {\"start\":\"00:00:00\",\"rate\":5,\"a\":[1]}", "rate: ");
    assert_refused(JOB_LINE "frame m {\"start\":\"00:00:00\",\"rate\":\"1Hz\",\"a\":1}",
                   "at least one channel, and samples");
    assert_refused(JOB_LINE "frame m {\"start\":\"00:00:00\",\"rate\":\"1Hz\",\"a\":[1],\"b\":[]}",
                   "b: a frame has from 1 to");
    assert_refused(JOB_LINE
                   "frame m {\"start\":\"00:00:00\",\"rate\":\"1Hz\",\"a\":[1],\"b\":[1,2]}",
                   "b: a frame's channels have equally many samples");
    assert_refused(JOB_LINE "frame m {\"start\":\"00:00:00\",\"rate\":\"1Hz\",\"a\":[true]}",
                   "sample 0 of \"a\"");
}

static void a_frame_is_the_bytes_that_a_producer_writes(void **state) {
    const float samples[3] = {1.5f, 1.5f, 1.5f};
    const struct mr_waveform_channel channel = {"a", "", samples};
    const struct mr_waveform wave = {.device = mr_slice_of("m"),
                                     .start_ns = 2 * MR_SECOND,
                                     .rate_hz = 1000,
                                     .stream = 7,
                                     .sequence = 1,
                                     .samples = 3,
                                     .channels = &channel,
                                     .channel_count = 1};
    struct mr_case *c =
        good_case("start 1970-01-01T00:00:01Z\n" JOB_LINE
                  "frame m {\"start\":\"00:00:00\",\"rate\":\"1Hz\",\"a\":[1]}\n"
                  "frame m {\"start\":\"00:00:01\",\"rate\":\"1kHz\",\"stream\":7,\"samples\":3,"
                  "\"a\":1.5}\n");
    char *bytes = malloc(mr_waveform_bound(&wave));
    assert_non_null(bytes);
    struct mr_slice wanted = {bytes, mr_waveform_encode(&wave, bytes)};
    assert_true(mr_slice_equal(c->steps[2].text, wanted));
    free(bytes);
    mr_case_destroy(c);
}

/* ---- Differences ----------------------------------------------------------------------------- */

static bool same(const char *wanted, const char *got) {
    struct mr_buffer out = {0};
    bool result = mr_case_diff(mr_slice_of(wanted), mr_slice_of(got), &out);
    assert_true(result == (out.length == 0));
    mr_buffer_finish(&out);
    return result;
}

static void wanted_members_are_equal_and_others_do_not_count(void **state) {
    assert_true(same("{}", "{\"a\":1}"));
    assert_true(same("{\"b\":[1,{\"c\":null}]}", "{\"a\":1,\"b\":[1,{\"c\":null}]}"));
    assert_true(same("{\"a\":3}", "{\"a\":3.0}"));
    assert_false(same("{\"a\":1}", "{\"b\":1}"));
    assert_false(same("{\"a\":null}", "{\"b\":1}"));
    assert_false(same("{\"a\":9007199254740993}", "{\"a\":9007199254740992}"));
    assert_false(same("{\"a\":0.1}", "{\"a\":0.10000000000000002}"));
    assert_false(same("{\"a\":0.0}", "{\"a\":-0.0}"));
    assert_false(same("{\"a\":\"1\"}", "{\"a\":1}"));
    assert_false(same("{\"a\":[1]}", "{\"a\":[1,2]}"));
    assert_false(same("{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1,\"c\":2}}"));
    assert_false(same("{\"a\":1}", "[1]"));
}

/* ---- Stories --------------------------------------------------------------------------------- */

/* Runs a story about tests/cases/readings.yaml; returns the exit code, and what was printed. */
static int run_story(const char *story, char **printed) {
    size_t length;
    struct mr_buffer text = {0};
    mr_buffer_text(&text, "job readings.yaml\nstart 1970-01-01T00:00:00Z\n");
    mr_buffer_text(&text, story);
    mr_buffer_add(&text, "", 1);
    struct mr_case *c = good_case(text.data);
    FILE *out = open_memstream(printed, &length);
    int code = mr_case_run(c, "tests/cases/x.case", out);
    fclose(out);
    mr_case_destroy(c);
    mr_buffer_finish(&text);
    return code;
}

static void assert_fails(const char *story, const char *sentence) {
    char *printed = NULL;
    assert_int_equal(run_story(story, &printed), MR_EXIT_FAILED);
    if (!strstr(printed, sentence)) {
        fail_msg("`%s` is not in:\n%s", sentence, printed);
    }
    free(printed);
}

#define CLOSED "at 00:00:01 in - {\"t\":1,\"v\":1}\nin - {\"t\":13,\"v\":2}\n"

static void a_story_that_holds_says_so_in_one_line(void **state) {
    char *printed = NULL;
    assert_int_equal(run_story(CLOSED "expect rows {\"n\":1}\n", &printed), MR_EXIT_OK);
    assert_string_equal(printed, "tests/cases/x.case: 1 expectation holds\n");
    free(printed);
}

static void a_row_that_differs_is_shown_member_by_member(void **state) {
    assert_fails(CLOSED "expect rows {\"n\":2,\"sum\":1.0,\"closed\":true}\n",
                 "tests/cases/x.case:5: row 1 of rows is different\n"
                 "    n                wanted 2, got 1\n"
                 "  the row: {\"job\":\"readings\"");
}

static void rows_that_are_missing_or_too_many_are_faults(void **state) {
    assert_fails(CLOSED, "1 row more than expected in rows:\n    {\"job\"");
    assert_fails("at 00:00:01 expect rows {\"n\":1}\n", "x.case:3: no further row in rows so far");
    assert_fails(CLOSED "expect rows nothing\n", "x.case:5: rows has a row that should not be");
    assert_fails("expect other {}\n", "other is not an output of this job");
}

static void dead_letters_nobody_expected_are_faults(void **state) {
    assert_fails("in - {\"t\":1,\"v\":true}\n",
                 "1 row more than expected in readings-dead-letters");
    assert_fails("in - {\"t\":1,\"v\":true}\nexpect dead-letters \"w:\"\n",
                 "the dead letter has another reason\n    wanted w:\n");
    assert_fails("expect dead-letters \"v\"\n", "no further dead letter so far");
}

static void counts_are_compared_by_name(void **state) {
    assert_fails(CLOSED
                 "expect rows {}\nexpect counts {\"read\":2,\"used\":1,\"samples.late\":0}\n",
                 "    used             wanted 1, got 2\n");
}

static void a_job_that_stops_or_goes_on_unexpectedly_is_a_fault(void **state) {
    assert_fails("expect stopped \"memory\"\n", "x.case:3: the job runs; wanted that it stops");
    char *printed = NULL;
    struct mr_case *c = good_case("partitions 2\njob readings-resent.yaml\nin k v\n");
    size_t length;
    FILE *out = open_memstream(&printed, &length);
    assert_int_equal(mr_case_run(c, "tests/cases/x.case", out), MR_EXIT_FAILED);
    fclose(out);
    assert_non_null(strstr(printed, "the job has stopped: `readings` has several partitions"));
    mr_case_destroy(c);
    free(printed);
}

static void a_job_that_is_not_there_is_a_configuration_fault(void **state) {
    struct mr_case *c = good_case("job no-such.yaml\n");
    assert_int_equal(mr_case_run(c, "tests/cases/x.case", stdout), MR_EXIT_CONFIGURATION);
    mr_case_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_case_is_a_list_of_steps_in_time),
        cmocka_unit_test(what_is_no_case_is_refused_with_its_place),
        cmocka_unit_test(what_is_no_expectation_is_refused),
        cmocka_unit_test(a_frame_says_start_rate_and_samples),
        cmocka_unit_test(a_frame_is_the_bytes_that_a_producer_writes),
        cmocka_unit_test(wanted_members_are_equal_and_others_do_not_count),
        cmocka_unit_test(a_story_that_holds_says_so_in_one_line),
        cmocka_unit_test(a_row_that_differs_is_shown_member_by_member),
        cmocka_unit_test(rows_that_are_missing_or_too_many_are_faults),
        cmocka_unit_test(dead_letters_nobody_expected_are_faults),
        cmocka_unit_test(counts_are_compared_by_name),
        cmocka_unit_test(a_job_that_stops_or_goes_on_unexpectedly_is_a_fault),
        cmocka_unit_test(a_job_that_is_not_there_is_a_configuration_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
