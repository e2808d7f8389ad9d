/* hold_pieces: from what `hold` remembers to what aggregates are given. */
#ifndef OPERATORS_HOLD_PIECES_H
#define OPERATORS_HOLD_PIECES_H

#include "operators/hold_cell.h"
#include <millrace/operator.h>

#define MR_HOLD_PIECES 64

struct mr_hold_pieces {
    struct mr_operator *op; /* that emits them */
    int64_t max_gap_ns;
    enum mr_status status; /* the first that was not MR_OK since begin */
    struct mr_error *err;
    struct mr_held batch; /* not yet emitted */
    double x[MR_HOLD_PIECES], from[MR_HOLD_PIECES];
    int64_t ns[MR_HOLD_PIECES];
};

static inline int64_t mr_hold_least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Saturates: event times and durations are below 2^62, but for the last window's end. */
static inline int64_t mr_hold_plus(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

void mr_hold_begin(struct mr_hold_pieces *self, struct mr_operator *op, int64_t max_gap_ns,
                   struct mr_error *err);
/* What each value held, from where it was emitted before to `until`. */
void mr_hold_give_values(struct mr_hold_pieces *self, int slot, const struct mr_hold_view *view,
                         int64_t until);
/* What the counter rose from there on; `book`: also what it rose at `until` itself. Where another
 * neighbour has come in between, what was given before is taken back, and given anew. */
void mr_hold_give_rises(struct mr_hold_pieces *self, int slot, const struct mr_hold_view *view,
                        int64_t until, bool book);
/* Takes back what the counter rose at until_ns: another value of that time is about to come. */
void mr_hold_unbook(struct mr_hold_pieces *self, int slot, const struct mr_hold_view *view);
void mr_hold_emit(struct mr_hold_pieces *self); /* what is left in the batch */

#endif
