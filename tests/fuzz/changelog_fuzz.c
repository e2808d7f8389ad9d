/* Records of a changelog: the first byte is the length of the key, then the key, then the value.
 * The layout hash of the store is 0. What a store takes, it must be able to unpack, merge, compute
 * and give back; and what it gives back is the canonical form of itself. */
#include "engine/state/state.h"
#include "tests/fuzz/fuzz_plan.h"

static const char job[] = "job: all\n"
                          "from: {topic: t, format: waveform}\n"
                          "group_by: [device]\n"
                          "window: {every: 1m}\n"
                          "stats:\n"
                          "  n: count\n"
                          "  covered: covered\n"
                          "  mean: mean(current)\n"
                          "  max: max(current)\n"
                          "  first: first(current)\n"
                          "  p50: median(current)\n"
                          "  digest: digest(current)\n"
                          "  charge: integral(current)\n"
                          "  levels: distinct(current, error=10%)\n"
                          "to: [{topic: o}]\n";

struct taken {
    struct mr_buffer key, value;
};

static enum mr_status take(void *arg, struct mr_slice key, struct mr_slice value,
                           struct mr_error *err) {
    struct taken *taken = arg;
    taken->key.length = taken->value.length = 0;
    mr_buffer_add(&taken->key, key.data, key.length);
    mr_buffer_add(&taken->value, value.data, value.length);
    return MR_OK;
}

/* What the engine would do with such a cell next. */
static void use(const struct mr_plan *plan, const struct mr_cell *cell) {
    struct mr_accumulator bytes = {0};
    for (size_t i = 0; i < plan->stat_count; i++) {
        const struct mr_stat *stat = &plan->stats[i];
        struct mr_value value = {.kind = MR_ABSENT};
        const struct mr_question question = {plan->measures.items[stat->measure].settings,
                                             stat->arguments, cell->span, &bytes};
        stat->result->compute(&cell->accumulators[stat->measure], &question, &value);
    }
    free(bytes.body);
}

/* Restores the record and takes it out again; false: it was refused. */
static bool round_trip(const struct mr_plan *plan, struct mr_slice key, struct mr_slice value,
                       struct taken *taken) {
    struct mr_store *store = mr_store_create(&plan->measures, 0);
    struct mr_error err = {""};
    struct mr_cell *cell = NULL;
    bool good = mr_store_restore(store, key, value, &cell, &err) == MR_OK;
    FUZZ_CHECK(good || err.text[0]);
    if (good) {
        FUZZ_CHECK(cell->kind == MR_CELL_COVER || mr_store_unpack(store, cell, &err) == MR_OK);
        if (cell->kind == MR_CELL_WINDOW) {
            use(plan, cell);
        }
        mr_store_touch(store, cell);
        FUZZ_CHECK(mr_store_take_dirty(store, take, taken, &err) == MR_OK);
    }
    mr_store_destroy(store);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct mr_plan *plan;
    if (size == 0 || data[0] > size - 1) {
        return 0;
    }
    plan = plan ? plan : fuzz_plan(job);
    struct mr_slice key = fuzz_copy(data + 1, data[0]);
    struct mr_slice value = fuzz_copy(data + 1 + data[0], size - 1 - data[0]);
    struct taken once = {0}, twice = {0};
    if (round_trip(plan, key, value, &once)) {
        FUZZ_CHECK(mr_slice_equal(key, mr_buffer_slice(&once.key)));
        FUZZ_CHECK(
            round_trip(plan, mr_buffer_slice(&once.key), mr_buffer_slice(&once.value), &twice));
        FUZZ_CHECK(mr_slice_equal(mr_buffer_slice(&once.value), mr_buffer_slice(&twice.value)));
    }
    mr_buffer_finish(&once.key);
    mr_buffer_finish(&once.value);
    mr_buffer_finish(&twice.key);
    mr_buffer_finish(&twice.value);
    free((void *)(uintptr_t)key.data);
    free((void *)(uintptr_t)value.data);
    return 0;
}
