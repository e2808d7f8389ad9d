/* buckets: counts of values by bucket (see kernels.h), exact and mergeable; the memory of a
 * digest. `m` is the number of mantissa bits, the same in every call on one accumulator. */
#ifndef OPERATORS_AGGREGATES_BUCKETS_H
#define OPERATORS_AGGREGATES_BUCKETS_H

#include "operators/kernels/kernels.h"

#define MR_BUCKET_BITS_MIN 4
#define MR_BUCKET_BITS_MAX 10

/* The head of the accumulator; zeroed: nothing counted. */
struct mr_buckets {
    uint64_t total;
    uint32_t first, below, above; /* the dense range: keys from `first`, slots on either side */
    uint32_t dense;               /* 0: the body is a sparse list                             */
};

void mr_buckets_add(struct mr_accumulator *accumulator, unsigned m, int32_t bucket, uint64_t count);
/* Counts the finite samples of a part; it must carry its summary. */
void mr_buckets_add_part(struct mr_accumulator *accumulator, unsigned m,
                         const struct mr_part *part);

/* Visits the buckets that hold something, in rising order of value. Start with a zeroed walk. */
struct mr_bucket_walk {
    uint32_t next;
    int32_t bucket;
    uint64_t count;
};
bool mr_bucket_next(const struct mr_accumulator *accumulator, struct mr_bucket_walk *walk);

/* The value that stands for a bucket: 2 l u / (l + u) of its edges, never further than
 * 1 / (2^(m + 1) + 1) of itself from any value in it. */
double mr_bucket_value(int32_t bucket, unsigned m);

#endif
