/* One row of an option table. The same rows feed validation, --help, the reference and the JSON
 * Schema, so an option exists in one place only. A table ends with a row whose name is NULL. */
#ifndef MILLRACE_OPTION_H
#define MILLRACE_OPTION_H

#include <millrace/record.h>

struct mr_expression; /* expression.h */

/* What the job file may write, and the C type that the loader stores at `offset`. */
enum mr_option_type {
    MR_OPTION_TEXT,        /* const char *                                                   */
    MR_OPTION_NUMBER,      /* double                                                         */
    MR_OPTION_SHARE,       /* double in [0, 1], written as a percentage: 5%                  */
    MR_OPTION_DURATION,    /* int64_t ns, written with a unit: 250ms, 5s, 10m, 1h, 7d        */
    MR_OPTION_SIZE,        /* int64_t bytes, written with a unit: 64KiB, 1GiB, 500MB         */
    MR_OPTION_BOOL,        /* bool                                                           */
    MR_OPTION_CHOICE,      /* int, the index in `choices`                                    */
    MR_OPTION_FIELDS,      /* struct mr_slots: a list of the record's fields                 */
    MR_OPTION_EXPRESSION,  /* struct mr_expression *                                         */
    MR_OPTION_ASSIGNMENTS, /* struct mr_assignments: a map of new field: expression          */
    MR_OPTION_FIELD,       /* struct mr_field_name: a field with one value per record        */
    MR_OPTION_KEY,         /* the same; state is kept by it, so it must be the partition key,
                              unless the topic has one partition                             */
    MR_OPTION_PAIRS,       /* struct mr_pairs: a list of pairs of texts                      */
};

struct mr_option {
    const char *name; /* the key in the job file; "" when the section is the value    */
    enum mr_option_type type;
    const char *choices;     /* MR_OPTION_CHOICE: "revise|drop|dead_letter", else NULL        */
    const char *fallback;    /* as the job file would write it; NULL: must be given           */
    const char *help;        /* one line, a sentence without its full stop                    */
    size_t offset;           /* offsetof the member in the options struct                     */
    double minimum, maximum; /* in the stored unit; both 0: no bound                          */
};

/* Slots of fields in mr_record.values. */
struct mr_slots {
    size_t count;
    const uint16_t *slots;
};

struct mr_field_name {
    uint16_t slot;
    const char *name; /* for messages */
};

struct mr_pairs {
    size_t count;
    const struct mr_pair { struct mr_slice first, second; } * items;
};

struct mr_assignments {
    size_t count;
    const struct mr_assignment {
        uint16_t slot; /* where the result goes */
        const struct mr_expression *expression;
    } * items;
};

#endif
