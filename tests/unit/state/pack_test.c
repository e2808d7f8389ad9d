/* Cells as bytes: the changelog, and the way back. */
#include "tests/lib/measures.h"

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>

struct fixture {
    struct mr_store *store;
    struct mr_test_changelog changelog;
    struct mr_error err;
};

static int set_up(void **state) {
    struct fixture *f = mr_allocate(sizeof *f);
    f->store = mr_store_create(&mr_test_measures, MR_TEST_LAYOUT);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    mr_store_destroy(f->store);
    mr_test_changelog_finish(&f->changelog);
    free(f);
    return 0;
}

static struct mr_cell *make(struct mr_store *store, const char *group, int64_t start) {
    return mr_store_window(store, mr_slice_of(group), (struct mr_span){start, start + 10}, true);
}

static void add(struct fixture *f, struct mr_cell *cell, uint8_t x) {
    mr_test_add(cell, x);
    mr_store_touch(f->store, cell);
}

/* Returns how many records and tombstones were handed out. */
static size_t take(struct fixture *f) {
    f->changelog.taken = 0;
    assert_int_equal(mr_store_take_dirty(f->store, mr_test_take, &f->changelog, &f->err), MR_OK);
    return f->changelog.taken;
}

static struct mr_store *restore(struct fixture *f) {
    struct mr_store *store = mr_store_create(&mr_test_measures, MR_TEST_LAYOUT);
    for (size_t i = f->changelog.count; i > 0; i--) { /* any order will do */
        const struct mr_test_record *record = &f->changelog.records[i - 1];
        assert_int_equal(mr_store_restore(store, record->key, record->value, NULL, &f->err), MR_OK);
    }
    return store;
}

static void a_change_is_taken_once(void **state) {
    struct fixture *f = *state;
    struct mr_cell *cell = make(f->store, "a", 0);
    assert_int_equal(take(f), 0); /* made, not changed */
    add(f, cell, 1);
    add(f, cell, 2);
    assert_int_equal(take(f), 1);
    assert_int_equal(take(f), 0);
    add(f, cell, 3);
    assert_int_equal(take(f), 1);
    assert_int_equal(f->changelog.count, 1);
}

static void the_changelog_hears_of_a_drop_only_if_it_knew_the_cell(void **state) {
    struct fixture *f = *state;
    struct mr_cell *known = make(f->store, "a", 0), *unknown = make(f->store, "b", 0);
    add(f, known, 1);
    take(f);
    add(f, unknown, 1);
    mr_store_drop(f->store, unknown);
    assert_int_equal(take(f), 0);
    mr_store_drop(f->store, known);
    assert_int_equal(take(f), 1);
    assert_int_equal(f->changelog.tombstones, 1);
    assert_int_equal(f->changelog.count, 0);
}

static void a_cell_that_was_dropped_and_made_again_stays(void **state) {
    struct fixture *f = *state;
    add(f, make(f->store, "a", 0), 1);
    take(f);
    mr_store_drop(f->store, make(f->store, "a", 0));
    add(f, make(f->store, "a", 0), 2);
    assert_int_equal(take(f), 2);
    assert_int_equal(f->changelog.count, 1);
    struct mr_store *again = restore(f);
    assert_int_equal(mr_test_sum(make(again, "a", 0)), 2);
    mr_store_destroy(again);
}

static void a_restored_cell_that_is_dropped_leaves_a_tombstone(void **state) {
    struct fixture *f = *state;
    add(f, make(f->store, "a", 0), 1);
    mr_store_touch(f->store, mr_store_keyed(f->store, mr_slice_of("k"), true));
    take(f);
    mr_store_destroy(f->store);
    f->store = restore(f);
    mr_store_drop(f->store, make(f->store, "a", 0));
    mr_store_drop(f->store, mr_store_keyed(f->store, mr_slice_of("k"), false));
    assert_int_equal(take(f), 2);
    assert_int_equal(f->changelog.count, 0);
}

static void a_closed_cell_is_packed_when_taken_and_unpacks_to_the_same(void **state) {
    struct fixture *f = *state;
    struct mr_cell *cell = make(f->store, "a", 0);
    add(f, cell, 5);
    add(f, cell, 6);
    mr_store_close(f->store, cell);
    take(f);
    assert_null(cell->accumulators);
    assert_int_equal(mr_store_unpack(f->store, cell, &f->err), MR_OK);
    assert_null(cell->packed.data);
    assert_int_equal(mr_test_sum(cell), 11);
    assert_true(mr_slice_equal(mr_test_list(cell), mr_slice_of("\5\6")));
}

static void a_packed_cell_that_is_closed_anew_keeps_its_bytes(void **state) {
    struct fixture *f = *state;
    struct mr_cell *cell = make(f->store, "a", 0);
    add(f, cell, 5);
    mr_store_close(f->store, cell);
    take(f);
    cell->rev = 4;
    mr_store_close(f->store, cell); /* only its rev has changed: nothing was unpacked */
    assert_int_equal(take(f), 1);
    struct mr_store *again = restore(f);
    struct mr_cell *same = make(again, "a", 0);
    assert_int_equal(same->rev, 4);
    assert_int_equal(mr_store_unpack(again, same, &f->err), MR_OK);
    assert_int_equal(mr_test_sum(same), 5);
    mr_store_destroy(again);
}

static void restoring_gives_every_cell_back_as_it_was(void **state) {
    static const int64_t starts[] = {INT64_MIN, -10, 0, 10, INT64_MAX - 10};
    struct fixture *f = *state;
    struct mr_cell *made[5];
    char group[MR_KEY_MAX + 1];
    for (size_t i = 0; i < 5; i++) {
        snprintf(group, sizeof group, "%0*d", (int)(i == 4 ? MR_KEY_MAX : 7 * i), 0);
        struct mr_cell *cell = made[i] = make(f->store, i == 0 ? "" : group, starts[i]);
        add(f, cell, (uint8_t)(i + 1));
        cell->rev = (uint32_t)(i * 1000);
        if (i % 2) {
            mr_store_close(f->store, cell);
        }
    }
    struct mr_cell *keyed = mr_store_keyed(f->store, mr_slice_of("key"), true);
    mr_accumulator_reserve(keyed->accumulators, 3);
    memcpy(keyed->accumulators->body, "abc", keyed->accumulators->length = 3);
    mr_store_touch(f->store, keyed);
    assert_int_equal(take(f), 6);

    struct mr_store *again = restore(f);
    assert_int_equal(mr_store_cells(again), 6);
    for (size_t i = 0; i < 5; i++) {
        struct mr_cell *was = made[i];
        struct mr_cell *is = mr_store_window(again, mr_cell_group(was), was->span, false);
        assert_non_null(is);
        assert_true(is->span.end_ns == was->span.end_ns);
        assert_int_equal(is->rev, was->rev);
        assert_int_equal(is->closed, was->closed);
        assert_int_equal(mr_store_unpack(again, is, &f->err), MR_OK);
        assert_int_equal(mr_test_sum(is), i + 1);
    }
    assert_int_equal(mr_store_next_close(again)->end_ns, made[0]->span.end_ns);
    keyed = mr_store_keyed(again, mr_slice_of("key"), false);
    assert_int_equal(keyed->accumulators->length, 3);
    assert_memory_equal(keyed->accumulators->body, "abc", 3);
    assert_int_equal(mr_store_take_dirty(again, mr_test_take, &f->changelog, &f->err), MR_OK);
    assert_int_equal(f->changelog.taken, 6); /* nothing of it is a change */
    mr_store_destroy(again);
}

/* ---- A log that has not forgotten older records of a key ------------------------------------- */

struct version {
    struct mr_slice key, value;
};

/* What the changelog has last: a copy, because the next take replaces it. */
static struct version latest(struct fixture *f) {
    assert_int_equal(f->changelog.count, 1);
    const struct mr_test_record *record = &f->changelog.records[0];
    return (struct version){mr_copy_slice(record->key), mr_copy_slice(record->value)};
}

/* One cell: open, changed, closed, revised; dropped; then made again. */
static size_t write_versions(struct fixture *f, struct version *versions) {
    struct mr_cell *cell = make(f->store, "a", 0);
    for (uint8_t i = 0; i < 4; i++) {
        assert_int_equal(mr_store_unpack(f->store, cell, &f->err), MR_OK);
        add(f, cell, (uint8_t)(i + 1));
        if (i >= 2) {
            mr_store_close(f->store, cell);
            cell->rev++;
        }
        take(f);
        versions[i] = latest(f);
    }
    mr_store_drop(f->store, cell);
    take(f);
    versions[4] = (struct version){mr_copy_slice(versions[0].key), {0}};
    add(f, make(f->store, "a", 0), 9);
    take(f);
    versions[5] = latest(f);
    return 6;
}

static void assert_same_cell(struct mr_store *store, struct mr_store *wanted) {
    struct mr_span span = {0, 10};
    struct mr_cell *is = mr_store_window(store, mr_slice_of("a"), span, false);
    struct mr_cell *was = mr_store_window(wanted, mr_slice_of("a"), span, false);
    assert_int_equal(mr_store_cells(store), mr_store_cells(wanted));
    assert_int_equal(is == NULL, was == NULL);
    struct mr_end *close = mr_store_next_close(store),
                  *drop = mr_store_next_drop(store, MR_CELL_WINDOW);
    assert_int_equal(close ? close->open : 0, was && !was->closed);
    assert_int_equal(drop ? drop->count : 0, was != NULL);
    if (is) {
        assert_int_equal(is->closed, was->closed);
        assert_int_equal(is->rev, was->rev);
        assert_int_equal(is->accumulators == NULL, was->accumulators == NULL);
        mr_store_unpack(store, is, NULL);
        mr_store_unpack(wanted, was, NULL);
        assert_int_equal(mr_test_sum(is), mr_test_sum(was));
        assert_true(mr_slice_equal(mr_test_list(is), mr_test_list(was)));
    }
}

static void of_several_records_of_a_key_the_last_one_counts(void **state) {
    struct fixture *f = *state;
    struct version versions[6];
    size_t count = write_versions(f, versions);
    for (size_t first = 0; first < count; first++) {
        for (size_t last = first; last < count; last++) {
            struct mr_store *all = mr_store_create(&mr_test_measures, MR_TEST_LAYOUT);
            struct mr_store *one = mr_store_create(&mr_test_measures, MR_TEST_LAYOUT);
            for (size_t i = first; i <= last; i++) {
                assert_int_equal(
                    mr_store_restore(all, versions[i].key, versions[i].value, NULL, &f->err),
                    MR_OK);
            }
            mr_store_restore(one, versions[last].key, versions[last].value, NULL, &f->err);
            assert_same_cell(all, one);
            assert_int_equal(mr_store_take_dirty(all, mr_test_take, &f->changelog, &f->err), MR_OK);
            mr_store_destroy(all);
            mr_store_destroy(one);
        }
    }
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)versions[i].key.data);
        free((void *)(uintptr_t)versions[i].value.data);
    }
}

static void a_keyed_cell_is_replaced_and_deleted_too(void **state) {
    struct fixture *f = *state;
    struct mr_slice key = mr_slice_of("kx");
    char value[11] = {0};
    uint64_t layout = MR_TEST_LAYOUT;
    memcpy(value, &layout, sizeof layout);
    memcpy(value + 8, "abc", 3);
    struct mr_cell *cell;
    assert_int_equal(mr_store_restore(f->store, key, (struct mr_slice){value, 11}, &cell, &f->err),
                     MR_OK);
    assert_int_equal(cell->accumulators->length, 3);
    assert_int_equal(mr_store_restore(f->store, key, (struct mr_slice){value, 9}, &cell, &f->err),
                     MR_OK);
    assert_int_equal(cell->accumulators->length, 1);
    assert_int_equal(mr_store_restore(f->store, key, (struct mr_slice){0}, &cell, &f->err), MR_OK);
    assert_null(cell);
    assert_int_equal(mr_store_cells(f->store), 0);
    assert_int_equal(take(f), 0); /* the changelog knows already */
}

static void a_record_of_another_layout_takes_the_cell_away(void **state) {
    struct fixture *f = *state;
    add(f, make(f->store, "a", 0), 1);
    take(f);
    struct version last = latest(f);
    struct mr_store *store = restore(f);
    ((char *)(uintptr_t)last.value.data)[0] ^= 1;
    assert_int_equal(mr_store_restore(store, last.key, last.value, NULL, &f->err), MR_REJECT);
    assert_int_equal(mr_store_cells(store), 0);
    assert_null(mr_store_next_drop(store, MR_CELL_WINDOW));
    mr_store_destroy(store);
    free((void *)(uintptr_t)last.key.data);
    free((void *)(uintptr_t)last.value.data);
}

static void another_layout_is_rejected_and_makes_no_cell(void **state) {
    struct fixture *f = *state;
    add(f, make(f->store, "a", 0), 1);
    take(f);
    struct mr_store *other = mr_store_create(&mr_test_measures, MR_TEST_LAYOUT + 1);
    const struct mr_test_record *record = &f->changelog.records[0];
    assert_int_equal(mr_store_restore(other, record->key, record->value, NULL, &f->err), MR_REJECT);
    assert_int_equal(mr_store_cells(other), 0);
    mr_store_destroy(other);
}

static enum mr_status restore_bytes(struct fixture *f, struct mr_slice key, struct mr_slice value) {
    struct mr_store *store = mr_store_create(&mr_test_measures, MR_TEST_LAYOUT);
    enum mr_status status = mr_store_restore(store, key, value, NULL, &f->err);
    mr_store_destroy(store);
    return status;
}

static void a_record_that_was_cut_is_damaged_at_every_length(void **state) {
    struct fixture *f = *state;
    struct mr_cell *cell = make(f->store, "group", 0);
    add(f, cell, 1);
    take(f);
    struct mr_test_record *record = &f->changelog.records[0];
    for (size_t length = 0; length < record->value.length; length++) {
        char *cut = mr_allocate(length + 1); /* its own memory, so a read past it is seen */
        memcpy(cut, record->value.data, length);
        struct mr_slice value = {realloc(cut, length ? length : 1), length};
        assert_int_equal(restore_bytes(f, record->key, value), MR_FAIL);
        free((void *)(uintptr_t)value.data);
    }
    for (size_t length = 0; length < 9; length++) {
        struct mr_slice key = {record->key.data, length};
        assert_int_equal(restore_bytes(f, key, record->value), MR_FAIL);
    }
}

static void bytes_after_the_last_measure_are_damage(void **state) {
    struct fixture *f = *state;
    add(f, make(f->store, "a", 0), 1);
    take(f);
    struct mr_test_record *record = &f->changelog.records[0];
    struct mr_buffer longer = {0};
    mr_buffer_add(&longer, record->value.data, record->value.length);
    mr_buffer_add(&longer, "", 1);
    assert_int_equal(restore_bytes(f, record->key, mr_buffer_slice(&longer)), MR_FAIL);
    mr_buffer_finish(&longer);
}

static void a_key_of_no_kind_is_damage(void **state) {
    struct fixture *f = *state;
    add(f, make(f->store, "a", 0), 1);
    take(f);
    assert_int_equal(restore_bytes(f, mr_slice_of("x12345678a"), f->changelog.records[0].value),
                     MR_FAIL);
}

static void a_taker_that_fails_stops_the_taking(void **state) {
    struct fixture *f = *state;
    add(f, make(f->store, "a", 0), 1);
    add(f, make(f->store, "b", 0), 1);
    add(f, make(f->store, "c", 0), 1);
    f->changelog.fail_at = 2;
    assert_int_equal(mr_store_take_dirty(f->store, mr_test_take, &f->changelog, &f->err), MR_FAIL);
    assert_int_equal(f->changelog.taken, 2);
    assert_string_equal(f->err.text, "asked to fail");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_change_is_taken_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_changelog_hears_of_a_drop_only_if_it_knew_the_cell,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cell_that_was_dropped_and_made_again_stays, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_restored_cell_that_is_dropped_leaves_a_tombstone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_closed_cell_is_packed_when_taken_and_unpacks_to_the_same,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_packed_cell_that_is_closed_anew_keeps_its_bytes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(restoring_gives_every_cell_back_as_it_was, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_several_records_of_a_key_the_last_one_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_keyed_cell_is_replaced_and_deleted_too, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_record_of_another_layout_takes_the_cell_away, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_layout_is_rejected_and_makes_no_cell, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_record_that_was_cut_is_damaged_at_every_length, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bytes_after_the_last_measure_are_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_of_no_kind_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_taker_that_fails_stops_the_taking, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
