/* format/superblock: the first three blocks of a volume file. Encode, decode, choose; no I/O.
 *
 * A volume file begins with a superblock that never changes (4096 bytes at 0), then two state slots
 * A (at 4096) and B (at 8192); the log of needles starts at VOLUME_LOG_START. A state change writes
 * the slot that is not current with counter + 1 and syncs it: a power cut in the middle leaves the
 * other slot, so that the volume is found in the state before or after. The valid slot with the
 * higher counter is current.
 *
 * Superblock, little endian:
 *     0   8  magic "KTNVOL1\n"           56  16  uuid, of this volume
 *     8   4  version (1)                 72   4  vid
 *    12   4  zero                        76   4  secret, seeds the needles' checksums
 *    16   8  features compat             80   4  policy id
 *    24   8  features ro_compat          84   4  expiry class (0: none)
 *    32   8  features incompat           88   8  limit, bytes of the file at which it is sealed
 *    40  16  cell                        96   8  created, Unix milliseconds
 *   104  zeros                         4092   4  crc of bytes 0..4091
 *
 * State slot:
 *     0   8  magic "KTNSLOT\n"           44   1  state, enum volume_state
 *     8   8  counter                     45   1  number of replicas (0..8)
 *    16  16  uuid, of the volume         46   1  number of history entries (0..64)
 *    32   4  vid                         47   1  zero
 *    36   4  epoch                       48   8  sealed length (0 while open)
 *    40   4  generation                  56   8  changed, Unix milliseconds
 *    64 128  reason, text padded with NULs
 *   192 128  replicas: 8 store ids of 16 bytes
 *   320 1024 history: 64 pairs {epoch u32, zero u32, start offset u64}, epochs and offsets rising
 *  1344  zeros                         4092   4  crc of bytes 0..4091
 *
 * Pure functions on bytes, any thread, never yield, no allocation.
 */
#ifndef KT_FORMAT_SUPERBLOCK_H
#define KT_FORMAT_SUPERBLOCK_H

#include "format/blobid.h"
#include "format/block.h"
#include "format/needle.h"

#define VOLUME_SLOT_A 4096u
#define VOLUME_SLOT_B 8192u
#define VOLUME_LOG_START 12288u
#define VOLUME_VERSION 1u
#define VOLUME_LIMIT_MAX (UINT64_C(32) << 30) /* offsets are kept as 32 bits of 8-byte units */

/* The feature bits this version knows: none yet. */
extern const struct feature_words volume_features_known;

struct superblock {
    struct feature_words features;
    uint8_t cell[UUID_BYTES];
    uint8_t uuid[UUID_BYTES];
    vid_t vid;
    uint32_t secret;
    uint32_t policy;
    uint32_t expiry_class; /* 0: needles without expiry */
    uint64_t limit_bytes;
    uint64_t created_ms; /* Unix */
};

enum volume_state {
    VOLUME_OPEN = 1,
    VOLUME_SEALED = 2,
    VOLUME_FENCED = 3,
};

#define SLOT_REPLICAS_MAX 8u
#define SLOT_HISTORY_MAX 64u
#define SLOT_REASON_MAX 128u

/* From `start` on (until the next entry), needles carry `epoch`. */
struct slot_epoch {
    uint32_t epoch;
    uint64_t start;
};

struct state_slot {
    uint64_t counter; /* rises by one with each change */
    uint8_t uuid[UUID_BYTES];
    vid_t vid;
    uint32_t epoch;
    uint32_t generation;
    uint8_t state; /* enum volume_state */
    uint8_t nreplicas, nhistory;
    uint64_t sealed_length; /* bytes of the file that are the log's final length; 0 while open */
    uint64_t changed_ms;    /* Unix */
    char reason[SLOT_REASON_MAX]; /* NUL-terminated */
    uint8_t replicas[SLOT_REPLICAS_MAX][UUID_BYTES];
    struct slot_epoch history[SLOT_HISTORY_MAX];
};

void superblock_encode(const struct superblock *sb, uint8_t out[BLOCK_SIZE]);
/* Errors: CORRUPT (not a superblock, damaged, or vid 0), FORMAT (a version this program doesn't
 * know). Feature words are returned as found; the caller asks feature_check. */
int superblock_decode(struct slice in, struct superblock *ret) KT_MUST_CHECK;

void slot_encode(const struct state_slot *slot, uint8_t out[BLOCK_SIZE]);
/* Errors: CORRUPT (damaged, or not of this volume). */
int slot_decode(struct slice in, const struct superblock *sb, struct state_slot *ret) KT_MUST_CHECK;

#define SLOT_BAD_A 1u
#define SLOT_BAD_B 2u
/* Decodes both and picks the current one. Returns its index (0: A, 1: B); the next change goes to
 * the other. *ret_bad says which slots are not valid (SLOT_BAD_*; one bad slot is what a power cut
 * in a change leaves). Errors: CORRUPT when none is valid, or both claim the same counter with
 * different content. */
int slot_choose(struct slice a, struct slice b, const struct superblock *sb, struct state_slot *ret,
                unsigned *ret_bad) KT_MUST_CHECK;
static inline uint64_t slot_offset(int index)
{
    return index == 0 ? VOLUME_SLOT_A : VOLUME_SLOT_B;
}

/* What the needles of this volume and generation are bound to. */
void superblock_place(const struct superblock *sb, uint32_t generation, struct needle_place *ret);

#endif
