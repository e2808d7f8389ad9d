/* One list per window end: cells of one end close together and drop together, so there is no
 * timer per key. There are few ends, (grace + retain) / length and the odd late one, in a sorted
 * array; nearly every cell is added to the end that the last one went to. */
#include "engine/state/store.h"

#include <assert.h>
#include <stdlib.h>

/* The first place whose end is not below end_ns. */
static size_t lower_bound(const struct mr_ends *ends, int64_t end_ns) {
    size_t low = 0, high = ends->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ends->items[middle].end_ns < end_ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct mr_end *mr_ends_find(struct mr_ends *ends, int64_t end_ns) {
    if (ends->last < ends->count && ends->items[ends->last].end_ns == end_ns) {
        return &ends->items[ends->last];
    }
    size_t at = lower_bound(ends, end_ns);
    if (at == ends->count || ends->items[at].end_ns != end_ns) {
        return NULL;
    }
    ends->last = at;
    return &ends->items[at];
}

static struct mr_end *insert(struct mr_ends *ends, int64_t end_ns) {
    if (ends->count == ends->capacity) {
        ends->capacity = ends->capacity ? 2 * ends->capacity : 16;
        ends->items = mr_reallocate(ends->items, ends->capacity * sizeof(*ends->items));
    }
    size_t at = lower_bound(ends, end_ns);
    memmove(&ends->items[at + 1], &ends->items[at], (ends->count - at) * sizeof(*ends->items));
    ends->count++;
    ends->items[at] = (struct mr_end){.end_ns = end_ns};
    ends->last = at;
    return &ends->items[at];
}

void mr_ends_add(struct mr_ends *ends, struct mr_cell *cell) {
    struct mr_end *end = mr_ends_find(ends, cell->span.end_ns);
    if (!end) {
        end = insert(ends, cell->span.end_ns);
    }
    if (end->count == end->capacity) {
        end->capacity = end->capacity ? 2 * end->capacity : 4;
        end->cells = mr_reallocate(end->cells, end->capacity * sizeof(struct mr_cell *));
    }
    cell->end_at = end->count;
    end->cells[end->count++] = cell;
    end->open += !cell->closed;
}

void mr_ends_remove(struct mr_ends *ends, struct mr_cell *cell) {
    struct mr_end *end = mr_ends_find(ends, cell->span.end_ns);
    assert(end && end->cells[cell->end_at] == cell);
    end->open -= !cell->closed;
    struct mr_cell *moved = end->cells[--end->count];
    end->cells[cell->end_at] = moved;
    moved->end_at = cell->end_at;
    if (end->count == 0) {
        size_t at = (size_t)(end - ends->items);
        free(end->cells);
        ends->count--;
        memmove(end, end + 1, (ends->count - at) * sizeof(*end));
    }
}

void mr_ends_finish(struct mr_ends *ends) {
    for (size_t i = 0; i < ends->count; i++) {
        free(ends->items[i].cells);
    }
    free(ends->items);
}

size_t mr_store_end_count(const struct mr_store *store) {
    return store->ends.count;
}

struct mr_end *mr_store_end(struct mr_store *store, size_t i) {
    assert(i < store->ends.count);
    return &store->ends.items[i];
}

int64_t mr_store_next_close(const struct mr_store *store) {
    for (size_t i = 0; i < store->ends.count; i++) {
        if (store->ends.items[i].open > 0) {
            return store->ends.items[i].end_ns;
        }
    }
    return INT64_MAX;
}

int64_t mr_store_next_drop(const struct mr_store *store) {
    return store->ends.count > 0 ? store->ends.items[0].end_ns : INT64_MAX;
}

static int compare(const void *left, const void *right) {
    const struct mr_cell *a = *(struct mr_cell *const *)left, *b = *(struct mr_cell *const *)right;
    if (a->span.end_ns != b->span.end_ns) {
        return a->span.end_ns < b->span.end_ns ? -1 : 1;
    }
    struct mr_slice ga = mr_cell_group(a), gb = mr_cell_group(b);
    size_t shared = ga.length < gb.length ? ga.length : gb.length;
    int order = shared > 0 ? memcmp(ga.data, gb.data, shared) : 0;
    return order != 0 ? order : (ga.length > gb.length) - (ga.length < gb.length);
}

void mr_cells_sort(struct mr_cell **cells, size_t count) {
    if (count > 1) {
        qsort(cells, count, sizeof(*cells), compare);
    }
}
