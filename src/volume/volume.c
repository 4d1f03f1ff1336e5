/* volume: birth, opening, state and generations of one volume.
 *
 * Happy path. volume_create writes superblock, state slot A and zeros for slot B to VID.vol.tmp,
 * syncs it, renames it, syncs the directory, and starts the writer. volume_open reads the same 12
 * KiB, picks the newer slot, and goes by its state: an open log is recovered, a sealed one only
 * opened (its index is loaded at first use).
 *
 * Failure modes. A head that can't be read, of another cell or of an unknown format makes the
 * volume REFUSED: it is listed with its reason and serves nothing, and the disk's other volumes are
 * unaffected. A state slot that can't be written fails the disk.
 */
#include "volume/volume_priv.h"

#include "base/fault.h"
#include <inttypes.h>
#include <stdio.h>

#define VOLUME_MAGIC 0x4b564f4cu
#define GENERATION_MAGIC 0x4b47454eu
#define VOLUME_EPOCH_FIRST 1u

const char *volume_state_name(uint8_t state)
{
    switch (state) {
    case VOLUME_OPEN:
        return "open";
    case VOLUME_SEALED:
        return "sealed";
    case VOLUME_FENCED:
        return "fenced";
    case VOLUME_DAMAGED:
        return "damaged";
    case VOLUME_REFUSED:
        return "refused";
    case VOLUME_DROPPED:
        return "dropped";
    default:
        return "unknown";
    }
}

void volume_file_name(vid_t vid, const char *ext, char out[VOLUME_NAME_MAX])
{
    snprintf(out, VOLUME_NAME_MAX, "%08x.%s", vid, ext);
}

/* ---- generations ---- */

struct generation *generation_new(int file, const struct superblock *sb, uint32_t number,
                                  uint64_t length, struct index *ix)
{
    struct generation *g = mem_zalloc(sizeof(*g));
    g->magic = GENERATION_MAGIC;
    atomic_init(&g->refs, 1);
    g->file = file;
    superblock_place(sb, number, &g->place);
    atomic_init(&g->length, length);
    atomic_init(&g->index, ix);
    return g;
}

void generation_unref(struct generation *g)
{
    if (!g)
        return;
    kt_assert(g->magic == GENERATION_MAGIC);
    if (atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
        return;
    rt_file_close(g->file);
    index_free(atomic_load(&g->index));
    g->magic = 0;
    mem_free(g);
}

struct generation *volume_generation(struct volume *v)
{
    section_begin(&v->mu);
    struct generation *g = v->gen;
    if (g)
        atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    section_end(&v->mu);
    return g;
}

int generation_file(const struct generation *g)
{
    return g->file;
}

const struct needle_place *generation_place(const struct generation *g)
{
    return &g->place;
}

uint64_t generation_length(const struct generation *g)
{
    return atomic_load_explicit(&g->length, memory_order_acquire);
}

struct index *generation_index(const struct generation *g)
{
    return atomic_load_explicit(&g->index, memory_order_acquire);
}

/* ---- facts ---- */

vid_t volume_vid(const struct volume *v)
{
    return v->vid;
}

uint8_t volume_state_of(const struct volume *v)
{
    return atomic_load_explicit(&v->state, memory_order_acquire);
}

struct disk *volume_disk(const struct volume *v)
{
    return v->disk;
}

const struct superblock *volume_superblock(const struct volume *v)
{
    return &v->super;
}

void volume_slot(struct volume *v, struct state_slot *ret)
{
    section_begin(&v->mu);
    *ret = v->slot;
    section_end(&v->mu);
}

void volume_set_reason(struct volume *v, const char *fmt, ...)
{
    char text[sizeof(v->reason)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    section_begin(&v->mu);
    memcpy(v->reason, text, sizeof(text));
    section_end(&v->mu);
}

void volume_note_damage(struct volume *v, const char *reason)
{
    volume_set_reason(v, "%s", reason);
}

static void stat_index(const struct index *ix, struct volume_stat *ret)
{
    struct index_totals t;
    index_totals(ix, &t);
    ret->needles = t.needles;
    ret->dead = KT_MIN(t.dead, t.needles);
    ret->dead_bytes = KT_MIN(t.dead_bytes, t.bytes);
    ret->live_bytes = t.bytes - ret->dead_bytes;
}

void volume_stat(struct volume *v, struct volume_stat *ret)
{
    *ret = (struct volume_stat){
        .vid = v->vid,
        .state = volume_state_of(v),
        .policy = v->super.policy,
        .expiry_class = v->super.expiry_class,
        .limit_bytes = v->super.limit_bytes,
        .groups = atomic_load_explicit(&v->groups, memory_order_relaxed),
        .group_needles = atomic_load_explicit(&v->group_needles, memory_order_relaxed),
    };
    section_begin(&v->mu);
    ret->epoch = v->slot.epoch;
    ret->generation = v->slot.generation;
    memcpy(ret->reason, v->reason, sizeof(ret->reason));
    section_end(&v->mu);
    struct generation *g = volume_generation(v);
    if (g) {
        const struct index *ix = generation_index(g);
        ret->length = generation_length(g);
        ret->index_loaded = ix != NULL;
        ret->index_bytes = ix ? index_memory(ix) : 0;
        if (ix)
            stat_index(ix, ret);
        generation_unref(g);
    }
}

bool volume_note_logged(struct volume *v)
{
    uint8_t state = volume_state_of(v);
    return atomic_exchange(&v->logged_state, state) != state;
}

int volume_compute(int (*fn)(void *arg), void *arg)
{
    int rc = rt_offload(fn, arg);
    return rc == -KT_ERR_LIMIT ? fn(arg) : rc;
}

/* ---- state slots ---- */

int volume_write_slot(struct volume *v, int file, struct state_slot *next)
{
    uint8_t *block = mem_zalloc(BLOCK_SIZE);
    section_begin(&v->mu);
    int index = 1 - v->slot_index;
    next->counter = v->slot.counter + 1;
    section_end(&v->mu);
    next->changed_ms = (uint64_t)(rt_wall_ns() / NS_PER_MS);
    slot_encode(next, block);
    struct iovec iov = {.iov_base = block, .iov_len = BLOCK_SIZE};
    int rc = rt_file_pwritev_sync(file, &iov, 1, slot_offset(index), true);
    mem_free(block);
    if (rc < 0)
        return err_wrap(rc, "state slot of volume %08x", v->vid);
    section_begin(&v->mu);
    v->slot = *next;
    v->slot_index = index;
    section_end(&v->mu);
    return 0;
}

/* ---- birth ---- */

static struct volume *volume_new(struct disk *d, vid_t vid)
{
    struct volume *v = mem_zalloc(sizeof(*v));
    v->magic = VOLUME_MAGIC;
    v->vid = vid;
    v->disk = d;
    atomic_init(&v->state, VOLUME_REFUSED);
    pthread_mutex_init(&v->mu, NULL);
    gate_init(&v->load_gate);
    return v;
}

void volume_free(struct volume *v)
{
    if (!v)
        return;
    kt_assert(v->magic == VOLUME_MAGIC);
    writer_free(v->writer);
    generation_unref(v->gen);
    dead_tail_done(&v->tail);
    gate_done(&v->load_gate);
    pthread_mutex_destroy(&v->mu);
    v->magic = 0;
    mem_free(v);
}

void volume_stop(struct volume *v)
{
    writer_stop(v);
}

/* Superblock and first state slot of a volume that is about to be born. */
static void head_encode(struct volume *v, const struct volume_new *n, uint8_t *head)
{
    uint64_t now_ms = (uint64_t)(rt_wall_ns() / NS_PER_MS);
    v->super = (struct superblock){
        .vid = n->vid,
        .policy = n->policy,
        .expiry_class = n->expiry_class,
        .limit_bytes = n->limit_bytes,
        .created_ms = now_ms,
    };
    memcpy(v->super.cell, v->disk->label.cell, UUID_BYTES);
    rt_random(v->super.uuid, UUID_BYTES);
    rt_random(&v->super.secret, sizeof(v->super.secret));
    v->slot = (struct state_slot){
        .counter = 1,
        .vid = n->vid,
        .epoch = VOLUME_EPOCH_FIRST,
        .state = VOLUME_OPEN,
        .nreplicas = 1,
        .nhistory = 1,
        .changed_ms = now_ms,
        .history = {{.epoch = VOLUME_EPOCH_FIRST, .start = VOLUME_LOG_START}},
    };
    memcpy(v->slot.uuid, v->super.uuid, UUID_BYTES);
    memcpy(v->slot.replicas[0], v->disk->label.store, UUID_BYTES);
    superblock_encode(&v->super, head);
    slot_encode(&v->slot, head + VOLUME_SLOT_A);
}

static int write_head(struct volume *v, const struct volume_new *n)
{
    char name[VOLUME_NAME_MAX];
    uint8_t *head = mem_zalloc(VOLUME_LOG_START);
    head_encode(v, n, head);
    volume_file_name(n->vid, "vol", name);
    struct iovec iov = {.iov_base = head, .iov_len = VOLUME_LOG_START};
    int rc = disk_put_file(v->disk, name, &iov, 1);
    mem_free(head);
    return rc;
}

int volume_create(struct disk *d, const struct volume_new *n, struct volume **ret)
{
    char name[VOLUME_NAME_MAX];
    struct index *ix = NULL;
    struct volume *v = volume_new(d, n->vid);
    int file = -1;
    int rc = write_head(v, n);
    if (rc == 0)
        rc = index_new_open(n->limit_bytes, &ix);
    volume_file_name(n->vid, "vol", name);
    if (rc == 0)
        rc = file = rt_file_open(d->dir, name, RT_O_READ | RT_O_WRITE, 0);
    if (rc < 0) {
        if (rc == -KT_ERR_NO_SPACE)
            disk_note_full(d);
        else if (rc == -KT_ERR_IO)
            disk_note_volume_fault(d, n->vid);
        index_free(ix);
        volume_free(v);
        return err_wrap(rc, "create volume %08x", n->vid);
    }
    best_effort(rt_file_advise(file, 0, 0, RT_ADVISE_RANDOM));
    v->gen = generation_new(file, &v->super, 0, VOLUME_LOG_START, ix);
    atomic_store(&v->state, VOLUME_OPEN);
    rc = writer_start(v, 0, 0, 0, true);
    if (rc == 0)
        rc = disk_add_volume(d, v);
    if (rc < 0) {
        volume_stop(v);
        volume_free(v);
        return rc;
    }
    *ret = v;
    return 0;
}

/* ---- opening ---- */

/* Verifies what is written at the start of VID.vol. Errors: CORRUPT, FORMAT, CONFLICT; 1: read
 * only. */
static int check_head(struct volume *v, const uint8_t *head)
{
    unsigned bad = 0;
    int rc = superblock_decode(slice_of(head, BLOCK_SIZE), &v->super);
    if (rc < 0)
        return rc;
    if (v->super.vid != v->vid)
        return err_set(KT_ERR_CORRUPT, "the file holds volume %08x", v->super.vid);
    if (memcmp(v->super.cell, v->disk->label.cell, UUID_BYTES) != 0)
        return err_set(KT_ERR_CONFLICT, "it belongs to another cell: move the file back there");
    int read_only = feature_check(&v->super.features, &volume_features_known, "volume");
    if (read_only < 0)
        return read_only;
    rc = slot_choose(slice_of(head + VOLUME_SLOT_A, BLOCK_SIZE),
                     slice_of(head + VOLUME_SLOT_B, BLOCK_SIZE), &v->super, &v->slot, &bad);
    if (rc < 0)
        return rc;
    v->slot_index = rc;
    return read_only;
}

/* Errors: CORRUPT and the like (the volume is to be refused), IO, NO_MEMORY. */
static int read_head(struct volume *v, int file)
{
    uint8_t *head = mem_alloc(VOLUME_LOG_START);
    int rc = rt_file_pread(file, head, VOLUME_LOG_START, 0);
    if (rc == 0)
        rc = check_head(v, head);
    mem_free(head);
    return rc;
}

/* A sealed log: only its length is checked now. */
static int open_sealed(struct volume *v, int file, uint64_t file_size)
{
    uint64_t length = v->slot.sealed_length;
    if (file_size < length) {
        volume_set_reason(v, "file has %" PRIu64 " of %" PRIu64 " bytes", file_size, length);
        atomic_store(&v->state, VOLUME_DAMAGED);
        length = file_size / NEEDLE_ALIGN * NEEDLE_ALIGN;
    } else {
        atomic_store(&v->state, VOLUME_SEALED);
    }
    best_effort(rt_file_advise(file, 0, 0, RT_ADVISE_RANDOM));
    v->gen = generation_new(file, &v->super, v->slot.generation, length, NULL);
    return 0;
}

static int open_by_state(struct volume *v, int file, bool read_only)
{
    struct rt_stat st;
    int rc = rt_file_stat(file, &st);
    if (rc < 0) {
        rt_file_close(file);
        return rc;
    }
    (void)snprintf(v->reason, sizeof(v->reason), "%.95s", v->slot.reason);
    if (v->slot.state == VOLUME_SEALED)
        return open_sealed(v, file, st.size);
    if (v->slot.state == VOLUME_OPEN && !read_only)
        return recover_open(v, file, st.size);
    if (read_only)
        volume_set_reason(v, "written by a newer version with features that allow reading only");
    return recover_read_only(v, file, st.size);
}

int volume_open(struct disk *d, vid_t vid, struct volume **ret)
{
    char name[VOLUME_NAME_MAX];
    struct volume *v = volume_new(d, vid);
    volume_file_name(vid, "vol", name);
    int file = rt_file_open(d->dir, name, RT_O_READ | RT_O_WRITE, 0);
    int rc = file < 0 ? file : read_head(v, file);
    if (rc < 0)
        rt_file_close(file);
    else
        rc = open_by_state(v, file, rc == 1);
    if (rc == -KT_ERR_NO_MEMORY || rc == -KT_ERR_LIMIT || rc == -KT_ERR_DENIED) {
        volume_free(v);
        return err_wrap(rc, "volume %08x", vid);
    }
    if (rc < 0) {
        volume_set_reason(v, "%s", err_text(rc));
        if (!v->gen)
            atomic_store(&v->state, VOLUME_REFUSED);
        if (rc == -KT_ERR_IO)
            disk_note_volume_fault(d, vid);
    }
    *ret = v;
    return 0;
}
