/* Which offsets are committed, and whoever keeps us from knowing.
 *
 * An answer counts only if it is stable: no transaction is open that may still commit another one.
 * One question for all partitions is under way at a time, and nobody waits for it: its answer comes
 * into a queue that wakes the session. While the broker is away there is no answer, and no harm.
 *
 * A worker that dies inside a commit leaves a transaction open, until the coordinator gives it up,
 * after 30 s or more. The metadata of the offset that is committed, whatever is pending over it,
 * says who wrote it, and most likely that is who left the transaction:
 *
 *     "e3a1-0 T=1700000000..."        instance and worker, a space, the engine's note
 *
 * So when an offset stays unstable, a transactional producer is started with that writer's id: this
 * makes the coordinator abort the transaction at once, and shuts the writer out should it only be
 * paused. Nothing is lost by it: the partition is no longer the writer's, so its commit would have
 * been refused. A writer that had never committed this partition is not found so: then the
 * coordinator's time-out decides. */
#include "engine/log/kafka_session.h"

#include <stdlib.h>

#define PAUSE_NS    (20 * (MR_SECOND / 1000)) /* between two questions      */
#define ANSWER_MS   10000                     /* a question without answer: another one */
#define UNSTABLE_NS (MR_SECOND / 2)           /* longer than any commit in passing      */
#define AGAIN_NS    (30 * MR_SECOND)          /* the same writer is not shut out more often */

static const char doing[] = "reading the job's committed offsets";

bool mr_kafka_note_split(struct mr_slice metadata, struct mr_slice *writer, struct mr_slice *note) {
    const char *space = metadata.length ? memchr(metadata.data, ' ', metadata.length) : NULL;
    if (!space || space == metadata.data || space - metadata.data > MR_KAFKA_WRITER_MAX) {
        return false;
    }
    size_t length = (size_t)(space - metadata.data);
    *writer = (struct mr_slice){metadata.data, length};
    *note = (struct mr_slice){space + 1, metadata.length - length - 1};
    return true;
}

static bool waits(const struct mr_kafka_seat *seat) {
    return seat->state == MR_KAFKA_OWNED && !seat->revoked && !seat->lost;
}

/* ---- The question ---------------------------------------------------------------------------- */

static void send_question(struct mr_kafka_group *group, rd_kafka_topic_partition_list_t *list,
                          bool unstable) {
    static const uint64_t one = 1;
    struct mr_kafka_question *question = &group->question;
    rd_kafka_ListConsumerGroupOffsets_t *request =
        rd_kafka_ListConsumerGroupOffsets_new(group->job, list);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(group->member, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_MS, NULL, 0);
    rd_kafka_error_t *error =
        rd_kafka_AdminOptions_set_require_stable_offsets(options, unstable ? 0 : 1);
    if (error) {
        rd_kafka_error_destroy(error); /* it is only refused for other requests */
    }
    question->answers = rd_kafka_queue_new(group->member);
    question->unstable = unstable;
    rd_kafka_queue_io_event_enable(question->answers, group->wake, &one, sizeof one);
    rd_kafka_ListConsumerGroupOffsets(group->member, &request, 1, options, question->answers);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
}

void mr_kafka_offsets_forget(struct mr_kafka_group *group) {
    if (group->question.answers) {
        rd_kafka_queue_io_event_enable(group->question.answers, -1, NULL, 0);
        rd_kafka_queue_destroy(group->question.answers);
        group->question.answers = NULL;
    }
    group->question.next_ns = 0;
}

static void ask_for_all(struct mr_kafka_group *group) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    for (uint32_t p = 0; p < group->count; p++) {
        if (waits(&group->seats[p])) {
            rd_kafka_topic_partition_list_add(list, group->input, (int32_t)p);
        }
    }
    if (list->cnt > 0) {
        send_question(group, list, false);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- Whoever is in the way ------------------------------------------------------------------- */

static void begin_fence(struct mr_kafka_group *group, struct mr_slice writer) {
    rd_kafka_conf_t *conf;
    char id[2 * MR_TOPIC_NAME_MAX + 64];
    int64_t now_ns = mr_kafka_now_ns();
    bool again =
        mr_slice_equal(writer, mr_slice_of(group->fenced)) && now_ns - group->fenced_ns < AGAIN_NS;
    if (again || mr_slice_equal(writer, mr_slice_of(group->writer)) ||
        mr_kafka_conf(group->log, MR_KAFKA_TRANSACTION, &conf, NULL) != MR_OK) {
        return;
    }
    snprintf(group->fenced, sizeof group->fenced, "%.*s", (int)writer.length, writer.data);
    snprintf(id, sizeof id, "%s-%s", group->job, group->fenced);
    group->fenced_ns = now_ns;
    rd_kafka_conf_set(conf, "transactional.id", id, NULL, 0);
    mr_warn(
        "job %s: worker \"%s\" left a transaction open, which holds back its partitions: ending "
        "it",
        group->job, group->fenced);
    mr_kafka_client(group->log, MR_KAFKA_TRANSACTION, conf, &group->fencer, NULL);
}

/* A slice at a time: init_transactions goes on where it stood. */
static void go_on_fencing(struct mr_kafka_group *group) {
    rd_kafka_error_t *error = rd_kafka_init_transactions(group->fencer, MR_KAFKA_SLICE_MS);
    bool unfinished = error && rd_kafka_error_is_retriable(error);
    if (error) {
        rd_kafka_error_destroy(error);
    }
    if (!unfinished) {
        rd_kafka_destroy(group->fencer);
        group->fencer = NULL;
    }
}

/* A partition that stays unstable: asks who wrote its offset. */
static bool ask_for_writer(struct mr_kafka_group *group) {
    int64_t now_ns = mr_kafka_now_ns();
    for (uint32_t p = 0; p < group->count; p++) {
        struct mr_kafka_seat *seat = &group->seats[p];
        if (waits(seat) && seat->unstable_ns && now_ns - seat->unstable_ns > UNSTABLE_NS) {
            rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
            rd_kafka_topic_partition_list_add(list, group->input, (int32_t)p);
            mr_kafka_wait_tell(group->log, &group->asking, doing,
                               "a transaction is open over them");
            send_question(group, list, true);
            rd_kafka_topic_partition_list_destroy(list);
            seat->unstable_ns = now_ns;
            return true;
        }
    }
    return false;
}

/* ---- The answer ------------------------------------------------------------------------------ */

static void take_committed(struct mr_kafka_group *group, struct mr_kafka_seat *seat,
                           const rd_kafka_topic_partition_t *answer) {
    struct mr_slice metadata = {answer->metadata, answer->metadata_size}, writer, note;
    if (!mr_kafka_note_split(metadata, &writer, &note)) {
        note = (struct mr_slice){"", 0}; /* somebody set the offset by hand */
    }
    free(seat->note);
    seat->note = mr_allocate(note.length + 1);
    memcpy(seat->note, note.data, note.length);
    seat->committed = answer->offset < 0 ? -1 : answer->offset;
    mr_kafka_seat_set(group, seat, MR_KAFKA_KNOWN);
    seat->unstable_ns = 0;
}

static enum mr_status take_failure(struct mr_kafka_group *group, rd_kafka_resp_err_t code,
                                   const char *reason, struct mr_error *err) {
    if (mr_kafka_judge(code) == MR_KAFKA_REFUSE) {
        return mr_kafka_fail(group->log, doing, code, reason, err);
    }
    mr_kafka_wait_tell(group->log, &group->asking, doing, reason);
    return MR_OK;
}

static enum mr_status take_partition(struct mr_kafka_group *group,
                                     const rd_kafka_topic_partition_t *answer,
                                     struct mr_error *err) {
    struct mr_kafka_seat *seat = &group->seats[answer->partition];
    struct mr_slice writer, note;
    if (group->question.unstable) {
        struct mr_slice metadata = {answer->metadata, answer->metadata_size};
        if (!answer->err && mr_kafka_note_split(metadata, &writer, &note)) {
            begin_fence(group, writer);
        }
        return MR_OK;
    }
    if (answer->err == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT) {
        seat->unstable_ns = seat->unstable_ns ? seat->unstable_ns : mr_kafka_now_ns();
        return MR_OK;
    }
    if (answer->err) {
        return take_failure(group, answer->err, rd_kafka_err2str(answer->err), err);
    }
    if (waits(seat)) {
        take_committed(group, seat, answer);
        mr_kafka_wait_over(group->log, &group->asking);
    }
    return MR_OK;
}

static enum mr_status take_answer(struct mr_kafka_group *group, rd_kafka_event_t *event,
                                  struct mr_error *err) {
    size_t count = 0;
    const rd_kafka_ListConsumerGroupOffsets_result_t *result =
        rd_kafka_event_ListConsumerGroupOffsets_result(event);
    const rd_kafka_group_result_t **groups =
        result ? rd_kafka_ListConsumerGroupOffsets_result_groups(result, &count) : NULL;
    const rd_kafka_error_t *error = count > 0 ? rd_kafka_group_result_error(groups[0]) : NULL;
    if (rd_kafka_event_error(event)) {
        return take_failure(group, rd_kafka_event_error(event), rd_kafka_event_error_string(event),
                            err);
    }
    if (error) {
        return take_failure(group, rd_kafka_error_code(error), rd_kafka_error_string(error), err);
    }
    const rd_kafka_topic_partition_list_t *list =
        count > 0 ? rd_kafka_group_result_partitions(groups[0]) : NULL;
    enum mr_status status = MR_OK;
    for (int i = 0; list && i < list->cnt && status == MR_OK; i++) {
        if ((uint32_t)list->elems[i].partition < group->count) {
            status = take_partition(group, &list->elems[i], err);
        }
    }
    return status;
}

enum mr_status mr_kafka_offsets_ask(struct mr_kafka_group *group, struct mr_error *err) {
    struct mr_kafka_question *question = &group->question;
    enum mr_status status = MR_OK;
    if (group->fencer) {
        go_on_fencing(group);
    }
    if (question->answers) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(question->answers, 0);
        if (!event) {
            return MR_OK;
        }
        status = take_answer(group, event, err);
        rd_kafka_event_destroy(event);
        mr_kafka_offsets_forget(group);
        question->next_ns = mr_kafka_now_ns() + PAUSE_NS;
    } else if (mr_kafka_now_ns() >= question->next_ns && !ask_for_writer(group)) {
        ask_for_all(group);
    }
    return status;
}
