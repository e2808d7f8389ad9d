/* What the loading of one job file keeps until the plan is done. Private to the room. */
#ifndef ENGINE_JOB_LOAD_H
#define ENGINE_JOB_LOAD_H

#include "engine/job/source.h"

#define MR_FIELDS_MAX     256
#define MR_STATS_MAX      512
#define MR_LIST_MAX       32   /* groups, outputs */
#define MR_EXPRESSION_MAX 4096 /* bytes */
#define MR_TOPIC_MAX      249
#define MR_JOB_FILE_MAX   ((size_t)256 << 10)

struct mr_loader {
    struct mr_source source;
    struct mr_plan *plan;
    const struct mr_node *root;

    /* Fields, slot by slot; `declared`: said by `fields`, made by `let`, or known of frames. */
    struct mr_field fields[MR_FIELDS_MAX];
    bool declared[MR_FIELDS_MAX];
    bool used[MR_FIELDS_MAX]; /* by the expression that is being read */
    size_t field_count;
    bool arrays; /* a record has samples at a fixed rate */

    /* Tables that are joined, in the order of the file. */
    struct mr_table *tables;
    const struct mr_field *table_types[MR_TABLES_MAX]; /* their `fields`; NULL: not given */
    size_t table_count;

    /* Names that a later line makes: not to be taken for fields of the record. */
    const struct mr_node *pending;
    const struct mr_node *making; /* the line that is being read; NULL: none */
    char note[256];               /* why the last name was not found; "": no reason to add */

    struct mr_measure *measures; /* in the order of appearance until the plan sorts them */
    void **settings;             /* of each, still to be settled */
    size_t measure_count;
};

/* ---- Sections: what a job file may say ------------------------------------------------------ */

/* A key whose value is more than one scalar. */
struct mr_form {
    const char *name, *help;
    bool required;
    bool of_windows;     /* only for jobs with `window`, and only there required */
    const char *missing; /* required: the suggestion when it is not there */
    void (*load)(struct mr_loader *loader, const struct mr_node *node);
    const struct mr_section *section; /* what a map in its place may hold; NULL: see `schema` */
    void (*schema)(struct mr_buffer *out); /* JSON Schema of what is not a plain section; NULL */
    const char *shape;                     /* for people: "a list of fields"; NULL: a section */
};

struct mr_section {
    const char *summary;
    const struct mr_option *options; /* ends with a NULL name; may be NULL */
    const struct mr_form *forms;     /* ends with a NULL name; may be NULL */
};

/* The root's forms, in the order in which they are loaded. Operators are read between the two. */
extern const struct mr_option mr_job_options[];
extern const struct mr_form mr_input_forms[], mr_result_forms[];
extern const struct mr_section mr_from_section, mr_output_section, mr_kafka_section;

/* Stores fallbacks, reads a map by its section, tells of unknown and missing keys. `options` may
 * be NULL when the section has none. */
void mr_section_load(struct mr_loader *loader, const struct mr_section *section,
                     const struct mr_node *map, void *options);
void mr_options_load(struct mr_loader *loader, const struct mr_option *table,
                     const struct mr_node *map, void *options);
void mr_forms_load(struct mr_loader *loader, const struct mr_form *forms,
                   const struct mr_node *map);
/* Faults for the keys of the map that are not in `names` (ends with NULL). */
void mr_keys_check(struct mr_loader *loader, const struct mr_node *map, const char *const *names);
/* One scalar into its option; says what is wrong with it. */
bool mr_option_load(struct mr_loader *loader, const struct mr_option *option,
                    const struct mr_node *node, void *options);
bool mr_expect(struct mr_loader *loader, const struct mr_node *node, enum mr_node_kind kind,
               const char *what);

void mr_from_load(struct mr_loader *loader, const struct mr_node *node);
void mr_kafka_load(struct mr_loader *loader, const struct mr_node *node);
/* What holds where a section is not given. */
void mr_sections_defaults(struct mr_loader *loader);

void mr_operators_load(struct mr_loader *loader);
/* Whether the job has `window`. What it cannot have without, and the columns of its rows then. */
bool mr_has_window(const struct mr_loader *loader);
void mr_rows_load(struct mr_loader *loader);
void mr_rows_explain(const struct mr_plan *plan, uint64_t keys, FILE *out);
const char *const *mr_section_names(struct mr_loader *loader, const struct mr_option *options,
                                    const struct mr_form *forms);

/* ---- JSON Schema ---------------------------------------------------------------------------- */
void mr_schema_section(struct mr_buffer *out, const struct mr_section *section);
void mr_schema_window(struct mr_buffer *out);
void mr_schema_stats(struct mr_buffer *out);
void mr_kafka_schema(struct mr_buffer *out);

/* ---- Faults at a node: silent where the node is broken already; never shows a variable's value */
void mr_node_fault(struct mr_loader *loader, const struct mr_node *node, const char *suggestion,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
void mr_node_warning(struct mr_loader *loader, const struct mr_node *node, const char *suggestion,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The part [at, at + length) of a scalar's text, as a node for the two above. */
struct mr_node mr_node_part(const struct mr_loader *loader, const struct mr_node *scalar, size_t at,
                            size_t length);
/* "did you mean `mean`?", or NULL. */
const char *mr_did_you_mean(struct mr_loader *loader, const char *word, const char *const *names);
/* "this version does not have `hop` yet" for a key of a later version. */
bool mr_is_for_later(const char *word);

/* ---- Fields --------------------------------------------------------------------------------- */
/* Names the slot of a field, made if need be. False with a fault. */
bool mr_field_use(struct mr_loader *loader, const struct mr_node *name, uint16_t *slot);
int mr_field_find(const struct mr_loader *loader, const char *name); /* -1: no such slot yet */
void mr_field_declare(struct mr_loader *loader, const struct mr_node *at, struct mr_field field);
bool mr_kind_is_array(enum mr_kind kind);
/* A line of `fields`: its type. False with a fault. */
bool mr_field_type(struct mr_loader *loader, const struct mr_node *node, struct mr_field *field);
void mr_fields_schema(struct mr_buffer *out);

/* ---- Expressions ---------------------------------------------------------------------------- */
bool mr_expression_load(struct mr_loader *loader, const struct mr_node *node,
                        struct mr_expression **out, enum mr_kind *kind);

/* ---- Tables --------------------------------------------------------------------------------- */
extern const struct mr_form mr_table_forms[];
void mr_join_load(struct mr_loader *loader, const struct mr_operator_type *type,
                  const struct mr_node *node);
/* A field that is about to be made: whether it may be, else loader->note. Fills in what is known
 * of it when it is one of a table. */
bool mr_join_field(struct mr_loader *loader, const char *name, struct mr_field *field);
bool mr_is_joined(const struct mr_loader *loader, uint16_t slot);
void mr_join_finish(struct mr_loader *loader);
void mr_join_explain(const struct mr_plan *plan, const struct mr_join *join, FILE *out);
void mr_join_schema(struct mr_buffer *out, const struct mr_operator_type *type);

/* ---- Statistics and results ----------------------------------------------------------------- */
void mr_stats_load(struct mr_loader *loader, const struct mr_node *node);
/* For events, what is weighed by time is found with the aggregates of what `hold` makes. */
const struct mr_result *mr_result_find(const char *name, bool events,
                                       const struct mr_aggregate_type **type);
/* Whether a page lists the name here: a name that two aggregates have is listed once. */
bool mr_result_is_listed(const struct mr_aggregate_type *type, const struct mr_result *result);
/* Settles the step `hold`, once the statistics are known. */
void mr_hold_finish(struct mr_loader *loader);

/* ---- Checks and the rest of the plan -------------------------------------------------------- */
void mr_job_name_check(struct mr_loader *loader, const struct mr_node *node, const char *name,
                       const char *what, size_t longest);
void mr_columns_check(struct mr_loader *loader);
void mr_topics_check(struct mr_loader *loader);
void mr_plan_finish(struct mr_loader *loader);

/* ---- Layouts and stages --------------------------------------------------------------------- */
/* The lines of a layout: of the operators' keyed cells, of window cells, or both. */
enum mr_layout_part { MR_LAYOUT_KEYED = 1, MR_LAYOUT_WINDOWS = 2 };
void mr_layout_make(struct mr_loader *loader, struct mr_plan *plan, unsigned parts);
void mr_regroup_plan(struct mr_loader *loader); /* makes plan->upstream and plan->downstream */

#endif
