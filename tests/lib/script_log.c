/* See script_log.h. Everything but what the script says is handed on to the memory log. */
#include "tests/lib/script_log.h"

#include <stdlib.h>

struct mr_script mr_script;

struct script_reader {
    struct mr_reader base;
    struct mr_reader *real;
    bool changelog;
    uint32_t partition;
    size_t given; /* of the script's records */
};

static enum mr_status bounds(struct mr_log *log, const struct mr_partition *source, int64_t *first,
                             int64_t *end, struct mr_error *err) {
    enum mr_status status = mr_memory_log.bounds(log, source, first, end, err);
    *end += mr_script.markers;
    return status;
}

static enum mr_status session_open(struct mr_log *log, const struct mr_session_options *options,
                                   struct mr_session **session, struct mr_error *err) {
    snprintf(mr_script.instance, sizeof mr_script.instance, "%s",
             options->instance ? options->instance : "");
    return mr_memory_log.session_open(log, options, session, err);
}

static enum mr_status poll(struct mr_session *session, int64_t timeout_ns, struct mr_event *event,
                           struct mr_error *err) {
    mr_script.timeout_ns = timeout_ns;
    *event = mr_script.event;
    mr_script.event = (struct mr_event){0};
    if (event->kind != MR_EVENT_NONE || mr_script.silent) {
        return MR_OK;
    }
    enum mr_status status = mr_memory_log.poll(session, 0, event, err);
    if (status == MR_OK && event->source.topic[0] && mr_script.gone[event->source.partition]) {
        *event = (struct mr_event){0};
    }
    event->offset += event->kind == MR_EVENT_END ? mr_script.markers : 0;
    event->anew = event->kind == MR_EVENT_END && mr_script.anew;
    return status;
}

static enum mr_commit commit(struct mr_session *session, const struct mr_position *positions,
                             size_t count, struct mr_error *err) {
    if (count > 0) { /* else it is a producer's */
        mr_script.commits++;
        mr_script.positions = count;
    }
    if (count == 0 || mr_script.outcome == MR_COMMITTED) {
        return mr_memory_log.commit(session, positions, count, err);
    }
    mr_memory_log.abort(session);
    mr_error_set(err, MR_FAIL, "the broker says no");
    return mr_script.outcome;
}

/* ---- Readers -------------------------------------------------------------------------------- */

static enum mr_status reader_open(struct mr_log *log, const struct mr_partition *source,
                                  int64_t from, struct mr_reader **out, struct mr_error *err) {
    struct mr_topic topic;
    struct mr_reader *real = NULL;
    enum mr_status status = mr_memory_log.describe(log, source->topic, &topic, err);
    if (status == MR_OK) {
        status = mr_memory_log.reader_open(log, source, from, &real, err);
    }
    if (status == MR_OK) {
        struct script_reader *reader = mr_allocate(sizeof *reader);
        reader->real = real;
        reader->changelog = topic.kind == MR_KEEP_LAST_OF_KEY;
        reader->partition = source->partition;
        *out = &reader->base;
    }
    return status;
}

static enum mr_status reader_read(struct mr_reader *base, int64_t timeout_ns,
                                  struct mr_batch *batch, struct mr_error *err) {
    struct script_reader *reader = (struct script_reader *)base;
    if (reader->changelog && mr_script.slow[reader->partition]) {
        return MR_OK;
    }
    if (!reader->changelog || !mr_script.changelog) {
        return mr_memory_log.read(reader->real, timeout_ns, batch, err);
    }
    batch->messages = mr_script.changelog;
    batch->count = reader->given == 0 ? mr_script.changelog_count : 0;
    batch->end = batch->count == 0;
    reader->given += batch->count;
    return MR_OK;
}

static void reader_close(struct mr_reader *base) {
    struct script_reader *reader = (struct script_reader *)base;
    mr_memory_log.reader_close(reader->real);
    free(reader);
}

void mr_script_log(struct mr_log *log) {
    static struct mr_log_type type;
    type = mr_memory_log;
    type.bounds = bounds;
    type.session_open = session_open;
    type.poll = poll;
    type.commit = commit;
    type.reader_open = reader_open;
    type.read = reader_read;
    type.reader_close = reader_close;
    mr_script = (struct mr_script){.outcome = MR_COMMITTED};
    log->type = &type;
}
