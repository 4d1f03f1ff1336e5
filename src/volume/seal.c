/* seal: the end of a volume's growth, and the index of sealed volumes.
 *
 * Happy path. seal_volume writes the state slot SEALED(length), syncs it, builds the compact index,
 * writes it to VID.idx, and swaps the generation: a read-only descriptor with the compact index.
 * Later processes load VID.idx at first use (volume_need_index), one fiber at a time.
 *
 * Failure modes. The state slot can't be written: the caller fences. Anything after it is only a
 * cache: without memory or space for the compact index the volume keeps its open one, and without a
 * valid VID.idx the log's headers are read again. Rot found there makes the volume DAMAGED: it
 * serves what comes before it.
 */
#include "volume/volume_priv.h"

#include "volume/scan.h"
#include <inttypes.h>

#define INDEX_FILE_MAX (UINT64_C(2) << 30)

/* ---- swapping generations ---- */

struct index_pair {
    const struct index *from;
    struct index *to;
};

static int copy_dead(void *arg)
{
    const struct index_pair *p = arg;
    index_copy_dead(p->from, p->to);
    return 0;
}

int volume_swap_generation(struct volume *v, int file, struct index *ix,
                           const struct state_slot *slot)
{
    struct generation *g =
        generation_new(file, &v->super, slot->generation, slot->sealed_length, ix);
    struct generation *old = volume_generation(v);
    const struct index *before = old ? generation_index(old) : NULL;
    if (!before) {
        generation_unref(g);
        generation_unref(old);
        return err_set(KT_ERR_CONFLICT, "volume %08x has no index to carry over", v->vid);
    }
    section_begin(&v->mu);
    v->next_index = ix;
    section_end(&v->mu);
    int rc = volume_compute(copy_dead, &(struct index_pair){before, ix});
    kt_assert(rc == 0);
    section_begin(&v->mu);
    v->next_index = NULL;
    if (v->slot.generation != slot->generation)
        v->slot_index = 0;
    v->slot = *slot;
    generation_unref(v->gen);
    v->gen = g;
    section_end(&v->mu);
    generation_unref(old);
    return 0;
}

/* ---- VID.idx of a sealed volume ---- */

struct sealing {
    const struct index *open;
    struct index_head head;
    struct index *ix; /* result */
    uint8_t bytes[INDEX_HEAD];
};

static int seal_index(void *arg)
{
    struct sealing *s = arg;
    int rc = index_seal(s->open, &s->ix);
    if (rc < 0)
        return rc;
    struct slice body = index_body(s->ix, &s->head.count, &s->head.exceptions);
    index_sealed_encode(&s->head, body.p, s->bytes);
    return 0;
}

/* The sealed form of `open`, off the loop, and its file. A failure to write is none: a cache. */
static int make_sealed(struct volume *v, const struct index *open, uint32_t generation,
                       uint64_t length, struct index **ret)
{
    char name[VOLUME_NAME_MAX];
    struct sealing s = {.open = open,
                        .head = {.vid = v->vid, .generation = generation, .log_end = length}};
    memcpy(s.head.uuid, v->super.uuid, UUID_BYTES);
    int rc = volume_compute(seal_index, &s);
    if (rc < 0)
        return rc;
    struct slice body = index_body(s.ix, &s.head.count, &s.head.exceptions);
    struct iovec iov[2] = {{.iov_base = s.bytes, .iov_len = sizeof(s.bytes)},
                           {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.len}};
    volume_file_name(v->vid, "idx", name);
    if (volume_state_of(v) != VOLUME_DAMAGED)
        best_effort(disk_put_file(v->disk, name, iov, body.len ? 2 : 1));
    *ret = s.ix;
    return 0;
}

int seal_volume(struct volume *v, uint64_t length)
{
    char name[VOLUME_NAME_MAX];
    struct state_slot next;
    struct generation *g = volume_generation(v);
    volume_slot(v, &next);
    next.state = VOLUME_SEALED;
    next.sealed_length = length;
    int rc = volume_write_slot(v, g->file, &next);
    if (rc < 0) {
        generation_unref(g);
        return rc;
    }
    struct rt_stat st;
    if (rt_file_stat(g->file, &st) == 0 && st.size > length)
        best_effort(rt_file_truncate(g->file, length)); /* zeros written ahead */
    struct index *ix = NULL;
    volume_file_name(v->vid, "vol", name);
    int file = rt_file_open(v->disk->dir, name, RT_O_READ, 0);
    if (file >= 0 && make_sealed(v, generation_index(g), next.generation, length, &ix) == 0) {
        best_effort(rt_file_advise(file, 0, 0, RT_ADVISE_RANDOM));
        rc = volume_swap_generation(v, file, ix, &next);
        kt_assert(rc == 0);
    } else {
        rt_file_close(file);
    }
    /* Only now: whoever sees SEALED may compact, and must find the generation that it will replace.
     */
    atomic_store(&v->state, VOLUME_SEALED);
    generation_unref(g);
    return 0;
}

/* ---- loading ---- */

struct loading {
    struct index_head expect;
    uint8_t *bytes;
    size_t len;
    struct index *ix; /* result */
};

static int decode_index(void *arg)
{
    struct loading *l = arg;
    struct index_head h;
    int rc = index_sealed_decode(slice_of(l->bytes, l->len), &l->expect, &h);
    if (rc < 0)
        return rc;
    return index_new_sealed(&h, slice_of(l->bytes + INDEX_HEAD, l->len - INDEX_HEAD), &l->ix);
}

static int load_file(struct volume *v, const struct generation *g, struct index **ret)
{
    char name[VOLUME_NAME_MAX];
    struct loading l = {.expect = {.vid = v->vid,
                                   .generation = g->place.generation,
                                   .log_end = generation_length(g)}};
    memcpy(l.expect.uuid, g->place.uuid, UUID_BYTES);
    volume_file_name(v->vid, "idx", name);
    int rc = disk_get_file(v->disk, name, INDEX_FILE_MAX, &l.bytes, &l.len);
    if (rc < 0)
        return rc;
    rc = volume_compute(decode_index, &l);
    mem_free(l.bytes);
    if (rc == 0)
        *ret = l.ix;
    return rc;
}

/* Reads all headers of the log into an open index. *ret_rot: where the log is broken, or 0. */
static int replay_headers(struct volume *v, const struct generation *g, struct index *ix,
                          uint64_t *ret_rot)
{
    struct scanner s;
    struct needle_info n;
    seq_t next = 0;
    *ret_rot = 0;
    int rc = scan_open(&s, g->file, &g->place, VOLUME_LOG_START, generation_length(g), 0);
    while (rc >= 0 && (rc = scan_next(&s, &n, NULL)) > 0) {
        if (n.kind == NEEDLE_MARK)
            continue;
        if (n.seq < next) {
            rc = err_set(KT_ERR_CORRUPT, "volume %08x: needles out of order", v->vid);
            s.at = n.offset;
            break;
        }
        rc = index_add(ix, n.seq, n.offset, s.at - n.offset);
        if (rc < 0)
            break;
        next = n.seq + 1;
    }
    if (rc == -KT_ERR_CORRUPT) {
        *ret_rot = s.at;
        rc = 0;
    }
    index_publish(ix, next);
    scan_done(&s);
    return rc;
}

static int rebuild(struct volume *v, const struct generation *g, struct index **ret)
{
    struct index *open = NULL;
    uint64_t rot;
    int rc = index_new_open(v->super.limit_bytes, &open);
    if (rc == 0)
        rc = replay_headers(v, g, open, &rot);
    if (rc == 0 && rot != 0) {
        volume_set_reason(v, "damage at offset %" PRIu64 ": serves only what comes before it", rot);
        atomic_store(&v->state, VOLUME_DAMAGED);
        *ret = open;
        return 0;
    }
    if (rc == 0)
        rc = make_sealed(v, open, g->place.generation, generation_length(g), ret);
    index_free(open);
    return rc;
}

/* Under load_gate. */
static int load_index(struct volume *v, struct generation *g)
{
    struct index *ix = NULL;
    int rc = load_file(v, g, &ix);
    if (rc == -KT_ERR_DENIED || rc == -KT_ERR_NO_MEMORY)
        return rc;
    if (rc < 0)
        rc = rebuild(v, g, &ix);
    for (bool done = false; rc == 0 && !done;) {
        section_begin(&v->mu);
        uint64_t changes = v->dead_changes;
        section_end(&v->mu);
        rc = dead_apply_to_index(v, ix);
        if (rc < 0)
            break;
        section_begin(&v->mu);
        done = v->dead_changes == changes;
        if (done)
            atomic_store_explicit(&g->index, ix, memory_order_release);
        section_end(&v->mu);
    }
    if (rc < 0)
        index_free(ix);
    return rc;
}

int volume_need_index(struct volume *v, int64_t deadline_ns)
{
    int rc = gate_enter(&v->load_gate, deadline_ns);
    if (rc < 0)
        return rc;
    struct generation *g = volume_generation(v);
    if (!g)
        rc = -KT_ERR_NOT_HERE;
    else if (!generation_index(g))
        rc = load_index(v, g);
    generation_unref(g);
    gate_leave(&v->load_gate);
    if (rc == -KT_ERR_CORRUPT) {
        volume_set_reason(v, "%s", err_text(rc));
        atomic_store(&v->state, VOLUME_REFUSED);
        return err_set(KT_ERR_NOT_HERE,
                       "the dead marks of volume %08x are damaged: run kitten fsck", v->vid);
    }
    return rc;
}

/* ---- expiry as a whole ---- */

int volume_drop(struct volume *v)
{
    static const char *const ext[] = {"vol", "idx", "dead", "job"} /* the truth goes first */;
    char name[VOLUME_NAME_MAX];
    if (volume_state_of(v) != VOLUME_SEALED)
        return err_set(KT_ERR_CONFLICT, "volume %08x is not sealed", v->vid);
    atomic_store(&v->state, VOLUME_DROPPED);
    section_begin(&v->mu);
    struct generation *g = TAKE(v->gen);
    dead_tail_done(&v->tail);
    v->dead_changes++;
    section_end(&v->mu);
    generation_unref(g);
    int rc = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(ext); i++) {
        volume_file_name(v->vid, ext[i], name);
        int one = rt_file_unlink(v->disk->dir, name);
        if (one < 0 && one != -KT_ERR_NOT_FOUND)
            rc = one;
    }
    return rc < 0 ? rc : disk_sync_dir(v->disk);
}
