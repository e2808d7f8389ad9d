/* The log's contract on the embedded log, and what only a log on disk can do: be there after it
 * was closed, and be shared by processes. */
#include "tests/lib/log_contract.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct mr_log *log_of(void **state) {
    return ((struct mr_log_fixture *)*state)->log;
}

static int set_up(void **state) {
    mr_fixture_scheme = "local";
    mr_fixture_set_up(state);
    mr_make_topic(log_of(state), "in", 1);
    mr_make_job_topic(log_of(state), "out", "j", MR_KEEP_RECORDS);
    mr_make_job_topic(log_of(state), "changes", "j", MR_KEEP_LAST_OF_KEY);
    return 0;
}

static void everything_is_there_after_it_was_closed(void **state) {
    struct mr_event event;
    mr_produce(log_of(state), "in", 0, "a");
    struct mr_session *worker = mr_open_worker(log_of(state), "j", "in", 0, 1);
    mr_append_text(worker, "out", NULL, "A");
    mr_append_text(worker, "changes", "k", "1");
    assert_int_equal(mr_commit_at(worker, "in", 1, "note"), MR_COMMITTED);
    mr_session_close(worker);
    mr_fixture_reopen(*state);
    assert_string_equal(mr_values(log_of(state), "in", 0), "a");
    assert_string_equal(mr_values(log_of(state), "out", 0), "A");
    assert_string_equal(mr_kept(log_of(state), "changes"), "k=1");
    mr_produce(log_of(state), "in", 0, "b");
    worker = mr_open_worker(log_of(state), "j", "in", 0, 1);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, 1);
    assert_true(mr_slice_equal(event.note, mr_slice_of("note")));
    assert_int_equal(mr_session_start(worker, &event.source, event.offset, NULL), MR_OK);
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.messages[0].offset, 1);
    mr_session_close(worker);
}

/* A child process that does one thing to the log, then waits for a byte from its parent. */
struct helper {
    pid_t pid;
    int ready, hold;
};

static struct helper start_helper(const char *url, void (*work)(struct mr_log *log, int arg),
                                  int arg) {
    int ready[2], hold[2];
    char byte = 'r';
    assert_int_equal(pipe(ready) + pipe(hold), 0);
    struct helper helper = {.pid = fork(), .ready = ready[0], .hold = hold[1]};
    assert_true(helper.pid >= 0);
    if (helper.pid == 0) {
        struct mr_log *log;
        if (mr_log_open(url, &(struct mr_log_options){.make = true}, &mr_real_clock, &log, NULL) !=
            MR_OK) {
            _exit(1);
        }
        work(log, arg);
        bool told = write(ready[1], &byte, 1) == 1;
        _exit(told && read(hold[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(ready[1]);
    close(hold[0]);
    return helper;
}

static void wait_ready(const struct helper *helper) {
    char byte;
    assert_int_equal(read(helper->ready, &byte, 1), 1);
}

static int end_helper(const struct helper *helper) {
    int how = 0;
    ssize_t told = write(helper->hold, "x", 1);
    assert_true(told == 1 || errno == EPIPE);
    close(helper->hold);
    close(helper->ready);
    assert_int_equal(waitpid(helper->pid, &how, 0), helper->pid);
    return how;
}

static void run_job(struct mr_log *log, int arg) {
    struct mr_session *worker;
    struct mr_session_options options = {"j", "in", NULL, 0, 1};
    if (mr_session_open(log, &options, &worker, NULL) != MR_OK) {
        _exit(1);
    }
}

static void a_second_run_names_the_process_of_the_first(void **state) {
    struct mr_log_fixture *fixture = *state;
    struct mr_session *worker;
    struct mr_session_options options = {"j", "in", NULL, 0, 1};
    struct mr_error err;
    char pid[32];
    struct helper helper = start_helper(fixture->url, run_job, 0);
    wait_ready(&helper);
    assert_int_equal(mr_session_open(fixture->log, &options, &worker, &err), MR_REJECT);
    snprintf(pid, sizeof pid, "in process %d", (int)helper.pid);
    mr_assert_says(&err, pid);
    assert_int_equal(mr_log_reset(fixture->log, "j", "changes", &err), MR_REJECT);
    mr_assert_says(&err, pid);
    assert_int_equal(kill(helper.pid, SIGKILL), 0);
    end_helper(&helper);
    mr_session_close(mr_open_worker(fixture->log, "j", "in", 0, 1));
}

static void produce_numbers(struct mr_log *log, int arg) {
    struct mr_session *producer;
    char value[32];
    bool good = mr_session_open(log, &(struct mr_session_options){0}, &producer, NULL) == MR_OK;
    for (int i = 0; good && i < 400; i++) {
        struct mr_append record = {.topic = "in", .timestamp_ns = arg};
        snprintf(value, sizeof value, "%d", i);
        record.value = mr_slice_of(value);
        good = mr_session_append(producer, &record, NULL) == MR_OK;
        if (good && i % 10 == 9) {
            good = mr_session_commit(producer, NULL, 0, NULL) == MR_COMMITTED;
        }
    }
    if (!good) {
        _exit(1);
    }
}

static void producers_of_several_processes_share_a_topic(void **state) {
    struct mr_log_fixture *fixture = *state;
    struct helper helpers[3];
    int next[3] = {0};
    for (int h = 0; h < 3; h++) {
        helpers[h] = start_helper(fixture->url, produce_numbers, h);
    }
    for (int h = 0; h < 3; h++) {
        wait_ready(&helpers[h]);
        assert_int_equal(end_helper(&helpers[h]), 0);
    }
    struct mr_reader *reader;
    struct mr_partition source = mr_partition_at("in", 0);
    struct mr_batch batch = {.count = 1};
    int64_t offset = 0;
    assert_int_equal(mr_reader_open(fixture->log, &source, -1, &reader, NULL), MR_OK);
    while (batch.count > 0) {
        assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
        for (size_t i = 0; i < batch.count; i++, offset++) {
            const struct mr_message *m = &batch.messages[i];
            assert_int_equal(m->offset, offset);
            assert_int_equal(strtol(m->value.data, NULL, 10), next[m->timestamp_ns]++);
        }
    }
    assert_int_equal(offset, 1200);
    mr_reader_close(reader);
}

static void append_late(struct mr_log *log, int arg) {
    struct mr_session *producer;
    struct mr_append record = {.topic = "in", .timestamp_ns = -1, .value = mr_slice_of("late")};
    if (mr_session_open(log, &(struct mr_session_options){0}, &producer, NULL) != MR_OK ||
        mr_session_append(producer, &record, NULL) != MR_OK ||
        mr_session_commit(producer, NULL, 0, NULL) != MR_COMMITTED) {
        _exit(1);
    }
}

static void a_session_sees_what_another_process_appends(void **state) {
    struct mr_log_fixture *fixture = *state;
    struct mr_event event;
    struct mr_session *worker = mr_open_worker(fixture->log, "j", "in", 0, 1);
    mr_poll_for(worker, MR_EVENT_END, &event);
    struct helper helper = start_helper(fixture->url, append_late, 0);
    assert_int_equal(mr_session_poll(worker, 60 * MR_SECOND, &event, NULL), MR_OK);
    assert_int_equal(event.kind, MR_EVENT_BATCH);
    assert_true(mr_slice_equal(event.batch.messages[0].value, mr_slice_of("late")));
    assert_int_equal(end_helper(&helper), 0);
    mr_session_close(worker);
}

int main(void) {
#define ON_DISK(name) cmocka_unit_test_setup_teardown(name, set_up, mr_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ON_DISK(everything_is_there_after_it_was_closed),
        ON_DISK(a_second_run_names_the_process_of_the_first),
        ON_DISK(producers_of_several_processes_share_a_topic),
        ON_DISK(a_session_sees_what_another_process_appends),
    };
    signal(SIGPIPE, SIG_IGN); /* a helper may be killed */
    return mr_log_contract_run("local") + mr_log_embedded_run("local") +
           cmocka_run_group_tests(tests, NULL, NULL);
}
