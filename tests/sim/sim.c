/* The simulation's door: seeds in, one line out. See sim.h.
 *
 *   test_sim --seeds 5000 [--from SEED]      as ctest runs it
 *   test_sim --seed S --verbose              one run, told step by step
 *
 * The first difference ends it, with the command that shows it again. */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <unistd.h>

static struct sim *running; /* for the diagnostics below */

/* In the place of the engine's diagnostics. It warns of commits that failed, and only of those:
 * those of zombies, and the one that was made to fail. */
void mr_note(const char *format, ...) {
    (void)format;
}

void mr_warn(const char *format, ...) {
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (running && sim_is_fenced(running, text)) {
        sim_tell(running, "%s", text);
        return;
    }
    if (!running || !running->fault_armed) {
        sim_fail(running, "a warning that nobody asked for: %s", text);
    }
    running->fault_armed = false;
    running->acting->failed = true;
    sim_tell(running, "%s", text);
}

void sim_fail(const struct sim *sim, const char *format, ...) {
    va_list list;
    printf("seed %llu: ", (unsigned long long)sim->seed);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\nto see it again: build/debug/tests/test_sim --seed %llu --verbose\n",
           (unsigned long long)sim->seed);
    fflush(stdout);
    _exit(1);
}

void sim_tell(const struct sim *sim, const char *format, ...) {
    va_list list;
    if (sim->verbose) {
        printf("%12.2f  ", (double)sim->clock.virtual_ns / 1e9 - 1.79e9);
        va_start(list, format);
        vprintf(format, list);
        va_end(list);
        putchar('\n');
    }
}

uint64_t sim_next(struct sim_random *random) {
    uint64_t z = random->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

int64_t sim_below(struct sim_random *random, int64_t n) {
    return (int64_t)(sim_next(random) % (uint64_t)n);
}

bool sim_chance(struct sim_random *random, int percent) {
    return sim_below(random, 100) < percent;
}

int64_t sim_pick(struct sim_random *random, const int64_t *items, size_t count) {
    return items[sim_below(random, (int64_t)count)];
}

static void open_log(struct sim *sim) {
    struct mr_error err;
    struct mr_topic input = {.name = SIM_TOPIC,
                             .partitions = sim->job.partitions,
                             .retention_ns = -1,
                             .retention_bytes = -1};
    if (mr_log_open("memory:", &(struct mr_log_options){.make = true}, &sim->clock, &sim->log,
                    &err) != MR_OK ||
        mr_log_create(sim->log, &input, &err) != MR_OK) {
        sim_fail(sim, "the log does not open: %s", err.text);
    }
    sim->moves = sim_chance(&sim->broker, 40);
    sim_tables_create(sim);
    if (sim_chance(&sim->broker, 50)) {
        sim_tell(sim, "commits leave gaps in the offsets");
        mr_memory_log_gaps(sim->log);
    }
    if (sim_chance(&sim->broker, 50)) {
        sim_tell(sim, "changelogs give older versions and tombstones");
        mr_memory_log_versions(sim->log);
    }
}

static struct sim *make(uint64_t seed, bool verbose) {
    struct sim *sim = mr_allocate(sizeof *sim);
    sim->seed = seed;
    sim->verbose = verbose;
    sim->random.state = seed;
    sim->broker.state = ~seed;
    sim->more.state = seed ^ UINT64_C(0x5555555555555555);
    sim->clock = mr_virtual_clock(INT64_C(1790000000) * MR_SECOND);
    sim->messages = mr_allocate_array(SIM_MESSAGES, struct sim_message);
    sim->entries = mr_allocate_array(SIM_ENTRIES, struct sim_entry);
    for (uint32_t i = 0; i < SIM_STAGES; i++) {
        sim->fleets[i] = (struct sim_fleet){.sim = sim, .stage = i};
    }
    return sim;
}

static void destroy(struct sim *sim) {
    for (uint32_t i = 0; i < SIM_STAGES; i++) {
        sim_fleet_kill(&sim->fleets[i]);
    }
    mr_session_close(sim->producer);
    mr_log_close(sim->log);
    for (size_t i = 0; i < sim->job.epoch_count; i++) {
        mr_plan_destroy(sim->job.epochs[i].plan);
    }
    for (size_t i = 0; i < sim->message_count; i++) {
        mr_buffer_finish(&sim->messages[i].value);
    }
    for (size_t i = 0; i < sim->entry_count; i++) {
        mr_buffer_finish(&sim->entries[i].value);
    }
    for (uint32_t i = 0; i < SIM_TABLES; i++) {
        free(sim->versions[i].items);
    }
    sim_shadow_destroy(sim->shadow);
    free(sim->messages);
    free(sim->entries);
    free(sim);
}

static void run(uint64_t seed, bool verbose) {
    struct sim *sim = make(seed, verbose);
    running = sim;
    sim_draw_job(sim);
    for (size_t i = 0; i < sim->job.epoch_count; i++) {
        sim_plan_load(sim, &sim->job.epochs[i]);
    }
    open_log(sim);
    sim_play(sim);
    sim_tables_read(sim);
    sim_check(sim);
    destroy(sim);
    running = NULL;
}

int main(int count, char **arguments) {
    uint64_t from = 1, seeds = 1000;
    bool verbose = false;
    for (int i = 1; i < count; i++) {
        bool has_value = i + 1 < count;
        if (strcmp(arguments[i], "--verbose") == 0) {
            verbose = true;
        } else if (strcmp(arguments[i], "--seeds") == 0 && has_value) {
            seeds = strtoull(arguments[++i], NULL, 10);
        } else if (strcmp(arguments[i], "--from") == 0 && has_value) {
            from = strtoull(arguments[++i], NULL, 10);
        } else if (strcmp(arguments[i], "--seed") == 0 && has_value) {
            from = strtoull(arguments[++i], NULL, 10);
            seeds = 1;
        } else {
            fprintf(stderr, "usage: test_sim [--seeds N] [--from SEED] [--seed S [--verbose]]\n");
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* what a run that does not end has told can be read */
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        run(seed, verbose);
    }
    printf("%llu seeds, from %llu: every run came out as the oracle says\n",
           (unsigned long long)seeds, (unsigned long long)from);
    return 0;
}
