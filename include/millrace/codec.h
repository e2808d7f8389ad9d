/* A codec turns a message's bytes into records, with no copy where the bytes allow. */
#ifndef MILLRACE_CODEC_H
#define MILLRACE_CODEC_H

#include <millrace/option.h>
#include <millrace/record.h>
#include <millrace/status.h>

struct mr_arena;

#define MR_KEY_MAX 1024 /* bytes of a record key and of a group key */

/* What the job reads of a record. */
struct mr_field {
    const char *name;  /* "current"                                                         */
    enum mr_kind kind; /* MR_NUMBER, MR_INTEGER (a number taken exactly), MR_TEXT, MR_BOOLEAN,
                          MR_F32 (any array); MR_ABSENT: any scalar (nothing was declared)   */
    bool from_text;    /* {type: number, from: text}: a number written as text counts too    */
    bool derived;      /* made by `let`: the codec leaves its slot alone                     */
};

enum mr_time_source { MR_TIME_FIELD, MR_TIME_LOG }; /* LOG: the record's own timestamp */
enum mr_time_unit { MR_UNIT_S, MR_UNIT_MS, MR_UNIT_US, MR_UNIT_NS, MR_UNIT_ISO8601 };
enum mr_key_source { MR_KEY_NONE, MR_KEY_RECORD, MR_KEY_FIELD, MR_KEY_HEADER };

/* Section `from` of the job, checked; read-only. */
struct mr_input {
    const struct mr_field *fields; /* slot by slot                                            */
    size_t field_count;
    const char *each; /* the array whose elements are the records; NULL: none    */
    enum mr_time_source time_source;
    const char *time_field; /* JSON; a frame always carries its time                   */
    enum mr_time_unit time_unit;
    enum mr_key_source key_source;
    const char *key_name;   /* the field or header that names the partition key        */
    int key_slot;           /* slot of that field; MR_KEY_RECORD, MR_KEY_HEADER: the
                               slot of field `key`; -1: no statistic or group uses it  */
    double rate_hz;         /* `samples: {rate: ...}`; 0: not given                    */
    const char *step_field; /* `samples: {step: {field, unit}}`; NULL: not given       */
    enum mr_time_unit step_unit;
};

/* The records of one message. */
struct mr_decoded {
    struct mr_record *records; /* in the arena                                                */
    size_t count;
    size_t bad;             /* elements (or the message itself) that were rejected          */
    struct mr_error reason; /* of the first bad one: names the field                       */
};

struct mr_codec_type {
    const char *name; /* "waveform": the word of from.format                               */
    const char *summary;
    bool frames; /* fields are fixed-rate arrays, device is the key, duplicates are found */

    /* `check_key`: the key field must equal the record's key as text. */
    enum mr_status (*open)(const struct mr_input *input, bool check_key, void **codec,
                           struct mr_error *err);
    /* Never fails: what is wrong with the bytes is in `out`. Thread: the task's worker. */
    void (*decode)(void *codec, const struct mr_message *message, struct mr_arena *arena,
                   struct mr_decoded *out);
    void (*close)(void *codec); /* accepts NULL */
    /* One line about a value, for people (`tail`); writes at most `size` bytes. NULL: the value
     * is text already. */
    void (*describe)(struct mr_slice value, char *text, size_t size);
    /* Whether the bytes look like this format. NULL: anything may be. */
    bool (*recognises)(struct mr_slice value);
};

extern const struct mr_codec_type *const mr_codec_types[]; /* ends with NULL */

/* Memory of a batch: 16-byte aligned (arrays: 64), not cleared, freed with the batch. */
void *mr_arena_take(struct mr_arena *arena, size_t bytes);

#endif
