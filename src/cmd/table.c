/* table: the list of commands, in order of name. A new command adds its declaration and its line
 * here, then `make docs` renews docs/kitten.1 and packaging/kitten.bash. */
#include "cmd/table.h"

#include "cmd/cmd.h"
#include <stddef.h>

const struct command *const cmd_table[] = {
    &cmd_help,
    &cmd_version,
    NULL,
};
