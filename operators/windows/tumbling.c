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
struct mr_span mr_span_of(int64_t length_ns, int64_t event_ns) {
    int64_t start = event_ns - event_ns % length_ns;
    return (struct mr_span){start, start > INT64_MAX - length_ns ? INT64_MAX : start + length_ns};
}

static struct mr_span span(const void *settings, int64_t event_ns) {
    const struct tumbling *tumbling = settings;
    return mr_span_of(tumbling->every_ns, event_ns);
}

static struct mr_panes panes(const void *settings) {
    const struct tumbling *tumbling = settings;
    return (struct mr_panes){tumbling->every_ns, 0, 1};
}

const struct mr_window_type mr_tumbling_window = {
    .name = "tumbling",
    .key = "every",
    .summary = "windows of one length, end to end",
    .options = options,
    .options_size = sizeof(struct tumbling),
    .panes = panes,
    .span = span,
};
