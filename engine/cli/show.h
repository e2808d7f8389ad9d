/* Private to the room: rows of a job's first output topic, as a table for people. */
#ifndef ENGINE_CLI_SHOW_H
#define ENGINE_CLI_SHOW_H

#include "engine/job/job.h"
#include "engine/log/log.h"

struct mr_show;

/* From the topic's end on: what the run commits from now. Prints nothing yet. */
enum mr_status mr_show_open(const struct mr_plan *plan, struct mr_log *log, struct mr_show **show,
                            struct mr_error *err);
/* Prints the rows that were committed since the last call; waits so long for those on their way. */
enum mr_status mr_show_rows(struct mr_show *show, int64_t patience_ns, struct mr_error *err);
void mr_show_close(struct mr_show *show); /* accepts NULL */

#endif
