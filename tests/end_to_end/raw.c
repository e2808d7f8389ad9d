/* raw: the bytes of a topic, past every codec, for tests that are written in other languages.
 *
 *   raw append LOG TOPIC PARTITIONS   standard input -> topic; makes the topic if need be
 *   raw dump LOG TOPIC                topic -> standard output, partition by partition
 *
 * One record a line, fields apart by a blank, bytes as "=" and hexadecimal digits, "-" for none:
 *
 *   append   PARTITION KEY VALUE                              0 =6b6579 =7b7d
 *   dump     PARTITION OFFSET APPEND_NS KEY VALUE NAME=VALUE...  (header names as they are)
 *
 * It is a test's tool: what is wrong ends it with a sentence. */
#include "engine/log/log.h"

#include <stdlib.h>

static _Noreturn void die(const char *what) {
    fprintf(stderr, "raw: %s\n", what);
    exit(1);
}

static void must(enum mr_status status, const struct mr_error *err) {
    if (status != MR_OK) {
        die(err->text);
    }
}

/* Takes the next word of a line in place and moves on. */
static char *word(char **line) {
    char *found = strsep(line, " \n");
    if (!found) {
        die("a line is too short");
    }
    return found;
}

/* "-" or "=" with digits to bytes, written over the word itself. */
static struct mr_slice bytes_of(char *text) {
    if (*text == '-') {
        return (struct mr_slice){NULL, 0};
    }
    size_t length = strlen(text + 1) / 2;
    for (size_t i = 0; i < length; i++) {
        char digits[3] = {text[1 + 2 * i], text[2 + 2 * i], 0};
        text[i] = (char)strtoul(digits, NULL, 16);
    }
    return (struct mr_slice){text, length};
}

static void print_bytes(struct mr_slice bytes) {
    if (!bytes.data) {
        putchar('-');
        return;
    }
    putchar('=');
    for (size_t i = 0; i < bytes.length; i++) {
        printf("%02x", (unsigned char)bytes.data[i]);
    }
}

static void append(struct mr_log *log, const char *name, const char *partitions) {
    struct mr_error err = {{0}};
    struct mr_topic topic = {.kind = MR_KEEP_RECORDS, .retention_ns = -1, .retention_bytes = -1};
    snprintf(topic.name, sizeof topic.name, "%s", name);
    topic.partitions = (uint32_t)strtoul(partitions, NULL, 10);
    must(mr_log_create(log, &topic, &err), &err);

    struct mr_session *session = NULL;
    must(mr_session_open(log, &(struct mr_session_options){0}, &session, &err), &err);
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        char *at = line;
        struct mr_append record = {.topic = name, .timestamp_ns = -1};
        record.partition = (uint32_t)strtoul(word(&at), NULL, 10);
        record.key = bytes_of(word(&at));
        record.value = bytes_of(word(&at));
        must(mr_session_append(session, &record, &err), &err);
    }
    free(line);
    if (mr_session_commit(session, NULL, 0, &err) != MR_COMMITTED) {
        die(err.text);
    }
    mr_session_close(session);
}

static void dump_message(uint32_t partition, const struct mr_message *message) {
    printf("%u %lld %lld ", partition, (long long)message->offset, (long long)message->append_ns);
    print_bytes(message->key);
    putchar(' ');
    print_bytes(message->value);
    for (size_t i = 0; i < message->header_count; i++) {
        const struct mr_header *header = &message->headers[i];
        printf(" %.*s", (int)header->name.length, header->name.data);
        print_bytes(header->value);
    }
    putchar('\n');
}

static void dump(struct mr_log *log, const char *name) {
    struct mr_error err = {{0}};
    struct mr_topic topic;
    must(mr_log_describe(log, name, &topic, &err), &err);
    struct mr_partition source = {.partition = 0};
    memcpy(source.topic, topic.name, sizeof source.topic);
    for (; source.partition < topic.partitions; source.partition++) {
        struct mr_reader *reader = NULL;
        struct mr_batch batch = {.count = 0};
        must(mr_reader_open(log, &source, -1, &reader, &err), &err);
        do {
            must(mr_reader_read(reader, MR_SECOND, &batch, &err), &err);
            for (size_t i = 0; i < batch.count; i++) {
                dump_message(source.partition, &batch.messages[i]);
            }
        } while (!batch.end);
        mr_reader_close(reader);
    }
}

int main(int count, char **words) {
    bool appends = count == 5 && strcmp(words[1], "append") == 0;
    if (!appends && (count != 4 || strcmp(words[1], "dump") != 0)) {
        die("usage: raw append LOG TOPIC PARTITIONS | raw dump LOG TOPIC");
    }
    struct mr_error err = {{0}};
    struct mr_log *log = NULL;
    must(mr_log_open(words[2], &(struct mr_log_options){.make = appends}, &mr_real_clock, &log,
                     &err),
         &err);
    if (appends) {
        append(log, words[3], words[4]);
    } else {
        dump(log, words[3]);
    }
    mr_log_close(log);
    return 0;
}
