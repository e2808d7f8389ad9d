/* Private to the room: what store.c, ends.c and pack.c share. */
#ifndef ENGINE_STATE_STORE_H
#define ENGINE_STATE_STORE_H

#include "engine/state/state.h"

#define MR_SLAB_CELLS 256

struct mr_slot {
    uint32_t tag; /* 0: free */
    uint32_t number;
};

struct mr_heap {
    int64_t *items;
    size_t count, capacity;
};

struct mr_ends {
    struct mr_end_node *nodes; /* by time: a hash                                       */
    struct mr_end_node *last;  /* where the last cell was added: most go there again    */
    struct mr_heap all;        /* the time of every node, once                          */
    struct mr_heap waiting;    /* of every node with an open cell; stale ones may linger */
};

struct mr_store {
    const struct mr_measures *measures;
    uint64_t layout_hash;
    struct mr_slot *slots;
    size_t slot_count; /* a power of two */
    size_t count;      /* of cells */
    struct mr_cell **slabs;
    size_t slab_count;
    uint32_t used;        /* cells ever taken from the slabs                 */
    uint32_t spare_cells; /* number + 1 of the first free cell; 0: none      */
    void *spare_blocks;
    size_t block_size;
    size_t bytes;
    struct mr_ends ends;    /* of window cells                                        */
    struct mr_ends covers;  /* of covers                                              */
    int64_t covered_ns;     /* the largest end that a cover has had                   */
    struct mr_cell **keyed; /* the keyed cells, in no order: cell->end_at is the place */
    uint32_t keyed_count, keyed_capacity;
    struct mr_cell **dirty;
    uint32_t dirty_count, dirty_capacity;
    struct mr_buffer tombstones; /* u32 length, key, ...                     */
    struct mr_buffer scratch;
    struct mr_accumulator packing; /* body only: where aggregates pack to     */
};

void mr_cell_give_block(struct mr_store *store, struct mr_cell *cell);
void mr_cell_take_block(struct mr_store *store, struct mr_cell *cell);
void mr_cell_charge(struct mr_store *store, struct mr_cell *cell);
void mr_cell_finish(struct mr_store *store, struct mr_cell *cell);
void mr_cell_clean(struct mr_store *store, struct mr_cell *cell);  /* off the dirty list */
void mr_cell_forget(struct mr_store *store, struct mr_cell *cell); /* drops without a tombstone */
void mr_cell_tombstone(struct mr_store *store, const struct mr_cell *cell);

void mr_ends_add(struct mr_store *store, struct mr_cell *cell);
void mr_ends_remove(struct mr_store *store, struct mr_cell *cell);
void mr_ends_close(struct mr_store *store, struct mr_cell *cell); /* it is open until now */
void mr_ends_finish(struct mr_store *store);

#endif
