/* The simulation: the real engine on the memory log, with a clock, a schedule and faults that are
 * all drawn from one number, the seed. The same seed is the same run, bit for bit.
 *
 *   seed -> draw.c       a job, and records whose meaning is known without reading them
 *           tables.c     tables that it joins, and their entries
 *        -> schedule.c   produce, step, wait, crash, fail, restart, in any order
 *           producer.c   who sends what was drawn
 *           fleet.c      the workers of one stage, and what may happen to them
 *        -> oracle.c     what must come out, from the input topic and the rules alone
 *           rows.c       ... as rows
 *        -> check.c      what did come out: rows, dead letters, counters
 *           shadow.c     what went from the first stage to the second, and what it meant there
 *           cells.c      the cells in memory against the cells in the changelog */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "engine/log/memory.h"
#include "engine/run/task.h"

/* ---- Random numbers: splitmix64 -------------------------------------------------------------- */
struct sim_random {
    uint64_t state;
};
uint64_t sim_next(struct sim_random *random);
/* 0 <= x < n */
int64_t sim_below(struct sim_random *random, int64_t n);
bool sim_chance(struct sim_random *random, int percent);
int64_t sim_pick(struct sim_random *random, const int64_t *items, size_t count);
#define SIM_PICK(random, ...)                                                                      \
    sim_pick((random), (const int64_t[]){__VA_ARGS__},                                             \
             sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* ---- A job, drawn ---------------------------------------------------------------------------- */
#define SIM_PARTITIONS 4
#define SIM_EPOCHS     3
#define SIM_SAMPLES    12
#define SIM_ELEMENTS   3
#define SIM_MESSAGES   400
#define SIM_QUANTUM    (MR_SECOND / 4) /* all times are multiples: equal times are common */
#define SIM_TABLES     2
#define SIM_ENTRIES    200 /* of all tables */
#define SIM_STAGES     2

enum sim_format { SIM_EVENTS, SIM_ARRAYS, SIM_FRAMES };

/* Settings that a restart may change; what comes after `from` is judged by them. */
struct sim_epoch {
    int64_t grace_ns, retain_ns, idle_ns, commit_ns, preview_ns;
    bool close; /* it ends with --close                        */
    bool reset; /* it begins with --reset, and reads all again */
    int64_t from[SIM_STAGES][SIM_PARTITIONS];
    struct mr_plan *plan;
    const struct mr_plan *stages[SIM_STAGES]; /* the plan itself, or its two */
};

/* A table that the job joins. Its entries hold a kind (text), a scale and a limit (numbers). */
enum sim_missing { SIM_PASS, SIM_DROP, SIM_DEAD_LETTER };
struct sim_table {
    uint32_t partitions;     /* the job's, or 1                                  */
    bool by_other;           /* its key is the second column; else the device    */
    bool in_ms;              /* valid_from is a number of milliseconds, not text */
    bool kind, scale, limit; /* which fields the job uses: in group_by, let, where */
    int late;                /* percent of the entries that may come late          */
    enum sim_missing missing;
    int64_t history_ns;
};

struct sim_job {
    enum sim_format format;
    bool each;                /* SIM_EVENTS: several elements a message     */
    bool record_key;          /* the device is the record's key only        */
    bool by_device, by_other; /* the columns of group_by             */
    bool where, let, duplicates, few_stats;
    bool ticks; /* silences may be longer than `idle`         */
    uint32_t partitions;
    int devices;
    int64_t window_ns, max_ahead_ns, within_ns;
    int64_t hop_ns;    /* how far apart windows begin; window_ns: end to end */
    int64_t period_ns; /* between samples; 0: events                 */
    enum mr_late_policy late;
    uint32_t stages;
    bool transitions;   /* of the second column, by device; from h0 to h1 always */
    bool back, letters; /* from h1 to h0, too; what is refused goes to the dead letters */
    struct sim_table tables[SIM_TABLES];
    uint32_t table_count;
    struct sim_epoch epochs[SIM_EPOCHS + 1]; /* and a rerun */
    size_t epoch_count;
};

/* ---- Records, and what they mean ------------------------------------------------------------- */
struct sim_record {
    int64_t start_ns;
    uint32_t samples;
    int device;
    int other;        /* the second column; -1: not there */
    int64_t sequence; /* -1: none                         */
    bool has_v, has_w;
    double v[SIM_SAMPLES], w[SIM_SAMPLES]; /* NaN: a gap  */
};

struct sim_message {
    uint32_t partition;
    struct mr_slice key; /* static, or data == NULL              */
    struct mr_buffer value;
    bool tombstone;
    size_t bad; /* elements that no codec may accept    */
    size_t count;
    struct sim_record records[SIM_ELEMENTS];
};

/* An entry of a table, as a producer sends it. */
struct sim_entry {
    uint32_t table, partition;
    struct mr_slice key; /* static, or data == NULL        */
    struct mr_buffer value;
    bool tombstone, bad;
    int64_t valid_ns;
    int kind; /* -1: not there */
    bool has_scale, has_limit;
    double scale, limit;
};
/* An entry as a table's topic has it. The topic may forget it; this is not forgotten. */
struct sim_version {
    int64_t offset, valid_ns;
    uint32_t partition;
    const struct sim_entry *entry;
};
struct sim_versions { /* of one table */
    struct sim_version *items;
    size_t count, capacity;
    int64_t next[SIM_PARTITIONS];  /* offsets                        */
    int64_t since[SIM_PARTITIONS]; /* from here the job has read it, since the last --reset */
};

/* The workers of one stage of the job, as one process. */
struct sim_fleet {
    struct sim *sim;
    uint32_t stage;
    struct mr_worker *workers[3];
    uint32_t count; /* 0: not running */
    bool until_end;
    struct mr_crew crew;
    struct mr_worker_watch watch;
    int fuse; /* commit steps until the process dies; 0: never */
    bool died;
    bool failed;    /* we made a commit fail, and a worker went on                          */
    bool unsettled; /* a partition has moved since everybody was made to hear of it */
    bool zombies;   /* and one without notice                                       */
};

struct sim_shadow; /* shadow.c */

struct sim {
    uint64_t seed;
    bool verbose;
    struct sim_random random;
    struct sim_random broker; /* what the log does as a broker would  */
    struct sim_random more;   /* tables and stages: jobs without them are as they were */
    bool moves;               /* partitions go from worker to worker */
    struct sim_job job;
    struct mr_clock clock;
    struct mr_log *log;

    struct sim_message *messages;
    size_t message_count;
    int64_t sequences[16]; /* by device and stream */
    int64_t newest_ns;     /* of all records sent, but for those far ahead */

    struct sim_entry *entries;
    size_t entry_count;
    struct sim_versions versions[SIM_TABLES];

    struct mr_session *producer;
    size_t unacked[SIM_MESSAGES]; /* appended, not known to be durable; entries: + SIM_MESSAGES */
    size_t unacked_count;

    size_t epoch;
    struct sim_fleet fleets[SIM_STAGES];
    struct sim_fleet *acting; /* whose worker is at work */
    int faults_left;
    bool fault_armed;              /* the next commit of a worker fails */
    int64_t since[SIM_PARTITIONS]; /* where the rows and dead letters of the last rerun begin */
    int64_t letters_since[SIM_PARTITIONS];
    struct sim_shadow *shadow; /* NULL: one stage */
};

/* Ends the process: what went wrong, and how to see it again. */
void sim_fail(const struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
/* With --verbose. */
void sim_tell(const struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define SIM_JOB    "sim"
#define SIM_TOPIC  "input"
#define SIM_OUTPUT "output"

/* draw.c */
void sim_draw_job(struct sim *sim);
/* Adds a message that a producer would send now; returns its number. */
size_t sim_draw_message(struct sim *sim);
/* job.c: the text of a job file and its plan. */
void sim_plan_load(struct sim *sim, struct sim_epoch *epoch);

/* tables.c */
void sim_draw_tables(struct sim *sim);
size_t sim_draw_entry(struct sim *sim);
void sim_put_join(struct mr_buffer *out, const struct sim_job *job);
const char *sim_table_name(uint32_t table); /* in the job file */
void sim_tables_create(struct sim *sim);
/* Keeps what the topics of the tables have by now. */
void sim_tables_read(struct sim *sim);
/* The topics forget what they have, some of them. */
void sim_tables_lose(struct sim *sim);
/* What the table says of a record at that time, all that is known now considered, when R is r_ns;
 * NULL: nothing. */
const struct sim_entry *sim_table_asof(const struct sim *sim, uint32_t table,
                                       const struct sim_record *record, int64_t ns, int64_t r_ns);
size_t sim_bad_entries(const struct sim *sim, uint32_t table); /* that the job has read */
/* Every task has read what the topics have. Asks for quiet polls before. */
void sim_tables_check(struct sim *sim);
/* Of the tasks that own their partitions: entries that came late. */
uint64_t sim_late_entries(const struct sim *sim);

/* producer.c */
void sim_producer_open(struct sim *sim); /* sends again what nobody acknowledged */
size_t sim_produce(struct sim *sim);
void sim_produce_entries(struct sim *sim, int most);
void sim_acknowledge(struct sim *sim);

/* fleet.c */
const struct mr_plan *sim_plan(const struct sim_fleet *fleet);
const char *sim_member(const struct sim_fleet *fleet); /* its name on the log */
void sim_fleet_start(struct sim_fleet *fleet, bool until_end);
void sim_fleet_kill(struct sim_fleet *fleet);
void sim_fleet_step(struct sim_fleet *fleet, uint32_t worker);
void sim_fleet_commit(struct sim_fleet *fleet, uint32_t worker);
void sim_fleet_fuse(struct sim_fleet *fleet);
/* The log is gone: a worker that is still there finds out. */
void sim_fleet_lose(struct sim_fleet *fleet);
void sim_fleet_move(struct sim_fleet *fleet);
/* Until everyone has heard what moved, and runs what it has. */
void sim_fleet_settle(struct sim_fleet *fleet);
/* Reads and commits all that is there, while the clock stands; false: it could not. */
bool sim_fleet_rest(struct sim_fleet *fleet);
bool sim_fleet_done(const struct sim_fleet *fleet);
bool sim_fleet_finish(struct sim_fleet *fleet);
/* Whether this says that a commit was fenced, as that of a zombie must be. */
bool sim_is_fenced(const struct sim *sim, const char *text);
/* Destroys a worker, whatever it has not committed, and makes another in its place. */
void sim_worker_replace(struct sim_fleet *fleet, uint32_t number);
/* The tasks of a fleet that have their partitions. */
struct mr_task *sim_task(const struct mr_counters *counters);
void sim_fleet_visit(const struct sim_fleet *fleet,
                     void (*visit)(void *arg, const struct mr_task *task), void *arg);

/* schedule.c: plays the whole life of the job; the last workers are left for their counters. */
void sim_play(struct sim *sim);

/* oracle.c */
struct sim_sample { /* what decides in which row it is, and what it counts there */
    int64_t window_ns;
    int device, other, kinds[SIM_TABLES];
    int64_t ns;
    bool has_v, has_w, has_scale;
    double v, w, scale;
};
struct sim_samples {
    struct sim_sample *items;
    size_t count, capacity;
};
struct sim_row { /* the last closed row of a (group, window), without its rev */
    char *head;  /* up to the window's end: what names it                      */
    char *tail;  /* the statistics                                             */
    char *key;
    struct mr_buffer group; /* as the engine's cells have it */
    int64_t start_ns;
    size_t samples;
};
struct sim_truth {
    struct sim_row *rows; /* sorted by head */
    size_t row_count;
    struct mr_counters counters[SIM_PARTITIONS];
    int64_t *dead[SIM_PARTITIONS]; /* offsets of the messages in the dead letters */
    size_t dead_count[SIM_PARTITIONS];
};
void sim_truth_find(const struct sim *sim, struct sim_truth *truth);
void sim_truth_finish(struct sim_truth *truth);
/* rows.c: sorts the samples; statistics.c: those of one row -> its tail. */
void sim_rows_make(const struct sim *sim, struct sim_samples *samples, struct sim_truth *truth);
char *sim_statistics(const struct sim *sim, const struct sim_sample *samples, size_t count);

/* shadow.c: of jobs of two stages */
void sim_shadow_read(struct sim *sim);   /* what the first stage has sent by now         */
void sim_shadow_forget(struct sim *sim); /* after --reset                                */
void sim_shadow_destroy(struct sim_shadow *shadow); /* accepts NULL */
/* T of a task of the second stage that has read up to this offset. */
int64_t sim_shadow_watermark(const struct sim *sim, uint32_t partition, int64_t offset);
struct mr_tally sim_shadow_tally(const struct sim *sim, uint32_t partition);
size_t sim_shadow_used(const struct sim *sim, const struct sim_row *row); /* samples */
/* Lets both stages read and commit what there is: then the second is as far as the first. */
void sim_stages_check(struct sim *sim);

/* check.c */
void sim_check(const struct sim *sim);

/* cells.c: commits, then compares the worker's cells with the changelog, and with those of
 * another worker that takes its place. */
void sim_cells_check(struct sim_fleet *fleet, uint32_t worker);

#endif
