/* batch_get: many blobs in one answer, as tar.
 *
 * The body is a list, one blob a line: "ID" or "ID NAME". The answer streams a tar of them in that
 * order, each under the name given, else the one it was stored with, else its id. Blobs that can't
 * be given are left out, and a last member ERRORS_NAME says which and why; it is there only when
 * something is missing. A blob found damaged after its header was sent cuts the connection. Memory:
 * the list (LIST_MAX) and one run.
 */
#include "gateway/gateway_priv.h"

#include "base/enc.h"
#include "base/macros.h"
#include "codec/tar.h"

#define LIST_MAX MIB(8)
#define ERRORS_NAME "kitten-errors.jsonl"
#define SEND_TOGETHER KIB(64)
#define ERRORS_MAX MIB(1) /* further errors are counted, not listed */

struct out {
    struct call *c;
    struct buf head; /* bytes to be sent: headers, paddings and small blobs, together */
    struct buf errors;
    uint64_t unlisted;
};

static int send_held(struct out *o)
{
    int rc = o->head.len ? http_reply_body(o->c->rq, buf_slice(&o->head)) : 0;
    o->head.len = 0;
    return rc;
}

/* Sends large pieces as they are, and small ones when enough of them have come together. */
static int send_bytes(struct out *o, struct slice bytes)
{
    if (bytes.len < SEND_TOGETHER) {
        int rc = buf_add_slice(&o->head, bytes);
        return rc < 0 || o->head.len < SEND_TOGETHER ? rc : send_held(o);
    }
    int rc = send_held(o);
    return rc < 0 ? rc : http_reply_body(o->c->rq, bytes);
}

static int add_padding(struct out *o, uint64_t size)
{
    static const uint8_t zeros[TAR_BLOCK];
    return send_bytes(o, slice_of(zeros, tar_padding(size)));
}

static int note_error(struct out *o, struct slice line, int rc)
{
    size_t before = o->errors.len;
    int e = buf_add_str(&o->errors, "{\"id\":");
    if (e >= 0)
        e = json_add_text(&o->errors, slice_sub(line, 0, BLOBID_TEXT_MAX));
    if (e >= 0)
        e = buf_add_str(&o->errors, ",\"error\":");
    if (e >= 0)
        e = json_add_error(&o->errors, rc, error_message(rc));
    if (e >= 0)
        e = buf_add_str(&o->errors, "}\n");
    if (e < 0) {
        o->errors.len = before;
        o->unlisted++;
    }
    return 0;
}

static struct slice member_name(const struct store_reader *r, struct slice id, struct slice asked)
{
    struct slice stored;
    if (asked.len)
        return asked;
    if (needle_meta_find(r->meta_view, TAG_NAME, &stored) && stored.len)
        return stored;
    return id;
}

/* The first run is read before the header is written, so that damage is mostly reported, not cut
 * off. */
static int send_member(struct out *o, struct store_reader *r, struct slice name, bool *ret_sent)
{
    const struct store_api *st = o->c->gw->store;
    struct slice run, mtime;
    uint64_t mtime_s = 0;
    int rc = st->read(r, call_deadline(o->c), &run);
    if (needle_meta_find(r->meta_view, TAG_MTIME, &mtime) && mtime.len == 4)
        mtime_s = load_u32le(mtime.p);
    if (rc >= 0)
        rc = tar_write_header(&o->head, name, r->info.data_len, mtime_s);
    if (rc < 0)
        return rc;
    *ret_sent = true;
    while (rc >= 0 && run.len) {
        rc = send_bytes(o, run);
        if (rc >= 0)
            rc = st->read(r, call_deadline(o->c), &run);
    }
    return rc < 0 ? rc : add_padding(o, r->info.data_len);
}

/* One line of the list. Errors end the answer; a blob that can't be had is none. */
static int send_line(struct out *o, struct slice line)
{
    struct store_reader r;
    struct blobid id;
    bool sent = false;
    ptrdiff_t blank = slice_find(line, ' ');
    struct slice id_text = blank < 0 ? line : slice_sub(line, 0, (size_t)blank);
    struct slice name =
        blank < 0 ? slice_of(NULL, 0) : slice_sub(line, (size_t)blank + 1, line.len);
    int rc = blobid_parse(id_text, &id);
    if (rc >= 0)
        rc = blob_open(o->c, &id, 0, &r);
    if (rc < 0)
        return note_error(o, id_text, rc);
    rc = send_member(o, &r, member_name(&r, id_text, name), &sent);
    o->c->gw->store->close(&r);
    return rc < 0 && !sent ? note_error(o, id_text, rc) : rc;
}

static int send_errors(struct out *o)
{
    if (o->unlisted &&
        buf_addf(&o->errors, "{\"unlisted\":%llu}\n", (unsigned long long)o->unlisted) < 0)
        o->errors.len = KT_MIN(o->errors.len, (size_t)ERRORS_MAX);
    if (!o->errors.len)
        return 0;
    int rc = tar_write_header(&o->head, SLICE_LIT(ERRORS_NAME), o->errors.len,
                              (uint64_t)(rt_wall_ns() / NS_PER_SEC));
    if (rc >= 0)
        rc = send_bytes(o, buf_slice(&o->errors));
    return rc < 0 ? rc : add_padding(o, o->errors.len);
}

static int send_all(struct out *o, struct slice list)
{
    struct http_field f[] = {{"content-type", SLICE_LIT("application/x-tar")},
                             {"cache-control", SLICE_LIT("no-store")}};
    struct http_reply rp = {.status = 200, .fields = f, .nfields = 2, .body_len = UINT64_MAX};
    int rc = http_reply_begin(o->c->rq, &rp);
    while (rc >= 0 && list.len) {
        ptrdiff_t nl = slice_find(list, '\n');
        struct slice line = nl < 0 ? list : slice_sub(list, 0, (size_t)nl);
        list = slice_sub(list, line.len + 1, list.len);
        if (line.len && line.p[line.len - 1] == '\r')
            line.len--;
        if (line.len)
            rc = send_line(o, line);
    }
    if (rc >= 0)
        rc = send_errors(o);
    if (rc >= 0)
        rc = tar_write_end(&o->head);
    if (rc >= 0)
        rc = send_held(o);
    return rc < 0 ? rc : http_reply_end(o->c->rq);
}

int batch_get(struct call *c)
{
    struct buf list = BUF_INIT(LIST_MAX);
    struct out o = {
        .c = c, .head = BUF_INIT(3 * SEND_TOGETHER), .errors = BUF_INIT(ERRORS_MAX + 64)};
    if (c->verdict.has_payload_hash)
        return err_set(KT_ERR_INVALID, "batches take x-amz-content-sha256: UNSIGNED-PAYLOAD");
    int rc = http_body_read_all(c->rq, &list);
    if (rc >= 0)
        rc = send_all(&o, buf_slice(&list));
    http_body_release(&list);
    buf_done(&o.head);
    buf_done(&o.errors);
    return rc;
}
