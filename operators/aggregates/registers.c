/* A set of hashes as `distinct` keeps it.
 *
 *   explicit   [ hash | hash | hash ... ]        sorted, 8 bytes each; exact
 *   dense      [ r0 | r1 | r2 ... ]              a byte each, 2^bits of them
 *
 *   hash       ............ rest ............ | index      the low `bits` bits are the index
 *   register   the largest 1 + trailing zeros of the rest that its index has seen
 *
 * Invariant: the form is a function of the set. A list becomes registers when it would hold more
 * than mr_explicit_max hashes (1,280 at 14 bits), and never turns back, so neither the order of
 * adding nor the grouping of merges shows. A sparse form exists only packed (registers_bytes.c): in
 * memory a map of the first registers would be as large as all of them, a byte each.
 *
 * A rest of all zeros sets nothing, and 31 stands for 31 and more: as postgresql-hll has it.
 *
 * The estimate is Ertl's improved raw estimator (Otmar Ertl, "New cardinality estimation algorithms
 * for HyperLogLog sketches", 2017, arXiv:1702.01284, section 4): from the counts of each register
 * value, with exact corrections for the registers that are still 0 and those that are full. It has
 * no visible bias from the first hash to where all registers are full, so it needs no tables, no
 * switch between formulas and leaves no step where they would meet. Only basic operations and
 * square roots, which round alike on every machine. */
#include "operators/aggregates/registers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct mr_registers *head_of(struct mr_accumulator *accumulator) {
    return accumulator->head;
}

static bool is_dense(const struct mr_accumulator *accumulator) {
    return ((const struct mr_registers *)accumulator->head)->dense;
}

static int64_t *list_of(struct mr_accumulator *accumulator) {
    return (int64_t *)(void *)accumulator->body;
}

/* ---- Dense ------------------------------------------------------------------------------------
 */

static inline void set_register(uint8_t *registers, unsigned bits, uint64_t hash) {
    uint64_t rest = hash >> bits;
    unsigned value = rest ? (unsigned)__builtin_ctzll(rest) + 1 : 0;
    uint8_t *at = &registers[hash & ((UINT64_C(1) << bits) - 1)];
    value = value < MR_REGISTER_MAX ? value : MR_REGISTER_MAX;
    *at = *at < value ? (uint8_t)value : *at;
}

void mr_registers_spread(struct mr_accumulator *accumulator, unsigned bits) {
    uint32_t count = mr_explicit_count(accumulator), size = UINT32_C(1) << bits;
    struct mr_accumulator list = {0};
    mr_accumulator_reserve(&list, accumulator->length);
    if (count > 0) {
        memcpy(list.body, accumulator->body, accumulator->length);
    }
    mr_accumulator_reserve(accumulator, size);
    memset(accumulator->body, 0, size);
    accumulator->length = size;
    head_of(accumulator)->dense = 1;
    for (uint32_t i = 0; i < count; i++) {
        set_register(accumulator->body, bits, (uint64_t)list_of(&list)[i]);
    }
    free(list.body);
}

/* ---- Explicit ---------------------------------------------------------------------------------
 */

/* How many of the list are smaller. */
static uint32_t rank_of(const int64_t *list, uint32_t count, int64_t hash) {
    uint32_t low = 0;
    while (count > 0) {
        uint32_t half = count / 2;
        bool below = list[low + half] < hash;
        low += below ? count - half : 0;
        count = half;
    }
    return low;
}

static void add_explicit(struct mr_accumulator *accumulator, unsigned bits, int64_t hash) {
    uint32_t count = mr_explicit_count(accumulator);
    uint32_t rank = rank_of(mr_explicit_list(accumulator), count, hash);
    if (rank < count && mr_explicit_list(accumulator)[rank] == hash) {
        return;
    }
    if (count == mr_explicit_max(bits)) {
        mr_registers_spread(accumulator, bits);
        set_register(accumulator->body, bits, (uint64_t)hash);
        return;
    }
    if (accumulator->capacity - accumulator->length < 8) {
        uint32_t half = accumulator->length / 2;
        mr_accumulator_reserve(accumulator, accumulator->length + (half < 64 ? 64 : half));
    }
    int64_t *list = list_of(accumulator);
    memmove(list + rank + 1, list + rank, (count - rank) * sizeof *list);
    list[rank] = hash;
    accumulator->length += 8;
}

void mr_registers_add(struct mr_accumulator *accumulator, unsigned bits, uint64_t hash) {
    if (is_dense(accumulator)) {
        set_register(accumulator->body, bits, hash);
    } else {
        add_explicit(accumulator, bits, (int64_t)hash);
    }
}

/* ---- Merging ----------------------------------------------------------------------------------
 */

/* How many of `from` are not in `into`. */
static uint32_t count_new(const struct mr_accumulator *into, const struct mr_accumulator *from) {
    const int64_t *a = mr_explicit_list(into), *b = mr_explicit_list(from);
    uint32_t left = mr_explicit_count(into), count = mr_explicit_count(from), fresh = 0, at = 0;
    for (uint32_t i = 0; i < count; i++) {
        while (at < left && a[at] < b[i]) {
            at++;
        }
        fresh += at == left || a[at] != b[i];
    }
    return fresh;
}

/* The union of two lists, from the back, in the place of the first. */
static void merge_lists(struct mr_accumulator *into, const struct mr_accumulator *from,
                        uint32_t fresh) {
    mr_accumulator_reserve(into, into->length + 8 * fresh);
    int64_t *a = list_of(into);
    const int64_t *b = mr_explicit_list(from);
    uint32_t i = mr_explicit_count(into), j = mr_explicit_count(from), to = i + fresh;
    while (j > 0) {
        if (i > 0 && a[i - 1] >= b[j - 1]) {
            j -= a[i - 1] == b[j - 1];
            a[--to] = a[--i];
        } else {
            a[--to] = b[--j];
        }
    }
    into->length += 8 * fresh;
}

static void merge_dense(struct mr_accumulator *into, const struct mr_accumulator *from,
                        unsigned bits) {
    if (is_dense(from)) {
        for (uint32_t i = 0; i < from->length; i++) {
            into->body[i] = into->body[i] < from->body[i] ? from->body[i] : into->body[i];
        }
        return;
    }
    for (uint32_t i = 0; i < mr_explicit_count(from); i++) {
        set_register(into->body, bits, (uint64_t)mr_explicit_list(from)[i]);
    }
}

void mr_registers_merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                        unsigned bits) {
    if (!is_dense(into) && !is_dense(from)) {
        uint32_t fresh = count_new(into, from);
        if (mr_explicit_count(into) + fresh <= mr_explicit_max(bits)) {
            merge_lists(into, from, fresh);
            return;
        }
    }
    if (!is_dense(into)) {
        mr_registers_spread(into, bits);
    }
    merge_dense(into, from, bits);
}

/* ---- Estimating -------------------------------------------------------------------------------
 */

/* The correction for the share x of registers that are 0: x + sum of x^(2^k) 2^(k-1). */
static double sigma(double x) {
    double sum = x, weight = 1, before;
    if (x >= 1) {
        return INFINITY;
    }
    do {
        x *= x;
        before = sum;
        sum += x * weight;
        weight += weight;
    } while (sum > before);
    return sum;
}

/* The correction for the share 1 - x of registers that are full. */
static double tau(double x) {
    double sum = 1 - x, weight = 1, before;
    if (x <= 0 || x >= 1) {
        return 0;
    }
    do {
        x = sqrt(x);
        before = sum;
        weight *= 0.5;
        sum -= (1 - x) * (1 - x) * weight;
    } while (sum < before);
    return sum / 3;
}

uint64_t mr_registers_estimate(const struct mr_accumulator *accumulator, unsigned bits) {
    uint32_t counts[MR_REGISTER_MAX + 1] = {0};
    double m = (double)(UINT32_C(1) << bits);
    if (!is_dense(accumulator)) {
        return mr_explicit_count(accumulator);
    }
    for (uint32_t i = 0; i < accumulator->length; i++) {
        counts[accumulator->body[i]]++;
    }
    double z = m * tau(1 - counts[MR_REGISTER_MAX] / m);
    for (int k = MR_REGISTER_MAX - 1; k > 0; k--) {
        z = 0.5 * (z + counts[k]);
    }
    z += m * sigma(counts[0] / m);
    const double alpha = 0.72134752044448170368; /* 1 / (2 ln 2) */
    return z > 0 ? (uint64_t)(alpha * m * m / z + 0.5) : UINT64_MAX;
}
