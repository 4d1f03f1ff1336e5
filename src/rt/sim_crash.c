/* sim_crash: what a power cut leaves of files and directories.
 *
 * Each unsynced sector decides for itself whether it reached the disk whole, not at all, in part,
 * or as garbage. An unsynced size change happened, did not, or (appends) stopped between. Directory
 * operations since the last dir_sync survive as a prefix, or as any subset in order. */
#include "rt/sim_priv.h"

#include "base/buf.h"
#include <stdio.h>
#include <string.h>

/* Garbage where the bytes were to change. Bytes of the sector that stay the same are safe
 * ("powersafe overwrite"), as every log that appends within a sector has to assume. */
static void garble(struct sim *s, uint8_t *disk, const uint8_t *cache)
{
    size_t from = 0, to = SIM_SECTOR;
    while (from < to && disk[from] == cache[from])
        from++;
    while (to > from && disk[to - 1] == cache[to - 1])
        to--;
    for (; from < to; from++)
        disk[from] = (uint8_t)sim_draw(s, SIM_RNG_DISK);
}

/* Shares in percent: kept 45, lost 35, torn 15, garbage 5. */
static void crash_sector(struct sim *s, struct sim_inode *f, uint64_t i)
{
    uint8_t *disk = f->disk + i * SIM_SECTOR;
    const uint8_t *cache = f->cache + i * SIM_SECTOR;
    uint64_t dice = sim_draw_below(s, SIM_RNG_DISK, 100);
    if (dice < 45) {
        memcpy(disk, cache, SIM_SECTOR);
        s->counts.sectors_kept++;
    } else if (dice < 80) {
        s->counts.sectors_lost++;
    } else if (dice < 95) {
        uint64_t at = sim_draw_below(s, SIM_RNG_DISK, SIM_SECTOR);
        if (sim_draw_chance(s, SIM_RNG_DISK, 500000))
            memcpy(disk, cache, at);
        else
            memcpy(disk + at, cache + at, SIM_SECTOR - at);
        s->counts.sectors_torn++;
    } else {
        garble(s, disk, cache);
        s->counts.sectors_torn++;
    }
}

/* Whole, none or a mix of the dirty sectors; pure cases come up often because bugs hide there too.
 */
static void crash_sectors(struct sim *s, struct sim_inode *f)
{
    uint64_t dice = sim_draw_below(s, SIM_RNG_DISK, 8);
    for (uint64_t i = 0; i < f->cap / SIM_SECTOR; i++) {
        if (f->state[i] != SECTOR_DIRTY)
            continue;
        if (dice == 0)
            memcpy(f->disk + i * SIM_SECTOR, f->cache + i * SIM_SECTOR, SIM_SECTOR);
        else if (dice > 1)
            crash_sector(s, f, i);
    }
}

static uint64_t crash_size(struct sim *s, const struct sim_inode *f)
{
    uint64_t dice = sim_draw_below(s, SIM_RNG_DISK, 10);
    if (dice < 3 || f->disk_size == f->cache_size)
        return f->disk_size;
    if (dice < 8 || f->cache_size < f->disk_size)
        return f->cache_size;
    return f->disk_size + sim_draw_below(s, SIM_RNG_DISK, f->cache_size - f->disk_size);
}

static void inode_crash(struct sim *s, struct sim_inode *f)
{
    if (f->cap == 0)
        return;
    bool shrunk = f->trunc_to < f->disk_size;
    if (shrunk && sim_draw_chance(s, SIM_RNG_DISK, 500000)) {
        /* the truncation never happened: what lies past it is as it was; sectors below follow their
         * own dice */
        for (uint64_t i = (f->trunc_to + SIM_SECTOR - 1) / SIM_SECTOR; i < f->cap / SIM_SECTOR; i++)
            f->state[i] = SECTOR_CLEAN;
        crash_sectors(s, f);
    } else {
        if (shrunk) {
            memset(f->disk + f->trunc_to, 0, f->cap - f->trunc_to);
            f->disk_size = f->trunc_to;
        }
        crash_sectors(s, f);
        f->disk_size = crash_size(s, f);
    }
    if (f->cap > f->disk_size)
        memset(f->disk + f->disk_size, 0, f->cap - f->disk_size);
    memset(f->state, SECTOR_CLEAN, f->cap / SIM_SECTOR);
    memcpy(f->cache, f->disk, f->cap);
    f->cache_size = f->disk_size;
    f->trunc_to = UINT64_MAX;
}

static void dir_crash(struct sim *s, struct sim_dir *d)
{
    bool subset = s->opt.dir_reorder && sim_draw_chance(s, SIM_RNG_DISK, 300000);
    size_t keep = d->nops == 0 ? 0 : (size_t)sim_draw_below(s, SIM_RNG_DISK, d->nops + 1);
    for (size_t i = 0; i < d->nops; i++) {
        bool kept = subset ? sim_draw_chance(s, SIM_RNG_DISK, 500000) : i < keep;
        if (sim_printing())
            fprintf(stderr, "             %s: \"%s\" -> \"%s\" %s\n", d->path, d->ops[i].from,
                    d->ops[i].to, kept ? "kept" : "lost");
        if (kept)
            sim_dir_apply(&d->durable, &d->ops[i]);
        else
            s->counts.dir_ops_lost++;
    }
    d->nops = 0;
    sim_names_copy(&d->now, &d->durable);
}

static void mark_names(struct sim_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        names->v[i].inode->marked = true;
}

void sim_disk_collect(struct sim *s)
{
    list_for_each(it, &s->dirs)
    {
        struct sim_dir *d = list_entry(it, struct sim_dir, all);
        mark_names(&d->now);
        mark_names(&d->durable);
        for (size_t i = 0; i < d->nops; i++)
            d->ops[i].inode->marked = true;
    }
    list_for_each_safe(it, &s->inodes)
    {
        struct sim_inode *f = list_entry(it, struct sim_inode, all);
        bool used = f->marked || f->opens > 0;
        f->marked = false;
        if (!used)
            sim_inode_free(f);
    }
}

/* A restarted machine keeps its page cache, or parts of it: clean pages may have been evicted. */
static void inode_restart(struct sim *s, struct sim_inode *f)
{
    if (f->cap > 0 && sim_draw_chance(s, SIM_RNG_DISK, 250000))
        sim_inode_evict(f, 0, 0);
}

void sim_disk_crash(struct sim *s)
{
    list_for_each(it, &s->dirs)
    {
        struct sim_dir *d = list_entry(it, struct sim_dir, all);
        if (s->state == SIM_POWER_CUT)
            dir_crash(s, d);
        sim_dir_recount(s, d);
    }
    sim_disk_collect(s);
    list_for_each(it, &s->inodes)
    {
        struct sim_inode *f = list_entry(it, struct sim_inode, all);
        if (s->state == SIM_POWER_CUT)
            inode_crash(s, f);
        else
            inode_restart(s, f);
    }
}

void sim_disk_free(struct sim *s)
{
    list_for_each_safe(it, &s->inodes)
    {
        sim_inode_free(list_entry(it, struct sim_inode, all));
    }
    list_for_each_safe(it, &s->dirs)
    {
        struct sim_dir *d = list_entry(it, struct sim_dir, all);
        list_remove(&d->all);
        mem_free(d->now.v);
        mem_free(d->durable.v);
        mem_free(d->ops);
        mem_free(d);
    }
}
