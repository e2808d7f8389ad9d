/* The integral over time by the rectangle rule, as instruments do it: every sample weighs the
 * seconds it stands for. Energy from power, charge from current.
 *
 *    seconds (n shift + sum of d)      as two exact products (see moments.c)
 *
 * A block with a value beyond the range (2^127) is counted and makes the result null. */
#include "operators/aggregates/packing.h"
#include "operators/operators.h"

#include <millrace/exact.h>

struct head {
    uint64_t n;
    uint64_t beyond; /* values in blocks beyond the range */
    struct mr_exact_sum sum;
};

static void add(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part) {
    struct head *head = accumulator->head;
    const struct mr_summary *summary = part->summary;
    if (summary->finite == 0) {
        return;
    }
    struct mr_exact_sum before = head->sum;
    head->n += summary->finite;
    if (!mr_within(summary, 0x1p127) ||
        !mr_exact_add_product(&head->sum, summary->finite * summary->shift, part->seconds) ||
        !mr_exact_add_product(&head->sum, summary->deviations, part->seconds)) {
        head->sum = before;
        head->beyond += summary->finite;
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
                mr_unpack_fixed(&packed, head->sum.limb, MR_SUM_LIMBS) && packed.length == 0 &&
                head->beyond <= head->n;
    return good ? MR_OK : MR_REJECT;
}

static void integral(const struct mr_accumulator *accumulator, const struct mr_question *question,
                     struct mr_value *out) {
    const struct head *head = accumulator->head;
    mr_give_number(out, head->n > 0 && head->beyond == 0, mr_exact_value(&head->sum));
}

static const struct mr_result results[] = {
    {.name = "integral",
     .summary = "the integral over time: energy (J) of power, charge (C) of current",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .timed = true,
     .compute = integral},
    {0},
};

const struct mr_aggregate_type mr_integral_aggregate = {
    .name = "integral",
    .summary = "the integral over time",
    .version = 1,
    .head_size = sizeof(struct head),
    .results = results,
    .add = add,
    .merge = merge,
    .pack = pack,
    .unpack = unpack,
};
