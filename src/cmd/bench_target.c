/* bench_target: formats the constant parts of requests once, and each request by copying. */
#include "cmd/bench_target.h"

#include "base/assert.h"
#include "base/enc.h"
#include "base/err.h"
#include "codec/sigv4.h"
#include "codec/uri.h"
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define S3_PAYLOAD "UNSIGNED-PAYLOAD"
#define S3_SIGNED "host;x-amz-content-sha256;x-amz-date"

const char *const target_op_names[OP_COUNT] = {"put", "get", "delete", "list", "batch"};

static const char *const methods[TARGET_RAW + 1][OP_COUNT] = {
    [TARGET_BLOB] = {"POST", "GET", "DELETE", "GET", "PUT"},
    [TARGET_S3] = {"PUT", "GET", "DELETE", "GET", "PUT"},
    [TARGET_RAW] = {"PUT", "GET", "DELETE", "GET", "PUT"},
};

/* ---- options ---- */

static int copy_text(const char *what, const char *text, char out[TARGET_TEXT_MAX])
{
    if (!text)
        text = "";
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
            return err_set(KT_ERR_INVALID, "%s holds a blank or a byte that can't be sent", what);
    if (len >= TARGET_TEXT_MAX)
        return err_set(KT_ERR_INVALID, "%s is longer than %u characters", what,
                       TARGET_TEXT_MAX - 1);
    memcpy(out, text, len + 1);
    return 0;
}

static int read_kind(const char *text, enum target_kind *ret)
{
    static const char *const names[] = {"blob", "s3", "raw"};
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum target_kind)i;
            return 0;
        }
    return err_set(KT_ERR_INVALID, "target '%s' is none of: blob, s3, raw", text);
}

/* Signed keys are sent as they are, so they may hold only what needs no percent-encoding. */
static int check_prefix(const struct bench_target *t)
{
    static const char safe[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    if (t->kind == TARGET_S3 && strspn(t->prefix, safe) != strlen(t->prefix))
        return err_set(KT_ERR_INVALID,
                       "prefix '%s': S3 keys of bench use letters, digits and -._~/", t->prefix);
    if (t->kind == TARGET_RAW && t->prefix[0] != '/')
        return err_set(KT_ERR_INVALID, "a raw target's --prefix is a path and begins with '/'");
    return 0;
}

static const char *credential(const struct cmd_args *args, const char *option, const char *variable)
{
    const char *text = cmd_text(args, option);
    return text ? text : getenv(variable);
}

int target_init(const struct cmd_args *args, struct bench_target *ret)
{
    struct bench_target *t = ret;
    memset(t, 0, sizeof(*t));
    int rc = read_kind(cmd_text(args, "target"), &t->kind);
    if (rc == 0)
        rc = copy_text("--endpoint", cmd_text(args, "endpoint"), t->host);
    if (rc == 0)
        rc = copy_text("--bucket", cmd_text(args, "bucket"), t->bucket);
    if (rc == 0)
        rc = copy_text("--prefix", cmd_text(args, "prefix"), t->prefix);
    if (rc == 0)
        rc = copy_text("--access-key", credential(args, "access-key", "KITTEN_ACCESS_KEY"),
                       t->access);
    if (rc == 0)
        rc = copy_text("--secret-key", credential(args, "secret-key", "KITTEN_SECRET_KEY"),
                       t->secret);
    snprintf(t->region, sizeof(t->region), "%s", cmd_text(args, "region"));
    return rc < 0 ? rc : check_prefix(t);
}

/* ---- constant parts ---- */

static void format_blob(struct bench_target *t)
{
    snprintf(t->start[OP_PUT], sizeof(t->start[0]), "/blob?bucket=%s", t->bucket);
    snprintf(t->start[OP_BATCH], sizeof(t->start[0]), "/batch?bucket=%s", t->bucket);
    snprintf(t->start[OP_GET], sizeof(t->start[0]), "/blob/");
    snprintf(t->start[OP_DELETE], sizeof(t->start[0]), "/blob/");
    snprintf(t->fields_get, sizeof(t->fields_get), " HTTP/1.1\r\nhost: %s\r\n", t->host);
    snprintf(t->fields, sizeof(t->fields), " HTTP/1.1\r\nhost: %s\r\n%s%s%s%s%s", t->host,
             *t->access ? "authorization: Bearer " : "", t->access, *t->access ? ":" : "",
             *t->access ? t->secret : "", *t->access ? "\r\n" : "");
}

static void format_s3(struct bench_target *t)
{
    for (int op = 0; op < OP_COUNT; op++)
        snprintf(t->start[op], sizeof(t->start[op]), "/%s/%s", t->bucket, t->prefix);
    char encoded[URI_ENCODED_MAX(TARGET_TEXT_MAX)];
    size_t len = uri_encode(slice_str(t->prefix), false, encoded);
    snprintf(t->start[OP_LIST], sizeof(t->start[0]),
             "/%s?list-type=2&max-keys=1000&start-after=%.*s", t->bucket, (int)len, encoded);
    snprintf(t->fields, sizeof(t->fields),
             " HTTP/1.1\r\nhost: %s\r\nx-amz-content-sha256: " S3_PAYLOAD "\r\nx-amz-date: %s\r\n"
             "authorization: AWS4-HMAC-SHA256 Credential=%.128s/%.8s/%s/s3/aws4_request,"
             "SignedHeaders=" S3_SIGNED ",Signature=",
             t->host, t->date, t->access, t->date, t->region);
}

static void format_raw(struct bench_target *t)
{
    for (int op = 0; op < OP_COUNT; op++)
        snprintf(t->start[op], sizeof(t->start[op]), "%s", t->prefix);
    snprintf(t->fields, sizeof(t->fields), " HTTP/1.1\r\nhost: %s\r\n", t->host);
}

static int resolve(struct bench_target *t)
{
    uint64_t port = 80;
    char host[TARGET_TEXT_MAX];
    int rc = rt_addr_parse(slice_str(t->host), &t->addr);
    if (rc == 0)
        return 0;
    const char *colon = strrchr(t->host, ':');
    size_t len = colon ? (size_t)(colon - t->host) : strlen(t->host);
    memcpy(host, t->host, len);
    host[len] = 0;
    if (colon && (!dec_to_u64(slice_str(colon + 1), &port) || port == 0 || port > 65535))
        return err_set(KT_ERR_INVALID, "endpoint '%s' is not HOST:PORT", t->host);
    return rt_resolve(host, (uint16_t)port, &t->addr);
}

int target_start(struct bench_target *t)
{
    struct tm tm;
    time_t now = (time_t)(rt_wall_ns() / NS_PER_SEC);
    int rc = resolve(t);
    if (rc < 0)
        return rc;
    if (!gmtime_r(&now, &tm) || !strftime(t->date, sizeof(t->date), "%Y%m%dT%H%M%SZ", &tm))
        return err_set(KT_ERR_INTERNAL, "the clock shows no date");
    sigv4_signing_key(slice_str(t->secret), slice_of(t->date, 8), slice_str(t->region),
                      t->signing_key);
    if (t->kind == TARGET_BLOB)
        format_blob(t);
    else if (t->kind == TARGET_S3)
        format_s3(t);
    else
        format_raw(t);
    return 0;
}

/* ---- one request ---- */

static size_t format_key(const struct bench_target *t, enum target_op op,
                         const struct bench_object *o, char *out)
{
    if (t->kind == TARGET_BLOB)
        return op == OP_GET || op == OP_DELETE ? blobid_format(&o->id, out) : 0;
    uint64_t big_endian = __builtin_bswap64(o->index);
    hex_encode(&big_endian, sizeof(big_endian), out);
    return 2 * sizeof(big_endian);
}

void target_sign(const struct bench_target *t, enum target_op op, const struct bench_object *o,
                 char *ret_sig)
{
    char canonical[TARGET_HEAD_MAX], key[BLOBID_TEXT_MAX], to_sign[512], hex[64];
    uint8_t hash[SHA256_DIGEST_LENGTH];
    const char *query = strchr(t->start[op], '?');
    int path = query ? (int)(query - t->start[op]) : (int)strlen(t->start[op]);
    int key_len = (int)format_key(t, op, o, key);
    int n = snprintf(canonical, sizeof(canonical),
                     "%s\n%.*s%.*s\n%s%.*s\nhost:%s\nx-amz-content-sha256:" S3_PAYLOAD
                     "\nx-amz-date:%s\n\n" S3_SIGNED "\n" S3_PAYLOAD,
                     methods[t->kind][op], path, t->start[op], query ? 0 : key_len, key,
                     query ? query + 1 : "", query ? key_len : 0, key, t->host, t->date);
    kt_assert(n > 0 && (size_t)n < sizeof(canonical));
    SHA256((const uint8_t *)canonical, (size_t)n, hash);
    hex_encode(hash, sizeof(hash), hex);
    n = snprintf(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%.8s/%s/s3/aws4_request\n%.64s",
                 t->date, t->date, t->region, hex);
    kt_assert(n > 0 && (size_t)n < sizeof(to_sign));
    sigv4_hmac(slice_of(t->signing_key, sizeof(t->signing_key)), slice_of(to_sign, (size_t)n),
               hash);
    hex_encode(hash, sizeof(hash), ret_sig);
}

static char *put_text(char *at, const char *text)
{
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

size_t target_head(const struct bench_target *t, enum target_op op, const struct bench_object *o,
                   uint64_t body_len, const char *sig, char *out)
{
    char *at = put_text(out, methods[t->kind][op]);
    *at++ = ' ';
    at = put_text(at, t->start[op]);
    at += format_key(t, op, o, at);
    at = put_text(at, op == OP_GET && *t->fields_get ? t->fields_get : t->fields);
    if (t->kind == TARGET_S3) {
        if (sig)
            memcpy(at, sig, TARGET_SIG_LEN);
        else
            target_sign(t, op, o, at);
        at = put_text(at + TARGET_SIG_LEN, "\r\n");
    }
    if (op == OP_PUT || op == OP_BATCH) {
        at = put_text(at, "content-length: ");
        at += dec_from_u64(body_len, at);
        at = put_text(at, "\r\n");
    }
    at = put_text(at, "\r\n");
    return (size_t)(at - out);
}

bool target_status_ok(enum target_op op, int status)
{
    if (op == OP_GET || op == OP_LIST)
        return status == 200;
    return status == 200 || status == 201 || status == 204;
}
