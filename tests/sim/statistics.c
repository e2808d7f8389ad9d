/* One row's statistics, from its samples one at a time and latest first, through the public
 * aggregates; those that plain doubles can give exactly are computed a second time that way, for
 * all values are small multiples of 1/2. */
#include "tests/sim/sim.h"

#include <math.h>
#include <millrace/json.h>
#include <stdlib.h>

enum field { NO_FIELD, FIELD_V, FIELD_P, FIELD_Q };

static enum field field_of(const struct mr_plan *plan, int slot) {
    if (slot < 0) {
        return NO_FIELD;
    }
    const char *name = plan->input.fields[slot].name;
    return strcmp(name, "p") == 0 ? FIELD_P : strcmp(name, "q") == 0 ? FIELD_Q : FIELD_V;
}

static bool value_of(const struct sim_sample *sample, enum field field, double *x) {
    double other = field == FIELD_P ? sample->w : field == FIELD_Q ? sample->scale : 1;
    bool has_other = field == FIELD_P ? sample->has_w : field != FIELD_Q || sample->has_scale;
    *x = sample->v * other;
    return field == NO_FIELD || (sample->has_v && has_other);
}

static void add_sample(const struct sim_job *job, const struct mr_measure *measure,
                       enum field field, const struct sim_sample *sample,
                       struct mr_accumulator *accumulator) {
    double x;
    if (!value_of(sample, field, &x)) {
        return;
    }
    struct mr_record record = {.samples = 1, .start_ns = sample->ns, .last_ns = sample->ns};
    struct mr_summary summary = {.finite = 1, .shift = x, .min = x, .max = x};
    struct mr_part part = {.n = 1, .record = &record};
    if (job->period_ns > 0) {
        record.rate_hz = (double)(MR_SECOND / job->period_ns);
        part.seconds = 1 / record.rate_hz;
    }
    if (field != NO_FIELD) {
        part.f64 = &x;
        part.summary = &summary;
    }
    measure->aggregate->add(accumulator, measure->settings, &part);
}

/* ---- The second way ------------------------------------------------------------------------- */

struct plain {
    double n, sum, min, max, first, last;
    int64_t first_ns, last_ns;
};

static struct plain plain_of(enum field field, const struct sim_sample *samples, size_t count) {
    struct plain plain = {.min = INFINITY, .max = -INFINITY, .first_ns = INT64_MAX};
    for (size_t i = 0; i < count; i++) {
        const struct sim_sample *sample = &samples[i];
        double x;
        if (!value_of(sample, field, &x)) {
            continue;
        }
        plain.n++;
        plain.sum += x;
        plain.min = fmin(plain.min, x);
        plain.max = fmax(plain.max, x);
        if (sample->ns < plain.first_ns || (sample->ns == plain.first_ns && x < plain.first)) {
            plain.first_ns = sample->ns;
            plain.first = x;
        }
        if (sample->ns > plain.last_ns || (sample->ns == plain.last_ns && x > plain.last)) {
            plain.last_ns = sample->ns;
            plain.last = x;
        }
    }
    return plain;
}

static void check_plain(const struct sim *sim, const struct mr_stat *stat,
                        const struct mr_value *value, const struct plain *plain) {
    const struct {
        const char *name;
        double x;
    } known[] = {{"count", plain->n}, {"sum", plain->sum},     {"min", plain->min},
                 {"max", plain->max}, {"first", plain->first}, {"last", plain->last}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(stat->result->name, known[i].name) == 0 &&
            (plain->n > 0 || value->kind != MR_ABSENT) && value->number != known[i].x) {
            sim_fail(sim, "%s: the aggregate says %g, plain arithmetic says %g", stat->text,
                     value->number, known[i].x);
        }
    }
}

/* ---- The row's tail ------------------------------------------------------------------------- */

static void print_value(struct mr_buffer *out, const char *name, const struct mr_value *value) {
    mr_buffer_format(out, ",\"%s\":", name);
    mr_buffer_reserve(out, MR_JSON_NUMBER_MAX +
                               (value->kind == MR_BYTES ? 2 * value->text.length + 4 : 0));
    char *end = out->data + out->length;
    switch (value->kind) {
    case MR_INTEGER:
        out->length += mr_json_write_integer(end, value->integer);
        break;
    case MR_NUMBER:
        out->length += mr_json_write_number(end, value->number);
        break;
    case MR_BYTES:
        out->length += mr_json_write_base64(end, value->text);
        break;
    default:
        mr_buffer_text(out, "null");
    }
}

static void add_stat(const struct sim *sim, const struct mr_stat *stat,
                     const struct sim_sample *samples, size_t count, struct mr_buffer *out) {
    const struct mr_plan *plan = sim->job.epochs[0].plan;
    const struct mr_measure *measure = &plan->measures.items[stat->measure];
    enum field field = field_of(plan, measure->slot);
    struct mr_accumulator accumulator = {.head = mr_allocate(measure->aggregate->head_size + 1)};
    struct mr_accumulator bytes = {0};
    struct mr_value value = {.kind = MR_ABSENT};
    for (size_t i = 0; i < count; i++) {
        add_sample(&sim->job, measure, field, &samples[i], &accumulator);
    }
    const struct mr_question question = {measure->settings, stat->arguments, {0}, &bytes};
    stat->result->compute(&accumulator, &question, &value);
    struct plain plain = plain_of(field, samples, count);
    check_plain(sim, stat, &value, &plain);
    print_value(out, stat->name, &value);
    free(accumulator.head);
    free(accumulator.body);
    free(bytes.body);
}

char *sim_statistics(const struct sim *sim, const struct sim_sample *samples, size_t count) {
    const struct mr_plan *plan = sim->job.epochs[0].plan;
    struct mr_buffer out = {0};
    for (size_t i = 0; i < plan->stat_count; i++) {
        add_stat(sim, &plan->stats[i], samples, count, &out);
    }
    mr_buffer_add(&out, "}", 2);
    return out.data;
}
