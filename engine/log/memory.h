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
/* At most so many records in a batch; 0: as many as the log likes. */
void mr_memory_log_limit(struct mr_log *log, size_t records);
/* The next poll of the session that has started `partition` looks at this partition. */
void mr_memory_log_next(struct mr_log *log, uint32_t partition);

#endif
