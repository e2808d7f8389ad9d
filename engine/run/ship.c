/* Upstream: what a partition of the input has aggregated since the last commit goes to the second
 * stage, and is forgotten here. So the first stage needs no changelog for its windows: what it has
 * is either sent together with the offsets behind it, or is aggregated again from the same records.
 *
 *   every cell      one delta, to the partition that the group's row will be in
 *   then            one marker to every partition: T, and whether the input is idle
 *
 * Markers follow their deltas in one transaction, or the second stage would close a window before
 * what belongs to it is there.
 *
 * A marker is sent when it says something new: T or idle has changed, or half of an idle one's
 * lease is over. Of T that only ticks move, new is what a window may close by: a border, and grace;
 * so a quiet input costs a small transaction per window or lease, not per commit. */
#include "engine/run/stage.h"

#include <stdlib.h>

struct mr_ship {
    bool sent;             /* since this task was made              */
    struct mr_marker last; /* what was sent                         */
    struct mr_buffer key, value;
};

struct mr_ship *mr_ship_create(void) {
    return mr_allocate(sizeof(struct mr_ship));
}

void mr_ship_destroy(struct mr_ship *ship) {
    if (ship) {
        mr_buffer_finish(&ship->key);
        mr_buffer_finish(&ship->value);
        free(ship);
    }
}

/* ---- Deltas --------------------------------------------------------------------------------- */

static enum mr_status ship_cell(void *arg, const struct mr_cell *cell, struct mr_slice packed,
                                struct mr_error *err) {
    struct mr_task *task = arg;
    struct mr_ship *ship = task->ship;
    const struct mr_delta delta = {
        .upstream = task->source.partition,
        .layout = task->plan->downstream->layout_hash,
        .span = cell->span,
        .samples = cell->samples,
        .group = mr_cell_group(cell),
        .packed = packed,
    };
    ship->value.length = 0;
    mr_delta_write(&delta, &ship->value);
    mr_row_key(task->plan, delta.group, &ship->key);
    struct mr_append append = {.topic = task->plan->repartition_topic,
                               .timestamp_ns = -1,
                               .key = mr_buffer_slice(&ship->key),
                               .value = mr_buffer_slice(&ship->value)};
    append.partition = mr_partition_of(append.key, task->partitions, NULL);
    return mr_session_append(task->session, &append, err);
}

enum mr_status mr_ship_deltas(struct mr_task *task, struct mr_error *err) {
    return mr_store_ship(task->store, ship_cell, task, err);
}

/* ---- Markers -------------------------------------------------------------------------------- */

static bool is_idle(const struct mr_task *task) {
    return task->silence.begun && task->silence.idle;
}

/* The last border of windows that T has passed, and grace. */
static int64_t last_border(const struct mr_plan *plan, int64_t watermark_ns) {
    int64_t passed_ns = mr_time_add(watermark_ns, -plan->lateness.grace_ns);
    return passed_ns < 0 ? -1 : plan->window.type->span(plan->window.options, passed_ns).start_ns;
}

static bool lease_is_due(const struct mr_task *task) {
    int64_t held_ns = task->silence.seen_ns - task->ship->last.seen_ns;
    return held_ns >= mr_lease_ns(task->plan) / 2;
}

bool mr_ship_due(const struct mr_task *task) {
    const struct mr_ship *ship = task->ship;
    if (!is_idle(task)) {
        return false; /* what else has moved T were records */
    }
    return !ship->sent || !ship->last.idle || lease_is_due(task) ||
           last_border(task->plan, ship->last.watermark_ns) !=
               last_border(task->plan, task->times.watermark_ns);
}

static bool says_something_new(const struct mr_ship *ship, const struct mr_task *task) {
    return !ship->sent || ship->last.watermark_ns != task->times.watermark_ns ||
           ship->last.idle != is_idle(task) || (is_idle(task) && lease_is_due(task));
}

enum mr_status mr_ship_markers(struct mr_task *task, struct mr_error *err) {
    struct mr_ship *ship = task->ship;
    if (!says_something_new(ship, task)) {
        return MR_OK;
    }
    ship->sent = true;
    ship->last = (struct mr_marker){.upstream = task->source.partition,
                                    .watermark_ns = task->times.watermark_ns,
                                    .idle = is_idle(task),
                                    .seen_ns = is_idle(task) ? task->silence.seen_ns : 0,
                                    .sent_ns = task->clock->wall_ns(task->clock)};
    ship->value.length = 0;
    mr_marker_write(&ship->last, &ship->value);
    struct mr_append append = {.topic = task->plan->repartition_topic,
                               .timestamp_ns = -1,
                               .value = mr_buffer_slice(&ship->value)};
    enum mr_status status = MR_OK;
    for (uint32_t p = 0; p < task->partitions && status == MR_OK; p++) {
        append.partition = p;
        status = mr_session_append(task->session, &append, err);
    }
    return status;
}
