/* Jobs of two stages in trouble: death at every step of a commit, memory, what lies between the
 * stages when it is not as it should be. */
#include "tests/unit/run/stages.h"

/* ---- Death ---------------------------------------------------------------------------------- */

struct death {
    int after; /* so many steps of commits; then none is reached any more */
};

static bool reach(void *arg, const char *step) {
    struct death *death = arg;
    return death->after-- > 0;
}

/* The worker works on; when it dies another one takes its place, once. */
static void work_mortally(struct fixture *f, struct mr_worker **worker, struct death *death,
                          void (*start)(struct fixture *f)) {
    struct mr_worker_watch watch = {death, reach};
    mr_worker_watch(*worker, &watch);
    if (work(f, *worker) != MR_OK) {
        mr_worker_destroy(*worker);
        *worker = NULL;
        death->after = INT32_MAX;
        start(f);
        assert_int_equal(work(f, *worker), MR_OK);
        return;
    }
    mr_worker_watch(*worker, NULL);
}

static void start_first(struct fixture *f) {
    start_up(f, 0);
}

/* A life in which a worker of one stage dies at its n-th step; the rows of it. *died: it did. */
static char *live(struct fixture *f, bool downstream, int n, bool *died) {
    struct death none = {INT32_MAX}, death = {n};
    start_up(f, 0);
    start_down(f);
    for (int second = 1; second <= 45; second++) {
        at(f, second);
        for (uint32_t p = 0; p < PARTITIONS && second < 30; p++) {
            char value[48];
            snprintf(value, sizeof value, "{\"t\":%u,\"v\":0.%d}", (unsigned)second - p, second);
            send(f, p, value);
        }
        work_mortally(f, &f->up[0], downstream ? &none : &death, start_first);
        run_up(f, 1);
        work_mortally(f, &f->down, downstream ? &death : &none, start_down);
    }
    *died = death.after > n; /* set to the largest number then */
    return rows(f);
}

static void dies_at_every_step(bool downstream, int every) {
    void *state;
    bool died;
    set_up(&state);
    char *wanted = live(state, downstream, INT32_MAX - 1, &died);
    tear_down(&state);
    assert_non_null(strstr(wanted, "\"n\":20"));
    for (int n = 0; n < 40; n += every) {
        set_up(&state);
        char *got = live(state, downstream, n, &died);
        assert_true(died);
        assert_string_equal(got, wanted);
        free(got);
        tear_down(&state);
    }
    free(wanted);
}

static void the_first_stage_may_die_at_every_step_of_a_commit(void **state) {
    dies_at_every_step(false, 1);
}

static void the_second_stage_may_die_at_every_step_of_a_commit(void **state) {
    dies_at_every_step(true, 1);
}

/* Worker 0 is told where partition 0 goes on, and then worker 1 has it, and trims. */
static void a_second_stage_that_was_told_an_old_place_asks_again(void **state) {
    struct fixture *f = *state;
    struct mr_partition source = {"j-regroup-repartition", 0};
    struct mr_worker *workers[2];
    send(f, 0, "{\"t\":5,\"v\":1}");
    run_up(f, 0);
    run_down(f);
    mr_worker_destroy(f->down);
    f->down = NULL;
    send(f, 0, "{\"t\":6,\"v\":1}");
    run_up(f, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct mr_worker_options options = {.worker = i, .workers = 2};
        assert_int_equal(
            mr_worker_create(f->stages[1], f->log, &f->clock, &options, &workers[i], &f->err),
            MR_OK);
    }
    assert_int_equal(mr_worker_step(workers[0], 0, &f->err), MR_OK);
    mr_memory_log_move(f->log, "j", 0, 1, 20);
    assert_int_equal(work(f, workers[1]), MR_OK);
    assert_int_equal(mr_log_trim(f->log, &source, -1, &f->err), MR_OK);
    assert_int_equal(work(f, workers[0]), MR_OK);
    mr_worker_destroy(workers[0]);
    mr_worker_destroy(workers[1]);
}

/* ---- Memory --------------------------------------------------------------------------------- */

#define GROUPS 6000

static void send_groups(struct fixture *f) {
    for (int i = 0; i < GROUPS; i++) {
        char value[64];
        snprintf(value, sizeof value, "{\"t\":5,\"g\":\"group-%d\",\"v\":%d}", i, i);
        send(f, (uint32_t)i % PARTITIONS, value);
    }
    send(f, 0, "{\"t\":20,\"g\":\"\"}");
    send(f, 1, "{\"t\":20,\"g\":\"\"}");
}

#define BY_GROUP(limit) JOB "memory: " limit "\ngroup_by: [g]\nstats: {n: count, sum: sum(v)}\n"

static void many_groups_are_sent_early_and_the_second_stage_stops_cleanly(void **state) {
    struct fixture *f = *state;
    mr_memory_log_limit(f->log, 100);
    load(f, BY_GROUP("1MiB"));
    send_groups(f);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        start_up(f, p);
        for (int i = 0; i < GROUPS / 100; i++) {
            assert_int_equal(mr_worker_step(f->up[p], 0, &f->err), MR_OK);
        }
        run_up(f, p);
    }
    start_down(f);
    enum mr_status status = MR_OK;
    for (int i = 0; i < GROUPS / 10 && status == MR_OK; i++) {
        status = mr_worker_step(f->down, 0, &f->err);
    }
    assert_int_equal(status, MR_FAIL);
    assert_non_null(strstr(f->err.text, "the limit (memory) is 1 MiB"));
    load(f, BY_GROUP("64MiB")); /* nothing is lost */
    start_down(f);
    for (int i = 0; i < GROUPS / 10; i++) {
        assert_int_equal(mr_worker_step(f->down, 0, &f->err), MR_OK);
    }
    run_down(f);
    expect_rows(f, GROUPS, "\"g\":\"group-5999\"");
    assert_int_equal(counts(f->down).samples.used, GROUPS + PARTITIONS);
}

static void groups_of_any_bytes_go_through_and_long_ones_are_dead_letters(void **state) {
    struct fixture *f = *state;
    struct mr_buffer value = {0};
    load(f, BY_GROUP("64MiB"));
    send(f, 0, "{\"t\":5,\"g\":\"\\u0000\\u001f\\n\\\"\\\\\"}");
    send(f, 1, "{\"t\":6,\"g\":\"\\u0000\\u001f\\n\\\"\\\\\"}");
    mr_buffer_text(&value, "{\"t\":5,\"g\":\"");
    for (int i = 0; i < 1000; i++) {
        mr_buffer_text(&value, "ten bytes ");
    }
    mr_buffer_add(&value, "\"}", 3);
    send(f, 1, value.data);
    mr_buffer_finish(&value);
    run_until(f, 20);
    expect_rows(f, 1, "\"g\":\"\\u0000\\u001f\\n\\\"\\\\\",");
    expect_rows(f, 1, "\"n\":2");
    assert_int_equal(counts(f->up[1]).records.dead, 1);
}

/* ---- Between the stages --------------------------------------------------------------------- */

static void what_was_sent_with_other_statistics_is_refused(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    run_up(f, 0);
    load(f, JOB "group_by: []\nstats: {n: count, most: max(v)}\n");
    start_down(f);
    assert_int_equal(work(f, f->down), MR_FAIL);
    assert_non_null(strstr(f->err.text, "its first stage has sent"));
    assert_non_null(strstr(f->err.text, "--reset"));
}

/* Writes to the repartition topic as its owner. */
static void forge(struct fixture *f, struct mr_slice value) {
    struct mr_session_options options = {.job = "j-regroup", .input = "in", .workers = 1};
    struct mr_session *session;
    struct mr_append append = {
        .topic = "j-regroup-repartition", .timestamp_ns = -1, .value = value};
    assert_int_equal(mr_session_open(f->log, &options, &session, &f->err), MR_OK);
    assert_int_equal(mr_session_append(session, &append, &f->err), MR_OK);
    assert_int_equal(mr_session_commit(session, NULL, 0, &f->err), MR_COMMITTED);
    mr_session_close(session);
}

static void a_damaged_record_between_the_stages_stops_the_job(void **state) {
    struct fixture *f = *state;
    forge(f, mr_slice_of("mud"));
    start_down(f);
    assert_int_equal(work(f, f->down), MR_FAIL);
    assert_non_null(strstr(f->err.text, "j-regroup-repartition/0, offset 0"));
}

static void a_delta_whose_cell_does_not_unpack_stops_the_job(void **state) {
    struct fixture *f = *state;
    struct mr_buffer bytes = {0};
    struct mr_delta delta = {.layout = f->stages[1]->layout_hash,
                             .span = {0, 10 * MR_SECOND},
                             .samples = 1,
                             .packed = mr_slice_of("\x01mud")};
    delta.group = mr_slice_of("");
    mr_delta_write(&delta, &bytes);
    forge(f, mr_buffer_slice(&bytes));
    mr_buffer_finish(&bytes);
    start_down(f);
    assert_int_equal(work(f, f->down), MR_FAIL);
    assert_non_null(strstr(f->err.text, "does not unpack"));
}

static void a_reset_begins_anew_with_both_stages(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    send(f, 1, "{\"t\":6,\"v\":2}");
    run_until(f, 1);
    run_up(f, 0);
    assert_int_equal(mr_run_reset(f->plan, f->log, &f->err), MR_REJECT); /* it runs */
    stop_all(f);
    assert_int_equal(mr_run_reset(f->plan, f->log, &f->err), MR_OK);
    assert_int_equal(mr_run_prepare(f->plan, f->log, &f->err), MR_OK);
    run_until(f, 20);
    expect_rows(f, 1, "\"rev\":0,\"n\":2,\"sum\":3.0");
    assert_int_equal(counts(f->down).samples.read, 2);
}

static void what_the_second_stage_has_read_is_trimmed(void **state) {
    struct fixture *f = *state;
    struct mr_partition source = {"j-regroup-repartition", 0};
    int64_t first, end;
    for (int second = 1; second < 60; second++) {
        char value[32];
        snprintf(value, sizeof value, "{\"t\":%d}", second);
        send(f, 0, value);
        send(f, 1, value);
        run_until(f, second);
    }
    assert_int_equal(mr_log_bounds(f->log, &source, &first, &end, &f->err), MR_OK);
    assert_in_range(first, end / 2, end - 20); /* some is left for a worker that came late */
    expect_rows(f, 5, "\"n\":20");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_stage_may_die_at_every_step_of_a_commit),
        cmocka_unit_test(the_second_stage_may_die_at_every_step_of_a_commit),
        ON_A_LOG(a_second_stage_that_was_told_an_old_place_asks_again),
        ON_A_LOG(many_groups_are_sent_early_and_the_second_stage_stops_cleanly),
        ON_A_LOG(groups_of_any_bytes_go_through_and_long_ones_are_dead_letters),
        ON_A_LOG(what_was_sent_with_other_statistics_is_refused),
        ON_A_LOG(a_damaged_record_between_the_stages_stops_the_job),
        ON_A_LOG(a_delta_whose_cell_does_not_unpack_stops_the_job),
        ON_A_LOG(a_reset_begins_anew_with_both_stages),
        ON_A_LOG(what_the_second_stage_has_read_is_trimmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
