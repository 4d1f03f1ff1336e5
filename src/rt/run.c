/* run: one runtime a process, from start to join, and its counters.
 *
 * Failure modes: what could not be made (memory, pollers, threads) is undone in reverse order and
 * named.
 */
#include "rt/rt_priv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rt rt_self = {.backend = &rt_backend_linux};

static int available_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return KT_MAX(1, KT_MIN(CPU_COUNT(&set), LOOPS_MAX));
}

static int check_options(const struct rt_options *o)
{
    if (o->loops < 0 || o->loops > LOOPS_MAX)
        return err_set(KT_ERR_INVALID, "loops = %d: must be 0..%d", o->loops, LOOPS_MAX);
    if (o->workers < 0 || o->workers > WORKERS_MAX)
        return err_set(KT_ERR_INVALID, "workers = %d: must be 0..%d", o->workers, WORKERS_MAX);
    if (o->stack_bytes != 0 && (o->stack_bytes < 16384 || o->stack_bytes % 4096 != 0))
        return err_set(KT_ERR_INVALID,
                       "stack_bytes = %u: must be a multiple of 4096, at least 16384",
                       o->stack_bytes);
    return 0;
}

static void thread_main(void *arg KT_UNUSED, int index)
{
    loop_run(&rt_self.loops[index]);
}

static int loops_make(void)
{
    rt_self.loops = calloc((size_t)rt_self.loop_count, sizeof(*rt_self.loops));
    if (!rt_self.loops)
        return err_set(KT_ERR_NO_MEMORY, "no memory for %d event loops", rt_self.loop_count);
    for (int i = 0; i < rt_self.loop_count; i++) {
        int rc = loop_init(&rt_self.loops[i], i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void loops_free(void)
{
    for (int i = 0; rt_self.loops && i < rt_self.loop_count; i++)
        loop_done(&rt_self.loops[i]);
    free(rt_self.loops);
    rt_self.loops = NULL;
}

static int run_started(void)
{
    int rc = loops_make();
    if (rc == 0 && be()->watch_signals) {
        rc = be()->watch_signals(be()->self, stop_on_signal);
        if (rc < 0)
            rc = err_sys(-rc, "watch signals");
    }
    if (rc < 0)
        return rc;
    rc = be()->run_threads(be()->self, rt_self.loop_count, thread_main, NULL);
    if (rc < 0)
        return err_sys(-rc, "start %d threads", rt_self.loop_count);
    if (rt_self.result < 0 && rt_self.result_diag.code == -rt_self.result)
        *diag_get() = rt_self.result_diag;
    return rt_self.result;
}

int rt_run(const struct rt_options *opt, int (*fn)(void *arg), void *arg)
{
    static const struct rt_options defaults;
    const struct rt_options *o = opt ? opt : &defaults;
    kt_assert(!rt_self.loops); /* one runtime at a time */
    int rc = check_options(o);
    if (rc < 0)
        return rc;
    rt_self.backend = o->backend ? o->backend : &rt_backend_linux;
    rt_self.loop_count = o->loops ? o->loops : available_cpus();
    rt_self.max_fibers = o->max_fibers ? o->max_fibers : 16384;
    rt_self.stack_bytes = o->stack_bytes ? o->stack_bytes : KIB(256);
    rt_self.fn = fn;
    rt_self.arg = arg;
    rt_self.result_diag.code = 0;
    atomic_store(&rt_self.ending, false);
    atomic_store(&rt_self.drained, 0);
    stop_init();
    net_forget_listeners();

    int workers = o->workers ? o->workers : KT_MIN(8 * rt_self.loop_count, 64);
    if (be()->start) {
        rc = be()->start(be()->self, workers, JOB_QUEUE_MAX);
        if (rc < 0) {
            rt_self.backend = &rt_backend_linux;
            return err_sys(-rc, "start %d worker threads", workers);
        }
    }
    rc = run_started();
    if (be()->stop)
        be()->stop(be()->self);
    loops_free();
    rt_self.backend = &rt_backend_linux;
    return rc;
}

int rt_loop_count(void)
{
    return rt_self.loop_count;
}

int rt_loop_index(void)
{
    return loop_self ? loop_self->index : -1;
}

int64_t rt_wall_ns(void)
{
    return be()->wall_ns(be()->self);
}

void rt_random(void *out, size_t len)
{
    be()->random(be()->self, out, len);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void rt_stats(struct rt_stats *ret)
{
    struct rt_stats s = {0};
    for (int i = 0; rt_self.loops && i < rt_self.loop_count; i++) {
        struct rt_loop *l = &rt_self.loops[i];
        s.fibers += get(&l->stat_fibers);
        s.fibers_max += get(&l->stat_fibers_max);
        s.switches += get(&l->stat_switches);
        s.offloads += get(&l->stat_offloads);
        s.read_hits += get(&l->stat_read_hits);
        s.read_offloads += get(&l->stat_read_offloads);
        s.stack_high_water = KT_MAX(s.stack_high_water, get(&l->stat_stack_high));
    }
    s.offload_queue =
        (uint64_t)KT_MAX(atomic_load_explicit(&rt_self.jobs, memory_order_relaxed), 0);
    *ret = s;
}
