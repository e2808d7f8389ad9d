/* Lines to records: what becomes one, with which key, and what is refused. */
#include "tests/unit/edge/edge_log.h"

#include <unistd.h>

/* Puts text into a file of its own; the caller unlinks and frees the path. */
static char *file_of(const char *text, size_t length) {
    char *path = mr_copy_text("/tmp/millrace-lines-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), (ssize_t)length);
    close(fd);
    return path;
}

static enum mr_status produce_bytes(const char *text, size_t length, const char *key) {
    char *path = file_of(text, length);
    const char *files[] = {path};
    struct mr_lines lines = {.key = key, .files = files, .file_count = 1};
    enum mr_status status = mr_produce_lines(test_log, &target, &lines, &written, &err);
    unlink(path);
    free(path);
    return status;
}

static enum mr_status produce(const char *text, const char *key) {
    return produce_bytes(text, strlen(text), key);
}

static void join_record(void *arg, const struct mr_message *message) {
    struct mr_buffer *text = arg;
    assert_int_equal(message->timestamp_ns, NOW);
    if (message->key.data) {
        mr_buffer_add(text, message->key.data, message->key.length);
        mr_buffer_text(text, "=");
    }
    mr_buffer_add(text, message->value.data, message->value.length);
    mr_buffer_text(text, "|");
}

/* Everything in a partition as "key=value|value|". */
static void holds(uint32_t partition, const char *expected) {
    struct mr_buffer text = {0};
    each_record(partition, join_record, &text);
    mr_buffer_add(&text, "", 1);
    assert_string_equal(text.data, expected);
    mr_buffer_finish(&text);
}

static void each_line_is_a_record_in_order(void **state) {
    assert_int_equal(produce("{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", NULL), MR_OK);
    assert_int_equal(written.records, 3);
    assert_int_equal(written.partitions, 1);
    holds(0, "{\"a\":1}|{\"a\":2}|{\"a\":3}|");
}

static void the_last_line_needs_no_newline(void **state) {
    assert_int_equal(produce("1\n2", NULL), MR_OK);
    holds(0, "1|2|");
}

static void a_carriage_return_belongs_to_the_line_end(void **state) {
    assert_int_equal(produce("1\r\n2 \r\r\n3\r", NULL), MR_OK);
    holds(0, "1|2 \r|3|");
}

static void blank_lines_are_left_out_and_counted(void **state) {
    assert_int_equal(produce("\n1\n  \t\n\r\n2\n\n", NULL), MR_OK);
    assert_int_equal(written.records, 2);
    assert_int_equal(written.blank, 4);
    holds(0, "1|2|");
}

static void a_line_that_is_not_json_is_a_record_all_the_same(void **state) {
    assert_int_equal(produce_bytes("{\"a\":\n\0\xFF\n", 9, NULL), MR_OK);
    assert_int_equal(written.records, 2);
}

static void an_empty_input_makes_the_topic(void **state) {
    target.partitions = 3;
    assert_int_equal(produce("", NULL), MR_OK);
    assert_int_equal(written.records, 0);
    assert_int_equal(written.partitions, 3);
}

static void several_files_follow_one_another(void **state) {
    char *first = file_of("1\n2", 3), *second = file_of("3\n", 2);
    const char *files[] = {first, second};
    struct mr_lines lines = {.files = files, .file_count = 2};
    assert_int_equal(mr_produce_lines(test_log, &target, &lines, &written, &err), MR_OK);
    holds(0, "1|2|3|");
    unlink(first);
    unlink(second);
    free(first);
    free(second);
}

static void a_file_that_is_not_there_is_told_before_anything_is_written(void **state) {
    char *first = file_of("1\n", 2);
    const char *files[] = {first, "/nonexistent/lines"};
    struct mr_lines lines = {.files = files, .file_count = 2};
    assert_int_equal(mr_produce_lines(test_log, &target, &lines, &written, &err), MR_FAIL);
    assert_non_null(strstr(err.text, "/nonexistent/lines"));
    assert_int_equal(written.records, 0);
    unlink(first);
    free(first);
}

static void the_key_is_the_fields_value_as_text(void **state) {
    assert_int_equal(produce("{\"id\":\"p\\u00e9\",\"x\":{\"id\":0}}\n{\"id\":17}\n{\"id\":1.5}\n"
                             "{\"id\":true}\n",
                             "id"),
                     MR_OK);
    holds(0, "p\u00e9={\"id\":\"p\\u00e9\",\"x\":{\"id\":0}}|17={\"id\":17}|1.5={\"id\":1.5}|"
             "true={\"id\":true}|");
}

static void equal_keys_go_to_one_partition(void **state) {
    target.partitions = 4;
    assert_int_equal(
        produce("{\"id\":\"a\",\"n\":1}\n{\"id\":\"e\",\"n\":2}\n{\"id\":\"a\",\"n\":3}", "id"),
        MR_OK);
    uint64_t counter = 0;
    uint32_t of_a = mr_partition_of(mr_slice_of("a"), 4, &counter);
    uint32_t of_e = mr_partition_of(mr_slice_of("e"), 4, &counter);
    assert_int_not_equal(of_a, of_e);
    holds(of_a, "a={\"id\":\"a\",\"n\":1}|a={\"id\":\"a\",\"n\":3}|");
    holds(of_e, "e={\"id\":\"e\",\"n\":2}|");
}

static void a_line_without_a_key_is_refused_and_the_rest_goes_on(void **state) {
    char key[1100];
    memset(key, 'k', sizeof key);
    struct mr_buffer text = {0};
    mr_buffer_text(&text, "{\"id\":1}\n{\"no\":2}\n{\"id\":null}\n{\"id\":[1]}\n{\"id\":\"\"}\n"
                          "{\"id\":3,\"id\":3}\n[4]\n{\"id\":5\n{\"x\":{\"id\":6}}\n{\"id\":\"");
    mr_buffer_add(&text, key, sizeof key);
    mr_buffer_text(&text, "\"}\n{\"id\":7}\n");
    assert_int_equal(produce_bytes(text.data, text.length, "id"), MR_OK);
    assert_int_equal(written.records, 2);
    assert_int_equal(written.refused, 9);
    holds(0, "1={\"id\":1}|7={\"id\":7}|");
    mr_buffer_finish(&text);
}

static void a_line_may_be_longer_than_what_is_read_at_once(void **state) {
    size_t length = ((size_t)1 << 20) + 17;
    char *text = malloc(2 * length + 2);
    memset(text, 'x', 2 * length + 2);
    text[length] = text[2 * length + 1] = '\n';
    assert_int_equal(produce_bytes(text, 2 * length + 2, NULL), MR_OK);
    assert_int_equal(written.records, 2);
    free(text);
}

static void many_lines_keep_their_order_across_commits(void **state) {
    struct mr_buffer text = {0}, expected = {0};
    for (int i = 0; i < 300000; i++) {
        mr_buffer_format(&text, "%d\n", i);
        mr_buffer_format(&expected, "%d|", i);
    }
    assert_int_equal(produce_bytes(text.data, text.length, NULL), MR_OK);
    assert_int_equal(written.records, 300000);
    mr_buffer_add(&expected, "", 1);
    holds(0, expected.data);
    mr_buffer_finish(&text);
    mr_buffer_finish(&expected);
}

static void a_topic_with_another_number_of_partitions_is_refused(void **state) {
    target.partitions = 2;
    assert_int_equal(produce("1\n", NULL), MR_OK);
    target.partitions = 0;
    assert_int_equal(produce("1\n", NULL), MR_OK);
    assert_int_equal(written.partitions, 2);
    target.partitions = 3;
    assert_int_equal(produce("1\n", NULL), MR_REJECT);
    assert_non_null(strstr(err.text, "has 2 partitions, not 3"));
}

static void a_topic_of_a_job_is_refused(void **state) {
    struct mr_topic topic = {
        .name = "in", .partitions = 1, .retention_ns = -1, .retention_bytes = -1, .job = "power"};
    assert_int_equal(mr_log_create(test_log, &topic, &err), MR_OK);
    assert_int_equal(produce("1\n", NULL), MR_REJECT);
    assert_non_null(strstr(err.text, "belongs to job power"));
}

static void the_retention_is_that_of_the_target(void **state) {
    struct mr_topic topic;
    target.retention_ns = 7 * MR_SECOND;
    assert_int_equal(produce("1\n", NULL), MR_OK);
    assert_int_equal(mr_log_describe(test_log, "in", &topic, &err), MR_OK);
    assert_int_equal(topic.retention_ns, 7 * MR_SECOND);
}

/* A stop that comes before the input ends: what was read is committed. */
static void a_stop_ends_it_after_a_commit(void **state) {
    stop = true;
    assert_int_equal(produce("1\n2\n", NULL), MR_OK);
    assert_int_equal(written.records, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_log, close_log)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_line_is_a_record_in_order),
        TEST(the_last_line_needs_no_newline),
        TEST(a_carriage_return_belongs_to_the_line_end),
        TEST(blank_lines_are_left_out_and_counted),
        TEST(a_line_that_is_not_json_is_a_record_all_the_same),
        TEST(an_empty_input_makes_the_topic),
        TEST(several_files_follow_one_another),
        TEST(a_file_that_is_not_there_is_told_before_anything_is_written),
        TEST(the_key_is_the_fields_value_as_text),
        TEST(equal_keys_go_to_one_partition),
        TEST(a_line_without_a_key_is_refused_and_the_rest_goes_on),
        TEST(a_line_may_be_longer_than_what_is_read_at_once),
        TEST(many_lines_keep_their_order_across_commits),
        TEST(a_topic_with_another_number_of_partitions_is_refused),
        TEST(a_topic_of_a_job_is_refused),
        TEST(the_retention_is_that_of_the_target),
        TEST(a_stop_ends_it_after_a_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
