/* format/scrub_file: the bytes of the file `scrub` of a data directory: when each volume was last
 * verified.
 *
 * Little endian:
 *     0   4  magic "KSCR"                 8  16  uuid, of the disk
 *     4   4  crc of bytes 8 .. end       24   4  count
 *    28   4  zero
 *    32      records of 8 bytes, sorted by vid: {vid u32, time u32 (Unix seconds)}
 * Only advice: without a valid one every volume counts as verified when it was created. Written as
 * tmp, fsync, rename. Pure functions, any thread.
 */
#ifndef KT_FORMAT_SCRUB_FILE_H
#define KT_FORMAT_SCRUB_FILE_H

#include "base/err.h"
#include "base/slice.h"
#include "format/blobid.h"

#define SCRUB_FILE_HEAD 32u

struct scrub_time {
    vid_t vid;
    uint32_t time_s; /* Unix */
};
_Static_assert(sizeof(struct scrub_time) == 8, "on-disk layout");

static inline size_t scrub_file_size(uint32_t count)
{
    return SCRUB_FILE_HEAD + sizeof(struct scrub_time) * (size_t)count;
}
/* Writes scrub_file_size(count) bytes; `times` is sorted by vid, each once. */
void scrub_file_encode(const uint8_t uuid[16], const struct scrub_time *times, uint32_t count,
                       uint8_t *out);
/* Verifies the whole file and returns its count. Errors: CORRUPT. */
int scrub_file_decode(struct slice in, const uint8_t uuid[16]) KT_MUST_CHECK;
/* Record `i` of a verified file. */
struct scrub_time scrub_file_time(struct slice in, uint32_t i);

#endif
