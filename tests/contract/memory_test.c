/* The log's contract on the memory log. */
#include "tests/lib/log_contract.h"

int main(void) {
    return mr_log_contract_run("memory");
}
