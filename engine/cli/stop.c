/* Stopping: one flag, set by a signal, by a deadline or by the program itself.
 *
 *   running --signal, --for, failure--> stopping --all committed, closed--> exit 0 or 1
 *                                          |  MR_STOP_LIMIT passes: exit 1
 *                                          |  a second signal: exit 128 + its number
 *
 * The limit is for what cannot be asked to hurry, such as a library that closes while its broker
 * is silent. So it is a timer whose handler ends the process itself; everything in the handlers is
 * safe within them (POSIX: timer_settime, write, _exit). */
#include "engine/cli/connect.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum alarm { ALARM_STOP, ALARM_LIMIT };

static atomic_bool stop_asked, signalled, limited;
static timer_t limit;
static const char *limit_sentence;

static void start_timer(timer_t timer, int64_t ns) {
    struct itimerspec when = {.it_value = {ns / MR_SECOND, ns % MR_SECOND}};
    timer_settime(timer, 0, &when, NULL);
}

void mr_stop(void) {
    if (!atomic_exchange(&stop_asked, true) && atomic_load(&limited)) {
        start_timer(limit, MR_STOP_LIMIT);
    }
}

static void on_signal(int number) {
    if (atomic_exchange(&signalled, true)) {
        _exit(128 + number);
    }
    mr_stop();
}

static void say(const char *text) {
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t n = write(STDERR_FILENO, text, length);
        if (n <= 0) {
            return;
        }
        text += n;
        length -= (size_t)n;
    }
}

static void on_alarm(int number, siginfo_t *about, void *context) {
    if (about->si_value.sival_int == ALARM_STOP) {
        mr_stop();
        return;
    }
    say("millrace: ");
    say(limit_sentence);
    say("\n");
    _exit(MR_EXIT_FAILED);
}

static timer_t make_timer(enum alarm which) {
    struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM, .sigev_value = {.sival_int = which}};
    timer_t timer;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        mr_note("no timer could be made");
        exit(MR_EXIT_FAILED);
    }
    return timer;
}

void mr_stop_after(int64_t ns) {
    start_timer(make_timer(ALARM_STOP), ns);
}

void mr_stop_limit(const char *sentence) {
    if (atomic_load(&limited)) {
        return;
    }
    limit_sentence = sentence;
    limit = make_timer(ALARM_LIMIT);
    atomic_store(&limited, true);
    if (atomic_load(&stop_asked)) { /* meanwhile */
        start_timer(limit, MR_STOP_LIMIT);
    }
}

const atomic_bool *mr_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: reads are interrupted */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop_asked;
}
