/* The plan: what a good job file becomes. */
#include "loading.h"

static const struct mr_field *field(const struct mr_plan *plan, const char *name) {
    for (size_t i = 0; i < plan->input.field_count; i++) {
        if (strcmp(plan->input.fields[i].name, name) == 0) {
            return &plan->input.fields[i];
        }
    }
    fail_msg("no field %s", name);
    return NULL;
}

static const struct mr_measure *measure(const struct mr_plan *plan, const char *stat) {
    for (size_t i = 0; i < plan->stat_count; i++) {
        if (strcmp(plan->stats[i].name, stat) == 0) {
            return &plan->measures.items[plan->stats[i].measure];
        }
    }
    fail_msg("no statistic %s", stat);
    return NULL;
}

static void the_main_job_becomes_a_plan(void **state) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    assert_int_equal(mr_job_load("jobs/power-minute.yaml", &plan, &faults), MR_OK);
    assert_int_equal(faults.count, 0);
    assert_string_equal(plan->job, "power-minute");
    assert_string_equal(plan->topic, "waveforms");
    assert_string_equal(plan->log_url, "local:./data");
    assert_true(plan->codec->frames);
    assert_int_equal(plan->input.key_source, MR_KEY_FIELD);
    assert_string_equal(plan->input.fields[plan->input.key_slot].name, "device");
    assert_int_equal(plan->lateness.grace_ns, 5 * MR_SECOND);
    assert_int_equal(plan->retain_ns, 24 * 3600 * MR_SECOND);
    assert_int_equal(plan->preview_ns, 0);
    assert_true(plan->stop_share == 0.05);
    assert_int_equal(plan->stop_within_ns, 60 * MR_SECOND);
    assert_string_equal(plan->tests[0], "power-minute.case");
    assert_null(plan->tests[1]);
    assert_string_equal(plan->changelog_topic, "power-minute-windows-changelog");
    assert_string_equal(plan->dead_letter_topic, "power-minute-dead-letters");
    mr_plan_destroy(plan);
}

static void the_job_of_the_sensors_becomes_a_plan(void **state) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    assert_int_equal(mr_job_load("jobs/sensor-stats.yaml", &plan, &faults), MR_OK);
    assert_int_equal(faults.count, 0);
    assert_string_equal(plan->input.each, "readings");
    assert_int_equal(plan->input.key_source, MR_KEY_NONE);
    assert_int_equal(plan->group_count, 1);
    mr_plan_destroy(plan);
}

static void statistics_of_one_field_share_an_accumulator(void **state) {
    struct mr_plan *plan =
        good_plan(FRAMES_HEAD TAIL "stats: {a: mean(current), b: std_pop(current), "
                                   "c: mean(voltage), d: 'quantile(current, 0.5)', "
                                   "e: median(current), f: count}\n");
    assert_ptr_equal(measure(plan, "a"), measure(plan, "b"));
    assert_ptr_not_equal(measure(plan, "a"), measure(plan, "c"));
    assert_ptr_equal(measure(plan, "d"), measure(plan, "e"));
    assert_int_equal(measure(plan, "f")->slot, -1);
    assert_int_equal(plan->measures.count, 4);
    mr_plan_destroy(plan);
}

static void a_shared_digest_takes_the_tightest_error(void **state) {
    struct mr_plan *plan = good_plan(FRAMES_HEAD TAIL "stats: {a: 'quantile(current, 0.5)', "
                                                      "b: 'digest(current, error=0.1%)'}\n");
    struct mr_plan *alone =
        good_plan(FRAMES_HEAD TAIL "stats: {b: 'digest(current, error=0.1%)'}\n");
    assert_int_equal(plan->measures.count, 1);
    assert_string_equal(plan->layout, alone->layout);
    mr_plan_destroy(plan);
    mr_plan_destroy(alone);
}

static void measures_of_one_field_stand_together(void **state) {
    struct mr_plan *plan =
        good_plan(FRAMES_HEAD TAIL "stats: {a: mean(x), b: mean(y), c: max(x), d: max(y), "
                                   "e: first(x), f: covered}\n");
    const struct mr_measures *measures = &plan->measures;
    for (size_t i = 0; i < measures->count; i++) {
        for (size_t j = i + 2; j < measures->count; j++) {
            if (measures->items[i].slot == measures->items[j].slot) {
                assert_int_equal(measures->items[i + 1].slot, measures->items[i].slot);
            }
        }
    }
    mr_plan_destroy(plan);
}

static void a_layout_does_not_depend_on_the_order_or_names_of_columns(void **state) {
    struct mr_plan *a =
        good_plan(FRAMES_HEAD TAIL "stats: {a: mean(x), b: max(y), c: 'quantile(x, 0.5)'}\n");
    struct mr_plan *b =
        good_plan(FRAMES_HEAD TAIL "stats: {p: 'quantile(x, 0.9)', q: max(y), r: rms(x), "
                                   "s: mean(x)}\n");
    assert_string_equal(a->layout, b->layout);
    assert_int_equal(a->layout_hash, b->layout_hash);
    mr_plan_destroy(a);
    mr_plan_destroy(b);
}

static void a_layout_depends_on_window_groups_fields_and_settings(void **state) {
    static const char *const others[] = {
        FRAMES_HEAD TAIL "stats: {a: mean(y), c: 'quantile(x, 0.5)'}\n",
        FRAMES_HEAD TAIL "stats: {a: mean(x)}\n",
        FRAMES_HEAD TAIL "stats: {a: mean(x), c: 'quantile(x, 0.5, error=0.1%)'}\n",
        FRAMES_HEAD "group_by: [device]\nwindow: {every: 1h}\nto: [{topic: out}]\n"
                    "stats: {a: mean(x), c: 'quantile(x, 0.5)'}\n",
        FRAMES_HEAD "group_by: [{d: device}]\nwindow: {every: 1m}\nto: [{topic: out}]\n"
                    "stats: {a: mean(x), c: 'quantile(x, 0.5)'}\n",
        FRAMES_HEAD TAIL "stats: {a: mean(x), c: 'quantile(x, 0.5)'}\n"
                         "duplicates: {by: [device]}\n",
    };
    struct mr_plan *base =
        good_plan(FRAMES_HEAD TAIL "stats: {a: mean(x), c: 'quantile(x, 0.5)'}\n");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct mr_plan *other = good_plan(others[i]);
        assert_string_not_equal(base->layout, other->layout);
        assert_int_not_equal(base->layout_hash, other->layout_hash);
        mr_plan_destroy(other);
    }
    mr_plan_destroy(base);
}

static void an_undeclared_field_is_what_its_use_needs(void **state) {
    struct mr_plan *plan = good_plan(JSON_HEAD "group_by: [device, room]\nwindow: {every: 1m}\n"
                                               "to: [{topic: out}]\n"
                                               "let: {power: current * 2}\n"
                                               "where: state = 'on' and level > 3\n"
                                               "stats: {a: mean(power), b: max(celsius)}\n");
    assert_int_equal(field(plan, "device")->kind, MR_ABSENT);
    assert_int_equal(field(plan, "room")->kind, MR_ABSENT);
    assert_int_equal(field(plan, "state")->kind, MR_ABSENT);
    assert_int_equal(field(plan, "current")->kind, MR_NUMBER);
    assert_int_equal(field(plan, "level")->kind, MR_NUMBER);
    assert_int_equal(field(plan, "celsius")->kind, MR_NUMBER);
    assert_true(field(plan, "power")->derived);
    assert_false(field(plan, "current")->derived);
    mr_plan_destroy(plan);
}

static void a_declared_type_wins(void **state) {
    struct mr_plan *plan = good_plan("job: test\n"
                                     "from:\n"
                                     "  topic: in\n"
                                     "  format: json\n"
                                     "  key: {record: key}\n"
                                     "  timestamp: log\n"
                                     "  fields: {x: {type: integer, from: text}, on: boolean}\n"
                                     "group_by: [{device: key}]\n"
                                     "window: {every: 1m}\n"
                                     "to: [{topic: out}]\n"
                                     "stats: {a: mean(x), share_on: mean(on)}\n");
    assert_int_equal(field(plan, "x")->kind, MR_INTEGER);
    assert_true(field(plan, "x")->from_text);
    assert_int_equal(field(plan, "on")->kind, MR_BOOLEAN);
    assert_int_equal(field(plan, "key")->kind, MR_TEXT);
    assert_int_equal(plan->input.key_source, MR_KEY_RECORD);
    assert_int_equal(plan->input.key_slot, plan->groups[0].slot);
    assert_int_equal(plan->input.time_source, MR_TIME_LOG);
    mr_plan_destroy(plan);
}

static void arrays_have_a_rate_or_a_step(void **state) {
    struct mr_plan *rate = good_plan("job: test\n"
                                     "from:\n"
                                     "  {topic: in, format: json, key: device, timestamp: log,\n"
                                     "   fields: {x: 'number[]'}, samples: {rate: 2kHz}}\n" TAIL
                                     "stats: {energy: integral(x)}\n");
    struct mr_plan *step = good_plan("job: test\n"
                                     "from:\n"
                                     "  {topic: in, format: json, key: device, timestamp: log,\n"
                                     "   fields: {x: 'number[]'},\n"
                                     "   samples: {step: {field: dt, unit: us}}}\n" TAIL
                                     "stats: {energy: integral(x)}\n");
    assert_true(rate->input.rate_hz == 2000);
    assert_int_equal(field(rate, "x")->kind, MR_F64);
    assert_null(rate->input.step_field);
    assert_string_equal(step->input.step_field, "dt");
    assert_int_equal(step->input.step_unit, MR_UNIT_US);
    mr_plan_destroy(rate);
    mr_plan_destroy(step);
}

static void steps_stand_in_the_order_of_their_places(void **state) {
    struct mr_plan *plan = good_plan(FRAMES_HEAD TAIL "where: power > 0\n"
                                                      "let: {power: current * voltage}\n"
                                                      "stats: {a: mean(power)}\n");
    for (size_t i = 1; i < plan->step_count; i++) {
        assert_true(plan->steps[i - 1].type->place <= plan->steps[i].type->place);
    }
    assert_int_equal(plan->steps[0].type->place, MR_PLACE_DUPLICATES);
    assert_int_equal(plan->steps[plan->step_count - 1].type->place, MR_PLACE_WINDOW);
    assert_int_equal(plan->step_count, 4);
    mr_plan_destroy(plan);
}

static void frames_are_checked_for_duplicates_without_being_asked(void **state) {
    struct mr_plan *frames = good_plan(FRAMES_HEAD TAIL "stats: {n: count}\n");
    struct mr_plan *events = good_plan(JSON_HEAD TAIL "stats: {n: count}\n");
    assert_non_null(strstr(frames->layout, "duplicates by=device,stream,sequence\n"));
    assert_int_not_equal(events->steps[0].type->place, MR_PLACE_DUPLICATES);
    mr_plan_destroy(frames);
    mr_plan_destroy(events);
}

#define BY_ROOM "group_by: [room]\nwindow: {every: 1m}\nto: [{topic: out}]\nstats: {n: count}\n"

static void grouping_by_another_field_takes_two_stages(void **state) {
    struct mr_plan *by_key = good_plan(JSON_HEAD TAIL "stats: {n: count}\n");
    struct mr_plan *by_room = good_plan(JSON_HEAD BY_ROOM);
    const struct mr_plan *stages[2];
    assert_int_equal(mr_plan_stages(by_key, 4, stages), 1);
    assert_int_equal(mr_plan_stages(by_room, 1, stages), 1);
    assert_ptr_equal(stages[0], by_room);
    assert_int_equal(mr_plan_stages(by_room, 4, stages), 2);
    assert_ptr_equal(stages[0], by_room->upstream);
    assert_ptr_equal(stages[1], by_room->downstream);
    assert_int_equal(mr_plan_stages(stages[0], 4, stages), 1); /* a stage is one */
    mr_plan_destroy(by_key);
    mr_plan_destroy(by_room);
}

static void each_of_two_stages_has_its_name_and_topics(void **state) {
    struct mr_plan *plan = good_plan(JSON_HEAD BY_ROOM "emit: {preview: 5s}\n");
    const struct mr_plan *up = plan->upstream, *down = plan->downstream;
    assert_string_equal(plan->member, "test");
    assert_string_equal(up->member, "test-regroup");
    assert_string_equal(up->topic, "in");
    assert_string_equal(up->changelog_topic, "test-regroup-changelog");
    assert_string_equal(up->repartition_topic, "test-regroup-repartition");
    assert_int_equal(up->preview_ns, 0);
    assert_string_equal(down->member, "test");
    assert_string_equal(down->topic, up->repartition_topic);
    assert_string_equal(down->changelog_topic, "test-windows-changelog");
    assert_int_equal(down->preview_ns, 5 * MR_SECOND);
    mr_plan_destroy(plan);
}

static void windows_are_no_part_of_the_first_stages_layout(void **state) {
    struct mr_plan *plan = good_plan(JSON_HEAD BY_ROOM "duplicates: {by: [id], within: 1m}\n");
    assert_string_equal(plan->upstream->layout, "regroup\nduplicates by=id\n");
    assert_string_equal(plan->downstream->layout,
                        "window tumbling every=1m\ngroup room=room\nmeasure count v1\n");
    mr_plan_destroy(plan);
}

static void without_a_key_even_one_group_takes_two_stages(void **state) {
    struct mr_plan *plan = good_plan("job: test\n"
                                     "from: {topic: in, format: json, timestamp: log}\n"
                                     "group_by: []\nwindow: {every: 1m}\n"
                                     "to: [{topic: out}]\nstats: {n: count}\n");
    const struct mr_plan *stages[2];
    struct mr_error err = {0};
    assert_int_equal(plan->input.key_slot, -1);
    assert_int_equal(mr_plan_admits(plan, 2, &err), MR_OK);
    assert_int_equal(mr_plan_stages(plan, 1, stages), 1);
    assert_int_equal(mr_plan_stages(plan, 2, stages), 2);
    mr_plan_destroy(plan);
}

/* One that is sent again may go to any partition. */
static void without_a_key_duplicates_are_found_in_one_partition_only(void **state) {
    struct mr_plan *plan = good_plan("job: test\n"
                                     "from: {topic: in, format: json, timestamp: log}\n"
                                     "duplicates: {by: [id], within: 1m}\n"
                                     "group_by: []\nwindow: {every: 1m}\n"
                                     "to: [{topic: out}]\nstats: {n: count}\n");
    struct mr_error err = {0};
    assert_int_equal(mr_plan_admits(plan, 1, &err), MR_OK);
    assert_int_equal(mr_plan_admits(plan, 2, &err), MR_REJECT);
    assert_non_null(strstr(err.text, "`duplicates`"));
    assert_non_null(strstr(err.text, "from: {key: ...}"));
    mr_plan_destroy(plan);
}

static void a_key_is_checked_unless_the_topic_makes_it_needless(void **state) {
    struct mr_plan *field_key = good_plan(JSON_HEAD TAIL "stats: {n: count}\n");
    struct mr_plan *vouched =
        good_plan("job: test\nfrom: {topic: in, format: json, key: device, "
                  "timestamp: log, partitioned: true}\n" TAIL "stats: {n: count}\n");
    assert_true(mr_plan_checks_key(field_key, 4));
    assert_true(mr_plan_checks_key(field_key, 0));
    assert_false(mr_plan_checks_key(field_key, 1));
    assert_false(mr_plan_checks_key(vouched, 4));
    mr_plan_destroy(field_key);
    mr_plan_destroy(vouched);
}

static void what_is_not_said_takes_its_default(void **state) {
    struct mr_plan *plan = good_plan(JSON_HEAD TAIL "stats: {n: count}\n");
    assert_string_equal(plan->description, "");
    assert_string_equal(plan->log_url, "local:./data");
    assert_int_equal(plan->lateness.grace_ns, 5 * MR_SECOND);
    assert_int_equal(plan->lateness.idle_ns, 30 * MR_SECOND);
    assert_int_equal(plan->lateness.max_ahead_ns, 600 * MR_SECOND);
    assert_int_equal(plan->lateness.late, MR_LATE_REVISE);
    assert_int_equal(plan->retain_ns, 3600 * MR_SECOND);
    assert_int_equal(plan->commit_ns, MR_SECOND);
    assert_int_equal(plan->memory_bytes, INT64_C(1) << 30);
    assert_int_equal(plan->outputs[0].retention_ns, -1);
    assert_true(plan->stop_share == 1);
    assert_null(plan->tests[0]);
    assert_null(plan->input.each);
    mr_plan_destroy(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_main_job_becomes_a_plan),
        cmocka_unit_test(the_job_of_the_sensors_becomes_a_plan),
        cmocka_unit_test(statistics_of_one_field_share_an_accumulator),
        cmocka_unit_test(a_shared_digest_takes_the_tightest_error),
        cmocka_unit_test(measures_of_one_field_stand_together),
        cmocka_unit_test(a_layout_does_not_depend_on_the_order_or_names_of_columns),
        cmocka_unit_test(a_layout_depends_on_window_groups_fields_and_settings),
        cmocka_unit_test(an_undeclared_field_is_what_its_use_needs),
        cmocka_unit_test(a_declared_type_wins),
        cmocka_unit_test(arrays_have_a_rate_or_a_step),
        cmocka_unit_test(steps_stand_in_the_order_of_their_places),
        cmocka_unit_test(frames_are_checked_for_duplicates_without_being_asked),
        cmocka_unit_test(grouping_by_another_field_takes_two_stages),
        cmocka_unit_test(each_of_two_stages_has_its_name_and_topics),
        cmocka_unit_test(windows_are_no_part_of_the_first_stages_layout),
        cmocka_unit_test(without_a_key_even_one_group_takes_two_stages),
        cmocka_unit_test(without_a_key_duplicates_are_found_in_one_partition_only),
        cmocka_unit_test(a_key_is_checked_unless_the_topic_makes_it_needless),
        cmocka_unit_test(what_is_not_said_takes_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
