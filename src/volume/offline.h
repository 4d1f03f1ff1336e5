/* volume/offline: a data directory looked at from outside, by tools: nothing is served, recovered
 * or cut.
 *
 * Model. offline_open reads the label, takes the lock when the caller wants to be alone, and lists
 * what is there. offline_volume_open reads a volume's head and opens its log. All reads go through
 * rt, which opens plain files beneath the directory only: links, devices and files with several
 * links are refused (DENIED).
 *
 * One fiber. Errors are sentences that say what to do.
 */
#ifndef KT_VOLUME_OFFLINE_H
#define KT_VOLUME_OFFLINE_H

#include "format/dead_file.h"
#include "format/disk_label.h"
#include "format/index_file.h"
#include "format/superblock.h"
#include "rt/rt.h"

#define OFFLINE_NAME_MAX 64u
#define OFFLINE_NAMES_MAX 400000u /* entries of a directory */

struct offline {
    const char *path; /* borrowed */
    int dir, lock;
    struct disk_label label;
    char (*names)[OFFLINE_NAME_MAX]; /* owned, sorted; longer names are cut and so match nothing of
                                        ours */
    uint32_t nnames;
};

/* Errors: NOT_FOUND (no data directory there), LOCKED (`alone`, and a process uses it), CORRUPT,
 * FORMAT, DENIED, IO. */
int offline_open(const char *path, bool alone, struct offline *ret) KT_MUST_CHECK KT_YIELDS;
void offline_close(struct offline *o);
/* The volume id of "VVVVVVVV.EXT"; 0 when `name` isn't one. */
vid_t offline_vid(const char *name, const char *ext);
/* "VVVVVVVV.EXT" */
void offline_name(vid_t vid, const char *ext, char out[OFFLINE_NAME_MAX]);
bool offline_has(const struct offline *o, const char *name);
/* Reads a whole file of at most `max` bytes; owned by the caller. Errors: NOT_FOUND, TOO_LARGE,
 * DENIED, IO, NO_MEMORY. */
int offline_read(const struct offline *o, const char *name, uint64_t max, uint8_t **ret,
                 size_t *ret_len) KT_MUST_CHECK KT_YIELDS;
/* Puts a file in place: tmp, fsync, rename, fsync of the directory. Errors: NO_SPACE, IO, DENIED.
 */
int offline_write(const struct offline *o, const char *name, struct iovec *iov,
                  int n) KT_MUST_CHECK KT_YIELDS;

struct offline_volume {
    vid_t vid;
    int file;
    uint64_t size; /* of the file */
    uint64_t end;  /* where the log may end: sealed length, or the file's size */
    struct superblock super;
    struct state_slot slot;
    int slot_index;     /* of the current one */
    unsigned bad_slots; /* SLOT_BAD_* */
    struct needle_place place;
};

/* Errors: CORRUPT (head damaged), FORMAT (a newer version's), CONFLICT (another id or cell than its
 * place says), DENIED, IO, NOT_FOUND. */
int offline_volume_open(const struct offline *o, vid_t vid,
                        struct offline_volume *ret) KT_MUST_CHECK KT_YIELDS;
void offline_volume_close(struct offline_volume *v);
/* What an index of the volume has to say of itself. */
void offline_index_head(const struct offline_volume *v, struct index_head *ret);

/* All dead marks of a volume, from VID.dead and the valid part of dead.log, sorted by seq; owned by
 * the caller. Errors: CORRUPT (VID.dead), IO, DENIED, NO_MEMORY. */
int offline_dead_marks(const struct offline *o, const struct offline_volume *v,
                       struct dead_mark **ret, uint32_t *ret_count) KT_MUST_CHECK KT_YIELDS;

#endif
