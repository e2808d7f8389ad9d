/* The circuit breaker: `errors: {stop_if: {share: 5%, within: 1m}}`. A wrong format or a wrong job
 * file makes dead letters of everything; better to stop than to read a topic to its end that way.
 *
 * Each worker judges what it reads, in stretches of `within` of wall time. A few bad records among
 * the first ones say little, so nothing stops before there are READ_MIN of them. */
#include "engine/run/task.h"

#include <inttypes.h>

#define READ_MIN 100

bool mr_breaker_trips(struct mr_breaker *breaker, const struct mr_plan *plan, int64_t now_ns,
                      const struct mr_tally *before, const struct mr_tally *after) {
    if (breaker->read == 0 || now_ns - breaker->since_ns > plan->stop_within_ns) {
        *breaker = (struct mr_breaker){.since_ns = now_ns};
    }
    breaker->read += after->read - before->read;
    breaker->dead += after->dead - before->dead;
    return breaker->read >= READ_MIN &&
           (double)breaker->dead > plan->stop_share * (double)breaker->read;
}

enum mr_status mr_breaker_fail(const struct mr_breaker *breaker, const struct mr_plan *plan,
                               struct mr_error *err) {
    char within[MR_TEXT_MAX];
    return mr_error_set(err, MR_FAIL,
                        "job %s: stopped, because %" PRIu64 " of the last %" PRIu64
                        " records became dead letters, within %s; errors.stop_if allows %g%%. They "
                        "are in topic %s, with the reasons, and what was read is committed",
                        plan->job, breaker->dead, breaker->read,
                        mr_format_duration(plan->stop_within_ns, within), 100 * plan->stop_share,
                        plan->dead_letter_topic);
}
