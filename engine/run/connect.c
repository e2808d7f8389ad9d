/* `validate --connect`: whether a job could run on this log, before it does. Looks and changes
 * nothing: topics that are not there yet are only told.
 *
 *   log       answers
 *   input     there, its records can be read; how it stamps them; whose clock is wrong
 *   tables    there, with partitions that fit; whether entries could go unread
 *   outputs   there and as needed, or still to be made; whether they keep what a backfill writes
 *   rights    of the job's group and transactions
 *
 * One sentence a finding, with the remedy where something is wrong. */
#include "engine/run/task.h"

#include <inttypes.h>
#include <stdlib.h>

#define LOOK_BACK  64              /* the newest record is among so many last offsets, or unknown */
#define PATIENCE   (5 * MR_SECOND) /* for the newest record of a partition                        */
#define CLOCK_GAP  (2 * MR_SECOND) /* between two clocks that are set by the network */
#define FEW_PLACES 16              /* partitions whose newest record is looked at                 */

struct inspection {
    const struct mr_plan *plan;
    struct mr_log *log;
    struct mr_topic input;
    void (*tell)(void *arg, enum mr_finding finding, const char *sentence);
    void *arg;
    bool fault;
};

static void tell(struct inspection *it, enum mr_finding finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void tell(struct inspection *it, enum mr_finding finding, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    it->fault = it->fault || finding == MR_FINDING_FAULT;
    it->tell(it->arg, finding, text);
}

static const char *plural(uint64_t n) {
    return n == 1 ? "" : "s";
}

static const char *keeps(const struct mr_topic *topic, char text[MR_TEXT_MAX]) {
    if (topic->retention_ns < 0) {
        return "for good";
    }
    return mr_format_duration(topic->retention_ns, text);
}

/* ---- The input ------------------------------------------------------------------------------ */

struct newest {
    uint64_t records; /* of all partitions */
    int64_t stamp_ns; /* the highest append time among the newest records; -1: there is none */
    bool append_stamped;
};

static enum mr_status look_at_newest(struct inspection *it, const struct mr_partition *source,
                                     int64_t from, struct newest *newest, struct mr_error *err) {
    struct mr_reader *reader;
    struct mr_batch batch = {0};
    const struct mr_clock *clock = it->log->clock;
    int64_t deadline_ns = clock->steady_ns(clock) + PATIENCE;
    enum mr_status status = mr_reader_open(it->log, source, from, &reader, err);
    while (status == MR_OK && !batch.end && clock->steady_ns(clock) < deadline_ns) {
        status = mr_reader_read(reader, MR_SECOND, &batch, err);
        if (status == MR_OK && batch.count > 0) {
            const struct mr_message *last = &batch.messages[batch.count - 1];
            newest->append_stamped = batch.append_stamped;
            newest->stamp_ns =
                last->append_ns > newest->stamp_ns ? last->append_ns : newest->stamp_ns;
        }
    }
    mr_reader_close(reader);
    return status;
}

static enum mr_status look_at_partitions(struct inspection *it, struct newest *newest,
                                         struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (uint32_t i = 0; i < it->input.partitions && status == MR_OK; i++) {
        struct mr_partition source = {.partition = i};
        int64_t first, end;
        memcpy(source.topic, it->input.name, sizeof source.topic);
        status = mr_log_bounds(it->log, &source, &first, &end, err);
        if (status == MR_OK && end > first) {
            newest->records += (uint64_t)(end - first);
        }
        if (status == MR_OK && end > first && i < FEW_PLACES) {
            int64_t from = end - LOOK_BACK > first ? end - LOOK_BACK : first;
            status = look_at_newest(it, &source, from, newest, err);
        }
    }
    return status;
}

static void judge_clocks(struct inspection *it, const struct newest *newest) {
    char gap[MR_TEXT_MAX], allowed[MR_TEXT_MAX];
    int64_t ahead_ns = newest->stamp_ns - it->log->clock->wall_ns(it->log->clock);
    int64_t max_ns = newest->append_stamped ? CLOCK_GAP : it->plan->lateness.max_ahead_ns;
    if (newest->stamp_ns >= 0 && ahead_ns > max_ns) {
        mr_format_duration(ahead_ns - ahead_ns % (MR_SECOND / 1000), gap);
        tell(it, MR_FINDING_WARNING,
             newest->append_stamped
                 ? "time: the log stamped its newest record %s ahead of this machine's clock. One "
                   "of the two clocks is wrong: let both be set by the network (NTP)"
                 : "time: the newest record is stamped %s ahead of this machine's clock: its "
                   "producer's clock is ahead, or this one is behind. Let both be set by the "
                   "network (NTP)",
             gap);
    } else if (newest->stamp_ns >= 0) {
        tell(it, MR_FINDING_OK, "time: this machine's clock agrees with the newest record");
    }
    if (newest->stamp_ns >= 0 && !newest->append_stamped) {
        tell(it, MR_FINDING_WARNING,
             "time: the log stamps \"%s\" with the producers' clocks, not its own, and "
             "`max_ahead` (%s) is measured from that: a producer whose clock is ahead passes it. "
             "message.timestamp.type=LogAppendTime on the topic mends it",
             it->input.name, mr_format_duration(it->plan->lateness.max_ahead_ns, allowed));
    }
}

/* False: nothing more can be found out. */
static bool inspect_input(struct inspection *it) {
    struct mr_error err = {""};
    struct newest newest = {.stamp_ns = -1};
    char kept[MR_TEXT_MAX], count[MR_TEXT_MAX];
    enum mr_status status = mr_log_describe(it->log, it->plan->topic, &it->input, &err);
    if (status != MR_OK) {
        tell(it, MR_FINDING_FAULT, "input: %s", err.text);
        return false;
    }
    tell(it, MR_FINDING_OK, "log: %s answers", it->log->url);
    if (it->input.kind != MR_KEEP_RECORDS) {
        tell(it, MR_FINDING_FAULT,
             "input: \"%s\" keeps the last record of each key only (it is compacted): records "
             "could vanish before they are read. A job reads topics that keep every record",
             it->input.name);
    }
    if (mr_plan_admits(it->plan, it->input.partitions, &err) != MR_OK) {
        tell(it, MR_FINDING_FAULT, "input: %s", err.text);
    }
    if (look_at_partitions(it, &newest, &err) != MR_OK) {
        tell(it, MR_FINDING_FAULT, "input: \"%s\" cannot be read: %s", it->input.name, err.text);
        return true;
    }
    tell(it, MR_FINDING_OK,
         "input: \"%s\" has %" PRIu32 " partition%s, at most %s record%s, kept %s", it->input.name,
         it->input.partitions, plural(it->input.partitions), mr_format_count(newest.records, count),
         plural(newest.records), keeps(&it->input, kept));
    judge_clocks(it, &newest);
    return true;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

/* Whether an entry could be gone before the job has read it. */
static void judge_table(struct inspection *it, const struct mr_table *table,
                        const struct mr_topic *topic) {
    char kept[MR_TEXT_MAX];
    if (topic->retention_ns >= 0 || topic->retention_bytes >= 0) {
        tell(
            it, MR_FINDING_WARNING,
            "table %s: \"%s\" deletes its entries by %s (%s), also the newest of a key: a job that "
            "starts later does not know them. cleanup.policy=compact keeps the newest of each key",
            table->join.name, topic->name, topic->retention_ns >= 0 ? "time" : "size",
            topic->retention_ns >= 0 ? keeps(topic, kept)
                                     : mr_format_size(topic->retention_bytes, kept));
    }
    if (topic->kind == MR_KEEP_LAST_OF_KEY && topic->lag_ns <= 0) {
        tell(it, MR_FINDING_WARNING,
             "table %s: \"%s\" may be compacted at any time: while the job is stopped, an entry "
             "with a newer one behind it can go unread, and what it said of its time with it. "
             "min.compaction.lag.ms on the topic says how long every entry stays",
             table->join.name, topic->name);
    }
}

static void inspect_table(struct inspection *it, const struct mr_table *table) {
    struct mr_topic topic;
    struct mr_error err = {""};
    const char *name = table->join.name;
    enum mr_status status = mr_log_describe(it->log, table->join.topic, &topic, &err);
    if (status == MR_REJECT) {
        tell(it, MR_FINDING_FAULT,
             "table %s: %s. Make it before the job runs, with %" PRIu32
             " partition%s as the input, or one",
             name, err.text, it->input.partitions, plural(it->input.partitions));
    } else if (status != MR_OK) {
        tell(it, MR_FINDING_FAULT, "table %s: %s", name, err.text);
    } else if (mr_table_admits(it->plan, table, it->input.partitions, topic.partitions, &err) !=
               MR_OK) {
        tell(it, MR_FINDING_FAULT, "%s", err.text);
    } else {
        tell(it, MR_FINDING_OK, "table %s: \"%s\" has %" PRIu32 " partition%s", name, topic.name,
             topic.partitions, plural(topic.partitions));
        judge_table(it, table, &topic);
    }
}

/* ---- What the job writes -------------------------------------------------------------------- */

struct wanted {
    const char *name, *role; /* "output" */
    const char *owner;       /* of the stages, the one that writes it */
    enum mr_retention_kind kind;
    int64_t retention_ns;
};

static void judge_retention(struct inspection *it, const struct wanted *wanted,
                            const struct mr_topic *topic) {
    char kept[MR_TEXT_MAX];
    bool shorter = topic->retention_ns >= 0 &&
                   (wanted->retention_ns < 0 || topic->retention_ns < wanted->retention_ns);
    if (wanted->kind == MR_KEEP_RECORDS && shorter) {
        tell(it, MR_FINDING_WARNING,
             "%s: \"%s\" keeps its records for %s only. Rows of older times, as a backfill writes "
             "them, go soon after they come: raise the topic's retention (retention.ms), or say "
             "`retention` in the job if that is meant",
             wanted->role, wanted->name, keeps(topic, kept));
    }
}

static void inspect_wanted(struct inspection *it, const struct wanted *wanted) {
    struct mr_topic topic;
    struct mr_error err = {""};
    enum mr_status status = mr_log_describe(it->log, wanted->name, &topic, &err);
    if (status == MR_REJECT) {
        tell(it, MR_FINDING_OK,
             "%s: \"%s\" is not there; the first run makes it, %" PRIu32 " partition%s",
             wanted->role, wanted->name, it->input.partitions, plural(it->input.partitions));
    } else if (status != MR_OK) {
        tell(it, MR_FINDING_FAULT, "%s: %s", wanted->role, err.text);
    } else if (topic.partitions != it->input.partitions) {
        tell(it, MR_FINDING_FAULT,
             "%s: \"%s\" has %" PRIu32 " partition%s, but the input has %" PRIu32
             ". They must agree: give the job another name and other outputs",
             wanted->role, wanted->name, topic.partitions, plural(topic.partitions),
             it->input.partitions);
    } else if (topic.kind != wanted->kind) {
        tell(it, MR_FINDING_FAULT, "%s: \"%s\" %s", wanted->role, wanted->name,
             wanted->kind == MR_KEEP_RECORDS
                 ? "is compacted: only the last row of each key would stay. Give the topic "
                   "cleanup.policy=delete, or the job another output"
                 : "is not compacted, so it is no changelog: give it cleanup.policy=compact, or "
                   "delete it, and the first run makes it anew");
    } else if (topic.job[0] && strcmp(topic.job, wanted->owner) != 0) {
        tell(it, MR_FINDING_FAULT, "%s: \"%s\" belongs to job %s", wanted->role, wanted->name,
             topic.job);
    } else {
        tell(it, MR_FINDING_OK, "%s: \"%s\" is there, %" PRIu32 " partition%s", wanted->role,
             wanted->name, topic.partitions, plural(topic.partitions));
        judge_retention(it, wanted, &topic);
    }
}

static void inspect_outputs(struct inspection *it, const struct mr_plan *first,
                            const struct mr_plan *last) {
    for (size_t i = 0; i < last->output_count; i++) {
        inspect_wanted(it, &(struct wanted){last->outputs[i].topic, "output", last->member,
                                            MR_KEEP_RECORDS, last->outputs[i].retention_ns});
    }
    inspect_wanted(it, &(struct wanted){first->dead_letter_topic, "dead letters", first->member,
                                        MR_KEEP_RECORDS, -1});
    if (first != last) {
        inspect_wanted(it, &(struct wanted){first->repartition_topic, "between the stages",
                                            first->member, MR_KEEP_RECORDS, -1});
        inspect_wanted(it, &(struct wanted){first->changelog_topic, "changelog of the first stage",
                                            first->member, MR_KEEP_LAST_OF_KEY, -1});
    }
    inspect_wanted(it, &(struct wanted){last->changelog_topic, "changelog", last->member,
                                        MR_KEEP_LAST_OF_KEY, -1});
    for (size_t i = 0; i < first->table_count; i++) {
        inspect_wanted(it,
                       &(struct wanted){first->tables[i].changelog_topic, "changelog of a table",
                                        first->member, MR_KEEP_LAST_OF_KEY, -1});
    }
}

static void inspect_rights(struct inspection *it, const char *member) {
    struct mr_error err = {""};
    if (mr_log_permits(it->log, member, &err) != MR_OK) {
        tell(it, MR_FINDING_FAULT, "rights: %s", err.text);
    } else {
        tell(it, MR_FINDING_OK, "rights: job %s may run here", member);
    }
}

/* What the second stage has read is to go. */
static void inspect_trim(struct inspection *it, const char *topic) {
    struct mr_partition source = {.partition = 0};
    struct mr_topic described;
    struct mr_error err = {""};
    snprintf(source.topic, sizeof source.topic, "%s", topic);
    if (mr_log_describe(it->log, topic, &described, NULL) == MR_OK &&
        mr_log_trim(it->log, &source, 0, &err) != MR_OK) {
        tell(it, MR_FINDING_WARNING, "between the stages: \"%s\" will grow: %s", topic, err.text);
    }
}

/* Each stage is a job of its own for the log. */
static void inspect_stages(struct inspection *it) {
    const struct mr_plan *stages[2];
    size_t count = mr_plan_stages(it->plan, it->input.partitions, stages);
    if (count == 2) {
        tell(
            it, MR_FINDING_OK,
            "stages: two, as `group_by` does not have the partition key of \"%s\": %s reads it, %s "
            "makes the rows",
            it->input.name, stages[0]->member, stages[1]->member);
    }
    inspect_outputs(it, stages[0], stages[count - 1]);
    if (count == 2) {
        inspect_trim(it, stages[0]->repartition_topic);
    }
    for (size_t i = 0; i < count; i++) {
        inspect_rights(it, stages[i]->member);
    }
}

enum mr_status
mr_run_inspect(const struct mr_plan *plan, struct mr_log *log,
               void (*tell_)(void *arg, enum mr_finding finding, const char *sentence), void *arg) {
    struct inspection it = {.plan = plan, .log = log, .tell = tell_, .arg = arg};
    if (inspect_input(&it)) {
        for (size_t i = 0; i < plan->table_count; i++) {
            inspect_table(&it, &plan->tables[i]);
        }
        inspect_stages(&it);
    }
    return it.fault ? MR_REJECT : MR_OK;
}
