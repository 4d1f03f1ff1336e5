/* auth: find the credentials, prove them, compare with what the operation needs.
 *
 * Happy path of a plain GET: no query, no Authorization field: verdict AUTH_NONE, allowed by the
 * table. Of a PUT: one key lookup and one comparison (bearer), or one HMAC (SigV4, with the day's
 * signing key from the cache).
 *
 * Failure modes: everything that is not provably right is refused, by code only: the text says
 * nothing of what differed.
 */
#include "gateway/auth.h"

#include "base/enc.h"
#include "base/macros.h"
#include "codec/sigv4.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum need { NEED_KEY, NEED_CAPABILITY, NEED_NOTHING };

/* NEED_KEY is 0: an operation that is missing here needs a key. */
static const enum need needs[OP_COUNT] = {
    [OP_BLOB_GET] = NEED_CAPABILITY,
    [OP_LIVE] = NEED_NOTHING,
    [OP_READY] = NEED_NOTHING,
};

static int wrong_key(void)
{
    return err_set(KT_ERR_UNAUTHENTICATED, "no valid credentials");
}

static int wrong_signature(void)
{
    return err_set(KT_ERR_SIGNATURE, "signature does not match");
}

/* ---- bearer ---- */

static int check_bearer(struct keys *keys, struct slice token, struct auth_verdict *v)
{
    struct key key;
    ptrdiff_t colon = slice_find(token, ':');
    if (colon < 1 || token.len > KEY_ACCESS_MAX + KEY_SECRET_MAX + 1)
        return err_set(KT_ERR_INVALID, "malformed Authorization: Bearer takes ACCESS:SECRET");
    struct slice access = slice_sub(token, 0, (size_t)colon);
    struct slice secret = slice_sub(token, (size_t)colon + 1, token.len);
    bool ok = keys_find(keys, access, &key);
    ok &= slice_eq_secret(slice_str(key.secret), secret);
    if (ok) {
        v->mode = AUTH_BEARER;
        memcpy(v->access, key.access, sizeof(v->access));
    }
    OPENSSL_cleanse(&key, sizeof(key));
    return ok ? 0 : wrong_key();
}

/* ---- SigV4 ---- */

/* Signing keys of this thread's latest (access key, date, region): deriving one costs four HMACs.
 */
#define CACHE_SLOTS 32
struct cached {
    uint32_t generation; /* keys_generation + 1; 0: empty */
    char access[KEY_ACCESS_MAX + 1];
    char scope[160]; /* date/region */
    uint8_t key[SIGV4_KEY_LEN];
};
static _Thread_local struct cached cache[CACHE_SLOTS];

static void signing_key(uint32_t generation, const struct key *k, const struct sigv4_claim *c,
                        uint8_t ret[SIGV4_KEY_LEN])
{
    char scope[160];
    int n = snprintf(scope, sizeof(scope), "%.*s/%.*s", SLICE_ARG(c->date), SLICE_ARG(c->region));
    uint32_t h = (uint32_t)(uint8_t)k->access[2] * 31 + (uint8_t)k->access[3];
    for (int i = 0; i < n; i++)
        h = h * 31 + (uint8_t)scope[i];
    struct cached *slot = &cache[h % CACHE_SLOTS];
    if (slot->generation != generation || strcmp(slot->access, k->access) != 0 ||
        strcmp(slot->scope, scope) != 0) {
        slot->generation = generation;
        memcpy(slot->access, k->access, sizeof(slot->access));
        memcpy(slot->scope, scope, sizeof(slot->scope));
        sigv4_signing_key(slice_str(k->secret), c->date, c->region, slot->key);
    }
    memcpy(ret, slot->key, SIGV4_KEY_LEN);
}

/* Does the claim's signature hold in either form of the target? */
static int prove(const struct sigv4_request *rq, const struct sigv4_claim *c,
                 const uint8_t key[SIGV4_KEY_LEN], bool *ret_ok)
{
    struct buf scratch = BUF_INIT(SIGV4_CANONICAL_MAX);
    char hex[SIGV4_HEX_LEN];
    bool ok = false;
    int rc = 0;
    static const enum sigv4_form forms[] = {SIGV4_FORM_CANONICAL, SIGV4_FORM_AS_SENT};
    for (size_t i = 0; i < KT_ARRAY_LEN(forms) && rc >= 0 && !ok; i++) {
        rc = sigv4_signature(rq, c, forms[i], key, &scratch, hex);
        ok = rc >= 0 && slice_eq_secret(c->signature, slice_of(hex, sizeof(hex)));
    }
    buf_done(&scratch);
    *ret_ok = ok;
    return rc;
}

static int check_sigv4(struct keys *keys, const struct h1_head *head, struct slice authorization,
                       int64_t now_s, struct auth_verdict *v)
{
    struct sigv4_request rq = {h1_method_name(head->method), head->path, head->query, head->fields,
                               head->nfields};
    struct sigv4_claim c;
    struct key key;
    uint8_t signing[SIGV4_KEY_LEN];
    bool proven;
    int rc = sigv4_parse(&rq, authorization, &c);
    if (rc < 0)
        return rc;
    /* Read before the key: a reload in between must not file an old secret as new. */
    uint32_t generation = keys_generation(keys) + 1;
    bool known = keys_find(keys, c.key_id, &key);
    signing_key(generation, &key, &c, signing);
    rc = prove(&rq, &c, signing, &proven);
    if (rc >= 0 && !(known & proven))
        rc = wrong_signature();
    /* Only now: a stranger learns nothing of this server's clock. */
    if (rc >= 0)
        rc = sigv4_check_time(&c, now_s);
    if (rc >= 0) {
        v->mode = AUTH_SIGV4;
        memcpy(v->access, key.access, sizeof(v->access));
        v->has_payload_hash = c.payload == SIGV4_PAYLOAD_SHA256;
        memcpy(v->payload_sha256, c.payload_sha256, sizeof(v->payload_sha256));
    }
    OPENSSL_cleanse(&key, sizeof(key));
    OPENSSL_cleanse(signing, sizeof(signing));
    return rc;
}

/* ---- signed URLs ---- */

void auth_sign_url(const struct key *key, const char *method, const struct blobid *id,
                   uint64_t expires_s, char ret_hex[AUTH_SIG_HEX])
{
    char id_text[BLOBID_TEXT_MAX], msg[128];
    uint8_t mac[32];
    size_t id_len = blobid_format(id, id_text);
    int n = snprintf(msg, sizeof(msg), "kitten-url-v1\n%s\n%.*s\n%llu\n", method, (int)id_len,
                     id_text, (unsigned long long)expires_s);
    sigv4_hmac(slice_str(key->secret), slice_of(msg, (size_t)n), mac);
    hex_encode(mac, sizeof(mac), ret_hex);
}

static int check_url(struct keys *keys, const struct h1_head *head, const struct route *rt,
                     int64_t now_s, struct auth_verdict *v)
{
    struct slice access = rt->param[PARAM_KEY], sig = rt->param[PARAM_SIG];
    struct key key;
    uint64_t expires;
    char hex[AUTH_SIG_HEX];
    if (!access.p || !sig.p || !rt->param[PARAM_EXPIRES].p ||
        !dec_to_u64(rt->param[PARAM_EXPIRES], &expires) || sig.len != AUTH_SIG_HEX)
        return err_set(KT_ERR_INVALID, "a signed URL has key, expires and sig, each once");
    bool ok = keys_find(keys, access, &key);
    enum h1_method m = head->method == H1_HEAD ? H1_GET : head->method;
    auth_sign_url(&key, h1_method_name(m), &rt->id, expires, hex);
    ok &= slice_eq_secret(sig, slice_of(hex, sizeof(hex)));
    if (ok) {
        v->mode = AUTH_URL;
        memcpy(v->access, key.access, sizeof(v->access));
    }
    OPENSSL_cleanse(&key, sizeof(key));
    if (!ok)
        return wrong_signature();
    if (now_s < 0 || expires < (uint64_t)now_s)
        return err_set(KT_ERR_EXPIRED, "the signed URL has expired");
    if (expires - (uint64_t)now_s > AUTH_URL_TTL_MAX_S + SIGV4_SKEW_S)
        return err_set(KT_ERR_DENIED, "a signed URL lasts at most 7 days");
    return 0;
}

/* ---- the decision ---- */

/* The one Authorization field; *ret_value.p is NULL when there is none. */
static int find_authorization(const struct h1_head *head, struct slice *ret_value)
{
    *ret_value = slice_of(NULL, 0);
    for (int i = 0; i < head->nfields; i++) {
        if (!slice_eq_nocase(head->fields[i].name, SLICE_LIT("authorization")))
            continue;
        if (ret_value->p)
            return err_set(KT_ERR_INVALID, "two Authorization fields");
        *ret_value = head->fields[i].value;
        if (ret_value->len == 0)
            return err_set(KT_ERR_INVALID, "empty Authorization field");
    }
    return 0;
}

static int check_credentials(struct keys *keys, const struct h1_head *head, const struct route *rt,
                             int64_t now_s, struct auth_verdict *v)
{
    struct slice authorization;
    bool by_url = rt->param[PARAM_KEY].p || rt->param[PARAM_SIG].p;
    if (rt->op != OP_SIGN)
        by_url |= rt->param[PARAM_EXPIRES].p != NULL;
    int rc = find_authorization(head, &authorization);
    if (rc < 0)
        return rc;
    if (authorization.p && by_url)
        return err_set(KT_ERR_INVALID, "credentials in both the URL and the Authorization field");
    if (by_url)
        return check_url(keys, head, rt, now_s, v);
    if (!authorization.p)
        return 0;
    if (sigv4_recognise(authorization))
        return check_sigv4(keys, head, authorization, now_s, v);
    if (authorization.len > 7 &&
        slice_eq_nocase(slice_sub(authorization, 0, 7), SLICE_LIT("bearer ")))
        return check_bearer(keys, slice_sub(authorization, 7, authorization.len), v);
    return err_set(KT_ERR_UNAUTHENTICATED,
                   "Authorization must be Bearer ACCESS:SECRET or AWS4-HMAC-SHA256");
}

int auth_check(struct keys *keys, const struct h1_head *head, const struct route *rt, int64_t now_s,
               struct auth_verdict *ret)
{
    ret->mode = AUTH_NONE;
    ret->access[0] = 0;
    ret->has_payload_hash = false;
    int rc = check_credentials(keys, head, rt, now_s, ret);
    if (rc < 0)
        return rc;
    bool by_key = ret->mode == AUTH_BEARER || ret->mode == AUTH_SIGV4;
    switch (needs[rt->op]) {
    case NEED_NOTHING:
    case NEED_CAPABILITY:
        return 0;
    case NEED_KEY:
        break;
    }
    if (by_key)
        return 0;
    if (ret->mode == AUTH_URL)
        return err_set(KT_ERR_DENIED, "a signed URL only allows reading");
    return wrong_key();
}

int auth_may_read(const struct auth_verdict *v, uint32_t bucket_flags)
{
    if ((bucket_flags & BUCKET_SIGNED_URLS) && v->mode == AUTH_NONE)
        return err_set(KT_ERR_DENIED, "blobs of this bucket are read by signed URL or with a key");
    return 0;
}
