/* Dead letters: the message as it came (key, value, headers, timestamp) and, in added headers,
 * why and where from. They are part of the task's transaction, so a message is either counted and
 * kept, or read again. The header names that begin with __streams are Kafka Streams' own
 * (KIP-1034), so its tools read them. */
#include "engine/run/task.h"

#include <inttypes.h>
#include <stdlib.h>

#define REASON_HEADERS 5

enum mr_status mr_deadletter_of(struct mr_task *task, const struct mr_partition *source,
                                const struct mr_message *message, const char *reason,
                                struct mr_error *err) {
    char partition[16], offset[24];
    snprintf(partition, sizeof(partition), "%" PRIu32, source->partition);
    snprintf(offset, sizeof(offset), "%" PRId64, message->offset);
    const struct mr_header added[REASON_HEADERS] = {
        {mr_slice_of("__streams.errors.message"), mr_slice_of(reason)},
        {mr_slice_of("__streams.errors.topic"), mr_slice_of(source->topic)},
        {mr_slice_of("__streams.errors.partition"), mr_slice_of(partition)},
        {mr_slice_of("__streams.errors.offset"), mr_slice_of(offset)},
        {mr_slice_of("__millrace.errors.job"), mr_slice_of(task->plan->job)},
    };
    size_t count = message->header_count + REASON_HEADERS;
    struct mr_header *headers = mr_allocate_array(count, struct mr_header);
    for (size_t i = 0; i < message->header_count; i++) {
        headers[i] = message->headers[i];
    }
    memcpy(&headers[message->header_count], added, sizeof(added));
    struct mr_append append = {
        .topic = task->plan->dead_letter_topic,
        .partition = task->source.partition,
        .timestamp_ns = message->timestamp_ns,
        .key = message->key,
        .value = message->value,
        .headers = headers,
        .header_count = count,
    };
    enum mr_status status = mr_session_append(task->session, &append, err);
    free(headers);
    return status;
}

enum mr_status mr_deadletter(struct mr_task *task, const char *reason, struct mr_error *err) {
    if (task->message_dead) {
        return MR_OK;
    }
    task->message_dead = true;
    return mr_deadletter_of(task, &task->source, task->message, reason, err);
}
