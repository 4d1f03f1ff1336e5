/* gate: happy path: nobody is inside, the caller goes in. Otherwise it queues and parks; whoever
 * leaves hands the gate to the first in the queue. Failure mode: a deadline or cancellation that
 * races with the hand-over has lost: the gate is ours, and the caller finds out by its own next
 * wait. */
#include "volume/gate.h"

#include "base/assert.h"

struct gate_waiter {
    struct list link;
    struct rt_wait wait;
    bool granted;
};

void gate_init(struct gate *g)
{
    pthread_mutex_init(&g->mu, NULL);
    g->busy = false;
    list_init(&g->waiters);
}

void gate_done(struct gate *g)
{
    kt_assert(!g->busy && list_empty(&g->waiters));
    pthread_mutex_destroy(&g->mu);
}

int gate_enter(struct gate *g, int64_t deadline_ns)
{
    struct gate_waiter w = {.granted = false};
    section_begin(&g->mu);
    if (!g->busy) {
        g->busy = true;
        section_end(&g->mu);
        return 0;
    }
    rt_wait_init(&w.wait);
    list_push_back(&g->waiters, &w.link);
    section_end(&g->mu);

    int rc = rt_wait_park(&w.wait, deadline_ns);
    if (rc == 0)
        return 0;
    section_begin(&g->mu);
    if (w.granted)
        rc = 0;
    else
        list_remove(&w.link);
    section_end(&g->mu);
    return rc;
}

void gate_leave(struct gate *g)
{
    section_begin(&g->mu);
    kt_assert(g->busy);
    struct list *first = list_pop_front(&g->waiters);
    if (first) {
        struct gate_waiter *w = list_entry(first, struct gate_waiter, link);
        w->granted = true;
        rt_wake(&w->wait);
    } else {
        g->busy = false;
    }
    section_end(&g->mu);
}
