/* volume/disk: one data directory: its label, lock, space, volumes and dead log. The unit of
 * failure.
 *
 * Model. disk_open takes the directory (creating it when asked), locks it for this process, removes
 * *.tmp, opens every volume and replays the dead log. A disk is OK, FULL (writes refused until
 * space returns; reads, deletes and compaction go on) or FAILED (no new data; reads are still
 * tried). Volumes live until disk_close.
 *
 *      disk_check_space: free < reserve     disk_fault: dead log, state slot, 2nd volume
 *   OK --------------------------------> FULL     OK or FULL ------------> FAILED
 *      <------------------------------- (again)               until the next start
 *
 * Invariants.
 *  1. One process per directory: the lock on the file `disk` is held until disk_close.
 *  2. Nothing here follows a link: names are opened as plain files beneath the directory.
 *  3. Without a trustworthy dead log no volume of the disk serves anything.
 */
#ifndef KT_VOLUME_DISK_H
#define KT_VOLUME_DISK_H

#include "format/disk_label.h"
#include "volume/volume.h"

enum disk_state {
    DISK_OK = 1,
    DISK_FULL = 2,
    DISK_FAILED = 3,
};
const char *disk_state_name(uint8_t state);

#define DISK_VOLUMES_MAX 65536u

struct disk_options {
    uint32_t index;              /* position among the store's disks, chooses the owner loop */
    uint8_t cell[UUID_BYTES];    /* expected (and given to a new directory); zero: any */
    uint8_t store[UUID_BYTES];   /* written to a new label */
    uint64_t volume_limit_bytes; /* 0: capacity/128 within 256 MiB .. 32 GiB */
    uint64_t reserve_bytes;      /* 0: min(2 * limit, capacity/16) */
    uint64_t zero_fill_bytes;    /* zeros written ahead of an open log, 0: none */
    uint64_t dead_fold_bytes;    /* the dead log is folded past this; 0: 8 MiB */
    uint64_t dead_log_bytes_max; /* deletes are refused past this; 0: 256 MiB, also the most */
    uint32_t undelete_window_s;  /* 0: 24 h */
    uint32_t idle_mark_ms;       /* 0: 1000 */
    uint32_t queue_bytes_max;    /* per volume, waiting appends; 0: 64 MiB */
    uint32_t queue_count_max;    /* 0: 16384 */
    bool no_sync;                /* benchmark switch: acknowledges without a flush */
};

/* Opens or creates. Errors, each with a sentence: LOCKED, FORMAT, DENIED, CORRUPT, CONFLICT (other
 * cell, or a directory with foreign files), IO, NO_MEMORY. */
int disk_open(const char *path, const struct disk_options *opt,
              struct disk **ret) KT_MUST_CHECK KT_YIELDS;
/* Stops all writers (marks and flushes), then closes. NULL-safe. */
void disk_close(struct disk *d) KT_YIELDS;

struct disk_stat {
    const char *path;
    uint8_t uuid[UUID_BYTES], cell[UUID_BYTES];
    uint8_t state;
    char reason[160];
    uint64_t total_bytes, free_bytes, reserve_bytes, limit_bytes;
    uint32_t volumes, open_volumes;
    uint64_t dead_log_bytes, dead_folds, dead_groups, dead_records;
};
void disk_stat(struct disk *d, struct disk_stat *ret);
uint8_t disk_state_of(const struct disk *d);
const struct disk_label *disk_label_of(const struct disk *d);
int disk_dir(const struct disk *d);
/* May take new data: OK, and free space above the reserve. */
bool disk_writable(const struct disk *d);
uint64_t disk_free_bytes(const struct disk *d);
/* Asks the file system again; moves between OK and FULL. Call about once a second. */
void disk_check_space(struct disk *d) KT_YIELDS;

/* The volumes, in order of vid; the array only grows and the pointers stay valid. */
uint32_t disk_volume_count(const struct disk *d);
struct volume *disk_volume_at(struct disk *d, uint32_t i);

/* ---- whole files ---- */

/* tmp, fsync, rename over `name`, directory fsync: how every whole file is born. */
int disk_put_file(struct disk *d, const char *name, struct iovec *iov,
                  int n) KT_MUST_CHECK KT_YIELDS;
/* The same, and keeps it open for reading and writing: *ret_file is the file that has the name now,
 * also when only the directory's sync failed, or -1 when the name still means what it meant. */
int disk_replace_file(struct disk *d, const char *name, struct iovec *iov, int n,
                      int *ret_file) KT_MUST_CHECK KT_YIELDS;
int disk_sync_dir(struct disk *d) KT_MUST_CHECK KT_YIELDS;
/* Reads a whole file of at most `max` bytes; *ret is owned by the caller. Errors: NOT_FOUND,
 * TOO_LARGE, IO. */
int disk_get_file(struct disk *d, const char *name, uint64_t max, uint8_t **ret,
                  size_t *ret_len) KT_MUST_CHECK KT_YIELDS;

#endif
