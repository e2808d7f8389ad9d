/* The Kafka log: topics of a cluster, through librdkafka.
 *
 *     kafka://a:9092,b          the brokers to ask first; port 9092 when none is given
 *     what describes or reads   two clients that the whole log shares, made on first use
 *     a session                 clients of its own (kafka_session.c)
 *
 * The two: an admin client, which sees what transactions still hold back, and a reader, which does
 * not. Opening a log waits for nobody: a broker that is away is met, and waited for, by the first
 * call that needs it. But the admin client is made, so that a property that librdkafka cannot
 * work with (a key file that is not there) is refused at once.
 *
 * Who may do what is the business of the cluster's ACLs: this log keeps no owners of topics. */
#include "engine/log/kafka.h"

#include <inttypes.h>
#include <stdlib.h>

#define EXAMPLE "expected kafka://HOST[:PORT],..., such as kafka://broker-1:9092,broker-2:9092"

/* ---- The URL -------------------------------------------------------------------------------- */

static bool valid_port(struct mr_slice port) {
    int64_t number;
    return mr_parse_integer(port, &number) && number >= 1 && number <= 65535;
}

/* How long the name or the address ("[::1]") at the start of `text` is; 0: there is none. */
static size_t host_length(struct mr_slice text) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char host[256];
    if (text.length >= sizeof host) {
        return 0;
    }
    snprintf(host, sizeof host, "%.*s", (int)text.length, text.data);
    if (*host == '[') {
        size_t inside = strspn(host + 1, "0123456789abcdefABCDEF:.");
        return inside > 0 && host[1 + inside] == ']' ? inside + 2 : 0;
    }
    size_t length = 0;
    while (host[length] &&
           (strchr(letters, host[length]) || strchr("0123456789.-_", host[length]))) {
        length++;
    }
    return length;
}

static bool add_broker(struct mr_buffer *brokers, struct mr_slice item) {
    struct mr_slice port = {"9092", 4};
    size_t host = host_length(item);
    if (host < item.length) {
        if (item.data[host] != ':') {
            return false;
        }
        port = (struct mr_slice){item.data + host + 1, item.length - host - 1};
    }
    if (host == 0 || !valid_port(port)) {
        return false;
    }
    mr_buffer_format(brokers, "%s%.*s:%.*s", brokers->length ? "," : "", (int)host, item.data,
                     (int)port.length, port.data);
    return true;
}

static enum mr_status parse_brokers(const char *path, char **out, struct mr_error *err) {
    struct mr_buffer brokers = {0};
    const char *at = strncmp(path, "//", 2) == 0 ? path + 2 : NULL;
    bool good = at != NULL;
    *out = NULL;
    if (strchr(path, '@')) { /* not to be shown */
        return mr_error_set(err, MR_REJECT,
                            "kafka: a user and a password do not belong in the URL: set "
                            "sasl.username and sasl.password; " EXAMPLE);
    }
    while (good && at) {
        size_t length = strcspn(at, ",");
        good = add_broker(&brokers, (struct mr_slice){at, length});
        at = at[length] ? at + length + 1 : NULL;
    }
    if (!good) {
        mr_buffer_finish(&brokers);
        return mr_error_set(err, MR_REJECT, "\"kafka:%.200s\" names no brokers: " EXAMPLE, path);
    }
    *out = brokers.data;
    return MR_OK;
}

/* ---- The shared clients --------------------------------------------------------------------- */

enum mr_status mr_kafka_own_client(struct mr_kafka_log *log, enum mr_kafka_role role,
                                   const char *transactional_id, rd_kafka_t **client,
                                   struct mr_error *err) {
    rd_kafka_conf_t *conf;
    char said[MR_KAFKA_REASON_MAX];
    enum mr_status status = mr_kafka_conf(log, role, &conf, err);
    if (status != MR_OK) {
        return status;
    }
    if (transactional_id) {
        rd_kafka_conf_set(conf, "transactional.id", transactional_id, said, sizeof said);
    }
    rd_kafka_conf_set_opaque(conf, log);
    rd_kafka_conf_set_error_cb(conf, mr_kafka_hear);
    return mr_kafka_client(log, role, conf, client, err);
}

static enum mr_status shared_client(struct mr_kafka_log *log, enum mr_kafka_role role,
                                    rd_kafka_t **kept, rd_kafka_t **client, struct mr_error *err) {
    pthread_mutex_lock(&log->lock);
    enum mr_status status = *kept ? MR_OK : mr_kafka_own_client(log, role, NULL, kept, err);
    *client = *kept;
    pthread_mutex_unlock(&log->lock);
    return status;
}

enum mr_status mr_kafka_admin_client(struct mr_kafka_log *log, rd_kafka_t **client,
                                     struct mr_error *err) {
    return shared_client(log, MR_KAFKA_ADMIN, &log->admin, client, err);
}

enum mr_status mr_kafka_reader_client(struct mr_kafka_log *log, rd_kafka_t **client,
                                      struct mr_error *err) {
    return shared_client(log, MR_KAFKA_READER, &log->reader, client, err);
}

bool mr_kafka_wakes_itself(void) {
    return rd_kafka_version() >= 0x02020000;
}

void mr_kafka_wake(rd_kafka_t *client, const char *topic, uint32_t partition) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, (int32_t)partition)->offset =
        RD_KAFKA_OFFSET_END;
    rd_kafka_offsets_for_times(client, list, 0);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- Open, close ---------------------------------------------------------------------------- */

/* Releases with a regression that loses records, positions or the process. */
static enum mr_status check_version(struct mr_error *err) {
    static const int bad[] = {0x020100, 0x020500, 0x020600, 0x020a00};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (rd_kafka_version() >> 8 == bad[i]) {
            return mr_error_set(err, MR_REJECT,
                                "kafka: librdkafka %s has a known fault that the engine cannot "
                                "work around: install 2.10.1 or newer",
                                rd_kafka_version_str());
        }
    }
    return MR_OK;
}

static void copy_properties(struct mr_kafka_log *log, const struct mr_log_options *options) {
    log->properties = mr_allocate_array(options->property_count + 1, struct mr_property);
    for (; log->property_count < options->property_count; log->property_count++) {
        const struct mr_property *from = &options->properties[log->property_count];
        log->properties[log->property_count] =
            (struct mr_property){mr_copy_text(from->name), mr_copy_text(from->value)};
    }
}

static void destroy_client(rd_kafka_t *client) {
    if (client) {
        rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
}

static void kafka_close(struct mr_log *base) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    destroy_client(log->reader);
    destroy_client(log->admin);
    for (size_t i = 0; i < log->property_count; i++) {
        free((void *)(uintptr_t)log->properties[i].name);
        free((void *)(uintptr_t)log->properties[i].value);
    }
    pthread_mutex_destroy(&log->lock);
    free(log->properties);
    free(log->brokers);
    free(log);
}

static enum mr_status kafka_open(const char *path, const struct mr_log_options *options,
                                 const struct mr_clock *clock, struct mr_log **out,
                                 struct mr_error *err) {
    char *brokers;
    rd_kafka_t *client;
    if (check_version(err) != MR_OK || parse_brokers(path, &brokers, err) != MR_OK) {
        return MR_REJECT;
    }
    struct mr_kafka_log *log = mr_allocate(sizeof *log);
    pthread_mutex_init(&log->lock, NULL);
    log->brokers = brokers;
    log->stop = options->stop;
    copy_properties(log, options);
    enum mr_status status = mr_kafka_admin_client(log, &client, err);
    if (status != MR_OK) {
        kafka_close(&log->base);
        return status;
    }
    *out = &log->base;
    return MR_OK;
}

const struct mr_log_type mr_kafka_log = {
    .scheme = "kafka",
    .summary = "topics of a Kafka cluster: kafka://HOST:PORT",
    .open = kafka_open,
    .close = kafka_close,
    .describe = mr_kafka_describe,
    .create = mr_kafka_create,
    .list = mr_kafka_list,
    .bounds = mr_kafka_bounds,
    .check = mr_kafka_check,
    .reset = mr_kafka_reset,
    .trim = mr_kafka_trim,
    .permits = mr_kafka_permits,
    .session_open = mr_kafka_session_open,
    .poll = mr_kafka_session_poll,
    .start = mr_kafka_session_start,
    .append = mr_kafka_session_append,
    .commit = mr_kafka_session_commit,
    .abort = mr_kafka_session_abort,
    .session_close = mr_kafka_session_close,
    .reader_open = mr_kafka_reader_open,
    .read = mr_kafka_read,
    .reader_close = mr_kafka_reader_close,
};
