/* A directory of its own for a test: made by mkdtemp, removed depth first. */
#include "tests/lib/temp.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

char *mr_temp_create(void) {
    const char *below = getenv("TMPDIR");
    char *path = NULL;
    int length = asprintf(&path, "%s/millrace-test-XXXXXX", below && *below ? below : "/tmp");
    assert(length > 0);
    char *made = mkdtemp(path);
    assert(made);
    return path;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
    return remove(path);
}

void mr_temp_remove(char *path) {
    if (path) {
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(path);
    }
}
