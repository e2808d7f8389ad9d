/* state: cells, the only memory of a job.
 *
 *   a window cell   (group, span)  one accumulator per measure of the plan, while open or lately
 *                                  revised; packed bytes while closed. Where windows overlap, its
 *                                  span is a pane: a step of theirs, held by several
 *   a cover         (group, span)  a window over panes that has closed: its rev, and no
 * accumulators a keyed cell    (key)          one accumulator without a span (what duplicates
 * remember)
 *
 * Cells lie in slabs behind a flat hash table: no node, no malloc and no pointer chase per record.
 * All window cells of one end stand in one list, because they close and drop together; so do
 * covers.
 *
 * Invariants
 * - `dirty` cells are exactly those whose packed bytes differ from what was last taken by
 *   mr_store_take_dirty; dropped cells that a changelog has seen are named by tombstones.
 * - A cell's pointer is valid until the cell is dropped.
 * Thread: one store, one worker. */
#ifndef ENGINE_STATE_H
#define ENGINE_STATE_H

#include "engine/base/base.h"
#include <millrace/operator.h>

enum mr_cell_kind { MR_CELL_WINDOW, MR_CELL_KEYED, MR_CELL_COVER };

struct mr_cell {
    struct mr_span span;                 /* keyed: {0, 0}                                    */
    struct mr_accumulator *accumulators; /* NULL while packed                                */
    struct mr_slice packed;              /* owned; length 0 while not packed                 */
    uint64_t hash;
    uint64_t samples;  /* put in by the task, as far as it counts them                   */
    uint32_t rev;      /* how many closed rows were emitted                              */
    uint32_t dirty_at; /* place in the dirty list + 1; 0: clean                          */
    uint32_t end_at;   /* place in the list of its end; keyed: in that of its kind       */
    uint32_t charged;  /* bytes of bodies that mr_store_bytes counts                     */
    uint16_t group_length;
    uint8_t kind; /* enum mr_cell_kind */
    bool closed;
    bool pending;   /* closed, and changed since its last row: a revision             */
    bool fresh;     /* open, and changed since its last preview                       */
    bool logged;    /* the changelog may have it: dropping needs a tombstone          */
    char small[23]; /* the group, when it fits                                        */
    char *large;    /* else here                                                      */
};

static inline struct mr_slice mr_cell_group(const struct mr_cell *cell) {
    return (struct mr_slice){cell->large ? cell->large : cell->small, cell->group_length};
}

/* The window cells of one end, or the covers of one. */
struct mr_end {
    int64_t end_ns;
    struct mr_cell **cells;
    uint32_t count, capacity;
    uint32_t open; /* how many of them are not closed */
};

struct mr_store;

struct mr_store *mr_store_create(const struct mr_measures *measures, uint64_t layout_hash);
void mr_store_destroy(struct mr_store *store); /* accepts NULL */

/* Finds, or with `make` creates, a cell; NULL when there is none. A made cell is clean and open;
 * the caller marks what it changes. group.length <= MR_KEY_MAX. */
struct mr_cell *mr_store_window(struct mr_store *store, struct mr_slice group, struct mr_span span,
                                bool make);
struct mr_cell *mr_store_keyed(struct mr_store *store, struct mr_slice key, bool make);
struct mr_cell *mr_store_cover(struct mr_store *store, struct mr_slice group, struct mr_span span,
                               bool make);

/* Gives a packed cell its accumulators back. MR_FAIL on bytes that no store has packed. */
enum mr_status mr_store_unpack(struct mr_store *store, struct mr_cell *cell, struct mr_error *err);

void mr_store_touch(struct mr_store *store, struct mr_cell *cell); /* dirty and fresh */
void mr_store_close(struct mr_store *store, struct mr_cell *cell); /* closed and dirty */
void mr_store_drop(struct mr_store *store, struct mr_cell *cell);

/* The least end with an open window cell, and the least end of all window cells (covers); NULL when
 * there is none. Valid until a cell is made, or the next call of any. */
struct mr_end *mr_store_next_close(struct mr_store *store);
struct mr_end *mr_store_next_drop(struct mr_store *store, enum mr_cell_kind kind);
/* The window cells that end there, or NULL. Valid until one of them is made or dropped. */
const struct mr_end *mr_store_end(struct mr_store *store, int64_t end_ns);
/* The largest end that a cover has had; MR_NEVER: there was none. */
int64_t mr_store_covered(const struct mr_store *store);
/* The open cells that have changed since their last preview, sorted; the caller frees the list. */
struct mr_cell **mr_store_fresh(struct mr_store *store, size_t *count);
void mr_cells_sort(struct mr_cell **cells, size_t count); /* by (end, group) */

/* Visits every cell, in no order; visit returns false to drop it. */
void mr_store_sweep(struct mr_store *store, bool (*visit)(void *arg, struct mr_cell *cell),
                    void *arg);
/* The same of keyed cells only; visit may make window cells. */
void mr_store_sweep_keyed(struct mr_store *store, bool (*visit)(void *arg, struct mr_cell *cell),
                          void *arg);

/* Hands every change since the last call to `take` as a record of a changelog: value.data == NULL
 * is a tombstone. Closed cells are left packed. Stops at the first status but MR_OK. */
typedef enum mr_status mr_store_take(void *arg, struct mr_slice key, struct mr_slice value,
                                     struct mr_error *err);
enum mr_status mr_store_take_dirty(struct mr_store *store, mr_store_take *take, void *arg,
                                   struct mr_error *err);

/* Hands every window cell to `ship`, packed as mr_store_merge takes it, and forgets it and what it
 * took; keyed cells stay. For cells that no changelog has seen. Stops at the first status but
 * MR_OK. */
typedef enum mr_status mr_store_shipper(void *arg, const struct mr_cell *cell,
                                        struct mr_slice packed, struct mr_error *err);
enum mr_status mr_store_ship(struct mr_store *store, mr_store_shipper *ship, void *arg,
                             struct mr_error *err);
/* Adds what mr_store_ship has packed to an unpacked cell. MR_FAIL: no store has packed these bytes,
 * and nothing was added. */
enum mr_status mr_store_merge(struct mr_store *store, struct mr_cell *cell, struct mr_slice packed,
                              struct mr_error *err);
/* Adds the accumulators of a cell, packed or not, to those of another one, which need not be in the
 * store and gets some if it has none; release gives them back. */
enum mr_status mr_store_gather(struct mr_store *store, struct mr_cell *into,
                               const struct mr_cell *from, struct mr_error *err);
void mr_store_release(struct mr_store *store, struct mr_cell *cell);

/* Puts a changelog record back, over what older ones of its key have said; without a value
 * (value.data == NULL) it says that there is no such cell. *cell (may be NULL) is the cell it made,
 * or NULL. MR_REJECT: it has another layout, and there is no such cell now. MR_FAIL: not a record
 * that a store has written. */
enum mr_status mr_store_restore(struct mr_store *store, struct mr_slice key, struct mr_slice value,
                                struct mr_cell **cell, struct mr_error *err);

size_t mr_store_bytes(const struct mr_store *store); /* of memory, near enough to limit it */
size_t mr_store_cells(const struct mr_store *store);

/* The hash by which a window cell is found, and a hint that it is about to be asked for: stage 0 is
 * its slot, 1 the cell, 2 its accumulators, 3 their bodies; each needs the one before to have
 * arrived. */
uint64_t mr_store_hash(struct mr_slice group, int64_t start_ns);
uint64_t mr_store_record_hash(struct mr_slice key); /* of a changelog's record */
void mr_store_prefetch(const struct mr_store *store, uint64_t hash, int stage);

#endif
