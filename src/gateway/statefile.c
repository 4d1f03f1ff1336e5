/* statefile: tmp, fsync, rename, fsync of the directory. An error at any step leaves the old file
 * in place; the tmp file of a failed try is overwritten by the next. */
#include "gateway/statefile.h"

#include "rt/rt.h"
#include <stdio.h>

int statefile_read(int dir, const char *name, struct buf *out)
{
    int f = rt_file_open(dir, name, RT_O_READ, 0);
    if (f < 0)
        return f;
    struct rt_stat st;
    int rc = rt_file_stat(f, &st);
    if (rc >= 0 && st.size > out->max - out->len)
        rc = err_set(KT_ERR_TOO_LARGE, "%s has %llu bytes", name, (unsigned long long)st.size);
    if (rc >= 0)
        rc = buf_reserve(out, (size_t)st.size);
    if (rc >= 0 && st.size) {
        rc = rt_file_pread(f, out->p + out->len, (size_t)st.size, 0);
        if (rc >= 0)
            out->len += (size_t)st.size;
    }
    rt_file_close(f);
    return rc < 0 ? err_wrap(rc, "read %s", name) : 0;
}

static int write_tmp(int dir, const char *tmp, struct slice text)
{
    int f = rt_file_open(dir, tmp, RT_O_WRITE | RT_O_CREATE, 0600);
    if (f < 0)
        return f;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text.p, .iov_len = text.len};
    int rc = rt_file_truncate(f, 0);
    if (rc >= 0 && text.len)
        rc = rt_file_pwritev(f, &iov, 1, 0);
    if (rc >= 0)
        rc = rt_file_sync(f);
    rt_file_close(f);
    return rc;
}

int statefile_write(int dir, const char *name, struct slice text)
{
    char tmp[64];
    snprintf(tmp, sizeof(tmp), "%s.tmp", name);
    int rc = write_tmp(dir, tmp, text);
    if (rc >= 0)
        rc = rt_file_rename(dir, tmp, name);
    if (rc >= 0)
        rc = rt_dir_sync(dir);
    return rc < 0 ? err_wrap(rc, "write %s", name) : 0;
}
