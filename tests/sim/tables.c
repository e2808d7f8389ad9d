/* Tables that the job joins: drawn, sent, and looked up as time.md says. Every entry of a topic is
 * kept here with the offset that it got, so the oracle knows all of them also when the topic has
 * lost some.
 *
 *   the newest entry with valid_from <= time; of equal ones the one with the higher offset; a
 *   tombstone is one that says "nothing", valid from its append time; further back than R - history
 *   there is what held there
 *
 * An entry comes in time when it is valid from later than all that was sent: no record that it
 * applies to can have been processed. Some jobs have others, which the engine must count. */
#include "tests/sim/sim.h"

#include "engine/run/table.h"
#include <stdlib.h>

const char *sim_table_name(uint32_t table) {
    static const char *const names[SIM_TABLES] = {"algo", "site"};
    return names[table];
}

/* ---- Drawn ---------------------------------------------------------------------------------- */

static bool reruns(const struct sim_job *job) {
    return job->epochs[job->epoch_count - 1].reset;
}

static void draw_table(struct sim *sim, struct sim_table *table) {
    struct sim_random *random = &sim->more;
    const struct sim_job *job = &sim->job;
    int64_t longest_ns = 0;
    for (size_t i = 0; i < job->epoch_count; i++) {
        const struct sim_epoch *epoch = &job->epochs[i];
        int64_t ns = epoch->grace_ns + epoch->retain_ns;
        longest_ns = ns > longest_ns ? ns : longest_ns;
    }
    table->partitions = sim_chance(random, 50) ? 1 : job->partitions;
    table->by_other = table->partitions == 1 && sim_chance(random, 30);
    table->in_ms = sim_chance(random, 50);
    table->kind = sim_chance(random, 80);
    table->scale = table == job->tables && sim_chance(random, 40);
    table->limit = table == job->tables && sim_chance(random, 30);
    table->kind |= !table->scale && !table->limit;
    table->late = (int)SIM_PICK(random, 0, 0, 5, 30);
    table->missing =
        (enum sim_missing)SIM_PICK(random, SIM_PASS, SIM_PASS, SIM_DROP, SIM_DEAD_LETTER);
    /* what it forgets must be out of reach, of a rerun too, or runs that know more would differ */
    table->history_ns = longest_ns + job->window_ns + SIM_SAMPLES * job->period_ns +
                        (reruns(job) ? 36000 : SIM_PICK(random, 1, 30, 3600)) * MR_SECOND;
}

void sim_draw_tables(struct sim *sim) {
    struct sim_job *job = &sim->job;
    job->table_count = (uint32_t)SIM_PICK(&sim->more, 1, 1, 2);
    if (sim_chance(&sim->more, 40)) {
        struct sim_epoch *rerun = &job->epochs[job->epoch_count];
        *rerun = job->epochs[job->epoch_count - 1];
        rerun->reset = true;
        job->epoch_count++;
    }
    for (uint32_t i = 0; i < job->table_count; i++) {
        draw_table(sim, &job->tables[i]);
    }
}

void sim_put_join(struct mr_buffer *out, const struct sim_job *job) {
    static const char *const missing[] = {"pass", "drop", "dead_letter"};
    bool frames = job->format == SIM_FRAMES;
    const char *device = frames ? "device" : job->record_key ? "key" : "g";
    mr_buffer_text(out, job->table_count > 0 ? "join:\n" : "");
    for (uint32_t i = 0; i < job->table_count; i++) {
        const struct sim_table *table = &job->tables[i];
        mr_buffer_format(
            out, "  %s: {topic: table-%u, key: %s, as_of: %s, missing: %s", sim_table_name(i), i,
            !table->by_other ? device
            : frames         ? "stream"
                             : "h",
            table->in_ms ? "{field: valid_from, unit: ms}" : "valid_from", missing[table->missing]);
        mr_buffer_format(out, ", history: %lldms, ", (long long)(table->history_ns / 1000000));
        mr_buffer_text(out, "fields: {kind: text, scale: number, limit: number}}\n");
    }
}

/* ---- An entry ------------------------------------------------------------------------------- */

static int64_t draw_valid_from(struct sim *sim, const struct sim_table *table) {
    struct sim_random *random = &sim->more;
    int64_t window = sim->job.window_ns, newest = sim->newest_ns, now = sim->clock.virtual_ns;
    if (newest == 0) { /* nothing was sent */
        return now - sim_below(random, 200) * window;
    }
    if (sim_chance(random, table->late)) {
        return sim_chance(random, 30)
                   ? newest
                   : newest - sim_below(random, 2 * window / SIM_QUANTUM) * SIM_QUANTUM;
    }
    if (sim->entry_count > 0 && sim_chance(random, 20)) { /* equal times */
        const struct sim_entry *other = &sim->entries[sim_below(random, (int64_t)sim->entry_count)];
        if (other->valid_ns > newest) {
            return other->valid_ns;
        }
    }
    return newest + (1 + sim_below(random, sim_chance(random, 70) ? 4 : 2 * window / SIM_QUANTUM)) *
                        SIM_QUANTUM;
}

static void put_time(struct mr_buffer *out, const struct sim_table *table, int64_t ns) {
    char text[MR_TEXT_MAX];
    if (table->in_ms) {
        mr_buffer_format(out, "{\"valid_from\":%lld", (long long)(ns / 1000000));
    } else {
        mr_buffer_format(out, "{\"valid_from\":\"%s\"", mr_format_time(ns, text));
    }
}

static void put_entry(struct mr_buffer *out, const struct sim_table *table,
                      const struct sim_entry *entry) {
    put_time(out, table, entry->valid_ns);
    if (entry->kind >= 0) {
        mr_buffer_format(out, ",\"kind\":\"k%d\"", entry->kind);
    }
    if (entry->has_scale) {
        mr_buffer_format(out, ",\"scale\":%g", entry->scale);
    }
    if (entry->has_limit) {
        mr_buffer_format(out, ",\"limit\":%g", entry->limit);
    }
    mr_buffer_text(out, ",\"note\":\"x\"}");
}

static void spoil(struct sim *sim, struct sim_entry *entry) {
    struct mr_buffer *value = &entry->value;
    entry->bad = true;
    switch (sim_below(&sim->more, 3)) {
    case 0:
        entry->key = (struct mr_slice){0};
        break;
    case 1:
        value->length = 0;
        mr_buffer_text(value, "{\"kind\":\"k1\",\"scale\":1}");
        break;
    default:
        value->length -= 1 + (size_t)sim_below(&sim->more, (int64_t)value->length - 1);
        break;
    }
}

static struct mr_slice draw_key(struct sim *sim, const struct sim_table *table) {
    static const char *const devices[] = {"dev-0", "dev-1", "dev-2", "dev-3", "dev-4", "dev-9"};
    static const char *const others[] = {"h0", "h1"}, *const streams[] = {"0", "1"};
    if (table->by_other) {
        int64_t i = sim_below(&sim->more, 2);
        return mr_slice_of(sim->job.format == SIM_FRAMES ? streams[i] : others[i]);
    }
    return mr_slice_of(
        devices[sim_chance(&sim->more, 3) ? 5 : sim_below(&sim->more, sim->job.devices)]);
}

size_t sim_draw_entry(struct sim *sim) {
    struct sim_random *random = &sim->more;
    size_t number = sim->entry_count;
    struct sim_entry *entry = &sim->entries[number];
    entry->table = (uint32_t)sim_below(random, sim->job.table_count);
    const struct sim_table *table = &sim->job.tables[entry->table];
    entry->key = draw_key(sim, table);
    entry->partition = mr_partition_of(entry->key, table->partitions, NULL);
    entry->valid_ns = draw_valid_from(sim, table);
    entry->kind = sim_chance(random, 5) ? -1 : (int)sim_below(random, 3);
    entry->has_scale = sim_chance(random, 90);
    entry->has_limit = sim_chance(random, 90);
    entry->scale = (double)SIM_PICK(random, -1, 1, 2, 3) / 2;
    entry->limit = (double)SIM_PICK(random, -40, -20, 0, 20) / 2;
    bool in_time = sim->newest_ns < sim->clock.virtual_ns;
    entry->tombstone = sim_chance(random, 12) && (in_time || sim_chance(random, table->late));
    put_entry(&entry->value, table, entry);
    if (!entry->tombstone && sim_chance(random, 4)) {
        spoil(sim, entry);
    }
    sim->entry_count++;
    sim_tell(sim, "entry %zu: %s of %.*s, valid from %.2f, kind %d%s%s", number,
             sim_table_name(entry->table), (int)entry->key.length,
             entry->key.data ? entry->key.data : "", (double)entry->valid_ns / 1e9 - 1.79e9,
             entry->kind, entry->tombstone ? ", tombstone" : "", entry->bad ? ", bad" : "");
    return number;
}

/* ---- The topics ----------------------------------------------------------------------------- */

static struct mr_partition source_of(uint32_t table, uint32_t partition) {
    struct mr_partition source = {.partition = partition};
    snprintf(source.topic, sizeof source.topic, "table-%u", table);
    return source;
}

void sim_tables_create(struct sim *sim) {
    for (uint32_t i = 0; i < sim->job.table_count; i++) {
        struct mr_error err;
        struct mr_topic topic = {
            .partitions = sim->job.tables[i].partitions, .retention_ns = -1, .retention_bytes = -1};
        snprintf(topic.name, sizeof topic.name, "table-%u", i);
        if (mr_log_create(sim->log, &topic, &err) != MR_OK) {
            sim_fail(sim, "a table's topic: %s", err.text);
        }
    }
}

static void keep(struct sim *sim, uint32_t table, uint32_t partition,
                 const struct mr_message *message) {
    struct sim_versions *versions = &sim->versions[table];
    const struct sim_entry *entry = &sim->entries[message->timestamp_ns];
    if (versions->count == versions->capacity) {
        versions->capacity = versions->capacity ? 2 * versions->capacity : 64;
        versions->items =
            mr_reallocate(versions->items, versions->capacity * sizeof *versions->items);
    }
    versions->items[versions->count++] = (struct sim_version){
        message->offset, entry->tombstone ? message->append_ns : entry->valid_ns, partition, entry};
    versions->next[partition] = message->offset + 1;
}

void sim_tables_read(struct sim *sim) {
    for (uint32_t i = 0; i < sim->job.table_count; i++) {
        for (uint32_t p = 0; p < sim->job.tables[i].partitions; p++) {
            struct mr_partition source = source_of(i, p);
            struct mr_reader *reader;
            struct mr_batch batch;
            struct mr_error err;
            if (mr_reader_open(sim->log, &source, sim->versions[i].next[p], &reader, &err) !=
                MR_OK) {
                sim_fail(sim, "%s", err.text);
            }
            while (mr_reader_read(reader, 0, &batch, &err) == MR_OK && batch.count > 0) {
                for (size_t n = 0; n < batch.count; n++) {
                    keep(sim, i, p, &batch.messages[n]);
                }
            }
            mr_reader_close(reader);
        }
    }
}

void sim_tables_lose(struct sim *sim) {
    sim_tables_read(sim);
    for (uint32_t i = 0; i < sim->job.table_count; i++) {
        for (uint32_t p = 0; p < sim->job.tables[i].partitions; p++) {
            struct mr_partition source = source_of(i, p);
            int64_t before = sim_below(&sim->more, 2) * sim->versions[i].next[p];
            sim->versions[i].since[p] = before;
            mr_memory_log_lose(sim->log, &source, before);
        }
    }
}

/* ---- What a table says ---------------------------------------------------------------------- */

static bool is_key(const struct sim *sim, const struct sim_table *table,
                   const struct sim_entry *entry, int device, int other) {
    char key[16];
    if (table->by_other) {
        snprintf(key, sizeof key, sim->job.format == SIM_FRAMES ? "%d" : "h%d", other);
    } else {
        snprintf(key, sizeof key, "dev-%d", device);
    }
    return (!table->by_other || other >= 0) && mr_slice_equal(entry->key, mr_slice_of(key));
}

/* The newest version of the key at that time. */
static const struct sim_version *newest(const struct sim *sim, uint32_t number, int device,
                                        int other, int64_t ns) {
    const struct sim_versions *versions = &sim->versions[number];
    const struct sim_version *found = NULL;
    for (size_t i = 0; i < versions->count; i++) {
        const struct sim_version *version = &versions->items[i];
        if (!version->entry->bad && version->valid_ns <= ns &&
            (!found || version->valid_ns > found->valid_ns ||
             (version->valid_ns == found->valid_ns && version->offset > found->offset)) &&
            is_key(sim, &sim->job.tables[number], version->entry, device, other)) {
            found = version;
        }
    }
    return found;
}

const struct sim_entry *sim_table_asof(const struct sim *sim, uint32_t number,
                                       const struct sim_record *record, int64_t ns, int64_t r_ns) {
    const struct sim_version *found = newest(sim, number, record->device, record->other, ns);
    const struct sim_version *oldest = NULL; /* that is kept */
    if (r_ns != INT64_MIN) {
        oldest = newest(sim, number, record->device, record->other,
                        r_ns - sim->job.tables[number].history_ns);
    }
    if (oldest && (!found || found->valid_ns < oldest->valid_ns)) {
        found = oldest; /* further back than history there is what held there */
    }
    return found && !found->entry->tombstone ? found->entry : NULL;
}

size_t sim_bad_entries(const struct sim *sim, uint32_t table) {
    size_t bad = 0;
    for (size_t i = 0; i < sim->versions[table].count; i++) {
        const struct sim_version *version = &sim->versions[table].items[i];
        bad += version->entry->bad &&
               version->offset >= sim->versions[table].since[version->partition];
    }
    return bad;
}

static void add_late(void *arg, const struct mr_task *task) {
    for (size_t i = 0; i < task->plan->table_count; i++) {
        *(uint64_t *)arg += task->counters.tables[i].late;
    }
}

uint64_t sim_late_entries(const struct sim *sim) {
    uint64_t late = 0;
    sim_fleet_visit(&sim->fleets[0], add_late, &late);
    return late;
}

/* ---- At rest -------------------------------------------------------------------------------- */

static void check_position(void *arg, const struct mr_task *task) {
    const struct sim *sim = arg;
    for (size_t i = 0; i < task->plan->table_count; i++) {
        const struct mr_task_table *table = &task->tables[i];
        const struct sim_versions *versions = &sim->versions[i];
        uint32_t partition = table->source.partition;
        uint64_t count = 0;
        for (size_t n = 0; n < versions->count; n++) {
            count += versions->items[n].partition == partition &&
                     versions->items[n].offset >= versions->since[partition];
        }
        if (task->counters.tables[i].read != count ||
            (count > 0 && table->position != versions->next[partition])) {
            sim_fail(sim,
                     "partition %u: of the table %s it has read %zu entries, to %lld; there are "
                     "%zu, to %lld",
                     task->source.partition, sim_table_name((uint32_t)i),
                     (size_t)task->counters.tables[i].read, (long long)table->position,
                     (size_t)count, (long long)versions->next[partition]);
        }
    }
}

void sim_tables_check(struct sim *sim) {
    sim_tables_read(sim);
    sim_fleet_visit(&sim->fleets[0], check_position, sim);
}
