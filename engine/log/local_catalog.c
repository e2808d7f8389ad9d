/* The catalog of the embedded log: a folder per topic, with its description as text.
 *
 *     topics/readings/topic        partitions 4
 *                                  kind records
 *                                  retention_ns -1
 *                                  retention_bytes -1
 *                                  job -
 *                                  crc32c 1a2b3c4d        of the lines above
 *
 * A topic appears at once: it is built below new/ and renamed into topics/. Whoever comes second
 * finds the name taken and compares. A job's tables are made before its topic appears. */
#include "engine/log/local.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <millrace/hash.h>
#include <stdlib.h>
#include <unistd.h>

static void describe(const struct mr_topic *topic, struct mr_buffer *text) {
    mr_buffer_format(text, "partitions %" PRIu32 "\nkind %s\n", topic->partitions,
                     topic->kind == MR_KEEP_RECORDS ? "records" : "changelog");
    mr_buffer_format(text, "retention_ns %" PRId64 "\nretention_bytes %" PRId64 "\njob %s\n",
                     topic->retention_ns, topic->retention_bytes, topic->job[0] ? topic->job : "-");
    uint32_t crc = mr_crc32c(0, text->data, text->length);
    mr_buffer_format(text, "crc32c %08" PRIx32 "\n", crc);
}

static bool parse(const char *text, struct mr_topic *topic) {
    char kind[16], job[MR_TOPIC_NAME_MAX + 1];
    uint32_t crc;
    int covered = 0, fields;
    fields = sscanf(text,
                    "partitions %" SCNu32 " kind %15s retention_ns %" SCNd64
                    " retention_bytes %" SCNd64 " job %249s\n%ncrc32c %" SCNx32,
                    &topic->partitions, kind, &topic->retention_ns, &topic->retention_bytes, job,
                    &covered, &crc);
    if (fields != 6 || mr_crc32c(0, text, (size_t)covered) != crc) {
        return false;
    }
    topic->kind = strcmp(kind, "records") == 0 ? MR_KEEP_RECORDS : MR_KEEP_LAST_OF_KEY;
    snprintf(topic->job, sizeof topic->job, "%s", strcmp(job, "-") == 0 ? "" : job);
    return mr_topic_check(topic, NULL) == MR_OK;
}

enum mr_status mr_catalog_describe(struct mr_log *base, const char *name, struct mr_topic *out,
                                   struct mr_error *err) {
    const struct mr_local_log *log = (const struct mr_local_log *)base;
    char text[4096];
    if (strchr(name, '/') || strlen(name) > MR_TOPIC_NAME_MAX) {
        return mr_topic_missing(base, name, err);
    }
    *out = (struct mr_topic){0};
    snprintf(out->name, sizeof out->name, "%s", name);
    char *path = mr_path("%s/topics/%s/topic", log->root, name);
    enum mr_status status = MR_OK;
    if (mr_file_read(path, text) < 0) {
        status = errno == ENOENT ? mr_topic_missing(base, name, err)
                                 : mr_env_error(err, MR_FAIL, path, errno);
    } else if (!parse(text, out)) {
        status = mr_error_set(err, MR_FAIL, "%s: this description of a topic is damaged", path);
    }
    free(path);
    return status;
}

/* Everything of a new topic, below `folder`. 0 or errno. */
static int build(const char *folder, const struct mr_topic *topic) {
    struct mr_buffer text = {0};
    char *path = mr_path("%s/topic", folder);
    describe(topic, &text);
    int code = mr_folder_make(folder);
    if (code == 0) {
        code = mr_file_replace(path, mr_buffer_slice(&text));
    }
    free(path);
    mr_buffer_finish(&text);
    for (uint32_t p = 0; code == 0 && !topic->job[0] && p < topic->partitions; p++) {
        path = mr_path("%s/%" PRIu32, folder, p);
        code = mr_folder_make(path);
        free(path);
    }
    return code == 0 ? mr_folder_sync(folder) : code;
}

/* 0, EEXIST, or another errno. */
static int appear(const struct mr_local_log *log, const struct mr_topic *topic) {
    char *topics = mr_path("%s/topics", log->root);
    char *to = mr_path("%s/%s", topics, topic->name);
    char *from = mr_path("%s/new/%s.%d", log->root, topic->name, (int)getpid());
    mr_folder_remove(from); /* of a process that was killed here, with our number */
    int code = build(from, topic);
    if (code == 0 && rename(from, to) != 0) {
        code = errno == ENOTEMPTY ? EEXIST : errno;
    }
    if (code == 0) {
        code = mr_folder_sync(topics);
    } else {
        mr_folder_remove(from);
    }
    free(from);
    free(to);
    free(topics);
    return code;
}

static enum mr_status create_new(struct mr_log *base, const struct mr_topic *topic, bool *taken,
                                 struct mr_error *err) {
    const struct mr_local_log *log = (const struct mr_local_log *)base;
    enum mr_status status = topic->job[0] ? mr_job_make(log, topic->job, topic, err) : MR_OK;
    if (status != MR_OK) {
        return status;
    }
    int code = appear(log, topic);
    *taken = code == EEXIST;
    return code == 0 || *taken ? MR_OK : mr_env_error(err, MR_FAIL, log->root, code);
}

enum mr_status mr_catalog_create(struct mr_log *base, const struct mr_topic *topic,
                                 struct mr_error *err) {
    const struct mr_local_log *log = (const struct mr_local_log *)base;
    struct mr_topic found;
    char *path = mr_path("%s/topics/%s", log->root, topic->name);
    bool taken = mr_path_exists(path);
    free(path);
    enum mr_status status = taken ? MR_OK : create_new(base, topic, &taken, err);
    if (status == MR_OK && taken) {
        status = mr_catalog_describe(base, topic->name, &found, err);
        if (status == MR_OK) {
            status = mr_topic_compare(&found, topic, err);
        }
    }
    return status;
}

static int is_name(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

enum mr_status mr_catalog_list(struct mr_log *base, struct mr_topic **topics, size_t *count,
                               struct mr_error *err) {
    const struct mr_local_log *log = (const struct mr_local_log *)base;
    struct dirent **entries;
    char *path = mr_path("%s/topics", log->root);
    int found = scandir(path, &entries, is_name, NULL);
    enum mr_status status = found < 0 ? mr_env_error(err, MR_FAIL, path, errno) : MR_OK;
    free(path);
    *count = 0;
    *topics = status == MR_OK ? mr_allocate_array((size_t)found + 1, struct mr_topic) : NULL;
    for (int i = 0; i < found; i++) {
        if (status == MR_OK) {
            status = mr_catalog_describe(base, entries[i]->d_name, &(*topics)[*count], err);
            ++*count;
        }
        free(entries[i]);
    }
    if (found >= 0) {
        free(entries);
    }
    if (status != MR_OK) {
        free(*topics);
        *topics = NULL;
    }
    return status;
}
