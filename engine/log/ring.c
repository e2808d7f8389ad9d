/* Whose turn it is: the partitions of one session, in a ring.
 *
 *            turn
 *             v
 *      [ 0 ][ 3 ][ 6 ][ 9 ]     worker 0 of 3
 *
 * A seat is new (its ASSIGNED event is still to come), assigned (the worker restores it), or
 * started (it takes turns). One round asks every started seat once, so a busy partition cannot
 * starve a quiet one. A round in which every started partition was at its end is a quiet round:
 * the session waits once after it, not once per partition.
 *
 * The assignment is static: it depends on nothing but the three numbers, so that the workers of
 * one process need not talk to each other. Only the memory log moves partitions, for tests; there a
 * seat that is gone is another worker's. */
#include "engine/log/back_end.h"

#include <assert.h>
#include <stdlib.h>

void mr_ring_init(struct mr_ring *ring, uint32_t partitions, uint32_t worker, uint32_t workers) {
    assert(worker < workers);
    *ring = (struct mr_ring){.seats = mr_allocate_array(partitions, struct mr_seat)};
    for (uint32_t partition = worker; partition < partitions; partition += workers) {
        ring->seats[ring->count++].partition = partition;
    }
}

void mr_ring_finish(struct mr_ring *ring) {
    free(ring->seats);
    *ring = (struct mr_ring){0};
}

void mr_ring_reassign(struct mr_ring *ring) {
    for (size_t i = 0; i < ring->count; i++) {
        if (ring->seats[i].state != MR_SEAT_GONE) {
            ring->seats[i].state = MR_SEAT_NEW;
        }
    }
    ring->started = ring->turn = ring->quiet = 0;
}

struct mr_seat *mr_ring_assign(struct mr_ring *ring) {
    for (size_t i = 0; i < ring->count; i++) {
        if (ring->seats[i].state == MR_SEAT_NEW) {
            ring->seats[i].state = MR_SEAT_ASSIGNED;
            return &ring->seats[i];
        }
    }
    return NULL;
}

struct mr_seat *mr_ring_find(const struct mr_ring *ring, uint32_t partition) {
    for (size_t i = 0; i < ring->count; i++) {
        if (ring->seats[i].partition == partition) {
            return ring->seats[i].state == MR_SEAT_GONE ? NULL : &ring->seats[i];
        }
    }
    return NULL;
}

bool mr_ring_has(const struct mr_ring *ring, const char *input, const struct mr_position *positions,
                 size_t count, struct mr_error *err) {
    for (size_t i = 0; i < count; i++) {
        const struct mr_partition *source = &positions[i].source;
        if (strcmp(source->topic, input) != 0 || !mr_ring_find(ring, source->partition)) {
            mr_error_set(err, MR_FAIL, "topic \"%s\", partition %u belongs to another worker",
                         source->topic, (unsigned)source->partition);
            return false;
        }
    }
    return true;
}

void mr_ring_drop(struct mr_ring *ring, struct mr_seat *seat) {
    ring->started -= seat->state == MR_SEAT_STARTED;
    seat->state = MR_SEAT_GONE;
    ring->quiet = 0;
}

void mr_ring_start(struct mr_ring *ring, struct mr_seat *seat) {
    if (seat->state != MR_SEAT_STARTED) {
        seat->state = MR_SEAT_STARTED;
        ring->started++;
    }
    ring->quiet = 0;
}

struct mr_seat *mr_ring_next(struct mr_ring *ring) {
    assert(ring->started > 0);
    for (;;) {
        struct mr_seat *seat = &ring->seats[ring->turn];
        ring->turn = (ring->turn + 1) % ring->count;
        if (seat->state == MR_SEAT_STARTED) {
            return seat;
        }
    }
}

bool mr_ring_is_quiet(const struct mr_ring *ring) {
    return ring->quiet >= ring->started;
}
