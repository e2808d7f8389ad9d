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
 * A job of two stages has two such processes, which live and die each for itself.
 *
 * An epoch ends when everything was read to the end and committed; the next one runs the job with
 * other settings. The last one ends with --close. A rerun begins with --reset, when the topics of
 * the tables have lost what the job has read. */
#include "tests/sim/sim.h"

/* ---- Turns ---------------------------------------------------------------------------------- */

static struct sim_fleet *any_fleet(struct sim *sim) {
    return &sim->fleets[sim->job.stages > 1 ? sim_below(&sim->more, sim->job.stages) : 0];
}

static void step_any(struct sim *sim, struct sim_fleet *fleet) {
    if (fleet->count == 0) {
        sim_fleet_start(fleet, false);
    }
    for (int64_t n = 1 + sim_below(&sim->random, 8); n > 0 && fleet->count > 0; n--) {
        sim_fleet_step(fleet, (uint32_t)sim_below(&sim->random, fleet->count));
    }
}

static void commit_any(struct sim *sim, struct sim_fleet *fleet) {
    if (fleet->count > 0) {
        sim_fleet_commit(fleet, (uint32_t)sim_below(&sim->random, fleet->count));
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

static void lose_power(struct sim *sim) {
    sim_tell(sim, "power is lost");
    bool gone = sim_chance(&sim->random, 50);
    for (uint32_t i = 0; gone && i < sim->job.stages; i++) {
        sim_fleet_kill(&sim->fleets[i]);
    }
    mr_memory_log_crash(sim->log);
    for (uint32_t i = 0; i < sim->job.stages; i++) {
        sim_fleet_lose(&sim->fleets[i]);
    }
    sim_producer_open(sim);
}

static void break_something(struct sim *sim, struct sim_fleet *fleet) {
    if (sim->faults_left == 0 || fleet->count == 0) {
        return;
    }
    sim->faults_left--;
    switch (sim_below(&sim->random, 6)) {
    case 0:
        fail_a_commit(sim);
        break;
    case 1:
    case 2:
        sim_fleet_fuse(fleet);
        break;
    case 3:
        lose_power(sim);
        break;
    case 4:
        sim_tell(sim, "the process is killed");
        sim_fleet_kill(fleet);
        break;
    default:
        sim_tell(sim, "a worker is killed and another takes its place");
        sim_worker_replace(fleet, (uint32_t)sim_below(&sim->random, fleet->count));
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
        step_any(sim, any_fleet(sim));
    }
    if (sim->job.ticks) {
        pass(sim, epoch->idle_ns / 2 * sim_below(&sim->random, 6));
    }
    for (int i = 0; i < 4; i++) {
        step_any(sim, any_fleet(sim));
    }
}

static void check_cells(struct sim *sim, struct sim_fleet *fleet) {
    if (sim->job.stages > 1 && sim_chance(&sim->more, 50)) {
        sim_stages_check(sim);
    }
    if (sim->job.table_count > 0 && fleet->stage == 0 && !sim_fleet_rest(fleet)) {
        return; /* one that takes its place reads the tables to their ends */
    }
    if (fleet->unsettled && !fleet->watch.reach && !sim->fault_armed) {
        sim_fleet_settle(fleet);
    }
    if (fleet->count > 0 && !fleet->watch.reach && !sim->fault_armed) {
        sim_cells_check(fleet, (uint32_t)sim_below(&sim->random, fleet->count));
    }
}

/* ---- Epochs --------------------------------------------------------------------------------- */

static void live(struct sim *sim) {
    size_t target = 10 + (size_t)sim_below(&sim->random, 60);
    for (size_t sent = 0; sent < target;) {
        sim_fleet_move(any_fleet(sim));
        if (sim->job.table_count > 0 && sim_chance(&sim->more, 15)) {
            sim_produce_entries(sim, 3);
        }
        switch (sim_below(&sim->random, 16)) {
        case 0:
        case 1:
        case 2:
        case 3:
            sent += sim_produce(sim);
            break;
        case 4:
        case 5:
            wait(sim);
            break;
        case 6:
            be_silent(sim);
            break;
        case 7:
            break_something(sim, any_fleet(sim));
            break;
        case 8:
            check_cells(sim, any_fleet(sim));
            break;
        case 9:
            commit_any(sim, any_fleet(sim));
            break;
        default:
            step_any(sim, any_fleet(sim));
        }
    }
    sim_acknowledge(sim);
}

static void read_to_the_end(struct sim *sim, struct sim_fleet *fleet) {
    if (sim_chance(&sim->random, 50)) {
        sim_fleet_finish(fleet);
    }
    sim_fleet_kill(fleet);
    for (;;) {
        if (fleet->count == 0) {
            sim_fleet_start(fleet, true);
        }
        if (sim->job.stages > 1 && sim_chance(&sim->more, 20)) {
            step_any(sim, &sim->fleets[1 - fleet->stage]); /* the other one goes on meanwhile */
        }
        sim_fleet_move(fleet);
        if (sim_chance(&sim->random, 10)) {
            break_something(sim, fleet);
        } else if (!sim_fleet_done(fleet)) {
            step_any(sim, fleet);
            pass(sim, sim_chance(&sim->random, 10) ? SIM_QUANTUM : 0); /* a pause ends */
        } else if (fleet->unsettled && sim_chance(&sim->broker, 50)) {
            sim_fleet_settle(fleet);
        } else if (sim_fleet_finish(fleet)) {
            break;
        }
    }
    check_cells(sim, fleet);
}

/* The first stage, then the second; what lost its life in the other's time runs once more. */
static void end_epoch(struct sim *sim) {
    uint32_t stage = 0;
    while (stage < sim->job.stages) {
        if (sim->fleets[stage].count == 0 || !sim->fleets[stage].until_end) {
            read_to_the_end(sim, &sim->fleets[stage]);
            stage = 0;
        } else {
            stage++;
        }
    }
}

static int64_t end_of(const struct sim *sim, const char *topic, uint32_t partition) {
    struct mr_partition source = {.partition = partition};
    int64_t first, end;
    struct mr_error err;
    snprintf(source.topic, sizeof source.topic, "%s", topic);
    if (mr_log_bounds(sim->log, &source, &first, &end, &err) != MR_OK) {
        sim_fail(sim, "%s", err.text);
    }
    return end;
}

static void note_offset(void *arg, const struct mr_task *task) {
    ((int64_t *)arg)[task->source.partition] = task->offset < 0 ? 0 : task->offset;
}

/* What was known of the tables goes, but for what the job has kept of it. */
static void reset(struct sim *sim, struct sim_epoch *epoch) {
    struct mr_error err;
    sim_tell(sim, "the job forgets everything, and the tables too");
    memset(epoch->from, 0, sizeof epoch->from);
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        sim->since[p] = end_of(sim, SIM_OUTPUT, p);
        sim->letters_since[p] = end_of(sim, epoch->stages[0]->dead_letter_topic, p);
    }
    sim_tables_lose(sim);
    if (mr_run_reset(epoch->plan, sim->log, &err) != MR_OK) {
        sim_fail(sim, "the job cannot be reset: %s", err.text);
    }
    sim_shadow_forget(sim);
}

static void begin_next(struct sim *sim) {
    struct sim_epoch *epoch = &sim->job.epochs[sim->epoch];
    for (uint32_t p = 0; p < sim->job.partitions; p++) {
        epoch->from[0][p] = end_of(sim, SIM_TOPIC, p);
    }
    if (sim->job.stages > 1) {
        sim_fleet_visit(&sim->fleets[1], note_offset, epoch->from[1]);
    }
    for (uint32_t i = 0; i < sim->job.stages; i++) {
        sim_fleet_kill(&sim->fleets[i]);
    }
    if (epoch->reset) {
        reset(sim, epoch);
    }
}

void sim_play(struct sim *sim) {
    sim->faults_left = (int)sim_below(&sim->random, 6);
    sim_producer_open(sim);
    if (sim->job.table_count > 0) {
        sim_produce_entries(sim, 20);
    }
    for (; sim->epoch < sim->job.epoch_count; sim->epoch++) {
        sim_tell(sim, "-- epoch %zu", sim->epoch);
        if (sim->epoch > 0) {
            begin_next(sim);
        }
        if (!sim->job.epochs[sim->epoch].reset) {
            live(sim);
        }
        end_epoch(sim);
    }
    sim->epoch--;
    sim->fault_armed = false; /* nothing was left to commit */
}
