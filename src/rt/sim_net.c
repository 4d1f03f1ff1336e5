/* sim_net: the in-memory network: listeners, byte streams with delay, a window, partial calls and
 * resets.
 *
 * Happy path: net_connect posts the arrival at a listener; net_sendv cuts a segment that fits the
 * window and posts its delivery to the other end; net_recv takes from the inbox. Failure modes: no
 * listener refuses; a lost segment resets both ends after a while, as TCP gives up; a close with
 * unread bytes, or bytes that reach a closed end, reset the sender; a cut of the machine resets
 * everything. */
#include "rt/sim_priv.h"

#include "base/assert.h"
#include "base/buf.h"
#include <errno.h>
#include <string.h>

#define WINDOW 65536u
#define BACKLOG_MAX 1024u
#define PARTIAL_PPM 200000u

static struct sim_sock *get_sock(struct sim *s, int handle)
{
    struct sim_handle *h = sim_handle_get(s, handle, HANDLE_SOCK);
    kt_assert(h != NULL); /* a stale handle is a bug of the program under test */
    return h->sock;
}

static struct sim_sock *sock_new(enum sim_sock_state state)
{
    struct sim_sock *k = mem_zalloc(sizeof(*k));
    k->state = state;
    k->refs = 1;
    list_init(&k->accepted);
    list_init(&k->accept_link);
    list_init(&k->inbox);
    return k;
}

static void drop_inbox(struct sim_sock *k)
{
    for (struct list *it; (it = list_pop_front(&k->inbox)) != NULL;)
        mem_free(list_entry(it, struct sim_segment, link));
    k->inbox_bytes = 0;
}

void sim_sock_unref(struct sim_sock *k)
{
    if (--k->refs > 0)
        return;
    drop_inbox(k);
    mem_free(k);
}

static void sock_reset(struct sim_sock *k, int error)
{
    if (k->state == SOCK_LISTENING || k->state == SOCK_RESET)
        return;
    k->state = SOCK_RESET;
    k->error = error;
    drop_inbox(k);
}

uint32_t sim_sock_ready(const struct sim_sock *k)
{
    if (k->state == SOCK_LISTENING)
        return list_empty(&k->accepted) ? 0 : RT_POLL_IN;
    if (k->state == SOCK_CONNECTING)
        return 0;
    if (k->state == SOCK_RESET)
        return RT_POLL_IN | RT_POLL_OUT | RT_POLL_HUP;
    uint32_t bits = 0;
    if (!list_empty(&k->inbox) || k->fin_seen)
        bits |= RT_POLL_IN;
    if (k->peer->inbox_bytes + k->peer->flying_bytes < WINDOW)
        bits |= RT_POLL_OUT;
    if (k->fin_seen && k->fin_sent)
        bits |= RT_POLL_HUP;
    return bits;
}

/* ---- listening and connecting ---- */

static int sim_net_listen(void *self, const struct rt_addr *addr, int backlog, bool reuse_port)
{
    (void)backlog;
    struct sim *s = self;
    for (size_t i = 0; i < s->nhandles && addr->port != 0 && !reuse_port; i++) {
        const struct sim_handle *h = &s->handles[i];
        if (h->kind == HANDLE_SOCK && h->sock->state == SOCK_LISTENING &&
            h->sock->addr.port == addr->port && memcmp(h->sock->addr.ip, addr->ip, 16) == 0)
            return -EADDRINUSE;
    }
    struct sim_sock *k = sock_new(SOCK_LISTENING);
    k->addr = *addr;
    if (addr->port == 0)
        k->addr.port = s->next_port++;
    return (int)sim_log(s, "listen", k->addr.port, 0, sim_handle_new(s, HANDLE_SOCK, k));
}

static int sim_net_local(void *self, int sock, struct rt_addr *ret)
{
    *ret = get_sock(self, sock)->addr;
    return 0;
}

/* One of the listeners on this port (several share it by reuse_port), at random; NULL when there is
 * none. */
static struct sim_sock *find_listener(struct sim *s, uint16_t port)
{
    struct sim_sock *found = NULL;
    uint64_t n = 0;
    for (size_t i = 0; i < s->nhandles; i++) {
        struct sim_handle *h = &s->handles[i];
        if (h->kind == HANDLE_SOCK && h->sock->state == SOCK_LISTENING &&
            h->sock->addr.port == port && sim_draw_below(s, SIM_RNG_NET, ++n) == 0)
            found = h->sock;
    }
    return found;
}

static size_t queue_len(const struct list *l)
{
    size_t n = 0;
    list_for_each(it, l)
    {
        n++;
    }
    return n;
}

static void connect_arrives(struct sim *s, void *arg, uint64_t n)
{
    (void)n;
    struct sim_sock *k = arg;
    struct sim_sock *listener = find_listener(s, k->peer_addr.port);
    if (k->closed || s->state != SIM_RUNNING || listener == NULL ||
        queue_len(&listener->accepted) >= BACKLOG_MAX) {
        sock_reset(k, ECONNREFUSED);
    } else {
        struct sim_sock *end = sock_new(SOCK_CONNECTED);
        end->addr = listener->addr;
        end->peer_addr = k->addr;
        end->peer = k;
        k->peer = end;
        k->refs++;
        end->refs++;
        k->state = SOCK_CONNECTED;
        list_push_back(&listener->accepted, &end->accept_link);
    }
    sim_log(s, "connect_arrives", k->peer_addr.port, (uint64_t)k->state, 0);
    sim_sock_unref(k);
}

static int sim_net_connect(void *self, const struct rt_addr *addr)
{
    struct sim *s = self;
    struct sim_sock *k = sock_new(SOCK_CONNECTING);
    k->peer_addr = *addr;
    k->addr = *addr;
    k->addr.port = s->next_port++;
    int handle = sim_handle_new(s, HANDLE_SOCK, k);
    if (handle < 0) {
        sim_sock_unref(k);
        return handle;
    }
    k->refs++;
    int64_t ns = sim_draw_ns(s, SIM_RNG_NET, s->opt.net_min_ns, s->opt.net_max_ns);
    sim_post(s, s->now_ns + ns, connect_arrives, k, 0);
    return (int)sim_log(s, "connect", addr->port, 0, handle);
}

static int sim_net_connect_result(void *self, int sock)
{
    return -get_sock(self, sock)->error;
}

static int sim_net_accept(void *self, int sock, struct rt_addr *ret_peer)
{
    struct sim *s = self;
    struct sim_sock *listener = get_sock(s, sock);
    if (listener->state != SOCK_LISTENING)
        return -EINVAL;
    if (list_empty(&listener->accepted))
        return -EAGAIN;
    struct sim_sock *k = list_entry(listener->accepted.next, struct sim_sock, accept_link);
    int handle = sim_handle_new(s, HANDLE_SOCK, k);
    if (handle >= 0) {
        list_remove(&k->accept_link);
        if (ret_peer != NULL)
            *ret_peer = k->peer_addr;
    }
    return (int)sim_log(s, "accept", k->peer_addr.port, 0, handle);
}

/* ---- bytes ---- */

static void segment_arrives(struct sim *s, void *arg, uint64_t n)
{
    (void)n;
    struct sim_segment *seg = arg;
    struct sim_sock *k = seg->to;
    k->flying_bytes -= seg->len;
    sim_log(s, "segment", seg->len, seg->fin, 0);
    if (k->state != SOCK_CONNECTED || (k->closed && !seg->fin)) {
        if (k->peer != NULL && k->state == SOCK_CONNECTED)
            sock_reset(k->peer, ECONNRESET);
        mem_free(seg);
    } else if (seg->fin) {
        k->fin_seen = true;
        mem_free(seg);
    } else {
        k->inbox_bytes += seg->len;
        list_push_back(&k->inbox, &seg->link);
    }
    sim_sock_unref(k);
}

static void connection_breaks(struct sim *s, void *arg, uint64_t n)
{
    (void)n;
    struct sim_sock *k = arg;
    sim_log(s, "break", 0, 0, 0);
    sock_reset(k, ECONNRESET);
    if (k->peer != NULL)
        sock_reset(k->peer, ECONNRESET);
    sim_sock_unref(k);
}

static void post_segment(struct sim *s, struct sim_sock *to, struct sim_segment *seg)
{
    bool lost = sim_draw_chance(s, SIM_RNG_NET, s->opt.net_loss_ppm);
    if (lost || to->hole) { /* stays in the window until the connection breaks */
        to->flying_bytes += seg->len;
        mem_free(seg);
        if (to->hole)
            return;
        to->hole = true;
        to->refs++;
        sim_post(s, s->now_ns + sim_draw_ns(s, SIM_RNG_NET, 200 * NS_PER_MS, 30 * NS_PER_SEC),
                 connection_breaks, to, 0);
        return;
    }
    to->refs++;
    int64_t at = s->now_ns + sim_draw_ns(s, SIM_RNG_NET, s->opt.net_min_ns, s->opt.net_max_ns);
    to->last_at_ns = KT_MAX(at, to->last_at_ns);
    to->flying_bytes += seg->len;
    seg->to = to;
    sim_post(s, to->last_at_ns, segment_arrives, seg, 0);
}

static ssize_t sim_net_sendv(void *self, int sock, const struct iovec *iov, int n)
{
    struct sim *s = self;
    struct sim_sock *k = get_sock(s, sock);
    if (k->state == SOCK_RESET)
        return -k->error;
    if (k->state != SOCK_CONNECTED || k->fin_sent)
        return k->fin_sent ? -EPIPE : -EAGAIN;
    size_t used = k->peer->inbox_bytes + k->peer->flying_bytes, len = 0;
    if (used >= WINDOW)
        return -EAGAIN;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    len = KT_MIN(len, WINDOW - used);
    if (len > 1 && sim_draw_chance(s, SIM_RNG_NET, PARTIAL_PPM))
        len = 1 + (size_t)sim_draw_below(s, SIM_RNG_NET, len - 1);
    if (len == 0)
        return 0;
    struct sim_segment *seg = mem_alloc(sizeof(*seg) + len);
    *seg = (struct sim_segment){.len = len};
    size_t done = 0;
    for (int i = 0; done < len; i++) {
        size_t part = KT_MIN(iov[i].iov_len, len - done);
        if (part > 0)
            memcpy(seg->bytes + done, iov[i].iov_base, part);
        done += part;
    }
    post_segment(s, k->peer, seg);
    return sim_log(s, "send", k->peer_addr.port, 0, (ssize_t)len);
}

static ssize_t sim_net_recv(void *self, int sock, void *p, size_t len)
{
    struct sim *s = self;
    struct sim_sock *k = get_sock(s, sock);
    if (k->state == SOCK_RESET)
        return -k->error;
    if (list_empty(&k->inbox))
        return k->fin_seen ? 0 : -EAGAIN;
    struct sim_segment *seg = list_entry(k->inbox.next, struct sim_segment, link);
    size_t part = KT_MIN(len, seg->len - seg->at);
    if (part > 1 && sim_draw_chance(s, SIM_RNG_NET, PARTIAL_PPM))
        part = 1 + (size_t)sim_draw_below(s, SIM_RNG_NET, part - 1);
    memcpy(p, seg->bytes + seg->at, part);
    seg->at += part;
    k->inbox_bytes -= part;
    if (seg->at == seg->len) {
        list_remove(&seg->link);
        mem_free(seg);
    }
    return sim_log(s, "recv", k->peer_addr.port, 0, (ssize_t)part);
}

/* ---- ending ---- */

static void send_fin(struct sim *s, struct sim_sock *k)
{
    if (k->fin_sent || k->state != SOCK_CONNECTED)
        return;
    k->fin_sent = true;
    struct sim_segment *seg = mem_zalloc(sizeof(*seg));
    seg->fin = true;
    post_segment(s, k->peer, seg);
}

static int sim_net_shutdown(void *self, int sock)
{
    struct sim *s = self;
    send_fin(s, get_sock(s, sock));
    return 0;
}

static void sock_close(struct sim *s, struct sim_sock *k)
{
    for (struct list *it; (it = list_pop_front(&k->accepted)) != NULL;)
        sock_close(s, list_entry(it, struct sim_sock, accept_link));
    if (k->state == SOCK_CONNECTED && !list_empty(&k->inbox))
        sock_reset(k->peer, ECONNRESET);
    else
        send_fin(s, k);
    drop_inbox(k);
    k->closed = true;
    struct sim_sock *peer = k->peer;
    if (peer != NULL && peer->closed) {
        k->peer = peer->peer = NULL;
        k->state = peer->state = SOCK_RESET;
        sim_sock_unref(peer);
        sim_sock_unref(k);
    }
    sim_sock_unref(k);
}

static int sim_net_close(void *self, int sock)
{
    struct sim *s = self;
    struct sim_sock *k = get_sock(s, sock);
    sim_handle_free(s, sock);
    sock_close(s, k);
    return 0;
}

void sim_net_cut(struct sim *s)
{
    for (size_t i = 0; i < s->nhandles; i++) {
        if (s->handles[i].kind == HANDLE_SOCK)
            sock_reset(s->handles[i].sock, ECONNRESET);
    }
}

void sim_net_ops(struct rt_backend *ops)
{
    ops->net_listen = sim_net_listen;
    ops->net_local = sim_net_local;
    ops->net_accept = sim_net_accept;
    ops->net_connect = sim_net_connect;
    ops->net_connect_result = sim_net_connect_result;
    ops->net_recv = sim_net_recv;
    ops->net_sendv = sim_net_sendv;
    ops->net_shutdown = sim_net_shutdown;
    ops->net_close = sim_net_close;
}
