/* A join looks up, in a table that it keeps, what held at a record's time: the table's topic says
 * of each key which values hold from when on. */
#ifndef MILLRACE_JOIN_H
#define MILLRACE_JOIN_H

#include <millrace/operator.h>

enum mr_missing { MR_MISSING_PASS, MR_MISSING_DROP, MR_MISSING_DEAD_LETTER };

/* The options of a join: one table. */
struct mr_join {
    const char *name;   /* "algo"                                                        */
    size_t table;       /* its number in the job                                         */
    const char *topic;  /* of its entries                                                */
    uint16_t key_slot;  /* the record's field whose text is the table's key              */
    int missing;        /* enum mr_missing                                               */
    int wait;           /* there is one way to                                           */
    int64_t history_ns; /* how far behind stream time versions are kept                  */
    size_t slot_count;  /* the joined fields that the job uses, and where they go        */
    const uint16_t *slots;
};

/* What a table says of a key at a time. */
struct mr_version {
    bool there;                    /* false: there is no entry, or it has been taken back   */
    int64_t until_ns;              /* other values hold from then on; INT64_MAX: none known */
    const struct mr_value *values; /* there: one for each of `slots`                        */
};

/* What holds at from_ns, and until when, looked for up to last_ns. Valid until the next call.
 * Thread: the task's worker. */
void mr_table_asof(struct mr_operator *op, const struct mr_value *key, int64_t from_ns,
                   int64_t last_ns, struct mr_version *out);

/* How many values a record has. */
size_t mr_field_count(const struct mr_operator *op);

#endif
