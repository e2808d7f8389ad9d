/* What the Kafka log asks a cluster for, outside sessions and readers. Everything goes through
 * mr_kafka_try: it is tried again while a broker is away, and fails where waiting cannot help.
 *
 *     describe   metadata, and the topic's settings by DescribeConfigs
 *     bounds     ListOffsets by the reader, for which the end is the last stable offset
 *     true end   ListOffsets by the admin client, which sees behind open transactions
 *
 * Offsets are asked for by rd_kafka_offsets_for_times, which hands the two special "times" of the
 * protocol through: rd_kafka_query_watermark_offsets of 2.0.2 waits past its timeout while a leader
 * is away.
 */
#include "engine/log/kafka.h"

#include <inttypes.h>
#include <stdlib.h>

#define NS_PER_MS 1000000

/* ---- Requests of the admin API -------------------------------------------------------------- */

struct mr_kafka_request mr_kafka_request_begin(rd_kafka_t *client, rd_kafka_admin_op_t operation,
                                               const struct mr_kafka_attempt *attempt) {
    char said[MR_KAFKA_REASON_MAX];
    struct mr_kafka_request request = {.queue = rd_kafka_queue_new(client),
                                       .options = rd_kafka_AdminOptions_new(client, operation)};
    rd_kafka_AdminOptions_set_request_timeout(request.options, attempt->timeout_ms, said,
                                              sizeof said);
    return request;
}

rd_kafka_resp_err_t mr_kafka_request_wait(struct mr_kafka_request *request,
                                          struct mr_kafka_attempt *attempt) {
    request->answer = rd_kafka_queue_poll(request->queue, 2 * attempt->timeout_ms);
    if (!request->answer) {
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    rd_kafka_resp_err_t code = rd_kafka_event_error(request->answer);
    if (code) {
        snprintf(attempt->reason, sizeof attempt->reason, "%s",
                 rd_kafka_event_error_string(request->answer));
    }
    return code;
}

void mr_kafka_request_end(struct mr_kafka_request *request) {
    if (request->answer) {
        rd_kafka_event_destroy(request->answer);
    }
    rd_kafka_AdminOptions_destroy(request->options);
    rd_kafka_queue_destroy(request->queue);
}

/* ---- Metadata ------------------------------------------------------------------------------- */

static rd_kafka_resp_err_t read_topic(const rd_kafka_metadata_topic_t *topic,
                                      struct mr_kafka_look *look) {
    if (topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        topic->err == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION) {
        look->missing = true;
        return look->appear-- > 0 ? RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
                                  : RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    look->missing = false;
    look->partitions = (uint32_t)topic->partition_cnt;
    for (int i = 0; look->leaders && i < topic->partition_cnt; i++) {
        if (topic->partitions[i].leader < 0) {
            return RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
        }
    }
    return topic->err;
}

rd_kafka_resp_err_t mr_kafka_look_once(rd_kafka_t *client, void *arg,
                                       struct mr_kafka_attempt *attempt) {
    struct mr_kafka_look *look = arg;
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, look->topic, NULL);
    if (!topic) {
        return rd_kafka_last_error();
    }
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, topic, &metadata, attempt->timeout_ms);
    if (!code) {
        code = metadata->topic_cnt == 1 ? read_topic(&metadata->topics[0], look)
                                        : RD_KAFKA_RESP_ERR__TIMED_OUT;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(topic);
    return code;
}

enum mr_status mr_kafka_look_up(struct mr_kafka_log *log, rd_kafka_t *client,
                                struct mr_kafka_look *look, struct mr_topic *out,
                                struct mr_error *err) {
    char doing[MR_KAFKA_DOING_MAX];
    snprintf(doing, sizeof doing, "looking for topic \"%s\"", look->topic);
    if (mr_name_check(look->topic, NULL) != MR_OK) {
        look->missing = true;
        return mr_topic_missing(&log->base, look->topic, err);
    }
    const struct mr_kafka_call call = {doing, mr_kafka_look_once, look};
    enum mr_status status = mr_kafka_try(log, client, &call, err);
    if (status == MR_OK && look->missing) {
        return mr_topic_missing(&log->base, look->topic, err);
    }
    *out = (struct mr_topic){.partitions = look->partitions};
    snprintf(out->name, sizeof out->name, "%s", look->topic);
    if (status == MR_OK && look->partitions > MR_PARTITIONS_MAX) {
        return mr_error_set(err, MR_FAIL,
                            "topic \"%s\" has %" PRIu32 " partitions: at most %d can be read",
                            look->topic, look->partitions, MR_PARTITIONS_MAX);
    }
    return status;
}

enum mr_status mr_kafka_partitions(struct mr_kafka_log *log, rd_kafka_t *client, const char *topic,
                                   struct mr_topic *out, struct mr_error *err) {
    struct mr_kafka_look look = {.topic = topic, .leaders = true};
    return mr_kafka_look_up(log, client, &look, out, err);
}

/* ---- Settings of topics --------------------------------------------------------------------- */

struct settings {
    struct mr_topic *topics;
    size_t count;
    bool strict; /* a topic that may not be described is an error; else it loses its name */
};

static int64_t setting_number(const char *text) {
    int64_t number;
    return text && mr_parse_integer(mr_slice_of(text), &number) && number >= 0 ? number : -1;
}

static int64_t retention_of(int64_t ms) {
    int64_t ns;
    return ms < 0 || __builtin_mul_overflow(ms, NS_PER_MS, &ns) ? -1 : ns;
}

static void read_settings(const rd_kafka_ConfigResource_t *resource, struct mr_topic *topic) {
    size_t count;
    const char *policy = "";
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[i]);
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (strcmp(name, "cleanup.policy") == 0) {
            policy = value ? value : "";
        } else if (strcmp(name, "retention.ms") == 0) {
            topic->retention_ns = retention_of(setting_number(value));
        } else if (strcmp(name, "retention.bytes") == 0) {
            topic->retention_bytes = setting_number(value);
        } else if (strcmp(name, "min.compaction.lag.ms") == 0) {
            topic->lag_ns = retention_of(setting_number(value));
        }
    }
    topic->kind = strstr(policy, "compact") ? MR_KEEP_LAST_OF_KEY : MR_KEEP_RECORDS;
    if (!strstr(policy, "delete")) {
        topic->retention_ns = topic->retention_bytes = -1;
    }
}

static struct mr_topic *find_topic(const struct settings *settings, const char *name) {
    for (size_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->topics[i].name, name) == 0) {
            return &settings->topics[i];
        }
    }
    return NULL;
}

static rd_kafka_resp_err_t take_settings(rd_kafka_event_t *answer, const struct settings *settings,
                                         struct mr_kafka_attempt *attempt) {
    size_t count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(answer), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[i]);
        struct mr_topic *topic = find_topic(settings, rd_kafka_ConfigResource_name(resources[i]));
        if (code && settings->strict) {
            const char *said = rd_kafka_ConfigResource_error_string(resources[i]);
            snprintf(attempt->reason, sizeof attempt->reason, "%s", said ? said : "");
            return code;
        }
        if (topic && code) {
            topic->name[0] = 0;
        } else if (topic) {
            read_settings(resources[i], topic);
        }
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t ask_settings(rd_kafka_t *client, void *arg,
                                        struct mr_kafka_attempt *attempt) {
    struct settings *settings = arg;
    struct mr_kafka_request request =
        mr_kafka_request_begin(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, attempt);
    rd_kafka_ConfigResource_t **resources =
        mr_allocate_array(settings->count, rd_kafka_ConfigResource_t *);
    for (size_t i = 0; i < settings->count; i++) {
        resources[i] =
            rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, settings->topics[i].name);
    }
    rd_kafka_DescribeConfigs(client, resources, settings->count, request.options, request.queue);
    rd_kafka_ConfigResource_destroy_array(resources, settings->count);
    free(resources);
    rd_kafka_resp_err_t code = mr_kafka_request_wait(&request, attempt);
    if (!code) {
        code = take_settings(request.answer, settings, attempt);
    }
    mr_kafka_request_end(&request);
    return code;
}

/* ---- Describe, list ------------------------------------------------------------------------- */

enum mr_status mr_kafka_describe(struct mr_log *base, const char *topic, struct mr_topic *out,
                                 struct mr_error *err) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    struct mr_kafka_look look = {.topic = topic};
    struct settings settings = {out, 1, true};
    rd_kafka_t *client;
    char doing[MR_KAFKA_DOING_MAX];
    const struct mr_kafka_call call = {doing, ask_settings, &settings};
    snprintf(doing, sizeof doing, "asking for the settings of topic \"%s\"", topic);
    enum mr_status status = mr_kafka_admin_client(log, &client, err);
    if (status == MR_OK) {
        status = mr_kafka_look_up(log, client, &look, out, err);
    }
    if (status == MR_OK) {
        status = mr_kafka_try(log, client, &call, err);
    }
    return status == MR_REJECT && !look.missing ? MR_FAIL : status; /* it may well be there */
}

static rd_kafka_resp_err_t ask_names(rd_kafka_t *client, void *arg,
                                     struct mr_kafka_attempt *attempt) {
    struct settings *all = arg;
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 1, NULL, &metadata, attempt->timeout_ms);
    if (code) {
        return code;
    }
    all->topics = mr_allocate_array((size_t)metadata->topic_cnt + 1, struct mr_topic);
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const rd_kafka_metadata_topic_t *from = &metadata->topics[i];
        if (from->partition_cnt > 0 && strncmp(from->topic, "__", 2) != 0) {
            struct mr_topic *to = &all->topics[all->count++];
            to->partitions = (uint32_t)from->partition_cnt;
            snprintf(to->name, sizeof to->name, "%s", from->topic);
        }
    }
    rd_kafka_metadata_destroy(metadata);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Those that lost their name may not be described. */
static size_t drop_nameless(struct mr_topic *topics, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (topics[i].name[0]) {
            topics[kept++] = topics[i];
        }
    }
    return kept;
}

enum mr_status mr_kafka_list(struct mr_log *base, struct mr_topic **topics, size_t *count,
                             struct mr_error *err) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    rd_kafka_t *client;
    struct settings all = {0};
    enum mr_status status = mr_kafka_admin_client(log, &client, err);
    if (status == MR_OK) {
        const struct mr_kafka_call call = {"listing the topics", ask_names, &all};
        status = mr_kafka_try(log, client, &call, err);
    }
    if (status == MR_OK && all.count > 0) {
        const struct mr_kafka_call call = {"asking for the settings of the topics", ask_settings,
                                           &all};
        status = mr_kafka_try(log, client, &call, err);
    }
    if (status != MR_OK) {
        free(all.topics);
        return status;
    }
    *topics = all.topics;
    *count = drop_nameless(all.topics, all.count);
    return MR_OK;
}

/* ---- Ends ----------------------------------------------------------------------------------- */

struct ends {
    const struct mr_partition *source;
    bool first_too;
    int64_t first, end;
};

/* `which` is one of the two special times. */
static rd_kafka_resp_err_t ask_offset(rd_kafka_t *client, const struct mr_partition *source,
                                      int64_t which, int timeout_ms, int64_t *offset) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *asked =
        rd_kafka_topic_partition_list_add(list, source->topic, (int32_t)source->partition);
    asked->offset = which;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(client, list, timeout_ms);
    if (!code) {
        code = asked->err;
    }
    *offset = asked->offset;
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

static rd_kafka_resp_err_t ask_ends(rd_kafka_t *client, void *arg,
                                    struct mr_kafka_attempt *attempt) {
    struct ends *ends = arg;
    int timeout_ms = attempt->timeout_ms;
    rd_kafka_resp_err_t code =
        ends->first_too
            ? ask_offset(client, ends->source, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, &ends->first)
            : RD_KAFKA_RESP_ERR_NO_ERROR;
    return code ? code
                : ask_offset(client, ends->source, RD_KAFKA_OFFSET_END, timeout_ms, &ends->end);
}

static enum mr_status try_ends(struct mr_kafka_log *log, rd_kafka_t *client, struct ends *ends,
                               struct mr_error *err) {
    char doing[MR_KAFKA_DOING_MAX];
    const struct mr_kafka_call call = {doing, ask_ends, ends};
    snprintf(doing, sizeof doing, "asking for the end of topic \"%s\", partition %" PRIu32,
             ends->source->topic, ends->source->partition);
    return mr_kafka_try(log, client, &call, err);
}

enum mr_status mr_kafka_bounds(struct mr_log *base, const struct mr_partition *source,
                               int64_t *first, int64_t *end, struct mr_error *err) {
    struct mr_kafka_log *log = (struct mr_kafka_log *)base;
    struct ends ends = {.source = source, .first_too = true};
    struct mr_topic topic;
    rd_kafka_t *client;
    enum mr_status status = mr_kafka_reader_client(log, &client, err);
    if (status == MR_OK) {
        status = mr_kafka_partitions(log, client, source->topic, &topic, err);
    }
    if (status == MR_OK) {
        status = mr_topic_has(&topic, source->partition, err);
    }
    if (status == MR_OK) {
        status = try_ends(log, client, &ends, err);
    }
    *first = ends.first;
    *end = ends.end;
    return status;
}

enum mr_status mr_kafka_true_end(struct mr_kafka_log *log, const struct mr_partition *source,
                                 int64_t *end, struct mr_error *err) {
    struct ends ends = {.source = source};
    rd_kafka_t *client;
    enum mr_status status = mr_kafka_admin_client(log, &client, err);
    if (status == MR_OK) {
        status = try_ends(log, client, &ends, err);
    }
    *end = ends.end;
    return status;
}
