/* Statistics of values that held for some time: what `hold` makes of events.
 *
 *   area   sum of x * ns, as exact products      divided by 1e9 once, when it is asked for
 *   ns     how long, in whole nanoseconds
 *
 * So whatever cuts the intervals, the parts add up to the whole: the minutes to the hour. A value
 * whose product is beyond the range (2^127) is counted and makes area and mean null. */
#include "operators/aggregates/packing.h"
#include "operators/operators.h"

#include <millrace/exact.h>

__extension__ typedef unsigned __int128 wide;

struct head {
    uint64_t beyond; /* pieces beyond the range       */
    uint64_t ns[2];  /* low, high; of many keys a sum */
    struct mr_exact_sum area;
};

static wide length_of(const struct head *head) {
    return (wide)head->ns[1] << 64 | head->ns[0];
}

static void lengthen(struct head *head, wide ns) {
    wide sum = length_of(head) + ns;
    head->ns[0] = (uint64_t)sum;
    head->ns[1] = (uint64_t)(sum >> 64);
}

static void add(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part) {
    struct head *head = accumulator->head;
    const struct mr_held *held = part->held;
    wide ns = 0;
    for (size_t i = 0; i < held->n; i++) {
        ns += (uint64_t)held->ns[i];
        if (!mr_exact_add_product(&head->area, held->x[i], (double)held->ns[i])) {
            head->beyond++;
        }
    }
    lengthen(head, ns);
}

static void merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                  const void *settings) {
    struct head *head = into->head;
    const struct head *other = from->head;
    head->beyond += other->beyond;
    lengthen(head, length_of(other));
    mr_exact_merge(&head->area, &other->area);
}

static void pack(const struct mr_accumulator *accumulator, const void *settings,
                 struct mr_accumulator *out) {
    const struct head *head = accumulator->head;
    mr_pack_varint(out, head->beyond);
    mr_pack_varint(out, head->ns[0]);
    mr_pack_varint(out, head->ns[1]);
    mr_pack_fixed(out, head->area.limb, MR_SUM_LIMBS);
}

static enum mr_status unpack(struct mr_accumulator *accumulator, const void *settings,
                             struct mr_slice packed) {
    struct head *head = accumulator->head;
    bool good = mr_unpack_varint(&packed, &head->beyond) &&
                mr_unpack_varint(&packed, &head->ns[0]) &&
                mr_unpack_varint(&packed, &head->ns[1]) &&
                mr_unpack_fixed(&packed, head->area.limb, MR_SUM_LIMBS) && packed.length == 0;
    return good ? MR_OK : MR_REJECT;
}

static void integral(const struct mr_accumulator *accumulator, const struct mr_question *question,
                     struct mr_value *out) {
    const struct head *head = accumulator->head;
    mr_give_number(out, length_of(head) > 0 && head->beyond == 0,
                   mr_exact_value(&head->area) / 1e9);
}

static void time_mean(const struct mr_accumulator *accumulator, const struct mr_question *question,
                      struct mr_value *out) {
    const struct head *head = accumulator->head;
    bool known = length_of(head) > 0 && head->beyond == 0;
    mr_give_number(out, known, known ? mr_exact_value(&head->area) / (double)length_of(head) : 0);
}

static void covered(const struct mr_accumulator *accumulator, const struct mr_question *question,
                    struct mr_value *out) {
    mr_give_number(out, true, (double)length_of(accumulator->head) / 1e9);
}

static void coverage(const struct mr_accumulator *accumulator, const struct mr_question *question,
                     struct mr_value *out) {
    double whole = (double)(question->span.end_ns - question->span.start_ns);
    mr_give_number(out, true, (double)length_of(accumulator->head) / whole);
}

static const struct mr_result results[] = {
    {.name = "integral",
     .summary = "the integral over time: energy (J) of power, charge (C) of current",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .timed = true,
     .compute = integral},
    {.name = "time_mean",
     .summary = "the mean, each value weighed by how long it held",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .timed = true,
     .compute = time_mean},
    {.name = "covered",
     .summary = "the seconds for which values held",
     .kind = MR_NUMBER,
     .field_allowed = true,
     .timed = true,
     .compute = covered},
    {.name = "coverage",
     .summary = "their share of the window",
     .kind = MR_NUMBER,
     .field_allowed = true,
     .timed = true,
     .share = true,
     .compute = coverage},
    {0},
};

const struct mr_aggregate_type mr_held_aggregate = {
    .name = "held",
    .summary = "values weighed by how long they held",
    .feed = MR_FEED_HELD,
    .version = 1,
    .head_size = sizeof(struct head),
    .results = results,
    .add = add,
    .merge = merge,
    .pack = pack,
    .unpack = unpack,
};
