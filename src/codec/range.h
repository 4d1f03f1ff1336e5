/* codec/range: the Range field (RFC 9110 section 14), byte ranges only.
 *
 * Rules. One range is served ("bytes=a-b", "bytes=a-", "bytes=-n"). Several ranges, another unit,
 * and anything malformed are ignored, which RFC 9110 section 14.2 allows: the answer is 200 with
 * everything. A multipart answer costs more than the bytes it saves for small files, and S3 refuses
 * several ranges too. A well-formed range that begins past the end, a suffix of 0 bytes, and any
 * range of an empty representation are unsatisfiable: 416. Numbers too big for 64 bits count as
 * "past the end".
 *
 * Pure, any thread, never yields.
 */
#ifndef KT_CODEC_RANGE_H
#define KT_CODEC_RANGE_H

#include "base/err.h"
#include "base/slice.h"

struct range {
    uint64_t first; /* offset of the first byte */
    uint64_t len;   /* bytes, >= 1 */
};

/* Judges a Range field's value for a representation of `size` bytes. Returns 1 and sets *ret, 0
 * when the field is to be ignored, -KT_ERR_RANGE when it can't be satisfied. */
int range_parse(struct slice value, uint64_t size, struct range *ret) KT_MUST_CHECK;

#define RANGE_TEXT_MAX 80
/* Writes a Content-Range value: "bytes a-b/size", or "bytes * /size" (without the blank) when `r`
 * is NULL. Returns its length; writes no NUL. */
size_t range_format(const struct range *r, uint64_t size, char out[RANGE_TEXT_MAX]);

#endif
