/* Private to base: the checksum without special instructions, for machines that have none and for
 * the test that holds the fast one against it. */
#ifndef ENGINE_BASE_CRC32C_H
#define ENGINE_BASE_CRC32C_H

#include <millrace/hash.h>

uint32_t mr_crc32c_portable(uint32_t crc, const void *data, size_t length);

#endif
