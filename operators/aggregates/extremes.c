/* The lowest and the highest value; -0 is below +0. */
#include "operators/aggregates/packing.h"
#include "operators/operators.h"

struct head {
    uint64_t any; /* 0: the rest is not set */
    double min, max;
};

static void widen(struct head *head, double min, double max) {
    if (!head->any || mr_below(min, head->min)) {
        head->min = min;
    }
    if (!head->any || mr_below(head->max, max)) {
        head->max = max;
    }
    head->any = 1;
}

static void add(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part) {
    if (part->summary->finite > 0) {
        widen(accumulator->head, part->summary->min, part->summary->max);
    }
}

static void merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                  const void *settings) {
    const struct head *other = from->head;
    if (other->any) {
        widen(into->head, other->min, other->max);
    }
}

static void pack(const struct mr_accumulator *accumulator, const void *settings,
                 struct mr_accumulator *out) {
    const struct head *head = accumulator->head;
    if (head->any) {
        mr_pack_double(out, head->min);
        mr_pack_double(out, head->max);
    }
}

static enum mr_status unpack(struct mr_accumulator *accumulator, const void *settings,
                             struct mr_slice packed) {
    struct head *head = accumulator->head;
    if (packed.length == 0) {
        return MR_OK;
    }
    head->any = 1;
    bool good = mr_unpack_finite(&packed, &head->min) && mr_unpack_finite(&packed, &head->max) &&
                packed.length == 0 && !mr_below(head->max, head->min);
    return good ? MR_OK : MR_REJECT;
}

static void min(const struct mr_accumulator *accumulator, const struct mr_question *question,
                struct mr_value *out) {
    const struct head *head = accumulator->head;
    mr_give_number(out, head->any, head->min);
}

static void max(const struct mr_accumulator *accumulator, const struct mr_question *question,
                struct mr_value *out) {
    const struct head *head = accumulator->head;
    mr_give_number(out, head->any, head->max);
}

static void range(const struct mr_accumulator *accumulator, const struct mr_question *question,
                  struct mr_value *out) {
    const struct head *head = accumulator->head;
    mr_give_number(out, head->any, head->max - head->min);
}

static const struct mr_result results[] = {
    {.name = "min",
     .summary = "the lowest value",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = min},
    {.name = "max",
     .summary = "the highest value",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = max},
    {.name = "range",
     .summary = "the highest value less the lowest",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = range},
    {0},
};

const struct mr_aggregate_type mr_extremes_aggregate = {
    .name = "extremes",
    .summary = "the lowest and the highest value",
    .version = 1,
    .head_size = sizeof(struct head),
    .results = results,
    .add = add,
    .merge = merge,
    .pack = pack,
    .unpack = unpack,
};
