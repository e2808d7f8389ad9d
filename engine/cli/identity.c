/* Who this process is among those that share a job on a cluster.
 *
 *   DIR/lock       locked while the process lives; holds its number, for the message
 *   DIR/instance   sixteen hexadecimal digits, made once
 *
 * The cluster knows a worker's transactions by job, instance and worker. A process that starts
 * again under its old name ends what it left open at once; under a new one, others would wait for
 * it to time out. Two processes under one name would shut each other out, hence the lock. A copied
 * directory is the case that it cannot see: there the log says so. */
#include "engine/cli/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LEAST 8
#define FILE_FLAGS (O_NOFOLLOW | O_CLOEXEC)

static enum mr_status trouble(const char *directory, const char *file, struct mr_error *err) {
    return mr_error_set(err, MR_FAIL,
                        "%s%s: %s. There the identity of this process among those of its job is "
                        "kept; --dir names another directory",
                        directory, file, strerror(errno));
}

/* With those above it. */
static enum mr_status make_directory(const char *directory, struct mr_error *err) {
    char *path = mr_copy_text(directory);
    int failed = 0;
    for (char *at = path + 1; *path && !failed; at++) {
        bool last = *at == '\0';
        if (last || *at == '/') {
            *at = '\0';
            failed = mkdir(path, 0700) != 0 && errno != EEXIST;
            *at = last ? '\0' : '/';
        }
        if (last) {
            break;
        }
    }
    enum mr_status status = failed ? trouble(directory, "", err) : MR_OK;
    free(path);
    return status;
}

static enum mr_status say_taken(const char *directory, int lock, struct mr_error *err) {
    char pid[16] = "";
    ssize_t length = pread(lock, pid, sizeof pid - 1, 0);
    bool known = length > 0 && strspn(pid, "0123456789") == (size_t)length;
    return mr_error_set(err, MR_REJECT,
                        "%s is in use by %s%s, which goes by the identity in it. Another process "
                        "of the job on this machine needs a directory of its own: --dir OTHER",
                        directory, known ? "process " : "another process", known ? pid : "");
}

static enum mr_status take_lock(const char *directory, int folder, int *lock,
                                struct mr_error *err) {
    *lock = openat(folder, "lock", O_RDWR | O_CREAT | FILE_FLAGS, 0600);
    if (*lock < 0) {
        return trouble(directory, "/lock", err);
    }
    if (flock(*lock, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? say_taken(directory, *lock, err)
                                    : trouble(directory, "/lock", err);
    }
    char pid[16];
    int length = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(*lock, 0) != 0 || pwrite(*lock, pid, (size_t)length, 0) != length) {
        return trouble(directory, "/lock", err);
    }
    return MR_OK;
}

/* Made beside it and renamed: it is there whole or not at all. */
static enum mr_status make_name(const char *directory, int folder, struct mr_identity *identity,
                                struct mr_error *err) {
    uint64_t chance;
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance) {
        return trouble(directory, "/instance", err);
    }
    snprintf(identity->name, sizeof identity->name, "%016llx", (unsigned long long)chance);
    unlinkat(folder, "instance.new", 0); /* of a process that died here */
    int file = openat(folder, "instance.new", O_WRONLY | O_CREAT | O_EXCL | FILE_FLAGS, 0600);
    ssize_t length = (ssize_t)strlen(identity->name);
    bool good = file >= 0 && write(file, identity->name, (size_t)length) == length &&
                fsync(file) == 0 && renameat(folder, "instance.new", folder, "instance") == 0 &&
                fsync(folder) == 0;
    enum mr_status status = good ? MR_OK : trouble(directory, "/instance", err);
    if (file >= 0) {
        close(file);
    }
    return status;
}

static enum mr_status read_name(const char *directory, int file, struct mr_identity *identity,
                                struct mr_error *err) {
    char text[sizeof identity->name + 1] = "";
    ssize_t length = read(file, text, sizeof text - 1);
    if (length < 0) {
        return trouble(directory, "/instance", err);
    }
    if (length > 0 && text[length - 1] == '\n') {
        text[--length] = '\0'; /* of an editor */
    }
    if (length < NAME_LEAST || length >= (ssize_t)sizeof identity->name ||
        strspn(text, "0123456789abcdef") != (size_t)length) {
        return mr_error_set(err, MR_FAIL,
                            "%s/instance is damaged: it should hold %d to %zu hexadecimal digits. "
                            "Remove it, and the process gets a new identity; what the old one left "
                            "open on the brokers ends by itself within a minute",
                            directory, NAME_LEAST, sizeof identity->name - 1);
    }
    memcpy(identity->name, text, (size_t)length + 1);
    return MR_OK;
}

static enum mr_status find_name(const char *directory, int folder, struct mr_identity *identity,
                                struct mr_error *err) {
    int file = openat(folder, "instance", O_RDONLY | O_NONBLOCK | FILE_FLAGS);
    if (file < 0) {
        return errno == ENOENT ? make_name(directory, folder, identity, err)
                               : trouble(directory, "/instance", err);
    }
    enum mr_status status = read_name(directory, file, identity, err);
    close(file);
    return status;
}

enum mr_status mr_identity_open(const char *directory, struct mr_identity *identity,
                                struct mr_error *err) {
    *identity = (struct mr_identity){.lock = -1};
    enum mr_status status = make_directory(directory, err);
    if (status != MR_OK) {
        return status;
    }
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return trouble(directory, "", err);
    }
    status = take_lock(directory, folder, &identity->lock, err);
    if (status == MR_OK) {
        status = find_name(directory, folder, identity, err);
    }
    close(folder);
    if (status != MR_OK) {
        mr_identity_close(identity);
    }
    return status;
}

void mr_identity_close(struct mr_identity *identity) {
    if (identity->lock >= 0) {
        close(identity->lock);
    }
    identity->lock = -1;
}
