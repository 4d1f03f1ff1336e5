/* gateway: one door in, one door out.
 *
 * Happy path: route, authenticate, call the operation's handler. Failure modes: whatever step fails
 * returns its code, and the server writes the refusal (gateway_error), once. When a handler fails
 * after its answer has begun, the server cuts the connection: the client sees a body that is too
 * short, never a wrong one.
 */
#include "gateway/gateway_priv.h"

#include "base/assert.h"
#include "base/macros.h"
#include "obs/log.h"
#include "obs/metric.h"
#include <string.h>

#define OP_TIMEOUT_MS 30000

static const call_fn handlers[OP_COUNT] = {
    [OP_BLOB_PUT] = blob_put,       [OP_BLOB_GET] = blob_get,
    [OP_BLOB_DELETE] = blob_delete, [OP_BLOB_UNDELETE] = blob_undelete,
    [OP_BATCH_PUT] = batch_put,     [OP_BATCH_GET] = batch_get,
    [OP_BUCKET_LIST] = bucket_list, [OP_BUCKET_GET] = bucket_get,
    [OP_BUCKET_PUT] = bucket_put,   [OP_BUCKET_DELETE] = bucket_delete,
    [OP_SIGN] = sign_post,          [OP_STATUS] = status_get,
    [OP_METRICS] = metrics_get,     [OP_LIVE] = health_live,
    [OP_READY] = health_ready,
};

/* Metric labels, looked up once. */
static struct labels {
    uint8_t api[OP_COUNT], head, other, in, out, no_bucket;
} labels;

static void find_labels(void)
{
    for (int i = 0; i < OP_COUNT; i++)
        labels.api[i] = metric_label(DIM_API, slice_str(op_name((enum op)i)));
    labels.head = metric_label(DIM_API, SLICE_LIT("head"));
    labels.other = metric_label(DIM_API, SLICE_LIT("other"));
    labels.in = metric_label(DIM_DIR, SLICE_LIT("in"));
    labels.out = metric_label(DIM_DIR, SLICE_LIT("out"));
    labels.no_bucket = metric_label(DIM_BUCKET, SLICE_LIT("-"));
}

static uint8_t api_label(const struct http_request *rq, const struct note *note)
{
    if (!note || note->op == OP_COUNT)
        return labels.other;
    bool head = note->op == OP_BLOB_GET && rq->head.method == H1_HEAD;
    return head ? labels.head : labels.api[note->op];
}

/* Counts the request as being answered, until gateway_done. */
static void enter(struct call *c)
{
    c->note->entered = true;
    metric_shift(METRIC_HTTP_INFLIGHT, METRIC_L(api_label(c->rq, c->note)), 1);
}

static int handle(struct call *c)
{
    const struct h1_head *h = &c->rq->head;
    int rc = route_parse(h->method, h->path, h->query, &c->route);
    if (rc < 0)
        return rc;
    kt_assert(c->route.op < OP_COUNT);
    c->rq->api = op_name(c->route.op);
    c->note->op = c->route.op;
    enter(c);
    rc = auth_check(c->gw->keys, h, &c->route, rt_wall_ns() / NS_PER_SEC, &c->verdict);
    if (rc < 0)
        return rc;
    return handlers[c->route.op](c);
}

int gateway_handle(void *arg, struct http_request *rq)
{
    struct call c;
    c.gw = arg;
    c.rq = rq;
    c.note = arena_alloc(&rq->arena, sizeof(*c.note));
    if (!c.note)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a request");
    *c.note = (struct note){.op = OP_COUNT};
    rq->user = c.note;
    return handle(&c);
}

void gateway_done(void *arg, const struct http_request *rq, int rc)
{
    (void)arg;
    const struct note *note = rq->user;
    uint8_t api = api_label(rq, note);
    uint8_t bucket = note && note->bucket ? note->bucket->metric : labels.no_bucket;
    int status = rq->status ? rq->status : 499; /* the client left before an answer began */
    metric_add(METRIC_HTTP_REQUESTS, METRIC_L(api, metric_code(status), bucket), 1);
    metric_observe_ns(METRIC_HTTP_REQUEST_TIME, METRIC_L(api), rt_now_ns() - rq->started_ns);
    if (rq->status)
        metric_observe_ns(METRIC_HTTP_TTFB, METRIC_L(api), rq->answered_ns - rq->started_ns);
    if (note && note->entered)
        metric_shift(METRIC_HTTP_INFLIGHT, METRIC_L(api), -1);
    if (rq->sent_bytes)
        metric_add(METRIC_HTTP_BYTES, METRIC_L(labels.out, bucket), rq->sent_bytes);
    if (rq->body_read)
        metric_add(METRIC_HTTP_BYTES, METRIC_L(labels.in, bucket), rq->body_read);
    if (status >= 500 || (rc < 0 && status < 300))
        log_warn("gateway", "request failed", LOG_STR("api", rq->api), LOG_I64("status", status),
                 LOG_ERR(rc < 0 || !note ? rc : note->rc));
}

/* ---- life ---- */

static int make_first_bucket(struct gateway *gw, const char *name)
{
    struct bucket_settings s = {0};
    bool made;
    if (!name || buckets_by_id(gw->buckets, 1))
        return 0;
    return buckets_put(gw->buckets, name, &s, &made);
}

int gateway_open(const struct gateway_options *opt, struct gateway **ret, bool *ret_new_key)
{
    struct gateway *gw = mem_zalloc(sizeof(*gw));
    bool new_key = false;
    find_labels();
    gw->store = opt->store;
    gw->blob_max = opt->blob_max ? opt->blob_max : NEEDLE_DATA_MAX;
    gw->signed_url_max_s = opt->signed_url_max_s ? opt->signed_url_max_s : AUTH_URL_TTL_MAX_S;
    gw->op_timeout_ms = opt->op_timeout_ms ? opt->op_timeout_ms : OP_TIMEOUT_MS;
    gw->started_s = rt_wall_ns() / NS_PER_SEC;
    kt_assert(gw->blob_max <= NEEDLE_DATA_MAX);
    int rc = gw->dir = rt_dir_open(opt->dir, false);
    if (rc >= 0)
        rc = keys_open(gw->dir, &gw->keys, &new_key);
    if (rc >= 0)
        rc = buckets_open(gw->dir, gw->store, &gw->buckets);
    if (rc >= 0)
        rc = make_first_bucket(gw, opt->first_bucket);
    if (rc < 0) {
        gateway_close(gw);
        return rc;
    }
    *ret = gw;
    *ret_new_key = new_key;
    return 0;
}

void gateway_close(struct gateway *gw)
{
    if (!gw)
        return;
    buckets_close(gw->buckets);
    keys_close(gw->keys);
    if (gw->dir >= 0)
        rt_file_close(gw->dir);
    mem_free(gw);
}

/* Said once in the log, and in the status until it is mended. */
static void note_keys(struct gateway *gw, int rc)
{
    bool bad = rc < 0 && rc != -KT_ERR_CANCELED;
    if (bad && !atomic_exchange(&gw->keys_bad, true))
        log_warn("gateway", "keys not read again, the old ones stay in use", LOG_ERR(rc));
    else if (rc >= 0)
        atomic_store(&gw->keys_bad, false);
}

int gateway_background(void *arg)
{
    struct gateway *gw = arg;
    for (;;) {
        int rc = rt_sleep_until(rt_after_ms(KEYS_RELOAD_MS));
        if (rc < 0)
            return rc == -KT_ERR_CANCELED ? 0 : rc;
        rc = keys_reload(gw->keys);
        note_keys(gw, rc);
        rc = buckets_save(gw->buckets);
        (void)rc; /* tried again at the next turn; the log has the truth */
    }
}

void gateway_set_server(struct gateway *gw, const struct http_server *server)
{
    atomic_store(&gw->server, server);
}

void gateway_set_draining(struct gateway *gw)
{
    atomic_store(&gw->draining, true);
}

struct keys *gateway_keys(struct gateway *gw)
{
    return gw->keys;
}

struct buckets *gateway_buckets(struct gateway *gw)
{
    return gw->buckets;
}
