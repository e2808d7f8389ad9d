/* Counters, and the note: what is committed beside an offset.
 *
 *   "2 R T H K  12 counters of tally  revisions  held late  partly late
 *      tables  {name, position, 5 counters of its tally} for each  gaps..."
 *
 * decimal, separated by spaces. A table is known by its name: the job may have others now. Version
 * 1 had neither K, nor these two counters, nor tables, and is read too.
 *
 * Plain text, because Kafka keeps offset metadata as a string; 2 KB at most. The counters
 * travel with the offset, so the identities hold after a crash too. */
#include "engine/run/table.h"

#include <inttypes.h>
#include <stdlib.h>

#define NOTE_VERSION 2

static void add(struct mr_tally *into, const struct mr_tally *from) {
    into->read += from->read;
    into->used += from->used;
    into->filtered += from->filtered;
    into->late += from->late;
    into->duplicate += from->duplicate;
    into->dead += from->dead;
}

void mr_account_samples(struct mr_task *task, size_t samples) {
    task->outcome.read = samples;
    add(&task->counters.samples, &task->outcome);
}

/* One outcome a record: duplicate, else used if any sample was, else late if any was, else
 * filtered. Every sample has its own. */
void mr_account_record(struct mr_task *task, size_t samples) {
    struct mr_tally *records = &task->counters.records;
    const struct mr_tally *outcome = &task->outcome;
    records->read++;
    records->duplicate += outcome->duplicate > 0;
    if (outcome->duplicate == 0) {
        records->used += outcome->used > 0;
        records->late += outcome->used == 0 && outcome->late > 0;
        records->filtered += outcome->used == 0 && outcome->late == 0;
    }
    mr_account_samples(task, samples);
}

void mr_account_dead(struct mr_task *task, size_t samples) {
    task->counters.records.read++;
    task->counters.records.dead++;
    task->counters.samples.read += samples;
    task->counters.samples.dead += samples;
}

void mr_account_rejected(struct mr_task *task, size_t samples) {
    struct mr_tally *outcome = &task->outcome;
    task->counters.records.read++;
    task->counters.records.dead++;
    outcome->read = samples;
    outcome->dead =
        samples - outcome->used - outcome->filtered - outcome->late - outcome->duplicate;
    add(&task->counters.samples, outcome);
}

static size_t gap_fields(const struct mr_plan *plan) {
    size_t fields = plan->input.field_count;
    return fields < MR_GAP_FIELDS ? fields : MR_GAP_FIELDS;
}

static void write_tally(struct mr_buffer *note, const struct mr_tally *tally) {
    mr_buffer_format(note, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                     tally->read, tally->used, tally->filtered, tally->late, tally->duplicate,
                     tally->dead);
}

static bool balances(const struct mr_tally *tally) {
    return tally->read ==
           tally->used + tally->filtered + tally->late + tally->duplicate + tally->dead;
}

bool mr_counters_balance(const struct mr_counters *counters) {
    return balances(&counters->records) && balances(&counters->samples);
}

static void write_tables(const struct mr_task *task, struct mr_buffer *note) {
    mr_buffer_format(note, " %zu", task->plan->table_count);
    for (size_t i = 0; i < task->plan->table_count; i++) {
        const struct mr_table_tally *tally = &task->counters.tables[i];
        mr_buffer_format(note,
                         " %s %" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                         task->plan->tables[i].join.name, task->tables[i].position, tally->read,
                         tally->bad, tally->tombstones, tally->late, tally->dropped);
    }
}

struct mr_slice mr_note_write(struct mr_task *task) {
    struct mr_buffer *note = &task->note;
    note->length = 0;
    mr_buffer_format(note, "%d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, NOTE_VERSION,
                     task->times.stream_ns, task->times.watermark_ns, task->times.horizon_ns,
                     task->times.closed_ns);
    write_tally(note, &task->counters.records);
    write_tally(note, &task->counters.samples);
    mr_buffer_format(note, " %" PRIu64 " %" PRIu64, task->counters.revisions,
                     task->counters.held_late);
    mr_buffer_format(note, " %" PRIu64, task->counters.partly_late);
    write_tables(task, note);
    for (size_t i = 0; i < gap_fields(task->plan); i++) {
        mr_buffer_format(note, " %" PRIu64, task->counters.gaps[i]);
    }
    return mr_buffer_slice(note);
}

/* Reads the next number; sets *bad for good when there is none. */
static int64_t next(const char **at, bool *bad) {
    char *end;
    int64_t x = (int64_t)(**at == '-' ? (uint64_t)strtoll(*at, &end, 10) : strtoull(*at, &end, 10));
    *bad = *bad || end == *at;
    *at = *end == ' ' ? end + 1 : end;
    return x;
}

static void read_tally(const char **at, bool *bad, struct mr_tally *tally) {
    tally->read = (uint64_t)next(at, bad);
    tally->used = (uint64_t)next(at, bad);
    tally->filtered = (uint64_t)next(at, bad);
    tally->late = (uint64_t)next(at, bad);
    tally->duplicate = (uint64_t)next(at, bad);
    tally->dead = (uint64_t)next(at, bad);
}

static void read_table(struct mr_task *task, const char **at, bool *bad) {
    size_t length = strcspn(*at, " "), i = 0;
    struct mr_slice name = {*at, length};
    const struct mr_plan *plan = task->plan;
    *at += length + ((*at)[length] == ' ');
    while (i < plan->table_count && !mr_slice_equal(name, mr_slice_of(plan->tables[i].join.name))) {
        i++;
    }
    int64_t position = next(at, bad);
    struct mr_table_tally tally = {0};
    tally.read = (uint64_t)next(at, bad);
    tally.bad = (uint64_t)next(at, bad);
    tally.tombstones = (uint64_t)next(at, bad);
    tally.late = (uint64_t)next(at, bad);
    tally.dropped = (uint64_t)next(at, bad);
    if (!*bad && i < plan->table_count) {
        task->tables[i].position = position;
        task->counters.tables[i] = tally;
    }
}

static void read_tables(struct mr_task *task, const char **at, bool *bad) {
    int64_t count = next(at, bad);
    *bad = *bad || count < 0 || count > MR_TABLES_MAX;
    for (int64_t i = 0; i < count && !*bad; i++) {
        read_table(task, at, bad);
    }
}

enum mr_status mr_note_read(struct mr_task *task, struct mr_slice note, struct mr_error *err) {
    const char *job = task->plan->job;
    if (note.length == 0) {
        return mr_error_set(
            err, MR_REJECT,
            "job %s: the committed offset of %s/%u has nothing of millrace's beside "
            "it, so another program commits as consumer group \"%s\". Give the job "
            "another name, or end that program and run the job with --reset",
            job, task->source.topic, task->source.partition, job);
    }
    task->note.length = 0;
    mr_buffer_add(&task->note, note.data, note.length);
    mr_buffer_add(&task->note, "", 1);
    const char *at = task->note.data;
    bool bad = false;
    int64_t version = next(&at, &bad);
    if (bad || version < 1 || version > NOTE_VERSION) {
        return mr_error_set(err, MR_FAIL,
                            "%s/%u: the committed position was written by another version of "
                            "millrace (%.40s)",
                            task->source.topic, task->source.partition, task->note.data);
    }
    task->times.stream_ns = next(&at, &bad);
    task->times.watermark_ns = next(&at, &bad);
    task->times.horizon_ns = next(&at, &bad);
    task->times.closed_ns = version > 1 ? next(&at, &bad) : MR_NEVER;
    read_tally(&at, &bad, &task->counters.records);
    read_tally(&at, &bad, &task->counters.samples);
    task->counters.revisions = (uint64_t)next(&at, &bad);
    if (version > 1) {
        task->counters.held_late = (uint64_t)next(&at, &bad);
        task->counters.partly_late = (uint64_t)next(&at, &bad);
        read_tables(task, &at, &bad);
    }
    for (size_t i = 0; !bad && *at && i < MR_GAP_FIELDS; i++) {
        task->counters.gaps[i] = (uint64_t)next(&at, &bad);
    }
    if (bad) {
        return mr_error_set(err, MR_FAIL, "%s/%u: the committed position is damaged (%.200s)",
                            task->source.topic, task->source.partition, task->note.data);
    }
    return MR_OK;
}

static void print_tally(const char *job, const struct mr_partition *source, const char *what,
                        const struct mr_tally *tally) {
    mr_note("job %s: %s/%u%s: read %" PRIu64 " = used %" PRIu64 " + filtered %" PRIu64
            " + late %" PRIu64 " + duplicate %" PRIu64 " + dead-lettered %" PRIu64,
            job, source->topic, source->partition, what, tally->read, tally->used, tally->filtered,
            tally->late, tally->duplicate, tally->dead);
}

static void print_table(const struct mr_plan *plan, const struct mr_partition *source,
                        const char *name, const struct mr_table_tally *tally) {
    mr_note("job %s: %s/%u table %s: %" PRIu64 " entries read, %" PRIu64
            " of them tombstones, %" PRIu64 " dead-lettered, %" PRIu64 " late",
            plan->job, source->topic, source->partition, name, tally->read, tally->tombstones,
            tally->bad, tally->late);
    if (tally->dropped > 0) {
        mr_note("job %s: %s/%u table %s: %" PRIu64 " versions were dropped, the oldest of keys "
                "with more than 1 MiB of them: shorten history",
                plan->job, source->topic, source->partition, name, tally->dropped);
    }
}

void mr_counters_print(const struct mr_plan *plan, const struct mr_partition *source,
                       const struct mr_counters *counters) {
    if (plan->role != MR_DOWNSTREAM) { /* records belong to the stage that reads them */
        print_tally(plan->job, source, "", &counters->records);
    }
    print_tally(plan->job, source, " samples", &counters->samples);
    for (size_t i = 0; i < gap_fields(plan); i++) {
        if (counters->gaps[i] > 0) {
            mr_note("job %s: %s/%u gaps: %" PRIu64 " samples of %s were no finite number",
                    plan->job, source->topic, source->partition, counters->gaps[i],
                    plan->input.fields[i].name);
        }
    }
    for (size_t i = 0; i < plan->table_count; i++) {
        print_table(plan, source, plan->tables[i].join.name, &counters->tables[i]);
    }
    if (counters->revisions > 0) {
        mr_note("job %s: %s/%u revisions: %" PRIu64 " parts of records fell into closed windows",
                plan->job, source->topic, source->partition, counters->revisions);
    }
    if (counters->held_late > 0) {
        mr_note("job %s: %s/%u held too late: %" PRIu64 " values or pieces of intervals lay before "
                "what had been emitted, and are missing from statistics over time",
                plan->job, source->topic, source->partition, counters->held_late);
    }
    if (counters->partly_late > 0) {
        mr_note("job %s: %s/%u partly late: %" PRIu64 " parts of records came too late for some of "
                "their windows, and went into the others",
                plan->job, source->topic, source->partition, counters->partly_late);
    }
}
