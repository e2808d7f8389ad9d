/* Before the first record: the topics a job needs are there, as it needs them. Topics that exist
 * are checked, never changed.
 *
 *   one stage     outputs, dead letters, changelog                          of the job
 *   two stages    dead letters, changelog of the operators, repartition     of <job>-regroup
 *                 outputs, changelog of the windows                         of the job */
#include "engine/run/task.h"

#include <inttypes.h>

/* A group's records, state and rows have one partition number, for good. */
static enum mr_status check_partitions(struct mr_log *log, const struct mr_plan *plan,
                                       const struct mr_topic *topic, struct mr_error *err) {
    struct mr_topic existing;
    if (mr_log_describe(log, topic->name, &existing, NULL) != MR_OK ||
        existing.partitions == topic->partitions) {
        return MR_OK;
    }
    return mr_error_set(err, MR_REJECT,
                        "job %s: its topic \"%s\" has %" PRIu32 " partitions, but its input \"%s\" "
                        "has %" PRIu32 ". They must agree: name another job with other output "
                        "topics, or give it an input of %" PRIu32 " partitions",
                        plan->job, topic->name, existing.partitions, plan->topic, topic->partitions,
                        existing.partitions);
}

static enum mr_status make(struct mr_log *log, const struct mr_plan *plan, const char *name,
                           struct mr_topic *topic, struct mr_error *err) {
    snprintf(topic->name, sizeof(topic->name), "%s", name);
    snprintf(topic->job, sizeof(topic->job), "%s", plan->member);
    enum mr_status status = check_partitions(log, plan, topic, err);
    return status == MR_OK ? mr_log_create(log, topic, err) : status;
}

static enum mr_status make_changelog(struct mr_log *log, const struct mr_plan *plan,
                                     struct mr_topic topic, struct mr_error *err) {
    topic.kind = MR_KEEP_LAST_OF_KEY;
    return make(log, plan, plan->changelog_topic, &topic, err);
}

/* Of the stage that reads the input. */
static enum mr_status make_for_reading(struct mr_log *log, const struct mr_plan *plan,
                                       struct mr_topic topic, struct mr_error *err) {
    enum mr_status status = make(log, plan, plan->dead_letter_topic, &topic, err);
    if (status == MR_OK && plan->role == MR_UPSTREAM) {
        status = make(log, plan, plan->repartition_topic, &topic, err);
        return status == MR_OK ? make_changelog(log, plan, topic, err) : status;
    }
    return status;
}

/* Of the stage that makes rows. */
static enum mr_status make_for_rows(struct mr_log *log, const struct mr_plan *plan,
                                    struct mr_topic topic, struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < plan->output_count && status == MR_OK; i++) {
        topic.retention_ns = plan->outputs[i].retention_ns;
        status = make(log, plan, plan->outputs[i].topic, &topic, err);
    }
    topic.retention_ns = -1;
    return status == MR_OK ? make_changelog(log, plan, topic, err) : status;
}

static enum mr_status check_table(struct mr_log *log, const struct mr_plan *plan,
                                  const struct mr_table *table, uint32_t inputs,
                                  struct mr_error *err) {
    struct mr_topic topic;
    struct mr_error why = {""};
    enum mr_status status = mr_log_describe(log, table->join.topic, &topic, &why);
    if (status == MR_REJECT) {
        return mr_error_set(err, MR_REJECT,
                            "job %s: table `%s`: %s. Make it before the job runs, with %u "
                            "partition%s as the input, or one",
                            plan->job, table->join.name, why.text, inputs, inputs == 1 ? "" : "s");
    }
    if (status != MR_OK) {
        return mr_error_set(err, status, "%s", why.text);
    }
    status = mr_table_admits(plan, table, inputs, topic.partitions, &why);
    return status == MR_OK ? MR_OK : mr_error_set(err, status, "job %s: %s", plan->job, why.text);
}

static enum mr_status make_for_tables(struct mr_log *log, const struct mr_plan *plan,
                                      struct mr_topic topic, struct mr_error *err) {
    enum mr_status status = MR_OK;
    topic.kind = MR_KEEP_LAST_OF_KEY;
    for (size_t i = 0; i < plan->table_count && status == MR_OK; i++) {
        status = check_table(log, plan, &plan->tables[i], topic.partitions, err);
        if (status == MR_OK) {
            status = make(log, plan, plan->tables[i].changelog_topic, &topic, err);
        }
    }
    return status;
}

enum mr_status mr_run_prepare(const struct mr_plan *plan, struct mr_log *log,
                              struct mr_error *err) {
    struct mr_topic input;
    struct mr_topic topic = {.retention_ns = -1, .retention_bytes = -1};
    const struct mr_plan *stages[2];
    enum mr_status status = mr_log_describe(log, plan->topic, &input, err);
    if (status == MR_OK) {
        status = mr_plan_admits(plan, input.partitions, err);
    }
    if (status != MR_OK) {
        return status;
    }
    topic.partitions = input.partitions;
    size_t count = mr_plan_stages(plan, input.partitions, stages);
    status = make_for_rows(log, stages[count - 1], topic, err);
    status = status == MR_OK ? make_for_reading(log, stages[0], topic, err) : status;
    return status == MR_OK ? make_for_tables(log, stages[0], topic, err) : status;
}
