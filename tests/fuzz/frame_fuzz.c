/* Waveform frames: the first byte says whether the checksum behind the rest is put right, the rest
 * is the frame. Else the checksum would refuse nearly everything, and nothing behind it be tried.
 */
#include "tests/fuzz/fuzz_decode.h"

#include <millrace/hash.h>

#define TRAILER 5 /* tag and checksum */

static const char job[] = "job: frames\n"
                          "from: {topic: t, format: waveform}\n"
                          "let: {power: current * voltage}\n"
                          "group_by: [device]\n"
                          "window: {every: 1m}\n"
                          "stats: {n: count, p: mean(power)}\n"
                          "to: [{topic: o}]\n";

static void mend(struct mr_slice value) {
    if (value.length < TRAILER) {
        return;
    }
    size_t covered = value.length - TRAILER;
    uint32_t crc = mr_crc32c(0, value.data, covered);
    char *trailer = (char *)(uintptr_t)value.data + covered;
    trailer[0] = 0x7D;
    memcpy(trailer + 1, &crc, sizeof(crc));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct mr_plan *plan;
    if (size == 0) {
        return 0;
    }
    plan = plan ? plan : fuzz_plan(job);
    struct mr_slice value = fuzz_copy(data + 1, size - 1);
    if (data[0] & 1) {
        mend(value);
    }
    char text[64];
    plan->codec->describe(value, text, sizeof(text));
    fuzz_decode(plan, mr_slice_of("m1"), value);
    free((void *)(uintptr_t)value.data);
    return 0;
}
