/* See measures.h. */
#include "tests/lib/measures.h"

#include <stdlib.h>

static void pack_sum(const struct mr_accumulator *from, const void *settings,
                     struct mr_accumulator *out) {
    mr_accumulator_reserve(out, out->length + 8);
    memcpy(out->body + out->length, from->head, 8);
    out->length += 8;
}

static enum mr_status unpack_sum(struct mr_accumulator *into, const void *settings,
                                 struct mr_slice packed) {
    if (packed.length != 8) {
        return MR_FAIL;
    }
    memcpy(into->head, packed.data, 8);
    return MR_OK;
}

static void append(struct mr_accumulator *to, const void *bytes, size_t length) {
    mr_accumulator_reserve(to, to->length + (uint32_t)length);
    if (length > 0) {
        memcpy(to->body + to->length, bytes, length);
    }
    to->length += (uint32_t)length;
}

static void pack_list(const struct mr_accumulator *from, const void *settings,
                      struct mr_accumulator *out) {
    append(out, from->body, from->length);
}

static enum mr_status unpack_list(struct mr_accumulator *into, const void *settings,
                                  struct mr_slice packed) {
    append(into, packed.data, packed.length);
    return MR_OK;
}

static const struct mr_aggregate_type sum_type = {
    .name = "sum", .head_size = 8, .pack = pack_sum, .unpack = unpack_sum};
static const struct mr_aggregate_type list_type = {
    .name = "list", .head_size = 0, .body_max = 4096, .pack = pack_list, .unpack = unpack_list};

static const struct mr_measure items[] = {{.aggregate = &sum_type}, {.aggregate = &list_type}};
const struct mr_measures mr_test_measures = {items, 2};

void mr_test_add(struct mr_cell *cell, uint8_t x) {
    *(uint64_t *)cell->accumulators[0].head += x;
    append(&cell->accumulators[1], &x, 1);
}

uint64_t mr_test_sum(const struct mr_cell *cell) {
    return *(const uint64_t *)cell->accumulators[0].head;
}

struct mr_slice mr_test_list(const struct mr_cell *cell) {
    const struct mr_accumulator *list = &cell->accumulators[1];
    return (struct mr_slice){(const char *)list->body, list->length};
}

static struct mr_test_record *find(struct mr_test_changelog *changelog, struct mr_slice key) {
    size_t i = 0;
    while (i < changelog->count && !mr_slice_equal(changelog->records[i].key, key)) {
        i++;
    }
    return &changelog->records[i];
}

static void release(struct mr_test_record *record) {
    free((void *)(uintptr_t)record->key.data);
    free((void *)(uintptr_t)record->value.data);
}

enum mr_status mr_test_take(void *arg, struct mr_slice key, struct mr_slice value,
                            struct mr_error *err) {
    struct mr_test_changelog *changelog = arg;
    struct mr_test_record *record = find(changelog, key);
    if (++changelog->taken == changelog->fail_at) {
        return mr_error_set(err, MR_FAIL, "asked to fail");
    }
    bool known = record < &changelog->records[changelog->count];
    if (known) {
        release(record);
        *record = changelog->records[--changelog->count];
    }
    changelog->tombstones += !value.data;
    if (value.data) {
        changelog->records[changelog->count++] =
            (struct mr_test_record){mr_copy_slice(key), mr_copy_slice(value)};
    }
    return MR_OK;
}

void mr_test_changelog_finish(struct mr_test_changelog *changelog) {
    for (size_t i = 0; i < changelog->count; i++) {
        release(&changelog->records[i]);
    }
    *changelog = (struct mr_test_changelog){0};
}
