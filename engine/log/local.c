/* The embedded log: topics in a directory of one machine, kept by LMDB.
 *
 *     DIR/
 *       VERSION                        "millrace-log 1"
 *       topics/NAME/topic              the description                        local_catalog.c
 *       topics/NAME/PARTITION/N.mdb    of an input topic: a file per range    local_topic.c
 *                                      of offsets
 *       jobs/NAME/job.mdb              all that one job writes: positions,    local_job.c
 *                                      outputs, dead letters, changelog      local_trim.c
 *       jobs/NAME/lock                 who runs it                            local_lock.c
 *       new/                           topics being made
 *
 *   producer --> topics/... --> session of a job --> jobs/... --> readers, other jobs
 *
 * Invariants
 * - One writer at a time per file, by LMDB's lock, across processes. A producer and a job never
 *   write to the same file, so neither waits for the other.
 * - A job's transaction is one LMDB transaction in one file: all of it or nothing, also when the
 *   power goes. A producer's is one per partition.
 * - What is acknowledged is synced, and so is the name of every new file.
 * - Every record and position carries a CRC32C and is checked on every read (local_record.c): LMDB
 *   itself hands out a flipped byte as good. A damaged page head can end the process that reads it,
 *   so local_check.c reads in a child.
 *
 * Not done: compaction of a file's free pages (LMDB reuses them), waking followers (they look every
 * 2 ms), more than one machine: that is what Kafka is for. */
#include "engine/log/local.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT 1

static enum mr_status check_version(const char *root, struct mr_error *err) {
    char text[4096];
    int format;
    char *path = mr_path("%s/VERSION", root);
    long length = mr_file_read(path, text);
    int code = errno;
    free(path);
    if (length < 0) {
        return mr_env_error(err, MR_REJECT, root, code);
    }
    if (sscanf(text, "millrace-log %d", &format) != 1 || format < 1) {
        return mr_error_set(err, MR_REJECT, "%s/VERSION: this is not the version of a log", root);
    }
    if (format > FORMAT) {
        return mr_error_set(err, MR_REJECT,
                            "%s was written by a newer version of millrace (format %d; this one "
                            "knows %d): update millrace",
                            root, format, FORMAT);
    }
    return MR_OK;
}

/* What another process may just be writing does not count. */
static int is_foreign(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
           strncmp(entry->d_name, "VERSION", 7) != 0;
}

static enum mr_status write_version(const char *root, struct mr_error *err) {
    struct dirent **entries;
    int found = scandir(root, &entries, is_foreign, NULL);
    if (found < 0) {
        return mr_env_error(err, MR_REJECT, root, errno);
    }
    for (int i = 0; i < found; i++) {
        free(entries[i]);
    }
    free(entries);
    if (found > 0) {
        return mr_error_set(err, MR_REJECT,
                            "%s is not a log, and not empty: choose another directory", root);
    }
    struct mr_buffer text = {0};
    char *path = mr_path("%s/VERSION", root);
    mr_buffer_format(&text, "millrace-log %d\n", FORMAT);
    int code = mr_file_replace(path, mr_buffer_slice(&text));
    mr_buffer_finish(&text);
    free(path);
    return code == 0 ? MR_OK : mr_env_error(err, MR_REJECT, root, code);
}

static int make_folders(const char *root) {
    const char *names[] = {"topics", "jobs", "new"};
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof names / sizeof *names; i++) {
        char *path = mr_path("%s/%s", root, names[i]);
        code = mr_folder_make(path);
        free(path);
    }
    return code == 0 ? mr_folder_sync(root) : code;
}

static enum mr_status open_root(const char *root, bool make, struct mr_error *err) {
    char *version = mr_path("%s/VERSION", root);
    bool is_log = mr_path_exists(version);
    free(version);
    if (!is_log && !make) {
        return mr_error_set(err, MR_REJECT, "%s holds no log yet: nothing was produced to it",
                            root);
    }
    enum mr_status status = is_log ? MR_OK : write_version(root, err);
    if (status == MR_OK) {
        status = check_version(root, err);
    }
    int code = status == MR_OK ? make_folders(root) : 0;
    return code == 0 ? status : mr_env_error(err, MR_REJECT, root, code);
}

/* Makes the directory too, but not the one above it: that is more likely a slip. */
static int make_root(const char *path) {
    if (mr_path_exists(path)) {
        return 0;
    }
    char *above = mr_path("%s/..", path);
    int code = mr_folder_make(path);
    code = code == 0 ? mr_folder_sync(above) : code;
    free(above);
    return code;
}

static enum mr_status find_root(const char *path, bool make, char **root, struct mr_error *err) {
    struct stat status;
    int code = make ? make_root(path) : 0;
    if (code == 0 && stat(path, &status) != 0) {
        code = errno;
    }
    if (code == 0 && !S_ISDIR(status.st_mode)) {
        code = ENOTDIR;
    }
    *root = code == 0 ? realpath(path, NULL) : NULL;
    if (code == 0 && !*root) {
        code = errno;
    }
    if (code == ENOENT && !make) {
        return mr_error_set(err, MR_REJECT, "there is no log in %s: `millrace produce` makes one",
                            path);
    }
    return code == 0 ? MR_OK
                     : mr_error_set(err, MR_REJECT, "%s cannot be a log: %s", path, strerror(code));
}

static enum mr_status local_open(const char *path, const struct mr_log_options *options,
                                 const struct mr_clock *clock, struct mr_log **out,
                                 struct mr_error *err) {
    char *root;
    if (!*path) {
        return mr_error_set(err, MR_REJECT, "local: needs a directory, such as local:./data");
    }
    enum mr_status status = find_root(path, options->make, &root, err);
    if (status == MR_OK) {
        status = open_root(root, options->make, err);
    }
    if (status != MR_OK) {
        free(root);
        return status;
    }
    struct mr_local_log *log = mr_allocate(sizeof *log);
    log->root = root;
    *out = &log->base;
    return MR_OK;
}

static void local_close(struct mr_log *base) {
    struct mr_local_log *log = (struct mr_local_log *)base;
    free(log->root);
    free(log);
}

const struct mr_log_type mr_local_log = {
    .scheme = "local",
    .summary = "a directory of this machine",
    .open = local_open,
    .close = local_close,
    .describe = mr_catalog_describe,
    .create = mr_catalog_create,
    .list = mr_catalog_list,
    .bounds = mr_local_bounds,
    .check = mr_local_check,
    .reset = mr_job_reset,
    .trim = mr_local_trim,
    .session_open = mr_local_session_open,
    .poll = mr_local_session_poll,
    .start = mr_local_session_start,
    .append = mr_local_session_append,
    .commit = mr_local_session_commit,
    .abort = mr_local_session_abort,
    .session_close = mr_local_session_close,
    .reader_open = mr_local_reader_open,
    .read = mr_local_read,
    .reader_close = mr_local_reader_close,
};
