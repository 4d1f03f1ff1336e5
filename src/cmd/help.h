/* help: texts made from the command table: overview, one command, man page, bash completion.
 *
 * All write to a stdio stream and depend on nothing but the table, so that the committed
 * docs/kitten.1 and packaging/kitten.bash can be compared byte for byte with what the program
 * prints. */
#ifndef KT_CMD_HELP_H
#define KT_CMD_HELP_H

#include "cmd/cmd.h"

/* The list of commands. */
void help_overview(FILE *out);
/* Synopsis, text, options with defaults, examples of one command. */
void help_command(FILE *out, const struct command *c);
/* kitten(1) in man macros (groff_man(7)). */
void help_man(FILE *out);
/* A completion script for bash: commands, their options, files elsewhere. */
void help_bash(FILE *out);

#endif
