/* Which worker of a job has which partition of its input, on the memory log.
 *
 * At first partition p is worker p % workers', and stays. A test may move one (memory.h):
 *
 *   with notice       REVOKED -> the owner may commit it still -> its next poll hands it over
 *   without notice    the new owner has it at once; the former one delivers on, and hears LOST so
 *                     many polls later. What it commits of it in between is fenced.
 *
 * Each move begins a new term of the partition. A seat is good for the term in which it was taken,
 * so one that was lost and came back has still been lost. */
#include "engine/log/memory_store.h"

#include <assert.h>
#include <stdlib.h>

static void share_out(struct mr_memory_job *job, uint32_t partitions, uint32_t workers) {
    free(job->shares);
    job->shares = mr_allocate_array(partitions, struct mr_memory_share);
    job->partitions = partitions;
    for (uint32_t p = 0; p < partitions; p++) {
        job->shares[p].owner = p % workers;
        job->shares[p].heir = -1;
    }
}

static bool is_mine(const struct mr_memory_member *member, size_t p) {
    const struct mr_memory_share *share = &member->job->shares[p];
    return share->owner == member->worker && share->term == member->terms[p];
}

enum mr_status mr_memory_member_join(struct mr_memory_member *member, struct mr_memory_job *job,
                                     const struct mr_session_options *options, uint32_t partitions,
                                     struct mr_error *err) {
    if (job->running > 0 && (job->workers != options->workers || job->open[options->worker])) {
        return mr_error_set(err, MR_REJECT, "job \"%s\" already runs on this log", options->job);
    }
    if (job->running == 0) {
        share_out(job, partitions, options->workers);
    }
    job->workers = options->workers;
    job->open[options->worker] = true;
    job->running++;
    *member = (struct mr_memory_member){.job = job, .worker = options->worker};
    member->terms = mr_allocate_array(partitions, uint64_t);
    mr_ring_init(&member->ring, partitions, 0, 1);
    for (uint32_t p = 0; p < partitions; p++) {
        member->terms[p] = job->shares[p].term;
        if (!is_mine(member, p)) {
            mr_ring_drop(&member->ring, &member->ring.seats[p]);
        }
    }
    return MR_OK;
}

static void move(struct mr_memory_share *share, uint32_t to) {
    share->former = share->owner;
    share->owner = to;
    share->heir = -1;
    share->polls = 0;
    share->term++;
}

void mr_memory_member_leave(struct mr_memory_member *member) {
    struct mr_memory_job *job = member->job;
    job->open[member->worker] = false;
    job->running--;
    for (uint32_t p = 0; p < job->partitions; p++) {
        if (is_mine(member, p) && job->shares[p].heir >= 0) {
            move(&job->shares[p], (uint32_t)job->shares[p].heir);
        }
    }
}

void mr_memory_member_finish(struct mr_memory_member *member) {
    mr_ring_finish(&member->ring);
    free(member->terms);
}

/* What happened to a partition since the last poll; NONE: nothing that has to be told now. */
static enum mr_event_kind look_at(struct mr_memory_member *member, uint32_t p) {
    struct mr_memory_share *share = &member->job->shares[p];
    struct mr_seat *seat = &member->ring.seats[p];
    bool knows = seat->state == MR_SEAT_ASSIGNED || seat->state == MR_SEAT_STARTED;
    if (is_mine(member, p) && share->heir >= 0 && knows) {
        mr_ring_drop(&member->ring, seat);
        seat->state = MR_SEAT_NEW; /* still its own, as if never told: until the next poll */
        return MR_EVENT_REVOKED;
    }
    if (is_mine(member, p) && share->heir >= 0) {
        move(share, (uint32_t)share->heir);
    }
    if (!is_mine(member, p) && seat->state != MR_SEAT_GONE) {
        if (knows && share->former == member->worker && share->polls > 0) {
            share->polls--;
            return MR_EVENT_NONE;
        }
        mr_ring_drop(&member->ring, seat);
    }
    if (seat->state == MR_SEAT_GONE && share->owner == member->worker) {
        seat->state = MR_SEAT_NEW;
        member->terms[p] = share->term;
        return knows ? MR_EVENT_LOST : MR_EVENT_NONE;
    }
    return knows && seat->state == MR_SEAT_GONE ? MR_EVENT_LOST : MR_EVENT_NONE;
}

enum mr_event_kind mr_memory_member_poll(struct mr_memory_member *member, uint32_t *partition) {
    for (uint32_t p = 0; p < member->job->partitions; p++) {
        enum mr_event_kind kind = look_at(member, p);
        if (kind != MR_EVENT_NONE) {
            *partition = p;
            return kind;
        }
    }
    const struct mr_seat *seat = mr_ring_assign(&member->ring);
    *partition = seat ? seat->partition : 0;
    return seat ? MR_EVENT_ASSIGNED : MR_EVENT_NONE;
}

bool mr_memory_member_has(const struct mr_memory_member *member, const char *input,
                          const struct mr_position *positions, size_t count, struct mr_error *err) {
    if (!mr_ring_has(&member->ring, input, positions, count, err)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_mine(member, positions[i].source.partition)) {
            mr_error_set(err, MR_FAIL, "topic \"%s\", partition %u has gone to another worker",
                         input, (unsigned)positions[i].source.partition);
            return false;
        }
    }
    return true;
}

void mr_memory_log_move(struct mr_log *base, const char *job_name, uint32_t partition, uint32_t to,
                        int polls) {
    assert(base->type == &mr_memory_log);
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    pthread_mutex_lock(&log->lock);
    struct mr_memory_job *job = mr_memory_job_find(log, job_name);
    assert(job->running > 0 && partition < job->partitions && to < job->workers);
    struct mr_memory_share *share = &job->shares[partition];
    if (share->owner != to && polls < 0 && job->open[share->owner]) {
        share->heir = to;
    } else if (share->owner != to) {
        move(share, to);
        share->polls = polls < 0 ? 0 : polls;
    }
    pthread_cond_broadcast(&log->grown);
    pthread_mutex_unlock(&log->lock);
}

uint32_t mr_memory_log_owner(struct mr_log *base, const char *job_name, uint32_t partition) {
    assert(base->type == &mr_memory_log);
    struct mr_memory_log *log = (struct mr_memory_log *)base;
    pthread_mutex_lock(&log->lock);
    struct mr_memory_job *job = mr_memory_job_find(log, job_name);
    assert(partition < job->partitions);
    uint32_t owner = job->shares[partition].owner;
    pthread_mutex_unlock(&log->lock);
    return owner;
}
