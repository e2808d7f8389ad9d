/* The life of a job: a producer and the workers take turns as the seed says, time passes, and now
 * and then something breaks.
 *
 *   a commit step is the last       the process dies there (worker_watch.reach)
 *   a commit fails                  aborted; unknown and lost; unknown and kept
 *   the machine loses power         what the producer had not committed is sent again
 *   the process is killed           between two steps
 *   an answer gets lost             the producer sends its tail twice
 *   a partition moves               with notice; or without: its worker goes on as a zombie
 *
 * An epoch ends when everything was read to the end and committed; the next one runs the job with
 * other settings. The last one ends with --close. */
#include "tests/sim/sim.h"

/* ---- The producer --------------------------------------------------------------------------- */

static void append(struct sim *sim, size_t number) {
    struct mr_error err;
    const struct sim_message *message = &sim->messages[number];
    struct mr_append append = {.topic = SIM_TOPIC,
                               .partition = message->partition,
                               .timestamp_ns = (int64_t)number, /* how the oracle knows it again */
                               .key = message->key,
                               .value = mr_buffer_slice(&message->value)};
    if (message->tombstone) {
        append.value = (struct mr_slice){0};
    }
    if (mr_session_append(sim->producer, &append, &err) != MR_OK) {
        sim_fail(sim, "the producer cannot append: %s", err.text);
    }
}

static void open_producer(struct sim *sim) {
    struct mr_error err;
    struct mr_session_options options = {0};
    mr_session_close(sim->producer);
    if (mr_session_open(sim->log, &options, &sim->producer, &err) != MR_OK) {
        sim_fail(sim, "the producer cannot start: %s", err.text);
    }
    for (size_t i = 0; i < sim->unacked_count; i++) {
        append(sim, sim->unacked[i]);
    }
}

static void send(struct sim *sim, size_t number) {
    if (sim->unacked_count < SIM_MESSAGES) {
        sim->unacked[sim->unacked_count++] = number;
        append(sim, number);
    }
}

static void acknowledge(struct sim *sim) {
    struct mr_error err;
    if (mr_session_commit(sim->producer, NULL, 0, &err) != MR_COMMITTED) {
        sim_fail(sim, "the producer cannot commit: %s", err.text);
    }
    sim->unacked_count = 0;
}

static void send_tail_again(struct sim *sim) {
    size_t tail = 1 + (size_t)sim_below(&sim->random, 6);
    size_t first = sim->message_count > tail ? sim->message_count - tail : 0;
    sim_tell(sim, "the producer sends %zu to %zu again", first, sim->message_count - 1);
    for (size_t i = first; i < sim->message_count; i++) {
        send(sim, i);
    }
}

static size_t produce(struct sim *sim) {
    size_t count = 1 + (size_t)sim_below(&sim->random, 8);
    for (size_t i = 0; i < count; i++) {
        send(sim, sim_draw_message(sim));
        sim->clock.virtual_ns += SIM_PICK(&sim->random, 0, 1, 1, 2, 8) * SIM_QUANTUM;
    }
    if (sim_chance(&sim->random, 80)) {
        acknowledge(sim);
    }
    if (sim_chance(&sim->random, 10)) {
        send_tail_again(sim);
    }
    return count;
}

/* ---- The workers ---------------------------------------------------------------------------- */

static bool reach(void *arg, const char *step) {
    struct sim *sim = arg;
    struct sim_fleet *fleet = &sim->fleet;
    if (fleet->died || --fleet->fuse == 0) {
        sim_tell(sim, "the process dies before %s", step);
        fleet->died = true;
        return false;
    }
    return true;
}

static void kill_fleet(struct sim *sim) {
    for (uint32_t i = 0; i < sim->fleet.count; i++) {
        mr_worker_destroy(sim->fleet.workers[i]);
    }
    sim->fleet = (struct sim_fleet){0};
}

void sim_worker_replace(struct sim *sim, uint32_t number) {
    struct mr_error err;
    struct sim_fleet *fleet = &sim->fleet;
    const struct sim_epoch *epoch = &sim->job.epochs[sim->epoch];
    struct mr_worker_options options = {.worker = number,
                                        .workers = fleet->count,
                                        .until_end = fleet->until_end,
                                        .close = epoch->close,
                                        .crew = &fleet->crew};
    mr_worker_destroy(fleet->workers[number]);
    if (mr_worker_create(epoch->plan, sim->log, &sim->clock, &options, &fleet->workers[number],
                         &err) != MR_OK) {
        sim_fail(sim, "worker %u does not start: %s", number, err.text);
    }
    mr_worker_watch(fleet->workers[number], &fleet->watch);
}

static void start_fleet(struct sim *sim, bool until_end) {
    struct mr_error err;
    struct sim_fleet *fleet = &sim->fleet;
    *fleet = (struct sim_fleet){.until_end = until_end,
                                .count = 1 + (uint32_t)sim_below(&sim->random, 3),
                                .watch = {.arg = sim}};
    if (mr_run_prepare(sim->job.epochs[sim->epoch].plan, sim->log, &err) != MR_OK) {
        sim_fail(sim, "the job does not prepare: %s", err.text);
    }
    sim_tell(sim, "%u workers start%s", fleet->count, until_end ? ", until the end" : "");
    for (uint32_t i = 0; i < fleet->count; i++) {
        sim_worker_replace(sim, i);
    }
}

bool sim_is_fenced(const struct sim *sim, const char *text) {
    return sim->fleet.zombies && strstr(text, "to another worker");
}

/* What a worker says that is stopped before a commit has made good for one that failed. */
static bool is_unfinished(const struct sim *sim, const char *text) {
    return sim->fleet.failed && strstr(text, "the last commit failed");
}

/* A worker failed: right if we made it, and then the whole process is gone. */
static void expect_failure(struct sim *sim, const struct mr_error *err) {
    if (sim_is_fenced(sim, err->text) || is_unfinished(sim, err->text)) {
        sim_tell(sim, "the workers are gone: %s", err->text);
        kill_fleet(sim);
        return;
    }
    if (!sim->fleet.died && !sim->fault_armed) {
        sim_fail(sim, "a worker failed, and nobody made it fail: %s", err->text);
    }
    sim->fault_armed = sim->fault_armed && sim->fleet.died; /* else this was the fault */
    sim_tell(sim, "the workers are gone: %s", err->text);
    kill_fleet(sim);
}

static void step_worker(struct sim *sim, uint32_t worker) {
    struct mr_error err;
    mr_memory_log_limit(sim->log, (size_t)SIM_PICK(&sim->random, 1, 2, 5, 1000));
    if (sim_chance(&sim->random, 50)) {
        mr_memory_log_next(sim->log, (uint32_t)sim_below(&sim->random, sim->job.partitions));
    }
    if (mr_worker_step(sim->fleet.workers[worker], 0, &err) != MR_OK) {
        expect_failure(sim, &err);
    }
}

static void step_any(struct sim *sim) {
    if (sim->fleet.count == 0) {
        start_fleet(sim, false);
    }
    for (int64_t n = 1 + sim_below(&sim->random, 8); n > 0 && sim->fleet.count > 0; n--) {
        step_worker(sim, (uint32_t)sim_below(&sim->random, sim->fleet.count));
    }
}

static void commit_any(struct sim *sim) {
    struct mr_error err;
    if (sim->fleet.count > 0) {
        uint32_t worker = (uint32_t)sim_below(&sim->random, sim->fleet.count);
        if (mr_worker_commit(sim->fleet.workers[worker], &err) != MR_OK) {
            expect_failure(sim, &err);
        }
    }
}

/* ---- What breaks ---------------------------------------------------------------------------- */

static void fail_a_commit(struct sim *sim) {
    static const char *const names[] = {"aborted", "unknown, lost", "unknown, kept"};
    int kind = (int)sim_below(&sim->random, 3);
    sim_tell(sim, "the next commit of a worker ends: %s", names[kind]);
    mr_memory_log_fail_commit(sim->log, (enum mr_memory_fault)kind);
    sim->fault_armed = true;
}

static void light_a_fuse(struct sim *sim) {
    sim->fleet.watch.reach = reach;
    sim->fleet.fuse = 1 + (int)sim_below(&sim->random, 6);
}

static void lose_power(struct sim *sim) {
    sim_tell(sim, "power is lost");
    if (sim_chance(&sim->random, 50)) {
        kill_fleet(sim);
    }
    mr_memory_log_crash(sim->log);
    sim->fleet.died = sim->fleet.count > 0;
    if (sim->fleet.count > 0) { /* they find out by themselves */
        struct mr_error err = {"the commit went through"};
        uint32_t worker = (uint32_t)sim_below(&sim->random, sim->fleet.count);
        if (mr_worker_step(sim->fleet.workers[worker], 0, &err) == MR_OK) {
            sim_fail(sim, "a worker works on a log that is gone");
        }
        expect_failure(sim, &err);
    }
    open_producer(sim);
}

/* ---- Partitions that move ------------------------------------------------------------------- */

#define ZOMBIE_POLLS 20

static void move_a_partition(struct sim *sim) {
    struct sim_fleet *fleet = &sim->fleet;
    if (!sim->moves || fleet->count < 2 || !sim_chance(&sim->broker, 15)) {
        return;
    }
    uint32_t partition = (uint32_t)sim_below(&sim->broker, sim->job.partitions);
    uint32_t to = (uint32_t)sim_below(&sim->broker, fleet->count);
    int polls = sim_chance(&sim->broker, 40) ? -1 : (int)sim_below(&sim->broker, ZOMBIE_POLLS);
    sim_tell(sim, "partition %u goes to worker %u, %s", partition, to,
             polls < 0 ? "after its commit" : "at once");
    fleet->unsettled = true;
    fleet->zombies |= polls >= 0;
    mr_memory_log_move(sim->log, SIM_JOB, partition, to, polls);
}

static void count_task(void *arg, const struct mr_partition *source,
                       const struct mr_counters *counters) {
    ++*(uint32_t *)arg;
}

static bool all_run(const struct sim *sim) {
    uint32_t tasks = 0;
    for (uint32_t i = 0; i < sim->fleet.count; i++) {
        mr_worker_visit(sim->fleet.workers[i], count_task, &tasks);
    }
    return tasks == sim->job.partitions;
}

/* Until everyone has heard what moved, and runs what it has. */
static void settle(struct sim *sim) {
    for (int n = 0; sim->fleet.count > 0 && (n < ZOMBIE_POLLS * SIM_PARTITIONS || !all_run(sim));
         n++) {
        for (uint32_t i = 0; i < sim->fleet.count; i++) {
            step_worker(sim, i);
        }
    }
    sim->fleet.unsettled = sim->fleet.zombies = false;
}

static void break_something(struct sim *sim) {
    if (sim->faults_left == 0 || sim->fleet.count == 0) {
        return;
    }
    sim->faults_left--;
    switch (sim_below(&sim->random, 6)) {
    case 0:
        fail_a_commit(sim);
        break;
    case 1:
    case 2:
        light_a_fuse(sim);
        break;
    case 3:
        lose_power(sim);
        break;
    case 4:
        sim_tell(sim, "the process is killed");
        kill_fleet(sim);
        break;
    default:
        sim_tell(sim, "a worker is killed and another takes its place");
        sim_worker_replace(sim, (uint32_t)sim_below(&sim->random, sim->fleet.count));
        break;
    }
}

/* ---- Time ----------------------------------------------------------------------------------- */

static void pass(struct sim *sim, int64_t ns) {
    sim->clock.virtual_ns += ns / SIM_QUANTUM * SIM_QUANTUM;
}

static void wait(struct sim *sim) {
    const struct sim_epoch *epoch = &sim->job.epochs[sim->epoch];
    pass(sim, SIM_PICK(&sim->random, SIM_QUANTUM, MR_SECOND, 5 * MR_SECOND, sim->job.window_ns,
                       epoch->grace_ns + sim->job.window_ns, epoch->retain_ns));
}

/* Quiet polls, then a time without records, then quiet polls again: T ticks. */
static void be_silent(struct sim *sim) {
    const struct sim_epoch *epoch = &sim->job.epochs[sim->epoch];
    for (int i = 0; i < 4; i++) {
        step_any(sim);
    }
    if (sim->job.ticks) {
        pass(sim, epoch->idle_ns / 2 * sim_below(&sim->random, 6));
    }
    for (int i = 0; i < 4; i++) {
        step_any(sim);
    }
}

static void check_cells(struct sim *sim) {
    struct sim_fleet *fleet = &sim->fleet;
    if (fleet->unsettled && !fleet->watch.reach && !sim->fault_armed) {
        settle(sim);
    }
    if (fleet->count > 0 && !fleet->watch.reach && !sim->fault_armed) {
        sim_cells_check(sim, (uint32_t)sim_below(&sim->random, fleet->count));
    }
}

/* ---- Epochs --------------------------------------------------------------------------------- */

static void live(struct sim *sim) {
    size_t target = 10 + (size_t)sim_below(&sim->random, 60);
    for (size_t sent = 0; sent < target;) {
        move_a_partition(sim);
        switch (sim_below(&sim->random, 16)) {
        case 0:
        case 1:
        case 2:
        case 3:
            sent += produce(sim);
            break;
        case 4:
        case 5:
            wait(sim);
            break;
        case 6:
            be_silent(sim);
            break;
        case 7:
            break_something(sim);
            break;
        case 8:
            check_cells(sim);
            break;
        case 9:
            commit_any(sim);
            break;
        default:
            step_any(sim);
        }
    }
    acknowledge(sim);
}

static bool all_done(const struct sim *sim) {
    for (uint32_t i = 0; i < sim->fleet.count; i++) {
        if (!mr_worker_done(sim->fleet.workers[i])) {
            return false;
        }
    }
    return sim->fleet.count > 0;
}

static bool finish_workers(struct sim *sim) {
    struct mr_error err;
    for (uint32_t i = 0; i < sim->fleet.count; i++) {
        bool armed = sim->fault_armed;
        if (mr_worker_finish(sim->fleet.workers[i], &err) != MR_OK) {
            sim->fault_armed = armed; /* it warned, and then it failed, for one reason */
            expect_failure(sim, &err);
            return false;
        }
    }
    return !sim->fleet.until_end || all_done(sim); /* else a last commit failed */
}

static void read_to_the_end(struct sim *sim) {
    if (sim_chance(&sim->random, 50)) {
        finish_workers(sim);
    }
    kill_fleet(sim);
    for (;;) {
        if (sim->fleet.count == 0) {
            start_fleet(sim, true);
        }
        move_a_partition(sim);
        if (sim_chance(&sim->random, 10)) {
            break_something(sim);
        } else if (!all_done(sim)) {
            step_any(sim);
            pass(sim, sim_chance(&sim->random, 10) ? SIM_QUANTUM : 0); /* a pause ends */
        } else if (sim->fleet.unsettled && sim_chance(&sim->broker, 50)) {
            settle(sim);
        } else if (finish_workers(sim)) {
            break;
        }
    }
    check_cells(sim);
}

static void begin_next(struct sim *sim) {
    struct sim_epoch *epoch = &sim->job.epochs[sim->epoch];
    kill_fleet(sim);
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        struct mr_partition source = {SIM_TOPIC, p};
        int64_t first;
        struct mr_error err;
        if (mr_log_bounds(sim->log, &source, &first, &epoch->from[p], &err) != MR_OK) {
            sim_fail(sim, "%s", err.text);
        }
    }
}

void sim_play(struct sim *sim) {
    sim->faults_left = (int)sim_below(&sim->random, 6);
    sim->job.epochs[sim->job.epoch_count - 1].close = true;
    open_producer(sim);
    for (; sim->epoch < sim->job.epoch_count; sim->epoch++) {
        sim_tell(sim, "-- epoch %zu", sim->epoch);
        if (sim->epoch > 0) {
            begin_next(sim);
        }
        live(sim);
        read_to_the_end(sim);
    }
    if (sim->fault_armed) { /* nothing was left to commit */
        sim->fault_armed = false;
    }
}
