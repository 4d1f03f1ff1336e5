/* sync: mutex, condition and semaphore for the fibers of one loop; first come, first served.
 *
 * A waiter is a node on its own stack. Who hands over the lock, the signal or the permit removes
 * the node and wakes it, so nothing is lost between the wake and the run: a mutex passes straight
 * to the next owner. When the wait ends early the node is still linked (removed by the waiter), or
 * was just granted (kept).
 */
#include "rt/rt_priv.h"

struct waiter {
    struct list node;
    struct rt_wait wait;
};

static int wait_in_line(struct list *line, int64_t deadline_ns, const char *name)
{
    struct waiter me;
    rt_wait_init(&me.wait);
    list_push_back(line, &me.node);
    int rc = fiber_wait(&me.wait, deadline_ns, name);
    list_remove(&me.node);
    return rc;
}

/* Wakes the first waiter and returns its fiber, or NULL when nobody waits. Waits that have ended
 * early but have not run yet are skipped: they may not swallow a grant. */
static struct rt_fiber *wake_first(struct list *line)
{
    struct list *n;
    while ((n = list_pop_front(line)) != NULL) {
        struct waiter *w = list_entry(n, struct waiter, node);
        if (atomic_load_explicit(&w->wait.state, memory_order_relaxed) == WAIT_ENDED)
            continue;
        struct rt_fiber *f = w->wait.fiber;
        rt_wake(&w->wait);
        return f;
    }
    return NULL;
}

void rt_mutex_init(struct rt_mutex *m)
{
    m->owner = NULL;
    list_init(&m->waiters);
}

int rt_mutex_lock(struct rt_mutex *m, int64_t deadline_ns)
{
    kt_assert(rt_may_yield());
    kt_assert(m->owner != fiber_self); /* not recursive */
    if (!m->owner) {
        m->owner = fiber_self;
        return 0;
    }
    return wait_in_line(&m->waiters, deadline_ns, "mutex");
}

void rt_mutex_unlock(struct rt_mutex *m)
{
    kt_assert(m->owner == fiber_self);
    m->owner = wake_first(&m->waiters);
}

void rt_cond_init(struct rt_cond *c)
{
    list_init(&c->waiters);
}

int rt_cond_wait(struct rt_cond *c, int64_t deadline_ns)
{
    return wait_in_line(&c->waiters, deadline_ns, "cond");
}

void rt_cond_signal(struct rt_cond *c)
{
    wake_first(&c->waiters);
}

void rt_cond_broadcast(struct rt_cond *c)
{
    while (wake_first(&c->waiters))
        ;
}

void rt_sem_init(struct rt_sem *s, uint32_t free)
{
    s->free = free;
    list_init(&s->waiters);
}

int rt_sem_take(struct rt_sem *s, int64_t deadline_ns)
{
    kt_assert(rt_may_yield());
    if (s->free > 0 && list_empty(&s->waiters)) {
        s->free--;
        return 0;
    }
    return wait_in_line(&s->waiters, deadline_ns, "sem");
}

void rt_sem_give(struct rt_sem *s)
{
    if (!wake_first(&s->waiters))
        s->free++;
}
