/* The command line: which command, with which flags.
 *
 *   millrace COMMAND [--flag VALUE | --flag=VALUE | --switch | ARGUMENT]... [-- ARGUMENT...]
 *
 * Flags and arguments may stand in any order. Nothing is guessed: no abbreviations, no flag given
 * twice, no unknown flag; the nearest name is only suggested. "-" is an argument (standard input).
 * Help goes to standard output when it was asked for, else to standard error.
 *
 * Not getopt_long: its table would be a second list of the flags, and it knows no types. */
#include "engine/cli/cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 64

static const struct mr_command *find_command(const struct mr_command *const *commands,
                                             const char *name) {
    for (; *commands; commands++) {
        if (strcmp((*commands)->name, name) == 0) {
            return *commands;
        }
    }
    return NULL;
}

static const struct mr_option *find_flag(const struct mr_option *flags, struct mr_slice name) {
    for (; flags && flags->name; flags++) {
        if (mr_slice_equal(mr_slice_of(flags->name), name)) {
            return flags;
        }
    }
    return NULL;
}

/* ---- Help ---------------------------------------------------------------------------------- */
static const char *placeholder(const struct mr_option *flag) {
    switch (flag->type) {
    case MR_OPTION_BOOL:
        return "";
    case MR_OPTION_NUMBER:
        return " N";
    case MR_OPTION_SHARE:
        return " SHARE";
    case MR_OPTION_DURATION:
        return " DURATION";
    case MR_OPTION_SIZE:
        return " SIZE";
    case MR_OPTION_CHOICE:
        return " ";
    default:
        return " VALUE";
    }
}

/* A fallback of nothing or zero says "not given" and is no news. */
static bool has_default(const struct mr_option *flag) {
    return flag->type != MR_OPTION_BOOL && flag->fallback[0] && strcmp(flag->fallback, "0") != 0 &&
           strcmp(flag->fallback, "0s") != 0;
}

static void print_flag(const struct mr_option *flag, FILE *out) {
    char left[80];
    snprintf(left, sizeof left, "--%s%s%s", flag->name, placeholder(flag),
             flag->type == MR_OPTION_CHOICE ? flag->choices : "");
    fprintf(out, "  %-28s %s", left, flag->help);
    if (!flag->fallback) {
        fputs(" (must be given)", out);
    } else if (has_default(flag)) {
        fprintf(out, " (default %s)", flag->fallback);
    }
    fputc('\n', out);
}

static void print_help(const struct mr_command *command, FILE *out) {
    fprintf(out, "%s.\n\nUsage: millrace %s%s%s%s\n", command->summary, command->name,
            command->arguments[0] ? " " : "", command->arguments,
            command->flags ? " [FLAG...]" : "");
    if (command->flags) {
        fputs("\nFlags:\n", out);
        for (const struct mr_option *flag = command->flags; flag->name; flag++) {
            print_flag(flag, out);
        }
    }
    if (command->details) {
        fprintf(out, "\n%s\n", command->details);
    }
}

static void print_usage(const struct mr_command *const *commands, FILE *out) {
    fputs("Millrace computes windowed statistics of streams, as job files say.\n\n"
          "Usage: millrace COMMAND [FLAG...] [ARGUMENT...]\n\nCommands:\n",
          out);
    for (; *commands; commands++) {
        fprintf(out, "  %-10s %s\n", (*commands)->name, (*commands)->summary);
    }
    fputs("\n`millrace help COMMAND` tells the rest of it.\n"
          "Exit codes: 0 ok, 1 failed, 2 wrong command line, 78 bad job file or properties.\n",
          out);
}

int mr_usage_error(const struct mr_command *command, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "millrace: %s\n", text);
    if (command) {
        fprintf(stderr, "Usage: millrace %s%s%s; see `millrace help %s`\n", command->name,
                command->arguments[0] ? " " : "", command->arguments, command->name);
    } else {
        fputs("`millrace help` lists the commands\n", stderr);
    }
    return MR_EXIT_USAGE;
}

/* ---- Flags --------------------------------------------------------------------------------- */
struct parse {
    const struct mr_command *command;
    void *values;
    struct mr_arena *arena;
    bool given[NAMES_MAX]; /* flag by flag          */
    char **left;           /* the arguments, so far */
    int left_count;
};

static int unknown_flag(const struct mr_command *command, struct mr_slice name) {
    const char *names[NAMES_MAX + 1] = {0};
    for (size_t i = 0; command->flags && command->flags[i].name && i < NAMES_MAX; i++) {
        names[i] = command->flags[i].name;
    }
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(name.length < 63 ? name.length : 63), name.data);
    const char *nearest = mr_nearest(word, names);
    if (nearest) {
        return mr_usage_error(command, "unknown flag --%s; did you mean --%s?", word, nearest);
    }
    return mr_usage_error(command, "unknown flag --%s", word);
}

/* Stores one flag. `*value` is the text after it, when it takes one that was not joined by '='. */
static int take_flag(struct parse *parse, const char *text, const char *next, bool *used_next) {
    const char *equals = strchr(text, '=');
    struct mr_slice name = {text, equals ? (size_t)(equals - text) : strlen(text)};
    const struct mr_option *flag = find_flag(parse->command->flags, name);
    if (!flag) {
        return unknown_flag(parse->command, name);
    }
    bool *given = &parse->given[flag - parse->command->flags];
    if (*given) {
        return mr_usage_error(parse->command, "--%s is given twice", flag->name);
    }
    *given = true;
    const char *value = equals ? equals + 1 : next;
    if (!equals && next && strncmp(next, "--", 2) == 0) {
        value = NULL; /* `--key --log X` is a slip; a value that begins so is written with '=' */
    }
    if (flag->type == MR_OPTION_BOOL) {
        if (equals) {
            return mr_usage_error(parse->command, "--%s takes no value", flag->name);
        }
        value = "true";
    } else {
        *used_next = !equals;
    }
    if (!value) {
        return mr_usage_error(parse->command, "--%s needs a value", flag->name);
    }
    struct mr_error err = {{0}};
    if (mr_option_parse(flag, mr_slice_of(value), parse->values, parse->arena, &err) != MR_OK) {
        return mr_usage_error(parse->command, "--%s %s: %s", flag->name, value, err.text);
    }
    return MR_EXIT_OK;
}

static int take_all(struct parse *parse, int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            for (i++; i < argc; i++) {
                parse->left[parse->left_count++] = argv[i];
            }
        } else if (strncmp(argv[i], "--", 2) == 0) {
            bool used_next = false;
            int code = take_flag(parse, argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL, &used_next);
            if (code != MR_EXIT_OK) {
                return code;
            }
            i += used_next;
        } else if (argv[i][0] == '-' && argv[i][1]) {
            return mr_usage_error(parse->command, "unknown flag %s; flags have long names",
                                  argv[i]);
        } else {
            parse->left[parse->left_count++] = argv[i];
        }
    }
    for (size_t i = 0; parse->command->flags && parse->command->flags[i].name; i++) {
        if (!parse->command->flags[i].fallback && !parse->given[i]) {
            return mr_usage_error(parse->command, "--%s must be given",
                                  parse->command->flags[i].name);
        }
    }
    return MR_EXIT_OK;
}

static int run_command(const struct mr_command *command, int argc, char **argv) {
    struct parse parse = {.command = command, .arena = mr_arena_create()};
    parse.values = mr_allocate(command->flags_size ? command->flags_size : 1);
    parse.left = mr_allocate_array((size_t)argc + 1, char *);
    if (command->flags) {
        mr_option_defaults(command->flags, parse.values, parse.arena);
    }
    int code = take_all(&parse, argc, argv);
    if (code == MR_EXIT_OK) {
        code = command->run(parse.values, parse.left_count, parse.left);
    }
    free(parse.left);
    free(parse.values);
    mr_arena_destroy(parse.arena);
    return code;
}

/* ---- Dispatch ------------------------------------------------------------------------------ */
static bool is_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool asks_for_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_help(argv[i])) {
            return true;
        }
    }
    return false;
}

static int unknown_command(const struct mr_command *const *commands, const char *word) {
    const char *names[NAMES_MAX + 1] = {0};
    for (size_t i = 0; commands[i] && i < NAMES_MAX; i++) {
        names[i] = commands[i]->name;
    }
    const char *nearest = mr_nearest(word, names);
    return nearest ? mr_usage_error(NULL, "unknown command %s; did you mean %s?", word, nearest)
                   : mr_usage_error(NULL, "unknown command %s", word);
}

/* What was printed must have arrived: a full disk behind standard output is a failure. */
static int flushed(int code) {
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == MR_EXIT_OK) {
        fputs("millrace: cannot write to standard output\n", stderr);
        return MR_EXIT_FAILED;
    }
    return code;
}

/* A standard stream that was closed would be the next file that is opened: rows for the terminal
 * would go into a database. Now they meet an error. */
static void keep_standard_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) {
            abort();
        }
    }
}

int mr_cli_main(const struct mr_command *const *commands, int argc, char **argv) {
    keep_standard_streams();
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        print_usage(commands, stderr);
        return MR_EXIT_USAGE;
    }
    bool help = strcmp(word, "help") == 0;
    if (is_help(word) || (help && argc == 2)) {
        print_usage(commands, stdout);
        return flushed(MR_EXIT_OK);
    }
    if (strcmp(word, "--version") == 0) {
        puts("millrace " MILLRACE_VERSION);
        return flushed(MR_EXIT_OK);
    }
    word = help ? argv[2] : word;
    const struct mr_command *command = find_command(commands, word);
    if (!command) {
        return unknown_command(commands, word);
    }
    if (help || asks_for_help(argc - 2, argv + 2)) {
        print_help(command, stdout);
        return flushed(MR_EXIT_OK);
    }
    return flushed(run_command(command, argc - 2, argv + 2));
}
