/* Counting a block into buckets: the slot of every sample by shifts (vectorises), then counting.
 *
 * Counting is where the time goes: an increment waits for the last one of the same slot (6 to 7
 * cycles from store to load), and waveforms stay in a bucket for many samples. So a block that
 * spans few buckets is counted by comparing instead, and the others are walked at eight places at
 * once, an eighth of the block apart, so that a run of equal samples is met by one place only.
 *
 * Not done: copies of the counters (clearing and adding them up costs more than it saves where a
 * signal is wide), vector gather and scatter (slower than eight plain increments). */
#include "operators/kernels/kernels.h"

#define PLACES 8
#define FEW    8

MR_CLONES bool mr_slots_f32(const float *x, size_t n, const struct mr_line *line, int32_t *slots) {
    const int32_t shift = 23 - (int32_t)line->m, zero = (int32_t)line->zero;
    const int32_t base = (int32_t)line->first - 1 - (int32_t)(896u << line->m);
    int32_t below = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        int32_t magnitude = bits & INT32_MAX, sign = bits >> 31;
        int32_t away = (magnitude >> shift) - base;
        away = away > 0 ? away : 0;
        below |= (magnitude != 0) & (away == 0);
        int32_t slot = zero + ((away ^ sign) - sign);
        slots[i] = magnitude < 0x7f800000 ? slot : 0;
    }
    return !below;
}

MR_CLONES bool mr_slots_f64(const double *x, size_t n, const struct mr_line *line, int32_t *slots) {
    const int32_t shift = 20 - (int32_t)line->m, zero = (int32_t)line->zero;
    const int32_t base = (int32_t)line->first - 1;
    int32_t below = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t wide;
        memcpy(&wide, x + i, sizeof wide);
        int32_t bits = (int32_t)(wide >> 32); /* the key is in the upper half */
        int32_t magnitude = bits & INT32_MAX, sign = bits >> 31;
        int32_t away = (magnitude >> shift) - base;
        away = away > 0 ? away : 0;
        below |= (magnitude >= 0x00100000) & (away == 0);
        int32_t slot = zero + ((away ^ sign) - sign);
        slots[i] = magnitude < 0x7ff00000 ? slot : 0;
    }
    return !below;
}

MR_CLONES static void count_few(const int32_t *slots, size_t n, int32_t low, int32_t high,
                                uint64_t *counts) {
    uint32_t above = 0; /* slots >= the one looked at */
    for (int32_t slot = high; slot >= low; slot--) {
        uint32_t from = 0;
        for (size_t i = 0; i < n; i++) {
            from += slots[i] >= slot;
        }
        counts[slot] += from - above;
        above = from;
    }
}

void mr_count_slots(const int32_t *slots, size_t n, int32_t low, int32_t high, uint64_t *counts) {
    if (high - low < FEW) {
        count_few(slots, n, low, high, counts);
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
