/* Inside the memory log: what is kept, shared by memory.c (topics, readers) and memory_session.c.
 * Everything is guarded by `lock`, but for stored messages, which never change or move. */
#ifndef ENGINE_LOG_MEMORY_STORE_H
#define ENGINE_LOG_MEMORY_STORE_H

#include "engine/log/back_end.h"
#include "engine/log/memory.h"

#include <pthread.h>
#include <uthash.h>

#define MR_CHUNK_RECORDS 1024

struct mr_chunk {
    struct mr_message messages[MR_CHUNK_RECORDS];
    void *memory[MR_CHUNK_RECORDS]; /* what messages[i] points into */
};

struct mr_kept { /* the last record of a key */
    UT_hash_handle hh;
    struct mr_message message;
    void *memory;
};

struct mr_memory_partition {
    struct mr_chunk **chunks; /* MR_KEEP_RECORDS */
    int64_t end;
    struct mr_kept *kept; /* MR_KEEP_LAST_OF_KEY */
};

struct mr_memory_topic {
    struct mr_topic topic;
    struct mr_memory_partition *partitions;
};

struct mr_memory_position {
    UT_hash_handle hh;
    char source[MR_TOPIC_NAME_MAX + 16]; /* "topic/partition" */
    int64_t offset;
    char *note;
    size_t note_length;
};

struct mr_memory_job {
    char name[MR_TOPIC_NAME_MAX + 1];
    uint32_t workers, running; /* as its sessions say; how many of them are open */
    bool open[MR_PARTITIONS_MAX];
    struct mr_memory_position *positions;
};

struct mr_memory_log {
    struct mr_log base;
    pthread_mutex_t lock;
    pthread_cond_t grown;
    struct mr_memory_topic **topics;
    size_t topic_count;
    struct mr_memory_job **jobs;
    size_t job_count;
    uint64_t life; /* grows with every crash */
    bool fault_set;
    enum mr_memory_fault fault;
    size_t limit;
    int64_t next; /* a partition; -1: none was asked for */
};

/* All of these with the lock held. */
struct mr_memory_topic *mr_memory_topic_find(const struct mr_memory_log *log, const char *name);
struct mr_memory_job *mr_memory_job_find(struct mr_memory_log *log, const char *name);
void mr_memory_job_forget(struct mr_memory_job *job);
void mr_memory_partition_empty(struct mr_memory_partition *partition);
/* Takes `memory`, which the message points into. */
void mr_memory_partition_add(struct mr_memory_topic *topic, uint32_t partition,
                             struct mr_message message, void *memory);
/* The records from `offset` on, as many as one batch holds. */
void mr_memory_partition_batch(const struct mr_memory_log *log, const struct mr_memory_topic *topic,
                               uint32_t partition, int64_t offset, struct mr_batch *batch);
/* Copies what is appended into one allocation, which the message points into. */
void *mr_memory_copy(const struct mr_append *record, struct mr_message *message);

/* memory_session.c, for the descriptor. */
enum mr_status mr_memory_session_open(struct mr_log *log, const struct mr_session_options *options,
                                      struct mr_session **session, struct mr_error *err);
enum mr_status mr_memory_session_poll(struct mr_session *session, int64_t timeout_ns,
                                      struct mr_event *event, struct mr_error *err);
enum mr_status mr_memory_session_start(struct mr_session *session,
                                       const struct mr_partition *source, int64_t offset,
                                       struct mr_error *err);
enum mr_status mr_memory_session_append(struct mr_session *session, const struct mr_append *record,
                                        struct mr_error *err);
enum mr_commit mr_memory_session_commit(struct mr_session *session,
                                        const struct mr_position *positions, size_t count,
                                        struct mr_error *err);
void mr_memory_session_abort(struct mr_session *session);
void mr_memory_session_close(struct mr_session *session);

#endif
