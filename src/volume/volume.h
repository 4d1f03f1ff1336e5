/* volume: an append-only log of needles on one disk, with its index, its state and its dead marks.
 *
 * Model. A volume is created OPEN, takes appends through one writer fiber (natural group commit: a
 * group is whatever queued while the last flush ran), and is sealed when its limit is reached.
 * Reads take a reference to the current generation (file and index) and no other lock. Deletes are
 * marks in the disk's dead log.
 *
 *           volume_create       writer_seal (limit, disk full)
 *   (none) ---------------> OPEN ------------------------------> SEALED
 *                            | |  writer_fence (failed write)      | |
 *                            | +---------------------> FENCED      | +-- volume_drop: DROPPED
 *                            |                                     |
 *                            |  recover_open: rot    rebuild: rot  |
 *                            +-----------> DAMAGED <---------------+
 *
 *   SEALED, volume_swap_generation: SEALED with generation + 1
 *   (none), volume_open of a head that can't be read or be understood: REFUSED
 *
 * Invariants.
 *  1. A needle is in the index only when its group is on stable storage; it is acknowledged only
 * after that.
 *  2. Bytes below the synced end never change while a generation lives; nothing below it is ever
 * cut.
 *  3. After a failed write or sync nothing is retried on this volume: FENCED, it serves what was
 * synced.
 *  4. Every byte is verified before it leaves volume_read_*.
 *  5. Seqs are dense in an open log and keep their numbers in later generations.
 *
 * Threads and fibers: all KT_YIELDS calls may come from any loop. A struct volume lives until its
 * disk is closed.
 *
 *     struct append *a;
 *     rc = append_new(&what, &a);
 *     if (rc == 0)
 *         rc = volume_append(v, a);                  // queues
 *     if (rc == 0)
 *         rc = append_wait(a, deadline_ns, &id);     // durable when it returns 0
 *     append_unref(a);
 */
#ifndef KT_VOLUME_VOLUME_H
#define KT_VOLUME_VOLUME_H

#include "format/blobid.h"
#include "format/dead_file.h"
#include "format/needle.h"
#include "format/superblock.h"
#include "rt/rt.h"

struct disk;
struct volume;
struct generation;
struct index;

/* States beyond those of the state slot (enum volume_state: OPEN, SEALED, FENCED). */
enum volume_condition {
    VOLUME_DAMAGED =
        16, /* rot in the log: serves what is indexed, answers NOT_HERE for the rest, never cut */
    VOLUME_REFUSED =
        17, /* head unreadable, of another cell, or of an unknown format: serves nothing */
    VOLUME_DROPPED = 18, /* expired as a whole and removed: NOT_FOUND */
};
/* "open", "sealed", ... */
const char *volume_state_name(uint8_t state);

/* ---- creating and opening ---- */

struct volume_new {
    vid_t vid; /* never used before in this cell */
    uint32_t policy;
    uint32_t expiry_class; /* 0: none */
    uint64_t limit_bytes;
};

/* A new OPEN volume with its writer running. The disk owns it. Errors: NO_SPACE, IO, LIMIT. */
int volume_create(struct disk *d, const struct volume_new *n,
                  struct volume **ret) KT_MUST_CHECK KT_YIELDS;
/* Opens what lies on the disk; an open log is recovered and gets its writer. What is wrong with the
 * volume itself is not an error here but its state (REFUSED, FENCED, DAMAGED) and reason. Errors:
 * NO_MEMORY, LIMIT, DENIED (a planted link). */
int volume_open(struct disk *d, vid_t vid, struct volume **ret) KT_MUST_CHECK KT_YIELDS;
/* Stops the writer: what is queued is written, then a mark. */
void volume_stop(struct volume *v) KT_YIELDS;
/* After volume_stop. NULL-safe. */
void volume_free(struct volume *v);

/* ---- facts (any thread) ---- */

struct volume_stat {
    vid_t vid;
    uint8_t state;
    uint32_t epoch, generation, policy, expiry_class;
    uint64_t length; /* bytes of the log file that count */
    uint64_t limit_bytes;
    uint64_t live_bytes, dead_bytes; /* 0 until the index of a sealed volume is loaded */
    uint32_t needles, dead;          /* likewise */
    bool index_loaded;
    uint64_t index_bytes;           /* memory */
    uint64_t groups, group_needles; /* flushes by this process, and the needles in them */
    char reason[96];
};
vid_t volume_vid(const struct volume *v);
uint8_t volume_state_of(const struct volume *v);
struct disk *volume_disk(const struct volume *v);
const struct superblock *volume_superblock(const struct volume *v);
void volume_stat(struct volume *v, struct volume_stat *ret);
/* True once per state that the volume gets into: for those who log changes. */
bool volume_note_logged(struct volume *v);

/* ---- append ---- */

struct append_data {
    uint32_t bucket;
    uint8_t kind; /* NEEDLE_*, no mark */
    uint64_t version;
    uint64_t cookie;
    struct slice meta;        /* <= NEEDLE_META_MAX */
    const struct slice *data; /* pieces, <= NEEDLE_DATA_MAX in all; copied */
    int ndata;
};
struct append; /* one needle on its way; refcounted by the waiter and the queue */

/* Copies meta and data into the needle's image and computes its checksums. Errors: TOO_LARGE,
 * NO_MEMORY. */
int append_new(const struct append_data *what, struct append **ret) KT_MUST_CHECK;
void append_unref(struct append *a);
uint64_t append_size(const struct append *a); /* bytes in the log */
uint32_t append_data_crc(const struct append *a);
/* Queues it. It may be queued again, on any volume, once append_wait has returned FENCED, NO_SPACE
 * or AGAIN. Errors: AGAIN (sealed or stopping: take another volume), FENCED, NO_SPACE, BUSY (queue
 * full). */
int volume_append(struct volume *v, struct append *a) KT_MUST_CHECK;
/* Waits for the outcome: 0 means durable and readable. TIMEOUT and CANCELED: outcome unknown (it
 * may still be written; its cookie is known to nobody). */
int append_wait(struct append *a, int64_t deadline_ns, struct blobid *ret) KT_MUST_CHECK KT_YIELDS;
/* Whether its outcome is there: append_wait would return *ret_rc at once. */
bool append_done(struct append *a, int *ret_rc);
/* Asks the writer to seal when its queue is empty; returns at once. */
void volume_seal_soon(struct volume *v);

/* ---- read ---- */

#define VOLUME_READ_DEAD 1u /* also what is marked dead and not yet reclaimed */
#define VOLUME_READ_HEAD                                                                           \
    2u /* header and meta only: damaged data is no error, reading on is not allowed */
/* An opened needle. Keeps its generation alive. */
struct volume_reader {
    struct generation *gen;
    struct volume *vol;
    uint8_t *buf; /* pooled: the whole small needle, or head and one block of a large one */
    uint32_t buf_class;
    uint32_t head_bytes; /* of header, meta and table in buf */
    uint32_t from, to;   /* data bytes still to read */
    uint64_t data_at;    /* file offset of the data */
    uint32_t data_len;
    uint16_t meta_len;
    bool whole; /* buf holds all, verified */
    bool dead;
};
/* Errors: NOT_FOUND (absent, dead, or another cookie), NOT_HERE, CORRUPT, IO, NO_MEMORY. */
int volume_read_open(struct volume *v, const struct blobid *id, unsigned flags, int64_t deadline_ns,
                     struct volume_reader *ret,
                     struct needle_info *ret_info) KT_MUST_CHECK KT_YIELDS;
/* Header and meta as they lie on disk; verified; valid until close. */
struct slice volume_read_meta(const struct volume_reader *r);
/* Restricts reading to [from, from + len) of the data; from + len <= data_len. */
void volume_read_seek(struct volume_reader *r, uint32_t from, uint32_t len);
/* Whether this volume may answer at all. Errors: NOT_FOUND (dropped), NOT_HERE (refused, or its
 * disk's dead log can't be trusted, so that nobody knows what is deleted). */
int volume_may_serve(const struct volume *v) KT_MUST_CHECK;
/* The next run of verified data, valid until the next call; empty at the end. Errors: CORRUPT, IO.
 */
int volume_read_next(struct volume_reader *r, struct slice *ret) KT_MUST_CHECK KT_YIELDS;
void volume_read_close(struct volume_reader *r);
/* Frees the calling loop's pooled read buffers; at stop. */
void volume_read_drain(void);

/* ---- dead marks ---- */

/* Marks dead, durably. The caller has checked the cookie. Errors: NOT_FOUND (dead already, or
 * absent), NO_SPACE, IO, NOT_HERE, BUSY, TIMEOUT. */
int volume_delete(struct volume *v, const struct blobid *id,
                  int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
/* Takes it back. Errors as above, and EXPIRED (past the undelete window), CONFLICT (not dead). */
int volume_undelete(struct volume *v, const struct blobid *id,
                    int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;

#endif
