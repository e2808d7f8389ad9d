/* Trimming a job's topic: records that nobody needs any more go from the front of its table.
 *
 *     before   0 1 2 3 4 5 6 7                        trim to 5    5 6 7
 *                                                     trim to 8    7: a hole
 *     hole     the last record's offset -> CRC32C of topic, partition and offset; no record
 *
 * The last key of a table tells the next offset, so it stays, as a hole where its record went. A
 * hole is a table's first entry or nothing: behind it is the first offset.
 *
 * The owner may be committing to the same file, and LMDB has one writer: so a trim is many short
 * transactions, with a pause between two of them, in which whoever waits has its turn. A crash
 * between them leaves records that the next trim takes. Whoever trims as it reads has one
 * transaction each time. LMDB uses the freed pages again when no reader's snapshot is older. */
#include "engine/log/local.h"

#include <millrace/hash.h>
#include <time.h>

#define SLICE    4096
#define PAUSE_NS 1000000

struct trim {
    MDB_dbi table;
    uint32_t seed;
    int64_t before; /* -1: everything */
    bool more;
};

static uint32_t hole_crc(uint32_t seed, const void *key) {
    return mr_crc32c(seed, key, sizeof(int64_t));
}

bool mr_record_is_hole(const MDB_val *key, const MDB_val *value, uint32_t seed) {
    uint32_t crc;
    if (key->mv_size != sizeof(int64_t) || value->mv_size != sizeof crc) {
        return false;
    }
    memcpy(&crc, value->mv_data, sizeof crc);
    return crc == hole_crc(seed, key->mv_data);
}

/* Removes the first record, which is not the last one. False when it is, or none is to go. */
static bool remove_first(MDB_cursor *cursor, int64_t before, int *code) {
    MDB_val key, value;
    int64_t offset;
    *code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    if (*code != 0) {
        return false;
    }
    memcpy(&offset, key.mv_data, sizeof offset);
    if (offset >= before) {
        return false;
    }
    *code = mdb_cursor_del(cursor, 0);
    return *code == 0;
}

/* The last record, which is the only one, gives way to a hole. */
static int leave_hole(MDB_cursor *cursor, uint32_t seed) {
    MDB_val key, value;
    int64_t offset;
    int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    if (code != 0 || mr_record_is_hole(&key, &value, seed)) {
        return code;
    }
    memcpy(&offset, key.mv_data, sizeof offset);
    uint32_t crc = hole_crc(seed, &offset);
    key = (MDB_val){sizeof offset, &offset};
    value = (MDB_val){sizeof crc, &crc};
    return mdb_cursor_put(cursor, &key, &value, 0);
}

static int trim_with(MDB_cursor *cursor, struct trim *trim) {
    MDB_val key, value;
    int64_t last;
    int code = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (code != 0) {
        return code == MDB_NOTFOUND ? 0 : code;
    }
    memcpy(&last, key.mv_data, sizeof last);
    bool all = trim->before < 0 || trim->before > last;
    int64_t before = all ? last : trim->before;
    size_t left = SLICE;
    while (left > 0 && remove_first(cursor, before, &code)) {
        left--;
    }
    trim->more = left == 0;
    return code == 0 && all && !trim->more ? leave_hole(cursor, trim->seed) : code;
}

/* One short transaction. */
static int trim_some(struct mr_env *env, struct trim *trim) {
    MDB_txn *txn;
    MDB_cursor *cursor;
    int code = mdb_txn_begin(env->mdb, NULL, 0, &txn);
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_open(txn, trim->table, &cursor);
    if (code == 0) {
        code = trim_with(cursor, trim);
        mdb_cursor_close(cursor);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static enum mr_status trim_table(struct mr_env *env, struct trim *trim, struct mr_error *err) {
    int code = trim_some(env, trim);
    while (code == 0 && trim->more) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        code = trim_some(env, trim);
    }
    return code == 0 ? MR_OK : mr_env_error(err, MR_FAIL, env->path, code);
}

enum mr_status mr_local_trim(struct mr_log *base, const struct mr_partition *source, int64_t before,
                             struct mr_error *err) {
    struct mr_topic topic;
    struct mr_env *env;
    int64_t first, end;
    struct trim trim = {.seed = mr_record_seed(source->topic, source->partition), .before = before};
    enum mr_status status = mr_catalog_describe(base, source->topic, &topic, err);
    if (status == MR_OK) {
        status = mr_topic_may_trim(&topic, source->partition, err);
    }
    if (status == MR_OK) {
        status = mr_local_bounds(base, source, &first, &end, err);
    }
    if (status == MR_OK) {
        status = mr_topic_reaches(source, before, -1, end, err);
    }
    if (status != MR_OK || first == end || (before >= 0 && before <= first)) {
        return status;
    }
    status = mr_job_open((struct mr_local_log *)base, topic.job, &env, err);
    if (status != MR_OK) {
        return status;
    }
    status = mr_job_table(env, &topic, source->partition, &trim.table, err);
    if (status == MR_OK) {
        status = trim_table(env, &trim, err);
    }
    mr_env_close(env);
    return status;
}
