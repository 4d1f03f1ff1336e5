/* volume/scrub: reads every byte of a volume from the medium and verifies it.
 *
 * Model. One pass checks the superblock and the current state slot, then every needle of the log in
 * order (header, meta, block table, data, padding), by reads that bypass the page cache where the
 * file system can; and that the index knows each needle at its place, and none besides. What
 * doesn't verify is reported, and the pass goes on behind it: at the next needle the index knows,
 * or the next valid header. Nothing is changed.
 *
 * Findings are bounded: past SCRUB_FINDINGS_MAX the pass ends with the last one saying so. One
 * fiber; the volume serves and may be written meanwhile (bytes synced after the start are left to
 * the next pass).
 */
#ifndef KT_VOLUME_SCRUB_H
#define KT_VOLUME_SCRUB_H

#include "format/scrub_file.h"
#include "volume/disk.h"
#include "volume/volume.h"
#include "volume/work.h"

#define SCRUB_FINDINGS_MAX 1000u

struct scrub_finding {
    vid_t vid;
    uint64_t offset; /* in the volume file */
    uint64_t bytes;  /* how far the damage may reach; 0 for what has no extent */
    bool has_seq;    /* the needle's header is sound */
    seq_t seq;
    char text[200]; /* one sentence */
};

struct scrub_result {
    uint64_t bytes, needles, findings;
};

/* Verifies `v`; calls report(arg, finding) for each finding. Errors: CONFLICT (the volume serves
 * nothing, or changed its generation meanwhile), NOT_HERE (no index), CANCELED, NO_MEMORY, BUSY
 * (not read now), LIMIT (SCRUB_FINDINGS_MAX findings: the pass ends). Findings are no error. */
int scrub_run(struct volume *v, struct work *w,
              void (*report)(void *arg, const struct scrub_finding *f), void *arg,
              struct scrub_result *ret) KT_MUST_CHECK KT_YIELDS;

/* When the disk's volumes were last verified, as the file `scrub` has it; sorted by vid, owned by
 * the caller. A missing or damaged file counts as an empty one. Errors: IO, DENIED, NO_MEMORY. */
int scrub_times_read(struct disk *d, struct scrub_time **ret,
                     uint32_t *ret_count) KT_MUST_CHECK KT_YIELDS;
/* Replaces the file. Errors: IO, NO_SPACE, NO_MEMORY. */
int scrub_times_write(struct disk *d, const struct scrub_time *times,
                      uint32_t count) KT_MUST_CHECK KT_YIELDS;

#endif
