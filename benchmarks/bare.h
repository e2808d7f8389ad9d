/* Frames in a bare loop: copy, decode (with its checksum), multiply, and every measure of the job,
 * into one set of accumulators per device. No log, no cells, no time: what an engine can at best
 * cost. */
#ifndef BENCHMARKS_BARE_H
#define BENCHMARKS_BARE_H

#include "benchmarks/input.h"

struct bare;
struct bare *mr_bare_create(int devices);
/* Frames come in turn from `devices` devices. */
void mr_bare_frame(struct bare *bare, struct mr_slice frame);
void mr_bare_destroy(struct bare *bare);

#endif
