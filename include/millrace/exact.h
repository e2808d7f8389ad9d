/* Exact sums: fixed-point accumulators wide enough that adding doubles loses nothing, so any
 * order, any merge and any number of partitions give the same bits.
 *
 *   sum      256 bits + 64 of headroom   resolution 2^-128   result range 2^127
 *   squares  384 bits + 64 of headroom   resolution 2^-192   result range 2^191
 *
 * Two's complement, least significant limb first. The headroom limb lets intermediate sums pass
 * the range and come back, so the range is judged once, on the result. Terms below the
 * resolution are cut toward zero. A zeroed struct is zero. */
#ifndef MILLRACE_EXACT_H
#define MILLRACE_EXACT_H

#include <stdbool.h>
#include <stdint.h>

#define MR_SUM_LIMBS     5
#define MR_SQUARES_LIMBS 7

struct mr_exact_sum {
    uint64_t limb[MR_SUM_LIMBS];
};
struct mr_exact_squares {
    uint64_t limb[MR_SQUARES_LIMBS];
};

/* Add x, or the exact product a * b. Return false and add nothing when the term is not finite or
 * as large as 2^127 (sum) or 2^190 (squares): the caller counts it, which is order-free too. */
bool mr_exact_add(struct mr_exact_sum *sum, double x);
bool mr_exact_add_product(struct mr_exact_sum *sum, double a, double b);
bool mr_exact_squares_add(struct mr_exact_squares *squares, double x);
bool mr_exact_squares_add_product(struct mr_exact_squares *squares, double a, double b);

void mr_exact_merge(struct mr_exact_sum *into, const struct mr_exact_sum *from);
void mr_exact_squares_merge(struct mr_exact_squares *into, const struct mr_exact_squares *from);

/* The nearest double (ties to even); NaN when the result is beyond the range. */
double mr_exact_value(const struct mr_exact_sum *sum);
double mr_exact_squares_value(const struct mr_exact_squares *squares);

/* n * (sum of squares) - (sum)^2, exactly, then rounded once, never below 0: divided by n^2 it is
 * the population variance, by n (n - 1) the sample variance. NaN beyond the range. */
double mr_exact_spread(const struct mr_exact_sum *sum, const struct mr_exact_squares *squares,
                       uint64_t n);

#endif
