/* backend_sim: the simulated machine's core: randomness, virtual clock, events, jobs, handles, the
 * trace.
 *
 * Happy path: the loop polls; sim_poll_wait runs the events that are due, else moves the clock to
 * the next one, and reports which sockets are ready. An offloaded job is two events: at the first
 * the job runs, at the second its fiber is woken; between them other jobs run and a crash may come,
 * so "done but not yet told" is a state that tests visit. Failure modes: nothing to wait for is a
 * deadlock and aborts with the seed. */
#include "rt/sim_priv.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/rand.h"
#include "rt/rt.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_COST_NS 200                                 /* so that a busy program sees time pass */
#define WALL_START_NS (INT64_C(1735689600) * NS_PER_SEC) /* 2025-01-01 */

struct rt_poller {
    struct sim *s;
};

/* ---- randomness: splitmix64, one state per authority ---- */

uint64_t sim_draw(struct sim *s, enum sim_stream stream)
{
    return rand_splitmix(&s->rng[stream]);
}

uint64_t sim_draw_below(struct sim *s, enum sim_stream stream, uint64_t n)
{
    kt_assert(n > 0);
    return (uint64_t)(((unsigned __int128)sim_draw(s, stream) * n) >> 64);
}

bool sim_draw_chance(struct sim *s, enum sim_stream stream, uint32_t ppm)
{
    return ppm != 0 && sim_draw_below(s, stream, 1000000) < ppm;
}

int64_t sim_draw_ns(struct sim *s, enum sim_stream stream, int64_t min_ns, int64_t max_ns)
{
    return min_ns + (int64_t)sim_draw_below(s, stream, (uint64_t)(max_ns - min_ns) + 1);
}

uint64_t sim_rand(struct sim *s)
{
    return sim_draw(s, SIM_RNG_WORK);
}

uint64_t sim_rand_below(struct sim *s, uint64_t n)
{
    return sim_draw_below(s, SIM_RNG_WORK, n);
}

bool sim_chance(struct sim *s, uint32_t ppm)
{
    return sim_draw_chance(s, SIM_RNG_WORK, ppm);
}

static void sim_random(void *self, void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        uint64_t v = sim_draw(self, SIM_RNG_ENTROPY);
        size_t n = KT_MIN(len, sizeof(v));
        memcpy(p, &v, n);
        p += n;
        len -= n;
    }
}

/* ---- trace ---- */

void sim_note(struct sim *s, uint64_t value)
{
    uint64_t state = s->trace ^ value;
    s->trace = rand_splitmix(&state);
}

bool sim_printing(void)
{
    static int printing = -1;
    if (printing < 0)
        printing = getenv("KITTEN_SIM_TRACE") != NULL;
    return printing;
}

ssize_t sim_log(struct sim *s, const char *call, uint64_t a, uint64_t b, ssize_t result)
{
    if (sim_printing())
        fprintf(stderr, "%12.6f %s %llu %llu = %zd\n", (double)s->now_ns / 1e9, call,
                (unsigned long long)a, (unsigned long long)b, result);
    uint64_t name = 0;
    for (const char *c = call; *c != '\0'; c++)
        name = name * 31 + (uint8_t)*c;
    sim_note(s, name);
    sim_note(s, a);
    sim_note(s, b);
    sim_note(s, (uint64_t)result ^ (uint64_t)s->now_ns);
    return result;
}

uint64_t sim_trace(const struct sim *s)
{
    return s->trace;
}

/* ---- clock and events ---- */

static int64_t sim_mono_ns(void *self)
{
    return ((struct sim *)self)->now_ns;
}

static int64_t sim_wall_ns(void *self)
{
    struct sim *s = self;
    return s->wall_base_ns + s->now_ns;
}

int64_t sim_now_ns(const struct sim *s)
{
    return s->now_ns;
}

void sim_wall_jump(struct sim *s, int64_t ns)
{
    s->wall_base_ns += ns;
}

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void event_swap(struct sim_event *a, struct sim_event *b)
{
    struct sim_event t = *a;
    *a = *b;
    *b = t;
}

void sim_post(struct sim *s, int64_t at_ns, void (*fn)(struct sim *s, void *arg, uint64_t n),
              void *arg, uint64_t n)
{
    if (s->nevents == s->events_cap) {
        s->events_cap = s->events_cap ? 2 * s->events_cap : 64;
        s->events = mem_realloc(s->events, s->events_cap * sizeof(*s->events));
    }
    size_t i = s->nevents++;
    s->events[i] = (struct sim_event){at_ns, s->event_order++, fn, arg, n};
    for (; i > 0 && event_before(&s->events[i], &s->events[(i - 1) / 2]); i = (i - 1) / 2)
        event_swap(&s->events[i], &s->events[(i - 1) / 2]);
}

static struct sim_event event_pop(struct sim *s)
{
    struct sim_event first = s->events[0];
    s->events[0] = s->events[--s->nevents];
    for (size_t i = 0;;) {
        size_t least = i, l = 2 * i + 1, r = 2 * i + 2;
        if (l < s->nevents && event_before(&s->events[l], &s->events[least]))
            least = l;
        if (r < s->nevents && event_before(&s->events[r], &s->events[least]))
            least = r;
        if (least == i)
            return first;
        event_swap(&s->events[i], &s->events[least]);
        i = least;
    }
}

/* Runs what is due now; true when anything ran. */
static bool run_due_events(struct sim *s)
{
    bool any = false;
    while (s->nevents > 0 && s->events[0].at_ns <= s->now_ns) {
        struct sim_event ev = event_pop(s);
        s->counts.events++;
        ev.fn(s, ev.arg, ev.n);
        any = true;
    }
    return any;
}

/* ---- polling ---- */

static int sim_poller_new(void *self, struct rt_poller **ret)
{
    *ret = mem_zalloc(sizeof(**ret));
    (*ret)->s = self;
    return 0;
}

static void sim_poller_free(void *self, struct rt_poller *p)
{
    (void)self;
    mem_free(p);
}

static int sim_poll_set(void *self, struct rt_poller *p, int sock, uint32_t bits, void *cookie)
{
    (void)p;
    struct sim_handle *h = sim_handle_get(self, sock, HANDLE_SOCK);
    if (h == NULL)
        return -EBADF;
    h->sock->bits = bits;
    h->sock->cookie = cookie;
    h->sock->polled = true;
    return 0;
}

static int sim_poll_del(void *self, struct rt_poller *p, int sock)
{
    (void)p;
    struct sim_handle *h = sim_handle_get(self, sock, HANDLE_SOCK);
    if (h == NULL)
        return -EBADF;
    h->sock->polled = false;
    return 0;
}

static int collect_ready(struct sim *s, struct rt_event *ev, int max)
{
    int n = 0;
    for (size_t i = 0; i < s->nhandles && n < max; i++) {
        if (s->handles[i].kind != HANDLE_SOCK)
            continue;
        struct sim_sock *k = s->handles[i].sock;
        if (!k->polled || k->bits == 0)
            continue;
        uint32_t bits = sim_sock_ready(k) & (k->bits | RT_POLL_HUP);
        if (bits != 0)
            ev[n++] = (struct rt_event){k->cookie, bits};
    }
    return n;
}

static KT_NORETURN void report_deadlock(struct sim *s)
{
    fprintf(stderr, "sim: deadlock at %.6f s, seed %llu: no event, no timer, no ready socket\n",
            (double)s->now_ns / 1e9, (unsigned long long)s->seed);
    abort();
}

static int sim_poll_wait(void *self, struct rt_poller *p, struct rt_event *ev, int max,
                         int64_t until_ns)
{
    (void)p;
    struct sim *s = self;
    s->now_ns += POLL_COST_NS;
    bool ran = run_due_events(s);
    int n = collect_ready(s, ev, max);
    bool woken = s->woken;
    s->woken = false;
    if (n > 0 || ran || woken || until_ns <= s->now_ns)
        return n;
    if (s->nevents > 0 && s->events[0].at_ns <= until_ns) {
        s->now_ns = s->events[0].at_ns;
        run_due_events(s);
        s->woken = false;
        return collect_ready(s, ev, max);
    }
    if (until_ns == INT64_MAX)
        report_deadlock(s);
    s->now_ns = until_ns;
    return 0;
}

static void sim_poll_wake(void *self, struct rt_poller *p)
{
    (void)p;
    ((struct sim *)self)->woken = true;
}

/* ---- jobs ---- */

static void job_done(struct sim *s, void *arg, uint64_t n)
{
    (void)n;
    s->jobs--;
    rt_job_finished(arg);
}

static void job_run(struct sim *s, void *arg, uint64_t done_at_ns)
{
    rt_job_run(arg);
    sim_post(s, (int64_t)done_at_ns, job_done, arg, 0);
}

static int sim_offload(void *self, struct rt_job *job)
{
    struct sim *s = self;
    if (!job->urgent && s->queue_max != 0 && s->jobs >= s->queue_max)
        return -EAGAIN;
    s->jobs++;
    int64_t ns = sim_draw_ns(s, SIM_RNG_DISK, s->opt.io_min_ns, s->opt.io_max_ns);
    if (sim_draw_chance(s, SIM_RNG_DISK, s->opt.stall_ppm)) {
        ns = sim_draw_ns(s, SIM_RNG_DISK, ns, s->opt.stall_max_ns);
        s->counts.stalls++;
    }
    int64_t run_ns = sim_draw_ns(s, SIM_RNG_DISK, 0, ns);
    sim_post(s, s->now_ns + run_ns, job_run, job, (uint64_t)(s->now_ns + ns));
    return 0;
}

static int sim_start(void *self, int workers, int queue_max)
{
    (void)workers;
    ((struct sim *)self)->queue_max = (uint32_t)queue_max;
    return 0;
}

static int sim_resolve(void *self, const char *host, uint16_t port, struct rt_addr *ret)
{
    (void)self;
    (void)host;
    *ret = (struct rt_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = port};
    return 0;
}

static int sim_run_threads(void *self, int n, void (*fn)(void *arg, int index), void *arg)
{
    (void)self;
    if (n != 1)
        return -EINVAL;
    fn(arg, 0);
    return 0;
}

/* ---- handles ---- */

int sim_handle_new(struct sim *s, enum sim_handle_kind kind, void *object)
{
    size_t i = 0;
    while (i < s->nhandles && s->handles[i].kind != HANDLE_FREE)
        i++;
    if (i == SIM_HANDLES_MAX)
        return -EMFILE;
    if (i == s->nhandles) {
        s->nhandles = s->nhandles ? 2 * s->nhandles : 64;
        s->handles = mem_realloc(s->handles, s->nhandles * sizeof(*s->handles));
        memset(s->handles + i, 0, (s->nhandles - i) * sizeof(*s->handles));
    }
    s->handles[i] = (struct sim_handle){.kind = kind, .dir = object};
    s->open_handles++;
    return SIM_HANDLE_BASE + (int)i;
}

struct sim_handle *sim_handle_get(struct sim *s, int handle, enum sim_handle_kind kind)
{
    int64_t i = (int64_t)handle - SIM_HANDLE_BASE;
    if (i < 0 || (size_t)i >= s->nhandles || s->handles[i].kind != kind)
        return NULL;
    return &s->handles[i];
}

void sim_handle_free(struct sim *s, int handle)
{
    s->handles[handle - SIM_HANDLE_BASE] = (struct sim_handle){0};
    s->open_handles--;
}

uint32_t sim_open_handles(const struct sim *s)
{
    return s->open_handles;
}

/* ---- the machine ---- */

static void set_defaults(struct sim_options *o)
{
    if (o->capacity_bytes == 0)
        o->capacity_bytes = MIB(64);
    if (o->io_max_ns == 0) {
        o->io_min_ns = 50 * 1000;
        o->io_max_ns = 2 * NS_PER_MS;
    }
    if (o->stall_max_ns == 0)
        o->stall_max_ns = 20 * NS_PER_SEC;
    if (o->net_max_ns == 0) {
        o->net_min_ns = 50 * 1000;
        o->net_max_ns = NS_PER_MS;
    }
    o->stall_max_ns = KT_MAX(o->stall_max_ns, o->io_max_ns);
}

struct sim *sim_new(uint64_t seed, const struct sim_options *opt)
{
    struct sim *s = mem_zalloc(sizeof(*s));
    s->seed = seed;
    if (opt != NULL)
        s->opt = *opt;
    set_defaults(&s->opt);
    for (int i = 0; i < SIM_RNG_COUNT; i++)
        s->rng[i] = rand_splitmix(&seed);
    s->now_ns = NS_PER_SEC;
    s->wall_base_ns = WALL_START_NS;
    s->next_port = 40000;
    list_init(&s->dirs);
    list_init(&s->inodes);
    s->ops = (struct rt_backend){
        .name = "sim",
        .self = s,
        .mono_ns = sim_mono_ns,
        .wall_ns = sim_wall_ns,
        .random = sim_random,
        .poller_new = sim_poller_new,
        .poller_free = sim_poller_free,
        .poll_add = sim_poll_set,
        .poll_mod = sim_poll_set,
        .poll_del = sim_poll_del,
        .poll_wait = sim_poll_wait,
        .poll_wake = sim_poll_wake,
        .offload = sim_offload,
        .resolve = sim_resolve,
        .run_threads = sim_run_threads,
        .start = sim_start,
    };
    sim_disk_ops(&s->ops);
    sim_net_ops(&s->ops);
    return s;
}

static void close_all_handles(struct sim *s)
{
    for (size_t i = 0; i < s->nhandles; i++) {
        int handle = SIM_HANDLE_BASE + (int)i;
        if (s->handles[i].kind == HANDLE_SOCK)
            s->ops.net_close(s, handle);
        else if (s->handles[i].kind != HANDLE_FREE)
            sim_disk_close(s, handle);
    }
}

void sim_free(struct sim *s)
{
    if (s == NULL)
        return;
    close_all_handles(s);
    s->now_ns = INT64_MAX - 1;
    run_due_events(s); /* what is still flying is freed by its events */
    sim_disk_free(s);
    mem_free(s->handles);
    mem_free(s->events);
    mem_free(s);
}

const struct rt_backend *sim_backend(struct sim *s)
{
    return &s->ops;
}

struct sim_options *sim_options(struct sim *s)
{
    return &s->opt;
}

const struct sim_counts *sim_counts(const struct sim *s)
{
    return &s->counts;
}

/* ---- crashes ---- */

void sim_cut(struct sim *s, enum sim_state how)
{
    if (s->state != SIM_RUNNING || how == SIM_RUNNING)
        return;
    s->state = how;
    if (how == SIM_POWER_CUT)
        s->counts.cuts++;
    else
        s->counts.kills++;
    sim_log(s, "cut", (uint64_t)how, s->calls, 0);
    sim_net_cut(s);
}

static void cut_event(struct sim *s, void *arg, uint64_t how)
{
    (void)arg;
    sim_cut(s, (enum sim_state)how);
}

void sim_cut_at(struct sim *s, int64_t at_ns, enum sim_state how)
{
    sim_post(s, at_ns, cut_event, NULL, (uint64_t)how);
}

enum sim_state sim_state(const struct sim *s)
{
    return s->state;
}

void sim_restart(struct sim *s)
{
    kt_assert(s->jobs == 0); /* rt_run has returned, so no job is left */
    close_all_handles(s);
    for (size_t i = 0; i < s->nevents; i++) { /* only planned cuts and flying segments are left */
        if (s->events[i].fn == cut_event)
            s->events[i].n = SIM_RUNNING;
    }
    sim_disk_crash(s);
    sim_log(s, "restart", (uint64_t)s->state, 0, 0);
    s->state = SIM_RUNNING;
    s->fault = SIM_FAULT_NONE;
    s->fail_at = s->fail_read_at = 0;
    s->woken = false;
}

void sim_fail_at(struct sim *s, uint64_t n, enum sim_fault what)
{
    s->calls = 0;
    s->fail_at = n;
    s->fault = what;
    s->fired = false;
}

uint64_t sim_calls(const struct sim *s)
{
    return s->calls;
}

bool sim_fired(const struct sim *s)
{
    return s->fired;
}

void sim_fail_read_at(struct sim *s, uint64_t n)
{
    s->reads = 0;
    s->fail_read_at = n;
}

const char *sim_fault_name(enum sim_fault f)
{
    static const char *const names[SIM_FAULT_COUNT] = {
        "none", "eio", "enospc", "short", "cut-before", "cut-after", "kill-after",
    };
    return (unsigned)f < SIM_FAULT_COUNT ? names[f] : "?";
}
