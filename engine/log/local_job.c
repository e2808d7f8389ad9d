/* A job's environment: everything that one of its transactions touches is in one LMDB file.
 *
 *     jobs/power-minute/job.mdb     positions                      "readings/0" -> crc, offset,
 * note power-minute/0                 offset -> record power-minute-dead-letters/0    offset ->
 * record power-minute-windows-changelog/0 XXH3-128 of the key -> record lock           see
 * local_lock.c
 *
 * One table per topic and partition, made with the topic, so that appends go to the end of a tree
 * (MDB_APPEND). A changelog's record holds its full key, which is compared whenever its hash is
 * met: two keys with one hash stop the job, they never share a value. Changelog entries are put in
 * the order of their hashes: neighbours share pages. A commit that dirties more than LMDB's 131,072
 * pages spills some of them early (900,000 cells of 600 bytes went through; LMDB 0.9.24 then leaks
 * 1 MiB, ITS#9155).
 *
 * Output ages by deleting from the front: at most twice as many records as were appended, plus a
 * few, per commit, and never the last one, as it knows the next offset. */
#include "engine/log/local.h"

#include <errno.h>
#include <inttypes.h>
#include <millrace/hash.h>
#include <stdlib.h>
#include <unistd.h>

#define POSITION_HEAD 12 /* uint32 crc, int64 offset, then the note */
#define AGE_EXTRA     100

char *mr_job_path(const struct mr_local_log *log, const char *job, const char *name) {
    return mr_path("%s/jobs/%s%s%s", log->root, job, *name ? "/" : "", name);
}

char *mr_table_name(const char *topic, uint32_t partition) {
    return mr_path("%s/%" PRIu32, topic, partition);
}

static unsigned table_flags(enum mr_retention_kind kind) {
    return kind == MR_KEEP_RECORDS ? MDB_INTEGERKEY : 0;
}

/* ---- Making and opening -----------------------------------------------------------------------
 */

/* The folder with the file in it. 0, errno or an MDB_ code. */
static int make_file(const struct mr_local_log *log, const char *folder, const char *path) {
    char *jobs = mr_path("%s/jobs", log->root);
    int lock = -1, code = mr_folder_make(folder);
    if (code == 0) {
        code = mr_folder_sync(jobs);
    }
    if (code == 0) {
        lock = mr_folder_lock(folder, true);
        code = lock < 0 ? errno : mr_env_make(folder, path, MR_JOB_MAP, true);
    }
    if (lock >= 0) {
        close(lock);
    }
    free(jobs);
    return code;
}

enum mr_status mr_job_open(const struct mr_local_log *log, const char *job, struct mr_env **env,
                           struct mr_error *err) {
    char *folder = mr_job_path(log, job, ""), *path = mr_job_path(log, job, "job.mdb");
    int code = mr_path_exists(path) ? 0 : make_file(log, folder, path);
    enum mr_status status = code == 0 ? mr_env_open(path, MR_JOB_MAP, env, err)
                                      : mr_env_error(err, MR_FAIL, path, code);
    free(folder);
    free(path);
    return status;
}

static int make_tables(struct mr_env *env, const struct mr_topic *topic) {
    MDB_txn *txn;
    MDB_dbi table;
    pthread_mutex_lock(&env->lock);
    int code = mdb_txn_begin(env->mdb, NULL, 0, &txn);
    bool begun = code == 0;
    for (uint32_t p = 0; code == 0 && p < topic->partitions; p++) {
        char *name = mr_table_name(topic->name, p);
        code = mdb_dbi_open(txn, name, table_flags(topic->kind) | MDB_CREATE, &table);
        free(name);
    }
    if (begun && code != 0) {
        mdb_txn_abort(txn);
    } else if (begun) {
        code = mdb_txn_commit(txn);
    }
    pthread_mutex_unlock(&env->lock);
    return code;
}

enum mr_status mr_job_make(const struct mr_local_log *log, const char *job,
                           const struct mr_topic *topic, struct mr_error *err) {
    struct mr_env *env;
    enum mr_status status = mr_job_open(log, job, &env, err);
    if (status != MR_OK) {
        return status;
    }
    int code = make_tables(env, topic);
    if (code != 0) {
        status = mr_env_error(err, MR_FAIL, env->path, code);
    }
    mr_env_close(env);
    return status;
}

enum mr_status mr_job_table(struct mr_env *env, const struct mr_topic *topic, uint32_t partition,
                            MDB_dbi *table, struct mr_error *err) {
    char *name = mr_table_name(topic->name, partition);
    int code = mr_env_table(env, name, table_flags(topic->kind), table);
    free(name);
    return code == 0 ? MR_OK : mr_env_error(err, MR_FAIL, env->path, code);
}

/* ---- Positions --------------------------------------------------------------------------------
 */

static uint32_t position_crc(const char *name, const void *from_offset, size_t length) {
    return mr_crc32c(mr_crc32c(0, name, strlen(name)), from_offset, length);
}

static int put_position(MDB_txn *txn, MDB_dbi table, const struct mr_position *position) {
    struct mr_buffer bytes = {0};
    char *name = mr_table_name(position->source.topic, position->source.partition);
    mr_buffer_add(&bytes, &(uint32_t){0}, 4);
    mr_buffer_add(&bytes, &position->offset, 8);
    mr_buffer_add(&bytes, position->note.data, position->note.length);
    uint32_t crc = position_crc(name, bytes.data + 4, bytes.length - 4);
    memcpy(bytes.data, &crc, sizeof crc);
    MDB_val key = {strlen(name), name}, value = {bytes.length, bytes.data};
    int code = mdb_put(txn, table, &key, &value, 0);
    mr_buffer_finish(&bytes);
    free(name);
    return code;
}

static int get_position(MDB_txn *txn, MDB_dbi table, char *name, int64_t *offset,
                        struct mr_buffer *note) {
    MDB_val key = {strlen(name), name}, value;
    uint32_t crc;
    int code = mdb_get(txn, table, &key, &value);
    if (code != 0 || value.mv_size < POSITION_HEAD) {
        return code != 0 ? code : MDB_CORRUPTED;
    }
    const char *bytes = value.mv_data;
    memcpy(&crc, bytes, sizeof crc);
    if (position_crc(name, bytes + 4, value.mv_size - 4) != crc) {
        return MDB_CORRUPTED;
    }
    memcpy(offset, bytes + 4, sizeof *offset);
    mr_buffer_add(note, bytes + POSITION_HEAD, value.mv_size - POSITION_HEAD);
    return 0;
}

enum mr_status mr_job_position(struct mr_env *env, const struct mr_partition *source,
                               int64_t *offset, struct mr_buffer *note, struct mr_error *err) {
    MDB_dbi table;
    MDB_txn *txn;
    int code = mr_env_table(env, "positions", 0, &table);
    if (code == 0) {
        code = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn);
    }
    if (code != 0) {
        return mr_env_error(err, MR_FAIL, env->path, code);
    }
    char *name = mr_table_name(source->topic, source->partition);
    *offset = -1;
    code = get_position(txn, table, name, offset, note);
    mdb_txn_abort(txn);
    free(name);
    if (code == MDB_CORRUPTED) {
        return mr_error_set(err, MR_FAIL,
                            "%s: the position of topic \"%s\", partition %" PRIu32 " is damaged",
                            env->path, source->topic, source->partition);
    }
    return code == 0 || code == MDB_NOTFOUND ? MR_OK : mr_env_error(err, MR_FAIL, env->path, code);
}

/* ---- One transaction --------------------------------------------------------------------------
 */

static int by_hash(const void *a, const void *b) {
    struct mr_entry *const *x = a, *const *y = b;
    int order = memcmp((*x)->hash, (*y)->hash, MR_HASH_BYTES);
    return order ? order : (*x > *y) - (*x < *y); /* one key: as appended */
}

/* The entry under this hash, if any, is of the same key. */
static int check_kept(MDB_cursor *cursor, MDB_val *key, const struct mr_target *target,
                      struct mr_slice wanted, struct mr_arena *arena) {
    MDB_val found = *key, stored;
    struct mr_message message;
    int code = mdb_cursor_get(cursor, &found, &stored, MDB_SET_KEY);
    if (code != 0) {
        return code;
    }
    mr_arena_reset(arena);
    if (!mr_record_decode(&found, &stored, target->seed, arena, &message)) {
        return MDB_CORRUPTED;
    }
    return mr_slice_equal(message.key, wanted) ? 0 : MDB_KEYEXIST;
}

static int put_kept(MDB_cursor *cursor, const struct mr_target *target, struct mr_entry *entry,
                    int64_t now_ns, struct mr_arena *arena) {
    struct mr_message message;
    MDB_val key = {MR_HASH_BYTES, entry->hash}, value = {entry->length, mr_entry_bytes(entry)};
    mr_record_seal(mr_entry_bytes(entry), now_ns, entry->hash, MR_HASH_BYTES);
    mr_record_decode(&key, &value, target->seed, arena, &message);
    int code = check_kept(cursor, &key, target, message.key, arena);
    if (!message.value.data) {
        return code == MDB_NOTFOUND ? 0 : code != 0 ? code : mdb_cursor_del(cursor, 0);
    }
    return code != 0 && code != MDB_NOTFOUND ? code : mdb_cursor_put(cursor, &key, &value, 0);
}

static int put_changelog(MDB_txn *txn, const struct mr_target *target, int64_t now_ns) {
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, target->table, &cursor);
    if (code != 0) {
        return code;
    }
    struct mr_arena *arena = mr_arena_create();
    struct mr_entry **sorted = mr_allocate_array(target->count, struct mr_entry *);
    struct mr_entry *entry = (struct mr_entry *)target->pending.data;
    for (size_t i = 0; i < target->count; i++, entry = mr_entry_next(entry)) {
        sorted[i] = entry;
    }
    qsort(sorted, target->count, sizeof(struct mr_entry *), by_hash);
    for (size_t i = 0; code == 0 && i < target->count; i++) {
        code = put_kept(cursor, target, sorted[i], now_ns, arena);
    }
    mdb_cursor_close(cursor);
    mr_arena_destroy(arena);
    free(sorted);
    return code;
}

static int put_records(MDB_txn *txn, struct mr_target *target, int64_t now_ns) {
    MDB_cursor *cursor;
    MDB_val key, value;
    int64_t end = 0;
    int code = mdb_cursor_open(txn, target->table, &cursor);
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    mdb_cursor_close(cursor);
    if (code == 0) {
        memcpy(&end, key.mv_data, sizeof end);
        end++;
    }
    return code == 0 || code == MDB_NOTFOUND
               ? mr_entries_put(txn, target, target->table, end, now_ns)
               : code;
}

/* Whether the oldest record of a table may go. */
static bool may_go(const struct mr_topic *topic, const MDB_stat *stat, const MDB_val *oldest,
                   int64_t now_ns) {
    int64_t append_ns;
    size_t pages = stat->ms_branch_pages + stat->ms_leaf_pages + stat->ms_overflow_pages;
    if (stat->ms_entries <= 1 || oldest->mv_size < sizeof append_ns) {
        return stat->ms_entries > 1; /* a hole */
    }
    memcpy(&append_ns, oldest->mv_data, sizeof append_ns);
    return (topic->retention_ns >= 0 && now_ns - append_ns > topic->retention_ns) ||
           (topic->retention_bytes >= 0 &&
            (int64_t)(pages * stat->ms_psize) > topic->retention_bytes);
}

static int age(MDB_txn *txn, const struct mr_target *target, int64_t now_ns) {
    MDB_cursor *cursor;
    MDB_val key, value;
    MDB_stat stat;
    if (target->topic->retention_ns < 0 && target->topic->retention_bytes < 0) {
        return 0;
    }
    int code = mdb_cursor_open(txn, target->table, &cursor);
    if (code != 0) {
        return code;
    }
    for (size_t left = 2 * target->count + AGE_EXTRA; code == 0 && left > 0; left--) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (code != 0) {
            break;
        }
        mdb_stat(txn, target->table, &stat);
        if (!may_go(target->topic, &stat, &value, now_ns)) {
            break;
        }
        code = mdb_cursor_del(cursor, 0);
    }
    mdb_cursor_close(cursor);
    return code;
}

static int apply_target(MDB_txn *txn, struct mr_target *target, int64_t now_ns,
                        struct mr_error *err) {
    int code;
    if (target->topic->kind == MR_KEEP_RECORDS) {
        code = put_records(txn, target, now_ns);
        return code == 0 ? age(txn, target, now_ns) : code;
    }
    code = put_changelog(txn, target, now_ns);
    if (code == MDB_KEYEXIST || code == MDB_CORRUPTED) {
        mr_error_set(err, MR_FAIL, "topic \"%s\", partition %" PRIu32 ": %s", target->topic->name,
                     target->partition,
                     code == MDB_KEYEXIST ? "two keys have the same hash"
                                          : "a stored value is damaged (bad checksum)");
    }
    return code;
}

static int apply(MDB_txn *txn, const struct mr_job_commit *commit, struct mr_error *err) {
    int code = 0;
    for (size_t i = 0; code == 0 && i < commit->target_count; i++) {
        code = apply_target(txn, commit->targets[i], commit->now_ns, err);
    }
    for (size_t i = 0; code == 0 && i < commit->position_count; i++) {
        code = put_position(txn, commit->table, &commit->positions[i]);
    }
    return code;
}

int mr_job_apply(const struct mr_job_commit *commit, struct mr_error *err) {
    MDB_txn *txn;
    struct mr_error why = {""};
    int code = mdb_txn_begin(commit->env->mdb, NULL, 0, &txn);
    if (code == 0) {
        code = apply(txn, commit, &why);
        if (code == 0) {
            code = mdb_txn_commit(txn);
        } else {
            mdb_txn_abort(txn);
        }
    }
    if (why.text[0]) {
        mr_error_set(err, MR_FAIL, "%s", why.text);
    } else if (code != 0) {
        mr_env_error(err, MR_FAIL, commit->env->path, code);
    }
    return code;
}

/* ---- Reset ------------------------------------------------------------------------------------
 */

static int drop_tables(struct mr_env *env, const struct mr_topic *changelog) {
    MDB_dbi tables[MR_PARTITIONS_MAX + 1];
    MDB_txn *txn;
    int code = mr_env_table(env, "positions", 0, &tables[changelog->partitions]);
    for (uint32_t p = 0; code == 0 && p < changelog->partitions; p++) {
        char *name = mr_table_name(changelog->name, p);
        code = mr_env_table(env, name, table_flags(changelog->kind), &tables[p]);
        free(name);
    }
    code = code == 0 ? mdb_txn_begin(env->mdb, NULL, 0, &txn) : code;
    if (code != 0) {
        return code;
    }
    for (uint32_t i = 0; code == 0 && i <= changelog->partitions; i++) {
        code = mdb_drop(txn, tables[i], 0);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

enum mr_status mr_job_reset(struct mr_log *base, const char *job, const char *changelog,
                            struct mr_error *err) {
    const struct mr_local_log *log = (const struct mr_local_log *)base;
    struct mr_topic topic;
    struct mr_job_lock *lock;
    struct mr_env *env;
    char *path = mr_job_path(log, job, "job.mdb");
    bool known = mr_path_exists(path);
    free(path);
    if (!known) {
        return MR_OK;
    }
    if (mr_catalog_describe(base, changelog, &topic, NULL) != MR_OK) {
        topic.partitions = 0;
    }
    enum mr_status status = mr_job_lock_take(log, job, 0, 1, &lock, err);
    if (status != MR_OK) {
        return status;
    }
    status = mr_job_open(log, job, &env, err);
    if (status == MR_OK) {
        int code = drop_tables(env, &topic);
        if (code != 0) {
            status = mr_env_error(err, MR_FAIL, env->path, code);
        }
        mr_env_close(env);
    }
    mr_job_lock_drop(lock, 0);
    return status;
}
