/* The first and the last value in event time. At equal times the first is the lower one and the
 * last the higher one (-0 < +0), so that the order of arrival never shows. */
#include "operators/aggregates/packing.h"
#include "operators/operators.h"

struct head {
    uint64_t any; /* 0: the rest is not set */
    int64_t first_ns, last_ns;
    double first, last;
};

static void meet(struct head *head, int64_t first_ns, double first, int64_t last_ns, double last) {
    if (!head->any || first_ns < head->first_ns ||
        (first_ns == head->first_ns && mr_below(first, head->first))) {
        head->first_ns = first_ns;
        head->first = first;
    }
    if (!head->any || last_ns > head->last_ns ||
        (last_ns == head->last_ns && mr_below(head->last, last))) {
        head->last_ns = last_ns;
        head->last = last;
    }
    head->any = 1;
}

static double sample(const struct mr_part *part, size_t i) {
    return part->f32 ? (double)part->f32[i] : part->f64[i];
}

/* Samples stand in time order; gaps are passed over; several may share a nanosecond. */
static void add(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part) {
    size_t first = 0, end = part->n;
    while (first < end && !__builtin_isfinite(sample(part, first))) {
        first++;
    }
    while (end > first && !__builtin_isfinite(sample(part, end - 1))) {
        end--;
    }
    if (first == end) {
        return;
    }
    int64_t first_ns = mr_part_ns(part, first), last_ns = mr_part_ns(part, end - 1);
    double low = sample(part, first), high = sample(part, end - 1);
    for (size_t i = first; i < end && mr_part_ns(part, i) == first_ns; i++) {
        double x = sample(part, i);
        low = __builtin_isfinite(x) && mr_below(x, low) ? x : low;
    }
    for (size_t i = end; i > first && mr_part_ns(part, i - 1) == last_ns; i--) {
        double x = sample(part, i - 1);
        high = __builtin_isfinite(x) && mr_below(high, x) ? x : high;
    }
    meet(accumulator->head, first_ns, low, last_ns, high);
}

static void merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                  const void *settings) {
    const struct head *other = from->head;
    if (other->any) {
        meet(into->head, other->first_ns, other->first, other->last_ns, other->last);
    }
}

static void pack(const struct mr_accumulator *accumulator, const void *settings,
                 struct mr_accumulator *out) {
    const struct head *head = accumulator->head;
    if (head->any) {
        mr_pack_u64(out, (uint64_t)head->first_ns);
        mr_pack_u64(out, (uint64_t)head->last_ns);
        mr_pack_double(out, head->first);
        mr_pack_double(out, head->last);
    }
}

static enum mr_status unpack(struct mr_accumulator *accumulator, const void *settings,
                             struct mr_slice packed) {
    struct head *head = accumulator->head;
    if (packed.length == 0) {
        return MR_OK;
    }
    uint64_t first_ns = 0, last_ns = 0;
    bool good = mr_unpack_u64(&packed, &first_ns) && mr_unpack_u64(&packed, &last_ns) &&
                mr_unpack_finite(&packed, &head->first) && mr_unpack_finite(&packed, &head->last);
    head->any = 1;
    head->first_ns = (int64_t)first_ns;
    head->last_ns = (int64_t)last_ns;
    good = good && packed.length == 0 && head->first_ns <= head->last_ns &&
           !(head->first_ns == head->last_ns && mr_below(head->last, head->first));
    return good ? MR_OK : MR_REJECT;
}

static void first(const struct mr_accumulator *accumulator, const struct mr_question *question,
                  struct mr_value *out) {
    const struct head *head = accumulator->head;
    *out = (struct mr_value){.kind = head->any ? MR_NUMBER : MR_ABSENT, .number = head->first};
}

static void last(const struct mr_accumulator *accumulator, const struct mr_question *question,
                 struct mr_value *out) {
    const struct head *head = accumulator->head;
    *out = (struct mr_value){.kind = head->any ? MR_NUMBER : MR_ABSENT, .number = head->last};
}

static const struct mr_result results[] = {
    {.name = "first",
     .summary = "the value of the earliest event time; of several, the lowest",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = first},
    {.name = "last",
     .summary = "the value of the latest event time; of several, the highest",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .compute = last},
    {0},
};

const struct mr_aggregate_type mr_ends_aggregate = {
    .name = "ends",
    .summary = "the first and the last value",
    .version = 1,
    .head_size = sizeof(struct head),
    .results = results,
    .add = add,
    .merge = merge,
    .pack = pack,
    .unpack = unpack,
};
