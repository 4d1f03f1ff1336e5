/* route: from a request's method and target to an operation with its parameters. Pure, and before
 * everything else.
 *
 * Model. One table (route.c) holds every path of the blob API, the methods it has, the operation
 * each means and the query parameters that the operation knows. The target is decoded here, once,
 * and nobody looks at it again: later code sees an operation, a blob id, a bucket name and decoded
 * parameter values, all bounded. What the table doesn't hold does not exist: unknown paths, methods
 * and parameters are refused, and so are repeated parameters.
 *
 * Any thread, never yields, allocates nothing.
 */
#ifndef KT_GATEWAY_ROUTE_H
#define KT_GATEWAY_ROUTE_H

#include "base/err.h"
#include "base/slice.h"
#include "codec/h1.h"
#include "format/blobid.h"

enum op {
    OP_BLOB_PUT,
    OP_BLOB_GET,
    OP_BLOB_DELETE,
    OP_BLOB_UNDELETE,
    OP_BATCH_PUT,
    OP_BATCH_GET,
    OP_BUCKET_LIST,
    OP_BUCKET_GET,
    OP_BUCKET_PUT,
    OP_BUCKET_DELETE,
    OP_SIGN,
    OP_STATUS,
    OP_METRICS,
    OP_LIVE,
    OP_READY,
    OP_COUNT,
};

enum param {
    PARAM_BUCKET,        /* bucket name */
    PARAM_TTL,           /* seconds until the blob, or the signed URL, expires */
    PARAM_KEY,           /* signed URL: access key */
    PARAM_EXPIRES,       /* signed URL: Unix seconds */
    PARAM_SIG,           /* signed URL: hex HMAC */
    PARAM_UNDELETE,      /* no value */
    PARAM_ID,            /* blob id */
    PARAM_WITH_CONTENTS, /* removing a bucket that is not empty; no value */
    PARAM_COUNT,
};

#define ROUTE_TEXT_MAX 512 /* bytes of all decoded parameter values */
#define BUCKET_NAME_MAX 63

struct route {
    enum op op;
    struct blobid id; /* of OP_BLOB_GET, DELETE, UNDELETE */
    char name[BUCKET_NAME_MAX +
              1]; /* of OP_BUCKET_GET, PUT, DELETE; unchecked against naming rules */
    struct slice param[PARAM_COUNT]; /* decoded; p is NULL when absent; points into text */
    uint8_t text[ROUTE_TEXT_MAX];
    size_t text_len;
};

/* Fills *ret (always initialised by a success). Errors: NO_ROUTE, METHOD, INVALID. */
int route_parse(enum h1_method method, struct slice path, struct slice query,
                struct route *ret) KT_MUST_CHECK;

/* Static lower-case name, as in the api label of metrics. */
const char *op_name(enum op op);

/* Is `name` a bucket name by S3's rules (3..63 of a-z 0-9 - ., not an IP address, no reserved
 * prefix or word)? */
bool bucket_name_ok(struct slice name);

#endif
