/* produce, tail and topics as a person uses them, on an embedded log in a folder of its own. */
#include "engine/log/log.h"
#include "tests/lib/temp.h"
#include "tests/unit/cli/line.h"

static const struct mr_command *const commands[] = {&mr_produce_command, &mr_tail_command,
                                                    &mr_topics_command, NULL};
static char *folder;

static int make_folder(void **state) {
    folder = mr_temp_create();
    return 0;
}

static int drop_folder(void **state) {
    mr_temp_remove(folder);
    return 0;
}

/* Runs a line in which $L stands for the log and $D for the folder. */
static int line(const char *format) {
    struct mr_buffer text = {0};
    for (; *format; format++) {
        bool log = strncmp(format, "$L", 2) == 0, in_folder = strncmp(format, "$D", 2) == 0;
        if (log || in_folder) {
            mr_buffer_format(&text, "%s%s%s", log ? "local:" : "", folder, log ? "/log" : "");
            format++;
        } else {
            mr_buffer_add(&text, format, 1);
        }
    }
    mr_buffer_add(&text, "", 1);
    int code = run_line(commands, text.data);
    mr_buffer_finish(&text);
    return code;
}

static void put_file(const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void what_was_produced_is_what_tail_prints(void **state) {
    put_file("lines", "{\"id\":\"a\",\"n\":1}\n\n{\"id\":\"b\",\"n\":2}\n{\"id\":\"a\",\"n\":3}\n");
    assert_int_equal(line("produce in $D/lines --key id --log $L"), MR_EXIT_OK);
    assert_non_null(strstr(err, "wrote 3 records to in (1 partition)"));
    assert_non_null(strstr(err, "left out 1 blank line"));
    assert_int_equal(line("tail in --log $L --until-end"), MR_EXIT_OK);
    assert_string_equal(out,
                        "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n{\"id\":\"a\",\"n\":3}\n");
    assert_int_equal(line("tail in --log $L --until-end --with-key --from 1 --count 1"),
                     MR_EXIT_OK);
    assert_string_equal(out, "b\t{\"id\":\"b\",\"n\":2}\n");
    assert_int_equal(line("tail in --log $L --until-end --from end"), MR_EXIT_OK);
    assert_string_equal(out, "");
    assert_int_equal(line("tail in --log $L --count 2"), MR_EXIT_OK);
}

static void partitions_are_merged_in_the_order_of_appending(void **state) {
    put_file("first", "{\"id\":\"a\",\"n\":1}\n{\"id\":\"a\",\"n\":2}\n");
    put_file("second", "{\"id\":\"e\",\"n\":3}\n{\"id\":\"e\",\"n\":4}\n");
    put_file("third", "{\"id\":\"a\",\"n\":5}\n");
    assert_int_equal(line("produce in $D/first --key id --partitions 4 --log $L"), MR_EXIT_OK);
    assert_int_equal(line("produce in $D/second --key id --log $L"), MR_EXIT_OK);
    assert_int_equal(line("produce in $D/third --key id --log $L"), MR_EXIT_OK);
    assert_int_equal(line("tail in --log $L --until-end"), MR_EXIT_OK);
    assert_string_equal(out,
                        "{\"id\":\"a\",\"n\":1}\n{\"id\":\"a\",\"n\":2}\n{\"id\":\"e\",\"n\":3}\n"
                        "{\"id\":\"e\",\"n\":4}\n{\"id\":\"a\",\"n\":5}\n");
}

static void a_value_stays_on_its_line_and_cannot_speak_to_the_terminal(void **state) {
    put_file("lines", "a\tb\x1b[2Jc\r.\n\xFF\x01\n");
    assert_int_equal(line("produce in $D/lines --log $L"), MR_EXIT_OK);
    assert_int_equal(line("tail in --log $L --until-end"), MR_EXIT_OK);
    assert_string_equal(out, "a\tb\\x1b[2Jc .\n\\xff\\x01\n");
}

static void a_frame_is_shown_as_one_line_about_it(void **state) {
    assert_int_equal(line("produce in --simulate joulescope --for 1s --rate 500Hz --log $L "
                          "--start 2026-11-21T03:10:00Z"),
                     MR_EXIT_OK);
    assert_int_equal(line("tail in --log $L --until-end --with-key"), MR_EXIT_OK);
    static const char begin[] =
        "js220-01\tframe js220-01 2026-11-21T03:10:00Z 500 samples at 500 Hz, stream ";
    assert_memory_equal(out, begin, sizeof begin - 1);
    assert_non_null(strstr(out, " sequence 0: current [A] 0.00"));
}

static void headers_are_shown_when_asked_for(void **state) {
    const struct mr_header headers[] = {{mr_slice_of("why"), mr_slice_of("no `id`")},
                                        {mr_slice_of("at"), mr_slice_of("7")}};
    struct mr_topic topic = {
        .name = "in", .partitions = 1, .retention_ns = -1, .retention_bytes = -1};
    struct mr_append record = {.topic = "in",
                               .timestamp_ns = -1,
                               .value = mr_slice_of("{}"),
                               .headers = headers,
                               .header_count = 2};
    struct mr_session_options producer = {0};
    struct mr_log *log;
    struct mr_session *session;
    char url[512];
    snprintf(url, sizeof url, "local:%s/log", folder);
    assert_int_equal(
        mr_log_open(url, &(struct mr_log_options){.make = true}, &mr_real_clock, &log, NULL),
        MR_OK);
    assert_int_equal(mr_log_create(log, &topic, NULL), MR_OK);
    assert_int_equal(mr_session_open(log, &producer, &session, NULL), MR_OK);
    assert_int_equal(mr_session_append(session, &record, NULL), MR_OK);
    assert_int_equal(mr_session_commit(session, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(session);
    mr_log_close(log);
    assert_int_equal(line("tail in --log $L --until-end --with-headers"), MR_EXIT_OK);
    assert_string_equal(out, "why=no `id`; at=7\t{}\n");
}

static void a_line_without_its_key_makes_produce_fail_and_is_told(void **state) {
    put_file("lines", "{\"id\":1}\n{\"no\":2}\n{\"id\":3}\n");
    assert_int_equal(line("produce in $D/lines --key id --log $L"), MR_EXIT_FAILED);
    assert_non_null(strstr(err, "/lines:2: refused: field `id` is missing"));
    assert_non_null(strstr(err, "refused 1 line\n"));
    assert_int_equal(line("tail in --log $L --until-end"), MR_EXIT_OK);
    assert_string_equal(out, "{\"id\":1}\n{\"id\":3}\n");
}

static void topics_are_listed_and_checked(void **state) {
    put_file("lines", "1\n2\n3\n");
    assert_int_equal(line("produce readings $D/lines --retention 7d --log $L"), MR_EXIT_OK);
    assert_int_equal(line("produce other $D/lines --partitions 3 --log $L"), MR_EXIT_OK);
    assert_int_equal(line("topics --log $L"), MR_EXIT_OK);
    const char *row = strstr(out, "\nreadings ");
    assert_non_null(row);
    assert_non_null(strstr(row, " 0..3  records    7d        -\n"));
    assert_true(strstr(out, "\nother ") < row);
    assert_int_equal(line("topics --log $L --check"), MR_EXIT_OK);
    assert_string_equal(out, "other: 3 records are good\nreadings: 3 records are good\n");
}

static void what_is_not_there_is_a_failure(void **state) {
    assert_int_equal(line("topics --log $L"), MR_EXIT_FAILED);
    assert_int_equal(line("tail in --log $L"), MR_EXIT_FAILED);
    assert_int_equal(line("produce in $D/nothing --log $L"), MR_EXIT_FAILED);
    assert_non_null(strstr(err, "/nothing"));
    put_file("lines", "1\n");
    assert_int_equal(line("produce in $D/lines --log $L"), MR_EXIT_OK);
    assert_int_equal(line("tail out --log $L"), MR_EXIT_FAILED);
    assert_non_null(strstr(err, "\"out\""));
}

static void a_wrong_command_line_is_a_usage_error(void **state) {
    static const char *const lines[] = {
        "produce --log $L",
        "produce in --log $L --partitions 1.5",
        "produce in --log $L --partitions 2000",
        "produce in file --log $L --simulate joulescope",
        "produce in --log $L --simulate joulescope --key device",
        "produce in --log $L --simulate oscilloscope",
        "produce in --log $L --simulate joulescope --rate fast",
        "produce in --log $L --simulate joulescope --rate 0",
        "produce in --log $L --simulate joulescope --rate 2GHz",
        "produce in --log $L --simulate joulescope --start yesterday",
        "produce in --log $L --simulate joulescope --for 60",
        "tail --log $L",
        "tail a b --log $L",
        "tail in --log $L --from middle",
        "tail in --log $L --from -1",
        "tail in",
        "topics in --log $L",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (line(lines[i]) != MR_EXIT_USAGE) {
            fail_msg("%s", lines[i]);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_was_produced_is_what_tail_prints),
        TEST(partitions_are_merged_in_the_order_of_appending),
        TEST(a_value_stays_on_its_line_and_cannot_speak_to_the_terminal),
        TEST(a_frame_is_shown_as_one_line_about_it),
        TEST(headers_are_shown_when_asked_for),
        TEST(a_line_without_its_key_makes_produce_fail_and_is_told),
        TEST(topics_are_listed_and_checked),
        TEST(what_is_not_there_is_a_failure),
        TEST(a_wrong_command_line_is_a_usage_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
