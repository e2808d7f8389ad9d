/* The same job from a Kafka broker, against a bare librdkafka consumer on the same topic,
 * interleaved in one run:
 *
 *   events    JSON, 4 fields, 1,000 devices      bare: consume in batches, touch nothing
 *   frames    waveform frames, 3 digests         bare: consume; and consume + checksum + kernels
 *   commit    events at commit intervals of an hour (one transaction), 1 s, 100 ms
 *   restore   a million cells                    bare: consume the changelog
 *
 * The clock starts with the first record, so that joining a group is not in it (of a restore it
 * is: about 0.2 s). Processor time is that of the whole process: librdkafka's threads are in it,
 * the broker is not.
 *
 *   bench_kafka HOST:PORT events|frames|commit|restore [ROUNDS] */
#include "benchmarks/bare.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <sys/resource.h>

#define PARTITIONS 4
#define DEVICES    100
#define FRAMES     24000
#define EVENTS     8000000
#define BATCH      1000
#define WAIT_MS    100

static const char *brokers;

struct rate {
    double wall, busy; /* of whatever is counted: a second, a second of processor time */
};
struct watch {
    int64_t wall_ns;
    double busy;
};

static double process_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static struct watch now(void) {
    return (struct watch){mr_real_clock.steady_ns(&mr_real_clock), process_seconds()};
}

static struct rate rate_since(const struct watch *began, double count) {
    struct watch ended = now();
    return (struct rate){count / (1e-9 * (double)(ended.wall_ns - began->wall_ns)),
                         count / (ended.busy - began->busy)};
}

static void die(const char *what, const char *why) {
    fprintf(stderr, "bench_kafka: %s: %s\n", what, why);
    exit(1);
}

/* ---- Bare ----------------------------------------------------------------------------------- */

static rd_kafka_t *bare_client(void) {
    static const char *const properties[][2] = {
        {"group.id", "bench"},
        {"enable.auto.commit", "false"},
        {"check.crcs", "true"}, /* as the engine */
        {"queued.max.messages.kbytes", "1048576"},
        {"queued.min.messages", "1000000"},
        {"auto.offset.reset", "error"},
    };
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    for (size_t i = 0; i < sizeof(properties) / sizeof(*properties); i++) {
        if (rd_kafka_conf_set(conf, properties[i][0], properties[i][1], why, sizeof(why)) !=
            RD_KAFKA_CONF_OK) {
            die(properties[i][0], why);
        }
    }
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (!client) {
        die("a bare consumer", why);
    }
    rd_kafka_poll_set_consumer(client);
    return client;
}

/* All of a topic: its metadata first, or the first record comes half a second later. */
static void bare_assign(rd_kafka_t *client, const char *topic) {
    const rd_kafka_metadata_t *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    rd_kafka_metadata(client, 0, handle, &metadata, 5000);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        rd_kafka_topic_partition_list_add(all, topic, i)->offset = 0;
    }
    rd_kafka_assign(client, all);
    rd_kafka_topic_partition_list_destroy(all);
}

/* Consumes `records`; each value to `bare` unless it is NULL. */
static struct rate run_bare(const char *topic, uint64_t records, struct bare *bare) {
    static rd_kafka_message_t *messages[BATCH];
    rd_kafka_t *client = bare_client();
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    struct watch began = {0};
    uint64_t count = 0;
    bare_assign(client, topic);
    while (count < records) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, WAIT_MS, messages, BATCH);
        if (count == 0 && n > 0) {
            began = now();
        }
        for (ssize_t i = 0; i < n; i++) {
            if (!messages[i]->err && bare) {
                mr_bare_frame(bare, (struct mr_slice){messages[i]->payload, messages[i]->len});
            }
            count += !messages[i]->err;
            rd_kafka_message_destroy(messages[i]);
        }
    }
    struct rate rate = rate_since(&began, (double)count);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return rate;
}

/* ---- The engine ----------------------------------------------------------------------------- */

struct seen {
    uint64_t records, samples;
};

static void see(void *arg, const struct mr_partition *source, const struct mr_counters *counters) {
    struct seen *seen = arg;
    (void)source;
    seen->records += counters->records.read;
    seen->samples += counters->samples.used;
}

static struct seen look(const struct mr_worker *worker) {
    struct seen seen = {0};
    mr_worker_visit(worker, see, &seen);
    return seen;
}

static struct mr_worker *start_worker(const struct mr_plan *plan, const struct input *input) {
    struct mr_error err;
    struct mr_worker *worker;
    struct mr_worker_options options = {.workers = 1, .until_end = true};
    if (mr_run_prepare(plan, input->log, &err) != MR_OK ||
        mr_worker_create(plan, input->log, &mr_real_clock, &options, &worker, &err) != MR_OK) {
        mr_bench_die("starting", &err);
    }
    return worker;
}

/* Steps until all is read; the clock starts at once, or with the first record. */
static struct rate run_worker(struct mr_worker *worker, bool at_once, uint64_t *records,
                              double count) {
    struct mr_error err;
    struct watch began = at_once ? now() : (struct watch){0};
    while (!mr_worker_done(worker)) {
        if (mr_worker_step(worker, WAIT_MS * MR_SECOND / 1000, &err) != MR_OK) {
            mr_bench_die("running", &err);
        }
        if (began.wall_ns == 0 && look(worker).records > 0) {
            began = now();
        }
    }
    *records = look(worker).records;
    return rate_since(&began, count);
}

/* The whole topic, and the last commit. */
static struct rate run_engine(const struct input *input, const char *body, const char *commit) {
    struct mr_error err;
    uint64_t records;
    struct mr_plan *plan = mr_bench_load(body, commit);
    struct mr_worker *worker = start_worker(plan, input);
    struct rate rate = run_worker(worker, false, &records, (double)input->records);
    if (mr_worker_finish(worker, &err) != MR_OK) {
        mr_bench_die("committing", &err);
    }
    if (records != input->records) {
        die("the engine", "it did not read every record");
    }
    mr_worker_destroy(worker);
    mr_plan_destroy(plan);
    return rate;
}

/* ---- What is measured ----------------------------------------------------------------------- */

struct pair {
    struct figure wall, busy;
};

static void add(struct pair *pair, struct rate rate, double scale) {
    pair->wall.value[pair->wall.count++] = rate.wall * scale;
    pair->busy.value[pair->busy.count++] = rate.busy * scale;
}

static void add_ratio(struct pair *pair, struct rate rate, struct rate base) {
    add(pair, (struct rate){rate.wall / base.wall, rate.busy / base.busy}, 100);
}

static void add_cost(struct pair *pair, struct rate rate, struct rate base) {
    add(pair, (struct rate){base.wall / rate.wall - 1, base.busy / rate.busy - 1}, 100);
}

static void print(const char *what, struct pair *pair, const char *unit) {
    printf("%s\n", what);
    mr_bench_print("    a second", &pair->wall, unit);
    mr_bench_print("    a processor second", &pair->busy, unit);
}

static void open_input(struct input *input, const char *topic) {
    char url[256];
    snprintf(url, sizeof(url), "kafka://%s", brokers);
    mr_bench_open(input, url, topic, PARTITIONS);
}

static void bench_events(int rounds) {
    struct input input;
    struct pair bare = {0}, engine = {0}, ratio = {0};
    open_input(&input, "readings");
    mr_bench_events(&input, 1000, EVENTS, 180000);
    mr_bench_close(&input);
    for (int i = 0; i < rounds; i++) {
        struct rate b = run_bare(input.topic, input.records, NULL);
        struct rate e = run_engine(&input, mr_bench_events_job, "1s");
        add(&bare, b, 1e-6);
        add(&engine, e, 1e-6);
        add_ratio(&ratio, e, b);
    }
    printf("events, 1,000 devices, %d records, %d partitions (min / median / max)\n", EVENTS,
           PARTITIONS);
    print("  bare consumer", &bare, "M records");
    print("  engine, commit 1s", &engine, "M records");
    print("  of bare", &ratio, "%");
    mr_log_close(input.log);
}

static void bench_frames(int rounds) {
    struct input input;
    struct pair bare = {0}, kernels = {0}, engine = {0}, of_bare = {0}, of_kernels = {0};
    open_input(&input, "waveforms");
    mr_bench_frames(&input, DEVICES, FRAMES);
    for (int i = 0; i < rounds; i++) {
        struct bare *loop = mr_bare_create(DEVICES);
        struct rate b = run_bare(input.topic, input.records, NULL);
        struct rate k = run_bare(input.topic, input.records, loop);
        struct rate e = run_engine(&input, mr_bench_frames_job, "1s");
        mr_bare_destroy(loop);
        add(&bare, b, FRAME_SAMPLES * 1e-6);
        add(&kernels, k, FRAME_SAMPLES * 1e-6);
        add(&engine, e, FRAME_SAMPLES * 1e-6);
        add_ratio(&of_bare, e, b);
        add_ratio(&of_kernels, e, k);
    }
    printf("frames, %d devices, %d frames of 64 KiB, %d partitions (min / median / max)\n", DEVICES,
           FRAMES, PARTITIONS);
    print("  bare consumer", &bare, "M samples");
    print("  bare consumer, checksum, kernels", &kernels, "M samples");
    print("  engine, commit 1s", &engine, "M samples");
    print("  of bare", &of_bare, "%");
    print("  of bare with kernels", &of_kernels, "%");
    mr_log_close(input.log);
}

static void bench_commit(int rounds) {
    static const char *const intervals[] = {"1h", "1s", "100ms"};
    struct input input;
    struct pair cost[3] = {0};
    open_input(&input, "readings");
    mr_bench_events(&input, 1000, EVENTS, 180000);
    mr_bench_close(&input);
    for (int i = 0; i < rounds; i++) {
        struct rate never = {0};
        for (int k = 0; k < 3; k++) {
            struct rate e = run_engine(&input, mr_bench_events_job, intervals[k]);
            never = k == 0 ? e : never;
            add_cost(&cost[k], e, never);
        }
    }
    printf("what transactions cost, events, against one at the end (min / median / max)\n");
    print("  every 1 s", &cost[1], "%");
    print("  every 100 ms", &cost[2], "%");
    mr_log_close(input.log);
}

static int64_t count_changelog(const struct mr_plan *plan, const struct input *input) {
    struct mr_error err;
    int64_t total = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        struct mr_partition source = {.partition = i};
        struct mr_reader *reader;
        struct mr_batch batch = {0};
        snprintf(source.topic, sizeof(source.topic), "%s", plan->changelog_topic);
        if (mr_reader_open(input->log, &source, -1, &reader, &err) != MR_OK) {
            mr_bench_die("changelog", &err);
        }
        while (!batch.end && mr_reader_read(reader, MR_SECOND, &batch, &err) == MR_OK) {
            total += (int64_t)batch.count;
        }
        mr_reader_close(reader);
    }
    return total;
}

static void bench_restore(int rounds) {
    struct mr_error err;
    struct input input;
    struct pair bare = {0}, engine = {0}, ratio = {0};
    uint64_t records;
    open_input(&input, "readings");
    mr_bench_events(&input, 1000000, 4000000, 50000);
    mr_bench_close(&input);
    struct mr_plan *plan = mr_bench_load(mr_bench_events_job, "1h");
    struct mr_worker *worker = start_worker(plan, &input);
    run_worker(worker, false, &records, 1);
    if (mr_worker_commit(worker, &err) != MR_OK) {
        mr_bench_die("committing", &err);
    }
    mr_worker_destroy(worker);
    int64_t cells = count_changelog(plan, &input);
    for (int i = 0; i < rounds; i++) {
        struct rate b = run_bare(plan->changelog_topic, (uint64_t)cells, NULL);
        worker = start_worker(plan, &input);
        struct rate e = run_worker(worker, true, &records, (double)cells);
        mr_worker_destroy(worker);
        add(&bare, b, 1e-6);
        add(&engine, e, 1e-6);
        add_ratio(&ratio, e, b);
    }
    printf("restore, %" PRId64 " changelog records, %d partitions (min / median / max)\n", cells,
           PARTITIONS);
    print("  bare consumer", &bare, "M records");
    print("  engine", &engine, "M records");
    print("  of bare", &ratio, "%");
    mr_plan_destroy(plan);
    mr_log_close(input.log);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(int rounds);
    } all[] = {{"events", bench_events},
               {"frames", bench_frames},
               {"commit", bench_commit},
               {"restore", bench_restore}};
    int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 5;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    brokers = argc > 1 ? argv[1] : "";
    for (size_t i = 0; argc > 2 && i < sizeof(all) / sizeof(*all); i++) {
        if (strcmp(argv[2], all[i].name) == 0) {
            all[i].run(rounds);
            return 0;
        }
    }
    fprintf(stderr, "usage: bench_kafka HOST:PORT events|frames|commit|restore [ROUNDS]\n");
    return 2;
}
