/* What a counter rose by. A piece is the counter at its end less the counter at its beginning, both
 * added exactly, so pieces that touch telescope: between them nothing is lost to rounding.
 *
 * A piece may be taken back: an event that comes between two others makes one interval into two.
 * `n` counts what was given less what was taken back; with none left there is no increase. */
#include "operators/aggregates/packing.h"
#include "operators/operators.h"

#include <millrace/exact.h>

struct head {
    uint64_t n, beyond; /* pieces; those with a value beyond the range. Both may be below zero in a
                           part of the whole that has taken back what another was given */
    struct mr_exact_sum sum;
};

static bool add_piece(struct mr_exact_sum *sum, double from, double to) {
    struct mr_exact_sum before = *sum;
    bool good = mr_exact_add(sum, to) && mr_exact_add(sum, -from);
    if (!good) {
        *sum = before;
    }
    return good;
}

static void add(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part) {
    struct head *head = accumulator->head;
    const struct mr_held *held = part->held;
    uint64_t one = held->taken_back ? UINT64_MAX : 1;
    for (size_t i = 0; i < held->n; i++) {
        double from = held->taken_back ? held->x[i] : held->from[i];
        double to = held->taken_back ? held->from[i] : held->x[i];
        head->n += one;
        if (!add_piece(&head->sum, from, to)) {
            head->beyond += one;
        }
    }
}

static void merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                  const void *settings) {
    struct head *head = into->head;
    const struct head *other = from->head;
    head->n += other->n;
    head->beyond += other->beyond;
    mr_exact_merge(&head->sum, &other->sum);
}

static void pack(const struct mr_accumulator *accumulator, const void *settings,
                 struct mr_accumulator *out) {
    const struct head *head = accumulator->head;
    mr_pack_varint(out, head->n);
    mr_pack_varint(out, head->beyond);
    mr_pack_fixed(out, head->sum.limb, MR_SUM_LIMBS);
}

static enum mr_status unpack(struct mr_accumulator *accumulator, const void *settings,
                             struct mr_slice packed) {
    struct head *head = accumulator->head;
    bool good = mr_unpack_varint(&packed, &head->n) && mr_unpack_varint(&packed, &head->beyond) &&
                mr_unpack_fixed(&packed, head->sum.limb, MR_SUM_LIMBS) && packed.length == 0;
    return good ? MR_OK : MR_REJECT;
}

static void increase(const struct mr_accumulator *accumulator, const struct mr_question *question,
                     struct mr_value *out) {
    const struct head *head = accumulator->head;
    mr_give_number(out, head->n > 0 && head->beyond == 0, mr_exact_value(&head->sum));
}

static const struct mr_result results[] = {
    {.name = "increase",
     .summary = "what a counter rose by; where it fell it began anew at 0",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .timed = true,
     .compute = increase},
    {0},
};

const struct mr_aggregate_type mr_rises_aggregate = {
    .name = "rises",
    .summary = "what counters rose by",
    .feed = MR_FEED_RISES,
    .version = 1,
    .head_size = sizeof(struct head),
    .results = results,
    .add = add,
    .merge = merge,
    .pack = pack,
    .unpack = unpack,
};
