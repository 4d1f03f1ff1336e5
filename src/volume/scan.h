/* volume/scan: walks the needles of a log in order. Recovery, index rebuild, compaction, scrub,
 * fsck and dump all read logs through this.
 *
 * Model. A scanner reads windows of about 1 MiB (larger for a larger needle) and yields one needle
 * a call, each verified: header and meta always, every byte with SCAN_VERIFY. It stops at `to`, or
 * at the first place where no valid needle starts (CORRUPT, with `at` telling where); it never
 * guesses beyond. Marks are yielded too. One fiber. The file stays the caller's.
 *
 *     struct scanner s;
 *     rc = scan_open(&s, file, &place, VOLUME_LOG_START, length, SCAN_VERIFY);
 *     while (rc == 0 && (rc = scan_next(&s, &info, &bytes)) > 0)
 *         rc = use(&info, bytes);
 *     scan_done(&s);
 */
#ifndef KT_VOLUME_SCAN_H
#define KT_VOLUME_SCAN_H

#include "format/needle.h"
#include "rt/rt.h"

#define SCAN_VERIFY 1u /* verify data too; `bytes` is the whole needle, else header and meta */
#define SCAN_DIRECT 2u /* the file was opened with RT_O_DIRECT: aligned reads */

struct scanner {
    int file;
    unsigned flags;
    struct needle_place place;
    uint64_t at, to;       /* next needle; end of the range (<= the file's size) */
    uint64_t win_at;       /* file offset of the window */
    size_t win_len;        /* valid bytes in it */
    uint8_t *memory, *win; /* owned; `win` is its aligned part */
    size_t win_cap;
    uint64_t read_bytes; /* read so far, for throttles */
};

/* `to` must not lie behind the end of the file. Errors: NO_MEMORY. */
int scan_open(struct scanner *s, int file, const struct needle_place *place, uint64_t from,
              uint64_t to, unsigned flags) KT_MUST_CHECK;
void scan_done(struct scanner *s);
/* Returns 1 with the needle at the old `at`, which moves behind it; 0 at `to`. `*ret_bytes` (may be
 * NULL) is valid until the next call. Errors: CORRUPT (`at` stays), IO, EOF (the file is shorter
 * than it said), NO_MEMORY. */
int scan_next(struct scanner *s, struct needle_info *ret,
              struct slice *ret_bytes) KT_MUST_CHECK KT_YIELDS;
/* After CORRUPT: looks from `at` + 8 on, at every possible place, for the next valid header.
 * Returns 1 with it
 * (`at` is then its offset: the next scan_next yields it), 0 when there is none before `to`. For
 * reports and verdicts only, never to take needles from behind damage. */
int scan_blind(struct scanner *s, struct needle_info *ret) KT_MUST_CHECK KT_YIELDS;

#endif
