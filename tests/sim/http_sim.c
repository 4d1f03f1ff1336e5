/* http_sim: HTTP server and client on the simulated network: delays, partial calls, lost segments,
 * resets.
 *
 * usage: http_sim [A..B]      (seeds; each runs twice and must give the same trace)
 *
 * Several fibers send numbered requests through one client to one server; bodies follow from the
 * numbers. Whatever the network does: a response that is taken for good is the right one, byte by
 * byte; a request that may not be sent twice is handled once at most, and once exactly when it was
 * answered; everything ends, nothing stays open, no body memory stays charged. */
#include "base/buf.h"
#include "base/enc.h"
#include "base/rand.h"
#include "http/client.h"
#include "http/server.h"
#include "rt/rt.h"
#include "rt/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIBERS 5
#define CALLS 12
#define BODY_MAX 200000u

struct world {
    struct sim *s;
    struct http_server *server;
    struct http_client *client;
    struct rt_addr addr;
    uint32_t handled[FIBERS * CALLS];
    uint64_t answered, failed, retries;
    char why[200];
};
struct caller {
    struct world *w;
    uint32_t fiber;
};

static void violation(struct world *w, const char *what, uint64_t number)
{
    if (w->why[0] == '\0')
        snprintf(w->why, sizeof(w->why), "%s (request %llu)", what, (unsigned long long)number);
}

/* Sizes from empty to several windows; `salt` tells requests from responses. */
static size_t body_size(uint64_t number, uint64_t salt)
{
    uint64_t state = number * 2 + salt;
    uint64_t dice = rand_splitmix(&state);
    return dice % 4 == 0 ? 0 : dice % 4 == 1 ? (dice >> 8) % BODY_MAX : (dice >> 8) % 3000;
}

static void fill(uint8_t *p, size_t len, uint64_t number, uint64_t salt)
{
    struct rand_state r;
    rand_init(&r, number * 2 + salt);
    rand_fill(&r, p, len);
}

static bool matches(struct slice got, uint64_t number, uint64_t salt)
{
    size_t len = body_size(number, salt);
    uint8_t *want = mem_alloc(len + 1);
    fill(want, len, number, salt);
    bool same = got.len == len && (len == 0 || memcmp(got.p, want, len) == 0);
    mem_free(want);
    return same;
}

/* ---- server ---- */

static int reply(struct http_request *rq, uint64_t number)
{
    size_t len = body_size(number, 1), at = 0;
    uint8_t *p = mem_alloc(len + 1);
    fill(p, len, number, 1);
    struct http_reply rp = {.status = 200, .body_len = number % 2 ? UINT64_MAX : len};
    int rc = http_reply_begin(rq, &rp);
    while (rc == 0 && at < len) {
        size_t part = KT_MIN(len - at, 30000u);
        rc = http_reply_body(rq, slice_of(p + at, part));
        at += part;
    }
    if (rc == 0)
        rc = http_reply_end(rq);
    mem_free(p);
    return rc;
}

static int handle(void *arg, struct http_request *rq)
{
    struct world *w = arg;
    uint64_t number;
    if (rq->head.target.len < 2 || !dec_to_u64(slice_sub(rq->head.target, 1, SIZE_MAX), &number) ||
        number >= FIBERS * CALLS) {
        violation(w, "a target that nobody sent", 0);
        return -KT_ERR_PROTO;
    }
    struct buf body = BUF_INIT(BODY_MAX);
    int rc = http_body_read_all(rq, &body);
    if (rc < 0)
        return rc;
    if (!matches(buf_slice(&body), number, 0))
        violation(w, "the server was given another body", number);
    http_body_release(&body);
    w->handled[number]++;
    return reply(rq, number);
}

/* ---- client ---- */

static int read_response(struct world *w, struct http_exchange *ex, uint64_t number)
{
    struct buf body = BUF_INIT(2 * BODY_MAX);
    int rc = http_exchange_read_all(ex, &body);
    if (rc == 0 && ex->head.status == 200) {
        w->answered++;
        if (!matches(buf_slice(&body), number, 1))
            violation(w, "the client was given another body", number);
        if (w->handled[number] != 1)
            violation(w, "answered, but not handled once", number);
    }
    sim_note(w->s, (uint64_t)rc ^ ex->body_read << 16);
    buf_done(&body);
    return rc;
}

static void call_once(struct world *w, uint64_t number)
{
    char target[24] = "/";
    size_t n = dec_from_u64(number, target + 1);
    size_t len = body_size(number, 0), cut = len / 3;
    uint8_t *p = mem_alloc(len + 1);
    fill(p, len, number, 0);
    struct slice pieces[2] = {slice_of(p, cut), slice_of(p + cut, len - cut)};
    struct http_call call = {
        .addr = w->addr,
        .host = SLICE_LIT("kitten"),
        .target = slice_of(target, n + 1),
        .method = H1_POST,
        .body = pieces,
        .nbody = 2,
        .body_len = len,
        .deadline_ns = rt_after_ms(90000),
    };
    struct http_exchange *ex;
    int rc = http_client_call(w->client, &call, &ex);
    if (rc == 0) {
        rc = read_response(w, ex, number);
        http_exchange_end(ex);
    }
    w->failed += rc < 0;
    if (w->handled[number] > 1)
        violation(w, "a request that may not be sent twice was handled twice", number);
    mem_free(p);
}

static int caller_main(void *arg)
{
    struct caller *c = arg;
    for (uint32_t i = 0; i < CALLS; i++) {
        call_once(c->w, c->fiber * CALLS + i);
        if (sim_chance(c->w->s, 200000)) /* longer than an idle timeout, sometimes */
            (void)!rt_sleep_until(rt_after_ms((int64_t)sim_rand_below(c->w->s, 40000)));
    }
    return 0;
}

/* ---- one seed ---- */

static int start(struct world *w)
{
    struct http_server_options so = {.limits = http_limits_default, .handler = handle, .arg = w};
    struct http_client_options co = {.conns_per_addr = 3, .idle_timeout_ms = 10000};
    struct rt_addr any = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    so.limits.idle_timeout_ms = 20000;
    int rc = http_server_start(&so, &any, 1, &w->server);
    if (rc == 0)
        rc = http_server_addr(w->server, 0, &w->addr);
    return rc == 0 ? http_client_open(&co, &w->client) : rc;
}

static int world_main(void *arg)
{
    struct world *w = arg;
    struct caller callers[FIBERS];
    struct rt_group g;
    int rc = start(w);
    if (rc < 0)
        return rc;
    rt_group_open(&g);
    for (uint32_t i = 0; i < FIBERS && rc == 0; i++) {
        callers[i] = (struct caller){w, i};
        rc = rt_go(&g, caller_main, &callers[i]);
    }
    rc = rt_group_wait(&g, rc);
    struct http_client_stats st;
    http_client_stats(w->client, &st);
    w->retries += st.retries;
    http_client_close(w->client);
    http_server_stop(w->server, rt_after_ms(200000));
    return rc;
}

static uint64_t run_seed(uint64_t seed, struct world *w)
{
    struct sim_options opt = {.net_loss_ppm = (uint32_t)(seed % 4) * 3000};
    if (seed % 5 == 0)
        opt.net_max_ns = 400 * NS_PER_MS;
    *w = (struct world){.s = sim_new(seed, &opt)};
    struct rt_options ro = {.backend = sim_backend(w->s), .loops = 1, .workers = 4};
    int rc = rt_run(&ro, world_main, w);
    if (rc < 0)
        violation(w, err_text(rc), 0);
    if (sim_open_handles(w->s) != 0)
        violation(w, "sockets stay open", sim_open_handles(w->s));
    if (http_budget_used() != 0)
        violation(w, "body memory stays charged", http_budget_used());
    if (seed % 4 == 0 && w->failed > 0)
        violation(w, "a call fails on a network without loss", w->failed);
    uint64_t trace = sim_trace(w->s);
    sim_free(w->s);
    return trace;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, last = 100, passed = 0, failed = 0, answered = 0, lost = 0, retries = 0;
    if (argc > 1) {
        char *dots = strstr(argv[1], "..");
        first = strtoull(argv[1], NULL, 10);
        last = dots ? strtoull(dots + 2, NULL, 10) : first;
    }
    for (uint64_t seed = first; seed <= last; seed++) {
        static struct world w;
        uint64_t a = run_seed(seed, &w), b = run_seed(seed, &w);
        if (a != b)
            violation(&w, "not deterministic", seed);
        if (w.why[0] != '\0')
            printf("FAILED seed %llu: %s\n", (unsigned long long)seed, w.why);
        *(w.why[0] == '\0' ? &passed : &failed) += 1;
        answered += w.answered;
        lost += w.failed;
        retries += w.retries;
    }
    printf("requests answered %llu, failed %llu, sent again %llu\n", (unsigned long long)answered,
           (unsigned long long)lost, (unsigned long long)retries);
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed != 0;
}
