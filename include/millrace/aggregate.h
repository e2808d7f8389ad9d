/* An aggregate is a value that grows: one accumulator per (group, window, field), shared by all
 * statistics of that field. Mergeable, and a function of the multiset of blocks it was given:
 * their order never shows.
 *
 * A record's samples reach an aggregate in blocks of at most MR_BLOCK, while they are in the
 * first-level cache. The blocks are cut from the first sample of the part on (after `where` has
 * taken out what it refuses), so equal records give equal blocks on every machine. What count,
 * moments, extremes and integral need of a block is computed once, in its summary. */
#ifndef MILLRACE_AGGREGATE_H
#define MILLRACE_AGGREGATE_H

#include <millrace/option.h>
#include <millrace/record.h>
#include <millrace/status.h>
#include <millrace/window.h>

#define MR_BLOCK 1024

/* A fixed head and a growable body, both owned by the engine. The head starts zeroed. */
struct mr_accumulator {
    void *head;
    uint8_t *body;             /* aligned for any type */
    uint32_t length, capacity; /* of body, bytes */
};

/* Grows the body to at least `capacity` bytes; keeps the first `length`. `length` itself is the
 * aggregate's to set. New bytes are not cleared. Never fails (out of memory ends the process).
 * Thread: the task's worker. */
void mr_accumulator_reserve(struct mr_accumulator *accumulator, uint32_t capacity);

/* One pass over a block. The sums run in 32 double lanes (sample i in lane i % 32), added
 * pairwise at the end: the same bits on every machine. A NaN or an infinity is a gap: it takes
 * part in nothing. */
struct mr_summary {
    uint32_t finite;   /* samples that are neither NaN nor infinite; 0: nothing below is set */
    double shift;      /* the first finite sample                                            */
    double deviations; /* sum of (x - shift)                                                 */
    double squares;    /* sum of (x - shift)^2                                               */
    double min, max;   /* -0 < +0                                                            */
};

/* What an aggregate is given. */
enum mr_feed {
    MR_FEED_SAMPLES, /* samples of frames, and events as they are                     */
    MR_FEED_HELD,    /* how long each value of an event held: time-weighted statistics */
    MR_FEED_RISES,   /* what a counter rose between an event and the next one         */
};

/* Pieces of the intervals between neighbouring events of one key, all in one group and span: what
 * `hold` makes of events. */
struct mr_held {
    enum mr_feed feed; /* MR_FEED_HELD or MR_FEED_RISES                                       */
    int slot;          /* the field; -1: none, only that there were events                   */
    bool taken_back;   /* these pieces were given before, and are not so                     */
    struct mr_slice group;
    struct mr_span span;
    size_t n;
    const double *x;    /* held: the value. rises: the counter at the piece's end            */
    const double *from; /* rises: the counter at the piece's beginning                       */
    const int64_t *ns;  /* held: how long; below 2^53                                        */
};

struct mr_part {
    const struct mr_held *held; /* for all feeds but MR_FEED_SAMPLES; nothing else is set then */
    const float *f32;  /* one of the two, aligned; a scalar number has n = 1 in f64         */
    const double *f64; /* both NULL: a statistic without a field (count, covered), or a text */
    const struct mr_value *value; /* the one value of the field in this record, as it is: a text,
                                     an exact integer; NULL: samples, or no field             */
    size_t n;       /* kept samples in this block, 1..MR_BLOCK                           */
    double seconds; /* what one sample stands for: 1 / rate; 0 for an event              */
    const struct mr_record *record;
    const uint32_t *index; /* sample i of the block is sample index[i] of the record; NULL:
                              it is sample first + i                                          */
    size_t first;
    const struct mr_summary *summary; /* NULL for a statistic without a field    */
};

/* The event time of sample i of a block. */
static inline int64_t mr_part_ns(const struct mr_part *part, size_t i) {
    return mr_sample_ns(part->record, part->index ? part->index[i] : part->first + i);
}

/* What a result is computed from, besides the accumulator. */
struct mr_question {
    const void *settings;         /* of the measure                                          */
    const void *arguments;        /* of the statistic                                        */
    struct mr_span span;          /* that the accumulator covers                             */
    struct mr_accumulator *bytes; /* where out->text may be built; valid until its next use  */
};

/* A name that a job may use under `stats`, computed from an accumulator. */
struct mr_result {
    const char *name;    /* "mean"                                                           */
    const char *summary; /* one line                                                         */
    enum mr_kind kind;   /* MR_INTEGER, MR_NUMBER or MR_BYTES: what compute gives            */
    bool field_required; /* mean(power) yes, count no                                        */
    bool field_allowed;
    bool timed; /* weighed by time: for events another aggregate has it, of another feed */
    bool share; /* of the window that a key covers: the group must have the key          */
    const struct mr_option *arguments; /* after the field: quantile(power, 0.5) has a row
                                          named "q", written by position; error=1% by name;
                                          NULL: none                                          */
    size_t arguments_size;
    /* MR_ABSENT where there is no value (mean of nothing, a sum beyond the range): null in the
     * row. */
    void (*compute)(const struct mr_accumulator *accumulator, const struct mr_question *question,
                    struct mr_value *out);
};

struct mr_aggregate_type {
    const char *name; /* for people and for the layout: "moments"                       */
    const char *summary;
    enum mr_feed feed;
    uint16_t version;   /* of the packed form; part of the layout hash                    */
    uint32_t head_size; /* bytes, a multiple of 8                                         */
    uint32_t body_max;  /* packed, at most; 0: no body                                    */
    bool any_value;     /* takes texts and booleans, and among arrays a field with one value per
                           record: a part with `value` alone (n = 1, no summary)          */
    const struct mr_result *results; /* ends with a NULL name                                 */

    /* What all statistics of one field agree on (the digest's mantissa bits). NULL: nothing.
     * `settings` starts zeroed and is widened once per statistic; part of the layout. */
    size_t settings_size;
    void (*settle)(void *settings, const struct mr_result *result, const void *arguments);
    /* Prints the settings into the layout's text ("m=6"), at most size bytes. NULL: nothing. */
    void (*describe)(const void *settings, char *text, size_t size);

    void (*add)(struct mr_accumulator *accumulator, const void *settings,
                const struct mr_part *part);
    void (*merge)(struct mr_accumulator *into, const struct mr_accumulator *from,
                  const void *settings);
    /* Canonical bytes: equal multisets give equal bytes. pack appends to out (reserve first);
     * unpack fills a zeroed accumulator and says no to bytes that pack cannot have made. */
    void (*pack)(const struct mr_accumulator *accumulator, const void *settings,
                 struct mr_accumulator *out);
    enum mr_status (*unpack)(struct mr_accumulator *accumulator, const void *settings,
                             struct mr_slice packed);
};

extern const struct mr_aggregate_type *const mr_aggregate_types[]; /* ends with NULL */

#endif
