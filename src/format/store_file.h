/* format/store_file: the file `store`, one copy in each data directory: which volume ids may no
 * longer be given out, and which directories belong together.
 *
 * Little endian, one block of 4096 bytes:
 *     0   8  magic "KTNSTOR\n"           24   4  next_vid, above every volume id ever given out
 *     8   4  version (1)                 28   4  number of directories (0..64)
 *    12   4  flags, STORE_FILE_UNSURE    32      their uuids, 16 bytes each
 *    16   8  counter, rises by one with each change; the copy with the highest is current
 *  4092   4  crc of bytes 0..4091
 *
 * Written as tmp, fsync, rename, before the id it covers is used. Pure functions, any thread.
 * Errors: CORRUPT, FORMAT.
 */
#ifndef KT_FORMAT_STORE_FILE_H
#define KT_FORMAT_STORE_FILE_H

#include "format/blobid.h"
#include "format/block.h"

#define STORE_FILE_VERSION 1u
#define STORE_DISKS_MAX 64u
#define STORE_FILE_UNSURE 1u /* a copy was lost: there may be directories that the list lacks */

struct store_file {
    uint64_t counter;
    uint32_t flags;
    vid_t next_vid; /* 0: none was chosen yet */
    uint32_t ndisks;
    uint8_t disks[STORE_DISKS_MAX][UUID_BYTES];
};

void store_file_encode(const struct store_file *f, uint8_t out[BLOCK_SIZE]);
/* Errors: CORRUPT, FORMAT (a version this program doesn't know). */
int store_file_decode(struct slice in, struct store_file *ret) KT_MUST_CHECK;

#endif
