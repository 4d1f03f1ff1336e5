/* work: a leaky bucket over bytes, and polling pauses. */
#include "volume/work.h"

void work_begin(struct work *w, const char *phase, uint64_t total)
{
    int64_t now = rt_now_ns();
    atomic_store(&w->done, 0);
    atomic_store(&w->total, total);
    atomic_store(&w->phase, phase);
    atomic_store(&w->paused, NULL);
    atomic_store(&w->started_ns, now);
    atomic_store(&w->paused_ns, 0);
    w->owed = 0;
    w->next_ns = now;
}

void work_phase(struct work *w, const char *phase)
{
    atomic_store(&w->phase, phase);
}

static int wait_while_paused(struct work *w)
{
    const char *reason;
    int rc = 0;
    int64_t from = rt_now_ns();
    if (!w->pause || !w->pause(w->arg))
        return 0;
    while (rc == 0 && (reason = w->pause(w->arg)) != NULL) {
        atomic_store(&w->paused, reason);
        rc = rt_sleep_until(rt_after_ms(WORK_PAUSE_MS));
    }
    atomic_store(&w->paused, NULL);
    int64_t slept = rt_now_ns() - from;
    atomic_fetch_add(&w->paused_ns, slept);
    w->next_ns += slept;
    return rc;
}

int work_step(struct work *w, uint64_t bytes)
{
    atomic_fetch_add_explicit(&w->done, bytes, memory_order_relaxed);
    w->owed += bytes;
    rt_yield();
    int rc = wait_while_paused(w);
    if (rc < 0 || w->bytes_per_s == 0 || w->owed < KT_MIN(WORK_BURST, w->bytes_per_s / 8))
        return rc;
    int64_t now = rt_now_ns();
    w->next_ns =
        KT_MAX(w->next_ns, now - NS_PER_SEC); /* a late job catches up one second at most */
    w->next_ns += (int64_t)((double)w->owed / (double)w->bytes_per_s * (double)NS_PER_SEC);
    w->owed = 0;
    return w->next_ns > now ? rt_sleep_until(w->next_ns) : 0;
}

uint64_t work_rate(const struct work *w)
{
    int64_t ns = rt_now_ns() - atomic_load(&w->started_ns) - atomic_load(&w->paused_ns);
    return ns <= 0 ? 0
                   : (uint64_t)((double)atomic_load(&w->done) * (double)NS_PER_SEC / (double)ns);
}

uint64_t work_eta_s(const struct work *w)
{
    uint64_t rate = work_rate(w), done = atomic_load(&w->done), total = atomic_load(&w->total);
    if (done >= total)
        return 0;
    return rate == 0 ? UINT64_MAX : (total - done) / rate;
}
