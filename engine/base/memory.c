/* Memory: checked allocation, the arena, and the growth of accumulators.
 *
 * Out of memory ends the process with a sentence. Recovery is replay from the last commit, which
 * is exercised all the time; code that limps on after a failed allocation never is.
 *
 * An arena is a list of chunks, filled one after another:
 *
 *      first           filling          spare
 *     +-------------+ +-------------+ +-------------+
 *     |#############| |######.......| |.............| ->  NULL        giants: one take each
 *     +-------------+ +-------------+ +-------------+
 *
 * Every take begins on a 64-byte line, so that vector loops need no unaligned heads. Reset makes
 * the first chunk the filling one again and keeps all of them: a steady stream of batches stops
 * allocating after the first. A take that would not fit a chunk is a giant of its own and is given
 * back at reset, so one hostile record does not stay in memory for good.
 *
 * Under the address sanitizer what is not taken is poisoned, so that a write past the end of a
 * take and a use after reset are caught as they are for malloc. */
#include "engine/base/base.h"

#include <millrace/aggregate.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#if __has_include(<mimalloc.h>)
#include <mimalloc.h>
#endif

#define LINE        ((size_t)64)
#define CHUNK_BYTES ((size_t)1 << 20)

/* ---- The allocator --------------------------------------------------------------------------- */

/* Where the program runs on mimalloc, free pages go back to the system after a second instead of 10
 * to 25 ms. What a Kafka client fetches comes and goes faster than that: for 8 million events that
 * is 40,000 page faults instead of 330,000 to 440,000, a tenth of the processor time. */
#if defined(MI_MALLOC_VERSION)
#if MI_MALLOC_VERSION < 210
#define FREE_PAGES_DELAY mi_option_decommit_delay
#else
#define FREE_PAGES_DELAY mi_option_purge_delay
#endif
extern void mi_option_set(mi_option_t option, long value) __attribute__((weak));

__attribute__((constructor)) static void keep_free_pages(void) {
    if (mi_option_set) { /* it is linked */
        mi_option_set(FREE_PAGES_DELAY, 1000);
    }
}
#endif

/* ---- Checked allocation ---------------------------------------------------------------------- */

static void *checked(void *memory, size_t bytes) {
    if (!memory) {
        fprintf(stderr, "millrace: out of memory (%zu bytes); stopped, nothing committed is lost\n",
                bytes);
        abort();
    }
    return memory;
}

void *mr_allocate(size_t bytes) {
    return checked(calloc(1, bytes ? bytes : 1), bytes);
}

void *mr_allocate_items(size_t count, size_t size) {
    return checked(calloc(count ? count : 1, size ? size : 1), count * size);
}

void *mr_reallocate(void *memory, size_t bytes) {
    return checked(realloc(memory, bytes ? bytes : 1), bytes);
}

char *mr_copy_text(const char *text) {
    size_t bytes = strlen(text) + 1;
    return memcpy(mr_allocate(bytes), text, bytes);
}

struct mr_slice mr_copy_slice(struct mr_slice slice) {
    if (!slice.data) {
        return slice;
    }
    char *copy = mr_allocate(slice.length);
    if (slice.length > 0) {
        memcpy(copy, slice.data, slice.length);
    }
    return (struct mr_slice){copy, slice.length};
}

void mr_accumulator_reserve(struct mr_accumulator *accumulator, uint32_t capacity) {
    if (capacity > accumulator->capacity) {
        accumulator->body = mr_reallocate(accumulator->body, capacity);
        accumulator->capacity = capacity;
    }
}

/* ---- Arena --------------------------------------------------------------------------------- */

struct chunk {
    struct chunk *next;
    size_t used, size; /* of bytes */
    _Alignas(64) char bytes[];
};

struct mr_arena {
    struct chunk *first, *filling;
    struct chunk *giants;
};

static struct chunk *chunk_create(size_t size) {
    size_t bytes = sizeof(struct chunk) + size;
    struct chunk *chunk = checked(aligned_alloc(LINE, bytes), bytes);
    chunk->next = NULL;
    chunk->used = 0;
    chunk->size = size;
    ASAN_POISON_MEMORY_REGION(chunk->bytes, size);
    return chunk;
}

static void chunks_destroy(struct chunk *chunk) {
    while (chunk) {
        struct chunk *next = chunk->next;
        ASAN_UNPOISON_MEMORY_REGION(chunk->bytes, chunk->size);
        free(chunk);
        chunk = next;
    }
}

struct mr_arena *mr_arena_create(void) {
    return mr_allocate(sizeof(struct mr_arena));
}

void mr_arena_reset(struct mr_arena *arena) {
    chunks_destroy(arena->giants);
    arena->giants = NULL;
    for (struct chunk *chunk = arena->first; chunk; chunk = chunk->next) {
        ASAN_POISON_MEMORY_REGION(chunk->bytes, chunk->size);
        chunk->used = 0;
    }
    arena->filling = arena->first;
}

void mr_arena_destroy(struct mr_arena *arena) {
    if (!arena) {
        return;
    }
    chunks_destroy(arena->giants);
    chunks_destroy(arena->first);
    free(arena);
}

static void *chunk_take(struct chunk *chunk, size_t rounded, size_t bytes) {
    char *taken = chunk->bytes + chunk->used;
    chunk->used += rounded;
    ASAN_UNPOISON_MEMORY_REGION(taken, bytes);
    return taken;
}

static struct chunk *next_chunk(struct mr_arena *arena) {
    struct chunk **link = arena->filling ? &arena->filling->next : &arena->first;
    if (!*link) {
        *link = chunk_create(CHUNK_BYTES);
    }
    arena->filling = *link;
    return *link;
}

void *mr_arena_take(struct mr_arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2) {
        checked(NULL, bytes);
    }
    size_t rounded = bytes ? (bytes + LINE - 1) & ~(LINE - 1) : LINE;
    if (rounded > CHUNK_BYTES) {
        struct chunk *giant = chunk_create(rounded);
        giant->next = arena->giants;
        arena->giants = giant;
        return chunk_take(giant, rounded, bytes);
    }
    struct chunk *chunk = arena->filling;
    if (!chunk || chunk->size - chunk->used < rounded) {
        chunk = next_chunk(arena);
    }
    return chunk_take(chunk, rounded, bytes);
}
