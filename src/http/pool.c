/* pool: take, give, expire. Failure: an idle connection that turns readable (end of stream, or
 * bytes that nobody asked for) is closed by the loop's callback; one that can't be parked is closed
 * instead of kept. */
#include "http/pool.h"

#include "base/assert.h"

static struct http_peer *peer_of(struct http_client *c, const struct rt_addr *addr)
{
    list_for_each(it, &c->peers)
    {
        struct http_peer *p = list_entry(it, struct http_peer, link);
        if (p->addr.port == addr->port && memcmp(p->addr.ip, addr->ip, sizeof(addr->ip)) == 0)
            return p;
    }
    struct http_peer *p = mem_zalloc(sizeof(*p));
    p->client = c;
    p->addr = *addr;
    list_init(&p->idle);
    rt_cond_init(&p->freed);
    list_push_back(&c->peers, &p->link);
    return p;
}

static void peer_release(struct http_peer *p)
{
    if (p->conns > 0 || p->waiters > 0)
        return;
    list_remove(&p->link);
    mem_free(p);
}

static void leave_pool(struct client_conn *conn)
{
    struct http_client *c = conn->peer->client;
    list_remove(&conn->peer_link);
    list_remove(&conn->age_link);
    rt_timer_cancel(&conn->timer);
    rt_unpark(&conn->sock);
    c->nidle--;
}

/* Closes a connection that is in no list. */
static void conn_close(struct client_conn *conn)
{
    struct http_peer *p = conn->peer;
    rt_close(&conn->sock);
    mem_free(conn);
    p->conns--;
    rt_cond_signal(&p->freed);
    peer_release(p);
}

static void idle_close(struct client_conn *conn)
{
    leave_pool(conn);
    conn_close(conn);
}

/* Loop callbacks, not on a fiber. */
static void on_readable(struct rt_sock *s)
{
    idle_close(KT_CONTAINER_OF(s, struct client_conn, sock));
}

static void on_timer(struct rt_timer *t)
{
    idle_close(KT_CONTAINER_OF(t, struct client_conn, timer));
}

static struct client_conn *take_idle(struct http_peer *p)
{
    if (list_empty(&p->idle))
        return NULL;
    struct client_conn *conn = list_entry(p->idle.next, struct client_conn, peer_link);
    leave_pool(conn);
    conn->ex.reused = true;
    p->client->stats.reuses++;
    return conn;
}

/* Counts the new connection in before it yields, so that the bound holds. */
static int connect_new(struct http_peer *p, int64_t deadline_ns, struct client_conn **ret)
{
    struct http_client *c = p->client;
    size_t cap = c->h1.head_max + POOL_IN_WINDOW;
    struct client_conn *conn = mem_try_alloc(sizeof(*conn) + cap);
    if (!conn)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a connection");
    conn->peer = p;
    conn->in_cap = cap;
    conn->ex.reused = false;
    list_init(&conn->peer_link);
    list_init(&conn->age_link);
    rt_timer_init(&conn->timer, on_timer);
    int rc = rt_connect(&p->addr, &conn->sock, deadline_ns);
    if (rc < 0) {
        mem_free(conn);
        return rc;
    }
    c->stats.connects++;
    *ret = conn;
    return 0;
}

static int wait_free(struct http_peer *p, int64_t deadline_ns)
{
    while (p->conns >= p->client->opt.conns_per_addr && list_empty(&p->idle)) {
        p->waiters++;
        int rc = rt_cond_wait(&p->freed, deadline_ns);
        p->waiters--;
        if (rc < 0)
            return err_wrap(rc, "waiting for one of %u connections", p->client->opt.conns_per_addr);
    }
    return 0;
}

int pool_take(struct http_client *c, const struct rt_addr *addr, bool fresh, int64_t deadline_ns,
              struct client_conn **ret)
{
    struct http_peer *p = peer_of(c, addr);
    p->waiters++; /* keeps the peer alive below */
    while (fresh && !list_empty(&p->idle))
        idle_close(list_entry(p->idle.next, struct client_conn, peer_link));
    int rc = wait_free(p, deadline_ns);
    struct client_conn *conn = rc == 0 ? take_idle(p) : NULL;
    if (rc == 0 && !conn) {
        p->conns++;
        rc = connect_new(p, deadline_ns, &conn);
        if (rc < 0) {
            p->conns--;
            rt_cond_signal(&p->freed);
        }
    }
    p->waiters--;
    if (rc < 0) {
        peer_release(p);
        return rc;
    }
    kt_assert(conn);
    conn->pos = conn->end = conn->body_base = 0;
    conn->broken = false;
    conn->deadline_ns = deadline_ns;
    *ret = conn;
    return 0;
}

void pool_give(struct client_conn *conn, bool reusable)
{
    struct http_peer *p = conn->peer;
    struct http_client *c = p->client;
    if (!reusable || rt_timer_set(&conn->timer, rt_after_ms(c->opt.idle_timeout_ms)) < 0) {
        conn_close(conn);
        return;
    }
    if (rt_park(&conn->sock, on_readable) < 0) {
        rt_timer_cancel(&conn->timer);
        conn_close(conn);
        return;
    }
    list_push_front(&p->idle, &conn->peer_link);
    list_push_back(&c->by_age, &conn->age_link);
    c->nidle++;
    rt_cond_signal(&p->freed);
    if (c->nidle > c->opt.idle_max)
        idle_close(list_entry(c->by_age.next, struct client_conn, age_link));
}

void pool_done(struct http_client *c)
{
    while (!list_empty(&c->by_age))
        idle_close(list_entry(c->by_age.next, struct client_conn, age_link));
    kt_assert(list_empty(&c->peers)); /* an exchange has not ended */
}
