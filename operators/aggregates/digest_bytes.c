/* The message that DataDog's sketches-java and sketches-go read (their JavaScript and Python
 * siblings place the edges of buckets elsewhere):
 *
 *   DDSketch     1 mapping   2 positiveValues (Store)   3 negativeValues (Store)   4 double
 * zeroCount IndexMapping 1 double gamma = 2^(2^-m)   2 double indexOffset = 0   3 interpolation =
 * LINEAR (1) Store        1 map<sint32, double> binCounts 2 repeated double contiguousBinCounts   3
 * sint32 contiguousBinIndexOffset
 *
 * The index of a bucket is its key less that of 1.0, for both signs. A store is written as the one
 * of its two forms that is smaller by 8 bytes a bin of the span against 14 a bin held, so the
 * bytes are a function of what was counted. Both stores are always there (sketches-go does not
 * bear a missing one), fields that are zero are not, as proto3 has it. Counts beyond 2^53 round. */
#include "operators/aggregates/digest_bytes.h"
#include "operators/aggregates/packing.h"

#include <math.h>

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

#define BIN_BYTES  14 /* what a bin of the map takes, about; a constant of the format */
#define SLOT_BYTES 8

/* One sign of a digest. */
struct store {
    const struct mr_accumulator *accumulator;
    int sign;
    int32_t unit;        /* the key of 1.0               */
    uint32_t bins;       /* that hold something          */
    int32_t least, most; /* their indexes, if there are  */
};

static uint32_t varint_size(uint64_t x) {
    uint32_t size = 1;
    for (; x >= 0x80; x >>= 7) {
        size++;
    }
    return size;
}

static void tag(struct mr_accumulator *out, unsigned field, enum wire wire) {
    mr_pack_varint(out, field << 3 | wire);
}

static void put_double(struct mr_accumulator *out, unsigned field, double x) {
    tag(out, field, WIRE_FIXED64);
    mr_pack_double(out, x);
}

/* The next bin of a store, in rising order of buckets (falling indexes for negatives). */
static bool next_bin(const struct store *store, struct mr_bucket_walk *walk, int32_t *index) {
    while (mr_bucket_next(store->accumulator, walk)) {
        int32_t key = store->sign * walk->bucket;
        if (key > 0) {
            *index = key - store->unit;
            return true;
        }
    }
    return false;
}

static struct store survey(const struct mr_accumulator *accumulator, int sign, unsigned m) {
    struct store store = {.accumulator = accumulator, .sign = sign, .unit = INT32_C(1023) << m};
    struct mr_bucket_walk walk = {0};
    int32_t index;
    while (next_bin(&store, &walk, &index)) {
        store.least = store.bins == 0 || index < store.least ? index : store.least;
        store.most = store.bins == 0 || index > store.most ? index : store.most;
        store.bins++;
    }
    return store;
}

static bool is_contiguous(const struct store *store) {
    uint64_t span = store->bins > 0 ? (uint64_t)(store->most - store->least) + 1 : 0;
    return SLOT_BYTES * span <= BIN_BYTES * (uint64_t)store->bins;
}

static void put_slots(const struct store *store, struct mr_accumulator *out) {
    uint32_t bytes = (uint32_t)(store->most - store->least + 1) * SLOT_BYTES;
    struct mr_bucket_walk walk = {0};
    int32_t index;
    tag(out, 2, WIRE_BYTES);
    mr_pack_varint(out, bytes);
    mr_accumulator_reserve(out, out->length + bytes);
    memset(out->body + out->length, 0, bytes);
    uint32_t start = out->length;
    while (next_bin(store, &walk, &index)) {
        out->length = start + (uint32_t)(index - store->least) * SLOT_BYTES;
        mr_pack_double(out, (double)walk.count);
    }
    out->length = start + bytes;
    if (store->least != 0) {
        tag(out, 3, WIRE_VARINT);
        mr_pack_varint(out, mr_zigzag(store->least));
    }
}

static uint32_t bin_size(int32_t index) {
    return 1 + varint_size(mr_zigzag(index)) + 1 + SLOT_BYTES;
}

static void put_bins(const struct store *store, struct mr_accumulator *out) {
    struct mr_bucket_walk walk = {0};
    int32_t index;
    while (next_bin(store, &walk, &index)) {
        tag(out, 1, WIRE_BYTES);
        mr_pack_varint(out, bin_size(index));
        tag(out, 1, WIRE_VARINT);
        mr_pack_varint(out, mr_zigzag(index));
        put_double(out, 2, (double)walk.count);
    }
}

static uint32_t store_size(const struct store *store) {
    struct mr_bucket_walk walk = {0};
    uint32_t size = 0;
    int32_t index;
    if (store->bins == 0) {
        return 0;
    }
    if (is_contiguous(store)) {
        uint32_t bytes = (uint32_t)(store->most - store->least + 1) * SLOT_BYTES;
        return 1 + varint_size(bytes) + bytes +
               (store->least != 0 ? 1 + varint_size(mr_zigzag(store->least)) : 0);
    }
    while (next_bin(store, &walk, &index)) {
        size += 2 + bin_size(index);
    }
    return size;
}

static void put_store(const struct mr_accumulator *accumulator, int sign, unsigned m,
                      struct mr_accumulator *out) {
    const struct store store = survey(accumulator, sign, m);
    tag(out, sign > 0 ? 2 : 3, WIRE_BYTES);
    mr_pack_varint(out, store_size(&store));
    if (store.bins > 0 && is_contiguous(&store)) {
        put_slots(&store, out);
    } else {
        put_bins(&store, out);
    }
}

/* By square roots, which every machine rounds alike. */
static double gamma_of(unsigned m) {
    double gamma = 2;
    for (unsigned i = 0; i < m; i++) {
        gamma = sqrt(gamma);
    }
    return gamma;
}

static double zero_count(const struct mr_accumulator *accumulator) {
    struct mr_bucket_walk walk = {0};
    while (mr_bucket_next(accumulator, &walk)) {
        if (walk.bucket == 0) {
            return (double)walk.count;
        }
    }
    return 0;
}

void mr_digest_write(const struct mr_accumulator *accumulator, unsigned m,
                     struct mr_accumulator *out) {
    double zeros = zero_count(accumulator);
    out->length = 0;
    tag(out, 1, WIRE_BYTES);
    mr_pack_varint(out, 1 + 8 + 2);
    put_double(out, 1, gamma_of(m));
    tag(out, 3, WIRE_VARINT);
    mr_pack_varint(out, 1);
    put_store(accumulator, 1, m, out);
    put_store(accumulator, -1, m, out);
    if (zeros > 0) {
        put_double(out, 4, zeros);
    }
}
