/* The codecs against the least that could be done with the same bytes, interleaved in one run:
 *
 *   json     an event of 4 fields; floor: parse it and find the 4 members
 *   frames   8,192 samples of two channels; floor: copy them; and checksum and copy
 *
 * Each figure is the median of the rounds, with the least and the greatest beside it.
 *
 *   bench_codecs [ROUNDS] */
#include "engine/base/base.h"
#include "operators/operators.h"

#include <millrace/hash.h>
#include <millrace/json.h>
#include <millrace/waveform.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS_MAX    101
#define MESSAGES      4096
#define PASSES        20
#define FRAMES        256
#define FRAME_SAMPLES 8192

struct figure {
    const char *name;
    double values[ROUNDS_MAX];
};

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(struct figure *figure, int rounds) {
    qsort(figure->values, (size_t)rounds, sizeof(double), compare);
    return figure->values[rounds / 2];
}

static double print_figure(struct figure *figure, int rounds, const char *unit) {
    double middle = median(figure, rounds);
    printf("  %-34s %9.1f %s   (%.1f .. %.1f)\n", figure->name, middle, unit, figure->values[0],
           figure->values[rounds - 1]);
    return middle;
}

/* ---- JSON ---------------------------------------------------------------------------------- */
static const struct mr_field event_fields[] = {{"device", MR_TEXT, false, false},
                                               {"temp", MR_NUMBER, false, false},
                                               {"seq", MR_INTEGER, false, false}};
static const struct mr_input event_input = {.fields = event_fields,
                                            .field_count = 3,
                                            .time_field = "ts",
                                            .time_unit = MR_UNIT_MS,
                                            .key_source = MR_KEY_FIELD,
                                            .key_name = "device",
                                            .key_slot = 0};
static const char *const event_names[] = {"ts", "device", "temp", "seq"};

static size_t sink; /* keeps the compiler from leaving work out */

static void find_members(const struct mr_json_value *root) {
    const struct mr_json_value *name = mr_json_first(root);
    for (size_t left = mr_json_count(root); left > 0; left--) {
        const struct mr_json_value *value = mr_json_member(name);
        struct mr_slice text = mr_json_string(name);
        for (size_t i = 0; i < 4; i++) {
            sink += mr_slice_equal(text, mr_slice_of(event_names[i]));
        }
        name = left > 1 ? mr_json_next(value) : NULL;
    }
}

static double parse_events(struct mr_json *json, const struct mr_message *messages) {
    double begin = now_ns();
    for (size_t i = 0; i < MESSAGES * PASSES; i++) {
        find_members(mr_json_parse(json, messages[i % MESSAGES].value, NULL));
    }
    return (now_ns() - begin) / (MESSAGES * PASSES);
}

static double decode_events(void *codec, const struct mr_message *messages,
                            struct mr_arena *arena) {
    static struct mr_decoded decoded;
    double begin = now_ns();
    for (size_t i = 0; i < MESSAGES * PASSES; i++) {
        if (i % 512 == 0) {
            mr_arena_reset(arena);
        }
        mr_json_codec.decode(codec, &messages[i % MESSAGES], arena, &decoded);
        sink += decoded.count;
    }
    return (now_ns() - begin) / (MESSAGES * PASSES);
}

static void bench_json(int rounds) {
    struct mr_message *messages = mr_allocate_array(MESSAGES, struct mr_message);
    char(*texts)[128] = mr_allocate_items(MESSAGES, 128),
    (*keys)[16] = mr_allocate_items(MESSAGES, 16);
    for (int i = 0; i < MESSAGES; i++) {
        snprintf(keys[i], 16, "sensor-%04d", i % 1000);
        snprintf(texts[i], 128, "{\"ts\":%lld,\"device\":\"%s\",\"temp\":%.2f,\"seq\":%d}",
                 1795230600000LL + i, keys[i], 20 + (i % 977) * 0.01, i);
        messages[i] =
            (struct mr_message){.key = mr_slice_of(keys[i]), .value = mr_slice_of(texts[i])};
    }
    struct mr_json *json = mr_json_create();
    struct mr_arena *arena = mr_arena_create();
    void *codec = NULL;
    mr_json_codec.open(&event_input, true, &codec, NULL);
    struct figure floor = {.name = "parse, find 4 members"}, whole = {.name = "codec"};
    for (int i = 0; i < rounds; i++) {
        floor.values[i] = parse_events(json, messages);
        whole.values[i] = decode_events(codec, messages, arena);
    }
    printf("json: %s\n", texts[0]);
    double low = print_figure(&floor, rounds, "ns"), high = print_figure(&whole, rounds, "ns");
    printf("  %-34s %9.1f ns\n", "above the floor", high - low);
    mr_json_codec.close(codec);
    mr_arena_destroy(arena);
    mr_json_destroy(json);
    free(messages);
    free(texts);
    free(keys);
}

/* ---- Frames -------------------------------------------------------------------------------- */
static const struct mr_field frame_fields[] = {{"current", MR_F32, false, false},
                                               {"voltage", MR_F32, false, false},
                                               {"device", MR_TEXT, false, false}};
static const struct mr_input frame_input = {.fields = frame_fields,
                                            .field_count = 3,
                                            .key_source = MR_KEY_FIELD,
                                            .key_name = "device",
                                            .key_slot = 2};

/* Nanoseconds to GB/s of frame bytes. */
static double rate(double begin, size_t bytes) {
    return (double)bytes / (now_ns() - begin);
}

static double copy_frames(const struct mr_message *messages, char *room, bool check) {
    size_t bytes = 0;
    double begin = now_ns();
    for (size_t i = 0; i < FRAMES; i++) {
        struct mr_slice value = messages[i].value;
        sink += check ? mr_crc32c(0, value.data, value.length) : 0;
        memcpy(room, value.data, value.length);
        sink += (size_t)room[i];
        bytes += value.length;
    }
    return rate(begin, bytes);
}

static double decode_frames(void *codec, const struct mr_message *messages,
                            struct mr_arena *arena) {
    static struct mr_decoded decoded;
    size_t bytes = 0;
    double begin = now_ns();
    mr_arena_reset(arena);
    for (size_t i = 0; i < FRAMES; i++) {
        mr_waveform_codec.decode(codec, &messages[i], arena, &decoded);
        sink += decoded.count;
        bytes += messages[i].value.length;
    }
    return rate(begin, bytes);
}

/* Frames that lie one behind the other, `shift` bytes off a multiple of 64. */
static struct mr_message *make_frames(char *room, size_t shift) {
    static float samples[FRAME_SAMPLES];
    const struct mr_waveform_channel channels[] = {{"current", "A", samples},
                                                   {"voltage", "V", samples}};
    struct mr_message *messages = mr_allocate_array(FRAMES, struct mr_message);
    for (size_t i = 0; i < FRAMES; i++) {
        struct mr_waveform frame = {.device = mr_slice_of("js220-01"),
                                    .start_ns = (int64_t)i,
                                    .rate_hz = 2e6,
                                    .sequence = i,
                                    .samples = FRAME_SAMPLES,
                                    .channels = channels,
                                    .channel_count = 2};
        char *at = room + i * (2 * sizeof samples + 256) + shift;
        messages[i] =
            (struct mr_message){.key = frame.device, .value = {at, mr_waveform_encode(&frame, at)}};
    }
    return messages;
}

static void bench_frames(int rounds) {
    size_t frame_bytes = 2 * FRAME_SAMPLES * sizeof(float) + 256;
    char *aligned_room = mr_allocate((FRAMES + 1) * frame_bytes);
    char *shifted_room = mr_allocate((FRAMES + 1) * frame_bytes);
    struct mr_message *aligned = make_frames(aligned_room, 0);
    struct mr_message *shifted = make_frames(shifted_room, 1);
    char *room = mr_allocate(frame_bytes);
    struct mr_arena *arena = mr_arena_create();
    void *codec = NULL;
    mr_waveform_codec.open(&frame_input, true, &codec, NULL);
    struct figure copy = {.name = "copy"}, check = {.name = "checksum and copy"};
    struct figure in_place = {.name = "codec, floats aligned: in place"};
    struct figure copied = {.name = "codec, floats not aligned: copied"};
    for (int i = 0; i < rounds; i++) {
        copy.values[i] = copy_frames(aligned, room, false);
        check.values[i] = copy_frames(aligned, room, true);
        in_place.values[i] = decode_frames(codec, aligned, arena);
        copied.values[i] = decode_frames(codec, shifted, arena);
    }
    printf("frames: %zu bytes\n", aligned[0].value.length);
    print_figure(&copy, rounds, "GB/s");
    double floor = print_figure(&check, rounds, "GB/s");
    double whole = print_figure(&in_place, rounds, "GB/s");
    print_figure(&copied, rounds, "GB/s");
    printf("  %-34s %9.1f %% of checksum and copy\n", "in place", 100 * whole / floor);
    mr_waveform_codec.close(codec);
    mr_arena_destroy(arena);
    free(aligned);
    free(shifted);
    free(aligned_room);
    free(shifted_room);
    free(room);
}

int main(int argc, char **argv) {
    int64_t rounds = 21;
    if (argc > 2 || (argc == 2 && (!mr_parse_integer(mr_slice_of(argv[1]), &rounds) || rounds < 1 ||
                                   rounds > ROUNDS_MAX))) {
        fprintf(stderr, "Usage: bench_codecs [ROUNDS, at most %d]\n", ROUNDS_MAX);
        return 2;
    }
    bench_json((int)rounds);
    bench_frames((int)rounds);
    printf("(%zu)\n", sink);
    return 0;
}
