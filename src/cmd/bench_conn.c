/* bench_conn: send pieces, parse the head, hand out the body from one buffer.
 *
 * Failure: any error closes the connection, so that the next request begins on a clean one. */
#include "cmd/bench_conn.h"

#include "base/assert.h"
#include "base/buf.h"
#include <string.h>

static const struct h1_limits limits = {.head_max = KIB(16), .uri_max = KIB(8), .fields_max = 64};

void conn_init(struct bench_conn *c, const struct rt_addr *addr)
{
    *c = (struct bench_conn){.addr = *addr, .sock.handle = -1};
    c->buf = mem_alloc(CONN_BUFFER);
}

static void conn_close(struct bench_conn *c)
{
    if (c->open)
        rt_close(&c->sock);
    c->open = c->used = false;
    c->from = c->to = 0;
}

void conn_done(struct bench_conn *c)
{
    conn_close(c);
    mem_free(c->buf);
    c->buf = NULL;
}

static int conn_open(struct bench_conn *c, int64_t deadline_ns)
{
    int rc = c->open ? 0 : rt_connect(&c->addr, &c->sock, deadline_ns);
    if (rc == 0 && !c->open) {
        c->open = true;
        c->connects++;
    }
    return rc;
}

int conn_send(struct bench_conn *c, const struct iovec *iov, int n, int64_t deadline_ns)
{
    struct iovec pieces[CONN_IOV_MAX];
    kt_assert(n <= CONN_IOV_MAX);
    int rc = conn_open(c, deadline_ns);
    if (rc < 0)
        return rc;
    memcpy(pieces, iov, sizeof(*iov) * (size_t)n);
    rc = rt_sendv(&c->sock, pieces, n, deadline_ns);
    if (rc < 0)
        conn_close(c);
    return rc;
}

/* Receives more behind the unread bytes. Errors: EOF at the end of the stream. */
static int fill(struct bench_conn *c, int64_t deadline_ns)
{
    if (c->from == c->to)
        c->from = c->to = 0;
    if (c->to == CONN_BUFFER) {
        memmove(c->buf, c->buf + c->from, c->to - c->from);
        c->to -= c->from;
        c->from = 0;
    }
    ssize_t n = rt_recv(&c->sock, c->buf + c->to, CONN_BUFFER - c->to, deadline_ns);
    if (n == 0)
        return err_set(KT_ERR_EOF, "the server closed the connection within an answer");
    if (n < 0)
        return (int)n;
    c->to += (size_t)n;
    return 0;
}

static int read_head(struct bench_conn *c, int64_t deadline_ns)
{
    size_t scanned = 0;
    for (;;) {
        ssize_t n = 0;
        if (c->to > c->from)
            n = h1_parse_response(slice_of(c->buf + c->from, c->to - c->from), &limits, false,
                                  &scanned, &c->reply);
        if (n < 0)
            return (int)n;
        if (n > 0) {
            c->from += (size_t)n;
            if (c->reply.status >= 200)
                return 0;
            scanned = 0;
            continue;
        }
        int rc = fill(c, deadline_ns);
        if (rc < 0)
            return rc;
    }
}

int conn_request(struct bench_conn *c, const struct iovec *iov, int n, int64_t deadline_ns)
{
    bool stale_possible = c->open && c->used;
    c->from = c->to = 0;
    int rc = conn_send(c, iov, n, deadline_ns);
    if (rc == 0)
        rc = read_head(c, deadline_ns);
    bool stale = stale_possible && c->to == 0 && (rc == -KT_ERR_CLOSED || rc == -KT_ERR_EOF);
    if (stale) {
        conn_close(c);
        rc = conn_send(c, iov, n, deadline_ns);
        if (rc == 0)
            rc = read_head(c, deadline_ns);
    }
    if (rc < 0) {
        conn_close(c);
        return rc;
    }
    c->used = true;
    c->body_left = c->reply.body_len;
    c->body_ended = c->body_left == 0;
    h1_chunked_init(&c->chunked);
    return 0;
}

/* Decodes from what is buffered; sets *ret empty when more must be received. */
static int take_chunked(struct bench_conn *c, struct slice *ret)
{
    *ret = slice_of(NULL, 0);
    while (c->from < c->to && ret->len == 0 && !c->body_ended) {
        size_t used = 0;
        int rc =
            h1_chunked_feed(&c->chunked, slice_of(c->buf + c->from, c->to - c->from), &used, ret);
        if (rc < 0)
            return rc;
        c->from += used;
        c->body_ended = rc == 1;
    }
    return 0;
}

static int take_plain(struct bench_conn *c, struct slice *ret)
{
    size_t run = (size_t)KT_MIN((uint64_t)(c->to - c->from), c->body_left);
    *ret = slice_of(c->buf + c->from, run);
    c->from += run;
    if (c->body_left != H1_LEN_UNTIL_CLOSE)
        c->body_left -= run;
    c->body_ended = c->body_left == 0;
    return 0;
}

static int next_piece(struct bench_conn *c, struct slice *ret, int64_t deadline_ns)
{
    *ret = slice_of(NULL, 0);
    while (!c->body_ended && ret->len == 0) {
        int rc = c->from == c->to ? fill(c, deadline_ns) : 0;
        if (rc == -KT_ERR_EOF && c->body_left == H1_LEN_UNTIL_CLOSE) {
            c->body_ended = true;
            return 0;
        }
        if (rc == 0)
            rc = c->body_left == H1_LEN_CHUNKED ? take_chunked(c, ret) : take_plain(c, ret);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int conn_body(struct bench_conn *c, struct slice *ret, int64_t deadline_ns)
{
    int rc = next_piece(c, ret, deadline_ns);
    if (rc < 0 || (c->body_ended && ret->len == 0 && !c->reply.keep_alive))
        conn_close(c);
    return rc;
}

int conn_discard(struct bench_conn *c, uint64_t *ret_len, int64_t deadline_ns)
{
    struct slice piece;
    *ret_len = 0;
    for (;;) {
        int rc = conn_body(c, &piece, deadline_ns);
        if (rc < 0 || piece.len == 0)
            return rc;
        *ret_len += piece.len;
    }
}
