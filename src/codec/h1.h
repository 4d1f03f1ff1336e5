/* codec/h1: HTTP/1.1 heads and bodies, bytes in, struct out (RFC 9112). No I/O, no allocation.
 *
 * A pull parser: the caller appends bytes to its buffer and calls h1_parse_head on all of it until the
 * answer is not AGAIN. The verdict is the same however the bytes were segmented. What is ambiguous is an error:
 * bare CR or LF, obs-fold, blanks before a colon, CTLs, both Content-Length and Transfer-Encoding, two
 * Content-Lengths, any coding but exactly "chunked", no or two Hosts, absolute-form authority other
 * than Host, methods outside the list. Pure functions, any thread, never yield.
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
    struct slice path;   /* target's path, still percent-encoded, starts with '/' (or "*" for OPTIONS) */
    struct slice query;  /* after '?', without it; may be empty */
    bool has_query;      /* distinguishes "/a?" from "/a" */
    struct slice host;
    int minor;           /* 0 or 1 */
    uint64_t body_len;   /* 0 without a body, H1_LEN_CHUNKED */
    bool keep_alive;
    bool expect_continue;
    int nfields;
    struct h1_field fields[H1_FIELDS_MAX];
};

struct h1_limits {
    uint32_t head_max, uri_max, fields_max; /* bytes, bytes, count (<= H1_FIELDS_MAX) */
};

/* Parses a request head at the start of `in`. Returns its length in bytes (> 0), 0 when more bytes are needed,
 * or -KT_ERR_PROTO, -KT_ERR_URI_TOO_LONG, -KT_ERR_HEADER_TOO_BIG, -KT_ERR_UNSUPPORTED (transfer coding or
 * version), -KT_ERR_METHOD, -KT_ERR_EXPECTATION. `scanned` (start at 0) saves re-scanning between calls. */
ssize_t h1_parse_head(struct slice in, const struct h1_limits *lim, size_t *scanned, struct h1_head *ret)
    KT_MUST_CHECK;

/* A response head, for the client. */
struct h1_response {
    int status, minor;
    uint64_t body_len; /* UINT64_MAX - 1: until close */
    bool keep_alive;
    int nfields;
    struct h1_field fields[H1_FIELDS_MAX];
};
#define H1_LEN_UNTIL_CLOSE (UINT64_MAX - 1)
ssize_t h1_parse_response(struct slice in, const struct h1_limits *lim, bool to_head_request, size_t *scanned,
                          struct h1_response *ret) KT_MUST_CHECK;

/* The first field called `name` (case-insensitive), or NULL. */
const struct h1_field *h1_find(const struct h1_field *fields, int n, const char *name);
const char *h1_method_name(enum h1_method m);

/* Chunked decoding, in place of nothing: feed bytes, get runs of body bytes back. */
struct h1_chunked {
    uint64_t left;    /* bytes left of the current chunk */
    uint32_t line;    /* bytes of the current size line, extensions and trailers so far */
    uint8_t state;
};
void h1_chunked_init(struct h1_chunked *c);
/* Consumes from `in`. Sets *ret_used (bytes consumed) and *ret_data (a run of body bytes inside `in`, maybe
 * empty). Returns 1 at the end of the body, 0 to go on, -KT_ERR_PROTO. Chunk size: 1..16 hex digits; extensions
 * <= 256 bytes; trailers <= 4096 bytes, passed over. */
int h1_chunked_feed(struct h1_chunked *c, struct slice in, size_t *ret_used, struct slice *ret_data) KT_MUST_CHECK;

#endif
