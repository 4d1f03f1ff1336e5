/* gateway: the user-facing server. Speaks the blob API (docs/http-api.md) over a store.
 *
 * Model. http/server calls gateway_handle for each request, on a fiber of the connection's loop. In
 * a straight line: route_parse (what is asked, gateway/route.h), auth_check (may they,
 * gateway/auth.h), then one handler, which reads the body and talks to the store. Every refusal
 * leaves by one door (gateway_handle) as JSON
 * {"error": {"code", "message", "request_id"}}; nothing is stored by a request that was refused.
 *
 * A GET opens the needle, compares conditions and range, and sends verified runs. A PUT reads the
 * whole body (bounded by blob_max and the process's body budget), checks the digests that the
 * client gave, and waits until the store says durable. Batches: gateway/batch.c.
 *
 * struct gateway is shared by all loops. One of them runs gateway_background.
 */
#ifndef KT_GATEWAY_GATEWAY_H
#define KT_GATEWAY_GATEWAY_H

#include "api/store.h"
#include "gateway/buckets.h"
#include "gateway/keys.h"
#include "http/server.h"

struct gateway_options {
    const struct store_api *store; /* borrowed until gateway_close */
    const char *dir;               /* first data directory: keys.json and buckets.json live there */
    const char *first_bucket;      /* made when there is no bucket at all; NULL: none */
    uint64_t blob_max;             /* bytes of one blob, at most NEEDLE_DATA_MAX; 0: that */
    uint64_t signed_url_max_s;     /* longest life of a signed URL; 0: AUTH_URL_TTL_MAX_S */
    int64_t op_timeout_ms;         /* for one call of the store; 0: 30 s */
};

struct gateway;

/* Opens keys and buckets (making a first key and bucket if there are none). On loop 0. *ret_new_key
 * tells that the first key was made just now: the only time that it should be shown. Errors: those
 * of keys_open and buckets_open. */
int gateway_open(const struct gateway_options *opt, struct gateway **ret,
                 bool *ret_new_key) KT_MUST_CHECK KT_YIELDS;
/* After the server has stopped and gateway_background has ended. On loop 0; NULL is fine. */
void gateway_close(struct gateway *gw) KT_YIELDS;

/* http_handler_fn, http_done_fn and http_error_fn; arg is the struct gateway. */
int gateway_handle(void *arg, struct http_request *rq) KT_YIELDS;
void gateway_done(void *arg, const struct http_request *rq, int rc);
const char *gateway_error(void *arg, const struct http_request *rq, int rc, struct buf *out);

/* Looks after keys and counters until it is canceled (rt_go's fn; arg is the struct gateway). */
int gateway_background(void *arg) KT_YIELDS;

/* What status and readiness report on; set once the server has started. `draining`: ready says no.
 */
void gateway_set_server(struct gateway *gw, const struct http_server *server);
void gateway_set_draining(struct gateway *gw);

/* For start-up output. */
struct keys *gateway_keys(struct gateway *gw);
struct buckets *gateway_buckets(struct gateway *gw);

#endif
