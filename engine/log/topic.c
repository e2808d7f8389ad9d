/* The rules of topics, the same whatever keeps them.
 *
 *   plain topic      job == ""   producers append; no job does
 *   a job's topic    job == J    only sessions of J append: outputs, dead letters, changelog
 *
 * So a topic has one kind of writer, and a job's transaction never meets a producer's. */
#include "engine/log/back_end.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *kind_name(enum mr_retention_kind kind) {
    return kind == MR_KEEP_RECORDS ? "keeps records" : "keeps the last value of every key";
}

static bool valid_name(const char *name) {
    size_t length = strlen(name);
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return length > 0 && length <= MR_TOPIC_NAME_MAX && good == length && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

enum mr_status mr_name_check(const char *name, struct mr_error *err) {
    return valid_name(name) ? MR_OK
                            : mr_error_set(err, MR_REJECT,
                                           "\"%.60s\" is no name for a topic or a job: expected 1 "
                                           "to %d letters, digits, '.', '_' or '-'",
                                           name, MR_TOPIC_NAME_MAX);
}

enum mr_status mr_topic_check(const struct mr_topic *topic, struct mr_error *err) {
    if (mr_name_check(topic->name, err) != MR_OK ||
        (topic->job[0] && mr_name_check(topic->job, err) != MR_OK)) {
        return MR_REJECT;
    }
    if (topic->partitions < 1 || topic->partitions > MR_PARTITIONS_MAX) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\": expected 1 to %d partitions, not %" PRIu32, topic->name,
                            MR_PARTITIONS_MAX, topic->partitions);
    }
    if (topic->kind == MR_KEEP_LAST_OF_KEY && !topic->job[0]) {
        return mr_error_set(err, MR_REJECT, "topic \"%s\": a changelog must belong to a job",
                            topic->name);
    }
    return MR_OK;
}

static const char *owner_name(const char *job) {
    return job[0] ? job : "nobody";
}

enum mr_status mr_topic_compare(const struct mr_topic *topic, const struct mr_topic *wanted,
                                struct mr_error *err) {
    if (topic->partitions != wanted->partitions) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\" is there and has %" PRIu32 " partitions, not %" PRIu32,
                            topic->name, topic->partitions, wanted->partitions);
    }
    if (topic->kind != wanted->kind) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\" is there and %s; asked for one that %s (on Kafka: "
                            "cleanup.policy=%s). Change or delete it, or use another name",
                            topic->name, kind_name(topic->kind), kind_name(wanted->kind),
                            wanted->kind == MR_KEEP_LAST_OF_KEY ? "compact" : "delete");
    }
    if (strcmp(topic->job, wanted->job) != 0) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\" is there and its owner is %s; asked for one that belongs "
                            "to %s",
                            topic->name, owner_name(topic->job), owner_name(wanted->job));
    }
    return MR_OK;
}

enum mr_status mr_topic_has(const struct mr_topic *topic, uint32_t partition,
                            struct mr_error *err) {
    if (partition < topic->partitions) {
        return MR_OK;
    }
    return mr_error_set(err, MR_REJECT,
                        "topic \"%s\" has %" PRIu32 " partitions: there is no partition %" PRIu32,
                        topic->name, topic->partitions, partition);
}

static enum mr_status check_size(const struct mr_topic *topic, const struct mr_append *record,
                                 struct mr_error *err) {
    size_t bytes = record->value.length;
    for (size_t i = 0; i < record->header_count && bytes <= MR_RECORD_BYTES_MAX; i++) {
        bytes += record->headers[i].name.length + record->headers[i].value.length;
    }
    if (record->key.length > MR_RECORD_KEY_MAX || bytes > MR_RECORD_BYTES_MAX) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\": a record has at most a key of %d bytes and 1 GiB of "
                            "value and headers",
                            topic->name, MR_RECORD_KEY_MAX);
    }
    return MR_OK;
}

enum mr_status mr_topic_admits(const struct mr_topic *topic, const char *job,
                               const struct mr_append *record, struct mr_error *err) {
    if (strcmp(topic->job, job) != 0) {
        if (!topic->job[0]) {
            return mr_error_set(err, MR_REJECT,
                                "topic \"%s\" is not a topic of job \"%s\": producers write to it",
                                topic->name, job);
        }
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\" belongs to job \"%s\", which alone writes to it",
                            topic->name, topic->job);
    }
    if (topic->kind == MR_KEEP_LAST_OF_KEY && !record->key.data) {
        return mr_error_set(err, MR_REJECT, "topic \"%s\" is a changelog: a record needs a key",
                            topic->name);
    }
    enum mr_status status = check_size(topic, record, err);
    return status == MR_OK ? mr_topic_has(topic, record->partition, err) : status;
}

enum mr_status mr_topic_reaches(const struct mr_partition *source, int64_t offset, int64_t first,
                                int64_t end, struct mr_error *err) {
    if (offset < first) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\", partition %" PRIu32 ": offset %" PRId64
                            " is gone, the first one still there is %" PRId64,
                            source->topic, source->partition, offset, first);
    }
    if (offset > end) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\", partition %" PRIu32 ": offset %" PRId64
                            " is beyond the end, %" PRId64 ": the log was replaced or truncated",
                            source->topic, source->partition, offset, end);
    }
    return MR_OK;
}

enum mr_status mr_topic_may_trim(const struct mr_topic *topic, uint32_t partition,
                                 struct mr_error *err) {
    if (topic->kind != MR_KEEP_RECORDS || !topic->job[0]) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\" %s: only a job's topic that keeps records is trimmed",
                            topic->name, topic->job[0] ? kind_name(topic->kind) : "has no owner");
    }
    return mr_topic_has(topic, partition, err);
}

enum mr_status mr_topic_missing(const struct mr_log *log, const char *topic, struct mr_error *err) {
    return mr_error_set(err, MR_REJECT, "there is no topic \"%.*s\" in %s", MR_TOPIC_NAME_MAX,
                        topic, log->url);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct mr_topic *)a)->name, ((const struct mr_topic *)b)->name);
}

void mr_topic_sort(struct mr_topic *topics, size_t count) {
    if (count > 1) {
        qsort(topics, count, sizeof *topics, by_name);
    }
}

struct mr_partition mr_partition_at(const char *topic, uint32_t partition) {
    struct mr_partition at = {.partition = partition};
    snprintf(at.topic, sizeof at.topic, "%s", topic);
    return at;
}
