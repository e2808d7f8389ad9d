/* A broker for a test program: given, or started by scripts/broker and killed at the end. */
#include "tests/lib/broker.h"

#include "engine/base/base.h"
#include "tests/lib/temp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;
static char address[256];

static void kill_broker(void) {
    char *command;
    if (asprintf(&command, "scripts/broker kill --dir %s", folder) < 0 || system(command) != 0) {
        fprintf(stderr, "the broker in %s still runs\n", folder);
        return;
    }
    free(command);
    mr_temp_remove(folder);
}

static void start_broker(void) {
    char *command;
    folder = mr_temp_create();
    if (asprintf(&command, "scripts/broker start --dir %s", folder) < 0) {
        abort();
    }
    FILE *output = popen(command, "r");
    bool told = output && fgets(address, sizeof address, output);
    int how = output ? pclose(output) : -1;
    free(command);
    atexit(kill_broker);
    if (!told || how != 0) {
        fprintf(stderr,
                "this test needs a Kafka broker: \"scripts/broker start\" has said above why "
                "there is none (it needs Java; scripts/setup --kafka installs it); or name "
                "one that runs, MILLRACE_TEST_BROKERS=127.0.0.1:9092\n");
        exit(1);
    }
    address[strcspn(address, "\n")] = '\0';
}

const char *mr_test_brokers(void) {
    const char *given = getenv("MILLRACE_TEST_BROKERS");
    if (given && *given) {
        return given;
    }
    if (!address[0]) {
        start_broker();
    }
    return address;
}
