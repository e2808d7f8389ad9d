/* What the workers of a case's job have counted, as a row that an expectation can be compared with:
 *
 *   {"read":..., "samples.read":..., "gaps.FIELD":..., "TABLE.read":..., "revisions":...,
 *    "partly_late":...}
 *
 * of the first or only stage; of a second one its samples ("regrouped.read":...), as records belong
 * to the stage that reads them, and its revisions. */
#include "engine/cli/case.h"

#include <inttypes.h>

struct sum {
    struct mr_counters counters;
    bool balanced;
};

static void add_tally(struct sum *sum, struct mr_tally *into, const struct mr_tally *from) {
    into->read += from->read;
    into->used += from->used;
    into->filtered += from->filtered;
    into->late += from->late;
    into->duplicate += from->duplicate;
    into->dead += from->dead;
    sum->balanced = sum->balanced && from->read == from->used + from->filtered + from->late +
                                                       from->duplicate + from->dead;
}

static void add_table(struct mr_table_tally *into, const struct mr_table_tally *from) {
    into->read += from->read;
    into->bad += from->bad;
    into->tombstones += from->tombstones;
    into->late += from->late;
    into->dropped += from->dropped;
}

static void add_partition(void *arg, const struct mr_partition *source,
                          const struct mr_counters *counters) {
    struct sum *sum = arg;
    add_tally(sum, &sum->counters.records, &counters->records);
    add_tally(sum, &sum->counters.samples, &counters->samples);
    sum->counters.revisions += counters->revisions;
    sum->counters.held_late += counters->held_late;
    sum->counters.partly_late += counters->partly_late;
    for (size_t i = 0; i < MR_GAP_FIELDS; i++) {
        sum->counters.gaps[i] += counters->gaps[i];
    }
    for (size_t i = 0; i < MR_TABLES_MAX; i++) {
        add_table(&sum->counters.tables[i], &counters->tables[i]);
    }
}

static struct sum sum_up(const struct mr_worker *worker) {
    struct sum sum = {.balanced = true};
    if (worker) {
        mr_worker_visit(worker, add_partition, &sum);
    }
    return sum;
}

uint64_t mr_case_read(const struct mr_worker *worker) {
    struct sum sum = sum_up(worker);
    uint64_t read = sum.counters.records.read + sum.counters.samples.read;
    for (size_t i = 0; i < MR_TABLES_MAX; i++) {
        read += sum.counters.tables[i].read;
    }
    return read;
}

bool mr_case_balances(const struct mr_worker *worker) {
    return sum_up(worker).balanced;
}

static void put_tally(struct mr_buffer *out, const char *prefix, const struct mr_tally *tally) {
    const struct {
        const char *name;
        uint64_t count;
    } members[] = {
        {"read", tally->read}, {"used", tally->used},           {"filtered", tally->filtered},
        {"late", tally->late}, {"duplicate", tally->duplicate}, {"dead", tally->dead},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        mr_buffer_format(out, "\"%s%s\":%" PRIu64 ",", prefix, members[i].name, members[i].count);
    }
}

static void put_table(struct mr_buffer *out, const char *name, const struct mr_table_tally *tally) {
    mr_buffer_format(out,
                     "\"%s.read\":%" PRIu64 ",\"%s.bad\":%" PRIu64 ",\"%s.tombstones\":%" PRIu64
                     ",\"%s.late\":%" PRIu64 ",\"%s.dropped\":%" PRIu64 ",",
                     name, tally->read, name, tally->bad, name, tally->tombstones, name,
                     tally->late, name, tally->dropped);
}

void mr_case_counts(const struct mr_plan *plan, struct mr_worker *const *workers, size_t stages,
                    struct mr_buffer *out) {
    struct sum sum = sum_up(workers[0]), second = {0};
    const struct mr_input *input = &plan->input;
    mr_buffer_text(out, "{");
    put_tally(out, "", &sum.counters.records);
    put_tally(out, "samples.", &sum.counters.samples);
    for (size_t i = 0; i < input->field_count && i < MR_GAP_FIELDS; i++) {
        struct mr_slice name = mr_slice_of(input->fields[i].name);
        mr_buffer_text(out, "\"gaps.");
        mr_buffer_reserve(out, 6 * name.length + 2); /* escaped, between quotes that we drop */
        size_t length = mr_json_write_string(out->data + out->length, name);
        memmove(out->data + out->length, out->data + out->length + 1, length - 1);
        out->length += length - 1;
        mr_buffer_format(out, ":%" PRIu64 ",", sum.counters.gaps[i]);
    }
    for (size_t i = 0; i < plan->table_count; i++) {
        put_table(out, plan->tables[i].join.name, &sum.counters.tables[i]);
    }
    if (stages == 2) {
        second = sum_up(workers[1]);
        put_tally(out, "regrouped.", &second.counters.samples);
    }
    mr_buffer_format(
        out, "\"held_late\":%" PRIu64 ",\"revisions\":%" PRIu64 ",\"partly_late\":%" PRIu64 "}",
        sum.counters.held_late + second.counters.held_late,
        sum.counters.revisions + second.counters.revisions,
        sum.counters.partly_late + second.counters.partly_late);
}
