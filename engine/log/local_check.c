/* Checking a topic: every stored record is read and its checksum compared, in a child process.
 *
 *     parent ---- fork, one per partition ---> child: opens the files for itself, reads
 *        ^                                        |
 *        +------ shared page: counts, the first fault, how far it came ------+
 *
 * A damaged page head can make LMDB read outside its map and end the process; then it is the child
 * that ends, and the shared page still says where it was. The child uses no lock and no environment
 * of its parent's: threads of the parent may have held them at the fork. */
#include "engine/log/local.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared { /* between a child and its parent */
    uint64_t records, bad_records;
    struct mr_error first;
    char path[1024]; /* the file that is being read */
    int64_t next;    /* and the offset              */
};

struct check {
    const struct mr_topic *topic;
    struct mr_partition source;
    uint32_t seed;
    struct mr_arena *arena;
    struct shared *shared;
};

static void bad(struct check *check, const char *what) {
    struct shared *shared = check->shared;
    if (shared->bad_records++ == 0) {
        mr_error_set(&shared->first, MR_FAIL,
                     "topic \"%s\", partition %" PRIu32 ", offset %" PRId64 " (%s): %s",
                     check->source.topic, check->source.partition, shared->next, shared->path,
                     what);
    }
}

static void check_record(struct check *check, const MDB_val *key, const MDB_val *value) {
    struct shared *shared = check->shared;
    struct mr_message message;
    bool keyed = check->topic->kind == MR_KEEP_LAST_OF_KEY;
    int64_t offset = shared->next;
    if (key->mv_size != (keyed ? MR_HASH_BYTES : sizeof offset)) {
        bad(check, "the key of this record is damaged");
        return;
    }
    if (!keyed) {
        memcpy(&offset, key->mv_data, sizeof offset);
        if (offset != shared->next) {
            bad(check, "this record is missing");
        }
        shared->next = offset;
    }
    mr_arena_reset(check->arena);
    if (!mr_record_decode(key, value, check->seed, check->arena, &message)) {
        bad(check, "this record is damaged (bad checksum)");
    }
    shared->records++;
    shared->next++;
}

/* A job's topic that was trimmed to its end begins with a hole. */
static bool skip_hole(struct check *check, MDB_cursor *cursor, MDB_val *key, MDB_val *value,
                      int *code) {
    if (*code != 0 || !mr_record_is_hole(key, value, check->seed)) {
        return false;
    }
    check->shared->next++;
    *code = mdb_cursor_get(cursor, key, value, MDB_NEXT);
    return true;
}

/* From the first record of a table to its last. `first`: its offset; -1: whatever it is. */
static int walk(struct check *check, MDB_txn *txn, MDB_dbi table, int64_t first) {
    MDB_cursor *cursor;
    MDB_val key, value;
    MDB_stat stat;
    uint64_t before = check->shared->records;
    int code = mdb_cursor_open(txn, table, &cursor);
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    check->shared->next = first < 0 ? 0 : first;
    if (code == 0 && first < 0 && key.mv_size == sizeof first) {
        memcpy(&check->shared->next, key.mv_data, sizeof first);
    }
    bool hole = first < 0 && skip_hole(check, cursor, &key, &value, &code);
    while (code == 0) {
        check_record(check, &key, &value);
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    mdb_stat(txn, table, &stat);
    if (code == MDB_NOTFOUND && check->shared->records - before + hole != stat.ms_entries) {
        bad(check, "records are missing at the end");
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

/* One table of one file. `table_name` NULL: the file's own. */
static void check_file(struct check *check, const char *path, size_t map, const char *table_name,
                       int64_t first) {
    MDB_env *mdb;
    MDB_txn *txn;
    MDB_dbi table;
    unsigned flags = check->topic->kind == MR_KEEP_RECORDS ? MDB_INTEGERKEY : 0;
    snprintf(check->shared->path, sizeof check->shared->path, "%s", path);
    check->shared->next = first < 0 ? 0 : first;
    int code = mr_env_open_bare(path, map, &mdb);
    if (code == 0) {
        code = mdb_txn_begin(mdb, NULL, MDB_RDONLY, &txn);
        if (code == 0) {
            code = mdb_dbi_open(txn, table_name, flags, &table);
            code = code == 0 ? walk(check, txn, table, first) : code;
            mdb_txn_abort(txn);
        }
        mdb_env_close(mdb);
    }
    if (code != 0) {
        bad(check, mdb_strerror(code));
    }
}

static void check_files(struct check *check, const struct mr_local_log *log) {
    int64_t *firsts;
    size_t count;
    struct mr_error err;
    char *folder = mr_records_folder(log, check->source.topic, check->source.partition);
    if (mr_records_list(folder, &firsts, &count, &err) != MR_OK) {
        bad(check, err.text);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && check->shared->next != firsts[i]) {
            bad(check, "records are missing at the end of this file");
        }
        char *path = mr_records_path(folder, firsts[i]);
        check_file(check, path, MR_RECORDS_MAP, NULL, firsts[i]);
    }
}

/* A signal ends the child, whatever its parent does with it; no core, no last words. */
static void die_quietly(void) {
    const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        signal(signals[i], SIG_DFL);
    }
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    if (!freopen("/dev/null", "w", stderr)) {
        _exit(1);
    }
}

/* The child: never returns, frees nothing. */
static void run_child(const struct mr_local_log *log, struct check *check) {
    die_quietly();
    check->arena = mr_arena_create();
    check->seed = mr_record_seed(check->source.topic, check->source.partition);
    if (check->topic->job[0]) {
        check_file(check, mr_job_path(log, check->topic->job, "job.mdb"), MR_JOB_MAP,
                   mr_table_name(check->source.topic, check->source.partition), -1);
    } else {
        check_files(check, log);
    }
    _exit(0);
}

static enum mr_status check_partition(const struct mr_local_log *log, struct check *check,
                                      struct mr_error *err) {
    int how = 0;
    pid_t child = fork();
    if (child == 0) {
        run_child(log, check);
    }
    if (child < 0 || waitpid(child, &how, 0) < 0) {
        return mr_error_set(err, MR_FAIL, "the check needs a process of its own, which failed");
    }
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) {
        bad(check, "the process that read from here was ended: a page of this file is damaged");
    }
    return MR_OK;
}

enum mr_status mr_local_check(struct mr_log *base, const char *name, struct mr_check_report *report,
                              struct mr_error *err) {
    struct mr_topic topic;
    enum mr_status status = mr_catalog_describe(base, name, &topic, err);
    if (status != MR_OK) {
        return status;
    }
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return mr_error_set(err, MR_FAIL, "the check has no memory to share with its child");
    }
    for (uint32_t p = 0; status == MR_OK && p < topic.partitions; p++) {
        struct check check = {
            .topic = &topic, .source = mr_partition_at(name, p), .shared = shared};
        status = check_partition((struct mr_local_log *)base, &check, err);
    }
    report->records = shared->records;
    report->bad_records = shared->bad_records;
    report->first = shared->first;
    munmap(shared, sizeof *shared);
    return status;
}
