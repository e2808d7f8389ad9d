/* packing: the canonical bytes of aggregates. One number has one form: varints without leading
 * zero groups, fixed-point numbers without the zeros below and the sign's copies above. And the few
 * rules that several aggregates share. */
#ifndef OPERATORS_AGGREGATES_PACKING_H
#define OPERATORS_AGGREGATES_PACKING_H

#include <millrace/aggregate.h>

#define MR_VARINT_MAX 10

/* The writers append to `out`, which grows. */
void mr_pack_varint(struct mr_accumulator *out, uint64_t x);
void mr_pack_u64(struct mr_accumulator *out, uint64_t x);
void mr_pack_double(struct mr_accumulator *out, double x);
void mr_pack_fixed(struct mr_accumulator *out, const uint64_t *limb, size_t limbs);

/* The readers move the front of `from`; false: too short, or not the canonical form. */
bool mr_unpack_varint(struct mr_slice *from, uint64_t *x);
bool mr_unpack_u64(struct mr_slice *from, uint64_t *x);
bool mr_unpack_finite(struct mr_slice *from, double *x);
bool mr_unpack_fixed(struct mr_slice *from, uint64_t *limb, size_t limbs);

static inline uint64_t mr_zigzag(int32_t x) {
    return ((uint32_t)x << 1) ^ (uint32_t)(x >> 31);
}

/* -0 < +0, so that extremes and ends do not depend on order. */
static inline bool mr_below(double a, double b) {
    return a < b || (a == b && __builtin_signbit(a) && !__builtin_signbit(b));
}

/* Whether every value of a block is smaller than `limit`. Lanes may cancel what is not. */
static inline bool mr_within(const struct mr_summary *summary, double limit) {
    return -summary->min < limit && summary->max < limit;
}

/* A result: x, or null in the row when it is not known or beyond a double. */
static inline void mr_give_number(struct mr_value *out, bool known, double x) {
    known = known && __builtin_isfinite(x);
    *out = (struct mr_value){.kind = known ? MR_NUMBER : MR_ABSENT, .number = known ? x : 0};
}

#endif
