/* The waveform frame, as its producers write it. The format is in waveform.proto. */
#ifndef MILLRACE_WAVEFORM_H
#define MILLRACE_WAVEFORM_H

#include <millrace/record.h>

#define MR_FRAME_MAX      ((size_t)4 << 20) /* bytes; a longer frame is refused by its readers */
#define MR_FRAME_CHANNELS 64

struct mr_waveform_channel {
    const char *name;     /* "current"                */
    const char *unit;     /* "A"; "": not told        */
    const float *samples; /* frame->samples of them   */
};

struct mr_waveform {
    struct mr_slice device;
    int64_t start_ns;
    double rate_hz;
    uint64_t stream, sequence;
    size_t samples; /* of each channel */
    const struct mr_waveform_channel *channels;
    size_t channel_count;
};

/* Bytes that are enough for the encoded frame. */
size_t mr_waveform_bound(const struct mr_waveform *frame);

/* Writes the frame to `out` (mr_waveform_bound bytes) and returns its length. The samples of every
 * channel lie at a multiple of 4 from `out`. Checks nothing: readers do. */
size_t mr_waveform_encode(const struct mr_waveform *frame, void *out);

#endif
