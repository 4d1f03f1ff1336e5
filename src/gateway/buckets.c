/* buckets: the table in memory, and changes to it.
 *
 * Happy path of a change: hop to loop 0, take the mutex, mark the cache dirty, put the needle (that
 * makes it so), publish in memory, mark the old record dead, clean the cache.
 *
 * Failure modes: an error before the needle is durable leaves nothing but used-up numbers. After
 * it, the change has happened: if then the cache can't be written, it stays dirty and the next
 * start scans.
 */
#include "gateway/buckets_priv.h"

#include "base/assert.h"
#include "base/macros.h"
#include "gateway/statefile.h"
#include "obs/metric.h"
#include <string.h>

#define CHANGE_TIMEOUT_MS 30000

static uint32_t name_hash(struct slice s)
{
    uint32_t h = 2166136261u; /* FNV-1a; names are checked, few, and made by key holders */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ s.p[i]) * 16777619u;
    return h % BUCKETS_CHAINS;
}

struct bucket *buckets_find(const struct buckets *b, struct slice name)
{
    struct bucket *bk = atomic_load_explicit(&b->chains[name_hash(name)], memory_order_acquire);
    for (; bk; bk = bk->next)
        if (slice_eq(slice_str(bk->name), name) && !(atomic_load(&bk->flags) & BUCKET_REMOVED))
            return bk;
    return NULL;
}

struct bucket *buckets_by_id(const struct buckets *b, uint32_t id)
{
    return id < BUCKETS_MAX ? atomic_load_explicit(&b->by_id[id], memory_order_acquire) : NULL;
}

void buckets_each(const struct buckets *b, void (*each)(void *arg, const struct bucket *bk),
                  void *arg)
{
    for (uint32_t id = 1; id < atomic_load(&b->next_id) && id < BUCKETS_MAX; id++) {
        const struct bucket *bk = buckets_by_id(b, id);
        if (bk && !(atomic_load(&bk->flags) & BUCKET_REMOVED))
            each(arg, bk);
    }
}

/* Stops at 0: after a crash a blob may be deleted that the saved counter never knew. */
static void count(_Atomic uint64_t *counter, int64_t change)
{
    uint64_t was = atomic_load(counter), now;
    do {
        uint64_t less = change < 0 ? (uint64_t)-change : 0;
        now = change >= 0 ? was + (uint64_t)change : was > less ? was - less : 0;
    } while (!atomic_compare_exchange_weak(counter, &was, now));
}

void bucket_account(struct bucket *bk, int64_t blobs, int64_t bytes)
{
    count(&bk->blobs, blobs);
    count(&bk->used_bytes, bytes);
}

void bucket_apply(struct bucket *bk, const struct bucket_settings *s, bool removed)
{
    atomic_store(&bk->ttl_s, s->ttl_s);
    atomic_store(&bk->quota_bytes, s->quota_bytes);
    atomic_store(&bk->flags,
                 (removed ? BUCKET_REMOVED : 0) | (s->signed_urls ? BUCKET_SIGNED_URLS : 0));
}

struct bucket *bucket_new(uint32_t id, struct slice name)
{
    struct bucket *bk = mem_zalloc(sizeof(*bk));
    kt_assert(id > 0 && id < BUCKETS_MAX && name.len <= BUCKET_NAME_MAX);
    bk->id = id;
    memcpy(bk->name, name.p, name.len);
    bk->metric = metric_label(DIM_BUCKET, name);
    return bk;
}

void buckets_publish(struct buckets *b, struct bucket *bk)
{
    _Atomic(struct bucket *) *chain = &b->chains[name_hash(slice_str(bk->name))];
    kt_assert(!buckets_by_id(b, bk->id));
    bk->next = atomic_load(chain);
    if (bk->id >= atomic_load(&b->next_id))
        atomic_store(&b->next_id, bk->id + 1);
    atomic_store_explicit(&b->by_id[bk->id], bk, memory_order_release);
    atomic_store_explicit(chain, bk, memory_order_release);
}

/* ---- changes, on loop 0 ---- */

struct change {
    struct buckets *b;
    const char *name;
    const struct bucket_settings *settings; /* NULL: remove */
    bool made;
};

static int put_record(struct buckets *b, const struct bucket *bk, const struct bucket_settings *s,
                      bool removed, struct blobid *ret)
{
    uint8_t meta[1024];
    char json[512];
    size_t meta_len = 0;
    size_t n = bucket_settings_format(bk, s, removed, json, sizeof(json));
    int rc = needle_meta_add(meta, sizeof(meta), &meta_len, TAG_NAME, slice_str(bk->name));
    if (rc >= 0)
        rc = needle_meta_add(meta, sizeof(meta), &meta_len, TAG_SETTINGS, slice_of(json, n));
    if (rc < 0)
        return rc;
    /* No bucket of its own in the header: compaction drops by that, and a record must stay. */
    struct store_put put = {.kind = NEEDLE_BUCKET,
                            .version = b->next_version,
                            .meta = slice_of(meta, meta_len),
                            .request_id = rt_request_id()};
    struct store_put_result res;
    rc = b->store->put(b->store->self, &put, rt_after_ms(CHANGE_TIMEOUT_MS), &res);
    if (rc >= 0)
        *ret = res.id;
    return rc;
}

/* From here on the change has happened; what fails now is mended by the next start. */
static void applied(struct buckets *b, struct bucket *bk, struct blobid record, uint64_t version)
{
    struct blobid old = bk->record;
    bk->record = record;
    bk->version = version;
    bool clean = true;
    if (old.vid)
        clean = b->store->remove(b->store->self, &old, rt_after_ms(CHANGE_TIMEOUT_MS)) >= 0;
    (void)clean; /* an old record that stays loses by its version */
    b->dirty = buckets_write(b, false) < 0;
}

static int change_locked(struct change *c)
{
    struct buckets *b = c->b;
    struct bucket *bk = buckets_find(b, slice_str(c->name));
    struct blobid record;
    bool make = !bk;
    if (!c->settings && !bk)
        return err_set(KT_ERR_NO_BUCKET, "no such bucket");
    if (make && atomic_load(&b->next_id) >= BUCKETS_MAX)
        return err_set(KT_ERR_LIMIT, "this server has used up its %u bucket ids", BUCKETS_MAX);
    if (make) {
        bk = bucket_new(atomic_load(&b->next_id), slice_str(c->name));
        bk->created_s = rt_wall_ns() / NS_PER_SEC;
        atomic_fetch_add(&b->next_id, 1);
    }
    uint64_t version = ++b->next_version;
    struct bucket_settings s = {0};
    if (c->settings)
        s = *c->settings;
    b->dirty = true;
    int rc = buckets_write(b, true);
    if (rc >= 0)
        rc = put_record(b, bk, &s, !c->settings, &record);
    if (rc < 0) {
        if (make)
            mem_free(bk);
        else if (!c->settings)
            /* The record may be found by the next start: nothing may be acknowledged that it
             * would take away. Any later change that succeeds decides. */
            atomic_fetch_or(&bk->flags, BUCKET_UNSURE);
        return err_wrap(rc, "bucket %s", c->name);
    }
    bucket_apply(bk, &s, !c->settings);
    if (make)
        buckets_publish(b, bk);
    if (!c->settings && b->store->drop_bucket)
        b->store->drop_bucket(b->store->self, bk->id);
    applied(b, bk, record, version);
    c->made = make;
    return 0;
}

static int change_on_loop0(void *arg)
{
    struct change *c = arg;
    int rc = rt_mutex_lock(&c->b->mutex, rt_after_ms(CHANGE_TIMEOUT_MS));
    if (rc < 0)
        return rc;
    rc = change_locked(c);
    rt_mutex_unlock(&c->b->mutex);
    return rc;
}

static int change(struct change *c)
{
    if (rt_loop_index() == 0)
        return change_on_loop0(c);
    return rt_call_on(0, change_on_loop0, c);
}

int buckets_put(struct buckets *b, const char *name, const struct bucket_settings *s,
                bool *ret_made)
{
    struct change c = {.b = b, .name = name, .settings = s};
    if (!bucket_name_ok(slice_str(name)))
        return err_set(KT_ERR_INVALID,
                       "a bucket name has 3..63 of a-z 0-9 - and single dots, begins and "
                       "ends with a letter or digit, and is no address or reserved word");
    int rc = change(&c);
    if (rc >= 0)
        *ret_made = c.made;
    return rc;
}

int buckets_remove(struct buckets *b, const char *name)
{
    struct change c = {.b = b, .name = name};
    return change(&c);
}
