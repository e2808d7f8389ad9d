/* digest_bytes: a digest as the protobuf message of DDSketch. */
#ifndef OPERATORS_AGGREGATES_DIGEST_BYTES_H
#define OPERATORS_AGGREGATES_DIGEST_BYTES_H

#include "operators/aggregates/buckets.h"

/* Replaces what `out` holds. */
void mr_digest_write(const struct mr_accumulator *accumulator, unsigned m,
                     struct mr_accumulator *out);

#endif
