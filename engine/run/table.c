/* Tables that a job joins: from a topic's entries to versions, and from a time to the version that
 * held then.
 *
 * Compaction forgets all but the last entry of a key, so each task keeps what it has read, in a
 * store and a changelog of their own (`<job>-<table>-changelog`): --reset, which empties the
 * windows' changelog, leaves them alone. One keyed cell per key of the table (versions.c); what a
 * version says is, for each field that the job uses, in the order of the plan:
 *
 *   kind u8, then 8 bytes of a number, a whole number or a boolean, or varint and text
 *
 *   read        before each batch, and on quiet polls, to the end that the topic has then; so an
 *               entry holds for the records that are processed after it was read, and its position
 *               is committed with the input's. The reader is open only while there is something to
 *               read: entries are rare, and an open one is a client on Kafka, a seat on LMDB.
 *   late        its time is <= R when it is read, and it says another thing than was known of that
 *               time: records may have gone by without it. (An instrument that tells again what it
 *               runs is not late.) While none is late, a live run, a rerun and a replay after a
 *               crash agree.
 *   history     a record that is further behind R than that gets what held there, whether older
 *               versions have been pruned or not: pruning must not show. R alone moves it, never a
 *               tick. */
#include "engine/run/table.h"
#include "engine/run/versions.h"

#include <assert.h>
#include <inttypes.h>
#include <millrace/json.h>
#include <stdlib.h>

#define ENTRY_MAX  (64 << 10) /* bytes of the fields of one entry; versions.c keeps 15 of them */
#define READ_NS    (100 * INT64_C(1000000))
#define LOOK_SHARE 10 /* looking on quiet polls takes at most one part in so many of the time */

static const struct mr_measures no_measures;

/* ---- Versions ---------------------------------------------------------------------------------
 */

static int64_t history_bound(const struct mr_task *task, const struct mr_task_table *it) {
    return mr_time_add(task->times.stream_ns, -it->table->join.history_ns);
}

static void add_version(struct mr_task *task, struct mr_task_table *it, struct mr_slice key,
                        const struct mr_version_entry *entry) {
    struct mr_table_tally *tally = &task->counters.tables[it->table->join.table];
    struct mr_cell *found = mr_store_keyed(it->store, key, true);
    struct mr_accumulator *cell = found->accumulators;
    tally->tombstones += entry->none;
    tally->late += entry->from_ns <= task->times.stream_ns && mr_versions_news(cell, entry);
    mr_versions_put(cell, entry);
    mr_versions_forget(cell, history_bound(task, it));
    tally->dropped += mr_versions_limit(cell);
    mr_store_touch(it->store, found);
}

/* ---- What an entry says -----------------------------------------------------------------------
 */

static void pack_value(struct mr_buffer *out, const struct mr_value *value) {
    uint8_t kind = (uint8_t)value->kind;
    mr_buffer_add(out, &kind, 1);
    switch (value->kind) {
    case MR_NUMBER:
    case MR_BOOLEAN:
        mr_buffer_add(out, &value->number, sizeof value->number);
        break;
    case MR_INTEGER:
        mr_put_u64(out, (uint64_t)value->integer);
        break;
    case MR_TEXT:
        mr_put_varint(out, value->text.length);
        mr_buffer_add(out, value->text.data, value->text.length);
        break;
    default:
        break;
    }
}

static struct mr_value unpack_value(struct mr_bytes_reader *reader) {
    struct mr_value value = {.kind = (enum mr_kind) * mr_get_bytes(reader, 1).data};
    switch (value.kind) {
    case MR_NUMBER:
    case MR_BOOLEAN:
        memcpy(&value.number, mr_get_bytes(reader, sizeof value.number).data, sizeof value.number);
        break;
    case MR_INTEGER:
        value.integer = (int64_t)mr_get_u64(reader);
        value.number = (double)value.integer;
        break;
    case MR_TEXT: {
        size_t length = mr_get_varint(reader);
        value.text = mr_get_bytes(reader, length);
        break;
    }
    default:
        break;
    }
    return value;
}

/* ---- One entry --------------------------------------------------------------------------------
 */

static enum mr_status refuse_entry(struct mr_task *task, struct mr_task_table *it,
                                   const struct mr_message *entry, const char *why,
                                   struct mr_error *err) {
    struct mr_error reason;
    task->counters.tables[it->table->join.table].bad++;
    if (it->source.partition != task->source.partition) {
        return MR_OK; /* every task reads this partition; one of them keeps the letter */
    }
    mr_error_set(&reason, MR_REJECT, "entry of table `%s`: %.900s", it->table->join.name, why);
    return mr_deadletter_of(task, &it->source, entry, reason.text, err);
}

/* From when on it holds, and it->packed; MR_REJECT with the reason. */
static enum mr_status decode(struct mr_task *task, struct mr_task_table *it,
                             const struct mr_message *entry, int64_t *from_ns,
                             struct mr_error *why) {
    struct mr_decoded decoded;
    mr_arena_reset(task->arena);
    it->table->codec->decode(it->codec, entry, task->arena, &decoded);
    if (decoded.bad > 0 || decoded.count != 1) {
        return mr_error_set(why, MR_REJECT, "%s", decoded.reason.text);
    }
    it->packed.length = 0;
    for (size_t i = 0; i < it->table->input.field_count; i++) {
        pack_value(&it->packed, &decoded.records[0].values[i]);
    }
    if (it->packed.length > ENTRY_MAX) {
        return mr_error_set(why, MR_REJECT, "the fields that the job uses are longer than 64 KiB");
    }
    *from_ns = decoded.records[0].start_ns;
    return MR_OK;
}

static enum mr_status read_entry(struct mr_task *task, struct mr_task_table *it,
                                 const struct mr_message *message, bool append_stamped,
                                 struct mr_version_entry *entry, struct mr_error *why) {
    *entry = (struct mr_version_entry){.offset = message->offset, .none = !message->value.data};
    if (!message->key.data) {
        return mr_error_set(why, MR_REJECT, "it has no key, so it is nobody's");
    }
    if (message->key.length > MR_KEY_MAX) {
        return mr_error_set(why, MR_REJECT, "its key is longer than %d bytes", MR_KEY_MAX);
    }
    if (entry->none) {
        entry->from_ns = append_stamped ? message->append_ns : message->timestamp_ns;
        return entry->from_ns >= 0 ? MR_OK
                                   : mr_error_set(why, MR_REJECT,
                                                  "a tombstone without a time: it says `none`, but "
                                                  "not from when on");
    }
    enum mr_status status = decode(task, it, message, &entry->from_ns, why);
    entry->said = mr_buffer_slice(&it->packed);
    return status;
}

static enum mr_status take_entry(struct mr_task *task, struct mr_task_table *it,
                                 const struct mr_message *message, bool append_stamped,
                                 struct mr_error *err) {
    struct mr_version_entry entry;
    struct mr_error why = {""};
    it->position = message->offset + 1;
    task->moved = true;
    task->counters.tables[it->table->join.table].read++;
    if (read_entry(task, it, message, append_stamped, &entry, &why) != MR_OK) {
        return refuse_entry(task, it, message, why.text, err);
    }
    add_version(task, it, message->key, &entry);
    return MR_OK;
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

static bool is_read(const struct mr_task_table *it) {
    return it->position >= it->target || it->reached >= it->target;
}

static void close_reader(struct mr_task_table *it) {
    mr_reader_close(it->reader);
    it->reader = NULL;
}

/* Where the table ends now. */
static enum mr_status look(struct mr_task *task, struct mr_task_table *it, struct mr_error *err) {
    int64_t first, end, began_ns = task->clock->steady_ns(task->clock);
    enum mr_status status = mr_log_bounds(task->log, &it->source, &first, &end, err);
    it->looked_ns = task->clock->steady_ns(task->clock);
    it->look_took_ns = it->looked_ns - began_ns;
    if (status != MR_OK) {
        return status;
    }
    const char *job = task->plan->job, *name = it->table->join.name;
    if (it->position > end) {
        return mr_error_set(err, MR_REJECT,
                            "job %s: table `%s` was read up to offset %" PRId64 " of \"%s\", "
                            "partition %u, which ends at %" PRId64 " now: the topic was made anew. "
                            "Run the job with --reset to read it, and the input, from the start",
                            job, name, it->position, it->source.topic, it->source.partition, end);
    }
    if (it->position >= 0 && it->position < first) {
        mr_warn("job %s: table `%s`: entries %" PRId64 " to %" PRId64 " of \"%s\", partition %u, "
                "went by its retention before they were read",
                job, name, it->position, first - 1, it->source.topic, it->source.partition);
    }
    it->position = it->position < first ? first : it->position;
    it->target = end;
    return MR_OK;
}

/* One batch, if one comes within the timeout. */
static enum mr_status read_some(struct mr_task *task, struct mr_task_table *it, int64_t timeout_ns,
                                bool *came, struct mr_error *err) {
    struct mr_batch batch = {0};
    enum mr_status status =
        it->reader ? MR_OK : mr_reader_open(task->log, &it->source, it->position, &it->reader, err);
    if (status == MR_OK) {
        status = mr_reader_read(it->reader, timeout_ns, &batch, err);
    }
    for (size_t i = 0; i < batch.count && status == MR_OK; i++) {
        status = take_entry(task, it, &batch.messages[i], batch.append_stamped, err);
    }
    *came = batch.count > 0;
    if (batch.end) {
        it->reached = it->target;
    }
    if (is_read(it) || status != MR_OK) {
        close_reader(it);
    }
    return status;
}

enum mr_status mr_tables_begin(struct mr_task *task, struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < task->plan->table_count && status == MR_OK; i++) {
        status = look(task, &task->tables[i], err);
    }
    return status;
}

enum mr_status mr_tables_step(struct mr_task *task, int64_t timeout_ns, bool *came, bool *done,
                              struct mr_error *err) {
    *came = false;
    *done = true;
    for (size_t i = 0; i < task->plan->table_count; i++) {
        struct mr_task_table *it = &task->tables[i];
        if (!is_read(it)) {
            *done = false;
            return read_some(task, it, timeout_ns, came, err);
        }
    }
    return MR_OK;
}

static bool may_skip(const struct mr_task *task, const struct mr_task_table *it) {
    int64_t since_ns = task->clock->steady_ns(task->clock) - it->looked_ns;
    return since_ns < LOOK_SHARE * it->look_took_ns;
}

enum mr_status mr_tables_read(struct mr_task *task, bool quiet, struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < task->plan->table_count && status == MR_OK; i++) {
        struct mr_task_table *it = &task->tables[i];
        bool came;
        if (quiet && may_skip(task, it)) {
            continue;
        }
        status = look(task, it, err);
        while (status == MR_OK && !is_read(it)) {
            status = read_some(task, it, READ_NS, &came, err);
        }
    }
    return status;
}

/* ---- Pruning ----------------------------------------------------------------------------------
 */

struct pruning {
    struct mr_task_table *versions;
    int64_t bound_ns;
};

static bool prune(void *arg, struct mr_cell *found) {
    const struct pruning *pruning = arg;
    if (mr_versions_forget(found->accumulators, pruning->bound_ns)) {
        mr_store_touch(pruning->versions->store, found);
    }
    return !mr_versions_over(found->accumulators, pruning->bound_ns);
}

void mr_tables_prune(struct mr_task *task) {
    int64_t stream_ns = task->times.stream_ns;
    for (size_t i = 0; i < task->plan->table_count; i++) {
        struct mr_task_table *it = &task->tables[i];
        if (stream_ns != MR_NEVER &&
            stream_ns >= mr_time_add(it->pruned_ns, it->table->join.history_ns / 4)) {
            struct pruning pruning = {it, history_bound(task, it)};
            it->pruned_ns = stream_ns;
            mr_store_sweep(it->store, prune, &pruning);
        }
    }
}

/* ---- Looking up -------------------------------------------------------------------------------
 */

static void unpack(struct mr_task_table *it, struct mr_slice said) {
    const uint8_t *bytes = (const uint8_t *)said.data;
    struct mr_bytes_reader reader = {bytes, bytes + said.length, false};
    for (size_t i = 0; i < it->table->input.field_count; i++) {
        it->values[i] = unpack_value(&reader);
    }
    assert(!reader.bad);
}

void mr_table_asof(struct mr_operator *op, const struct mr_value *key, int64_t from_ns,
                   int64_t last_ns, struct mr_version *out) {
    const struct mr_join *join = op->options;
    struct mr_task_table *it = &op->task->tables[join->table];
    char scratch[MR_JSON_NUMBER_MAX];
    *out = (struct mr_version){.until_ns = INT64_MAX};
    const struct mr_cell *found =
        key->kind == MR_ABSENT ? NULL
                               : mr_store_keyed(it->store, mr_value_text(key, scratch), false);
    if (!found) {
        return;
    }
    struct mr_version_found held =
        mr_versions_find(found->accumulators, from_ns, last_ns, history_bound(op->task, it));
    out->until_ns = held.until_ns;
    out->there = held.there;
    if (held.there) {
        unpack(it, held.said);
        out->values = it->values;
    }
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

static enum mr_status open_table(struct mr_task *task, const struct mr_table *table,
                                 struct mr_task_table *it, struct mr_error *err) {
    struct mr_topic topic;
    enum mr_status status = mr_log_describe(task->log, table->join.topic, &topic, err);
    if (status == MR_OK) {
        status = mr_table_admits(task->plan, table, task->partitions, topic.partitions, err);
    }
    it->table = table;
    it->store = mr_store_create(&no_measures, table->layout_hash);
    it->position = it->reached = -1;
    it->pruned_ns = MR_NEVER;
    it->values = mr_allocate_array(table->input.field_count + 1, struct mr_value);
    if (status != MR_OK) {
        return status;
    }
    snprintf(it->source.topic, sizeof it->source.topic, "%s", table->join.topic);
    it->source.partition = topic.partitions == 1 ? 0 : task->source.partition;
    return table->codec->open(&table->input, false, &it->codec, err);
}

enum mr_status mr_tables_open(struct mr_task *task, struct mr_error *err) {
    const struct mr_plan *plan = task->plan;
    enum mr_status status = MR_OK;
    task->tables = mr_allocate_array(plan->table_count + 1, struct mr_task_table);
    for (size_t i = 0; i < plan->table_count && status == MR_OK; i++) {
        status = open_table(task, &plan->tables[i], &task->tables[i], err);
    }
    return status;
}

void mr_tables_close(struct mr_task *task) {
    for (size_t i = 0; task->tables && i < task->plan->table_count; i++) {
        struct mr_task_table *it = &task->tables[i];
        mr_reader_close(it->reader);
        task->plan->tables[i].codec->close(it->codec);
        mr_store_destroy(it->store);
        mr_buffer_finish(&it->packed);
        free(it->values);
    }
    free(task->tables);
}

struct mr_kept mr_kept_of(struct mr_task *task, size_t number) {
    const struct mr_plan *plan = task->plan;
    if (number == 0) {
        return (struct mr_kept){task->store, plan->changelog_topic, plan->layout,
                                &task->layout_logged};
    }
    struct mr_task_table *it = &task->tables[number - 1];
    return (struct mr_kept){it->store, it->table->changelog_topic, it->table->layout,
                            &it->layout_logged};
}

size_t mr_tables_cells(const struct mr_task *task) {
    size_t cells = 0;
    for (size_t i = 0; i < task->plan->table_count; i++) {
        cells += mr_store_cells(task->tables[i].store);
    }
    return cells;
}

size_t mr_tables_bytes(const struct mr_task *task) {
    size_t bytes = 0;
    for (size_t i = 0; i < task->plan->table_count; i++) {
        bytes += mr_store_bytes(task->tables[i].store);
    }
    return bytes;
}
