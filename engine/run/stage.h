/* Private to the room: what the first stage of a job sends and the second one gets.
 *
 *   delta.c   deltas and markers as bytes
 *   ship.c    upstream: deltas and markers go out, in the transaction of a commit
 *   merge.c   downstream: they come in; the watermark is what all partitions upstream allow
 *   trim.c    what was merged and committed goes
 *
 * A delta is what one partition of the input has added to one cell since its last commit; a marker
 * says how far that partition is. */
#ifndef ENGINE_RUN_STAGE_H
#define ENGINE_RUN_STAGE_H

#include "engine/run/task.h"

struct mr_delta {
    uint32_t upstream; /* the partition of the input                            */
    uint64_t layout;   /* of the cell: the downstream plan's                    */
    struct mr_span span;
    uint64_t samples;
    struct mr_slice group;  /* <= MR_KEY_MAX                                    */
    struct mr_slice packed; /* as mr_store_merge takes it                       */
};

struct mr_marker {
    uint32_t upstream;
    int64_t watermark_ns; /* T; MR_NEVER: unset                                            */
    bool idle;            /* at its end, and silent for lateness.idle                      */
    int64_t seen_ns;      /* wall time at which it was last seen at its end, when idle      */
    int64_t sent_ns;      /* wall time                                                     */
};

/* delta.c */
enum mr_stage_record { MR_STAGE_DELTA, MR_STAGE_MARKER, MR_STAGE_DAMAGED };
void mr_delta_write(const struct mr_delta *delta, struct mr_buffer *out);    /* appends */
void mr_marker_write(const struct mr_marker *marker, struct mr_buffer *out); /* appends */
/* Says which of the two the bytes are, and fills that one; what it points to lies in the bytes. */
enum mr_stage_record mr_stage_read(struct mr_slice bytes, struct mr_delta *delta,
                                   struct mr_marker *marker);

/* How long an idle marker is believed after the partition was seen at its end: `idle`, and at least
 * two commits, or it would not live until the next one. */
int64_t mr_lease_ns(const struct mr_plan *plan);

/* ship.c */
struct mr_ship;
struct mr_ship *mr_ship_create(void);
void mr_ship_destroy(struct mr_ship *ship); /* accepts NULL */
/* Whether a marker is to be sent although no record came: the task is to commit. */
bool mr_ship_due(const struct mr_task *task);
enum mr_status mr_ship_deltas(struct mr_task *task, struct mr_error *err);
enum mr_status mr_ship_markers(struct mr_task *task, struct mr_error *err);

/* merge.c */
struct mr_merge;
struct mr_merge *mr_merge_create(uint32_t partitions);
void mr_merge_destroy(struct mr_merge *merge); /* accepts NULL */
enum mr_status mr_merge_step(struct mr_task *task, const struct mr_batch *batch,
                             struct mr_error *err);

/* trim.c, of a worker; the tasks by partition. */
struct mr_trimmer { /* zeroed at first */
    uint32_t turn;
    bool refused, told;
};
/* After a commit. */
void mr_trim_some(struct mr_trimmer *trimmer, struct mr_log *log, struct mr_task *const *tasks,
                  uint32_t partitions);
/* After the last commit of a run to the end; `alone`: no other worker can be reading. */
void mr_trim_last(struct mr_trimmer *trimmer, struct mr_log *log, struct mr_task *const *tasks,
                  uint32_t partitions, bool alone);
/* For a reset: empties it, if it is there. */
enum mr_status mr_trim_topic(struct mr_log *log, const char *topic, struct mr_error *err);

#endif
