/* status: what an operator asks first, as JSON: is it fine, and if not, why. Sums over the store's
 * walk; problems are sentences. */
#include "gateway/gateway_priv.h"

#include "base/enc.h"
#include "base/macros.h"
#include "format/superblock.h"
#include <stdio.h>

#define STATUS_MAX MIB(16)
#define PROBLEMS_MAX 64 /* further ones are counted */
#define VOLUMES_LISTED 4096

struct report {
    struct buf disks, volumes, jobs, problems;
    int ndisks, nvolumes, njobs, nproblems, unlisted, failed_disks;
    uint64_t live, dead, needles;
    uint64_t by_state[4]; /* open, sealed, fenced, other */
    int rc;               /* first failed append */
};

static void keep(struct report *r, int rc)
{
    if (rc < 0 && r->rc >= 0)
        r->rc = rc;
}

static const char *comma(int *n)
{
    return (*n)++ ? "," : "";
}

static void problem(struct report *r, const char *what, const char *which, const char *why)
{
    char text[512];
    if (r->nproblems >= PROBLEMS_MAX) {
        r->unlisted++;
        return;
    }
    int n =
        snprintf(text, sizeof(text), "%s %s: %s", what, which, why[0] ? why : "no reason known");
    keep(r, buf_add_str(&r->problems, comma(&r->nproblems)));
    keep(r, json_add_text(&r->problems, slice_of(text, KT_MIN((size_t)n, sizeof(text) - 1))));
}

static void on_disk(void *arg, const struct store_disk_stat *st)
{
    static const char *const states[] = {"ok", "full", "failed"};
    struct report *r = arg;
    char uuid[32];
    hex_encode(st->uuid, sizeof(st->uuid), uuid);
    const char *state = st->state < KT_ARRAY_LEN(states) ? states[st->state] : "unknown";
    keep(r, buf_addf(&r->disks, "%s\n  {\"disk\":%u,\"path\":", comma(&r->ndisks), st->disk));
    keep(r, json_add_text(&r->disks, slice_str(st->path)));
    keep(r,
         buf_addf(&r->disks,
                  ",\"uuid\":\"%.32s\",\"state\":\"%s\",\"total_bytes\":%llu,\"free_bytes\":%llu,"
                  "\"reserve_bytes\":%llu,\"volumes\":%u,\"io_errors\":%llu,\"reason\":",
                  uuid, state, (unsigned long long)st->total_bytes,
                  (unsigned long long)st->free_bytes, (unsigned long long)st->reserve_bytes,
                  st->volumes, (unsigned long long)st->io_errors));
    keep(r, json_add_text(&r->disks, slice_str(st->reason)));
    keep(r, buf_add_str(&r->disks, "}"));
    r->failed_disks += st->state == STORE_DISK_FAILED;
    if (st->state == STORE_DISK_FULL)
        problem(r, "full disk", st->path,
                "writes are refused until there is space; reads and deletes go on");
    else if (st->state != STORE_DISK_OK)
        problem(r, "failed disk", st->path, st->reason);
}

static const char *volume_state(uint8_t state)
{
    return state == VOLUME_OPEN     ? "open"
           : state == VOLUME_SEALED ? "sealed"
           : state == VOLUME_FENCED ? "fenced"
                                    : "damaged";
}

static void on_volume(void *arg, const struct store_volume_stat *st)
{
    struct report *r = arg;
    const char *state = volume_state(st->state);
    char name[16];
    snprintf(name, sizeof(name), "%08x", st->vid);
    r->live += st->live_bytes;
    r->dead += st->dead_bytes;
    r->needles += st->needles;
    r->by_state[st->state >= VOLUME_OPEN && st->state <= VOLUME_FENCED ? st->state - 1 : 3]++;
    if (st->state != VOLUME_OPEN && st->state != VOLUME_SEALED)
        problem(r, state, name, st->reason);
    if (r->nvolumes >= VOLUMES_LISTED)
        return;
    keep(r, buf_addf(
                &r->volumes,
                "%s\n  {\"vid\":\"%s\",\"state\":\"%s\",\"disk\":%u,\"epoch\":%u,\"generation\":%u,"
                "\"length\":%llu,\"live_bytes\":%llu,\"dead_bytes\":%llu,\"needles\":%u,"
                "\"dead\":%u,\"reason\":",
                comma(&r->nvolumes), name, state, st->disk, st->epoch, st->generation,
                (unsigned long long)st->length, (unsigned long long)st->live_bytes,
                (unsigned long long)st->dead_bytes, st->needles, st->dead));
    keep(r, json_add_text(&r->volumes, slice_str(st->reason)));
    keep(r, buf_add_str(&r->volumes, "}"));
}

static void on_job(void *arg, const struct store_job_stat *st)
{
    struct report *r = arg;
    keep(r, buf_addf(&r->jobs,
                     "%s\n  {\"id\":%llu,\"kind\":\"%s\",\"phase\":\"%s\",\"vid\":\"%08x\","
                     "\"done_bytes\":%llu,\"total_bytes\":%llu,\"bytes_per_s\":%llu,\"eta_s\":",
                     comma(&r->njobs), (unsigned long long)st->id, st->kind, st->phase, st->vid,
                     (unsigned long long)st->done_bytes, (unsigned long long)st->total_bytes,
                     (unsigned long long)st->bytes_per_s));
    if (st->eta_s == UINT64_MAX)
        keep(r, buf_add_str(&r->jobs, "null"));
    else
        keep(r, buf_addf(&r->jobs, "%llu", (unsigned long long)st->eta_s));
    keep(r, buf_add_str(&r->jobs, ",\"why\":"));
    keep(r, json_add_text(&r->jobs, slice_str(st->why)));
    keep(r, buf_add_str(&r->jobs, "}"));
}

static int add_server(const struct call *c, struct buf *out)
{
    struct http_server_stats s = {0};
    const struct http_server *server = atomic_load(&c->gw->server);
    if (server)
        http_server_stats(server, &s);
    return buf_addf(out,
                    "\"server\":{\"connections\":%llu,\"parked\":%llu,\"requests\":%llu,"
                    "\"rejected_busy\":%llu,\"rejected_malformed\":%llu,\"timeouts\":%llu,"
                    "\"body_bytes_held\":%llu},\n",
                    (unsigned long long)s.conns, (unsigned long long)s.conns_parked,
                    (unsigned long long)s.requests, (unsigned long long)s.rejected_busy,
                    (unsigned long long)s.rejected_proto, (unsigned long long)s.timeouts,
                    (unsigned long long)http_budget_used());
}

static int add_all(const struct call *c, const struct report *r, struct buf *out)
{
    int64_t now_s = rt_wall_ns() / NS_PER_SEC;
    const char *state = r->ndisks == r->failed_disks ? "failed"
                        : r->nproblems               ? "degraded"
                                                     : "healthy";
    int rc = buf_addf(out,
                      "{\"state\":\"%s\",\"version\":\"%s\",\"started\":%lld,\"uptime_s\":%lld,\n"
                      "\"problems\":[%.*s],\"problems_unlisted\":%d,\n",
                      state, KITTEN_VERSION, (long long)c->gw->started_s,
                      (long long)(now_s - c->gw->started_s), SLICE_ARG(buf_slice(&r->problems)),
                      r->unlisted);
    if (rc >= 0)
        rc = add_server(c, out);
    if (rc >= 0)
        rc = buf_addf(
            out,
            "\"volumes\":{\"open\":%llu,\"sealed\":%llu,\"fenced\":%llu,\"damaged\":%llu},\n"
            "\"needles\":%llu,\"live_bytes\":%llu,\"dead_bytes\":%llu,\n",
            (unsigned long long)r->by_state[0], (unsigned long long)r->by_state[1],
            (unsigned long long)r->by_state[2], (unsigned long long)r->by_state[3],
            (unsigned long long)r->needles, (unsigned long long)r->live,
            (unsigned long long)r->dead);
    if (rc >= 0)
        rc = buf_addf(out, "\"disks\":[%.*s],\n\"jobs\":[%.*s],\n\"volume_list\":[%.*s]}\n",
                      SLICE_ARG(buf_slice(&r->disks)), SLICE_ARG(buf_slice(&r->jobs)),
                      SLICE_ARG(buf_slice(&r->volumes)));
    return rc;
}

int status_get(struct call *c)
{
    struct report r = {.disks = BUF_INIT(STATUS_MAX),
                       .volumes = BUF_INIT(STATUS_MAX),
                       .jobs = BUF_INIT(STATUS_MAX),
                       .problems = BUF_INIT(STATUS_MAX)};
    struct buf out = BUF_INIT(4 * STATUS_MAX + KIB(64));
    struct store_walk w = {.arg = &r, .disk = on_disk, .volume = on_volume, .job = on_job};
    c->gw->store->walk(c->gw->store->self, &w);
    if (atomic_load(&c->gw->keys_bad))
        problem(&r, "file", KEYS_FILE,
                "can't be read, so the keys read before stay in use; the log says why");
    int rc = r.rc < 0 ? r.rc : add_all(c, &r, &out);
    if (rc >= 0)
        rc = reply_json(c->rq, 200, buf_slice(&out));
    buf_done(&r.disks);
    buf_done(&r.volumes);
    buf_done(&r.jobs);
    buf_done(&r.problems);
    buf_done(&out);
    return rc;
}
