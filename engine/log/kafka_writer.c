/* Appended records, and the client that sends them.
 *
 *     append -> bytes (an arena), pending          nothing is sent before the commit
 *
 * The recycle rule. A request that had no answer (time-out, connection lost) may reach the broker
 * later and act on the next transaction, which has the same producer id and epoch. librdkafka
 * sends it again and says nothing, so an interceptor listens; after such a transaction, and after
 * every fatal error, the client is destroyed and made anew: init_transactions raises the epoch,
 * which shuts out whatever is still on its way. The first transaction of a new client takes 0.7 to
 * 1 s unless the metadata of its topics was fetched and their handles are kept: so that is done.
 *
 * Somebody takes our id: a successor of this process, another worker that we were in the way of
 * (kafka_offsets.c), or the coordinator, which gave our transaction up. The client is made anew,
 * which takes the id back. If that happens again soon, two processes run with one id: an error. */
#include "engine/log/kafka_session.h"

#include <stdlib.h>

#define FENCED_AGAIN_NS (30 * MR_SECOND)
#define OVERHEAD        256 /* of a record alone in its batch; 1,000 is the least that can be set */

#define STOP_NS (3 * MR_SECOND) /* a commit that a stop meets may still succeed */

bool mr_kafka_writer_stopping(struct mr_kafka_writer *writer) {
    if (!writer->log->stop || !atomic_load(writer->log->stop)) {
        return false;
    }
    writer->stop_ns = writer->stop_ns ? writer->stop_ns : mr_kafka_now_ns();
    return mr_kafka_now_ns() - writer->stop_ns >= STOP_NS;
}

/* ---- The client ------------------------------------------------------------------------------ */

/* On a thread of librdkafka. The keys: Produce, InitProducerId, AddPartitionsToTxn,
 * AddOffsetsToTxn, EndTxn, TxnOffsetCommit. */
static rd_kafka_resp_err_t on_response(rd_kafka_t *client, int fd, const char *name, int32_t broker,
                                       int16_t key, int16_t version, int32_t id, size_t size,
                                       int64_t rtt, rd_kafka_resp_err_t code, void *arg) {
    struct mr_kafka_writer *writer = arg;
    if (code && (key == 0 || key == 22 || (key >= 24 && key <= 26) || key == 28)) {
        atomic_store(&writer->doubt, true);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *arg,
                                  char *text, size_t size) {
    return rd_kafka_interceptor_add_on_response_received(client, "millrace", on_response, arg);
}

void mr_kafka_writer_forget(struct mr_kafka_writer *writer) {
    for (size_t i = 0; writer->client && i < writer->target_count; i++) {
        struct mr_kafka_target *target = &writer->targets[i];
        if (target->handle) {
            rd_kafka_topic_destroy(target->handle);
        }
        target->handle = NULL;
    }
    if (writer->client) {
        rd_kafka_destroy(writer->client);
    }
    writer->client = NULL;
    writer->ready = false;
}

/* Of a producer: only failures are reported. */
static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *arg) {
    struct mr_kafka_writer *writer = arg;
    if (!message->err) {
        return;
    }
    if (writer->failed + writer->unsure == 0) {
        char doing[MR_TOPIC_NAME_MAX + 96];
        snprintf(doing, sizeof doing, "writing %zu bytes to topic \"%s\", partition %d",
                 message->len, rd_kafka_topic_name(message->rkt), (int)message->partition);
        mr_kafka_fail(writer->log, doing, message->err, rd_kafka_err2str(message->err),
                      &writer->failure);
    }
    if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED) {
        writer->failed++;
    } else {
        writer->unsure++;
    }
}

static int64_t number_of(const rd_kafka_conf_t *conf, const char *name) {
    char text[64];
    size_t size = sizeof text;
    return rd_kafka_conf_get(conf, name, text, &size) == RD_KAFKA_CONF_OK ? strtoll(text, NULL, 10)
                                                                          : 0;
}

static enum mr_kafka_role role_of(const struct mr_kafka_writer *writer) {
    return writer->id ? MR_KAFKA_TRANSACTION : MR_KAFKA_PRODUCER;
}

static enum mr_status make_client(struct mr_kafka_writer *writer, struct mr_error *err) {
    rd_kafka_conf_t *conf;
    enum mr_status status = mr_kafka_conf(writer->log, role_of(writer), &conf, err);
    if (status != MR_OK) {
        return status;
    }
    if (writer->id) {
        rd_kafka_conf_set(conf, "transactional.id", writer->id, NULL, 0);
        rd_kafka_conf_interceptor_add_on_new(conf, "millrace", on_new, writer);
    } else {
        rd_kafka_conf_set(conf, "delivery.report.only.error", "true", NULL, 0);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_conf_set_opaque(conf, writer);
    }
    atomic_store(&writer->doubt, false);
    status = mr_kafka_client(writer->log, role_of(writer), conf, &writer->client, err);
    writer->ready = status == MR_OK && !writer->id;
    return status;
}

/* A handle and the topic's metadata, so that the first record need not wait for them. */
static void warm(struct mr_kafka_writer *writer) {
    for (size_t i = 0; i < writer->target_count; i++) {
        struct mr_kafka_target *target = &writer->targets[i];
        const struct rd_kafka_metadata *metadata;
        if (target->handle) {
            continue;
        }
        target->handle = rd_kafka_topic_new(writer->client, target->topic.name, NULL);
        if (rd_kafka_metadata(writer->client, 0, target->handle, &metadata, MR_KAFKA_STEP_MS) ==
            RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_metadata_destroy(metadata);
        }
    }
}

static enum mr_status say_rival(const struct mr_kafka_writer *writer, struct mr_error *err) {
    return mr_error_set(err, MR_FAIL,
                        "another instance runs with the id \"%s\" on %s: only one can. Give each "
                        "process a --dir of its own",
                        writer->id, writer->log->brokers);
}

/* Somebody has our id: a successor, or our transaction was ended for us. Twice: somebody who also
 * takes it back. */
void mr_kafka_writer_fenced(struct mr_kafka_writer *writer) {
    int64_t now_ns = mr_kafka_now_ns();
    writer->rival |= writer->fenced_ns && now_ns - writer->fenced_ns < FENCED_AGAIN_NS;
    writer->fenced_ns = now_ns;
}

bool mr_kafka_is_fence(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

static enum mr_status judge_start(struct mr_kafka_writer *writer, rd_kafka_error_t *error,
                                  struct mr_error *err) {
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    const char *reason = rd_kafka_error_string(error);
    if (mr_kafka_is_fence(code)) {
        mr_kafka_writer_fenced(writer);
        mr_kafka_writer_forget(writer);
        return writer->rival ? say_rival(writer, err) : MR_OK;
    }
    if (rd_kafka_error_is_fatal(error) || mr_kafka_judge(code) == MR_KAFKA_REFUSE) {
        enum mr_status status =
            mr_kafka_fail(writer->log, "starting a transactional producer", code, reason, err);
        mr_kafka_writer_forget(writer);
        return status;
    }
    mr_kafka_wait_tell(writer->log, &writer->wait, "starting a transactional producer", reason);
    return MR_OK;
}

enum mr_status mr_kafka_writer_ready(struct mr_kafka_writer *writer, int timeout_ms,
                                     struct mr_error *err) {
    enum mr_status status = MR_OK;
    if (writer->rival) {
        return say_rival(writer, err);
    }
    if (!writer->client) {
        status = make_client(writer, err);
    }
    if (status != MR_OK || writer->ready) {
        return status;
    }
    rd_kafka_error_t *error = rd_kafka_init_transactions(writer->client, timeout_ms);
    if (error) {
        status = judge_start(writer, error, err);
        rd_kafka_error_destroy(error);
        return status;
    }
    mr_kafka_wait_over(writer->log, &writer->wait);
    writer->ready = true;
    warm(writer);
    return MR_OK;
}

/* Inside a commit: a new client if one is due. */
bool mr_kafka_writer_renew(struct mr_kafka_writer *writer, struct mr_error *err) {
    int64_t until_ns = mr_kafka_now_ns() + MR_KAFKA_GIVE_UP_MS * (MR_SECOND / 1000);
    if (writer->id && atomic_load(&writer->doubt)) {
        mr_kafka_writer_forget(writer);
    }
    while (!writer->ready) {
        if (mr_kafka_writer_ready(writer, MR_KAFKA_STEP_MS, err) != MR_OK) {
            return false;
        }
        if (!writer->ready && (mr_kafka_writer_stopping(writer) || mr_kafka_now_ns() > until_ns)) {
            mr_error_set(err, MR_FAIL,
                         mr_kafka_writer_stopping(writer) ? "stopped while waiting for the broker"
                                                          : "the broker does not answer");
            return false;
        }
    }
    warm(writer);
    return true;
}

/* ---- Appending ------------------------------------------------------------------------------- */

enum mr_status mr_kafka_writer_init(struct mr_kafka_writer *writer, struct mr_kafka_log *log,
                                    char *id, struct mr_error *err) {
    rd_kafka_conf_t *conf;
    *writer = (struct mr_kafka_writer){.log = log, .id = id, .bytes = mr_arena_create()};
    enum mr_status status = mr_kafka_conf(log, role_of(writer), &conf, err);
    if (status == MR_OK) {
        writer->timeout_ms = number_of(conf, "transaction.timeout.ms");
        writer->record_max = (size_t)number_of(conf, "message.max.bytes") - OVERHEAD;
        rd_kafka_conf_destroy(conf);
    }
    return status;
}

void mr_kafka_writer_finish(struct mr_kafka_writer *writer) {
    mr_kafka_writer_forget(writer);
    mr_arena_destroy(writer->bytes);
    free(writer->targets);
    free(writer->pending);
    free(writer->id);
}

void mr_kafka_writer_drop(struct mr_kafka_writer *writer) {
    mr_arena_reset(writer->bytes);
    writer->pending_count = 0;
}

static enum mr_status find_target(struct mr_kafka_writer *writer, const char *topic, size_t *target,
                                  struct mr_error *err) {
    struct mr_topic found;
    for (size_t i = 0; i < writer->target_count; i++) {
        *target = (writer->target + i) % writer->target_count;
        if (strcmp(writer->targets[*target].topic.name, topic) == 0) {
            return MR_OK;
        }
    }
    enum mr_status status = mr_kafka_describe(&writer->log->base, topic, &found, err);
    if (status != MR_OK) {
        return status;
    }
    *target = writer->target_count++;
    writer->targets =
        mr_reallocate(writer->targets, writer->target_count * sizeof *writer->targets);
    writer->targets[*target] = (struct mr_kafka_target){.topic = found};
    return MR_OK;
}

static struct mr_slice place(char **at, struct mr_slice slice) {
    if (!slice.data) {
        return slice;
    }
    struct mr_slice copy = {*at, slice.length};
    memcpy(*at, slice.data, slice.length);
    *at += slice.length;
    return copy;
}

/* One block: the headers' table, then all bytes. */
static void keep(struct mr_kafka_writer *writer, struct mr_kafka_pending *pending,
                 const struct mr_append *record) {
    size_t bytes =
        record->header_count * sizeof *record->headers + record->key.length + record->value.length;
    for (size_t i = 0; i < record->header_count; i++) {
        bytes += record->headers[i].name.length + record->headers[i].value.length;
    }
    char *at = mr_arena_take(writer->bytes, bytes);
    pending->headers = (struct mr_header *)(void *)at;
    at += record->header_count * sizeof *record->headers;
    for (size_t i = 0; i < record->header_count; i++) {
        pending->headers[i].name = place(&at, record->headers[i].name);
        pending->headers[i].value = place(&at, record->headers[i].value);
    }
    pending->key = place(&at, record->key);
    pending->value = place(&at, record->value);
}

/* What Kafka can keep: whole milliseconds, from 1 on (0 means "now" to librdkafka). */
static int64_t timestamp_ms(int64_t timestamp_ns) {
    const int64_t millisecond = MR_SECOND / 1000;
    if (timestamp_ns == -1) {
        return 0;
    }
    return timestamp_ns < millisecond ? 1 : timestamp_ns / millisecond;
}

static enum mr_status check_size(const struct mr_kafka_writer *writer,
                                 const struct mr_append *record, struct mr_error *err) {
    size_t bytes = record->key.length + record->value.length;
    for (size_t i = 0; i < record->header_count; i++) {
        bytes += record->headers[i].name.length + record->headers[i].value.length;
    }
    if (bytes <= writer->record_max) {
        return MR_OK;
    }
    return mr_error_set(err, MR_REJECT,
                        "topic \"%s\": a record of %zu bytes is too large, this client sends at "
                        "most %zu: raise its message.max.bytes, and max.message.bytes of the topic",
                        record->topic, bytes, writer->record_max);
}

enum mr_status mr_kafka_writer_append(struct mr_kafka_writer *writer,
                                      const struct mr_append *record, struct mr_error *err) {
    enum mr_status status = find_target(writer, record->topic, &writer->target, err);
    if (status != MR_OK) {
        writer->target = 0;
        return status;
    }
    const struct mr_topic *topic = &writer->targets[writer->target].topic;
    status = mr_topic_admits(topic, topic->job, record, err);
    if (status == MR_OK) {
        status = check_size(writer, record, err);
    }
    if (status != MR_OK) {
        return status;
    }
    if (writer->pending_count == writer->pending_capacity) {
        writer->pending_capacity = writer->pending_capacity ? 2 * writer->pending_capacity : 64;
        writer->pending =
            mr_reallocate(writer->pending, writer->pending_capacity * sizeof *writer->pending);
    }
    struct mr_kafka_pending *pending = &writer->pending[writer->pending_count++];
    *pending = (struct mr_kafka_pending){.target = (uint32_t)writer->target,
                                         .partition = record->partition,
                                         .timestamp_ms = timestamp_ms(record->timestamp_ns),
                                         .header_count = record->header_count};
    keep(writer, pending, record);
    return MR_OK;
}
