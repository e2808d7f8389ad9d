/* millrace tail: the values of a topic, one per line.
 *
 * Each partition has a reader; of the records at their heads the one that was appended first is
 * printed next. A partition whose records are on their way holds the others back; one that has
 * been at its end does not, so while following the merge is in append order as far as the records
 * are there.
 *
 * What is printed stays on one line and cannot speak to the terminal: a line end in a value becomes
 * a blank (in JSON it can only be space between words), other control bytes become \xNN. */
#include "engine/cli/connect.h"

#include <errno.h>
#include <millrace/codec.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define FLUSH_BYTES ((size_t)64 << 10)
#define DESCRIPTION 8192
#define NAP_MS      10

struct flags {
    const char *log, *kafka, *from;
    bool until_end, with_key, with_headers;
    double count;
};

#define AT(member) offsetof(struct flags, member)
static const struct mr_option flag_rows[] = {
    {"log", MR_OPTION_TEXT, NULL, NULL,
     "Where the topic is, such as local:./data or kafka://HOST:PORT", AT(log), 0, 0},
    MR_KAFKA_FLAG(struct flags),
    {"from", MR_OPTION_TEXT, NULL, "start", "start, end, or an offset of each partition", AT(from),
     0, 0},
    {"until-end", MR_OPTION_BOOL, NULL, "false", "Stop at the end instead of waiting for more",
     AT(until_end), 0, 0},
    {"count", MR_OPTION_NUMBER, NULL, "0", "Stop after so many records", AT(count), 0, 1e15},
    {"with-key", MR_OPTION_BOOL, NULL, "false", "Print the key and a tab before the value",
     AT(with_key), 0, 0},
    {"with-headers", MR_OPTION_BOOL, NULL, "false",
     "Print the headers and a tab before the value: why a dead letter is one", AT(with_headers), 0,
     0},
    {0},
};

struct head {
    struct mr_partition source;
    int64_t from;             /* -1: the first that is there */
    struct mr_reader *reader; /* NULL: there is nothing to read */
    struct mr_batch batch;
    size_t next;    /* in the batch */
    int64_t end;    /* --until-end stops here; -1: where the reader stops */
    bool caught_up; /* it has been at the end once */
    bool finished;
};

struct tail {
    const struct flags *flags;
    struct mr_topic topic;
    struct head *heads; /* by partition */
    struct mr_buffer out;
    bool closed; /* nobody reads standard output any more */
    uint64_t printed;
    const atomic_bool *stop;
};

/* ---- Printing ------------------------------------------------------------------------------ */
static enum mr_status flush(struct tail *it, struct mr_error *err) {
    size_t done = 0;
    while (done < it->out.length && !it->closed) {
        ssize_t n = write(STDOUT_FILENO, it->out.data + done, it->out.length - done);
        if (n < 0 && errno == EPIPE) {
            it->closed = true;
        } else if (n < 0 && errno != EINTR) {
            return mr_error_set(err, MR_FAIL, "cannot write to standard output: %s",
                                strerror(errno));
        }
        done += n > 0 ? (size_t)n : 0;
    }
    it->out.length = 0;
    return MR_OK;
}

static void print_text(struct mr_buffer *out, struct mr_slice text) {
    bool utf8 = mr_valid_utf8(text);
    size_t from = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if ((byte >= 0x20 && byte != 0x7F && (byte < 0x80 || utf8)) || byte == '\t') {
            continue;
        }
        mr_buffer_add(out, text.data + from, i - from);
        from = i + 1;
        if (utf8 && (byte == '\n' || byte == '\r')) {
            mr_buffer_add(out, " ", 1);
        } else {
            mr_buffer_format(out, "\\x%02x", byte);
        }
    }
    if (text.length > from) {
        mr_buffer_add(out, text.data + from, text.length - from);
    }
}

static void print_value(struct mr_buffer *out, struct mr_slice value) {
    for (const struct mr_codec_type *const *codec = mr_codec_types; *codec; codec++) {
        if ((*codec)->describe && (*codec)->recognises && (*codec)->recognises(value)) {
            char text[DESCRIPTION];
            (*codec)->describe(value, text, sizeof text);
            mr_buffer_text(out, text);
            return;
        }
    }
    print_text(out, value);
}

/* name=value; name=value */
static void print_headers(struct mr_buffer *out, const struct mr_message *message) {
    for (size_t i = 0; i < message->header_count; i++) {
        mr_buffer_text(out, i > 0 ? "; " : "");
        print_text(out, message->headers[i].name);
        mr_buffer_text(out, "=");
        print_text(out, message->headers[i].value);
    }
}

static void print_message(struct tail *it, const struct mr_message *message) {
    if (it->flags->with_key) {
        print_text(&it->out, message->key);
        mr_buffer_add(&it->out, "\t", 1);
    }
    if (it->flags->with_headers) {
        print_headers(&it->out, message);
        mr_buffer_add(&it->out, "\t", 1);
    }
    print_value(&it->out, message->value);
    mr_buffer_add(&it->out, "\n", 1);
    it->printed++;
}

/* ---- Reading ------------------------------------------------------------------------------- */
/* Where each partition begins and ends; asked before any is read, which on a broker's connection
 * would hold up the answers. */
static enum mr_status find_place(const struct tail *it, struct mr_log *log, uint32_t partition,
                                 struct mr_error *err) {
    struct head *head = &it->heads[partition];
    const char *from = it->flags->from;
    int64_t first;
    head->source.partition = partition;
    memcpy(head->source.topic, it->topic.name, sizeof head->source.topic);
    enum mr_status status = mr_log_bounds(log, &head->source, &first, &head->end, err);
    if (status != MR_OK) {
        return status;
    }
    if (strcmp(from, "start") == 0) {
        head->from = -1;
    } else if (strcmp(from, "end") == 0) {
        head->from = head->end;
    } else {
        mr_parse_integer(mr_slice_of(from), &head->from);
        head->from = head->from < first ? first : head->from;
    }
    if (it->topic.kind == MR_KEEP_LAST_OF_KEY) {
        head->end = -1; /* its offsets are in no order */
    } else if (it->flags->until_end) {
        head->finished = (head->from < 0 ? first : head->from) >= head->end;
    }
    return MR_OK;
}

/* Makes sure that the head has a record to show, if there is one. */
static enum mr_status fill_head(const struct tail *it, struct head *head, struct mr_error *err) {
    if (head->finished || head->next < head->batch.count) {
        return MR_OK;
    }
    head->next = 0;
    head->batch.count = 0;
    enum mr_status status = mr_reader_read(head->reader, 0, &head->batch, err);
    if (status == MR_OK && head->batch.end) {
        head->caught_up = true;
        head->finished = it->flags->until_end || it->topic.kind == MR_KEEP_LAST_OF_KEY;
    }
    return status;
}

static const struct mr_message *first_message(struct head *head, bool until_end) {
    if (head->finished || head->next == head->batch.count) {
        return NULL;
    }
    const struct mr_message *message = &head->batch.messages[head->next];
    if (until_end && head->end >= 0 && message->offset >= head->end) {
        head->finished = true;
        return NULL;
    }
    return message;
}

/* Prints the earliest record; *some tells whether there was one, *open whether more may come. None
 * is printed while an earlier one may be on its way. */
static enum mr_status step(struct tail *it, bool *some, bool *open, struct mr_error *err) {
    struct head *chosen = NULL;
    const struct mr_message *earliest = NULL;
    bool hold = false;
    *open = false;
    for (uint32_t i = 0; i < it->topic.partitions; i++) {
        struct head *head = &it->heads[i];
        if (fill_head(it, head, err) != MR_OK) {
            return MR_FAIL;
        }
        const struct mr_message *message = first_message(head, it->flags->until_end);
        if (message && (!earliest || message->append_ns < earliest->append_ns)) {
            earliest = message;
            chosen = head;
        }
        *open = *open || !head->finished;
        hold = hold || (!message && !head->finished && !head->caught_up);
    }
    *some = earliest != NULL && !hold;
    if (*some) {
        print_message(it, earliest);
        chosen->next++;
    }
    return MR_OK;
}

/* A nap that a reader's end of standard output cuts short. */
static void wait_for_more(struct tail *it) {
    struct pollfd out = {.fd = STDOUT_FILENO};
    it->closed = poll(&out, 1, NAP_MS) > 0;
}

static enum mr_status follow(struct tail *it, struct mr_error *err) {
    bool some, open = true;
    uint64_t wanted = it->flags->count > 0 ? (uint64_t)it->flags->count : UINT64_MAX;
    while (open && it->printed < wanted && !it->closed && !atomic_load(it->stop)) {
        enum mr_status status = step(it, &some, &open, err);
        if (status == MR_OK && (!some || it->out.length >= FLUSH_BYTES)) {
            status = flush(it, err);
        }
        if (status != MR_OK) {
            return status;
        }
        if (!some && open) {
            wait_for_more(it);
        }
    }
    return flush(it, err);
}

static enum mr_status show(struct tail *it, struct mr_log *log, const char *topic,
                           struct mr_error *err) {
    enum mr_status status = mr_log_describe(log, topic, &it->topic, err);
    if (status != MR_OK) {
        return status;
    }
    it->heads = mr_allocate_array(it->topic.partitions, struct head);
    for (uint32_t i = 0; i < it->topic.partitions && status == MR_OK; i++) {
        status = find_place(it, log, i, err);
    }
    for (uint32_t i = 0; i < it->topic.partitions && status == MR_OK; i++) {
        struct head *head = &it->heads[i];
        if (!head->finished) {
            status = mr_reader_open(log, &head->source, head->from, &head->reader, err);
        }
    }
    if (status == MR_OK) {
        status = follow(it, err);
    }
    for (uint32_t i = 0; i < it->topic.partitions; i++) {
        mr_reader_close(it->heads[i].reader);
    }
    free(it->heads);
    mr_buffer_finish(&it->out);
    return status;
}

static int tail(const void *flags_, int argc, char **argv) {
    const struct flags *flags = flags_;
    int64_t offset;
    if (argc != 1) {
        return mr_usage_error(&mr_tail_command, "one topic, please");
    }
    if (strcmp(flags->from, "start") != 0 && strcmp(flags->from, "end") != 0 &&
        (!mr_parse_integer(mr_slice_of(flags->from), &offset) || offset < 0)) {
        return mr_usage_error(&mr_tail_command, "--from %s: expected start, end or an offset",
                              flags->from);
    }
    signal(SIGPIPE, SIG_IGN); /* `| head` ends this command, and that is no failure */
    struct tail it = {.flags = flags, .stop = mr_catch_signals()};
    struct mr_error err = {{0}};
    struct mr_log *log;
    int code = mr_connect(&(struct mr_connect){.url = flags->log,
                                               .file = flags->kafka,
                                               .late = "the broker did not answer in time"},
                          &log, &err);
    if (code == MR_EXIT_OK && show(&it, log, argv[0], &err) != MR_OK) {
        code = MR_EXIT_FAILED;
    }
    mr_log_close(log);
    if (code != MR_EXIT_OK) {
        mr_note("%s", err.text);
    }
    return code;
}

const struct mr_command mr_tail_command = {
    .name = "tail",
    .arguments = "TOPIC",
    .summary = "Print the values of a topic, one per line",
    .flags = flag_rows,
    .flags_size = sizeof(struct flags),
    .run = tail,
    .details =
        "The partitions are merged in the order of appending, or by the producers' times where\n"
        "a topic of Kafka keeps those. A waveform frame is shown as one line about it. Without\n"
        "--until-end it waits for more until it is interrupted.",
};
