/* job: from the text of a job file to a read-only plan.
 *
 *   yaml.c    text -> nodes that remember line and column (libfyaml), ${VARIABLES} expanded
 *   load.c    nodes -> sections, by the option tables
 *   kafka.c   the section `kafka`: properties of the client
 *   join.c    tables, and the fields that they add to a record
 *   check.c   all that can be wrong, each fault with its place, in one pass
 *   plan.c    fields to slots, statistics to shared accumulators, topics, layout
 *   regroup.c one stage or two, and the plans of both
 *   explain.c schema.c   what the plan will do; what a job file may say
 *
 * A plan is never changed after mr_job_load: any thread may read it. */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H

#include "engine/base/base.h"
#include <millrace/join.h>
#include <millrace/operator.h>

/* ---- Faults -------------------------------------------------------------------------------- */
struct mr_fault {
    char *file;
    int line, column; /* from 1; 0: the file as a whole                                   */
    char *text;       /* "unknown key `windw`"                                            */
    char *source;     /* the line, for the caret; NULL: none                              */
    int width;        /* columns under the caret                                          */
    char *suggestion; /* "did you mean `window`?"; NULL: none                             */
};
struct mr_faults {
    struct mr_fault *items;
    size_t count;
};
/* file:line:column: error: text, the line, a caret, the suggestion: as compilers do. */
void mr_faults_print(const struct mr_faults *faults, FILE *out);
void mr_faults_finish(struct mr_faults *faults);

/* ---- The plan ------------------------------------------------------------------------------ */
enum mr_late_policy { MR_LATE_REVISE, MR_LATE_DROP, MR_LATE_DEAD_LETTER };

struct mr_lateness {
    int64_t grace_ns;     /* a window closes when the watermark passes its end by this */
    int64_t idle_ns;      /* silence after which the watermark ticks on                */
    int64_t max_ahead_ns; /* a record further beyond its append time is dead-lettered  */
    enum mr_late_policy late;
};

struct mr_step { /* one operator of the chain, in the order of enum mr_place */
    const struct mr_operator_type *type;
    const void *options;
};

#define MR_TABLES_MAX 8

struct mr_table {
    struct mr_join join; /* the options of its step                    */
    const struct mr_codec_type *codec;
    struct mr_input input;       /* how its entries are read: what the job uses */
    const char *changelog_topic; /* of its versions: "<job>-<table>-changelog" */
    const char *layout;          /* of these, a line each                      */
    uint64_t layout_hash;
};

struct mr_group_column {
    const char *name; /* in the row */
    uint16_t slot;
};

struct mr_stat {      /* one column of the row */
    const char *name; /* "power_mean"                     */
    const char *text; /* "mean(power)", as the job has it */
    size_t measure;   /* index in plan->measures          */
    const struct mr_result *result;
    const void *arguments;
};

struct mr_output {
    const char *topic;
    int64_t retention_ns; /* -1: kept for good, the default */
};

/* A job that does not group by its partition key runs in two stages where its input has several
 * partitions: the first one reads it and sends what it has aggregated, the second one merges. */
enum mr_role { MR_WHOLE, MR_UPSTREAM, MR_DOWNSTREAM };

struct mr_plan {
    const char *job, *description;  /* description: "" when none   */
    const char *file;               /* as given on the command line */
    const char *log_url;            /* "local:./data"               */
    struct mr_property *properties; /* of the client, from `kafka`  */
    size_t property_count;

    enum mr_role role;
    const char *member; /* the stage, for the log, and owner of the topics that it writes:
                           the job, or "<job>-regroup" upstream */
    const char *repartition_topic; /* "<job>-regroup-repartition"; what downstream reads  */
    const struct mr_plan *upstream, *downstream; /* of MR_WHOLE; NULL: never needed       */

    const char *topic;
    const struct mr_codec_type *codec;
    struct mr_input input;
    bool partitioned; /* the job vouches for it (from.partitioned) */

    struct mr_lateness lateness;
    struct mr_step *steps;
    size_t step_count;
    const struct mr_table *tables; /* that are joined */
    size_t table_count;
    struct mr_group_column *groups; /* none: one group */
    size_t group_count;
    struct mr_window window; /* type == NULL: none; then no groups, measures and stats */
    struct mr_panes panes;   /* of the window                                          */
    struct mr_measures measures;
    struct mr_stat *stats;
    size_t stat_count;
    struct mr_group_column *columns; /* without a window: the fields of a row */
    size_t column_count;

    int64_t preview_ns; /* 0: no previews                        */
    int64_t retain_ns, commit_ns;
    int64_t memory_bytes;
    struct mr_output *outputs;
    size_t output_count;
    double stop_share;        /* 1: never                              */
    int64_t stop_within_ns;   /* wall time                             */
    const char *const *tests; /* case files, relative to the job file; ends with NULL */

    const char *changelog_topic; /* "<job>-windows-changelog"; without a window "-state-"; upstream
                                    "-regroup-" */
    const char *dead_letter_topic; /* "<job>-dead-letters"                  */
    const char *layout; /* window, groups, accumulators and their versions, a line each */
    uint64_t layout_hash;
    struct mr_arena *memory; /* everything above lives here           */
};

/* Loads and checks one file. MR_OK and a plan, or MR_REJECT and every fault of the file.
 * Faults may hold warnings too (text begins with "warning: ") beside MR_OK. */
enum mr_status mr_job_load(const char *path, struct mr_plan **plan, struct mr_faults *faults);
/* The same from memory; `name` stands for the path in messages. For tests and fuzzing. */
enum mr_status mr_job_load_text(const char *name, struct mr_slice text, struct mr_plan **plan,
                                struct mr_faults *faults);
void mr_plan_destroy(struct mr_plan *plan); /* accepts NULL */

/* Whether the job can read a topic of so many partitions (0: any number), in one stage or two.
 * MR_REJECT with the remedy. */
enum mr_status mr_plan_admits(const struct mr_plan *plan, uint32_t partitions,
                              struct mr_error *err);

/* The plans that run on an input of so many partitions: the plan itself, or upstream and
 * downstream. Returns how many. The partition key is among the groups, or there is one partition:
 * one. */
size_t mr_plan_stages(const struct mr_plan *plan, uint32_t partitions,
                      const struct mr_plan *stages[2]);

/* Whether a table of so many partitions can be joined with an input of so many: as many and the
 * same key, or one. MR_REJECT with the remedy. */
enum mr_status mr_table_admits(const struct mr_plan *plan, const struct mr_table *table,
                               uint32_t inputs, uint32_t partitions, struct mr_error *err);

/* Whether the key field must be compared with the record's key (design: from.key). */
bool mr_plan_checks_key(const struct mr_plan *plan, uint32_t partitions);

/* Topics, bytes of state per group and window, changelog MB/s at `groups` groups, delay of closed
 * rows: what the job will do, before it runs. partitions 0: not known. */
void mr_plan_explain(const struct mr_plan *plan, uint64_t groups, uint32_t partitions, FILE *out);

/* The JSON Schema of a job file (draft 2020-12), and its reference in Markdown, both from the
 * option tables. */
void mr_job_schema(FILE *out);
void mr_job_reference(FILE *out);

#endif
