/* put: where a new needle goes.
 *
 * Happy path: one copy of the body into its image (append_new), a disk by free space, its open
 * volume of the needle's class, the volume's queue, and the wait for the flush.
 *
 * Failure modes. The volume was sealed meanwhile, got fenced, or its disk is full: the same image
 * is queued on another volume or disk, up to PUT_TRIES times within the deadline. No disk takes
 * writes: NO_SPACE when they are full, UNAVAILABLE when they failed. The queue is full: BUSY at
 * once, the client backs off. */
#include "store/store_priv.h"

#include "base/rand.h"

#define PUT_TRIES 8

uint32_t expiry_class_of(uint32_t expires_s, int64_t now_s)
{
    static const int64_t limit_s[] = {3600, 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600};
    if (expires_s == 0)
        return 0;
    uint32_t cls = 1;
    for (size_t i = 0; i < KT_ARRAY_LEN(limit_s) && expires_s - now_s > limit_s[i]; i++)
        cls++;
    return cls;
}

/* ---- choosing ---- */

/* A disk that takes writes, by free space above the reserve. NULL when there is none. */
static struct store_disk *choose_disk(struct store *s)
{
    uint64_t total = 0;
    for (int i = 0; i < s->ndisks; i++)
        if (disk_writable(s->disks[i].disk))
            total += disk_free_bytes(s->disks[i].disk) >> 10;
    if (total == 0)
        return NULL;
    uint64_t turn = atomic_fetch_add_explicit(&s->turn, 1, memory_order_relaxed);
    uint64_t point = s->ndisks == 1 ? 0 : rand_splitmix(&turn) % total;
    struct store_disk *last = NULL;
    for (int i = 0; i < s->ndisks; i++) {
        struct store_disk *sd = &s->disks[i];
        if (!disk_writable(sd->disk))
            continue;
        last = sd;
        uint64_t share = disk_free_bytes(sd->disk) >> 10;
        if (point < share)
            break;
        point -= share;
    }
    return last;
}

static int nowhere(const struct store *s)
{
    bool full = false;
    for (int i = 0; i < s->ndisks; i++)
        full = full || disk_state_of(s->disks[i].disk) != DISK_FAILED;
    if (full)
        return err_set(KT_ERR_NO_SPACE, "every disk is full: free some space, or add one");
    return err_set(KT_ERR_UNAVAILABLE, "no disk takes writes, see the status");
}

static uint32_t count_open(const struct store_disk *sd)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < EXPIRY_CLASSES; i++)
        n += atomic_load(&sd->open[i]) != NULL;
    return n;
}

/* Makes a new open volume. Under the disk's gate. */
static int open_new(struct store *s, struct store_disk *sd, uint32_t cls, int64_t deadline_ns,
                    struct volume **ret)
{
    struct disk_stat st;
    struct volume_new n = {.expiry_class = cls};
    disk_stat(sd->disk, &st);
    n.limit_bytes = st.limit_bytes;
    int rc = vids_next(s, sd, deadline_ns, &n.vid);
    if (rc == 0)
        rc = volume_create(sd->disk, &n, ret);
    if (rc == 0)
        rc = store_enter(s, *ret);
    if (rc == 0)
        atomic_store_explicit(&sd->open[cls], *ret, memory_order_release);
    return rc;
}

/* Where needles of expiry class `cls` go when no further volume may be opened: into an open volume
 * of another expiry class, a longer one first, so that it is still dropped whole one day; only when
 * there is none into the volume of what never expires. */
static uint32_t class_within_cap(const struct store *s, const struct store_disk *sd, uint32_t cls)
{
    if (cls == 0 || atomic_load_explicit(&sd->open[cls], memory_order_relaxed) ||
        count_open(sd) < s->opt.open_volumes_max)
        return cls;
    for (uint32_t longer = cls + 1; longer < EXPIRY_CLASSES; longer++)
        if (atomic_load(&sd->open[longer]))
            return longer;
    for (uint32_t shorter = cls - 1; shorter > 0; shorter--)
        if (atomic_load(&sd->open[shorter]))
            return shorter;
    return 0;
}

/* The open volume of a disk and class; `stale`, when it is still the one, has refused and is
 * replaced. */
static int open_volume(struct store *s, struct store_disk *sd, uint32_t cls, struct volume *stale,
                       int64_t deadline_ns, struct volume **ret)
{
    cls = class_within_cap(s, sd, cls);
    struct volume *v = atomic_load_explicit(&sd->open[cls], memory_order_acquire);
    if (v && v != stale) {
        *ret = v;
        return 0;
    }
    int rc = gate_enter(&sd->gate, deadline_ns);
    if (rc < 0)
        return rc;
    v = atomic_load(&sd->open[cls]);
    if (v && v != stale) {
        *ret = v;
    } else {
        atomic_store(&sd->open[cls], NULL);
        rc = open_new(s, sd, cls, deadline_ns, ret);
    }
    gate_leave(&sd->gate);
    return rc;
}

/* ---- one needle on its way ---- */

struct flight {
    struct append *append;
    struct volume *vol; /* where it is queued, or was refused last */
    uint32_t cls;
    int tries;
};

static bool elsewhere(int rc)
{
    return rc == -KT_ERR_AGAIN || rc == -KT_ERR_FENCED || rc == -KT_ERR_NO_SPACE ||
           rc == -KT_ERR_IO;
}

/* Queues it on some volume. */
static int flight_queue(struct store *s, struct flight *f, int64_t deadline_ns)
{
    int rc = 0;
    while (f->tries < PUT_TRIES) {
        if (rt_now_ns() > deadline_ns)
            return err_set(KT_ERR_TIMEOUT, "deadline passed before a volume took the write");
        struct store_disk *sd = choose_disk(s);
        if (!sd)
            return nowhere(s);
        struct volume *v;
        rc = open_volume(s, sd, f->cls, f->vol, deadline_ns, &v);
        if (rc == 0) {
            f->vol = v;
            rc = volume_append(v, f->append);
        }
        if (!elsewhere(rc))
            return rc;
        f->tries += rc != -KT_ERR_AGAIN; /* a volume that was sealed meanwhile is no failure */
        if (rc == -KT_ERR_NO_SPACE)
            disk_check_space(sd->disk);
        store_count(s, COUNT_RETRIES, 1);
    }
    return rc == -KT_ERR_NO_SPACE
               ? rc
               : err_set(KT_ERR_FENCED, "no volume took the write, see the status");
}

static int flight_start(struct store *s, const struct store_put *put, int64_t deadline_ns,
                        struct flight *f)
{
    struct append_data what = {.bucket = put->bucket,
                               .kind = put->kind,
                               .version = put->version,
                               .meta = put->meta,
                               .data = put->data,
                               .ndata = put->ndata};
    *f = (struct flight){.cls = expiry_class_of(put->expires_s, rt_wall_ns() / NS_PER_SEC)};
    rt_random(&what.cookie, sizeof(what.cookie));
    int rc = append_new(&what, &f->append);
    return rc < 0 ? rc : flight_queue(s, f, deadline_ns);
}

/* Waits for the flush; goes on elsewhere when the volume took no more. */
static int flight_finish(struct store *s, struct flight *f, int64_t deadline_ns,
                         struct store_put_result *ret)
{
    int rc = append_wait(f->append, deadline_ns, &ret->id);
    while (elsewhere(rc)) {
        store_count(s, COUNT_RETRIES, 1);
        f->tries += rc != -KT_ERR_AGAIN;
        rc = flight_queue(s, f, deadline_ns);
        if (rc < 0)
            return rc;
        rc = append_wait(f->append, deadline_ns, &ret->id);
    }
    if (rc == 0) {
        ret->data_crc = append_data_crc(f->append);
        store_count(s, COUNT_PUTS, 1);
        store_count(s, COUNT_PUT_BYTES, append_size(f->append));
    }
    return rc;
}

int put_one(void *self, const struct store_put *put, int64_t deadline_ns,
            struct store_put_result *ret)
{
    struct store *s = self;
    struct flight f;
    int rc = flight_start(s, put, deadline_ns, &f);
    if (rc == 0)
        rc = flight_finish(s, &f, deadline_ns, ret);
    append_unref(f.append);
    return rc;
}

/* A batch: flights [waited, started) are on their way. */
struct batch {
    struct store *s;
    struct flight *f;
    int64_t deadline_ns;
    struct store_put_result *rets;
    int *rcs;
    int waited, started;
};

/* Sends all that were turned away on, so that they share groups again. */
static void batch_resend(struct batch *b)
{
    for (int i = b->waited; i < b->started; i++) {
        int rc;
        if (b->rcs[i] < 0 || !append_done(b->f[i].append, &rc) || !elsewhere(rc))
            continue;
        store_count(b->s, COUNT_RETRIES, 1);
        rc = flight_queue(b->s, &b->f[i], b->deadline_ns);
        if (rc == -KT_ERR_BUSY)
            return; /* its own turn will come */
        b->rcs[i] = rc;
    }
}

/* Lands the oldest. */
static void batch_land(struct batch *b)
{
    int i = b->waited, rc;
    struct flight *f = &b->f[i];
    if (b->rcs[i] == 0 && append_done(f->append, &rc) && elsewhere(rc))
        batch_resend(b);
    if (b->rcs[i] == 0)
        b->rcs[i] = flight_finish(b->s, f, b->deadline_ns, &b->rets[i]);
    append_unref(TAKE(f->append));
    b->waited++;
}

int put_many(void *self, const struct store_put *puts, int n, int64_t deadline_ns,
             struct store_put_result *rets, int *rcs)
{
    struct batch b = {.s = self, .deadline_ns = deadline_ns, .rets = rets, .rcs = rcs};
    if (n <= 0)
        return 0;
    b.f = mem_try_alloc((size_t)n * sizeof(*b.f));
    if (!b.f)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a batch of %d", n);
    for (int i = 0; i < n; i++) {
        rcs[i] = flight_start(b.s, &puts[i], deadline_ns, &b.f[i]);
        /* The queue is full of our own: let the oldest land first. */
        while (rcs[i] == -KT_ERR_BUSY && b.f[i].append && b.waited < i) {
            batch_land(&b);
            rcs[i] = flight_queue(b.s, &b.f[i], deadline_ns);
        }
        b.started = i + 1;
    }
    while (b.waited < n)
        batch_land(&b);
    int first = 0;
    for (int i = 0; i < n && first == 0; i++)
        first = rcs[i];
    mem_free(b.f);
    return first;
}
