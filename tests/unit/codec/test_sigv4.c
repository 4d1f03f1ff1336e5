/* sigv4 against signatures made by botocore, AWS's published S3 example, and claims that must be
 * refused. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "codec/sigv4.h"
#include "codec/uri.h"
#include <stdio.h>

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CRED "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/s3/aws4_request, "
#define SIG64 "0d548b7f2689618a227df17693cd40173350266480cb08e042259472c19e025c"

static struct h1_field field(const char *name, const char *value)
{
    return (struct h1_field){slice_str(name), slice_str(value)};
}

/* Parses, signs in `form`, and says whether the claim's own signature is the right one. */
static bool proves_with(const char *secret, const struct sigv4_request *rq,
                        const char *authorization, enum sigv4_form form)
{
    struct sigv4_claim c;
    uint8_t key[SIGV4_KEY_LEN];
    char hex[SIGV4_HEX_LEN];
    struct buf scratch = BUF_INIT(SIGV4_CANONICAL_MAX);
    assert_int_equal(sigv4_parse(rq, slice_str(authorization), &c), 0);
    sigv4_signing_key(slice_str(secret), c.date, c.region, key);
    assert_int_equal(sigv4_signature(rq, &c, form, key, &scratch, hex), 0);
    buf_done(&scratch);
    return slice_eq(c.signature, slice_of(hex, sizeof(hex)));
}

static bool proves(const struct sigv4_request *rq, const char *authorization, enum sigv4_form form)
{
    return proves_with(SECRET, rq, authorization, form);
}

static void test_botocore_get(void **state)
{
    (void)state;
    struct h1_field f[] = {field("Host", "127.0.0.1:9000"), field("X-Amz-Date", "20261123T010203Z"),
                           field("X-Amz-Content-SHA256", EMPTY)};
    struct sigv4_request rq = {"GET", SLICE_LIT("/blob/1f3a%2C4d2-0123456789abcdef"), {0}, f, 3};
    const char *auth = CRED "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" SIG64;
    assert_true(proves(&rq, auth, SIGV4_FORM_CANONICAL));
    /* The same name, sent without encoding the comma, is the same request. */
    rq.path = SLICE_LIT("/blob/1f3a,4d2-0123456789abcdef");
    assert_true(proves(&rq, auth, SIGV4_FORM_CANONICAL));
    assert_false(proves(&rq, auth, SIGV4_FORM_AS_SENT));
    rq.path = SLICE_LIT("/blob/1f3a,4d3-0123456789abcdef");
    assert_false(proves(&rq, auth, SIGV4_FORM_CANONICAL));
    rq.path = SLICE_LIT("/blob/1f3a,4d2-0123456789abcdef");
    rq.method = "DELETE";
    assert_false(proves(&rq, auth, SIGV4_FORM_CANONICAL));
}

static void test_botocore_put_query_and_blanks(void **state)
{
    (void)state;
    struct h1_field f[] = {
        field("Host", "127.0.0.1:9000"),
        field("Content-Type", "image/png"),
        field("x-amz-meta-note", "two  blanks  here"),
        field("X-Amz-Date", "20261123T010203Z"),
        field("X-Amz-Content-SHA256",
              "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    };
    struct sigv4_request rq = {"PUT", SLICE_LIT("/blob"),
                               SLICE_LIT("bucket=photos&ttl=60&b=x%20y%2Fz&b=a&flag"), f, 5};
    assert_true(proves(
        &rq,
        CRED "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-note, "
             "Signature=2dfeec1282505955f3a99081c40d9cbfb2a0144cdd371f1defa67b9b9f349362",
        SIGV4_FORM_CANONICAL));
}

static void test_botocore_odd_path(void **state)
{
    (void)state;
    struct h1_field f[] = {field("Host", "127.0.0.1:9000"), field("X-Amz-Date", "20261123T010203Z"),
                           field("X-Amz-Content-SHA256", EMPTY)};
    struct sigv4_request rq = {"DELETE", SLICE_LIT("/a%20b/%C3%A9~._-/c%2Bd"), {0}, f, 3};
    assert_true(proves(&rq,
                       CRED "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
                            "c365262aedeb813e653b72c899eac2549ef4c2887e8073766d4da568681b89d5",
                       SIGV4_FORM_CANONICAL));
}

/* "GET Object" of the Amazon S3 API reference. */
static void test_published_example(void **state)
{
    (void)state;
    struct h1_field f[] = {field("Host", "examplebucket.s3.amazonaws.com"),
                           field("Range", "bytes=0-9"), field("x-amz-content-sha256", EMPTY),
                           field("x-amz-date", "20130524T000000Z")};
    struct sigv4_request rq = {"GET", SLICE_LIT("/test.txt"), {0}, f, 4};
    const char *auth = "AWS4-HMAC-SHA256 "
                       "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                       "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature="
                       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
    assert_true(
        proves_with("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", &rq, auth, SIGV4_FORM_CANONICAL));
    struct sigv4_claim c;
    assert_int_equal(sigv4_parse(&rq, slice_str(auth), &c), 0);
    assert_int_equal(c.time_s, 1369353600);
    assert_int_equal(c.payload, SIGV4_PAYLOAD_SHA256);
}

static void test_time(void **state)
{
    (void)state;
    struct sigv4_claim c = {.time_s = 1000000};
    assert_int_equal(sigv4_check_time(&c, 1000000 + SIGV4_SKEW_S), 0);
    assert_int_equal(sigv4_check_time(&c, 1000000 - SIGV4_SKEW_S), 0);
    assert_int_equal(sigv4_check_time(&c, 1000001 + SIGV4_SKEW_S), -KT_ERR_CLOCK_SKEW);
    assert_int_equal(sigv4_check_time(&c, 999999 - SIGV4_SKEW_S), -KT_ERR_CLOCK_SKEW);
}

static int parse_with(struct h1_field *f, int n, const char *authorization)
{
    struct sigv4_request rq = {"GET", SLICE_LIT("/"), {0}, f, n};
    struct sigv4_claim c;
    return sigv4_parse(&rq, slice_str(authorization), &c);
}

static void test_malformed_claims(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA512 Credential=a/20261123/r/s3/aws4_request",
        "AWS4-HMAC-SHA256Credential=a/20261123/r/s3/aws4_request, SignedHeaders=host, "
        "Signature=" SIG64,
        CRED "SignedHeaders=host;x-amz-date",
        CRED "Signature=" SIG64,
        CRED "SignedHeaders=host;x-amz-date, Signature=",
        CRED "SignedHeaders=host;x-amz-date, Signature=00",
        CRED
        "SignedHeaders=host;x-amz-date, Signature=0D548b7f2689618a227df17693cd40173350266480cb08e0"
        "42259472c19e025c",
        CRED "SignedHeaders=host;x-amz-date, Signature=" SIG64 ", Signature=" SIG64,
        CRED "SignedHeaders=host;x-amz-date, Signature=" SIG64 ", Extra=1",
        CRED "SignedHeaders=x-amz-date;host, Signature=" SIG64,
        CRED "SignedHeaders=host;host;x-amz-date, Signature=" SIG64,
        CRED "SignedHeaders=Host;x-amz-date, Signature=" SIG64,
        CRED "SignedHeaders=host;;x-amz-date, Signature=" SIG64,
        CRED "SignedHeaders=host;not-sent;x-amz-date, Signature=" SIG64,
        "AWS4-HMAC-SHA256 Credential=A/20261123/r/s3, SignedHeaders=host;x-amz-date, "
        "Signature=" SIG64,
        "AWS4-HMAC-SHA256 Credential=A/20261123/r/s3/aws4_request/x, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=" SIG64,
        "AWS4-HMAC-SHA256 Credential=/20261123/r/s3/aws4_request, SignedHeaders=host;x-amz-date, "
        "Signature=" SIG64,
        "AWS4-HMAC-SHA256 Credential=A/20261123/r/iam/aws4_request, SignedHeaders=host;x-amz-date, "
        "Signature=" SIG64,
        "AWS4-HMAC-SHA256 Credential=A/20261122/r/s3/aws4_request, SignedHeaders=host;x-amz-date, "
        "Signature=" SIG64,
    };
    struct h1_field f[] = {field("host", "h"), field("x-amz-date", "20261123T010203Z")};
    assert_int_equal(parse_with(f, 2, CRED "SignedHeaders=host;x-amz-date, Signature=" SIG64), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        if (parse_with(f, 2, bad[i]) != -KT_ERR_INVALID)
            fail_msg("accepted: %s", bad[i]);
}

static void test_bad_timestamps(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "20261123",
                                      "20261123T010203",
                                      "20261123 010203Z",
                                      "20261323T010203Z",
                                      "20261132T010203Z",
                                      "20261123T240203Z",
                                      "2026112xT010203Z",
                                      "20261123T010203Zx"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct h1_field f[] = {field("host", "h"), field("x-amz-date", bad[i])};
        assert_int_equal(parse_with(f, 2, CRED "SignedHeaders=host;x-amz-date, Signature=" SIG64),
                         -KT_ERR_INVALID);
    }
    struct h1_field none[] = {field("host", "h")};
    assert_int_equal(parse_with(none, 1, CRED "SignedHeaders=host, Signature=" SIG64),
                     -KT_ERR_INVALID);
}

static void test_coverage(void **state)
{
    (void)state;
    struct h1_field f[] = {field("host", "h"), field("x-amz-date", "20261123T010203Z"),
                           field("X-Amz-Copy-Source", "/other/secret")};
    assert_int_equal(parse_with(f, 3, CRED "SignedHeaders=host;x-amz-date, Signature=" SIG64),
                     -KT_ERR_DENIED);
    assert_int_equal(parse_with(f, 2, CRED "SignedHeaders=x-amz-date, Signature=" SIG64),
                     -KT_ERR_DENIED);
    f[2] = field("x-amz-date", "20261123T010204Z");
    assert_int_equal(parse_with(f, 3, CRED "SignedHeaders=host;x-amz-date, Signature=" SIG64),
                     -KT_ERR_INVALID);
    f[2] = field("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    assert_int_equal(parse_with(f, 3,
                                CRED "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
                                     "Signature=" SIG64),
                     -KT_ERR_INVALID);
    f[2] = field("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert_int_equal(parse_with(f, 3,
                                CRED "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
                                     "Signature=" SIG64),
                     0);
}

static void test_canonical_bounds(void **state)
{
    (void)state;
    struct h1_field f[] = {field("host", "h"), field("x-amz-date", "20261123T010203Z")};
    struct sigv4_request rq = {"GET", SLICE_LIT("/%zz"), {0}, f, 2};
    struct sigv4_claim c;
    struct buf out = BUF_INIT(SIGV4_CANONICAL_MAX);
    assert_int_equal(
        sigv4_parse(&rq, SLICE_LIT(CRED "SignedHeaders=host;x-amz-date, Signature=" SIG64), &c), 0);
    assert_int_equal(sigv4_canonical(&rq, &c, SIGV4_FORM_CANONICAL, &out), -KT_ERR_INVALID);
    rq.path = SLICE_LIT("/%4");
    assert_int_equal(sigv4_canonical(&rq, &c, SIGV4_FORM_CANONICAL, &out), -KT_ERR_INVALID);
    char many[2 * (URI_QUERY_PARAMS_MAX + 1)];
    for (size_t i = 0; i < sizeof(many); i += 2)
        memcpy(many + i, "a&", 2);
    rq.path = SLICE_LIT("/");
    rq.query = slice_of(many, sizeof(many));
    assert_int_equal(sigv4_canonical(&rq, &c, SIGV4_FORM_CANONICAL, &out), -KT_ERR_INVALID);
    buf_done(&out);
    struct buf tiny = BUF_INIT(8);
    assert_int_equal(sigv4_canonical(&rq, &c, SIGV4_FORM_AS_SENT, &tiny), -KT_ERR_TOO_LARGE);
    buf_done(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_botocore_get),
        cmocka_unit_test(test_botocore_put_query_and_blanks),
        cmocka_unit_test(test_botocore_odd_path),
        cmocka_unit_test(test_published_example),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_malformed_claims),
        cmocka_unit_test(test_bad_timestamps),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_canonical_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
