/* cli: one command, one const struct, one file; the table of them is in main.c.
 *
 * The table and the option rows of a command drive the parser, the usage line and the help. */
#ifndef ENGINE_CLI_H
#define ENGINE_CLI_H

#include "engine/base/base.h"
#include <millrace/option.h>
#include <stdatomic.h>

enum mr_exit {
    MR_EXIT_OK = 0,
    MR_EXIT_FAILED = 1,
    MR_EXIT_USAGE = 2,          /* the command line is wrong                                  */
    MR_EXIT_CONFIGURATION = 78, /* a job file is wrong (EX_CONFIG of sysexits)                */
};

struct mr_command {
    const char *name;              /* "produce"                                               */
    const char *arguments;         /* "TOPIC [FILE...]"; "": none                             */
    const char *summary;           /* one line, a sentence without its full stop              */
    const struct mr_option *flags; /* --name VALUE or --name=VALUE; a bool takes no value. The
                                      fallback NULL: must be given; "": there is none         */
    size_t flags_size;             /* of the options struct, which starts zeroed              */
    /* argv: what is left when the flags are taken out; argv[argc] is NULL. Tells what is wrong
     * on standard error and returns the exit code. */
    int (*run)(const void *flags, int argc, char **argv);
    const char *details; /* paragraphs below the flags in the help; NULL: none      */
};

/* Finds the command that argv[1] names, reads its flags and runs it. `commands` ends with NULL.
 * Returns the exit code. */
int mr_cli_main(const struct mr_command *const *commands, int argc, char **argv);

/* Prints "millrace: <sentence>" and where the help is; returns MR_EXIT_USAGE. */
int mr_usage_error(const struct mr_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* From here on SIGINT and SIGTERM set the flag instead of ending the process, and interrupt a
 * blocking call; the second one ends it at once. */
const atomic_bool *mr_catch_signals(void);

extern const struct mr_command mr_run_command, mr_validate_command, mr_explain_command,
    mr_test_command, mr_produce_command, mr_tail_command, mr_topics_command;

#endif
