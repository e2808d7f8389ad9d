/* Quantiles within a stated relative error, of any number of values in any order: counts by
 * bucket (see buckets.h), so merging is adding and no order shows.
 *
 * With m mantissa bits a bucket's value is within 1 / (2^(m + 1) + 1) of what fell into it:
 *    m      4       5       6       7       8       9       10
 *    error  3.0 %   1.5 %   0.78 %  0.39 %  0.19 %  0.098 % 0.049 %
 *
 * Packed: varint buckets, then for each, in rising order: where it is (the first by zigzag varint,
 * the others as buckets skipped), and its count. The form in memory does not show. */
#include "operators/aggregates/buckets.h"
#include "operators/aggregates/digest_bytes.h"
#include "operators/aggregates/packing.h"
#include "operators/operators.h"

#include <stdio.h>

struct settings {
    uint32_t m;
};

struct error_argument {
    double error;
};

struct quantile_arguments {
    double q;
    double error;
};

/* Packed, at most: every bucket of the finest digest, one byte to place and ten to count it. */
#define BODY_MAX ((2u * 2046u << MR_BUCKET_BITS_MAX) * (1 + MR_VARINT_MAX) + 64)

#define ERROR_OPTION(member_offset)                                                                \
    {                                                                                              \
        .name = "error", .type = MR_OPTION_SHARE, .fallback = "1%",                                \
        .help = "The largest relative error; a field's statistics share the smallest one named",   \
        .offset = (member_offset), .minimum = 0.0005, .maximum = 0.05                              \
    }

static const struct mr_option quantile_options[] = {
    {.name = "q",
     .type = MR_OPTION_NUMBER,
     .help = "Which quantile: 0 is the lowest value, 0.5 the median, 1 the highest",
     .offset = offsetof(struct quantile_arguments, q),
     .minimum = 0,
     .maximum = 1},
    ERROR_OPTION(offsetof(struct quantile_arguments, error)),
    {0},
};

static const struct mr_option error_options[] = {
    ERROR_OPTION(offsetof(struct error_argument, error)),
    {0},
};

/* ---- Settings: the error that all statistics of a field share ------------------------------- */

static uint32_t bits_for(double error) {
    uint32_t m = MR_BUCKET_BITS_MIN;
    while (m < MR_BUCKET_BITS_MAX && 1.0 / (double)((UINT64_C(2) << m) + 1) > error) {
        m++;
    }
    return m;
}

static void settle(void *settings, const struct mr_result *result, const void *arguments) {
    struct settings *shared = settings;
    double error = result->arguments == quantile_options
                       ? ((const struct quantile_arguments *)arguments)->error
                       : ((const struct error_argument *)arguments)->error;
    uint32_t m = bits_for(error);
    shared->m = m > shared->m ? m : shared->m;
}

static void describe(const void *settings, char *text, size_t size) {
    snprintf(text, size, "m=%u", ((const struct settings *)settings)->m);
}

static unsigned bits(const void *settings) {
    return ((const struct settings *)settings)->m;
}

/* ---- Adding and packing --------------------------------------------------------------------- */

static void add(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part) {
    mr_buckets_add_part(accumulator, bits(settings), part);
}

static void merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                  const void *settings) {
    struct mr_bucket_walk walk = {0};
    while (mr_bucket_next(from, &walk)) {
        mr_buckets_add(into, bits(settings), walk.bucket, walk.count);
    }
}

static void pack(const struct mr_accumulator *accumulator, const void *settings,
                 struct mr_accumulator *out) {
    struct mr_bucket_walk walk = {0};
    uint32_t buckets = 0;
    while (mr_bucket_next(accumulator, &walk)) {
        buckets++;
    }
    mr_pack_varint(out, buckets);
    int32_t last = 0;
    walk = (struct mr_bucket_walk){0};
    for (uint32_t i = 0; i < buckets && mr_bucket_next(accumulator, &walk); i++) {
        mr_pack_varint(out, i == 0 ? mr_zigzag(walk.bucket) : (uint64_t)(walk.bucket - last - 1));
        mr_pack_varint(out, walk.count);
        last = walk.bucket;
    }
}

static bool is_bucket(int64_t bucket, unsigned m) {
    int64_t key = bucket < 0 ? -bucket : bucket;
    return key == 0 || (key >= INT64_C(1) << m && key < MR_KEY_END(m));
}

static int64_t unpack_place(uint64_t place, bool first, int64_t last) {
    if (place > UINT32_MAX) {
        return INT64_MAX;
    }
    return first ? (int64_t)(place >> 1) ^ -(int64_t)(place & 1) : last + 1 + (int64_t)place;
}

static enum mr_status unpack(struct mr_accumulator *accumulator, const void *settings,
                             struct mr_slice packed) {
    const struct mr_buckets *head = accumulator->head;
    uint64_t buckets, place, count;
    int64_t bucket = 0;
    if (!mr_unpack_varint(&packed, &buckets) || buckets > packed.length / 2) {
        return MR_REJECT;
    }
    mr_accumulator_reserve(accumulator, (uint32_t)buckets * 8);
    for (uint64_t i = 0; i < buckets; i++) {
        if (!mr_unpack_varint(&packed, &place) || !mr_unpack_varint(&packed, &count)) {
            return MR_REJECT;
        }
        bucket = unpack_place(place, i == 0, bucket);
        if (!is_bucket(bucket, bits(settings)) || count == 0 || head->total > UINT64_MAX - count) {
            return MR_REJECT;
        }
        mr_buckets_add(accumulator, bits(settings), (int32_t)bucket, count);
    }
    return packed.length == 0 ? MR_OK : MR_REJECT;
}

/* ---- Results --------------------------------------------------------------------------------- */

/* The value of the element of rank floor(q (n - 1)), counted from 0. */
static void quantile_of(const struct mr_accumulator *accumulator, unsigned m, double q,
                        struct mr_value *out) {
    const struct mr_buckets *head = accumulator->head;
    struct mr_bucket_walk walk = {0};
    *out = (struct mr_value){.kind = MR_ABSENT};
    if (head->total == 0) {
        return;
    }
    double rank = q * (double)(head->total - 1);
    uint64_t seen = 0;
    while (mr_bucket_next(accumulator, &walk)) {
        seen += walk.count;
        *out = (struct mr_value){.kind = MR_NUMBER, .number = mr_bucket_value(walk.bucket, m)};
        if ((double)seen > rank) {
            return;
        }
    }
}

static void quantile(const struct mr_accumulator *accumulator, const struct mr_question *question,
                     struct mr_value *out) {
    quantile_of(accumulator, bits(question->settings),
                ((const struct quantile_arguments *)question->arguments)->q, out);
}

static void median(const struct mr_accumulator *accumulator, const struct mr_question *question,
                   struct mr_value *out) {
    quantile_of(accumulator, bits(question->settings), 0.5, out);
}

static void digest(const struct mr_accumulator *accumulator, const struct mr_question *question,
                   struct mr_value *out) {
    const struct mr_buckets *head = accumulator->head;
    *out = (struct mr_value){.kind = MR_ABSENT};
    if (head->total > 0) {
        mr_digest_write(accumulator, bits(question->settings), question->bytes);
        out->kind = MR_BYTES;
        out->text = (struct mr_slice){(const char *)question->bytes->body, question->bytes->length};
    }
}

static const struct mr_result results[] = {
    {.name = "quantile",
     .summary = "the value of rank floor(q (n - 1)), within the error",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .arguments = quantile_options,
     .arguments_size = sizeof(struct quantile_arguments),
     .compute = quantile},
    {.name = "median",
     .summary = "quantile 0.5",
     .kind = MR_NUMBER,
     .field_required = true,
     .field_allowed = true,
     .arguments = error_options,
     .arguments_size = sizeof(struct error_argument),
     .compute = median},
    {.name = "digest",
     .summary = "the digest itself, as a DDSketch message in base64",
     .kind = MR_BYTES,
     .field_required = true,
     .field_allowed = true,
     .arguments = error_options,
     .arguments_size = sizeof(struct error_argument),
     .compute = digest},
    {0},
};

const struct mr_aggregate_type mr_digest_aggregate = {
    .name = "digest",
    .summary = "quantiles within a stated relative error",
    .version = 1,
    .head_size = sizeof(struct mr_buckets),
    .body_max = BODY_MAX,
    .results = results,
    .settings_size = sizeof(struct settings),
    .settle = settle,
    .describe = describe,
    .add = add,
    .merge = merge,
    .pack = pack,
    .unpack = unpack,
};
