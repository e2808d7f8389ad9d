/* Case files: parsed, not run. */
#include "engine/cli/case.h"
#include "tests/fuzz/fuzz_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mr_slice text = fuzz_copy(data, size);
    struct mr_error err = {""};
    struct mr_case *c = NULL;
    if (mr_case_parse("fuzz.case", text, &c, &err) == MR_OK) {
        FUZZ_CHECK(c->count > 0 && c->steps[0].kind == MR_CASE_JOB);
        for (size_t i = 1; i < c->count; i++) {
            FUZZ_CHECK(c->steps[i].at_ns >= c->steps[i - 1].at_ns);
            FUZZ_CHECK(c->steps[i].partition < (int64_t)c->partitions);
        }
    } else {
        FUZZ_CHECK(!c && strncmp(err.text, "fuzz.case:", 10) == 0);
    }
    mr_case_destroy(c);
    free((void *)(uintptr_t)text.data);
    return 0;
}
