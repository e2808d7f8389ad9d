/* The workers of one stage, as one process: started, stepped, killed; and the partitions that go
 * from one of them to another. */
#include "tests/sim/sim.h"

#include <stddef.h>

#define ZOMBIE_POLLS 20

const struct mr_plan *sim_plan(const struct sim_fleet *fleet) {
    const struct sim *sim = fleet->sim;
    return sim->job.epochs[sim->epoch].stages[fleet->stage];
}

struct mr_task *sim_task(const struct mr_counters *counters) {
    const void *task = (const char *)counters - offsetof(struct mr_task, counters);
    return (struct mr_task *)(uintptr_t)task;
}

/* ---- They die ------------------------------------------------------------------------------- */

static bool reach(void *arg, const char *step) {
    struct sim_fleet *fleet = arg;
    if (fleet->died || --fleet->fuse == 0) {
        sim_tell(fleet->sim, "the process dies before %s", step);
        fleet->died = true;
        return false;
    }
    return true;
}

void sim_fleet_fuse(struct sim_fleet *fleet) {
    fleet->watch.reach = reach;
    fleet->fuse = 1 + (int)sim_below(&fleet->sim->random, 6);
}

void sim_fleet_kill(struct sim_fleet *fleet) {
    for (uint32_t i = 0; i < fleet->count; i++) {
        mr_worker_destroy(fleet->workers[i]);
    }
    *fleet = (struct sim_fleet){.sim = fleet->sim, .stage = fleet->stage};
}

const char *sim_member(const struct sim_fleet *fleet) {
    return sim_plan(fleet)->member;
}

bool sim_is_fenced(const struct sim *sim, const char *text) {
    return sim->acting && sim->acting->zombies && strstr(text, "to another worker");
}

/* What a worker says that is stopped before a commit has made good for one that failed. */
static bool is_unfinished(const struct sim_fleet *fleet, const char *text) {
    return fleet->failed && strstr(text, "the last commit failed");
}

/* A worker failed: right if we made it, and then the whole process is gone. */
static void expect_failure(struct sim_fleet *fleet, const struct mr_error *err) {
    struct sim *sim = fleet->sim;
    if (!sim_is_fenced(sim, err->text) && !is_unfinished(fleet, err->text)) {
        if (!fleet->died && !sim->fault_armed) {
            sim_fail(sim, "a worker failed, and nobody made it fail: %s", err->text);
        }
        sim->fault_armed = sim->fault_armed && fleet->died; /* else this was the fault */
    }
    sim_tell(sim, "the workers are gone: %s", err->text);
    sim_fleet_kill(fleet);
}

void sim_fleet_lose(struct sim_fleet *fleet) {
    struct mr_error err = {"the commit went through"};
    fleet->died = fleet->count > 0;
    if (fleet->count > 0) { /* they find out by themselves */
        uint32_t worker = (uint32_t)sim_below(&fleet->sim->random, fleet->count);
        fleet->sim->acting = fleet;
        if (mr_worker_step(fleet->workers[worker], 0, &err) == MR_OK) {
            sim_fail(fleet->sim, "a worker works on a log that is gone");
        }
        expect_failure(fleet, &err);
    }
}

/* ---- They start ----------------------------------------------------------------------------- */

void sim_worker_replace(struct sim_fleet *fleet, uint32_t number) {
    struct mr_error err;
    struct sim *sim = fleet->sim;
    struct mr_worker_options options = {.worker = number,
                                        .workers = fleet->count,
                                        .until_end = fleet->until_end,
                                        .close = sim->job.epochs[sim->epoch].close,
                                        .crew = &fleet->crew};
    mr_worker_destroy(fleet->workers[number]);
    if (mr_worker_create(sim_plan(fleet), sim->log, &sim->clock, &options, &fleet->workers[number],
                         &err) != MR_OK) {
        sim_fail(sim, "worker %u does not start: %s", number, err.text);
    }
    mr_worker_watch(fleet->workers[number], &fleet->watch);
}

void sim_fleet_start(struct sim_fleet *fleet, bool until_end) {
    struct mr_error err;
    struct sim *sim = fleet->sim;
    *fleet = (struct sim_fleet){.sim = sim,
                                .stage = fleet->stage,
                                .until_end = until_end,
                                .count = 1 + (uint32_t)sim_below(&sim->random, 3),
                                .watch = {.arg = fleet}};
    if (mr_run_prepare(sim->job.epochs[sim->epoch].plan, sim->log, &err) != MR_OK) {
        sim_fail(sim, "the job does not prepare: %s", err.text);
    }
    sim_tell(sim, "%u workers start%s", fleet->count, until_end ? ", until the end" : "");
    for (uint32_t i = 0; i < fleet->count; i++) {
        sim_worker_replace(fleet, i);
    }
}

/* ---- They work ------------------------------------------------------------------------------ */

void sim_fleet_step(struct sim_fleet *fleet, uint32_t worker) {
    struct mr_error err;
    struct sim *sim = fleet->sim;
    mr_memory_log_limit(sim->log, (size_t)SIM_PICK(&sim->random, 1, 2, 5, 1000));
    if (sim_chance(&sim->random, 50)) {
        mr_memory_log_next(sim->log, (uint32_t)sim_below(&sim->random, sim->job.partitions));
    }
    sim->acting = fleet;
    if (mr_worker_step(fleet->workers[worker], 0, &err) != MR_OK) {
        expect_failure(fleet, &err);
    }
    sim_shadow_read(sim);
}

void sim_fleet_commit(struct sim_fleet *fleet, uint32_t worker) {
    struct mr_error err;
    fleet->sim->acting = fleet;
    if (mr_worker_commit(fleet->workers[worker], &err) != MR_OK) {
        expect_failure(fleet, &err);
    }
    sim_shadow_read(fleet->sim);
}

bool sim_fleet_done(const struct sim_fleet *fleet) {
    for (uint32_t i = 0; i < fleet->count; i++) {
        if (!mr_worker_done(fleet->workers[i])) {
            return false;
        }
    }
    return fleet->count > 0;
}

bool sim_fleet_finish(struct sim_fleet *fleet) {
    struct mr_error err;
    struct sim *sim = fleet->sim;
    sim->acting = fleet;
    for (uint32_t i = 0; i < fleet->count; i++) {
        bool armed = sim->fault_armed;
        if (mr_worker_finish(fleet->workers[i], &err) != MR_OK) {
            sim->fault_armed = armed; /* it warned, and then it failed, for one reason */
            expect_failure(fleet, &err);
            sim_shadow_read(sim);
            return false;
        }
        sim_shadow_read(sim);
    }
    return !fleet->until_end || sim_fleet_done(fleet); /* else a last commit failed */
}

/* ---- Partitions that move ------------------------------------------------------------------- */

void sim_fleet_move(struct sim_fleet *fleet) {
    struct sim *sim = fleet->sim;
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
    mr_memory_log_move(sim->log, sim_member(fleet), partition, to, polls);
}

struct owned { /* whose tasks are looked at */
    const struct sim_fleet *fleet;
    uint32_t worker;
    void (*visit)(void *arg, const struct mr_task *task);
    void *arg;
};

static void visit_task(void *arg, const struct mr_partition *source,
                       const struct mr_counters *counters) {
    const struct owned *owned = arg;
    const struct sim_fleet *fleet = owned->fleet;
    if (mr_memory_log_owner(fleet->sim->log, sim_member(fleet), source->partition) ==
        owned->worker) { /* else a zombie's */
        owned->visit(owned->arg, sim_task(counters));
    }
}

void sim_fleet_visit(const struct sim_fleet *fleet,
                     void (*visit)(void *arg, const struct mr_task *task), void *arg) {
    struct owned owned = {fleet, 0, visit, arg};
    for (; owned.worker < fleet->count; owned.worker++) {
        mr_worker_visit(fleet->workers[owned.worker], visit_task, &owned);
    }
}

static void count_task(void *arg, const struct mr_partition *source,
                       const struct mr_counters *counters) {
    ++*(uint32_t *)arg;
}

static bool all_run(const struct sim_fleet *fleet) {
    uint32_t tasks = 0;
    for (uint32_t i = 0; i < fleet->count; i++) {
        mr_worker_visit(fleet->workers[i], count_task, &tasks);
    }
    return tasks == fleet->sim->job.partitions;
}

void sim_fleet_settle(struct sim_fleet *fleet) {
    for (int n = 0; fleet->count > 0 && (n < ZOMBIE_POLLS * SIM_PARTITIONS || !all_run(fleet));
         n++) {
        if (n >= ZOMBIE_POLLS * SIM_PARTITIONS) { /* one may pause after commits that failed */
            fleet->sim->clock.virtual_ns += SIM_QUANTUM;
        }
        for (uint32_t i = 0; i < fleet->count; i++) {
            sim_fleet_step(fleet, i);
        }
    }
    fleet->unsettled = fleet->zombies = false;
}

/* ---- At rest -------------------------------------------------------------------------------- */

static void note_behind(void *arg, const struct mr_task *task) {
    const struct sim_fleet **fleet = arg;
    struct mr_error err;
    int64_t first, end;
    if (!*fleet) {
        return;
    }
    mr_log_bounds((*fleet)->sim->log, &task->source, &first, &end, &err);
    if (task->offset < end && task->reached < end) {
        *fleet = NULL;
    }
}

static bool is_behind(const struct sim_fleet *fleet) {
    sim_fleet_visit(fleet, note_behind, &fleet);
    return !fleet;
}

bool sim_fleet_rest(struct sim_fleet *fleet) {
    struct sim *sim = fleet->sim;
    if (fleet->count == 0 || fleet->watch.reach || sim->fault_armed) {
        return false;
    }
    sim_tell(sim, "stage %u comes to rest", fleet->stage);
    do {
        sim_fleet_settle(fleet);
    } while (fleet->count > 0 && is_behind(fleet));
    for (int n = 0; n < 2 * SIM_PARTITIONS; n++) { /* and all have been polled at their ends */
        for (uint32_t i = 0; i < fleet->count; i++) {
            sim_fleet_step(fleet, i);
        }
    }
    for (uint32_t i = 0; i < fleet->count; i++) {
        sim_fleet_commit(fleet, i);
    }
    if (fleet->stage == 0 && fleet->count > 0) {
        sim_tables_check(sim);
    }
    return fleet->count > 0;
}
