/* The canonical forms: there and back, and one form for one number. */
#include "operators/aggregates/packing.h"
#include "tests/unit/operators/aggregates/feed.h"

static void varints_come_back(void **state) {
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int d = -1; d <= 1; d++) {
            uint64_t x = (UINT64_C(1) << shift) + (uint64_t)d, y;
            struct mr_accumulator bytes = {0};
            mr_pack_varint(&bytes, x);
            struct mr_slice slice = slice_of(&bytes);
            assert_true(mr_unpack_varint(&slice, &y) && y == x && slice.length == 0);
            free(bytes.body);
        }
    }
}

static void long_and_short_varints_are_refused(void **state) {
    static const char *const bad[] = {"\x80", "\x80\x80\x80", "\xff\x00x",
                                      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                                      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01"};
    static const size_t lengths[] = {1, 3, 2, 10, 11};
    uint64_t x;
    for (size_t i = 0; i < 5; i++) {
        struct mr_slice slice = {bad[i], lengths[i]};
        assert_false(mr_unpack_varint(&slice, &x));
    }
}

static void assert_fixed(const uint64_t *limb, size_t limbs, uint32_t length) {
    uint64_t back[7];
    struct mr_accumulator bytes = {0};
    mr_pack_fixed(&bytes, limb, limbs);
    struct mr_slice slice = slice_of(&bytes);
    assert_true(mr_unpack_fixed(&slice, back, limbs) && slice.length == 0);
    assert_memory_equal(back, limb, limbs * sizeof *limb);
    assert_true(length == 0 || bytes.length == length);
    free(bytes.body);
}

static void fixed_point_numbers_come_back(void **state) {
    assert_fixed((uint64_t[5]){0}, 5, 2);
    assert_fixed((uint64_t[5]){1}, 5, 3);
    assert_fixed((uint64_t[5]){0x80}, 5, 4);
    assert_fixed((uint64_t[5]){0, 0, 3}, 5, 3);
    assert_fixed((uint64_t[5]){-1ull, -1ull, -1ull, -1ull, -1ull}, 5, 3);
    assert_fixed((uint64_t[5]){0, 0, 0, 0, 1ull << 63}, 5, 3);
    assert_fixed((uint64_t[5]){0, 0x80ull << 56, -1ull, -1ull, -1ull}, 5, 3);
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        uint64_t limb[7];
        for (size_t k = 0; k < 7; k++) { /* runs of zeros and ones at every place */
            uint64_t kind = random_bits(&seed) % 4;
            limb[k] = kind == 0 ? 0 : kind == 1 ? UINT64_MAX : random_bits(&seed);
            limb[k] = random_bits(&seed) % 3 ? limb[k] : limb[k] << random_bits(&seed) % 64;
        }
        assert_fixed(limb, 7, 0);
        assert_fixed(limb, 5, 0);
    }
}

static void other_forms_of_a_fixed_point_number_are_refused(void **state) {
    static const struct {
        const char *bytes;
        size_t length;
    } bad[] = {
        {"\x00", 1},             /* no length                     */
        {"\x01\x00", 2},         /* zero, moved                   */
        {"\x00\x01\x00", 3},     /* zero, written out             */
        {"\x00\x02\x01\x00", 4}, /* a copy of the sign            */
        {"\x00\x02\x80\xff", 4}, /* the same, negative            */
        {"\x00\x02\x00\x01", 4}, /* a zero below                  */
        {"\x00\x02\x01", 3},     /* cut                           */
        {"\x28\x01\x01", 3},     /* beyond the last limb          */
    };
    uint64_t limb[5];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mr_slice slice = {bad[i].bytes, bad[i].length};
        assert_false(mr_unpack_fixed(&slice, limb, 5));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_come_back),
        cmocka_unit_test(long_and_short_varints_are_refused),
        cmocka_unit_test(fixed_point_numbers_come_back),
        cmocka_unit_test(other_forms_of_a_fixed_point_number_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
