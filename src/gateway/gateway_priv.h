/* gateway_priv: what the handlers of the blob API share. Nobody else includes this.
 *
 * A struct call carries one request through: gateway_handle fills it in order (route, then
 * verdict), and a handler sees it only when both are settled. It lives on the connection's fiber.
 * Handlers may yield anywhere; what they read from struct gateway is either constant while the
 * server runs, atomic, or asked for through keys_* and buckets_*. Errors are -KT_ERR_*: the server
 * answers them. */
#ifndef KT_GATEWAY_GATEWAY_PRIV_H
#define KT_GATEWAY_GATEWAY_PRIV_H

#include "gateway/auth.h"
#include "gateway/gateway.h"
#include "gateway/route.h"

struct gateway {
    const struct store_api *store;
    int dir; /* handle */
    struct keys *keys;
    struct buckets *buckets;
    uint64_t blob_max;
    uint64_t signed_url_max_s;
    int64_t op_timeout_ms;
    int64_t started_s;                          /* Unix seconds */
    _Atomic(const struct http_server *) server; /* NULL before it listens */
    _Atomic bool draining;
    _Atomic bool keys_bad; /* the last look at keys.json failed */
};

/* What metrics and the access log want to know; lives in the request's arena. */
struct note {
    enum op op; /* OP_COUNT: none */
    const struct bucket *bucket;
    int rc;       /* why the handler itself answered with 5xx (negative), else 0; for the log */
    bool entered; /* counted in METRIC_HTTP_INFLIGHT */
};

/* One request on its way through a handler. */
struct call {
    struct gateway *gw;
    struct http_request *rq;
    struct note *note;
    struct route route;
    struct auth_verdict verdict;
};
typedef int (*call_fn)(struct call *c) KT_YIELDS;

/* Handlers, one file per resource. Each answers and returns 0, or returns an error before it has
 * sent anything. */
int blob_put(struct call *c) KT_YIELDS;
int blob_get(struct call *c) KT_YIELDS;
int blob_delete(struct call *c) KT_YIELDS;
int blob_undelete(struct call *c) KT_YIELDS;
int batch_put(struct call *c) KT_YIELDS;
int batch_get(struct call *c) KT_YIELDS;
int bucket_list(struct call *c) KT_YIELDS;
int bucket_get(struct call *c) KT_YIELDS;
int bucket_put(struct call *c) KT_YIELDS;
int bucket_delete(struct call *c) KT_YIELDS;
int sign_post(struct call *c) KT_YIELDS;
int status_get(struct call *c) KT_YIELDS;
int metrics_get(struct call *c) KT_YIELDS;
int health_live(struct call *c) KT_YIELDS;
int health_ready(struct call *c) KT_YIELDS;

static inline int64_t call_deadline(const struct call *c)
{
    return rt_after_ms(c->gw->op_timeout_ms);
}

/* ---- write.c: what single blobs and batches have in common ---- */

#define WRITE_META_MAX 1536u /* bytes of meta that a gateway writes */
#define ETAG_MAX 27u         /* quotes included */

/* The live bucket that the query names. Errors: INVALID (none named), NO_BUCKET. */
int write_bucket(const struct call *c, struct bucket **ret) KT_MUST_CHECK;
/* When blobs of this request expire: the query's ttl, else the bucket's; 0: never. Errors: INVALID.
 */
int write_expiry(const struct call *c, const struct bucket *bk, uint32_t *ret_s) KT_MUST_CHECK;
/* Would `more` bytes stay within the quota? Asked again once the body is in. Errors: QUOTA,
 * NO_BUCKET (removed meanwhile). */
int write_quota(const struct bucket *bk, uint64_t more) KT_MUST_CHECK;
/* Counts a blob that is about to be stored, so that writers at the same time don't pass the quota
 * together; bucket_account takes it back when it wasn't stored. Errors: as write_quota. */
int write_reserve(struct bucket *bk, uint64_t bytes) KT_MUST_CHECK;
/* Encodes the meta of a blob; empty name and type are left out. Errors: TOO_LARGE. */
int write_meta(struct slice name, struct slice type, uint32_t expires_s,
               uint8_t out[WRITE_META_MAX], size_t *ret_len) KT_MUST_CHECK;
/* Is this a content type worth keeping and safe to send back? */
bool write_type_ok(struct slice type);
/* Content type by a file name's ending; empty when unknown. */
struct slice write_type_of_name(struct slice name);
/* Strong entity tag of stored bytes: "CRC-LENGTH" in hex, in quotes. Returns its length. */
size_t etag_format(uint32_t data_crc, uint64_t len, char out[ETAG_MAX + 1]);

/* ---- reply.c ---- */

int reply_json(struct http_request *rq, int status, struct slice json) KT_MUST_CHECK KT_YIELDS;
int reply_status(struct http_request *rq, int status) KT_MUST_CHECK KT_YIELDS; /* without a body */
/* The answer to a refused request with one more field than the server would send. */
int reply_refusal(struct http_request *rq, int rc,
                  const struct http_field *extra) KT_MUST_CHECK KT_YIELDS;
/* Appends a JSON string with quotes. Bytes that are not UTF-8 become U+FFFD; '<', '>' and '&' are
 * escaped. Returns 1 when bytes had to be replaced, 0, or TOO_LARGE. */
int json_add_text(struct buf *out, struct slice text) KT_MUST_CHECK;
/* Appends {"code":...,"message":...} of an error. */
int json_add_error(struct buf *out, int rc, const char *message) KT_MUST_CHECK;
/* What a client may read about `rc`: the diagnostic for its own mistakes, a fixed text for
 * everything else. */
const char *error_message(int rc);

/* ---- blob.c ---- */

/* Opens the blob and sees that it is one, of a live bucket, that the verdict may read. The reader
 * must be closed after a success. Errors: NOT_FOUND, DENIED, and those of the store. */
int blob_open(struct call *c, const struct blobid *id, unsigned flags,
              struct store_reader *ret) KT_MUST_CHECK KT_YIELDS;

#endif
