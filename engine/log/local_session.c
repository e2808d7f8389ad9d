/* A session on the embedded log.
 *
 *     append -> by partition, as bytes -> commit:  a job       one LMDB transaction
 *                                                  a producer  one per partition
 *
 * An LMDB write transaction belongs to one thread and shuts out all others, so none is open while a
 * job works: what is appended waits in memory, encoded, and a commit writes it at once and syncs.
 * Append time is the clock's at commit, one stamp for a transaction.
 *
 * LMDB tells nobody of a commit, so a session at the end of all its partitions looks every 2 ms: a
 * load from the mapped file's head for each partition and one access(2).
 *
 * A job's session whose commit failed is broken for good: its disk is full or its file damaged, and
 * the next poll says so with the sentence of the failure. Nothing committed is lost. */
#include "engine/log/local.h"

#include <errno.h>
#include <millrace/hash.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_NS INT64_C(2000000)

struct output { /* a topic that this session appends to */
    struct mr_topic topic;
    struct mr_target *targets; /* by partition */
};

struct local_session {
    struct mr_session base;
    struct mr_local_log *log;
    /* of a job, set at open */
    char job[MR_TOPIC_NAME_MAX + 1]; /* "": a producer */
    uint32_t worker;
    struct mr_job_lock *lock;
    struct mr_env *env;
    MDB_dbi positions;
    struct mr_topic input;
    /* reading */
    struct mr_ring ring;
    struct mr_cursor **cursors; /* by seat; NULL: not started */
    struct mr_cursor *borrowed; /* the last batch is from it  */
    struct mr_batch_space space;
    struct mr_buffer note;
    /* writing */
    struct output **outputs;
    size_t output_count;
    struct mr_target **dirty; /* those with pending records */
    size_t dirty_count;
    bool broken;
    struct mr_error why;
};

/* ---- Open and close ------------------------------------------------------------------------- */

static enum mr_status open_job(struct local_session *s, const struct mr_session_options *options,
                               struct mr_error *err) {
    s->worker = options->worker;
    snprintf(s->job, sizeof s->job, "%s", options->job);
    enum mr_status status = mr_catalog_describe(&s->log->base, options->input, &s->input, err);
    if (status != MR_OK) {
        return status;
    }
    mr_ring_init(&s->ring, s->input.partitions, options->worker, options->workers);
    s->cursors = mr_allocate_array(s->ring.count + 1, struct mr_cursor *);
    mr_batch_space_init(&s->space);
    status = mr_job_open(s->log, s->job, &s->env, err);
    if (status == MR_OK) {
        status = mr_job_lock_take(s->log, s->job, s->worker, options->workers, &s->lock, err);
    }
    int code = status == MR_OK ? mr_env_table(s->env, "positions", 0, &s->positions) : 0;
    return code == 0 ? status : mr_env_error(err, MR_FAIL, s->env->path, code);
}

enum mr_status mr_local_session_open(struct mr_log *log, const struct mr_session_options *options,
                                     struct mr_session **out, struct mr_error *err) {
    struct local_session *s = mr_allocate(sizeof *s);
    s->log = (struct mr_local_log *)log;
    enum mr_status status = options->job ? open_job(s, options, err) : MR_OK;
    if (status != MR_OK) {
        mr_local_session_close(&s->base);
        return status;
    }
    *out = &s->base;
    return MR_OK;
}

static void close_output(struct output *output) {
    for (uint32_t p = 0; p < output->topic.partitions; p++) {
        struct mr_target *target = &output->targets[p];
        mr_buffer_finish(&target->pending);
        mr_env_close(target->env);
        free(target->folder);
    }
    free(output->targets);
    free(output);
}

static void close_cursors(struct local_session *s) {
    for (size_t i = 0; i < s->ring.count; i++) {
        mr_cursor_close(s->cursors[i]);
        s->cursors[i] = NULL;
    }
    s->borrowed = NULL;
}

void mr_local_session_close(struct mr_session *base) {
    struct local_session *s = (struct local_session *)base;
    close_cursors(s);
    for (size_t i = 0; i < s->output_count; i++) {
        close_output(s->outputs[i]);
    }
    mr_env_close(s->env);
    mr_job_lock_drop(s->lock, s->worker);
    mr_ring_finish(&s->ring);
    mr_batch_space_finish(&s->space);
    mr_buffer_finish(&s->note);
    free(s->cursors);
    free(s->outputs);
    free(s->dirty);
    free(s);
}

/* ---- Polling -------------------------------------------------------------------------------- */

static void rest(struct local_session *s) {
    if (s->borrowed) {
        mr_cursor_rest(s->borrowed);
        s->borrowed = NULL;
    }
}

static enum mr_status tell_assigned(struct local_session *s, const struct mr_seat *seat,
                                    struct mr_event *event, struct mr_error *err) {
    *event = (struct mr_event){.kind = MR_EVENT_ASSIGNED};
    event->source = mr_partition_at(s->input.name, seat->partition);
    s->note.length = 0;
    enum mr_status status = mr_job_position(s->env, &event->source, &event->offset, &s->note, err);
    event->note = mr_buffer_slice(&s->note);
    return status;
}

static bool has_new(const struct local_session *s) {
    for (size_t i = 0; i < s->ring.count; i++) {
        if (s->ring.seats[i].state == MR_SEAT_STARTED && mr_cursor_has_new(s->cursors[i])) {
            return true;
        }
    }
    return false;
}

static void wait_for_new(const struct local_session *s, int64_t timeout_ns) {
    int64_t until = mr_time_add(mr_real_clock.steady_ns(&mr_real_clock), timeout_ns);
    while (!has_new(s)) {
        int64_t left = until - mr_real_clock.steady_ns(&mr_real_clock);
        if (left <= 0) {
            return;
        }
        struct timespec nap = {0, left < LOOK_NS ? left : LOOK_NS};
        nanosleep(&nap, NULL);
    }
}

static enum mr_status tell_turn(struct local_session *s, struct mr_event *event,
                                struct mr_error *err) {
    struct mr_seat *seat = mr_ring_next(&s->ring);
    struct mr_cursor *cursor = s->cursors[seat - s->ring.seats];
    *event = (struct mr_event){.source = mr_partition_at(s->input.name, seat->partition)};
    enum mr_status status = mr_cursor_read(cursor, &s->space, &event->batch, err);
    s->borrowed = cursor;
    if (status != MR_OK) {
        return status;
    }
    if (event->batch.count == 0) {
        event->kind = MR_EVENT_END;
        event->offset = mr_cursor_next(cursor);
        s->ring.quiet++;
        rest(s);
    } else {
        event->kind = MR_EVENT_BATCH;
        s->ring.quiet = 0;
    }
    return MR_OK;
}

enum mr_status mr_local_session_poll(struct mr_session *base, int64_t timeout_ns,
                                     struct mr_event *event, struct mr_error *err) {
    struct local_session *s = (struct local_session *)base;
    if (s->broken) {
        return mr_error_set(err, MR_FAIL, "%s", s->why.text);
    }
    rest(s);
    struct mr_seat *seat = mr_ring_assign(&s->ring);
    if (seat) {
        return tell_assigned(s, seat, event, err);
    }
    if (mr_ring_is_quiet(&s->ring)) {
        wait_for_new(s, timeout_ns);
        s->ring.quiet = 0;
    }
    return s->ring.started > 0 ? tell_turn(s, event, err) : MR_OK;
}

enum mr_status mr_local_session_start(struct mr_session *base, const struct mr_partition *source,
                                      int64_t offset, struct mr_error *err) {
    struct local_session *s = (struct local_session *)base;
    struct mr_seat *seat = NULL;
    if (strcmp(source->topic, s->input.name) == 0) {
        seat = mr_ring_find(&s->ring, source->partition);
    }
    if (!seat || seat->state == MR_SEAT_NEW) {
        return mr_error_set(err, MR_FAIL, "topic \"%s\", partition %u was not assigned",
                            source->topic, (unsigned)source->partition);
    }
    struct mr_cursor **cursor = &s->cursors[seat - s->ring.seats];
    rest(s);
    enum mr_status status = *cursor ? MR_OK : mr_cursor_open(s->log, source, cursor, err);
    if (status == MR_OK) {
        status = mr_cursor_seek(*cursor, offset, err);
    }
    if (status == MR_OK) {
        mr_ring_start(&s->ring, seat);
    }
    return status;
}

/* ---- Appending ------------------------------------------------------------------------------ */

static enum mr_status find_output(struct local_session *s, const char *topic, struct output **out,
                                  struct mr_error *err) {
    for (size_t i = 0; i < s->output_count; i++) {
        if (strcmp(s->outputs[i]->topic.name, topic) == 0) {
            *out = s->outputs[i];
            return MR_OK;
        }
    }
    struct output *output = mr_allocate(sizeof *output);
    enum mr_status status = mr_catalog_describe(&s->log->base, topic, &output->topic, err);
    if (status != MR_OK) {
        free(output);
        return status;
    }
    output->targets = mr_allocate_array(output->topic.partitions, struct mr_target);
    s->outputs = mr_reallocate(s->outputs, (s->output_count + 1) * sizeof(struct output *));
    *out = s->outputs[s->output_count++] = output;
    return MR_OK;
}

static enum mr_status open_target(struct local_session *s, const struct mr_topic *topic,
                                  uint32_t partition, struct mr_target *target,
                                  struct mr_error *err) {
    if (target->topic) {
        return MR_OK;
    }
    if (topic->job[0]) {
        enum mr_status status = mr_job_table(s->env, topic, partition, &target->table, err);
        if (status != MR_OK) {
            return status;
        }
    } else {
        target->folder = mr_records_folder(s->log, topic->name, partition);
    }
    target->topic = topic;
    target->partition = partition;
    target->seed = mr_record_seed(topic->name, partition);
    return MR_OK;
}

static void add_entry(struct mr_target *target, const struct mr_append *record) {
    struct mr_buffer *pending = &target->pending;
    struct mr_entry entry = {0};
    size_t start = pending->length;
    if (target->topic->kind == MR_KEEP_LAST_OF_KEY) {
        mr_hash128(record->key.data, record->key.length, entry.hash);
    }
    mr_buffer_add(pending, &entry, sizeof entry);
    mr_record_encode(record, target->seed, pending);
    entry.length = pending->length - start - sizeof entry;
    memcpy(pending->data + start, &entry, sizeof entry);
    mr_buffer_add(pending, &(uint64_t){0}, (8 - pending->length % 8) % 8);
    target->count++;
}

enum mr_status mr_local_session_append(struct mr_session *base, const struct mr_append *record,
                                       struct mr_error *err) {
    struct local_session *s = (struct local_session *)base;
    struct output *output;
    enum mr_status status = find_output(s, record->topic, &output, err);
    if (status == MR_OK) {
        status = mr_topic_admits(&output->topic, s->job, record, err);
    }
    if (status != MR_OK) {
        return status;
    }
    struct mr_target *target = &output->targets[record->partition];
    status = open_target(s, &output->topic, record->partition, target, err);
    if (status != MR_OK) {
        return status;
    }
    if (target->count == 0) {
        size_t bytes = (s->dirty_count + 1) * sizeof(struct mr_target *);
        s->dirty = mr_reallocate(s->dirty, bytes);
        s->dirty[s->dirty_count++] = target;
    }
    size_t before = target->pending.length;
    add_entry(target, record);
    base->pending_bytes += target->pending.length - before;
    return MR_OK;
}

/* ---- Commit and abort ----------------------------------------------------------------------- */

static void drop_pending(struct local_session *s) {
    for (size_t i = 0; i < s->dirty_count; i++) {
        s->dirty[i]->pending.length = 0;
        s->dirty[i]->count = 0;
    }
    s->dirty_count = s->base.pending_bytes = 0;
}

void mr_local_session_abort(struct mr_session *base) {
    struct local_session *s = (struct local_session *)base;
    drop_pending(s);
    close_cursors(s);
    mr_ring_reassign(&s->ring);
}

/* An input/output error may have met the last write of a commit, the file's head. */
static enum mr_commit outcome(int code) {
    return code == 0 ? MR_COMMITTED : code == EIO ? MR_UNKNOWN : MR_ABORTED;
}

static enum mr_commit commit_job(struct local_session *s, const struct mr_position *positions,
                                 size_t count, int64_t now_ns) {
    const struct mr_job_commit commit = {.env = s->env,
                                         .table = s->positions,
                                         .targets = s->dirty,
                                         .target_count = s->dirty_count,
                                         .positions = positions,
                                         .position_count = count,
                                         .now_ns = now_ns};
    int code = mr_job_apply(&commit, &s->why);
    s->broken = code != 0;
    return outcome(code);
}

static enum mr_commit commit_producer(struct local_session *s, int64_t now_ns) {
    for (size_t i = 0; i < s->dirty_count; i++) {
        int code = mr_records_append(s->dirty[i], now_ns, &s->why);
        if (code != 0) {
            return i > 0 ? MR_UNKNOWN : outcome(code);
        }
        mr_records_retain(s->dirty[i], now_ns);
    }
    return MR_COMMITTED;
}

enum mr_commit mr_local_session_commit(struct mr_session *base, const struct mr_position *positions,
                                       size_t count, struct mr_error *err) {
    struct local_session *s = (struct local_session *)base;
    int64_t now_ns = s->log->base.clock->wall_ns(s->log->base.clock);
    now_ns = now_ns > 0 ? now_ns : 0;
    rest(s);
    if (s->job[0] && !mr_ring_has(&s->ring, s->input.name, positions, count, err)) {
        mr_local_session_abort(base);
        return MR_FENCED;
    }
    enum mr_commit commit = MR_ABORTED;
    if (!s->broken) {
        commit = s->job[0] ? commit_job(s, positions, count, now_ns) : commit_producer(s, now_ns);
    }
    if (commit == MR_COMMITTED) {
        drop_pending(s);
    } else {
        mr_error_set(err, MR_FAIL, "%s", s->why.text);
        mr_local_session_abort(base);
    }
    return commit;
}
