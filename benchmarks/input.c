/* See input.h. */
#include "benchmarks/input.h"

#include <inttypes.h>
#include <millrace/waveform.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define COMMIT_BYTES (16 << 20)

static int64_t busy_ns(const struct mr_clock *clock) {
    struct timespec t;
    (void)clock;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * MR_SECOND + t.tv_nsec;
}

static int64_t wall_ns(const struct mr_clock *clock) {
    (void)clock;
    return mr_real_clock.wall_ns(&mr_real_clock);
}

static const struct mr_clock busy_clock = {wall_ns, busy_ns, 0};

double mr_bench_now(void) {
    return (double)busy_ns(NULL) * 1e-9;
}

void mr_bench_die(const char *what, const struct mr_error *err) {
    fprintf(stderr, "bench: %s: %s\n", what, err->text);
    exit(1);
}

/* ---- Figures -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void mr_bench_print(const char *name, struct figure *figure, const char *unit) {
    qsort(figure->value, (size_t)figure->count, sizeof(double), compare);
    double median = figure->value[figure->count / 2];
    printf("%-34s %8.2f / %8.2f / %8.2f %s\n", name, figure->value[0], median,
           figure->value[figure->count - 1], unit);
}

/* ---- A log with an input topic ----------------------------------------------------------------
 */

void mr_bench_open(struct input *input, const char *url, const char *topic, uint32_t partitions) {
    struct mr_error err;
    struct mr_topic spec = {.partitions = partitions, .retention_ns = -1, .retention_bytes = -1};
    snprintf(spec.name, sizeof(spec.name), "%s", topic);
    *input = (struct input){.topic = topic, .partitions = partitions};
    if (mr_log_open(url, &(struct mr_log_options){.make = true}, &mr_real_clock, &input->log,
                    &err) != MR_OK ||
        mr_log_create(input->log, &spec, &err) != MR_OK ||
        mr_session_open(input->log, &(struct mr_session_options){0}, &input->producer, &err) !=
            MR_OK) {
        mr_bench_die("opening the log", &err);
    }
}

void mr_bench_put(struct input *input, struct mr_slice key, struct mr_slice value) {
    struct mr_error err;
    uint64_t turn = input->records; /* of records without a key */
    struct mr_append append = {
        .topic = input->topic,
        .partition = mr_partition_of(key, input->partitions, &turn),
        .timestamp_ns = -1,
        .key = key,
        .value = value,
    };
    if (mr_session_append(input->producer, &append, &err) != MR_OK) {
        mr_bench_die("appending", &err);
    }
    input->records++;
    if (mr_session_pending(input->producer) >= COMMIT_BYTES &&
        mr_session_commit(input->producer, NULL, 0, &err) != MR_COMMITTED) {
        mr_bench_die("committing", &err);
    }
}

void mr_bench_close(struct input *input) {
    struct mr_error err;
    if (mr_session_commit(input->producer, NULL, 0, &err) != MR_COMMITTED) {
        mr_bench_die("committing", &err);
    }
    mr_session_close(input->producer);
}

/* ---- A job ---------------------------------------------------------------------------------- */

/* Statistics and a digest of current, voltage and power. */
const char mr_bench_frames_job[] = "from: {topic: waveforms, format: waveform}\n"
                                   "let: {power: current * voltage}\n"
                                   "group_by: [device]\n"
                                   "window: {every: 1m}\n"
                                   "stats:\n"
                                   "  n: count\n"
                                   "  i_mean: mean(current)\n  i_std: std_pop(current)\n"
                                   "  i_max: max(current)\n  charge: integral(current)\n"
                                   "  i_p99: quantile(current, 0.99)\n"
                                   "  v_mean: mean(voltage)\n  v_min: min(voltage)\n"
                                   "  v_p50: median(voltage)\n"
                                   "  p_mean: mean(power)\n  p_std: std_pop(power)\n"
                                   "  p_max: max(power)\n  energy: integral(power)\n"
                                   "  p_p99: quantile(power, 0.99)\n";

/* Four fields, six statistics of one and its digest. */
const char mr_bench_events_job[] = "from:\n  topic: readings\n  format: json\n  key: device\n"
                                   "  timestamp: {field: ts, unit: ms}\n"
                                   "  fields: {voltage: number}\n"
                                   "group_by: [device]\n"
                                   "where: voltage > 0\n"
                                   "window: {every: 1m}\n"
                                   "stats:\n  n: count\n  mean: mean(power)\n  min: min(power)\n"
                                   "  max: max(power)\n  std: std_pop(power)\n  rms: rms(power)\n"
                                   "  p99: quantile(power, 0.99)\n";

static int jobs; /* each run is a job of its own, so that it reads from the start */

struct mr_plan *mr_bench_load(const char *body, const char *commit) {
    char text[4096];
    struct mr_plan *plan;
    struct mr_faults faults = {0};
    snprintf(text, sizeof(text),
             "job: bench-%ld-%d\ncommit: %s\nmemory: 16GiB\nto:\n  - topic: out-%ld-%d\n%s",
             (long)getpid(), jobs, commit, (long)getpid(), jobs, body);
    jobs++;
    if (mr_job_load_text("bench", mr_slice_of(text), &plan, &faults) != MR_OK) {
        mr_faults_print(&faults, stderr);
        exit(1);
    }
    return plan;
}

struct mr_worker *mr_bench_start(const struct mr_plan *plan, struct input *input) {
    struct mr_error err;
    struct mr_worker *worker;
    struct mr_worker_options options = {.workers = 1, .until_end = true};
    bool whole = plan->role == MR_WHOLE; /* of stages the caller has prepared the job */
    if ((whole && mr_run_prepare(plan, input->log, &err) != MR_OK) ||
        mr_worker_create(plan, input->log, &busy_clock, &options, &worker, &err) != MR_OK) {
        mr_bench_die("starting", &err);
    }
    return worker;
}

static void count_used(void *arg, const struct mr_partition *source,
                       const struct mr_counters *counters) {
    (void)source;
    *(uint64_t *)arg += counters->samples.used;
}

/* Runs to the end; returns samples a second. */
double mr_bench_run(const char *body, const char *commit, struct input *input) {
    struct mr_error err;
    struct mr_plan *plan = mr_bench_load(body, commit);
    struct mr_worker *worker = mr_bench_start(plan, input);
    uint64_t used = 0;
    double began = mr_bench_now();
    while (!mr_worker_done(worker)) {
        if (mr_worker_step(worker, 0, &err) != MR_OK) {
            mr_bench_die("running", &err);
        }
    }
    if (mr_worker_commit(worker, &err) != MR_OK) {
        mr_bench_die("committing", &err);
    }
    double took = mr_bench_now() - began;
    mr_worker_visit(worker, count_used, &used);
    if (used < input->records) {
        fprintf(stderr, "bench: only %" PRIu64 " samples were used\n", used);
        exit(1);
    }
    mr_worker_destroy(worker);
    mr_plan_destroy(plan);
    return (double)used / took;
}

/* ---- What is in it ------------------------------------------------------------------------ */

/* Sleep, work and bursts at 3.7 V, with noise: what a battery-powered board draws. */
static void battery(uint64_t *seed, float *current, float *voltage) {
    for (size_t i = 0; i < FRAME_SAMPLES; i++) {
        *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        float noise = (float)(*seed >> 40) / 16777216.0f;
        size_t phase = i % 4096;
        float level = phase < 2600 ? 12e-6f : phase < 3900 ? 20e-3f : 350e-3f;
        current[i] = level * (0.9f + 0.2f * noise);
        voltage[i] = 3.7f - 0.05f * current[i] + 0.001f * noise;
    }
}

void mr_bench_frames(struct input *input, int devices, int frames) {
    static float current[FRAME_SAMPLES], voltage[FRAME_SAMPLES];
    struct mr_buffer bytes = {0};
    uint64_t seed = 1;
    for (int n = 0; n < frames; n++) {
        char device[32];
        snprintf(device, sizeof(device), "js220-%03d", n % devices);
        battery(&seed, current, voltage);
        struct mr_waveform_channel channels[] = {{"current", "A", current},
                                                 {"voltage", "V", voltage}};
        struct mr_waveform frame = {
            .device = mr_slice_of(device),
            .start_ns = START_NS + n / devices * (FRAME_SAMPLES * INT64_C(500)),
            .rate_hz = 2e6,
            .stream = 1,
            .sequence = (uint64_t)(n / devices),
            .channels = channels,
            .channel_count = 2,
            .samples = FRAME_SAMPLES,
        };
        mr_buffer_reserve(&bytes, mr_waveform_bound(&frame));
        size_t length = mr_waveform_encode(&frame, bytes.data);
        mr_bench_put(input, frame.device, (struct mr_slice){bytes.data, length});
    }
    mr_bench_close(input);
    mr_buffer_finish(&bytes);
}

/* A device draws about its own level, give or take a tenth, and sleeps a twentieth of the time. */
static double power_of(uint32_t device, uint64_t seed) {
    double noise = (double)(seed >> 20 & 0xffff) / 65536, level = 1 + device % 300;
    return (seed >> 12 & 0xff) < 12 ? 0.05 + 0.01 * noise : level * (0.9 + 0.2 * noise);
}

void mr_bench_events(struct input *input, uint32_t devices, uint32_t records, int64_t span_ms) {
    uint64_t seed = 7;
    for (uint32_t n = 0; n < records; n++) {
        char value[160], key[32];
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint32_t device = (uint32_t)((seed >> 33) % devices);
        double power = power_of(device, seed);
        int key_length = snprintf(key, sizeof(key), "dev-%07u", device);
        int length = snprintf(value, sizeof(value),
                              "{\"device\":\"%s\",\"ts\":%" PRId64 ",\"power\":%.6f,"
                              "\"voltage\":%.3f}",
                              key, START_NS / 1000000 + (int64_t)n * span_ms / records, power,
                              230 + power / 1000);
        mr_bench_put(input, (struct mr_slice){key, (size_t)key_length},
                     (struct mr_slice){value, (size_t)length});
    }
}
