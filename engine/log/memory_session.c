/* A session on the memory log: one transaction at a time, applied under the log's lock.
 *
 *     append -> pending -> commit -> the topics, and the positions
 *                 |
 *                 +-----> abort, crash: gone
 *
 * A crash of the log (memory.h) raises log->life; a session that was opened in an earlier life is
 * dead and can only be closed. */
#include "engine/log/memory_store.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct pending {
    struct mr_memory_topic *topic;
    uint32_t partition;
    struct mr_message message;
    void *memory;
};

struct memory_session {
    struct mr_session base;
    struct mr_memory_log *log;
    struct mr_memory_job *job; /* NULL: a producer                       */
    struct mr_memory_topic *input;
    uint32_t worker;
    uint64_t life; /* of the log when the session was opened */
    struct mr_ring ring;
    int64_t *next; /* by seat: the offset to read next       */
    struct pending *pending;
    size_t pending_count, pending_capacity;
};

static enum mr_status join_job(struct mr_memory_log *log, const struct mr_session_options *options,
                               struct mr_memory_job **out, struct mr_error *err) {
    struct mr_memory_job *job = mr_memory_job_find(log, options->job);
    if (job->running > 0 && (job->workers != options->workers || job->open[options->worker])) {
        return mr_error_set(err, MR_REJECT, "job \"%s\" already runs on this log", options->job);
    }
    job->workers = options->workers;
    job->open[options->worker] = true;
    job->running++;
    *out = job;
    return MR_OK;
}

enum mr_status mr_memory_session_open(struct mr_log *base, const struct mr_session_options *options,
                                      struct mr_session **out, struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    struct mr_memory_job *job = NULL;
    pthread_mutex_lock(&log->lock);
    enum mr_status status = options->job ? join_job(log, options, &job, err) : MR_OK;
    if (status == MR_OK) {
        struct memory_session *s = mr_allocate(sizeof *s);
        s->log = log;
        s->job = job;
        s->life = log->life;
        if (job) {
            s->worker = options->worker;
            s->input = mr_memory_topic_find(log, options->input);
            mr_ring_init(&s->ring, s->input->topic.partitions, options->worker, options->workers);
            s->next = mr_allocate_array(s->ring.count + 1, int64_t);
        }
        *out = &s->base;
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

static bool is_dead(const struct memory_session *s) {
    return s->life != s->log->life;
}

static enum mr_status say_dead(struct mr_error *err) {
    return mr_error_set(err, MR_FAIL, "the log crashed: open a new session");
}

/* ---- Polling -------------------------------------------------------------------------------- */

static int64_t end_of(const struct memory_session *s, const struct mr_seat *seat) {
    return s->input->partitions[seat->partition].end;
}

static bool has_new(const struct memory_session *s) {
    for (size_t i = 0; i < s->ring.count; i++) {
        const struct mr_seat *seat = &s->ring.seats[i];
        if (seat->state == MR_SEAT_STARTED && s->next[i] < end_of(s, seat)) {
            return true;
        }
    }
    return false;
}

static void wait_for_new(struct memory_session *s, int64_t timeout_ns) {
    struct timespec until;
    if (timeout_ns <= 0) {
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + timeout_ns % MR_SECOND;
    until.tv_sec += timeout_ns / MR_SECOND + ns / MR_SECOND;
    until.tv_nsec = ns % MR_SECOND;
    int timed_out = 0;
    while (timed_out != ETIMEDOUT && !has_new(s) && !is_dead(s)) {
        timed_out = pthread_cond_timedwait(&s->log->grown, &s->log->lock, &until);
    }
}

static void source_key(const struct mr_partition *source, char *key, size_t size) {
    snprintf(key, size, "%s/%u", source->topic, (unsigned)source->partition);
}

static void tell_assigned(const struct memory_session *s, const struct mr_seat *seat,
                          struct mr_event *event) {
    struct mr_memory_position *position;
    char key[sizeof position->source];
    *event = (struct mr_event){.kind = MR_EVENT_ASSIGNED, .offset = -1};
    event->source = mr_partition_at(s->input->topic.name, seat->partition);
    source_key(&event->source, key, sizeof key);
    HASH_FIND_STR(s->job->positions, key, position);
    if (position) {
        event->offset = position->offset;
        event->note = (struct mr_slice){position->note, position->note_length};
    }
}

static struct mr_seat *take_turn(struct memory_session *s) {
    struct mr_seat *asked =
        s->log->next < 0 ? NULL : mr_ring_find(&s->ring, (uint32_t)s->log->next);
    if (asked && asked->state == MR_SEAT_STARTED) {
        s->ring.turn = (size_t)(asked - s->ring.seats);
        s->log->next = -1;
    }
    return mr_ring_next(&s->ring);
}

static void tell_turn(struct memory_session *s, struct mr_event *event) {
    struct mr_seat *seat = take_turn(s);
    int64_t *next = &s->next[seat - s->ring.seats];
    *event = (struct mr_event){.source = mr_partition_at(s->input->topic.name, seat->partition)};
    mr_memory_partition_batch(s->log, s->input, seat->partition, *next, &event->batch);
    if (event->batch.count == 0) {
        event->kind = MR_EVENT_END;
        event->offset = *next;
        s->ring.quiet++;
        return;
    }
    event->kind = MR_EVENT_BATCH;
    s->ring.quiet = 0;
    *next += (int64_t)event->batch.count;
}

static enum mr_status poll_locked(struct memory_session *s, int64_t timeout_ns,
                                  struct mr_event *event, struct mr_error *err) {
    struct mr_seat *seat = is_dead(s) ? NULL : mr_ring_assign(&s->ring);
    if (seat) {
        tell_assigned(s, seat, event);
        return MR_OK;
    }
    if (!is_dead(s) && mr_ring_is_quiet(&s->ring)) {
        wait_for_new(s, timeout_ns);
        s->ring.quiet = 0;
    }
    if (is_dead(s)) {
        return say_dead(err);
    }
    if (s->ring.started > 0) {
        tell_turn(s, event);
    }
    return MR_OK;
}

enum mr_status mr_memory_session_poll(struct mr_session *base, int64_t timeout_ns,
                                      struct mr_event *event, struct mr_error *err) {
    struct memory_session *s = (struct memory_session *)base;
    pthread_mutex_lock(&s->log->lock);
    enum mr_status status = poll_locked(s, timeout_ns, event, err);
    pthread_mutex_unlock(&s->log->lock);
    return status;
}

static enum mr_status start_locked(struct memory_session *s, const struct mr_partition *source,
                                   int64_t offset, struct mr_error *err) {
    struct mr_seat *seat = s->job && strcmp(source->topic, s->input->topic.name) == 0
                               ? mr_ring_find(&s->ring, source->partition)
                               : NULL;
    if (!seat || seat->state == MR_SEAT_NEW) {
        return mr_error_set(err, MR_FAIL, "topic \"%s\", partition %u was not assigned",
                            source->topic, (unsigned)source->partition);
    }
    int64_t from = offset < 0 ? 0 : offset;
    enum mr_status status = mr_topic_reaches(source, from, 0, end_of(s, seat), err);
    if (status == MR_OK) {
        s->next[seat - s->ring.seats] = from;
        mr_ring_start(&s->ring, seat);
    }
    return status;
}

enum mr_status mr_memory_session_start(struct mr_session *base, const struct mr_partition *source,
                                       int64_t offset, struct mr_error *err) {
    struct memory_session *s = (struct memory_session *)base;
    pthread_mutex_lock(&s->log->lock);
    enum mr_status status = is_dead(s) ? say_dead(err) : start_locked(s, source, offset, err);
    pthread_mutex_unlock(&s->log->lock);
    return status;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static enum mr_status find_target(struct memory_session *s, const struct mr_append *record,
                                  struct mr_memory_topic **topic, struct mr_error *err) {
    pthread_mutex_lock(&s->log->lock);
    bool dead = is_dead(s);
    *topic = mr_memory_topic_find(s->log, record->topic);
    pthread_mutex_unlock(&s->log->lock);
    if (dead) {
        return say_dead(err);
    }
    if (!*topic) {
        return mr_topic_missing(&s->log->base, record->topic, err);
    }
    return mr_topic_admits(&(*topic)->topic, s->job ? s->job->name : "", record, err);
}

enum mr_status mr_memory_session_append(struct mr_session *base, const struct mr_append *record,
                                        struct mr_error *err) {
    struct memory_session *s = (struct memory_session *)base;
    struct mr_memory_topic *topic;
    enum mr_status status = find_target(s, record, &topic, err);
    if (status != MR_OK) {
        return status;
    }
    if (s->pending_count == s->pending_capacity) {
        s->pending_capacity = s->pending_capacity ? 2 * s->pending_capacity : 64;
        s->pending = mr_reallocate(s->pending, s->pending_capacity * sizeof *s->pending);
    }
    struct pending *pending = &s->pending[s->pending_count++];
    pending->topic = topic;
    pending->partition = record->partition;
    pending->memory = mr_memory_copy(record, &pending->message);
    base->pending_bytes += record->key.length + record->value.length;
    return MR_OK;
}

/* The records have been applied, or are to be freed. */
static void drop_pending(struct memory_session *s, bool applied) {
    for (size_t i = 0; !applied && i < s->pending_count; i++) {
        free(s->pending[i].memory);
    }
    s->pending_count = s->base.pending_bytes = 0;
}

static void apply_position(struct mr_memory_job *job, const struct mr_position *wanted) {
    struct mr_memory_position *position;
    char key[sizeof position->source];
    source_key(&wanted->source, key, sizeof key);
    HASH_FIND_STR(job->positions, key, position);
    if (!position) {
        position = mr_allocate(sizeof *position);
        memcpy(position->source, key, sizeof key);
        HASH_ADD_STR(job->positions, source, position);
    }
    free(position->note);
    position->offset = wanted->offset;
    position->note_length = wanted->note.length;
    position->note = mr_allocate(wanted->note.length + 1);
    if (wanted->note.length) {
        memcpy(position->note, wanted->note.data, wanted->note.length);
    }
}

static void apply(struct memory_session *s, const struct mr_position *positions, size_t count) {
    int64_t now = s->log->base.clock->wall_ns(s->log->base.clock);
    for (size_t i = 0; i < s->pending_count; i++) {
        struct pending *pending = &s->pending[i];
        pending->message.append_ns = now > 0 ? now : 0;
        mr_memory_partition_add(pending->topic, pending->partition, pending->message,
                                pending->memory);
    }
    for (size_t i = 0; s->job && i < count; i++) {
        apply_position(s->job, &positions[i]);
    }
    pthread_cond_broadcast(&s->log->grown);
}

static enum mr_commit commit_locked(struct memory_session *s, const struct mr_position *positions,
                                    size_t count, struct mr_error *err) {
    if (is_dead(s)) {
        say_dead(err);
        return MR_FENCED;
    }
    if (s->job && !mr_ring_has(&s->ring, s->input->topic.name, positions, count, err)) {
        drop_pending(s, false);
        mr_ring_reassign(&s->ring);
        return MR_FENCED;
    }
    bool fault = s->job && s->log->fault_set;
    bool applied = !fault || s->log->fault == MR_MEMORY_UNKNOWN_KEPT;
    if (applied) {
        apply(s, positions, count);
    }
    drop_pending(s, applied);
    if (!fault) {
        return MR_COMMITTED;
    }
    s->log->fault_set = false;
    mr_ring_reassign(&s->ring);
    mr_error_set(err, MR_FAIL, "the commit failed, as it was asked to");
    return s->log->fault == MR_MEMORY_ABORTED ? MR_ABORTED : MR_UNKNOWN;
}

enum mr_commit mr_memory_session_commit(struct mr_session *base,
                                        const struct mr_position *positions, size_t count,
                                        struct mr_error *err) {
    struct memory_session *s = (struct memory_session *)base;
    pthread_mutex_lock(&s->log->lock);
    enum mr_commit commit = commit_locked(s, positions, count, err);
    pthread_mutex_unlock(&s->log->lock);
    return commit;
}

void mr_memory_session_abort(struct mr_session *base) {
    struct memory_session *s = (struct memory_session *)base;
    drop_pending(s, false);
    mr_ring_reassign(&s->ring);
}

void mr_memory_session_close(struct mr_session *base) {
    struct memory_session *s = (struct memory_session *)base;
    drop_pending(s, false);
    pthread_mutex_lock(&s->log->lock);
    if (s->job && !is_dead(s)) {
        s->job->open[s->worker] = false;
        s->job->running--;
    }
    pthread_mutex_unlock(&s->log->lock);
    mr_ring_finish(&s->ring);
    free(s->pending);
    free(s->next);
    free(s);
}
