/* http_test: see http_test.h. */
#include "tests/unit/http/http_test.h"

#include "base/arena.h"

static int reply_text(struct http_request *rq, int status, const char *text)
{
    struct slice body = slice_str(text);
    struct http_reply rp = {.status = status, .body_len = body.len};
    return http_reply(rq, &rp, &body, 1);
}

/* The whole body in memory, back as it came. */
static int handle_echo(struct http_request *rq)
{
    struct buf b = BUF_INIT(MIB(4));
    int rc = http_body_read_all(rq, &b);
    struct slice body = buf_slice(&b);
    struct http_reply rp = {.status = 200, .body_len = b.len};
    if (rc == 0)
        rc = http_reply(rq, &rp, &body, 1);
    http_body_release(&b);
    return rc;
}

/* Streams the body through a small buffer; answers "length crc". */
static int handle_sum(struct http_request *rq)
{
    uint8_t piece[5000];
    uint64_t len = 0;
    uint32_t crc = 0;
    ssize_t n;
    while ((n = http_body_read(rq, piece, sizeof(piece))) > 0) {
        crc = crc32c(crc, piece, (size_t)n);
        len += (uint64_t)n;
    }
    if (n < 0)
        return (int)n;
    char *text = arena_printf(&rq->arena, "%llu %08x", (unsigned long long)len, crc);
    return text ? reply_text(rq, 200, text) : -KT_ERR_NO_MEMORY;
}

static int handle_stream(struct http_request *rq, uint64_t n, bool chunked, uint64_t promised)
{
    static uint8_t bytes[40000];
    memset(bytes, 'x', sizeof(bytes));
    struct http_reply rp = {.status = 200, .body_len = chunked ? UINT64_MAX : promised};
    int rc = http_reply_begin(rq, &rp);
    while (rc == 0 && n > 0) {
        size_t step = (size_t)KT_MIN(n, (uint64_t)sizeof(bytes));
        rc = http_reply_body(rq, slice_of(bytes, step));
        n -= step;
    }
    return rc < 0 ? rc : http_reply_end(rq);
}

static int handle_held(struct http_request *rq)
{
    struct http_reply rp = {.status = 200, .body_len = 10};
    int rc = http_reply_begin(rq, &rp);
    return rc < 0 ? rc : err_set(KT_ERR_NOT_FOUND, "found out late, with a \"quote\"");
}

static int handle_field(struct http_request *rq, const char *name, struct slice value)
{
    struct http_field f = {name, value};
    struct http_reply rp = {.status = 200, .fields = &f, .nfields = 1};
    return http_reply(rq, &rp, NULL, 0);
}

static int handle_sleep(struct http_request *rq, int64_t ms)
{
    int rc = rt_sleep_until(rt_after_ms(ms));
    return rc < 0 ? rc : reply_text(rq, 200, "slept");
}

static bool number_after(struct slice path, const char *prefix, uint64_t *ret)
{
    struct slice p = slice_str(prefix);
    return slice_has_prefix(path, p) && dec_to_u64(slice_sub(path, p.len, path.len), ret);
}

static int handle(void *arg, struct http_request *rq)
{
    (void)arg;
    uint64_t n;
    struct slice path = rq->head.path;
    if (slice_eq(path, SLICE_LIT("/echo")))
        return handle_echo(rq);
    if (slice_eq(path, SLICE_LIT("/sum")))
        return handle_sum(rq);
    if (slice_eq(path, SLICE_LIT("/ignore")))
        return reply_text(rq, 200, "ignored");
    if (slice_eq(path, SLICE_LIT("/held")))
        return handle_held(rq);
    if (slice_eq(path, SLICE_LIT("/nothing")))
        return 0;
    if (slice_eq(path, SLICE_LIT("/split")))
        return handle_field(rq, "x-a", SLICE_LIT("a\r\nx-b: c"));
    if (slice_eq(path, SLICE_LIT("/reserved")))
        return handle_field(rq, "Content-Length", SLICE_LIT("5"));
    if (slice_eq(path, SLICE_LIT("/not-modified")))
        return -KT_ERR_NOT_MODIFIED;
    if (number_after(path, "/bytes/", &n))
        return handle_stream(rq, n, false, n);
    if (number_after(path, "/short/", &n))
        return handle_stream(rq, n, false, n + 1);
    if (number_after(path, "/chunks/", &n))
        return handle_stream(rq, n, true, n);
    if (number_after(path, "/sleep/", &n))
        return handle_sleep(rq, (int64_t)n);
    return err_set(KT_ERR_NOT_FOUND, "no path %.*s", SLICE_ARG(path));
}

static void done(void *arg, const struct http_request *rq, int rc)
{
    struct env *e = arg;
    (void)rq;
    if (rt_loop_index() == 0) {
        e->done_calls++;
        e->done_rc = rc;
    }
}

static int env_main(void *arg)
{
    struct env *e = arg;
    struct http_server_options opt = {
        .limits = e->limits, .handler = handle, .done = done, .arg = e};
    CHECK_INT(rt_addr_parse(SLICE_LIT("127.0.0.1:0"), &e->addr), 0);
    CHECK_INT(http_server_start(&opt, &e->addr, 1, &e->server), 0);
    CHECK_INT(http_server_addr(e->server, 0, &e->addr), 0);
    e->body(e);
    http_server_stop(e->server, rt_after_ms(1000));
    CHECK_INT(http_budget_used(), 0);
    return 0;
}

void env_run(struct env *e, void (*body)(struct env *e))
{
    struct rt_options opt = {
        .backend = e->backend, .loops = e->loops, .workers = 1, .max_fibers = e->max_fibers};
    e->body = body;
    assert_int_equal(rt_run(&opt, env_main, e), 0);
}

struct raw *raw_open(const struct rt_addr *addr)
{
    struct raw *r = mem_alloc(sizeof(*r));
    r->len = 0;
    r->in[0] = 0;
    CHECK_INT(rt_connect(addr, &r->sock, rt_after_ms(2000)), 0);
    return r;
}

void raw_close(struct raw *r)
{
    rt_close(&r->sock);
    mem_free(r);
}

void raw_send(struct raw *r, const void *p, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)p, len};
    CHECK_INT(rt_sendv(&r->sock, &iov, 1, rt_after_ms(5000)), 0);
}

int raw_count(const struct raw *r, const char *text)
{
    int n = 0;
    for (const char *at = strstr(r->in, text); at; at = strstr(at + 1, text))
        n++;
    return n;
}

/* Receives once; returns the number of bytes. Only the last 64 KiB minus one are kept. */
static ssize_t raw_more(struct raw *r, int64_t deadline_ns)
{
    if (r->len == sizeof(r->in) - 1)
        r->len = 0;
    ssize_t n = rt_recv(&r->sock, r->in + r->len, sizeof(r->in) - 1 - r->len, deadline_ns);
    if (n > 0)
        r->len += (size_t)n;
    r->in[r->len] = 0;
    return n;
}

void raw_wait_for(struct raw *r, const char *text, int n)
{
    int64_t deadline = rt_after_ms(5000);
    while (raw_count(r, text) < n) {
        ssize_t got = raw_more(r, deadline);
        if (got <= 0)
            fprintf(stderr, "waiting for %d times \"%s\", have: %s\n", n, text, r->in);
        CHECK(got > 0);
    }
}

void raw_wait_end(struct raw *r, int timeout_ms)
{
    int64_t deadline = rt_after_ms(timeout_ms);
    ssize_t n;
    while ((n = raw_more(r, deadline)) > 0)
        ;
    CHECK(n == 0 || n == -KT_ERR_CLOSED);
}
