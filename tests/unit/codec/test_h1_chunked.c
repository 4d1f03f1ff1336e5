/* h1_chunked: each body is decoded whole, in pieces of every size, and must come out the same. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "codec/h1.h"
#include <stdlib.h>

struct result {
    int rc; /* 1: end of body, 0: more needed, < 0 */
    size_t used, len;
    uint8_t data[4096];
};

static void decode(struct slice in, size_t piece, struct result *r)
{
    struct h1_chunked c;
    h1_chunked_init(&c);
    *r = (struct result){.rc = 0};
    while (r->rc == 0 && r->used < in.len) {
        struct slice part = slice_sub(in, r->used, piece), data;
        uint8_t *copy = malloc(part.len);
        memcpy(copy, part.p, part.len);
        size_t used = 0;
        r->rc = h1_chunked_feed(&c, slice_of(copy, part.len), &used, &data);
        if (r->rc >= 0) {
            assert_true(used > 0 && used <= part.len);
            if (data.len)
                memcpy(r->data + r->len, data.p, data.len);
            r->len += data.len;
            r->used += used;
        }
        free(copy);
    }
}

static void check(struct slice in, int rc, struct slice want, size_t rest)
{
    for (size_t piece = 1; piece <= in.len; piece = piece < 20 ? piece + 1 : piece * 2) {
        struct result r;
        decode(in, piece, &r);
        if (r.rc != rc)
            fail_msg("%d instead of %d in pieces of %zu: %.*s", r.rc, rc, piece, SLICE_ARG(in));
        if (rc < 0)
            continue;
        assert_true(slice_eq(slice_of(r.data, r.len), want));
        assert_int_equal(in.len - r.used, rest);
    }
}

static void test_bodies(void **state)
{
    (void)state;
    check(SLICE_LIT("5\r\nhello\r\n0\r\n\r\n"), 1, SLICE_LIT("hello"), 0);
    check(SLICE_LIT("5\r\nhello\r\n0\r\n\r\nGET / "), 1, SLICE_LIT("hello"), 6);
    check(SLICE_LIT("1\r\na\r\n00a\r\n0123456789\r\n000\r\n\r\n"), 1, SLICE_LIT("a0123456789"), 0);
    check(SLICE_LIT("A;x=\"y\"; z\r\n0123456789\r\n0;last\r\n\r\n"), 1, SLICE_LIT("0123456789"), 0);
    check(SLICE_LIT("0\r\nX-A: b\r\ny:\r\n\r\n"), 1, SLICE_LIT(""), 0);
    check(SLICE_LIT("5\r\nhel"), 0, SLICE_LIT("hel"), 0);
    check(SLICE_LIT("0\r\n"), 0, SLICE_LIT(""), 0);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "g\r\n",
        "-1\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloXX\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "8000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;\x01\r\nhello\r\n0\r\n\r\n",
        "5,a\r\nhello\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: \x7f\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "0\r\n\rX",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++)
        check(slice_str(cases[i]), -KT_ERR_PROTO, SLICE_LIT(""), 0);
}

/* A body of `n` chunks of one byte, each with an extension of `ext` bytes (its ';' not counted). */
static struct slice with_extensions(int n, size_t ext)
{
    static uint8_t text[8192];
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        memcpy(text + at, "1;", 2), at += 2;
        memset(text + at, 'e', ext), at += ext;
        memcpy(text + at, "\r\nx\r\n", 5), at += 5;
    }
    memcpy(text + at, "0\r\n\r\n", 5);
    return slice_of(text, at + 5);
}

static void test_bounds(void **state)
{
    (void)state;
    /* An extension is counted up to and with its CR. */
    check(with_extensions(1, 255), 1, SLICE_LIT("x"), 0);
    check(with_extensions(1, 256), -KT_ERR_PROTO, SLICE_LIT(""), 0);
    check(with_extensions(2, 127), 1, SLICE_LIT("xx"), 0);
    check(with_extensions(2, 128), -KT_ERR_PROTO, SLICE_LIT(""), 0);

    static uint8_t text[8192];
    memcpy(text, "0\r\nx:", 5);
    memset(text + 5, 'y', 4092);
    memcpy(text + 5 + 4092, "\r\n\r\n", 4);
    /* The trailer bytes counted are the name, ':', the value and each line's CR. */
    check(slice_of(text, 5 + 4092 + 4), 1, SLICE_LIT(""), 0);
    memset(text + 5, 'y', 4093);
    memcpy(text + 5 + 4093, "\r\n\r\n", 4);
    check(slice_of(text, 5 + 4093 + 4), -KT_ERR_PROTO, SLICE_LIT(""), 0);
}

static void test_data_left(void **state)
{
    (void)state;
    struct h1_chunked c;
    size_t used;
    struct slice data;
    h1_chunked_init(&c);
    assert_int_equal(h1_chunked_data_left(&c), 0);
    assert_int_equal(h1_chunked_feed(&c, SLICE_LIT("10\r\nab"), &used, &data), 0);
    assert_int_equal(data.len, 2);
    assert_int_equal(h1_chunked_data_left(&c), 14);
    assert_int_equal(h1_chunked_feed(&c, SLICE_LIT("0123456789abcd"), &used, &data), 0);
    assert_int_equal(data.len, 14);
    assert_int_equal(h1_chunked_data_left(&c), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_data_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
