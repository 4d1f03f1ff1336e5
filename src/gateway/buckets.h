/* buckets: the table of buckets. Every blob belongs to one; it gives the quota, the expiry and the
 * way of reading.
 *
 * Model. A bucket is known by its name to writers and by its id, which stands in each needle's
 * header, to readers. Ids start at 1 and are never used twice, so a bucket that is removed and made
 * again under the same name doesn't inherit old blobs. The truth is the log: each change is a
 * needle of kind NEEDLE_BUCKET (TAG_NAME, TAG_SETTINGS as JSON; the highest version of an id wins)
 * and is acknowledged once that needle is durable. buckets.json is a cache of it, made anew by a
 * scan when it is missing, damaged, or was left marked `dirty` by a change that a crash cut short:
 *
 *     change = write buckets.json {dirty: true, next numbers}, put the needle, apply, write
 * buckets.json {dirty: false}
 *
 * `used_bytes` and `blobs` are counted in memory and saved with the cache every few seconds and at
 * the end: after a crash they may lack the last seconds; a rebuild counts afresh. The file says
 * `exact: true` only after a clean end of a server that knew them exactly. A quota is checked
 * against them before the body is read and after it.
 *
 * Readers (any loop) take no lock: a struct bucket lives until buckets_close, and what may change
 * in it is atomic. Changes run one at a time on loop 0. There can be BUCKETS_MAX buckets over a
 * server's whole life.
 */
#ifndef KT_GATEWAY_BUCKETS_H
#define KT_GATEWAY_BUCKETS_H

#include "api/store.h"
#include "base/err.h"
#include "gateway/route.h"
#include <stdatomic.h>

#define BUCKETS_FILE "buckets.json"
#define BUCKETS_MAX 65536u
#define BUCKETS_SAVE_MS 5000

#define BUCKET_REMOVED 1u     /* reads and writes are refused, for ever */
#define BUCKET_UNSURE 4u      /* a removal may or may not be on disk: writes are refused */
#define BUCKET_SIGNED_URLS 2u /* reading needs a signed URL or a key */

struct bucket {
    uint32_t id;
    char name[BUCKET_NAME_MAX + 1];
    int64_t created_s;            /* Unix seconds */
    uint8_t metric;               /* its number as a metric label */
    struct bucket *next;          /* in its hash chain; set before it is published */
    _Atomic uint32_t flags;       /* BUCKET_* */
    _Atomic uint32_t ttl_s;       /* expiry that a blob gets when the writer names none; 0: never */
    _Atomic uint64_t quota_bytes; /* 0: no limit */
    _Atomic uint64_t used_bytes, blobs;
    uint64_t version;     /* of its record; loop 0's */
    struct blobid record; /* its needle; vid 0: not known. Loop 0's */
};

struct bucket_settings {
    bool signed_urls;
    uint64_t quota_bytes;
    uint32_t ttl_s;
};

struct buckets;

/* Loads the cache from directory handle `dir`, or scans `store` (both borrowed until
 * buckets_close). On loop 0. Errors: IO, CORRUPT, NO_SPACE, ... */
int buckets_open(int dir, const struct store_api *store,
                 struct buckets **ret) KT_MUST_CHECK KT_YIELDS;
/* Saves the counters and frees; NULL is fine. */
void buckets_close(struct buckets *b) KT_YIELDS;
/* Saves the counters when they have changed; called now and then by one fiber of loop 0. */
int buckets_save(struct buckets *b) KT_MUST_CHECK KT_YIELDS;

/* The live bucket of that name, or NULL. Any loop, never yields. */
struct bucket *buckets_find(const struct buckets *b, struct slice name);
/* The bucket with that id, live or removed, or NULL. Any loop, never yields. */
struct bucket *buckets_by_id(const struct buckets *b, uint32_t id);
/* Calls `each` for every live bucket in order of ids. Must not yield. */
void buckets_each(const struct buckets *b, void (*each)(void *arg, const struct bucket *bk),
                  void *arg);

/* Makes the bucket, or changes the settings of the one that exists. Durable on return. Sets
 * *ret_made. Any loop. Errors: INVALID (name), LIMIT, NO_SPACE, FENCED, IO, TIMEOUT. */
int buckets_put(struct buckets *b, const char *name, const struct bucket_settings *s,
                bool *ret_made) KT_MUST_CHECK KT_YIELDS;
/* Removes it, durably: from the return on no read finds its blobs. Errors: NO_BUCKET, and as above.
 */
int buckets_remove(struct buckets *b, const char *name) KT_MUST_CHECK KT_YIELDS;

/* Does the bucket hold no blob? By its counter; after a crash, when that may lack the last seconds,
 * a counter of 0 is not believed and the store is searched, which is slow. Returns 1 or 0. Any
 * loop. Errors: TIMEOUT, CORRUPT, NOT_HERE, IO. */
int buckets_empty(struct buckets *b, const struct bucket *bk,
                  int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;

/* Counts blobs and bytes more, or less; never below 0. Any loop. */
void bucket_account(struct bucket *bk, int64_t blobs, int64_t bytes);

#endif
