/* table: the list of commands, in order of name. A new command adds its declaration and its line
 * here, then `make docs` renews docs/kitten.1 and packaging/kitten.bash. */
#include "cmd/table.h"

#include "cmd/cmd.h"
#include <stddef.h>

/* clang-format off */
const struct command *const cmd_table[] = {
    &cmd_bench,
    &cmd_bench_floor,
    &cmd_bench_verify,
    &cmd_dump,
    &cmd_fsck,
    &cmd_help,
    &cmd_keys_add,
    &cmd_keys_ls,
    &cmd_keys_rm,
    &cmd_keys_show,
    &cmd_mini,
    &cmd_rebuild_index,
    &cmd_sign,
    &cmd_status,
    &cmd_version,
    NULL,
};
