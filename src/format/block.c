/* block: checksum and feature rules that superblock, state slots, disk label and dead log header
 * share. */
#include "format/block.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include <inttypes.h>

void block_seal(uint8_t block[BLOCK_SIZE], size_t used)
{
    kt_assert(used <= BLOCK_CRC_AT);
    memset(block + used, 0, BLOCK_CRC_AT - used);
    store_u32le(block + BLOCK_CRC_AT, crc32c(0, block, BLOCK_CRC_AT));
}

int block_check(struct slice in, uint64_t magic, const char *what)
{
    if (in.len < BLOCK_SIZE)
        return err_set(KT_ERR_CORRUPT, "%s of %zu bytes, needs %u", what, in.len, BLOCK_SIZE);
    if (load_u64le(in.p) != magic)
        return err_set(KT_ERR_CORRUPT, "%s has no magic number of its kind", what);
    if (load_u32le(in.p + BLOCK_CRC_AT) != crc32c(0, in.p, BLOCK_CRC_AT))
        return err_set(KT_ERR_CORRUPT, "%s does not match its checksum", what);
    return 0;
}

int feature_check(const struct feature_words *has, const struct feature_words *known,
                  const char *what)
{
    uint64_t unknown = has->incompat & ~known->incompat;
    if (unknown)
        return err_set(KT_ERR_FORMAT,
                       "%s uses features (incompat %#" PRIx64 ") that kitten " KITTEN_VERSION
                       " doesn't know: use the newer version that wrote it",
                       what, unknown);
    return (has->ro_compat & ~known->ro_compat) != 0;
}
