/* A partition without a group: tail, show, restore.
 *
 * All readers of a log share one client, each with a queue of its own on which its partition's
 * messages come. librdkafka reads a partition once for each client, so the second reader of a
 * partition that is being read gets a client to itself.
 *
 * The end of a plain topic is the last stable offset: what is behind it is still undecided. Of a
 * changelog (a compacted topic that is read from its first record) that is not good enough: a
 * transaction that is open when the reader is opened may commit later. So its reader goes on until
 * the end it is told of is not below the true end as it was at open. */
#include "engine/log/kafka.h"

#include <inttypes.h>
#include <stdlib.h>

#define WAKE_NS (10 * (MR_SECOND / 1000))

struct mr_kafka_reader {
    struct mr_reader base;
    struct mr_kafka_log *log;
    struct mr_kafka_reader *after; /* of those on the shared client */
    struct mr_partition source;
    rd_kafka_t *client;
    bool own;     /* the client */
    bool started; /* librdkafka reads it */
    bool warm;    /* the client knows the topic's leaders; under the log's lock */
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    struct mr_kafka_batch batch;
    struct mr_kafka_wait wait;
    int64_t next;
    int64_t target; /* an end below it is not the end */
    bool ended;     /* at the end, and nothing came since */
    bool held;      /* at an end below the target */
    int64_t woken_ns;
    rd_kafka_resp_err_t code;
};

/* ---- Whose client --------------------------------------------------------------------------- */

static bool same(const struct mr_partition *a, const struct mr_partition *b) {
    return a->partition == b->partition && strcmp(a->topic, b->topic) == 0;
}

/* Whether the partition on the shared client is this reader's now; and whether that client knows
 * the topic's leaders, because it reads another partition of it. */
static bool claim(struct mr_kafka_reader *reader) {
    struct mr_kafka_log *log = reader->log;
    bool free_yet = true;
    pthread_mutex_lock(&log->lock);
    for (const struct mr_kafka_reader *r = log->readers; r; r = r->after) {
        free_yet &= !same(&r->source, &reader->source);
        reader->warm |= r->warm && strcmp(r->source.topic, reader->source.topic) == 0;
    }
    if (free_yet) {
        reader->after = log->readers;
        log->readers = reader;
    }
    pthread_mutex_unlock(&log->lock);
    return free_yet;
}

static void give_back(struct mr_kafka_reader *reader) {
    struct mr_kafka_log *log = reader->log;
    pthread_mutex_lock(&log->lock);
    struct mr_kafka_reader **at = &log->readers;
    while (*at && *at != reader) {
        at = &(*at)->after;
    }
    if (*at) {
        *at = reader->after;
    }
    pthread_mutex_unlock(&log->lock);
}

static void set_warm(struct mr_kafka_reader *reader, bool warm) {
    pthread_mutex_lock(&reader->log->lock);
    reader->warm = warm;
    pthread_mutex_unlock(&reader->log->lock);
}

static enum mr_status choose_client(struct mr_kafka_reader *reader, struct mr_error *err) {
    if (claim(reader)) {
        return mr_kafka_reader_client(reader->log, &reader->client, err);
    }
    reader->own = true;
    reader->warm = false;
    return mr_kafka_own_client(reader->log, MR_KAFKA_READER, NULL, &reader->client, err);
}

/* ---- Open, close ---------------------------------------------------------------------------- */

/* Where to begin: RD_KAFKA_OFFSET_BEGINNING for the first that is there at that time. */
static enum mr_status find_place(struct mr_kafka_reader *reader, int64_t from,
                                 struct mr_error *err) {
    struct mr_topic topic;
    const struct mr_partition *source = &reader->source;
    enum mr_status status = mr_kafka_describe(&reader->log->base, source->topic, &topic, err);
    if (status == MR_OK) {
        status = mr_topic_has(&topic, source->partition, err);
    }
    if (status != MR_OK) {
        return status;
    }
    if (topic.kind == MR_KEEP_LAST_OF_KEY && from < 0) {
        return mr_kafka_true_end(reader->log, source, &reader->target, err);
    }
    if (from >= 0) {
        int64_t first, end;
        status = mr_kafka_bounds(&reader->log->base, source, &first, &end, err);
        reader->next = from;
        return status == MR_OK ? mr_topic_reaches(source, from, first, end, err) : status;
    }
    return MR_OK;
}

static enum mr_status start(struct mr_kafka_reader *reader, struct mr_error *err) {
    int32_t partition = (int32_t)reader->source.partition;
    int64_t place = reader->next >= 0 ? reader->next : RD_KAFKA_OFFSET_BEGINNING;
    reader->started =
        rd_kafka_consume_start_queue(reader->topic, partition, place, reader->queue) == 0;
    return reader->started
               ? MR_OK
               : mr_kafka_fail(reader->log, "beginning to read", rd_kafka_last_error(), NULL, err);
}

static void stop(struct mr_kafka_reader *reader) {
    if (reader->started) {
        rd_kafka_consume_stop(reader->topic, (int32_t)reader->source.partition);
        reader->started = false;
    }
}

static enum mr_status begin(struct mr_kafka_reader *reader, struct mr_error *err) {
    struct mr_topic topic;
    enum mr_status status = choose_client(reader, err);
    if (status != MR_OK) {
        return status;
    }
    const char *source = reader->source.topic;
    reader->topic = rd_kafka_topic_new(reader->client, source, NULL);
    reader->queue = rd_kafka_queue_new(reader->client);
    /* With the leader known the first record is here in 5 ms, else in 500. But a request waits for
     * the fetches of the readers that are open. */
    if (!reader->warm) {
        status = mr_kafka_partitions(reader->log, reader->client, source, &topic, err);
        set_warm(reader, status == MR_OK);
    }
    return status == MR_OK ? start(reader, err) : status;
}

void mr_kafka_reader_close(struct mr_reader *base) {
    struct mr_kafka_reader *reader = (struct mr_kafka_reader *)base;
    stop(reader);
    mr_kafka_batch_finish(&reader->batch);
    if (reader->queue) {
        rd_kafka_queue_destroy(reader->queue);
    }
    if (reader->topic) {
        rd_kafka_topic_destroy(reader->topic);
    }
    give_back(reader);
    if (reader->own && reader->client) {
        rd_kafka_destroy_flags(reader->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
    free(reader);
}

enum mr_status mr_kafka_reader_open(struct mr_log *base, const struct mr_partition *source,
                                    int64_t from, struct mr_reader **out, struct mr_error *err) {
    struct mr_kafka_reader *reader = mr_allocate(sizeof *reader);
    reader->log = (struct mr_kafka_log *)base;
    reader->source = *source;
    reader->next = -1;
    mr_kafka_batch_init(&reader->batch);
    enum mr_status status = find_place(reader, from, err);
    if (status == MR_OK) {
        status = begin(reader, err);
    }
    if (status != MR_OK) {
        mr_kafka_reader_close(&reader->base);
        return status;
    }
    *out = &reader->base;
    return MR_OK;
}

/* ---- Read ----------------------------------------------------------------------------------- */

static void say_doing(const struct mr_kafka_reader *reader, char doing[MR_KAFKA_DOING_MAX]) {
    snprintf(doing, MR_KAFKA_DOING_MAX, "reading topic \"%s\", partition %" PRIu32,
             reader->source.topic, reader->source.partition);
}

static enum mr_status nothing_came(struct mr_kafka_reader *reader, struct mr_error *err) {
    char doing[MR_KAFKA_DOING_MAX];
    say_doing(reader, doing);
    if (reader->held) {
        mr_kafka_wait_tell(reader->log, &reader->wait, doing,
                           "a transaction that is still open holds records back");
        return MR_OK;
    }
    return mr_kafka_idle(reader->log, reader->client, &reader->wait, doing, err);
}

/* An error within the partition; err has a sentence about it. */
static enum mr_status judge_error(struct mr_kafka_reader *reader, struct mr_error *err) {
    char doing[MR_KAFKA_DOING_MAX];
    say_doing(reader, doing);
    if (reader->code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        if (reader->next >= 0) {
            return MR_REJECT;
        }
        stop(reader); /* the first one went while it was asked for */
        return start(reader, err);
    }
    switch (mr_kafka_judge(reader->code)) {
    case MR_KAFKA_WAIT:
        mr_kafka_wait_tell(reader->log, &reader->wait, doing, rd_kafka_err2str(reader->code));
        return MR_OK;
    case MR_KAFKA_REFUSE:
        return mr_kafka_fail(reader->log, doing, reader->code, NULL, err);
    case MR_KAFKA_BROKEN:
        break;
    }
    return MR_FAIL;
}

static void wake_client(struct mr_kafka_reader *reader) {
    int64_t now_ns = mr_kafka_now_ns();
    if (!reader->ended && !mr_kafka_wakes_itself() && now_ns - reader->woken_ns >= WAKE_NS) {
        mr_kafka_wake(reader->client, reader->source.topic, reader->source.partition);
        reader->woken_ns = now_ns;
    }
}

/* One fill: what is there, or what comes within the time left. */
static enum mr_kafka_fill fill(struct mr_kafka_reader *reader, int64_t until_ns,
                               struct mr_batch *batch, int64_t *end, struct mr_error *err) {
    enum mr_kafka_fill filled = mr_kafka_batch_fill(&reader->batch, reader->queue, 0, &reader->next,
                                                    batch, end, &reader->code, err);
    int64_t left_ns = until_ns - mr_kafka_now_ns();
    if (filled != MR_KAFKA_NOTHING || left_ns <= 0) {
        return filled;
    }
    wake_client(reader);
    return mr_kafka_batch_fill(&reader->batch, reader->queue, left_ns, &reader->next, batch, end,
                               &reader->code, err);
}

/* True when the end is the end. */
static bool reached(struct mr_kafka_reader *reader, int64_t end) {
    reader->ended = end >= reader->target;
    reader->held = !reader->ended;
    return reader->ended;
}

enum mr_status mr_kafka_read(struct mr_reader *base, int64_t timeout_ns, struct mr_batch *batch,
                             struct mr_error *err) {
    struct mr_kafka_reader *reader = (struct mr_kafka_reader *)base;
    int64_t end, until_ns = mr_time_add(mr_kafka_now_ns(), timeout_ns);
    batch->source = reader->source;
    for (;;) {
        enum mr_status status = MR_OK;
        enum mr_kafka_fill filled = fill(reader, until_ns, batch, &end, err);
        if (filled == MR_KAFKA_MESSAGES) {
            reader->ended = reader->held = false;
            mr_kafka_idle_over(reader->log, &reader->wait);
            return MR_OK;
        }
        if (filled == MR_KAFKA_FAILED) {
            status = judge_error(reader, err);
        } else if (filled == MR_KAFKA_END && reached(reader, end)) {
            mr_kafka_idle_over(reader->log, &reader->wait);
        } else if (filled == MR_KAFKA_NOTHING && !reader->ended) {
            return nothing_came(reader, err);
        }
        batch->end = reader->ended;
        if (status != MR_OK || reader->ended) {
            return status;
        }
    }
}

/* ---- Check ---------------------------------------------------------------------------------- */

/* librdkafka compares the checksum of every batch of records (check.crcs), but behind a bad one it
 * loses its way: begin again at the next offset. Within the same batch that is bad too, so what is
 * counted is records. */
static enum mr_status step_over(struct mr_kafka_reader *reader, struct mr_error *err) {
    int64_t first = 0, end;
    if (reader->next < 0) {
        enum mr_status status =
            mr_kafka_bounds(&reader->log->base, &reader->source, &first, &end, err);
        if (status != MR_OK) {
            return status;
        }
        reader->next = first;
    }
    reader->next++;
    stop(reader);
    mr_kafka_batch_finish(&reader->batch);
    mr_kafka_batch_init(&reader->batch);
    return start(reader, err);
}

static bool is_bad_record(const struct mr_kafka_reader *reader) {
    return reader->code == RD_KAFKA_RESP_ERR__BAD_MSG ||
           reader->code == RD_KAFKA_RESP_ERR__BAD_COMPRESSION;
}

static enum mr_status check_partition(struct mr_kafka_log *log, const struct mr_partition *source,
                                      struct mr_check_report *report, struct mr_error *err) {
    struct mr_reader *base;
    struct mr_batch batch = {0};
    struct mr_error said;
    enum mr_status status = mr_kafka_reader_open(&log->base, source, -1, &base, err);
    if (status != MR_OK) {
        return status;
    }
    struct mr_kafka_reader *reader = (struct mr_kafka_reader *)base;
    while (status == MR_OK && !batch.end) {
        batch = (struct mr_batch){0};
        status = mr_kafka_read(base, MR_SECOND, &batch, &said);
        report->records += batch.count;
        if (status != MR_OK && is_bad_record(reader)) {
            report->first = report->bad_records++ ? report->first : said;
            status = step_over(reader, &said);
        }
        if (status == MR_OK && mr_kafka_stopped(log, "checking", &said)) {
            status = MR_FAIL;
        }
    }
    mr_kafka_reader_close(base);
    if (status != MR_OK && err) {
        *err = said;
    }
    return status;
}

enum mr_status mr_kafka_check(struct mr_log *base, const char *name, struct mr_check_report *report,
                              struct mr_error *err) {
    struct mr_topic topic;
    enum mr_status status = mr_kafka_describe(base, name, &topic, err);
    for (uint32_t p = 0; status == MR_OK && p < topic.partitions; p++) {
        struct mr_partition source = mr_partition_at(name, p);
        status = check_partition((struct mr_kafka_log *)base, &source, report, err);
    }
    return status;
}
