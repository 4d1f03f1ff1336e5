/* Any bytes as a file of scrub times: what decodes is sorted and whole. */
#include "format/scrub_file.h"
#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t uuid[16] = {4, 5, 6};
    struct fuzz_input in = fuzz_take(data, size);
    fuzz_reseal_head(&in, in.len);
    int n = scrub_file_decode(fuzz_slice(&in), uuid);
    for (int i = 1; i < n; i++)
        kt_assert(scrub_file_time(fuzz_slice(&in), (uint32_t)i).vid >
                  scrub_file_time(fuzz_slice(&in), (uint32_t)i - 1).vid);
    free(in.p);
    return 0;
}
