/* One list per window end: cells of one end close together and drop together, so there is no timer
 * per key. Covers have lists of their own.
 *
 *   nodes     end -> its cells             a hash; nearly every cell goes where the last one went
 *   all       a heap of their ends         the top drops next
 *   waiting   a heap of ends with open     the top closes next
 *             cells
 *
 * There may be a million ends (windows of a second kept for days; a device with random old times),
 * so nothing on a record's way walks through them or shifts them. A node whose last cell has gone,
 * or whose last open cell has closed, leaves the heap when it comes up. */
#include "engine/state/store.h"

#include <assert.h>
#include <stdlib.h>
#include <uthash.h>

struct mr_end_node {
    struct mr_end end;
    bool waits; /* `waiting` has its time */
    UT_hash_handle hh;
};

#define NODE_BYTES (sizeof(struct mr_end_node) + 2 * sizeof(int64_t)) /* with its heap entries */

/* ---- Heaps ---------------------------------------------------------------------------------- */

static void push(struct mr_heap *heap, int64_t time_ns) {
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? 2 * heap->capacity : 16;
        heap->items = mr_reallocate(heap->items, heap->capacity * sizeof(*heap->items));
    }
    size_t at = heap->count++;
    for (; at > 0 && heap->items[(at - 1) / 2] > time_ns; at = (at - 1) / 2) {
        heap->items[at] = heap->items[(at - 1) / 2];
    }
    heap->items[at] = time_ns;
}

static void pop(struct mr_heap *heap) {
    int64_t moved = heap->items[--heap->count];
    size_t at = 0;
    for (size_t child = 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count && heap->items[child + 1] < heap->items[child]) {
            child++;
        }
        if (heap->items[child] >= moved) {
            break;
        }
        heap->items[at] = heap->items[child];
        at = child;
    }
    heap->items[at] = moved;
}

/* ---- Nodes ---------------------------------------------------------------------------------- */

static struct mr_end_node *find(struct mr_ends *ends, int64_t end_ns) {
    if (!ends->last || ends->last->end.end_ns != end_ns) {
        struct mr_end_node *node;
        HASH_FIND(hh, ends->nodes, &end_ns, sizeof(end_ns), node);
        if (!node) {
            return NULL;
        }
        ends->last = node;
    }
    return ends->last;
}

static struct mr_end_node *make(struct mr_store *store, struct mr_ends *ends, int64_t end_ns) {
    struct mr_end_node *node = mr_allocate(sizeof(*node));
    node->end.end_ns = end_ns;
    HASH_ADD(hh, ends->nodes, end.end_ns, sizeof(end_ns), node);
    push(&ends->all, end_ns);
    ends->last = node;
    store->bytes += NODE_BYTES;
    return node;
}

static void destroy(struct mr_store *store, struct mr_ends *ends, struct mr_end_node *node) {
    HASH_DEL(ends->nodes, node);
    ends->last = NULL;
    store->bytes -= NODE_BYTES + node->end.capacity * sizeof(*node->end.cells);
    free(node->end.cells);
    free(node);
}

static struct mr_ends *ends_of(struct mr_store *store, enum mr_cell_kind kind) {
    return kind == MR_CELL_COVER ? &store->covers : &store->ends;
}

void mr_ends_add(struct mr_store *store, struct mr_cell *cell) {
    struct mr_ends *ends = ends_of(store, cell->kind);
    struct mr_end_node *node = find(ends, cell->span.end_ns);
    node = node ? node : make(store, ends, cell->span.end_ns);
    struct mr_end *end = &node->end;
    if (end->count == end->capacity) {
        uint32_t capacity = end->capacity ? 2 * end->capacity : 4;
        end->cells = mr_reallocate(end->cells, capacity * sizeof(*end->cells));
        store->bytes += (capacity - end->capacity) * sizeof(*end->cells);
        end->capacity = capacity;
    }
    cell->end_at = end->count;
    end->cells[end->count++] = cell;
    end->open++;
    if (!node->waits) {
        push(&ends->waiting, end->end_ns);
        node->waits = true;
    }
}

void mr_ends_close(struct mr_store *store, struct mr_cell *cell) {
    cell->closed = true;
    find(ends_of(store, cell->kind), cell->span.end_ns)->end.open--;
}

/* The node stays until its time comes up. */
void mr_ends_remove(struct mr_store *store, struct mr_cell *cell) {
    struct mr_end_node *node = find(ends_of(store, cell->kind), cell->span.end_ns);
    assert(node && node->end.cells[cell->end_at] == cell);
    struct mr_end *end = &node->end;
    end->open -= !cell->closed;
    struct mr_cell *moved = end->cells[--end->count];
    end->cells[cell->end_at] = moved;
    moved->end_at = cell->end_at;
}

static void finish(struct mr_store *store, struct mr_ends *ends) {
    struct mr_end_node *node, *next;
    HASH_ITER(hh, ends->nodes, node, next) {
        destroy(store, ends, node);
    }
    free(ends->all.items);
    free(ends->waiting.items);
}

void mr_ends_finish(struct mr_store *store) {
    finish(store, &store->ends);
    finish(store, &store->covers);
}

/* ---- What is next --------------------------------------------------------------------------- */

static struct mr_end *next_close(struct mr_ends *ends) {
    struct mr_heap *waiting = &ends->waiting;
    for (; waiting->count > 0; pop(waiting)) {
        struct mr_end_node *node = find(ends, waiting->items[0]);
        if (node->end.open > 0) {
            return &node->end;
        }
        node->waits = false;
    }
    return NULL;
}

struct mr_end *mr_store_next_close(struct mr_store *store) {
    return next_close(&store->ends);
}

struct mr_end *mr_store_next_drop(struct mr_store *store, enum mr_cell_kind kind) {
    struct mr_ends *ends = ends_of(store, kind);
    struct mr_heap *all = &ends->all;
    for (; all->count > 0; pop(all)) {
        struct mr_end_node *node = find(ends, all->items[0]);
        if (node->end.count > 0) {
            return &node->end;
        }
        next_close(ends); /* takes it out of `waiting`, where it is the least, too */
        destroy(store, ends, node);
    }
    return NULL;
}

const struct mr_end *mr_store_end(struct mr_store *store, int64_t end_ns) {
    const struct mr_end_node *node = find(&store->ends, end_ns);
    return node ? &node->end : NULL;
}

struct mr_cell **mr_store_fresh(struct mr_store *store, size_t *count) {
    struct mr_cell **fresh = mr_allocate_array(store->count, struct mr_cell *);
    const struct mr_heap *waiting = &store->ends.waiting;
    *count = 0;
    for (size_t i = 0; i < waiting->count; i++) {
        const struct mr_end_node *node = find(&store->ends, waiting->items[i]);
        for (uint32_t j = 0; node->end.open > 0 && j < node->end.count; j++) {
            if (!node->end.cells[j]->closed && node->end.cells[j]->fresh) {
                fresh[(*count)++] = node->end.cells[j];
            }
        }
    }
    mr_cells_sort(fresh, *count);
    return fresh;
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
