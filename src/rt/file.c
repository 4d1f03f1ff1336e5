/* file: files and directories for fibers.
 *
 * Happy path of a read: preadv with RWF_NOWAIT on the loop; what the page cache holds costs no
 * thread switch. What it does not hold, and every end of file (some kernels say 0 where they mean
 * "not now"), is read again on a worker. Everything that changes the disk is an urgent job.
 *
 * Failure modes: reads map EIO to IO and a file that is too short to EOF; writes stop at the first
 * error, also after a short write; nothing is ever retried after an error.
 */
#include "rt/rt_priv.h"

#include "base/fault.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

enum { IOV_BATCH = 1024, DIRECT_UNIT = 512 };

static int name_check(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > 255 || strchr(name, '/') || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return err_set(KT_ERR_INVALID, "file name \"%.80s\": must be one plain component", name);
    return 0;
}

/* ---- directories ---- */

struct dir_args {
    int dir;
    const char *path, *to;
    bool create;
    unsigned flags, mode;
    void (*each)(void *arg, const char *name);
    void *each_arg;
    uint64_t total, free;
};

static int job_dir_open(void *arg)
{
    const struct dir_args *a = arg;
    int rc = be()->dir_open(be()->self, a->path, a->create);
    return rc < 0 ? err_sys(-rc, "open directory %s", a->path) : rc;
}

int rt_dir_open(const char *path, bool create)
{
    struct dir_args a = {.path = path, .create = create};
    return offload_urgent(job_dir_open, &a);
}

static int job_dir_sync(void *arg)
{
    const struct dir_args *a = arg;
    int rc = be()->dir_sync(be()->self, a->dir);
    return rc < 0 ? err_sys(-rc, "sync a directory") : 0;
}

int rt_dir_sync(int dir)
{
    struct dir_args a = {.dir = dir};
    return offload_urgent(job_dir_sync, &a);
}

static int job_dir_list(void *arg)
{
    const struct dir_args *a = arg;
    int rc = be()->dir_list(be()->self, a->dir, a->each, a->each_arg);
    return rc < 0 ? err_sys(-rc, "list a directory") : 0;
}

int rt_dir_list(int dir, void (*each)(void *arg, const char *name), void *arg)
{
    struct dir_args a = {.dir = dir, .each = each, .each_arg = arg};
    return offload_urgent(job_dir_list, &a);
}

static int job_dir_space(void *arg)
{
    struct dir_args *a = arg;
    int rc = be()->dir_space(be()->self, a->dir, &a->total, &a->free);
    return rc < 0 ? err_sys(-rc, "read a file system's space") : 0;
}

int rt_dir_space(int dir, uint64_t *ret_total, uint64_t *ret_free)
{
    struct dir_args a = {.dir = dir};
    int rc = offload_urgent(job_dir_space, &a);
    if (rc == 0) {
        *ret_total = a.total;
        *ret_free = a.free;
    }
    return rc;
}

static int job_file_open(void *arg)
{
    const struct dir_args *a = arg;
    int rc = be()->file_open(be()->self, a->dir, a->path, a->flags, a->mode);
    if (rc == -ELOOP || rc == -EMLINK || rc == -EPERM)
        return err_set(KT_ERR_DENIED,
                       "open %s: not a regular file with one link (links, devices and pipes "
                       "are refused in a data directory)",
                       a->path);
    return rc < 0 ? err_sys(-rc, "open %s", a->path) : rc;
}

int rt_file_open(int dir, const char *name, unsigned flags, unsigned mode)
{
    int rc = name_check(name);
    if (rc < 0)
        return rc;
    struct dir_args a = {.dir = dir, .path = name, .flags = flags, .mode = mode};
    return offload_urgent(job_file_open, &a);
}

static int job_rename(void *arg)
{
    const struct dir_args *a = arg;
    int rc = be()->file_rename(be()->self, a->dir, a->path, a->to);
    return rc < 0 ? err_sys(-rc, "rename %s to %s", a->path, a->to) : 0;
}

int rt_file_rename(int dir, const char *from, const char *to)
{
    int rc = name_check(from);
    if (rc == 0)
        rc = name_check(to);
    if (rc < 0)
        return rc;
    struct dir_args a = {.dir = dir, .path = from, .to = to};
    return offload_urgent(job_rename, &a);
}

static int job_unlink(void *arg)
{
    const struct dir_args *a = arg;
    int rc = be()->file_unlink(be()->self, a->dir, a->path);
    return rc < 0 ? err_sys(-rc, "remove %s", a->path) : 0;
}

int rt_file_unlink(int dir, const char *name)
{
    int rc = name_check(name);
    if (rc < 0)
        return rc;
    struct dir_args a = {.dir = dir, .path = name};
    return offload_urgent(job_unlink, &a);
}

/* ---- reading ---- */

struct read_args {
    int file;
    char *p;
    size_t len, done;
    uint64_t off;
};

/* Reads until full, the end of the file or an error. Returns 0 or -errno; progress in a->done. */
static int read_on(struct read_args *a,
                   ssize_t (*preadv)(void *, int, const struct iovec *, int, uint64_t),
                   bool *ret_end)
{
    *ret_end = false;
    while (a->done < a->len) {
        struct iovec v = {a->p + a->done, a->len - a->done};
        ssize_t n = preadv(be()->self, a->file, &v, 1, a->off + a->done);
        if (n == -EINTR)
            continue;
        /* A direct read stops at the end of the file, between two alignments. When the file has
         * grown since, going on from there is refused; what was read is what there was. */
        if (n == 0 || (n == -EINVAL && a->done % DIRECT_UNIT != 0)) {
            *ret_end = true;
            return 0;
        }
        if (n < 0)
            return (int)n;
        a->done += (size_t)n;
        if (BUG(SHORT_READ_EOF) && (size_t)n < v.iov_len) {
            *ret_end = true;
            return 0;
        }
    }
    return 0;
}

static int job_read(void *arg)
{
    struct read_args *a = arg;
    bool end;
    int rc = read_on(a, be()->file_preadv, &end);
    return rc < 0 ? err_sys(-rc, "read %zu bytes at %lu", a->len, (unsigned long)a->off) : 0;
}

ssize_t rt_file_pread_some(int file, void *p, size_t len, uint64_t off)
{
    kt_assert(rt_may_yield());
    kt_assert(len <= SSIZE_MAX);
    struct read_args a = {.file = file, .p = p, .len = len, .off = off};
    bool end;
    int rc = read_on(&a, be()->file_preadv_nowait, &end);
    if (rc == 0 && !end) {
        stat_add(&loop_self->stat_read_hits, 1);
        return (ssize_t)a.done;
    }
    stat_add(&loop_self->stat_read_offloads, 1);
    rc = rt_offload(job_read, &a);
    return rc < 0 ? rc : (ssize_t)a.done;
}

int rt_file_pread(int file, void *p, size_t len, uint64_t off)
{
    ssize_t n = rt_file_pread_some(file, p, len, off);
    if (n < 0)
        return (int)n;
    if ((size_t)n < len)
        return err_set(KT_ERR_EOF, "read %zu bytes at %lu: the file ends after %zd", len,
                       (unsigned long)off, n);
    return 0;
}

/* ---- writing ---- */

struct write_args {
    int file;
    struct iovec *iov;
    int n;
    uint64_t off;
    bool sync;
};

static int write_all(struct write_args *a)
{
    while (a->n > 0) {
        if (a->iov->iov_len == 0) {
            a->iov++;
            a->n--;
            continue;
        }
        ssize_t n =
            be()->file_pwritev(be()->self, a->file, a->iov, KT_MIN(a->n, IOV_BATCH), a->off);
        if (n == -EINTR)
            continue;
        if (n == 0)
            return err_set(KT_ERR_IO, "write at %lu: the system took no bytes",
                           (unsigned long)a->off);
        if (n < 0)
            return err_sys((int)-n, "write at %lu", (unsigned long)a->off);
        a->off += (uint64_t)n;
        for (size_t left = (size_t)n; left > 0;) {
            size_t take = KT_MIN(left, a->iov->iov_len);
            a->iov->iov_base = (char *)a->iov->iov_base + take;
            a->iov->iov_len -= take;
            left -= take;
            if (a->iov->iov_len == 0) {
                a->iov++;
                a->n--;
            }
        }
    }
    return 0;
}

static int job_write(void *arg)
{
    struct write_args *a = arg;
    int rc = write_all(a);
    if (rc < 0 || !a->sync)
        return rc;
    rc = be()->file_datasync(be()->self, a->file);
    return rc < 0 ? err_sys(-rc, "sync a file's data") : 0;
}

int rt_file_pwritev_sync(int file, struct iovec *iov, int n, uint64_t off, bool sync)
{
    struct write_args a = {.file = file, .iov = iov, .n = n, .off = off, .sync = sync};
    return offload_urgent(job_write, &a);
}

int rt_file_pwritev(int file, struct iovec *iov, int n, uint64_t off)
{
    return rt_file_pwritev_sync(file, iov, n, off, false);
}

struct file_args {
    int file;
    uint64_t size;
};

static int job_datasync(void *arg)
{
    const struct file_args *a = arg;
    int rc = be()->file_datasync(be()->self, a->file);
    return rc < 0 ? err_sys(-rc, "sync a file's data") : 0;
}

int rt_file_datasync(int file)
{
    struct file_args a = {.file = file};
    return offload_urgent(job_datasync, &a);
}

static int job_sync(void *arg)
{
    const struct file_args *a = arg;
    int rc = be()->file_sync(be()->self, a->file);
    return rc < 0 ? err_sys(-rc, "sync a file") : 0;
}

int rt_file_sync(int file)
{
    struct file_args a = {.file = file};
    return offload_urgent(job_sync, &a);
}

static int job_truncate(void *arg)
{
    const struct file_args *a = arg;
    int rc = be()->file_truncate(be()->self, a->file, a->size);
    return rc < 0 ? err_sys(-rc, "set a file's size to %lu", (unsigned long)a->size) : 0;
}

int rt_file_truncate(int file, uint64_t size)
{
    struct file_args a = {.file = file, .size = size};
    return offload_urgent(job_truncate, &a);
}

/* ---- calls that never block ---- */

int rt_file_advise(int file, uint64_t off, uint64_t len, int advice)
{
    int rc = be()->file_advise(be()->self, file, off, len, advice);
    return rc < 0 ? err_sys(-rc, "advise on a file") : 0;
}

int rt_file_lock(int file)
{
    int rc = be()->file_lock(be()->self, file);
    if (rc == -EWOULDBLOCK)
        return err_set(KT_ERR_LOCKED, "the lock is held by another process");
    return rc < 0 ? err_sys(-rc, "lock a file") : 0;
}

int rt_file_stat(int file, struct rt_stat *ret)
{
    int rc = be()->file_stat(be()->self, file, ret);
    return rc < 0 ? err_sys(-rc, "stat a file") : 0;
}

void rt_file_close(int handle)
{
    if (handle >= 0)
        be()->file_close(be()->self, handle);
}

/* ---- names ---- */

struct resolve_args {
    const char *host;
    uint16_t port;
    struct rt_addr addr;
};

static int job_resolve(void *arg)
{
    struct resolve_args *a = arg;
    int rc = be()->resolve(be()->self, a->host, a->port, &a->addr);
    return rc < 0 ? err_sys(-rc, "resolve \"%s\"", a->host) : 0;
}

int rt_resolve(const char *host, uint16_t port, struct rt_addr *ret)
{
    struct resolve_args a = {.host = host, .port = port};
    int rc = rt_offload(job_resolve, &a);
    if (rc == 0)
        *ret = a.addr;
    return rc;
}
