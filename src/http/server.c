/* server: start, accept, stop.
 *
 * Start binds every address on loop 0 and then, with the ports it got, on each other loop; an
 * accept fiber per listener puts each new connection into the loop's list and parks it (conn.c
 * takes over from there).
 *
 * Failure: a listener that can't be bound undoes the whole start. Out of descriptors or memory,
 * accept waits 100 ms and tries again, so that other connections may end. Over conns_max a
 * connection gets a 503 and is closed. Stop closes listeners and parked connections at once, waits
 * for the active ones, and at the deadline closes their sockets, which ends every wait of their
 * fibers with CLOSED.
 */
#include "http/server.h"

#include "base/assert.h"
#include "http/http_priv.h"

#define ACCEPT_PAUSE_MS 100

const struct http_limits http_limits_default = {
    .conns_max = 16384,
    .head_bytes_max = 16384,
    .uri_bytes_max = 8192,
    .fields_max = H1_FIELDS_MAX,
    .head_timeout_ms = 10000,
    .idle_timeout_ms = 60000,
    .send_timeout_ms = 30000,
    .body_timeout_ms = 30000,
    .body_rate_min = 1024,
    .body_budget = MIB(256),
};

/* Counts the connection in, or answers 503 and closes it. */
static void admit(struct http_conn *c)
{
    struct http_loop *l = c->loop;
    struct http_server *s = l->server;
    list_init(&c->link);
    if (atomic_fetch_add(&s->conns, 1) >= s->opt.limits.conns_max) {
        atomic_fetch_sub(&s->conns, 1);
        http_count(&l->n.rejected_busy, 1);
        http_reply_busy(&c->sock);
        rt_close(&c->sock);
        mem_free(c);
        return;
    }
    list_push_back(&l->conns, &c->link);
    l->nconns++;
    http_count(&l->n.conns, 1);
    http_conn_start(c);
}

/* Waits out a shortage. False when the loop stops meanwhile. */
static bool accept_pause(struct http_loop *l)
{
    return !l->stopping && rt_sleep_until(rt_after_ms(ACCEPT_PAUSE_MS)) == 0 && !l->stopping;
}

static int accept_main(void *arg)
{
    struct http_listener *listener = arg;
    struct http_loop *l = listener->loop;
    struct http_conn *c = NULL;
    while (!l->stopping) {
        if (!c)
            c = mem_try_alloc(sizeof(*c));
        if (!c) {
            if (!accept_pause(l))
                break;
            continue;
        }
        memset(c, 0, sizeof(*c));
        c->loop = l;
        int rc = rt_accept(&listener->sock, &c->sock, &c->peer, RT_NEVER);
        if (rc == 0)
            admit(TAKE(c));
        else if (!accept_pause(l))
            break;
    }
    mem_free(c);
    l->naccept--;
    rt_cond_broadcast(&l->idle);
    return 0;
}

static int listen_one(struct http_loop *l, int i)
{
    struct http_server *s = l->server;
    struct http_listener *listener = &l->listeners[i];
    char text[RT_ADDR_TEXT_MAX];
    rt_addr_format(&s->addrs[i], text);
    int rc = rt_listen(&s->addrs[i], &listener->sock);
    if (rc < 0) {
        listener->sock.handle = -1;
        return err_wrap(rc, "can't listen on %s", text);
    }
    rc = l->index == 0 ? rt_sock_local(&listener->sock, &s->addrs[i]) : 0;
    if (rc == 0)
        rc = rt_go_root(accept_main, listener);
    if (rc < 0)
        return err_wrap(rc, "can't serve on %s", text);
    l->naccept++;
    return 0;
}

/* Runs on the loop itself. */
static int start_loop(void *arg)
{
    struct http_loop *l = arg;
    list_init(&l->conns);
    list_init(&l->pool);
    rt_cond_init(&l->idle);
    rt_random(&l->next_id, sizeof(l->next_id));
    for (int i = 0; i < HTTP_LISTEN_MAX; i++) {
        l->listeners[i].sock.handle = -1;
        l->listeners[i].loop = l;
    }
    for (int i = 0; i < l->server->naddrs; i++) {
        int rc = listen_one(l, i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int http_server_start(const struct http_server_options *opt, const struct rt_addr *addrs, int n,
                      struct http_server **ret)
{
    kt_assert(rt_loop_index() == 0);
    if (n < 1 || n > HTTP_LISTEN_MAX)
        return err_set(KT_ERR_INVALID, "%d listen addresses, from 1 to %d are served", n,
                       HTTP_LISTEN_MAX);
    int nloops = rt_loop_count();
    struct http_server *s = mem_zalloc(sizeof(*s) + (size_t)nloops * sizeof(s->loops[0]));
    s->opt = *opt;
    s->h1 = (struct h1_limits){opt->limits.head_bytes_max, opt->limits.uri_bytes_max,
                               opt->limits.fields_max};
    s->naddrs = n;
    memcpy(s->addrs, addrs, (size_t)n * sizeof(addrs[0]));
    http_budget_set_max(opt->limits.body_budget);
    int rc = 0;
    for (int i = 0; i < nloops && rc == 0; i++) {
        s->loops[i].server = s;
        s->loops[i].index = i;
        s->nloops = i + 1;
        rc = rt_call_on(i, start_loop, &s->loops[i]);
    }
    if (rc < 0) {
        struct diag why = *diag_get();
        http_server_stop(s, rt_now_ns());
        *diag_get() = why;
        return rc;
    }
    *ret = s;
    return 0;
}

/* Waits until the loop has no connection and no accept fiber left. */
static int wait_idle(struct http_loop *l, int64_t deadline_ns)
{
    while (l->nconns > 0 || l->naccept > 0) {
        int rc = rt_cond_wait(&l->idle, deadline_ns);
        if (rc < 0)
            return rc;
    }
    return 0;
}

struct stop_args {
    struct http_loop *loop;
    int64_t deadline_ns;
};

/* Runs on the loop itself. */
static int stop_loop(void *arg)
{
    struct http_loop *l = ((struct stop_args *)arg)->loop;
    l->stopping = true;
    for (int i = 0; i < HTTP_LISTEN_MAX; i++)
        rt_close(&l->listeners[i].sock);
    list_for_each_safe(it, &l->conns)
    {
        struct http_conn *c = list_entry(it, struct http_conn, link);
        if (c->state == CONN_PARKED || c->state == CONN_RETRY)
            http_conn_free(c);
    }
    if (wait_idle(l, ((struct stop_args *)arg)->deadline_ns) < 0) {
        list_for_each(it, &l->conns) rt_close(&list_entry(it, struct http_conn, link)->sock);
        /* Bounded by the handlers' own waits: all of their sends and receives fail from now on. */
        while (wait_idle(l, RT_NEVER) < 0)
            if (rt_sleep_until(rt_after_ms(1)) < 0)
                rt_yield();
    }
    http_pool_done(l);
    return 0;
}

void http_server_stop(struct http_server *s, int64_t deadline_ns)
{
    if (!s)
        return;
    for (int i = 0; i < s->nloops; i++) {
        struct stop_args args = {&s->loops[i], deadline_ns};
        int rc = rt_call_on(i, stop_loop, &args);
        kt_assert(rc == 0);
    }
    mem_free(s);
}

int http_server_addr(const struct http_server *s, int i, struct rt_addr *ret)
{
    if (i < 0 || i >= s->naddrs)
        return err_set(KT_ERR_INVALID, "listener %d of %d", i, s->naddrs);
    *ret = s->addrs[i];
    return 0;
}

void http_server_stats(const struct http_server *s, struct http_server_stats *ret)
{
    struct http_server_stats sum = {0};
    for (int i = 0; i < s->nloops; i++) {
        const struct http_counters *n = &s->loops[i].n;
        sum.conns += atomic_load_explicit(&n->conns, memory_order_relaxed);
        sum.conns_parked += atomic_load_explicit(&n->parked, memory_order_relaxed);
        sum.requests += atomic_load_explicit(&n->requests, memory_order_relaxed);
        sum.rejected_busy += atomic_load_explicit(&n->rejected_busy, memory_order_relaxed);
        sum.rejected_proto += atomic_load_explicit(&n->rejected_proto, memory_order_relaxed);
        sum.timeouts += atomic_load_explicit(&n->timeouts, memory_order_relaxed);
    }
    *ret = sum;
}
