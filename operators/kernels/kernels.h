/* kernels: the loops over arrays, at most MR_BLOCK samples a call, while they are in the
 * first-level cache. Plain C that the compiler vectorises; vector width never changes a bit of an
 * answer. Thread: any. */
#ifndef OPERATORS_KERNELS_H
#define OPERATORS_KERNELS_H

#include <millrace/aggregate.h>

/* One version per instruction set, chosen when the program starts. Only where gcc's clones work:
 * they crash under the thread and address sanitizers, which run before the choice is made. */
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) &&                 \
    !defined(__SANITIZE_ADDRESS__) && !defined(MR_NO_CLONES)
#define MR_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define MR_CLONES
#endif

/* The summary of a block (see struct mr_summary). 1 <= n <= MR_BLOCK. */
void mr_summarise_f32(const float *x, size_t n, struct mr_summary *out);
void mr_summarise_f64(const double *x, size_t n, struct mr_summary *out);

/* ---- Buckets -------------------------------------------------------------------------------
 * The key of a magnitude is its exponent and its m highest mantissa bits, as a float64:
 *
 *    63 62       52 51        52-m          0
 *   +--+-----------+------------+-----------+
 *   | s|  exponent | m bits     |  ignored  |     key = bits 62 to 52-m
 *   +--+-----------+------------+-----------+
 *
 * Keys rise with magnitudes, so buckets lie on one line: -key, 0 (zero and the subnormals), +key.
 */
#define MR_KEY_END(m) (UINT32_C(2047) << (m)) /* key of infinity: above every bucket */

static inline int32_t mr_bucket_of(double x, unsigned m) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t magnitude = bits & INT64_MAX;
    int32_t key = magnitude >> 52 == 0 ? 0 : (int32_t)(magnitude >> (52 - m));
    return bits >> 63 ? -key : key;
}

/* A dense piece of that line. Keys below `first` have no slot; slot 0 takes the gaps.
 *
 *   slot  0    1 ...                zero                      ...
 *       +----+------------------+----+------------------+
 *       |gaps| ... -(first + 1), -first | 0 | first, first + 1 ... |
 *       +----+------------------+----+------------------+          */
struct mr_line {
    uint32_t first; /* >= 1 << m */
    uint32_t zero;  /* its slot  */
    unsigned m;
    bool plain; /* every sample is finite, above zero and not below `first`: less to do */
};

/* The slot of every sample. Returns false when a magnitude lies below `first` (its slot is then
 * wrong). For float32, first must be >= MR_FIRST_F32(m): its subnormals are below that. */
#define MR_FIRST_F32(m) (UINT32_C(897) << (m))
bool mr_slots_f32(const float *x, size_t n, const struct mr_line *line, int32_t *slots);
bool mr_slots_f64(const double *x, size_t n, const struct mr_line *line, int32_t *slots);

/* Counts slots; all but those of gaps (slot 0) lie in [low, high]. */
void mr_count_slots(const int32_t *slots, size_t n, int32_t low, int32_t high, uint64_t *counts);

#endif
