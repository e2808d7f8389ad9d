/* The table of cells. */
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

static struct mr_span minute(int64_t n) {
    return (struct mr_span){60 * n, 60 * n + 60};
}

static struct mr_cell *make(struct mr_store *store, const char *group, int64_t n) {
    return mr_store_window(store, mr_slice_of(group), minute(n), true);
}

static void a_cell_is_found_by_its_group_and_span(void **state) {
    struct mr_cell *cell = make(*state, "a", 1);
    assert_ptr_equal(make(*state, "a", 1), cell);
    assert_ptr_not_equal(make(*state, "a", 2), cell);
    assert_ptr_not_equal(make(*state, "b", 1), cell);
    assert_int_equal(mr_store_cells(*state), 3);
    assert_true(mr_slice_equal(mr_cell_group(cell), mr_slice_of("a")));
    assert_int_equal(cell->span.end_ns, 120);
}

static void a_cell_that_nobody_made_is_not_there(void **state) {
    assert_null(mr_store_window(*state, mr_slice_of("a"), minute(1), false));
    assert_null(mr_store_keyed(*state, mr_slice_of("a"), false));
    assert_int_equal(mr_store_cells(*state), 0);
}

static void a_window_and_a_key_of_the_same_name_are_two_cells(void **state) {
    struct mr_cell *keyed = mr_store_keyed(*state, mr_slice_of("a"), true);
    struct mr_cell *window = make(*state, "a", 0);
    assert_ptr_not_equal(keyed, window);
    assert_ptr_equal(mr_store_keyed(*state, mr_slice_of("a"), false), keyed);
    assert_ptr_equal(make(*state, "a", 0), window);
}

static void groups_of_every_length_are_told_apart(void **state) {
    char text[MR_KEY_MAX];
    struct mr_cell *cells[MR_KEY_MAX + 1];
    memset(text, 'x', sizeof text);
    for (size_t length = 0; length <= MR_KEY_MAX; length++) {
        cells[length] = mr_store_window(*state, (struct mr_slice){text, length}, minute(1), true);
    }
    assert_int_equal(mr_store_cells(*state), MR_KEY_MAX + 1);
    for (size_t length = 0; length <= MR_KEY_MAX; length++) {
        struct mr_slice group = {text, length};
        assert_ptr_equal(mr_store_window(*state, group, minute(1), false), cells[length]);
        assert_true(mr_slice_equal(mr_cell_group(cells[length]), group));
    }
}

static void a_made_cell_is_open_clean_and_zeroed_also_in_used_memory(void **state) {
    struct mr_cell *cell = make(*state, "a", 1);
    mr_test_add(cell, 7);
    cell->rev = 3;
    mr_store_close(*state, cell);
    mr_store_drop(*state, cell);
    cell = make(*state, "b", 2);
    assert_int_equal(mr_test_sum(cell), 0);
    assert_int_equal(mr_test_list(cell).length, 0);
    assert_int_equal(cell->rev, 0);
    assert_int_equal(cell->dirty_at, 0);
    assert_false(cell->closed || cell->pending || cell->fresh || cell->logged);
}

/* Against a table that cannot be wrong: which of 64 x 64 cells are there, and their sums. */
static void cells_are_what_they_were_while_thousands_come_and_go(void **state) {
    static struct mr_cell *model[64][64];
    static uint8_t sums[64][64];
    char group[8];
    size_t count = 0;
    memset(model, 0, sizeof model);
    srand(1);
    for (int step = 0; step < 40000; step++) {
        int g = rand() % 64, n = rand() % 64;
        snprintf(group, sizeof group, "g%d", g);
        struct mr_cell *cell = mr_store_window(*state, mr_slice_of(group), minute(n), false);
        assert_ptr_equal(cell, model[g][n]);
        if (!cell) {
            model[g][n] = cell = make(*state, group, n);
            mr_test_add(cell, sums[g][n] = (uint8_t)(rand() % 255));
            count++;
        } else {
            assert_int_equal(mr_test_sum(cell), sums[g][n]);
            mr_store_drop(*state, cell);
            model[g][n] = NULL;
            count--;
        }
        assert_int_equal(mr_store_cells(*state), count);
    }
}

static bool is_even(void *arg, struct mr_cell *cell) {
    ++*(size_t *)arg;
    return mr_cell_group(cell).data[0] % 2 == 0;
}

static void a_sweep_visits_every_cell_once_and_drops_what_is_refused(void **state) {
    for (char c = 0; c < 100; c++) {
        mr_store_keyed(*state, (struct mr_slice){&c, 1}, true);
    }
    make(*state, "\"", 1);
    size_t visits = 0;
    mr_store_sweep(*state, is_even, &visits);
    assert_int_equal(visits, 101);
    assert_int_equal(mr_store_cells(*state), 51);
    for (char c = 0; c < 100; c++) {
        assert_int_equal(mr_store_keyed(*state, (struct mr_slice){&c, 1}, false) != NULL,
                         c % 2 == 0);
    }
}

static size_t fill_and_empty(struct mr_store *store) {
    char group[64];
    struct mr_error err;
    struct mr_test_changelog changelog = {0};
    for (int i = 0; i < 200; i++) {
        snprintf(group, sizeof group, "a rather long name of a group, number %d", i);
        struct mr_cell *cell = make(store, group, i);
        for (uint8_t x = 0; x < 100; x++) {
            mr_test_add(cell, x);
        }
        mr_store_touch(store, cell);
        if (i % 3 == 0) {
            mr_store_close(store, cell);
        }
    }
    assert_int_equal(mr_store_take_dirty(store, mr_test_take, &changelog, &err), MR_OK);
    mr_test_changelog_finish(&changelog);
    for (int i = 0; i < 200; i++) {
        mr_store_drop(store, mr_store_next_drop(store, MR_CELL_WINDOW)->cells[0]);
    }
    return mr_store_bytes(store);
}

static void dropping_gives_back_every_byte_that_was_counted(void **state) {
    size_t bytes = fill_and_empty(*state);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(fill_and_empty(*state), bytes);
    }
}

static void bytes_grow_with_what_cells_hold(void **state) {
    struct mr_error err;
    struct mr_test_changelog changelog = {0};
    struct mr_cell *cell = make(*state, "a", 1);
    size_t before = mr_store_bytes(*state);
    for (int i = 0; i < 100000; i++) {
        mr_test_add(cell, 1);
    }
    mr_store_touch(*state, cell);
    mr_store_take_dirty(*state, mr_test_take, &changelog, &err);
    assert_true(mr_store_bytes(*state) >= before + 100000);
    mr_test_changelog_finish(&changelog);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cell_is_found_by_its_group_and_span, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cell_that_nobody_made_is_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_window_and_a_key_of_the_same_name_are_two_cells, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(groups_of_every_length_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_made_cell_is_open_clean_and_zeroed_also_in_used_memory,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(cells_are_what_they_were_while_thousands_come_and_go,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sweep_visits_every_cell_once_and_drops_what_is_refused,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(dropping_gives_back_every_byte_that_was_counted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bytes_grow_with_what_cells_hold, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
