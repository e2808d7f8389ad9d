/* A cell becomes one JSON row, in every output topic of the job:
 *
 *   key    the group's value as text; a JSON array of texts for several; "" for none
 *   value  {"job":..., <group columns>, "window_start":..., "window_end":..., "closed":...,
 *           "rev":..., <statistics>}
 *   time   the window's start; partition by the key, as Kafka's own clients do
 *
 * So does a record, in a job without a window:
 *
 *   key    the input's, none if it has none
 *   value  {"job":..., "time":..., <the job's fields>}; a field that is absent is null
 *   time   the event time; partition as the input, so a key's rows are in the order of its records
 */
#include "engine/run/task.h"

#include <millrace/json.h>

#define ROW_MAX                                                                                    \
    (4 << 20) /* bytes of a record's row, which `let` may make longer than the record              \
               */

static void put_string(struct mr_buffer *out, struct mr_slice text) {
    mr_buffer_reserve(out, 6 * text.length + 2);
    out->length += mr_json_write_string(out->data + out->length, text);
}

static void put_name(struct mr_buffer *out, const char *name) {
    mr_buffer_add(out, ",", 1);
    put_string(out, mr_slice_of(name));
    mr_buffer_add(out, ":", 1);
}

static void put_time(struct mr_buffer *out, const char *name, int64_t ns) {
    char text[MR_TEXT_MAX];
    put_name(out, name);
    put_string(out, mr_slice_of(mr_format_time(ns, text)));
}

/* The inverse of mr_group. */
static struct mr_slice next_column(struct mr_bytes_reader *reader, size_t columns) {
    size_t length = columns > 1 ? mr_get_varint(reader) : (size_t)(reader->end - reader->at);
    return mr_get_bytes(reader, length);
}

static struct mr_bytes_reader columns_of(struct mr_slice group) {
    const uint8_t *bytes = (const uint8_t *)group.data;
    return (struct mr_bytes_reader){bytes, bytes + group.length, false};
}

void mr_row_key(const struct mr_plan *plan, struct mr_slice group, struct mr_buffer *out) {
    struct mr_bytes_reader reader = columns_of(group);
    out->length = 0;
    if (plan->group_count < 2) {
        mr_buffer_add(out, reader.at, (size_t)(reader.end - reader.at));
        return;
    }
    for (size_t i = 0; i < plan->group_count; i++) {
        mr_buffer_add(out, i == 0 ? "[" : ",", 1);
        put_string(out, next_column(&reader, plan->group_count));
    }
    mr_buffer_add(out, "]", 1);
}

static void put_value(struct mr_buffer *out, const struct mr_value *value) {
    mr_buffer_reserve(out, MR_JSON_NUMBER_MAX);
    switch (value->kind) {
    case MR_INTEGER:
        out->length += mr_json_write_integer(out->data + out->length, value->integer);
        break;
    case MR_NUMBER:
        out->length += mr_json_write_number(out->data + out->length, value->number);
        break;
    case MR_BOOLEAN:
        mr_buffer_text(out, value->number != 0 ? "true" : "false");
        break;
    case MR_TEXT:
        put_string(out, value->text);
        break;
    case MR_BYTES:
        mr_buffer_reserve(out, 4 * (value->text.length + 2) / 3 + 2);
        out->length += mr_json_write_base64(out->data + out->length, value->text);
        break;
    default:
        mr_buffer_text(out, "null");
    }
}

static void put_stat(struct mr_task *task, const struct mr_cell *cell, const struct mr_stat *stat) {
    struct mr_value value = {.kind = MR_ABSENT};
    const struct mr_question question = {task->plan->measures.items[stat->measure].settings,
                                         stat->arguments, cell->span, &task->bytes};
    stat->result->compute(&cell->accumulators[stat->measure], &question, &value);
    put_name(&task->row, stat->name);
    put_value(&task->row, &value);
}

static void put_row(struct mr_task *task, const struct mr_cell *cell, bool closed) {
    const struct mr_plan *plan = task->plan;
    struct mr_buffer *out = &task->row;
    struct mr_bytes_reader reader = columns_of(mr_cell_group(cell));
    out->length = 0;
    mr_buffer_text(out, "{\"job\":");
    put_string(out, mr_slice_of(plan->job));
    for (size_t i = 0; i < plan->group_count; i++) {
        put_name(out, plan->groups[i].name);
        put_string(out, next_column(&reader, plan->group_count));
    }
    put_time(out, "window_start", cell->span.start_ns);
    put_time(out, "window_end", cell->span.end_ns);
    mr_buffer_format(out, ",\"closed\":%s,\"rev\":%u", closed ? "true" : "false", cell->rev);
    for (size_t i = 0; i < plan->stat_count; i++) {
        put_stat(task, cell, &plan->stats[i]);
    }
    mr_buffer_add(out, "}", 1);
}

/* The same row to every output. */
static enum mr_status append_row(struct mr_task *task, struct mr_append *append,
                                 struct mr_error *err) {
    /* The rows of a million groups that close together are one transaction. */
    int64_t pending = (int64_t)mr_session_pending(task->session);
    if (pending > task->plan->memory_bytes) {
        return mr_memory_fail(task->plan, pending, err);
    }
    enum mr_status status = MR_OK;
    append->value = mr_buffer_slice(&task->row);
    for (size_t i = 0; i < task->plan->output_count && status == MR_OK; i++) {
        append->topic = task->plan->outputs[i].topic;
        status = mr_session_append(task->session, append, err);
    }
    return status;
}

enum mr_status mr_row_emit(struct mr_task *task, struct mr_cell *cell, bool closed,
                           struct mr_error *err) {
    bool gathered = cell->kind == MR_CELL_COVER;
    enum mr_status status =
        gathered ? mr_hop_gather(task, cell, err) : mr_store_unpack(task->store, cell, err);
    if (status != MR_OK) {
        return status;
    }
    put_row(task, cell, closed);
    if (gathered) {
        mr_store_release(task->store, cell);
    }
    mr_row_key(task->plan, mr_cell_group(cell), &task->row_key);
    int64_t start_ns = cell->span.start_ns; /* the first windows that overlap begin before 1970 */
    struct mr_append append = {.timestamp_ns = start_ns > 0 ? start_ns : 0,
                               .key = mr_buffer_slice(&task->row_key)};
    append.partition = mr_partition_of(append.key, task->partitions, NULL);
    return append_row(task, &append, err);
}

enum mr_status mr_row_pass(struct mr_task *task, const struct mr_record *record,
                           struct mr_error *err) {
    const struct mr_plan *plan = task->plan;
    struct mr_buffer *out = &task->row;
    out->length = 0;
    mr_buffer_text(out, "{\"job\":");
    put_string(out, mr_slice_of(plan->job));
    put_time(out, "time", record->start_ns);
    for (size_t i = 0; i < plan->column_count; i++) {
        put_name(out, plan->columns[i].name);
        put_value(out, &record->values[plan->columns[i].slot]);
    }
    mr_buffer_add(out, "}", 1);
    if (out->length > ROW_MAX) {
        return mr_error_set(err, MR_REJECT, "its row would be %zu bytes long, more than %d",
                            out->length, ROW_MAX);
    }
    struct mr_append append = {.timestamp_ns = record->start_ns,
                               .key = task->message->key,
                               .partition = task->source.partition};
    return append_row(task, &append, err);
}
