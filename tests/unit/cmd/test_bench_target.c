#include "tests/lib/unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "cmd/bench_target.h"
#include "codec/h1.h"
#include "codec/sigv4.h"
#include "rt/rt.h"

static const struct cmd_option options[] = {
    {"endpoint", CMD_TEXT, "X", "127.0.0.1:9000", "x"},
    {"target", CMD_TEXT, "X", "blob", "x"},
    {"bucket", CMD_TEXT, "X", "bench", "x"},
    {"prefix", CMD_TEXT, "X", "", "x"},
    {"access-key", CMD_TEXT, "X", "AKID", "x"},
    {"secret-key", CMD_TEXT, "X", "SECRET", "x"},
    {"region", CMD_TEXT, "X", "us-east-1", "x"},
    {0},
};
static const struct command command = {
    .name = "t", .operands = "", .options = options, .words_max = 0};

static int start_on_fiber(void *arg)
{
    return target_start(arg);
}

static int make(struct bench_target *t, int argc, char **argv)
{
    struct cmd_args args;
    struct rt_options opt = {.loops = 1, .workers = 1};
    int rc = cmd_parse(&command, argc, argv, &args);
    if (rc < 0)
        return rc;
    rc = target_init(&args, t);
    cmd_args_done(&args);
    return rc < 0 ? rc : rt_run(&opt, start_on_fiber, t);
}

#define MAKE(t, ...)                                                                               \
    make((t), (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__})

static const struct h1_limits limits = {KIB(16), KIB(8), 100};
static struct bench_target target;
static struct h1_head parsed;
static char head[TARGET_HEAD_MAX];

static void parse(enum target_op op, const struct bench_object *o, uint64_t body)
{
    size_t scanned = 0, len = target_head(&target, op, o, body, NULL, head);
    assert_true(len < sizeof(head));
    assert_int_equal(h1_parse_head(slice_of(head, len), &limits, &scanned, &parsed), (ssize_t)len);
}

static void blob_requests(void **state)
{
    (void)state;
    struct bench_object o = {.id = {0x1f, 0x2a, 0xabc}, .index = 1, .size = 5};
    assert_int_equal(MAKE(&target, "--bucket", "b"), 0);
    parse(OP_GET, &o, 0);
    assert_int_equal(parsed.method, H1_GET);
    assert_slice_equal(parsed.target, SLICE_LIT("/blob/1f,2a-0000000000000abc"));
    assert_slice_equal(parsed.host, SLICE_LIT("127.0.0.1:9000"));
    assert_null(h1_find(parsed.fields, parsed.nfields, "authorization"));
    assert_int_equal(parsed.body_len, 0);
    parse(OP_DELETE, &o, 0);
    assert_int_equal(parsed.method, H1_DELETE);
    assert_slice_equal(h1_find(parsed.fields, parsed.nfields, "authorization")->value,
                       SLICE_LIT("Bearer AKID:SECRET"));
    parse(OP_PUT, &o, 5);
    assert_int_equal(parsed.method, H1_POST);
    assert_slice_equal(parsed.target, SLICE_LIT("/blob?bucket=b"));
    assert_int_equal(parsed.body_len, 5);
    parse(OP_BATCH, &o, 1024);
    assert_int_equal(parsed.method, H1_PUT);
    assert_slice_equal(parsed.target, SLICE_LIT("/batch?bucket=b"));
}

static void raw_requests_carry_no_secret(void **state)
{
    (void)state;
    struct bench_object o = {.index = 255};
    assert_int_equal(MAKE(&target, "--target", "raw", "--prefix", "/x/"), 0);
    parse(OP_GET, &o, 0);
    assert_slice_equal(parsed.target, SLICE_LIT("/x/00000000000000ff"));
    assert_null(h1_find(parsed.fields, parsed.nfields, "authorization"));
    assert_int_equal(MAKE(&target, "--target", "raw"), -KT_ERR_INVALID);
}

/* The server's own checker must come to the same signature. */
static void check_signature(enum target_op op, const struct bench_object *o)
{
    struct buf scratch = BUF_INIT(SIGV4_CANONICAL_MAX);
    struct sigv4_claim claim;
    uint8_t key[SIGV4_KEY_LEN];
    char hex[SIGV4_HEX_LEN];
    parse(op, o, 10);
    struct sigv4_request rq = {.method = h1_method_name(parsed.method),
                               .path = parsed.path,
                               .query = parsed.query,
                               .fields = parsed.fields,
                               .nfields = parsed.nfields};
    struct slice auth = h1_find(parsed.fields, parsed.nfields, "authorization")->value;
    assert_int_equal(sigv4_parse(&rq, auth, &claim), 0);
    assert_slice_equal(claim.key_id, SLICE_LIT("AKID"));
    sigv4_signing_key(SLICE_LIT("SECRET"), claim.date, claim.region, key);
    assert_int_equal(sigv4_signature(&rq, &claim, SIGV4_FORM_CANONICAL, key, &scratch, hex), 0);
    assert_slice_equal(claim.signature, slice_of(hex, sizeof(hex)));
    assert_int_equal(sigv4_check_time(&claim, rt_wall_ns() / NS_PER_SEC), 0);
    buf_done(&scratch);
}

static void s3_signatures_verify(void **state)
{
    (void)state;
    struct bench_object o = {.index = 77};
    char sig[TARGET_SIG_LEN], again[TARGET_HEAD_MAX];
    assert_int_equal(MAKE(&target, "--target", "s3", "--prefix", "a/b-"), 0);
    check_signature(OP_GET, &o);
    assert_slice_equal(parsed.path, SLICE_LIT("/bench/a/b-000000000000004d"));
    check_signature(OP_PUT, &o);
    check_signature(OP_DELETE, &o);
    check_signature(OP_LIST, &o);
    size_t len = target_head(&target, OP_GET, &o, 0, NULL, head);
    target_sign(&target, OP_GET, &o, sig);
    assert_int_equal(target_head(&target, OP_GET, &o, 0, sig, again), len);
    assert_memory_equal(head, again, len);
    assert_int_equal(MAKE(&target, "--target", "s3", "--prefix", "a b"), -KT_ERR_INVALID);
    assert_int_equal(MAKE(&target, "--target", "s3", "--prefix", "a+b"), -KT_ERR_INVALID);
}

static void endpoints(void **state)
{
    (void)state;
    assert_int_equal(MAKE(&target, "--endpoint", "localhost:81"), 0);
    assert_int_equal(target.addr.port, 81);
    assert_int_equal(MAKE(&target, "--endpoint", "[::1]:82"), 0);
    assert_int_equal(target.addr.port, 82);
    assert_int_equal(MAKE(&target, "--endpoint", "localhost:x"), -KT_ERR_INVALID);
    assert_int_equal(MAKE(&target, "--endpoint", "a\nb:1"), -KT_ERR_INVALID);
    assert_int_equal(MAKE(&target, "--target", "ftp"), -KT_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blob_requests),
        cmocka_unit_test(raw_requests_carry_no_secret),
        cmocka_unit_test(s3_signatures_verify),
        cmocka_unit_test(endpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
