/* The producer: sends what is drawn, to the input and to the tables, in transactions of its own;
 * what was not acknowledged when the power went it sends again, and now and then its tail too. */
#include "tests/sim/sim.h"

static void append_entry(struct sim *sim, size_t number) {
    struct mr_error err;
    const struct sim_entry *entry = &sim->entries[number];
    struct mr_append append = {.partition = entry->partition,
                               .timestamp_ns = (int64_t)number, /* how the oracle knows it again */
                               .key = entry->key,
                               .value = mr_buffer_slice(&entry->value)};
    char topic[16];
    snprintf(topic, sizeof topic, "table-%u", entry->table);
    append.topic = topic;
    if (entry->tombstone) {
        append.value = (struct mr_slice){0};
    }
    if (mr_session_append(sim->producer, &append, &err) != MR_OK) {
        sim_fail(sim, "the producer cannot append to a table: %s", err.text);
    }
}

static void append(struct sim *sim, size_t number) {
    struct mr_error err;
    if (number >= SIM_MESSAGES) {
        append_entry(sim, number - SIM_MESSAGES);
        return;
    }
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

void sim_producer_open(struct sim *sim) {
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

void sim_acknowledge(struct sim *sim) {
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

size_t sim_produce(struct sim *sim) {
    size_t count = 1 + (size_t)sim_below(&sim->random, 8);
    for (size_t i = 0; i < count; i++) {
        send(sim, sim_draw_message(sim));
        sim->clock.virtual_ns += SIM_PICK(&sim->random, 0, 1, 1, 2, 8) * SIM_QUANTUM;
    }
    if (sim_chance(&sim->random, 80)) {
        sim_acknowledge(sim);
    }
    if (sim_chance(&sim->random, 10)) {
        send_tail_again(sim);
    }
    return count;
}

void sim_produce_entries(struct sim *sim, int most) {
    for (int64_t n = 1 + sim_below(&sim->more, most); n > 0 && sim->entry_count < SIM_ENTRIES;
         n--) {
        send(sim, SIM_MESSAGES + sim_draw_entry(sim));
    }
    if (sim_chance(&sim->more, 80)) {
        sim_acknowledge(sim);
    }
}
