/* registers: a set of 64-bit hashes, counted exactly while it is small and by HyperLogLog's
 * registers from then on; the memory of `distinct`. `bits` is the logarithm of how many registers,
 * the same in every call on one accumulator. */
#ifndef OPERATORS_AGGREGATES_REGISTERS_H
#define OPERATORS_AGGREGATES_REGISTERS_H

#include <millrace/aggregate.h>

#define MR_REGISTER_BITS_MAX 17 /* what postgresql-hll takes                */
#define MR_REGISTER_MAX      31 /* 5 bits a register: "31 or more"          */

/* The head of the accumulator. Zeroed: no hashes, explicit. */
struct mr_registers {
    uint64_t dense; /* 0: the body is a sorted list of hashes, 1: it is the registers */
};

/* So many hashes are kept as they are: as long as the list is no longer than packed registers. */
static inline uint32_t mr_explicit_max(unsigned bits) {
    return (UINT32_C(5) << bits) / 64;
}

void mr_registers_add(struct mr_accumulator *accumulator, unsigned bits, uint64_t hash);
void mr_registers_merge(struct mr_accumulator *into, const struct mr_accumulator *from,
                        unsigned bits);
/* Turns the list into registers, whatever its length. */
void mr_registers_spread(struct mr_accumulator *accumulator, unsigned bits);

/* The list, in rising order of the hashes as signed numbers. */
static inline const int64_t *mr_explicit_list(const struct mr_accumulator *accumulator) {
    return (const int64_t *)(const void *)accumulator->body;
}
static inline uint32_t mr_explicit_count(const struct mr_accumulator *accumulator) {
    return accumulator->length / 8;
}

/* How many different hashes: exactly, or estimated. */
uint64_t mr_registers_estimate(const struct mr_accumulator *accumulator, unsigned bits);

/* ---- The storage format of postgresql-hll (registers_bytes.c) ------------------------------- */

#define MR_REGISTERS_BYTES_MAX (3 + (UINT32_C(5) << MR_REGISTER_BITS_MAX) / 8)

/* Appends to out. */
void mr_registers_write(const struct mr_accumulator *accumulator, unsigned bits,
                        struct mr_accumulator *out);
/* Fills an empty accumulator; false: not what mr_registers_write writes. */
bool mr_registers_read(struct mr_accumulator *accumulator, unsigned bits, struct mr_slice bytes);

#endif
