/* Whether the brokers that lead our partitions answer.
 *
 * librdkafka tells the end of a partition once. From then on nothing comes, and nothing comes
 * either when the broker is away, but only the first is a silence of the partition's producers. So
 * an interceptor stamps the answers to fetches, by broker. A fetch at the end of everything is
 * answered within fetch.wait.max.ms; a leader without an answer for a second more than that is
 * away, or leads no more: then the leaders are asked for again.
 *
 *     answer n    is stamped when it arrives, before its records are in their queues
 *     answer n+1  so those of n are there
 *
 * The poke, for clients that sleep (mr_kafka_wake). One is asleep when a queue is empty, not for
 * being at its end, and no fetch is under way. */
#include "engine/log/kafka_session.h"

#include <stdlib.h>

#define FETCH        1 /* the key of its requests */
#define ASK_AGAIN_NS (MR_SECOND / 2)
#define POKE_NS      (MR_KAFKA_POKE_MS * (MR_SECOND / 1000))

/* On a thread of librdkafka, one for each broker. */
static rd_kafka_resp_err_t on_response(rd_kafka_t *client, int fd, const char *name, int32_t broker,
                                       int16_t key, int16_t version, int32_t id, size_t size,
                                       int64_t rtt, rd_kafka_resp_err_t code, void *arg) {
    struct mr_kafka_pulse *pulse = arg;
    if (key == FETCH && !code) {
        uint32_t at = (uint32_t)broker % MR_KAFKA_PULSES;
        atomic_store(&pulse->before_ns[at], atomic_load(&pulse->last_ns[at]));
        atomic_store(&pulse->last_ns[at], mr_kafka_now_ns());
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_request(rd_kafka_t *client, int fd, const char *name, int32_t broker,
                                      int16_t key, int16_t version, int32_t id, size_t size,
                                      void *arg) {
    struct mr_kafka_pulse *pulse = arg;
    if (key == FETCH) {
        atomic_store(&pulse->sent_ns[(uint32_t)broker % MR_KAFKA_PULSES], mr_kafka_now_ns());
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *arg,
                                  char *text, size_t size) {
    rd_kafka_interceptor_add_on_request_sent(client, "millrace", on_request, arg);
    return rd_kafka_interceptor_add_on_response_received(client, "millrace", on_response, arg);
}

/* Of the admin client: a question to the client that fetches would wait behind its fetches. */
static void ask_leaders(struct mr_kafka_pulse *pulse) {
    const struct rd_kafka_metadata *metadata;
    if (mr_kafka_now_ns() - pulse->asked_ns < ASK_AGAIN_NS) {
        return;
    }
    if (rd_kafka_metadata(pulse->admin, 0, pulse->topic, &metadata, MR_KAFKA_SLICE_MS) ==
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        for (int i = 0; metadata->topic_cnt == 1 && i < metadata->topics[0].partition_cnt; i++) {
            const struct rd_kafka_metadata_partition *from = &metadata->topics[0].partitions[i];
            if ((uint32_t)from->id < pulse->count) {
                pulse->leaders[from->id] = from->leader;
            }
        }
        rd_kafka_metadata_destroy(metadata);
    }
    pulse->asked_ns = mr_kafka_now_ns();
}

enum mr_status mr_kafka_pulse_init(struct mr_kafka_pulse *pulse, struct mr_kafka_log *log,
                                   const char *topic, uint32_t partitions, struct mr_error *err) {
    enum mr_status status = mr_kafka_admin_client(log, &pulse->admin, err);
    if (status != MR_OK) {
        return status;
    }
    pulse->topic = rd_kafka_topic_new(pulse->admin, topic, NULL);
    pulse->count = partitions;
    pulse->leaders = mr_allocate_array(partitions, int32_t);
    for (uint32_t p = 0; p < partitions; p++) {
        pulse->leaders[p] = -1;
    }
    ask_leaders(pulse);
    return MR_OK;
}

void mr_kafka_pulse_finish(struct mr_kafka_pulse *pulse) {
    if (pulse->topic) {
        rd_kafka_topic_destroy(pulse->topic);
    }
    free(pulse->leaders);
}

void mr_kafka_pulse_listen(struct mr_kafka_pulse *pulse, rd_kafka_conf_t *conf) {
    char text[64];
    size_t size = sizeof text;
    int64_t wait_ms = rd_kafka_conf_get(conf, "fetch.wait.max.ms", text, &size) == RD_KAFKA_CONF_OK
                          ? strtoll(text, NULL, 10)
                          : 0;
    pulse->stale_ns = MR_SECOND + wait_ms * (MR_SECOND / 1000);
    rd_kafka_conf_interceptor_add_on_new(conf, "millrace", on_new, pulse);
}

/* How long ago that leader's answer came; for ever when there is no leader. */
static int64_t age(const struct mr_kafka_pulse *pulse, uint32_t partition,
                   const atomic_llong *stamps) {
    int32_t leader = pulse->leaders[partition];
    return leader < 0 ? INT64_MAX
                      : mr_kafka_now_ns() - atomic_load(&stamps[leader % MR_KAFKA_PULSES]);
}

bool mr_kafka_pulse_beats(struct mr_kafka_pulse *pulse, uint32_t partition) {
    if (age(pulse, partition, pulse->before_ns) < pulse->stale_ns) {
        return true;
    }
    ask_leaders(pulse);
    return false;
}

bool mr_kafka_pulse_poke(struct mr_kafka_pulse *pulse, rd_kafka_t *client, uint32_t partition) {
    int64_t answered_ns = age(pulse, partition, pulse->last_ns);
    if (mr_kafka_wakes_itself()) {
        return false;
    }
    if (answered_ns > pulse->stale_ns) { /* it is away, not asleep */
        ask_leaders(pulse);
        return false;
    }
    if (age(pulse, partition, pulse->sent_ns) < answered_ns) {
        return false; /* a fetch is under way */
    }
    int64_t now_ns = mr_kafka_now_ns();
    if (answered_ns > POKE_NS && now_ns - pulse->poked_ns > POKE_NS) {
        mr_kafka_wake(client, rd_kafka_topic_name(pulse->topic), partition);
        pulse->poked_ns = now_ns;
    }
    return true;
}
