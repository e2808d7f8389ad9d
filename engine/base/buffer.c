/* Growable bytes, and the little-endian numbers that are kept in them.
 *
 * Writing cannot fail: a buffer grows. Reading can: bytes come from disks and networks, so each
 * get checks what is left, and one that would pass the end sets `bad` for good and gives zero.
 * A parser may therefore read a whole structure and ask `bad` once, as long as it does not believe
 * a count before it has compared it with what is left. */
#include "engine/base/base.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_CAPACITY ((size_t)64)

void mr_buffer_reserve(struct mr_buffer *buffer, size_t extra) {
    if (extra <= buffer->capacity - buffer->length) {
        return;
    }
    assert(extra <= SIZE_MAX / 4 && buffer->length <= SIZE_MAX / 4);
    size_t capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
    while (capacity < buffer->length + extra) {
        capacity *= 2;
    }
    buffer->data = mr_reallocate(buffer->data, capacity);
    buffer->capacity = capacity;
}

void mr_buffer_add(struct mr_buffer *buffer, const void *data, size_t length) {
    if (length > 0) {
        mr_buffer_reserve(buffer, length);
        memcpy(buffer->data + buffer->length, data, length);
        buffer->length += length;
    }
}

void mr_buffer_text(struct mr_buffer *buffer, const char *text) {
    mr_buffer_add(buffer, text, strlen(text));
}

__attribute__((format(printf, 2, 0))) static void buffer_vformat(struct mr_buffer *buffer,
                                                                 const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, list);
    assert(length >= 0);
    mr_buffer_reserve(buffer, (size_t)length + 1); /* vsnprintf ends with a 0 */
    vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, again);
    buffer->length += (size_t)length;
    va_end(again);
}

void mr_buffer_format(struct mr_buffer *buffer, const char *format, ...) {
    va_list list;
    va_start(list, format);
    buffer_vformat(buffer, format, list);
    va_end(list);
}

void mr_buffer_finish(struct mr_buffer *buffer) {
    free(buffer->data);
    *buffer = (struct mr_buffer){0};
}

/* ---- Numbers in bytes ---------------------------------------------------------------------- */

static void put_bytes(struct mr_buffer *buffer, uint64_t x, size_t bytes) {
    uint8_t raw[8];
    for (size_t i = 0; i < bytes; i++) {
        raw[i] = (uint8_t)(x >> (8 * i));
    }
    mr_buffer_add(buffer, raw, bytes);
}

void mr_put_u32(struct mr_buffer *buffer, uint32_t x) {
    put_bytes(buffer, x, 4);
}

void mr_put_u64(struct mr_buffer *buffer, uint64_t x) {
    put_bytes(buffer, x, 8);
}

void mr_put_varint(struct mr_buffer *buffer, uint64_t x) {
    uint8_t raw[10];
    size_t length = 0;
    while (x >= 0x80) {
        raw[length++] = (uint8_t)(x | 0x80);
        x >>= 7;
    }
    raw[length++] = (uint8_t)x;
    mr_buffer_add(buffer, raw, length);
}

struct mr_slice mr_get_bytes(struct mr_bytes_reader *reader, size_t length) {
    if (reader->bad || length > (size_t)(reader->end - reader->at)) {
        reader->bad = true;
        return (struct mr_slice){"", 0};
    }
    struct mr_slice bytes = {(const char *)reader->at, length};
    reader->at += length;
    return bytes;
}

static uint64_t get_fixed(struct mr_bytes_reader *reader, size_t bytes) {
    struct mr_slice raw = mr_get_bytes(reader, bytes);
    uint64_t x = 0;
    for (size_t i = 0; i < raw.length; i++) {
        x |= (uint64_t)(uint8_t)raw.data[i] << (8 * i);
    }
    return x;
}

uint32_t mr_get_u32(struct mr_bytes_reader *reader) {
    return (uint32_t)get_fixed(reader, 4);
}

uint64_t mr_get_u64(struct mr_bytes_reader *reader) {
    return get_fixed(reader, 8);
}

uint64_t mr_get_varint(struct mr_bytes_reader *reader) {
    uint64_t x = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (reader->bad || reader->at == reader->end) {
            break;
        }
        uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1) {
            break; /* a tenth byte that does not fit 64 bits */
        }
        x |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return x;
        }
    }
    reader->bad = true;
    return 0;
}
