/* A worker's side, or a producer's.
 *
 *     poll     what the group says: LOST, REVOKED, ASSIGNED   (kafka_group.c)
 *              else one round over the started partitions:
 *                  a batch, borrowed from librdkafka's own queue of that partition
 *                  at its end, and its leader answers: END    (kafka_pulse.c)
 *              after a round without a batch: sleep on an eventfd that all queues write to
 *     append   into memory                                    (kafka_writer.c)
 *     commit   is everything still ours? one transaction
 *
 * Of two sessions with one id the newer wins: its start shuts out the producer of the other, whose
 * next commit is MR_FENCED.
 *
 * Ids: the group is the job's name; the writer INSTANCE-WORKER (WORKER alone for the only
 * instance); the transactional id JOB-WRITER. They are the same after a restart, which is what ends
 * the transaction of a process that died.
 *
 * A commit that the coordinator refuses only because the group has just got a new generation is
 * made again with it, as long as everything is still ours: otherwise every process that comes or
 * goes would cost all others a restore. */
#include "engine/log/kafka_session.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STALE_NS (10 * MR_SECOND)

struct kafka_session {
    struct mr_session base;
    struct mr_kafka_log *log;
    char *job, *id; /* NULL: a producer; the writer's */
    struct mr_kafka_group group;
    struct mr_kafka_writer writer;
    uint32_t quiet; /* turns in a row without a batch */
    bool hungry;    /* a queue was empty, and not for being at its end */
};

/* ---- Polling --------------------------------------------------------------------------------- */

static enum mr_status say_gone(struct kafka_session *s, const struct mr_kafka_seat *seat,
                               const struct mr_partition *source, rd_kafka_resp_err_t code,
                               struct mr_error *err) {
    int64_t first, end;
    struct mr_error reason;
    if ((code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
         code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) &&
        mr_kafka_bounds(&s->log->base, source, &first, &end, NULL) == MR_OK &&
        mr_topic_reaches(source, seat->next, first, end, &reason) != MR_OK) {
        return mr_error_set(err, MR_FAIL, "%s", reason.text);
    }
    return MR_FAIL;
}

static enum mr_status take_turn(struct kafka_session *s, uint32_t partition, struct mr_event *event,
                                struct mr_error *err) {
    struct mr_kafka_group *group = &s->group;
    struct mr_kafka_seat *seat = &group->seats[partition];
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    struct mr_partition source = mr_partition_at(group->input, partition);
    struct mr_batch batch = {.source = source};
    int64_t end;
    switch (
        mr_kafka_batch_fill(&seat->batch, seat->queue, 0, &seat->next, &batch, &end, &code, err)) {
    case MR_KAFKA_FAILED:
        if (mr_kafka_judge(code) != MR_KAFKA_WAIT) {
            return say_gone(s, seat, &source, code, err);
        }
        break;
    case MR_KAFKA_MESSAGES:
        seat->at_end = false;
        s->quiet = 0;
        *event = (struct mr_event){.kind = MR_EVENT_BATCH, .source = source, .batch = batch};
        return MR_OK;
    case MR_KAFKA_END:
        seat->at_end = true;
        seat->next = end > seat->next ? end : seat->next;
        break;
    case MR_KAFKA_NOTHING:
        break;
    }
    s->quiet++;
    if (!seat->at_end) {
        s->hungry |= mr_kafka_pulse_poke(&group->pulse, group->member, partition);
    } else if (mr_kafka_pulse_beats(&group->pulse, partition)) {
        *event = (struct mr_event){
            .kind = MR_EVENT_END, .source = source, .offset = seat->next, .anew = seat->unseen};
        seat->unseen = false;
    } else {
        seat->unseen = true;
    }
    return MR_OK;
}

/* The next started partition; there is one. */
static uint32_t next_turn(struct mr_kafka_group *group) {
    do {
        group->turn = (group->turn + 1) % group->count;
    } while (group->seats[group->turn].state != MR_KAFKA_STARTED);
    return group->turn;
}

/* The rest of this round. */
static enum mr_status take_turns(struct kafka_session *s, struct mr_event *event,
                                 struct mr_error *err) {
    enum mr_status status = MR_OK;
    while (s->quiet < s->group.started && status == MR_OK && event->kind == MR_EVENT_NONE) {
        status = take_turn(s, next_turn(&s->group), event, err);
    }
    return status;
}

static void sleep_until(struct kafka_session *s, int64_t until_ns) {
    int64_t left_ms = (until_ns - mr_kafka_now_ns() + 999999) / 1000000;
    uint64_t count;
    if (s->group.untold > 0 && left_ms > MR_KAFKA_SLICE_MS) {
        left_ms = MR_KAFKA_SLICE_MS;
    }
    if (s->hungry && left_ms > MR_KAFKA_POKE_MS) {
        left_ms = MR_KAFKA_POKE_MS;
    }
    struct pollfd wake = {.fd = s->group.wake, .events = POLLIN};
    if (left_ms > 0 && poll(&wake, 1, left_ms > 60000 ? 60000 : (int)left_ms) > 0) {
        ssize_t got = read(s->group.wake, &count, sizeof count);
        (void)got; /* not blocking: nothing to read is as good */
    }
    s->quiet = 0;
    s->hungry = false;
}

/* After an outcome that took the client away. */
static enum mr_status mend_writer(struct kafka_session *s, struct mr_error *err) {
    return s->writer.ready && !s->writer.rival
               ? MR_OK
               : mr_kafka_writer_ready(&s->writer, MR_KAFKA_SLICE_MS, err);
}

enum mr_status mr_kafka_session_poll(struct mr_session *base, int64_t timeout_ns,
                                     struct mr_event *event, struct mr_error *err) {
    struct kafka_session *s = (struct kafka_session *)base;
    int64_t until_ns = mr_kafka_now_ns() + timeout_ns;
    if (!s->job) {
        return MR_OK;
    }
    for (;;) {
        enum mr_status status = mend_writer(s, err);
        if (status == MR_OK) {
            status = mr_kafka_group_serve(&s->group, s->writer.ready, event, err);
        }
        if (status == MR_OK && event->kind == MR_EVENT_NONE) {
            status = take_turns(s, event, err);
        }
        if (status != MR_OK || event->kind != MR_EVENT_NONE) {
            return status;
        }
        bool late = mr_kafka_now_ns() >= until_ns;
        mr_kafka_group_watch(&s->group);
        sleep_until(s, until_ns);
        if (late) {
            return MR_OK;
        }
    }
}

enum mr_status mr_kafka_session_start(struct mr_session *base, const struct mr_partition *source,
                                      int64_t offset, struct mr_error *err) {
    struct kafka_session *s = (struct kafka_session *)base;
    int64_t first, end;
    if (!s->job || !mr_kafka_group_told(&s->group, source)) {
        return mr_error_set(err, MR_FAIL, "topic \"%s\", partition %u was not assigned",
                            source->topic, (unsigned)source->partition);
    }
    enum mr_status status = mr_kafka_bounds(&s->log->base, source, &first, &end, err);
    if (status == MR_OK) {
        offset = offset < 0 ? first : offset;
        status = mr_topic_reaches(source, offset, first, end, err);
    }
    if (status == MR_OK) {
        status = mr_kafka_group_start(&s->group, source, offset, err);
    }
    s->quiet = 0;
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

enum mr_status mr_kafka_session_append(struct mr_session *base, const struct mr_append *record,
                                       struct mr_error *err) {
    struct kafka_session *s = (struct kafka_session *)base;
    enum mr_status status = mr_kafka_writer_append(&s->writer, record, err);
    if (status == MR_OK) {
        base->pending_bytes += record->key.length + record->value.length;
    }
    return status;
}

static rd_kafka_topic_partition_list_t *
list_positions(const struct kafka_session *s, const struct mr_position *positions, size_t count) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        const struct mr_position *position = &positions[i];
        struct mr_buffer metadata = {0};
        mr_buffer_format(&metadata, "%s %.*s", s->id, (int)position->note.length,
                         position->note.length ? position->note.data : "");
        rd_kafka_topic_partition_t *to = rd_kafka_topic_partition_list_add(
            list, position->source.topic, (int32_t)position->source.partition);
        to->offset = position->offset;
        to->metadata = metadata.data; /* freed with the list */
        to->metadata_size = metadata.length;
    }
    return list;
}

static enum mr_commit say_lost(const struct kafka_session *s, struct mr_error *err) {
    mr_error_set(err, MR_FAIL, "job %s: its partitions went to another member of the group",
                 s->job);
    return MR_FENCED;
}

static enum mr_commit transact(struct kafka_session *s, const struct mr_position *positions,
                               size_t count, bool *stale, struct mr_error *err) {
    rd_kafka_consumer_group_metadata_t *pass = NULL;
    *stale = false;
    if (count > 0) {
        if (!mr_kafka_group_owns(&s->group, positions, count) ||
            !(pass = mr_kafka_group_pass(&s->group))) {
            return say_lost(s, err);
        }
    }
    rd_kafka_topic_partition_list_t *list = list_positions(s, positions, count);
    enum mr_commit outcome = mr_kafka_transact(&s->writer, list, pass, stale, err);
    rd_kafka_topic_partition_list_destroy(list);
    if (pass) {
        rd_kafka_consumer_group_metadata_destroy(pass);
    }
    return outcome;
}

static enum mr_commit transact_until_fresh(struct kafka_session *s,
                                           const struct mr_position *positions, size_t count,
                                           struct mr_error *err) {
    int64_t until_ns = mr_kafka_now_ns() + STALE_NS;
    for (;;) {
        bool stale;
        enum mr_commit outcome = transact(s, positions, count, &stale, err);
        if (!stale || mr_kafka_now_ns() > until_ns) {
            return outcome;
        }
        sleep_until(s, mr_kafka_now_ns() + MR_KAFKA_SLICE_MS * (MR_SECOND / 1000));
        mr_kafka_group_hear(&s->group);
    }
}

static void drop(struct kafka_session *s) {
    mr_kafka_writer_drop(&s->writer);
    s->base.pending_bytes = 0;
}

enum mr_commit mr_kafka_session_commit(struct mr_session *base, const struct mr_position *positions,
                                       size_t count, struct mr_error *err) {
    struct kafka_session *s = (struct kafka_session *)base;
    enum mr_commit outcome = MR_COMMITTED;
    if (count > 0 || s->writer.pending_count > 0) {
        outcome = s->job ? transact_until_fresh(s, positions, count, err)
                         : mr_kafka_deliver(&s->writer, err);
    }
    drop(s);
    if (outcome != MR_COMMITTED && s->job) {
        mr_kafka_group_reassign(&s->group);
    }
    return outcome;
}

void mr_kafka_session_abort(struct mr_session *base) {
    struct kafka_session *s = (struct kafka_session *)base;
    drop(s);
    if (s->job) {
        mr_kafka_group_reassign(&s->group);
    }
}

/* ---- Coming and going ------------------------------------------------------------------------ */

static enum mr_status open_group(struct kafka_session *s, const struct mr_session_options *options,
                                 struct mr_error *err) {
    struct mr_topic input;
    struct mr_kafka_wait wait = {0};
    enum mr_status status = mr_kafka_describe(&s->log->base, options->input, &input, err);
    if (status != MR_OK) {
        return status;
    }
    s->group.count = input.partitions;
    s->group.seats = mr_allocate_array(input.partitions, struct mr_kafka_seat);
    snprintf(s->group.input, sizeof s->group.input, "%s", options->input);
    status = mr_kafka_pulse_init(&s->group.pulse, s->log, options->input, input.partitions, err);
    /* The producer first: its start ends what this worker left behind before. */
    while (status == MR_OK && !s->writer.ready) {
        status = mr_kafka_writer_ready(&s->writer, 10 * MR_KAFKA_SLICE_MS, err);
        if (status == MR_OK && !s->writer.ready &&
            !mr_kafka_wait(s->log, &wait, "starting a transactional producer", "no answer", err)) {
            status = MR_FAIL;
        }
    }
    return status == MR_OK ? mr_kafka_group_join(&s->group, err) : status;
}

static char *make_text(const char *a, const char *b, const char *c) {
    struct mr_buffer text = {0};
    mr_buffer_format(&text, "%s%s%s", a, b, c);
    return text.data;
}

static enum mr_status check_instance(const char *instance, struct mr_error *err) {
    if (instance && strlen(instance) > MR_KAFKA_WRITER_MAX - 16) {
        return mr_error_set(err, MR_REJECT, "the id of this instance is too long: \"%.60s...\"",
                            instance);
    }
    return instance ? mr_name_check(instance, err) : MR_OK;
}

enum mr_status mr_kafka_session_open(struct mr_log *base, const struct mr_session_options *options,
                                     struct mr_session **out, struct mr_error *err) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    char worker[16];
    enum mr_status status = check_instance(options->instance, err);
    if (status != MR_OK) {
        return status;
    }
    struct kafka_session *s = mr_allocate(sizeof *s);
    s->base.type = log->base.type;
    s->log = log;
    snprintf(worker, sizeof worker, "%u", (unsigned)options->worker);
    if (options->job) {
        s->job = mr_copy_text(options->job);
        s->id = make_text(options->instance ? options->instance : "", options->instance ? "-" : "",
                          worker);
    }
    char *id = s->job ? make_text(s->job, "-", s->id) : NULL;
    status = mr_kafka_writer_init(&s->writer, log, id, err);
    s->group = (struct mr_kafka_group){.log = log, .job = s->job, .writer = s->id, .wake = -1};
    if (s->job && status == MR_OK) {
        s->group.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        status = open_group(s, options, err);
    }
    if (status != MR_OK) {
        mr_kafka_session_close(&s->base);
        return status;
    }
    *out = &s->base;
    return MR_OK;
}

/* The member goes before the writer: so the partitions move at once. */
void mr_kafka_session_close(struct mr_session *base) {
    struct kafka_session *s = (struct kafka_session *)base;
    if (s->job) {
        mr_kafka_group_leave(&s->group);
        if (s->group.wake >= 0) {
            close(s->group.wake);
        }
    }
    mr_kafka_writer_finish(&s->writer);
    free(s->job);
    free(s->id);
    free(s);
}
