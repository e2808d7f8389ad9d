/* What happens to a window's cells as time passes:
 *
 *   made --(parts)--> open --(end + grace <= T)--> closed --(end + grace + retain <= R)--> dropped
 *                      |                            |   ^
 *                      +-- previews, closed: false  +---+ revised: rev + 1, once per commit
 *
 * A pending revision is emitted when its cell is dropped, even between two commits: the row would
 * never appear otherwise. */
#include "engine/run/task.h"

#include <assert.h>
#include <stdlib.h>

/* The cells of the first of two stages are on their way to the second one, where windows close. */
static bool has_windows(const struct mr_task *task) {
    return task->plan->role != MR_UPSTREAM;
}

/* The row says closed, and how many closed rows came before it. */
enum mr_status mr_close_emit(struct mr_task *task, struct mr_cell *cell, struct mr_error *err) {
    enum mr_status status = mr_row_emit(task, cell, true, err);
    cell->rev++;
    cell->pending = false;
    cell->fresh = false;
    mr_store_close(task->store, cell);
    task->moved = true;
    return status;
}

static enum mr_status close_end(struct mr_task *task, struct mr_end *end, struct mr_error *err) {
    struct mr_cell **open = mr_allocate_array(end->open, struct mr_cell *);
    size_t count = 0;
    for (uint32_t i = 0; i < end->count; i++) {
        if (!end->cells[i]->closed) {
            open[count++] = end->cells[i];
        }
    }
    mr_cells_sort(open, count);
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < count && status == MR_OK; i++) {
        status = mr_close_emit(task, open[i], err);
    }
    free(open);
    return status;
}

static enum mr_status close_until(struct mr_task *task, int64_t bound_ns, struct mr_error *err) {
    enum mr_status status = MR_OK;
    struct mr_end *end = mr_store_next_close(task->store);
    while (status == MR_OK && end &&
           mr_time_add(end->end_ns, task->plan->lateness.grace_ns) <= bound_ns) {
        status = close_end(task, end, err);
        end = mr_store_next_close(task->store);
    }
    return status;
}

enum mr_status mr_close_due(struct mr_task *task, struct mr_error *err) {
    if (!has_windows(task)) {
        return MR_OK;
    }
    return task->plan->panes.count > 1 ? mr_hop_close_due(task, err)
                                       : close_until(task, task->times.watermark_ns, err);
}

/* For `--close`. T does not move: a part that comes later is a revision all the same. */
enum mr_status mr_close_all(struct mr_task *task, struct mr_error *err) {
    enum mr_status status = mr_times_settle(task, INT64_MAX, err);
    if (status != MR_OK || !has_windows(task)) {
        return status;
    }
    return task->plan->panes.count > 1 ? mr_hop_close_all(task, err)
                                       : close_until(task, INT64_MAX, err);
}

/* ---- Revisions ------------------------------------------------------------------------------ */

void mr_revise(struct mr_task *task, struct mr_cell *cell) {
    if (cell->pending) {
        return;
    }
    if (task->pending_count == task->pending_capacity) {
        task->pending_capacity = task->pending_capacity ? 2 * task->pending_capacity : 16;
        task->pending =
            mr_reallocate(task->pending, task->pending_capacity * sizeof(*task->pending));
    }
    task->pending[task->pending_count++] = cell;
    cell->pending = true;
}

enum mr_status mr_revisions_emit(struct mr_task *task, struct mr_error *err) {
    enum mr_status status = MR_OK;
    mr_cells_sort(task->pending, task->pending_count);
    for (size_t i = 0; i < task->pending_count && status == MR_OK; i++) {
        status = mr_close_emit(task, task->pending[i], err);
    }
    task->pending_count = 0;
    return status;
}

/* Those of windows that from now on take nothing. */
enum mr_status mr_revisions_settle(struct mr_task *task, struct mr_error *err) {
    enum mr_status status = MR_OK;
    size_t kept = 0;
    mr_cells_sort(task->pending, task->pending_count);
    for (size_t i = 0; i < task->pending_count && status == MR_OK; i++) {
        struct mr_cell *cell = task->pending[i];
        if (mr_times_judge(&task->times, task->plan, cell->span.end_ns) == MR_VERDICT_LATE) {
            status = mr_close_emit(task, cell, err);
        } else {
            task->pending[kept++] = cell;
        }
    }
    task->pending_count = kept;
    return status;
}

/* The next end whose retention is over, or NULL. A pane lives as long as the last window with it.
 */
static struct mr_end *next_drop(struct mr_task *task, enum mr_cell_kind kind) {
    struct mr_end *end = has_windows(task) ? mr_store_next_drop(task->store, kind) : NULL;
    int64_t reach_ns = kind == MR_CELL_WINDOW ? task->plan->panes.reach_ns : 0;
    return end && mr_times_drops(&task->times, task->plan, mr_time_add(end->end_ns, reach_ns))
               ? end
               : NULL;
}

static void drop(struct mr_task *task, enum mr_cell_kind kind) {
    for (struct mr_end *end = next_drop(task, kind); end; end = next_drop(task, kind)) {
        assert(end->open == 0); /* T >= R: what drops has closed */
        while (end->count > 0) {
            mr_store_drop(task->store, end->cells[end->count - 1]);
        }
        task->moved = true;
    }
}

enum mr_status mr_drop_due(struct mr_task *task, struct mr_error *err) {
    enum mr_cell_kind rows = task->plan->panes.count > 1 ? MR_CELL_COVER : MR_CELL_WINDOW;
    enum mr_status status = next_drop(task, rows) ? mr_revisions_settle(task, err) : MR_OK;
    if (status == MR_OK && rows == MR_CELL_COVER) {
        drop(task, MR_CELL_COVER);
    }
    if (status == MR_OK) {
        drop(task, MR_CELL_WINDOW);
    }
    return status;
}

/* ---- Previews ------------------------------------------------------------------------------- */

/* Open windows that have changed since their last preview. */
enum mr_status mr_preview_all(struct mr_task *task, struct mr_error *err) {
    if (!has_windows(task)) {
        return MR_OK;
    }
    if (task->plan->panes.count > 1) {
        return mr_hop_preview_all(task, err);
    }
    size_t count;
    struct mr_cell **fresh = mr_store_fresh(task->store, &count);
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < count && status == MR_OK; i++) {
        status = mr_row_emit(task, fresh[i], false, err);
        fresh[i]->fresh = false;
        task->moved = true;
    }
    free(fresh);
    return status;
}

enum mr_status mr_preview_due(struct mr_task *task, struct mr_error *err) {
    if (task->plan->preview_ns == 0) {
        return MR_OK;
    }
    int64_t now_ns = task->clock->steady_ns(task->clock);
    if (now_ns < task->preview_due_ns) {
        return MR_OK;
    }
    task->preview_due_ns = now_ns + task->plan->preview_ns;
    return mr_preview_all(task, err);
}
