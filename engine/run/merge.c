/* Downstream: deltas are merged into cells, markers move time.
 *
 *   delta    one part, judged as a part of a record is, and counted in samples
 *   marker   the vector of markers, one of each partition upstream, gives T; R = T, as nothing else
 *            shows how far the records are
 *
 * T is the least of the partitions that are not idle; of none: the largest. A partition that has
 * not sent a marker holds it (it may have records of any time still); so does one whose idle marker
 * is old: it is believed only beside markers that were sent within a lease of when the partition
 * was last seen at its end. T never goes back.
 *
 * The vector is state like any other: keyed cells, in the changelog. Nothing here asks a clock, so
 * what comes out is a function of the topic. */
#include "engine/run/stage.h"

#include <stdlib.h>

#define KEY_MAX 8

struct mr_merge {
    uint32_t partitions;
    bool loaded;               /* from the cells                     */
    bool *known;               /* by partition upstream              */
    struct mr_marker *markers; /* the last of each                   */
};

struct mr_merge *mr_merge_create(uint32_t partitions) {
    struct mr_merge *merge = mr_allocate(sizeof(*merge));
    merge->partitions = partitions;
    merge->known = mr_allocate_array(partitions, bool);
    merge->markers = mr_allocate_array(partitions, struct mr_marker);
    return merge;
}

void mr_merge_destroy(struct mr_merge *merge) {
    if (merge) {
        free(merge->known);
        free(merge->markers);
        free(merge);
    }
}

static enum mr_status damaged(const struct mr_task *task, int64_t offset, struct mr_error *err) {
    return mr_error_set(err, MR_FAIL,
                        "job %s: %s/%u, offset %lld is not what the first stage of the job has "
                        "written. Run it with --reset to read its input anew",
                        task->plan->job, task->source.topic, task->source.partition,
                        (long long)offset);
}

/* ---- The vector of markers ------------------------------------------------------------------ */

static struct mr_slice key_of(uint32_t upstream, char key[KEY_MAX]) {
    int length = snprintf(key, KEY_MAX, "m%u", upstream);
    return (struct mr_slice){key, (size_t)length};
}

/* After a restore: the cells say what was known. */
static enum mr_status load(struct mr_task *task, struct mr_error *err) {
    struct mr_merge *merge = task->merge;
    for (uint32_t p = 0; p < merge->partitions; p++) {
        char key[KEY_MAX];
        struct mr_delta delta;
        const struct mr_cell *cell = mr_store_keyed(task->store, key_of(p, key), false);
        if (!cell) {
            continue;
        }
        const struct mr_accumulator *body = &cell->accumulators[0];
        struct mr_slice bytes = {(const char *)body->body, body->length};
        if (mr_stage_read(bytes, &delta, &merge->markers[p]) != MR_STAGE_MARKER) {
            return mr_error_set(err, MR_FAIL, "job %s: the stored state of %s/%u is damaged",
                                task->plan->job, task->source.topic, task->source.partition);
        }
        merge->known[p] = true;
    }
    merge->loaded = true;
    return MR_OK;
}

static void keep(struct mr_task *task, const struct mr_marker *marker, struct mr_slice bytes) {
    char key[KEY_MAX];
    struct mr_cell *cell = mr_store_keyed(task->store, key_of(marker->upstream, key), true);
    struct mr_accumulator *body = &cell->accumulators[0];
    mr_accumulator_reserve(body, (uint32_t)bytes.length);
    memcpy(body->body, bytes.data, bytes.length);
    body->length = (uint32_t)bytes.length;
    mr_store_touch(task->store, cell);
    task->merge->known[marker->upstream] = true;
    task->merge->markers[marker->upstream] = *marker;
}

/* How far all partitions upstream are; MR_NEVER: one of them may be anywhere. */
static int64_t watermark_of(const struct mr_merge *merge, int64_t lease_ns) {
    int64_t newest_ns = MR_NEVER, least = INT64_MAX, largest = MR_NEVER;
    bool all_idle = true;
    for (uint32_t p = 0; p < merge->partitions; p++) {
        const struct mr_marker *marker = &merge->markers[p];
        if (!merge->known[p]) {
            return MR_NEVER;
        }
        newest_ns = marker->sent_ns > newest_ns ? marker->sent_ns : newest_ns;
    }
    for (uint32_t p = 0; p < merge->partitions; p++) {
        const struct mr_marker *marker = &merge->markers[p];
        int64_t at = marker->watermark_ns;
        if (!marker->idle || newest_ns > mr_time_add(marker->seen_ns, lease_ns)) {
            all_idle = false;
            least = at < least ? at : least;
        }
        largest = at > largest ? at : largest;
    }
    return all_idle ? largest : least;
}

static enum mr_status take_marker(struct mr_task *task, const struct mr_marker *marker,
                                  struct mr_slice bytes, struct mr_error *err) {
    keep(task, marker, bytes);
    int64_t watermark_ns = watermark_of(task->merge, mr_lease_ns(task->plan));
    return mr_times_record(task, watermark_ns, err);
}

/* ---- Deltas --------------------------------------------------------------------------------- */

static enum mr_status refuse_layout(const struct mr_task *task, struct mr_error *err) {
    return mr_error_set(
        err, MR_REJECT,
        "job %s: what its first stage has sent, and its second one has not read, was "
        "made with other windows, groups or statistics (%s/%u). Run it as it was "
        "until it has read that, or under another job name, or with --reset to "
        "forget its state and read the input from the start (its output topics "
        "stay)",
        task->plan->job, task->source.topic, task->source.partition);
}

static enum mr_status take_delta(struct mr_task *task, const struct mr_delta *delta,
                                 struct mr_error *err) {
    if (delta->layout != task->plan->layout_hash) {
        return refuse_layout(task, err);
    }
    task->outcome = (struct mr_tally){0};
    struct mr_cell *cell = mr_task_cell(task, delta->group, delta->span, delta->samples);
    mr_account_samples(task, delta->samples);
    return cell ? mr_store_merge(task->store, cell, delta->packed, err) : MR_OK;
}

static enum mr_status take(struct mr_task *task, const struct mr_message *message,
                           struct mr_error *err) {
    struct mr_delta delta;
    struct mr_marker marker;
    switch (mr_stage_read(message->value, &delta, &marker)) {
    case MR_STAGE_DELTA:
        return take_delta(task, &delta, err);
    case MR_STAGE_MARKER:
        return marker.upstream < task->merge->partitions
                   ? take_marker(task, &marker, message->value, err)
                   : damaged(task, message->offset, err);
    default:
        return damaged(task, message->offset, err);
    }
}

enum mr_status mr_merge_step(struct mr_task *task, const struct mr_batch *batch,
                             struct mr_error *err) {
    enum mr_status status = task->merge->loaded ? MR_OK : load(task, err);
    task->moved = task->moved || batch->count > 0;
    for (size_t i = 0; i < batch->count && status == MR_OK; i++) {
        status = take(task, &batch->messages[i], err);
        task->offset = batch->messages[i].offset + 1;
    }
    return status;
}
