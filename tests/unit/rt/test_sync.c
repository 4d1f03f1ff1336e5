/* test_sync: mutex, condition and semaphore between the fibers of a loop. */
#include "rt_test.h"

struct shared {
    struct rt_mutex mu;
    struct rt_cond cond;
    struct rt_sem sem;
    int inside, max_inside, done;
    char order[16];
    size_t len;
};

static int critical(void *arg)
{
    struct shared *s = arg;
    CHECK_EQ(rt_mutex_lock(&s->mu, RT_NEVER), 0);
    CHECK_EQ(s->inside++, 0);
    rt_yield();
    CHECK_EQ(rt_sleep_until(rt_now_ns() + 100000), 0);
    s->inside--;
    s->done++;
    rt_mutex_unlock(&s->mu);
    return 0;
}

static int body_mutex(void *arg)
{
    struct shared *s = arg;
    rt_mutex_init(&s->mu);
    struct rt_group g;
    rt_group_open(&g);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(rt_go(&g, critical, s), 0);
    CHECK_EQ(rt_group_wait(&g, 0), 0);
    CHECK_EQ(s->done, 10);
    return 0;
}

static void mutex_excludes(void **state)
{
    (void)state;
    struct shared s = {0};
    run_on(1, body_mutex, &s);
}

static int lock_for_short(void *arg)
{
    struct shared *s = arg;
    return rt_mutex_lock(&s->mu, rt_after_ms(2));
}

/* A waiter that gives up may not be handed the lock, also when it has not run yet since its time
 * was up. */
static int body_mutex_timeout(void *arg)
{
    struct shared *s = arg;
    rt_mutex_init(&s->mu);
    CHECK_EQ(rt_mutex_lock(&s->mu, RT_NEVER), 0);
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, lock_for_short, s), 0);
    CHECK_EQ(rt_sleep_until(rt_after_ms(2)), 0);
    CHECK_EQ(rt_go(&g, critical, s), 0);
    usleep(3000);
    rt_yield();
    CHECK_EQ(rt_sleep_until(rt_after_ms(1)), 0);
    rt_mutex_unlock(&s->mu);
    CHECK_EQ(rt_group_wait(&g, 0), -KT_ERR_TIMEOUT);
    CHECK_EQ(s->done, 1);
    CHECK(s->mu.owner == NULL);
    return 0;
}

static void mutex_skips_who_gave_up(void **state)
{
    (void)state;
    struct shared s = {0};
    run_on(1, body_mutex_timeout, &s);
}

static int wait_cond(void *arg)
{
    struct shared *s = arg;
    int rc = rt_cond_wait(&s->cond, rt_after_ms(10000));
    if (rc == 0)
        s->done++;
    return rc;
}

static int body_cond(void *arg)
{
    struct shared *s = arg;
    rt_cond_init(&s->cond);
    struct rt_group g;
    rt_group_open(&g);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(rt_go(&g, wait_cond, s), 0);
    rt_yield();
    rt_cond_signal(&s->cond);
    rt_yield();
    CHECK_EQ(s->done, 1);
    rt_cond_broadcast(&s->cond);
    rt_yield();
    CHECK_EQ(s->done, 5);
    CHECK_EQ(rt_cond_wait(&s->cond, rt_after_ms(1)), -KT_ERR_TIMEOUT);
    rt_cond_signal(&s->cond); /* nobody waits: not kept */
    CHECK_EQ(rt_cond_wait(&s->cond, rt_after_ms(1)), -KT_ERR_TIMEOUT);
    return rt_group_wait(&g, 0);
}

static void cond_wakes_one_or_all(void **state)
{
    (void)state;
    struct shared s = {0};
    run_on(1, body_cond, &s);
}

static int take_sem(void *arg)
{
    struct shared *s = arg;
    CHECK_EQ(rt_sem_take(&s->sem, RT_NEVER), 0);
    s->inside++;
    s->max_inside = KT_MAX(s->max_inside, s->inside);
    CHECK_EQ(rt_sleep_until(rt_now_ns() + 200000), 0);
    s->inside--;
    rt_sem_give(&s->sem);
    return 0;
}

static int body_sem(void *arg)
{
    struct shared *s = arg;
    rt_sem_init(&s->sem, 3);
    struct rt_group g;
    rt_group_open(&g);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(rt_go(&g, take_sem, s), 0);
    CHECK_EQ(rt_group_wait(&g, 0), 0);
    CHECK_EQ(s->max_inside, 3);
    CHECK_EQ(s->sem.free, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rt_sem_take(&s->sem, 0), 0);
    CHECK_EQ(rt_sem_take(&s->sem, rt_after_ms(1)), -KT_ERR_TIMEOUT);
    rt_sem_give(&s->sem);
    CHECK_EQ(s->sem.free, 1); /* the permit was not lost to the waiter that gave up */
    return 0;
}

static void sem_bounds(void **state)
{
    (void)state;
    struct shared s = {0};
    run_on(1, body_sem, &s);
}

static int body_no_yield(void *arg)
{
    (void)arg;
    CHECK(rt_may_yield());
    rt_no_yield_begin();
    rt_no_yield_begin();
    rt_no_yield_end();
    CHECK(!rt_may_yield());
    rt_no_yield_end();
    CHECK(rt_may_yield());
    return 0;
}

static void no_yield_sections_nest(void **state)
{
    (void)state;
    run_on(1, body_no_yield, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutex_excludes),         cmocka_unit_test(mutex_skips_who_gave_up),
        cmocka_unit_test(cond_wakes_one_or_all),  cmocka_unit_test(sem_bounds),
        cmocka_unit_test(no_yield_sections_nest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
