/* oracle: what a store must answer, kept in memory, outside the simulated machine.
 *
 * Model. Each put is a blob with a number; its content, meta and cookie-free identity follow from
 * the number, so any bytes that a store serves say which put they come from. For each blob the
 * oracle keeps the set of states it may be in (LIVE, DEAD, ABSENT): an acknowledged operation
 * leaves one, an unknown outcome (an error, a timeout, anything after a crash) leaves several, and
 * what is seen after a restart narrows the set for good: recovery has made it durable, so it may
 * not change again.
 *
 * Verdicts are counted in struct counters; the first ones are kept as text. One thread. */
#ifndef KT_TESTS_MODEL_ORACLE_H
#define KT_TESTS_MODEL_ORACLE_H

#include "api/store.h"
#include "base/macros.h"

enum blob_state { LIVE = 1, DEAD = 2, ABSENT = 4 };

struct blob {
    uint32_t number;
    uint32_t size;
    uint32_t bucket;
    uint32_t expires_s; /* 0: never */
    struct blobid id;
    bool has_id;
    uint8_t may;        /* set of enum blob_state */
    bool droppable;     /* its bucket was removed: may go DEAD by itself at any time */
    bool damaged;       /* bits were flipped in its volume or disk: any error, never wrong bytes */
    uint32_t mutating;  /* deletes and undeletes on their way */
    uint32_t mutations; /* begun so far */
    bool tangled;       /* two at a time */
    int64_t dead_since_ns; /* wall: not dead before, when DEAD is possible */
};

struct counters {
    uint64_t puts, acked_puts, gets, acked_deletes, acked_undeletes, unavailable, duplicates;
    uint64_t cuts, kills, restarts, ops, seeds, sectors_lost, sectors_torn, compactions, rollovers;
    uint64_t failed_reads, failed_writes, failed_syncs, no_space, short_calls, stalls, dir_ops_lost,
        rots;
    uint64_t lost, resurrected, corrupt, phantom, other; /* violations */
};

struct oracle {
    uint64_t seed;
    struct blob *blobs;
    uint32_t n, cap;
    uint32_t undelete_window_s;
    struct counters c;
    bool forgiving;   /* rot was injected: damaged blobs may answer with errors */
    bool must_answer; /* no fault is active: an error is a violation */
    char first[400];  /* the first violation */
};

void oracle_init(struct oracle *o, uint64_t seed);
void oracle_done(struct oracle *o);
uint64_t oracle_violations(const struct oracle *o);
/* Counts a violation in *which and keeps its text. */
void oracle_violation(struct oracle *o, uint64_t *which, const char *fmt, ...) KT_PRINTF(3, 4);

/* A new blob, not yet put: ABSENT. The pointer is valid until the next call. */
struct blob *oracle_new(struct oracle *o, uint32_t size);
/* Content bytes [off, off + len) of blob `number`. */
void oracle_content(const struct oracle *o, uint32_t number, uint64_t off, uint8_t *p, size_t len);
/* Encoded meta; returns its length. */
size_t oracle_meta(const struct oracle *o, uint32_t number, uint8_t out[256]);

/* A put ended with `rc`; `alive` is false when the machine had gone down before the answer. */
void oracle_put_done(struct oracle *o, uint32_t number, int rc, const struct blobid *id,
                     bool alive);

/* What a read may answer: taken before it starts and completed after. */
struct view {
    uint8_t may;
    uint32_t mutations;
    int64_t wall_ns;
};
struct view oracle_view(const struct oracle *o, uint32_t number, int64_t wall_ns);
/* Judges a read's result. 0: bytes and meta were right (the caller compared them). `settle`: what
 * was seen holds from now on (nothing else runs, and recovery came before). */
void oracle_read_done(struct oracle *o, uint32_t number, const struct view *before, int rc,
                      int64_t wall_ns, bool settle);
void oracle_wrong_bytes(struct oracle *o, uint32_t number, const char *what);

void oracle_mutate_begin(struct oracle *o, uint32_t number);
void oracle_delete_done(struct oracle *o, uint32_t number, const struct view *before, int rc,
                        int64_t wall_ns, bool alive);
void oracle_undelete_done(struct oracle *o, uint32_t number, const struct view *before, int rc,
                          int64_t wall_ns, bool alive);

/* A full scan of live needles, after recovery, with nothing else running. */
void oracle_scan_begin(struct oracle *o, uint8_t *seen);
/* Returns the blob that this needle is, or UINT32_MAX after counting a phantom. */
uint32_t oracle_scan_needle(struct oracle *o, const struct blobid *id,
                            const struct needle_info *info, uint8_t *seen);
/* `complete`: every volume could be read. Blobs whose put is unknown and that were not seen are
 * ABSENT for good. */
void oracle_scan_end(struct oracle *o, const uint8_t *seen, bool complete);
/* Everything that was on its way ended with the process. */
void oracle_crashed(struct oracle *o);

#endif
