/* The log's contract on Kafka, on a real broker (tests/lib/broker.h). */
#include "tests/lib/log_contract.h"

int main(void) {
    return mr_log_contract_run("kafka");
}
