/* A waveform frame of a case file, told in JSON:
 *
 *   frame js220-01 {"start":"00:00:59","rate":"10Hz","current":[0.1,null],"voltage":5}
 *
 *   start     HH:MM:SS[.fraction] since the start of the case, or an ISO 8601 time
 *   rate      "10Hz", "1kHz"
 *   stream    a number; default 1
 *   sequence  a number; default: one more than the frame before, from 0
 *   samples   how many, where no list of samples tells
 *   any other member is a channel: its samples (null: NaN), or one number for all of them */
#include "engine/cli/case.h"

#include <math.h>
#include <millrace/waveform.h>

struct frame {
    struct mr_waveform wave;
    struct mr_waveform_channel channels[MR_FRAME_CHANNELS];
    const struct mr_json_value *values[MR_FRAME_CHANNELS];
    struct mr_arena *arena;
};

static bool take_start(const struct mr_json_value *value, int64_t start_ns, int64_t *out) {
    int64_t since_ns;
    if (mr_json_kind(value) != MR_JSON_STRING) {
        return false;
    }
    if (mr_case_parse_time(mr_json_string(value), &since_ns)) {
        *out = mr_time_add(start_ns, since_ns);
        return true;
    }
    return mr_parse_time(mr_json_string(value), out);
}

static bool take_count(const struct mr_json_value *value, uint64_t *out) {
    if (mr_json_kind(value) != MR_JSON_INTEGER || mr_json_integer(value) < 0) {
        return false;
    }
    *out = (uint64_t)mr_json_integer(value);
    return true;
}

static enum mr_status take_samples(struct frame *frame, uint64_t samples, struct mr_slice name,
                                   struct mr_error *err) {
    if (samples == 0 || samples > MR_FRAME_MAX / sizeof(float)) {
        return mr_error_set(err, MR_REJECT, "%.*s: a frame has from 1 to %zu samples",
                            (int)name.length, name.data, MR_FRAME_MAX / sizeof(float));
    }
    if (frame->wave.samples > 0 && frame->wave.samples != samples) {
        return mr_error_set(err, MR_REJECT, "%.*s: a frame's channels have equally many samples",
                            (int)name.length, name.data);
    }
    frame->wave.samples = (size_t)samples;
    return MR_OK;
}

static enum mr_status take_channel(struct frame *frame, struct mr_slice name,
                                   const struct mr_json_value *value, struct mr_error *err) {
    enum mr_json_kind kind = mr_json_kind(value);
    if (frame->wave.channel_count == MR_FRAME_CHANNELS) {
        return mr_error_set(err, MR_REJECT, "a frame has at most %d channels", MR_FRAME_CHANNELS);
    }
    if (kind != MR_JSON_ARRAY && kind != MR_JSON_NUMBER && kind != MR_JSON_INTEGER) {
        return mr_error_set(err, MR_REJECT,
                            "the channel \"%.*s\" is a list of numbers, or one number",
                            (int)name.length, name.data);
    }
    char *copy = mr_arena_take(frame->arena, name.length + 1);
    memcpy(copy, name.data, name.length);
    copy[name.length] = 0;
    frame->values[frame->wave.channel_count] = value;
    frame->channels[frame->wave.channel_count++] = (struct mr_waveform_channel){copy, "", NULL};
    return kind == MR_JSON_ARRAY ? take_samples(frame, mr_json_count(value), name, err) : MR_OK;
}

static enum mr_status take_member(struct frame *frame, struct mr_slice name,
                                  const struct mr_json_value *value, int64_t start_ns,
                                  struct mr_error *err) {
    uint64_t count = 0;
    bool good = true;
    if (mr_slice_equal(name, mr_slice_of("start"))) {
        good = take_start(value, start_ns, &frame->wave.start_ns);
    } else if (mr_slice_equal(name, mr_slice_of("rate"))) {
        good = mr_json_kind(value) == MR_JSON_STRING &&
               mr_parse_rate(mr_json_string(value), &frame->wave.rate_hz);
    } else if (mr_slice_equal(name, mr_slice_of("stream"))) {
        good = take_count(value, &frame->wave.stream);
    } else if (mr_slice_equal(name, mr_slice_of("sequence"))) {
        good = take_count(value, &frame->wave.sequence);
    } else if (mr_slice_equal(name, mr_slice_of("samples"))) {
        good = take_count(value, &count);
        if (good) {
            return take_samples(frame, count, name, err);
        }
    } else {
        return take_channel(frame, name, value, err);
    }
    return good ? MR_OK
                : mr_error_set(err, MR_REJECT, "%.*s: not what a frame's %.*s may be",
                               (int)name.length, name.data, (int)name.length, name.data);
}

/* The floats of one channel; null is NaN. */
static enum mr_status fill(struct frame *frame, size_t channel, struct mr_error *err) {
    const struct mr_json_value *value = frame->values[channel];
    bool list = mr_json_kind(value) == MR_JSON_ARRAY;
    const struct mr_json_value *at = list ? mr_json_first(value) : value;
    float *samples = mr_arena_take(frame->arena, frame->wave.samples * sizeof(float));
    for (size_t i = 0; i < frame->wave.samples; i++) {
        enum mr_json_kind kind = mr_json_kind(at);
        if (kind == MR_JSON_NULL) {
            samples[i] = NAN;
        } else if (kind == MR_JSON_NUMBER || kind == MR_JSON_INTEGER) {
            samples[i] = (float)mr_json_number(at);
        } else {
            return mr_error_set(err, MR_REJECT, "sample %zu of \"%s\" is no number and not null", i,
                                frame->channels[channel].name);
        }
        at = list && i + 1 < frame->wave.samples ? mr_json_next(at) : at;
    }
    frame->channels[channel].samples = samples;
    return MR_OK;
}

static enum mr_status check(const struct frame *frame, size_t room, struct mr_error *err) {
    if (frame->wave.start_ns == MR_NEVER || frame->wave.rate_hz == 0) {
        return mr_error_set(err, MR_REJECT, "a frame has a start and a rate");
    }
    if (frame->wave.samples == 0 || frame->wave.channel_count == 0) {
        return mr_error_set(err, MR_REJECT, "a frame has at least one channel, and samples");
    }
    size_t bytes = frame->wave.samples * frame->wave.channel_count * sizeof(float);
    if (bytes > MR_FRAME_MAX || bytes > room) {
        return mr_error_set(err, MR_REJECT, "the frames of this case are too large");
    }
    return MR_OK;
}

enum mr_status mr_case_frame(struct mr_slice device, const struct mr_json_value *object,
                             int64_t start_ns, uint64_t sequence, size_t room,
                             struct mr_arena *arena, struct mr_slice *out, struct mr_error *err) {
    struct frame frame = {.arena = arena};
    frame.wave = (struct mr_waveform){.device = device,
                                      .start_ns = MR_NEVER,
                                      .stream = 1,
                                      .sequence = sequence,
                                      .channels = frame.channels};
    const struct mr_json_value *name = mr_json_first(object);
    enum mr_status status = MR_OK;
    for (size_t left = mr_json_count(object); left > 0 && status == MR_OK; left--) {
        const struct mr_json_value *value = mr_json_member(name);
        status = take_member(&frame, mr_json_string(name), value, start_ns, err);
        name = left > 1 ? mr_json_next(value) : NULL;
    }
    if (status == MR_OK) {
        status = check(&frame, room, err);
    }
    for (size_t i = 0; i < frame.wave.channel_count && status == MR_OK; i++) {
        status = fill(&frame, i, err);
    }
    if (status == MR_OK) {
        size_t bound = mr_waveform_bound(&frame.wave);
        char *bytes = mr_arena_take(arena, bound);
        *out = (struct mr_slice){bytes, mr_waveform_encode(&frame.wave, bytes)};
    }
    return status;
}
