/* What the Kafka log changes in a cluster, and whether it may.
 *
 *     plain topic   LogAppendTime: `ahead` is judged by a time that no device can bend
 *     of a job      CreateTime: a row has the time of its window, at any distance from now
 *     changelog     the same, compacted, nothing deleted
 *
 * The owner of a topic is not kept: who may write is the business of ACLs.
 *
 * A reset forgets the positions first. When it dies between its steps the job has none, and must
 * be reset again before it starts (a changelog without positions is refused, not restored). The
 * changelog is made anew because Kafka does not delete records of a compacted topic. */
#include "engine/log/kafka.h"

#include <inttypes.h>
#include <stdlib.h>

#define APPEAR_TRIES  30 /* up to 5 s apart */
#define RECORD_MAX    "8388608"
#define CHANGE_MAX    "2097152"
#define NS_PER_MS     1000000
#define AFTER_MAX     "message.timestamp.after.max.ms"
#define PERMIT_WRITER "validate-0" /* no instance of a process is called so */

/* The outcome of the one topic that was asked for. */
static rd_kafka_resp_err_t topic_outcome(const rd_kafka_topic_result_t **results, size_t count,
                                         struct mr_kafka_attempt *attempt) {
    if (count != 1) {
        return RD_KAFKA_RESP_ERR_UNKNOWN;
    }
    const char *said = rd_kafka_topic_result_error_string(results[0]);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[0]);
    if (code && said) {
        snprintf(attempt->reason, sizeof attempt->reason, "%s", said);
    }
    return code;
}

/* ---- Create --------------------------------------------------------------------------------- */

struct wanted {
    const struct mr_topic *topic;
    bool existed;    /* answer: it was there already */
    bool old_broker; /* one that does not know AFTER_MAX (before 3.6) */
};

static void set_number(rd_kafka_NewTopic_t *made, const char *name, int64_t number) {
    char text[MR_TEXT_MAX];
    snprintf(text, sizeof text, "%" PRId64, number);
    rd_kafka_NewTopic_set_config(made, name, text);
}

static void set_settings(rd_kafka_NewTopic_t *made, const struct wanted *wanted) {
    const struct mr_topic *topic = wanted->topic;
    bool keyed = topic->kind == MR_KEEP_LAST_OF_KEY;
    rd_kafka_NewTopic_set_config(made, "cleanup.policy", keyed ? "compact" : "delete");
    rd_kafka_NewTopic_set_config(made, "max.message.bytes", keyed ? CHANGE_MAX : RECORD_MAX);
    rd_kafka_NewTopic_set_config(made, "message.timestamp.type",
                                 topic->job[0] ? "CreateTime" : "LogAppendTime");
    if (topic->job[0] && !wanted->old_broker) {
        set_number(made, AFTER_MAX, INT64_MAX);
    }
    if (!keyed) {
        set_number(made, "retention.ms",
                   topic->retention_ns < 0 ? -1 : topic->retention_ns / NS_PER_MS);
        set_number(made, "retention.bytes",
                   topic->retention_bytes < 0 ? -1 : topic->retention_bytes);
    }
}

static rd_kafka_resp_err_t ask_create(rd_kafka_t *client, const struct wanted *wanted,
                                      struct mr_kafka_attempt *attempt) {
    size_t count;
    struct mr_kafka_request request =
        mr_kafka_request_begin(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, attempt);
    rd_kafka_NewTopic_t *made =
        rd_kafka_NewTopic_new(wanted->topic->name, (int)wanted->topic->partitions, -1,
                              attempt->reason, sizeof attempt->reason);
    set_settings(made, wanted);
    rd_kafka_CreateTopics(client, &made, 1, request.options, request.queue);
    rd_kafka_NewTopic_destroy(made);
    rd_kafka_resp_err_t code = mr_kafka_request_wait(&request, attempt);
    if (!code) {
        const rd_kafka_CreateTopics_result_t *result =
            rd_kafka_event_CreateTopics_result(request.answer);
        const rd_kafka_topic_result_t **topics =
            rd_kafka_CreateTopics_result_topics(result, &count);
        code = topic_outcome(topics, count, attempt);
    }
    mr_kafka_request_end(&request);
    return code;
}

static rd_kafka_resp_err_t attempt_create(rd_kafka_t *client, void *arg,
                                          struct mr_kafka_attempt *attempt) {
    struct wanted *wanted = arg;
    rd_kafka_resp_err_t code = ask_create(client, wanted, attempt);
    if (code == RD_KAFKA_RESP_ERR_INVALID_CONFIG && !wanted->old_broker) {
        wanted->old_broker = true;
        code = ask_create(client, wanted, attempt);
    }
    /* It was made meanwhile, perhaps by an attempt before whose answer did not come. */
    wanted->existed = code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
    return wanted->existed ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
}

/* Creates it, and waits until it is to be seen. */
static enum mr_status make_topic(struct mr_kafka_log *log, rd_kafka_t *client,
                                 const struct mr_topic *topic, bool *existed,
                                 struct mr_error *err) {
    char doing[MR_KAFKA_DOING_MAX];
    struct mr_topic seen;
    struct wanted wanted = {.topic = topic};
    struct mr_kafka_look look = {.topic = topic->name, .leaders = true, .appear = APPEAR_TRIES};
    const struct mr_kafka_call call = {doing, attempt_create, &wanted};
    snprintf(doing, sizeof doing, "creating topic \"%s\"", topic->name);
    enum mr_status status = mr_kafka_try(log, client, &call, err);
    *existed = wanted.existed;
    return status == MR_OK ? mr_kafka_look_up(log, client, &look, &seen, err) : status;
}

static enum mr_status compare(struct mr_kafka_log *log, const struct mr_topic *wanted,
                              struct mr_error *err) {
    struct mr_topic found;
    enum mr_status status = mr_kafka_describe(&log->base, wanted->name, &found, err);
    if (status != MR_OK) {
        return status;
    }
    memcpy(found.job, wanted->job, sizeof found.job); /* no owner is kept: any will do */
    return mr_topic_compare(&found, wanted, err);
}

enum mr_status mr_kafka_create(struct mr_log *base, const struct mr_topic *topic,
                               struct mr_error *err) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    rd_kafka_t *client;
    struct mr_topic seen;
    bool existed = true;
    struct mr_kafka_look look = {.topic = topic->name};
    enum mr_status status = mr_kafka_admin_client(log, &client, err);
    if (status == MR_OK) {
        status = mr_kafka_look_up(log, client, &look, &seen, err);
    }
    if (look.missing) {
        status = make_topic(log, client, topic, &existed, err);
    }
    return status == MR_OK && existed ? compare(log, topic, err) : status;
}

/* ---- Reset ---------------------------------------------------------------------------------- */

struct forgotten {
    const char *job;
    bool runs; /* it has members */
};

static rd_kafka_resp_err_t forget_group(rd_kafka_t *client, void *arg,
                                        struct mr_kafka_attempt *attempt) {
    struct forgotten *forgotten = arg;
    size_t count;
    struct mr_kafka_request request =
        mr_kafka_request_begin(client, RD_KAFKA_ADMIN_OP_DELETEGROUPS, attempt);
    rd_kafka_DeleteGroup_t *group = rd_kafka_DeleteGroup_new(forgotten->job);
    rd_kafka_DeleteGroups(client, &group, 1, request.options, request.queue);
    rd_kafka_DeleteGroup_destroy(group);
    rd_kafka_resp_err_t code = mr_kafka_request_wait(&request, attempt);
    if (!code) {
        const rd_kafka_group_result_t **groups = rd_kafka_DeleteGroups_result_groups(
            rd_kafka_event_DeleteGroups_result(request.answer), &count);
        const rd_kafka_error_t *error = count == 1 ? rd_kafka_group_result_error(groups[0]) : NULL;
        code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    mr_kafka_request_end(&request);
    forgotten->runs = code == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP;
    return forgotten->runs || code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND
               ? RD_KAFKA_RESP_ERR_NO_ERROR
               : code;
}

static rd_kafka_resp_err_t delete_topic(rd_kafka_t *client, void *arg,
                                        struct mr_kafka_attempt *attempt) {
    size_t count;
    struct mr_kafka_request request =
        mr_kafka_request_begin(client, RD_KAFKA_ADMIN_OP_DELETETOPICS, attempt);
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(arg);
    rd_kafka_DeleteTopics(client, &topic, 1, request.options, request.queue);
    rd_kafka_DeleteTopic_destroy(topic);
    rd_kafka_resp_err_t code = mr_kafka_request_wait(&request, attempt);
    if (!code) {
        const rd_kafka_DeleteTopics_result_t *result =
            rd_kafka_event_DeleteTopics_result(request.answer);
        const rd_kafka_topic_result_t **topics =
            rd_kafka_DeleteTopics_result_topics(result, &count);
        code = topic_outcome(topics, count, attempt);
    }
    mr_kafka_request_end(&request);
    return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
}

static rd_kafka_resp_err_t still_there(rd_kafka_t *client, void *arg,
                                       struct mr_kafka_attempt *attempt) {
    struct mr_kafka_look look = {.topic = arg};
    rd_kafka_resp_err_t code = mr_kafka_look_once(client, &look, attempt);
    return code || look.missing ? code : RD_KAFKA_RESP_ERR__IN_PROGRESS;
}

static enum mr_status renew_topic(struct mr_kafka_log *log, rd_kafka_t *client,
                                  struct mr_topic *topic, struct mr_error *err) {
    char doing[MR_KAFKA_DOING_MAX];
    bool existed;
    const struct mr_kafka_call away = {doing, delete_topic, topic->name};
    const struct mr_kafka_call gone = {doing, still_there, topic->name};
    snprintf(doing, sizeof doing, "deleting topic \"%s\"", topic->name);
    enum mr_status status = mr_kafka_try(log, client, &away, err);
    if (status == MR_OK) {
        status = mr_kafka_try(log, client, &gone, err);
    }
    return status == MR_OK ? make_topic(log, client, topic, &existed, err) : status;
}

enum mr_status mr_kafka_reset(struct mr_log *base, const char *job, const char *changelog,
                              struct mr_error *err) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    char doing[MR_KAFKA_DOING_MAX];
    rd_kafka_t *client;
    struct forgotten forgotten = {.job = job};
    const struct mr_kafka_call forget = {doing, forget_group, &forgotten};
    struct mr_kafka_look look = {.topic = changelog};
    struct mr_topic topic;
    snprintf(doing, sizeof doing, "forgetting the positions of job \"%s\"", job);
    enum mr_status status = mr_kafka_admin_client(log, &client, err);
    if (status == MR_OK) {
        status = mr_kafka_try(log, client, &forget, err);
    }
    if (status == MR_OK && forgotten.runs) {
        return mr_error_set(err, MR_REJECT,
                            "job \"%s\" is running on %s: stop it first (a process that was killed "
                            "counts until its session.timeout.ms is over)",
                            job, base->url);
    }
    if (status != MR_OK) {
        return status;
    }
    status = mr_kafka_look_up(log, client, &look, &topic, err);
    if (look.missing) {
        return MR_OK;
    }
    topic.kind = MR_KEEP_LAST_OF_KEY;
    snprintf(topic.job, sizeof topic.job, "%s", job);
    return status == MR_OK ? renew_topic(log, client, &topic, err) : status;
}

/* ---- Trim ----------------------------------------------------------------------------------- */

struct trim {
    const struct mr_partition *source;
    int64_t before;
    rd_kafka_resp_err_t refused; /* answer: a reason that has a sentence of its own */
};

static rd_kafka_resp_err_t trim_outcome(rd_kafka_event_t *answer) {
    const rd_kafka_topic_partition_list_t *done =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(answer));
    return done->cnt == 1 ? done->elems[0].err : RD_KAFKA_RESP_ERR_UNKNOWN;
}

/* "No leaders found": of a topic that is not there, or of one whose leader is moving. */
static rd_kafka_resp_err_t why_no_leader(rd_kafka_t *client, const struct mr_partition *source,
                                         struct mr_kafka_attempt *attempt) {
    struct mr_kafka_look look = {.topic = source->topic};
    rd_kafka_resp_err_t code = mr_kafka_look_once(client, &look, attempt);
    if (code) {
        return code;
    }
    return look.missing || source->partition >= look.partitions
               ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
               : RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

static rd_kafka_resp_err_t attempt_trim(rd_kafka_t *client, void *arg,
                                        struct mr_kafka_attempt *attempt) {
    struct trim *trim = arg;
    struct mr_kafka_request request =
        mr_kafka_request_begin(client, RD_KAFKA_ADMIN_OP_DELETERECORDS, attempt);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, trim->source->topic, (int32_t)trim->source->partition)
        ->offset = trim->before < 0 ? RD_KAFKA_OFFSET_END : trim->before;
    rd_kafka_DeleteRecords_t *records = rd_kafka_DeleteRecords_new(list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_DeleteRecords(client, &records, 1, request.options, request.queue);
    rd_kafka_DeleteRecords_destroy(records);
    rd_kafka_resp_err_t code = mr_kafka_request_wait(&request, attempt);
    if (!code) {
        code = trim_outcome(request.answer);
    }
    mr_kafka_request_end(&request);
    if (code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
        code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION) {
        trim->refused = code;
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return code == RD_KAFKA_RESP_ERR__NOENT ? why_no_leader(client, trim->source, attempt) : code;
}

static enum mr_status say_refused(struct mr_kafka_log *log, const struct trim *trim,
                                  struct mr_error *err) {
    struct mr_topic topic;
    int64_t end;
    if (trim->refused == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        enum mr_status status = mr_kafka_true_end(log, trim->source, &end, err);
        return status == MR_OK ? mr_topic_reaches(trim->source, trim->before, -1, end, err)
                               : status;
    }
    enum mr_status status = mr_kafka_describe(&log->base, trim->source->topic, &topic, err);
    snprintf(topic.job, sizeof topic.job, "?"); /* no owner is kept: any will do */
    return status == MR_OK ? mr_topic_may_trim(&topic, trim->source->partition, err) : status;
}

enum mr_status mr_kafka_trim(struct mr_log *base, const struct mr_partition *source, int64_t before,
                             struct mr_error *err) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    char doing[MR_KAFKA_DOING_MAX];
    rd_kafka_t *client;
    struct trim trim = {.source = source, .before = before};
    const struct mr_kafka_call call = {doing, attempt_trim, &trim};
    snprintf(doing, sizeof doing, "trimming topic \"%s\", partition %" PRIu32, source->topic,
             source->partition);
    enum mr_status status = mr_kafka_admin_client(log, &client, err);
    if (status == MR_OK) {
        status = mr_kafka_try(log, client, &call, err);
    }
    return status == MR_OK && trim.refused ? say_refused(log, &trim, err) : status;
}

/* ---- Permits -------------------------------------------------------------------------------- */

static rd_kafka_resp_err_t ask_positions(rd_kafka_t *client, void *arg,
                                         struct mr_kafka_attempt *attempt) {
    size_t count;
    struct mr_kafka_request request =
        mr_kafka_request_begin(client, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, attempt);
    rd_kafka_ListConsumerGroupOffsets_t *group = rd_kafka_ListConsumerGroupOffsets_new(arg, NULL);
    rd_kafka_ListConsumerGroupOffsets(client, &group, 1, request.options, request.queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(group);
    rd_kafka_resp_err_t code = mr_kafka_request_wait(&request, attempt);
    if (!code) {
        const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
            rd_kafka_event_ListConsumerGroupOffsets_result(request.answer), &count);
        const rd_kafka_error_t *error = count == 1 ? rd_kafka_group_result_error(groups[0]) : NULL;
        code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    mr_kafka_request_end(&request);
    return code;
}

static rd_kafka_resp_err_t begin_transactions(rd_kafka_t *client, void *arg,
                                              struct mr_kafka_attempt *attempt) {
    rd_kafka_error_t *error = rd_kafka_init_transactions(client, attempt->timeout_ms);
    rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (error) {
        snprintf(attempt->reason, sizeof attempt->reason, "%s", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    return code;
}

static enum mr_status permits_transactions(struct mr_kafka_log *log, const char *job,
                                           struct mr_error *err) {
    char doing[MR_KAFKA_DOING_MAX], id[MR_TOPIC_NAME_MAX + 16];
    rd_kafka_t *client;
    const struct mr_kafka_call call = {doing, begin_transactions, NULL};
    snprintf(id, sizeof id, "%s-" PERMIT_WRITER, job);
    snprintf(doing, sizeof doing, "asking whether job \"%s\" may write transactions", job);
    enum mr_status status = mr_kafka_own_client(log, MR_KAFKA_TRANSACTION, id, &client, err);
    if (status == MR_OK) {
        status = mr_kafka_try(log, client, &call, err);
        rd_kafka_destroy(client);
    }
    return status;
}

enum mr_status mr_kafka_permits(struct mr_log *base, const char *job, struct mr_error *err) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    char doing[MR_KAFKA_DOING_MAX], group[MR_TOPIC_NAME_MAX + 1];
    rd_kafka_t *client;
    const struct mr_kafka_call call = {doing, ask_positions, group};
    snprintf(group, sizeof group, "%s", job);
    snprintf(doing, sizeof doing, "asking whether job \"%s\" may join its group", job);
    enum mr_status status = mr_kafka_admin_client(log, &client, err);
    if (status == MR_OK) {
        status = mr_kafka_try(log, client, &call, err);
    }
    return status == MR_OK ? permits_transactions(log, job, err) : status;
}
