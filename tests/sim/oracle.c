/* The oracle: what must come out, from the input topic (which records, in which order, appended
 * when) and the rules of time as the design states them. It knows no cells, no ticks, no commits:
 *
 *   for each record of a partition, in order
 *       ahead       its last sample is later than its append time + max_ahead     dead, forgotten
 *       duplicate   its identity is remembered                                    by R
 *       refused     a table with `missing: dead_letter` has nothing for a sample    dead
 *       filtered    sample by sample, by the job's condition, or `missing: drop`; or a change of
 *                   state that is not allowed (one without a state: dead)
 *       late        its window's end + grace + retain <= R (with `drop`: its end + grace), or its
 *                   end <= H
 *       used        all others
 *     R = max(R, its last sample);  H = max(H, R - grace - retain)
 *
 * A row is then a function of the set of used samples of its (group, window). Nothing here is
 * shared with engine/run. */
#include "tests/sim/sim.h"

#include <math.h>
#include <stdlib.h>

struct seen { /* a number that was seen, and R then */
    int64_t n, at_ns;
};

struct partition {
    const struct sim *sim;
    struct sim_truth *truth;
    uint32_t number;
    int64_t r_ns, h_ns;    /* INT64_MIN: not yet */
    struct seen *seen[16]; /* by device and stream */
    size_t seen_count[16], seen_capacity[16];
    int states[8]; /* by device: what was kept last, and 1; 0: nothing yet */
    struct sim_samples *samples;
};

/* ---- Duplicates ----------------------------------------------------------------------------- */

/* [*from, *to): the run of consecutive numbers, of one bucket of 1,024, that item i is in. It is
 * remembered as a whole, by its newest. */
static int64_t run_of(const struct seen *seen, size_t count, size_t i, size_t *from, size_t *to) {
    int64_t newest = seen[i].at_ns;
    for (*from = i; *from > 0 && seen[*from - 1].n + 1 == seen[*from].n && seen[*from].n % 1024;) {
        --*from;
        newest = seen[*from].at_ns > newest ? seen[*from].at_ns : newest;
    }
    for (*to = i + 1; *to < count && seen[*to - 1].n + 1 == seen[*to].n && seen[*to].n % 1024;) {
        newest = seen[*to].at_ns > newest ? seen[*to].at_ns : newest;
        ++*to;
    }
    return newest;
}

static bool forgotten(const struct partition *p, int64_t newest) {
    return p->r_ns != INT64_MIN && newest <= p->r_ns - p->sim->job.within_ns;
}

static void forget(const struct partition *p, struct seen *seen, size_t *count) {
    size_t kept = 0, from, to;
    for (size_t i = 0; i < *count; i = to) {
        int64_t newest = run_of(seen, *count, i, &from, &to);
        if (!forgotten(p, newest)) {
            memmove(&seen[kept], &seen[i], (to - i) * sizeof *seen);
            kept += to - i;
        }
    }
    *count = kept;
}

/* Each number is in the list once: what is forgotten leaves it before it comes again. */
static void remember(struct partition *p, int owner, int64_t n, int64_t last_ns) {
    size_t *count = &p->seen_count[owner], at;
    forget(p, p->seen[owner], count);
    if (*count == p->seen_capacity[owner]) {
        p->seen_capacity[owner] = *count ? 2 * *count : 16;
        p->seen[owner] =
            mr_reallocate(p->seen[owner], p->seen_capacity[owner] * sizeof(struct seen));
    }
    struct seen *seen = p->seen[owner];
    for (at = (*count)++; at > 0 && seen[at - 1].n > n; at--) {
        seen[at] = seen[at - 1];
    }
    seen[at] = (struct seen){n, last_ns > p->r_ns ? last_ns : p->r_ns};
}

static bool is_duplicate(struct partition *p, const struct sim_record *record, int64_t last_ns) {
    if (!p->sim->job.duplicates || record->sequence < 0) {
        return false;
    }
    bool frames = p->sim->job.format == SIM_FRAMES;
    int owner = record->device * 2 + (frames ? record->other : 0);
    const struct seen *seen = p->seen[owner];
    size_t count = p->seen_count[owner], at = 0, from, to;
    while (at < count && seen[at].n < record->sequence) {
        at++;
    }
    if (at < count && seen[at].n == record->sequence &&
        !forgotten(p, run_of(seen, count, at, &from, &to))) {
        return true;
    }
    remember(p, owner, record->sequence, last_ns);
    return false;
}

/* ---- One record ----------------------------------------------------------------------------- */

static const struct sim_epoch *epoch_of(const struct partition *p, int64_t offset) {
    const struct sim_job *job = &p->sim->job;
    size_t i = job->epoch_count - 1;
    while (offset < job->epochs[i].from[0][p->number]) {
        i--;
    }
    return &job->epochs[i];
}

static bool is_late(const struct partition *p, const struct sim_epoch *epoch, int64_t end_ns) {
    if (p->r_ns == INT64_MIN) {
        return false;
    }
    int64_t kept_ns = p->sim->job.late == MR_LATE_REVISE ? epoch->retain_ns : 0;
    return end_ns <= p->h_ns || end_ns + epoch->grace_ns + kept_ns <= p->r_ns;
}

/* What the tables say about one sample. */
struct joined {
    const struct sim_entry *entries[SIM_TABLES];
};

static struct joined join(const struct partition *p, const struct sim_record *record, int64_t ns) {
    struct joined joined = {0};
    for (uint32_t i = 0; i < p->sim->job.table_count; i++) {
        joined.entries[i] = sim_table_asof(p->sim, i, record, ns, p->r_ns);
    }
    return joined;
}

/* What the first table says that has nothing for the sample, and does not let it pass. */
static enum sim_missing missing(const struct partition *p, const struct joined *joined) {
    for (uint32_t i = 0; i < p->sim->job.table_count; i++) {
        if (!joined->entries[i] && p->sim->job.tables[i].missing != SIM_PASS) {
            return p->sim->job.tables[i].missing;
        }
    }
    return SIM_PASS;
}

/* One sample without an entry takes its record along. */
static bool is_refused(const struct partition *p, const struct sim_record *record) {
    for (uint32_t i = 0; i < record->samples; i++) {
        struct joined joined = join(p, record, record->start_ns + i * p->sim->job.period_ns);
        if (missing(p, &joined) == SIM_DEAD_LETTER) {
            return true;
        }
    }
    return false;
}

/* A NaN is not kept, nor is anything where there is no limit. */
static bool is_kept(const struct partition *p, const struct sim_record *record, uint32_t i,
                    const struct joined *joined) {
    const struct sim_job *job = &p->sim->job;
    const struct sim_entry *first = joined->entries[0];
    if (missing(p, joined) == SIM_DROP) {
        return false;
    }
    if (job->tables[0].limit) {
        return record->has_v && first && first->has_limit && record->v[i] > first->limit;
    }
    return !job->where || (record->has_v && record->v[i] > -20);
}

static void use(struct partition *p, const struct sim_record *record, uint32_t i,
                const struct joined *joined, int64_t window_ns) {
    const struct sim_job *job = &p->sim->job;
    const struct sim_entry *first = joined->entries[0];
    int64_t ns = record->start_ns + i * job->period_ns;
    struct sim_samples *samples = p->samples;
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? 2 * samples->capacity : 256;
        samples->items = mr_reallocate(samples->items, samples->capacity * sizeof *samples->items);
    }
    struct sim_sample *sample = &samples->items[samples->count++];
    *sample = (struct sim_sample){
        .window_ns = window_ns,
        .device = job->by_device ? record->device : -1,
        .other = job->by_other ? record->other : -1,
        .ns = ns,
        .has_v = record->has_v && !isnan(record->v[i]),
        .has_w = record->has_w && !isnan(record->w[i]),
        .v = record->v[i],
        .w = record->w[i],
        .has_scale = first && first->has_scale,
        .scale = first ? first->scale : 0,
    };
    for (uint32_t t = 0; t < SIM_TABLES; t++) {
        bool there = job->tables[t].kind && joined->entries[t];
        sample->kinds[t] = there ? joined->entries[t]->kind : -1;
    }
}

/* In each window that has the sample and is not too late for it; false: there is none. */
static bool use_in_windows(struct partition *p, const struct sim_epoch *epoch,
                           const struct sim_record *record, uint32_t i,
                           const struct joined *joined) {
    const struct sim_job *job = &p->sim->job;
    int64_t ns = record->start_ns + i * job->period_ns;
    bool used = false;
    for (int64_t start_ns = ns / job->hop_ns * job->hop_ns; start_ns > ns - job->window_ns;
         start_ns -= job->hop_ns) {
        if (!is_late(p, epoch, start_ns + job->window_ns)) {
            use(p, record, i, joined, start_ns);
            used = true;
        }
    }
    return used;
}

enum change { CHANGE_KEPT, CHANGE_REFUSED, CHANGE_BROKEN };

/* An event's: by what was kept last of its device. */
static enum change change_of(struct partition *p, const struct sim_record *record) {
    const struct sim_job *job = &p->sim->job;
    int *state = &p->states[record->device];
    if (record->other < 0) {
        return CHANGE_BROKEN;
    }
    bool allowed = *state == 0 || (*state - 1 != record->other && (record->other || job->back));
    *state = allowed ? record->other + 1 : *state;
    return allowed ? CHANGE_KEPT : CHANGE_REFUSED;
}

/* Takes the samples of a record that is neither ahead nor a duplicate. Returns whether a change of
 * state goes to the dead letters. */
static bool judge_samples(struct partition *p, const struct sim_epoch *epoch,
                          const struct sim_record *record, struct mr_tally *outcome) {
    const struct sim_job *job = &p->sim->job;
    struct mr_counters *counters = &p->truth->counters[p->number];
    bool refused = false;
    for (uint32_t i = 0; i < record->samples; i++) {
        int64_t ns = record->start_ns + i * job->period_ns;
        struct joined joined = join(p, record, ns);
        enum change change = CHANGE_KEPT;
        bool kept = is_kept(p, record, i, &joined);
        if (kept && job->transitions) {
            change = change_of(p, record);
            refused = change == CHANGE_REFUSED;
        }
        if (change == CHANGE_BROKEN) {
            outcome->dead++;
        } else if (!kept || refused) {
            outcome->filtered++;
        } else if (use_in_windows(p, epoch, record, i, &joined)) {
            outcome->used++;
            counters->gaps[0] += record->has_v && isnan(record->v[i]);
        } else {
            outcome->late++;
        }
    }
    return refused && job->letters;
}

static void tally(struct mr_counters *counters, const struct mr_tally *samples) {
    struct mr_tally *records = &counters->records;
    records->read++;
    if (samples->dead) {
        records->dead++;
    } else if (samples->duplicate) {
        records->duplicate++;
    } else if (samples->used) {
        records->used++;
    } else if (samples->late) {
        records->late++;
    } else {
        records->filtered++;
    }
    counters->samples.read += samples->read;
    counters->samples.used += samples->used;
    counters->samples.late += samples->late;
    counters->samples.filtered += samples->filtered;
    counters->samples.duplicate += samples->duplicate;
    counters->samples.dead += samples->dead;
}

/* Returns whether the message goes to the dead letters for it. */
static bool take_record(struct partition *p, const struct mr_message *message,
                        const struct sim_record *record) {
    const struct sim_job *job = &p->sim->job;
    const struct sim_epoch *epoch = epoch_of(p, message->offset);
    int64_t last_ns = record->start_ns + (record->samples - 1) * job->period_ns;
    struct mr_tally samples = {.read = record->samples};
    bool letter = false;
    bool ahead = last_ns > message->append_ns + job->max_ahead_ns;
    if (ahead) {
        samples.dead = record->samples;
    } else if (is_duplicate(p, record, last_ns)) {
        samples.duplicate = record->samples;
    } else if (is_refused(p, record)) {
        samples.dead = record->samples;
    } else {
        letter = judge_samples(p, epoch, record, &samples);
    }
    tally(&p->truth->counters[p->number], &samples);
    if (!ahead && last_ns > p->r_ns) {
        int64_t horizon = last_ns - epoch->grace_ns - epoch->retain_ns;
        p->r_ns = last_ns;
        p->h_ns = horizon > p->h_ns ? horizon : p->h_ns;
    }
    return letter || samples.dead > 0 || (samples.late > 0 && job->late == MR_LATE_DEAD_LETTER);
}

/* ---- A message, a partition ----------------------------------------------------------------- */

static void take_message(struct partition *p, const struct mr_message *message) {
    const struct sim_message *drawn = &p->sim->messages[message->timestamp_ns];
    struct sim_truth *truth = p->truth;
    struct mr_tally *records = &truth->counters[p->number].records;
    bool dead = drawn->bad > 0;
    records->read += drawn->bad;
    records->dead += drawn->bad;
    for (size_t i = 0; i < drawn->count; i++) {
        dead |= take_record(p, message, &drawn->records[i]);
    }
    if (dead) {
        truth->dead[p->number][truth->dead_count[p->number]++] = message->offset;
    }
}

static void take_partition(const struct sim *sim, struct sim_truth *truth,
                           struct sim_samples *samples, uint32_t number) {
    struct partition p = {.sim = sim,
                          .truth = truth,
                          .number = number,
                          .r_ns = INT64_MIN,
                          .h_ns = INT64_MIN,
                          .samples = samples};
    struct mr_partition source = {SIM_TOPIC, number};
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_error err;
    int64_t first, end;
    mr_log_bounds(sim->log, &source, &first, &end, &err);
    truth->dead[number] = mr_allocate_array((size_t)end + 1, int64_t);
    if (mr_reader_open(sim->log, &source, -1, &reader, &err) != MR_OK) {
        sim_fail(sim, "%s", err.text);
    }
    while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
        for (size_t i = 0; i < batch.count; i++) {
            take_message(&p, &batch.messages[i]);
        }
    }
    mr_reader_close(reader);
    for (size_t i = 0; i < 16; i++) {
        free(p.seen[i]);
    }
}

void sim_truth_find(const struct sim *sim, struct sim_truth *truth) {
    struct sim_samples samples = {0};
    *truth = (struct sim_truth){0};
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        take_partition(sim, truth, &samples, p);
    }
    sim_rows_make(sim, &samples, truth);
    free(samples.items);
}

void sim_truth_finish(struct sim_truth *truth) {
    for (size_t i = 0; i < truth->row_count; i++) {
        free(truth->rows[i].head);
        free(truth->rows[i].tail);
        free(truth->rows[i].key);
        mr_buffer_finish(&truth->rows[i].group);
    }
    for (uint32_t p = 0; p < SIM_PARTITIONS; p++) {
        free(truth->dead[p]);
    }
    free(truth->rows);
}
