/* codec/h1: HTTP/1.1 heads and bodies, bytes in, struct out (RFC 9112). No I/O, no allocation.
 *
 * A pull parser: the caller appends bytes to its buffer and calls h1_parse_head on all of it until
 * the answer is not 0. What is ambiguous is an error: bare CR or LF, obs-fold, blanks before a
 * colon, CTLs, both Content-Length and Transfer-Encoding, two Content-Lengths, any coding but
 * exactly "chunked", two Hosts or (in HTTP/1.1) none, an absolute-form authority other than Host,
 * methods outside the list. Bytes above 0x7f are taken in field values only (RFC 9110 section 5.5)
 * and stay opaque. One empty line before a request line is passed over (RFC 9112 section 2.2).
 *
 * Invariants.
 *  1. The verdict is the same however the bytes were cut: the search for the head's end stops at
 * the first byte that can't be right and never looks past `head_max`; all else is judged on the
 * whole head.
 *  2. Every byte is scanned once for the end of the head (`scanned` carries on between calls) and
 * judged once.
 *  3. Structs are filled up to `nfields`; the fields above it are left as they were.
 *
 * Pure functions, any thread, never yield.
 *
 *     size_t scanned = 0;
 *     ssize_t n = h1_parse_head(slice_of(buf, have), &limits, &scanned, &head);
 *     // n > 0: the head's bytes; n == 0: receive more and call again; n < 0: answer and close
 */
#ifndef KT_CODEC_H1_H
#define KT_CODEC_H1_H

#include "base/err.h"
#include "base/slice.h"
#include <sys/types.h>

enum h1_method { H1_GET, H1_HEAD, H1_PUT, H1_POST, H1_DELETE, H1_OPTIONS, H1_METHOD_COUNT };

#define H1_FIELDS_MAX 100
#define H1_LEN_CHUNKED UINT64_MAX

struct h1_field {
    struct slice name;  /* as sent */
    struct slice value; /* without surrounding blanks */
};

/* A parsed request head; all slices point into the parsed bytes. */
struct h1_head {
    enum h1_method method;
    struct slice target; /* as sent */
    struct slice
        path; /* target's path, still percent-encoded, starts with '/' (or "*" for OPTIONS) */
    struct slice query; /* after '?', without it; may be empty */
    bool has_query;     /* distinguishes "/a?" from "/a" */
    struct slice host;
    int minor;         /* 0 or 1 */
    uint64_t body_len; /* 0 without a body, H1_LEN_CHUNKED */
    bool keep_alive;
    bool expect_continue;
    int nfields;
    struct h1_field fields[H1_FIELDS_MAX];
};

struct h1_limits {
    uint32_t head_max, uri_max, fields_max; /* bytes, bytes, count (<= H1_FIELDS_MAX) */
};

/* Parses a request head at the start of `in`. Returns its length in bytes (> 0), 0 when more bytes
 * are needed, or -KT_ERR_PROTO, -KT_ERR_URI_TOO_LONG, -KT_ERR_HEADER_TOO_BIG, -KT_ERR_UNSUPPORTED
 * (transfer coding or version), -KT_ERR_METHOD, -KT_ERR_EXPECTATION. `scanned` (start at 0) saves
 * re-scanning between calls. */
ssize_t h1_parse_head(struct slice in, const struct h1_limits *lim, size_t *scanned,
                      struct h1_head *ret) KT_MUST_CHECK;

/* A response head, for the client. */
struct h1_response {
    int status, minor;
    uint64_t body_len; /* UINT64_MAX - 1: until close */
    bool keep_alive;
    int nfields;
    struct h1_field fields[H1_FIELDS_MAX];
};
#define H1_LEN_UNTIL_CLOSE (UINT64_MAX - 1)
/* Parses a response head; results and errors as h1_parse_head. Interim (1xx) heads are returned
 * like any other: the caller passes over them. `lim->uri_max` is not used. */
ssize_t h1_parse_response(struct slice in, const struct h1_limits *lim, bool to_head_request,
                          size_t *scanned, struct h1_response *ret) KT_MUST_CHECK;

/* The first field called `name` (case-insensitive), or NULL. */
const struct h1_field *h1_find(const struct h1_field *fields, int n, const char *name);
/* True for bytes that a field name or method may hold (RFC 9110 section 5.6.2). */
bool h1_is_token(struct slice s);
/* True when `s` may be sent as a field value: no CTLs but tab. */
bool h1_is_value(struct slice s);
const char *h1_method_name(enum h1_method m);

/* Chunked decoding, in place of nothing: feed bytes, get runs of body bytes back. */
struct h1_chunked {
    uint64_t left;    /* bytes left of the current chunk */
    uint32_t ext;     /* bytes of all chunk extensions so far */
    uint32_t trailer; /* bytes of the trailer section so far */
    uint8_t digits;   /* hex digits of the current size line */
    uint8_t state;    /* enum in h1_chunked.c */
};
void h1_chunked_init(struct h1_chunked *c);
/* Consumes from `in`. Sets *ret_used (bytes consumed) and *ret_data (a run of body bytes inside
 * `in`, maybe empty). Returns 1 at the end of the body, 0 to go on, -KT_ERR_PROTO. Chunk
 * size: 1..16 hex digits, below 2^63; extensions <= 256 bytes in the whole body; trailers <= 4096
 * bytes, checked and passed over. */
int h1_chunked_feed(struct h1_chunked *c, struct slice in, size_t *ret_used,
                    struct slice *ret_data) KT_MUST_CHECK;
/* Bytes of the current chunk that are still to come: a reader may receive that many straight into
 * their place and feed them afterwards. 0 between chunks. */
uint64_t h1_chunked_data_left(const struct h1_chunked *c);

#endif
