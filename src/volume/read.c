/* read: how a needle gets out of a volume, one disk read for a small one.
 *
 * Happy path. A reference to the generation, the index entry, one pread into a pooled buffer of the
 * loop, one pass of verification, and the data is handed out from that buffer. A needle above
 * SMALL_MAX is read head first (header, meta, block table), then in blocks of 64 KiB, each verified
 * before it is handed out.
 *
 * Failure modes. An absent seq, a dead mark and another cookie are all NOT_FOUND; absent costs no
 * disk read. A volume that can't tell (refused, damaged beyond what is indexed, without trusted
 * dead marks) says NOT_HERE. Bytes that don't verify are CORRUPT and never leave; what the disk
 * refuses to read is IO. */
#include "volume/volume_priv.h"

#include <inttypes.h>

#define HEAD_MAX (NEEDLE_HEADER + NEEDLE_META_MAX + 4u * (NEEDLE_DATA_MAX / NEEDLE_BLOCK))
#define HEAD_ROOM 12352u /* HEAD_MAX rounded up */
#define SMALL_MAX 73856u /* 64 KiB of data with the longest meta, and a mark behind it */
#define BUF_SMALL 4608u
#define BUF_LARGE (HEAD_ROOM + NEEDLE_BLOCK)
_Static_assert(HEAD_MAX <= HEAD_ROOM, "a head fits in front of a block");
_Static_assert(SMALL_MAX <= BUF_LARGE, "a small needle fits in a large buffer");

/* ---- buffers: a stack of free ones per loop and class, touched by that loop only ---- */

#define POOL_LOOPS 64
#define POOL_DEPTH 128
enum { CLASS_SMALL, CLASS_LARGE, CLASS_COUNT };
static const struct {
    uint32_t size, keep;
} pool_class[CLASS_COUNT] = {{BUF_SMALL, POOL_DEPTH}, {BUF_LARGE, 32}};
static struct pool {
    uint8_t *free[CLASS_COUNT][POOL_DEPTH];
    uint32_t count[CLASS_COUNT];
} pools[POOL_LOOPS];

static uint8_t *pool_get(uint32_t cls)
{
    int loop = rt_loop_index();
    if (loop >= 0 && pools[loop].count[cls] > 0)
        return pools[loop].free[cls][--pools[loop].count[cls]];
    return mem_try_alloc(pool_class[cls].size);
}

static void pool_put(uint32_t cls, uint8_t *buf)
{
    int loop = rt_loop_index();
    if (buf && loop >= 0 && pools[loop].count[cls] < pool_class[cls].keep)
        pools[loop].free[cls][pools[loop].count[cls]++] = buf;
    else
        mem_free(buf);
}

void volume_read_drain(void)
{
    int loop = rt_loop_index();
    kt_assert(loop >= 0);
    for (uint32_t cls = 0; cls < CLASS_COUNT; cls++)
        while (pools[loop].count[cls] > 0)
            mem_free(pools[loop].free[cls][--pools[loop].count[cls]]);
}

/* ---- opening ---- */

/* Equal time whatever differs. */
static bool cookie_differs(uint64_t a, uint64_t b)
{
    return (a ^ b) != 0;
}

/* What a read error means here: a log that ends early is damage, not an end. */
static int read_failed(const struct volume *v, const struct index_hit *hit, int rc)
{
    if (rc == -KT_ERR_EOF)
        return err_set(KT_ERR_CORRUPT, "volume %08x ends before the needle at offset %" PRIu64,
                       v->vid, hit->offset);
    return err_wrap(rc, "volume %08x", v->vid);
}

static int check_identity(const struct needle_info *n, const struct blobid *id)
{
    if (n->seq != id->seq)
        return err_set(KT_ERR_CORRUPT, "needle %x lies where %x should", n->seq, id->seq);
    return cookie_differs(n->cookie, id->cookie) ? -KT_ERR_NOT_FOUND : 0;
}

static int read_small(struct volume_reader *r, const struct blobid *id, const struct index_hit *hit,
                      struct needle_info *ret)
{
    int rc = rt_file_pread(r->gen->file, r->buf, (size_t)hit->size, hit->offset);
    if (rc < 0)
        return read_failed(r->vol, hit, rc);
    struct slice in = slice_of(r->buf, (size_t)hit->size);
    rc = needle_verify(in, hit->offset, &r->gen->place, ret);
    if (rc < 0) {
        /* Who has another cookie learns nothing, not even of damage. */
        if (needle_decode(in, hit->offset, &r->gen->place, ret) == 0 &&
            cookie_differs(ret->cookie, id->cookie))
            return -KT_ERR_NOT_FOUND;
        return err_set(KT_ERR_CORRUPT, "volume %08x: needle at offset %" PRIu64 " is damaged",
                       r->vol->vid, hit->offset);
    }
    r->whole = true;
    return check_identity(ret, id);
}

static int read_head(struct volume_reader *r, const struct blobid *id, const struct index_hit *hit,
                     struct needle_info *ret)
{
    size_t len = (size_t)KT_MIN(hit->size, (uint64_t)HEAD_MAX);
    int rc = rt_file_pread(r->gen->file, r->buf, len, hit->offset);
    if (rc < 0)
        return read_failed(r->vol, hit, rc);
    rc = needle_decode(slice_of(r->buf, len), hit->offset, &r->gen->place, ret);
    if (rc == 0)
        rc = check_identity(ret, id);
    if (rc == -KT_ERR_NOT_FOUND)
        return rc;
    if (rc == 0 && needle_size(ret->data_len, ret->meta_len) > hit->size)
        rc = err_set(KT_ERR_CORRUPT, "needle longer than its place");
    if (rc == 0)
        rc = needle_check_table(ret, slice_of(r->buf + NEEDLE_HEADER + ret->meta_len,
                                              4ull * needle_blocks(ret->data_len)));
    if (rc < 0)
        return err_set(KT_ERR_CORRUPT, "volume %08x: needle at offset %" PRIu64 " is damaged",
                       r->vol->vid, hit->offset);
    return 0;
}

/* Header and meta alone, for those who only change marks. */
static int read_brief(struct volume_reader *r, const struct blobid *id, const struct index_hit *hit,
                      struct needle_info *ret)
{
    size_t len = (size_t)KT_MIN(hit->size, (uint64_t)NEEDLE_HEADER + NEEDLE_META_MAX);
    int rc = rt_file_pread(r->gen->file, r->buf, len, hit->offset);
    if (rc < 0)
        return read_failed(r->vol, hit, rc);
    rc = needle_decode(slice_of(r->buf, len), hit->offset, &r->gen->place, ret);
    if (rc < 0)
        return err_set(KT_ERR_CORRUPT, "volume %08x: needle at offset %" PRIu64 " is damaged",
                       r->vol->vid, hit->offset);
    return check_identity(ret, id);
}

/* The generation with its index loaded. */
static int loaded_generation(struct volume *v, int64_t deadline_ns, struct generation **ret)
{
    struct generation *g = volume_generation(v);
    while (g && !generation_index(g)) {
        generation_unref(g);
        int rc = volume_need_index(v, deadline_ns);
        if (rc < 0)
            return rc;
        g = volume_generation(v);
    }
    if (!g)
        return -KT_ERR_NOT_HERE;
    *ret = g;
    return 0;
}

int volume_may_serve(const struct volume *v)
{
    uint8_t state = volume_state_of(v);
    if (state == VOLUME_DROPPED)
        return -KT_ERR_NOT_FOUND;
    if (state == VOLUME_REFUSED)
        return err_set(KT_ERR_NOT_HERE, "volume %08x can't be served, see its state", v->vid);
    if (!atomic_load_explicit(&v->disk->dead.trusted, memory_order_relaxed))
        return err_set(KT_ERR_NOT_HERE, "the dead log of %s is damaged: run kitten fsck",
                       v->disk->path);
    return 0;
}

/* Finds the place of a needle that may be read. */
static int locate(struct volume *v, const struct generation *g, seq_t seq, unsigned flags,
                  struct index_hit *ret)
{
    const struct index *ix = generation_index(g);
    if (!index_find(ix, seq, ret)) {
        bool unsure = volume_state_of(v) == VOLUME_DAMAGED && seq >= index_count(ix);
        return unsure ? -KT_ERR_NOT_HERE : -KT_ERR_NOT_FOUND;
    }
    return ret->dead && !(flags & VOLUME_READ_DEAD) ? -KT_ERR_NOT_FOUND : 0;
}

int volume_read_open(struct volume *v, const struct blobid *id, unsigned flags, int64_t deadline_ns,
                     struct volume_reader *ret, struct needle_info *ret_info)
{
    struct volume_reader r = {.vol = v};
    struct index_hit hit;
    int rc = volume_may_serve(v);
    if (rc == 0)
        rc = loaded_generation(v, deadline_ns, &r.gen);
    if (rc < 0)
        return rc;
    rc = locate(v, r.gen, id->seq, flags, &hit);
    if (rc < 0) {
        generation_unref(r.gen);
        return rc;
    }
    r.buf_class = hit.size <= BUF_SMALL ? CLASS_SMALL : CLASS_LARGE;
    r.buf = pool_get(r.buf_class);
    if (!r.buf)
        rc = err_set(KT_ERR_NO_MEMORY, "no memory for a read buffer");
    else if (flags & VOLUME_READ_HEAD)
        rc = read_brief(&r, id, &hit, ret_info);
    else if (hit.size <= SMALL_MAX)
        rc = read_small(&r, id, &hit, ret_info);
    else
        rc = read_head(&r, id, &hit, ret_info);
    if (rc < 0) {
        volume_read_close(&r);
        return rc;
    }
    r.dead = hit.dead;
    r.data_len = r.to = ret_info->data_len;
    r.meta_len = ret_info->meta_len;
    r.head_bytes = (uint32_t)needle_data_at(r.data_len, r.meta_len);
    r.data_at = hit.offset + r.head_bytes;
    *ret = r;
    return 0;
}

/* ---- reading on ---- */

struct slice volume_read_meta(const struct volume_reader *r)
{
    return slice_of(r->buf + NEEDLE_HEADER, r->meta_len);
}

void volume_read_seek(struct volume_reader *r, uint32_t from, uint32_t len)
{
    kt_assert((uint64_t)from + len <= r->data_len);
    r->from = from;
    r->to = from + len;
}

int volume_read_next(struct volume_reader *r, struct slice *ret)
{
    if (r->from >= r->to) {
        *ret = (struct slice){NULL, 0};
        return 0;
    }
    if (r->whole) {
        *ret = slice_of(r->buf + r->head_bytes + r->from, r->to - r->from);
        r->from = r->to;
        return 0;
    }
    uint32_t block = r->from / NEEDLE_BLOCK, start = block * NEEDLE_BLOCK;
    uint32_t len = KT_MIN(NEEDLE_BLOCK, r->data_len - start);
    uint8_t *at = r->buf + HEAD_ROOM;
    int rc = rt_file_pread(r->gen->file, at, len, r->data_at + start);
    if (rc < 0) {
        struct index_hit hit = {.offset = r->data_at - r->head_bytes};
        return read_failed(r->vol, &hit, rc);
    }
    struct slice table =
        slice_of(r->buf + NEEDLE_HEADER + r->meta_len, 4ull * needle_blocks(r->data_len));
    rc = needle_check_block(table, block, slice_of(at, len));
    if (rc < 0)
        return err_wrap(rc, "volume %08x", r->vol->vid);
    uint32_t end = KT_MIN(start + len, r->to);
    *ret = slice_of(at + (r->from - start), end - r->from);
    r->from = end;
    return 0;
}

void volume_read_close(struct volume_reader *r)
{
    pool_put(r->buf_class, TAKE(r->buf));
    generation_unref(TAKE(r->gen));
}
