/* auth: the one place that decides who may do what. Called once per request, before any handler.
 *
 * Model. A table (auth.c) gives each operation the least it needs: nothing (health), a capability
 * (reading a blob: its cookie, or what its bucket asks for), or a key. Credentials that are
 * presented are always checked, also where none are needed: a wrong signature never counts as no
 * signature. There are three kinds, at most one per request:
 *
 *     Authorization: Bearer ACCESS:SECRET
 *     Authorization: AWS4-HMAC-SHA256 ...                 codec/sigv4.h
 *     ?key=ACCESS&expires=UNIX&sig=HEX                    for one method and one blob; see
 * auth_sign_url
 *
 * Handlers get the verdict and make one more decision with it, when the bucket is known:
 * auth_may_read. An unknown access key costs the same work and gets the same answer as a wrong
 * secret; all comparisons of secrets and signatures take constant time. What is not in the table is
 * refused.
 *
 * Any loop. Does not yield.
 */
#ifndef KT_GATEWAY_AUTH_H
#define KT_GATEWAY_AUTH_H

#include "codec/h1.h"
#include "gateway/buckets.h"
#include "gateway/keys.h"
#include "gateway/route.h"

enum auth_mode { AUTH_NONE, AUTH_BEARER, AUTH_SIGV4, AUTH_URL };

struct auth_verdict {
    enum auth_mode mode;
    char access[KEY_ACCESS_MAX + 1]; /* whose key, "" for AUTH_NONE */
    bool has_payload_hash;           /* the body must have this SHA-256 */
    uint8_t payload_sha256[32];
};

/* Decides. Errors: UNAUTHENTICATED, SIGNATURE, EXPIRED, CLOCK_SKEW, DENIED, INVALID (malformed or
 * two credentials). */
int auth_check(struct keys *keys, const struct h1_head *head, const struct route *rt, int64_t now_s,
               struct auth_verdict *ret) KT_MUST_CHECK;

/* May this verdict read blobs of a bucket with these flags? Errors: DENIED. */
int auth_may_read(const struct auth_verdict *v, uint32_t bucket_flags) KT_MUST_CHECK;

#define AUTH_URL_TTL_MAX_S (7u * 86400u)
#define AUTH_SIG_HEX 64
/* The signature of a URL that allows `method` ("GET" also allows HEAD) on blob `id` with `key`
 * until expires_s (Unix seconds): HMAC-SHA256 under the secret, of "kitten-url-v1", method, id and
 * expiry, one a line. */
void auth_sign_url(const struct key *key, const char *method, const struct blobid *id,
                   uint64_t expires_s, char ret_hex[AUTH_SIG_HEX]);

#endif
