/* The lists of cells that close together. */
#include "tests/lib/measures.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

static int set_up(void **state) {
    *state = mr_store_create(&mr_test_measures, MR_TEST_LAYOUT);
    return 0;
}

static int tear_down(void **state) {
    mr_store_destroy(*state);
    return 0;
}

static struct mr_cell *make(struct mr_store *store, const char *group, int64_t end) {
    return mr_store_window(store, mr_slice_of(group), (struct mr_span){end - 10, end}, true);
}

static void an_empty_store_has_nothing_to_close_or_drop(void **state) {
    assert_null(mr_store_next_close(*state));
    assert_null(mr_store_next_drop(*state, MR_CELL_WINDOW));
}

static void ends_ascend_in_whatever_order_cells_come(void **state) {
    static const int64_t order[] = {50, -20, 40, 10, 60, 30, 20, 10, 50};
    static const int64_t sorted[] = {-20, 10, 20, 30, 40, 50, 60};
    static const uint32_t counts[] = {1, 2, 1, 1, 1, 2, 1};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        make(*state, i < 7 ? "a" : "b", order[i]);
    }
    for (size_t i = 0; i < 7; i++) {
        struct mr_end *end = mr_store_next_drop(*state, MR_CELL_WINDOW);
        assert_true(end->end_ns == sorted[i]);
        assert_int_equal(end->count, counts[i]);
        while (end->count > 0) {
            mr_store_drop(*state, end->cells[0]);
        }
    }
    assert_null(mr_store_next_drop(*state, MR_CELL_WINDOW));
}

static void what_closes_next_is_the_least_end_with_an_open_cell(void **state) {
    struct mr_cell *a = make(*state, "a", 10), *b = make(*state, "b", 10);
    make(*state, "a", 20);
    mr_store_close(*state, a);
    assert_int_equal(mr_store_next_close(*state)->end_ns, 10);
    mr_store_close(*state, b);
    mr_store_close(*state, b); /* twice is once */
    assert_int_equal(mr_store_next_close(*state)->end_ns, 20);
    assert_int_equal(mr_store_next_close(*state)->open, 1);
    assert_int_equal(mr_store_next_drop(*state, MR_CELL_WINDOW)->end_ns, 10);
    assert_int_equal(mr_store_next_drop(*state, MR_CELL_WINDOW)->open, 0);
}

static void an_end_that_has_closed_waits_again_for_a_new_cell(void **state) {
    mr_store_close(*state, make(*state, "a", 10));
    make(*state, "a", 20);
    assert_int_equal(mr_store_next_close(*state)->end_ns, 20);
    make(*state, "b", 10);
    assert_int_equal(mr_store_next_close(*state)->end_ns, 10);
}

static void an_end_goes_with_its_last_cell(void **state) {
    struct mr_cell *a = make(*state, "a", 10), *b = make(*state, "b", 10);
    struct mr_cell *c = make(*state, "c", 10), *later = make(*state, "a", 20);
    mr_store_close(*state, b);
    mr_store_drop(*state, a);
    assert_int_equal(mr_store_next_drop(*state, MR_CELL_WINDOW)->count, 2);
    assert_int_equal(mr_store_next_drop(*state, MR_CELL_WINDOW)->open, 1);
    mr_store_drop(*state, c);
    assert_int_equal(mr_store_next_drop(*state, MR_CELL_WINDOW)->open, 0);
    mr_store_drop(*state, b);
    assert_int_equal(mr_store_next_drop(*state, MR_CELL_WINDOW)->end_ns, 20);
    assert_ptr_equal(mr_store_next_drop(*state, MR_CELL_WINDOW)->cells[0], later);
    assert_ptr_equal(mr_store_next_close(*state)->cells[0], later);
}

static void keyed_cells_have_no_end(void **state) {
    mr_store_keyed(*state, mr_slice_of("k"), true);
    assert_null(mr_store_next_drop(*state, MR_CELL_WINDOW));
}

static void fresh_cells_are_the_open_ones_touched_since_sorted(void **state) {
    size_t count;
    struct mr_cell *late = make(*state, "a", 30), *early = make(*state, "a", 10);
    mr_store_touch(*state, late);
    mr_store_touch(*state, early);
    mr_store_touch(*state, make(*state, "b", 10));
    mr_store_close(*state, make(*state, "b", 10));
    make(*state, "c", 10);
    struct mr_cell **fresh = mr_store_fresh(*state, &count);
    assert_int_equal(count, 2);
    assert_ptr_equal(fresh[0], early);
    assert_ptr_equal(fresh[1], late);
    free(fresh);
}

/* Shifting an array for each of them would take minutes. */
static void a_hundred_thousand_ends_in_any_order_come_up_sorted(void **state) {
    enum { COUNT = 100000 };
    for (int64_t i = 0; i < COUNT; i++) {
        make(*state, "a", i * 7919 % COUNT * 10);
    }
    for (int64_t i = 0; i < COUNT; i++) {
        struct mr_end *close = mr_store_next_close(*state);
        assert_true(close->end_ns == i * 10);
        mr_store_close(*state, close->cells[0]);
        if (i % 2) {
            mr_store_drop(*state, mr_store_next_drop(*state, MR_CELL_WINDOW)->cells[0]);
        }
    }
    assert_null(mr_store_next_close(*state));
    assert_true(mr_store_next_drop(*state, MR_CELL_WINDOW)->end_ns == COUNT / 2 * 10);
}

static void cells_sort_by_end_then_group_byte_by_byte_the_shorter_first(void **state) {
    struct mr_cell *sorted[] = {
        make(*state, "z", 10),  make(*state, "", 20),  make(*state, "a", 20),
        make(*state, "aa", 20), make(*state, "b", 20), make(*state, "\xc3", 20),
        make(*state, "a", 30),
    };
    enum { COUNT = sizeof sorted / sizeof *sorted };
    struct mr_cell *cells[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        cells[i] = sorted[(i * 5 + 3) % COUNT];
    }
    mr_cells_sort(cells, COUNT);
    assert_memory_equal(cells, sorted, sizeof sorted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_store_has_nothing_to_close_or_drop, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ends_ascend_in_whatever_order_cells_come, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_closes_next_is_the_least_end_with_an_open_cell, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_end_that_has_closed_waits_again_for_a_new_cell, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_end_goes_with_its_last_cell, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keyed_cells_have_no_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fresh_cells_are_the_open_ones_touched_since_sorted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_hundred_thousand_ends_in_any_order_come_up_sorted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(cells_sort_by_end_then_group_byte_by_byte_the_shorter_first,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
