/* The note beside an offset, and what a record counts as. */
#include "engine/run/task.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

#define FIELDS 3

static const struct mr_plan plan = {.input = {.field_count = FIELDS}};

static void finish(struct mr_task *task) {
    mr_buffer_finish(&task->note);
}

static struct mr_task filled(void) {
    struct mr_task task = {.plan = &plan};
    task.times = (struct mr_times){INT64_MAX, 123, MR_NEVER, 456};
    uint64_t *numbers = (uint64_t *)&task.counters;
    for (size_t i = 0; i < offsetof(struct mr_counters, gaps) / sizeof *numbers + FIELDS; i++) {
        numbers[i] = i == 0 ? UINT64_MAX : i * 1000003;
    }
    return task;
}

static void a_note_brings_back_times_and_counters(void **state) {
    struct mr_task task = filled(), again = {.plan = &plan};
    struct mr_error err;
    assert_int_equal(mr_note_read(&again, mr_note_write(&task), &err), MR_OK);
    assert_memory_equal(&again.times, &task.times, sizeof task.times);
    assert_memory_equal(&again.counters, &task.counters, sizeof task.counters);
    finish(&task);
    finish(&again);
}

static void a_note_is_printable_and_short_however_large_its_numbers(void **state) {
    static const struct mr_plan wide = {.input = {.field_count = 1000}};
    struct mr_task task = {.plan = &wide, .times = {MR_NEVER, MR_NEVER, MR_NEVER, MR_NEVER}};
    memset(&task.counters, 0xff, sizeof task.counters);
    struct mr_slice note = mr_note_write(&task);
    assert_true(note.length < MR_NOTE_MAX / 2);
    for (size_t i = 0; i < note.length; i++) {
        assert_true(note.data[i] >= ' ' && note.data[i] <= '~');
    }
    finish(&task);
}

static void a_note_that_was_cut_is_refused(void **state) {
    struct mr_task task = filled(), again = {.plan = &plan};
    struct mr_error err;
    struct mr_slice note = mr_note_write(&task);
    const char *last_counter = note.data;
    for (int spaces = 0; spaces < 17; last_counter++) { /* version, times, two tallies */
        spaces += *last_counter == ' ';
    }
    for (const char *end = note.data + 1; end < last_counter; end++) {
        if (end[-1] == ' ') {
            struct mr_slice cut = {note.data, (size_t)(end - note.data)};
            assert_int_equal(mr_note_read(&again, cut, &err), MR_FAIL);
        }
    }
    finish(&task);
    finish(&again);
}

static void a_note_of_another_version_is_refused_by_name(void **state) {
    struct mr_task task = {.plan = &plan};
    struct mr_error err;
    assert_int_equal(mr_note_read(&task, mr_slice_of("9 0 0 0"), &err), MR_FAIL);
    assert_non_null(strstr(err.text, "another version"));
    finish(&task);
}

static void an_offset_without_a_note_is_another_programs(void **state) {
    static const struct mr_plan named = {.job = "power"};
    struct mr_task task = {.plan = &named, .source = {"in", 3}};
    struct mr_error err;
    assert_int_equal(mr_note_read(&task, (struct mr_slice){0}, &err), MR_REJECT);
    assert_non_null(strstr(err.text, "in/3"));
    assert_non_null(strstr(err.text, "consumer group \"power\""));
    assert_non_null(strstr(err.text, "another name"));
}

static void assert_counted(struct mr_tally outcome, struct mr_tally expected) {
    struct mr_task task = {.plan = &plan, .outcome = outcome};
    mr_account_record(&task, 10);
    assert_memory_equal(&task.counters.records, &expected, sizeof expected);
    assert_int_equal(task.counters.samples.read, 10);
}

static void a_record_counts_once_by_the_best_of_its_samples(void **state) {
    assert_counted((struct mr_tally){.used = 1, .late = 4, .filtered = 5},
                   (struct mr_tally){.read = 1, .used = 1});
    assert_counted((struct mr_tally){.late = 1, .filtered = 9},
                   (struct mr_tally){.read = 1, .late = 1});
    assert_counted((struct mr_tally){.filtered = 10}, (struct mr_tally){.read = 1, .filtered = 1});
    assert_counted((struct mr_tally){.duplicate = 10},
                   (struct mr_tally){.read = 1, .duplicate = 1});
}

static void a_bad_element_counts_itself_and_no_samples(void **state) {
    struct mr_task task = {.plan = &plan};
    mr_account_dead(&task, 0);
    assert_int_equal(task.counters.records.read, 1);
    assert_int_equal(task.counters.records.dead, 1);
    assert_int_equal(task.counters.samples.read, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_brings_back_times_and_counters),
        cmocka_unit_test(a_note_is_printable_and_short_however_large_its_numbers),
        cmocka_unit_test(a_note_that_was_cut_is_refused),
        cmocka_unit_test(a_note_of_another_version_is_refused_by_name),
        cmocka_unit_test(an_offset_without_a_note_is_another_programs),
        cmocka_unit_test(a_record_counts_once_by_the_best_of_its_samples),
        cmocka_unit_test(a_bad_element_counts_itself_and_no_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
