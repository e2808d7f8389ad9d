/* A plan of a job that is known to be good, for a fuzz target that needs one. */
#ifndef TESTS_FUZZ_PLAN_H
#define TESTS_FUZZ_PLAN_H

#include "engine/job/job.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct mr_plan *fuzz_plan(const char *text) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    if (mr_job_load_text("fuzz.yaml", mr_slice_of(text), &plan, &faults) != MR_OK) {
        mr_faults_print(&faults, stderr);
        abort();
    }
    mr_faults_finish(&faults);
    return plan;
}

/* Bytes that end where their allocation ends, so that a read past them is noticed. */
static inline struct mr_slice fuzz_copy(const uint8_t *data, size_t size) {
    char *copy = malloc(size > 0 ? size : 1);
    if (!copy) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return (struct mr_slice){copy, size};
}

static inline _Noreturn void fuzz_fail(const char *condition) {
    fprintf(stderr, "does not hold: %s\n", condition);
    abort();
}

#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(#condition))

#endif
