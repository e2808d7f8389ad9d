/* run --show: the rows of the first output topic as a table. It reads the committed topic like any
 * other reader, so it shows nothing that a crash could take back.
 *
 * Digests are left out, numbers are cut to what a person reads; the topic has all of it. */
#include "engine/cli/show.h"

#include <inttypes.h>
#include <millrace/json.h>
#include <stdlib.h>

#define HEADING_EVERY 40 /* rows */
#define TIME_WIDTH    20
#define EVENT_WIDTH   24 /* of an event's time, with milliseconds */
#define STATE_WIDTH   8

struct mr_show {
    const struct mr_plan *plan;
    struct mr_reader **readers; /* one per partition */
    uint32_t partitions;
    struct mr_json *json;
    uint64_t rows;
};

enum mr_status mr_show_open(const struct mr_plan *plan, struct mr_log *log, struct mr_show **out,
                            struct mr_error *err) {
    struct mr_topic topic;
    enum mr_status status = mr_log_describe(log, plan->outputs[0].topic, &topic, err);
    if (status != MR_OK) {
        return status;
    }
    struct mr_show *show = mr_allocate(sizeof(*show));
    show->plan = plan;
    show->partitions = topic.partitions;
    show->readers = mr_allocate_array(topic.partitions, struct mr_reader *);
    show->json = mr_json_create();
    for (uint32_t i = 0; i < topic.partitions && status == MR_OK; i++) {
        struct mr_partition source = {.partition = i};
        int64_t first, end;
        snprintf(source.topic, sizeof(source.topic), "%s", topic.name);
        status = mr_log_bounds(log, &source, &first, &end, err);
        if (status == MR_OK) {
            status = mr_reader_open(log, &source, end, &show->readers[i], err);
        }
    }
    *out = show;
    return status;
}

void mr_show_close(struct mr_show *show) {
    if (!show) {
        return;
    }
    for (uint32_t i = 0; i < show->partitions; i++) {
        mr_reader_close(show->readers[i]);
    }
    free(show->readers);
    mr_json_destroy(show->json);
    free(show);
}

/* ---- Rows ----------------------------------------------------------------------------------- */

static const struct mr_json_value *member(const struct mr_json_value *object, const char *name) {
    const struct mr_json_value *at = mr_json_first(object);
    for (size_t left = mr_json_count(object); left > 0; left--) {
        const struct mr_json_value *value = mr_json_member(at);
        if (mr_slice_equal(mr_json_string(at), mr_slice_of(name))) {
            return value;
        }
        at = mr_json_next(value);
    }
    return NULL;
}

static int width_of(const char *name) {
    int length = (int)strlen(name);
    return length < 11 ? 11 : length;
}

static void print_row_heading(const struct mr_plan *plan) {
    printf("%-*s", EVENT_WIDTH, "time");
    for (size_t i = 0; i < plan->column_count; i++) {
        printf("  %-*s", width_of(plan->columns[i].name), plan->columns[i].name);
    }
    printf("\n");
}

static void print_window_heading(const struct mr_plan *plan) {
    for (size_t i = 0; i < plan->group_count; i++) {
        printf("%-*s  ", width_of(plan->groups[i].name), plan->groups[i].name);
    }
    printf("%-*s  %-*s", TIME_WIDTH, "window_start", STATE_WIDTH, "state");
    for (size_t i = 0; i < plan->stat_count; i++) {
        if (plan->stats[i].result->kind != MR_BYTES) {
            printf("  %*s", width_of(plan->stats[i].name), plan->stats[i].name);
        }
    }
    printf("\n");
}

static void print_slice(struct mr_slice text, int width) {
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        putchar(c < 0x20 || c == 0x7f ? '?' : c); /* a group must not drive the terminal */
    }
    printf("%*s", text.length < (size_t)width ? width - (int)text.length : 0, "");
}

static void print_text(const struct mr_json_value *row, const char *name, int width) {
    const struct mr_json_value *value = member(row, name);
    print_slice(value ? mr_json_string(value) : mr_slice_of(""), width);
    printf("  ");
}

static void print_state(const struct mr_json_value *row) {
    const struct mr_json_value *closed = member(row, "closed"), *rev = member(row, "rev");
    char text[STATE_WIDTH + 16] = "closed";
    if (!closed || !mr_json_boolean(closed)) {
        snprintf(text, sizeof(text), "open");
    } else if (rev && mr_json_integer(rev) > 0) {
        snprintf(text, sizeof(text), "rev %" PRId64, mr_json_integer(rev));
    }
    printf("%-*s", STATE_WIDTH, text);
}

static void print_stat(const struct mr_json_value *row, const struct mr_stat *stat) {
    const struct mr_json_value *value = member(row, stat->name);
    int width = width_of(stat->name);
    if (!value || mr_json_kind(value) == MR_JSON_NULL) {
        printf("  %*s", width, "-");
    } else if (mr_json_kind(value) == MR_JSON_INTEGER) {
        char text[MR_TEXT_MAX];
        printf("  %*s", width, mr_format_count((uint64_t)mr_json_integer(value), text));
    } else {
        printf("  %*.6g", width, mr_json_number(value));
    }
}

/* A field of a record, as the row has it. */
static void print_field(const struct mr_json_value *row, const char *name) {
    const struct mr_json_value *value = member(row, name);
    char room[MR_JSON_NUMBER_MAX];
    struct mr_slice text = mr_slice_of("-");
    switch (value ? mr_json_kind(value) : MR_JSON_NULL) {
    case MR_JSON_STRING:
        text = mr_json_string(value);
        break;
    case MR_JSON_BOOLEAN:
        text = mr_slice_of(mr_json_boolean(value) ? "true" : "false");
        break;
    case MR_JSON_INTEGER:
        text = (struct mr_slice){room, mr_json_write_integer(room, mr_json_integer(value))};
        break;
    case MR_JSON_NUMBER:
        text = (struct mr_slice){room, mr_json_write_number(room, mr_json_number(value))};
        break;
    default:
        break;
    }
    print_slice(text, width_of(name));
}

static void print_record(const struct mr_plan *plan, const struct mr_json_value *row) {
    print_text(row, "time", EVENT_WIDTH);
    for (size_t i = 0; i < plan->column_count; i++) {
        fputs(i > 0 ? "  " : "", stdout);
        print_field(row, plan->columns[i].name);
    }
    printf("\n");
}

static void print_window(const struct mr_plan *plan, const struct mr_json_value *row) {
    for (size_t i = 0; i < plan->group_count; i++) {
        print_text(row, plan->groups[i].name, width_of(plan->groups[i].name));
    }
    print_text(row, "window_start", TIME_WIDTH);
    print_state(row);
    for (size_t i = 0; i < plan->stat_count; i++) {
        if (plan->stats[i].result->kind != MR_BYTES) {
            print_stat(row, &plan->stats[i]);
        }
    }
    printf("\n");
}

static void print_row(struct mr_show *show, struct mr_slice bytes) {
    const struct mr_plan *plan = show->plan;
    const struct mr_json_value *row = mr_json_parse(show->json, bytes, NULL);
    if (!row || mr_json_kind(row) != MR_JSON_OBJECT) {
        return;
    }
    bool windows = plan->window.type;
    if (show->rows++ % HEADING_EVERY == 0) {
        (windows ? print_window_heading : print_row_heading)(plan);
    }
    (windows ? print_window : print_record)(plan, row);
}

/* What is there; with a time, waits until then for what is on its way, or the end. */
static enum mr_status show_partition(struct mr_show *show, struct mr_reader *reader,
                                     int64_t until_ns, struct mr_error *err) {
    struct mr_batch batch;
    enum mr_status status;
    int64_t left_ns;
    do {
        left_ns = until_ns - mr_real_clock.steady_ns(&mr_real_clock);
        left_ns = left_ns > 0 ? left_ns : 0;
        status = mr_reader_read(reader, left_ns, &batch, err);
        for (size_t i = 0; status == MR_OK && i < batch.count; i++) {
            print_row(show, batch.messages[i].value);
        }
    } while (status == MR_OK && !batch.end && (batch.count > 0 || left_ns > 0));
    return status;
}

enum mr_status mr_show_rows(struct mr_show *show, int64_t patience_ns, struct mr_error *err) {
    enum mr_status status = MR_OK;
    int64_t until_ns = mr_real_clock.steady_ns(&mr_real_clock) + patience_ns;
    for (uint32_t i = 0; i < show->partitions && status == MR_OK; i++) {
        status = show_partition(show, show->readers[i], until_ns, err);
    }
    fflush(stdout);
    return status;
}
