/* Counting a block into buckets: the slot of every sample by shifts (vectorises), then counting.
 *
 * Counting is where the time goes: an increment waits for the last one of the same slot (6 to 7
 * cycles from store to load), and waveforms stay in a bucket for many samples. So a block that
 * spans few buckets is counted by comparing, bucket by bucket, and the others are walked at eight
 * places at once, an eighth of the block apart, so that a run of equal samples is met by one place
 * only.
 *
 * Not done: copies of the counters (clearing and adding them up costs more than it saves where a
 * signal is wide), vector gather and scatter (slower than eight plain increments), counting in the
 * bytes of registers (1 << 8 slot: gcc makes it slower than increments). */
#include "operators/kernels/kernels.h"

#define PLACES 8
#define FEW    8 /* buckets; comparing for more of them costs as much as increments */

MR_CLONES bool mr_slots_f32(const float *x, size_t n, const struct mr_line *line, int32_t *slots) {
    const int32_t shift = 23 - (int32_t)line->m, zero = (int32_t)line->zero;
    const int32_t first = (int32_t)line->first - (int32_t)(896u << line->m), base = first - 1;
    uint32_t least = UINT32_MAX; /* magnitude, less 1: zero becomes the largest */
    int32_t bits;
    if (line->plain) {
        for (size_t i = 0; i < n; i++) {
            memcpy(&bits, x + i, sizeof bits);
            slots[i] = (bits >> shift) + (zero - base);
        }
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(&bits, x + i, sizeof bits);
        int32_t magnitude = bits & INT32_MAX, sign = bits >> 31;
        int32_t away = (magnitude >> shift) - base;
        away = away > 0 ? away : 0;
        least = (uint32_t)magnitude - 1 < least ? (uint32_t)magnitude - 1 : least;
        int32_t slot = zero + ((away ^ sign) - sign);
        slots[i] = magnitude < 0x7f800000 ? slot : 0;
    }
    return least >= ((uint32_t)first << shift) - 1;
}

/* The same on the upper halves, which hold the key; subnormals are zero. */
MR_CLONES bool mr_slots_f64(const double *x, size_t n, const struct mr_line *line, int32_t *slots) {
    const int32_t shift = 20 - (int32_t)line->m, zero = (int32_t)line->zero;
    const int32_t first = (int32_t)line->first, base = first - 1;
    const uint32_t normal = 0x00100000;
    uint32_t least = UINT32_MAX;
    uint64_t bits;
    if (line->plain) {
        for (size_t i = 0; i < n; i++) {
            memcpy(&bits, x + i, sizeof bits);
            slots[i] = (int32_t)(bits >> 32 >> shift) + (zero - base);
        }
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(&bits, x + i, sizeof bits);
        int32_t upper = (int32_t)(bits >> 32), magnitude = upper & INT32_MAX, sign = upper >> 31;
        int32_t away = (magnitude >> shift) - base;
        away = away > 0 ? away : 0;
        least = (uint32_t)magnitude - normal < least ? (uint32_t)magnitude - normal : least;
        int32_t slot = zero + ((away ^ sign) - sign);
        slots[i] = magnitude < 0x7ff00000 ? slot : 0;
    }
    return least >= ((uint32_t)first << shift) - normal;
}

/* In 16 bits: twice as many at once. A gap's slot is below `low`: as unsigned, far above. */
MR_CLONES static void count_few(const int32_t *slots, size_t n, int32_t low, uint16_t buckets,
                                uint64_t *counts) {
    uint16_t bucket[MR_BLOCK];
    for (size_t i = 0; i < n; i++) {
        uint32_t away = (uint32_t)slots[i] - (uint32_t)low;
        bucket[i] = (uint16_t)(away < FEW ? away : FEW);
    }
    for (uint16_t b = 0; b < buckets; b++) {
        uint16_t count = 0;
        for (size_t i = 0; i < n; i++) {
            count = (uint16_t)(count + (bucket[i] == b));
        }
        counts[low + b] += count;
    }
}

void mr_count_slots(const int32_t *slots, size_t n, int32_t low, int32_t high, uint64_t *counts) {
    if (high - low < FEW) {
        count_few(slots, n, low, (uint16_t)(high - low + 1), counts);
        return;
    }
    const size_t apart = n / PLACES;
    for (size_t i = 0; i < apart; i++) {
        for (size_t place = 0; place < PLACES; place++) {
            counts[slots[place * apart + i]]++;
        }
    }
    for (size_t i = apart * PLACES; i < n; i++) {
        counts[slots[i]]++;
    }
}
