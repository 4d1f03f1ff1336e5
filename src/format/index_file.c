/* index_file: headers and checks of both forms.
 *
 * The checksum catches rot; the passes over the body make sure that no lookup can ever point
 * outside the log, whatever wrote the file.
 */
#include "format/index_file.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include "format/superblock.h"

#define INDEX_MAGIC_OPEN 0x4f58494bu   /* "KIXO" */
#define INDEX_MAGIC_SEALED 0x5358494bu /* "KIXS" */

struct index_head_disk {
    uint32_t magic;
    uint32_t crc;
    uint8_t uuid[16];
    uint32_t vid;
    uint32_t generation;
    uint32_t first_seq;
    uint32_t count;
    uint64_t log_end;
    uint32_t exceptions;
    uint8_t zero[12];
};
_Static_assert(sizeof(struct index_head_disk) == INDEX_HEAD, "on-disk layout");
_Static_assert(offsetof(struct index_head_disk, uuid) == 8, "on-disk layout");
_Static_assert(offsetof(struct index_head_disk, vid) == 24, "on-disk layout");
_Static_assert(offsetof(struct index_head_disk, count) == 36, "on-disk layout");
_Static_assert(offsetof(struct index_head_disk, log_end) == 40, "on-disk layout");
_Static_assert(offsetof(struct index_head_disk, exceptions) == 48, "on-disk layout");

static void head_write(const struct index_head *h, uint32_t magic, const void *body, size_t len,
                       uint8_t *out)
{
    struct index_head_disk d = {
        .magic = magic,
        .vid = h->vid,
        .generation = h->generation,
        .first_seq = h->first_seq,
        .count = h->count,
        .log_end = h->log_end,
        .exceptions = h->exceptions,
    };
    memcpy(d.uuid, h->uuid, sizeof(d.uuid));
    memcpy(out, &d, sizeof(d));
    uint32_t crc = crc32c(0, out + 8, INDEX_HEAD - 8);
    store_u32le(out + 4, len ? crc32c(crc, body, len) : crc);
}

/* Reads the header without its checksum and compares what identifies it. */
static int head_read(struct slice in, uint32_t magic, const struct index_head *expect,
                     struct index_head *ret)
{
    struct index_head_disk d;
    memcpy(&d, in.p, sizeof(d));
    if (d.magic != magic)
        return err_set(KT_ERR_CORRUPT, "index without its magic number");
    if (memcmp(d.uuid, expect->uuid, sizeof(d.uuid)) != 0 || d.vid != expect->vid ||
        d.generation != expect->generation)
        return err_set(KT_ERR_CORRUPT, "index of another volume or generation");
    *ret = (struct index_head){
        .vid = d.vid,
        .generation = d.generation,
        .first_seq = d.first_seq,
        .count = d.count,
        .log_end = d.log_end,
        .exceptions = d.exceptions,
    };
    memcpy(ret->uuid, d.uuid, sizeof(d.uuid));
    return 0;
}

static bool body_matches(struct slice in, size_t body)
{
    return load_u32le(in.p + 4) == crc32c(0, in.p + 8, INDEX_HEAD - 8 + body);
}

void index_open_encode(const struct index_head *h, const uint64_t *entries, uint8_t *out)
{
    kt_assert(h->count >= 1 && h->count <= INDEX_CHUNK && h->exceptions == 0);
    for (uint32_t i = 0; i < h->count; i++)
        store_u64le(out + INDEX_HEAD + 8ull * i, entries[i] & ((UINT64_C(1) << 56) - 1));
    head_write(h, INDEX_MAGIC_OPEN, out + INDEX_HEAD, 8ull * h->count, out);
}

static int check_entries(const uint8_t *p, const struct index_head *h)
{
    uint64_t end = VOLUME_LOG_START;
    for (uint32_t i = 0; i < h->count; i++) {
        uint64_t e = load_u64le(p + 8ull * i), size = index_entry_size(e);
        if (index_entry_flags(e) != 0 || (size > 0 && index_entry_offset(e) < end))
            return err_set(KT_ERR_CORRUPT, "index record with an impossible entry");
        if (size > 0)
            end = index_entry_offset(e) + size;
    }
    if (end > h->log_end)
        return err_set(KT_ERR_CORRUPT, "index record points behind its log");
    return 0;
}

int index_open_decode(struct slice in, const struct index_head *expect, struct index_head *ret)
{
    struct index_head h;
    if (in.len < INDEX_HEAD)
        return -KT_ERR_AGAIN;
    int rc = head_read(in, INDEX_MAGIC_OPEN, expect, &h);
    if (rc < 0)
        return rc;
    if (h.count < 1 || h.count > INDEX_CHUNK || h.first_seq != expect->first_seq ||
        h.exceptions != 0)
        return err_set(KT_ERR_CORRUPT, "index record that doesn't continue the one before");
    if (in.len < index_open_size(h.count))
        return -KT_ERR_AGAIN;
    if (!body_matches(in, 8ull * h.count))
        return err_set(KT_ERR_CORRUPT, "index record fails its checksum");
    if (h.log_end > expect->log_end)
        return err_set(KT_ERR_CORRUPT, "index record is newer than its log");
    rc = check_entries(in.p + INDEX_HEAD, &h);
    if (rc == 0)
        *ret = h;
    return rc;
}

void index_sealed_encode(const struct index_head *h, const void *body, uint8_t out[INDEX_HEAD])
{
    kt_assert(h->first_seq == 0);
    head_write(h, INDEX_MAGIC_SEALED, body, index_sealed_body(h->count, h->exceptions), out);
}

/* Adds up one block in units of 8 bytes; takes its exceptions from *exc on. */
static int check_block(const uint8_t *block, uint32_t first_seq, const uint8_t **exc,
                       const uint8_t *exc_end, uint64_t *end)
{
    uint64_t at = load_u64le(block);
    bool empty = true;
    uint64_t start = at;
    for (uint32_t i = 0; i < INDEX_BLOCK_SEQS; i++) {
        uint64_t span = load_u16le(block + 8 + 2ull * i);
        if (span == INDEX_SPAN_EXCEPTION) {
            if (*exc == exc_end || load_u32le(*exc) != first_seq + i)
                return err_set(KT_ERR_CORRUPT, "sealed index lacks an exception");
            span = load_u32le(*exc + 4);
            *exc += sizeof(struct index_exception);
        }
        at += span;
        empty = empty && span == 0;
    }
    if (empty)
        return 0;
    if (start < *end || start > UINT32_MAX)
        return err_set(KT_ERR_CORRUPT, "sealed index with a block out of order");
    *end = at;
    return 0;
}

static int check_blocks(const uint8_t *body, const struct index_head *h)
{
    uint32_t nblocks = index_block_count(h->count);
    const uint8_t *exc = body + sizeof(struct index_block) * (size_t)nblocks;
    const uint8_t *exc_end = exc + sizeof(struct index_exception) * (size_t)h->exceptions;
    uint64_t end = VOLUME_LOG_START / NEEDLE_ALIGN;
    for (uint32_t b = 0; b < nblocks; b++) {
        int rc = check_block(body + sizeof(struct index_block) * (size_t)b, b * INDEX_BLOCK_SEQS,
                             &exc, exc_end, &end);
        if (rc < 0)
            return rc;
    }
    if (exc != exc_end)
        return err_set(KT_ERR_CORRUPT, "sealed index with exceptions that nothing refers to");
    if (end > h->log_end / NEEDLE_ALIGN)
        return err_set(KT_ERR_CORRUPT, "sealed index points behind its log");
    return 0;
}

int index_sealed_decode(struct slice in, const struct index_head *expect, struct index_head *ret)
{
    struct index_head h;
    if (in.len < INDEX_HEAD)
        return err_set(KT_ERR_CORRUPT, "sealed index of %zu bytes", in.len);
    int rc = head_read(in, INDEX_MAGIC_SEALED, expect, &h);
    if (rc < 0)
        return rc;
    if (h.log_end != expect->log_end || h.first_seq != 0)
        return err_set(KT_ERR_CORRUPT, "sealed index of another length of the log");
    size_t body = index_sealed_body(h.count, h.exceptions);
    if (in.len != INDEX_HEAD + body)
        return err_set(KT_ERR_CORRUPT, "sealed index of %zu bytes, needs %zu", in.len,
                       INDEX_HEAD + body);
    if (!body_matches(in, body))
        return err_set(KT_ERR_CORRUPT, "sealed index fails its checksum");
    rc = check_blocks(in.p + INDEX_HEAD, &h);
    if (rc == 0)
        *ret = h;
    return rc;
}
