/* Frames that are refused, each with a reason that names the field. */
#include "tests/unit/codecs/frame_messages.h"

static void a_rate_that_is_none_is_refused(void **state) {
    const double rates[] = {0, -0.0, -1, NAN, INFINITY, -INFINITY, 1.0000001e9};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct mr_waveform frame = good_frame();
        frame.rate_hz = rates[i];
        refused_frame(&frame, "rate_hz", "must be above 0");
    }
}

static void a_time_that_does_not_fit_is_refused(void **state) {
    struct mr_waveform frame = good_frame();
    frame.start_ns = -1;
    refused_frame(&frame, "start_ns", "negative");
    frame.start_ns = INT64_MAX;
    refused_frame(&frame, "rate_hz", "ends beyond");
    frame.start_ns = 0;
    frame.rate_hz = 1e-300;
    refused_frame(&frame, "rate_hz", "ends beyond");
    frame.rate_hz = 4e9 / 9.3e18;
    refused_frame(&frame, "rate_hz", "ends beyond");
    frame.rate_hz = 4e9 / 9.1e18;
    struct bytes bytes = encode(&frame);
    decode(bytes);
    assert_int_equal(decoded.bad, 0);
    assert_true(mr_sample_ns(decoded.records, 4) > decoded.records->last_ns);
    free(bytes.data);
}

static void a_sequence_beyond_int64_is_refused(void **state) {
    struct mr_waveform frame = good_frame();
    frame.sequence = UINT64_MAX;
    refused_frame(&frame, "sequence", "2^63");
}

static void a_device_that_is_not_clean_text_is_refused(void **state) {
    struct mr_waveform frame = good_frame();
    char name[1100];
    memset(name, 'd', sizeof name);
    frame.device = mr_slice_of("");
    refused_frame(&frame, "device", "missing or empty");
    frame.device = (struct mr_slice){name, 1025};
    refused_frame(&frame, "device", "longer than 1024");
    frame.device = mr_slice_of("js\xC0\xAF");
    refused_frame(&frame, "device", "UTF-8");
    frame.device = mr_slice_of("js\n");
    refused_frame(&frame, "device", "control");
    frame.device = (struct mr_slice){"js\0", 3};
    refused_frame(&frame, "device", "control");
    frame.device = (struct mr_slice){name, 1024};
    refused_frame(&frame, "device", "differs from the record's key");
}

static void channels_must_be_there_named_once_and_equally_long(void **state) {
    struct mr_waveform frame = good_frame();
    frame.channel_count = 0;
    refused_frame(&frame, "channels", "none");
    frame.channel_count = 2;
    frame.samples = 0;
    refused_frame(&frame, "channel current", "none");
    frame.samples = 4;
    struct mr_waveform_channel twice[] = {channels[0], channels[0]};
    frame.channels = twice;
    refused_frame(&frame, "channel current", "there twice");
    struct mr_waveform_channel nameless[] = {{"", "", current}};
    frame.channels = nameless;
    frame.channel_count = 1;
    refused_frame(&frame, "channel name", "missing or empty");
    struct mr_waveform_channel rude[] = {{"a\x1B[2J", "", current}};
    frame.channels = rude;
    refused_frame(&frame, "channel name", "control");
    struct mr_waveform_channel unit[] = {{"a", "\xFF", current}};
    frame.channels = unit;
    refused_frame(&frame, "channel unit", "UTF-8");
}

static void unequal_channels_are_refused(void **state) {
    static const uint8_t body[] = "\x0A\x08js220-01\x19\0\0\0\0\0\0\xF0\x3F\x32\x09\x0A\x01"
                                  "a\x22\x04\0\0\0\0\x32\x0D\x0A\x01"
                                  "b\x22\x08\0\0\0\0\0\0\0\0";
    refused(seal(body, sizeof body - 1), "channel b", "not as many samples");
}

static void more_than_64_channels_are_refused(void **state) {
    struct mr_waveform_channel many[65];
    char names[65][4];
    for (size_t i = 0; i < 65; i++) {
        snprintf(names[i], sizeof names[i], "c%zu", i);
        many[i] = (struct mr_waveform_channel){names[i], "", current};
    }
    struct mr_waveform frame = good_frame();
    frame.channels = many;
    frame.channel_count = 65;
    refused_frame(&frame, "channels", "more than 64");
    frame.channel_count = 64;
    struct bytes bytes = encode(&frame);
    decode(bytes);
    assert_int_equal(decoded.bad, 0);
    free(bytes.data);
}

static void a_frame_above_4_mib_is_refused(void **state) {
    struct mr_waveform frame = good_frame();
    size_t n = MR_FRAME_MAX / 4;
    float *samples = calloc(n, sizeof *samples);
    struct mr_waveform_channel one = {"current", "A", samples};
    frame.channels = &one;
    frame.channel_count = 1;
    frame.samples = n;
    refused_frame(&frame, "frame", "4 MiB");
    frame.samples = n - 32;
    struct bytes bytes = encode(&frame);
    decode(bytes);
    assert_int_equal(decoded.bad, 0);
    free(bytes.data);
    free(samples);
}

#define HEAD "\x0A\x08js220-01\x19\0\0\0\0\0\0\xF0\x3F"
#define ONE                                                                                        \
    "\x32\x09\x0A\x01"                                                                             \
    "a\x22\x04\0\0\0\0"

static void another_order_or_another_field_is_refused(void **state) {
    static const struct {
        struct mr_slice body;
        const char *field, *what;
    } cases[] = {
#define CASE(text, field, what) {{text, sizeof text - 1}, field, what}
        CASE("\x19\0\0\0\0\0\0\xF0\x3F\x0A\x08js220-01" ONE, "frame", "out of order"),
        CASE(HEAD "\x0A\x08js220-02" ONE, "frame", "field 1 (wire type 2)"),
        CASE(HEAD ONE "\x28\x01", "frame", "field 5"),
        CASE(HEAD "\x28\x01\x28\x01" ONE, "frame", "field 5"),
        CASE(HEAD "\x3A\x01x" ONE, "frame", "field 7"),
        CASE(HEAD "\x2D\0\0\0\0" ONE, "frame", "field 5 (wire type 5)"),
        CASE(HEAD ONE "\x7D\0\0\0\0", "frame", "field 15"),
        CASE(HEAD "\x28\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF" ONE, "sequence", "64 bits"),
        CASE(HEAD "\x28\xFF", "sequence", "cut off"),
        CASE(HEAD "\x21\0\0\0", "stream", "cut off"),
        CASE(HEAD "\x32\x7F\x0A\x01"
                  "a",
             "channels", "passes the end"),
        CASE(HEAD "\x32\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", "channels", "passes the end"),
        CASE(HEAD "\x32\x08\x0A\x01"
                  "a\x22\x03\0\0\0",
             "channel a", "4 bytes each"),
        CASE(HEAD "\x32\x09\x22\x04\0\0\0\0\x0A\x01"
                  "a",
             "channels", "field 1"),
        CASE(HEAD "\x32\x0C\x0A\x01"
                  "a\x22\x04\0\0\0\0\x2A\x01x",
             "channels", "field 5"),
        CASE(HEAD "\x32\x0F\x0A\x01"
                  "a\x1A\x04\0\0\0\0\x22\x04\0\0\0\0",
             "channel a", "padding"),
        CASE(HEAD "\x32\x0F\x0A\x01"
                  "a\x22\x04\0\0\0\0\x22\x04\0\0\0\0",
             "channels", "field 4"),
        CASE("\x0A\x7Fjs" ONE, "device", "passes the end"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refused(seal(cases[i].body.data, cases[i].body.length), cases[i].field, cases[i].what);
    }
    struct bytes control = seal(HEAD ONE, sizeof HEAD ONE - 1);
    decode(control);
    assert_int_equal(decoded.bad, 0);
    free(control.data);
}

static void a_tombstone_is_refused(void **state) {
    struct mr_message message = {.key = mr_slice_of("js220-01")};
    decode_message(&message, true);
    assert_int_equal(decoded.bad, 1);
    assert_non_null(strstr(decoded.reason.text, "no value"));
}

static void a_wrong_checksum_is_told_with_both_values(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    memset(bytes.data + bytes.length - 4, 0, 4);
    refused(bytes, "crc32c", "is 00000000, the bytes give");
}

static void a_frame_with_bytes_after_its_checksum_is_refused(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    bytes.data = realloc(bytes.data, bytes.length + 1);
    bytes.data[bytes.length++] = 0;
    refused(bytes, "crc32c", "not the last field");
}

static void a_frame_cut_at_any_length_is_refused(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes good = encode(&frame);
    for (size_t length = 0; length < good.length; length++) {
        refused(copy_bytes(good.data, length), "crc32c", "");
    }
    for (size_t length = 0; length < good.length - 5; length++) {
        struct bytes bytes = seal(good.data, length);
        decode(bytes);
        /* Cut between the channels it is a frame of one channel, and says so. */
        assert_true(decoded.bad == 1 || decoded.records->values[VOLTAGE].kind == MR_ABSENT);
        free(bytes.data);
    }
    free(good.data);
}

static void every_flipped_byte_is_refused(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    for (size_t i = 0; i < bytes.length; i++) {
        for (unsigned change = 1; change < 256; change++) {
            bytes.data[i] ^= (uint8_t)change;
            decode(bytes);
            assert_int_equal(decoded.bad, 1);
            bytes.data[i] ^= (uint8_t)change;
        }
    }
    decode(bytes);
    assert_int_equal(decoded.bad, 0);
    free(bytes.data);
}

/* With a right checksum a changed byte may make another good frame, but never an unsound one. */
static void every_changed_byte_under_a_right_checksum_is_sound_or_refused(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes good = encode(&frame);
    for (size_t i = 0; i < good.length - 5; i++) {
        for (unsigned change = 1; change < 256; change++) {
            good.data[i] ^= (uint8_t)change;
            struct bytes bytes = seal(good.data, good.length - 5);
            decode(bytes);
            if (decoded.bad == 0) {
                const struct mr_record *record = decoded.records;
                assert_true(record->start_ns >= 0 && record->last_ns >= record->start_ns);
                assert_true(record->rate_hz > 0 && record->rate_hz <= 1e9);
                assert_int_equal(record->samples, 4);
                assert_true(record->values[SEQUENCE].integer >= 0);
            }
            free(bytes.data);
            good.data[i] ^= (uint8_t)change;
        }
    }
    free(good.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_that_is_none_is_refused),
        cmocka_unit_test(a_time_that_does_not_fit_is_refused),
        cmocka_unit_test(a_sequence_beyond_int64_is_refused),
        cmocka_unit_test(a_device_that_is_not_clean_text_is_refused),
        cmocka_unit_test(channels_must_be_there_named_once_and_equally_long),
        cmocka_unit_test(unequal_channels_are_refused),
        cmocka_unit_test(more_than_64_channels_are_refused),
        cmocka_unit_test(a_frame_above_4_mib_is_refused),
        cmocka_unit_test(another_order_or_another_field_is_refused),
        cmocka_unit_test(a_tombstone_is_refused),
        cmocka_unit_test(a_wrong_checksum_is_told_with_both_values),
        cmocka_unit_test(a_frame_with_bytes_after_its_checksum_is_refused),
        cmocka_unit_test(a_frame_cut_at_any_length_is_refused),
        cmocka_unit_test(every_flipped_byte_is_refused),
        cmocka_unit_test(every_changed_byte_under_a_right_checksum_is_sound_or_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
