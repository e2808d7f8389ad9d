/* Pieces: an interval cut where windows end, gathered into batches of one kind, group and span, so
 * that finding a cell is paid for once a batch.
 *
 *   values    [ 2 W                )       how long each held: the same value in every piece
 *   windows        |         |
 *   counter   100 .. 103 .. 107 .. 109     a straight line, rounded once at each border: a piece is
 *                                          the difference of the counter at its two ends
 *
 * The sum of such differences telescopes, whatever the counter was rounded to at a border. */
#include "operators/hold_pieces.h"

#include <math.h>
#include <millrace/exact.h>

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

void mr_hold_begin(struct mr_hold_pieces *self, struct mr_operator *op, int64_t max_gap_ns,
                   struct mr_error *err) {
    self->op = op;
    self->max_gap_ns = max_gap_ns;
    self->status = MR_OK;
    self->err = err;
}

void mr_hold_emit(struct mr_hold_pieces *self) {
    if (self->batch.n == 0) {
        return;
    }
    struct mr_record record = {.held = &self->batch};
    enum mr_status status = mr_emit(self->op, &record, self->err);
    self->status = self->status == MR_OK ? status : self->status;
    self->batch.n = 0;
}

/* Prepares the batch for pieces of this kind at this time; *end is where its window ends. */
static void turn_batch(struct mr_hold_pieces *self, struct mr_held kind, int64_t ns, int64_t *end) {
    const struct mr_window *window = mr_window(self->op);
    const struct mr_held *batch = &self->batch;
    if (batch->n == 0 || batch->n == MR_HOLD_PIECES || ns < batch->span.start_ns ||
        ns >= batch->span.end_ns || batch->feed != kind.feed || batch->slot != kind.slot ||
        batch->taken_back != kind.taken_back || !mr_slice_equal(batch->group, kind.group)) {
        mr_hold_emit(self);
        kind.span = window->type->span(window->options, ns);
        kind.x = self->x;
        kind.from = self->from;
        kind.ns = self->ns;
        self->batch = kind;
    }
    *end = self->batch.span.end_ns;
}

/* What each value held, from where it was emitted before to `until`. */
void mr_hold_give_values(struct mr_hold_pieces *self, int slot, const struct mr_hold_view *view,
                         int64_t until) {
    struct mr_held kind = {.feed = MR_FEED_HELD, .slot = slot};
    for (size_t i = 0; i < view->head->count && view->values[i].ns < until; i++) {
        const struct mr_hold_value *value = &view->values[i];
        int64_t end = mr_hold_least(until, mr_hold_plus(value->ns, self->max_gap_ns));
        if (i + 1 < view->head->count) {
            end = mr_hold_least(end, view->values[i + 1].ns);
        }
        kind.group = mr_hold_group(view, i);
        for (int64_t at = most(value->ns, view->head->until_ns), stop; at < end; at = stop) {
            turn_batch(self, kind, at, &stop);
            stop = mr_hold_least(stop, end);
            self->x[self->batch.n] = value->x;
            self->ns[self->batch.n++] = stop - at;
        }
    }
}

/* A counter's interval: from what it had (0 where it began anew) to what it has. */
struct rise {
    int64_t from_ns, to_ns;
    double from, to;
};

/* The straight line at a time between the two ends: one rounding of the weighed sum, one of the
 * division, never beyond the ends. */
static double counter_at(const struct rise *rise, int64_t ns) {
    struct mr_exact_sum sum = {0};
    if (ns == rise->from_ns || ns == rise->to_ns) {
        return ns == rise->to_ns ? rise->to : rise->from;
    }
    if (!mr_exact_add_product(&sum, rise->from, (double)(rise->to_ns - ns)) ||
        !mr_exact_add_product(&sum, rise->to, (double)(ns - rise->from_ns))) {
        return NAN; /* beyond the range: counted by the aggregate */
    }
    double x = mr_exact_value(&sum) / (double)(rise->to_ns - rise->from_ns);
    return fmin(fmax(x, fmin(rise->from, rise->to)), fmax(rise->from, rise->to));
}

static void push_rise(struct mr_hold_pieces *self, struct mr_held kind, int64_t ns, double from,
                      double to) {
    int64_t end;
    turn_batch(self, kind, ns, &end);
    self->from[self->batch.n] = from;
    self->x[self->batch.n++] = to;
}

/* No time between the two, or too much for a line: all of it belongs to the later one. */
static bool is_jump(const struct mr_hold_pieces *self, const struct rise *rise) {
    int64_t gap = rise->to_ns - rise->from_ns;
    return gap == 0 || gap > self->max_gap_ns;
}

/* The part of an interval within [from, until). */
static void give_line(struct mr_hold_pieces *self, struct mr_held kind, const struct rise *rise,
                      int64_t from, int64_t until) {
    const struct mr_window *window = mr_window(self->op);
    int64_t end = mr_hold_least(until, rise->to_ns);
    for (int64_t at = most(from, rise->from_ns), stop; at < end; at = stop) {
        stop = mr_hold_least(end, window->type->span(window->options, at).end_ns);
        push_rise(self, kind, at, counter_at(rise, at), counter_at(rise, stop));
    }
}

static struct rise rise_between(const struct mr_hold_value *left, int64_t ns, double x) {
    return (struct rise){left->ns, ns, x >= left->x ? left->x : 0, x};
}

static bool is_neighbour(const struct mr_hold_head *head, const struct mr_hold_value *value) {
    return head->neighbour_ns == value->ns && head->neighbour == value->x;
}

/* What was given of the first interval, when it ended at another neighbour. */
static void take_back_line(struct mr_hold_pieces *self, struct mr_held kind,
                           const struct mr_hold_view *view) {
    const struct mr_hold_head *head = view->head;
    struct rise old = rise_between(&view->values[0], head->neighbour_ns, head->neighbour);
    kind.taken_back = true;
    if (head->neighbour_ns != MR_HOLD_NONE && !is_jump(self, &old)) {
        give_line(self, kind, &old, MR_HOLD_NONE, head->until_ns);
    }
}

void mr_hold_give_rises(struct mr_hold_pieces *self, int slot, const struct mr_hold_view *view,
                        int64_t until, bool book) {
    const struct mr_hold_head *head = view->head;
    struct mr_held kind = {.feed = MR_FEED_RISES, .slot = slot};
    for (size_t i = 0; i + 1 < head->count; i++) {
        const struct mr_hold_value *left = &view->values[i], *right = left + 1;
        struct rise rise = rise_between(left, right->ns, right->x);
        int64_t from = head->until_ns;
        kind.group = mr_hold_group(view, i);
        if (is_jump(self, &rise)) {
            bool given = right->ns < from || (right->ns == from && head->booked);
            if (!given && (right->ns < until || (right->ns == until && book))) {
                push_rise(self, kind, right->ns, rise.from, rise.to);
            }
        }
        if (i == 0 && !is_neighbour(head, right)) {
            take_back_line(self, kind, view);
            from = MR_HOLD_NONE;
        }
        if (!is_jump(self, &rise)) {
            give_line(self, kind, &rise, from, until);
        }
    }
}

void mr_hold_unbook(struct mr_hold_pieces *self, int slot, const struct mr_hold_view *view) {
    struct mr_held kind = {.feed = MR_FEED_RISES, .slot = slot, .taken_back = true};
    for (size_t i = 0; i + 1 < view->head->count; i++) {
        const struct mr_hold_value *left = &view->values[i], *right = left + 1;
        struct rise rise = rise_between(left, right->ns, right->x);
        if (right->ns == view->head->until_ns && is_jump(self, &rise)) {
            kind.group = mr_hold_group(view, i);
            push_rise(self, kind, right->ns, rise.from, rise.to);
        }
    }
    mr_hold_emit(self);
    view->head->booked = 0;
}
