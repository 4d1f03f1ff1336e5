/* store/jobs: the long work on a store's disks: compaction, scrub, expiry of whole volumes.
 *
 * Model. One fiber per disk does one thing at a time: first what a stop interrupted (VID.job),
 * then, each time it looks, the most useful of: drop a sealed volume whose every needle has
 * expired; compact the sealed volume with the largest share of garbage past the threshold; verify
 * the volume that was verified longest ago, early enough that none gets older than the period. An
 * open volume with much garbage is asked to seal. Work is paced by a byte rate and stands still
 * while clients wait for disks.
 *
 * What it finds is logged once and counted (kitten_crc_errors_total); what fails is tried again
 * after a while, except that a volume with damage is not compacted again by this process.
 *
 * jobs_start and jobs_stop on a fiber of loop 0, before disk_close; jobs_walk from any thread.
 */
#ifndef KT_STORE_JOBS_H
#define KT_STORE_JOBS_H

#include "api/store.h"
#include "volume/disk.h"

struct jobs;

struct jobs_options {
    uint32_t undelete_window_s;   /* 0: 24 h */
    uint32_t garbage_percent;     /* 0: 30 */
    uint64_t compact_bytes_per_s; /* 0: 64 MiB */
    uint32_t scrub_period_s;      /* 0: 7 days */
    uint64_t scrub_bytes_per_s;   /* 0: twice what the period demands, at least 4 MiB */
    uint32_t look_ms;             /* how often an idle fiber looks for work; 0: 1000 */
    uint32_t queue_max; /* disk calls waiting for a worker at which work stands still; 0: 32 */
    /* Whether a bucket was removed for good, and how many were; both or neither. */
    bool (*bucket_removed)(void *arg, uint32_t bucket);
    uint64_t (*buckets_removed)(void *arg);
    void *bucket_arg;
};

/* `disks` (n of them) must outlive the jobs. Errors: LIMIT, NO_MEMORY. */
int jobs_start(struct disk *const *disks, uint32_t n, const struct jobs_options *opt,
               struct jobs **ret) KT_MUST_CHECK;
/* Ends the running work (a compaction goes on after the next start) and frees. NULL-safe. */
void jobs_stop(struct jobs *j) KT_YIELDS;

/* Calls fn for the running job of each disk. */
void jobs_walk(struct jobs *j, void (*fn)(void *arg, const struct store_job_stat *st), void *arg);

/* Totals since the start. */
struct jobs_totals {
    uint64_t compactions, compacted_bytes, reclaimed_bytes;
    uint64_t scrubs, scrubbed_bytes, findings;
    uint64_t dropped_volumes, failures;
    uint64_t scrub_oldest_s; /* age of the oldest verification */
};
void jobs_totals(struct jobs *j, struct jobs_totals *ret);

#endif
