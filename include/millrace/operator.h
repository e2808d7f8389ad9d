/* An operator is one step in the chain of a task: it gets a record and hands it on, or does not.
 *
 * The engine allocates and zeroes an instance per task, and the chain's order is fixed by
 * `place`, whatever the order in the job file. An operator keeps nothing on the side: what must
 * survive a crash lives in cells, which the engine stores, logs and restores.
 * Thread: all of it, the task's worker. */
#ifndef MILLRACE_OPERATOR_H
#define MILLRACE_OPERATOR_H

#include <millrace/aggregate.h>
#include <millrace/codec.h>
#include <millrace/window.h>

/* Where in the chain an operator stands. */
enum mr_place {
    MR_PLACE_DUPLICATES,
    MR_PLACE_JOIN,
    MR_PLACE_LET,
    MR_PLACE_WHERE,
    MR_PLACE_TRANSITIONS,
    MR_PLACE_HOLD,
    MR_PLACE_WINDOW, /* the end of a job with windows                                     */
    MR_PLACE_ROWS,   /* the end of a job without: each record that comes so far is a row  */
};

struct mr_operator_type;

struct mr_operator {
    const struct mr_operator_type *type;
    const void *options;  /* what the job file said; read-only, shared by all tasks */
    void *instance;       /* instance_size bytes, this task's                       */
    struct mr_task *task; /* for the services below                                 */
    struct mr_operator *next;
};

struct mr_operator_type {
    const char *name;    /* the key in the job file: "where"     */
    const char *summary; /* one line, shown by help and docs     */
    enum mr_place place;
    const struct mr_option *options;
    size_t options_size;
    size_t instance_size;

    enum mr_status (*open)(struct mr_operator *op, struct mr_error *err); /* NULL: nothing to do */
    enum mr_status (*process)(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err);
    /* The watermark is about to move to watermark_ns, by a record or a tick, and spans are about to
     * close: emit what is settled by then. It is judged as before the move. INT64_MAX: all spans
     * are about to close because somebody asks for it, and time does not move. NULL: nothing is
     * kept back. */
    enum mr_status (*settle)(struct mr_operator *op, int64_t watermark_ns, struct mr_error *err);
    /* Stream time has moved (by records only). NULL: not interested. */
    void (*advance)(struct mr_operator *op, int64_t stream_ns);
    void (*close)(struct mr_operator *op); /* accepts a half-opened instance; NULL: nothing to do */
};

extern const struct mr_operator_type *const mr_operator_types[]; /* ends with NULL */

/* ---- Services ---------------------------------------------------------------------------- */

/* Hands the record to the next operator. */
enum mr_status mr_emit(struct mr_operator *op, struct mr_record *record, struct mr_error *err);

struct mr_arena *mr_batch_arena(struct mr_operator *op);

/* What became of `samples` samples of the current record. The record's own outcome follows:
 * duplicate, else used if any sample was, else late if any was, else filtered. Each sample is
 * to be accounted for exactly once. */
enum mr_outcome { MR_FILTERED, MR_LATE, MR_USED, MR_DUPLICATE };
void mr_account(struct mr_operator *op, enum mr_outcome outcome, size_t samples);
/* NaN and infinite samples of a field that were left out. */
void mr_account_gaps(struct mr_operator *op, uint16_t slot, size_t samples);

/* Copies the current message to the dead letters, once whatever its records did. It is not an
 * outcome: what became of the samples is accounted for as ever. */
enum mr_status mr_dead_letter(struct mr_operator *op, const char *reason, struct mr_error *err);

/* The record as a row of the job's outputs, in a job without a window. */
enum mr_status mr_row(struct mr_operator *op, const struct mr_record *record, struct mr_error *err);

/* The group of a record: its group_by values as text, packed. Valid until the next call.
 * MR_REJECT when it is longer than MR_KEY_MAX. */
enum mr_status mr_group(struct mr_operator *op, const struct mr_record *record,
                        struct mr_slice *group, struct mr_error *err);

/* The accumulators of (group, span), in the order of the plan, for a part of so many samples: they
 * are accounted for as used. NULL when the part is late by the rules of time: they are accounted
 * for as late. The cell is made if need be and is written to the changelog at the next commit.
 * Valid until the next call of a service. */
struct mr_accumulator *mr_cell(struct mr_operator *op, struct mr_slice group, struct mr_span span,
                               size_t samples);

/* A growable value without a span, of this kind of operator alone. With make = false: NULL when
 * there is none. The caller tells what it changed by mr_keyed_touch. */
struct mr_accumulator *mr_keyed_cell(struct mr_operator *op, struct mr_slice key, bool make);
void mr_keyed_touch(struct mr_operator *op, struct mr_slice key);
/* Visits every such cell, in no order; visit returns false to drop it. */
void mr_keyed_sweep(struct mr_operator *op,
                    bool (*visit)(struct mr_operator *op, struct mr_slice key,
                                  struct mr_accumulator *cell));

/* Stream time R before the current record; INT64_MIN while no record has set it. */
int64_t mr_stream_time(const struct mr_operator *op);
/* The watermark T before the current record or tick; INT64_MIN likewise. */
int64_t mr_watermark(const struct mr_operator *op);
int64_t mr_grace(const struct mr_operator *op);
/* Whether a part of that event time could still be used: stream time has not passed its span. */
bool mr_is_retained(const struct mr_operator *op, int64_t event_ns);

/* The partition key of a record as text, valid until the next call. MR_REJECT when it is longer
 * than MR_KEY_MAX. */
enum mr_status mr_partition_key(struct mr_operator *op, const struct mr_record *record,
                                struct mr_slice *key, struct mr_error *err);

/* Samples of the current record that mr_cell has found late, and that another step has used. */
void mr_account_late_as_used(struct mr_operator *op, size_t samples);
/* Values and pieces of `hold` that came too late to be used. */
void mr_account_held_late(struct mr_operator *op, size_t count);

/* The accumulators of the plan: which aggregate over which field. */
struct mr_measure {
    const struct mr_aggregate_type *aggregate;
    int slot; /* -1: no field                       */
    const void *settings;
};
struct mr_measures {
    const struct mr_measure *items; /* measures of one slot stand together */
    size_t count;
};
const struct mr_measures *mr_measures(const struct mr_operator *op);

/* The window of the plan. */
struct mr_window {
    const struct mr_window_type *type;
    const void *options;
};
const struct mr_window *mr_window(const struct mr_operator *op);

#endif
