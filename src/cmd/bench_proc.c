/* bench_proc: reads /proc/PID/stat with stdio; a listed exemption of src/cmd. */
#include "cmd/bench_proc.h"

#include "base/enc.h"
#include "base/err.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int one_cpu_ticks(int pid, double *ret)
{
    char path[64], line[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(KT_ERR_NOT_FOUND, "no process %d", pid);
    const char *got = fgets(line, sizeof(line), f);
    fclose(f);
    /* The name in parentheses may hold blanks: fields are counted from its end. */
    const char *at = got ? strrchr(line, ')') : NULL;
    for (int field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return err_set(KT_ERR_FORMAT, "%s is not as documented", path);
    char *end;
    double user = strtod(at, &end), system = strtod(end, &end);
    *ret = user + system;
    return 0;
}

int proc_cpu_seconds(const int *pids, int n, double *ret)
{
    double sum = 0, ticks;
    for (int i = 0; i < n; i++) {
        int rc = one_cpu_ticks(pids[i], &ticks);
        if (rc < 0)
            return rc;
        sum += ticks;
    }
    *ret = sum / (double)sysconf(_SC_CLK_TCK);
    return 0;
}

int proc_rss_bytes(int pid, uint64_t *ret)
{
    char path[64], line[256];
    int rc = -KT_ERR_FORMAT;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(KT_ERR_NOT_FOUND, "no process %d", pid);
    while (rc < 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, "VmRSS:", 6) == 0) {
            size_t blank = 6 + strspn(line + 6, " \t"), digits = strspn(line + blank, "0123456789");
            uint64_t kib = 0;
            rc = dec_to_u64(slice_of(line + blank, digits), &kib) ? 0 : rc;
            *ret = kib * 1024;
        }
    fclose(f);
    return rc < 0 ? err_set(KT_ERR_FORMAT, "%s has no VmRSS", path) : 0;
}
