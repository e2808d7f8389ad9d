/* A real Kafka broker for a test program. */
#ifndef TESTS_LIB_BROKER_H
#define TESTS_LIB_BROKER_H

/* Its address. MILLRACE_TEST_BROKERS names one that is there; else scripts/broker starts one, at
 * the first call, which is gone when the program ends. When there is none, ends the program with a
 * sentence. Run it from the root of the tree. */
const char *mr_test_brokers(void);

#endif
