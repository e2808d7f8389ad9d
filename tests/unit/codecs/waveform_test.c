/* Frames: what is read from a good one, and why each bad one is refused. */
#include "engine/base/base.h"
#include "tests/unit/codecs/frames.h"

#include <math.h>
#include <millrace/codec.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

extern const struct mr_codec_type mr_waveform_codec;

#define START INT64_C(1795230600123000000) /* 2026-11-21T03:10:00.123Z */

static const float current[] = {0.01f, 0.35f, NAN, 0.02f}, voltage[] = {3.3f, 3.2f, 3.3f, 3.25f};
static const struct mr_waveform_channel channels[] = {{"current", "A", current},
                                                      {"voltage", "V", voltage}};

static struct mr_waveform good_frame(void) {
    return (struct mr_waveform){.device = mr_slice_of("js220-01"),
                                .start_ns = START,
                                .rate_hz = 2e6,
                                .stream = 7,
                                .sequence = 42,
                                .samples = 4,
                                .channels = channels,
                                .channel_count = 2};
}

enum { CURRENT, DEVICE, STREAM, SEQUENCE, VOLTAGE, POWER, TEMPERATURE, FIELDS };
static const struct mr_field fields[FIELDS] = {
    {"current", MR_F32, false, false},    {"device", MR_TEXT, false, false},
    {"stream", MR_INTEGER, false, false}, {"sequence", MR_INTEGER, false, false},
    {"voltage", MR_F32, false, false},    {"power", MR_F32, false, true},
    {"temperature", MR_F32, false, false}};
static const struct mr_input input = {
    .fields = fields, .field_count = FIELDS, .key_source = MR_KEY_FIELD, .key_name = "device"};

static struct mr_arena *arena;
static struct mr_decoded decoded;

static struct mr_message message_of(struct bytes bytes) {
    return (struct mr_message){.key = mr_slice_of("js220-01"),
                               .value = {(const char *)bytes.data, bytes.length}};
}

static void decode_message(const struct mr_message *message, bool check_key) {
    void *codec;
    mr_arena_reset(arena);
    assert_int_equal(mr_waveform_codec.open(&input, check_key, &codec, NULL), MR_OK);
    mr_waveform_codec.decode(codec, message, arena, &decoded);
    mr_waveform_codec.close(codec);
    assert_int_equal(decoded.count + decoded.bad, 1);
    assert_true(decoded.bad == 0 || decoded.reason.text[0]);
}

static void decode(struct bytes bytes) {
    struct mr_message message = message_of(bytes);
    decode_message(&message, true);
}

/* The bytes are refused, and the reason begins with the field and says what. Frees them. */
static void refused(struct bytes bytes, const char *field, const char *what) {
    decode(bytes);
    free(bytes.data);
    assert_int_equal(decoded.bad, 1);
    if (strncmp(decoded.reason.text, field, strlen(field)) != 0 ||
        !strstr(decoded.reason.text, what)) {
        fail_msg("expected `%s ... %s`, got `%s`", field, what, decoded.reason.text);
    }
}

static void refused_frame(const struct mr_waveform *frame, const char *field, const char *what) {
    refused(encode(frame), field, what);
}

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

static void a_frame_with_bytes_after_its_checksum_is_refused(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    bytes.data = realloc(bytes.data, bytes.length + 1);
    bytes.data[bytes.length++] = 0;
    refused(bytes, "crc32c", "not the last field");
}

static void a_wrong_checksum_is_told_with_both_values(void **state) {
    struct mr_waveform frame = good_frame();
    struct bytes bytes = encode(&frame);
    memset(bytes.data + bytes.length - 4, 0, 4);
    refused(bytes, "crc32c", "is 00000000, the bytes give");
}

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

static void a_stream_may_be_any_64_bits(void **state) {
    struct mr_waveform frame = good_frame();
    frame.stream = UINT64_MAX - 1;
    struct bytes bytes = encode(&frame);
    decode(bytes);
    assert_int_equal(decoded.count, 1);
    assert_int_equal(decoded.records->values[STREAM].integer, -2);
    free(bytes.data);
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

static void a_tombstone_is_refused(void **state) {
    struct mr_message message = {.key = mr_slice_of("js220-01")};
    decode_message(&message, true);
    assert_int_equal(decoded.bad, 1);
    assert_non_null(strstr(decoded.reason.text, "no value"));
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

static int set_up(void **state) {
    arena = mr_arena_create();
    return 0;
}
static int tear_down(void **state) {
    mr_arena_destroy(arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_read_field_by_field),
        cmocka_unit_test(a_channel_that_the_frame_lacks_is_absent),
        cmocka_unit_test(floats_are_read_where_they_lie_when_the_value_is_aligned),
        cmocka_unit_test(floats_of_an_unaligned_value_are_copied),
        cmocka_unit_test(a_frame_is_found_whatever_its_lengths),
        cmocka_unit_test(a_field_left_out_because_it_is_zero_is_zero),
        cmocka_unit_test(every_flipped_byte_is_refused),
        cmocka_unit_test(every_changed_byte_under_a_right_checksum_is_sound_or_refused),
        cmocka_unit_test(a_frame_cut_at_any_length_is_refused),
        cmocka_unit_test(a_frame_with_bytes_after_its_checksum_is_refused),
        cmocka_unit_test(a_wrong_checksum_is_told_with_both_values),
        cmocka_unit_test(a_rate_that_is_none_is_refused),
        cmocka_unit_test(a_time_that_does_not_fit_is_refused),
        cmocka_unit_test(a_sequence_beyond_int64_is_refused),
        cmocka_unit_test(a_stream_may_be_any_64_bits),
        cmocka_unit_test(a_device_that_is_not_clean_text_is_refused),
        cmocka_unit_test(the_key_is_compared_only_when_asked),
        cmocka_unit_test(a_tombstone_is_refused),
        cmocka_unit_test(channels_must_be_there_named_once_and_equally_long),
        cmocka_unit_test(unequal_channels_are_refused),
        cmocka_unit_test(more_than_64_channels_are_refused),
        cmocka_unit_test(a_frame_above_4_mib_is_refused),
        cmocka_unit_test(another_order_or_another_field_is_refused),
        cmocka_unit_test(a_frame_is_described_in_one_line),
        cmocka_unit_test(text_is_not_taken_for_a_frame),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
