/* Lines to records.
 *
 *   files -> read 256 KiB -> | rest of a line | ... line \n line \n lin... |
 *                            at               scanned                     end
 *
 * A line is the record's value as it stands, without its line end (\n or \r\n); the last one needs
 * none. It is not parsed unless a key is wanted: what is wrong with it is for the job to judge, in
 * its dead letters. A line of nothing but blanks is left out and counted.
 *
 * With a key wanted, a line whose key cannot be read is refused with file and line, because a
 * record without its key would go to the wrong partition; the rest goes on.
 *
 * Reading waits at most 200 ms, so that what a slow producer has written is committed while the
 * next line is waited for, and a signal is seen. */
#include "engine/edge/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <millrace/codec.h>
#include <millrace/json.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES  ((size_t)256 << 10)
#define LINE_BYTES  ((size_t)256 << 20)
#define WAIT_MS     200
#define REFUSED_MAX 20 /* told one by one */

struct source {
    const char *name;
    int fd;
    struct mr_buffer buffer;
    size_t at;      /* the line begins here         */
    size_t scanned; /* no line end before this byte */
    bool at_end;
    uint64_t line; /* from 1 */
};

struct producer {
    struct mr_writer writer;
    const struct mr_lines *lines;
    struct mr_json *json;
    struct mr_buffer key;
};

/* ---- Lines --------------------------------------------------------------------------------- */

/* Reads some more, or waits for it a while. */
static enum mr_status read_more(struct source *source, struct mr_error *err) {
    struct mr_buffer *buffer = &source->buffer;
    if (source->at > 0) {
        memmove(buffer->data, buffer->data + source->at, buffer->length - source->at);
        buffer->length -= source->at;
        source->scanned -= source->at;
        source->at = 0;
    }
    if (buffer->length > LINE_BYTES) {
        return mr_error_set(err, MR_FAIL, "%s:%llu: a line longer than 256 MiB", source->name,
                            (unsigned long long)source->line);
    }
    struct pollfd ready = {.fd = source->fd, .events = POLLIN};
    if (poll(&ready, 1, WAIT_MS) <= 0) {
        return MR_OK;
    }
    mr_buffer_reserve(buffer, READ_BYTES);
    ssize_t n = read(source->fd, buffer->data + buffer->length, READ_BYTES);
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        return mr_error_set(err, MR_FAIL, "cannot read %s: %s", source->name, strerror(errno));
    }
    if (n == 0) {
        source->at_end = true;
    }
    buffer->length += n > 0 ? (size_t)n : 0;
    return MR_OK;
}

/* The next whole line, if it has been read. */
static bool next_line(struct source *source, struct mr_slice *line) {
    struct mr_buffer *buffer = &source->buffer;
    if (source->at == buffer->length) {
        return false;
    }
    const char *from = buffer->data + source->scanned;
    const char *end = memchr(from, '\n', buffer->length - source->scanned);
    if (!end && !source->at_end) {
        source->scanned = buffer->length;
        return false;
    }
    size_t stop = end ? (size_t)(end - buffer->data) : buffer->length;
    *line = (struct mr_slice){buffer->data + source->at, stop - source->at};
    if (line->length > 0 && line->data[line->length - 1] == '\r') {
        line->length--;
    }
    source->at = source->scanned = end ? stop + 1 : stop;
    source->line++;
    return true;
}

static bool is_blank(struct mr_slice line) {
    size_t i = 0;
    while (i < line.length && (line.data[i] == ' ' || line.data[i] == '\t')) {
        i++;
    }
    return i == line.length;
}

/* ---- Keys ---------------------------------------------------------------------------------- */

/* The value of `name` at the root of an object; NULL and a reason if it is not there once. */
static const struct mr_json_value *find_member(const struct mr_json_value *root, const char *name,
                                               struct mr_error *why) {
    const struct mr_json_value *found = NULL, *child = mr_json_first(root);
    for (size_t i = mr_json_count(root); i > 0; i--) {
        const struct mr_json_value *value = mr_json_member(child);
        if (mr_slice_equal(mr_json_string(child), mr_slice_of(name))) {
            if (found) {
                mr_error_set(why, MR_REJECT, "field `%s` is there twice", name);
                return NULL;
            }
            found = value;
        }
        child = i > 1 ? mr_json_next(value) : NULL;
    }
    if (!found) {
        mr_error_set(why, MR_REJECT, "field `%s` is missing: no key", name);
    }
    return found;
}

/* The value as text: as the codec compares it with the record's key. */
static enum mr_status value_text(const struct mr_json_value *value, struct mr_buffer *out,
                                 struct mr_error *why) {
    char number[MR_JSON_NUMBER_MAX];
    switch (mr_json_kind(value)) {
    case MR_JSON_STRING: {
        struct mr_slice text = mr_json_string(value);
        mr_buffer_add(out, text.data, text.length);
        return MR_OK;
    }
    case MR_JSON_INTEGER:
        mr_buffer_add(out, number, mr_json_write_integer(number, mr_json_integer(value)));
        return MR_OK;
    case MR_JSON_NUMBER:
        mr_buffer_add(out, number, mr_json_write_number(number, mr_json_number(value)));
        return MR_OK;
    case MR_JSON_BOOLEAN:
        mr_buffer_text(out, mr_json_boolean(value) ? "true" : "false");
        return MR_OK;
    default:
        return mr_error_set(why, MR_REJECT, "is null, an array or an object: no key");
    }
}

static enum mr_status read_key(struct producer *it, struct mr_slice line, struct mr_slice *key,
                               struct mr_error *why) {
    const struct mr_json_value *root = mr_json_parse(it->json, line, why);
    if (!root) {
        return MR_REJECT;
    }
    if (mr_json_kind(root) != MR_JSON_OBJECT) {
        return mr_error_set(why, MR_REJECT, "not a JSON object, so it has no field `%s`",
                            it->lines->key);
    }
    const struct mr_json_value *value = find_member(root, it->lines->key, why);
    if (!value) {
        return MR_REJECT;
    }
    struct mr_error reason = {{0}};
    it->key.length = 0;
    if (value_text(value, &it->key, &reason) != MR_OK) {
        return mr_error_set(why, MR_REJECT, "field `%s` %s", it->lines->key, reason.text);
    }
    *key = mr_buffer_slice(&it->key);
    if (key->length == 0 || key->length > MR_KEY_MAX) {
        return mr_error_set(why, MR_REJECT, "field `%s`: a key has 1 to %d bytes, this one %zu",
                            it->lines->key, MR_KEY_MAX, key->length);
    }
    return MR_OK;
}

/* ---- Records ------------------------------------------------------------------------------- */
static void refuse_line(struct producer *it, const struct source *source,
                        const struct mr_error *why) {
    uint64_t refused = ++it->writer.written->refused;
    if (refused <= REFUSED_MAX) {
        mr_warn("%s:%llu: refused: %s", source->name, (unsigned long long)source->line, why->text);
    }
}

static enum mr_status write_line(struct producer *it, const struct source *source,
                                 struct mr_slice line, struct mr_error *err) {
    if (is_blank(line)) {
        it->writer.written->blank++;
        return MR_OK;
    }
    struct mr_slice key = {NULL, 0};
    enum mr_status status = it->lines->key ? read_key(it, line, &key, err) : MR_OK;
    if (status == MR_OK) {
        status = mr_writer_append(&it->writer, key, line, err);
    }
    if (status == MR_REJECT) {
        refuse_line(it, source, err);
        return MR_OK;
    }
    return status;
}

static enum mr_status write_source(struct producer *it, struct source *source,
                                   struct mr_error *err) {
    const struct mr_clock *clock = it->writer.log->clock;
    enum mr_status status = MR_OK;
    while (status == MR_OK && !atomic_load(it->writer.target->stop)) {
        struct mr_slice line;
        if (next_line(source, &line)) {
            status = write_line(it, source, line, err);
        } else if (source->at_end) {
            return MR_OK;
        } else {
            status = read_more(source, err);
            if (status == MR_OK && mr_writer_due(&it->writer, clock->steady_ns(clock))) {
                status = mr_writer_commit(&it->writer, err);
            }
        }
    }
    return status;
}

static enum mr_status write_file(struct producer *it, const char *path, struct mr_error *err) {
    bool standard = strcmp(path, "-") == 0;
    struct source source = {.name = standard ? "standard input" : path};
    source.fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (source.fd < 0) {
        return mr_error_set(err, MR_FAIL, "cannot open %s: %s", path, strerror(errno));
    }
    enum mr_status status = write_source(it, &source, err);
    if (!standard) {
        close(source.fd);
    }
    mr_buffer_finish(&source.buffer);
    return status;
}

/* A file that is not there is told before anything is written. */
static enum mr_status check_files(const struct mr_lines *lines, struct mr_error *err) {
    for (size_t i = 0; i < lines->file_count; i++) {
        if (strcmp(lines->files[i], "-") != 0 && access(lines->files[i], R_OK) != 0) {
            return mr_error_set(err, MR_FAIL, "cannot open %s: %s", lines->files[i],
                                strerror(errno));
        }
    }
    return MR_OK;
}

static enum mr_status write_files(struct producer *it, struct mr_error *err) {
    static const char *const standard[] = {"-"};
    const struct mr_lines *lines = it->lines;
    size_t count = lines->file_count ? lines->file_count : 1;
    const char *const *files = lines->file_count ? lines->files : standard;
    enum mr_status status = MR_OK;
    for (size_t i = 0; i < count && status == MR_OK; i++) {
        status = write_file(it, files[i], err);
    }
    struct mr_error commit_err;
    enum mr_status committed = mr_writer_commit(&it->writer, &commit_err);
    if (status == MR_OK && committed != MR_OK) {
        *err = commit_err;
        return committed;
    }
    return status;
}

enum mr_status mr_produce_lines(struct mr_log *log, const struct mr_target *target,
                                const struct mr_lines *lines, struct mr_written *written,
                                struct mr_error *err) {
    *written = (struct mr_written){0};
    enum mr_status status = check_files(lines, err);
    if (status != MR_OK) {
        return status;
    }
    struct producer it = {.lines = lines, .json = mr_json_create()};
    status = mr_writer_open(&it.writer, log, target, written, err);
    if (status == MR_OK) {
        status = write_files(&it, err);
    }
    mr_writer_close(&it.writer);
    mr_buffer_finish(&it.key);
    mr_json_destroy(it.json);
    if (written->refused > REFUSED_MAX) {
        mr_warn("%llu more lines were refused",
                (unsigned long long)(written->refused - REFUSED_MAX));
    }
    return status;
}
