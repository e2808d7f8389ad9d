/* A window kind answers one question: which span does this time belong to?
 *
 * Where windows overlap, the spans are panes, and a window is several neighbours of them:
 *
 *   panes     |  0  |  1  |  2  |  3  |  4  |
 *   windows   |-----------------|                 three panes each: pane 2 lies in three windows
 *                   |-----------------|
 *                         |-----------------|
 *
 * A record goes into its one pane; a row is made of the panes of its window. */
#ifndef MILLRACE_WINDOW_H
#define MILLRACE_WINDOW_H

#include <millrace/option.h>
#include <millrace/status.h>

/* [start_ns, end_ns), event time. */
struct mr_span {
    int64_t start_ns, end_ns;
};

#define MR_PANES_MAX 10000 /* of a window */

/* How windows are made of spans. */
struct mr_panes {
    int64_t length_ns; /* of a span                                                     */
    int64_t reach_ns;  /* from the end of a span to that of the last window that has it */
    uint32_t count;    /* spans of a window; 1: a span is a window, and reach_ns is 0   */
};

struct mr_window_type {
    const char *name;    /* for people: "tumbling"                                       */
    const char *key;     /* the option of `window` that selects this kind                */
    const char *summary; /* one line                                                     */
    const struct mr_option *options;
    size_t options_size;

    /* What is wrong with options that are each right, and what to write instead: MR_REJECT with a
     * sentence. NULL: nothing can be. */
    enum mr_status (*check)(const void *options, struct mr_error *err);
    struct mr_panes (*panes)(const void *options);

    /* The span of event_ns, 0 <= event_ns. Start and end are multiples of the length, counted
     * from 1970-01-01T00:00:00Z. Thread: any. */
    struct mr_span (*span)(const void *options, int64_t event_ns);
};

extern const struct mr_window_type *const mr_window_types[]; /* ends with NULL */

#endif
