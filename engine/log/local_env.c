/* LMDB environments: one per file and process.
 *
 * LMDB keeps its locks by process (fcntl): opening one file twice in a process and closing one of
 * the two would drop the locks of both. So every environment is in a registry, counted. A child
 * process sees its parent's entries and passes over them (pid).
 *
 * Map sizes are chosen at open, far above need (a fixed least, or four times the file), instead of
 * growing later: a map costs address space, not disk and not memory, as the file grows only with
 * what is written. So nobody has to wait for all transactions to end, nor to adopt another's growth
 * while working (MDB_MAP_RESIZED). A file that has outgrown its map all the same is full until it
 * is opened again. The least is not larger because thread sanitizers run out of address space.
 *
 * A file is made under another name, with its tables, and renamed into place: a crash leaves all
 * of it or nothing. Slots of readers that were killed are freed at each open. */
#include "engine/log/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READERS_MAX 1024
#define LOCK_BYTES                                                                                 \
    ((READERS_MAX + 64) * 64) /* of a lock file: a cache line a reader, and its head */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mr_env *registry;

static size_t map_size(const char *path, size_t least) {
    struct stat status;
    size_t wanted = stat(path, &status) == 0 ? 4 * (size_t)status.st_size : 0;
    return wanted > least ? wanted : least; /* a file is whole pages, as LMDB wants it */
}

/* LMDB maps its lock file and writes into it: on a full disk a file with holes would end the
 * process (SIGBUS). So its room is taken first, and a full disk is an error like any other. The
 * environment is not open yet in this process, so closing the file drops nobody's locks. */
static int reserve_lock_file(const char *path) {
    struct mr_buffer name = {0};
    mr_buffer_format(&name, "%s-lock", path);
    mr_buffer_add(&name, "", 1);
    int file = open(name.data, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int code = file < 0 ? errno : posix_fallocate(file, 0, LOCK_BYTES);
    if (file >= 0) {
        close(file);
    }
    mr_buffer_finish(&name);
    return code;
}

int mr_env_open_bare(const char *path, size_t map, MDB_env **mdb) {
    struct stat status;
    int dead;
    *mdb = NULL;
    if (stat(path, &status) == 0 && status.st_size == 0) {
        return MDB_INVALID; /* LMDB would take it for new */
    }
    int code = reserve_lock_file(path);
    code = code == 0 ? mdb_env_create(mdb) : code;
    if (code != 0) {
        return code;
    }
    mdb_env_set_mapsize(*mdb, map_size(path, map));
    mdb_env_set_maxreaders(*mdb, READERS_MAX);
    mdb_env_set_maxdbs(*mdb, map == MR_JOB_MAP ? MR_TABLES_MAX : 0);
    /* Read transactions are bound to their owner, not to a thread. */
    code = mdb_env_open(*mdb, path, MDB_NOSUBDIR | MDB_NOTLS, 0666);
    if (code == 0) {
        code = mdb_reader_check(*mdb, &dead);
    }
    if (code != 0) {
        mdb_env_close(*mdb);
        *mdb = NULL;
    }
    return code;
}

static struct mr_env *find_env(const char *path) {
    struct mr_env *env = registry;
    while (env && (env->pid != getpid() || strcmp(env->path, path) != 0)) {
        env = env->next;
    }
    return env;
}

static enum mr_status open_registered(const char *path, size_t map, struct mr_env **out,
                                      struct mr_error *err) {
    MDB_env *mdb;
    int code = mr_path_exists(path) ? mr_env_open_bare(path, map, &mdb) : ENOENT;
    if (code != 0) {
        return mr_env_error(err, MR_FAIL, path, code);
    }
    struct mr_env *env = mr_allocate(sizeof *env);
    env->mdb = mdb;
    env->path = mr_copy_text(path);
    env->pid = getpid();
    pthread_mutex_init(&env->lock, NULL);
    env->next = registry;
    registry = env;
    *out = env;
    return MR_OK;
}

enum mr_status mr_env_open(const char *path, size_t map, struct mr_env **env,
                           struct mr_error *err) {
    enum mr_status status = MR_OK;
    pthread_mutex_lock(&registry_lock);
    *env = find_env(path);
    if (!*env) {
        status = open_registered(path, map, env, err);
    }
    if (status == MR_OK) {
        (*env)->references++;
    }
    pthread_mutex_unlock(&registry_lock);
    return status;
}

void mr_env_close(struct mr_env *env) {
    if (!env) {
        return;
    }
    pthread_mutex_lock(&registry_lock);
    if (--env->references == 0) {
        struct mr_env **at = &registry;
        while (*at != env) {
            at = &(*at)->next;
        }
        *at = env->next;
        mdb_env_close(env->mdb);
        pthread_mutex_destroy(&env->lock);
        free(env->path);
        free(env);
    }
    pthread_mutex_unlock(&registry_lock);
}

static int write_tables(MDB_env *mdb, bool positions) {
    MDB_txn *txn;
    MDB_dbi table;
    int code = mdb_txn_begin(mdb, NULL, 0, &txn);
    if (code != 0) {
        return code;
    }
    code = positions ? mdb_dbi_open(txn, "positions", MDB_CREATE, &table)
                     : mdb_dbi_open(txn, NULL, MDB_INTEGERKEY | MDB_CREATE, &table);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

int mr_env_make(const char *folder, const char *path, size_t map, bool positions) {
    if (mr_path_exists(path)) {
        return 0;
    }
    MDB_env *mdb;
    char *new_path = mr_path("%s.new", path);
    char *lock_path = mr_path("%s-lock", new_path);
    unlink(new_path); /* of a process that was killed here */
    unlink(lock_path);
    int code = mr_env_open_bare(new_path, map, &mdb);
    if (code == 0) {
        code = write_tables(mdb, positions);
        mdb_env_close(mdb);
    }
    if (code == 0 && rename(new_path, path) != 0) {
        code = errno;
    }
    if (code == 0) {
        code = mr_folder_sync(folder);
    } else {
        unlink(new_path);
    }
    unlink(lock_path);
    free(lock_path);
    free(new_path);
    return code;
}

int mr_env_table(struct mr_env *env, const char *name, unsigned flags, MDB_dbi *table) {
    MDB_txn *txn;
    pthread_mutex_lock(&env->lock);
    int code = mdb_txn_begin(env->mdb, NULL, flags & MDB_CREATE ? 0 : MDB_RDONLY, &txn);
    if (code == 0) {
        code = mdb_dbi_open(txn, name, flags, table);
        if (code == 0) {
            code = mdb_txn_commit(txn);
        } else {
            mdb_txn_abort(txn);
        }
    }
    pthread_mutex_unlock(&env->lock);
    return code;
}

enum mr_status mr_env_error(struct mr_error *err, enum mr_status status, const char *path,
                            int code) {
    switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return mr_error_set(err, status, "%s: the disk is full (%s)", path, strerror(code));
    case EIO:
        return mr_error_set(
            err, status, "%s: input/output error; a disk that is full answers like this too", path);
    case MDB_MAP_FULL:
    case MDB_MAP_RESIZED:
        return mr_error_set(err, status,
                            "%s has outgrown its map: start again (a file is mapped at four "
                            "times its size)",
                            path);
    case MDB_TXN_FULL:
        return mr_error_set(err, status, "%s: more was written than one transaction can hold",
                            path);
    case MDB_READERS_FULL:
        return mr_error_set(err, status, "%s: more than %d readers at once", path, READERS_MAX);
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return mr_error_set(err, status, "%s: this file is damaged (%s)", path, mdb_strerror(code));
    default:
        return mr_error_set(err, status, "%s: %s", path, mdb_strerror(code));
    }
}
