/* The summary of a block: count, shift, sums, extremes in one go.
 *
 *   lane      0    1    2   ...  31        sample i is added to lane i % 32, in the order of i;
 *           x[0] x[1] x[2]  ... x[31]      then lane l takes lane l + 16, then l + 8, + 4, + 2, + 1
 *           x[32] ...
 *
 * Invariants: the order of every addition is fixed by i alone, and each is one IEEE operation (no
 * fused multiply-add), so 128-, 256- and 512-bit machines give the same bits. Gaps are not tested
 * for in the loop: one gap makes the squares infinite or NaN, and then the block is done again on a
 * copy in which gaps equal the shift. A block without gaps gives the same bits either way.
 *
 * Not done: extremes in the same loop as the sums (more registers than AVX2 has: slower), and
 * float32 lanes (half the precision for 20 % of a loop that memory bounds anyway). */
#include "operators/kernels/kernels.h"

#include <float.h>
#include <math.h>

#define LANES 32
#define GROUP 16

struct lanes {
    double deviations[LANES], squares[LANES];
};

static inline double pairwise(double *lane) {
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t l = 0; l < half; l++) {
            lane[l] += lane[l + half];
        }
    }
    return lane[0];
}

#define SAMPLE    float
#define BITS      uint32_t
#define MAGNITUDE FLT_MAX
#define EXTREMES  32
#define NAME(f)   f##_f32
#include "operators/kernels/summary_of.h"
#undef SAMPLE
#undef BITS
#undef MAGNITUDE
#undef EXTREMES
#undef NAME

#define SAMPLE    double
#define BITS      uint64_t
#define MAGNITUDE DBL_MAX
#define EXTREMES  16
#define NAME(f)   f##_f64
#include "operators/kernels/summary_of.h"
