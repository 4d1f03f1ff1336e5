/* bench_conn: a lean HTTP/1.1 client connection for the load generator.
 *
 * Model. One connection, one fiber, one request at a time, kept alive; a request is sent from
 * pieces that the caller has ready, and the body of the answer is handed out as it arrives, in
 * place, so that discarding it costs nothing but the receive. A connection that the server has
 * closed between two requests is opened again, once, before anything of an answer was seen.
 *
 * Memory: one receive buffer of CONN_BUFFER bytes on the heap. All functions but conn_init and
 * conn_done yield; one fiber.
 *
 *     rc = conn_send(c, iov, n, deadline);
 *     if (rc == 0) rc = conn_head(c, deadline);            // c->reply.status
 *     while (rc == 0 && (rc = conn_body(c, &piece, deadline)) == 0 && piece.len > 0)
 *         check(piece);
 */
#ifndef KT_CMD_BENCH_CONN_H
#define KT_CMD_BENCH_CONN_H

#include "base/slice.h"
#include "codec/h1.h"
#include "rt/rt.h"

#define CONN_BUFFER KIB(64)
#define CONN_IOV_MAX 48

struct bench_conn {
    struct rt_addr addr;
    struct rt_sock sock;
    bool open;
    bool used;       /* has answered a request since it was opened */
    uint8_t *buf;    /* owned, CONN_BUFFER bytes */
    size_t from, to; /* unread bytes in buf */
    uint64_t body_left;
    bool body_ended;
    struct h1_chunked chunked;
    struct h1_response reply; /* of the current request; fields point into buf until conn_body */
    uint64_t connects;        /* connections made so far */
};

void conn_init(struct bench_conn *c, const struct rt_addr *addr);
/* Closes and frees. */
void conn_done(struct bench_conn *c);
/* Sends one request; `iov` (n <= CONN_IOV_MAX) is left as it is. Errors: those of rt_connect,
 * rt_sendv. */
int conn_send(struct bench_conn *c, const struct iovec *iov, int n,
              int64_t deadline_ns) KT_MUST_CHECK;
/* Sends, then reads the head of the answer into c->reply; opens a stale connection again. */
int conn_request(struct bench_conn *c, const struct iovec *iov, int n,
                 int64_t deadline_ns) KT_MUST_CHECK;
/* The next run of body bytes, valid until the next call; empty at the end, when the connection is
 * ready for another request (or closed, when the server said so). Errors: PROTO, EOF, those of
 * rt_recv. */
int conn_body(struct bench_conn *c, struct slice *ret, int64_t deadline_ns) KT_MUST_CHECK;
/* Reads the rest of the body and forgets it; *ret_len bytes of it. */
int conn_discard(struct bench_conn *c, uint64_t *ret_len, int64_t deadline_ns) KT_MUST_CHECK;

#endif
