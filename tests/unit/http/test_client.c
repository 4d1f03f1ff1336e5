/* client: against our own server, and against servers that do everything wrong. */
#include "tests/unit/http/http_test.h"

static struct http_client *client_new(uint32_t conns, uint32_t idle_max, uint32_t idle_ms)
{
    struct http_client_options opt = {conns, idle_max, idle_ms, 0};
    struct http_client *c;
    CHECK_INT(http_client_open(&opt, &c), 0);
    return c;
}

static struct http_call call_of(const struct rt_addr *addr, enum h1_method method,
                                const char *target)
{
    return (struct http_call){.addr = *addr,
                              .host = SLICE_LIT("h"),
                              .method = method,
                              .target = slice_str(target),
                              .deadline_ns = rt_after_ms(5000)};
}

/* Calls, reads the whole body into `out`, ends. Returns the status or an error. */
static int fetch(struct http_client *c, const struct http_call *call, struct buf *out)
{
    struct http_exchange *ex;
    int rc = http_client_call(c, call, &ex);
    if (rc < 0)
        return rc;
    int status = ex->head.status;
    rc = http_exchange_read_all(ex, out);
    http_exchange_end(ex);
    return rc < 0 ? rc : status;
}

/* The same for a GET whose body is to be `want`. */
static int fetch_text(struct http_client *c, const struct rt_addr *addr, const char *target,
                      const char *want)
{
    struct buf out = BUF_INIT(MIB(1));
    struct http_call call = call_of(addr, H1_GET, target);
    int rc = fetch(c, &call, &out);
    if (rc > 0 && !slice_eq(buf_slice(&out), slice_str(want)))
        fprintf(stderr, "got: %.*s\n", SLICE_ARG(buf_slice(&out)));
    CHECK(rc < 0 || slice_eq(buf_slice(&out), slice_str(want)));
    buf_done(&out);
    return rc;
}

/* ---- our own server ---- */

static void keep_alive(struct env *e)
{
    struct http_client *c = client_new(0, 0, 0);
    struct http_client_stats st;
    for (int i = 0; i < 5; i++)
        CHECK_INT(fetch_text(c, &e->addr, "/ignore", "ignored"), 200);
    CHECK_INT(fetch_text(c, &e->addr, "/chunks/5", "xxxxx"), 200);
    struct buf out = BUF_INIT(MIB(1));
    struct http_call head = call_of(&e->addr, H1_HEAD, "/bytes/77");
    CHECK_INT(fetch(c, &head, &out), 200);
    CHECK_INT(out.len, 0);
    CHECK_INT(fetch_text(c, &e->addr, "/bytes/3", "xxx"), 200);
    http_client_stats(c, &st);
    CHECK_INT(st.connects, 1);
    CHECK_INT(st.reuses, 7);
    CHECK_INT(st.idle, 1);
    buf_done(&out);
    http_client_close(c);
}
static void test_keep_alive(void **state)
{
    (void)state;
    struct env e = env_default();
    env_run(&e, keep_alive);
}

static void bodies(struct env *e)
{
    struct http_client *c = client_new(0, 0, 0);
    struct slice pieces[3] = {SLICE_LIT("one "), SLICE_LIT(""), SLICE_LIT("two")};
    struct http_field field = {"x-meta", SLICE_LIT("value")};
    struct http_call call = call_of(&e->addr, H1_PUT, "/echo");
    call.body = pieces;
    call.nbody = 3;
    call.fields = &field;
    call.nfields = 1;
    struct buf out = BUF_INIT(MIB(4));
    CHECK_INT(fetch(c, &call, &out), 200);
    CHECK(slice_eq(buf_slice(&out), SLICE_LIT("one two")));

    out.len = 0;
    struct http_call empty = call_of(&e->addr, H1_POST, "/echo");
    CHECK_INT(fetch(c, &empty, &out), 200);
    CHECK_INT(out.len, 0);

    static const char *const bad[] = {"", "x", "/a b", "/a\r\nb", "/\xc3", "/#"};
    struct http_exchange *ex;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct http_call refused = call_of(&e->addr, H1_GET, bad[i]);
        CHECK_INT(http_client_call(c, &refused, &ex), -KT_ERR_INVALID);
    }
    field = (struct http_field){"x-a", SLICE_LIT("a\r\nb: c")};
    CHECK_INT(http_client_call(c, &call, &ex), -KT_ERR_INVALID);
    field = (struct http_field){"Content-Length", SLICE_LIT("5")};
    CHECK_INT(http_client_call(c, &call, &ex), -KT_ERR_INVALID);
    buf_done(&out);
    http_client_close(c);
}
static void test_bodies(void **state)
{
    (void)state;
    struct env e = env_default();
    env_run(&e, bodies);
}

struct source {
    uint64_t left;
    uint32_t crc;
    uint64_t x;
    size_t step;
};
static ssize_t source_read(void *arg, void *p, size_t len)
{
    struct source *s = arg;
    size_t n = (size_t)KT_MIN(s->left, (uint64_t)KT_MIN(len, s->step));
    uint8_t *out = p;
    for (size_t i = 0; i < n; i++) {
        s->x = s->x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(s->x >> 56);
    }
    s->crc = crc32c(s->crc, p, n);
    s->left -= n;
    return (ssize_t)n;
}

static void big_streams(struct env *e)
{
    struct http_client *c = client_new(0, 0, 0);
    static const struct {
        uint64_t len;
        size_t step;
        bool chunked;
    } cases[] = {{MIB(8), 65536, false}, {MIB(8), 65536, true}, {100000, 7, true},
                 {100000, 3000, false},  {0, 1, true},          {1, 1, true}};
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct source src = {.left = cases[i].len, .x = i, .step = cases[i].step};
        struct http_call call = call_of(&e->addr, H1_PUT, "/sum");
        call.body_fn = source_read;
        call.body_arg = &src;
        call.body_len = cases[i].chunked ? UINT64_MAX : cases[i].len;
        call.deadline_ns = rt_after_ms(20000);
        struct buf out = BUF_INIT(100), want = BUF_INIT(100);
        CHECK_INT(fetch(c, &call, &out), 200);
        CHECK_INT(buf_addf(&want, "%llu %08x", (unsigned long long)cases[i].len, src.crc), 0);
        CHECK(slice_eq(buf_slice(&out), buf_slice(&want)));
        buf_done(&out);
        buf_done(&want);
    }
    /* And down: 8 MiB, plain and chunked, without holding them. */
    static const char *const paths[] = {"/bytes/8388608", "/chunks/8388608"};
    for (size_t i = 0; i < KT_ARRAY_LEN(paths); i++) {
        struct http_exchange *ex;
        struct http_call call = call_of(&e->addr, H1_GET, paths[i]);
        CHECK_INT(http_client_call(c, &call, &ex), 0);
        uint8_t piece[7777];
        ssize_t n;
        while ((n = http_exchange_read(ex, piece, sizeof(piece))) > 0)
            CHECK(piece[0] == 'x' && piece[n - 1] == 'x');
        CHECK_INT(n, 0);
        CHECK_INT(ex->body_read, MIB(8));
        http_exchange_end(ex);
    }
    struct http_client_stats st;
    http_client_stats(c, &st);
    CHECK_INT(st.connects, 1);
    http_client_close(c);
}
static void test_big_streams(void **state)
{
    (void)state;
    struct env e = env_default();
    env_run(&e, big_streams);
}

/* An answer that comes while the body is still being sent is read, not lost. */
static void early_answer(struct env *e)
{
    struct http_client *c = client_new(0, 0, 0);
    struct source src = {.left = MIB(64), .step = 65536};
    struct http_call call = call_of(&e->addr, H1_PUT, "/echo");
    call.body_fn = source_read;
    call.body_arg = &src;
    call.body_len = MIB(64);
    struct buf out = BUF_INIT(MIB(1));
    CHECK_INT(fetch(c, &call, &out), 413);
    CHECK(src.left > 0); /* the rest was not sent for nothing */
    struct http_client_stats st;
    http_client_stats(c, &st);
    CHECK_INT(st.idle, 0);
    buf_done(&out);
    http_client_close(c);
}
static void test_early_answer(void **state)
{
    (void)state;
    struct env e = env_default();
    env_run(&e, early_answer);
}

static void limits_and_deadlines(struct env *e)
{
    struct http_client *c = client_new(1, 1, 0);
    struct http_exchange *held, *ex;
    struct http_call call = call_of(&e->addr, H1_GET, "/bytes/100000");
    CHECK_INT(http_client_call(c, &call, &held), 0);
    call.deadline_ns = rt_after_ms(50);
    CHECK_INT(http_client_call(c, &call, &ex), -KT_ERR_TIMEOUT);
    http_exchange_end(held); /* not read to its end: closed, and its place is free */
    struct http_client_stats st;
    http_client_stats(c, &st);
    CHECK_INT(st.idle, 0);
    CHECK_INT(fetch_text(c, &e->addr, "/ignore", "ignored"), 200);

    struct http_call slow = call_of(&e->addr, H1_GET, "/sleep/1000");
    slow.deadline_ns = rt_after_ms(50);
    CHECK_INT(http_client_call(c, &slow, &ex), -KT_ERR_TIMEOUT);

    struct buf small = BUF_INIT(99);
    struct http_call big = call_of(&e->addr, H1_GET, "/bytes/100");
    CHECK_INT(fetch(c, &big, &small), -KT_ERR_TOO_LARGE);
    struct http_call chunks = call_of(&e->addr, H1_GET, "/chunks/100");
    CHECK_INT(fetch(c, &chunks, &small), -KT_ERR_TOO_LARGE);
    buf_done(&small);
    http_client_close(c);
}
static void test_limits_and_deadlines(void **state)
{
    (void)state;
    struct env e = env_default();
    env_run(&e, limits_and_deadlines);
}

/* Eight fibers over two connections: everybody gets a turn. */
struct shared {
    struct env *e;
    struct http_client *c;
};
static int sharer(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 10; i++)
        CHECK_INT(fetch_text(s->c, &s->e->addr, "/sleep/1", "slept"), 200);
    return 0;
}
static void waiting(struct env *e)
{
    struct shared s = {e, client_new(2, 2, 0)};
    struct rt_group g;
    int rc = 0;
    rt_group_open(&g);
    for (int i = 0; i < 8 && rc == 0; i++)
        rc = rt_go(&g, sharer, &s);
    CHECK_INT(rt_group_wait(&g, rc), 0);
    struct http_client_stats st;
    http_client_stats(s.c, &st);
    CHECK_INT(st.connects, 2);
    CHECK_INT(st.reuses, 78);
    http_client_close(s.c);
}
static void test_waiting(void **state)
{
    (void)state;
    struct env e = env_default();
    env_run(&e, waiting);
}

/* ---- odd servers ---- */

/* Accepts connections one after the other; answers each request on the i-th with answers[i]. */
struct odd {
    struct rt_sock listener;
    const char *const *answers;
    int nanswers;
    int requests_per_conn; /* after which it closes */
    int served;
};

static void odd_answer(struct odd *o, struct rt_sock *s)
{
    char in[4096];
    size_t have = 0;
    while (have < sizeof(in) - 1) {
        ssize_t n = rt_recv(s, in + have, sizeof(in) - 1 - have, rt_after_ms(2000));
        if (n <= 0)
            return;
        have += (size_t)n;
        in[have] = 0;
        if (strstr(in, "\r\n\r\n"))
            break;
    }
    const char *text = o->answers[o->served++];
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    CHECK_INT(rt_sendv(s, &iov, 1, rt_after_ms(2000)), 0);
}

static int odd_main(void *arg)
{
    struct odd *o = arg;
    while (o->served < o->nanswers) {
        struct rt_sock s;
        struct rt_addr peer;
        if (rt_accept(&o->listener, &s, &peer, rt_after_ms(2000)) < 0)
            break;
        for (int i = 0; i < o->requests_per_conn && o->served < o->nanswers; i++)
            odd_answer(o, &s);
        rt_close(&s);
    }
    return 0;
}

struct odd_case {
    const char *answer;
    int want; /* status or -error */
    const char *body;
    uint64_t idle; /* connections left in the pool */
};

static const struct odd_case odd_cases[] = {
    {"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end", 0},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", 0},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 201 Created\r\n"
     "Content-Length: 2\r\n\r\nok",
     201, "ok", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: r\r\n\r\n", 200,
     "abc", 0},
    {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", 200, "ok", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", -KT_ERR_EOF, "", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort", -KT_ERR_EOF, "", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nspace", -KT_ERR_PROTO, "", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", -KT_ERR_PROTO, "", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab", -KT_ERR_UNSUPPORTED, "", 0},
    {"HTTP/1.1 200 OK\r\nContent-Le", -KT_ERR_CLOSED, "", 0},
    {"SSH-2.0-OpenSSH\r\n\r\n", -KT_ERR_PROTO, "", 0},
    {"", -KT_ERR_CLOSED, "", 0},
};

static int odd_servers(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < KT_ARRAY_LEN(odd_cases); i++) {
        const struct odd_case *oc = &odd_cases[i];
        struct odd o = {.answers = &oc->answer, .nanswers = 1, .requests_per_conn = 1};
        struct rt_addr addr;
        struct rt_group g;
        struct buf out = BUF_INIT(1000);
        struct http_client *c = client_new(0, 0, 0);
        CHECK_INT(rt_addr_parse(SLICE_LIT("127.0.0.1:0"), &addr), 0);
        CHECK_INT(rt_listen(&addr, &o.listener), 0);
        CHECK_INT(rt_sock_local(&o.listener, &addr), 0);
        rt_group_open(&g);
        CHECK_INT(rt_go(&g, odd_main, &o), 0);
        struct http_call call = call_of(&addr, H1_GET, "/");
        int rc = fetch(c, &call, &out);
        if (rc != oc->want)
            fprintf(stderr, "case %zu: %s\n", i, oc->answer);
        CHECK_INT(rc, oc->want);
        CHECK(rc < 0 || slice_eq(buf_slice(&out), slice_str(oc->body)));
        CHECK_INT(rt_group_wait(&g, 0), 0);
        rt_yield(); /* lets the loop see the server's end of stream */
        rt_close(&o.listener);
        buf_done(&out);
        http_client_close(c);
    }
    return 0;
}
static void test_odd_servers(void **state)
{
    (void)state;
    struct rt_options opt = {.loops = 1, .workers = 1};
    assert_int_equal(rt_run(&opt, odd_servers, NULL), 0);
}

/* A server that takes a second request on a kept connection and closes without a word. */
struct stale {
    struct rt_sock listener;
    int requests, closed_on;
};
static int stale_main(void *arg)
{
    struct stale *s = arg;
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (;;) {
        struct rt_sock sock;
        struct rt_addr peer;
        if (rt_accept(&s->listener, &sock, &peer, rt_after_ms(300)) < 0)
            return 0;
        for (;;) {
            char in[1000];
            ssize_t n = rt_recv(&sock, in, sizeof(in), rt_after_ms(300));
            if (n <= 0 || ++s->requests == s->closed_on)
                break;
            struct iovec iov = {(void *)(uintptr_t)ok, sizeof(ok) - 1};
            CHECK_INT(rt_sendv(&sock, &iov, 1, rt_after_ms(1000)), 0);
        }
        rt_close(&sock);
    }
}

static int retries(void *arg)
{
    (void)arg;
    static const struct {
        enum h1_method method;
        bool idempotent;
        int want;
        uint64_t retries;
    } cases[] = {{H1_GET, false, 200, 1},
                 {H1_PUT, false, 200, 1},
                 {H1_POST, false, -KT_ERR_CLOSED, 0},
                 {H1_POST, true, 200, 1}};
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct stale s = {.closed_on = 2};
        struct rt_addr addr;
        struct rt_group g;
        struct http_client *c = client_new(0, 0, 0);
        CHECK_INT(rt_addr_parse(SLICE_LIT("127.0.0.1:0"), &addr), 0);
        CHECK_INT(rt_listen(&addr, &s.listener), 0);
        CHECK_INT(rt_sock_local(&s.listener, &addr), 0);
        rt_group_open(&g);
        CHECK_INT(rt_go(&g, stale_main, &s), 0);
        CHECK_INT(fetch_text(c, &addr, "/", "ok"), 200);
        struct buf out = BUF_INIT(100);
        struct http_call call = call_of(&addr, cases[i].method, "/");
        call.idempotent = cases[i].idempotent;
        CHECK_INT(fetch(c, &call, &out), cases[i].want);
        struct http_client_stats st;
        http_client_stats(c, &st);
        CHECK_INT(st.retries, cases[i].retries);
        http_client_close(c);
        rt_close(&s.listener);
        CHECK_INT(rt_group_wait(&g, 0), 0);
        buf_done(&out);
    }
    return 0;
}
static void test_retries(void **state)
{
    (void)state;
    struct rt_options opt = {.loops = 1, .workers = 1};
    assert_int_equal(rt_run(&opt, retries, NULL), 0);
}

/* Idle connections leave the pool: by age, by the server's close, by number. */
static void idle(struct env *e)
{
    struct http_client_stats st;
    struct http_client *c = client_new(0, 0, 50);
    CHECK_INT(fetch_text(c, &e->addr, "/ignore", "ignored"), 200);
    CHECK_INT(rt_sleep_until(rt_after_ms(150)), 0);
    http_client_stats(c, &st);
    CHECK_INT(st.idle, 0);
    http_client_close(c);

    c = client_new(0, 0, 0); /* the server's idle timeout is 300 ms */
    CHECK_INT(fetch_text(c, &e->addr, "/ignore", "ignored"), 200);
    http_client_stats(c, &st);
    CHECK_INT(st.idle, 1);
    CHECK_INT(rt_sleep_until(rt_after_ms(600)), 0);
    http_client_stats(c, &st);
    CHECK_INT(st.idle, 0);
    CHECK_INT(fetch_text(c, &e->addr, "/ignore", "ignored"), 200);
    http_client_close(c);

    struct http_exchange *ex[4];
    c = client_new(0, 2, 0);
    struct http_call call = call_of(&e->addr, H1_GET, "/ignore");
    for (int i = 0; i < 4; i++)
        CHECK_INT(http_client_call(c, &call, &ex[i]), 0);
    for (int i = 0; i < 4; i++) {
        char body[100];
        CHECK_INT(http_exchange_read(ex[i], body, sizeof(body)), 7);
        http_exchange_end(ex[i]);
    }
    http_client_stats(c, &st);
    CHECK_INT(st.idle, 2);
    http_client_close(c);
}
static void test_idle(void **state)
{
    (void)state;
    struct env e = env_default();
    e.limits.idle_timeout_ms = 300;
    env_run(&e, idle);
}

static int refused(void *arg)
{
    (void)arg;
    struct rt_sock l;
    struct rt_addr addr;
    CHECK_INT(rt_addr_parse(SLICE_LIT("127.0.0.1:0"), &addr), 0);
    CHECK_INT(rt_listen(&addr, &l), 0);
    CHECK_INT(rt_sock_local(&l, &addr), 0);
    rt_close(&l);
    struct http_client *c = client_new(0, 0, 0);
    struct http_exchange *ex;
    struct http_call call = call_of(&addr, H1_GET, "/");
    CHECK(http_client_call(c, &call, &ex) < 0);
    http_client_close(c);
    return 0;
}
static void test_refused(void **state)
{
    (void)state;
    struct rt_options opt = {.loops = 1, .workers = 1};
    assert_int_equal(rt_run(&opt, refused, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_big_streams),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_limits_and_deadlines),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_odd_servers),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
