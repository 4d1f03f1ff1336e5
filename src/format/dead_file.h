/* format/dead_file: the bytes of VID.dead: a volume's dead marks, folded out of the disk's dead
 * log.
 *
 * Little endian:
 *     0   4  magic "KDED"                24   4  vid
 *     4   4  crc of bytes 8 .. end       28   4  count of marks
 *     8  16  uuid, of the volume
 *    32      marks of 12 bytes, sorted by seq: {seq u32, counter u32, time u32}
 * A mark's counter and time mean what they mean in the dead log (format/deadlog.h). Marks aren't
 * bound to a generation: seqs keep their numbers. Written as tmp, fsync, rename. Pure functions,
 * any thread.
 */
#ifndef KT_FORMAT_DEAD_FILE_H
#define KT_FORMAT_DEAD_FILE_H

#include "base/err.h"
#include "base/slice.h"
#include "format/blobid.h"

#define DEAD_FILE_HEAD 32u
#define DEAD_FILE_MARK 12u

struct dead_mark {
    seq_t seq;
    uint32_t counter; /* odd: dead */
    uint32_t time_s;  /* Unix */
};
_Static_assert(sizeof(struct dead_mark) == DEAD_FILE_MARK, "on-disk layout");

struct dead_file {
    uint8_t uuid[16];
    vid_t vid;
    uint32_t count;
};

static inline size_t dead_file_size(uint32_t count)
{
    return DEAD_FILE_HEAD + (size_t)DEAD_FILE_MARK * count;
}
/* Writes dead_file_size(f->count) bytes; the marks are sorted by seq, each seq once. */
void dead_file_encode(const struct dead_file *f, const struct dead_mark *marks, uint8_t *out);
/* Verifies the whole file; `expect` gives uuid and vid. Errors: CORRUPT. */
int dead_file_decode(struct slice in, const struct dead_file *expect,
                     struct dead_file *ret) KT_MUST_CHECK;
/* Mark `i` < count of a verified file. */
struct dead_mark dead_file_mark(struct slice in, uint32_t i);

#endif
