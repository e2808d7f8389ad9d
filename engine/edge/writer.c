/* The writer: a producer session and the policy of when to commit.
 *
 * A commit costs a flush of the disk or a way to the brokers and back, so records are gathered: up
 * to 4 MiB (where either log is about as fast as it gets) or 200 ms, whichever is first. Only
 * committed records are counted as written, so the count at the end is what a reader finds. */
#include "engine/edge/writer.h"

#define COMMIT_BYTES ((size_t)4 << 20)
#define TELL_NS      (MR_SECOND / 4)

static int64_t steady(const struct mr_writer *writer) {
    return writer->log->clock->steady_ns(writer->log->clock);
}

static enum mr_status find_topic(const struct mr_writer *writer, struct mr_topic *topic,
                                 struct mr_error *err) {
    const struct mr_target *target = writer->target;
    enum mr_status status = mr_log_describe(writer->log, target->topic, topic, NULL);
    if (status == MR_REJECT) {
        *topic = (struct mr_topic){.partitions = target->partitions ? target->partitions : 1,
                                   .kind = MR_KEEP_RECORDS,
                                   .retention_ns = target->retention_ns,
                                   .retention_bytes = -1};
        if (strlen(target->topic) > MR_TOPIC_NAME_MAX) {
            return mr_error_set(err, MR_REJECT, "a topic's name has at most %d characters",
                                MR_TOPIC_NAME_MAX);
        }
        snprintf(topic->name, sizeof topic->name, "%s", target->topic);
        return mr_log_create(writer->log, topic, err);
    }
    if (status != MR_OK) {
        return mr_log_describe(writer->log, target->topic, topic, err);
    }
    if (topic->job[0] || topic->kind != MR_KEEP_RECORDS) {
        return mr_error_set(err, MR_REJECT, "topic %s belongs to job %s: only the job writes to it",
                            topic->name, topic->job);
    }
    if (target->partitions && target->partitions != topic->partitions) {
        return mr_error_set(
            err, MR_REJECT, "topic %s has %u partition%s, not %u; their number cannot change",
            topic->name, topic->partitions, topic->partitions == 1 ? "" : "s", target->partitions);
    }
    return MR_OK;
}

enum mr_status mr_writer_open(struct mr_writer *writer, struct mr_log *log,
                              const struct mr_target *target, struct mr_written *written,
                              struct mr_error *err) {
    *writer = (struct mr_writer){.log = log, .target = target, .written = written};
    *written = (struct mr_written){0};
    struct mr_topic topic;
    enum mr_status status = find_topic(writer, &topic, err);
    if (status != MR_OK) {
        return status;
    }
    writer->partitions = written->partitions = topic.partitions;
    writer->committed_ns = writer->told_ns = steady(writer);
    struct mr_session_options options = {.job = NULL};
    return mr_session_open(log, &options, &writer->session, err);
}

static void tell(struct mr_writer *writer, int64_t now_ns) {
    if (writer->target->progress && now_ns - writer->told_ns >= TELL_NS) {
        char count[MR_TEXT_MAX];
        fprintf(stderr, "\r%s records", mr_format_count(writer->written->records, count));
        fflush(stderr);
        writer->told_ns = now_ns;
    }
}

enum mr_status mr_writer_commit(struct mr_writer *writer, struct mr_error *err) {
    if (writer->pending > 0) {
        struct mr_error why = {""};
        unsigned long long pending = writer->pending;
        enum mr_commit outcome = mr_session_commit(writer->session, NULL, 0, &why);
        writer->pending = 0; /* also when it failed: the session has dropped them */
        if (outcome == MR_UNKNOWN) {
            return mr_error_set(err, MR_FAIL,
                                "%s (the last %llu records may or may not be written)", why.text,
                                pending);
        }
        if (outcome != MR_COMMITTED) {
            return mr_error_set(err, MR_FAIL, "%s", why.text);
        }
        writer->written->records += pending;
    }
    writer->committed_ns = steady(writer);
    tell(writer, writer->committed_ns);
    return MR_OK;
}

bool mr_writer_due(const struct mr_writer *writer, int64_t steady_ns) {
    return writer->pending > 0 && steady_ns - writer->committed_ns >= MR_WRITER_INTERVAL;
}

enum mr_status mr_writer_append(struct mr_writer *writer, struct mr_slice key,
                                struct mr_slice value, struct mr_error *err) {
    struct mr_append record = {
        .topic = writer->target->topic,
        .partition = mr_partition_of(key, writer->partitions, &writer->keyless),
        .timestamp_ns = writer->log->clock->wall_ns(writer->log->clock),
        .key = key,
        .value = value,
    };
    enum mr_status status = mr_session_append(writer->session, &record, err);
    if (status != MR_OK) {
        return status;
    }
    writer->pending++;
    if (mr_session_pending(writer->session) >= COMMIT_BYTES ||
        mr_writer_due(writer, steady(writer))) {
        status = mr_writer_commit(writer, err);
    }
    return status;
}

void mr_writer_close(struct mr_writer *writer) {
    if (writer->target && writer->target->progress) {
        fputs("\r\033[K", stderr);
    }
    mr_session_close(writer->session);
    writer->session = NULL;
}
