/* A record as the embedded log stores it. Numbers are the machine's own, as LMDB's are.
 *
 *      0  int64   append_ns
 *      8  uint32  CRC32C
 *     12  uint8   flags: 1 it has a key, 2 a value, 4 a timestamp, 8 headers
 *     13  uint8   zero
 *     14  uint16  length of the key
 *     16  value | key | int64 timestamp_ns | headers | uint32 length of the headers
 *                       `---- if flagged --'  `------------ if flagged -----------'
 *     a header: uint32 name length | uint32 value length, all ones: none | name | value
 *
 * The checksum covers, in this order: topic and partition, everything from byte 12 on, append_ns,
 * and the key under which the value is stored (the offset; of a changelog the hash). So it can be
 * begun when a record is appended and finished at the commit, and a value that LMDB hands out for
 * the wrong offset or topic does not pass.
 *
 * LMDB keeps a value of more than about 2,000 bytes on pages of its own, from byte 16 of the first
 * on: there the value's bytes are 16-byte aligned, and floats in them can be read in place. Small
 * values lie packed in leaves at even addresses; copying them is their decoder's business. */
#include "engine/log/local.h"

#include <millrace/hash.h>

#define HEAD 16
#define NONE UINT32_MAX

enum { HAS_KEY = 1, HAS_VALUE = 2, HAS_TIMESTAMP = 4, HAS_HEADERS = 8 };

uint32_t mr_record_seed(const char *topic, uint32_t partition) {
    uint32_t seed = mr_crc32c(0, topic, strlen(topic));
    return mr_crc32c(seed, &partition, sizeof partition);
}

static void add_headers(const struct mr_append *record, struct mr_buffer *out) {
    size_t start = out->length;
    for (size_t i = 0; i < record->header_count; i++) {
        const struct mr_header *header = &record->headers[i];
        uint32_t lengths[2] = {(uint32_t)header->name.length,
                               header->value.data ? (uint32_t)header->value.length : NONE};
        mr_buffer_add(out, lengths, sizeof lengths);
        mr_buffer_add(out, header->name.data, header->name.length);
        mr_buffer_add(out, header->value.data, header->value.length);
    }
    uint32_t length = (uint32_t)(out->length - start);
    mr_buffer_add(out, &length, sizeof length);
}

void mr_record_encode(const struct mr_append *record, uint32_t seed, struct mr_buffer *out) {
    size_t start = out->length;
    char head[HEAD] = {0};
    uint16_t key_length = (uint16_t)record->key.length;
    head[12] = (char)((record->key.data ? HAS_KEY : 0) | (record->value.data ? HAS_VALUE : 0) |
                      (record->timestamp_ns >= 0 ? HAS_TIMESTAMP : 0) |
                      (record->header_count ? HAS_HEADERS : 0));
    memcpy(head + 14, &key_length, sizeof key_length);
    mr_buffer_reserve(out, HEAD + record->value.length + record->key.length + 16);
    mr_buffer_add(out, head, sizeof head);
    mr_buffer_add(out, record->value.data, record->value.length);
    mr_buffer_add(out, record->key.data, record->key.length);
    if (record->timestamp_ns >= 0) {
        mr_buffer_add(out, &record->timestamp_ns, sizeof record->timestamp_ns);
    }
    if (record->header_count) {
        add_headers(record, out);
    }
    uint32_t crc = mr_crc32c(seed, out->data + start + 12, out->length - start - 12);
    memcpy(out->data + start + 8, &crc, sizeof crc);
}

static uint32_t finish_crc(uint32_t crc, const char *append_ns, const void *key, size_t key_size) {
    char last[8 + MR_HASH_BYTES];
    memcpy(last, append_ns, 8);
    memcpy(last + 8, key, key_size);
    return mr_crc32c(crc, last, 8 + key_size);
}

void mr_record_seal(char *bytes, int64_t append_ns, const void *key, size_t key_size) {
    uint32_t crc;
    memcpy(bytes, &append_ns, sizeof append_ns);
    memcpy(&crc, bytes + 8, sizeof crc);
    crc = finish_crc(crc, bytes, key, key_size);
    memcpy(bytes + 8, &crc, sizeof crc);
}

static bool read_headers(const char *at, size_t length, struct mr_arena *arena,
                         struct mr_message *message) {
    const char *end = at + length;
    /* A header has at least its two lengths. */
    struct mr_header *headers = mr_arena_take(arena, (length / 8 + 1) * sizeof(struct mr_header));
    message->headers = headers;
    while (at < end) {
        uint32_t lengths[2];
        if (end - at < (ptrdiff_t)sizeof lengths) {
            return false;
        }
        memcpy(lengths, at, sizeof lengths);
        at += sizeof lengths;
        size_t value_length = lengths[1] == NONE ? 0 : lengths[1];
        if ((size_t)(end - at) < lengths[0] + value_length) {
            return false;
        }
        headers->name = (struct mr_slice){at, lengths[0]};
        headers->value =
            (struct mr_slice){lengths[1] == NONE ? NULL : at + lengths[0], value_length};
        at += lengths[0] + value_length;
        headers++;
    }
    message->header_count = (size_t)(headers - message->headers);
    return true;
}

/* Takes `length` bytes off the end; false when there are not so many. */
static bool take_back(size_t *end, size_t length) {
    if (*end < HEAD + length) {
        return false;
    }
    *end -= length;
    return true;
}

static bool read_parts(const char *bytes, size_t end, struct mr_arena *arena,
                       struct mr_message *message) {
    uint8_t flags = (uint8_t)bytes[12];
    uint16_t key_length;
    uint32_t headers_length;
    memcpy(&key_length, bytes + 14, sizeof key_length);
    if (flags & HAS_HEADERS) {
        if (!take_back(&end, sizeof headers_length)) {
            return false;
        }
        memcpy(&headers_length, bytes + end, sizeof headers_length);
        if (!take_back(&end, headers_length) ||
            !read_headers(bytes + end, headers_length, arena, message)) {
            return false;
        }
    }
    if (flags & HAS_TIMESTAMP) {
        if (!take_back(&end, sizeof message->timestamp_ns)) {
            return false;
        }
        memcpy(&message->timestamp_ns, bytes + end, sizeof message->timestamp_ns);
    }
    if (!take_back(&end, key_length)) {
        return false;
    }
    message->key = (struct mr_slice){flags & HAS_KEY ? bytes + end : NULL, key_length};
    message->value = (struct mr_slice){flags & HAS_VALUE ? bytes + HEAD : NULL, end - HEAD};
    return true;
}

bool mr_record_decode(const MDB_val *key, const MDB_val *stored, uint32_t seed,
                      struct mr_arena *arena, struct mr_message *message) {
    const char *bytes = stored->mv_data;
    uint32_t crc;
    *message = (struct mr_message){.timestamp_ns = -1};
    if (stored->mv_size < HEAD || key->mv_size > MR_HASH_BYTES) {
        return false;
    }
    memcpy(&crc, bytes + 8, sizeof crc);
    uint32_t found = mr_crc32c(seed, bytes + 12, stored->mv_size - 12);
    if (crc != finish_crc(found, bytes, key->mv_data, key->mv_size)) {
        return false;
    }
    memcpy(&message->append_ns, bytes, sizeof message->append_ns);
    return read_parts(bytes, stored->mv_size, arena, message);
}
