/* The summary of one sample type. Included once for each type by summary.c, which defines
 *   SAMPLE    float or double          BITS     the unsigned integer of its size
 *   NAME(f)   f_f32 or f_f64           MAGNITUDE  its largest finite value
 *   EXTREMES  lanes that the extremes run in (their order cannot show) */

/* Whole rows of 32 samples. Sixteen lanes at a time: their sums stay in registers. */
static inline __attribute__((always_inline)) void
NAME(sum_rows)(const SAMPLE *x, size_t n, double shift, struct lanes *lanes) {
    for (size_t group = 0; group < LANES; group += GROUP) {
        double deviations[GROUP] = {0}, squares[GROUP] = {0};
        for (size_t i = group; i < n; i += LANES) {
            for (size_t l = 0; l < GROUP; l++) {
                double d = (double)x[i + l] - shift;
                deviations[l] += d;
                squares[l] += d * d;
            }
        }
        memcpy(lanes->deviations + group, deviations, sizeof deviations);
        memcpy(lanes->squares + group, squares, sizeof squares);
    }
}

static inline __attribute__((always_inline)) void NAME(sums)(const SAMPLE *x, size_t n,
                                                             struct mr_summary *out) {
    struct lanes lanes;
    size_t rows = n - n % LANES;
    NAME(sum_rows)(x, rows, out->shift, &lanes);
    for (size_t i = rows; i < n; i++) {
        double d = (double)x[i] - out->shift;
        lanes.deviations[i - rows] += d;
        lanes.squares[i - rows] += d * d;
    }
    out->deviations = pairwise(lanes.deviations);
    out->squares = pairwise(lanes.squares);
}

/* Zeros of both signs compare equal: which of them there are takes another look. */
static inline __attribute__((always_inline)) void NAME(sign_zeros)(const SAMPLE *x, size_t n,
                                                                   struct mr_summary *out) {
    const BITS sign = (BITS)1 << (8 * sizeof(BITS) - 1);
    unsigned negative = 0, positive = 0;
    for (size_t i = 0; i < n; i++) {
        BITS bits;
        memcpy(&bits, x + i, sizeof bits);
        negative |= bits == sign;
        positive |= bits == 0;
    }
    if (out->min == 0) {
        out->min = negative ? -0.0 : 0.0;
    }
    if (out->max == 0) {
        out->max = positive ? 0.0 : -0.0;
    }
}

static inline __attribute__((always_inline)) void NAME(extremes)(const SAMPLE *x, size_t n,
                                                                 struct mr_summary *out) {
    SAMPLE low[EXTREMES], high[EXTREMES];
    for (size_t l = 0; l < EXTREMES; l++) {
        low[l] = high[l] = (SAMPLE)out->shift;
    }
    size_t rows = n - n % EXTREMES;
    for (size_t i = 0; i < rows; i += EXTREMES) {
        for (size_t l = 0; l < EXTREMES; l++) {
            low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
            high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
        }
    }
    for (size_t i = rows; i < n; i++) {
        low[0] = x[i] < low[0] ? x[i] : low[0];
        high[0] = x[i] > high[0] ? x[i] : high[0];
    }
    for (size_t l = 1; l < EXTREMES; l++) {
        low[0] = low[l] < low[0] ? low[l] : low[0];
        high[0] = high[l] > high[0] ? high[l] : high[0];
    }
    out->min = low[0];
    out->max = high[0];
    if (out->min == 0 || out->max == 0) {
        NAME(sign_zeros)(x, n, out);
    }
}

/* A copy in which every gap is the shift: it deviates by nothing and is no new extreme. */
static inline __attribute__((always_inline)) uint32_t NAME(fill)(const SAMPLE *x, size_t n,
                                                                 SAMPLE shift, SAMPLE *filled) {
    uint32_t finite = 0;
    for (size_t i = 0; i < n; i++) {
        bool is = x[i] >= -MAGNITUDE && x[i] <= MAGNITUDE;
        finite += is;
        filled[i] = is ? x[i] : shift;
    }
    return finite;
}

MR_CLONES static void NAME(summarise_block)(const SAMPLE *x, size_t n, struct mr_summary *out) {
    SAMPLE filled[MR_BLOCK];
    out->finite = (uint32_t)n;
    NAME(sums)(x, n, out);
    if (!isfinite(
            out->squares)) { /* a gap; or a float64 too large to square: filling is harmless */
        out->finite = NAME(fill)(x, n, (SAMPLE)out->shift, filled);
        x = filled;
        NAME(sums)(x, n, out);
    }
    NAME(extremes)(x, n, out);
}

void NAME(mr_summarise)(const SAMPLE *x, size_t n, struct mr_summary *out) {
    size_t first = 0;
    while (first < n && !isfinite(x[first])) {
        first++;
    }
    if (first == n) {
        *out = (struct mr_summary){0};
        return;
    }
    if (n == 1) {
        *out = (struct mr_summary){.finite = 1, .shift = x[0], .min = x[0], .max = x[0]};
        return;
    }
    out->shift = x[first];
    NAME(summarise_block)(x, n, out);
}
