/* Who may do what: every operation with every kind of credential, right and wrong; mutations of a
 * good signature. */
#include "tests/lib/unit.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/enc.h"
#include "codec/sigv4.h"
#include "gateway/auth.h"
#include "rt/rt.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXPECT(e) kt_assert(e)
#define NOW 1795400000 /* 2026-11-23 */
#define DATE "20261123"
#define STAMP "20261123T021320Z" /* NOW */

enum mode {
    NO_CREDENTIALS,
    BEARER_OK,
    BEARER_WRONG_SECRET,
    BEARER_WRONG_KEY,
    BEARER_MALFORMED,
    SIGV4_OK,
    SIGV4_WRONG,
    SIGV4_WRONG_KEY,
    SIGV4_LATE,
    SIGV4_MALFORMED,
    URL_OK,
    URL_EXPIRED,
    URL_WRONG_ID,
    URL_WRONG_METHOD,
    URL_WRONG_KEY,
    URL_PARTIAL,
    URL_AND_BEARER,
    OTHER_SCHEME,
    EMPTY_FIELD,
    TWO_FIELDS,
    MODES,
};

static struct keys *keys;
static struct key key;

/* What an operation that needs a key, one that needs a capability, and one that needs nothing
 * answer to each mode. */
static const struct expect {
    int key, capability, nothing;
} expect[MODES] = {
    [NO_CREDENTIALS] = {-KT_ERR_UNAUTHENTICATED, 0, 0},
    [BEARER_OK] = {0, 0, 0},
    [BEARER_WRONG_SECRET] = {-KT_ERR_UNAUTHENTICATED, -KT_ERR_UNAUTHENTICATED,
                             -KT_ERR_UNAUTHENTICATED},
    [BEARER_WRONG_KEY] = {-KT_ERR_UNAUTHENTICATED, -KT_ERR_UNAUTHENTICATED,
                          -KT_ERR_UNAUTHENTICATED},
    [BEARER_MALFORMED] = {-KT_ERR_INVALID, -KT_ERR_INVALID, -KT_ERR_INVALID},
    [SIGV4_OK] = {0, 0, 0},
    [SIGV4_WRONG] = {-KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE},
    [SIGV4_WRONG_KEY] = {-KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE},
    [SIGV4_LATE] = {-KT_ERR_CLOCK_SKEW, -KT_ERR_CLOCK_SKEW, -KT_ERR_CLOCK_SKEW},
    [SIGV4_MALFORMED] = {-KT_ERR_INVALID, -KT_ERR_INVALID, -KT_ERR_INVALID},
    /* A signed URL is for reading a blob: anywhere else it is none, or not enough. */
    [URL_OK] = {-KT_ERR_DENIED, 0, 0},
    [URL_EXPIRED] = {-KT_ERR_EXPIRED, -KT_ERR_EXPIRED, -KT_ERR_EXPIRED},
    [URL_WRONG_ID] = {-KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE},
    [URL_WRONG_METHOD] = {-KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE},
    [URL_WRONG_KEY] = {-KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE, -KT_ERR_SIGNATURE},
    [URL_PARTIAL] = {-KT_ERR_INVALID, -KT_ERR_INVALID, -KT_ERR_INVALID},
    [URL_AND_BEARER] = {-KT_ERR_INVALID, -KT_ERR_INVALID, -KT_ERR_INVALID},
    [OTHER_SCHEME] = {-KT_ERR_UNAUTHENTICATED, -KT_ERR_UNAUTHENTICATED, -KT_ERR_UNAUTHENTICATED},
    [EMPTY_FIELD] = {-KT_ERR_INVALID, -KT_ERR_INVALID, -KT_ERR_INVALID},
    [TWO_FIELDS] = {-KT_ERR_INVALID, -KT_ERR_INVALID, -KT_ERR_INVALID},
};

/* One operation as a request. */
static const struct target {
    enum h1_method method;
    const char *path;
} targets[OP_COUNT] = {
    [OP_BLOB_PUT] = {H1_PUT, "/blob"},
    [OP_BLOB_GET] = {H1_GET, "/blob/1,2-0123456789abcdef"},
    [OP_BLOB_DELETE] = {H1_DELETE, "/blob/1,2-0123456789abcdef"},
    [OP_BLOB_UNDELETE] = {H1_POST, "/blob/1,2-0123456789abcdef"},
    [OP_BATCH_PUT] = {H1_PUT, "/batch"},
    [OP_BATCH_GET] = {H1_POST, "/batch/get"},
    [OP_BUCKET_LIST] = {H1_GET, "/bucket"},
    [OP_BUCKET_GET] = {H1_GET, "/bucket/photos"},
    [OP_BUCKET_PUT] = {H1_PUT, "/bucket/photos"},
    [OP_BUCKET_DELETE] = {H1_DELETE, "/bucket/photos"},
    [OP_SIGN] = {H1_POST, "/sign"},
    [OP_STATUS] = {H1_GET, "/status"},
    [OP_METRICS] = {H1_GET, "/metrics"},
    [OP_LIVE] = {H1_GET, "/health/live"},
    [OP_READY] = {H1_GET, "/health/ready"},
};

struct request {
    struct h1_head head;
    struct route route;
    char authorization[512], stamp[32], sig[65], expires[32];
};

static void add_field(struct request *r, const char *name, const char *value)
{
    r->head.fields[r->head.nfields++] = (struct h1_field){slice_str(name), slice_str(value)};
}

static void write_claim(struct request *r, const char *access, const char *stamp, const char *hex)
{
    snprintf(r->authorization, sizeof(r->authorization),
             "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/s3/aws4_request, "
             "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%.64s",
             access, stamp, hex);
}

static void sign_v4(struct request *r, const char *access, const char *stamp)
{
    struct sigv4_request rq = {h1_method_name(r->head.method), r->head.path, r->head.query,
                               r->head.fields, 0};
    struct sigv4_claim c;
    uint8_t k[SIGV4_KEY_LEN];
    char hex[SIGV4_HEX_LEN];
    struct buf scratch = BUF_INIT(SIGV4_CANONICAL_MAX);
    snprintf(r->stamp, sizeof(r->stamp), "%s", stamp);
    add_field(r, "x-amz-date", r->stamp);
    add_field(r, "x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    rq.nfields = r->head.nfields;
    memset(hex, '0', sizeof(hex));
    write_claim(r, access, stamp, hex);
    EXPECT(sigv4_parse(&rq, slice_str(r->authorization), &c) == 0);
    sigv4_signing_key(slice_str(key.secret), c.date, c.region, k);
    EXPECT(sigv4_signature(&rq, &c, SIGV4_FORM_CANONICAL, k, &scratch, hex) == 0);
    write_claim(r, access, stamp, hex);
    buf_done(&scratch);
    add_field(r, "Authorization", r->authorization);
}

static void sign_url(struct request *r, const char *access, const char *method, struct blobid id,
                     uint64_t expires)
{
    auth_sign_url(&key, method, &id, expires, r->sig);
    snprintf(r->expires, sizeof(r->expires), "%llu", (unsigned long long)expires);
    r->route.param[PARAM_KEY] = slice_str(access);
    r->route.param[PARAM_EXPIRES] = slice_str(r->expires);
    r->route.param[PARAM_SIG] = slice_of(r->sig, 64);
}

static void bearer(struct request *r, const char *access, const char *secret)
{
    snprintf(r->authorization, sizeof(r->authorization), "Bearer %s:%s", access, secret);
    add_field(r, "Authorization", r->authorization);
}

static void add_url(struct request *r, enum mode mode)
{
    const char *method = r->head.method == H1_HEAD ? "GET" : h1_method_name(r->head.method);
    struct blobid id = r->route.id, other = id;
    other.cookie++;
    if (mode == URL_OK || mode == URL_AND_BEARER)
        sign_url(r, key.access, method, id, NOW + 60);
    else if (mode == URL_EXPIRED)
        sign_url(r, key.access, method, id, NOW - 1);
    else if (mode == URL_WRONG_ID)
        sign_url(r, key.access, method, other, NOW + 60);
    else if (mode == URL_WRONG_METHOD)
        sign_url(r, key.access, "OPTIONS", id, NOW + 60);
    else
        sign_url(r, "KTAAAAAAAAAAAAAAAAAA", method, id, NOW + 60);
    if (mode == URL_AND_BEARER)
        bearer(r, key.access, key.secret);
    if (mode == URL_PARTIAL)
        r->route.param[PARAM_EXPIRES] = slice_of(NULL, 0);
}

static void add_credentials(struct request *r, enum mode mode)
{
    switch (mode) {
    case NO_CREDENTIALS:
    case MODES:
        break;
    case BEARER_OK:
        bearer(r, key.access, key.secret);
        break;
    case BEARER_WRONG_SECRET:
        bearer(r, key.access, "0123456789012345678901234567890123456789");
        break;
    case BEARER_WRONG_KEY:
        bearer(r, "KTAAAAAAAAAAAAAAAAAA", key.secret);
        break;
    case BEARER_MALFORMED:
        add_field(r, "Authorization", "Bearer nocolon");
        break;
    case SIGV4_OK:
        sign_v4(r, key.access, STAMP);
        break;
    case SIGV4_WRONG:
        sign_v4(r, key.access, STAMP);
        r->authorization[strlen(r->authorization) - 1] =
            r->authorization[strlen(r->authorization) - 1] == '0' ? '1' : '0';
        break;
    case SIGV4_WRONG_KEY:
        sign_v4(r, "KTAAAAAAAAAAAAAAAAAA", STAMP);
        break;
    case SIGV4_LATE:
        sign_v4(r, key.access, "20261123T000000Z");
        break;
    case SIGV4_MALFORMED:
        add_field(r, "Authorization", "AWS4-HMAC-SHA256 nonsense");
        break;
    case URL_OK:
    case URL_EXPIRED:
    case URL_WRONG_ID:
    case URL_WRONG_METHOD:
    case URL_WRONG_KEY:
    case URL_PARTIAL:
    case URL_AND_BEARER:
        add_url(r, mode);
        break;
    case OTHER_SCHEME:
        add_field(r, "Authorization", "Basic QTpC");
        break;
    case EMPTY_FIELD:
        add_field(r, "Authorization", "");
        break;
    case TWO_FIELDS:
        bearer(r, key.access, key.secret);
        add_field(r, "authorization", r->authorization);
        break;
    }
}

static struct request *request_new(enum op op)
{
    struct request *r = mem_zalloc(sizeof(*r));
    r->head.method = targets[op].method;
    r->head.path = slice_str(targets[op].path);
    add_field(r, "Host", "127.0.0.1:9000");
    EXPECT(route_parse(r->head.method, r->head.path, r->head.query, &r->route) == 0);
    EXPECT(r->route.op == op);
    return r;
}

static int matrix(void)
{
    int checked = 0;
    for (int op = 0; op < OP_COUNT; op++)
        for (int mode = 0; mode < MODES; mode++) {
            struct request *r = request_new((enum op)op);
            struct auth_verdict v;
            add_credentials(r, (enum mode)mode);
            const struct expect *e = &expect[mode];
            int want = op == OP_BLOB_GET                 ? e->capability
                       : op == OP_LIVE || op == OP_READY ? e->nothing
                                                         : e->key;
            /* For /sign, expires is the wish of the caller, no credential. */
            int rc = auth_check(keys, &r->head, &r->route, NOW, &v);
            if (rc != want)
                printf("# %s (%d), mode %d: %s, not %s\n", op_name((enum op)op), op, mode,
                       err_name(rc), err_name(want));
            EXPECT(rc == want);
            bool by_key = mode == BEARER_OK || mode == SIGV4_OK;
            EXPECT(rc < 0 || (v.mode != AUTH_NONE) == (by_key || mode == URL_OK));
            EXPECT(!by_key || strcmp(v.access, key.access) == 0);
            checked++;
            mem_free(r);
        }
    return checked;
}

/* Every single-character change of what a signature covers, and of the signature, is refused. */
static int mutations(void)
{
    int tried = 0;
    struct auth_verdict v;
    for (int where = 0; where < 3; where++)
        for (size_t i = 0; i < 400; i++) {
            struct request *r = request_new(OP_BLOB_DELETE);
            char path[64];
            snprintf(path, sizeof(path), "%s", targets[OP_BLOB_DELETE].path);
            r->head.path = slice_str(path);
            sign_v4(r, key.access, STAMP);
            EXPECT(auth_check(keys, &r->head, &r->route, NOW, &v) == 0);
            char *text = where == 0 ? r->authorization : where == 1 ? r->stamp : path;
            if (i < strlen(text) && text[i] != ' ') {
                for (int c = '!'; c <= '~'; c++) {
                    char was = text[i];
                    if (c == was)
                        continue;
                    text[i] = (char)c;
                    if (auth_check(keys, &r->head, &r->route, NOW, &v) >= 0) {
                        printf("# accepted: %s\n", text);
                        EXPECT(false);
                    }
                    tried++;
                    text[i] = was;
                }
            }
            mem_free(r);
        }
    return tried;
}

static int in_fiber(void *arg)
{
    const char *dir = arg;
    bool made;
    int h = rt_dir_open(dir, false);
    EXPECT(h >= 0 && keys_open(h, &keys, &made) == 0 && made && keys_first(keys, &key));
    EXPECT(matrix() == OP_COUNT * MODES);
    EXPECT(mutations() > 10000);
    /* A key that was removed is worth nothing, at once; the cache of signing keys doesn't keep it
     * alive. */
    struct key_list l = {0};
    struct auth_verdict v;
    struct request *r = request_new(OP_STATUS);
    sign_v4(r, key.access, STAMP);
    EXPECT(auth_check(keys, &r->head, &r->route, NOW, &v) == 0);
    EXPECT(keys_load(h, &l) == 0 && keys_make(&l, "other", NOW) == 0 &&
           keys_drop(&l, "first") == 0);
    EXPECT(keys_save(h, &l) == 0 && keys_reload(keys) == 1);
    EXPECT(auth_check(keys, &r->head, &r->route, NOW, &v) == -KT_ERR_SIGNATURE);
    EXPECT(keys_count(keys) == 1);
    mem_free(r);
    key_list_done(&l);
    keys_close(keys);
    EXPECT(rt_file_unlink(h, KEYS_FILE) == 0);
    rt_file_close(h);
    return 0;
}

static void test_every_operation_and_mode(void **state)
{
    (void)state;
    char dir[] = "/tmp/kitten-auth-XXXXXX";
    struct rt_options o = {.loops = 1, .workers = 1};
    assert_non_null(mkdtemp(dir));
    assert_int_equal(rt_run(&o, in_fiber, dir), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_may_read(void **state)
{
    (void)state;
    struct auth_verdict v = {.mode = AUTH_NONE};
    assert_int_equal(auth_may_read(&v, 0), 0);
    assert_int_equal(auth_may_read(&v, BUCKET_SIGNED_URLS), -KT_ERR_DENIED);
    v.mode = AUTH_URL;
    assert_int_equal(auth_may_read(&v, BUCKET_SIGNED_URLS), 0);
    v.mode = AUTH_BEARER;
    assert_int_equal(auth_may_read(&v, BUCKET_SIGNED_URLS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_and_mode),
        cmocka_unit_test(test_may_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
