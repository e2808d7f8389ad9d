/* What the back ends of the log share: the rules of topics, and whose turn it is. */
#ifndef ENGINE_LOG_BACK_END_H
#define ENGINE_LOG_BACK_END_H

#include "engine/log/log.h"

#define MR_BATCH_RECORDS    4096
#define MR_RECORD_KEY_MAX   UINT16_MAX
#define MR_RECORD_BYTES_MAX ((size_t)1 << 30) /* value and headers */
#define MR_BATCH_BYTES      (1 << 20)         /* a batch ends with the record that reaches this */

/* ---- The rules of topics (topic.c); each answers MR_REJECT with a sentence ------------------- */
/* 1 to 249 letters, digits, '.', '_', '-': so it can be a folder. */
enum mr_status mr_name_check(const char *name, struct mr_error *err);
/* Name, partition count, and that a changelog has an owner. */
enum mr_status mr_topic_check(const struct mr_topic *topic, struct mr_error *err);
/* Whether `topic`, which exists, is what `wanted` asks for: partitions, kind and job. */
enum mr_status mr_topic_compare(const struct mr_topic *topic, const struct mr_topic *wanted,
                                struct mr_error *err);
/* Whether a session of `job` ("": a producer) may append `record` to `topic`. */
enum mr_status mr_topic_admits(const struct mr_topic *topic, const char *job,
                               const struct mr_append *record, struct mr_error *err);
/* Whether records can be read from `offset` where [first, end) is there. */
enum mr_status mr_topic_reaches(const struct mr_partition *source, int64_t offset, int64_t first,
                                int64_t end, struct mr_error *err);
/* Whether that partition is one that mr_log_trim is for. */
enum mr_status mr_topic_may_trim(const struct mr_topic *topic, uint32_t partition,
                                 struct mr_error *err);
enum mr_status mr_topic_missing(const struct mr_log *log, const char *topic, struct mr_error *err);
enum mr_status mr_topic_has(const struct mr_topic *topic, uint32_t partition, struct mr_error *err);
void mr_topic_sort(struct mr_topic *topics, size_t count);
struct mr_partition mr_partition_at(const char *topic, uint32_t partition);

/* ---- Turns (ring.c) ------------------------------------------------------------------------- */
enum mr_seat_state { MR_SEAT_NEW, MR_SEAT_ASSIGNED, MR_SEAT_STARTED, MR_SEAT_GONE };

struct mr_seat {
    uint32_t partition;
    enum mr_seat_state state;
};

struct mr_ring {
    struct mr_seat *seats; /* set at init: the partitions of this worker, or that may be */
    size_t count;
    size_t started; /* seats that take turns                               */
    size_t turn;    /* the seat to look at next                            */
    size_t quiet;   /* turns in a row that found a partition at its end    */
};

/* Partition p belongs to worker p % workers. */
void mr_ring_init(struct mr_ring *ring, uint32_t partitions, uint32_t worker, uint32_t workers);
void mr_ring_finish(struct mr_ring *ring);
/* Every partition is to be assigned anew. */
void mr_ring_reassign(struct mr_ring *ring);
/* The next seat to be told of, now assigned; NULL: all have been. */
struct mr_seat *mr_ring_assign(struct mr_ring *ring);
/* The seat of a partition that is ours; NULL: it is not. */
struct mr_seat *mr_ring_find(const struct mr_ring *ring, uint32_t partition);
/* Whether every position is of a partition that has been told to this worker, or will be. Says
 * which one is not. */
bool mr_ring_has(const struct mr_ring *ring, const char *input, const struct mr_position *positions,
                 size_t count, struct mr_error *err);
/* The partition is another worker's; MR_SEAT_NEW again: it has come back. */
void mr_ring_drop(struct mr_ring *ring, struct mr_seat *seat);
/* From now on the seat takes turns. */
void mr_ring_start(struct mr_ring *ring, struct mr_seat *seat);
/* The next started seat; there must be one. */
struct mr_seat *mr_ring_next(struct mr_ring *ring);
/* Every started partition was at its end in the last round: time to wait. */
bool mr_ring_is_quiet(const struct mr_ring *ring);

#endif
