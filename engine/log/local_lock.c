/* Who runs a job on this log: one process at a time, in it one session per worker.
 *
 * jobs/J/lock holds the process id for the message; what counts is the flock, which the kernel
 * drops with the process, however it ends. The file stays when the job ends: removing it would let
 * two processes each lock a file of that name. */
#include "engine/log/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

struct mr_job_lock { /* one per job and process */
    char *path;
    pid_t pid;
    int file;
    uint32_t workers, running;
    bool open[MR_PARTITIONS_MAX];
    struct mr_job_lock *next;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mr_job_lock *registry;

static enum mr_status say_running(const char *job, const char *path, struct mr_error *err) {
    char pid[4096];
    long length = mr_file_read(path, pid);
    bool known = length > 0 && strspn(pid, "0123456789") == (size_t)length;
    return mr_error_set(err, MR_REJECT,
                        "job \"%s\" already runs on this log%s%.20s: it is running once at most",
                        job, known ? ", in process " : "", known ? pid : "");
}

static enum mr_status lock_file(const char *job, const char *path, int *file,
                                struct mr_error *err) {
    *file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*file < 0) {
        return mr_env_error(err, MR_FAIL, path, errno);
    }
    if (flock(*file, LOCK_EX | LOCK_NB) != 0) {
        close(*file);
        return say_running(job, path, err);
    }
    char pid[24];
    int length = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(*file, 0) != 0 || pwrite(*file, pid, (size_t)length, 0) != length) {
        mr_warn("%s: %s; a second run will not be told who holds it", path, strerror(errno));
    }
    return MR_OK;
}

static struct mr_job_lock *find_lock(const char *path) {
    struct mr_job_lock *lock = registry;
    while (lock && (lock->pid != getpid() || strcmp(lock->path, path) != 0)) {
        lock = lock->next;
    }
    return lock;
}

static enum mr_status take(const char *job, char *path, uint32_t workers, struct mr_job_lock **lock,
                           struct mr_error *err) {
    int file;
    enum mr_status status = lock_file(job, path, &file, err);
    if (status != MR_OK) {
        return status;
    }
    *lock = mr_allocate(sizeof **lock);
    (*lock)->path = mr_copy_text(path);
    (*lock)->pid = getpid();
    (*lock)->file = file;
    (*lock)->workers = workers;
    (*lock)->next = registry;
    registry = *lock;
    return MR_OK;
}

enum mr_status mr_job_lock_take(const struct mr_local_log *log, const char *job, uint32_t worker,
                                uint32_t workers, struct mr_job_lock **out, struct mr_error *err) {
    enum mr_status status = MR_OK;
    char *path = mr_job_path(log, job, "lock");
    pthread_mutex_lock(&registry_lock);
    struct mr_job_lock *lock = find_lock(path);
    if (lock && (lock->workers != workers || lock->open[worker])) {
        status = say_running(job, path, err);
    } else if (!lock) {
        status = take(job, path, workers, &lock, err);
    }
    if (status == MR_OK) {
        lock->open[worker] = true;
        lock->running++;
        *out = lock;
    }
    pthread_mutex_unlock(&registry_lock);
    free(path);
    return status;
}

void mr_job_lock_drop(struct mr_job_lock *lock, uint32_t worker) {
    if (!lock) {
        return;
    }
    pthread_mutex_lock(&registry_lock);
    lock->open[worker] = false;
    if (--lock->running == 0) {
        struct mr_job_lock **at = &registry;
        while (*at != lock) {
            at = &(*at)->next;
        }
        *at = lock->next;
        close(lock->file);
        free(lock->path);
        free(lock);
    }
    pthread_mutex_unlock(&registry_lock);
}
