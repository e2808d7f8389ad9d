/* Builders of frames for tests: one frame of two channels, and a way to spoil it. */
#ifndef TESTS_FRAMES_H
#define TESTS_FRAMES_H

#include <millrace/hash.h>
#include <millrace/waveform.h>
#include <stdlib.h>

struct bytes {
    uint8_t *data; /* malloc'd: the address sanitizer sees a read past its end */
    size_t length;
};

static inline struct bytes copy_bytes(const void *data, size_t length) {
    struct bytes bytes = {malloc(length ? length : 1), length};
    memcpy(bytes.data, data, length);
    return bytes;
}

static inline struct bytes encode(const struct mr_waveform *frame) {
    uint8_t *room = malloc(mr_waveform_bound(frame));
    struct bytes exact = copy_bytes(room, mr_waveform_encode(frame, room));
    free(room);
    return exact;
}

/* Appends the checksum that the bytes need. */
static inline struct bytes seal(const void *body, size_t length) {
    struct bytes bytes = {malloc(length + 5), length + 5};
    uint32_t crc = mr_crc32c(0, body, length);
    memcpy(bytes.data, body, length);
    bytes.data[length] = 0x7D;
    memcpy(bytes.data + length + 1, &crc, 4);
    return bytes;
}

#endif
