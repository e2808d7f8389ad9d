/* Tables that a job joins, on the memory log: what survives, what is refused, what counts. The
 * rules of time are told as cases (tests/cases/join_*.case). */
#include "engine/log/memory.h"
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>

struct fixture {
    struct mr_clock clock;
    struct mr_log *log;
    struct mr_plan *plan;
    struct mr_session *producer, *teller; /* of the input; of the table: a job, as its rows */
    struct mr_worker *worker;
    struct mr_error err;
    char rows[4096]; /* "mode=sum ..." of all rows so far */
};

/* Stops the job; it groups by `mode` and what `more` says now. */
static void load(struct fixture *f, const char *more) {
    struct mr_buffer text = {0};
    struct mr_faults faults = {0};
    mr_worker_destroy(f->worker);
    mr_plan_destroy(f->plan);
    f->worker = NULL;
    mr_buffer_format(
        &text,
        "job: j\nfrom: {topic: in, format: json, key: k, timestamp: {field: t, unit: s}}\n"
        "join: {m: {topic: modes, key: k, as_of: {field: since, unit: s}}}\n"
        "lateness: {grace: 0s}\nwindow: {every: 10s}\nto: [{topic: out}]\n"
        "stats: {n: count}\n%s",
        more);
    assert_int_equal(mr_job_load_text("j.yaml", mr_buffer_slice(&text), &f->plan, &faults), MR_OK);
    mr_faults_finish(&faults);
    mr_buffer_finish(&text);
}

#define MODE "group_by: [k, {mode: m.mode}]\n"

static void make(struct fixture *f, const char *name, const char *job) {
    struct mr_topic topic = {.partitions = 1, .retention_ns = -1, .retention_bytes = -1};
    snprintf(topic.name, sizeof topic.name, "%s", name);
    snprintf(topic.job, sizeof topic.job, "%s", job);
    assert_int_equal(mr_log_create(f->log, &topic, &f->err), MR_OK);
}

static int set_up(void **state) {
    struct fixture *f = mr_allocate(sizeof *f);
    f->clock = mr_virtual_clock(1000 * MR_SECOND);
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &f->clock, &f->log, &f->err),
        MR_OK);
    assert_int_equal(
        mr_session_open(f->log, &(struct mr_session_options){0}, &f->producer, &f->err), MR_OK);
    make(f, "in", "");
    make(f, "modes", "teller"); /* a plain topic cannot be trimmed */
    struct mr_session_options teller = {.job = "teller", .input = "in", .workers = 1};
    assert_int_equal(mr_session_open(f->log, &teller, &f->teller, &f->err), MR_OK);
    load(f, MODE);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    mr_worker_destroy(f->worker);
    mr_session_close(f->producer);
    mr_session_close(f->teller);
    mr_log_close(f->log);
    mr_plan_destroy(f->plan);
    free(f);
    return 0;
}

static struct mr_session *writer(const struct fixture *f, const char *topic) {
    return strcmp(topic, "in") == 0 ? f->producer : f->teller;
}

static void append(struct fixture *f, const char *topic, const char *key, const char *value) {
    struct mr_append append = {
        .topic = topic, .timestamp_ns = -1, .key = mr_slice_of(key), .value = mr_slice_of(value)};
    assert_int_equal(mr_session_append(writer(f, topic), &append, &f->err), MR_OK);
}

static void send(struct fixture *f, const char *topic, const char *value) {
    append(f, topic, "a", value);
    assert_int_equal(mr_session_commit(writer(f, topic), NULL, 0, &f->err), MR_COMMITTED);
}

static enum mr_status start(struct fixture *f) {
    struct mr_worker_options options = {.workers = 1};
    mr_worker_destroy(f->worker);
    f->worker = NULL;
    enum mr_status status = mr_run_prepare(f->plan, f->log, &f->err);
    return status == MR_OK
               ? mr_worker_create(f->plan, f->log, &f->clock, &options, &f->worker, &f->err)
               : status;
}

static enum mr_status steps(struct fixture *f, int count) {
    enum mr_status status = MR_OK;
    for (int i = 0; i < count && status == MR_OK; i++) {
        status = mr_worker_step(f->worker, 0, &f->err);
    }
    return status;
}

/* The worker that runs goes on. */
static void run_on(struct fixture *f) {
    assert_int_equal(steps(f, 12), MR_OK);
    assert_int_equal(mr_worker_commit(f->worker, &f->err), MR_OK);
}

static void run(struct fixture *f) {
    assert_int_equal(start(f), MR_OK);
    run_on(f);
}

static void reset(struct fixture *f) {
    mr_worker_destroy(f->worker);
    f->worker = NULL;
    assert_int_equal(mr_run_reset(f->plan, f->log, &f->err), MR_OK);
}

/* The modes of all rows, in their order. */
static const char *modes(struct fixture *f) {
    struct mr_partition source = {"out", 0};
    struct mr_reader *reader;
    struct mr_batch batch;
    f->rows[0] = 0;
    assert_int_equal(mr_reader_open(f->log, &source, -1, &reader, &f->err), MR_OK);
    while (mr_reader_read(reader, 0, &batch, &f->err) == MR_OK && batch.count > 0) {
        for (size_t i = 0; i < batch.count; i++) {
            const char *at = memmem(batch.messages[i].value.data, batch.messages[i].value.length,
                                    "\"mode\":\"", 8);
            assert_non_null(at);
            size_t used = strlen(f->rows);
            snprintf(f->rows + used, sizeof f->rows - used, "%s%.*s", used ? " " : "",
                     (int)strcspn(at + 8, "\""), at + 8);
        }
    }
    mr_reader_close(reader);
    return f->rows;
}

static void add(void *arg, const struct mr_partition *source, const struct mr_counters *counters) {
    (void)source;
    *(struct mr_table_tally *)arg = counters->tables[0];
}

static struct mr_table_tally tally(const struct fixture *f) {
    struct mr_table_tally tally = {0};
    mr_worker_visit(f->worker, add, &tally);
    return tally;
}

/* ---- What survives ----------------------------------------------------------------------------
 */

/* As compaction does: of one key only the last entry is left. */
static void lose(struct fixture *f, int64_t before) {
    struct mr_partition source = {"modes", 0};
    assert_int_equal(mr_log_trim(f->log, &source, before, &f->err), MR_OK);
}

static void versions_that_compaction_has_taken_survive_a_reset(void **state) {
    struct fixture *f = *state;
    send(f, "modes", "{\"since\":0,\"mode\":\"slow\"}");
    send(f, "modes", "{\"since\":5,\"mode\":\"fast\"}");
    send(f, "in", "{\"t\":3,\"k\":\"a\"}");
    send(f, "in", "{\"t\":20,\"k\":\"a\"}");
    run(f);
    assert_string_equal(modes(f), "slow");
    lose(f, 1);
    reset(f);
    run(f);
    assert_string_equal(modes(f), "slow slow");
    assert_int_equal(tally(f).read, 1); /* what is left; the rest is known */
    assert_int_equal(tally(f).late, 0);
}

static void an_entry_that_went_unread_is_passed_over(void **state) {
    struct fixture *f = *state;
    send(f, "modes", "{\"since\":0,\"mode\":\"slow\"}");
    run(f);
    mr_worker_destroy(f->worker);
    f->worker = NULL;
    send(f, "modes", "{\"since\":1,\"mode\":\"lost\"}");
    send(f, "modes", "{\"since\":5,\"mode\":\"fast\"}");
    lose(f, 2);
    send(f, "in", "{\"t\":3,\"k\":\"a\"}");
    send(f, "in", "{\"t\":20,\"k\":\"a\"}");
    run(f);
    assert_string_equal(modes(f), "slow");
    assert_int_equal(tally(f).read, 2);
}

/* No quiet poll lies between the entry and the record: what is there comes before an end is told.
 */
static void a_table_is_read_before_each_batch(void **state) {
    struct fixture *f = *state;
    send(f, "modes", "{\"since\":0,\"mode\":\"A\"}");
    send(f, "in", "{\"k\":\"a\",\"t\":1}");
    run(f);
    send(f, "modes", "{\"since\":5,\"mode\":\"B\"}");
    send(f, "in", "{\"k\":\"a\",\"t\":15}");
    run_on(f);
    send(f, "in", "{\"k\":\"a\",\"t\":30}");
    run_on(f);
    assert_string_equal(modes(f), "A B");
}

static void a_table_that_comes_in_slices_is_committed_on_the_way(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++) {
        char entry[64];
        snprintf(entry, sizeof entry, "{\"since\":%d,\"mode\":\"%d\"}", i, i);
        send(f, "modes", entry);
    }
    send(f, "in", "{\"t\":7,\"k\":\"a\"}");
    send(f, "in", "{\"t\":20,\"k\":\"a\"}");
    mr_memory_log_limit(f->log, 1);
    for (int life = 0; life < 6; life++) { /* each of them reads two more entries, and dies */
        assert_int_equal(start(f), MR_OK);
        assert_int_equal(steps(f, 5 + 3 * life), MR_OK);
        assert_int_equal(mr_worker_commit(f->worker, &f->err), MR_OK);
    }
    mr_memory_log_limit(f->log, 0);
    run(f);
    assert_string_equal(modes(f), "7");
    assert_int_equal(tally(f).read, 10); /* each of them once */
    assert_int_equal(tally(f).late, 0);
}

/* ---- What is refused --------------------------------------------------------------------------
 */

static void a_table_without_a_topic_is_refused_with_the_remedy(void **state) {
    struct fixture *f = *state;
    load(f, "group_by: [k]\n");
    mr_plan_destroy(f->plan);
    f->plan = NULL;
    struct mr_faults faults = {0};
    assert_int_equal(
        mr_job_load_text("j.yaml",
                         mr_slice_of("job: j\nfrom: {topic: in, format: json, timestamp: log}\n"
                                     "join: {m: {topic: nowhere, key: k, as_of: since}}\n"
                                     "group_by: [k]\nwindow: {every: 10s}\nto: [{topic: out}]\n"
                                     "stats: {n: count}\n"),
                         &f->plan, &faults),
        MR_OK);
    mr_faults_finish(&faults);
    assert_int_equal(start(f), MR_REJECT);
    assert_non_null(strstr(f->err.text, "table `m`: there is no topic \"nowhere\""));
    assert_non_null(strstr(f->err.text, "Make it before the job runs, with 1 partition"));
}

static void other_joined_fields_are_refused_until_a_reset_reads_the_table_again(void **state) {
    struct fixture *f = *state;
    send(f, "modes", "{\"since\":0,\"mode\":\"slow\",\"by\":\"x\"}");
    send(f, "in", "{\"t\":3,\"k\":\"a\"}");
    run(f);
    load(f, MODE "where: m.by = 'x'\n"); /* the windows' layout is the same */
    assert_int_equal(start(f), MR_OK);
    assert_int_equal(steps(f, 12), MR_REJECT);
    assert_non_null(strstr(f->err.text, "its joined fields are not those"));
    assert_non_null(strstr(f->err.text, "now: field by"));
    assert_non_null(strstr(f->err.text, "--reset"));
    reset(f);
    send(f, "in", "{\"t\":20,\"k\":\"a\"}");
    run(f);
    assert_string_equal(modes(f), "slow");
    run(f); /* and nothing of the other fields is left */
    assert_int_equal(tally(f).read, 1);
}

static void versions_that_are_not_there_any_more_are_refused(void **state) {
    struct fixture *f = *state;
    send(f, "modes", "{\"since\":0,\"mode\":\"slow\"}");
    run(f);
    mr_worker_destroy(f->worker);
    f->worker = NULL;
    assert_int_equal(mr_log_reset(f->log, "nobody", "", &f->err), MR_OK);
    struct mr_session *session;
    struct mr_session_options options = {.job = "j", .input = "in", .workers = 1};
    assert_int_equal(mr_session_open(f->log, &options, &session, &f->err), MR_OK);
    static const char *const keys[] = {"l", "ka"};
    for (size_t i = 0; i < 2; i++) {
        struct mr_append gone = {
            .topic = "j-m-changelog", .timestamp_ns = -1, .key = mr_slice_of(keys[i])};
        assert_int_equal(mr_session_append(session, &gone, &f->err), MR_OK);
    }
    assert_int_equal(mr_session_commit(session, NULL, 0, &f->err), MR_COMMITTED);
    mr_session_close(session);
    assert_int_equal(start(f), MR_OK);
    assert_int_equal(steps(f, 12), MR_REJECT);
    assert_non_null(strstr(f->err.text, "\"j-m-changelog\""));
    assert_non_null(strstr(f->err.text, "That topic was deleted. Run it"));
}

/* ---- The memory limit -------------------------------------------------------------------------
 */

static void versions_count_for_the_memory_limit(void **state) {
    struct fixture *f = *state;
    load(f, MODE "memory: 1MiB\n");
    for (int i = 0; i < 20000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        append(f, "modes", key, "{\"since\":0,\"mode\":\"slow\"}");
    }
    send(f, "modes", "{\"since\":0,\"mode\":\"slow\"}");
    assert_int_equal(start(f), MR_OK);
    assert_int_equal(steps(f, 100), MR_FAIL);
    assert_non_null(strstr(f->err.text, "the limit (memory) is 1 MiB"));
    assert_non_null(strstr(f->err.text, "tables that are joined count, too"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(versions_that_compaction_has_taken_survive_a_reset),
        TEST(an_entry_that_went_unread_is_passed_over),
        TEST(a_table_is_read_before_each_batch),
        TEST(a_table_that_comes_in_slices_is_committed_on_the_way),
        TEST(a_table_without_a_topic_is_refused_with_the_remedy),
        TEST(other_joined_fields_are_refused_until_a_reset_reads_the_table_again),
        TEST(versions_that_are_not_there_any_more_are_refused),
        TEST(versions_count_for_the_memory_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
