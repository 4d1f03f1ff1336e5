/* route: the table of the blob API. */
#include "gateway/route.h"

#include "base/macros.h"
#include "codec/uri.h"
#include <stdio.h>

#define M(name) (1u << H1_##name)
#define P(name) (1u << PARAM_##name)

struct row {
    const char *path; /* a trailing '/' means: and one operand */
    unsigned methods;
    enum op op;
    unsigned params;
};

static const struct row rows[] = {
    {"/blob", M(PUT) | M(POST), OP_BLOB_PUT, P(BUCKET) | P(TTL)},
    {"/blob/", M(GET) | M(HEAD), OP_BLOB_GET, P(KEY) | P(EXPIRES) | P(SIG)},
    {"/blob/", M(DELETE), OP_BLOB_DELETE, P(KEY) | P(EXPIRES) | P(SIG)},
    {"/blob/", M(POST), OP_BLOB_UNDELETE, P(UNDELETE) | P(KEY) | P(EXPIRES) | P(SIG)},
    {"/batch", M(PUT) | M(POST), OP_BATCH_PUT, P(BUCKET) | P(TTL)},
    {"/batch/get", M(POST), OP_BATCH_GET, 0},
    {"/bucket", M(GET) | M(HEAD), OP_BUCKET_LIST, 0},
    {"/bucket/", M(GET) | M(HEAD), OP_BUCKET_GET, 0},
    {"/bucket/", M(PUT), OP_BUCKET_PUT, 0},
    {"/bucket/", M(DELETE), OP_BUCKET_DELETE, P(WITH_CONTENTS)},
    {"/sign", M(POST), OP_SIGN, P(ID) | P(TTL) | P(EXPIRES)},
    {"/status", M(GET) | M(HEAD), OP_STATUS, 0},
    {"/metrics", M(GET) | M(HEAD), OP_METRICS, 0},
    {"/health/live", M(GET) | M(HEAD), OP_LIVE, 0},
    {"/health/ready", M(GET) | M(HEAD), OP_READY, 0},
};

static const char *const op_names[OP_COUNT] = {
    [OP_BLOB_PUT] = "put",
    [OP_BLOB_GET] = "get",
    [OP_BLOB_DELETE] = "delete",
    [OP_BLOB_UNDELETE] = "undelete",
    [OP_BATCH_PUT] = "batch_put",
    [OP_BATCH_GET] = "batch_get",
    [OP_BUCKET_LIST] = "bucket",
    [OP_BUCKET_GET] = "bucket",
    [OP_BUCKET_PUT] = "bucket",
    [OP_BUCKET_DELETE] = "bucket",
    [OP_SIGN] = "key",
    [OP_STATUS] = "status",
    [OP_METRICS] = "metrics",
    [OP_LIVE] = "health",
    [OP_READY] = "health",
};

static const char *const param_names[PARAM_COUNT] = {
    [PARAM_BUCKET] = "bucket", [PARAM_TTL] = "ttl",
    [PARAM_KEY] = "key",       [PARAM_EXPIRES] = "expires",
    [PARAM_SIG] = "sig",       [PARAM_UNDELETE] = "undelete",
    [PARAM_ID] = "id",         [PARAM_WITH_CONTENTS] = "with_contents",
};

const char *op_name(enum op op)
{
    return op_names[op];
}

/* Does `path` belong to the row? Sets *ret_operand to what follows a trailing '/'. */
static bool row_matches(const struct row *row, struct slice path, struct slice *ret_operand)
{
    struct slice want = slice_str(row->path);
    if (want.p[want.len - 1] != '/') {
        *ret_operand = slice_of(NULL, 0);
        return slice_eq(path, want);
    }
    *ret_operand = slice_sub(path, want.len, path.len);
    return slice_has_prefix(path, want) && ret_operand->len > 0 &&
           slice_find(*ret_operand, '/') < 0;
}

static int find_row(enum h1_method method, struct slice path, const struct row **ret,
                    struct slice *ret_operand)
{
    bool path_known = false;
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        if (!row_matches(&rows[i], path, ret_operand))
            continue;
        path_known = true;
        if (rows[i].methods & (1u << method)) {
            *ret = &rows[i];
            return 0;
        }
    }
    if (path_known)
        return err_set(KT_ERR_METHOD, "this resource doesn't have that method");
    return err_set(KT_ERR_NO_ROUTE, "no such resource");
}

/* Decodes `in` into r->text. */
static int keep(struct route *r, struct slice in, struct slice *ret)
{
    if (in.len > sizeof(r->text) - r->text_len)
        return err_set(KT_ERR_INVALID, "query parameters are too long");
    uint8_t *at = r->text + r->text_len;
    ssize_t n = uri_decode(in, true, at);
    if (n < 0)
        return (int)n;
    r->text_len += (size_t)n;
    *ret = slice_of(at, (size_t)n);
    return 0;
}

static int keep_param(struct route *r, unsigned known, struct slice name, struct slice value)
{
    for (int i = 0; i < PARAM_COUNT; i++) {
        if (!(known & (1u << i)) || !slice_eq(name, slice_str(param_names[i])))
            continue;
        if (r->param[i].p)
            return err_set(KT_ERR_INVALID, "query parameter %s is repeated", param_names[i]);
        return keep(r, value, &r->param[i]);
    }
    return err_set(KT_ERR_INVALID, "unknown query parameter");
}

static int keep_operand(struct route *r, struct slice operand)
{
    uint8_t plain[3 * 128];
    if (operand.len > sizeof(plain))
        return err_set(KT_ERR_INVALID, "name in the path is too long");
    ssize_t n = uri_decode(operand, false, plain);
    if (n < 0)
        return (int)n;
    if (r->op == OP_BLOB_GET || r->op == OP_BLOB_DELETE || r->op == OP_BLOB_UNDELETE)
        return blobid_parse(slice_of(plain, (size_t)n), &r->id);
    if ((size_t)n > BUCKET_NAME_MAX || memchr(plain, 0, (size_t)n))
        return err_set(KT_ERR_INVALID, "not a bucket name");
    memcpy(r->name, plain, (size_t)n);
    r->name[n] = 0;
    return 0;
}

int route_parse(enum h1_method method, struct slice path, struct slice query, struct route *ret)
{
    const struct row *row = NULL;
    struct slice operand, name, value;
    int rc = find_row(method, path, &row, &operand);
    if (rc < 0)
        return rc;
    ret->op = row->op;
    ret->name[0] = 0;
    ret->text_len = 0;
    memset(ret->param, 0, sizeof(ret->param));
    if (operand.len && (rc = keep_operand(ret, operand)) < 0)
        return rc;
    struct uri_query q = uri_query_of(query);
    while (uri_query_next(&q, &name, &value))
        if ((rc = keep_param(ret, row->params, name, value)) < 0)
            return rc;
    return 0;
}

/* ---- bucket names ---- */

static bool looks_like_ipv4(struct slice s)
{
    int dots = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '.')
            dots++;
        else if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return dots == 3;
}

static bool alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool bucket_name_ok(struct slice s)
{
    /* Words that are, or may become, paths of the API on the port that S3 shares. */
    static const char *const reserved[] = {"blob",   "batch",   "bucket", "status",
                                           "health", "metrics", "sign",   "kitten"};
    if (s.len < 3 || s.len > BUCKET_NAME_MAX || !alnum(s.p[0]) || !alnum(s.p[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
            return false;
        if (s.p[i] == '.' && s.p[i - 1] == '.')
            return false;
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(reserved); i++)
        if (slice_eq(s, slice_str(reserved[i])))
            return false;
    return !looks_like_ipv4(s) && !slice_has_prefix(s, SLICE_LIT("xn--"));
}
