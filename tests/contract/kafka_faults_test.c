/* What only Kafka can do to a session: members that pause or die, ids that are used twice, groups
 * that others use.
 *
 * A member that pauses or dies is a process of its own: this program with the argument "worker",
 * which does what it is told on its standard input, a word a line, and answers by a line:
 *
 *     commit   commits the next offset        the outcome, a number of enum mr_commit
 *     fill     commits, 200 MB with it        nothing: it is killed inside */
#include "engine/log/kafka_session.h"
#include "tests/lib/broker.h"
#include "tests/lib/log_contract.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSION_NS MR_SECOND /* after which the group gives a silent member's partitions away */
#define FILL_BYTES (200 << 20)

extern char **environ;

static const struct mr_property properties[] = {
    {"session.timeout.ms", "1000"},
    {"heartbeat.interval.ms", "100"},
    {"queue.buffering.max.kbytes", "1000000"},
    {"max.poll.interval.ms", "1000"}, /* of one test */
};
#define COMMON (sizeof properties / sizeof *properties - 1)
static struct mr_log_fixture fixture;
static struct mr_world *const w = &mr_world;

static struct mr_log *open_log(const char *url, size_t property_count, const atomic_bool *stop) {
    struct mr_log_options options = {
        .properties = properties, .property_count = property_count, .stop = stop};
    struct mr_log *log;
    struct mr_error err;
    if (mr_log_open(url, &options, &mr_real_clock, &log, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
    return log;
}

static int set_up(void **state) {
    fixture = (struct mr_log_fixture){.clock = mr_real_clock};
    assert_true(asprintf(&fixture.url, "kafka://%s", mr_test_brokers()) >= 0);
    fixture.log = open_log(fixture.url, COMMON, NULL);
    *w = (struct mr_world){.fixture = &fixture, .log = fixture.log};
    w->job = mr_name("j");
    w->in = mr_name("in");
    w->out = mr_name("out");
    mr_make_topic(w->log, w->in, 1);
    mr_make_job_topic(w->log, w->out, w->job, MR_KEEP_RECORDS);
    return 0;
}

static int tear_down(void **state) {
    mr_log_close(w->log);
    free(fixture.url);
    return 0;
}

static struct mr_session *open_instance(const char *instance) {
    struct mr_session_options options = {w->job, w->in, instance, 0, 1};
    struct mr_session *session;
    struct mr_error err;
    if (mr_session_open(w->log, &options, &session, &err) != MR_OK) {
        fail_msg("%s", err.text);
    }
    return session;
}

static int64_t now_ns(void) {
    return mr_real_clock.steady_ns(&mr_real_clock);
}

/* ---- A worker in a process of its own -------------------------------------------------------- */

struct child {
    pid_t pid;
    FILE *to, *from;
};

static void fill(struct mr_session *session, const char *out) {
    static char value[100000];
    for (size_t bytes = 0; bytes < FILL_BYTES; bytes += sizeof value) {
        struct mr_append record = {
            .topic = out, .timestamp_ns = -1, .value = {value, sizeof value}};
        assert_int_equal(mr_session_append(session, &record, NULL), MR_OK);
    }
}

static int be_worker(char **words) {
    char line[64];
    struct mr_session *session;
    struct mr_event event;
    struct mr_session_options options = {words[3], words[4], words[6], 0, 1};
    struct mr_log *log = open_log(words[2], COMMON, NULL);
    int64_t offset = 0;
    if (mr_session_open(log, &options, &session, NULL) != MR_OK) {
        return 1;
    }
    mr_poll_for(session, MR_EVENT_ASSIGNED, &event);
    puts("assigned");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "fill\n") == 0) {
            fill(session, words[5]);
        }
        printf("%d\n", (int)mr_commit_at(session, words[4], offset++, "note"));
        fflush(stdout);
    }
    mr_session_close(session);
    mr_log_close(log);
    return 0;
}

static void hear(struct child *child, const char *line) {
    char heard[64] = "";
    assert_non_null(fgets(heard, sizeof heard, child->from));
    heard[strcspn(heard, "\n")] = '\0';
    assert_string_equal(heard, line);
}

static void say(struct child *child, const char *word) {
    fprintf(child->to, "%s\n", word);
    fflush(child->to);
}

static struct child start_child(const char *instance) {
    int to[2], from[2];
    posix_spawn_file_actions_t actions;
    struct child child;
    char exe[] = "/proc/self/exe", role[] = "worker";
    char *words[] = {exe,
                     role,
                     fixture.url,
                     mr_copy_text(w->job),
                     mr_copy_text(w->in),
                     mr_copy_text(w->out),
                     mr_copy_text(instance),
                     NULL};
    assert_int_equal(pipe(to) | pipe(from), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    posix_spawn_file_actions_addclose(&actions, to[1]);
    posix_spawn_file_actions_addclose(&actions, from[0]);
    assert_int_equal(posix_spawn(&child.pid, exe, &actions, NULL, words, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    for (size_t i = 3; words[i]; i++) {
        free(words[i]);
    }
    child.to = fdopen(to[1], "w");
    child.from = fdopen(from[0], "r");
    hear(&child, "assigned");
    return child;
}

static void end_child(struct child *child) {
    fclose(child->to);
    fclose(child->from);
    waitpid(child->pid, NULL, 0);
}

/* Kills it inside a transaction that holds an offset and records. */
static void kill_in_commit(struct child *child) {
    struct mr_partition out = mr_partition_at(w->out, 0);
    int64_t first, end, all = 0, deadline = mr_deadline();
    say(child, "commit");
    hear(child, "0");
    say(child, "fill");
    while (all == 0) {
        assert_int_equal(mr_kafka_true_end((struct mr_kafka_log *)w->log, &out, &all, NULL), MR_OK);
        mr_wait_until(deadline, "a record of the child");
    }
    kill(child->pid, SIGKILL);
    assert_int_equal(mr_log_bounds(w->log, &out, &first, &end, NULL), MR_OK);
    assert_int_equal(end, 0); /* it is open */
}

/* ---- Members that pause or die --------------------------------------------------------------- */

static void a_member_that_was_paused_cannot_commit_what_went_to_another(void **state) {
    struct child paused = start_child("a");
    struct mr_event event;
    say(&paused, "commit");
    hear(&paused, "0");
    kill(paused.pid, SIGSTOP);
    struct mr_session *second = open_instance("b");
    mr_poll_for(second, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, 0);
    assert_int_equal(mr_commit_at(second, w->in, 5, "five"), MR_COMMITTED);
    kill(paused.pid, SIGCONT);
    say(&paused, "commit");
    char fenced[16];
    snprintf(fenced, sizeof fenced, "%d", (int)MR_FENCED);
    hear(&paused, fenced);
    end_child(&paused);
    mr_session_close(second);
    second = open_instance("b");
    mr_poll_for(second, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(event.offset, 5);
    assert_true(mr_slice_equal(event.note, mr_slice_of("five")));
    mr_session_close(second);
}

static void a_member_that_does_not_poll_cannot_commit_what_went_to_another(void **state) {
    struct mr_log *impatient = open_log(fixture.url, COMMON + 1, NULL);
    struct mr_session *busy = mr_open_worker(impatient, w->job, w->in, 0, 2);
    struct mr_event event;
    mr_poll_for(busy, MR_EVENT_ASSIGNED, &event);
    assert_int_equal(mr_commit_at(busy, w->in, 0, "n"), MR_COMMITTED);
    struct mr_session *second = mr_open_worker(w->log, w->job, w->in, 1, 2);
    mr_poll_for(second, MR_EVENT_ASSIGNED, &event);
    mr_append_text(busy, w->out, NULL, "lost");
    assert_int_equal(mr_commit_at(busy, w->in, 7, "n"), MR_FENCED);
    assert_int_equal(mr_commit_at(second, w->in, 0, "n"), MR_COMMITTED);
    mr_session_close(second);
    mr_poll_for(busy, MR_EVENT_ASSIGNED, &event); /* it comes back by polling */
    assert_int_equal(event.offset, 0);
    mr_session_close(busy);
    mr_log_close(impatient);
}

/* Of a dead worker: without help it would stand for 30 s. */
static void take_over(const char *instance) {
    struct child child = start_child("a");
    struct mr_event event;
    kill_in_commit(&child);
    int64_t began_ns = now_ns();
    struct mr_session *successor = open_instance(instance);
    mr_poll_for(successor, MR_EVENT_ASSIGNED, &event);
    int64_t took_ns = now_ns() - began_ns;
    assert_int_equal(event.offset, 0);
    assert_true(took_ns < SESSION_NS + 4 * MR_SECOND);
    mr_append_text(successor, w->out, NULL, "mine");
    assert_int_equal(mr_commit_at(successor, w->in, 0, "n"), MR_COMMITTED);
    mr_session_close(successor);
    end_child(&child);
    mr_assert_values(w->log, w->out, 0, "mine");
}

static void an_open_transaction_of_the_dead_ends_with_their_restart(void **state) {
    take_over("a");
}

static void an_open_transaction_of_the_dead_does_not_hold_up_another(void **state) {
    take_over("b");
}

/* ---- Ids and producers ----------------------------------------------------------------------- */

static void two_processes_with_one_id_are_told_so(void **state) {
    struct mr_session *first = open_instance("a"), *second = open_instance("a");
    struct mr_error err = {""};
    enum mr_status status = MR_OK;
    struct mr_event event;
    int64_t deadline = mr_deadline();
    mr_append_text(second, w->out, NULL, "second");
    assert_int_equal(mr_session_commit(second, NULL, 0, NULL), MR_COMMITTED);
    while (status == MR_OK) {
        mr_append_text(first, w->out, NULL, "first");
        mr_session_commit(first, NULL, 0, NULL);
        status = mr_session_poll(first, 0, &event, &err);
        mr_append_text(second, w->out, NULL, "second");
        mr_session_commit(second, NULL, 0, NULL);
        if (status == MR_OK) {
            status = mr_session_poll(second, 0, &event, &err);
        }
        mr_wait_until(deadline, "an error");
    }
    assert_int_equal(status, MR_FAIL);
    mr_assert_says(&err, "another instance runs with the id");
    mr_session_close(first);
    mr_session_close(second);
}

static struct mr_kafka_writer *make_writer(void) {
    struct mr_kafka_writer *writer = mr_allocate(sizeof *writer);
    assert_int_equal(
        mr_kafka_writer_init(writer, (struct mr_kafka_log *)w->log, mr_copy_text(w->job), NULL),
        MR_OK);
    return writer;
}

static enum mr_commit write_one(struct mr_kafka_writer *writer, const char *value) {
    struct mr_append record = {.topic = w->out, .timestamp_ns = -1, .value = mr_slice_of(value)};
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
    bool stale;
    assert_int_equal(mr_kafka_writer_append(writer, &record, NULL), MR_OK);
    enum mr_commit outcome = mr_kafka_transact(writer, none, NULL, &stale, NULL);
    mr_kafka_writer_drop(writer);
    rd_kafka_topic_partition_list_destroy(none);
    return outcome;
}

/* A client that is not warmed takes 0.7 s and more to its first transaction. */
static void after_a_request_without_answer_the_producer_is_made_anew_and_fast(void **state) {
    struct mr_kafka_writer *writer = make_writer();
    assert_int_equal(write_one(writer, "a"), MR_COMMITTED);
    atomic_store(&writer->doubt, true);
    int64_t began_ns = now_ns();
    assert_int_equal(write_one(writer, "b"), MR_COMMITTED);
    assert_true(now_ns() - began_ns < 600 * (MR_SECOND / 1000));
    assert_false(atomic_load(&writer->doubt));
    mr_kafka_writer_finish(writer);
    free(writer);
    mr_assert_values(w->log, w->out, 0, "a b");
}

static void a_producer_that_was_shut_out_takes_its_id_back_once(void **state) {
    struct mr_kafka_writer *writer = make_writer(), *other = make_writer();
    assert_int_equal(write_one(writer, "a"), MR_COMMITTED);
    assert_int_equal(write_one(other, "b"), MR_COMMITTED);
    assert_int_equal(write_one(writer, "lost"), MR_FENCED);
    assert_int_equal(write_one(writer, "c"), MR_COMMITTED);
    assert_false(writer->rival);
    mr_kafka_writer_finish(writer);
    mr_kafka_writer_finish(other);
    free(writer);
    free(other);
    mr_assert_values(w->log, w->out, 0, "a b c");
}

/* ---- The group ------------------------------------------------------------------------------- */

static void another_program_in_the_group_is_an_error(void **state) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", mr_test_brokers(), NULL, 0);
    rd_kafka_conf_set(conf, "group.id", w->job, NULL, 0);
    rd_kafka_conf_set(conf, "partition.assignment.strategy", "range", NULL, 0);
    rd_kafka_t *other = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, w->in, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(other, list);
    rd_kafka_topic_partition_list_destroy(list);
    int64_t deadline = mr_deadline();
    for (int owned = 0; owned == 0; rd_kafka_topic_partition_list_destroy(list)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(other, 20);
        if (message) {
            rd_kafka_message_destroy(message);
        }
        rd_kafka_assignment(other, &list);
        owned = list->cnt;
        mr_wait_until(deadline, "the other program's partition");
    }
    struct mr_session *worker = open_instance(NULL);
    struct mr_event event;
    struct mr_error err = {""};
    while (mr_session_poll(worker, MR_TURN, &event, &err) == MR_OK) {
        mr_wait_until(deadline, "an error");
    }
    mr_assert_says(&err, "used by something else");
    mr_session_close(worker);
    rd_kafka_destroy(other);
}

static void a_session_may_close_at_any_moment_of_its_joining(void **state) {
    struct mr_event event;
    for (int polls = 0; polls < 12; polls++) {
        struct mr_session *worker = open_instance(NULL);
        for (int i = 0; i < polls; i++) {
            assert_int_equal(mr_session_poll(worker, MR_SECOND / 1000, &event, NULL), MR_OK);
        }
        mr_session_close(worker);
    }
}

static void a_broker_that_is_not_there_is_waited_for_until_the_stop(void **state) {
    atomic_bool stop = true;
    struct mr_log *log = open_log("kafka://127.0.0.1:1", COMMON, &stop);
    struct mr_session_options options = {"j", "in", NULL, 0, 1};
    struct mr_session *session;
    struct mr_error err;
    assert_int_equal(mr_session_open(log, &options, &session, &err), MR_FAIL);
    mr_assert_says(&err, "stopped while waiting for the broker");
    mr_log_close(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int count, char **words) {
    static const struct CMUnitTest tests[] = {
        TEST(a_member_that_was_paused_cannot_commit_what_went_to_another),
        TEST(a_member_that_does_not_poll_cannot_commit_what_went_to_another),
        TEST(an_open_transaction_of_the_dead_ends_with_their_restart),
        TEST(an_open_transaction_of_the_dead_does_not_hold_up_another),
        TEST(two_processes_with_one_id_are_told_so),
        TEST(after_a_request_without_answer_the_producer_is_made_anew_and_fast),
        TEST(a_producer_that_was_shut_out_takes_its_id_back_once),
        TEST(another_program_in_the_group_is_an_error),
        TEST(a_session_may_close_at_any_moment_of_its_joining),
        TEST(a_broker_that_is_not_there_is_waited_for_until_the_stop),
    };
    if (count == 7 && strcmp(words[1], "worker") == 0) {
        return be_worker(words);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
