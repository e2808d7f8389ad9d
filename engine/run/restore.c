/* Restoring: the one way back, after a start, a crash, an abort and a move to another worker alike,
 * so it is exercised all the time. It reads the changelog of the task's partition, any order, last
 * value of every key; takes R, T, H and the counters from the committed note. It drops and emits
 * nothing: what a job file with a shorter grace or retain has put out of reach closes and drops
 * with the next record, when H follows. Dropped here, an open window would never have its row, and
 * a later job file that retains longer would make the cell anew and begin again at rev 0.
 *
 * Refused, with the remedy: cells of another layout (which would be read as nonsense), and cells
 * beside no committed offset (which would be counted twice). */
#include "engine/run/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define PROGRESS_NS (3 * MR_SECOND)

struct restoring {
    const atomic_bool *stop;
    int64_t told_ns; /* steady clock: the last progress */
    uint64_t cells;
    bool other_layout;
    struct mr_buffer layout; /* as the changelog has it */
};

static enum mr_status take(struct mr_task *task, const struct mr_message *message,
                           struct restoring *restoring, struct mr_error *err) {
    if (mr_slice_equal(message->key, mr_slice_of(MR_LAYOUT_KEY))) {
        mr_buffer_add(&restoring->layout, message->value.data, message->value.length);
        task->layout_logged = true;
        return MR_OK;
    }
    restoring->cells++;
    if (restoring->other_layout) {
        return MR_OK;
    }
    enum mr_status status = mr_store_restore(task->store, message->key, message->value, NULL, err);
    if (status == MR_REJECT) {
        restoring->other_layout = true; /* read on: the record that says which may come last */
        return MR_OK;
    }
    return status;
}

/* A line every few seconds, for the person who waits at a terminal. */
static void progress(const struct mr_task *task, struct restoring *restoring) {
    char count[MR_TEXT_MAX];
    int64_t now_ns = task->clock->steady_ns(task->clock);
    if (now_ns - restoring->told_ns >= PROGRESS_NS && isatty(STDERR_FILENO)) {
        restoring->told_ns = now_ns;
        mr_note("job %s: %s/%u: restoring, %s cells so far", task->plan->job, task->source.topic,
                task->source.partition, mr_format_count(restoring->cells, count));
    }
}

static enum mr_status read_all(struct mr_task *task, struct mr_log *log,
                               struct restoring *restoring, struct mr_error *err) {
    struct mr_partition source = {.partition = task->source.partition};
    struct mr_reader *reader = NULL;
    struct mr_batch batch;
    snprintf(source.topic, sizeof(source.topic), "%s", task->plan->changelog_topic);
    enum mr_status status = mr_reader_open(log, &source, -1, &reader, err);
    while (status == MR_OK && !(restoring->stop && *restoring->stop)) {
        status = mr_reader_read(reader, MR_SECOND / 10, &batch, err);
        if (status != MR_OK || batch.end) {
            break;
        }
        for (size_t i = 0; i < batch.count && status == MR_OK; i++) {
            status = take(task, &batch.messages[i], restoring, err);
        }
        progress(task, restoring);
    }
    mr_reader_close(reader);
    return status;
}

/* Whether `text` has the line as a whole. */
static bool has_line(const char *text, const char *line) {
    size_t length = strlen(line);
    const char *at = strstr(text, line);
    while (at && ((at > text && at[-1] != '\n') || (at[length] && at[length] != '\n'))) {
        at = strstr(at + 1, line);
    }
    return at;
}

/* The lines of `text` that `other` has not, each after `sign`. */
static void add_difference(struct mr_buffer *out, struct mr_slice text, const char *other,
                           const char *sign) {
    const char *at = text.data, *end = text.data + text.length;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        char line[256];
        snprintf(line, sizeof(line), "%.*s", (int)(stop - at), at);
        if (*line && !has_line(other, line)) {
            mr_buffer_format(out, "%s%s", sign, line);
        }
        at = stop + 1;
    }
}

static enum mr_status refuse_layout(const struct mr_task *task, struct restoring *restoring,
                                    struct mr_error *err) {
    struct mr_buffer difference = {0};
    struct mr_slice old = mr_buffer_slice(&restoring->layout);
    mr_buffer_add(&restoring->layout, "", 1);
    add_difference(&difference, old, task->plan->layout, "; it had: ");
    add_difference(&difference, mr_slice_of(task->plan->layout), restoring->layout.data, "; now: ");
    mr_buffer_add(&difference, "", 1);
    mr_error_set(err, MR_REJECT,
                 "job %s: its windows, groups or statistics are not those that its stored state "
                 "was made with%s. Run it under another job name, or with --reset to forget its "
                 "state and read the input from the start (its output topics stay)",
                 task->plan->job, difference.data);
    mr_buffer_finish(&difference);
    return MR_REJECT;
}

/* What the changelog holds must be this plan's, and have an offset that says what it counts. */
static enum mr_status check(const struct mr_task *task, struct restoring *restoring,
                            struct mr_error *err) {
    if (restoring->other_layout) {
        return refuse_layout(task, restoring, err);
    }
    if (task->offset < 0 && restoring->cells > 0) {
        return mr_error_set(err, MR_REJECT,
                            "job %s has stored state for %s/%u but no committed offset, so it "
                            "cannot know what that state has counted. Run it with --reset to "
                            "start again from the input",
                            task->plan->job, task->source.topic, task->source.partition);
    }
    return MR_OK;
}

static void report(const struct mr_task *task, uint64_t cells, int64_t took_ns) {
    char count[MR_TEXT_MAX], took[MR_TEXT_MAX];
    if (took_ns > MR_SECOND) {
        mr_note("job %s: %s/%u: restored %s cells in %s", task->plan->job, task->source.topic,
                task->source.partition, mr_format_count(cells, count),
                mr_format_duration(took_ns / 1000000 * 1000000, took));
    }
}

enum mr_status mr_task_restore(struct mr_task *task, struct mr_log *log,
                               const struct mr_event *assigned, const atomic_bool *stop,
                               struct mr_error *err) {
    int64_t began_ns = task->clock->steady_ns(task->clock);
    struct restoring restoring = {.stop = stop, .told_ns = began_ns};
    enum mr_status status = MR_OK;
    task->offset = assigned->offset;
    if (assigned->offset >= 0) {
        status = mr_note_read(task, assigned->note, err);
    }
    if (status == MR_OK) {
        status = read_all(task, log, &restoring, err);
    }
    if (status == MR_OK && !(stop && *stop)) {
        status = check(task, &restoring, err);
        report(task, restoring.cells, task->clock->steady_ns(task->clock) - began_ns);
    }
    mr_buffer_finish(&restoring.layout);
    return status;
}
