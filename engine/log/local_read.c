/* Reading one partition of the embedded log, for sessions and readers.
 *
 *     input topic     file -> file -> file, each until its end; the next one is named by that end
 *     job's topic     one table, offset -> record
 *     changelog       one table, hash -> record; the walk goes on behind the last hash
 *
 * A batch is a snapshot (an LMDB read transaction) that stays while the batch is borrowed: the
 * messages point into the map. mr_cursor_rest gives it up, and the next read takes a new one, so
 * that pages that a writer frees are not held for longer than a batch.
 *
 * Nothing is served that is not what was stored: every record's checksum is compared, with the
 * place it was stored under, and offsets must be dense, so a page that LMDB misreads cannot hide
 * records either. LMDB itself trusts its page heads; one that is damaged can end the process, which
 * is why a check runs in a child. */
#include "engine/log/local.h"

#include <inttypes.h>
#include <stdlib.h>

struct mr_cursor {
    const struct mr_local_log *log;
    struct mr_topic topic;
    struct mr_partition source;
    uint32_t seed;
    char *folder; /* of an input topic; NULL: a job's       */
    int64_t next; /* the offset to deliver next; of a changelog: how many were delivered */
    /* the open file */
    struct mr_env *env; /* NULL: none yet */
    int64_t first;      /* its first offset (input topic) */
    MDB_dbi table;
    MDB_txn *txn; /* NULL: none yet */
    MDB_cursor *at;
    bool reading;                /* txn holds a snapshot */
    size_t seen;                 /* the transaction in which the end was seen */
    uint8_t hash[MR_HASH_BYTES]; /* of a changelog: the last one delivered */
};

struct local_reader {
    struct mr_reader base;
    struct mr_cursor *cursor;
    struct mr_batch_space space;
};

static bool is_keyed(const struct mr_cursor *cursor) {
    return cursor->topic.kind == MR_KEEP_LAST_OF_KEY;
}

/* ---- Files and snapshots -------------------------------------------------------------------- */

static void close_file(struct mr_cursor *cursor) {
    if (cursor->txn) {
        mdb_cursor_close(cursor->at);
        mdb_txn_abort(cursor->txn);
    }
    mr_env_close(cursor->env);
    cursor->env = NULL;
    cursor->txn = NULL;
    cursor->reading = false;
    cursor->seen = 0;
}

void mr_cursor_rest(struct mr_cursor *cursor) {
    if (cursor->reading) {
        mdb_txn_reset(cursor->txn);
        cursor->reading = false;
    }
}

static int first_snapshot(struct mr_cursor *cursor) {
    int code = mdb_txn_begin(cursor->env->mdb, NULL, MDB_RDONLY, &cursor->txn);
    if (code == 0 && cursor->folder) {
        code = mdb_dbi_open(cursor->txn, NULL, MDB_INTEGERKEY, &cursor->table);
    }
    if (code == 0) {
        code = mdb_cursor_open(cursor->txn, cursor->table, &cursor->at);
    }
    if (code != 0 && cursor->txn) {
        mdb_txn_abort(cursor->txn);
        cursor->txn = NULL;
    }
    return code;
}

/* A snapshot of now. */
static enum mr_status look(struct mr_cursor *cursor, struct mr_error *err) {
    int code;
    mr_cursor_rest(cursor);
    if (!cursor->txn) {
        code = first_snapshot(cursor);
    } else {
        code = mdb_txn_renew(cursor->txn);
        code = code == 0 ? mdb_cursor_renew(cursor->txn, cursor->at) : code;
    }
    cursor->reading = code == 0;
    return code == 0 ? MR_OK : mr_env_error(err, MR_FAIL, cursor->env->path, code);
}

static enum mr_status say_gone(const struct mr_cursor *cursor, struct mr_error *err) {
    return mr_error_set(err, MR_FAIL,
                        "topic \"%s\", partition %" PRIu32 ": offset %" PRId64
                        " is no longer there: it was removed, by retention or a trim, before it "
                        "was read",
                        cursor->source.topic, cursor->source.partition, cursor->next);
}

/* Opens the file that `next` is in; there may be none yet. */
static enum mr_status open_file(struct mr_cursor *cursor, struct mr_error *err) {
    int64_t *firsts;
    size_t count;
    if (!cursor->folder) {
        enum mr_status status = mr_job_open(cursor->log, cursor->topic.job, &cursor->env, err);
        return status != MR_OK ? status
                               : mr_job_table(cursor->env, &cursor->topic, cursor->source.partition,
                                              &cursor->table, err);
    }
    enum mr_status status = mr_records_list(cursor->folder, &firsts, &count, err);
    if (status != MR_OK) {
        return status;
    }
    size_t after = 0;
    while (after < count && firsts[after] <= cursor->next) {
        after++;
    }
    if (after > 0) {
        cursor->first = firsts[after - 1];
        status = mr_records_open(cursor->folder, cursor->first, &cursor->env, err);
    }
    if (status == MR_OK && count > 0 && !cursor->env) {
        status = say_gone(cursor, err);
    }
    free(firsts);
    return status;
}

/* There is a file behind this one, and this one is at its end. */
static bool is_followed(const struct mr_cursor *cursor) {
    if (!cursor->folder || (cursor->env && cursor->next == cursor->first)) {
        return false;
    }
    char *path = mr_records_path(cursor->folder, cursor->next);
    bool there = mr_path_exists(path);
    free(path);
    return there;
}

/* ---- Open, bounds, seek --------------------------------------------------------------------- */

enum mr_status mr_cursor_open(struct mr_local_log *log, const struct mr_partition *source,
                              struct mr_cursor **out, struct mr_error *err) {
    struct mr_topic topic;
    enum mr_status status = mr_catalog_describe(&log->base, source->topic, &topic, err);
    if (status == MR_OK) {
        status = mr_topic_has(&topic, source->partition, err);
    }
    if (status != MR_OK) {
        return status;
    }
    struct mr_cursor *cursor = mr_allocate(sizeof *cursor);
    cursor->log = log;
    cursor->topic = topic;
    cursor->source = mr_partition_at(source->topic, source->partition);
    cursor->seed = mr_record_seed(source->topic, source->partition);
    if (!topic.job[0]) {
        cursor->folder = mr_records_folder(log, source->topic, source->partition);
    }
    *out = cursor;
    return MR_OK;
}

void mr_cursor_close(struct mr_cursor *cursor) {
    if (cursor) {
        close_file(cursor);
        free(cursor->folder);
        free(cursor);
    }
}

/* First key and last key + 1 of the open file; both unchanged when it is empty. */
static enum mr_status file_bounds(struct mr_cursor *cursor, int64_t *first, int64_t *end,
                                  struct mr_error *err) {
    MDB_val key, value;
    MDB_stat stat;
    enum mr_status status = look(cursor, err);
    if (status != MR_OK) {
        return status;
    }
    if (is_keyed(cursor)) {
        mdb_stat(cursor->txn, cursor->table, &stat);
        *end = (int64_t)stat.ms_entries;
    } else if (mdb_cursor_get(cursor->at, &key, &value, MDB_FIRST) == 0) {
        memcpy(first, key.mv_data, sizeof *first);
        *first += mr_record_is_hole(&key, &value, cursor->seed);
        mdb_cursor_get(cursor->at, &key, &value, MDB_LAST);
        memcpy(end, key.mv_data, sizeof *end);
        ++*end;
    }
    mr_cursor_rest(cursor);
    return MR_OK;
}

/* The bounds are the first file's name and the last file's end. */
static enum mr_status records_bounds(struct mr_cursor *cursor, int64_t *first, int64_t *end,
                                     struct mr_error *err) {
    int64_t *firsts, ignored;
    size_t count;
    enum mr_status status = mr_records_list(cursor->folder, &firsts, &count, err);
    if (status != MR_OK) {
        return status;
    }
    if (count > 0) {
        *first = firsts[0];
        *end = cursor->next = firsts[count - 1];
        status = open_file(cursor, err);
        if (status == MR_OK) {
            status = file_bounds(cursor, &ignored, end, err);
        }
    }
    free(firsts);
    return status;
}

enum mr_status mr_cursor_bounds(struct mr_cursor *cursor, int64_t *first, int64_t *end,
                                struct mr_error *err) {
    *first = *end = 0;
    close_file(cursor);
    if (cursor->folder) {
        return records_bounds(cursor, first, end, err);
    }
    enum mr_status status = open_file(cursor, err);
    return status == MR_OK ? file_bounds(cursor, first, end, err) : status;
}

enum mr_status mr_cursor_seek(struct mr_cursor *cursor, int64_t offset, struct mr_error *err) {
    int64_t first, end;
    enum mr_status status = mr_cursor_bounds(cursor, &first, &end, err);
    bool from_first = offset < 0 || is_keyed(cursor);
    if (status == MR_OK && !from_first) {
        status = mr_topic_reaches(&cursor->source, offset, first, end, err);
    }
    close_file(cursor);
    cursor->next = from_first ? first : offset;
    return status;
}

int64_t mr_cursor_next(const struct mr_cursor *cursor) {
    return cursor->next;
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* Moves to the record after the last one delivered. 0, MDB_NOTFOUND at the end, or a code. */
static int go_on(struct mr_cursor *cursor, MDB_val *key, MDB_val *value) {
    if (!is_keyed(cursor)) {
        *key = (MDB_val){sizeof cursor->next, &cursor->next};
        return mdb_cursor_get(cursor->at, key, value, MDB_SET_RANGE);
    }
    if (cursor->next == 0) {
        return mdb_cursor_get(cursor->at, key, value, MDB_FIRST);
    }
    *key = (MDB_val){MR_HASH_BYTES, cursor->hash};
    int code = mdb_cursor_get(cursor->at, key, value, MDB_SET_RANGE);
    if (code == 0 && memcmp(key->mv_data, cursor->hash, MR_HASH_BYTES) == 0) {
        code = mdb_cursor_get(cursor->at, key, value, MDB_NEXT);
    }
    return code;
}

static enum mr_status say_damaged(const struct mr_cursor *cursor, const char *what,
                                  struct mr_error *err) {
    return mr_error_set(err, MR_FAIL, "topic \"%s\", partition %" PRIu32 ", offset %" PRId64 ": %s",
                        cursor->source.topic, cursor->source.partition, cursor->next, what);
}

/* Offsets are dense, hashes ascend: so a walk over damaged pages misses nothing, and ends. */
static enum mr_status check_key(const struct mr_cursor *cursor, const MDB_val *key,
                                struct mr_error *err) {
    int64_t offset;
    if (key->mv_size != (is_keyed(cursor) ? MR_HASH_BYTES : sizeof offset)) {
        return say_damaged(cursor, "the key of this record is damaged", err);
    }
    if (is_keyed(cursor)) {
        bool ascends = cursor->next == 0 || memcmp(key->mv_data, cursor->hash, MR_HASH_BYTES) > 0;
        return ascends ? MR_OK : say_damaged(cursor, "the order of the keys is damaged", err);
    }
    memcpy(&offset, key->mv_data, sizeof offset);
    return offset == cursor->next ? MR_OK : say_damaged(cursor, "this record is missing", err);
}

/* The record under the cursor, checked: MR_OK and *message, and the cursor's place moves on. */
static enum mr_status take(struct mr_cursor *cursor, const MDB_val *key, const MDB_val *value,
                           struct mr_arena *arena, struct mr_message *message,
                           struct mr_error *err) {
    enum mr_status status = check_key(cursor, key, err);
    if (status != MR_OK) {
        return status;
    }
    if (!mr_record_decode(key, value, cursor->seed, arena, message)) {
        return say_damaged(cursor, "this record is damaged (bad checksum)", err);
    }
    if (is_keyed(cursor)) {
        memcpy(cursor->hash, key->mv_data, MR_HASH_BYTES);
    }
    message->offset = cursor->next++;
    return MR_OK;
}

/* The record to deliver next is gone from the front of a job's table. */
static bool was_trimmed(const struct mr_cursor *cursor, const MDB_val *key, const MDB_val *value) {
    MDB_val first, ignored;
    int64_t offset;
    if (cursor->folder || is_keyed(cursor) || key->mv_size != sizeof offset) {
        return false;
    }
    memcpy(&offset, key->mv_data, sizeof offset);
    if (offset <= cursor->next && !mr_record_is_hole(key, value, cursor->seed)) {
        return false;
    }
    return mdb_cursor_get(cursor->at, &first, &ignored, MDB_FIRST) == 0 &&
           first.mv_data == key->mv_data;
}

/* Fills the batch from the open file; none at its end. */
static enum mr_status read_file(struct mr_cursor *cursor, struct mr_batch_space *space,
                                struct mr_batch *batch, struct mr_error *err) {
    MDB_val key, value;
    enum mr_status status = look(cursor, err);
    if (status != MR_OK) {
        return status;
    }
    int code = go_on(cursor, &key, &value);
    if (code == 0 && was_trimmed(cursor, &key, &value)) {
        return say_gone(cursor, err);
    }
    for (size_t bytes = 0; code == 0;) {
        struct mr_message *message = &space->messages[batch->count];
        status = take(cursor, &key, &value, space->arena, message, err);
        if (status != MR_OK) { /* what is good comes first */
            return batch->count > 0 ? MR_OK : status;
        }
        bytes += value.mv_size;
        if (++batch->count == MR_BATCH_RECORDS || bytes >= MR_BATCH_BYTES) {
            return MR_OK;
        }
        code = mdb_cursor_get(cursor->at, &key, &value, MDB_NEXT);
    }
    cursor->seen = mdb_txn_id(cursor->txn);
    return code == MDB_NOTFOUND ? MR_OK : mr_env_error(err, MR_FAIL, cursor->env->path, code);
}

enum mr_status mr_cursor_read(struct mr_cursor *cursor, struct mr_batch_space *space,
                              struct mr_batch *batch, struct mr_error *err) {
    *batch = (struct mr_batch){
        .source = cursor->source, .messages = space->messages, .append_stamped = true};
    mr_arena_reset(space->arena);
    for (;;) {
        enum mr_status status = cursor->env ? MR_OK : open_file(cursor, err);
        if (status != MR_OK || !cursor->env) {
            return status;
        }
        status = read_file(cursor, space, batch, err);
        if (status != MR_OK || batch->count > 0 || !is_followed(cursor)) {
            return status;
        }
        close_file(cursor);
    }
}

bool mr_cursor_has_new(struct mr_cursor *cursor) {
    MDB_envinfo info;
    MDB_val key, value;
    if (is_followed(cursor)) {
        close_file(cursor);
        if (open_file(cursor, NULL) != MR_OK) {
            return true; /* the next read says what is wrong */
        }
    }
    if (!cursor->env) {
        return false;
    }
    mdb_env_info(cursor->env->mdb, &info);
    if (info.me_last_txnid == cursor->seen) {
        return false;
    }
    if (look(cursor, NULL) != MR_OK) {
        return true;
    }
    int code = go_on(cursor, &key, &value);
    cursor->seen = mdb_txn_id(cursor->txn);
    mr_cursor_rest(cursor);
    return code != MDB_NOTFOUND;
}

/* ---- Readers -------------------------------------------------------------------------------- */

void mr_batch_space_init(struct mr_batch_space *space) {
    space->messages = mr_allocate_array(MR_BATCH_RECORDS, struct mr_message);
    space->arena = mr_arena_create();
}

void mr_batch_space_finish(struct mr_batch_space *space) {
    free(space->messages);
    mr_arena_destroy(space->arena);
}

enum mr_status mr_local_bounds(struct mr_log *base, const struct mr_partition *source,
                               int64_t *first, int64_t *end, struct mr_error *err) {
    struct mr_cursor *cursor;
    enum mr_status status = mr_cursor_open((struct mr_local_log *)base, source, &cursor, err);
    if (status == MR_OK) {
        status = mr_cursor_bounds(cursor, first, end, err);
        mr_cursor_close(cursor);
    }
    return status;
}

enum mr_status mr_local_reader_open(struct mr_log *base, const struct mr_partition *source,
                                    int64_t from, struct mr_reader **out, struct mr_error *err) {
    struct mr_cursor *cursor;
    enum mr_status status = mr_cursor_open((struct mr_local_log *)base, source, &cursor, err);
    if (status != MR_OK) {
        return status;
    }
    status = mr_cursor_seek(cursor, from, err);
    if (status != MR_OK) {
        mr_cursor_close(cursor);
        return status;
    }
    struct local_reader *reader = mr_allocate(sizeof *reader);
    reader->cursor = cursor;
    mr_batch_space_init(&reader->space);
    *out = &reader->base;
    return MR_OK;
}

enum mr_status mr_local_read(struct mr_reader *base, int64_t timeout_ns, struct mr_batch *batch,
                             struct mr_error *err) {
    struct local_reader *reader = (struct local_reader *)base;
    enum mr_status status = mr_cursor_read(reader->cursor, &reader->space, batch, err);
    batch->end = batch->count == 0;
    if (batch->end) {
        mr_cursor_rest(reader->cursor);
    }
    return status;
}

void mr_local_reader_close(struct mr_reader *base) {
    struct local_reader *reader = (struct local_reader *)base;
    mr_cursor_close(reader->cursor);
    mr_batch_space_finish(&reader->space);
    free(reader);
}
