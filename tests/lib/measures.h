/* A store's two kinds of accumulators in their smallest form, so that tests of state need no real
 * statistics: a sum in the head, and a list of bytes in the body. */
#ifndef TESTS_LIB_MEASURES_H
#define TESTS_LIB_MEASURES_H

#include "engine/state/state.h"

#define MR_TEST_LAYOUT UINT64_C(0x1122334455667788)

/* [0] is a sum, [1] a list. */
extern const struct mr_measures mr_test_measures;

void mr_test_add(struct mr_cell *cell, uint8_t x);
uint64_t mr_test_sum(const struct mr_cell *cell);
struct mr_slice mr_test_list(const struct mr_cell *cell);

/* What mr_store_take_dirty hands out, kept as a changelog does: the last value of every key. */
struct mr_test_record {
    struct mr_slice key, value;
};
struct mr_test_changelog {
    struct mr_test_record records[256];
    size_t count, tombstones, taken;
    size_t fail_at; /* the take that answers MR_FAIL; 0: none */
};
/* A mr_store_take; arg is a struct mr_test_changelog. */
enum mr_status mr_test_take(void *changelog, struct mr_slice key, struct mr_slice value,
                            struct mr_error *err);
void mr_test_changelog_finish(struct mr_test_changelog *changelog);

#endif
