/* The versions of one key: in order, looked up, forgotten, bounded. */
#include "engine/run/versions.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>

static void put(struct mr_accumulator *cell, int64_t from_ns, int64_t offset, const char *said) {
    struct mr_version_entry entry = {from_ns, offset, said == NULL,
                                     said ? mr_slice_of(said) : (struct mr_slice){NULL, 0}};
    mr_versions_put(cell, &entry);
    assert_true(mr_versions_check(cell));
}

/* "A until 5", "none until ever" */
static void assert_found(const struct mr_accumulator *cell, int64_t from_ns, int64_t bound_ns,
                         const char *expected) {
    char text[64];
    struct mr_version_found found = mr_versions_find(cell, from_ns, INT64_MAX, bound_ns);
    int length = found.there ? (int)found.said.length : 4;
    const char *said = found.there ? found.said.data : "none";
    if (found.until_ns == INT64_MAX) {
        snprintf(text, sizeof text, "%.*s until ever", length, said);
    } else {
        snprintf(text, sizeof text, "%.*s until %lld", length, said, (long long)found.until_ns);
    }
    assert_string_equal(text, expected);
}

static void the_newest_version_at_or_before_the_time_holds(void **state) {
    struct mr_accumulator cell = {0};
    put(&cell, 10, 0, "A");
    put(&cell, 20, 1, "B");
    assert_found(&cell, 9, MR_NEVER, "none until 10");
    assert_found(&cell, 10, MR_NEVER, "A until 20");
    assert_found(&cell, 19, MR_NEVER, "A until 20");
    assert_found(&cell, 20, MR_NEVER, "B until ever");
    free(cell.body);
}

static void an_empty_cell_says_nothing(void **state) {
    struct mr_accumulator cell = {0};
    assert_found(&cell, 5, MR_NEVER, "none until ever");
    assert_false(mr_versions_check(&cell));
}

static void order_of_arrival_does_not_matter(void **state) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const char *const said[] = {"first", "2", "the third"};
    for (size_t i = 0; i < 6; i++) {
        struct mr_accumulator cell = {0};
        for (int j = 0; j < 3; j++) {
            put(&cell, 10 * orders[i][j], orders[i][j], said[orders[i][j]]);
        }
        assert_found(&cell, 0, MR_NEVER, "first until 10");
        assert_found(&cell, 10, MR_NEVER, "2 until 20");
        assert_found(&cell, 25, MR_NEVER, "the third until ever");
        free(cell.body);
    }
}

static void of_equal_times_the_higher_offset_wins_whichever_comes_first(void **state) {
    struct mr_accumulator cell = {0};
    put(&cell, 10, 7, "seven");
    put(&cell, 10, 3, "three");
    assert_found(&cell, 10, MR_NEVER, "seven until ever");
    put(&cell, 10, 9, "nine");
    put(&cell, 10, 9, "nine");
    assert_found(&cell, 10, MR_NEVER, "nine until ever");
    put(&cell, 10, 10, NULL);
    assert_found(&cell, 10, MR_NEVER, "none until ever");
    free(cell.body);
}

static void what_says_the_same_again_is_no_border(void **state) {
    struct mr_accumulator cell = {0};
    put(&cell, 0, 0, NULL);
    put(&cell, 10, 1, "A");
    put(&cell, 20, 2, "A");
    put(&cell, 30, 3, "B");
    put(&cell, 40, 4, NULL);
    put(&cell, 50, 5, NULL);
    assert_found(&cell, -5, MR_NEVER, "none until 10");
    assert_found(&cell, 12, MR_NEVER, "A until 30");
    assert_found(&cell, 45, MR_NEVER, "none until ever");
    struct mr_version_found found = mr_versions_find(&cell, 12, 15, MR_NEVER);
    assert_int_equal(found.until_ns, 20); /* nobody asked for more */
    free(cell.body);
}

static void before_the_bound_there_is_what_held_at_the_bound(void **state) {
    struct mr_accumulator kept = {0}, forgot = {0};
    struct mr_accumulator *const cells[] = {&kept, &forgot};
    for (int i = 0; i < 2; i++) {
        put(cells[i], 0, 0, "A");
        put(cells[i], 10, 1, "B");
        put(cells[i], 20, 2, "C");
    }
    assert_true(mr_versions_forget(&forgot, 15));
    assert_true(mr_versions_check(&forgot));
    assert_false(mr_versions_forget(&forgot, 15));
    for (int i = 0; i < 2; i++) { /* forgotten or not, the same is found */
        assert_found(cells[i], 5, 15, "B until 20");
        assert_found(cells[i], 12, 15, "B until 20");
        assert_found(cells[i], 25, 15, "C until ever");
        free(cells[i]->body);
    }
}

static void only_a_tombstone_before_the_bound_is_over(void **state) {
    struct mr_accumulator cell = {0};
    put(&cell, 10, 0, NULL);
    assert_false(mr_versions_over(&cell, 9));
    assert_true(mr_versions_over(&cell, 10));
    put(&cell, 20, 1, "A");
    mr_versions_forget(&cell, 30);
    assert_false(mr_versions_over(&cell, 30));
    free(cell.body);
}

static void news_is_what_a_look_would_find_changed(void **state) {
    struct mr_accumulator cell = {0};
    const struct mr_version_entry a = {10, 5, false, mr_slice_of("A")},
                                  again = {15, 6, false, mr_slice_of("A")},
                                  other = {15, 6, false, mr_slice_of("B")},
                                  none = {15, 6, true, {NULL, 0}}, before = {5, 6, true, {NULL, 0}},
                                  old = {10, 4, false, mr_slice_of("B")};
    assert_true(mr_versions_news(&cell, &a));
    assert_false(mr_versions_news(&cell, &none));
    mr_versions_put(&cell, &a);
    assert_false(mr_versions_news(&cell, &again));
    assert_true(mr_versions_news(&cell, &other));
    assert_true(mr_versions_news(&cell, &none));
    assert_false(mr_versions_news(&cell, &before));
    assert_false(mr_versions_news(&cell, &old)); /* the higher offset is there */
    free(cell.body);
}

static void a_cell_keeps_a_mebibyte_of_the_newest(void **state) {
    static char said[1000];
    struct mr_accumulator cell = {0};
    uint32_t dropped = 0;
    memset(said, 'x', sizeof said);
    for (int64_t i = 0; i < 3000; i++) {
        struct mr_version_entry entry = {i, i, false, {said, sizeof said}};
        mr_versions_put(&cell, &entry);
        dropped += mr_versions_limit(&cell);
        assert_true(cell.length <= 1 << 20);
    }
    assert_true(mr_versions_check(&cell));
    assert_true(dropped > 1900 && dropped < 2100);
    assert_false(mr_versions_find(&cell, dropped - 1, dropped - 1, MR_NEVER).there);
    assert_true(mr_versions_find(&cell, dropped, dropped, MR_NEVER).there);
    assert_true(mr_versions_find(&cell, 2999, 2999, MR_NEVER).there);
    free(cell.body);
}

static void an_entry_that_is_put_over_and_over_takes_no_more_room(void **state) {
    static char said[60000];
    struct mr_accumulator cell = {0};
    memset(said, 'x', sizeof said);
    for (int64_t i = 0; i < 100; i++) {
        struct mr_version_entry entry = {0, i, false, {said, sizeof said}};
        mr_versions_put(&cell, &entry);
        assert_int_equal(mr_versions_limit(&cell), 0);
        assert_true(cell.length <= 1 << 20);
    }
    assert_true(mr_versions_check(&cell));
    free(cell.body);
}

static void damaged_bytes_are_no_versions(void **state) {
    struct mr_accumulator cell = {0};
    put(&cell, 10, 0, "A");
    put(&cell, 20, 1, "BB");
    for (uint32_t length = 0; length < cell.length; length++) {
        struct mr_accumulator cut = {.body = cell.body, .length = length};
        assert_false(mr_versions_check(&cut));
    }
    for (size_t at = 0; at < 8 + 2 * 24; at++) { /* never reads beyond: the sanitizer looks */
        cell.body[at] ^= 0x80;
        if (mr_versions_check(&cell)) {
            mr_versions_find(&cell, 15, 25, MR_NEVER);
        }
        cell.body[at] ^= 0x80;
    }
    free(cell.body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_version_at_or_before_the_time_holds),
        cmocka_unit_test(an_empty_cell_says_nothing),
        cmocka_unit_test(order_of_arrival_does_not_matter),
        cmocka_unit_test(of_equal_times_the_higher_offset_wins_whichever_comes_first),
        cmocka_unit_test(what_says_the_same_again_is_no_border),
        cmocka_unit_test(before_the_bound_there_is_what_held_at_the_bound),
        cmocka_unit_test(only_a_tombstone_before_the_bound_is_over),
        cmocka_unit_test(news_is_what_a_look_would_find_changed),
        cmocka_unit_test(a_cell_keeps_a_mebibyte_of_the_newest),
        cmocka_unit_test(an_entry_that_is_put_over_and_over_takes_no_more_room),
        cmocka_unit_test(damaged_bytes_are_no_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
