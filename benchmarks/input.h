/* What the end-to-end benchmarks share: a clock, figures, a memory log with an input topic, jobs on
 * it. Every failure ends the program. */
#ifndef BENCHMARKS_INPUT_H
#define BENCHMARKS_INPUT_H

#include "engine/log/log.h"
#include "engine/run/run.h"

#define ROUNDS_MAX    50
#define FRAME_SAMPLES 8192
#define START_NS      (INT64_C(1767225600) * MR_SECOND) /* 2026-01-01T00:00:00Z */

/* Seconds of processor time of the thread that works, for the commit intervals too: nothing here
 * waits for a disk, and what else the machine does then hardly shows. */
double mr_bench_now(void);
void mr_bench_die(const char *what, const struct mr_error *err);

struct figure {
    double value[ROUNDS_MAX];
    int count;
};
void mr_bench_print(const char *name, struct figure *figure, const char *unit);

struct input {
    struct mr_log *log;
    struct mr_session *producer;
    const char *topic;
    uint32_t partitions;
    uint64_t records;
};
/* A log with one topic, and a producer to it. */
void mr_bench_open(struct input *input, const char *url, const char *topic, uint32_t partitions);
/* Battery-powered boards at 2 MHz; closes the producer. */
void mr_bench_frames(struct input *input, int devices, int frames);
/* JSON events of 4 fields; mr_bench_close is the caller's. */
void mr_bench_events(struct input *input, uint32_t devices, uint32_t records, int64_t span_ms);
void mr_bench_put(struct input *input, struct mr_slice key, struct mr_slice value);
void mr_bench_close(struct input *input);

extern const char mr_bench_frames_job[], mr_bench_events_job[];

/* A plan of its own name, so that it reads from the start. */
struct mr_plan *mr_bench_load(const char *body, const char *commit);
struct mr_worker *mr_bench_start(const struct mr_plan *plan, struct input *input);
/* Runs a job to the end; samples a second. */
double mr_bench_run(const char *body, const char *commit, struct input *input);

#endif
