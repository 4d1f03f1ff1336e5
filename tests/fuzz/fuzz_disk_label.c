/* Any block as a disk label; what decodes encodes back to a label that decodes. */
#include "format/disk_label.h"
#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_take(data, size);
    struct disk_label label, again;
    static uint8_t out[BLOCK_SIZE], twice[BLOCK_SIZE];
    fuzz_reseal_block(&in, 0);
    if (disk_label_decode(fuzz_slice(&in), &label) == 0) {
        disk_label_encode(&label, out);
        kt_assert(disk_label_decode(slice_of(out, sizeof(out)), &again) == 0);
        disk_label_encode(&again, twice);
        kt_assert(memcmp(out, twice, sizeof(out)) == 0);
    }
    free(in.p);
    return 0;
}
