/* Job files. A text is either a plan, which can be explained, or has at least one fault. */
#include "tests/fuzz/fuzz_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mr_slice text = fuzz_copy(data, size);
    struct mr_faults faults = {0};
    struct mr_plan *plan = NULL;
    FILE *nowhere = fopen("/dev/null", "w");
    FUZZ_CHECK(nowhere);
    if (mr_job_load_text("fuzz.yaml", text, &plan, &faults) == MR_OK) {
        FUZZ_CHECK((plan->window.type ? plan->stat_count : plan->column_count) > 0);
        FUZZ_CHECK(plan->output_count > 0);
        mr_plan_explain(plan, 1000, 4, nowhere);
    } else {
        FUZZ_CHECK(faults.count > 0 && !plan);
    }
    mr_faults_print(&faults, nowhere);
    mr_faults_finish(&faults);
    mr_plan_destroy(plan);
    fclose(nowhere);
    free((void *)(uintptr_t)text.data);
    return 0;
}
