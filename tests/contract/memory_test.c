/* The log's contract on the memory log, and what it shares with the embedded one. */
#include "tests/lib/log_contract.h"

int main(void) {
    return mr_log_contract_run("memory") + mr_log_embedded_run("memory");
}
