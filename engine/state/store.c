/* The store: cells in slabs, found through a flat table.
 *
 *   slots   [ tag | number ] ...     open addressing, linear probing, at most 3/4 full; the tag is
 *                                    32 bits of the hash, so a miss rarely touches a cell
 *   slabs   256 cells each           a cell never moves, so its pointer is its name; freed cells
 *                                    form a list
 *   blocks  accumulators and heads   one block per unpacked cell, recycled, all of one size
 *
 * Deleting shifts the followers back, so there are no tombstones to sweep. */
#include "engine/state/store.h"

#include <assert.h>
#include <millrace/hash.h>
#include <stdlib.h>

#define SLOTS_MIN     64
#define PREFETCH_BODY 1024 /* bytes: of a longer body, only a few places are touched */

static uint64_t hash_of(struct mr_slice group, int64_t start_ns, enum mr_cell_kind kind) {
    uint64_t mixed = ((uint64_t)start_ns + kind) * UINT64_C(0x9E3779B97F4A7C15);
    uint64_t h = mr_hash64(group.data, group.length) ^ mixed;
    return h ^ (h >> 29);
}

struct mr_store *mr_store_create(const struct mr_measures *measures, uint64_t layout_hash) {
    struct mr_store *store = mr_allocate(sizeof(*store));
    store->measures = measures;
    store->layout_hash = layout_hash;
    store->covered_ns = MR_NEVER;
    store->slot_count = SLOTS_MIN;
    store->slots = mr_allocate_array(SLOTS_MIN, struct mr_slot);
    size_t heads = 0;
    for (size_t i = 0; i < measures->count; i++) {
        heads += measures->items[i].aggregate->head_size;
    }
    store->block_size = measures->count * sizeof(struct mr_accumulator) + heads;
    if (store->block_size < sizeof(struct mr_accumulator)) {
        store->block_size = sizeof(struct mr_accumulator);
    }
    return store;
}

static struct mr_cell *cell_at(const struct mr_store *store, uint32_t number) {
    return &store->slabs[number / MR_SLAB_CELLS][number % MR_SLAB_CELLS];
}

void mr_store_destroy(struct mr_store *store) {
    if (!store) {
        return;
    }
    for (uint32_t number = 0; number < store->used; number++) {
        mr_cell_finish(store, cell_at(store, number));
    }
    for (size_t i = 0; i < store->slab_count; i++) {
        free(store->slabs[i]);
    }
    while (store->spare_blocks) {
        void *next = *(void **)store->spare_blocks;
        free(store->spare_blocks);
        store->spare_blocks = next;
    }
    mr_ends_finish(store);
    free(store->slabs);
    free(store->slots);
    free(store->dirty);
    free(store->keyed);
    mr_buffer_finish(&store->tombstones);
    mr_buffer_finish(&store->scratch);
    free(store->packing.body);
    free(store);
}

/* ---- Blocks ------------------------------------------------------------------------------- */

static size_t accumulators_of(const struct mr_store *store, const struct mr_cell *cell) {
    return cell->kind == MR_CELL_KEYED ? 1 : store->measures->count;
}

void mr_cell_give_block(struct mr_store *store, struct mr_cell *cell) {
    char *block = store->spare_blocks;
    if (block) {
        store->spare_blocks = *(void **)(void *)block;
        memset(block, 0, store->block_size);
    } else {
        block = mr_allocate(store->block_size);
        store->bytes += store->block_size; /* for good: it is recycled, not freed */
    }
    cell->accumulators = (struct mr_accumulator *)(void *)block;
    size_t count = accumulators_of(store, cell);
    char *head = block + count * sizeof(struct mr_accumulator);
    for (size_t i = 0; i < count && cell->kind != MR_CELL_KEYED; i++) {
        cell->accumulators[i].head = head;
        head += store->measures->items[i].aggregate->head_size;
    }
}

void mr_cell_take_block(struct mr_store *store, struct mr_cell *cell) {
    if (!cell->accumulators) {
        return;
    }
    size_t count = accumulators_of(store, cell);
    for (size_t i = 0; i < count; i++) {
        free(cell->accumulators[i].body);
    }
    *(void **)(void *)cell->accumulators = store->spare_blocks;
    store->spare_blocks = cell->accumulators;
    cell->accumulators = NULL;
    store->bytes -= cell->charged;
    cell->charged = 0;
}

/* Counts what the bodies have grown to. */
void mr_cell_charge(struct mr_store *store, struct mr_cell *cell) {
    if (!cell->accumulators) {
        return;
    }
    size_t count = accumulators_of(store, cell);
    uint32_t bodies = 0;
    for (size_t i = 0; i < count; i++) {
        bodies += cell->accumulators[i].capacity;
    }
    store->bytes += bodies;
    store->bytes -= cell->charged;
    cell->charged = bodies;
}

void mr_cell_finish(struct mr_store *store, struct mr_cell *cell) {
    mr_cell_take_block(store, cell);
    store->bytes -= cell->packed.length;
    free((void *)(uintptr_t)cell->packed.data);
    free(cell->large);
    cell->packed = (struct mr_slice){0};
    cell->large = NULL;
}

/* ---- The table ---------------------------------------------------------------------------- */

static struct mr_slot *find(const struct mr_store *store, uint64_t hash, struct mr_slice group,
                            int64_t start_ns, enum mr_cell_kind kind) {
    size_t mask = store->slot_count - 1;
    uint32_t tag = (uint32_t)(hash >> 32) | 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct mr_slot *slot = &store->slots[i];
        if (slot->tag == 0) {
            return slot;
        }
        if (slot->tag == tag) {
            struct mr_cell *cell = cell_at(store, slot->number);
            if (cell->hash == hash && cell->span.start_ns == start_ns && cell->kind == kind &&
                mr_slice_equal(mr_cell_group(cell), group)) {
                return slot;
            }
        }
    }
}

static void grow(struct mr_store *store) {
    struct mr_slot *old = store->slots;
    size_t old_count = store->slot_count;
    store->slot_count *= 2;
    store->slots = mr_allocate_array(store->slot_count, struct mr_slot);
    size_t mask = store->slot_count - 1;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].tag != 0) {
            size_t at = cell_at(store, old[i].number)->hash & mask;
            while (store->slots[at].tag != 0) {
                at = (at + 1) & mask;
            }
            store->slots[at] = old[i];
        }
    }
    store->bytes += (store->slot_count - old_count) * sizeof(struct mr_slot);
    free(old);
}

static uint32_t new_number(struct mr_store *store) {
    if (store->spare_cells) {
        uint32_t number = store->spare_cells - 1;
        store->spare_cells = cell_at(store, number)->end_at;
        return number;
    }
    if (store->used == store->slab_count * MR_SLAB_CELLS) {
        store->slabs = mr_reallocate(store->slabs, (store->slab_count + 1) * sizeof(*store->slabs));
        store->slabs[store->slab_count++] = mr_allocate_array(MR_SLAB_CELLS, struct mr_cell);
        store->bytes += MR_SLAB_CELLS * sizeof(struct mr_cell);
    }
    return store->used++;
}

static void list_keyed(struct mr_store *store, struct mr_cell *cell) {
    if (store->keyed_count == store->keyed_capacity) {
        store->keyed_capacity = store->keyed_capacity ? 2 * store->keyed_capacity : 64;
        store->keyed = mr_reallocate(store->keyed, store->keyed_capacity * sizeof(*store->keyed));
    }
    cell->end_at = store->keyed_count;
    store->keyed[store->keyed_count++] = cell;
}

static void unlist_keyed(struct mr_store *store, const struct mr_cell *cell) {
    struct mr_cell *moved = store->keyed[--store->keyed_count];
    store->keyed[cell->end_at] = moved;
    moved->end_at = cell->end_at;
}

static struct mr_cell *get(struct mr_store *store, struct mr_slice group, struct mr_span span,
                           enum mr_cell_kind kind, bool make) {
    assert(group.length <= UINT16_MAX);
    uint64_t hash = hash_of(group, span.start_ns, kind);
    struct mr_slot *slot = find(store, hash, group, span.start_ns, kind);
    if (slot->tag != 0 || !make) {
        return slot->tag != 0 ? cell_at(store, slot->number) : NULL;
    }
    if ((store->count + 1) * 4 > store->slot_count * 3) {
        grow(store);
        slot = find(store, hash, group, span.start_ns, kind);
    }
    uint32_t number = new_number(store);
    *slot = (struct mr_slot){(uint32_t)(hash >> 32) | 1, number};
    struct mr_cell *cell = cell_at(store, number);
    *cell = (struct mr_cell){
        .span = span, .hash = hash, .kind = (uint8_t)kind, .group_length = (uint16_t)group.length};
    if (group.length > sizeof(cell->small)) {
        cell->large = mr_allocate(group.length);
        store->bytes += group.length;
    }
    if (group.length > 0) {
        memcpy(cell->large ? cell->large : cell->small, group.data, group.length);
    }
    store->count++;
    if (kind == MR_CELL_KEYED) {
        list_keyed(store, cell);
    } else {
        mr_ends_add(store, cell);
    }
    return cell;
}

struct mr_cell *mr_store_window(struct mr_store *store, struct mr_slice group, struct mr_span span,
                                bool make) {
    struct mr_cell *cell = get(store, group, span, MR_CELL_WINDOW, make);
    if (cell && make && !cell->accumulators && !cell->packed.data) {
        mr_cell_give_block(store, cell);
    }
    return cell;
}

struct mr_cell *mr_store_keyed(struct mr_store *store, struct mr_slice key, bool make) {
    struct mr_cell *cell = get(store, key, (struct mr_span){0}, MR_CELL_KEYED, make);
    if (cell && make && !cell->accumulators) {
        mr_cell_give_block(store, cell);
    }
    return cell;
}

struct mr_cell *mr_store_cover(struct mr_store *store, struct mr_slice group, struct mr_span span,
                               bool make) {
    if (make && span.end_ns > store->covered_ns) {
        store->covered_ns = span.end_ns;
    }
    return get(store, group, span, MR_CELL_COVER, make);
}

/* A place that lies between hole and the follower's home may be filled by the follower. */
static void unlink_slot(struct mr_store *store, struct mr_slot *slot) {
    size_t mask = store->slot_count - 1;
    size_t hole = (size_t)(slot - store->slots);
    for (size_t i = (hole + 1) & mask; store->slots[i].tag != 0; i = (i + 1) & mask) {
        size_t home = cell_at(store, store->slots[i].number)->hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            store->slots[hole] = store->slots[i];
            hole = i;
        }
    }
    store->slots[hole].tag = 0;
}

void mr_cell_forget(struct mr_store *store, struct mr_cell *cell) {
    mr_cell_clean(store, cell);
    struct mr_slot *slot =
        find(store, cell->hash, mr_cell_group(cell), cell->span.start_ns, cell->kind);
    uint32_t number = slot->number;
    unlink_slot(store, slot);
    if (cell->kind == MR_CELL_KEYED) {
        unlist_keyed(store, cell);
    } else {
        mr_ends_remove(store, cell);
    }
    if (cell->large) {
        store->bytes -= cell->group_length;
    }
    mr_cell_finish(store, cell);
    cell->end_at = store->spare_cells;
    store->spare_cells = number + 1;
    store->count--;
}

void mr_store_drop(struct mr_store *store, struct mr_cell *cell) {
    if (cell->logged) {
        mr_cell_tombstone(store, cell);
    }
    mr_cell_forget(store, cell);
}

void mr_store_sweep(struct mr_store *store, bool (*visit)(void *arg, struct mr_cell *cell),
                    void *arg) {
    /* Dropping shifts slots back, so collect first. */
    struct mr_cell **doomed = NULL;
    size_t count = 0;
    for (size_t i = 0; i < store->slot_count; i++) {
        if (store->slots[i].tag == 0) {
            continue;
        }
        struct mr_cell *cell = cell_at(store, store->slots[i].number);
        if (!visit(arg, cell)) {
            if ((count & (count - 1)) == 0) {
                doomed = mr_reallocate(doomed, (count ? 2 * count : 1) * sizeof(*doomed));
            }
            doomed[count++] = cell;
        }
    }
    for (size_t i = 0; i < count; i++) {
        mr_store_drop(store, doomed[i]);
    }
    free(doomed);
}

/* From the last to the first: dropping one fills its place with the last, which was visited. */
void mr_store_sweep_keyed(struct mr_store *store, bool (*visit)(void *arg, struct mr_cell *cell),
                          void *arg) {
    for (uint32_t i = store->keyed_count; i > 0; i--) {
        if (!visit(arg, store->keyed[i - 1])) {
            mr_store_drop(store, store->keyed[i - 1]);
        }
    }
}

size_t mr_store_bytes(const struct mr_store *store) {
    return store->bytes;
}

int64_t mr_store_covered(const struct mr_store *store) {
    return store->covered_ns;
}

size_t mr_store_cells(const struct mr_store *store) {
    return store->count;
}

uint64_t mr_store_hash(struct mr_slice group, int64_t start_ns) {
    return hash_of(group, start_ns, MR_CELL_WINDOW);
}

static void prefetch_bytes(const void *bytes, size_t length) {
    for (size_t at = 0; bytes && at < length; at += 64) {
        __builtin_prefetch((const char *)bytes + at, 1);
    }
}

static void prefetch_bodies(const struct mr_store *store, const struct mr_cell *cell) {
    for (size_t i = 0; cell->accumulators && i < store->measures->count; i++) {
        const struct mr_accumulator *accumulator = &cell->accumulators[i];
        if (accumulator->length <= PREFETCH_BODY) {
            prefetch_bytes(accumulator->body, accumulator->length);
        }
    }
}

void mr_store_prefetch(const struct mr_store *store, uint64_t hash, int stage) {
    const struct mr_slot *slot = &store->slots[hash & (store->slot_count - 1)];
    if (stage == 0) {
        __builtin_prefetch(slot);
        return;
    }
    if (slot->tag != ((uint32_t)(hash >> 32) | 1)) {
        return;
    }
    const struct mr_cell *cell = cell_at(store, slot->number);
    if (stage == 1) {
        prefetch_bytes(cell, sizeof *cell);
    } else if (stage == 2) {
        prefetch_bytes(cell->accumulators, store->block_size < 512 ? store->block_size : 512);
    } else {
        prefetch_bodies(store, cell);
    }
}
