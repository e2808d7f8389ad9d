/* The bytes that `hold` remembers: order, shared texts, limits, damage. */
#include "operators/hold_cell.h"
#include "operators/operators.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct entry {
    int64_t ns;
    double x;
    const char *group;
} entries[] = {
    {10, 1, "a"},  {20, -0.0, "a"}, {20, 0.0, "a"}, {20, 5, "bb"}, {30, 5, "a"},
    {30, 5, "bb"}, {30, 5, "bbb"},  {40, 2, "a"},   {50, 2, ""},   {60, 2, "a"},
};
#define ENTRIES (sizeof entries / sizeof entries[0])

struct cell {
    struct mr_accumulator bytes, scratch;
};

static void add(struct cell *cell, size_t i) {
    const struct mr_hold_value value = {.ns = entries[i].ns, .x = entries[i].x};
    mr_hold_add(&cell->bytes, &value, mr_slice_of(entries[i].group), &cell->scratch);
}

static void finish(struct cell *cell) {
    free(cell->bytes.body);
    free(cell->scratch.body);
}

static void assert_same(const struct cell *a, const struct cell *b) {
    assert_int_equal(a->bytes.length, b->bytes.length);
    assert_memory_equal(a->bytes.body, b->bytes.body, a->bytes.length);
}

static void any_order_gives_the_same_bytes(void **state) {
    struct cell straight = {0};
    for (size_t i = 0; i < ENTRIES; i++) {
        add(&straight, i);
    }
    static const size_t steps[] = {1, 3, 7, 9}; /* each visits all of ten */
    for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
        struct cell other = {0};
        for (size_t i = 0; i < ENTRIES; i++) {
            add(&other, (ENTRIES - 1 + i * steps[k]) % ENTRIES);
        }
        assert_same(&straight, &other);
        finish(&other);
    }
    finish(&straight);
}

static void values_stand_by_time_then_value_then_group(void **state) {
    struct cell cell = {0};
    struct mr_hold_view view;
    for (size_t i = ENTRIES; i > 0; i--) {
        add(&cell, i - 1);
    }
    assert_true(mr_hold_view(&cell.bytes, &view));
    assert_int_equal(view.head->count, ENTRIES);
    for (size_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(view.values[i].ns, entries[i].ns);
        assert_memory_equal(&view.values[i].x, &entries[i].x, sizeof(double));
        assert_true(mr_slice_equal(mr_hold_group(&view, i), mr_slice_of(entries[i].group)));
    }
    finish(&cell);
}

static void a_value_that_is_there_already_changes_nothing(void **state) {
    struct cell once = {0}, twice = {0};
    for (size_t i = 0; i < ENTRIES; i++) {
        add(&once, i);
        add(&twice, i);
        add(&twice, i / 2);
    }
    assert_same(&once, &twice);
    finish(&once);
    finish(&twice);
}

static void what_is_forgotten_takes_its_texts_with_it(void **state) {
    for (size_t gone = 1; gone < ENTRIES; gone++) {
        struct cell all = {0}, rest = {0};
        for (size_t i = 0; i < ENTRIES; i++) {
            add(&all, i);
            if (i >= gone) {
                add(&rest, i);
            }
        }
        mr_hold_forget(&all.bytes, gone, &all.scratch);
        assert_same(&all, &rest);
        finish(&all);
        finish(&rest);
    }
}

static void a_cell_stays_below_a_mebibyte(void **state) {
    struct cell cell = {0};
    char text[1000];
    memset(text, 'x', sizeof text);
    struct mr_hold_value value = {0};
    struct mr_slice group = {text, sizeof text};
    while (mr_hold_has_room(&cell.bytes, group)) {
        text[0] = value.ns % 2 ? 'a' : 'b'; /* every text is another one than its neighbour's */
        mr_hold_add(&cell.bytes, &value, group, &cell.scratch);
        value.ns++;
    }
    assert_in_range(cell.bytes.length, (1 << 20) - 16384, 1 << 20);
    assert_in_range(value.ns, 900, 1100);
    finish(&cell);
}

static void damaged_bytes_are_no_cell(void **state) {
    struct cell cell = {0};
    struct mr_hold_view view;
    assert_false(mr_hold_view(&cell.bytes, &view));
    add(&cell, 0);
    uint32_t length = cell.bytes.length;
    for (uint32_t cut = 0; cut < length; cut++) {
        cell.bytes.length = cut;
        assert_false(mr_hold_view(&cell.bytes, &view));
    }
    cell.bytes.length = length;
    assert_true(mr_hold_view(&cell.bytes, &view));
    view.head->texts = 1 << 30;
    assert_false(mr_hold_view(&cell.bytes, &view));
    view.head->texts = 1;
    view.head->count = UINT32_MAX;
    assert_false(mr_hold_view(&cell.bytes, &view));
    view.head->count = 0;
    assert_false(mr_hold_view(&cell.bytes, &view));
    view.head->count = 1;
    view.values[0].group_length = 2;
    assert_false(mr_hold_view(&cell.bytes, &view));
    finish(&cell);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_gives_the_same_bytes),
        cmocka_unit_test(values_stand_by_time_then_value_then_group),
        cmocka_unit_test(a_value_that_is_there_already_changes_nothing),
        cmocka_unit_test(what_is_forgotten_takes_its_texts_with_it),
        cmocka_unit_test(a_cell_stays_below_a_mebibyte),
        cmocka_unit_test(damaged_bytes_are_no_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
