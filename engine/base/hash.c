/* The one hash of the house: XXH3. Compiled in place, because keys are short and a call across a
 * library would cost as much as the hash. The vector width it picks does not change its value. */
#include <millrace/hash.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t mr_hash64(const void *data, size_t length) {
    return XXH3_64bits(data, length);
}

void mr_hash128(const void *data, size_t length, uint8_t out[16]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
    memcpy(out, canonical.digest, 16);
}
