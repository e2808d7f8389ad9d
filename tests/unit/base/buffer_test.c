/* Growable bytes and the numbers in them. */
#include "engine/base/base.h"

#include <setjmp.h>

#include <cmocka.h>

static struct mr_bytes_reader reader_of(const struct mr_buffer *buffer) {
    const uint8_t *data = (const uint8_t *)buffer->data;
    return (struct mr_bytes_reader){data, data + buffer->length, false};
}

static void text_and_formats_are_joined(void **state) {
    struct mr_buffer buffer = {0};
    mr_buffer_text(&buffer, "a=");
    for (int i = 0; i < 100; i++) {
        mr_buffer_format(&buffer, "%d,", i % 10);
    }
    assert_int_equal(buffer.length, 202);
    assert_memory_equal(buffer.data, "a=0,1,2,", 8);
    assert_memory_equal(buffer.data + 198, "8,9,", 4);
    mr_buffer_finish(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.capacity, 0);
}

static void an_empty_buffer_is_an_empty_slice_that_is_there(void **state) {
    struct mr_buffer buffer = {0};
    mr_buffer_add(&buffer, NULL, 0);
    assert_non_null(mr_buffer_slice(&buffer).data);
    assert_int_equal(mr_buffer_slice(&buffer).length, 0);
    mr_buffer_finish(&buffer);
}

static void numbers_come_back_as_they_were_put(void **state) {
    static const uint64_t numbers[] = {0,     1,          127,       128,       16383,
                                       16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
    const size_t count = sizeof numbers / sizeof *numbers;
    struct mr_buffer buffer = {0};
    for (size_t i = 0; i < count; i++) {
        mr_put_varint(&buffer, numbers[i]);
        mr_put_u32(&buffer, (uint32_t)numbers[i]);
        mr_put_u64(&buffer, numbers[i]);
    }
    struct mr_bytes_reader reader = reader_of(&buffer);
    for (size_t i = 0; i < count; i++) {
        assert_true(mr_get_varint(&reader) == numbers[i]);
        assert_int_equal(mr_get_u32(&reader), (uint32_t)numbers[i]);
        assert_true(mr_get_u64(&reader) == numbers[i]);
    }
    assert_false(reader.bad);
    assert_ptr_equal(reader.at, reader.end);
    mr_buffer_finish(&buffer);
}

static void fixed_numbers_are_little_endian(void **state) {
    struct mr_buffer buffer = {0};
    mr_put_u32(&buffer, 0x04030201);
    mr_put_u64(&buffer, UINT64_C(0x0c0b0a0908070605));
    assert_memory_equal(buffer.data, "\1\2\3\4\5\6\7\10\11\12\13\14", 12);
    mr_buffer_finish(&buffer);
}

static void a_read_past_the_end_is_bad_for_good(void **state) {
    const uint8_t bytes[] = {1, 2, 3, 4, 5};
    struct mr_bytes_reader reader = {bytes, bytes + 5, false};
    assert_int_equal(mr_get_u32(&reader), 0x04030201);
    assert_int_equal(mr_get_u32(&reader), 0);
    assert_true(reader.bad);
    assert_int_equal(mr_get_bytes(&reader, 1).length, 0);
    assert_true(reader.bad);
}

static void a_huge_length_is_bad(void **state) {
    const uint8_t bytes[] = {1};
    struct mr_bytes_reader reader = {bytes, bytes + 1, false};
    assert_int_equal(mr_get_bytes(&reader, SIZE_MAX).length, 0);
    assert_true(reader.bad);
}

static void a_varint_that_is_cut_or_too_long_is_bad(void **state) {
    const uint8_t cut[] = {0x80, 0x80};
    struct mr_bytes_reader reader = {cut, cut + sizeof cut, false};
    assert_int_equal(mr_get_varint(&reader), 0);
    assert_true(reader.bad);

    const uint8_t wide[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2};
    reader = (struct mr_bytes_reader){wide, wide + sizeof wide, false};
    assert_int_equal(mr_get_varint(&reader), 0);
    assert_true(reader.bad);

    const uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0};
    reader = (struct mr_bytes_reader){endless, endless + sizeof endless, false};
    assert_int_equal(mr_get_varint(&reader), 0);
    assert_true(reader.bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_formats_are_joined),
        cmocka_unit_test(an_empty_buffer_is_an_empty_slice_that_is_there),
        cmocka_unit_test(numbers_come_back_as_they_were_put),
        cmocka_unit_test(fixed_numbers_are_little_endian),
        cmocka_unit_test(a_read_past_the_end_is_bad_for_good),
        cmocka_unit_test(a_huge_length_is_bad),
        cmocka_unit_test(a_varint_that_is_cut_or_too_long_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
