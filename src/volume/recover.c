/* recover: what an open log is worth after a stop of any kind.
 *
 * Happy path (recover_open).
 *  1. fdatasync: whatever a dead process left in the page cache is on disk, or known not to be.
 *  2. VID.idx's records give the index of what they cover; headers are replayed from there to the
 * end.
 *  3. The highest `durable` seen is the mark: below it everything was synced and acknowledged.
 *  4. Every needle at or above the mark is verified whole, by reads that bypass the page cache.
 *  5. The log is cut at the first invalid group above the mark, the cut is synced, the writer
 * starts.
 *
 * Failure modes.
 *  - The fdatasync fails: nothing is cut, and what lies below the mark is served, the rest is
 * NOT_HERE (DAMAGED until a start whose sync succeeds).
 *  - An invalid needle below the mark, or one above it that a later valid needle knows to be
 * synced: rot. The volume is DAMAGED: it serves what is indexed, and nothing is ever cut.
 *  - A needle above the mark is torn: the group it belongs to was never acknowledged and goes, with
 * all behind it (one flush is in flight at a time, so that is at most this group).
 *  - A read fails: REFUSED for now; a fault of the disk is no verdict about the log.
 */
#include "volume/volume_priv.h"

#include "base/fault.h"
#include "volume/scan.h"
#include <inttypes.h>

struct recovery {
    struct volume *v;
    int file;
    uint64_t size; /* of the file */
    struct needle_place place;
    struct index *ix;
    seq_t next_seq;
    uint64_t end;       /* behind the last valid header */
    uint64_t mark;      /* highest `durable` known */
    uint64_t idx_at;    /* valid bytes of VID.idx */
    uint32_t idx_chunk; /* and chunks in them */
    bool last_is_mark;
    bool rot;
};

/* ---- step 2: index records, then headers ---- */

static int load_records(struct recovery *r, int file, uint64_t file_size)
{
    size_t full = index_open_size(INDEX_CHUNK);
    uint8_t *in = mem_alloc(full);
    int rc = 0;
    while (rc == 0 && r->idx_at + full <= file_size) {
        struct index_head expect = {.vid = r->v->vid,
                                    .generation = r->place.generation,
                                    .first_seq = r->next_seq,
                                    .log_end = r->size},
                          h;
        memcpy(expect.uuid, r->place.uuid, UUID_BYTES);
        if (rt_file_pread(file, in, full, r->idx_at) < 0 ||
            index_open_decode(slice_of(in, full), &expect, &h) < 0 || h.count != INDEX_CHUNK)
            break; /* a cache: what isn't valid is replayed from the log */
        rc = index_add_entries(r->ix, h.first_seq, in + INDEX_HEAD, h.count);
        r->next_seq = h.first_seq + h.count;
        r->end = r->mark = h.log_end;
        r->idx_at += full;
        r->idx_chunk++;
    }
    mem_free(in);
    return rc;
}

static int load_idx(struct recovery *r)
{
    char name[VOLUME_NAME_MAX];
    struct rt_stat st;
    volume_file_name(r->v->vid, "idx", name);
    int file = rt_file_open(r->v->disk->dir, name, RT_O_READ, 0);
    if (file == -KT_ERR_DENIED)
        return file;
    int rc = 0;
    if (file >= 0 && rt_file_stat(file, &st) == 0)
        rc = load_records(r, file, st.size);
    rt_file_close(file);
    return rc;
}

/* Whether a needle fits where it was found. */
static bool in_order(const struct recovery *r, const struct needle_info *n, uint32_t epoch)
{
    return n->seq == r->next_seq && n->epoch >= epoch;
}

/* Replays headers from r->end on. Leaves r->end behind the last good one. Errors: IO, NO_MEMORY. */
static int replay(struct recovery *r, uint64_t to)
{
    struct scanner s;
    struct needle_info n;
    uint32_t epoch = 0;
    int rc = scan_open(&s, r->file, &r->place, r->end, to, 0);
    while (rc >= 0 && (rc = scan_next(&s, &n, NULL)) > 0) {
        if (!in_order(r, &n, epoch)) {
            rc = err_set(KT_ERR_CORRUPT, "needle %x at offset %" PRIu64 ", expected %x", n.seq,
                         n.offset, r->next_seq);
            break;
        }
        epoch = n.epoch;
        r->mark = KT_MAX(r->mark, n.durable);
        r->end = s.at;
        r->last_is_mark = n.kind == NEEDLE_MARK;
        if (r->last_is_mark)
            continue;
        rc = index_add(r->ix, r->next_seq, n.offset, s.at - n.offset);
        if (rc < 0)
            break;
        r->next_seq++;
    }
    if (rc == -KT_ERR_CORRUPT) {
        /* Does anything behind the break know that what is broken was synced? */
        s.at = r->end;
        while ((rc = scan_blind(&s, &n)) > 0) {
            if (n.durable > r->end && n.durable <= n.offset) {
                r->rot = true;
                break;
            }
        }
    }
    r->rot = r->rot || r->mark > r->end;
    scan_done(&s);
    return rc < 0 ? rc : 0;
}

/* ---- step 4: the last group, from the medium ---- */

/* A descriptor that reads from the medium, or a plain one where the file system knows no other way.
 */
static int open_direct(struct recovery *r, unsigned *ret_flags)
{
    char name[VOLUME_NAME_MAX];
    volume_file_name(r->v->vid, "vol", name);
    *ret_flags = SCAN_VERIFY;
    if (!BUG(TRUST_PAGE_CACHE)) {
        int file = rt_file_open(r->v->disk->dir, name, RT_O_READ | RT_O_DIRECT, 0);
        if (file >= 0) {
            *ret_flags |= SCAN_DIRECT;
            return file;
        }
        best_effort(rt_file_advise(r->file, 0, 0, RT_ADVISE_DONTNEED));
    }
    return rt_file_open(r->v->disk->dir, name, RT_O_READ, 0);
}

/* Verifies [mark, end) whole. *ret_cut is where the first invalid group starts, or end. */
static int validate_tail(struct recovery *r, uint64_t *ret_cut)
{
    struct scanner s;
    struct needle_info n;
    unsigned flags;
    *ret_cut = r->end;
    if (r->mark >= r->end)
        return 0;
    int file = open_direct(r, &flags);
    if (file < 0)
        return file;
    uint64_t group = r->mark;
    int rc = scan_open(&s, file, &r->place, r->mark, r->end, flags);
    while (rc >= 0 && (rc = scan_next(&s, &n, NULL)) > 0) {
        if (n.flags & NEEDLE_F_FIRST)
            group = n.offset;
    }
    if (rc == -KT_ERR_CORRUPT) {
        *ret_cut = group;
        rc = 0;
    }
    scan_done(&s);
    rt_file_close(file);
    return rc < 0 ? rc : 0;
}

/* Forgets what lies at or above `cut`. */
static int forget_from(struct recovery *r, uint64_t cut)
{
    if (cut >= r->end)
        return 0;
    index_free(r->ix);
    r->ix = NULL;
    int rc = index_new_open(r->v->super.limit_bytes, &r->ix);
    r->next_seq = 0;
    r->idx_at = 0;
    r->idx_chunk = 0;
    r->end = VOLUME_LOG_START;
    r->last_is_mark = false;
    if (rc == 0)
        rc = load_idx(r);
    kt_assert(rc < 0 || r->end <= cut);
    return rc < 0 ? rc : replay(r, cut);
}

/* ---- the whole ---- */

static int walk(struct recovery *r, uint64_t to)
{
    superblock_place(&r->v->super, r->v->slot.generation, &r->place);
    r->end = r->mark = VOLUME_LOG_START;
    int rc = index_new_open(r->v->super.limit_bytes, &r->ix);
    if (rc == 0)
        rc = load_idx(r);
    if (rc == 0 && r->end <= to)
        rc = replay(r, to);
    return rc;
}

/* Hands the index over to the volume's first generation. */
static void adopt(struct recovery *r, uint8_t state)
{
    struct volume *v = r->v;
    index_publish(r->ix, r->next_seq); /* counted once the dead marks are known */
    best_effort(rt_file_advise(r->file, 0, 0, RT_ADVISE_RANDOM));
    v->gen = generation_new(r->file, &v->super, v->slot.generation, r->end, r->ix);
    r->ix = NULL;
    r->file = -1;
    atomic_store(&v->state, state);
}

static int cut_and_adopt(struct recovery *r)
{
    uint64_t cut;
    int rc = validate_tail(r, &cut);
    if (rc == 0)
        rc = forget_from(r, cut);
    if (rc < 0)
        return rc;
    if (r->size > r->end) {
        rc = rt_file_truncate(r->file, r->end);
        if (rc == 0)
            rc = rt_file_datasync(r->file);
        if (rc < 0) {
            volume_set_reason(r->v, "the torn tail can't be cut: %s", err_text(rc));
            disk_note_volume_fault(r->v->disk, r->v->vid);
            adopt(r, VOLUME_FENCED);
            return 0;
        }
    }
    seq_t next_seq = r->next_seq;
    adopt(r, VOLUME_OPEN);
    return writer_start(r->v, next_seq, r->idx_at, r->idx_chunk, r->last_is_mark || next_seq == 0);
}

int recover_open(struct volume *v, int file, uint64_t file_size)
{
    struct recovery r = {.v = v, .file = file, .size = file_size};
    int sync_rc = rt_file_datasync(file);
    if (sync_rc < 0) {
        volume_set_reason(v, "the sync at start failed: %s", err_text(sync_rc));
        disk_note_volume_fault(v->disk, v->vid);
    }
    int rc = walk(&r, file_size);
    if (rc == 0 && sync_rc < 0) {
        /* Nothing above the mark may be shown: it may be in the page cache only, and gone tomorrow.
         */
        rc = forget_from(&r, r.mark);
        if (rc == 0)
            adopt(&r, VOLUME_DAMAGED);
    } else if (rc == 0 && r.rot) {
        volume_set_reason(
            v, "damage at offset %" PRIu64 " below the synced end: restore or salvage", r.end);
        adopt(&r, VOLUME_DAMAGED);
    } else if (rc == 0) {
        rc = cut_and_adopt(&r);
    }
    index_free(r.ix);
    rt_file_close(r.file);
    return rc;
}

int recover_read_only(struct volume *v, int file, uint64_t file_size)
{
    struct recovery r = {.v = v, .file = file, .size = file_size};
    uint64_t to = v->slot.state == VOLUME_FENCED && v->slot.sealed_length >= VOLUME_LOG_START
                      ? KT_MIN(v->slot.sealed_length, file_size)
                      : file_size;
    int rc = walk(&r, to);
    if (rc == 0) {
        bool rot = r.rot || (v->slot.state == VOLUME_FENCED && r.end < to);
        adopt(&r, rot ? VOLUME_DAMAGED : VOLUME_FENCED);
    }
    index_free(r.ix);
    rt_file_close(r.file);
    return rc;
}
