/* What every log must do, as one suite: run it on each back end. */
#ifndef TESTS_LIB_LOG_CONTRACT_H
#define TESTS_LIB_LOG_CONTRACT_H

#include "engine/log/back_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Runs the suite on the scheme ("memory", "local"); a directory is made for each test. Returns
 * the number of failures. */
int mr_log_contract_run(const char *scheme);

/* ---- Builders, for tests of one back end too ------------------------------------------------ */
struct mr_log_fixture {
    struct mr_log *log;
    struct mr_clock clock; /* virtual */
    char *directory, *url;
};
/* A log of its own, opened; and away with it. */
struct mr_log_fixture *mr_fixture_create(const char *scheme);
void mr_fixture_reopen(struct mr_log_fixture *fixture);
void mr_fixture_destroy(struct mr_log_fixture *fixture);
/* The same for cmocka; the scheme is that of mr_fixture_scheme. */
extern const char *mr_fixture_scheme;
int mr_fixture_set_up(void **state);
int mr_fixture_tear_down(void **state);

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
/* Polls until `kind` comes, starting what is assigned at its committed offset. */
void mr_poll_for(struct mr_session *session, enum mr_event_kind kind, struct mr_event *event);
void mr_append_text(struct mr_session *session, const char *topic, const char *key,
                    const char *value);
/* The values of a partition, joined by spaces. Valid until the next call. */
const char *mr_values(struct mr_log *log, const char *topic, uint32_t partition);
/* The same of a changelog, "key=value", sorted. */
const char *mr_kept(struct mr_log *log, const char *topic);
void mr_assert_says(const struct mr_error *err, const char *part);

/* ---- The parts of the suite ------------------------------------------------------------------ */
extern const struct CMUnitTest mr_topic_contract[], mr_session_contract[];
extern const size_t mr_topic_contract_count, mr_session_contract_count;

#endif
