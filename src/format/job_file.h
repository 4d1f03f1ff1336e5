/* format/job_file: the bytes of VID.job: a compaction that was decided, with its frozen drop list.
 *
 * The record makes the outcome certain before work starts: whoever runs the job, now or after a
 * restart, drops exactly these needles and writes exactly the same bytes. It lives from the
 * decision until the new generation is in place.
 *
 * Little endian:
 *     0   4  magic "KJOB"                48   8  source length, sealed length of the old generation
 *     4   4  crc of bytes 8 .. end       56   8  created, Unix milliseconds
 *     8  16  uuid, of the volume         64   4  count, number of seqs the drop list speaks about
 *    24   4  vid                         68   4  drops, number of bits set
 *    28   4  version (1)                 72   8  live bytes expected in the new generation
 *    32   8  job id                      80  16  zeros
 *    40   4  generation from             44   4  generation to
 *    96      drop list: bitmap of ceil(count/8) bytes; seq is bit seq%8 of byte seq/8; bits beyond
 *            count are zero
 * Written as tmp, fsync, rename. Pure functions, any thread.
 */
#ifndef KT_FORMAT_JOB_FILE_H
#define KT_FORMAT_JOB_FILE_H

#include "base/err.h"
#include "base/slice.h"
#include "format/blobid.h"

#define JOB_FILE_HEAD 96u
#define JOB_FILE_VERSION 1u

struct job_file {
    uint8_t uuid[16];
    vid_t vid;
    uint64_t job_id;
    uint32_t from_generation, to_generation;
    uint64_t source_length; /* bytes */
    uint64_t created_ms;    /* Unix */
    uint32_t count;         /* seqs */
    uint32_t drops;
    uint64_t live_bytes;
};

static inline size_t job_file_size(uint32_t count)
{
    return JOB_FILE_HEAD + count / 8 + (count % 8 != 0);
}
/* Writes header and checksum around the bitmap, which already lies at out + JOB_FILE_HEAD. */
void job_file_encode(const struct job_file *job, uint8_t *out);
/* Verifies the whole file; `expect` gives uuid and vid. Errors: CORRUPT, FORMAT. */
int job_file_decode(struct slice in, const struct job_file *expect,
                    struct job_file *ret) KT_MUST_CHECK;
/* Whether a verified file drops `seq`; false beyond its count. */
bool job_file_drops(struct slice in, seq_t seq);
/* Marks `seq` < count in the bitmap of a file under construction. */
void job_file_set_drop(uint8_t *out, seq_t seq);

#endif
