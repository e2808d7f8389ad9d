/* millrace topics: what a log holds, and with --check whether all of it can still be read. */
#include "engine/cli/connect.h"

#include <stdlib.h>

struct flags {
    const char *log, *kafka;
    bool check;
};

static const struct mr_option flag_rows[] = {
    {"log", MR_OPTION_TEXT, NULL, NULL, "Which log, such as local:./data or kafka://HOST:PORT",
     offsetof(struct flags, log), 0, 0},
    MR_KAFKA_FLAG(struct flags),
    {"check", MR_OPTION_BOOL, NULL, "false", "Read everything and compare the checksums",
     offsetof(struct flags, check), 0, 0},
    {0},
};

struct extent {
    uint64_t records;
    int64_t first, end; /* the lowest and the highest of its partitions */
};

static enum mr_status measure(struct mr_log *log, const struct mr_topic *topic,
                              struct extent *extent, struct mr_error *err) {
    *extent = (struct extent){0, INT64_MAX, 0};
    for (uint32_t i = 0; i < topic->partitions; i++) {
        struct mr_partition source = {.partition = i};
        int64_t first, end;
        memcpy(source.topic, topic->name, sizeof source.topic);
        enum mr_status status = mr_log_bounds(log, &source, &first, &end, err);
        if (status != MR_OK) {
            return status;
        }
        extent->records += (uint64_t)(end - first);
        extent->first = first < extent->first ? first : extent->first;
        extent->end = end > extent->end ? end : extent->end;
    }
    return MR_OK;
}

static enum mr_status list_topic(struct mr_log *log, const struct mr_topic *topic, int width,
                                 struct mr_error *err) {
    struct extent extent;
    enum mr_status status = measure(log, topic, &extent, err);
    if (status != MR_OK) {
        return status;
    }
    char count[MR_TEXT_MAX], range[64], keeps[MR_TEXT_MAX] = "for good";
    mr_format_count(extent.records, count);
    snprintf(range, sizeof range, "%lld..%lld", (long long)extent.first, (long long)extent.end);
    if (topic->retention_ns >= 0) {
        mr_format_duration(topic->retention_ns, keeps);
    }
    bool changelog = topic->kind == MR_KEEP_LAST_OF_KEY;
    printf("%-*s %10u %15s %17s  %-9s  %-8s  %s\n", width, topic->name, topic->partitions, count,
           range, changelog ? "changelog" : "records", changelog ? "last" : keeps,
           topic->job[0] ? topic->job : "-");
    return MR_OK;
}

static enum mr_status list_all(struct mr_log *log, const struct mr_topic *topics, size_t count,
                               struct mr_error *err) {
    size_t width = 5;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(topics[i].name);
        width = length > width ? length : width;
    }
    printf("%-*s %10s %15s %17s  %-9s  %-8s  %s\n", (int)width, "topic", "partitions", "records",
           "offsets", "kind", "keeps", "job");
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < count && status == MR_OK; i++) {
        status = list_topic(log, &topics[i], (int)width, err);
    }
    return status;
}

/* One line a topic; the first fault does not keep the other topics from being checked. */
static enum mr_status check_all(struct mr_log *log, const struct mr_topic *topics, size_t count) {
    enum mr_status worst = MR_OK;
    for (size_t i = 0; i < count; i++) {
        struct mr_check_report report = {0};
        struct mr_error err = {{0}};
        char records[MR_TEXT_MAX];
        if (mr_log_check(log, topics[i].name, &report, &err) != MR_OK) {
            printf("%s: cannot be checked: %s\n", topics[i].name, err.text);
            worst = MR_FAIL;
        } else if (report.bad_records > 0 || report.first.text[0]) {
            printf("%s: %llu of %s records are bad: %s\n", topics[i].name,
                   (unsigned long long)report.bad_records, mr_format_count(report.records, records),
                   report.first.text);
            worst = MR_FAIL;
        } else {
            printf("%s: %s records are good\n", topics[i].name,
                   mr_format_count(report.records, records));
        }
        fflush(stdout);
    }
    return worst;
}

static int topics(const void *flags_, int argc, char **argv) {
    const struct flags *flags = flags_;
    if (argc != 0) {
        return mr_usage_error(&mr_topics_command, "unexpected argument %s", argv[0]);
    }
    struct mr_error err = {{0}};
    struct mr_log *log;
    struct mr_topic *list = NULL;
    size_t count = 0;
    enum mr_status status = MR_FAIL;
    int code = mr_connect(&(struct mr_connect){.url = flags->log,
                                               .file = flags->kafka,
                                               .late = "the broker did not answer in time"},
                          &log, &err);
    if (code == MR_EXIT_OK) {
        status = mr_log_list(log, &list, &count, &err);
    }
    if (status == MR_OK) {
        status = flags->check ? check_all(log, list, count) : list_all(log, list, count, &err);
    }
    code = code == MR_EXIT_OK && status != MR_OK ? MR_EXIT_FAILED : code;
    free(list);
    mr_log_close(log);
    if (err.text[0]) {
        mr_note("%s", err.text);
    }
    return code;
}

const struct mr_command mr_topics_command = {
    .name = "topics",
    .arguments = "",
    .summary = "List the topics of a log, or check every record",
    .flags = flag_rows,
    .flags_size = sizeof(struct flags),
    .run = topics,
    .details =
        "Offsets are those of all partitions: the first that is still there and the next to be\n"
        "given. On Kafka records are counted by offsets, in which the ends of transactions and\n"
        "what compaction took count too: there are at most so many, and nobody is named as a\n"
        "topic's job. --check reads everything; exit code 1 when a record is bad.",
};
