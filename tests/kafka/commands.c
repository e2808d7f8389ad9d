/* See commands.h. */
#include "tests/kafka/commands.h"

#include <stdio.h>
#include <string.h>

void obey(const struct command *commands, char *line) {
    char none[] = "", *words[4] = {none, none, none, none}, *rest = NULL;
    char *word = strtok_r(line, " \n", &rest);
    for (int i = 0; i < 4 && word; i++, word = strtok_r(NULL, " \n", &rest)) {
        words[i] = word;
    }
    for (; commands->name; commands++) {
        if (strcmp(words[0], commands->name) == 0) {
            commands->obey(words);
            return;
        }
    }
    puts("error: no such command");
}
