/* dead_file: header, sorted marks, one checksum. */
#include "format/dead_file.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"

#define DEAD_FILE_MAGIC 0x4445444bu /* "KDED" */

struct dead_file_disk {
    uint32_t magic;
    uint32_t crc;
    uint8_t uuid[16];
    uint32_t vid;
    uint32_t count;
};
_Static_assert(sizeof(struct dead_file_disk) == DEAD_FILE_HEAD, "on-disk layout");
_Static_assert(offsetof(struct dead_file_disk, uuid) == 8, "on-disk layout");
_Static_assert(offsetof(struct dead_file_disk, vid) == 24, "on-disk layout");

void dead_file_encode(const struct dead_file *f, const struct dead_mark *marks, uint8_t *out)
{
    struct dead_file_disk d = {.magic = DEAD_FILE_MAGIC, .vid = f->vid, .count = f->count};
    memcpy(d.uuid, f->uuid, sizeof(d.uuid));
    memcpy(out, &d, sizeof(d));
    for (uint32_t i = 0; i < f->count; i++) {
        kt_assert(i == 0 || marks[i].seq > marks[i - 1].seq);
        memcpy(out + dead_file_size(i), &marks[i], DEAD_FILE_MARK);
    }
    store_u32le(out + 4, crc32c(0, out + 8, dead_file_size(f->count) - 8));
}

struct dead_mark dead_file_mark(struct slice in, uint32_t i)
{
    struct dead_mark m;
    kt_assert(in.len >= dead_file_size(i) + DEAD_FILE_MARK);
    memcpy(&m, in.p + dead_file_size(i), sizeof(m));
    return m;
}

int dead_file_decode(struct slice in, const struct dead_file *expect, struct dead_file *ret)
{
    struct dead_file_disk d;
    if (in.len < sizeof(d))
        return err_set(KT_ERR_CORRUPT, "file of dead marks of %zu bytes", in.len);
    memcpy(&d, in.p, sizeof(d));
    if (d.magic != DEAD_FILE_MAGIC || in.len != dead_file_size(d.count) ||
        d.crc != crc32c(0, in.p + 8, in.len - 8))
        return err_set(KT_ERR_CORRUPT, "file of dead marks fails its checksum");
    if (memcmp(d.uuid, expect->uuid, sizeof(d.uuid)) != 0 || d.vid != expect->vid)
        return err_set(KT_ERR_CORRUPT, "file of dead marks of another volume");
    for (uint32_t i = 1; i < d.count; i++)
        if (dead_file_mark(in, i).seq <= dead_file_mark(in, i - 1).seq)
            return err_set(KT_ERR_CORRUPT, "file of dead marks is not sorted");
    memcpy(ret->uuid, d.uuid, sizeof(d.uuid));
    ret->vid = d.vid;
    ret->count = d.count;
    return 0;
}
