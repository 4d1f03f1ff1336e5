/* hist: error bound, extremes, percentiles against sorting, merging. */
#include "tests/lib/unit.h"

#include "base/hist.h"
#include "base/rand.h"
#include <stdlib.h>

static struct hist h, other; /* too large for a stack */

static void each_value_alone_is_reported_exactly(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        for (int64_t d = -1; d <= 1; d++) {
            uint64_t v = (UINT64_C(1) << bit) + (uint64_t)d;
            hist_init(&h);
            hist_record(&h, v);
            assert_true(hist_percentile(&h, 50) == v && h.min == v && h.max == v);
        }
    }
}

/* A larger maximum beside it, so that rounding up shows. */
static void rounding_up_is_bounded(void **state)
{
    (void)state;
    struct rand_state r;
    rand_init(&r, 4);
    for (int i = 0; i < 20000; i++) {
        uint64_t v = rand_u64(&r) >> (1 + rand_below(&r, 63));
        hist_init(&h);
        hist_record(&h, v);
        hist_record(&h, UINT64_MAX);
        uint64_t got = hist_percentile(&h, 50);
        assert_true(got >= v);
        assert_true(got - v <= v / 32);
        assert_true(v >= 64 || got == v);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_match_sorted_values(void **state)
{
    (void)state;
    static uint64_t values[5000];
    static const double percents[] = {0, 1, 25, 50, 90, 99, 99.9, 99.99, 100};
    struct rand_state r;
    rand_init(&r, 11);
    hist_init(&h);
    for (int i = 0; i < 5000; i++) {
        values[i] = (uint64_t)rand_exp(&r, 1e6);
        hist_record(&h, values[i]);
    }
    qsort(values, 5000, sizeof(values[0]), by_value);
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        size_t rank = (size_t)(percents[i] / 100 * 5000 + 0.999999);
        uint64_t want = values[rank ? rank - 1 : 0];
        uint64_t got = hist_percentile(&h, percents[i]);
        assert_true(got >= want && got - want <= want / 32);
    }
    assert_true(hist_percentile(&h, 100) == values[4999]);
}

static void merging_is_recording_both(void **state)
{
    (void)state;
    hist_init(&h);
    hist_init(&other);
    hist_merge(&h, &other);
    assert_true(h.count == 0 && hist_percentile(&h, 99) == 0 && hist_mean(&h) == 0);
    hist_record_n(&h, 10, 3);
    hist_record(&other, 50);
    hist_record_n(&other, 7, 0);
    hist_merge(&h, &other);
    assert_true(h.count == 4 && h.sum == 80 && h.min == 10 && h.max == 50);
    assert_true(hist_mean(&h) == 20);
    assert_true(hist_percentile(&h, 75) == 10 && hist_percentile(&h, 76) == 50);
}

static void sums_saturate(void **state)
{
    (void)state;
    hist_init(&h);
    hist_record_n(&h, UINT64_MAX / 2, 3);
    hist_record(&h, 1);
    assert_true(h.sum == UINT64_MAX);
    assert_true(h.count == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_alone_is_reported_exactly),
        cmocka_unit_test(rounding_up_is_bounded),
        cmocka_unit_test(percentiles_match_sorted_values),
        cmocka_unit_test(merging_is_recording_both),
        cmocka_unit_test(sums_saturate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
