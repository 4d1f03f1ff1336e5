/* buckets_file: buckets.json, and how the table is rebuilt from needles when the file can't be
 * used.
 *
 * Happy path: the file is there and clean; its rows become the table. Otherwise one scan of the
 * store finds the bucket records (highest version of an id wins) and counts every bucket's blobs.
 * Numbers in a dirty file count as used.
 */
#include "gateway/buckets_priv.h"

#include "base/assert.h"
#include "base/macros.h"
#include "gateway/statefile.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define SCAN_TIMEOUT_MS (INT64_C(24) * 3600 * 1000)

size_t bucket_settings_format(const struct bucket *bk, const struct bucket_settings *s,
                              bool removed, char *out, size_t cap)
{
    int n = snprintf(out, cap,
                     "{\"id\":%u,\"state\":\"%s\",\"signed_urls\":%s,\"quota_bytes\":%llu,"
                     "\"ttl_s\":%u,\"created\":%lld}",
                     bk->id, removed ? "removed" : "live", s->signed_urls ? "true" : "false",
                     (unsigned long long)s->quota_bytes, s->ttl_s, (long long)bk->created_s);
    kt_assert(n > 0 && (size_t)n < cap);
    return (size_t)n;
}

/* What a row of the file and a record in the log have in common. */
struct parsed {
    uint32_t id;
    bool removed;
    int64_t created_s;
    struct bucket_settings s;
};

static bool parse_settings(json_t *j, struct parsed *ret)
{
    json_int_t id, quota, ttl, created;
    const char *state;
    int signed_urls;
    if (json_unpack(j, "{s:I, s:s, s:b, s:I, s:I, s:I}", "id", &id, "state", &state, "signed_urls",
                    &signed_urls, "quota_bytes", &quota, "ttl_s", &ttl, "created", &created) != 0)
        return false;
    if (id < 1 || id >= (json_int_t)BUCKETS_MAX || quota < 0 || ttl < 0 || ttl > UINT32_MAX)
        return false;
    ret->id = (uint32_t)id;
    ret->removed = strcmp(state, "removed") == 0;
    ret->created_s = created;
    ret->s = (struct bucket_settings){signed_urls != 0, (uint64_t)quota, (uint32_t)ttl};
    return ret->removed || strcmp(state, "live") == 0;
}

/* ---- the file ---- */

struct writer {
    struct buf *out;
    int rc;
};

static void write_row(struct writer *w, const struct bucket *bk)
{
    uint32_t flags = atomic_load(&bk->flags);
    struct bucket_settings s = {(flags & BUCKET_SIGNED_URLS) != 0, atomic_load(&bk->quota_bytes),
                                atomic_load(&bk->ttl_s)};
    char json[512], id[BLOBID_TEXT_MAX];
    size_t n = bucket_settings_format(bk, &s, (flags & BUCKET_REMOVED) != 0, json, sizeof(json));
    size_t id_len = bk->record.vid ? blobid_format(&bk->record, id) : 0;
    if (w->rc < 0)
        return;
    w->rc = buf_addf(
        w->out,
        "%s\n  {\"name\":\"%s\",\"version\":%llu,\"record\":\"%.*s\",\"used_bytes\":%llu,"
        "\"blobs\":%llu,\"settings\":%.*s}",
        w->out->p[w->out->len - 1] == '[' ? "" : ",", bk->name, (unsigned long long)bk->version,
        (int)id_len, id, (unsigned long long)atomic_load(&bk->used_bytes),
        (unsigned long long)atomic_load(&bk->blobs), (int)n, json);
}

static uint64_t counters_sum(const struct buckets *b)
{
    uint64_t sum = 0;
    for (uint32_t id = 1; id < atomic_load(&b->next_id) && id < BUCKETS_MAX; id++) {
        const struct bucket *bk = buckets_by_id(b, id);
        if (bk)
            sum = sum * 31 + atomic_load(&bk->used_bytes) * 7 + atomic_load(&bk->blobs);
    }
    return sum;
}

int buckets_write(struct buckets *b, bool dirty)
{
    struct buf out = BUF_INIT(STATEFILE_MAX);
    uint64_t sum = counters_sum(b);
    struct writer w = {.out = &out};
    w.rc = buf_addf(&out,
                    "{\"version\":1,\"dirty\":%s,\"exact\":%s,\"next_id\":%u,\"next_version\":%llu,"
                    "\"buckets\":[",
                    dirty ? "true" : "false", b->exact && b->closing ? "true" : "false",
                    atomic_load(&b->next_id), (unsigned long long)b->next_version);
    for (uint32_t id = 1; id < atomic_load(&b->next_id) && id < BUCKETS_MAX; id++) {
        const struct bucket *bk = buckets_by_id(b, id);
        if (bk)
            write_row(&w, bk);
    }
    int rc = w.rc < 0 ? w.rc : buf_add_str(&out, "\n]}\n");
    if (rc >= 0)
        rc = statefile_write(b->dir, BUCKETS_FILE, buf_slice(&out));
    if (rc >= 0)
        b->saved_sum = sum;
    buf_done(&out);
    return rc;
}

int buckets_save(struct buckets *b)
{
    int rc = rt_mutex_lock(&b->mutex, rt_after_ms(BUCKETS_SAVE_MS));
    if (rc < 0)
        return rc;
    if (counters_sum(b) != b->saved_sum)
        rc = buckets_write(b, b->dirty);
    rt_mutex_unlock(&b->mutex);
    return rc;
}

static bool load_row(struct buckets *b, json_t *row)
{
    const char *name, *record;
    json_int_t version, used, blobs;
    json_t *settings;
    struct parsed p;
    if (json_unpack(row, "{s:s, s:I, s:s, s:I, s:I, s:o}", "name", &name, "version", &version,
                    "record", &record, "used_bytes", &used, "blobs", &blobs, "settings",
                    &settings) != 0)
        return false;
    if (!parse_settings(settings, &p) || !bucket_name_ok(slice_str(name)) || buckets_by_id(b, p.id))
        return false;
    struct bucket *bk = bucket_new(p.id, slice_str(name));
    bk->version = (uint64_t)version;
    bk->created_s = p.created_s;
    if (blobid_parse(slice_str(record), &bk->record) < 0)
        bk->record = (struct blobid){0};
    atomic_store(&bk->used_bytes, (uint64_t)used);
    atomic_store(&bk->blobs, (uint64_t)blobs);
    bucket_apply(bk, &p.s, p.removed);
    buckets_publish(b, bk);
    return true;
}

static void forget_all(struct buckets *b)
{
    for (uint32_t id = 0; id < BUCKETS_MAX; id++) {
        mem_free(atomic_load(&b->by_id[id]));
        atomic_store(&b->by_id[id], NULL);
    }
    for (uint32_t i = 0; i < BUCKETS_CHAINS; i++)
        atomic_store(&b->chains[i], NULL);
}

/* True when the text gave the whole table. The numbers are taken even from a dirty file. */
static bool load_text(struct buckets *b, struct slice text)
{
    json_int_t version = 0, next_id = 1, next_version = 0;
    int dirty = 1, exact = 0;
    json_t *rows = NULL;
    json_t *root = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    bool ok = root && json_unpack(root, "{s:I, s:b, s?:b, s:I, s:I, s:o}", "version", &version,
                                  "dirty", &dirty, "exact", &exact, "next_id", &next_id,
                                  "next_version", &next_version, "buckets", &rows) == 0;
    ok = ok && version == 1 && next_id >= 1 && next_id <= (json_int_t)BUCKETS_MAX &&
         next_version >= 0;
    if (ok) {
        atomic_store(&b->next_id, (uint32_t)next_id);
        b->next_version = (uint64_t)next_version;
    }
    ok = ok && !dirty && json_is_array(rows);
    for (size_t i = 0; ok && i < json_array_size(rows); i++)
        ok = load_row(b, json_array_get(rows, i));
    if (!ok)
        forget_all(b);
    b->exact = ok && exact;
    json_decref(root);
    return ok;
}

/* ---- the log ---- */

struct scan {
    struct buckets *b;
    uint64_t *used, *blobs; /* by bucket id */
};

static int scan_record(struct buckets *b, const struct blobid *id, uint64_t version,
                       struct slice meta)
{
    struct slice name, settings;
    struct parsed p;
    if (!needle_meta_find(meta, TAG_NAME, &name) ||
        !needle_meta_find(meta, TAG_SETTINGS, &settings))
        return err_set(KT_ERR_CORRUPT, "a bucket record lacks its name or settings");
    json_t *j = json_loadb((const char *)settings.p, settings.len, 0, NULL);
    bool ok = j && parse_settings(j, &p) && bucket_name_ok(name);
    json_decref(j);
    if (!ok)
        return err_set(KT_ERR_CORRUPT, "a bucket record can't be understood");
    if (version > b->next_version)
        b->next_version = version;
    struct bucket *bk = buckets_by_id(b, p.id);
    if (bk && version < bk->version)
        return 0;
    if (!bk) {
        bk = bucket_new(p.id, name);
        buckets_publish(b, bk);
    }
    bk->created_s = p.created_s;
    bk->version = version;
    bk->record = *id;
    bucket_apply(bk, &p.s, p.removed);
    return 0;
}

static int scan_one(void *arg, const struct blobid *id, const struct needle_info *info,
                    struct slice meta)
{
    struct scan *sc = arg;
    if (info->kind == NEEDLE_BUCKET)
        return scan_record(sc->b, id, info->version, meta);
    if (info->kind == NEEDLE_DATA && info->bucket < BUCKETS_MAX) {
        sc->used[info->bucket] += info->data_len;
        sc->blobs[info->bucket]++;
    }
    return 0;
}

static int rebuild(struct buckets *b)
{
    struct scan sc = {.b = b};
    sc.used = mem_zalloc(sizeof(sc.used[0]) * BUCKETS_MAX);
    sc.blobs = mem_zalloc(sizeof(sc.blobs[0]) * BUCKETS_MAX);
    int rc = b->store->scan_kind(b->store->self, 0, rt_after_ms(SCAN_TIMEOUT_MS), scan_one, &sc);
    for (uint32_t id = 1; rc >= 0 && id < BUCKETS_MAX; id++) {
        struct bucket *bk = buckets_by_id(b, id);
        if (!bk)
            continue;
        atomic_store(&bk->used_bytes, sc.used[id]);
        atomic_store(&bk->blobs, sc.blobs[id]);
    }
    mem_free(sc.used);
    mem_free(sc.blobs);
    b->exact = rc >= 0;
    if (rc >= 0)
        rc = buckets_write(b, false);
    return rc < 0 ? err_wrap(rc, "rebuild %s from the volumes", BUCKETS_FILE) : 0;
}

struct search {
    uint32_t bucket;
    bool found;
};

static int search_one(void *arg, const struct blobid *id, const struct needle_info *info,
                      struct slice meta)
{
    struct search *s = arg;
    (void)id;
    (void)meta;
    s->found = info->bucket == s->bucket;
    return s->found ? -KT_ERR_EXISTS : 0; /* ends the scan */
}

int buckets_empty(struct buckets *b, const struct bucket *bk, int64_t deadline_ns)
{
    struct search s = {.bucket = bk->id};
    if (atomic_load(&bk->blobs))
        return 0;
    if (b->exact)
        return 1;
    int rc = b->store->scan_kind(b->store->self, NEEDLE_DATA, deadline_ns, search_one, &s);
    if (s.found)
        return 0;
    return rc < 0 ? err_wrap(rc, "look for blobs of bucket %s", bk->name) : 1;
}

static void tell_dropped(struct buckets *b)
{
    for (uint32_t id = 1; b->store->drop_bucket && id < BUCKETS_MAX; id++) {
        struct bucket *bk = buckets_by_id(b, id);
        if (bk && (atomic_load(&bk->flags) & BUCKET_REMOVED))
            b->store->drop_bucket(b->store->self, id);
    }
}

int buckets_open(int dir, const struct store_api *store, struct buckets **ret)
{
    struct buf text = BUF_INIT(STATEFILE_MAX);
    struct buckets *b = mem_zalloc(sizeof(*b));
    b->dir = dir;
    b->store = store;
    atomic_store(&b->next_id, 1);
    rt_mutex_init(&b->mutex);
    int rc = statefile_read(dir, BUCKETS_FILE, &text);
    if (rc >= 0 && load_text(b, buf_slice(&text))) {
        b->saved_sum = counters_sum(b);
        /* From here on a crash makes them inexact, and the file must not say otherwise. */
        rc = b->exact ? buckets_write(b, false) : 0;
        b->exact &= rc >= 0;
        rc = 0; /* a full disk still serves reads */
    } else if (rc >= 0 || rc == -KT_ERR_NOT_FOUND) {
        rc = rebuild(b);
    }
    buf_done(&text);
    if (rc < 0) {
        forget_all(b);
        mem_free(b);
        return rc;
    }
    tell_dropped(b);
    *ret = b;
    return 0;
}

void buckets_close(struct buckets *b)
{
    if (!b)
        return;
    b->closing = true;
    if (b->exact || counters_sum(b) != b->saved_sum)
        b->dirty |= buckets_write(b, b->dirty) < 0;
    forget_all(b);
    mem_free(b);
}
