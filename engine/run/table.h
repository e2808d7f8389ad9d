/* Private to the room: the versions of a table, as one task keeps them. */
#ifndef ENGINE_RUN_TABLE_H
#define ENGINE_RUN_TABLE_H

#include "engine/run/task.h"

struct mr_task_table {
    const struct mr_table *table;
    struct mr_partition source; /* of the table's topic                             */
    struct mr_store *store;     /* a keyed cell per key of the table: see table.c   */
    bool layout_logged;         /* the changelog says which layout its records have */

    int64_t position; /* to be read next; -1: the first that is there     */
    int64_t target;   /* the end that is to be reached                    */
    int64_t reached;  /* the end that was: behind markers, too            */
    struct mr_reader *reader;
    int64_t looked_ns, look_took_ns; /* steady clock: the last look for an end */

    void *codec;
    struct mr_buffer packed; /* the fields of one entry                      */
    struct mr_value *values; /* of the version that was last looked up       */
    int64_t pruned_ns;       /* stream time then                             */
};

/* Of every table of the plan; the topics must be there and fit the input. */
enum mr_status mr_tables_open(struct mr_task *task, struct mr_error *err);
void mr_tables_close(struct mr_task *task);
size_t mr_tables_bytes(const struct mr_task *task);
size_t mr_tables_cells(const struct mr_task *task); /* keys of tables */

/* Reads every table to the end that it has now. `quiet`: nothing waits for it, so looking may take
 * a small share of the time only. */
enum mr_status mr_tables_read(struct mr_task *task, bool quiet, struct mr_error *err);

/* The same in steps, for a restore: *done when every table was at the end that it had at begin. */
enum mr_status mr_tables_begin(struct mr_task *task, struct mr_error *err);
enum mr_status mr_tables_step(struct mr_task *task, int64_t timeout_ns, bool *came, bool *done,
                              struct mr_error *err);

/* Forgets versions that `history` has passed. */
void mr_tables_prune(struct mr_task *task);

#endif
