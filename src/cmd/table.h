/* table: declares each command of the program; one file per command defines it, table.c lists it.
 * The struct and its rules: cmd/cmd.h. */
#ifndef KT_CMD_TABLE_H
#define KT_CMD_TABLE_H

#include "cmd/cmd.h"

extern const struct command cmd_bench;        /* bench.c */
extern const struct command cmd_bench_floor;  /* bench_floor.c */
extern const struct command cmd_bench_verify; /* bench.c */
extern const struct command cmd_keys_add, cmd_keys_ls, cmd_keys_rm, cmd_keys_show; /* keys.c */
extern const struct command cmd_mini;                                              /* mini.c */
extern const struct command cmd_sign;                                              /* sign.c */
extern const struct command cmd_status;                                            /* status.c */
extern const struct command cmd_dump;                                              /* dump.c */
extern const struct command cmd_fsck;                                              /* fsck.c */
extern const struct command cmd_rebuild_index;                                     /* rebuild.c */
extern const struct command cmd_help;                                              /* help.c */
extern const struct command cmd_version;                                           /* version.c */

#endif
