/* sim_inspect: how tests look at simulated disks, and damage them. */
#include "rt/sim_priv.h"

#include "base/buf.h"
#include <stdlib.h>
#include <string.h>

static struct sim_inode *find_file(struct sim *s, const char *path, const char *name)
{
    struct sim_dir *d = sim_dir_find(s, path);
    return d == NULL ? NULL : sim_name_find(&d->now, name);
}

void sim_disk_break(struct sim *s, const char *path, bool broken)
{
    struct sim_dir *d = sim_dir_find(s, path);
    if (d != NULL)
        d->broken = broken;
}

void sim_disk_capacity(struct sim *s, const char *path, uint64_t bytes)
{
    struct sim_dir *d = sim_dir_find(s, path);
    if (d != NULL)
        d->capacity = bytes;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sim_entry *)a)->name, ((const struct sim_entry *)b)->name);
}

void sim_disk_each(struct sim *s, const char *path, void (*each)(void *arg, const char *name),
                   void *arg)
{
    struct sim_dir *d = sim_dir_find(s, path);
    if (d == NULL || d->now.n == 0)
        return;
    struct sim_names copy = {0};
    sim_names_copy(&copy, &d->now); /* each() may remove files */
    qsort(copy.v, copy.n, sizeof(*copy.v), by_name);
    for (size_t i = 0; i < copy.n; i++)
        each(arg, copy.v[i].name);
    mem_free(copy.v);
}

int64_t sim_file_size(struct sim *s, const char *path, const char *name)
{
    const struct sim_inode *f = find_file(s, path, name);
    return f == NULL ? -1 : (int64_t)f->cache_size;
}

bool sim_file_read(struct sim *s, const char *path, const char *name, uint64_t off, void *p,
                   size_t len)
{
    const struct sim_inode *f = find_file(s, path, name);
    if (f == NULL || off > f->cache_size || len > f->cache_size - off)
        return false;
    sim_inode_read(f, off, p, len, false);
    return true;
}

bool sim_file_poke(struct sim *s, const char *path, const char *name, uint64_t off, const void *p,
                   size_t len)
{
    struct sim_inode *f = find_file(s, path, name);
    if (f == NULL || off > f->cache_size || len > f->cache_size - off)
        return false;
    if (len > 0) {
        memcpy(f->cache + off, p, len);
        memcpy(f->disk + off, p, len);
    }
    return true;
}

bool sim_file_flip_bit(struct sim *s, const char *path, const char *name, uint64_t off,
                       unsigned bit)
{
    struct sim_inode *f = find_file(s, path, name);
    if (f == NULL || off >= f->cache_size)
        return false;
    f->cache[off] ^= (uint8_t)(1u << (bit % 8));
    f->disk[off] ^= (uint8_t)(1u << (bit % 8));
    return true;
}

bool sim_file_resize(struct sim *s, const char *path, const char *name, uint64_t size)
{
    struct sim_inode *f = find_file(s, path, name);
    if (f == NULL)
        return false;
    sim_inode_resize(f, size);
    sim_inode_sync(f);
    return true;
}

bool sim_file_remove(struct sim *s, const char *path, const char *name)
{
    struct sim_dir *d = sim_dir_find(s, path);
    if (d == NULL || sim_name_find(&d->now, name) == NULL)
        return false;
    sim_name_set(&d->now, name, NULL);
    sim_name_set(&d->durable, name, NULL);
    sim_dir_recount(s, d);
    return true;
}

bool sim_file_copy(struct sim *s, const char *path, const char *from, const char *to_path,
                   const char *to)
{
    struct sim_inode *f = find_file(s, path, from);
    struct sim_dir *d = sim_dir_find(s, to_path);
    if (f == NULL || d == NULL)
        return false;
    struct sim_inode *copy = sim_inode_new(s, d);
    sim_inode_write(copy, 0, f->cache, f->cache_size);
    sim_inode_sync(copy);
    sim_name_set(&d->now, to, copy);
    sim_name_set(&d->durable, to, copy);
    sim_dir_recount(s, d);
    return true;
}

bool sim_file_bad_range(struct sim *s, const char *path, const char *name, uint64_t off,
                        uint64_t len)
{
    struct sim_inode *f = find_file(s, path, name);
    if (f == NULL)
        return false;
    f->bad_off = off;
    f->bad_len = len;
    return true;
}
