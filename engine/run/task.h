/* Private to the room: the task, and which file does what to it. A task is touched by the thread
 * of its worker only. */
#ifndef ENGINE_RUN_TASK_H
#define ENGINE_RUN_TASK_H

#include "engine/run/run.h"

#include <millrace/json.h>

/* notes: R moves by records only, T >= R also by ticks, H is the largest R - grace - retain. */
struct mr_times {
    int64_t stream_ns;    /* R; MR_NEVER before the first record */
    int64_t watermark_ns; /* T                                   */
    int64_t horizon_ns;   /* H                                   */
    int64_t closed_ns;    /* K, of windows that overlap: T has closed all that end until here */
};

enum mr_verdict { MR_VERDICT_LATE, MR_VERDICT_OPEN, MR_VERDICT_REVISABLE };

struct mr_silence {
    bool begun;
    int64_t steady_ns;    /* when the first quiet poll was   */
    int64_t watermark_ns; /* T then                          */
    bool idle;            /* it has lasted lateness.idle     */
    int64_t seen_ns;      /* wall time of the last quiet poll */
};

#define MR_AHEAD 16

struct mr_breaker { /* a stretch of wall time */
    int64_t since_ns;
    uint64_t read, dead;
};

struct mr_task {
    const struct mr_plan *plan;
    struct mr_session *session;
    struct mr_log *log;
    const struct mr_clock *clock;
    struct mr_partition source;
    uint32_t partitions;        /* of the input and of the outputs                         */
    struct mr_restore *restore; /* NULL: the task runs                                 */

    int64_t offset;  /* to be read next                                         */
    int64_t reached; /* the end that the log has told: behind markers, too      */
    int64_t until;   /* done when either reaches it; INT64_MAX: never           */
    struct mr_times times;
    struct mr_silence silence;
    struct mr_counters counters;
    bool moved; /* something must be committed                             */

    struct mr_task_table *tables; /* by table of the plan; see table.h                   */
    struct mr_store *store;
    int64_t charged;          /* bytes of it that the worker counts                      */
    struct mr_cell **pending; /* closed cells with a revision to emit                    */
    size_t pending_count, pending_capacity;
    int64_t preview_due_ns; /* steady clock                                            */

    void *codec; /* NULL downstream, as the chain is */
    struct mr_operator *chain;
    struct mr_ship *ship;   /* upstream only   */
    struct mr_merge *merge; /* downstream only */
    int64_t trimmed;        /* downstream: the offset when its topic was trimmed last, or when it
                               began: what goes the next time */
    int64_t trimmed_ns;     /* steady clock     */
    struct mr_arena *arena; /* of one message                                          */

    /* the current message and record */
    const struct mr_message *message;
    bool message_dead;        /* it is in the dead letters already                       */
    int64_t span_start_ns;    /* of the last cell: where the next records likely go      */
    bool layout_logged;       /* the changelog says which layout its records have        */
    uint64_t ahead[MR_AHEAD]; /* hashes of the cells that the next messages will ask for */
    struct mr_tally outcome;  /* of the record's samples                                 */
    struct mr_cell *asked;    /* the keyed cell that was asked for last, mostly touched next   */
    char key_number[MR_JSON_NUMBER_MAX]; /* its partition key as text, where that is a number */

    struct mr_buffer group, keyed, row, note, row_key;
    struct mr_accumulator bytes; /* where results build MR_BYTES                         */
};

/* task.c */
struct mr_task *mr_task_create(const struct mr_plan *plan, const struct mr_partition *source,
                               uint32_t partitions, struct mr_error *err);
void mr_task_destroy(struct mr_task *task);
enum mr_status mr_task_step(struct mr_task *task, const struct mr_batch *batch,
                            struct mr_error *err);

/* chain.c: the cell of a part of so many samples, unpacked and touched; NULL: the part is late. The
 * samples are accounted for in task->outcome. */
struct mr_cell *mr_task_cell(struct mr_task *task, struct mr_slice group, struct mr_span span,
                             size_t samples);

/* time.c */
enum mr_verdict mr_times_judge(const struct mr_times *times, const struct mr_plan *plan,
                               int64_t end_ns);
enum mr_status mr_times_record(struct mr_task *task, int64_t last_ns, struct mr_error *err);
enum mr_status mr_times_settle(struct mr_task *task, int64_t watermark_ns, struct mr_error *err);
enum mr_status mr_times_quiet(struct mr_task *task, struct mr_error *err);
bool mr_times_drops(const struct mr_times *times, const struct mr_plan *plan, int64_t end_ns);

/* close.c */
enum mr_status mr_close_due(struct mr_task *task, struct mr_error *err);
enum mr_status mr_drop_due(struct mr_task *task, struct mr_error *err);
enum mr_status mr_close_all(struct mr_task *task, struct mr_error *err);
enum mr_status mr_preview_all(struct mr_task *task, struct mr_error *err);
enum mr_status mr_preview_due(struct mr_task *task, struct mr_error *err);
enum mr_status mr_close_emit(struct mr_task *task, struct mr_cell *cell, struct mr_error *err);
void mr_revise(struct mr_task *task, struct mr_cell *cell); /* its row comes again */
enum mr_status mr_revisions_emit(struct mr_task *task, struct mr_error *err);
enum mr_status mr_revisions_settle(struct mr_task *task, struct mr_error *err);

/* hop.c: the same for windows that overlap (plan->panes.count > 1), whose cells are panes */
void mr_hop_take(struct mr_task *task, struct mr_cell *pane);
enum mr_status mr_hop_close_due(struct mr_task *task, struct mr_error *err);
enum mr_status mr_hop_close_all(struct mr_task *task, struct mr_error *err);
enum mr_status mr_hop_preview_all(struct mr_task *task, struct mr_error *err);
/* Fills a window that has no accumulators from its panes; mr_store_release empties it. */
enum mr_status mr_hop_gather(struct mr_task *task, struct mr_cell *window, struct mr_error *err);

/* limit.c */
enum mr_status mr_memory_fail(const struct mr_plan *plan, int64_t bytes, struct mr_error *err);

/* row.c */
enum mr_status mr_row_emit(struct mr_task *task, struct mr_cell *cell, bool closed,
                           struct mr_error *err);
enum mr_status mr_row_pass(struct mr_task *task, const struct mr_record *record,
                           struct mr_error *err);
/* The key of a group's rows, whose partition is the group's. */
void mr_row_key(const struct mr_plan *plan, struct mr_slice group, struct mr_buffer *out);

/* What a task keeps: number 0 is its windows, then come the versions of each table that it joins.
 */
struct mr_kept {
    struct mr_store *store;
    const char *topic, *layout; /* of its changelog */
    bool *layout_logged;
};
struct mr_kept mr_kept_of(struct mr_task *task, size_t number);

/* commit.c, in terms of all tasks of a worker, by partition; NULL: not one of its own. After
 * anything but MR_COMMITTED nothing is left in the session. */
enum mr_commit mr_commit_tasks(struct mr_session *session, struct mr_task *const *tasks,
                               uint32_t partitions, const struct mr_worker_watch *watch,
                               struct mr_error *err);

/* restore.c: a task that was assigned has `restore` from begin until the step that finds the end of
 * the changelog, or a fault. */
enum mr_status mr_restore_begin(struct mr_task *task, const struct mr_event *assigned,
                                struct mr_error *err);
/* One batch of the changelog, if there is one within the timeout: *came. */
enum mr_status mr_restore_step(struct mr_task *task, int64_t timeout_ns, bool *came,
                               struct mr_error *err);
/* Then its records begin to come. */
enum mr_status mr_restore_start(struct mr_task *task, struct mr_error *err);
void mr_restore_tell(const struct mr_task *task, struct mr_log *log); /* how far it is */
void mr_restore_destroy(struct mr_restore *restore);                  /* accepts NULL  */
#define MR_LAYOUT_KEY "l" /* the changelog record that holds the plan's layout as text */

/* breaker.c */
bool mr_breaker_trips(struct mr_breaker *breaker, const struct mr_plan *plan, int64_t now_ns,
                      const struct mr_tally *before, const struct mr_tally *after);
enum mr_status mr_breaker_fail(const struct mr_breaker *breaker, const struct mr_plan *plan,
                               struct mr_error *err);

/* account.c */
void mr_account_record(struct mr_task *task, size_t samples);
void mr_account_samples(struct mr_task *task, size_t samples); /* as task->outcome says */
void mr_account_dead(struct mr_task *task, size_t samples);
/* Rejected; parts of it may have their outcome already. */
void mr_account_rejected(struct mr_task *task, size_t samples);
bool mr_counters_balance(const struct mr_counters *counters); /* both identities hold */
struct mr_slice mr_note_write(struct mr_task *task);
enum mr_status mr_note_read(struct mr_task *task, struct mr_slice note, struct mr_error *err);
void mr_counters_print(const struct mr_plan *plan, const struct mr_partition *source,
                       const struct mr_counters *counters);

/* deadletter.c: the message once, whatever its records did */
enum mr_status mr_deadletter(struct mr_task *task, const char *reason, struct mr_error *err);
enum mr_status mr_deadletter_of(struct mr_task *task, const struct mr_partition *source,
                                const struct mr_message *message, const char *reason,
                                struct mr_error *err);

#endif
