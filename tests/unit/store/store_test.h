/* store_test: a store on directories of a test, with checked put and get. */
#ifndef KT_STORE_TEST_H
#define KT_STORE_TEST_H

#include "tests/lib/engine_test.h"

#include "base/buf.h"
#include "store/store.h"

#define SOON rt_after_ms(20000)

static inline struct store *store_must(const struct store_options *opt)
{
    struct store *s;
    CHECK_EQ(store_open(opt, &s), 0);
    return s;
}
static inline int api_try_put(struct store *s, uint32_t len, uint32_t seed, uint32_t expires_s,
                              struct blobid *ret)
{
    const struct store_api *api = store_api_of(s);
    uint8_t *data = mem_alloc(len + 1), meta[64];
    size_t meta_len = 0;
    fill_pattern(data, len, seed);
    struct slice pieces[2] = {slice_of(data, len / 2), slice_of(data + len / 2, len - len / 2)};
    if (expires_s)
        CHECK_EQ(
            needle_meta_add(meta, sizeof(meta), &meta_len, TAG_EXPIRES, slice_of(&expires_s, 4)),
            0);
    CHECK_EQ(
        needle_meta_add(meta, sizeof(meta), &meta_len, TAG_CONTENT_TYPE, SLICE_LIT("image/png")),
        0);
    struct store_put put = {.bucket = 3,
                            .kind = NEEDLE_DATA,
                            .expires_s = expires_s,
                            .meta = slice_of(meta, meta_len),
                            .data = pieces,
                            .ndata = 2};
    struct store_put_result res;
    int rc = api->put(api->self, &put, SOON, &res);
    mem_free(data);
    if (rc == 0)
        *ret = res.id;
    return rc;
}
static inline struct blobid api_put(struct store *s, uint32_t len, uint32_t seed)
{
    struct blobid id = {0};
    CHECK_EQ(api_try_put(s, len, seed, 0, &id), 0);
    return id;
}
static inline int api_get(struct store *s, const struct blobid *id, uint32_t len, uint32_t seed)
{
    const struct store_api *api = store_api_of(s);
    struct store_reader r;
    struct slice got, type;
    int rc = api->open(api->self, id, 0, SOON, &r);
    if (rc < 0)
        return rc;
    CHECK_EQ(r.info.data_len, len);
    CHECK(needle_meta_find(r.meta_view, TAG_CONTENT_TYPE, &type));
    CHECK(slice_eq(type, SLICE_LIT("image/png")));
    uint8_t *want = mem_alloc(len + 1);
    uint32_t at = 0;
    fill_pattern(want, len, seed);
    while ((rc = api->read(&r, SOON, &got)) == 0 && got.len > 0) {
        CHECK(at + got.len <= len && memcmp(got.p, want + at, got.len) == 0);
        at += (uint32_t)got.len;
    }
    if (rc == 0)
        CHECK_EQ(at, len);
    api->close(&r);
    mem_free(want);
    return rc;
}
static inline int api_remove(struct store *s, const struct blobid *id)
{
    const struct store_api *api = store_api_of(s);
    return api->remove(api->self, id, SOON);
}
static inline int api_unremove(struct store *s, const struct blobid *id)
{
    const struct store_api *api = store_api_of(s);
    return api->unremove(api->self, id, SOON);
}

#endif
