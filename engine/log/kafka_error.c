/* What librdkafka says -> what to do about it, and a sentence for a person.
 *
 * One table has the codes that mean something to a person, or that waiting helps. All others are
 * MR_KAFKA_BROKEN: the task that met them starts again from its last commit.
 *
 * A call that fails for want of a broker answers "timed out" whatever the reason: the reason (a
 * wrong password, a name that is not known) comes as an error event of the client. So the shared
 * clients remember the last one until a call works. A session's clients do as they need.
 *
 * The names of user and rights in a sentence are those of Kafka's own tools. */
#include "engine/log/kafka.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define FIRST_PAUSE_NS     (100 * (MR_SECOND / 1000))
#define LONGEST_NS         (5 * MR_SECOND)
#define STOP_CHECK_NS      (50 * (MR_SECOND / 1000))
#define TELL_AFTER_NS      MR_SECOND /* a leader that moves is not worth a line */
#define TELL_AGAIN_NS      (60 * MR_SECOND)
#define ATTEMPT_MS         2000
#define LONGEST_ATTEMPT_MS 16000
#define PATIENCE_NS        (10 * MR_SECOND)
#define SCRAM_WORKS        0x020601ff

#define E(name) RD_KAFKA_RESP_ERR_##name

/* Waiting helps, and there is nothing to say but what happens. That a partition is unknown is what
 * a client says by itself while brokers go and come; whether it is there is asked for before. */
static const rd_kafka_resp_err_t passing[] = {E(_TRANSPORT),
                                              E(_ALL_BROKERS_DOWN),
                                              E(_TIMED_OUT),
                                              E(_TIMED_OUT_QUEUE),
                                              E(_MSG_TIMED_OUT),
                                              E(_WAIT_COORD),
                                              E(_WAIT_CACHE),
                                              E(_NODE_UPDATE),
                                              E(_UNKNOWN_BROKER),
                                              E(_UNKNOWN_PARTITION),
                                              E(_RETRY),
                                              E(_IN_PROGRESS),
                                              E(_PREV_IN_PROGRESS),
                                              E(_QUEUE_FULL),
                                              E(LEADER_NOT_AVAILABLE),
                                              E(NOT_LEADER_FOR_PARTITION),
                                              E(FENCED_LEADER_EPOCH),
                                              E(UNKNOWN_LEADER_EPOCH),
                                              E(OFFSET_NOT_AVAILABLE),
                                              E(REQUEST_TIMED_OUT),
                                              E(BROKER_NOT_AVAILABLE),
                                              E(REPLICA_NOT_AVAILABLE),
                                              E(NETWORK_EXCEPTION),
                                              E(COORDINATOR_LOAD_IN_PROGRESS),
                                              E(COORDINATOR_NOT_AVAILABLE),
                                              E(NOT_COORDINATOR),
                                              E(NOT_CONTROLLER),
                                              E(NOT_ENOUGH_REPLICAS),
                                              E(NOT_ENOUGH_REPLICAS_AFTER_APPEND),
                                              E(KAFKA_STORAGE_ERROR),
                                              E(PREFERRED_LEADER_NOT_AVAILABLE),
                                              E(ELIGIBLE_LEADERS_NOT_AVAILABLE),
                                              E(CONCURRENT_TRANSACTIONS),
                                              E(TRANSACTION_COORDINATOR_FENCED),
                                              E(REBALANCE_IN_PROGRESS),
                                              E(UNSTABLE_OFFSET_COMMIT),
                                              E(THROTTLING_QUOTA_EXCEEDED),
                                              E(FETCH_SESSION_ID_NOT_FOUND),
                                              E(INVALID_FETCH_SESSION_EPOCH)};

enum cure { WAIT, REFUSE, RIGHTS /* of this user: refuse, and name the user */ };

struct remedy {
    rd_kafka_resp_err_t code;
    enum cure cure;
    const char *text; /* what to do; NULL: nothing to add */
};

#define PASSWORD "check sasl.username, sasl.password and sasl.mechanism"

static const struct remedy remedies[] = {
    {E(_RESOLVE), WAIT, "the name of the host is not known: check it"},

    {E(_AUTHENTICATION), RIGHTS, PASSWORD},
    {E(SASL_AUTHENTICATION_FAILED), RIGHTS, PASSWORD},
    {E(UNSUPPORTED_SASL_MECHANISM), REFUSE, "check sasl.mechanism"},
    {E(ILLEGAL_SASL_STATE), REFUSE, "check security.protocol and sasl.mechanism"},
    {E(SECURITY_DISABLED), REFUSE, "the broker has no security: check security.protocol"},
    {E(_SSL), REFUSE, "check security.protocol and the ssl.* properties"},
    {E(TOPIC_AUTHORIZATION_FAILED), RIGHTS,
     "it needs the ACLs Describe, DescribeConfigs and Read on the topics it reads, Write on "
     "those it writes, Create to make them, Delete to trim what it regroups"},
    {E(GROUP_AUTHORIZATION_FAILED), RIGHTS,
     "it needs the ACLs Read, Describe and, for a reset, Delete on the group of the job"},
    {E(TRANSACTIONAL_ID_AUTHORIZATION_FAILED), RIGHTS,
     "it needs the ACLs Write and Describe on the transactional ids that begin with the name "
     "of the job"},
    {E(CLUSTER_AUTHORIZATION_FAILED), RIGHTS,
     "it needs the ACL IdempotentWrite (and Create, to make topics) on the cluster"},
    {E(UNKNOWN_TOPIC_OR_PART), REFUSE, "the topic or partition is not there"},
    {E(_UNKNOWN_TOPIC), REFUSE, "the topic is not there"},
    {E(TOPIC_EXCEPTION), REFUSE, "that is no name for a topic"},
    {E(MSG_SIZE_TOO_LARGE), REFUSE, "raise max.message.bytes of the topic"},
    {E(RECORD_LIST_TOO_LARGE), REFUSE, "raise segment.bytes of the topic"},
    {E(INVALID_TIMESTAMP), REFUSE,
     "raise message.timestamp.before.max.ms or message.timestamp.after.max.ms of the topic"},
    {E(OFFSET_METADATA_TOO_LARGE), REFUSE, "set the broker's offset.metadata.max.bytes to 4096"},
    {E(INVALID_TRANSACTION_TIMEOUT), REFUSE,
     "lower transaction.timeout.ms, or raise the broker's transaction.max.timeout.ms"},
    {E(INVALID_SESSION_TIMEOUT), REFUSE,
     "session.timeout.ms must lie within the broker's group.min.session.timeout.ms and "
     "group.max.session.timeout.ms"},
    {E(INCONSISTENT_GROUP_PROTOCOL), REFUSE,
     "the group of this name is used by another program: give the job another name"},
    {E(GROUP_MAX_SIZE_REACHED), REFUSE, "raise the broker's group.max.size, or run fewer workers"},
    {E(INVALID_REPLICATION_FACTOR), REFUSE,
     "raise the broker's number, or set its default.replication.factor lower"},
    {E(INVALID_CONFIG), REFUSE, NULL},
    {E(INVALID_PARTITIONS), REFUSE, NULL},
    {E(POLICY_VIOLATION), REFUSE, "the cluster has a policy against it"},
    {E(TOPIC_DELETION_DISABLED), REFUSE, "set the broker's delete.topic.enable"},
    {E(UNSUPPORTED_VERSION), REFUSE, "the broker is too old: Kafka 2.5 or newer is needed"},
    {E(_UNSUPPORTED_FEATURE), REFUSE, "the broker is too old: Kafka 2.5 or newer is needed"},
    {E(UNSUPPORTED_FOR_MESSAGE_FORMAT), REFUSE, "the topic has the message format of an old Kafka"},
    {E(UNSUPPORTED_COMPRESSION_TYPE), REFUSE, "choose another compression.type"},
};

static const struct remedy *find_remedy(rd_kafka_resp_err_t code) {
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++) {
        if (remedies[i].code == code) {
            return &remedies[i];
        }
    }
    return NULL;
}

enum mr_kafka_verdict mr_kafka_judge(rd_kafka_resp_err_t code) {
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        if (passing[i] == code) {
            return MR_KAFKA_WAIT;
        }
    }
    const struct remedy *remedy = find_remedy(code);
    if (!remedy) {
        return MR_KAFKA_BROKEN;
    }
    return remedy->cure == WAIT ? MR_KAFKA_WAIT : MR_KAFKA_REFUSE;
}

/* The user's property of one of two names; NULL: not set. */
static const char *property(const struct mr_kafka_log *log, const char *name, const char *other) {
    const char *value = NULL;
    for (size_t i = 0; i < log->property_count; i++) {
        if (strcmp(log->properties[i].name, name) == 0 ||
            strcmp(log->properties[i].name, other) == 0) {
            value = log->properties[i].value;
        }
    }
    return value;
}

/* Kafka 4 minds the nonce that older clients send twice; the broker says only "invalid
 * credentials". */
static bool scram_is_broken(const struct mr_kafka_log *log) {
    const char *mechanism = property(log, "sasl.mechanism", "sasl.mechanisms");
    return mechanism && strncmp(mechanism, "SCRAM", 5) == 0 && rd_kafka_version() < SCRAM_WORKS;
}

static void add_remedy(const struct mr_kafka_log *log, const struct remedy *remedy,
                       struct mr_buffer *text) {
    const char *user = property(log, "sasl.username", "sasl.username");
    if (remedy->cure == RIGHTS && user) {
        mr_buffer_format(text, ", user \"%s\"", user);
    }
    if (remedy->text) {
        mr_buffer_format(text, ": %s", remedy->text);
    }
    if (remedy->text && strcmp(remedy->text, PASSWORD) == 0 && scram_is_broken(log)) {
        mr_buffer_format(text,
                         "; Kafka 4 refuses SCRAM from librdkafka before 2.6.1 (this is %s): use "
                         "PLAIN over TLS, or a newer librdkafka",
                         rd_kafka_version_str());
    }
}

enum mr_status mr_kafka_fail(const struct mr_kafka_log *log, const char *doing,
                             rd_kafka_resp_err_t code, const char *reason, struct mr_error *err) {
    const struct remedy *remedy = find_remedy(code);
    struct mr_buffer text = {0};
    char said[1024] = "";
    if (reason && *reason && strcmp(reason, rd_kafka_err2str(code)) != 0) {
        snprintf(said, sizeof said, " (%s)", reason);
        mr_kafka_clean(log, said);
    }
    mr_buffer_format(&text, "%s at %s: %s%s", doing, log->brokers, rd_kafka_err2str(code), said);
    if (remedy) {
        add_remedy(log, remedy, &text);
    }
    enum mr_status status = remedy && remedy->cure != WAIT ? MR_REJECT : MR_FAIL;
    mr_error_set(err, status, "%.*s", (int)text.length, text.data);
    mr_buffer_finish(&text);
    return status;
}

/* ---- What the clients say by themselves ----------------------------------------------------- */

void mr_kafka_hear(rd_kafka_t *client, int code, const char *reason, void *arg) {
    struct mr_kafka_log *log = arg;
    if (code == E(_ALL_BROKERS_DOWN)) {
        return; /* it follows the one that says why */
    }
    const char *timing = strstr(reason, " (after "); /* "1ms in state CONNECT, ..." */
    int length = timing ? (int)(timing - reason) : (int)strlen(reason);
    char text[1024];
    snprintf(text, sizeof text, "%.*s", length, reason);
    mr_kafka_clean(log, text);
    pthread_mutex_lock(&log->lock);
    log->heard = (rd_kafka_resp_err_t)code;
    snprintf(log->heard_text, sizeof log->heard_text, "%.*s", MR_KAFKA_REASON_MAX - 1, text);
    pthread_mutex_unlock(&log->lock);
}

/* Whether the code says only that nothing came. */
static bool is_vague(rd_kafka_resp_err_t code) {
    return code == E(_TRANSPORT) || code == E(_TIMED_OUT) || code == E(_ALL_BROKERS_DOWN) ||
           code == E(_WAIT_COORD);
}

/* Puts what the client said meanwhile in the place of a vague code. */
static rd_kafka_resp_err_t consult(struct mr_kafka_log *log, rd_kafka_t *client,
                                   rd_kafka_resp_err_t code, char reason[MR_KAFKA_REASON_MAX]) {
    while (rd_kafka_poll(client, 0) > 0) {
    }
    pthread_mutex_lock(&log->lock);
    if (is_vague(code) && log->heard) {
        code = log->heard;
        memcpy(reason, log->heard_text, MR_KAFKA_REASON_MAX);
    }
    pthread_mutex_unlock(&log->lock);
    if (!*reason) {
        snprintf(reason, MR_KAFKA_REASON_MAX, "%s", rd_kafka_err2str(code));
    }
    return code;
}

static void forget_trouble(struct mr_kafka_log *log) {
    pthread_mutex_lock(&log->lock);
    log->heard = E(NO_ERROR);
    pthread_mutex_unlock(&log->lock);
}

enum mr_status mr_kafka_try(struct mr_kafka_log *log, rd_kafka_t *client,
                            const struct mr_kafka_call *call, struct mr_error *err) {
    struct mr_kafka_wait wait = {.since_ns = mr_kafka_now_ns()};
    struct mr_kafka_attempt attempt = {.timeout_ms = ATTEMPT_MS};
    for (;;) {
        *attempt.reason = 0;
        rd_kafka_resp_err_t code = call->attempt(client, call->arg, &attempt);
        if (!code) {
            forget_trouble(log);
            mr_kafka_wait_over(log, &wait);
            return MR_OK;
        }
        code = consult(log, client, code, attempt.reason);
        if (mr_kafka_judge(code) != MR_KAFKA_WAIT) {
            return mr_kafka_fail(log, call->doing, code, attempt.reason, err);
        }
        if (!mr_kafka_wait(log, &wait, call->doing, attempt.reason, err)) {
            return MR_FAIL;
        }
        /* A broker that is far or busy may need longer; one that is away is not asked longer. */
        if (code == E(_TIMED_OUT) && attempt.timeout_ms < LONGEST_ATTEMPT_MS) {
            attempt.timeout_ms *= 2;
        }
    }
}

/* One broker of several that turns us away for a moment while it starts is no reason to give up. */
enum mr_status mr_kafka_idle(struct mr_kafka_log *log, rd_kafka_t *client,
                             struct mr_kafka_wait *wait, const char *doing, struct mr_error *err) {
    char reason[MR_KAFKA_REASON_MAX] = "";
    rd_kafka_resp_err_t code = consult(log, client, E(_TIMED_OUT), reason);
    mr_kafka_wait_tell(log, wait, doing, reason);
    if (mr_kafka_judge(code) != MR_KAFKA_WAIT && mr_kafka_now_ns() - wait->since_ns > PATIENCE_NS) {
        return mr_kafka_fail(log, doing, code, reason, err);
    }
    return MR_OK;
}

void mr_kafka_idle_over(struct mr_kafka_log *log, struct mr_kafka_wait *wait) {
    if (wait->since_ns) {
        forget_trouble(log);
        mr_kafka_wait_over(log, wait);
    }
}

/* ---- Waiting -------------------------------------------------------------------------------- */

/* Half of it at least, so that clients which lost their broker together come back one by one. */
static int64_t jitter(int64_t pause_ns) {
    uint64_t mixed = (uint64_t)mr_kafka_now_ns() * UINT64_C(0x9e3779b97f4a7c15) >> 33;
    return pause_ns / 2 + (int64_t)(mixed % (uint64_t)(pause_ns / 2 + 1));
}

void mr_kafka_wait_tell(const struct mr_kafka_log *log, struct mr_kafka_wait *wait,
                        const char *doing, const char *reason) {
    char waited[MR_TEXT_MAX];
    int64_t now_ns = mr_kafka_now_ns();
    if (!wait->since_ns) {
        wait->since_ns = now_ns;
    }
    int64_t elapsed_ns = now_ns - wait->since_ns;
    bool first = !wait->told_ns && elapsed_ns >= TELL_AFTER_NS;
    if (first || (wait->told_ns && now_ns - wait->told_ns >= TELL_AGAIN_NS)) {
        wait->told_ns = now_ns;
        mr_warn("%s at %s: waiting for %s (%s)", doing, log->brokers,
                mr_format_duration(elapsed_ns / MR_SECOND * MR_SECOND, waited), reason);
    }
}

bool mr_kafka_wait(const struct mr_kafka_log *log, struct mr_kafka_wait *wait, const char *doing,
                   const char *reason, struct mr_error *err) {
    mr_kafka_wait_tell(log, wait, doing, reason);
    int64_t pause_ns = FIRST_PAUSE_NS;
    for (uint32_t i = 0; i < wait->attempts && pause_ns < LONGEST_NS; i++) {
        pause_ns *= 2;
    }
    wait->attempts++;
    int64_t until_ns = mr_kafka_now_ns() + jitter(pause_ns < LONGEST_NS ? pause_ns : LONGEST_NS);
    for (int64_t left_ns; (left_ns = until_ns - mr_kafka_now_ns()) > 0;) {
        if (mr_kafka_stopped(log, doing, err)) {
            return false;
        }
        int64_t slice_ns = left_ns < STOP_CHECK_NS ? left_ns : STOP_CHECK_NS;
        nanosleep(&(struct timespec){.tv_nsec = (long)slice_ns}, NULL);
    }
    return !mr_kafka_stopped(log, doing, err);
}

bool mr_kafka_stopped(const struct mr_kafka_log *log, const char *doing, struct mr_error *err) {
    if (!log->stop || !atomic_load(log->stop)) {
        return false;
    }
    mr_error_set(err, MR_FAIL, "%s at %s: stopped while waiting for the broker", doing,
                 log->brokers);
    return true;
}

void mr_kafka_wait_over(const struct mr_kafka_log *log, struct mr_kafka_wait *wait) {
    char waited[MR_TEXT_MAX];
    if (wait->told_ns) {
        mr_note("%s: goes on after waiting for %s", log->brokers,
                mr_format_duration((mr_kafka_now_ns() - wait->since_ns) / MR_SECOND * MR_SECOND,
                                   waited));
    }
    *wait = (struct mr_kafka_wait){0};
}
