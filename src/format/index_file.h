/* format/index_file: the bytes of VID.idx: a cache of where needles lie, that can be rebuilt from
 * the log.
 *
 * An entry of an open volume is one u64: offset/8 in bits 0..31, size/8 in bits 32..55, flags in
 * bits 56..63 (flags live in memory only; on disk they are zero). Size 0 means: no needle has this
 * seq.
 *
 * While the volume is open the file is a row of records, one per completed chunk, appended without
 * a sync; a record covers only log bytes that were synced before it was written. Readers take
 * records as long as each is valid and continues the one before, and replay the log from the last
 * log_end on.
 *
 * Both forms begin with the same 64-byte header, little endian:
 *     0   4  magic  "KIXO" (open record) or "KIXS" (sealed)
 *     4   4  crc    CRC32C of header bytes 8..63 and the whole body
 *     8  16  uuid   of the volume
 *    24   4  vid
 *    28   4  generation
 *    32   4  first_seq  of the body's first entry (0 in the sealed form)
 *    36   4  count      of seqs in the body
 *    40   8  log_end    file offset behind the last needle covered (sealed: the sealed length)
 *    48   4  exceptions, number of them (0 in open records)
 *    52  12  zeros
 * Body of an open record: count entries of 8 bytes.
 * Body of the sealed form: ceil(count/64) blocks of 136 bytes, then exceptions of 8 bytes each.
 *   block       0   8  base, offset/8 of the block's first needle
 *               8 128  sixty-four u16 spans in 8-byte units
 *   exception   0   4  seq (they are sorted by it)
 *               4   4  span in 8-byte units
 *
 * A span is the distance to the next needle of the same block (the last one's own size), 0 where
 * there is no needle, 0xffff when the exception table holds it. So a span may exceed the needle by
 * marks that follow it; an offset is the base plus all spans before it.
 *
 * Pure functions on bytes, any thread, never yield, no allocation.
 */
#ifndef KT_FORMAT_INDEX_FILE_H
#define KT_FORMAT_INDEX_FILE_H

#include "format/needle.h"

#define INDEX_HEAD 64u
#define INDEX_CHUNK 65536u /* entries in a full open record, and in a chunk in memory */
#define INDEX_BLOCK_SEQS 64u
#define INDEX_SPAN_EXCEPTION 0xffffu

struct index_block {
    uint64_t base; /* offset/8 */
    uint16_t span[INDEX_BLOCK_SEQS];
};
_Static_assert(sizeof(struct index_block) == 136, "on-disk layout");

struct index_exception {
    uint32_t seq;
    uint32_t span; /* 8-byte units */
};
_Static_assert(sizeof(struct index_exception) == 8, "on-disk layout");

struct index_head {
    uint8_t uuid[16];
    vid_t vid;
    uint32_t generation;
    seq_t first_seq;
    uint32_t count;
    uint64_t log_end;
    uint32_t exceptions;
};

static inline uint64_t index_entry(uint64_t offset, uint64_t size, uint8_t flags)
{
    return (offset / NEEDLE_ALIGN & UINT32_MAX) | (size / NEEDLE_ALIGN & 0xffffff) << 32 |
           (uint64_t)flags << 56;
}
static inline uint64_t index_entry_offset(uint64_t entry)
{
    return (entry & UINT32_MAX) * NEEDLE_ALIGN;
}
static inline uint64_t index_entry_size(uint64_t entry)
{
    return (entry >> 32 & 0xffffff) * NEEDLE_ALIGN;
}
static inline uint8_t index_entry_flags(uint64_t entry)
{
    return (uint8_t)(entry >> 56);
}

static inline uint32_t index_block_count(uint32_t count)
{
    return count / INDEX_BLOCK_SEQS + (count % INDEX_BLOCK_SEQS != 0);
}
/* Bytes of an open record with `count` entries. */
static inline size_t index_open_size(uint32_t count)
{
    return INDEX_HEAD + 8ull * count;
}
/* Bytes of the sealed form's body. */
static inline size_t index_sealed_body(uint32_t count, uint32_t exceptions)
{
    return sizeof(struct index_block) * (size_t)index_block_count(count) +
           sizeof(struct index_exception) * (size_t)exceptions;
}

/* Writes header and entries, flags cleared: index_open_size(h->count) bytes, 1 <= count <=
 * INDEX_CHUNK. */
void index_open_encode(const struct index_head *h, const uint64_t *entries, uint8_t *out);
/* Verifies the record at the start of `in` (which may hold more): `expect` gives uuid, vid,
 * generation, first_seq, and in log_end how far the log reaches. ret->count entries lie at in.p +
 * INDEX_HEAD. Errors: AGAIN when `in` is too short for what the header claims (a torn tail, or the
 * caller has more to read), CORRUPT for anything else. */
int index_open_decode(struct slice in, const struct index_head *expect,
                      struct index_head *ret) KT_MUST_CHECK;

/* Writes the header for a body of index_sealed_body() bytes; the file is header, then body. */
void index_sealed_encode(const struct index_head *h, const void *body, uint8_t out[INDEX_HEAD]);
/* Verifies a whole sealed file and that every offset in it lies within the log: `expect` gives
 * uuid, vid, generation and log_end. The body lies at in.p + INDEX_HEAD. Errors: CORRUPT (damaged,
 * or of another volume, generation or length). */
int index_sealed_decode(struct slice in, const struct index_head *expect,
                        struct index_head *ret) KT_MUST_CHECK;

#endif
