/* The text of one job file, its faults and the nodes made of it. Private to the room. */
#ifndef ENGINE_JOB_SOURCE_H
#define ENGINE_JOB_SOURCE_H

#include "engine/job/job.h"

#define MR_FAULTS_MAX 50

struct mr_source {
    const char *name;         /* the path, as messages say it      */
    struct mr_slice text;     /* the whole file                    */
    struct mr_arena *memory;  /* nodes and everything made of them */
    struct mr_faults *faults; /* in the order of the file          */
    bool bad;                 /* an error was added                */
    size_t expanded;          /* bytes that variables have given   */
};

/* A piece of the file: bytes [at, at + width). */
struct mr_place_in_file {
    size_t at, width;
};
#define MR_WHOLE_FILE ((struct mr_place_in_file){SIZE_MAX, 0})

enum mr_severity { MR_ERROR, MR_WARNING };

/* Adds a fault; `suggestion` may be NULL. Beyond MR_FAULTS_MAX only `bad` is set. */
void mr_fault_add(struct mr_source *source, struct mr_place_in_file place, const char *suggestion,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
void mr_fault_add_list(struct mr_source *source, enum mr_severity severity,
                       struct mr_place_in_file place, const char *suggestion, const char *format,
                       va_list arguments) __attribute__((format(printf, 5, 0)));

enum mr_node_kind { MR_NODE_SCALAR, MR_NODE_LIST, MR_NODE_MAP };

struct mr_node {
    enum mr_node_kind kind;
    struct mr_place_in_file place;
    const char *text;     /* scalar: without NUL and control characters, expanded        */
    const char *variable; /* scalar: the first variable in it; its value is never shown  */
    bool broken;          /* scalar: a variable had no value, and the fault is said      */
    struct mr_node *key;  /* child of a map: its key, a scalar                           */
    struct mr_node *first, *next;
    size_t count; /* children                                                    */
};

/* NULL when the text is not one plain YAML document whose root is a map (the fault is added). */
struct mr_node *mr_yaml_read(struct mr_source *source);

/* The value of a key, or NULL. */
const struct mr_node *mr_node_find(const struct mr_node *map, const char *key);

/* Replaces ${VARIABLES} in a value's text. Faults are added. */
void mr_variables_expand(struct mr_source *source, struct mr_node *scalar);

/* Text that lives as long as the plan. */
char *mr_source_format(struct mr_source *source, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *mr_source_copy(struct mr_source *source, struct mr_slice text);

#endif
