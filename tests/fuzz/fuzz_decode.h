/* Decodes one message and looks at everything that the engine would take for granted of it. */
#ifndef TESTS_FUZZ_DECODE_H
#define TESTS_FUZZ_DECODE_H

#include "tests/fuzz/fuzz_plan.h"

static inline uint64_t fuzz_read_value(const struct mr_value *value, size_t samples) {
    uint64_t sum = 0;
    const char *bytes = NULL;
    size_t length = 0;
    switch (value->kind) {
    case MR_TEXT:
        FUZZ_CHECK(mr_valid_utf8(value->text));
        bytes = value->text.data;
        length = value->text.length;
        break;
    case MR_F32:
        FUZZ_CHECK((uintptr_t)value->f32 % sizeof(float) == 0);
        bytes = (const char *)value->f32;
        length = samples * sizeof(float);
        break;
    case MR_F64:
        FUZZ_CHECK((uintptr_t)value->f64 % sizeof(double) == 0);
        bytes = (const char *)value->f64;
        length = samples * sizeof(double);
        break;
    default:
        break;
    }
    for (size_t i = 0; i < length; i++) {
        sum += (uint8_t)bytes[i];
    }
    return sum;
}

static inline void fuzz_decode(const struct mr_plan *plan, struct mr_slice key,
                               struct mr_slice value) {
    struct mr_message message = {.timestamp_ns = 1, .append_ns = 1, .key = key, .value = value};
    struct mr_arena *arena = mr_arena_create();
    struct mr_decoded decoded = {0};
    void *codec = NULL;
    FUZZ_CHECK(plan->codec->open(&plan->input, true, &codec, NULL) == MR_OK);
    plan->codec->decode(codec, &message, arena, &decoded);
    FUZZ_CHECK(decoded.bad == 0 || decoded.reason.text[0]);
    for (size_t i = 0; i < decoded.count; i++) {
        const struct mr_record *record = &decoded.records[i];
        FUZZ_CHECK(record->samples > 0);
        FUZZ_CHECK(record->start_ns >= 0 && record->last_ns >= record->start_ns);
        FUZZ_CHECK(mr_sample_ns(record, record->samples - 1) == record->last_ns);
        for (size_t j = 0; j < plan->input.field_count; j++) {
            if (!plan->input.fields[j].derived) {
                (void)fuzz_read_value(&record->values[j], record->samples);
            }
        }
    }
    plan->codec->close(codec);
    mr_arena_destroy(arena);
}

#endif
