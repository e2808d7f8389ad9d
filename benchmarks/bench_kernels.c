/* What the array loops reach against the rate at which memory can be read, interleaved in one run:
 *
 *   read      a float32 sum over the same bytes
 *   stats     power = current * voltage; count, moments, extremes, integral of all three
 *   digests   the same and a digest of each (error 1 %)
 *
 * on frames of 8,192 (current, voltage) pairs of 100 devices, from memory (256 MiB) and from the
 * second-level cache (4 frames), for three signals: battery (sleep, active, bursts at 3.7 V), sine
 * (mains, both signs), wide (log-normal). A sample is one pair, 8 bytes.
 *
 *   bench_kernels [ROUNDS] */
#include "operators/aggregates/buckets.h"
#include "operators/kernels/kernels.h"
#include "operators/operators.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAIRS      8192
#define FRAMES     4096
#define NEAR       4
#define DEVICES    100
#define ROUNDS_MAX 50
#define LANES      64

static const struct mr_aggregate_type *const types[] = {
    &mr_count_aggregate,    &mr_moments_aggregate, &mr_extremes_aggregate,
    &mr_integral_aggregate, &mr_digest_aggregate,
};
#define TYPES (sizeof types / sizeof types[0])

struct frame {
    float current[PAIRS], voltage[PAIRS];
};

struct device {
    struct mr_accumulator of[3][TYPES]; /* current, voltage, power */
};

static struct frame *frames;
static struct device devices[DEVICES];
static const uint32_t bits = 6;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* a shared machine tells less by the wall */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- Signals --------------------------------------------------------------------------------- */

static uint64_t seed = 1;

static double uniform(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) * 0x1p-53;
}

static double gaussian(void) {
    return uniform() + uniform() + uniform() + uniform() - 2; /* sigma 0.58 */
}

static void battery(struct frame *frame, size_t f) {
    static const double mode[] = {12e-6, 12e-6, 20e-3, 12e-6, 20e-3, 350e-3};
    for (size_t i = 0; i < PAIRS; i++) {
        double current = mode[(f * 7 + i / 3000) % 6];
        frame->current[i] = (float)(current * (1 + 0.02 * gaussian()));
        frame->voltage[i] = (float)(3.7 + 0.001 * gaussian() - 0.1 * current);
    }
}

static void sine(struct frame *frame, size_t f) {
    for (size_t i = 0; i < PAIRS; i++) {
        double phase = 2 * M_PI * 50 * (double)(f * PAIRS + i) / 2e6;
        frame->current[i] = (float)(8 * sin(phase - 0.3) + 0.01 * gaussian());
        frame->voltage[i] = (float)(325 * sin(phase) + 0.1 * gaussian());
    }
}

static void wide(struct frame *frame, size_t f) {
    for (size_t i = 0; i < PAIRS; i++) {
        frame->current[i] = (float)exp(3 * gaussian() - 5);
        frame->voltage[i] = (float)exp(3 * gaussian());
    }
}

/* ---- What is measured ------------------------------------------------------------------------ */

/* Many lanes, so that loads bound it and not the additions. */
MR_CLONES static float sum_lanes(const float *x, size_t n) {
    float lane[LANES] = {0}, sum = 0;
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            lane[l] += x[i + l];
        }
    }
    for (size_t l = 0; l < LANES; l++) {
        sum += lane[l];
    }
    return sum;
}

static volatile float sink;

static void read_frames(size_t first, size_t count) {
    for (size_t f = first; f < first + count; f++) {
        sink = sum_lanes(frames[f].current, 2 * (size_t)PAIRS);
    }
}

MR_CLONES static void multiply(const float *a, const float *b, float *product) {
    for (size_t i = 0; i < MR_BLOCK; i++) {
        product[i] = a[i] * b[i];
    }
}

static void add_block(struct mr_accumulator *of, const float *x, const struct mr_record *record,
                      size_t type_count) {
    struct mr_summary summary;
    const struct mr_part part = {
        .f32 = x, .n = MR_BLOCK, .seconds = 5e-7, .record = record, .summary = &summary};
    mr_summarise_f32(x, MR_BLOCK, &summary);
    for (size_t t = 0; t < type_count; t++) {
        types[t]->add(&of[t], &bits, &part);
    }
}

static void aggregate(size_t first, size_t count, size_t type_count) {
    const struct mr_record record = {.samples = PAIRS, .rate_hz = 2e6};
    _Alignas(64) float power[MR_BLOCK];
    for (size_t f = first; f < first + count; f++) {
        struct device *device = &devices[f % DEVICES];
        for (size_t i = 0; i < PAIRS; i += MR_BLOCK) {
            const float *current = frames[f].current + i, *voltage = frames[f].voltage + i;
            multiply(current, voltage, power);
            add_block(device->of[0], current, &record, type_count);
            add_block(device->of[1], voltage, &record, type_count);
            add_block(device->of[2], power, &record, type_count);
        }
    }
}

static void statistics(size_t first, size_t count) {
    aggregate(first, count, TYPES - 1);
}

static void digests(size_t first, size_t count) {
    aggregate(first, count, TYPES);
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

static const struct subject {
    const char *name;
    void (*run)(size_t first, size_t count);
} subjects[] = {{"read", read_frames}, {"stats", statistics}, {"digests", digests}};
#define SUBJECTS (sizeof subjects / sizeof subjects[0])

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* M pairs a second. From cache: the same few frames again and again. */
static double measure(const struct subject *subject, bool cached) {
    double start = now_s();
    if (!cached) {
        subject->run(0, FRAMES);
        return FRAMES * (double)PAIRS / (now_s() - start) / 1e6;
    }
    for (size_t i = 0; i < FRAMES / 2 / NEAR; i++) {
        subject->run(0, NEAR);
    }
    return (double)(FRAMES / 2) * PAIRS / (now_s() - start) / 1e6;
}

static void compare(const char *signal, bool cached, int rounds) {
    static double rate[SUBJECTS][ROUNDS_MAX];
    for (size_t s = 0; s < SUBJECTS; s++) {
        measure(&subjects[s], cached); /* warm */
    }
    for (int round = 0; round < rounds; round++) {
        for (size_t s = 0; s < SUBJECTS; s++) {
            rate[s][round] = measure(&subjects[s], cached);
        }
    }
    for (size_t s = 0; s < SUBJECTS; s++) {
        qsort(rate[s], (size_t)rounds, sizeof(double), ascending);
        double median = rate[s][rounds / 2];
        printf("%-8s %-6s %-8s %7.0f / %7.0f / %7.0f   %5.1f %% of read\n", signal,
               cached ? "cache" : "memory", subjects[s].name, rate[s][0], median,
               rate[s][rounds - 1], 100 * median / rate[0][rounds / 2]);
    }
}

static void prepare_devices(void) {
    for (size_t d = 0; d < DEVICES; d++) {
        for (size_t k = 0; k < 3 * TYPES; k++) {
            struct mr_accumulator *of = &devices[d].of[k / TYPES][k % TYPES];
            free(of->head);
            free(of->body);
            *of = (struct mr_accumulator){.head = calloc(1, types[k % TYPES]->head_size)};
        }
    }
}

static void print_memory(const char *signal) {
    static const char *const field[] = {"current", "voltage", "power"};
    for (size_t k = 0; k < 3; k++) {
        const struct mr_accumulator *digest = &devices[0].of[k][TYPES - 1];
        struct mr_accumulator packed = {0};
        mr_digest_aggregate.pack(digest, &bits, &packed);
        printf("%-8s digest of %s: %zu bytes, packed %u\n", signal, field[k],
               digest->capacity + sizeof(struct mr_buckets), packed.length);
        free(packed.body);
    }
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*fill)(struct frame *frame, size_t f);
    } signals[] = {{"battery", battery}, {"sine", sine}, {"wide", wide}};
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    frames = aligned_alloc(1 << 21, FRAMES * sizeof *frames);
    if (!frames) {
        return 1;
    }
    printf("M (current, voltage) pairs a second, min / median / max of %d\n", rounds);
    for (size_t s = 0; s < sizeof signals / sizeof signals[0]; s++) {
        for (size_t f = 0; f < FRAMES; f++) {
            if (f < FRAMES / 8) {
                signals[s].fill(&frames[f], f);
            } else {
                frames[f] = frames[f % (FRAMES / 8)]; /* as good for the kernels, faster made */
            }
        }
        prepare_devices();
        compare(signals[s].name, true, rounds);
        compare(signals[s].name, false, rounds);
        print_memory(signals[s].name);
    }
    return 0;
}
