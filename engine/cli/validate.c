/* millrace validate JOB...: every fault of every file, in one pass. Without --connect nobody is
 * asked: what only a log could tell (how many partitions the input has) is a warning then. */
#include "engine/cli/connect.h"
#include "engine/run/run.h"

#define PATIENCE (10 * MR_SECOND)

struct flags {
    bool schema, reference, connect;
    const char *log, *kafka;
};

static const struct mr_option flags[] = {
    {"connect", MR_OPTION_BOOL, .fallback = "false",
     .help = "Look at the log too: brokers, topics, partitions, rights, clocks",
     .offset = offsetof(struct flags, connect)},
    {"log", MR_OPTION_TEXT, .fallback = "",
     .help = "With --connect: the log, instead of the job file's",
     .offset = offsetof(struct flags, log)},
    MR_KAFKA_FLAG(struct flags),
    {"schema", MR_OPTION_BOOL, .fallback = "false",
     .help = "Print the JSON Schema of a job file, for editors",
     .offset = offsetof(struct flags, schema)},
    {"reference", MR_OPTION_BOOL, .fallback = "false",
     .help = "Print the reference of the job file, in Markdown",
     .offset = offsetof(struct flags, reference)},
    {0},
};

static void tell(void *arg, enum mr_finding finding, const char *sentence) {
    static const char *const words[] = {"ok     ", "warning", "fault  "};
    printf("  %s  %s\n", words[finding], sentence);
    fflush(stdout);
}

/* Whether it could run where it is to run. */
static int inspect(const struct mr_plan *plan, const struct flags *asked) {
    struct mr_connect how = {
        .url = *asked->log ? asked->log : plan->log_url,
        .plan = plan,
        .file = asked->kafka,
        .late = "the broker did not answer in time",
        .patience_ns = PATIENCE,
    };
    struct mr_log *log;
    struct mr_error err = {""};
    printf("%s on %s\n", plan->file, how.url);
    int code = mr_connect(&how, &log, &err);
    if (code != MR_EXIT_OK) {
        tell(NULL, MR_FINDING_FAULT, err.text);
        return code;
    }
    enum mr_status status = mr_run_inspect(plan, log, tell, NULL);
    mr_log_close(log);
    return status == MR_OK ? MR_EXIT_OK : MR_EXIT_FAILED;
}

static int validate(const char *path, const struct flags *asked) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    struct mr_error err;
    int code = MR_EXIT_OK;
    enum mr_status status = mr_job_load(path, &plan, &faults);
    mr_faults_print(&faults, stderr);
    mr_faults_finish(&faults);
    if (status != MR_OK) {
        return MR_EXIT_CONFIGURATION;
    }
    if (asked->connect) {
        code = inspect(plan, asked);
    } else if (mr_plan_admits(plan, 0, &err) != MR_OK) {
        fprintf(stderr, "%s: warning: only for a topic of one partition: %s\n", path, err.text);
    }
    if (code == MR_EXIT_OK) {
        printf("%s: ok\n", path);
    }
    mr_plan_destroy(plan);
    return code;
}

static int run(const void *given, int argc, char **argv) {
    const struct flags *asked = given;
    int result = MR_EXIT_OK;
    if ((*asked->log || *asked->kafka) && !asked->connect) {
        return mr_usage_error(&mr_validate_command, "--log and --kafka go with --connect");
    }
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
        int code = validate(argv[i], asked);
        result = code > result ? code : result;
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
    .details =
        "Exit code 0: all are good; 78: a file is not; 1: all are, but with --connect a job could\n"
        "not run. --connect changes nothing. It asks for what the job will need; the right to\n"
        "write to topics shows only when the job does.",
};
