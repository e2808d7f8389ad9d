/* The bytes of postgresql-hll's type `hll` (storage specification 1.0.0, github.com/
 * aggregateknowledge/hll-storage-spec), as that extension itself writes them for the same set:
 *
 *   u8 0x10 | form     form 1 empty, 2 explicit, 3 sparse, 4 full
 *   u8 (5 - 1) << 5 | bits
 *   u8 0x7f            sparse allowed; explicit as long as it is no longer than full
 *   explicit           the hashes, 8 bytes each, most significant first, rising as signed numbers
 *   sparse             (index, value) of the registers that are not 0, rising, bits + 5 bits each
 *   full               all registers, 5 bits each
 *
 * Bits are written from the highest of a byte on, the last byte is filled with zeros. Sparse is
 * written where it is shorter than full. So equal sets give equal bytes, which are the packed form
 * of the aggregate, too, and reading refuses all others. */
#include "operators/aggregates/registers.h"

#include <string.h>

enum { VERSION = 0x10, EMPTY = 1, EXPLICIT = 2, SPARSE = 3, FULL = 4 };

#define HEADER       3
#define CUTOFFS      0x7f
#define WIDTH        5u /* bits of a register */
#define WIDTH_NIBBLE ((WIDTH - 1) << 5)

/* ---- Bits -------------------------------------------------------------------------------------
 */

struct bits {
    uint8_t *at;
    uint64_t word; /* of which the low `count` bits are not stored yet */
    unsigned count;
};

static void put(struct bits *to, uint32_t value, unsigned width) {
    to->word = to->word << width | value;
    to->count += width;
    while (to->count >= 8) {
        to->count -= 8;
        *to->at++ = (uint8_t)(to->word >> to->count);
    }
}

static void put_end(struct bits *to) {
    if (to->count > 0) {
        put(to, 0, 8 - to->count);
    }
}

struct bits_in {
    const uint8_t *at;
    uint64_t word;
    unsigned count;
};

static uint32_t get(struct bits_in *from, unsigned width) {
    while (from->count < width) {
        from->word = from->word << 8 | *from->at++;
        from->count += 8;
    }
    from->count -= width;
    return (uint32_t)(from->word >> from->count) & ((UINT32_C(1) << width) - 1);
}

static uint32_t bytes_for(uint32_t entries, unsigned width) {
    return (entries * width + 7) / 8;
}

/* ---- Writing ----------------------------------------------------------------------------------
 */

static uint8_t *write_header(struct mr_accumulator *out, unsigned bits, uint8_t form,
                             uint32_t size) {
    mr_accumulator_reserve(out, out->length + HEADER + size);
    uint8_t *at = out->body + out->length;
    at[0] = (uint8_t)(VERSION | form);
    at[1] = (uint8_t)(WIDTH_NIBBLE | bits);
    at[2] = CUTOFFS;
    out->length += HEADER + size;
    return at + HEADER;
}

static void write_list(const struct mr_accumulator *accumulator, unsigned bits,
                       struct mr_accumulator *out) {
    uint32_t count = mr_explicit_count(accumulator);
    uint8_t *at = write_header(out, bits, count > 0 ? EXPLICIT : EMPTY, 8 * count);
    for (uint32_t i = 0; i < count; i++, at += 8) {
        uint64_t hash = __builtin_bswap64((uint64_t)mr_explicit_list(accumulator)[i]);
        memcpy(at, &hash, 8);
    }
}

static void write_registers(const struct mr_accumulator *accumulator, unsigned bits,
                            struct mr_accumulator *out) {
    uint32_t all = UINT32_C(1) << bits, filled = 0;
    for (uint32_t i = 0; i < all; i++) {
        filled += accumulator->body[i] != 0;
    }
    bool sparse = filled * (bits + WIDTH) < all * WIDTH;
    uint32_t size = sparse ? bytes_for(filled, bits + WIDTH) : bytes_for(all, WIDTH);
    struct bits to = {.at = write_header(out, bits, sparse ? SPARSE : FULL, size)};
    for (uint32_t i = 0; i < all; i++) {
        uint8_t value = accumulator->body[i];
        if (!sparse) {
            put(&to, value, WIDTH);
        } else if (value != 0) {
            put(&to, i << WIDTH | value, bits + WIDTH);
        }
    }
    put_end(&to);
}

void mr_registers_write(const struct mr_accumulator *accumulator, unsigned bits,
                        struct mr_accumulator *out) {
    if (((const struct mr_registers *)accumulator->head)->dense) {
        write_registers(accumulator, bits, out);
    } else {
        write_list(accumulator, bits, out);
    }
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

static bool read_list(struct mr_accumulator *accumulator, unsigned bits, struct mr_slice bytes) {
    uint32_t count = (uint32_t)bytes.length / 8;
    if (bytes.length % 8 != 0 || count == 0 || count > mr_explicit_max(bits)) {
        return false;
    }
    mr_accumulator_reserve(accumulator, 8 * count);
    int64_t *list = (int64_t *)(void *)accumulator->body;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash;
        memcpy(&hash, bytes.data + 8 * i, 8);
        list[i] = (int64_t)__builtin_bswap64(hash);
        if (i > 0 && list[i] <= list[i - 1]) {
            return false;
        }
    }
    accumulator->length = 8 * count;
    return true;
}

static bool read_sparse(uint8_t *registers, unsigned bits, struct mr_slice bytes) {
    unsigned width = bits + WIDTH;
    uint32_t entries = (uint32_t)bytes.length * 8 / width, least = 0;
    struct bits_in from = {.at = (const uint8_t *)bytes.data};
    if (bytes.length != bytes_for(entries, width) || entries * width >= WIDTH << bits) {
        return false;
    }
    for (uint32_t i = 0; i < entries; i++) {
        uint32_t entry = get(&from, width), index = entry >> WIDTH;
        uint8_t value = (uint8_t)(entry & MR_REGISTER_MAX);
        if (value == 0 || index < least) {
            return false;
        }
        registers[index] = value;
        least = index + 1;
    }
    return (from.word & ((UINT64_C(1) << from.count) - 1)) == 0;
}

static bool read_full(uint8_t *registers, unsigned bits, struct mr_slice bytes) {
    uint32_t all = UINT32_C(1) << bits, filled = 0;
    struct bits_in from = {.at = (const uint8_t *)bytes.data};
    if (bytes.length != bytes_for(all, WIDTH)) {
        return false;
    }
    for (uint32_t i = 0; i < all; i++) {
        registers[i] = (uint8_t)get(&from, WIDTH);
        filled += registers[i] != 0;
    }
    return filled * (bits + WIDTH) >= all * WIDTH;
}

bool mr_registers_read(struct mr_accumulator *accumulator, unsigned bits, struct mr_slice bytes) {
    const uint8_t *at = (const uint8_t *)bytes.data;
    if (bytes.length < HEADER || bytes.length > MR_REGISTERS_BYTES_MAX ||
        (at[0] & 0xf0) != VERSION || at[1] != (WIDTH_NIBBLE | bits) || at[2] != CUTOFFS) {
        return false;
    }
    uint8_t form = at[0] & 15;
    struct mr_slice rest = {bytes.data + HEADER, bytes.length - HEADER};
    if (form == EMPTY) {
        return rest.length == 0;
    }
    if (form == EXPLICIT) {
        return read_list(accumulator, bits, rest);
    }
    mr_registers_spread(accumulator, bits); /* of an empty list: all are 0 */
    return form == SPARSE ? read_sparse(accumulator->body, bits, rest)
                          : form == FULL && read_full(accumulator->body, bits, rest);
}
