/* How a command reaches its log, and how it ends. Private to the room.
 *
 *   connect.c     URL, the job's properties and those of --kafka FILE -> an open log
 *   properties.c  that file
 *   identity.c    who this process is among those of its job: run --dir
 *   stop.c        signals and deadlines */
#ifndef ENGINE_CLI_CONNECT_H
#define ENGINE_CLI_CONNECT_H

#include "engine/cli/cli.h"
#include "engine/job/job.h"
#include "engine/log/log.h"

/* ---- connect.c ------------------------------------------------------------------------------ */
struct mr_connect {
    const char *url;
    const struct mr_plan *plan; /* its properties come first; NULL: none             */
    const char *file;           /* of --kafka, "": none                              */
    bool make;                  /* a directory that is not there is created          */
    const char *late;           /* told when a cluster holds up the end of the process */
    int64_t patience_ns;        /* a cluster is given up after so long; 0: never     */
};

/* Opens a log. Else an exit code and the sentence to print. A wait for a broker ends with
 * mr_catch_signals()'s flag, and once that is set, the process with mr_stop's deadline. */
int mr_connect(const struct mr_connect *how, struct mr_log **log, struct mr_error *err);

/* Whether the log is a cluster, whose clients, waits and shared work need more than a directory. */
bool mr_is_cluster(const char *url);

#define MR_KAFKA_FLAG(type)                                                                        \
    {                                                                                              \
        "kafka", MR_OPTION_TEXT, NULL, "",                                                         \
            "A file of properties of the Kafka client, name=value a line", offsetof(type, kafka),  \
            0, 0                                                                                   \
    }

/* ---- properties.c --------------------------------------------------------------------------- */
struct mr_properties {
    struct mr_property *items;
    size_t count;
    struct mr_arena *memory;
};
/* Adds those of a file. MR_REJECT: FILE:LINE and a sentence, which never shows a value. */
enum mr_status mr_properties_read(struct mr_properties *properties, const char *path,
                                  struct mr_error *err);
void mr_properties_finish(struct mr_properties *properties);

/* ---- identity.c ----------------------------------------------------------------------------- */
struct mr_identity {
    char name[17]; /* "5f0c...": the same after a restart */
    int lock;
};
/* Reads or makes the identity in `directory`, which is made too, and keeps it locked. */
enum mr_status mr_identity_open(const char *directory, struct mr_identity *identity,
                                struct mr_error *err);
void mr_identity_close(struct mr_identity *identity);

/* ---- stop.c --------------------------------------------------------------------------------- */
/* As the first signal does: sets the flag. */
void mr_stop(void);
/* The same after a while. */
void mr_stop_after(int64_t ns);
/* From now on stopping may take MR_STOP_LIMIT; then the process ends with this sentence and exit
 * code 1, whatever its threads are waiting for. */
void mr_stop_limit(const char *sentence);
#define MR_STOP_LIMIT (45 * INT64_C(100000000)) /* ns */

#endif
