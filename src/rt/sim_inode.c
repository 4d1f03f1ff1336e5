/* sim_inode: contents of one simulated file and tables of names; no faults, no counting.
 *
 * A file has two images, the page cache's and the disk's, and a state per 512-byte sector. Writing
 * changes the cache and makes sectors dirty; syncing copies dirty sectors to the disk image. Bytes
 * of `cache` past its size are kept zero, so that growing a file shows zeros. */
#include "rt/sim_priv.h"

#include "base/assert.h"
#include "base/buf.h"
#include <string.h>

struct sim_inode *sim_inode_new(struct sim *s, struct sim_dir *dir)
{
    struct sim_inode *f = mem_zalloc(sizeof(*f));
    f->dir = dir;
    f->trunc_to = UINT64_MAX;
    f->id = ++s->next_inode;
    list_push_back(&s->inodes, &f->all);
    return f;
}

void sim_inode_free(struct sim_inode *f)
{
    list_remove(&f->all);
    mem_free(f->cache);
    mem_free(f->disk);
    mem_free(f->state);
    mem_free(f);
}

uint64_t sim_inode_cost(uint64_t size)
{
    return (size + 4095) & ~(uint64_t)4095;
}

static uint8_t *grow(uint8_t *p, uint64_t from, uint64_t to)
{
    p = mem_realloc(p, to);
    memset(p + from, 0, to - from);
    return p;
}

static void reserve(struct sim_inode *f, uint64_t size)
{
    if (size <= f->cap)
        return;
    uint64_t cap = KT_MAX(f->cap * 2, (size + 4095) & ~(uint64_t)4095);
    f->cache = grow(f->cache, f->cap, cap);
    f->disk = grow(f->disk, f->cap, cap);
    f->state = grow(f->state, f->cap / SIM_SECTOR, cap / SIM_SECTOR);
    f->cap = cap;
}

void sim_inode_write(struct sim_inode *f, uint64_t off, const uint8_t *p, size_t len)
{
    if (len == 0)
        return;
    reserve(f, off + len);
    memcpy(f->cache + off, p, len);
    for (uint64_t i = off / SIM_SECTOR; i <= (off + len - 1) / SIM_SECTOR; i++)
        f->state[i] = SECTOR_DIRTY;
    f->cache_size = KT_MAX(f->cache_size, off + len);
}

/* A direct read writes dirty sectors back first, so it differs from a buffered one only where a
 * failed sync lost bytes. [off, off + len) lies within the size. */
void sim_inode_read(const struct sim_inode *f, uint64_t off, uint8_t *p, size_t len, bool direct)
{
    if (len == 0)
        return;
    memcpy(p, f->cache + off, len);
    if (!direct)
        return;
    for (uint64_t i = off / SIM_SECTOR; i <= (off + len - 1) / SIM_SECTOR; i++) {
        if (f->state[i] == SECTOR_DIRTY)
            continue;
        uint64_t from = KT_MAX(off, i * SIM_SECTOR), to = KT_MIN(off + len, (i + 1) * SIM_SECTOR);
        memcpy(p + (from - off), f->disk + from, to - from);
    }
}

void sim_inode_resize(struct sim_inode *f, uint64_t size)
{
    reserve(f, size);
    if (size < f->cache_size) {
        uint64_t end = (f->cache_size + SIM_SECTOR - 1) / SIM_SECTOR * SIM_SECTOR;
        memset(f->cache + size, 0, end - size);
        if (size % SIM_SECTOR != 0)
            f->state[size / SIM_SECTOR] = SECTOR_DIRTY;
        for (uint64_t i = (size + SIM_SECTOR - 1) / SIM_SECTOR; i < end / SIM_SECTOR; i++)
            f->state[i] = SECTOR_CLEAN;
        f->trunc_to = KT_MIN(f->trunc_to, size);
    }
    f->cache_size = size;
}

/* Frees the disk blocks past an unsynced truncation; later writes there are dirty and follow. */
static void apply_truncation(struct sim_inode *f)
{
    if (f->trunc_to < f->cap)
        memset(f->disk + f->trunc_to, 0, f->cap - f->trunc_to);
    f->trunc_to = UINT64_MAX;
}

void sim_inode_sync(struct sim_inode *f)
{
    apply_truncation(f);
    for (uint64_t i = 0; i < f->cap / SIM_SECTOR; i++) {
        if (f->state[i] == SECTOR_DIRTY)
            memcpy(f->disk + i * SIM_SECTOR, f->cache + i * SIM_SECTOR, SIM_SECTOR);
        f->state[i] = SECTOR_CLEAN;
    }
    f->disk_size = f->cache_size;
}

/* A failed sync: most dirty sectors never reach the disk, yet all are clean now. The size is still
 * to be written (metadata goes through the journal). */
void sim_inode_lose(struct sim *s, struct sim_inode *f)
{
    apply_truncation(f);
    for (uint64_t i = 0; i < f->cap / SIM_SECTOR; i++) {
        if (f->state[i] == SECTOR_DIRTY) {
            if (sim_draw_chance(s, SIM_RNG_DISK, 250000))
                memcpy(f->disk + i * SIM_SECTOR, f->cache + i * SIM_SECTOR, SIM_SECTOR);
            else
                s->counts.sectors_lost++;
        }
        f->state[i] = SECTOR_CLEAN;
    }
}

void sim_inode_evict(struct sim_inode *f, uint64_t off, uint64_t len)
{
    uint64_t end = len == 0 || off + len > f->cap ? f->cap : off + len;
    for (uint64_t i = (off + SIM_SECTOR - 1) / SIM_SECTOR; (i + 1) * SIM_SECTOR <= end; i++) {
        if (f->state[i] == SECTOR_CLEAN)
            memcpy(f->cache + i * SIM_SECTOR, f->disk + i * SIM_SECTOR, SIM_SECTOR);
    }
    if (f->cap > f->cache_size)
        memset(f->cache + f->cache_size, 0, f->cap - f->cache_size);
}

/* ---- names ---- */

struct sim_dir *sim_dir_find(struct sim *s, const char *path)
{
    list_for_each(it, &s->dirs)
    {
        struct sim_dir *d = list_entry(it, struct sim_dir, all);
        if (strcmp(d->path, path) == 0)
            return d;
    }
    return NULL;
}

void sim_dir_recount(struct sim *s, struct sim_dir *d)
{
    list_for_each(it, &s->inodes)
    {
        struct sim_inode *f = list_entry(it, struct sim_inode, all);
        if (f->dir == d)
            f->links = 0;
    }
    for (size_t i = 0; i < d->now.n; i++)
        d->now.v[i].inode->links++;
}

static size_t name_index(const struct sim_names *names, const char *name)
{
    size_t i = 0;
    while (i < names->n && strcmp(names->v[i].name, name) != 0)
        i++;
    return i;
}

struct sim_inode *sim_name_find(const struct sim_names *names, const char *name)
{
    size_t i = name_index(names, name);
    return i < names->n ? names->v[i].inode : NULL;
}

/* Names `f`, or removes the name when f is NULL. */
void sim_name_set(struct sim_names *names, const char *name, struct sim_inode *f)
{
    size_t i = name_index(names, name);
    if (f == NULL) {
        if (i < names->n)
            names->v[i] = names->v[--names->n];
        return;
    }
    if (i == names->n) {
        if (names->n == names->cap) {
            names->cap = names->cap ? 2 * names->cap : 16;
            names->v = mem_realloc(names->v, names->cap * sizeof(*names->v));
        }
        names->n++;
        size_t len = strlen(name);
        kt_assert(len < SIM_NAME_MAX);
        memcpy(names->v[i].name, name, len + 1);
    }
    names->v[i].inode = f;
}

void sim_names_copy(struct sim_names *to, const struct sim_names *from)
{
    if (to->cap < from->n) {
        to->cap = from->n;
        to->v = mem_realloc(to->v, to->cap * sizeof(*to->v));
    }
    if (from->n > 0)
        memcpy(to->v, from->v, from->n * sizeof(*to->v));
    to->n = from->n;
}

void sim_dir_apply(struct sim_names *names, const struct sim_dir_op *op)
{
    /* in a reordered subset the source may be missing or another file: a rename moves its own file
     * only */
    if (op->from[0] != '\0' && sim_name_find(names, op->from) == op->inode)
        sim_name_set(names, op->from, NULL);
    if (op->to[0] != '\0')
        sim_name_set(names, op->to, op->inode);
}
