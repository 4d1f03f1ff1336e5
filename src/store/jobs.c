/* jobs: looking for work, doing it, and remembering what came of it.
 *
 * Happy path. disk_main resumes interrupted compactions, then loops: update its notes on the
 * volumes, pick, run, sleep when there was nothing to do. Each run uses the disk's one struct work,
 * which jobs_walk reads.
 *
 * Failure modes. No space: again in a minute. Not enough to drop: again later. Damage: logged,
 * counted, that volume is left alone. Anything else is logged and tried again after ten minutes. A
 * stop cancels the fibers' group. */
#include "store/jobs.h"

#include "base/assert.h"
#include "base/buf.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "volume/compact.h"
#include "volume/gate.h"
#include "volume/generation.h"
#include "volume/scrub.h"
#include <stdio.h>

#define RETRY_SOON_NS (60 * NS_PER_SEC)
#define RETRY_LATER_NS (600 * NS_PER_SEC)
#define NEVER INT64_MAX
#define KNOWN_FINDINGS 64u
#define SCRUB_RATE_MIN MIB(4)
#define EARLY_SEAL_PERCENT 60u /* garbage share at which an open volume is asked to seal */

/* What a disk's fiber remembers of a volume. */
struct note {
    struct volume *vol;
    int64_t compact_at_ns;  /* not before; NEVER: not again */
    int64_t scrub_at_ns;    /* not before */
    int64_t expiry_at_ns;   /* not before */
    uint32_t scrubbed_s;    /* last verified, Unix */
    uint32_t last_expiry_s; /* latest expiry of any needle, 0: not known or some never */
    bool expiry_known, garbage_known;
    uint64_t buckets_seen; /* removed buckets that were looked for */
};

struct disk_jobs {
    struct jobs *all;
    struct disk *disk;
    struct work work;
    struct note *notes; /* as the disk's volumes */
    uint32_t nnotes, cap;
    uint64_t used_bytes; /* of all logs */
    struct scrub_finding known[KNOWN_FINDINGS];
    uint32_t nknown;
    const char *_Atomic kind; /* of the running job, NULL: none */
    _Atomic uint32_t vid;
    _Atomic uint64_t id;
    _Atomic int64_t oldest_scrub_s; /* Unix, 0: no volume */
};

struct jobs {
    struct jobs_options opt;
    uint32_t n;
    _Atomic uint64_t next_id;
    _Atomic uint64_t totals[8];
    pthread_mutex_t mu;
    struct rt_wait *stopper, *joiner; /* guarded by mu */
    bool stop, ended;                 /* guarded by mu */
    struct disk_jobs disks[];
};
enum {
    T_COMPACTIONS,
    T_COMPACTED,
    T_RECLAIMED,
    T_SCRUBS,
    T_SCRUBBED,
    T_FINDINGS,
    T_DROPPED,
    T_FAILURES
};

static void total(struct disk_jobs *d, int which, uint64_t n)
{
    atomic_fetch_add_explicit(&d->all->totals[which], n, memory_order_relaxed);
}

static uint32_t now_s(void)
{
    return (uint32_t)(rt_wall_ns() / NS_PER_SEC);
}

/* ---- pacing ---- */

static const char *why_pause(void *arg)
{
    const struct disk_jobs *d = arg;
    struct rt_stats st;
    if (disk_state_of(d->disk) == DISK_FAILED)
        return "the disk has failed";
    rt_stats(&st);
    return st.offload_queue > d->all->opt.queue_max ? "clients wait for the disk" : NULL;
}

static void job_begin(struct disk_jobs *d, const char *kind, const struct note *n,
                      uint64_t bytes_per_s)
{
    d->work.bytes_per_s = bytes_per_s;
    atomic_store(&d->vid, volume_vid(n->vol));
    atomic_store(&d->id, atomic_fetch_add(&d->all->next_id, 1));
    work_begin(&d->work, "begin", 0);
    atomic_store(&d->kind, kind);
}

static void job_end(struct disk_jobs *d, const char *metric_kind)
{
    uint8_t kind = metric_label(DIM_JOB, slice_str(metric_kind));
    metric_add(METRIC_JOB_BYTES, METRIC_L(kind), atomic_load(&d->work.done));
    atomic_store(&d->kind, NULL);
}

static uint64_t scrub_rate(const struct disk_jobs *d)
{
    const struct jobs_options *o = &d->all->opt;
    if (o->scrub_bytes_per_s)
        return o->scrub_bytes_per_s;
    return KT_MAX(2 * d->used_bytes / o->scrub_period_s, SCRUB_RATE_MIN);
}

/* ---- notes ---- */

static uint32_t stored_time(const struct scrub_time *times, uint32_t n, vid_t vid)
{
    for (uint32_t i = 0; i < n; i++)
        if (times[i].vid == vid)
            return times[i].time_s;
    return 0;
}

/* Takes up volumes that are new, and adds up the bytes. */
static void notes_update(struct disk_jobs *d, const struct scrub_time *times, uint32_t ntimes)
{
    uint32_t count = disk_volume_count(d->disk);
    if (count > d->cap) {
        d->cap = KT_MAX(count, 2 * d->cap);
        d->notes = mem_realloc(d->notes, d->cap * sizeof(*d->notes));
    }
    for (; d->nnotes < count; d->nnotes++) {
        struct volume *v = disk_volume_at(d->disk, d->nnotes);
        uint32_t born = (uint32_t)(volume_superblock(v)->created_ms / 1000);
        uint32_t known = stored_time(times, ntimes, volume_vid(v));
        d->notes[d->nnotes] = (struct note){.vol = v, .scrubbed_s = KT_MAX(born, known)};
    }
    d->used_bytes = 0;
    int64_t oldest = 0;
    for (uint32_t i = 0; i < d->nnotes; i++) {
        struct volume_stat st;
        volume_stat(d->notes[i].vol, &st);
        d->used_bytes += st.length;
        if (st.state != VOLUME_REFUSED && st.state != VOLUME_DROPPED &&
            (oldest == 0 || d->notes[i].scrubbed_s < oldest))
            oldest = d->notes[i].scrubbed_s;
    }
    atomic_store(&d->oldest_scrub_s, oldest);
}

static int save_scrub_times(struct disk_jobs *d)
{
    struct scrub_time *times = mem_alloc((d->nnotes + 1) * sizeof(*times));
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->nnotes; i++) {
        struct scrub_time t = {volume_vid(d->notes[i].vol), d->notes[i].scrubbed_s};
        if (volume_state_of(d->notes[i].vol) == VOLUME_DROPPED)
            continue;
        uint32_t at = n++; /* in order of vid, whatever the disk's order is */
        for (; at > 0 && times[at - 1].vid > t.vid; at--)
            times[at] = times[at - 1];
        times[at] = t;
    }
    int rc = scrub_times_write(d->disk, times, n);
    mem_free(times);
    return rc;
}

static void log_failure(struct disk_jobs *d, const char *what, const struct note *n, int rc)
{
    if (rc == -KT_ERR_CANCELED)
        return;
    total(d, T_FAILURES, 1);
    log_at(LOG_WARN, "jobs", what, LOG_HEX("vid", volume_vid(n->vol)), LOG_ERR(rc));
}

/* ---- compaction ---- */

static void note_compaction(struct disk_jobs *d, struct note *n, int rc,
                            const struct compact_result *r)
{
    n->compact_at_ns = rt_now_ns() + RETRY_LATER_NS;
    if (rc == -KT_ERR_AGAIN) { /* too young: look again when some of it may have come of age */
        int64_t window_ns = d->all->opt.undelete_window_s * NS_PER_SEC;
        n->compact_at_ns =
            rt_now_ns() + KT_MIN(KT_MAX(window_ns / 4, RETRY_SOON_NS), RETRY_LATER_NS);
        return;
    }
    if (rc == -KT_ERR_NO_SPACE)
        n->compact_at_ns = rt_now_ns() + RETRY_SOON_NS;
    if (rc == -KT_ERR_CORRUPT) {
        n->compact_at_ns = NEVER;
        n->scrubbed_s = 0; /* a scrub shall say how much is damaged */
        metric_add(METRIC_CRC_ERRORS, METRIC_L(metric_label(DIM_WHERE, SLICE_LIT("compact"))), 1);
    }
    if (rc < 0) {
        log_failure(d, "compaction ended early", n, rc);
        return;
    }
    total(d, T_COMPACTIONS, 1);
    total(d, T_COMPACTED, r->new_bytes);
    total(d, T_RECLAIMED, r->old_bytes - r->new_bytes);
    n->compact_at_ns = 0;
    n->expiry_known = false;
    log_at(LOG_INFO, "jobs", "volume compacted", LOG_HEX("vid", volume_vid(n->vol)),
           LOG_U64("dropped", r->dropped), LOG_U64("kept", r->kept),
           LOG_U64("old_bytes", r->old_bytes), LOG_U64("new_bytes", r->new_bytes));
}

static int run_compaction(struct disk_jobs *d, struct note *n)
{
    const struct jobs_options *o = &d->all->opt;
    struct compact_result r;
    uint64_t removed = o->buckets_removed ? o->buckets_removed(o->bucket_arg) : 0;
    job_begin(d, "compact", n, o->compact_bytes_per_s);
    const struct compact_options opt = {
        .job_id = atomic_load(&d->id),
        .undelete_window_s = o->undelete_window_s,
        .garbage_percent = o->garbage_percent,
        .bucket_removed = removed ? o->bucket_removed : NULL,
        .bucket_arg = o->bucket_arg,
    };
    int rc = compact_run(n->vol, &opt, &d->work, &r);
    n->buckets_seen = removed;
    job_end(d, "compact");
    note_compaction(d, n, rc, &r);
    return rc;
}

static int resume_all(struct disk_jobs *d)
{
    int rc = 0;
    for (uint32_t i = 0; i < d->nnotes && rc != -KT_ERR_CANCELED; i++) {
        struct note *n = &d->notes[i];
        struct compact_result r;
        uint8_t state = volume_state_of(n->vol);
        if (state == VOLUME_REFUSED || state == VOLUME_DROPPED)
            continue;
        job_begin(d, "compact", n, d->all->opt.compact_bytes_per_s);
        rc = compact_resume(n->vol, &d->work, &r);
        job_end(d, "compact");
        if (rc != 0)
            note_compaction(d, n, rc > 0 ? 0 : rc, &r);
    }
    return rc == -KT_ERR_CANCELED ? rc : 0;
}

/* Garbage of a volume whose index isn't loaded is unknown: load it once, if there are marks at all.
 */
static void learn_garbage(struct note *n, const struct volume_stat *st)
{
    struct dead_mark *marks = NULL;
    uint32_t count = 0;
    if (n->garbage_known)
        return;
    n->garbage_known = true;
    if (!st->index_loaded && volume_dead_marks(n->vol, &marks, &count) == 0 && count > 0 &&
        volume_need_index(n->vol, RT_NEVER) < 0)
        n->garbage_known = false;
    mem_free(marks);
}

static struct note *pick_compaction(struct disk_jobs *d)
{
    const struct jobs_options *o = &d->all->opt;
    struct note *best = NULL;
    double best_share = 0;
    uint64_t removed = o->buckets_removed ? o->buckets_removed(o->bucket_arg) : 0;
    for (uint32_t i = 0; i < d->nnotes; i++) {
        struct note *n = &d->notes[i];
        struct volume_stat st;
        volume_stat(n->vol, &st);
        uint64_t all = st.live_bytes + st.dead_bytes;
        if (st.state == VOLUME_OPEN && st.dead_bytes * 100 > all * EARLY_SEAL_PERCENT &&
            st.length > st.limit_bytes / 8)
            volume_seal_soon(n->vol);
        if (st.state != VOLUME_SEALED || rt_now_ns() < n->compact_at_ns)
            continue;
        learn_garbage(n, &st);
        double share = all ? (double)st.dead_bytes / (double)all : 0;
        if (removed != n->buckets_seen)
            share = 1;
        if (share * 100 >= o->garbage_percent && share > best_share) {
            best = n;
            best_share = share;
        }
    }
    return best;
}

/* ---- expiry ---- */

static int run_drop(struct disk_jobs *d, struct note *n)
{
    int rc = volume_drop(n->vol);
    if (rc < 0) {
        log_failure(d, "an expired volume can't be removed", n, rc);
        return rc;
    }
    total(d, T_DROPPED, 1);
    log_at(LOG_INFO, "jobs", "expired volume dropped", LOG_HEX("vid", volume_vid(n->vol)));
    return 0;
}

/* One sealed volume of an expiry class: learn when it expires, or drop it. Returns 1 when it did
 * something. */
static int work_on_expiry(struct disk_jobs *d, struct note *n)
{
    if (!n->expiry_known && rt_now_ns() < n->expiry_at_ns)
        return 0;
    if (!n->expiry_known) {
        job_begin(d, "expire", n, d->all->opt.compact_bytes_per_s);
        int rc = compact_last_expiry(n->vol, &d->work, &n->last_expiry_s);
        job_end(d, "compact");
        n->expiry_known = rc == 0 || rc == -KT_ERR_CORRUPT;
        n->expiry_at_ns = rt_now_ns() + RETRY_LATER_NS;
        if (rc < 0)
            log_failure(d, "the expiry of a volume can't be read", n, rc);
        return rc == -KT_ERR_CANCELED ? rc : 1;
    }
    if (n->last_expiry_s == 0 || now_s() < n->last_expiry_s + COMPACT_GRACE_S)
        return 0;
    int rc = run_drop(d, n);
    n->last_expiry_s = 0;
    return rc == -KT_ERR_CANCELED ? rc : 1;
}

static int expire(struct disk_jobs *d)
{
    for (uint32_t i = 0; i < d->nnotes; i++) {
        struct note *n = &d->notes[i];
        if (volume_state_of(n->vol) != VOLUME_SEALED ||
            volume_superblock(n->vol)->expiry_class == 0)
            continue;
        int rc = work_on_expiry(d, n);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- scrub ---- */

static void on_finding(void *arg, const struct scrub_finding *f)
{
    struct disk_jobs *d = arg;
    for (uint32_t i = 0; i < KT_MIN(d->nknown, KNOWN_FINDINGS); i++)
        if (d->known[i].vid == f->vid && d->known[i].offset == f->offset)
            return;
    d->known[d->nknown++ % KNOWN_FINDINGS] = *f;
    total(d, T_FINDINGS, 1);
    metric_add(METRIC_CRC_ERRORS, METRIC_L(metric_label(DIM_WHERE, SLICE_LIT("scrub"))), 1);
    log_at(LOG_ERROR, "jobs", f->text, LOG_HEX("vid", f->vid), LOG_U64("offset", f->offset),
           LOG_U64("bytes", f->bytes));
}

static int run_scrub(struct disk_jobs *d, struct note *n)
{
    struct scrub_result r = {0};
    job_begin(d, "scrub", n, scrub_rate(d));
    uint32_t began_s = now_s();
    int rc = scrub_run(n->vol, &d->work, on_finding, d, &r);
    job_end(d, "scrub");
    if (rc < 0 && rc != -KT_ERR_LIMIT) {
        n->scrub_at_ns = rt_now_ns() + (rc == -KT_ERR_CONFLICT ? RETRY_SOON_NS : RETRY_LATER_NS);
        log_failure(d, "a scrub ended early", n, rc);
        return rc;
    }
    total(d, T_SCRUBS, 1);
    total(d, T_SCRUBBED, r.bytes);
    n->scrubbed_s = began_s;
    rc = save_scrub_times(d);
    if (rc < 0)
        log_failure(d, "scrub times can't be saved", n, rc);
    return rc;
}

/* The volume verified longest ago, when three quarters of the period have passed. */
static struct note *pick_scrub(struct disk_jobs *d)
{
    struct note *best = NULL;
    uint32_t due = d->all->opt.scrub_period_s - d->all->opt.scrub_period_s / 4, now = now_s();
    for (uint32_t i = 0; i < d->nnotes; i++) {
        struct note *n = &d->notes[i];
        uint8_t state = volume_state_of(n->vol);
        if (state == VOLUME_REFUSED || state == VOLUME_DROPPED || rt_now_ns() < n->scrub_at_ns ||
            (uint64_t)n->scrubbed_s + due > now)
            continue;
        if (!best || n->scrubbed_s < best->scrubbed_s)
            best = n;
    }
    return best;
}

/* ---- the fibers ---- */

static void show_oldest(struct jobs *j)
{
    struct jobs_totals t;
    jobs_totals(j, &t);
    metric_set(METRIC_SCRUB_OLDEST, METRIC_NO_LABELS, (int64_t)t.scrub_oldest_s);
}

/* Does the most useful thing. Returns 1 when there was one, 0 when not, CANCELED. */
static int look(struct disk_jobs *d)
{
    notes_update(d, NULL, 0);
    show_oldest(d->all);
    if (disk_state_of(d->disk) == DISK_FAILED)
        return 0;
    int rc = expire(d);
    struct note *n;
    if (rc == 0 && (n = pick_compaction(d)) != NULL) {
        rc = run_compaction(d, n);
        return rc == -KT_ERR_CANCELED ? rc : 1;
    }
    if (rc == 0 && (n = pick_scrub(d)) != NULL) {
        rc = run_scrub(d, n);
        return rc == -KT_ERR_CANCELED ? rc : 1;
    }
    return rc;
}

static int disk_main(void *arg)
{
    struct disk_jobs *d = arg;
    struct scrub_time *times;
    uint32_t ntimes;
    if (scrub_times_read(d->disk, &times, &ntimes) < 0)
        times = NULL, ntimes = 0;
    notes_update(d, times, ntimes);
    mem_free(times);
    int rc = resume_all(d);
    while (rc >= 0) {
        rc = look(d);
        if (rc >= 0) /* also after work: clients come first */
            rc = rt_sleep_until(rt_after_ms(rc == 1 ? 10 : d->all->opt.look_ms));
    }
    return 0;
}

static int jobs_main(void *arg)
{
    struct jobs *j = arg;
    struct rt_group g;
    struct rt_wait w;
    rt_group_open(&g);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < j->n; i++)
        rc = rt_go(&g, disk_main, &j->disks[i]);
    if (rc < 0)
        log_at(LOG_ERROR, "jobs", "compaction and scrub don't run", LOG_ERR(rc));
    rt_wait_init(&w);
    section_begin(&j->mu);
    bool stop = j->stop;
    j->stopper = stop ? NULL : &w;
    section_end(&j->mu);
    if (!stop)
        rt_wait_park_uncancelable(&w);
    rt_group_cancel(&g);
    (void)rt_group_wait(&g, 0);
    section_begin(&j->mu);
    j->ended = true;
    if (j->joiner)
        rt_wake(TAKE(j->joiner));
    section_end(&j->mu);
    return 0;
}

/* ---- start, stop, facts ---- */

static void apply_defaults(struct jobs_options *o)
{
    if (!o->undelete_window_s)
        o->undelete_window_s = 24 * 3600;
    if (!o->garbage_percent)
        o->garbage_percent = 30;
    if (!o->compact_bytes_per_s)
        o->compact_bytes_per_s = MIB(64);
    if (!o->scrub_period_s)
        o->scrub_period_s = 7 * 24 * 3600;
    if (!o->look_ms)
        o->look_ms = 1000;
    if (!o->queue_max)
        o->queue_max = 32;
}

static void jobs_free(struct jobs *j)
{
    for (uint32_t i = 0; i < j->n; i++)
        mem_free(j->disks[i].notes);
    pthread_mutex_destroy(&j->mu);
    mem_free(j);
}

int jobs_start(struct disk *const *disks, uint32_t n, const struct jobs_options *opt,
               struct jobs **ret)
{
    struct jobs *j = mem_zalloc(sizeof(*j) + n * sizeof(j->disks[0]));
    j->opt = *opt;
    apply_defaults(&j->opt);
    j->n = n;
    atomic_init(&j->next_id,
                (uint64_t)(rt_wall_ns() / NS_PER_MS)); /* ids of later runs are higher */
    pthread_mutex_init(&j->mu, NULL);
    for (uint32_t i = 0; i < n; i++) {
        struct disk_jobs *d = &j->disks[i];
        d->all = j;
        d->disk = disks[i];
        d->work.pause = why_pause;
        d->work.arg = d;
    }
    int rc = rt_go_root(jobs_main, j);
    if (rc < 0) {
        jobs_free(j);
        return rc;
    }
    *ret = j;
    return 0;
}

void jobs_stop(struct jobs *j)
{
    struct rt_wait w;
    if (!j)
        return;
    rt_wait_init(&w);
    section_begin(&j->mu);
    bool wait = !j->ended;
    j->stop = true;
    if (wait)
        j->joiner = &w;
    if (j->stopper)
        rt_wake(TAKE(j->stopper));
    section_end(&j->mu);
    if (wait)
        rt_wait_park_uncancelable(&w);
    jobs_free(j);
}

void jobs_walk(struct jobs *j, void (*fn)(void *arg, const struct store_job_stat *st), void *arg)
{
    for (uint32_t i = 0; i < j->n; i++) {
        struct disk_jobs *d = &j->disks[i];
        const char *kind = atomic_load(&d->kind), *phase = atomic_load(&d->work.phase);
        const char *paused = atomic_load(&d->work.paused);
        if (!kind)
            continue;
        struct store_job_stat st = {
            .id = atomic_load(&d->id),
            .vid = atomic_load(&d->vid),
            .done_bytes = atomic_load(&d->work.done),
            .total_bytes = atomic_load(&d->work.total),
            .bytes_per_s = work_rate(&d->work),
            .eta_s = work_eta_s(&d->work),
        };
        snprintf(st.kind, sizeof(st.kind), "%s", kind);
        snprintf(st.phase, sizeof(st.phase), "%s", phase ? phase : "");
        snprintf(st.why, sizeof(st.why), "%s", paused ? paused : "");
        fn(arg, &st);
    }
}

void jobs_totals(struct jobs *j, struct jobs_totals *ret)
{
    int64_t oldest = 0;
    for (uint32_t i = 0; i < j->n; i++) {
        int64_t at = atomic_load(&j->disks[i].oldest_scrub_s);
        if (at != 0 && (oldest == 0 || at < oldest))
            oldest = at;
    }
    int64_t now = rt_wall_ns() / NS_PER_SEC;
    *ret = (struct jobs_totals){
        .compactions = atomic_load(&j->totals[T_COMPACTIONS]),
        .compacted_bytes = atomic_load(&j->totals[T_COMPACTED]),
        .reclaimed_bytes = atomic_load(&j->totals[T_RECLAIMED]),
        .scrubs = atomic_load(&j->totals[T_SCRUBS]),
        .scrubbed_bytes = atomic_load(&j->totals[T_SCRUBBED]),
        .findings = atomic_load(&j->totals[T_FINDINGS]),
        .dropped_volumes = atomic_load(&j->totals[T_DROPPED]),
        .failures = atomic_load(&j->totals[T_FAILURES]),
        .scrub_oldest_s = oldest && now > oldest ? (uint64_t)(now - oldest) : 0,
    };
}
