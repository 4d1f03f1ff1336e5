/* metrics: the Prometheus text. What is counted as it happens is in obs/metric; what is a state is
 * looked up now. */
#include "gateway/gateway_priv.h"

#include "base/macros.h"
#include "format/superblock.h"
#include "obs/metric.h"

#define METRICS_MAX MIB(4)

struct sums {
    int64_t open, sealed, fenced, damaged;
};

static void on_disk(void *arg, const struct store_disk_stat *st)
{
    static const char *const states[] = {"ok", "full", "failed"};
    (void)arg;
    uint8_t disk = metric_label(DIM_DISK, slice_str(st->path));
    metric_set(METRIC_DISK_BYTES, METRIC_L(disk, metric_label(DIM_SPACE, SLICE_LIT("total"))),
               (int64_t)st->total_bytes);
    metric_set(METRIC_DISK_BYTES, METRIC_L(disk, metric_label(DIM_SPACE, SLICE_LIT("free"))),
               (int64_t)st->free_bytes);
    for (size_t i = 0; i < KT_ARRAY_LEN(states); i++)
        metric_set(METRIC_DISK_STATE,
                   METRIC_L(disk, metric_label(DIM_DSTATE, slice_str(states[i]))), st->state == i);
}

static void on_volume(void *arg, const struct store_volume_stat *st)
{
    struct sums *s = arg;
    switch (st->state) {
    case VOLUME_OPEN:
        s->open++;
        break;
    case VOLUME_SEALED:
        s->sealed++;
        break;
    case VOLUME_FENCED:
        s->fenced++;
        break;
    default:
        s->damaged++;
    }
}

static void set_volumes(const char *state, int64_t n)
{
    metric_set(METRIC_VOLUMES, METRIC_L(metric_label(DIM_VSTATE, slice_str(state))), n);
}

static void set_server(const struct http_server *server)
{
    struct http_server_stats s;
    if (!server)
        return;
    http_server_stats(server, &s);
    metric_set(METRIC_HTTP_CONNECTIONS, METRIC_L(metric_label(DIM_CONN, SLICE_LIT("parked"))),
               (int64_t)s.conns_parked);
    metric_set(METRIC_HTTP_CONNECTIONS, METRIC_L(metric_label(DIM_CONN, SLICE_LIT("active"))),
               (int64_t)(s.conns - s.conns_parked));
    metric_total(METRIC_HTTP_REJECTED, METRIC_L(metric_label(DIM_REASON, SLICE_LIT("connections"))),
                 s.rejected_busy);
    metric_total(METRIC_HTTP_REJECTED, METRIC_L(metric_label(DIM_REASON, SLICE_LIT("framing"))),
                 s.rejected_proto);
    metric_total(METRIC_HTTP_REJECTED, METRIC_L(metric_label(DIM_REASON, SLICE_LIT("timeout"))),
                 s.timeouts);
    metric_set(METRIC_HTTP_BUDGET, METRIC_NO_LABELS, (int64_t)http_budget_used());
}

static void set_states(const struct gateway *gw)
{
    struct sums s = {0};
    struct rt_stats rs;
    struct store_walk w = {.arg = &s, .disk = on_disk, .volume = on_volume};
    gw->store->walk(gw->store->self, &w);
    set_volumes("open", s.open);
    set_volumes("sealed", s.sealed);
    set_volumes("fenced", s.fenced);
    set_volumes("damaged", s.damaged);
    set_server(atomic_load(&gw->server));
    rt_stats(&rs);
    metric_set(METRIC_FIBERS, METRIC_NO_LABELS, (int64_t)rs.fibers);
    metric_total(METRIC_OFFLOADS, METRIC_NO_LABELS, rs.offloads);
    metric_set(METRIC_OFFLOAD_QUEUE, METRIC_NO_LABELS, (int64_t)rs.offload_queue);
    metric_set(METRIC_STACK_HIGH_WATER, METRIC_NO_LABELS, (int64_t)rs.stack_high_water);
    metric_set(METRIC_START_TIME, METRIC_NO_LABELS, gw->started_s);
    metric_set(METRIC_BUILD_INFO, METRIC_L(metric_label(DIM_VERSION, SLICE_LIT(KITTEN_VERSION))),
               1);
}

int metrics_get(struct call *c)
{
    struct buf out KT_CLEANUP(buf_done) = BUF_INIT(METRICS_MAX);
    struct http_field f[] = {
        {"content-type", SLICE_LIT("text/plain; version=0.0.4; charset=utf-8")},
        {"cache-control", SLICE_LIT("no-store")}};
    set_states(c->gw);
    int rc = metric_render(&out);
    if (rc < 0)
        return rc;
    struct slice body = buf_slice(&out);
    struct http_reply rp = {.status = 200, .fields = f, .nfields = 2, .body_len = body.len};
    return http_reply(c->rq, &rp, &body, 1);
}
