/* volume/index: where the needles of one generation of a volume lie, by seq. Memory only, no I/O.
 *
 * Model. Seqs are dense, so the index is an array, and an absent seq is known without touching the
 * disk. It has two forms behind one lookup:
 *  - open: 8 bytes per needle in chunks of INDEX_CHUNK entries; one writer appends and publishes,
 * any number of readers look up without a lock;
 *  - sealed: blocks of 64 needles (format/index_file.h), 2.125 bytes per needle, plus one dead bit;
 * the places never change.
 *
 * Invariants.
 *  1. An entry is complete before the count that covers it is published (release / acquire).
 *  2. A dead bit may be set and cleared at any time by any thread (atomic).
 *  3. `size` of a hit is at least the needle's own size; in the sealed form it may cover marks that
 * follow.
 *
 * Memory is asked for with mem_try_alloc (sealed forms: huge-page advised); NO_MEMORY when there is
 * none. Nothing here yields.
 */
#ifndef KT_VOLUME_INDEX_H
#define KT_VOLUME_INDEX_H

#include "base/err.h"
#include "base/slice.h"
#include "format/index_file.h"

struct index;

struct index_hit {
    uint64_t offset; /* of the needle, bytes from the start of the file */
    uint64_t size;   /* bytes to read, >= the needle's own */
    bool dead;
};

/* An empty open index for a volume of at most `limit_bytes` (bounds the chunk table). Errors:
 * NO_MEMORY. */
int index_new_open(uint64_t limit_bytes, struct index **ret) KT_MUST_CHECK;
/* Takes over a whole verified sealed file (index_sealed_decode was fine; `h` is its header). Copies
 * the body. Errors: NO_MEMORY. */
int index_new_sealed(const struct index_head *h, struct slice body,
                     struct index **ret) KT_MUST_CHECK;
/* The sealed form of an open index, dead bits included. Errors: NO_MEMORY. */
int index_seal(const struct index *open, struct index **ret) KT_MUST_CHECK;
void index_free(struct index *ix);

bool index_is_sealed(const struct index *ix);
/* Seqs below this are published (present or absent for good). Acquire. */
seq_t index_count(const struct index *ix);
/* Bytes of memory held. */
uint64_t index_memory(const struct index *ix);

/* Open form, the one writer: enters the needle `seq` >= every seq entered before; seqs skipped are
 * absent. Not visible until published. Errors: NO_MEMORY, LIMIT (past the chunk table). */
int index_add(struct index *ix, seq_t seq, uint64_t offset, uint64_t size) KT_MUST_CHECK;
/* Open form, the one writer: makes all seqs below `count` visible. */
void index_publish(struct index *ix, seq_t count);
/* Open form: the raw entries (format/index_file.h) of the published chunk `chunk` (seqs chunk *
 * INDEX_CHUNK on), for its record in VID.idx; fewer than INDEX_CHUNK in the last. Returns their
 * number. */
uint32_t index_chunk(const struct index *ix, uint32_t chunk, uint64_t *ret_entries);
/* Sealed form: its body (index_sealed_body bytes) and the header fields count and exceptions. */
struct slice index_body(const struct index *ix, uint32_t *ret_count, uint32_t *ret_exceptions);

/* Any thread, no lock. False: no such seq. */
bool index_find(const struct index *ix, seq_t seq, struct index_hit *ret);
/* Open form, the one writer: takes over `n` entries of a verified open record (format/index_file.h)
 * for the seqs from `first` on; publish follows. Errors: NO_MEMORY, LIMIT. */
int index_add_entries(struct index *ix, seq_t first, const uint8_t *entries,
                      uint32_t n) KT_MUST_CHECK;

/* Builds a sealed form from needles in log order, for those who hold no open one (compaction,
 * rebuild). `count` is one more than the highest seq. finish ends the builder, also when it fails;
 * free ends one that isn't finished. Errors: NO_MEMORY, INVALID (order, seq past count, offset past
 * 32 GiB). */
struct index_builder;
int index_builder_new(uint32_t count, struct index_builder **ret) KT_MUST_CHECK;
int index_builder_add(struct index_builder *b, seq_t seq, uint64_t offset,
                      uint64_t size) KT_MUST_CHECK;
int index_builder_finish(struct index_builder *b, struct index **ret) KT_MUST_CHECK;
void index_builder_free(struct index_builder *b);

/* What the published needles come to; bytes are those of hits. Any thread. */
struct index_totals {
    uint32_t needles, dead;
    uint64_t bytes, dead_bytes;
};
void index_totals(const struct index *ix, struct index_totals *ret);
/* Gives `to`, which holds no needle that `from` lacks, the dead bits of `from`. Bits may change
 * meanwhile, when each change goes to `from` first and then to `to`. */
void index_copy_dead(const struct index *from, struct index *to);
/* Any thread: sets or clears the dead bit of a present seq; returns the bit before (false when
 * absent). */
bool index_set_dead(struct index *ix, seq_t seq, bool dead);

#endif
