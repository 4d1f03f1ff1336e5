/* sigv4: parse a claim, build the canonical request, sign it.
 *
 * Happy path: sigv4_parse cuts the Authorization value at ", " into its three parts, reads the
 * scope and the timestamp, and walks the request's fields once to see that what must be signed is.
 * sigv4_signature then writes the canonical request into a buffer, hashes it, and signs the hash
 * together with the scope.
 *
 * Failure modes: every part is bounded before it is used; what is malformed is INVALID, what is
 * well-formed but covers too little is DENIED; a wrong signature is not an error here: the caller
 * compares, in constant time.
 */
#include "codec/sigv4.h"

#include "base/assert.h"
#include "base/enc.h"
#include "codec/httpdate.h"
#include "codec/uri.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SCOPE_PARTS 5

static const char empty_sha256[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/* ---- small readers ---- */

/* Cuts `*rest` at the first `c`: returns what is before it; *rest becomes what is after, or empty.
 */
static struct slice cut(struct slice *rest, uint8_t c)
{
    ptrdiff_t at = slice_find(*rest, c);
    struct slice head = at < 0 ? *rest : slice_sub(*rest, 0, (size_t)at);
    *rest = at < 0 ? slice_sub(*rest, rest->len, 0) : slice_sub(*rest, (size_t)at + 1, rest->len);
    return head;
}

static struct slice trim(struct slice s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = slice_sub(s, 1, s.len);
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool is_lower_hex(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return true;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* ---- time ---- */

static bool digits(struct slice s, size_t from, size_t n, int *ret)
{
    uint64_t v;
    if (!dec_to_u64(slice_sub(s, from, n), &v))
        return false;
    *ret = (int)v;
    return true;
}

static bool parse_timestamp(struct slice s, int64_t *ret)
{
    int y, mo, d, h, mi, sec;
    if (s.len != 16 || s.p[8] != 'T' || s.p[15] != 'Z')
        return false;
    if (!digits(s, 0, 4, &y) || !digits(s, 4, 2, &mo) || !digits(s, 6, 2, &d) ||
        !digits(s, 9, 2, &h) || !digits(s, 11, 2, &mi) || !digits(s, 13, 2, &sec))
        return false;
    if (y < 1970 || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 60)
        return false;
    *ret = httpdate_days(y, (unsigned)mo, (unsigned)d) * 86400 + h * 3600 + mi * 60 + sec;
    return true;
}

/* ---- the claim ---- */

bool sigv4_recognise(struct slice authorization)
{
    return slice_has_prefix(authorization, SLICE_LIT(ALGORITHM));
}

static int bad_claim(const char *why)
{
    return err_set(KT_ERR_INVALID, "malformed Authorization: %s", why);
}

static int parse_scope(struct slice credential, struct sigv4_claim *c)
{
    struct slice part[SCOPE_PARTS];
    for (int i = 0; i < SCOPE_PARTS; i++) {
        part[i] = cut(&credential, '/');
        if (part[i].len == 0 || part[i].len > 128)
            return bad_claim("Credential must be KEY/DATE/REGION/SERVICE/aws4_request");
    }
    if (credential.len || !slice_eq(part[4], SLICE_LIT("aws4_request")))
        return bad_claim("Credential must end in /aws4_request");
    if (!slice_eq(part[3], SLICE_LIT("s3")))
        return bad_claim("the service of the scope must be s3");
    if (part[1].len != 8)
        return bad_claim("the date of the scope must be YYYYMMDD");
    c->key_id = part[0];
    c->date = part[1];
    c->region = part[2];
    c->service = part[3];
    return 0;
}

/* Takes "Name=value" into *ret when it is its first time. */
static bool take_part(struct slice part, struct slice name, struct slice *ret)
{
    if (!slice_has_prefix(part, name) || ret->p)
        return false;
    *ret = slice_sub(part, name.len, part.len);
    return true;
}

static int parse_parts(struct slice rest, struct sigv4_claim *c)
{
    struct slice credential = {0};
    rest = slice_sub(rest, sizeof(ALGORITHM) - 1, rest.len);
    if (rest.len == 0 || rest.p[0] != ' ')
        return bad_claim("a blank must follow the algorithm");
    while (rest.len) {
        struct slice part = trim(cut(&rest, ','));
        if (!take_part(part, SLICE_LIT("Credential="), &credential) &&
            !take_part(part, SLICE_LIT("SignedHeaders="), &c->signed_names) &&
            !take_part(part, SLICE_LIT("Signature="), &c->signature))
            return bad_claim("each of Credential, SignedHeaders and Signature once, nothing else");
    }
    if (!credential.p || !c->signed_names.len || !c->signature.p)
        return bad_claim("Credential, SignedHeaders or Signature is missing");
    if (c->signature.len != SIGV4_HEX_LEN || !is_lower_hex(c->signature))
        return bad_claim("Signature must be 64 lower-case hex digits");
    return parse_scope(credential, c);
}

static const struct h1_field *find_exact(const struct sigv4_request *rq, struct slice name)
{
    for (int i = 0; i < rq->nfields; i++)
        if (slice_eq_nocase(rq->fields[i].name, name))
            return &rq->fields[i];
    return NULL;
}

/* Sorted, lower-case, unique, all present in the request. */
static int check_signed_names(const struct sigv4_request *rq, struct slice names)
{
    struct slice before = {0};
    int n = 0;
    while (names.len) {
        struct slice name = cut(&names, ';');
        if (name.len == 0 || ++n > SIGV4_SIGNED_MAX)
            return bad_claim("SignedHeaders has an empty name or too many");
        for (size_t i = 0; i < name.len; i++)
            if (name.p[i] != lower(name.p[i]))
                return bad_claim("SignedHeaders must be in lower case");
        if (before.p && slice_cmp(before, name) >= 0)
            return bad_claim("SignedHeaders must be sorted, each name once");
        if (!find_exact(rq, name))
            return bad_claim("SignedHeaders names a field that was not sent");
        before = name;
    }
    return 0;
}

static bool is_signed(struct slice names, struct slice field_name)
{
    while (names.len)
        if (slice_eq_nocase(cut(&names, ';'), field_name))
            return true;
    return false;
}

/* host and every x-amz-* must be covered; x-amz-* only once each, so that no handler reads another
 * copy. */
static int check_coverage(const struct sigv4_request *rq, struct slice names)
{
    if (!is_signed(names, SLICE_LIT("host")))
        return err_set(KT_ERR_DENIED, "the Host field must be signed");
    for (int i = 0; i < rq->nfields; i++) {
        struct slice name = rq->fields[i].name;
        if (name.len < 6 || !slice_eq_nocase(slice_sub(name, 0, 6), SLICE_LIT("x-amz-")))
            continue;
        if (find_exact(rq, name) != &rq->fields[i])
            return err_set(KT_ERR_INVALID, "an x-amz-* field was sent twice");
        if (!is_signed(names, name))
            return err_set(KT_ERR_DENIED, "every x-amz-* field must be signed");
    }
    return 0;
}

static int parse_payload(const struct sigv4_request *rq, struct sigv4_claim *c)
{
    const struct h1_field *f = find_exact(rq, SLICE_LIT("x-amz-content-sha256"));
    c->payload_hash = f ? f->value : slice_str(empty_sha256);
    if (slice_eq(c->payload_hash, SLICE_LIT("UNSIGNED-PAYLOAD"))) {
        c->payload = SIGV4_PAYLOAD_UNSIGNED;
        return 0;
    }
    c->payload = SIGV4_PAYLOAD_SHA256;
    if (!is_lower_hex(c->payload_hash) ||
        !hex_decode(c->payload_hash, c->payload_sha256, sizeof(c->payload_sha256)))
        return err_set(KT_ERR_INVALID,
                       "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or 64 hex digits");
    return 0;
}

int sigv4_parse(const struct sigv4_request *rq, struct slice authorization, struct sigv4_claim *ret)
{
    struct sigv4_claim c = {0};
    if (!sigv4_recognise(authorization))
        return bad_claim("not " ALGORITHM);
    int rc = parse_parts(authorization, &c);
    if (rc < 0)
        return rc;
    const struct h1_field *date = find_exact(rq, SLICE_LIT("x-amz-date"));
    if (!date || !parse_timestamp(date->value, &c.time_s))
        return err_set(KT_ERR_INVALID, "x-amz-date must be sent as YYYYMMDDTHHMMSSZ");
    c.timestamp = date->value;
    if (!slice_eq(slice_sub(c.timestamp, 0, 8), c.date))
        return bad_claim("the date of the scope differs from x-amz-date");
    if ((rc = check_signed_names(rq, c.signed_names)) < 0 ||
        (rc = check_coverage(rq, c.signed_names)) < 0 || (rc = parse_payload(rq, &c)) < 0)
        return rc;
    *ret = c;
    return 0;
}

int sigv4_check_time(const struct sigv4_claim *claim, int64_t now_s)
{
    int64_t skew = claim->time_s - now_s;
    if (skew > SIGV4_SKEW_S || skew < -SIGV4_SKEW_S)
        return err_set(KT_ERR_CLOCK_SKEW,
                       "the request's time and this server's differ by more than %d minutes",
                       SIGV4_SKEW_S / 60);
    return 0;
}

/* ---- canonical request ---- */

/* A field value with runs of blanks as one. */
static int add_value(struct buf *out, struct slice v)
{
    v = trim(v);
    for (size_t i = 0; i < v.len; i++) {
        if (i && v.p[i] == ' ' && v.p[i - 1] == ' ')
            continue;
        int rc = buf_add(out, &v.p[i], 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* "name:value[,value...]\n" */
static int add_field(struct buf *out, const struct sigv4_request *rq, struct slice name)
{
    int rc = buf_add_slice(out, name);
    const char *sep = ":";
    for (int i = 0; i < rq->nfields && rc >= 0; i++) {
        if (!slice_eq_nocase(rq->fields[i].name, name))
            continue;
        if ((rc = buf_add_str(out, sep)) >= 0)
            rc = add_value(out, rq->fields[i].value);
        sep = ",";
    }
    return rc < 0 ? rc : buf_add_str(out, "\n");
}

static int add_target(struct buf *out, const struct sigv4_request *rq, enum sigv4_form form)
{
    bool as_sent = form == SIGV4_FORM_AS_SENT;
    int rc = as_sent ? buf_add_slice(out, rq->path) : uri_canonical_path(rq->path, out);
    if (rc < 0 || (rc = buf_add_str(out, "\n")) < 0)
        return rc;
    return as_sent ? buf_add_slice(out, rq->query)
                   : uri_canonical_query(rq->query, slice_of(NULL, 0), out);
}

int sigv4_canonical(const struct sigv4_request *rq, const struct sigv4_claim *claim,
                    enum sigv4_form form, struct buf *out)
{
    int rc;
    if ((rc = buf_add_str(out, rq->method)) < 0 || (rc = buf_add_str(out, "\n")) < 0 ||
        (rc = add_target(out, rq, form)) < 0 || (rc = buf_add_str(out, "\n")) < 0)
        return rc;
    struct slice names = claim->signed_names;
    while (names.len)
        if ((rc = add_field(out, rq, cut(&names, ';'))) < 0)
            return rc;
    if ((rc = buf_add_str(out, "\n")) < 0 || (rc = buf_add_slice(out, claim->signed_names)) < 0 ||
        (rc = buf_add_str(out, "\n")) < 0)
        return rc;
    return buf_add_slice(out, claim->payload_hash);
}

/* ---- keys and signatures ---- */

void sigv4_hmac(struct slice key, struct slice msg, uint8_t ret[32])
{
    static const uint8_t none;
    unsigned n = 0;
    /* OpenSSL 3.0 takes a NULL key for "the key of the last call". */
    const void *k = key.len ? (const void *)key.p : &none;
    kt_assert(HMAC(EVP_sha256(), k, (int)key.len, msg.p, msg.len, ret, &n) && n == 32);
}

void sigv4_signing_key(struct slice secret, struct slice date, struct slice region,
                       uint8_t ret_key[SIGV4_KEY_LEN])
{
    uint8_t first[4 + 128];
    size_t n = KT_MIN(secret.len, sizeof(first) - 4);
    memcpy(first, "AWS4", 4);
    if (n)
        memcpy(first + 4, secret.p, n);
    sigv4_hmac(slice_of(first, 4 + n), date, ret_key);
    OPENSSL_cleanse(first, sizeof(first));
    sigv4_hmac(slice_of(ret_key, 32), region, ret_key);
    sigv4_hmac(slice_of(ret_key, 32), SLICE_LIT("s3"), ret_key);
    sigv4_hmac(slice_of(ret_key, 32), SLICE_LIT("aws4_request"), ret_key);
}

int sigv4_signature(const struct sigv4_request *rq, const struct sigv4_claim *claim,
                    enum sigv4_form form, const uint8_t key[SIGV4_KEY_LEN], struct buf *scratch,
                    char ret_hex[SIGV4_HEX_LEN])
{
    uint8_t hash[32];
    char hash_hex[64];
    scratch->len = 0;
    int rc = sigv4_canonical(rq, claim, form, scratch);
    if (rc < 0)
        return rc;
    SHA256(scratch->p, scratch->len, hash);
    hex_encode(hash, sizeof(hash), hash_hex);
    scratch->len = 0;
    rc = buf_addf(scratch, ALGORITHM "\n%.*s\n%.*s/%.*s/s3/aws4_request\n%.64s",
                  SLICE_ARG(claim->timestamp), SLICE_ARG(claim->date), SLICE_ARG(claim->region),
                  hash_hex);
    if (rc < 0)
        return rc;
    sigv4_hmac(slice_of(key, SIGV4_KEY_LEN), buf_slice(scratch), hash);
    hex_encode(hash, sizeof(hash), ret_hex);
    return 0;
}
