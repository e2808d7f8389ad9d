/* Slots and counts against one sample at a time, at every size and precision. */
#include "operators/kernels/kernels.h"
#include "tests/unit/operators/aggregates/feed.h"

#define M_MAX 10

static double x[MR_BLOCK];
static float narrow[MR_BLOCK];
static int32_t slots[MR_BLOCK];

static int32_t slot_of(double value, const struct mr_line *line) {
    int32_t bucket = mr_bucket_of(value, line->m), away = abs(bucket) - (int32_t)line->first + 1;
    if (!isfinite(value)) {
        return 0;
    }
    if (bucket == 0) {
        return (int32_t)line->zero;
    }
    return (int32_t)line->zero + (bucket < 0 ? -away : away);
}

static void assert_slots(const struct mr_line *line) {
    for (size_t n = 1; n <= MR_BLOCK; n += n < 70 ? 1 : 53) {
        assert_true(mr_slots_f64(x, n, line, slots));
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(slots[i], slot_of(x[i], line));
        }
    }
}

static void samples_and_slots_agree_at_every_precision(void **state) {
    uint64_t seed = 1;
    for (unsigned m = 4; m <= M_MAX; m++) {
        const struct mr_line whole = {UINT32_C(1) << m, UINT32_C(2047) << m, m, false};
        for (size_t i = 0; i < MR_BLOCK; i++) {
            uint64_t bits = random_bits(&seed);
            memcpy(x + i, &bits, sizeof bits);
            x[i] = i % 9 == 0 ? 0.0 : i % 11 == 0 ? -0.0 : i % 13 == 0 ? 0x1p-1030 : x[i];
        }
        assert_slots(&whole);
        const struct mr_line normal = {MR_FIRST_F32(m), UINT32_C(2047) << m, m, false};
        for (size_t i = 0; i < MR_BLOCK; i++) {
            uint32_t bits = (uint32_t)random_bits(&seed);
            bits |= 0x00800000; /* no subnormals */
            memcpy(narrow + i, &bits, sizeof bits);
            narrow[i] = i % 9 == 0 ? 0.0f : i % 11 == 0 ? -0.0f : narrow[i];
        }
        assert_true(mr_slots_f32(narrow, MR_BLOCK, &normal, slots));
        for (size_t i = 0; i < MR_BLOCK; i++) {
            assert_int_equal(slots[i], slot_of(narrow[i], &normal));
        }
    }
}

static void a_magnitude_below_the_range_is_noticed(void **state) {
    const unsigned m = 6;
    const struct mr_line line = {(uint32_t)mr_bucket_of(1e-6, m), 5000, m, false};
    for (size_t i = 0; i < MR_BLOCK; i++) {
        narrow[i] = i % 2 ? 1e-6f : -0.02f;
        x[i] = narrow[i];
    }
    assert_true(mr_slots_f32(narrow, MR_BLOCK, &line, slots));
    assert_true(mr_slots_f64(x, MR_BLOCK, &line, slots));
    for (size_t at = 0; at < MR_BLOCK; at += 31) {
        float was = narrow[at];
        narrow[at] = -1e-40f; /* subnormal */
        assert_false(mr_slots_f32(narrow, MR_BLOCK, &line, slots));
        narrow[at] = was;
        x[at] = 9e-7;
        assert_false(mr_slots_f64(x, MR_BLOCK, &line, slots));
        x[at] = was;
    }
}

static void plain_samples_take_the_short_way_to_the_same_slots(void **state) {
    uint64_t seed = 3;
    for (unsigned m = 4; m <= M_MAX; m++) {
        const struct mr_line line = {(uint32_t)mr_bucket_of(1e-3, m), 70, m, true};
        for (size_t i = 0; i < MR_BLOCK; i++) {
            narrow[i] = (float)(1.001e-3 + 10 * random_unit(&seed) * random_unit(&seed));
            x[i] = narrow[i];
        }
        assert_slots(&line);
        assert_true(mr_slots_f32(narrow, MR_BLOCK, &line, slots));
        for (size_t i = 0; i < MR_BLOCK; i++) {
            assert_int_equal(slots[i], slot_of(x[i], &line));
        }
    }
}

/* A byte or two bytes of a far slot look like a near one. */
static void far_ranges_do_not_alias_near_gaps(void **state) {
    static uint64_t counts[1 << 17];
    for (int32_t low = (1 << 16) - 9; low < (1 << 16) + 9; low++) {
        for (size_t i = 0; i < MR_BLOCK; i++) {
            slots[i] = i % 3 ? low + (int32_t)(i % 7) : 0;
        }
        memset(counts, 0, sizeof counts);
        mr_count_slots(slots, MR_BLOCK, low, low + 6, counts);
        uint64_t sum = 0;
        for (int32_t b = 0; b < 7; b++) {
            sum += counts[low + b];
        }
        assert_int_equal(sum, MR_BLOCK - (MR_BLOCK + 2) / 3);
    }
}

static void counting_meets_every_sample_once(void **state) {
    uint64_t seed = 2;
    for (size_t n = 1; n <= MR_BLOCK; n += n < 70 ? 1 : 53) {
        for (uint64_t spread = 1; spread <= 300; spread = spread * 3 / 2 + 1) {
            uint64_t got[400] = {0}, want[400] = {0};
            for (size_t i = 0; i < n; i++) {
                slots[i] = (int32_t)(50 + random_bits(&seed) % spread);
                slots[i] = random_bits(&seed) % 17 == 0 ? 0 : slots[i];
                want[slots[i]]++;
            }
            mr_count_slots(slots, n, 50, 50 + (int32_t)spread - 1, got);
            got[0] = want[0] = 0;
            assert_memory_equal(got, want, sizeof got);
        }
    }
}

static void buckets_follow_the_order_of_values(void **state) {
    static const double rising[] = {-INFINITY, -1e300, -1.02, -1.0, -1e-300, 0,
                                    1e-300,    1.0,    1.02,  1e10, 1e300};
    for (unsigned m = 6; m <= M_MAX; m++) {
        for (size_t i = 1; i < sizeof rising / sizeof rising[0]; i++) {
            assert_true(mr_bucket_of(rising[i - 1], m) < mr_bucket_of(rising[i], m));
        }
        assert_int_equal(mr_bucket_of(1.0, m), 1023 << m);
        assert_int_equal(mr_bucket_of(0x0.fp-1022, m), 0);
        assert_int_equal(mr_bucket_of(-0.0, m), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_and_slots_agree_at_every_precision),
        cmocka_unit_test(a_magnitude_below_the_range_is_noticed),
        cmocka_unit_test(plain_samples_take_the_short_way_to_the_same_slots),
        cmocka_unit_test(far_ranges_do_not_alias_near_gaps),
        cmocka_unit_test(counting_meets_every_sample_once),
        cmocka_unit_test(buckets_follow_the_order_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
