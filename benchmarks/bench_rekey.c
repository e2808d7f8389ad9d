/* What regrouping costs: JSON events of 1,000 devices to 2 algorithms, count, moments, extremes and
 * a digest, from the memory log.
 *
 *   one stage    the topic has one partition
 *   two stages   it has four; both stages one after the other, so that each has the processor
 *   between      bytes that the first stage sends, of its input's, and in one commit
 *
 *   bench_rekey [ROUNDS] */
#include "benchmarks/input.h"

#include <inttypes.h>
#include <stdlib.h>

#define DEVICES    1000
#define RECORDS    2000000
#define PARTITIONS 4
#define SPAN_MS    (3 * 60 * 1000)

static const char job[] =
    "from:\n  topic: readings\n  format: json\n  key: device\n"
    "  timestamp: {field: ts, unit: ms}\n"
    "  fields: {device: text, algorithm: text, power: number}\n"
    "group_by: [algorithm]\nwindow: {every: 1m}\n"
    "stats:\n  n: count\n  mean: mean(power)\n  min: min(power)\n"
    "  max: max(power)\n  std: std_pop(power)\n  p99: quantile(power, 0.99)\n";

static uint64_t fill(struct input *input, uint32_t partitions) {
    uint64_t seed = 7, bytes = 0;
    mr_bench_open(input, "memory:", "readings", partitions);
    for (uint32_t n = 0; n < RECORDS; n++) {
        char value[160], key[32];
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint32_t device = (uint32_t)((seed >> 33) % DEVICES);
        int key_length = snprintf(key, sizeof(key), "dev-%04u", device);
        int length = snprintf(
            value, sizeof(value),
            "{\"device\":\"%s\",\"algorithm\":\"%c\",\"ts\":%" PRId64 ",\"power\":%.6f}", key,
            'A' + (int)(device % 2), START_NS / 1000000 + (int64_t)n * SPAN_MS / RECORDS,
            (double)(seed >> 40) * 1e-5);
        mr_bench_put(input, (struct mr_slice){key, (size_t)key_length},
                     (struct mr_slice){value, (size_t)length});
        bytes += (uint64_t)(key_length + length);
    }
    mr_bench_close(input);
    return bytes;
}

/* Runs one stage to its end; processor seconds. */
static double run_stage(const struct mr_plan *stage, struct input *input) {
    struct mr_error err;
    struct mr_worker *worker = mr_bench_start(stage, input);
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
    mr_worker_destroy(worker);
    return took;
}

struct between {
    uint64_t records, bytes;
};

static struct between measure(const char *topic, struct input *input) {
    struct between between = {0};
    struct mr_error err;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        struct mr_partition source = {.partition = p};
        struct mr_reader *reader;
        struct mr_batch batch;
        snprintf(source.topic, sizeof(source.topic), "%s", topic);
        if (mr_reader_open(input->log, &source, -1, &reader, &err) != MR_OK) {
            mr_bench_die("reading", &err);
        }
        while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
            for (size_t i = 0; i < batch.count; i++) {
                between.records++;
                between.bytes += batch.messages[i].key.length + batch.messages[i].value.length;
            }
        }
        mr_reader_close(reader);
    }
    return between;
}

static double run_one(struct input *input, const char *commit) {
    struct mr_plan *plan = mr_bench_load(job, commit);
    double took = run_stage(plan, input);
    mr_plan_destroy(plan);
    return RECORDS / took / 1e6;
}

static double run_two(struct input *input, const char *commit, uint64_t input_bytes,
                      double *first_share) {
    struct mr_error err;
    struct mr_plan *plan = mr_bench_load(job, commit);
    const struct mr_plan *stages[2];
    mr_plan_stages(plan, PARTITIONS, stages);
    if (mr_run_prepare(plan, input->log, &err) != MR_OK) {
        mr_bench_die("preparing", &err);
    }
    double first = run_stage(stages[0], input);
    struct between between = measure(plan->repartition_topic, input);
    double second = run_stage(stages[1], input);
    *first_share = 100 * first / (first + second);
    printf("  between, commit %s: %" PRIu64 " records, %" PRIu64 " bytes, %.4f %% of the input\n",
           commit, between.records, between.bytes,
           100 * (double)between.bytes / (double)input_bytes);
    mr_plan_destroy(plan);
    return RECORDS / (first + second) / 1e6;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    struct input one, four;
    struct figure single = {0}, two = {0}, busy = {0}, ratio = {0}, share = {0};
    fill(&one, 1);
    uint64_t bytes = fill(&four, PARTITIONS);
    for (int i = 0; i < rounds; i++) {
        double first_share, a = run_one(&one, "1s"), b = run_two(&four, "1s", bytes, &first_share);
        single.value[single.count++] = a;
        two.value[two.count++] = b;
        ratio.value[ratio.count++] = 100 * b / a;
        share.value[share.count++] = first_share;
        busy.value[busy.count++] = run_two(&four, "10ms", bytes, &first_share);
    }
    printf("events, %d devices to 2 groups (min / median / max)\n", DEVICES);
    mr_bench_print("  one stage, commit 1s", &single, "M records/s");
    mr_bench_print("  two stages, commit 1s", &two, "M records/s");
    mr_bench_print("  ratio", &ratio, "%");
    mr_bench_print("  of that the first stage", &share, "% of the time");
    mr_bench_print("  two stages, commit 10ms", &busy, "M records/s");
    mr_log_close(one.log);
    mr_log_close(four.log);
    return 0;
}
