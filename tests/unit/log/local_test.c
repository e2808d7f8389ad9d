/* The embedded log's own matters: its directory, its files, retention, full disks, colliding
 * hashes. */
#include "engine/log/local.h"

#include "tests/lib/log_contract.h"
#include <millrace/hash.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static int set_up(void **state) {
    mr_fixture_scheme = "local";
    return mr_fixture_set_up(state);
}

static struct mr_log *log_of(void **state) {
    return ((struct mr_log_fixture *)*state)->log;
}

static const char *directory_of(void **state) {
    return ((struct mr_log_fixture *)*state)->directory;
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void refuse(const char *directory, const char *name, bool make, const char *part) {
    struct mr_log *log;
    struct mr_error err;
    char *url = mr_path("local:%s%s", directory, name);
    assert_int_equal(
        mr_log_open(url, &(struct mr_log_options){.make = make}, &mr_real_clock, &log, &err),
        MR_REJECT);
    mr_assert_says(&err, part);
    free(url);
}

/* ---- The directory -------------------------------------------------------------------------- */

static void a_log_of_a_newer_version_is_refused(void **state) {
    char *path = mr_path("%s/log/VERSION", directory_of(state));
    write_file(path, "millrace-log 2\n");
    refuse(directory_of(state), "/log", false, "newer version of millrace (format 2");
    write_file(path, "something else\n");
    refuse(directory_of(state), "/log", false, "not the version of a log");
    free(path);
}

static void a_directory_that_is_no_log_is_refused(void **state) {
    refuse(directory_of(state), "", true, "is not a log, and not empty");
    refuse(directory_of(state), "/nowhere", false, "there is no log in");
    refuse(directory_of(state), "/no/where", true, "No such file or directory");
    refuse(directory_of(state), "/log/VERSION", true, "Not a directory");
    refuse("", "", true, "needs a directory");
    char *path = mr_path("%s/empty", directory_of(state));
    assert_int_equal(mr_folder_make(path), 0);
    refuse(path, "", false, "holds no log yet");
    free(path);
}

static void one_log_can_be_opened_by_two_names(void **state) {
    struct mr_log *log;
    char *url =
        mr_path("local:%s/../%s/log", directory_of(state), strrchr(directory_of(state), '/') + 1);
    mr_make_topic(log_of(state), "t", 1);
    assert_int_equal(mr_log_open(url, NULL, &mr_real_clock, &log, NULL), MR_OK);
    struct mr_session *a = mr_open_producer(log_of(state)), *b = mr_open_producer(log);
    mr_append_text(a, "t", NULL, "a");
    mr_append_text(b, "t", NULL, "b");
    assert_int_equal(mr_session_commit(a, NULL, 0, NULL), MR_COMMITTED);
    assert_int_equal(mr_session_commit(b, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(a);
    mr_session_close(b);
    assert_string_equal(mr_values(log, "t", 0), "a b");
    mr_log_close(log);
    free(url);
}

static void a_damaged_description_is_noticed(void **state) {
    struct mr_topic topic;
    struct mr_error err;
    mr_make_topic(log_of(state), "t", 4);
    char *path = mr_path("%s/log/topics/t/topic", directory_of(state));
    FILE *file = fopen(path, "r+");
    fseek(file, (long)strlen("partitions "), SEEK_SET);
    fputc('5', file);
    fclose(file);
    assert_int_equal(mr_log_describe(log_of(state), "t", &topic, &err), MR_FAIL);
    mr_assert_says(&err, "damaged");
    free(path);
}

static void a_file_that_lost_its_content_is_not_taken_for_new(void **state) {
    struct mr_session *producer;
    struct mr_error err = {""};
    struct mr_check_report report;
    mr_make_topic(log_of(state), "t", 1);
    mr_produce(log_of(state), "t", 0, "a");
    char *path = mr_path("%s/log/topics/t/0/00000000000000000000.mdb", directory_of(state));
    assert_int_equal(truncate(path, 0), 0);
    producer = mr_open_producer(log_of(state));
    mr_append_text(producer, "t", NULL, "b");
    assert_int_not_equal(mr_session_commit(producer, NULL, 0, &err), MR_COMMITTED);
    mr_assert_says(&err, "damaged");
    mr_session_close(producer);
    assert_int_equal(mr_log_check(log_of(state), "t", &report, NULL), MR_OK);
    assert_int_equal(report.bad_records, 1);
    free(path);
}

/* ---- Files and retention -------------------------------------------------------------------- */

static void make_bounded(struct mr_log *log, int64_t retention_ns, int64_t retention_bytes,
                         const char *job) {
    struct mr_topic topic = {.name = "bounded",
                             .partitions = 1,
                             .retention_ns = retention_ns,
                             .retention_bytes = retention_bytes};
    snprintf(topic.job, sizeof topic.job, "%s", job);
    assert_int_equal(mr_log_create(log, &topic, NULL), MR_OK);
}

/* One commit of `count` records of 100 kB; each begins with its number. */
static void produce_big(struct mr_session *producer, int64_t *number, int count) {
    static char big[100000];
    for (int i = 0; i < count; i++, ++*number) {
        memcpy(big, number, sizeof *number);
        struct mr_append record = {
            .topic = "bounded", .timestamp_ns = -1, .value = {big, sizeof big}};
        assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    }
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
}

static void bounds(struct mr_log *log, int64_t *first, int64_t *end) {
    struct mr_partition source = mr_partition_at("bounded", 0);
    assert_int_equal(mr_log_bounds(log, &source, first, end, NULL), MR_OK);
}

static size_t count_files(void **state) {
    int64_t *firsts;
    size_t count;
    char *folder = mr_path("%s/log/topics/bounded/0", directory_of(state));
    assert_int_equal(mr_records_list(folder, &firsts, &count, NULL), MR_OK);
    free(firsts);
    free(folder);
    return count;
}

static void a_reader_goes_from_file_to_file(void **state) {
    make_bounded(log_of(state), -1, INT64_C(1) << 23, "");
    struct mr_partition source = mr_partition_at("bounded", 0);
    struct mr_reader *reader;
    struct mr_batch batch;
    int64_t written = 0, seen = 0, number;
    assert_int_equal(mr_reader_open(log_of(state), &source, -1, &reader, NULL), MR_OK);
    /* Two producers, each of which finds the other's new files. */
    struct mr_session *producers[2] = {mr_open_producer(log_of(state)),
                                       mr_open_producer(log_of(state))};
    for (int i = 0; i < 12; i++) {
        produce_big(producers[i % 2], &written, 6);
        do {
            assert_int_equal(mr_reader_read(reader, 0, &batch, NULL), MR_OK);
            for (size_t k = 0; k < batch.count; k++, seen++) {
                memcpy(&number, batch.messages[k].value.data, sizeof number);
                assert_int_equal(batch.messages[k].offset, seen);
                assert_int_equal(number, seen);
            }
        } while (batch.count > 0);
        assert_int_equal(seen, written);
    }
    assert_true(count_files(state) >= 5);
    mr_session_close(producers[0]);
    mr_session_close(producers[1]);
    mr_reader_close(reader);
}

static void old_files_go_when_a_partition_is_too_large(void **state) {
    make_bounded(log_of(state), -1, INT64_C(4) << 20, "");
    struct mr_session *producer = mr_open_producer(log_of(state));
    int64_t written = 0, first, end;
    for (int i = 0; i < 20; i++) {
        produce_big(producer, &written, 6);
    }
    bounds(log_of(state), &first, &end);
    assert_int_equal(end, written);
    assert_in_range(end - first, 20, 60); /* 4 MiB of 120 records of 100 kB, in files of 1 MiB */
    mr_session_close(producer);

    struct mr_session *worker = mr_open_worker(log_of(state), "j", "bounded", 0, 1);
    struct mr_event event;
    struct mr_error err;
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_session_start(worker, &event.source, 0, &err), MR_REJECT);
    mr_assert_says(&err, "offset 0 is gone, the first one still there is");
    assert_int_equal(mr_session_start(worker, &event.source, -1, &err), MR_OK);
    mr_poll_for(worker, MR_EVENT_BATCH, &event);
    assert_int_equal(event.batch.messages[0].offset, first);
    mr_session_close(worker);
}

static void old_files_go_when_their_records_are_old(void **state) {
    struct mr_log_fixture *fixture = *state;
    make_bounded(fixture->log, 100 * MR_SECOND, -1, "");
    struct mr_session *producer = mr_open_producer(fixture->log);
    int64_t written = 0, first, end;
    for (int i = 0; i < 40; i++) {
        fixture->clock.virtual_ns += 10 * MR_SECOND;
        produce_big(producer, &written, 1);
    }
    bounds(fixture->log, &first, &end);
    assert_int_equal(end, 40);
    assert_in_range(end - first, 10, 16);
    fixture->clock.virtual_ns += 1000 * MR_SECOND;
    produce_big(producer, &written, 1);
    produce_big(producer, &written, 1);
    bounds(fixture->log, &first, &end);
    assert_int_equal(first, 40);
    assert_int_equal(end, 42);
    mr_session_close(producer);
}

static void a_reader_that_is_overtaken_by_retention_says_so(void **state) {
    make_bounded(log_of(state), -1, INT64_C(1) << 20, "");
    struct mr_session *producer = mr_open_producer(log_of(state));
    struct mr_partition source = mr_partition_at("bounded", 0);
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_error err = {""};
    int64_t written = 0;
    produce_big(producer, &written, 1);
    assert_int_equal(mr_reader_open(log_of(state), &source, 0, &reader, NULL), MR_OK);
    for (int i = 0; i < 10; i++) {
        produce_big(producer, &written, 12);
    }
    assert_int_equal(mr_reader_read(reader, 0, &batch, &err), MR_FAIL);
    mr_assert_says(&err, "offset 0 is no longer there");
    mr_reader_close(reader);
    mr_session_close(producer);
}

static void old_output_of_a_job_goes_but_never_the_last_record(void **state) {
    struct mr_log_fixture *fixture = *state;
    mr_make_topic(fixture->log, "in", 1);
    make_bounded(fixture->log, 10 * MR_SECOND, -1, "j");
    struct mr_session *worker = mr_open_worker(fixture->log, "j", "in", 0, 1);
    int64_t first, end;
    for (int i = 0; i < 50; i++) {
        fixture->clock.virtual_ns += MR_SECOND;
        mr_append_text(worker, "bounded", NULL, "x");
        assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED);
    }
    bounds(fixture->log, &first, &end);
    assert_int_equal(end, 50);
    assert_int_equal(first, 39);
    fixture->clock.virtual_ns += 100 * MR_SECOND;
    mr_append_text(worker, "bounded", NULL, "y");
    assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_COMMITTED);
    bounds(fixture->log, &first, &end);
    assert_int_equal(first, 50);
    assert_int_equal(end, 51);
    assert_string_equal(mr_values(fixture->log, "bounded", 0), "y");
    mr_session_close(worker);
}

/* ---- What goes wrong ------------------------------------------------------------------------ */

/* Files may grow to so many bytes: what a full disk does, without one. */
static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_loses_nothing_that_was_acknowledged(void **state) {
    static char big[1 << 20];
    struct mr_error err;
    mr_make_topic(log_of(state), "t", 1);
    mr_produce(log_of(state), "t", 0, "kept");
    struct mr_session *producer = mr_open_producer(log_of(state));
    struct mr_append record = {.topic = "t", .timestamp_ns = -1, .value = {big, sizeof big}};
    assert_int_equal(mr_session_append(producer, &record, NULL), MR_OK);
    limit_files(1 << 18);
    enum mr_commit commit = mr_session_commit(producer, NULL, 0, &err);
    limit_files(0);
    assert_int_not_equal(commit, MR_COMMITTED);
    mr_assert_says(&err, "full");
    assert_string_equal(mr_values(log_of(state), "t", 0), "kept");
    mr_append_text(producer, "t", NULL, "again");
    assert_int_equal(mr_session_commit(producer, NULL, 0, NULL), MR_COMMITTED);
    mr_session_close(producer);
    assert_string_equal(mr_values(log_of(state), "t", 0), "kept again");
}

static void a_job_on_a_full_disk_stops_with_the_reason(void **state) {
    static char big[1 << 20];
    struct mr_event event;
    struct mr_error err;
    mr_make_topic(log_of(state), "in", 1);
    mr_make_job_topic(log_of(state), "out", "j", MR_KEEP_RECORDS);
    struct mr_session *worker = mr_open_worker(log_of(state), "j", "in", 0, 1);
    mr_append_text(worker, "out", NULL, "kept");
    assert_int_equal(mr_commit_at(worker, "in", 0, "n"), MR_COMMITTED);
    struct mr_append record = {.topic = "out", .timestamp_ns = -1, .value = {big, sizeof big}};
    assert_int_equal(mr_session_append(worker, &record, NULL), MR_OK);
    limit_files(1 << 18);
    enum mr_commit commit = mr_commit_at(worker, "in", 0, "m");
    limit_files(0);
    assert_int_not_equal(commit, MR_COMMITTED);
    assert_int_equal(mr_session_poll(worker, 0, &event, &err), MR_FAIL);
    mr_assert_says(&err, "full");
    mr_session_close(worker);
    worker = mr_open_worker(log_of(state), "j", "in", 0, 1);
    mr_poll_for(worker, MR_EVENT_ASSIGNED, &event);
    assert_true(mr_slice_equal(event.note, mr_slice_of("n")));
    mr_session_close(worker);
    assert_string_equal(mr_values(log_of(state), "out", 0), "kept");
}

/* Puts a record of another key under the hash of `key`, as if both had it. */
static void plant_collision(struct mr_local_log *log, const char *key) {
    struct mr_env *env;
    struct mr_topic topic;
    MDB_dbi table;
    MDB_txn *txn;
    struct mr_buffer bytes = {0};
    uint8_t hash[MR_HASH_BYTES];
    struct mr_append other = {
        .timestamp_ns = -1, .key = mr_slice_of("other"), .value = mr_slice_of("theirs")};
    assert_int_equal(mr_log_describe(&log->base, "changes", &topic, NULL), MR_OK);
    assert_int_equal(mr_job_open(log, "j", &env, NULL), MR_OK);
    assert_int_equal(mr_job_table(env, &topic, 0, &table, NULL), MR_OK);
    mr_hash128(key, strlen(key), hash);
    mr_record_encode(&other, mr_record_seed("changes", 0), &bytes);
    mr_record_seal(bytes.data, 1, hash, sizeof hash);
    MDB_val at = {sizeof hash, hash}, value = {bytes.length, bytes.data};
    assert_int_equal(mdb_txn_begin(env->mdb, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, table, &at, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mr_buffer_finish(&bytes);
    mr_env_close(env);
}

static void two_keys_with_one_hash_stop_the_job(void **state) {
    struct mr_event event;
    struct mr_error err;
    mr_make_topic(log_of(state), "in", 1);
    mr_make_job_topic(log_of(state), "changes", "j", MR_KEEP_LAST_OF_KEY);
    plant_collision((struct mr_local_log *)log_of(state), "mine");
    const char *values[] = {"1", NULL};
    for (int i = 0; i < 2; i++) {
        struct mr_session *worker = mr_open_worker(log_of(state), "j", "in", 0, 1);
        mr_append_text(worker, "changes", "mine", values[i]);
        assert_int_equal(mr_commit_at(worker, "in", 0, ""), MR_ABORTED);
        assert_int_equal(mr_session_poll(worker, 0, &event, &err), MR_FAIL);
        mr_assert_says(&err, "two keys have the same hash");
        mr_session_close(worker);
    }
    assert_string_equal(mr_kept(log_of(state), "changes"), "other=theirs");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, mr_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_log_of_a_newer_version_is_refused),
        TEST(a_directory_that_is_no_log_is_refused),
        TEST(one_log_can_be_opened_by_two_names),
        TEST(a_damaged_description_is_noticed),
        TEST(a_file_that_lost_its_content_is_not_taken_for_new),
        TEST(a_reader_goes_from_file_to_file),
        TEST(old_files_go_when_a_partition_is_too_large),
        TEST(old_files_go_when_their_records_are_old),
        TEST(a_reader_that_is_overtaken_by_retention_says_so),
        TEST(old_output_of_a_job_goes_but_never_the_last_record),
        TEST(a_full_disk_loses_nothing_that_was_acknowledged),
        TEST(a_job_on_a_full_disk_stops_with_the_reason),
        TEST(two_keys_with_one_hash_stop_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
