/* Private to a session on Kafka: what its files share.
 *
 *   kafka_session.c   the verbs: poll, turns, start, commit
 *   kafka_group.c     who owns what: rebalances, committed offsets
 *   kafka_offsets.c   committed offsets, and an open transaction that nobody ends
 *   kafka_writer.c    appended records, and the client that sends them
 *   kafka_commit.c    what was appended -> one transaction
 *   kafka_pulse.c     whether the partitions' leaders answer */
#ifndef ENGINE_LOG_KAFKA_SESSION_H
#define ENGINE_LOG_KAFKA_SESSION_H

#include "engine/log/kafka.h"

#define MR_KAFKA_WRITER_MAX 255 /* 4,096 bytes of metadata less the note */
#define MR_KAFKA_SLICE_MS   100

/* ---- Whether the leaders answer (kafka_pulse.c) ---------------------------------------------- */
#define MR_KAFKA_PULSES  64
#define MR_KAFKA_POKE_MS 1

/* When a broker last answered a fetch, and the time before that: only after a second answer has
 * everything of the first one reached the queues. By broker id modulo; written by threads of
 * librdkafka. */
struct mr_kafka_pulse {
    atomic_llong last_ns[MR_KAFKA_PULSES], before_ns[MR_KAFKA_PULSES];
    atomic_llong sent_ns[MR_KAFKA_PULSES]; /* a fetch, to that broker */
    rd_kafka_t *admin;                     /* the log's */
    rd_kafka_topic_t *topic;               /* of admin: the input */
    int32_t *leaders;                      /* by partition; -1: none, or not known */
    uint32_t count;
    int64_t asked_ns, poked_ns;
    int64_t stale_ns; /* no answer for so long: the leader is away */
};
enum mr_status mr_kafka_pulse_init(struct mr_kafka_pulse *pulse, struct mr_kafka_log *log,
                                   const char *topic, uint32_t partitions, struct mr_error *err);
void mr_kafka_pulse_finish(struct mr_kafka_pulse *pulse);
/* Before the client is made. */
void mr_kafka_pulse_listen(struct mr_kafka_pulse *pulse, rd_kafka_conf_t *conf);
/* Whether the partition's leader has answered lately, twice. */
bool mr_kafka_pulse_beats(struct mr_kafka_pulse *pulse, uint32_t partition);
/* A queue has run empty: sees to it that the client fetches. Whether to try again soon. */
bool mr_kafka_pulse_poke(struct mr_kafka_pulse *pulse, rd_kafka_t *client, uint32_t partition);

/* ---- Who owns what (kafka_group.c) ----------------------------------------------------------- */
enum mr_kafka_seat_state {
    MR_KAFKA_FREE,    /* not ours                                                  */
    MR_KAFKA_OWNED,   /* ours; which offset is committed?                          */
    MR_KAFKA_KNOWN,   /* ours; the worker is to be told                            */
    MR_KAFKA_TOLD,    /* the worker restores it                                    */
    MR_KAFKA_STARTED, /* it takes turns                                            */
};

/* A partition of the input. */
struct mr_kafka_seat {
    enum mr_kafka_seat_state state;
    bool fetching;               /* assigned in librdkafka's sense                        */
    bool revoked, lost;          /* the group wants it back, or has given it away         */
    rd_kafka_queue_t *queue;     /* NULL until the first start                          */
    struct mr_kafka_batch batch; /* of that queue                                   */
    int64_t next;                /* the offset to read next                               */
    bool at_end;                 /* the end was reached, and nothing came since           */
    bool unseen;         /* its leader did not answer since the last END                    */
    int64_t committed;   /* -1: none                                              */
    char *note;          /* committed, the engine's                               */
    int64_t unstable_ns; /* since when a transaction is open over it; 0: none     */
};

/* Which offsets are committed? One is under way at a time. */
struct mr_kafka_question {
    rd_kafka_queue_t *answers; /* NULL: none is under way                          */
    bool unstable;             /* of one partition, whatever is pending over it    */
    int64_t next_ns;           /* the next one no sooner                           */
};

struct mr_kafka_group {
    struct mr_kafka_log *log;
    const char *job, *writer; /* the session's */
    char input[MR_TOPIC_NAME_MAX + 1];
    rd_kafka_t *member;
    rd_kafka_queue_t *events;
    struct mr_kafka_seat *seats; /* by partition */
    uint32_t count, turn;
    uint32_t started, untold; /* seats that take turns; that the worker is still to be told of */
    bool assigned;            /* once, if only nothing */
    bool inside;  /* the group has given it its share, and not taken it for silence since */
    bool giving;  /* a revocation is under way: handed over when all has been told */
    bool closing; /* hand over without a word                                      */
    struct mr_error failure;
    enum mr_status failed;
    struct mr_kafka_wait asking, reading; /* stretches of waiting for a broker */
    char heard[256];                      /* what the client said last, of use in a sentence */
    int64_t joined_ns;
    struct mr_kafka_pulse pulse;
    struct mr_kafka_question question;
    rd_kafka_t *fencer; /* ends the transaction of somebody else; NULL: none       */
    char fenced[MR_KAFKA_WRITER_MAX + 1]; /* whose                                 */
    int64_t fenced_ns;
    int wake; /* an eventfd that librdkafka writes to */
};
/* Joins the group of the job; the partitions come later. */
enum mr_status mr_kafka_group_join(struct mr_kafka_group *group, struct mr_error *err);
void mr_kafka_group_leave(struct mr_kafka_group *group);
/* Hears what the group says, and tells one event of it. Partitions are assigned only if `assign`:
 * when what they need is there. */
enum mr_status mr_kafka_group_serve(struct mr_kafka_group *group, bool assign,
                                    struct mr_event *event, struct mr_error *err);
/* Says so when nothing comes for want of a broker, and when that is over. */
void mr_kafka_group_watch(struct mr_kafka_group *group);
/* Only hears. */
void mr_kafka_group_hear(struct mr_kafka_group *group);
void mr_kafka_seat_set(struct mr_kafka_group *group, struct mr_kafka_seat *seat,
                       enum mr_kafka_seat_state state);
/* Whether it was told and not started. */
bool mr_kafka_group_told(const struct mr_kafka_group *group, const struct mr_partition *source);
enum mr_status mr_kafka_group_start(struct mr_kafka_group *group, const struct mr_partition *source,
                                    int64_t offset, struct mr_error *err);
/* Everything that is ours is asked for and told anew. */
void mr_kafka_group_reassign(struct mr_kafka_group *group);
/* Whether all of the positions are ours. */
bool mr_kafka_group_owns(const struct mr_kafka_group *group, const struct mr_position *positions,
                         size_t count);
/* What a transaction shows to the coordinator; NULL: we are no member (any more). */
rd_kafka_consumer_group_metadata_t *mr_kafka_group_pass(const struct mr_kafka_group *group);

/* ---- Committed offsets, and whoever is in the way (kafka_offsets.c) -------------------------- */
/* Asks for what is owned, takes what was answered; never waits. */
enum mr_status mr_kafka_offsets_ask(struct mr_kafka_group *group, struct mr_error *err);
/* What is owned has changed: an answer under way is too old. */
void mr_kafka_offsets_forget(struct mr_kafka_group *group);
/* "WRITER NOTE" -> its parts; false: not ours. */
bool mr_kafka_note_split(struct mr_slice metadata, struct mr_slice *writer, struct mr_slice *note);

/* ---- Appended records (kafka_writer.c) ------------------------------------------------------- */
#define MR_KAFKA_STEP_MS    1000  /* of a wait inside a commit */
#define MR_KAFKA_GIVE_UP_MS 10000 /* for an abort, or for a new client inside a commit */

struct mr_kafka_target { /* a topic that is written to */
    struct mr_topic topic;
    rd_kafka_topic_t *handle; /* of the client; NULL: to be made */
};

struct mr_kafka_pending {
    uint32_t target, partition;
    int64_t timestamp_ms; /* 0: now */
    struct mr_slice key, value;
    struct mr_header *headers;
    size_t header_count;
};

struct mr_kafka_writer {
    struct mr_kafka_log *log;
    char *id;           /* the transactional id; NULL: a producer without transactions */
    rd_kafka_t *client; /* NULL: to be made */
    bool ready;         /* it may begin a transaction */
    atomic_bool doubt;  /* a request had no answer, and may still arrive: a new client is due */
    int64_t fenced_ns;  /* when somebody last took our id; 0: never */
    bool rival;         /* twice in a short time */
    int64_t timeout_ms; /* of a transaction */
    int64_t stop_ns;    /* when it was seen that all is to stop; 0: not yet */
    size_t record_max;  /* key, value and headers of one record */
    struct mr_kafka_target *targets;
    size_t target_count, target;
    struct mr_kafka_pending *pending;
    size_t pending_count, pending_capacity;
    struct mr_arena *bytes; /* of what is pending; librdkafka reads it until the outcome */
    struct mr_kafka_wait wait;
    size_t failed, unsure; /* deliveries of a producer: not made; perhaps made */
    struct mr_error failure;
};
enum mr_status mr_kafka_writer_init(struct mr_kafka_writer *writer, struct mr_kafka_log *log,
                                    char *id, struct mr_error *err);
void mr_kafka_writer_finish(struct mr_kafka_writer *writer);
/* Makes the client if there is none; waits at most `timeout_ms` for the coordinator. MR_OK and
 * !ready: later again. */
enum mr_status mr_kafka_writer_ready(struct mr_kafka_writer *writer, int timeout_ms,
                                     struct mr_error *err);
enum mr_status mr_kafka_writer_append(struct mr_kafka_writer *writer,
                                      const struct mr_append *record, struct mr_error *err);
void mr_kafka_writer_drop(struct mr_kafka_writer *writer);
/* Told to stop, and not just now: what is under way has had the time that a stop leaves. */
bool mr_kafka_writer_stopping(struct mr_kafka_writer *writer);
/* Destroys the client: what it has not sent is not sent. */
void mr_kafka_writer_forget(struct mr_kafka_writer *writer);
/* Before a commit: a new client if one is due. */
bool mr_kafka_writer_renew(struct mr_kafka_writer *writer, struct mr_error *err);
/* Somebody has our id. */
bool mr_kafka_is_fence(rd_kafka_resp_err_t code);
void mr_kafka_writer_fenced(struct mr_kafka_writer *writer);

/* ---- The transaction (kafka_commit.c) -------------------------------------------------------- */
/* One transaction: the positions, then what is pending, which is kept. *stale: refused only
 * because the group is being shared out anew. */
enum mr_commit mr_kafka_transact(struct mr_kafka_writer *writer,
                                 rd_kafka_topic_partition_list_t *positions,
                                 rd_kafka_consumer_group_metadata_t *pass, bool *stale,
                                 struct mr_error *err);
/* A producer's: delivers what is pending, which is kept. */
enum mr_commit mr_kafka_deliver(struct mr_kafka_writer *writer, struct mr_error *err);

#endif
