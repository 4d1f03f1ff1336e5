/* conn: the life of one connection.
 *
 * Happy path of a small keep-alive GET: on_readable starts a fiber; serve() receives once, parses,
 * calls the handler, whose http_reply sends once; nothing is left in the buffer, so the block goes
 * back to the pool, the socket is parked with an idle timer, and the fiber ends.
 *
 * Failure: an error of framing answers its status and ends the connection: the sending side is
 * shut, input is read away for a moment so that the answer is not lost to a reset, then the socket
 * is closed. When no fiber can be had, the connection waits with its bytes in the kernel and tries
 * again every 20 ms for 5 s. A connection that the peer closed between requests is closed without a
 * word.
 */
#include "base/assert.h"
#include "http/http_priv.h"

#define RETRY_MS 20
#define RETRY_FOR_NS (5 * NS_PER_SEC)

/* What becomes of a connection after a request. */
enum next { NEXT_REQUEST, NEXT_PARK, NEXT_LINGER, NEXT_CLOSE };

static void on_readable(struct rt_sock *s);
static void on_timer(struct rt_timer *t);

static const struct http_limits *limits_of(const struct http_conn *c)
{
    return &c->loop->server->opt.limits;
}

/* ---- active blocks ---- */

static struct http_active *active_take(struct http_loop *l)
{
    struct list *n = list_pop_front(&l->pool);
    struct http_active *a;
    if (n) {
        l->pool_len--;
        a = list_entry(n, struct http_active, link);
    } else {
        size_t cap = l->server->h1.head_max + 2 * HTTP_BODY_WINDOW;
        a = mem_try_alloc(sizeof(*a) + cap);
        if (!a)
            return NULL;
        a->in_cap = cap;
        list_init(&a->link);
    }
    a->pos = a->end = a->body_base = 0;
    return a;
}

static void active_give(struct http_loop *l, struct http_active *a)
{
    if (l->pool_len >= HTTP_POOL_MAX || l->stopping) {
        mem_free(a);
        return;
    }
    list_push_front(&l->pool, &a->link);
    l->pool_len++;
}

void http_pool_done(struct http_loop *l)
{
    struct list *n;
    while ((n = list_pop_front(&l->pool)) != NULL)
        mem_free(list_entry(n, struct http_active, link));
    l->pool_len = 0;
}

/* ---- parking ---- */

void http_conn_free(struct http_conn *c)
{
    struct http_loop *l = c->loop;
    if (c->state == CONN_PARKED) {
        http_count(&l->n.parked, -1);
        rt_unpark(&c->sock);
    }
    rt_timer_cancel(&c->timer);
    rt_close(&c->sock);
    list_remove(&c->link);
    l->nconns--;
    http_count(&l->n.conns, -1);
    atomic_fetch_sub(&l->server->conns, 1);
    mem_free(c);
    rt_cond_broadcast(&l->idle);
}

/* Parks the connection until bytes arrive; closes it when that can't be done or the server stops.
 */
static void park(struct http_conn *c)
{
    c->state = CONN_CLOSING;
    if (c->loop->stopping ||
        rt_timer_set(&c->timer, rt_after_ms(limits_of(c)->idle_timeout_ms)) < 0 ||
        rt_park(&c->sock, on_readable) < 0) {
        http_conn_free(c);
        return;
    }
    c->state = CONN_PARKED;
    http_count(&c->loop->n.parked, 1);
}

void http_conn_start(struct http_conn *c)
{
    rt_timer_init(&c->timer, on_timer);
    park(c);
}

static int conn_main(void *arg);

static void start_fiber(struct http_conn *c)
{
    if (rt_go_root(conn_main, c) == 0) {
        c->state = CONN_ACTIVE;
        return;
    }
    int64_t now = rt_now_ns();
    if (c->state != CONN_RETRY)
        c->retry_until_ns = now + RETRY_FOR_NS;
    c->state = CONN_RETRY;
    if (now >= c->retry_until_ns || rt_timer_set(&c->timer, now + RETRY_MS * NS_PER_MS) < 0) {
        http_count(&c->loop->n.rejected_busy, 1);
        http_conn_free(c);
    }
}

/* Loop callback, not on a fiber. */
static void on_readable(struct rt_sock *s)
{
    struct http_conn *c = KT_CONTAINER_OF(s, struct http_conn, sock);
    kt_assert(c->state == CONN_PARKED);
    rt_timer_cancel(&c->timer);
    http_count(&c->loop->n.parked, -1);
    c->state = CONN_CLOSING;
    start_fiber(c);
}

/* Loop callback, not on a fiber. */
static void on_timer(struct rt_timer *t)
{
    struct http_conn *c = KT_CONTAINER_OF(t, struct http_conn, timer);
    if (c->state == CONN_RETRY)
        start_fiber(c);
    else
        http_conn_free(c);
}

/* ---- one request ---- */

/* Moves unread bytes to the front when the rest of the buffer could not hold a whole head and a
 * window. */
static void make_room(struct http_active *a, size_t head_max)
{
    if (a->pos == a->end) {
        a->pos = a->end = 0;
    } else if (a->in_cap - a->pos < head_max + HTTP_BODY_WINDOW) {
        memmove(a->in, a->in + a->pos, a->end - a->pos);
        a->end -= a->pos;
        a->pos = 0;
    }
}

/* Returns 1 when a head was parsed, 0 at the end of the stream before one began, or an error. */
static int read_head(struct http_conn *c, struct http_active *a)
{
    const struct h1_limits *lim = &c->loop->server->h1;
    size_t scanned = 0;
    int64_t deadline = 0;
    make_room(a, lim->head_max);
    for (;;) {
        struct slice in = slice_of(a->in + a->pos, a->end - a->pos);
        ssize_t n = in.len ? h1_parse_head(in, lim, &scanned, &a->rq.head) : 0;
        if (n < 0)
            return (int)n;
        if (n > 0) {
            a->pos += (size_t)n;
            return 1;
        }
        if (deadline == 0)
            deadline = rt_after_ms(limits_of(c)->head_timeout_ms);
        n = rt_recv(&c->sock, a->in + a->end, a->in_cap - a->end, deadline);
        if (n == -KT_ERR_TIMEOUT)
            return err_set(KT_ERR_CLIENT_TIMEOUT, "request head took longer than %u ms",
                           limits_of(c)->head_timeout_ms);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return in.len ? err_set(KT_ERR_CLOSED, "end of stream inside a request head") : 0;
        a->end += (size_t)n;
    }
}

/* Sets every member of the request but its head. */
static void begin_request(struct http_conn *c, struct http_active *a)
{
    struct http_request *rq = &a->rq;
    struct http_loop *l = c->loop;
    arena_init(&rq->arena, a->arena_first, sizeof(a->arena_first), HTTP_ARENA_MAX);
    rq->conn = c;
    rq->peer = c->peer;
    l->next_id += UINT64_C(0x9e3779b97f4a7c15); /* odd: every id differs until all have been used */
    rq->id = l->next_id;
    rq->started_ns = rt_now_ns();
    rq->body_len = 0;
    rq->body_read = 0;
    rq->status = 0;
    rq->sent_bytes = 0;
    rq->api = "";
    rq->user = NULL;
    rt_set_request_id(rq->id);
    http_reply_reset(a);
    a->broken = false;
    a->body_done = true;
    a->expect_pending = false;
    http_count(&l->n.requests, 1);
}

static void end_request(struct http_conn *c, struct http_active *a, int rc)
{
    const struct http_server_options *opt = &c->loop->server->opt;
    if (opt->done)
        opt->done(opt->arg, &a->rq, rc);
    arena_done(&a->rq.arena);
    rt_set_request_id(0);
}

/* Answers a head that could not be parsed, or did not come in time. */
static enum next refuse(struct http_conn *c, struct http_active *a, int rc)
{
    if (rc == -KT_ERR_CLOSED || rc == -KT_ERR_CANCELED)
        return NEXT_CLOSE;
    begin_request(c, a);
    http_count(rc == -KT_ERR_CLIENT_TIMEOUT ? &c->loop->n.timeouts : &c->loop->n.rejected_proto, 1);
    struct h1_head *h = &a->rq.head;
    h->method = H1_GET;
    h->target = h->path = h->query = h->host = slice_of(NULL, 0);
    h->has_query = h->keep_alive = h->expect_continue = false;
    h->minor = 1;
    h->body_len = 0;
    h->nfields = 0;
    a->rq.api = "malformed";
    a->broken = true;
    int sent = http_reply_error(&a->rq, rc);
    end_request(c, a, rc);
    return sent < 0 ? NEXT_CLOSE : NEXT_LINGER;
}

/* Calls the handler and makes sure that one whole answer went out. */
static int answer(struct http_conn *c, struct http_active *a)
{
    const struct http_server_options *opt = &c->loop->server->opt;
    int rc = opt->handler(opt->arg, &a->rq);
    if (rc >= 0 && a->reply != REPLY_DONE)
        rc = err_set(KT_ERR_INTERNAL, "handler left its request without a whole answer");
    if (rc < 0 && (a->reply == REPLY_NONE || a->reply == REPLY_HELD)) {
        if (rc == -KT_ERR_CLIENT_TIMEOUT)
            http_count(&c->loop->n.timeouts, 1);
        int sent = http_reply_error(&a->rq, rc);
        if (sent < 0)
            a->broken = true;
    } else if (rc < 0) {
        a->broken = true;
    }
    return rc;
}

static enum next serve_one(struct http_conn *c, struct http_active *a)
{
    int rc = read_head(c, a);
    if (rc < 0)
        return refuse(c, a, rc);
    if (rc == 0)
        return NEXT_CLOSE;
    begin_request(c, a);
    http_body_start(a);
    rc = answer(c, a);
    bool cut = a->reply != REPLY_DONE;
    end_request(c, a, rc);
    if (cut)
        return NEXT_CLOSE;
    if (!a->keep || a->broken || http_body_drain(a) < 0)
        return NEXT_LINGER;
    return a->pos == a->end ? NEXT_PARK : NEXT_REQUEST;
}

/* Says that nothing more will be sent and reads away what the peer is still sending: closing with
 * unread input would reset the connection and could take the answer with it. */
static void linger(struct http_conn *c)
{
    uint8_t junk[4096];
    size_t left = HTTP_LINGER_BYTES;
    int64_t end = rt_after_ms(HTTP_LINGER_MS);
    if (rt_shutdown(&c->sock) < 0)
        return;
    while (left > 0 && !c->loop->stopping && rt_now_ns() < end) {
        ssize_t n = rt_recv(&c->sock, junk, sizeof(junk), rt_after_ms(HTTP_LINGER_GAP_MS));
        if (n <= 0)
            return;
        left -= KT_MIN(left, (size_t)n);
    }
}

/* The fiber of one active connection. */
static int conn_main(void *arg)
{
    struct http_conn *c = arg;
    struct http_loop *l = c->loop;
    struct http_active *a = active_take(l);
    enum next next = NEXT_CLOSE;
    if (a) {
        c->active = a;
        a->conn = c;
        do
            next = serve_one(c, a);
        while (next == NEXT_REQUEST);
        c->active = NULL;
        active_give(l, a);
    }
    if (next == NEXT_PARK) {
        park(c);
        return 0;
    }
    c->state = CONN_CLOSING;
    if (next == NEXT_LINGER)
        linger(c);
    http_conn_free(c);
    return 0;
}
