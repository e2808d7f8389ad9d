/* Appended records -> one transaction.
 *
 *     append -> bytes (an arena), pending          nothing is sent
 *     commit -> begin
 *               offsets and notes, as the group's member      a zombie is refused here
 *               records, in order, from the arena, no copy
 *               commit, in slices, until it is decided
 *     then   -> pending and arena are empty
 *
 * So a transaction is open for milliseconds, however long the job's interval is. Offsets come
 * first: a member that is none any more has then written nothing, and while a transaction with
 * records of a changelog is open, the offsets it stands for are pending, so that a restore that
 * waits for stable offsets and then reads the changelog has everything.
 *
 * The recycle rule. A request that had no answer (time-out, connection lost) may reach the broker
 * later and act on the next transaction, which has the same producer id and epoch. librdkafka
 * sends it again and says nothing, so an interceptor listens; after such a transaction, and after
 * every fatal error, the client is destroyed and made anew: init_transactions raises the epoch,
 * which shuts out whatever is still on its way. The first transaction of a new client takes 0.7 to
 * 1 s unless the metadata of its topics was fetched and their handles are kept: so that is done.
 *
 * Errors are judged in this order: fatal (a new client), abortable (abort), retriable (the slice
 * is repeated until the transaction has timed out), else as fatal.
 *
 * The outcome of a commit that is not known: MR_UNKNOWN, and a new client, whose start ends the
 * transaction of the old one, or waits until it is ended: after it, the committed offset is the
 * truth. */
#include "engine/log/kafka_session.h"

#include <stdlib.h>

#define FENCED_AGAIN_NS (30 * MR_SECOND)
#define SLICE_MS        1000 /* of a wait inside a commit */
#define GIVE_UP_MS      10000 /* an abort, or a new client inside a commit, that has no answer */

static int64_t steady_ns(void) {
    return mr_real_clock.steady_ns(&mr_real_clock);
}

static bool stopping(const struct mr_kafka_writer *writer) {
    return writer->log->stop && *writer->log->stop;
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

static void forget_client(struct mr_kafka_writer *writer) {
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

static enum mr_status make_client(struct mr_kafka_writer *writer, struct mr_error *err) {
    enum mr_kafka_role role = writer->id ? MR_KAFKA_TRANSACTION : MR_KAFKA_PRODUCER;
    rd_kafka_conf_t *conf;
    char text[64];
    size_t size = sizeof text;
    enum mr_status status = mr_kafka_conf(writer->log, role, &conf, err);
    if (status != MR_OK) {
        return status;
    }
    if (writer->id) {
        rd_kafka_conf_set(conf, "transactional.id", writer->id, NULL, 0);
        rd_kafka_conf_interceptor_add_on_new(conf, "millrace", on_new, writer);
        if (rd_kafka_conf_get(conf, "transaction.timeout.ms", text, &size) == RD_KAFKA_CONF_OK) {
            writer->timeout_ms = strtoll(text, NULL, 10);
        }
    } else {
        rd_kafka_conf_set(conf, "delivery.report.only.error", "true", NULL, 0);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_conf_set_opaque(conf, writer);
    }
    atomic_store(&writer->doubt, false);
    status = mr_kafka_client(writer->log, role, conf, &writer->client, err);
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
        if (rd_kafka_metadata(writer->client, 0, target->handle, &metadata, SLICE_MS) ==
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
static void note_fence(struct mr_kafka_writer *writer) {
    int64_t now_ns = steady_ns();
    writer->rival |= writer->fenced_ns && now_ns - writer->fenced_ns < FENCED_AGAIN_NS;
    writer->fenced_ns = now_ns;
}

static bool is_fence(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

static enum mr_status judge_start(struct mr_kafka_writer *writer, rd_kafka_error_t *error,
                                  struct mr_error *err) {
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    const char *reason = rd_kafka_error_string(error);
    if (is_fence(code)) {
        note_fence(writer);
        forget_client(writer);
        return writer->rival ? say_rival(writer, err) : MR_OK;
    }
    if (rd_kafka_error_is_fatal(error) || mr_kafka_judge(code) == MR_KAFKA_REFUSE) {
        enum mr_status status =
            mr_kafka_fail(writer->log, "starting a transactional producer", code, reason, err);
        forget_client(writer);
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
static bool is_ready(struct mr_kafka_writer *writer, struct mr_error *err) {
    int64_t until_ns = steady_ns() + GIVE_UP_MS * (MR_SECOND / 1000);
    if (writer->id && atomic_load(&writer->doubt)) {
        forget_client(writer);
    }
    while (!writer->ready) {
        if (mr_kafka_writer_ready(writer, SLICE_MS, err) != MR_OK) {
            return false;
        }
        if (!writer->ready && (stopping(writer) || steady_ns() > until_ns)) {
            mr_error_set(err, MR_FAIL, stopping(writer) ? "stopped while waiting for the broker"
                                                        : "the broker does not answer");
            return false;
        }
    }
    warm(writer);
    return true;
}

/* ---- Appending ------------------------------------------------------------------------------- */

void mr_kafka_writer_init(struct mr_kafka_writer *writer, struct mr_kafka_log *log, char *id) {
    *writer = (struct mr_kafka_writer){.log = log, .id = id, .bytes = mr_arena_create()};
}

void mr_kafka_writer_finish(struct mr_kafka_writer *writer) {
    forget_client(writer);
    mr_arena_destroy(writer->bytes);
    free(writer->targets);
    free(writer->pending);
    free(writer->id);
}

void mr_kafka_writer_drop(struct mr_kafka_writer *writer) {
    mr_arena_reset(writer->bytes);
    writer->pending_count = 0;
}

static enum mr_status find_target(struct mr_kafka_writer *writer, const char *topic,
                                  size_t *target, struct mr_error *err) {
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

/* One block: the headers' table, then all bytes. A name ends with a zero, as librdkafka wants. */
static void keep(struct mr_kafka_writer *writer, struct mr_kafka_pending *pending,
                 const struct mr_append *record) {
    size_t bytes = record->header_count * sizeof *record->headers + record->key.length +
                   record->value.length + 1;
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

enum mr_status mr_kafka_writer_append(struct mr_kafka_writer *writer,
                                      const struct mr_append *record, struct mr_error *err) {
    enum mr_status status = find_target(writer, record->topic, &writer->target, err);
    if (status != MR_OK) {
        writer->target = 0;
        return status;
    }
    const struct mr_topic *topic = &writer->targets[writer->target].topic;
    status = mr_topic_admits(topic, topic->job, record, err);
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

/* ---- Sending --------------------------------------------------------------------------------- */

static rd_kafka_headers_t *headers_of(const struct mr_kafka_pending *pending) {
    rd_kafka_headers_t *headers =
        pending->header_count ? rd_kafka_headers_new(pending->header_count) : NULL;
    for (size_t i = 0; i < pending->header_count; i++) {
        const struct mr_header *header = &pending->headers[i];
        rd_kafka_header_add(headers, header->name.data, (ssize_t)header->name.length,
                            header->value.data, (ssize_t)header->value.length);
    }
    return headers;
}

static rd_kafka_resp_err_t send_one(struct mr_kafka_writer *writer,
                                    const struct mr_kafka_pending *pending) {
    rd_kafka_headers_t *headers = headers_of(pending);
    rd_kafka_resp_err_t code;
    do {
        code = rd_kafka_producev(
            writer->client, RD_KAFKA_V_RKT(writer->targets[pending->target].handle),
            RD_KAFKA_V_PARTITION((int32_t)pending->partition), RD_KAFKA_V_MSGFLAGS(0),
            RD_KAFKA_V_KEY(pending->key.data, pending->key.length),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)pending->value.data, pending->value.length),
            RD_KAFKA_V_TIMESTAMP(pending->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_END);
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !stopping(writer) &&
             rd_kafka_poll(writer->client, MR_KAFKA_SLICE_MS) >= 0);
    if (code && headers) {
        rd_kafka_headers_destroy(headers);
    }
    return code;
}

/* Returns how many were sent; all, or *code says why not. */
static size_t send_all(struct mr_kafka_writer *writer, rd_kafka_resp_err_t *code,
                       struct mr_error *err) {
    char doing[MR_TOPIC_NAME_MAX + 96];
    for (size_t i = 0; i < writer->pending_count; i++) {
        const struct mr_kafka_pending *pending = &writer->pending[i];
        *code = send_one(writer, pending);
        if (*code) {
            snprintf(doing, sizeof doing, "writing %zu bytes to topic \"%s\", partition %u",
                     pending->value.length, writer->targets[pending->target].topic.name,
                     (unsigned)pending->partition);
            mr_kafka_fail(writer->log, doing, *code, rd_kafka_err2str(*code), err);
            return i;
        }
    }
    return writer->pending_count;
}

/* ---- A transaction --------------------------------------------------------------------------- */

struct transaction {
    struct mr_kafka_writer *writer;
    rd_kafka_topic_partition_list_t *positions;
    rd_kafka_consumer_group_metadata_t *pass;
    int64_t until_ns;
};

static rd_kafka_error_t *send_positions(struct transaction *t) {
    return rd_kafka_send_offsets_to_transaction(t->writer->client, t->positions, t->pass, SLICE_MS);
}

static rd_kafka_error_t *decide(struct transaction *t) {
    return rd_kafka_commit_transaction(t->writer->client, SLICE_MS);
}

static rd_kafka_error_t *take_back(struct transaction *t) {
    return rd_kafka_abort_transaction(t->writer->client, SLICE_MS);
}

/* Repeats a step while repeating may help: each call goes on where the one before stood. */
static rd_kafka_error_t *persist(struct transaction *t, const char *doing,
                                 rd_kafka_error_t *(*step)(struct transaction *t)) {
    struct mr_kafka_writer *writer = t->writer;
    for (;;) {
        rd_kafka_error_t *error = step(t);
        if (!error || rd_kafka_error_is_fatal(error) ||
            rd_kafka_error_txn_requires_abort(error) || !rd_kafka_error_is_retriable(error) ||
            stopping(writer) || steady_ns() > t->until_ns) {
            return error;
        }
        mr_kafka_wait_tell(writer->log, &writer->wait, doing, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}

static void take_all_back(struct transaction *t) {
    t->until_ns = steady_ns() + GIVE_UP_MS * (MR_SECOND / 1000);
    rd_kafka_error_t *error = persist(t, "taking a transaction back", take_back);
    if (error) {
        rd_kafka_error_destroy(error);
        forget_client(t->writer);
    }
}

/* The group has a new generation, which we may be part of. */
static bool is_stale(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
           code == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
}

static bool is_no_member(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
           code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID || is_stale(code);
}

/* What a failed step means. `deciding`: it was the commit itself. */
static enum mr_commit judge(struct transaction *t, rd_kafka_error_t *error, bool deciding,
                            struct mr_error *err) {
    struct mr_kafka_writer *writer = t->writer;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    mr_kafka_fail(writer->log, "committing a transaction", code, rd_kafka_error_string(error), err);
    if (rd_kafka_error_is_fatal(error)) {
        /* A commit that had no answer at first may have been made before we were shut out. */
        bool sure = !deciding || !atomic_load(&writer->doubt);
        bool fence = is_fence(code);
        if (fence) {
            note_fence(writer);
        }
        forget_client(writer);
        return fence && sure ? MR_FENCED : deciding ? MR_UNKNOWN : MR_ABORTED;
    }
    if (rd_kafka_error_txn_requires_abort(error)) {
        bool sure = !deciding || !atomic_load(&writer->doubt);
        take_all_back(t);
        return !sure ? MR_UNKNOWN : is_no_member(code) ? MR_FENCED : MR_ABORTED;
    }
    if (rd_kafka_error_is_retriable(error) && stopping(writer)) {
        mr_error_set(err, MR_FAIL, "stopped while waiting for the broker");
    }
    forget_client(writer);
    return deciding ? MR_UNKNOWN : MR_ABORTED;
}

static enum mr_commit end_step(struct transaction *t, rd_kafka_error_t *error, bool deciding,
                               bool *stale, struct mr_error *err) {
    *stale = is_stale(rd_kafka_error_code(error));
    enum mr_commit outcome = judge(t, error, deciding, err);
    rd_kafka_error_destroy(error);
    mr_kafka_wait_over(t->writer->log, &t->writer->wait);
    return outcome;
}

enum mr_commit mr_kafka_writer_transact(struct mr_kafka_writer *writer,
                                        rd_kafka_topic_partition_list_t *positions,
                                        rd_kafka_consumer_group_metadata_t *pass, bool *stale,
                                        struct mr_error *err) {
    struct transaction t = {writer, positions, pass, 0};
    rd_kafka_resp_err_t code;
    *stale = false;
    if (!is_ready(writer, err)) {
        return MR_ABORTED;
    }
    t.until_ns = steady_ns() + writer->timeout_ms * (MR_SECOND / 1000);
    rd_kafka_error_t *error = rd_kafka_begin_transaction(writer->client);
    if (!error && positions->cnt > 0) {
        error = persist(&t, "committing a transaction", send_positions);
    }
    if (error) {
        return end_step(&t, error, false, stale, err);
    }
    if (send_all(writer, &code, err) < writer->pending_count) {
        take_all_back(&t);
        return MR_ABORTED;
    }
    error = persist(&t, "committing a transaction", decide);
    if (error) {
        return end_step(&t, error, true, stale, err);
    }
    mr_kafka_wait_over(writer->log, &writer->wait);
    return MR_COMMITTED;
}

/* ---- A producer's delivery ------------------------------------------------------------------- */

enum mr_commit mr_kafka_writer_deliver(struct mr_kafka_writer *writer, struct mr_error *err) {
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    writer->failed = writer->unsure = 0;
    if (!is_ready(writer, err)) {
        return MR_ABORTED;
    }
    size_t sent = send_all(writer, &code, err);
    while (rd_kafka_flush(writer->client, SLICE_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT) {
        if (stopping(writer)) {
            forget_client(writer); /* it reads what is to be dropped */
            mr_error_set(err, MR_FAIL, "stopped while waiting for the broker");
            return MR_UNKNOWN;
        }
        mr_kafka_wait_tell(writer->log, &writer->wait, "writing", "no answer yet");
    }
    mr_kafka_wait_over(writer->log, &writer->wait);
    if (rd_kafka_fatal_error(writer->client, NULL, 0)) {
        forget_client(writer);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && writer->failed + writer->unsure == 0) {
        return MR_COMMITTED;
    }
    if (writer->failed + writer->unsure > 0) {
        mr_error_set(err, MR_FAIL, "%s", writer->failure.text);
    }
    return writer->failed == sent ? MR_ABORTED : MR_UNKNOWN;
}
