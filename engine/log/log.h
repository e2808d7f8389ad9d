/* log: partitioned, append-only topics of records, behind one interface with several back ends
 * (the word "log" never means diagnostics here).
 *
 * Three ways in:
 *   session   a worker's side: assigned partitions, polled batches, and one transaction at a time
 *             that holds appended records together with the positions they came from
 *   producer  a session without a job: appends to plain topics, commit makes them durable
 *   reader    group-less, of one partition: tables, sinks, tail, restore
 *
 * Caveats
 * - A batch's bytes are borrowed until the next poll, commit, abort or close of the same session,
 *   or the next read or close of the same reader. Appending does not end it.
 * - A session and a reader belong to one thread; the log itself may be shared by threads.
 * - After anything but MR_COMMITTED the worker throws its memory away, restores, and resumes
 *   from the committed position. There is no undo.
 * - The log knows nothing of event time: a position carries the engine's note as it is.
 * - Offsets ascend with gaps (a broker's transaction markers, aborted records, compaction), so
 *   the offset behind the last record need not be the end: END and mr_batch.end tell. */
#ifndef ENGINE_LOG_H
#define ENGINE_LOG_H

#include "engine/base/base.h"
#include <stdatomic.h>

#define MR_TOPIC_NAME_MAX 249 /* as Kafka: letters, digits, '.', '_', '-' */
#define MR_PARTITIONS_MAX 1024
#define MR_NOTE_MAX       3840 /* of a position, printable ASCII: 4,096 less the writer */

struct mr_log_options {
    bool make; /* a directory that is not there is created; else that is an error */
    const struct mr_property *properties; /* of the client; a log without one ignores them */
    size_t property_count;
    const atomic_bool *stop; /* leaves a wait for a broker when set (MR_FAIL); NULL: never    */
};

/* Each back end embeds these as the first member of its own struct. */
struct mr_log {
    const struct mr_log_type *type;
    char *url; /* as opened, for messages */
    const struct mr_clock *clock;
};
struct mr_session {
    const struct mr_log_type *type;
    size_t pending_bytes; /* appended since the last commit */
};
struct mr_reader {
    const struct mr_log_type *type;
};

enum mr_retention_kind { MR_KEEP_RECORDS, MR_KEEP_LAST_OF_KEY /* a changelog */ };

struct mr_topic {
    char name[MR_TOPIC_NAME_MAX + 1];
    uint32_t partitions;
    enum mr_retention_kind kind;
    /* Records older than this, by append time, may go; -1: kept for good. Kafka: by timestamp, so
     * that rows of long ago may go from a job's topic at once. */
    int64_t retention_ns;
    int64_t retention_bytes; /* of one partition; -1: no bound         */
    int64_t lag_ns; /* of one that is compacted: each record stays at least so long (Kafka) */
    /* The job that owns it; "": anyone may produce, or the log keeps no owners (Kafka). */
    char job[MR_TOPIC_NAME_MAX + 1];
};

struct mr_partition {
    char topic[MR_TOPIC_NAME_MAX + 1];
    uint32_t partition;
};

struct mr_batch {
    struct mr_partition source;
    const struct mr_message *messages; /* ascending offsets, gaps allowed                */
    size_t count;
    bool append_stamped; /* append_ns is the log's; else it repeats the producer's timestamp */
    bool end;            /* of a reader: nothing follows for now                             */
};

enum mr_event_kind {
    MR_EVENT_NONE,     /* nothing within the timeout                                       */
    MR_EVENT_ASSIGNED, /* restore, then mr_session_start                                   */
    MR_EVENT_REVOKED,  /* commit, then forget the task; handed over by the next poll       */
    MR_EVENT_LOST,     /* forget the task: someone else has it                             */
    MR_EVENT_BATCH,
    MR_EVENT_END, /* this partition was polled at its end and had nothing: a quiet poll */
};

struct mr_event {
    enum mr_event_kind kind;
    struct mr_partition source;
    int64_t offset; /* ASSIGNED: the committed one, -1: none; END: the place reached */
    bool anew;      /* END: the broker was away since the last one, so a silence begins only now */
    struct mr_slice note; /* ASSIGNED: the committed note                                  */
    struct mr_batch batch;
};

/* Read `offset` next; the note is the engine's. */
struct mr_position {
    struct mr_partition source;
    int64_t offset;
    struct mr_slice note;
};

enum mr_commit {
    MR_COMMITTED,
    MR_ABORTED, /* nothing of it happened; restore and go on                                 */
    MR_FENCED,  /* nothing happened: a partition, or the session, is no longer ours           */
    MR_UNKNOWN, /* perhaps: compare the committed offset                                     */
};

/* What a worker asks for. job == NULL: a producer, `input` is ignored. */
struct mr_session_options {
    const char *job;
    const char *input;        /* the topic whose partitions are shared out                     */
    const char *instance;     /* of this process, the same after a restart; NULL: the only one  */
    uint32_t worker, workers; /* this session of so many of this process                       */
};

struct mr_append {
    const char *topic;
    uint32_t partition;
    /* -1: none. Kafka keeps whole milliseconds, and of a plain topic the time of appending. */
    int64_t timestamp_ns;
    struct mr_slice key, value; /* value.data == NULL: a tombstone */
    const struct mr_header *headers;
    size_t header_count;
};

struct mr_check_report {
    uint64_t records, bad_records;
    struct mr_error first; /* what and where; "" when all is well */
};

/* ---- A back end: one const struct at the end of its file ----------------------------------- */
struct mr_log_type {
    const char *scheme; /* "local": the part of the URL before the colon */
    const char *summary;

    /* `path`: what follows the colon. */
    enum mr_status (*open)(const char *path, const struct mr_log_options *options,
                           const struct mr_clock *clock, struct mr_log **log, struct mr_error *err);
    void (*close)(struct mr_log *log);

    enum mr_status (*describe)(struct mr_log *log, const char *topic, struct mr_topic *out,
                               struct mr_error *err);
    enum mr_status (*create)(struct mr_log *log, const struct mr_topic *topic,
                             struct mr_error *err);
    enum mr_status (*list)(struct mr_log *log, struct mr_topic **topics, size_t *count,
                           struct mr_error *err);
    enum mr_status (*bounds)(struct mr_log *log, const struct mr_partition *source, int64_t *first,
                             int64_t *end, struct mr_error *err);
    enum mr_status (*check)(struct mr_log *log, const char *topic, struct mr_check_report *report,
                            struct mr_error *err);
    enum mr_status (*reset)(struct mr_log *log, const char *job, const char *changelog,
                            struct mr_error *err);
    enum mr_status (*trim)(struct mr_log *log, const struct mr_partition *source, int64_t before,
                           struct mr_error *err);

    /* NULL: nobody is kept out */
    enum mr_status (*permits)(struct mr_log *log, const char *job, struct mr_error *err);

    enum mr_status (*session_open)(struct mr_log *log, const struct mr_session_options *options,
                                   struct mr_session **session, struct mr_error *err);
    enum mr_status (*poll)(struct mr_session *session, int64_t timeout_ns, struct mr_event *event,
                           struct mr_error *err);
    enum mr_status (*start)(struct mr_session *session, const struct mr_partition *source,
                            int64_t offset, struct mr_error *err);
    enum mr_status (*append)(struct mr_session *session, const struct mr_append *record,
                             struct mr_error *err);
    enum mr_commit (*commit)(struct mr_session *session, const struct mr_position *positions,
                             size_t count, struct mr_error *err);
    void (*abort)(struct mr_session *session);
    void (*session_close)(struct mr_session *session);

    enum mr_status (*reader_open)(struct mr_log *log, const struct mr_partition *source,
                                  int64_t from, struct mr_reader **reader, struct mr_error *err);
    enum mr_status (*read)(struct mr_reader *reader, int64_t timeout_ns, struct mr_batch *batch,
                           struct mr_error *err);
    void (*reader_close)(struct mr_reader *reader);
};

extern const struct mr_log_type *const mr_log_types[]; /* ends with NULL */
extern const struct mr_log_type mr_local_log, mr_memory_log, mr_kafka_log;

/* ---- The face that the other rooms use ------------------------------------------------------ */

/* Opens "local:./data" or "memory:". The options are copied; NULL: all zero. */
enum mr_status mr_log_open(const char *url, const struct mr_log_options *options,
                           const struct mr_clock *clock, struct mr_log **log, struct mr_error *err);
void mr_log_close(struct mr_log *log); /* accepts NULL; sessions and readers are closed before */

/* MR_REJECT when there is no such topic (and a sentence that names the log). */
enum mr_status mr_log_describe(struct mr_log *log, const char *topic, struct mr_topic *out,
                               struct mr_error *err);
/* Creates it, or checks that it is as asked: partitions, kind and job; retention is left as it
 * is. MR_REJECT with what differs. */
enum mr_status mr_log_create(struct mr_log *log, const struct mr_topic *topic,
                             struct mr_error *err);
/* Sorted by name; the caller frees. */
enum mr_status mr_log_list(struct mr_log *log, struct mr_topic **topics, size_t *count,
                           struct mr_error *err);
/* [first, end): the oldest offset that is there, and the next one to be given; what a transaction
 * still holds back is behind the end. Of a changelog: how much there may be to read. */
enum mr_status mr_log_bounds(struct mr_log *log, const struct mr_partition *source, int64_t *first,
                             int64_t *end, struct mr_error *err);
/* Reads everything and compares checksums; survives files that LMDB itself does not. */
enum mr_status mr_log_check(struct mr_log *log, const char *topic, struct mr_check_report *report,
                            struct mr_error *err);
/* Forgets the job's positions and everything in its changelog, in one transaction. Its output
 * stays. MR_REJECT while the job runs. */
enum mr_status mr_log_reset(struct mr_log *log, const char *job, const char *changelog,
                            struct mr_error *err);

/* Removes what a partition holds before that offset (-1: everything; 0: nothing, but a user who may
 * not is told so). The next record has the offset it would have had. Of a job's topic that keeps
 * records, by anyone and at any time: a reader or session that is still below is told that they are
 * gone. What fails, the next call does too. */
enum mr_status mr_log_trim(struct mr_log *log, const struct mr_partition *source, int64_t before,
                           struct mr_error *err);

/* Whether this user may run the job: join its group, commit its positions and transactions. Asks
 * for nothing that a running job would notice. */
enum mr_status mr_log_permits(struct mr_log *log, const char *job, struct mr_error *err);

/* MR_REJECT when the input topic is not there. Of two sessions of one job, instance and worker at
 * most one can commit: the second is refused, or the first is MR_FENCED from then on. */
enum mr_status mr_session_open(struct mr_log *log, const struct mr_session_options *options,
                               struct mr_session **session, struct mr_error *err);
/* What happened next. Never blocks longer than the timeout; goes round the partitions fairly. A
 * partition at its end answers END each time round; when all do, the call first waits for new
 * records, at most the timeout. MR_FAIL: the log cannot be read (a bad checksum names topic,
 * partition and offset). */
enum mr_status mr_session_poll(struct mr_session *session, int64_t timeout_ns,
                               struct mr_event *event, struct mr_error *err);
/* Begins to deliver an assigned partition at `offset` (below the first one: MR_REJECT, records
 * the job has not read are gone; -1: at the first). */
enum mr_status mr_session_start(struct mr_session *session, const struct mr_partition *source,
                                int64_t offset, struct mr_error *err);
/* Adds a record to the open transaction; the bytes are copied. Never blocks. */
enum mr_status mr_session_append(struct mr_session *session, const struct mr_append *record,
                                 struct mr_error *err);
/* Bytes appended since the last commit: the worker stops polling above a limit. */
size_t mr_session_pending(const struct mr_session *session);
/* Everything appended, and the positions, or nothing. Durable when MR_COMMITTED, and readers see
 * it then or soon (those of a changelog wait for it); else what was appended is dropped and what
 * is still the session's is assigned anew by the next polls. A position of a partition that is not
 * the session's: MR_FENCED.
 * A producer's commit is all or nothing for each partition only: MR_UNKNOWN says that some of them
 * may have it. */
enum mr_commit mr_session_commit(struct mr_session *session, const struct mr_position *positions,
                                 size_t count, struct mr_error *err);
/* Drops what was appended. The session's partitions are assigned anew by the next polls. */
void mr_session_abort(struct mr_session *session);
void mr_session_close(struct mr_session *session); /* aborts; accepts NULL */

/* Reads one partition from an offset (-1: from the first) as far as it goes. Of a changelog from
 * -1: all that was committed, or may still be, when it was opened; the last value of every key,
 * perhaps after older ones and tombstones, the keys in any order. A log that keeps a changelog by
 * key ignores another `from`; Kafka reads a compacted topic from it as any other. */
enum mr_status mr_reader_open(struct mr_log *log, const struct mr_partition *source, int64_t from,
                              struct mr_reader **reader, struct mr_error *err);
/* batch->count == 0: nothing came within the timeout, or, with batch->end, nothing follows for
 * now; call again for more. */
enum mr_status mr_reader_read(struct mr_reader *reader, int64_t timeout_ns, struct mr_batch *batch,
                              struct mr_error *err);
void mr_reader_close(struct mr_reader *reader); /* accepts NULL */

/* The partition of a key, as Kafka's Java client: murmur2 of the key. No key: round robin over
 * `counter`. */
uint32_t mr_partition_of(struct mr_slice key, uint32_t partitions, uint64_t *counter);

#endif
