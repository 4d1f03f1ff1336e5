/* mem_store: see mem_store.h. */
#include "tests/lib/mem_store.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include <stdio.h>
#include <string.h>

static uint8_t *copy(struct slice s)
{
    uint8_t *p = mem_alloc(s.len);
    if (s.len)
        memcpy(p, s.p, s.len);
    return p;
}

static int put_one(struct mem_store *s, const struct store_put *put, struct store_put_result *ret)
{
    struct buf all = BUF_INIT(NEEDLE_DATA_MAX);
    s->puts++;
    if (s->fail_put && (s->fail_at == 0 || s->fail_at == s->puts))
        return err_set(s->fail_put, "mem_store was told to fail");
    if (s->n == MEM_STORE_MAX)
        return err_set(KT_ERR_NO_SPACE, "mem_store is full");
    for (int i = 0; i < put->ndata; i++)
        if (buf_add_slice(&all, put->data[i]) < 0)
            return err_set(KT_ERR_TOO_LARGE, "needle data");
    struct mem_needle *m = &s->needles[s->n];
    memset(m, 0, sizeof(*m));
    m->info.seq = s->n++;
    m->info.bucket = put->bucket;
    m->info.kind = put->kind;
    m->info.version = put->version;
    m->info.data_len = (uint32_t)all.len;
    m->info.meta_len = (uint16_t)put->meta.len;
    m->info.data_crc = crc32c(0, all.p, all.len);
    rt_random(&m->info.cookie, sizeof(m->info.cookie));
    m->meta = copy(put->meta);
    m->data = all.p ? all.p : mem_alloc(0);
    ret->id = (struct blobid){MEM_STORE_VID, m->info.seq, m->info.cookie};
    ret->data_crc = m->info.data_crc;
    return 0;
}

static int mem_put(void *self, const struct store_put *put, int64_t deadline_ns,
                   struct store_put_result *ret)
{
    kt_assert(deadline_ns != RT_NEVER);
    return put_one(self, put, ret);
}

static int mem_put_many(void *self, const struct store_put *puts, int n, int64_t deadline_ns,
                        struct store_put_result *rets, int *rcs)
{
    struct mem_store *s = self;
    int first = 0;
    kt_assert(deadline_ns != RT_NEVER && n > 0);
    s->put_manys++;
    for (int i = 0; i < n; i++) {
        rcs[i] = put_one(s, &puts[i], &rets[i]);
        if (rcs[i] < 0 && first == 0)
            first = rcs[i];
    }
    return first;
}

struct mem_needle *mem_store_find(struct mem_store *s, const struct blobid *id)
{
    return id->vid == MEM_STORE_VID && id->seq < s->n ? &s->needles[id->seq] : NULL;
}

static struct mem_needle *find(struct mem_store *s, const struct blobid *id)
{
    struct mem_needle *m = mem_store_find(s, id);
    struct slice expires;
    if (!m || m->info.cookie != id->cookie)
        return NULL;
    if (needle_meta_find(slice_of(m->meta, m->info.meta_len), TAG_EXPIRES, &expires) &&
        load_u32le(expires.p) <= rt_wall_ns() / NS_PER_SEC)
        return NULL;
    return m;
}

static int not_found(void)
{
    return err_set(KT_ERR_NOT_FOUND, "no such needle");
}

static int mem_open(void *self, const struct blobid *id, unsigned flags, int64_t deadline_ns,
                    struct store_reader *ret)
{
    struct mem_needle *m = find(self, id);
    kt_assert(deadline_ns != RT_NEVER);
    if (!m || (m->dead && !(flags & STORE_READ_DEAD)))
        return not_found();
    memset(ret, 0, sizeof(*ret));
    ret->info = m->info;
    ret->meta_view = slice_of(m->meta, m->info.meta_len);
    ret->dead = m->dead;
    ret->impl[0] = m;
    ret->impl[1] = m->data;
    ret->impl[2] = m->data + m->info.data_len;
    return 0;
}

static int mem_seek(struct store_reader *r, uint64_t from, uint64_t len)
{
    struct mem_needle *m = r->impl[0];
    if (from > m->info.data_len || len > m->info.data_len - from)
        return err_set(KT_ERR_RANGE, "range");
    r->impl[1] = m->data + from;
    r->impl[2] = m->data + from + len;
    return 0;
}

static int mem_read(struct store_reader *r, int64_t deadline_ns, struct slice *ret)
{
    struct mem_needle *m = r->impl[0];
    uint8_t *at = r->impl[1], *end = r->impl[2];
    size_t n = KT_MIN((size_t)(end - at), (size_t)MEM_STORE_RUN);
    kt_assert(deadline_ns != RT_NEVER);
    if (m->corrupt)
        return err_set(KT_ERR_CORRUPT, "mem_store was told to be damaged");
    *ret = slice_of(at, n);
    r->impl[1] = at + n;
    return 0;
}

static void mem_close(struct store_reader *r)
{
    kt_assert(r->impl[0]);
    r->impl[0] = NULL;
}

static int mem_remove(void *self, const struct blobid *id, int64_t deadline_ns)
{
    struct mem_store *s = self;
    struct mem_needle *m = find(s, id);
    kt_assert(deadline_ns != RT_NEVER);
    s->removes++;
    if (!m || m->dead)
        return not_found();
    m->dead = true;
    return 0;
}

static int mem_unremove(void *self, const struct blobid *id, int64_t deadline_ns)
{
    struct mem_needle *m = find(self, id);
    kt_assert(deadline_ns != RT_NEVER);
    if (!m)
        return not_found();
    if (!m->dead)
        return err_set(KT_ERR_CONFLICT, "not deleted");
    if (m->undelete_passed)
        return err_set(KT_ERR_EXPIRED, "the window has passed");
    m->dead = false;
    return 0;
}

static int mem_scan(void *self, uint8_t kind, int64_t deadline_ns, store_scan_fn each, void *arg)
{
    struct mem_store *s = self;
    kt_assert(deadline_ns != RT_NEVER);
    for (uint32_t i = 0; i < s->n; i++) {
        const struct mem_needle *m = &s->needles[i];
        struct blobid id = {MEM_STORE_VID, i, m->info.cookie};
        if (m->dead || (kind && m->info.kind != kind))
            continue;
        int rc = each(arg, &id, &m->info, slice_of(m->meta, m->info.meta_len));
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void mem_drop_bucket(void *self, uint32_t bucket)
{
    struct mem_store *s = self;
    s->dropped_bucket = bucket;
}

static void mem_walk(void *self, const struct store_walk *w)
{
    struct mem_store *s = self;
    struct store_disk_stat d = {.state = s->disk_state, .volumes = 1};
    struct store_volume_stat v = {.vid = MEM_STORE_VID, .state = 1, .needles = s->n};
    snprintf(d.path, sizeof(d.path), "memory");
    if (w->disk)
        w->disk(w->arg, &d);
    if (w->volume)
        w->volume(w->arg, &v);
}

void mem_store_init(struct mem_store *s)
{
    memset(s, 0, sizeof(*s));
    s->needles = mem_zalloc(sizeof(s->needles[0]) * MEM_STORE_MAX);
    s->api = (struct store_api){.self = s,
                                .put = mem_put,
                                .put_many = mem_put_many,
                                .open = mem_open,
                                .seek = mem_seek,
                                .read = mem_read,
                                .close = mem_close,
                                .remove = mem_remove,
                                .unremove = mem_unremove,
                                .scan_kind = mem_scan,
                                .drop_bucket = mem_drop_bucket,
                                .walk = mem_walk};
}

void mem_store_done(struct mem_store *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        mem_free(s->needles[i].meta);
        mem_free(s->needles[i].data);
    }
    mem_free(s->needles);
    s->needles = NULL;
}
