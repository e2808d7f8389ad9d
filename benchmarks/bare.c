/* See bare.h. */
#include "benchmarks/bare.h"
#include "operators/kernels/kernels.h"

#include <millrace/expression.h>
#include <millrace/waveform.h>
#include <stdlib.h>

/* The bare loop: copy, decode (with its checksum), multiply, and every measure of the plan, into
 * one set of accumulators per device. No log, no cells, no time. */
struct bare {
    struct mr_plan *plan;
    struct mr_accumulator *accumulators; /* devices * measures */
    struct mr_arena *arena;
    void *codec;
    char *copy;
    int devices;
    uint64_t frames;
};

static void bare_part(const struct bare *bare, const struct mr_record *record,
                      struct mr_accumulator *accumulators) {
    const struct mr_measures *measures = &bare->plan->measures;
    for (size_t i = 0, n; i < measures->count; i += n) {
        int slot = measures->items[i].slot;
        for (n = 1; i + n < measures->count && measures->items[i + n].slot == slot; n++) {
        }
        for (size_t at = 0; at < record->samples; at += MR_BLOCK) {
            struct mr_summary summary;
            struct mr_part part = {.n = record->samples - at < MR_BLOCK ? record->samples - at
                                                                        : MR_BLOCK,
                                   .seconds = 1 / record->rate_hz,
                                   .record = record,
                                   .first = at};
            if (slot >= 0) {
                part.f32 = record->values[slot].f32 + at;
                mr_summarise_f32(part.f32, part.n, &summary);
                part.summary = &summary;
            }
            for (size_t k = i; k < i + n; k++) {
                measures->items[k].aggregate->add(&accumulators[k], measures->items[k].settings,
                                                  &part);
            }
        }
    }
}

void mr_bare_frame(struct bare *bare, struct mr_slice frame) {
    struct mr_message copy = {.timestamp_ns = -1};
    struct mr_decoded decoded = {0};
    memcpy(bare->copy, frame.data, frame.length);
    copy.value = (struct mr_slice){bare->copy, frame.length};
    mr_arena_reset(bare->arena);
    bare->plan->codec->decode(bare->codec, &copy, bare->arena, &decoded);
    if (decoded.count != 1) {
        fprintf(stderr, "bench: %s\n", decoded.reason.text);
        exit(1);
    }
    const struct mr_assignments *let = bare->plan->steps[1].options;
    mr_expression_value(let->items[0].expression, &decoded.records[0], bare->arena,
                        &decoded.records[0].values[let->items[0].slot]);
    size_t device = (size_t)(bare->frames++ % (uint64_t)bare->devices);
    bare_part(bare, &decoded.records[0], &bare->accumulators[device * bare->plan->measures.count]);
}

struct bare *mr_bare_create(int devices) {
    struct mr_error err;
    struct bare *bare = mr_allocate(sizeof(*bare));
    *bare = (struct bare){.plan = mr_bench_load(mr_bench_frames_job, "1s"),
                          .arena = mr_arena_create(),
                          .copy = mr_allocate(MR_FRAME_MAX),
                          .devices = devices};
    const struct mr_measures *measures = &bare->plan->measures;
    size_t count = (size_t)devices * measures->count;
    bare->accumulators = mr_allocate_array(count, struct mr_accumulator);
    for (size_t i = 0; i < count; i++) {
        bare->accumulators[i].head =
            mr_allocate(measures->items[i % measures->count].aggregate->head_size);
    }
    if (bare->plan->codec->open(&bare->plan->input, false, &bare->codec, &err) != MR_OK) {
        mr_bench_die("bare loop", &err);
    }
    return bare;
}

void mr_bare_destroy(struct bare *bare) {
    size_t count = (size_t)bare->devices * bare->plan->measures.count;
    bare->plan->codec->close(bare->codec);
    for (size_t i = 0; i < count; i++) {
        free(bare->accumulators[i].head);
        free(bare->accumulators[i].body);
    }
    free(bare->accumulators);
    free(bare->copy);
    mr_arena_destroy(bare->arena);
    mr_plan_destroy(bare->plan);
    free(bare);
}
