/* A fixed-point number is packed as
 *
 *   u8 skip   u8 length   bytes, least significant first
 *
 * skip: zero bytes below; length: bytes kept, as few as still carry the sign in the highest bit.
 * Zero is 0, 0. A sum of a window takes about a dozen bytes of its 40. */
#include "operators/aggregates/packing.h"

#define FIXED_MAX (8 * 16)

static uint8_t *room(struct mr_accumulator *out, uint32_t bytes) {
    if (out->capacity - out->length < bytes) {
        uint32_t half = out->capacity / 2;
        mr_accumulator_reserve(out, out->length + (bytes > half ? bytes : half));
    }
    return out->body + out->length;
}

void mr_pack_varint(struct mr_accumulator *out, uint64_t x) {
    uint8_t *at = room(out, MR_VARINT_MAX);
    uint32_t n = 0;
    while (x >= 0x80) {
        at[n++] = (uint8_t)(x | 0x80);
        x >>= 7;
    }
    at[n++] = (uint8_t)x;
    out->length += n;
}

void mr_pack_u64(struct mr_accumulator *out, uint64_t x) {
    uint8_t *at = room(out, 8);
    for (int i = 0; i < 8; i++) {
        at[i] = (uint8_t)(x >> (8 * i));
    }
    out->length += 8;
}

void mr_pack_double(struct mr_accumulator *out, double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    mr_pack_u64(out, bits);
}

void mr_pack_fixed(struct mr_accumulator *out, const uint64_t *limb, size_t limbs) {
    uint8_t byte[FIXED_MAX];
    size_t end = 8 * limbs, skip = 0;
    for (size_t i = 0; i < end; i++) {
        byte[i] = (uint8_t)(limb[i / 8] >> (8 * (i % 8)));
    }
    uint8_t sign = byte[end - 1] & 0x80 ? 0xff : 0;
    while (end > 0 && byte[end - 1] == sign && (end == 1 || ((byte[end - 2] ^ sign) & 0x80) == 0)) {
        end--;
    }
    if (end == 0 && sign) { /* -1 is one byte; only zero is none */
        end = 1;
    }
    while (skip < end && byte[skip] == 0) {
        skip++;
    }
    uint8_t *at = room(out, 2 + FIXED_MAX);
    at[0] = (uint8_t)(skip < end ? skip : 0);
    at[1] = (uint8_t)(end - skip);
    memcpy(at + 2, byte + skip, end - skip);
    out->length += 2 + (uint32_t)(end - skip);
}

static const uint8_t *take(struct mr_slice *from, size_t bytes) {
    if (from->length < bytes) {
        return NULL;
    }
    const uint8_t *at = (const uint8_t *)from->data;
    from->data += bytes;
    from->length -= bytes;
    return at;
}

bool mr_unpack_varint(struct mr_slice *from, uint64_t *x) {
    *x = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *at = take(from, 1);
        if (!at || (shift == 63 && *at > 1)) {
            return false;
        }
        *x |= (uint64_t)(*at & 0x7f) << shift;
        if (*at < 0x80) {
            return *at != 0 || shift == 0;
        }
    }
    return false;
}

bool mr_unpack_u64(struct mr_slice *from, uint64_t *x) {
    const uint8_t *at = take(from, 8);
    *x = 0;
    for (int i = 0; at && i < 8; i++) {
        *x |= (uint64_t)at[i] << (8 * i);
    }
    return at != NULL;
}

bool mr_unpack_finite(struct mr_slice *from, double *x) {
    uint64_t bits;
    if (!mr_unpack_u64(from, &bits)) {
        return false;
    }
    memcpy(x, &bits, sizeof bits);
    return __builtin_isfinite(*x);
}

/* Whether pack would have written these bytes: none to spare at either end. */
static bool fixed_is_canonical(const uint8_t *at, size_t skip, size_t length) {
    if (length == 0) {
        return skip == 0;
    }
    uint8_t top = at[length - 1];
    bool copies_sign = length > 1 && ((top == 0 && !(at[length - 2] & 0x80)) ||
                                      (top == 0xff && (at[length - 2] & 0x80)));
    return at[0] != 0 && !copies_sign;
}

bool mr_unpack_fixed(struct mr_slice *from, uint64_t *limb, size_t limbs) {
    const uint8_t *head = take(from, 2);
    if (!head || (size_t)head[0] + head[1] > 8 * limbs) {
        return false;
    }
    size_t skip = head[0], length = head[1];
    const uint8_t *at = take(from, length);
    if (!at || !fixed_is_canonical(at, skip, length)) {
        return false;
    }
    uint8_t sign = length > 0 && (at[length - 1] & 0x80) ? 0xff : 0;
    for (size_t i = 0; i < limbs; i++) {
        limb[i] = 0;
    }
    for (size_t i = skip; i < 8 * limbs; i++) {
        uint8_t byte = i - skip < length ? at[i - skip] : sign;
        limb[i / 8] |= (uint64_t)byte << (8 * (i % 8));
    }
    return true;
}
