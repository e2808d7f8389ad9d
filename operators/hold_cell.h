/* hold_cell: what `hold` remembers of one key and field, as the bytes of a keyed cell.
 *
 *   head | texts of groups, padded to 8 | value | value | ...
 *
 * Values ascend by time, then value (-0 < +0), then group, so their order of arrival does not show.
 * The text of a group stands once for neighbours that share it, in the order of the values: equal
 * values, equal bytes. */
#ifndef OPERATORS_HOLD_CELL_H
#define OPERATORS_HOLD_CELL_H

#include <millrace/aggregate.h>

#define MR_HOLD_NONE INT64_MIN /* no such time */

struct mr_hold_value {
    int64_t ns;
    double x;
    uint32_t group_at, group_length; /* in the texts */
};

struct mr_hold_head {
    int64_t until_ns;      /* all before it has been emitted; MR_HOLD_NONE: nothing has      */
    int64_t neighbour_ns;  /* what the first value's interval, emitted in part, was taken to */
    double neighbour;      /* end at; MR_HOLD_NONE: nothing of a counter was                 */
    uint32_t count, texts; /* values; bytes, not padded                                      */
    uint32_t booked; /* 1: what a counter rose at until_ns itself has been emitted, too       */
    uint32_t zero;
};

struct mr_hold_view {
    struct mr_hold_head *head;
    char *texts;
    struct mr_hold_value *values;
};

/* False: these are not bytes that the functions below have made. */
bool mr_hold_view(const struct mr_accumulator *cell, struct mr_hold_view *view);

static inline struct mr_slice mr_hold_group(const struct mr_hold_view *view, size_t i) {
    return (struct mr_slice){view->texts + view->values[i].group_at, view->values[i].group_length};
}

/* Whether a value can still be added. */
bool mr_hold_has_room(const struct mr_accumulator *cell, struct mr_slice group);
/* Adds a value to a cell, which may be empty and has room; one that it has already changes nothing.
 * `scratch` is memory to work in. */
void mr_hold_add(struct mr_accumulator *cell, const struct mr_hold_value *value,
                 struct mr_slice group, struct mr_accumulator *scratch);
/* Forgets the first `count` values; one remains. */
void mr_hold_forget(struct mr_accumulator *cell, size_t count, struct mr_accumulator *scratch);

#endif
