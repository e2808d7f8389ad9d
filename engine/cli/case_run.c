/* A case is told to a real worker on the memory log; only the clock is the case's own.
 *
 *   at T        settle; then the clock goes to T by steps of at most a second, and settles at each
 *   in, frame   the log takes the record, now; it is read at the next settling
 *   expect      settle, commit, and look at what is committed
 *   settle      the worker steps until a whole round of its partitions brought nothing new, so each
 *               has been polled at its end at this very time: ticks and due commits happen
 *
 * A job of two stages has a worker of each. The first one settles before the second; an expectation
 * commits the first, settles the second and commits that.
 *
 * So records of one time are one batch, and nothing is committed between them unless `commit` asks
 * for it or an expectation stands between. Rows and dead letters that no expectation looked at, and
 * accounts that do not add up, are failures at the end. */
#include "engine/cli/case.h"
#include "engine/cli/cli.h"
#include "engine/run/run.h"

#include <inttypes.h>
#include <stdlib.h>

#define STEP_NS MR_SECOND

struct story {
    const struct mr_case *c;
    const char *path;
    FILE *out;
    struct mr_clock clock;
    struct mr_log *log;
    struct mr_session *producer;
    struct mr_plan *plan;
    const struct mr_plan *stages[2]; /* of the plan, for the case's partitions           */
    size_t stage_count;
    struct mr_worker *workers[2]; /* of the stages; NULL: the job has stopped */
    struct mr_error why;          /* it has stopped            */
    bool why_told;
    struct mr_case_topic *topics;
    uint64_t keyless; /* records without a key, for the round robin */
    size_t wanted, failed;
    int exit;
};

static void tell(struct story *story, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One thing that does not hold; line 0: of the case as a whole. */
static void tell(struct story *story, int line, const char *format, ...) {
    va_list arguments;
    fprintf(story->out, "%s:", story->path);
    if (line > 0) {
        fprintf(story->out, "%d:", line);
    }
    fputc(' ', story->out);
    va_start(arguments, format);
    vfprintf(story->out, format, arguments);
    va_end(arguments);
    fputc('\n', story->out);
    story->failed++;
}

/* ---- The job --------------------------------------------------------------------------------- */

static void stop(struct story *story) {
    for (size_t i = 0; i < 2; i++) {
        mr_worker_destroy(story->workers[i]);
        story->workers[i] = NULL;
    }
}

static bool runs(const struct story *story) {
    return story->workers[0];
}

/* The job has stopped by itself: an expectation may want that. */
static void stopped(struct story *story, const struct mr_error *why) {
    stop(story);
    story->why = *why;
    story->why_told = false;
}

/* The reason is gone with this step; if nobody wanted it, it is a failure. */
static void drop_reason(struct story *story, int line) {
    if (story->why.text[0] && !story->why_told) {
        tell(story, line, "the job has stopped: %s", story->why.text);
    }
    story->why.text[0] = 0;
}

/* Every partition is polled, and before that restored: up to two batches of its changelog, and as
 * many of each table and of its changelog. */
static size_t steps_of_a_round(const struct story *story, size_t stage) {
    return story->c->partitions * (2 + 4 * story->stages[stage]->table_count);
}

/* After this every partition of a stage is at its end, and was polled there at this time. */
static void settle_stage(struct story *story, size_t stage) {
    struct mr_error err = {""};
    uint64_t before = 0, after = 0;
    do {
        before = after;
        for (size_t i = 0; story->workers[stage] && i <= steps_of_a_round(story, stage); i++) {
            if (mr_worker_step(story->workers[stage], 0, &err) != MR_OK) {
                stopped(story, &err);
            }
        }
        after = runs(story) ? mr_case_read(story->workers[stage]) : before;
    } while (after != before);
}

static void settle(struct story *story) {
    for (size_t i = 0; i < story->stage_count; i++) {
        settle_stage(story, i);
    }
}

static void start_stage(struct story *story, size_t stage, bool close) {
    struct mr_worker_options options = {.workers = 1, .until_end = close, .close = close};
    struct mr_error err = {""};
    if (mr_worker_create(story->stages[stage], story->log, &story->clock, &options,
                         &story->workers[stage], &err) != MR_OK) {
        stopped(story, &err);
    }
}

static bool prepare(struct story *story) {
    struct mr_error err = {""};
    if (mr_run_prepare(story->plan, story->log, &err) != MR_OK) {
        stopped(story, &err);
        return false;
    }
    story->stage_count = mr_plan_stages(story->plan, story->c->partitions, story->stages);
    return true;
}

static void start(struct story *story) {
    if (prepare(story)) {
        start_stage(story, 0, false);
    }
    if (runs(story) && story->stage_count == 2) {
        start_stage(story, 1, false);
    }
}

/* As a signal ends it: what was done is committed. */
static void finish(struct story *story) {
    struct mr_error err = {""};
    for (size_t i = 0; i < 2; i++) {
        if (story->workers[i] && mr_worker_finish(story->workers[i], &err) != MR_OK) {
            stopped(story, &err);
        }
    }
    stop(story);
}

static void run_close_stage(struct story *story, size_t stage) {
    struct mr_error err = {""};
    start_stage(story, stage, true);
    while (story->workers[stage] && !mr_worker_done(story->workers[stage])) {
        if (mr_worker_step(story->workers[stage], 0, &err) != MR_OK) {
            stopped(story, &err);
        }
    }
    finish(story);
}

static void run_close(struct story *story) {
    bool good = prepare(story);
    for (size_t i = 0; good && i < story->stage_count && !story->why.text[0]; i++) {
        run_close_stage(story, i);
    }
}

static void pass_time(struct story *story, int64_t until_ns) {
    settle(story);
    while (story->clock.virtual_ns < until_ns) {
        int64_t left_ns = until_ns - story->clock.virtual_ns;
        story->clock.virtual_ns += left_ns < STEP_NS ? left_ns : STEP_NS;
        settle(story);
    }
}

static bool load(struct story *story, struct mr_slice name) {
    struct mr_faults faults = {0};
    struct mr_plan *plan = NULL;
    char *path = mr_case_beside(story->path, name);
    bool good = mr_job_load(path, &plan, &faults) == MR_OK;
    mr_faults_print(&faults, stderr);
    mr_faults_finish(&faults);
    free(path);
    if (!good) {
        story->exit = MR_EXIT_CONFIGURATION;
        return false;
    }
    mr_plan_destroy(story->plan);
    story->plan = plan;
    for (size_t i = 0; i < plan->output_count; i++) {
        mr_case_topic(&story->topics, plan->outputs[i].topic);
    }
    mr_case_topic(&story->topics, plan->dead_letter_topic);
    return true;
}

static bool make_topic(struct story *story, const char *name, uint32_t partitions) {
    struct mr_error err = {""};
    struct mr_topic topic = {.partitions = partitions, .retention_ns = -1, .retention_bytes = -1};
    snprintf(topic.name, sizeof(topic.name), "%s", name);
    if (mr_log_create(story->log, &topic, &err) == MR_OK) {
        return true;
    }
    tell(story, 0, "%s", err.text);
    return false;
}

static uint32_t table_partitions(const struct mr_case *c) {
    return c->table_partitions ? c->table_partitions : c->partitions;
}

/* What the job reads. */
static bool make_inputs(struct story *story) {
    const struct mr_plan *plan = story->plan;
    bool good = make_topic(story, plan->topic, story->c->partitions);
    for (size_t i = 0; i < plan->table_count && good; i++) {
        good = make_topic(story, plan->tables[i].join.topic, table_partitions(story->c));
    }
    return good;
}

static void run_job(struct story *story, const struct mr_case_step *step) {
    finish(story);
    drop_reason(story, step->line);
    if (load(story, step->name) && make_inputs(story)) {
        start(story);
    }
}

/* What `run --reset` does before it starts. */
static void run_reset(struct story *story) {
    struct mr_error err = {""};
    if (mr_run_reset(story->plan, story->log, &err) != MR_OK) {
        tell(story, 0, "%s", err.text);
    }
    start(story);
}

static void append(struct story *story, const struct mr_case_step *step, const char *topic,
                   uint32_t partitions) {
    struct mr_error err = {""};
    struct mr_append append = {.topic = topic,
                               .partition = (uint32_t)step->partition,
                               .timestamp_ns = story->clock.virtual_ns,
                               .key = step->name,
                               .value = step->text};
    if (step->partition < 0) {
        append.partition = mr_partition_of(step->name, partitions, &story->keyless);
    }
    if (mr_session_append(story->producer, &append, &err) != MR_OK ||
        mr_session_commit(story->producer, NULL, 0, &err) != MR_COMMITTED) {
        tell(story, step->line, "the log does not take this record: %s", err.text);
    }
}

static void run_table(struct story *story, const struct mr_case_step *step) {
    const struct mr_plan *plan = story->plan;
    for (size_t i = 0; i < plan->table_count; i++) {
        if (mr_slice_equal(step->table, mr_slice_of(plan->tables[i].join.name))) {
            append(story, step, plan->tables[i].join.topic, table_partitions(story->c));
            return;
        }
    }
    tell(story, step->line, "the job joins no table `%.*s`", (int)step->table.length,
         step->table.data);
}

/* ---- Expectations ---------------------------------------------------------------------------- */

/* Settled, committed, and read. */
static void look(struct story *story) {
    struct mr_error err = {""};
    for (size_t i = 0; i < story->stage_count; i++) {
        settle_stage(story, i);
        if (story->workers[i] && mr_worker_commit(story->workers[i], &err) != MR_OK) {
            stopped(story, &err);
        }
    }
    if (mr_case_topics_read(story->topics, story->log, &err) != MR_OK) {
        tell(story, 0, "%s", err.text);
    }
}

static struct mr_case_topic *topic_of(struct story *story, const struct mr_case_step *step) {
    char name[MR_TOPIC_NAME_MAX + 1];
    bool letters = mr_slice_equal(step->name, mr_slice_of("dead-letters"));
    snprintf(name, sizeof(name), "%.*s", (int)step->name.length, step->name.data);
    return mr_case_topic(&story->topics, letters ? story->plan->dead_letter_topic : name);
}

static bool is_output(const struct story *story, const struct mr_case_topic *topic) {
    const struct mr_plan *plan = story->plan;
    for (size_t i = 0; i < plan->output_count; i++) {
        if (strcmp(plan->outputs[i].topic, topic->name) == 0) {
            return true;
        }
    }
    return strcmp(plan->dead_letter_topic, topic->name) == 0;
}

static struct mr_slice shown(const struct mr_case_row *row) {
    return mr_buffer_slice(row->reason.length > 0 ? &row->reason : &row->value);
}

static void expect_row(struct story *story, const struct mr_case_step *step) {
    struct mr_case_topic *topic = topic_of(story, step);
    if (!is_output(story, topic)) {
        tell(story, step->line, "%s is not an output of this job", topic->name);
        return;
    }
    if (topic->next == topic->count) {
        tell(story, step->line, "no further row in %s so far; wanted\n    %.*s", topic->name,
             (int)step->text.length, step->text.data);
        return;
    }
    const struct mr_case_row *row = &topic->rows[topic->next++];
    struct mr_buffer difference = {0};
    if (!mr_case_diff(step->text, mr_buffer_slice(&row->value), &difference)) {
        tell(story, step->line, "row %zu of %s is different\n%.*s  the row: %.*s", topic->next,
             topic->name, (int)difference.length, difference.data, (int)row->value.length,
             row->value.data);
    }
    mr_buffer_finish(&difference);
}

static void expect_nothing(struct story *story, const struct mr_case_step *step) {
    struct mr_case_topic *topic = topic_of(story, step);
    if (!is_output(story, topic)) {
        tell(story, step->line, "%s is not an output of this job", topic->name);
    } else if (topic->next < topic->count) {
        struct mr_slice text = shown(&topic->rows[topic->next]);
        tell(story, step->line, "%s has a row that should not be there\n    %.*s", topic->name,
             (int)text.length, text.data);
    }
}

static bool contains(struct mr_slice text, struct mr_slice part) {
    return part.length == 0 || memmem(text.data, text.length, part.data, part.length);
}

static void expect_letter(struct story *story, const struct mr_case_step *step) {
    struct mr_case_topic *topic = topic_of(story, step);
    if (topic->next == topic->count) {
        tell(story, step->line, "no further dead letter so far; wanted one that says\n    %.*s",
             (int)step->text.length, step->text.data);
        return;
    }
    struct mr_slice reason = mr_buffer_slice(&topic->rows[topic->next++].reason);
    if (!contains(reason, step->text)) {
        tell(story, step->line,
             "the dead letter has another reason\n    wanted %.*s\n    got    "
             "%.*s",
             (int)step->text.length, step->text.data, (int)reason.length, reason.data);
    }
}

static void expect_counts(struct story *story, const struct mr_case_step *step) {
    struct mr_buffer counters = {0}, difference = {0};
    if (!runs(story)) {
        tell(story, step->line, "the job has stopped, so it counts nothing");
        return;
    }
    mr_case_counts(story->plan, story->workers, story->stage_count, &counters);
    if (!mr_case_diff(step->text, mr_buffer_slice(&counters), &difference)) {
        tell(story, step->line, "the counts are different\n%.*s  all counts: %.*s",
             (int)difference.length, difference.data, (int)counters.length, counters.data);
    }
    mr_buffer_finish(&counters);
    mr_buffer_finish(&difference);
}

static void expect_stopped(struct story *story, const struct mr_case_step *step) {
    if (runs(story)) {
        tell(story, step->line, "the job runs; wanted that it stops and says\n    %.*s",
             (int)step->text.length, step->text.data);
    } else if (!contains(mr_slice_of(story->why.text), step->text)) {
        tell(story, step->line,
             "the job has stopped for another reason\n    wanted %.*s\n    got  "
             "  %s",
             (int)step->text.length, step->text.data, story->why.text);
    }
    story->why_told = true;
}

/* ---- The story ------------------------------------------------------------------------------- */

static void run_step(struct story *story, const struct mr_case_step *step) {
    static void (*const expects[])(struct story *, const struct mr_case_step *) = {
        [MR_CASE_ROW] = expect_row,         [MR_CASE_NOTHING] = expect_nothing,
        [MR_CASE_LETTER] = expect_letter,   [MR_CASE_COUNTS] = expect_counts,
        [MR_CASE_STOPPED] = expect_stopped,
    };
    pass_time(story, step->at_ns);
    switch (step->kind) {
    case MR_CASE_PASS:
        break;
    case MR_CASE_JOB:
        run_job(story, step);
        break;
    case MR_CASE_IN:
        append(story, step, story->plan->topic, story->c->partitions);
        break;
    case MR_CASE_TABLE:
        run_table(story, step);
        break;
    case MR_CASE_CRASH:
        stop(story);
        drop_reason(story, step->line);
        start(story);
        break;
    case MR_CASE_RESET:
        finish(story);
        drop_reason(story, step->line);
        run_reset(story);
        break;
    case MR_CASE_CLOSE:
        finish(story);
        drop_reason(story, step->line);
        run_close(story);
        start(story);
        break;
    default:
        look(story);
        story->wanted++;
        expects[step->kind](story, step);
    }
}

static void check_rest(struct story *story) {
    look(story);
    drop_reason(story, 0);
    for (struct mr_case_topic *topic = story->topics; topic; topic = topic->after) {
        if (topic->next == topic->count) {
            continue;
        }
        size_t more = topic->count - topic->next;
        tell(story, 0, "%zu row%s more than expected in %s:", more, more == 1 ? "" : "s",
             topic->name);
        for (; topic->next < topic->count; topic->next++) {
            struct mr_slice text = shown(&topic->rows[topic->next]);
            fprintf(story->out, "    %.*s\n", (int)text.length, text.data);
        }
    }
    if (!mr_case_balances(story->workers[0]) || !mr_case_balances(story->workers[1])) {
        tell(story, 0,
             "the accounts do not add up: read is not used + filtered + late + "
             "duplicate + dead");
    }
}

static int sum_up_story(struct story *story) {
    if (story->exit != MR_EXIT_OK) {
        return story->exit;
    }
    if (story->failed > 0) {
        fprintf(story->out, "%s: FAILED: %zu fault%s, %zu expectation%s\n", story->path,
                story->failed, story->failed == 1 ? "" : "s", story->wanted,
                story->wanted == 1 ? "" : "s");
        return MR_EXIT_FAILED;
    }
    fprintf(story->out, "%s: %zu expectation%s hold%s\n", story->path, story->wanted,
            story->wanted == 1 ? "" : "s", story->wanted == 1 ? "s" : "");
    return MR_EXIT_OK;
}

int mr_case_run(const struct mr_case *c, const char *path, FILE *out) {
    struct story story = {.c = c, .path = path, .out = out};
    struct mr_session_options producer = {0};
    struct mr_error err = {""};
    story.clock = mr_virtual_clock(c->start_ns);
    if (mr_log_open("memory:", &(struct mr_log_options){.make = true}, &story.clock, &story.log,
                    &err) != MR_OK ||
        mr_session_open(story.log, &producer, &story.producer, &err) != MR_OK) {
        tell(&story, 0, "%s", err.text);
    }
    for (size_t i = 0; i < c->count && story.exit == MR_EXIT_OK && story.log; i++) {
        run_step(&story, &c->steps[i]);
    }
    if (story.exit == MR_EXIT_OK && story.log) {
        check_rest(&story);
    }
    int code = sum_up_story(&story);
    stop(&story);
    mr_case_topics_destroy(story.topics);
    mr_session_close(story.producer);
    mr_log_close(story.log);
    mr_plan_destroy(story.plan);
    return code;
}
