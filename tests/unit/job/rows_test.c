/* Jobs without a window: their plan, and which topics they admit. */
#include "tests/unit/job/loading.h"

#define HEAD                                                                                       \
    "job: test\nfrom: {topic: in, format: json, timestamp: log, fields: {a: text, b: number}"
#define OUT "to: [{topic: out}]\n"

static void assert_admits(const struct mr_plan *plan, uint32_t partitions, const char *refusal) {
    struct mr_error err = {""};
    enum mr_status status = mr_plan_admits(plan, partitions, &err);
    assert_int_equal(status, refusal ? MR_REJECT : MR_OK);
    if (refusal && !strstr(err.text, refusal)) {
        fail_msg("expected: %s\nfound: %s", refusal, err.text);
    }
}

static void a_row_has_the_fields_of_from_then_those_of_let(void **state) {
    struct mr_plan *plan = good_plan(HEAD "}\nlet: {c: b * 2, d: c + e}\nwhere: f = 'x'\n" OUT);
    static const char *const names[] = {"a", "b", "c", "d"};
    assert_null(plan->window.type);
    assert_int_equal(plan->column_count, 4);
    for (size_t i = 0; i < plan->column_count; i++) {
        assert_string_equal(plan->columns[i].name, names[i]);
    }
    mr_plan_destroy(plan);
}

static void its_chain_ends_with_rows_and_its_changelog_is_of_state(void **state) {
    struct mr_plan *plan = good_plan(HEAD "}\n" OUT);
    assert_int_equal(plan->step_count, 1);
    assert_int_equal(plan->steps[0].type->place, MR_PLACE_ROWS);
    assert_string_equal(plan->changelog_topic, "test-state-changelog");
    assert_string_equal(plan->layout, "no window\n");
    mr_plan_destroy(plan);
}

static void it_reads_any_number_of_partitions(void **state) {
    struct mr_plan *plan = good_plan(HEAD "}\n" OUT);
    assert_admits(plan, 0, NULL);
    assert_admits(plan, 1, NULL);
    assert_admits(plan, 64, NULL);
    mr_plan_destroy(plan);
}

static void transitions_go_by_the_partition_key_or_read_one_partition(void **state) {
    static const char transitions[] = "}\ntransitions: {by: a, field: b, allow: [[1, 2]]}\n" OUT;
    struct mr_buffer text = {0};
    static const struct {
        const char *key, *refusal;
    } cases[] = {
        {"", "say `from: {key: a}` if that is the key, or give the topic one partition"},
        {", key: a", NULL},
        {", key: b", "`transitions` goes by `a`, but `in` is partitioned by `b`"},
        {", key: {record: key}", "go by `key`, or give the topic one partition"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text.length = 0;
        mr_buffer_format(&text, "%s%s%s", HEAD, cases[i].key, transitions);
        mr_buffer_add(&text, "", 1);
        struct mr_plan *plan = good_plan(text.data);
        assert_admits(plan, 1, NULL);
        assert_admits(plan, 2, cases[i].refusal);
        assert_admits(plan, 0, cases[i].refusal);
        mr_plan_destroy(plan);
    }
    mr_buffer_finish(&text);
}

/* What they remember is a value of `field`, by a value of `by`; what they allow may change. */
static void the_layout_of_transitions_has_their_fields_and_not_what_they_allow(void **state) {
    struct mr_plan *one =
        good_plan(HEAD "}\ntransitions: {by: a, field: b, allow: [[1, 2]]}\n" OUT);
    struct mr_plan *other =
        good_plan(HEAD "}\ntransitions: {by: a, field: b, allow: [[2, 3]]}\n" OUT);
    assert_string_equal(one->layout, "no window\ntransitions by=a\ntransitions field=b\n");
    assert_int_equal(one->layout_hash, other->layout_hash);
    mr_plan_destroy(one);
    mr_plan_destroy(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_has_the_fields_of_from_then_those_of_let),
        cmocka_unit_test(its_chain_ends_with_rows_and_its_changelog_is_of_state),
        cmocka_unit_test(it_reads_any_number_of_partitions),
        cmocka_unit_test(transitions_go_by_the_partition_key_or_read_one_partition),
        cmocka_unit_test(the_layout_of_transitions_has_their_fields_and_not_what_they_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
