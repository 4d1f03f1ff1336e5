/* body: request bodies, and the memory budget that all of them share.
 *
 * Happy path: bytes that came with the head are taken from the read buffer; after that, reads of 4
 * KiB or more go straight from the socket into the caller's memory, identity and chunked alike, and
 * smaller ones through the window above the head.
 *
 * Failure: once framing or transport fails the connection is `broken`: it answers if it still can
 * and closes. Only the time spent waiting for the client counts against its rate; a handler may be
 * as slow as its disk.
 */
#include "base/assert.h"
#include "http/http_priv.h"

#define DIRECT_MIN 4096u
#define BODY_STEP 65536u

static _Atomic uint64_t budget_used;
static _Atomic uint64_t budget_max = UINT64_MAX;

void http_budget_set_max(uint64_t bytes)
{
    atomic_store_explicit(&budget_max, bytes, memory_order_relaxed);
}

int http_budget_take(uint64_t bytes)
{
    uint64_t max = atomic_load_explicit(&budget_max, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&budget_used, memory_order_relaxed);
    do {
        if (used > max || bytes > max - used)
            return err_set(
                KT_ERR_BUSY, "request bodies hold %llu of %llu bytes, no room for %llu more",
                (unsigned long long)used, (unsigned long long)max, (unsigned long long)bytes);
    } while (!atomic_compare_exchange_weak_explicit(&budget_used, &used, used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}

void http_budget_give(uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&budget_used, bytes, memory_order_relaxed);
    kt_assert(before >= bytes);
}

uint64_t http_budget_used(void)
{
    return atomic_load_explicit(&budget_used, memory_order_relaxed);
}

void http_body_start(struct http_active *a)
{
    const struct h1_head *h = &a->rq.head;
    a->body_base = a->pos;
    a->rq.body_len = h->body_len;
    a->body_left = h->body_len;
    a->body_done = h->body_len == 0;
    a->expect_pending = h->expect_continue;
    a->waited_ns = 0;
    a->waited_bytes = 0;
    if (h->body_len == H1_LEN_CHUNKED)
        h1_chunked_init(&a->chunked);
}

bool http_body_drainable(const struct http_active *a)
{
    if (a->body_done)
        return true;
    if (a->broken || a->expect_pending)
        return false;
    return a->rq.head.body_len == H1_LEN_CHUNKED || a->body_left <= HTTP_DRAIN_BYTES;
}

static int too_slow(struct http_active *a, const char *what)
{
    a->broken = true;
    return err_set(KT_ERR_CLIENT_TIMEOUT, "request body: %s", what);
}

/* Receives some bytes of the body, within the timeout and at the least rate. */
static ssize_t body_recv(struct http_active *a, void *p, size_t len)
{
    const struct http_limits *lim = &a->conn->loop->server->opt.limits;
    int64_t start = rt_now_ns();
    uint64_t least = (uint64_t)lim->body_rate_min * (HTTP_RATE_WINDOW_NS / NS_PER_SEC);
    int64_t wait = lim->body_timeout_ms * NS_PER_MS;
    bool behind = a->waited_bytes < least;
    if (behind)
        wait = KT_MIN(wait, HTTP_RATE_WINDOW_NS - a->waited_ns);
    ssize_t n = rt_recv(&a->conn->sock, p, len, start + wait);
    if (n == -KT_ERR_TIMEOUT)
        return too_slow(a, behind ? "slower than the least rate" : "no byte within the timeout");
    if (n <= 0) {
        a->broken = true;
        return n < 0 ? n : err_set(KT_ERR_EOF, "request body ends before its length");
    }
    a->waited_ns += rt_now_ns() - start;
    a->waited_bytes += (uint64_t)n;
    if (a->waited_ns >= HTTP_RATE_WINDOW_NS) {
        if (a->waited_bytes < least)
            return too_slow(a, "slower than the least rate");
        a->waited_ns = 0;
        a->waited_bytes = 0;
    }
    return n;
}

/* Puts more bytes into the window. */
static int body_fill(struct http_active *a)
{
    if (a->pos == a->end)
        a->pos = a->end = a->body_base;
    ssize_t n = body_recv(a, a->in + a->end, a->in_cap - a->end);
    if (n < 0)
        return (int)n;
    a->end += (size_t)n;
    return 0;
}

static ssize_t identity_read(struct http_active *a, void *p, size_t len)
{
    len = (size_t)KT_MIN((uint64_t)len, a->body_left);
    size_t have = a->end - a->pos;
    ssize_t n;
    if (have == 0 && (len >= DIRECT_MIN || len == a->body_left)) {
        n = body_recv(a, p, len);
        if (n < 0)
            return n;
    } else {
        int rc = have ? 0 : body_fill(a);
        if (rc < 0)
            return rc;
        n = (ssize_t)KT_MIN(len, a->end - a->pos);
        memcpy(p, a->in + a->pos, (size_t)n);
        a->pos += (size_t)n;
    }
    a->body_left -= (uint64_t)n;
    a->body_done = a->body_left == 0;
    return n;
}

/* Feeds received bytes; *ret_data is a run inside them. Returns as h1_chunked_feed. */
static int chunked_feed(struct http_active *a, struct slice in, size_t *ret_used,
                        struct slice *ret_data)
{
    int rc = h1_chunked_feed(&a->chunked, in, ret_used, ret_data);
    if (rc < 0)
        a->broken = true;
    a->body_done = rc == 1;
    return rc;
}

static ssize_t chunked_read(struct http_active *a, void *p, size_t len)
{
    size_t used;
    struct slice data;
    for (;;) {
        uint64_t run = h1_chunked_data_left(&a->chunked);
        if (a->pos == a->end && run >= DIRECT_MIN && len >= DIRECT_MIN) {
            ssize_t n = body_recv(a, p, (size_t)KT_MIN((uint64_t)len, run));
            if (n < 0)
                return n;
            int rc = chunked_feed(a, slice_of(p, (size_t)n), &used, &data);
            kt_assert(rc == 0 && data.len == (size_t)n);
            return n;
        }
        int rc = a->pos == a->end ? body_fill(a) : 0;
        if (rc < 0)
            return rc;
        /* No more than `len` bytes go in, so no run that comes out can be longer. */
        rc = chunked_feed(a, slice_of(a->in + a->pos, KT_MIN(len, a->end - a->pos)), &used, &data);
        if (rc < 0)
            return rc;
        a->pos += used;
        if (data.len)
            memcpy(p, data.p, data.len);
        if (data.len || rc == 1)
            return (ssize_t)data.len;
    }
}

static int send_continue(struct http_active *a)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    a->expect_pending = false;
    if (a->pos != a->end || a->reply != REPLY_NONE)
        return 0; /* the client did not wait, or has its answer already */
    struct iovec iov = {(void *)(uintptr_t)line, sizeof(line) - 1};
    int64_t deadline = rt_after_ms(a->conn->loop->server->opt.limits.send_timeout_ms);
    int rc = rt_sendv(&a->conn->sock, &iov, 1, deadline);
    if (rc < 0)
        a->broken = true;
    return rc;
}

static ssize_t read_some(struct http_active *a, void *p, size_t len)
{
    if (a->body_done || len == 0)
        return 0;
    if (a->broken)
        return err_set(KT_ERR_EOF, "request body can't be read any more");
    int rc = a->expect_pending ? send_continue(a) : 0;
    if (rc < 0)
        return rc;
    return a->rq.head.body_len == H1_LEN_CHUNKED ? chunked_read(a, p, len)
                                                 : identity_read(a, p, len);
}

ssize_t http_body_read(struct http_request *rq, void *p, size_t len)
{
    ssize_t n = read_some(http_active_of(rq), p, len);
    if (n > 0)
        rq->body_read += (uint64_t)n;
    return n;
}

static int too_large(const struct buf *out)
{
    return err_set(KT_ERR_TOO_LARGE, "request body is longer than %zu bytes", out->max);
}

/* Makes room for the next step, charging the budget first. `left`: bytes still to come, as far as
 * known. */
static int grow(struct buf *out, uint64_t left)
{
    uint64_t step = KT_MAX((uint64_t)BODY_STEP, out->cap / 4 / BODY_STEP * BODY_STEP);
    step = KT_MIN(KT_MIN(step, left), (uint64_t)(out->max - out->cap));
    if (step == 0)
        return too_large(out);
    int rc = http_budget_take(step);
    if (rc < 0)
        return rc;
    rc = buf_set_cap(out, out->cap + (size_t)step);
    if (rc < 0)
        http_budget_give(step);
    return rc;
}

static int read_all(struct http_request *rq, struct buf *out)
{
    struct http_active *a = http_active_of(rq);
    bool known = rq->head.body_len != H1_LEN_CHUNKED;
    if (known && a->body_left > out->max)
        return too_large(out);
    while (!a->body_done) {
        if (out->len == out->cap && !(out->cap == out->max && !known)) {
            int rc = grow(out, known ? a->body_left : UINT64_MAX);
            if (rc < 0)
                return rc;
        }
        uint8_t
            probe; /* when the buffer is full, only the end of a chunked body is still welcome */
        bool full = out->len == out->cap;
        ssize_t n =
            http_body_read(rq, full ? &probe : out->p + out->len, full ? 1 : out->cap - out->len);
        if (n < 0)
            return (int)n;
        if (full && n > 0)
            return too_large(out);
        out->len += (size_t)n;
    }
    return 0;
}

int http_body_read_all(struct http_request *rq, struct buf *out)
{
    kt_assert(out->cap == 0);
    int rc = read_all(rq, out);
    if (rc < 0)
        http_body_release(out);
    return rc;
}

void http_body_release(struct buf *b)
{
    http_budget_give(b->cap);
    buf_done(b);
}

/* Apart from http_body_drain, so that requests without a body don't pay for the buffer's zeroing.
 */
static __attribute__((noinline)) int drain(struct http_active *a)
{
    uint8_t junk[4096];
    size_t total = 0;
    while (!a->body_done) {
        ssize_t n = read_some(a, junk, sizeof(junk));
        if (n < 0)
            return (int)n;
        total += (size_t)n;
        if (total > HTTP_DRAIN_BYTES)
            return -KT_ERR_TOO_LARGE;
    }
    return 0;
}

int http_body_drain(struct http_active *a)
{
    return KT_LIKELY(a->body_done) ? 0 : drain(a);
}
