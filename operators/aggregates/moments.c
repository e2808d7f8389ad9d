/* Sum, mean, deviation, root mean square, from two exact sums: of x and of x^2.
 *
 * A block arrives as (n, shift, sum of d, sum of d^2) with d = x - shift, and
 *
 *    sum of x   = n shift + sum of d
 *    sum of x^2 = n shift^2 + 2 shift (sum of d) + sum of d^2
 *
 * Every term goes in as an exact product, so blocks may come in any order, and the variance,
 * n (sum of x^2) - (sum of x)^2 done exactly, has no cancellation. A block with a value beyond the
 * range (2^127; 2^95 for squares) is counted and makes the results it touches null. */
#include "operators/aggregates/packing.h"
#include "operators/operators.h"

#include <math.h>
#include <millrace/exact.h>

struct head {
    uint64_t n;
    uint64_t beyond_sum, beyond_squares; /* values in blocks beyond the range */
    struct mr_exact_sum sum;
    struct mr_exact_squares squares;
};

/* n shift^2: shift is cut in two so that n times either half is exact. Halves of float32 values
 * have nothing in the low one. */
static bool add_square_of_shift(struct mr_exact_squares *squares, double n, double shift) {
    uint64_t bits;
    memcpy(&bits, &shift, sizeof bits);
    bits &= ~UINT64_C(0x7ffffff);
    double high, low;
    memcpy(&high, &bits, sizeof high);
    low = shift - high;
    bool good = mr_exact_squares_add_product(squares, n * high, shift);
    return (low == 0 || mr_exact_squares_add_product(squares, n * low, shift)) && good;
}

static bool add_squares(struct mr_exact_squares *squares, const struct mr_summary *summary) {
    if (summary->finite == 1) {
        return mr_exact_squares_add_product(squares, summary->shift, summary->shift);
    }
    struct mr_exact_squares before = *squares;
    bool good = mr_within(summary, 0x1p95) && mr_exact_squares_add(squares, summary->squares) &&
                mr_exact_squares_add_product(squares, 2 * summary->shift, summary->deviations) &&
                add_square_of_shift(squares, summary->finite, summary->shift);
    if (!good) {
        *squares = before;
    }
    return good;
}

static bool add_sum(struct mr_exact_sum *sum, const struct mr_summary *summary) {
    if (summary->finite == 1) {
        return mr_exact_add(sum, summary->shift);
    }
    struct mr_exact_sum before = *sum;
    bool good = mr_within(summary, 0x1p127) &&
                mr_exact_add_product(sum, summary->finite, summary->shift) &&
                mr_exact_add(sum, summary->deviations);
    if (!good) {
        *sum = before;
    }
    return good;
}

static void add(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part) {
    struct head *head = accumulator->head;
    const struct mr_summary *summary = part->summary;
    if (summary->finite == 0) {
        return;
    }
    head->n += summary->finite;
    if (!add_sum(&head->sum, summary)) {
        head->beyond_sum += summary->finite;
    }
    if (!add_squares(&head->squares, summary)) {
        head->beyond_squares += summary->finite;
    }
}

static void merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                  const void *settings) {
    struct head *head = into->head;
    const struct head *other = from->head;
    head->n += other->n;
    head->beyond_sum += other->beyond_sum;
    head->beyond_squares += other->beyond_squares;
    mr_exact_merge(&head->sum, &other->sum);
    mr_exact_squares_merge(&head->squares, &other->squares);
}

static void pack(const struct mr_accumulator *accumulator, const void *settings,
                 struct mr_accumulator *out) {
    const struct head *head = accumulator->head;
    mr_pack_varint(out, head->n);
    mr_pack_varint(out, head->beyond_sum);
    mr_pack_varint(out, head->beyond_squares);
    mr_pack_fixed(out, head->sum.limb, MR_SUM_LIMBS);
    mr_pack_fixed(out, head->squares.limb, MR_SQUARES_LIMBS);
}

static enum mr_status unpack(struct mr_accumulator *accumulator, const void *settings,
                             struct mr_slice packed) {
    struct head *head = accumulator->head;
    bool good = mr_unpack_varint(&packed, &head->n) &&
                mr_unpack_varint(&packed, &head->beyond_sum) &&
                mr_unpack_varint(&packed, &head->beyond_squares) &&
                mr_unpack_fixed(&packed, head->sum.limb, MR_SUM_LIMBS) &&
                mr_unpack_fixed(&packed, head->squares.limb, MR_SQUARES_LIMBS);
    good = good && packed.length == 0 && head->beyond_sum <= head->n &&
           head->beyond_squares <= head->n;
    return good ? MR_OK : MR_REJECT;
}

static void sum(const struct mr_accumulator *accumulator, const struct mr_question *question,
                struct mr_value *out) {
    const struct head *head = accumulator->head;
    mr_give_number(out, head->n > 0 && head->beyond_sum == 0, mr_exact_value(&head->sum));
}

static void mean(const struct mr_accumulator *accumulator, const struct mr_question *question,
                 struct mr_value *out) {
    const struct head *head = accumulator->head;
    bool known = head->n > 0 && head->beyond_sum == 0;
    mr_give_number(out, known, known ? mr_exact_value(&head->sum) / (double)head->n : 0);
}

/* Both deviations: root of n sum(x^2) - sum(x)^2 over n times `divisor`. */
static void deviation(const struct head *head, double divisor, struct mr_value *out) {
    bool known = divisor > 0 && head->beyond_sum == 0 && head->beyond_squares == 0;
    double n = (double)head->n;
    mr_give_number(out, known,
                   known ? sqrt(mr_exact_spread(&head->sum, &head->squares, head->n) / n / divisor)
                         : 0);
}

static void std_pop(const struct mr_accumulator *accumulator, const struct mr_question *question,
                    struct mr_value *out) {
    const struct head *head = accumulator->head;
    deviation(head, (double)head->n, out);
}

static void std_samp(const struct mr_accumulator *accumulator, const struct mr_question *question,
                     struct mr_value *out) {
    const struct head *head = accumulator->head;
    deviation(head, (double)head->n - 1, out);
}

static void rms(const struct mr_accumulator *accumulator, const struct mr_question *question,
                struct mr_value *out) {
    const struct head *head = accumulator->head;
    bool known = head->n > 0 && head->beyond_squares == 0;
    mr_give_number(out, known,
                   known ? sqrt(mr_exact_squares_value(&head->squares) / (double)head->n) : 0);
}

static const struct mr_result results[] = {
    {.name = "sum",
     .summary = "the sum, exact",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = sum},
    {.name = "mean",
     .summary = "the arithmetic mean",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = mean},
    {.name = "time_mean",
     .summary = "the mean, each value weighed by how long it held",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .timed = true,
     .compute = mean},
    {.name = "std_pop",
     .summary = "the standard deviation over n, as instruments state it",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = std_pop},
    {.name = "std_samp",
     .summary = "the standard deviation over n - 1; null of a single value",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = std_samp},
    {.name = "rms",
     .summary = "the root of the mean square",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = rms},
    {0},
};

const struct mr_aggregate_type mr_moments_aggregate = {
    .name = "moments",
    .summary = "sum, mean, deviation, root mean square",
    .version = 1,
    .head_size = sizeof(struct head),
    .results = results,
    .add = add,
    .merge = merge,
    .pack = pack,
    .unpack = unpack,
};
