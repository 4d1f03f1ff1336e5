/* fiber: stacks, start, switch, park and end.
 *
 * Happy path: fiber_spawn takes a pooled stack (or maps one), the loop's fiber_resume switches to
 * it, the fiber runs fn, parks in fiber_park, which switches back to the loop, and is resumed when
 * its wait is over. At the end fiber_main tells the group and switches away for good.
 *
 * Failure modes: too many fibers is LIMIT, no address space (vm.max_map_count, RLIMIT_AS)
 * NO_MEMORY; a stack overflow hits the guard page below the stack and kills the process.
 */
#include "rt/ctx.h"
#include "rt/rt_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Thread_local struct rt_fiber *fiber_self;

enum { GUARD_BYTES = 65536, PAGE_BYTES = 4096 };

/* Where the stack begins to grow down from: the fiber's own struct lies above. */
static void *stack_top(struct rt_fiber *f)
{
    return (void *)((uintptr_t)f & ~(uintptr_t)63);
}

static struct rt_fiber *fiber_map(struct rt_loop *l)
{
    size_t bytes = GUARD_BYTES + rt_self.stack_bytes;
    uint8_t *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (mprotect(map, GUARD_BYTES, PROT_NONE) != 0) {
        munmap(map, bytes);
        return NULL;
    }
    struct rt_fiber *f = (void *)((uintptr_t)(map + bytes - sizeof(*f)) & ~(uintptr_t)63);
    f->map = map;
    f->map_bytes = bytes;
    f->loop = l;
    san_stack_born(&f->san, map + GUARD_BYTES, bytes - GUARD_BYTES);
    return f;
}

static void fiber_unmap(struct rt_fiber *f)
{
    san_stack_gone(&f->san);
    munmap(f->map, f->map_bytes);
}

/* A look at how deep the stack has been (whole pages that are resident), giving back what is more
 * than an idle stack may keep. Costs two system calls, therefore only now and then. */
static void stack_check(struct rt_loop *l, struct rt_fiber *f)
{
    unsigned char resident[256];
    uint8_t *low = f->map + GUARD_BYTES, *top = f->map + f->map_bytes;
    uint8_t *first = top;
    for (uint8_t *at = low; at < top && first == top; at += PAGE_BYTES * sizeof(resident)) {
        size_t pages = KT_MIN((size_t)(top - at) / PAGE_BYTES, sizeof(resident));
        if (mincore(at, pages * PAGE_BYTES, resident) != 0)
            return;
        for (size_t i = 0; i < pages && first == top; i++) {
            if (resident[i] & 1)
                first = at + i * PAGE_BYTES;
        }
    }
    size_t used = (size_t)(top - first);
    if (used > atomic_load_explicit(&l->stat_stack_high, memory_order_relaxed))
        atomic_store_explicit(&l->stat_stack_high, used, memory_order_relaxed);
    if (used > STACK_KEEP_BYTES)
        madvise(low, (size_t)(top - low) - STACK_KEEP_BYTES, MADV_DONTNEED);
}

static void fiber_release(struct rt_loop *l, struct rt_fiber *f)
{
    list_remove(&f->live);
    l->live_count--;
    atomic_store_explicit(&l->stat_fibers, l->live_count, memory_order_relaxed);
    if (f->uses++ % STACK_CHECK_EVERY == 0)
        stack_check(l, f);
    if (l->pool_count >= FIBERS_KEPT) {
        l->all_count--;
        fiber_unmap(f);
        return;
    }
    list_push_front(&l->pool, &f->ready); /* the warmest stack is used next */
    l->pool_count++;
}

void fiber_pool_free(struct rt_loop *l)
{
    struct list *n;
    while ((n = list_pop_front(&l->pool)) != NULL)
        fiber_unmap(list_entry(n, struct rt_fiber, ready));
    l->pool_count = 0;
}

static void fiber_main(void *arg)
{
    struct rt_fiber *f = arg;
    struct rt_loop *l = f->loop;
    san_switch_done(&f->san, &l->san);
    int rc = f->fn(f->arg);
    kt_assert(f->no_yield == 0);
    kt_assert(list_empty(&f->scopes)); /* a group was opened and not waited for */
    if (f->group)
        group_member_ended(f->group, f, rc);
    f->ended = true;
    san_switch_start(&f->san, &l->san, true);
    ctx_switch(&f->sp, l->sp);
    kt_assert(false); /* an ended fiber was resumed */
}

static struct rt_fiber *fiber_take(struct rt_loop *l)
{
    struct list *n = list_pop_front(&l->pool);
    if (n) {
        struct rt_fiber *f = list_entry(n, struct rt_fiber, ready);
        l->pool_count--;
        san_stack_reuse(&f->san, (size_t)((uint8_t *)stack_top(f) - (f->map + GUARD_BYTES)));
        return f;
    }
    if (timer_reserve(l, l->all_count + 1) < 0)
        return NULL;
    struct rt_fiber *f = fiber_map(l);
    if (f)
        l->all_count++;
    return f;
}

int fiber_spawn(struct rt_loop *l, struct rt_group *g, int (*fn)(void *), void *arg)
{
    if (l->live_count >= rt_self.max_fibers)
        return err_set(KT_ERR_LIMIT, "no more fibers: %u are running on this loop", l->live_count);
    struct rt_fiber *f = fiber_take(l);
    if (!f)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a fiber's stack of %zu bytes",
                       rt_self.stack_bytes);
    f->fn = fn;
    f->arg = arg;
    f->group = g;
    f->id = ++l->next_fiber_id * LOOPS_MAX + (uint64_t)l->index;
    f->request_id = 0;
    f->wait = NULL;
    f->wait_name = NULL;
    f->no_yield = 0;
    f->ended = false;
    f->diag.code = 0;
    f->diag.text[0] = '\0';
    list_init(&f->scopes);
    rt_timer_init(&f->timer, fiber_deadline);
    list_push_back(&l->live, &f->live);
    l->live_count++;
    atomic_store_explicit(&l->stat_fibers, l->live_count, memory_order_relaxed);
    if (l->live_count > atomic_load_explicit(&l->stat_fibers_max, memory_order_relaxed))
        atomic_store_explicit(&l->stat_fibers_max, l->live_count, memory_order_relaxed);
    if (g) {
        list_push_back(&g->fibers, &f->member);
        g->count++;
    }
    f->sp = ctx_make(stack_top(f), fiber_main, f);
    f->wait_since_ns = l->now_ns;
    list_push_back(&l->ready, &f->ready);
    return 0;
}

void fiber_make_ready(struct rt_fiber *f)
{
    f->wait = NULL;
    f->wait_name = NULL;
    list_push_back(&f->loop->ready, &f->ready);
}

void fiber_resume(struct rt_loop *l, struct rt_fiber *f)
{
    l->current = f;
    l->last_fiber_id = f->id;
    l->last_request_id = f->request_id;
    fiber_self = f;
    diag_fiber = &f->diag;
    san_switch_start(&l->san, &f->san, false);
    ctx_switch(&l->sp, f->sp);
    san_switch_done(&l->san, &f->san);
    diag_fiber = NULL;
    fiber_self = NULL;
    l->current = NULL;
    if (f->ended)
        fiber_release(l, f);
}

static void switch_to_loop(struct rt_fiber *f)
{
    struct rt_loop *l = f->loop;
    san_switch_start(&f->san, &l->san, false);
    ctx_switch(&f->sp, l->sp);
    san_switch_done(&f->san, &l->san);
}

void rt_yield(void)
{
    kt_assert(rt_may_yield());
    struct rt_fiber *f = fiber_self;
    list_push_back(&f->loop->ready, &f->ready);
    switch_to_loop(f);
}

/* ---- waits ---- */

void rt_wait_init(struct rt_wait *w)
{
    w->fiber = fiber_self;
    w->next_remote = NULL;
    atomic_store_explicit(&w->state, WAIT_INIT, memory_order_relaxed);
}

static bool wait_move(struct rt_wait *w, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&w->state, &from, to, memory_order_acq_rel,
                                                   memory_order_acquire);
}

bool fiber_canceled(const struct rt_fiber *f)
{
    return f->group && f->group->canceled;
}

void fiber_end_wait(struct rt_fiber *f, int rc)
{
    struct rt_wait *w = f->wait;
    if (!w || !wait_move(w, WAIT_PARKED, WAIT_ENDED))
        return;
    f->wait_rc = rc;
    fiber_make_ready(f);
}

void fiber_deadline(struct rt_timer *t)
{
    fiber_end_wait(KT_CONTAINER_OF(t, struct rt_fiber, timer), -KT_ERR_TIMEOUT);
}

/* A reason not to sleep at all; the wake, when it has come, is stronger than both. */
static int reason_not_to_park(const struct rt_fiber *f, int64_t deadline_ns, bool cancelable)
{
    if (cancelable && fiber_canceled(f))
        return -KT_ERR_CANCELED;
    if (deadline_ns != RT_NEVER && deadline_ns <= f->loop->now_ns)
        return -KT_ERR_TIMEOUT;
    return 0;
}

int fiber_park(struct rt_wait *w, int64_t deadline_ns, const char *name, bool cancelable)
{
    kt_assert(rt_may_yield());
    struct rt_fiber *f = fiber_self;
    kt_assert(w->fiber == f);
    int rc = reason_not_to_park(f, deadline_ns, cancelable);
    if (rc < 0)
        return wait_move(w, WAIT_INIT, WAIT_ENDED) ? rc : 0;
    f->wait = w;
    f->wait_name = name;
    f->wait_since_ns = f->loop->now_ns;
    f->wait_cancelable = cancelable;
    f->wait_rc = 0;
    if (!wait_move(w, WAIT_INIT, WAIT_PARKED)) {
        f->wait = NULL;
        f->wait_name = NULL;
        return 0;
    }
    if (deadline_ns != RT_NEVER) {
        rc = rt_timer_set(&f->timer, deadline_ns);
        kt_assert(rc == 0); /* the slot was reserved with the fiber */
    }
    switch_to_loop(f);
    rt_timer_cancel(&f->timer);
    return f->wait_rc;
}

int fiber_wait(struct rt_wait *w, int64_t deadline_ns, const char *name)
{
    int rc = fiber_park(w, deadline_ns, name, true);
    if (rc == -KT_ERR_TIMEOUT)
        return err_set(KT_ERR_TIMEOUT, "%s: deadline passed", name);
    if (rc == -KT_ERR_CANCELED)
        return err_set(KT_ERR_CANCELED, "%s: canceled", name);
    return rc;
}

int rt_wait_park(struct rt_wait *w, int64_t deadline_ns)
{
    return fiber_wait(w, deadline_ns, "wait");
}

void rt_wait_park_uncancelable(struct rt_wait *w)
{
    fiber_park(w, RT_NEVER, "wait", false);
}

void rt_wake(struct rt_wait *w)
{
    uint32_t seen = atomic_load_explicit(&w->state, memory_order_relaxed);
    do {
        if (seen == WAIT_WOKEN || seen == WAIT_ENDED)
            return;
    } while (!atomic_compare_exchange_weak_explicit(&w->state, &seen, WAIT_WOKEN,
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (seen == WAIT_PARKED)
        loop_deliver(w);
}

/* ---- what fibers ask about themselves ---- */

bool rt_may_yield(void)
{
    return fiber_self && fiber_self->no_yield == 0;
}

void rt_no_yield_begin(void)
{
    if (fiber_self)
        fiber_self->no_yield++;
}

void rt_no_yield_end(void)
{
    if (fiber_self) {
        kt_assert(fiber_self->no_yield > 0);
        fiber_self->no_yield--;
    }
}

void rt_set_request_id(uint64_t id)
{
    kt_assert(fiber_self);
    fiber_self->request_id = id;
}

uint64_t rt_request_id(void)
{
    return fiber_self ? fiber_self->request_id : 0;
}

void rt_fiber_list(void (*each)(void *arg, const struct rt_fiber_info *info), void *arg)
{
    struct rt_loop *l = loop_self;
    kt_assert(l);
    rt_no_yield_begin();
    list_for_each(it, &l->live)
    {
        const struct rt_fiber *f = list_entry(it, struct rt_fiber, live);
        struct rt_fiber_info info = {
            .id = f->id,
            .request_id = f->request_id,
            .wait = f == l->current ? "running"
                    : f->wait       ? f->wait_name
                                    : "ready",
            .waiting_ns = f == l->current ? 0 : l->now_ns - f->wait_since_ns,
        };
        each(arg, &info);
    }
    rt_no_yield_end();
}
