/* millrace validate JOB...: every fault of every file, in one pass, without a connection. What
 * only a log could tell (how many partitions the input has) is a warning here. */
#include "engine/cli/cli.h"
#include "engine/job/job.h"

struct flags {
    bool schema, reference;
};

static const struct mr_option flags[] = {
    {"schema", MR_OPTION_BOOL, .fallback = "false",
     .help = "Print the JSON Schema of a job file, for editors",
     .offset = offsetof(struct flags, schema)},
    {"reference", MR_OPTION_BOOL, .fallback = "false",
     .help = "Print the reference of the job file, in Markdown",
     .offset = offsetof(struct flags, reference)},
    {0},
};

static int validate(const char *path) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    struct mr_error err;
    enum mr_status status = mr_job_load(path, &plan, &faults);
    mr_faults_print(&faults, stderr);
    mr_faults_finish(&faults);
    if (status != MR_OK) {
        return MR_EXIT_CONFIGURATION;
    }
    if (mr_plan_admits(plan, 0, &err) != MR_OK) {
        fprintf(stderr, "%s: warning: only for a topic of one partition: %s\n", path, err.text);
    }
    printf("%s: ok\n", path);
    mr_plan_destroy(plan);
    return MR_EXIT_OK;
}

static int run(const void *given, int argc, char **argv) {
    const struct flags *asked = given;
    int result = MR_EXIT_OK;
    if (asked->schema) {
        mr_job_schema(stdout);
    }
    if (asked->reference) {
        mr_job_reference(stdout);
    }
    if (argc == 0 && !asked->schema && !asked->reference) {
        return mr_usage_error(&mr_validate_command, "which job file?");
    }
    for (int i = 0; i < argc; i++) {
        int code = validate(argv[i]);
        result = code != MR_EXIT_OK ? code : result;
    }
    return result;
}

const struct mr_command mr_validate_command = {
    .name = "validate",
    .arguments = "JOB...",
    .summary = "Check job files: every fault with its place",
    .flags = flags,
    .flags_size = sizeof(struct flags),
    .run = run,
    .details = "Exit code 0: all are good; 78: at least one is not.",
};
