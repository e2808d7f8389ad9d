/* A program that is driven line by line: its first word finds the command. */
#ifndef TESTS_KAFKA_COMMANDS_H
#define TESTS_KAFKA_COMMANDS_H

struct command {
    const char *name;           /* NULL: the table ends */
    void (*obey)(char **words); /* four, "" where there is none */
};
/* Takes the line apart and calls its command, which answers; an unknown one is an error. */
void obey(const struct command *commands, char *line);

#endif
