/* The fields that the tests of expressions may name, and the arena their trees live in. */
#ifndef TESTS_UNIT_BASE_EXPRESSION_FIELDS_H
#define TESTS_UNIT_BASE_EXPRESSION_FIELDS_H

#include "engine/base/base.h"

#include <millrace/expression.h>

enum { CURRENT, VOLTAGE, X, Y, DEVICE, OK, ANY, WIDE, COUNT, ALGO, FIELDS };

static const struct {
    const char *name;
    enum mr_kind kind;
} fields[FIELDS] = {
    [CURRENT] = {"current", MR_F32}, [VOLTAGE] = {"voltage", MR_F32},
    [X] = {"x", MR_NUMBER},          [Y] = {"y", MR_NUMBER},
    [DEVICE] = {"device", MR_TEXT},  [OK] = {"ok", MR_BOOLEAN},
    [ANY] = {"any", MR_ABSENT},      [WIDE] = {"wide", MR_F64},
    [COUNT] = {"count", MR_INTEGER}, [ALGO] = {"algo.name", MR_TEXT},
};

static bool find_field(void *arg, struct mr_slice name, uint16_t *slot, enum mr_kind *kind) {
    for (uint16_t i = 0; i < FIELDS; i++) {
        if (mr_slice_equal(name, mr_slice_of(fields[i].name))) {
            *slot = i;
            *kind = fields[i].kind;
            return true;
        }
    }
    return false;
}

static const struct mr_scope scope = {find_field, NULL};
static struct mr_arena *arena;

static int setup(void **state) {
    arena = mr_arena_create();
    return 0;
}

static int teardown(void **state) {
    mr_arena_destroy(arena);
    return 0;
}

#endif
