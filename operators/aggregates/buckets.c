/* Counts by bucket, in one of two forms.
 *
 *   sparse   (bucket, count) pairs of 8 bytes, sorted       a few values: a sensor's minute
 *   dense    u64 counters of a range of the line            waveforms: an increment per sample
 *
 *     body of a dense range, in slots of 8 bytes (struct mr_line):
 *     | gaps | below ... , 1 | zero | 1, ... above |        slot i from zero holds key first + i -
 * 1
 *
 * When is which: single values make a list dense when that is no larger; blocks make it dense as
 * soon as the range has no more slots than values were counted. A dense range that a value far
 * away would stretch beyond that becomes a list again. So the memory follows the number of values
 * (8 bytes each, 12 with room to grow, at worst), whatever the values are.
 *
 * Invariants: the form never shows in what is read (mr_bucket_next); a list holds counts below
 * 2^32: a larger one makes it dense, which the rule above then always allows. Slot 0 is zero
 * between calls.
 *
 * Not done: counters of 32 bits (a device at 2 MHz fills one in 35 minutes), pages of octaves (an
 * indirection for every sample). */
#include "operators/aggregates/buckets.h"

#include <math.h>
#include <stdlib.h>

#define GRAIN   64 /* slots; ranges grow by whole grains, and by an eighth                      */
#define MANY    64 /* samples from which a block is worth a dense range                         */
#define ENTRIES 4  /* of a new list                                                            */

struct entry {
    int32_t bucket;
    uint32_t count;
};

struct range {
    uint32_t first, below, above;
};

/* The keys that a range has to take; 0: none on that side. */
struct reach {
    uint32_t least, below, above;
};

static struct entry *entries(const struct mr_accumulator *accumulator) {
    return (struct entry *)(void *)accumulator->body;
}

static uint64_t *counters(const struct mr_accumulator *accumulator) {
    return (uint64_t *)(void *)accumulator->body;
}

static uint32_t entry_count(const struct mr_accumulator *accumulator) {
    return accumulator->length / (uint32_t)sizeof(struct entry);
}

/* ---- Ranges -------------------------------------------------------------------------------- */

static struct range range_of(const struct mr_buckets *head) {
    return (struct range){head->first, head->below, head->above};
}

static uint32_t slots_of(const struct range *range) {
    return 2 + range->below + range->above;
}

static void reach_bucket(struct reach *reach, int32_t bucket) {
    uint32_t key = (uint32_t)abs(bucket);
    uint32_t *side = bucket < 0 ? &reach->below : &reach->above;
    if (key > 0) {
        *side = key > *side ? key : *side;
        reach->least = reach->least == 0 || key < reach->least ? key : reach->least;
    }
}

static void widen_side(uint32_t *side, uint32_t first, uint32_t key) {
    uint32_t need = key >= first && key > 0 ? key - first + 1 : 0;
    if (need > *side) {
        *side = (need + *side / 8 + GRAIN - 1) / GRAIN * GRAIN;
    }
}

static void widen(struct range *range, const struct reach *reach, unsigned m) {
    uint32_t lowest = UINT32_C(1) << m;
    uint32_t held = range->below + range->above;
    if (reach->least > 0 && (held == 0 || reach->least < range->first)) {
        uint32_t slack = held / 8 < reach->least ? held / 8 : reach->least;
        uint32_t first = (reach->least - slack) / GRAIN * GRAIN;
        first = first > lowest ? first : lowest;
        range->below += range->below > 0 ? range->first - first : 0;
        range->above += range->above > 0 ? range->first - first : 0;
        range->first = first;
    }
    widen_side(&range->below, range->first, reach->below);
    widen_side(&range->above, range->first, reach->above);
}

/* The slot of a bucket; 0: it has none. */
static uint32_t slot_of(const struct range *range, int32_t bucket) {
    uint32_t zero = 1 + range->below, key = (uint32_t)abs(bucket);
    uint32_t side = bucket < 0 ? range->below : range->above;
    if (bucket == 0) {
        return zero;
    }
    if (key < range->first || key - range->first >= side) {
        return 0;
    }
    uint32_t away = key - range->first + 1;
    return bucket < 0 ? zero - away : zero + away;
}

/* ---- From form to form --------------------------------------------------------------------- */

static void clear(uint64_t *count, uint32_t from, uint32_t to) {
    memset(count + from, 0, (to - from) * sizeof *count);
}

static void set_range(struct mr_accumulator *accumulator, const struct range *to) {
    struct mr_buckets *head = accumulator->head;
    head->dense = 1;
    head->first = to->first;
    head->below = to->below;
    head->above = to->above;
    accumulator->length = slots_of(to) * (uint32_t)sizeof(uint64_t);
}

/* Moves a dense range up into a wider one, from the top so that nothing is overwritten. */
static void stretch(struct mr_accumulator *accumulator, const struct range *to) {
    const struct range was = range_of(accumulator->head);
    mr_accumulator_reserve(accumulator, slots_of(to) * (uint32_t)sizeof(uint64_t));
    uint64_t *count = counters(accumulator);
    uint32_t zero_was = 1 + was.below, zero = 1 + to->below;
    uint32_t low = was.below ? was.first - to->first : 0; /* new slots next to zero */
    uint32_t high = was.above ? was.first - to->first : 0;
    memmove(count + zero + 1 + high, count + zero_was + 1, was.above * sizeof *count);
    count[zero] = count[zero_was];
    memmove(count + zero - low - was.below, count + zero_was - was.below,
            was.below * sizeof *count);
    clear(count, zero + 1 + high + was.above, slots_of(to));
    clear(count, zero + 1, zero + 1 + high);
    clear(count, zero - low, zero);
    clear(count, 1, zero - low - was.below);
    set_range(accumulator, to);
}

/* Spreads a list over a range, in place: entry k goes to a slot above k, so from the last on
 * nothing is overwritten unread. */
static void spread(struct mr_accumulator *accumulator, const struct range *to) {
    uint32_t n = entry_count(accumulator), end = slots_of(to);
    mr_accumulator_reserve(accumulator, end * (uint32_t)sizeof(uint64_t));
    uint64_t *count = counters(accumulator);
    for (uint32_t i = n; i-- > 0;) {
        struct entry entry = entries(accumulator)[i];
        uint32_t slot = slot_of(to, entry.bucket);
        clear(count, slot + 1, end);
        count[slot] = entry.count;
        end = slot;
    }
    clear(count, 0, end);
    set_range(accumulator, to);
}

/* The first entry at or above the bucket. No step of the search branches on what it compares:
 * such a branch is foretold wrongly every other time. */
static uint32_t find(const struct entry *entry, uint32_t n, int32_t bucket) {
    uint32_t at = 0;
    if (n == 0 || entry[n - 1].bucket < bucket) {
        return n;
    }
    while (n > 1) {
        uint32_t half = n / 2;
        at += half & -(uint32_t)(entry[at + half - 1].bucket < bucket);
        n -= half;
    }
    return at;
}

/* The ends of a list, and its entries around zero, are all that a range has to reach. */
static void reach_list(struct reach *reach, const struct entry *entry, uint32_t n) {
    uint32_t zero = find(entry, n, 0);
    reach_bucket(reach, entry[0].bucket);
    reach_bucket(reach, entry[n - 1].bucket);
    for (uint32_t i = zero > 0 ? zero - 1 : 0; i < n && i <= zero + 1; i++) {
        reach_bucket(reach, entry[i].bucket);
    }
}

static struct range range_for(const struct mr_accumulator *accumulator, struct reach reach,
                              unsigned m) {
    const struct mr_buckets *head = accumulator->head;
    struct range range = range_of(head);
    if (!head->dense && accumulator->length > 0) {
        reach_list(&reach, entries(accumulator), entry_count(accumulator));
    }
    widen(&range, &reach, m);
    return range;
}

static void make_dense(struct mr_accumulator *accumulator, const struct range *to) {
    const struct mr_buckets *head = accumulator->head;
    if (!head->dense) {
        spread(accumulator, to);
    } else if (slots_of(to) * sizeof(uint64_t) != accumulator->length) {
        stretch(accumulator, to);
    }
}

/* In place: the entry written is never beyond the slot read. */
static void make_sparse(struct mr_accumulator *accumulator) {
    struct mr_buckets *head = accumulator->head;
    struct mr_bucket_walk walk = {0};
    uint32_t n = 0;
    while (mr_bucket_next(accumulator, &walk)) {
        entries(accumulator)[n++] = (struct entry){walk.bucket, (uint32_t)walk.count};
    }
    accumulator->length = n * (uint32_t)sizeof(struct entry);
    *head = (struct mr_buckets){.total = head->total};
}

/* ---- Single values ------------------------------------------------------------------------- */

static void count_dense(struct mr_accumulator *accumulator, unsigned m, int32_t bucket,
                        uint64_t count) {
    struct reach reach = {0};
    reach_bucket(&reach, bucket);
    struct range to = range_for(accumulator, reach, m);
    make_dense(accumulator, &to);
    counters(accumulator)[slot_of(&to, bucket)] += count;
}

static void insert(struct mr_accumulator *accumulator, uint32_t at, struct entry entry) {
    uint32_t size = (uint32_t)sizeof entry;
    if (accumulator->capacity - accumulator->length < size) {
        uint32_t n = entry_count(accumulator);
        mr_accumulator_reserve(accumulator, (n + (n / 2 > ENTRIES ? n / 2 : ENTRIES)) * size);
    }
    struct entry *entry_at = entries(accumulator) + at;
    memmove(entry_at + 1, entry_at, accumulator->length - at * size);
    *entry_at = entry;
    accumulator->length += size;
}

static bool dense_is_smaller(const struct mr_accumulator *accumulator, unsigned m, int32_t bucket) {
    struct reach reach = {0};
    reach_bucket(&reach, bucket);
    struct range to = range_for(accumulator, reach, m);
    return slots_of(&to) <= entry_count(accumulator) + 1;
}

static void count_sparse(struct mr_accumulator *accumulator, unsigned m, int32_t bucket,
                         uint64_t count) {
    uint32_t n = entry_count(accumulator);
    struct entry *entry = entries(accumulator);
    uint32_t at = find(entry, n, bucket);
    bool there = at < n && entry[at].bucket == bucket;
    bool full = accumulator->capacity - accumulator->length < sizeof(struct entry);
    if (count > UINT32_MAX - (there ? entry[at].count : 0) ||
        (!there && full && n > 0 && dense_is_smaller(accumulator, m, bucket))) {
        count_dense(accumulator, m, bucket, count);
    } else if (there) {
        entry[at].count += (uint32_t)count;
    } else {
        insert(accumulator, at, (struct entry){bucket, (uint32_t)count});
    }
}

/* Counts what `total` already holds. */
static void place(struct mr_accumulator *accumulator, unsigned m, int32_t bucket, uint64_t count) {
    const struct mr_buckets *head = accumulator->head;
    if (head->dense) {
        struct range range = range_of(head);
        uint32_t slot = slot_of(&range, bucket);
        if (slot > 0) {
            counters(accumulator)[slot] += count;
            return;
        }
        struct reach reach = {0};
        reach_bucket(&reach, bucket);
        widen(&range, &reach, m);
        if (slots_of(&range) <= head->total) {
            count_dense(accumulator, m, bucket, count);
            return;
        }
        make_sparse(accumulator);
    }
    count_sparse(accumulator, m, bucket, count);
}

void mr_buckets_add(struct mr_accumulator *accumulator, unsigned m, int32_t bucket,
                    uint64_t count) {
    struct mr_buckets *head = accumulator->head;
    head->total += count;
    place(accumulator, m, bucket, count);
}

/* ---- Blocks -------------------------------------------------------------------------------- */

static double sample(const struct mr_part *part, size_t i) {
    return part->f32 ? (double)part->f32[i] : part->f64[i];
}

/* The lowest key of the part's magnitudes; 0: all are zero. */
static uint32_t least_key(const struct mr_part *part, unsigned m) {
    uint32_t least = MR_KEY_END(m);
    for (size_t i = 0; i < part->n; i++) {
        uint32_t key = (uint32_t)abs(mr_bucket_of(sample(part, i), m));
        least = key > 0 && key < least ? key : least;
    }
    return least == MR_KEY_END(m) ? 0 : least;
}

static bool cover(struct mr_accumulator *accumulator, unsigned m, struct reach reach) {
    const struct mr_buckets *head = accumulator->head;
    struct range to = range_for(accumulator, reach, m);
    if (slots_of(&to) > head->total) {
        return false;
    }
    make_dense(accumulator, &to);
    return true;
}

/* float32 subnormals are normal as float64, and the shifts on float32 bits do not know them. */
static bool slots(const struct mr_part *part, const struct mr_line *line, int32_t *slot) {
    if (part->f32 && line->first >= MR_FIRST_F32(line->m)) {
        return mr_slots_f32(part->f32, part->n, line, slot);
    }
    double wide[MR_BLOCK];
    const double *x = part->f64 ? part->f64 : wide;
    for (size_t i = 0; part->f32 && i < part->n; i++) {
        wide[i] = part->f32[i];
    }
    return mr_slots_f64(x, part->n, line, slot);
}

/* With a range that takes the block, by the kernels. False: there is none, or a magnitude lies
 * below it. */
static bool count_block(struct mr_accumulator *accumulator, unsigned m, const struct mr_part *part,
                        struct reach reach) {
    int32_t slot[MR_BLOCK];
    if (!cover(accumulator, m, reach)) {
        return false;
    }
    const struct range range = range_of(accumulator->head);
    const bool plain = part->summary->min > 0 && part->summary->finite == part->n;
    const struct mr_line line = {range.first, 1 + range.below, m, plain};
    if (!slots(part, &line, slot)) {
        return false;
    }
    int32_t low = (int32_t)slot_of(&range, mr_bucket_of(part->summary->min, m));
    int32_t high = (int32_t)slot_of(&range, mr_bucket_of(part->summary->max, m));
    mr_count_slots(slot, part->n, low, high, counters(accumulator));
    counters(accumulator)[0] = 0;
    return true;
}

void mr_buckets_add_part(struct mr_accumulator *accumulator, unsigned m,
                         const struct mr_part *part) {
    struct mr_buckets *head = accumulator->head;
    const struct mr_summary *summary = part->summary;
    if (summary->finite == 0) {
        return;
    }
    int32_t low = mr_bucket_of(summary->min, m), high = mr_bucket_of(summary->max, m);
    head->total += summary->finite;
    if (low == high) {
        place(accumulator, m, low, summary->finite);
        return;
    }
    if (part->n >= MANY) {
        /* Of a block on both sides of zero, the least magnitude is not known: try without. */
        struct reach reach = {0};
        reach_bucket(&reach, low);
        reach_bucket(&reach, high);
        if (count_block(accumulator, m, part, reach)) {
            return;
        }
        reach.least = least_key(part, m);
        if (count_block(accumulator, m, part, reach)) {
            return;
        }
    }
    for (size_t i = 0; i < part->n; i++) {
        if (isfinite(sample(part, i))) {
            place(accumulator, m, mr_bucket_of(sample(part, i), m), 1);
        }
    }
}

/* ---- Reading ------------------------------------------------------------------------------- */

static int32_t bucket_at(const struct mr_buckets *head, uint32_t slot) {
    uint32_t zero = 1 + head->below;
    if (slot == zero) {
        return 0;
    }
    return slot > zero ? (int32_t)(head->first + (slot - zero) - 1)
                       : -(int32_t)(head->first + (zero - slot) - 1);
}

bool mr_bucket_next(const struct mr_accumulator *accumulator, struct mr_bucket_walk *walk) {
    const struct mr_buckets *head = accumulator->head;
    if (!head->dense) {
        if (walk->next == entry_count(accumulator)) {
            return false;
        }
        struct entry entry = entries(accumulator)[walk->next++];
        walk->bucket = entry.bucket;
        walk->count = entry.count;
        return true;
    }
    uint32_t end = accumulator->length / (uint32_t)sizeof(uint64_t);
    for (uint32_t slot = walk->next > 0 ? walk->next : 1; slot < end; slot++) {
        if (counters(accumulator)[slot] > 0) {
            walk->next = slot + 1;
            walk->bucket = bucket_at(head, slot);
            walk->count = counters(accumulator)[slot];
            return true;
        }
    }
    walk->next = end;
    return false;
}

/* l 2u / (l + u) in terms of the fraction f of l, so that nothing overflows. */
double mr_bucket_value(int32_t bucket, unsigned m) {
    if (bucket == 0) {
        return 0;
    }
    uint64_t bits = (uint64_t)abs(bucket) << (52 - m);
    double low, width = 1.0 / (double)(UINT64_C(1) << m);
    memcpy(&low, &bits, sizeof low);
    double fraction = 1 + (double)((uint32_t)abs(bucket) & ((UINT32_C(1) << m) - 1)) * width;
    double value = low * (2 * (fraction + width) / (2 * fraction + width));
    return bucket < 0 ? -value : value;
}
