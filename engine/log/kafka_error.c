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

#define FIRST_PAUSE_NS (100 * (MR_SECOND / 1000))
#define LONGEST_NS     (5 * MR_SECOND)
#define STOP_CHECK_NS  (50 * (MR_SECOND / 1000))
#define TELL_AFTER_NS  MR_SECOND /* a leader that moves is not worth a line */
#define TELL_AGAIN_NS  (60 * MR_SECOND)

#define E(name) RD_KAFKA_RESP_ERR_##name

struct remedy {
    rd_kafka_resp_err_t code;
    enum mr_kafka_verdict verdict;
    bool user;        /* it is about this user's rights */
    const char *text; /* what to do; NULL: nothing to add */
};

#define WAIT(code)                                                                                 \
    { E(code), MR_KAFKA_WAIT, false, NULL }
#define WAIT_SAYING(code, text)                                                                    \
    { E(code), MR_KAFKA_WAIT, false, text }
#define REFUSE(code, text)                                                                         \
    { E(code), MR_KAFKA_REFUSE, false, text }
#define RIGHTS(code, text)                                                                         \
    { E(code), MR_KAFKA_REFUSE, true, text }

#define PASSWORD "check sasl.username, sasl.password and sasl.mechanism"

static const struct remedy remedies[] = {
    WAIT(_TRANSPORT),
    WAIT(_ALL_BROKERS_DOWN),
    WAIT(_TIMED_OUT),
    WAIT(_TIMED_OUT_QUEUE),
    WAIT(_MSG_TIMED_OUT),
    WAIT(_WAIT_COORD),
    WAIT(_WAIT_CACHE),
    WAIT(_NODE_UPDATE),
    WAIT(_UNKNOWN_BROKER),
    WAIT(_RETRY),
    WAIT(_IN_PROGRESS),
    WAIT(_PREV_IN_PROGRESS),
    WAIT(_QUEUE_FULL),
    WAIT_SAYING(_RESOLVE, "the name of the host is not known: check it"),
    WAIT(LEADER_NOT_AVAILABLE),
    WAIT(NOT_LEADER_FOR_PARTITION),
    WAIT(FENCED_LEADER_EPOCH),
    WAIT(UNKNOWN_LEADER_EPOCH),
    WAIT(OFFSET_NOT_AVAILABLE),
    WAIT(REQUEST_TIMED_OUT),
    WAIT(BROKER_NOT_AVAILABLE),
    WAIT(REPLICA_NOT_AVAILABLE),
    WAIT(NETWORK_EXCEPTION),
    WAIT(COORDINATOR_LOAD_IN_PROGRESS),
    WAIT(COORDINATOR_NOT_AVAILABLE),
    WAIT(NOT_COORDINATOR),
    WAIT(NOT_CONTROLLER),
    WAIT(NOT_ENOUGH_REPLICAS),
    WAIT(NOT_ENOUGH_REPLICAS_AFTER_APPEND),
    WAIT(KAFKA_STORAGE_ERROR),
    WAIT(PREFERRED_LEADER_NOT_AVAILABLE),
    WAIT(ELIGIBLE_LEADERS_NOT_AVAILABLE),
    WAIT(CONCURRENT_TRANSACTIONS),
    WAIT(TRANSACTION_COORDINATOR_FENCED),
    WAIT(REBALANCE_IN_PROGRESS),
    WAIT(UNSTABLE_OFFSET_COMMIT),
    WAIT(THROTTLING_QUOTA_EXCEEDED),
    WAIT(FETCH_SESSION_ID_NOT_FOUND),
    WAIT(INVALID_FETCH_SESSION_EPOCH),

    RIGHTS(_AUTHENTICATION, PASSWORD),
    RIGHTS(SASL_AUTHENTICATION_FAILED, PASSWORD),
    REFUSE(UNSUPPORTED_SASL_MECHANISM, "check sasl.mechanism"),
    REFUSE(ILLEGAL_SASL_STATE, "check security.protocol and sasl.mechanism"),
    REFUSE(SECURITY_DISABLED, "the broker has no security: check security.protocol"),
    REFUSE(_SSL, "check security.protocol and the ssl.* properties"),
    RIGHTS(TOPIC_AUTHORIZATION_FAILED,
           "it needs the ACLs Describe, DescribeConfigs and Read on the topics it reads, Write on "
           "those it writes, Create to make them"),
    RIGHTS(GROUP_AUTHORIZATION_FAILED,
           "it needs the ACLs Read, Describe and, for a reset, Delete on the group of the job"),
    RIGHTS(TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
           "it needs the ACLs Write and Describe on the transactional ids that begin with the name "
           "of the job"),
    RIGHTS(CLUSTER_AUTHORIZATION_FAILED,
           "it needs the ACL IdempotentWrite (and Create, to make topics) on the cluster"),
    REFUSE(UNKNOWN_TOPIC_OR_PART, "the topic or partition is not there"),
    REFUSE(_UNKNOWN_TOPIC, "the topic is not there"),
    REFUSE(_UNKNOWN_PARTITION, "the partition is not there"),
    REFUSE(TOPIC_EXCEPTION, "that is no name for a topic"),
    REFUSE(MSG_SIZE_TOO_LARGE, "raise max.message.bytes of the topic"),
    REFUSE(RECORD_LIST_TOO_LARGE, "raise segment.bytes of the topic"),
    REFUSE(INVALID_TIMESTAMP,
           "raise message.timestamp.before.max.ms or message.timestamp.after.max.ms of the topic"),
    REFUSE(OFFSET_METADATA_TOO_LARGE, "set the broker's offset.metadata.max.bytes to 4096"),
    REFUSE(INVALID_TRANSACTION_TIMEOUT,
           "lower transaction.timeout.ms, or raise the broker's transaction.max.timeout.ms"),
    REFUSE(INVALID_SESSION_TIMEOUT,
           "session.timeout.ms must lie within the broker's group.min.session.timeout.ms and "
           "group.max.session.timeout.ms"),
    REFUSE(INCONSISTENT_GROUP_PROTOCOL,
           "the group of this name is used by another program: give the job another name"),
    REFUSE(GROUP_MAX_SIZE_REACHED, "raise the broker's group.max.size, or run fewer workers"),
    REFUSE(INVALID_REPLICATION_FACTOR,
           "raise the broker's number, or set its default.replication.factor lower"),
    REFUSE(INVALID_CONFIG, NULL),
    REFUSE(INVALID_PARTITIONS, NULL),
    REFUSE(POLICY_VIOLATION, "the cluster has a policy against it"),
    REFUSE(TOPIC_DELETION_DISABLED, "set the broker's delete.topic.enable"),
    REFUSE(UNSUPPORTED_VERSION, "the broker is too old: Kafka 2.5 or newer is needed"),
    REFUSE(_UNSUPPORTED_FEATURE, "the broker is too old: Kafka 2.5 or newer is needed"),
    REFUSE(UNSUPPORTED_FOR_MESSAGE_FORMAT, "the topic has the message format of an old Kafka"),
    REFUSE(UNSUPPORTED_COMPRESSION_TYPE, "choose another compression.type"),
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
    const struct remedy *remedy = find_remedy(code);
    return remedy ? remedy->verdict : MR_KAFKA_BROKEN;
}

static const char *user_name(const struct mr_kafka_log *log) {
    const char *name = NULL;
    for (size_t i = 0; i < log->property_count; i++) {
        if (strcmp(log->properties[i].name, "sasl.username") == 0) {
            name = log->properties[i].value;
        }
    }
    return name;
}

enum mr_status mr_kafka_fail(const struct mr_kafka_log *log, const char *doing,
                             rd_kafka_resp_err_t code, const char *reason, struct mr_error *err) {
    const struct remedy *remedy = find_remedy(code);
    struct mr_buffer text = {0};
    char said[512] = "";
    if (reason && *reason && strcmp(reason, rd_kafka_err2str(code)) != 0) {
        snprintf(said, sizeof said, " (%s)", reason);
        mr_kafka_clean(log, said);
    }
    mr_buffer_format(&text, "%s at %s: %s%s", doing, log->brokers, rd_kafka_err2str(code), said);
    if (remedy && remedy->user && user_name(log)) {
        mr_buffer_format(&text, ", user \"%s\"", user_name(log));
    }
    if (remedy && remedy->text) {
        mr_buffer_format(&text, ": %s", remedy->text);
    }
    enum mr_status status = remedy && remedy->verdict == MR_KAFKA_REFUSE ? MR_REJECT : MR_FAIL;
    mr_error_set(err, status, "%.*s", (int)text.length, text.data);
    mr_buffer_finish(&text);
    return status;
}

/* ---- What the clients say by themselves ------------------------------------------------------ */

void mr_kafka_hear(rd_kafka_t *client, int code, const char *reason, void *arg) {
    struct mr_kafka_log *log = arg;
    if (code == E(_ALL_BROKERS_DOWN)) {
        return; /* it follows the one that says why */
    }
    pthread_mutex_lock(&log->lock);
    log->heard = (rd_kafka_resp_err_t)code;
    snprintf(log->heard_text, sizeof log->heard_text, "%s", reason);
    mr_kafka_clean(log, log->heard_text);
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
    struct mr_kafka_wait wait = {0};
    for (;;) {
        char reason[MR_KAFKA_REASON_MAX] = "";
        rd_kafka_resp_err_t code = call->attempt(client, call->arg, reason);
        if (!code) {
            forget_trouble(log);
            mr_kafka_wait_over(log, &wait);
            return MR_OK;
        }
        code = consult(log, client, code, reason);
        if (mr_kafka_judge(code) != MR_KAFKA_WAIT) {
            return mr_kafka_fail(log, call->doing, code, reason, err);
        }
        if (!mr_kafka_wait(log, &wait, call->doing, reason, err)) {
            return MR_FAIL;
        }
    }
}

enum mr_status mr_kafka_idle(struct mr_kafka_log *log, rd_kafka_t *client,
                             struct mr_kafka_wait *wait, const char *doing, struct mr_error *err) {
    char reason[MR_KAFKA_REASON_MAX] = "";
    rd_kafka_resp_err_t code = consult(log, client, E(_TIMED_OUT), reason);
    if (mr_kafka_judge(code) != MR_KAFKA_WAIT) {
        return mr_kafka_fail(log, doing, code, reason, err);
    }
    mr_kafka_wait_tell(log, wait, doing, reason);
    return MR_OK;
}

/* ---- Waiting ----------------------------------------------------------------------------------
 */

static int64_t steady_ns(void) {
    return mr_real_clock.steady_ns(&mr_real_clock);
}

/* Half of it at least, so that clients which lost their broker together come back one by one. */
static int64_t jitter(int64_t pause_ns) {
    uint64_t mixed = (uint64_t)steady_ns() * UINT64_C(0x9e3779b97f4a7c15) >> 33;
    return pause_ns / 2 + (int64_t)(mixed % (uint64_t)(pause_ns / 2 + 1));
}

void mr_kafka_wait_tell(const struct mr_kafka_log *log, struct mr_kafka_wait *wait,
                        const char *doing, const char *reason) {
    char waited[MR_TEXT_MAX];
    int64_t now_ns = steady_ns();
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
    int64_t until_ns = steady_ns() + jitter(pause_ns < LONGEST_NS ? pause_ns : LONGEST_NS);
    for (int64_t left_ns; (left_ns = until_ns - steady_ns()) > 0;) {
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
                mr_format_duration((steady_ns() - wait->since_ns) / MR_SECOND * MR_SECOND, waited));
    }
    *wait = (struct mr_kafka_wait){0};
}
