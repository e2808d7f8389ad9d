/* The oracle's rows: the samples that were used, put together by group and window. */
#include "tests/sim/sim.h"

#include <stdlib.h>

static int by_group(const struct sim_sample *a, const struct sim_sample *b) {
    if (a->window_ns != b->window_ns) {
        return a->window_ns < b->window_ns ? -1 : 1;
    }
    if (a->device != b->device || a->other != b->other) {
        return a->device != b->device ? a->device - b->device : a->other - b->other;
    }
    return memcmp(a->kinds, b->kinds, sizeof a->kinds);
}

/* Of one group the latest first: an order in which they never came. */
static int compare_samples(const void *left, const void *right) {
    const struct sim_sample *a = left, *b = right;
    int order = by_group(a, b);
    return order != 0 ? order : (b->ns > a->ns) - (b->ns < a->ns);
}

/* ---- The columns of group_by ---------------------------------------------------------------- */

struct column {
    const char *name;
    char text[16];
};

struct columns {
    struct column items[2 + SIM_TABLES];
    size_t count;
};

static void add_column(struct columns *columns, const char *name, const char *prefix, int number) {
    struct column *column = &columns->items[columns->count++];
    *column = (struct column){.name = name};
    if (number >= 0) {
        snprintf(column->text, sizeof column->text, "%s%d", prefix, number);
    }
}

static struct columns columns_of(const struct sim_job *job, const struct sim_sample *sample) {
    bool frames = job->format == SIM_FRAMES;
    struct columns columns = {0};
    if (job->by_device) {
        add_column(&columns,
                   frames            ? "device"
                   : job->record_key ? "key"
                                     : "g",
                   "dev-", sample->device);
    }
    if (job->by_other) {
        add_column(&columns, frames ? "stream" : "h", frames ? "" : "h", sample->other);
    }
    for (uint32_t i = 0; i < job->table_count; i++) {
        if (job->tables[i].kind) {
            add_column(&columns, sim_table_name(i), "k", sample->kinds[i]);
        }
    }
    return columns;
}

static char *head_of(const struct sim_job *job, const struct columns *columns, int64_t start_ns) {
    char start[MR_TEXT_MAX], end[MR_TEXT_MAX];
    struct mr_buffer out = {0};
    mr_buffer_text(&out, "{\"job\":\"sim\"");
    for (size_t i = 0; i < columns->count; i++) {
        const struct column *column = &columns->items[i];
        mr_buffer_format(&out, ",\"%s\":\"%s\"", column->name, column->text);
    }
    mr_buffer_format(&out, ",\"window_start\":\"%s\",\"window_end\":\"%s\"",
                     mr_format_time(start_ns, start),
                     mr_format_time(start_ns + job->window_ns, end));
    mr_buffer_add(&out, "", 1);
    return out.data;
}

/* One column: its text. Several: a JSON array. */
static char *key_of(const struct columns *columns) {
    struct mr_buffer out = {0};
    mr_buffer_text(&out, columns->count > 1 ? "[" : "");
    for (size_t i = 0; i < columns->count; i++) {
        mr_buffer_format(&out, columns->count > 1 ? "%s\"%s\"" : "%s%s", i > 0 ? "," : "",
                         columns->items[i].text);
    }
    mr_buffer_text(&out, columns->count > 1 ? "]" : "");
    mr_buffer_add(&out, "", 1);
    return out.data;
}

/* As the cells of the engine have it: the texts, with several each with its length before it. */
static struct mr_buffer group_of(const struct columns *columns) {
    struct mr_buffer out = {0};
    for (size_t i = 0; i < columns->count; i++) {
        if (columns->count > 1) {
            mr_put_varint(&out, strlen(columns->items[i].text));
        }
        mr_buffer_text(&out, columns->items[i].text);
    }
    return out;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

static int compare_rows(const void *left, const void *right) {
    const struct sim_row *a = left, *b = right;
    return strcmp(a->head, b->head);
}

static struct sim_row row_of(const struct sim *sim, const struct sim_sample *samples,
                             size_t count) {
    const struct columns columns = columns_of(&sim->job, samples);
    return (struct sim_row){.head = head_of(&sim->job, &columns, samples->window_ns),
                            .tail = sim_statistics(sim, samples, count),
                            .key = key_of(&columns),
                            .group = group_of(&columns),
                            .start_ns = samples->window_ns,
                            .samples = count};
}

void sim_rows_make(const struct sim *sim, struct sim_samples *samples, struct sim_truth *truth) {
    size_t next;
    if (samples->count > 0) {
        qsort(samples->items, samples->count, sizeof *samples->items, compare_samples);
    }
    truth->rows = mr_allocate_array(samples->count + 1, struct sim_row);
    for (size_t i = 0; i < samples->count; i = next) {
        const struct sim_sample *sample = &samples->items[i];
        for (next = i + 1; next < samples->count && by_group(sample, &samples->items[next]) == 0;) {
            next++;
        }
        truth->rows[truth->row_count++] = row_of(sim, sample, next - i);
    }
    qsort(truth->rows, truth->row_count, sizeof *truth->rows, compare_rows);
}
