/* Exact sums. The vectors and the expected values were computed with Python's fractions. */
#include <millrace/exact.h>

#include "tests/unit/base/nist.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct vector {
    double a[8], b[8]; /* b: the other factors, or unused */
    double expected;
};

struct spread_vector {
    double x[6];
    double expected;
};

static const struct vector sums[] = {
    {{0x1.269e0f2a74de4p+52, -0x1.d23f0128b2f33p+124, -0x1.953195d9dc9f8p-121,
      -0x1.1600a099950d8p+72, 0x1.3d9c111e20b8fp-104, 0x1.d3ac90f21ddb6p-87, -0x1.269e0f2a74de4p+52,
      0x0.0000000000001p-1022},
     {0},
     -0x1.d23f0128b2f34p+124},
    {{-0x1.a09f7a170b338p+8, -0x1.95e6093bd04cfp+2, -0x1.3898df9ebdaccp-9, -0x1.6b4cb4a23d596p-6,
      -0x1.4ef8a92276658p+7, -0x1.94e3b1a61dbe2p+8, 0x1.a09f7a170b338p+8, 0x1.95e6093bd1e2dp+2},
     {0},
     -0x1.1e3327db4da17p+9},
    {{-0x1.18f135f557203p-93, -0x1.0f420907a70c3p-89, -0x1.ae2eb7f150524p-94, 0x1.506bfc6f87718p-99,
      0x1.4cbd85c90a958p-113, -0x1.c7a2eb2f14c94p-113, 0x1.18f135f557203p-93,
      0x0.0000000000001p-1022},
     {0},
     -0x1.1c5f6442fc000p-89},
    {{-0x1.4cdd2930d6eafp+122, 0x1.57ee0e00902c7p+120, 0x1.faecb9be4bcfcp+108,
      -0x1.6b0a1830e07bcp+111, 0x1.eeeac26e87555p+121, 0x1.f646e0a097c97p+108,
      0x1.4cdd2930d6eafp+122, -0x1.57ee0e0091846p+120},
     {0},
     0x1.eeaf89854d685p+121},
    {{0x1.b1fee57124242p-2, 0x1.cc0119474031bp-2, -0x1.17f5ed70820fep-2, 0x1.aa05eb2715945p-3,
      -0x1.b394fbb2d420fp-2, 0x1.b774e48db40afp-2, -0x1.b1fee57124242p-2, 0x0.0000000000001p-1022},
     {0},
     0x1.8cee0a4528d60p-2},
    {{0x1.f0ce505c6af07p-32, 0x1.9c6532b0537e6p-121, 0x1.37dc70f17a300p-77, -0x1.3f63abd0561e6p-49,
      0x1.df158eab477d2p-23, -0x1.72fdf2a96fb1ap-48, -0x1.f0ce505c6af07p-32,
      -0x1.9c6532b0551acp-121},
     {0},
     0x1.df158da1ef98ep-23},
};

static const struct vector sum_products[] = {
    {{0x1.230d9e2257159p+30, 0x1.3b128f52ddf5dp-42, -0x1.7c2680316909ep-34, 0x1.5e87688daf401p+1,
      -0x1.e647c74e69a5dp+20, 0x1.66836a260cd0bp-65, -0x1.230d9e2257159p+30,
      0x0.0000000000001p-1022},
     {0x1.6a50db4d66a3ap+11, -0x1.26bb72d1c9af0p-21, 0x1.010c4482c9cbcp-43, -0x1.dbf4ab0c4312dp+51,
      0x1.64e5066237a04p-54, -0x1.fc132113db17dp-27, 0x1.6a50db4d66a3ap+11, 0x1.0000000000000p+0},
     -0x1.45da2121e41edp+53},
    {{0x1.1c244298cb3a5p+0, -0x1.19f99895fd7b3p+1, 0x1.a268a2607679dp-2, -0x1.d953e1d87cec3p+5,
      -0x1.1a28f24e4e25ap+0, -0x1.f373c3488f876p+6, -0x1.1c244298cb3a5p+0, 0x1.19f99895fe953p+1},
     {-0x1.000f41a358ca0p+8, -0x1.dfd431200339dp-4, 0x1.5d39d9a2ef80fp+5, 0x1.7bdc97afb2c68p-1,
      0x1.d42fd7a86f7a2p-5, 0x1.b0a842587be6bp+7, -0x1.000f41a358ca0p+8, -0x1.dfd431200339dp-4},
     -0x1.a6764cd72a844p+14},
    {{-0x1.87322c215a82ap-109, 0x1.2ac34e883a1d4p-106, 0x1.39194a2eddbbdp-89,
      0x1.cda6cbd685167p-114, -0x1.0726efd56a926p-78, 0x1.cefe2727d8349p-69, 0x1.87322c215a82ap-109,
      0x0.0000000000001p-1022},
     {-0x1.d86f4b239f3c7p-112, -0x1.8aa428857f9a4p-79, -0x1.3d488ce5b2a92p-76,
      -0x1.7e26f8483f8b8p-106, 0x1.4259478e4b98dp-116, 0x1.f979df47aebddp-105,
      -0x1.d86f4b239f3c7p-112, 0x1.0000000000000p+0},
     0x0.0p+0},
    {{-0x1.1a26f38703800p+49, 0x1.fc3949fc2d0a1p+61, 0x1.a4a45ccb573d9p+44, 0x1.2db39e39639bep+55,
      0x1.be4c566c1494ep+44, -0x1.973f726b1cffcp+56, 0x1.1a26f38703800p+49, -0x1.fc3949fc2f065p+61},
     {0x1.5675f325b55ddp+48, -0x1.e8c147abec539p+62, -0x1.63771e8e72789p+48, 0x1.cd02c16353d03p+54,
      -0x1.fe3c92b855c1fp+46, -0x1.d39639c9011efp+61, 0x1.5675f325b55ddp+48,
      -0x1.e8c147abec539p+62},
     0x1.74fb837a24ec1p+118},
    {{0x1.effdda842bc19p-2, -0x1.cca2a03a56cc1p-1, 0x1.df2a8fc8e80b3p-3, 0x1.3d93f804c25d6p-1,
      -0x1.e8f6e0f977044p-1, 0x1.eaefcd3bf6d01p-1, -0x1.effdda842bc19p-2, 0x0.0000000000001p-1022},
     {-0x1.8c5c78c74fc1ep-3, -0x1.bfdef86ce03f9p-3, -0x1.40783072a98d2p-3, 0x1.8b5ab4265bb31p-2,
      0x1.754a0e5cfedfap-1, -0x1.26deb8825ae56p-1, -0x1.8c5c78c74fc1ep-3, 0x1.0000000000000p+0},
     -0x1.b2a16cd77ee57p-1},
    {{-0x1.70ac0df703017p-57, -0x1.7936d243d3570p-1, 0x1.c6c80c8c614b2p-67, -0x1.1905dc5b2e75ap-16,
      0x1.9ccea535b6a43p-16, 0x1.f106381fc069ep-49, 0x1.70ac0df703017p-57, 0x1.7936d243d4d03p-1},
     {-0x1.cc966c6aa7d55p-61, -0x1.0fcf38e752fdfp-39, -0x1.30f973f9d52f9p-45, 0x1.072238fcd7f40p-72,
      -0x1.46f5ab156d1adp-23, 0x1.8f3c4ec3b9605p-55, -0x1.cc966c6aa7d55p-61,
      -0x1.0fcf38e752fdfp-39},
     -0x1.079da6038c81bp-38},
};

static const struct vector square_products[] = {
    {{0x1.6aa8b231b3e14p-79, -0x1.12b806da79a87p-56, -0x1.b753af0836085p+54, 0x1.bf2683836e865p-86,
      -0x1.b4d192955d6f0p+0, 0x1.179a0518ae452p+74, -0x1.6aa8b231b3e14p-79,
      0x0.0000000000001p-1022},
     {0x1.50e40712ea6b3p-92, 0x1.1f525c8b007eep+88, 0x1.40cba249a4584p-75, 0x1.7cbd1e28af604p-69,
      0x1.6bd8c56d050cdp-60, 0x1.5685d04fcd555p+31, 0x1.50e40712ea6b3p-92, 0x1.0000000000000p+0},
     0x1.7619e957eb920p+105},
    {{0x1.b401b70c1dca1p-10, 0x1.f5f5583239ef5p-8, -0x1.43fc015850a03p-2, 0x1.212a8c17a9262p+3,
      0x1.53b97b34e8ecep-8, 0x1.1289be5316960p-2, -0x1.b401b70c1dca1p-10, -0x1.f5f558323be54p-8},
     {0x1.8476854dd0ba5p+9, -0x1.eb25ffc2e6a59p-3, -0x1.c76c6e7e8f9f6p-5, 0x1.263cf67ec326ap+7,
      0x1.ccb1c0eba0ea8p-5, -0x1.16ac4a26aa0aep-2, 0x1.8476854dd0ba5p+9, -0x1.eb25ffc2e6a59p-3},
     0x1.4c5832d67b6d6p+10},
    {{-0x1.db31c9bb183e1p-178, 0x1.56d2a02f4b342p-157, -0x1.86e3e0b0f873bp-147,
      0x1.2e5f90ce5af69p-180, -0x1.721884a3adf99p-160, -0x1.401d6fe977c56p-190,
      0x1.db31c9bb183e1p-178, 0x0.0000000000001p-1022},
     {-0x1.dcded43b30f66p-185, 0x1.ea596ed3a32a8p-175, -0x1.1c050f0290531p-182,
      0x1.4e14da0f096dap-159, -0x1.58d504540f426p-141, -0x1.bbab204b8157dp-160,
      -0x1.dcded43b30f66p-185, 0x1.0000000000000p+0},
     0x0.0p+0},
    {{-0x1.7989e83a4e629p+81, 0x1.7eb86a81100a1p+91, -0x1.3ac4dfb813921p+84, -0x1.fd4bd679a44ddp+85,
      -0x1.bdaaea01d616fp+82, 0x1.81857dedb9109p+83, 0x1.7989e83a4e629p+81, -0x1.7eb86a811188dp+91},
     {0x1.a887a1b35411bp+94, 0x1.81b62f86664aep+83, -0x1.e1c60d510bb04p+94, -0x1.213bcd644de2fp+74,
      0x1.0e2ec29ca862dp+76, -0x1.4b05eb153d69cp+75, 0x1.a887a1b35411bp+94, 0x1.81b62f86664aep+83},
     0x1.282fbc2e7d78cp+179},
    {{0x1.285412f733b05p-2, 0x1.fc232f8fdd208p-1, -0x1.2ed655b491561p-3, 0x1.a7f0c80b5244ap-3,
      -0x1.d129d43a08f06p-3, 0x1.4cb5905c22d3fp-2, -0x1.285412f733b05p-2, 0x0.0000000000001p-1022},
     {0x1.4363e00ed6b02p-2, 0x1.08d183e940bb4p-2, 0x1.1579d61b2480cp-2, -0x1.c6b7881365accp-3,
      -0x1.9638966465d28p-3, -0x1.95e8c15a0a8aep-1, 0x1.4363e00ed6b02p-2, 0x1.0000000000000p+0},
     -0x1.574745dd45015p-5},
    {{-0x1.e48e9a854c834p-19, 0x1.48bfc26433798p-18, 0x1.b3783bbddbb9bp-7, -0x1.afbc9d38f8c45p-36,
      -0x1.5c575a31a49ddp-97, -0x1.04d2ba0b55864p-30, 0x1.e48e9a854c834p-19,
      -0x1.48bfc26434c24p-18},
     {0x1.537d9c3a9e889p-18, -0x1.d329d0b35b1dep-4, -0x1.8614fe8ee65a1p-14, -0x1.07fa215c891ffp-105,
      0x1.738e0d5f860c3p-39, -0x1.4387e7d42646fp-110, 0x1.537d9c3a9e889p-18, -0x1.d329d0b35b1dep-4},
     -0x1.4bc670b6231a7p-20},
};

static const struct spread_vector spreads[] = {
    {{0x1.11f2dcc35e834p+2, -0x1.86a74a8c7d9e0p-3, 0x1.cf28f408fc146p-3, 0x1.bab5b3c1ae917p+3,
      -0x1.bd6563b1185d9p+2, 0x1.d874b7e736d5fp+0},
     0x1.5dfae4b1cf8e7p+10},
    {{0x1.dcd6500000000p+29, 0x1.dcd65000ccccdp+29, 0x1.dcd650019999ap+29, 0x1.dcd6500266666p+29,
      0x1.dcd6500333333p+29, 0x1.dcd6500400000p+29},
     0x1.0cccca6666700p+0},
    {{-0x1.7d575acfb2d5ep-56, 0x1.7745176f4251ep-53, -0x1.e4c71fe48ef63p-52, -0x1.fa6674fc9e918p-59,
      0x1.4a227047b2c10p-53, -0x1.81b1cd1e4d0a3p-53},
     0x1.ccb29e76f10b1p-100},
    {{0x1.35b7e63087e52p-34, -0x1.171e194db5f8fp-42, 0x1.5c0bbf3e6ca73p-44, 0x1.1cd86e3096619p+30,
      0x1.7f7593b3bf4bfp+2, 0x1.28b88065b8c35p-60},
     0x1.8c2d264615841p+62},
};

/* Bit for bit, so that -0 is not 0. */
static void assert_same(double x, double y) {
    assert_memory_equal(&x, &y, sizeof x);
}

static uint64_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t x = *seed;
    return (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
}

/* Any sign, exponents from 2^-140 to 2^120. */
static double random_double(uint64_t *seed) {
    uint64_t bits = next_random(seed);
    double fraction = 1 + (double)(bits >> 12) * 0x1p-52;
    double x = ldexp(fraction, (int)(next_random(seed) % 261) - 140);
    return bits & 1 ? -x : x;
}

static void sums_are_the_exact_ones_rounded_once(void **state) {
    for (size_t v = 0; v < COUNT(sums); v++) {
        struct mr_exact_sum sum = {0};
        for (int i = 0; i < 8; i++) {
            assert_true(mr_exact_add(&sum, sums[v].a[i]));
        }
        assert_same(mr_exact_value(&sum), sums[v].expected);
    }
}

static void products_are_exact(void **state) {
    for (size_t v = 0; v < COUNT(sum_products); v++) {
        struct mr_exact_sum sum = {0};
        for (int i = 0; i < 8; i++) {
            assert_true(mr_exact_add_product(&sum, sum_products[v].a[i], sum_products[v].b[i]));
        }
        assert_same(mr_exact_value(&sum), sum_products[v].expected);
    }
    for (size_t v = 0; v < COUNT(square_products); v++) {
        struct mr_exact_squares squares = {0};
        for (int i = 0; i < 8; i++) {
            assert_true(mr_exact_squares_add_product(&squares, square_products[v].a[i],
                                                     square_products[v].b[i]));
        }
        assert_same(mr_exact_squares_value(&squares), square_products[v].expected);
    }
}

static void whole_numbers_agree_with_128_bit_integers(void **state) {
    __extension__ typedef __int128 wide;
    uint64_t seed = 1;
    struct mr_exact_sum sum = {0};
    struct mr_exact_squares squares = {0};
    wide expected = 0;
    for (int i = 0; i < 10000; i++) {
        double a = (double)((int64_t)next_random(&seed) >> 20);
        double b = (double)((int64_t)next_random(&seed) >> 30);
        assert_true(mr_exact_add_product(&sum, a, b));
        assert_true(mr_exact_squares_add_product(&squares, a, b));
        assert_true(mr_exact_add(&sum, b));
        assert_true(mr_exact_squares_add(&squares, b));
        expected += (wide)a * (wide)b + (wide)b;
    }
    assert_int_equal(sum.limb[2], (uint64_t)expected);
    assert_int_equal(sum.limb[3], (uint64_t)(expected >> 64));
    assert_int_equal(sum.limb[0] | sum.limb[1], 0);
    assert_int_equal(squares.limb[3], (uint64_t)expected);
    assert_int_equal(squares.limb[4], (uint64_t)(expected >> 64));
}

static void neither_order_nor_grouping_shows(void **state) {
    enum { N = 4096 };
    static double x[N];
    uint64_t seed = 42;
    struct mr_exact_sum forward = {0}, backward = {0}, merged = {0}, parts[7] = {{{0}}};
    for (int i = 0; i < N; i++) {
        x[i] = random_double(&seed);
        mr_exact_add(&forward, x[i]);
        mr_exact_add_product(&forward, x[i] * 0x1p-64, x[0] * 0x1p-64);
    }
    for (int i = N - 1; i >= 0; i--) {
        mr_exact_add_product(&backward, x[0] * 0x1p-64, x[i] * 0x1p-64);
        mr_exact_add(&backward, x[i]);
        mr_exact_add(&parts[i % 7], x[i]);
        mr_exact_add_product(&parts[(i + 3) % 7], x[i] * 0x1p-64, x[0] * 0x1p-64);
    }
    for (int i = 6; i >= 0; i--) {
        mr_exact_merge(&merged, &parts[i]);
    }
    assert_memory_equal(&forward, &backward, sizeof forward);
    assert_memory_equal(&forward, &merged, sizeof forward);
}

static void squares_merge_as_they_add(void **state) {
    uint64_t seed = 5;
    struct mr_exact_squares whole = {0}, left = {0}, right = {0};
    for (int i = 0; i < 2000; i++) {
        double x = random_double(&seed) * 0x1p-30;
        mr_exact_squares_add_product(&whole, x, x);
        mr_exact_squares_add_product(i % 3 ? &left : &right, x, x);
        mr_exact_squares_add(&whole, x);
        mr_exact_squares_add(i % 5 ? &left : &right, x);
    }
    mr_exact_squares_merge(&left, &right);
    assert_memory_equal(&whole, &left, sizeof whole);
}

static void what_is_added_and_taken_away_leaves_zero(void **state) {
    uint64_t seed = 9;
    double x[500];
    struct mr_exact_sum sum = {0}, zero = {0};
    for (int i = 0; i < 500; i++) {
        x[i] = random_double(&seed);
        mr_exact_add(&sum, x[i]);
        mr_exact_add_product(&sum, x[i] * 0x1p-70, 3);
    }
    for (int i = 0; i < 500; i++) {
        mr_exact_add(&sum, -x[i]);
        mr_exact_add_product(&sum, -x[i] * 0x1p-70, 3);
    }
    assert_memory_equal(&sum, &zero, sizeof sum);
    assert_same(mr_exact_value(&sum), 0.0);
}

static void a_term_beyond_the_range_is_refused_and_adds_nothing(void **state) {
    struct mr_exact_sum sum = {0}, zero = {0};
    assert_false(mr_exact_add(&sum, 0x1p127));
    assert_false(mr_exact_add(&sum, -0x1p127));
    assert_false(mr_exact_add(&sum, INFINITY));
    assert_false(mr_exact_add(&sum, NAN));
    assert_false(mr_exact_add(&sum, 1.7976931348623157e308));
    assert_false(mr_exact_add_product(&sum, 0x1p64, 0x1p63));
    assert_false(mr_exact_add_product(&sum, INFINITY, 0));
    assert_false(mr_exact_add_product(&sum, 1e308, 1e308));
    assert_memory_equal(&sum, &zero, sizeof sum);
    assert_true(mr_exact_add(&sum, 0x1.fffffffffffffp126));
    assert_true(mr_exact_add_product(&sum, -0x1.fffffffffffffp63, 0x1.fffffffffffffp62));

    struct mr_exact_squares squares = {0}, none = {0};
    assert_false(mr_exact_squares_add(&squares, 0x1p190));
    assert_false(mr_exact_squares_add_product(&squares, 0x1p95, 0x1p95));
    assert_false(mr_exact_squares_add_product(&squares, NAN, 1));
    assert_memory_equal(&squares, &none, sizeof squares);
    assert_true(mr_exact_squares_add(&squares, 0x1.fffffffffffffp189));
    assert_true(mr_exact_squares_add_product(&squares, 0x1.fffffffffffffp94, -0x1p95));
}

static void a_sum_may_pass_the_range_and_come_back(void **state) {
    struct mr_exact_sum sum = {0};
    for (int i = 0; i < 1000; i++) {
        mr_exact_add(&sum, 0x1p126);
    }
    assert_true(isnan(mr_exact_value(&sum)));
    mr_exact_add(&sum, 1.5);
    for (int i = 0; i < 1000; i++) {
        mr_exact_add(&sum, -0x1p126);
    }
    assert_same(mr_exact_value(&sum), 1.5);
    for (int i = 0; i < 1000; i++) {
        mr_exact_add(&sum, -0x1p126);
    }
    assert_true(isnan(mr_exact_value(&sum)));
}

static void the_range_ends_where_the_header_says(void **state) {
    struct mr_exact_sum sum = {0};
    mr_exact_add(&sum, 0x1p126);
    assert_same(mr_exact_value(&sum), 0x1p126);
    mr_exact_add(&sum, 0x1p126);
    assert_true(isnan(mr_exact_value(&sum)));
    mr_exact_add(&sum, -0x1p-128);
    assert_same(mr_exact_value(&sum), 0x1p127);

    struct mr_exact_squares squares = {0};
    for (int i = 0; i < 4; i++) {
        mr_exact_squares_add(&squares, 0x1p189);
    }
    assert_true(isnan(mr_exact_squares_value(&squares)));
    mr_exact_squares_add(&squares, -0x1p189);
    assert_same(mr_exact_squares_value(&squares), 0x3p189);
}

static void terms_below_the_resolution_are_cut_toward_zero(void **state) {
    struct mr_exact_sum sum = {0}, zero = {0};
    assert_true(mr_exact_add(&sum, 5e-324));
    assert_true(mr_exact_add(&sum, -5e-324));
    assert_true(mr_exact_add(&sum, 0x1.8p-129));
    assert_true(mr_exact_add(&sum, -0x1.8p-129));
    assert_true(mr_exact_add(&sum, 2.2250738585072014e-308));
    assert_true(mr_exact_add_product(&sum, -5e-324, 5e-324));
    assert_true(mr_exact_add(&sum, -0.0));
    assert_memory_equal(&sum, &zero, sizeof sum);
    mr_exact_add(&sum, -0x1.8p-128);
    assert_same(mr_exact_value(&sum), -0x1p-128);
}

static void subnormal_factors_count_in_full(void **state) {
    struct mr_exact_sum sum = {0};
    assert_true(mr_exact_add_product(&sum, 0x3p-1074, -0x1p1000));
    assert_same(mr_exact_value(&sum), -0x3p-74);
}

static void a_sum_is_rounded_to_even_at_the_half(void **state) {
    struct mr_exact_sum sum = {0};
    mr_exact_add(&sum, 0x1p53);
    mr_exact_add(&sum, 1);
    assert_same(mr_exact_value(&sum), 0x1p53);
    mr_exact_add(&sum, 0x1p-100);
    assert_same(mr_exact_value(&sum), 0x1p53 + 2);
    mr_exact_add(&sum, 2);
    mr_exact_add(&sum, -0x1p-100);
    assert_same(mr_exact_value(&sum), 0x1p53 + 4);
}

/* ---- Spread, and the data sets of NIST ----------------------------------------------------- */

static double spread_of(const double *x, size_t n) {
    struct mr_exact_sum sum = {0};
    struct mr_exact_squares squares = {0};
    for (size_t i = 0; i < n; i++) {
        mr_exact_add(&sum, x[i]);
        mr_exact_squares_add_product(&squares, x[i], x[i]);
    }
    return mr_exact_spread(&sum, &squares, n);
}

static void a_spread_is_exact_and_rounded_once(void **state) {
    for (size_t v = 0; v < COUNT(spreads); v++) {
        assert_same(spread_of(spreads[v].x, 6), spreads[v].expected);
    }
}

static void equal_values_have_no_spread(void **state) {
    double x[100];
    for (int i = 0; i < 100; i++) {
        x[i] = 0.1;
    }
    assert_same(spread_of(x, 100), 0.0);
    assert_same(spread_of(x, 0), 0.0);
}

static void a_spread_is_never_negative(void **state) {
    struct mr_exact_sum sum = {0};
    struct mr_exact_squares squares = {0};
    mr_exact_add(&sum, 3);
    assert_same(mr_exact_spread(&sum, &squares, 5), 0.0);
    mr_exact_squares_add(&squares, -1);
    assert_same(mr_exact_spread(&sum, &squares, 5), 0.0);
}

static void a_spread_beyond_the_range_is_no_number(void **state) {
    struct mr_exact_sum sum = {0};
    struct mr_exact_squares squares = {0};
    mr_exact_add(&sum, -0x1p126);
    mr_exact_add(&sum, -0x1p126);
    assert_true(isnan(mr_exact_spread(&sum, &squares, 2)));
    sum = (struct mr_exact_sum){{0}};
    for (int i = 0; i < 4; i++) {
        mr_exact_squares_add(&squares, 0x1p189);
    }
    assert_true(isnan(mr_exact_spread(&sum, &squares, 2)));
    mr_exact_squares_add(&squares, -0x1p189);
    double widest = mr_exact_spread(&sum, &squares, UINT64_MAX);
    assert_same(widest, 0x3p189 * 0x1p64);
}

static void assert_digits(double x, double exact) {
    assert_true(fabs(x - exact) <= 1e-14 * fabs(exact));
}

static void assert_statistics(const double *x, size_t n, double mean, double std) {
    struct mr_exact_sum sum = {0};
    for (size_t i = 0; i < n; i++) {
        mr_exact_add(&sum, x[i]);
    }
    assert_digits(mr_exact_value(&sum) / (double)n, mean);
    assert_digits(sqrt(spread_of(x, n) / ((double)n * (double)(n - 1))), std);
}

/* `first`, then `low` and `high` in turn: 1,001 values. */
static void assert_alternating(double first, double low, double high, double mean, double std) {
    static double x[1001];
    x[0] = first;
    for (int i = 1; i < 1001; i++) {
        x[i] = i % 2 ? low : high;
    }
    assert_statistics(x, 1001, mean, std);
}

static void the_numerical_accuracy_sets_of_nist_come_out(void **state) {
    const double acc1[] = {10000001, 10000003, 10000002};
    assert_statistics(acc1, 3, 10000002, 1);
    assert_alternating(1.2, 1.1, 1.3, 1.20000000000000006650, 0.0999999999999999777955);
    assert_alternating(1000000.2, 1000000.1, 1000000.3, 1000000.20000000001158,
                       0.100000000034924596548);
    assert_alternating(10000000.2, 10000000.1, 10000000.3, 10000000.2000000001853,
                       0.100000000558793544774);
}

static void the_observed_sets_of_nist_come_out(void **state) {
    assert_statistics(lew, COUNT(lew), -177.435, 277.332168044316135765);
    assert_statistics(lottery, COUNT(lottery), 518.958715596330275229, 291.699727470969084239);
    assert_statistics(mavro, COUNT(mavro), 2.00185599999999997323, 0.000429123454003085409285);
    assert_statistics(michelso, COUNT(michelso), 299.852400000000000091, 0.0790105478190506671515);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_exact_ones_rounded_once),
        cmocka_unit_test(products_are_exact),
        cmocka_unit_test(whole_numbers_agree_with_128_bit_integers),
        cmocka_unit_test(neither_order_nor_grouping_shows),
        cmocka_unit_test(squares_merge_as_they_add),
        cmocka_unit_test(what_is_added_and_taken_away_leaves_zero),
        cmocka_unit_test(a_term_beyond_the_range_is_refused_and_adds_nothing),
        cmocka_unit_test(a_sum_may_pass_the_range_and_come_back),
        cmocka_unit_test(the_range_ends_where_the_header_says),
        cmocka_unit_test(terms_below_the_resolution_are_cut_toward_zero),
        cmocka_unit_test(subnormal_factors_count_in_full),
        cmocka_unit_test(a_sum_is_rounded_to_even_at_the_half),
        cmocka_unit_test(a_spread_is_exact_and_rounded_once),
        cmocka_unit_test(equal_values_have_no_spread),
        cmocka_unit_test(a_spread_is_never_negative),
        cmocka_unit_test(a_spread_beyond_the_range_is_no_number),
        cmocka_unit_test(the_numerical_accuracy_sets_of_nist_come_out),
        cmocka_unit_test(the_observed_sets_of_nist_come_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
