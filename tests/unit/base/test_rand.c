/* rand: the published sequence, bounds, and rough uniformity. */
#include "tests/lib/unit.h"

#include "base/rand.h"
#include <math.h>

/* splitmix64 from 1234567 (the generator's published check values). */
static void splitmix_vectors(void **state)
{
    (void)state;
    uint64_t s = 1234567;
    assert_true(rand_splitmix(&s) == UINT64_C(6457827717110365317));
    assert_true(rand_splitmix(&s) == UINT64_C(3203168211198807973));
    assert_true(rand_splitmix(&s) == UINT64_C(9817491932198370423));
}

/* From the state {1, 2, 3, 4}, as the reference implementation gives it. */
static void xoshiro_vectors(void **state)
{
    (void)state;
    struct rand_state r = {{1, 2, 3, 4}};
    assert_true(rand_u64(&r) == 11520);
    assert_true(rand_u64(&r) == 0);
    assert_true(rand_u64(&r) == 1509978240);
    assert_true(rand_u64(&r) == UINT64_C(1215971899390074240));
}

static void same_seed_same_sequence(void **state)
{
    (void)state;
    struct rand_state a, b, c;
    rand_init(&a, 5);
    rand_init(&b, 5);
    rand_init(&c, 6);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t v = rand_u64(&a);
        assert_true(v == rand_u64(&b));
        differ += v != rand_u64(&c);
    }
    assert_int_equal(differ, 100);
}

static void below_is_in_range_and_even(void **state)
{
    (void)state;
    struct rand_state r;
    uint32_t seen[7] = {0};
    rand_init(&r, 1);
    for (int i = 0; i < 70000; i++)
        seen[rand_below(&r, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_true(rand_below(&r, 1) == 0);
    for (int i = 0; i < 1000; i++)
        assert_true(rand_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void unit_and_exponential(void **state)
{
    (void)state;
    struct rand_state r;
    double sum = 0, esum = 0;
    rand_init(&r, 2);
    for (int i = 0; i < 100000; i++) {
        double u = rand_unit(&r), e = rand_exp(&r, 10);
        assert_true(u >= 0 && u < 1 && e >= 0);
        sum += u;
        esum += e;
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.01);
    assert_true(fabs(esum / 100000 - 10) < 0.3);
}

static void fill_writes_exactly(void **state)
{
    (void)state;
    struct rand_state r;
    for (size_t len = 0; len < 30; len++) {
        uint8_t b[32];
        memset(b, 0xee, sizeof(b));
        rand_init(&r, 9);
        rand_fill(&r, b, len);
        for (size_t i = len; i < 32; i++)
            assert_int_equal(b[i], 0xee);
        rand_init(&r, 9);
        uint64_t v = rand_u64(&r);
        assert_memory_equal(b, &v, len < 8 ? len : 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splitmix_vectors),        cmocka_unit_test(xoshiro_vectors),
        cmocka_unit_test(same_seed_same_sequence), cmocka_unit_test(below_is_in_range_and_even),
        cmocka_unit_test(unit_and_exponential),    cmocka_unit_test(fill_writes_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
