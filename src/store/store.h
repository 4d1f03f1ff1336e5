/* store: the role that holds volumes on this process's disks, behind struct store_api.
 *
 * Model. A store opens its data directories as one set (same cell, distinct UUIDs), keeps a table
 * of all volumes, and has at most one open volume per disk and expiry class. A write goes to a disk
 * chosen by free space; when its volume is sealed, fenced or out of space meanwhile, the same call
 * goes on with another volume or disk, within its deadline. Reads find the volume without a lock.
 *
 * Invariants.
 *  1. A volume id is given out once: the next one is on every disk before a volume gets it.
 *  2. An id of an unknown volume is NOT_FOUND only when every directory that belongs to the store
 * is here; else NOT_HERE.
 *  3. Open volumes per disk are capped; past the cap, expiring needles share the volume without a
 * class.
 *
 * Opened and closed on a fiber of loop 0; struct store_api's calls come from any loop. A
 * housekeeping fiber looks at space and state once a second, and logs what changed.
 *
 *     struct store_options opt = {.dirs = dirs, .ndirs = 1};
 *     rc = store_open(&opt, &s);
 *     api = store_api_of(s);
 *     rc = api->put(api->self, &put, rt_after_ms(30000), &res);
 *     ...
 *     store_close(s);
 */
#ifndef KT_STORE_STORE_H
#define KT_STORE_STORE_H

#include "api/store.h"
#include "store/jobs.h"

struct store;

struct store_options {
    const char *const *dirs; /* data directories, 1..64, made when missing */
    int ndirs;
    uint64_t volume_limit_bytes;  /* for new volumes; 0: by the disk's capacity */
    uint64_t reserve_bytes;       /* kept free for deletes and compaction; 0: by the limit */
    uint64_t zero_fill_bytes;     /* zeros written ahead of an open log; 0: none */
    uint64_t dead_fold_bytes;     /* size of the dead log at which it is folded; 0: 8 MiB */
    uint32_t undelete_window_s;   /* 0: 24 h */
    uint32_t idle_mark_ms;        /* 0: 1000 */
    uint32_t open_volumes_max;    /* per disk; 0: 3 */
    uint32_t check_ms;            /* period of housekeeping; 0: 1000 */
    uint32_t garbage_percent;     /* share at which a volume is compacted; 0: 30 */
    uint64_t compact_bytes_per_s; /* per disk; 0: 64 MiB */
    uint32_t scrub_period_s;      /* every byte is verified within it; 0: 7 days */
    uint64_t scrub_bytes_per_s;   /* per disk; 0: what the period demands */
    bool no_jobs;                 /* neither compaction nor scrub */
    bool forget_missing;          /* go on without directories that once belonged to the store */
    bool unsafe_no_sync;          /* benchmarks only: acknowledges without a flush */
};

/* Errors, each a sentence for the operator: as disk_open; CONFLICT (directories of different cells,
 * the same one twice, or one missing without forget_missing is only reported by NOT_HERE answers),
 * INVALID. */
int store_open(const struct store_options *opt, struct store **ret) KT_MUST_CHECK KT_YIELDS;
/* Marks, flushes and closes everything; every reader must be closed. NULL-safe. */
void store_close(struct store *s) KT_YIELDS;
const struct store_api *store_api_of(struct store *s);

/* Totals since the start. */
struct store_totals {
    uint64_t puts, put_bytes, gets, get_bytes, removes, unremoves;
    uint64_t retries; /* writes that went on with another volume */
    uint64_t corrupt, io_errors;
    uint64_t groups, group_needles; /* mean group size = group_needles / groups */
    uint64_t index_bytes;           /* memory of all loaded indexes */
    struct jobs_totals jobs;
};
void store_totals(struct store *s, struct store_totals *ret);

#endif
