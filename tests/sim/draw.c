/* What is drawn from the seed: a job, and messages that a producer sends at a moment. Values are
 * small multiples of 1/2, so that every sum is exact in plain doubles too; times are multiples of
 * a quantum, so that equal times and times right on a bound are common. */
#include "tests/sim/sim.h"

#include <math.h>
#include <millrace/waveform.h>
#include <stdlib.h>

/* ---- The job -------------------------------------------------------------------------------- */

static void draw_epoch(struct sim *sim, struct sim_epoch *epoch) {
    struct sim_random *random = &sim->random;
    const int64_t s = MR_SECOND;
    epoch->grace_ns = SIM_PICK(random, 0, s, 3 * s, 10 * s);
    epoch->retain_ns = SIM_PICK(random, 0, s, 5 * s, 20 * s, 60 * s);
    epoch->idle_ns = sim->job.ticks ? SIM_PICK(random, s, 5 * s, 30 * s) : 24 * 3600 * s;
    epoch->commit_ns = SIM_PICK(random, s / 100, s, 5 * s, 60 * s);
    epoch->preview_ns = SIM_PICK(random, 0, 0, s / 2, 3 * s);
    epoch->close = sim_chance(random, 50);
}

static void draw_groups(struct sim *sim) {
    struct sim_job *job = &sim->job;
    job->by_device = job->partitions > 1 || sim_chance(&sim->random, 70);
    job->by_other = sim_chance(&sim->random, 35);
}

/* Two in five jobs join nothing and have one stage. */
static void draw_more(struct sim *sim) {
    struct sim_job *job = &sim->job;
    int64_t kind = sim_below(&sim->more, 100);
    job->stages = 1;
    if (kind >= 65) {
        job->stages = 2;
        job->partitions += job->partitions == 1;
        job->by_device = false;
    }
    if ((kind >= 40 && kind < 65) || kind >= 85) {
        sim_draw_tables(sim);
    }
    job->transitions = kind >= 40 && job->format == SIM_EVENTS && sim_chance(&sim->more, 30);
    job->back = sim_chance(&sim->more, 70);
    job->letters = sim_chance(&sim->more, 50);
}

/* A part that one window refuses lies in a pane that it shares with others; a window that took
 * parts again because a restart has raised `grace` or `retain` would have it in its row. So those
 * stay. */
static void draw_hop(struct sim *sim) {
    struct sim_job *job = &sim->job;
    job->hop_ns = job->window_ns;
    if (job->stages == 1 && sim_chance(&sim->random, 50)) {
        job->hop_ns /= SIM_PICK(&sim->random, 2, 4, 5);
        for (size_t i = 1; i < job->epoch_count; i++) {
            job->epochs[i].grace_ns = job->epochs[0].grace_ns;
            job->epochs[i].retain_ns = job->epochs[0].retain_ns;
        }
    }
}

void sim_draw_job(struct sim *sim) {
    struct sim_random *random = &sim->random;
    struct sim_job *job = &sim->job;
    job->format = (enum sim_format)sim_below(random, 3);
    job->each = job->format == SIM_EVENTS && sim_chance(random, 30);
    job->record_key = job->format != SIM_FRAMES && sim_chance(random, 30);
    job->partitions = (uint32_t)SIM_PICK(random, 1, 1, 2, 3, 4);
    job->devices = 1 + (int)sim_below(random, 5);
    draw_groups(sim);
    job->where = sim_chance(random, 40);
    job->let = sim_chance(random, 30);
    job->duplicates = job->format == SIM_FRAMES || sim_chance(random, 50);
    job->few_stats = sim_chance(random, 50);
    job->window_ns = SIM_PICK(random, 1, 2, 10, 60) * MR_SECOND;
    job->max_ahead_ns = SIM_PICK(random, 0, 5, 60) * MR_SECOND;
    job->within_ns = SIM_PICK(random, 2, 20, 600) * MR_SECOND;
    if (job->format != SIM_EVENTS) {
        job->period_ns = MR_SECOND / SIM_PICK(random, 1, 2, 4, 10);
    }
    job->late = (enum mr_late_policy)SIM_PICK(random, MR_LATE_REVISE, MR_LATE_REVISE,
                                              MR_LATE_REVISE, MR_LATE_DROP, MR_LATE_DEAD_LETTER);
    job->ticks = sim_chance(random, job->late == MR_LATE_REVISE ? 70 : 30);
    job->epoch_count = (size_t)SIM_PICK(random, 1, 1, 2, 3);
    for (size_t i = 0; i < job->epoch_count; i++) {
        draw_epoch(sim, &job->epochs[i]);
    }
    job->epochs[job->epoch_count - 1].close = true;
    draw_more(sim);
    draw_hop(sim);
}

/* ---- A record ------------------------------------------------------------------------------- */

/* Mostly now or a little earlier; late within grace, beyond it, beyond retain; right on the bound
 * of a window; early; too early. */
static int64_t draw_time(struct sim *sim) {
    struct sim_random *random = &sim->random;
    const struct sim_epoch *epoch = &sim->job.epochs[sim->epoch];
    int64_t now = sim->clock.virtual_ns, window = sim->job.window_ns, back;
    switch (sim_below(random, 12)) {
    case 0:
        return now / window * window - SIM_QUANTUM * sim_below(random, 2);
    case 1:
        back = epoch->grace_ns + epoch->retain_ns + 2 * window;
        return now - sim_below(random, back / SIM_QUANTUM + 1) * SIM_QUANTUM;
    case 2:
        back = 2 * epoch->grace_ns + window;
        return now - sim_below(random, back / SIM_QUANTUM + 1) * SIM_QUANTUM;
    case 3:
        return now + SIM_PICK(random, 0, SIM_QUANTUM, sim->job.max_ahead_ns,
                              sim->job.max_ahead_ns + SIM_QUANTUM,
                              2 * sim->job.max_ahead_ns + 100 * MR_SECOND);
    default:
        back = epoch->grace_ns / 2 + MR_SECOND;
        return now - sim_below(random, back / SIM_QUANTUM + 1) * SIM_QUANTUM;
    }
}

static double draw_value(struct sim_random *random) {
    return (double)sim_below(random, 100) / 2 - 25;
}

static void draw_values(struct sim *sim, struct sim_record *record) {
    struct sim_random *random = &sim->random;
    record->has_v = !sim_chance(random, 5);
    record->has_w = sim_chance(random, 90);
    if (sim->job.format != SIM_EVENTS && !record->has_v) {
        record->has_w = true; /* something must say how long it is */
    }
    for (uint32_t i = 0; i < record->samples; i++) {
        bool gap = sim->job.format != SIM_EVENTS && sim_chance(random, 5);
        record->v[i] = gap ? NAN : draw_value(random);
        record->w[i] =
            sim->job.format != SIM_EVENTS && sim_chance(random, 3) ? NAN : draw_value(random);
    }
}

/* What is far ahead moves nothing. */
static void note_newest(struct sim *sim, int64_t last_ns) {
    if (last_ns <= sim->clock.virtual_ns + sim->job.max_ahead_ns && last_ns > sim->newest_ns) {
        sim->newest_ns = last_ns;
    }
}

static void draw_record(struct sim *sim, int device, struct sim_record *record) {
    struct sim_random *random = &sim->random;
    bool frames = sim->job.format == SIM_FRAMES;
    record->samples =
        sim->job.format == SIM_EVENTS ? 1 : 1 + (uint32_t)sim_below(random, SIM_SAMPLES);
    record->start_ns = draw_time(sim);
    if (sim_chance(random, 80)) { /* mostly it ends then */
        record->start_ns -= (record->samples - 1) * sim->job.period_ns;
    }
    note_newest(sim, record->start_ns + (record->samples - 1) * sim->job.period_ns);
    record->device = device;
    record->other = (int)sim_below(random, 2);
    if (!frames && sim_chance(random, 10)) {
        record->other = -1;
    }
    int64_t *sequence = &sim->sequences[device * 2 + (frames ? record->other : 0)];
    if (*sequence == 0 || sim_chance(random, 3)) {
        *sequence += SIM_PICK(random, 1, 5, 1015, INT64_C(1) << 40);
    }
    record->sequence = !frames && sim_chance(random, 5) ? -1 : (*sequence)++;
    draw_values(sim, record);
}

/* ---- Its bytes ------------------------------------------------------------------------------ */

enum fault { SOUND, NO_TIME, NEGATIVE_TIME, WRONG_TYPE, TWICE, FAULTS };

static void put_value(struct mr_buffer *out, double x) {
    if (isnan(x)) {
        mr_buffer_text(out, "null");
    } else {
        mr_buffer_format(out, "%g", x);
    }
}

static void put_values(struct mr_buffer *out, const char *name, const struct sim_record *record,
                       const double *values, bool array) {
    mr_buffer_format(out, ",\"%s\":%s", name, array ? "[" : "");
    for (uint32_t i = 0; i < record->samples; i++) {
        mr_buffer_text(out, i > 0 ? "," : "");
        put_value(out, values[i]);
    }
    mr_buffer_text(out, array ? "]" : "");
}

static void put_json(struct mr_buffer *out, const struct sim_job *job,
                     const struct sim_record *record, enum fault fault) {
    bool array = job->format == SIM_ARRAYS;
    mr_buffer_format(out, "{\"x\":%d", fault);
    if (fault != NO_TIME) {
        mr_buffer_format(out, ",\"ts\":%s%lld", fault == NEGATIVE_TIME ? "-" : "",
                         (long long)(record->start_ns / 1000000));
    }
    if (!job->record_key) {
        mr_buffer_format(out, ",\"g\":\"dev-%d\"", record->device);
    }
    if (record->other >= 0) {
        mr_buffer_format(out, ",\"h\":\"h%d\"", record->other);
    }
    if (record->sequence >= 0) {
        mr_buffer_format(out, ",\"seq\":%lld", (long long)record->sequence);
    }
    if (fault == WRONG_TYPE) {
        mr_buffer_text(out, ",\"v\":\"1\"");
    } else if (record->has_v) {
        put_values(out, "v", record, record->v, array);
    }
    if (record->has_w) {
        put_values(out, "w", record, record->w, array);
    }
    mr_buffer_text(out, fault == TWICE ? ",\"seq\":1,\"seq\":2}" : "}");
}

static void put_frame(struct mr_buffer *out, const struct sim_job *job, struct mr_slice device,
                      const struct sim_record *record) {
    float v[SIM_SAMPLES], w[SIM_SAMPLES];
    struct mr_waveform_channel channels[2];
    struct mr_waveform frame = {.device = device,
                                .start_ns = record->start_ns,
                                .rate_hz = (double)(MR_SECOND / job->period_ns),
                                .stream = (uint64_t)record->other,
                                .sequence = (uint64_t)record->sequence,
                                .samples = record->samples,
                                .channels = channels};
    for (uint32_t i = 0; i < record->samples; i++) {
        v[i] = (float)record->v[i];
        w[i] = (float)record->w[i];
    }
    if (record->has_v) {
        channels[frame.channel_count++] = (struct mr_waveform_channel){"current", "A", v};
    }
    if (record->has_w) {
        channels[frame.channel_count++] = (struct mr_waveform_channel){"voltage", "V", w};
    }
    mr_buffer_reserve(out, mr_waveform_bound(&frame));
    out->length = mr_waveform_encode(&frame, out->data);
}

/* ---- A message ------------------------------------------------------------------------------ */

static void add_records(struct sim *sim, struct sim_message *message, int device) {
    struct sim_job *job = &sim->job;
    struct mr_buffer *out = &message->value;
    size_t elements = job->each ? (size_t)sim_below(&sim->random, SIM_ELEMENTS + 1) : 1;
    mr_buffer_text(out, job->each ? "{\"items\":[" : "");
    for (size_t i = 0; i < elements; i++) {
        struct sim_record *record = &message->records[message->count];
        enum fault fault = SOUND;
        draw_record(sim, device, record);
        if (job->format == SIM_FRAMES) {
            put_frame(out, job, message->key, record);
        } else {
            fault =
                sim_chance(&sim->random, 5) ? (enum fault)sim_below(&sim->random, FAULTS) : SOUND;
            mr_buffer_text(out, i > 0 ? "," : "");
            put_json(out, job, record, fault);
        }
        message->count += fault == SOUND;
        message->bad += fault != SOUND;
    }
    mr_buffer_text(out, job->each ? "]}" : "");
}

/* The message as a whole is no good. */
static void spoil(struct sim *sim, struct sim_message *message) {
    struct mr_buffer *value = &message->value;
    bool key_matters = sim->job.partitions > 1 && !sim->job.record_key && !sim->job.each;
    message->count = 0;
    message->bad = 1;
    switch (sim_below(&sim->random, 4)) {
    case 0:
        message->tombstone = true;
        break;
    case 1:
        value->length = 0;
        break;
    case 2:
        if (key_matters) {
            message->key = mr_slice_of("somebody else");
            break;
        }
        /* fall through */
    default:
        value->length -= 1 + (size_t)sim_below(&sim->random, (int64_t)value->length - 1);
        break;
    }
}

static void tell_message(const struct sim *sim, size_t number, const struct sim_message *message) {
    if (!sim->verbose) {
        return;
    }
    sim_tell(sim, "message %zu: partition %u, %zu bad", number, message->partition, message->bad);
    for (size_t i = 0; i < message->count; i++) {
        const struct sim_record *record = &message->records[i];
        sim_tell(sim, "  dev-%d other %d seq %lld at %.2f, %u samples from %g", record->device,
                 record->other, (long long)record->sequence,
                 (double)record->start_ns / 1e9 - 1.79e9, record->samples, record->v[0]);
    }
}

size_t sim_draw_message(struct sim *sim) {
    static const char *const names[] = {"dev-0", "dev-1", "dev-2", "dev-3", "dev-4"};
    size_t number = sim->message_count++;
    struct sim_message *message = &sim->messages[number];
    int device = (int)sim_below(&sim->random, sim->job.devices);
    message->key = mr_slice_of(names[device]);
    message->partition = mr_partition_of(message->key, sim->job.partitions, NULL);
    add_records(sim, message, device);
    if (sim_chance(&sim->random, 3)) {
        spoil(sim, message);
    }
    tell_message(sim, number, message);
    return number;
}
