/* Part of every program that is built for the thread sanitizer: the threads of C11 by those of
 * POSIX.
 *
 * librdkafka makes its threads, locks and conditions by <threads.h>. The sanitizer sees the POSIX
 * ones only: a thread that it has not seen being born crashes in it, and what a lock orders looks
 * like a race. These stand before those of the C library; its types are the same inside.
 *
 * librdkafka itself is not built for the sanitizer, which so knows nothing of its atomic counters:
 * what it hands to memcpy, free and the like is not looked at. What our code touches is. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "one in the place of the other");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "one in the place of the other");

/* What the sanitizer asks every program for. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "called_from_lib:librdkafka.so\n";
}

struct task {
    thrd_start_t run;
    void *arg;
};

static int result_of(int code) {
    return code == 0           ? thrd_success
           : code == ETIMEDOUT ? thrd_timedout
           : code == EBUSY     ? thrd_busy
                               : thrd_error;
}

static void *begin(void *arg) {
    struct task task = *(struct task *)arg;
    free(arg);
    return (void *)(intptr_t)task.run(task.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *arg) {
    struct task *task = malloc(sizeof *task);
    *task = (struct task){run, arg};
    return result_of(pthread_create(thread, NULL, begin, task));
}

int thrd_join(thrd_t thread, int *result) {
    void *value;
    int code = pthread_join(thread, &value);
    if (result) {
        *result = (int)(intptr_t)value;
    }
    return result_of(code);
}

/* Written behind the sanitizer's back: how a lock that librdkafka has made comes to another thread
 * (by an atomic counter, mostly) is not seen either, so its first use would race with this. */
__attribute__((no_sanitize_thread)) int mtx_init(mtx_t *mutex, int type) {
    static const pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    *(pthread_mutex_t *)mutex = type & mtx_recursive ? recursive : plain;
    return thrd_success;
}

int mtx_lock(mtx_t *mutex) {
    return result_of(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

int mtx_unlock(mtx_t *mutex) {
    return result_of(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

void mtx_destroy(mtx_t *mutex) {
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

int cnd_init(cnd_t *condition) {
    return result_of(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

int cnd_signal(cnd_t *condition) {
    return result_of(pthread_cond_signal((pthread_cond_t *)condition));
}

int cnd_broadcast(cnd_t *condition) {
    return result_of(pthread_cond_broadcast((pthread_cond_t *)condition));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex) {
    return result_of(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    return result_of(
        pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}

void cnd_destroy(cnd_t *condition) {
    pthread_cond_destroy((pthread_cond_t *)condition);
}
