/* The runtime on the simulated machine: fibers, virtual time, jobs, sockets, crashes. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "base/macros.h"
#include "rt/rt.h"
#include "rt/sim.h"
#include <string.h>

static int run(struct sim *s, int (*fn)(void *arg), void *arg)
{
    struct rt_options opt = {.backend = sim_backend(s), .loops = 1, .workers = 8};
    return rt_run(&opt, fn, arg);
}

static int sleeper(void *arg)
{
    int64_t *ret = arg;
    int64_t start = rt_now_ns();
    int rc = rt_sleep_until(start + 3600 * NS_PER_SEC);
    *ret = rt_now_ns() - start;
    return rc;
}

static void an_hour_of_sleep_takes_no_time(void **state)
{
    (void)state;
    struct sim *s = sim_new(1, NULL);
    int64_t slept = 0;
    assert_int_equal(run(s, sleeper, &slept), 0);
    assert_in_range(slept, 3600 * NS_PER_SEC, 3601 * NS_PER_SEC);
    sim_free(s);
}

/* ---- files ---- */

static int write_file(void *arg)
{
    (void)arg;
    int dir = rt_dir_open("/d", true);
    if (dir < 0)
        return dir;
    int rc = 0;
    int f = rt_file_open(dir, "a", RT_O_READ | RT_O_WRITE | RT_O_CREATE, 0600);
    if (f < 0) {
        rt_file_close(dir);
        return f;
    }
    for (uint64_t i = 0; i < 20 && rc == 0; i++) {
        uint8_t p[700];
        memset(p, (int)('a' + i), sizeof(p));
        struct iovec v = {p, sizeof(p)};
        rc = rt_file_pwritev_sync(f, &v, 1, i * sizeof(p), true);
    }
    if (rc == 0)
        rc = rt_dir_sync(dir);
    rt_file_close(f);
    rt_file_close(dir);
    return rc;
}

static int read_file(void *arg)
{
    uint8_t *out = arg;
    int dir = rt_dir_open("/d", false);
    if (dir < 0)
        return dir;
    int f = rt_file_open(dir, "a", RT_O_READ, 0);
    int rc = f < 0 ? f : rt_file_pread(f, out, 14000, 0);
    rt_file_close(f);
    rt_file_close(dir);
    return rc;
}

static void short_calls_are_continued(void **state)
{
    (void)state;
    struct sim_options opt = {
        .short_write_ppm = 400000, .short_read_ppm = 400000, .cold_ppm = 500000};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = sim_new(seed, &opt);
        static uint8_t out[14000];
        assert_int_equal(run(s, write_file, NULL), 0);
        assert_int_equal(run(s, read_file, out), 0);
        for (size_t i = 0; i < sizeof(out); i++)
            assert_int_equal(out[i], 'a' + i / 700);
        assert_true(sim_counts(s)->short_writes > 0);
        assert_int_equal(sim_open_handles(s), 0);
        sim_free(s);
    }
}

/* The n-th persisting call is the last one: what was synced before is there after. */
static void a_cut_at_every_call_keeps_what_was_synced(void **state)
{
    (void)state;
    uint64_t n = 1;
    for (; n < 1000; n++) {
        struct sim *s = sim_new(n, NULL);
        sim_fail_at(s, n, SIM_FAULT_CUT_AFTER);
        int rc = run(s, write_file, NULL);
        if (!sim_fired(s)) {
            assert_int_equal(rc, 0);
            sim_free(s);
            break;
        }
        assert_int_equal(rc, -KT_ERR_IO);
        uint64_t syncs = sim_counts(s)->syncs;
        sim_restart(s);
        int64_t size = sim_file_size(s, "/d", "a");
        assert_true(size < 0 || size >= (int64_t)(syncs * 700));
        sim_free(s);
    }
    assert_int_equal(n, 1 + 20 * 2 + 1 + 1);
}

/* ---- sockets ---- */

static int serve(void *arg)
{
    struct rt_sock *listener = arg, conn;
    int rc = rt_accept(listener, &conn, NULL, rt_after_ms(10000));
    if (rc < 0)
        return rc;
    uint8_t p[1000];
    ssize_t n;
    while ((n = rt_recv(&conn, p, sizeof(p), rt_after_ms(60000))) > 0) {
        struct iovec v = {p, (size_t)n};
        rc = rt_sendv(&conn, &v, 1, rt_after_ms(60000));
        if (rc < 0)
            break;
    }
    rt_close(&conn);
    return rc < 0 ? rc : (int)n;
}

static int echo(void *arg)
{
    (void)arg;
    struct rt_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    struct rt_sock listener, conn;
    int rc = rt_listen(&addr, &listener);
    if (rc < 0)
        return rc;
    rc = rt_sock_local(&listener, &addr);
    struct rt_group g;
    rt_group_open(&g);
    if (rc == 0)
        rc = rt_go(&g, serve, &listener);
    if (rc == 0)
        rc = rt_connect(&addr, &conn, rt_after_ms(1000));
    if (rc == 0) {
        static uint8_t out[200000], in[200000];
        for (size_t i = 0; i < sizeof(out); i++)
            out[i] = (uint8_t)(i * 31 + i / 1000);
        for (size_t at = 0; at < sizeof(out) && rc == 0; at += 20000) {
            struct iovec v = {out + at, 20000};
            rc = rt_sendv(&conn, &v, 1, rt_after_ms(60000));
            for (size_t got = 0; got < 20000 && rc == 0;) {
                ssize_t n = rt_recv(&conn, in + at + got, 20000 - got, rt_after_ms(60000));
                if (n <= 0)
                    rc = n < 0 ? (int)n : -KT_ERR_EOF;
                else
                    got += (size_t)n;
            }
        }
        rt_close(&conn);
        if (rc == 0 && memcmp(in, out, sizeof(in)) != 0)
            rc = -KT_ERR_CORRUPT;
    }
    rc = rt_group_wait(&g, rc);
    rt_close(&listener);
    return rc;
}

static void an_echo_server_echoes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = sim_new(seed, NULL);
        assert_int_equal(run(s, echo, NULL), 0);
        assert_int_equal(sim_open_handles(s), 0);
        sim_free(s);
    }
}

static void a_bad_network_is_an_error_not_a_hang(void **state)
{
    (void)state;
    struct sim_options opt = {.net_loss_ppm = 100000};
    int failed = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = sim_new(seed, &opt);
        int rc = run(s, echo, NULL);
        assert_true(rc == 0 || rc == -KT_ERR_CLOSED || rc == -KT_ERR_TIMEOUT || rc == -KT_ERR_EOF);
        failed += rc != 0;
        assert_int_equal(sim_open_handles(s), 0);
        sim_free(s);
    }
    assert_true(failed > 5);
}

static uint64_t trace_of(uint64_t seed)
{
    struct sim_options opt = {.net_loss_ppm = 5000, .stall_ppm = 10000};
    struct sim *s = sim_new(seed, &opt);
    int rc = run(s, echo, NULL);
    sim_note(s, (uint64_t)rc);
    rc = run(s, write_file, NULL);
    sim_note(s, (uint64_t)rc);
    uint64_t h = sim_trace(s);
    sim_free(s);
    return h;
}

static void runs_repeat_by_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_int_equal(trace_of(seed), trace_of(seed));
    assert_int_not_equal(trace_of(1), trace_of(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hour_of_sleep_takes_no_time),
        cmocka_unit_test(short_calls_are_continued),
        cmocka_unit_test(a_cut_at_every_call_keeps_what_was_synced),
        cmocka_unit_test(an_echo_server_echoes),
        cmocka_unit_test(a_bad_network_is_an_error_not_a_hang),
        cmocka_unit_test(runs_repeat_by_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
