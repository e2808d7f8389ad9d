/* Event-time progress of a task: how far it is, and what that means for a part of a record.
 *
 *            H                     R        T
 *   ---------+---------------------+--------+-------------------> event time
 *     late   |   revisable  (T - grace)  |      open
 *
 * - R, stream time: the largest event time that records have shown. T, the watermark, is R moved
 *   on by ticks. Ticks open and close spans; only R ends retention, so a partition that was silent
 *   for long loses nothing when its device comes back.
 * - A part is judged against the times as they were before its record. With the times after it, a
 *   frame that reaches far ahead would make its own first samples late.
 * - H, the horizon, is the largest R - grace - retain there ever was: what has been forgotten stays
 *   forgotten, also when a later job file retains longer.
 * - T ticks by the length of the silence, never to the wall clock: a rerun of old data at another
 *   speed must not see other windows closed. */
#include "engine/run/stage.h"

enum mr_verdict mr_times_judge(const struct mr_times *times, const struct mr_plan *plan,
                               int64_t end_ns) {
    int64_t graced = mr_time_add(end_ns, plan->lateness.grace_ns);
    if (end_ns <= times->horizon_ns) {
        return MR_VERDICT_LATE;
    }
    if (graced > times->watermark_ns) {
        return MR_VERDICT_OPEN;
    }
    bool retained = mr_time_add(graced, plan->retain_ns) > times->stream_ns;
    return plan->lateness.late == MR_LATE_REVISE && retained ? MR_VERDICT_REVISABLE
                                                             : MR_VERDICT_LATE;
}

bool mr_times_drops(const struct mr_times *times, const struct mr_plan *plan, int64_t end_ns) {
    int64_t kept = mr_time_add(mr_time_add(end_ns, plan->lateness.grace_ns), plan->retain_ns);
    return kept <= times->stream_ns;
}

static void move_horizon(struct mr_times *times, const struct mr_plan *plan) {
    /* R >= 0 and both durations are bounded by the planner, so this cannot wrap. */
    int64_t horizon = times->stream_ns - plan->lateness.grace_ns - plan->retain_ns;
    if (horizon > times->horizon_ns) {
        times->horizon_ns = horizon;
    }
}

/* Before spans close, what operators keep back comes out, judged by the times as they are. */
enum mr_status mr_times_settle(struct mr_task *task, int64_t watermark_ns, struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (struct mr_operator *op = task->chain; op && status == MR_OK; op = op->next) {
        if (op->type->settle) {
            status = op->type->settle(op, watermark_ns, err);
        }
    }
    return status;
}

/* A decoded record that was not ahead: R and T move, spans close, H follows, cells drop. */
enum mr_status mr_times_record(struct mr_task *task, int64_t last_ns, struct mr_error *err) {
    struct mr_times *times = &task->times;
    if (last_ns <= times->stream_ns) {
        return MR_OK;
    }
    int64_t watermark_ns = times->watermark_ns < last_ns ? last_ns : times->watermark_ns;
    enum mr_status status = mr_times_settle(task, watermark_ns, err);
    times->stream_ns = last_ns;
    times->watermark_ns = watermark_ns;
    if (status == MR_OK) {
        status = mr_close_due(task, err);
    }
    if (status != MR_OK) {
        return status;
    }
    move_horizon(times, task->plan);
    for (struct mr_operator *op = task->chain; op; op = op->next) {
        if (op->type->advance) {
            op->type->advance(op, times->stream_ns);
        }
    }
    return mr_drop_due(task, err);
}

static enum mr_status tick(struct mr_task *task, struct mr_error *err) {
    int64_t now_ns = task->clock->steady_ns(task->clock);
    if (!task->silence.begun) {
        task->silence = (struct mr_silence){true, now_ns, task->times.watermark_ns, false, 0};
        return MR_OK;
    }
    int64_t silent_ns = now_ns - task->silence.steady_ns;
    task->silence.idle = silent_ns >= task->plan->lateness.idle_ns;
    task->silence.seen_ns = task->clock->wall_ns(task->clock);
    if (!task->silence.idle || task->silence.watermark_ns == MR_NEVER) {
        return MR_OK;
    }
    int64_t ticked = mr_time_add(task->silence.watermark_ns, silent_ns);
    if (ticked <= task->times.watermark_ns) {
        return MR_OK;
    }
    enum mr_status status = mr_times_settle(task, ticked, err);
    task->times.watermark_ns = ticked;
    return status == MR_OK ? mr_close_due(task, err) : status;
}

/* A poll at the partition's end that brought nothing. The second stage has no silence of its own:
 * its partitions upstream tell of theirs. */
enum mr_status mr_times_quiet(struct mr_task *task, struct mr_error *err) {
    if (task->plan->role == MR_DOWNSTREAM) {
        return MR_OK;
    }
    enum mr_status status = tick(task, err);
    task->moved = task->moved || (task->ship && mr_ship_due(task));
    return status;
}
