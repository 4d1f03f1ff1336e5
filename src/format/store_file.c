/* store_file: fixed fields and a bounded row of uuids. */
#include "format/store_file.h"

#include "base/assert.h"
#include "base/enc.h"

#define STORE_MAGIC BLOCK_MAGIC('K', 'T', 'N', 'S', 'T', 'O', 'R', '\n')
#define DISKS_AT 32u

void store_file_encode(const struct store_file *f, uint8_t out[BLOCK_SIZE])
{
    kt_assert(f->ndisks <= STORE_DISKS_MAX);
    store_u64le(out, STORE_MAGIC);
    store_u32le(out + 8, STORE_FILE_VERSION);
    store_u32le(out + 12, f->flags);
    store_u64le(out + 16, f->counter);
    store_u32le(out + 24, f->next_vid);
    store_u32le(out + 28, f->ndisks);
    memcpy(out + DISKS_AT, f->disks, (size_t)f->ndisks * UUID_BYTES);
    block_seal(out, DISKS_AT + (size_t)f->ndisks * UUID_BYTES);
}

int store_file_decode(struct slice in, struct store_file *ret)
{
    int rc = block_check(in, STORE_MAGIC, "store file");
    if (rc < 0)
        return rc;
    if (load_u32le(in.p + 8) != STORE_FILE_VERSION)
        return err_set(KT_ERR_FORMAT,
                       "store file of format version %u, kitten " KITTEN_VERSION
                       " knows %u: use the version that wrote it",
                       load_u32le(in.p + 8), STORE_FILE_VERSION);
    struct store_file f = {.counter = load_u64le(in.p + 16),
                           .flags = load_u32le(in.p + 12),
                           .next_vid = load_u32le(in.p + 24),
                           .ndisks = load_u32le(in.p + 28)};
    if (f.ndisks > STORE_DISKS_MAX)
        return err_set(KT_ERR_CORRUPT, "store file with %u directories", f.ndisks);
    memcpy(f.disks, in.p + DISKS_AT, (size_t)f.ndisks * UUID_BYTES);
    *ret = f;
    return 0;
}
