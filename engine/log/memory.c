/* The memory log: topics of one process, for tests, simulation and benchmarks.
 *
 *   memory.c           topics, readers, and what a simulator asks
 *   memory_session.c   sessions and commits
 *   memory_group.c     which worker has which partition
 *   memory_store.c     what is kept
 *
 * The reader of a changelog takes copies.
 *
 * Each open makes a log of its own. Retention is not applied: records "may go", and here they stay.
 * What is trimmed is not delivered any more, but stays too: somebody may have borrowed it.
 * Append time is the clock's at commit, one stamp for a transaction. */
#include "engine/log/memory_store.h"

#include <assert.h>
#include <stdlib.h>

struct memory_reader {
    struct mr_reader base;
    struct mr_memory_log *log;
    const struct mr_memory_topic *topic;
    uint32_t partition;
    int64_t next;
    /* of a changelog, copied at open */
    struct mr_message *kept;
    void **memory;
    size_t kept_count;
};

/* ---- The log -------------------------------------------------------------------------------- */

static enum mr_status memory_open(const char *path, const struct mr_log_options *options,
                                  const struct mr_clock *clock, struct mr_log **out,
                                  struct mr_error *err) {
    struct mr_memory_log *log = mr_allocate(sizeof *log);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&log->grown, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&log->lock, NULL);
    log->next = -1;
    *out = &log->base;
    return MR_OK;
}

static void memory_close(struct mr_log *base) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    for (size_t i = 0; i < log->topic_count; i++) {
        for (uint32_t p = 0; p < log->topics[i]->topic.partitions; p++) {
            mr_memory_partition_empty(&log->topics[i]->partitions[p]);
        }
        free(log->topics[i]->partitions);
        free(log->topics[i]);
    }
    for (size_t i = 0; i < log->job_count; i++) {
        mr_memory_job_forget(log->jobs[i]);
        free(log->jobs[i]->shares);
        free(log->jobs[i]);
    }
    pthread_cond_destroy(&log->grown);
    pthread_mutex_destroy(&log->lock);
    free(log->topics);
    free(log->jobs);
    free(log);
}

/* Takes the lock and finds the topic, or says that there is none; unlock in either case. */
static struct mr_memory_topic *lock_topic(struct mr_memory_log *log, const char *name,
                                          struct mr_error *err) {
    pthread_mutex_lock(&log->lock);
    struct mr_memory_topic *topic = mr_memory_topic_find(log, name);
    if (!topic) {
        mr_topic_missing(&log->base, name, err);
    }
    return topic;
}

static enum mr_status memory_describe(struct mr_log *base, const char *name, struct mr_topic *out,
                                      struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    struct mr_memory_topic *topic = lock_topic(log, name, err);
    if (topic) {
        *out = topic->topic;
    }
    pthread_mutex_unlock(&log->lock);
    return topic ? MR_OK : MR_REJECT;
}

static enum mr_status memory_create(struct mr_log *base, const struct mr_topic *wanted,
                                    struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    enum mr_status status = MR_OK;
    pthread_mutex_lock(&log->lock);
    struct mr_memory_topic *topic = mr_memory_topic_find(log, wanted->name);
    if (topic) {
        status = mr_topic_compare(&topic->topic, wanted, err);
    } else {
        topic = mr_allocate(sizeof *topic);
        topic->topic = *wanted;
        topic->partitions = mr_allocate_array(wanted->partitions, struct mr_memory_partition);
        size_t bytes = (log->topic_count + 1) * sizeof(struct mr_memory_topic *);
        log->topics = mr_reallocate(log->topics, bytes);
        log->topics[log->topic_count++] = topic;
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

static enum mr_status memory_list(struct mr_log *base, struct mr_topic **topics, size_t *count,
                                  struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    pthread_mutex_lock(&log->lock);
    *count = log->topic_count;
    *topics = mr_allocate_array(log->topic_count + 1, struct mr_topic);
    for (size_t i = 0; i < log->topic_count; i++) {
        (*topics)[i] = log->topics[i]->topic;
    }
    pthread_mutex_unlock(&log->lock);
    return MR_OK;
}

static enum mr_status memory_bounds(struct mr_log *base, const struct mr_partition *source,
                                    int64_t *first, int64_t *end, struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    struct mr_memory_topic *topic = lock_topic(log, source->topic, err);
    enum mr_status status = MR_REJECT;
    if (topic) {
        status = mr_topic_has(&topic->topic, source->partition, err);
    }
    if (status == MR_OK) {
        *first = topic->partitions[source->partition].first;
        *end = mr_memory_partition_end(topic, source->partition);
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

static enum mr_status memory_check(struct mr_log *base, const char *name,
                                   struct mr_check_report *report, struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    struct mr_memory_topic *topic = lock_topic(log, name, err);
    for (uint32_t p = 0; topic && p < topic->topic.partitions; p++) {
        report->records += mr_memory_partition_count(&topic->partitions[p]);
    }
    pthread_mutex_unlock(&log->lock);
    return topic ? MR_OK : MR_REJECT;
}

static enum mr_status memory_reset(struct mr_log *base, const char *name, const char *changelog,
                                   struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    enum mr_status status = MR_OK;
    pthread_mutex_lock(&log->lock);
    struct mr_memory_job *job = mr_memory_job_find(log, name);
    if (job->running > 0) {
        status = mr_error_set(err, MR_REJECT, "job \"%s\" is running on %s: stop it first", name,
                              base->url);
    } else {
        mr_memory_job_forget(job);
        struct mr_memory_topic *topic = mr_memory_topic_find(log, changelog);
        for (uint32_t p = 0; topic && p < topic->topic.partitions; p++) {
            mr_memory_partition_empty(&topic->partitions[p]);
        }
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

static enum mr_status memory_trim(struct mr_log *base, const struct mr_partition *source,
                                  int64_t before, struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    struct mr_memory_topic *topic = lock_topic(log, source->topic, err);
    enum mr_status status =
        topic ? mr_topic_may_trim(&topic->topic, source->partition, err) : MR_REJECT;
    if (status == MR_OK) {
        struct mr_memory_partition *partition = &topic->partitions[source->partition];
        int64_t first = before < 0 ? partition->end : before;
        status = mr_topic_reaches(source, first, -1, partition->end, err);
        if (status == MR_OK && first > partition->first) {
            partition->first = first;
        }
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

/* ---- Readers -------------------------------------------------------------------------------- */

static void copy_message(struct memory_reader *reader, const struct mr_message *m) {
    struct mr_append copy = {.timestamp_ns = m->timestamp_ns,
                             .key = m->key,
                             .value = m->value,
                             .headers = m->headers,
                             .header_count = m->header_count};
    struct mr_message *to = &reader->kept[reader->kept_count];
    reader->memory[reader->kept_count] = mr_memory_copy(&copy, to);
    to->append_ns = m->append_ns;
    to->offset = (int64_t)reader->kept_count++;
}

static void copy_changelog(struct memory_reader *reader) {
    const struct mr_memory_partition *from = &reader->topic->partitions[reader->partition];
    size_t count = mr_memory_partition_count(from);
    reader->kept = mr_allocate_array(count + 1, struct mr_message);
    reader->memory = mr_allocate_array(count + 1, void *);
    for (size_t i = 0; i < from->count; i++) {
        copy_message(reader, mr_memory_partition_at(from, i));
    }
    for (struct mr_kept *kept = from->kept; kept; kept = kept->hh.next) {
        copy_message(reader, &kept->message);
    }
}

static enum mr_status memory_reader_open(struct mr_log *base, const struct mr_partition *source,
                                         int64_t from, struct mr_reader **out,
                                         struct mr_error *err) {
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    int64_t first, end;
    enum mr_status status = memory_bounds(base, source, &first, &end, err);
    if (status != MR_OK) {
        return status;
    }
    struct mr_memory_topic *topic = lock_topic(log, source->topic, err);
    bool keyed = topic->topic.kind == MR_KEEP_LAST_OF_KEY;
    if (!keyed && from >= 0) {
        status = mr_topic_reaches(source, from, first, end, err);
    }
    if (status == MR_OK) {
        struct memory_reader *reader = mr_allocate(sizeof *reader);
        reader->log = log;
        reader->topic = topic;
        reader->partition = source->partition;
        reader->next = keyed ? 0 : from < 0 ? first : from;
        if (keyed) {
            copy_changelog(reader);
        }
        *out = &reader->base;
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

static void next_kept(struct memory_reader *reader, struct mr_batch *batch) {
    size_t left = reader->kept_count - (size_t)reader->next;
    size_t limit = reader->log->limit;
    size_t most = limit && limit < MR_BATCH_RECORDS ? limit : MR_BATCH_RECORDS;
    *batch =
        (struct mr_batch){.source = mr_partition_at(reader->topic->topic.name, reader->partition),
                          .messages = reader->kept + reader->next,
                          .count = left < most ? left : most,
                          .append_stamped = true};
    reader->next += (int64_t)batch->count;
}

static enum mr_status memory_read(struct mr_reader *base, int64_t timeout_ns,
                                  struct mr_batch *batch, struct mr_error *err) {
    struct memory_reader *reader = (struct memory_reader *)base;
    enum mr_status status = MR_OK;
    pthread_mutex_lock(&reader->log->lock);
    if (reader->kept) {
        next_kept(reader, batch);
    } else {
        status = mr_memory_partition_batch(reader->log, reader->topic, reader->partition,
                                           &reader->next, batch, err);
    }
    pthread_mutex_unlock(&reader->log->lock);
    batch->end = batch->count == 0;
    return status;
}

static void memory_reader_close(struct mr_reader *base) {
    struct memory_reader *reader = (struct memory_reader *)base;
    for (size_t i = 0; i < reader->kept_count; i++) {
        free(reader->memory[i]);
    }
    free(reader->kept);
    free(reader->memory);
    free(reader);
}

/* ---- What a simulator asks ------------------------------------------------------------------ */

static struct mr_memory_log *lock_log(struct mr_log *base) {
    assert(base->type == &mr_memory_log);
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    pthread_mutex_lock(&log->lock);
    return log;
}

void mr_memory_log_fail_commit(struct mr_log *base, enum mr_memory_fault fault) {
    struct mr_memory_log *log = lock_log(base);
    log->fault_set = true;
    log->fault = fault;
    pthread_mutex_unlock(&log->lock);
}

void mr_memory_log_crash(struct mr_log *base) {
    struct mr_memory_log *log = lock_log(base);
    log->life++;
    for (size_t i = 0; i < log->job_count; i++) {
        log->jobs[i]->running = 0;
        memset(log->jobs[i]->open, 0, sizeof log->jobs[i]->open);
    }
    pthread_cond_broadcast(&log->grown);
    pthread_mutex_unlock(&log->lock);
}

void mr_memory_log_lose(struct mr_log *base, const struct mr_partition *source, int64_t before) {
    struct mr_memory_log *log = lock_log(base);
    struct mr_memory_topic *topic = mr_memory_topic_find(log, source->topic);
    assert(topic && before <= topic->partitions[source->partition].end);
    topic->partitions[source->partition].first = before;
    pthread_mutex_unlock(&log->lock);
}

void mr_memory_log_limit(struct mr_log *base, size_t records) {
    struct mr_memory_log *log = lock_log(base);
    log->limit = records;
    pthread_mutex_unlock(&log->lock);
}

void mr_memory_log_gaps(struct mr_log *base) {
    struct mr_memory_log *log = lock_log(base);
    log->gaps = true;
    pthread_mutex_unlock(&log->lock);
}

void mr_memory_log_versions(struct mr_log *base) {
    struct mr_memory_log *log = lock_log(base);
    log->versions = true;
    pthread_mutex_unlock(&log->lock);
}

void mr_memory_log_next(struct mr_log *base, uint32_t partition) {
    struct mr_memory_log *log = lock_log(base);
    log->next = partition;
    pthread_mutex_unlock(&log->lock);
}

const struct mr_log_type mr_memory_log = {
    .scheme = "memory",
    .summary = "in this process's memory, gone at its end",
    .open = memory_open,
    .close = memory_close,
    .describe = memory_describe,
    .create = memory_create,
    .list = memory_list,
    .bounds = memory_bounds,
    .check = memory_check,
    .reset = memory_reset,
    .trim = memory_trim,
    .session_open = mr_memory_session_open,
    .poll = mr_memory_session_poll,
    .start = mr_memory_session_start,
    .append = mr_memory_session_append,
    .commit = mr_memory_session_commit,
    .abort = mr_memory_session_abort,
    .session_close = mr_memory_session_close,
    .reader_open = memory_reader_open,
    .read = memory_read,
    .reader_close = memory_reader_close,
};
