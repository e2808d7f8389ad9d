/* The files of an input topic.
 *
 *     topics/readings/0/00000000000000000000.mdb      offsets      0 ..  81,919
 *                       00000000000000081920.mdb      offsets 81,920 .. 163,840   (the newest)
 *
 * Each file is an LMDB environment of its own with one table, offset -> record; its name is its
 * first offset. LMDB's writer lock of the newest file is the lock of the partition. Whoever holds
 * it and finds a file named by the end of this one knows that this one is no longer the newest,
 * and goes on there. To begin a new file is to make it, under that lock. So offsets are dense, and
 * no two files overlap, however many processes write.
 *
 * A file is full at 256 MiB, or an eighth of the topic's bound; where records age it is also full
 * when its first record has a quarter of the retention behind it. So what is kept exceeds what was
 * asked for by a quarter at most, plus one transaction.
 *
 * Retention unlinks whole files, oldest first, never the newest. Who has one open reads on in it.
 * The folder's lock keeps a file from being unlinked between the look and the open (LMDB would
 * make it again, empty). */
#include "engine/log/local.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES     (INT64_C(256) << 20)
#define FILE_BYTES_MIN (INT64_C(1) << 20)

char *mr_records_folder(const struct mr_local_log *log, const char *topic, uint32_t partition) {
    return mr_path("%s/topics/%s/%" PRIu32, log->root, topic, partition);
}

char *mr_records_path(const char *folder, int64_t first) {
    return mr_path("%s/%020" PRId64 ".mdb", folder, first);
}

static bool file_exists(const char *folder, int64_t first) {
    char *path = mr_records_path(folder, first);
    bool there = mr_path_exists(path);
    free(path);
    return there;
}

static int is_records(const struct dirent *entry) {
    return strlen(entry->d_name) == 24 && strspn(entry->d_name, "0123456789") == 20 &&
           strcmp(entry->d_name + 20, ".mdb") == 0;
}

enum mr_status mr_records_list(const char *folder, int64_t **firsts, size_t *count,
                               struct mr_error *err) {
    struct dirent **entries;
    int found = scandir(folder, &entries, is_records, alphasort);
    if (found < 0) {
        return mr_env_error(err, MR_FAIL, folder, errno);
    }
    *count = (size_t)found;
    *firsts = mr_allocate_array((size_t)found + 1, int64_t);
    for (int i = 0; i < found; i++) {
        (*firsts)[i] = strtoll(entries[i]->d_name, NULL, 10);
        free(entries[i]);
    }
    free(entries);
    return MR_OK;
}

enum mr_status mr_records_open(const char *folder, int64_t first, struct mr_env **env,
                               struct mr_error *err) {
    enum mr_status status = MR_OK;
    *env = NULL;
    int lock = mr_folder_lock(folder, false);
    if (lock < 0) {
        return mr_env_error(err, MR_FAIL, folder, errno);
    }
    char *path = mr_records_path(folder, first);
    if (mr_path_exists(path)) {
        status = mr_env_open(path, MR_RECORDS_MAP, env, err);
    }
    free(path);
    close(lock);
    return status;
}

static int make_file(const char *folder, int64_t first) {
    int lock = mr_folder_lock(folder, true);
    if (lock < 0) {
        return errno;
    }
    char *path = mr_records_path(folder, first);
    int code = mr_env_make(folder, path, MR_RECORDS_MAP, false);
    free(path);
    close(lock);
    return code;
}

/* Opens the newest file, the first one ever if need be. */
static int open_newest(struct mr_target *target, struct mr_error *err) {
    int64_t *firsts;
    size_t count;
    if (mr_records_list(target->folder, &firsts, &count, err) != MR_OK) {
        return EIO;
    }
    target->first = count ? firsts[count - 1] : 0;
    free(firsts);
    int code = count ? 0 : make_file(target->folder, 0);
    if (code != 0) {
        mr_env_error(err, MR_FAIL, target->folder, code);
        return code;
    }
    if (mr_records_open(target->folder, target->first, &target->env, err) != MR_OK) {
        return EIO;
    }
    return 0;
}

/* Decodes only the append time; no checksum, as it decides nothing but when a file is full. */
static int64_t append_time(const MDB_val *stored) {
    int64_t append_ns = 0;
    if (stored->mv_size >= sizeof append_ns) {
        memcpy(&append_ns, stored->mv_data, sizeof append_ns);
    }
    return append_ns;
}

/* The offset after the last one, and when the first record was appended. 0 or an MDB_ code. */
static int look(MDB_txn *txn, MDB_dbi table, int64_t *end, int64_t *first_ns) {
    MDB_cursor *cursor;
    MDB_val key, stored;
    int code = mdb_cursor_open(txn, table, &cursor);
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_get(cursor, &key, &stored, MDB_LAST);
    if (code == 0) {
        memcpy(end, key.mv_data, sizeof *end);
        ++*end;
        code = mdb_cursor_get(cursor, &key, &stored, MDB_FIRST);
        *first_ns = append_time(&stored);
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int64_t file_bound(const struct mr_topic *topic) {
    int64_t bytes = topic->retention_bytes < 0 ? FILE_BYTES : topic->retention_bytes / 8;
    return bytes > FILE_BYTES ? FILE_BYTES : bytes < FILE_BYTES_MIN ? FILE_BYTES_MIN : bytes;
}

static bool is_full(const struct mr_target *target, int64_t first_ns, int64_t now_ns) {
    MDB_envinfo info;
    MDB_stat stat;
    const struct mr_topic *topic = target->topic;
    mdb_env_info(target->env->mdb, &info);
    mdb_env_stat(target->env->mdb, &stat);
    return (int64_t)(info.me_last_pgno * stat.ms_psize) >= file_bound(topic) ||
           (topic->retention_ns >= 0 && now_ns - first_ns > topic->retention_ns / 4);
}

int mr_entries_put(MDB_txn *txn, struct mr_target *target, MDB_dbi table, int64_t end,
                   int64_t now_ns) {
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, table, &cursor);
    if (code != 0) {
        return code;
    }
    struct mr_entry *entry = (struct mr_entry *)target->pending.data;
    for (size_t i = 0; code == 0 && i < target->count; i++, end++) {
        MDB_val key = {sizeof end, &end}, value = {entry->length, mr_entry_bytes(entry)};
        mr_record_seal(mr_entry_bytes(entry), now_ns, &end, sizeof end);
        code = mdb_cursor_put(cursor, &key, &value, MDB_APPEND);
        entry = mr_entry_next(entry);
    }
    mdb_cursor_close(cursor);
    return code;
}

/* Under the writer's lock. *moved: there is a newer file now, begin again. 0 or a code. */
static int append_locked(MDB_txn *txn, struct mr_target *target, int64_t now_ns, bool *moved) {
    MDB_dbi table;
    int64_t end = target->first, first_ns = now_ns;
    int code = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &table);
    if (code == 0) {
        code = look(txn, table, &end, &first_ns);
    }
    if (code != 0) {
        return code;
    }
    bool empty = end == target->first;
    *moved = !empty && file_exists(target->folder, end);
    if (!*moved && !empty && is_full(target, first_ns, now_ns)) {
        *moved = true;
        code = make_file(target->folder, end);
    }
    return *moved || code != 0 ? code : mr_entries_put(txn, target, table, end, now_ns);
}

static int append_once(struct mr_target *target, int64_t now_ns, bool *moved) {
    MDB_txn *txn;
    int code = mdb_txn_begin(target->env->mdb, NULL, 0, &txn);
    if (code != 0) {
        return code;
    }
    code = append_locked(txn, target, now_ns, moved);
    if (code != 0 || *moved) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

int mr_records_append(struct mr_target *target, int64_t now_ns, struct mr_error *err) {
    bool moved = true;
    int code = 0;
    while (code == 0 && moved) {
        moved = false;
        code = target->env ? 0 : open_newest(target, err);
        if (code != 0) {
            return code;
        }
        code = append_once(target, now_ns, &moved);
        if (moved) {
            mr_env_close(target->env);
            target->env = NULL;
            target->retain_at = 0;
        }
    }
    if (code != 0) {
        mr_env_error(err, MR_FAIL, target->folder, code);
    }
    return code;
}

/* ---- Retention ------------------------------------------------------------------------------ */

/* When the last record of a file was appended; INT64_MAX: it cannot be told. */
static int64_t last_append(const char *folder, int64_t first) {
    struct mr_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    MDB_cursor *cursor;
    MDB_val key, stored;
    int64_t append_ns = INT64_MAX;
    if (mr_records_open(folder, first, &env, NULL) != MR_OK || !env) {
        return append_ns;
    }
    if (mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn) == 0) {
        if (mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &table) == 0 &&
            mdb_cursor_open(txn, table, &cursor) == 0) {
            if (mdb_cursor_get(cursor, &key, &stored, MDB_LAST) == 0) {
                append_ns = append_time(&stored);
            }
            mdb_cursor_close(cursor);
        }
        mdb_txn_abort(txn);
    }
    mr_env_close(env);
    return append_ns;
}

static int64_t file_size(const char *folder, int64_t first) {
    struct stat status = {0};
    char *path = mr_records_path(folder, first);
    if (stat(path, &status) != 0) {
        status.st_size = 0;
    }
    free(path);
    return status.st_size;
}

/* The oldest file, bound by age: may it go? If not, retain_at is when. */
static bool is_old(struct mr_target *target, int64_t first, int64_t now_ns) {
    if (target->topic->retention_ns < 0) {
        target->retain_at = INT64_MAX;
        return false;
    }
    target->retain_at =
        mr_time_add(last_append(target->folder, first), target->topic->retention_ns);
    return target->retain_at < now_ns;
}

static void unlink_file(const char *folder, int64_t first) {
    int lock = mr_folder_lock(folder, true);
    if (lock < 0) {
        return; /* the next commit tries again */
    }
    char *path = mr_records_path(folder, first);
    char *lock_path = mr_path("%s-lock", path);
    unlink(path);
    unlink(lock_path);
    free(lock_path);
    free(path);
    close(lock);
}

void mr_records_retain(struct mr_target *target, int64_t now_ns) {
    int64_t *firsts, total = 0;
    size_t count;
    const struct mr_topic *topic = target->topic;
    if (now_ns < target->retain_at || (topic->retention_ns < 0 && topic->retention_bytes < 0) ||
        mr_records_list(target->folder, &firsts, &count, NULL) != MR_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        total += file_size(target->folder, firsts[i]);
    }
    target->retain_at = INT64_MAX;
    for (size_t i = 0; i + 1 < count; i++) {
        bool large = topic->retention_bytes >= 0 && total > topic->retention_bytes;
        if (!large && !is_old(target, firsts[i], now_ns)) {
            break;
        }
        total -= file_size(target->folder, firsts[i]);
        unlink_file(target->folder, firsts[i]);
    }
    free(firsts);
}
