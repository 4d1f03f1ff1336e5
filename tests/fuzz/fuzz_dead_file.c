/* Any bytes as a file of dead marks: what decodes is sorted and whole. */
#include "format/dead_file.h"
#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_take(data, size);
    struct dead_file f, expect = {.uuid = {4, 5, 6}, .vid = 77};
    fuzz_reseal_head(&in, in.len);
    if (dead_file_decode(fuzz_slice(&in), &expect, &f) == 0)
        for (uint32_t i = 1; i < f.count; i++)
            kt_assert(dead_file_mark(fuzz_slice(&in), i).seq >
                      dead_file_mark(fuzz_slice(&in), i - 1).seq);
    free(in.p);
    return 0;
}
