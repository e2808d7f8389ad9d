/* The hash and the checksum, against published values and against each other. */
#include "engine/base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_checksum_gives_the_vectors_of_rfc_3720(void **state) {
    uint8_t bytes[32] = {0};
    assert_int_equal(mr_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(mr_crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(mr_crc32c(0, bytes, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(mr_crc32c(0, bytes, 32), 0x113fdb5c);
    assert_int_equal(mr_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(mr_crc32c(0, NULL, 0), 0);
}

static uint8_t *noise(size_t length) {
    uint8_t *bytes = malloc(length);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < length; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (uint8_t)x;
    }
    return bytes;
}

static void the_checksum_is_the_same_with_and_without_instructions(void **state) {
    uint8_t *bytes = noise(70000);
    for (size_t length = 0; length < 2000; length++) {
        size_t from = length % 17;
        assert_int_equal(mr_crc32c(7, bytes + from, length),
                         mr_crc32c_portable(7, bytes + from, length));
    }
    for (size_t length = 12290; length < 70000; length += 4999) {
        assert_int_equal(mr_crc32c(0, bytes, length), mr_crc32c_portable(0, bytes, length));
    }
    free(bytes);
}

static void a_checksum_can_be_continued(void **state) {
    uint8_t *bytes = noise(65536);
    uint32_t whole = mr_crc32c(0, bytes, 65536);
    for (size_t cut = 0; cut < 65536; cut += 1777) {
        uint32_t crc = mr_crc32c(0, bytes, cut);
        assert_int_equal(mr_crc32c(crc, bytes + cut, 65536 - cut), whole);
    }
    free(bytes);
}

static void a_flipped_bit_changes_the_checksum(void **state) {
    uint8_t *bytes = noise(65536);
    uint32_t whole = mr_crc32c(0, bytes, 65536);
    for (size_t at = 0; at < 65536; at += 311) {
        bytes[at] ^= (uint8_t)(1 << (at % 8));
        assert_int_not_equal(mr_crc32c(0, bytes, 65536), whole);
        bytes[at] ^= (uint8_t)(1 << (at % 8));
    }
    free(bytes);
}

static void the_hash_is_xxh3(void **state) {
    assert_true(mr_hash64("", 0) == UINT64_C(0x2d06800538d394c2));
    static const uint8_t empty[16] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                      0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    uint8_t hash[16];
    mr_hash128("", 0, hash);
    assert_memory_equal(hash, empty, 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_gives_the_vectors_of_rfc_3720),
        cmocka_unit_test(the_checksum_is_the_same_with_and_without_instructions),
        cmocka_unit_test(a_checksum_can_be_continued),
        cmocka_unit_test(a_flipped_bit_changes_the_checksum),
        cmocka_unit_test(the_hash_is_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
