/* What every log must do, as one suite: run it on each back end. It says what log.h promises and
 * no more; what only the logs of one machine promise (owners, dense offsets, partitions by number,
 * the exact order of turns) is in log_embedded.c.
 *
 * A log may be a broker that other tests use at the same time, so each test has names of its own
 * (mr_name); and what a broker does takes its time, so a test waits for what must come, never for
 * long enough. */
#ifndef TESTS_LIB_LOG_CONTRACT_H
#define TESTS_LIB_LOG_CONTRACT_H

#include "engine/log/back_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Runs the suite on the scheme ("memory", "local", "kafka"). Returns the number of failures. */
int mr_log_contract_run(const char *scheme);
/* What the logs of one machine promise beyond it. */
int mr_log_embedded_run(const char *scheme);

/* ---- A log for one test --------------------------------------------------------------------- */
struct mr_log_fixture {
    struct mr_log *log;
    struct mr_clock clock; /* virtual where the log asks it, else the real one */
    char *directory, *url;
    char names[16][MR_TOPIC_NAME_MAX + 1]; /* given by mr_name */
    size_t name_count;
};
/* A log of its own, opened; and away with it. */
struct mr_log_fixture *mr_fixture_create(const char *scheme);
void mr_fixture_reopen(struct mr_log_fixture *fixture);
void mr_fixture_destroy(struct mr_log_fixture *fixture);
/* Lets time pass, a second of a virtual clock, a moment of the real one. Returns the wall time. */
int64_t mr_fixture_pass(struct mr_log_fixture *fixture);
/* The same for cmocka; the scheme is that of mr_fixture_scheme. */
extern const char *mr_fixture_scheme;
int mr_fixture_set_up(void **state);
int mr_fixture_tear_down(void **state);

/* What the tests of the suite share: a log, names of their own, and, after mr_world_set_up, the
 * topics "in" (plain), "out" and "changes" (of the job), each of one partition. */
extern struct mr_world {
    struct mr_log_fixture *fixture;
    struct mr_log *log;
    const char *job, *in, *out, *changes;
} mr_world;
int mr_world_set_up(void **state);
/* The name that this test gives to what it calls `plain`. */
const char *mr_name(const char *plain);

/* ---- Builders, for tests of one back end too ------------------------------------------------ */
/* A plain topic; a topic of a job. */
void mr_make_topic(struct mr_log *log, const char *name, uint32_t partitions);
void mr_make_job_topic(struct mr_log *log, const char *name, const char *job,
                       enum mr_retention_kind kind);
/* Appends and commits as a producer. */
void mr_produce(struct mr_log *log, const char *topic, uint32_t partition, const char *value);
struct mr_session *mr_open_worker(struct mr_log *log, const char *job, const char *input,
                                  uint32_t worker, uint32_t workers);
struct mr_session *mr_open_producer(struct mr_log *log);
/* Commits with the position of partition 0. */
enum mr_commit mr_commit_at(struct mr_session *session, const char *topic, int64_t offset,
                            const char *note);
void mr_append_text(struct mr_session *session, const char *topic, const char *key,
                    const char *value);
void mr_assert_says(const struct mr_error *err, const char *part);

/* ---- Waiting -------------------------------------------------------------------------------- */
#define MR_TURN (20 * MR_SECOND / 1000) /* of one poll or read that is done again */

/* A deadline; fails the test when it has passed, saying what it waited for. */
int64_t mr_deadline(void);
void mr_wait_until(int64_t deadline, const char *what);
/* Polls once, within MR_TURN; the test fails with the log's sentence when that fails. */
void mr_poll_once(struct mr_session *session, struct mr_event *event);
/* Polls until `kind` comes, starting what is assigned at its committed offset. */
void mr_poll_for(struct mr_session *session, enum mr_event_kind kind, struct mr_event *event);

/* ---- What a partition holds ----------------------------------------------------------------- */
/* Every record from `from` on (-1: from the first) until the reader says that it is at the end. */
typedef void mr_visit(void *arg, const struct mr_message *message);
size_t mr_read_each(struct mr_log *log, const struct mr_partition *source, int64_t from,
                    mr_visit *visit, void *arg);
/* Waits until so many records have come and the end, then compares: readers see what was committed
 * then or soon. */
void mr_assert_count(struct mr_log *log, const char *topic, uint32_t partition, size_t count);
void mr_assert_values(struct mr_log *log, const char *topic, uint32_t partition,
                      const char *values);
/* The values of a partition, joined by spaces. Valid until the next call. */
const char *mr_values(struct mr_log *log, const char *topic, uint32_t partition);
/* What a changelog comes to, "key=value", sorted: the last value of each key, but for those whose
 * last is a tombstone. */
const char *mr_kept(struct mr_log *log, const char *topic);

/* ---- The parts of the suite ------------------------------------------------------------------ */
struct mr_suite {
    const char *name;
    const struct CMUnitTest *tests;
    size_t count;
};
extern const struct mr_suite mr_topic_contract, mr_session_contract, mr_group_contract,
    mr_changelog_contract, mr_trim_contract;

#endif
