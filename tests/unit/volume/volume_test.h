/* volume_test: put, get and delete on a disk, with checks. */
#ifndef KT_VOLUME_TEST_H
#define KT_VOLUME_TEST_H

#include "tests/lib/engine_test.h"

#include "base/buf.h"
#include "volume/disk.h"

#define SOON rt_after_ms(20000)

/* Queues one blob of a pattern. */
static inline struct append *blob_new(uint32_t len, uint32_t seed, struct slice meta)
{
    uint8_t *data = mem_alloc(len + 1);
    fill_pattern(data, len, seed);
    struct slice piece = slice_of(data, len);
    struct append_data what = {.kind = NEEDLE_DATA,
                               .bucket = 7,
                               .cookie = 0x1234567800000000u + seed,
                               .meta = meta,
                               .data = &piece,
                               .ndata = 1};
    struct append *a;
    CHECK_EQ(append_new(&what, &a), 0);
    mem_free(data);
    return a;
}
static inline int blob_try_put(struct volume *v, uint32_t len, uint32_t seed, struct blobid *ret)
{
    struct append *a = blob_new(len, seed, (struct slice){NULL, 0});
    int rc = volume_append(v, a);
    if (rc == 0)
        rc = append_wait(a, SOON, ret);
    append_unref(a);
    return rc;
}
static inline struct blobid blob_put(struct volume *v, uint32_t len, uint32_t seed)
{
    struct blobid id = {0};
    CHECK_EQ(blob_try_put(v, len, seed, &id), 0);
    return id;
}
/* Reads [from, from + len) and compares with the pattern of a blob of `total` bytes. */
static inline int blob_try_get(struct volume *v, const struct blobid *id, uint32_t total,
                               uint32_t seed, uint32_t from, uint32_t len)
{
    struct volume_reader r;
    struct needle_info info;
    int rc = volume_read_open(v, id, 0, SOON, &r, &info);
    if (rc < 0)
        return rc;
    CHECK_EQ(info.data_len, total);
    uint8_t *want = mem_alloc(total + 1);
    fill_pattern(want, total, seed);
    volume_read_seek(&r, from, len);
    uint32_t at = from;
    struct slice s = {NULL, 0};
    while ((rc = volume_read_next(&r, &s)) == 0 && s.len > 0) {
        CHECK(at + s.len <= from + len);
        CHECK(memcmp(s.p, want + at, s.len) == 0);
        at += (uint32_t)s.len;
    }
    if (rc == 0)
        CHECK_EQ(at, from + len);
    volume_read_close(&r);
    mem_free(want);
    return rc;
}
static inline int blob_get(struct volume *v, const struct blobid *id, uint32_t len, uint32_t seed)
{
    return blob_try_get(v, id, len, seed, 0, len);
}

static inline struct disk *disk_must(const char *path, const struct disk_options *opt)
{
    struct disk *d;
    struct disk_options small = opt ? *opt : (struct disk_options){.volume_limit_bytes = 64u << 20};
    CHECK_EQ(disk_open(path, &small, &d), 0);
    return d;
}
static inline struct volume *volume_must(struct disk *d, vid_t vid, uint64_t limit)
{
    struct volume_new n = {.vid = vid, .limit_bytes = limit};
    struct volume *v;
    CHECK_EQ(volume_create(d, &n, &v), 0);
    return v;
}
static inline struct volume *volume_find(struct disk *d, vid_t vid)
{
    for (uint32_t i = 0; i < disk_volume_count(d); i++)
        if (volume_vid(disk_volume_at(d, i)) == vid)
            return disk_volume_at(d, i);
    return NULL;
}
static inline void drain_pool(struct disk *d)
{
    disk_close(d);
    volume_read_drain();
}

#endif
