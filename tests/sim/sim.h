/* The simulation: the real engine on the memory log, with a clock, a schedule and faults that are
 * all drawn from one number, the seed. The same seed is the same run, bit for bit.
 *
 *   seed -> draw.c       a job, and records whose meaning is known without reading them
 *        -> schedule.c   produce, step, wait, crash, fail, restart, in any order
 *        -> oracle.c     what must come out, from the input topic and the rules alone
 *        -> check.c      what did come out: rows, dead letters, counters
 *        -> cells.c      the cells in memory against the cells in the changelog */
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

enum sim_format { SIM_EVENTS, SIM_ARRAYS, SIM_FRAMES };

/* Settings that a restart may change; what comes after `from` is judged by them. */
struct sim_epoch {
    int64_t grace_ns, retain_ns, idle_ns, commit_ns, preview_ns;
    bool close; /* it ends with --close */
    int64_t from[SIM_PARTITIONS];
    struct mr_plan *plan;
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
    int64_t period_ns; /* between samples; 0: events                 */
    enum mr_late_policy late;
    struct sim_epoch epochs[SIM_EPOCHS];
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

/* The workers of the job, as one process. */
struct sim_fleet {
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

struct sim {
    uint64_t seed;
    bool verbose;
    struct sim_random random;
    struct sim_random broker; /* what the log does as a broker would  */
    bool moves;               /* partitions go from worker to worker  */
    struct sim_job job;
    struct mr_clock clock;
    struct mr_log *log;

    struct sim_message *messages;
    size_t message_count;
    int64_t sequences[16]; /* by device and stream */

    struct mr_session *producer;
    size_t unacked[SIM_MESSAGES]; /* appended, not known to be durable */
    size_t unacked_count;

    size_t epoch;
    struct sim_fleet fleet;
    int faults_left;
    bool fault_armed; /* the next commit of a worker fails */
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

/* schedule.c: plays the whole life of the job; the last workers are left for their counters. */
void sim_play(struct sim *sim);
/* Whether this says that a commit was fenced, as that of a zombie must be. */
bool sim_is_fenced(const struct sim *sim, const char *text);
/* Destroys a worker, whatever it has not committed, and makes another in its place. */
void sim_worker_replace(struct sim *sim, uint32_t number);

/* oracle.c */
struct sim_row { /* the last closed row of a (group, window), without its rev */
    char *head;  /* up to the window's end: what names it                      */
    char *tail;  /* the statistics                                             */
    char *key;
    int64_t start_ns;
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
/* statistics.c: samples of one row -> its tail. */
struct sim_sample {
    int64_t window_ns;
    int device, other;
    int64_t ns;
    bool has_v, has_w;
    double v, w;
};
char *sim_statistics(const struct sim *sim, const struct sim_sample *samples, size_t count);

/* check.c */
void sim_check(const struct sim *sim);

/* cells.c: commits, then compares the worker's cells with the changelog, and with those of
 * another worker that takes its place. */
void sim_cells_check(struct sim *sim, uint32_t worker);

#endif
