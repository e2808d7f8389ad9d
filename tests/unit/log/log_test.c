/* The face of the log: URLs and the partitioner. */
#include "tests/lib/log_contract.h"

static void refuse(const char *url, const char *part) {
    struct mr_log *log;
    struct mr_error err;
    assert_int_equal(
        mr_log_open(url, &(struct mr_log_options){.make = true}, &mr_real_clock, &log, &err),
        MR_REJECT);
    assert_null(log);
    mr_assert_says(&err, part);
}

static void an_unknown_scheme_lists_the_known_ones(void **state) {
    refuse("redis:x", "memory:");
    refuse("./data", "expected SCHEME:PATH");
    refuse("", "expected SCHEME:PATH");
    refuse("memor:", "memory:");
}

static void each_memory_log_is_one_of_its_own(void **state) {
    struct mr_log *a, *b;
    struct mr_topic topic;
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &mr_real_clock, &a, NULL),
        MR_OK);
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &mr_real_clock, &b, NULL),
        MR_OK);
    mr_make_topic(a, "t", 1);
    assert_int_equal(mr_log_describe(b, "t", &topic, NULL), MR_REJECT);
    mr_log_close(a);
    mr_log_close(b);
    mr_log_close(NULL);
}

/* org.apache.kafka.common.utils.UtilsTest.testMurmur2; a negative hash loses its sign bit. With
 * 2^31 - 1 partitions nothing of the hash is lost. */
static void keys_go_where_kafkas_java_client_sends_them(void **state) {
    const struct {
        const char *key;
        int32_t murmur2;
    } cases[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t expected = (uint32_t)cases[i].murmur2 & 0x7fffffff;
        assert_int_equal(mr_partition_of(mr_slice_of(cases[i].key), 0x7fffffff, NULL), expected);
        assert_int_equal(mr_partition_of(mr_slice_of(cases[i].key), 7, NULL), expected % 7);
    }
}

static void records_without_a_key_go_round(void **state) {
    uint64_t counter = 0;
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(mr_partition_of((struct mr_slice){0}, 3, &counter), i % 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_scheme_lists_the_known_ones),
        cmocka_unit_test(each_memory_log_is_one_of_its_own),
        cmocka_unit_test(keys_go_where_kafkas_java_client_sends_them),
        cmocka_unit_test(records_without_a_key_go_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
