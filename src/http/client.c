/* client: one exchange over a pooled connection.
 *
 * Happy path: take a connection, send head and body pieces in one call, receive until the response
 * head is whole, hand out the body, give the connection back.
 *
 * Failure: a server may answer before it has the whole body (413, 503). A streamed body stops when
 * the answer is seen; when sending fails, the answer is read if it is there; the connection is not
 * used again. A pooled connection that fails before the first byte of a response is replaced once,
 * for requests that may be sent twice.
 */
#include "http/client.h"

#include "base/assert.h"
#include "base/enc.h"
#include "http/pool.h"

#define PIECES_MAX 8
#define DIRECT_MIN 4096u

int http_client_open(const struct http_client_options *opt, struct http_client **ret)
{
    struct http_client *c = mem_zalloc(sizeof(*c));
    c->opt = *opt;
    if (c->opt.conns_per_addr == 0)
        c->opt.conns_per_addr = 64;
    if (c->opt.idle_max == 0)
        c->opt.idle_max = 64;
    if (c->opt.idle_timeout_ms == 0)
        c->opt.idle_timeout_ms = 30000;
    if (c->opt.head_bytes_max == 0)
        c->opt.head_bytes_max = 16384;
    c->h1 = (struct h1_limits){c->opt.head_bytes_max, 0, H1_FIELDS_MAX};
    list_init(&c->peers);
    list_init(&c->by_age);
    *ret = c;
    return 0;
}

void http_client_close(struct http_client *c)
{
    if (!c)
        return;
    pool_done(c);
    mem_free(c);
}

void http_client_stats(const struct http_client *c, struct http_client_stats *ret)
{
    *ret = c->stats;
    ret->idle = c->nidle;
}

/* ---- the request ---- */

static bool target_ok(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '#')
            return false;
    return s.len > 0 && (s.p[0] == '/' || s.p[0] == '*');
}

static bool is_framing(struct slice name)
{
    return slice_eq_nocase(name, SLICE_LIT("content-length")) ||
           slice_eq_nocase(name, SLICE_LIT("transfer-encoding")) ||
           slice_eq_nocase(name, SLICE_LIT("host")) ||
           slice_eq_nocase(name, SLICE_LIT("connection"));
}

static int check_call(const struct http_call *call)
{
    size_t need = 128 + call->target.len + call->host.len;
    if (!target_ok(call->target) || call->host.len == 0 || !h1_is_value(call->host))
        return err_set(KT_ERR_INVALID, "request target or host may not be sent");
    for (int i = 0; i < call->nfields; i++) {
        struct slice name = slice_str(call->fields[i].name);
        if (!h1_is_token(name) || is_framing(name) || !h1_is_value(call->fields[i].value))
            return err_set(KT_ERR_INVALID, "request field %.64s may not be sent",
                           call->fields[i].name);
        need += name.len + call->fields[i].value.len + 4;
    }
    if (need > POOL_OUT_MAX)
        return err_set(KT_ERR_INVALID, "request head of %zu bytes, limit %u", need, POOL_OUT_MAX);
    return 0;
}

static char *put_slice(char *at, struct slice s)
{
    if (s.len)
        memcpy(at, s.p, s.len);
    return at + s.len;
}

static char *put_str(char *at, const char *s)
{
    return put_slice(at, slice_str(s));
}

static uint64_t body_total(const struct http_call *call)
{
    if (call->body_fn)
        return call->body_len;
    uint64_t total = 0;
    for (int i = 0; i < call->nbody; i++)
        total += call->body[i].len;
    return total;
}

static size_t build_head(const struct http_call *call, uint64_t total, char *out)
{
    char *at = put_str(out, h1_method_name(call->method));
    at = put_str(at, " ");
    at = put_slice(at, call->target);
    at = put_str(at, " HTTP/1.1\r\nhost: ");
    at = put_slice(at, call->host);
    at = put_str(at, "\r\n");
    for (int i = 0; i < call->nfields; i++) {
        at = put_str(at, call->fields[i].name);
        at = put_str(at, ": ");
        at = put_slice(at, call->fields[i].value);
        at = put_str(at, "\r\n");
    }
    if (total == UINT64_MAX) {
        at = put_str(at, "transfer-encoding: chunked\r\n");
    } else if (total > 0 || call->method == H1_PUT || call->method == H1_POST) {
        at = put_str(at, "content-length: ");
        at += dec_from_u64(total, at);
        at = put_str(at, "\r\n");
    }
    at = put_str(at, "\r\n");
    return (size_t)(at - out);
}

static struct iovec iov_of(const void *p, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)p, len};
}

static size_t size_line(char out[20], size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    for (int shift = 60; shift >= 0; shift -= 4)
        if (n > 0 || shift == 0 || len >> shift)
            out[n++] = digits[len >> shift & 15];
    memcpy(out + n, "\r\n", 2);
    return n + 2;
}

/* Looks for an answer that comes before the body has been sent. Returns 1 when there is one:
 * sending more would be waste, and the connection can't be used again. */
static int early_answer(struct client_conn *conn)
{
    ssize_t n = rt_recv_now(&conn->sock, conn->in, conn->in_cap);
    if (n == -KT_ERR_AGAIN)
        return 0;
    if (n <= 0)
        return n < 0 ? (int)n
                     : err_set(KT_ERR_CLOSED, "connection closed while the request was sent");
    if (n > 9 && conn->in[9] == '1')
        return 0; /* an interim answer that nobody asked for */
    conn->end = (size_t)n;
    conn->broken = true;
    return 1;
}

/* Sends what the callback gives, in pieces of the connection's read buffer, which is unused until
 * the response comes. */
static int send_stream(struct client_conn *conn, const struct http_call *call)
{
    bool chunked = call->body_len == UINT64_MAX;
    uint64_t left = call->body_len;
    char line[20];
    while (left > 0) {
        ssize_t n =
            call->body_fn(call->body_arg, conn->in, (size_t)KT_MIN(left, (uint64_t)conn->in_cap));
        if (n < 0 || (n == 0 && !chunked)) {
            conn->broken = true;
            return n < 0 ? (int)n : err_set(KT_ERR_EOF, "request body ends before its length");
        }
        struct iovec iov[3];
        int m = 0;
        if (n == 0)
            iov[m++] = iov_of("0\r\n\r\n", 5);
        if (n > 0 && chunked)
            iov[m++] = iov_of(line, size_line(line, (size_t)n));
        if (n > 0)
            iov[m++] = iov_of(conn->in, (size_t)n);
        if (n > 0 && chunked)
            iov[m++] = iov_of("\r\n", 2);
        int rc = rt_sendv(&conn->sock, iov, m, conn->deadline_ns);
        if (rc < 0)
            return rc;
        if (n == 0)
            break;
        left = chunked ? left : left - (uint64_t)n;
        rc = left > 0 ? early_answer(conn) : 0;
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    return 0;
}

static int send_call(struct client_conn *conn, const struct http_call *call)
{
    struct iovec iov[PIECES_MAX + 1];
    int n = 0;
    iov[n++] = iov_of(conn->out, build_head(call, body_total(call), conn->out));
    for (int i = 0; i < call->nbody && !call->body_fn; i++)
        iov[n++] = iov_of(call->body[i].p, call->body[i].len);
    int rc = rt_sendv(&conn->sock, iov, n, conn->deadline_ns);
    return rc == 0 && call->body_fn ? send_stream(conn, call) : rc;
}

/* ---- the response ---- */

static int fill(struct client_conn *conn)
{
    ssize_t n =
        rt_recv(&conn->sock, conn->in + conn->end, conn->in_cap - conn->end, conn->deadline_ns);
    if (n < 0) {
        conn->broken = true;
        return (int)n;
    }
    conn->end += (size_t)n;
    return n > 0;
}

/* Reads a final response head; interim ones are passed over. */
static int read_head(struct client_conn *conn, enum h1_method method)
{
    const struct h1_limits *lim = &conn->peer->client->h1;
    size_t scanned = 0;
    for (;;) {
        struct slice in = slice_of(conn->in + conn->pos, conn->end - conn->pos);
        ssize_t n = h1_parse_response(in, lim, method == H1_HEAD, &scanned, &conn->ex.head);
        if (n < 0)
            return err_wrap((int)n, "response");
        if (n > 0) {
            conn->pos += (size_t)n;
            if (conn->ex.head.status >= 200)
                return 0;
            memmove(conn->in, conn->in + conn->pos, conn->end - conn->pos);
            conn->end -= conn->pos;
            conn->pos = scanned = 0;
            continue;
        }
        int rc = fill(conn);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return err_set(KT_ERR_CLOSED, "connection closed before a response came");
    }
}

static void begin_body(struct client_conn *conn)
{
    conn->body_base = conn->pos;
    conn->body_left = conn->ex.head.body_len;
    conn->body_done = conn->body_left == 0;
    conn->ex.body_read = 0;
    h1_chunked_init(&conn->chunked);
}

/* One attempt on one connection. *ret_silent: it failed before any byte of a response came. */
static int attempt(struct client_conn *conn, const struct http_call *call, bool *ret_silent)
{
    int rc = send_call(conn, call);
    if (rc == -KT_ERR_CLOSED && !conn->broken) {
        /* The server closed while we were sending; perhaps it said why. */
        struct diag why = *diag_get();
        conn->broken = true;
        if (read_head(conn, call->method) == 0) {
            begin_body(conn);
            return 0;
        }
        *diag_get() = why;
    } else if (rc == 0) {
        rc = read_head(conn, call->method);
    }
    *ret_silent = conn->end == 0 && rc == -KT_ERR_CLOSED;
    if (rc == 0)
        begin_body(conn);
    return rc;
}

static bool may_repeat(const struct http_call *call)
{
    return !call->body_fn && (call->method != H1_POST || call->idempotent);
}

int http_client_call(struct http_client *c, const struct http_call *call,
                     struct http_exchange **ret)
{
    kt_assert(call->nbody >= 0 && call->nbody <= PIECES_MAX);
    int rc = check_call(call);
    for (int try = 0; rc == 0; try++) {
        struct client_conn *conn;
        bool silent = false;
        rc = pool_take(c, &call->addr, try > 0, call->deadline_ns, &conn);
        if (rc < 0)
            break;
        rc = attempt(conn, call, &silent);
        if (rc == 0) {
            *ret = &conn->ex;
            return 0;
        }
        bool again = silent && conn->ex.reused && try == 0 && may_repeat(call);
        pool_give(conn, false);
        if (!again)
            break;
        c->stats.retries++;
        rc = 0;
    }
    return rc;
}

/* ---- the body ---- */

static struct client_conn *conn_of(struct http_exchange *ex)
{
    return KT_CONTAINER_OF(ex, struct client_conn, ex);
}

static int body_fill(struct client_conn *conn)
{
    if (conn->pos == conn->end)
        conn->pos = conn->end = conn->body_base;
    return fill(conn);
}

static int cut_short(struct client_conn *conn)
{
    conn->broken = true;
    return err_set(KT_ERR_EOF, "response body ends before its length");
}

/* Identity bodies, and those that end with the connection. */
static ssize_t read_plain(struct client_conn *conn, void *p, size_t len)
{
    bool until_close = conn->ex.head.body_len == H1_LEN_UNTIL_CLOSE;
    len = (size_t)KT_MIN((uint64_t)len, conn->body_left);
    ssize_t n;
    if (conn->pos == conn->end && (len >= DIRECT_MIN || len == conn->body_left)) {
        n = rt_recv(&conn->sock, p, len, conn->deadline_ns);
    } else {
        n = conn->pos == conn->end ? body_fill(conn) : 1;
        if (n > 0) {
            n = (ssize_t)KT_MIN(len, conn->end - conn->pos);
            memcpy(p, conn->in + conn->pos, (size_t)n);
            conn->pos += (size_t)n;
        }
    }
    if (n < 0)
        conn->broken = true;
    if (n == 0 && !until_close)
        return cut_short(conn);
    if (n > 0 && !until_close)
        conn->body_left -= (uint64_t)n;
    conn->body_done = n == 0 || conn->body_left == 0;
    return n;
}

static ssize_t read_chunked(struct client_conn *conn, void *p, size_t len)
{
    for (;;) {
        size_t used;
        struct slice data;
        int rc = conn->pos == conn->end ? body_fill(conn) : 1;
        if (rc <= 0)
            return rc < 0 ? rc : cut_short(conn);
        struct slice in = slice_of(conn->in + conn->pos, KT_MIN(len, conn->end - conn->pos));
        rc = h1_chunked_feed(&conn->chunked, in, &used, &data);
        if (rc < 0) {
            conn->broken = true;
            return err_wrap(rc, "response");
        }
        conn->pos += used;
        conn->body_done = rc == 1;
        if (data.len)
            memcpy(p, data.p, data.len);
        if (data.len || rc == 1)
            return (ssize_t)data.len;
    }
}

ssize_t http_exchange_read(struct http_exchange *ex, void *p, size_t len)
{
    struct client_conn *conn = conn_of(ex);
    if (conn->body_done || len == 0)
        return 0;
    bool chunked = ex->head.body_len == H1_LEN_CHUNKED;
    ssize_t n = chunked ? read_chunked(conn, p, len) : read_plain(conn, p, len);
    if (n > 0)
        ex->body_read += (uint64_t)n;
    return n;
}

int http_exchange_read_all(struct http_exchange *ex, struct buf *out)
{
    struct client_conn *conn = conn_of(ex);
    uint64_t len = ex->head.body_len;
    bool known = len != H1_LEN_CHUNKED && len != H1_LEN_UNTIL_CLOSE;
    if (known && conn->body_left > out->max - out->len)
        return err_set(KT_ERR_TOO_LARGE, "response body of %llu bytes, room for %zu",
                       (unsigned long long)conn->body_left, out->max - out->len);
    while (!conn->body_done) {
        uint8_t probe;
        bool full = out->len == out->max;
        if (out->len == out->cap && !full) {
            uint64_t step = known ? KT_MIN(conn->body_left, KIB(64)) : KIB(16);
            int rc = buf_reserve(out, (size_t)KT_MIN(step, (uint64_t)(out->max - out->len)));
            if (rc < 0)
                return rc;
        }
        ssize_t n = http_exchange_read(ex, full ? &probe : out->p + out->len,
                                       full ? 1 : out->cap - out->len);
        if (n < 0)
            return (int)n;
        if (full && n > 0)
            return err_set(KT_ERR_TOO_LARGE, "response body of more than %zu bytes", out->max);
        out->len += (size_t)n;
    }
    return 0;
}

void http_exchange_end(struct http_exchange *ex)
{
    if (!ex)
        return;
    struct client_conn *conn = conn_of(ex);
    /* Bytes behind the body belong to no request of ours. */
    pool_give(conn,
              conn->body_done && !conn->broken && ex->head.keep_alive && conn->pos == conn->end);
}
