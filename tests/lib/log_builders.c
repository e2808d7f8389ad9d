/* Builders for tests of the log: topics, records, sessions, and waiting for what must come. */
#include "tests/lib/log_contract.h"

#include <stdlib.h>

#define PATIENCE (30 * MR_SECOND)

static void make(struct mr_log *log, const struct mr_topic *topic) {
    struct mr_error err;
    if (mr_log_create(log, topic, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
}

void mr_make_topic(struct mr_log *log, const char *name, uint32_t partitions) {
    struct mr_topic topic = {.partitions = partitions, .retention_ns = -1, .retention_bytes = -1};
    snprintf(topic.name, sizeof topic.name, "%s", name);
    make(log, &topic);
}

void mr_make_job_topic(struct mr_log *log, const char *name, const char *job,
                       enum mr_retention_kind kind) {
    struct mr_topic topic = {
        .partitions = 1, .kind = kind, .retention_ns = -1, .retention_bytes = -1};
    snprintf(topic.name, sizeof topic.name, "%s", name);
    snprintf(topic.job, sizeof topic.job, "%s", job);
    make(log, &topic);
}

void mr_produce(struct mr_log *log, const char *topic, uint32_t partition, const char *value) {
    struct mr_session *producer = mr_open_producer(log);
    struct mr_error err = {""};
    struct mr_append record = {
        .topic = topic, .partition = partition, .timestamp_ns = -1, .value = mr_slice_of(value)};
    if (mr_session_append(producer, &record, &err) != MR_OK ||
        mr_session_commit(producer, NULL, 0, &err) != MR_COMMITTED) {
        fail_msg("%s", err.text);
    }
    mr_session_close(producer);
}

struct mr_session *mr_open_worker(struct mr_log *log, const char *job, const char *input,
                                  uint32_t worker, uint32_t workers) {
    struct mr_session *session;
    struct mr_error err;
    struct mr_session_options options = {job, input, NULL, worker, workers};
    if (mr_session_open(log, &options, &session, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
    return session;
}

struct mr_session *mr_open_producer(struct mr_log *log) {
    struct mr_session *producer;
    struct mr_error err;
    if (mr_session_open(log, &(struct mr_session_options){0}, &producer, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
    return producer;
}

enum mr_commit mr_commit_at(struct mr_session *session, const char *topic, int64_t offset,
                            const char *note) {
    struct mr_position position = {mr_partition_at(topic, 0), offset, mr_slice_of(note)};
    return mr_session_commit(session, &position, 1, NULL);
}

void mr_append_text(struct mr_session *session, const char *topic, const char *key,
                    const char *value) {
    struct mr_error err;
    struct mr_append record = {.topic = topic, .timestamp_ns = -1};
    record.key = key ? mr_slice_of(key) : (struct mr_slice){0};
    record.value = value ? mr_slice_of(value) : (struct mr_slice){0};
    if (mr_session_append(session, &record, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
}

void mr_assert_says(const struct mr_error *err, const char *part) {
    if (!strstr(err->text, part)) {
        fail_msg("expected \"%s\" in \"%s\"", part, err->text);
    }
}

int64_t mr_deadline(void) {
    return mr_real_clock.steady_ns(&mr_real_clock) + PATIENCE;
}

void mr_wait_until(int64_t deadline, const char *what) {
    if (mr_real_clock.steady_ns(&mr_real_clock) > deadline) {
        fail_msg("%s did not come within %d s", what, (int)(PATIENCE / MR_SECOND));
    }
}

void mr_poll_once(struct mr_session *session, struct mr_event *event) {
    struct mr_error err;
    if (mr_session_poll(session, MR_TURN, event, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
}

void mr_poll_for(struct mr_session *session, enum mr_event_kind kind, struct mr_event *event) {
    static const char *const names[] = {"NONE", "ASSIGNED", "REVOKED", "LOST", "BATCH", "END"};
    int64_t deadline = mr_deadline();
    struct mr_error err;
    for (;;) {
        mr_poll_once(session, event);
        if (event->kind == kind) {
            return;
        }
        if (event->kind == MR_EVENT_ASSIGNED &&
            mr_session_start(session, &event->source, event->offset, &err) != MR_OK) {
            fail_msg("%s", err.text);
        }
        mr_wait_until(deadline, names[kind]);
    }
}

/* ---- What a partition holds ----------------------------------------------------------------- */

static struct mr_reader *open_reader(struct mr_log *log, const struct mr_partition *source,
                                     int64_t from) {
    struct mr_reader *reader;
    struct mr_error err;
    if (mr_reader_open(log, source, from, &reader, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
    return reader;
}

/* Reads on to the next end; the records that came. */
static size_t read_on(struct mr_reader *reader, mr_visit *visit, void *arg) {
    int64_t deadline = mr_deadline();
    struct mr_batch batch;
    struct mr_error err;
    size_t count = 0;
    do {
        if (mr_reader_read(reader, MR_TURN, &batch, &err) != MR_OK) {
            fail_msg("%s", err.text);
        }
        for (size_t i = 0; visit && i < batch.count; i++) {
            visit(arg, &batch.messages[i]);
        }
        count += batch.count;
        mr_wait_until(deadline, "the end of the partition");
    } while (!batch.end);
    return count;
}

size_t mr_read_each(struct mr_log *log, const struct mr_partition *source, int64_t from,
                    mr_visit *visit, void *arg) {
    struct mr_reader *reader = open_reader(log, source, from);
    size_t count = read_on(reader, visit, arg);
    mr_reader_close(reader);
    return count;
}

static size_t read_so_many(struct mr_log *log, const struct mr_partition *source, size_t wanted,
                           mr_visit *visit, void *arg) {
    int64_t deadline = mr_deadline();
    struct mr_reader *reader = open_reader(log, source, -1);
    size_t count = read_on(reader, visit, arg);
    while (count < wanted) {
        mr_wait_until(deadline, "what was committed");
        count += read_on(reader, visit, arg);
    }
    mr_reader_close(reader);
    return count;
}

void mr_assert_count(struct mr_log *log, const char *topic, uint32_t partition, size_t count) {
    struct mr_partition source = mr_partition_at(topic, partition);
    assert_int_equal(read_so_many(log, &source, count, NULL, NULL), count);
}

struct text {
    size_t count, length;
    char bytes[65536];
};

static void add_value(void *arg, const struct mr_message *m) {
    struct text *text = arg;
    text->length += (size_t)snprintf(text->bytes + text->length, sizeof text->bytes - text->length,
                                     "%s%.*s", text->count++ ? " " : "", (int)m->value.length,
                                     m->value.data ? m->value.data : "");
    assert_true(text->length < sizeof text->bytes);
}

void mr_assert_values(struct mr_log *log, const char *topic, uint32_t partition,
                      const char *values) {
    struct mr_partition source = mr_partition_at(topic, partition);
    struct text text = {0};
    size_t count = *values ? 1 : 0;
    for (const char *at = values; *at; at++) {
        count += *at == ' ';
    }
    read_so_many(log, &source, count, add_value, &text);
    assert_string_equal(text.bytes, values);
}

const char *mr_values(struct mr_log *log, const char *topic, uint32_t partition) {
    static struct text text;
    struct mr_partition source = mr_partition_at(topic, partition);
    text = (struct text){0};
    mr_read_each(log, &source, -1, add_value, &text);
    return text.bytes;
}

struct kept {
    char *entries[4096]; /* "key=value", or "key" of a tombstone */
    size_t count;
};

static void keep_last(void *arg, const struct mr_message *m) {
    struct kept *kept = arg;
    size_t i = 0;
    while (i < kept->count &&
           (strncmp(kept->entries[i], m->key.data, m->key.length) != 0 ||
            (kept->entries[i][m->key.length] != '=' && kept->entries[i][m->key.length] != '\0'))) {
        i++;
    }
    assert_true(i < sizeof kept->entries / sizeof *kept->entries);
    if (i == kept->count) {
        kept->count++;
    } else {
        free(kept->entries[i]);
    }
    assert_true(asprintf(&kept->entries[i], "%.*s%s%.*s", (int)m->key.length, m->key.data,
                         m->value.data ? "=" : "", (int)m->value.length,
                         m->value.data ? m->value.data : "") >= 0);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

const char *mr_kept(struct mr_log *log, const char *topic) {
    static struct text text;
    struct kept kept = {.count = 0};
    struct mr_partition source = mr_partition_at(topic, 0);
    text = (struct text){0};
    mr_read_each(log, &source, -1, keep_last, &kept);
    qsort(kept.entries, kept.count, sizeof *kept.entries, by_text);
    for (size_t i = 0; i < kept.count; i++) {
        if (strchr(kept.entries[i], '=')) {
            struct mr_message entry = {.value = mr_slice_of(kept.entries[i])};
            add_value(&text, &entry);
        }
        free(kept.entries[i]);
    }
    return text.bytes;
}
