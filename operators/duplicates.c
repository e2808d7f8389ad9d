/* duplicates: a record whose identity was seen before is left out and counted, so a producer may
 * send its tail again after an outage.
 *
 *   duplicates: {by: [device, stream, sequence], within: 10m}
 *
 * What is remembered, in keyed cells (they survive crashes):
 *
 *   key    the values of `by`, each with its kind and length; a whole number in the last place
 * counts records, so of it only n >> 10 is in the key body   ranges {lo, hi, seen} of n, ascending,
 * not touching: a stream without holes is one range of 24 bytes per 1,024 records
 *
 * `seen` is stream time when the newest of the range came, and a range is forgotten when stream
 * time has passed it by `within`: by records, never by the clock, so that a long silence forgets
 * nothing and a rerun forgets the same. A range that grows is kept as a whole. A record that lacks
 * one of the fields has no identity and is never a duplicate. */
#include <millrace/json.h>
#include <millrace/operator.h>

#define KEY_MAX     4096
#define BUCKET_BITS 10
#define COUNTED     15 /* beside the kinds of values: the key's last part is a bucket */

struct options {
    struct mr_slots by;
    int64_t within_ns;
};

static const struct mr_option options[] = {
    {"by", MR_OPTION_FIELDS, .help = "The fields that together name a record",
     .offset = offsetof(struct options, by)},
    {"within", MR_OPTION_DURATION, .fallback = "10m",
     .help = "How long, in event time, a record is remembered",
     .offset = offsetof(struct options, within_ns), .minimum = 1e6, .maximum = 365 * 86400e9},
    {0},
};

struct range {
    uint64_t lo, hi;
    int64_t seen_ns;
};

struct instance {
    int64_t swept_ns; /* stream time at the last sweep */
    char key[KEY_MAX];
    size_t key_length;
};

/* ---- The identity of a record --------------------------------------------------------------- */

static bool add_to_key(struct instance *self, uint32_t kind, const void *data, size_t length) {
    uint32_t prefix = (uint32_t)length << 4 | kind;
    if (self->key_length + sizeof(prefix) + length > KEY_MAX) {
        return false;
    }
    memcpy(self->key + self->key_length, &prefix, sizeof(prefix));
    memcpy(self->key + self->key_length + sizeof(prefix), data, length);
    self->key_length += sizeof(prefix) + length;
    return true;
}

static bool add_value(struct instance *self, const struct mr_value *value) {
    switch (value->kind) {
    case MR_TEXT:
        return add_to_key(self, MR_TEXT, value->text.data, value->text.length);
    case MR_INTEGER:
        return add_to_key(self, MR_INTEGER, &value->integer, sizeof(value->integer));
    case MR_NUMBER:
    case MR_BOOLEAN:
        return add_to_key(self, value->kind, &value->number, sizeof(value->number));
    default:
        return false;
    }
}

/* False when the record has no identity. */
static bool identify(struct mr_operator *op, const struct mr_record *record, uint64_t *n) {
    const struct options *self = op->options;
    struct instance *instance = op->instance;
    instance->key_length = 0;
    *n = 0;
    for (size_t i = 0; i < self->by.count; i++) {
        const struct mr_value *value = &record->values[self->by.slots[i]];
        if (i + 1 == self->by.count && value->kind == MR_INTEGER) {
            *n = (uint64_t)value->integer;
            uint64_t bucket = *n >> BUCKET_BITS;
            return add_to_key(instance, COUNTED, &bucket, sizeof(bucket));
        }
        if (!add_value(instance, value)) {
            return false;
        }
    }
    return true;
}

/* ---- Ranges --------------------------------------------------------------------------------- */

static struct range *ranges_of(const struct mr_accumulator *cell, size_t *count) {
    *count = cell->length / sizeof(struct range);
    return (struct range *)(void *)cell->body;
}

static bool forgotten(const struct range *range, int64_t within_ns, int64_t stream_ns) {
    return stream_ns >= within_ns && range->seen_ns <= stream_ns - within_ns;
}

static bool seen_before(const struct mr_accumulator *cell, uint64_t n, int64_t within_ns,
                        int64_t stream_ns) {
    size_t count;
    const struct range *ranges = ranges_of(cell, &count);
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].lo <= n && n <= ranges[i].hi) {
            return !forgotten(&ranges[i], within_ns, stream_ns);
        }
    }
    return false;
}

static void forget_old(struct mr_accumulator *cell, int64_t within_ns, int64_t stream_ns) {
    size_t count, kept = 0;
    struct range *ranges = ranges_of(cell, &count);
    for (size_t i = 0; i < count; i++) {
        if (!forgotten(&ranges[i], within_ns, stream_ns)) {
            ranges[kept++] = ranges[i];
        }
    }
    cell->length = (uint32_t)(kept * sizeof(struct range));
}

/* n is in none of the ranges. It widens its neighbours, or stands alone between them. */
static void remember(struct mr_accumulator *cell, uint64_t n, int64_t seen_ns) {
    mr_accumulator_reserve(cell, cell->length + (uint32_t)sizeof(struct range));
    size_t count, at = 0;
    struct range *ranges = ranges_of(cell, &count);
    while (at < count && ranges[at].hi < n) {
        at++;
    }
    memmove(&ranges[at + 1], &ranges[at], (count - at) * sizeof(*ranges));
    ranges[at] = (struct range){n, n, seen_ns};
    count++;
    for (size_t left = at > 0 ? at - 1 : 0; left + 1 < count && left <= at;) {
        struct range *a = &ranges[left], *b = a + 1;
        if (a->hi + 1 != b->lo) {
            left++;
            continue;
        }
        a->hi = b->hi;
        a->seen_ns = a->seen_ns > b->seen_ns ? a->seen_ns : b->seen_ns;
        memmove(b, b + 1, (count - left - 2) * sizeof(*ranges));
        count--;
    }
    cell->length = (uint32_t)(count * sizeof(struct range));
}

/* ---- The operator --------------------------------------------------------------------------- */

static enum mr_status process(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err) {
    const struct options *self = op->options;
    struct instance *instance = op->instance;
    int64_t stream_ns = mr_stream_time(op);
    uint64_t n;
    if (!identify(op, record, &n)) {
        return mr_emit(op, record, err);
    }
    struct mr_slice key = {instance->key, instance->key_length};
    struct mr_accumulator *cell = mr_keyed_cell(op, key, true);
    if (seen_before(cell, n, self->within_ns, stream_ns)) {
        mr_account(op, MR_DUPLICATE, record->samples);
        return MR_OK;
    }
    forget_old(cell, self->within_ns, stream_ns);
    remember(cell, n, record->last_ns > stream_ns ? record->last_ns : stream_ns);
    mr_keyed_touch(op, key);
    return mr_emit(op, record, err);
}

static bool still_known(struct mr_operator *op, struct mr_slice key, struct mr_accumulator *cell) {
    const struct options *self = op->options;
    const struct instance *instance = op->instance;
    size_t count;
    const struct range *ranges = ranges_of(cell, &count);
    for (size_t i = 0; i < count; i++) {
        if (!forgotten(&ranges[i], self->within_ns, instance->swept_ns)) {
            return true;
        }
    }
    return false;
}

/* Sweeping only gives memory back: what it drops was forgotten already. */
static void advance(struct mr_operator *op, int64_t stream_ns) {
    const struct options *self = op->options;
    struct instance *instance = op->instance;
    if (stream_ns - instance->swept_ns >= self->within_ns) {
        instance->swept_ns = stream_ns;
        mr_keyed_sweep(op, still_known);
    }
}

const struct mr_operator_type mr_duplicates_operator = {
    .name = "duplicates",
    .summary = "Leaves out records that were seen before",
    .place = MR_PLACE_DUPLICATES,
    .options = options,
    .options_size = sizeof(struct options),
    .instance_size = sizeof(struct instance),
    .process = process,
    .advance = advance,
};
