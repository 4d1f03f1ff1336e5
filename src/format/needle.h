/* format/needle: one stored blob with its header, as bytes in a volume log. Encode, decode, verify;
 * no I/O.
 *
 * Layout, little endian, 8-byte aligned (docs/format.md has the same table):
 *   off size field
 *     0   4  header_crc  CRC32C seeded with the volume's secret, over volume UUID, generation, own
 *                        offset, header bytes 4..47 and meta: it is also the magic, and binds the
 *                        needle to its place
 *     4   4  seq
 *     8   4  data_crc    CRC32C of the data; of the block table when data exceeds NEEDLE_BLOCK
 *    12   4  bucket
 *    16   4  epoch
 *    20   4  durable     distance in 8-byte units from this needle back to the offset known synced
 *                        on all replicas when it was written
 *    24   4  data_len    bytes of data
 *    28   2  meta_len    bytes of meta
 *    30   1  kind        enum needle_kind
 *    31   1  flags       NEEDLE_F_*
 *    32   8  version
 *    40   8  cookie
 *    48      meta (tag-length-value), block table (4 bytes per 64 KiB block, only when data_len >
 *            NEEDLE_BLOCK), data, zero padding to 8
 *
 * Invariants: epochs never decrease along a log; seqs increase by one (gaps only after compaction);
 * padding is zero. Pure functions on bytes, any thread, never yield.
 */
#ifndef KT_FORMAT_NEEDLE_H
#define KT_FORMAT_NEEDLE_H

#include "base/err.h"
#include "base/slice.h"
#include "format/blobid.h"

#define NEEDLE_HEADER 48u
#define NEEDLE_ALIGN 8u
#define NEEDLE_BLOCK 65536u /* data above this carries one CRC32C per block of this size */
#define NEEDLE_META_MAX 8192u
#define NEEDLE_DATA_MAX (64u << 20) /* 64 MiB; also keeps size/8 within 24 bits */

enum needle_kind {
    NEEDLE_DATA = 1,
    NEEDLE_PART = 2,
    NEEDLE_MANIFEST = 3,
    NEEDLE_NAME_DELETE = 4,
    NEEDLE_META_ONLY = 5,
    NEEDLE_BUCKET = 6,
    NEEDLE_UPLOAD = 7,
    NEEDLE_MARK = 8, /* carries only `durable`; no blob */
};
#define NEEDLE_F_FIRST 1u /* first needle of its group */

/* Meta tags: u8 tag, u16 length, bytes. Unknown tags are kept and ignored. */
enum needle_tag {
    TAG_NAME = 1, /* object name (key or file name), bytes */
    TAG_CONTENT_TYPE = 2,
    TAG_ETAG = 3,     /* raw MD5 or other ETag bytes, as text */
    TAG_USER = 4,     /* one user metadata pair: name NUL value */
    TAG_EXPIRES = 5,  /* u32 Unix seconds */
    TAG_CHECKSUM = 6, /* algorithm byte, raw checksum */
    TAG_CONDITION = 7,
    TAG_REQUEST = 8,   /* request id, u64 */
    TAG_MASKS = 9,     /* blob ids (16 bytes each) that this record masks or describes */
    TAG_MTIME = 10,    /* u32 Unix seconds of the write */
    TAG_SETTINGS = 11, /* JSON of a bucket record */
};

/* What a header says, decoded. */
struct needle_info {
    seq_t seq;
    uint32_t data_crc, bucket, epoch;
    uint64_t durable; /* absolute offset known synced when it was written */
    uint64_t offset;  /* its own */
    uint32_t data_len;
    uint16_t meta_len;
    uint8_t kind, flags;
    uint64_t version, cookie;
    uint32_t generation;
};

/* What a needle's place adds to its checksum: from the volume's superblock. */
struct needle_place {
    uint8_t uuid[16];
    uint32_t secret;
    uint32_t generation;
};

static inline uint32_t needle_blocks(uint32_t data_len)
{
    return data_len > NEEDLE_BLOCK ? (data_len + NEEDLE_BLOCK - 1) / NEEDLE_BLOCK : 0;
}
/* Bytes of header, meta, block table, data and padding. */
static inline uint64_t needle_size(uint32_t data_len, uint16_t meta_len)
{
    uint64_t n = (uint64_t)NEEDLE_HEADER + meta_len + 4ull * needle_blocks(data_len) + data_len;
    return (n + NEEDLE_ALIGN - 1) & ~(uint64_t)(NEEDLE_ALIGN - 1);
}
/* Offset of the data within the needle. */
static inline uint64_t needle_data_at(uint32_t data_len, uint16_t meta_len)
{
    return (uint64_t)NEEDLE_HEADER + meta_len + 4ull * needle_blocks(data_len);
}

/* Writes header and meta (NEEDLE_HEADER + meta.len bytes) to `out`. `n->offset`, `durable` (<=
 * offset, both multiples of 8, at most 32 GiB apart) and all other fields must be set. */
void needle_encode(const struct needle_info *n, const struct needle_place *place, struct slice meta,
                   uint8_t *out);
/* Decodes and verifies header and meta at `in`, which starts at `offset` of the volume. Returns 0,
 * AGAIN when `in` holds fewer bytes than header + meta (*ret is then unset, but in.len >=
 * NEEDLE_HEADER lets needle_head_len tell how many), or CORRUPT. */
int needle_decode(struct slice in, uint64_t offset, const struct needle_place *place,
                  struct needle_info *ret) KT_MUST_CHECK;
/* header + meta length that the raw header claims (unverified), for sizing the next read. in.len >=
 * NEEDLE_HEADER. */
uint32_t needle_head_len(struct slice in);
/* Verifies one whole needle (header, meta, table, data, padding). Errors: CORRUPT, AGAIN when `in`
 * is too short. */
int needle_verify(struct slice in, uint64_t offset, const struct needle_place *place,
                  struct needle_info *ret) KT_MUST_CHECK;

/* The block table of data given in pieces; writes 4 * needle_blocks(len) bytes and returns
 * data_crc. */
uint32_t needle_data_crc(const struct slice *pieces, int n, uint32_t data_len, uint8_t *table);
/* Verifies a block table (4 * needle_blocks bytes) against the decoded header. Errors: CORRUPT. */
int needle_check_table(const struct needle_info *n, struct slice table) KT_MUST_CHECK;
/* Verifies block `i` against the table. `block` is the block's data. Errors: CORRUPT. */
int needle_check_block(struct slice table, uint32_t i, struct slice block) KT_MUST_CHECK;

/* Appends one tag to meta at out[*len] (room for 3 + v.len bytes, NEEDLE_META_MAX in all). Errors:
 * TOO_LARGE. */
int needle_meta_add(uint8_t *out, size_t cap, size_t *len, enum needle_tag tag,
                    struct slice v) KT_MUST_CHECK;
/* Iterates: *at starts at 0. Returns 1 with the next tag and value, 0 at the end, CORRUPT when
 * malformed. */
int needle_meta_next(struct slice meta, size_t *at, uint8_t *ret_tag,
                     struct slice *ret_v) KT_MUST_CHECK;
/* The first value of `tag`; false when absent or malformed. */
bool needle_meta_find(struct slice meta, enum needle_tag tag, struct slice *ret);

#endif
