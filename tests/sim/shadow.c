/* What goes from the first stage to the second, read beside it, and what it must mean there: a
 * second oracle, for what depends on when the first stage committed and ticked.
 *
 *   delta    one part: late, open or revisable by the second stage's R = T and H
 *   marker   T is the least T of the partitions that are not idle; all idle: the largest; one that
 *            has not spoken holds it, and so does one that was seen at its end longer than a lease
 *            before the newest marker was sent
 *
 * So T of the second stage, what it counts as late and how many samples are in every row are known
 * exactly, whatever happened. That the markers say the truth is seen when both stages have come to
 * rest: then T has come as far as the partitions have (sim_stages_check).
 *
 * The topic forgets what was read; what it had is kept here. */
#include "tests/sim/sim.h"

#include "engine/run/stage.h"
#include <stdlib.h>

struct passed { /* a record of the topic */
    int64_t offset;
    bool is_marker;
    struct mr_marker marker;
    struct mr_delta delta;
    char *group;
};

struct lane { /* one partition of the topic */
    struct passed *items;
    size_t count, capacity;
    int64_t next;
};

struct sim_shadow {
    struct lane lanes[SIM_PARTITIONS];
};

struct view { /* of one task of the second stage */
    const struct sim *sim;
    bool known[SIM_PARTITIONS];
    struct mr_marker markers[SIM_PARTITIONS];
    int64_t t_ns, h_ns;
    struct mr_tally samples;
};

/* ---- Reading beside it ---------------------------------------------------------------------- */

static struct mr_partition source_of(const struct sim *sim, uint32_t partition) {
    struct mr_partition source = {.partition = partition};
    snprintf(source.topic, sizeof source.topic, "%s", sim->job.epochs[0].stages[1]->topic);
    return source;
}

static void keep(struct sim *sim, struct lane *lane, const struct mr_message *message) {
    if (lane->count == lane->capacity) {
        lane->capacity = lane->capacity ? 2 * lane->capacity : 64;
        lane->items = mr_reallocate(lane->items, lane->capacity * sizeof *lane->items);
    }
    struct passed *passed = &lane->items[lane->count++];
    *passed = (struct passed){.offset = message->offset};
    switch (mr_stage_read(message->value, &passed->delta, &passed->marker)) {
    case MR_STAGE_MARKER:
        passed->is_marker = true;
        break;
    case MR_STAGE_DELTA:
        passed->group = mr_allocate(passed->delta.group.length + 1);
        memcpy(passed->group, passed->delta.group.data, passed->delta.group.length);
        passed->delta.group.data = passed->group;
        break;
    default:
        sim_fail(sim, "what one stage has sent cannot be read");
    }
    lane->next = message->offset + 1;
}

void sim_shadow_read(struct sim *sim) {
    if (sim->job.stages < 2) {
        return;
    }
    sim->shadow = sim->shadow ? sim->shadow : mr_allocate(sizeof *sim->shadow);
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        struct mr_partition source = source_of(sim, p);
        struct lane *lane = &sim->shadow->lanes[p];
        struct mr_reader *reader;
        struct mr_batch batch;
        struct mr_error err;
        int64_t first, end;
        if (mr_log_bounds(sim->log, &source, &first, &end, &err) != MR_OK || end <= lane->next) {
            continue;
        }
        if (mr_reader_open(sim->log, &source, lane->next, &reader, &err) != MR_OK) {
            sim_fail(sim, "what was not read is gone: %s", err.text);
        }
        while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
            for (size_t i = 0; i < batch.count; i++) {
                keep(sim, lane, &batch.messages[i]);
            }
        }
        mr_reader_close(reader);
    }
}

static void empty(struct lane *lane) {
    for (size_t i = 0; i < lane->count; i++) {
        free(lane->items[i].group);
    }
    lane->count = 0;
}

void sim_shadow_forget(struct sim *sim) {
    for (uint32_t p = 0; sim->shadow && p < sim->job.partitions; p++) {
        struct mr_partition source = source_of(sim, p);
        struct mr_error err;
        int64_t first;
        empty(&sim->shadow->lanes[p]);
        mr_log_bounds(sim->log, &source, &first, &sim->shadow->lanes[p].next, &err);
    }
}

void sim_shadow_destroy(struct sim_shadow *shadow) {
    for (uint32_t p = 0; shadow && p < SIM_PARTITIONS; p++) {
        empty(&shadow->lanes[p]);
        free(shadow->lanes[p].items);
    }
    free(shadow);
}

/* ---- What it means -------------------------------------------------------------------------- */

static int64_t lease_of(const struct sim_epoch *epoch) {
    return epoch->idle_ns > 2 * epoch->commit_ns ? epoch->idle_ns : 2 * epoch->commit_ns;
}

static bool believed(const struct view *view, uint32_t p, int64_t lease_ns) {
    const struct mr_marker *marker = &view->markers[p];
    for (uint32_t other = 0; other < view->sim->job.partitions; other++) {
        if (view->markers[other].sent_ns - marker->seen_ns > lease_ns) {
            return false;
        }
    }
    return marker->idle;
}

/* INT64_MIN: nothing is known. */
static int64_t watermark_of(const struct view *view, const struct sim_epoch *epoch) {
    int64_t least = INT64_MAX, largest = INT64_MIN;
    for (uint32_t p = 0; p < view->sim->job.partitions; p++) {
        int64_t t_ns = view->markers[p].watermark_ns;
        if (!view->known[p]) {
            return INT64_MIN;
        }
        largest = t_ns > largest ? t_ns : largest;
        if (!believed(view, p, lease_of(epoch))) {
            least = t_ns < least ? t_ns : least;
        }
    }
    return least == INT64_MAX ? largest : least;
}

static void take_marker(struct view *view, const struct sim_epoch *epoch,
                        const struct mr_marker *marker) {
    view->known[marker->upstream] = true;
    view->markers[marker->upstream] = *marker;
    int64_t t_ns = watermark_of(view, epoch);
    if (t_ns > view->t_ns) {
        int64_t h_ns = t_ns - epoch->grace_ns - epoch->retain_ns;
        view->t_ns = t_ns;
        view->h_ns = h_ns > view->h_ns ? h_ns : view->h_ns;
    }
}

static bool is_late(const struct view *view, const struct sim_epoch *epoch, int64_t end_ns) {
    int64_t kept_ns = view->sim->job.late == MR_LATE_REVISE ? epoch->retain_ns : 0;
    return view->t_ns != INT64_MIN &&
           (end_ns <= view->h_ns || end_ns + epoch->grace_ns + kept_ns <= view->t_ns);
}

static const struct sim_epoch *epoch_of(const struct sim *sim, uint32_t partition, int64_t offset) {
    size_t i = sim->epoch;
    while (offset < sim->job.epochs[i].from[1][partition]) {
        i--;
    }
    return &sim->job.epochs[i];
}

/* Calls `visit` for each delta, and whether it is late; stops before `until`. */
static struct view replay(const struct sim *sim, uint32_t partition, int64_t until,
                          void (*visit)(void *arg, const struct mr_delta *delta, bool late),
                          void *arg) {
    const struct lane *lane = &sim->shadow->lanes[partition];
    struct view view = {.sim = sim, .t_ns = INT64_MIN, .h_ns = INT64_MIN};
    for (size_t i = 0; i < lane->count && lane->items[i].offset < until; i++) {
        const struct passed *passed = &lane->items[i];
        const struct sim_epoch *epoch = epoch_of(sim, partition, passed->offset);
        if (passed->is_marker) {
            take_marker(&view, epoch, &passed->marker);
            continue;
        }
        bool late = is_late(&view, epoch, passed->delta.span.end_ns);
        view.samples.read += passed->delta.samples;
        *(late ? &view.samples.late : &view.samples.used) += passed->delta.samples;
        if (visit) {
            visit(arg, &passed->delta, late);
        }
    }
    return view;
}

int64_t sim_shadow_watermark(const struct sim *sim, uint32_t partition, int64_t offset) {
    return replay(sim, partition, offset, NULL, NULL).t_ns;
}

struct mr_tally sim_shadow_tally(const struct sim *sim, uint32_t partition) {
    return replay(sim, partition, INT64_MAX, NULL, NULL).samples;
}

struct counting {
    const struct sim_row *row;
    size_t used;
};

static void count(void *arg, const struct mr_delta *delta, bool late) {
    struct counting *counting = arg;
    if (!late && delta->span.start_ns == counting->row->start_ns &&
        mr_slice_equal(delta->group, mr_buffer_slice(&counting->row->group))) {
        counting->used += delta->samples;
    }
}

size_t sim_shadow_used(const struct sim *sim, const struct sim_row *row) {
    struct counting counting = {row, 0};
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        replay(sim, p, INT64_MAX, count, &counting);
    }
    return counting.used;
}

/* ---- At rest -------------------------------------------------------------------------------- */

struct rest { /* how far the partitions are */
    const struct sim *sim;
    uint32_t seen, idle;
    int64_t least, largest;
};

static void look(void *arg, const struct mr_task *task) {
    struct rest *rest = arg;
    int64_t t_ns = task->times.watermark_ns;
    int64_t now_ns = rest->sim->clock.virtual_ns;
    bool idle = task->silence.begun &&
                now_ns - task->silence.steady_ns >= rest->sim->job.epochs[rest->sim->epoch].idle_ns;
    rest->seen++;
    rest->idle += idle;
    rest->largest = t_ns > rest->largest ? t_ns : rest->largest;
    rest->least = !idle && t_ns < rest->least ? t_ns : rest->least;
}

/* The last border that a window may close by. */
static int64_t border(const struct sim *sim, int64_t t_ns) {
    return (t_ns - sim->job.epochs[sim->epoch].grace_ns) / sim->job.window_ns;
}

static void compare(void *arg, const struct mr_task *task) {
    const struct rest *rest = arg;
    int64_t due_ns = rest->idle == rest->seen ? rest->largest : rest->least;
    int64_t t_ns = task->times.watermark_ns;
    if (due_ns != INT64_MIN &&
        (t_ns == INT64_MIN || border(rest->sim, t_ns) < border(rest->sim, due_ns))) {
        sim_fail(rest->sim,
                 "the second stage, partition %u, is at %.2f; all have come to rest, %u of %u are "
                 "idle, and %.2f was due",
                 task->source.partition, (double)t_ns / 1e9 - 1.79e9, rest->idle, rest->seen,
                 (double)due_ns / 1e9 - 1.79e9);
    }
}

void sim_stages_check(struct sim *sim) {
    struct rest rest = {.sim = sim, .least = INT64_MAX, .largest = INT64_MIN};
    if (sim_fleet_rest(&sim->fleets[0]) && sim_fleet_rest(&sim->fleets[1])) {
        sim_fleet_visit(&sim->fleets[0], look, &rest);
        sim_fleet_visit(&sim->fleets[1], compare, &rest);
    }
}
