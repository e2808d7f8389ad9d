/* The embedded log against bare LMDB at the same batch size: how much of LMDB's rate is left.
 *
 *     bench_log [DIR] [ROUNDS]      default: a new directory below /tmp, 5 rounds
 *
 * The rounds run bare, log, bare, log..., so that a machine whose speed changes changes both. The
 * rates are medians; the ratio is the median of the rounds' own, with the least and the largest.
 * Bare LMDB: one environment, integer keys, MDB_APPEND, the same bytes as values, a sync per
 * commit, and for reading a cursor that touches every value's first byte. The log does more: it
 * copies what is appended, encodes it, and computes a CRC32C when writing and when reading. */
#include "engine/log/log.h"

#include <ftw.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdlib.h>

#define ROUNDS_MAX 99

struct shape {
    const char *name;
    size_t bytes, per_commit, commits;
};

struct rates { /* MB/s of values */
    double write, read;
};

static const struct shape shapes[] = {
    {"100 B x 10,000", 100, 10000, 100},
    {"64 KiB x 16", 65536, 16, 100},
    {"64 KiB x 256", 65536, 256, 8},
};

static char *payload;

static void must(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "bench_log: %s failed\n", what);
        exit(1);
    }
}

static double seconds_since(int64_t start) {
    return (double)(mr_real_clock.steady_ns(&mr_real_clock) - start) / 1e9;
}

static double megabytes(const struct shape *shape) {
    return (double)(shape->bytes * shape->per_commit * shape->commits) / 1e6;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
    return remove(path);
}

/* ---- Bare LMDB ------------------------------------------------------------------------------ */

static void write_bare(MDB_env *env, MDB_dbi *table, const struct shape *shape) {
    uint64_t next = 0;
    for (size_t c = 0; c < shape->commits; c++) {
        MDB_txn *txn;
        MDB_cursor *cursor;
        must(mdb_txn_begin(env, NULL, 0, &txn) == 0, "mdb_txn_begin");
        must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, table) == 0, "mdb_dbi_open");
        must(mdb_cursor_open(txn, *table, &cursor) == 0, "mdb_cursor_open");
        for (size_t i = 0; i < shape->per_commit; i++, next++) {
            MDB_val key = {sizeof next, &next}, value = {shape->bytes, payload};
            must(mdb_cursor_put(cursor, &key, &value, MDB_APPEND) == 0, "mdb_cursor_put");
        }
        mdb_cursor_close(cursor);
        must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
    }
}

static void read_bare(MDB_env *env, MDB_dbi table, const struct shape *shape) {
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    size_t count = 0, sum = 0;
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0, "mdb_txn_begin");
    must(mdb_cursor_open(txn, table, &cursor) == 0, "mdb_cursor_open");
    for (; mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0; count++) {
        sum += *(const unsigned char *)value.mv_data;
    }
    must(count == shape->per_commit * shape->commits && sum > 0, "reading back");
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
}

static struct rates run_bare(const char *directory, const struct shape *shape) {
    MDB_env *env;
    MDB_dbi table;
    struct rates rates;
    char path[4096];
    snprintf(path, sizeof path, "%s/bare.mdb", directory);
    must(mdb_env_create(&env) == 0, "mdb_env_create");
    mdb_env_set_mapsize(env, (size_t)16 << 30);
    must(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS, 0666) == 0, "mdb_env_open");
    int64_t start = mr_real_clock.steady_ns(&mr_real_clock);
    write_bare(env, &table, shape);
    rates.write = megabytes(shape) / seconds_since(start);
    start = mr_real_clock.steady_ns(&mr_real_clock);
    read_bare(env, table, shape);
    rates.read = megabytes(shape) / seconds_since(start);
    mdb_env_close(env);
    remove(path);
    snprintf(path, sizeof path, "%s/bare.mdb-lock", directory);
    remove(path);
    return rates;
}

/* ---- The log -------------------------------------------------------------------------------- */

/* Appends and commits; one record first, with the clock not yet running: it makes the file. */
static double write_log(struct mr_log *log, const struct shape *shape) {
    struct mr_session *producer;
    struct mr_append record = {.topic = "t", .timestamp_ns = -1, .value = {payload, shape->bytes}};
    must(mr_session_open(log, &(struct mr_session_options){0}, &producer, NULL) == MR_OK, "open");
    must(mr_session_append(producer, &record, NULL) == MR_OK, "append");
    must(mr_session_commit(producer, NULL, 0, NULL) == MR_COMMITTED, "commit");
    int64_t start = mr_real_clock.steady_ns(&mr_real_clock);
    for (size_t c = 0; c < shape->commits; c++) {
        for (size_t i = 0; i < shape->per_commit; i++) {
            must(mr_session_append(producer, &record, NULL) == MR_OK, "append");
        }
        must(mr_session_commit(producer, NULL, 0, NULL) == MR_COMMITTED, "commit");
    }
    double rate = megabytes(shape) / seconds_since(start);
    mr_session_close(producer);
    return rate;
}

static void read_log(struct mr_log *log, const struct shape *shape) {
    struct mr_reader *reader;
    struct mr_batch batch = {.count = 1};
    struct mr_partition source = {"t", 0};
    size_t count = 0;
    must(mr_reader_open(log, &source, -1, &reader, NULL) == MR_OK, "reader");
    while (batch.count > 0) {
        must(mr_reader_read(reader, 0, &batch, NULL) == MR_OK, "read");
        count += batch.count;
    }
    must(count == shape->per_commit * shape->commits + 1, "reading back");
    mr_reader_close(reader);
}

static struct rates run_log(const char *directory, const struct shape *shape) {
    struct mr_log *log;
    struct mr_error err;
    struct rates rates;
    char url[4096];
    struct mr_topic topic = {
        .name = "t", .partitions = 1, .retention_ns = -1, .retention_bytes = -1};
    snprintf(url, sizeof url, "local:%s/log", directory);
    must(mr_log_open(url, &(struct mr_log_options){.make = true}, &mr_real_clock, &log, &err) ==
             MR_OK,
         "mr_log_open");
    must(mr_log_create(log, &topic, &err) == MR_OK, "mr_log_create");
    rates.write = write_log(log, shape);
    int64_t start = mr_real_clock.steady_ns(&mr_real_clock);
    read_log(log, shape);
    rates.read = megabytes(shape) / seconds_since(start);
    mr_log_close(log);
    nftw(strchr(url, ':') + 1, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rates;
}

/* ---- Comparing ------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_number);
    return values[count / 2];
}

static void compare(const char *directory, const struct shape *shape, int rounds) {
    double rates[4][ROUNDS_MAX], ratios[ROUNDS_MAX];
    for (int r = 0; r < rounds; r++) {
        struct rates bare = run_bare(directory, shape), log = run_log(directory, shape);
        rates[0][r] = bare.write;
        rates[1][r] = log.write;
        rates[2][r] = bare.read;
        rates[3][r] = log.read;
        ratios[r] = 100 * log.write / bare.write;
    }
    printf("%-16s %8.0f %8.0f", shape->name, median(rates[0], rounds), median(rates[1], rounds));
    double middle = median(ratios, rounds); /* sorts them */
    printf("  %4.0f %% (%.0f to %.0f)", middle, ratios[0], ratios[rounds - 1]);
    printf(" %10.0f %8.0f\n", median(rates[2], rounds), median(rates[3], rounds));
    fflush(stdout);
}

int main(int count, char **arguments) {
    char made[] = "/tmp/millrace-bench-XXXXXX";
    const char *directory = count > 1 ? arguments[1] : mkdtemp(made);
    int rounds = count > 2 ? (int)strtol(arguments[2], NULL, 10) : 5;
    must(directory && rounds >= 1 && rounds <= ROUNDS_MAX, "bench_log [DIR] [ROUNDS 1..99]");
    payload = mr_allocate(65536);
    for (size_t i = 0; i < 65536; i++) {
        payload[i] = (char)(i * 2654435761u >> 11 | 1);
    }
    printf("%-16s %8s %8s  %-20s %8s %8s\n", "write, read MB/s", "LMDB", "log", "ratio", "LMDB",
           "log");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        compare(directory, &shapes[i], rounds);
    }
    if (directory == made) {
        remove(directory);
    }
    free(payload);
    return 0;
}
