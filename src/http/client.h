/* http/client: the HTTP/1.1 client, with a pool of kept-alive connections.
 *
 * Model. A `struct http_client` belongs to the loop that opened it and is used by fibers of that
 * loop only. http_client_call sends one request and returns when the response's head has come; the
 * caller reads the body by http_exchange_read and ends the exchange, which gives the connection
 * back to the pool when the body was read to its end, and closes it otherwise.
 *
 *     struct http_call call = {.addr = addr, .host = SLICE_LIT("store"), .method = H1_GET,
 *                              .target = SLICE_LIT("/blob/1,2-3"), .deadline_ns =
 * rt_after_ms(1000)}; struct http_exchange *ex; int rc = http_client_call(client, &call, &ex); if
 * (rc < 0) return rc; if (ex->head.status == 200) rc = http_exchange_read_all(ex, &body);
 *     http_exchange_end(ex);
 *
 * A pooled connection is parked in the poller: when the server closes it, it leaves the pool at
 * once. One may still be found dead while a request is sent; if not one byte of a response came,
 * the request is idempotent and its body can be given again (slices, not a callback), it is sent
 * once more on a new connection.
 *
 * Bounds: connections per address (callers wait for a free one until their deadline), idle
 * connections of the whole client (the oldest is closed), idle time, response heads.
 */
#ifndef KT_HTTP_CLIENT_H
#define KT_HTTP_CLIENT_H

#include "http/server.h"

struct http_client;

struct http_client_options {
    uint32_t conns_per_addr;  /* in use and idle together; 0: 64 */
    uint32_t idle_max;        /* idle connections of all addresses; 0: 64 */
    uint32_t idle_timeout_ms; /* 0: 30,000; keep it below the server's */
    uint32_t head_bytes_max;  /* of a response; 0: 16 KiB */
};

/* One request. Everything is borrowed until http_client_call returns. */
struct http_call {
    struct rt_addr addr;
    struct slice host; /* Host field */
    struct slice target;
    enum h1_method method;
    const struct http_field *fields; /* names as for http_reply; framing fields are the client's */
    int nfields;
    const struct slice *body; /* the whole body in `nbody` <= 8 pieces, or NULL */
    int nbody;
    /* Instead of `body`: called for more bytes until body_len have come, or, when that is
     * UINT64_MAX (chunked), until it returns 0. May yield. A negative result ends the call with
     * that error. */
    ssize_t (*body_fn)(void *arg, void *p, size_t len);
    void *body_arg;
    uint64_t body_len;
    bool idempotent;     /* a POST that may be sent twice */
    int64_t deadline_ns; /* of the whole exchange, reading the body included */
};

/* A response whose body is being read. */
struct http_exchange {
    struct h1_response head; /* views, valid until http_exchange_end */
    uint64_t body_read;      /* bytes given to the caller */
    bool reused;             /* it went over a pooled connection */
};

int http_client_open(const struct http_client_options *opt, struct http_client **ret) KT_MUST_CHECK;
/* Closes idle connections and frees; every exchange must have ended. */
void http_client_close(struct http_client *c);

/* Sends and waits for the response's head; 1xx heads are passed over. Any status is a success here.
 * Errors: CLOSED, TIMEOUT, CANCELED, LIMIT, INVALID (a field or target that may not be sent),
 * PROTO, UNSUPPORTED, HEADER_TOO_BIG (a response that can't be right), NO_MEMORY, and what body_fn
 * returned. */
int http_client_call(struct http_client *c, const struct http_call *call,
                     struct http_exchange **ret) KT_MUST_CHECK KT_YIELDS;
/* Up to `len` body bytes (> 0), 0 at the end. Errors: EOF (the stream ended inside the body),
 * PROTO, TIMEOUT, CLOSED, CANCELED. */
ssize_t http_exchange_read(struct http_exchange *ex, void *p, size_t len) KT_MUST_CHECK KT_YIELDS;
/* The rest of the body into `out`, whose max bounds it (TOO_LARGE). */
int http_exchange_read_all(struct http_exchange *ex, struct buf *out) KT_MUST_CHECK KT_YIELDS;
/* Ends it: the connection goes back to the pool or is closed. NULL is fine. Never yields. */
void http_exchange_end(struct http_exchange *ex);

struct http_client_stats {
    uint64_t connects, reuses, retries, idle;
};
void http_client_stats(const struct http_client *c, struct http_client_stats *ret);

#endif
