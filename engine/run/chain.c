/* The services that operators call (<millrace/operator.h>): thin doors to the task. */
#include "engine/run/task.h"

#include <assert.h>
#include <millrace/json.h>

enum mr_status mr_emit(struct mr_operator *op, struct mr_record *record, struct mr_error *err) {
    assert(op->next);
    return op->next->type->process(op->next, record, err);
}

struct mr_arena *mr_batch_arena(struct mr_operator *op) {
    return op->task->arena;
}

void mr_account(struct mr_operator *op, enum mr_outcome outcome, size_t samples) {
    struct mr_tally *tally = &op->task->outcome;
    switch (outcome) {
    case MR_FILTERED:
        tally->filtered += samples;
        break;
    case MR_LATE:
        tally->late += samples;
        break;
    case MR_USED:
        tally->used += samples;
        break;
    case MR_DUPLICATE:
        tally->duplicate += samples;
        break;
    }
}

void mr_account_gaps(struct mr_operator *op, uint16_t slot, size_t samples) {
    if (slot < MR_GAP_FIELDS) {
        op->task->counters.gaps[slot] += samples;
    }
}

enum mr_status mr_dead_letter(struct mr_operator *op, const char *reason, struct mr_error *err) {
    return mr_deadletter(op->task, reason, err);
}

enum mr_status mr_row(struct mr_operator *op, const struct mr_record *record,
                      struct mr_error *err) {
    return mr_row_pass(op->task, record, err);
}

/* One column: its text. Several: each with its length before it, so that ("a", "bc") and
 * ("ab", "c") differ. row.c takes them apart. */
enum mr_status mr_group(struct mr_operator *op, const struct mr_record *record,
                        struct mr_slice *group, struct mr_error *err) {
    struct mr_task *task = op->task;
    const struct mr_plan *plan = task->plan;
    if (plan->group_count == 1) {
        const struct mr_value *value = &record->values[plan->groups[0].slot];
        if (value->kind == MR_TEXT && value->text.length <= MR_KEY_MAX - 2) {
            *group = value->text; /* where it lies */
            return MR_OK;
        }
    }
    char scratch[MR_JSON_NUMBER_MAX];
    task->group.length = 0;
    for (size_t i = 0; i < plan->group_count; i++) {
        struct mr_slice text = mr_value_text(&record->values[plan->groups[i].slot], scratch);
        if (plan->group_count > 1) {
            mr_put_varint(&task->group, text.length);
        }
        mr_buffer_add(&task->group, text.data, text.length);
        if (task->group.length > MR_KEY_MAX) {
            return mr_error_set(err, MR_REJECT, "with `%s` the group is longer than %d bytes",
                                plan->groups[i].name, MR_KEY_MAX);
        }
    }
    *group = mr_buffer_slice(&task->group);
    return MR_OK;
}

/* An accepted part has come into the cell: what has closed gets its row again. */
static void revise(struct mr_task *task, struct mr_cell *cell, enum mr_verdict verdict) {
    if (verdict == MR_VERDICT_REVISABLE) {
        mr_store_close(task->store, cell);
    }
    if (task->plan->panes.count > 1) {
        mr_hop_take(task, cell);
    } else if (cell->closed) {
        mr_revise(task, cell); /* also a part that is open by the rules, after --close */
        task->counters.revisions++;
    }
}

struct mr_cell *mr_task_cell(struct mr_task *task, struct mr_slice group, struct mr_span span,
                             size_t samples) {
    /* The last window that has the span takes what any of them takes. */
    int64_t end_ns = mr_time_add(span.end_ns, task->plan->panes.reach_ns);
    enum mr_verdict verdict = mr_times_judge(&task->times, task->plan, end_ns);
    if (verdict == MR_VERDICT_LATE) {
        task->outcome.late += samples;
        return NULL;
    }
    task->outcome.used += samples;
    struct mr_cell *cell = mr_store_window(task->store, group, span, true);
    if (!cell->accumulators) {
        /* Restoring has unpacked it once already, so these bytes are good. */
        enum mr_status status = mr_store_unpack(task->store, cell, NULL);
        assert(status == MR_OK);
        (void)status;
    }
    cell->samples += samples;
    if (task->plan->role != MR_UPSTREAM) { /* there nothing closes: the second stage judges it */
        revise(task, cell, verdict);
    }
    mr_store_touch(task->store, cell);
    task->span_start_ns = span.start_ns;
    return cell;
}

struct mr_accumulator *mr_cell(struct mr_operator *op, struct mr_slice group, struct mr_span span,
                               size_t samples) {
    struct mr_cell *cell = mr_task_cell(op->task, group, span, samples);
    return cell ? cell->accumulators : NULL;
}

/* The keyed cells of a task stand in one table: the operator's place goes before the key. */
static struct mr_slice keyed(struct mr_operator *op, struct mr_slice key) {
    struct mr_buffer *out = &op->task->keyed;
    char place = (char)op->type->place;
    out->length = 0;
    mr_buffer_add(out, &place, 1);
    mr_buffer_add(out, key.data, key.length);
    return mr_buffer_slice(out);
}

struct mr_accumulator *mr_keyed_cell(struct mr_operator *op, struct mr_slice key, bool make) {
    struct mr_cell *cell = mr_store_keyed(op->task->store, keyed(op, key), make);
    op->task->asked = cell;
    return cell ? cell->accumulators : NULL;
}

static bool is_key_of(const struct mr_cell *cell, const struct mr_operator *op,
                      struct mr_slice key) {
    struct mr_slice whole = mr_cell_group(cell);
    return whole.data[0] == (char)op->type->place &&
           mr_slice_equal((struct mr_slice){whole.data + 1, whole.length - 1u}, key);
}

void mr_keyed_touch(struct mr_operator *op, struct mr_slice key) {
    struct mr_cell *cell = op->task->asked;
    if (!cell || !is_key_of(cell, op, key)) {
        cell = mr_store_keyed(op->task->store, keyed(op, key), true);
    }
    mr_store_touch(op->task->store, cell);
}

struct sweep {
    struct mr_operator *op;
    bool (*visit)(struct mr_operator *op, struct mr_slice key, struct mr_accumulator *cell);
};

static bool visit_cell(void *arg, struct mr_cell *cell) {
    struct sweep *sweep = arg;
    struct mr_slice key = mr_cell_group(cell);
    if (key.data[0] != (char)sweep->op->type->place) {
        return true;
    }
    return sweep->visit(sweep->op, (struct mr_slice){key.data + 1, key.length - 1},
                        cell->accumulators);
}

void mr_keyed_sweep(struct mr_operator *op,
                    bool (*visit)(struct mr_operator *op, struct mr_slice key,
                                  struct mr_accumulator *cell)) {
    struct sweep sweep = {op, visit};
    op->task->asked = NULL; /* it may be dropped */
    mr_store_sweep_keyed(op->task->store, visit_cell, &sweep);
    op->task->moved = true;
}

size_t mr_field_count(const struct mr_operator *op) {
    return op->task->plan->input.field_count;
}

void mr_account_late_as_used(struct mr_operator *op, size_t samples) {
    op->task->outcome.late -= samples;
    op->task->outcome.used += samples;
}

void mr_account_held_late(struct mr_operator *op, size_t count) {
    op->task->counters.held_late += count;
}

int64_t mr_stream_time(const struct mr_operator *op) {
    return op->task->times.stream_ns;
}

int64_t mr_watermark(const struct mr_operator *op) {
    return op->task->times.watermark_ns;
}

int64_t mr_grace(const struct mr_operator *op) {
    return op->task->plan->lateness.grace_ns;
}

bool mr_is_retained(const struct mr_operator *op, int64_t event_ns) {
    const struct mr_plan *plan = op->task->plan;
    struct mr_span span = plan->window.type->span(plan->window.options, event_ns);
    int64_t end_ns = mr_time_add(span.end_ns, plan->panes.reach_ns);
    return !mr_times_drops(&op->task->times, plan, end_ns);
}

enum mr_status mr_partition_key(struct mr_operator *op, const struct mr_record *record,
                                struct mr_slice *key, struct mr_error *err) {
    struct mr_task *task = op->task;
    *key = mr_value_text(&record->values[task->plan->input.key_slot], task->key_number);
    return key->length <= MR_KEY_MAX
               ? MR_OK
               : mr_error_set(err, MR_REJECT, "its key is longer than %d bytes", MR_KEY_MAX);
}

const struct mr_measures *mr_measures(const struct mr_operator *op) {
    return &op->task->plan->measures;
}

const struct mr_window *mr_window(const struct mr_operator *op) {
    return &op->task->plan->window;
}
