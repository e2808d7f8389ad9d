/* The DDSketch message, read by a decoder that knows nothing of how it was written, and its bins
 * held against the samples by the mapping's own definition. */
#include "operators/aggregates/buckets.h"
#include "operators/aggregates/digest_bytes.h"
#include "tests/unit/operators/aggregates/feed.h"

#define BINS 65536

/* ---- A small protobuf reader --------------------------------------------------------------- */

struct field {
    unsigned number, wire;
    uint64_t varint;
    double fixed;
    struct mr_slice bytes;
};

static uint64_t read_varint(struct mr_slice *from) {
    uint64_t x = 0;
    for (unsigned shift = 0;; shift += 7) {
        assert_true(from->length > 0 && shift < 64);
        uint8_t byte = (uint8_t)*from->data++;
        from->length--;
        x |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return x;
        }
    }
}

static double read_double(struct mr_slice *from) {
    double x;
    assert_true(from->length >= 8);
    memcpy(&x, from->data, 8); /* little-endian machines only, as the test's */
    from->data += 8;
    from->length -= 8;
    return x;
}

static bool read_field(struct mr_slice *from, struct field *field) {
    if (from->length == 0) {
        return false;
    }
    uint64_t tag = read_varint(from);
    *field = (struct field){.number = (unsigned)(tag >> 3), .wire = (unsigned)(tag & 7)};
    if (field->wire == 0) {
        field->varint = read_varint(from);
    } else if (field->wire == 1) {
        field->fixed = read_double(from);
    } else {
        assert_int_equal(field->wire, 2);
        field->bytes.length = read_varint(from);
        field->bytes.data = from->data;
        assert_true(field->bytes.length <= from->length);
        from->data += field->bytes.length;
        from->length -= field->bytes.length;
    }
    return true;
}

static int32_t unzigzag(uint64_t x) {
    return (int32_t)(x >> 1) ^ -(int32_t)(x & 1);
}

/* ---- A sketch as a reader holds it --------------------------------------------------------- */

struct sketch {
    double gamma, offset, zeros;
    uint64_t interpolation;
    bool has_store[2], contiguous[2];
    double count[2][BINS]; /* by sign: positive, negative; index + BINS / 2 */
};

static void read_bin(struct mr_slice from, double *count) {
    struct field field;
    int32_t index = 0;
    double value = 0;
    while (read_field(&from, &field)) {
        index = field.number == 1 ? unzigzag(field.varint) : index;
        value = field.number == 2 ? field.fixed : value;
    }
    assert_true(index >= -BINS / 2 && index < BINS / 2);
    count[index + BINS / 2] += value;
}

static bool read_store(struct mr_slice from, double *count) {
    struct field field;
    struct mr_slice slots = {0};
    int32_t index = 0;
    while (read_field(&from, &field)) {
        if (field.number == 1) {
            read_bin(field.bytes, count);
        } else if (field.number == 2) {
            slots = field.bytes;
        } else {
            index = unzigzag(field.varint);
        }
    }
    bool contiguous = slots.length > 0;
    while (slots.length > 0) {
        count[BINS / 2 + index++] += read_double(&slots);
    }
    return contiguous;
}

static void read_mapping(struct mr_slice from, struct sketch *sketch) {
    struct field field;
    while (read_field(&from, &field)) {
        sketch->gamma = field.number == 1 ? field.fixed : sketch->gamma;
        sketch->offset = field.number == 2 ? field.fixed : sketch->offset;
        sketch->interpolation = field.number == 3 ? field.varint : sketch->interpolation;
    }
}

static void read_sketch(struct mr_slice from, struct sketch *sketch) {
    struct field field;
    memset(sketch, 0, sizeof *sketch);
    while (read_field(&from, &field)) {
        assert_in_range(field.number, 1, 4);
        if (field.number == 1) {
            read_mapping(field.bytes, sketch);
        } else if (field.number == 4) {
            sketch->zeros = field.fixed;
        } else {
            unsigned sign = field.number - 2;
            sketch->has_store[sign] = true;
            sketch->contiguous[sign] = read_store(field.bytes, sketch->count[sign]);
        }
    }
}

/* The index that sketches-java and sketches-go give a value: the linear interpolation of its
 * logarithm (0 at 1.0), times 1 / log2(gamma), rounded down. */
static int32_t index_of(double x, double gamma) {
    int exponent;
    double fraction = 2 * frexp(x, &exponent); /* in [1, 2) */
    double multiplier = nearbyint(1 / log2(gamma));
    assert_true(fabs(multiplier * log2(gamma) - 1) < 1e-12);
    return (int32_t)floor((exponent - 1 + (fraction - 1)) * multiplier);
}

static struct sketch sketch;

static void assert_holds(const double *x, size_t n) {
    static double want[2][BINS];
    double zeros = 0;
    memset(want, 0, sizeof want);
    for (size_t i = 0; i < n; i++) {
        if (fabs(x[i]) < 0x1p-1022) {
            zeros++;
        } else {
            want[x[i] < 0][BINS / 2 + index_of(fabs(x[i]), sketch.gamma)]++;
        }
    }
    assert_true(zeros == sketch.zeros);
    assert_memory_equal(want, sketch.count, sizeof want);
}

static void write_and_read(struct gauge *gauge) {
    struct mr_accumulator bytes = {0};
    struct mr_value value;
    const struct mr_question question = {.settings = gauge->settings, .bytes = &bytes};
    result_of(gauge->type, "digest")->compute(&gauge->accumulator, &question, &value);
    assert_int_equal(value.kind, MR_BYTES);
    read_sketch(value.text, &sketch);
    free(bytes.body);
    assert_true(sketch.has_store[0] && sketch.has_store[1]);
    assert_true(sketch.offset == 0 && sketch.interpolation == 1);
    assert_true(fabs(sketch.gamma - exp2(1.0 / (1 << gauge->settings[0]))) < 1e-15);
}

static void a_reader_finds_every_sample_in_its_bin(void **state) {
    static double x[5000];
    uint64_t seed = 1;
    for (unsigned m = 4; m <= 8; m++) {
        for (size_t i = 0; i < 5000; i++) {
            x[i] = i % 7 == 0 ? 0 : 10 * (random_unit(&seed) - 0.3);
        }
        struct gauge gauge = gauge_of(&mr_digest_aggregate, m);
        feed_f64(&gauge, x, 5000);
        write_and_read(&gauge);
        assert_holds(x, 5000);
        gauge_finish(&gauge);
    }
}

static void near_bins_are_contiguous_and_far_ones_a_map(void **state) {
    const double near[] = {1, 1.02, 1.04, 1.1, -1, -1.02}, far[] = {1e-9, 1, 1e9, -3};
    struct gauge a = gauge_of(&mr_digest_aggregate, 6), b = gauge_of(&mr_digest_aggregate, 6);
    feed_events(&a, near, 6);
    write_and_read(&a);
    assert_true(sketch.contiguous[0] && sketch.contiguous[1]);
    assert_holds(near, 6);
    feed_events(&b, far, 4);
    write_and_read(&b);
    assert_true(!sketch.contiguous[0] && sketch.contiguous[1]);
    assert_holds(far, 4);
    gauge_finish(&a);
    gauge_finish(&b);
}

static void only_zeros_make_two_empty_stores(void **state) {
    const double zeros[] = {0, -0.0};
    struct gauge gauge = gauge_of(&mr_digest_aggregate, 6);
    feed_events(&gauge, zeros, 2);
    write_and_read(&gauge);
    assert_holds(zeros, 2);
    gauge_finish(&gauge);
}

/* However the counts came together and whatever form they have in memory. */
static void equal_multisets_give_equal_bytes(void **state) {
    static double x[3000];
    uint64_t seed = 2;
    for (size_t i = 0; i < 3000; i++) {
        x[i] = exp(6 * (random_unit(&seed) - 0.5)) * (i % 3 ? 1 : -1);
    }
    struct gauge a = gauge_of(&mr_digest_aggregate, 6), b = gauge_of(&mr_digest_aggregate, 6);
    feed_f64(&a, x, 3000);
    for (size_t i = 3000; i-- > 0;) {
        feed_events(&b, x + i, 1);
    }
    struct mr_accumulator left = {0}, right = {0};
    mr_digest_write(&a.accumulator, 6, &left);
    mr_digest_write(&b.accumulator, 6, &right);
    assert_int_equal(left.length, right.length);
    assert_memory_equal(left.body, right.body, left.length);
    free(left.body);
    free(right.body);
    gauge_finish(&a);
    gauge_finish(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_finds_every_sample_in_its_bin),
        cmocka_unit_test(near_bins_are_contiguous_and_far_ones_a_map),
        cmocka_unit_test(only_zeros_make_two_empty_stores),
        cmocka_unit_test(equal_multisets_give_equal_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
