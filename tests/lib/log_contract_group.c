/* What every log must do: the workers of a job share its partitions, and whoever has lost one
 * cannot commit it. Logs differ in who gets what, and whether it moves; a test asks and obeys. */
#include "tests/lib/log_contract.h"

#include <pthread.h>

#define PARTITIONS 4

static struct mr_world *const w = &mr_world;

/* The workers of one job, polled in turn, and who has which partition. */
struct team {
    const char *input;
    uint32_t partitions;
    struct mr_session *workers[2]; /* NULL: not open */
    int owner[PARTITIONS];         /* -1: nobody       */
    int64_t committed[PARTITIONS]; /* -1: never        */
    struct mr_event event;         /* of the last poll */
};

static struct team make_team(uint32_t partitions) {
    struct team team = {.input = mr_name("shared"), .partitions = partitions};
    mr_make_topic(w->log, team.input, partitions);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        team.owner[p] = -1;
        team.committed[p] = -1;
    }
    return team;
}

static void join_team(struct team *team, uint32_t worker) {
    team->workers[worker] = mr_open_worker(w->log, w->job, team->input, worker, 2);
}

static void close_team(struct team *team) {
    mr_session_close(team->workers[0]);
    mr_session_close(team->workers[1]);
}

static enum mr_commit commit_of(struct team *team, uint32_t worker, uint32_t partition) {
    int64_t offset = team->committed[partition] + 1; /* nothing is there: any number will do */
    struct mr_position position = {mr_partition_at(team->input, partition), offset,
                                   mr_slice_of("n")};
    enum mr_commit outcome = mr_session_commit(team->workers[worker], &position, 1, NULL);
    if (outcome == MR_COMMITTED) {
        team->committed[partition] = offset;
    }
    return outcome;
}

/* One poll of one worker, who does what the log says. */
static void poll_worker(struct team *team, uint32_t worker) {
    struct mr_event *event = &team->event;
    uint32_t p;
    mr_poll_once(team->workers[worker], event);
    p = event->source.partition;
    switch (event->kind) {
    case MR_EVENT_ASSIGNED:
        assert_int_equal(team->owner[p], -1);
        assert_int_equal(event->offset, team->committed[p]);
        team->owner[p] = (int)worker;
        break;
    case MR_EVENT_REVOKED:
        assert_int_equal(team->owner[p], worker);
        assert_int_equal(commit_of(team, worker, p), MR_COMMITTED);
        team->owner[p] = -1;
        break;
    case MR_EVENT_LOST:
        assert_int_equal(team->owner[p], worker);
        team->owner[p] = -1;
        break;
    default:
        assert_int_equal(event->kind, MR_EVENT_NONE); /* nothing was started */
    }
}

static bool all_owned(const struct team *team) {
    for (uint32_t p = 0; p < team->partitions; p++) {
        if (team->owner[p] < 0) {
            return false;
        }
    }
    return true;
}

static int partition_of(const struct team *team, int worker) {
    for (uint32_t p = 0; p < team->partitions; p++) {
        if (team->owner[p] == worker) {
            return (int)p;
        }
    }
    return -1;
}

/* Until every partition has an owner and both have one. */
static void settle(struct team *team) {
    int64_t deadline = mr_deadline();
    while (!all_owned(team) || partition_of(team, 0) < 0 || partition_of(team, 1) < 0) {
        poll_worker(team, 0);
        poll_worker(team, 1);
        mr_wait_until(deadline, "a share of the partitions for each");
    }
}

static void each_partition_belongs_to_one_worker(void **state) {
    struct team team = make_team(PARTITIONS);
    join_team(&team, 0);
    join_team(&team, 1);
    settle(&team);
    for (int worker = 0; worker < 2; worker++) {
        uint32_t p = (uint32_t)partition_of(&team, worker);
        assert_int_equal(commit_of(&team, (uint32_t)worker, p), MR_COMMITTED);
    }
    close_team(&team);
}

static void a_worker_without_partitions_has_nothing_to_do(void **state) {
    struct team team = make_team(1);
    int64_t deadline = mr_deadline();
    join_team(&team, 0);
    join_team(&team, 1);
    while (!all_owned(&team)) {
        poll_worker(&team, 0);
        poll_worker(&team, 1);
        mr_wait_until(deadline, "an owner of the partition");
    }
    for (int i = 0; i < 20; i++) {
        poll_worker(&team, team.owner[0] == 0);
        assert_int_equal(team.event.kind, MR_EVENT_NONE);
    }
    close_team(&team);
}

/* The second comes when the first has long begun. */
static void a_partition_goes_on_where_its_last_owner_committed(void **state) {
    struct team team = make_team(PARTITIONS);
    int64_t deadline = mr_deadline();
    join_team(&team, 0);
    while (partition_of(&team, 0) < 0) {
        poll_worker(&team, 0);
        mr_wait_until(deadline, "a partition for the first");
    }
    assert_int_equal(commit_of(&team, 0, (uint32_t)partition_of(&team, 0)), MR_COMMITTED);
    join_team(&team, 1);
    settle(&team);
    close_team(&team);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        team.owner[p] = -1;
    }
    join_team(&team, 0); /* now with all that was committed */
    join_team(&team, 1);
    settle(&team);
    close_team(&team);
}

static void a_commit_of_anothers_partition_is_fenced(void **state) {
    struct team team = make_team(PARTITIONS);
    struct mr_event event;
    join_team(&team, 0);
    join_team(&team, 1);
    settle(&team);
    uint32_t theirs = (uint32_t)partition_of(&team, 1);
    mr_append_text(team.workers[0], w->out, NULL, "lost");
    assert_int_equal(commit_of(&team, 0, theirs), MR_FENCED);
    assert_int_equal(mr_session_pending(team.workers[0]), 0);
    mr_append_text(team.workers[1], w->out, NULL, "kept");
    assert_int_equal(commit_of(&team, 1, theirs), MR_COMMITTED);
    close_team(&team);
    mr_assert_values(w->log, w->out, 0, "kept");
    struct mr_session *next = mr_open_worker(w->log, w->job, team.input, 0, 1);
    do {
        mr_poll_for(next, MR_EVENT_ASSIGNED, &event);
    } while (event.source.partition != theirs);
    assert_int_equal(event.offset, team.committed[theirs]);
    mr_session_close(next);
}

/* The second is refused, or the first can no longer commit: log.h allows either. */
static void of_two_sessions_with_one_id_one_can_commit(void **state) {
    struct mr_session_options options = {w->job, w->in, NULL, 0, 1};
    struct mr_session *first = mr_open_worker(w->log, w->job, w->in, 0, 1), *second;
    struct mr_event event;
    mr_poll_for(first, MR_EVENT_ASSIGNED, &event);
    bool refused = mr_session_open(w->log, &options, &second, NULL) == MR_REJECT;
    mr_append_text(first, w->out, NULL, "first");
    assert_int_equal(mr_commit_at(first, w->in, 0, ""), refused ? MR_COMMITTED : MR_FENCED);
    mr_session_close(first);
    if (refused) {
        second = mr_open_worker(w->log, w->job, w->in, 0, 1);
    }
    mr_poll_for(second, MR_EVENT_ASSIGNED, &event);
    mr_append_text(second, w->out, NULL, "second");
    assert_int_equal(mr_commit_at(second, w->in, 0, ""), MR_COMMITTED);
    mr_session_close(second);
    mr_assert_values(w->log, w->out, 0, refused ? "first second" : "second");
}

static void workers_commit_side_by_side(void **state) {
    struct team team = make_team(PARTITIONS);
    join_team(&team, 0);
    join_team(&team, 1);
    settle(&team);
    mr_append_text(team.workers[0], w->out, NULL, "a");
    mr_append_text(team.workers[1], w->out, NULL, "b");
    for (int worker = 0; worker < 2; worker++) {
        uint32_t p = (uint32_t)partition_of(&team, worker);
        assert_int_equal(commit_of(&team, (uint32_t)worker, p), MR_COMMITTED);
    }
    close_team(&team);
    mr_assert_values(w->log, w->out, 0, "a b");
}

struct busy {
    struct mr_session *session;
    struct mr_position position;
    bool failed;
};

static void *commit_often(void *arg) {
    struct busy *busy = arg;
    for (int i = 0; i < 50 && !busy->failed; i++) {
        mr_append_text(busy->session, w->out, NULL, "x");
        mr_append_text(busy->session, w->changes, "k", "x");
        busy->failed = mr_session_commit(busy->session, &busy->position, 1, NULL) != MR_COMMITTED;
    }
    return NULL;
}

static void workers_on_threads_lose_nothing(void **state) {
    struct team team = make_team(PARTITIONS);
    struct busy busy[2];
    pthread_t threads[2];
    join_team(&team, 0);
    join_team(&team, 1);
    settle(&team);
    for (int i = 0; i < 2; i++) {
        struct mr_partition source = mr_partition_at(team.input, (uint32_t)partition_of(&team, i));
        busy[i] = (struct busy){team.workers[i], {source, 0, mr_slice_of("")}, false};
        pthread_create(&threads[i], NULL, commit_often, &busy[i]);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_false(busy[i].failed);
    }
    close_team(&team);
    mr_assert_count(w->log, w->out, 0, 100);
    assert_string_equal(mr_kept(w->log, w->changes), "k=x");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mr_world_set_up, mr_fixture_tear_down)
static const struct CMUnitTest tests[] = {
    TEST(each_partition_belongs_to_one_worker),
    TEST(a_worker_without_partitions_has_nothing_to_do),
    TEST(a_partition_goes_on_where_its_last_owner_committed),
    TEST(a_commit_of_anothers_partition_is_fenced),
    TEST(of_two_sessions_with_one_id_one_can_commit),
    TEST(workers_commit_side_by_side),
    TEST(workers_on_threads_lose_nothing),
};
const struct mr_suite mr_group_contract = {"workers of a job", tests, sizeof tests / sizeof *tests};
