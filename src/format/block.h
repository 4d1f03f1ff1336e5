/* format/block: what all fixed 4096-byte blocks on disk share: a checksum in the last four bytes, a
 * format version, and feature words.
 *
 * Layout of every such block, little endian (docs/format.md has the byte tables):
 *     0    8  magic     tells the kind of block
 *     8 ..4091          fields of the kind, then zeros
 *  4092    4  crc       CRC32C of bytes 0..4091
 *
 * Feature words say what a reader has to understand: unknown `compat` bits are ignored, unknown
 * `ro_compat` bits allow reading only, unknown `incompat` bits forbid using the file at all. Bytes
 * that a version does not know are covered by the checksum and kept zero by the writer.
 *
 * Pure functions on bytes, any thread, never yield, no allocation.
 */
#ifndef KT_FORMAT_BLOCK_H
#define KT_FORMAT_BLOCK_H

#include "base/err.h"
#include "base/slice.h"

#define BLOCK_SIZE 4096u
#define BLOCK_CRC_AT 4092u
#define UUID_BYTES 16u

/* Eight characters as the little-endian number that spells them on disk. */
#define BLOCK_MAGIC(a, b, c, d, e, f, g, h)                                                        \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 |              \
     (uint64_t)(e) << 32 | (uint64_t)(f) << 40 | (uint64_t)(g) << 48 | (uint64_t)(h) << 56)

struct feature_words {
    uint64_t compat;    /* a reader may ignore what it doesn't know */
    uint64_t ro_compat; /* a reader that doesn't know one may read, not write */
    uint64_t incompat;  /* a reader that doesn't know one must refuse */
};

/* Zeroes the block after the first `used` bytes and writes the checksum. */
void block_seal(uint8_t block[BLOCK_SIZE], size_t used);
/* Checks length, magic and checksum; `what` names the block in the message. Errors: CORRUPT. */
int block_check(struct slice in, uint64_t magic, const char *what) KT_MUST_CHECK;
/* Compares with the bits this version knows. Returns 0 (read and write), 1 (read only), or FORMAT
 * with a sentence that says what to do. */
int feature_check(const struct feature_words *has, const struct feature_words *known,
                  const char *what) KT_MUST_CHECK;

#endif
