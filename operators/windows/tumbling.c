/* Windows of one length, end to end, counted from 1970-01-01T00:00:00Z. */
#include "operators/operators.h"

struct tumbling {
    int64_t every_ns;
};

static const struct mr_option options[] = {
    {.name = "every",
     .type = MR_OPTION_DURATION,
     .help = "The length of a window; windows begin at its multiples since 1970, UTC",
     .offset = offsetof(struct tumbling, every_ns),
     .minimum = 1e6,
     .maximum = (double)INT64_MAX},
    {0},
};

/* The last span before the end of time ends there, short of its multiple. */
static struct mr_span span(const void *settings, int64_t event_ns) {
    const struct tumbling *tumbling = settings;
    int64_t every = tumbling->every_ns;
    int64_t start = event_ns - event_ns % every;
    return (struct mr_span){start, start > INT64_MAX - every ? INT64_MAX : start + every};
}

const struct mr_window_type mr_tumbling_window = {
    .name = "tumbling",
    .key = "every",
    .summary = "windows of one length, end to end",
    .options = options,
    .options_size = sizeof(struct tumbling),
    .span = span,
};
