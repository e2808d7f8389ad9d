/* What a test or a simulator may ask of a memory log beyond log.h. Every call takes a log that
 * mr_log_open("memory:...") gave. */
#ifndef ENGINE_LOG_MEMORY_H
#define ENGINE_LOG_MEMORY_H

#include "engine/log/log.h"

enum mr_memory_fault {
    MR_MEMORY_ABORTED,      /* nothing is applied; MR_ABORTED                        */
    MR_MEMORY_UNKNOWN_LOST, /* nothing is applied; MR_UNKNOWN                        */
    MR_MEMORY_UNKNOWN_KEPT, /* everything is applied; MR_UNKNOWN                     */
};

/* The next commit of a session that has a job ends like this. */
void mr_memory_log_fail_commit(struct mr_log *log, enum mr_memory_fault fault);
/* The machine loses power: what no commit made durable is gone (producers' appends too), every
 * open session is dead (poll, start and append fail, commit says MR_FENCED) and only waits to be
 * closed. New sessions may be opened at once. */
void mr_memory_log_crash(struct mr_log *log);
/* From now on a commit takes one more offset of every partition that it wrote to, as a broker's
 * markers do; one that is aborted takes those of its records too. */
void mr_memory_log_gaps(struct mr_log *log);
/* From now on a changelog keeps what its keys had before, and tombstones; its readers get them. */
void mr_memory_log_versions(struct mr_log *log);
/* Gives a partition of the job's input to another of its workers. polls < 0: the owner is told
 * REVOKED, may commit, and hands it over when it polls again. Else the other has it at once, and
 * the owner goes on with it for so many polls before it is told LOST: a zombie. */
void mr_memory_log_move(struct mr_log *log, const char *job, uint32_t partition, uint32_t to,
                        int polls);
/* The worker that has it now. */
uint32_t mr_memory_log_owner(struct mr_log *log, const char *job, uint32_t partition);
/* The records before an offset go, as retention and compaction have them go in anybody's topic. */
void mr_memory_log_lose(struct mr_log *log, const struct mr_partition *source, int64_t before);
/* At most so many records in a batch; 0: as many as the log likes. */
void mr_memory_log_limit(struct mr_log *log, size_t records);
/* The next poll of the session that has started `partition` looks at this partition. */
void mr_memory_log_next(struct mr_log *log, uint32_t partition);

#endif
