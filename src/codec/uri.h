/* codec/uri: percent-encoding and query strings (RFC 3986), and the canonical forms that SigV4
 * signs.
 *
 * Model. A request target is decoded once, by whoever turns it into a key or a parameter; the
 * result is an opaque byte string and is never decoded again and never used as a path. Decoding is
 * strict: '%' must be followed by two hex digits. Encoding is AWS's: A-Z a-z 0-9 - . _ ~ are kept,
 * every other byte becomes %XX with upper-case digits.
 *
 * Pure functions, no allocation but where a buf is given; any thread; never yield.
 *
 *     struct uri_query q = uri_query_of(head.query);
 *     struct slice name, value;
 *     while (uri_query_next(&q, &name, &value)) ...     // both still encoded
 */
#ifndef KT_CODEC_URI_H
#define KT_CODEC_URI_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include <sys/types.h>

/* Decodes `in` into `out`, which must hold in.len bytes and may be in.p itself. `plus_is_space`:
 * '+' becomes ' ' (form encoding; query strings only). Returns the number of bytes, or
 * -KT_ERR_INVALID. */
ssize_t uri_decode(struct slice in, bool plus_is_space, void *out) KT_MUST_CHECK;

#define URI_ENCODED_MAX(len) ((len)*3)
/* Encodes `in` into `out` (room for URI_ENCODED_MAX(in.len)), keeping '/' when asked. Returns the
 * number of characters; writes no NUL. */
size_t uri_encode(struct slice in, bool keep_slash, char *out);

/* An iteration over the parameters of a query string. */
struct uri_query {
    struct slice rest;
};
static inline struct uri_query uri_query_of(struct slice query)
{
    return (struct uri_query){query};
}
/* The next "name=value" or "name" (value.p is NULL then), still encoded; empty parts between '&'
 * are passed over. False at the end. */
bool uri_query_next(struct uri_query *q, struct slice *ret_name,
                    struct slice *ret_value) KT_MUST_CHECK;

#define URI_QUERY_PARAMS_MAX 128
/* Appends SigV4's canonical query string: each name and value decoded ('+' stays '+') and encoded
 * again, pairs sorted by encoded name, then value, joined by '&', "=" after a name without a value.
 * Parameters whose encoded name equals `skip` are left out (X-Amz-Signature); an empty `skip`
 * leaves out none. Errors: INVALID (bad escape, more than URI_QUERY_PARAMS_MAX parameters),
 * TOO_LARGE, NO_MEMORY. */
int uri_canonical_query(struct slice query, struct slice skip, struct buf *out) KT_MUST_CHECK;
/* Appends SigV4's canonical path for S3: decoded once, encoded again with '/' kept; never
 * normalised. Errors: INVALID, TOO_LARGE, NO_MEMORY. */
int uri_canonical_path(struct slice path, struct buf *out) KT_MUST_CHECK;

#endif
