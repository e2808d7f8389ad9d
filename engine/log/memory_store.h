/* Inside the memory log: what is kept, and by whom it is read; see memory.c for its files.
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
    struct mr_chunk **chunks;
    size_t count;         /* records in the chunks                              */
    int64_t first;        /* what is before it was trimmed                      */
    int64_t end;          /* the next offset; behind gaps more than the count   */
    bool written;         /* by the transaction that is being applied           */
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

/* Who has a partition of a job's input. */
struct mr_memory_share {
    uint32_t owner;
    int64_t heir;    /* who gets it when the owner has been told and polls again; -1: nobody */
    uint32_t former; /* who had it before; it hears of that after so many polls              */
    int polls;
    uint64_t term; /* grows with every move                                                */
};

struct mr_memory_job {
    char name[MR_TOPIC_NAME_MAX + 1];
    uint32_t workers, running; /* as its sessions say; how many of them are open */
    bool open[MR_PARTITIONS_MAX];
    uint32_t partitions; /* of the input, since the first session */
    struct mr_memory_share *shares;
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
    int64_t next;        /* a partition; -1: none was asked for */
    bool gaps, versions; /* as asked in memory.h                */
};

/* All of these with the lock held. */
struct mr_memory_topic *mr_memory_topic_find(const struct mr_memory_log *log, const char *name);
struct mr_memory_job *mr_memory_job_find(struct mr_memory_log *log, const char *name);
void mr_memory_job_forget(struct mr_memory_job *job);
void mr_memory_partition_empty(struct mr_memory_partition *partition);
/* Takes `memory`, which the message points into. */
void mr_memory_partition_add(const struct mr_memory_log *log, struct mr_memory_topic *topic,
                             uint32_t partition, struct mr_message message, void *memory);
/* As mr_log_bounds says; how many records were not trimmed; one of those in the chunks. */
int64_t mr_memory_partition_end(const struct mr_memory_topic *topic, uint32_t partition);
size_t mr_memory_partition_count(const struct mr_memory_partition *partition);
const struct mr_message *mr_memory_partition_at(const struct mr_memory_partition *partition,
                                                size_t index);
/* The records from *next on, as many as one batch holds; *next moves behind them. MR_FAIL: they
 * were trimmed. */
enum mr_status mr_memory_partition_batch(const struct mr_memory_log *log,
                                         const struct mr_memory_topic *topic, uint32_t partition,
                                         int64_t *next, struct mr_batch *batch,
                                         struct mr_error *err);
/* Copies what is appended into one allocation, which the message points into. */
void *mr_memory_copy(const struct mr_append *record, struct mr_message *message);

/* ---- memory_group.c ------------------------------------------------------------------------- */
/* One session of a job. All of these with the lock held. */
struct mr_memory_member {
    struct mr_memory_job *job; /* NULL: a producer                       */
    uint32_t worker;
    struct mr_ring ring; /* a seat for each partition of the input */
    uint64_t *terms;     /* by seat, when it was taken             */
};
enum mr_status mr_memory_member_join(struct mr_memory_member *member, struct mr_memory_job *job,
                                     const struct mr_session_options *options, uint32_t partitions,
                                     struct mr_error *err);
void mr_memory_member_leave(struct mr_memory_member *member);
void mr_memory_member_finish(struct mr_memory_member *member);
/* What the worker is to be told of its partitions first. */
enum mr_event_kind mr_memory_member_poll(struct mr_memory_member *member, uint32_t *partition);
/* Whether every position is of a partition that it has. Says which one is not. */
bool mr_memory_member_has(const struct mr_memory_member *member, const char *input,
                          const struct mr_position *positions, size_t count, struct mr_error *err);

/* ---- memory_session.c, for the descriptor --------------------------------------------------- */
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
