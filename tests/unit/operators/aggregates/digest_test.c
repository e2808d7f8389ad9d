/* The digest: accuracy on six shapes for every precision, order, merging, packing, its bytes. */
#include "operators/aggregates/buckets.h"
#include "tests/unit/operators/aggregates/feed.h"

#define N 12000

struct arguments {
    double q, error;
};

static const double quantiles[] = {0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};
#define QUANTILES (sizeof quantiles / sizeof quantiles[0])

static double gaussian(uint64_t *seed) {
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += random_unit(seed);
    }
    return sum - 6;
}

static void constant(double *x, uint64_t *seed) {
    for (size_t i = 0; i < N; i++) {
        x[i] = 3.7;
    }
}

static void two_mode(double *x, uint64_t *seed) {
    for (size_t i = 0; i < N; i++) {
        x[i] = i / 700 % 3 == 0 ? 0.35 + 1e-3 * gaussian(seed) : 12e-6 + 1e-7 * gaussian(seed);
    }
}

static void log_normal(double *x, uint64_t *seed) {
    for (size_t i = 0; i < N; i++) {
        x[i] = 1e-3 * exp(3.45 * gaussian(seed)); /* +-3 sigma: nine decades */
    }
}

static void both_signs(double *x, uint64_t *seed) {
    for (size_t i = 0; i < N; i++) {
        x[i] = i % 5 == 0 ? (i % 10 ? 0.0 : -0.0) : gaussian(seed);
    }
}

static void ties(double *x, uint64_t *seed) {
    for (size_t i = 0; i < N; i++) {
        x[i] = (double)(random_bits(seed) % 7) * (double)(random_bits(seed) % 40);
    }
}

static void sine(double *x, uint64_t *seed) {
    for (size_t i = 0; i < N; i++) {
        x[i] = 325 * sin(0.000157 * 2 * (double)i);
    }
}

static const struct shape {
    const char *name;
    void (*fill)(double *x, uint64_t *seed);
} shapes[] = {{"constant", constant},     {"two modes", two_mode}, {"log-normal", log_normal},
              {"both signs", both_signs}, {"ties", ties},          {"sine", sine}};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static int ascending(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double quantile(const struct gauge *gauge, double q) {
    struct mr_value value;
    struct arguments arguments = {q, 0.01};
    const struct mr_question question = {.settings = gauge->settings, .arguments = &arguments};
    result_of(gauge->type, "quantile")->compute(&gauge->accumulator, &question, &value);
    assert_int_equal(value.kind, MR_NUMBER);
    return value.number;
}

static void assert_accurate(const struct gauge *gauge, const double *sorted, const char *name) {
    unsigned m = gauge->settings[0];
    double bound = 1 / ((double)(UINT64_C(2) << m) + 1);
    for (size_t i = 0; i < QUANTILES; i++) {
        double exact = sorted[(size_t)(quantiles[i] * (N - 1))];
        double error = fabs(quantile(gauge, quantiles[i]) - exact);
        /* the bound is reached at the lower edge of a bucket; 4e-16: the rounding of the value */
        if (error > fabs(exact) * (bound + 4e-16)) {
            fail_msg("%s, m=%u, q=%g: %.17g is not %.17g", name, m, quantiles[i],
                     quantile(gauge, quantiles[i]), exact);
        }
    }
}

static void every_quantile_is_within_the_stated_bound(void **state) {
    static double x[N], sorted[N];
    static float narrow[N];
    for (size_t s = 0; s < SHAPES; s++) {
        uint64_t seed = s;
        shapes[s].fill(x, &seed);
        for (unsigned m = MR_BUCKET_BITS_MIN; m <= MR_BUCKET_BITS_MAX; m++) {
            struct gauge blocks = gauge_of(&mr_digest_aggregate, m);
            struct gauge events = gauge_of(&mr_digest_aggregate, m);
            memcpy(sorted, x, sizeof x);
            qsort(sorted, N, sizeof *sorted, ascending);
            feed_f64(&blocks, x, N);
            feed_events(&events, x, N);
            assert_accurate(&blocks, sorted, shapes[s].name);
            assert_same(&blocks, &events);
            gauge_finish(&blocks);
            gauge_finish(&events);

            struct gauge floats = gauge_of(&mr_digest_aggregate, m);
            for (size_t i = 0; i < N; i++) {
                narrow[i] = (float)x[i];
                sorted[i] = narrow[i];
            }
            feed_f32(&floats, narrow, N);
            qsort(sorted, N, sizeof *sorted, ascending);
            assert_accurate(&floats, sorted, shapes[s].name);
            gauge_finish(&floats);
        }
    }
}

/* float32 and the same values as float64 fall into the same buckets, subnormals included. */
static void both_sample_types_share_their_buckets(void **state) {
    static float narrow[N];
    static double wide[N];
    uint64_t seed = 7;
    for (int shift = 0; shift < 32; shift += 5) {
        for (size_t i = 0; i < N; i++) {
            uint32_t bits = (uint32_t)random_bits(&seed);
            bits = (bits & 0x80000000) | (bits & 0x7fffffff) >> shift;
            memcpy(narrow + i, &bits, sizeof bits);
            wide[i] = narrow[i];
        }
        struct gauge a = gauge_of(&mr_digest_aggregate, 6), b = gauge_of(&mr_digest_aggregate, 6);
        feed_f32(&a, narrow, N);
        feed_f64(&b, wide, N);
        assert_same(&a, &b);
        assert_survives_packing(&a);
        gauge_finish(&a);
        gauge_finish(&b);
    }
}

static void neither_order_nor_merging_shows(void **state) {
    static double x[N];
    uint64_t seed = 3;
    for (size_t s = 0; s < SHAPES; s++) {
        shapes[s].fill(x, &seed);
        struct gauge all = gauge_of(&mr_digest_aggregate, 7);
        struct gauge merged = gauge_of(&mr_digest_aggregate, 7);
        feed_f64(&all, x, N);
        for (size_t part = 0; part < N; part += 4000) {
            struct gauge one = gauge_of(&mr_digest_aggregate, 7);
            size_t from = N - 4000 - part;
            if (part % 8000) {
                feed_events(&one, x + from, 4000);
            } else {
                feed_f64(&one, x + from, 4000);
            }
            merged.type->merge(&merged.accumulator, &one.accumulator, merged.settings);
            gauge_finish(&one);
        }
        assert_same(&all, &merged);
        assert_survives_packing(&all);
        gauge_finish(&all);
        gauge_finish(&merged);
    }
}

/* Values from all over the float64 range, among ordinary ones, in blocks and alone. */
static void the_whole_range_is_counted_without_clamping(void **state) {
    static double x[N];
    uint64_t seed = 11;
    for (size_t i = 0; i < N; i++) {
        x[i] = 20 + random_unit(&seed);
        if (i % 97 == 0 && i > 5000) {
            uint64_t bits = random_bits(&seed);
            memcpy(x + i, &bits, sizeof bits); /* NaN and infinities too */
        }
    }
    x[5] = 0x1.fffffffffffffp1023;
    x[6] = -0x1p-1022;
    x[7] = 0x0.8p-1022; /* subnormal: zero */
    struct gauge blocks = gauge_of(&mr_digest_aggregate, 6);
    struct gauge events = gauge_of(&mr_digest_aggregate, 6);
    feed_f64(&blocks, x, N);
    feed_events(&events, x, N);
    assert_same(&blocks, &events);
    assert_survives_packing(&blocks);
    assert_true(fabs(quantile(&blocks, 1) / 0x1.fffffffffffffp1023 - 1) < 0.0078);
    assert_true(isfinite(quantile(&blocks, 1)));
    gauge_finish(&blocks);
    gauge_finish(&events);
}

/* A sample of one of seven kinds: near c, about zero, wide, any bits, zero, subnormal, ties. */
static double any_sample(uint64_t *seed, uint64_t kind, double c) {
    double u = random_unit(seed);
    const double x[] = {
        c * (1 + 0.05 * u), c * (u - 0.5), c * exp(20 * (u - 0.5)), 0, c * 1e-39 * u,
        floor(u * 9) - 4,   u * 1e300};
    return x[random_bits(seed) % 200 == 0 ? random_bits(seed) % 7 : kind];
}

/* Blocks, events, merging and packing in any sequence, through all changes of form. */
static void no_history_shows(void **state) {
    static double x[MR_BLOCK];
    unsigned back_to_sparse = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t dice = seed;
        unsigned m = 4 + (unsigned)(random_bits(&dice) % 7);
        struct gauge mixed = gauge_of(&mr_digest_aggregate, m);
        struct gauge events = gauge_of(&mr_digest_aggregate, m);
        for (uint64_t step = random_bits(&dice) % 10; step > 0; step--) {
            const struct mr_buckets *head = mixed.accumulator.head;
            uint32_t was = head->dense;
            size_t n = 1 + random_bits(&dice) % MR_BLOCK;
            uint64_t kind = random_bits(&dice) % 7;
            double c = exp(10 * (random_unit(&dice) - 0.5)) * (kind % 2 ? 1 : -1);
            for (size_t i = 0; i < n; i++) {
                x[i] = any_sample(&dice, kind, c);
            }
            if (step % 3 == 0) {
                struct gauge part = gauge_of(&mr_digest_aggregate, m);
                feed_f64(&part, x, n);
                part.type->merge(&mixed.accumulator, &part.accumulator, mixed.settings);
                gauge_finish(&part);
            } else {
                feed_f64(&mixed, x, n);
            }
            feed_events(&events, x, n);
            back_to_sparse += was && !head->dense;
        }
        assert_same(&mixed, &events);
        assert_survives_packing(&mixed);
        gauge_finish(&mixed);
        gauge_finish(&events);
    }
    assert_true(back_to_sparse > 0); /* or the seeds have become useless */
}

static void nothing_counted_has_no_quantile(void **state) {
    struct gauge gauge = gauge_of(&mr_digest_aggregate, 6);
    const double gaps[] = {NAN, INFINITY, -INFINITY};
    feed_f64(&gauge, gaps, 3);
    assert_int_equal(value_of(&gauge, "median").kind, MR_ABSENT);
    assert_int_equal(value_of(&gauge, "digest").kind, MR_ABSENT);
    assert_survives_packing(&gauge);
    gauge_finish(&gauge);
}

static void counts_beyond_32_bits_are_kept(void **state) {
    struct gauge gauge = gauge_of(&mr_digest_aggregate, 6);
    int32_t bucket = mr_bucket_of(3.7, 6);
    mr_buckets_add(&gauge.accumulator, 6, bucket, UINT32_MAX);
    mr_buckets_add(&gauge.accumulator, 6, bucket, 2);
    mr_buckets_add(&gauge.accumulator, 6, 0, UINT64_C(1) << 60);
    mr_buckets_add(&gauge.accumulator, 6, -bucket, 1);
    struct mr_bucket_walk walk = {0};
    assert_true(mr_bucket_next(&gauge.accumulator, &walk));
    assert_int_equal(walk.bucket, -bucket);
    assert_true(mr_bucket_next(&gauge.accumulator, &walk));
    assert_true(walk.bucket == 0 && walk.count == UINT64_C(1) << 60);
    assert_true(mr_bucket_next(&gauge.accumulator, &walk));
    assert_true(walk.bucket == bucket && walk.count == UINT64_C(0x100000001));
    assert_false(mr_bucket_next(&gauge.accumulator, &walk));
    assert_survives_packing(&gauge);
    gauge_finish(&gauge);
}

static void damaged_bytes_are_refused(void **state) {
    static double x[N];
    uint64_t seed = 5;
    both_signs(x, &seed);
    struct gauge gauge = gauge_of(&mr_digest_aggregate, 4);
    feed_f64(&gauge, x, 300);
    assert_bears_damage(&gauge);
    gauge_finish(&gauge);
}

static void bytes_that_pack_cannot_make_are_refused(void **state) {
    static const struct {
        const char *bytes;
        size_t length;
    } bad[] = {
        {"", 0},                             /* nothing                   */
        {"\x01", 1},                         /* a bucket, and no place    */
        {"\x01\x00\x00", 3},                 /* an empty bucket           */
        {"\x01\x02\x01", 3},                 /* key 1: a subnormal        */
        {"\x00\x00", 2},                     /* bytes left over           */
        {"\x01\x80\x00\x01", 4},             /* a long form of 0          */
        {"\x01\xfe\xff\xff\xff\x0f\x01", 7}, /* far above the last key    */
        {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", 12},
        {"\x02\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", 14},
        {"\x02\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\xbf\x08\x01", 15}, /* too many  */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01", 12},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct gauge gauge = gauge_of(&mr_digest_aggregate, 6);
        struct mr_slice slice = {bad[i].bytes, bad[i].length};
        assert_int_equal(gauge.type->unpack(&gauge.accumulator, gauge.settings, slice), MR_REJECT);
        gauge_finish(&gauge);
    }
}

static void the_tightest_error_named_settles_the_precision(void **state) {
    uint32_t m = 0;
    char text[16];
    const struct mr_result *result = result_of(&mr_digest_aggregate, "quantile");
    mr_digest_aggregate.settle(&m, result, &(struct arguments){0.5, 0.05});
    assert_int_equal(m, 4);
    mr_digest_aggregate.settle(&m, result, &(struct arguments){0.5, 0.01});
    assert_int_equal(m, 6);
    mr_digest_aggregate.settle(&m, result_of(&mr_digest_aggregate, "median"), &(double){0.0005});
    assert_int_equal(m, 10);
    mr_digest_aggregate.settle(&m, result_of(&mr_digest_aggregate, "digest"), &(double){0.02});
    assert_int_equal(m, 10);
    mr_digest_aggregate.describe(&m, text, sizeof text);
    assert_string_equal(text, "m=10");
}

/* At most 12 bytes a value (8, and half again to grow into), however far apart they lie. */
static void memory_follows_the_number_of_values(void **state) {
    static double x[N];
    uint64_t seed = 13;
    for (unsigned m = 4; m <= 10; m++) {
        struct gauge gauge = gauge_of(&mr_digest_aggregate, m);
        for (size_t i = 0; i < N; i++) {
            uint64_t bits = random_bits(&seed);
            memcpy(x + i, &bits, sizeof bits);
        }
        for (size_t i = 0; i < N; i += MR_BLOCK) {
            feed_f64(&gauge, x + i, N - i < MR_BLOCK ? N - i : MR_BLOCK);
            assert_true(gauge.accumulator.capacity <= 12 * (i + MR_BLOCK));
        }
        gauge_finish(&gauge);
    }
    double minute[60];
    for (size_t i = 0; i < 60; i++) {
        minute[i] = 20 + 0.5 * gaussian(&seed);
    }
    struct gauge gauge = gauge_of(&mr_digest_aggregate, 6);
    feed_events(&gauge, minute, 60);
    struct mr_accumulator bytes = packed(&gauge);
    print_message("60 samples about 20 degrees: %u bytes, packed %u\n",
                  gauge.accumulator.capacity + (unsigned)sizeof(struct mr_buckets), bytes.length);
    assert_true(gauge.accumulator.capacity <= 256);
    free(bytes.body);
    gauge_finish(&gauge);
    gauge = gauge_of(&mr_digest_aggregate, 6);
    log_normal(x, &seed);
    feed_f64(&gauge, x, N);
    bytes = packed(&gauge);
    print_message("a full digest (log-normal, nine decades): %u bytes, packed %u\n",
                  gauge.accumulator.capacity + (unsigned)sizeof(struct mr_buckets), bytes.length);
    assert_true(gauge.accumulator.capacity <= 32768);
    free(bytes.body);
    gauge_finish(&gauge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_quantile_is_within_the_stated_bound),
        cmocka_unit_test(both_sample_types_share_their_buckets),
        cmocka_unit_test(neither_order_nor_merging_shows),
        cmocka_unit_test(the_whole_range_is_counted_without_clamping),
        cmocka_unit_test(no_history_shows),
        cmocka_unit_test(nothing_counted_has_no_quantile),
        cmocka_unit_test(counts_beyond_32_bits_are_kept),
        cmocka_unit_test(damaged_bytes_are_refused),
        cmocka_unit_test(bytes_that_pack_cannot_make_are_refused),
        cmocka_unit_test(the_tightest_error_named_settles_the_precision),
        cmocka_unit_test(memory_follows_the_number_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
