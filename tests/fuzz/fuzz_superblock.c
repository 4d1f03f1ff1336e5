/* Any three blocks as the start of a volume: superblock, both slots, and the choice between them.
 */
#include "format/superblock.h"
#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_take(data, size);
    struct slice all = fuzz_slice(&in);
    struct superblock sb;
    struct state_slot slot;
    unsigned bad;
    for (size_t at = 0; at <= VOLUME_SLOT_B; at += BLOCK_SIZE)
        fuzz_reseal_block(&in, at);
    if (superblock_decode(all, &sb) == 0) {
        int rc = slot_choose(slice_sub(all, VOLUME_SLOT_A, BLOCK_SIZE),
                             slice_sub(all, VOLUME_SLOT_B, BLOCK_SIZE), &sb, &slot, &bad);
        if (rc >= 0) {
            uint8_t out[BLOCK_SIZE];
            kt_assert(rc <= 1 && slot.nhistory <= SLOT_HISTORY_MAX &&
                      memchr(slot.reason, 0, sizeof(slot.reason)));
            slot_encode(&slot, out);
            kt_assert(slot_decode(slice_of(out, sizeof(out)), &sb, &slot) == 0);
        }
    }
    free(in.p);
    return 0;
}
