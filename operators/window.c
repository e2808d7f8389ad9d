/* window: the end of the chain. It splits a record exactly at window borders, finds the cell of
 * each part, and feeds the kept samples to the accumulators in blocks of MR_BLOCK.
 *
 *   record   |.....x...xx...|......xx..........|....|       x: refused by `where`
 *   parts    |   12 kept    |      16 kept     |  4 |       one span each, judged by itself
 *   blocks   per field: at most 1,024 kept samples, one summary each, all aggregates of the field
 *
 * What `hold` has made of events comes as pieces of one group and span and goes to the aggregates
 * that weigh by time; to these the events themselves do not go.
 *
 * Frames are never exploded into records: a block is read where it lies unless `where` has taken
 * something out of it; then the kept samples are moved together first. */
#include "operators/kernels/kernels.h"
#include <math.h>
#include <millrace/operator.h>

#define PARTS_MAX 10000

struct instance {
    float f32[MR_BLOCK];
    double f64[MR_BLOCK];
    uint32_t index[MR_BLOCK];
};

/* One field of one part. */
struct feed {
    struct mr_operator *op;
    const struct mr_measure *measures; /* of this field */
    struct mr_accumulator *accumulators;
    size_t count;
    const struct mr_record *record;
};

static struct mr_summary summary_of_one(double x) {
    bool finite = isfinite(x);
    return (struct mr_summary){.finite = finite, .shift = x, .min = x, .max = x};
}

static void add_block(const struct feed *feed, struct mr_part *part) {
    struct mr_summary summary;
    if (part->f64 && part->n == 1) {
        summary = summary_of_one(*part->f64); /* an event: no lanes to set up */
    } else if (part->f32) {
        mr_summarise_f32(part->f32, part->n, &summary);
    } else if (part->f64) {
        mr_summarise_f64(part->f64, part->n, &summary);
    }
    if (part->f32 || part->f64) {
        part->summary = &summary;
        if (summary.finite < part->n) {
            mr_account_gaps(feed->op, (uint16_t)feed->measures->slot, part->n - summary.finite);
        }
    }
    for (size_t i = 0; i < feed->count; i++) {
        const struct mr_measure *measure = &feed->measures[i];
        measure->aggregate->add(&feed->accumulators[i], measure->settings, part);
    }
    part->summary = NULL;
}

/* Fills the part from sample *at on with up to MR_BLOCK kept samples; moves *at behind them. */
static void next_block(const struct feed *feed, const struct mr_value *value, size_t *at,
                       size_t end, struct mr_part *part) {
    const uint8_t *mask = feed->record->mask;
    struct instance *self = feed->op->instance;
    const float *f32 = value && value->kind == MR_F32 ? value->f32 : NULL;
    const double *f64 = value && value->kind == MR_F64 ? value->f64 : NULL;
    part->first = *at;
    part->index = NULL;
    if (!mask) {
        part->n = end - *at < MR_BLOCK ? end - *at : MR_BLOCK;
        part->f32 = f32 ? f32 + *at : NULL;
        part->f64 = f64 ? f64 + *at : NULL;
        *at += part->n;
        return;
    }
    size_t n = 0, i = *at;
    for (; i < end && n < MR_BLOCK; i++) {
        self->index[n] = (uint32_t)i;
        if (f32) {
            self->f32[n] = f32[i];
        } else if (f64) {
            self->f64[n] = f64[i];
        }
        n += mask[i];
    }
    *at = i;
    part->n = n;
    part->index = self->index;
    part->f32 = f32 ? self->f32 : NULL;
    part->f64 = f64 ? self->f64 : NULL;
}

static void feed_samples(const struct feed *feed, const struct mr_value *value, size_t begin,
                         size_t end) {
    struct mr_part part = {.record = feed->record,
                           .seconds = feed->record->rate_hz > 0 ? 1 / feed->record->rate_hz : 0};
    for (size_t at = begin; at < end;) {
        next_block(feed, value, &at, end, &part);
        if (part.n > 0) {
            add_block(feed, &part);
        }
    }
}

static void feed_field(const struct feed *feed, size_t begin, size_t end) {
    int slot = feed->measures->slot;
    if (slot < 0) {
        feed_samples(feed, NULL, begin, end);
        return;
    }
    const struct mr_value *value = &feed->record->values[slot];
    switch (value->kind) {
    case MR_F32:
    case MR_F64:
        feed_samples(feed, value, begin, end);
        break;
    case MR_NUMBER:
    case MR_INTEGER:
    case MR_BOOLEAN: { /* 1 or 0: the mean is a share */
        struct mr_part part = {
            .f64 = &value->number, .value = value, .n = 1, .record = feed->record};
        add_block(feed, &part);
        break;
    }
    case MR_TEXT: { /* the plan has only aggregates of any value here */
        struct mr_part part = {.value = value, .n = 1, .record = feed->record};
        add_block(feed, &part);
        break;
    }
    default: /* absent: skips only its own statistics */
        break;
    }
}

static size_t count_kept(const struct mr_record *record, size_t begin, size_t end) {
    if (!record->mask) {
        return end - begin;
    }
    size_t kept = 0;
    for (size_t i = begin; i < end; i++) {
        kept += record->mask[i];
    }
    return kept;
}

static void add_part(struct mr_operator *op, const struct mr_record *record, struct mr_slice group,
                     struct mr_span span, const size_t range[2]) {
    size_t begin = range[0], end = range[1], kept = count_kept(record, begin, end);
    mr_account(op, MR_FILTERED, end - begin - kept);
    if (kept == 0) {
        return;
    }
    struct mr_accumulator *accumulators = mr_cell(op, group, span, kept);
    if (!accumulators) {
        return;
    }
    const struct mr_measures *measures = mr_measures(op);
    for (size_t i = 0, n; i < measures->count; i += n) {
        n = 1;
        while (i + n < measures->count && measures->items[i + n].slot == measures->items[i].slot) {
            n++;
        }
        struct feed feed = {op, &measures->items[i], &accumulators[i], n, record};
        feed_field(&feed, begin, end);
    }
}

/* The first sample at or after time_ns, from sample `begin` on. */
static size_t find_sample(const struct mr_record *record, size_t begin, int64_t time_ns) {
    size_t low = begin, high = record->samples;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mr_sample_ns(record, middle) < time_ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The span of sample `begin`, and the end of the part that falls into it. */
static size_t find_part(struct mr_operator *op, const struct mr_record *record, size_t begin,
                        struct mr_span *span) {
    const struct mr_window *window = mr_window(op);
    *span = window->type->span(window->options, mr_sample_ns(record, begin));
    return record->last_ns < span->end_ns ? record->samples
                                          : find_sample(record, begin, span->end_ns);
}

/* A frame of 4 MiB at a low rate would make a million windows of its own, each with a row. */
static enum mr_status check_parts(struct mr_operator *op, const struct mr_record *record,
                                  struct mr_error *err) {
    struct mr_span span;
    size_t parts = 0;
    for (size_t at = 0; at < record->samples; parts++) {
        if (parts == PARTS_MAX) {
            return mr_error_set(err, MR_REJECT,
                                "its %zu samples at %g Hz fall into more than %d windows",
                                record->samples, record->rate_hz, PARTS_MAX);
        }
        at = find_part(op, record, at, &span);
    }
    return MR_OK;
}

/* The one value of a field of an event; false: it is absent, which skips its own statistics. */
static inline bool take_value(struct mr_operator *op, int slot, struct mr_summary *summary,
                              struct mr_part *part) {
    part->f64 = NULL;
    part->value = NULL;
    part->summary = NULL;
    if (slot < 0) {
        return true;
    }
    const struct mr_value *value = &part->record->values[slot];
    part->value = value;
    if (value->kind != MR_NUMBER && value->kind != MR_INTEGER && value->kind != MR_BOOLEAN) {
        return value->kind == MR_TEXT;
    }
    *summary = summary_of_one(value->number);
    part->f64 = &value->number;
    part->summary = summary;
    if (summary->finite == 0) {
        mr_account_gaps(op, (uint16_t)slot, 1);
    }
    return true;
}

/* An event: no parts and no blocks, one value a field. Unrolled, so that each of the first measures
 * has a call of its own, whose target the processor learns. */
static void add_event(struct mr_operator *op, const struct mr_record *record,
                      struct mr_accumulator *accumulators) {
    const struct mr_measures *measures = mr_measures(op);
    struct mr_summary summary;
    struct mr_part part = {.n = 1, .record = record};
    bool there = true;
#pragma GCC unroll 6
    for (size_t i = 0; i < measures->count; i++) {
        const struct mr_measure *measure = &measures->items[i];
        if (i == 0 || measure->slot != measures->items[i - 1].slot) {
            there = take_value(op, measure->slot, &summary, &part);
        }
        if (there && measure->aggregate->feed == MR_FEED_SAMPLES) {
            measure->aggregate->add(&accumulators[i], measure->settings, &part);
        }
    }
}

static enum mr_status process_event(struct mr_operator *op, const struct mr_record *record,
                                    struct mr_error *err) {
    const struct mr_window *window = mr_window(op);
    struct mr_slice group;
    enum mr_status status = mr_group(op, record, &group, err);
    if (status != MR_OK) {
        return status;
    }
    struct mr_span span = window->type->span(window->options, record->start_ns);
    struct mr_accumulator *accumulators = mr_cell(op, group, span, 1);
    if (accumulators) {
        add_event(op, record, accumulators);
    } else if (record->taken) {
        mr_account_late_as_used(op, 1);
    }
    return MR_OK;
}

/* What `hold` made of events: it knows the group and the span already. */
static void add_held(struct mr_operator *op, const struct mr_held *held) {
    const struct mr_measures *measures = mr_measures(op);
    const struct mr_part part = {.held = held, .n = held->n};
    struct mr_accumulator *accumulators = mr_cell(op, held->group, held->span, 0);
    if (!accumulators) {
        mr_account_held_late(op, held->n);
    }
    for (size_t i = 0; accumulators && i < measures->count; i++) {
        const struct mr_measure *measure = &measures->items[i];
        if (measure->slot == held->slot && measure->aggregate->feed == held->feed) {
            measure->aggregate->add(&accumulators[i], measure->settings, &part);
        }
    }
}

static enum mr_status process(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err) {
    struct mr_slice group;
    struct mr_span span;
    if (record->held) {
        add_held(op, record->held);
        return MR_OK;
    }
    if (record->rate_hz == 0 && record->samples == 1 && !record->mask) {
        return process_event(op, record, err);
    }
    enum mr_status status = mr_group(op, record, &group, err);
    if (status == MR_OK && record->samples > PARTS_MAX) {
        status = check_parts(op, record, err);
    }
    for (size_t begin = 0; begin < record->samples && status == MR_OK;) {
        size_t end = find_part(op, record, begin, &span);
        add_part(op, record, group, span, (const size_t[2]){begin, end});
        begin = end;
    }
    return status;
}

const struct mr_operator_type mr_window_operator = {
    .name = "window",
    .summary = "Splits records at window borders and feeds their samples to the statistics",
    .place = MR_PLACE_WINDOW,
    .instance_size = sizeof(struct instance),
    .process = process,
};
