/* user_frames: JSON frames of a web service, for tests and benchmarks of unique-users-minute. The
 * same seed gives the same frames. */
#ifndef BENCHMARKS_USER_FRAMES_H
#define BENCHMARKS_USER_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#define USER_FRAME_MAX 4096

struct user_frames {
    uint64_t seed;
    uint32_t users;  /* a frame's user is one of them, evenly                    */
    uint32_t rate;   /* frames per second of their time, on average              */
    uint32_t late;   /* one frame in so many is late; 0: none                    */
    uint32_t late_s; /* by up to so many seconds                                 */
    int64_t ts;      /* seconds since 1970; moves on                             */
};

/* Writes the next frame into `out`, without a line end; returns its length. */
size_t user_frames_next(struct user_frames *frames, char out[USER_FRAME_MAX]);

#endif
