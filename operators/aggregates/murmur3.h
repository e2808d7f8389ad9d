/* murmur3: the hash of a text as postgresql-hll's hll_hash_text gives it. */
#ifndef OPERATORS_AGGREGATES_MURMUR3_H
#define OPERATORS_AGGREGATES_MURMUR3_H

#include <stddef.h>
#include <stdint.h>

uint64_t mr_murmur3(const void *data, size_t length);

#endif
