/* Inside the embedded log: what its files share. local.c draws the whole. */
#ifndef ENGINE_LOG_LOCAL_H
#define ENGINE_LOG_LOCAL_H

#include "engine/log/back_end.h"

#include <lmdb.h>
#include <pthread.h>

struct mr_local_log {
    struct mr_log base;
    char *root; /* absolute: the registry of environments goes by paths */
};

/* ---- Folders and small files (local_disk.c) ------------------------------------------------- */
char *mr_path(const char *format, ...) __attribute__((format(printf, 1, 2))); /* caller frees */
bool mr_path_exists(const char *path);
/* Makes what is there durable: a new name in a folder is safe only after its folder is synced. */
int mr_folder_sync(const char *path);
int mr_folder_make(const char *path); /* 0 also when it is there; else errno */
/* Writes a whole file under a new name, then renames it into place. 0 or errno. */
int mr_file_replace(const char *path, struct mr_slice content);
/* The whole file, at most 4,095 bytes, zero-ended; -1: errno says why. */
long mr_file_read(const char *path, char text[4096]);
void mr_folder_remove(const char *path); /* with all that is in it */
/* Held while files come and go in a folder: exclusive to add or remove, shared to open one. The
 * descriptor to close; -1: errno says why. */
int mr_folder_lock(const char *path, bool exclusive);

/* ---- LMDB environments (local_env.c) -------------------------------------------------------- */
#define MR_RECORDS_MAP ((size_t)16 << 30) /* of an input topic's file: its bound is far below  */
#define MR_JOB_MAP     ((size_t)64 << 30) /* of a job                                          */
#define MR_TABLES_MAX  16384              /* of a job: topics x partitions                     */

struct mr_env { /* one per file and process, counted */
    MDB_env *mdb;
    char *path;
    pid_t pid; /* a child that forked must not use its parent's */
    unsigned references;
    pthread_mutex_t lock; /* held while a table is opened */
    struct mr_env *next;
};

/* Opens a file that is there. */
enum mr_status mr_env_open(const char *path, size_t map, struct mr_env **env, struct mr_error *err);
void mr_env_close(struct mr_env *env); /* accepts NULL */
/* The bare environment, unregistered: for a child that checks, and for making a file. */
int mr_env_open_bare(const char *path, size_t map, MDB_env **mdb);
/* Makes the file unless it is there: complete, or not at all. `positions`: a job's. The folder is
 * locked by the caller. 0, errno or an MDB_ code. */
int mr_env_make(const char *folder, const char *path, size_t map, bool positions);
/* The handle of a named table. 0, MDB_NOTFOUND, ... The caller's thread has no write open. */
int mr_env_table(struct mr_env *env, const char *name, unsigned flags, MDB_dbi *table);
/* A sentence for an errno or an MDB_ code; returns `status`. */
enum mr_status mr_env_error(struct mr_error *err, enum mr_status status, const char *path,
                            int code);

/* ---- Records as bytes (local_record.c) ------------------------------------------------------ */
#define MR_HASH_BYTES 16
/* The checksum begins with the place, so that a record of another partition never passes. */
uint32_t mr_record_seed(const char *topic, uint32_t partition);
/* Appends the stored form to `out`, all but append time and checksum. */
void mr_record_encode(const struct mr_append *record, uint32_t seed, struct mr_buffer *out);
/* Completes it: `key` is the 8 or 16 bytes under which it is stored. */
void mr_record_seal(char *bytes, int64_t append_ns, const void *key, size_t key_size);
/* False: these are not the bytes that were stored. The message borrows from them; its headers are
 * taken from the arena. The offset is the caller's to set. */
bool mr_record_decode(const MDB_val *key, const MDB_val *bytes, uint32_t seed,
                      struct mr_arena *arena, struct mr_message *message);

/* ---- The catalog (local_catalog.c) ---------------------------------------------------------- */
enum mr_status mr_catalog_describe(struct mr_log *log, const char *name, struct mr_topic *out,
                                   struct mr_error *err);
enum mr_status mr_catalog_create(struct mr_log *log, const struct mr_topic *topic,
                                 struct mr_error *err);
enum mr_status mr_catalog_list(struct mr_log *log, struct mr_topic **topics, size_t *count,
                               struct mr_error *err);

/* ---- Files of an input topic (local_topic.c) ------------------------------------------------ */
char *mr_records_folder(const struct mr_local_log *log, const char *topic, uint32_t partition);
char *mr_records_path(const char *folder, int64_t first);
/* First offsets of the files, ascending; the caller frees. */
enum mr_status mr_records_list(const char *folder, int64_t **firsts, size_t *count,
                               struct mr_error *err);
/* The file that begins at `first`; MR_OK and NULL when it is (no longer) there. */
enum mr_status mr_records_open(const char *folder, int64_t first, struct mr_env **env,
                               struct mr_error *err);

/* Where a session's records go. */
struct mr_target {
    const struct mr_topic *topic;
    uint32_t partition, seed;
    struct mr_buffer pending; /* entries, see local_session.c */
    size_t count;
    /* a job's topic */
    MDB_dbi table;
    /* an input topic */
    char *folder;
    struct mr_env *env; /* the newest file; NULL: not opened yet */
    int64_t first;      /* its first offset                      */
    int64_t retain_at;  /* when to look for old files again      */
};

struct mr_entry {    /* what `pending` holds, one after another, each padded to 8 bytes */
    uint64_t length; /* of the record's bytes, which follow */
    uint8_t hash[MR_HASH_BYTES]; /* of the key, for a changelog */
};
static inline char *mr_entry_bytes(struct mr_entry *entry) {
    return (char *)(entry + 1);
}
static inline struct mr_entry *mr_entry_next(struct mr_entry *entry) {
    return (struct mr_entry *)(mr_entry_bytes(entry) + (entry->length + 7) / 8 * 8);
}

/* Appends and syncs what is pending. 0, or a code with a sentence; then nothing was appended (but
 * see mr_commit_outcome). */
int mr_records_append(struct mr_target *target, int64_t now_ns, struct mr_error *err);
/* Puts the pending records into a table from offset `end` on. 0 or an MDB_ code. */
int mr_entries_put(MDB_txn *txn, struct mr_target *target, MDB_dbi table, int64_t end,
                   int64_t now_ns);
/* Unlinks files whose records may all go; never the newest. */
void mr_records_retain(struct mr_target *target, int64_t now_ns);

/* ---- A job's environment (local_job.c) ------------------------------------------------------ */
char *mr_job_path(const struct mr_local_log *log, const char *job, const char *name);
enum mr_status mr_job_open(const struct mr_local_log *log, const char *job, struct mr_env **env,
                           struct mr_error *err);
/* Makes the job's environment, and in it the tables of the topic. */
enum mr_status mr_job_make(const struct mr_local_log *log, const char *job,
                           const struct mr_topic *topic, struct mr_error *err);
char *mr_table_name(const char *topic, uint32_t partition);
enum mr_status mr_job_table(struct mr_env *env, const struct mr_topic *topic, uint32_t partition,
                            MDB_dbi *table, struct mr_error *err);
/* A committed position; offset -1: none. The note is appended to `note`. */
enum mr_status mr_job_position(struct mr_env *env, const struct mr_partition *source,
                               int64_t *offset, struct mr_buffer *note, struct mr_error *err);
/* One transaction. 0, or a code with a sentence. */
struct mr_job_commit {
    struct mr_env *env;
    MDB_dbi table; /* of positions */
    struct mr_target **targets;
    size_t target_count;
    const struct mr_position *positions;
    size_t position_count;
    int64_t now_ns;
};
int mr_job_apply(const struct mr_job_commit *commit, struct mr_error *err);
enum mr_status mr_job_reset(struct mr_log *log, const char *job, const char *changelog,
                            struct mr_error *err);

/* ---- Trimming a job's topic (local_trim.c) -------------------------------------------------- */
enum mr_status mr_local_trim(struct mr_log *log, const struct mr_partition *source, int64_t before,
                             struct mr_error *err);
/* The first entry of such a table may be no record: what is left of the last one. */
bool mr_record_is_hole(const MDB_val *key, const MDB_val *value, uint32_t seed);

/* Held while a job runs: one process, one session per worker (local_lock.c). MR_REJECT and the
 * process that has it. */
struct mr_job_lock;
enum mr_status mr_job_lock_take(const struct mr_local_log *log, const char *job, uint32_t worker,
                                uint32_t workers, struct mr_job_lock **lock, struct mr_error *err);
void mr_job_lock_drop(struct mr_job_lock *lock, uint32_t worker); /* accepts NULL */

/* ---- Reading one partition (local_read.c) --------------------------------------------------- */
struct mr_batch_space { /* one per session or reader */
    struct mr_message *messages;
    struct mr_arena *arena;
};
void mr_batch_space_init(struct mr_batch_space *space);
void mr_batch_space_finish(struct mr_batch_space *space);

struct mr_cursor;
enum mr_status mr_cursor_open(struct mr_local_log *log, const struct mr_partition *source,
                              struct mr_cursor **cursor, struct mr_error *err);
void mr_cursor_close(struct mr_cursor *cursor); /* accepts NULL */
enum mr_status mr_cursor_bounds(struct mr_cursor *cursor, int64_t *first, int64_t *end,
                                struct mr_error *err);
/* -1: at the first. MR_REJECT outside the bounds. */
enum mr_status mr_cursor_seek(struct mr_cursor *cursor, int64_t offset, struct mr_error *err);
/* The next records, or none. They are borrowed until mr_cursor_rest. */
enum mr_status mr_cursor_read(struct mr_cursor *cursor, struct mr_batch_space *space,
                              struct mr_batch *batch, struct mr_error *err);
void mr_cursor_rest(struct mr_cursor *cursor);
int64_t mr_cursor_next(const struct mr_cursor *cursor);
/* Cheap: whether something came after the end that mr_cursor_read saw. */
bool mr_cursor_has_new(struct mr_cursor *cursor);

enum mr_status mr_local_bounds(struct mr_log *log, const struct mr_partition *source,
                               int64_t *first, int64_t *end, struct mr_error *err);
enum mr_status mr_local_reader_open(struct mr_log *log, const struct mr_partition *source,
                                    int64_t from, struct mr_reader **reader, struct mr_error *err);
enum mr_status mr_local_read(struct mr_reader *reader, int64_t timeout_ns, struct mr_batch *batch,
                             struct mr_error *err);
void mr_local_reader_close(struct mr_reader *reader);

/* ---- Sessions and checks (local_session.c, local_check.c), for the descriptor ---------------- */
enum mr_status mr_local_session_open(struct mr_log *log, const struct mr_session_options *options,
                                     struct mr_session **session, struct mr_error *err);
enum mr_status mr_local_session_poll(struct mr_session *session, int64_t timeout_ns,
                                     struct mr_event *event, struct mr_error *err);
enum mr_status mr_local_session_start(struct mr_session *session, const struct mr_partition *source,
                                      int64_t offset, struct mr_error *err);
enum mr_status mr_local_session_append(struct mr_session *session, const struct mr_append *record,
                                       struct mr_error *err);
enum mr_commit mr_local_session_commit(struct mr_session *session,
                                       const struct mr_position *positions, size_t count,
                                       struct mr_error *err);
void mr_local_session_abort(struct mr_session *session);
void mr_local_session_close(struct mr_session *session);
enum mr_status mr_local_check(struct mr_log *log, const char *topic, struct mr_check_report *report,
                              struct mr_error *err);

#endif
