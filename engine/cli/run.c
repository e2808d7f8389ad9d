/* millrace run JOB...: each job in its own thread with its own workers, until it is done
 * (--until-end), until --for has passed, or until SIGINT or SIGTERM; then everything is committed
 * and the exit code is 0. */
#include "engine/run/run.h"
#include "engine/cli/connect.h"
#include "engine/cli/show.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define TURN_NS      100000000L /* how often the main thread looks */
#define WORKERS_MAX  256
#define LAST_ROWS_NS MR_SECOND /* for rows on their way to --show */

struct flags {
    const char *log, *kafka, *dir;
    double workers;
    bool until_end, close, show, reset;
    int64_t for_ns;
};

static const struct mr_option flags[] = {
    {"log", MR_OPTION_TEXT, .fallback = "", .help = "The log, instead of the job file's",
     .offset = offsetof(struct flags, log)},
    MR_KAFKA_FLAG(struct flags),
    {"dir", MR_OPTION_TEXT, .fallback = "",
     .help = "On Kafka: where this process keeps its identity, else .millrace/JOB",
     .offset = offsetof(struct flags, dir)},
    {"workers", MR_OPTION_NUMBER, .fallback = "1", .help = "Threads that share the partitions",
     .offset = offsetof(struct flags, workers), .minimum = 1, .maximum = WORKERS_MAX},
    {"until-end", MR_OPTION_BOOL, .fallback = "false",
     .help = "Stop at the end that the log has now; windows still open give a preview row",
     .offset = offsetof(struct flags, until_end)},
    {"close", MR_OPTION_BOOL, .fallback = "false",
     .help = "With --until-end: close the open windows too, for finished data",
     .offset = offsetof(struct flags, close)},
    {"for", MR_OPTION_DURATION, .fallback = "0s", .help = "Stop after this much wall time",
     .offset = offsetof(struct flags, for_ns)},
    {"show", MR_OPTION_BOOL, .fallback = "false", .help = "Print the rows as a table",
     .offset = offsetof(struct flags, show)},
    {"reset", MR_OPTION_BOOL, .fallback = "false",
     .help = "First forget the job's state and positions; its output topics stay",
     .offset = offsetof(struct flags, reset)},
    {0},
};

struct running {
    struct mr_plan *plan;
    struct mr_log *log;
    struct mr_show *show;
    struct mr_identity identity;
    struct mr_run_options options;
    pthread_t thread;
    bool started;
    atomic_bool ended;
    enum mr_status status;
    int code; /* of a status that is not MR_OK */
    struct mr_error err;
};

static void *run_job(void *arg) {
    struct running *job = arg;
    job->status = mr_run(job->plan, job->log, &job->options, &job->err);
    job->ended = true;
    return NULL;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int load(struct running *jobs, int count, char **paths) {
    int result = MR_EXIT_OK;
    for (int i = 0; i < count; i++) {
        struct mr_faults faults = {0};
        if (mr_job_load(paths[i], &jobs[i].plan, &faults) != MR_OK) {
            result = MR_EXIT_CONFIGURATION;
        }
        mr_faults_print(&faults, stderr);
        mr_faults_finish(&faults);
    }
    return result;
}

/* The processes of a job on a cluster tell themselves apart; one directory has one run at a time.
 */
static enum mr_status identify(struct running *job, const char *dir) {
    char path[MR_TOPIC_NAME_MAX + 16];
    snprintf(path, sizeof path, ".millrace/%s", job->plan->job);
    enum mr_status status = mr_identity_open(*dir ? dir : path, &job->identity, &job->err);
    job->options.instance = job->identity.name;
    return status;
}

static int open_job(struct running *job, const struct flags *given) {
    struct mr_connect how = {
        .url = *given->log ? given->log : job->plan->log_url,
        .plan = job->plan,
        .file = given->kafka,
        .late = "the broker did not answer in time; what was not committed is read again at the "
                "next start",
    };
    job->options = (struct mr_run_options){.workers = (uint32_t)given->workers,
                                           .until_end = given->until_end,
                                           .close = given->close,
                                           .reset = given->reset,
                                           .stop = mr_catch_signals()};
    job->code = mr_connect(&how, &job->log, &job->err);
    if (job->code != MR_EXIT_OK) {
        job->status = MR_FAIL;
        return job->code;
    }
    job->status = mr_is_cluster(how.url) ? identify(job, given->dir) : MR_OK;
    if (job->status == MR_OK && given->show) {
        job->status = mr_run_prepare(job->plan, job->log, &job->err);
        if (job->status == MR_OK) {
            job->status = mr_show_open(job->plan, job->log, &job->show, &job->err);
        }
    }
    return job->status == MR_OK ? MR_EXIT_OK : MR_EXIT_FAILED;
}

static void start(struct running *job) {
    job->started = pthread_create(&job->thread, NULL, run_job, job) == 0;
    if (!job->started) {
        job->status = mr_error_set(&job->err, MR_FAIL, "no thread could be made");
    }
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static void show(struct running *jobs, int count, int64_t patience_ns) {
    for (int i = 0; i < count; i++) {
        struct mr_error err;
        if (jobs[i].show && mr_show_rows(jobs[i].show, patience_ns, &err) != MR_OK) {
            mr_warn("%s", err.text);
            mr_show_close(jobs[i].show);
            jobs[i].show = NULL;
        }
    }
}

/* Until every job has ended; one that fails ends the others. */
static void wait_for(struct running *jobs, int count, const struct flags *given) {
    int64_t deadline_ns =
        given->for_ns > 0 ? mr_real_clock.steady_ns(&mr_real_clock) + given->for_ns : INT64_MAX;
    for (int ended = 0; ended < count;) {
        ended = 0;
        for (int i = 0; i < count; i++) {
            bool over = !jobs[i].started || jobs[i].ended;
            ended += over;
            if (over && jobs[i].status != MR_OK) {
                mr_stop();
            }
        }
        if (mr_real_clock.steady_ns(&mr_real_clock) >= deadline_ns) {
            mr_stop();
        }
        show(jobs, count, 0);
        if (ended < count) {
            nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
        }
    }
    show(jobs, count, LAST_ROWS_NS);
}

static int finish(struct running *jobs, int count) {
    int result = MR_EXIT_OK;
    mr_stop(); /* closing has its limit too */
    for (int i = 0; i < count; i++) {
        if (jobs[i].started) {
            pthread_join(jobs[i].thread, NULL);
        }
        if (jobs[i].status != MR_OK) {
            mr_note("%s", jobs[i].err.text);
            result = jobs[i].code != MR_EXIT_OK ? jobs[i].code : MR_EXIT_FAILED;
        }
        mr_show_close(jobs[i].show);
        mr_log_close(jobs[i].log);
        mr_identity_close(&jobs[i].identity);
        mr_plan_destroy(jobs[i].plan);
    }
    free(jobs);
    return result;
}

static int run(const void *options, int argc, char **argv) {
    const struct flags *given = options;
    if (argc == 0) {
        return mr_usage_error(&mr_run_command, "name at least one job file");
    }
    if (*given->dir && argc > 1) {
        return mr_usage_error(&mr_run_command, "--dir is for one job; give each a run of its own");
    }
    if (given->close && !given->until_end) {
        return mr_usage_error(&mr_run_command, "--close goes with --until-end");
    }
    struct running *jobs = mr_allocate_array((size_t)argc, struct running);
    for (int i = 0; i < argc; i++) {
        jobs[i].identity.lock = -1;
    }
    int result = load(jobs, argc, argv);
    if (result != MR_EXIT_OK) {
        finish(jobs, argc);
        return result;
    }
    bool all_open = true;
    for (int i = 0; i < argc && all_open; i++) {
        all_open = open_job(&jobs[i], given) == MR_EXIT_OK;
    }
    for (int i = 0; i < argc && all_open; i++) {
        start(&jobs[i]);
    }
    if (all_open) {
        wait_for(jobs, argc, given);
    }
    return finish(jobs, argc);
}

const struct mr_command mr_run_command = {
    .name = "run",
    .arguments = "JOB...",
    .summary = "Run jobs until they are stopped",
    .flags = flags,
    .flags_size = sizeof(struct flags),
    .run = run,
    .details =
        "SIGINT and SIGTERM commit what was done and end with exit code 0. After a crash the\n"
        "job goes on from its last commit; nothing is lost or counted twice.\n"
        "\n"
        "On Kafka any number of processes run one job and share its partitions. Two on one "
        "machine\n"
        "need two directories (--dir). A broker that is silent cannot hold the process: it ends\n"
        "5 s after it was told to stop, with exit code 1, and reads again what was not committed.",
};
