/* Cells as bytes: what the changelog keeps, and what a closed cell is in memory.
 *
 *   key     'w' | start_ns u64 big endian, sign bit flipped | group        a window cell
 *           'c' | the same                                                a cover
 *           'k' | key                                                     a keyed cell
 *   value   u64 layout hash | u8 flags (1: closed) | varint rev | varint end - start |
 *           packed: per measure, varint length and its canonical bytes     a window cell
 *           the same, without what is packed                              a cover
 *           u64 layout hash | body                                        a keyed cell
 *
 * Little endian. The layout hash stands first in every value, so a job whose window, groups or
 * statistics have changed is found out by the first record that it reads. */
#include "engine/state/store.h"

#include <assert.h>
#include <stdlib.h>

#define SPARE_BLOCKS 1024 /* a store that ships so many cells gives their memory back */

/* ---- Dirty cells and tombstones ----------------------------------------------------------- */

static void mark(struct mr_store *store, struct mr_cell *cell) {
    if (cell->dirty_at != 0) {
        return;
    }
    if (store->dirty_count == store->dirty_capacity) {
        store->dirty_capacity = store->dirty_capacity ? 2 * store->dirty_capacity : 64;
        store->dirty = mr_reallocate(store->dirty, store->dirty_capacity * sizeof(*store->dirty));
    }
    store->dirty[store->dirty_count++] = cell;
    cell->dirty_at = store->dirty_count;
}

void mr_store_touch(struct mr_store *store, struct mr_cell *cell) {
    mark(store, cell);
    cell->fresh = true;
}

void mr_store_close(struct mr_store *store, struct mr_cell *cell) {
    assert(cell->kind != MR_CELL_KEYED);
    if (!cell->closed) {
        mr_ends_close(store, cell);
    }
    mark(store, cell);
}

void mr_cell_clean(struct mr_store *store, struct mr_cell *cell) {
    if (cell->dirty_at == 0) {
        return;
    }
    struct mr_cell *moved = store->dirty[--store->dirty_count];
    store->dirty[cell->dirty_at - 1] = moved;
    moved->dirty_at = cell->dirty_at;
    cell->dirty_at = 0;
}

static const char letters[] = {
    [MR_CELL_WINDOW] = 'w', [MR_CELL_KEYED] = 'k', [MR_CELL_COVER] = 'c'};

/* Bytes of a key before the group. */
static uint32_t prefix_of(enum mr_cell_kind kind) {
    return kind == MR_CELL_KEYED ? 1 : 9;
}

static void put_key(struct mr_buffer *out, const struct mr_cell *cell) {
    struct mr_slice group = mr_cell_group(cell);
    char prefix[9] = {letters[cell->kind]};
    uint64_t start = (uint64_t)cell->span.start_ns ^ (UINT64_C(1) << 63);
    for (int i = 0; i < 8; i++) {
        prefix[1 + i] = (char)(start >> (56 - 8 * i));
    }
    mr_buffer_add(out, prefix, prefix_of(cell->kind));
    mr_buffer_add(out, group.data, group.length);
}

void mr_cell_tombstone(struct mr_store *store, const struct mr_cell *cell) {
    uint32_t length = cell->group_length + prefix_of(cell->kind);
    mr_put_u32(&store->tombstones, length);
    put_key(&store->tombstones, cell);
}

/* ---- Packing ------------------------------------------------------------------------------ */

static void pack_measures(struct mr_store *store, const struct mr_cell *cell,
                          struct mr_buffer *out) {
    if (!cell->accumulators) {
        mr_buffer_add(out, cell->packed.data, cell->packed.length);
        return;
    }
    for (size_t i = 0; i < store->measures->count; i++) {
        const struct mr_measure *measure = &store->measures->items[i];
        store->packing.length = 0;
        measure->aggregate->pack(&cell->accumulators[i], measure->settings, &store->packing);
        mr_put_varint(out, store->packing.length);
        mr_buffer_add(out, store->packing.body, store->packing.length);
    }
}

static void put_value(struct mr_store *store, const struct mr_cell *cell, struct mr_buffer *out,
                      size_t *measures_at) {
    mr_put_u64(out, store->layout_hash);
    if (cell->kind == MR_CELL_KEYED) {
        mr_buffer_add(out, cell->accumulators[0].body, cell->accumulators[0].length);
        return;
    }
    uint8_t flags = cell->closed;
    mr_buffer_add(out, &flags, 1);
    mr_put_varint(out, cell->rev);
    mr_put_varint(out, (uint64_t)cell->span.end_ns - (uint64_t)cell->span.start_ns);
    *measures_at = out->length;
    pack_measures(store, cell, out);
}

/* A closed cell keeps its packed bytes and gives its block back. */
static void settle(struct mr_store *store, struct mr_cell *cell, struct mr_slice packed) {
    if (cell->closed && cell->accumulators) {
        mr_cell_take_block(store, cell);
        cell->packed = mr_copy_slice(packed);
        store->bytes += packed.length;
    } else {
        mr_cell_charge(store, cell);
    }
}

static enum mr_status take_tombstones(struct mr_store *store, mr_store_take *take, void *arg,
                                      struct mr_error *err) {
    struct mr_slice all = mr_buffer_slice(&store->tombstones);
    struct mr_bytes_reader reader = {(const uint8_t *)all.data,
                                     (const uint8_t *)all.data + all.length, false};
    while (reader.at < reader.end) {
        uint32_t length = mr_get_u32(&reader);
        enum mr_status status = take(arg, mr_get_bytes(&reader, length), (struct mr_slice){0}, err);
        if (status != MR_OK) {
            return status;
        }
    }
    store->tombstones.length = 0;
    return MR_OK;
}

enum mr_status mr_store_take_dirty(struct mr_store *store, mr_store_take *take, void *arg,
                                   struct mr_error *err) {
    /* Tombstones first: a cell that was dropped and made again must stay. */
    enum mr_status status = take_tombstones(store, take, arg, err);
    for (uint32_t i = 0; i < store->dirty_count && status == MR_OK; i++) {
        struct mr_cell *cell = store->dirty[i];
        struct mr_buffer *out = &store->scratch;
        out->length = 0;
        put_key(out, cell);
        size_t key_length = out->length, measures_at = 0;
        put_value(store, cell, out, &measures_at);
        status = take(arg, (struct mr_slice){out->data, key_length},
                      (struct mr_slice){out->data + key_length, out->length - key_length}, err);
        settle(store, cell, (struct mr_slice){out->data + measures_at, out->length - measures_at});
        cell->logged = true;
        cell->dirty_at = 0;
    }
    store->dirty_count = 0;
    return status;
}

/* ---- Unpacking ---------------------------------------------------------------------------- */

static enum mr_status unpack_measures(struct mr_store *store, struct mr_cell *cell,
                                      struct mr_slice packed, struct mr_error *err) {
    struct mr_bytes_reader reader = {(const uint8_t *)packed.data,
                                     (const uint8_t *)packed.data + packed.length, false};
    for (size_t i = 0; i < store->measures->count; i++) {
        const struct mr_measure *measure = &store->measures->items[i];
        struct mr_slice bytes = mr_get_bytes(&reader, mr_get_varint(&reader));
        if (reader.bad ||
            measure->aggregate->unpack(&cell->accumulators[i], measure->settings, bytes) != MR_OK) {
            return mr_error_set(err, MR_FAIL,
                                "the stored state of a window is damaged (%s does not unpack)",
                                measure->aggregate->name);
        }
    }
    if (reader.at != reader.end) {
        return mr_error_set(err, MR_FAIL,
                            "the stored state of a window is damaged (bytes are left over)");
    }
    return MR_OK;
}

static void merge_accumulators(struct mr_store *store, struct mr_cell *into,
                               const struct mr_accumulator *from) {
    for (size_t i = 0; i < store->measures->count; i++) {
        const struct mr_measure *measure = &store->measures->items[i];
        measure->aggregate->merge(&into->accumulators[i], &from[i], measure->settings);
    }
}

static void drop_packed(struct mr_store *store, struct mr_cell *cell) {
    store->bytes -= cell->packed.length;
    free((void *)(uintptr_t)cell->packed.data);
    cell->packed = (struct mr_slice){0};
}

enum mr_status mr_store_unpack(struct mr_store *store, struct mr_cell *cell, struct mr_error *err) {
    if (cell->accumulators) {
        return MR_OK;
    }
    mr_cell_give_block(store, cell);
    enum mr_status status = unpack_measures(store, cell, cell->packed, err);
    if (status == MR_OK) {
        drop_packed(store, cell);
    }
    return status;
}

/* ---- Cells that go to another store --------------------------------------------------------- */

static void free_spare_blocks(struct mr_store *store) {
    while (store->spare_blocks) {
        void *next = *(void **)store->spare_blocks;
        free(store->spare_blocks);
        store->spare_blocks = next;
        store->bytes -= store->block_size;
    }
}

enum mr_status mr_store_ship(struct mr_store *store, mr_store_shipper *ship, void *arg,
                             struct mr_error *err) {
    enum mr_status status = MR_OK;
    size_t shipped = 0;
    for (uint32_t i = 0; i < store->dirty_count && status == MR_OK;) {
        struct mr_cell *cell = store->dirty[i];
        if (cell->kind == MR_CELL_KEYED) {
            i++;
            continue;
        }
        assert(!cell->logged);
        store->scratch.length = 0;
        pack_measures(store, cell, &store->scratch);
        status = ship(arg, cell, mr_buffer_slice(&store->scratch), err);
        mr_cell_forget(store, cell); /* the last dirty one takes its place */
        shipped++;
    }
    if (shipped > SPARE_BLOCKS) {
        free_spare_blocks(store);
    }
    return status;
}

enum mr_status mr_store_merge(struct mr_store *store, struct mr_cell *cell, struct mr_slice packed,
                              struct mr_error *err) {
    struct mr_cell part = {0};
    mr_cell_give_block(store, &part);
    enum mr_status status = unpack_measures(store, &part, packed, err);
    if (status == MR_OK) {
        merge_accumulators(store, cell, part.accumulators);
    }
    mr_cell_take_block(store, &part);
    return status;
}

enum mr_status mr_store_gather(struct mr_store *store, struct mr_cell *into,
                               const struct mr_cell *from, struct mr_error *err) {
    if (!into->accumulators) {
        mr_cell_give_block(store, into);
    }
    if (!from->accumulators) {
        return mr_store_merge(store, into, from->packed, err);
    }
    merge_accumulators(store, into, from->accumulators);
    return MR_OK;
}

void mr_store_release(struct mr_store *store, struct mr_cell *cell) {
    mr_cell_take_block(store, cell);
}

/* ---- Restoring ---------------------------------------------------------------------------- */

static enum mr_status damaged(struct mr_error *err) {
    return mr_error_set(err, MR_FAIL, "a record of the changelog is damaged");
}

static enum mr_status restore_keyed(struct mr_store *store, struct mr_slice key,
                                    struct mr_bytes_reader *reader, struct mr_cell **out) {
    struct mr_cell *cell = mr_store_keyed(store, key, true);
    struct mr_accumulator *body = &cell->accumulators[0];
    size_t length = (size_t)(reader->end - reader->at);
    mr_accumulator_reserve(body, (uint32_t)length);
    if (length > 0) {
        memcpy(body->body, reader->at, length);
    }
    body->length = (uint32_t)length;
    cell->logged = true;
    mr_cell_charge(store, cell);
    *out = cell;
    return MR_OK;
}

static struct mr_slice group_of(struct mr_slice key) {
    size_t prefix = key.data[0] == 'k' ? 1 : 9;
    return (struct mr_slice){key.data + prefix, key.length - prefix};
}

static int64_t key_start(struct mr_slice key) {
    uint64_t start = 0;
    for (int i = 0; i < 8; i++) {
        start = start << 8 | (uint8_t)key.data[1 + i];
    }
    return (int64_t)(start ^ (UINT64_C(1) << 63));
}

/* As it was before anything was added to it; the bodies keep what they have reserved. */
static void empty(struct mr_store *store, struct mr_cell *cell) {
    if (!cell->accumulators) {
        drop_packed(store, cell);
        mr_cell_give_block(store, cell);
        return;
    }
    for (size_t i = 0; i < store->measures->count; i++) {
        cell->accumulators[i].length = 0;
        memset(cell->accumulators[i].head, 0, store->measures->items[i].aggregate->head_size);
    }
}

/* The cell with empty accumulators, whatever an older record has said of it. */
static struct mr_cell *empty_window(struct mr_store *store, struct mr_slice group,
                                    struct mr_span span, bool closed) {
    struct mr_cell *cell = mr_store_window(store, group, span, false);
    if (cell && cell->span.end_ns == span.end_ns && cell->closed <= closed) {
        empty(store, cell);
        return cell;
    }
    if (cell) {
        mr_cell_forget(store, cell);
    }
    return mr_store_window(store, group, span, true);
}

/* What a window cell's value and a cover's begin with. */
struct header {
    struct mr_span span;
    uint32_t rev;
    bool closed;
};

static enum mr_status read_header(struct mr_slice key, struct mr_bytes_reader *reader,
                                  struct header *out, struct mr_error *err) {
    struct mr_slice flags = mr_get_bytes(reader, 1);
    uint64_t rev = mr_get_varint(reader), length = mr_get_varint(reader);
    out->span.start_ns = key_start(key);
    if (reader->bad || rev > UINT32_MAX || length == 0 || length > INT64_MAX ||
        __builtin_add_overflow(out->span.start_ns, (int64_t)length, &out->span.end_ns)) {
        return damaged(err);
    }
    out->rev = (uint32_t)rev;
    out->closed = flags.data[0] & 1;
    return MR_OK;
}

static enum mr_status restore_window(struct mr_store *store, struct mr_slice key,
                                     struct mr_bytes_reader *reader, struct mr_cell **out,
                                     struct mr_error *err) {
    struct header header;
    enum mr_status status = read_header(key, reader, &header, err);
    if (status != MR_OK) {
        return status;
    }
    struct mr_slice packed = {(const char *)reader->at, (size_t)(reader->end - reader->at)};
    struct mr_cell *cell = empty_window(store, group_of(key), header.span, header.closed);
    cell->rev = header.rev;
    cell->logged = true;
    status = unpack_measures(store, cell, packed, err);
    if (status != MR_OK) {
        return status;
    }
    if (header.closed && !cell->closed) {
        mr_ends_close(store, cell);
    }
    settle(store, cell, packed);
    *out = cell;
    return MR_OK;
}

static enum mr_status restore_cover(struct mr_store *store, struct mr_slice key,
                                    struct mr_bytes_reader *reader, struct mr_cell **out,
                                    struct mr_error *err) {
    struct header header;
    enum mr_status status = read_header(key, reader, &header, err);
    if (status != MR_OK || !header.closed || reader->at != reader->end) {
        return damaged(err);
    }
    struct mr_cell *cell = mr_store_cover(store, group_of(key), header.span, true);
    if (cell->span.end_ns != header.span.end_ns) {
        return damaged(err);
    }
    if (!cell->closed) {
        mr_ends_close(store, cell);
    }
    cell->rev = header.rev;
    cell->logged = true;
    *out = cell;
    return MR_OK;
}

/* What older records have said of the key does not hold. */
static void forget_key(struct mr_store *store, struct mr_slice key) {
    struct mr_span span = {.start_ns = key.data[0] == 'k' ? 0 : key_start(key)};
    struct mr_cell *cell = key.data[0] == 'k' ? mr_store_keyed(store, group_of(key), false)
                           : key.data[0] == 'c'
                               ? mr_store_cover(store, group_of(key), span, false)
                               : mr_store_window(store, group_of(key), span, false);
    if (cell) {
        mr_cell_forget(store, cell);
    }
}

uint64_t mr_store_record_hash(struct mr_slice key) {
    bool window = key.length >= 9 && key.data[0] == 'w';
    return window ? mr_store_hash((struct mr_slice){key.data + 9, key.length - 9}, key_start(key))
                  : 0;
}

enum mr_status mr_store_restore(struct mr_store *store, struct mr_slice key, struct mr_slice value,
                                struct mr_cell **out, struct mr_error *err) {
    struct mr_cell *cell = NULL;
    struct mr_bytes_reader reader = {(const uint8_t *)value.data,
                                     (const uint8_t *)value.data + value.length, false};
    bool spanned = key.length >= 9 && key.length - 9 <= MR_KEY_MAX &&
                   (key.data[0] == 'w' || key.data[0] == 'c');
    bool keyed = key.length >= 1 && key.length - 1 <= UINT16_MAX && key.data[0] == 'k';
    uint64_t layout = value.data ? mr_get_u64(&reader) : store->layout_hash;
    if (reader.bad || (!spanned && !keyed) || value.length > UINT32_MAX) {
        return damaged(err);
    }
    enum mr_status status = MR_OK;
    if (!value.data || layout != store->layout_hash) {
        forget_key(store, key);
    } else if (keyed) {
        status = restore_keyed(store, group_of(key), &reader, &cell);
    } else {
        status = key.data[0] == 'c' ? restore_cover(store, key, &reader, &cell, err)
                                    : restore_window(store, key, &reader, &cell, err);
    }
    if (out) {
        *out = cell;
    }
    return layout == store->layout_hash
               ? status
               : mr_error_set(err, MR_REJECT, "the changelog has another layout");
}
