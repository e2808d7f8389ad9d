/* kill -9 of a writer at any moment: what was acknowledged is there, and a transaction is there
 * whole or not at all.
 *
 *   child    commits without end; after each commit it writes "so many records" into a pipe
 *   parent   reads some acknowledgements, lets a random time pass, kills, and compares what the
 *            log holds with the last acknowledgement
 *
 * Record i of the output holds i; the changelog's key "k<i % 50>" holds the last such i; the
 * position is the number of records, as is its note. */
#include "engine/log/local.h"
#include "tests/lib/log_contract.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOB_KILLS      70
#define PRODUCER_KILLS 40

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t draw(uint64_t below) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static void put(struct mr_session *session, const char *topic, const char *key, int64_t number,
                size_t size) {
    static char value[70000];
    memset(value, '.', size);
    int length = snprintf(value, sizeof value, "%" PRId64, number);
    value[length] = ' ';
    struct mr_append record = {.topic = topic,
                               .timestamp_ns = -1,
                               .key = key ? mr_slice_of(key) : (struct mr_slice){0},
                               .value = {value, size}};
    if (mr_session_append(session, &record, NULL) != MR_OK) {
        _exit(1);
    }
}

static void acknowledge(int pipe, int64_t count) {
    if (write(pipe, &count, sizeof count) != sizeof count) {
        _exit(1);
    }
}

static void work_as_job(struct mr_log *log, int pipe) {
    struct mr_session *worker;
    struct mr_event event;
    char key[32], note[32];
    struct mr_session_options options = {"j", "in", NULL, 0, 1};
    if (mr_session_open(log, &options, &worker, NULL) != MR_OK ||
        mr_session_poll(worker, 0, &event, NULL) != MR_OK) {
        _exit(1);
    }
    int64_t next = event.offset < 0 ? 0 : event.offset;
    for (;;) {
        for (uint64_t left = 1 + draw(50); left > 0; left--, next++) {
            snprintf(key, sizeof key, "k%d", (int)(next % 50));
            put(worker, "out", NULL, next, 20 + draw(3000));
            put(worker, "changes", key, next, 20 + draw(300));
        }
        snprintf(note, sizeof note, "%" PRId64, next);
        if (mr_commit_at(worker, "in", next, note) != MR_COMMITTED) {
            _exit(1);
        }
        acknowledge(pipe, next);
    }
}

static void work_as_producer(struct mr_log *log, int pipe) {
    struct mr_session *producer;
    int64_t first, next;
    struct mr_partition source = mr_partition_at("in", 0);
    if (mr_session_open(log, &(struct mr_session_options){0}, &producer, NULL) != MR_OK ||
        mr_log_bounds(log, &source, &first, &next, NULL) != MR_OK) {
        _exit(1);
    }
    for (;;) {
        for (uint64_t left = 1 + draw(20); left > 0; left--, next++) {
            put(producer, "in", NULL, next, 20 + draw(65000));
        }
        if (mr_session_commit(producer, NULL, 0, NULL) != MR_COMMITTED) {
            _exit(1);
        }
        acknowledge(pipe, next);
    }
}

/* Starts a child, kills it, and returns its last acknowledgement; -1: there was none. */
static int64_t kill_one(const char *url, void (*work)(struct mr_log *log, int pipe)) {
    int acks[2], how;
    int64_t count, last = -1;
    assert_int_equal(pipe(acks), 0);
    draw(2);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct mr_log *log;
        close(acks[0]);
        if (mr_log_open(url, &(struct mr_log_options){.make = true}, &mr_real_clock, &log, NULL) ==
            MR_OK) {
            work(log, acks[1]);
        }
        _exit(1);
    }
    close(acks[1]);
    for (uint64_t left = draw(8); left > 0; left--) {
        assert_int_equal(read(acks[0], &count, sizeof count), sizeof count);
        last = count;
    }
    for (volatile uint64_t spin = draw(2000000); spin > 0; spin--) {
        /* the moment is to be random: also in the middle of a commit */
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    while (read(acks[0], &count, sizeof count) == sizeof count) {
        last = count;
    }
    close(acks[0]);
    return last;
}

/* Every record from the first one on holds its own offset. Returns the end. */
static int64_t check_numbers(struct mr_log *log, const char *topic) {
    struct mr_partition source = mr_partition_at(topic, 0);
    struct mr_reader *reader;
    struct mr_batch batch = {.count = 1};
    int64_t first, end, next;
    struct mr_error err;
    assert_int_equal(mr_log_bounds(log, &source, &first, &end, &err), MR_OK);
    next = first;
    assert_int_equal(mr_reader_open(log, &source, -1, &reader, &err), MR_OK);
    while (batch.count > 0) {
        if (mr_reader_read(reader, 0, &batch, &err) != MR_OK) {
            fail_msg("%s", err.text);
        }
        for (size_t i = 0; i < batch.count; i++, next++) {
            assert_int_equal(batch.messages[i].offset, next);
            assert_int_equal(strtoll(batch.messages[i].value.data, NULL, 10), next);
        }
    }
    mr_reader_close(reader);
    assert_int_equal(next, end);
    return end;
}

static void check_changelog(struct mr_log *log, int64_t end) {
    struct mr_partition source = mr_partition_at("changes", 0);
    struct mr_reader *reader;
    struct mr_batch batch;
    int64_t keys = end < 50 ? end : 50;
    assert_int_equal(mr_reader_open(log, &source, -1, &reader, NULL), MR_OK);
    assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
    assert_int_equal(batch.count, keys);
    for (size_t i = 0; i < batch.count; i++) {
        int64_t number = strtoll(batch.messages[i].value.data, NULL, 10);
        int64_t key = batch.messages[i].key.data[1] - '0';
        if (batch.messages[i].key.length == 3) {
            key = 10 * key + batch.messages[i].key.data[2] - '0';
        }
        assert_int_equal(number % 50, key);
        assert_in_range(number, end - keys, end - 1);
    }
    mr_reader_close(reader);
}

static void a_job_that_is_killed_has_committed_all_or_nothing(void **state) {
    struct mr_log_fixture *fixture = *state;
    char note[32];
    int64_t before = 0, acknowledged = 0;
    for (int i = 0; i < JOB_KILLS; i++) {
        int64_t last = kill_one(fixture->url, work_as_job);
        acknowledged = last > acknowledged ? last : acknowledged;
        int64_t end = check_numbers(fixture->log, "out");
        check_changelog(fixture->log, end);
        assert_true(end >= acknowledged && end >= before);
        struct mr_session *worker = mr_open_worker(fixture->log, "j", "in", 0, 1);
        struct mr_event event;
        mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
        assert_int_equal(event.offset, end == 0 ? -1 : end);
        snprintf(note, sizeof note, "%" PRId64, end);
        assert_true(end == 0 || mr_slice_equal(event.note, mr_slice_of(note)));
        mr_session_close(worker);
        before = end;
    }
    assert_true(before > JOB_KILLS);
}

static void a_producer_that_is_killed_loses_nothing_acknowledged(void **state) {
    struct mr_log_fixture *fixture = *state;
    int64_t before = 0;
    for (int i = 0; i < PRODUCER_KILLS; i++) {
        int64_t last = kill_one(fixture->url, work_as_producer);
        int64_t end = check_numbers(fixture->log, "in");
        assert_true(end >= last && end >= before);
        before = end;
    }
    assert_true(before > PRODUCER_KILLS);
}

static int set_up(void **state) {
    mr_fixture_scheme = "local";
    mr_fixture_set_up(state);
    struct mr_log *log = ((struct mr_log_fixture *)*state)->log;
    /* So small that files are begun and unlinked all the time. */
    struct mr_topic in = {
        .name = "in", .partitions = 1, .retention_ns = -1, .retention_bytes = INT64_C(4) << 20};
    assert_int_equal(mr_log_create(log, &in, NULL), MR_OK);
    mr_make_job_topic(log, "out", "j", MR_KEEP_RECORDS);
    mr_make_job_topic(log, "changes", "j", MR_KEEP_LAST_OF_KEY);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_that_is_killed_has_committed_all_or_nothing, set_up,
                                        mr_fixture_tear_down),
        cmocka_unit_test_setup_teardown(a_producer_that_is_killed_loses_nothing_acknowledged,
                                        set_up, mr_fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
