/* The memory limit: state beyond it stops the job, in good order. */
#include "engine/run/task.h"

enum mr_status mr_memory_fail(const struct mr_plan *plan, int64_t bytes, struct mr_error *err) {
    char used[MR_TEXT_MAX], limit[MR_TEXT_MAX];
    return mr_error_set(
        err, MR_FAIL,
        "job %s: its state and uncommitted rows take %s, the limit (memory) is %s. "
        "Nothing committed is lost. Raise memory%s%s",
        plan->job, mr_format_size(bytes, used), mr_format_size(plan->memory_bytes, limit),
        plan->window.type ? ", shorten retain, make windows longer, or group by fewer values" : "",
        plan->table_count > 0 ? "; tables that are joined count, too: shorten history" : "");
}
