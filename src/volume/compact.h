/* volume/compact: rewrites a sealed volume without its garbage, as its next generation.
 *
 * Model. What is dropped is decided once, in the job record (format/job_file.h), before anything is
 * written: needles dead for longer than the undelete window and the grace, needles expired at the
 * time of the decision, and needles of removed buckets. Then every other needle is verified and
 * copied to VID.vol.tmp at its new offset, its header sealed again for generation + 1; seqs keep
 * their numbers. The rename over VID.vol is the switch.
 *
 *   step                       a power cut right after it finds
 *   1 VID.job born             the old generation, the job: it is started again from the beginning
 *   2 VID.vol.tmp written,     the same (tmp files are removed at start)
 *     synced; VID.idx.tmp too
 *   3 rename over VID.vol      the old or the new generation, whole; both hold the same live
 * needles 4 rename over VID.idx      an index that doesn't fit its generation is rebuilt from the
 * log 5 directory synced         the new generation 6 memory switched,         the new generation,
 * and a job that is done: compact_resume removes it VID.job removed
 *
 * Readers that hold the old generation go on with it until they close; nothing waits for them. A
 * needle that doesn't verify ends the job with CORRUPT: nothing is ever left out silently. Deletes
 * go on meanwhile (they are marks by seq); an undelete of a needle on the drop list is refused from
 * the decision on.
 *
 * One compaction per volume at a time; one fiber each.
 */
#ifndef KT_VOLUME_COMPACT_H
#define KT_VOLUME_COMPACT_H

#include "volume/volume.h"
#include "volume/work.h"

#define COMPACT_GRACE_S 60 /* beyond the undelete window: clocks and running reads */

struct compact_options {
    uint64_t job_id;
    uint32_t undelete_window_s;
    uint32_t garbage_percent; /* least share of the log that must go; 0: one needle is enough */
    uint64_t now_ms;          /* Unix, what ages are reckoned from; 0: the wall clock */
    /* Whether a bucket was removed for good; NULL: none was. */
    bool (*bucket_removed)(void *arg, uint32_t bucket);
    void *bucket_arg;
};

struct compact_result {
    uint32_t kept, dropped;        /* needles */
    uint64_t old_bytes, new_bytes; /* lengths of the logs */
};

/* Compacts `v` now. Errors: CONFLICT (not sealed), AGAIN (nothing, or not enough, to drop),
 * NO_SPACE, CORRUPT (a needle doesn't verify: see the text), CANCELED, IO, NO_MEMORY. After any
 * error the volume serves as before. */
int compact_run(struct volume *v, const struct compact_options *opt, struct work *w,
                struct compact_result *ret) KT_MUST_CHECK KT_YIELDS;
/* Continues or cleans up after VID.job found at start: runs the job it describes, or removes it
 * when it is done or makes no sense any more. Returns 1 when it compacted, 0 when there was nothing
 * to do. Errors as above. */
int compact_resume(struct volume *v, struct work *w,
                   struct compact_result *ret) KT_MUST_CHECK KT_YIELDS;

/* How long the volume's data lives: *ret_last_s is the latest expiry of any needle, live or dead
 * (Unix seconds), 0 when one of them never expires. Reads all headers. Errors: CORRUPT, IO,
 * CANCELED. */
int compact_last_expiry(struct volume *v, struct work *w,
                        uint32_t *ret_last_s) KT_MUST_CHECK KT_YIELDS;

#endif
