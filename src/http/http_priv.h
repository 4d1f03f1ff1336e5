/* http_priv: what the files of the server share. Nobody else includes this.
 *
 * Three lifetimes. A `struct http_loop` lives as long as the server, one per event loop. A `struct
 * http_conn` (under 256 bytes) lives as long as its socket. A `struct http_active` (read buffer,
 * head, reply buffer) is lent to a connection while a fiber serves it and goes back to the loop's
 * pool when the connection is parked or closed; so 10,000 idle connections cost 10,000 small
 * structs and no buffers.
 *
 *   accept -> PARKED --readable--> ACTIVE --nothing buffered--> PARKED ...
 *                |                   |--error, close, end of stream--> CLOSING -> freed
 *                |--idle timeout, stop--> freed
 *   PARKED --readable, no fiber to be had--> RETRY --20 ms--> ACTIVE
 *
 * Every function here runs on the connection's own loop.
 */
#ifndef KT_HTTP_HTTP_PRIV_H
#define KT_HTTP_HTTP_PRIV_H

#include "codec/httpdate.h"
#include "http/server.h"

#define HTTP_LISTEN_MAX 16 /* addresses of one server */
#define HTTP_BODY_WINDOW                                                                           \
    8192u /* room after any head for body bytes that arrive in small pieces                        \
           */
#define HTTP_REPLY_HEAD_MAX 12288u    /* bytes of a response head */
#define HTTP_ARENA_FIRST 2048u        /* bytes of a request's arena before it touches the heap */
#define HTTP_ARENA_MAX (1u << 20)     /* bytes a request's arena may take from the heap */
#define HTTP_POOL_MAX 64u             /* unused active blocks kept by each loop */
#define HTTP_DRAIN_BYTES (256u << 10) /* unread body that is read away to keep a connection */
#define HTTP_LINGER_BYTES (64u << 20) /* bytes read away after the server's end of stream */
#define HTTP_LINGER_MS 10000          /* for how long at most */
#define HTTP_LINGER_GAP_MS 2000       /* and how long without a byte */
#define HTTP_SEND_STEP (256u << 10)   /* bytes that must go out within one send timeout */
#define HTTP_RATE_WINDOW_NS (10 * NS_PER_SEC)

enum conn_state { CONN_PARKED, CONN_RETRY, CONN_ACTIVE, CONN_CLOSING };

struct http_conn {
    struct rt_sock sock;
    struct rt_timer timer; /* idle timeout while parked, next try while in RETRY */
    struct http_loop *loop;
    struct list link; /* in loop->conns */
    struct rt_addr peer;
    struct http_active *active; /* while ACTIVE */
    int64_t retry_until_ns;
    enum conn_state state;
};

_Static_assert(sizeof(struct http_conn) <= 256, "idle connections stay small");

/* How far the answer of the current request has come. */
enum reply_state {
    REPLY_NONE,
    REPLY_HELD, /* head built, not sent */
    REPLY_OPEN, /* head sent, body on its way */
    REPLY_DONE
};

struct http_active {
    struct http_request rq;
    struct http_conn *conn;
    struct list link; /* in loop->pool */

    /* Read buffer: in[pos, end) is unread. The current head lies below body_base, body bytes at or
     * above it. */
    size_t pos, end, body_base, in_cap;

    /* request body */
    struct h1_chunked chunked;
    uint64_t body_left; /* bytes of an identity body still to be taken */
    bool body_done;
    bool expect_pending; /* the client waits for 100 Continue */
    bool broken;         /* framing or transport failed: nothing more may be read as a request */
    int64_t waited_ns;   /* for body bytes, in the current rate window */
    uint64_t waited_bytes;

    /* reply */
    enum reply_state reply;
    bool keep; /* what the head said about the connection */
    bool chunked_out;
    uint64_t reply_left; /* bytes that the head promised and that were not given yet */
    size_t held;         /* bytes of `out` that wait for the first body bytes */
    int held_status;     /* their status */
    char out[HTTP_REPLY_HEAD_MAX];
    char chunk_line[24];

    _Alignas(16) uint8_t arena_first[HTTP_ARENA_FIRST];
    uint8_t in[];
};

struct http_listener {
    struct rt_sock sock;
    struct http_loop *loop;
};

/* Counters have one writer, the loop, and any reader. */
struct http_counters {
    _Atomic uint64_t conns, parked, requests, rejected_busy, rejected_proto, timeouts;
};

struct http_loop {
    struct http_server *server;
    int index;
    bool stopping;
    struct list conns; /* every http_conn of this loop */
    struct list pool;  /* unused http_active */
    uint32_t pool_len;
    uint32_t nconns;     /* members of conns */
    uint32_t naccept;    /* accept fibers alive */
    struct rt_cond idle; /* broadcast when nconns or naccept falls */
    uint64_t next_id;
    int64_t date_until_ns; /* when `date` is to be made anew */
    char date[HTTPDATE_LEN];
    struct http_counters n;
    struct http_listener listeners[HTTP_LISTEN_MAX];
};

struct http_server {
    struct http_server_options opt;
    struct h1_limits h1;
    int naddrs, nloops;
    struct rt_addr addrs[HTTP_LISTEN_MAX]; /* what the listeners are bound to */
    _Atomic uint32_t conns;                /* of all loops, against conns_max */
    struct http_loop loops[];
};

static inline void http_count(_Atomic uint64_t *n, int64_t by)
{
    uint64_t v = atomic_load_explicit(n, memory_order_relaxed);
    atomic_store_explicit(n, v + (uint64_t)by, memory_order_relaxed);
}

static inline struct http_active *http_active_of(struct http_request *rq)
{
    return KT_CONTAINER_OF(rq, struct http_active, rq);
}

/* conn.c. A connection that was just accepted into `c->sock`: parks it. Frees it on failure. */
void http_conn_start(struct http_conn *c);
/* Closes the socket, gives everything back and frees `c`. Not while a fiber serves it. */
void http_conn_free(struct http_conn *c);
/* Frees the loop's pool of active blocks. */
void http_pool_done(struct http_loop *l);

/* body.c. Sets the body state from the head just parsed. */
void http_body_start(struct http_active *a);
/* Whether the rest of the body can be read away cheaply, so that the connection may go on. */
bool http_body_drainable(const struct http_active *a);
/* Reads the rest away. 0 when the connection can go on. */
int http_body_drain(struct http_active *a) KT_MUST_CHECK KT_YIELDS;
void http_budget_set_max(uint64_t bytes);

/* reply.c. Forgets the previous request's answer. */
void http_reply_reset(struct http_active *a);
/* Answers 503 on a connection that is over the limit; no request was read. */
void http_reply_busy(struct rt_sock *s) KT_YIELDS;

#endif
