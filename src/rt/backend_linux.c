/* backend_linux: clock, randomness, epoll, threads and signals; the table of the seam.
 *
 * Polling is level-triggered. A socket whose interest is empty stays registered edge-triggered,
 * because the kernel reports hang-ups regardless: so it says so once, not in every turn. poll_wake
 * writes to an eventfd.
 */
#include "rt/linux.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct rt_poller {
    int epoll_fd, wake_fd;
};

/* ---- clock and randomness ---- */

static int64_t read_clock(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static int64_t linux_mono(void *self)
{
    (void)self;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t linux_wall(void *self)
{
    (void)self;
    return read_clock(CLOCK_REALTIME);
}

static void linux_random(void *self, void *out, size_t len)
{
    (void)self;
    uint8_t *p = out;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            abort(); /* no kernel that kitten runs on lacks it; guessable ids are worse than no
                        service */
        }
        p += n;
        len -= (size_t)n;
    }
}

/* ---- polling ---- */

static void linux_poller_free(void *self, struct rt_poller *p)
{
    (void)self;
    if (!p)
        return;
    if (p->epoll_fd >= 0)
        close(p->epoll_fd);
    if (p->wake_fd >= 0)
        close(p->wake_fd);
    free(p);
}

static int linux_poller_new(void *self, struct rt_poller **ret)
{
    struct rt_poller *p = malloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    if (p->epoll_fd < 0 || p->wake_fd < 0 ||
        epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->wake_fd, &e) < 0) {
        int rc = -errno;
        linux_poller_free(self, p);
        return rc;
    }
    *ret = p;
    return 0;
}

static int control(struct rt_poller *p, int op, int sock, uint32_t bits, void *cookie)
{
    struct epoll_event e = {.data.ptr = cookie};
    e.events = (bits & RT_POLL_IN ? (uint32_t)EPOLLIN | EPOLLRDHUP : 0) |
               (bits & RT_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (e.events == 0)
        e.events = EPOLLET;
    return epoll_ctl(p->epoll_fd, op, sock, &e) < 0 ? -errno : 0;
}

static int linux_poll_add(void *self, struct rt_poller *p, int sock, uint32_t bits, void *cookie)
{
    (void)self;
    return control(p, EPOLL_CTL_ADD, sock, bits, cookie);
}

static int linux_poll_mod(void *self, struct rt_poller *p, int sock, uint32_t bits, void *cookie)
{
    (void)self;
    return control(p, EPOLL_CTL_MOD, sock, bits, cookie);
}

/* Closing the socket, which always follows, takes it out: no call needed. */
static int linux_poll_del(void *self, struct rt_poller *p, int sock)
{
    (void)self;
    (void)p;
    (void)sock;
    return 0;
}

static void drain(struct rt_poller *p)
{
    uint64_t count;
    ssize_t n = read(p->wake_fd, &count, sizeof(count));
    (void)n;
}

static int wait_until(struct rt_poller *p, struct epoll_event *e, int max, int64_t until_ns)
{
    static _Atomic bool coarse; /* the kernel has no epoll_pwait2 */
    if (until_ns == INT64_MAX)
        return epoll_wait(p->epoll_fd, e, max, -1);
    int64_t left = until_ns <= 0 ? 0 : until_ns - linux_mono(NULL);
    if (left <= 0)
        return epoll_wait(p->epoll_fd, e, max, 0);
    if (!atomic_load_explicit(&coarse, memory_order_relaxed)) {
        struct timespec ts = {.tv_sec = left / NS_PER_SEC, .tv_nsec = left % NS_PER_SEC};
        int n = epoll_pwait2(p->epoll_fd, e, max, &ts, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        atomic_store_explicit(&coarse, true, memory_order_relaxed);
    }
    int64_t ms = KT_MIN(left / NS_PER_MS + 1, INT64_C(3600000));
    return epoll_wait(p->epoll_fd, e, max, (int)ms);
}

static int linux_poll_wait(void *self, struct rt_poller *p, struct rt_event *ev, int max,
                           int64_t until_ns)
{
    (void)self;
    struct epoll_event e[256];
    int n = wait_until(p, e, KT_MIN(max, (int)KT_ARRAY_LEN(e)), until_ns), out = 0;
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        if (!e[i].data.ptr) {
            drain(p);
            continue;
        }
        ev[out].cookie = e[i].data.ptr;
        ev[out].bits = (e[i].events & (EPOLLIN | EPOLLRDHUP) ? RT_POLL_IN : 0) |
                       (e[i].events & EPOLLOUT ? RT_POLL_OUT : 0) |
                       (e[i].events & (EPOLLHUP | EPOLLERR) ? RT_POLL_HUP : 0);
        out++;
    }
    return out;
}

static void linux_poll_wake(void *self, struct rt_poller *p)
{
    (void)self;
    const uint64_t one = 1;
    ssize_t n = write(p->wake_fd, &one, sizeof(one)); /* full means that it is awake anyway */
    (void)n;
}

/* ---- threads ---- */

enum gate { GATE_SHUT, GATE_OPEN, GATE_ABORT };

struct crew {
    void (*fn)(void *arg, int index);
    void *arg;
    pthread_mutex_t mu;
    pthread_cond_t moved;
    enum gate gate; /* guarded by mu */
};

struct crew_thread {
    struct crew *crew;
    pthread_t thread;
    int index;
};

/* Threads run only once all exist: a half-started set of loops could not end. */
static void *crew_main(void *arg)
{
    const struct crew_thread *t = arg;
    struct crew *c = t->crew;
    pthread_mutex_lock(&c->mu);
    while (c->gate == GATE_SHUT)
        pthread_cond_wait(&c->moved, &c->mu);
    bool run = c->gate == GATE_OPEN;
    pthread_mutex_unlock(&c->mu);
    if (run)
        c->fn(c->arg, t->index);
    return NULL;
}

static int linux_run_threads(void *self, int n, void (*fn)(void *arg, int index), void *arg)
{
    (void)self;
    struct crew c = {
        .fn = fn, .arg = arg, .mu = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    struct crew_thread t[64];
    int started = 1, rc = 0; /* the caller is index 0 */
    if (n < 1 || n > (int)KT_ARRAY_LEN(t))
        return -EINVAL;
    while (rc == 0 && started < n) {
        t[started] = (struct crew_thread){.crew = &c, .index = started};
        rc = pthread_create(&t[started].thread, NULL, crew_main, &t[started]);
        if (rc == 0)
            started++;
    }
    pthread_mutex_lock(&c.mu);
    c.gate = rc == 0 ? GATE_OPEN : GATE_ABORT;
    pthread_cond_broadcast(&c.moved);
    pthread_mutex_unlock(&c.mu);
    if (rc == 0)
        fn(arg, 0);
    for (int i = 1; i < started; i++)
        pthread_join(t[i].thread, NULL);
    return -rc;
}

/* ---- start, stop, signals ---- */

/* All threads block the signals; one thread takes them with sigwait, so that no code runs in a
 * handler. */
static struct {
    void (*fn)(int signo);
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    sigset_t set, old;
} signals;

static void *signal_main(void *arg)
{
    for (;;) {
        int signo = 0;
        if (sigwait(&signals.set, &signo) != 0)
            continue;
        if (atomic_load(&signals.stopping))
            return arg;
        signals.fn(signo);
        if (signo == SIGINT) { /* the second Ctrl-C kills */
            sigset_t one;
            sigemptyset(&one);
            sigaddset(&one, SIGINT);
            sigdelset(&signals.set, SIGINT);
            pthread_sigmask(SIG_UNBLOCK, &one, NULL);
        }
    }
}

static int linux_watch_signals(void *self, void (*fn)(int signo))
{
    (void)self;
    signals.fn = fn;
    atomic_store(&signals.stopping, false);
    int rc = pthread_create(&signals.thread, NULL, signal_main, NULL);
    signals.running = rc == 0;
    return -rc;
}

static int linux_start(void *self, int workers, int queue_max)
{
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals.set);
    sigaddset(&signals.set, SIGINT);
    sigaddset(&signals.set, SIGTERM);
    sigaddset(&signals.set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals.set, &signals.old);
    int rc = linux_pool_start(self, workers, queue_max);
    if (rc < 0)
        pthread_sigmask(SIG_SETMASK, &signals.old, NULL);
    return rc;
}

static void linux_stop(void *self)
{
    (void)self;
    if (signals.running) {
        atomic_store(&signals.stopping, true);
        pthread_kill(signals.thread, SIGHUP);
        pthread_join(signals.thread, NULL);
        signals.running = false;
    }
    linux_pool_stop();
    pthread_sigmask(SIG_SETMASK, &signals.old, NULL);
}

const struct rt_backend rt_backend_linux = {
    .name = "linux",
    .mono_ns = linux_mono,
    .wall_ns = linux_wall,
    .random = linux_random,
    .poller_new = linux_poller_new,
    .poller_free = linux_poller_free,
    .poll_add = linux_poll_add,
    .poll_mod = linux_poll_mod,
    .poll_del = linux_poll_del,
    .poll_wait = linux_poll_wait,
    .poll_wake = linux_poll_wake,
    .net_listen = linux_listen,
    .net_local = linux_local,
    .net_accept = linux_accept,
    .net_connect = linux_connect,
    .net_connect_result = linux_connect_result,
    .net_recv = linux_recv,
    .net_sendv = linux_sendv,
    .net_shutdown = linux_shutdown,
    .net_close = linux_sock_close,
    .dir_open = linux_dir_open,
    .dir_sync = linux_dir_sync,
    .dir_list = linux_dir_list,
    .dir_space = linux_dir_space,
    .file_open = linux_file_open,
    .file_preadv = linux_file_preadv,
    .file_preadv_nowait = linux_file_preadv_nowait,
    .file_pwritev = linux_file_pwritev,
    .file_datasync = linux_file_datasync,
    .file_sync = linux_file_sync,
    .file_truncate = linux_file_truncate,
    .file_advise = linux_file_advise,
    .file_lock = linux_file_lock,
    .file_stat = linux_file_stat,
    .file_rename = linux_file_rename,
    .file_unlink = linux_file_unlink,
    .file_close = linux_file_close,
    .offload = linux_offload,
    .resolve = linux_resolve,
    .run_threads = linux_run_threads,
    .start = linux_start,
    .stop = linux_stop,
    .watch_signals = linux_watch_signals,
};
