/* Runs command lines inside the test and keeps what they print. */
#ifndef TESTS_LINE_H
#define TESTS_LINE_H

#include "engine/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define PRINTED 16384

static char out[PRINTED], err[PRINTED];

static inline int capture(int fd, FILE *file, FILE **saved) {
    fflush(file);
    *saved = tmpfile();
    int copy = dup(fd);
    dup2(fileno(*saved), fd);
    return copy;
}

static inline void release(int fd, FILE *file, int copy, FILE *saved, char text[PRINTED]) {
    fflush(file);
    dup2(copy, fd);
    close(copy);
    rewind(saved);
    text[fread(text, 1, PRINTED - 1, saved)] = 0;
    fclose(saved);
}

/* Runs a command line cut at its blanks; what it printed is in `out` and `err`. */
static inline int run_line(const struct mr_command *const *table, const char *text) {
    char words[512], *argv[32] = {"millrace"}, *rest = words;
    snprintf(words, sizeof words, "%s", text);
    int argc = 1;
    for (char *word; (word = strsep(&rest, " "));) {
        if (*word) {
            argv[argc++] = word;
        }
    }
    FILE *saved_out, *saved_err;
    int copy_out = capture(1, stdout, &saved_out), copy_err = capture(2, stderr, &saved_err);
    int code = mr_cli_main(table, argc, argv);
    release(2, stderr, copy_err, saved_err, err);
    release(1, stdout, copy_out, saved_out, out);
    return code;
}

#endif
