/* JSON records that are rejected, each with a reason that names the field; and keys. */
#include "tests/unit/codecs/json_messages.h"

static void text_that_is_not_json_is_rejected(void **state) {
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "{\"ts\":5",
        "{\"ts\":5}}",
        "{\"ts\":5} x",
        "{\"ts\":5,}",
        "{'ts':5}",
        "{ts:5}",
        "{\"ts\":05}",
        "{\"ts\":+5}",
        "{\"ts\":5.}",
        "{\"ts\":.5}",
        "{\"ts\":0x5}",
        "{\"ts\":NaN}",
        "{\"ts\":Infinity}",
        "{\"ts\":1e999}",
        "{\"ts\":5,\"who\":\"a\nb\"}",
        "{\"ts\":5,\"who\":\"\xC0\xAF\"}",
        "{\"ts\":5,\"who\":\"\xED\xA0\x80\"}",
        "{\"ts\":5,\"who\":\"\xFF\"}",
        "{\"ts\":5,\"who\":\"\\ud800\"}",
        "{\"ts\":5,\"who\":\"\\x41\"}",
        "\xEF\xBB\xBF{\"ts\":5}",
        "// comment\n{\"ts\":5}",
        "\x0A\x08js220-01",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        rejected(&plain, texts[i], "not valid JSON at byte ", "");
    }
    struct mr_message zero = {.value = {"{\"ts\":5}\0", 9}};
    decode_message(&plain, false, &zero);
    assert_int_equal(decoded.bad, 1);
}

static void json_that_is_no_object_is_rejected(void **state) {
    rejected(&plain, "[1]", "record", "found an array of 1");
    rejected(&plain, "null", "record", "found null");
    rejected(&plain, "17", "record", "found the number 17");
    rejected(&plain, "\"x\"", "record", "found text `x`");
}

static void a_record_cut_at_any_length_is_rejected(void **state) {
    static const char text[] =
        "{\"ts\": 12, \"temp\": 21.5, \"who\": \"p\\u00e9\", \"x\": [{\"a\": null}]}";
    for (size_t length = 0; length < sizeof text - 1; length++) {
        char *exact = malloc(length ? length : 1);
        memcpy(exact, text, length);
        struct mr_message message = {.value = {exact, length}};
        decode_message(&plain, false, &message);
        assert_int_equal(decoded.bad, 1);
        free(exact);
    }
}

static void deep_nesting_is_rejected(void **state) {
    char text[200000] = "{\"ts\":5,\"x\":";
    size_t at = strlen(text);
    memset(text + at, '[', 100000);
    rejected(&plain, text, "JSON nested more than 32 deep", "");
    memset(text + at, '[', 30);
    memset(text + at + 30, ']', 30);
    memcpy(text + at + 60, "}", 2);
    assert_non_null(decode(&plain, text));
}

static void a_record_above_1_mib_is_rejected(void **state) {
    size_t size = ((size_t)1 << 20) + 2;
    char *text = malloc(size);
    memset(text, ' ', size);
    memcpy(text, "{\"ts\":5}", 8);
    struct mr_message message = {.value = {text, (size_t)1 << 20}};
    decode_message(&plain, false, &message);
    assert_int_equal(decoded.count, 1);
    message.value.length++;
    decode_message(&plain, false, &message);
    assert_int_equal(decoded.bad, 1);
    assert_non_null(strstr(decoded.reason.text, "1 MiB"));
    free(text);
}

static void a_tombstone_is_rejected(void **state) {
    struct mr_message message = {.key = mr_slice_of("k")};
    decode_message(&plain, false, &message);
    assert_int_equal(decoded.bad, 1);
    assert_non_null(strstr(decoded.reason.text, "tombstone"));
}

static void a_named_member_that_is_there_twice_is_rejected(void **state) {
    rejected(&plain, "{\"ts\":5,\"temp\":1,\"temp\":1}", "field `temp`", "twice");
    rejected(&plain, "{\"ts\":5,\"ts\":5}", "field `ts`", "twice");
    rejected(&plain, "{\"ts\":5,\"temp\":null,\"t\\u0065mp\":1}", "field `temp`", "twice");
}

static void a_wrong_type_is_rejected_and_told(void **state) {
    rejected(&plain, "{\"ts\":5,\"temp\":\"21.5\"}", "field `temp`", "found text `21.5`");
    rejected(&plain, "{\"ts\":5,\"temp\":true}", "field `temp`", "expected a number, found true");
    rejected(&plain, "{\"ts\":5,\"temp\":[1]}", "field `temp`", "an array of 1");
    rejected(&plain, "{\"ts\":5,\"temp\":{}}", "field `temp`", "an object");
    rejected(&plain, "{\"ts\":5,\"id\":1.5}", "field `id`", "an integer, found the number 1.5");
    rejected(&plain, "{\"ts\":5,\"id\":18446744073709551615}", "field `id`", "an integer");
    rejected(&plain, "{\"ts\":5,\"who\":5}", "field `who`", "expected text, found the number 5");
    rejected(&plain, "{\"ts\":5,\"on\":1}", "field `on`", "true or false");
    rejected(&plain, "{\"ts\":5,\"any\":[]}", "field `any`", "an array of 0");
    rejected(&plain, "{\"ts\":5,\"loose\":\"\"}", "field `loose`", "in text");
    rejected(&plain, "{\"ts\":5,\"loose\":\"1 \"}", "field `loose`", "in text");
    rejected(&plain, "{\"ts\":5,\"loose\":\"nan\"}", "field `loose`", "in text");
    rejected(&plain, "{\"ts\":5,\"loose\":\"1e999\"}", "field `loose`", "in text");
    rejected(&plain, "{\"ts\":5,\"loose\":\"0x10\"}", "field `loose`", "in text");
    rejected(&plain, "{\"ts\":5,\"loose_id\":\"1.5\"}", "field `loose_id`", "an integer");
}

static void a_reason_cannot_speak_to_a_terminal(void **state) {
    rejected(&plain, "{\"ts\":5,\"temp\":\"\\u001b[2J\"}", "field `temp`",
             "text with control characters");
}

static void a_long_text_is_cut_between_characters_in_a_reason(void **state) {
    char text[400] = "{\"ts\":5,\"temp\":\"x";
    for (size_t i = 0; i < 60; i++) {
        strncat(text, "\u00e9", sizeof text - strlen(text) - 1);
    }
    strncat(text, "\"}", sizeof text - strlen(text) - 1);
    rejected(&plain, text, "field `temp`", "...");
    assert_true(mr_valid_utf8(mr_slice_of(decoded.reason.text)));
}

/* ---- Time ---------------------------------------------------------------------------------- */
static void no_time(enum mr_time_unit unit, const char *written, const char *what) {
    char text[256];
    struct mr_input input = plain;
    input.time_unit = unit;
    snprintf(text, sizeof text, "{\"ts\":%s}", written);
    rejected(&input, text, "timestamp `ts`", what);
}

static void a_time_out_of_range_is_rejected(void **state) {
    no_time(MR_UNIT_MS, "-1", "negative");
    no_time(MR_UNIT_S, "-0.5", "negative");
    no_time(MR_UNIT_S, "\"-7\"", "negative");
    no_time(MR_UNIT_S, "9223372037", "2262");
    no_time(MR_UNIT_S, "1751932800000000", "2262");
    no_time(MR_UNIT_S, "1e300", "2262");
    no_time(MR_UNIT_NS, "9223372036854775808", "2262");
    no_time(MR_UNIT_NS, "\"99999999999999999999999999999999\"", "2262");
    no_time(MR_UNIT_S, "\"1e99999999999\"", "2262");
    no_time(MR_UNIT_ISO8601, "\"1969-12-31T23:59:59Z\"", "negative");
}

static void a_time_that_is_none_is_rejected(void **state) {
    no_time(MR_UNIT_MS, "null", "missing");
    no_time(MR_UNIT_MS, "true", "neither a number nor text");
    no_time(MR_UNIT_MS, "[5]", "neither a number nor text");
    no_time(MR_UNIT_MS, "\"\"", "not a number");
    no_time(MR_UNIT_MS, "\"-\"", "not a number");
    no_time(MR_UNIT_MS, "\"5x\"", "not a number");
    no_time(MR_UNIT_MS, "\" 5\"", "not a number");
    no_time(MR_UNIT_MS, "\"5.\"", "not a number");
    no_time(MR_UNIT_MS, "\".5\"", "not a number");
    no_time(MR_UNIT_MS, "\"5e\"", "not a number");
    no_time(MR_UNIT_MS, "\"5e+\"", "not a number");
    no_time(MR_UNIT_MS, "\"2026-11-21T03:10:00Z\"", "not a number");
    no_time(MR_UNIT_ISO8601, "1751932800000", "not text");
    no_time(MR_UNIT_ISO8601, "\"2026-11-21T03:10:00\"", "with a zone");
    no_time(MR_UNIT_ISO8601, "\"2026-13-21T03:10:00Z\"", "ISO 8601");
    rejected(&plain, "{}", "timestamp `ts`", "missing");
}

/* ---- Keys ---------------------------------------------------------------------------------- */
static void key_case(const struct mr_input *input, bool check, struct mr_slice key,
                     const char *text, const char *fault) {
    struct mr_header headers[] = {{mr_slice_of("other"), mr_slice_of("x")},
                                  {mr_slice_of("device"), mr_slice_of("pump-7")}};
    last_message = (struct mr_message){
        .key = key, .value = mr_slice_of(text), .headers = headers, .header_count = 2};
    decode_message(input, check, &last_message);
    if (!fault) {
        assert_string_equal(decoded.reason.text, "");
    } else if (decoded.bad != 1 || !strstr(decoded.reason.text, fault)) {
        fail_msg("%s: expected `%s`, got `%s`", text, fault, decoded.reason.text);
    }
}

static const struct mr_slice no_key = {NULL, 0};

static void a_key_field_must_equal_the_records_key(void **state) {
    struct mr_input input = plain;
    input.key_source = MR_KEY_FIELD;
    input.key_name = "who";
    input.key_slot = WHO;
    struct mr_slice key = mr_slice_of("pump-7");
    key_case(&input, true, key, "{\"ts\":5,\"who\":\"pump-7\"}", NULL);
    assert_true(mr_slice_equal(decoded.records->values[WHO].text, key));
    key_case(&input, true, key, "{\"ts\":5,\"who\":\"pump-8\"}", "field `who`: `pump-8` differs");
    key_case(&input, true, no_key, "{\"ts\":5,\"who\":\"pump-7\"}", "differs");
    key_case(&input, true, key, "{\"ts\":5}", "field `who`: is missing");
    key_case(&input, false, key, "{\"ts\":5,\"who\":\"pump-8\"}", NULL);
    key_case(&input, false, no_key, "{\"ts\":5}", NULL);
    key_case(&input, false, key, "{\"ts\":5,\"who\":\"a\\u0000\"}", "control");
}

static void a_key_field_that_no_statistic_uses_is_compared_too(void **state) {
    struct mr_input input = plain;
    input.key_source = MR_KEY_FIELD;
    input.key_name = "machine";
    key_case(&input, true, mr_slice_of("17"), "{\"ts\":5,\"machine\":17}", NULL);
    key_case(&input, true, mr_slice_of("17"), "{\"ts\":5,\"machine\":18}", "differs");
    key_case(&input, true, mr_slice_of("1.5"), "{\"ts\":5,\"machine\":1.5}", NULL);
    key_case(&input, true, mr_slice_of("true"), "{\"ts\":5,\"machine\":true}", NULL);
    key_case(&input, true, mr_slice_of("x"), "{\"ts\":5,\"machine\":[]}", "missing");
}

static void the_records_key_is_read_as_the_field_key(void **state) {
    struct mr_field fields[] = {{"key", MR_TEXT, false, false}};
    struct mr_input input = plain;
    input.fields = fields;
    input.field_count = 1;
    input.key_source = MR_KEY_RECORD;
    input.key_slot = 0;
    key_case(&input, true, mr_slice_of("pump-7"), "{\"ts\":5,\"key\":\"other\"}", NULL);
    assert_int_equal(decoded.records->values[0].kind, MR_TEXT);
    assert_true(mr_slice_equal(decoded.records->values[0].text, mr_slice_of("pump-7")));
    key_case(&input, true, no_key, "{\"ts\":5}", "the record's key is missing");
    key_case(&input, true, mr_slice_of(""), "{\"ts\":5}", "the record's key is empty");
    key_case(&input, true, mr_slice_of("a\nb"), "{\"ts\":5}", "the record's key holds a control");
    key_case(&input, true, mr_slice_of("\xFF"), "{\"ts\":5}", "the record's key is not valid");
    input.key_slot = -1;
    key_case(&input, true, no_key, "{\"ts\":5}", "the record's key is missing");
}

static void a_header_can_be_the_key(void **state) {
    struct mr_field fields[] = {{"key", MR_TEXT, false, false}};
    struct mr_input input = plain;
    input.fields = fields;
    input.field_count = 1;
    input.key_source = MR_KEY_HEADER;
    input.key_name = "device";
    input.key_slot = 0;
    key_case(&input, true, mr_slice_of("pump-7"), "{\"ts\":5}", NULL);
    assert_true(mr_slice_equal(decoded.records->values[0].text, mr_slice_of("pump-7")));
    key_case(&input, true, mr_slice_of("pump-8"), "{\"ts\":5}",
             "header `device`: `pump-7` differs");
    key_case(&input, false, no_key, "{\"ts\":5}", NULL);
    input.key_name = "unit";
    key_case(&input, false, no_key, "{\"ts\":5}", "header `unit` is missing");
}

static void a_record_key_above_1_kib_is_rejected(void **state) {
    char key[MR_KEY_MAX + 1];
    memset(key, 'k', sizeof key);
    key_case(&plain, false, (struct mr_slice){key, MR_KEY_MAX}, "{\"ts\":5}", NULL);
    key_case(&plain, false, (struct mr_slice){key, MR_KEY_MAX + 1}, "{\"ts\":5}", "1024 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_is_not_json_is_rejected),
        cmocka_unit_test(json_that_is_no_object_is_rejected),
        cmocka_unit_test(a_record_cut_at_any_length_is_rejected),
        cmocka_unit_test(deep_nesting_is_rejected),
        cmocka_unit_test(a_record_above_1_mib_is_rejected),
        cmocka_unit_test(a_tombstone_is_rejected),
        cmocka_unit_test(a_named_member_that_is_there_twice_is_rejected),
        cmocka_unit_test(a_wrong_type_is_rejected_and_told),
        cmocka_unit_test(a_reason_cannot_speak_to_a_terminal),
        cmocka_unit_test(a_long_text_is_cut_between_characters_in_a_reason),
        cmocka_unit_test(a_time_out_of_range_is_rejected),
        cmocka_unit_test(a_time_that_is_none_is_rejected),
        cmocka_unit_test(a_key_field_must_equal_the_records_key),
        cmocka_unit_test(a_key_field_that_no_statistic_uses_is_compared_too),
        cmocka_unit_test(the_records_key_is_read_as_the_field_key),
        cmocka_unit_test(a_header_can_be_the_key),
        cmocka_unit_test(a_record_key_above_1_kib_is_rejected),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
