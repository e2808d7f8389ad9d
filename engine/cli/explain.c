/* millrace explain JOB: topics, steps, time and state of a job, before it runs. The log is asked
 * for the number of partitions when it is there; the job can be explained without it. */
#include "engine/cli/connect.h"

#define PATIENCE (5 * MR_SECOND)

struct flags {
    double groups;
    const char *log, *kafka;
};

static const struct mr_option flags[] = {
    {"groups", MR_OPTION_NUMBER, .fallback = "1000",
     .help = "How many groups (devices, sensors) to reckon with",
     .offset = offsetof(struct flags, groups), .minimum = 1, .maximum = 1e12},
    {"log", MR_OPTION_TEXT, .fallback = "", .help = "The log, instead of the job file's",
     .offset = offsetof(struct flags, log)},
    MR_KAFKA_FLAG(struct flags),
    {0},
};

/* Tables that do not fit the input. */
static void check_tables(const struct mr_plan *plan, struct mr_log *log, uint32_t partitions) {
    struct mr_topic topic;
    struct mr_error err;
    for (size_t i = 0; i < plan->table_count; i++) {
        const struct mr_table *table = &plan->tables[i];
        if (mr_log_describe(log, table->join.topic, &topic, &err) == MR_OK &&
            mr_table_admits(plan, table, partitions, topic.partitions, &err) != MR_OK) {
            mr_note("this will not run: %s", err.text);
        }
    }
}

/* 0 partitions: not known, and no fault. */
static int count_partitions(const struct mr_plan *plan, const struct flags *asked,
                            uint32_t *partitions) {
    struct mr_connect how = {
        .url = *asked->log ? asked->log : plan->log_url,
        .plan = plan,
        .file = asked->kafka,
        .late = "the broker did not answer in time",
        .patience_ns = PATIENCE,
    };
    struct mr_log *log;
    struct mr_topic topic;
    struct mr_error err = {""};
    int code = mr_connect(&how, &log, &err);
    *partitions = 0;
    if (code == MR_EXIT_CONFIGURATION) {
        mr_note("%s", err.text);
        return code;
    }
    if (log && mr_log_describe(log, plan->topic, &topic, &err) == MR_OK) {
        *partitions = topic.partitions;
        check_tables(plan, log, topic.partitions);
    }
    mr_log_close(log);
    return MR_EXIT_OK;
}

static int run(const void *given, int argc, char **argv) {
    const struct flags *asked = given;
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    if (argc != 1) {
        return mr_usage_error(&mr_explain_command, "which job file? One at a time");
    }
    enum mr_status status = mr_job_load(argv[0], &plan, &faults);
    mr_faults_print(&faults, stderr);
    mr_faults_finish(&faults);
    if (status != MR_OK) {
        return MR_EXIT_CONFIGURATION;
    }
    uint32_t partitions;
    int code = count_partitions(plan, asked, &partitions);
    if (code == MR_EXIT_OK) {
        mr_plan_explain(plan, (uint64_t)asked->groups, partitions, stdout);
    }
    mr_plan_destroy(plan);
    return code;
}

const struct mr_command mr_explain_command = {
    .name = "explain",
    .arguments = "JOB",
    .summary = "Show what a job will do: topics, steps, time, state",
    .flags = flags,
    .flags_size = sizeof(struct flags),
    .run = run,
};
