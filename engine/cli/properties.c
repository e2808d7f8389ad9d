/* The file of --kafka: what Kafka's own tools take by --command-config, for librdkafka.
 *
 *   # comment
 *   security.protocol=SASL_SSL
 *   sasl.password = hunter2           blanks around both sides do not count
 *
 * What a name or a value means is the client's to judge, when the log is opened. Messages tell
 * file, line and name; never a value, and never a line, which may be a value that was wrapped. */
#include "engine/cli/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)64 << 10)

static struct mr_slice trim(struct mr_slice text) {
    while (text.length > 0 && strchr(" \t\r", text.data[0])) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 && strchr(" \t\r", text.data[text.length - 1])) {
        text.length--;
    }
    return text;
}

static char *copy(struct mr_arena *memory, struct mr_slice text) {
    char *copy = mr_arena_take(memory, text.length + 1);
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return copy;
}

static bool is_name(struct mr_slice text) {
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            !strchr("._-", c)) {
            return false;
        }
    }
    return text.length > 0;
}

static enum mr_status take_line(struct mr_properties *properties, const char *path, size_t number,
                                struct mr_slice line, struct mr_error *err) {
    line = trim(line);
    if (line.length == 0 || line.data[0] == '#') {
        return MR_OK;
    }
    const char *equals = memchr(line.data, '=', line.length);
    struct mr_slice name = {line.data, equals ? (size_t)(equals - line.data) : 0};
    name = trim(name);
    if (!is_name(name)) {
        return mr_error_set(err, MR_REJECT,
                            "%s:%zu: expected NAME=VALUE, such as security.protocol=SASL_SSL (the "
                            "line is not shown: it may hold a secret)",
                            path, number);
    }
    struct mr_slice value = {equals + 1, line.length - (size_t)(equals + 1 - line.data)};
    value = trim(value);
    if (value.length == 0) {
        return mr_error_set(err, MR_REJECT, "%s:%zu: %.*s has no value", path, number,
                            (int)name.length, name.data);
    }
    properties->items =
        mr_reallocate(properties->items, (properties->count + 1) * sizeof *properties->items);
    properties->items[properties->count++] =
        (struct mr_property){copy(properties->memory, name), copy(properties->memory, value)};
    return MR_OK;
}

static bool is_secret(const char *name) {
    static const char *const words[] = {"password",           "secret", "token", ".pem",
                                        "oauthbearer.config", NULL};
    for (const char *const *word = words; *word; word++) {
        if (strstr(name, *word)) {
            return true;
        }
    }
    return false;
}

static void warn_of_readers(const struct mr_properties *properties, size_t from, const char *path,
                            const struct stat *about) {
    for (size_t i = from;
         S_ISREG(about->st_mode) && (about->st_mode & S_IROTH) && i < properties->count; i++) {
        if (is_secret(properties->items[i].name)) {
            mr_warn("%s holds %s and everyone on this machine may read it; `chmod 600` it", path,
                    properties->items[i].name);
            return;
        }
    }
}

static enum mr_status read_all(const char *path, int file, struct mr_buffer *text,
                               struct mr_error *err) {
    char block[4096];
    ssize_t n = 1;
    while (n != 0 && text->length <= FILE_MAX) {
        n = read(file, block, sizeof block);
        if (n < 0 && errno != EINTR) {
            return mr_error_set(err, MR_REJECT, "%s: %s", path, strerror(errno));
        }
        mr_buffer_add(text, block, n > 0 ? (size_t)n : 0);
    }
    if (text->length > FILE_MAX || memchr(text->data ? text->data : "", '\0', text->length)) {
        return mr_error_set(err, MR_REJECT, "%s is no file of properties: it is %s", path,
                            text->length > FILE_MAX ? "longer than 64 KiB" : "no text");
    }
    return MR_OK;
}

static enum mr_status take_text(struct mr_properties *properties, const char *path,
                                struct mr_slice text, struct mr_error *err) {
    enum mr_status status = MR_OK;
    for (size_t number = 1; text.length > 0 && status == MR_OK; number++) {
        const char *end = memchr(text.data, '\n', text.length);
        size_t length = end ? (size_t)(end - text.data) : text.length;
        status = take_line(properties, path, number, (struct mr_slice){text.data, length}, err);
        length += end != NULL;
        text = (struct mr_slice){text.data + length, text.length - length};
    }
    return status;
}

enum mr_status mr_properties_read(struct mr_properties *properties, const char *path,
                                  struct mr_error *err) {
    struct mr_buffer text = {0};
    struct stat about;
    size_t before = properties->count;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &about) != 0) {
        mr_error_set(err, MR_REJECT, "%s: %s", path, strerror(errno));
        if (file >= 0) {
            close(file);
        }
        return MR_REJECT;
    }
    if (!properties->memory) {
        properties->memory = mr_arena_create();
    }
    enum mr_status status = read_all(path, file, &text, err);
    close(file);
    if (status == MR_OK) {
        status = take_text(properties, path, mr_buffer_slice(&text), err);
    }
    if (status == MR_OK) {
        warn_of_readers(properties, before, path, &about);
    }
    mr_buffer_finish(&text);
    return status;
}

void mr_properties_finish(struct mr_properties *properties) {
    free(properties->items);
    mr_arena_destroy(properties->memory);
    *properties = (struct mr_properties){0};
}
