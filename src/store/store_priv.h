/* store_priv: what the files of this folder share; nobody else includes it.
 *
 * Model. The volume table is open addressing over atomic pointers: readers probe without a lock,
 * writers insert under `mu`; a table that fills up is replaced by a larger one and kept until the
 * close, so that a reader never sees freed memory. Invariant: volumes are never removed while the
 * store is open. */
#ifndef KT_STORE_STORE_PRIV_H
#define KT_STORE_STORE_PRIV_H

#include "base/assert.h"
#include "base/buf.h"
#include "format/store_file.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "store/store.h"
#include "volume/disk.h"
#include "volume/gate.h"
#include "volume/generation.h"

#define EXPIRY_CLASSES 6u /* 0: none, then up to 1 hour, 1 day, 1 week, 30 days, longer */
#define BUCKETS_TRACKED 65536u

enum store_counter {
    COUNT_PUTS,
    COUNT_PUT_BYTES,
    COUNT_GETS,
    COUNT_GET_BYTES,
    COUNT_REMOVES,
    COUNT_UNREMOVES,
    COUNT_RETRIES,
    COUNT_CORRUPT,
    COUNT_IO_ERRORS,
    COUNT_COUNT
};
#define STORE_LOOPS 64u

struct vtable {
    struct vtable *older; /* replaced ones, freed at the close */
    uint32_t cap, count;  /* cap is a power of two */
    struct volume *_Atomic slots[];
};

struct store_disk {
    struct disk *disk;
    struct volume *_Atomic open[EXPIRY_CLASSES];
    struct gate gate; /* opening a volume */
    _Atomic uint64_t io_errors;
    uint8_t logged_state; /* housekeeping's */
};

struct store {
    uint32_t magic;
    struct store_options opt;
    struct store_api api;
    int ndisks;
    struct store_disk disks[STORE_DISKS_MAX];
    struct vtable *_Atomic table;
    pthread_mutex_t mu;   /* guards inserting into the table */
    struct gate vid_gate; /* guards `file` and its writing */
    struct store_file file;
    bool incomplete;                                /* a directory that belongs to us is missing */
    bool skipped;                                   /* ids it may have seen; guarded by vid_gate */
    _Atomic uint64_t turn;                          /* of the choice of disks */
    _Atomic uint64_t dropped[BUCKETS_TRACKED / 64]; /* buckets that were removed */
    struct store_counts {
        _Alignas(64) _Atomic uint64_t n[COUNT_COUNT];
    } counts[STORE_LOOPS]; /* per loop, so that loops don't share lines; summed by store_totals */
    _Atomic uint64_t ndropped; /* how many */
    struct jobs *jobs;         /* NULL: none */
    /* housekeeping */
    pthread_mutex_t keeper_mu;
    struct rt_wait *keeper_sleeper, *keeper_joiner; /* guarded by keeper_mu */
    bool keeper_started, keeper_stop, keeper_ended; /* guarded by keeper_mu */
};

static inline void store_count(struct store *s, enum store_counter c, uint64_t n)
{
    unsigned loop = (unsigned)rt_loop_index() % STORE_LOOPS;
    atomic_fetch_add_explicit(&s->counts[loop].n[c], n, memory_order_relaxed);
}

/* ---- table (store.c) ---- */
struct volume *store_find(const struct store *s, vid_t vid);
int store_enter(struct store *s, struct volume *v) KT_MUST_CHECK;

/* ---- volume ids (vids.c) ---- */
/* Reads the copies of the store file, checks which directories are here, and writes what changed.
 */
int vids_open(struct store *s) KT_MUST_CHECK KT_YIELDS;
/* An id never given out before, persisted on every disk that works, at least on `target`. */
int vids_next(struct store *s, const struct store_disk *target, int64_t deadline_ns,
              vid_t *ret) KT_MUST_CHECK KT_YIELDS;

/* ---- calls of struct store_api ---- */
int put_one(void *self, const struct store_put *put, int64_t deadline_ns,
            struct store_put_result *ret) KT_MUST_CHECK KT_YIELDS;
int put_many(void *self, const struct store_put *puts, int n, int64_t deadline_ns,
             struct store_put_result *rets, int *rcs) KT_MUST_CHECK KT_YIELDS;
int get_open(void *self, const struct blobid *id, unsigned flags, int64_t deadline_ns,
             struct store_reader *ret) KT_MUST_CHECK KT_YIELDS;
int get_seek(struct store_reader *r, uint64_t from, uint64_t len) KT_MUST_CHECK;
int get_read(struct store_reader *r, int64_t deadline_ns,
             struct slice *ret) KT_MUST_CHECK KT_YIELDS;
void get_close(struct store_reader *r);
int remove_one(void *self, const struct blobid *id, int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
int unremove_one(void *self, const struct blobid *id, int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
int scan_kind(void *self, uint8_t kind, int64_t deadline_ns, store_scan_fn each,
              void *arg) KT_MUST_CHECK KT_YIELDS;

/* The expiry class of a needle that expires at `expires_s` (0: never). */
uint32_t expiry_class_of(uint32_t expires_s, int64_t now_s);
bool bucket_dropped(const struct store *s, uint32_t bucket);

#endif
