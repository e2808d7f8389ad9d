/* The bytes of one key and field, and how they grow.
 *
 * The case that must be fast is a value in order, in the group of the one before it: a copy of 24
 * bytes at the end. A value out of order is put in its place by moving the later ones; a text in
 * the middle of a run of its neighbours' is the one case in which the texts are written anew. */
#include "operators/hold_cell.h"
#include "operators/aggregates/packing.h"

/* A cell is at most 1 MiB packed; the rest is for what a changelog adds, and for a text that must
 * be written twice. */
#define CELL_MAX ((1 << 20) - 8192)

static uint32_t padded(uint32_t length) {
    return (length + 7) & ~UINT32_C(7);
}

static size_t length_of(const struct mr_hold_head *head) {
    return sizeof *head + padded(head->texts) + (size_t)head->count * sizeof(struct mr_hold_value);
}

static void look(const struct mr_accumulator *cell, struct mr_hold_view *view) {
    view->head = (struct mr_hold_head *)(void *)cell->body;
    view->texts = (char *)cell->body + sizeof *view->head;
    view->values = (struct mr_hold_value *)(void *)(view->texts + padded(view->head->texts));
}

bool mr_hold_view(const struct mr_accumulator *cell, struct mr_hold_view *view) {
    if (cell->length < sizeof *view->head) {
        return false;
    }
    look(cell, view);
    if (view->head->count == 0 || view->head->texts > cell->length ||
        length_of(view->head) != cell->length) {
        return false;
    }
    /* The changelog's checksums guard the values; these two keep what is read inside the cell. */
    const struct mr_hold_value *last = &view->values[view->head->count - 1];
    return (uint64_t)last->group_at + last->group_length <= view->head->texts;
}

bool mr_hold_has_room(const struct mr_accumulator *cell, struct mr_slice group) {
    return cell->length + sizeof(struct mr_hold_value) + padded((uint32_t)group.length) <= CELL_MAX;
}

/* ---- Order ---------------------------------------------------------------------------------- */

static int compare_texts(struct mr_slice a, struct mr_slice b) {
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* Of the value in the cell against one that is to be added. */
static int compare(const struct mr_hold_view *view, size_t i, const struct mr_hold_value *value,
                   struct mr_slice group) {
    const struct mr_hold_value *here = &view->values[i];
    if (here->ns != value->ns) {
        return here->ns < value->ns ? -1 : 1;
    }
    if (mr_below(here->x, value->x) || mr_below(value->x, here->x)) {
        return mr_below(here->x, value->x) ? -1 : 1;
    }
    return compare_texts(mr_hold_group(view, i), group);
}

/* How many values stand before it. */
static size_t place_of(const struct mr_hold_view *view, const struct mr_hold_value *value,
                       struct mr_slice group) {
    size_t low = 0, high = view->head->count;
    if (high > 0 && view->values[high - 1].ns < value->ns) {
        return high;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(view, middle, value, group) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

/* Room for `length` bytes of cell; twice as much as there is, so that growing is rare. */
static void make_room(struct mr_accumulator *cell, size_t length) {
    if (length > cell->capacity) {
        size_t twice = 2 * (size_t)cell->capacity;
        mr_accumulator_reserve(cell, (uint32_t)(length > twice ? length : twice));
    }
}

/* Makes the texts so many bytes long: what is new is zero, the values move. */
static void resize_texts(struct mr_accumulator *cell, uint32_t texts) {
    struct mr_hold_view view;
    look(cell, &view);
    uint32_t old = padded(view.head->texts), now = padded(texts);
    size_t values = view.head->count * sizeof *view.values;
    make_room(cell, sizeof *view.head + now + values);
    look(cell, &view);
    memmove(view.texts + now, view.texts + old, values);
    if (texts > view.head->texts) {
        memset(view.texts + view.head->texts, 0, now - view.head->texts);
    } else {
        memset(view.texts + texts, 0, now - texts);
    }
    view.head->texts = texts;
    cell->length = (uint32_t)length_of(view.head);
}

static uint32_t add_text(struct mr_accumulator *cell, struct mr_slice text) {
    struct mr_hold_view view;
    look(cell, &view);
    uint32_t at = view.head->texts;
    resize_texts(cell, at + (uint32_t)text.length);
    look(cell, &view);
    if (text.length > 0) {
        memcpy(view.texts + at, text.data, text.length);
    }
    return at;
}

/* Writes the texts anew: in the order of the values, once for neighbours that share one. */
static void order_texts(struct mr_accumulator *cell, struct mr_accumulator *scratch) {
    struct mr_hold_view view;
    struct mr_slice before = {0};
    look(cell, &view);
    scratch->length = 0;
    for (size_t i = 0; i < view.head->count; i++) {
        struct mr_slice text = mr_hold_group(&view, i);
        if (!before.data || !mr_slice_equal(before, text)) {
            make_room(scratch, scratch->length + text.length + 1);
            memcpy(scratch->body + scratch->length, text.data, text.length);
            scratch->length += (uint32_t)text.length;
        }
        view.values[i].group_at = scratch->length - (uint32_t)text.length;
        before = text;
    }
    resize_texts(cell, scratch->length);
    look(cell, &view);
    memcpy(view.texts, scratch->body, scratch->length);
}

/* ---- Adding and forgetting ------------------------------------------------------------------ */

static void begin(struct mr_accumulator *cell) {
    struct mr_hold_head head = {.until_ns = MR_HOLD_NONE, .neighbour_ns = MR_HOLD_NONE};
    make_room(cell, 256);
    memcpy(cell->body, &head, sizeof head);
    cell->length = sizeof head;
}

static void put(struct mr_accumulator *cell, size_t at, const struct mr_hold_value *value) {
    struct mr_hold_view view;
    make_room(cell, cell->length + sizeof *value);
    look(cell, &view);
    memmove(&view.values[at + 1], &view.values[at], (view.head->count - at) * sizeof *view.values);
    view.values[at] = *value;
    view.head->count++;
    cell->length += (uint32_t)sizeof *value;
}

void mr_hold_add(struct mr_accumulator *cell, const struct mr_hold_value *value,
                 struct mr_slice group, struct mr_accumulator *scratch) {
    struct mr_hold_view view;
    struct mr_hold_value added = *value;
    if (cell->length == 0) {
        begin(cell);
    }
    look(cell, &view);
    size_t at = place_of(&view, value, group), count = view.head->count;
    if (at < count && compare(&view, at, value, group) == 0) {
        return;
    }
    added.group_length = (uint32_t)group.length;
    if (at > 0 && mr_slice_equal(mr_hold_group(&view, at - 1), group)) {
        added.group_at = view.values[at - 1].group_at;
        put(cell, at, &added);
    } else if (at < count && mr_slice_equal(mr_hold_group(&view, at), group)) {
        added.group_at = view.values[at].group_at;
        put(cell, at, &added);
    } else {
        added.group_at = add_text(cell, group);
        put(cell, at, &added);
        if (at < count) {
            order_texts(cell, scratch);
        }
    }
}

void mr_hold_forget(struct mr_accumulator *cell, size_t count, struct mr_accumulator *scratch) {
    struct mr_hold_view view;
    look(cell, &view);
    if (count == 0) {
        return;
    }
    view.head->count -= (uint32_t)count;
    memmove(view.values, view.values + count, view.head->count * sizeof *view.values);
    cell->length = (uint32_t)length_of(view.head);
    if (view.head->texts != view.values[0].group_length) {
        order_texts(cell, scratch);
    }
}
