/* Flipped bytes in stored files: a wrong value is never served, and the check finds what reading
 * finds.
 *
 * A bit of every 97th byte of a small file is flipped, one at a time. A child reads the whole topic
 * and compares: a difference is either an error of the log or, when LMDB follows a damaged page
 * head out of its map, the end of the child; a record that differs without either fails the test.
 * Many bytes of a file are in no live page: flipping those changes nothing. */
#include "engine/log/local.h"
#include "tests/lib/log_contract.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP    97
#define RECORDS 40

enum { SOUND, NOTICED, SERVED_WRONG };

static char big[6000];

/* What record i holds; sizes from 10 bytes to more than a page. */
static struct mr_slice value_of(int i) {
    return (struct mr_slice){big + 7 * i, i % 8 == 7 ? sizeof big - 300 : (size_t)(10 + 13 * i)};
}

static void key_of(int i, char key[16]) {
    snprintf(key, 16, "key-%d", i);
}

static struct mr_append record_of(const char *topic, int i, char key[16]) {
    key_of(i, key);
    return (struct mr_append){
        .topic = topic, .timestamp_ns = i, .key = mr_slice_of(key), .value = value_of(i)};
}

static void fill(struct mr_session *session, const char *topic) {
    char key[16];
    for (int i = 0; i < RECORDS; i++) {
        struct mr_append record = record_of(topic, i, key);
        assert_int_equal(mr_session_append(session, &record, NULL), MR_OK);
    }
}

static bool is_right(const struct mr_message *m, int i) {
    char key[16];
    key_of(i, key);
    return mr_slice_equal(m->value, value_of(i)) && mr_slice_equal(m->key, mr_slice_of(key)) &&
           m->timestamp_ns == i && m->header_count == 0;
}

/* Reads everything, says how it went. */
static int read_topic(struct mr_log *log, const char *topic, bool keyed) {
    struct mr_partition source = mr_partition_at(topic, 0);
    struct mr_reader *reader;
    struct mr_batch batch = {.count = 1};
    int count = 0, seen = SOUND;
    if (mr_reader_open(log, &source, keyed ? -1 : 0, &reader, NULL) != MR_OK) {
        return NOTICED;
    }
    while (seen == SOUND && batch.count > 0) {
        if (mr_reader_read(reader, 0, &batch, NULL) != MR_OK) {
            seen = NOTICED;
            break;
        }
        for (size_t k = 0; k < batch.count; k++, count++) {
            const struct mr_message *m = &batch.messages[k];
            int i = keyed ? (int)m->timestamp_ns : (int)m->offset;
            if (i < 0 || i >= RECORDS || !is_right(m, i) || (!keyed && i != count)) {
                seen = SERVED_WRONG;
            }
        }
    }
    mr_reader_close(reader);
    return seen == SOUND && count != RECORDS ? NOTICED : seen;
}

static bool check_finds(struct mr_log *log, const char *topic) {
    struct mr_check_report report;
    assert_int_equal(mr_log_check(log, topic, &report, NULL), MR_OK);
    assert_int_equal(report.bad_records > 0, report.first.text[0] != '\0');
    return report.bad_records > 0;
}

struct results { /* shared with the children that read */
    const char *topic;
    bool keyed;
    size_t next; /* the flip to try next */
    char seen[4096];
};

struct mapped {
    unsigned char *bytes;
    size_t size;
};

static struct mapped map_file(const char *path) {
    struct stat status;
    int file = open(path, O_RDWR);
    assert_int_equal(fstat(file, &status), 0);
    struct mapped mapped = {.size = (size_t)status.st_size};
    mapped.bytes = mmap(NULL, mapped.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_ptr_not_equal(mapped.bytes, MAP_FAILED);
    close(file);
    return mapped;
}

static void flip(struct mapped file, size_t at) {
    file.bytes[at] ^= (unsigned char)(1u << at % 8);
}

/* In a child: reads with one flip after another, from results->next on, until LMDB ends it. */
static void read_with_flips(struct mr_log *log, struct mapped file, struct results *results) {
    signal(SIGSEGV, SIG_DFL); /* cmocka would go on with the next test, in the child */
    signal(SIGBUS, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    int quiet = open("/dev/null", O_WRONLY);
    dup2(quiet, STDERR_FILENO);
    for (; results->next * STEP < file.size; results->next++) {
        flip(file, results->next * STEP);
        results->seen[results->next] = (char)read_topic(log, results->topic, results->keyed);
        flip(file, results->next * STEP);
    }
    _exit(0);
}

static void read_all(struct mr_log *log, struct mapped file, struct results *results) {
    while (results->next * STEP < file.size) {
        int how = 0;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            read_with_flips(log, file, results);
        }
        assert_int_equal(waitpid(child, &how, 0), child);
        if (!WIFEXITED(how)) { /* it did not come to flipping back */
            flip(file, results->next * STEP);
            results->seen[results->next++] = NOTICED;
        }
    }
}

/* What reading noticed is found by the check too. A sample: each check forks. */
static void check_noticed(struct mr_log *log, struct mapped file, const struct results *results) {
    size_t noticed = 0, tried = 0, found = 0, live = 0;
    for (size_t i = 0; i * STEP < file.size; i++) {
        if (results->seen[i] == SERVED_WRONG) {
            fail_msg("a wrong value was served with byte %zu flipped", i * STEP);
        }
        if (results->seen[i] == NOTICED && noticed++ % 8 == 0) {
            tried++;
            flip(file, i * STEP);
            found += check_finds(log, results->topic);
            flip(file, i * STEP);
        }
    }
    for (int i = 0; i < RECORDS; i++) {
        live += value_of(i).length;
    }
    assert_true(noticed >= live / STEP); /* every value is in the file at least once */
    /* A flip in the file's head can make it look as it was one commit ago: sound, but short. */
    assert_true(found * 10 >= tried * 9);
}

static void flip_all(struct mr_log *log, const char *path, const char *topic, bool keyed) {
    struct mapped file = map_file(path);
    struct results *results =
        mmap(NULL, sizeof *results, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(results, MAP_FAILED);
    assert_true(file.size / STEP < sizeof results->seen);
    results->topic = topic;
    results->keyed = keyed;
    assert_int_equal(read_topic(log, topic, keyed), SOUND);
    assert_false(check_finds(log, topic));
    read_all(log, file, results);
    check_noticed(log, file, results);
    assert_int_equal(read_topic(log, topic, keyed), SOUND);
    munmap(results, sizeof *results);
    munmap(file.bytes, file.size);
}

static void flips_in_an_input_topic_are_noticed(void **state) {
    struct mr_log_fixture *fixture = *state;
    struct mr_session *producer = mr_open_producer(fixture->log);
    fill(producer, "in");
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    char *path = mr_path("%s/log/topics/in/0/00000000000000000000.mdb", fixture->directory);
    flip_all(fixture->log, path, "in", false);
    free(path);
}

static void flips_in_a_jobs_file_are_noticed(void **state) {
    struct mr_log_fixture *fixture = *state;
    struct mr_session *worker = mr_open_worker(fixture->log, "j", "in", 0, 1);
    fill(worker, "changes");
    assert_int_equal(mr_commit_at(worker, "in", 0, "note"), MR_COMMITTED);
    mr_session_close(worker);
    char *path = mr_path("%s/log/jobs/j/job.mdb", fixture->directory);
    flip_all(fixture->log, path, "changes", true);
    free(path);
}

static void a_flip_in_a_value_is_found_by_place(void **state) {
    struct mr_log_fixture *fixture = *state;
    struct mr_check_report report;
    mr_produce(fixture->log, "in", 0, "something easy to find");
    mr_produce(fixture->log, "in", 0, "a value no one else has");
    char *path = mr_path("%s/log/topics/in/0/00000000000000000000.mdb", fixture->directory);
    struct mapped file = map_file(path);
    for (unsigned char *at = file.bytes;
         (at = memmem(at, file.size - (size_t)(at - file.bytes), "no one", 6)); at++) {
        at[3] ^= 1;
    }
    munmap(file.bytes, file.size);
    assert_int_equal(mr_log_check(fixture->log, "in", &report, NULL), MR_OK);
    assert_int_equal(report.records, 2);
    assert_int_equal(report.bad_records, 1);
    mr_assert_says(&report.first, "topic \"in\", partition 0, offset 1");
    mr_assert_says(&report.first, "bad checksum");
    mr_assert_says(&report.first, path);
    free(path);
}

static int set_up(void **state) {
    mr_fixture_scheme = "local";
    mr_fixture_set_up(state);
    struct mr_log *log = ((struct mr_log_fixture *)*state)->log;
    mr_make_topic(log, "in", 1);
    mr_make_job_topic(log, "changes", "j", MR_KEEP_LAST_OF_KEY);
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (char)(i * 2654435761u >> 15);
    }
    return 0;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, mr_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(flips_in_an_input_topic_are_noticed),
        TEST(flips_in_a_jobs_file_are_noticed),
        TEST(a_flip_in_a_value_is_found_by_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
