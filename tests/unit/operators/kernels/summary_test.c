/* The summary against a plain loop that follows the documented order, at every size. */
#include "operators/kernels/kernels.h"
#include "tests/unit/operators/aggregates/feed.h"

static double lanes_added(const double *lane) {
    double sum[32];
    memcpy(sum, lane, sizeof sum);
    for (int half = 16; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) {
            sum[l] = sum[l] + sum[l + half];
        }
    }
    return sum[0];
}

static bool below(double a, double b) {
    return a < b || (a == b && signbit(a) && !signbit(b));
}

static struct mr_summary expected(const double *x, size_t n) {
    struct mr_summary out = {0};
    double deviations[32] = {0}, squares[32] = {0};
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            continue;
        }
        if (out.finite++ == 0) {
            out.shift = out.min = out.max = x[i];
        }
        double d = x[i] - out.shift;
        deviations[i % 32] += d;
        squares[i % 32] += d * d;
        out.min = below(x[i], out.min) ? x[i] : out.min;
        out.max = below(out.max, x[i]) ? x[i] : out.max;
    }
    out.deviations = lanes_added(deviations);
    out.squares = lanes_added(squares);
    return out;
}

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return isnan(x) ? 0x7ff8 : bits; /* which NaN it is does not matter: it is beyond the range */
}

static void assert_summary(const struct mr_summary *got, const struct mr_summary *want) {
    assert_int_equal(got->finite, want->finite);
    assert_int_equal(bits_of(got->shift), bits_of(want->shift));
    assert_int_equal(bits_of(got->deviations), bits_of(want->deviations));
    assert_int_equal(bits_of(got->squares), bits_of(want->squares));
    assert_int_equal(bits_of(got->min), bits_of(want->min));
    assert_int_equal(bits_of(got->max), bits_of(want->max));
}

/* Blocks of every size; `x` as float64 holds what float32 holds when `f32` is given. */
static void assert_all_sizes(const double *x, const float *f32) {
    for (size_t n = 1; n <= MR_BLOCK; n++) {
        struct mr_summary want = expected(x, n), got;
        memset(&got, 0xa5, sizeof got);
        if (f32) {
            mr_summarise_f32(f32, n, &got);
        } else {
            mr_summarise_f64(x, n, &got);
        }
        assert_summary(&got, &want);
    }
}

static double x[MR_BLOCK];
static float narrow[MR_BLOCK];

static void assert_both_types(void) {
    assert_all_sizes(x, NULL);
    for (size_t i = 0; i < MR_BLOCK; i++) {
        narrow[i] = (float)x[i];
        x[i] = narrow[i];
    }
    assert_all_sizes(x, narrow);
}

static void samples_without_gaps_follow_the_lane_order(void **state) {
    uint64_t seed = 1;
    for (size_t i = 0; i < MR_BLOCK; i++) {
        x[i] = 20 + random_unit(&seed);
    }
    assert_both_types();
}

static void gaps_take_part_in_nothing(void **state) {
    static const double gaps[] = {NAN, INFINITY, -INFINITY, -NAN};
    for (uint64_t rate = 2; rate <= 512; rate *= 4) {
        uint64_t seed = rate;
        for (size_t i = 0; i < MR_BLOCK; i++) {
            x[i] = random_bits(&seed) % rate == 0 ? gaps[random_bits(&seed) % 4]
                                                  : random_unit(&seed) - 0.5;
        }
        assert_both_types();
    }
}

static void a_block_of_gaps_is_empty(void **state) {
    for (size_t i = 0; i < MR_BLOCK; i++) {
        x[i] = NAN;
    }
    assert_both_types();
}

static void the_sign_of_zero_orders_extremes(void **state) {
    static const double zeros[] = {0.0, -0.0, 1.0, -1.0};
    for (size_t kinds = 2; kinds <= 4; kinds++) {
        for (size_t offset = 0; offset < 4; offset++) {
            uint64_t seed = kinds * 10 + offset;
            for (size_t i = 0; i < MR_BLOCK; i++) {
                x[i] = zeros[(random_bits(&seed) % kinds + offset) % 4];
            }
            assert_both_types();
        }
    }
}

static void any_bits_at_all_are_summarised(void **state) {
    uint64_t seed = 9;
    for (size_t i = 0; i < MR_BLOCK; i++) {
        uint64_t bits = random_bits(&seed);
        memcpy(x + i, &bits, sizeof bits);
    }
    assert_all_sizes(x, NULL);
    for (size_t i = 0; i < MR_BLOCK; i++) {
        uint32_t bits = (uint32_t)random_bits(&seed);
        memcpy(narrow + i, &bits, sizeof bits);
        x[i] = narrow[i];
    }
    assert_all_sizes(x, narrow);
}

static void subnormals_count_as_what_they_are(void **state) {
    uint64_t seed = 4;
    for (size_t i = 0; i < MR_BLOCK; i++) {
        uint32_t bits = (uint32_t)random_bits(&seed) & 0x807fffff;
        memcpy(narrow + i, &bits, sizeof bits);
        x[i] = narrow[i];
    }
    assert_all_sizes(x, narrow);
    for (size_t i = 0; i < MR_BLOCK; i++) {
        x[i] = (random_unit(&seed) - 0.5) * 0x1p-1022;
    }
    assert_all_sizes(x, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_without_gaps_follow_the_lane_order),
        cmocka_unit_test(gaps_take_part_in_nothing),
        cmocka_unit_test(a_block_of_gaps_is_empty),
        cmocka_unit_test(the_sign_of_zero_orders_extremes),
        cmocka_unit_test(any_bits_at_all_are_summarised),
        cmocka_unit_test(subnormals_count_as_what_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
