/* Different users, and what they cost:
 *
 *   minute    the job unique-users-minute over frames of 2 KB, from the memory log to committed
 * rows, against decoding the same frames and nothing else, interleaved error     estimates against
 * exact counts from 1 to 10 million, of many sets each
 *
 *   bench_users minute|error [ROUNDS] */
#include "benchmarks/input.h"
#include "benchmarks/user_frames.h"
#include "operators/aggregates/registers.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* ---- Minute --------------------------------------------------------------------------------- */

/* A quarter of a million frames in 17 minutes; one in a hundred up to 20 s late. */
#define FRAMES 250000
#define RATE   250

/* jobs/unique-users-minute.yaml, what concerns the work. */
static const char job[] = "from: {topic: frames, format: json, timestamp: {field: ts, unit: s},\n"
                          "       fields: {uid: text}}\n"
                          "lateness: {grace: 5m, max_ahead: 1m}\n"
                          "retain: 24h\n"
                          "group_by: []\n"
                          "window: {every: 1m}\n"
                          "stats:\n"
                          "  frames: count\n"
                          "  users: distinct(uid, error=1%)\n"
                          "  users_set: distinct_sketch(uid, error=1%)\n";

static void fill(struct input *input) {
    char frame[USER_FRAME_MAX];
    struct user_frames frames = {
        .seed = 1, .users = 100000, .rate = RATE, .late = 100, .late_s = 20, .ts = 1468244384};
    mr_bench_open(input, "memory:", "frames", 1);
    for (int i = 0; i < FRAMES; i++) {
        size_t length = user_frames_next(&frames, frame);
        mr_bench_put(input, (struct mr_slice){0}, (struct mr_slice){frame, length});
    }
    mr_bench_close(input);
}

/* The job's own codec, on the log's own batches. */
static double decode_only(struct input *input) {
    struct mr_error err;
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_partition source = {"frames", 0};
    struct mr_arena *arena = mr_arena_create();
    struct mr_plan *plan = mr_bench_load(job, "1s");
    void *codec;
    if (plan->codec->open(&plan->input, false, &codec, &err) != MR_OK ||
        mr_reader_open(input->log, &source, 0, &reader, &err) != MR_OK) {
        mr_bench_die("decoding", &err);
    }
    uint64_t records = 0;
    double began = mr_bench_now();
    while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
        for (size_t i = 0; i < batch.count; i++) {
            struct mr_decoded decoded;
            plan->codec->decode(codec, &batch.messages[i], arena, &decoded);
            records += decoded.count;
        }
        mr_arena_reset(arena);
    }
    double rate = (double)records / (mr_bench_now() - began);
    if (records != input->records) {
        fprintf(stderr, "bench: only %" PRIu64 " frames were decoded\n", records);
        exit(1);
    }
    plan->codec->close(codec);
    mr_reader_close(reader);
    mr_arena_destroy(arena);
    mr_plan_destroy(plan);
    return rate;
}

static void bench_minute(int rounds) {
    static const char *const commits[] = {"1s", "100ms"};
    struct input input;
    struct figure decode = {0}, engine[2] = {0}, ratio[2] = {0};
    fill(&input);
    for (int i = 0; i < rounds; i++) {
        double d = decode_only(&input) / 1e3;
        decode.value[decode.count++] = d;
        for (int k = 0; k < 2; k++) {
            double e = mr_bench_run(job, commits[k], &input) / 1e3;
            engine[k].value[engine[k].count++] = e;
            ratio[k].value[ratio[k].count++] = 100 * e / d;
        }
    }
    printf("unique-users-minute, %d frames of 2 KB, 100,000 users (min / median / max)\n", FRAMES);
    mr_bench_print("  decode only", &decode, "thousand frames/s");
    for (int k = 0; k < 2; k++) {
        printf("  engine, memory log, commit %s\n", commits[k]);
        mr_bench_print("    rate", &engine[k], "thousand frames/s");
        mr_bench_print("    of decode only", &ratio[k], "%");
    }
    mr_log_close(input.log);
}

/* ---- Error ---------------------------------------------------------------------------------- */

#define SIZES 22 /* 1, 2, 5, 10 ... 10 million */

struct errors {
    double sum, squares, worst;
};

static uint64_t hash_of(uint64_t *state) { /* splitmix64: no state gives another's hash */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t size_at(int i) {
    static const uint64_t steps[] = {1, 2, 5};
    uint64_t size = steps[i % 3];
    for (int k = i / 3; k > 0; k--) {
        size *= 10;
    }
    return size;
}

static void measure_set(unsigned bits, uint64_t seed, struct errors errors[SIZES]) {
    struct mr_registers head = {0};
    struct mr_accumulator set = {.head = &head};
    uint64_t n = 0;
    for (int i = 0; i < SIZES; i++) {
        for (; n < size_at(i); n++) {
            mr_registers_add(&set, bits, hash_of(&seed));
        }
        double off = 100 * ((double)mr_registers_estimate(&set, bits) / (double)n - 1);
        errors[i].sum += off;
        errors[i].squares += off * off;
        errors[i].worst = fmax(errors[i].worst, fabs(off));
    }
    free(set.body);
}

static void bench_error(int rounds) {
    static const unsigned sizes[] = {17, 14, 12, 9};
    struct errors errors[4][SIZES] = {0};
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < rounds; i++) {
            measure_set(sizes[k], (uint64_t)(i + 1) << 40, errors[k]);
        }
    }
    printf("| values |");
    for (int k = 0; k < 4; k++) {
        printf(" %.2f %% |", 104 / sqrt((double)(1u << sizes[k])));
    }
    printf("\n| --- | --- | --- | --- | --- |\n");
    for (int i = 0; i < SIZES; i++) {
        printf("| %" PRIu64 " |", size_at(i));
        for (int k = 0; k < 4; k++) {
            const struct errors *e = &errors[k][i];
            printf(" %+.2f / %.2f / %.2f |", e->sum / rounds, sqrt(e->squares / rounds), e->worst);
        }
        printf("\n");
    }
    printf("mean / root mean square / largest relative error in %%, of %d sets\n", rounds);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 7;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    if (strcmp(what, "minute") == 0) {
        bench_minute(rounds);
    } else if (strcmp(what, "error") == 0) {
        bench_error(rounds);
    } else {
        fprintf(stderr, "usage: bench_users minute|error [ROUNDS]\n");
        return 2;
    }
    return 0;
}
