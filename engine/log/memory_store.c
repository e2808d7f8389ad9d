/* What the memory log keeps.
 *
 *   partition   chunks -> [ 1024 messages ][ 1024 messages ][ ...     count, end
 *                              |  each points into one allocation of its own
 *                              v
 *                         headers | value | key
 *
 * Chunks never move and a stored message never changes, so a batch is a pointer into a chunk: no
 * copy, and no lock is held while it is used. A batch ends at its chunk's end. Offsets ascend in a
 * partition; they are its indexes unless a test asked for gaps.
 *
 * A changelog keeps one record per key in a hash table. Its chunks hold what came before,
 * tombstones too, when a test asked for it. */
#include "engine/log/memory_store.h"

#include <stdlib.h>

struct mr_memory_topic *mr_memory_topic_find(const struct mr_memory_log *log, const char *name) {
    for (size_t i = 0; i < log->topic_count; i++) {
        if (strcmp(log->topics[i]->topic.name, name) == 0) {
            return log->topics[i];
        }
    }
    return NULL;
}

struct mr_memory_job *mr_memory_job_find(struct mr_memory_log *log, const char *name) {
    for (size_t i = 0; i < log->job_count; i++) {
        if (strcmp(log->jobs[i]->name, name) == 0) {
            return log->jobs[i];
        }
    }
    struct mr_memory_job *job = mr_allocate(sizeof *job);
    snprintf(job->name, sizeof job->name, "%s", name);
    log->jobs = mr_reallocate(log->jobs, (log->job_count + 1) * sizeof(struct mr_memory_job *));
    return log->jobs[log->job_count++] = job;
}

void mr_memory_job_forget(struct mr_memory_job *job) {
    struct mr_memory_position *position, *after;
    HASH_ITER(hh, job->positions, position, after) {
        HASH_DEL(job->positions, position);
        free(position->note);
        free(position);
    }
}

static size_t chunk_count(size_t records) {
    return (records + MR_CHUNK_RECORDS - 1) / MR_CHUNK_RECORDS;
}

void mr_memory_partition_empty(struct mr_memory_partition *partition) {
    struct mr_kept *kept, *after;
    HASH_ITER(hh, partition->kept, kept, after) {
        HASH_DEL(partition->kept, kept);
        free(kept->memory);
        free(kept);
    }
    for (size_t i = 0; i < partition->count; i++) {
        free(partition->chunks[i / MR_CHUNK_RECORDS]->memory[i % MR_CHUNK_RECORDS]);
    }
    for (size_t i = 0; i < chunk_count(partition->count); i++) {
        free(partition->chunks[i]);
    }
    free(partition->chunks);
    *partition = (struct mr_memory_partition){0};
}

static void keep_record(struct mr_memory_partition *partition, struct mr_message message,
                        void *memory) {
    size_t at = partition->count % MR_CHUNK_RECORDS;
    if (at == 0) {
        size_t chunks = chunk_count(partition->count);
        partition->chunks =
            mr_reallocate(partition->chunks, (chunks + 1) * sizeof(struct mr_chunk *));
        partition->chunks[chunks] = mr_allocate(sizeof(struct mr_chunk));
    }
    struct mr_chunk *chunk = partition->chunks[partition->count / MR_CHUNK_RECORDS];
    message.offset = partition->end++;
    chunk->messages[at] = message;
    chunk->memory[at] = memory;
    partition->count++;
}

/* What the last record of a key gives way to. */
static void let_go(struct mr_memory_partition *partition, struct mr_message message, void *memory,
                   bool versions) {
    if (versions) {
        keep_record(partition, message, memory);
    } else {
        free(memory);
    }
}

static void keep_last(struct mr_memory_partition *partition, struct mr_message message,
                      void *memory, bool versions) {
    struct mr_kept *kept;
    HASH_FIND(hh, partition->kept, message.key.data, message.key.length, kept);
    if (kept) {
        HASH_DEL(partition->kept, kept);
        let_go(partition, kept->message, kept->memory, versions);
        free(kept);
    }
    if (!message.value.data) {
        let_go(partition, message, memory, versions);
        return;
    }
    kept = mr_allocate(sizeof *kept);
    kept->message = message;
    kept->memory = memory;
    HASH_ADD_KEYPTR(hh, partition->kept, kept->message.key.data, message.key.length, kept);
}

void mr_memory_partition_add(const struct mr_memory_log *log, struct mr_memory_topic *topic,
                             uint32_t partition, struct mr_message message, void *memory) {
    if (topic->topic.kind == MR_KEEP_RECORDS) {
        keep_record(&topic->partitions[partition], message, memory);
    } else {
        keep_last(&topic->partitions[partition], message, memory, log->versions);
    }
}

int64_t mr_memory_partition_end(const struct mr_memory_topic *topic, uint32_t partition) {
    const struct mr_memory_partition *of = &topic->partitions[partition];
    return topic->topic.kind == MR_KEEP_RECORDS ? of->end : (int64_t)mr_memory_partition_count(of);
}

const struct mr_message *mr_memory_partition_at(const struct mr_memory_partition *partition,
                                                size_t index) {
    return &partition->chunks[index / MR_CHUNK_RECORDS]->messages[index % MR_CHUNK_RECORDS];
}

/* The first record at or behind the offset. */
static size_t index_of(const struct mr_memory_partition *partition, int64_t offset) {
    size_t low = 0, high = partition->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mr_memory_partition_at(partition, middle)->offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t mr_memory_partition_count(const struct mr_memory_partition *partition) {
    return partition->count - index_of(partition, partition->first) + HASH_COUNT(partition->kept);
}

enum mr_status mr_memory_partition_batch(const struct mr_memory_log *log,
                                         const struct mr_memory_topic *topic, uint32_t partition,
                                         int64_t *next, struct mr_batch *batch,
                                         struct mr_error *err) {
    const struct mr_memory_partition *from = &topic->partitions[partition];
    size_t first = index_of(from, *next);
    *batch = (struct mr_batch){.source = mr_partition_at(topic->topic.name, partition),
                               .append_stamped = true};
    if (*next < from->first) {
        mr_topic_reaches(&batch->source, *next, from->first, from->end, err);
        return MR_FAIL;
    }
    if (first == from->count) {
        *next = from->end;
        return MR_OK;
    }
    size_t most = MR_CHUNK_RECORDS - first % MR_CHUNK_RECORDS;
    if (most > from->count - first) {
        most = from->count - first;
    }
    if (log->limit && most > log->limit) {
        most = log->limit;
    }
    batch->messages = mr_memory_partition_at(from, first);
    for (size_t bytes = 0; batch->count < most && bytes < MR_BATCH_BYTES; batch->count++) {
        bytes += batch->messages[batch->count].value.length;
    }
    *next = batch->messages[batch->count - 1].offset + 1;
    return MR_OK;
}

static struct mr_slice put(char **at, struct mr_slice bytes) {
    if (!bytes.data) {
        return bytes;
    }
    struct mr_slice copy = {*at, bytes.length};
    memcpy(*at, bytes.data, bytes.length);
    *at += bytes.length;
    return copy;
}

void *mr_memory_copy(const struct mr_append *record, struct mr_message *message) {
    size_t bytes =
        record->header_count * sizeof(struct mr_header) + record->key.length + record->value.length;
    for (size_t i = 0; i < record->header_count; i++) {
        bytes += record->headers[i].name.length + record->headers[i].value.length;
    }
    struct mr_header *headers = mr_allocate(bytes + 1);
    char *at = (char *)(headers + record->header_count);
    *message = (struct mr_message){.timestamp_ns = record->timestamp_ns,
                                   .headers = headers,
                                   .header_count = record->header_count};
    message->value = put(&at, record->value); /* first: it stays aligned */
    message->key = put(&at, record->key);
    for (size_t i = 0; i < record->header_count; i++) {
        headers[i].name = put(&at, record->headers[i].name);
        headers[i].value = put(&at, record->headers[i].value);
    }
    return headers;
}
