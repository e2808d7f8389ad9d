/* What came out, against the oracle: rows and their revisions, dead letters, counters. */
#include "tests/sim/sim.h"

#include <stdlib.h>

/* How much the oracle knows. Whatever it is, the rows hold the samples that count as used. */
enum level {
    LOOSE,  /* entries of a table came late: what was processed before does not know them      */
    SUBSET, /* ticks decide what is late: some of the oracle's samples may be missing, counted */
    EXACT
};

struct checked {
    const struct sim *sim;
    const struct sim_truth *truth;
    enum level level;
    bool ticks_decide;     /* in the first or only stage */
    uint64_t used;         /* samples: all of them are in rows        */
    uint64_t merged, late; /* samples that came to the second stage */
    uint32_t seen;
};

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
                       const int64_t *since, visit_message *visit, void *arg) {
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
            if (batch.messages[i].offset >= since[partition]) {
                visit(sim, arg, partition, &batch.messages[i]);
            }
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

static uint64_t samples_of(const struct sim *sim, const struct row *row) {
    unsigned long long n;
    if (sscanf(row->tail, ",\"n\":%llu", &n) != 1) {
        sim_fail(sim, "a row that does not count its samples: %s%s", row->text, row->tail);
    }
    return n;
}

/* A row that the oracle has and the engine has not: all of it came late. */
static void check_missing(const struct checked *checked, const struct sim_row *truth) {
    const struct sim *sim = checked->sim;
    bool late =
        checked->level == SUBSET && (sim->job.stages == 1 || sim_shadow_used(sim, truth) == 0);
    if (!late) {
        sim_fail(sim, "%s%s is missing", truth->head, truth->tail);
    }
}

static void check_row(const struct checked *checked, const struct row *row,
                      const struct sim_row *truth) {
    const struct sim *sim = checked->sim;
    uint64_t n = samples_of(sim, row);
    bool all = checked->level == EXACT || n == truth->samples;
    if (n > truth->samples || (all && strcmp(row->tail, truth->tail) != 0)) {
        sim_fail(sim, "%s\n  engine (rev %llu): %s\n  oracle: %s", row->text,
                 (unsigned long long)row->rev, row->tail, truth->tail);
    }
    if (sim->job.stages > 1 && n != sim_shadow_used(sim, truth)) {
        sim_fail(sim, "%s has %llu samples, %zu were sent and not late", row->text,
                 (unsigned long long)n, sim_shadow_used(sim, truth));
    }
}

/* The next row of the oracle that is not before this one. */
static const struct sim_row *find_row(const struct checked *checked, const struct row *row,
                                      size_t *at) {
    const struct sim_truth *truth = checked->truth;
    for (; *at < truth->row_count && strcmp(truth->rows[*at].head, row->text) < 0; ++*at) {
        check_missing(checked, &truth->rows[*at]);
    }
    if (*at == truth->row_count || strcmp(truth->rows[*at].head, row->text) != 0) {
        sim_fail(checked->sim, "%s%s is a row that should not be", row->text, row->tail);
    }
    return &truth->rows[(*at)++];
}

static uint64_t compare_rows(const struct checked *checked, const struct rows *rows) {
    uint64_t samples = 0;
    size_t next, at = 0;
    for (size_t i = 0; i < rows->count; i = next) {
        for (next = i + 1;
             next < rows->count && strcmp(rows->items[next].text, rows->items[i].text) == 0;) {
            next++;
        }
        const struct row *last = check_history(checked->sim, &rows->items[i], next - i);
        samples += samples_of(checked->sim, last);
        if (checked->level != LOOSE) {
            check_row(checked, last, find_row(checked, last, &at));
        }
    }
    for (; checked->level != LOOSE && at < checked->truth->row_count; at++) {
        check_missing(checked, &checked->truth->rows[at]);
    }
    return samples;
}

static void check_rows(const struct checked *checked) {
    const struct sim *sim = checked->sim;
    struct rows rows = {0};
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        read_topic(sim, SIM_OUTPUT, p, sim->since, add_row, &rows);
    }
    if (rows.count > 0) {
        qsort(rows.items, rows.count, sizeof *rows.items, compare);
    }
    uint64_t samples = compare_rows(checked, &rows);
    bool overlap = sim->job.hop_ns < sim->job.window_ns; /* then a sample is in several rows */
    if (samples != checked->used && !overlap) {
        sim_fail(sim, "the rows hold %zu samples, %zu were used", (size_t)samples,
                 (size_t)checked->used);
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
    const struct checked *checked;
    size_t count[SIM_PARTITIONS];
    int64_t last[SIM_PARTITIONS];
    size_t entries[SIM_TABLES];
};

static struct mr_slice header_of(const struct mr_message *message, const char *name) {
    for (size_t i = 0; i < message->header_count; i++) {
        if (mr_slice_equal(message->headers[i].name, mr_slice_of(name))) {
            return message->headers[i].value;
        }
    }
    return (struct mr_slice){"", 0};
}

/* That of an entry that no table can take. */
static void check_entry(const struct sim *sim, struct letters *letters, struct mr_slice topic,
                        const struct mr_message *message) {
    const struct sim_entry *sent = &sim->entries[message->timestamp_ns];
    if (!sent->bad || !mr_slice_equal(message->key, sent->key) ||
        !mr_slice_equal(message->value, mr_buffer_slice(&sent->value)) ||
        topic.data[topic.length - 1] != (char)('0' + sent->table)) {
        sim_fail(sim, "the dead letter of an entry of %.*s is not what was sent", (int)topic.length,
                 topic.data);
    }
    letters->entries[sent->table]++;
}

/* What is dead for a table depends on what was known, and so may states. */
static bool knows_letters(const struct checked *checked) {
    const struct sim_job *job = &checked->sim->job;
    bool by_table = job->transitions;
    for (uint32_t i = 0; i < job->table_count; i++) {
        by_table |= job->tables[i].missing == SIM_DEAD_LETTER;
    }
    bool late = job->late == MR_LATE_DEAD_LETTER;
    return !(late && checked->ticks_decide) && !(checked->level == LOOSE && (by_table || late));
}

static void check_letter(const struct sim *sim, void *arg, uint32_t partition,
                         const struct mr_message *message) {
    struct letters *letters = arg;
    const struct sim_truth *truth = letters->checked->truth;
    struct mr_slice reason = header_of(message, "__streams.errors.message");
    struct mr_slice text = header_of(message, "__streams.errors.offset");
    struct mr_slice topic = header_of(message, "__streams.errors.topic");
    int64_t offset = -1;
    bool known = mr_parse_integer(text, &offset);
    sim_tell(sim, "dead letter of %u/%lld: %.*s", partition, (long long)offset, (int)reason.length,
             reason.data);
    if (topic.length > 6 && memcmp(topic.data, "table-", 6) == 0) {
        check_entry(sim, letters, topic, message);
        return;
    }
    size_t i = letters->count[partition]++;
    if (!known || reason.length == 0 || offset <= letters->last[partition]) {
        sim_fail(sim, "partition %u: dead letter %zu, of offset %lld after %lld, reason \"%.*s\"",
                 partition, i, (long long)offset, (long long)letters->last[partition],
                 (int)reason.length, reason.data);
    }
    letters->last[partition] = offset;
    if (knows_letters(letters->checked) &&
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

static void check_letters(const struct checked *checked) {
    const struct sim *sim = checked->sim;
    struct letters letters = {.checked = checked};
    const char *topic = sim->job.epochs[0].stages[0]->dead_letter_topic;
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        letters.last[p] = -1;
        read_topic(sim, topic, p, sim->letters_since, check_letter, &letters);
        if (knows_letters(checked) && letters.count[p] != checked->truth->dead_count[p]) {
            sim_fail(sim, "partition %u: %zu dead letters, %zu were due", p, letters.count[p],
                     checked->truth->dead_count[p]);
        }
    }
    for (uint32_t i = 0; i < sim->job.table_count; i++) {
        size_t bad = sim_bad_entries(sim, i);
        if (letters.entries[i] != bad) {
            sim_fail(sim, "%s: %zu dead letters, %zu were due", sim_table_name(i),
                     letters.entries[i], bad);
        }
    }
}

/* ---- Counters ------------------------------------------------------------------------------- */

/* Late entries may change what is filtered and dead, by tables that drop and refuse, and by their
 * limits. */
static bool moves_filter(const struct sim_job *job) {
    bool moves = job->tables[0].limit;
    for (uint32_t i = 0; i < job->table_count; i++) {
        moves |= job->tables[i].missing != SIM_PASS;
    }
    return moves;
}

static void check_tally(const struct checked *checked, uint32_t partition, const char *what,
                        const struct mr_tally *is, const struct mr_tally *should) {
    bool open = checked->level == LOOSE && moves_filter(&checked->sim->job);
    bool same = is->read == should->read && is->duplicate == should->duplicate &&
                is->read == is->used + is->late + is->filtered + is->duplicate + is->dead &&
                (open || (is->dead == should->dead && is->filtered == should->filtered &&
                          (checked->ticks_decide || is->used == should->used)));
    if (!same) {
        sim_fail(checked->sim,
                 "partition %u, %s: read %zu used %zu filtered %zu late %zu duplicate %zu dead "
                 "%zu; the oracle: %zu %zu %zu %zu %zu %zu",
                 partition, what, is->read, is->used, is->filtered, is->late, is->duplicate,
                 is->dead, should->read, should->used, should->filtered, should->late,
                 should->duplicate, should->dead);
    }
}

static void check_counters(void *arg, const struct mr_task *task) {
    struct checked *checked = arg;
    const struct sim *sim = checked->sim;
    const struct mr_counters *counters = &task->counters;
    uint32_t partition = task->source.partition;
    const struct mr_counters *truth = &checked->truth->counters[partition];
    const struct mr_input *input = &sim->job.epochs[0].plan->input;
    const char *name = sim->job.format == SIM_FRAMES ? "current" : "v";
    size_t slot = 0;
    while (strcmp(input->fields[slot].name, name) != 0) {
        slot++;
    }
    checked->seen++;
    checked->used += counters->samples.used;
    check_tally(checked, partition, "records", &counters->records, &truth->records);
    check_tally(checked, partition, "samples", &counters->samples, &truth->samples);
    if (checked->level == EXACT && counters->gaps[slot] != truth->gaps[0]) {
        sim_fail(sim, "partition %u: %zu gaps in %s, the oracle has %zu", partition,
                 counters->gaps[slot], name, truth->gaps[0]);
    }
}

/* The second stage counts samples only. */
static void check_merged(void *arg, const struct mr_task *task) {
    struct checked *checked = arg;
    const struct mr_tally *is = &task->counters.samples;
    struct mr_tally should = sim_shadow_tally(checked->sim, task->source.partition);
    if (is->read != should.read || is->used != should.used || is->late != should.late ||
        task->counters.records.read != 0) {
        sim_fail(checked->sim,
                 "partition %u of the second stage: read %zu used %zu late %zu; sent were %zu %zu "
                 "%zu",
                 task->source.partition, is->read, is->used, is->late, should.read, should.used,
                 should.late);
    }
    checked->seen++;
    checked->merged += is->read;
    checked->late += is->late;
}

/* Of two stages, what the first one used came to the second, and some of it late. */
static void check_stages(struct checked *checked) {
    const struct sim *sim = checked->sim;
    checked->seen = 0;
    sim_fleet_visit(&sim->fleets[1], check_merged, checked);
    if (checked->seen != sim->job.partitions || checked->merged != checked->used) {
        sim_fail(sim, "the first stage used %zu samples, %zu came to the second",
                 (size_t)checked->used, (size_t)checked->merged);
    }
    if (checked->late > 0 && !sim->job.ticks) {
        sim_fail(sim, "%zu samples came late to the second stage, and nothing has ticked",
                 (size_t)checked->late);
    }
    checked->used -= checked->late;
    if (checked->late > 0 && checked->level == EXACT) {
        checked->level = SUBSET;
    }
}

void sim_check(const struct sim *sim) {
    struct sim_truth truth;
    sim_truth_find(sim, &truth);
    struct checked checked = {.sim = sim, .truth = &truth, .level = EXACT};
    checked.ticks_decide = sim->job.late != MR_LATE_REVISE && sim->job.ticks;
    checked.level = sim_late_entries(sim) > 0 ? LOOSE : checked.ticks_decide ? SUBSET : EXACT;
    sim_fleet_visit(&sim->fleets[0], check_counters, &checked);
    if (checked.seen != sim->job.partitions) {
        sim_fail(sim, "%u partitions have a task", checked.seen);
    }
    if (sim->job.stages > 1) {
        check_stages(&checked);
    }
    check_letters(&checked);
    check_rows(&checked);
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        read_topic(sim, SIM_OUTPUT, p, sim->since, check_envelope, &truth);
    }
    sim_truth_finish(&truth);
}
