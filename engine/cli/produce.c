/* millrace produce: lines of JSON, or simulated instruments, into a topic. */
#include "engine/cli/connect.h"
#include "engine/edge/edge.h"

#include <unistd.h>

struct flags {
    const char *log, *kafka, *key, *rate, *start, *metadata;
    double partitions, devices, first_device, seed;
    int64_t retention_ns, span_ns;
    int simulate, speed;
};
enum { SIMULATE_NONE, SIMULATE_JOULESCOPE };
enum { SPEED_1X, SPEED_MAX };

#define AT(member) offsetof(struct flags, member)
static const struct mr_option flag_rows[] = {
    {"log", MR_OPTION_TEXT, NULL, NULL,
     "Where the topic is, such as local:./data or kafka://HOST:PORT", AT(log), 0, 0},
    MR_KAFKA_FLAG(struct flags),
    {"key", MR_OPTION_TEXT, NULL, "", "The field whose value becomes the record's key", AT(key), 0,
     0},
    {"partitions", MR_OPTION_NUMBER, NULL, "0",
     "Partitions of a topic that is made now; else 1, or as it has them", AT(partitions), 0,
     MR_PARTITIONS_MAX},
    {"retention", MR_OPTION_DURATION, NULL, "0s",
     "How long a topic that is made now keeps its records; else for good", AT(retention_ns), 0, 0},
    {"simulate", MR_OPTION_CHOICE, "none|joulescope", "none",
     "Write waveform frames of simulated instruments", AT(simulate), 0, 0},
    {"metadata", MR_OPTION_TEXT, NULL, "",
     "Another topic, for which algorithm each instrument runs from when on", AT(metadata), 0, 0},
    {"devices", MR_OPTION_NUMBER, NULL, "1", "How many instruments", AT(devices), 1, 10000},
    {"first-device", MR_OPTION_NUMBER, NULL, "1", "The number of the first: 5 is js220-05",
     AT(first_device), 1, 1000000},
    {"rate", MR_OPTION_TEXT, NULL, "1kHz", "Samples per second, such as 2MHz", AT(rate), 0, 0},
    {"for", MR_OPTION_DURATION, NULL, "60s", "How much event time", AT(span_ns), 0, 0},
    {"speed", MR_OPTION_CHOICE, "1x|max", "max", "With the clock, or as fast as it goes", AT(speed),
     0, 0},
    {"seed", MR_OPTION_NUMBER, NULL, "1", "Of the noise", AT(seed), 0, 9007199254740992.0},
    {"start", MR_OPTION_TEXT, NULL, "",
     "Event time of the first sample, such as 2026-11-21T03:10:00Z", AT(start), 0, 0},
    {0},
};

static bool whole(double x) {
    return x == (double)(int64_t)x;
}

static bool parse_rate(const char *text, double *hz) {
    struct mr_slice slice = mr_slice_of(text);
    return (mr_parse_rate(slice, hz) || mr_parse_number(slice, hz)) && *hz > 0 && *hz <= 1e9;
}

static void tell(const char *verb, uint64_t n, const char *noun, const char *rest) {
    char count[MR_TEXT_MAX];
    mr_note("%s%s %s%s%s", verb, mr_format_count(n, count), noun, n == 1 ? "" : "s", rest);
}

/* Prints what was written and turns the outcome into an exit code. */
static int report(const struct mr_target *target, const struct mr_written *written,
                  enum mr_status status, const struct mr_error *err, double seconds) {
    char rest[MR_TOPIC_NAME_MAX + 64];
    if (written->blank > 0) {
        tell("left out ", written->blank, "blank line", "");
    }
    if (written->partitions > 0) {
        snprintf(rest, sizeof rest, " to %s (%u partition%s) in %.1f s", target->topic,
                 written->partitions, written->partitions == 1 ? "" : "s", seconds);
        tell("wrote ", written->records, "record", rest);
    }
    if (written->told > 0) {
        tell("told ", written->told, "change", " of algorithm in the topic of --metadata");
    }
    if (written->refused > 0) {
        tell("refused ", written->refused, "line", "");
    }
    if (status != MR_OK) {
        mr_note("%s", err->text);
    }
    return status == MR_OK && written->refused == 0 ? MR_EXIT_OK : MR_EXIT_FAILED;
}

static int check(const struct flags *flags, int argc, char **argv) {
    const struct mr_command *command = &mr_produce_command;
    if (argc == 0) {
        return mr_usage_error(command, "which topic?");
    }
    if (!whole(flags->partitions) || !whole(flags->devices) || !whole(flags->first_device) ||
        !whole(flags->seed)) {
        return mr_usage_error(command,
                              "--partitions, --devices, --first-device and --seed are whole");
    }
    if (flags->simulate == SIMULATE_JOULESCOPE && (argc > 1 || flags->key[0])) {
        return mr_usage_error(command, "--simulate reads no files, and its key is the device");
    }
    if (flags->simulate != SIMULATE_JOULESCOPE && flags->metadata[0]) {
        return mr_usage_error(command, "--metadata goes with --simulate");
    }
    if (strcmp(flags->metadata, argv[0]) == 0) {
        return mr_usage_error(command, "--metadata is a topic of its own");
    }
    return MR_EXIT_OK;
}

static int produce(const void *flags_, int argc, char **argv) {
    const struct flags *flags = flags_;
    struct mr_simulation simulation = {
        .devices = (uint32_t)flags->devices,
        .first_device = (uint32_t)flags->first_device,
        .span_ns = flags->span_ns,
        .start_ns = MR_NEVER,
        .real_time = flags->speed == SPEED_1X,
        .seed = (uint64_t)flags->seed,
        .metadata = flags->metadata[0] ? flags->metadata : NULL,
    };
    int code = check(flags, argc, argv);
    if (code != MR_EXIT_OK) {
        return code;
    }
    if (!parse_rate(flags->rate, &simulation.rate_hz)) {
        return mr_usage_error(&mr_produce_command, "--rate %s: expected a rate, such as 2MHz",
                              flags->rate);
    }
    if (flags->start[0] && !mr_parse_time(mr_slice_of(flags->start), &simulation.start_ns)) {
        return mr_usage_error(&mr_produce_command,
                              "--start %s: expected a time with a zone, such as "
                              "2026-11-21T03:10:00Z",
                              flags->start);
    }
    struct mr_target target = {
        .topic = argv[0],
        .partitions = (uint32_t)flags->partitions,
        .retention_ns = flags->retention_ns > 0 ? flags->retention_ns : -1,
        .progress = isatty(STDERR_FILENO),
        .stop = mr_catch_signals(),
    };
    struct mr_lines lines = {
        .key = flags->key[0] ? flags->key : NULL,
        .files = (const char *const *)argv + 1,
        .file_count = (size_t)argc - 1,
    };
    struct mr_error err = {{0}};
    struct mr_log *log;
    code = mr_connect(&(struct mr_connect){.url = flags->log,
                                           .file = flags->kafka,
                                           .make = true,
                                           .late = "the broker did not answer in time; the last "
                                                   "records may or may not be written"},
                      &log, &err);
    if (code != MR_EXIT_OK) {
        mr_note("%s", err.text);
        return code;
    }
    struct mr_written written;
    int64_t begin_ns = mr_real_clock.steady_ns(&mr_real_clock);
    enum mr_status status = flags->simulate == SIMULATE_JOULESCOPE
                                ? mr_simulate(log, &target, &simulation, &written, &err)
                                : mr_produce_lines(log, &target, &lines, &written, &err);
    double seconds = (double)(mr_real_clock.steady_ns(&mr_real_clock) - begin_ns) / 1e9;
    mr_log_close(log);
    return report(&target, &written, status, &err, seconds);
}

const struct mr_command mr_produce_command = {
    .name = "produce",
    .arguments = "TOPIC [FILE...]",
    .summary = "Write records to a topic: lines of JSON, or simulated waveforms",
    .flags = flag_rows,
    .flags_size = sizeof(struct flags),
    .run = produce,
    .details =
        "Each line of the files, or of standard input, is one record; their order is kept. With\n"
        "--key a line in which the field is missing is refused and told, and the exit code is 1.\n"
        "\n"
        "Simulated instruments run two algorithms in turn, every 30 s: A, short high bursts, and\n"
        "B, a long low plateau; --metadata TOPIC tells which, for jobs that join it. Their event\n"
        "time ends at now, or with --speed 1x goes with the clock; with --start it begins there,\n"
        "and the same seed gives the same bytes.\n"
        "\n"
        "  millrace produce readings readings.jsonl --key sensor --log local:./data\n"
        "  millrace produce waveforms --simulate joulescope --devices 4 --rate 2MHz --for 2s \\\n"
        "      --metadata algorithm-metadata --log local:./data",
};
