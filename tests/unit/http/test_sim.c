/* sim: client and server on the simulated network, where every segment has its own delay and sends
 * and receives are cut anywhere, by seed; and waits of a minute in virtual time. */
#include "tests/unit/http/http_test.h"

#include "rt/sim.h"

#define SEEDS 30
#define FIBERS 8
#define REQUESTS 12

struct load {
    struct sim *sim;
    bool lossy;
    int done, failed;
};

/* Fills `len` bytes that follow from `x`. */
static void fill(uint8_t *p, size_t len, uint64_t x)
{
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        p[i] = (uint8_t)(x >> 56);
    }
}

struct source {
    struct sim *sim;
    const uint8_t *p;
    size_t left;
};

static ssize_t source_read(void *arg, void *p, size_t len)
{
    struct source *s = arg;
    size_t n = (size_t)sim_rand_below(s->sim, 9000) + 1;
    n = KT_MIN(s->left, KT_MIN(len, n));
    if (n)
        memcpy(p, s->p, n);
    s->p += n;
    s->left -= n;
    return (ssize_t)n;
}

/* One random request. */
struct request {
    struct http_call call;
    struct source src;
    char target[64];
    struct buf want; /* what its answer must be */
};

static void plan(struct load *l, struct slice body, struct request *r)
{
    struct http_call *call = &r->call;
    uint64_t kind = sim_rand_below(l->sim, 6), n = sim_rand_below(l->sim, 60000);
    int rc = 0;
    call->method = kind < 3 ? H1_PUT : H1_GET;
    if (kind < 2) {
        snprintf(r->target, sizeof(r->target), "/echo");
        rc = buf_add_slice(&r->want, body);
    } else if (kind == 2) {
        snprintf(r->target, sizeof(r->target), "/sum");
        rc = buf_addf(&r->want, "%zu %08x", body.len, crc32c(0, body.p, body.len));
    } else if (kind == 3) {
        snprintf(r->target, sizeof(r->target), "/sleep/%d", (int)(n % 300));
        rc = buf_add_str(&r->want, "slept");
    } else {
        snprintf(r->target, sizeof(r->target), "/%s/%d", kind == 4 ? "bytes" : "chunks", (int)n);
        rc = buf_reserve(&r->want, n + 1);
        memset(r->want.p, 'x', n);
        r->want.len = n;
    }
    CHECK_INT(rc, 0);
    call->target = slice_str(r->target);
    if (kind == 0 || kind == 2) {
        r->src = (struct source){l->sim, body.p, body.len};
        call->body_fn = source_read;
        call->body_arg = &r->src;
        call->body_len = sim_rand_below(l->sim, 2) ? UINT64_MAX : body.len;
    }
}

static void one_request(struct env *e, struct http_client *c)
{
    struct load *l = e->user;
    uint64_t below = sim_rand_below(l->sim, 2) ? 100 : 150000;
    size_t len = (size_t)sim_rand_below(l->sim, below);
    uint8_t *bytes = mem_alloc(len + 1);
    fill(bytes, len, sim_rand(l->sim));
    struct slice body = slice_of(bytes, len);
    struct request r = {.want = BUF_INIT(MIB(1))};
    struct buf out = BUF_INIT(MIB(1));
    r.call = (struct http_call){
        .addr = e->addr, .host = SLICE_LIT("h"), .deadline_ns = rt_after_ms(60000)};
    plan(l, body, &r);
    if (!r.call.body_fn && r.call.method == H1_PUT) {
        r.call.body = &body;
        r.call.nbody = 1;
    }
    struct http_exchange *ex = NULL;
    int rc = http_client_call(c, &r.call, &ex);
    if (rc == 0 && l->lossy && ex->head.status == 408) {
        rc = -KT_ERR_TIMEOUT; /* the server noticed first that nothing more comes */
    } else if (rc == 0) {
        CHECK_INT(ex->head.status, 200);
        rc = http_exchange_read_all(ex, &out);
    }
    /* Whatever came whole must be right; without loss everything comes. */
    CHECK(rc == 0 || l->lossy);
    CHECK(rc != 0 || slice_eq(buf_slice(&out), buf_slice(&r.want)));
    CHECK(rc == 0 || rc == -KT_ERR_CLOSED || rc == -KT_ERR_EOF || rc == -KT_ERR_TIMEOUT);
    http_exchange_end(ex);
    l->done++;
    l->failed += rc < 0;
    buf_done(&r.want);
    buf_done(&out);
    mem_free(bytes);
}

static int requester(void *arg)
{
    struct env *e = arg;
    struct http_client_options opt = {.conns_per_addr = 3};
    struct http_client *c;
    CHECK_INT(http_client_open(&opt, &c), 0);
    for (int i = 0; i < REQUESTS; i++)
        one_request(e, c);
    http_client_close(c);
    return 0;
}

static void load(struct env *e)
{
    struct rt_group g;
    int rc = 0;
    rt_group_open(&g);
    for (int i = 0; i < FIBERS && rc == 0; i++)
        rc = rt_go(&g, requester, e);
    CHECK_INT(rt_group_wait(&g, rc), 0);
}

static int run_seeds(uint32_t loss_ppm, int *ret_failed)
{
    int done = 0;
    *ret_failed = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct sim_options so = {.net_loss_ppm = loss_ppm};
        struct load l = {.sim = sim_new(seed, &so), .lossy = loss_ppm > 0};
        struct env e = env_default();
        e.backend = sim_backend(l.sim);
        e.user = &l;
        env_run(&e, load);
        assert_int_equal(sim_open_handles(l.sim), 0);
        sim_free(l.sim);
        done += l.done;
        *ret_failed += l.failed;
    }
    return done;
}

static void test_delays(void **state)
{
    (void)state;
    int failed;
    assert_int_equal(run_seeds(0, &failed), SEEDS * FIBERS * REQUESTS);
    assert_int_equal(failed, 0);
}

static void test_losses(void **state)
{
    (void)state;
    int failed;
    assert_int_equal(run_seeds(2000, &failed), SEEDS * FIBERS * REQUESTS);
    assert_true(failed > 0); /* else nothing was lost, and nothing tested */
}

/* Sends `step` bytes every 100 ms until the answer comes; returns how long that took in ms. */
static int64_t trickle(struct env *e, size_t step, const char *want)
{
    static const char zeros[1000];
    struct raw *r = raw_open(&e->addr);
    raw_say(r, "POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    int64_t start = rt_now_ns();
    size_t left = 100000;
    ssize_t n = -KT_ERR_AGAIN;
    while (n == -KT_ERR_AGAIN) {
        struct iovec iov = {(void *)(uintptr_t)zeros, KT_MIN(step, left)};
        left -= iov.iov_len;
        CHECK_INT(rt_sendv(&r->sock, &iov, 1, RT_NEVER), 0);
        CHECK_INT(rt_sleep_until(rt_after_ms(100)), 0);
        n = rt_recv_now(&r->sock, r->in, sizeof(r->in) - 1);
    }
    CHECK(n > 0);
    r->in[n] = 0;
    CHECK(strstr(r->in, want) != NULL);
    raw_close(r);
    return (rt_now_ns() - start) / NS_PER_MS;
}

static void slow_clients(struct env *e)
{
    int64_t ms = trickle(e, 10, "408 Request Timeout"); /* 100 B/s, 1,024 is the least */
    CHECK(ms > 9500 && ms < 11000);
    ms = trickle(e, 200, "200 OK"); /* 2,000 B/s: 50 s, longer than any single timeout */
    CHECK(ms > 49000 && ms < 55000);

    struct raw *r = raw_open(&e->addr);
    int64_t start = rt_now_ns();
    CHECK_INT(rt_recv(&r->sock, r->in, 1, rt_after_ms(100000)), 0);
    ms = (rt_now_ns() - start) / NS_PER_MS;
    CHECK(ms > 59000 && ms < 61000);
    raw_close(r);

    r = raw_open(&e->addr);
    raw_say(r, "GET / HTTP/1.1\r\n");
    start = rt_now_ns();
    CHECK(rt_recv(&r->sock, r->in, sizeof(r->in), rt_after_ms(100000)) > 0);
    ms = (rt_now_ns() - start) / NS_PER_MS;
    CHECK(ms > 9500 && ms < 11000);
    raw_close(r);
}

static void test_slow_clients(void **state)
{
    (void)state;
    struct sim *s = sim_new(1, NULL);
    struct env e = env_default();
    e.backend = sim_backend(s);
    env_run(&e, slow_clients);
    assert_int_equal(sim_open_handles(s), 0);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_slow_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
