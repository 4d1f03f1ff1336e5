/* timer: a 4-ary heap per loop, earliest first; the slot number lives in the timer, so that
 * re-arming and canceling cost a sift. Room for every fiber's deadline is reserved when its stack
 * is mapped: a wait can't fail for want of a timer. Timers of one instant fire in no particular
 * order, but deterministically.
 */
#include "rt/rt_priv.h"

#include <stdlib.h>

enum { ARITY = 4, IDLE = -1 };

static void place(struct rt_loop *l, uint32_t i, struct timer_slot s)
{
    l->heap[i] = s;
    s.timer->slot = i;
}

static void sift_up(struct rt_loop *l, uint32_t i, struct timer_slot s)
{
    while (i > 0) {
        uint32_t up = (i - 1) / ARITY;
        if (l->heap[up].at_ns <= s.at_ns)
            break;
        place(l, i, l->heap[up]);
        i = up;
    }
    place(l, i, s);
}

static void sift_down(struct rt_loop *l, uint32_t i, struct timer_slot s)
{
    for (;;) {
        uint32_t first = i * ARITY + 1, best = first;
        if (first >= l->heap_len)
            break;
        uint32_t end = KT_MIN(first + ARITY, l->heap_len);
        for (uint32_t c = first + 1; c < end; c++) {
            if (l->heap[c].at_ns < l->heap[best].at_ns)
                best = c;
        }
        if (l->heap[best].at_ns >= s.at_ns)
            break;
        place(l, i, l->heap[best]);
        i = best;
    }
    place(l, i, s);
}

static void settle(struct rt_loop *l, uint32_t i, struct timer_slot s)
{
    if (i > 0 && l->heap[(i - 1) / ARITY].at_ns > s.at_ns)
        sift_up(l, i, s);
    else
        sift_down(l, i, s);
}

static int heap_grow(struct rt_loop *l, uint32_t need)
{
    if (need <= l->heap_cap)
        return 0;
    if (need > TIMERS_MAX)
        return err_set(KT_ERR_LIMIT, "no more timers: %u are armed on this loop", l->heap_len);
    uint32_t cap = KT_MAX(need, KT_MAX(l->heap_cap * 2, 256u));
    struct timer_slot *heap = realloc(l->heap, cap * sizeof(*heap));
    if (!heap)
        return err_set(KT_ERR_NO_MEMORY, "no memory for %u timers", cap);
    l->heap = heap;
    l->heap_cap = cap;
    return 0;
}

int timer_reserve(struct rt_loop *l, uint32_t fibers)
{
    return heap_grow(l, l->heap_user + fibers);
}

void rt_timer_init(struct rt_timer *t, void (*fn)(struct rt_timer *t))
{
    *t = (struct rt_timer){.slot = UINT32_MAX, .fn = fn};
}

int rt_timer_set(struct rt_timer *t, int64_t at_ns)
{
    struct rt_loop *l = loop_self;
    kt_assert(l);
    t->at_ns = at_ns;
    struct timer_slot s = {at_ns, t};
    if (t->slot != UINT32_MAX) {
        kt_assert(t->loop == l);
        settle(l, t->slot, s);
        return 0;
    }
    if (t->fn != fiber_deadline) {
        int rc = heap_grow(l, l->heap_user + 1 + l->all_count);
        if (rc < 0)
            return rc;
        l->heap_user++;
    }
    t->loop = l;
    l->heap_len++;
    sift_up(l, l->heap_len - 1, s);
    return 0;
}

void rt_timer_cancel(struct rt_timer *t)
{
    if (t->slot == UINT32_MAX)
        return;
    struct rt_loop *l = t->loop;
    kt_assert(l == loop_self);
    uint32_t hole = t->slot;
    t->slot = UINT32_MAX;
    if (t->fn != fiber_deadline)
        l->heap_user--;
    l->heap_len--;
    if (hole != l->heap_len)
        settle(l, hole, l->heap[l->heap_len]);
}

/* Fires what is due, each timer at most once a turn, even when its function arms it again in the
 * past. */
void timer_fire(struct rt_loop *l)
{
    for (uint32_t left = l->heap_len; left > 0 && l->heap_len > 0; left--) {
        if (l->heap[0].at_ns > l->now_ns)
            return;
        struct rt_timer *t = l->heap[0].timer;
        rt_timer_cancel(t);
        t->fn(t);
    }
}
