/* test_fiber: switch, spawn, join, cancel, deadlines, limits, offload, wakes across threads, stop.
 */
#include "rt_test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

/* ---- run and switch ---- */

static int return_arg(void *arg)
{
    return *(int *)arg;
}

static void run_returns_the_result(void **state)
{
    (void)state;
    int seven = 7;
    struct rt_options o = {.loops = 2, .workers = 1};
    assert_int_equal(rt_run(&o, return_arg, &seven), 7);
    assert_int_equal(rt_loop_index(), -1);
    assert_false(rt_may_yield());
}

static int fail_with_text(void *arg)
{
    (void)arg;
    return err_set(KT_ERR_QUOTA, "exactly this");
}

static void run_hands_over_the_diagnostic(void **state)
{
    (void)state;
    struct rt_options o = {.loops = 1, .workers = 1};
    assert_int_equal(rt_run(&o, fail_with_text, NULL), -KT_ERR_QUOTA);
    assert_string_equal(err_text(-KT_ERR_QUOTA), "exactly this");
}

static void run_refuses_bad_options(void **state)
{
    (void)state;
    struct rt_options o = {.loops = 65};
    assert_int_equal(rt_run(&o, fail_with_text, NULL), -KT_ERR_INVALID);
    o = (struct rt_options){.workers = 257};
    assert_int_equal(rt_run(&o, fail_with_text, NULL), -KT_ERR_INVALID);
    o = (struct rt_options){.stack_bytes = 5000};
    assert_int_equal(rt_run(&o, fail_with_text, NULL), -KT_ERR_INVALID);
}

struct trace {
    char text[32];
    size_t len;
};

static void put(struct trace *t, char c)
{
    t->text[t->len++] = c;
}

static int ping(void *arg)
{
    double kept = 1.5; /* floating point and callee-saved registers survive */
    for (int i = 0; i < 3; i++) {
        put(arg, 'a');
        rt_yield();
        kept *= 2;
    }
    return kept == 12.0 ? 0 : -KT_ERR_INTERNAL;
}

static int pong(void *arg)
{
    for (int i = 0; i < 3; i++) {
        put(arg, 'b');
        rt_yield();
    }
    return 0;
}

static int body_yield(void *arg)
{
    struct rt_group g;
    rt_group_open(&g);
    int rc = rt_go(&g, ping, arg);
    if (rc == 0)
        rc = rt_go(&g, pong, arg);
    return rt_group_wait(&g, rc);
}

static void yield_alternates(void **state)
{
    (void)state;
    struct trace t = {.len = 0};
    run_on(1, body_yield, &t);
    assert_string_equal(t.text, "ababab");
}

static int body_diag(void *arg)
{
    (void)arg;
    int rc = err_set(KT_ERR_RANGE, "mine");
    struct trace t = {.len = 0};
    CHECK_EQ(body_yield(&t), 0);
    CHECK(strcmp(err_text(rc), "mine") == 0);
    return 0;
}

static void diagnostics_are_per_fiber(void **state)
{
    (void)state;
    run_on(1, body_diag, NULL);
}

/* ---- groups ---- */

static int fail_later(void *arg)
{
    (void)arg;
    CHECK_EQ(rt_sleep_until(rt_after_ms(2)), 0);
    return err_set(KT_ERR_QUOTA, "second");
}

static int fail_first(void *arg)
{
    (void)arg;
    return err_set(KT_ERR_CORRUPT, "first of all");
}

static int body_first_error(void *arg)
{
    (void)arg;
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, fail_later, NULL), 0);
    CHECK_EQ(rt_go(&g, fail_first, NULL), 0);
    int rc = rt_group_wait(&g, 0);
    CHECK_EQ(rc, -KT_ERR_CORRUPT);
    CHECK(strcmp(err_text(rc), "first of all") == 0);
    return 0;
}

static void group_reports_the_first_error(void **state)
{
    (void)state;
    run_on(1, body_first_error, NULL);
}

static int sleep_long(void *arg)
{
    int rc = rt_sleep_until(rt_after_ms(60000));
    *(int *)arg = rc;
    return rc;
}

static int open_nested(void *arg)
{
    struct rt_group g;
    rt_group_open(&g);
    int rc = rt_go(&g, sleep_long, arg);
    return rt_group_wait(&g, rc);
}

static int body_cancel(void *arg)
{
    (void)arg;
    int direct = 0, nested = 0, late = 0;
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, sleep_long, &direct), 0);
    CHECK_EQ(rt_go(&g, open_nested, &nested), 0);
    CHECK_EQ(rt_sleep_until(rt_after_ms(2)), 0);
    CHECK_EQ(rt_go(&g, sleep_long, &late), 0); /* has not run yet when it is canceled */
    rt_group_cancel(&g);
    CHECK_EQ(rt_go(&g, sleep_long, &late), -KT_ERR_CANCELED);
    CHECK_EQ(rt_group_wait(&g, 0), -KT_ERR_CANCELED);
    CHECK_EQ(direct, -KT_ERR_CANCELED);
    CHECK_EQ(nested, -KT_ERR_CANCELED);
    CHECK_EQ(late, -KT_ERR_CANCELED);
    return 0;
}

static void cancel_reaches_nested_groups(void **state)
{
    (void)state;
    run_on(1, body_cancel, NULL);
}

static int body_own_error(void *arg)
{
    (void)arg;
    int slept = 0;
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, sleep_long, &slept), 0);
    int rc = rt_group_wait(&g, err_set(KT_ERR_NO_SPACE, "mine"));
    CHECK_EQ(rc, -KT_ERR_NO_SPACE);
    CHECK(strcmp(err_text(rc), "mine") == 0);
    CHECK_EQ(slept, -KT_ERR_CANCELED);
    return 0;
}

static void own_error_cancels_members(void **state)
{
    (void)state;
    run_on(1, body_own_error, NULL);
}

static int body_limit(void *arg)
{
    (void)arg;
    int slept[8];
    struct rt_group g;
    rt_group_open(&g);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(rt_go(&g, sleep_long, &slept[i]), 0);
    CHECK_EQ(rt_go(&g, sleep_long, &slept[7]), -KT_ERR_LIMIT);
    rt_group_cancel(&g);
    CHECK_EQ(rt_group_wait(&g, 0), -KT_ERR_CANCELED);
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, fail_first, NULL), 0); /* places are free again */
    CHECK_EQ(rt_group_wait(&g, 0), -KT_ERR_CORRUPT);
    return 0;
}

static void fibers_are_capped(void **state)
{
    (void)state;
    struct rt_options o = {.loops = 1, .workers = 1, .max_fibers = 8};
    assert_int_equal(rt_run(&o, body_limit, NULL), 0);
}

static int nothing(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static int body_many(void *arg)
{
    for (int round = 0; round < 20; round++) {
        struct rt_group g;
        rt_group_open(&g);
        int rc = 0;
        for (int i = 0; i < 500 && rc == 0; i++)
            rc = rt_go(&g, nothing, arg);
        CHECK_EQ(rt_group_wait(&g, rc), 0);
    }
    struct rt_stats s;
    rt_stats(&s);
    CHECK(s.fibers_max >= 500);
    CHECK(s.switches >= 10000);
    return 0;
}

static void stacks_are_reused(void **state)
{
    (void)state;
    int count = 0;
    run_on(1, body_many, &count);
    assert_int_equal(count, 10000);
}

static __attribute__((noinline)) int deep(void *arg)
{
    int depth = *(int *)arg, next = depth - 1;
    volatile char block[7000];
    for (size_t i = 0; i < sizeof(block); i += 64)
        block[i] = (char)depth;
    int rc = depth > 0 ? deep(&next) : 0;
    return rc + (block[64] != (char)depth);
}

static int body_deep(void *arg)
{
    struct rt_group g;
    rt_group_open(&g);
    int depth = 20;
    CHECK_EQ(rt_go(&g, deep, &depth), 0);
    CHECK_EQ(rt_group_wait(&g, 0), 0);
    struct rt_stats s;
    rt_stats(&s);
    *(uint64_t *)arg = s.stack_high_water;
    return 0;
}

static void watermark_sees_deep_stacks(void **state)
{
    (void)state;
    uint64_t high = 0;
    run_on(1, body_deep, &high);
#ifndef __SANITIZE_ADDRESS__
    assert_true(high >= 20 * 7000 && high <= 256 * 1024);
#endif
}

/* ---- deadlines and timers ---- */

static int body_deadline(void *arg)
{
    (void)arg;
    struct rt_wait w;
    rt_wait_init(&w);
    int64_t before = rt_now_ns();
    CHECK_EQ(rt_wait_park(&w, rt_after_ms(5)), -KT_ERR_TIMEOUT);
    CHECK(rt_now_ns() - before >= 5 * NS_PER_MS);
    rt_wait_init(&w);
    CHECK_EQ(rt_wait_park(&w, rt_now_ns()), -KT_ERR_TIMEOUT);
    rt_wait_init(&w);
    rt_wake(&w); /* before the park, and stronger than a past deadline */
    CHECK_EQ(rt_wait_park(&w, 0), 0);
    CHECK_EQ(rt_sleep_until(0), 0);
    return 0;
}

static void waits_end_at_their_deadline(void **state)
{
    (void)state;
    run_on(1, body_deadline, NULL);
}

enum { TIMERS = 300 };
static struct {
    struct rt_timer t[TIMERS];
    int fired;
    int64_t last;
    bool ordered;
} timers;

static void on_timer(struct rt_timer *t)
{
    timers.fired++;
    timers.ordered &= t->at_ns >= timers.last;
    timers.last = t->at_ns;
}

static int body_timers(void *arg)
{
    (void)arg;
    int64_t base = rt_now_ns();
    for (int i = 0; i < TIMERS; i++) {
        rt_timer_init(&timers.t[i], on_timer);
        CHECK_EQ(rt_timer_set(&timers.t[i], base + (i * 7919 % TIMERS) * 10000), 0);
    }
    for (int i = 0; i < TIMERS; i += 3)
        rt_timer_cancel(&timers.t[i]);
    for (int i = 1; i < TIMERS; i += 3) /* later, then earlier */
        CHECK_EQ(rt_timer_set(&timers.t[i], base + (i * 31 % TIMERS) * 10000), 0);
    CHECK_EQ(rt_sleep_until(base + TIMERS * 10000 + NS_PER_MS), 0);
    CHECK_EQ(timers.fired, TIMERS / 3 * 2);
    CHECK(timers.ordered);
    rt_timer_cancel(&timers.t[1]); /* idle: harmless */
    return 0;
}

static void timers_fire_in_order(void **state)
{
    (void)state;
    timers.ordered = true;
    timers.fired = 0;
    timers.last = 0;
    run_on(1, body_timers, NULL);
}

/* ---- offload ---- */

static int job_fail(void *arg)
{
    (void)arg;
    CHECK(!rt_may_yield());
    CHECK_EQ(rt_loop_index(), -1);
    return err_set(KT_ERR_IO, "from the worker");
}

static int body_offload(void *arg)
{
    (void)arg;
    int rc = rt_offload(job_fail, NULL);
    CHECK_EQ(rc, -KT_ERR_IO);
    CHECK(strcmp(err_text(rc), "from the worker") == 0);
    int n = 41;
    CHECK_EQ(rt_offload(nothing, &n), 0);
    CHECK_EQ(n, 42);
    return 0;
}

static void offload_brings_result_and_text(void **state)
{
    (void)state;
    run_on(1, body_offload, NULL);
}

static struct {
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool open;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static int job_gate(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&gate.mu);
    while (!gate.open)
        pthread_cond_wait(&gate.cond, &gate.mu);
    pthread_mutex_unlock(&gate.mu);
    return 0;
}

static int offload_gate(void *arg)
{
    int rc = rt_offload(job_gate, NULL);
    ((int *)arg)[rc == 0 ? 0 : rc == -KT_ERR_LIMIT ? 1 : 2]++;
    return 0;
}

static int body_full(void *arg)
{
    struct rt_group g;
    rt_group_open(&g);
    for (int i = 0; i < 4200; i++)
        CHECK_EQ(rt_go(&g, offload_gate, arg), 0);
    CHECK_EQ(rt_sleep_until(rt_after_ms(20)), 0);
    pthread_mutex_lock(&gate.mu);
    gate.open = true;
    pthread_cond_broadcast(&gate.cond);
    pthread_mutex_unlock(&gate.mu);
    return rt_group_wait(&g, 0);
}

static void offload_queue_is_bounded(void **state)
{
    (void)state;
    int count[3] = {0};
    struct rt_options o = {.loops = 1, .workers = 1, .stack_bytes = 32768};
    assert_int_equal(rt_run(&o, body_full, count), 0);
    assert_int_equal(count[0] + count[1], 4200);
    assert_int_equal(count[2], 0);
    assert_in_range(count[0], 4096, 4097); /* the queue, and the one that runs */
}

/* ---- other threads ---- */

static int where(void *arg)
{
    *(int *)arg = rt_loop_index();
    return rt_sleep_until(rt_after_ms(1)); /* the call may wait over there */
}

static int body_call_on(void *arg)
{
    (void)arg;
    CHECK_EQ(rt_loop_index(), 0);
    CHECK_EQ(rt_loop_count(), 3);
    for (int i = 0; i < 30; i++) {
        int seen = -1;
        CHECK_EQ(rt_call_on(i % 3, where, &seen), 0);
        CHECK_EQ(seen, i % 3);
    }
    int rc = rt_call_on(2, fail_with_text, NULL);
    CHECK_EQ(rc, -KT_ERR_QUOTA);
    CHECK(strcmp(err_text(rc), "exactly this") == 0);
    return 0;
}

static void calls_run_on_their_loop(void **state)
{
    (void)state;
    run_on(3, body_call_on, NULL);
}

/* Wakes race with deadlines: a box under a lock hands the wait to a thread, which wakes it at about
 * the moment when it times out. The wait is on the fiber's stack and gone right after. */
enum { ROUNDS = 400 };
struct box {
    pthread_mutex_t mu;
    struct rt_wait *wait; /* guarded by mu */
    bool done;            /* guarded by mu */
};

static void *waker(void *arg)
{
    struct box *b = arg;
    for (bool done = false; !done;) {
        pthread_mutex_lock(&b->mu);
        if (b->wait) {
            rt_wake(b->wait);
            b->wait = NULL;
        }
        done = b->done;
        pthread_mutex_unlock(&b->mu);
        usleep(50);
    }
    return NULL;
}

static int race_one(void *arg)
{
    struct box *b = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct rt_wait w;
        rt_wait_init(&w);
        pthread_mutex_lock(&b->mu);
        b->wait = &w;
        pthread_mutex_unlock(&b->mu);
        int rc = rt_wait_park(&w, rt_now_ns() + i % 8 * 20000);
        pthread_mutex_lock(&b->mu);
        bool taken = b->wait == NULL;
        b->wait = NULL;
        pthread_mutex_unlock(&b->mu);
        CHECK(rc == 0 || rc == -KT_ERR_TIMEOUT);
        CHECK(rc != 0 || taken);
        memset(&w, 0xee, sizeof(w));
    }
    return 0;
}

static int body_race(void *arg)
{
    struct box *b = arg;
    struct rt_group g;
    rt_group_open(&g);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(rt_go(&g, race_one, &b[i]), 0);
    return rt_group_wait(&g, 0);
}

static int body_race_two(void *arg)
{
    struct box *b = arg;
    CHECK_EQ(rt_call_on(1, body_race, b + 4), 0);
    return body_race(b);
}

static void wakes_race_with_deadlines(void **state)
{
    (void)state;
    struct box b[8];
    pthread_t t[8];
    for (int i = 0; i < 8; i++) {
        b[i] = (struct box){.mu = PTHREAD_MUTEX_INITIALIZER};
        assert_int_equal(pthread_create(&t[i], NULL, waker, &b[i]), 0);
    }
    run_on(2, body_race_two, b);
    for (int i = 0; i < 8; i++) {
        pthread_mutex_lock(&b[i].mu);
        b[i].done = true;
        pthread_mutex_unlock(&b[i].mu);
        pthread_join(t[i], NULL);
    }
}

/* Loops hammer each other with calls, so that the end of one meets the work of another. */
static int bounce(void *arg)
{
    int left = *(int *)arg - 1;
    return left == 0 ? 0 : rt_call_on(left % rt_loop_count(), bounce, &left);
}

static int body_bounce(void *arg)
{
    (void)arg;
    struct rt_group g;
    rt_group_open(&g);
    int depth = 20, rc = 0;
    for (int i = 0; i < 20 && rc == 0; i++)
        rc = rt_go(&g, bounce, &depth);
    return rt_group_wait(&g, rc);
}

static void calls_nest_over_loops(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        run_on(3, body_bounce, NULL);
}

/* ---- stop ---- */

static int body_stop(void *arg)
{
    (void)arg;
    CHECK_EQ(rt_wait_stop(rt_after_ms(1)), -KT_ERR_TIMEOUT);
    rt_stop();
    CHECK_EQ(rt_wait_stop(RT_NEVER), 0);
    return 0;
}

static void stop_by_call(void **state)
{
    (void)state;
    run_on(1, body_stop, NULL);
}

static int wait_stop(void *arg)
{
    (void)arg;
    CHECK_EQ(rt_wait_stop(rt_after_ms(10000)), SIGTERM);
    return 0;
}

static int job_kill(void *arg)
{
    (void)arg;
    return kill(getpid(), SIGTERM);
}

static int body_signal(void *arg)
{
    (void)arg;
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, wait_stop, NULL), 0);
    CHECK_EQ(rt_offload(job_kill, NULL), 0);
    CHECK_EQ(rt_call_on(1, wait_stop, NULL), 0);
    return rt_group_wait(&g, 0);
}

static void stop_by_signal(void **state)
{
    (void)state;
    run_on(2, body_signal, NULL);
}

static int linger(void *arg)
{
    *(int *)arg = rt_sleep_until(rt_after_ms(60000));
    return 0;
}

static int body_root(void *arg)
{
    return rt_go_root(linger, arg);
}

static void end_cancels_root_fibers(void **state)
{
    (void)state;
    int rc = 0;
    run_on(2, body_root, &rc);
    assert_int_equal(rc, -KT_ERR_CANCELED);
}

/* ---- introspection ---- */

struct seen {
    int running, sleeping, total;
    uint64_t request_id;
};

static void see(void *arg, const struct rt_fiber_info *info)
{
    struct seen *s = arg;
    s->total++;
    s->running += strcmp(info->wait, "running") == 0;
    s->sleeping += strcmp(info->wait, "sleep") == 0;
    if (info->request_id)
        s->request_id = info->request_id;
}

static int nap(void *arg)
{
    (void)arg;
    rt_set_request_id(77);
    return rt_sleep_until(rt_after_ms(5));
}

static int body_list(void *arg)
{
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, nap, NULL), 0);
    rt_yield();
    rt_fiber_list(see, arg);
    return rt_group_wait(&g, 0);
}

static void fibers_are_listed(void **state)
{
    (void)state;
    struct seen s = {0};
    run_on(1, body_list, &s);
    assert_int_equal(s.total, 2);
    assert_int_equal(s.running, 1);
    assert_int_equal(s.sleeping, 1);
    assert_int_equal(s.request_id, 77);
}

static struct rt_slow slow_seen;

static void on_slow(const struct rt_slow *slow)
{
    slow_seen = *slow;
}

static int body_slow(void *arg)
{
    (void)arg;
    rt_set_request_id(5);
    usleep(120000); /* blocks the loop: what the watchdog is for */
    return rt_sleep_until(rt_after_ms(1));
}

static void watchdog_names_the_slow_fiber(void **state)
{
    (void)state;
    rt_set_slow_hook(on_slow);
    run_on(1, body_slow, NULL);
    rt_set_slow_hook(NULL);
    assert_true(slow_seen.took_ns >= 100 * NS_PER_MS);
    assert_true(slow_seen.fiber_id != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_returns_the_result),
        cmocka_unit_test(run_hands_over_the_diagnostic),
        cmocka_unit_test(run_refuses_bad_options),
        cmocka_unit_test(yield_alternates),
        cmocka_unit_test(diagnostics_are_per_fiber),
        cmocka_unit_test(group_reports_the_first_error),
        cmocka_unit_test(cancel_reaches_nested_groups),
        cmocka_unit_test(own_error_cancels_members),
        cmocka_unit_test(fibers_are_capped),
        cmocka_unit_test(stacks_are_reused),
        cmocka_unit_test(watermark_sees_deep_stacks),
        cmocka_unit_test(waits_end_at_their_deadline),
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(offload_brings_result_and_text),
        cmocka_unit_test(offload_queue_is_bounded),
        cmocka_unit_test(calls_run_on_their_loop),
        cmocka_unit_test(wakes_race_with_deadlines),
        cmocka_unit_test(calls_nest_over_loops),
        cmocka_unit_test(stop_by_call),
        cmocka_unit_test(stop_by_signal),
        cmocka_unit_test(end_cancels_root_fibers),
        cmocka_unit_test(fibers_are_listed),
        cmocka_unit_test(watchdog_names_the_slow_fiber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
