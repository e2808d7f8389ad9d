/* millrace explain JOB: topics, steps, time and state of a job, before it runs. The log is asked
 * for the number of partitions when it is there; the job can be explained without it. */
#include "engine/cli/cli.h"
#include "engine/job/job.h"
#include "engine/log/log.h"

struct flags {
    double groups;
    const char *log;
};

static const struct mr_option flags[] = {
    {"groups", MR_OPTION_NUMBER, .fallback = "1000",
     .help = "How many groups (devices, sensors) to reckon with",
     .offset = offsetof(struct flags, groups), .minimum = 1, .maximum = 1e12},
    {"log", MR_OPTION_TEXT, .fallback = "", .help = "The log, instead of the job file's",
     .offset = offsetof(struct flags, log)},
    {0},
};

/* 0: not known. */
static uint32_t count_partitions(const struct mr_plan *plan, const char *url) {
    struct mr_log *log = NULL;
    struct mr_topic topic;
    struct mr_error err;
    uint32_t partitions = 0;
    if (mr_log_open(url, NULL, &mr_real_clock, &log, &err) != MR_OK) {
        return 0;
    }
    if (mr_log_describe(log, plan->topic, &topic, &err) == MR_OK) {
        partitions = topic.partitions;
    }
    mr_log_close(log);
    return partitions;
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
    const char *url = asked->log && *asked->log ? asked->log : plan->log_url;
    mr_plan_explain(plan, (uint64_t)asked->groups, count_partitions(plan, url), stdout);
    mr_plan_destroy(plan);
    return MR_EXIT_OK;
}

const struct mr_command mr_explain_command = {
    .name = "explain",
    .arguments = "JOB",
    .summary = "Show what a job will do: topics, steps, time, state",
    .flags = flags,
    .flags_size = sizeof(struct flags),
    .run = run,
};
