/* bucket: the buckets as resources: list, show, make or change, remove. */
#include "gateway/gateway_priv.h"

#include "base/macros.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define SETTINGS_MAX KIB(64)
#define LIST_MAX MIB(64)

static int add_bucket(struct buf *out, const struct bucket *bk)
{
    return buf_addf(out,
                    "{\"name\":\"%s\",\"signed_urls\":%s,\"quota_bytes\":%llu,\"ttl_s\":%u,"
                    "\"used_bytes\":%llu,\"blobs\":%llu,\"created\":%lld}",
                    bk->name, atomic_load(&bk->flags) & BUCKET_SIGNED_URLS ? "true" : "false",
                    (unsigned long long)atomic_load(&bk->quota_bytes), atomic_load(&bk->ttl_s),
                    (unsigned long long)atomic_load(&bk->used_bytes),
                    (unsigned long long)atomic_load(&bk->blobs), (long long)bk->created_s);
}

struct lister {
    struct buf *out;
    int n, rc;
};

static void list_one(void *arg, const struct bucket *bk)
{
    struct lister *l = arg;
    if (l->rc >= 0 && l->n++)
        l->rc = buf_add_str(l->out, ",\n");
    if (l->rc >= 0)
        l->rc = add_bucket(l->out, bk);
}

int bucket_list(struct call *c)
{
    struct buf out KT_CLEANUP(buf_done) = BUF_INIT(LIST_MAX);
    struct lister l = {.out = &out};
    l.rc = buf_add_str(&out, "{\"buckets\":[");
    buckets_each(c->gw->buckets, list_one, &l);
    int rc = l.rc < 0 ? l.rc : buf_add_str(&out, "]}\n");
    return rc < 0 ? rc : reply_json(c->rq, 200, buf_slice(&out));
}

static int show(struct call *c, int status)
{
    struct buf out KT_CLEANUP(buf_done) = BUF_INIT(4096);
    struct bucket *bk = buckets_find(c->gw->buckets, slice_str(c->route.name));
    if (!bk)
        return err_set(KT_ERR_NO_BUCKET, "no such bucket");
    c->note->bucket = bk;
    int rc = add_bucket(&out, bk);
    if (rc >= 0)
        rc = buf_add_str(&out, "\n");
    return rc < 0 ? rc : reply_json(c->rq, status, buf_slice(&out));
}

int bucket_get(struct call *c)
{
    return show(c, 200);
}

static int take_setting(const char *key, json_t *v, struct bucket_settings *s)
{
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    if (strcmp(key, "signed_urls") == 0 && json_is_boolean(v)) {
        s->signed_urls = json_is_true(v);
        return 0;
    }
    if (strcmp(key, "quota_bytes") == 0 && n >= 0) {
        s->quota_bytes = (uint64_t)n;
        return 0;
    }
    if (strcmp(key, "ttl_s") == 0 && n >= 0 && n <= (json_int_t)UINT32_MAX) {
        s->ttl_s = (uint32_t)n;
        return 0;
    }
    return err_set(KT_ERR_INVALID,
                   "settings are signed_urls (true or false), quota_bytes and ttl_s (numbers)");
}

/* An empty body leaves *s as it is. */
static int parse_settings(struct slice text, struct bucket_settings *s)
{
    const char *key;
    json_t *v;
    int rc = 0;
    if (!text.len)
        return 0;
    json_t *root = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root))
        rc = err_set(KT_ERR_INVALID, "the settings must be one JSON object");
    else
        json_object_foreach(root, key, v) if (rc >= 0) rc = take_setting(key, v, s);
    json_decref(root);
    return rc;
}

/* Settings that are not named keep their value. */
static struct bucket_settings present_settings(const struct gateway *gw, const char *name)
{
    const struct bucket *bk = buckets_find(gw->buckets, slice_str(name));
    if (!bk)
        return (struct bucket_settings){0};
    return (struct bucket_settings){(atomic_load(&bk->flags) & BUCKET_SIGNED_URLS) != 0,
                                    atomic_load(&bk->quota_bytes), atomic_load(&bk->ttl_s)};
}

static int check_hash(const struct call *c)
{
    /* The body is small and its author has proven a key; a hash of it is not looked at, so it may
     * not be claimed. */
    if (c->verdict.has_payload_hash && c->rq->body_len != 0)
        return err_set(KT_ERR_INVALID, "settings take x-amz-content-sha256: UNSIGNED-PAYLOAD");
    return 0;
}

int bucket_put(struct call *c)
{
    struct buf body = BUF_INIT(SETTINGS_MAX);
    bool made = false;
    struct bucket_settings s = present_settings(c->gw, c->route.name);
    int rc = check_hash(c);
    if (rc >= 0)
        rc = http_body_read_all(c->rq, &body);
    if (rc >= 0)
        rc = parse_settings(buf_slice(&body), &s);
    http_body_release(&body);
    if (rc >= 0)
        rc = buckets_put(c->gw->buckets, c->route.name, &s, &made);
    return rc < 0 ? rc : show(c, made ? 201 : 200);
}

int bucket_delete(struct call *c)
{
    struct bucket *bk = buckets_find(c->gw->buckets, slice_str(c->route.name));
    if (!bk)
        return err_set(KT_ERR_NO_BUCKET, "no such bucket");
    c->note->bucket = bk;
    int rc = 1;
    if (!c->route.param[PARAM_WITH_CONTENTS].p)
        rc = buckets_empty(c->gw->buckets, bk, call_deadline(c));
    if (rc == 0)
        return err_set(KT_ERR_CONFLICT,
                       "the bucket holds blobs: add ?with_contents to remove them too");
    if (rc > 0)
        rc = buckets_remove(c->gw->buckets, c->route.name);
    return rc < 0 ? rc : reply_status(c->rq, 204);
}
