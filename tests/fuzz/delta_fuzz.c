/* Records between the stages of a job: what can be read is written again as it was understood, and
 * a cell that a delta was merged into can be sent and merged once more, with the same outcome. */
#include "engine/run/stage.h"
#include "tests/fuzz/fuzz_plan.h"

static const char job[] = "job: all\n"
                          "from: {topic: t, format: waveform}\n"
                          "group_by: [stream]\n"
                          "window: {every: 1m}\n"
                          "stats:\n"
                          "  n: count\n"
                          "  covered: covered\n"
                          "  mean: mean(current)\n"
                          "  max: max(current)\n"
                          "  first: first(current)\n"
                          "  p50: median(current)\n"
                          "  charge: integral(current)\n"
                          "  devices: distinct(device)\n"
                          "to: [{topic: o}]\n";

static void round_trip_marker(const struct mr_marker *marker) {
    struct mr_buffer bytes = {0};
    struct mr_delta delta;
    struct mr_marker again;
    mr_marker_write(marker, &bytes);
    FUZZ_CHECK(mr_stage_read(mr_buffer_slice(&bytes), &delta, &again) == MR_STAGE_MARKER);
    FUZZ_CHECK(again.upstream == marker->upstream && again.idle == marker->idle &&
               again.watermark_ns == marker->watermark_ns && again.seen_ns == marker->seen_ns &&
               again.sent_ns == marker->sent_ns);
    mr_buffer_finish(&bytes);
}

static void round_trip_delta(const struct mr_delta *delta) {
    struct mr_buffer bytes = {0};
    struct mr_delta again;
    struct mr_marker marker;
    mr_delta_write(delta, &bytes);
    FUZZ_CHECK(mr_stage_read(mr_buffer_slice(&bytes), &again, &marker) == MR_STAGE_DELTA);
    FUZZ_CHECK(again.upstream == delta->upstream && again.layout == delta->layout &&
               again.samples == delta->samples && again.span.start_ns == delta->span.start_ns &&
               again.span.end_ns == delta->span.end_ns &&
               mr_slice_equal(again.group, delta->group) &&
               mr_slice_equal(again.packed, delta->packed));
    mr_buffer_finish(&bytes);
}

static enum mr_status keep(void *arg, const struct mr_cell *cell, struct mr_slice packed,
                           struct mr_error *err) {
    struct mr_buffer *out = arg;
    out->length = 0;
    mr_buffer_add(out, packed.data, packed.length);
    return MR_OK;
}

/* Merges into a new cell and sends that; false: refused. */
static bool merge(const struct mr_plan *plan, const struct mr_delta *delta, struct mr_slice packed,
                  struct mr_buffer *out) {
    struct mr_store *store = mr_store_create(&plan->measures, 0);
    struct mr_cell *cell = mr_store_window(store, delta->group, delta->span, true);
    struct mr_error err = {""};
    bool good = mr_store_merge(store, cell, packed, &err) == MR_OK;
    FUZZ_CHECK(good || err.text[0]);
    if (good) {
        mr_store_touch(store, cell);
        FUZZ_CHECK(mr_store_ship(store, keep, out, &err) == MR_OK);
        FUZZ_CHECK(mr_store_cells(store) == 0);
    }
    mr_store_destroy(store);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct mr_plan *plan;
    plan = plan ? plan : fuzz_plan(job);
    struct mr_slice bytes = fuzz_copy(data, size);
    struct mr_buffer once = {0}, twice = {0};
    struct mr_delta delta;
    struct mr_marker marker;
    enum mr_stage_record kind = mr_stage_read(bytes, &delta, &marker);
    if (kind == MR_STAGE_MARKER) {
        round_trip_marker(&marker);
    } else if (kind == MR_STAGE_DELTA) {
        round_trip_delta(&delta);
        if (merge(plan, &delta, delta.packed, &once)) {
            FUZZ_CHECK(merge(plan, &delta, mr_buffer_slice(&once), &twice));
            FUZZ_CHECK(mr_slice_equal(mr_buffer_slice(&once), mr_buffer_slice(&twice)));
        }
    }
    mr_buffer_finish(&once);
    mr_buffer_finish(&twice);
    free((void *)(uintptr_t)bytes.data);
    return 0;
}
