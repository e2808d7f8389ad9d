/* One hash and one checksum for the whole house. */
#ifndef MILLRACE_HASH_H
#define MILLRACE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 and 128 bit (https://github.com/Cyan4973/xxHash). The 128 bits in canonical order. */
uint64_t mr_hash64(const void *data, size_t length);
void mr_hash128(const void *data, size_t length, uint8_t out[16]);

/* CRC32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 B.4), by instruction where the
 * machine has one. Pass 0 to start, the last result to continue. */
uint32_t mr_crc32c(uint32_t crc, const void *data, size_t length);

#endif
