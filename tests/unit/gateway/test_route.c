/* The table of paths, methods and parameters, and the names that buckets may have. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "gateway/route.h"
#include <stdio.h>

static int parse(enum h1_method m, const char *target, struct route *r)
{
    struct slice path = slice_str(target), query = {0};
    ptrdiff_t mark = slice_find(path, '?');
    if (mark >= 0) {
        query = slice_sub(path, (size_t)mark + 1, path.len);
        path.len = (size_t)mark;
    }
    return route_parse(m, path, query, r);
}

static void test_operands_and_params(void **state)
{
    (void)state;
    struct route r;
    assert_int_equal(parse(H1_GET, "/blob/1f3a%2C4d2-0123456789abcdef", &r), 0);
    assert_int_equal(r.op, OP_BLOB_GET);
    assert_int_equal(r.id.vid, 0x1f3a);
    assert_int_equal(r.id.seq, 0x4d2);
    assert_true(r.id.cookie == 0x0123456789abcdef);
    assert_int_equal(parse(H1_POST, "/blob?bucket=a%2Db+c&ttl=5&", &r), 0);
    assert_slice_equal(r.param[PARAM_BUCKET], SLICE_LIT("a-b c"));
    assert_slice_equal(r.param[PARAM_TTL], SLICE_LIT("5"));
    assert_null(r.param[PARAM_KEY].p);
    assert_int_equal(parse(H1_DELETE, "/bucket/photos?with_contents", &r), 0);
    assert_string_equal(r.name, "photos");
    assert_non_null(r.param[PARAM_WITH_CONTENTS].p);
    assert_int_equal(parse(H1_DELETE, "/bucket/photos", &r), 0);
    assert_null(r.param[PARAM_WITH_CONTENTS].p);
}

static void test_refused(void **state)
{
    (void)state;
    struct route r;
    char longest[2048];
    assert_int_equal(parse(H1_GET, "/Blob/1,2-0123456789abcdef", &r), -KT_ERR_NO_ROUTE);
    assert_int_equal(parse(H1_GET, "//blob/1,2-0123456789abcdef", &r), -KT_ERR_NO_ROUTE);
    assert_int_equal(parse(H1_GET, "*", &r), -KT_ERR_NO_ROUTE);
    assert_int_equal(parse(H1_GET, "/batch/", &r), -KT_ERR_NO_ROUTE);
    assert_int_equal(parse(H1_GET, "/batch", &r), -KT_ERR_METHOD);
    assert_int_equal(parse(H1_POST, "/batch?bucket=a%", &r), -KT_ERR_INVALID);
    assert_int_equal(parse(H1_POST, "/batch?bucket=a&bucket=b", &r), -KT_ERR_INVALID);
    assert_int_equal(parse(H1_POST, "/batch?bucket&bucket", &r), -KT_ERR_INVALID);
    assert_int_equal(parse(H1_GET, "/status?x", &r), -KT_ERR_INVALID);
    snprintf(longest, sizeof(longest), "/blob?bucket=%01000d", 0);
    assert_int_equal(parse(H1_POST, longest, &r), -KT_ERR_INVALID);
    snprintf(longest, sizeof(longest), "/bucket/%01000d", 0);
    assert_int_equal(parse(H1_GET, longest, &r), -KT_ERR_INVALID);
    snprintf(longest, sizeof(longest), "/bucket/%064d", 0);
    assert_int_equal(parse(H1_GET, longest, &r), -KT_ERR_INVALID);
}

static void test_bucket_names(void **state)
{
    (void)state;
    static const char *const good[] = {"abc", "a-b", "1.2.3", "photos-2026", "1.2.3.4a"};
    static const char *const bad[] = {"",        "ab",     "Abc",    "a_b",        "-ab",
                                      "ab-",     ".ab",    "a..b",   "1.2.3.4",    "blob",
                                      "batch",   "bucket", "status", "health",     "metrics",
                                      "xn--abc", "a b",    "a/b",    "\xc3\xa9tat"};
    for (size_t i = 0; i < KT_ARRAY_LEN(good); i++)
        assert_true(bucket_name_ok(slice_str(good[i])));
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        if (bucket_name_ok(slice_str(bad[i])))
            fail_msg("accepted %s", bad[i]);
    char longest[65];
    memset(longest, 'a', 64);
    assert_true(bucket_name_ok(slice_of(longest, 63)));
    assert_false(bucket_name_ok(slice_of(longest, 64)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operands_and_params),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bucket_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
