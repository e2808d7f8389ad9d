/* Builders for tests of the log: a log of its own, topics, records, and what is in them. */
#include "tests/lib/log_contract.h"
#include "tests/lib/temp.h"

#include <stdlib.h>

#define START_NS INT64_C(1763694600000000000)

static void open_log(struct mr_log_fixture *fixture) {
    struct mr_error err;
    if (mr_log_open(fixture->url, &(struct mr_log_options){.make = true}, &fixture->clock,
                    &fixture->log, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
}

struct mr_log_fixture *mr_fixture_create(const char *scheme) {
    struct mr_log_fixture *fixture = mr_allocate(sizeof *fixture);
    fixture->directory = mr_temp_create();
    fixture->clock = mr_virtual_clock(START_NS);
    struct mr_buffer url = {0};
    mr_buffer_format(&url, "%s:%s/log", scheme, fixture->directory);
    mr_buffer_add(&url, "", 1);
    fixture->url = url.data;
    open_log(fixture);
    return fixture;
}

void mr_fixture_reopen(struct mr_log_fixture *fixture) {
    mr_log_close(fixture->log);
    open_log(fixture);
}

void mr_fixture_destroy(struct mr_log_fixture *fixture) {
    mr_log_close(fixture->log);
    mr_temp_remove(fixture->directory);
    free(fixture->url);
    free(fixture);
}

const char *mr_fixture_scheme;

int mr_fixture_set_up(void **state) {
    *state = mr_fixture_create(mr_fixture_scheme);
    return 0;
}

int mr_fixture_tear_down(void **state) {
    mr_fixture_destroy(*state);
    return 0;
}

int mr_log_contract_run(const char *scheme) {
    mr_fixture_scheme = scheme;
    return _cmocka_run_group_tests("topics and records", mr_topic_contract, mr_topic_contract_count,
                                   NULL, NULL) +
           _cmocka_run_group_tests("sessions", mr_session_contract, mr_session_contract_count, NULL,
                                   NULL);
}

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
    struct mr_session *producer;
    struct mr_error err = {""};
    struct mr_append record = {
        .topic = topic, .partition = partition, .timestamp_ns = -1, .value = mr_slice_of(value)};
    if (mr_session_open(log, &(struct mr_session_options){0}, &producer, &err) != MR_OK ||
        mr_session_append(producer, &record, &err) != MR_OK ||
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

void mr_assert_says(const struct mr_error *err, const char *part) {
    if (!strstr(err->text, part)) {
        fail_msg("expected \"%s\" in \"%s\"", part, err->text);
    }
}

void mr_poll_for(struct mr_session *session, enum mr_event_kind kind, struct mr_event *event) {
    struct mr_error err;
    for (int i = 0; i < 1000; i++) {
        enum mr_status status = mr_session_poll(session, 0, event, &err);
        if (status == MR_OK && event->kind == MR_EVENT_ASSIGNED && kind != MR_EVENT_ASSIGNED) {
            status = mr_session_start(session, &event->source, event->offset, &err);
        }
        if (status != MR_OK) {
            fail_msg("%s", err.text);
        }
        if (event->kind == kind) {
            return;
        }
    }
    fail_msg("the event %d did not come", (int)kind);
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

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads to the end; each record becomes a text of its own. */
static size_t read_all(struct mr_log *log, const char *topic, uint32_t partition, bool keys,
                       char *texts[4096]) {
    struct mr_partition source = {.partition = partition};
    snprintf(source.topic, sizeof source.topic, "%s", topic);
    struct mr_reader *reader;
    struct mr_batch batch = {0};
    struct mr_error err;
    size_t count = 0;
    enum mr_status status = mr_reader_open(log, &source, -1, &reader, &err);
    while (status == MR_OK && !batch.end) {
        status = mr_reader_read(reader, MR_SECOND, &batch, &err);
        for (size_t i = 0; status == MR_OK && i < batch.count; i++) {
            const struct mr_message *m = &batch.messages[i];
            assert_true(count < 4096);
            int length = asprintf(&texts[count++], "%.*s%s%.*s", keys ? (int)m->key.length : 0,
                                  m->key.data ? m->key.data : "", keys ? "=" : "",
                                  (int)m->value.length, m->value.data ? m->value.data : "");
            assert_true(length >= 0);
        }
    }
    if (status != MR_OK) {
        fail_msg("%s", err.text);
    }
    mr_reader_close(reader);
    return count;
}

static const char *join(char **texts, size_t count) {
    static char joined[65536];
    size_t length = 0;
    joined[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        length += (size_t)snprintf(joined + length, sizeof joined - length, "%s%s", i ? " " : "",
                                   texts[i]);
        assert_true(length < sizeof joined);
        free(texts[i]);
    }
    return joined;
}

const char *mr_values(struct mr_log *log, const char *topic, uint32_t partition) {
    char *texts[4096];
    return join(texts, read_all(log, topic, partition, false, texts));
}

const char *mr_kept(struct mr_log *log, const char *topic) {
    char *texts[4096];
    size_t count = read_all(log, topic, 0, true, texts);
    qsort(texts, count, sizeof *texts, by_text);
    return join(texts, count);
}
