/* Who owns what: the group that shares out the partitions of the input.
 *
 *              callback            committed offset            told              start
 *     FREE ------------> OWNED ----------------------> KNOWN -------> TOLD -------------> STARTED
 *                          ^     stable: no open                                             |
 *                          |     transaction over it                                         |
 *                          +---------------------- abort, failed commit ---------------------+
 *
 * The callback of librdkafka only records what it is told, and answers at once with an empty
 * assignment: so the group knows that we have heard, and nothing is fetched. A partition is
 * fetched from `start` on, at the exact offset, into a queue of its own: no pause, no seek, and
 * nothing that was fetched for an owner before. Proved on librdkafka 2.0.2: the group reports
 * the partitions as ours although the client was assigned nothing, and incremental_assign outside
 * the callback adds to it at any time.
 *
 * Giving back (cooperative): the callback leaves the revocation open; each partition is told
 * REVOKED, the worker commits, and the poll after the last one completes it with
 * incremental_unassign of those that were fetched. Until then they are ours, and the group waits.
 * Lost partitions (the session timed out) go the same way, told LOST, but may not be committed.
 *
 * Whose commit counts is decided by the coordinator alone: a transaction shows the member and the
 * generation, fetched at that moment. It does not look at partitions, and it accepts everything
 * from who shows no generation; so both are checked here first. */
#include "engine/log/kafka_session.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

#define CLOSE_NS (5 * MR_SECOND) /* leaving the group; less when somebody waits for it */
#define STOP_NS  (2 * MR_SECOND)
#define JOIN_NS  (5 * MR_SECOND) /* joining it; brokers let a new group wait for 3 s */

static rd_kafka_topic_partition_list_t *new_list(void) {
    return rd_kafka_topic_partition_list_new(4);
}

static rd_kafka_topic_partition_t *add(const struct mr_kafka_group *group,
                                       rd_kafka_topic_partition_list_t *list, uint32_t partition) {
    return rd_kafka_topic_partition_list_add(list, group->input, (int32_t)partition);
}

/* ---- What librdkafka is told ----------------------------------------------------------------- */

/* Takes the error; keeps the first one for the next poll. */
static bool worked(struct mr_kafka_group *group, rd_kafka_error_t *error) {
    if (!error) {
        return true;
    }
    if (group->failed == MR_OK) {
        group->failed = mr_kafka_fail(group->log, "sharing out the partitions of the input",
                                      rd_kafka_error_code(error), rd_kafka_error_string(error),
                                      &group->failure);
    }
    rd_kafka_error_destroy(error);
    return false;
}

void mr_kafka_seat_set(struct mr_kafka_group *group, struct mr_kafka_seat *seat,
                       enum mr_kafka_seat_state state) {
    group->started += state == MR_KAFKA_STARTED;
    group->started -= seat->state == MR_KAFKA_STARTED;
    group->untold += state == MR_KAFKA_OWNED || state == MR_KAFKA_KNOWN;
    group->untold -= seat->state == MR_KAFKA_OWNED || seat->state == MR_KAFKA_KNOWN;
    seat->state = state;
}

/* Ends fetching of all (or of what is given back), which also answers an open revocation. */
static void unassign(struct mr_kafka_group *group, bool all) {
    rd_kafka_topic_partition_list_t *list = new_list();
    for (uint32_t p = 0; p < group->count; p++) {
        struct mr_kafka_seat *seat = &group->seats[p];
        if (seat->fetching && (all || seat->revoked || seat->lost)) {
            add(group, list, p);
            seat->fetching = false;
        }
    }
    if (group->giving || list->cnt > 0) {
        worked(group, rd_kafka_incremental_unassign(group->member, list));
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void give(struct mr_kafka_group *group) {
    unassign(group, false);
    for (uint32_t p = 0; p < group->count; p++) {
        struct mr_kafka_seat *seat = &group->seats[p];
        if (seat->revoked || seat->lost) {
            mr_kafka_seat_set(group, seat, MR_KAFKA_FREE);
            seat->revoked = seat->lost = false;
        }
    }
    group->giving = false;
}

/* ---- What the group says --------------------------------------------------------------------- */

static void take_new(struct mr_kafka_group *group, const rd_kafka_topic_partition_list_t *list) {
    mr_kafka_offsets_forget(group);
    for (int i = 0; i < list->cnt; i++) {
        uint32_t partition = (uint32_t)list->elems[i].partition;
        if (partition < group->count) {
            struct mr_kafka_seat *seat = &group->seats[partition];
            mr_kafka_seat_set(group, seat, MR_KAFKA_OWNED);
            seat->revoked = seat->lost = false;
            seat->unstable_ns = 0;
        } else if (group->failed == MR_OK) {
            group->failed = mr_error_set(
                &group->failure, MR_FAIL,
                "topic \"%s\" now has %" PRIu32 " partitions or more, the job's changelog %" PRIu32
                ": stop the job, delete its changelog, and run it with --reset",
                group->input, partition + 1, group->count);
        }
    }
}

static void take_back(struct mr_kafka_group *group, const rd_kafka_topic_partition_list_t *list) {
    bool lost = rd_kafka_assignment_lost(group->member);
    group->giving = true;
    if (lost) {
        group->inside = false;
        group->joined_ns = mr_kafka_now_ns();
    }
    for (int i = 0; i < list->cnt; i++) {
        uint32_t partition = (uint32_t)list->elems[i].partition;
        if (partition < group->count) {
            group->seats[partition].revoked = !lost;
            group->seats[partition].lost = lost;
        }
    }
}

static void on_rebalance(rd_kafka_t *member, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *list, void *arg) {
    struct mr_kafka_group *group = arg;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_topic_partition_list_t *none = new_list();
        group->assigned = group->inside = true;
        take_new(group, list);
        worked(group, rd_kafka_incremental_assign(member, none));
        rd_kafka_topic_partition_list_destroy(none);
        return;
    }
    take_back(group, list);
    if (group->closing) {
        give(group);
    }
}

/* Of a connection: it is the reason of a wait, and never an error by itself, since a broker that
 * restarts may sound like one that refuses us. */
static void on_trouble(rd_kafka_t *member, int code, const char *reason, void *arg) {
    struct mr_kafka_group *group = arg;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) { /* it follows the one that says why */
        snprintf(group->heard, sizeof group->heard, "%s", reason);
        mr_kafka_clean(group->log, group->heard);
    }
}

static void take_error(struct mr_kafka_group *group, const rd_kafka_message_t *message) {
    rd_kafka_resp_err_t code = message->err;
    const char *reason = rd_kafka_message_errstr(message);
    if (code == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) {
        mr_warn("job %s: nothing was polled for so long that the group took its partitions away: "
                "%s",
                group->job, reason);
    } else if (code == RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL && group->failed == MR_OK) {
        group->failed =
            mr_error_set(&group->failure, MR_FAIL,
                         "the consumer group \"%s\" on %s is used by something else than this job: "
                         "it shares out "
                         "partitions by another protocol. Stop that, or give the job another name",
                         group->job, group->log->brokers);
    } else if (code == RD_KAFKA_RESP_ERR__FATAL || mr_kafka_judge(code) == MR_KAFKA_REFUSE) {
        if (group->failed == MR_OK) {
            group->failed =
                mr_kafka_fail(group->log, "reading the input as a member of the job's group", code,
                              reason, &group->failure);
        }
    } else {
        on_trouble(group->member, (int)code, reason, group);
    }
}

void mr_kafka_group_hear(struct mr_kafka_group *group) {
    rd_kafka_message_t *message;
    while ((message = rd_kafka_consumer_poll(group->member, 0))) {
        if (message->err) {
            take_error(group, message);
        }
        rd_kafka_message_destroy(message);
    }
}

void mr_kafka_group_watch(struct mr_kafka_group *group) {
    char doing[MR_TOPIC_NAME_MAX + 64];
    const char *reason = group->heard[0] ? group->heard : "no answer";
    if (!group->inside) {
        if (group->reading.told_ns || mr_kafka_now_ns() - group->joined_ns > JOIN_NS) {
            mr_kafka_wait_tell(group->log, &group->reading, "joining the group of the job", reason);
        }
        return;
    }
    for (uint32_t p = 0; p < group->count; p++) {
        if (group->seats[p].state == MR_KAFKA_STARTED && !mr_kafka_pulse_beats(&group->pulse, p)) {
            snprintf(doing, sizeof doing, "reading topic \"%s\", partition %" PRIu32, group->input,
                     p);
            mr_kafka_wait_tell(group->log, &group->reading, doing, reason);
            return;
        }
    }
    mr_kafka_wait_over(group->log, &group->reading);
    group->heard[0] = '\0';
}

/* ---- What the worker is told ----------------------------------------------------------------- */

static bool tell(struct mr_kafka_group *group, uint32_t partition, enum mr_event_kind kind,
                 struct mr_event *event) {
    struct mr_kafka_seat *seat = &group->seats[partition];
    *event = (struct mr_event){.kind = kind, .source = mr_partition_at(group->input, partition)};
    if (kind == MR_EVENT_ASSIGNED) {
        event->offset = seat->committed;
        event->note = mr_slice_of(seat->note);
        mr_kafka_seat_set(group, seat, MR_KAFKA_TOLD);
    } else {
        mr_kafka_seat_set(group, seat,
                          MR_KAFKA_OWNED); /* until it is given, with what was told before */
    }
    return true;
}

/* What goes, before what comes. */
static bool tell_next(struct mr_kafka_group *group, bool assign, struct mr_event *event) {
    for (uint32_t p = 0; group->giving && p < group->count; p++) {
        const struct mr_kafka_seat *seat = &group->seats[p];
        if ((seat->lost || seat->revoked) && seat->state >= MR_KAFKA_TOLD) {
            return tell(group, p, seat->lost ? MR_EVENT_LOST : MR_EVENT_REVOKED, event);
        }
    }
    if (group->giving) {
        give(group);
    }
    for (uint32_t p = 0; assign && group->untold > 0 && p < group->count; p++) {
        if (group->seats[p].state == MR_KAFKA_KNOWN) {
            return tell(group, p, MR_EVENT_ASSIGNED, event);
        }
    }
    return false;
}

enum mr_status mr_kafka_group_serve(struct mr_kafka_group *group, bool assign,
                                    struct mr_event *event, struct mr_error *err) {
    enum mr_status status = MR_OK;
    mr_kafka_group_hear(group);
    if (group->failed != MR_OK) {
        return mr_error_set(err, group->failed, "%s", group->failure.text);
    }
    if (tell_next(group, assign, event)) {
        return MR_OK;
    }
    if (assign && (group->untold > 0 || group->fencer)) {
        status = mr_kafka_offsets_ask(group, err);
    }
    if (status == MR_OK) {
        tell_next(group, assign, event);
    }
    return status;
}

/* ---- What the worker asks for ---------------------------------------------------------------- */

static struct mr_kafka_seat *find(const struct mr_kafka_group *group,
                                  const struct mr_partition *source) {
    if (strcmp(source->topic, group->input) != 0 || source->partition >= group->count) {
        return NULL;
    }
    return &group->seats[source->partition];
}

bool mr_kafka_group_told(const struct mr_kafka_group *group, const struct mr_partition *source) {
    const struct mr_kafka_seat *seat = find(group, source);
    return seat && seat->state == MR_KAFKA_TOLD;
}

enum mr_status mr_kafka_group_start(struct mr_kafka_group *group, const struct mr_partition *source,
                                    int64_t offset, struct mr_error *err) {
    struct mr_kafka_seat *seat = find(group, source);
    if (seat->revoked || seat->lost) {
        return MR_OK; /* to be told so next */
    }
    if (!seat->queue) {
        static const uint64_t one = 1;
        seat->queue =
            rd_kafka_queue_get_partition(group->member, group->input, (int32_t)source->partition);
        rd_kafka_queue_io_event_enable(seat->queue, group->wake, &one, sizeof one);
    }
    rd_kafka_queue_forward(seat->queue, NULL);
    rd_kafka_topic_partition_list_t *list = new_list();
    add(group, list, source->partition)->offset = offset;
    bool well = worked(group, rd_kafka_incremental_assign(group->member, list));
    rd_kafka_topic_partition_list_destroy(list);
    if (!well) {
        return mr_error_set(err, group->failed, "%s", group->failure.text);
    }
    mr_kafka_batch_finish(&seat->batch);
    mr_kafka_batch_init(&seat->batch);
    seat->fetching = true;
    seat->next = offset;
    seat->at_end = false;
    mr_kafka_seat_set(group, seat, MR_KAFKA_STARTED);
    return MR_OK;
}

void mr_kafka_group_reassign(struct mr_kafka_group *group) {
    mr_kafka_offsets_forget(group);
    unassign(group, true);
    if (group->giving) {
        give(group); /* the unassignment answered the group: what it wants back is gone */
    }
    for (uint32_t p = 0; p < group->count; p++) {
        if (group->seats[p].state != MR_KAFKA_FREE) {
            mr_kafka_seat_set(group, &group->seats[p], MR_KAFKA_OWNED);
            group->seats[p].unstable_ns = 0;
        }
    }
}

bool mr_kafka_group_owns(const struct mr_kafka_group *group, const struct mr_position *positions,
                         size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct mr_kafka_seat *seat = find(group, &positions[i].source);
        bool told = seat && (seat->state >= MR_KAFKA_TOLD ||
                             (seat->state == MR_KAFKA_OWNED && seat->revoked));
        if (!told || seat->lost) {
            return false;
        }
    }
    return !rd_kafka_assignment_lost(group->member);
}

static bool same_bytes(const rd_kafka_consumer_group_metadata_t *a,
                       const rd_kafka_consumer_group_metadata_t *b) {
    void *bytes[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    rd_kafka_error_t *errors[2] = {rd_kafka_consumer_group_metadata_write(a, &bytes[0], &sizes[0]),
                                   rd_kafka_consumer_group_metadata_write(b, &bytes[1], &sizes[1])};
    bool same = !errors[0] && !errors[1] && sizes[0] == sizes[1] &&
                memcmp(bytes[0], bytes[1], sizes[0]) == 0;
    for (int i = 0; i < 2; i++) {
        rd_kafka_mem_free(NULL, bytes[i]);
        if (errors[i]) {
            rd_kafka_error_destroy(errors[i]);
        }
    }
    return same;
}

/* A live group accepts offsets from who shows no generation (-1): no fencing at all. There is no
 * way to ask for the generation, but one can compare. */
static bool has_no_generation(const struct mr_kafka_group *group,
                              const rd_kafka_consumer_group_metadata_t *pass, const char *id) {
    rd_kafka_consumer_group_metadata_t *none =
        rd_kafka_consumer_group_metadata_new_with_genid(group->job, -1, id, NULL);
    bool same = same_bytes(pass, none);
    rd_kafka_consumer_group_metadata_destroy(none);
    return same;
}

rd_kafka_consumer_group_metadata_t *mr_kafka_group_pass(const struct mr_kafka_group *group) {
    char *id = rd_kafka_memberid(group->member);
    rd_kafka_consumer_group_metadata_t *pass = rd_kafka_consumer_group_metadata(group->member);
    if (pass &&
        (!id || !*id || has_no_generation(group, pass, id) || has_no_generation(group, pass, ""))) {
        rd_kafka_consumer_group_metadata_destroy(pass);
        pass = NULL;
    }
    rd_kafka_mem_free(NULL, id);
    return pass;
}

/* ---- Coming and going ------------------------------------------------------------------------ */

enum mr_status mr_kafka_group_join(struct mr_kafka_group *group, struct mr_error *err) {
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf;
    enum mr_status status = mr_kafka_conf(group->log, MR_KAFKA_MEMBER, &conf, err);
    if (status != MR_OK) {
        return status;
    }
    rd_kafka_conf_set(conf, "group.id", group->job, NULL, 0);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_error_cb(conf, on_trouble);
    rd_kafka_conf_set_opaque(conf, group);
    mr_kafka_pulse_listen(&group->pulse, conf);
    status = mr_kafka_client(group->log, MR_KAFKA_MEMBER, conf, &group->member, err);
    if (status != MR_OK) {
        return status;
    }
    rd_kafka_poll_set_consumer(group->member);
    group->joined_ns = mr_kafka_now_ns();
    group->events = rd_kafka_queue_get_consumer(group->member);
    rd_kafka_queue_io_event_enable(group->events, group->wake, &one, sizeof one);
    rd_kafka_topic_partition_list_t *list = new_list();
    rd_kafka_topic_partition_list_add(list, group->input, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(group->member, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code ? mr_kafka_fail(group->log, "joining the job's group", code, rd_kafka_err2str(code),
                                err)
                : MR_OK;
}

/* librdkafka before 2.3 ends the process when it destroys a member that the group has accepted
 * but assigned nothing to: so waits for that. Whether the client can be destroyed. */
static bool await_assignment(struct mr_kafka_group *group, int64_t until_ns) {
    for (;;) {
        char *id = rd_kafka_memberid(group->member);
        bool accepted = id && *id;
        rd_kafka_mem_free(NULL, id);
        if (group->assigned || !accepted) {
            return true;
        }
        if (mr_kafka_now_ns() > until_ns) {
            return false;
        }
        mr_kafka_group_hear(group);
        poll(NULL, 0, MR_KAFKA_SLICE_MS / 10);
    }
}

/* Tells the group, so that the partitions move at once; not longer than it may take. */
static bool say_goodbye(struct mr_kafka_group *group, int64_t until_ns) {
    rd_kafka_queue_t *queue = rd_kafka_queue_new(group->member);
    group->closing = true;
    if (group->giving) {
        give(group);
    }
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(group->member, queue);
    bool closed = !error && rd_kafka_consumer_closed(group->member);
    while (!error && !closed && mr_kafka_now_ns() < until_ns) {
        rd_kafka_queue_poll_callback(queue, MR_KAFKA_SLICE_MS / 10);
        closed = rd_kafka_consumer_closed(group->member);
    }
    if (error) {
        rd_kafka_error_destroy(error);
    }
    rd_kafka_queue_destroy(queue);
    return closed;
}

static void close_member(struct mr_kafka_group *group) {
    bool hurry = group->log->stop && atomic_load(group->log->stop);
    int64_t until_ns = mr_kafka_now_ns() + (hurry ? STOP_NS : CLOSE_NS);
    bool destroyable = await_assignment(group, until_ns);
    bool closed = say_goodbye(group, until_ns);
    rd_kafka_queue_io_event_enable(group->events, -1, NULL, 0);
    rd_kafka_queue_destroy(group->events);
    if (destroyable) {
        rd_kafka_destroy_flags(group->member, closed ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
}

/* Borrowed messages, queues, handles and lists go before their client. */
void mr_kafka_group_leave(struct mr_kafka_group *group) {
    for (uint32_t p = 0; p < group->count; p++) {
        mr_kafka_batch_finish(&group->seats[p].batch);
        if (group->seats[p].queue) {
            rd_kafka_queue_io_event_enable(group->seats[p].queue, -1, NULL, 0);
            rd_kafka_queue_destroy(group->seats[p].queue);
        }
        free(group->seats[p].note);
    }
    mr_kafka_offsets_forget(group);
    if (group->fencer) {
        rd_kafka_destroy(group->fencer);
    }
    if (group->member) {
        close_member(group);
    }
    mr_kafka_pulse_finish(&group->pulse);
    free(group->seats);
}
