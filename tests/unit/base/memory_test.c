/* Allocation, the arena, accumulators. */
#include "engine/base/base.h"

#include <millrace/aggregate.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static void allocated_memory_is_zeroed(void **state) {
    uint64_t *items = mr_allocate_array(100, uint64_t);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(items[i], 0);
    }
    free(items);
}

static void nothing_can_be_allocated_copied_and_freed(void **state) {
    free(mr_allocate(0));
    free(mr_allocate_items(0, 8));
    struct mr_slice none = mr_copy_slice((struct mr_slice){NULL, 0});
    assert_null(none.data);
    struct mr_slice empty = mr_copy_slice((struct mr_slice){"", 0});
    assert_non_null(empty.data);
    free((void *)(uintptr_t)empty.data);
}

static void a_copied_text_is_its_own(void **state) {
    char text[] = "pump-7";
    char *copy = mr_copy_text(text);
    text[0] = 'x';
    assert_string_equal(copy, "pump-7");
    free(copy);
}

static void every_take_is_aligned_and_apart(void **state) {
    struct mr_arena *arena = mr_arena_create();
    char *previous = NULL;
    size_t previous_bytes = 0;
    for (size_t bytes = 0; bytes < 300000; bytes = bytes * 2 + 1) {
        char *taken = mr_arena_take(arena, bytes);
        assert_int_equal((uintptr_t)taken % 64, 0);
        if (previous && bytes > 0) {
            memset(previous, 1, previous_bytes);
            memset(taken, 2, bytes);
            assert_true(previous_bytes == 0 || previous[previous_bytes - 1] == 1);
        }
        previous = taken;
        previous_bytes = bytes;
    }
    mr_arena_destroy(arena);
}

static void an_arena_gives_the_same_memory_after_a_reset(void **state) {
    struct mr_arena *arena = mr_arena_create();
    void *first[8];
    for (int i = 0; i < 8; i++) {
        first[i] = mr_arena_take(arena, 700000);
    }
    mr_arena_reset(arena);
    for (int i = 0; i < 8; i++) {
        assert_ptr_equal(mr_arena_take(arena, 700000), first[i]);
    }
    mr_arena_destroy(arena);
}

static void a_giant_take_works_and_leaves_the_chunks_alone(void **state) {
    struct mr_arena *arena = mr_arena_create();
    char *small = mr_arena_take(arena, 10);
    char *giant = mr_arena_take(arena, 100 << 20);
    assert_int_equal((uintptr_t)giant % 64, 0);
    giant[0] = 1;
    giant[(100 << 20) - 1] = 1;
    char *next = mr_arena_take(arena, 10);
    assert_ptr_equal(next, small + 64);
    mr_arena_reset(arena);
    assert_ptr_equal(mr_arena_take(arena, 10), small);
    mr_arena_destroy(arena);
}

static void destroying_no_arena_does_nothing(void **state) {
    mr_arena_destroy(NULL);
}

static void an_accumulator_keeps_its_bytes_as_it_grows(void **state) {
    struct mr_accumulator accumulator = {0};
    mr_accumulator_reserve(&accumulator, 4);
    memcpy(accumulator.body, "abcd", 4);
    accumulator.length = 4;
    mr_accumulator_reserve(&accumulator, 100000);
    assert_true(accumulator.capacity >= 100000);
    assert_memory_equal(accumulator.body, "abcd", 4);
    uint8_t *body = accumulator.body;
    mr_accumulator_reserve(&accumulator, 10);
    assert_ptr_equal(accumulator.body, body);
    free(accumulator.body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocated_memory_is_zeroed),
        cmocka_unit_test(nothing_can_be_allocated_copied_and_freed),
        cmocka_unit_test(a_copied_text_is_its_own),
        cmocka_unit_test(every_take_is_aligned_and_apart),
        cmocka_unit_test(an_arena_gives_the_same_memory_after_a_reset),
        cmocka_unit_test(a_giant_take_works_and_leaves_the_chunks_alone),
        cmocka_unit_test(destroying_no_arena_does_nothing),
        cmocka_unit_test(an_accumulator_keeps_its_bytes_as_it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
