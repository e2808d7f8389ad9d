/* Frames: what is read from a good one, and where it lies. */
#include "tests/unit/codecs/frame_messages.h"

static void a_frame_is_read_field_by_field(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    decode(bytes);
    assert_int_equal(decoded.count, 1);
    const struct mr_record *record = decoded.records;
    assert_int_equal(record->samples, 4);
    assert_true(record->rate_hz == 2e6);
    assert_int_equal(record->start_ns, START);
    assert_int_equal(record->last_ns, START + 1500);
    assert_null(record->mask);
    assert_int_equal(record->values[DEVICE].kind, MR_TEXT);
    assert_true(mr_slice_equal(record->values[DEVICE].text, mr_slice_of("js220-01")));
    assert_int_equal(record->values[STREAM].integer, 7);
    assert_int_equal(record->values[SEQUENCE].integer, 42);
    assert_true(record->values[SEQUENCE].number == 42);
    assert_int_equal(record->values[CURRENT].kind, MR_F32);
    assert_memory_equal(record->values[CURRENT].f32, current, sizeof current);
    assert_memory_equal(record->values[VOLTAGE].f32, voltage, sizeof voltage);
    free(bytes.data);
}

static void a_channel_that_the_frame_lacks_is_absent(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    decode(bytes);
    assert_int_equal(decoded.records->values[TEMPERATURE].kind, MR_ABSENT);
    free(bytes.data);
}

static void floats_are_read_where_they_lie_when_the_value_is_aligned(void **state) {
    char name[160];
    for (size_t length = 1; length < sizeof name; length++) {
        memset(name, 'x', length);
        name[length] = 0;
        struct mr_waveform frame = good_frame();
        struct mr_waveform_channel named[] = {{name, "", current}, {"voltage", "V", voltage}};
        frame.channels = named;
        struct bytes bytes = encode(&frame);
        decode(bytes);
        const uint8_t *found = (const uint8_t *)decoded.records->values[VOLTAGE].f32;
        assert_true(found > bytes.data && found < bytes.data + bytes.length);
        assert_memory_equal(found, voltage, sizeof voltage);
        free(bytes.data);
    }
}

static void floats_of_an_unaligned_value_are_copied(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    uint8_t *room = malloc(bytes.length + 3);
    for (size_t shift = 1; shift <= 3; shift++) {
        memcpy(room + shift, bytes.data, bytes.length);
        decode((struct bytes){room + shift, bytes.length});
        assert_int_equal((uintptr_t)decoded.records->values[VOLTAGE].f32 % 4, 0);
        assert_memory_equal(decoded.records->values[VOLTAGE].f32, voltage, sizeof voltage);
    }
    free(room);
    free(bytes.data);
}

static void a_frame_is_found_whatever_its_lengths(void **state) {
    float many[300] = {0};
    for (size_t n = 1; n <= 300; n++) {
        struct mr_waveform frame = good_frame();
        struct mr_waveform_channel one = {"current", "A", many};
        many[n - 1] = (float)n;
        frame.channels = &one;
        frame.channel_count = 1;
        frame.samples = n;
        frame.sequence = (uint64_t)n << 7;
        assert_true(mr_waveform_bound(&frame) >= n * 4);
        struct bytes bytes = encode(&frame);
        assert_true(bytes.length <= mr_waveform_bound(&frame));
        decode(bytes);
        assert_int_equal(decoded.count, 1);
        assert_int_equal(decoded.records->samples, n);
        assert_memory_equal(decoded.records->values[CURRENT].f32, many, n * 4);
        assert_int_equal(decoded.records->values[SEQUENCE].integer, (int64_t)n << 7);
        free(bytes.data);
    }
}

/* As a proto3 writer of another language makes it: zeros left out, no padding. */
static void a_field_left_out_because_it_is_zero_is_zero(void **state) {
    uint8_t body[] = "\x0A\x08js220-01\x19\0\0\0\0\0\0\xF0\x3F\x32\x0F\x0A\x07"
                     "current\x22\x04\0\0\x80\x3F";
    struct bytes bytes = seal(body, sizeof body - 1);
    decode(bytes);
    assert_int_equal(decoded.count, 1);
    assert_int_equal(decoded.records->start_ns, 0);
    assert_int_equal(decoded.records->values[STREAM].integer, 0);
    assert_int_equal(decoded.records->values[SEQUENCE].integer, 0);
    assert_true(decoded.records->values[CURRENT].f32[0] == 1.0f);
    free(bytes.data);
}

static void a_stream_may_be_any_64_bits(void **state) {
    struct mr_waveform frame = good_frame();
    frame.stream = UINT64_MAX - 1;
    struct bytes bytes = encode(&frame);
    decode(bytes);
    assert_int_equal(decoded.count, 1);
    assert_int_equal(decoded.records->values[STREAM].integer, -2);
    free(bytes.data);
}

static void the_key_is_compared_only_when_asked(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    struct mr_message message = message_of(bytes);
    message.key = mr_slice_of("js220-02");
    decode_message(&message, true);
    assert_int_equal(decoded.bad, 1);
    assert_non_null(strstr(decoded.reason.text, "differs from the record's key"));
    decode_message(&message, false);
    assert_int_equal(decoded.bad, 0);
    message.key = (struct mr_slice){NULL, 0};
    decode_message(&message, true);
    assert_int_equal(decoded.bad, 1);
    char key[MR_KEY_MAX + 1];
    memset(key, 'k', sizeof key);
    message.key = (struct mr_slice){key, sizeof key};
    decode_message(&message, false);
    assert_int_equal(decoded.bad, 1);
    free(bytes.data);
}

static void a_frame_is_described_in_one_line(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    struct mr_slice value = {(const char *)bytes.data, bytes.length};
    char text[512];
    assert_true(mr_waveform_codec.recognises(value));
    mr_waveform_codec.describe(value, text, sizeof text);
    assert_string_equal(text,
                        "frame js220-01 2026-11-21T03:10:00.123Z 4 samples at 2 MHz, stream 7 "
                        "sequence 42: current [A] 0.01..0.35, voltage [V] 3.2..3.3");
    bytes.data[20] ^= 1;
    mr_waveform_codec.describe(value, text, sizeof text);
    assert_memory_equal(text, "bad frame (crc32c: ", 19);
    bytes.data[20] ^= 1;
    for (size_t size = 1; size < 160; size++) {
        char *exact = malloc(size);
        mr_waveform_codec.describe(value, exact, size);
        assert_true(strlen(exact) < size);
        free(exact);
    }
    free(bytes.data);
}

static void text_is_not_taken_for_a_frame(void **state) {
    static const char *const texts[] = {"", "{}", "\n{\"a\": 1, \"b\": \"xyz\"}",
                                        "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", "[1,2,3,4,5,6,7,8,9]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(mr_waveform_codec.recognises(mr_slice_of(texts[i])));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_read_field_by_field),
        cmocka_unit_test(a_channel_that_the_frame_lacks_is_absent),
        cmocka_unit_test(floats_are_read_where_they_lie_when_the_value_is_aligned),
        cmocka_unit_test(floats_of_an_unaligned_value_are_copied),
        cmocka_unit_test(a_frame_is_found_whatever_its_lengths),
        cmocka_unit_test(a_field_left_out_because_it_is_zero_is_zero),
        cmocka_unit_test(a_stream_may_be_any_64_bits),
        cmocka_unit_test(the_key_is_compared_only_when_asked),
        cmocka_unit_test(a_frame_is_described_in_one_line),
        cmocka_unit_test(text_is_not_taken_for_a_frame),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
