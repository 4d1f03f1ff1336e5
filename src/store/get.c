/* get: reading, deleting and scanning by blob id.
 *
 * Happy path of a GET: the table gives the volume, volume_read_open the verified needle, and read
 * hands out its data from the buffer it was read into.
 *
 * Failure modes. An unknown volume, an absent seq, a dead mark, another cookie, an expired needle
 * and a removed bucket are all NOT_FOUND, so that an id teaches nothing; but when a directory of
 * the store is missing, an unknown volume is NOT_HERE. Damage and disk errors are counted. */
#include "store/store_priv.h"

#include "base/enc.h"
#include "volume/index.h"
#include "volume/scan.h"

struct reader { /* what lies in store_reader.impl */
    struct store *store;
    struct volume_reader r;
};
_Static_assert(sizeof(struct reader) <= sizeof(((struct store_reader *)0)->impl), "a reader fits");

static struct reader *reader_of(struct store_reader *r)
{
    return (struct reader *)(void *)r->impl;
}

bool bucket_dropped(const struct store *s, uint32_t bucket)
{
    return bucket < BUCKETS_TRACKED &&
           (atomic_load_explicit(&s->dropped[bucket / 64], memory_order_relaxed) >> bucket % 64 &
            1);
}

static int find(const struct store *s, const struct blobid *id, struct volume **ret)
{
    *ret = store_find(s, id->vid);
    if (*ret)
        return 0;
    if (s->incomplete)
        return err_set(KT_ERR_NOT_HERE,
                       "volume %08x is unknown, and a data directory of this store is missing",
                       id->vid);
    return -KT_ERR_NOT_FOUND;
}

static bool expired(struct slice meta)
{
    struct slice v;
    return meta.len > 0 && needle_meta_find(meta, TAG_EXPIRES, &v) && v.len == 4 &&
           load_u32le(v.p) <= (uint64_t)(rt_wall_ns() / NS_PER_SEC);
}

/* Counts what went wrong on the medium. */
static int note(struct store *s, const struct volume *v, int rc)
{
    if (rc == -KT_ERR_CORRUPT) {
        store_count(s, COUNT_CORRUPT, 1);
        metric_add(METRIC_CRC_ERRORS, METRIC_L(metric_label(DIM_WHERE, SLICE_LIT("get"))), 1);
    } else if (rc == -KT_ERR_IO) {
        store_count(s, COUNT_IO_ERRORS, 1);
        for (int i = 0; i < s->ndisks; i++)
            if (s->disks[i].disk == volume_disk(v))
                atomic_fetch_add_explicit(&s->disks[i].io_errors, 1, memory_order_relaxed);
    }
    return rc;
}

int get_open(void *self, const struct blobid *id, unsigned flags, int64_t deadline_ns,
             struct store_reader *ret)
{
    struct store *s = self;
    struct reader *r = reader_of(ret);
    struct volume *v;
    int rc = find(s, id, &v);
    if (rc < 0)
        return rc;
    rc = volume_read_open(v, id, flags & STORE_READ_DEAD ? VOLUME_READ_DEAD : 0, deadline_ns, &r->r,
                          &ret->info);
    if (rc < 0)
        return note(s, v, rc);
    r->store = s;
    ret->meta_view = volume_read_meta(&r->r);
    ret->dead = r->r.dead;
    if (expired(ret->meta_view) || bucket_dropped(s, ret->info.bucket)) {
        volume_read_close(&r->r);
        return -KT_ERR_NOT_FOUND;
    }
    store_count(s, COUNT_GETS, 1);
    return 0;
}

int get_seek(struct store_reader *r, uint64_t from, uint64_t len)
{
    if (from > r->info.data_len || len > r->info.data_len - from)
        return err_set(KT_ERR_RANGE, "range beyond the blob's %u bytes", r->info.data_len);
    volume_read_seek(&reader_of(r)->r, (uint32_t)from, (uint32_t)len);
    return 0;
}

int get_read(struct store_reader *r, int64_t deadline_ns, struct slice *ret)
{
    struct reader *rd = reader_of(r);
    if (rt_now_ns() > deadline_ns)
        return err_set(KT_ERR_TIMEOUT, "deadline passed between two blocks");
    int rc = volume_read_next(&rd->r, ret);
    if (rc < 0)
        return note(rd->store, rd->r.vol, rc);
    store_count(rd->store, COUNT_GET_BYTES, ret->len);
    return 0;
}

void get_close(struct store_reader *r)
{
    volume_read_close(&reader_of(r)->r);
}

/* ---- dead marks ---- */

/* Finds the needle that `id` names, cookie included, for a change of its mark. */
static int find_needle(struct store *s, const struct blobid *id, unsigned flags,
                       int64_t deadline_ns, struct volume **ret)
{
    struct volume_reader r;
    struct needle_info info;
    int rc = find(s, id, ret);
    if (rc < 0)
        return rc;
    rc = volume_read_open(*ret, id, flags | VOLUME_READ_HEAD, deadline_ns, &r, &info);
    if (rc < 0)
        return note(s, *ret, rc);
    if (expired(volume_read_meta(&r)) || bucket_dropped(s, info.bucket))
        rc = -KT_ERR_NOT_FOUND;
    volume_read_close(&r);
    return rc;
}

int remove_one(void *self, const struct blobid *id, int64_t deadline_ns)
{
    struct store *s = self;
    struct volume *v;
    int rc = find_needle(s, id, 0, deadline_ns, &v);
    if (rc == 0)
        rc = volume_delete(v, id, deadline_ns);
    if (rc == 0)
        store_count(s, COUNT_REMOVES, 1);
    return rc;
}

int unremove_one(void *self, const struct blobid *id, int64_t deadline_ns)
{
    struct store *s = self;
    struct volume *v;
    int rc = find_needle(s, id, VOLUME_READ_DEAD, deadline_ns, &v);
    if (rc == 0)
        rc = volume_undelete(v, id, deadline_ns);
    if (rc == 0)
        store_count(s, COUNT_UNREMOVES, 1);
    return rc;
}

/* ---- scanning ---- */

struct kind_scan {
    struct volume *vol;
    const struct index *ix;
    uint8_t kind;
    int64_t deadline_ns;
    store_scan_fn each;
    void *arg;
};

static int scan_needle(const struct kind_scan *k, const struct needle_info *n, struct slice bytes)
{
    struct index_hit hit;
    if (n->kind == NEEDLE_MARK || (k->kind != 0 && n->kind != k->kind))
        return 0;
    if (!index_find(k->ix, n->seq, &hit) || hit.dead)
        return 0;
    struct slice meta = slice_sub(bytes, NEEDLE_HEADER, n->meta_len);
    if (expired(meta))
        return 0;
    struct blobid id = {.vid = volume_vid(k->vol), .seq = n->seq, .cookie = n->cookie};
    return k->each(k->arg, &id, n, meta);
}

/* *ret_each tells an error of the callback from one of the volume. */
static int scan_generation(const struct kind_scan *k, const struct generation *g, bool *ret_each)
{
    struct scanner s;
    struct needle_info n;
    struct slice bytes;
    int rc = scan_open(&s, generation_file(g), generation_place(g), VOLUME_LOG_START,
                       generation_length(g), 0);
    while (rc >= 0 && (rc = scan_next(&s, &n, &bytes)) > 0) {
        rc = scan_needle(k, &n, bytes);
        *ret_each = rc < 0;
        if (rc == 0 && rt_now_ns() > k->deadline_ns)
            rc = err_set(KT_ERR_TIMEOUT, "deadline passed while volumes were read");
        if (rc < 0)
            break;
    }
    scan_done(&s);
    return rc < 0 ? rc : 0;
}

static int scan_volume(struct kind_scan *k, bool *ret_each)
{
    *ret_each = false;
    int may = volume_may_serve(k->vol);
    if (may < 0)
        return may == -KT_ERR_NOT_FOUND ? 0 : may;
    int rc = volume_need_index(k->vol, k->deadline_ns);
    if (rc < 0)
        return rc;
    struct generation *g = volume_generation(k->vol);
    if (!g)
        return 0;
    k->ix = generation_index(g);
    rc = k->ix ? scan_generation(k, g, ret_each) : -KT_ERR_NOT_HERE;
    if (rc == 0 && volume_state_of(k->vol) == VOLUME_DAMAGED)
        rc = err_set(KT_ERR_NOT_HERE, "volume %08x is damaged and was not read whole",
                     volume_vid(k->vol));
    generation_unref(g);
    return rc;
}

int scan_kind(void *self, uint8_t kind, int64_t deadline_ns, store_scan_fn each, void *arg)
{
    struct store *s = self;
    struct kind_scan k = {.kind = kind, .deadline_ns = deadline_ns, .each = each, .arg = arg};
    int worst = 0;
    for (int i = 0; i < s->ndisks; i++) {
        for (uint32_t n = 0; n < disk_volume_count(s->disks[i].disk); n++) {
            bool from_each;
            k.vol = disk_volume_at(s->disks[i].disk, n);
            int rc = scan_volume(&k, &from_each);
            if (rc < 0 && (from_each || rc == -KT_ERR_TIMEOUT || rc == -KT_ERR_CANCELED))
                return rc;
            worst = rc < 0 ? rc : worst;
        }
    }
    return worst;
}
