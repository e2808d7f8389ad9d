/* Clocks, and adding times.
 *
 * The engine never asks the operating system for the time: it asks a clock it was given, so that a
 * test can stand still, jump and run a year in a second. */
#include "engine/base/base.h"

#include <time.h>

static int64_t read_ns(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * MR_SECOND + now.tv_nsec;
}

static int64_t real_wall(const struct mr_clock *clock) {
    return read_ns(CLOCK_REALTIME);
}

static int64_t real_steady(const struct mr_clock *clock) {
    return read_ns(CLOCK_MONOTONIC);
}

static int64_t virtual_now(const struct mr_clock *clock) {
    return clock->virtual_ns;
}

struct mr_clock mr_virtual_clock(int64_t start_ns) {
    return (struct mr_clock){virtual_now, virtual_now, start_ns};
}

/* The low end stops one above MR_NEVER: a time that was there does not turn into "no time yet". */
int64_t mr_time_add(int64_t a, int64_t b) {
    if (a == MR_NEVER || b == MR_NEVER) {
        return MR_NEVER;
    }
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return a < 0 ? MR_NEVER + 1 : INT64_MAX;
    }
    return sum == MR_NEVER ? MR_NEVER + 1 : sum;
}

const struct mr_clock mr_real_clock = {real_wall, real_steady, 0};
