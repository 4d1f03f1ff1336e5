/* h1: every head is parsed whole and byte by byte, and both must say the same. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "codec/h1.h"
#include <stdlib.h>

static const struct h1_limits limits = {1024, 256, 8};

/* The verdict on `in` when it arrives one byte at a time; sets *ret when the head is whole. */
static ssize_t parse_bytewise(struct slice in, struct h1_head *ret)
{
    size_t scanned = 0;
    for (size_t have = 1; have <= in.len; have++) {
        /* A copy of its own length lets the sanitizers see any read past the bytes that have come.
         */
        uint8_t *copy = malloc(have);
        memcpy(copy, in.p, have);
        ssize_t n = h1_parse_head(slice_of(copy, have), &limits, &scanned, ret);
        free(copy);
        if (n != 0)
            return n;
    }
    return 0;
}

static ssize_t parse(struct slice in, struct h1_head *ret)
{
    struct h1_head other;
    size_t scanned = 0;
    ssize_t whole = h1_parse_head(in, &limits, &scanned, ret);
    ssize_t bytewise = parse_bytewise(in, &other);
    if (whole != bytewise)
        fail_msg("whole %zd, byte by byte %zd: %.*s", whole, bytewise, SLICE_ARG(in));
    return whole;
}

#define HOST "Host: h\r\n"

static void test_accepts(void **state)
{
    (void)state;
    struct h1_head h;
    struct slice in = SLICE_LIT("GET /a%20b?x=1&y HTTP/1.1\r\nHost: example.com:9000\r\n"
                                "X-Meta:\t caf\xc3\xa9 \r\nempty:\r\n\r\nrest");
    assert_int_equal(parse(in, &h), in.len - 4);
    assert_int_equal(h.method, H1_GET);
    assert_true(slice_eq(h.target, SLICE_LIT("/a%20b?x=1&y")));
    assert_true(slice_eq(h.path, SLICE_LIT("/a%20b")));
    assert_true(slice_eq(h.query, SLICE_LIT("x=1&y")));
    assert_true(h.has_query);
    assert_true(slice_eq(h.host, SLICE_LIT("example.com:9000")));
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.body_len, 0);
    assert_true(h.keep_alive);
    assert_false(h.expect_continue);
    assert_int_equal(h.nfields, 3);
    assert_true(slice_eq(h.fields[1].name, SLICE_LIT("X-Meta")));
    assert_true(slice_eq(h.fields[1].value, SLICE_LIT("caf\xc3\xa9")));
    assert_int_equal(h.fields[2].value.len, 0);
    assert_ptr_equal(h1_find(h.fields, h.nfields, "x-meta"), &h.fields[1]);
    assert_null(h1_find(h.fields, h.nfields, "x-met"));
}

struct accept_case {
    const char *in, *path;
    enum h1_method method;
    uint64_t body_len;
    bool keep_alive, expect_continue, has_query;
};

static void test_framing(void **state)
{
    (void)state;
    static const struct accept_case cases[] = {
        {"PUT /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", "/x", H1_PUT, 5, true, false,
         false},
        {"PUT /x HTTP/1.1\r\n" HOST "cOnTeNt-lEnGtH:0005\r\n\r\n", "/x", H1_PUT, 5, true, false,
         false},
        {"PUT /x HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n", "/x", H1_PUT,
         INT64_MAX, true, false, false},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", "/", H1_POST,
         H1_LEN_CHUNKED, true, false, false},
        {"DELETE /? HTTP/1.1\r\n" HOST "Connection: x , CLOSE\r\n\r\n", "/", H1_DELETE, 0, false,
         false, true},
        {"HEAD / HTTP/1.0\r\n\r\n", "/", H1_HEAD, 0, false, false, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", H1_GET, 0, true, false, false},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "*", H1_OPTIONS, 0, true, false, false},
        {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "/", H1_GET, 0, true, false, false},
        {"GET http://H/p?q HTTP/1.1\r\n" HOST "\r\n", "/p", H1_GET, 0, true, false, true},
        {"GET http://h?q HTTP/1.1\r\n" HOST "\r\n", "/", H1_GET, 0, true, false, true},
        {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "/", H1_GET, 0, true, false, false},
        {"PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "/", H1_PUT,
         1, true, true, false},
        {"PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n", "/", H1_PUT, 0, true, false,
         false},
        {"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "/", H1_PUT, 1,
         false, false, false},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        const struct accept_case *c = &cases[i];
        struct h1_head h;
        struct slice in = slice_str(c->in);
        assert_int_equal(parse(in, &h), in.len);
        assert_int_equal(h.method, c->method);
        assert_true(slice_eq(h.path, slice_str(c->path)));
        assert_int_equal(h.body_len, c->body_len);
        assert_int_equal(h.keep_alive, c->keep_alive);
        assert_int_equal(h.expect_continue, c->expect_continue);
        assert_int_equal(h.has_query, c->has_query);
    }
}

struct reject_case {
    int code;
    struct slice in;
};
#define REJECT(code, text)                                                                         \
    {                                                                                              \
        KT_ERR_##code, SLICE_LIT(text)                                                             \
    }
#define GET11 "GET / HTTP/1.1\r\n"

static const struct reject_case rejects[] = {
    /* request line */
    REJECT(PROTO, " GET / HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET  / HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET /  HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET / HTTP/1.1 \r\n" HOST "\r\n"),
    REJECT(PROTO, "GET /\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET / http/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET / HTTP/11\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET / HTTP/1.1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET /#f HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET /a\x00b HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET a HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET * HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET http:///x HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET http://u@h/x HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "GET http://other/x HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "\x16\x03\x01 TLS"),
    REJECT(PROTO, "G@T / HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "\rGET / HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(PROTO, "\nGET / HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(UNSUPPORTED, "GET / HTTP/2.0\r\n" HOST "\r\n"),
    REJECT(UNSUPPORTED, "GET / HTTP/1.2\r\n" HOST "\r\n"),
    REJECT(UNSUPPORTED, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    REJECT(METHOD, "CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(METHOD, "TRACE / HTTP/1.1\r\n" HOST "\r\n"),
    REJECT(METHOD, "get / HTTP/1.1\r\n" HOST "\r\n"),
    /* lines */
    REJECT(PROTO, "GET / HTTP/1.1\n" HOST "\r\n"),
    REJECT(PROTO, GET11 "Host: h\n\r\n"),
    REJECT(PROTO, GET11 HOST "a: b\rc: d\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "a: b\r\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "a: b\r\n c\r\n\r\n"),
    REJECT(PROTO, GET11 " " HOST "\r\n"),
    REJECT(PROTO, GET11 HOST "a : b\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "a\t: b\r\n\r\n"),
    REJECT(PROTO, GET11 HOST ": b\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "a\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "\xc3\xa9: b\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "a: \x01 and a long value\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "a: a long value and a\x7f in it\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "a: a NUL\x00 in a long value\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "(a): b\r\n\r\n"),
    /* Host */
    REJECT(PROTO, GET11 "\r\n"),
    REJECT(PROTO, GET11 HOST HOST "\r\n"),
    REJECT(PROTO, GET11 "Host:\r\n\r\n"),
    REJECT(PROTO, GET11 "Host: a b\r\n\r\n"),
    REJECT(PROTO, GET11 "Host: a/b\r\n\r\n"),
    REJECT(PROTO, GET11 "Host: u@h\r\n\r\n"),
    REJECT(PROTO, GET11 "Host: h:x\r\n\r\n"),
    REJECT(PROTO, GET11 "Host: h:99999\r\n\r\n"),
    REJECT(PROTO, GET11 "Host: :80\r\n\r\n"),
    REJECT(PROTO, GET11 "Host: [::1\r\n\r\n"),
    REJECT(PROTO, GET11 "Host: ::1]\r\n\r\n"),
    REJECT(PROTO, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
    /* body length */
    REJECT(PROTO, GET11 HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: 1, 1\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: +1\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: -1\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: 0x1\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: 1 1\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length:\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: 9223372036854775808\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: 18446744073709551616\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Content-Length: 00000000000000000001\r\n\r\n"),
    REJECT(UNSUPPORTED, GET11 HOST "Transfer-Encoding: gzip\r\n\r\n"),
    REJECT(UNSUPPORTED, GET11 HOST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    REJECT(UNSUPPORTED, GET11 HOST "Transfer-Encoding: identity, chunked\r\n\r\n"),
    REJECT(UNSUPPORTED, GET11 HOST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    REJECT(UNSUPPORTED, GET11 HOST "Transfer-Encoding:\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    REJECT(PROTO, GET11 HOST "Transfer-Encoding: \x0b"
                             "chunked\r\n\r\n"),
    REJECT(PROTO, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
    REJECT(EXPECTATION, GET11 HOST "Expect: 200-ok\r\n\r\n"),
    /* limits: 8 fields */
    REJECT(HEADER_TOO_BIG, GET11 HOST "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n"),
};

static void test_rejects(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(rejects); i++) {
        struct h1_head h;
        ssize_t rc = parse(rejects[i].in, &h);
        if (rc != -rejects[i].code)
            fail_msg("%s instead of %s: %.*s", rc < 0 ? err_name((int)rc) : "accepted",
                     err_name(rejects[i].code), SLICE_ARG(rejects[i].in));
    }
}

/* A head of `len` bytes in all: a target and one field of the given sizes. */
static struct slice sized_head(size_t target, size_t value)
{
    static uint8_t text[4096];
    size_t n = 0;
    memcpy(text + n, "GET /", 5), n += 5;
    memset(text + n, 'a', target - 1), n += target - 1;
    memcpy(text + n, " HTTP/1.1\r\nHost: h\r\nv: ", 23), n += 23;
    memset(text + n, 'b', value), n += value;
    memcpy(text + n, "\r\n\r\n", 4), n += 4;
    return slice_of(text, n);
}

static void test_limits(void **state)
{
    (void)state;
    struct h1_head h;
    assert_int_equal(parse(sized_head(256, 1), &h), 256 + 32);
    assert_int_equal(parse(sized_head(257, 1), &h), -KT_ERR_URI_TOO_LONG);
    assert_int_equal(parse(sized_head(2000, 1), &h), -KT_ERR_URI_TOO_LONG);
    assert_int_equal(parse(sized_head(1, 1024 - 32), &h), 1024);
    assert_int_equal(parse(sized_head(1, 1025 - 32), &h), -KT_ERR_HEADER_TOO_BIG);
    assert_int_equal(parse(sized_head(1, 3000), &h), -KT_ERR_HEADER_TOO_BIG);
}

/* The end of the head is searched once: a second call begins where the first one stopped. */
static void test_scanned(void **state)
{
    (void)state;
    struct h1_head h;
    struct slice in = SLICE_LIT(GET11 HOST "\r\n");
    size_t scanned = 0;
    assert_int_equal(h1_parse_head(slice_sub(in, 0, 20), &limits, &scanned, &h), 0);
    assert_int_equal(scanned, 20);
    assert_int_equal(h1_parse_head(in, &limits, &scanned, &h), in.len);
}

static void test_responses(void **state)
{
    (void)state;
    struct h1_response r;
    size_t scanned = 0;
    struct slice in = SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(h1_parse_response(in, &limits, false, &scanned, &r), in.len - 3);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_len, 3);
    assert_true(r.keep_alive);
    scanned = 0;
    assert_true(h1_parse_response(in, &limits, true, &scanned, &r) > 0);
    assert_int_equal(r.body_len, 0);

    static const struct {
        const char *in;
        int64_t rc; /* 1: parsed */
        uint64_t body_len;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 200\r\n\r\n", 1, H1_LEN_UNTIL_CLOSE, false},
        {"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", 1, H1_LEN_CHUNKED, true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 1, 1, false},
        {"HTTP/1.1 204 No\r\n\r\n", 1, 0, true},
        {"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", 1, 0, true},
        {"HTTP/1.1 100 Continue\r\n\r\n", 1, 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n", 1, 1, false},
        {"HTTP/1.1 20 OK\r\n\r\n", -KT_ERR_PROTO, 0, false},
        {"HTTP/1.1 099 OK\r\n\r\n", -KT_ERR_PROTO, 0, false},
        {"HTTP/1.1 2000 OK\r\n\r\n", -KT_ERR_PROTO, 0, false},
        {"HTTP/1.1 200 a\x01\r\n\r\n", -KT_ERR_PROTO, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         -KT_ERR_PROTO, 0, false},
        {"HTTP/3.0 200 OK\r\n\r\n", -KT_ERR_UNSUPPORTED, 0, false},
        {"ICY 200 OK\r\n\r\n", -KT_ERR_PROTO, 0, false},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct slice text = slice_str(cases[i].in);
        scanned = 0;
        ssize_t n = h1_parse_response(text, &limits, false, &scanned, &r);
        if (cases[i].rc < 0) {
            assert_int_equal(n, cases[i].rc);
            continue;
        }
        assert_int_equal(n, text.len);
        assert_int_equal(r.body_len, cases[i].body_len);
        assert_int_equal(r.keep_alive, cases[i].keep_alive);
    }
}

/* Every value byte alone and at every place of a long value. */
static void test_value_bytes(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        bool good = b == '\t' || (b >= 0x20 && b != 0x7f);
        for (size_t at = 0; at < 19; at++) {
            uint8_t text[19];
            memset(text, 'a', sizeof(text));
            text[at] = (uint8_t)b;
            assert_int_equal(h1_is_value(slice_of(text, sizeof(text))), good);
        }
    }
    assert_true(h1_is_value(slice_of(NULL, 0)));
    assert_false(h1_is_token(slice_of(NULL, 0)));
    assert_string_equal(h1_method_name(H1_DELETE), "DELETE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),     cmocka_unit_test(test_framing),
        cmocka_unit_test(test_rejects),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_scanned),     cmocka_unit_test(test_responses),
        cmocka_unit_test(test_value_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
