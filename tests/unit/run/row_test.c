/* The rows of a job without a window, as the log has them. */
#include "engine/run/run.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

#define PARTITIONS 3

#define HEAD "job: j\nfrom: {topic: in, format: json, timestamp: {field: t, unit: s},\n"
static const char job[] = HEAD "       fields: {v: number}}\nto: [{topic: out}, {topic: again}]\n";
/* Its rows are five times as long as its records. */
static const char longer[] = HEAD "       fields: {s: text}}\nlet: {a: s, b: s, c: s, d: s}\n"
                                  "to: [{topic: out}]\n";

struct fixture {
    struct mr_clock clock;
    struct mr_log *log;
    struct mr_plan *plan;
    struct mr_session *producer;
    struct mr_error err;
};

static void load(struct fixture *f, const char *text) {
    struct mr_faults faults = {0};
    mr_plan_destroy(f->plan);
    assert_int_equal(mr_job_load_text("j.yaml", mr_slice_of(text), &f->plan, &faults), MR_OK);
    mr_faults_finish(&faults);
}

static int set_up(void **state) {
    struct fixture *f = *state = mr_allocate(sizeof *f);
    struct mr_topic input = {
        .name = "in", .partitions = PARTITIONS, .retention_ns = -1, .retention_bytes = -1};
    struct mr_session_options producer = {0};
    f->clock = mr_virtual_clock(1000 * MR_SECOND);
    load(f, job);
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &f->clock, &f->log, &f->err),
        MR_OK);
    assert_int_equal(mr_log_create(f->log, &input, &f->err), MR_OK);
    assert_int_equal(mr_session_open(f->log, &producer, &f->producer, &f->err), MR_OK);
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    mr_session_close(f->producer);
    mr_log_close(f->log);
    mr_plan_destroy(f->plan);
    free(f);
    return 0;
}

static void send(struct fixture *f, uint32_t partition, struct mr_slice key, const char *value) {
    struct mr_append append = {.topic = "in",
                               .partition = partition,
                               .timestamp_ns = 999 * MR_SECOND,
                               .key = key,
                               .value = mr_slice_of(value)};
    assert_int_equal(mr_session_append(f->producer, &append, &f->err), MR_OK);
    assert_int_equal(mr_session_commit(f->producer, NULL, 0, &f->err), MR_COMMITTED);
}

static void run(struct fixture *f) {
    struct mr_worker_options options = {.workers = 1, .until_end = true};
    struct mr_worker *worker = NULL;
    assert_int_equal(mr_run_prepare(f->plan, f->log, &f->err), MR_OK);
    assert_int_equal(mr_worker_create(f->plan, f->log, &f->clock, &options, &worker, &f->err),
                     MR_OK);
    while (!mr_worker_done(worker)) {
        assert_int_equal(mr_worker_step(worker, 0, &f->err), MR_OK);
    }
    assert_int_equal(mr_worker_finish(worker, &f->err), MR_OK);
    mr_worker_destroy(worker);
}

static size_t read_rows(struct fixture *f, const char *topic, uint32_t partition,
                        void (*check)(const struct mr_message *row, size_t i)) {
    struct mr_partition source = {.partition = partition};
    struct mr_reader *reader;
    struct mr_batch batch;
    size_t count = 0;
    snprintf(source.topic, sizeof source.topic, "%s", topic);
    assert_int_equal(mr_reader_open(f->log, &source, -1, &reader, &f->err), MR_OK);
    while (mr_reader_read(reader, 0, &batch, &f->err) == MR_OK && batch.count > 0) {
        for (size_t i = 0; i < batch.count; i++) {
            check(&batch.messages[i], count++);
        }
    }
    mr_reader_close(reader);
    return count;
}

static void check_keyed(const struct mr_message *row, size_t i) {
    static const char *const values[] = {
        "{\"job\":\"j\",\"time\":\"1970-01-01T00:00:05Z\",\"v\":1.0}",
        "{\"job\":\"j\",\"time\":\"1970-01-01T00:00:04Z\",\"v\":null}"};
    assert_in_range(i, 0, 1);
    assert_true(mr_slice_equal(row->key, mr_slice_of("k")));
    assert_true(mr_slice_equal(row->value, mr_slice_of(values[i])));
    assert_int_equal(row->timestamp_ns, (i == 0 ? 5 : 4) * MR_SECOND);
    assert_int_equal(row->header_count, 0);
}

static void check_keyless(const struct mr_message *row, size_t i) {
    assert_int_equal(i, 0);
    assert_null(row->key.data);
}

static void a_row_has_key_and_partition_of_its_record_and_the_event_time(void **state) {
    struct fixture *f = *state;
    send(f, 2, mr_slice_of("k"), "{\"t\":5,\"v\":1}");
    send(f, 2, mr_slice_of("k"), "{\"t\":4}"); /* in the order of the log */
    send(f, 1, (struct mr_slice){0}, "{\"t\":6,\"v\":2}");
    run(f);
    assert_int_equal(read_rows(f, "out", 2, check_keyed), 2);
    assert_int_equal(read_rows(f, "again", 2, check_keyed), 2);
    assert_int_equal(read_rows(f, "out", 1, check_keyless), 1);
    assert_int_equal(read_rows(f, "out", 0, check_keyless), 0);
}

static void a_second_run_writes_no_row_again(void **state) {
    struct fixture *f = *state;
    send(f, 2, mr_slice_of("k"), "{\"t\":5,\"v\":1}");
    run(f);
    run(f);
    assert_int_equal(read_rows(f, "out", 2, check_keyed), 1);
}

static void check_short(const struct mr_message *row, size_t i) {
    assert_int_equal(i, 0);
    assert_true(row->value.length > 5 * 500000);
}

static void check_too_long(const struct mr_message *letter, size_t i) {
    assert_int_equal(i, 0);
    assert_true(
        mr_slice_equal(letter->headers[0].value,
                       mr_slice_of("its row would be 5000076 bytes long, more than 4194304")));
}

static void a_record_whose_row_would_be_too_long_is_a_dead_letter(void **state) {
    struct fixture *f = *state;
    struct mr_buffer text = {0};
    static const size_t lengths[] = {1000000, 500000};
    load(f, longer);
    for (int i = 0; i < 2; i++) {
        text.length = 0;
        mr_buffer_format(&text, "{\"t\":5,\"s\":\"%0*d\"}", (int)lengths[i], 0);
        mr_buffer_add(&text, "", 1);
        send(f, 0, (struct mr_slice){0}, text.data);
    }
    run(f);
    assert_int_equal(read_rows(f, "out", 0, check_short), 1);
    assert_int_equal(read_rows(f, "j-dead-letters", 0, check_too_long), 1);
    mr_buffer_finish(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_row_has_key_and_partition_of_its_record_and_the_event_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_run_writes_no_row_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_whose_row_would_be_too_long_is_a_dead_letter,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
