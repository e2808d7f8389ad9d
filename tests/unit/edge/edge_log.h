/* Fixture of the edge tests: a memory log with a clock that the test sets, and its records. */
#ifndef TESTS_EDGE_LOG_H
#define TESTS_EDGE_LOG_H

#include "engine/edge/edge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW INT64_C(1795230600000000000) /* 2026-11-21T03:10:00Z */

static struct mr_clock test_clock;
static struct mr_log *test_log;
static struct mr_written written;
static struct mr_error err;
static atomic_bool stop;
static struct mr_target target;

static inline int open_log(void **state) {
    test_clock = mr_virtual_clock(NOW);
    stop = false;
    err.text[0] = 0;
    target = (struct mr_target){.topic = "in", .retention_ns = -1, .stop = &stop};
    return mr_log_open("memory:", &(struct mr_log_options){.make = true}, &test_clock, &test_log,
                       NULL) == MR_OK
               ? 0
               : -1;
}

static inline int close_log(void **state) {
    mr_log_close(test_log);
    return 0;
}

/* Calls `visit` with every record of a partition; returns how many there are. */
static inline size_t each_record(uint32_t partition,
                                 void (*visit)(void *arg, const struct mr_message *message),
                                 void *arg) {
    struct mr_partition source = {.topic = "in", .partition = partition};
    struct mr_reader *reader;
    struct mr_batch batch;
    size_t count = 0;
    assert_int_equal(mr_reader_open(test_log, &source, -1, &reader, &err), MR_OK);
    do {
        assert_int_equal(mr_reader_read(reader, 0, &batch, &err), MR_OK);
        for (size_t i = 0; i < batch.count; i++) {
            visit(arg, &batch.messages[i]);
        }
        count += batch.count;
    } while (batch.count > 0);
    mr_reader_close(reader);
    return count;
}

#endif
