/* The versions of one key of a table: what it said from when on, in one cell.
 *
 *   count u32, 0 | versions, 24 bytes each, ascending by from_ns | what they say
 *                  from_ns, offset, at, length                     at: from here on
 *
 * A tombstone is a version that says "none". Of equal times the higher offset wins and the other
 * one goes, so putting an entry again changes nothing. A look takes one or two binary searches;
 * the newest entry, as it comes in order, moves what the versions say by 24 bytes.
 *
 * Before a bound there is only what held at the bound, whether older versions have been forgotten
 * or not, so forgetting shows nowhere. */
#include "engine/run/versions.h"

#define CELL_MAX  (1 << 20)               /* bytes; then the oldest versions go        */
#define CELL_LEFT (CELL_MAX - (64 << 10)) /* until so many are left: they go in bulk   */
#define NONE      UINT32_MAX              /* the length of a tombstone                 */
#define HEAD      8

struct version {
    int64_t from_ns, offset;
    uint32_t at, length;
};

static uint32_t count_of(const struct mr_accumulator *cell) {
    uint32_t count = 0;
    if (cell->length >= HEAD) {
        memcpy(&count, cell->body, sizeof count);
    }
    return count;
}

static struct version *versions_of(const struct mr_accumulator *cell) {
    return (struct version *)(void *)(cell->body + HEAD);
}

static const char *heap_of(const struct mr_accumulator *cell) {
    return (const char *)cell->body + HEAD + count_of(cell) * sizeof(struct version);
}

static struct mr_slice said_by(const struct mr_accumulator *cell, const struct version *version) {
    bool none = version->length == NONE;
    return (struct mr_slice){heap_of(cell) + version->at, none ? 0 : version->length};
}

bool mr_versions_check(const struct mr_accumulator *body) {
    uint32_t count = count_of(body);
    size_t head = HEAD + (size_t)count * sizeof(struct version);
    if (count == 0 || head > body->length) {
        return false;
    }
    size_t heap = body->length - head;
    const struct version *versions = versions_of(body);
    for (uint32_t i = 0; i < count; i++) {
        size_t length = versions[i].length == NONE ? 0 : versions[i].length;
        if (versions[i].at > heap || length > heap - versions[i].at ||
            (i > 0 && versions[i].from_ns <= versions[i - 1].from_ns)) {
            return false;
        }
    }
    return true;
}

/* How many versions begin at or before time_ns. */
static uint32_t rank(const struct mr_accumulator *cell, int64_t time_ns) {
    uint32_t low = 0, high = count_of(cell);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (versions_of(cell)[middle].from_ns <= time_ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Leaves out the oldest versions, and what no version points to. */
static void drop_oldest(struct mr_accumulator *cell, uint32_t drop) {
    uint32_t kept = count_of(cell) - drop;
    const struct version *versions = versions_of(cell) + drop;
    struct mr_buffer fresh = {0};
    mr_put_u32(&fresh, kept);
    mr_put_u32(&fresh, 0);
    uint32_t at = 0;
    for (uint32_t i = 0; i < kept; i++) {
        struct version version = versions[i];
        version.at = at;
        at += (uint32_t)said_by(cell, &versions[i]).length;
        mr_buffer_add(&fresh, &version, sizeof version);
    }
    for (uint32_t i = 0; i < kept; i++) {
        struct mr_slice said = said_by(cell, &versions[i]);
        mr_buffer_add(&fresh, said.data, said.length);
    }
    memcpy(cell->body, fresh.data, fresh.length);
    cell->length = (uint32_t)fresh.length;
    mr_buffer_finish(&fresh);
}

/* Room for one more version at place `at`. */
static void make_room(struct mr_accumulator *cell, uint32_t at, size_t said) {
    uint32_t count = count_of(cell);
    size_t length = cell->length >= HEAD ? cell->length : HEAD;
    size_t wanted = length + sizeof(struct version) + said;
    size_t spare = wanted / 2 < CELL_MAX / 16 ? wanted / 2 : CELL_MAX / 16;
    if (wanted > cell->capacity) {
        mr_accumulator_reserve(cell, (uint32_t)(wanted + spare));
    }
    size_t place = HEAD + at * sizeof(struct version);
    memmove(cell->body + place + sizeof(struct version), cell->body + place, length - place);
    const uint32_t head[2] = {count + 1, 0};
    memcpy(cell->body, head, sizeof head);
    cell->length = (uint32_t)(length + sizeof(struct version));
}

void mr_versions_put(struct mr_accumulator *cell, const struct mr_version_entry *entry) {
    uint32_t at = rank(cell, entry->from_ns);
    bool again = at > 0 && versions_of(cell)[at - 1].from_ns == entry->from_ns;
    if (again && versions_of(cell)[at - 1].offset >= entry->offset) {
        return;
    }
    size_t length = entry->none ? 0 : entry->said.length;
    if (again) {
        at--;
        mr_accumulator_reserve(cell, cell->length + (uint32_t)length);
    } else {
        make_room(cell, at, length);
    }
    versions_of(cell)[at] =
        (struct version){entry->from_ns, entry->offset,
                         (uint32_t)((const char *)cell->body + cell->length - heap_of(cell)),
                         entry->none ? NONE : (uint32_t)length};
    if (length > 0) {
        memcpy(cell->body + cell->length, entry->said.data, length);
    }
    cell->length += (uint32_t)length;
}

/* The number of the oldest version that counts: the newest one at or before the bound. */
static uint32_t oldest_that_counts(const struct mr_accumulator *cell, int64_t bound_ns) {
    uint32_t passed = rank(cell, bound_ns);
    return passed > 0 ? passed - 1 : 0;
}

/* ---- What goes --------------------------------------------------------------------------------
 */

bool mr_versions_forget(struct mr_accumulator *cell, int64_t bound_ns) {
    uint32_t passed = oldest_that_counts(cell, bound_ns);
    if (passed > 0) {
        drop_oldest(cell, passed);
    }
    return passed > 0;
}

bool mr_versions_over(const struct mr_accumulator *cell, int64_t bound_ns) {
    const struct version *first = count_of(cell) == 1 ? versions_of(cell) : NULL;
    return first && first->length == NONE && first->from_ns <= bound_ns;
}

static uint32_t too_many(const struct mr_accumulator *cell) {
    uint32_t count = count_of(cell), drop = 0;
    size_t length = HEAD;
    if (cell->length <= CELL_MAX) {
        return 0;
    }
    for (uint32_t i = count; i-- > 0;) {
        length += sizeof(struct version) + said_by(cell, &versions_of(cell)[i]).length;
        if (length > CELL_LEFT && drop == 0) {
            drop = i + 1;
        }
    }
    return drop;
}

uint32_t mr_versions_limit(struct mr_accumulator *cell) {
    uint32_t drop = too_many(cell);
    if (cell->length > CELL_MAX) {
        drop_oldest(cell, drop); /* none, perhaps: what no version points to goes, too */
    }
    return drop;
}

/* ---- Looking ----------------------------------------------------------------------------------
 */

/* A rank is how many versions have begun. */
static bool is_none(const struct mr_accumulator *cell, uint32_t rank) {
    return rank == 0 || versions_of(cell)[rank - 1].length == NONE;
}

static bool says_the_same(const struct mr_accumulator *cell, uint32_t a, uint32_t b) {
    if (is_none(cell, a) || is_none(cell, b)) {
        return is_none(cell, a) == is_none(cell, b);
    }
    return mr_slice_equal(said_by(cell, &versions_of(cell)[a - 1]),
                          said_by(cell, &versions_of(cell)[b - 1]));
}

bool mr_versions_news(const struct mr_accumulator *cell, const struct mr_version_entry *entry) {
    uint32_t at = rank(cell, entry->from_ns);
    const struct version *known = at > 0 ? &versions_of(cell)[at - 1] : NULL;
    if (known && known->from_ns == entry->from_ns && known->offset >= entry->offset) {
        return false;
    }
    if (entry->none || is_none(cell, at)) {
        return entry->none != is_none(cell, at);
    }
    return !mr_slice_equal(said_by(cell, known), entry->said);
}

struct mr_version_found mr_versions_find(const struct mr_accumulator *cell, int64_t from_ns,
                                         int64_t last_ns, int64_t bound_ns) {
    uint32_t count = count_of(cell), at = rank(cell, from_ns < bound_ns ? bound_ns : from_ns);
    uint32_t next = at + 1;
    while (next <= count && versions_of(cell)[next - 1].from_ns <= last_ns &&
           says_the_same(cell, at, next)) {
        next++;
    }
    struct mr_version_found found = {!is_none(cell, at), INT64_MAX, {NULL, 0}};
    if (next <= count) {
        found.until_ns = versions_of(cell)[next - 1].from_ns;
    }
    if (found.there) {
        found.said = said_by(cell, &versions_of(cell)[at - 1]);
    }
    return found;
}
