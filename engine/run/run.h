/* run: carries out plans on a log. The only room that knows job, log and state.
 *
 *   worker.c     THE LOOP (one thread, one session)        read this first
 *   task.c       one partition: a message, its records, what becomes of each
 *   chain.c      the services that operators call
 *   time.c       stream time R, watermark T, horizon H: judge, move, tick
 *   close.c      spans close, revise, drop; previews
 *   hop.c        the same for windows that overlap: panes and covers
 *   row.c        a cell -> one JSON row in the output topics
 *   commit.c     changelog, outputs, offsets: one transaction
 *   stage.h      jobs of two stages: ship.c sends, merge.c receives, delta.c is what lies between
 *   table.c      tables that are joined: read, kept, looked up
 *   versions.c   what one key of a table said from when on
 *   restore.c    a committed position and a changelog -> a task as it was
 *   breaker.c    too many dead letters: stop
 *   limit.c      too much state: stop
 *   account.c    counters, and the note that carries them and the times
 *   deadletter.c rejected messages with reason and origin
 *   prepare.c    topics: created, checked
 *   connect.c    whether a job could run, before it does
 *   engine.c     workers as threads, signals, the end */
#ifndef ENGINE_RUN_H
#define ENGINE_RUN_H

#include "engine/job/job.h"
#include "engine/log/log.h"
#include "engine/state/state.h"
#include <stdatomic.h>

/* ---- Accounting: two identities, exact per partition -----------------------------------------
 * read = used + filtered + late + duplicate + dead, of records and of samples. */
struct mr_tally {
    uint64_t read, used, filtered, late, duplicate, dead;
};
#define MR_GAP_FIELDS 32 /* fields whose gaps are counted: the first ones */
/* Entries of a table that is joined, as one task has read them. */
struct mr_table_tally {
    uint64_t read, bad, tombstones;
    uint64_t late;    /* said what held before stream time, when they came    */
    uint64_t dropped; /* versions that went because their key had too many    */
};
struct mr_counters {
    struct mr_tally records, samples;
    uint64_t revisions;           /* parts that fell into closed windows */
    uint64_t held_late;           /* values and pieces of `hold` that came too late */
    uint64_t partly_late;         /* parts too late for some of their windows, not for all */
    uint64_t gaps[MR_GAP_FIELDS]; /* NaN or infinite samples, by slot    */
    struct mr_table_tally tables[MR_TABLES_MAX];
};

/* ---- A worker, step by step: for tests, simulation and `millrace test` ----------------------- */
struct mr_worker;

/* Of a partition of the input, as one process sees it. */
enum mr_whereabouts { MR_AWAY, MR_HERE, MR_AT_END };

/* What the workers of one process share, of both stages. Zeroed at first. */
struct mr_crew {
    _Atomic int64_t memory; /* bytes of state, of all of them          */
    /* enum mr_whereabouts of the partitions that are read: of the first or only stage, of the
     * second one */
    atomic_uchar partitions[2][MR_PARTITIONS_MAX];
};

struct mr_worker_options {
    uint32_t worker, workers;
    bool until_end;       /* stop at the end that the log has at the start                */
    bool close;           /* then close the open windows, too                             */
    const char *instance; /* of the process, the same after a restart; NULL: the only one */
    struct mr_crew *crew; /* NULL: it shares nothing, and is done with its own partitions,
                           * which are those p with p % workers == worker                 */
};
/* What a test may see and stop. NULL: nothing. */
struct mr_worker_watch {
    void *arg;
    /* Called before each named step of a commit; false: the "process" dies here. */
    bool (*reach)(void *arg, const char *step);
};

/* Creates the job's topics, or checks them; refuses what cannot run. */
enum mr_status mr_run_prepare(const struct mr_plan *plan, struct mr_log *log, struct mr_error *err);

/* A worker of a stage (mr_plan_stages): the job's plan where that is the only one. */
enum mr_status mr_worker_create(const struct mr_plan *plan, struct mr_log *log,
                                const struct mr_clock *clock,
                                const struct mr_worker_options *options, struct mr_worker **worker,
                                struct mr_error *err);
void mr_worker_watch(struct mr_worker *worker, const struct mr_worker_watch *watch);
/* One turn of the loop. MR_FAIL: the worker cannot go on; nothing uncommitted remains. */
enum mr_status mr_worker_step(struct mr_worker *worker, int64_t timeout_ns, struct mr_error *err);
enum mr_status mr_worker_commit(struct mr_worker *worker, struct mr_error *err);
/* until_end: every partition is at its end, with this worker or another one of its crew. */
bool mr_worker_done(const struct mr_worker *worker);
/* The last rows as options ask (previews, closed), and the last commit. In a run to the end that
 * commit may fail and be done again, as any other: then the worker is not done any more. */
enum mr_status mr_worker_finish(struct mr_worker *worker, struct mr_error *err);
void mr_worker_destroy(struct mr_worker *worker); /* commits nothing; accepts NULL  */
/* Visits the tasks that run, by partition: committed or not, as they stand. */
void mr_worker_visit(const struct mr_worker *worker,
                     void (*visit)(void *arg, const struct mr_partition *source,
                                   const struct mr_counters *counters),
                     void *arg);

/* ---- Before a job runs ------------------------------------------------------------------------
 */
enum mr_finding { MR_FINDING_OK, MR_FINDING_WARNING, MR_FINDING_FAULT };
/* Whether the job could run on this log; changes nothing. Tells each finding in a sentence;
 * MR_REJECT: one was a fault. */
enum mr_status
mr_run_inspect(const struct mr_plan *plan, struct mr_log *log,
               void (*tell)(void *arg, enum mr_finding finding, const char *sentence), void *arg);

/* ---- Whole jobs ------------------------------------------------------------------------------ */
struct mr_run_options {
    uint32_t workers;
    bool until_end, close;
    bool reset;              /* forget the job's state and positions first                */
    const char *instance;    /* of this process, where several run the job; NULL: the only one */
    const atomic_bool *stop; /* set by a signal or a deadline: commit, then return MR_OK  */
};
/* Forgets what the job knows: state and positions of its stages. Its output topics stay. */
enum mr_status mr_run_reset(const struct mr_plan *plan, struct mr_log *log, struct mr_error *err);
/* Runs a job until it is done or told to stop; prints the accounting on standard error. Thread:
 * any; several jobs run in as many threads. */
enum mr_status mr_run(const struct mr_plan *plan, struct mr_log *log,
                      const struct mr_run_options *options, struct mr_error *err);

#endif
