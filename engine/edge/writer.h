/* The one way of the edge into a topic: append, now and then commit. */
#ifndef ENGINE_EDGE_WRITER_H
#define ENGINE_EDGE_WRITER_H

#include "engine/edge/edge.h"

#define MR_WRITER_INTERVAL (MR_SECOND / 5)

struct mr_writer {
    struct mr_log *log;
    const struct mr_target *target;
    struct mr_written *written;
    struct mr_session *session;
    uint32_t partitions;
    uint64_t keyless;     /* counter of the round robin                */
    uint64_t pending;     /* records since the last commit             */
    int64_t committed_ns; /* steady time of the last commit            */
    int64_t told_ns;      /* steady time of the last line of progress  */
};

enum mr_status mr_writer_open(struct mr_writer *writer, struct mr_log *log,
                              const struct mr_target *target, struct mr_written *written,
                              struct mr_error *err);
/* Appends a record with the time of now to the partition of its key; commits when it is time.
 * MR_REJECT: this record cannot be written, others can. */
enum mr_status mr_writer_append(struct mr_writer *writer, struct mr_slice key,
                                struct mr_slice value, struct mr_error *err);
/* Whether something waits for a commit that is due before `steady_ns`. */
bool mr_writer_due(const struct mr_writer *writer, int64_t steady_ns);
enum mr_status mr_writer_commit(struct mr_writer *writer, struct mr_error *err);
/* Gives up what was not committed; accepts one that was not opened (zeroed). */
void mr_writer_close(struct mr_writer *writer);

#endif
