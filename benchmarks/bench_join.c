/* What a joined table costs: the same job with and without it, interleaved in one run, from the
 * memory log. 100 devices, 1,000 versions each.
 *
 *   frames    statistics and digests of current, voltage and power
 *     whole   no border lies within a frame: a look each, and one more column of the group
 *     cut     a border lies within every frame: two parts, of two groups
 *   events    JSON, 6 statistics and a digest: a look each
 *
 *   bench_join frames|events [ROUNDS]
 *
 * Time is taken from the moment at which the table has been read; how long that took is told. */
#include "benchmarks/input.h"

#include <inttypes.h>
#include <stdlib.h>

#define DEVICES  100
#define VERSIONS 1000
#define FRAMES   12000
#define EVENTS   2000000

/* ---- The table --------------------------------------------------------------------------------
 */

/* Version v of every device before v + 1 of any; `step_ns` apart, the first at first_ns. */
static void put_table(struct input *input, const char *topic, bool frames, int64_t first_ns,
                      int64_t step_ns) {
    struct mr_error err;
    struct mr_topic spec = {.partitions = 1, .retention_ns = -1, .retention_bytes = -1};
    snprintf(spec.name, sizeof spec.name, "%s", topic);
    struct input table = {.log = input->log, .topic = topic, .partitions = 1};
    if (mr_log_create(input->log, &spec, &err) != MR_OK ||
        mr_session_open(input->log, &(struct mr_session_options){0}, &table.producer, &err) !=
            MR_OK) {
        mr_bench_die("the table's topic", &err);
    }
    for (int v = 0; v < VERSIONS; v++) {
        for (int d = 0; d < DEVICES; d++) {
            char key[32], value[128], time[MR_TEXT_MAX];
            int key_length = frames ? snprintf(key, sizeof key, "js220-%03d", d)
                                    : snprintf(key, sizeof key, "dev-%07d", d);
            int length = snprintf(value, sizeof value,
                                  "{\"algorithm\":\"%s\",\"valid_from\":\"%s\",\"by\":\"bench\"}",
                                  v % 2 ? "B" : "A", mr_format_time(first_ns + v * step_ns, time));
            mr_bench_put(&table, (struct mr_slice){key, (size_t)key_length},
                         (struct mr_slice){value, (size_t)length});
        }
    }
    mr_bench_close(&table);
}

/* ---- One run ----------------------------------------------------------------------------------
 */

struct run {
    double caught_up_s, samples_s;
};

static void count(void *arg, const struct mr_partition *source,
                  const struct mr_counters *counters) {
    (void)source;
    *(uint64_t *)arg += counters->samples.used + 1;
}

static uint64_t progress(const struct mr_worker *worker) {
    uint64_t sum = 0;
    mr_worker_visit(worker, count, &sum);
    return sum;
}

static struct run run(const char *body, struct input *input) {
    struct mr_error err;
    struct mr_plan *plan = mr_bench_load(body, "1s");
    struct mr_worker *worker = mr_bench_start(plan, input);
    double began = mr_bench_now(), read = 0;
    while (!mr_worker_done(worker)) {
        if (mr_worker_step(worker, 0, &err) != MR_OK) {
            mr_bench_die("running", &err);
        }
        read = read == 0 && progress(worker) > 0 ? mr_bench_now() : read;
    }
    if (mr_worker_commit(worker, &err) != MR_OK) {
        mr_bench_die("committing", &err);
    }
    struct run result = {read - began, (double)progress(worker) / (mr_bench_now() - read)};
    mr_worker_destroy(worker);
    mr_plan_destroy(plan);
    return result;
}

/* The job's body with a table, grouped by its field, too. */
static void with_table(const char *body, const char *topic, char *out, size_t size) {
    const char *group = strstr(body, "group_by: [device]\n");
    snprintf(out, size,
             "join:\n  algo: {topic: %s, key: device, as_of: valid_from}\n%.*s"
             "group_by: [device, {algorithm: algo.algorithm}]\n%s",
             topic, (int)(group - body), body, group + strlen("group_by: [device]\n"));
}

static void compare(const char *what, const char *unit, const char *body, const char *topic,
                    struct input *input, int rounds) {
    struct figure plain = {0}, joined = {0}, cost = {0}, entries = {0};
    char with[4096];
    with_table(body, topic, with, sizeof with);
    for (int i = 0; i < rounds; i++) {
        struct run a = run(body, input), b = run(with, input);
        plain.value[plain.count++] = a.samples_s / 1e6;
        joined.value[joined.count++] = b.samples_s / 1e6;
        cost.value[cost.count++] = 100 * (a.samples_s / b.samples_s - 1);
        entries.value[entries.count++] = DEVICES * VERSIONS / b.caught_up_s / 1e6;
    }
    printf("%s (min / median / max)\n", what);
    mr_bench_print("  without the table", &plain, unit);
    mr_bench_print("  with it", &joined, unit);
    mr_bench_print("  cost", &cost, "% of the time");
    mr_bench_print("  reading the table", &entries, "M entries/s");
}

static void bench_frames(int rounds) {
    struct input input;
    int64_t frame_ns = FRAME_SAMPLES * INT64_C(500);
    mr_bench_open(&input, "memory:", "waveforms", 1);
    mr_bench_frames(&input, DEVICES, FRAMES);
    put_table(&input, "history", true, START_NS - VERSIONS * 30 * MR_SECOND, 30 * MR_SECOND);
    put_table(&input, "borders", true, START_NS - frame_ns / 3, frame_ns);
    compare("frames, whole", "M samples/s", mr_bench_frames_job, "history", &input, rounds);
    compare("frames, each of them cut", "M samples/s", mr_bench_frames_job, "borders", &input,
            rounds);
    mr_log_close(input.log);
}

static void bench_events(int rounds) {
    struct input input;
    mr_bench_open(&input, "memory:", "readings", 1);
    mr_bench_events(&input, DEVICES, EVENTS, 60000);
    put_table(&input, "history", false, START_NS - VERSIONS * 30 * MR_SECOND, 30 * MR_SECOND);
    compare("events", "M events/s", mr_bench_events_job, "history", &input, rounds);
    mr_log_close(input.log);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    if (strcmp(what, "frames") == 0) {
        bench_frames(rounds);
    } else if (strcmp(what, "events") == 0) {
        bench_events(rounds);
    } else {
        fprintf(stderr, "usage: bench_join frames|events [ROUNDS]\n");
        return 2;
    }
    return 0;
}
