/* What was appended -> one transaction.
 *
 *     begin
 *     offsets and notes, as the group's member      a zombie is refused here
 *     records, in order, from the arena, no copy
 *     commit, in slices, until it is decided
 *
 * So a transaction is open for milliseconds, however long the job's interval is. Offsets come
 * first: a member that is none any more has then written nothing, and while a transaction with
 * records of a changelog is open, the offsets it stands for are pending, so that a restore that
 * waits for stable offsets and then reads the changelog has everything.
 *
 * Errors are judged in this order: fatal (a new client), abortable (abort), retriable (the slice
 * is repeated until the transaction has timed out), else as fatal.
 *
 * A slice is not always one: librdkafka 2.0.2 looks for the group's coordinator as long as the
 * broker is away, whatever the timeout (90 s seen). Nothing is lost by it, but a stop waits for it.
 *
 * The outcome of a commit that is not known: MR_UNKNOWN, and a new client, whose start ends the
 * transaction of the old one, or waits until it is ended: after it, the committed offset is the
 * truth. */
#include "engine/log/kafka_session.h"

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
            RD_KAFKA_V_KEY((void *)(uintptr_t)pending->key.data, pending->key.length),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)pending->value.data, pending->value.length),
            RD_KAFKA_V_TIMESTAMP(pending->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_END);
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !mr_kafka_writer_stopping(writer) &&
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
    return rd_kafka_send_offsets_to_transaction(t->writer->client, t->positions, t->pass,
                                                MR_KAFKA_STEP_MS);
}

static rd_kafka_error_t *decide(struct transaction *t) {
    return rd_kafka_commit_transaction(t->writer->client, MR_KAFKA_STEP_MS);
}

static rd_kafka_error_t *take_back(struct transaction *t) {
    return rd_kafka_abort_transaction(t->writer->client, MR_KAFKA_STEP_MS);
}

/* Repeats a step while repeating may help: each call goes on where the one before stood. */
static rd_kafka_error_t *persist(struct transaction *t, const char *doing,
                                 rd_kafka_error_t *(*step)(struct transaction *t)) {
    struct mr_kafka_writer *writer = t->writer;
    for (;;) {
        rd_kafka_error_t *error = step(t);
        if (!error || rd_kafka_error_is_fatal(error) || rd_kafka_error_txn_requires_abort(error) ||
            !rd_kafka_error_is_retriable(error) || mr_kafka_writer_stopping(writer) ||
            mr_kafka_now_ns() > t->until_ns) {
            return error;
        }
        mr_kafka_wait_tell(writer->log, &writer->wait, doing, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}

static void take_all_back(struct transaction *t) {
    t->until_ns = mr_kafka_now_ns() + MR_KAFKA_GIVE_UP_MS * (MR_SECOND / 1000);
    rd_kafka_error_t *error = persist(t, "taking a transaction back", take_back);
    if (error) {
        rd_kafka_error_destroy(error);
        mr_kafka_writer_forget(t->writer);
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
        bool fence = mr_kafka_is_fence(code);
        if (fence) {
            mr_kafka_writer_fenced(writer);
        }
        mr_kafka_writer_forget(writer);
        return fence && sure ? MR_FENCED : deciding ? MR_UNKNOWN : MR_ABORTED;
    }
    if (rd_kafka_error_txn_requires_abort(error)) {
        bool sure = !deciding || !atomic_load(&writer->doubt);
        take_all_back(t);
        if (deciding) { /* a record was refused: librdkafka has lost count of its sequence */
            mr_kafka_writer_forget(writer);
        }
        return !sure ? MR_UNKNOWN : is_no_member(code) ? MR_FENCED : MR_ABORTED;
    }
    if (rd_kafka_error_is_retriable(error) && mr_kafka_writer_stopping(writer)) {
        mr_error_set(err, MR_FAIL, "stopped while waiting for the broker");
    }
    mr_kafka_writer_forget(writer);
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

enum mr_commit mr_kafka_transact(struct mr_kafka_writer *writer,
                                 rd_kafka_topic_partition_list_t *positions,
                                 rd_kafka_consumer_group_metadata_t *pass, bool *stale,
                                 struct mr_error *err) {
    struct transaction t = {writer, positions, pass, 0};
    rd_kafka_resp_err_t code;
    *stale = false;
    if (!mr_kafka_writer_renew(writer, err)) {
        return MR_ABORTED;
    }
    t.until_ns = mr_kafka_now_ns() + writer->timeout_ms * (MR_SECOND / 1000);
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

enum mr_commit mr_kafka_deliver(struct mr_kafka_writer *writer, struct mr_error *err) {
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    writer->failed = writer->unsure = 0;
    if (!mr_kafka_writer_renew(writer, err)) {
        return MR_ABORTED;
    }
    size_t sent = send_all(writer, &code, err);
    while (rd_kafka_flush(writer->client, MR_KAFKA_STEP_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT) {
        if (mr_kafka_writer_stopping(writer)) {
            mr_kafka_writer_forget(writer); /* it reads what is to be dropped */
            mr_error_set(err, MR_FAIL, "stopped while waiting for the broker");
            return MR_UNKNOWN;
        }
        mr_kafka_wait_tell(writer->log, &writer->wait, "writing", "no answer yet");
    }
    mr_kafka_wait_over(writer->log, &writer->wait);
    if (rd_kafka_fatal_error(writer->client, NULL, 0)) {
        mr_kafka_writer_forget(writer);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && writer->failed + writer->unsure == 0) {
        return MR_COMMITTED;
    }
    if (writer->failed + writer->unsure > 0) {
        mr_error_set(err, MR_FAIL, "%s", writer->failure.text);
    }
    return writer->failed == sent ? MR_ABORTED : MR_UNKNOWN;
}
