/* Private to the Kafka log: what its files share. librdkafka enters the program here and nowhere
 * else.
 *
 *   kafka.c           the descriptor: open, close; the URL; the two shared clients
 *   kafka_config.c    properties -> the configuration of a client in one of its roles; secrets
 *   kafka_error.c     what librdkafka says -> what to do, and a sentence; waiting for a broker
 *   kafka_admin.c     what is there: describe, list, bounds
 *   kafka_change.c    what changes it: create, reset, trim; who may run a job
 *   kafka_message.c   its messages -> ours, without a copy
 *   kafka_reader.c    a partition without a group: tail, show, restore
 *   kafka_session.c   a worker's or a producer's side: poll, turns, start
 *   kafka_group.c     who owns what: rebalances, committed offsets, whoever is in the way
 *   kafka_writer.c    appended records -> one transaction; the recycle rule */
#ifndef ENGINE_LOG_KAFKA_H
#define ENGINE_LOG_KAFKA_H

#include "engine/log/back_end.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>

enum mr_kafka_role {
    MR_KAFKA_ADMIN,       /* read_uncommitted, no group: metadata, topics, true ends        */
    MR_KAFKA_READER,      /* read_committed, no group                                       */
    MR_KAFKA_MEMBER,      /* of the job's group                                             */
    MR_KAFKA_TRANSACTION, /* the producer of a worker                                       */
    MR_KAFKA_PRODUCER,    /* without a job                                                  */
};

#define MR_KAFKA_REASON_MAX 256

/* Brokers keep their own time, whatever the log's clock says. */
static inline int64_t mr_kafka_now_ns(void) {
    return mr_real_clock.steady_ns(&mr_real_clock);
}

struct mr_kafka_log {
    struct mr_log base;
    char *brokers; /* "a:9092,b:9092" */
    struct mr_property *properties;
    size_t property_count;
    const atomic_bool *stop;    /* NULL: never */
    pthread_mutex_t lock;       /* of what follows */
    rd_kafka_t *admin, *reader; /* made on first use */
    rd_kafka_resp_err_t heard;  /* the last trouble of one of the two; 0: none */
    char heard_text[MR_KAFKA_REASON_MAX];
    struct mr_kafka_reader *readers; /* those on the shared client */
};

/* ---- kafka.c -------------------------------------------------------------------------------- */
/* The shared clients; librdkafka's own locks make them safe for any thread. */
enum mr_status mr_kafka_admin_client(struct mr_kafka_log *log, rd_kafka_t **client,
                                     struct mr_error *err);
enum mr_status mr_kafka_reader_client(struct mr_kafka_log *log, rd_kafka_t **client,
                                      struct mr_error *err);
/* A client of one's own, whose trouble the log hears; transactional_id: NULL but for that role. */
enum mr_status mr_kafka_own_client(struct mr_kafka_log *log, enum mr_kafka_role role,
                                   const char *transactional_id, rd_kafka_t **client,
                                   struct mr_error *err);

/* A client before 2.2 that finds its queues full sleeps up to a second before it looks again,
 * however soon they are emptied. A request to the leader wakes it: one is sent, its answer not
 * waited for. */
bool mr_kafka_wakes_itself(void);
void mr_kafka_wake(rd_kafka_t *client, const char *topic, uint32_t partition);

/* ---- kafka_config.c ------------------------------------------------------------------------- */
/* The user's properties, checked (unknown, refused as the engine's own, no number...), over our
 * defaults, under what the engine needs. The caller may set callbacks on it, and gives it to
 * rd_kafka_new or destroys it. */
enum mr_status mr_kafka_conf(const struct mr_kafka_log *log, enum mr_kafka_role role,
                             rd_kafka_conf_t **conf, struct mr_error *err);
/* A client of this configuration, which it takes in any case. */
enum mr_status mr_kafka_client(const struct mr_kafka_log *log, enum mr_kafka_role role,
                               rd_kafka_conf_t *conf, rd_kafka_t **client, struct mr_error *err);
bool mr_kafka_is_secret(const char *property);
/* Puts stars over the values of secret properties. */
void mr_kafka_clean(const struct mr_kafka_log *log, char *text);

/* ---- kafka_error.c -------------------------------------------------------------------------- */
enum mr_kafka_verdict {
    MR_KAFKA_WAIT,   /* the broker is away, busy or moving: again later               */
    MR_KAFKA_REFUSE, /* waiting cannot help: rights, password, size, no such topic    */
    MR_KAFKA_BROKEN, /* anything else                                                 */
};
enum mr_kafka_verdict mr_kafka_judge(rd_kafka_resp_err_t code);
/* A sentence: what (`doing`: "reading topic \"in\", partition 0"), where (the brokers), why, and
 * what to do. MR_REJECT for what waiting cannot help, else MR_FAIL. */
enum mr_status mr_kafka_fail(const struct mr_kafka_log *log, const char *doing,
                             rd_kafka_resp_err_t code, const char *reason, struct mr_error *err);

/* One stretch of waiting for a broker: back-off from 100 ms to 5 s with jitter; says so once, then
 * each minute, and when it is over. Zeroed at first. */
struct mr_kafka_wait {
    int64_t since_ns, told_ns;
    uint32_t attempts;
};
/* Waits a while. false: the log's `stop` was set; err says so. */
bool mr_kafka_wait(const struct mr_kafka_log *log, struct mr_kafka_wait *wait, const char *doing,
                   const char *reason, struct mr_error *err);
/* The same without the pause, for who waits elsewhere. Says nothing within the first second. */
void mr_kafka_wait_tell(const struct mr_kafka_log *log, struct mr_kafka_wait *wait,
                        const char *doing, const char *reason);
void mr_kafka_wait_over(const struct mr_kafka_log *log, struct mr_kafka_wait *wait);
bool mr_kafka_stopped(const struct mr_kafka_log *log, const char *doing, struct mr_error *err);

/* An error callback; `arg`, the opaque of the client, is the log. */
void mr_kafka_hear(rd_kafka_t *client, int code, const char *reason, void *arg);
struct mr_kafka_attempt {
    int timeout_ms;                   /* it takes no longer; grows from one to the next */
    char reason[MR_KAFKA_REASON_MAX]; /* what the broker says, if it does               */
};
/* A call that is tried until it works, or waiting cannot help, or the log is stopped. */
struct mr_kafka_call {
    const char *doing;
    rd_kafka_resp_err_t (*attempt)(rd_kafka_t *client, void *arg, struct mr_kafka_attempt *attempt);
    void *arg;
};
/* The client has mr_kafka_hear as its error callback. */
enum mr_status mr_kafka_try(struct mr_kafka_log *log, rd_kafka_t *client,
                            const struct mr_kafka_call *call, struct mr_error *err);
/* Nothing came where something should: tells it, or fails when that lasts and the client said what
 * is wrong. And: something came. */
enum mr_status mr_kafka_idle(struct mr_kafka_log *log, rd_kafka_t *client,
                             struct mr_kafka_wait *wait, const char *doing, struct mr_error *err);
void mr_kafka_idle_over(struct mr_kafka_log *log, struct mr_kafka_wait *wait);

/* ---- kafka_message.c ------------------------------------------------------------------------ */
/* Messages of one partition, borrowed from librdkafka until the next fill or finish. */
struct mr_kafka_batch {
    rd_kafka_message_t **raw;
    struct mr_message *messages;
    size_t raw_count, capacity;
    size_t at; /* raw messages before it were given */
    struct mr_arena *headers;
    size_t want; /* messages to ask for next: about MR_BATCH_BYTES of them   */
};
enum mr_kafka_fill {
    MR_KAFKA_NOTHING,  /* nothing within the timeout                               */
    MR_KAFKA_MESSAGES, /* `out` has some                                           */
    MR_KAFKA_END,      /* the end was reached, at *end                             */
    MR_KAFKA_FAILED,   /* *code and err say why                                    */
};
void mr_kafka_batch_init(struct mr_kafka_batch *batch);
void mr_kafka_batch_finish(struct mr_kafka_batch *batch);
/* Takes what `queue` has, at most about a mebibyte. Drops what is below *next; moves *next behind
 * the last one. An end that comes behind messages is told by the call after. Sets the messages,
 * their count and append_stamped of `out`. */
enum mr_kafka_fill mr_kafka_batch_fill(struct mr_kafka_batch *batch, rd_kafka_queue_t *queue,
                                       int64_t timeout_ns, int64_t *next, struct mr_batch *out,
                                       int64_t *end, rd_kafka_resp_err_t *code,
                                       struct mr_error *err);

/* ---- kafka_admin.c -------------------------------------------------------------------------- */
enum mr_status mr_kafka_describe(struct mr_log *log, const char *topic, struct mr_topic *out,
                                 struct mr_error *err);
enum mr_status mr_kafka_list(struct mr_log *log, struct mr_topic **topics, size_t *count,
                             struct mr_error *err);
enum mr_status mr_kafka_bounds(struct mr_log *log, const struct mr_partition *source,
                               int64_t *first, int64_t *end, struct mr_error *err);
/* The high watermark whatever transactions hold back: what a restore must reach. The partition is
 * known to be there. */
enum mr_status mr_kafka_true_end(struct mr_kafka_log *log, const struct mr_partition *source,
                                 int64_t *end, struct mr_error *err);
/* The name and partitions of a topic as `client` sees it, which from then on knows its leaders.
 * MR_REJECT: not there. */
enum mr_status mr_kafka_partitions(struct mr_kafka_log *log, rd_kafka_t *client, const char *topic,
                                   struct mr_topic *out, struct mr_error *err);

#define MR_KAFKA_DOING_MAX (MR_TOPIC_NAME_MAX + 64)

struct mr_kafka_look {
    const char *topic;
    bool leaders; /* every partition must have one                           */
    int appear;   /* tries for a topic that must be there, since it was made */
    bool missing; /* answer: there is no such topic                          */
    uint32_t partitions;
};
/* The same with choices; and one attempt of it. */
enum mr_status mr_kafka_look_up(struct mr_kafka_log *log, rd_kafka_t *client,
                                struct mr_kafka_look *look, struct mr_topic *out,
                                struct mr_error *err);
rd_kafka_resp_err_t mr_kafka_look_once(rd_kafka_t *client, void *look,
                                       struct mr_kafka_attempt *attempt);

/* A request of the admin API: begin; ask, with its options and on its queue; wait; end. */
struct mr_kafka_request {
    rd_kafka_queue_t *queue;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *answer; /* NULL: none came */
};
struct mr_kafka_request mr_kafka_request_begin(rd_kafka_t *client, rd_kafka_admin_op_t operation,
                                               const struct mr_kafka_attempt *attempt);
rd_kafka_resp_err_t mr_kafka_request_wait(struct mr_kafka_request *request,
                                          struct mr_kafka_attempt *attempt);
void mr_kafka_request_end(struct mr_kafka_request *request);

/* ---- kafka_change.c ------------------------------------------------------------------------- */
enum mr_status mr_kafka_create(struct mr_log *log, const struct mr_topic *topic,
                               struct mr_error *err);
enum mr_status mr_kafka_reset(struct mr_log *log, const char *job, const char *changelog,
                              struct mr_error *err);
enum mr_status mr_kafka_trim(struct mr_log *log, const struct mr_partition *source, int64_t before,
                             struct mr_error *err);
enum mr_status mr_kafka_permits(struct mr_log *log, const char *job, struct mr_error *err);

/* ---- kafka_reader.c ------------------------------------------------------------------------- */
enum mr_status mr_kafka_reader_open(struct mr_log *log, const struct mr_partition *source,
                                    int64_t from, struct mr_reader **reader, struct mr_error *err);
enum mr_status mr_kafka_read(struct mr_reader *reader, int64_t timeout_ns, struct mr_batch *batch,
                             struct mr_error *err);
void mr_kafka_reader_close(struct mr_reader *reader);
enum mr_status mr_kafka_check(struct mr_log *log, const char *topic, struct mr_check_report *report,
                              struct mr_error *err);

/* ---- kafka_session.c ------------------------------------------------------------------------ */
enum mr_status mr_kafka_session_open(struct mr_log *log, const struct mr_session_options *options,
                                     struct mr_session **session, struct mr_error *err);
enum mr_status mr_kafka_session_poll(struct mr_session *session, int64_t timeout_ns,
                                     struct mr_event *event, struct mr_error *err);
enum mr_status mr_kafka_session_start(struct mr_session *session, const struct mr_partition *source,
                                      int64_t offset, struct mr_error *err);
enum mr_status mr_kafka_session_append(struct mr_session *session, const struct mr_append *record,
                                       struct mr_error *err);
enum mr_commit mr_kafka_session_commit(struct mr_session *session,
                                       const struct mr_position *positions, size_t count,
                                       struct mr_error *err);
void mr_kafka_session_abort(struct mr_session *session);
void mr_kafka_session_close(struct mr_session *session);

#endif
