/* http_echo: a server for tests that answers each request with one JSON line saying what it
 * understood.
 *
 * usage: http_echo [NAME=VALUE]...   loops, fibers, and the members of struct http_limits
 *
 * Prints "port N" and serves 127.0.0.1 until SIGTERM, then prints its counters. Paths:
 *   /ignore       answers without reading the body
 *   /bytes/N      streams N bytes of the letter 'x'
 *   /chunks/N     the same, chunked
 *   /hold         reads the whole body into memory charged to the budget
 *   anything      reads the body and reports its length and the first 64 bytes in hex
 */
#include "base/enc.h"
#include "http/server.h"

#include <stdio.h>
#include <stdlib.h>

static struct http_limits limits;
static uint64_t loops = 1, fibers;

static int stream(struct http_request *rq, uint64_t n, bool chunked)
{
    static uint8_t bytes[65536];
    memset(bytes, 'x', sizeof(bytes));
    struct http_reply rp = {.status = 200, .body_len = chunked ? UINT64_MAX : n};
    int rc = http_reply_begin(rq, &rp);
    while (rc == 0 && n > 0) {
        size_t step = (size_t)KT_MIN(n, (uint64_t)sizeof(bytes));
        rc = http_reply_body(rq, slice_of(bytes, step));
        n -= step;
    }
    return rc < 0 ? rc : http_reply_end(rq);
}

static int report(struct http_request *rq, uint64_t body_len, const uint8_t *first)
{
    char hex[129] = "";
    size_t shown = (size_t)KT_MIN(body_len, UINT64_C(64));
    hex_encode(first, shown, hex);
    char *text = arena_printf(
        &rq->arena, "{\"method\":\"%s\",\"path\":\"%.*s\",\"body_len\":%llu,\"body\":\"%s\"}\n",
        h1_method_name(rq->head.method), SLICE_ARG(rq->head.path), (unsigned long long)body_len,
        hex);
    if (!text)
        return err_set(KT_ERR_NO_MEMORY, "no room for the answer");
    struct http_field type = {"content-type", SLICE_LIT("application/json")};
    struct slice body = slice_str(text);
    struct http_reply rp = {.status = 200, .fields = &type, .nfields = 1, .body_len = body.len};
    return http_reply(rq, &rp, &body, 1);
}

static int echo(struct http_request *rq)
{
    uint8_t first[64], junk[4096];
    uint64_t len = 0;
    for (;;) {
        ssize_t n = http_body_read(rq, junk, sizeof(junk));
        if (n < 0)
            return (int)n;
        if (n == 0)
            return report(rq, len, first);
        if (len < sizeof(first))
            memcpy(first + len, junk, KT_MIN((size_t)n, sizeof(first) - (size_t)len));
        len += (uint64_t)n;
    }
}

static int hold(struct http_request *rq)
{
    struct buf body = BUF_INIT(MIB(64));
    int rc = http_body_read_all(rq, &body);
    if (rc == 0)
        rc = report(rq, body.len, body.p);
    http_body_release(&body);
    return rc;
}

static int handle(void *arg, struct http_request *rq)
{
    (void)arg;
    uint64_t n;
    struct slice path = rq->head.path;
    if (slice_eq(path, SLICE_LIT("/ignore")))
        return report(rq, 0, NULL);
    if (slice_eq(path, SLICE_LIT("/hold")))
        return hold(rq);
    if (slice_has_prefix(path, SLICE_LIT("/bytes/")) &&
        dec_to_u64(slice_sub(path, 7, path.len), &n))
        return stream(rq, n, false);
    if (slice_has_prefix(path, SLICE_LIT("/chunks/")) &&
        dec_to_u64(slice_sub(path, 8, path.len), &n))
        return stream(rq, n, true);
    return echo(rq);
}

static int run(void *arg)
{
    (void)arg;
    struct rt_addr addr;
    struct http_server *s;
    int rc = rt_addr_parse(SLICE_LIT("127.0.0.1:0"), &addr);
    if (rc < 0)
        return rc;
    struct http_server_options opt = {.limits = limits, .handler = handle};
    rc = http_server_start(&opt, &addr, 1, &s);
    if (rc < 0)
        return rc;
    rc = http_server_addr(s, 0, &addr);
    printf("port %u\n", addr.port);
    fflush(stdout);
    rt_wait_stop(RT_NEVER);
    struct http_server_stats st;
    http_server_stats(s, &st);
    printf("conns %llu parked %llu requests %llu busy %llu proto %llu timeouts %llu budget %llu\n",
           (unsigned long long)st.conns, (unsigned long long)st.conns_parked,
           (unsigned long long)st.requests, (unsigned long long)st.rejected_busy,
           (unsigned long long)st.rejected_proto, (unsigned long long)st.timeouts,
           (unsigned long long)http_budget_used());
    http_server_stop(s, rt_after_ms(1000));
    return rc;
}

static bool set_option(const char *name, size_t name_len, uint64_t v)
{
    const struct {
        const char *name;
        uint32_t *at;
    } table[] = {
        {"conns_max", &limits.conns_max},
        {"head_bytes_max", &limits.head_bytes_max},
        {"uri_bytes_max", &limits.uri_bytes_max},
        {"fields_max", &limits.fields_max},
        {"head_timeout_ms", &limits.head_timeout_ms},
        {"idle_timeout_ms", &limits.idle_timeout_ms},
        {"send_timeout_ms", &limits.send_timeout_ms},
        {"body_timeout_ms", &limits.body_timeout_ms},
        {"body_rate_min", &limits.body_rate_min},
    };
    struct slice want = slice_of(name, name_len);
    if (slice_eq(want, SLICE_LIT("loops")))
        loops = v;
    else if (slice_eq(want, SLICE_LIT("fibers")))
        fibers = v;
    else if (slice_eq(want, SLICE_LIT("body_budget")))
        limits.body_budget = v;
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++)
        if (slice_eq(want, slice_str(table[i].name))) {
            *table[i].at = (uint32_t)v;
            return true;
        }
    return slice_eq(want, SLICE_LIT("loops")) || slice_eq(want, SLICE_LIT("fibers")) ||
           slice_eq(want, SLICE_LIT("body_budget"));
}

int main(int argc, char **argv)
{
    limits = http_limits_default;
    for (int i = 1; i < argc; i++) {
        const char *eq = strchr(argv[i], '=');
        uint64_t v;
        if (!eq || !dec_to_u64(slice_str(eq + 1), &v) ||
            !set_option(argv[i], (size_t)(eq - argv[i]), v)) {
            fprintf(stderr, "http_echo: unknown option %s\n", argv[i]);
            return 2;
        }
    }
    struct rt_options opt = {.loops = (int)loops, .workers = 1, .max_fibers = (uint32_t)fibers};
    int rc = rt_run(&opt, run, NULL);
    if (rc < 0)
        fprintf(stderr, "http_echo: %s\n", err_text(rc));
    return rc < 0 ? 1 : 0;
}
