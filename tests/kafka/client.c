/* client: librdkafka and nothing else, driven line by line, to see what it and a broker do.
 *
 *   client BROKERS [NAME=VALUE...]     properties of every producer and consumer it makes
 *
 * Commands on standard input, one a line; each is answered by one line, "ok ..." or
 * "error: NAME FATAL|ABORTABLE|RETRIABLE|PLAIN: what librdkafka says".
 *
 *   create TOPIC                  with one partition
 *   new ID                        a transactional producer, through init_transactions
 *   warm TOPIC                    asks for the topic's metadata: else its first record waits
 *   begin | flush | commit | abort
 *   send TOPIC VALUE              to partition 0; an undelivered record is an error of `flush`
 *   offset GROUP TOPIC N          send_offsets_to_transaction, as a member that nobody fences
 *   troubled                      "ok 1" when a request that a transaction needs has met a
 *                                 transport error or a time-out since `new`
 *   close                         the producer, whatever its state
 *   read TOPIC committed|all      the values in the topic, from the first to the end
 *   committed GROUP TOPIC         the committed offset, or what an unstable one answers
 */
#include "tests/kafka/commands.h"

#include <librdkafka/rdkafka.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 60000, PATIENCE_MS = 2000 };

static struct {
    const char *brokers;
    char **properties;
    int property_count;
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic; /* kept, so that its metadata is */
    atomic_bool troubled;
    int undelivered;
} client;

static _Noreturn void die(const char *what) {
    fprintf(stderr, "client: %s\n", what);
    exit(1);
}

static void say_error(rd_kafka_error_t *error) {
    const char *kind = rd_kafka_error_is_fatal(error)             ? "FATAL"
                       : rd_kafka_error_txn_requires_abort(error) ? "ABORTABLE"
                       : rd_kafka_error_is_retriable(error)       ? "RETRIABLE"
                                                                  : "PLAIN";
    printf("error: %s %s: %s\n", rd_kafka_error_name(error), kind, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}

static void say(rd_kafka_error_t *error) {
    if (error) {
        say_error(error);
    } else {
        puts("ok");
    }
}

static void say_code(rd_kafka_resp_err_t code) {
    say(code ? rd_kafka_error_new(code, "%s", rd_kafka_err2str(code)) : NULL);
}

/* ---- Producer ------------------------------------------------------------------------------ */

static rd_kafka_resp_err_t watch(rd_kafka_t *rk, int sock, const char *broker, int32_t broker_id,
                                 int16_t key, int16_t version, int32_t correlation, size_t size,
                                 int64_t rtt, rd_kafka_resp_err_t code, void *arg) {
    bool of_a_transaction = key == 0 || key == 22 || (key >= 24 && key <= 26) || key == 28;
    if (code && of_a_transaction) {
        atomic_store(&client.troubled, true);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t add_watch(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg,
                                     char *text, size_t size) {
    return rd_kafka_interceptor_add_on_response_received(rk, "watch", watch, NULL);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *arg) {
    client.undelivered += message->err != 0;
}

static rd_kafka_conf_t *settings(void) {
    char text[512], *name, *value;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", client.brokers, text, sizeof text)) {
        die(text);
    }
    for (int i = 0; i < client.property_count; i++) {
        char *copy = value = strdup(client.properties[i]);
        name = strsep(&value, "=");
        if (!value || rd_kafka_conf_set(conf, name, value, text, sizeof text)) {
            die(client.properties[i]);
        }
        free(copy);
    }
    return conf;
}

static rd_kafka_t *open_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char text[512];
    rd_kafka_t *handle = rd_kafka_new(type, conf, text, sizeof text);
    if (!handle) {
        die(text);
    }
    return handle;
}

static void do_close(char **words) {
    if (client.topic) {
        rd_kafka_topic_destroy(client.topic);
    }
    if (client.producer) {
        rd_kafka_destroy(client.producer);
    }
    client.topic = NULL;
    client.producer = NULL;
    if (words) {
        puts("ok");
    }
}

static void do_new(char **words) {
    do_close(NULL);
    rd_kafka_conf_t *conf = settings();
    rd_kafka_conf_set(conf, "transactional.id", words[1], NULL, 0);
    rd_kafka_conf_set(conf, "client.id", words[1], NULL, 0);
    rd_kafka_conf_set(conf, "retry.backoff.ms", "10", NULL, 0);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_interceptor_add_on_new(conf, "watch", add_watch, NULL);
    atomic_store(&client.troubled, false);
    client.producer = open_handle(RD_KAFKA_PRODUCER, conf);
    say(rd_kafka_init_transactions(client.producer, WAIT_MS));
}

static void do_warm(char **words) {
    const struct rd_kafka_metadata *metadata = NULL;
    if (client.topic) {
        rd_kafka_topic_destroy(client.topic);
    }
    client.topic = rd_kafka_topic_new(client.producer, words[1], NULL);
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(client.producer, 0, client.topic, &metadata, WAIT_MS);
    if (!code) {
        rd_kafka_metadata_destroy(metadata);
    }
    say_code(code);
}

static void do_begin(char **words) {
    say(rd_kafka_begin_transaction(client.producer));
}

static void do_send(char **words) {
    say_code(rd_kafka_producev(client.producer, RD_KAFKA_V_TOPIC(words[1]), RD_KAFKA_V_PARTITION(0),
                               RD_KAFKA_V_VALUE(words[2], strlen(words[2])),
                               RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
}

static void do_flush(char **words) {
    client.undelivered = 0;
    rd_kafka_resp_err_t code = rd_kafka_flush(client.producer, WAIT_MS);
    say_code(!code && client.undelivered ? RD_KAFKA_RESP_ERR__FAIL : code);
}

static void do_commit(char **words) {
    say(rd_kafka_commit_transaction(client.producer, -1));
}

static void do_abort(char **words) {
    say(rd_kafka_abort_transaction(client.producer, -1));
}

static void do_offset(char **words) {
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(offsets, words[2], 0)->offset = strtol(words[3], NULL, 10);
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new(words[1]);
    say(rd_kafka_send_offsets_to_transaction(client.producer, offsets, group, WAIT_MS));
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(offsets);
}

static void do_troubled(char **words) {
    printf("ok %d\n", atomic_load(&client.troubled));
}

/* ---- What anybody sees --------------------------------------------------------------------- */

static void do_create(char **words) {
    rd_kafka_t *rk = open_handle(RD_KAFKA_PRODUCER, settings());
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(words[1], 1, -1, NULL, 0);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (event && !(code = rd_kafka_event_error(event))) {
        size_t count;
        const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
        code = rd_kafka_topic_result_error(rd_kafka_CreateTopics_result_topics(result, &count)[0]);
    }
    say_code(code);
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static rd_kafka_t *consumer(const char *group, const char *isolation) {
    rd_kafka_conf_t *conf = settings();
    rd_kafka_conf_set(conf, "group.id", group, NULL, 0);
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", NULL, 0);
    rd_kafka_conf_set(conf, "enable.partition.eof", "true", NULL, 0);
    rd_kafka_conf_set(conf, "isolation.level", isolation, NULL, 0);
    rd_kafka_t *rk = open_handle(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

static void do_read(char **words) {
    bool all = strcmp(words[2], "all") == 0;
    rd_kafka_t *rk = consumer("reader", all ? "read_uncommitted" : "read_committed");
    rd_kafka_topic_partition_list_t *from = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(from, words[1], 0)->offset = 0;
    rd_kafka_assign(rk, from);
    fputs("ok", stdout);
    for (bool end = false; !end;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, WAIT_MS);
        end = !message || message->err;
        if (!end) {
            printf(" %.*s", (int)message->len, (const char *)message->payload);
        } else if (!message || message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            die("read: the end of the topic did not come");
        }
        rd_kafka_message_destroy(message);
    }
    putchar('\n');
    rd_kafka_topic_partition_list_destroy(from);
    rd_kafka_destroy(rk);
}

static void do_committed(char **words) {
    rd_kafka_t *rk = consumer(words[1], "read_committed");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, words[2], 0);
    rd_kafka_resp_err_t code = rd_kafka_committed(rk, list, PATIENCE_MS);
    if (code) {
        say_code(code);
    } else {
        printf("ok %lld\n", (long long)list->elems[0].offset);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
}

static const struct command COMMANDS[] = {
    {"create", do_create},       {"new", do_new},
    {"warm", do_warm},           {"begin", do_begin},
    {"send", do_send},           {"flush", do_flush},
    {"commit", do_commit},       {"abort", do_abort},
    {"offset", do_offset},       {"close", do_close},
    {"troubled", do_troubled},   {"read", do_read},
    {"committed", do_committed}, {0},
};

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs("Usage: client BROKERS [NAME=VALUE...]\n", stderr);
        return 2;
    }
    client.brokers = argv[1];
    client.properties = argv + 2;
    client.property_count = argc - 2;
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        obey(COMMANDS, line);
        fflush(stdout);
    }
    free(line);
    do_close(NULL);
    return 0;
}
