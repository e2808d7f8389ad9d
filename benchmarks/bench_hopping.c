/* What windows that overlap cost beside windows end to end of the same length, interleaved in one
 * run, from the memory log to committed rows:
 *
 *   open    all records within one hop: nothing closes, so only the way of a record is measured
 *   close   ten minutes of them: a window of each group closes every ten seconds
 *
 *   bench_hopping [ROUNDS] */
#include "benchmarks/input.h"

#include <stdlib.h>

#define STATS                                                                                      \
    "stats:\n  n: count\n  mean: mean(power)\n  min: min(power)\n  max: max(power)\n"              \
    "  std: std_pop(power)\n  rms: rms(power)\n  p99: quantile(power, 0.99)\n"
#define EVENTS                                                                                     \
    "from:\n  topic: readings\n  format: json\n  key: device\n"                                    \
    "  timestamp: {field: ts, unit: ms}\ngroup_by: [device]\n" STATS

static const char tumbling[] = EVENTS "window: {every: 10m}\n";
static const char hopping[] = EVENTS "window: {every: 10m, hop: 10s}\n";

/* Nanoseconds a record of each, and what the second costs for one of the first. */
static void compare(const char *name, uint32_t records, int64_t span_ms, int rounds) {
    struct input input;
    struct figure base = {0}, other = {0}, ratio = {0};
    mr_bench_open(&input, "memory:", "readings", 1);
    mr_bench_events(&input, 1000, records, span_ms);
    mr_bench_close(&input);
    for (int i = 0; i < rounds; i++) {
        double a = 1e9 / mr_bench_run(tumbling, "1s", &input);
        double b = 1e9 / mr_bench_run(hopping, "1s", &input);
        base.value[base.count++] = a;
        other.value[other.count++] = b;
        ratio.value[ratio.count++] = b / a;
    }
    printf("%s: %u events of 1,000 devices in %lld s of their time (min / median / max)\n", name,
           records, (long long)span_ms / 1000);
    mr_bench_print("  every 10m", &base, "ns an event");
    mr_bench_print("  every 10m, hop 10s", &other, "ns an event");
    mr_bench_print("  hopping for tumbling", &ratio, "times");
    mr_log_close(input.log);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5;
    compare("open", 1000000, 9000, rounds);
    compare("close", 1000000, 600000, rounds);
    return 0;
}
