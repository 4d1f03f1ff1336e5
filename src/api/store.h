/* api/store: what a store does for others, as an interface. In one process it is a function call;
 * in a cluster it will be a request to another host, behind this same struct.
 *
 * All calls run on a fiber and may yield; any loop. `deadline_ns` bounds each (RT_NEVER is not
 * allowed). Errors common to all: TIMEOUT, CANCELED, BUSY, INTERNAL, IO.
 */
#ifndef KT_API_STORE_H
#define KT_API_STORE_H

#include "base/buf.h"
#include "base/slice.h"
#include "format/blobid.h"
#include "format/needle.h"
#include "rt/rt.h"

/* What a writer says of a new needle; the store adds seq, offset, epoch, durable and checksums. */
struct store_put {
    uint32_t bucket;    /* bucket id, 0: none */
    uint8_t kind;       /* NEEDLE_* */
    uint64_t version;   /* 0 for bare blobs */
    uint32_t expires_s; /* Unix seconds, 0: never; chooses the expiry class */
    struct slice meta;  /* encoded tag-length-values (format/needle.h), borrowed until the return */
    const struct slice *data; /* pieces, borrowed until the return */
    int ndata;
    uint64_t request_id;
};
struct store_put_result {
    struct blobid id;
    uint32_t data_crc; /* as in the needle's header: what a reader's info.data_crc will say */
};

/* An opened needle: header and meta are verified, the data is read by store_read_next. Owned by the
 * caller, ended by close. Keeps its generation of the volume alive. */
struct store_reader {
    struct needle_info info; /* format/needle.h: kind, bucket, sizes, version, flags */
    struct slice meta_view;  /* valid until close */
    bool dead;               /* opened with STORE_READ_DEAD and marked dead */
    void *impl[12];          /* private to the store */
};
#define STORE_READ_DEAD 1u /* also needles that are marked dead and not yet reclaimed */

struct store_volume_stat {
    vid_t vid;
    uint8_t state; /* VOLUME_* of volume/volume.h */
    uint32_t epoch, generation;
    uint64_t length, live_bytes, dead_bytes;
    uint32_t needles, dead;
    uint32_t disk;
    char reason[96]; /* why it is fenced or damaged */
};

struct store_disk_stat {
    uint32_t disk;  /* index, as in store_volume_stat */
    char path[256]; /* directory as it was given */
    uint8_t uuid[16];
    uint8_t state; /* STORE_DISK_* */
    uint64_t total_bytes, free_bytes, reserve_bytes;
    uint32_t volumes;
    uint64_t io_errors;
    char reason[96]; /* why it is full or failed */
};
enum store_disk_state { STORE_DISK_OK, STORE_DISK_FULL, STORE_DISK_FAILED };

/* A long job: compaction, scrub, index rebuild. */
struct store_job_stat {
    uint64_t id; /* rises over restarts */
    char kind[16], phase[24];
    vid_t vid; /* 0: concerns no single volume */
    uint64_t done_bytes, total_bytes;
    uint64_t bytes_per_s, eta_s; /* eta UINT64_MAX: not known */
    char why[96];                /* why it waits or stopped; empty while it runs */
};

/* What status, metrics and start-up walk over. Called for each in turn; must not yield. */
struct store_walk {
    void *arg;
    void (*disk)(void *arg, const struct store_disk_stat *st); /* each may be NULL */
    void (*volume)(void *arg, const struct store_volume_stat *st);
    void (*job)(void *arg, const struct store_job_stat *st);
};

/* One live needle met by a scan; `meta` is borrowed until the return. A negative result ends the
 * scan. */
typedef int (*store_scan_fn)(void *arg, const struct blobid *id, const struct needle_info *info,
                             struct slice meta);

struct store_api {
    void *self;
    /* Durable on return (P1). Errors: NO_SPACE, FENCED (no volume took it), TOO_LARGE. */
    int (*put)(void *self, const struct store_put *put, int64_t deadline_ns,
               struct store_put_result *ret);
    /* Many needles, one wait: all are queued before the first wait, so they share groups. rcs[i] is
     * each one's result; returns 0 or the first error. */
    int (*put_many)(void *self, const struct store_put *puts, int n, int64_t deadline_ns,
                    struct store_put_result *rets, int *rcs);
    /* Opens for reading. Errors: NOT_FOUND (no such seq: no disk read; dead; wrong cookie;
     * expired), NOT_HERE (volume unknown or damaged here), CORRUPT (bytes fail their checksum). */
    int (*open)(void *self, const struct blobid *id, unsigned flags, int64_t deadline_ns,
                struct store_reader *ret);
    /* Restricts reading to data bytes [from, from + len); call before the first read. Errors:
     * RANGE. */
    int (*seek)(struct store_reader *r, uint64_t from, uint64_t len);
    /* The next run of verified data (valid until the next call), empty at the end. Errors: CORRUPT,
     * IO. */
    int (*read)(struct store_reader *r, int64_t deadline_ns, struct slice *ret);
    void (*close)(struct store_reader *r);
    /* Durable dead mark. Errors: NOT_FOUND (as open). Deleting twice: NOT_FOUND. */
    int (*remove)(void *self, const struct blobid *id, int64_t deadline_ns);
    /* Takes a dead mark back within the undelete window. Errors: NOT_FOUND (never was, or
     * reclaimed), EXPIRED (window passed), CONFLICT (not deleted). */
    int (*unremove)(void *self, const struct blobid *id, int64_t deadline_ns);
    /* Reads the headers of all volumes and calls `each` for every live needle of `kind` (0: of any
     * kind), in log order within a volume. Slow: for rebuilding derived state. Errors: those of
     * `each`; CORRUPT, NOT_HERE when a volume could not be read whole (the others were). */
    int (*scan_kind)(void *self, uint8_t kind, int64_t deadline_ns, store_scan_fn each, void *arg);
    /* The bucket was removed: compaction may drop its needles. Kept in memory only; told again at
     * each start. */
    void (*drop_bucket)(void *self, uint32_t bucket);
    /* Snapshot of disks, volumes and jobs. */
    void (*walk)(void *self, const struct store_walk *w);
};

#endif
