/* stop: "please end", from a signal or rt_stop. Once asked it stays asked: every waiter, now or
 * later, returns the first reason. The thread that takes signals only sets an atomic and wakes loop
 * 0, which delivers in its next turn.
 */
#include "rt/rt_priv.h"

#include <signal.h>

enum { NOT_ASKED = -1 };

struct stop_waiter {
    struct list node;
    struct rt_wait wait;
};

static struct {
    pthread_mutex_t mu;
    struct list waiters;  /* guarded by mu */
    int reason;           /* guarded by mu: NOT_ASKED, 0 for rt_stop, or a signal's number */
    _Atomic int signaled; /* a signal that loop 0 has not delivered yet, or 0 */
    _Atomic bool hup;
} stop = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void (*reload_hook)(void);

void rt_set_reload_hook(void (*fn)(void))
{
    reload_hook = fn;
}

void stop_init(void)
{
    list_init(&stop.waiters);
    stop.reason = NOT_ASKED;
    atomic_store(&stop.signaled, 0);
    atomic_store(&stop.hup, false);
}

static void ask(int reason)
{
    pthread_mutex_lock(&stop.mu);
    if (stop.reason == NOT_ASKED)
        stop.reason = reason;
    struct list *n;
    while ((n = list_pop_front(&stop.waiters)) != NULL)
        rt_wake(&list_entry(n, struct stop_waiter, node)->wait);
    pthread_mutex_unlock(&stop.mu);
}

void stop_on_signal(int signo)
{
    if (signo == SIGHUP)
        atomic_store(&stop.hup, true);
    else
        atomic_store(&stop.signaled, signo);
    be()->poll_wake(be()->self, rt_self.loops[0].poller);
}

void stop_poll(void)
{
    if (KT_UNLIKELY(atomic_load_explicit(&stop.signaled, memory_order_relaxed) != 0))
        ask(atomic_exchange(&stop.signaled, 0));
    if (KT_UNLIKELY(atomic_load_explicit(&stop.hup, memory_order_relaxed)) &&
        atomic_exchange(&stop.hup, false) && reload_hook)
        reload_hook();
}

void rt_stop(void)
{
    ask(0);
}

int rt_wait_stop(int64_t deadline_ns)
{
    kt_assert(rt_may_yield());
    struct stop_waiter me;
    rt_wait_init(&me.wait);
    pthread_mutex_lock(&stop.mu);
    int reason = stop.reason;
    if (reason == NOT_ASKED)
        list_push_back(&stop.waiters, &me.node);
    pthread_mutex_unlock(&stop.mu);
    if (reason != NOT_ASKED)
        return reason;

    int rc = fiber_wait(&me.wait, deadline_ns, "stop");
    pthread_mutex_lock(&stop.mu);
    list_remove(&me.node);
    reason = stop.reason;
    pthread_mutex_unlock(&stop.mu);
    return rc < 0 ? rc : reason;
}
