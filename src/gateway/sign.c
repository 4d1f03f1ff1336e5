/* sign: makes signed URLs for whoever holds a key. The path only: where this server is reached, the
 * client knows better. */
#include "gateway/gateway_priv.h"

#include "base/enc.h"
#include "base/macros.h"
#include <openssl/crypto.h>
#include <stdio.h>

/* Exactly one of ttl and expires. */
static int find_expiry(const struct call *c, uint64_t now_s, uint64_t *ret)
{
    struct slice ttl = c->route.param[PARAM_TTL], expires = c->route.param[PARAM_EXPIRES];
    uint64_t at = 0, max_s = c->gw->signed_url_max_s;
    if (!ttl.p == !expires.p)
        return err_set(KT_ERR_INVALID, "say ttl=SECONDS or expires=UNIX, one of them");
    if (ttl.p && (!dec_to_u64(ttl, &at) || at > max_s))
        return err_set(KT_ERR_INVALID, "ttl must be 1..%llu seconds", (unsigned long long)max_s);
    if (ttl.p)
        at += now_s;
    else if (!dec_to_u64(expires, &at))
        return err_set(KT_ERR_INVALID, "expires must be Unix seconds");
    if (at <= now_s || at - now_s > max_s)
        return err_set(KT_ERR_INVALID, "a signed URL lasts 1..%llu seconds",
                       (unsigned long long)max_s);
    *ret = at;
    return 0;
}

int sign_post(struct call *c)
{
    struct blobid id;
    struct key key;
    char id_text[BLOBID_TEXT_MAX], sig[AUTH_SIG_HEX], json[512];
    uint64_t expires;
    if (!c->route.param[PARAM_ID].p)
        return err_set(KT_ERR_INVALID, "say which blob: id=ID");
    int rc = blobid_parse(c->route.param[PARAM_ID], &id);
    if (rc >= 0)
        rc = find_expiry(c, (uint64_t)(rt_wall_ns() / NS_PER_SEC), &expires);
    if (rc < 0)
        return rc;
    if (!keys_find(c->gw->keys, slice_str(c->verdict.access), &key))
        return err_set(KT_ERR_UNAUTHENTICATED, "the key is gone");
    auth_sign_url(&key, "GET", &id, expires, sig);
    size_t id_len = blobid_format(&id, id_text);
    int n = snprintf(json, sizeof(json),
                     "{\"url\":\"/blob/%.*s?key=%s&expires=%llu&sig=%.*s\",\"expires\":%llu}\n",
                     (int)id_len, id_text, key.access, (unsigned long long)expires, AUTH_SIG_HEX,
                     sig, (unsigned long long)expires);
    OPENSSL_cleanse(&key, sizeof(key));
    return reply_json(c->rq, 200, slice_of(json, (size_t)n));
}
