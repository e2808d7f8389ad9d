/* edge: where records come from. Lines of text, and simulated instruments.
 *
 * Everything is written through one writer (writer.h) that commits every 1 MiB or 200 ms. */
#ifndef ENGINE_EDGE_H
#define ENGINE_EDGE_H

#include "engine/log/log.h"
#include <stdatomic.h>

struct mr_target {
    const char *topic;       /* made when it is not there                                      */
    uint32_t partitions;     /* 0: as the topic has them, or 1. Another count is refused       */
    int64_t retention_ns;    /* of a topic that is made now; -1: kept for good                 */
    bool progress;           /* tell on standard error how far it is, four times a second      */
    const atomic_bool *stop; /* set from elsewhere: commit and return MR_OK                    */
};

/* Filled in whatever the outcome. */
struct mr_written {
    uint64_t records;    /* that were committed                                  */
    uint64_t refused;    /* lines without a usable key, each told in a warning   */
    uint64_t blank;      /* lines left out                                       */
    uint64_t told;       /* entries of simulation.metadata                       */
    uint32_t partitions; /* of the topic                                         */
};

struct mr_lines {
    const char *key;          /* the field that becomes the record's key; NULL: no key */
    const char *const *files; /* "-": standard input                                   */
    size_t file_count;        /* 0: standard input                                     */
};

/* One record a line, in the order of the files. A line whose key cannot be read is refused, the
 * rest goes on. MR_FAIL: a file or the log; what was committed stays. */
enum mr_status mr_produce_lines(struct mr_log *log, const struct mr_target *target,
                                const struct mr_lines *lines, struct mr_written *written,
                                struct mr_error *err);

struct mr_simulation {
    uint32_t devices, first_device; /* js220-05 is number 5                                  */
    double rate_hz;
    int64_t span_ns;  /* of event time                                         */
    int64_t start_ns; /* MR_NEVER: ends at now; with real_time, begins at now  */
    bool real_time;   /* a frame is written when its last sample is due        */
    uint64_t seed;
    const char *metadata; /* a topic that tells which algorithm each device runs; NULL: none */
};

/* Waveform frames of simulated Joulescopes (simulate.c says which). */
enum mr_status mr_simulate(struct mr_log *log, const struct mr_target *target,
                           const struct mr_simulation *simulation, struct mr_written *written,
                           struct mr_error *err);

#endif
