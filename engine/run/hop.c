/* Windows that overlap. Cells are panes; a row is made of all panes of its window.
 *
 *   panes of a group    |  0  |  1  |  2  |  3  |  4  |        accumulators, one cell each
 *   its windows         |-----------------|                    closed: a cover with its rev
 *                             |-----------------|              open: nothing is kept of it
 *                                   |-----------------|
 *
 * A part goes into its one pane and is judged for each window that has it: used if any of them
 * takes it. While none of them has closed that is one comparison, however many they are. Those that
 * have closed and take it are revised: each gets its row again at the next commit.
 *
 * Invariants
 * - A window has closed when its end is at most K (mr_times.closed_ns: T has passed all of those),
 *   or when it has a cover: `--close` is ahead of T, a revision may be behind K.
 * - A pane is closed with the last window that has it, and dropped with it. So a window's panes are
 *   there for as long as its row can change.
 * - A part that one window refuses may lie in a pane that it shares with one that took it. The
 * first has had its last row by then: what a window cannot change any more, it emits before the
 * next record (mr_revisions_settle).
 *
 * A close merges each pane anew, although neighbours in time share all but one. Sums that are kept
 * from close to close would have to be undone by each late record, and cost as much memory as the
 * panes. */
#include "engine/run/task.h"

#include <stdlib.h>

/* The window whose last pane starts there. */
static struct mr_span window_until(const struct mr_plan *plan, int64_t pane_start_ns) {
    return (struct mr_span){pane_start_ns - plan->panes.reach_ns,
                            mr_time_add(pane_start_ns, plan->panes.length_ns)};
}

/* ---- A part ---------------------------------------------------------------------------------- */

/* The cover of a window that has closed for this group, made if need be; NULL: it is open. */
static struct mr_cell *closed_window(struct mr_task *task, const struct mr_cell *pane,
                                     struct mr_span span, enum mr_verdict verdict) {
    bool passed = verdict == MR_VERDICT_REVISABLE || span.end_ns <= task->times.closed_ns;
    struct mr_cell *cover = mr_store_cover(task->store, mr_cell_group(pane), span, passed);
    if (cover && !cover->closed) {
        mr_store_close(task->store, cover);
    }
    return cover;
}

static void revise_windows(struct mr_task *task, const struct mr_cell *pane, int64_t until_ns) {
    const struct mr_plan *plan = task->plan;
    bool revised = false, refused = false;
    int64_t start_ns = pane->span.start_ns;
    for (uint32_t i = 0; i < plan->panes.count; i++) {
        struct mr_span span = window_until(plan, start_ns);
        enum mr_verdict verdict = mr_times_judge(&task->times, plan, span.end_ns);
        if (span.end_ns > until_ns || start_ns > INT64_MAX - plan->panes.length_ns) {
            break;
        }
        struct mr_cell *cover =
            verdict != MR_VERDICT_LATE ? closed_window(task, pane, span, verdict) : NULL;
        if (cover) {
            mr_revise(task, cover);
        }
        revised = revised || cover;
        refused = refused || verdict == MR_VERDICT_LATE;
        start_ns += plan->panes.length_ns;
    }
    task->counters.revisions += revised;
    task->counters.partly_late += refused;
}

/* An accepted part has come into the pane. */
void mr_hop_take(struct mr_task *task, struct mr_cell *pane) {
    const struct mr_times *times = &task->times;
    int64_t until_ns = mr_store_covered(task->store);
    until_ns = until_ns > times->closed_ns ? until_ns : times->closed_ns;
    if (times->watermark_ns != MR_NEVER) {
        int64_t passed_ns = times->watermark_ns - task->plan->lateness.grace_ns;
        until_ns = until_ns > passed_ns ? until_ns : passed_ns;
    }
    if (pane->span.end_ns > until_ns) {
        return; /* so do all windows that have it */
    }
    revise_windows(task, pane, until_ns);
    if (mr_time_add(pane->span.end_ns, task->plan->panes.reach_ns) <= times->closed_ns) {
        mr_store_close(task->store, pane);
    }
}

/* ---- A row ----------------------------------------------------------------------------------- */

enum mr_status mr_hop_gather(struct mr_task *task, struct mr_cell *window, struct mr_error *err) {
    struct mr_span span = window->span;
    enum mr_status status = MR_OK;
    for (uint32_t i = 0; i < task->plan->panes.count && status == MR_OK; i++) {
        const struct mr_cell *pane =
            mr_store_window(task->store, mr_cell_group(window), span, false);
        if (pane) {
            status = mr_store_gather(task->store, window, pane, err);
        }
        span.start_ns += task->plan->panes.length_ns;
    }
    if (status != MR_OK) {
        mr_store_release(task->store, window);
    }
    return status;
}

/* ---- Closing --------------------------------------------------------------------------------- */

struct covers {
    struct mr_cell **items;
    size_t count, capacity;
};

static void list(struct covers *covers, struct mr_cell *cover) {
    if (covers->count == covers->capacity) {
        covers->capacity = covers->capacity ? 2 * covers->capacity : 64;
        covers->items = mr_reallocate(covers->items, covers->capacity * sizeof(*covers->items));
    }
    covers->items[covers->count++] = cover;
    cover->fresh = true; /* listed */
}

/* Makes the covers of a window, for the groups that have a pane in it and no row of it yet. */
static void make_covers(struct mr_task *task, struct mr_span span, struct covers *covers) {
    int64_t end_ns = span.end_ns, start_ns = span.start_ns + task->plan->panes.reach_ns;
    for (uint32_t i = 0; i < task->plan->panes.count; i++) {
        const struct mr_end *end = mr_store_end(task->store, end_ns);
        for (uint32_t j = 0; end && j < end->count; j++) {
            struct mr_slice group = mr_cell_group(end->cells[j]);
            struct mr_cell *cover = mr_store_cover(task->store, group, span, true);
            if (!cover->closed && !cover->fresh) {
                list(covers, cover);
            }
        }
        end_ns = start_ns;
        start_ns -= task->plan->panes.length_ns;
    }
}

static enum mr_status close_window(struct mr_task *task, int64_t end_ns, struct mr_error *err) {
    const struct mr_window *window = &task->plan->window;
    struct mr_span last = window->type->span(window->options, end_ns - 1);
    struct covers covers = {0};
    make_covers(task, window_until(task->plan, last.start_ns), &covers);
    mr_cells_sort(covers.items, covers.count);
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < covers.count && status == MR_OK; i++) {
        status = mr_close_emit(task, covers.items[i], err);
    }
    free(covers.items);
    return status;
}

static void close_panes(struct mr_task *task, struct mr_end *end) {
    for (uint32_t i = 0; i < end->count; i++) {
        mr_store_close(task->store, end->cells[i]);
    }
    task->moved = true;
}

/* Closes windows from K on, in order; those without a pane are passed over. */
static enum mr_status close_until(struct mr_task *task, int64_t until_ns, struct mr_error *err) {
    const struct mr_panes *panes = &task->plan->panes;
    int64_t closed_ns = task->times.closed_ns;
    enum mr_status status = MR_OK;
    struct mr_end *end;
    while (status == MR_OK && (end = mr_store_next_close(task->store))) {
        if (mr_time_add(end->end_ns, panes->reach_ns) <= closed_ns) {
            close_panes(task, end);
            continue;
        }
        int64_t next_ns = mr_time_add(closed_ns, panes->length_ns);
        closed_ns = next_ns > end->end_ns ? next_ns : end->end_ns;
        if (closed_ns > until_ns) {
            break;
        }
        status = close_window(task, closed_ns, err);
    }
    return status;
}

/* The watermark has moved. */
enum mr_status mr_hop_close_due(struct mr_task *task, struct mr_error *err) {
    const struct mr_plan *plan = task->plan;
    struct mr_times *times = &task->times;
    int64_t until_ns = times->watermark_ns - plan->lateness.grace_ns; /* both are bounded */
    if (times->closed_ns != MR_NEVER && until_ns - plan->panes.length_ns < times->closed_ns) {
        return MR_OK;
    }
    enum mr_status status = close_until(task, until_ns, err);
    int64_t into_ns = until_ns % plan->panes.length_ns;
    into_ns += into_ns < 0 ? plan->panes.length_ns : 0;
    times->closed_ns = until_ns - into_ns;
    return status == MR_OK ? mr_revisions_settle(task, err) : status;
}

enum mr_status mr_hop_close_all(struct mr_task *task, struct mr_error *err) {
    return close_until(task, INT64_MAX, err);
}

/* ---- Previews -------------------------------------------------------------------------------- */

/* A window that the store does not know. It borrows the group. */
static struct mr_cell row_of(const struct mr_cell *pane, struct mr_span span) {
    struct mr_cell row = {.span = span,
                          .kind = MR_CELL_COVER,
                          .group_length = pane->group_length,
                          .large = pane->large};
    memcpy(row.small, pane->small, sizeof(row.small));
    return row;
}

/* Rows of the open window with this end, for the groups of panes that have changed. */
static enum mr_status preview_window(struct mr_task *task, int64_t end_ns,
                                     struct mr_cell *const *panes, size_t count,
                                     struct mr_error *err) {
    const struct mr_window *window = &task->plan->window;
    struct mr_span last = window->type->span(window->options, end_ns - 1);
    struct mr_cell *rows = mr_allocate_array(count, struct mr_cell);
    struct mr_cell **order = mr_allocate_array(count, struct mr_cell *);
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < count; i++) {
        rows[i] = row_of(panes[i], window_until(task->plan, last.start_ns));
        order[i] = &rows[i];
    }
    mr_cells_sort(order, count);
    for (size_t i = 0; i < count && status == MR_OK; i++) {
        struct mr_slice group = mr_cell_group(order[i]);
        bool again = i > 0 && mr_slice_equal(group, mr_cell_group(order[i - 1]));
        if (!again && !mr_store_cover(task->store, group, order[i]->span, false)) {
            status = mr_row_emit(task, order[i], false, err);
        }
    }
    free(order);
    free(rows);
    return status;
}

/* Every open window that has a pane which has changed since the last preview. `from` to `to` are
 * those of the window at hand: both ends only move on. */
enum mr_status mr_hop_preview_all(struct mr_task *task, struct mr_error *err) {
    const struct mr_panes *panes = &task->plan->panes;
    size_t count, from = 0, to = 0;
    struct mr_cell **fresh = mr_store_fresh(task->store, &count);
    enum mr_status status = MR_OK;
    int64_t end_ns = MR_NEVER;
    while (status == MR_OK && from < count) {
        end_ns = from < to ? mr_time_add(end_ns, panes->length_ns) : fresh[from]->span.end_ns;
        for (; to < count && fresh[to]->span.end_ns <= end_ns; to++) {
            fresh[to]->fresh = false;
        }
        if (end_ns > task->times.closed_ns) {
            status = preview_window(task, end_ns, &fresh[from], to - from, err);
        }
        while (from < to && mr_time_add(fresh[from]->span.end_ns, panes->reach_ns) <= end_ns) {
            from++;
        }
    }
    task->moved = task->moved || count > 0;
    free(fresh);
    return status;
}
