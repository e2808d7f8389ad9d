/* The command table and nothing else: a command is one file in cli/ and one line here. */
#include "engine/cli/cli.h"

/* clang-format off */
static const struct mr_command *const commands[] = {
    &mr_run_command,     &mr_validate_command, &mr_explain_command, &mr_test_command,
    &mr_produce_command, &mr_tail_command,     &mr_topics_command,  NULL,
};
/* clang-format on */

int main(int argc, char **argv) {
    return mr_cli_main(commands, argc, argv);
}
