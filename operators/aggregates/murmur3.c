/* MurmurHash3, the x64 variant of 128 bits with seed 0 (Austin Appleby, public domain; written
 * from its description). postgresql-hll hashes texts with it, so sets made here and there are sets
 * of the same numbers. Only the first 64 bits are wanted.
 *
 * 16 bytes a round, eight into either half; what is left over is mixed in as if zeros followed,
 * without turning the halves; then the length, and both halves are stirred until every bit of the
 * text bears on every bit of the hash. Not for untrusted keys of a table: it has no secret. */
#include "operators/aggregates/murmur3.h"

#include <string.h>

#define C1 UINT64_C(0x87c37b91114253d5)
#define C2 UINT64_C(0x4cf5ad432745937f)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "eight bytes at a time");

static uint64_t turned(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static uint64_t mixed_first(uint64_t x) {
    return turned(x * C1, 31) * C2;
}

static uint64_t mixed_second(uint64_t x) {
    return turned(x * C2, 33) * C1;
}

static uint64_t stirred(uint64_t x) {
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

uint64_t mr_murmur3(const void *data, size_t length) {
    const char *at = data;
    uint64_t first = 0, second = 0, eight[2];
    size_t left = length;
    for (; left >= 16; left -= 16, at += 16) {
        memcpy(eight, at, 16);
        first = turned(first ^ mixed_first(eight[0]), 27) + second;
        first = first * 5 + 0x52dce729;
        second = turned(second ^ mixed_second(eight[1]), 31) + first;
        second = second * 5 + 0x38495ab5;
    }
    if (left > 0) {
        memset(eight, 0, 16);
        memcpy(eight, at, left);
        first ^= mixed_first(eight[0]);
        second ^= mixed_second(eight[1]);
    }
    first ^= length;
    second ^= length;
    first += second;
    second += first;
    return stirred(first) + stirred(second);
}
