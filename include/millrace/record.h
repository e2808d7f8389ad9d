/* What flows: a message (bytes, as the log keeps them) and a record (its decoded form).
 *
 * Ownership: everything a message or a record points to is borrowed. It is valid until the
 * function that was handed it returns; who wants to keep it copies it into a cell.
 * Times are int64 nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted. */
#ifndef MILLRACE_RECORD_H
#define MILLRACE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes. data == NULL means "there is none" (no key, no value), which differs from an
 * empty slice. */
struct mr_slice {
    const char *data;
    size_t length;
};

static inline struct mr_slice mr_slice_of(const char *text) {
    return (struct mr_slice){text, strlen(text)};
}

/* Names and keys are mostly of 8 to 16 bytes: two loads that overlap, instead of a call. */
static inline bool mr_slice_equal(struct mr_slice a, struct mr_slice b) {
    uint64_t head[2], tail[2];
    size_t n = a.length;
    if (n != b.length) {
        return false;
    }
    if (n < 8 || n > 16) {
        return n == 0 || memcmp(a.data, b.data, n) == 0;
    }
    memcpy(&head[0], a.data, 8);
    memcpy(&head[1], b.data, 8);
    memcpy(&tail[0], a.data + n - 8, 8);
    memcpy(&tail[1], b.data + n - 8, 8);
    return head[0] == head[1] && tail[0] == tail[1];
}

struct mr_header {
    struct mr_slice name, value;
};

/* One record of a log, undecoded. */
struct mr_message {
    int64_t offset;        /* within its partition, from 0                                 */
    int64_t append_ns;     /* when the log took it; never negative                         */
    int64_t timestamp_ns;  /* the time its producer gave it; -1: none                      */
    struct mr_slice key;   /* data == NULL: no key                                         */
    struct mr_slice value; /* data == NULL: a tombstone                                    */
    const struct mr_header *headers;
    size_t header_count;
};

enum mr_kind {
    MR_ABSENT = 0, /* the field is not there, or null           */
    MR_NUMBER,     /* `number`                                  */
    MR_INTEGER,    /* `integer` exactly, `number` the nearest   */
    MR_TEXT,       /* `text`, UTF-8                             */
    MR_BOOLEAN,    /* `number` is 1 or 0                        */
    MR_F32,        /* `f32`, one per sample, 4-byte aligned     */
    MR_F64,        /* `f64`, one per sample, 8-byte aligned     */
    MR_BYTES,      /* `text`, any bytes (a digest in a row)     */
};

struct mr_value {
    enum mr_kind kind;
    double number;
    union {
        int64_t integer;
        struct mr_slice text;
        const float *f32;
        const double *f64;
    };
};

/* A decoded record. An event has one sample and no rate; a waveform frame (or a JSON record
 * with arrays) has `samples` of them at a fixed rate, and is one record all the way. */
struct mr_record {
    struct mr_value *values; /* by field slot; the plan says which slot is which field      */
    size_t samples;          /* length of every array; 1 for an event                       */
    double rate_hz;          /* samples per second; 0: an event, it stands for no duration  */
    int64_t start_ns;        /* event time of the frame's first sample; >= 0                */
    size_t first;            /* sample 0 of this record is that one of its frame: a join cuts
                                frames; 0: the whole frame, or its beginning                */
    int64_t last_ns;         /* event time of the last sample; >= start_ns                  */
    const uint8_t *mask;     /* one byte per sample, 1: `where` kept it; NULL: all are kept */
    const struct mr_message *message; /* where it came from                                  */
    bool taken; /* `hold` keeps its values: it is used, also where its window has closed */
    const struct mr_held
        *held; /* not a record, but what `hold` made of some: <millrace/aggregate.h>;
                  nothing else is set then. NULL: a record                  */
};

/* The event time of sample i: start + (first + i) / rate, rounded to the nearest nanosecond, so
 * that a part of a frame has the times of the frame. Exact to 1 ns while the frame stays below 104
 * days. i = samples is the time of the first sample after the record. */
static inline int64_t mr_sample_ns(const struct mr_record *record, size_t i) {
    size_t n = record->first + i;
    if (n == 0 || record->rate_hz == 0) {
        return record->start_ns;
    }
    return record->start_ns + (int64_t)((double)n * 1e9 / record->rate_hz + 0.5);
}

#endif
