/* sim_net: the simulated network, driven without the runtime. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "rt/backend.h"
#include "rt/rt.h"
#include "rt/sim.h"
#include <errno.h>
#include <string.h>

struct wire {
    struct sim *s;
    const struct rt_backend *b;
    struct rt_poller *poller;
    int listener, client, server;
    struct rt_addr addr;
};

/* Lets virtual time pass. */
static void pass(struct wire *w, int64_t ns)
{
    struct rt_event ev[4];
    int64_t until = sim_now_ns(w->s) + ns;
    while (sim_now_ns(w->s) < until)
        assert_true(w->b->poll_wait(w->b->self, w->poller, ev, 4, until) >= 0);
}

static struct wire wire_new(uint64_t seed, const struct sim_options *opt)
{
    struct wire w = {.s = sim_new(seed, opt)};
    w.b = sim_backend(w.s);
    assert_int_equal(w.b->poller_new(w.b->self, &w.poller), 0);
    w.listener = w.b->net_listen(w.b->self, &w.addr, 16, false);
    assert_true(w.listener > 0);
    assert_int_equal(w.b->net_local(w.b->self, w.listener, &w.addr), 0);
    assert_true(w.addr.port != 0);
    w.client = w.b->net_connect(w.b->self, &w.addr);
    assert_true(w.client > 0);
    pass(&w, 10 * NS_PER_MS);
    assert_int_equal(w.b->net_connect_result(w.b->self, w.client), 0);
    struct rt_addr peer;
    w.server = w.b->net_accept(w.b->self, w.listener, &peer);
    assert_true(w.server > 0);
    assert_int_equal(w.b->net_accept(w.b->self, w.listener, &peer), -EAGAIN);
    return w;
}

static void wire_free(struct wire *w)
{
    w->b->poller_free(w->b->self, w->poller);
    sim_free(w->s);
}

static ssize_t send_bytes(struct wire *w, int sock, uint8_t *p, size_t len)
{
    struct iovec v[2] = {{p, len / 2}, {p + len / 2, len - len / 2}};
    return w->b->net_sendv(w->b->self, sock, v, 2);
}

static void a_stream_keeps_bytes_and_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct wire w = wire_new(seed, NULL);
        static uint8_t out[20000], in[20000];
        for (size_t i = 0; i < sizeof(out); i++)
            out[i] = (uint8_t)(i * 7 + i / 256);
        size_t sent = 0, got = 0;
        while (got < sizeof(in)) {
            if (sent < sizeof(out)) {
                ssize_t n = send_bytes(&w, w.client, out + sent, KT_MIN(sizeof(out) - sent, 1000));
                assert_true(n > 0);
                sent += (size_t)n;
            }
            ssize_t n = w.b->net_recv(w.b->self, w.server, in + got, sizeof(in) - got);
            assert_true(n > 0 || n == -EAGAIN);
            got += n > 0 ? (size_t)n : 0;
            pass(&w, 100000);
        }
        assert_memory_equal(in, out, sizeof(in));
        wire_free(&w);
    }
}

static void the_window_bounds_what_flies(void **state)
{
    (void)state;
    struct wire w = wire_new(1, NULL);
    static uint8_t p[50000];
    size_t sent = 0;
    ssize_t n;
    while ((n = send_bytes(&w, w.client, p, sizeof(p))) > 0)
        sent += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    assert_int_equal(sent, 65536);
    pass(&w, 10 * NS_PER_MS);
    assert_int_equal(send_bytes(&w, w.client, p, 1), -EAGAIN);
    assert_true(w.b->net_recv(w.b->self, w.server, p, sizeof(p)) > 0);
    assert_true(send_bytes(&w, w.client, p, 1) > 0);
    wire_free(&w);
}

static void end_of_stream_comes_after_the_bytes(void **state)
{
    (void)state;
    struct wire w = wire_new(1, NULL);
    uint8_t p[8] = "x";
    assert_int_equal(send_bytes(&w, w.client, p, 1), 1);
    assert_int_equal(w.b->net_close(w.b->self, w.client), 0);
    pass(&w, 10 * NS_PER_MS);
    assert_int_equal(w.b->net_recv(w.b->self, w.server, p, 8), 1);
    assert_int_equal(w.b->net_recv(w.b->self, w.server, p, 8), 0);
    assert_int_equal(send_bytes(&w, w.server, p, 8) > 0, true); /* not yet known to be gone */
    pass(&w, 10 * NS_PER_MS);
    assert_int_equal(w.b->net_recv(w.b->self, w.server, p, 8), -ECONNRESET);
    wire_free(&w);
}

static void closing_with_unread_bytes_resets(void **state)
{
    (void)state;
    struct wire w = wire_new(1, NULL);
    uint8_t p[8] = "x";
    assert_int_equal(send_bytes(&w, w.client, p, 1), 1);
    pass(&w, 10 * NS_PER_MS);
    assert_int_equal(w.b->net_close(w.b->self, w.server), 0);
    pass(&w, 10 * NS_PER_MS);
    assert_int_equal(w.b->net_recv(w.b->self, w.client, p, 8), -ECONNRESET);
    wire_free(&w);
}

static void nobody_listens(void **state)
{
    (void)state;
    struct wire w = wire_new(1, NULL);
    struct rt_addr other = w.addr;
    other.port = 9;
    int c = w.b->net_connect(w.b->self, &other);
    assert_true(c > 0);
    pass(&w, 10 * NS_PER_MS);
    assert_int_equal(w.b->net_connect_result(w.b->self, c), -ECONNREFUSED);
    wire_free(&w);
}

static void a_lost_segment_resets_both_ends(void **state)
{
    (void)state;
    struct wire w = wire_new(1, NULL);
    sim_options(w.s)->net_loss_ppm = 1000000;
    uint8_t p[8] = "x";
    assert_int_equal(send_bytes(&w, w.client, p, 1), 1);
    pass(&w, 60 * NS_PER_SEC);
    assert_int_equal(w.b->net_recv(w.b->self, w.server, p, 8), -ECONNRESET);
    assert_int_equal(w.b->net_recv(w.b->self, w.client, p, 8), -ECONNRESET);
    wire_free(&w);
}

static void polling_reports_levels(void **state)
{
    (void)state;
    struct wire w = wire_new(1, NULL);
    struct rt_event ev[4];
    uint8_t p[8] = "x";
    int cookie;
    assert_int_equal(w.b->poll_add(w.b->self, w.poller, w.server, RT_POLL_IN, &cookie), 0);
    assert_int_equal(w.b->poll_wait(w.b->self, w.poller, ev, 4, sim_now_ns(w.s)), 0);
    assert_int_equal(send_bytes(&w, w.client, p, 1), 1);
    while (w.b->poll_wait(w.b->self, w.poller, ev, 4, INT64_MAX) == 0) {
    }
    for (int i = 0; i < 2; i++) { /* it stays until the bytes are read */
        assert_int_equal(w.b->poll_wait(w.b->self, w.poller, ev, 4, INT64_MAX), 1);
        assert_ptr_equal(ev[0].cookie, &cookie);
        assert_int_equal(ev[0].bits, RT_POLL_IN);
    }
    assert_int_equal(w.b->net_recv(w.b->self, w.server, p, 8), 1);
    assert_int_equal(w.b->poll_wait(w.b->self, w.poller, ev, 4, sim_now_ns(w.s)), 0);
    assert_int_equal(w.b->poll_mod(w.b->self, w.poller, w.server, RT_POLL_OUT, &cookie), 0);
    assert_int_equal(w.b->poll_wait(w.b->self, w.poller, ev, 4, INT64_MAX), 1);
    assert_int_equal(ev[0].bits, RT_POLL_OUT);
    wire_free(&w);
}

static void a_cut_resets_and_the_clock_waits_for_nobody(void **state)
{
    (void)state;
    struct wire w = wire_new(1, NULL);
    uint8_t p[8];
    int64_t at = sim_now_ns(w.s) + 5 * NS_PER_SEC;
    sim_cut_at(w.s, at, SIM_KILLED);
    pass(&w, 4 * NS_PER_SEC);
    assert_int_equal(sim_state(w.s), SIM_RUNNING);
    pass(&w, 2 * NS_PER_SEC);
    assert_int_equal(sim_state(w.s), SIM_KILLED);
    assert_int_equal(w.b->net_recv(w.b->self, w.server, p, 8), -ECONNRESET);
    sim_restart(w.s);
    assert_int_equal(sim_open_handles(w.s), 0);
    wire_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_keeps_bytes_and_order),
        cmocka_unit_test(the_window_bounds_what_flies),
        cmocka_unit_test(end_of_stream_comes_after_the_bytes),
        cmocka_unit_test(closing_with_unread_bytes_resets),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(a_lost_segment_resets_both_ends),
        cmocka_unit_test(polling_reports_levels),
        cmocka_unit_test(a_cut_resets_and_the_clock_waits_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
