/* trace: per-thread rings in a static table, registered at a thread's first event. */
#include "obs/trace.h"

#include "base/assert.h"
#include "base/enc.h"
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct event {
    _Atomic(const char *) name;
    _Atomic uint64_t at_ns, a, b;
};

static struct ring {
    _Atomic uint64_t next; /* events ever recorded */
    struct event events[TRACE_EVENTS];
} rings[TRACE_THREADS];
static _Atomic uint32_t rings_used;
static _Thread_local struct ring *mine;
static _Thread_local bool none_left;

static struct ring *my_ring(void)
{
    if (KT_LIKELY(mine || none_left))
        return mine;
    uint32_t i = atomic_fetch_add(&rings_used, 1);
    if (i < TRACE_THREADS)
        mine = &rings[i];
    else
        none_left = true;
    return mine;
}

void trace_event(const char *name, uint64_t a, uint64_t b)
{
    struct ring *r = my_ring();
    struct timespec ts;
    if (!r)
        return;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t n = atomic_load_explicit(&r->next, memory_order_relaxed);
    struct event *e = &r->events[n % TRACE_EVENTS];
    uint64_t now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    atomic_store_explicit(&e->name, name, memory_order_relaxed);
    atomic_store_explicit(&e->at_ns, now, memory_order_relaxed);
    atomic_store_explicit(&e->a, a, memory_order_relaxed);
    atomic_store_explicit(&e->b, b, memory_order_relaxed);
    atomic_store_explicit(&r->next, n + 1, memory_order_release);
}

static size_t add_number(char *out, uint64_t v)
{
    out[0] = ' ';
    return 1 + dec_from_u64(v, out + 1);
}

static void dump_event(int fd, uint32_t thread, const struct event *e)
{
    char line[200] = "trace:";
    size_t n = 6;
    const char *name = atomic_load(&e->name);
    size_t name_len = name ? strnlen(name, 64) : 0;
    n += add_number(line + n, thread);
    n += add_number(line + n, atomic_load(&e->at_ns));
    line[n++] = ' ';
    if (name_len)
        memcpy(line + n, name, name_len);
    n += name_len;
    n += add_number(line + n, atomic_load(&e->a));
    n += add_number(line + n, atomic_load(&e->b));
    line[n++] = '\n';
    if (write(fd, line, n) < 0)
        return; /* nowhere left to say so */
}

void trace_dump(int fd)
{
    uint32_t used = atomic_load(&rings_used);
    for (uint32_t t = 0; t < used && t < TRACE_THREADS; t++) {
        uint64_t next = atomic_load_explicit(&rings[t].next, memory_order_acquire);
        uint64_t first = next > TRACE_EVENTS ? next - TRACE_EVENTS : 0;
        for (uint64_t i = first; i < next; i++)
            dump_event(fd, t, &rings[t].events[i % TRACE_EVENTS]);
    }
}

static void on_assert(void)
{
    trace_dump(STDERR_FILENO);
}

void trace_install(void)
{
    assert_hook = on_assert;
}
