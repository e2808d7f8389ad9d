/* What a job has committed, topic by topic, as the expectations of a case see it: all partitions
 * together, by append time, then partition, then offset. Rows are copied, so they stay while the
 * readers go on. */
#include "engine/cli/case.h"

#include <stdlib.h>

#define REASON_HEADER "__streams.errors.message"

struct mr_case_topic *mr_case_topic(struct mr_case_topic **topics, const char *name) {
    for (; *topics; topics = &(*topics)->after) {
        if (strcmp((*topics)->name, name) == 0) {
            return *topics;
        }
    }
    *topics = mr_allocate(sizeof(**topics));
    (*topics)->name = mr_copy_text(name);
    return *topics;
}

void mr_case_topics_destroy(struct mr_case_topic *topics) {
    while (topics) {
        struct mr_case_topic *after = topics->after;
        for (size_t i = 0; i < topics->count; i++) {
            mr_buffer_finish(&topics->rows[i].value);
            mr_buffer_finish(&topics->rows[i].reason);
        }
        for (uint32_t i = 0; i < topics->partitions; i++) {
            mr_reader_close(topics->readers[i]);
        }
        free(topics->readers);
        free(topics->rows);
        free(topics->name);
        free(topics);
        topics = after;
    }
}

static struct mr_slice reason_of(const struct mr_message *message) {
    for (size_t i = 0; i < message->header_count; i++) {
        if (mr_slice_equal(message->headers[i].name, mr_slice_of(REASON_HEADER))) {
            return message->headers[i].value;
        }
    }
    return mr_slice_of("");
}

static void add_row(struct mr_case_topic *topic, uint32_t partition,
                    const struct mr_message *message) {
    if (topic->count == topic->capacity) {
        topic->capacity = topic->capacity ? 2 * topic->capacity : 16;
        topic->rows = mr_reallocate(topic->rows, topic->capacity * sizeof(*topic->rows));
    }
    struct mr_slice reason = reason_of(message);
    struct mr_case_row *row = &topic->rows[topic->count++];
    *row = (struct mr_case_row){
        .append_ns = message->append_ns, .offset = message->offset, .partition = partition};
    mr_buffer_add(&row->value, message->value.data, message->value.length);
    mr_buffer_add(&row->reason, reason.data, reason.length);
}

static int compare_rows(const void *left, const void *right) {
    const struct mr_case_row *a = left, *b = right;
    if (a->append_ns != b->append_ns) {
        return a->append_ns < b->append_ns ? -1 : 1;
    }
    if (a->partition != b->partition) {
        return a->partition < b->partition ? -1 : 1;
    }
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static enum mr_status open_readers(struct mr_case_topic *topic, struct mr_log *log,
                                   struct mr_error *err) {
    struct mr_topic described;
    if (topic->readers || mr_log_describe(log, topic->name, &described, NULL) != MR_OK) {
        return MR_OK;
    }
    topic->partitions = described.partitions;
    topic->readers = mr_allocate_array(described.partitions, struct mr_reader *);
    enum mr_status status = MR_OK;
    for (uint32_t i = 0; i < topic->partitions && status == MR_OK; i++) {
        struct mr_partition source = {.partition = i};
        snprintf(source.topic, sizeof(source.topic), "%s", topic->name);
        status = mr_reader_open(log, &source, -1, &topic->readers[i], err);
    }
    return status;
}

static enum mr_status read_partition(struct mr_case_topic *topic, uint32_t partition,
                                     struct mr_error *err) {
    struct mr_batch batch = {0};
    enum mr_status status = MR_OK;
    while (status == MR_OK && !batch.end) {
        status = mr_reader_read(topic->readers[partition], 0, &batch, err);
        for (size_t i = 0; status == MR_OK && i < batch.count; i++) {
            add_row(topic, partition, &batch.messages[i]);
        }
    }
    return status;
}

enum mr_status mr_case_topics_read(struct mr_case_topic *topics, struct mr_log *log,
                                   struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (struct mr_case_topic *topic = topics; topic && status == MR_OK; topic = topic->after) {
        size_t known = topic->count;
        status = open_readers(topic, log, err);
        for (uint32_t i = 0; i < topic->partitions && status == MR_OK; i++) {
            status = read_partition(topic, i, err);
        }
        if (topic->count > known) {
            qsort(topic->rows + known, topic->count - known, sizeof(*topic->rows), compare_rows);
        }
    }
    return status;
}
