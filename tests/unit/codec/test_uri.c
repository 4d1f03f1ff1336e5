/* uri: decoding once and strictly, and AWS's canonical forms. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "codec/uri.h"

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        struct slice in;
        bool plus;
        ssize_t len;
        const char *out;
    } cases[] = {
        {SLICE_LIT("/a%20b"), false, 4, "/a b"},
        {SLICE_LIT("a+b%2b"), true, 4, "a b+"},
        {SLICE_LIT("a+b"), false, 3, "a+b"},
        {SLICE_LIT("%252e"), false, 3, "%2e"},
        {SLICE_LIT("%00"), false, 1, ""},
        {SLICE_LIT("..%2F..%2f%c3%A9"), false, 8, "../../\xc3\xa9"},
        {SLICE_LIT(""), false, 0, ""},
        {SLICE_LIT("%"), false, -1, NULL},
        {SLICE_LIT("%2"), false, -1, NULL},
        {SLICE_LIT("a%2"), false, -1, NULL},
        {SLICE_LIT("%g0"), false, -1, NULL},
        {SLICE_LIT("%0g"), false, -1, NULL},
        {SLICE_LIT("%u0041"), false, -1, NULL},
        {SLICE_LIT("%%41"), false, -1, NULL},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        uint8_t out[32];
        ssize_t n = uri_decode(cases[i].in, cases[i].plus, out);
        if (cases[i].len < 0) {
            assert_int_equal(n, -KT_ERR_INVALID);
            continue;
        }
        assert_int_equal(n, cases[i].len);
        assert_memory_equal(out, cases[i].out, (size_t)n);
    }
}

static void test_encode_every_byte(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        uint8_t in = (uint8_t)b, back[3];
        char out[3];
        size_t n = uri_encode(slice_of(&in, 1), false, out);
        bool kept = (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') ||
                    (b != 0 && strchr("-._~", (int)b));
        assert_int_equal(n, kept ? 1 : 3);
        for (size_t i = 1; i < n; i++)
            assert_false(out[i] >= 'a' && out[i] <= 'f');
        assert_int_equal(uri_decode(slice_of(out, n), false, back), 1);
        assert_int_equal(back[0], b);
    }
    char out[12];
    assert_int_equal(uri_encode(SLICE_LIT("a/b"), true, out), 3);
    assert_int_equal(uri_encode(SLICE_LIT("a/b"), false, out), 5);
    assert_memory_equal(out, "a%2Fb", 5);
}

static void test_query(void **state)
{
    (void)state;
    struct uri_query q = uri_query_of(SLICE_LIT("&&a=1&b&=c&d=e=f&g=&"));
    static const struct {
        const char *name, *value;
    } want[] = {{"a", "1"}, {"b", NULL}, {"", "c"}, {"d", "e=f"}, {"g", ""}};
    struct slice name, value;
    for (size_t i = 0; i < KT_ARRAY_LEN(want); i++) {
        assert_true(uri_query_next(&q, &name, &value));
        assert_true(slice_eq(name, slice_str(want[i].name)));
        assert_int_equal(value.p == NULL, want[i].value == NULL);
        assert_true(slice_eq(value, slice_str(want[i].value ? want[i].value : "")));
    }
    assert_false(uri_query_next(&q, &name, &value));
}

static void check_canonical(const char *query, const char *skip, const char *want)
{
    struct buf out KT_CLEANUP(buf_done) = BUF_INIT(4096);
    assert_int_equal(uri_canonical_query(slice_str(query), slice_str(skip), &out), 0);
    if (!slice_eq(buf_slice(&out), slice_str(want)))
        fail_msg("%s: %.*s instead of %s", query, SLICE_ARG(buf_slice(&out)), want);
}

static void test_canonical(void **state)
{
    (void)state;
    check_canonical("", "", "");
    check_canonical("b=2&a=1", "", "a=1&b=2");
    check_canonical("a=2&a=1&a", "", "a=&a=1&a=2");
    check_canonical("prefix=a/b&marker=%7e%c3%a9", "", "marker=~%C3%A9&prefix=a%2Fb");
    check_canonical("acl", "", "acl=");
    check_canonical("a=x+y%20z", "", "a=x%2By%20z");
    check_canonical("a=1&X-Amz-Signature=s&b=2", "X-Amz-Signature", "a=1&b=2");
    /* Sorted by encoded bytes: '%' comes before letters. */
    check_canonical("a=1&%21=2&ab=3", "", "%21=2&a=1&ab=3");

    struct buf out KT_CLEANUP(buf_done) = BUF_INIT(4096);
    assert_int_equal(uri_canonical_path(SLICE_LIT("/a%2fb/%7e+c//../d"), &out), 0);
    assert_true(slice_eq(buf_slice(&out), SLICE_LIT("/a/b/~%2Bc//../d")));
    assert_int_equal(uri_canonical_path(SLICE_LIT("/%zz"), &out), -KT_ERR_INVALID);
    assert_int_equal(uri_canonical_query(SLICE_LIT("a=%f"), SLICE_LIT(""), &out), -KT_ERR_INVALID);
}

static void test_canonical_bounds(void **state)
{
    (void)state;
    char many[2 * (URI_QUERY_PARAMS_MAX + 1)];
    for (size_t i = 0; i < sizeof(many); i += 2)
        memcpy(many + i, "a&", 2);
    struct buf out KT_CLEANUP(buf_done) = BUF_INIT(4096);
    assert_int_equal(uri_canonical_query(slice_of(many, sizeof(many) - 2), SLICE_LIT(""), &out), 0);
    assert_int_equal(uri_canonical_query(slice_of(many, sizeof(many)), SLICE_LIT(""), &out),
                     -KT_ERR_INVALID);
    struct buf small KT_CLEANUP(buf_done) = BUF_INIT(8);
    assert_int_equal(uri_canonical_query(SLICE_LIT("a=123456789"), SLICE_LIT(""), &small),
                     -KT_ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_encode_every_byte),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_canonical_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
