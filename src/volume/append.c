/* append: how a needle gets into an open volume.
 *
 * Happy path. append_new copies meta and data into one image (the only copy) and computes the data
 * checksum on the caller's loop. volume_append queues it. The volume's writer fiber takes what is
 * queued (at most 1 MiB; a larger needle is a group by itself), gives each needle its seq and
 * offset, encodes the headers into the images, and hands the group to one pwritev + fdatasync off
 * the loop; what arrives meanwhile is the next group. Then it publishes the index entries and wakes
 * the waiters.
 *
 * Failure modes.
 *  - A failed write or sync: nothing of the group is acknowledged, nothing is tried again; the
 * volume is fenced (memory first, then its state slot), the group and the queue get FENCED and go
 * to another volume.
 *  - No space: the tail is cut back to the synced end, the cut is synced, the volume is sealed
 * there; NO_SPACE. When even that fails, it is fenced.
 *  - A waiter that gives up: a queued needle is taken back; one in flight is written and nobody
 * knows its id.
 *  - Idle for about a second after a group: a mark needle records that the group was synced, so
 * that recovery never takes later rot in it for a torn tail.
 */
#include "volume/volume_priv.h"

#include "base/checked.h"
#include "base/enc.h"
#include "base/fault.h"
#include "obs/metric.h"
#include <inttypes.h>

enum append_stage { APPEND_NEW, APPEND_QUEUED, APPEND_TAKEN, APPEND_DONE };

struct append {
    struct list link; /* in the queue or the group */
    _Atomic uint32_t refs;
    struct volume_writer *where; /* whose mu guards stage, rc, waiter */
    enum append_stage stage;
    int rc;
    struct rt_wait *waiter;
    struct blobid id; /* once taken; cookie from the start */
    struct needle_info info;
    uint32_t size;   /* of the image */
    uint8_t image[]; /* header, meta, table, data, padding */
};

int append_new(const struct append_data *what, struct append **ret)
{
    uint64_t len = 0;
    for (int i = 0; i < what->ndata; i++)
        len += what->data[i].len;
    if (len > NEEDLE_DATA_MAX || what->meta.len > NEEDLE_META_MAX)
        return err_set(KT_ERR_TOO_LARGE, "blob of %" PRIu64 " bytes, limit %u", len,
                       NEEDLE_DATA_MAX);
    kt_assert(what->kind != 0 && what->kind != NEEDLE_MARK);
    uint32_t data_len = (uint32_t)len;
    uint16_t meta_len = (uint16_t)what->meta.len;
    uint32_t size = (uint32_t)needle_size(data_len, meta_len);
    struct append *a = mem_try_alloc(sizeof(*a) + size);
    if (!a)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a blob of %u bytes", data_len);
    memset(a, 0, sizeof(*a));
    list_init(&a->link);
    atomic_init(&a->refs, 1);
    a->stage = APPEND_NEW;
    a->size = size;
    a->id.cookie = what->cookie;
    if (meta_len)
        memcpy(a->image + NEEDLE_HEADER, what->meta.p, meta_len);
    uint8_t *to = a->image + needle_data_at(data_len, meta_len);
    for (int i = 0; i < what->ndata; i++) {
        if (what->data[i].len)
            memcpy(to, what->data[i].p, what->data[i].len);
        to += what->data[i].len;
    }
    memset(to, 0, (size_t)(a->image + size - to));
    struct slice data = slice_of(a->image + needle_data_at(data_len, meta_len), data_len);
    a->info = (struct needle_info){
        .data_crc = needle_data_crc(&data, 1, data_len, a->image + NEEDLE_HEADER + meta_len),
        .bucket = what->bucket,
        .data_len = data_len,
        .meta_len = meta_len,
        .kind = what->kind,
        .version = what->version,
        .cookie = what->cookie,
    };
    *ret = a;
    return 0;
}

void append_unref(struct append *a)
{
    if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
        mem_free(a);
}

uint64_t append_size(const struct append *a)
{
    return a->size;
}

uint32_t append_data_crc(const struct append *a)
{
    return a->info.data_crc;
}

/* ---- the queue ---- */

static void wake_writer(struct volume_writer *w)
{
    if (w->sleeper)
        rt_wake(TAKE(w->sleeper));
}

int volume_append(struct volume *v, struct append *a)
{
    struct volume_writer *w = v->writer;
    if (!w)
        return -KT_ERR_AGAIN;
    kt_assert(a->stage == APPEND_NEW || a->stage == APPEND_DONE);
    const struct disk_options *opt = &v->disk->opt;
    section_begin(&w->mu);
    int rc = w->closed_rc;
    if (rc == 0 && w->queued > 0 &&
        (w->queued >= opt->queue_count_max || w->queued_bytes + a->size > opt->queue_bytes_max))
        rc = -KT_ERR_BUSY;
    if (rc == 0) {
        atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
        a->where = w;
        a->stage = APPEND_QUEUED;
        a->rc = 0;
        a->waiter = NULL;
        list_push_back(&w->queue, &a->link);
        w->queued++;
        w->queued_bytes += a->size;
        wake_writer(w);
    }
    section_end(&w->mu);
    if (rc == -KT_ERR_BUSY)
        return err_set(KT_ERR_BUSY, "too many writes wait for volume %08x", v->vid);
    return rc;
}

int append_wait(struct append *a, int64_t deadline_ns, struct blobid *ret)
{
    struct volume_writer *w = a->where;
    struct rt_wait wait;
    rt_wait_init(&wait);
    section_begin(&w->mu);
    bool done = a->stage == APPEND_DONE;
    if (!done)
        a->waiter = &wait;
    section_end(&w->mu);

    bool taken_back = false;
    int rc = done ? 0 : rt_wait_park(&wait, deadline_ns);
    section_begin(&w->mu);
    a->waiter = NULL;
    if (a->stage == APPEND_DONE) {
        rc = a->rc;
    } else if (a->stage == APPEND_QUEUED) {
        list_remove(&a->link);
        w->queued--;
        w->queued_bytes -= a->size;
        a->stage = APPEND_DONE;
        taken_back = true;
    }
    section_end(&w->mu);
    if (taken_back)
        append_unref(a);
    if (rc == 0)
        *ret = a->id;
    return rc;
}

bool append_done(struct append *a, int *ret_rc)
{
    struct volume_writer *w = a->where;
    section_begin(&w->mu);
    bool done = a->stage == APPEND_DONE;
    *ret_rc = done ? a->rc : 0;
    section_end(&w->mu);
    return done;
}

void volume_seal_soon(struct volume *v)
{
    struct volume_writer *w = v->writer;
    if (!w)
        return;
    section_begin(&w->mu);
    w->seal_asked = true;
    wake_writer(w);
    section_end(&w->mu);
}

/* ---- the writer fiber ---- */

struct group {
    struct list members;
    uint32_t count;
    uint64_t bytes;
};

enum take { TAKE_GROUP, TAKE_MARK, TAKE_SEAL, TAKE_STOP };

/* Moves what is queued, up to a group's size, out of the queue. Under mu. */
static void take_queued(struct volume_writer *w, struct group *g)
{
    while (!list_empty(&w->queue) && g->count < GROUP_NEEDLES_MAX) {
        struct append *a = list_entry(w->queue.next, struct append, link);
        if (g->count > 0 && g->bytes + a->size > GROUP_BYTES_MAX)
            break;
        list_remove(&a->link);
        list_push_back(&g->members, &a->link);
        a->stage = APPEND_TAKEN;
        w->queued--;
        w->queued_bytes -= a->size;
        g->count++;
        g->bytes += a->size;
    }
}

/* Waits for something to do. */
static enum take writer_take(struct volume_writer *w, struct group *g)
{
    list_init(&g->members);
    g->count = 0;
    g->bytes = 0;
    int64_t idle_ns = rt_after_ms(w->vol->disk->opt.idle_mark_ms);
    for (;;) {
        struct rt_wait wait;
        rt_wait_init(&wait);
        enum take what = TAKE_GROUP;
        section_begin(&w->mu);
        take_queued(w, g);
        bool sleep = false;
        if (g->count == 0 && w->stopping)
            what = TAKE_STOP;
        else if (g->count == 0 && w->seal_asked)
            what = TAKE_SEAL;
        else if (g->count == 0) {
            sleep = true;
            w->sleeper = &wait;
        }
        section_end(&w->mu);
        if (!sleep)
            return what;
        int rc = rt_wait_park(&wait, w->marked ? RT_NEVER : idle_ns);
        section_begin(&w->mu);
        w->sleeper = NULL;
        bool still_idle = list_empty(&w->queue) && !w->stopping && !w->seal_asked;
        section_end(&w->mu);
        if (rc == -KT_ERR_TIMEOUT && still_idle)
            return TAKE_MARK;
        if (rc == -KT_ERR_CANCELED)
            return TAKE_STOP;
    }
}

/* Hands the members their outcome. Once DONE, a member may be queued elsewhere: its link is no
 * longer ours. */
static void group_finish(struct volume_writer *w, struct group *g, int rc)
{
    section_begin(&w->mu);
    for (struct list *l; (l = list_pop_front(&g->members)) != NULL;) {
        struct append *a = list_entry(l, struct append, link);
        a->rc = rc;
        a->stage = APPEND_DONE;
        if (a->waiter)
            rt_wake(TAKE(a->waiter));
        append_unref(a);
    }
    section_end(&w->mu);
    g->count = 0;
}

/* No more appends: what is queued, and what comes, gets `rc`. */
static void writer_close_queue(struct volume_writer *w, int rc)
{
    struct group rest = {.count = 0};
    list_init(&rest.members);
    section_begin(&w->mu);
    w->closed_rc = rc;
    while (!list_empty(&w->queue)) {
        struct list *l = list_pop_front(&w->queue);
        list_entry(l, struct append, link)->stage = APPEND_TAKEN;
        list_push_back(&rest.members, l);
    }
    w->queued = 0;
    w->queued_bytes = 0;
    section_end(&w->mu);
    group_finish(w, &rest, rc);
}

/* The volume takes no more writes after a fault; what was synced stays readable. */
static void writer_fence(struct volume_writer *w, int rc)
{
    struct volume *v = w->vol;
    struct state_slot next;
    volume_set_reason(v, "a write failed: %s", err_text(rc));
    atomic_store(&v->state, VOLUME_FENCED);
    disk_note_volume_fault(v->disk, v->vid);
    writer_close_queue(w, -KT_ERR_FENCED);
    volume_slot(v, &next);
    next.state = VOLUME_FENCED;
    next.sealed_length = w->end;
    section_begin(&v->mu);
    memcpy(next.reason, v->reason, sizeof(v->reason));
    section_end(&v->mu);
    /* Best effort: without it the next start recovers the log as an open one. */
    rc = volume_write_slot(v, w->gen->file, &next);
    if (rc < 0)
        disk_fault(v->disk, "the state of volume %08x can't be written: %s", v->vid, err_text(rc));
}

/* The disk had no room: the unacknowledged tail is cut off, and the volume ends at what was synced.
 */
static void writer_no_space(struct volume_writer *w)
{
    disk_note_full(w->vol->disk);
    writer_close_queue(w, -KT_ERR_NO_SPACE);
    int rc = rt_file_truncate(w->gen->file, w->end);
    if (rc == 0)
        rc = rt_file_datasync(w->gen->file);
    if (rc == 0)
        rc = seal_volume(w->vol, w->end);
    if (rc < 0)
        writer_fence(w, rc);
}

/* The group failed: nobody is told that it was written, and this volume takes no more. */
static void writer_failed(struct volume_writer *w, struct group *g, int rc)
{
    if (rc == -KT_ERR_NO_SPACE)
        writer_no_space(w);
    else
        writer_fence(w, rc);
    if (g)
        group_finish(w, g, rc == -KT_ERR_NO_SPACE ? rc : -KT_ERR_FENCED);
}

/* Encodes the group at the log's end. Returns its iovec count. */
static int group_encode(struct volume_writer *w, struct group *g)
{
    uint64_t at = w->end;
    seq_t seq = w->next_seq;
    int n = 0;
    list_for_each(l, &g->members)
    {
        struct append *a = list_entry(l, struct append, link);
        a->info.seq = seq;
        a->info.offset = at;
        a->info.durable = w->end;
        a->info.epoch = w->vol->slot.epoch;
        a->info.flags = n == 0 ? NEEDLE_F_FIRST : 0;
        a->id.vid = w->vol->vid;
        a->id.seq = seq;
        needle_encode(&a->info, &w->gen->place,
                      slice_of(a->image + NEEDLE_HEADER, a->info.meta_len), a->image);
        w->iov[n++] = (struct iovec){.iov_base = a->image, .iov_len = a->size};
        at += a->size;
        seq++;
    }
    return n;
}

/* Enters the group in the index, not yet visible. */
static int group_index(struct volume_writer *w, struct group *g)
{
    struct index *ix = atomic_load_explicit(&w->gen->index, memory_order_relaxed);
    list_for_each(l, &g->members)
    {
        struct append *a = list_entry(l, struct append, link);
        int rc = index_add(ix, a->info.seq, a->info.offset, a->size);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Makes the synced group readable. */
static void group_publish(struct volume_writer *w, const struct group *g)
{
    struct volume *v = w->vol;
    w->next_seq += g->count;
    w->end += g->bytes;
    atomic_store_explicit(&w->gen->length, w->end, memory_order_release);
    index_publish(atomic_load_explicit(&w->gen->index, memory_order_relaxed), w->next_seq);
    atomic_fetch_add_explicit(&v->groups, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&v->group_needles, g->count, memory_order_relaxed);
    disk_note_written(v->disk, g->bytes);
    metric_add(METRIC_STORE_GROUPS, METRIC_L(v->disk->metric), 1);
    metric_add(METRIC_STORE_GROUP_NEEDLES, METRIC_L(v->disk->metric), g->count);
    metric_add(METRIC_STORE_NEEDLE_BYTES,
               METRIC_L(metric_label(DIM_OP, SLICE_LIT("write")), v->disk->metric), g->bytes);
    w->marked = false;
}

/* One write and one flush, off the loop. */
static int log_write(struct volume_writer *w, struct iovec *iov, int n)
{
    bool sync = !w->vol->disk->opt.no_sync && !BUG(SKIP_FSYNC) && !BUG(ACK_BEFORE_SYNC);
    int64_t start_ns = rt_now_ns();
    int rc = rt_file_pwritev_sync(w->gen->file, iov, n, w->end, sync);
    if (rc < 0 && BUG(RETRY_FSYNC))
        rc = rt_file_datasync(w->gen->file);
    metric_observe_ns(METRIC_STORE_DISK_TIME,
                      METRIC_L(metric_label(DIM_OP, SLICE_LIT("sync")), w->vol->disk->metric),
                      rt_now_ns() - start_ns);
    return rc;
}

/* Appends VID.idx records for chunks that are complete: a cache, so a failure only gives it up. */
static void idx_record(struct volume_writer *w)
{
    while (w->idx_file >= 0 && w->next_seq / INDEX_CHUNK > w->idx_chunk) {
        size_t size = index_open_size(INDEX_CHUNK);
        uint8_t *out = mem_try_alloc(size + 8ull * INDEX_CHUNK);
        if (!out)
            return;
        uint64_t *entries = (uint64_t *)(void *)(out + size);
        struct index_head h = {.vid = w->vol->vid,
                               .generation = w->gen->place.generation,
                               .first_seq = w->idx_chunk * INDEX_CHUNK,
                               .count = INDEX_CHUNK};
        memcpy(h.uuid, w->gen->place.uuid, UUID_BYTES);
        struct index *ix = atomic_load_explicit(&w->gen->index, memory_order_relaxed);
        uint32_t n = index_chunk(ix, w->idx_chunk, entries);
        kt_assert(n == INDEX_CHUNK);
        h.log_end = index_entry_offset(entries[n - 1]) + index_entry_size(entries[n - 1]);
        index_open_encode(&h, entries, out);
        struct iovec iov = {.iov_base = out, .iov_len = size};
        if (rt_file_pwritev(w->idx_file, &iov, 1, w->idx_at) < 0) {
            rt_file_close(w->idx_file);
            w->idx_file = -1;
        }
        w->idx_at += size;
        w->idx_chunk++;
        mem_free(out);
    }
}

/* Zeros ahead of the log let the flush skip the file system's metadata. */
static void zero_ahead(struct volume_writer *w, uint64_t need)
{
    uint64_t ahead = w->vol->disk->opt.zero_fill_bytes;
    if (ahead == 0 || w->end + need <= w->zeroed)
        return;
    size_t len = (size_t)KT_MIN(ahead, (uint64_t)GROUP_BYTES_MAX * 16);
    uint8_t *zeros = mem_try_alloc(len);
    if (!zeros)
        return;
    memset(zeros, 0, len);
    uint64_t at = KT_MAX(w->zeroed, w->end);
    struct iovec iov = {.iov_base = zeros, .iov_len = len};
    /* A failure shows again, and is handled, when the log itself is written. */
    if (rt_file_pwritev_sync(w->gen->file, &iov, 1, at, true) == 0)
        w->zeroed = at + len;
    mem_free(zeros);
}

/* Writes a mark: "all before me is synced". */
static int mark_write(struct volume_writer *w)
{
    uint8_t image[NEEDLE_HEADER];
    struct needle_info info = {.seq = w->next_seq,
                               .offset = w->end,
                               .durable = w->end,
                               .epoch = w->vol->slot.epoch,
                               .kind = NEEDLE_MARK,
                               .flags = NEEDLE_F_FIRST};
    needle_encode(&info, &w->gen->place, (struct slice){NULL, 0}, image);
    struct iovec iov = {.iov_base = image, .iov_len = sizeof(image)};
    int rc = log_write(w, &iov, 1);
    if (rc < 0)
        return rc;
    w->end += sizeof(image);
    atomic_store_explicit(&w->gen->length, w->end, memory_order_release);
    w->marked = true;
    return 0;
}

/* Ends the log here: a last mark, then the sealed state. `g`, when given, did not fit any more. */
static void writer_seal(struct volume_writer *w, struct group *g)
{
    writer_close_queue(w, -KT_ERR_AGAIN);
    if (g)
        group_finish(w, g, -KT_ERR_AGAIN);
    int rc = w->marked ? 0 : mark_write(w);
    if (rc == 0)
        rc = seal_volume(w->vol, w->end);
    if (rc < 0)
        writer_failed(w, NULL, rc);
}

/* Writes one group. Returns false when the volume takes no more. */
static bool writer_group(struct volume_writer *w, struct group *g)
{
    uint64_t limit = KT_MIN(w->vol->super.limit_bytes, VOLUME_LIMIT_MAX - 2ull * NEEDLE_DATA_MAX);
    if (w->end > VOLUME_LOG_START && w->end + g->bytes > limit) {
        writer_seal(w, g);
        return false;
    }
    zero_ahead(w, g->bytes);
    int n = group_encode(w, g);
    int rc = group_index(w, g);
    if (rc == 0)
        rc = log_write(w, w->iov, n);
    if (rc < 0) {
        writer_failed(w, g, rc);
        return false;
    }
    group_publish(w, g);
    group_finish(w, g, 0);
    if (BUG(ACK_BEFORE_SYNC) && rt_file_datasync(w->gen->file) < 0)
        return false;
    idx_record(w);
    return true;
}

/* Writes a mark after a pause. Returns false when the volume takes no more. */
static bool writer_idle(struct volume_writer *w)
{
    int rc = mark_write(w);
    if (rc < 0)
        writer_failed(w, NULL, rc);
    return rc == 0;
}

/* Seals on request; an empty log is not worth it. Returns false when the volume takes no more. */
static bool writer_seal_asked(struct volume_writer *w)
{
    section_begin(&w->mu);
    w->seal_asked = false;
    section_end(&w->mu);
    if (w->end == VOLUME_LOG_START)
        return true;
    writer_seal(w, NULL);
    return false;
}

/* A clean end of the log: nothing but what a reader may trust. */
static void writer_end(struct volume_writer *w)
{
    writer_close_queue(w, -KT_ERR_AGAIN);
    int rc = w->marked || w->end == VOLUME_LOG_START ? 0 : mark_write(w);
    if (rc < 0)
        writer_failed(w, NULL, rc);
}

static int writer_main(void *arg)
{
    struct volume_writer *w = arg;
    struct group g;
    for (bool more = true; more;) {
        switch (writer_take(w, &g)) {
        case TAKE_GROUP:
            more = writer_group(w, &g);
            break;
        case TAKE_MARK:
            more = writer_idle(w);
            break;
        case TAKE_SEAL:
            more = writer_seal_asked(w);
            break;
        case TAKE_STOP:
            writer_end(w);
            more = false;
            break;
        }
    }
    /* The file and the open index live on only in the volume's generation: one that is compacted
     * away gives its bytes back. */
    rt_file_close(w->idx_file);
    w->idx_file = -1;
    generation_unref(TAKE(w->gen));
    section_begin(&w->mu);
    w->ended = true;
    if (w->closed_rc == 0)
        w->closed_rc = -KT_ERR_AGAIN;
    if (w->joiner)
        rt_wake(TAKE(w->joiner));
    section_end(&w->mu);
    return 0;
}

static int writer_spawn(void *arg)
{
    return rt_go_root(writer_main, arg);
}

int writer_start(struct volume *v, seq_t next_seq, uint64_t idx_at, uint32_t idx_chunk, bool marked)
{
    char name[VOLUME_NAME_MAX];
    struct volume_writer *w = mem_zalloc(sizeof(*w));
    pthread_mutex_init(&w->mu, NULL);
    list_init(&w->queue);
    w->vol = v;
    w->iov = mem_alloc(sizeof(*w->iov) * GROUP_NEEDLES_MAX);
    w->gen = volume_generation(v);
    w->end = w->zeroed = atomic_load(&w->gen->length);
    w->next_seq = next_seq;
    w->marked = marked;
    w->idx_at = idx_at;
    w->idx_chunk = idx_chunk;
    volume_file_name(v->vid, "idx", name);
    w->idx_file = rt_file_open(v->disk->dir, name, RT_O_READ | RT_O_WRITE | RT_O_CREATE, 0600);
    if (w->idx_file >= 0 && rt_file_truncate(w->idx_file, idx_at) < 0) {
        rt_file_close(w->idx_file);
        w->idx_file = -1;
    }
    v->writer = w;
    idx_record(w);
    int rc = rt_call_on((int)(v->disk->opt.index % (uint32_t)rt_loop_count()), writer_spawn, w);
    if (rc < 0)
        w->ended = true;
    return rc;
}

void writer_stop(struct volume *v)
{
    struct volume_writer *w = v->writer;
    if (!w)
        return;
    struct rt_wait wait;
    rt_wait_init(&wait);
    section_begin(&w->mu);
    bool ended = w->ended;
    w->stopping = true;
    if (!ended)
        w->joiner = &wait;
    wake_writer(w);
    section_end(&w->mu);
    if (!ended)
        rt_wait_park_uncancelable(&wait);
    section_begin(&w->mu); /* the fiber has let go of the lock, too */
    section_end(&w->mu);
}

void writer_free(struct volume_writer *w)
{
    if (!w)
        return;
    kt_assert(w->ended && list_empty(&w->queue));
    rt_file_close(w->idx_file);
    generation_unref(w->gen);
    pthread_mutex_destroy(&w->mu);
    mem_free(w->iov);
    mem_free(w);
}
