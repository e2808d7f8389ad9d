/* End to end, from the memory log to committed rows, against what the same work costs without an
 * engine around it, interleaved in one run:
 *
 *   frames    waveform frames, statistics and a digest of current, voltage and power
 *             ceiling: checksum, copy and the same aggregates in a bare loop
 *   events    JSON, 4 fields, 6 statistics of one and its digest; 1,000 and 1,000,000 devices
 *             ceiling: parsing, and finding the 4 fields
 *   commit    the same at commit intervals of an hour, 1 s, 100 ms
 *   restore   a million cells from the changelog
 *   memory    bytes per open group and window
 *
 *   bench_end_to_end frames|commit|restore|memory [ROUNDS]
 *   bench_end_to_end events|profile [ROUNDS [thousand|million]] */
#include "benchmarks/bare.h"

#include <inttypes.h>
#include <millrace/json.h>
#include <stdlib.h>

/* ---- Frames --------------------------------------------------------------------------------- */

static double bare_frames(struct input *input, int devices) {
    struct mr_error err;
    struct bare *bare = mr_bare_create(devices);
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_partition source = {"waveforms", 0};
    if (mr_reader_open(input->log, &source, 0, &reader, &err) != MR_OK) {
        mr_bench_die("bare loop", &err);
    }
    double began = mr_bench_now();
    uint64_t frames = 0;
    while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
        for (size_t i = 0; i < batch.count; i++) {
            mr_bare_frame(bare, batch.messages[i].value);
        }
        frames += batch.count;
    }
    double rate = (double)frames * FRAME_SAMPLES / (mr_bench_now() - began);
    mr_reader_close(reader);
    mr_bare_destroy(bare);
    return rate;
}

static void bench_frames(int rounds) {
    struct input input;
    struct figure engine = {0}, bare = {0}, ratio = {0};
    mr_bench_open(&input, "memory:", "waveforms", 1);
    mr_bench_frames(&input, 100, 12000);
    for (int i = 0; i < rounds; i++) {
        double b = bare_frames(&input, 100) / 1e6,
               e = mr_bench_run(mr_bench_frames_job, "1s", &input) / 1e6;
        bare.value[bare.count++] = b;
        engine.value[engine.count++] = e;
        ratio.value[ratio.count++] = 100 * e / b;
    }
    printf("frames, 100 devices, battery signal, 12 statistics of i, v, p and 3 digests "
           "(min / median / max)\n");
    mr_bench_print("  bare: copy, checksum, kernels", &bare, "M samples/s");
    mr_bench_print("  engine, memory log, commit 1s", &engine, "M samples/s");
    mr_bench_print("  ratio", &ratio, "%");
    mr_log_close(input.log);
}

/* ---- Events --------------------------------------------------------------------------------- */

/* Parsing, and finding the four fields. */
static double parse_only(struct input *input) {
    struct mr_error err;
    struct mr_reader *reader;
    struct mr_batch batch;
    struct mr_json *json = mr_json_create();
    struct mr_partition source = {"readings", 0};
    if (mr_reader_open(input->log, &source, 0, &reader, &err) != MR_OK) {
        mr_bench_die("parse only", &err);
    }
    double began = mr_bench_now(), sum = 0;
    uint64_t records = 0;
    while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
        for (size_t i = 0; i < batch.count; i++) {
            const struct mr_json_value *root = mr_json_parse(json, batch.messages[i].value, &err);
            const struct mr_json_value *name = mr_json_first(root);
            for (size_t left = mr_json_count(root); left > 0; left--) {
                const struct mr_json_value *value = mr_json_member(name);
                struct mr_slice text = mr_json_string(name);
                sum += mr_json_kind(value) == MR_JSON_NUMBER ? mr_json_number(value)
                                                             : (double)text.length;
                name = mr_json_next(value);
            }
        }
        records += batch.count;
    }
    double rate = (double)records / (mr_bench_now() - began);
    if (sum == 0) {
        fprintf(stderr, "nothing was read\n");
    }
    mr_reader_close(reader);
    mr_json_destroy(json);
    return rate;
}

/* A thousand devices for three minutes; or a million for one, so that a cell gets 16 records before
 * it becomes a row: with fewer it is rows that are measured. The last record, of the next minute
 * but one, closes what is open. */
struct shape {
    uint32_t devices, records;
    int64_t span_ms;
};
static const struct shape thousand = {1000, 4000000, 180000};
static const struct shape million = {1000000, 16000000, 60000};

static void fill_shape(struct input *input, const struct shape *shape) {
    char value[160];
    mr_bench_open(input, "memory:", "readings", 1);
    mr_bench_events(input, shape->devices, shape->records, shape->span_ms);
    int length = snprintf(value, sizeof(value),
                          "{\"device\":\"end\",\"ts\":%" PRId64 ",\"power\":1,\"voltage\":1}",
                          START_NS / 1000000 + shape->span_ms + 60000);
    mr_bench_put(input, mr_slice_of("end"), (struct mr_slice){value, (size_t)length});
    mr_bench_close(input);
}

static void bench_events(int rounds, const struct shape *shape) {
    static const char *const commits[] = {"1s", "10s"};
    struct input input;
    struct figure parse = {0}, engine[2] = {0}, ratio[2] = {0};
    fill_shape(&input, shape);
    for (int i = 0; i < rounds; i++) {
        double p = parse_only(&input) / 1e6;
        parse.value[parse.count++] = p;
        for (int k = 0; k < 2; k++) {
            double e = mr_bench_run(mr_bench_events_job, commits[k], &input) / 1e6;
            engine[k].value[engine[k].count++] = e;
            ratio[k].value[ratio[k].count++] = 100 * e / p;
        }
    }
    printf("events, %u devices, %u records in %" PRId64
           " s, 6 statistics and a digest of one field (min / median / max)\n",
           shape->devices, shape->records, shape->span_ms / 1000);
    mr_bench_print("  parse only", &parse, "M records/s");
    for (int k = 0; k < 2; k++) {
        printf("  engine, memory log, commit %s\n", commits[k]);
        mr_bench_print("    rate", &engine[k], "M records/s");
        mr_bench_print("    of parse only", &ratio[k], "%");
    }
    mr_log_close(input.log);
}

/* The engine alone, for `perf record`: everything else of the process is the filling. */
static void profile_events(int rounds, const struct shape *shape) {
    struct input input;
    fill_shape(&input, shape);
    for (int i = 0; i < rounds; i++) {
        printf("%.2f M records/s\n", mr_bench_run(mr_bench_events_job, "10s", &input) / 1e6);
    }
    mr_log_close(input.log);
}

/* ---- Commit --------------------------------------------------------------------------------- */

static void bench_commit_of(const char *what, const char *job, struct input *input, int rounds) {
    static const char *const intervals[] = {"1h", "1s", "100ms"};
    struct figure rate[3] = {0}, cost[3] = {0};
    for (int i = 0; i < rounds; i++) {
        double never = 0;
        for (int k = 0; k < 3; k++) {
            double r = mr_bench_run(job, intervals[k], input) / 1e6;
            never = k == 0 ? r : never;
            rate[k].value[rate[k].count++] = r;
            cost[k].value[cost[k].count++] = 100 * (never / r - 1);
        }
    }
    printf("commit, %s (min / median / max)\n", what);
    for (int k = 0; k < 3; k++) {
        char name[64];
        snprintf(name, sizeof(name), "  every %s", intervals[k]);
        mr_bench_print(name, &rate[k], "M samples/s");
    }
    mr_bench_print("  cost of 1 s", &cost[1], "%");
    mr_bench_print("  cost of 100 ms", &cost[2], "%");
}

static void bench_commit(int rounds) {
    struct input input;
    fill_shape(&input, &thousand);
    bench_commit_of("events, 1,000 devices", mr_bench_events_job, &input, rounds);
    mr_log_close(input.log);
    mr_bench_open(&input, "memory:", "waveforms", 1);
    mr_bench_frames(&input, 100, 60000);
    bench_commit_of("frames, 100 devices", mr_bench_frames_job, &input, rounds);
    mr_log_close(input.log);
}

/* ---- Restore -------------------------------------------------------------------------------- */

static void bench_restore(int rounds) {
    struct mr_error err;
    struct input input;
    struct figure rate = {0};
    mr_bench_open(&input, "memory:", "readings", 1);
    mr_bench_events(&input, 1000000, 4000000, 50000);
    mr_bench_close(&input);
    struct mr_plan *plan = mr_bench_load(mr_bench_events_job, "1h");
    struct mr_worker *worker = mr_bench_start(plan, &input);
    while (!mr_worker_done(worker)) {
        if (mr_worker_step(worker, 0, &err) != MR_OK) {
            mr_bench_die("running", &err);
        }
    }
    if (mr_worker_commit(worker, &err) != MR_OK) {
        mr_bench_die("committing", &err);
    }
    mr_worker_destroy(worker);
    struct mr_partition changelog = {.partition = 0};
    int64_t first, cells;
    snprintf(changelog.topic, sizeof(changelog.topic), "%s", plan->changelog_topic);
    if (mr_log_bounds(input.log, &changelog, &first, &cells, &err) != MR_OK) {
        mr_bench_die("changelog", &err);
    }
    for (int i = 0; i < rounds; i++) {
        worker = mr_bench_start(plan, &input);
        double began = mr_bench_now();
        while (!mr_worker_done(worker)) { /* restores: there is nothing to read */
            if (mr_worker_step(worker, 0, &err) != MR_OK) {
                mr_bench_die("restoring", &err);
            }
        }
        rate.value[rate.count++] = (double)cells / (mr_bench_now() - began) / 1e6;
        mr_worker_destroy(worker);
    }
    printf("restore, %" PRId64 " cells with a digest each (min / median / max)\n", cells);
    mr_bench_print("  memory log", &rate, "M cells/s");
    mr_plan_destroy(plan);
    mr_log_close(input.log);
}

/* ---- Memory --------------------------------------------------------------------------------- */

/* Taking the changes charges the cells with what their bodies have grown to. */
static enum mr_status ignore(void *arg, struct mr_slice key, struct mr_slice value,
                             struct mr_error *err) {
    (void)arg, (void)key, (void)value, (void)err;
    return MR_OK;
}

static void print_memory(const char *what, const struct mr_plan *plan, size_t samples, bool wide) {
    struct mr_store *store = mr_store_create(&plan->measures, 0);
    size_t groups = 10000, empty = mr_store_bytes(store);
    uint64_t seed = 3;
    struct mr_value value = {.kind = MR_NUMBER};
    struct mr_record record = {.values = &value, .samples = 1};
    for (size_t g = 0; g < groups; g++) {
        struct mr_slice group = {(const char *)&g, sizeof(g)};
        struct mr_cell *cell =
            mr_store_window(store, group, (struct mr_span){0, 60 * MR_SECOND}, true);
        for (size_t i = 0; i < samples; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            double u = (double)(seed >> 40) / 16777216.0;
            double x = wide ? __builtin_ldexp(1 + u, (int)(seed >> 20 & 31) - 16) : 100 + 20 * u;
            struct mr_summary one = {.finite = 1, .shift = x, .min = x, .max = x};
            struct mr_part part = {.f64 = &x, .n = 1, .record = &record, .summary = &one};
            for (size_t m = 0; m < plan->measures.count; m++) {
                const struct mr_measure *measure = &plan->measures.items[m];
                measure->aggregate->add(&cell->accumulators[m], measure->settings, &part);
            }
        }
        mr_store_touch(store, cell);
        if (wide && g >= 99) {
            groups = g + 1;
        }
    }
    if (mr_store_take_dirty(store, ignore, NULL, NULL) != MR_OK) {
        exit(1);
    }
    printf("  %-44s %6zu bytes a group and window\n", what,
           (mr_store_bytes(store) - empty) / groups);
    mr_store_destroy(store);
}

static void bench_memory(void) {
    struct mr_plan *plan = mr_bench_load(mr_bench_events_job, "1s");
    printf("memory of an open cell, 6 statistics and a digest (1 %%) of one field\n");
    print_memory("60 samples between 100 and 120", plan, 60, false);
    print_memory("a full digest: 100,000 samples, 32 octaves", plan, 100000, true);
    mr_plan_destroy(plan);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    const struct shape *shape = argc > 3 && strcmp(argv[3], "million") == 0 ? &million : &thousand;
    if (strcmp(what, "frames") == 0) {
        bench_frames(rounds);
    } else if (strcmp(what, "events") == 0) {
        bench_events(rounds, shape);
    } else if (strcmp(what, "profile") == 0) {
        profile_events(rounds, shape);
    } else if (strcmp(what, "commit") == 0) {
        bench_commit(rounds);
    } else if (strcmp(what, "restore") == 0) {
        bench_restore(rounds);
    } else if (strcmp(what, "memory") == 0) {
        bench_memory();
    } else {
        fprintf(stderr, "usage: bench_end_to_end frames|commit|restore|memory [ROUNDS]\n"
                        "       bench_end_to_end events|profile [ROUNDS [thousand|million]]\n");
        return 2;
    }
    return 0;
}
