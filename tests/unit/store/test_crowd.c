/* Both loops at once: puts that roll over, reads, deletes and undeletes of many fibers, on small
 * volumes with small dead logs, so that seals, folds and index swaps happen while others look. Run
 * under TSan, this is what finds races. */
#include "store_test.h"

static char dir_a[64], dir_b[64];
static const char *dirs[2] = {dir_a, dir_b};
static struct store *store;

#define FIBERS 12
#define ROUNDS 60
static struct blobid ids[2][FIBERS][ROUNDS];

static uint32_t seed_of(int loop, uint32_t fiber, uint32_t round)
{
    return (uint32_t)loop * 100000 + fiber * 1000 + round;
}
static uint32_t size_of(uint32_t seed)
{
    return seed % 23 == 0 ? 70000 : seed * 37 % 6000;
}
/* Every third is deleted, every sixth taken back. */
static bool stays(uint32_t round)
{
    return round % 3 != 0 || round % 6 == 0;
}

static int member(void *arg)
{
    uint32_t fiber = (uint32_t)(uintptr_t)arg;
    int loop = rt_loop_index();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t seed = seed_of(loop, fiber, i);
        struct blobid *id = &ids[loop][fiber][i];
        *id = api_put(store, size_of(seed), seed);
        CHECK_EQ(api_get(store, id, size_of(seed), seed), 0);
        if (i % 3 == 0)
            CHECK_EQ(api_remove(store, id), 0);
        if (i % 6 == 0)
            CHECK_EQ(api_unremove(store, id), 0);
        uint32_t other = seed % (i + 1), before = seed_of(loop, fiber, other);
        CHECK_EQ(api_get(store, &ids[loop][fiber][other], size_of(before), before),
                 stays(other) ? 0 : -KT_ERR_NOT_FOUND);
    }
    return 0;
}

static int crowd_here(void *arg)
{
    (void)arg;
    struct rt_group g;
    rt_group_open(&g);
    int rc = 0;
    for (uint32_t i = 0; i < FIBERS && rc == 0; i++)
        rc = rt_go(&g, member, (void *)(uintptr_t)i);
    return rt_group_wait(&g, rc);
}
static int crowd_on(void *arg)
{
    return rt_call_on((int)(intptr_t)arg, crowd_here, NULL);
}

static void verify_all(void)
{
    for (int loop = 0; loop < 2; loop++) {
        for (uint32_t f = 0; f < FIBERS; f++) {
            for (uint32_t i = 0; i < ROUNDS; i++) {
                uint32_t seed = seed_of(loop, f, i);
                CHECK_EQ(api_get(store, &ids[loop][f][i], size_of(seed), seed),
                         stays(i) ? 0 : -KT_ERR_NOT_FOUND);
            }
        }
    }
}

static int work(void *arg)
{
    (void)arg;
    struct store_options o = {.dirs = dirs,
                              .ndirs = 2,
                              .volume_limit_bytes = 1u << 19,
                              .reserve_bytes = 1,
                              .dead_fold_bytes = 6000,
                              .check_ms = 5,
                              .idle_mark_ms = 3};
    struct rt_group g;
    store = store_must(&o);
    rt_group_open(&g);
    int rc = rt_go(&g, crowd_on, (void *)(intptr_t)0);
    if (rc == 0)
        rc = rt_go(&g, crowd_on, (void *)(intptr_t)1);
    CHECK_EQ(rt_group_wait(&g, rc), 0);
    verify_all();
    store_close(store);
    return 0;
}

static int again(void *arg)
{
    (void)arg;
    struct store_options o = {.dirs = dirs, .ndirs = 2, .reserve_bytes = 1};
    store = store_must(&o);
    verify_all();
    store_close(store);
    return 0;
}

static void test_two_loops(void **state)
{
    (void)state;
    tmp_make(dir_a);
    tmp_make(dir_b);
    run_on(2, work, NULL);
    run_on(2, again, NULL);
    tmp_remove(dir_a);
    tmp_remove(dir_b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_loops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
