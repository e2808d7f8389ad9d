/* Messages of librdkafka -> messages of ours, without a copy of their bytes.
 *
 *     raw   [ message ][ message ][ end ][ message ][ error ]      taken from a queue at once
 *            ^ at                                              a fill gives one run of messages of
 *            |-------- a batch -----|                          one kind of timestamp, an end, or an
 *                                                              error, and the next goes on there
 *
 * - rd_kafka_consume_batch_queue waits until its array is full. So a fill first takes what is
 *   there, and only if that is nothing waits, for one.
 * - An end that messages follow is old: it is left out.
 * - Bytes live in buffers of librdkafka that hold many messages: nothing in them is aligned.
 * - Kafka has one timestamp for a record: its producer's, or the broker's where the topic says
 *   so. Then it stands for both of ours. */
#include "engine/log/kafka.h"

#include <inttypes.h>
#include <stdlib.h>

#define WANT_FIRST 256
#define NS_PER_MS  1000000

void mr_kafka_batch_init(struct mr_kafka_batch *batch) {
    *batch = (struct mr_kafka_batch){.headers = mr_arena_create(), .want = WANT_FIRST};
}

static void release(struct mr_kafka_batch *batch) {
    for (size_t i = 0; i < batch->raw_count; i++) {
        rd_kafka_message_destroy(batch->raw[i]);
    }
    batch->raw_count = batch->at = 0;
}

void mr_kafka_batch_finish(struct mr_kafka_batch *batch) {
    release(batch);
    free(batch->raw);
    free(batch->messages);
    mr_arena_destroy(batch->headers);
    *batch = (struct mr_kafka_batch){0};
}

static int64_t ms_to_ns(int64_t ms) {
    int64_t ns;
    return __builtin_mul_overflow(ms, NS_PER_MS, &ns) ? INT64_MAX : ns;
}

static void take_headers(struct mr_kafka_batch *batch, const rd_kafka_message_t *raw,
                         struct mr_message *message) {
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(raw, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    size_t count = rd_kafka_header_cnt(headers);
    struct mr_header *to = mr_arena_take(batch->headers, count * sizeof *to);
    message->headers = to;
    for (; message->header_count < count; message->header_count++, to++) {
        const char *name;
        const void *value;
        size_t length;
        rd_kafka_header_get_all(headers, message->header_count, &name, &value, &length);
        to->name = mr_slice_of(name);
        to->value = (struct mr_slice){value, length};
    }
}

/* Whether the log stamped it. */
static bool take_message(struct mr_kafka_batch *batch, const rd_kafka_message_t *raw,
                         struct mr_message *message) {
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(raw, &type);
    bool known = type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && ms >= 0;
    *message = (struct mr_message){
        .offset = raw->offset,
        .append_ns = known ? ms_to_ns(ms) : 0,
        .timestamp_ns = known ? ms_to_ns(ms) : -1,
        .key = {raw->key, raw->key_len},
        .value = {raw->payload, raw->len},
    };
    take_headers(batch, raw, message);
    return type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
}

/* Asks next for as many as would have made a batch of the right size. */
static void adapt(struct mr_kafka_batch *batch) {
    size_t bytes = 0, count = 0;
    for (size_t i = 0; i < batch->raw_count; i++) {
        if (!batch->raw[i]->err) {
            bytes += batch->raw[i]->len + batch->raw[i]->key_len + sizeof(struct mr_message);
            count++;
        }
    }
    size_t want = count ? count * MR_BATCH_BYTES / bytes : batch->want;
    batch->want = want < 1 ? 1 : want > MR_BATCH_RECORDS ? MR_BATCH_RECORDS : want;
}

static void take_raw(struct mr_kafka_batch *batch, rd_kafka_queue_t *queue, int64_t timeout_ns) {
    release(batch);
    mr_arena_reset(batch->headers);
    if (batch->capacity < batch->want) {
        batch->capacity = batch->want;
        batch->raw = mr_reallocate(batch->raw, batch->want * sizeof(rd_kafka_message_t *));
        batch->messages = mr_reallocate(batch->messages, batch->want * sizeof(struct mr_message));
    }
    ssize_t count = rd_kafka_consume_batch_queue(queue, 0, batch->raw, batch->want);
    if (count <= 0 && timeout_ns > 0) {
        int64_t timeout_ms = (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
        int most = timeout_ms < INT32_MAX ? (int)timeout_ms : INT32_MAX;
        count = rd_kafka_consume_batch_queue(queue, most, batch->raw, 1);
        if (count == 1 && batch->want > 1) {
            ssize_t more = rd_kafka_consume_batch_queue(queue, 0, batch->raw + 1, batch->want - 1);
            count += more > 0 ? more : 0;
        }
    }
    batch->raw_count = count > 0 ? (size_t)count : 0;
    adapt(batch);
}

/* The run of messages at the cursor. */
static void take_run(struct mr_kafka_batch *batch, int64_t *next, struct mr_batch *out) {
    out->messages = batch->messages;
    out->count = 0;
    for (; batch->at < batch->raw_count; batch->at++) {
        const rd_kafka_message_t *raw = batch->raw[batch->at];
        if (raw->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && batch->at + 1 < batch->raw_count) {
            continue;
        }
        if (raw->err) {
            return;
        }
        if (raw->offset < *next) {
            continue;
        }
        bool stamped = take_message(batch, raw, &batch->messages[out->count]);
        if (out->count > 0 && stamped != out->append_stamped) {
            return;
        }
        out->append_stamped = stamped;
        *next = raw->offset + 1;
        out->count++;
    }
}

static enum mr_kafka_fill take_error(const rd_kafka_message_t *raw, int64_t *next, int64_t *end,
                                     rd_kafka_resp_err_t *code, struct mr_error *err) {
    if (raw->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        *end = raw->offset;
        *next = raw->offset > *next ? raw->offset : *next;
        return MR_KAFKA_END;
    }
    const char *topic = raw->rkt ? rd_kafka_topic_name(raw->rkt) : "";
    *code = raw->err;
    if (raw->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        mr_error_set(err, MR_FAIL,
                     "topic \"%s\", partition %" PRId32 ": offset %" PRId64
                     " is no longer there: the topic's retention took it, or the topic was made "
                     "anew",
                     topic, raw->partition, *next);
    } else {
        mr_error_set(err, MR_FAIL,
                     "topic \"%s\", partition %" PRId32 ", near offset %" PRId64 ": %s", topic,
                     raw->partition, *next, rd_kafka_message_errstr(raw));
    }
    return MR_KAFKA_FAILED;
}

enum mr_kafka_fill mr_kafka_batch_fill(struct mr_kafka_batch *batch, rd_kafka_queue_t *queue,
                                       int64_t timeout_ns, int64_t *next, struct mr_batch *out,
                                       int64_t *end, rd_kafka_resp_err_t *code,
                                       struct mr_error *err) {
    *code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (batch->at == batch->raw_count) {
        take_raw(batch, queue, timeout_ns);
    }
    take_run(batch, next, out);
    if (out->count > 0) {
        return MR_KAFKA_MESSAGES;
    }
    if (batch->at == batch->raw_count) {
        return MR_KAFKA_NOTHING;
    }
    return take_error(batch->raw[batch->at++], next, end, code, err);
}
