/* mini: `kitten mini DIR...`: everything in one process on one machine.
 *
 * Happy path: settings, log, rt_run; on loop 0: store_open, gateway_open, http_server_start, the
 * banner; then it waits for SIGINT or SIGTERM, refuses to be ready, lets requests in flight finish,
 * and closes in the reverse order.
 *
 * Failure modes: each step's error ends the start with its one line and the exit code of its class.
 * What was opened before is closed.
 */
#include "base/err.h"
#include "cmd/banner.h"
#include "cmd/settings.h"
#include "cmd/table.h"
#include "gateway/gateway.h"
#include "gateway/statefile.h"
#include "obs/log.h"
#include "store/store.h"
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define FIRST_BUCKET "photos"

struct mini {
    struct conf conf;
    struct store *store;
    struct gateway *gw;
    struct http_server *server;
    struct rt_addr addrs[CONF_LIST_MAX];
    int naddrs;
    bool new_key;
    int64_t started_ns;
};

/* ---- from parameters to options ---- */

static int parse_addrs(struct mini *m)
{
    const struct conf_list *l = &m->conf.listen;
    for (int i = 0; i < l->n; i++) {
        int rc = rt_addr_parse(slice_str(l->at[i]), &m->addrs[i]);
        if (rc < 0)
            return err_wrap(rc, "--listen %s", l->at[i]);
    }
    m->naddrs = l->n;
    return 0;
}

static struct http_limits limits_of(const struct conf *c)
{
    struct http_limits l = http_limits_default;
    l.conns_max = (uint32_t)c->http_connections;
    l.head_bytes_max = (uint32_t)c->http_head_limit_bytes;
    l.uri_bytes_max = (uint32_t)c->http_uri_limit_bytes;
    l.fields_max = (uint32_t)KT_MIN(c->http_fields, (uint64_t)H1_FIELDS_MAX);
    l.head_timeout_ms = (uint32_t)c->http_head_timeout_ms;
    l.idle_timeout_ms = (uint32_t)c->http_idle_timeout_ms;
    l.send_timeout_ms = (uint32_t)c->http_send_timeout_ms;
    l.body_timeout_ms = (uint32_t)c->http_body_timeout_ms;
    l.body_rate_min = (uint32_t)c->http_body_rate_bytes;
    l.body_budget = c->http_body_budget_bytes;
    return l;
}

/* ---- opening, in this order ---- */

static int open_store(struct mini *m)
{
    const struct conf *c = &m->conf;
    struct store_options o = {.dirs = c->data.at,
                              .ndirs = c->data.n,
                              .volume_limit_bytes = c->volume_limit_bytes,
                              .reserve_bytes = c->reserve_bytes,
                              .zero_fill_bytes = c->zero_fill_ahead ? MIB(1) : 0,
                              .undelete_window_s = (uint32_t)(c->undelete_window_ms / 1000),
                              .open_volumes_max = (uint32_t)c->open_volumes,
                              .garbage_percent = (uint32_t)c->compact_garbage,
                              .compact_bytes_per_s = c->compact_rate_bytes,
                              .scrub_period_s = (uint32_t)(c->scrub_period_ms / 1000)};
    return store_open(&o, &m->store);
}

static int open_gateway(struct mini *m)
{
    struct gateway_options o = {.store = store_api_of(m->store),
                                .dir = m->conf.data.at[0],
                                .first_bucket = FIRST_BUCKET,
                                .blob_max = m->conf.max_blob_bytes,
                                .signed_url_max_s = (uint64_t)m->conf.signed_url_max_age_ms / 1000};
    return gateway_open(&o, &m->gw, &m->new_key);
}

static int start_on(struct mini *m, int naddrs)
{
    struct http_server_options o = {.limits = limits_of(&m->conf),
                                    .handler = gateway_handle,
                                    .done = gateway_done,
                                    .error = gateway_error,
                                    .arg = m->gw};
    return http_server_start(&o, m->addrs, naddrs, &m->server);
}

static int explain_listen(int rc)
{
    char why[DIAG_TEXT_MAX];
    snprintf(why, sizeof(why), "%s", err_text(rc));
    if (rc == -KT_ERR_CONFLICT)
        return err_set(KT_ERR_CONFLICT,
                       "%s: stop what listens there, or choose another with --listen", why);
    if (rc == -KT_ERR_DENIED)
        return err_set(KT_ERR_DENIED,
                       "%s: ports below 1024 are for root, choose another with --listen", why);
    return rc;
}

/* A machine without IPv6 can't have the default's second address: nobody asked for it by name. */
static int start_server(struct mini *m)
{
    int rc = start_on(m, m->naddrs);
    bool by_default = m->conf.source[CONF_PARAM_listen] == CONF_DEFAULT && m->naddrs > 1;
    if (rc < 0 && by_default && rc != -KT_ERR_CONFLICT && rc != -KT_ERR_DENIED) {
        m->naddrs = 1;
        rc = start_on(m, 1);
    }
    if (rc < 0)
        return explain_listen(rc);
    for (int i = 0; i < m->naddrs; i++) {
        int got = http_server_addr(m->server, i, &m->addrs[i]);
        if (got < 0)
            return got;
    }
    gateway_set_server(m->gw, m->server);
    return 0;
}

/* Where `kitten status DIR` finds the server. A hint: failing to leave it is not worth failing the
 * start. */
static int write_endpoint(struct mini *m)
{
    char text[RT_ADDR_TEXT_MAX];
    int dir = rt_dir_open(m->conf.data.at[0], false);
    if (dir < 0)
        return dir;
    rt_addr_format(&m->addrs[0], text);
    int rc = statefile_write(dir, "endpoint", slice_str(text));
    rt_file_close(dir);
    return rc;
}

/* ---- running ---- */

static void first_live(void *arg, const struct bucket *bk)
{
    const char **name = arg;
    if (!*name)
        *name = bk->name;
}

static void print_banner(const struct mini *m)
{
    const char *bucket = NULL;
    buckets_each(gateway_buckets(m->gw), first_live, &bucket);
    struct key key = {0};
    struct banner b = {.dir = m->conf.data.at[0],
                       .ndirs = m->conf.data.n,
                       .addrs = m->addrs,
                       .naddrs = m->naddrs,
                       .bucket = bucket ? bucket : FIRST_BUCKET,
                       .show_secret = m->new_key,
                       .started_in_ms = (rt_now_ns() - m->started_ns) / NS_PER_MS};
    if (keys_first(gateway_keys(m->gw), &key))
        b.key = &key;
    banner_print(&b);
    memset(&key, 0, sizeof(key));
}

static int serve(struct mini *m)
{
    struct rt_group g;
    rt_group_open(&g);
    int rc = rt_go(&g, gateway_background, m->gw);
    if (rc >= 0)
        rc = start_server(m);
    if (rc >= 0) {
        if (write_endpoint(m) < 0)
            log_warn("mini", "endpoint file not written", LOG_ERR(-diag_get()->code));
        print_banner(m);
        log_info("mini", "started", LOG_STR("data", m->conf.data.at[0]),
                 LOG_I64("ms", (rt_now_ns() - m->started_ns) / NS_PER_MS));
        int sig = rt_wait_stop(RT_NEVER);
        log_info("mini", "stopping", LOG_I64("signal", sig));
        gateway_set_draining(m->gw);
        http_server_stop(m->server, rt_after_ms(m->conf.stop_timeout_ms));
        gateway_set_server(m->gw, NULL);
    }
    rt_group_cancel(&g);
    return rt_group_wait(&g, rc);
}

static int mini_main(void *arg)
{
    struct mini *m = arg;
    m->started_ns = rt_now_ns();
    int rc = open_store(m);
    if (rc >= 0)
        rc = open_gateway(m);
    if (rc >= 0)
        rc = serve(m);
    struct diag why = *diag_get();
    gateway_close(m->gw);
    store_close(m->store);
    if (rc < 0)
        *diag_get() = why;
    return rc;
}

static int start_log(const struct conf *c)
{
    struct log_options o = {.level = (enum log_level)c->log_level,
                            .format = (enum log_format)c->log_format,
                            .path = *c->log_file ? c->log_file : NULL};
    log_clock_ns = rt_wall_ns;
    log_request_id = rt_request_id;
    return log_start(&o);
}

static void on_slow_turn(const struct rt_slow *slow)
{
    log_warn("rt", "an event loop was busy for long: requests on it waited",
             LOG_I64("loop", slow->loop), LOG_I64("ms", slow->took_ns / NS_PER_MS),
             LOG_U64("fiber", slow->fiber_id), LOG_HEX("request", slow->request_id));
}

/* Bodies grow in steps while thousands of others do. glibc's heap would keep a hole for each step,
 * more than the body budget in all, because it raises the size from which blocks are mapped (and
 * given back) with the first that is freed. Naming the sizes keeps them. */
static void keep_heap_small(void)
{
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

static int mini_run(const struct cmd_args *args)
{
    struct mini m = {0};
    int rc = settings_load(args, &m.conf);
    if (rc >= 0 && m.conf.data.n == 0)
        rc = err_set(KT_ERR_INVALID, "say where to keep the data: kitten mini DIR");
    if (rc >= 0)
        rc = parse_addrs(&m);
    if (rc >= 0)
        rc = start_log(&m.conf);
    if (rc >= 0) {
        struct rt_options o = {.loops = (int)m.conf.loops, .workers = (int)m.conf.workers};
        rt_set_slow_hook(on_slow_turn);
        keep_heap_small();
        rc = rt_run(&o, mini_main, &m);
        log_stop();
    }
    conf_done(&m.conf);
    return rc;
}

static const struct cmd_example examples[] = {
    {"kitten mini ./data", "Serve ./data on 127.0.0.1:9000 and [::1]:9000"},
    {"kitten mini /disk1 /disk2 --listen 0.0.0.0:9000",
     "Use two disks, and be reached from other machines"},
    {0}};

const struct command cmd_mini = {
    .name = "mini",
    .operands = "DIR...",
    .summary = "serve blobs from this machine's disks",
    .text = "Runs everything in one process: the store on the data directories DIR, one per disk, "
            "and the HTTP "
            "server. A directory that is empty or missing is made ready. At the first start an "
            "access key is made "
            "and shown once; it is kept in keys.json of the first directory.\n\n"
            "SIGTERM and Ctrl-C let requests in flight finish, then stop with exit code 0.",
    .options = settings_own_options,
    .more_options = settings_option,
    .examples = examples,
    .words_min = 0,
    .words_max = -1,
    .run = mini_run,
};
