/* needle: encode, decode and verify one needle.
 *
 * Encoding takes one checksum pass over place, header and meta; verifying takes one pass over the
 * data. Failure modes: bytes that don't belong here (other volume, generation or offset), torn or
 * rotten bytes, and claims beyond the limits all answer CORRUPT; only a buffer that is too short
 * answers AGAIN.
 */
#include "format/needle.h"

#include "base/assert.h"
#include "base/checked.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include "base/fault.h"
#include <inttypes.h>

/* The header as it lies on disk. */
struct needle_disk {
    uint32_t header_crc;
    uint32_t seq;
    uint32_t data_crc;
    uint32_t bucket;
    uint32_t epoch;
    uint32_t durable;
    uint32_t data_len;
    uint16_t meta_len;
    uint8_t kind;
    uint8_t flags;
    uint64_t version;
    uint64_t cookie;
};
_Static_assert(sizeof(struct needle_disk) == NEEDLE_HEADER, "the needle header has 48 bytes");
_Static_assert(offsetof(struct needle_disk, seq) == 4, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, data_crc) == 8, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, bucket) == 12, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, epoch) == 16, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, durable) == 20, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, data_len) == 24, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, meta_len) == 28, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, kind) == 30, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, flags) == 31, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, version) == 32, "on-disk layout");
_Static_assert(offsetof(struct needle_disk, cookie) == 40, "on-disk layout");

#define PLACE_BYTES 28u /* UUID, generation, offset */

/* The checksum that binds `head` (48 bytes, meta right behind it) to its place. */
static uint32_t head_crc(const uint8_t *head, size_t meta_len, const struct needle_place *place,
                         uint64_t offset)
{
    uint8_t fixed[PLACE_BYTES + NEEDLE_HEADER - 4];
    memcpy(fixed, place->uuid, sizeof(place->uuid));
    store_u32le(fixed + 16, place->generation);
    store_u64le(fixed + 20, offset);
    memcpy(fixed + PLACE_BYTES, head + 4, NEEDLE_HEADER - 4);
    uint32_t crc = crc32c(place->secret, fixed, sizeof(fixed));
    return meta_len ? crc32c(crc, head + NEEDLE_HEADER, meta_len) : crc;
}

void needle_encode(const struct needle_info *n, const struct needle_place *place, struct slice meta,
                   uint8_t *out)
{
    kt_assert(n->offset % NEEDLE_ALIGN == 0 && n->durable % NEEDLE_ALIGN == 0);
    kt_assert(n->durable <= n->offset && (n->offset - n->durable) / NEEDLE_ALIGN <= UINT32_MAX);
    kt_assert(n->data_len <= NEEDLE_DATA_MAX && meta.len <= NEEDLE_META_MAX && n->kind != 0);
    struct needle_disk d = {
        .seq = n->seq,
        .data_crc = n->data_crc,
        .bucket = n->bucket,
        .epoch = n->epoch,
        .durable = (uint32_t)((n->offset - n->durable) / NEEDLE_ALIGN),
        .data_len = n->data_len,
        .meta_len = (uint16_t)meta.len,
        .kind = n->kind,
        .flags = n->flags,
        .version = n->version,
        .cookie = n->cookie,
    };
    memcpy(out, &d, sizeof(d));
    if (meta.len)
        memmove(out + NEEDLE_HEADER, meta.p, meta.len);
    store_u32le(out, head_crc(out, meta.len, place, n->offset));
}

uint32_t needle_head_len(struct slice in)
{
    kt_assert(in.len >= NEEDLE_HEADER);
    return NEEDLE_HEADER + load_u16le(in.p + offsetof(struct needle_disk, meta_len));
}

int needle_decode(struct slice in, uint64_t offset, const struct needle_place *place,
                  struct needle_info *ret)
{
    struct needle_disk d;
    if (in.len < sizeof(d))
        return -KT_ERR_AGAIN;
    memcpy(&d, in.p, sizeof(d));
    if (d.meta_len > NEEDLE_META_MAX || d.data_len > NEEDLE_DATA_MAX || d.kind == 0)
        return err_set(KT_ERR_CORRUPT, "no needle at offset %" PRIu64, offset);
    if (in.len < sizeof(d) + d.meta_len)
        return -KT_ERR_AGAIN;
    if (d.header_crc != head_crc(in.p, d.meta_len, place, offset) && !BUG(CRC_DATA_ONLY))
        return err_set(KT_ERR_CORRUPT, "needle header at offset %" PRIu64 " fails its checksum",
                       offset);
    uint64_t back = (uint64_t)d.durable * NEEDLE_ALIGN;
    if (back > offset)
        return err_set(KT_ERR_CORRUPT, "needle at offset %" PRIu64 " claims to follow nothing",
                       offset);
    *ret = (struct needle_info){
        .seq = d.seq,
        .data_crc = d.data_crc,
        .bucket = d.bucket,
        .epoch = d.epoch,
        .durable = offset - back,
        .offset = offset,
        .data_len = d.data_len,
        .meta_len = d.meta_len,
        .kind = d.kind,
        .flags = d.flags,
        .version = d.version,
        .cookie = d.cookie,
        .generation = place->generation,
    };
    return 0;
}

int needle_check_table(const struct needle_info *n, struct slice table)
{
    if (table.len != 4ull * needle_blocks(n->data_len) ||
        crc32c(0, table.p, table.len) != n->data_crc)
        return err_set(KT_ERR_CORRUPT, "block table of the needle at offset %" PRIu64 " is damaged",
                       n->offset);
    return 0;
}

int needle_check_block(struct slice table, uint32_t i, struct slice block)
{
    kt_assert(4ull * i + 4 <= table.len);
    if (crc32c(0, block.p, block.len) != load_u32le(table.p + 4ull * i))
        return err_set(KT_ERR_CORRUPT, "data block %u fails its checksum", i);
    return 0;
}

/* Verifies data (and the table before it) of a decoded needle; `body` starts behind the meta. */
static int verify_data(const struct needle_info *n, struct slice body)
{
    struct slice table = slice_sub(body, 0, 4ull * needle_blocks(n->data_len));
    struct slice data = slice_sub(body, table.len, n->data_len);
    if (table.len == 0) {
        if (crc32c(0, data.p, data.len) != n->data_crc)
            return err_set(KT_ERR_CORRUPT,
                           "data of the needle at offset %" PRIu64 " fails its checksum",
                           n->offset);
        return 0;
    }
    int rc = needle_check_table(n, table);
    for (uint32_t i = 0; rc == 0 && i < needle_blocks(n->data_len); i++)
        rc = needle_check_block(table, i, slice_sub(data, (size_t)i * NEEDLE_BLOCK, NEEDLE_BLOCK));
    return rc < 0 ? err_wrap(rc, "needle at offset %" PRIu64, n->offset) : 0;
}

int needle_verify(struct slice in, uint64_t offset, const struct needle_place *place,
                  struct needle_info *ret)
{
    struct needle_info n;
    int rc = needle_decode(in, offset, place, &n);
    if (rc < 0)
        return rc;
    uint64_t size = needle_size(n.data_len, n.meta_len);
    if (in.len < size)
        return -KT_ERR_AGAIN;
    size_t head = NEEDLE_HEADER + n.meta_len;
    rc = verify_data(&n, slice_sub(in, head, (size_t)size - head));
    if (rc < 0)
        return rc;
    for (uint64_t at = needle_data_at(n.data_len, n.meta_len) + n.data_len; at < size; at++)
        if (in.p[at] != 0)
            return err_set(KT_ERR_CORRUPT, "padding of the needle at offset %" PRIu64 " is damaged",
                           offset);
    *ret = n;
    return 0;
}

uint32_t needle_data_crc(const struct slice *pieces, int n, uint32_t data_len, uint8_t *table)
{
    uint32_t crc = 0, filled = 0, block = 0;
    bool blocks = data_len > NEEDLE_BLOCK;
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        struct slice left = pieces[i];
        total += left.len;
        while (left.len > 0) {
            size_t step = blocks ? KT_MIN(left.len, NEEDLE_BLOCK - filled) : left.len;
            crc = crc32c(crc, left.p, step);
            left = slice_sub(left, step, left.len);
            filled = (uint32_t)(filled + step);
            if (blocks && filled == NEEDLE_BLOCK) {
                store_u32le(table + 4ull * block++, crc);
                crc = filled = 0;
            }
        }
    }
    kt_assert(total == data_len);
    if (!blocks)
        return crc;
    if (filled > 0)
        store_u32le(table + 4ull * block++, crc);
    return crc32c(0, table, 4ull * block);
}

int needle_meta_add(uint8_t *out, size_t cap, size_t *len, enum needle_tag tag, struct slice v)
{
    kt_assert(*len <= cap);
    size_t room = KT_MIN(cap, (size_t)NEEDLE_META_MAX);
    if (*len > room || room - *len < 3 || v.len > room - *len - 3)
        return err_set(KT_ERR_TOO_LARGE, "metadata beyond %u bytes", NEEDLE_META_MAX);
    out[*len] = (uint8_t)tag;
    store_u16le(out + *len + 1, (uint16_t)v.len);
    if (v.len)
        memcpy(out + *len + 3, v.p, v.len);
    *len += 3 + v.len;
    return 0;
}

int needle_meta_next(struct slice meta, size_t *at, uint8_t *ret_tag, struct slice *ret_v)
{
    if (*at >= meta.len)
        return 0;
    size_t left = meta.len - *at;
    if (left < 3 || load_u16le(meta.p + *at + 1) > left - 3)
        return err_set(KT_ERR_CORRUPT, "metadata of a needle is malformed");
    size_t len = load_u16le(meta.p + *at + 1);
    *ret_tag = meta.p[*at];
    *ret_v = slice_sub(meta, *at + 3, len);
    *at += 3 + len;
    return 1;
}

bool needle_meta_find(struct slice meta, enum needle_tag tag, struct slice *ret)
{
    size_t at = 0;
    uint8_t found = 0;
    struct slice v;
    while (needle_meta_next(meta, &at, &found, &v) == 1) {
        if (found == (uint8_t)tag) {
            *ret = v;
            return true;
        }
    }
    return false;
}
