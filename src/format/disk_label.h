/* format/disk_label: the file `disk` of a data directory: who it is. The same file carries the
 * lock.
 *
 * Little endian, one block of 4096 bytes:
 *     0   8  magic "KTNDISK\n"           40  16  uuid, of this data directory
 *     8   4  version (1)                 56  16  cell, that it belongs to
 *    12   4  capacity class              72   8  volume limit in bytes, chosen at birth
 *    16   8  features compat             80   8  created, Unix milliseconds
 *    24   8  features ro_compat          88  16  store, the process identity that owns it
 *    32   8  features incompat          104  zeros
 *  4092   4  crc of bytes 0..4091
 *
 * Written once, at the birth of the directory (tmp, fsync, rename, directory fsync). Pure, any
 * thread.
 */
#ifndef KT_FORMAT_DISK_LABEL_H
#define KT_FORMAT_DISK_LABEL_H

#include "format/block.h"

#define DISK_LABEL_VERSION 1u

/* The feature bits this version knows: none yet. */
extern const struct feature_words disk_features_known;

struct disk_label {
    struct feature_words features;
    uint8_t uuid[UUID_BYTES];
    uint8_t cell[UUID_BYTES];
    uint8_t store[UUID_BYTES];
    uint32_t capacity_class;     /* log2 of the directory's capacity in GiB at birth; informative */
    uint64_t volume_limit_bytes; /* for new volumes here */
    uint64_t created_ms;         /* Unix */
};

void disk_label_encode(const struct disk_label *label, uint8_t out[BLOCK_SIZE]);
/* Errors: CORRUPT, FORMAT (a version this program doesn't know). The caller asks feature_check. */
int disk_label_decode(struct slice in, struct disk_label *ret) KT_MUST_CHECK;

#endif
