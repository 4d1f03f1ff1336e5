/* bench_proc: CPU time of processes from their accounting in /proc (proc_pid_stat(5)). */
#ifndef KT_CMD_BENCH_PROC_H
#define KT_CMD_BENCH_PROC_H

#include "base/macros.h"
#include <stdint.h>

/* User and system seconds so far of `n` processes together, threads included. Errors: NOT_FOUND
 * names the one that is gone. Any thread; never yields (procfs does not block). */
int proc_cpu_seconds(const int *pids, int n, double *ret) KT_MUST_CHECK;
/* Resident memory of one process in bytes (VmRSS). */
int proc_rss_bytes(int pid, uint64_t *ret) KT_MUST_CHECK;

#endif
