/* blob: one blob: store, read, delete, undelete.
 *
 * GET: blob_open (index, one read, verified by the store), conditions, range, then verified runs as
 * they are read. PUT: the whole body into memory, its digests, one needle, durable before the 201.
 *
 * Failure modes: a needle of another kind or of a removed bucket is "not found", as if it had never
 * been. A body that fails a digest is refused before anything is written. Bytes that fail their
 * checksum before the first run is sent are a 500; later, the connection is cut.
 */
#include "gateway/gateway_priv.h"

#include "base/crc32c.h"
#include "base/enc.h"
#include "base/macros.h"
#include "codec/cond.h"
#include "codec/httpdate.h"
#include "codec/range.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define HASH_INLINE_MAX KIB(256) /* more bytes than this are hashed off the loop */
#define FIELDS_MAX 8

static int not_found(void)
{
    return err_set(KT_ERR_NOT_FOUND, "not found");
}

int blob_open(struct call *c, const struct blobid *id, unsigned flags, struct store_reader *ret)
{
    const struct store_api *st = c->gw->store;
    int rc = st->open(st->self, id, flags, call_deadline(c), ret);
    if (rc < 0)
        return rc;
    const struct bucket *bk = buckets_by_id(c->gw->buckets, ret->info.bucket);
    uint32_t bits = bk ? atomic_load(&bk->flags) : BUCKET_REMOVED;
    if (ret->info.kind != NEEDLE_DATA || (bits & BUCKET_REMOVED)) {
        rc = not_found();
    } else {
        c->note->bucket = bk;
        rc = auth_may_read(&c->verdict, bits);
    }
    if (rc < 0)
        st->close(ret);
    return rc;
}

/* ---- GET and HEAD ---- */

/* What the answer's head says, with the texts that its fields point to. */
struct head {
    struct http_field fields[FIELDS_MAX];
    int n;
    char etag[ETAG_MAX + 1], mtime[HTTPDATE_LEN], range[RANGE_TEXT_MAX];
    size_t etag_len;
    struct slice type;
    int64_t mtime_s;
};

static void add_field(struct head *h, const char *name, struct slice value)
{
    h->fields[h->n++] = (struct http_field){name, value};
}

static void read_meta(const struct store_reader *r, struct head *h)
{
    size_t at = 0;
    uint8_t tag;
    struct slice v;
    h->type = slice_of(NULL, 0);
    h->mtime_s = COND_NO_MTIME;
    while (needle_meta_next(r->meta_view, &at, &tag, &v) > 0) {
        if (tag == TAG_CONTENT_TYPE)
            h->type = v;
        else if (tag == TAG_MTIME && v.len == 4)
            h->mtime_s = (int64_t)load_u32le(v.p);
    }
}

/* What a browser may do with a document that a user stored: show it, not run it. Drawings keep
 * their styles and embedded pictures. */
#define TAME_POLICY "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

/* Types that a browser may run get a policy that doesn't let them. */
static bool may_run(struct slice type)
{
    /* Whole values only: of "image/jpeg, text/html" a browser takes the last. */
    return type.len && !slice_eq(type, SLICE_LIT("image/jpeg")) &&
           !slice_eq(type, SLICE_LIT("image/png")) && !slice_eq(type, SLICE_LIT("image/webp")) &&
           !slice_eq(type, SLICE_LIT("image/gif")) && !slice_eq(type, SLICE_LIT("image/avif"));
}

static void fill_head(const struct call *c, const struct store_reader *r, struct head *h)
{
    bool private = (atomic_load(&c->note->bucket->flags) & BUCKET_SIGNED_URLS) != 0;
    h->n = 0;
    read_meta(r, h);
    h->etag_len = etag_format(r->info.data_crc, r->info.data_len, h->etag);
    add_field(h, "etag", slice_of(h->etag, h->etag_len));
    add_field(h, "cache-control",
              private ? SLICE_LIT("private, max-age=60")
                      : SLICE_LIT("public, max-age=31536000, immutable"));
    if (h->mtime_s != COND_NO_MTIME) {
        httpdate_format(h->mtime_s, h->mtime);
        add_field(h, "last-modified", slice_of(h->mtime, HTTPDATE_LEN));
    }
    add_field(h, "accept-ranges", SLICE_LIT("bytes"));
    add_field(h, "content-type", h->type.len ? h->type : SLICE_LIT("application/octet-stream"));
    if (may_run(h->type))
        add_field(h, "content-security-policy", SLICE_LIT(TAME_POLICY));
}

/* Which part was asked for. Returns 1 for a part, 0 for everything, RANGE. */
static int choose_range(const struct call *c, const struct cond_target *target, uint64_t size,
                        int64_t now_s, struct range *ret)
{
    const struct h1_head *h = &c->rq->head;
    const struct h1_field *f = h1_find(h->fields, h->nfields, "range");
    if (!f || !cond_range_allowed(h->fields, h->nfields, target, now_s))
        return 0;
    return range_parse(f->value, size, ret);
}

/* The first run is read before the head goes out: damage found there is still an honest 500. */
static int send_data(struct call *c, struct store_reader *r, const struct http_reply *rp)
{
    const struct store_api *st = c->gw->store;
    struct slice run;
    int rc = st->read(r, call_deadline(c), &run);
    if (rc < 0)
        return rc;
    if (run.len == rp->body_len)
        return http_reply(c->rq, rp, &run, run.len ? 1 : 0);
    rc = http_reply_begin(c->rq, rp);
    while (rc >= 0 && run.len) {
        rc = http_reply_body(c->rq, run);
        if (rc >= 0)
            rc = st->read(r, call_deadline(c), &run);
    }
    return rc < 0 ? rc : http_reply_end(c->rq);
}

static int refuse_range(struct call *c, uint64_t size, struct head *h)
{
    struct http_field f = {"content-range", slice_of(h->range, range_format(NULL, size, h->range))};
    int rc = err_set(KT_ERR_RANGE, "the range lies outside the blob's %llu bytes",
                     (unsigned long long)size);
    return reply_refusal(c->rq, rc, &f);
}

static int answer_blob(struct call *c, struct store_reader *r)
{
    const struct h1_head *rh = &c->rq->head;
    struct head h;
    struct range range = {0, r->info.data_len};
    int64_t now_s = rt_wall_ns() / NS_PER_SEC;
    fill_head(c, r, &h);
    struct cond_target target = {
        .exists = true, .tag = slice_of(h.etag + 1, h.etag_len - 2), .mtime_s = h.mtime_s};
    struct http_reply rp = {.status = 200, .fields = h.fields};
    int rc = cond_evaluate(rh->fields, rh->nfields, rh->method, &target, now_s);
    if (rc == -KT_ERR_NOT_MODIFIED) {
        rp.status = 304;
        rp.nfields = h.n - 2; /* what describes a body that isn't there stays away */
        return http_reply(c->rq, &rp, NULL, 0);
    }
    if (rc >= 0)
        rc = choose_range(c, &target, r->info.data_len, now_s, &range);
    if (rc == -KT_ERR_RANGE)
        return refuse_range(c, r->info.data_len, &h);
    if (rc < 0)
        return rc;
    if (rc > 0) {
        rp.status = 206;
        add_field(&h, "content-range",
                  slice_of(h.range, range_format(&range, r->info.data_len, h.range)));
        rc = c->gw->store->seek(r, range.first, range.len);
        if (rc < 0)
            return rc;
    }
    rp.nfields = h.n;
    rp.body_len = range.len;
    return rh->method == H1_HEAD ? http_reply(c->rq, &rp, NULL, 0) : send_data(c, r, &rp);
}

int blob_get(struct call *c)
{
    struct store_reader r;
    int rc = blob_open(c, &c->route.id, 0, &r);
    if (rc < 0)
        return rc;
    rc = answer_blob(c, &r);
    c->gw->store->close(&r);
    return rc;
}

/* ---- PUT and POST ---- */

/* Digests of the body that somebody vouched for. */
struct digests {
    struct slice body;
    bool want_sha256, want_md5, want_crc;
    uint8_t sha256[32], md5[16];
    uint32_t crc;
    bool wrong;
};

static bool digest_is(const EVP_MD *md, struct slice body, const uint8_t *want, unsigned len)
{
    uint8_t got[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    return EVP_Digest(body.p, body.len, got, &n, md, NULL) == 1 && n == len &&
           memcmp(got, want, len) == 0;
}

static int check_digests(void *arg)
{
    struct digests *d = arg;
    d->wrong = (d->want_sha256 && !digest_is(EVP_sha256(), d->body, d->sha256, 32)) ||
               (d->want_md5 && !digest_is(EVP_md5(), d->body, d->md5, 16)) ||
               (d->want_crc && crc32c(0, d->body.p, d->body.len) != d->crc);
    return 0;
}

static int find_digests(const struct call *c, struct digests *d)
{
    const struct h1_head *h = &c->rq->head;
    const struct h1_field *md5 = h1_find(h->fields, h->nfields, "content-md5");
    const struct h1_field *crc = h1_find(h->fields, h->nfields, "x-kitten-crc32c");
    uint8_t md5_room[18], crc_be[4];
    d->want_sha256 = c->verdict.has_payload_hash;
    memcpy(d->sha256, c->verdict.payload_sha256, sizeof(d->sha256));
    if (md5) {
        if (md5->value.len != 24 || b64_decode(md5->value, md5_room) != 16)
            return err_set(KT_ERR_INVALID, "Content-MD5 must be 16 bytes in base64");
        memcpy(d->md5, md5_room, sizeof(d->md5));
        d->want_md5 = true;
    }
    if (crc) {
        if (!hex_decode(crc->value, crc_be, sizeof(crc_be)))
            return err_set(KT_ERR_INVALID, "x-kitten-crc32c must be 8 hex digits");
        d->crc = (uint32_t)crc_be[0] << 24 | (uint32_t)crc_be[1] << 16 | (uint32_t)crc_be[2] << 8 |
                 crc_be[3];
        d->want_crc = true;
    }
    return 0;
}

static int verify_body(struct digests *d, struct slice body)
{
    d->body = body;
    int rc = 0;
    if (!d->want_sha256 && !d->want_md5 && !d->want_crc)
        return 0;
    rc = body.len > HASH_INLINE_MAX ? rt_offload(check_digests, d) : check_digests(d);
    if (rc >= 0 && d->wrong)
        rc = err_set(KT_ERR_CHECKSUM, "the body does not match its checksum");
    return rc;
}

/* What can be refused before the first byte of the body is. */
static int check_head(const struct call *c, const struct bucket *bk, struct slice *ret_type)
{
    const struct http_request *rq = c->rq;
    const struct h1_field *f = h1_find(rq->head.fields, rq->head.nfields, "content-type");
    *ret_type = f && write_type_ok(f->value) ? f->value : slice_of(NULL, 0);
    f = h1_find(rq->head.fields, rq->head.nfields, "content-encoding");
    if (f && !slice_eq_nocase(f->value, SLICE_LIT("identity")))
        return err_set(KT_ERR_INVALID,
                       "Content-Encoding is not supported: send the bytes to be stored");
    if (h1_find(rq->head.fields, rq->head.nfields, "content-range"))
        return err_set(KT_ERR_INVALID, "Content-Range is not supported: a blob is written whole");
    if (rq->body_len == H1_LEN_CHUNKED)
        return write_quota(bk, 0);
    if (rq->body_len > c->gw->blob_max)
        return err_set(KT_ERR_TOO_LARGE, "a blob may have %llu bytes",
                       (unsigned long long)c->gw->blob_max);
    return write_quota(bk, rq->body_len);
}

static int reply_stored(struct call *c, int status, const struct store_put_result *res,
                        uint64_t size)
{
    char id[BLOBID_TEXT_MAX], etag[ETAG_MAX + 1], json[160], location[8 + BLOBID_TEXT_MAX];
    size_t id_len = blobid_format(&res->id, id);
    size_t etag_len = etag_format(res->data_crc, size, etag);
    int n = snprintf(json, sizeof(json), "{\"id\":\"%.*s\",\"size\":%llu,\"etag\":\"%.*s\"}\n",
                     (int)id_len, id, (unsigned long long)size, (int)etag_len - 2, etag + 1);
    int loc = snprintf(location, sizeof(location), "/blob/%.*s", (int)id_len, id);
    struct http_field f[] = {{"content-type", SLICE_LIT("application/json")},
                             {"location", slice_of(location, (size_t)loc)},
                             {"etag", slice_of(etag, etag_len)}};
    struct slice body = slice_of(json, (size_t)n);
    struct http_reply rp = {.status = status, .fields = f, .nfields = 3, .body_len = body.len};
    return http_reply(c->rq, &rp, &body, 1);
}

static int store_body(struct call *c, struct bucket *bk, struct slice type, struct slice body)
{
    uint8_t meta[WRITE_META_MAX];
    struct store_put put = {
        .bucket = bk->id, .kind = NEEDLE_DATA, .data = &body, .ndata = 1, .request_id = c->rq->id};
    struct store_put_result res;
    size_t meta_len = 0;
    int rc = write_expiry(c, bk, &put.expires_s);
    if (rc >= 0)
        rc = write_meta(slice_of(NULL, 0), type, put.expires_s, meta, &meta_len);
    if (rc < 0)
        return rc;
    put.meta = slice_of(meta, meta_len);
    if ((rc = write_reserve(bk, body.len)) < 0)
        return rc;
    rc = c->gw->store->put(c->gw->store->self, &put, call_deadline(c), &res);
    if (rc < 0) {
        bucket_account(bk, -1, -(int64_t)body.len);
        return rc;
    }
    return reply_stored(c, 201, &res, body.len);
}

int blob_put(struct call *c)
{
    struct bucket *bk;
    struct slice type;
    struct digests d = {0};
    uint32_t expires;
    int rc = write_bucket(c, &bk);
    if (rc < 0)
        return rc;
    c->note->bucket = bk;
    if ((rc = check_head(c, bk, &type)) < 0 || (rc = find_digests(c, &d)) < 0 ||
        (rc = write_expiry(c, bk, &expires)) < 0)
        return rc;
    struct buf body = BUF_INIT(c->gw->blob_max);
    rc = http_body_read_all(c->rq, &body);
    if (rc >= 0)
        rc = write_quota(bk, body.len);
    if (rc >= 0)
        rc = verify_body(&d, buf_slice(&body));
    if (rc >= 0)
        rc = store_body(c, bk, type, buf_slice(&body));
    http_body_release(&body);
    return rc;
}

/* ---- DELETE and undelete ---- */

/* Size and bucket of the blob, if the caller may touch it. */
static int look(struct call *c, unsigned flags, uint64_t *ret_size, uint32_t *ret_crc)
{
    struct store_reader r;
    int rc = blob_open(c, &c->route.id, flags, &r);
    if (rc < 0)
        return rc;
    *ret_size = r.info.data_len;
    *ret_crc = r.info.data_crc;
    c->gw->store->close(&r);
    return 0;
}

int blob_delete(struct call *c)
{
    uint64_t size;
    uint32_t crc;
    int rc = look(c, 0, &size, &crc);
    if (rc >= 0)
        rc = c->gw->store->remove(c->gw->store->self, &c->route.id, call_deadline(c));
    if (rc < 0)
        return rc;
    bucket_account(buckets_by_id(c->gw->buckets, c->note->bucket->id), -1, -(int64_t)size);
    return reply_status(c->rq, 204);
}

int blob_undelete(struct call *c)
{
    struct store_put_result res = {.id = c->route.id};
    uint64_t size;
    if (!c->route.param[PARAM_UNDELETE].p)
        return err_set(KT_ERR_INVALID, "POST on a blob takes ?undelete");
    int rc = look(c, STORE_READ_DEAD, &size, &res.data_crc);
    if (rc >= 0)
        rc = c->gw->store->unremove(c->gw->store->self, &c->route.id, call_deadline(c));
    if (rc == -KT_ERR_EXPIRED)
        return not_found(); /* the window has passed: gone, as far as anyone is told */
    if (rc < 0)
        return rc;
    bucket_account(buckets_by_id(c->gw->buckets, c->note->bucket->id), 1, (int64_t)size);
    return reply_stored(c, 200, &res, size);
}
