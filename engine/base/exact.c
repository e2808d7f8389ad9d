/* Exact sums: integers so wide that a double is a small part of them.
 *
 *   sum      limb    4        3         2         1         0
 *                +--------+--------+---------+---------+---------+
 *                |headroom|     2^127 ... 2^0 | 2^-1 ... 2^-128  |
 *                +--------+--------+---------+---------+---------+
 *   squares  the same with 7 limbs and 192 bits after the point.
 *
 * A finite double is m * 2^e with an integer m of 53 bits; a product of two is one of 106. Shifted
 * to its place such a term covers at most two or three limbs. These are added by one chain of
 * carries, negated on the way (xor, and a carry in) when the term is negative; a carry out of them
 * is rare and runs on from there.
 *
 * Because every term is exact (or cut at the last bit, toward zero, by itself alone), addition here
 * is addition of integers: order, grouping and partitions cannot show. The one rounding is the
 * conversion to a double at the end. Products are multiplied as integers; the usual fused
 * multiply-add pair would cut its two halves separately and lose the low one to underflow.
 *
 * Not done: keeping the sum as a list of doubles (Shewchuk). It is exact too, but its bytes depend
 * on the order of the terms, and bytes are what is stored and compared. */
#include <millrace/exact.h>

#include <math.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

/* What differs between the two accumulators. */
struct shape {
    int limbs;
    int resolution; /* bits after the point                            */
    int term_bits;  /* a term must be below 2^term_bits units          */
    int value_bits; /* a result must be below 2^value_bits units       */
};

static const struct shape sum_shape = {MR_SUM_LIMBS, 128, 128 + 127, 128 + 127};
static const struct shape squares_shape = {MR_SQUARES_LIMBS, 192, 192 + 190, 192 + 191};

#define LIMBS_MAX     MR_SQUARES_LIMBS
#define ALWAYS_INLINE inline __attribute__((always_inline)) /* the shape becomes constants */

/* |x| = mantissa * 2^exponent. */
struct parts {
    uint64_t mantissa;
    int exponent;
    bool negative, finite;
};

/* magnitude * 2^exponent, less than zero or not. */
struct term {
    wide magnitude;
    int exponent;
    bool negative;
};

static ALWAYS_INLINE struct parts split(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int biased = (int)(bits >> 52 & 0x7ff);
    uint64_t hidden = biased != 0;
    return (struct parts){
        .mantissa = (bits & (((uint64_t)1 << 52) - 1)) | hidden << 52,
        .exponent = biased - 1075 + (int)(1 - hidden),
        .negative = bits >> 63,
        .finite = biased != 0x7ff,
    };
}

/* into += term, or -= where mask is all ones. Returns the carry; a mask of all ones begins with
 * one, so there a carry of 1 means that nothing was borrowed. */
static ALWAYS_INLINE uint64_t add_limbs(uint64_t *into, const uint64_t *term, int limbs,
                                        uint64_t mask) {
    uint64_t carry = mask & 1;
    for (int i = 0; i < limbs; i++) {
        wide sum = (wide)into[i] + (term[i] ^ mask) + carry;
        into[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    return carry;
}

static ALWAYS_INLINE int bit_length(wide x) {
    uint64_t high = (uint64_t)(x >> 64), low = (uint64_t)x;
    return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

/* Adds `carry` (1 or, as a borrow, all ones) from `at` on, as far as it runs. */
static void ripple(uint64_t *at, const uint64_t *end, uint64_t carry) {
    uint64_t stop = carry == 1 ? 0 : ~(uint64_t)0;
    for (; at < end; at++) {
        *at += carry;
        if (*at != stop) {
            return;
        }
    }
}

/* Adds magnitude * 2^exponent, which covers at most `words` limbs. They are all there: a magnitude
 * of few bits belongs to a subnormal, and that is far below the top. */
static ALWAYS_INLINE bool add_term(uint64_t *limbs, const struct shape *shape, struct term term,
                                   int words) {
    int position = term.exponent + shape->resolution;
    if (bit_length(term.magnitude) + position > shape->term_bits) {
        return false;
    }
    if (position < 0) {
        term.magnitude = position > -128 ? term.magnitude >> -position : 0;
        position = 0;
    }
    int shift = position & 63;
    uint64_t high = (uint64_t)(term.magnitude >> 64), low = (uint64_t)term.magnitude;
    uint64_t word[3] = {low << shift, high << shift | low >> 1 >> (63 - shift),
                        high >> 1 >> (63 - shift)};
    uint64_t *at = limbs + (position >> 6);
    uint64_t mask = -(uint64_t)term.negative;
    uint64_t carry = add_limbs(at, word, words, mask);
    if (carry != (mask & 1)) {
        ripple(at + words, limbs + shape->limbs, carry ? 1 : ~(uint64_t)0);
    }
    return true;
}

static ALWAYS_INLINE bool add_double(uint64_t *limbs, const struct shape *shape, double x) {
    struct parts p = split(x);
    struct term term = {p.mantissa, p.exponent, p.negative};
    return p.finite && add_term(limbs, shape, term, 2);
}

static ALWAYS_INLINE bool add_product(uint64_t *limbs, const struct shape *shape, double a,
                                      double b) {
    struct parts p = split(a), q = split(b);
    struct term term = {(wide)p.mantissa * q.mantissa, p.exponent + q.exponent,
                        p.negative != q.negative};
    return p.finite && q.finite && add_term(limbs, shape, term, 3);
}

bool mr_exact_add(struct mr_exact_sum *sum, double x) {
    return add_double(sum->limb, &sum_shape, x);
}

bool mr_exact_add_product(struct mr_exact_sum *sum, double a, double b) {
    return add_product(sum->limb, &sum_shape, a, b);
}

bool mr_exact_squares_add(struct mr_exact_squares *squares, double x) {
    return add_double(squares->limb, &squares_shape, x);
}

bool mr_exact_squares_add_product(struct mr_exact_squares *squares, double a, double b) {
    return add_product(squares->limb, &squares_shape, a, b);
}

void mr_exact_merge(struct mr_exact_sum *into, const struct mr_exact_sum *from) {
    add_limbs(into->limb, from->limb, MR_SUM_LIMBS, 0);
}

void mr_exact_squares_merge(struct mr_exact_squares *into, const struct mr_exact_squares *from) {
    add_limbs(into->limb, from->limb, MR_SQUARES_LIMBS, 0);
}

/* ---- Results ------------------------------------------------------------------------------- */

/* Replaces two's complement by the magnitude; returns whether it was negative. */
static bool take_sign(uint64_t *limbs, int count) {
    uint64_t mask = -(limbs[count - 1] >> 63);
    uint64_t carry = mask & 1;
    for (int i = 0; i < count; i++) {
        limbs[i] = (limbs[i] ^ mask) + carry;
        carry = carry && limbs[i] == 0;
    }
    return mask != 0;
}

static int limbs_bit_length(const uint64_t *limbs, int count) {
    while (count > 0 && limbs[count - 1] == 0) {
        count--;
    }
    return count == 0 ? 0 : 64 * count - __builtin_clzll(limbs[count - 1]);
}

/* The 64 bits from bit `from` up. */
static uint64_t bits_at(const uint64_t *limbs, int count, int from) {
    int first = from >> 6, shift = from & 63;
    uint64_t low = limbs[first] >> shift;
    uint64_t high = first + 1 < count ? limbs[first + 1] << 1 << (63 - shift) : 0;
    return low | high;
}

static bool any_bit_below(const uint64_t *limbs, int position) {
    uint64_t any = 0;
    for (int i = 0; i < position >> 6; i++) {
        any |= limbs[i];
    }
    return any != 0 || (limbs[position >> 6] << 1 << (63 - (position & 63))) != 0;
}

/* magnitude * 2^-resolution, rounded once. The top 64 bits hold all that rounding asks for once
 * their last one also says whether anything was cut; nothing here comes near a subnormal. */
static double round_limbs(const uint64_t *limbs, int count, int resolution) {
    int cut = limbs_bit_length(limbs, count) - 64;
    if (cut <= 0) {
        return ldexp((double)limbs[0], -resolution);
    }
    uint64_t top = bits_at(limbs, count, cut) | any_bit_below(limbs, cut);
    return ldexp((double)top, cut - resolution);
}

static double value_of(const uint64_t *limbs, const struct shape *shape) {
    uint64_t magnitude[LIMBS_MAX];
    memcpy(magnitude, limbs, (size_t)shape->limbs * sizeof *limbs);
    bool negative = take_sign(magnitude, shape->limbs);
    if (limbs_bit_length(magnitude, shape->limbs) > shape->value_bits) {
        return NAN;
    }
    double x = round_limbs(magnitude, shape->limbs, shape->resolution);
    return negative ? -x : x;
}

double mr_exact_value(const struct mr_exact_sum *sum) {
    return value_of(sum->limb, &sum_shape);
}

double mr_exact_squares_value(const struct mr_exact_squares *squares) {
    return value_of(squares->limb, &squares_shape);
}

/* out += x * factor, shifted up by `at` limbs. out is long enough for the result. */
static void add_multiple(uint64_t *out, int at, const uint64_t *x, int count, uint64_t factor) {
    uint64_t carry = 0;
    for (int i = 0; i < count; i++) {
        wide sum = (wide)x[i] * factor + out[at + i] + carry;
        out[at + i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    out[at + count] += carry;
}

/* In range a sum has 4 limbs and the squares 6, so both sides fit 8 at a resolution of 2^-256:
 *
 *      (sum)^2          4 + 4 limbs        255 + 255 bits
 *      n * squares      1 + 6, up by one   64 + 383 + 64 bits
 */
double mr_exact_spread(const struct mr_exact_sum *sum, const struct mr_exact_squares *squares,
                       uint64_t n) {
    enum { SUM = 4, SQUARES = 6, SPREAD = 8 };
    struct mr_exact_sum s = *sum;
    struct mr_exact_squares q = *squares;
    take_sign(s.limb, MR_SUM_LIMBS);
    bool below_zero = take_sign(q.limb, MR_SQUARES_LIMBS);
    if (limbs_bit_length(s.limb, MR_SUM_LIMBS) > sum_shape.value_bits ||
        limbs_bit_length(q.limb, MR_SQUARES_LIMBS) > squares_shape.value_bits) {
        return NAN;
    }
    uint64_t spread[SPREAD + 1] = {0}, square[SPREAD + 1] = {0};
    for (int i = 0; i < SUM; i++) {
        add_multiple(square, i, s.limb, SUM, s.limb[i]);
    }
    add_multiple(spread, 1, q.limb, SQUARES, n);
    for (int i = 0; i <= SPREAD; i++) {
        square[i] = ~square[i];
    }
    add_limbs(spread, square, SPREAD + 1, 0);
    uint64_t one[SPREAD + 1] = {1};
    add_limbs(spread, one, SPREAD + 1, 0);
    if (below_zero || spread[SPREAD] >> 63) {
        return 0;
    }
    return round_limbs(spread, SPREAD, 256);
}
