/* JSON records: what is read, where from, and how exactly. */
#include "tests/unit/codecs/json_messages.h"

static void named_members_of_the_root_are_read(void **state) {
    const struct mr_record *record = decode(
        &plain, "{\"ts\": 12, \"temp\": 21.5, \"id\": 9007199254740993, \"who\": \"p\\u00e9\","
                "\"on\": true, \"any\": \"x\", \"more\": [{}]}");
    assert_int_equal(record->start_ns, INT64_C(12000000));
    assert_int_equal(record->last_ns, INT64_C(12000000));
    assert_int_equal(record->samples, 1);
    assert_true(record->rate_hz == 0);
    assert_null(record->mask);
    assert_ptr_equal(record->message, &last_message);
    assert_int_equal(record->values[TEMP].kind, MR_NUMBER);
    assert_true(record->values[TEMP].number == 21.5);
    assert_int_equal(record->values[ID].kind, MR_INTEGER);
    assert_int_equal(record->values[ID].integer, INT64_C(9007199254740993));
    assert_int_equal(record->values[WHO].kind, MR_TEXT);
    assert_true(mr_slice_equal(record->values[WHO].text, mr_slice_of("p\u00e9")));
    assert_int_equal(record->values[ON].kind, MR_BOOLEAN);
    assert_true(record->values[ON].number == 1);
    assert_int_equal(record->values[ANY].kind, MR_TEXT);
}

static void a_member_deeper_down_is_another_thing(void **state) {
    const struct mr_record *record = decode(
        &plain, "{\"x\":{\"temp\":[1],\"ts\":\"no\"},\"ts\":5,\"temp\":2,\"y\":[{\"ts\":7}]}");
    assert_int_equal(record->start_ns, 5000000);
    assert_true(record->values[TEMP].number == 2);
}

static void duplicates_of_members_that_are_not_named_do_not_matter(void **state) {
    assert_non_null(decode(&plain, "{\"x\":1,\"ts\":5,\"x\":2,\"\":0,\"\":0}"));
}

static void an_escaped_name_is_the_same_name(void **state) {
    assert_true(decode(&plain, "{\"ts\":5,\"t\\u0065mp\":3}")->values[TEMP].number == 3);
}

static void null_and_missing_are_absent(void **state) {
    const struct mr_record *record = decode(&plain, "{\"ts\":5,\"temp\":null}");
    for (size_t i = 0; i < FIELDS; i++) {
        assert_int_equal(record->values[i].kind, MR_ABSENT);
    }
}

static void an_undeclared_field_takes_any_scalar(void **state) {
    const struct mr_record *record = decode(&plain, "{\"ts\":5,\"any\":false}");
    assert_int_equal(record->values[ANY].kind, MR_BOOLEAN);
    record = decode(&plain, "{\"ts\":5,\"any\":17}");
    assert_int_equal(record->values[ANY].kind, MR_INTEGER);
    record = decode(&plain, "{\"ts\":5,\"any\":0.5}");
    assert_int_equal(record->values[ANY].kind, MR_NUMBER);
}

static void a_number_as_text_counts_where_the_job_says_so(void **state) {
    const struct mr_record *record =
        decode(&plain, "{\"ts\":5,\"loose\":\"-1.25e2\",\"loose_id\":\"9007199254740993\"}");
    assert_int_equal(record->values[LOOSE].kind, MR_NUMBER);
    assert_true(record->values[LOOSE].number == -125);
    assert_int_equal(record->values[LOOSE_ID].integer, INT64_C(9007199254740993));
    assert_true(decode(&plain, "{\"ts\":5,\"loose\":4}")->values[LOOSE].number == 4);
}

static void an_integer_may_be_written_with_a_fraction_of_zero(void **state) {
    assert_int_equal(decode(&plain, "{\"ts\":5,\"id\":5.0}")->values[ID].integer, 5);
    assert_int_equal(decode(&plain, "{\"ts\":5,\"id\":-1e3}")->values[ID].integer, -1000);
}

/* ---- Time ---------------------------------------------------------------------------------- */
static int64_t time_of(enum mr_time_unit unit, const char *written) {
    char text[256];
    struct mr_input input = plain;
    input.time_unit = unit;
    snprintf(text, sizeof text, "{\"ts\":%s}", written);
    return decode(&input, text)->start_ns;
}

static void a_time_is_a_number_in_the_declared_unit(void **state) {
    assert_int_equal(time_of(MR_UNIT_S, "1468244384"), INT64_C(1468244384000000000));
    assert_int_equal(time_of(MR_UNIT_MS, "1751932800000"), INT64_C(1751932800000000000));
    assert_int_equal(time_of(MR_UNIT_US, "1751932800000001"), INT64_C(1751932800000001000));
    assert_int_equal(time_of(MR_UNIT_NS, "1751932800000000001"), INT64_C(1751932800000000001));
    assert_int_equal(time_of(MR_UNIT_S, "0"), 0);
    assert_int_equal(time_of(MR_UNIT_S, "-0.0"), 0);
    assert_int_equal(time_of(MR_UNIT_NS, "9223372036854775807"), INT64_MAX);
}

static void a_fraction_is_taken_digit_by_digit(void **state) {
    assert_int_equal(time_of(MR_UNIT_S, "1468244384.123"), INT64_C(1468244384123000000));
    assert_int_equal(time_of(MR_UNIT_S, "1751932800.000001"), INT64_C(1751932800000001000));
    assert_int_equal(time_of(MR_UNIT_MS, "1751932800000.25"), INT64_C(1751932800000250000));
    assert_int_equal(time_of(MR_UNIT_NS, "7.5"), 8);
    assert_int_equal(time_of(MR_UNIT_NS, "7.25"), 7);
    assert_int_equal(time_of(MR_UNIT_S, "1.5e9"), INT64_C(1500000000000000000));
    assert_int_equal(time_of(MR_UNIT_S, "1e-9"), 1);
    assert_int_equal(time_of(MR_UNIT_S, "5e-10"), 1);
    assert_int_equal(time_of(MR_UNIT_S, "4e-10"), 0);
    assert_int_equal(time_of(MR_UNIT_S, "1e-300"), 0);
}

static void a_time_may_be_text(void **state) {
    assert_int_equal(time_of(MR_UNIT_MS, "\"1751932800000\""), INT64_C(1751932800000000000));
    assert_int_equal(time_of(MR_UNIT_S, "\"1468244384.123456789\""), INT64_C(1468244384123456789));
    assert_int_equal(time_of(MR_UNIT_S, "\"1468244384.1234567894999999999999999\""),
                     INT64_C(1468244384123456789));
    assert_int_equal(time_of(MR_UNIT_S, "\"000000000000000000000000000000001468244384\""),
                     INT64_C(1468244384000000000));
    assert_int_equal(time_of(MR_UNIT_NS, "\"1751932800000000001\""),
                     INT64_C(1751932800000000000) + 1);
    assert_int_equal(time_of(MR_UNIT_ISO8601, "\"2026-11-21T03:10:00.5+01:00\""),
                     INT64_C(1795227000500000000));
}

static void the_time_can_be_the_records_own(void **state) {
    struct mr_input input = plain;
    input.time_source = MR_TIME_LOG;
    struct mr_message message = {.timestamp_ns = 77, .value = mr_slice_of("{\"ts\":\"junk\"}")};
    decode_message(&input, false, &message);
    assert_int_equal(decoded.count, 1);
    assert_int_equal(decoded.records->start_ns, 77);
    message.timestamp_ns = -1;
    decode_message(&input, false, &message);
    assert_int_equal(decoded.bad, 1);
    assert_non_null(strstr(decoded.reason.text, "timestamp"));
}

static void a_time_field_can_be_a_field_too(void **state) {
    struct mr_field fields[] = {{"ts", MR_INTEGER, false, false}};
    struct mr_input input = plain;
    input.fields = fields;
    input.field_count = 1;
    const struct mr_record *record = decode(&input, "{\"ts\":5}");
    assert_int_equal(record->start_ns, 5000000);
    assert_int_equal(record->values[0].integer, 5);
}

/* ---- Arrays -------------------------------------------------------------------------------- */
static const struct mr_field wave_fields[] = {{"current", MR_F32, false, false},
                                              {"voltage", MR_F32, false, false},
                                              {"power", MR_F32, false, true}};
static const struct mr_input wave = {.fields = wave_fields,
                                     .field_count = 3,
                                     .time_field = "ts",
                                     .time_unit = MR_UNIT_MS,
                                     .rate_hz = 1000,
                                     .key_slot = -1};

static void arrays_are_samples_at_the_declared_rate(void **state) {
    const struct mr_record *record =
        decode(&wave, "{\"ts\":5,\"current\":[1,2.5,null],\"voltage\":[3,3,3]}");
    assert_int_equal(record->samples, 3);
    assert_true(record->rate_hz == 1000);
    assert_int_equal(record->last_ns, 7000000);
    assert_int_equal(record->values[0].kind, MR_F64);
    assert_true(record->values[0].f64[1] == 2.5);
    assert_true(isnan(record->values[0].f64[2]));
    assert_int_equal((uintptr_t)record->values[1].f64 % 8, 0);
}

static void an_absent_array_leaves_the_other(void **state) {
    const struct mr_record *record = decode(&wave, "{\"ts\":5,\"current\":[1,2],\"voltage\":null}");
    assert_int_equal(record->samples, 2);
    assert_int_equal(record->values[1].kind, MR_ABSENT);
}

static void the_rate_can_come_from_a_step_field(void **state) {
    struct mr_input input = wave;
    input.rate_hz = 0;
    input.step_field = "dt";
    input.step_unit = MR_UNIT_US;
    const struct mr_record *record = decode(&input, "{\"ts\":5,\"dt\":10,\"current\":[1,2]}");
    assert_true(record->rate_hz == 1e5);
    assert_int_equal(record->last_ns, 5010000);
    rejected(&input, "{\"ts\":5,\"dt\":0,\"current\":[1,2]}", "step `dt`", "the number 0");
    rejected(&input, "{\"ts\":5,\"dt\":-1,\"current\":[1,2]}", "step `dt`", "above 0");
    rejected(&input, "{\"ts\":5,\"dt\":0.0001,\"current\":[1,2]}", "step `dt`", "at least 1 ns");
    rejected(&input, "{\"ts\":5,\"dt\":\"x\",\"current\":[1,2]}", "step `dt`", "text `x`");
    rejected(&input, "{\"ts\":5,\"current\":[1,2]}", "step `dt`", "nothing");
    rejected(&input, "{\"ts\":5,\"dt\":1e300,\"current\":[1,2]}", "samples", "2262");
}

static void arrays_that_do_not_fit_are_rejected(void **state) {
    rejected(&wave, "{\"ts\":5,\"current\":[1,2],\"voltage\":[1]}", "field `voltage`",
             "1 samples, the array before it 2");
    rejected(&wave, "{\"ts\":5,\"current\":[]}", "field `current`", "at least 1");
    rejected(&wave, "{\"ts\":5,\"current\":[1,\"2\"]}", "field `current`", "text `2` at index 1");
    rejected(&wave, "{\"ts\":5,\"current\":[1,[2]]}", "field `current`", "an array of 1");
    rejected(&wave, "{\"ts\":5,\"current\":7}", "field `current`", "an array of numbers");
    rejected(&wave, "{\"ts\":5}", "samples", "none of the declared arrays");
}

static void arrays_without_a_rate_are_refused_at_open(void **state) {
    struct mr_input input = wave;
    struct mr_error err;
    void *codec;
    input.rate_hz = 0;
    assert_int_equal(mr_json_codec.open(&input, false, &codec, &err), MR_REJECT);
    assert_non_null(strstr(err.text, "samples"));
}

/* ---- each ---------------------------------------------------------------------------------- */
static void every_element_is_a_record(void **state) {
    struct mr_input input = plain;
    input.each = "readings";
    decode(&input, "{\"ts\":1,\"readings\":[{\"ts\":5,\"temp\":1,\"who\":\"a\"},"
                   "{\"ts\":6,\"temp\":2,\"who\":\"b\"}]}");
    assert_int_equal(decoded.count, 2);
    assert_int_equal(decoded.bad, 0);
    assert_int_equal(decoded.records[0].start_ns, 5000000);
    assert_int_equal(decoded.records[1].start_ns, 6000000);
    assert_true(decoded.records[1].values[TEMP].number == 2);
    assert_true(mr_slice_equal(decoded.records[0].values[WHO].text, mr_slice_of("a")));
}

static void a_bad_element_counts_itself_and_leaves_the_others(void **state) {
    struct mr_input input = plain;
    input.each = "readings";
    struct mr_message message = {
        .value = mr_slice_of("{\"readings\":[{\"ts\":5},{\"ts\":\"x\"},7,{\"ts\":8,\"temp\":3}]}")};
    decode_message(&input, false, &message);
    assert_int_equal(decoded.count, 2);
    assert_int_equal(decoded.bad, 2);
    assert_true(decoded.records[1].values[TEMP].number == 3);
    assert_non_null(strstr(decoded.reason.text, "text `x` is not a number"));
}

static void an_empty_array_is_no_record_and_no_fault(void **state) {
    struct mr_input input = plain;
    input.each = "readings";
    struct mr_message message = {.value = mr_slice_of("{\"readings\":[]}")};
    decode_message(&input, false, &message);
    assert_int_equal(decoded.count, 0);
    assert_int_equal(decoded.bad, 0);
}

static void a_message_without_the_array_is_bad(void **state) {
    struct mr_input input = plain;
    input.each = "readings";
    rejected(&input, "{\"reading\":[]}", "field `readings`", "found nothing");
    rejected(&input, "{\"readings\":{\"ts\":5}}", "field `readings`", "found an object");
    rejected(&input, "{\"readings\":[],\"readings\":[]}", "field `readings`", "twice");
    rejected(&input, "[]", "field `readings`", "found nothing");
}

static void more_elements_than_allowed_are_rejected_as_a_whole(void **state) {
    struct mr_input input = plain;
    input.each = "r";
    input.time_source = MR_TIME_LOG;
    struct mr_buffer text = {0};
    mr_buffer_text(&text, "{\"r\":[{}");
    for (size_t i = 1; i < 65536; i++) {
        mr_buffer_text(&text, ",{}");
    }
    mr_buffer_text(&text, "]}");
    struct mr_message message = {.value = mr_buffer_slice(&text)};
    decode_message(&input, false, &message);
    assert_int_equal(decoded.count, 65536);
    text.length -= 2;
    mr_buffer_text(&text, ",{}]}");
    message.value = mr_buffer_slice(&text);
    decode_message(&input, false, &message);
    assert_int_equal(decoded.count, 0);
    assert_int_equal(decoded.bad, 1);
    assert_non_null(strstr(decoded.reason.text, "more than 65536"));
    mr_buffer_finish(&text);
}

/* ---- Two ways to the same record ----------------------------------------------------------- */

/* The elements of `each` always go through the parser, a plain object of its own does not. */
static void agree(const char *text) {
    struct mr_buffer wrapped = {0};
    struct mr_record alone = {0};
    struct mr_value values[FIELDS];
    char reason[sizeof decoded.reason.text], who[256] = "", any[256] = "";
    struct mr_message message = {.value = mr_slice_of(text)};
    decode_message(&plain, false, &message);
    bool good = decoded.bad == 0;
    snprintf(reason, sizeof reason, "%s", decoded.reason.text);
    if (good) {
        alone = *decoded.records;
        memcpy(values, alone.values, sizeof values);
        if (values[WHO].kind == MR_TEXT) {
            snprintf(who, sizeof who, "%.*s", (int)values[WHO].text.length, values[WHO].text.data);
        }
        if (values[ANY].kind == MR_TEXT) {
            snprintf(any, sizeof any, "%.*s", (int)values[ANY].text.length, values[ANY].text.data);
        }
    }
    struct mr_input input = plain;
    input.each = "r";
    mr_buffer_format(&wrapped, "{\"r\":[%s]}", text);
    message.value = mr_buffer_slice(&wrapped);
    decode_message(&input, false, &message);
    if (good != (decoded.bad == 0 && decoded.count == 1)) {
        fail_msg("%s: `%s` and `%s`", text, reason, decoded.reason.text);
    }
    for (size_t i = 0; good && i < FIELDS; i++) {
        const struct mr_value *value = &decoded.records->values[i];
        assert_int_equal(values[i].kind, value->kind);
        if (value->kind == MR_TEXT) {
            assert_true(mr_slice_equal(value->text, mr_slice_of(i == WHO ? who : any)));
        } else if (value->kind != MR_ABSENT) {
            assert_memory_equal(&values[i].number, &value->number, sizeof value->number);
            assert_true(value->kind != MR_INTEGER || values[i].integer == value->integer);
        }
    }
    assert_true(!good || alone.start_ns == decoded.records->start_ns);
    mr_buffer_finish(&wrapped);
}

static uint64_t random_state;
static uint32_t random_below(uint32_t n) {
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)((random_state >> 33) % n);
}

static void a_plain_text_gives_what_the_parser_gives(void **state) {
    static const char *const texts[] = {
        "{\"ts\":5,\"temp\":20.00}",
        " {\t\"ts\" : 5 ,\r\n\"temp\":-0.001 } ",
        "{\"ts\":5,\"temp\":-0,\"any\":-0}",
        "{\"ts\":5,\"temp\":-0.0,\"any\":-0.0}",
        "{\"ts\":5,\"temp\":4377065160921.7260,\"any\":121828773621715.45}",
        "{\"ts\":5,\"temp\":144692647142.42009,\"any\":595871802239301.69}",
        "{\"ts\":5,\"temp\":-0.0}",
        "{\"ts\":5,\"temp\":0.1234567890123}",
        "{\"ts\":5,\"temp\":9007199254740993.5}",
        "{\"ts\":5,\"temp\":123456789012345678901234567890}",
        "{\"ts\":5,\"id\":999999999999999999,\"any\":-999999999999999999}",
        "{\"ts\":5,\"id\":9223372036854775807}",
        "{\"ts\":5,\"id\":1e3,\"temp\":1E-2}",
        "{\"ts\":5,\"on\":true,\"any\":false,\"temp\":null}",
        "{\"ts\":5,\"on\":truex}",
        "{\"ts\":5,\"temp\":01}",
        "{\"ts\":5,\"temp\":1.}",
        "{\"ts\":5,\"temp\":-}",
        "{\"ts\":5,\"temp\":}",
        "{\"ts\":5,}",
        "{,\"ts\":5}",
        "{\"ts\":5 \"temp\":1}",
        "{}",
        "{\"ts\":5}x",
        "{\"ts\":5,\"who\":\"12345678\",\"any\":\"1234567\"}",
        "{\"ts\":5,\"who\":\"1234567\x7F\",\"any\":\"caf\u00e9 and more text\"}",
        "{\"ts\":5,\"who\":\"a\\\"b\",\"any\":\"\\u0041\"}",
        "{\"ts\":5,\"who\":\"\",\"\":1,\"any\":\"\"}",
        "{\"ts\":5,\"tem\":1,\"tamp\":2,\"temp\":3,\"temps\":4,\"loose_ib\":1}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        agree(texts[i]);
    }
}

static void a_spoiled_text_gives_what_the_parser_gives(void **state) {
    static const char text[] = "{\"ts\": 1795230600000,\"who\":\"sensor-0007\",\"temp\":-20.25,"
                               "\"id\":42, \"on\":true,\"any\":null,\"loose\":0.5}";
    static const char letters[] = "{}[]:,\"\\ .-+0123456789eEtrufalsn\t\n\x01\x7F\xC3\xA9z";
    random_state = 1;
    for (int round = 0; round < 60000; round++) {
        char spoiled[sizeof text];
        memcpy(spoiled, text, sizeof text);
        for (uint32_t changes = 1 + random_below(3); changes > 0; changes--) {
            spoiled[random_below(sizeof text - 1)] = letters[random_below(sizeof letters - 1)];
        }
        agree(spoiled);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_members_of_the_root_are_read),
        cmocka_unit_test(a_member_deeper_down_is_another_thing),
        cmocka_unit_test(duplicates_of_members_that_are_not_named_do_not_matter),
        cmocka_unit_test(an_escaped_name_is_the_same_name),
        cmocka_unit_test(null_and_missing_are_absent),
        cmocka_unit_test(an_undeclared_field_takes_any_scalar),
        cmocka_unit_test(a_number_as_text_counts_where_the_job_says_so),
        cmocka_unit_test(an_integer_may_be_written_with_a_fraction_of_zero),
        cmocka_unit_test(a_time_is_a_number_in_the_declared_unit),
        cmocka_unit_test(a_fraction_is_taken_digit_by_digit),
        cmocka_unit_test(a_time_may_be_text),
        cmocka_unit_test(the_time_can_be_the_records_own),
        cmocka_unit_test(a_time_field_can_be_a_field_too),
        cmocka_unit_test(arrays_are_samples_at_the_declared_rate),
        cmocka_unit_test(an_absent_array_leaves_the_other),
        cmocka_unit_test(the_rate_can_come_from_a_step_field),
        cmocka_unit_test(arrays_that_do_not_fit_are_rejected),
        cmocka_unit_test(arrays_without_a_rate_are_refused_at_open),
        cmocka_unit_test(every_element_is_a_record),
        cmocka_unit_test(a_bad_element_counts_itself_and_leaves_the_others),
        cmocka_unit_test(an_empty_array_is_no_record_and_no_fault),
        cmocka_unit_test(a_message_without_the_array_is_bad),
        cmocka_unit_test(more_elements_than_allowed_are_rejected_as_a_whole),
        cmocka_unit_test(a_plain_text_gives_what_the_parser_gives),
        cmocka_unit_test(a_spoiled_text_gives_what_the_parser_gives),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
