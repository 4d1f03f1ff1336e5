/* settings: the parameter table of conf/ as options of a command.
 *
 * Every parameter is an option --name-with-dashes VALUE; besides there is --config FILE. A command
 * that serves puts
 * `.options = settings_own_options, .more_options = settings_option` into its row and calls
 * settings_load. Rank: command line > environment (KITTEN_NAME) > file > default. Operands of the
 * command, when it takes any, are data directories.
 *
 * Start-up code: one thread, never yields.
 */
#ifndef KT_CMD_SETTINGS_H
#define KT_CMD_SETTINGS_H

#include "cmd/cmd.h"
#include "conf/conf.h"

extern const struct cmd_option settings_own_options[]; /* --config */

/* The i-th parameter as an option, NULL past the last. Static. */
const struct cmd_option *settings_option(size_t i);

/* Defaults, the file named by --config or KITTEN_CONF, the environment, the options; operands
 * become `data`. The caller ends `ret` by conf_done, also after an error. Errors: INVALID,
 * NOT_FOUND, ... each a sentence. */
int settings_load(const struct cmd_args *args, struct conf *ret) KT_MUST_CHECK;

#endif
