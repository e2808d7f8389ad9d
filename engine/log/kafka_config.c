/* Properties -> the configuration of a client. Three layers, the later wins:
 *
 *     our defaults      tuned for an engine; one table, by role
 *     the user's        librdkafka's own names, whatever it knows
 *     the engine's own  what its promises rest on; the user's are refused with the reason
 *
 * librdkafka tells what is wrong with a property, but not always without its value; so a message
 * that could hold a secret is replaced or cleaned.
 *
 * Its log lines: most are retries that it deals with itself, and what matters of them comes as an
 * error too. Warnings are shown but for those, each kind once a minute. Debug lines are not shown
 * at all: they are long, and nobody checked them for secrets. */
#include "engine/log/kafka.h"

#include <stdlib.h>
#include <strings.h>
#include <syslog.h>

#define TEXT_MAX    512 /* of librdkafka's messages */
#define SECRET_PART 6   /* letters in a row give too much away */

enum {
    ADMIN = 1 << MR_KAFKA_ADMIN,
    READER = 1 << MR_KAFKA_READER,
    MEMBER = 1 << MR_KAFKA_MEMBER,
    TRANSACTION = 1 << MR_KAFKA_TRANSACTION,
    PRODUCER = 1 << MR_KAFKA_PRODUCER,
    READERS = ADMIN | READER | MEMBER,
    WRITERS = TRANSACTION | PRODUCER,
    ALL = READERS | WRITERS,
};

struct setting {
    const char *name, *value; /* NULL: refused, but not set here */
    unsigned roles;
    const char *reason; /* why the user's is refused */
};

/* A name that the linked librdkafka does not know is skipped (fetch.queue.backoff.ms: from 2.2). */
static const struct setting defaults[] = {
    {"client.id", "millrace", ALL, NULL},
    {"socket.nagle.disable", "true", ALL, NULL},
    {"socket.keepalive.enable", "true", ALL, NULL},
    {"socket.timeout.ms", "10000", ALL, NULL}, /* a broker that hangs is found */
    {"reconnect.backoff.max.ms", "1000", ALL, NULL},
    {"check.crcs", "true", READERS, NULL},
    {"fetch.wait.max.ms", "100", MEMBER, NULL},
    {"fetch.wait.max.ms", "10", READER, NULL}, /* an end is told, and others are asked, after it */
    {"fetch.queue.backoff.ms", "10", READERS, NULL}, /* 1 s: a consumer stands still (measured) */
    {"queued.max.messages.kbytes", "4096", READERS, NULL}, /* of each partition */
    {"session.timeout.ms", "6000", MEMBER, NULL},
    {"heartbeat.interval.ms", "1000", MEMBER, NULL},
    {"max.poll.interval.ms", "900000", MEMBER, NULL}, /* a restore is between two polls */
    {"transaction.timeout.ms", "30000", TRANSACTION, NULL},
    {"retry.backoff.ms", "10", WRITERS, NULL}, /* 100 ms: a commit waits for the one before */
    {"linger.ms", "2", WRITERS, NULL},
    {"message.max.bytes", "8388608", WRITERS, NULL}, /* the broker knows its own limit */
    {"queue.buffering.max.messages", "10000000", WRITERS, NULL},
    {"queue.buffering.max.kbytes", "2097151", WRITERS, NULL},
};

#define POSITIONS "a position is committed together with the output it stands for"

static const struct setting own[] = {
    {"bootstrap.servers", NULL, ALL, "the brokers stand in the URL of the log"},
    {"metadata.broker.list", NULL, ALL, "the brokers stand in the URL of the log"},
    {"allow.auto.create.topics", "false", ALL, "a topic must be made with the right settings"},
    {"group.id", NULL, ALL, "the group has the name of the job"},
    {"group.instance.id", NULL, ALL, "a process that ends must hand over its partitions at once"},
    {"group.protocol", "classic", MEMBER, "the engine needs to see its partitions come and go"},
    {"group.protocol.type", NULL, ALL, "a group of consumers is what it is"},
    {"group.remote.assignor", NULL, ALL, "the members share out the partitions themselves"},
    {"partition.assignment.strategy", "cooperative-sticky", MEMBER,
     "who keeps a partition must keep its state"},
    {"enable.auto.commit", "false", READERS, POSITIONS},
    {"auto.commit.enable", NULL, ALL, POSITIONS},
    {"auto.commit.interval.ms", NULL, ALL, POSITIONS},
    {"enable.auto.offset.store", "false", READERS, POSITIONS},
    {"offset.store.method", NULL, ALL, POSITIONS},
    {"auto.offset.reset", "error", READERS, "records that are gone are an error, never skipped"},
    {"enable.partition.eof", "true", READERS, "the engine must know when it has read everything"},
    {"isolation.level", "read_uncommitted", ADMIN, "the engine needs read_committed"},
    {"isolation.level", "read_committed", READER | MEMBER, "the engine needs read_committed"},
    {"client.rack", NULL, ALL, "only a partition's leader knows where it ends"},
    {"transactional.id", NULL, ALL,
     "it must be the same after a restart: it is made of job, instance and worker"},
    {"enable.idempotence", "true", WRITERS, "without it a retry may write a record twice"},
    {"acks", NULL, ALL, "all replicas in sync must have a record before it counts"},
    {"request.required.acks", NULL, ALL,
     "all replicas in sync must have a record before it counts"},
    {"partitioner", "murmur2_random", WRITERS,
     "the engine chooses partitions, as Kafka's Java clients do"},
    {"delivery.report.only.error", "true", PRODUCER, "the engine counts deliveries"},
    {"enabled_events", NULL, ALL, "the engine takes its events by itself"},
    {"plugin.library.paths", NULL, ALL, "the engine loads no code but its own"},
    {"log.queue", NULL, ALL, "nobody would read that queue"},
    {"debug", NULL, ALL, "debug lines are not shown, because they may hold secrets"},
};

/* ---- Secrets -------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *tail) {
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && strcasecmp(text + n - m, tail) == 0;
}

bool mr_kafka_is_secret(const char *name) {
    static const char *const parts[] = {
        "password", "secret",  "pem",     "token",
        "jaas",     "ssl.key", "ssl_key", "sasl.oauthbearer.config"};
    if (ends_with(name, ".location") || ends_with(name, ".url")) {
        return false; /* where it is, not what it is */
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcasestr(name, parts[i])) {
            return true;
        }
    }
    return false;
}

/* Marks what is found in `text` of each `length` letters in a row of the secret. */
static void mark(const char *text, const char *secret, size_t length, char *hidden) {
    for (const char *part = secret; part + length <= secret + strlen(secret); part++) {
        const char *end = text + strlen(text);
        for (const char *at = text; (at = memmem(at, (size_t)(end - at), part, length)); at++) {
            memset(hidden + (at - text), '*', length);
        }
    }
}

/* Messages are cut, and parsers show a value from where they stopped: so parts count too. */
void mr_kafka_clean(const struct mr_kafka_log *log, char *text) {
    char *hidden = mr_allocate(strlen(text) + 1);
    for (size_t i = 0; i < log->property_count; i++) {
        const char *value = log->properties[i].value;
        size_t length = strlen(value);
        if (length > 0 && mr_kafka_is_secret(log->properties[i].name)) {
            mark(text, value, length < SECRET_PART ? length : SECRET_PART, hidden);
        }
    }
    for (size_t i = 0; text[i]; i++) {
        text[i] = hidden[i] ? hidden[i] : text[i];
    }
    free(hidden);
}

/* ---- Properties ----------------------------------------------------------------------------- */

/* The nearest of the names that the linked librdkafka knows, copied to `out`. */
static bool nearest_name(const char *name, char *out, size_t size) {
    char *text = NULL;
    size_t length, count = 0;
    FILE *file = open_memstream(&text, &length);
    if (!file) {
        return false;
    }
    rd_kafka_conf_properties_show(file);
    fclose(file);
    const char **names = mr_allocate_array(length / 2 + 2, const char *);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *end = strpbrk(line, " |");
        if (end && end > line && strchr(end, '|')) {
            *end = 0;
            names[count++] = line;
        }
    }
    const char *nearest = mr_nearest(name, names);
    if (nearest) {
        snprintf(out, size, "%s", nearest);
    }
    free(names);
    free(text);
    return nearest != NULL;
}

static enum mr_status bad_property(const struct mr_kafka_log *log,
                                   const struct mr_property *property, bool unknown,
                                   char said[TEXT_MAX], struct mr_error *err) {
    char nearest[128];
    mr_kafka_clean(log, said);
    if (unknown && nearest_name(property->name, nearest, sizeof nearest)) {
        return mr_error_set(err, MR_REJECT, "kafka: %s; did you mean \"%s\"?", said, nearest);
    }
    return mr_error_set(err, MR_REJECT, "kafka: %s: \"%.60s\": %s", property->name,
                        mr_kafka_is_secret(property->name) ? "(not shown)" : property->value, said);
}

static enum mr_status set_property(const struct mr_kafka_log *log, rd_kafka_conf_t *conf,
                                   const struct mr_property *property, struct mr_error *err) {
    char said[TEXT_MAX] = "";
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (strcasecmp(own[i].name, property->name) == 0) {
            return mr_error_set(err, MR_REJECT, "kafka: %s cannot be set: %s", property->name,
                                own[i].reason);
        }
    }
    rd_kafka_conf_res_t set =
        rd_kafka_conf_set(conf, property->name, property->value, said, sizeof said);
    return set == RD_KAFKA_CONF_OK
               ? MR_OK
               : bad_property(log, property, set == RD_KAFKA_CONF_UNKNOWN, said, err);
}

static void set_table(rd_kafka_conf_t *conf, enum mr_kafka_role role, const struct setting *table,
                      size_t count) {
    char said[TEXT_MAX];
    for (size_t i = 0; i < count; i++) {
        if (table[i].value && table[i].roles & 1U << role) {
            rd_kafka_conf_set(conf, table[i].name, table[i].value, said, sizeof said);
        }
    }
}

/* ---- librdkafka's log lines ----------------------------------------------------------------- */

/* What is told by other means (errors that are waited for, partitions that are lost, transactions
 * that are repeated) or concerns nobody (a property of the other kind of client). */
static const char *const quiet[] = {"FAIL",       "ERROR",     "CONFWARN",   "AUTOCREATE",
                                    "SESSTMOUT",  "MAXPOLL",   "TXNERR",     "ADDPARTS",
                                    "ADDOFFSETS", "FATAL",     "GETPID",     "TERMINATE",
                                    "REQTMOUT",   "HEARTBEAT", "COMMITFAIL", NULL};

/* Whether this kind was not shown within the last minute. */
static bool is_new_line(const char *facility) {
    static struct {
        char facility[16];
        int64_t at_ns;
    } shown[8];
    static size_t next;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int64_t now_ns = mr_kafka_now_ns();
    bool is_new = true;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < 8; i++) {
        if (strncmp(shown[i].facility, facility, sizeof shown[i].facility - 1) == 0 &&
            now_ns - shown[i].at_ns < 60 * MR_SECOND) {
            is_new = false;
        }
    }
    if (is_new) {
        snprintf(shown[next].facility, sizeof shown[next].facility, "%s", facility);
        shown[next].at_ns = now_ns;
        next = (next + 1) % 8;
    }
    pthread_mutex_unlock(&lock);
    return is_new;
}

static void take_line(const rd_kafka_t *client, int level, const char *facility, const char *text) {
    for (const char *const *name = quiet; *name; name++) {
        if (strcmp(*name, facility) == 0) {
            return;
        }
    }
    if (level <= LOG_WARNING && is_new_line(facility)) {
        mr_warn("librdkafka: %s: %s", facility, text);
    }
}

/* ---- Clients -------------------------------------------------------------------------------- */

enum mr_status mr_kafka_conf(const struct mr_kafka_log *log, enum mr_kafka_role role,
                             rd_kafka_conf_t **out, struct mr_error *err) {
    char said[TEXT_MAX];
    enum mr_status status = MR_OK;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    *out = NULL;
    set_table(conf, role, defaults, sizeof defaults / sizeof *defaults);
    for (size_t i = 0; status == MR_OK && i < log->property_count; i++) {
        status = set_property(log, conf, &log->properties[i], err);
    }
    if (status != MR_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    set_table(conf, role, own, sizeof own / sizeof *own);
    rd_kafka_conf_set(conf, "bootstrap.servers", log->brokers, said, sizeof said);
    rd_kafka_conf_set_log_cb(conf, take_line);
    *out = conf;
    return MR_OK;
}

enum mr_status mr_kafka_client(const struct mr_kafka_log *log, enum mr_kafka_role role,
                               rd_kafka_conf_t *conf, rd_kafka_t **client, struct mr_error *err) {
    char said[TEXT_MAX] = "";
    rd_kafka_type_t type = (1U << role) & WRITERS ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER;
    rd_kafka_conf_enable_sasl_queue(conf, 1);
    *client = rd_kafka_new(type, conf, said, sizeof said);
    if (*client) {
        /* Else a client that nobody polls never gets its token (OAUTHBEARER); for the others it is
         * an error that says so. */
        rd_kafka_error_destroy(rd_kafka_sasl_background_callbacks_enable(*client));
        return MR_OK;
    }
    rd_kafka_conf_destroy(conf); /* it is taken only on success */
    mr_kafka_clean(log, said);
    return mr_error_set(err, MR_REJECT, "%s: no client of Kafka can be made: %s",
                        log->base.url ? log->base.url : log->brokers, said);
}
