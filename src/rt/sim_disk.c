/* sim_disk: the disk calls of the seam on simulated disks, with their faults.
 *
 * Happy path: check that the machine runs and the disk is whole, count the call when it persists
 * something, do it on the images of sim_inode.c. Failure modes: the armed fault of the n-th
 * persisting call, rates per call, a broken disk, a full one; after a cut every call fails without
 * effect. */
#include "rt/sim_priv.h"

#include "base/assert.h"
#include "base/buf.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Counts a persisting call and says what shall happen to it. `rate_ppm` is its own chance of -EIO.
 */
static enum sim_fault persist_begin(struct sim *s, uint32_t rate_ppm)
{
    s->calls++;
    enum sim_fault what = SIM_FAULT_NONE;
    if (s->fault != SIM_FAULT_NONE && s->calls == s->fail_at) {
        what = s->fault;
        s->fired = true;
    } else if (sim_draw_chance(s, SIM_RNG_DISK, rate_ppm)) {
        what = SIM_FAULT_EIO;
    }
    if (what == SIM_FAULT_CUT_BEFORE)
        sim_cut(s, SIM_POWER_CUT);
    return what;
}

/* The call's result, unless the machine went down with it. */
static ssize_t persist_end(struct sim *s, enum sim_fault what, ssize_t result)
{
    if (what == SIM_FAULT_CUT_AFTER)
        sim_cut(s, SIM_POWER_CUT);
    if (what == SIM_FAULT_KILL_AFTER)
        sim_cut(s, SIM_KILLED);
    return s->state == SIM_RUNNING ? result : -EIO;
}

static bool fails(enum sim_fault what)
{
    return what == SIM_FAULT_EIO || what == SIM_FAULT_ENOSPC || what == SIM_FAULT_CUT_BEFORE;
}

static bool usable(const struct sim *s, const struct sim_dir *d)
{
    return s->state == SIM_RUNNING && !d->broken;
}

static uint64_t dir_used(const struct sim *s, const struct sim_dir *d)
{
    uint64_t n = 0;
    list_for_each(it, &s->inodes)
    {
        const struct sim_inode *f = list_entry(it, struct sim_inode, all);
        if (f->dir == d && (f->links > 0 || f->opens > 0))
            n += sim_inode_cost(f->cache_size);
    }
    return n;
}

static uint64_t dir_free(const struct sim *s, const struct sim_dir *d)
{
    uint64_t used = dir_used(s, d);
    return d->capacity > used ? d->capacity - used : 0;
}

/* ---- directories ---- */

static int sim_dir_open(void *self, const char *path, bool create)
{
    struct sim *s = self;
    struct sim_dir *d = sim_dir_find(s, path);
    if (s->state != SIM_RUNNING)
        return -EIO;
    if (d == NULL && !create)
        return -ENOENT;
    if (d == NULL) {
        size_t len = strlen(path);
        if (len >= SIM_PATH_MAX)
            return -ENAMETOOLONG;
        d = mem_zalloc(sizeof(*d));
        memcpy(d->path, path, len);
        d->capacity = s->opt.capacity_bytes;
        list_push_back(&s->dirs, &d->all);
    }
    return (int)sim_log(s, "dir_open", 0, create, sim_handle_new(s, HANDLE_DIR, d));
}

static struct sim_dir *get_dir(struct sim *s, int handle)
{
    struct sim_handle *h = sim_handle_get(s, handle, HANDLE_DIR);
    kt_assert(h != NULL); /* a stale handle is a bug of the program under test */
    return h->dir;
}

static int sim_dir_sync(void *self, int dir)
{
    struct sim *s = self;
    struct sim_dir *d = get_dir(s, dir);
    if (!usable(s, d))
        return -EIO;
    enum sim_fault what = persist_begin(s, s->opt.sync_eio_ppm);
    s->counts.dir_syncs++;
    if (fails(what)) {
        s->counts.failed_syncs++;
        return (int)sim_log(s, "dir_sync", d->nops, what, -EIO);
    }
    sim_names_copy(&d->durable, &d->now);
    d->nops = 0;
    sim_disk_collect(s);
    return (int)sim_log(s, "dir_sync", 0, 0, persist_end(s, what, 0));
}

static int sim_dir_list(void *self, int dir, void (*each)(void *arg, const char *name), void *arg)
{
    struct sim *s = self;
    struct sim_dir *d = get_dir(s, dir);
    if (!usable(s, d))
        return -EIO;
    size_t n = d->now.n, start = n ? (size_t)sim_draw_below(s, SIM_RNG_DISK, n) : 0;
    for (size_t i = 0; i < n; i++)
        each(arg, d->now.v[(start + i) % n].name);
    return (int)sim_log(s, "dir_list", n, start, 0);
}

static int sim_dir_space(void *self, int dir, uint64_t *ret_total, uint64_t *ret_free)
{
    struct sim *s = self;
    struct sim_dir *d = get_dir(s, dir);
    if (!usable(s, d))
        return -EIO;
    *ret_total = d->capacity;
    *ret_free = dir_free(s, d);
    return (int)sim_log(s, "dir_space", *ret_total, *ret_free, 0);
}

static void dir_change(struct sim *s, struct sim_dir *d, const char *from, const char *to,
                       struct sim_inode *f)
{
    if (d->nops == d->ops_cap) {
        d->ops_cap = d->ops_cap ? 2 * d->ops_cap : 16;
        d->ops = mem_realloc(d->ops, d->ops_cap * sizeof(*d->ops));
    }
    struct sim_dir_op *op = &d->ops[d->nops++];
    *op = (struct sim_dir_op){.inode = f};
    memcpy(op->from, from, strlen(from));
    memcpy(op->to, to, strlen(to));
    if (sim_printing())
        fprintf(stderr, "             %s: \"%s\" -> \"%s\" inode %u\n", d->path, from, to, f->id);
    sim_dir_apply(&d->now, op);
    sim_dir_recount(s, d);
}

/* ---- opening and closing ---- */

static int create_file(struct sim *s, struct sim_dir *d, const char *name, struct sim_inode **ret)
{
    enum sim_fault what = persist_begin(s, s->opt.write_eio_ppm);
    if (what == SIM_FAULT_NONE && sim_draw_chance(s, SIM_RNG_DISK, s->opt.no_space_ppm))
        what = SIM_FAULT_ENOSPC;
    if (what == SIM_FAULT_ENOSPC || (what == SIM_FAULT_NONE && dir_free(s, d) < 4096)) {
        s->counts.no_space++;
        return -ENOSPC;
    }
    if (fails(what))
        return -EIO;
    s->counts.creates++;
    *ret = sim_inode_new(s, d);
    dir_change(s, d, "", name, *ret);
    return (int)persist_end(s, what, 0);
}

static int sim_file_open(void *self, int dir, const char *name, unsigned flags, unsigned mode)
{
    (void)mode;
    struct sim *s = self;
    struct sim_dir *d = get_dir(s, dir);
    if (!usable(s, d))
        return -EIO;
    if (strlen(name) >= SIM_NAME_MAX || strchr(name, '/') != NULL)
        return -EINVAL;
    struct sim_inode *f = sim_name_find(&d->now, name);
    if (f != NULL && (flags & RT_O_CREATE) && (flags & RT_O_EXCL))
        return -EEXIST;
    if (f == NULL) {
        if (!(flags & RT_O_CREATE))
            return -ENOENT;
        int rc = create_file(s, d, name, &f);
        if (rc < 0)
            return (int)sim_log(s, "create", 0, flags, rc);
    }
    int handle = sim_handle_new(s, HANDLE_FILE, f);
    if (handle >= 0) {
        sim_handle_get(s, handle, HANDLE_FILE)->flags = flags;
        f->opens++;
    }
    return (int)sim_log(s, "open", f->id, flags, handle);
}

int sim_disk_close(struct sim *s, int handle)
{
    struct sim_handle *h = sim_handle_get(s, handle, HANDLE_FILE);
    if (h != NULL) {
        if (h->inode->locked_by == handle)
            h->inode->locked_by = 0;
        h->inode->opens--;
    } else {
        kt_assert(sim_handle_get(s, handle, HANDLE_DIR) != NULL); /* closed twice */
    }
    sim_handle_free(s, handle);
    return 0;
}

static int sim_file_close(void *self, int handle)
{
    return sim_disk_close(self, handle);
}

static struct sim_handle *get_file(struct sim *s, int handle)
{
    struct sim_handle *h = sim_handle_get(s, handle, HANDLE_FILE);
    kt_assert(h != NULL);
    return h;
}

/* ---- reading ---- */

static size_t iov_len(const struct iovec *iov, int n)
{
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    return len;
}

static bool aligned(const struct iovec *iov, int n, uint64_t off)
{
    for (int i = 0; i < n; i++) {
        if ((uintptr_t)iov[i].iov_base % 4096 != 0 || iov[i].iov_len % 4096 != 0)
            return false;
    }
    return off % 4096 == 0;
}

static bool read_fails(struct sim *s, const struct sim_inode *f, uint64_t off, size_t len)
{
    bool planned = ++s->reads == s->fail_read_at;
    bool bad = f->bad_len > 0 && off < f->bad_off + f->bad_len && f->bad_off < off + len;
    return planned || bad || sim_draw_chance(s, SIM_RNG_DISK, s->opt.read_eio_ppm);
}

static ssize_t copy_out(const struct sim_inode *f, const struct iovec *iov, uint64_t off,
                        size_t len, bool direct)
{
    size_t done = 0;
    for (int i = 0; done < len; i++) {
        size_t part = KT_MIN(iov[i].iov_len, len - done);
        sim_inode_read(f, off + done, iov[i].iov_base, part, direct);
        done += part;
    }
    return (ssize_t)done;
}

static ssize_t sim_file_preadv(void *self, int file, const struct iovec *iov, int n, uint64_t off)
{
    struct sim *s = self;
    struct sim_handle *h = get_file(s, file);
    struct sim_inode *f = h->inode;
    if (!usable(s, f->dir))
        return -EIO;
    bool direct = (h->flags & RT_O_DIRECT) != 0;
    if (!(h->flags & RT_O_READ))
        return -EBADF;
    if (off >= f->cache_size)
        return sim_log(s, "pread", f->id, off, 0);
    if (direct && !aligned(iov, n, off))
        return -EINVAL;
    size_t len = iov_len(iov, n);
    s->counts.reads++;
    if (read_fails(s, f, off, len)) {
        s->counts.failed_reads++;
        return sim_log(s, "pread", f->id, off, -EIO);
    }
    len = (size_t)KT_MIN((uint64_t)len, f->cache_size - off);
    size_t unit = direct ? 4096 : 1;
    if (len > unit && sim_draw_chance(s, SIM_RNG_DISK, s->opt.short_read_ppm)) {
        s->counts.short_reads++;
        len = (size_t)(sim_draw_below(s, SIM_RNG_DISK, (len - 1) / unit) + 1) * unit;
    }
    return sim_log(s, "pread", f->id, off, copy_out(f, iov, off, len, direct));
}

static ssize_t sim_file_preadv_nowait(void *self, int file, const struct iovec *iov, int n,
                                      uint64_t off)
{
    struct sim *s = self;
    struct sim_inode *f = get_file(s, file)->inode;
    if (!usable(s, f->dir))
        return -EIO;
    if (f->bad_len > 0 || sim_draw_chance(s, SIM_RNG_DISK, s->opt.cold_ppm))
        return sim_log(s, "pread_nowait", f->id, off, -EAGAIN);
    return sim_file_preadv(self, file, iov, n, off);
}

/* ---- writing ---- */

static void copy_in(struct sim_inode *f, const struct iovec *iov, uint64_t off, size_t len)
{
    size_t done = 0;
    for (int i = 0; done < len; i++) {
        size_t part = KT_MIN(iov[i].iov_len, len - done);
        sim_inode_write(f, off + done, iov[i].iov_base, part);
        done += part;
    }
}

/* How many of `len` bytes at `off` fit on the disk. */
static size_t fitting(const struct sim *s, const struct sim_inode *f, uint64_t off, size_t len)
{
    uint64_t have = sim_inode_cost(f->cache_size);
    uint64_t end = have + dir_free(s, f->dir) / 4096 * 4096;
    if (off >= end)
        return 0;
    return (size_t)KT_MIN((uint64_t)len, end - off);
}

static ssize_t sim_file_pwritev(void *self, int file, const struct iovec *iov, int n, uint64_t off)
{
    struct sim *s = self;
    struct sim_handle *h = get_file(s, file);
    struct sim_inode *f = h->inode;
    if (!usable(s, f->dir))
        return -EIO;
    if (!(h->flags & RT_O_WRITE))
        return -EBADF;
    if ((h->flags & RT_O_DIRECT) && !aligned(iov, n, off))
        return -EINVAL;
    size_t len = iov_len(iov, n);
    enum sim_fault what = persist_begin(s, s->opt.write_eio_ppm);
    s->counts.writes++;
    if (what == SIM_FAULT_CUT_BEFORE)
        return sim_log(s, "pwrite", f->id, off, -EIO);
    if (what == SIM_FAULT_EIO) { /* a part of it may be in the cache */
        s->counts.failed_writes++;
        copy_in(f, iov, off, (size_t)sim_draw_below(s, SIM_RNG_DISK, len + 1));
        return sim_log(s, "pwrite", f->id, off, -EIO);
    }
    if (what == SIM_FAULT_NONE && sim_draw_chance(s, SIM_RNG_DISK, s->opt.no_space_ppm))
        what = SIM_FAULT_ENOSPC;
    size_t fit = what == SIM_FAULT_ENOSPC ? 0 : fitting(s, f, off, len);
    if (fit < len && fit == 0) {
        s->counts.no_space++;
        return sim_log(s, "pwrite", f->id, off, -ENOSPC);
    }
    bool cut_short =
        what == SIM_FAULT_SHORT || sim_draw_chance(s, SIM_RNG_DISK, s->opt.short_write_ppm);
    if (cut_short && fit > 1) {
        s->counts.short_writes++;
        fit = 1 + (size_t)sim_draw_below(s, SIM_RNG_DISK, fit - 1);
    }
    copy_in(f, iov, off, fit);
    return sim_log(s, "pwrite", f->id, off, persist_end(s, what, (ssize_t)fit));
}

static int sim_file_sync(void *self, int file)
{
    struct sim *s = self;
    struct sim_inode *f = get_file(s, file)->inode;
    if (!usable(s, f->dir))
        return -EIO;
    enum sim_fault what = persist_begin(s, s->opt.sync_eio_ppm);
    s->counts.syncs++;
    if (what == SIM_FAULT_EIO || what == SIM_FAULT_ENOSPC) {
        s->counts.failed_syncs++;
        sim_inode_lose(s, f);
        return (int)sim_log(s, "sync", f->id, what, -EIO);
    }
    if (what != SIM_FAULT_CUT_BEFORE)
        sim_inode_sync(f);
    return (int)sim_log(s, "sync", f->id, what, persist_end(s, what, 0));
}

static int sim_file_truncate(void *self, int file, uint64_t size)
{
    struct sim *s = self;
    struct sim_inode *f = get_file(s, file)->inode;
    if (!usable(s, f->dir))
        return -EIO;
    enum sim_fault what = persist_begin(s, s->opt.write_eio_ppm);
    s->counts.truncates++;
    if (fails(what))
        return (int)sim_log(s, "truncate", f->id, size, -EIO);
    if (size > f->cache_size &&
        sim_inode_cost(size) - sim_inode_cost(f->cache_size) > dir_free(s, f->dir))
        return (int)sim_log(s, "truncate", f->id, size, -ENOSPC);
    sim_inode_resize(f, size);
    return (int)sim_log(s, "truncate", f->id, size, persist_end(s, what, 0));
}

/* ---- the rest ---- */

static int sim_file_advise(void *self, int file, uint64_t off, uint64_t len, int advice)
{
    struct sim_inode *f = get_file(self, file)->inode;
    if (advice == RT_ADVISE_DONTNEED && f->cap > 0)
        sim_inode_evict(f, off, len);
    return 0;
}

static int sim_file_lock(void *self, int file)
{
    struct sim *s = self;
    struct sim_inode *f = get_file(s, file)->inode;
    if (s->state != SIM_RUNNING)
        return -EIO;
    if (f->locked_by != 0 && f->locked_by != file)
        return -EWOULDBLOCK;
    f->locked_by = file;
    return 0;
}

static int sim_file_stat(void *self, int file, struct rt_stat *ret)
{
    struct sim *s = self;
    const struct sim_inode *f = get_file(s, file)->inode;
    if (!usable(s, f->dir))
        return -EIO;
    *ret = (struct rt_stat){.size = f->cache_size, .allocated = sim_inode_cost(f->cache_size)};
    return (int)sim_log(s, "stat", f->id, f->cache_size, 0);
}

static int sim_file_rename(void *self, int dir, const char *from, const char *to)
{
    struct sim *s = self;
    struct sim_dir *d = get_dir(s, dir);
    if (!usable(s, d))
        return -EIO;
    if (strlen(to) >= SIM_NAME_MAX)
        return -ENAMETOOLONG;
    struct sim_inode *f = sim_name_find(&d->now, from);
    if (f == NULL)
        return -ENOENT;
    enum sim_fault what = persist_begin(s, s->opt.write_eio_ppm);
    s->counts.renames++;
    if (fails(what))
        return (int)sim_log(s, "rename", f->id, what, what == SIM_FAULT_ENOSPC ? -ENOSPC : -EIO);
    dir_change(s, d, from, to, f);
    return (int)sim_log(s, "rename", f->id, what, persist_end(s, what, 0));
}

static int sim_file_unlink(void *self, int dir, const char *name)
{
    struct sim *s = self;
    struct sim_dir *d = get_dir(s, dir);
    if (!usable(s, d))
        return -EIO;
    struct sim_inode *f = sim_name_find(&d->now, name);
    if (f == NULL)
        return -ENOENT;
    enum sim_fault what = persist_begin(s, s->opt.write_eio_ppm);
    s->counts.unlinks++;
    if (fails(what))
        return (int)sim_log(s, "unlink", f->id, what, -EIO);
    dir_change(s, d, name, "", f);
    return (int)sim_log(s, "unlink", f->id, what, persist_end(s, what, 0));
}

void sim_disk_ops(struct rt_backend *ops)
{
    ops->dir_open = sim_dir_open;
    ops->dir_sync = sim_dir_sync;
    ops->dir_list = sim_dir_list;
    ops->dir_space = sim_dir_space;
    ops->file_open = sim_file_open;
    ops->file_preadv = sim_file_preadv;
    ops->file_preadv_nowait = sim_file_preadv_nowait;
    ops->file_pwritev = sim_file_pwritev;
    ops->file_datasync = sim_file_sync;
    ops->file_sync = sim_file_sync;
    ops->file_truncate = sim_file_truncate;
    ops->file_advise = sim_file_advise;
    ops->file_lock = sim_file_lock;
    ops->file_stat = sim_file_stat;
    ops->file_rename = sim_file_rename;
    ops->file_unlink = sim_file_unlink;
    ops->file_close = sim_file_close;
}
