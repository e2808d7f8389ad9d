/* Simulated Joulescopes: boards that run a task every 97 ms, by one of two algorithms. The
 * algorithm changes every 30 s of event time, each device's 7 s after the one before it.
 *
 *   A, race to sleep                     B, steady
 *   250 mA  ┌─┐            ┌─┐
 *           │ │            │ │            40 mA  ┌────────┐    ┌────────┐
 *     1 mA ─┘ └────────────┘ └───          1 mA ─┘        └────┘        └──
 *            12 ms                               68 ms
 *
 * A takes 31.8 mA on average and B 28.3: the lower peak wins. The board's supply is 3.3 V and
 * gives way by 0.15 V per ampere. Devices differ by up to 1 % in current.
 *
 * Which algorithm a device runs, and from when on, is told in a topic of its own if asked for,
 * keyed by the device, before the first frame of that time: {"algorithm":"A","valid_from":"..."}.
 *
 * Frames hold 8,192 samples (64 KiB), or a second's when that is less. Frame k of every device is
 * written before frame k + 1 of any, so event time rises evenly.
 *
 * Same seed, start, rate and span: the same bytes on every machine. Only integers, single
 * additions and products are used, no function of libm; noise comes from a table that is read
 * from another place for each frame. The stream id is a hash of the four, so a run that is
 * repeated, or was cut short and started anew, is found as a duplicate. */
#include "engine/edge/writer.h"

#include <millrace/hash.h>
#include <millrace/text.h>
#include <millrace/waveform.h>
#include <stdlib.h>
#include <time.h>

#define FRAME_SAMPLES 8192
#define NOISE         16384 /* twice a frame, so that any beginning below half of it will do */
#define PERIOD_NS     (97 * (MR_SECOND / 1000))
#define SWITCH_NS     (30 * MR_SECOND)
#define STAGGER_NS    (7 * MR_SECOND)
#define NAP_NS        (MR_SECOND / 10)

static const struct algorithm {
    const char *name;
    float busy_a, rest_a;
    int64_t busy_ns;
} algorithms[2] = {
    {"A", 0.250f, 0.001f, 12 * (MR_SECOND / 1000)},
    {"B", 0.040f, 0.001f, 68 * (MR_SECOND / 1000)},
};

struct simulator {
    const struct mr_simulation *simulation;
    struct mr_writer writer;
    int64_t start_ns;        /* of event time, resolved                  */
    int64_t steady_start_ns; /* when that was                            */
    uint64_t stream;
    uint64_t total; /* samples of a device                      */
    size_t frame;   /* samples of a frame                       */
    uint8_t *bytes; /* an encoded frame                         */
    float current[FRAME_SAMPLES], voltage[FRAME_SAMPLES];
    float noise[NOISE]; /* mean 0, deviation 1, within +-3.5        */

    struct mr_target metadata; /* topic NULL: none                */
    struct mr_writer teller;
    struct mr_written told;
    int64_t *slots; /* of each device: the next one to tell of */
};

/* splitmix64: https://prng.di.unimi.it/splitmix64.c */
static uint64_t scramble(uint64_t x) {
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* The sum of four even numbers of 16 bits is near enough to a normal one. */
static void fill_noise(float *noise, uint64_t seed) {
    for (size_t i = 0; i < NOISE; i++) {
        uint64_t x = scramble(seed ^ scramble(i));
        int32_t sum = (int32_t)(x & 0xFFFF) + (int32_t)((x >> 16) & 0xFFFF) +
                      (int32_t)((x >> 32) & 0xFFFF) + (int32_t)(x >> 48) - 2 * 0xFFFF;
        noise[i] = (float)sum * (1.0f / 37837.0f); /* 2^16 / sqrt(3) */
    }
}

static int64_t stagger(uint32_t device) {
    return (int64_t)(device % 8) * STAGGER_NS;
}

/* What the board draws at a time, and until when. */
static float level_at(uint32_t device, int64_t ns, int64_t *until_ns) {
    int64_t shifted = ns + stagger(device);
    int64_t slot = shifted / SWITCH_NS;
    const struct algorithm *algorithm = &algorithms[slot % 2];
    int64_t phase = (ns + (int64_t)(device % 97) * (PERIOD_NS / 97)) % PERIOD_NS;
    bool busy = phase < algorithm->busy_ns;
    int64_t edge_ns = ns + (busy ? algorithm->busy_ns : PERIOD_NS) - phase;
    int64_t switch_ns = ns + (slot + 1) * SWITCH_NS - shifted;
    *until_ns = edge_ns < switch_ns ? edge_ns : switch_ns;
    return busy ? algorithm->busy_a : algorithm->rest_a;
}

static int64_t sample_ns(const struct simulator *it, uint64_t i) {
    return it->start_ns + (int64_t)((double)i * 1e9 / it->simulation->rate_hz + 0.5);
}

static void fill_samples(struct simulator *it, uint32_t device, uint64_t first, size_t n) {
    uint64_t place = scramble(it->simulation->seed ^ scramble(device) ^ first);
    const float *hiss = it->noise + place % (NOISE / 2);
    const float *hum = it->noise + (place >> 32) % (NOISE / 2);
    float gain = 1.0f + (float)(scramble(device) % 2001) * 1e-5f - 0.01f;
    for (size_t i = 0; i < n;) {
        int64_t until_ns, now_ns = sample_ns(it, first + i);
        float level = level_at(device, now_ns, &until_ns) * gain;
        double left = (double)(until_ns - now_ns) * it->simulation->rate_hz / 1e9 + 1.0;
        size_t end = left < (double)(n - i) ? i + (size_t)left : n;
        for (; i < end; i++) {
            it->current[i] = level * (1.0f + 0.01f * hiss[i]);
            it->voltage[i] = 3.3f - 0.15f * it->current[i] + 0.0005f * hum[i];
        }
    }
}

static enum mr_status write_frame(struct simulator *it, uint32_t device, uint64_t number,
                                  struct mr_error *err) {
    uint64_t first = number * it->frame;
    size_t n = it->total - first < it->frame ? (size_t)(it->total - first) : it->frame;
    char name[24];
    snprintf(name, sizeof name, "js220-%02u", device);
    fill_samples(it, device, first, n);
    const struct mr_waveform_channel channels[] = {{"current", "A", it->current},
                                                   {"voltage", "V", it->voltage}};
    struct mr_waveform frame = {
        .device = mr_slice_of(name),
        .start_ns = sample_ns(it, first),
        .rate_hz = it->simulation->rate_hz,
        .stream = it->stream,
        .sequence = number,
        .samples = n,
        .channels = channels,
        .channel_count = 2,
    };
    size_t length = mr_waveform_encode(&frame, it->bytes);
    return mr_writer_append(&it->writer, frame.device,
                            (struct mr_slice){(const char *)it->bytes, length}, err);
}

static enum mr_status tell_slot(struct simulator *it, uint32_t device, int64_t slot,
                                struct mr_error *err) {
    char name[24], time[MR_TEXT_MAX], entry[128];
    int64_t from_ns = slot * SWITCH_NS - stagger(device);
    snprintf(name, sizeof name, "js220-%02u", device);
    snprintf(entry, sizeof entry, "{\"algorithm\":\"%s\",\"valid_from\":\"%s\"}",
             algorithms[slot % 2].name, mr_format_time(from_ns < 0 ? 0 : from_ns, time));
    return mr_writer_append(&it->teller, mr_slice_of(name), mr_slice_of(entry), err);
}

/* What every device runs up to a time, in the log before the frames of that time. */
static enum mr_status tell_until(struct simulator *it, int64_t ns, struct mr_error *err) {
    const struct mr_simulation *simulation = it->simulation;
    enum mr_status status = MR_OK;
    for (uint32_t i = 0; it->metadata.topic && i < simulation->devices; i++) {
        uint32_t device = simulation->first_device + i;
        int64_t last = (ns + stagger(device)) / SWITCH_NS;
        for (; it->slots[i] <= last && status == MR_OK; it->slots[i]++) {
            status = tell_slot(it, device, it->slots[i], err);
        }
    }
    return status == MR_OK && it->metadata.topic ? mr_writer_commit(&it->teller, err) : status;
}

/* Waits until event time ns is due, in naps, so that a stop is soon seen. */
static void wait_for(const struct simulator *it, int64_t ns) {
    const struct mr_clock *clock = it->writer.log->clock;
    int64_t due_ns = it->steady_start_ns + (ns - it->start_ns);
    for (;;) {
        int64_t left = due_ns - clock->steady_ns(clock);
        if (left <= 0 || atomic_load(it->writer.target->stop)) {
            return;
        }
        struct timespec nap = {.tv_nsec = left < NAP_NS ? left : NAP_NS};
        nanosleep(&nap, NULL);
    }
}

static enum mr_status write_all(struct simulator *it, struct mr_error *err) {
    const struct mr_simulation *simulation = it->simulation;
    for (uint64_t number = 0; number * it->frame < it->total; number++) {
        uint64_t end = (number + 1) * it->frame;
        int64_t end_ns = sample_ns(it, end < it->total ? end : it->total);
        if (tell_until(it, end_ns, err) != MR_OK) {
            return MR_FAIL;
        }
        if (simulation->real_time) {
            int64_t due_ns = it->steady_start_ns + (end_ns - it->start_ns);
            if (mr_writer_due(&it->writer, due_ns) && mr_writer_commit(&it->writer, err) != MR_OK) {
                return MR_FAIL;
            }
            wait_for(it, end_ns);
        }
        for (uint32_t i = 0; i < simulation->devices; i++) {
            if (atomic_load(it->writer.target->stop)) {
                return MR_OK;
            }
            enum mr_status status = write_frame(it, simulation->first_device + i, number, err);
            if (status != MR_OK) {
                return status;
            }
        }
    }
    return MR_OK;
}

/* Settles what follows from the options. */
static enum mr_status prepare(struct simulator *it, const struct mr_clock *clock,
                              struct mr_error *err) {
    const struct mr_simulation *simulation = it->simulation;
    double samples = (double)simulation->span_ns * simulation->rate_hz / 1e9 + 0.5;
    it->start_ns = simulation->start_ns;
    it->steady_start_ns = clock->steady_ns(clock);
    if (it->start_ns == MR_NEVER) {
        it->start_ns = clock->wall_ns(clock) - (simulation->real_time ? 0 : simulation->span_ns);
    }
    if (it->start_ns < 0 || mr_time_add(it->start_ns, simulation->span_ns) == INT64_MAX) {
        return mr_error_set(err, MR_REJECT, "the time would not lie between 1970 and 2262");
    }
    if (!(samples >= 1 && samples < 1e15)) {
        return mr_error_set(err, MR_REJECT, "at %g Hz that gives %.0f samples a device",
                            simulation->rate_hz, samples);
    }
    it->total = (uint64_t)samples;
    double second = simulation->rate_hz + 0.5;
    it->frame = second < 1 ? 1 : second < FRAME_SAMPLES ? (size_t)second : FRAME_SAMPLES;
    struct {
        uint64_t seed;
        int64_t start_ns, span_ns;
        double rate_hz;
    } identity = {simulation->seed, it->start_ns, simulation->span_ns, simulation->rate_hz};
    it->stream = mr_hash64(&identity, sizeof identity);
    fill_noise(it->noise, simulation->seed);
    return MR_OK;
}

/* A topic that is made now has as many partitions as the frames'. */
static enum mr_status open_teller(struct simulator *it, struct mr_log *log, struct mr_error *err) {
    const struct mr_simulation *simulation = it->simulation;
    struct mr_topic topic;
    if (!simulation->metadata) {
        return MR_OK;
    }
    bool there = mr_log_describe(log, simulation->metadata, &topic, NULL) == MR_OK;
    it->metadata = (struct mr_target){.topic = simulation->metadata,
                                      .partitions = there ? 0 : it->writer.partitions,
                                      .retention_ns = -1,
                                      .stop = it->writer.target->stop};
    it->slots = mr_allocate_array(simulation->devices, int64_t);
    for (uint32_t i = 0; i < simulation->devices; i++) {
        it->slots[i] = (it->start_ns + stagger(simulation->first_device + i)) / SWITCH_NS;
    }
    return mr_writer_open(&it->teller, log, &it->metadata, &it->told, err);
}

enum mr_status mr_simulate(struct mr_log *log, const struct mr_target *target,
                           const struct mr_simulation *simulation, struct mr_written *written,
                           struct mr_error *err) {
    struct simulator *it = mr_allocate(sizeof *it);
    it->simulation = simulation;
    it->bytes = mr_allocate(2 * FRAME_SAMPLES * sizeof(float) + 256);
    *written = (struct mr_written){0};
    enum mr_status status = prepare(it, log->clock, err);
    if (status == MR_OK) {
        status = mr_writer_open(&it->writer, log, target, written, err);
    }
    if (status == MR_OK) {
        status = open_teller(it, log, err);
    }
    if (status == MR_OK) {
        status = write_all(it, err);
    }
    if (status == MR_OK) {
        status = mr_writer_commit(&it->writer, err);
    }
    written->told = it->told.records;
    mr_writer_close(&it->teller);
    mr_writer_close(&it->writer);
    free(it->slots);
    free(it->bytes);
    free(it);
    return status;
}
