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
    struct mr_memory_member member;
    struct mr_memory_topic *input;
    uint64_t life; /* of the log when the session was opened */
    int64_t *next; /* by partition: the offset to read next  */
    struct pending *pending;
    size_t pending_count, pending_capacity;
};

enum mr_status mr_memory_session_open(struct mr_log *base, const struct mr_session_options *options,
                                      struct mr_session **out, struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    struct memory_session *s = mr_allocate(sizeof *s);
    enum mr_status status = MR_OK;
    pthread_mutex_lock(&log->lock);
    s->log = log;
    s->life = log->life;
    if (options->job) {
        s->input = mr_memory_topic_find(log, options->input);
        s->next = mr_allocate_array(s->input->topic.partitions, int64_t);
        status = mr_memory_member_join(&s->member, mr_memory_job_find(log, options->job), options,
                                       s->input->topic.partitions, err);
    }
    pthread_mutex_unlock(&log->lock);
    if (status != MR_OK) {
        free(s->next);
        free(s);
        return status;
    }
    *out = &s->base;
    return MR_OK;
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
    for (size_t i = 0; i < s->member.ring.count; i++) {
        const struct mr_seat *seat = &s->member.ring.seats[i];
        if (seat->state == MR_SEAT_STARTED && s->next[seat->partition] < end_of(s, seat)) {
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

static void tell_position(const struct memory_session *s, struct mr_event *event) {
    struct mr_memory_position *position;
    char key[sizeof position->source];
    source_key(&event->source, key, sizeof key);
    HASH_FIND_STR(s->member.job->positions, key, position);
    if (position) {
        event->offset = position->offset;
        event->note = (struct mr_slice){position->note, position->note_length};
    }
}

static struct mr_seat *take_turn(struct memory_session *s) {
    struct mr_seat *asked =
        s->log->next < 0 ? NULL : mr_ring_find(&s->member.ring, (uint32_t)s->log->next);
    if (asked && asked->state == MR_SEAT_STARTED) {
        s->member.ring.turn = (size_t)(asked - s->member.ring.seats);
        s->log->next = -1;
    }
    return mr_ring_next(&s->member.ring);
}

static enum mr_status tell_turn(struct memory_session *s, struct mr_event *event,
                                struct mr_error *err) {
    struct mr_seat *seat = take_turn(s);
    int64_t *next = &s->next[seat->partition];
    *event = (struct mr_event){.source = mr_partition_at(s->input->topic.name, seat->partition)};
    enum mr_status status =
        mr_memory_partition_batch(s->log, s->input, seat->partition, next, &event->batch, err);
    if (status != MR_OK) {
        return status;
    }
    if (event->batch.count == 0) {
        event->kind = MR_EVENT_END;
        event->offset = *next;
        s->member.ring.quiet++;
    } else {
        event->kind = MR_EVENT_BATCH;
        s->member.ring.quiet = 0;
    }
    return MR_OK;
}

/* Whether there is something to tell of the partitions themselves. */
static bool tell_member(struct memory_session *s, struct mr_event *event) {
    uint32_t partition;
    if (!s->member.job || is_dead(s)) {
        return false;
    }
    enum mr_event_kind kind = mr_memory_member_poll(&s->member, &partition);
    if (kind == MR_EVENT_NONE) {
        return false;
    }
    *event = (struct mr_event){.kind = kind, .offset = -1};
    event->source = mr_partition_at(s->input->topic.name, partition);
    if (kind == MR_EVENT_ASSIGNED) {
        tell_position(s, event);
    }
    return true;
}

static enum mr_status poll_locked(struct memory_session *s, int64_t timeout_ns,
                                  struct mr_event *event, struct mr_error *err) {
    if (tell_member(s, event)) {
        return MR_OK;
    }
    if (!is_dead(s) && mr_ring_is_quiet(&s->member.ring)) {
        wait_for_new(s, timeout_ns);
        s->member.ring.quiet = 0;
    }
    if (is_dead(s)) {
        return say_dead(err);
    }
    return s->member.ring.started > 0 ? tell_turn(s, event, err) : MR_OK;
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
    struct mr_seat *seat = s->member.job && strcmp(source->topic, s->input->topic.name) == 0
                               ? mr_ring_find(&s->member.ring, source->partition)
                               : NULL;
    if (!seat || seat->state == MR_SEAT_NEW) {
        return mr_error_set(err, MR_FAIL, "topic \"%s\", partition %u was not assigned",
                            source->topic, (unsigned)source->partition);
    }
    int64_t first = s->input->partitions[seat->partition].first;
    int64_t from = offset < 0 ? first : offset;
    enum mr_status status = mr_topic_reaches(source, from, first, end_of(s, seat), err);
    if (status == MR_OK) {
        s->next[seat->partition] = from;
        mr_ring_start(&s->member.ring, seat);
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
    return mr_topic_admits(&(*topic)->topic, s->member.job ? s->member.job->name : "", record, err);
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

/* Marks of a transaction's end, and what an aborted one had written: offsets that nobody reads. */
static void leave_gaps(const struct memory_session *s, bool aborted) {
    for (size_t i = 0; s->log->gaps && i < s->pending_count; i++) {
        struct mr_memory_partition *to = &s->pending[i].topic->partitions[s->pending[i].partition];
        to->end += (aborted ? 1 : 0) + (to->written ? 0 : 1);
        to->written = true;
    }
    for (size_t i = 0; i < s->pending_count; i++) {
        s->pending[i].topic->partitions[s->pending[i].partition].written = false;
    }
}

static void apply(struct memory_session *s, const struct mr_position *positions, size_t count) {
    int64_t now = s->log->base.clock->wall_ns(s->log->base.clock);
    for (size_t i = 0; i < s->pending_count; i++) {
        struct pending *pending = &s->pending[i];
        pending->message.append_ns = now > 0 ? now : 0;
        mr_memory_partition_add(s->log, pending->topic, pending->partition, pending->message,
                                pending->memory);
    }
    for (size_t i = 0; s->member.job && i < count; i++) {
        apply_position(s->member.job, &positions[i]);
    }
    pthread_cond_broadcast(&s->log->grown);
}

/* Of what is not applied. */
static enum mr_commit refuse(struct memory_session *s, enum mr_commit outcome) {
    leave_gaps(s, true);
    drop_pending(s, false);
    mr_ring_reassign(&s->member.ring);
    return outcome;
}

static enum mr_commit commit_locked(struct memory_session *s, const struct mr_position *positions,
                                    size_t count, struct mr_error *err) {
    bool fault = s->member.job && s->log->fault_set;
    if (is_dead(s)) {
        say_dead(err);
        return refuse(s, MR_FENCED);
    }
    if (s->member.job &&
        !mr_memory_member_has(&s->member, s->input->topic.name, positions, count, err)) {
        return refuse(s, MR_FENCED);
    }
    if (fault) {
        s->log->fault_set = false;
        mr_error_set(err, MR_FAIL, "the commit failed, as it was asked to");
    }
    if (fault && s->log->fault != MR_MEMORY_UNKNOWN_KEPT) {
        return refuse(s, s->log->fault == MR_MEMORY_ABORTED ? MR_ABORTED : MR_UNKNOWN);
    }
    apply(s, positions, count);
    leave_gaps(s, false);
    drop_pending(s, true);
    if (fault) {
        mr_ring_reassign(&s->member.ring);
    }
    return fault ? MR_UNKNOWN : MR_COMMITTED;
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
    mr_ring_reassign(&s->member.ring);
}

void mr_memory_session_close(struct mr_session *base) {
    struct memory_session *s = (struct memory_session *)base;
    drop_pending(s, false);
    pthread_mutex_lock(&s->log->lock);
    if (s->member.job && !is_dead(s)) {
        mr_memory_member_leave(&s->member);
    }
    pthread_mutex_unlock(&s->log->lock);
    mr_memory_member_finish(&s->member);
    free(s->pending);
    free(s->next);
    free(s);
}
