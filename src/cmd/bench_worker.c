/* bench_worker: take a ticket, do the operation, record it.
 *
 * Happy path: worker_run -> take_ticket -> one of do_put, do_get, do_delete, do_list, do_batch ->
 * record. Failure: an operation's error is counted by kind and its first text is kept; a connection
 * that can't be made any more is tried again every CONNECT_PAUSE_MS until CONNECT_TRIES are spent.
 */
#include "cmd/bench_worker.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include "cmd/bench_conn.h"
#include "codec/tar.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_PAUSE_MS 20
#define CONNECT_TRIES 50
#define RETRY_FIRST_MS INT64_C(5)
#define RETRY_LAST_MS INT64_C(200)
#define REPLY_MAX MIB(4)

struct worker {
    struct bench_loop *loop;
    const struct bench_config *cfg;
    struct bench_conn conn;
    char *head;       /* TARGET_HEAD_MAX bytes */
    struct buf file;  /* a file of the tree */
    struct buf tar;   /* a batch */
    struct buf reply; /* a small answer */
    struct iovec iov[DATA_PIECES_MAX + 2];
    uint8_t label[DATA_LABEL_LEN];
    struct bench_object *batch; /* cfg->batch_files of them */
    uint64_t *batch_file;       /* their numbers in the tree */
    int64_t deadline_ns;
    int failures; /* connections that failed in a row */
};

/* What one operation did. */
struct outcome {
    enum target_op op;
    uint64_t ops, bytes;
    bool none;    /* there was nothing left to do */
    bool raced;   /* 404 for an object that was deleted meanwhile */
    bool revived; /* a deleted object is readable */
    bool verified;
};

/* ---- requests ---- */

static int fail_status(struct worker *w, enum target_op op, int status)
{
    struct slice piece;
    uint64_t rest;
    char text[120] = "";
    int rc = conn_body(&w->conn, &piece, w->deadline_ns);
    if (rc == 0 && piece.len > 0) {
        snprintf(text, sizeof(text), ": %.*s", (int)KT_MIN(piece.len, 100u), (const char *)piece.p);
        rc = conn_discard(&w->conn, &rest, w->deadline_ns);
    }
    if (rc < 0)
        return rc;
    text[strcspn(text, "\r\n")] = 0;
    int code = KT_ERR_INTERNAL;
    if (status == 404)
        code = KT_ERR_NOT_FOUND;
    else if (status == 503 || status == 429 || status == 507)
        code = KT_ERR_BUSY;
    return err_set(code, "%s was answered %d%s", target_op_names[op], status, text);
}

/* Sends the head in w->head and the pieces behind iov[0], and reads the answer's head. */
static int request_once(struct worker *w, enum target_op op, int pieces)
{
    int rc = conn_request(&w->conn, w->iov, pieces + 1, w->deadline_ns);
    if (rc < 0)
        return rc;
    if (!target_status_ok(op, w->conn.reply.status))
        return fail_status(w, op, w->conn.reply.status);
    return 0;
}

/* The same; files of a tree are meant to arrive, so a server that is too busy is asked again, after
 * longer and longer pauses, until the request's deadline. Made-up load counts such an answer
 * instead. */
static int request(struct worker *w, enum target_op op, size_t head_len, int pieces)
{
    w->iov[0] = (struct iovec){w->head, head_len};
    for (int64_t pause_ms = RETRY_FIRST_MS;; pause_ms = KT_MIN(pause_ms * 2, RETRY_LAST_MS)) {
        int rc = request_once(w, op, pieces);
        int64_t again_ns = rt_after_ms(pause_ms);
        if (rc != -KT_ERR_BUSY || !w->cfg->tree || again_ns > w->deadline_ns)
            return rc;
        w->loop->tally[op].retries++;
        rc = rt_sleep_until(again_ns);
        if (rc < 0)
            return rc;
    }
}

/* The whole answer into w->reply. */
static int read_reply(struct worker *w)
{
    struct slice piece;
    w->reply.len = 0;
    for (;;) {
        int rc = conn_body(&w->conn, &piece, w->deadline_ns);
        if (rc < 0 || piece.len == 0)
            return rc;
        rc = buf_add_slice(&w->reply, piece);
        if (rc < 0)
            return rc;
    }
}

/* The id in one JSON object, e.g. {"id":"1,2-3...","size":5}. */
static int parse_id(struct slice json, struct blobid *ret)
{
    static const char key[] = "\"id\"";
    const uint8_t *at = memmem(json.p, json.len, key, sizeof(key) - 1);
    const uint8_t *end = json.p + json.len;
    const uint8_t *open =
        at ? memchr(at + sizeof(key) - 1, '"', (size_t)(end - at) - sizeof(key) + 1) : NULL;
    const uint8_t *close = open ? memchr(open + 1, '"', (size_t)(end - open) - 1) : NULL;
    if (!close || blobid_parse(slice_of(open + 1, (size_t)(close - open) - 1), ret) < 0)
        return err_set(KT_ERR_PROTO, "an answer holds no id: %.*s", (int)KT_MIN(json.len, 100u),
                       (const char *)json.p);
    return 0;
}

/* ---- put and batch ---- */

static char *object_name(const struct worker *w, uint64_t index)
{
    if (!w->cfg->tree)
        return NULL;
    const char *name = w->cfg->tree->files[index].name;
    char *copy = mem_alloc(strlen(name) + 1);
    memcpy(copy, name, strlen(name) + 1);
    return copy;
}

/* Chooses the next object to store. False when there is none left. */
static bool next_object(struct worker *w, struct bench_object *ret)
{
    struct bench_loop *l = w->loop;
    if (l->next_index >= l->end_index)
        return false;
    *ret = (struct bench_object){.index = l->next_index};
    l->next_index += (uint64_t)l->loops;
    ret->size = w->cfg->tree ? w->cfg->tree->files[ret->index].size
                             : data_size(&w->cfg->sizes, w->cfg->seed, ret->index);
    return true;
}

static int fill_object(struct worker *w, struct bench_object *o, struct iovec *iov)
{
    if (!w->cfg->tree)
        return data_pieces(w->cfg->seed, o->index, o->size, w->label, iov);
    int rc = tree_read(w->cfg->tree, o->index, &w->file);
    if (rc < 0)
        return rc;
    o->crc = crc32c(0, w->file.p, w->file.len);
    iov[0] = (struct iovec){w->file.p, w->file.len};
    return 1;
}

static int do_put(struct worker *w, struct outcome *out)
{
    const struct bench_target *t = &w->cfg->target;
    struct bench_object o;
    if (!next_object(w, &o)) {
        out->none = true;
        return 0;
    }
    int pieces = fill_object(w, &o, w->iov + 1);
    if (pieces < 0)
        return pieces;
    size_t len = target_head(t, OP_PUT, &o, o.size, NULL, w->head);
    int rc = request(w, OP_PUT, len, pieces);
    if (rc == 0)
        rc = read_reply(w);
    if (rc == 0 && t->kind == TARGET_BLOB)
        rc = parse_id(buf_slice(&w->reply), &o.id);
    if (rc == 0)
        rc = objects_add(&w->loop->objects, &o, object_name(w, o.index));
    out->ops = 1;
    out->bytes = o.size;
    return rc;
}

static int add_to_tar(struct worker *w, struct bench_object *o)
{
    char made_up[17];
    const char *name = made_up;
    if (w->cfg->tree)
        name = w->cfg->tree->files[o->index].name;
    else
        snprintf(made_up, sizeof(made_up), "%016" PRIx64, o->index);
    int rc = tar_write_header(&w->tar, slice_str(name), o->size, 0);
    if (rc < 0)
        return rc;
    int pieces = fill_object(w, o, w->iov + 1);
    if (pieces < 0)
        return pieces;
    for (int i = 1; i <= pieces && rc == 0; i++)
        rc = buf_add(&w->tar, w->iov[i].iov_base, w->iov[i].iov_len);
    static const uint8_t zeros[TAR_BLOCK];
    return rc < 0 ? rc : buf_add(&w->tar, zeros, tar_padding(o->size));
}

/* One line of the answer per entry, in order. An entry that was refused does not hide the others.
 */
static int take_batch_reply(struct worker *w, uint32_t n)
{
    struct slice rest = buf_slice(&w->reply);
    int refused = 0;
    for (uint32_t i = 0; i < n; i++) {
        ptrdiff_t end = slice_find(rest, '\n');
        struct slice line = slice_sub(rest, 0, end < 0 ? rest.len : (size_t)end);
        if (line.len == 0)
            return err_set(KT_ERR_PROTO, "a batch of %u files was answered by %u lines", n, i);
        int rc = parse_id(line, &w->batch[i].id);
        if (rc < 0)
            refused = rc;
        else
            rc = objects_add(&w->loop->objects, &w->batch[i], object_name(w, w->batch[i].index));
        if (rc < 0 && rc != refused)
            return rc;
        rest = slice_sub(rest, line.len + 1, SIZE_MAX);
    }
    return refused;
}

static int do_batch(struct worker *w, struct outcome *out)
{
    uint32_t n = 0;
    int rc = 0;
    w->tar.len = 0;
    while (rc == 0 && n < w->cfg->batch_files && w->tar.len < MIB(16) &&
           next_object(w, &w->batch[n])) {
        rc = add_to_tar(w, &w->batch[n]);
        out->bytes += w->batch[n].size;
        n++;
    }
    out->none = n == 0;
    if (rc == 0 && n > 0)
        rc = tar_write_end(&w->tar);
    if (rc < 0 || n == 0)
        return rc;
    size_t len = target_head(&w->cfg->target, OP_BATCH, &w->batch[0], w->tar.len, NULL, w->head);
    w->iov[1] = (struct iovec){w->tar.p, w->tar.len};
    rc = request(w, OP_BATCH, len, 1);
    if (rc == 0)
        rc = read_reply(w);
    if (rc == 0)
        rc = take_batch_reply(w, n);
    out->ops = n;
    return rc;
}

/* ---- get, delete, list ---- */

static bool piece_matches(const struct worker *w, const struct bench_object *o, uint64_t at,
                          struct slice piece, uint32_t *crc)
{
    if (!w->loop->objects.files)
        return data_matches(w->loop->objects.seed, o->index, at, piece);
    *crc = crc32c(*crc, piece.p, piece.len);
    return true;
}

static int read_body(struct worker *w, const struct bench_object *o, bool verify)
{
    uint64_t at = 0;
    uint32_t crc = 0;
    struct slice piece;
    bool good = true;
    for (;;) {
        int rc = conn_body(&w->conn, &piece, w->deadline_ns);
        if (rc < 0)
            return rc;
        if (piece.len == 0)
            break;
        good = good && (!verify || piece_matches(w, o, at, piece, &crc));
        at += piece.len;
    }
    if (verify && w->loop->objects.files)
        good = crc == o->crc;
    if (at != o->size || !good)
        return err_set(KT_ERR_CORRUPT, "object %" PRIx64 ": %s (%" PRIu64 " bytes of %u)", o->index,
                       good ? "wrong length" : "wrong bytes", at, o->size);
    return 0;
}

static const char *signed_ahead(const struct bench_loop *l, uint64_t i)
{
    return i < l->objects.signed_n ? l->objects.sigs[i] : NULL;
}

static int get_object(struct worker *w, uint64_t i, bool verify, struct outcome *out)
{
    struct bench_loop *l = w->loop;
    struct bench_object o = l->objects.items[i];
    size_t len = target_head(&w->cfg->target, OP_GET, &o, 0, signed_ahead(l, i), w->head);
    int rc = request(w, OP_GET, len, 0);
    if (rc == 0)
        rc = read_body(w, &o, verify);
    out->ops = 1;
    out->bytes = o.size;
    out->verified = verify;
    return rc;
}

static int do_get(struct worker *w, struct outcome *out)
{
    struct bench_loop *l = w->loop;
    uint64_t live = l->objects.n - l->cursor;
    out->none = live == 0;
    if (live == 0)
        return 0;
    /* Zipf's sum is made for the number at the start; later ones only shift the choice. */
    uint64_t pick = l->keys.n > 0 ? data_keys_pick(&l->keys, &l->rand) % live : 0;
    uint64_t i = l->cursor + pick;
    bool verify = w->cfg->verify > 0 && rand_unit(&l->rand) < w->cfg->verify;
    int rc = get_object(w, i, verify, out);
    out->raced = rc == -KT_ERR_NOT_FOUND && i < l->cursor;
    return rc;
}

/* Reads the next object of all: a live one must be there, a deleted one must not. */
static int do_check(struct worker *w, struct outcome *out)
{
    struct bench_loop *l = w->loop;
    out->none = l->cursor >= l->objects.n;
    if (out->none)
        return 0;
    uint64_t i = l->cursor++;
    enum object_state state = l->objects.state[i];
    int rc = get_object(w, i, state != OBJECT_DEAD, out);
    if (rc == 0 && state == OBJECT_DEAD) {
        out->revived = true;
        return err_set(KT_ERR_CORRUPT, "object %" PRIx64 " was deleted and is readable",
                       l->objects.items[i].index);
    }
    return rc == -KT_ERR_NOT_FOUND && state != OBJECT_LIVE ? 0 : rc;
}

static bool chosen_for_delete(const struct bench_loop *l, uint64_t i)
{
    if (l->objects.state[i] != OBJECT_LIVE)
        return false;
    uint64_t bits = data_mix(l->cfg->seed ^ data_mix(l->objects.items[i].index + 77));
    return (double)(bits >> 11) * 0x1p-53 < l->cfg->share;
}

static int do_delete(struct worker *w, struct outcome *out)
{
    struct bench_loop *l = w->loop;
    while (l->cursor < l->objects.n && !chosen_for_delete(l, l->cursor))
        l->cursor++;
    out->none = l->cursor >= l->objects.n;
    if (out->none)
        return 0;
    uint64_t i = l->cursor++, rest;
    struct bench_object o = l->objects.items[i];
    size_t len = target_head(&w->cfg->target, OP_DELETE, &o, 0, signed_ahead(l, i), w->head);
    int rc = request(w, OP_DELETE, len, 0);
    if (rc == 0)
        rc = conn_discard(&w->conn, &rest, w->deadline_ns);
    if (rc == 0)
        l->objects.state[i] = OBJECT_DEAD;
    else if (!w->conn.open)
        l->objects.state[i] = OBJECT_MAYBE;
    out->ops = 1;
    return rc;
}

static int do_list(struct worker *w, struct outcome *out)
{
    struct bench_loop *l = w->loop;
    struct bench_object from = {.index = rand_below(&l->rand, KT_MAX(l->next_index, UINT64_C(1)))};
    size_t len = target_head(&w->cfg->target, OP_LIST, &from, 0, NULL, w->head);
    int rc = request(w, OP_LIST, len, 0);
    if (rc == 0)
        rc = conn_discard(&w->conn, &out->bytes, w->deadline_ns);
    out->ops = 1;
    return rc;
}

/* ---- the loop ---- */

static enum target_op choose_op(struct bench_loop *l)
{
    uint32_t sum = 0;
    for (int op = 0; op < OP_COUNT; op++)
        sum += l->cfg->weights[op];
    uint64_t pick = rand_below(&l->rand, sum);
    for (int op = 0; op < OP_COUNT; op++) {
        if (pick < l->cfg->weights[op])
            return (enum target_op)op;
        pick -= l->cfg->weights[op];
    }
    return OP_GET;
}

static int do_op(struct worker *w, struct outcome *out)
{
    out->op = w->cfg->check ? OP_GET : choose_op(w->loop);
    w->deadline_ns = rt_after_ms(w->cfg->timeout_ms);
    if (w->cfg->check)
        return do_check(w, out);
    switch (out->op) {
    case OP_PUT:
        return do_put(w, out);
    case OP_GET:
        return do_get(w, out);
    case OP_DELETE:
        return do_delete(w, out);
    case OP_LIST:
        return do_list(w, out);
    case OP_BATCH:
    case OP_COUNT:
        break;
    }
    return do_batch(w, out);
}

/* Waits until the next ticket is due; sets when it was. False: no more. */
static bool take_ticket(struct bench_loop *l, int64_t *ret_due_ns)
{
    if (l->tickets >= l->tickets_max || atomic_load_explicit(&l->stop, memory_order_relaxed))
        return false;
    uint64_t ticket = l->tickets++;
    *ret_due_ns = rt_clock_ns();
    if (l->interval_ns > 0) {
        int64_t due = l->start_ns + (int64_t)ticket * l->interval_ns;
        if (due > *ret_due_ns && rt_sleep_until(due) < 0)
            return false;
        *ret_due_ns = due;
    }
    return *ret_due_ns < l->until_ns;
}

static void count_failure(struct bench_loop *l, struct bench_tally *t, int rc,
                          const struct outcome *out)
{
    if (out->raced) {
        t->raced++;
        return;
    }
    if (out->revived)
        t->resurrected++;
    else if (rc == -KT_ERR_NOT_FOUND)
        t->not_found++;
    else if (rc == -KT_ERR_BUSY)
        t->busy++;
    else if (rc == -KT_ERR_CORRUPT)
        t->corrupt++;
    else
        t->errors++;
    if (!l->first_error[0])
        snprintf(l->first_error, sizeof(l->first_error), "%.*s", RUN_ERROR_TEXT - 1, err_text(rc));
}

static void record(struct bench_loop *l, const struct outcome *out, int rc, int64_t due_ns)
{
    struct bench_tally *t = &l->tally[out->op];
    int64_t now = rt_clock_ns();
    if (rc < 0) {
        count_failure(l, t, rc, out);
        return;
    }
    if (due_ns < l->from_ns || now > l->until_ns)
        return;
    t->ops += out->ops;
    t->bytes += out->bytes;
    t->requests++;
    t->verified += out->verified;
    hist_record(&t->latency, (uint64_t)KT_MAX(now - due_ns, INT64_C(0)));
}

/* After a failure of the connection itself: pause, give up after a while. */
static int after_failure(struct worker *w, int rc)
{
    bool of_connection = rc == -KT_ERR_CLOSED || rc == -KT_ERR_EOF || rc == -KT_ERR_TIMEOUT ||
                         rc == -KT_ERR_UNAVAILABLE || rc == -KT_ERR_IO || rc == -KT_ERR_LIMIT;
    if (!of_connection || w->conn.open) {
        w->failures = 0;
        return 0;
    }
    if (++w->failures >= CONNECT_TRIES)
        return rc;
    return rt_sleep_until(rt_after_ms(CONNECT_PAUSE_MS));
}

static int work(struct worker *w)
{
    struct bench_loop *l = w->loop;
    int64_t due_ns;
    int rc = 0;
    while (rc == 0 && take_ticket(l, &due_ns)) {
        struct outcome out = {0};
        int op_rc = do_op(w, &out);
        if (op_rc == 0 && out.none)
            break;
        record(l, &out, op_rc, due_ns);
        atomic_fetch_add_explicit(&l->done, KT_MAX(out.ops, UINT64_C(1)), memory_order_relaxed);
        if (op_rc < 0)
            rc = after_failure(w, op_rc);
        else
            w->failures = 0;
    }
    return rc;
}

int worker_run(void *arg)
{
    struct bench_loop *l = arg;
    struct worker *w = mem_zalloc(sizeof(*w));
    w->loop = l;
    w->cfg = l->cfg;
    conn_init(&w->conn, &l->cfg->target.addr);
    w->head = mem_alloc(TARGET_HEAD_MAX);
    w->file = BUF_INIT(DATA_SIZE_MAX + 1);
    w->tar = BUF_INIT(MIB(64));
    w->reply = BUF_INIT(REPLY_MAX);
    if (l->cfg->weights[OP_BATCH] > 0)
        w->batch = mem_alloc(sizeof(*w->batch) * l->cfg->batch_files);
    int rc = work(w);
    if (rc < 0) {
        l->failed_rc = rc;
        if (!l->first_error[0])
            snprintf(l->first_error, sizeof(l->first_error), "%.*s", RUN_ERROR_TEXT - 1,
                     err_text(rc));
    }
    l->connects += w->conn.connects;
    conn_done(&w->conn);
    mem_free(w->head);
    buf_done(&w->file);
    buf_done(&w->tar);
    buf_done(&w->reply);
    mem_free(w->batch);
    mem_free(w);
    return 0;
}
