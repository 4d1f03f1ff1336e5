/* http/server: the HTTP/1.1 server, RFC 9110 and 9112, strict.
 *
 * Model. One listener per loop (SO_REUSEPORT). A connection between requests is a small struct
 * parked in the poller; when bytes arrive a fiber takes it, reads heads, calls the handler once per
 * request, and gives the fiber back when nothing more is buffered. The handler reads the body by
 * http_body_*, answers by http_reply* and returns 0; a negative return before the head was sent
 * makes the server answer with that error's status (err_list.h); after the head was sent it closes
 * the connection.
 *
 * Framing errors answer 400 (or 414, 431, 501) and close; the verdict never depends on how the
 * bytes were cut into segments. A body that the handler left unread is drained up to a limit, or
 * the connection closes. HEAD requests run the same handler; the server sends the head only.
 *
 * Bounds (struct http_limits): connections, head bytes, fields, URI, header time, body rate, idle
 * time, requests in flight, and one memory budget for all bodies of the process.
 *
 * Everything lives on one loop and one fiber unless it says otherwise; functions that move bytes
 * yield.
 */
#ifndef KT_HTTP_SERVER_H
#define KT_HTTP_SERVER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "codec/h1.h"
#include "rt/rt.h"

struct http_server;
struct http_conn; /* http_priv.h */

struct http_limits {
    uint32_t conns_max;      /* per process; more are accepted and closed with 503 */
    uint32_t head_bytes_max; /* request line and fields */
    uint32_t uri_bytes_max;
    uint32_t fields_max;
    uint32_t head_timeout_ms; /* from the first byte of a head to its end */
    uint32_t idle_timeout_ms; /* keep-alive between requests */
    uint32_t send_timeout_ms; /* without progress */
    uint32_t body_timeout_ms; /* without any byte */
    uint32_t body_rate_min;   /* bytes/s over any 10 s, 0: no minimum */
    uint64_t body_budget;     /* bytes of request bodies held by the whole process */
};
extern const struct http_limits http_limits_default;

/* One request, valid during its handler call. */
struct http_request {
    struct h1_head head; /* method, target, fields: views into the connection's read buffer */
    struct arena arena;  /* freed when the handler has returned */
    struct http_conn *conn;
    struct rt_addr peer;
    uint64_t id;         /* request id, also sent as x-request-id */
    int64_t started_ns;  /* the head was complete */
    int64_t answered_ns; /* the answer's head was handed to the socket; valid once status is set */
    uint64_t body_len;   /* declared length; UINT64_MAX when chunked */
    uint64_t body_read;  /* bytes the handler has taken */
    int status;          /* of the head that was sent, 0 before */
    uint64_t sent_bytes; /* body bytes sent */
    const char *api;     /* handler's name for metrics and the access log; static */
    void *user;          /* handler chain's own */
};

/* Called on a fiber for each request. */
typedef int (*http_handler_fn)(void *arg, struct http_request *rq);
/* Called after each answered request (access log, metrics). Must not yield. */
typedef void (*http_done_fn)(void *arg, const struct http_request *rq, int rc);
/* Writes the body of an error answer for `rc` into `out` and returns its content type (static). */
typedef const char *(*http_error_fn)(void *arg, const struct http_request *rq, int rc,
                                     struct buf *out);

struct http_server_options {
    struct http_limits limits;
    http_handler_fn handler;
    http_done_fn done;   /* may be NULL */
    http_error_fn error; /* NULL: a line of JSON */
    void *arg;
};

/* Binds every address on every loop and starts serving. Must run on loop 0. Errors: EXISTS-like
 * port taken is reported as CONFLICT with the address in the diagnostic; DENIED for privileged
 * ports. */
int http_server_start(const struct http_server_options *opt, const struct rt_addr *addrs, int n,
                      struct http_server **ret) KT_MUST_CHECK KT_YIELDS;
/* Stops accepting, lets requests in flight finish until `deadline_ns`, closes the rest, frees. */
void http_server_stop(struct http_server *s, int64_t deadline_ns) KT_YIELDS;
/* The address that listener `i` really has (port 0 was asked for). */
int http_server_addr(const struct http_server *s, int i, struct rt_addr *ret) KT_MUST_CHECK;

/* ---- request body ---- */

/* Up to `len` decoded body bytes (> 0), 0 at its end. Sends 100 Continue before the first read when
 * the client expects it. Errors: PROTO (framing), EOF (client left), CLIENT_TIMEOUT, CANCELED. */
ssize_t http_body_read(struct http_request *rq, void *p, size_t len) KT_MUST_CHECK KT_YIELDS;
/* The whole body into `out` (empty, its max bounds the body), growing in 64 KiB steps, by a quarter
 * once it is large, charged to the process's body budget; http_body_release gives the charge back
 * and frees. On an error nothing is left to release. Errors as above, TOO_LARGE, BUSY (budget used
 * up), NO_MEMORY. */
int http_body_read_all(struct http_request *rq, struct buf *out) KT_MUST_CHECK KT_YIELDS;
void http_body_release(struct buf *b);
/* Charges/uncharges the process's body budget directly (streaming users). Errors: BUSY. Any thread.
 */
int http_budget_take(uint64_t bytes) KT_MUST_CHECK;
void http_budget_give(uint64_t bytes);
uint64_t http_budget_used(void);

/* ---- response ---- */

struct http_field {
    const char *name;   /* lower case, static or arena */
    struct slice value; /* bytes with CTLs are refused (INVALID), never sent */
};
struct http_reply {
    int status;
    const struct http_field *fields;
    int nfields;
    uint64_t body_len; /* UINT64_MAX: chunked, ended by http_reply_end */
    bool close;        /* close the connection afterwards */
};

/* Head and whole body in one send. `body` pieces (n <= 8) are borrowed until the return.
 * Content-Length is their sum; only a HEAD request without pieces, or a 304, announces `body_len`
 * instead. The server adds Date, Server, x-request-id, x-content-type-options, Content-Length or
 * Transfer-Encoding, and Connection; fields of these names, CTLs in values and heads past 12 KiB
 * are refused with INVALID and nothing is sent. Errors: INVALID, CLOSED, TIMEOUT (no progress
 * within send_timeout_ms per 256 KiB), CANCELED. */
int http_reply(struct http_request *rq, const struct http_reply *rp, const struct slice *body,
               int n) KT_MUST_CHECK KT_YIELDS;
/* Streaming: head first (held back and sent together with the first body bytes), then any number of
 * http_reply_body, then http_reply_end, which fails (INTERNAL, connection closed) when fewer bytes
 * than body_len were given. */
int http_reply_begin(struct http_request *rq, const struct http_reply *rp) KT_MUST_CHECK KT_YIELDS;
int http_reply_body(struct http_request *rq, struct slice bytes) KT_MUST_CHECK KT_YIELDS;
int http_reply_end(struct http_request *rq) KT_MUST_CHECK KT_YIELDS;
/* The error answer of `rc` through the server's error function. Replaces a head that is still held
 * back; INTERNAL when one was sent already. 405 gets an Allow field, 503 a Retry-After, 401 a
 * WWW-Authenticate. */
int http_reply_error(struct http_request *rq, int rc) KT_MUST_CHECK KT_YIELDS;

struct http_server_stats {
    uint64_t conns, conns_parked, requests, rejected_busy, rejected_proto, timeouts;
};
void http_server_stats(const struct http_server *s, struct http_server_stats *ret);

#endif
