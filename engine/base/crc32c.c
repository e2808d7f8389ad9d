/* CRC32C. Every stored value and every frame passes through it, so it has to run near the speed of
 * memory.
 *
 * The crc32 instruction of x86-64 takes 8 bytes a cycle but answers after three, so three streams
 * side by side keep it busy. A block is three stripes and 8 bytes:
 *
 *      0          stripe       2 stripe      3 stripe    + 8
 *     +------------+------------+-------------+----+
 *     |     a      |     b      |      c      | t  |
 *     +------------+------------+-------------+----+
 *
 * Each stripe is summed alone. Then a is moved over b, c and t, and b over c and t: moving a sum
 * over n bytes is multiplying it by x^(8n) modulo the polynomial, one carry-less multiplication
 * by a constant. The instruction itself multiplies by x^32 and reduces, and the reflected product
 * is shifted by one, so the constants are x^(8n - 33). What they yield is xored into t.
 *
 * Long blocks waste little on joining; short ones keep the rest from running as a single stream. */
#include "engine/base/crc32c.h"

#include <stdbool.h>
#include <string.h>

static uint32_t table[8][256]; /* table[k][b]: byte b followed by k zero bytes */

__attribute__((constructor)) static void fill_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
        }
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) {
            table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xff];
        }
    }
}

static uint32_t table_byte(uint32_t crc, uint8_t byte) {
    return (crc >> 8) ^ table[0][(crc ^ byte) & 0xff];
}

static uint32_t table_8_bytes(uint32_t crc, const uint8_t at[8]) {
    crc ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    return table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^
           table[4][crc >> 24] ^ table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^
           table[0][at[7]];
}

uint32_t mr_crc32c_portable(uint32_t crc, const void *data, size_t length) {
    const uint8_t *at = data;
    crc = ~crc;
    for (; length >= 8; length -= 8, at += 8) {
        crc = table_8_bytes(crc, at);
    }
    for (; length > 0; length--, at++) {
        crc = table_byte(crc, *at);
    }
    return ~crc;
}

#if defined(__x86_64__)

#include <immintrin.h>

#define FAST __attribute__((target("sse4.2,pclmul")))

struct stripes {
    size_t stripe;               /* bytes, a multiple of 8             */
    uint32_t over_two, over_one; /* x^(8n - 33), n = 2 stripe + 8 and stripe + 8 */
};

static const struct stripes long_stripes = {4096, 0xe040e0ac, 0xc2a5b65e};
static const struct stripes short_stripes = {256, 0xbd6f81f8, 0xdcb17aa4};

static inline uint64_t load(const uint8_t *at) {
    uint64_t x;
    memcpy(&x, at, sizeof x);
    return x;
}

FAST static inline __m128i multiply(uint64_t crc, uint32_t factor) {
    return _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi32_si128((int)factor), 0);
}

FAST static uint64_t fast_block(uint64_t a, const uint8_t *at, const struct stripes *s) {
    uint64_t b = 0, c = 0;
    for (const uint8_t *end = at + s->stripe; at < end; at += 8) {
        a = _mm_crc32_u64(a, load(at));
        b = _mm_crc32_u64(b, load(at + s->stripe));
        c = _mm_crc32_u64(c, load(at + 2 * s->stripe));
    }
    __m128i moved = _mm_xor_si128(multiply(a, s->over_two), multiply(b, s->over_one));
    return _mm_crc32_u64(c, load(at + 2 * s->stripe) ^ (uint64_t)_mm_cvtsi128_si64(moved));
}

FAST static uint32_t fast_crc32c(uint32_t start, const void *data, size_t length) {
    static const struct stripes *const sizes[] = {&long_stripes, &short_stripes};
    const uint8_t *at = data;
    uint64_t crc = (uint32_t)~start;
    for (int i = 0; i < 2; i++) {
        size_t block = 3 * sizes[i]->stripe + 8;
        for (; length >= block; length -= block, at += block) {
            crc = fast_block(crc, at, sizes[i]);
        }
    }
    for (; length >= 8; length -= 8, at += 8) {
        crc = _mm_crc32_u64(crc, load(at));
    }
    for (; length > 0; length--, at++) {
        crc = _mm_crc32_u8((uint32_t)crc, *at);
    }
    return ~(uint32_t)crc;
}

static bool has_fast(void) {
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

#elif defined(__aarch64__)

#include <arm_acle.h>
#include <sys/auxv.h>

#define HAS_CRC32 (1UL << 7) /* HWCAP_CRC32 */

__attribute__((target("+crc"))) static uint32_t fast_crc32c(uint32_t start, const void *data,
                                                            size_t length) {
    const uint8_t *at = data;
    uint32_t crc = ~start;
    for (; length >= 8; length -= 8, at += 8) {
        uint64_t x;
        memcpy(&x, at, sizeof x);
        crc = __crc32cd(crc, x);
    }
    for (; length > 0; length--, at++) {
        crc = __crc32cb(crc, *at);
    }
    return ~crc;
}

static bool has_fast(void) {
    return (getauxval(AT_HWCAP) & HAS_CRC32) != 0;
}

#else

static uint32_t fast_crc32c(uint32_t crc, const void *data, size_t length) {
    return mr_crc32c_portable(crc, data, length);
}

static bool has_fast(void) {
    return false;
}

#endif

static bool use_fast;

__attribute__((constructor)) static void choose(void) {
    use_fast = has_fast();
}

uint32_t mr_crc32c(uint32_t crc, const void *data, size_t length) {
    return use_fast ? fast_crc32c(crc, data, length) : mr_crc32c_portable(crc, data, length);
}
