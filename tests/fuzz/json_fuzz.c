/* JSON messages: the first byte chooses the job, the rest is the message. */
#include "tests/fuzz/fuzz_decode.h"

static const char *const jobs[] = {
    "job: plain\n"
    "from:\n"
    "  topic: t\n"
    "  format: json\n"
    "  key: sensor\n"
    "  timestamp: {field: ts, unit: iso8601}\n"
    "  fields: {sensor: text, v: number, on: boolean, i: integer,\n"
    "           s: {type: number, from: text}}\n"
    "group_by: [sensor]\n"
    "window: {every: 1m}\n"
    "stats: {n: count, v: mean(v), i: max(i), s: sum(s)}\n"
    "where: on or v > 0\n"
    "to: [{topic: o}]\n",
    "job: list\n"
    "from:\n"
    "  topic: t\n"
    "  format: json\n"
    "  each: readings\n"
    "  timestamp: {field: ts, unit: ms}\n"
    "  fields: {v: number}\n"
    "group_by: []\n"
    "window: {every: 1m}\n"
    "stats: {n: count, v: mean(v)}\n"
    "to: [{topic: o}]\n",
    "job: arrays\n"
    "from:\n"
    "  topic: t\n"
    "  format: json\n"
    "  timestamp: {field: ts, unit: us}\n"
    "  fields: {a: \"number[]\", b: \"number[]\"}\n"
    "  samples: {step: {field: dt, unit: us}}\n"
    "group_by: []\n"
    "window: {every: 1m}\n"
    "stats: {n: count, a: mean(a), b: max(b)}\n"
    "to: [{topic: o}]\n",
};
#define JOBS (sizeof(jobs) / sizeof(*jobs))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct mr_plan *plans[JOBS];
    if (size == 0) {
        return 0;
    }
    size_t job = data[0] % JOBS;
    plans[job] = plans[job] ? plans[job] : fuzz_plan(jobs[job]);
    struct mr_slice value = fuzz_copy(data + 1, size - 1);
    fuzz_decode(plans[job], mr_slice_of("a"), value);
    free((void *)(uintptr_t)value.data);
    return 0;
}
