/* batch: many files in one request, as tar, in; and out again in batch_get.c.
 *
 * Happy path of a batch in: the body streams through the tar reader; files gather in memory up to
 * BATCH_BYTES or BATCH_FILES; put_many stores them in shared groups (one wait for all); one JSON
 * line per file goes into the answer; a last line sums up. Memory: one gathering of files, charged
 * to the body budget, and LINES_HELD bytes of lines. Lines are held back while the upload goes on
 * until there are that many, then they are sent while the rest comes in: a client that sends very
 * many files must read meanwhile, as curl does.
 *
 * Failure modes. A file that can't be stored gets a line with its error, the others go on. A
 * damaged archive, or a body that breaks off, ends the batch: what was stored before is in the
 * lines, what was being gathered is dropped, and the summary says so. The status is that of the
 * failure when nothing has been sent yet, so `curl -f` notices.
 */
#include "gateway/gateway_priv.h"

#include "base/assert.h"
#include "base/macros.h"
#include "codec/tar.h"
#include <string.h>

#define BATCH_BYTES MIB(1)
#define BATCH_FILES 1024
#define READ_BYTES KIB(64)
#define LINES_HELD MIB(1)
#define CHARGE_STEP KIB(256)

/* One file of the gathering. Positions are into `data`, names and metas, which move when they grow.
 */
struct item {
    size_t name_at, name_len, meta_at, meta_len, data_at, data_len;
    int refused;
    const char *why;
};

struct batch {
    struct call *c;
    struct bucket *bucket;
    uint32_t expires_s;
    struct tar_reader *tar;
    bool in_item;     /* between TAR_ENTRY and TAR_ENTRY_END */
    uint64_t charged; /* bytes of the body budget */

    int n;
    struct item items[BATCH_FILES];
    int index[BATCH_FILES]; /* of an item's put */
    struct buf data, names, metas;
    struct store_put puts[BATCH_FILES];
    struct slice pieces[BATCH_FILES];
    struct store_put_result results[BATCH_FILES];
    int rcs[BATCH_FILES];

    struct buf lines; /* of the answer, not sent yet */
    bool begun;
    uint64_t stored, failed, bytes;
    int first_error;
    uint8_t in[READ_BYTES];
};

/* ---- the answer ---- */

static int begin_answer(struct batch *b, int status)
{
    struct http_field f[] = {{"content-type", SLICE_LIT("application/x-ndjson")},
                             {"cache-control", SLICE_LIT("no-store")}};
    struct http_reply rp = {.status = status, .fields = f, .nfields = 2, .body_len = UINT64_MAX};
    b->begun = true;
    return http_reply_begin(b->c->rq, &rp);
}

static int send_lines(struct batch *b, int status)
{
    int rc = b->begun ? 0 : begin_answer(b, status);
    if (rc >= 0 && b->lines.len)
        rc = http_reply_body(b->c->rq, buf_slice(&b->lines));
    b->lines.len = 0;
    return rc;
}

static int add_line(struct batch *b, const struct item *it, int rc,
                    const struct store_put_result *res)
{
    struct buf *out = &b->lines;
    char id[BLOBID_TEXT_MAX], etag[ETAG_MAX + 1];
    int e = buf_add_str(out, "{\"name\":");
    if (e < 0 || (e = json_add_text(out, slice_of(b->names.p + it->name_at, it->name_len))) < 0)
        return e;
    if (rc < 0) {
        b->failed++;
        if (b->first_error == 0)
            b->first_error = rc;
        if ((e = buf_add_str(out, ",\"error\":")) < 0 ||
            (e = json_add_error(out, rc, it->why ? it->why : err_message(rc))) < 0)
            return e;
        return buf_add_str(out, "}\n");
    }
    kt_assert(res);
    b->stored++;
    b->bytes += it->data_len;
    size_t id_len = blobid_format(&res->id, id);
    size_t etag_len = etag_format(res->data_crc, it->data_len, etag);
    return buf_addf(out, ",\"id\":\"%.*s\",\"size\":%zu,\"etag\":\"%.*s\"}\n", (int)id_len, id,
                    it->data_len, (int)etag_len - 2, etag + 1);
}

static int add_summary(struct batch *b, int rc)
{
    struct buf *out = &b->lines;
    int e =
        buf_addf(out,
                 "{\"summary\":{\"stored\":%llu,\"failed\":%llu,\"skipped\":%llu,\"bytes\":%llu,"
                 "\"complete\":%s",
                 (unsigned long long)b->stored, (unsigned long long)b->failed,
                 (unsigned long long)tar_reader_skipped(b->tar), (unsigned long long)b->bytes,
                 rc < 0 ? "false" : "true");
    if (e >= 0 && rc < 0 && (e = buf_add_str(out, ",\"error\":")) >= 0)
        e = json_add_error(out, rc, error_message(rc));
    return e < 0 ? e : buf_add_str(out, "}}\n");
}

/* ---- storing a gathering ---- */

static void refuse_item(struct item *it, int rc)
{
    it->refused = -rc;
    it->why = NULL;
}

static int fill_puts(struct batch *b)
{
    int n = 0;
    for (int i = 0; i < b->n; i++) {
        struct item *it = &b->items[i];
        int rc = it->refused ? 0 : write_reserve(b->bucket, it->data_len);
        if (rc < 0)
            refuse_item(it, rc);
        if (it->refused)
            continue;
        b->pieces[n] = slice_of(b->data.p + it->data_at, it->data_len);
        b->puts[n] = (struct store_put){.bucket = b->bucket->id,
                                        .kind = NEEDLE_DATA,
                                        .expires_s = b->expires_s,
                                        .meta = slice_of(b->metas.p + it->meta_at, it->meta_len),
                                        .data = &b->pieces[n],
                                        .ndata = 1,
                                        .request_id = b->c->rq->id};
        b->rcs[n] = -KT_ERR_INTERNAL;
        b->index[i] = n++;
    }
    return n;
}

/* Stores what was gathered and adds a line for each file. */
static int flush(struct batch *b)
{
    const struct store_api *st = b->c->gw->store;
    int rc = 0;
    int n = fill_puts(b);
    /* Each file has its own result; the sum of them says nothing more. */
    if (n && st->put_many(st->self, b->puts, n, call_deadline(b->c), b->results, b->rcs) < 0)
        b->first_error = b->first_error ? b->first_error : b->rcs[0];
    for (int i = 0; i < n; i++)
        if (b->rcs[i] < 0)
            bucket_account(b->bucket, -1, -(int64_t)b->pieces[i].len);
    for (int i = 0; i < b->n && rc >= 0; i++) {
        const struct item *it = &b->items[i];
        rc = it->refused ? add_line(b, it, -it->refused, NULL)
                         : add_line(b, it, b->rcs[b->index[i]], &b->results[b->index[i]]);
    }
    b->n = 0;
    b->data.len = b->names.len = b->metas.len = 0;
    if (rc >= 0 && b->lines.len >= LINES_HELD)
        rc = send_lines(b, 200);
    return rc;
}

/* ---- gathering ---- */

/* Room for `more` bytes of data, charged to the budget of all request bodies. */
static int reserve_data(struct batch *b, uint64_t more)
{
    uint64_t need = b->data.len + more;
    if (need > b->charged) {
        uint64_t step = KT_MAX(need - b->charged, CHARGE_STEP);
        int rc = http_budget_take(step);
        if (rc < 0)
            return rc;
        b->charged += step;
    }
    return buf_reserve(&b->data, (size_t)more);
}

static int begin_item(struct batch *b)
{
    const struct tar_entry *e = tar_reader_entry(b->tar);
    uint8_t meta[WRITE_META_MAX];
    struct slice name = slice_of(e->name, e->name_len);
    int rc = 0;
    if (b->n == BATCH_FILES || (b->n && b->data.len + e->size > BATCH_BYTES))
        rc = flush(b);
    if (rc < 0)
        return rc;
    struct item *it = &b->items[b->n];
    memset(it, 0, sizeof(*it));
    it->refused = e->refused;
    it->why = e->why;
    it->name_at = b->names.len;
    it->name_len = e->name_len;
    it->data_at = b->data.len;
    it->meta_at = b->metas.len;
    b->in_item = true;
    if (!it->refused && e->size > b->c->gw->blob_max)
        refuse_item(it, -KT_ERR_TOO_LARGE);
    if (!it->refused && (rc = write_quota(b->bucket, b->data.len + e->size)) < 0)
        refuse_item(it, rc);
    if ((rc = buf_add_slice(&b->names, name)) < 0)
        return rc;
    if (it->refused)
        return 0;
    rc = write_meta(name, write_type_of_name(name), b->expires_s, meta, &it->meta_len);
    if (rc >= 0)
        rc = buf_add(&b->metas, meta, it->meta_len);
    return rc < 0 ? rc : reserve_data(b, e->size);
}

static int on_event(struct batch *b, int ev, struct slice data)
{
    struct item *it = &b->items[b->n];
    if (ev == TAR_ENTRY)
        return begin_item(b);
    if (ev == TAR_DATA && !it->refused) {
        it->data_len += data.len;
        return buf_add_slice(&b->data, data);
    }
    if (ev == TAR_ENTRY_END) {
        b->in_item = false;
        b->n++;
    }
    return 0;
}

/* Feeds bytes to the tar reader until it wants more. */
static int feed(struct batch *b, struct slice in)
{
    struct slice data;
    size_t used;
    int ev;
    do {
        ev = tar_reader_next(b->tar, in, &used, &data);
        in = slice_sub(in, used, in.len);
        int rc = ev < 0 ? ev : on_event(b, ev, data);
        if (rc < 0)
            return rc;
    } while (ev != TAR_MORE && ev != TAR_END);
    return 0;
}

static int take_body(struct batch *b)
{
    for (;;) {
        ssize_t n = http_body_read(b->c->rq, b->in, sizeof(b->in));
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        int rc = feed(b, slice_of(b->in, (size_t)n));
        if (rc < 0)
            return rc;
    }
    if (tar_reader_finish(b->tar) < 0)
        return err_set(KT_ERR_PROTO, "damaged tar: it ends in the middle");
    return flush(b);
}

/* What a batch holds besides the data it gathers, charged from its start to its end. */
#define BATCH_FIXED (sizeof(struct batch) + LINES_HELD)

static int batch_new(struct call *c, struct bucket *bk, uint32_t expires_s, struct batch **ret)
{
    int rc = http_budget_take(BATCH_FIXED);
    if (rc < 0)
        return rc;
    struct batch *b = mem_try_alloc(sizeof(*b));
    if (!b) {
        http_budget_give(BATCH_FIXED);
        return err_set(KT_ERR_NO_MEMORY, "no memory for a batch");
    }
    memset(b, 0, sizeof(*b));
    b->c = c;
    b->bucket = bk;
    b->expires_s = expires_s;
    b->tar = tar_reader_new();
    b->data = BUF_INIT(BATCH_BYTES + c->gw->blob_max);
    b->names = BUF_INIT((size_t)BATCH_FILES * TAR_NAME_MAX);
    b->metas = BUF_INIT((size_t)BATCH_FILES * WRITE_META_MAX);
    b->lines = BUF_INIT(LINES_HELD + (size_t)(BATCH_FILES + 1) * (6 * TAR_NAME_MAX + 512));
    *ret = b;
    return 0;
}

static void batch_free(struct batch *b)
{
    http_budget_give(b->charged + BATCH_FIXED);
    tar_reader_free(b->tar);
    buf_done(&b->data);
    buf_done(&b->names);
    buf_done(&b->metas);
    buf_done(&b->lines);
    mem_free(b);
}

/* The end: everything stored, or ended early by `rc`. */
static int finish(struct batch *b, int rc)
{
    int status = 200;
    if (rc < 0 && b->stored == 0 && b->failed == 0)
        return rc; /* nothing has happened: a plain refusal */
    if (rc < 0)
        status = err_http_status(rc);
    else if (b->stored == 0 && b->first_error)
        status = err_http_status(b->first_error);
    b->c->note->rc = rc < 0 ? rc : b->first_error;
    int e = add_summary(b, rc);
    if (e >= 0)
        e = send_lines(b, status);
    return e < 0 ? e : http_reply_end(b->c->rq);
}

static bool client_is_gone(int rc)
{
    return rc == -KT_ERR_EOF || rc == -KT_ERR_CLOSED || rc == -KT_ERR_CANCELED;
}

int batch_put(struct call *c)
{
    struct bucket *bk;
    uint32_t expires_s;
    int rc = write_bucket(c, &bk);
    if (rc >= 0)
        rc = write_expiry(c, bk, &expires_s);
    if (rc < 0)
        return rc;
    c->note->bucket = bk;
    /* A batch is stored as it comes: a hash of all of it would be found wrong too late. */
    if (c->verdict.has_payload_hash)
        return err_set(KT_ERR_INVALID, "batches take x-amz-content-sha256: UNSIGNED-PAYLOAD");
    struct batch *b;
    rc = batch_new(c, bk, expires_s, &b);
    if (rc < 0)
        return rc;
    rc = take_body(b);
    if (!(rc < 0 && client_is_gone(rc) && !b->begun))
        rc = finish(b, rc);
    batch_free(b);
    return rc;
}
