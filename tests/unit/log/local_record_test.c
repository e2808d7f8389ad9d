/* A record as bytes: what was stored comes back, and bytes that no encoder made do no harm. */
#include "engine/log/local.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <millrace/hash.h>
#include <stdlib.h>

static bool decode(const char *bytes, size_t length, int64_t offset, struct mr_message *message) {
    struct mr_arena *arena = mr_arena_create();
    char *exact = mr_allocate(length); /* so that a read beyond the end is seen */
    memcpy(exact, bytes, length);
    MDB_val key = {sizeof offset, &offset}, value = {length, exact};
    bool good = mr_record_decode(&key, &value, mr_record_seed("t", 1), arena, message);
    free(exact);
    mr_arena_destroy(arena);
    return good;
}

static void encode(struct mr_buffer *bytes, int64_t offset) {
    struct mr_header headers[] = {{mr_slice_of("name"), mr_slice_of("value")}};
    struct mr_append record = {.topic = "t",
                               .partition = 1,
                               .timestamp_ns = 7,
                               .key = mr_slice_of("key"),
                               .value = mr_slice_of("the value"),
                               .headers = headers,
                               .header_count = 1};
    mr_record_encode(&record, mr_record_seed("t", 1), bytes);
    mr_record_seal(bytes->data, 5, &offset, sizeof offset);
}

static void every_flipped_bit_is_noticed(void **state) {
    struct mr_buffer bytes = {0};
    struct mr_message message;
    encode(&bytes, 3);
    assert_true(decode(bytes.data, bytes.length, 3, &message));
    for (size_t bit = 0; bit < 8 * bytes.length; bit++) {
        bytes.data[bit / 8] ^= (char)(1u << bit % 8);
        assert_false(decode(bytes.data, bytes.length, 3, &message));
        bytes.data[bit / 8] ^= (char)(1u << bit % 8);
    }
    mr_buffer_finish(&bytes);
}

static void a_record_of_another_place_is_noticed(void **state) {
    struct mr_buffer bytes = {0};
    struct mr_message message;
    encode(&bytes, 3);
    assert_false(decode(bytes.data, bytes.length, 4, &message));
    assert_int_not_equal(mr_record_seed("t", 1), mr_record_seed("t", 2));
    assert_int_not_equal(mr_record_seed("t", 1), mr_record_seed("u", 1));
    mr_buffer_finish(&bytes);
}

static void a_record_that_was_cut_is_noticed(void **state) {
    struct mr_buffer bytes = {0};
    struct mr_message message;
    encode(&bytes, 3);
    for (size_t length = 0; length < bytes.length; length++) {
        assert_false(decode(bytes.data, length, 3, &message));
    }
    mr_buffer_finish(&bytes);
}

/* Lengths that lie, under a checksum that is right. */
static void hostile_lengths_stay_within_the_bytes(void **state) {
    uint64_t random = 88172645463325252;
    struct mr_message message;
    const int64_t offset = 3;
    for (int round = 0; round < 20000; round++) {
        char bytes[64];
        size_t length = 16 + random % 48;
        for (size_t i = 0; i < sizeof bytes; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[i] = random & 64 ? (char)(random >> 20) : (char)(random >> 20 & 15);
        }
        uint32_t crc = mr_crc32c(mr_record_seed("t", 1), bytes + 12, length - 12);
        memcpy(bytes + 8, &crc, sizeof crc);
        mr_record_seal(bytes, 1, &offset, sizeof offset);
        if (decode(bytes, length, offset, &message)) {
            assert_true(message.value.length + message.key.length + 16 <= length);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_record_of_another_place_is_noticed),
        cmocka_unit_test(a_record_that_was_cut_is_noticed),
        cmocka_unit_test(hostile_lengths_stay_within_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
