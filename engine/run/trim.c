/* What lies between the stages goes when the second one has committed what it made of it.
 *
 *   repartition    gone | read, committed a while ago | read, committed | to be read
 *                       ^ trimmed                     ^ goes next       ^ offset
 *
 * Not more often than needed: one partition a commit, each after TRIM_NS; and not up to the offset,
 * but up to where it was the last time, or when the task began, so that a worker that has just lost
 * the partition and does not know it yet still finds what it reads. A log that refuses is told of
 * once: the job is right without, and its topic grows. */
#include "engine/run/stage.h"

#define TRIM_NS (10 * MR_SECOND)

static void trim(struct mr_trimmer *trimmer, struct mr_log *log, const struct mr_task *task,
                 int64_t before) {
    struct mr_error err = {""};
    if (trimmer->refused) {
        return;
    }
    enum mr_status status = mr_log_trim(log, &task->source, before, &err);
    trimmer->refused = status == MR_REJECT;
    if (status != MR_OK && !trimmer->told) {
        mr_warn("job %s: what its second stage has read stays in \"%s\", which grows: %s",
                task->plan->job, task->source.topic, err.text);
        trimmer->told = true;
    }
}

static bool is_due(const struct mr_task *task, int64_t now_ns) {
    return task && task->merge && task->offset > task->trimmed &&
           now_ns - task->trimmed_ns >= TRIM_NS;
}

void mr_trim_some(struct mr_trimmer *trimmer, struct mr_log *log, struct mr_task *const *tasks,
                  uint32_t partitions) {
    for (uint32_t i = 0; i < partitions; i++) {
        trimmer->turn = (trimmer->turn + 1) % partitions;
        struct mr_task *task = tasks[trimmer->turn];
        int64_t now_ns = task ? task->clock->steady_ns(task->clock) : 0;
        if (!is_due(task, now_ns)) {
            continue;
        }
        int64_t before = task->trimmed;
        task->trimmed = task->offset;
        task->trimmed_ns = now_ns;
        if (before > 0) {
            trim(trimmer, log, task, before);
            return;
        }
    }
}

void mr_trim_last(struct mr_trimmer *trimmer, struct mr_log *log, struct mr_task *const *tasks,
                  uint32_t partitions, bool alone) {
    for (uint32_t p = 0; p < partitions; p++) {
        const struct mr_task *task = tasks[p] && tasks[p]->merge ? tasks[p] : NULL;
        int64_t before = !task ? 0 : alone ? task->offset : task->trimmed;
        if (before > 0) {
            trim(trimmer, log, task, before);
        }
    }
}

enum mr_status mr_trim_topic(struct mr_log *log, const char *topic, struct mr_error *err) {
    struct mr_topic described;
    enum mr_status status = MR_OK;
    if (mr_log_describe(log, topic, &described, NULL) != MR_OK) {
        return MR_OK; /* the job has never run */
    }
    for (uint32_t p = 0; p < described.partitions && status == MR_OK; p++) {
        struct mr_partition source = {.partition = p};
        snprintf(source.topic, sizeof(source.topic), "%s", topic);
        status = mr_log_trim(log, &source, -1, err);
    }
    return status;
}
