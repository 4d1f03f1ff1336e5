/* machine: what this process may use of the machine it runs on.
 *
 * In a container the host's memory is not ours: the limit is that of the cgroup (v2 or v1), or the
 * machine's memory when there is none below it. Start-up code: reads files of /proc and /sys
 * directly (a listed exemption), never fails, never yields. */
#ifndef KT_CONF_MACHINE_H
#define KT_CONF_MACHINE_H

#include "base/slice.h"
#include <stdint.h>

uint64_t machine_memory_bytes(void);
/* The value of a memory.max file: UINT64_MAX for "max" and for what can't be read. */
uint64_t machine_limit_of(struct slice text);

#endif
