/* A task: one partition of the input. It takes a message apart into records, walks each through
 * the chain of operators, accounts for what became of it, and lets time move.
 *
 *   message -> codec -> records -> ahead? -> duplicates -> let -> where -> window -> cells
 *                 |                  |                                         |
 *                 +---- dead letters +                        rows, when spans close
 *
 * Whatever a step does with a decoded record that is not ahead, the record moves R and T. */
#include "engine/run/stage.h"
#include "engine/run/table.h"

#include <assert.h>
#include <stdlib.h>

#define PREFETCH_CELLS 20000 /* fewer lie in the caches anyway */

static enum mr_status open_chain(struct mr_task *task, struct mr_error *err) {
    const struct mr_plan *plan = task->plan;
    struct mr_operator *ops = mr_allocate_array(plan->step_count, struct mr_operator);
    task->chain = ops;
    for (size_t i = 0; i < plan->step_count; i++) {
        ops[i].type = plan->steps[i].type;
        ops[i].options = plan->steps[i].options;
        ops[i].instance = mr_allocate(ops[i].type->instance_size + 1);
        ops[i].task = task;
        ops[i].next = i + 1 < plan->step_count ? &ops[i + 1] : NULL;
    }
    enum mr_status status = MR_OK;
    for (struct mr_operator *op = ops; op && status == MR_OK; op = op->next) {
        status = op->type->open ? op->type->open(op, err) : MR_OK;
    }
    return status;
}

/* What a task's records go through: the job's codec and operators, or the merge downstream. */
static enum mr_status open_stage(struct mr_task *task, struct mr_error *err) {
    const struct mr_plan *plan = task->plan;
    if (plan->role == MR_DOWNSTREAM) {
        task->merge = mr_merge_create(task->partitions);
        return MR_OK;
    }
    task->ship = plan->role == MR_UPSTREAM ? mr_ship_create() : NULL;
    enum mr_status status = plan->codec->open(
        &plan->input, mr_plan_checks_key(plan, task->partitions), &task->codec, err);
    return status == MR_OK ? open_chain(task, err) : status;
}

struct mr_task *mr_task_create(const struct mr_plan *plan, const struct mr_partition *source,
                               uint32_t partitions, struct mr_error *err) {
    struct mr_task *task = mr_allocate(sizeof(*task));
    task->plan = plan;
    task->source = *source;
    task->partitions = partitions;
    task->offset = task->reached = -1;
    task->until = INT64_MAX;
    task->times = (struct mr_times){MR_NEVER, MR_NEVER, MR_NEVER, MR_NEVER};
    task->store = mr_store_create(&plan->measures, plan->layout_hash);
    task->arena = mr_arena_create();
    if (open_stage(task, err) != MR_OK) {
        mr_task_destroy(task);
        return NULL;
    }
    return task;
}

void mr_task_destroy(struct mr_task *task) {
    if (!task) {
        return;
    }
    for (struct mr_operator *op = task->chain; op; op = op->next) {
        if (op->type->close) {
            op->type->close(op);
        }
        free(op->instance);
    }
    free(task->chain);
    task->plan->codec->close(task->codec);
    mr_ship_destroy(task->ship);
    mr_merge_destroy(task->merge);
    mr_restore_destroy(task->restore);
    mr_tables_close(task);
    mr_store_destroy(task->store);
    mr_arena_destroy(task->arena);
    free(task->pending);
    mr_buffer_finish(&task->group);
    mr_buffer_finish(&task->keyed);
    mr_buffer_finish(&task->row);
    mr_buffer_finish(&task->row_key);
    mr_buffer_finish(&task->note);
    free(task->bytes.body);
    free(task);
}

/* ---- One record ----------------------------------------------------------------------------- */

static enum mr_status ahead(struct mr_task *task, const struct mr_record *record, int64_t append_ns,
                            struct mr_error *err) {
    char time[MR_TEXT_MAX], appended[MR_TEXT_MAX], limit[MR_TEXT_MAX];
    struct mr_error reason;
    mr_error_set(&reason, MR_REJECT,
                 "the event time %s is more than %s (lateness.max_ahead) past the time at which "
                 "the record was appended, %s",
                 mr_format_time(record->last_ns, time),
                 mr_format_duration(task->plan->lateness.max_ahead_ns, limit),
                 mr_format_time(append_ns, appended));
    mr_account_dead(task, record->samples);
    return mr_deadletter(task, reason.text, err);
}

static enum mr_status late_letter(struct mr_task *task, struct mr_error *err) {
    if (task->outcome.late == 0 || task->plan->lateness.late != MR_LATE_DEAD_LETTER) {
        return MR_OK;
    }
    return mr_deadletter(task,
                         "late: the window of this event time has closed (lateness.late is "
                         "dead_letter)",
                         err);
}

static enum mr_status step_record(struct mr_task *task, struct mr_record *record, int64_t append_ns,
                                  struct mr_error *err) {
    if (record->last_ns > mr_time_add(append_ns, task->plan->lateness.max_ahead_ns)) {
        return ahead(task, record, append_ns, err);
    }
    task->outcome = (struct mr_tally){0};
    size_t samples = record->samples;
    int64_t last_ns = record->last_ns;
    struct mr_error reason;
    enum mr_status status = task->chain->type->process(task->chain, record, &reason);
    if (status == MR_FAIL) {
        return mr_error_set(err, MR_FAIL, "%s", reason.text);
    }
    if (status == MR_REJECT) {
        mr_account_rejected(task, samples);
        status = mr_deadletter(task, reason.text, err);
    } else {
        assert(task->outcome.used + task->outcome.late + task->outcome.filtered +
                   task->outcome.duplicate ==
               samples);
        mr_account_record(task, samples);
        status = late_letter(task, err);
    }
    return status == MR_OK ? mr_times_record(task, last_ns, err) : status;
}

/* ---- One message, one batch ----------------------------------------------------------------- */

static enum mr_status step_message(struct mr_task *task, const struct mr_message *message,
                                   int64_t append_ns, struct mr_error *err) {
    struct mr_decoded decoded; /* not zeroed: a kilobyte of sentence, for every message */
    enum mr_status status = MR_OK;
    decoded.count = decoded.bad = 0;
    task->message = message;
    task->message_dead = false;
    mr_arena_reset(task->arena);
    task->plan->codec->decode(task->codec, message, task->arena, &decoded);
    for (size_t i = 0; i < decoded.bad; i++) {
        mr_account_dead(task, 0);
    }
    if (decoded.bad > 0) {
        status = mr_deadletter(task, decoded.reason.text, err);
    }
    for (size_t i = 0; i < decoded.count && status == MR_OK; i++) {
        status = step_record(task, &decoded.records[i], append_ns, err);
    }
    task->offset = message->offset + 1;
    return status;
}

/* Where a device's records go is known from the message's key when that key is the group. Cells of
 * a million devices do not fit a cache, so ask for them some messages ahead: the slot, then the
 * cell, then its accumulators, then what these hold. */
static void prefetch(struct mr_task *task, const struct mr_batch *batch, size_t i) {
    static const size_t distance[4] = {12, 9, 6, 3};
    if (i + distance[0] < batch->count) {
        task->ahead[(i + distance[0]) % MR_AHEAD] =
            mr_store_hash(batch->messages[i + distance[0]].key, task->span_start_ns);
    }
    for (int stage = 0; stage < 4; stage++) {
        if (i + distance[stage] < batch->count) {
            mr_store_prefetch(task->store, task->ahead[(i + distance[stage]) % MR_AHEAD], stage);
        }
    }
}

enum mr_status mr_task_step(struct mr_task *task, const struct mr_batch *batch,
                            struct mr_error *err) {
    const struct mr_plan *plan = task->plan;
    if (task->merge) {
        return mr_merge_step(task, batch, err);
    }
    int64_t now_ns = task->clock->wall_ns(task->clock);
    bool keyed = plan->group_count == 1 && plan->input.key_slot == plan->groups[0].slot &&
                 mr_store_cells(task->store) > PREFETCH_CELLS;
    enum mr_status status = MR_OK;
    task->silence.begun = false;
    task->moved = task->moved || batch->count > 0;
    for (size_t i = 0; i < batch->count && status == MR_OK; i++) {
        const struct mr_message *message = &batch->messages[i];
        if (keyed) {
            prefetch(task, batch, i);
        }
        status =
            step_message(task, message, batch->append_stamped ? message->append_ns : now_ns, err);
    }
    return status;
}
