/* Private to the room: case files, which tell how a job behaves, for `millrace test`.
 *
 *   case_parse.c  text -> steps; the format is described there
 *   case_frame.c  the line of a waveform frame -> its bytes
 *   case_text.c   times, paths, where JSON ends
 *   case_run.c    steps -> a worker on the memory log, with a clock that the case moves
 *   case_counts.c what the workers have counted
 *   case_rows.c   what the job has committed, topic by topic
 *   case_diff.c   a row and what was wanted of it -> nothing, or a sentence for each difference */
#ifndef ENGINE_CLI_CASE_H
#define ENGINE_CLI_CASE_H

#include "engine/run/run.h"
#include <millrace/json.h>

#define MR_CASE_MAX        ((size_t)1 << 20)  /* bytes of a case file                     */
#define MR_CASE_STEPS_MAX  10000              /* lines that do something                  */
#define MR_CASE_FRAMES_MAX ((size_t)64 << 20) /* bytes of all frames that a case describes */

enum mr_case_kind {
    MR_CASE_PASS,    /* nothing but the time                                          */
    MR_CASE_JOB,     /* name: the job file. Stops what runs, in good order            */
    MR_CASE_IN,      /* name: the key; text: the value; data == NULL: there is none   */
    MR_CASE_TABLE,   /* the same for a table of the job's `join`; data == NULL: a tombstone */
    MR_CASE_CRASH,   /* the process dies and starts again                             */
    MR_CASE_RESET,   /* `run --reset`                                                  */
    MR_CASE_CLOSE,   /* `run --until-end --close`, then the job goes on               */
    MR_CASE_ROW,     /* name: a topic; text: a JSON object, members of its next row   */
    MR_CASE_NOTHING, /* name: a topic                                                 */
    MR_CASE_LETTER,  /* text: part of the next dead letter's reason                   */
    MR_CASE_COUNTS,  /* text: a JSON object                                           */
    MR_CASE_STOPPED, /* text: part of the reason why the job stopped                  */
};

struct mr_case_step {
    enum mr_case_kind kind;
    int line;              /* from 1                 */
    int64_t at_ns;         /* since 1970; never less than the step before */
    int64_t partition;     /* IN: -1: by the key     */
    struct mr_slice table; /* TABLE: its name     */
    struct mr_slice name, text;
};

struct mr_case { /* read-only */
    int64_t start_ns;
    uint32_t partitions;        /* of the input   */
    uint32_t table_partitions;  /* of each table; 0: as the input */
    struct mr_case_step *steps; /* the first one is MR_CASE_JOB */
    size_t count;
    struct mr_arena *memory; /* what the steps point to      */
};

/* MR_REJECT: the sentence begins with name:line. */
enum mr_status mr_case_parse(const char *name, struct mr_slice text, struct mr_case **out,
                             struct mr_error *err);
void mr_case_destroy(struct mr_case *c); /* accepts NULL */

/* "HH:MM:SS[.fraction]" */
bool mr_case_parse_time(struct mr_slice text, int64_t *ns);
/* How far the JSON object or quoted text at the beginning reaches; to the end of the text if it is
 * broken, which the JSON parser then says better. */
size_t mr_case_json_length(struct mr_slice text);
/* The path of a file that another one names, relative to itself. The caller frees. */
char *mr_case_beside(const char *path, struct mr_slice name);
/* The bytes of a frame, in the arena; at most `room` of them. */
enum mr_status mr_case_frame(struct mr_slice device, const struct mr_json_value *object,
                             int64_t start_ns, uint64_t sequence, size_t room,
                             struct mr_arena *arena, struct mr_slice *out, struct mr_error *err);

/* Tells the story; prints what did not hold, and one line that sums up. Returns the exit code. */
int mr_case_run(const struct mr_case *c, const char *path, FILE *out);

/* ---- Committed rows -------------------------------------------------------------------------- */
struct mr_case_row {
    struct mr_buffer value, reason; /* reason: of a dead letter */
    int64_t append_ns, offset;
    uint32_t partition;
};
struct mr_case_topic {
    char *name;
    struct mr_reader **readers; /* by partition; NULL: the topic is not there yet */
    uint32_t partitions;
    struct mr_case_row *rows; /* by append time, partition, offset */
    size_t count, capacity;
    size_t next; /* the first one that no expectation has looked at */
    struct mr_case_topic *after;
};
/* Finds or adds a topic. */
struct mr_case_topic *mr_case_topic(struct mr_case_topic **topics, const char *name);
/* Reads what has been committed since the last call. */
enum mr_status mr_case_topics_read(struct mr_case_topic *topics, struct mr_log *log,
                                   struct mr_error *err);
void mr_case_topics_destroy(struct mr_case_topic *topics);

/* ---- Counters; worker NULL: of none ------------------------------------------------------------
 */
uint64_t mr_case_read(const struct mr_worker *worker); /* grows with everything that is read */
bool mr_case_balances(const struct mr_worker *worker); /* both identities hold */
/* Adds the counts of the workers of so many stages as a JSON object. */
void mr_case_counts(const struct mr_plan *plan, struct mr_worker *const *workers, size_t stages,
                    struct mr_buffer *out);

/* ---- Differences -------------------------------------------------------------------------------
 */
/* One line in `out` for each member of `wanted` that `got` lacks or has otherwise; both are JSON
 * objects. True: there was none. */
bool mr_case_diff(struct mr_slice wanted, struct mr_slice got, struct mr_buffer *out);

#endif
