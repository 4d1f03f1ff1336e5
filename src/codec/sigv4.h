/* sigv4: AWS Signature Version 4, the request side as a server checks it. Bytes in, verdict out; no
 * I/O.
 *
 * Model. A request claims, in its Authorization field, that the owner of a key id signed it:
 *
 *     AWS4-HMAC-SHA256 Credential=KEYID/DATE/REGION/s3/aws4_request, SignedHeaders=a;b,
 * Signature=HEX
 *
 * sigv4_parse takes the claim apart and checks all that needs no secret; sigv4_signature computes
 * what the signature should be, from a signing key that sigv4_signing_key derives and that the
 * caller may keep for a day. A claim is only as strong as what it covers, so these are refused:
 * `host` unsigned; any x-amz-* field of the request unsigned, or sent twice; SignedHeaders
 * unsorted, repeated, or naming a field that is absent; a repeated or missing part of the claim; a
 * scope date other than the timestamp's; a service other than s3.
 *
 * The canonical path and query are each component decoded once and encoded again in one way.
 * Clients differ in what they encode (curl signs the bytes it sends), so the caller tries both
 * forms of enum sigv4_form. That gives no power away: a target whose bytes equal the canonical form
 * of some request decodes to that request.
 *
 * Payload: the x-amz-content-sha256 field is UNSIGNED-PAYLOAD or the hash that the body must have;
 * without the field the body must be empty. Format: "Authenticating Requests (AWS Signature Version
 * 4)", Amazon S3 API reference.
 *
 * Pure functions, any thread, never yield; sigv4_signature allocates through its buf and libcrypto
 * only.
 */
#ifndef KT_CODEC_SIGV4_H
#define KT_CODEC_SIGV4_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "codec/h1.h"

#define SIGV4_SKEW_S 900    /* the client's clock may differ by this much */
#define SIGV4_SIGNED_MAX 64 /* names in SignedHeaders */
#define SIGV4_CANONICAL_MAX KIB(64)
#define SIGV4_KEY_LEN 32
#define SIGV4_HEX_LEN 64

/* The signed view of a request; everything is borrowed. */
struct sigv4_request {
    const char *method;
    struct slice path, query; /* as sent */
    const struct h1_field *fields;
    int nfields;
};

enum sigv4_payload { SIGV4_PAYLOAD_SHA256, SIGV4_PAYLOAD_UNSIGNED };
enum sigv4_form { SIGV4_FORM_CANONICAL, SIGV4_FORM_AS_SENT };

/* A claim, parsed and not yet proven. Slices point into the request. */
struct sigv4_claim {
    struct slice key_id, date, region, service; /* date: YYYYMMDD */
    struct slice timestamp;                     /* YYYYMMDDTHHMMSSZ */
    int64_t time_s;                             /* the same, Unix seconds */
    struct slice signed_names;                  /* "a;b;c" */
    struct slice signature;                     /* 64 lower-case hex digits */
    struct slice payload_hash;                  /* the line of the canonical request */
    enum sigv4_payload payload;
    uint8_t payload_sha256[32]; /* for SIGV4_PAYLOAD_SHA256 */
};

/* True when the value of an Authorization field starts such a claim. */
bool sigv4_recognise(struct slice authorization);

/* Parses and checks the claim in `authorization`, the value of rq's one Authorization field.
 * Errors: INVALID (malformed), DENIED (something that must be signed is not). */
int sigv4_parse(const struct sigv4_request *rq, struct slice authorization,
                struct sigv4_claim *ret) KT_MUST_CHECK;

/* Errors: CLOCK_SKEW when the claim's time is more than SIGV4_SKEW_S away from now_s (Unix
 * seconds). */
int sigv4_check_time(const struct sigv4_claim *claim, int64_t now_s) KT_MUST_CHECK;

/* The key for one secret, day and region. */
void sigv4_signing_key(struct slice secret, struct slice date, struct slice region,
                       uint8_t ret_key[SIGV4_KEY_LEN]);

/* Appends the canonical request of `claim` to `out`. Errors: INVALID (bad percent-encoding),
 * TOO_LARGE. */
int sigv4_canonical(const struct sigv4_request *rq, const struct sigv4_claim *claim,
                    enum sigv4_form form, struct buf *out) KT_MUST_CHECK;

/* The signature that `claim` should carry, as lower-case hex. `scratch` is overwritten. Errors: as
 * sigv4_canonical. */
int sigv4_signature(const struct sigv4_request *rq, const struct sigv4_claim *claim,
                    enum sigv4_form form, const uint8_t key[SIGV4_KEY_LEN], struct buf *scratch,
                    char ret_hex[SIGV4_HEX_LEN]) KT_MUST_CHECK;

/* HMAC-SHA256 of `msg` under `key`. */
void sigv4_hmac(struct slice key, struct slice msg, uint8_t ret[32]);

#endif
