/* store: opening the set of disks, the volume table, housekeeping and the close.
 *
 * Happy path. Every directory is opened (disk_open recovers its volumes), the volumes go into the
 * table, those that are still open become the ones that take writes, the volume ids are brought up
 * to date, and the housekeeping fiber starts.
 *
 * Failure modes. A directory that can't be opened, is given twice or belongs to another cell
 * refuses the start. What breaks later is a state of the disk or volume; housekeeping logs each
 * change once. */
#include "store/store_priv.h"

#include <stdio.h>

#define STORE_MAGIC 0x4b53544fu
#define TABLE_MIN 256u

/* ---- table ---- */

static struct vtable *table_new(uint32_t cap)
{
    struct vtable *t = mem_zalloc(sizeof(*t) + cap * sizeof(t->slots[0]));
    t->cap = cap;
    return t;
}

struct volume *store_find(const struct store *s, vid_t vid)
{
    const struct vtable *t = atomic_load_explicit(&s->table, memory_order_acquire);
    for (uint32_t i = vid & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
        struct volume *v = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (!v || volume_vid(v) == vid)
            return v;
    }
}

static void table_put(struct vtable *t, struct volume *v)
{
    uint32_t i = volume_vid(v) & (t->cap - 1);
    while (atomic_load(&t->slots[i]))
        i = (i + 1) & (t->cap - 1);
    atomic_store_explicit(&t->slots[i], v, memory_order_release);
    t->count++;
}

int store_enter(struct store *s, struct volume *v)
{
    if (store_find(s, volume_vid(v)))
        return err_set(KT_ERR_CONFLICT, "volume %08x lies in two data directories: remove one copy",
                       volume_vid(v));
    section_begin(&s->mu);
    struct vtable *t = atomic_load(&s->table);
    if ((t->count + 1) * 2 > t->cap) {
        struct vtable *bigger = table_new(t->cap * 2);
        for (uint32_t i = 0; i < t->cap; i++)
            if (atomic_load(&t->slots[i]))
                table_put(bigger, atomic_load(&t->slots[i]));
        bigger->older = t;
        t = bigger;
        atomic_store_explicit(&s->table, t, memory_order_release);
    }
    table_put(t, v);
    section_end(&s->mu);
    return 0;
}

/* ---- facts ---- */

void store_totals(struct store *s, struct store_totals *ret)
{
    uint64_t sum[COUNT_COUNT] = {0};
    for (uint32_t loop = 0; loop < STORE_LOOPS; loop++)
        for (uint32_t c = 0; c < COUNT_COUNT; c++)
            sum[c] += atomic_load_explicit(&s->counts[loop].n[c], memory_order_relaxed);
    *ret = (struct store_totals){
        .puts = sum[COUNT_PUTS],
        .put_bytes = sum[COUNT_PUT_BYTES],
        .gets = sum[COUNT_GETS],
        .get_bytes = sum[COUNT_GET_BYTES],
        .removes = sum[COUNT_REMOVES],
        .unremoves = sum[COUNT_UNREMOVES],
        .retries = sum[COUNT_RETRIES],
        .corrupt = sum[COUNT_CORRUPT],
        .io_errors = sum[COUNT_IO_ERRORS],
    };
    if (s->jobs)
        jobs_totals(s->jobs, &ret->jobs);
    for (int i = 0; i < s->ndisks; i++) {
        for (uint32_t n = 0; n < disk_volume_count(s->disks[i].disk); n++) {
            struct volume_stat st;
            volume_stat(disk_volume_at(s->disks[i].disk, n), &st);
            ret->groups += st.groups;
            ret->group_needles += st.group_needles;
            ret->index_bytes += st.index_bytes;
        }
    }
}

static void fill_disk(struct store_disk *sd, uint32_t index, struct store_disk_stat *ret)
{
    static const uint8_t state[] = {[DISK_OK] = STORE_DISK_OK,
                                    [DISK_FULL] = STORE_DISK_FULL,
                                    [DISK_FAILED] = STORE_DISK_FAILED};
    struct disk_stat st;
    disk_stat(sd->disk, &st);
    *ret = (struct store_disk_stat){
        .disk = index,
        .state = state[st.state],
        .total_bytes = st.total_bytes,
        .free_bytes = st.free_bytes,
        .reserve_bytes = st.reserve_bytes,
        .volumes = st.volumes,
        .io_errors = atomic_load(&sd->io_errors),
    };
    memcpy(ret->uuid, st.uuid, sizeof(ret->uuid));
    snprintf(ret->path, sizeof(ret->path), "%s", st.path);
    snprintf(ret->reason, sizeof(ret->reason), "%.*s", (int)sizeof(ret->reason) - 1, st.reason);
}

static void fill_volume(struct volume *v, uint32_t disk, struct store_volume_stat *ret)
{
    struct volume_stat st;
    volume_stat(v, &st);
    *ret = (struct store_volume_stat){
        .vid = st.vid,
        .state = st.state,
        .epoch = st.epoch,
        .generation = st.generation,
        .length = st.length,
        .live_bytes = st.live_bytes,
        .dead_bytes = st.dead_bytes,
        .needles = st.needles,
        .dead = st.dead,
        .disk = disk,
    };
    snprintf(ret->reason, sizeof(ret->reason), "%s", st.reason);
}

static void store_walk(void *self, const struct store_walk *w)
{
    struct store *s = self;
    for (int i = 0; i < s->ndisks; i++) {
        struct store_disk_stat ds;
        fill_disk(&s->disks[i], (uint32_t)i, &ds);
        if (w->disk)
            w->disk(w->arg, &ds);
        for (uint32_t n = 0; w->volume && n < disk_volume_count(s->disks[i].disk); n++) {
            struct store_volume_stat vs;
            fill_volume(disk_volume_at(s->disks[i].disk, n), (uint32_t)i, &vs);
            w->volume(w->arg, &vs);
        }
    }
    if (!s->jobs)
        return;
    struct jobs_totals t;
    jobs_totals(s->jobs, &t);
    metric_set(METRIC_SCRUB_OLDEST, METRIC_NO_LABELS, (int64_t)t.scrub_oldest_s);
    if (w->job)
        jobs_walk(s->jobs, w->job, w->arg);
}

static void drop_bucket(void *self, uint32_t bucket)
{
    struct store *s = self;
    uint64_t bit = UINT64_C(1) << bucket % 64;
    if (bucket < BUCKETS_TRACKED && !(atomic_fetch_or(&s->dropped[bucket / 64], bit) & bit))
        atomic_fetch_add(&s->ndropped, 1);
}

static bool job_bucket_removed(void *arg, uint32_t bucket)
{
    return bucket_dropped(arg, bucket);
}

static uint64_t job_buckets_removed(void *arg)
{
    return atomic_load(&((struct store *)arg)->ndropped);
}

static int start_jobs(struct store *s)
{
    struct disk *disks[STORE_DISKS_MAX];
    const struct jobs_options o = {
        .undelete_window_s = s->opt.undelete_window_s,
        .garbage_percent = s->opt.garbage_percent,
        .compact_bytes_per_s = s->opt.compact_bytes_per_s,
        .scrub_period_s = s->opt.scrub_period_s,
        .scrub_bytes_per_s = s->opt.scrub_bytes_per_s,
        .look_ms = s->opt.check_ms,
        .bucket_removed = job_bucket_removed,
        .buckets_removed = job_buckets_removed,
        .bucket_arg = s,
    };
    for (int i = 0; i < s->ndisks; i++)
        disks[i] = s->disks[i].disk;
    return s->opt.no_jobs ? 0 : jobs_start(disks, (uint32_t)s->ndisks, &o, &s->jobs);
}

/* ---- housekeeping ---- */

/* A slot whose volume was sealed or fenced is emptied, so that its memory of writers doesn't
 * mislead. */
static void retire_closed(struct store_disk *sd)
{
    for (uint32_t cls = 0; cls < EXPIRY_CLASSES; cls++) {
        struct volume *v = atomic_load(&sd->open[cls]);
        if (v && volume_state_of(v) != VOLUME_OPEN)
            atomic_compare_exchange_strong(&sd->open[cls], &v, NULL);
    }
}

static void log_disk(struct store_disk *sd)
{
    struct disk_stat st;
    disk_stat(sd->disk, &st);
    if (st.state == sd->logged_state)
        return;
    if (st.state == DISK_OK && sd->logged_state != 0)
        log_at(LOG_INFO, "store", "disk takes writes again", LOG_STR("path", st.path));
    else if (st.state == DISK_FULL)
        log_at(LOG_WARN, "store", "disk is full", LOG_STR("path", st.path),
               LOG_STR("why", st.reason));
    else if (st.state == DISK_FAILED)
        log_at(LOG_ERROR, "store", "disk has failed and is drained", LOG_STR("path", st.path),
               LOG_STR("why", st.reason));
    sd->logged_state = st.state;
}

/* Logs volumes that changed for the worse since the last look. */
static void log_volumes(struct store_disk *sd)
{
    for (uint32_t n = 0; n < disk_volume_count(sd->disk); n++) {
        struct volume *v = disk_volume_at(sd->disk, n);
        uint8_t state = volume_state_of(v);
        struct volume_stat st;
        if (state == VOLUME_OPEN || state == VOLUME_SEALED || state == VOLUME_DROPPED ||
            !volume_note_logged(v))
            continue;
        volume_stat(v, &st);
        log_at(LOG_ERROR, "store", "volume is not in order", LOG_HEX("vid", st.vid),
               LOG_STR("state", volume_state_name(state)), LOG_STR("why", st.reason));
    }
}

/* Sleeps for a period; false at the stop. */
static bool keeper_sleep(struct store *s)
{
    struct rt_wait w;
    rt_wait_init(&w);
    section_begin(&s->keeper_mu);
    bool stop = s->keeper_stop;
    if (!stop)
        s->keeper_sleeper = &w;
    section_end(&s->keeper_mu);
    if (stop)
        return false;
    int rc = rt_wait_park(&w, rt_after_ms(s->opt.check_ms));
    section_begin(&s->keeper_mu);
    s->keeper_sleeper = NULL;
    stop = s->keeper_stop;
    section_end(&s->keeper_mu);
    return !stop && rc != -KT_ERR_CANCELED;
}

static int keeper_main(void *arg)
{
    struct store *s = arg;
    do {
        for (int i = 0; i < s->ndisks; i++) {
            disk_check_space(s->disks[i].disk);
            retire_closed(&s->disks[i]);
            log_disk(&s->disks[i]);
            log_volumes(&s->disks[i]);
        }
    } while (keeper_sleep(s));
    section_begin(&s->keeper_mu);
    s->keeper_ended = true;
    if (s->keeper_joiner)
        rt_wake(TAKE(s->keeper_joiner));
    section_end(&s->keeper_mu);
    return 0;
}

static void keeper_stop(struct store *s)
{
    struct rt_wait w;
    rt_wait_init(&w);
    section_begin(&s->keeper_mu);
    bool running = s->keeper_started && !s->keeper_ended;
    s->keeper_stop = true;
    if (running)
        s->keeper_joiner = &w;
    if (s->keeper_sleeper)
        rt_wake(TAKE(s->keeper_sleeper));
    section_end(&s->keeper_mu);
    if (running)
        rt_wait_park_uncancelable(&w);
    section_begin(&s->keeper_mu); /* the fiber has let go of the lock, too */
    section_end(&s->keeper_mu);
}

/* ---- open and close ---- */

static int open_disk(struct store *s, const char *path)
{
    struct store_disk *sd = &s->disks[s->ndisks];
    struct disk_options o = {
        .index = (uint32_t)s->ndisks,
        .volume_limit_bytes = s->opt.volume_limit_bytes,
        .reserve_bytes = s->opt.reserve_bytes,
        .zero_fill_bytes = s->opt.zero_fill_bytes,
        .dead_fold_bytes = s->opt.dead_fold_bytes,
        .undelete_window_s = s->opt.undelete_window_s,
        .idle_mark_ms = s->opt.idle_mark_ms,
        .no_sync = s->opt.unsafe_no_sync,
    };
    if (s->ndisks > 0) {
        memcpy(o.cell, disk_label_of(s->disks[0].disk)->cell, UUID_BYTES);
        memcpy(o.store, disk_label_of(s->disks[0].disk)->store, UUID_BYTES);
    } else {
        rt_random(o.store, UUID_BYTES);
    }
    int rc = disk_open(path, &o, &sd->disk);
    if (rc < 0)
        return rc;
    gate_init(&sd->gate);
    s->ndisks++;
    return 0;
}

/* Enters a disk's volumes; the open ones take writes, one per class. */
static int enter_volumes(struct store *s, struct store_disk *sd)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < disk_volume_count(sd->disk); i++) {
        struct volume *v = disk_volume_at(sd->disk, i);
        rc = store_enter(s, v);
        if (rc < 0 || volume_state_of(v) != VOLUME_OPEN)
            continue;
        uint32_t cls = volume_superblock(v)->expiry_class;
        if (cls < EXPIRY_CLASSES && !atomic_load(&sd->open[cls]))
            atomic_store(&sd->open[cls], v);
        else
            volume_seal_soon(v);
    }
    return rc;
}

static struct store *store_new(const struct store_options *opt)
{
    struct store *s = mem_zalloc(sizeof(*s));
    s->magic = STORE_MAGIC;
    s->opt = *opt;
    if (!s->opt.open_volumes_max)
        s->opt.open_volumes_max = 3;
    if (!s->opt.check_ms)
        s->opt.check_ms = 1000;
    atomic_init(&s->table, table_new(TABLE_MIN));
    pthread_mutex_init(&s->mu, NULL);
    pthread_mutex_init(&s->keeper_mu, NULL);
    gate_init(&s->vid_gate);
    s->api = (struct store_api){
        .self = s,
        .put = put_one,
        .put_many = put_many,
        .open = get_open,
        .seek = get_seek,
        .read = get_read,
        .close = get_close,
        .remove = remove_one,
        .unremove = unremove_one,
        .scan_kind = scan_kind,
        .drop_bucket = drop_bucket,
        .walk = store_walk,
    };
    return s;
}

static int open_all(struct store *s)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < s->opt.ndirs; i++)
        rc = open_disk(s, s->opt.dirs[i]);
    for (int i = 0; rc == 0 && i < s->ndisks; i++)
        rc = enter_volumes(s, &s->disks[i]);
    if (rc == 0)
        rc = vids_open(s);
    if (rc == 0)
        rc = rt_go_root(keeper_main, s);
    s->keeper_started = rc == 0;
    return rc < 0 ? rc : start_jobs(s);
}

int store_open(const struct store_options *opt, struct store **ret)
{
    if (opt->ndirs < 1 || opt->ndirs > (int)STORE_DISKS_MAX)
        return err_set(KT_ERR_INVALID, "%d data directories: between 1 and %u are possible",
                       opt->ndirs, STORE_DISKS_MAX);
    struct store *s = store_new(opt);
    int rc = open_all(s);
    if (rc < 0) {
        struct diag kept = *diag_get();
        store_close(s);
        *diag_get() = kept;
        return rc;
    }
    *ret = s;
    return 0;
}

static int drain_loop(void *arg)
{
    (void)arg;
    volume_read_drain();
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    kt_assert(s->magic == STORE_MAGIC);
    jobs_stop(s->jobs);
    keeper_stop(s);
    for (int i = 0; i < s->ndisks; i++) {
        disk_close(s->disks[i].disk);
        gate_done(&s->disks[i].gate);
    }
    for (int loop = 0; loop < rt_loop_count(); loop++)
        if (rt_call_on(loop, drain_loop, NULL) < 0)
            break;
    for (struct vtable *t = atomic_load(&s->table), *older; t; t = older) {
        older = t->older;
        mem_free(t);
    }
    gate_done(&s->vid_gate);
    pthread_mutex_destroy(&s->keeper_mu);
    pthread_mutex_destroy(&s->mu);
    s->magic = 0;
    mem_free(s);
}

const struct store_api *store_api_of(struct store *s)
{
    return &s->api;
}
