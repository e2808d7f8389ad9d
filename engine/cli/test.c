/* millrace test CASE...: runs case files, or the cases that a job file names. No broker, no
 * directory, no waiting. */
#include "engine/cli/case.h"
#include "engine/cli/cli.h"
#include "engine/job/job.h"

#include <errno.h>
#include <stdlib.h>

/* A bad file weighs more than a case that failed. */
static int worse(int a, int b) {
    return a > b ? a : b;
}

static bool read_file(const char *path, struct mr_buffer *text) {
    char block[4096];
    size_t length;
    FILE *file = fopen(path, "rb");
    if (!file) {
        mr_warn("%s: %s", path, strerror(errno));
        return false;
    }
    while (text->length <= MR_CASE_MAX && (length = fread(block, 1, sizeof(block), file)) > 0) {
        mr_buffer_add(text, block, length);
    }
    bool good = !ferror(file);
    if (!good) {
        mr_warn("%s: %s", path, strerror(errno));
    }
    fclose(file);
    return good;
}

static int test_case(const char *path) {
    struct mr_buffer text = {0};
    struct mr_error err = {""};
    struct mr_case *c = NULL;
    int code = MR_EXIT_CONFIGURATION;
    if (read_file(path, &text)) {
        if (mr_case_parse(path, mr_buffer_slice(&text), &c, &err) == MR_OK) {
            code = mr_case_run(c, path, stdout);
        } else {
            fprintf(stderr, "%s\n", err.text);
        }
    }
    mr_case_destroy(c);
    mr_buffer_finish(&text);
    return code;
}

static int test_job(const char *path) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    int code = mr_job_load(path, &plan, &faults) == MR_OK ? MR_EXIT_OK : MR_EXIT_CONFIGURATION;
    mr_faults_print(&faults, stderr);
    mr_faults_finish(&faults);
    if (code == MR_EXIT_OK && !plan->tests[0]) {
        mr_warn("%s names no cases; `tests: [NAME.case]` does", path);
        code = MR_EXIT_FAILED;
    }
    for (size_t i = 0; plan && plan->tests[i]; i++) {
        char *file = mr_case_beside(path, mr_slice_of(plan->tests[i]));
        code = worse(code, test_case(file));
        free(file);
    }
    mr_plan_destroy(plan);
    return code;
}

static int run(const void *flags, int argc, char **argv) {
    int code = MR_EXIT_OK;
    if (argc == 0) {
        return mr_usage_error(&mr_test_command, "name at least one case file, or a job file");
    }
    for (int i = 0; i < argc; i++) {
        const char *dot = strrchr(argv[i], '.');
        bool job = dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
        code = worse(code, job ? test_job(argv[i]) : test_case(argv[i]));
        fflush(stdout);
    }
    return code;
}

const struct mr_command mr_test_command = {
    .name = "test",
    .arguments = "CASE...",
    .summary = "Run jobs on the timed input of case files and compare their rows",
    .run = run,
    .details =
        "CASE is a case file, or a job file (.yaml) that names its cases under `tests`. A case is\n"
        "a story, line by line. It runs on a log in memory, with a clock of its own:\n"
        "\n"
        "  job power-minute.yaml         the job; relative to the case file. Once more, later: "
        "the\n"
        "                                job stops in good order and another version starts\n"
        "  start 2026-01-01T00:00:00Z    where the clock begins (this is the default)\n"
        "  partitions 1                  of the input topic (this is the default)\n"
        "  tables 1                      partitions of the topics of tables (default: as the "
        "input)\n"
        "\n"
        "  at HH:MM:SS[.fraction] ...    the time since the start at which the rest of the line\n"
        "                                happens; alone: time passes. Without `at`: at the time\n"
        "                                of the line before\n"
        "  in KEY VALUE                  a record; `-`: no key; the value is the rest of the line\n"
        "  in partition N KEY VALUE      to a partition, where there are several\n"
        "  bytes KEY 0a 1f               a record of these bytes\n"
        "  frame DEVICE "
        "{\"start\":\"00:00:01\",\"rate\":\"10Hz\",\"current\":[0.1,null],\"voltage\":5}\n"
        "                                a waveform frame; null is NaN; one number stands for all\n"
        "                                samples; \"samples\":N, \"stream\":N and \"sequence\":N "
        "too\n"
        "  table NAME KEY VALUE          an entry of a table that the job joins; `tombstone`: the "
        "key\n"
        "                                is taken back\n"
        "  crash                         the process dies; another one starts\n"
        "  reset                         as `run --reset`\n"
        "  close                         as `run --until-end --close`; then the job goes on\n"
        "\n"
        "  expect TOPIC {\"mean\":3.5}     the next row of the topic has these members\n"
        "  expect TOPIC nothing          there is no further row so far\n"
        "  expect dead-letters \"text\"    the next dead letter's reason contains this\n"
        "  expect counts {\"read\":2}      read used filtered late duplicate dead, the same of\n"
        "                                samples (samples.read), gaps.FIELD, revisions,\n"
        "                                held_late, partly_late; of a table TABLE.read, .bad,\n"
        "                                .late, .tombstones, .dropped; of the second stage of a\n"
        "                                job that regroups: regrouped.read, regrouped.used,\n"
        "                                regrouped.late (samples)\n"
        "  expect stopped \"text\"         the job has stopped and says this\n"
        "  # a comment\n"
        "\n"
        "An expectation commits first. Rows that nothing expects are faults. Exit code 1 when a\n"
        "case fails, 78 when a case or job file is wrong.",
};
