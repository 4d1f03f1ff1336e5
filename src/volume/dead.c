/* dead: the dead log of a disk, and the marks folded out of it.
 *
 * Happy path. A delete queues a request; the disk's dead fiber takes what is queued, decides each
 * (the counter after the highest known one), writes the records and syncs them as one group, then
 * sets the bits in the indexes and wakes the waiters. Past a size the log is folded: each volume's
 * marks are merged into VID.dead (born by rename), then a fresh log takes the old one's place by
 * rename. Replaying an old log over folded marks changes nothing (the highest counter per seq
 * counts), so each step may be the last before a crash.
 *
 * At start the log is synced, read past the page cache, and classified: a torn tail that nothing
 * vouches for is cut; damage below the highest mark, or a log that is missing, means that nothing
 * of this disk may be served.
 *
 * Failure modes. A failed write or sync fails the disk, without a retry; no space cuts the tail
 * back and answers NO_SPACE; a fold that fails leaves the old log in place and is tried again
 * later, unless a sync failed. Marks of a volume that can't take them stay in the log. At the size
 * that a start would not replay it refuses deletes.
 */
#include "volume/volume_priv.h"

#include "base/checked.h"
#include "base/enc.h"
#include "base/fault.h"
#include "format/deadlog.h"
#include "format/job_file.h"
#include <inttypes.h>
#include <stdlib.h>

#define DEAD_LOG_NAME "dead.log"
#define DEAD_FILE_MAX (UINT64_C(1) << 32)
#define DEAD_GROUP_MAX 512u
#define DEAD_QUEUE_MAX 65536u
#define DEAD_AHEAD                                                                                 \
    65536u /* zeros kept behind the records, so that a full disk still takes deletes */

enum dead_stage { DEAD_QUEUED, DEAD_TAKEN, DEAD_DONE };

struct dead_request { /* refcounted by waiter and queue */
    struct list link;
    _Atomic uint32_t refs;
    enum dead_stage stage; /* guarded by log.mu, as rc and waiter */
    int rc;
    struct rt_wait *waiter;
    struct volume *vol;
    struct blobid id;
    bool undelete;
    bool write; /* decided: a record is to be written */
    struct dead_mark mark;
};

/* ---- marks in memory ---- */

static uint32_t tail_slot(const struct dead_tail *t, seq_t seq)
{
    uint32_t i = (uint32_t)(seq * UINT32_C(2654435761)) & (t->cap - 1);
    while (t->slots[i].counter != 0 && t->slots[i].seq != seq)
        i = (i + 1) & (t->cap - 1);
    return i;
}

struct dead_mark *dead_tail_find(const struct dead_tail *t, seq_t seq)
{
    if (t->cap == 0)
        return NULL;
    struct dead_mark *m = &t->slots[tail_slot(t, seq)];
    return m->counter != 0 ? m : NULL;
}

static int tail_grow(struct dead_tail *t)
{
    struct dead_tail bigger = {.cap = t->cap ? t->cap * 2 : 64};
    bigger.slots = mem_try_alloc(bigger.cap * sizeof(*bigger.slots));
    if (!bigger.slots)
        return err_set(KT_ERR_NO_MEMORY, "no memory for dead marks");
    memset(bigger.slots, 0, bigger.cap * sizeof(*bigger.slots));
    for (uint32_t i = 0; i < t->cap; i++)
        if (t->slots[i].counter != 0)
            bigger.slots[tail_slot(&bigger, t->slots[i].seq)] = t->slots[i];
    bigger.count = t->count;
    mem_free(t->slots);
    *t = bigger;
    return 0;
}

int dead_tail_put(struct dead_tail *t, const struct dead_mark *m)
{
    kt_assert(m->counter != 0);
    if ((t->count + 1) * 2 > t->cap) {
        int rc = tail_grow(t);
        if (rc < 0)
            return rc;
    }
    struct dead_mark *at = &t->slots[tail_slot(t, m->seq)];
    if (at->counter == 0)
        t->count++;
    if (m->counter > at->counter)
        *at = *m;
    return 0;
}

void dead_tail_done(struct dead_tail *t)
{
    mem_free(t->slots);
    *t = (struct dead_tail){0};
}

void volume_apply_dead(struct volume *v, seq_t seq, bool dead)
{
    section_begin(&v->mu);
    v->dead_changes++;
    struct index *ix = v->gen ? generation_index(v->gen) : NULL;
    if (ix)
        (void)index_set_dead(ix, seq, dead);
    if (v->next_index) /* in this order, see index_copy_dead */
        (void)index_set_dead(v->next_index, seq, dead);
    section_end(&v->mu);
}

/* ---- folded marks ---- */

static int mark_compare(const void *a, const void *b)
{
    const struct dead_mark *x = a, *y = b;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->counter < y->counter   ? 1
           : x->counter > y->counter ? -1
                                     : 0; /* highest counter first */
}

struct marks {
    struct dead_file expect;
    uint8_t *bytes; /* of VID.dead */
    size_t len;
    struct dead_mark *all; /* result */
    uint32_t count;
};

static int decode_marks(void *arg)
{
    struct marks *m = arg;
    struct dead_file f;
    struct slice in = slice_of(m->bytes, m->len);
    int rc = dead_file_decode(in, &m->expect, &f);
    if (rc < 0 || f.count == 0)
        return rc;
    m->all = mem_try_alloc((size_t)f.count * sizeof(*m->all));
    if (!m->all)
        return err_set(KT_ERR_NO_MEMORY, "no memory for %u dead marks", f.count);
    for (uint32_t i = 0; i < f.count; i++)
        m->all[i] = dead_file_mark(in, i);
    m->count = f.count;
    return 0;
}

int dead_file_load(struct volume *v, struct dead_mark **ret, uint32_t *ret_count)
{
    char name[VOLUME_NAME_MAX];
    struct marks m = {.expect = {.vid = v->vid}};
    memcpy(m.expect.uuid, v->super.uuid, UUID_BYTES);
    volume_file_name(v->vid, "dead", name);
    int rc = disk_get_file(v->disk, name, DEAD_FILE_MAX, &m.bytes, &m.len);
    if (rc == 0) {
        rc = volume_compute(decode_marks, &m);
        mem_free(m.bytes);
    }
    *ret = m.all;
    *ret_count = m.count;
    return rc == -KT_ERR_NOT_FOUND ? 0 : rc;
}

/* Sorts, and keeps the highest counter per seq. */
static int sort_marks(void *arg)
{
    struct marks *m = arg;
    uint32_t kept = 0;
    qsort(m->all, m->count, sizeof(*m->all), mark_compare);
    for (uint32_t i = 0; i < m->count; i++)
        if (kept == 0 || m->all[kept - 1].seq != m->all[i].seq)
            m->all[kept++] = m->all[i];
    m->count = kept;
    return 0;
}

/* Copies the tail's marks behind the `n` folded ones and sorts them. */
static int merge_tail(struct volume *v, struct dead_mark **marks, uint32_t *n)
{
    section_begin(&v->mu);
    uint32_t more = v->tail.count;
    section_end(&v->mu);
    struct dead_mark *all = mem_try_alloc(((size_t)*n + more + 1) * sizeof(*all));
    if (!all)
        return err_set(KT_ERR_NO_MEMORY, "no memory for %u dead marks", *n + more);
    if (*n)
        memcpy(all, *marks, *n * sizeof(*all));
    uint32_t total = *n;
    section_begin(&v->mu);
    for (uint32_t i = 0; i < v->tail.cap && total < *n + more; i++)
        if (v->tail.slots[i].counter != 0)
            all[total++] = v->tail.slots[i];
    section_end(&v->mu);
    struct marks sorted = {.all = all, .count = total};
    int rc = volume_compute(sort_marks, &sorted);
    mem_free(*marks);
    *marks = all;
    *n = sorted.count;
    return rc;
}

int volume_dead_marks(struct volume *v, struct dead_mark **ret, uint32_t *ret_count)
{
    for (;;) {
        section_begin(&v->mu);
        uint64_t folds = v->folds;
        section_end(&v->mu);
        int rc = dead_file_load(v, ret, ret_count);
        if (rc == 0)
            rc = merge_tail(v, ret, ret_count);
        if (rc < 0) {
            mem_free(*ret);
            *ret = NULL;
            *ret_count = 0;
            return rc;
        }
        section_begin(&v->mu);
        bool same = v->folds == folds;
        section_end(&v->mu);
        if (same)
            return 0;
        mem_free(*ret);
    }
}

struct marking {
    const struct dead_mark *marks;
    uint32_t n;
    struct index *ix;
};

static int set_bits(void *arg)
{
    const struct marking *m = arg;
    for (uint32_t i = 0; i < m->n; i++)
        (void)index_set_dead(m->ix, m->marks[i].seq, m->marks[i].counter % 2 != 0);
    return 0;
}

int dead_apply_to_index(struct volume *v, struct index *ix)
{
    struct dead_mark *marks;
    uint32_t n;
    int rc = volume_dead_marks(v, &marks, &n);
    if (rc == 0)
        rc = volume_compute(set_bits, &(struct marking){marks, n, ix});
    if (rc < 0)
        return rc;
    section_begin(&v->mu);
    if (n > 0)
        v->marks_end = (uint64_t)marks[n - 1].seq + 1;
    /* Even counters are rare and must be known to the next delete: they stay in memory. */
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        if (marks[i].counter % 2 == 0)
            rc = dead_tail_put(&v->tail, &marks[i]);
    section_end(&v->mu);
    mem_free(marks);
    return rc;
}

/* ---- requests ---- */

static void request_unref(struct dead_request *q)
{
    if (atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) == 1)
        mem_free(q);
}

static int request_run(struct volume *v, const struct blobid *id, bool undelete,
                       int64_t deadline_ns)
{
    struct dead_log *log = &v->disk->dead;
    struct rt_wait wait;
    struct dead_request *q = mem_zalloc(sizeof(*q));
    list_init(&q->link);
    atomic_init(&q->refs, 2);
    q->vol = v;
    q->id = *id;
    q->undelete = undelete;
    q->waiter = &wait;
    rt_wait_init(&wait);
    section_begin(&log->mu);
    bool closed = log->stopping || log->ended, full = log->queued >= DEAD_QUEUE_MAX;
    if (!closed && !full) {
        list_push_back(&log->queue, &q->link);
        log->queued++;
        if (log->sleeper)
            rt_wake(TAKE(log->sleeper));
    }
    section_end(&log->mu);
    if (closed || full) {
        mem_free(q);
        return closed ? err_set(KT_ERR_UNAVAILABLE, "the disk takes no deletes now")
                      : err_set(KT_ERR_BUSY, "too many deletes wait");
    }
    int rc = rt_wait_park(&wait, deadline_ns);
    bool taken_back = false;
    section_begin(&log->mu);
    q->waiter = NULL;
    if (q->stage == DEAD_DONE) {
        rc = q->rc;
    } else if (q->stage == DEAD_QUEUED) {
        list_remove(&q->link);
        log->queued--;
        taken_back = true;
    }
    section_end(&log->mu);
    if (taken_back)
        request_unref(q);
    request_unref(q);
    return rc;
}

/* What keeps a disk from taking marks. */
static int may_mark(struct volume *v)
{
    if (!atomic_load(&v->disk->dead.trusted))
        return err_set(KT_ERR_NOT_HERE, "the dead log of %s is damaged: run kitten fsck",
                       v->disk->path);
    if (disk_state_of(v->disk) == DISK_FAILED)
        return err_set(KT_ERR_IO, "disk %s has failed and takes no deletes", v->disk->path);
    return 0;
}

int volume_delete(struct volume *v, const struct blobid *id, int64_t deadline_ns)
{
    int rc = may_mark(v);
    return rc < 0 ? rc : request_run(v, id, false, deadline_ns);
}

int volume_undelete(struct volume *v, const struct blobid *id, int64_t deadline_ns)
{
    int rc = may_mark(v);
    return rc < 0 ? rc : request_run(v, id, true, deadline_ns);
}

/* ---- the dead fiber ---- */

struct dead_group {
    struct list members;
    uint32_t count;
};

static bool group_has(const struct dead_group *g, const struct dead_request *q)
{
    list_for_each(l, &g->members)
    {
        const struct dead_request *m = list_entry(l, struct dead_request, link);
        if (m->id.seq == q->id.seq && m->vol == q->vol)
            return true;
    }
    return false;
}

/* Moves queued requests into the group; a second one for the same needle waits for the next. Under
 * mu. */
static void group_take(struct dead_log *log, struct dead_group *g)
{
    while (!list_empty(&log->queue) && g->count < DEAD_GROUP_MAX) {
        struct dead_request *q = list_entry(log->queue.next, struct dead_request, link);
        if (group_has(g, q))
            return;
        list_remove(&q->link);
        list_push_back(&g->members, &q->link);
        q->stage = DEAD_TAKEN;
        log->queued--;
        g->count++;
    }
}

/* Waits for requests. Returns 1 with a group, 0 when idle and unmarked for a while, -1 at the stop.
 */
static int dead_take(struct disk *d, struct dead_group *g)
{
    struct dead_log *log = &d->dead;
    int64_t idle_ns = rt_after_ms(d->opt.idle_mark_ms);
    list_init(&g->members);
    g->count = 0;
    for (;;) {
        struct rt_wait wait;
        rt_wait_init(&wait);
        section_begin(&log->mu);
        group_take(log, g);
        bool stop = g->count == 0 && log->stopping;
        if (g->count == 0 && !stop)
            log->sleeper = &wait;
        section_end(&log->mu);
        if (g->count > 0 || stop)
            return stop ? -1 : 1;
        int rc = rt_wait_park(&wait, log->marked ? RT_NEVER : idle_ns);
        section_begin(&log->mu);
        log->sleeper = NULL;
        bool idle = list_empty(&log->queue) && !log->stopping;
        section_end(&log->mu);
        if (rc == -KT_ERR_CANCELED)
            return -1;
        if (rc == -KT_ERR_TIMEOUT && idle)
            return 0;
    }
}

static void group_finish(struct dead_log *log, struct dead_group *g)
{
    section_begin(&log->mu);
    for (struct list *l; (l = list_pop_front(&g->members)) != NULL;) {
        struct dead_request *q = list_entry(l, struct dead_request, link);
        q->stage = DEAD_DONE;
        if (q->waiter)
            rt_wake(TAKE(q->waiter));
        request_unref(q);
    }
    section_end(&log->mu);
}

/* The latest known mark of a needle: counter 0 when there is none. Reads VID.dead when it must. */
static int latest_mark(struct volume *v, seq_t seq, bool is_dead, struct dead_mark *ret)
{
    *ret = (struct dead_mark){.seq = seq};
    section_begin(&v->mu);
    const struct dead_mark *m = dead_tail_find(&v->tail, seq);
    if (m)
        *ret = *m;
    section_end(&v->mu);
    if (m || !is_dead)
        return 0;
    struct dead_mark *folded;
    uint32_t n;
    int rc = dead_file_load(v, &folded, &n);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        if (folded[i].seq == seq)
            *ret = folded[i];
    mem_free(folded);
    return rc;
}

static int decide_undelete(struct dead_request *q, bool is_dead, uint32_t now_s)
{
    struct dead_mark last;
    if (!is_dead)
        return err_set(KT_ERR_CONFLICT, "the blob is not deleted");
    section_begin(&q->vol->mu);
    bool frozen = q->vol->frozen.len > 0 && job_file_drops(q->vol->frozen, q->id.seq);
    section_end(&q->vol->mu);
    if (frozen)
        return err_set(KT_ERR_EXPIRED, "the blob is being reclaimed");
    int rc = latest_mark(q->vol, q->id.seq, true, &last);
    if (rc < 0)
        return rc;
    if (last.counter % 2 == 0)
        return err_set(KT_ERR_CONFLICT, "the blob is not deleted");
    uint32_t window = q->vol->disk->opt.undelete_window_s;
    if (now_s > last.time_s && now_s - last.time_s > window)
        return err_set(KT_ERR_EXPIRED, "deleted longer than %u s ago", window);
    q->mark = (struct dead_mark){.seq = q->id.seq, .counter = last.counter + 1, .time_s = now_s};
    return 0;
}

/* What a request becomes: a mark to write, or an error. */
static int decide(struct dead_request *q, uint32_t now_s)
{
    struct volume *v = q->vol;
    struct index_hit hit = {.dead = false};
    struct generation *g = volume_generation(v);
    const struct index *ix = g ? generation_index(g) : NULL;
    bool present = ix && index_find(ix, q->id.seq, &hit);
    generation_unref(g);
    if (!present)
        return -KT_ERR_NOT_FOUND;
    if (q->undelete)
        return decide_undelete(q, hit.dead, now_s);
    if (hit.dead)
        return -KT_ERR_NOT_FOUND;
    struct dead_mark last;
    int rc = latest_mark(v, q->id.seq, false, &last);
    if (rc < 0)
        return rc;
    if (last.counter % 2 != 0)
        return -KT_ERR_NOT_FOUND;
    q->mark = (struct dead_mark){.seq = q->id.seq, .counter = last.counter + 1, .time_s = now_s};
    return 0;
}

/* Keeps zeros behind the records as long as there is space for them; what follows is written over
 * them and needs none. A failure is met again, and handled, by the next write of records. */
static void reserve_ahead(struct disk *d)
{
    struct dead_log *log = &d->dead;
    uint64_t end = DEADLOG_START + (uint64_t)DEADLOG_RECORD * log->records;
    if (log->reserved >= end + DEAD_AHEAD / 2 || disk_state_of(d) != DISK_OK)
        return;
    uint64_t from = KT_MAX(log->reserved, end);
    size_t len = (size_t)(end + DEAD_AHEAD - from);
    uint8_t *zeros = mem_zalloc(len);
    struct iovec iov = {.iov_base = zeros, .iov_len = len};
    int rc = rt_file_pwritev_sync(log->file, &iov, 1, from, !d->opt.no_sync);
    if (rc == 0)
        log->reserved = from + len;
    else if (rc != -KT_ERR_NO_SPACE)
        disk_fault(d, "the dead log can't be extended: %s", err_text(rc));
    mem_free(zeros);
}

/* Appends `n` encoded records. On success the log has grown by them. */
static int log_append(struct disk *d, uint8_t *bytes, uint32_t n, uint32_t chain)
{
    struct dead_log *log = &d->dead;
    uint64_t at = DEADLOG_START + (uint64_t)DEADLOG_RECORD * log->records;
    size_t iov_bytes = (size_t)DEADLOG_RECORD * n;
    struct iovec iov = {.iov_base = bytes, .iov_len = iov_bytes};
    bool sync = !d->opt.no_sync && !BUG(DELETE_NO_SYNC);
    int rc = rt_file_pwritev_sync(log->file, &iov, 1, at, sync);
    if (rc == -KT_ERR_NO_SPACE) {
        int cut = rt_file_truncate(log->file, at);
        log->reserved = at;
        if (cut == 0)
            cut = rt_file_datasync(log->file);
        if (cut == 0)
            return err_set(KT_ERR_NO_SPACE, "no space for a dead mark on %s", d->path);
        rc = cut;
    }
    if (rc < 0) {
        disk_fault(d, "the dead log can't be written: %s", err_text(rc));
        return rc;
    }
    log->records += n;
    log->chain = chain;
    log->reserved = KT_MAX(log->reserved, at + iov_bytes);
    atomic_store(&log->bytes, at + (uint64_t)DEADLOG_RECORD * n);
    return 0;
}

/* Keeps the written marks in memory and sets the bits. */
static int group_apply(struct dead_group *g)
{
    int rc = 0;
    list_for_each(l, &g->members)
    {
        struct dead_request *q = list_entry(l, struct dead_request, link);
        if (!q->write)
            continue;
        section_begin(&q->vol->mu);
        int one = dead_tail_put(&q->vol->tail, &q->mark);
        section_end(&q->vol->mu);
        volume_apply_dead(q->vol, q->id.seq, q->mark.counter % 2 != 0);
        if (one < 0)
            rc = one;
    }
    return rc;
}

static int may_grow(struct disk *d)
{
    struct dead_log *log = &d->dead;
    uint64_t after =
        DEADLOG_START + (uint64_t)DEADLOG_RECORD * ((uint64_t)log->records + DEAD_GROUP_MAX);
    if (disk_state_of(d) == DISK_FAILED)
        return -KT_ERR_IO;
    if (after + DEAD_AHEAD > d->opt.dead_log_bytes_max)
        return err_set(KT_ERR_NO_SPACE,
                       "the dead log of %s is full and can't be folded: see the "
                       "volumes that are refused",
                       d->path);
    return 0;
}

static void group_write(struct disk *d, struct dead_group *g, uint8_t *bytes)
{
    struct dead_log *log = &d->dead;
    uint32_t n = 0, chain = log->chain, now_s = (uint32_t)(rt_wall_ns() / NS_PER_SEC);
    list_for_each(l, &g->members)
    {
        struct dead_request *q = list_entry(l, struct dead_request, link);
        q->rc = may_grow(d);
        if (q->rc == 0)
            q->rc = decide(q, now_s);
        q->write = q->rc == 0;
        if (!q->write)
            continue;
        struct deadlog_record rec = {
            .id = q->id, .counter = q->mark.counter, .durable = log->records, .time_s = now_s};
        chain = deadlog_record_encode(&rec, chain, bytes + (size_t)DEADLOG_RECORD * n++);
    }
    if (n == 0)
        return;
    int rc = log_append(d, bytes, n, chain);
    if (rc == 0)
        rc = group_apply(g);
    list_for_each(l, &g->members)
    {
        struct dead_request *q = list_entry(l, struct dead_request, link);
        if (q->write)
            q->rc = rc;
    }
    log->marked = false;
    atomic_fetch_add(&log->groups, 1);
    atomic_fetch_add(&log->marks, n);
}

/* A record that carries only `durable`: the last group was synced. */
static void write_mark(struct disk *d)
{
    uint8_t bytes[DEADLOG_RECORD];
    struct dead_log *log = &d->dead;
    struct deadlog_record rec = {.durable = log->records,
                                 .time_s = (uint32_t)(rt_wall_ns() / NS_PER_SEC)};
    uint32_t chain = deadlog_record_encode(&rec, log->chain, bytes);
    if (disk_state_of(d) != DISK_FAILED)
        (void)log_append(d, bytes, 1, chain);
    log->marked = true; /* also when it failed: one try per pause */
}

/* ---- folding ---- */

static int fold_volume(struct disk *d, struct volume *v)
{
    char name[VOLUME_NAME_MAX];
    struct dead_mark *marks = NULL;
    uint32_t n = 0;
    int rc = volume_dead_marks(v, &marks, &n);
    if (rc < 0)
        return rc;
    uint8_t *out = mem_try_alloc(dead_file_size(n));
    if (!out)
        rc = err_set(KT_ERR_NO_MEMORY, "no memory to fold %u dead marks", n);
    if (rc == 0) {
        struct dead_file f = {.vid = v->vid, .count = n};
        memcpy(f.uuid, v->super.uuid, UUID_BYTES);
        dead_file_encode(&f, marks, out);
        struct iovec iov = {.iov_base = out, .iov_len = dead_file_size(n)};
        volume_file_name(v->vid, "dead", name);
        rc = disk_put_file(d, name, &iov, 1);
    }
    mem_free(out);
    mem_free(marks);
    return rc;
}

/* Drops the marks that are now folded; even counters stay, the next delete needs them. */
static void trim_tail(struct volume *v)
{
    struct dead_tail kept = {0};
    section_begin(&v->mu);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < v->tail.cap; i++)
        if (v->tail.slots[i].counter != 0 && v->tail.slots[i].counter % 2 == 0)
            rc = dead_tail_put(&kept, &v->tail.slots[i]);
    if (rc == 0) {
        dead_tail_done(&v->tail);
        v->tail = kept;
    } else {
        dead_tail_done(&kept);
    }
    v->dead_changes++;
    v->folds++;
    section_end(&v->mu);
}

/* The marks of a volume that can't take them, as records of the fresh log. */
static uint32_t carry_marks(struct volume *v, uint32_t at, uint32_t *chain, uint8_t *out)
{
    uint32_t n = 0;
    section_begin(&v->mu);
    for (uint32_t i = 0; i < v->tail.cap; i++) {
        const struct dead_mark *m = &v->tail.slots[i];
        if (m->counter == 0)
            continue;
        struct deadlog_record rec = {.id = {.vid = v->vid, .seq = m->seq},
                                     .counter = m->counter,
                                     .durable = at + n,
                                     .time_s = m->time_s};
        *chain = deadlog_record_encode(&rec, *chain, out + (size_t)DEADLOG_RECORD * (at + n));
        n++;
    }
    section_end(&v->mu);
    return n;
}

static uint32_t count_carried(struct disk *d)
{
    uint32_t count = 0;
    for (uint32_t i = 0, n = disk_volume_count(d); i < n; i++)
        if (disk_volume_at(d, i)->carried)
            count += disk_volume_at(d, i)->tail.count;
    return count;
}

/* Writes a log with the marks that stay and zeros behind them, under its name, and goes on in it as
 * soon as it has the name: in the old one marks would be lost. */
static int fresh_log(struct disk *d, uint64_t instance, struct dead_log *ret)
{
    size_t size = BLOCK_SIZE + (size_t)DEADLOG_RECORD * count_carried(d) + DEAD_AHEAD;
    uint8_t *bytes = mem_try_alloc(size);
    if (!bytes)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a fresh dead log");
    memset(bytes, 0, size);
    struct deadlog_head head = {.instance = instance};
    memcpy(head.uuid, d->label.uuid, UUID_BYTES);
    uint32_t records = 0, chain = deadlog_head_encode(&head, bytes);
    for (uint32_t i = 0, n = disk_volume_count(d); i < n; i++)
        if (disk_volume_at(d, i)->carried)
            records += carry_marks(disk_volume_at(d, i), records, &chain, bytes + DEADLOG_START);
    struct iovec iov = {.iov_base = bytes, .iov_len = size};
    int file;
    int rc = disk_replace_file(d, DEAD_LOG_NAME, &iov, 1, &file);
    mem_free(bytes);
    if (file < 0)
        return rc;
    if (rc < 0) /* nobody knows which log the next start will find: no more marks */
        disk_fault(d, "the directory can't be synced after a fold: %s", err_text(rc));
    rt_file_close(ret->file);
    ret->file = file;
    ret->instance = instance;
    ret->chain = chain;
    ret->records = records;
    ret->reserved = size;
    ret->marked = records == 0;
    atomic_store(&ret->bytes, DEADLOG_START + (uint64_t)DEADLOG_RECORD * records);
    return rc;
}

/* Folds one volume's marks; one that can't take them keeps them in the log. */
static int fold_or_carry(struct disk *d, struct volume *v)
{
    uint8_t state = volume_state_of(v);
    v->carried = false;
    if (v->tail.count == 0 || state == VOLUME_DROPPED)
        return 0;
    int rc = state == VOLUME_REFUSED ? -KT_ERR_CORRUPT : fold_volume(d, v);
    v->carried = rc == -KT_ERR_CORRUPT;
    return v->carried ? 0 : rc;
}

static int fold(struct disk *d)
{
    int rc = 0;
    for (uint32_t i = 0, n = disk_volume_count(d); rc == 0 && i < n; i++)
        rc = fold_or_carry(d, disk_volume_at(d, i));
    if (rc == 0)
        rc = fresh_log(d, d->dead.instance + 1, &d->dead);
    if (rc < 0)
        return rc;
    atomic_fetch_add(&d->dead.folds, 1);
    for (uint32_t i = 0, n = disk_volume_count(d); i < n; i++)
        if (!disk_volume_at(d, i)->carried)
            trim_tail(disk_volume_at(d, i));
    return 0;
}

static void maybe_fold(struct disk *d, uint64_t *at_bytes)
{
    uint64_t bytes = atomic_load(&d->dead.bytes);
    if (bytes < *at_bytes || disk_state_of(d) == DISK_FAILED)
        return;
    int rc = fold(d);
    if (rc == -KT_ERR_IO)
        disk_fault(d, "folding the dead log failed: %s", err_text(rc));
    /* After a failure the log may grow by as much again before the next try. */
    *at_bytes =
        d->opt.dead_fold_bytes + (rc == 0 ? atomic_load(&d->dead.bytes) - DEADLOG_START : bytes);
}

static int dead_main(void *arg)
{
    struct disk *d = arg;
    struct dead_log *log = &d->dead;
    struct dead_group g;
    uint64_t fold_at = d->opt.dead_fold_bytes;
    uint8_t *bytes = mem_alloc((size_t)DEADLOG_RECORD * DEAD_GROUP_MAX);
    if (atomic_load(&log->trusted))
        reserve_ahead(d);
    for (int what; (what = dead_take(d, &g)) >= 0;) {
        if (what == 0) {
            write_mark(d);
            continue;
        }
        group_write(d, &g, bytes);
        group_finish(log, &g);
        maybe_fold(d, &fold_at);
        reserve_ahead(d);
    }
    if (!log->marked)
        write_mark(d);
    mem_free(bytes);
    section_begin(&log->mu);
    log->ended = true;
    if (log->joiner)
        rt_wake(TAKE(log->joiner));
    section_end(&log->mu);
    return 0;
}

static int dead_spawn(void *arg)
{
    return rt_go_root(dead_main, arg);
}

/* ---- start and stop ---- */

/* Reads the whole log, past the page cache where the file system can. */
static int read_log(struct disk *d, uint64_t size, uint8_t **ret_memory, uint8_t **ret)
{
    size_t len = (size_t)align_up(size, BLOCK_SIZE);
    uint8_t *memory = mem_try_alloc(len + BLOCK_SIZE);
    if (!memory)
        return err_set(KT_ERR_NO_MEMORY, "no memory for the dead log of %" PRIu64 " bytes", size);
    uint8_t *at = memory + (BLOCK_SIZE - (uintptr_t)memory % BLOCK_SIZE) % BLOCK_SIZE;
    int file = BUG(TRUST_PAGE_CACHE)
                   ? -1
                   : rt_file_open(d->dir, DEAD_LOG_NAME, RT_O_READ | RT_O_DIRECT, 0);
    ssize_t got =
        rt_file_pread_some(file >= 0 ? file : d->dead.file, at, file >= 0 ? len : (size_t)size, 0);
    rt_file_close(file);
    if (got >= 0 && (uint64_t)got < size)
        got = err_set(KT_ERR_IO, "dead log: read %zd of %" PRIu64 " bytes", got, size);
    if (got < 0) {
        mem_free(memory);
        return (int)got;
    }
    *ret_memory = memory;
    *ret = at;
    return 0;
}

/* Puts every valid record into its volume. */
static int replay_records(struct disk *d, const uint8_t *records, uint32_t n, uint32_t chain)
{
    struct deadlog_record rec;
    for (uint32_t i = 0; i < n; i++) {
        if (!deadlog_record_decode(records + (size_t)DEADLOG_RECORD * i, &chain, &rec))
            return err_set(KT_ERR_INTERNAL, "dead log changed while it was read");
        struct volume *v = rec.id.vid ? disk_find_volume(d, rec.id.vid) : NULL;
        if (!v)
            continue; /* a mark, or a volume that was dropped */
        struct dead_mark m = {.seq = rec.id.seq, .counter = rec.counter, .time_s = rec.time_s};
        int rc = m.counter ? dead_tail_put(&v->tail, &m) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Checks and replays the log. Errors: CORRUPT (nothing here may be served), IO. */
static int replay_log(struct disk *d, uint64_t size, const uint8_t *bytes)
{
    struct dead_log *log = &d->dead;
    struct deadlog_head head;
    struct deadlog_scan scan;
    uint32_t chain;
    if (size < BLOCK_SIZE)
        return err_set(KT_ERR_CORRUPT, "the dead log has only %" PRIu64 " bytes", size);
    int rc = deadlog_head_decode(slice_of(bytes, BLOCK_SIZE), &head, &chain);
    if (rc < 0)
        return rc;
    if (memcmp(head.uuid, d->label.uuid, UUID_BYTES) != 0)
        return err_set(KT_ERR_CORRUPT, "the dead log belongs to another disk");
    deadlog_scan(slice_of(bytes + DEADLOG_START, (size_t)(size - DEADLOG_START)), chain, &scan);
    if (scan.verdict == DEADLOG_DAMAGED)
        return err_set(KT_ERR_CORRUPT, "dead log record %u is damaged, but was synced",
                       scan.records);
    log->instance = head.instance;
    log->records = scan.records;
    log->chain = scan.chain;
    log->marked = scan.records == 0 || scan.durable == scan.records - 1;
    uint64_t end = DEADLOG_START + (uint64_t)DEADLOG_RECORD * scan.records;
    atomic_store(&log->bytes, end);
    log->reserved = size;
    if (scan.verdict == DEADLOG_TORN) {
        log->reserved = end;
        rc = rt_file_truncate(log->file, end);
        if (rc == 0)
            rc = rt_file_datasync(log->file);
        if (rc < 0)
            return rc;
    }
    return replay_records(d, bytes + DEADLOG_START, scan.records, chain);
}

/* A needle that was deleted was synced before: a log that ends before it has lost some. Appending
 * would give its seq, and its mark, to another needle. */
static void check_end(struct volume *v, const struct index *ix)
{
    section_begin(&v->mu);
    uint64_t end = v->marks_end;
    section_end(&v->mu);
    if (volume_state_of(v) != VOLUME_OPEN || end <= index_count(ix))
        return;
    writer_stop(v);
    volume_set_reason(v, "the log has %u needles, but one above them was deleted: its end is lost",
                      index_count(ix));
    atomic_store(&v->state, VOLUME_DAMAGED);
}

/* Gives the marks to the volumes whose index is in memory. */
static int apply_marks(struct disk *d)
{
    for (uint32_t i = 0, n = disk_volume_count(d); i < n; i++) {
        struct volume *v = disk_volume_at(d, i);
        struct generation *g = volume_generation(v);
        struct index *ix = g ? generation_index(g) : NULL;
        int rc = ix ? dead_apply_to_index(v, ix) : 0;
        if (rc == 0 && ix)
            check_end(v, ix);
        generation_unref(g);
        if (rc == -KT_ERR_NO_MEMORY)
            return rc;
        if (rc < 0) {
            volume_set_reason(v, "its dead marks can't be read: %s", err_text(rc));
            atomic_store(&v->state, VOLUME_REFUSED);
        }
    }
    return 0;
}

static int open_existing(struct disk *d)
{
    struct dead_log *log = &d->dead;
    struct rt_stat st;
    uint8_t *memory = NULL, *bytes;
    log->file = rt_file_open(d->dir, DEAD_LOG_NAME, RT_O_READ | RT_O_WRITE, 0);
    if (log->file < 0)
        return log->file;
    int rc = rt_file_datasync(log->file);
    if (rc == 0)
        rc = rt_file_stat(log->file, &st);
    if (rc == 0 && st.size > DEAD_LOG_MAX)
        rc = err_set(KT_ERR_CORRUPT, "the dead log has %" PRIu64 " bytes", st.size);
    if (rc == 0)
        rc = read_log(d, st.size, &memory, &bytes);
    if (rc == 0)
        rc = replay_log(d, st.size, bytes);
    mem_free(memory);
    return rc < 0 ? rc : apply_marks(d);
}

int dead_log_open(struct disk *d, bool fresh)
{
    struct dead_log *log = &d->dead;
    log->marked = true;
    if (fresh)
        return fresh_log(d, 1, log);
    int rc = open_existing(d);
    if (rc == -KT_ERR_NO_MEMORY || rc == -KT_ERR_DENIED || rc == -KT_ERR_FORMAT)
        return err_wrap(rc, "disk %s", d->path);
    if (rc < 0)
        disk_fault(d, "%s: nothing of this disk is served; run kitten fsck", err_text(rc));
    atomic_store(&log->trusted, rc == 0);
    rc = rt_call_on((int)(d->opt.index % (uint32_t)rt_loop_count()), dead_spawn, d);
    log->started = rc == 0;
    return rc;
}

void dead_log_stop(struct disk *d)
{
    struct dead_log *log = &d->dead;
    struct rt_wait wait;
    rt_wait_init(&wait);
    section_begin(&log->mu);
    bool running = log->started && !log->ended;
    log->stopping = true;
    if (running) {
        log->joiner = &wait;
        if (log->sleeper)
            rt_wake(TAKE(log->sleeper));
    }
    section_end(&log->mu);
    if (running)
        rt_wait_park_uncancelable(&wait);
    section_begin(&log->mu); /* the fiber has let go of the lock, too */
    section_end(&log->mu);
    rt_file_close(log->file);
    log->file = -1;
}
