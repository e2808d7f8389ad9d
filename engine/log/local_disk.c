/* Folders and small files of the embedded log.
 *
 * A small file is written whole under a new name, synced, renamed, and its folder synced: after a
 * crash it is the old one or the new one. A folder's lock is a flock on the folder itself: no file
 * to make, and the kernel drops it with the process. */
#include "engine/log/local.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *mr_path(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *path = mr_allocate((size_t)length + 1);
    va_start(arguments, format);
    vsnprintf(path, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return path;
}

bool mr_path_exists(const char *path) {
    return access(path, F_OK) == 0;
}

int mr_folder_sync(const char *path) {
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return errno;
    }
    int code = fsync(folder) == 0 ? 0 : errno;
    close(folder);
    return code;
}

int mr_folder_make(const char *path) {
    return mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : errno;
}

static int write_synced(const char *path, struct mr_slice content) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) {
        return errno;
    }
    ssize_t written = write(file, content.data, content.length);
    int code = written < 0 ? errno : (size_t)written < content.length ? ENOSPC : 0;
    if (code == 0 && fsync(file) != 0) {
        code = errno;
    }
    close(file);
    return code;
}

int mr_file_replace(const char *path, struct mr_slice content) {
    char *new_path = mr_path("%s.new-%d", path, (int)getpid());
    int code = write_synced(new_path, content);
    if (code == 0 && rename(new_path, path) != 0) {
        code = errno;
    }
    if (code != 0) {
        unlink(new_path);
    }
    free(new_path);
    return code;
}

long mr_file_read(const char *path, char text[4096]) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return -1;
    }
    ssize_t length = read(file, text, 4095);
    int code = errno;
    close(file);
    errno = code;
    text[length < 0 ? 0 : length] = '\0';
    return length;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
    return remove(path);
}

void mr_folder_remove(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int mr_folder_lock(const char *path, bool exclusive) {
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return -1;
    }
    while (flock(folder, exclusive ? LOCK_EX : LOCK_SH) != 0) {
        if (errno != EINTR) {
            int code = errno;
            close(folder);
            errno = code;
            return -1;
        }
    }
    return folder;
}
