/* write: bucket, expiry, quota, meta and entity tag of what is about to be stored. */
#include "gateway/gateway_priv.h"

#include "base/enc.h"
#include "base/macros.h"
#include <string.h>

#define TTL_MAX_S (UINT64_C(100) * 366 * 86400)

int write_bucket(const struct call *c, struct bucket **ret)
{
    struct slice name = c->route.param[PARAM_BUCKET];
    if (!name.len)
        return err_set(KT_ERR_INVALID, "say which bucket: ?bucket=NAME");
    struct bucket *bk = buckets_find(c->gw->buckets, name);
    if (!bk)
        return err_set(KT_ERR_NO_BUCKET, "no such bucket");
    *ret = bk;
    return 0;
}

int write_expiry(const struct call *c, const struct bucket *bk, uint32_t *ret_s)
{
    uint64_t ttl = atomic_load(&bk->ttl_s);
    struct slice text = c->route.param[PARAM_TTL];
    if (text.p && (!dec_to_u64(text, &ttl) || ttl == 0 || ttl > TTL_MAX_S))
        return err_set(KT_ERR_INVALID, "ttl must be a number of seconds, at least 1");
    uint64_t at = (uint64_t)(rt_wall_ns() / NS_PER_SEC) + ttl;
    if (at > UINT32_MAX)
        return err_set(KT_ERR_INVALID, "ttl lies too far in the future");
    *ret_s = ttl ? (uint32_t)at : 0;
    return 0;
}

static int check_quota(const struct bucket *bk, uint64_t used, uint64_t more)
{
    uint64_t quota = atomic_load(&bk->quota_bytes);
    if (atomic_load(&bk->flags) & BUCKET_REMOVED)
        return err_set(KT_ERR_NO_BUCKET, "the bucket was removed while the body came in");
    if (atomic_load(&bk->flags) & BUCKET_UNSURE)
        return err_set(KT_ERR_UNAVAILABLE,
                       "a removal of this bucket got no answer: remove it again, or set it anew");
    if (quota && (used > quota || more > quota - used))
        return err_set(KT_ERR_QUOTA, "the bucket's quota of %llu bytes is used up",
                       (unsigned long long)quota);
    return 0;
}

int write_quota(const struct bucket *bk, uint64_t more)
{
    return check_quota(bk, atomic_load(&bk->used_bytes), more);
}

int write_reserve(struct bucket *bk, uint64_t bytes)
{
    uint64_t used = atomic_load(&bk->used_bytes);
    do {
        int rc = check_quota(bk, used, bytes);
        if (rc < 0)
            return rc;
    } while (!atomic_compare_exchange_weak(&bk->used_bytes, &used, used + bytes));
    bucket_account(bk, 1, 0);
    return 0;
}

bool write_type_ok(struct slice type)
{
    if (type.len == 0 || type.len > 255)
        return false;
    for (size_t i = 0; i < type.len; i++)
        if (type.p[i] < 0x20 || type.p[i] > 0x7e)
            return false;
    /* What curl sends when nobody chose a type says nothing about the bytes. */
    return !slice_eq_nocase(type, SLICE_LIT("application/x-www-form-urlencoded")) &&
           !slice_eq_nocase(type, SLICE_LIT("application/octet-stream"));
}

struct slice write_type_of_name(struct slice name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {".jpg", "image/jpeg"},        {".jpeg", "image/jpeg"},
        {".png", "image/png"},         {".gif", "image/gif"},
        {".webp", "image/webp"},       {".avif", "image/avif"},
        {".svg", "image/svg+xml"},     {".ico", "image/x-icon"},
        {".bmp", "image/bmp"},         {".tif", "image/tiff"},
        {".tiff", "image/tiff"},       {".heic", "image/heic"},
        {".mp4", "video/mp4"},         {".webm", "video/webm"},
        {".mp3", "audio/mpeg"},        {".pdf", "application/pdf"},
        {".json", "application/json"}, {".txt", "text/plain"},
        {".html", "text/html"},        {".css", "text/css"},
        {".js", "text/javascript"},    {".xml", "text/xml"},
        {".csv", "text/csv"},          {".zip", "application/zip"},
        {".gz", "application/gzip"},   {".pbf", "application/x-protobuf"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(types); i++) {
        size_t n = strlen(types[i].ending);
        if (name.len > n &&
            slice_eq_nocase(slice_sub(name, name.len - n, n), slice_str(types[i].ending)))
            return slice_str(types[i].type);
    }
    return slice_of(NULL, 0);
}

int write_meta(struct slice name, struct slice type, uint32_t expires_s,
               uint8_t out[WRITE_META_MAX], size_t *ret_len)
{
    uint8_t mtime[4], expires[4];
    size_t len = 0;
    store_u32le(mtime, (uint32_t)(rt_wall_ns() / NS_PER_SEC));
    store_u32le(expires, expires_s);
    int rc = needle_meta_add(out, WRITE_META_MAX, &len, TAG_MTIME, slice_of(mtime, sizeof(mtime)));
    if (rc >= 0 && type.len)
        rc = needle_meta_add(out, WRITE_META_MAX, &len, TAG_CONTENT_TYPE, type);
    if (rc >= 0 && name.len)
        rc = needle_meta_add(out, WRITE_META_MAX, &len, TAG_NAME, name);
    if (rc >= 0 && expires_s)
        rc = needle_meta_add(out, WRITE_META_MAX, &len, TAG_EXPIRES,
                             slice_of(expires, sizeof(expires)));
    if (rc >= 0)
        *ret_len = len;
    return rc < 0 ? rc : 0;
}

size_t etag_format(uint32_t data_crc, uint64_t len, char out[ETAG_MAX + 1])
{
    static const char hex[] = "0123456789abcdef";
    char *at = out;
    int shift = 60;
    *at++ = '"';
    for (int s = 28; s >= 0; s -= 4)
        *at++ = hex[data_crc >> s & 15];
    *at++ = '-';
    while (shift > 0 && !(len >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *at++ = hex[len >> shift & 15];
    *at++ = '"';
    *at = 0;
    return (size_t)(at - out);
}
