/* A memory log that a test makes behave like a broker: events of a group, commits that fail,
 * markers behind the last record, a changelog that comes slowly or with old records. One at a
 * time. */
#ifndef TESTS_LIB_SCRIPT_LOG_H
#define TESTS_LIB_SCRIPT_LOG_H

#include "engine/log/log.h"

#define MR_SCRIPT_PARTITIONS 4

struct mr_script {
    struct mr_event event; /* the next poll tells it, once; MR_EVENT_NONE: the log's own */
    bool silent;           /* polls tell nothing                                         */
    bool gone[MR_SCRIPT_PARTITIONS];    /* nothing is told of these                           */
    bool slow[MR_SCRIPT_PARTITIONS];    /* reading these changelogs gives nothing, for now    */
    int64_t markers;                    /* so many places behind the last record of the input */
    bool anew;                          /* ENDs say that the broker was away              */
    enum mr_commit outcome;             /* of commits of a job                                */
    const struct mr_message *changelog; /* what readers of a changelog give, if not NULL      */
    size_t changelog_count;
    /* what was seen */
    int64_t timeout_ns; /* of the last poll           */
    size_t commits;     /* of a job, that were tried  */
    size_t positions;   /* of the last of them        */
    char instance[32];
};
extern struct mr_script mr_script;

/* From now on this log, which is a memory log, does as mr_script says: zeroed first. */
void mr_script_log(struct mr_log *log);

#endif
