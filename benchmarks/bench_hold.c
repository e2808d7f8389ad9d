/* Statistics over time: events of 1,000 devices, in order, one field, from the memory log to rows.
 *
 *   events    the same records counted, with a mean: what is there without `hold`
 *   values    integral, time_mean, covered
 *   counter   increase
 *   both      all of them
 *
 *   bench_hold [ROUNDS] */
#include "benchmarks/input.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DEVICES 1000
#define RECORDS 4000000
#define SPAN_MS 180000

#define HEAD                                                                                       \
    "from:\n  topic: readings\n  format: json\n  key: device\n"                                    \
    "  timestamp: {field: ts, unit: ms}\n  fields: {power: number}\n"                              \
    "group_by: [device]\nwindow: {every: 1m}\nstats:\n"

static const char *const jobs[][2] = {
    {"events: count, mean", HEAD "  n: count\n  mean: mean(power)\n"},
    {"values: integral, time_mean, covered",
     HEAD "  e: integral(power)\n  mean: time_mean(power)\n  c: covered(power)\n"},
    {"counter: increase", HEAD "  rise: increase(power)\n"},
    {"both", HEAD "  e: integral(power)\n  rise: increase(power)\n  n: count\n"},
};
#define JOBS (sizeof jobs / sizeof jobs[0])

int main(int argc, char **argv) {
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5;
    struct input input;
    struct figure rate[JOBS] = {0};
    mr_bench_open(&input, "memory:", "readings", 1);
    mr_bench_events(&input, DEVICES, RECORDS, SPAN_MS);
    mr_bench_close(&input);
    for (int i = 0; i < rounds && i < ROUNDS_MAX; i++) {
        for (size_t k = 0; k < JOBS; k++) {
            rate[k].value[rate[k].count++] = mr_bench_run(jobs[k][1], "1s", &input) / 1e6;
        }
    }
    printf("hold, %d devices, %d records in %d s (min / median / max)\n", DEVICES, RECORDS,
           SPAN_MS / 1000);
    for (size_t k = 0; k < JOBS; k++) {
        mr_bench_print(jobs[k][0], &rate[k], "M records/s");
    }
    mr_log_close(input.log);
    return 0;
}
