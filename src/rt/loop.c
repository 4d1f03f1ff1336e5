/* loop: one thread's turn after turn.
 *
 * A turn: take what other threads sent (inbox of wakes, list of calls), run ready fibers, fire due
 * timers, poll (without sleeping while anything is ready), dispatch events. The clock is read once
 * a turn and every 16 resumes.
 *
 * Sleeping: the loop sets `sleeping`, looks at both lists again, and polls. A sender pushes first
 * and looks at `sleeping` second; both sides are sequentially consistent, so one of them sees the
 * other. Only the sender that turns `sleeping` off pays for poll_wake.
 *
 * End: when the main function has returned, root groups are canceled; a loop without fibers is
 * drained (and undrained if a call arrives: only a loop with fibers sends one). When all are
 * drained at once nobody can send: all leave.
 */
#include "rt/rt_priv.h"

#include <stdlib.h>

_Thread_local struct rt_loop *loop_self;

static void (*slow_hook)(const struct rt_slow *slow);

void rt_set_slow_hook(void (*fn)(const struct rt_slow *slow))
{
    slow_hook = fn;
}

int loop_init(struct rt_loop *l, int index)
{
    l->index = index;
    list_init(&l->ready);
    list_init(&l->live);
    list_init(&l->pool);
    group_init(&l->root, NULL);
    int rc = timer_reserve(l, 256);
    if (rc < 0)
        return rc;
    rc = be()->poller_new(be()->self, &l->poller);
    return rc < 0 ? err_sys(-rc, "make a poller") : 0;
}

void loop_done(struct rt_loop *l)
{
    if (l->poller)
        be()->poller_free(be()->self, l->poller);
    free(l->heap);
    l->poller = NULL;
    l->heap = NULL;
}

void loop_wake(struct rt_loop *l)
{
    if (atomic_exchange(&l->sleeping, false))
        be()->poll_wake(be()->self, l->poller);
}

void loop_deliver(struct rt_wait *w)
{
    struct rt_loop *l = w->fiber->loop;
    if (l == loop_self) {
        fiber_make_ready(w->fiber);
        return;
    }
    w->next_remote = atomic_load(&l->inbox);
    while (!atomic_compare_exchange_weak(&l->inbox, &w->next_remote, w))
        ;
    loop_wake(l); /* `w` may be gone already */
}

static void take_inbox(struct rt_loop *l)
{
    if (!atomic_load_explicit(&l->inbox, memory_order_relaxed))
        return;
    struct rt_wait *w = atomic_exchange(&l->inbox, NULL), *oldest_first = NULL;
    while (w) {
        struct rt_wait *next = w->next_remote;
        w->next_remote = oldest_first;
        oldest_first = w;
        w = next;
    }
    while (oldest_first) {
        struct rt_fiber *f = oldest_first->fiber;
        oldest_first = oldest_first->next_remote;
        fiber_make_ready(f);
    }
}

static int run_call(void *arg)
{
    struct remote_call *c = arg;
    c->rc = c->fn(c->arg);
    if (c->rc < 0)
        c->diag = *diag_get();
    rt_wake(&c->wait);
    return 0;
}

static void take_calls(struct rt_loop *l)
{
    if (!atomic_load_explicit(&l->calls, memory_order_relaxed))
        return;
    struct remote_call *c = atomic_exchange(&l->calls, NULL), *oldest_first = NULL;
    while (c) {
        struct remote_call *next = c->next;
        c->next = oldest_first;
        oldest_first = c;
        c = next;
    }
    while (oldest_first) {
        c = oldest_first;
        oldest_first = c->next;
        int rc = rt_go(&l->root, run_call, c);
        if (rc < 0) {
            c->rc = rc;
            c->diag = *diag_get();
            rt_wake(&c->wait);
        }
    }
}

int rt_call_on(int index, int (*fn)(void *arg), void *arg)
{
    kt_assert(rt_may_yield());
    kt_assert(index >= 0 && index < rt_self.loop_count);
    struct rt_loop *l = &rt_self.loops[index];
    if (l == loop_self)
        return fn(arg);
    struct remote_call c = {.fn = fn, .arg = arg};
    rt_wait_init(&c.wait);
    c.next = atomic_load(&l->calls);
    while (!atomic_compare_exchange_weak(&l->calls, &c.next, &c))
        ;
    loop_wake(l);
    fiber_park(&c.wait, RT_NEVER, "call", false);
    if (c.rc < 0 && c.diag.code == -c.rc)
        *diag_get() = c.diag;
    return c.rc;
}

static void read_clock(struct rt_loop *l)
{
    int64_t now = be()->mono_ns(be()->self);
    if (now > l->now_ns)
        l->now_ns = now;
}

static void run_ready(struct rt_loop *l)
{
    uint64_t resumed = 0;
    struct list batch;
    while (!list_empty(&l->ready) && resumed < RESUMES_PER_TURN) {
        list_init(&batch);
        list_insert_between(&batch, l->ready.prev, l->ready.next);
        list_init(&l->ready);
        struct list *n;
        while ((n = list_pop_front(&batch)) != NULL) {
            fiber_resume(l, list_entry(n, struct rt_fiber, ready));
            if (++resumed % 16 == 0)
                read_clock(l);
        }
    }
    if (resumed > 0)
        stat_add(&l->stat_switches, resumed);
}

static void check_slow(struct rt_loop *l)
{
    int64_t took = l->now_ns - l->turn_ns;
    if (KT_UNLIKELY(took > SLOW_TURN_MS * NS_PER_MS) && slow_hook) {
        struct rt_slow slow = {.loop = l->index,
                               .took_ns = took,
                               .fiber_id = l->last_fiber_id,
                               .request_id = l->last_request_id};
        slow_hook(&slow);
    }
}

static bool have_mail(struct rt_loop *l)
{
    return atomic_load(&l->inbox) || atomic_load(&l->calls);
}

/* True when the end has come closer since ended() looked: the last fiber may have gone in this very
 * turn. */
static bool leaving(const struct rt_loop *l)
{
    if (!atomic_load(&rt_self.ending))
        return false;
    return (l->live_count == 0) != l->drained ||
           atomic_load(&rt_self.drained) == rt_self.loop_count;
}

static void poll_once(struct rt_loop *l)
{
    int64_t until = l->heap_len > 0 ? l->heap[0].at_ns : RT_NEVER;
    bool busy = !list_empty(&l->ready);
    if (!busy) {
        atomic_store(&l->sleeping, true);
        busy = have_mail(l) || leaving(l);
    }
    int n = be()->poll_wait(be()->self, l->poller, l->events, EVENTS_PER_TURN,
                            busy ? l->now_ns : until);
    atomic_store_explicit(&l->sleeping, false, memory_order_relaxed);
    kt_assert(n >= 0);
    read_clock(l);
    l->turn_ns = l->now_ns;
    l->event_count = n;
    for (l->event_at = 0; l->event_at < l->event_count; l->event_at++) {
        const struct rt_event *e = &l->events[l->event_at];
        if (e->cookie)
            sock_event(e->cookie, e->bits);
    }
    l->event_count = 0;
}

static void wake_all(void)
{
    for (int i = 0; i < rt_self.loop_count; i++)
        be()->poll_wake(be()->self, rt_self.loops[i].poller);
}

/* True when the loop may leave for good. */
static bool ended(struct rt_loop *l)
{
    if (!atomic_load_explicit(&rt_self.ending, memory_order_acquire))
        return false;
    rt_group_cancel(&l->root);
    bool empty = l->live_count == 0 && !have_mail(l);
    if (empty != l->drained) {
        l->drained = empty;
        if (atomic_fetch_add(&rt_self.drained, empty ? 1 : -1) + (empty ? 1 : -1) ==
            rt_self.loop_count)
            wake_all();
    }
    return atomic_load(&rt_self.drained) == rt_self.loop_count;
}

static int run_main(void *arg KT_UNUSED)
{
    rt_self.result = rt_self.fn(rt_self.arg);
    if (rt_self.result < 0)
        rt_self.result_diag = *diag_get();
    atomic_store(&rt_self.ending, true);
    wake_all();
    return 0;
}

void loop_run(struct rt_loop *l)
{
    loop_self = l;
    san_thread_init(&l->san);
    read_clock(l);
    l->turn_ns = l->now_ns;
    if (l->index == 0) {
        int rc = fiber_spawn(l, NULL, run_main, NULL);
        if (rc < 0) {
            rt_self.result = rc;
            rt_self.result_diag = *diag_get();
            atomic_store(&rt_self.ending, true);
            wake_all();
        }
    }
    while (!ended(l)) {
        take_inbox(l);
        take_calls(l);
        if (l->index == 0)
            stop_poll();
        run_ready(l);
        read_clock(l);
        check_slow(l);
        timer_fire(l);
        poll_once(l);
    }
    fiber_pool_free(l);
    loop_self = NULL;
}

int64_t rt_clock_ns(void)
{
    return be()->mono_ns(be()->self);
}

int64_t rt_now_ns(void)
{
    return loop_self ? loop_self->now_ns : be()->mono_ns(be()->self);
}

int rt_sleep_until(int64_t deadline_ns)
{
    struct rt_wait w;
    rt_wait_init(&w);
    int rc = fiber_park(&w, deadline_ns, "sleep", true);
    return rc == -KT_ERR_CANCELED ? err_set(KT_ERR_CANCELED, "sleep: canceled") : 0;
}
