/* Loads job files from text, for the tests of this folder. */
#ifndef TESTS_JOB_LOADING_H
#define TESTS_JOB_LOADING_H

#include "engine/job/job.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* A good plan, or the test fails and shows the faults. The caller destroys it. */
static inline struct mr_plan *good_plan(const char *text) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    enum mr_status status = mr_job_load_text("job.yaml", mr_slice_of(text), &plan, &faults);
    if (status != MR_OK) {
        mr_faults_print(&faults, stderr);
    }
    mr_faults_finish(&faults);
    assert_int_equal(status, MR_OK);
    assert_non_null(plan);
    return plan;
}

/* All faults of a bad text, as printed. The caller frees. */
static inline char *faults_of(struct mr_slice text) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    char *printed = NULL;
    size_t length;
    FILE *out = open_memstream(&printed, &length);
    assert_int_equal(mr_job_load_text("job.yaml", text, &plan, &faults), MR_REJECT);
    assert_null(plan);
    assert_true(faults.count > 0);
    mr_faults_print(&faults, out);
    mr_faults_finish(&faults);
    fclose(out);
    return printed;
}

static inline void assert_fault(const char *text, const char *expected) {
    char *printed = faults_of(mr_slice_of(text));
    if (!strstr(printed, expected)) {
        print_error("expected: %s\nfound: %s", expected, printed);
        fail();
    }
    free(printed);
}

#define JSON_HEAD                                                                                  \
    "job: test\nfrom: {topic: in, format: json, key: device, timestamp: {field: ts, unit: ms}}\n"
#define FRAMES_HEAD "job: test\nfrom: {topic: in, format: waveform}\n"
#define TAIL        "group_by: [device]\nwindow: {every: 1m}\nto: [{topic: out}]\n"

#endif
