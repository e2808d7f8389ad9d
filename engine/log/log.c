/* The face of the log: finds the back end by the URL's scheme, checks what is the same for all of
 * them, and hands on.
 *
 *     local:./data     ->  mr_local_log  "./data"
 *     memory:          ->  mr_memory_log ""
 *
 * Programmer errors (a note that is too long, a note that is not printable) are assertions; what
 * a person can get wrong is a sentence. */
#include "engine/log/back_end.h"

#include <assert.h>
#include <stdlib.h>

const struct mr_log_type *const mr_log_types[] = {&mr_local_log, &mr_memory_log, &mr_kafka_log,
                                                  NULL};

static enum mr_status unknown_scheme(const char *url, struct mr_error *err) {
    struct mr_buffer known = {0};
    for (const struct mr_log_type *const *type = mr_log_types; *type; type++) {
        mr_buffer_format(&known, "%s%s: (%s)", known.length ? ", " : "", (*type)->scheme,
                         (*type)->summary);
    }
    mr_error_set(err, MR_REJECT,
                 "\"%s\" is no log: expected SCHEME:PATH, such as local:./data; known are %.*s",
                 url, (int)known.length, known.data);
    mr_buffer_finish(&known);
    return MR_REJECT;
}

static const struct mr_log_type *find_type(const char *url) {
    const char *colon = strchr(url, ':');
    for (const struct mr_log_type *const *type = mr_log_types; colon && *type; type++) {
        size_t length = strlen((*type)->scheme);
        if ((size_t)(colon - url) == length && memcmp(url, (*type)->scheme, length) == 0) {
            return *type;
        }
    }
    return NULL;
}

enum mr_status mr_log_open(const char *url, const struct mr_log_options *options,
                           const struct mr_clock *clock, struct mr_log **log,
                           struct mr_error *err) {
    static const struct mr_log_options none = {0};
    *log = NULL;
    const struct mr_log_type *type = find_type(url);
    if (!type) {
        return unknown_scheme(url, err);
    }
    enum mr_status status =
        type->open(strchr(url, ':') + 1, options ? options : &none, clock, log, err);
    if (status == MR_OK) {
        (*log)->type = type;
        (*log)->clock = clock;
        (*log)->url = mr_copy_text(url);
    }
    return status;
}

void mr_log_close(struct mr_log *log) {
    if (!log) {
        return;
    }
    char *url = log->url;
    log->type->close(log);
    free(url);
}

enum mr_status mr_log_describe(struct mr_log *log, const char *topic, struct mr_topic *out,
                               struct mr_error *err) {
    return log->type->describe(log, topic, out, err);
}

enum mr_status mr_log_create(struct mr_log *log, const struct mr_topic *topic,
                             struct mr_error *err) {
    enum mr_status status = mr_topic_check(topic, err);
    if (status != MR_OK) {
        return status;
    }
    return log->type->create(log, topic, err);
}

enum mr_status mr_log_list(struct mr_log *log, struct mr_topic **topics, size_t *count,
                           struct mr_error *err) {
    enum mr_status status = log->type->list(log, topics, count, err);
    if (status == MR_OK) {
        mr_topic_sort(*topics, *count);
    }
    return status;
}

enum mr_status mr_log_bounds(struct mr_log *log, const struct mr_partition *source, int64_t *first,
                             int64_t *end, struct mr_error *err) {
    return log->type->bounds(log, source, first, end, err);
}

enum mr_status mr_log_check(struct mr_log *log, const char *topic, struct mr_check_report *report,
                            struct mr_error *err) {
    *report = (struct mr_check_report){0};
    return log->type->check(log, topic, report, err);
}

enum mr_status mr_log_reset(struct mr_log *log, const char *job, const char *changelog,
                            struct mr_error *err) {
    struct mr_topic topic;
    if (mr_name_check(job, err) != MR_OK) {
        return MR_REJECT;
    }
    if (mr_log_describe(log, changelog, &topic, NULL) == MR_OK &&
        (topic.kind != MR_KEEP_LAST_OF_KEY || (topic.job[0] && strcmp(topic.job, job) != 0))) {
        return mr_error_set(err, MR_REJECT, "topic \"%s\" is no changelog of job \"%s\"", changelog,
                            job);
    }
    return log->type->reset(log, job, changelog, err);
}

enum mr_status mr_log_trim(struct mr_log *log, const struct mr_partition *source, int64_t before,
                           struct mr_error *err) {
    return log->type->trim(log, source, before, err);
}

enum mr_status mr_log_permits(struct mr_log *log, const char *job, struct mr_error *err) {
    return log->type->permits ? log->type->permits(log, job, err) : MR_OK;
}

static enum mr_status check_input(struct mr_log *log, const struct mr_session_options *options,
                                  struct mr_error *err) {
    struct mr_topic input;
    enum mr_status status = mr_name_check(options->job, err);
    if (status == MR_OK) {
        status = mr_log_describe(log, options->input, &input, err);
    }
    if (status == MR_OK && input.kind != MR_KEEP_RECORDS) {
        return mr_error_set(err, MR_REJECT,
                            "topic \"%s\" is a changelog: a job cannot read it as its input",
                            options->input);
    }
    return status;
}

enum mr_status mr_session_open(struct mr_log *log, const struct mr_session_options *options,
                               struct mr_session **session, struct mr_error *err) {
    *session = NULL;
    assert(!options->job ||
           (options->worker < options->workers && options->workers <= MR_PARTITIONS_MAX));
    enum mr_status status = options->job ? check_input(log, options, err) : MR_OK;
    if (status == MR_OK) {
        status = log->type->session_open(log, options, session, err);
    }
    if (status == MR_OK) {
        (*session)->type = log->type;
    }
    return status;
}

enum mr_status mr_session_poll(struct mr_session *session, int64_t timeout_ns,
                               struct mr_event *event, struct mr_error *err) {
    event->kind = MR_EVENT_NONE;
    return session->type->poll(session, timeout_ns, event, err);
}

enum mr_status mr_session_start(struct mr_session *session, const struct mr_partition *source,
                                int64_t offset, struct mr_error *err) {
    return session->type->start(session, source, offset, err);
}

enum mr_status mr_session_append(struct mr_session *session, const struct mr_append *record,
                                 struct mr_error *err) {
    return session->type->append(session, record, err);
}

size_t mr_session_pending(const struct mr_session *session) {
    return session->pending_bytes;
}

static bool valid_note(struct mr_slice note) {
    for (size_t i = 0; i < note.length; i++) {
        if (note.data[i] < ' ' || note.data[i] > '~') {
            return false;
        }
    }
    return note.length < MR_NOTE_MAX;
}

enum mr_commit mr_session_commit(struct mr_session *session, const struct mr_position *positions,
                                 size_t count, struct mr_error *err) {
    for (size_t i = 0; i < count; i++) {
        assert(valid_note(positions[i].note));
    }
    return session->type->commit(session, positions, count, err);
}

void mr_session_abort(struct mr_session *session) {
    session->type->abort(session);
}

void mr_session_close(struct mr_session *session) {
    if (session) {
        session->type->session_close(session);
    }
}

enum mr_status mr_reader_open(struct mr_log *log, const struct mr_partition *source, int64_t from,
                              struct mr_reader **reader, struct mr_error *err) {
    *reader = NULL;
    enum mr_status status = log->type->reader_open(log, source, from, reader, err);
    if (status == MR_OK) {
        (*reader)->type = log->type;
    }
    return status;
}

enum mr_status mr_reader_read(struct mr_reader *reader, int64_t timeout_ns, struct mr_batch *batch,
                              struct mr_error *err) {
    *batch = (struct mr_batch){0};
    return reader->type->read(reader, timeout_ns, batch, err);
}

void mr_reader_close(struct mr_reader *reader) {
    if (reader) {
        reader->type->reader_close(reader);
    }
}

/* murmur2 as org.apache.kafka.common.utils.Utils computes it: Appleby's, with Kafka's seed, read
 * little-endian. Its negative answers lose their sign bit, as Utils.toPositive does. */
static uint32_t murmur2(struct mr_slice key) {
    const uint32_t m = 0x5bd1e995;
    const unsigned char *at = (const unsigned char *)key.data;
    uint32_t hash = 0x9747b28c ^ (uint32_t)key.length;
    size_t length = key.length;
    for (; length >= 4; length -= 4, at += 4) {
        uint32_t k =
            (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        k *= m;
        k ^= k >> 24;
        hash = hash * m ^ k * m;
    }
    for (size_t i = length; i > 0; i--) {
        hash ^= (uint32_t)at[i - 1] << 8 * (i - 1);
    }
    if (length > 0) {
        hash *= m;
    }
    hash ^= hash >> 13;
    hash *= m;
    return hash ^ hash >> 15;
}

uint32_t mr_partition_of(struct mr_slice key, uint32_t partitions, uint64_t *counter) {
    if (!key.data) {
        return (uint32_t)((*counter)++ % partitions);
    }
    return (murmur2(key) & 0x7fffffff) % partitions;
}
