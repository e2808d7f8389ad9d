/* feed: how the tests of aggregates give them samples, as the engine does: in blocks. */
#ifndef TESTS_UNIT_OPERATORS_AGGREGATES_FEED_H
#define TESTS_UNIT_OPERATORS_AGGREGATES_FEED_H

#include "operators/kernels/kernels.h"
#include "operators/operators.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct gauge {
    const struct mr_aggregate_type *type;
    uint32_t settings[2];
    struct mr_accumulator accumulator;
};

static inline struct gauge gauge_of(const struct mr_aggregate_type *type, uint32_t setting) {
    struct gauge gauge = {.type = type, .settings = {setting}};
    gauge.accumulator.head = calloc(1, type->head_size);
    return gauge;
}

static inline void gauge_finish(struct gauge *gauge) {
    free(gauge->accumulator.head);
    free(gauge->accumulator.body);
}

/* Samples of one record that starts at start_ns; rate 0: events, all at that time. */
struct series {
    const float *f32;
    const double *f64;
    size_t n;
    double rate;
    int64_t start_ns;
};

static inline void feed_block(struct gauge *gauge, const struct series *series, size_t first,
                              size_t n) {
    struct mr_record record = {
        .samples = series->n, .rate_hz = series->rate, .start_ns = series->start_ns};
    struct mr_summary summary;
    double x[MR_BLOCK];
    int64_t ns[MR_BLOCK];
    struct mr_held held = {.n = n, .x = x, .from = x, .ns = ns};
    struct mr_part part = {.n = n,
                           .seconds = series->rate > 0 ? 1 / series->rate : 0,
                           .record = &record,
                           .first = first,
                           .summary = &summary};
    if (series->f32) {
        part.f32 = series->f32 + first;
        mr_summarise_f32(part.f32, n, &summary);
    } else {
        part.f64 = series->f64 + first;
        mr_summarise_f64(part.f64, n, &summary);
    }
    for (size_t i = 0; i < n; i++) { /* pieces: finite values, lengths of their own */
        double value = series->f32 ? (double)series->f32[first + i] : series->f64[first + i];
        x[i] = isfinite(value) ? value : 0;
        ns[i] = (int64_t)(first + i + 1);
    }
    part.held = gauge->type->feed != MR_FEED_SAMPLES ? &held : NULL;
    gauge->type->add(&gauge->accumulator, gauge->settings, &part);
}

static inline void feed(struct gauge *gauge, const struct series *series) {
    for (size_t i = 0; i < series->n; i += MR_BLOCK) {
        feed_block(gauge, series, i, series->n - i < MR_BLOCK ? series->n - i : MR_BLOCK);
    }
}

static inline void feed_f32(struct gauge *gauge, const float *x, size_t n) {
    feed(gauge, &(struct series){.f32 = x, .n = n, .rate = 1000});
}

static inline void feed_f64(struct gauge *gauge, const double *x, size_t n) {
    feed(gauge, &(struct series){.f64 = x, .n = n, .rate = 1000});
}

/* One value at a time, as events come. */
static inline void feed_events(struct gauge *gauge, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        feed(gauge, &(struct series){.f64 = x + i, .n = 1, .start_ns = (int64_t)i});
    }
}

static inline struct mr_accumulator packed(const struct gauge *gauge) {
    struct mr_accumulator bytes = {0};
    gauge->type->pack(&gauge->accumulator, gauge->settings, &bytes);
    return bytes;
}

static inline struct mr_slice slice_of(const struct mr_accumulator *bytes) {
    return (struct mr_slice){bytes->body ? (const char *)bytes->body : "", bytes->length};
}

static inline void assert_same(const struct gauge *a, const struct gauge *b) {
    struct mr_accumulator left = packed(a), right = packed(b);
    assert_int_equal(left.length, right.length);
    if (left.length > 0) {
        assert_memory_equal(left.body, right.body, left.length);
    }
    free(left.body);
    free(right.body);
}

/* pack, unpack, pack again: the same bytes. */
static inline void assert_survives_packing(const struct gauge *gauge) {
    struct mr_accumulator bytes = packed(gauge);
    struct gauge copy = gauge_of(gauge->type, gauge->settings[0]);
    assert_int_equal(copy.type->unpack(&copy.accumulator, copy.settings, slice_of(&bytes)), MR_OK);
    assert_same(gauge, &copy);
    gauge_finish(&copy);
    free(bytes.body);
}

static inline const struct mr_result *result_of(const struct mr_aggregate_type *type,
                                                const char *name) {
    for (const struct mr_result *result = type->results; result->name; result++) {
        if (strcmp(result->name, name) == 0) {
            return result;
        }
    }
    fail_msg("there is no result %s", name);
    return NULL;
}

static inline struct mr_value value_of(const struct gauge *gauge, const char *name) {
    struct mr_value value;
    const struct mr_question question = {.settings = gauge->settings};
    result_of(gauge->type, name)->compute(&gauge->accumulator, &question, &value);
    return value;
}

static inline double number_of(const struct gauge *gauge, const char *name) {
    struct mr_value value = value_of(gauge, name);
    assert_int_equal(value.kind, MR_NUMBER);
    return value.number;
}

/* Damaged bytes: every prefix, every byte changed in a few ways, never accepted unless they are
 * what pack writes of what was read. */
static inline void assert_bears_damage(const struct gauge *gauge) {
    struct mr_accumulator bytes = packed(gauge);
    static const uint8_t change[] = {0x01, 0x80, 0xff, 0x7f};
    for (uint32_t i = 0; i < bytes.length; i++) {
        for (size_t k = 0; k <= sizeof change; k++) {
            struct gauge copy = gauge_of(gauge->type, gauge->settings[0]);
            uint32_t length = k == 0 ? i : bytes.length; /* k = 0: cut here */
            char *damaged = malloc(length + 1);
            memcpy(damaged, bytes.body, length);
            if (k > 0) {
                damaged[i] = (char)(damaged[i] ^ change[k - 1]);
            }
            struct mr_slice slice = {damaged, length};
            if (copy.type->unpack(&copy.accumulator, copy.settings, slice) == MR_OK) {
                struct mr_accumulator again = packed(&copy);
                assert_int_equal(again.length, length);
                if (length > 0) {
                    assert_memory_equal(again.body, damaged, length);
                }
                free(again.body);
            }
            gauge_finish(&copy);
            free(damaged);
        }
    }
    free(bytes.body);
}

/* A small generator: the same numbers everywhere (splitmix64). */
static inline uint64_t random_bits(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline double random_unit(uint64_t *state) {
    return (double)(random_bits(state) >> 11) * 0x1p-53;
}

#endif
