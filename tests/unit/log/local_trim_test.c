/* Trimming a job's topic on the embedded log: its file, its transactions, what is damaged. */
#include "engine/log/local.h"

#include "tests/lib/log_contract.h"
#include <stdlib.h>
#include <sys/stat.h>

static struct mr_world *const w = &mr_world;

static void append_many(struct mr_session *worker, size_t count, size_t bytes) {
    char *value = mr_allocate(bytes);
    struct mr_append record = {.topic = w->out, .timestamp_ns = -1, .value = {value, bytes}};
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(mr_session_append(worker, &record, NULL), MR_OK);
    }
    assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
    free(value);
}

static void trim(int64_t before) {
    struct mr_partition source = mr_partition_at(w->out, 0);
    assert_int_equal(mr_log_trim(w->log, &source, before, NULL), MR_OK);
}

static struct mr_env *open_env(void) {
    struct mr_env *env;
    struct mr_local_log *log = (struct mr_local_log *)w->log;
    assert_int_equal(mr_job_open(log, w->job, &env, NULL), MR_OK);
    return env;
}

static void the_file_of_a_topic_that_is_trimmed_as_it_is_read_stays_small(void **state) {
    struct mr_session *worker = mr_open_worker(w->log, w->job, w->in, 0, 1);
    struct mr_env *env = open_env();
    struct stat status;
    for (int i = 0; i < 200; i++) { /* 20 MB of large records, 10 MB of small ones */
        append_many(worker, 10, 10000);
        append_many(worker, 500, 100);
        trim(-1);
    }
    assert_int_equal(stat(env->path, &status), 0);
    assert_in_range(status.st_size, 1, 4 << 20);
    mr_env_close(env);
    mr_session_close(worker);
}

static size_t last_transaction(struct mr_env *env) {
    MDB_envinfo info;
    mdb_env_info(env->mdb, &info);
    return info.me_last_txnid;
}

static void much_is_trimmed_by_several_short_transactions(void **state) {
    struct mr_session *worker = mr_open_worker(w->log, w->job, w->in, 0, 1);
    struct mr_env *env = open_env();
    append_many(worker, 20000, 10);
    size_t before = last_transaction(env);
    trim(19999);
    assert_in_range(last_transaction(env) - before, 4, 20);
    mr_assert_count(w->log, w->out, 0, 1);
    before = last_transaction(env);
    trim(19999);
    assert_int_equal(last_transaction(env), before);
    mr_env_close(env);
    mr_session_close(worker);
}

static void a_reader_that_was_overtaken_is_told(void **state) {
    struct mr_partition source = mr_partition_at(w->out, 0);
    struct mr_session *worker = mr_open_worker(w->log, w->job, w->in, 0, 1);
    struct mr_reader *readers[2];
    struct mr_batch batch;
    struct mr_error err;
    append_many(worker, 1, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mr_reader_open(w->log, &source, 0, &readers[i], NULL), MR_OK);
    }
    trim(-1); /* one meets the hole, the other a later record */
    assert_int_equal(mr_reader_read(readers[0], 0, &batch, &err), MR_FAIL);
    mr_assert_says(&err, "offset 0 is no longer there");
    append_many(worker, 1, 1);
    trim(1);
    assert_int_equal(mr_reader_read(readers[1], 0, &batch, &err), MR_FAIL);
    mr_assert_says(&err, "offset 0 is no longer there");
    mr_reader_close(readers[0]);
    mr_reader_close(readers[1]);
    mr_session_close(worker);
}

static void a_topic_that_was_trimmed_ages_on(void **state) {
    struct mr_topic topic = {.partitions = 1, .retention_ns = MR_SECOND / 2, .retention_bytes = -1};
    struct mr_partition source;
    int64_t first, end;
    snprintf(topic.name, sizeof topic.name, "%s", mr_name("aging"));
    snprintf(topic.job, sizeof topic.job, "%s", w->job);
    assert_int_equal(mr_log_create(w->log, &topic, NULL), MR_OK);
    struct mr_session *worker = mr_open_worker(w->log, w->job, w->in, 0, 1);
    source = mr_partition_at(topic.name, 0);
    for (int i = 0; i < 5; i++) {
        mr_append_text(worker, topic.name, NULL, "x");
        assert_int_equal(mr_commit_at(worker, w->in, 0, ""), MR_COMMITTED);
        if (i == 1) {
            assert_int_equal(mr_log_trim(w->log, &source, -1, NULL), MR_OK);
        }
        mr_fixture_pass(w->fixture);
    }
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, 4);
    assert_int_equal(end, 5);
    mr_session_close(worker);
}

/* Puts `bytes` in the place of the record at this offset. */
static void overwrite(int64_t offset, const void *bytes, size_t length) {
    struct mr_topic topic;
    struct mr_env *env = open_env();
    MDB_txn *txn;
    MDB_dbi table;
    MDB_val key = {sizeof offset, &offset};
    MDB_val value = {length, (void *)(uintptr_t)bytes};
    assert_int_equal(mr_log_describe(w->log, w->out, &topic, NULL), MR_OK);
    assert_int_equal(mr_job_table(env, &topic, 0, &table, NULL), MR_OK);
    assert_int_equal(mdb_txn_begin(env->mdb, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mr_env_close(env);
}

static void only_a_hole_that_was_left_there_is_one(void **state) {
    struct mr_partition source = mr_partition_at(w->out, 0);
    struct mr_session *worker = mr_open_worker(w->log, w->job, w->in, 0, 1);
    struct mr_check_report report;
    int64_t first, end;
    append_many(worker, 1, 1);
    overwrite(0, "hole", 4);
    assert_int_equal(mr_log_bounds(w->log, &source, &first, &end, NULL), MR_OK);
    assert_int_equal(first, 0);
    assert_int_equal(mr_log_check(w->log, w->out, &report, NULL), MR_OK);
    assert_int_equal(report.bad_records, 1);
    mr_assert_says(&report.first, "damaged");
    mr_session_close(worker);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_world_set_up, mr_fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_file_of_a_topic_that_is_trimmed_as_it_is_read_stays_small),
        TEST(much_is_trimmed_by_several_short_transactions),
        TEST(a_reader_that_was_overtaken_is_told),
        TEST(a_topic_that_was_trimmed_ages_on),
        TEST(only_a_hole_that_was_left_there_is_one),
    };
    mr_fixture_scheme = "local";
    return cmocka_run_group_tests_name("trimming a file", tests, NULL, NULL);
}
