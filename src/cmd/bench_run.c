/* bench_run: set the loops up, let them run, watch the clock, add up.
 *
 * run_phase -> rt_run(run_main): the objects are dealt out to the loops, every loop runs its
 * connections (bench_worker), a monitor on loop 0 reads the server's CPU at the ends of the
 * measured window and draws the progress line; then objects and tallies are gathered again. */
#include "cmd/bench_run.h"

#include "base/assert.h"
#include "cmd/bench_proc.h"
#include "cmd/bench_worker.h"
#include "cmd/progress.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOPS_MAX 64
#define MONITOR_MS 100

struct run {
    struct bench_config *cfg;
    struct bench_objects *objects;
    struct bench_result *ret;
    struct bench_loop *loops[LOOPS_MAX]; /* owned */
    int nloops;
    _Atomic int ended;             /* loops that have finished */
    double server_cpu, client_cpu; /* at the window's begin */
    int64_t begun_ns, stopped_ns;  /* when those were read */
};

/* ---- setting up ---- */

static uint64_t next_free_index(const struct bench_objects *o)
{
    uint64_t next = 0;
    for (uint64_t i = 0; i < o->n; i++)
        next = KT_MAX(next, o->items[i].index + 1);
    return next;
}

static int deal_some(struct run *r, bool live)
{
    struct bench_objects *all = r->objects;
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < all->n; i++) {
        struct bench_loop *l = r->loops[i % (uint64_t)r->nloops];
        if ((all->state[i] == OBJECT_LIVE) != live)
            continue;
        rc = objects_add(&l->objects, &all->items[i], all->files ? TAKE(all->names[i]) : NULL);
        if (rc == 0)
            l->objects.state[l->objects.n - 1] = all->state[i];
    }
    return rc;
}

/* Deleted objects come first and, unless everything is to be checked, lie before the cursor. */
static int deal_objects(struct run *r)
{
    int rc = deal_some(r, false);
    for (int i = 0; i < r->nloops && !r->cfg->check; i++)
        r->loops[i]->cursor = r->loops[i]->objects.n;
    if (rc == 0)
        rc = deal_some(r, true);
    objects_done(r->objects);
    return rc;
}

static int gather_objects(struct run *r)
{
    int rc = 0;
    for (int i = 0; i < r->nloops; i++) {
        if (rc == 0)
            rc = objects_append(r->objects, &r->loops[i]->objects);
        objects_done(&r->loops[i]->objects);
    }
    return rc;
}

static uint64_t part_of(uint64_t total, int index, int parts)
{
    return total / (uint64_t)parts + ((uint64_t)index < total % (uint64_t)parts);
}

static bool stores(const struct bench_config *cfg)
{
    return cfg->weights[OP_PUT] > 0 || cfg->weights[OP_BATCH] > 0;
}

static void loop_init(struct run *r, int index, uint64_t next)
{
    const struct bench_config *cfg = r->cfg;
    struct bench_loop *l = mem_zalloc(sizeof(*l));
    l->cfg = cfg;
    l->index = index;
    l->loops = r->nloops;
    l->next_index = next + (uint64_t)index;
    l->end_index = cfg->tree ? cfg->tree->n : UINT64_MAX;
    bool batch = cfg->weights[OP_BATCH] > 0;
    /* The files of a tree are the count; tickets for batches are requests of many files each. */
    l->tickets_max =
        cfg->count > 0 && !cfg->tree ? part_of(cfg->count, index, r->nloops) : UINT64_MAX;
    if (batch && cfg->count > 0) {
        l->tickets_max = UINT64_MAX;
        l->end_index = KT_MIN(l->end_index, next + cfg->count);
    }
    l->conns = (uint32_t)part_of(cfg->conns, index, r->nloops);
    l->interval_ns = cfg->rate > 0 ? (int64_t)((double)NS_PER_SEC * r->nloops / cfg->rate) : 0;
    l->keys = cfg->keys;
    rand_init(&l->rand, data_mix(cfg->seed + (uint64_t)index + 1));
    objects_init(&l->objects, r->objects->seed, r->objects->files);
    l->tally = mem_zalloc(sizeof(*l->tally) * OP_COUNT);
    for (int op = 0; op < OP_COUNT; op++)
        hist_init(&l->tally[op].latency);
    r->loops[index] = l;
}

static void sign_ahead(struct run *r)
{
    const struct bench_config *cfg = r->cfg;
    bool reads = cfg->check || cfg->weights[OP_GET] > 0, deletes = cfg->weights[OP_DELETE] > 0;
    if (cfg->target.kind != TARGET_S3 || reads == deletes)
        return;
    for (int i = 0; i < r->nloops; i++)
        objects_sign(&r->loops[i]->objects, &cfg->target, reads ? OP_GET : OP_DELETE);
}

/* ---- running ---- */

static int loop_main(void *arg)
{
    struct bench_loop *l = arg;
    struct rt_group g;
    int rc = 0;
    rt_group_open(&g);
    for (uint32_t i = 0; i < l->conns && rc == 0; i++)
        rc = rt_go(&g, worker_run, l);
    return rt_group_wait(&g, rc);
}

static void read_cpu(const struct run *r, double *ret_server, double *ret_client)
{
    int self = (int)getpid();
    if (r->cfg->npids == 0 || proc_cpu_seconds(r->cfg->pids, r->cfg->npids, ret_server) < 0)
        *ret_server = -1;
    if (proc_cpu_seconds(&self, 1, ret_client) < 0)
        *ret_client = 0;
}

static void window_begins(struct run *r)
{
    r->begun_ns = rt_clock_ns();
    read_cpu(r, &r->server_cpu, &r->client_cpu);
}

static void window_ends(struct run *r)
{
    double server, client;
    r->stopped_ns = rt_clock_ns();
    read_cpu(r, &server, &client);
    bool known = server >= 0 && r->server_cpu >= 0;
    r->ret->server_cpu_s = known ? server - r->server_cpu : -1;
    r->ret->client_cpu_s = client - r->client_cpu;
    r->ret->seconds = (double)(r->stopped_ns - r->begun_ns) / 1e9;
}

/* The run is over, maybe before its time. */
static void close_window(struct run *r)
{
    if (r->begun_ns == 0)
        window_begins(r);
    if (r->stopped_ns == 0)
        window_ends(r);
}

struct loop_call {
    struct run *run;
    int index;
};

static int call_loop(void *arg)
{
    struct loop_call *c = arg;
    int rc = rt_call_on(c->index, loop_main, c->run->loops[c->index]);
    if (atomic_fetch_add(&c->run->ended, 1) + 1 == c->run->nloops)
        close_window(c->run);
    return rc;
}

static uint64_t total_done(const struct run *r)
{
    uint64_t sum = 0;
    for (int i = 0; i < r->nloops; i++)
        sum += atomic_load_explicit(&r->loops[i]->done, memory_order_relaxed);
    return sum;
}

static uint64_t expected(const struct run *r)
{
    const struct bench_config *cfg = r->cfg;
    uint64_t objects = 0;
    for (int i = 0; i < r->nloops; i++)
        objects += r->loops[i]->objects.n;
    if (cfg->tree)
        return cfg->tree->n;
    if (cfg->check)
        return objects;
    if (cfg->weights[OP_DELETE] > 0 && !stores(cfg) && cfg->count == 0 && cfg->duration_ms == 0)
        return (uint64_t)((double)objects * cfg->share);
    return cfg->duration_ms > 0 ? 0 : cfg->count;
}

/* Draws progress, reads the CPU times when they are due, passes Ctrl-C on. */
static int monitor(void *arg)
{
    struct run *r = arg;
    const struct bench_loop *l = r->loops[0];
    struct progress p;
    bool stopped = false;
    progress_init(&p, r->cfg->quiet ? NULL : stderr, r->cfg->what, "ops", expected(r),
                  rt_clock_ns());
    while (atomic_load(&r->ended) < r->nloops) {
        int64_t now = rt_clock_ns(), wake = now + MONITOR_MS * NS_PER_MS;
        if (r->begun_ns == 0 && now >= l->from_ns)
            window_begins(r);
        if (r->stopped_ns == 0 && now >= l->until_ns)
            window_ends(r);
        progress_show(&p, total_done(r), now);
        if (r->begun_ns == 0)
            wake = KT_MIN(wake, l->from_ns);
        if (r->stopped_ns == 0)
            wake = KT_MIN(wake, l->until_ns);
        if (stopped ? rt_sleep_until(wake) < 0 : rt_wait_stop(wake) >= 0) {
            stopped = true;
            for (int i = 0; i < r->nloops; i++)
                atomic_store(&r->loops[i]->stop, true);
        }
    }
    progress_end(&p, total_done(r), rt_clock_ns());
    return 0;
}

static void start_clocks(struct run *r)
{
    int64_t now = rt_clock_ns();
    int64_t from = now + r->cfg->warmup_ms * NS_PER_MS;
    int64_t until = r->cfg->duration_ms > 0 ? from + r->cfg->duration_ms * NS_PER_MS : INT64_MAX;
    for (int i = 0; i < r->nloops; i++) {
        struct bench_loop *l = r->loops[i];
        l->start_ns = now;
        l->from_ns = from;
        l->until_ns = until;
        data_keys_size(&l->keys, l->objects.n);
    }
    if (r->cfg->warmup_ms == 0)
        window_begins(r);
}

static int run_main(void *arg)
{
    struct run *r = arg;
    struct loop_call calls[LOOPS_MAX];
    struct rt_group g;
    int rc = target_start(&r->cfg->target);
    if (rc < 0)
        return rc;
    sign_ahead(r);
    start_clocks(r);
    rt_group_open(&g);
    for (int i = 0; i < r->nloops && rc == 0; i++) {
        calls[i] = (struct loop_call){r, i};
        rc = rt_go(&g, call_loop, &calls[i]);
    }
    if (rc == 0)
        rc = rt_go(&g, monitor, r);
    return rt_group_wait(&g, rc);
}

/* ---- adding up ---- */

static void merge_tally(struct bench_tally *to, const struct bench_tally *from)
{
    to->ops += from->ops;
    to->bytes += from->bytes;
    to->requests += from->requests;
    to->busy += from->busy;
    to->not_found += from->not_found;
    to->raced += from->raced;
    to->resurrected += from->resurrected;
    to->corrupt += from->corrupt;
    to->errors += from->errors;
    to->verified += from->verified;
    to->retries += from->retries;
    hist_merge(&to->latency, &from->latency);
}

static int merge_loops(struct run *r)
{
    int rc = 0;
    for (int i = 0; i < r->nloops; i++) {
        const struct bench_loop *l = r->loops[i];
        for (int op = 0; op < OP_COUNT; op++)
            merge_tally(&r->ret->tally[op], &l->tally[op]);
        if (!r->ret->first_error[0])
            memcpy(r->ret->first_error, l->first_error, sizeof(l->first_error));
        r->ret->connects += l->connects;
        if (l->failed_rc < 0 && rc == 0)
            rc = err_set(-l->failed_rc, "%s", l->first_error);
    }
    if (r->ret->connects == 0 && r->ret->first_error[0])
        rc = err_set(KT_ERR_UNAVAILABLE, "no connection to %s could be made: %s",
                     r->cfg->target.host, r->ret->first_error);
    return rc;
}

static void loops_free(struct run *r)
{
    for (int i = 0; i < r->nloops; i++) {
        mem_free(r->loops[i]->tally);
        mem_free(r->loops[i]);
    }
}

int run_phase(struct bench_config *cfg, struct bench_objects *objects, struct bench_result *ret)
{
    struct run *r = mem_zalloc(sizeof(*r));
    memset(ret, 0, sizeof(*ret));
    for (int op = 0; op < OP_COUNT; op++)
        hist_init(&ret->tally[op].latency);
    *r = (struct run){.cfg = cfg, .objects = objects, .ret = ret};
    r->nloops = KT_MIN(cfg->threads, LOOPS_MAX);
    uint64_t next = stores(cfg) ? next_free_index(objects) : 0;
    for (int i = 0; i < r->nloops; i++)
        loop_init(r, i, next);
    int rc = deal_objects(r);
    struct rt_options opt = {.loops = r->nloops, .workers = 1};
    if (rc == 0)
        rc = rt_run(&opt, run_main, r);
    int gathered = gather_objects(r);
    int merged = merge_loops(r);
    loops_free(r);
    mem_free(r);
    if (rc == 0)
        rc = gathered;
    return rc == 0 ? merged : rc;
}

bool run_is_clean(const struct bench_result *r)
{
    uint64_t bad = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct bench_tally *t = &r->tally[op];
        bad += t->errors + t->corrupt + t->resurrected + t->not_found + t->busy;
    }
    return bad == 0;
}
