/* A window kind answers one question: which span does this time belong to? */
#ifndef MILLRACE_WINDOW_H
#define MILLRACE_WINDOW_H

#include <millrace/option.h>
#include <millrace/status.h>

/* [start_ns, end_ns), event time. */
struct mr_span {
    int64_t start_ns, end_ns;
};

struct mr_window_type {
    const char *name;    /* for people: "tumbling"                                       */
    const char *key;     /* the option of `window` that selects this kind                */
    const char *summary; /* one line                                                     */
    const struct mr_option *options;
    size_t options_size;

    /* The span of event_ns, 0 <= event_ns. Start and end are multiples of the length, counted
     * from 1970-01-01T00:00:00Z. Thread: any. */
    struct mr_span (*span)(const void *options, int64_t event_ns);
};

extern const struct mr_window_type *const mr_window_types[]; /* ends with NULL */

#endif
