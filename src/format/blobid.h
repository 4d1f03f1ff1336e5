/* format/blobid: the name of a stored blob: (volume id, sequence number, cookie).
 *
 * Text form "VID,SEQ-COOKIE": three hex numbers in lower case, vid and seq without leading zeros,
 * the cookie always 16 digits, e.g. "1f3a09c2,4d2-0123456789abcdef". At most BLOBID_TEXT_MAX
 * characters. The parser takes exactly this form (so that one blob has one name). Pure, any thread.
 */
#ifndef KT_FORMAT_BLOBID_H
#define KT_FORMAT_BLOBID_H

#include "base/macros.h"
#include "base/slice.h"

typedef uint32_t vid_t;
typedef uint32_t seq_t;

struct blobid {
    vid_t vid;       /* never reused in a cell; 0 is invalid */
    seq_t seq;       /* dense within the volume, starts at 0 */
    uint64_t cookie; /* random; checked after the read */
};

#define BLOBID_TEXT_MAX 34 /* 8 + 1 + 8 + 1 + 16 */

/* Writes the text form (no NUL), returns its length. */
size_t blobid_format(const struct blobid *id, char out[BLOBID_TEXT_MAX]);
/* Errors: INVALID. */
int blobid_parse(struct slice text, struct blobid *ret) KT_MUST_CHECK;

#endif
