/* The log's contract on the embedded log. */
#include "tests/lib/log_contract.h"

int main(void) {
    return mr_log_contract_run("local");
}
