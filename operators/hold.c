/* hold: events become intervals. The value of an event holds until the next event of its key (left
 * rule), at most for max_gap; of a counter, what it rose between the two.
 *
 *   events      a . . . . . . b . . . c                           d
 *   held        [      a      )[  b   )[    c, max_gap    )          nothing: not known
 *   windows     |          |          |          |          |
 *   pieces      [    a     )[a)[ b    )[    c    )[   c    )         one window each
 *
 * What time asks for, and why:
 * - A piece is emitted before its window closes: `settle` comes before spans close, and emits what
 *   is known up to the last border that T - grace has passed. What lies before that border can only
 *   come later than grace allows.
 * - A piece is known when its right neighbour is, or when T - grace has passed the event by
 * max_gap. So a key that is in order but behind the others loses nothing: its pieces revise windows
 * that have closed. Settling comes at each border, and max_gap behind each: T, nothing else, says
 * when.
 * - An event is late when it lies before what was emitted for its key and field: that is counted,
 *   whatever `late` says.
 * - Each piece is computed from the events at both ends of its interval, never from another piece.
 * - A piece of a counter's interval is a straight line between two events. When one comes between
 *   them that is still in time, another line holds: what was given is taken back, and given anew.
 * So the order within grace does not show. In order, nothing is taken back. Where windows that have
 *   closed are not revised (`late: drop`), such a piece is refused and counted.
 * - A counter's interval longer than max_gap has no line: all of it is booked where it was read.
 *
 * What is kept, per key and field, in a keyed cell (hold_cell.h): key = number of the field, key as
 * text. Whenever it has grown by FLUSH values, what grace has passed is emitted without waiting for
 * a border, so a long window does not make a large cell. The last value stays until stream time has
 * left its windows behind; of a counter, COUNTER_KEPT longer.
 *
 * Not done: trapezoids (they need the next value before a border can be passed); a piece at once
 * for every event (a cell and an exact sum for each, instead of for a batch). */
#include "operators/hold_pieces.h"
#include "operators/operators.h"

#include <math.h>
#include <stdlib.h>

#define FIELDS_MAX   257
#define FLUSH        64                                 /* values                  */
#define COUNTER_KEPT (INT64_C(30) * 86400 * 1000000000) /* 30 days                 */

struct options {
    int64_t max_gap_ns;
};

static const struct mr_option options[] = {
    {"max_gap", MR_OPTION_DURATION, .fallback = "5m",
     .help = "How long a value holds at most when no other follows",
     .offset = offsetof(struct options, max_gap_ns), .minimum = 1e6, .maximum = 30 * 86400e9},
    {0},
};

struct field {
    int slot; /* -1: none; every event counts */
    bool held, rises;
};

/* What a call of `settle` may emit. */
struct reach {
    int64_t bound_ns;   /* up to here                                              */
    int64_t settled_ns; /* T - grace  */
};

struct instance {
    struct field fields[FIELDS_MAX];
    size_t field_count;
    bool events_count; /* some statistic is of the events themselves */
    int64_t next_ns; /* of T - grace: before it there is nothing to settle; MR_HOLD_NONE: unknown */

    struct mr_accumulator *cells[FIELDS_MAX]; /* of the current record */
    double values[FIELDS_MAX];
    char key[MR_KEY_MAX + 2];

    struct reach reach;
    struct mr_accumulator scratch;

    struct mr_hold_pieces pieces;
};

static int64_t max_gap_of(const struct mr_operator *op) {
    return ((const struct options *)op->options)->max_gap_ns;
}

/* ---- How far a key has come ----------------------------------------------------------------- */

/* Whether there is something to emit up to a time; nothing is left over of earlier ones. */
static bool is_news(const struct mr_hold_view *view, int64_t until, bool book) {
    const struct mr_hold_head *head = view->head;
    int64_t reached = head->until_ns > view->values[0].ns ? head->until_ns : view->values[0].ns;
    bool booked = head->booked && until == head->until_ns;
    return until > reached || (until == reached && head->count > 1 && book && !booked);
}

/* Emits all up to a time that is known; `book`: what a counter rose at that time is known, too.
 * False: there is nothing new. */
static bool emit_until(struct mr_operator *op, const struct field *field,
                       struct mr_accumulator *cell, int64_t until, bool book) {
    struct instance *self = op->instance;
    struct mr_hold_view view;
    book = book && field->rises;
    if (!mr_hold_view(cell, &view) || !is_news(&view, until, book)) {
        return false;
    }
    if (field->held) {
        mr_hold_give_values(&self->pieces, field->slot, &view, until);
    }
    if (field->rises) {
        mr_hold_give_rises(&self->pieces, field->slot, &view, until, book);
    }
    mr_hold_emit(&self->pieces);
    size_t count = view.head->count, passed = 0;
    while (passed + 1 < count && view.values[passed + 1].ns < until) {
        passed++;
    }
    bool has_neighbour = field->rises && passed + 1 < count;
    view.head->until_ns = until;
    view.head->booked = book;
    view.head->neighbour_ns = has_neighbour ? view.values[passed + 1].ns : MR_HOLD_NONE;
    view.head->neighbour = has_neighbour ? view.values[passed + 1].x : 0;
    mr_hold_forget(cell, passed, &self->scratch);
    return true;
}

static bool settle_cell(struct mr_operator *op, const struct field *field,
                        struct mr_accumulator *cell, const struct reach *reach) {
    struct mr_hold_view view;
    if (!mr_hold_view(cell, &view)) {
        return false;
    }
    int64_t last = view.values[view.head->count - 1].ns, end = mr_hold_plus(last, max_gap_of(op));
    int64_t known = reach->settled_ns >= end ? end : last;
    bool book = known == last && last < reach->bound_ns;
    return emit_until(op, field, cell, mr_hold_least(known, reach->bound_ns), book);
}

/* Emits the whole intervals that grace has passed, by R, which is the same for every run. */
static void flush(struct mr_operator *op, const struct field *field, struct mr_accumulator *cell) {
    struct mr_hold_view view;
    int64_t stream_ns = mr_stream_time(op);
    if (stream_ns < 0 || !mr_hold_view(cell, &view)) {
        return;
    }
    size_t low = 0, high = view.head->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (view.values[middle].ns < stream_ns - mr_grace(op)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low > 0) {
        emit_until(op, field, cell, view.values[low - 1].ns, false);
    }
}

/* Whether nothing that could still come depends on the cell. Asked of R: ticks end no retention. */
static bool is_forgotten(struct mr_operator *op, const struct field *field,
                         const struct mr_accumulator *cell) {
    struct mr_hold_view view;
    if (!mr_hold_view(cell, &view)) {
        return cell->length == 0;
    }
    int64_t end = mr_hold_plus(view.values[view.head->count - 1].ns, max_gap_of(op));
    if (field->rises) {
        end = mr_hold_plus(end, COUNTER_KEPT);
    }
    return mr_stream_time(op) > end && !mr_is_retained(op, end);
}

/* ---- Settling ------------------------------------------------------------------------------- */

/* The next time after ns that is a border, or max_gap behind one. */
static int64_t next_mark(const struct mr_operator *op, int64_t ns) {
    const struct mr_window *window = mr_window(op);
    int64_t gap = max_gap_of(op);
    if (ns < 0) {
        return 0;
    }
    int64_t border = window->type->span(window->options, ns).end_ns;
    int64_t behind = ns < gap ? 0 : window->type->span(window->options, ns - gap).end_ns;
    return mr_hold_least(border, mr_hold_plus(behind, gap));
}

static enum mr_status damaged(struct mr_error *err) {
    return mr_error_set(err, MR_FAIL, "the stored state of `hold` is damaged");
}

static bool settle_visit(struct mr_operator *op, struct mr_slice key, struct mr_accumulator *cell) {
    struct instance *self = op->instance;
    struct mr_hold_view view;
    uint16_t index;
    if (self->pieces.status != MR_OK) {
        return true;
    }
    memcpy(&index, key.data, sizeof index);
    if (index >= self->field_count || (cell->length > 0 && !mr_hold_view(cell, &view))) {
        self->pieces.status = damaged(self->pieces.err);
        return true;
    }
    const struct field *field = &self->fields[index];
    if (settle_cell(op, field, cell, &self->reach)) {
        mr_keyed_touch(op, key);
    }
    return !is_forgotten(op, field, cell);
}

static enum mr_status sweep(struct mr_operator *op, struct reach reach, struct mr_error *err) {
    struct instance *self = op->instance;
    self->reach = reach;
    mr_hold_begin(&self->pieces, op, max_gap_of(op), err);
    mr_keyed_sweep(op, settle_visit);
    return self->pieces.status;
}

static enum mr_status settle(struct mr_operator *op, int64_t watermark_ns, struct mr_error *err) {
    struct instance *self = op->instance;
    const struct mr_window *window = mr_window(op);
    bool closing = watermark_ns == INT64_MAX; /* all that is known, also beyond the last border */
    int64_t now_ns = closing ? mr_watermark(op) : watermark_ns;
    int64_t settled_ns = now_ns < 0 ? MR_HOLD_NONE : now_ns - mr_grace(op);
    if (closing) {
        return sweep(op, (struct reach){INT64_MAX, settled_ns}, err);
    }
    if (settled_ns < self->next_ns) {
        return MR_OK;
    }
    if (self->next_ns == MR_HOLD_NONE) { /* as it was before a restart, so that none shows */
        int64_t before = mr_watermark(op);
        self->next_ns = next_mark(op, before < 0 ? before : before - mr_grace(op));
        return settle(op, watermark_ns, err);
    }
    self->next_ns = next_mark(op, settled_ns);
    int64_t border = window->type->span(window->options, settled_ns).start_ns;
    return sweep(op, (struct reach){border, settled_ns}, err);
}

/* ---- Events --------------------------------------------------------------------------------- */

/* The value of a field, if it has a finite one; of a boolean 1 or 0. */
static bool has_value(const struct mr_record *record, const struct field *field, double *x) {
    *x = 0;
    if (field->slot < 0) {
        return true;
    }
    const struct mr_value *value = &record->values[field->slot];
    *x = value->number;
    return (value->kind == MR_NUMBER || value->kind == MR_INTEGER || value->kind == MR_BOOLEAN) &&
           isfinite(*x);
}

static struct mr_slice key_of(struct instance *self, uint16_t index, size_t length) {
    memcpy(self->key, &index, sizeof index);
    return (struct mr_slice){self->key, sizeof index + length};
}

static enum mr_status refuse_more(const struct mr_hold_view *view, struct mr_error *err) {
    return mr_error_set(err, MR_REJECT,
                        "its key has %u values within lateness.grace, which wait for what may come "
                        "between them: more are not kept; lower `grace`",
                        view->head->count);
}

/* Finds the cells that the record's values go to; all of them have room, or none is changed. */
static enum mr_status find_cells(struct mr_operator *op, const struct mr_record *record,
                                 size_t key_length, struct mr_slice group, struct mr_error *err) {
    struct instance *self = op->instance;
    struct mr_hold_view view;
    for (uint16_t i = 0; i < self->field_count; i++) {
        self->cells[i] = NULL;
        if (!has_value(record, &self->fields[i], &self->values[i])) {
            continue;
        }
        struct mr_accumulator *cell = mr_keyed_cell(op, key_of(self, i, key_length), true);
        if (cell->length > 0 && !mr_hold_view(cell, &view)) {
            return damaged(err);
        }
        if (is_forgotten(op, &self->fields[i], cell)) {
            cell->length = 0;
        } else if (!mr_hold_has_room(cell, group)) {
            flush(op, &self->fields[i], cell);
        }
        if (!mr_hold_has_room(cell, group)) {
            return refuse_more(&view, err);
        }
        self->cells[i] = cell;
    }
    return self->pieces.status;
}

/* False: it lies before what was emitted. */
static bool take_value(struct mr_operator *op, uint16_t i, const struct mr_record *record,
                       struct mr_slice group) {
    struct instance *self = op->instance;
    struct mr_accumulator *cell = self->cells[i];
    struct mr_hold_view view;
    bool known = mr_hold_view(cell, &view);
    if (known && record->start_ns < view.head->until_ns) {
        mr_account_held_late(op, 1);
        return false;
    }
    if (known && record->start_ns == view.head->until_ns && view.head->booked) {
        mr_hold_unbook(&self->pieces, self->fields[i].slot, &view);
    }
    struct mr_hold_value value = {.ns = record->start_ns, .x = self->values[i]};
    mr_hold_add(cell, &value, group, &self->scratch);
    if (mr_hold_view(cell, &view) && view.head->count % FLUSH == 0) {
        flush(op, &self->fields[i], cell);
    }
    return true;
}

static enum mr_status process(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err) {
    struct instance *self = op->instance;
    struct mr_slice group, key;
    enum mr_status status = mr_partition_key(op, record, &key, err);
    if (status == MR_OK) {
        memcpy(self->key + sizeof(uint16_t), key.data, key.length);
        status = mr_group(op, record, &group, err);
    }
    mr_hold_begin(&self->pieces, op, max_gap_of(op), err);
    if (status == MR_OK) {
        status = find_cells(op, record, key.length, group, err);
    }
    if (status != MR_OK) {
        return status;
    }
    bool late = false;
    for (uint16_t i = 0; i < self->field_count; i++) {
        if (self->cells[i] && take_value(op, i, record, group)) {
            mr_keyed_touch(op, key_of(self, i, key.length));
            record->taken = true;
        } else {
            late = late || self->cells[i];
        }
    }
    if (self->pieces.status != MR_OK) {
        return self->pieces.status;
    }
    if (!record->taken && late && !self->events_count) {
        mr_account(op, MR_LATE, 1);
        return MR_OK;
    }
    return mr_emit(op, record, err);
}

/* ---- Opening -------------------------------------------------------------------------------- */

static enum mr_status open_fields(struct mr_operator *op, struct mr_error *err) {
    struct instance *self = op->instance;
    const struct mr_measures *measures = mr_measures(op);
    self->next_ns = MR_HOLD_NONE;
    for (size_t i = 0; i < measures->count; i++) {
        const struct mr_measure *measure = &measures->items[i];
        struct field *last = self->field_count > 0 ? &self->fields[self->field_count - 1] : NULL;
        if (measure->aggregate->feed == MR_FEED_SAMPLES) {
            self->events_count = true;
            continue;
        }
        if (!last || last->slot != measure->slot) {
            last = &self->fields[self->field_count++];
            last->slot = measure->slot;
        }
        last->held = last->held || measure->aggregate->feed == MR_FEED_HELD;
        last->rises = last->rises || measure->aggregate->feed == MR_FEED_RISES;
    }
    return MR_OK;
}

static void close_fields(struct mr_operator *op) {
    struct instance *self = op->instance;
    free(self->scratch.body);
}

const struct mr_operator_type mr_hold_operator = {
    .name = "hold",
    .summary = "Makes events into intervals for statistics over time: a value holds until the next "
               "one of its key",
    .place = MR_PLACE_HOLD,
    .options = options,
    .options_size = sizeof(struct options),
    .instance_size = sizeof(struct instance),
    .open = open_fields,
    .process = process,
    .settle = settle,
    .close = close_fields,
};
