/* volume_priv: what the files of this folder share; nobody else includes it.
 *
 * Model. disk owns its volumes and its dead log; a volume owns its writer and its current
 * generation. Invariant: of the locks here (disk.mu, volume.mu, volume_writer.mu, dead_log.mu,
 * gate.mu) at most one is held at a time, and none over a yield (section_begin); only gates are.
 * Errors as in volume.h and disk.h. */
#ifndef KT_VOLUME_VOLUME_PRIV_H
#define KT_VOLUME_VOLUME_PRIV_H

#include "base/assert.h"
#include "base/buf.h"
#include "format/dead_file.h"
#include "volume/disk.h"
#include "volume/gate.h"
#include "volume/generation.h"
#include "volume/index.h"
#include "volume/volume.h"

#define GROUP_BYTES_MAX (1u << 20)
#define GROUP_NEEDLES_MAX 1000u /* one iovec each, below the kernel's 1024 */
#define VOLUME_NAME_MAX 32

/* For results that change nothing whatever they are. */
static inline void best_effort(int rc)
{
    (void)rc;
}

/* "VVVVVVVV.ext" */
void volume_file_name(vid_t vid, const char *ext, char out[VOLUME_NAME_MAX]);

/* ---- generation: a file and its index, shared by readers ---- */

struct generation {
    uint32_t magic;
    _Atomic uint32_t refs;
    int file;                    /* owned */
    struct needle_place place;   /* immutable */
    _Atomic uint64_t length;     /* the synced end, or the sealed length */
    struct index *_Atomic index; /* owned; NULL until loaded, then fixed */
};
struct generation *generation_new(int file, const struct superblock *sb, uint32_t number,
                                  uint64_t length, struct index *ix);

/* ---- dead marks not yet folded: seq -> (counter, time), open addressing ---- */

struct dead_tail {
    struct dead_mark *slots; /* counter 0: free */
    uint32_t cap, count;     /* cap is a power of two or 0 */
};
struct dead_mark *dead_tail_find(const struct dead_tail *t, seq_t seq);
/* Keeps the higher counter. Errors: NO_MEMORY. */
int dead_tail_put(struct dead_tail *t, const struct dead_mark *m) KT_MUST_CHECK;
void dead_tail_done(struct dead_tail *t);

/* ---- writer: the one fiber that appends to an open volume ---- */

struct volume_writer {
    pthread_mutex_t mu;
    struct list queue;         /* struct append; guarded by mu */
    uint32_t queued;           /* guarded by mu */
    uint64_t queued_bytes;     /* guarded by mu */
    struct rt_wait *sleeper;   /* the writer's own wait, or NULL; guarded by mu */
    struct rt_wait *joiner;    /* volume_stop's, or NULL; guarded by mu */
    bool stopping, seal_asked; /* guarded by mu */
    bool ended;                /* guarded by mu; the fiber is gone */
    int closed_rc;             /* what new appends get, 0 while open; guarded by mu */

    /* the writer fiber's alone */
    struct volume *vol;
    struct generation *gen; /* a reference */
    struct iovec *iov;      /* GROUP_NEEDLES_MAX */
    uint64_t end;           /* of the log, all of it synced */
    uint64_t zeroed;        /* end of the zeros written ahead, >= end */
    seq_t next_seq;
    bool marked;  /* the log ends with a mark, or is empty */
    int idx_file; /* VID.idx being appended, -1 when given up */
    uint64_t idx_at;
    uint32_t idx_chunk; /* next chunk to record */
};

struct volume {
    uint32_t magic;
    vid_t vid;
    struct disk *disk;
    struct superblock super; /* immutable once open */
    _Atomic uint8_t state;
    _Atomic uint8_t logged_state; /* last one reported by volume_note_logged */
    pthread_mutex_t mu;
    struct generation *gen;       /* guarded by mu */
    struct index *next_index;     /* about to take over: gets each change, too; guarded by mu */
    struct state_slot slot;       /* guarded by mu */
    int slot_index;               /* guarded by mu */
    char reason[96];              /* guarded by mu */
    bool carried;                 /* by the dead fiber: its marks stay in the log */
    struct dead_tail tail;        /* guarded by mu */
    uint64_t dead_changes;        /* of dead bits, and folds; guarded by mu */
    uint64_t marks_end;           /* highest seq with a mark, + 1; guarded by mu */
    uint64_t folds;               /* of the tail into VID.dead; guarded by mu */
    struct slice frozen;          /* bytes of VID.job while a compaction runs; guarded by mu */
    struct gate load_gate;        /* loading the index, changing the generation */
    struct volume_writer *writer; /* fixed once open; NULL when never open in this process */
    _Atomic uint64_t groups, group_needles;
};

void volume_set_reason(struct volume *v, const char *fmt, ...) KT_PRINTF(2, 3);
/* Writes the other state slot and syncs. `state` etc. are taken from *next, whose counter is set
 * here. A failure fails the disk. */
int volume_write_slot(struct volume *v, int file, struct state_slot *next) KT_MUST_CHECK KT_YIELDS;
/* Starts the writer fiber on the disk's owner loop, appending at gen's length. */
int writer_start(struct volume *v, seq_t next_seq, uint64_t idx_at, uint32_t idx_chunk,
                 bool marked) KT_MUST_CHECK KT_YIELDS;
void writer_stop(struct volume *v) KT_YIELDS;
void writer_free(struct volume_writer *w);
/* Recovery (recover.c): builds the index of an open log, cuts a torn tail, starts the writer. */
int recover_open(struct volume *v, int file, uint64_t file_size) KT_MUST_CHECK KT_YIELDS;
/* The index of a fenced or damaged log, read-only. */
int recover_read_only(struct volume *v, int file, uint64_t file_size) KT_MUST_CHECK KT_YIELDS;
/* The sealed form of an open volume (seal.c): state slot, index file, generation. Writer fiber. */
int seal_volume(struct volume *v, uint64_t length) KT_MUST_CHECK KT_YIELDS;
/* Sets the dead bit in the current index and the counters. */
void volume_apply_dead(struct volume *v, seq_t seq, bool dead);
/* Sets the bits of VID.dead and of the tail in an index that is not yet in use. */
int dead_apply_to_index(struct volume *v, struct index *ix) KT_MUST_CHECK KT_YIELDS;
/* Runs a long computation on a worker, or in place when the workers have too much to do. `fn` may
 * not return LIMIT. */
int volume_compute(int (*fn)(void *arg), void *arg) KT_MUST_CHECK KT_YIELDS;
/* ---- dead log (dead.c) ---- */

#define DEAD_LOG_MAX (256u << 20) /* bytes a start is willing to replay */

struct dead_log {
    pthread_mutex_t mu;
    struct list queue;                /* struct dead_request; guarded by mu */
    uint32_t queued;                  /* guarded by mu */
    struct rt_wait *sleeper, *joiner; /* guarded by mu */
    bool stopping, ended;             /* guarded by mu */
    int file;                         /* -1: none */
    uint64_t instance;
    uint32_t records; /* all synced */
    uint32_t chain;
    uint64_t reserved; /* end of the file: records, then zeros */
    bool marked, started;
    _Atomic bool trusted; /* false: nothing of this disk may be served */
    _Atomic uint64_t bytes, folds, groups, marks;
};
/* Opens or creates dead.log and replays it into the volumes. */
int dead_log_open(struct disk *d, bool fresh) KT_MUST_CHECK KT_YIELDS;
void dead_log_stop(struct disk *d) KT_YIELDS;
/* Reads VID.dead of one volume into its counters and index. */
int dead_file_load(struct volume *v, struct dead_mark **ret,
                   uint32_t *ret_count) KT_MUST_CHECK KT_YIELDS;

struct disk {
    uint32_t magic;
    char path[256];
    struct disk_options opt;
    uint8_t metric; /* its number as a metric label */
    struct disk_label label;
    int dir, lock_file;
    _Atomic uint8_t state;
    pthread_mutex_t mu;
    char reason[160]; /* guarded by mu */
    struct volume *
        *volumes; /* sorted by vid; slots fixed once counted; guarded by mu for writing */
    _Atomic uint32_t nvolumes;
    uint32_t cap_volumes;
    uint32_t faulty_volumes; /* guarded by mu */
    _Atomic uint64_t total_bytes, free_bytes,
        written_bytes; /* written since free_bytes was asked */
    uint64_t limit_bytes, reserve_bytes;
    struct dead_log dead;
};
/* Enters a volume; vids rise over a process's life. Errors: LIMIT. */
int disk_add_volume(struct disk *d, struct volume *v) KT_MUST_CHECK;
struct volume *disk_find_volume(struct disk *d, vid_t vid);
/* The disk as a whole can't be trusted with writes any more. */
void disk_fault(struct disk *d, const char *fmt, ...) KT_PRINTF(2, 3);
/* One volume met a failed write or sync; the second one fails the disk. */
void disk_note_volume_fault(struct disk *d, vid_t vid);
void disk_note_full(struct disk *d);
void disk_note_written(struct disk *d, uint64_t bytes);

#endif
