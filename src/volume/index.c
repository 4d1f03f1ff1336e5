/* index: both forms, and the builder that makes the sealed one.
 *
 * Lookup in the open form: one load of the count, one of the entry. In the sealed form: base plus
 * the sum of the spans before it, written so that compilers turn it into vector adds; spans beyond
 * 16 bits come from the exception table, searched only when the block has one.
 */
#include "volume/index.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/enc.h"
#include "format/superblock.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE (UINT64_C(2) << 20)
#define ENTRY_DEAD (UINT64_C(1) << 56)
#define ENTRY_FLAGS (UINT64_C(0xff) << 56)
#define EXCEPTIONS_GROW 1024u

struct index {
    bool open;
    _Atomic uint32_t count;
    _Atomic uint32_t needles, dead;
    _Atomic uint64_t bytes, dead_bytes;

    /* open form */
    uint32_t max_chunks;
    _Atomic uint32_t chunks_used;
    _Atomic(_Atomic uint64_t *) *chunks; /* each written once, before the count that reaches it */

    /* sealed form: one piece of memory: blocks, exceptions, dead bits */
    uint8_t *mem;
    size_t body_bytes, mem_bytes;
    const struct index_block *blocks;
    const struct index_exception *exceptions;
    uint32_t nexceptions;
    _Atomic uint64_t *dead_bits;
};

struct index_builder {
    uint32_t count;
    uint8_t *mem; /* blocks */
    size_t mem_bytes;
    struct index_exception *exceptions;
    uint32_t nexceptions, cap;
    uint32_t needles;
    uint64_t bytes;
    int64_t last_seq;
    uint64_t last_offset, last_size;
};

/* ---- open form ---- */

int index_new_open(uint64_t limit_bytes, struct index **ret)
{
    kt_assert(limit_bytes <= VOLUME_LIMIT_MAX);
    uint64_t needles = limit_bytes / NEEDLE_HEADER + 1;
    struct index *ix = mem_zalloc(sizeof(*ix));
    ix->open = true;
    ix->max_chunks = (uint32_t)(needles / INDEX_CHUNK + 1);
    ix->chunks = mem_try_alloc(sizeof(*ix->chunks) * ix->max_chunks);
    if (!ix->chunks) {
        mem_free(ix);
        return err_set(KT_ERR_NO_MEMORY, "no memory for the index of a volume");
    }
    memset((void *)(uintptr_t)ix->chunks, 0, sizeof(*ix->chunks) * ix->max_chunks);
    *ret = ix;
    return 0;
}

void index_free(struct index *ix)
{
    if (!ix)
        return;
    for (uint32_t i = 0; i < ix->max_chunks; i++)
        mem_free((void *)(uintptr_t)atomic_load_explicit(&ix->chunks[i], memory_order_relaxed));
    mem_free((void *)(uintptr_t)ix->chunks);
    mem_free(ix->mem);
    mem_free(ix);
}

bool index_is_sealed(const struct index *ix)
{
    return !ix->open;
}

seq_t index_count(const struct index *ix)
{
    return atomic_load_explicit(&ix->count, memory_order_acquire);
}

void index_totals(const struct index *ix, struct index_totals *ret)
{
    *ret = (struct index_totals){
        .needles = atomic_load_explicit(&ix->needles, memory_order_relaxed),
        .dead = atomic_load_explicit(&ix->dead, memory_order_relaxed),
        .bytes = atomic_load_explicit(&ix->bytes, memory_order_relaxed),
        .dead_bytes = atomic_load_explicit(&ix->dead_bytes, memory_order_relaxed),
    };
}

uint64_t index_memory(const struct index *ix)
{
    uint32_t chunks = atomic_load_explicit(&ix->chunks_used, memory_order_relaxed);
    return sizeof(*ix) + sizeof(*ix->chunks) * ix->max_chunks + 8ul * INDEX_CHUNK * chunks +
           ix->mem_bytes;
}

/* The entry of `seq`, its chunk allocated on first use. */
static int entry_at(struct index *ix, seq_t seq, _Atomic uint64_t **ret)
{
    uint32_t chunk = seq / INDEX_CHUNK;
    if (chunk >= ix->max_chunks)
        return err_set(KT_ERR_LIMIT, "needle %u is beyond what the volume can hold", seq);
    _Atomic uint64_t *entries = atomic_load_explicit(&ix->chunks[chunk], memory_order_relaxed);
    if (!entries) {
        entries = mem_try_alloc(sizeof(*entries) * INDEX_CHUNK);
        if (!entries)
            return err_set(KT_ERR_NO_MEMORY, "no memory for the index of %u more needles",
                           INDEX_CHUNK);
        memset((void *)(uintptr_t)entries, 0, sizeof(*entries) * INDEX_CHUNK);
        atomic_store_explicit(&ix->chunks[chunk], entries, memory_order_release);
        atomic_fetch_add_explicit(&ix->chunks_used, 1, memory_order_relaxed);
    }
    *ret = &entries[seq % INDEX_CHUNK];
    return 0;
}

int index_add(struct index *ix, seq_t seq, uint64_t offset, uint64_t size)
{
    _Atomic uint64_t *entry;
    kt_assert(ix->open && seq >= index_count(ix));
    int rc = entry_at(ix, seq, &entry);
    if (rc == 0)
        atomic_store_explicit(entry, index_entry(offset, size, 0), memory_order_relaxed);
    return rc;
}

int index_add_entries(struct index *ix, seq_t first, const uint8_t *entries, uint32_t n)
{
    kt_assert(ix->open && first >= index_count(ix));
    for (uint32_t i = 0; i < n; i++) {
        _Atomic uint64_t *entry;
        int rc = entry_at(ix, first + i, &entry);
        if (rc < 0)
            return rc;
        atomic_store_explicit(entry, load_u64le(entries + 8ull * i), memory_order_relaxed);
    }
    return 0;
}

void index_publish(struct index *ix, seq_t count)
{
    seq_t from = index_count(ix);
    uint32_t needles = 0;
    uint64_t bytes = 0;
    kt_assert(ix->open && count >= from);
    for (seq_t seq = from; seq < count; seq++) {
        const _Atomic uint64_t *entries =
            atomic_load_explicit(&ix->chunks[seq / INDEX_CHUNK], memory_order_relaxed);
        uint64_t size = entries ? index_entry_size(atomic_load_explicit(&entries[seq % INDEX_CHUNK],
                                                                        memory_order_relaxed))
                                : 0;
        needles += size != 0;
        bytes += size;
    }
    atomic_fetch_add_explicit(&ix->needles, needles, memory_order_relaxed);
    atomic_fetch_add_explicit(&ix->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&ix->count, count, memory_order_release);
}

uint32_t index_chunk(const struct index *ix, uint32_t chunk, uint64_t *ret_entries)
{
    uint64_t first = (uint64_t)chunk * INDEX_CHUNK;
    seq_t count = index_count(ix);
    if (!ix->open || first >= count)
        return 0;
    uint32_t n = (uint32_t)KT_MIN(count - first, (uint64_t)INDEX_CHUNK);
    const _Atomic uint64_t *entries =
        atomic_load_explicit(&ix->chunks[chunk], memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        ret_entries[i] =
            entries ? atomic_load_explicit(&entries[i], memory_order_relaxed) & ~ENTRY_FLAGS : 0;
    return n;
}

static bool find_open(const struct index *ix, seq_t seq, struct index_hit *ret)
{
    const _Atomic uint64_t *entries =
        atomic_load_explicit(&ix->chunks[seq / INDEX_CHUNK], memory_order_acquire);
    if (!entries)
        return false;
    uint64_t e = atomic_load_explicit(&entries[seq % INDEX_CHUNK], memory_order_relaxed);
    *ret = (struct index_hit){index_entry_offset(e), index_entry_size(e), (e & ENTRY_DEAD) != 0};
    return ret->size != 0;
}

/* ---- sealed form ---- */

static const struct index_exception *exception_from(const struct index *ix, seq_t seq)
{
    uint32_t lo = 0, hi = ix->nexceptions;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (ix->exceptions[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return ix->exceptions + lo;
}

static bool find_sealed(const struct index *ix, seq_t seq, struct index_hit *ret)
{
    const struct index_block *b = &ix->blocks[seq / INDEX_BLOCK_SEQS];
    uint32_t n = seq % INDEX_BLOCK_SEQS, sum = 0, large = 0;
    uint64_t span = b->span[n];
    if (span == 0)
        return false;
    for (uint32_t i = 0; i < INDEX_BLOCK_SEQS; i++) {
        sum += (0u - (i < n)) & b->span[i];
        large += (i <= n) & (b->span[i] == INDEX_SPAN_EXCEPTION);
    }
    uint64_t at = b->base + sum;
    const struct index_exception *exc = large ? exception_from(ix, seq - n) : NULL;
    for (; large > 0; large--, exc++) {
        if (exc->seq < seq)
            at += exc->span - (uint64_t)INDEX_SPAN_EXCEPTION;
        else
            span = exc->span;
    }
    uint64_t word = atomic_load_explicit(&ix->dead_bits[seq / 64], memory_order_relaxed);
    *ret =
        (struct index_hit){at * NEEDLE_ALIGN, span * NEEDLE_ALIGN, (word >> (seq % 64) & 1) != 0};
    return true;
}

bool index_find(const struct index *ix, seq_t seq, struct index_hit *ret)
{
    if (seq >= index_count(ix))
        return false;
    return ix->open ? find_open(ix, seq, ret) : find_sealed(ix, seq, ret);
}

bool index_set_dead(struct index *ix, seq_t seq, bool dead)
{
    struct index_hit hit;
    if (!index_find(ix, seq, &hit))
        return false;
    _Atomic uint64_t *word =
        ix->open ? &ix->chunks[seq / INDEX_CHUNK][seq % INDEX_CHUNK] : &ix->dead_bits[seq / 64];
    uint64_t bit = ix->open ? ENTRY_DEAD : UINT64_C(1) << (seq % 64);
    uint64_t before = dead ? atomic_fetch_or(word, bit) : atomic_fetch_and(word, ~bit);
    bool was = (before & bit) != 0;
    if (dead && !was) {
        atomic_fetch_add_explicit(&ix->dead, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&ix->dead_bytes, hit.size, memory_order_relaxed);
    }
    if (!dead && was) {
        atomic_fetch_sub_explicit(&ix->dead, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&ix->dead_bytes, hit.size, memory_order_relaxed);
    }
    return was;
}

/* Copies until the source says what was written: a change that comes in between goes to both, in
 * this order, so that whoever writes last writes the newest. */
static void copy_one(const struct index *from, struct index *to, seq_t seq, struct index_hit hit)
{
    bool written;
    do {
        written = hit.dead;
        (void)index_set_dead(to, seq, written);
        (void)index_find(from, seq, &hit);
    } while (hit.dead != written);
}

void index_copy_dead(const struct index *from, struct index *to)
{
    struct index_hit hit;
    for (seq_t seq = 0, n = index_count(to); seq < n; seq++) {
        bool all = atomic_load_explicit(&to->dead, memory_order_relaxed) > 0;
        if (!all && atomic_load_explicit(&from->dead, memory_order_relaxed) == 0)
            continue;
        if (index_find(from, seq, &hit) && (hit.dead || all))
            copy_one(from, to, seq, hit);
    }
}

/* Page-aligned memory, the part that fills whole huge pages advised to use them (a partly used huge
 * page would cost more than it saves). Zeroed. */
static void *huge_alloc(size_t size)
{
    size = KT_MAX(size, (size_t)64);
    size_t align = size >= HUGE_PAGE ? HUGE_PAGE : 64;
    void *p = aligned_alloc(align, align_up(size, align));
    if (!p)
        return NULL;
    if (size >= HUGE_PAGE) /* advice only: the result doesn't matter */
        (void)madvise(p, size & ~(HUGE_PAGE - 1), MADV_HUGEPAGE);
    memset(p, 0, size);
    return p;
}

static size_t dead_words(uint32_t count)
{
    return (size_t)count / 64 + (count % 64 != 0);
}

/* Points into `mem`, which holds the body and has room for the dead bits. */
static void attach(struct index *ix, uint32_t count, uint32_t nexceptions)
{
    size_t blocks = sizeof(struct index_block) * (size_t)index_block_count(count);
    ix->blocks = (const struct index_block *)(const void *)ix->mem;
    ix->exceptions = (const struct index_exception *)(const void *)(ix->mem + blocks);
    ix->nexceptions = nexceptions;
    ix->body_bytes = index_sealed_body(count, nexceptions);
    ix->dead_bits = (_Atomic uint64_t *)(void *)(ix->mem + ix->body_bytes);
    kt_assert(ix->body_bytes + 8 * dead_words(count) <= ix->mem_bytes);
    atomic_store_explicit(&ix->count, count, memory_order_release);
}

struct slice index_body(const struct index *ix, uint32_t *ret_count, uint32_t *ret_exceptions)
{
    kt_assert(!ix->open);
    *ret_count = index_count(ix);
    *ret_exceptions = ix->nexceptions;
    return slice_of(ix->mem, ix->body_bytes);
}

/* Counts what the blocks hold. */
static void count_sealed(struct index *ix)
{
    uint32_t needles = 0;
    uint64_t units = 0;
    for (uint32_t b = 0, n = index_block_count(index_count(ix)); b < n; b++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < INDEX_BLOCK_SEQS; i++) {
            uint16_t span = ix->blocks[b].span[i];
            needles += span != 0;
            sum += span != INDEX_SPAN_EXCEPTION ? span : 0;
        }
        units += sum;
    }
    for (uint32_t i = 0; i < ix->nexceptions; i++)
        units += ix->exceptions[i].span;
    atomic_init(&ix->needles, needles);
    atomic_init(&ix->bytes, units * NEEDLE_ALIGN);
}

int index_new_sealed(const struct index_head *h, struct slice body, struct index **ret)
{
    kt_assert(body.len == index_sealed_body(h->count, h->exceptions));
    struct index *ix = mem_zalloc(sizeof(*ix));
    ix->mem_bytes = body.len + 8 * dead_words(h->count);
    ix->mem = huge_alloc(ix->mem_bytes);
    if (!ix->mem) {
        mem_free(ix);
        return err_set(KT_ERR_NO_MEMORY, "no memory for the index of %u needles", h->count);
    }
    if (body.len)
        memcpy(ix->mem, body.p, body.len);
    attach(ix, h->count, h->exceptions);
    count_sealed(ix);
    *ret = ix;
    return 0;
}

/* ---- building ---- */

int index_builder_new(uint32_t count, struct index_builder **ret)
{
    struct index_builder *b = mem_zalloc(sizeof(*b));
    b->count = count;
    b->mem_bytes = index_sealed_body(count, 0) + 8 * dead_words(count);
    b->mem = huge_alloc(b->mem_bytes);
    b->last_seq = -1;
    if (!b->mem) {
        index_builder_free(b);
        return err_set(KT_ERR_NO_MEMORY, "no memory for the index of %u needles", count);
    }
    *ret = b;
    return 0;
}

void index_builder_free(struct index_builder *b)
{
    if (!b)
        return;
    mem_free(b->mem);
    mem_free(b->exceptions);
    mem_free(b);
}

static struct index_block *builder_block(struct index_builder *b, seq_t seq)
{
    struct index_block *blocks = (struct index_block *)(void *)(b->mem);
    return &blocks[seq / INDEX_BLOCK_SEQS];
}

/* Writes the span of the last needle: up to `next` within a block, its own size at the block's end.
 */
static int close_last(struct index_builder *b, uint64_t bytes)
{
    seq_t seq = (seq_t)b->last_seq;
    uint64_t span = bytes / NEEDLE_ALIGN;
    b->needles++;
    b->bytes += span * NEEDLE_ALIGN;
    uint16_t *at = &builder_block(b, seq)->span[seq % INDEX_BLOCK_SEQS];
    if (span < INDEX_SPAN_EXCEPTION) {
        *at = (uint16_t)span;
        return 0;
    }
    if (b->nexceptions == b->cap) {
        size_t bytes_now = sizeof(*b->exceptions) * (size_t)b->cap;
        size_t more = bytes_now ? bytes_now : sizeof(*b->exceptions) * EXCEPTIONS_GROW;
        struct index_exception *grown = mem_try_alloc(bytes_now + more);
        if (!grown)
            return err_set(KT_ERR_NO_MEMORY, "no memory for the index of large needles");
        if (bytes_now)
            memcpy(grown, b->exceptions, bytes_now);
        mem_free(b->exceptions);
        b->exceptions = grown;
        b->cap = (uint32_t)((bytes_now + more) / sizeof(*b->exceptions));
    }
    *at = INDEX_SPAN_EXCEPTION;
    b->exceptions[b->nexceptions++] = (struct index_exception){seq, (uint32_t)span};
    return 0;
}

int index_builder_add(struct index_builder *b, seq_t seq, uint64_t offset, uint64_t size)
{
    if (seq >= b->count || seq <= b->last_seq || offset < b->last_offset + b->last_size ||
        offset / NEEDLE_ALIGN > UINT32_MAX || offset % NEEDLE_ALIGN || size < NEEDLE_ALIGN)
        return err_set(KT_ERR_INVALID, "needle %u at %llu is out of order", seq,
                       (unsigned long long)offset);
    bool same_block =
        b->last_seq >= 0 && (seq_t)b->last_seq / INDEX_BLOCK_SEQS == seq / INDEX_BLOCK_SEQS;
    if (b->last_seq >= 0) {
        int rc = close_last(b, same_block ? offset - b->last_offset : b->last_size);
        if (rc < 0)
            return rc;
    }
    if (!same_block)
        builder_block(b, seq)->base = offset / NEEDLE_ALIGN;
    b->last_seq = seq;
    b->last_offset = offset;
    b->last_size = size;
    return 0;
}

/* Moves the exceptions behind the blocks; the memory changes only when there are some. */
static int place_exceptions(struct index_builder *b)
{
    if (b->nexceptions == 0)
        return 0;
    size_t body = index_sealed_body(b->count, 0);
    size_t more = sizeof(*b->exceptions) * (size_t)b->nexceptions;
    uint8_t *mem = huge_alloc(b->mem_bytes + more);
    if (!mem)
        return err_set(KT_ERR_NO_MEMORY, "no memory for the index of %u needles", b->count);
    memcpy(mem, b->mem, body);
    memcpy(mem + body, b->exceptions, more);
    mem_free(b->mem);
    b->mem = mem;
    b->mem_bytes += more;
    return 0;
}

int index_builder_finish(struct index_builder *b, struct index **ret)
{
    int rc = b->last_seq >= 0 ? close_last(b, b->last_size) : 0;
    if (rc == 0)
        rc = place_exceptions(b);
    if (rc == 0) {
        struct index *ix = mem_zalloc(sizeof(*ix));
        ix->mem = TAKE(b->mem);
        ix->mem_bytes = b->mem_bytes;
        atomic_init(&ix->needles, b->needles);
        atomic_init(&ix->bytes, b->bytes);
        attach(ix, b->count, b->nexceptions);
        *ret = ix;
    }
    index_builder_free(b);
    return rc;
}

int index_seal(const struct index *open, struct index **ret)
{
    struct index_builder *b;
    struct index *ix = NULL;
    struct index_hit hit;
    seq_t count = index_count(open);
    int rc = index_builder_new(count, &b);
    if (rc < 0)
        return rc;
    for (seq_t seq = 0; seq < count && rc == 0; seq++)
        if (index_find(open, seq, &hit))
            rc = index_builder_add(b, seq, hit.offset, hit.size);
    if (rc < 0) {
        index_builder_free(b);
        return rc;
    }
    rc = index_builder_finish(b, &ix);
    if (rc < 0)
        return rc;
    index_copy_dead(open, ix);
    *ret = ix;
    return 0;
}
