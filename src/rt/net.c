/* net: sockets for fibers.
 *
 * Happy path of a kept-alive connection: rt_park (no system call: the poller has known the socket
 * since its first wait, level-triggered) -> sock_event -> parked_fn -> a fiber -> rt_recv_now ->
 * rt_sendv -> rt_park.
 *
 * `ready` holds what we may assume without asking: IN is set while a recv may find bytes, and
 * cleared by one that found fewer than it asked for, so that a streaming reader makes no recv that
 * only says EAGAIN. Interest changes lazily: an event that nobody waits for takes the bit out of
 * the poller, the next wait puts it back.
 *
 * Failure modes: rt_close marks the waits of sleeping fibers closed before it wakes them: they
 * return CLOSED without touching the socket, whose memory may be gone. Events of this turn that are
 * still to come for it are dropped.
 */
#include "rt/rt_priv.h"

#include <errno.h>
#include <string.h>

struct sock_wait {
    struct rt_wait wait;
    bool closed;
};

static void sock_init(struct rt_sock *s, int handle)
{
    *s = (struct rt_sock){.handle = handle, .loop = loop_self, .ready = RT_POLL_IN | RT_POLL_OUT};
}

static int closed_error(const char *what)
{
    return err_set(KT_ERR_CLOSED, "%s: the socket was closed", what);
}

/* Makes sure that the poller reports `bit` for the socket. */
static int sock_arm(struct rt_sock *s, uint32_t bit)
{
    kt_assert(s->loop == loop_self);
    int rc;
    if (!(s->registered & SOCK_ADDED)) {
        /* input is wanted in any case, sooner or later: saves the second call */
        rc = be()->poll_add(be()->self, s->loop->poller, s->handle, bit | RT_POLL_IN, s);
        if (rc < 0)
            return err_sys(-rc, "register a socket");
        s->registered = SOCK_ADDED | RT_POLL_IN | bit;
        return 0;
    }
    if (s->registered & bit)
        return 0;
    uint32_t bits = (s->registered | bit) & (RT_POLL_IN | RT_POLL_OUT);
    rc = be()->poll_mod(be()->self, s->loop->poller, s->handle, bits, s);
    if (rc < 0)
        return err_sys(-rc, "register a socket");
    s->registered = SOCK_ADDED | bits;
    return 0;
}

static void sock_disarm(struct rt_sock *s, uint32_t bits)
{
    uint32_t left = s->registered & ~bits & (RT_POLL_IN | RT_POLL_OUT);
    if (left == (s->registered & (RT_POLL_IN | RT_POLL_OUT)))
        return;
    /* a failure leaves the bit in: the next turn tries again */
    if (be()->poll_mod(be()->self, s->loop->poller, s->handle, left, s) >= 0)
        s->registered = SOCK_ADDED | left;
}

void sock_event(struct rt_sock *s, uint32_t bits)
{
    if (bits & RT_POLL_HUP)
        bits |= RT_POLL_IN | RT_POLL_OUT;
    s->ready |= bits;
    uint32_t unwanted = 0;
    if (bits & RT_POLL_OUT) {
        if (s->writer)
            rt_wake(s->writer); /* it leaves the slot itself, so that rt_close still finds it */
        else
            unwanted |= RT_POLL_OUT;
    }
    if (bits & RT_POLL_IN) {
        if (s->reader)
            rt_wake(s->reader);
        else if (!s->parked_fn)
            unwanted |= RT_POLL_IN;
    }
    if (unwanted)
        sock_disarm(s, unwanted);
    if ((bits & RT_POLL_IN) && s->parked_fn)
        TAKE(s->parked_fn)(s); /* last: it may close the socket and free its memory */
}

static int sock_wait(struct rt_sock *s, struct rt_wait **slot, uint32_t bit, int64_t deadline_ns,
                     const char *name)
{
    struct sock_wait w = {.closed = false};
    int rc = sock_arm(s, bit);
    if (rc < 0)
        return rc;
    kt_assert(!*slot);
    rt_wait_init(&w.wait);
    *slot = &w.wait;
    rc = fiber_wait(&w.wait, deadline_ns, name);
    if (w.closed)
        return closed_error(name);
    *slot = NULL;
    return rc;
}

/* ---- listen, accept, connect ---- */

/* Addresses that this process listens on: loops share a port (SO_REUSEPORT), other processes may
 * not. */
static struct {
    pthread_mutex_t mu;
    struct rt_addr addr[LOOPS_MAX];
    uint32_t count;
} listening = {.mu = PTHREAD_MUTEX_INITIALIZER};

static bool addr_known(const struct rt_addr *a)
{
    for (uint32_t i = 0; i < listening.count; i++) {
        if (memcmp(a->ip, listening.addr[i].ip, sizeof(a->ip)) == 0 &&
            a->port == listening.addr[i].port)
            return true;
    }
    return false;
}

void net_forget_listeners(void)
{
    listening.count = 0;
}

/* SO_REUSEPORT would let two processes of one user share a port silently: the first loop binds
 * without it once, to be told when the port is taken. */
static int listen_shared(const struct rt_addr *addr, int backlog)
{
    if (!addr_known(addr) && addr->port != 0) {
        int probe = be()->net_listen(be()->self, addr, backlog, false);
        if (probe < 0)
            return probe;
        be()->net_close(be()->self, probe);
    }
    int sock = be()->net_listen(be()->self, addr, backlog, true);
    if (sock < 0)
        return sock;
    struct rt_addr bound;
    if (listening.count < KT_ARRAY_LEN(listening.addr) &&
        be()->net_local(be()->self, sock, &bound) >= 0 && !addr_known(&bound))
        listening.addr[listening.count++] = bound;
    return sock;
}

int rt_listen(const struct rt_addr *addr, struct rt_sock *ret)
{
    enum { BACKLOG = 4096 };
    kt_assert(loop_self);
    int sock;
    if (rt_self.loop_count == 1) {
        sock = be()->net_listen(be()->self, addr, BACKLOG, false);
    } else {
        pthread_mutex_lock(&listening.mu);
        sock = listen_shared(addr, BACKLOG);
        pthread_mutex_unlock(&listening.mu);
    }
    if (sock < 0) {
        char text[RT_ADDR_TEXT_MAX];
        rt_addr_format(addr, text);
        return err_sys(-sock, "listen on %s", text);
    }
    sock_init(ret, sock);
    return 0;
}

int rt_sock_local(const struct rt_sock *s, struct rt_addr *ret)
{
    int rc = be()->net_local(be()->self, s->handle, ret);
    return rc < 0 ? err_sys(-rc, "read a socket's address") : 0;
}

/* The peer gave up before it was accepted, or the network had a fault: the next one may be fine. */
static bool accept_again(int rc)
{
    return rc == -ECONNABORTED || rc == -EINTR || rc == -EPROTO || rc == -ENETDOWN ||
           rc == -EHOSTUNREACH || rc == -ENETUNREACH || rc == -EPERM;
}

int rt_accept(struct rt_sock *listener, struct rt_sock *ret, struct rt_addr *ret_peer,
              int64_t deadline_ns)
{
    kt_assert(rt_may_yield());
    struct rt_addr peer;
    for (;;) {
        if (listener->handle < 0)
            return closed_error("accept");
        int sock = be()->net_accept(be()->self, listener->handle, &peer);
        if (sock >= 0) {
            sock_init(ret, sock);
            if (ret_peer)
                *ret_peer = peer;
            return 0;
        }
        if (accept_again(sock))
            continue;
        if (sock != -EAGAIN)
            return err_sys(-sock, "accept");
        int rc = sock_wait(listener, &listener->reader, RT_POLL_IN, deadline_ns, "accept");
        if (rc < 0)
            return rc;
    }
}

int rt_connect(const struct rt_addr *addr, struct rt_sock *ret, int64_t deadline_ns)
{
    kt_assert(rt_may_yield());
    char text[RT_ADDR_TEXT_MAX];
    rt_addr_format(addr, text);
    int sock = be()->net_connect(be()->self, addr);
    if (sock < 0)
        return err_sys(-sock, "connect to %s", text);
    sock_init(ret, sock);
    ret->ready = 0;
    int rc = sock_wait(ret, &ret->writer, RT_POLL_OUT, deadline_ns, "connect");
    if (rc < 0) {
        rc = err_wrap(rc, "%s", text);
    } else {
        rc = be()->net_connect_result(be()->self, sock);
        if (rc < 0)
            rc = err_sys(-rc, "connect to %s", text);
    }
    if (rc < 0)
        rt_close(ret);
    else
        ret->ready = RT_POLL_OUT;
    return rc;
}

/* ---- bytes ---- */

static ssize_t recv_once(struct rt_sock *s, void *p, size_t len)
{
    ssize_t n;
    do {
        n = be()->net_recv(be()->self, s->handle, p, len);
    } while (n == -EINTR);
    if (n == -EAGAIN || (n > 0 && (size_t)n < len))
        s->ready &= ~RT_POLL_IN;
    return n;
}

ssize_t rt_recv_now(struct rt_sock *s, void *p, size_t len)
{
    if (s->handle < 0)
        return closed_error("recv");
    ssize_t n = recv_once(s, p, len);
    if (n >= 0)
        return n;
    return n == -EAGAIN ? -KT_ERR_AGAIN : err_sys((int)-n, "recv");
}

ssize_t rt_recv(struct rt_sock *s, void *p, size_t len, int64_t deadline_ns)
{
    kt_assert(rt_may_yield());
    for (;;) {
        if (s->handle < 0)
            return closed_error("recv");
        if (s->ready & RT_POLL_IN) {
            ssize_t n = recv_once(s, p, len);
            if (n >= 0)
                return n;
            if (n != -EAGAIN)
                return err_sys((int)-n, "recv");
        }
        int rc = sock_wait(s, &s->reader, RT_POLL_IN, deadline_ns, "recv");
        if (rc < 0)
            return rc;
    }
}

/* Drops `n` sent bytes from the front; returns how many entries are left. */
static int iov_consume(struct iovec **iov, int count, size_t n)
{
    while (count > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        count--;
    }
    if (count > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
    return count;
}

int rt_sendv(struct rt_sock *s, struct iovec *iov, int n, int64_t deadline_ns)
{
    kt_assert(rt_may_yield());
    kt_assert(n >= 0 && n <= 64);
    int left = iov_consume(&iov, n, 0); /* drops empty entries */
    while (left > 0) {
        if (s->handle < 0)
            return closed_error("send");
        ssize_t sent = be()->net_sendv(be()->self, s->handle, iov, left);
        if (sent >= 0) {
            left = iov_consume(&iov, left, (size_t)sent);
            if (left == 0)
                break;
        } else if (sent == -EINTR) {
            continue;
        } else if (sent != -EAGAIN) {
            return err_sys((int)-sent, "send");
        }
        int rc = sock_wait(s, &s->writer, RT_POLL_OUT, deadline_ns, "send");
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- parking and closing ---- */

int rt_park(struct rt_sock *s, void (*fn)(struct rt_sock *s))
{
    kt_assert(!s->reader && !s->parked_fn);
    if (s->handle < 0)
        return closed_error("park");
    int rc = sock_arm(s, RT_POLL_IN);
    if (rc < 0)
        return rc;
    s->parked_fn = fn;
    return 0;
}

void rt_unpark(struct rt_sock *s)
{
    s->parked_fn = NULL;
}

int rt_shutdown(struct rt_sock *s)
{
    if (s->handle < 0)
        return closed_error("shutdown");
    int rc = be()->net_shutdown(be()->self, s->handle);
    return rc < 0 ? err_sys(-rc, "shutdown") : 0;
}

static void wake_closed(struct rt_wait *w)
{
    if (!w)
        return;
    KT_CONTAINER_OF(w, struct sock_wait, wait)->closed = true;
    rt_wake(w);
}

static void forget_events(struct rt_loop *l, const struct rt_sock *s)
{
    for (int i = l->event_at + 1; i < l->event_count; i++) {
        if (l->events[i].cookie == s)
            l->events[i].cookie = NULL;
    }
}

void rt_close(struct rt_sock *s)
{
    if (!s || s->handle < 0)
        return;
    if (s->registered & SOCK_ADDED) {
        kt_assert(s->loop == loop_self);
        forget_events(s->loop, s);
        be()->poll_del(be()->self, s->loop->poller, s->handle);
    }
    be()->net_close(be()->self, s->handle);
    s->handle = -1;
    s->registered = 0;
    s->parked_fn = NULL;
    wake_closed(TAKE(s->reader));
    wake_closed(TAKE(s->writer));
}
