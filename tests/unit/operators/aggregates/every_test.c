/* What holds for every aggregate in the table: order, merging, packing, damage. */
#include "tests/unit/operators/aggregates/feed.h"

#define BLOCKS 12
#define N      (BLOCKS * MR_BLOCK)

static float x[N];
static const size_t order[BLOCKS] = {7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 6, 4};

static void fill(void) {
    uint64_t seed = 1;
    for (size_t i = 0; i < N; i++) {
        x[i] = (float)(0.02 * sin((double)i * 0.01) + 0.001 * random_unit(&seed));
        x[i] = i % 501 == 0 ? (float)NAN : i % 777 == 0 ? -0.0f : i % 333 == 0 ? 1e-39f : x[i];
    }
}

static const struct series all = {.f32 = x, .n = N, .rate = 1000};

static void blocks_in_any_order_give_the_same_bytes(void **state) {
    for (size_t t = 0; mr_aggregate_types[t]; t++) {
        struct gauge straight = gauge_of(mr_aggregate_types[t], 6);
        struct gauge shuffled = gauge_of(mr_aggregate_types[t], 6);
        feed(&straight, &all);
        for (size_t i = 0; i < BLOCKS; i++) {
            feed_block(&shuffled, &all, order[i] * MR_BLOCK, MR_BLOCK);
        }
        assert_same(&straight, &shuffled);
        gauge_finish(&straight);
        gauge_finish(&shuffled);
    }
}

static void merging_any_grouping_gives_the_same_bytes(void **state) {
    for (size_t t = 0; mr_aggregate_types[t]; t++) {
        const struct mr_aggregate_type *type = mr_aggregate_types[t];
        struct gauge straight = gauge_of(type, 6), merged = gauge_of(type, 6);
        struct gauge nothing = gauge_of(type, 6);
        feed(&straight, &all);
        for (size_t i = 0; i < BLOCKS; i += 3) {
            struct gauge some = gauge_of(type, 6);
            for (size_t k = i; k < i + 3; k++) {
                feed_block(&some, &all, order[k] * MR_BLOCK, MR_BLOCK);
            }
            type->merge(&merged.accumulator, &some.accumulator, merged.settings);
            type->merge(&merged.accumulator, &nothing.accumulator, merged.settings);
            gauge_finish(&some);
        }
        assert_same(&straight, &merged);
        gauge_finish(&straight);
        gauge_finish(&merged);
        gauge_finish(&nothing);
    }
}

static void packing_is_canonical(void **state) {
    for (size_t t = 0; mr_aggregate_types[t]; t++) {
        struct gauge gauge = gauge_of(mr_aggregate_types[t], 6);
        assert_survives_packing(&gauge);
        feed_block(&gauge, &all, 17, 1);
        assert_survives_packing(&gauge);
        feed(&gauge, &all);
        assert_survives_packing(&gauge);
        gauge_finish(&gauge);
    }
}

/* What was restored goes on as if it had never been away. */
static void adding_goes_on_after_unpacking(void **state) {
    for (size_t t = 0; mr_aggregate_types[t]; t++) {
        const struct mr_aggregate_type *type = mr_aggregate_types[t];
        struct gauge straight = gauge_of(type, 6), before = gauge_of(type, 6);
        struct gauge after = gauge_of(type, 6);
        feed(&straight, &all);
        feed_block(&before, &all, 0, MR_BLOCK);
        struct mr_accumulator bytes = packed(&before);
        assert_int_equal(type->unpack(&after.accumulator, after.settings, slice_of(&bytes)), MR_OK);
        for (size_t i = 1; i < BLOCKS; i++) {
            feed_block(&after, &all, i * MR_BLOCK, MR_BLOCK);
        }
        assert_same(&straight, &after);
        free(bytes.body);
        gauge_finish(&straight);
        gauge_finish(&before);
        gauge_finish(&after);
    }
}

static void damaged_bytes_are_refused(void **state) {
    for (size_t t = 0; mr_aggregate_types[t]; t++) {
        struct gauge gauge = gauge_of(mr_aggregate_types[t], 4);
        feed_block(&gauge, &all, 100, 60);
        assert_bears_damage(&gauge);
        gauge_finish(&gauge);
    }
}

static void every_aggregate_and_result_says_what_it_is(void **state) {
    for (size_t t = 0; mr_aggregate_types[t]; t++) {
        const struct mr_aggregate_type *type = mr_aggregate_types[t];
        assert_true(type->version > 0 && type->head_size % 8 == 0);
        assert_true(strlen(type->summary) > 0);
        for (const struct mr_result *result = type->results; result->name; result++) {
            assert_true(strlen(result->summary) > 0);
            assert_true(!result->field_required || result->field_allowed);
            assert_true((result->arguments == NULL) == (result->arguments_size == 0));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_in_any_order_give_the_same_bytes),
        cmocka_unit_test(merging_any_grouping_gives_the_same_bytes),
        cmocka_unit_test(packing_is_canonical),
        cmocka_unit_test(adding_goes_on_after_unpacking),
        cmocka_unit_test(damaged_bytes_are_refused),
        cmocka_unit_test(every_aggregate_and_result_says_what_it_is),
    };
    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
