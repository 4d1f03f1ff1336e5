/* server: requests over loopback, well-behaved and not. */
#include "tests/unit/http/http_test.h"

#define HOST "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static void run(void (*body)(struct env *e))
{
    struct env e = env_default();
    env_run(&e, body);
}

static void stats_of(const struct env *e, struct http_server_stats *ret)
{
    http_server_stats(e->server, ret);
}

static void wait_parked(struct env *e, uint64_t n)
{
    struct http_server_stats st;
    for (int i = 0; i < 2000; i++) {
        stats_of(e, &st);
        if (st.conns_parked == n && st.conns == n)
            return;
        CHECK_INT(rt_sleep_until(rt_after_ms(1)), 0);
    }
    CHECK_INT(st.conns_parked, n);
    CHECK_INT(st.conns, n);
}

static void keep_alive(struct env *e)
{
    struct raw *r = raw_open(&e->addr);
    for (int i = 1; i <= 3; i++) {
        raw_say(r, GET("/ignore"));
        raw_wait_for(r, "ignored", i);
        wait_parked(e, 1);
    }
    CHECK_INT(raw_count(r, "HTTP/1.1 200 OK\r\n"), 3);
    CHECK_INT(raw_count(r, "content-length: 7\r\n"), 3);
    CHECK_INT(raw_count(r, "x-content-type-options: nosniff\r\n"), 3);
    CHECK_INT(raw_count(r, "server: kitten\r\n"), 3);
    CHECK_INT(raw_count(r, "x-request-id: "), 3);
    CHECK_INT(raw_count(r, " GMT\r\n"), 3);
    CHECK_INT(raw_count(r, "connection:"), 0);
    CHECK_INT(e->done_calls, 3);
    raw_close(r);
    wait_parked(e, 0);
}
static void test_keep_alive(void **state)
{
    (void)state;
    run(keep_alive);
}

static void closing(struct env *e)
{
    struct raw *r = raw_open(&e->addr);
    raw_say(r, "GET /ignore HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    raw_wait_end(r, 2000);
    CHECK_INT(raw_count(r, "connection: close\r\n"), 1);
    raw_close(r);

    r = raw_open(&e->addr);
    raw_say(r, "GET /ignore HTTP/1.0\r\n\r\n");
    raw_wait_end(r, 2000);
    CHECK_INT(raw_count(r, "connection: close\r\n"), 1);
    raw_close(r);

    r = raw_open(&e->addr);
    raw_say(r, "GET /ignore HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    raw_wait_for(r, "ignored", 1);
    CHECK_INT(raw_count(r, "connection: keep-alive\r\n"), 1);
    /* An answer of unknown length ends with the connection in HTTP/1.0. */
    raw_say(r, "GET /chunks/5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    raw_wait_end(r, 2000);
    CHECK_INT(raw_count(r, "transfer-encoding"), 0);
    CHECK_INT(raw_count(r, "\r\n\r\nxxxxx"), 1);
    raw_close(r);
}
static void test_closing(void **state)
{
    (void)state;
    run(closing);
}

static void pipelining(struct env *e)
{
    struct raw *r = raw_open(&e->addr);
    raw_say(r, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\none"
               "POST /echo HTTP/1.1\r\n" HOST
               "Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n" GET(
                   "/sleep/20") "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nfo");
    raw_wait_for(r, "slept", 1);
    const char *one = strstr(r->in, "\r\n\r\none"), *two = strstr(r->in, "\r\n\r\ntwo");
    CHECK(one && two && one < two && two < strstr(r->in, "slept"));
    raw_say(r, "ur");
    raw_wait_for(r, "four", 1);
    raw_close(r);
}
static void test_pipelining(void **state)
{
    (void)state;
    run(pipelining);
}

/* Many small requests in one go pass through the read buffer several times over. */
static void deep_pipeline(struct env *e)
{
    struct raw *r = raw_open(&e->addr);
    enum { N = 3000 };
    struct buf all = BUF_INIT(MIB(1));
    for (int i = 0; i < N; i++)
        CHECK_INT(buf_addf(&all, "POST /sum HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n%0*d",
                           i % 40 + 1, i % 40 + 1, 0),
                  0);
    struct rt_group g;
    rt_group_open(&g);
    raw_send(r, all.p, all.len / 2);
    raw_send(r, all.p + all.len / 2, all.len - all.len / 2);
    int got = 0;
    while (got < N) {
        r->len = 0;
        ssize_t n = rt_recv(&r->sock, r->in, sizeof(r->in) - 1, rt_after_ms(5000));
        CHECK(n > 0);
        for (ssize_t i = 0; i < n; i++)
            got += r->in[i] == 'H'; /* only "HTTP/1.1" has one */
    }
    CHECK_INT(got, N);
    CHECK_INT(rt_group_wait(&g, 0), 0);
    buf_done(&all);
    raw_close(r);
}
static void test_deep_pipeline(void **state)
{
    (void)state;
    run(deep_pipeline);
}

static void head_requests(struct env *e)
{
    struct raw *r = raw_open(&e->addr);
    raw_say(r, "HEAD /bytes/12345 HTTP/1.1\r\n" HOST "\r\n"
               "HEAD /chunks/9 HTTP/1.1\r\n" HOST "\r\n"
               "HEAD /ignore HTTP/1.1\r\n" HOST "\r\n"
               "HEAD /none HTTP/1.1\r\n" HOST "\r\n" GET("/ignore"));
    raw_wait_for(r, "ignored", 1);
    CHECK_INT(raw_count(r, "HTTP/1.1 200 OK"), 4);
    CHECK_INT(raw_count(r, "HTTP/1.1 404 Not Found"), 1);
    CHECK_INT(raw_count(r, "content-length: 12345\r\n"), 1);
    CHECK_INT(raw_count(r, "content-length: 7\r\n"), 2);
    CHECK_INT(raw_count(r, "xxx"), 0);
    CHECK_INT(raw_count(r, "error"), 0);
    raw_close(r);
}
static void test_head(void **state)
{
    (void)state;
    run(head_requests);
}

static void expect_continue(struct env *e)
{
    struct raw *r = raw_open(&e->addr);
    raw_say(r, "PUT /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    raw_wait_for(r, "HTTP/1.1 100 Continue\r\n\r\n", 1);
    raw_say(r, "hello");
    raw_wait_for(r, "\r\n\r\nhello", 1);
    /* A client that does not wait gets no 100. */
    raw_say(r,
            "PUT /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nagain");
    raw_wait_for(r, "again", 1);
    CHECK_INT(raw_count(r, "100 Continue"), 1);
    /* A handler that does not want the body: the answer alone, and the end. */
    raw_say(r, "PUT /ignore HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    raw_wait_end(r, 1000);
    CHECK_INT(raw_count(r, "100 Continue"), 1);
    CHECK_INT(raw_count(r, "ignored"), 1);
    CHECK_INT(raw_count(r, "connection: close"), 1);
    raw_close(r);
}
static void test_expect_continue(void **state)
{
    (void)state;
    run(expect_continue);
}

static void errors(struct env *e)
{
    static const struct {
        const char *request, *status;
        bool close;
    } cases[] = {
        {GET("/none"), "404 Not Found", false},
        {GET("/held"), "404 Not Found", false},
        {GET("/nothing"), "500 Internal Server Error", false},
        {GET("/split"), "400 Bad Request", false},
        {GET("/reserved"), "400 Bad Request", false},
        {GET("/not-modified"), "304 Not Modified", false},
        {"BREW / HTTP/1.1\r\n" HOST "\r\n", "405 Method Not Allowed", true},
        {"GET / HTTP/1.1\r\n\r\n", "400 Bad Request", true},
        {"GET / HTTP/3.1\r\n\r\n", "501 Not Implemented", true},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", "501 Not Implemented", true},
        {"GET / HTTP/1.1\r\n" HOST "Expect: x\r\n\r\n", "417 Expectation Failed", true},
        {"POST /sum HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 \r\n",
         "400 Bad Request", true},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n", "413 Content Too Large",
         true},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct raw *r = raw_open(&e->addr);
        raw_say(r, cases[i].request);
        if (cases[i].close)
            raw_wait_end(r, 1500);
        else
            raw_wait_for(r, "\r\n\r\n", 1);
        CHECK_INT(raw_count(r, cases[i].status), 1);
        CHECK_INT(raw_count(r, "connection: close\r\n"), cases[i].close);
        CHECK_INT(raw_count(r, "x-b"), 0);
        if (strncmp(cases[i].status, "417", 3) == 0)
            CHECK_INT(raw_count(r, err_s3_code(KT_ERR_EXPECTATION)), 1);
        if (!cases[i].close) { /* the connection goes on */
            raw_say(r, GET("/ignore"));
            raw_wait_for(r, "ignored", 1);
        }
        raw_close(r);
    }
    struct http_server_stats st;
    stats_of(e, &st);
    CHECK_INT(st.rejected_proto, 5);
}
static void test_errors(void **state)
{
    (void)state;
    run(errors);
}

/* An answer that ends before its length is cut, never padded or passed off as whole. */
static void short_answer(struct env *e)
{
    struct raw *r = raw_open(&e->addr);
    raw_say(r, GET("/short/5") GET("/ignore"));
    raw_wait_end(r, 2000);
    CHECK_INT(raw_count(r, "content-length: 6\r\n"), 1);
    CHECK_INT(raw_count(r, "\r\n\r\nxxxxx"), 1);
    CHECK_INT(raw_count(r, "ignored"), 0);
    CHECK_INT(e->done_rc, -KT_ERR_INTERNAL);
    raw_close(r);
}
static void test_short_answer(void **state)
{
    (void)state;
    run(short_answer);
}

static void unread_bodies(struct env *e)
{
    static char zeros[200000];
    struct raw *r = raw_open(&e->addr);
    raw_say(r, "POST /ignore HTTP/1.1\r\n" HOST "Content-Length: 200000\r\n\r\n");
    raw_send(r, zeros, sizeof(zeros));
    raw_say(r, "POST /ignore HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n30d40\r\n");
    raw_send(r, zeros, sizeof(zeros));
    raw_say(r, "\r\n0\r\n\r\n" GET("/ignore"));
    raw_wait_for(r, "ignored", 3);
    CHECK_INT(raw_count(r, "connection: close"), 0);
    raw_close(r);

    /* Too much to keep the connection for: a client that sends it all first still gets its answer.
     */
    r = raw_open(&e->addr);
    raw_say(r, "POST /ignore HTTP/1.1\r\n" HOST "Content-Length: 8000000\r\n\r\n");
    for (int i = 0; i < 40; i++)
        raw_send(r, zeros, sizeof(zeros));
    raw_wait_for(r, "ignored", 1);
    CHECK_INT(raw_count(r, "connection: close\r\n"), 1);
    raw_close(r);
}
static void test_unread_bodies(void **state)
{
    (void)state;
    run(unread_bodies);
}

static void head_limits(struct env *e)
{
    static char a[20001];
    memset(a, 'a', sizeof(a) - 1);
    static const struct {
        int uri, value;
        const char *status;
    } cases[] = {
        {8000, 5, "404"},  {8192, 5, "414"},  {20000, 5, "414"},
        {5, 16000, "404"}, {5, 16384, "431"}, {5, 20000, "431"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct raw *r = raw_open(&e->addr);
        struct buf b = BUF_INIT(MIB(1));
        CHECK_INT(buf_addf(&b, "GET /%.*s HTTP/1.1\r\n" HOST "v: %.*s\r\n\r\n", cases[i].uri, a,
                           cases[i].value, a),
                  0);
        raw_send(r, b.p, b.len);
        raw_wait_for(r, "\r\n\r\n", 1);
        CHECK(memcmp(r->in + 9, cases[i].status, 3) == 0);
        buf_done(&b);
        raw_close(r);
    }
}
static void test_head_limits(void **state)
{
    (void)state;
    run(head_limits);
}

static void timeouts(struct env *e)
{
    struct http_server_stats st;
    struct raw *r = raw_open(&e->addr); /* a head that never ends */
    raw_say(r, "GET / HT");
    raw_wait_end(r, 2000);
    CHECK_INT(raw_count(r, "408 Request Timeout"), 1);
    CHECK_INT(raw_count(r, err_s3_code(KT_ERR_CLIENT_TIMEOUT)), 1);
    raw_close(r);

    r = raw_open(&e->addr); /* one byte now and then does not help */
    raw_say(r, "GET /");
    int64_t start = rt_now_ns();
    for (int i = 0; i < 100 && rt_now_ns() < start + 400 * NS_PER_MS; i++) {
        struct iovec iov = {(void *)(uintptr_t) "a", 1};
        if (rt_sendv(&r->sock, &iov, 1, rt_after_ms(100)) < 0)
            break;
        CHECK_INT(rt_sleep_until(rt_after_ms(20)), 0);
    }
    raw_wait_end(r, 2000);
    CHECK(rt_now_ns() - start < 1000 * NS_PER_MS);
    raw_close(r);

    r = raw_open(&e->addr); /* a body that stops */
    raw_say(r, "POST /sum HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n123");
    raw_wait_end(r, 2000);
    CHECK_INT(raw_count(r, "408 Request Timeout"), 1);
    raw_close(r);

    r = raw_open(&e->addr); /* a reader that does not read */
    raw_say(r, GET("/bytes/100000000"));
    for (int i = 0; i < 2000; i++) {
        stats_of(e, &st);
        if (st.timeouts == 4)
            break;
        CHECK_INT(rt_sleep_until(rt_after_ms(1)), 0);
    }
    CHECK_INT(st.timeouts, 4);
    raw_close(r);

    r = raw_open(&e->addr); /* idle: closed without a word */
    raw_wait_end(r, 2000);
    CHECK_INT(r->len, 0);
    raw_close(r);
}
static void test_timeouts(void **state)
{
    (void)state;
    struct env e = env_default();
    e.limits.head_timeout_ms = 100;
    e.limits.body_timeout_ms = 100;
    e.limits.send_timeout_ms = 100;
    e.limits.idle_timeout_ms = 300;
    env_run(&e, timeouts);
}

static void parked(struct env *e)
{
    enum { N = 300 };
    static struct raw *all[N];
    for (int i = 0; i < N; i++) {
        all[i] = raw_open(&e->addr);
        raw_say(all[i], GET("/ignore"));
        raw_wait_for(all[i], "ignored", 1);
    }
    wait_parked(e, N);
    for (int i = 0; i < N; i++) {
        raw_say(all[i], GET("/ignore"));
        raw_wait_for(all[i], "ignored", 2);
    }
    for (int i = 0; i < N; i++)
        raw_close(all[i]);
    wait_parked(e, 0);
}
static void test_parked(void **state)
{
    (void)state;
    run(parked);
}

/* With all fibers taken, a connection waits for one instead of being dropped. */
static void few_fibers(struct env *e)
{
    enum { N = 8 };
    struct raw *all[N];
    for (int i = 0; i < N; i++) {
        all[i] = raw_open(&e->addr);
        raw_say(all[i], GET("/sleep/30"));
    }
    for (int i = 0; i < N; i++) {
        raw_wait_for(all[i], "slept", 1);
        raw_close(all[i]);
    }
}
static void test_few_fibers(void **state)
{
    (void)state;
    struct env e = env_default();
    e.max_fibers = 5;
    env_run(&e, few_fibers);
}

static void budget(struct env *e)
{
    static char zeros[300000];
    struct raw *r = raw_open(&e->addr);
    raw_say(r, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 90000\r\n\r\n");
    raw_send(r, zeros, 90000);
    raw_wait_for(r, "200 OK", 1);
    raw_close(r);
    r = raw_open(&e->addr);
    raw_say(r, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n");
    raw_send(r, zeros, 200000);
    raw_wait_for(r, "503 Service Unavailable", 1);
    CHECK_INT(raw_count(r, "retry-after: 1\r\n"), 1);
    CHECK_INT(http_budget_used(), 0);
    raw_close(r);
    CHECK_INT(http_budget_take(100000), 0);
    CHECK_INT(http_budget_take(1), -KT_ERR_BUSY);
    CHECK_INT(http_budget_take(UINT64_MAX), -KT_ERR_BUSY);
    http_budget_give(100000);
}
static void test_budget(void **state)
{
    (void)state;
    struct env e = env_default();
    e.limits.body_budget = 100000;
    env_run(&e, budget);
}

/* A chunked body one byte above its limit is refused, one at the limit is taken. */
static void body_limit(struct env *e)
{
    static char zeros[MIB(4) + 1];
    struct raw *r = raw_open(&e->addr);
    raw_say(r, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n400000\r\n");
    raw_send(r, zeros, MIB(4));
    raw_say(r, "\r\n0\r\n\r\n");
    raw_wait_for(r, "content-length: 4194304\r\n", 1);
    raw_close(r);
    r = raw_open(&e->addr);
    raw_say(r, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n400001\r\n");
    raw_send(r, zeros, MIB(4) + 1);
    raw_wait_for(r, "413 Content Too Large", 1);
    raw_close(r);
}
static void test_body_limit(void **state)
{
    (void)state;
    run(body_limit);
}

static void conns_max(struct env *e)
{
    struct raw *a = raw_open(&e->addr), *b = raw_open(&e->addr);
    wait_parked(e, 2);
    struct raw *c = raw_open(&e->addr);
    raw_wait_end(c, 2000);
    CHECK_INT(raw_count(c, "503 Service Unavailable"), 1);
    raw_close(a);
    wait_parked(e, 1);
    struct raw *d = raw_open(&e->addr);
    raw_say(d, GET("/ignore"));
    raw_wait_for(d, "ignored", 1);
    raw_close(b);
    raw_close(c);
    raw_close(d);
}
static void test_conns_max(void **state)
{
    (void)state;
    struct env e = env_default();
    e.limits.conns_max = 2;
    env_run(&e, conns_max);
}

/* Stop lets a request finish, says so in its head, and closes idle connections at once. */
static void stop_gently(struct env *e)
{
    struct raw *idle = raw_open(&e->addr), *busy = raw_open(&e->addr);
    wait_parked(e, 2);
    raw_say(busy, GET("/sleep/100"));
    CHECK_INT(rt_sleep_until(rt_after_ms(20)), 0);
    http_server_stop(TAKE(e->server), rt_after_ms(3000));
    raw_wait_end(idle, 10);
    raw_wait_end(busy, 1000);
    CHECK_INT(idle->len, 0);
    CHECK_INT(raw_count(busy, "slept"), 1);
    CHECK_INT(raw_count(busy, "connection: close\r\n"), 1);
    raw_close(idle);
    raw_close(busy);
}
static void test_stop_gently(void **state)
{
    (void)state;
    run(stop_gently);
}

static void stop_hard(struct env *e)
{
    struct raw *slow = raw_open(&e->addr), *half = raw_open(&e->addr);
    raw_say(slow, "POST /sum HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n1");
    raw_say(half, "GET / HT");
    CHECK_INT(rt_sleep_until(rt_after_ms(20)), 0);
    int64_t start = rt_now_ns();
    http_server_stop(TAKE(e->server), rt_after_ms(100));
    CHECK(rt_now_ns() - start < 2000 * NS_PER_MS);
    raw_wait_end(slow, 1000);
    raw_wait_end(half, 1000);
    raw_close(slow);
    raw_close(half);
}
static void test_stop_hard(void **state)
{
    (void)state;
    run(stop_hard);
}

static int port_taken_main(void *arg)
{
    struct env *e = arg;
    struct http_server_options opt = {.limits = e->limits};
    struct http_server *a, *b;
    CHECK_INT(rt_addr_parse(SLICE_LIT("127.0.0.1:0"), &e->addr), 0);
    CHECK_INT(http_server_start(&opt, &e->addr, 1, &a), 0);
    struct rt_addr both[2] = {e->addr, e->addr};
    CHECK_INT(http_server_addr(a, 0, &both[1]), 0);
    CHECK_INT(http_server_start(&opt, both, 2, &b), -KT_ERR_CONFLICT);
    char text[RT_ADDR_TEXT_MAX];
    rt_addr_format(&both[1], text);
    CHECK(strstr(diag_get()->text, text) != NULL);
    CHECK_INT(http_server_start(&opt, both, 0, &b), -KT_ERR_INVALID);
    http_server_stop(a, rt_now_ns());
    return 0;
}
static void test_port_taken(void **state)
{
    (void)state;
    struct env e = env_default();
    struct rt_options opt = {.loops = 1, .workers = 1};
    assert_int_equal(rt_run(&opt, port_taken_main, &e), 0);
}

static int one_client(void *arg)
{
    struct env *e = arg;
    for (int round = 0; round < 20; round++) {
        struct raw *r = raw_open(&e->addr);
        for (int i = 1; i <= 20; i++) {
            raw_say(r, GET("/ignore"));
            raw_wait_for(r, "ignored", i);
        }
        raw_close(r);
    }
    return 0;
}
static void many_loops(struct env *e)
{
    struct rt_group g;
    rt_group_open(&g);
    int rc = 0;
    for (int i = 0; i < 8 && rc == 0; i++)
        rc = rt_go(&g, one_client, e);
    CHECK_INT(rt_group_wait(&g, rc), 0);
    struct http_server_stats st;
    stats_of(e, &st);
    CHECK_INT(st.requests, 8 * 20 * 20);
}
static void test_many_loops(void **state)
{
    (void)state;
    struct env e = env_default();
    e.loops = 3;
    env_run(&e, many_loops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),    cmocka_unit_test(test_closing),
        cmocka_unit_test(test_pipelining),    cmocka_unit_test(test_deep_pipeline),
        cmocka_unit_test(test_head),          cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_errors),        cmocka_unit_test(test_short_answer),
        cmocka_unit_test(test_unread_bodies), cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_timeouts),      cmocka_unit_test(test_parked),
        cmocka_unit_test(test_few_fibers),    cmocka_unit_test(test_budget),
        cmocka_unit_test(test_body_limit),    cmocka_unit_test(test_conns_max),
        cmocka_unit_test(test_stop_gently),   cmocka_unit_test(test_stop_hard),
        cmocka_unit_test(test_port_taken),    cmocka_unit_test(test_many_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
