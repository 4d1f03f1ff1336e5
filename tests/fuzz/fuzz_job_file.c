/* Any bytes as a job record: what decodes has a drop list that adds up. */
#include "format/job_file.h"
#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_take(data, size);
    struct job_file job, expect = {.uuid = {4, 5, 6}, .vid = 77};
    fuzz_reseal_head(&in, in.len);
    if (job_file_decode(fuzz_slice(&in), &expect, &job) == 0) {
        uint32_t drops = 0;
        for (uint32_t seq = 0; seq < job.count; seq++)
            drops += job_file_drops(fuzz_slice(&in), seq);
        kt_assert(drops == job.drops && !job_file_drops(fuzz_slice(&in), job.count));
    }
    free(in.p);
    return 0;
}
