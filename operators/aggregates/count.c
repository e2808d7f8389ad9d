/* How many, and how long: kept samples (without a field) or finite values (with one), and the
 * seconds they stand for. Seconds add up exactly: n samples of a frame are the product of n and
 * the length of one. */
#include "operators/aggregates/packing.h"
#include "operators/operators.h"

#include <millrace/exact.h>

struct head {
    uint64_t n;
    struct mr_exact_sum seconds;
};

static void add(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part) {
    struct head *head = accumulator->head;
    size_t n = part->f32 || part->f64 ? part->summary->finite : part->n;
    head->n += n;
    if (part->seconds > 0) {
        mr_exact_add_product(&head->seconds, (double)n, part->seconds);
    }
}

static void merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                  const void *settings) {
    struct head *head = into->head;
    const struct head *other = from->head;
    head->n += other->n;
    mr_exact_merge(&head->seconds, &other->seconds);
}

static void pack(const struct mr_accumulator *accumulator, const void *settings,
                 struct mr_accumulator *out) {
    const struct head *head = accumulator->head;
    mr_pack_varint(out, head->n);
    mr_pack_fixed(out, head->seconds.limb, MR_SUM_LIMBS);
}

static enum mr_status unpack(struct mr_accumulator *accumulator, const void *settings,
                             struct mr_slice packed) {
    struct head *head = accumulator->head;
    bool good = mr_unpack_varint(&packed, &head->n) &&
                mr_unpack_fixed(&packed, head->seconds.limb, MR_SUM_LIMBS) && packed.length == 0;
    return good ? MR_OK : MR_REJECT;
}

static void count(const struct mr_accumulator *accumulator, const struct mr_question *question,
                  struct mr_value *out) {
    const struct head *head = accumulator->head;
    *out = (struct mr_value){
        .kind = MR_INTEGER, .number = (double)head->n, .integer = (int64_t)head->n};
}

static void covered(const struct mr_accumulator *accumulator, const struct mr_question *question,
                    struct mr_value *out) {
    const struct head *head = accumulator->head;
    mr_give_number(out, true, mr_exact_value(&head->seconds));
}

static void coverage(const struct mr_accumulator *accumulator, const struct mr_question *question,
                     struct mr_value *out) {
    const struct head *head = accumulator->head;
    double whole = (double)(question->span.end_ns - question->span.start_ns) / 1e9;
    mr_give_number(out, true, mr_exact_value(&head->seconds) / whole);
}

static const struct mr_result results[] = {
    {.name = "count",
     .summary = "how many samples were kept; of a field: how many finite values",
     .kind = MR_INTEGER,
     .field_allowed = true,
     .compute = count},
    {.name = "covered",
     .summary = "the seconds that those samples stand for",
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

const struct mr_aggregate_type mr_count_aggregate = {
    .name = "count",
    .summary = "how many samples, and for how long",
    .version = 1,
    .head_size = sizeof(struct head),
    .results = results,
    .add = add,
    .merge = merge,
    .pack = pack,
    .unpack = unpack,
};
