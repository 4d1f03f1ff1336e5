/* range: which ranges are served, ignored and refused. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "codec/range.h"

#define IGNORED 0
#define REFUSED (-KT_ERR_RANGE)

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t size;
        int rc;
        uint64_t first, len;
    } cases[] = {
        {"bytes=0-0", 10, 1, 0, 1},
        {"bytes=2-5", 10, 1, 2, 4},
        {"bytes=9-", 10, 1, 9, 1},
        {"bytes=0-", 10, 1, 0, 10},
        {"Bytes=5-100", 10, 1, 5, 5},
        {"bytes=-3", 10, 1, 7, 3},
        {"bytes=-10", 10, 1, 0, 10},
        {"bytes=-99999999999999999999999", 10, 1, 0, 10},
        {"bytes=1-99999999999999999999999", 10, 1, 1, 9},
        {"bytes= 1-2 ", 10, 1, 1, 2},
        {"bytes=,1-2,,", 10, 1, 1, 2},
        {"bytes=0-18446744073709551615", UINT64_MAX, 1, 0, UINT64_MAX},
        {"bytes=18446744073709551614-", UINT64_MAX, 1, UINT64_MAX - 1, 1},
        {"bytes=10-", 10, REFUSED, 0, 0},
        {"bytes=10-20", 10, REFUSED, 0, 0},
        {"bytes=99999999999999999999999-", 10, REFUSED, 0, 0},
        {"bytes=-0", 10, REFUSED, 0, 0},
        {"bytes=0-", 0, REFUSED, 0, 0},
        {"bytes=-5", 0, REFUSED, 0, 0},
        {"bytes=1-2,4-5", 10, IGNORED, 0, 0},
        {"bytes=5-2", 10, IGNORED, 0, 0},
        {"bytes=-", 10, IGNORED, 0, 0},
        {"bytes=", 10, IGNORED, 0, 0},
        {"bytes=,", 10, IGNORED, 0, 0},
        {"bytes 1-2", 10, IGNORED, 0, 0},
        {"bytes =1-2", 10, IGNORED, 0, 0},
        {"bytes=1 -2", 10, IGNORED, 0, 0},
        {"bytes=+1-2", 10, IGNORED, 0, 0},
        {"bytes=1-2-3", 10, IGNORED, 0, 0},
        {"bytes=--1", 10, IGNORED, 0, 0},
        {"bytes=0x1-2", 10, IGNORED, 0, 0},
        {"lines=1-2", 10, IGNORED, 0, 0},
        {"", 10, IGNORED, 0, 0},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct range r = {77, 77};
        int rc = range_parse(slice_str(cases[i].value), cases[i].size, &r);
        if (rc != cases[i].rc)
            fail_msg("%d instead of %d: %s", rc, cases[i].rc, cases[i].value);
        assert_int_equal(r.first, rc == 1 ? cases[i].first : 77);
        assert_int_equal(r.len, rc == 1 ? cases[i].len : 77);
    }
}

static void test_format(void **state)
{
    (void)state;
    char out[RANGE_TEXT_MAX];
    struct range r = {2, 4};
    assert_true(slice_eq(slice_of(out, range_format(&r, 10, out)), SLICE_LIT("bytes 2-5/10")));
    assert_true(slice_eq(slice_of(out, range_format(NULL, 10, out)), SLICE_LIT("bytes */10")));
    struct range big = {UINT64_MAX - 1, 1};
    assert_true(range_format(&big, UINT64_MAX, out) <= sizeof(out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges),
                                       cmocka_unit_test(test_format)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
