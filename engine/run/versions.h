/* Private to the room: the versions of one key of a table, in the body of a cell. An empty body has
 * none. */
#ifndef ENGINE_RUN_VERSIONS_H
#define ENGINE_RUN_VERSIONS_H

#include "engine/state/state.h"

struct mr_version_entry {
    int64_t from_ns; /* it holds from then on */
    int64_t offset;  /* of equal times the higher one wins */
    bool none;       /* a tombstone: nothing is said */
    struct mr_slice said;
};

struct mr_version_found {
    bool there;
    int64_t until_ns; /* another thing is said from then on; INT64_MAX: none known */
    struct mr_slice said;
};

void mr_versions_put(struct mr_accumulator *cell, const struct mr_version_entry *entry);
/* Whether a look at its time would find another thing with it. */
bool mr_versions_news(const struct mr_accumulator *cell, const struct mr_version_entry *entry);
/* What was said at from_ns, and until when, looked for up to last_ns. Before bound_ns there is only
 * what was said at bound_ns. */
struct mr_version_found mr_versions_find(const struct mr_accumulator *cell, int64_t from_ns,
                                         int64_t last_ns, int64_t bound_ns);
/* Drops what does not count. True: there was something. */
bool mr_versions_forget(struct mr_accumulator *cell, int64_t bound_ns);
/* Nothing is left but a tombstone that lies before the bound. */
bool mr_versions_over(const struct mr_accumulator *cell, int64_t bound_ns);
/* Drops the oldest when the cell is longer than 1 MiB. Returns how many. */
uint32_t mr_versions_limit(struct mr_accumulator *cell);
/* Whether the bytes are what mr_versions_put makes. */
bool mr_versions_check(const struct mr_accumulator *cell);

#endif
