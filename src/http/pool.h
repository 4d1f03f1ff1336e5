/* http/pool: the client's connections, by address. Private to client.c and pool.c; one loop.
 *
 * A connection is in use (owned by one exchange) or idle (in its peer's list and in the client's
 * list of all idle ones, oldest first; parked, with a timer). A peer lives while it has connections
 * or waiters.
 */
#ifndef KT_HTTP_POOL_H
#define KT_HTTP_POOL_H

#include "http/client.h"

#define POOL_IN_WINDOW 8192u /* room after a response head for body bytes */
#define POOL_OUT_MAX 12288u  /* bytes of a request head */

struct http_peer {
    struct http_client *client;
    struct rt_addr addr;
    struct list link; /* in client->peers */
    struct list idle; /* struct client_conn, newest first */
    uint32_t conns;   /* in use and idle */
    uint32_t waiters;
    struct rt_cond freed;
};

struct client_conn {
    struct http_exchange ex;
    struct rt_sock sock;
    struct rt_timer timer; /* idle timeout */
    struct http_peer *peer;
    struct list peer_link, age_link; /* while idle */
    int64_t deadline_ns;
    size_t pos, end, body_base, in_cap; /* in[pos, end) is unread */
    struct h1_chunked chunked;
    uint64_t body_left;
    bool body_done, broken;
    char out[POOL_OUT_MAX];
    uint8_t in[];
};

struct http_client {
    struct http_client_options opt;
    struct h1_limits h1;
    struct list peers;
    struct list by_age; /* idle connections, oldest first */
    uint32_t nidle;
    struct http_client_stats stats;
};

/* A connection to `addr`, idle or new; waits while conns_per_addr are in use. `fresh`: never an
 * idle one, whatever is in the pool for that address is closed. Sets ex.reused. Errors: as
 * rt_connect, LIMIT, NO_MEMORY. */
int pool_take(struct http_client *c, const struct rt_addr *addr, bool fresh, int64_t deadline_ns,
              struct client_conn **ret) KT_MUST_CHECK KT_YIELDS;
/* Gives it back as idle, or closes it. */
void pool_give(struct client_conn *conn, bool reusable);
void pool_done(struct http_client *c);

#endif
