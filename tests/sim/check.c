/* What came out, against the oracle: rows and their revisions, dead letters, counters. */
#include "tests/sim/sim.h"

#include <stdlib.h>

/* With ticks and without revisions, ticks decide what is late: then only what they cannot touch is
 * compared. */
static bool is_exact(const struct sim_job *job) {
    return job->late == MR_LATE_REVISE || !job->ticks;
}

struct row {
    char *text; /* head, cut at its end; the tail comes after it */
    const char *tail;
    uint32_t partition;
    int64_t offset;
    uint64_t rev;
    bool closed;
};

struct rows {
    struct row *items;
    size_t count, capacity;
};

/* ---- Reading -------------------------------------------------------------------------------- */

typedef void visit_message(const struct sim *sim, void *arg, uint32_t partition,
                           const struct mr_message *message);

static void read_topic(const struct sim *sim, const char *topic, uint32_t partition,
                       visit_message *visit, void *arg) {
    struct mr_partition source = {.partition = partition};
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_error err;
    snprintf(source.topic, sizeof source.topic, "%s", topic);
    if (mr_reader_open(sim->log, &source, -1, &reader, &err) != MR_OK) {
        sim_fail(sim, "%s", err.text);
    }
    while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
        for (size_t i = 0; i < batch.count; i++) {
            visit(sim, arg, partition, &batch.messages[i]);
        }
    }
    mr_reader_close(reader);
}

static void add_row(const struct sim *sim, void *arg, uint32_t partition,
                    const struct mr_message *message) {
    static const char middle[] = ",\"closed\":";
    struct rows *rows = arg;
    struct row row = {.partition = partition, .offset = message->offset};
    struct mr_buffer copy = {0};
    mr_buffer_add(&copy, message->value.data, message->value.length);
    mr_buffer_add(&copy, "", 1);
    row.text = copy.data;
    char *at = strstr(row.text, middle), closed[8];
    unsigned long long rev;
    int length = 0;
    if (!at || sscanf(at + strlen(middle), "%5[a-z],\"rev\":%llu%n", closed, &rev, &length) != 2) {
        sim_fail(sim, "this is no row: %s", row.text);
    }
    *at = '\0';
    row.closed = strcmp(closed, "true") == 0;
    row.rev = rev;
    row.tail = at + strlen(middle) + length;
    if (mr_partition_of(message->key, sim->job.partitions, NULL) != partition) {
        sim_fail(sim, "a row in the wrong partition: %s", row.text);
    }
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? 2 * rows->capacity : 256;
        rows->items = mr_reallocate(rows->items, rows->capacity * sizeof *rows->items);
    }
    rows->items[rows->count++] = row;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right) {
    const struct row *a = left, *b = right;
    int order = strcmp(a->text, b->text);
    return order != 0 ? order : (a->offset > b->offset) - (a->offset < b->offset);
}

/* The rows of one (group, window), in the order of the topic; returns the last closed one. */
static const struct row *check_history(const struct sim *sim, const struct row *rows,
                                       size_t count) {
    const struct row *last = NULL;
    for (size_t i = 0; i < count; i++) {
        uint64_t expected = last ? last->rev + 1 : 0;
        if (rows[i].rev != expected || (!rows[i].closed && last)) {
            sim_fail(sim, "%s: a row with closed %d, rev %llu; rev %llu was due", rows[i].text,
                     rows[i].closed, (unsigned long long)rows[i].rev, (unsigned long long)expected);
        }
        last = rows[i].closed ? &rows[i] : last;
    }
    if (!last) {
        sim_fail(sim, "%s was never closed", rows[0].text);
    }
    return last;
}

static void check_row(const struct sim *sim, const struct row *row, const struct sim_row *truth) {
    int order = truth ? strcmp(row->text, truth->head) : -1;
    if (order < 0) {
        sim_fail(sim, "%s%s is a row that should not be", row->text, row->tail);
    } else if (order > 0) {
        sim_fail(sim, "%s%s is missing", truth->head, truth->tail);
    } else if (strcmp(row->tail, truth->tail) != 0) {
        sim_fail(sim, "%s\n  engine (rev %llu): %s\n  oracle: %s", row->text,
                 (unsigned long long)row->rev, row->tail, truth->tail);
    }
}

static void check_rows(const struct sim *sim, const struct sim_truth *truth) {
    struct rows rows = {0};
    size_t next, at = 0;
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        read_topic(sim, SIM_OUTPUT, p, add_row, &rows);
    }
    if (rows.count > 0) {
        qsort(rows.items, rows.count, sizeof *rows.items, compare);
    }
    for (size_t i = 0; i < rows.count; i = next) {
        for (next = i + 1;
             next < rows.count && strcmp(rows.items[next].text, rows.items[i].text) == 0;) {
            next++;
        }
        const struct row *last = check_history(sim, &rows.items[i], next - i);
        if (is_exact(&sim->job)) {
            check_row(sim, last, at < truth->row_count ? &truth->rows[at] : NULL);
            at++;
        }
    }
    if (is_exact(&sim->job) && at < truth->row_count) {
        sim_fail(sim, "%s%s is missing", truth->rows[at].head, truth->rows[at].tail);
    }
    for (size_t i = 0; i < rows.count; i++) {
        free(rows.items[i].text);
    }
    free(rows.items);
}

/* ---- Keys and times of rows ----------------------------------------------------------------- */

static int find_head(const void *left, const void *right) {
    const char *text = left;
    const struct sim_row *row = right;
    return strncmp(text, row->head, strlen(row->head));
}

static void check_envelope(const struct sim *sim, void *arg, uint32_t partition,
                           const struct mr_message *message) {
    const struct sim_truth *truth = arg;
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)message->value.length, message->value.data);
    const struct sim_row *row =
        bsearch(text, truth->rows, truth->row_count, sizeof *truth->rows, find_head);
    if (row && (!mr_slice_equal(message->key, mr_slice_of(row->key)) ||
                message->timestamp_ns != row->start_ns)) {
        sim_fail(sim, "%s has the key %.*s and the time %lld", row->head, (int)message->key.length,
                 message->key.data, (long long)message->timestamp_ns);
    }
}

/* ---- Dead letters --------------------------------------------------------------------------- */

struct letters {
    const struct sim_truth *truth;
    size_t count[SIM_PARTITIONS];
    int64_t last[SIM_PARTITIONS];
};

static struct mr_slice header_of(const struct mr_message *message, const char *name) {
    for (size_t i = 0; i < message->header_count; i++) {
        if (mr_slice_equal(message->headers[i].name, mr_slice_of(name))) {
            return message->headers[i].value;
        }
    }
    return (struct mr_slice){"", 0};
}

static void check_letter(const struct sim *sim, void *arg, uint32_t partition,
                         const struct mr_message *message) {
    struct letters *letters = arg;
    const struct sim_truth *truth = letters->truth;
    size_t i = letters->count[partition]++;
    struct mr_slice reason = header_of(message, "__streams.errors.message");
    struct mr_slice text = header_of(message, "__streams.errors.offset");
    int64_t offset = -1;
    bool known = mr_parse_integer(text, &offset);
    sim_tell(sim, "dead letter of %u/%lld: %.*s", partition, (long long)offset, (int)reason.length,
             reason.data);
    if (!known || reason.length == 0 || offset <= letters->last[partition]) {
        sim_fail(sim, "partition %u: dead letter %zu, of offset %lld after %lld, reason \"%.*s\"",
                 partition, i, (long long)offset, (long long)letters->last[partition],
                 (int)reason.length, reason.data);
    }
    letters->last[partition] = offset;
    if (is_exact(&sim->job) &&
        (i >= truth->dead_count[partition] || truth->dead[partition][i] != offset)) {
        sim_fail(sim, "partition %u: offset %lld is in the dead letters (%.*s), %lld was due",
                 partition, (long long)offset, (int)reason.length, reason.data,
                 (long long)(i < truth->dead_count[partition] ? truth->dead[partition][i] : -1));
    }
    const struct sim_message *sent = &sim->messages[message->timestamp_ns];
    struct mr_slice value = {sent->tombstone ? NULL : sent->value.data, sent->value.length};
    if (!mr_slice_equal(message->key, sent->key) || !message->value.data != sent->tombstone ||
        (!sent->tombstone && !mr_slice_equal(message->value, value))) {
        sim_fail(sim, "partition %u: the dead letter of offset %lld is not what was sent",
                 partition, (long long)offset);
    }
}

static void check_letters(const struct sim *sim, const struct sim_truth *truth) {
    struct letters letters = {.truth = truth};
    const char *topic = sim->job.epochs[0].plan->dead_letter_topic;
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        letters.last[p] = -1;
        read_topic(sim, topic, p, check_letter, &letters);
        if (is_exact(&sim->job) && letters.count[p] != truth->dead_count[p]) {
            sim_fail(sim, "partition %u: %zu dead letters, %zu were due", p, letters.count[p],
                     truth->dead_count[p]);
        }
    }
}

/* ---- Counters ------------------------------------------------------------------------------- */

struct counted {
    const struct sim *sim;
    const struct sim_truth *truth;
    uint32_t worker; /* whose tasks are looked at */
    uint32_t seen;
};

static void check_tally(const struct sim *sim, uint32_t partition, const char *what,
                        const struct mr_tally *is, const struct mr_tally *should) {
    bool same = is->read == should->read && is->dead == should->dead &&
                is->duplicate == should->duplicate && is->filtered == should->filtered &&
                is->used + is->late == should->used + should->late &&
                (!is_exact(&sim->job) || is->used == should->used) &&
                is->read == is->used + is->late + is->filtered + is->duplicate + is->dead;
    if (!same) {
        sim_fail(sim,
                 "partition %u, %s: read %zu used %zu filtered %zu late %zu duplicate %zu dead "
                 "%zu; the oracle: %zu %zu %zu %zu %zu %zu",
                 partition, what, is->read, is->used, is->filtered, is->late, is->duplicate,
                 is->dead, should->read, should->used, should->filtered, should->late,
                 should->duplicate, should->dead);
    }
}

static void check_counters(void *arg, const struct mr_partition *source,
                           const struct mr_counters *counters) {
    struct counted *counted = arg;
    const struct sim *sim = counted->sim;
    if (mr_memory_log_owner(sim->log, SIM_JOB, source->partition) != counted->worker) {
        return; /* a zombie's */
    }
    const struct mr_counters *truth = &counted->truth->counters[source->partition];
    const struct mr_input *input = &sim->job.epochs[0].plan->input;
    const char *name = sim->job.format == SIM_FRAMES ? "current" : "v";
    size_t slot = 0;
    while (strcmp(input->fields[slot].name, name) != 0) {
        slot++;
    }
    counted->seen++;
    check_tally(sim, source->partition, "records", &counters->records, &truth->records);
    check_tally(sim, source->partition, "samples", &counters->samples, &truth->samples);
    if (is_exact(&sim->job) && counters->gaps[slot] != truth->gaps[0]) {
        sim_fail(sim, "partition %u: %zu gaps in %s, the oracle has %zu", source->partition,
                 counters->gaps[slot], name, truth->gaps[0]);
    }
}

void sim_check(const struct sim *sim) {
    struct sim_truth truth;
    sim_truth_find(sim, &truth);
    struct counted counted = {.sim = sim, .truth = &truth};
    for (; counted.worker < sim->fleet.count; counted.worker++) {
        mr_worker_visit(sim->fleet.workers[counted.worker], check_counters, &counted);
    }
    if (counted.seen != sim->job.partitions) {
        sim_fail(sim, "%u partitions have a task", counted.seen);
    }
    check_letters(sim, &truth);
    check_rows(sim, &truth);
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        read_topic(sim, SIM_OUTPUT, p, check_envelope, &truth);
    }
    sim_truth_finish(&truth);
}
