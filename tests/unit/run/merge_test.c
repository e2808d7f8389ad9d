/* The rules of regrouping, each with what goes wrong without it. */
#include "tests/unit/run/stages.h"

static void rule_1_the_slowest_partition_holds_the_watermark(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    send(f, 0, "{\"t\":60,\"v\":1}");
    send(f, 1, "{\"t\":12,\"v\":2}");
    run_until(f, 1);
    expect_rows(f, 0, NULL);
    send(f, 1, "{\"t\":13,\"v\":2}");
    run_until(f, 2);
    expect_rows(f, 1, "\"window_start\":\"1970-01-01T00:00:00Z\"");
    assert_int_equal(counts(f->down).samples.late, 0);
}

static void rule_1_when_all_are_idle_the_largest_watermark_counts(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    send(f, 1, "{\"t\":1,\"v\":2}");
    run_until(f, 5);
    expect_rows(f, 0, NULL);
    run_until(f, 12); /* p0 has been silent since 1, so it has ticked to 16: p1 only to 12 */
    expect_rows(f, 1, "\"n\":2,\"sum\":3.0");
}

/* With its marker first, [0, 10) would be closed and dropped before its part of it is there. */
static void rule_1_markers_follow_their_deltas(void **state) {
    struct fixture *f = *state;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        send(f, p, "{\"t\":5,\"v\":1}");
        send(f, p, "{\"t\":60,\"v\":1}");
    }
    run_until(f, 1);
    expect_rows(f, 1, "\"n\":2");
    assert_int_equal(counts(f->down).samples.late, 0);
}

static void rule_2_a_partition_that_never_spoke_holds_the_watermark(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":60,\"v\":1}");
    send(f, 1, "{\"t\":20,\"v\":2}");
    run_up(f, 0); /* p1's worker has not begun */
    run_down(f);
    run_up(f, 1);
    run_down(f);
    assert_int_equal(counts(f->down).samples.late, 0);
    assert_int_equal(counts(f->down).samples.used, 2);
}

static void rule_2_an_empty_partition_says_that_it_is_idle(void **state) {
    struct fixture *f = *state;
    for (int second = 1; second <= 14; second++) {
        char value[32];
        snprintf(value, sizeof value, "{\"t\":%d,\"v\":1}", second);
        send(f, 0, value);
        run_until(f, second);
        if (second < 13) {
            expect_rows(f, 0, NULL);
        }
    }
    expect_rows(f, 1, "\"n\":9");
}

static void rule_3_an_idle_marker_is_believed_for_a_lease_only(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":1,\"v\":1}");
    send(f, 1, "{\"t\":1,\"v\":1}");
    run_until(f, 30);
    stop_up(f, 1); /* it dies, and what comes is not read */
    at(f, 31);
    send(f, 1, "{\"t\":31,\"v\":2}");
    at(f, 70);
    send(f, 0, "{\"t\":70,\"v\":4}");
    run_up(f, 0);
    run_down(f);
    run_up(f, 1);
    run_down(f);
    assert_int_equal(counts(f->down).samples.late, 0);
    assert_int_equal(counts(f->down).samples.used, 4);
}

static void rule_3_an_idle_partition_is_believed_within_its_lease(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":1,\"v\":1}");
    send(f, 1, "{\"t\":1,\"v\":1}");
    run_until(f, 8);
    stop_up(f, 1); /* it has said that it was at its end at 6: good until 11 */
    at(f, 11);
    send(f, 0, "{\"t\":13,\"v\":4}");
    run_up(f, 0);
    run_down(f);
    expect_rows(f, 1, "\"n\":2");
}

static void rule_3_leases_are_renewed_not_at_every_commit(void **state) {
    struct fixture *f = *state;
    run_until(f, 65); /* silent from 1 on, idle from 6 on, and T unset */
    assert_in_range(sent(f) / PARTITIONS, 60 / 5, 60 / 2);
}

static void rule_4_the_markers_outlive_a_restart(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":60,\"v\":1}");
    send(f, 1, "{\"t\":5,\"v\":2}");
    run_until(f, 1);
    expect_rows(f, 0, NULL);
    mr_worker_destroy(f->down);
    f->down = NULL;
    send(f, 1, "{\"t\":20,\"v\":2}");
    run_up(f, 1); /* p0 has nothing new to say */
    run_down(f);
    expect_rows(f, 1, "\"n\":1,\"sum\":2.0");
}

static void rule_5_the_second_stage_never_ticks(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    send(f, 1, "{\"t\":6,\"v\":2}");
    run_until(f, 1);
    for (int second = 2; second < 100; second += 7) {
        at(f, second);
        run_down(f); /* nobody reads the input: an outage of the first stage */
    }
    expect_rows(f, 0, NULL);
    send(f, 1, "{\"t\":7,\"v\":4}");
    run_up(f, 1);
    run_down(f);
    assert_int_equal(counts(f->down).samples.late, 0);
    assert_int_equal(counts(f->down).revisions, 0);
}

static void rule_6_the_second_stage_counts_samples(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    send(f, 0, "{\"t\":15,\"v\":1}");
    send(f, 0, "{\"t\":16,\"v\":1}");
    run_until(f, 1);
    assert_int_equal(counts(f->down).records.read, 0);
    assert_int_equal(counts(f->down).samples.read, 3);
    assert_int_equal(counts(f->down).samples.used, 3);
}

/* Too old by its own partition's watermark, not by that of all. */
static void what_is_revisable_upstream_may_be_open_downstream(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    send(f, 0, "{\"t\":20,\"v\":1}");
    send(f, 0, "{\"t\":6,\"v\":1}");
    send(f, 1, "{\"t\":1,\"v\":1}");
    run_until(f, 1);
    expect_rows(f, 0, NULL);
    send(f, 1, "{\"t\":13,\"v\":1}");
    run_until(f, 2);
    expect_rows(f, 1, "\"rev\":0,\"n\":3");
    assert_int_equal(counts(f->down).revisions, 0);
}

static void what_returns_after_retain_is_counted_as_late(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    run_until(f, 8); /* p1 has never spoken and is idle */
    at(f, 9);
    send(f, 0, "{\"t\":60,\"v\":1}");
    run_up(f, 0);
    run_up(f, 1);
    run_down(f);
    expect_rows(f, 1, "\"n\":1");
    send(f, 1, "{\"t\":6,\"v\":1}");
    send(f, 1, "{\"t\":50,\"v\":1}"); /* within retain */
    run_up(f, 1);
    run_down(f);
    assert_int_equal(counts(f->up[1]).samples.used, 2); /* its own watermark was unset */
    assert_int_equal(counts(f->down).samples.late, 1);
    assert_int_equal(counts(f->down).samples.used, 3);
}

static void what_returns_within_retain_is_a_revision(void **state) {
    struct fixture *f = *state;
    send(f, 0, "{\"t\":5,\"v\":1}");
    run_until(f, 8);
    at(f, 9);
    send(f, 0, "{\"t\":25,\"v\":1}");
    run_up(f, 0);
    run_up(f, 1);
    run_down(f);
    expect_rows(f, 1, "\"rev\":0,\"n\":1");
    send(f, 1, "{\"t\":6,\"v\":1}");
    run_up(f, 1);
    run_down(f);
    expect_rows(f, 2, "\"rev\":1,\"n\":2");
    assert_int_equal(counts(f->down).revisions, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_A_LOG(rule_1_the_slowest_partition_holds_the_watermark),
        ON_A_LOG(rule_1_when_all_are_idle_the_largest_watermark_counts),
        ON_A_LOG(rule_1_markers_follow_their_deltas),
        ON_A_LOG(rule_2_a_partition_that_never_spoke_holds_the_watermark),
        ON_A_LOG(rule_2_an_empty_partition_says_that_it_is_idle),
        ON_A_LOG(rule_3_an_idle_marker_is_believed_for_a_lease_only),
        ON_A_LOG(rule_3_an_idle_partition_is_believed_within_its_lease),
        ON_A_LOG(rule_3_leases_are_renewed_not_at_every_commit),
        ON_A_LOG(rule_4_the_markers_outlive_a_restart),
        ON_A_LOG(rule_5_the_second_stage_never_ticks),
        ON_A_LOG(rule_6_the_second_stage_counts_samples),
        ON_A_LOG(what_is_revisable_upstream_may_be_open_downstream),
        ON_A_LOG(what_returns_after_retain_is_counted_as_late),
        ON_A_LOG(what_returns_within_retain_is_a_revision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
