/* MurmurHash3 x64 128, its first 64 bits, against published vectors and postgresql-hll. */
#include "operators/aggregates/murmur3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_hash(const char *text, uint64_t hash) {
    size_t length = strlen(text);
    char *exact = malloc(length + 1); /* so that a read beyond it is noticed */
    memcpy(exact + 1, text, length);
    assert_int_equal(mr_murmur3(exact + 1, length), hash);
    free(exact);
}

static void texts_hash_as_others_hash_them(void **state) {
    assert_hash("", 0);
    assert_hash("abc", UINT64_C(0xb4963f3f3fad7867));
    assert_hash("hello", UINT64_C(0xcbd8a7b341bd9b02));
    assert_hash("The quick brown fox jumps over the lazy dog", UINT64_C(0xe34bbc7bbc071b6c));
}

/* As hll_hash_text of postgresql-hll 2.16 gave them: every length of the last round, and beyond. */
static void every_length_of_the_tail_hashes_as_in_postgresql(void **state) {
    static const int64_t hashes[] = {
        INT64_C(0),
        INT64_C(3083240331115144064),
        INT64_C(7250318944307867790),
        INT64_C(-3573335766539617317),
        INT64_C(1122932861426696788),
        INT64_C(1082240882612060097),
        INT64_C(-8592682110383420889),
        INT64_C(1435416519508424614),
        INT64_C(-9064053233843489459),
        INT64_C(5484970180828674234),
        INT64_C(4581940570640870180),
        INT64_C(5459465340194096681),
        INT64_C(7364840649933077671),
        INT64_C(6823790006015202078),
        INT64_C(550741065919493914),
        INT64_C(-6472281833689111727),
        INT64_C(5467490433528156583),
        INT64_C(-8200385122730116642),
        INT64_C(-4246381367331849496),
        INT64_C(-5963469865952720057),
        INT64_C(-1961249309345799171),
        INT64_C(48783950100570842),
        INT64_C(5144422125101471925),
        INT64_C(2676151329905207234),
        INT64_C(3840371032910966138),
        INT64_C(344535466764418310),
        INT64_C(-6153249011313433231),
        INT64_C(4541646684555425035),
        INT64_C(9133352268884628372),
        INT64_C(3338015846553035337),
        INT64_C(4642915498977426120),
        INT64_C(-5176755778284026558),
        INT64_C(3398067961920877047),
        INT64_C(-1720348946041925336),
    };
    static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t n = 0; n < sizeof hashes / sizeof hashes[0]; n++) {
        char part[sizeof text] = "";
        memcpy(part, text, n);
        assert_hash(part, (uint64_t)hashes[n]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_hash_as_others_hash_them),
        cmocka_unit_test(every_length_of_the_tail_hashes_as_in_postgresql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
